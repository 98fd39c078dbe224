"""Mean squared errors with standard errors."""

import math
from dataclasses import dataclass

from .._core.arrays import array_namespace
from .._core.typing import ArrayLike
from .._core.validation import fail, in_range, points, scalar

__all__ = ["Estimate", "excess_error", "mse", "nmse"]


@dataclass(frozen=True)
class Estimate:
    """A sample mean (or ratio of means) with its standard error, from ``n`` rows.

    Examples
    --------
    >>> mean = Estimate(2.0, standard_error=0.5, n=100)
    >>> [round(end, 2) for end in mean.interval()]
    [1.02, 2.98]
    """

    value: float
    standard_error: float
    n: int

    def __float__(self):
        return self.value

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Normal interval ``(low, high)`` at ``level``."""
        from scipy.special import ndtri

        level = scalar("level", level, low=0, high=1, low_open=True, high_open=True)
        half = math.inf if self.standard_error == math.inf else float(ndtri(0.5 + level / 2)) * self.standard_error
        return self.value - half, self.value + half


def _pair(name1, value1, name2, value2):
    a = points(name1, value1, allow_empty=False)
    b = points(name2, value2, dim=a.shape[1], allow_empty=False)
    if tuple(a.shape) != tuple(b.shape):
        fail(f"{name2} (shape {tuple(b.shape)})", value2, f"the shape of {name1}, {tuple(a.shape)}")
    return array_namespace(a, b), a, b


def _mean(xp, rows):
    n = rows.shape[0]
    mean = float(xp.mean(rows))
    if n == 1:
        return Estimate(mean, math.inf, 1)
    return Estimate(mean, math.sqrt(float(xp.sum((rows - mean) ** 2)) / (n - 1) / n), n)


@in_range
def mse(estimate: ArrayLike, truth: ArrayLike) -> Estimate:
    r"""Mean squared error :math:`E |\hat x - x|^2`, the squared norm summed over coordinates.

    Not the per-entry mean of image processing: divide by d for that. Any array namespace.

    Parameters
    ----------
    estimate, truth : array, shape (n, d)

    Returns
    -------
    Estimate
        Standard error from the n independent rows (infinite for n = 1).

    Examples
    --------
    >>> found = mse([[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    >>> found.value, found.standard_error
    (1.0, 1.0)
    """
    xp, a, b = _pair("estimate", estimate, "truth", truth)
    return _mean(xp, xp.sum((a - b) ** 2, axis=1))


@in_range
def nmse(estimate: ArrayLike, truth: ArrayLike, power: float | None = None) -> Estimate:
    r"""Normalised mean squared error :math:`E|\hat x - x|^2 / E|x|^2` (conditional-mean paper, arXiv 2403.02957).

    Parameters
    ----------
    estimate, truth : array, shape (n, d)
    power : float, optional
        Population power E|x|^2. When absent the sample's own power is used, as the authors' code does: for
        heavy-tailed targets that ratio is far from the population value at moderate n.

    Returns
    -------
    Estimate
        Standard error by the delta method when the denominator is estimated too.

    Examples
    --------
    >>> nmse([[1.0], [1.0]], [[2.0], [-2.0]]).value, nmse([[1.0], [1.0]], [[2.0], [-2.0]], power=5.0).value
    (1.25, 1.0)
    """
    xp, a, b = _pair("estimate", estimate, "truth", truth)
    errors = xp.sum((a - b) ** 2, axis=1)
    if power is not None:
        power = scalar("power", power, low=0, low_open=True)
        return _mean(xp, errors / power)
    powers = xp.sum(b**2, axis=1)
    mean = float(xp.mean(powers))
    if not mean > 0:
        fail("truth", truth, "at least one nonzero row, or power given")
    ratio = float(xp.mean(errors)) / mean
    return Estimate(ratio, _mean(xp, (errors - ratio * powers) / mean).standard_error, a.shape[0])


@in_range
def excess_error(estimate: ArrayLike, conditional_mean: ArrayLike, mmse: float | None = None) -> Estimate:
    r"""Excess error :math:`E|f(y) - E[x|y]|^2`, which equals MSE(f) - MMSE by orthogonality.

    Measured against the conditional mean at the same observations: no x enters, hence far less variance than the
    difference of two mean squared errors.

    Parameters
    ----------
    estimate, conditional_mean : array, shape (n, d)
    mmse : float, optional
        Divide by this minimum mean squared error (the relative excess).

    Returns
    -------
    Estimate

    Examples
    --------
    >>> [excess_error([[1.0], [0.0]], [[0.5], [0.5]], mmse).value for mmse in (None, 0.5)]
    [0.25, 0.5]
    """
    xp, a, b = _pair("estimate", estimate, "conditional_mean", conditional_mean)
    rows = xp.sum((a - b) ** 2, axis=1)
    if mmse is not None:
        rows = rows / scalar("mmse", mmse, low=0, low_open=True)
    return _mean(xp, rows)
