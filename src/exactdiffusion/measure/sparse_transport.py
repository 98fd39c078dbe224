r"""Exact optimal transport of two clouds without the cost matrix: a linear program on few arcs, priced on all pairs.

Kantorovich's program has n m columns and an optimal basis of n + m - 1. It is solved by column generation:

1. Arcs: for every atom the k nearest of the other side after x was carried over by the affine map between the two
   Gaussians of the same moments (it is optimal for Gaussians), and a staircase of n + m - 1 arcs through the sorted
   atoms, which carries the masses whatever they are: the restricted program is feasible. Where more than n + m pairs turn
   out to be violated after the first round (clusters, curves), the program starts again from the k arcs per atom of the
   least reduced costs under potentials of a coarse problem, the dense simplex on up to 1000 cells of either side.
2. POT's network simplex on these arcs gives a plan and potentials (u, v). It is given reduced costs, at first those of
   the Gaussians' potentials: its first basis is made of the cheapest arcs, so that later rounds cost little.
3. All pairs are priced in blocks, ``c_ij - u_i - v_j`` by one matrix product per block. Pairs below ``-tol`` join the
   arcs and the program is solved again. No such pair: (u, v) is feasible for the whole program and the plan optimal.

The certificate needs none of this to be right. For any v, u_i = min_j (c_ij - v_j) is dual feasible, so a.u + b.v is a
lower bound; the pricing of the last round computes these u, less a bound of its own rounding.

Masses are integers of equal sum (`integer_masses`): all flows of the simplex, sums and splits are then exact.
"""

import math
import warnings

import numpy as np

__all__ = ["Pairs", "dense_work", "integer_masses", "merge_rows", "network_simplex", "solve", "split_plan", "workspace"]

EPS = float(np.finfo(np.float64).eps)
#: Iteration limit given to POT. Its default (1e5) stops early and only warns.
ITERATIONS = 10**9
#: Column-generation rounds; 1 to 13 were seen. Each adds an arc at least, so the method ends anyway.
ROUNDS = 200
#: Most violated arcs of one row that join in one round.
JOIN = 8
#: Largest total of the integer masses: sums and differences of integers up to here are exact.
_TOTAL = 2**53
#: Entries of one block of costs (4 MB).
_BLOCK = 2**19
#: Measured bytes per initial arc: index, cost and copies of both, POT's graph, flows, states, potentials.
_ARC_BYTES = 260
#: Up to this dimension neighbours come from a k-d tree.
_TREE_DIM = 8


def neighbours(d):
    """Arcs per atom and side at the start: more in few dimensions, where a round costs less than the arcs it saves."""
    return 20 if d <= 3 else 12


