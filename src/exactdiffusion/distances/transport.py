r"""Exact optimal transport of two clouds without the cost matrix: a linear program on few arcs, priced on all pairs.

Kantorovich's program has n m columns and an optimal basis of n + m - 1. It is solved by column generation:

1. Arcs: for every atom the k nearest of the other side after x was carried over by the affine map between the two
   Gaussians of the same moments (it is optimal for Gaussians), and a staircase of n + m - 1 arcs through the sorted
   atoms, which carries the masses whatever they are: the restricted program is feasible. Where more than n + m pairs turn
   out to be violated after the first round (clusters, curves), the program starts again from the k arcs per atom of the
   least reduced costs under potentials of a coarse problem, the dense simplex on up to 1000 cells of either side.
2. POT's network simplex on these arcs gives a plan and potentials (u, v). It is given reduced costs, at first those of
   the Gaussians' potentials: its first basis is made of the cheapest arcs, so that later rounds cost little.
3. All pairs are priced in blocks, ``c_ij - u_i - v_j``. Those below ``-tol`` join the arcs and the program is solved again.
   No such pair: (u, v) is feasible for the whole program and the plan optimal.
4. The simplex rounds its potentials to units in the last place of n + m times the largest cost that it is given. So it is
   given *reduced* costs, cut off at a level that no arc of the plan reaches, and the level sinks (iterative refinement):
   groups of atoms far from one another are then solved as well as each alone.
5. The masses of the plan are recomputed in integers on its tree (`exact_flow`), the potentials from the plan alone by
   shortest paths in its residual graph (`polish`): sums of a few costs each, whatever the solver left.

The certificate needs none of this to be right. For any v, u_i = min_j (c_ij - v_j) is dual feasible, so a.u + b.v is a
lower bound; the pricing of the last round computes these u with costs rounded down.
"""

import heapq
import itertools
import math
import warnings
from typing import Any

import numpy as np

__all__ = ["Pairs", "dense_work", "masses", "merge_rows", "network_simplex", "solve", "split_plan", "workspace"]

EPS = float(np.finfo(np.float64).eps)
#: Iteration limit given to POT. Its default (1e5) stops early and only warns.
ITERATIONS = 10**9
#: Column-generation rounds; 1 to 13 were seen. Each adds an arc at least, so the method ends anyway.
ROUNDS = 200
#: Most violated arcs of one row that join in one round.
JOIN = 8
#: Largest total of the simplex's masses: sums and differences of integers up to here are exact.
_TOTAL = 2**53
#: Part of W2^2 that a certified answer may be off, besides the rounding of its dual (`wasserstein.w2`).
ACCURACY = 1e-9
#: Entries of one block of costs (4 MB).
_BLOCK = 2**19
#: Measured bytes per initial arc: index, cost and copies of both, POT's graph, flows, states, potentials.
_ARC_BYTES = 260
#: Up to this dimension neighbours come from a k-d tree.
_TREE_DIM = 8


def neighbours(d: int) -> int:
    """Arcs per atom and side at the start: more in few dimensions, where a round costs less than the arcs it saves."""
    return 20 if d <= 3 else 12


