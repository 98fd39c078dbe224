"""Wasserstein distances with a certificate, their closed forms on Gaussians, and the bounds that need no solver.

Use the highest rung that applies: closed form (`bures_w2`), one dimension (`w2` sorts), known atoms (`w2` with
weights), same-noise coupling (`coupling_bound`, an upper bound), `gelbrich` (a lower bound), and only then the
empirical distance of two samples, read together with its `noise_floor`.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from .._validation import choice, fail, in_range, integer, points, real_array, scalar
from .._validation import weights as _weights
from ..arrays import array_namespace, to_numpy
from . import sparse_transport
from .rates import t_interval

EPS = float(np.finfo(np.float64).eps)

#: Bytes per (x, y) pair while POT's network simplex runs: the cost, the plan and arcs, flows, states (measured: 41-42).
_EMD_BYTES = 42
#: The same for scipy's assignment solver: the cost and its finiteness mask; blocks of 32 MB come on top.
_LSA_BYTES = 9
#: Iteration limit given to POT. Its default (1e5) stops early and only warns.
_EMD_ITERATIONS = 10**9
#: "auto" stores the matrix of all costs up to here: both sides, or one side alone.
_DENSE_ATOMS = 1000
_DENSE_SIDE = 500


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
        Largest gap that was accepted, in squared units.
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
    method: str
    n: int
    m: int
    coupling: tuple = field(repr=False, compare=False)

    def __float__(self):
        return self.value


def w2(x, y, weights_x=None, weights_y=None, method="auto", *, max_bytes=2**31):
    r"""Exact Wasserstein-2 distance of two weighted clouds, with a dual certificate.

    .. math:: W_2^2 = \min_{\pi \ge 0} \sum_{ij} \pi_{ij} |x_i - y_j|^2, \quad \pi 1 = a, \ \pi^T 1 = b.

    For *any* v, u_i = min_j (|x_i - y_j|^2 - v_j) is dual feasible, so a.u + b.v <= W2^2 <= cost of the plan
    (weak duality of Kantorovich's linear program). The solver's answer is accepted only if the two ends meet.

    Parameters
    ----------
    x, y : array, shapes (n, d) and (m, d)
        Atoms. Semi-discrete use: samples in ``x``, the atoms of the target with their weights in ``y``.
    weights_x, weights_y : array, shapes (n,) and (m,), optional
        Nonnegative, summing to 1; equal weights when absent. Atoms of weight 0 are ignored.
    method : {"auto", "sorted", "emd", "sparse", "assignment"}
        "sorted" is the quantile coupling, for d = 1 only. "emd" is POT's network simplex on the matrix of all costs.
        "sparse" runs it on few arcs, prices all pairs in blocks and adds those that violate the dual constraints until
        none does: the same optimum in O(n + m) memory (`exactdiffusion.measure.sparse_transport`). "assignment" is
        scipy's `linear_sum_assignment`, for equal weights and n = m. "auto" takes "sorted" for d = 1, "emd" up to 1000
        atoms a side or 500 on one side, and "sparse" above; where one of these does not fit in ``max_bytes``, the
        other, then "assignment" where that applies. Where "sparse" has taken about the work of "emd" without an end, and
        "emd" fits, "auto" goes over to it.
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
        The solver did not report an optimal plan, or the duality gap exceeds its tolerance. No other method is tried.

    Notes
    -----
    Costs are sums of squared explicit differences: relative error (d + 2) eps, so equal points cost exactly 0. Costs
    are divided by a power of 4 near their maximum, because the simplex tests optimality against an absolute constant:
    clouds of diameter 1e-9 come back wrong without it. Distances below 1e-154 square to 0.

    Clouds further apart than their radius are centred first, W2^2 = |mean difference|^2 + W2^2 of the centred clouds:
    potentials of the size of the distance would leave nothing of the costs that decide the plan.

    Rows that occur more than once are merged where a tenth of them repeats another (samples that collapsed on atoms);
    the coupling returned is that of the copies. Weights are then rounded to multiples of 2^-53, as in "sparse" always.

    Potentials are sums along tree paths of up to n + m arcs: the accepted gap is 8 (n + m + d) eps times the largest
    cost (of the centred clouds where they were centred). "sparse" prices by matrix products: the bound of their rounding,
    (d + 8) eps ((|p| + |q|)^2 + |v|) with the largest centred rows p, q and potential v, is subtracted from ``lower``, and
    the accepted gap is larger by six times this bound and by the violations that the simplex leaves on its own arcs: it
    stores potentials next to artificial costs of (n + m) (1 + largest cost), so they are rounded to units in the last
    place of these. Gaps of 1e-15 to 1e-12 of the largest cost were seen (n = m up to 20,000), where about 3e-15 (n + m) of
    it is accepted.

    This is the distance between the two *discrete* laws given. Between two samples of continuous laws its expected
    square is never below that of the laws and exceeds it by the `noise_floor`. It is not the distance of a sample to
    a set (`w2_to_set`), nor an entropic (Sinkhorn) approximation.
    """
    x, y = points("x", x, allow_empty=False), points("y", y, allow_empty=False)
    if x.shape[1] != y.shape[1]:
        fail(f"y (shape {tuple(y.shape)})", y, f"the dimension of x, {x.shape[1]}")
    choice("method", method, ("auto", "sorted", "emd", "sparse", "assignment"))
    max_bytes = integer("max_bytes", max_bytes, low=1)
    x, y = to_numpy(x), to_numpy(y)
    (n, d), m = x.shape, y.shape[0]
    equal = weights_x is None and weights_y is None
    a, b = to_numpy(_weights("weights_x", weights_x, n)), to_numpy(_weights("weights_y", weights_y, m))
    if method == "sorted" or (method == "auto" and d == 1):
        if d != 1:
            fail("method", method, f"'auto', 'emd', 'sparse' or 'assignment' in dimension d = {d}: quantiles need d = 1")
        return _sorted_result(x[:, 0], y[:, 0], a, b, equal)
    if method == "assignment" and not (equal and n == m):
        fail("method", method, f"'auto', 'emd' or 'sparse' here: assignment needs equal weights and n = m, not {n} and {m}")
    keep_x, keep_y = np.flatnonzero(a), np.flatnonzero(b)
    x, y, a, b = x[keep_x], y[keep_y], a[keep_x], b[keep_y]
    groups = [None, None] if method == "assignment" else [sparse_transport.merge_rows(cloud) for cloud in (x, y)]
    merged = any(group is not None for group in groups)
    sizes = [len(cloud if group is None else group[0]) for cloud, group in zip((x, y), groups)]
    auto, method = method == "auto", _method(method, *sizes, d, equal and n == m and not merged, max_bytes)
    x, y, offset = _separate(x, y, a, b)
    plan = None
    if method == "sparse" and auto and sizes[0] * sizes[1] * _EMD_BYTES <= max_bytes:
        plan = _merged_plan(x, y, a, b, equal, groups, method, work=sparse_transport.dense_work(*sizes))
        method = "emd" if plan is None else method
    if plan is None and (method == "sparse" or merged):
        plan = _merged_plan(x, y, a, b, equal, groups, method)
    elif plan is None:
        cost, exponent = _cost(x, y)
        rows, columns, mass, v = (_solve_emd if method == "emd" else _solve_assignment)(a, b, cost)
        plan = _Plan(rows, columns, mass, cost[rows, columns], exponent, *_dual(a, b, cost, v, d))
    return _certified(plan, a, b, offset, d, method, keep_x, keep_y, n, m)


def _method(method, n, m, d, assignable, max_bytes):
    """Method for n x m atoms; ValueError where it does not fit in ``max_bytes``."""
    needed = {"emd": n * m * _EMD_BYTES, "sparse": sparse_transport.workspace(n, m, d), "assignment": n * m * _LSA_BYTES}
    if method == "auto":
        order = ["emd", "sparse"] if max(n, m) <= _DENSE_ATOMS or min(n, m) <= _DENSE_SIDE else ["sparse", "emd"]
        order += ["assignment"] * assignable
        method = next((name for name in order if needed[name] <= max_bytes), order[0])
    if needed[method] > max_bytes:
        per_atom = sparse_transport.workspace(1, 1, d) - sparse_transport.workspace(0, 0, d)
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
    p, q = a @ x, b @ y
    scale = float(np.max(np.abs(p - q)))
    centred_x, centred_y = x - p, y - q
    if scale == 0 or scale < max(float(np.max(np.abs(centred_x))), float(np.max(np.abs(centred_y)))):
        return x, y, 0.0
    drift = [math.fsum(a * u) - math.fsum(b * v) for u, v in zip(centred_x.T, centred_y.T, strict=True)]
    return centred_x, centred_y, math.fsum((p - q) ** 2 + 2 * (p - q) * drift)


def _cost(x, y):
    """Squared distances divided by 4**exponent, maximum near 1: explicit differences, exact scaling."""
    from scipy.spatial.distance import cdist

    cost = cdist(x, y, "sqeuclidean")
    top = float(cost.max())
    exponent = math.frexp(top)[1] // 2 if top > 0 else 0  # 0 too where distances underflow
    np.ldexp(cost, -2 * exponent, out=cost)
    return cost, exponent


def _solve_emd(a, b, cost):
    """Optimal plan and potentials by POT's network simplex; any warning or bad status is an error."""
    plan, _, v = sparse_transport.network_simplex(a, b, cost, _EMD_ITERATIONS)
    rows, columns = np.nonzero(plan)
    return rows, columns, plan[rows, columns], v


def _solve_assignment(a, b, cost):
    """Optimal permutation by scipy, potentials by shortest paths in its residual graph.

    With u_i = c_{i s(i)} - v_{s(i)} feasibility reads v_j <= c_ij - u_i; iterating v_j <- min_i (c_ij - u_i) from 0
    (Bellman-Ford) ends after at most n rounds exactly when the permutation s is optimal (no negative cycle).
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    n = a.size
    matched = cost[rows, columns]
    v = np.zeros(n)
    floor = 4 * n * EPS * float(cost.max())
    for _ in range(n + 1):
        new = _column_min(cost, matched - v[columns])
        np.minimum(new, v, out=new)
        moved = float(np.max(v - new))
        v = new
        if moved <= floor / n:
            break
    return rows, columns, a.copy(), v


def _row_min(cost, v):
    """min_j (cost_ij - v_j) for every row, in blocks of about 16 MB."""
    n, m = cost.shape
    step = max(1, 2**21 // m)
    out = np.empty(n)
    for start in range(0, n, step):
        out[start : start + step] = np.min(cost[start : start + step] - v, axis=1)
    return out


def _column_min(cost, u):
    """min_i (cost_ij - u_i) for every column, in the same blocks (rows are contiguous)."""
    n, m = cost.shape
    step = max(1, 2**21 // m)
    out = np.full(m, math.inf)
    for start in range(0, n, step):
        block = cost[start : start + step] - u[start : start + step, None]
        np.minimum(out, np.min(block, axis=0), out=out)
    return out


@dataclass
class _Plan:
    """Plan and lower bound of one method, in costs divided by 4**exponent.

    ``dual`` is a value of the dual program up to ``rounding``; ``tolerance`` is the gap to be accepted beyond
    8 (n + m + d) eps ``top``, with ``top`` at most the largest cost.
    """

    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray
    cost: np.ndarray
    exponent: int
    dual: float
    rounding: float
    top: float
    tolerance: float = 0.0


def _dual(a, b, cost, v, d):
    """Value of the c-transforms of v, its rounding and the largest cost."""
    if not np.all(np.isfinite(v)):
        return math.nan, 0.0, float(cost.max())
    u = _row_min(cost, v)
    v = _column_min(cost, u)  # second c-transform: still feasible, never smaller
    top = float(cost.max())
    # rounding of the certificate: costs (d + 2) eps relative, one subtraction in u, products with the weights
    rounding = EPS * ((d + 4) * top + 2 * float(np.max(np.abs(u))) + 2 * float(np.max(np.abs(v))))
    return math.fsum(a * u) + math.fsum(b * v), rounding, top


def _merged_plan(x, y, a, b, equal, groups, method, work=math.inf):
    """Plan by integer masses on the distinct atoms, split over the copies; None where ``work`` was spent ("sparse")."""
    (n, d), m = x.shape, len(y)
    *units, total = sparse_transport.integer_masses(a, b, equal)
    clouds, masses, keeps = [], [], []
    for cloud, unit, group in zip((x, y), units, groups):
        mass = unit if group is None else np.bincount(group[1], unit, len(group[0]))
        keep = np.flatnonzero(mass)  # weights below 2^-54 are rounded to 0
        clouds.append(cloud[keep] if group is None else cloud[group[0][keep]])
        masses.append(mass[keep])
        keeps.append(keep)
    if method == "sparse":
        reach = np.maximum(clouds[0].max(axis=0), clouds[1].max(axis=0))
        reach = reach - np.minimum(clouds[0].min(axis=0), clouds[1].min(axis=0))
        exponent = math.frexp(float(np.max(reach)) * math.sqrt(d))[1]
        found = sparse_transport.solve(*(np.ldexp(cloud, -exponent) for cloud in clouds), *masses, work=work)
        if found is None:
            return None
        rows, columns, flow, cost = (found[name] for name in ("rows", "columns", "flow", "cost"))
        u, v, slack, top = (found[name] for name in ("u", "v", "rounding", "top"))
        dual = math.fsum(masses[0] / total * u) + math.fsum(masses[1] / total * v) - slack
        rounding = EPS * 2 * float(np.max(np.abs(u)) + np.max(np.abs(v)))
        tolerance = found["tolerance"] + 4 * slack
    else:
        full, exponent = _cost(*clouds)
        rows, columns, flow, v = _solve_emd(*masses, full)
        dual, rounding, top = _dual(masses[0] / total, masses[1] / total, full, v, d)
        cost, tolerance = full[rows, columns], 0.0
    # rounded weights move at most 2^-54 per atom, at a cost of at most top
    rounding += 0.0 if equal else (n + m) * 2.0**-54 * top
    exact = [np.array_equal(np.bincount(index, flow, mass.size), mass) for index, mass in zip((rows, columns), masses)]
    if not (np.all(np.isfinite(flow)) and np.all(flow >= 0)):
        raise RuntimeError(f"optimal transport solver ({method}): negative or non-finite plan or potentials")
    if not all(exact):
        raise RuntimeError(f"optimal transport ({method}): the plan misses its marginals, which are integers here")
    rows, columns = keeps[0][rows], keeps[1][columns]
    if groups[0] is not None:
        rows, entries, flow = sparse_transport.split_plan(groups[0][1], units[0], rows, flow)
        columns, cost = columns[entries], cost[entries]
    if groups[1] is not None:
        columns, entries, flow = sparse_transport.split_plan(groups[1][1], units[1], columns, flow)
        rows, cost = rows[entries], cost[entries]
    return _Plan(rows, columns, flow / total, cost, exponent, dual, rounding, top, tolerance)


def _certified(plan, a, b, offset, d, method, keep_x, keep_y, n, m):
    """Weak duality on the (scaled) problem; raises unless plan and potentials meet."""
    rows, columns, mass, dual, rounding = plan.rows, plan.columns, plan.mass, plan.dual, plan.rounding
    size = a.size + b.size
    tolerance = 8 * (size + d) * EPS * plan.top + plan.tolerance
    if not (math.isfinite(dual) and np.all(np.isfinite(mass)) and np.all(mass >= 0)):
        raise RuntimeError(f"optimal transport solver ({method}): negative or non-finite plan or potentials")
    residual = float(np.sum(np.abs(np.bincount(rows, mass, a.size) - a)))
    residual += float(np.sum(np.abs(np.bincount(columns, mass, b.size) - b)))
    primal = math.fsum(mass * plan.cost)
    scale = 4.0**plan.exponent
    if not primal - dual <= tolerance:
        raise RuntimeError(
            f"optimal transport ({method}): duality gap {(primal - dual) * scale:.6g} exceeds its tolerance "
            f"{tolerance * scale:.3g} (n = {a.size}, m = {b.size}, d = {d}, max cost "
            f"{plan.top * scale:.3g}); plan cost {primal * scale:.17g}, dual bound {dual * scale:.17g}: not optimal"
        )
    if not residual <= 4 * size * EPS or primal - dual < -(rounding + residual * plan.top + tolerance):
        raise RuntimeError(
            f"optimal transport ({method}): the plan misses its marginals by {residual:.3g} in total, tolerance "
            f"{4 * size * EPS:.3g} = 4 (n + m) eps; plan cost {primal * scale:.17g}, dual bound {dual * scale:.17g}"
        )
    squared = primal * scale + offset
    # centring rounds x' and y' to eps of the radius, itself below |p - q|: 12 eps offset, plus d + 4 for the sums
    slack = rounding * scale + (d + 16) * EPS * offset
    lower_squared = min(max(dual * scale + offset - slack, 0.0), squared)
    return W2Result(
        value=math.sqrt(squared), squared=squared, lower=math.sqrt(lower_squared), lower_squared=lower_squared,
        gap=squared - lower_squared, tolerance=tolerance * scale + slack + 2 * EPS * squared, method=method, n=n, m=m,
        coupling=(keep_x[rows], keep_y[columns], mass),
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
    left, right = np.cumsum(a[i]), np.cumsum(b[j])
    left, right = np.minimum(left, 1.0), np.minimum(right, 1.0)
    left[left >= left[-1]], right[right >= right[-1]] = 1.0, 1.0  # the last atom of positive weight ends at 1
    knots = np.union1d(left, right)
    knots = knots[knots > 0]
    rows, columns = np.searchsorted(left, knots), np.searchsorted(right, knots)
    return i[rows], j[columns], np.diff(knots, prepend=0.0)


def _sorted_result(x, y, a, b, equal):
    """W2 of two laws on the line: the monotone coupling is optimal for every convex cost."""
    n, m = x.size, y.size
    rows, columns, mass = _quantile_coupling(x, y, a, b, equal)
    reach = max(abs(float(x.max()) - float(y.min())), abs(float(y.max()) - float(x.min())))
    if not reach <= 1e150:
        fail("x, y", reach, "coordinates within 1e150 of one another (their squares overflow otherwise)")
    squared = math.fsum(mass * (x[rows] - y[columns]) ** 2)
    # difference, square, product, sum: 4 roundings, relative. Unequal weights: each cumulated weight is rounded
    # once, so the coupling has marginals within 2 (n + m) eps of the given ones in total variation.
    rounding = 5 * EPS * squared + (0.0 if equal else 2 * (n + m) * EPS * reach**2)
    lower_squared = max(squared - rounding, 0.0)
    return W2Result(
        value=math.sqrt(squared), squared=squared, lower=math.sqrt(lower_squared), lower_squared=lower_squared,
        gap=squared - lower_squared, tolerance=rounding + 2 * EPS * squared, method="sorted", n=n, m=m,
        coupling=(rows, columns, mass),
    )


@in_range
def wasserstein_1d(x, y, p=2, weights_x=None, weights_y=None):
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
    a, b = to_numpy(_weights("weights_x", weights_x, x.size)), to_numpy(_weights("weights_y", weights_y, y.size))
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
def w2_to_set(x, law, weights=None):
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
def coupling_bound(x, y, weights=None):
    r"""Upper bound of W2 by the coupling that pairs row i with row i: :math:`\sqrt{E |x_i - y_i|^2}`.

    With x and y driven by the same noise it is free of the n^(-1/d) floor of empirical W2. Any array namespace.

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
    squares = xp.sum((x - y) ** 2, axis=1)
    if weights is None:
        return math.sqrt(float(xp.mean(squares)))
    a = to_numpy(_weights("weights", weights, x.shape[0]))
    return math.sqrt(math.fsum(a * to_numpy(squares)))


def _covariance_factor(name, value, d):
    """S with S S^T the given covariance: shape (d, d), or a vector for a diagonal one."""
    array = to_numpy(real_array(name, value, "a covariance: number, (d,) variances or (d, d) matrix"))
    if array.ndim == 0 or (array.ndim == 1 and array.shape[0] == d):
        if np.any(array < 0):
            fail(name, value, "nonnegative variances")
        return np.sqrt(np.broadcast_to(array, (d,)))
    if array.shape != (d, d):
        fail(f"{name} (shape {array.shape})", value, f"a number, shape ({d},) or ({d}, {d})")
    top = float(np.max(np.abs(array)))
    if float(np.max(np.abs(array - array.T))) > 16 * EPS * d * top:
        fail(f"{name} (not symmetric)", value, "a symmetric positive semidefinite matrix")
    if np.count_nonzero(array - np.diag(np.diag(array))) == 0:
        return _covariance_factor(name, np.diag(array), d)
    values, vectors = np.linalg.eigh((array + array.T) / 2)
    if values[0] < -16 * EPS * d * max(values[-1], 0.0) or values[-1] < 0:
        fail(f"{name} (smallest eigenvalue {values[0]:.3g})", value, "a symmetric positive semidefinite matrix")
    # eigenvalues below d eps of the largest are rounding; their square roots (1e-8) would not be
    values = np.where(values > d * EPS * values[-1], values, 0.0)
    return vectors * np.sqrt(values)


def _mean(name, value):
    array = to_numpy(real_array(name, value, "a finite vector of shape (d,)"))
    if array.ndim == 0:
        array = array.reshape(1)
    if array.ndim != 1 or array.shape[0] == 0:
        fail(f"{name} (shape {array.shape})", value, "shape (d,)")
    return array


def _procrustes(mean1, factor1, mean2, factor2):
    r"""Bures W2 from factors: min over orthogonal U of |S1 - S2 U|_F, by the polar factor of S2^T S1.

    tr C1 + tr C2 - 2 tr (C1^{1/2} C2 C1^{1/2})^{1/2} is the same number but cancels: it loses half the digits where
    the laws are close. Here the difference is formed before it is squared.
    """
    shift = np.sum((mean1 - mean2) ** 2)  # a NumPy number: where a sum of Python's overflows, nothing is raised
    if factor1.ndim == 1 and factor2.ndim == 1:
        return math.sqrt(shift + np.sum((factor1 - factor2) ** 2))
    factor1, factor2 = (np.diag(f) if f.ndim == 1 else f for f in (factor1, factor2))
    rank = max(factor1.shape[1], factor2.shape[1])
    factor1, factor2 = (np.pad(f, ((0, 0), (0, rank - f.shape[1]))) for f in (factor1, factor2))
    left, _, right = np.linalg.svd(factor2.T @ factor1)
    return math.sqrt(shift + np.sum((factor1 - factor2 @ (left @ right)) ** 2))


@in_range
def bures_w2(mean1, cov1, mean2, cov2):
    r"""W2 distance of two Gaussians in closed form (Dowson-Landau, Olkin-Pukelsheim, Givens-Shortt).

    .. math:: W_2^2 = |m_1 - m_2|^2 + \mathrm{tr}\,[C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2}].

    Parameters
    ----------
    mean1, mean2 : array, shape (d,)
    cov1, cov2 : number, array of shape (d,) (diagonal) or (d, d)
        Symmetric positive semidefinite; singular ones are allowed.

    Returns
    -------
    float
        W2, not its square. Absolute error about d eps sqrt(largest variance) for well-conditioned covariances,
        also where the two laws nearly agree (see `_procrustes`); an eigenvalue below d eps of the largest counts as 0.
    """
    mean1, mean2 = _mean("mean1", mean1), _mean("mean2", mean2)
    d = mean1.shape[0]
    if mean2.shape[0] != d:
        fail(f"mean2 (shape {mean2.shape})", mean2, f"shape ({d},), as mean1")
    return _procrustes(
        mean1, _covariance_factor("cov1", cov1, d), mean2, _covariance_factor("cov2", cov2, d)
    )


def _moments(name, value, weights):
    """Mean and covariance factor of samples, of a pair (mean, cov) or of a law."""
    if isinstance(value, tuple):
        if len(value) != 2:
            fail(name, value, "points of shape (n, d), a pair (mean, covariance) or a law")
        mean = _mean(f"{name}[0]", value[0])
        return mean, _covariance_factor(f"{name}[1]", value[1], mean.shape[0])
    if hasattr(value, "mean") and hasattr(value, "covariance"):
        mean = _mean(f"{name}.mean", value.mean)
        return mean, _covariance_factor(f"{name}.covariance", value.covariance, mean.shape[0])
    samples = to_numpy(points(name, value, allow_empty=False))
    a = to_numpy(_weights(f"weights_{name}", weights, samples.shape[0]))
    mean = a @ samples
    centred = (samples - mean) * np.sqrt(a)[:, None]
    return mean, np.linalg.qr(centred, mode="r").T  # R^T R is the covariance: no squared condition number


@in_range
def gelbrich(x, y, weights_x=None, weights_y=None):
    r"""Lower bound of W2 by first and second moments (Gelbrich 1990): the Bures distance of the moments.

    Equality holds for Gaussians, more generally when an affine map with symmetric positive semidefinite matrix
    carries one law to the other.

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
    mean1, factor1 = _moments("x", x, weights_x)
    mean2, factor2 = _moments("y", y, weights_y)
    if mean1.shape != mean2.shape:
        fail(f"y (dimension {mean2.shape[0]})", y, f"the dimension of x, {mean1.shape[0]}")
    return _procrustes(mean1, factor1, mean2, factor2)


@dataclass(frozen=True)
class NoiseFloor:
    """W2 between n fresh i.i.d. draws of the target and a reference: what perfect samplers score, on average.

    No floor of a single run: half of all perfect runs score less than the median of ``values``. ``low`` and ``high`` bound
    the *mean* (Student interval at ``level``); ``std`` is the spread of one draw.
    """

    mean: float
    low: float
    high: float
    std: float
    level: float
    n: int
    repeats: int
    values: tuple = field(repr=False)


def noise_floor(target, n, reference, repeats=20, rng=None, *, weights=None, level=0.95, max_bytes=2**31):
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
    NoiseFloor
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
    return NoiseFloor(mean, low, high, std, level, n, repeats, tuple(values))
