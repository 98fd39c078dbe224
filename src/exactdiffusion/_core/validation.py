"""Checks of arguments: every failure is a ValueError that names the argument, its value and what is expected."""

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Collection
from typing import Any, NoReturn, ParamSpec, TypeVar

import numpy as np

from .arrays import array_namespace, to_numpy
from .typing import Array, ArrayLike

__all__ = [
    "boolean",
    "choice",
    "fail",
    "first_bad_row",
    "in_range",
    "integer",
    "no_mask",
    "points",
    "real_array",
    "scalar",
    "weights",
]

#: what an index or a count of NumPy can hold
_LARGEST_INTEGER = 2**63 - 1

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def fail(name: str, value: Any, expected: str) -> NoReturn:
    """Raise the ValueError that all checks share.

    Example
    -------
    >>> fail("n", -1, "an integer >= 0")
    Traceback (most recent call last):
        ...
    ValueError: n: got -1; expected an integer >= 0
    """
    text = " ".join(repr(value).split())  # an array is printed on several lines
    if len(text) > 120:
        text = text[:117] + "..."
    raise ValueError(f"{name}: got {text}; expected {expected}")


def no_mask(name: str, value: Any, depth: int = 64) -> None:
    """Refuse masked entries of an array, or of a list of them: a conversion takes what lies under a mask for data.

    Example
    -------
    >>> no_mask("x", [1.0, 2.0])
    """
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        if mask.dtype == bool and mask.any():
            row = int(np.argmax(mask.reshape(len(mask), -1).any(axis=1))) if mask.ndim else 0
            fail(f"{name} ({int(mask.sum())} masked entries, the first in row {row})", value,
                 f"no masked entries: leave their rows out, or replace them with {name}.filled(number)")  # fmt: skip
    elif depth and isinstance(value, (list, tuple)):  # NumPy has 64 axes; a list may contain itself
        for part in value:
            if isinstance(part, (list, tuple, np.ma.MaskedArray)):
                no_mask(name, part, depth - 1)


def _refuse_type(name, value, array, expected):
    """The ValueError for an array that is not of real numbers, with what would work."""
    if hasattr(value, "toarray"):
        fail(f"{name} (sparse)", value, f"{expected}: a dense array, {name}.toarray()")
    if getattr(getattr(array, "dtype", None), "kind", None) != "O":
        fail(f"{name} (dtype {getattr(array, 'dtype', type(array).__name__)})", value, expected)
    table = (
        ""
        if not hasattr(value, "to_numpy")
        else (
            f"; for a data frame with nullable or mixed columns {name}.to_numpy(dtype=float, na_value=float('nan')), after "
            "the "
            "rows with missing values and the columns that are no numbers are dropped"
        )
    )
    fail(f"{name} (dtype object)", value, f"{expected}{table}")


def first_bad_row(array: Array) -> int:
    """Index along the first axis of the first entry that is NaN or infinite (0 for a number).

    Example
    -------
    >>> import numpy as np
    >>> first_bad_row(np.array([[0.0], [np.nan]]))
    1
    """
    bad = ~np.isfinite(to_numpy(array))
    return int(np.argmax(bad.reshape(len(bad), -1).any(axis=1))) if bad.ndim else 0


def _all_finite(xp, array):
    if not isinstance(array, np.ndarray) or array.size < 1 << 20:
        return bool(xp.all(xp.isfinite(array)))
    # The extremes are NaN where an entry is: no array of flags, an eighth of the data.
    return math.isfinite(array.max()) and math.isfinite(array.min())


def real_array(name: str, value: Any, expected: str = "real, finite numbers", finite: bool = True) -> Array:
    """``value`` as a finite float64 array of its own namespace; not ``finite``: the caller looks for that.

    Example
    -------
    >>> real_array("x", [1, 2])
    array([1., 2.])
    """
    if type(value) is np.ndarray and value.dtype == np.float64 and not (finite and not np.isfinite(value).all()):
        return value
    no_mask(name, value)
    xp = array_namespace(value)
    try:
        array = xp.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a list of arrays that NumPy cannot read
        ragged = " (rows of different shapes)" if "inhomogeneous" in str(error) else ""
        fail(name + ragged, value, expected)
    if not hasattr(array, "dtype") or (isinstance(array, np.ndarray) and array.dtype.kind not in "iuf"):
        _refuse_type(name, value, array, expected)
    if not isinstance(array, np.ndarray) and not xp.isdtype(array.dtype, ("integral", "real floating")):
        _refuse_type(name, value, array, expected)
    if getattr(array, "requires_grad", False):
        array = array.detach()
    if array.dtype != xp.float64:
        array = xp.astype(array, xp.float64)
    if finite and not _all_finite(xp, array):
        fail(f"{name} (a value that is not finite in row {first_bad_row(array)})", value, expected)
    return array


