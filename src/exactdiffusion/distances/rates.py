"""Convergence rates: slope of a log-log plot with its interval."""

import math
from dataclasses import dataclass

import numpy as np

from .._core.arrays import to_numpy
from .._core.typing import ArrayLike
from .._core.validation import fail, in_range, integer, no_mask, real_array, scalar

__all__ = ["Slope", "fit_slope", "local_slopes"]


@dataclass(frozen=True)
class Slope:
    """Least-squares slope with its Student interval ``[low, high]`` at ``level``, from ``n`` points.

    Examples
    --------
    >>> fit = fit_slope([5, 10, 20, 40], [1.0, 0.5, 0.25, 0.125])
    >>> round(float(fit), 6), fit.n
    (-1.0, 4)
    """

    slope: float
    low: float
    high: float
    intercept: float
    level: float
    n: int

    def __float__(self):
        return self.slope


def t_interval(values: ArrayLike, level: float) -> tuple[float, float, float, float]:
    """Mean, its Student interval at ``level`` and the sample standard deviation of at least two values."""
    from scipy.special import stdtrit

    no_mask("values", values)
    values = np.asarray(values, dtype=np.float64)
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stdtrit(values.size - 1, 0.5 + level / 2)) * std / math.sqrt(values.size)
    return mean, mean - half, mean + half, std


def _curve(x, y, log):
    arrays = []
    for name, value in (("x", x), ("y", y)):
        array = to_numpy(real_array(name, value, "a finite real vector"))
        if array.ndim != 1:
            fail(f"{name} (shape {array.shape})", value, "shape (n,)")
        if log and np.any(array <= 0):
            fail(name, value, "positive numbers (their logarithms are fitted)")
        arrays.append(array)
    if arrays[0].shape != arrays[1].shape:
        fail(f"y (shape {arrays[1].shape})", y, f"the shape of x, {arrays[0].shape}")
    return arrays


def _unit(values):
    """Power of two above the largest of ``values`` (1 where all are 0): squares of quotients by it leave no range."""
    return math.ldexp(1.0, math.frexp(float(np.max(np.abs(values))))[1])


@in_range
def fit_slope(x: ArrayLike, y: ArrayLike, log: bool = True, *, level: float = 0.95, last: int | None = None) -> Slope:
    r"""Slope of log y against log x by least squares, with its Student interval.

    Parameters
    ----------
    x, y : array, shape (n,)
        Abscissae (step counts, noise levels, ...) and errors, n >= 3; positive when ``log``.
    log : bool
        False fits y against x themselves.
    level : float
        Level of the interval: exact coverage if the residuals of the fitted (log) values are independent, Gaussian
        and of one variance. On a deterministic curve the interval measures its curvature instead.
    last : int, optional
        Keep only the last ``last`` octaves, x >= max(x) / 2**last: the asymptotic end.

    Returns
    -------
    Slope
        ``intercept`` is that of the fitted line, i.e. log of the constant C in y = C x^slope when ``log``.

    Examples
    --------
    >>> steps = np.array([5.0, 10.0, 20.0, 40.0])
    >>> fit = fit_slope(steps, 3 / steps**2)
    >>> round(fit.slope, 6), round(float(np.exp(fit.intercept)), 6)
    (-2.0, 3.0)
    """
    if not isinstance(log, (bool, np.bool_)):
        fail("log", log, "True or False")
    level = scalar("level", level, low=0, high=1, low_open=True, high_open=True)
    a, b = _curve(x, y, log)
    if last is not None:
        last = integer("last", last, low=1)
        if not log:
            fail("last", last, "None when log is False: octaves are factors of two of x")
        keep = a >= math.ldexp(float(np.max(a)), -last) if a.size else slice(None)
        a, b = a[keep], b[keep]
    if a.size < 3:
        fail(f"x ({a.size} points)", a, "at least 3 points: two leave no residual to judge the interval by")
    if log:
        a, b = np.log(a), np.log(b)
    centre = a - np.mean(a)
    if not np.any(centre):
        fail("x", x, "at least two different values")
    unit = _unit(centre)
    centre = centre / unit
    spread = np.sum(centre**2)  # NumPy numbers up to the end: an overflow of Python's is silent
    gradient = np.sum(centre * b) / spread
    slope = gradient / unit
    intercept = np.mean(b) - slope * np.mean(a)
    residual = b - np.mean(b) - gradient * centre
    rest = _unit(residual)
    from scipy.special import stdtrit

    error = rest * np.sqrt(np.sum((residual / rest) ** 2) / (a.size - 2) / spread) / unit
    half = stdtrit(a.size - 2, 0.5 + level / 2) * error
    return Slope(float(slope), float(slope - half), float(slope + half), float(intercept), level, int(a.size))


@in_range
def local_slopes(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    r"""Slopes between consecutive points of a log-log plot, (log y_{i+1} - log y_i) / (log x_{i+1} - log x_i).

    Parameters
    ----------
    x, y : array, shape (n,), n >= 2
        Positive; x strictly increasing or strictly decreasing.

    Returns
    -------
    ndarray, shape (n - 1,)

    Examples
    --------
    >>> local_slopes([5, 10, 20], [1.0, 0.5, 0.125]).round(6)
    array([-1., -2.])
    """
    a, b = _curve(x, y, True)
    if a.size < 2:
        fail(f"x ({a.size} points)", x, "at least 2 points")
    steps = np.diff(a)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        fail("x", x, "strictly increasing or strictly decreasing numbers")
    return np.diff(np.log(b)) / np.diff(np.log(a))
