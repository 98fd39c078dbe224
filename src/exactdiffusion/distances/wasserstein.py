"""Wasserstein distances with a certificate, their closed forms on Gaussians, and the bounds that need no solver.

Use the highest rung that applies: closed form (`bures_w2`), one dimension (`w2` sorts), known atoms (`w2` with
weights), same-noise coupling (`coupling_bound`, an upper bound), `gelbrich` (a lower bound), and only then the
empirical distance of two samples, read together with that of `exact_draws`.
"""

import math
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

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
    "coupling_bound",
    "exact_draws",
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

    Examples
    --------
    >>> found = w2([[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]])
    >>> found.value, found.certified, found.method
    (1.0, True, 'emd')
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

    Examples
    --------
    >>> import numpy as np
    >>> samples, atoms = np.array([[0.0, 0.1], [0.1, 0.0], [1.0, 1.1]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> found = w2(samples, atoms, weights_y=[2 / 3, 1 / 3])
    >>> round(found.value, 12), found.certified
    (0.1, True)
    """
    x, y = points("x", x, allow_empty=False), points("y", y, allow_empty=False)
    if x.shape[1] != y.shape[1]:
        fail(f"y (shape {tuple(y.shape)})", y, f"the dimension of x, {x.shape[1]}")
    choice("method", method, ("auto", "sorted", "emd", "sparse", "assignment"))
    choice("certified", certified, ("warn", "require"))
    max_bytes = integer("max_bytes", max_bytes, low=1)

    # weights, and the methods that need none of what follows
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

    # atoms that carry mass, each distinct one once
    keep_x, keep_y = np.flatnonzero(a), np.flatnonzero(b)
    x, y, a, b = x[keep_x], y[keep_y], a[keep_x], b[keep_y]
    groups = [None, None] if method == "assignment" else [transport.merge_rows(cloud) for cloud in (x, y)]
    merged = any(group is not None for group in groups)
    sizes = [len(cloud if group is None else group[0]) for cloud, group in zip((x, y), groups)]
    auto, method = method == "auto", _method(method, sizes[0], sizes[1], d, equal and n == m and not merged, max_bytes)

    # the transport of what remains when the means are taken out
    x, y, offset = _separate(x, y, a, b)
    found = None
    if method == "sparse" and auto and sizes[0] * sizes[1] * _EMD_BYTES <= max_bytes:
        found = _solve(x, y, a, b, equal, groups, method, work=transport.dense_work(*sizes))
        method = "emd" if found is None else method
    if found is None:
        found = _solve(x, y, a, b, equal, groups, method)

    # the certificate
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

    # units in which the clouds have the size of 1, by a power of two
    reach = np.maximum(clouds[0].max(axis=0), clouds[1].max(axis=0))
    reach = reach - np.minimum(clouds[0].min(axis=0), clouds[1].min(axis=0))
    exponent = math.frexp(float(np.max(reach)) * math.sqrt(x.shape[1]))[1]
    clouds = [np.ldexp(cloud, -exponent) for cloud in clouds]
    found = None

    # the plan
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

    # the dual value, summed exactly
    shares = [transport.shares(mass, total) for mass in masses]
    terms = [share * potential for share, potential in zip(shares, (found["u"], found["v"]))]
    found["dual"] = math.fsum(np.concatenate(terms))
    found["size"] = math.fsum(np.abs(np.concatenate(terms)))

    # the plan of the copies
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

    Examples
    --------
    >>> wasserstein_1d([0.0, 1.0], [3.0, 2.0]), wasserstein_1d([0.0], [1.0, 3.0], p=1)
    (2.0, 2.0)
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

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> w2_to_set([[0.0, 3.0], [1.0, 3.0]], PointCloud([[0.0, 0.0], [1.0, 0.0]]))
    3.0
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

    Examples
    --------
    >>> coupling_bound([[0.0], [1.0]], [[1.0], [0.0]])  # W2 is 0
    1.0
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


@dataclass(frozen=True)
class ExactDraws:
    """W2 between n fresh i.i.d. draws of the target and a reference: what perfect samplers score, on average.

    A single run may score less: half of all perfect runs are below the median of ``values``. ``low`` and ``high`` bound the
    *mean* (Student interval at ``level``); ``std`` is the spread of one draw.

    Examples
    --------
    >>> from exactdiffusion import GaussianMixture
    >>> found = exact_draws(GaussianMixture(None, [[0.0]], 1.0), 50, [[0.0]], repeats=4, rng=0)
    >>> found.low < found.mean < found.high
    True
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

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> atoms = [[0.0], [1.0]]
    >>> found = exact_draws(PointCloud(atoms), 100, atoms, repeats=5, rng=0)
    >>> found.n, found.repeats, 0 < found.mean < 0.5
    (100, 5, True)
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
