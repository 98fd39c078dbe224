"""Closed forms on Gaussians: W2, the lower bound of W2 by moments, and the Kullback-Leibler divergence.

Covariances that nearly agree, and variances of very different sizes, cost no digits: every row of a covariance is judged in
the unit of its own standard deviation (`Factor`), and differences are formed before they are squared or divided.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .._core.arrays import to_numpy
from .._core.typing import ArrayLike
from .._core.validation import fail, in_range, points, real_array
from .._core.validation import weights as _weights
from .divergence import _u_minus_log1p

__all__ = ["bures_w2", "gaussian_kl", "gelbrich"]

EPS = float(np.finfo(np.float64).eps)

# ---------------------------------------------------------------------------------------------------------- covariances

#: Noise of a correlation matrix from which its row is rounding of larger entries.
_NOISE = 1e-3


class Factor(NamedTuple):
    """A covariance C with ``root @ root.T = C``; C, root and values are vectors (d,) where it is diagonal.

    With the powers of two ``unit`` (d,) near the standard deviations, ``C / (unit_i unit_j)`` has the eigenvalues ``values``
    (those that count as 0 are 0) and ``vectors``. ``least`` is the smallest of them that is not 0. Of a diagonal unit and
    least are 1, and there are no vectors.
    """

    cov: np.ndarray
    root: np.ndarray
    values: np.ndarray
    unit: np.ndarray | float = 1.0
    vectors: np.ndarray | None = None
    least: float = 1.0

    @property
    def diagonal(self) -> bool:
        return self.cov.ndim == 1

    @property
    def rank(self) -> int:
        return int(np.count_nonzero(self.values))

    def matrix(self) -> np.ndarray:
        """The covariance, shape (d, d)."""
        return np.diag(self.cov) if self.diagonal else self.cov

    def square_root(self) -> np.ndarray:
        """The root, shape (d, d)."""
        return np.diag(self.root) if self.diagonal else self.root


def _unit(variances):
    """Powers of two u with positive variances / u^2 in [1/4, 1): divisions by them are exact."""
    return np.ldexp(1.0, -(-np.frexp(variances)[1] // 2))


def _covariance_factor(name, value, d):
    """`Factor` of a covariance, each row judged in the unit of its own standard deviation.

    Products such as A A^T and sums over samples are right to d eps sqrt(c_ii c_jj) in every entry: a small variance beside a
    large one is as good as the large one. Only a matrix that is positive semidefinite to the rounding of its largest
    entry alone, as rotations leave it, is judged in one unit.
    """
    array = to_numpy(real_array(name, value, "a covariance: number, (d,) variances or (d, d) matrix"))
    if array.ndim == 0 or (array.ndim == 1 and array.shape[0] == d):
        if np.any(array < 0):
            fail(name, value, "nonnegative variances")
        array = np.broadcast_to(array, (d,))
        return Factor(array, np.sqrt(array), array)
    if array.shape != (d, d):
        fail(f"{name} (shape {array.shape})", value, f"a number, shape ({d},) or ({d}, {d})")
    variances = np.diag(array)
    if np.count_nonzero(array) == np.count_nonzero(variances):
        return _covariance_factor(name, variances, d)

    # what the variances alone tell
    semidefinite = (
        "a symmetric positive semidefinite matrix, also in its small entries; where those are rounding of larger ones, the "
        "product (v * np.maximum(w, 0)) @ v.T of w, v = np.linalg.eigh(cov), or the variances alone, an array of shape (d,)"
    )
    least, top = float(variances.min()), float(variances.max())
    if least < 0:
        fail(f"{name} (variance {least:.3g})", value, semidefinite)
    if least == 0 and np.any(np.abs(array[variances == 0]) > 1e-150 * math.sqrt(top)):  # squares of less are lost
        fail(f"{name} (a variance of 0 in a row that is not 0)", value, semidefinite)

    # each row in the unit of its own deviation; failing that, all rows in one unit
    slack = 16 * EPS * d
    for common in (False, True):
        unit = _unit(np.full(d, top) if common else variances if least > 0 else np.where(variances > 0, variances, top))
        scaled = array / unit / unit[:, None]
        asymmetry = float(np.abs(scaled - scaled.T).max())
        if asymmetry > _NOISE:
            fail(f"{name} (not symmetric)", value, semidefinite)
        values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
        if values[0] < -_NOISE:
            fail(f"{name} (eigenvalue {values[0]:.3g} where all variances are near 1)", value, semidefinite)
        if asymmetry <= slack and values[0] >= -slack * values[-1]:
            break
    else:
        what = "not symmetric" if asymmetry > slack else f"smallest eigenvalue {values[0]:.3g} of the largest variance"
        fail(f"{name} ({what})", value, semidefinite)
    # eigenvalues below d eps of the largest are rounding; their square roots (1e-8) would not be
    cut = d * EPS * values[-1]
    if not values[0] > cut:
        values = np.where(values > cut, values, 0.0)
    root = unit[:, None] * (vectors * np.sqrt(values))
    cov = array if asymmetry == 0 else array / 2 + array.T / 2
    return Factor(cov, root, values, unit, vectors, float(values[values > 0][0]))


def congruence(t: np.ndarray, a: np.ndarray, tail: np.ndarray | None = None) -> np.ndarray:
    """``t.T @ (a + tail) @ t``, symmetric, with the products of t and a summed in twice the working precision."""
    from ..laws._kernels.eigen import product

    hi, lo = product(a, t)
    out, rest = product(np.ascontiguousarray(t.T), hi)
    out = out + (rest + t.T @ (lo if tail is None else lo + tail @ t))
    return (out + out.T) / 2


def difference(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a - b rounded, what the rounding left): together the exact difference."""
    hi = a - b
    v = hi - a
    return hi, (a - (hi - v)) - (b + v)


