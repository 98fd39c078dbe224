"""What a proximal map returns beside its points, and the checks of its arguments."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from .._core.arrays import from_numpy, to_numpy
from .._core.typing import Array, ArrayLike
from .._core.validation import fail, real_array
from .climb import EPS

TINY = 1e-280  # variances below are the limit v -> 0 (1 / v**2 would overflow)
DROP = np.log(1e17)  # relative mass of dropped components: 1e-17


@dataclass(frozen=True)
class ProxResult:
    """Proximal points with what is known about them.

    Attributes
    ----------
    point : (n, d) array
        The minimiser u found for each row, in the arrays of the query; everything else is NumPy.
    objective : (n,) array
        F(u) = 1/2 |u-x|^2 - lam log q(u); +inf is never returned. With atoms (zero variance): 1/2 |u-x|^2 - lam log w.
    residual : (n,) array
        Relative stationarity residual: |grad F(u)| over the sum of the norms of the terms that cancel in it, for equal
        variances |x| + |u| + theta (|u| + |m(u)|) with theta = lam/v and m(u) the mean of the centres seen from u.
    lower : (n,) array
        Proved lower bound of the minimum of F.
    gap : (n,) array
        objective - lower, >= 0.
    status : (n,) array of str
        ``"convex"``: every point as good lies in a region where F is strongly convex (or the minimiser is explicit);
        ``"branch and bound"``: no other cell of the hull can be better by more than ``gap``; ``"soft-min"``: a bound of
        the sum of exponentials (at most the smoothed density) is within 1e-3 lam; ``"searched"``: best of the starts,
        global minimality not proved (``lower`` is still a bound).
    starts : (n,) array of int
        Starting points used per row.
    calls : dict
        Evaluations in mixture rows by kind (``density``, ``score``, ``hessian``), plus ``screen``: values of the
        objective read from the table of the starting points.

    Examples
    --------
    Two atoms under so much noise that F is convex:

    >>> from exactdiffusion.prox import prox_isotropic
    >>> found = prox_isotropic([[0.3]], 0.1, [[-1.0], [1.0]], variance=2.0, certificate=True)
    >>> found.status, bool(found.gap[0] < 1e-12), found.starts
    (array(['convex'], dtype='<U6'), True, array([1]))
    """

    point: np.ndarray
    objective: np.ndarray
    residual: np.ndarray
    lower: np.ndarray
    gap: np.ndarray
    status: np.ndarray
    starts: np.ndarray
    calls: dict


class Report:
    """Columns of a `ProxResult` while it is being filled, for n queries."""

    def __init__(self, n: int) -> None:
        self.objective, self.residual = np.empty(n), np.empty(n)
        self.gap, self.starts = np.full(n, np.inf), np.ones(n, int)
        self.status = np.full(n, "searched", dtype=object)

    def widen(self, rows: np.ndarray, lam: np.ndarray) -> None:
        """Add to the gaps of ``rows`` what dropped components and rounding may hide."""
        self.gap[rows] += 1e-17 * lam[rows] + 4 * EPS * np.abs(self.objective[rows])

    def result(self, point: np.ndarray, calls: dict[str, int], like: Array) -> ProxResult:
        """The result for ``point`` (n, d), in the arrays of ``like``."""
        lower, status = self.objective - self.gap, self.status.astype(str)
        return ProxResult(
            from_numpy(point, like), self.objective, self.residual, lower, self.gap, status, self.starts, calls
        )


def in_arrays_of(like: Array, result: ProxResult) -> ProxResult:
    """The result with its points in the arrays of ``like``; what is known about them stays in NumPy."""
    return dataclasses.replace(result, point=from_numpy(result.point, like))


def positive_rows(name: str, value: ArrayLike, n: int) -> np.ndarray:
    """A positive finite scalar or (n,) array as an (n,) float64 array; ValueError naming ``name``."""
    array = np.asarray(to_numpy(real_array(name, value, "a finite number > 0, or one per row")))
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] != n):
        fail(f"{name} (shape {array.shape})", value, f"a scalar or shape ({n},)")
    if np.any(array <= 0):
        fail(name, value, "a number > 0")
    return np.broadcast_to(array, (n,)).astype(np.float64)
