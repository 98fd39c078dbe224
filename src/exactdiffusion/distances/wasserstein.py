"""Wasserstein distances with a certificate, their closed forms on Gaussians, and the bounds that need no solver.

Use the highest rung that applies: closed form (`bures_w2`), one dimension (`w2` sorts), known atoms (`w2` with
weights), same-noise coupling (`coupling_bound`, an upper bound), `gelbrich` (a lower bound), and only then the
empirical distance of two samples, read together with that of `exact_draws`.
"""

import math
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from .._core.arrays import array_namespace, to_numpy
from .._core.typing import ArrayLike, ClosedSet, Rng
from .._core.validation import choice, fail, in_range, integer, points, real_array, scalar
from .._core.validation import weights as _weights
from . import semidiscrete, transport
from .rates import t_interval

__all__ = [
    "ExactDraws",
    "W2Result",
    "bures_w2",
    "coupling_bound",
    "exact_draws",
    "gelbrich",
    "w2",
    "w2_to_set",
    "wasserstein_1d",
]

EPS = float(np.finfo(np.float64).eps)

#: Bytes per (x, y) pair while POT's network simplex runs: the cost, the plan and arcs, flows, states (measured: 41-42).
_EMD_BYTES = 42
#: The same for scipy's assignment solver: the cost and its finiteness mask; blocks of 32 MB come on top.
_LSA_BYTES = 9
#: "auto" stores the matrix of all costs up to this number of pairs, in at most 8 dimensions and in more. Measured: it takes
#: the faster method, or one that is at most 20 % slower.
_DENSE_PAIRS = 30_000
_DENSE_PAIRS_HIGH = 150_000


@dataclass(frozen=True)
class W2Result:
    """Wasserstein-2 distance between two discrete laws, with its certificate.

    Attributes
    ----------
    value : float
        W2, the square root of ``squared`` (unit of the coordinates).
    squared : float
        Cost of the returned coupling: an upper bound of W2^2 up to rounding.
    lower, lower_squared : float
        Certified lower bounds of W2 and of W2^2, rounding already subtracted.
    gap : float
        ``squared - lower_squared`` >= 0, in squared units: the exact W2^2 lies in
        ``[squared - gap, squared]`` up to the rounding of ``squared`` itself.
    tolerance : float
        Largest gap of a certified answer, in squared units: 1e-9 ``squared`` + 64 eps (sum a |u| + sum b |v|).
    certified : bool
        ``gap <= tolerance``.
    method : str
        ``"sorted"`` (one dimension), ``"emd"`` (network simplex on all pairs), ``"sparse"`` (on few, priced on all) or
        ``"assignment"``.
    n, m : int
        Numbers of atoms of the two sides, those of weight zero included.
    coupling : tuple of ndarray
        ``(rows, columns, mass)`` of the nonzero entries of the optimal plan.
    """

    value: float
    squared: float
    lower: float
    lower_squared: float
    gap: float
    tolerance: float
    certified: bool
    method: str
    n: int
    m: int
    coupling: tuple = field(repr=False, compare=False)

    def __float__(self):
        return self.value