def _mean(name, value):
    array = to_numpy(real_array(name, value, "a finite vector of shape (d,)"))
    if array.ndim == 0:
        array = array.reshape(1)
    if array.ndim != 1 or array.shape[0] == 0:
        fail(f"{name} (shape {array.shape})", value, "shape (d,)")
    return array


# ------------------------------------------------------------------------------------------------------------------- W2


def _length(a, b):
    """Euclidean length of all entries of two arrays; squares that would be lost near 1e-308 are formed in a larger unit."""
    square = np.sum(a * a) + np.sum(b * b)
    if square > 1e-240:
        return math.sqrt(square)
    size = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return size * math.sqrt(np.sum((a / size) ** 2) + np.sum((b / size) ** 2)) if size > 0 else 0.0


#: Relative error that the quick form of `_bures` may have.
_ACCURACY = 1e-12
#: Covariances with a smaller eigenvalue, in units of their variances, are rotated with exact products: 1e-13 would be lost.
ROTATE = 1e-3


def _bures(shift, first, second):
    """Bures W2 of two `Factor`: the quick form, or the careful one where rounding would be felt."""
    if first.diagonal and second.diagonal:
        sums = first.root + second.root
        if not sums.all():
            sums = np.where(sums > 0, sums, 1.0)
        return _length(shift, (first.cov - second.cov) / sums)
    value = _procrustes(shift, first.square_root(), second.square_root())
    least = min(first.least, second.least)
    size = _length(first.root, second.root)
    if EPS * size <= _ACCURACY * math.sqrt(least) * value:
        return value
    return _near(shift, first, second, least)


def _procrustes(shift, factor1, factor2):
    r"""Bures W2 from factors: min over orthogonal U of |S1 - S2 U|_F, by the polar factor of S2^T S1.

    tr C1 + tr C2 - 2 tr (C1^{1/2} C2 C1^{1/2})^{1/2} is the same number but cancels: it loses half the digits where
    the laws are close. Here the difference is formed before it is squared.
    """
    if factor1.shape != factor2.shape:
        rank = max(factor1.shape[1], factor2.shape[1])
        factor1, factor2 = (np.pad(f, ((0, 0), (0, rank - f.shape[1]))) for f in (factor1, factor2))
    left, _, right = np.linalg.svd(factor2.T @ factor1)
    return _length(shift, factor1 - factor2 @ (left @ right))