def points(name: str, value: Any, dim: int | None = None, allow_empty: bool = True, finite: bool = True) -> Array:
    """A batch of points, shape (n, d); ``dim`` fixes d.

    Example
    -------
    >>> points("x", [[1, 2]], dim=2)
    array([[1., 2.]])
    """
    array = real_array(name, value, f"a finite real array of shape (n, {dim if dim is not None else 'd'})", finite)
    if array.ndim != 2 or (dim is not None and array.shape[1] != dim) or array.shape[1] == 0:
        fail(f"{name} (shape {tuple(array.shape)})", value, f"shape (n, {dim if dim is not None else 'd >= 1'})")
    if not allow_empty and array.shape[0] == 0:
        fail(name, value, "at least one row")
    return array


def scalar(
    name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, low_open: bool = False, high_open: bool = False
) -> float:
    """A finite Python float within [low, high]; ``*_open`` excludes the end.

    Example
    -------
    >>> scalar("sigma", 1, low=0)
    1.0
    """
    left, right = "(" if low_open or low == -math.inf else "[", ")" if high_open or high == math.inf else "]"
    expected = f"a finite number in {left}{low:g}, {high:g}{right}"
    if isinstance(value, (bool, np.bool_, str, bytes, complex)) or value is None:
        fail(name, value, expected)
    no_mask(name, value)
    try:
        number = float(to_numpy(value)) if hasattr(value, "shape") else float(value)
    except (TypeError, ValueError, OverflowError):
        fail(name, value, expected)
    inside = (number > low if low_open else number >= low) and (number < high if high_open else number <= high)
    if not math.isfinite(number) or not inside:
        fail(name, value, expected)
    return number


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """A Python int within [low, high]; at most 2^63 - 1 where no other limit is given.

    Example
    -------
    >>> integer("n", 3, low=1)
    3
    """
    expected = "an integer" + (f" >= {low}" if low is not None else "")
    expected += (" and" if low is not None and high is not None else "") + (f" <= {high}" if high is not None else "")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Integral, np.integer)):
        fail(name, value, expected)
    number = int(value)
    if (low is not None and number < low) or number > (_LARGEST_INTEGER if high is None else high):
        fail(name, value, expected)
    return number


def boolean(name: str, value: Any) -> bool:
    """True or False.

    Example
    -------
    >>> boolean("copy", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        fail(name, value, "True or False")
    return bool(value)


def in_range(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorate: where the numbers leave the range of floats inside ``function``, a ValueError names its arguments.

    An overflow, a division by 0 or an invalid operation of NumPy, which would be a warning and an infinity or a NaN further
    on, the ArithmeticError of Python floats, and a matrix that is singular to rounding. Not for generators, whose body runs
    later.

    Example
    -------
    >>> import numpy as np
    >>> @in_range
    ... def inverse(a):
    ...     return 1.0 / np.float64(a)
    >>> float(inverse(2.0))
    0.5
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                return function(*args, **kwargs)
        except (ArithmeticError, np.linalg.LinAlgError) as error:
            bound, reason = signature.bind(*args, **kwargs).arguments, error
        given = {k: v for k, v in bound.items() if k not in ("self", "noised")}
        expected = f"numbers whose squares and quotients stay in the range of floats ({reason})"
        fail(", ".join(given), tuple(given.values()), expected)

    return call


def choice(name: str, value: Any, options: Collection[str]) -> str:
    """One of ``options``.

    Example
    -------
    >>> choice("kind", "full", ("full", "diag"))
    'full'
    """
    if not isinstance(value, str) or value not in options:
        fail(name, value, "one of " + ", ".join(repr(o) for o in options))
    return value


def weights(name: str, value: ArrayLike | None, size: int) -> Array:
    """Nonnegative weights of shape (size,) that sum to 1 within ``8 * eps * size``-rounding (then renormalised exactly).

    ``None`` gives uniform weights.

    Example
    -------
    >>> weights("weights", None, 2)
    array([0.5, 0.5])
    """
    if value is None:
        return np.full(size, 1.0 / size)
    array = real_array(name, value, f"{size} nonnegative weights that sum to 1")
    if array.ndim != 1 or array.shape[0] != size:
        fail(f"{name} (shape {tuple(array.shape)})", value, f"shape ({size},)")
    xp = array_namespace(array)
    total = float(xp.sum(array))
    if bool(xp.any(array < 0)) or not abs(total - 1.0) <= 1e-12 + 8 * np.finfo(np.float64).eps * size:
        fail(f"{name} (sum {total!r})", value, "nonnegative weights that sum to 1")
    return array / total
