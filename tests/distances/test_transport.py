"""Transport on few arcs: the value of the dense solver, its own certificate, and errors planted in the solver."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from exactdiffusion import distances
from exactdiffusion.distances import transport, wasserstein

EPS = np.finfo(float).eps


def weights(rng, n, spread=1.0):
    w = np.exp(spread * rng.normal(size=n))
    return w / w.sum()


def gaussians(rng, n, m, d):
    return rng.normal(size=(n, d)), 1.1 * rng.normal(size=(m, d)) + 0.2


def curve(rng, n):
    t = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(t), np.sin(2 * t)], axis=1) + 0.02 * rng.normal(size=(n, 2))


def clusters(rng, n, d):
    """Ten clusters, a hundred times their width apart, of random sizes: mass must cross between them."""
    centres = np.random.default_rng(99).normal(size=(10, d)) * 10
    return centres[rng.choice(10, size=n, p=weights(rng, 10))] + 0.1 * rng.normal(size=(n, d))


def lattice(rng, n, d):
    """Integer points: equal distances everywhere, many repeated rows."""
    return np.round(4 * rng.normal(size=(n, d)))


def check(x, y, a=None, b=None):
    """Both methods, their certificates and couplings; returns the sparse result."""
    n, m, d = len(x), len(y), x.shape[1]
    dense, sparse = (distances.w2(x, y, a, b, method=name) for name in ("emd", "sparse"))
    assert (dense.method, sparse.method) == ("emd", "sparse")
    cost = cdist(x, y, "sqeuclidean")
    top = float(cost.max())
    assert max(dense.lower_squared, sparse.lower_squared) <= min(dense.squared, sparse.squared)
    assert sparse.certified
    assert dense.certified
    assert 0 <= sparse.gap <= sparse.tolerance
    # both plans are optimal up to their gaps
    assert abs(sparse.squared - dense.squared) <= sparse.gap + dense.gap
    rows, columns, mass = sparse.coupling
    a, b = (np.full(k, 1 / k) if w is None else w for k, w in ((n, a), (m, b)))
    slack = (n + m) * 2 * EPS  # masses are multiples of 2^-53
    assert np.abs(np.bincount(rows, mass, n) - a).sum() <= slack
    assert np.abs(np.bincount(columns, mass, m) - b).sum() <= slack
    assert np.all(mass > 0)
    assert abs(math.fsum(mass * cost[rows, columns]) - sparse.squared) <= 4 * (d + 4) * EPS * max(top, sparse.squared)
    return sparse, dense


@pytest.mark.parametrize("d", [1, 2, 3, 8, 9, 20, 64])
def test_gaussian_clouds(d):
    n = 300 if d == 1 else 700  # the dense simplex takes seconds on a line
    x, y = gaussians(np.random.default_rng(d), n, n, d)
    sparse, dense = check(x, y)
    assert abs(sparse.value / dense.value - 1) <= 1e-12


@pytest.mark.parametrize("d", [2, 16])
@pytest.mark.parametrize(("n", "m"), [(900, 550), (550, 901), (600, 600)])
@pytest.mark.parametrize("weighted", [False, True])
def test_sizes_and_weights(n, m, d, weighted):
    rng = np.random.default_rng(n + m + d)
    x, y = gaussians(rng, n, m, d)
    a, b = (weights(rng, n, 3.0), weights(rng, m)) if weighted else (None, None)
    sparse, dense = check(x, y, a, b)
    assert abs(sparse.value / dense.value - 1) <= 1e-12


@pytest.mark.parametrize("name", ["curve", "clusters2", "clusters16", "lattice2", "lattice5", "flat", "one axis", "far"])
@pytest.mark.parametrize("weighted", [False, True])
def test_hard_geometry(name, weighted):
    rng = np.random.default_rng(5)
    n, m = 800, 650
    x, y = {
        "curve": lambda: (curve(rng, n), curve(rng, m)),
        "clusters2": lambda: (clusters(rng, n, 2), clusters(rng, m, 2)),
        "clusters16": lambda: (clusters(rng, n, 16), clusters(rng, m, 16)),
        "lattice2": lambda: (lattice(rng, n, 2), lattice(rng, m, 2)),
        "lattice5": lambda: (lattice(rng, n, 5), lattice(rng, m, 5)),
        "flat": lambda: (rng.normal(size=(n, 3)) * [1.0, 0.0, 1e-9], rng.normal(size=(m, 3)) * [1.0, 1.0, 0.0]),
        "one axis": lambda: (np.linspace(0, 1, n)[:, None] * [[1.0, 0.0]], np.linspace(0, 2, m)[:, None] * [[0.0, 1.0]]),
        "far": lambda: (1e-3 * rng.normal(size=(n, 2)), 1e-3 * rng.normal(size=(m, 2)) + 1e4),
    }[name]()
    a, b = (weights(rng, n), weights(rng, m, 2.0)) if weighted else (None, None)
    check(x, y, a, b)


FAMILIES = {
    "Gaussians, d = 2": lambda rng, n: gaussians(rng, n, n, 2),
    "Gaussians, d = 64": lambda rng, n: gaussians(rng, n, n, 64),
    "clusters": lambda rng, n: (clusters(rng, n, 3), clusters(rng, n, 3)),
    "curve": lambda rng, n: (curve(rng, n), curve(rng, n)),
    "weights": lambda rng, n: (*gaussians(rng, n, n - 200, 2), weights(rng, n), weights(rng, n - 200)),
    "weighted clusters": lambda rng, n: (clusters(rng, n, 8), clusters(rng, n, 8), weights(rng, n), weights(rng, n)),
    "ties": lambda rng, n: (np.round(30 * rng.normal(size=(n, 2))), np.round(30 * rng.normal(size=(n, 2)))),
    "heavy tails": lambda rng, n: (rng.standard_cauchy(size=(n, 2)), rng.standard_cauchy(size=(n, 2))),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_must_show_value_of_the_dense_solver_and_gap(name):
    """Value of the dense solver to 1e-12, certified gap below 1e-9 of W2^2."""
    x, y, *w = FAMILIES[name](np.random.default_rng(11), 1400)
    sparse, dense = check(x, y, *w)
    assert abs(sparse.value / dense.value - 1) <= 1e-12
    assert sparse.gap <= 1e-9 * sparse.squared
    assert sparse.tolerance <= 1.01e-9 * sparse.squared  # the rounding of the dual is no part of it


@pytest.mark.parametrize("name", ["curve", "clusters"])
def test_coarse_potentials_replace_the_gaussians(name, monkeypatch):
    """Laws that are far from Gaussian end after a third of the rounds that the arcs of the Gaussian map need."""
    x, y = FAMILIES[name](np.random.default_rng(1), 1400)
    rounds, true = [], transport.network_simplex

    def counted(a, b, cost, iterations):
        rounds.append(a.size)
        return true(a, b, cost, iterations)

    monkeypatch.setattr(transport, "network_simplex", counted)
    fast = distances.w2(x, y, method="sparse")
    used = rounds.count(1400)
    rounds.clear()
    monkeypatch.setattr(transport, "_coarse_arcs", lambda *rest: transport.first_arcs(*rest))
    slow = distances.w2(x, y, method="sparse")
    assert abs(fast.value / slow.value - 1) <= 1e-12
    assert used <= rounds.count(1400) / 2


def test_auto_goes_over_to_all_pairs_when_the_work_is_spent(monkeypatch):
    x, y = FAMILIES["clusters"](np.random.default_rng(1), 1100)
    usual = distances.w2(x, y)
    monkeypatch.setattr(transport, "dense_work", lambda n, m: 100 * (n + m))
    assert (usual.method, distances.w2(x, y, method="sparse").method) == ("sparse", "sparse")
    over = distances.w2(x, y)
    assert over.method == "emd"
    assert abs(over.value / usual.value - 1) <= 1e-12
    assert distances.w2(x, y, max_bytes=40_000_000).method == "sparse"  # all pairs do not fit
    x[:600] = x[0]
    assert distances.w2(x, y).value == distances.w2(x, y, method="emd").value  # repeated rows


@pytest.mark.parametrize("unit", [1e-140, 1e-9, 1e7, 1e100])
def test_homogeneous_in_the_unit(unit):
    x, y = gaussians(np.random.default_rng(3), 400, 400, 2)
    one, scaled = distances.w2(x, y, method="sparse"), distances.w2(unit * x, unit * y, method="sparse")
    assert abs(scaled.value / unit - one.value) <= one.gap / one.value + 16 * EPS * one.value


@pytest.mark.parametrize("d", [2, 30])
def test_permuted_cloud_is_at_distance_exactly_zero(d):
    x = 1e3 + np.random.default_rng(3).normal(size=(1500, d))
    result = distances.w2(x, x[np.random.default_rng(4).permutation(1500)])
    assert (result.method, result.value, result.gap) == ("sparse", 0.0, 0.0)


def test_shift_is_exact_above_the_dense_sizes():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(4000, 2))
    result = distances.w2(x, x[rng.permutation(4000)] + 0.1)
    assert result.method == "sparse"
    assert abs(result.value - 0.1 * math.sqrt(2)) <= 8 * EPS  # rounding of x + 0.1


@pytest.mark.deep
def test_twenty_thousand_points_in_bounded_memory():
    import tracemalloc

    x, y = gaussians(np.random.default_rng(0), 20_000, 20_000, 2)
    tracemalloc.start()
    result = distances.w2(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.method == "sparse"
    assert peak <= transport.workspace(20_000, 20_000, 2)
    assert result.gap <= 1e-9 * float(((x.max(axis=0) - y.min(axis=0)) ** 2).max())


def test_auto_method_by_sizes():
    rng = np.random.default_rng(0)
    sizes = ((200, 150, 8, "emd"), (151, 200, 8, "sparse"), (1000, 150, 9, "emd"), (1001, 150, 9, "sparse"))
    for n, m, d, name in sizes:
        assert distances.w2(rng.normal(size=(n, d)), rng.normal(size=(m, d))).method == name, (n, m, d)
    collapsed = rng.normal(size=(40, 2))[rng.integers(40, size=3000)]
    assert distances.w2(collapsed, rng.normal(size=(700, 2))).method == "emd"  # 40 atoms


# repeated rows


@pytest.mark.parametrize("method", ["emd", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_repeated_rows_are_merged(method, weighted, monkeypatch):
    """The same value and a coupling of the copies; the solver sees the distinct rows only."""
    rng = np.random.default_rng(1)
    atoms = rng.normal(size=(60, 3))
    x, y = atoms[rng.integers(60, size=500)], rng.normal(size=(400, 3))
    y[300:] = y[:100]
    x[0, 0] = 0.0
    x[1], x[2] = x[0], x[0] * [-1.0, 1.0, 1.0]  # -0.0 and 0.0 are one point
    a, b = (weights(rng, 500), weights(rng, 400)) if weighted else (None, None)
    seen = []
    true = transport.network_simplex

    def counted(a, b, *rest):
        seen.append((a.size, b.size))
        return true(a, b, *rest)

    monkeypatch.setattr(transport, "network_simplex", counted)
    merged = distances.w2(x, y, a, b, method=method)
    assert set(seen) == {(len(np.unique(x + 0.0, axis=0)), 300)}
    monkeypatch.setattr(transport, "merge_rows", lambda x: None)
    plain = distances.w2(x, y, a, b, method=method)
    assert abs(merged.squared - plain.squared) <= merged.gap + plain.gap
    rows, columns, mass = merged.coupling
    a, b = (np.full(k, 1 / k) if w is None else w for k, w in ((500, a), (400, b)))
    assert np.abs(np.bincount(rows, mass, 500) - a).sum() <= 1800 * EPS
    assert np.abs(np.bincount(columns, mass, 400) - b).sum() <= 1800 * EPS
    assert abs(mass @ ((x[rows] - y[columns]) ** 2).sum(axis=1) - merged.squared) <= 900 * EPS * merged.squared


def test_collapsed_samples_are_the_weighted_atoms():
    rng = np.random.default_rng(2)
    atoms = rng.normal(size=(30, 2))
    index = rng.integers(30, size=20_000)
    counts = np.bincount(index, minlength=30) / 20_000
    samples, weighted = distances.w2(atoms[index], atoms), distances.w2(atoms, atoms, counts)
    assert abs(samples.squared - weighted.squared) <= samples.gap + weighted.gap + 30 * EPS
    assert distances.w2(atoms[np.sort(index)], atoms[index]).value == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_masses_are_the_exact_weights_of_one_total(seed):
    from fractions import Fraction

    rng = np.random.default_rng(seed)
    a, b = weights(rng, 1000, 8.0), weights(rng, 7)
    *masses, total = transport.masses(a, b, equal=False)
    for w, units in zip((a, b), masses):
        assert sum(units) == total
        share = sum(map(Fraction, w.tolist()))
        assert all(Fraction(k, total) == Fraction(c) / share for k, c in zip(units.tolist(), w.tolist()))
        near = transport._quantised(w)  # what the simplex works with
        assert int(sum(int(k) for k in near)) == 2**53
        assert np.all(near >= 1)
        assert np.max(np.abs(near / 2**53 - w)) <= 8 * EPS  # 2^-54 each, and the excess of the sum
    units_a, units_b, total = transport.masses(np.full(12, 1 / 12), np.full(8, 1 / 8), equal=True)
    assert (units_a[0], units_b[0], total) == (2, 3, 24)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "m", "least"), [(12, 9, 0.9), (40, 40, 0.1)])
def test_exact_flow_mends_what_the_simplex_rounded(n, m, least, seed):
    """A plan for wrong masses: the flow is the exact one, nonnegative and still optimal.

    Moved by up to a tenth they need few paths; moved by up to nine tenths many, each along the potentials that the paths
    before it left.
    """
    rng = np.random.default_rng(seed)
    x, y = gaussians(rng, n, m, 2)
    pairs = transport.Pairs(x, y)
    arcs = tuple(k.ravel() for k in np.indices((n, m)))
    arcs = (*arcs, pairs.cost(*arcs))
    rough_a, rough_b = (transport._quantised(weights(rng, k, 2.0)) for k in (n, m))
    plan, u, v = transport.network_simplex(rough_a, rough_b, arcs[2].reshape(n, m), 10**9)
    true_a, true_b = (rough / 2**53 * rng.uniform(least, 1, len(rough)) for rough in (rough_a, rough_b))
    a, b, total = transport.masses(true_a, true_b, equal=False)
    i, j, flow = transport.exact_flow(*np.nonzero(plan), a, b, arcs, u, v)
    for index, mass in ((i, a), (j, b)):
        assert [sum(flow[index == k].tolist()) for k in range(len(mass))] == mass.tolist()
    assert min(flow.tolist()) > 0
    share_a, share_b = (transport.shares(k, total) for k in (a, b))
    found = transport.polish(pairs, i, j, flow, total, arcs, share_a, share_b, None)
    assert found["solved"]
    assert found["loss"] <= 1e-10 * float(np.array(flow / total, dtype=float) @ pairs.cost(i, j))


# the parts


@pytest.mark.parametrize("d", [1, 2, 64])
def test_pricing_is_within_its_rounding_bound(d):
    rng = np.random.default_rng(d)
    x, y = 3 + rng.normal(size=(300, d)), 3 + rng.normal(size=(200, d))
    u, v = rng.normal(size=300), rng.normal(size=200)
    pairs = transport.Pairs(x, y)
    wide = x.astype(np.longdouble)[:, np.newaxis] - y.astype(np.longdouble)
    cost = np.sum(wide * wide, axis=2)
    exact = cost - v
    least, rows, columns = pairs.price(u, v, 1e-9, join=200)
    low = least - exact.min(axis=1)
    assert np.max(low) <= EPS / 2 * np.max(np.abs(least))  # minima of costs rounded down: lower bounds
    assert np.min(low) >= -2 * pairs.error * cost.max() - EPS * np.max(np.abs(least))
    if d > 8:
        left = np.concatenate([pairs.p, np.ones((300, 1)), pairs.pp[:, np.newaxis]], axis=1)
        product = left @ np.concatenate([-2 * pairs.q.T, (pairs.qq - v)[np.newaxis], np.ones((1, 200))])
        assert np.all(np.abs(product - exact) <= pairs.rounding(v)[:, np.newaxis])
    found = np.zeros((300, 200), dtype=bool)
    found[rows, columns] = True
    np.testing.assert_array_equal(found, exact - u[:, None] < -1e-9)


def test_staircase_alone_is_feasible():
    """Whatever the masses: the arcs of the path admit a plan, so the restricted program is never infeasible."""
    from scipy.sparse import coo_array

    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = gaussians(rng, 50, 33, 3)
        a, b = (transport._quantised(w) for w in (weights(rng, 50, 6.0), weights(rng, 33)))
        rows, columns = transport._staircase(x, y, a, b)
        assert len(set(zip(rows.tolist(), columns.tolist()))) == len(a) + 32
        arcs = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(a), 33))
        plan, _, _ = transport.network_simplex(a, b, arcs, 10**9)
        np.testing.assert_array_equal(np.bincount(plan.row, plan.data, len(a)), a)


# a solver that fails must not be believed


def test_early_stop_raises(monkeypatch):
    x, y = gaussians(np.random.default_rng(0), 1200, 1200, 2)
    monkeypatch.setattr(transport, "ITERATIONS", 500)
    with pytest.raises(RuntimeError, match=r"not optimal.*1200 x 1200"):
        distances.w2(x, y)


def corrupt(monkeypatch, change):
    true = transport.network_simplex

    def wrong(a, b, cost, iterations):
        found = true(a, b, cost, iterations)
        return found if isinstance(cost, np.ndarray) else change(*found)  # the plan of all pairs only gives arcs

    monkeypatch.setattr(transport, "network_simplex", wrong)


def swapped(plan, u, v):
    """Two masses exchange their targets: feasible, not optimal."""
    plan.col[[0, 1]] = plan.col[[1, 0]]
    return plan, u, v


def moved(plan, u, v):
    plan.col[0] = plan.col[1]
    return plan, u, v


def negative(plan, u, v):
    plan.data[0] *= -1
    return plan, u, v


def not_finite(plan, u, v):
    v[0] = np.nan
    return plan, u, v


def low(plan, u, v):
    """Feasible potentials that are too small."""
    return plan, u - 1e-3, v


def of_one_group(plan, u, v):
    """Potentials of some atoms shifted against the others'."""
    half = v > np.median(v)
    return plan, u, v - 0.01 * half