def _near(shift, first, second, least):
    r"""Bures W2 of covariances that nearly agree, from their exact difference D = C2 - C1.

    G = S2 Q - S1, whose length is the distance, solves the Sylvester equation C1 G + G H = D S1 with H = S1^T S2 Q, which is
    positive semidefinite: the matrix form of sqrt b - sqrt a = (b - a) / (sqrt b + sqrt a). Where neither covariance is
    singular, all matrices are first rotated, with exact products, to the eigenvectors of one: its small eigenvalues are then
    entries of their own, and keep their digits.
    """
    c1, c2 = first.matrix(), second.matrix()
    d = len(c1)
    gap, tail = difference(c2, c1)
    s1, s2 = first.square_root(), second.square_root()
    if least < ROTATE and min(first.rank, second.rank) == d:
        # The rotation is orthogonal to d eps only, which changes the distance by as much, relatively.
        t = np.linalg.eigh(c1 if first.least <= second.least else c2)[1]
        c1, c2, gap, shift = congruence(t, c1), congruence(t, c2), congruence(t, gap, tail), t.T @ shift
        s1, s2 = _root(c1), _root(c2)

    # Large variances first and triangular factors: LAPACK keeps small entries of matrices that decrease like that.
    order = np.argsort(-np.maximum(np.diag(c1), np.diag(c2)))
    gap, s1, s2 = gap[np.ix_(order, order)], s1[order], s2[order]
    s1, s2 = np.linalg.qr(s1.T, mode="r").T, np.linalg.qr(s2.T, mode="r").T

    # Both forms of G in the bases in which the Sylvester equation is diagonal.
    basis, scale, _ = np.linalg.svd(s1)
    left, cross, right = np.linalg.svd(s2.T @ s1)
    direct = basis.T @ (s2 @ (left @ right) - s1) @ right.T
    sums = scale[:, None] ** 2 + cross
    sums = np.where(sums > 0, sums, np.inf)
    solved = basis.T @ (gap @ s1) @ right.T / sums

    # Each entry from the form that rounds less.
    rows = _row_lengths(s1) + _row_lengths(s2)
    loss_direct = np.abs(basis.T) @ rows
    loss_solved = np.abs(basis.T) @ (np.abs(gap) @ _row_lengths(s1))
    loss_solved = loss_solved[:, None] / sums + np.abs(solved) * (np.max(cross) / sums)
    better = np.isfinite(sums) & (loss_solved < loss_direct[:, None])
    return _length(shift, np.where(better, solved, direct))


def _row_lengths(a):
    return np.sqrt(np.sum(a * a, axis=1))


def _root(cov):
    """Factor of a covariance that is positive definite, but for rounding, in the units of its standard deviations."""
    variances = np.diag(cov)
    unit = _unit(np.maximum(variances, EPS**2 * np.max(variances)))
    values, vectors = np.linalg.eigh(cov / unit / unit[:, None])
    return unit[:, None] * (vectors * np.sqrt(np.maximum(values, 0.0)))