def w2(
    x: ArrayLike,
    y: ArrayLike,
    weights_x: ArrayLike | None = None,
    weights_y: ArrayLike | None = None,
    method: Literal["auto", "sorted", "emd", "sparse", "assignment"] = "auto",
    *,
    certified: Literal["warn", "require"] = "warn",
    max_bytes: int = 2**31,
) -> W2Result:
    r"""Exact Wasserstein-2 distance of two weighted clouds, with a dual certificate.

    .. math:: W_2^2 = \min_{\pi \ge 0} \sum_{ij} \pi_{ij} |x_i - y_j|^2, \quad \pi 1 = a, \ \pi^T 1 = b.

    For *any* v, u_i = min_j (|x_i - y_j|^2 - v_j) is dual feasible, so a.u + b.v <= W2^2 <= cost of the plan
    (weak duality of Kantorovich's linear program). The answer is certified only if the two ends meet: their gap is at most
    1e-9 W2^2 + 64 eps (sum a |u| + sum b |v|), the second term for the rounding of the dual. No larger scale enters: neither
    the diameter of the clouds nor their distance from the origin.

    Parameters
    ----------
    x, y : array, shapes (n, d) and (m, d)
        Atoms. Semi-discrete use: samples in ``x``, the atoms of the target with their weights in ``y``.
    weights_x, weights_y : array, shapes (n,) and (m,), optional
        Nonnegative, summing to 1; equal weights when absent. Atoms of weight 0 are ignored.
    method : {"auto", "sorted", "emd", "sparse", "assignment"}
        "sorted" is the quantile coupling, for d = 1 only. "emd" is POT's network simplex on the matrix of all costs.
        "sparse" runs it on few arcs, prices all pairs in blocks and adds those that violate the dual constraints until
        none does: the same optimum in O(n + m) memory (`exactdiffusion.distances.transport`); many rows and few atoms are
        first reduced to the rows near a tie of two atoms (`exactdiffusion.distances.semidiscrete`). "assignment" is
        scipy's `linear_sum_assignment`, for equal weights and n = m. "auto" takes "sorted" for d = 1, "emd" up to 30,000
        pairs of atoms (150,000 in more than 8 dimensions), and "sparse" above; where one of these does not fit in
        ``max_bytes``, the other, then "assignment" where that applies. Where "sparse" has taken about the work of "emd"
        without an end, and "emd" fits, "auto" goes over to it.
    certified : {"warn", "require"}
        What an answer without a certificate does: it is returned with a warning, or raises.
    max_bytes : int
        Largest workspace, 2 GiB by default.

    Returns
    -------
    W2Result

    Raises
    ------
    ValueError
        Bad input, or a cost matrix over ``max_bytes``: the message gives the bytes needed and the alternatives.
    RuntimeError
        The solver did not report an optimal plan, or the answer is not certified and ``certified="require"``. No other
        method is tried.

    Warns
    -----
    RuntimeWarning
        The gap exceeds its tolerance: W2 lies between ``lower`` and ``value``, and ``certified`` is False.

    Notes
    -----
    Costs are sums of squared explicit differences: relative error (d/2 + 2) eps, so equal points cost exactly 0, and
    nearly equal clouds keep their digits at any offset. Distances below 1e-154 of the reach of both clouds square to 0.

    Clouds further apart than their radius are centred first, W2^2 = |mean difference|^2 + W2^2 of the centred clouds.
    Groups of atoms far from one another whose masses balance are solved one by one and certified together.

    Weights enter with their exact ratios: the masses of the plan are integers until the end, also over 12 decades. Rows that
    occur more than once are merged where a tenth of them repeats another (samples that collapsed on atoms); the coupling
    returned is that of the copies.

    The dual value is summed exactly from u and v; u_i is a minimum over costs rounded down, and 4 eps of every term for the
    rounding of weights, products and u are subtracted from ``lower``. Gaps of 1e-15 to 1e-11 W2^2 were seen.

    This is the distance between the two *discrete* laws given. Between two samples of continuous laws its expected
    square is never below that of the laws and exceeds it by what `exact_draws` measures. It is not the distance of a
    sample to a set (`w2_to_set`), nor an entropic (Sinkhorn) approximation.
    """
    x, y = points("x", x, allow_empty=False), points("y", y, allow_empty=False)
    if x.shape[1] != y.shape[1]:
        fail(f"y (shape {tuple(y.shape)})", y, f"the dimension of x, {x.shape[1]}")
    choice("method", method, ("auto", "sorted", "emd", "sparse", "assignment"))
    choice("certified", certified, ("warn", "require"))
    max_bytes = integer("max_bytes", max_bytes, low=1)
    x, y = to_numpy(x), to_numpy(y)
    (n, d), m = x.shape, y.shape[0]
    equal = weights_x is None and weights_y is None
    a, b = _raw_weights("weights_x", weights_x, n), _raw_weights("weights_y", weights_y, m)
    if method == "sorted" or (method == "auto" and d == 1):
        if d != 1:
            fail("method", method, f"'auto', 'emd', 'sparse' or 'assignment' in dimension d = {d}: quantiles need d = 1")
        return _sorted_result(x[:, 0], y[:, 0], a, b, equal)
    if method == "assignment" and not (equal and n == m):
        fail("method", method, f"'auto', 'emd' or 'sparse' here: assignment needs equal weights and n = m, not {n} and {m}")
    keep_x, keep_y = np.flatnonzero(a), np.flatnonzero(b)
    x, y, a, b = x[keep_x], y[keep_y], a[keep_x], b[keep_y]
    groups = [None, None] if method == "assignment" else [transport.merge_rows(cloud) for cloud in (x, y)]
    merged = any(group is not None for group in groups)
    sizes = [len(cloud if group is None else group[0]) for cloud, group in zip((x, y), groups)]
    auto, method = method == "auto", _method(method, sizes[0], sizes[1], d, equal and n == m and not merged, max_bytes)
    x, y, offset = _separate(x, y, a, b)
    found = None
    if method == "sparse" and auto and sizes[0] * sizes[1] * _EMD_BYTES <= max_bytes:
        found = _solve(x, y, a, b, equal, groups, method, work=transport.dense_work(*sizes))
        method = "emd" if found is None else method
    if found is None:
        found = _solve(x, y, a, b, equal, groups, method)
    result = _result(found, offset, d, method, keep_x, keep_y, n, m)
    if not result.certified:
        text = (
            f"optimal transport ({method}) of {n} x {m} atoms in dimension {d}: W2^2 lies between "
            f"{result.lower_squared:.9g} and {result.squared:.9g}, a gap of {result.gap:.3g} where {result.tolerance:.3g} "
            "is accepted: not certified. "
            "Another method or fewer atoms may do better"
        )
        if certified == "require":
            raise RuntimeError(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return result


def _raw_weights(name, value, n):
    """The weights as given, checked: their exact ratios count, and their sum is divided out in integers."""
    checked = to_numpy(_weights(name, value, n))
    return checked if value is None else to_numpy(real_array(name, value)).astype(np.float64)


def _method(method, n, m, d, assignable, max_bytes):
    """Method for n x m atoms; ValueError where it does not fit in ``max_bytes``."""
    needed = {"emd": n * m * _EMD_BYTES, "sparse": transport.workspace(n, m, d), "assignment": n * m * _LSA_BYTES}
    if method == "auto":
        most = _DENSE_PAIRS if d <= 8 else _DENSE_PAIRS_HIGH
        order = ["emd", "sparse"] if n * m <= most else ["sparse", "emd"]
        order += ["assignment"] * assignable
        method = next((name for name in order if needed[name] <= max_bytes), order[0])
    if needed[method] > max_bytes:
        per_atom = transport.workspace(1, 1, d) - transport.workspace(0, 0, d)
        most = max_bytes // per_atom if method == "sparse" else math.isqrt(max_bytes // _EMD_BYTES)
        raise ValueError(
            f"x, y: {n} x {m} atoms need {needed[method]} bytes ({needed[method] / 2**30:.2f} GiB) with method "
            f"{method!r}, max_bytes allows {max_bytes}; alternatives: fewer samples (not more than "
            f"{most} a side), the weighted atoms of a discrete target as y, "
            "gelbrich (lower bound), coupling_bound (upper bound), one-dimensional projections, or a larger max_bytes"
        )
    return method


def _check_reach(x, y):
    """Refuse clouds whose squared distances would overflow."""
    low, high = np.minimum(x.min(axis=0), y.min(axis=0)), np.maximum(x.max(axis=0), y.max(axis=0))
    half = float(np.max(high / 2 - low / 2))
    if not half <= 5e149:
        fail("x, y", 2 * half, "coordinates within 1e150 of one another (their squares overflow otherwise)")


def _separate(x, y, a, b):
    """Centred clouds and the part of W2^2 that the means carry, or the clouds as they are and 0.

    For any vectors p, q and any coupling, E|x - y|^2 = E|x' - y'|^2 + |p - q|^2 + 2 (p - q).E(x' - y') with x' = x - p,
    y' = y - q. Clouds that may be equal are left alone: their costs must stay exact zeros.
    """
    _check_reach(x, y)
    a, b = a / math.fsum(a), b / math.fsum(b)
    p, q = a @ x, b @ y
    scale = float(np.max(np.abs(p - q)))
    centred_x, centred_y = x - p, y - q
    if scale == 0 or scale < max(float(np.max(np.abs(centred_x))), float(np.max(np.abs(centred_y)))):
        return x, y, 0.0
    drift = [math.fsum(a * u) - math.fsum(b * v) for u, v in zip(centred_x.T, centred_y.T, strict=True)]
    return centred_x, centred_y, math.fsum((p - q) ** 2 + 2 * (p - q) * drift)


def _solve(x, y, a, b, equal, groups, method, work=math.inf):
    """Plan and potentials (`sparse_transport.solve`) on the distinct atoms, the plan split over the copies.

    Costs are divided by 4**exponent. None where ``work`` was spent ("sparse").
    """
    masses_x, masses_y, total = transport.masses(a, b, equal)
    clouds, masses = [], []
    for cloud, mass, group in zip((x, y), (masses_x, masses_y), groups):
        if group is not None:
            copies, mass = mass, np.zeros(len(group[0]), dtype=mass.dtype)
            np.add.at(mass, group[1], copies)
        clouds.append(cloud if group is None else cloud[group[0]])
        masses.append(mass)
    reach = np.maximum(clouds[0].max(axis=0), clouds[1].max(axis=0))
    reach = reach - np.minimum(clouds[0].min(axis=0), clouds[1].min(axis=0))
    exponent = math.frexp(float(np.max(reach)) * math.sqrt(x.shape[1]))[1]
    clouds = [np.ldexp(cloud, -exponent) for cloud in clouds]
    found = None
    if method == "assignment":
        found = _assignment(*clouds, *masses, total)
    elif method == "sparse" and semidiscrete.applies(*map(len, clouds)):
        found = semidiscrete.solve(*clouds, *masses, total, work)
    if found is None:
        found = transport.solve(*clouds, *masses, total, work=work, dense=method == "emd")
    if found is None:
        return None
    if not all(
        np.array_equal(_sums(found[name], found["flow"], mass), mass) for name, mass in zip(("rows", "columns"), masses)
    ):
        raise RuntimeError(f"optimal transport ({method}): the plan misses its marginals, which are integers here")
    shares = [transport.shares(mass, total) for mass in masses]
    terms = [share * potential for share, potential in zip(shares, (found["u"], found["v"]))]
    found["dual"] = math.fsum(np.concatenate(terms))
    found["size"] = math.fsum(np.abs(np.concatenate(terms)))
    for (name, other), group, copies in zip((("rows", "columns"), ("columns", "rows")), groups, (masses_x, masses_y)):
        if group is not None:
            found[name], entries, found["flow"] = transport.split_plan(group[1], copies, found[name], found["flow"])
            found[other], found["cost"] = found[other][entries], found["cost"][entries]
    found["mass"], found["exponent"] = transport.shares(found["flow"], total), exponent
    return found


def _sums(index, flow, like):
    out = np.zeros(len(like), dtype=like.dtype)
    np.add.at(out, index, flow)
    return out


def _assignment(x, y, a, b, total):
    """Optimal permutation by scipy; its potentials come from the polish."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    rows, columns = linear_sum_assignment(cdist(x, y, "sqeuclidean"))
    pairs = transport.Pairs(x, y)
    share = transport.shares(a, total)
    *arcs, v = transport.first_arcs(pairs, share, share, transport.neighbours(pairs.d))
    arcs = (*arcs, pairs.cost(*arcs))
    return transport.polish(pairs, rows, columns, a, total, arcs, share, share, v)


def _result(found, offset, d, method, keep_x, keep_y, n, m):
    """Weak duality: the cost of the plan, the dual value less its rounding, and whether they meet."""
    squared = math.ldexp(math.fsum(found["mass"] * found["cost"]), 2 * found["exponent"]) + offset
    # Weights and products are rounded, u by half a unit: 4 eps of every term. Centring rounds x' and y' to eps of the
    # radius, itself below |p - q|: 12 eps offset, plus d + 4 for the sums.
    slack = math.ldexp(4 * EPS * found["size"], 2 * found["exponent"]) + (d + 16) * EPS * offset
    lower_squared = min(max(math.ldexp(found["dual"], 2 * found["exponent"]) + offset - slack, 0.0), squared)
    tolerance = transport.ACCURACY * squared + math.ldexp(64 * EPS * found["size"], 2 * found["exponent"])
    return W2Result(
        value=math.sqrt(squared),
        squared=squared,
        lower=math.sqrt(lower_squared),
        lower_squared=lower_squared,
        gap=squared - lower_squared,
        tolerance=tolerance,
        certified=squared - lower_squared <= tolerance,
        method=method,
        n=n,
        m=m,
        coupling=(keep_x[found["rows"]], keep_y[found["columns"]], found["mass"]),
    )


def _quantile_coupling(x, y, a, b, equal):
    """Rows, columns and masses of the monotone coupling of two weighted samples of the line."""
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    n, m = x.size, y.size
    if equal and n == m:
        return i, j, a
    if equal:  # breakpoints k m and l n of [0, n m]: integers, so ties are exact
        left, right = np.arange(1, n + 1) * m, np.arange(1, m + 1) * n
        knots = np.union1d(left, right)
        rows, columns = np.searchsorted(left, knots), np.searchsorted(right, knots)
        return i[rows], j[columns], np.diff(knots, prepend=0) / (n * m)
    left, right, total = transport.masses(a[i], b[j], False)
    left, right, k, l = left.tolist(), right.tolist(), 0, 0
    plan = []  # one walk along both sides, in integers: nothing is lost beside a weight 1e12 times as large
    while k < n and l < m:
        moved = min(left[k], right[l])
        if moved:
            plan.append((k, l, moved / total))
        left[k] -= moved
        right[l] -= moved
        k, l = k + (not left[k]), l + (not right[l])
    rows, columns, mass = zip(*plan)
    return i[list(rows)], j[list(columns)], np.array(mass)


def _sorted_result(x, y, a, b, equal):
    """W2 of two laws on the line: the monotone coupling is optimal for every convex cost."""
    n, m = x.size, y.size
    rows, columns, mass = _quantile_coupling(x, y, a, b, equal)
    reach = max(abs(float(x.max()) - float(y.min())), abs(float(y.max()) - float(x.min())))
    if not reach <= 1e150:
        fail("x, y", reach, "coordinates within 1e150 of one another (their squares overflow otherwise)")
    squared = math.fsum(mass * (x[rows] - y[columns]) ** 2)
    rounding = 6 * EPS * squared  # difference, square, mass, product, sum: relative, the masses are exact
    lower_squared = max(squared - rounding, 0.0)
    return W2Result(
        value=math.sqrt(squared),
        squared=squared,
        lower=math.sqrt(lower_squared),
        lower_squared=lower_squared,
        gap=squared - lower_squared,
        tolerance=transport.ACCURACY * squared,
        certified=True,
        method="sorted",
        n=n,
        m=m,
        coupling=(rows, columns, mass),
    )


@in_range
def wasserstein_1d(
    x: ArrayLike, y: ArrayLike, p: Literal[1, 2] = 2, weights_x: ArrayLike | None = None, weights_y: ArrayLike | None = None
) -> float:
    r"""W1 or W2 on the line by sorting: :math:`(\int_0^1 |F^{-1}(u) - G^{-1}(u)|^p du)^{1/p}`.

    Parameters
    ----------
    x, y : array, shapes (n,) or (n, 1), and (m,) or (m, 1)
        Samples or atoms.
    p : {1, 2}
        Order. W1 is also the integral of the absolute difference of the distribution functions.
    weights_x, weights_y : array, optional
        Nonnegative, summing to 1; equal weights when absent.

    Returns
    -------
    float
        In the unit of the coordinates. Equal numbers of points without weights: relative error 32 eps up to 10^6 points
        (pairwise sums).
    """
    x, y = _line("x", x), _line("y", y)
    p = integer("p", p, low=1, high=2)
    equal = weights_x is None and weights_y is None
    a, b = _raw_weights("weights_x", weights_x, x.size), _raw_weights("weights_y", weights_y, y.size)
    if equal and x.size == y.size:  # two sorts of values, no coupling: several times faster than `w2`
        _check_reach(x[:, np.newaxis], y[:, np.newaxis])
        difference = np.abs(np.sort(x) - np.sort(y))
        return math.sqrt(float(np.mean(difference * difference))) if p == 2 else float(np.mean(difference))
    if p == 2:
        return _sorted_result(x, y, a, b, equal).value
    rows, columns, mass = _quantile_coupling(x, y, a, b, equal)
    return math.fsum(mass * np.abs(x[rows] - y[columns]))


def _line(name, value):
    array = real_array(name, value, "finite real numbers of shape (n,) or (n, 1)")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.shape[0] == 0:
        fail(f"{name} (shape {tuple(array.shape)})", value, "shape (n,) or (n, 1) with n >= 1")
    return to_numpy(array)


@in_range
def w2_to_set(x: ArrayLike, law: ClosedSet, weights: ArrayLike | None = None) -> float:
    r"""W2 distance of the law of ``x`` to the set of all laws carried by a closed set K.

    .. math:: \min_{\mu(K) = 1} W_2^2(\mathrm{law}(x), \mu) = E\, d_K(x)^2,

    attained by the law of the projection. It is the only W2 statement that the projection paper (arXiv 2306.04848,
    Theorem 4.2 read through this identity) supports. Not the distance to the data law: a sampler that collapses onto
    one atom has distance 0 here.

    Parameters
    ----------
    x : array, shape (n, d)
    law : closed set with ``distance(x)`` -> (n,), e.g. PointCloud, Sphere, Subspace, Torus
    weights : array, shape (n,), optional

    Returns
    -------
    float
    """
    x = points("x", x, allow_empty=False)
    if not callable(getattr(law, "distance", None)):
        fail("law", law, "a closed set with a method distance(x)")
    a = to_numpy(_weights("weights", weights, x.shape[0]))
    distance = to_numpy(law.distance(x))
    return math.sqrt(math.fsum(a * distance**2))


@in_range
def coupling_bound(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    r"""Upper bound of W2 by the coupling that pairs row i with row i: :math:`\sqrt{E |x_i - y_i|^2}`.

    With x and y driven by the same noise it is free of the n^(-1/d) of empirical W2 of exact draws. Any array namespace.

    Parameters
    ----------
    x, y : array, shape (n, d)
    weights : array, shape (n,), optional

    Returns
    -------
    float
    """
    x = points("x", x, allow_empty=False)
    y = points("y", y, dim=x.shape[1], allow_empty=False)
    if tuple(y.shape) != tuple(x.shape):
        fail(f"y (shape {tuple(y.shape)})", y, f"the shape of x, {tuple(x.shape)}")
    xp = array_namespace(x, y)
    gap = x - y
    size = float(xp.max(xp.abs(gap)))
    unit = size if 0 < size < 1e-120 else 1.0  # squares of such gaps would be lost
    squares = xp.sum((gap / unit) ** 2 if unit < 1 else gap**2, axis=1)
    if weights is None:
        return unit * math.sqrt(float(xp.mean(squares)))
    a = to_numpy(_weights("weights", weights, x.shape[0]))
    return unit * math.sqrt(math.fsum(a * to_numpy(squares)))


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
    semidefinite = (
        "a symmetric positive semidefinite matrix, also in its small entries; where those are rounding of larger ones, the "
        "product (v * np.maximum(w, 0)) @ v.T of w, v = np.linalg.eigh(cov), or the variances alone, an array of shape (d,)"
    )
    least, top = float(variances.min()), float(variances.max())
    if least < 0:
        fail(f"{name} (variance {least:.3g})", value, semidefinite)
    if least == 0 and np.any(np.abs(array[variances == 0]) > 1e-150 * math.sqrt(top)):  # squares of less are lost
        fail(f"{name} (a variance of 0 in a row that is not 0)", value, semidefinite)
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
    from ..laws._kernels.eigen import _exact_matmul

    hi, lo = _exact_matmul(a, t)
    out, rest = _exact_matmul(np.ascontiguousarray(t.T), hi)
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
    """
    origin1, mean1, factor1 = _moments("x", x, weights_x)
    origin2, mean2, factor2 = _moments("y", y, weights_y)
    if mean1.shape != mean2.shape:
        fail(f"y (dimension {mean2.shape[0]})", y, f"the dimension of x, {mean1.shape[0]}")
    shift = (origin1 - origin2) + (mean1 - mean2)
    if isinstance(factor1, Factor) and isinstance(factor2, Factor):
        return _bures(shift, factor1, factor2)
    return _procrustes(shift, *(f.square_root() if isinstance(f, Factor) else f for f in (factor1, factor2)))


@dataclass(frozen=True)
class ExactDraws:
    """W2 between n fresh i.i.d. draws of the target and a reference: what perfect samplers score, on average.

    A single run may score less: half of all perfect runs are below the median of ``values``. ``low`` and ``high`` bound the
    *mean* (Student interval at ``level``); ``std`` is the spread of one draw.
    """

    mean: float
    low: float
    high: float
    std: float
    level: float
    n: int
    repeats: int
    values: tuple = field(repr=False)


def exact_draws(
    target: Any,
    n: int,
    reference: ArrayLike,
    repeats: int = 20,
    rng: Rng | None = None,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    max_bytes: int = 2**31,
) -> ExactDraws:
    """Empirical W2 that n independent exact draws of the target would show against the same reference.

    Parameters
    ----------
    target : law with ``sample(n, rng)``, or callable ``(n, rng) -> (n, d)``
    n : int
        Number of draws, that of the sampler under test.
    reference : array, shape (m, d)
        Reference sample, or the atoms of a discrete target.
    repeats : int
        Independent repetitions, at least 2.
    rng : numpy Generator, int or None
    weights : array, shape (m,), optional
        Weights of the reference.
    level : float
        Confidence level of the interval of the mean.
    max_bytes : int
        As in `w2`.

    Returns
    -------
    ExactDraws
    """
    n, repeats = integer("n", n, low=1), integer("repeats", repeats, low=2)
    level = scalar("level", level, low=0, high=1, low_open=True, high_open=True)
    draw = getattr(target, "sample", target)
    if not callable(draw):
        fail("target", target, "a law with sample(n, rng) or a callable (n, rng) -> (n, d)")
    reference = to_numpy(points("reference", reference, allow_empty=False))
    if weights is not None:
        weights = _weights("weights", weights, reference.shape[0])
    from ..laws.base import generator

    rng = np.random.default_rng() if rng is None else generator(rng)
    values = []
    for _ in range(repeats):
        sample = to_numpy(points("target", draw(n, rng), dim=reference.shape[1]))
        if sample.shape[0] != n:
            fail("target", sample.shape, f"{n} rows from sample({n}, rng)")
        values.append(w2(sample, reference, weights_y=weights, max_bytes=max_bytes).value)
    mean, low, high, std = t_interval(values, level)
    return ExactDraws(mean, low, high, std, level, n, repeats, tuple(values))