@pytest.mark.parametrize("method", ["emd", "sparse"])
@pytest.mark.parametrize(
    ("change", "message"), [(moved, "misses its marginals"), (negative, "negative"), (not_finite, "non-finite")]
)
@pytest.mark.filterwarnings("ignore:.*not certified")
def test_corrupted_solver_raises(monkeypatch, method, change, message):
    x, y = gaussians(np.random.default_rng(2), 600, 600, 2)
    corrupt(monkeypatch, change)
    with pytest.raises(RuntimeError, match=message):
        distances.w2(x, y, method=method)


@pytest.mark.parametrize("method", ["emd", "sparse"])
def test_a_plan_that_is_not_optimal_is_not_certified(monkeypatch, method):
    x, y = gaussians(np.random.default_rng(2), 300, 300, 2)
    good = distances.w2(x, y, method=method)
    assert good.certified
    corrupt(monkeypatch, swapped)
    with pytest.warns(RuntimeWarning, match=r"300 x 300 atoms.*not certified"):
        found = distances.w2(x, y, method=method)
    assert not found.certified
    assert 0 < found.lower <= good.value < found.value
    assert found.gap > found.tolerance
    with pytest.raises(RuntimeError, match="not certified"):
        distances.w2(x, y, method=method, certified="require")


@pytest.mark.parametrize("change", [low, of_one_group])
def test_potentials_of_the_solver_are_not_needed(monkeypatch, change):
    """The polish computes them from the plan: the certificate does not depend on the solver's."""
    x, y = gaussians(np.random.default_rng(2), 300, 300, 2)
    good = distances.w2(x, y, method="emd")
    corrupt(monkeypatch, change)
    found = distances.w2(x, y, method="emd")
    assert found.certified
    assert abs(found.squared - good.squared) <= found.tolerance


def test_pricing_that_stops_early_is_caught(monkeypatch):
    """Without the all-pairs check the restricted optimum is too high; the row minima it computed give it away."""
    x, y = curve(np.random.default_rng(0), 1200), curve(np.random.default_rng(1), 1200)
    true = transport.Pairs.price

    def blind(self, u, v, tol, **options):
        least, _, _ = true(self, u, v, tol)
        none = np.empty(0, dtype=np.intp)
        return least, none, none

    monkeypatch.setattr(transport.Pairs, "price", blind)
    with pytest.warns(RuntimeWarning, match="not certified"):
        found = distances.w2(x, y)
    assert not found.certified


def test_too_many_rounds_raise(monkeypatch):
    x, y = curve(np.random.default_rng(0), 1200), curve(np.random.default_rng(1), 1200)
    monkeypatch.setattr(transport, "ROUNDS", 1)
    with pytest.raises(RuntimeError, match="still violated after 1 rounds"):
        distances.w2(x, y)


def test_constants_are_those_documented():
    assert (wasserstein._DENSE_PAIRS, wasserstein._DENSE_PAIRS_HIGH) == (30_000, 150_000)
    assert transport.ITERATIONS == 10**9
