"""The compiled kernel of point clouds (numba, extra ``fast``), used by `softmax`, whose NumPy lines do the same to rounding.

It pays where NumPy's exponential is slow (processors without AVX-512): best logit, exponential and sum of a row in one pass
through the cache.
"""

import numba
import numpy as np

# exp(x) = 2^n exp(r), n = round(x / log 2), r = x - n log 2 in two parts; Taylor series to r^13, whose remainder is 4e-18.
_LOG2E, _HIGH, _LOW = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
_SERIES = tuple(1 / float(np.prod(np.arange(1.0, k + 1))) for k in range(13, -1, -1))
# Adding this rounds to an integer, which is then in the last bits.
_MAGIC = 1.5 * 2.0**52


@numba.njit(fastmath={"contract", "nnan", "ninf", "nsz"}, cache=True)
def exponential(x, top, t):
    """exp(x - top) in place of x <= top, 0 below e^-600; t is room of the same length.

    Each loop compiles to vector code. Reassociation is not allowed here: it would undo the splitting.
    """
    for j in range(x.shape[0]):
        v = max(x[j] - top, -600.0)
        n = v * _LOG2E + _MAGIC
        t[j] = n
        n = n - _MAGIC
        r = (v - n * _HIGH) - n * _LOW
        p = 0.0
        for c in _SERIES:
            p = p * r + c
        x[j] = p
    bits = t.view(np.int64)
    for j in range(x.shape[0]):
        bits[j] = (bits[j] + 1023) << 52
    for j in range(x.shape[0]):
        e = x[j] * t[j]
        x[j] = e if e > 2.66e-261 else 0.0


@numba.njit(fastmath=True, cache=True)
def _largest(x):
    # Eight maxima at once: the compiler does not split this loop itself.
    a = b = c = d = e = f = g = h = -np.inf
    M = x.shape[0] // 8 * 8
    for j in range(0, M, 8):
        a, b, c, d = max(a, x[j]), max(b, x[j + 1]), max(c, x[j + 2]), max(d, x[j + 3])
        e, f, g, h = max(e, x[j + 4]), max(f, x[j + 5]), max(g, x[j + 6]), max(h, x[j + 7])
    for j in range(M, x.shape[0]):
        a = max(a, x[j])
    return max(max(max(a, b), max(c, d)), max(max(e, f), max(g, h)))


@numba.njit(fastmath={"nsz", "contract", "reassoc"}, cache=True)
def _sum(x):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j]
    return total


@numba.njit(cache=True)
def _row(x, room):
    # Weights in place of logits: (best atom, its logit, sum of the weights of the others).
    top, r = _largest(x), 0
    while x[r] < top:
        r += 1
    exponential(x, top, room)
    x[r] = 0.0
    return r, top, _sum(x)


@numba.njit(cache=True)
def softmax(L, reference, others):
    """In place of logits (b, M): weights relative to the best atom of a row, 0 at that atom, ``reference`` (b,). ``others``
    (b, 1): their sums. Returns the best logits (b, 1)."""
    room, best = np.empty(L.shape[1]), np.empty((L.shape[0], 1))
    for i in range(L.shape[0]):
        reference[i], best[i, 0], others[i, 0] = _row(L[i], room)
    return best


@numba.njit(fastmath={"contract"}, cache=True)
def low(L, y, T, factor, logw, reference, others):
    """`softmax` of the logits ``factor_i |y_i - p_j|^2 + logw_j`` of atoms T (d, M), made in L row by row; no logw: 0."""
    room, best = np.empty(L.shape[1]), np.empty((L.shape[0], 1))
    for i in range(L.shape[0]):
        x = L[i]
        for k in range(T.shape[0]):
            unit, z = factor[i] if k == T.shape[0] - 1 else 1.0, y[i, k]
            if k == 0:
                for j in range(x.shape[0]):
                    x[j] = unit * ((z - T[k, j]) * (z - T[k, j]))
            else:
                for j in range(x.shape[0]):
                    x[j] = unit * (x[j] + (z - T[k, j]) * (z - T[k, j]))
        for j in range(logw.shape[0]):
            x[j] += logw[j]
        reference[i], best[i, 0], others[i, 0] = _row(x, room)
    return best
