"""The optional numba kernels of point clouds (extra ``fast``), or None."""

import functools

import numpy as np

# Pairs (query, atom) below which a call is not worth the import.
WORTH = 1 << 17


@functools.cache
def kernels():
    """Module of the compiled kernels; None where numba is missing or does not work here (too old for this Python, no place
    for its cache): the NumPy kernels then do the same."""
    try:
        from . import compiled

        out = np.empty((1, 3))
        compiled.low(np.zeros((1, 2)), np.zeros((2, 3)), np.empty(0), np.ones(1), False, out, np.empty(1))
    except Exception:
        return None
    return compiled if np.array_equal(out, [[0.0, 0.0, 3.0]]) else None