@in_range
def bures_w2(mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike) -> float:
    r"""W2 distance of two Gaussians in closed form (Dowson-Landau, Olkin-Pukelsheim, Givens-Shortt).

    .. math:: W_2^2 = |m_1 - m_2|^2 + \mathrm{tr}\,[C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2}].

    Parameters
    ----------
    mean1, mean2 : array, shape (d,)
    cov1, cov2 : number, array of shape (d,) (diagonal) or (d, d)
        Symmetric positive semidefinite, also in its small entries; singular ones are allowed.

    Returns
    -------
    float
        W2, not its square. The error is relative to W2 itself, also where the laws nearly agree and where variances
        differ by many orders of magnitude: below 1e-9 in 90-digit references with variances from 1 to 1e-60. What remains
        is 4e-9 where the correlations have eigenvalues near 1e-12 and the laws agree to 1e-12.

    Raises
    ------
    ValueError
        Naming the argument: wrong shapes, or a covariance that is not symmetric or not positive semidefinite. Every entry
        counts against ``sqrt(c_ii c_jj)``, not against the largest one.

    Notes
    -----
    Diagonal covariances are taken literally. The entries of another matrix do not tell a singular one from one whose
    correlation matrix (rows and columns divided by standard deviations) has eigenvalues below d eps of the largest: these
    count as 0. If they are not, W2 is off by at most ``2 d sqrt(eps tr C)`` for each such covariance C; with the variances
    of commuting covariances in the axes of their eigenvectors, as arrays of shape (d,), nothing is off.

    Examples
    --------
    >>> round(1e10 * bures_w2([0, 0], [1, 1e-20], [0, 0], [1, 4e-20]), 12)
    1.0
    """
    mean1, mean2 = _mean("mean1", mean1), _mean("mean2", mean2)
    d = mean1.shape[0]
    if mean2.shape[0] != d:
        fail(f"mean2 (shape {mean2.shape})", mean2, f"shape ({d},), as mean1")
    return _bures(mean1 - mean2, _covariance_factor("cov1", cov1, d), _covariance_factor("cov2", cov2, d))


def _moments(name, value, weights):
    """(origin, mean - origin, `Factor` or factor (d, r)) of samples, of a pair (mean, cov) or of a law."""
    if isinstance(value, tuple):
        if len(value) != 2:
            fail(name, value, "points of shape (n, d), a pair (mean, covariance) or a law")
        mean = _mean(f"{name}[0]", value[0])
        return mean, np.zeros_like(mean), _covariance_factor(f"{name}[1]", value[1], mean.shape[0])
    if hasattr(value, "mean") and hasattr(value, "covariance"):
        mean = _mean(f"{name}.mean", value.mean)
        return mean, np.zeros_like(mean), _covariance_factor(f"{name}.covariance", value.covariance, mean.shape[0])
    samples = to_numpy(points(name, value, allow_empty=False))
    a = to_numpy(_weights(f"weights_{name}", weights, samples.shape[0]))
    origin = samples[0]
    centred = samples - origin  # a mean of numbers near 1e8 would round by 1e-8, and so would weights that sum to 1 + eps
    mean = a @ centred
    centred -= mean
    centred *= np.sqrt(a)[:, None]
    return origin, mean, np.linalg.qr(centred, mode="r").T  # R^T R is the covariance: no squared condition number


@in_range
def gelbrich(x: Any, y: Any, weights_x: ArrayLike | None = None, weights_y: ArrayLike | None = None) -> float:
    r"""Lower bound of W2 by first and second moments (Gelbrich 1990): the Bures distance of the moments.

    Equality holds for Gaussians, more generally when an affine map with symmetric positive semidefinite matrix
    carries one law to the other. Between covariances as accurate as `bures_w2`; with samples, the means are differences
    from the first sample, so that a common offset costs nothing, and the absolute error is about d eps times the largest
    standard deviation, divided by the root of the smallest eigenvalue of a given correlation matrix.

    Parameters
    ----------
    x, y : array (n, d), or a pair (mean, covariance), or a law with ``mean`` and ``covariance``
        Samples enter with the moments of their empirical law (divisor n), so the bound holds for `w2` of the same
        samples exactly, and for the sampled laws only up to sampling error.
    weights_x, weights_y : array, optional
        Weights of samples.

    Returns
    -------
    float

    Examples
    --------
    >>> gelbrich(([0.0], [[1.0]]), ([3.0], [[25.0]]))
    5.0
    """
    origin1, mean1, factor1 = _moments("x", x, weights_x)
    origin2, mean2, factor2 = _moments("y", y, weights_y)
    if mean1.shape != mean2.shape:
        fail(f"y (dimension {mean2.shape[0]})", y, f"the dimension of x, {mean1.shape[0]}")
    shift = (origin1 - origin2) + (mean1 - mean2)
    if isinstance(factor1, Factor) and isinstance(factor2, Factor):
        return _bures(shift, factor1, factor2)
    return _procrustes(shift, *(f.square_root() if isinstance(f, Factor) else f for f in (factor1, factor2)))