def cells(n, m):
    """Cells of either side of the coarse problem."""
    return min(1000, max(n, m) // 4 + 1)


def workspace(n, m, d):
    """Bytes that `solve` takes for n x m atoms beyond its result (arcs that join later add a third at most, measured)."""
    dense = 42 * min(n, cells(n, m)) * min(m, cells(n, m))  # the coarse problem; not at the same time as the arcs
    return max(int((n + m) * neighbours(d) * _ARC_BYTES * 4 // 3), dense) + 4 * 8 * max(_BLOCK, 16 * max(n, m))


def dense_work(n, m):
    """Arcs, summed over the rounds, beyond which the simplex on all pairs at once is not much slower (measured)."""
    return n * m // 4 + 100 * (n + m)


def _left(atoms, largest, du, dv, unit):
    """Violation of its own arcs that POT's simplex can leave: its stopping rule, for costs ``largest`` times ``unit``.

    It stops where no reduced cost is below -10 eps times the larger potential of its arc or the cost (EPSILON =
    2.22e-15 of its source). Potentials can hold the cost of one artificial arc, (n + m) (1 + largest cost), and the
    differences of the potentials on top. Measured are violations 40 times smaller: half a unit in the last place of
    that cost, the rounding of potentials so large, on the arcs of the plan as on the others.
    """
    return 10 * EPS * (atoms * (1 / unit + largest) + float(np.ptp(du)) + float(np.ptp(dv)))


# ---------------------------------------------------------------------------------------------------------------- masses


def integer_masses(a, b, equal):
    """Masses of both sides as float64 integers of the same total, and this total.

    Equal weights: m/g and n/g with g = gcd(n, m). Others are rounded to multiples of 2^-53, each by at most 2^-54 (the
    excess of the sum, at most (n + m) / 2 units, is taken from the heaviest atoms, one unit each per round).
    """
    n, m = a.size, b.size
    if equal:
        g = math.gcd(n, m)
        total = n // g * m
        if total**2 <= _TOTAL:  # POT multiplies masses by the total and divides again
            return np.full(n, float(m // g)), np.full(m, float(n // g)), float(total)
    return _quantised(a), _quantised(b), float(_TOTAL)


def _quantised(weights):
    units = np.rint(weights * (_TOTAL / math.fsum(weights)))
    excess = int(sum(units.astype(np.int64).tolist())) - _TOTAL
    heaviest = np.argsort(-units, kind="stable")
    while excess:
        some = heaviest[: abs(excess)]
        some = some[units[some] > 0]
        units[some] -= math.copysign(1.0, excess)
        excess -= int(math.copysign(some.size, excess))
    return units


def merge_rows(x):
    """Index (k,) of the first occurrence of every distinct row of x and, for each row, which of them it is (n,).

    Returns None where fewer than a tenth of the rows repeat another one: merging would not pay.
    """
    x = np.ascontiguousarray(x + 0.0)  # -0.0 equals 0.0 but its bytes differ
    keys = x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return None if first.size > 0.9 * len(x) else (first, np.reshape(inverse, -1))


def split_plan(groups, masses, index, flow):
    """Distribute a plan on merged atoms over the copies: the monotone coupling of copies and flows inside each atom.

    Parameters
    ----------
    groups, masses : (n,) merged atom and integer mass of every copy
    index, flow : (p,) merged atom and integer mass of every entry of the plan; equal masses per atom

    Returns
    -------
    copies, entries, flow : copy i of entry e of the plan carries that much; all integers, hence exact.
    """
    i, e = np.argsort(groups, kind="stable"), np.argsort(index, kind="stable")
    left, right = np.cumsum(masses[i]), np.cumsum(flow[e])
    knots = np.union1d(left, right)
    knots = knots[knots > 0]
    return i[np.searchsorted(left, knots)], e[np.searchsorted(right, knots)], np.diff(knots, prepend=0.0)


# ------------------------------------------------------------------------------------------------------------ all pairs


class Pairs:
    """All squared distances of two clouds, never stored: blocks of ``c_ij - v_j`` by one matrix product each.

    Both clouds are centred at one point, so every term is of the size of the largest cost.

    Attributes
    ----------
    top : float
        A cost that occurs, at least 1/64 of the largest: the scale of the tolerances.
    """

    def __init__(self, x, y):
        self.x, self.y = x, y
        (self.n, self.d), self.m = x.shape, len(y)
        centre = 0.5 * (x.mean(axis=0) + y.mean(axis=0))
        self.p, self.q = x - centre, y - centre
        self.pp, self.qq = np.sum(self.p * self.p, axis=1), np.sum(self.q * self.q, axis=1)
        # Distances to the outermost rows p_i, q_j. With R = max(|p_i|, |q_j|) and the means m, -m of p and q: either
        # |m| <= R/2 and one of |p_i + m|, |q_j - m| is at least R/2, or two means are R apart and one of |p_i + m|,
        # |q_j - m|, |p_i - q_j| is at least R/4 by the triangle inequality. So top >= R^2 / 16, all costs <= 4 R^2.
        i, j = int(np.argmax(self.pp)), int(np.argmax(self.qq))
        self.top = float(max(np.max(np.sum((y - x[i]) ** 2, axis=1)), np.max(np.sum((x - y[j]) ** 2, axis=1))))

    def cost(self, rows, columns):
        """Squared distances of the pairs listed: explicit differences, relative error (d + 2) eps."""
        out = np.empty(len(rows))
        step = max(1, _BLOCK // self.d)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            difference = self.x[rows[part]] - self.y[columns[part]]
            np.einsum("ij,ij->i", difference, difference, out=out[part])
        return out

    def rounding(self, v):
        """Bound of the error of a computed ``c_ij - v_j``.

        The product has d + 1 terms, gamma_{d+1} (2 |p| |q| + |q|^2 + |v|); the squares d more; centring moves each
        coordinate by eps/2 of itself, the cost by eps (|p| + |q|)^2. Together below (d + 8) eps ((|p| + |q|)^2 + |v|).
        """
        reach = (math.sqrt(float(self.pp.max())) + math.sqrt(float(self.qq.max()))) ** 2
        return (self.d + 8) * EPS * (reach + float(np.max(np.abs(v))))

    def _blocks(self, v):
        """(start, block): ``c_ij - v_j - |p_i|^2`` for some rows and all columns; the block is overwritten by the next."""
        left = np.concatenate([self.p, np.ones((self.n, 1))], axis=1)
        right = np.concatenate([-2 * self.q.T, (self.qq - v)[np.newaxis]])
        step = max(16, _BLOCK // self.m)
        block = np.empty((min(step, self.n), self.m))
        for start in range(0, self.n, step):
            rows = left[start : start + step]
            yield start, np.matmul(rows, right, out=block[: len(rows)])

    def price(self, u, v, tol, join=JOIN):
        """Row minima of ``c_ij - v_j``, and the pairs with ``c_ij - u_i - v_j < -tol`` (the ``join`` worst of each row)."""
        least = np.empty(self.n)
        rows, columns = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
        limit = u - self.pp - tol
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
        return least + self.pp, np.concatenate(rows), np.concatenate(columns)


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


def _nearest(x, y, k):
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
    """n + m - 1 arcs of a path through all atoms in the order of the widest axis; they can carry the masses a and b."""
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


def _first_arcs(pairs, a, b, k):
    """Rows (sorted) and columns of the first arcs, each once, and the potential v of the Gaussians."""
    x, y = pairs.x, pairs.y
    mean_x, mean_y = a @ x, b @ y
    p, q = x - mean_x, y - mean_y
    image = p @ _affine(p, q, a, b) + mean_y
    arcs = _joined(_nearest(image, y, k), _nearest(y, image, k), _staircase(x, y, a, b), pairs.m)
    # |y|^2 - 2 psi(y), psi the convex function with gradient y -> mean_x + B (y - mean_y), up to a constant
    v = np.sum(y * y, axis=1) - np.sum(q * (q @ _affine(q, p, b, a)), axis=1) - 2 * q @ mean_x
    return *arcs, v - float(v.mean())


def _coarse(x, a, size):
    """Weighted means of the cells of ``size`` of the rows (drawn once and for all), and the masses of the cells."""
    if len(x) <= size:
        return x, a
    seeds = np.sort(np.random.default_rng(0).choice(len(x), size, replace=False))
    cell = _nearest(x, x[seeds], 1)[:, 0]
    mass = np.bincount(cell, a, size)
    means = np.stack([np.bincount(cell, a * column, size) for column in x.T], axis=1)
    full = mass > 0
    return means[full] / mass[full, np.newaxis], mass[full]


def _coarse_arcs(pairs, a, b, k):
    """As `_first_arcs`, for laws that are not near Gaussian: the potentials of their cells, by the simplex on all pairs.

    Potentials (U, V) of the cells X, Y extend to the atoms, v_j = min_I (|y_j - X_I|^2 - U_I), u_i likewise. The arcs of an
    atom are those of the k least reduced costs, which are nearest neighbours with one more coordinate:
    |x_i - y_j|^2 - v_j = |(x_i, 0) - (y_j, sqrt(max v - v_j))|^2 - max v.
    """
    x, y, size = pairs.x, pairs.y, cells(pairs.n, pairs.m)
    (means_x, mass_x), (means_y, mass_y) = _coarse(x, a, size), _coarse(y, b, size)
    small = Pairs(means_x, means_y)
    cost = small.cost(*(i.ravel() for i in np.indices((small.n, small.m)))).reshape(small.n, small.m)
    *units, _ = integer_masses(mass_x, mass_y, equal=False)
    units = [np.maximum(unit, 1.0) for unit in units]  # cells of 2^-54 and less; the totals may differ by some units
    units[0][np.argmax(units[0])] += units[1].sum() - units[0].sum()
    _, u, v = network_simplex(*units, cost, ITERATIONS)
    v, u = (Pairs(z, w).price(np.full(len(z), -np.inf), f, 0.0)[0] for z, w, f in ((y, means_x, u), (x, means_y, v)))

    def near(x, y, v):
        lift = np.sqrt(float(v.max()) - v)
        return _nearest(np.pad(x, ((0, 0), (0, 1))), np.concatenate([y, lift[:, np.newaxis]], axis=1), k)

    arcs = _joined(near(x, y, v), near(y, x, u), _staircase(x, y, a, b), pairs.m)
    return *arcs, v - float(v.mean())


# ------------------------------------------------------------------------------------------------------------- solver


def network_simplex(a, b, cost, iterations):
    """Plan and potentials by POT, ``cost`` a matrix or a sparse one whose entries are the arcs.

    Raises RuntimeError on any warning and any status but optimal.
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


def solve(x, y, a, b, work=math.inf):
    """Optimal plan and feasible potentials of two clouds with integer masses.

    Parameters
    ----------
    x, y : (n, d), (m, d)
        Finite, within 1e150 of one another.
    a, b : (n,), (m,)
        Positive integer masses of the same total (`integer_masses`).
    work : number
        Arcs, summed over the rounds, after which to give up.

    Returns
    -------
    dict or None
        None where ``work`` was spent. Otherwise
        ``rows, columns, flow, cost`` of the plan; ``u, v`` with u the row minima of ``c_ij - v_j`` as computed,
        ``rounding`` the bound of their error; ``top``, a cost that occurs, at least 1/64 of the largest; ``tolerance``,
        how far the plan may be from the dual value by the solver's rounding; ``rounds`` and ``arcs``, the numbers of both.

    Raises
    ------
    RuntimeError
        A status that is not optimal, potentials that do not belong to the solver's own arcs, or too many rounds.
    """
    from scipy.sparse import coo_array

    pairs = Pairs(x, y)
    total = float(np.sum(a))
    rows, columns, v = _first_arcs(pairs, a / total, b / total, neighbours(pairs.d))
    cost = pairs.cost(rows, columns)
    u = np.minimum.reduceat(cost - v[columns], np.searchsorted(rows, np.arange(pairs.n)))
    # the simplex compares with absolute constants: costs of size 1, by an exact factor
    unit = math.ldexp(1.0, -math.frexp(pairs.top)[1]) if pairs.top > 0 else 1.0
    atoms = pairs.n + pairs.m
    for round_ in range(ROUNDS):
        work -= len(rows)
        if work < 0:
            return None
        reduced = cost - u[rows] - v[columns]
        largest = float(np.max(np.abs(reduced)))
        arcs = coo_array((unit * reduced, (rows, columns)), shape=(pairs.n, pairs.m))
        plan, du, dv = network_simplex(a, b, arcs, ITERATIONS)
        u, v = u + du / unit, v + dv / unit
        if not (np.all(np.isfinite(u)) and np.all(np.isfinite(v))):
            raise RuntimeError("optimal transport solver: negative or non-finite plan or potentials")
        shift = 0.5 * (float(v.max()) + float(v.min()))
        u, v = u + shift, v - shift
        rounding = pairs.rounding(v)
        # pairs are held to what the arcs of the program satisfy, but never to less than the rounding of path sums
        own, left = float(np.min(cost - u[rows] - v[columns])), _left(atoms, largest, du / unit, dv / unit, unit)
        if own < -left - 2 * rounding:
            raise RuntimeError(
                f"optimal transport solver: its potentials violate its own arcs by {-own:.3g} (tolerance {left:.3g}, "
                f"largest cost {pairs.top:.3g}): it stopped before the optimum, {pairs.n} x {pairs.m} atoms"
            )
        tol = max(4 * (atoms + pairs.d) * EPS * pairs.top, -2 * own) + 2 * rounding
        least, more_rows, more_columns = pairs.price(u, v, tol)
        if not len(more_rows):
            i, j = plan.row, plan.col
            return {"rows": i, "columns": j, "flow": np.asarray(plan.data), "cost": pairs.cost(i, j), "u": least, "v": v,
                    "rounding": rounding, "top": pairs.top, "tolerance": tol + left / 10, "rounds": round_ + 1,
                    "arcs": len(rows)}
        if round_ == 0 and len(more_rows) > atoms:  # the map of the Gaussians was no guide
            rows, columns, v = _coarse_arcs(pairs, a / total, b / total, neighbours(pairs.d))
            cost = pairs.cost(rows, columns)
            u = np.minimum.reduceat(cost - v[columns], np.searchsorted(rows, np.arange(pairs.n)))
            continue
        rows, columns = np.concatenate([rows, more_rows]), np.concatenate([columns, more_columns])
        cost = np.concatenate([cost, pairs.cost(more_rows, more_columns)])
    raise RuntimeError(f"optimal transport: pairs still violated after {ROUNDS} rounds for {pairs.n} x {pairs.m} atoms")
