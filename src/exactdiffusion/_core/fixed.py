"""Objects with derived state: the arrays that they were made from cannot be edited unnoticed.

A law answers from numbers derived when it was made. Were its arrays edited in place, some answers would follow the edit and
others would not. So the arrays are read-only and public attributes are set once.
"""

import zlib

import numpy as np

from .validation import fail

__all__ = ["Fixed"]


class Fixed:
    """Mixin: a constructor ends with ``self._fix()``.

    The object holds NumPy arrays, whatever kind it was given. Copies on other devices are its own. NumPy's flag is lost in
    copies and pickles and is set again when they are made. It can be lifted on purpose, and an array given with
    ``copy=False`` can be edited under its other name: `check` finds both.

    Examples
    --------
    >>> law = ed.PointCloud([[0.0], [1.0]])
    >>> law.points[0] = 2.0
    Traceback (most recent call last):
    ValueError: assignment destination is read-only
    >>> law.check()  # None: nothing was edited
    """

    _digests: dict[str, int]

    def _fix(self):
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        for array in arrays.values():
            array.setflags(write=False)
        self.__dict__["_digests"] = {k: _digest(v) for k, v in arrays.items()}

    def check(self) -> None:
        """Raise a ValueError that names the array that was edited since this object was made; None where none was.

        Compares checksums (CRC-32), about 0.2 s for 1 GB.
        """
        for name, digest in self._digests.items():
            if _digest(vars(self)[name]) != digest:
                name = name.lstrip("_")
                fail(f"{name} (edited in place)", getattr(self, name, None), f"a new {type(self).__name__} for new numbers")

    def __setattr__(self, name, value):
        if "_digests" in self.__dict__ and name in self.__dict__ and not name.startswith("_"):
            kind = type(self).__name__
            raise AttributeError(f"{kind}.{name} is set once: other parts of a {kind} derive from it (make a new one)")
        object.__setattr__(self, name, value)

    def __setstate__(self, state):
        self.__dict__.update(state)
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)


def _digest(array):
    return zlib.crc32(np.ascontiguousarray(array).data) if array.size else 0