# ------------------------------------------------------------------------------------------ Kullback-Leibler divergence


@in_range
def gaussian_kl(mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike) -> float:
    r"""Kullback-Leibler divergence KL(N1 || N2) of two Gaussians, expectation under the *first*.

    .. math:: \mathrm{KL} = \tfrac12 \sum_i (u_i - \log(1 + u_i)) + \tfrac12 (m_1-m_2)^T C_2^{-1} (m_1-m_2),

    where u_i are the eigenvalues of :math:`C_2^{-1/2} (C_1 - C_2) C_2^{-1/2}`. The difference is formed first and the
    terms are nonnegative, so divergences of 1e-20 keep their relative accuracy (trace minus log-determinant has none).
    Relative errors are below 1e-11 in 90-digit references with variances from 1 to 1e-60 and condition numbers up to 1e15.

    Parameters
    ----------
    mean1, mean2 : array, shape (d,)
    cov1, cov2 : number, array of shape (d,) (diagonal) or (d, d)
        Symmetric positive semidefinite, also in its small entries.

    Returns
    -------
    float
        In nats. ``inf`` unless N1 and N2 live on the same affine subspace.

    Raises
    ------
    ValueError
        Naming the argument: wrong shapes, or a covariance that is not symmetric or not positive semidefinite. Every entry
        counts against ``sqrt(c_ii c_jj)``, not against the largest one.

    Notes
    -----
    Diagonal covariances are taken literally. The entries of another matrix do not tell a singular one from one whose
    correlation matrix (rows and columns divided by standard deviations) has eigenvalues below d eps of the largest: these
    count as 0, and the divergence is that of singular laws, also ``inf``. If they are not 0, give the variances of
    commuting covariances in the axes of their eigenvectors, as arrays of shape (d,), with the means in the same axes.

    Examples
    --------
    >>> round(gaussian_kl([0, 0], [1, 1e-20], [0, 0], [1, 4e-20]), 12)
    0.31814718056
    """
    mean1, mean2 = _mean("mean1", mean1), _mean("mean2", mean2)
    d = mean1.shape[0]
    if mean2.shape[0] != d:
        fail(f"mean2 (shape {mean2.shape})", mean2, f"shape ({d},), as mean1")
    first, second = _covariance_factor("cov1", cov1, d), _covariance_factor("cov2", cov2, d)
    shift = mean1 - mean2
    if first.diagonal and second.diagonal:
        c1, c2 = first.cov, second.cov
        if np.any((c1 == 0) != (c2 == 0)) or np.any(shift[c2 == 0] != 0):
            return math.inf
        c1, c2, shift = c1[c2 > 0], c2[c2 > 0], shift[c2 > 0]
        u = (c1 - c2) / c2
        far = u < _FAR
        logs = math.fsum(np.log(c1[far]) - np.log(c2[far])) if far.any() else 0.0
        return _gaussian_kl(u, logs, shift / np.sqrt(c2))
    if first.rank != second.rank:
        return math.inf
    size = np.abs(mean1) + np.abs(mean2)
    return _singular_kl(first, second, shift, size) if second.rank < d else _regular_kl(first, second, shift)