def cells(n: int, m: int) -> int:
    """Cells of either side of the coarse problem."""
    return min(1000, max(n, m) // 4 + 1)


def workspace(n: int, m: int, d: int) -> int:
    """Bytes that `solve` takes for n x m atoms beyond its result (arcs that join later add a third at most, measured).

    Examples
    --------
    >>> workspace(20_000, 20_000, 2) < 20_000 * 20_000 * 8  # less than the matrix of all costs
    True
    """
    dense = 42 * min(n, cells(n, m)) * min(m, cells(n, m))  # the coarse problem; not at the same time as the arcs
    return max(int((n + m) * neighbours(d) * _ARC_BYTES * 4 // 3), dense) + 4 * 8 * max(_BLOCK, 16 * max(n, m))


def dense_work(n: int, m: int) -> int:
    """Arcs, summed over the rounds, beyond which the simplex on all pairs at once is not much slower (measured).

    Examples
    --------
    >>> dense_work(1000, 142)
    149700
    """
    return n * m // 4 + 100 * (n + m)


# ---------------------------------------------------------------------------------------------------------------- masses


def masses(a: np.ndarray, b: np.ndarray, equal: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Masses of both sides as exact integers of the same total, and this total.

    Equal weights: m/g and n/g with g = gcd(n, m), in float64 where the simplex can work with them. Other weights are
    integers times a power of two; each side is multiplied by the sum of the other (Python's integers, arrays of objects).

    Examples
    --------
    >>> masses(np.full(4, 0.25), np.full(6, 1 / 6), True)
    (array([3., 3., 3., 3.]), array([2., 2., 2., 2., 2., 2.]), 12)
    """
    n, m = a.size, b.size
    if equal:
        g = math.gcd(n, m)
        total = n // g * m
        kind = float if total**2 <= _TOTAL else object  # POT multiplies masses by the total and divides again
        return np.full(n, m // g, dtype=kind), np.full(m, n // g, dtype=kind), total
    a, b = _integers(a), _integers(b)
    total_a, total_b = sum(a), sum(b)
    return a * total_b, b * total_a, total_a * total_b


def _integers(weights):
    """Floats as Python integers, all divided by one power of two."""
    fraction, exponent = np.frexp(weights)
    least = int(exponent[weights > 0].min())
    units = np.ldexp(fraction, 53).astype(np.int64).tolist()
    return np.array([k << (e - least) if k else 0 for k, e in zip(units, exponent.tolist())], dtype=object)


def shares(masses: np.ndarray, total: int) -> np.ndarray:
    """The masses as float64 parts of their total, each rounded once."""
    return masses / total if masses.dtype != object else np.array([k / total for k in masses.tolist()])


def _quantised(weights):
    """Positive integers of total 2^53 near the weights: what the simplex works with (`exact_flow` corrects)."""
    units = np.maximum(np.rint(weights * (_TOTAL / math.fsum(weights))), 1.0)
    excess = int(sum(units.astype(np.int64).tolist())) - _TOTAL
    heaviest = np.argsort(-units, kind="stable")
    while excess:
        some = heaviest[: abs(excess)]
        some = some[units[some] > 1]
        units[some] -= math.copysign(1.0, excess)
        excess -= int(math.copysign(some.size, excess))
    return units


def merge_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Index (k,) of the first occurrence of every distinct row of x and, for each row, which of them it is (n,).

    Returns None where fewer than a tenth of the rows repeat another one: merging would not pay.

    Examples
    --------
    >>> first, group = merge_rows(np.array([[1.0], [0.0], [1.0]]))
    >>> first, group
    (array([1, 0]), array([1, 0, 1]))
    """
    x = np.ascontiguousarray(x + 0.0)  # -0.0 equals 0.0 but its bytes differ
    keys = x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return None if first.size > 0.9 * len(x) else (first, np.reshape(inverse, -1))


def split_plan(
    groups: np.ndarray, masses: np.ndarray, index: np.ndarray, flow: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distribute a plan on merged atoms over the copies: the monotone coupling of copies and flows inside each atom.

    Parameters
    ----------
    groups, masses : (n,) merged atom and integer mass of every copy
    index, flow : (p,) merged atom and integer mass of every entry of the plan; equal masses per atom, equal types

    Returns
    -------
    copies, entries, flow : copy i of entry e of the plan carries that much; all integers, hence exact.

    Examples
    --------
    >>> copies, entries, flow = split_plan(np.array([0, 0]), np.array([1, 2]), np.array([0]), np.array([3]))
    >>> copies, entries, flow  # an atom of mass 3 is two copies of mass 1 and 2
    (array([0, 1]), array([0, 0]), array([1, 2]))
    """
    i, e = np.argsort(groups, kind="stable"), np.argsort(index, kind="stable")
    left, right = np.cumsum(masses[i]), np.cumsum(flow[e])
    knots = np.union1d(left, right)
    knots = knots[knots > 0]
    return i[np.searchsorted(left, knots)], e[np.searchsorted(right, knots)], np.diff(knots, prepend=0)


# ------------------------------------------------------------------------------------------------------------ all pairs


class Pairs:
    """All squared distances of two clouds, never stored: blocks of ``c_ij - v_j``.

    Costs are sums of squares of explicit differences: relative error below (d/2 + 2) eps, whatever the offset. In more than
    8 dimensions a matrix product says first which pairs can be least in their row; only these are evaluated so.

    Examples
    --------
    >>> pairs = Pairs(np.array([[0.0], [3.0]]), np.array([[1.0]]))
    >>> pairs.cost(np.array([0, 1]), np.array([0, 0]))
    array([1., 4.])
    """

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        (self.n, self.d), self.m = x.shape, len(y)
        self.error = (self.d / 2 + 2) * EPS
        if self.d > _TREE_DIM:
            centre = 0.5 * (x.mean(axis=0) + y.mean(axis=0))
            self.p, self.q = x - centre, y - centre
            self.pp, self.qq = np.sum(self.p * self.p, axis=1), np.sum(self.q * self.q, axis=1)

    def cost(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Squared distances of the pairs listed."""
        out = np.empty(len(rows))
        step = max(1, _BLOCK // self.d)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            difference = self.x[rows[part]] - self.y[columns[part]]
            np.einsum("ij,ij->i", difference, difference, out=out[part])
        return out

    def rounding(self, v: np.ndarray) -> np.ndarray:
        """Bound (n,) of the error of ``c_ij - v_j`` by the matrix product.

        The product has d + 2 terms, gamma_{d+2} (|p|^2 + 2 |p| |q| + |q|^2 + |v|); the squares d more; centring moves each
        coordinate by eps/2 of itself, the cost by eps (|p| + |q|)^2. Together below (d + 8) eps ((|p| + |q|)^2 + |v|).
        """
        reach = (np.sqrt(self.pp) + math.sqrt(float(self.qq.max()))) ** 2
        return (self.d + 8) * EPS * (reach + float(np.max(np.abs(v))))

    def _blocks(self, v):
        """(start, block): costs rounded down less ``v_j``, some rows and all columns; right at the minimum of every row."""
        from scipy.spatial.distance import cdist

        step = max(16, _BLOCK // self.m)
        if self.d > _TREE_DIM:
            left = np.concatenate([self.p, np.ones((self.n, 1)), self.pp[:, np.newaxis]], axis=1)
            right = np.concatenate([-2 * self.q.T, (self.qq - v)[np.newaxis], np.ones((1, self.m))])
            slack = 2 * self.rounding(v)
        for start in range(0, self.n, step):
            part = slice(start, start + step)
            if self.d > _TREE_DIM:
                block = left[part] @ right
                i, j = np.nonzero(block <= (np.min(block, axis=1) + slack[part])[:, np.newaxis])
                if len(i) * 8 <= block.size:
                    block[i, j] = self.cost(start + i, j) * (1 - self.error) - v[j]
                    yield start, block
                    continue
            block = cdist(self.x[part], self.y, "sqeuclidean")
            block *= 1 - self.error
            block -= v
            yield start, block

    def price(self, u: np.ndarray, v: np.ndarray, tol: float, join: int = JOIN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row minima of ``c_ij - v_j``, and pairs with ``c_ij - u_i - v_j < -tol`` (the ``join`` worst of each row).

        The minima are lower bounds up to the rounding of the last difference, eps/2 of their own size.
        """
        least = np.empty(self.n)
        rows, columns = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
        limit = u - tol
        join = min(join, self.m)
        for start, block in self._blocks(v):
            part = slice(start, start + len(block))
            low = np.min(block, axis=1)
            least[part] = low
            bad = np.flatnonzero(low < limit[part])
            if len(bad):
                some = block[bad]
                worst = np.argpartition(some, join - 1, axis=1)[:, :join]
                i, k = np.nonzero(np.take_along_axis(some, worst, axis=1) < limit[part][bad][:, np.newaxis])
                rows.append(start + bad[i])
                columns.append(worst[i, k])
        return least, np.concatenate(rows), np.concatenate(columns)


# -------------------------------------------------------------------------------------------------------------- arcs


def _affine(p, q, a, b):
    """Matrix (d, d) of the optimal map between the Gaussians with the covariances of the centred clouds p and q."""
    values, vectors = np.linalg.eigh((p * a[:, np.newaxis]).T @ p)
    if not values[-1] > 0:
        return np.eye(p.shape[1])
    root = np.sqrt(np.maximum(values, 1e-10 * values[-1]))  # directions without spread: any map serves
    half = (vectors * root) @ vectors.T
    values, middle = np.linalg.eigh(half @ ((q * b[:, np.newaxis]).T @ q) @ half)
    middle = (middle * np.sqrt(np.maximum(values, 0.0))) @ middle.T
    inverse = (vectors / root) @ vectors.T
    return inverse @ middle @ inverse


def nearest(x: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Indices (n, k) of near rows of y: a k-d tree in few dimensions, float32 products beyond. Only a heuristic."""
    n, m = len(x), len(y)
    k = min(k, m)
    if x.shape[1] <= _TREE_DIM:
        from scipy.spatial import cKDTree

        return np.reshape(cKDTree(y).query(x, k)[1], (n, k))
    centre = y.mean(axis=0)
    left = np.concatenate([x - centre, np.ones((n, 1))], axis=1).astype(np.float32)
    q = y - centre
    right = np.concatenate([-2 * q.T, np.sum(q * q, axis=1)[np.newaxis]]).astype(np.float32)
    out = np.empty((n, k), dtype=np.intp)
    step = max(16, _BLOCK // m)
    for start in range(0, n, step):
        block = left[start : start + step] @ right
        out[start : start + step] = np.argpartition(block, k - 1, axis=1)[:, :k] if k < m else np.arange(m)
    return out


def _staircase(x, y, a, b):
    """n + m - 1 arcs of a path through all atoms in the order of the widest axis; they can carry the integer masses."""
    axis = int(np.argmax(np.ptp(y, axis=0)))
    i, j = np.argsort(x[:, axis], kind="stable"), np.argsort(y[:, axis], kind="stable")
    left, right = np.cumsum(a[i])[:-1], np.cumsum(b[j])[:-1]
    # at every end of an atom one index moves on; at a common end first the row, then the column
    ends = np.argsort(np.concatenate([left, right]), kind="stable")
    down = ends < left.size
    rows, columns = np.cumsum(np.concatenate([[0], down])), np.cumsum(np.concatenate([[0], ~down]))
    return i[rows], j[columns]


def _joined(forth, back, path, m):
    """Rows (sorted) and columns of the arcs of neighbour lists (n, k), (m, k) and of a path, each once."""
    rows = np.concatenate([np.repeat(np.arange(len(forth)), forth.shape[1]), back.ravel(), path[0]])
    columns = np.concatenate([forth.ravel(), np.repeat(np.arange(m), back.shape[1]), path[1]])
    key = np.sort(rows * m + columns)  # sorting is faster here than the hash of np.unique
    key = key[np.concatenate([[True], np.diff(key) > 0])]
    return key // m, key % m


def first_arcs(pairs: Pairs, a: np.ndarray, b: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (sorted) and columns of the first arcs, each once, and the potential v of the Gaussians; a, b integers."""
    path = _staircase(pairs.x, pairs.y, a, b)
    a, b = a / a.sum(), b / b.sum()
    centre = b @ pairs.y
    x, y = pairs.x - centre, pairs.y - centre
    mean_x, mean_y = a @ x, b @ y
    p, q = x - mean_x, y - mean_y
    image = p @ _affine(p, q, a, b) + mean_y
    arcs = _joined(nearest(image, y, k), nearest(y, image, k), path, pairs.m)
    # |y|^2 - 2 psi(y), psi the convex function with gradient y -> mean_x + B (y - mean_y), up to a constant
    v = np.sum(y * y, axis=1) - np.sum(q * (q @ _affine(q, p, b, a)), axis=1) - 2 * q @ mean_x
    return *arcs, v - float(v.mean())


def _groups(pairs, a, b):
    """Group of every row and of every column: atoms far from one another apart, all that do not balance in group 0.

    Near are atoms among the 8 nearest of the other side, unless a hundred times as far as most have their nearest.
    Returns the groups, and whether there are any that do not balance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, m = pairs.n, pairs.m
    forth, back = nearest(pairs.x, pairs.y, 8), nearest(pairs.y, pairs.x, 8)
    rows, columns = _joined(forth, back, (np.arange(0), np.arange(0)), m)
    cost = pairs.cost(rows, columns)
    least = np.full(n + m, np.inf)
    np.minimum.at(least, rows, cost)
    np.minimum.at(least, n + columns, cost)
    near = cost <= 1e4 * float(np.quantile(least, 0.9))
    graph = coo_array((np.ones(int(near.sum())), (rows[near], n + columns[near])), shape=(n + m, n + m))
    count, label = connected_components(graph, directed=False)
    if count == 1 or count > max(200, (n + m) // 100):
        return np.zeros(n, int), np.zeros(m, int), False
    excess = np.zeros(count, dtype=a.dtype)
    np.add.at(excess, label[:n], a)
    np.subtract.at(excess, label[n:], b)
    even = excess == 0
    label = np.where(even, np.cumsum(even), 0)[label]
    return label[:n], label[n:], not even.all()


def _near_arcs(pairs, a, b, k):
    """As `first_arcs`, for groups of atoms far apart: nearest neighbours and potential 0."""
    arcs = _joined(nearest(pairs.x, pairs.y, k), nearest(pairs.y, pairs.x, k), _staircase(pairs.x, pairs.y, a, b), pairs.m)
    return *arcs, np.zeros(pairs.m)


def _guessed_arcs(pairs, a, b, v):
    """As `first_arcs`, from potentials near the optimal ones: few arcs of least reduced cost for every row."""
    forth = near(pairs.x, pairs.y, v, 4)
    return *_joined(forth, np.empty((pairs.m, 0), dtype=np.intp), _staircase(pairs.x, pairs.y, a, b), pairs.m), v


def _coarse(x, a, size):
    """Weighted means of the cells of ``size`` of the rows (drawn once and for all), and the masses of the cells."""
    if len(x) <= size:
        return x, a
    seeds = np.sort(np.random.default_rng(0).choice(len(x), size, replace=False))
    cell = nearest(x, x[seeds], 1)[:, 0]
    mass = np.bincount(cell, a, size)
    means = np.stack([np.bincount(cell, a * column, size) for column in x.T], axis=1)
    full = mass > 0
    return means[full] / mass[full, np.newaxis], mass[full]


def _coarse_arcs(pairs, a, b, k):
    """As `first_arcs`, for laws that are not near Gaussian: the potentials of their cells, by the simplex on all pairs.

    Potentials (U, V) of the cells X, Y extend to the atoms, v_j = min_I (|y_j - X_I|^2 - U_I), u_i likewise. The arcs of an
    atom are those of the k least reduced costs (`near`).
    """
    path, size = _staircase(pairs.x, pairs.y, a, b), cells(pairs.n, pairs.m)
    a, b = a / a.sum(), b / b.sum()
    centre = b @ pairs.y
    x, y = pairs.x - centre, pairs.y - centre
    (means_x, mass_x), (means_y, mass_y) = _coarse(x, a, size), _coarse(y, b, size)
    small = Pairs(means_x, means_y)
    cost = small.cost(*(i.ravel() for i in np.indices((small.n, small.m)))).reshape(small.n, small.m)
    _, u, v = network_simplex(_quantised(mass_x), _quantised(mass_y), cost, ITERATIONS)
    v, u = (Pairs(z, w).price(np.full(len(z), -np.inf), f, 0.0)[0] for z, w, f in ((y, means_x, u), (x, means_y, v)))

    arcs = _joined(near(x, y, v, k), near(y, x, u, k), path, pairs.m)
    return *arcs, v - float(v.mean())


def near(x: np.ndarray, y: np.ndarray, v: np.ndarray, k: int) -> np.ndarray:
    """Indices (n, k) of the rows of y with the least ``|x_i - y_j|^2 - v_j`` for each row of x.

    They are nearest neighbours with one more coordinate:
    ``|x_i - y_j|^2 - v_j = |(x_i, 0) - (y_j, sqrt(max v - v_j))|^2 - max v``. The search is only a heuristic, as `nearest`.

    Examples
    --------
    >>> near(np.array([[0.0]]), np.array([[1.0], [2.0], [3.0]]), np.array([0.0, 4.0, 0.0]), 1)
    array([[1]])
    """
    lift = np.sqrt(float(v.max()) - v)
    return nearest(np.pad(x, ((0, 0), (0, 1))), np.concatenate([y, lift[:, np.newaxis]], axis=1), k)


# ------------------------------------------------------------------------------------------------------------- solver


def network_simplex(a: np.ndarray, b: np.ndarray, cost: Any, iterations: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Plan and potentials by POT, ``cost`` a matrix or a sparse one whose entries are the arcs.

    Raises RuntimeError on any warning and any status but optimal.

    Examples
    --------
    >>> plan, u, v = network_simplex(np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([[0.0, 1.0], [1.0, 0.0]]), 100)
    >>> plan
    array([[1., 0.],
           [0., 1.]])
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing POT probes optional backends, which may warn
        from ot.lp import emd
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan, log = emd(a, b, cost, numItermax=iterations, log=True)
    if log["warning"] is not None or caught:
        text = log["warning"] or "; ".join(str(w.message) for w in caught)
        raise RuntimeError(
            f"optimal transport solver: status {log.get('result_code')} is not optimal ({text}) for "
            f"{a.size} x {b.size} atoms"
        )
    return plan, np.asarray(log["u"], dtype=np.float64), np.asarray(log["v"], dtype=np.float64)


def _dense_arcs(pairs, a, b, k=10):
    """Rows and columns of the arcs of the dense simplex's plan and of its k least reduced costs per atom; its potentials."""
    from scipy.spatial.distance import cdist

    cost = cdist(pairs.x, pairs.y, "sqeuclidean")
    unit = _unit(float(cost.max()))
    plan, u, v = network_simplex(a, b, np.multiply(cost, unit, out=cost), ITERATIONS)
    cost -= u[:, np.newaxis]
    cost -= v
    forth, back = (np.argpartition(c, min(k, c.shape[1]) - 1, axis=1)[:, :k] for c in (cost, cost.T))
    return *_joined(forth, back, np.nonzero(plan), pairs.m), u / unit, v / unit


def _unit(top):
    """Power of two that brings costs near 1: the simplex compares with absolute constants."""
    return math.ldexp(1.0, -math.frexp(top)[1]) if top > 0 else 1.0


def solve(
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    total: int,
    work: float = math.inf,
    dense: bool = False,
    split: bool = True,
    guess: np.ndarray | None = None,
) -> dict[str, Any] | None:
    """Optimal plan and feasible potentials of two clouds with integer masses.

    Parameters
    ----------
    x, y : (n, d), (m, d)
        Finite, of the size of 1.
    a, b, total : (n,), (m,)
        Positive integer masses (`masses`).
    work : number
        Arcs, summed over the rounds, after which to give up.
    dense : bool
        The first arcs come from the simplex on all pairs.
    split : bool
        Groups of atoms far apart whose masses balance are solved one by one.
    guess : (m,), optional
        Potentials near the optimal ones: the first arcs are those of least reduced cost.

    Returns
    -------
    dict or None
        None where ``work`` was spent. Otherwise the plan and potentials of `polish`, with ``rounds`` and ``arcs``, the
        numbers of both.

    Raises
    ------
    RuntimeError
        A status that is not optimal, or too many rounds.

    Examples
    --------
    >>> x, y = np.array([[0.0], [0.5]]), np.array([[0.25], [0.75]])
    >>> found = solve(x, y, np.ones(2), np.ones(2), 2)
    >>> found["solved"], found["rows"], found["columns"]
    (True, array([0, 1]), array([0, 1]))
    """
    from scipy.sparse import coo_array

    pairs = Pairs(x, y)
    share_a, share_b = shares(a, total), shares(b, total)
    start = first_arcs
    if min(pairs.n, pairs.m) == 1:
        i, j = (k.ravel() for k in np.indices((pairs.n, pairs.m)))
        return polish(pairs, i, j, a if pairs.m == 1 else b, total, (i, j, pairs.cost(i, j)), share_a, share_b, None)
    if split:
        found, far = _solve_groups(pairs, a, b, total, work, dense)
        if found is not None and found["solved"]:
            return found
        start = _near_arcs if far else first_arcs
    unit_a, unit_b = (k if k.dtype != object else _quantised(share) for k, share in ((a, share_a), (b, share_b)))
    if dense:
        rows, columns, u, v = _dense_arcs(pairs, unit_a, unit_b)
        cost = pairs.cost(rows, columns)
    else:
        if guess is None:
            rows, columns, v = start(pairs, unit_a, unit_b, neighbours(pairs.d))
        else:
            rows, columns, v = _guessed_arcs(pairs, unit_a, unit_b, guess)
        cost = pairs.cost(rows, columns)
        u = np.minimum.reduceat(cost - v[columns], np.searchsorted(rows, np.arange(pairs.n)))
    atoms, level, lowered, best = pairs.n + pairs.m, None, False, None

    def polished(rounds):
        i, j, flow, v = best
        return polish(pairs, i, j, flow, total, (rows, columns, cost), share_a, share_b, v, rounds, guess)

    for round_ in range(ROUNDS):
        work -= len(rows)
        if work < 0:
            return None
        drop = np.zeros(pairs.n)  # no reduced cost is negative: the simplex derives its artificial cost from the largest
        np.minimum.at(drop, rows, cost - u[rows] - v[columns])
        u = u + drop
        reduced = cost - u[rows] - v[columns]
        largest = float(np.max(reduced))
        if level is None:  # most arcs lie below; a plan that needs more raises it
            level = 1024 * float(np.quantile(np.abs(reduced), 0.9)) or largest
        unit = _unit(min(level, largest))
        arcs = coo_array((unit * np.minimum(reduced, level), (rows, columns)), shape=(pairs.n, pairs.m))
        plan, du, dv = network_simplex(unit_a, unit_b, arcs, ITERATIONS)
        i, j, flow = plan.row, plan.col, np.asarray(plan.data)
        plan_cost = pairs.cost(i, j)
        cut = bool(np.any(plan_cost - u[i] - v[j] > level))
        u, v = u + du / unit, v + dv / unit
        if not (np.all(np.isfinite(u)) and np.all(np.isfinite(v)) and np.all(np.isfinite(flow)) and np.all(flow >= 0)):
            raise RuntimeError("optimal transport solver: negative or non-finite plan or potentials")
        shift = _median(np.concatenate([v, -u]), np.concatenate([share_b, share_a]))
        u, v = u + shift, v - shift
        if cut:
            if lowered:  # the plan uses arcs of this size: no finer level is to be had
                return polished(4000)
            level = math.inf
            continue
        part = flow / float(_TOTAL if a.dtype == object else total)
        primal = float(part @ plan_cost)
        # pairs are held to what the arcs of the program satisfy
        tol = max(-2 * float(np.min(cost - u[rows] - v[columns])), 0.05 * ACCURACY * primal)
        least, more_rows, more_columns = pairs.price(u, v, tol)
        more_cost = pairs.cost(more_rows, more_columns)
        size = np.abs(u[more_rows]) + np.abs(v[more_columns])
        new = more_cost - u[more_rows] - v[more_columns] < -tol - 4 * EPS * size  # not by their rounding alone
        if new.any():
            if start is not None and not dense and np.count_nonzero(new) > atoms:  # the first arcs were no guide
                old = (rows, columns) if start is _near_arcs else (np.arange(0), np.arange(0))
                rows, columns, v = _coarse_arcs(pairs, unit_a, unit_b, neighbours(pairs.d))
                key = np.union1d(rows * pairs.m + columns, old[0] * pairs.m + old[1])
                rows, columns, start = key // pairs.m, key % pairs.m, None
                cost = pairs.cost(rows, columns)
                u = np.minimum.reduceat(cost - v[columns], np.searchsorted(rows, np.arange(pairs.n)))
                level = None
                continue
            rows, columns = np.concatenate([rows, more_rows[new]]), np.concatenate([columns, more_columns[new]])
            cost = np.concatenate([cost, more_cost[new]])
            continue
        level = min(level, largest)
        sharp = float(part @ (plan_cost - least[i] - v[j])) <= 0.1 * ACCURACY * primal
        if a.dtype == object:
            i, j, flow = exact_flow(i, j, a, b, (rows, columns, cost), u, v)
        best = i, j, flow, v
        found = polished(400 if sharp else 32)
        if found["solved"]:
            return found | {"rounds": round_ + 1, "arcs": len(rows)}
        if EPS * atoms * level <= 1e-20 * float(np.max(cost)):
            return polished(4000)
        level, lowered, start = level * 2.0**-16, True, None
    raise RuntimeError(f"optimal transport: pairs still violated after {ROUNDS} rounds for {pairs.n} x {pairs.m} atoms")


def _solve_groups(pairs, a, b, total, work, dense):
    """`solve` on every group of its own, then one polish (None where there is one group only); the groups' kind."""
    of_x, of_y, far = _groups(pairs, a, b)
    if not of_x.any():
        return None, far
    parts = []
    for group in np.unique(of_x):
        i, j = np.flatnonzero(of_x == group), np.flatnonzero(of_y == group)
        part = int(sum(a[i].tolist()))
        found = solve(pairs.x[i], pairs.y[j], a[i], b[j], part, work, dense, split=bool(group))
        if found is None:
            return None, far
        parts.append((i[found["rows"]], j[found["columns"]], found["flow"], i[found["tails"]], j[found["heads"]]))
    i, j, flow, rows, columns = (np.concatenate(part) for part in zip(*parts))
    arcs = rows, columns, pairs.cost(rows, columns)
    return polish(pairs, i, j, flow, total, arcs, shares(a, total), shares(b, total), None, 1500), far


def _median(values, weights):
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, 0.5 * cumulated[-1])])


def exact_flow(
    rows: np.ndarray,
    columns: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    arcs: tuple[np.ndarray, np.ndarray, np.ndarray],
    u: np.ndarray,
    v: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plan with exactly the integer masses a, b, on the support of a plan for nearby masses.

    The support is a forest, on which the masses fix the flow: leaf by leaf. Where that would be negative, or a tree does not
    balance, the rest moves along shortest paths of the residual graph (Dijkstra on reduced costs), which keeps it optimal.
    """
    n = len(a)
    need = a.tolist() + b.tolist()  # of the row to ship, of the column to receive
    at: list[set[int]] = [set() for _ in need]
    for i, j in zip(rows.tolist(), columns.tolist()):
        at[i].add(n + j)
        at[n + j].add(i)
    flow: list[dict[int, int]] = [{} for _ in need]  # of both ends

    # leaf by leaf
    leaves = [k for k, ends in enumerate(at) if len(ends) == 1]
    while leaves:
        k = leaves.pop()
        if len(at[k]) != 1:
            continue
        other = at[k].pop()
        at[other].discard(k)
        if len(at[other]) == 1:
            leaves.append(other)
        moved = max(need[k], 0)
        if moved:
            flow[k][other] = flow[other][k] = moved
            need[k] -= moved
            need[other] -= moved

    # what a forest cannot carry
    if any(need):
        _balance(n, need, flow, arcs, u, v)
    out = [(i, j - n, f) for i in range(n) for j, f in flow[i].items()]
    i, j, f = zip(*out)
    return np.array(i), np.array(j), np.array(f, dtype=object)


def _balance(n, need, flow, arcs, u, v):
    """Ship what is left (rows with ``need`` > 0, columns with ``need`` < 0) to where it is missing."""
    forth = [{} for _ in range(n)]
    for i, j, c in zip(*(array.tolist() for array in arcs)):
        forth[i][n + j] = c
    height = np.concatenate([-u, v]).tolist()

    def steps(k):
        if k < n:
            return ((j, max(c + height[k] - height[j], 0.0)) for j, c in forth[k].items())
        return ((i, max(height[k] - height[i] - forth[i][k], 0.0)) for i in flow[k])

    def amount(k):  # positive: to be sent from here
        return need[k] if k < n else -need[k]

    for source in range(len(need)):
        while amount(source) > 0:
            best, before, done, heap = {source: 0.0}, {}, set(), [(0.0, source)]
            while heap:
                distance, k = heapq.heappop(heap)
                if k in done:
                    continue
                done.add(k)
                if amount(k) < 0:
                    break
                for l, length in steps(k):
                    if l not in done and distance + length < best.get(l, math.inf):
                        best[l], before[l] = distance + length, k
                        heapq.heappush(heap, (distance + length, l))
            else:
                raise RuntimeError("optimal transport: the plan misses its marginals and no path of arcs mends it")
            for l in done:
                height[l] += best[l] - distance
            path = [k]
            while path[-1] != source:
                path.append(before[path[-1]])
            path = path[::-1]
            moved = min([amount(source), -amount(k)] + [flow[p][q] for p, q in itertools.pairwise(path) if p >= n])
            for p, q in itertools.pairwise(path):
                change = moved if p < n else -moved
                flow[p][q] = flow[q][p] = flow[p].get(q, 0) + change
                if not flow[p][q]:
                    del flow[p][q], flow[q][p]
            need[source] -= moved if source < n else -moved
            need[k] -= moved if k >= n else -moved


def polish(
    pairs: Pairs,
    i: np.ndarray,
    j: np.ndarray,
    flow: np.ndarray,
    total: int,
    arcs: tuple[np.ndarray, np.ndarray, np.ndarray],
    a: np.ndarray,
    b: np.ndarray,
    v: np.ndarray | None,
    rounds: int = 4000,
    near: np.ndarray | None = None,
) -> dict[str, Any]:
    """Potentials of a plan from the plan alone: shortest paths from 0 in its residual graph, by Bellman's iteration.

    ``u_i = max over the plan of c_ij - v_j`` and ``v_j <- min over the arcs of c_ij - u_i`` end where no arc is violated,
    unless a cycle of negative cost shows that the plan is not optimal. Every number is a sum of costs along a path, so
    potentials are as small as the plan allows, and groups far apart do not touch each other's digits. Pairs that are
    violated beyond the arcs join them. Where 0 does not lead to the end, the simplex's potentials are the start.

    Returns
    -------
    dict
        ``rows, columns, flow, cost`` of the plan; ``u, v`` with u_i <= min_j (c_ij - v_j) up to eps/2 |u_i|; ``loss``, the
        gap, and ``solved``: it is below 1e-9 of the cost; ``tails, heads``, the arcs.
    """
    rows, columns, cost = arcs
    order = np.argsort(i, kind="stable")
    i, j, flow = i[order], j[order], flow[order]
    part, plan_cost = shares(flow, total), pairs.cost(i, j)
    primal, first = math.fsum(part * plan_cost), np.searchsorted(i, np.arange(pairs.n))
    rows, columns, cost = np.concatenate([rows, i]), np.concatenate([columns, j]), np.concatenate([cost, plan_cost])

    def bellman(v, rounds):
        """Iterates until the gap on the arcs is small, less so the longer it takes: a plan may not be quite optimal."""
        order = np.argsort(columns, kind="stable")
        tails, lengths = rows[order], cost[order]
        heads = np.searchsorted(columns[order], np.arange(pairs.m))
        for k in range(rounds):
            u = np.maximum.reduceat(plan_cost - v[j], first)
            v, old = np.minimum(v, np.minimum.reduceat(lengths - u[tails], heads)), v
            if float(part @ (plan_cost - u[i] - v[j])) <= allowed(u, v, min(0.01 + k / 2000, 0.4)) or np.array_equal(v, old):
                break
        return u, v

    def size(u, v):
        return float(a @ np.abs(u) + b @ np.abs(v))

    def allowed(u, v, share):
        return share * (ACCURACY * primal + 64 * EPS * size(u, v))

    best: Any = None  # (loss, solved, u, v)
    moved, guess = False, v
    starts = [np.zeros(pairs.m) if near is None else near] + ([] if v is None else [v])
    while starts:
        v, loss = starts.pop(0), math.inf
        for _ in range(20):
            u, v = bellman(v, min(4 * (pairs.n + pairs.m), rounds))
            if rounds < 4000 and float(part @ (plan_cost - u[i] - v[j])) > allowed(u, v, 0.4):
                break
            least, more_rows, more_columns = pairs.price(u, v, 0.005 * ACCURACY * primal)
            loss, last = float(part @ (plan_cost - least[i] - v[j])), loss
            more_cost = pairs.cost(more_rows, more_columns)
            new = more_cost - u[more_rows] - v[more_columns] < -0.01 * ACCURACY * primal
            if loss <= allowed(least, v, 0.4) or not new.any() or not loss < last:
                break
            rows, columns = np.concatenate([rows, more_rows[new]]), np.concatenate([columns, more_columns[new]])
            cost = np.concatenate([cost, more_cost[new]])
        if loss == math.inf:
            continue
        if loss > 0.5 * ACCURACY * primal:  # the error of an arc to a small far atom must not reach a large one: a margin
            lower = v - 2 * pairs.error * np.abs(v)
            other = pairs.price(u, lower, math.inf)[0]
            if (margin := float(part @ (plan_cost - other[i] - lower[j]))) < loss:
                loss, least, v = margin, other, lower
        solved = loss <= 0.5 * ACCURACY * primal
        if best is None or loss + 64 * EPS * size(least, v) < best[0]:
            best = loss + 64 * EPS * size(least, v), solved, least, v
        starts = [] if solved else starts
        shift = _median(np.concatenate([v, -u]), np.concatenate([b, a]))
        if not moved and size(u + shift, v - shift) < size(u, v) / 4:  # most of the mass need not have large potentials
            starts.append(v - shift)
            moved = True
    if guess is not None and rounds >= 4000 and not best[1]:  # the plan is not optimal: a lower bound all the same
        least = pairs.price(np.zeros(pairs.n), guess, math.inf)[0]
        loss = float(part @ (plan_cost - least[i] - guess[j])) + 64 * EPS * size(least, guess)
        best = min(best, (loss, False, least, guess), key=lambda entry: entry[0])
    loss, solved, u, v = best or (math.inf, False, None, None)
    return {
        "rows": i,
        "columns": j,
        "flow": flow,
        "cost": plan_cost,
        "u": u,
        "v": v,
        "solved": solved,
        "loss": loss,
        "tails": rows,
        "heads": columns,
    }