def _rotated(factor):
    """``(t, unit, values, vectors)`` of ``t.T @ cov @ t``, a regular covariance in axes in which it is well conditioned."""
    t = factor.vectors / factor.unit[:, None]
    cov = congruence(t, factor.matrix())
    unit = np.sqrt(np.maximum(np.diag(cov), EPS))
    values, vectors = np.linalg.eigh(cov / unit / unit[:, None])
    if not values[0] > EPS:
        fail(f"covariance (smallest eigenvalue {factor.least:.1g} where all variances are near 1)", factor.cov,
             "a matrix whose rounding leaves it positive definite, or its variances in the axes of its eigenvectors, as an "
             "array of shape (d,), with both means and the other covariance in the same axes")  # fmt: skip
    return t, unit, values, vectors


def _log_determinant(factor):
    if factor.least < ROTATE:
        _, unit, values, _ = _rotated(factor)
        return 2 * math.fsum(np.log(factor.unit)) + 2 * math.fsum(np.log(unit)) + math.fsum(np.log(values))
    units = 0.0 if factor.diagonal else 2 * math.fsum(np.log(factor.unit))
    return units + math.fsum(np.log(factor.values))


def _regular_kl(first, second, shift):
    """KL of regular covariances: C1 - C2 whitened by C2, in the units and, where it matters, the axes of C2."""
    gap, tail = difference(first.matrix(), second.matrix())
    if second.least < ROTATE:
        t, unit, values, vectors = _rotated(second)
        gap, shift = congruence(t, gap, tail), t.T @ shift
    elif second.diagonal:
        unit, values, vectors = second.root, np.ones(len(shift)), np.eye(len(shift))
    else:
        unit, values, vectors = second.unit, second.values, second.vectors
    whiten = vectors / np.sqrt(values)
    white = whiten.T @ (gap / unit / unit[:, None]) @ whiten
    u = np.linalg.eigvalsh((white + white.T) / 2)
    logs = 0.0
    if u[0] < _FAR:
        logs = _log_determinant(first) - _log_determinant(second) - math.fsum(np.log1p(u[u >= _FAR]))
    return _gaussian_kl(u, logs, whiten.T @ (shift / unit))


def _singular_kl(first, second, shift, size):
    """KL of two singular covariances of the same rank, in the units of the second; inf unless their ranges agree."""
    d = len(shift)
    unit = np.ones(d) if second.diagonal else second.unit
    vectors = np.eye(d) if second.diagonal else second.vectors
    alive = second.values > 0
    outside = vectors[:, ~alive]
    slack = 16 * d * EPS
    root = first.square_root() / unit[:, None]
    if np.any(_columns(root.T @ outside) > math.sqrt(slack) * (np.abs(outside).T @ _columns(root.T))):
        return math.inf
    if np.any(np.abs(outside.T @ (shift / unit)) > slack * (np.abs(outside).T @ (size / unit))):
        return math.inf
    whiten = vectors[:, alive] / np.sqrt(second.values[alive])
    white = whiten.T @ ((first.matrix() - second.matrix()) / unit / unit[:, None]) @ whiten
    u = np.linalg.eigvalsh((white + white.T) / 2)
    logs = 0.0
    if u[0] < _FAR:
        image = whiten.T @ root[:, first.values > 0]
        logs = 2 * np.linalg.slogdet(image)[1] - math.fsum(np.log1p(u[u >= _FAR]))
    return _gaussian_kl(u, logs, whiten.T @ (shift / unit))


def _columns(a):
    """Euclidean lengths of the columns."""
    return np.sqrt(np.sum(a * a, axis=0))


#: Eigenvalues u of the whitened difference below this are too close to -1 to tell log(1 + u): the determinants do.
_FAR = -0.9


def _gaussian_kl(u, logs, shift):
    """KL from the eigenvalues u of the whitened C1 - C2, the sum of log(1 + u) over u < _FAR and the whitened shift."""
    far = u < _FAR
    if far.any():
        terms = math.fsum(_u_minus_log1p(np, u[~far])) + (math.fsum(u[far]) - logs)
    else:
        terms = math.fsum(_u_minus_log1p(np, u))
    return 0.5 * (terms + math.fsum(shift * shift))
