"""W2 of discrete laws: optimal value or an error, certificate, cases drawn together with their exact answer."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import t as student

from exactdiffusion import distances
from exactdiffusion.distances import transport, wasserstein

EPS = np.finfo(float).eps


def simplex(rng, n, zeros=0):
    w = rng.exponential(size=n)
    w[rng.permutation(n)[:zeros]] = 0.0
    return w / w.sum()


def by_linear_program(cost, a, b):
    """The transport problem by a general LP solver (HiGHS): nothing in common with a network simplex."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    solved = linprog(cost.ravel(), A_eq=np.vstack([rows, columns])[:-1], b_eq=np.r_[a, b][:-1], method="highs")
    assert solved.status == 0
    return solved.fun


def check_certificate(result, x, y, a, b, masses=0):
    """lower <= value, the coupling has the marginals and the cost claimed."""
    rows, columns, mass = result.coupling
    n, m = len(x), len(y)
    assert (result.n, result.m) == (n, m)
    assert 0 <= result.lower <= result.value
    assert result.value == math.sqrt(result.squared)
    assert result.lower == math.sqrt(result.lower_squared)
    assert result.gap == result.squared - result.lower_squared
    assert 0 <= result.gap <= result.tolerance
    assert np.all(mass >= 0)
    slack = 4 * (n + m) * EPS  # rounding of sums of n + m masses of total 1
    assert np.abs(np.bincount(rows, mass, n) - a).sum() <= slack
    assert np.abs(np.bincount(columns, mass, m) - b).sum() <= slack
    cost = math.fsum(mass * ((x[rows] - y[columns]) ** 2).sum(axis=1))
    assert abs(cost - result.squared) <= (4 * x.shape[1] + 8 + masses) * EPS * cost  # two orders of summation


@pytest.fixture(scope="module")
def hard():
    """The case that POT's default iteration limit gets wrong; a translation, so W2 is the length of the shift."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(4000, 2))
    return x, x[rng.permutation(4000)] + 0.1, 0.1 * math.sqrt(2)


def test_must_show_6_optimal_where_pot_default_stops_early(hard):
    x, y, exact = hard
    result = distances.w2(x, y)
    top = float(cdist(x, y, "sqeuclidean").max())
    assert result.gap <= 1e-9 * top
    # y carries the rounding of x + 0.1, eps per coordinate and row; the cost adds 4 eps relative
    assert abs(result.value - exact) <= 8 * EPS
    check_certificate(result, x, y, np.full(4000, 1 / 4000), np.full(4000, 1 / 4000))
    print(f"W2 {result.value:.16g}, exact {exact:.16g}, gap/max cost {result.gap / top:.2g}")


def test_must_show_6_control_pot_at_its_default_limit_is_off_and_w2_would_raise(hard, monkeypatch):
    from ot.lp import emd

    x, y, exact = hard
    cost, a = cdist(x, y, "sqeuclidean"), np.full(4000, 1 / 4000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan = emd(a, a, cost, numItermax=100_000)  # POT's default, written out
    off = math.sqrt(np.vdot(plan, cost)) / exact - 1
    print(f"POT at 100000 iterations: {100 * off:+.2f} %")
    assert off > 3e-3  # 0.4 to 1.9 % over seeds and shapes; far above any rounding
    assert any("numItermax" in str(w.message) for w in caught)
    del plan, cost
    monkeypatch.setattr(transport, "ITERATIONS", 100_000)
    with pytest.raises(RuntimeError, match=r"not optimal.*4000 x 4000"):
        distances.w2(x, y, method="emd")


# cases with a known answer


@pytest.mark.parametrize("d", [1, 2, 5, 64])
@pytest.mark.parametrize("length", [1e-9, 1e-3, 0.7, 1e3])
def test_translation(d, length):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(150, d))
    shift = rng.normal(size=d)
    shift *= length / np.linalg.norm(shift)
    y = x[rng.permutation(150)] + shift
    result = distances.w2(x, y)
    rounding = 4 * math.sqrt(d) * EPS * (np.abs(x).max() + length)  # of x + shift
    assert abs(result.value - length) <= rounding + 4 * (d + 2) * EPS * length
    assert result.lower <= result.value


@pytest.mark.parametrize(("d", "s"), [(1, 0.3), (2, 0.0), (2, 0.5), (3, 2.5), (16, 1.01)])
def test_scaling_about_the_mean(d, s):
    """z -> mean + s (z - mean) is the gradient of a convex function, hence optimal (Brenier)."""
    rng = np.random.default_rng(7)
    x, w = rng.normal(size=(120, d)), simplex(rng, 120)
    mean = w @ x
    order = rng.permutation(120)
    y = (mean + s * (x - mean))[order]
    exact = abs(1 - s) * math.sqrt(float(w @ ((x - mean) ** 2).sum(axis=1)))
    result = distances.w2(x, y, w, w[order])
    # y carries rounding eps |x|; the cost is known up to the accepted gap
    assert result.squared - exact**2 <= result.gap + 16 * EPS * d * np.abs(x).max() ** 2
    assert exact**2 - result.squared <= 16 * EPS * d * np.abs(x).max() ** 2
    check_certificate(result, x, y, w, w[order])


@pytest.mark.parametrize("d", [1, 2, 40])
def test_permuted_cloud_is_at_distance_exactly_zero(d):
    rng = np.random.default_rng(3)
    x = 1e3 + rng.normal(size=(200, d))
    order = rng.permutation(200)
    assert distances.w2(x, x[order]).value == 0.0
    w = simplex(rng, 200)
    result = distances.w2(x, x[order], w, w[order])
    # weights are renormalised once on each side in different orders: mass error 200 eps at most
    assert result.squared <= result.tolerance + 400 * EPS * float(cdist(x, x, "sqeuclidean").max())


@pytest.mark.parametrize("power", [-140, -9, 9, 100])
def test_homogeneous_in_the_unit(power):
    """POT tests optimality against an absolute constant: unscaled, clouds of size 1e-9 come back 6 % wrong."""
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(300, 2)), rng.normal(size=(200, 2))
    unit = 10.0**power
    one, scaled = distances.w2(x, y), distances.w2(unit * x, unit * y)
    assert abs(scaled.value / unit - one.value) <= one.gap / one.value + 16 * EPS * one.value


@pytest.mark.parametrize("d", [1, 2, 10])
@pytest.mark.parametrize("radius", [0.1, 1e-8])
@pytest.mark.parametrize("method", ["auto", "assignment"])
def test_clouds_far_apart(d, radius, method):
    """W2^2 = |mean difference|^2 + W2^2(centred): the plan survives a distance of 1e8 radii, where plain costs are flat."""
    rng = np.random.default_rng(d)
    x, y = radius * rng.normal(size=(2, 90, d))
    y += 1.0
    means = [np.array([math.fsum(column) / 90 for column in cloud.T]) for cloud in (x, y)]
    near = distances.w2(x - means[0], y - means[1], method=method)
    result = distances.w2(x, y, method=method)
    exact = float(np.sum((means[0] - means[1]) ** 2)) + near.squared
    # products and sums of d terms; one dimension sums 90 masses of rounding eps each
    assert abs(result.squared - exact) <= (d + (200 if d == 1 else 8)) * EPS * exact + near.gap
    assert result.lower_squared <= exact * (1 + 8 * EPS)
    check_certificate(result, x, y, np.full(90, 1 / 90), np.full(90, 1 / 90), masses=90)
    plans = [dict(zip(*r.coupling[:2], strict=True)) for r in (near, result)]
    assert plans[0] == plans[1]


def test_far_apart_at_a_large_common_offset():
    """Means of coordinates near 2^27 are rounded to 1e-8; the identity used holds for any centres, not only means."""
    rng = np.random.default_rng(0)
    x, y = np.round(rng.normal(size=(2, 90, 2)) * 2**20) / 2**20  # so that every shift below is exact
    y[:, 0] += 16.0
    here, there = distances.w2(x, y), distances.w2(x + 2**27, y + 2**27)
    assert abs(here.squared - there.squared) <= 64 * EPS * here.squared + here.gap + there.gap
    assert max(here.gap, there.gap) <= 1e-12 * here.squared


def test_unscaled_solver_control():
    """What the exact rescaling protects against, shown on the bare solver."""
    from ot.lp import emd

    rng = np.random.default_rng(11)
    x, y = 1e-9 * rng.normal(size=(300, 2)), 1e-9 * rng.normal(size=(200, 2))
    cost = cdist(x, y, "sqeuclidean")
    plan = emd(np.full(300, 1 / 300), np.full(200, 1 / 200), cost, numItermax=10**9)
    assert math.sqrt(np.vdot(plan, cost)) > 1.1 * distances.w2(x, y).value


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("d", [1, 2, 3])
def test_weighted_against_a_linear_program(seed, d, accuracy):
    rng = np.random.default_rng(seed)
    n, m = 12 + seed, 9
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    if seed % 2:  # lattice points: many ties and equal atoms
        x, y = np.round(x), np.round(y)
    a, b = simplex(rng, n, zeros=seed % 3), simplex(rng, m, zeros=seed % 2)
    result = distances.w2(x, y, a, b)
    exact = by_linear_program(cdist(x, y, "sqeuclidean"), a, b)
    top = float(cdist(x, y, "sqeuclidean").max())
    # HiGHS: feasibility tolerance 1e-7 on unit mass
    accuracy("distances.w2", abs(result.squared - exact), 1e-7 * top, "linear program")
    check_certificate(result, x, y, a, b)
    if d == 1:
        other = distances.w2(x, y, a, b, method="emd")
        assert (result.method, other.method) == ("sorted", "emd")
        assert abs(other.squared - result.squared) <= other.gap + result.gap
        assert distances.wasserstein_1d(x, y, 2, a, b) == result.value
        w1 = by_linear_program(cdist(x, y, "cityblock"), a, b)
        assert abs(distances.wasserstein_1d(x[:, 0], y[:, 0], 1, a, b) - w1) <= 1e-7 * math.sqrt(top)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (6, 4), (5, 5), (8, 12)])
def test_line_equal_weights_unequal_sizes(n, m):
    """Repeating atoms lcm/n and lcm/m times reduces to sorting two equal samples."""
    rng = np.random.default_rng(n * m)
    x, y = rng.normal(size=n), rng.normal(size=m)
    lcm = math.lcm(n, m)
    u, v = np.sort(np.repeat(x, lcm // n)), np.sort(np.repeat(y, lcm // m))
    result = distances.w2(x[:, None], y[:, None])
    assert abs(result.squared - np.mean((u - v) ** 2)) <= 8 * lcm * EPS * result.squared
    assert abs(distances.wasserstein_1d(x, y, 1) - np.mean(np.abs(u - v))) <= 8 * lcm * EPS * result.value
    check_certificate(result, x[:, None], y[:, None], np.full(n, 1 / n), np.full(m, 1 / m))


@pytest.mark.parametrize("n", [1, 2, 1000, 200_000])
def test_line_equal_sizes_is_the_certified_value(n):
    """Two sorts of values against the coupling of `w2`, and W1 against the same pairs."""
    rng = np.random.default_rng(n)
    x, y = np.round(rng.normal(size=n), 3), rng.normal(size=n) + 0.2
    result = distances.w2(x[:, None], y[:, None])
    rows, columns, mass = result.coupling
    assert abs(distances.wasserstein_1d(x, y) / result.value - 1) <= 32 * EPS
    w1 = math.fsum(mass * np.abs(x[rows] - y[columns]))
    assert abs(distances.wasserstein_1d(x, y, 1) / w1 - 1) <= 32 * EPS
    with pytest.raises(ValueError, match=r"^x, y"):
        distances.wasserstein_1d(np.full(n, 1e200), y)


def test_line_w1_is_the_area_between_distribution_functions():
    rng = np.random.default_rng(5)
    x, y, a, b = rng.normal(size=40), rng.normal(size=25), simplex(rng, 40), simplex(rng, 25)
    knots = np.sort(np.r_[x, y])
    f = np.array([a[x <= t].sum() - b[y <= t].sum() for t in knots[:-1]])
    area = float(np.sum(np.abs(f) * np.diff(knots)))
    assert abs(distances.wasserstein_1d(x, y, 1, a, b) - area) <= 200 * EPS * (knots[-1] - knots[0])


@pytest.mark.parametrize(("n", "d"), [(60, 2), (400, 2), (400, 20)])
def test_assignment_cross_check(n, d):
    """Two solvers, two kinds of potentials, one value."""
    rng = np.random.default_rng(n + d)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 0.2
    first, second = distances.w2(x, y, method="emd"), distances.w2(x, y, method="assignment")
    assert (first.method, second.method) == ("emd", "assignment")
    assert abs(first.squared - second.squared) <= first.gap + second.gap
    assert max(first.lower, second.lower) <= min(first.value, second.value)
    check_certificate(second, x, y, np.full(n, 1 / n), np.full(n, 1 / n))


@pytest.mark.parametrize("d", [1, 2, 10])
def test_metric_axioms_and_bounds(d):
    rng = np.random.default_rng(d)
    clouds = [s * rng.normal(size=(60, d)) + c for s, c in ((1, 0), (0.5, 1), (2, -0.3))]
    w = {(i, j): distances.w2(clouds[i], clouds[j]) for i in range(3) for j in range(3)}
    for i in range(3):
        assert w[i, i].value == 0
        for j in range(3):
            assert abs(w[i, j].squared - w[j, i].squared) <= w[i, j].gap + w[j, i].gap
            assert distances.gelbrich(clouds[i], clouds[j]) <= w[i, j].value + 60 * d * EPS
            assert distances.coupling_bound(clouds[i], clouds[j]) >= w[i, j].lower
            for k in range(3):
                assert w[i, j].lower <= w[i, k].value + w[k, j].value
    assert w[0, 1].value > 0.5  # the axioms also hold for a distance that is always 0


def test_semi_discrete_and_zero_weights():
    rng = np.random.default_rng(0)
    atoms, w = rng.normal(size=(30, 2)), simplex(rng, 30, zeros=5)
    x = rng.normal(size=(500, 2))
    full, live = distances.w2(x, atoms, weights_y=w), distances.w2(x, atoms[w > 0], weights_y=w[w > 0])
    assert full.value == live.value
    assert full.m == 30
    assert set(full.coupling[1]) <= set(np.flatnonzero(w))
    check_certificate(full, x, atoms, np.full(500, 1 / 500), w)


def test_w2_is_below_every_other_coupling(accuracy):
    """The optimum over all 5! assignments by enumeration."""
    from itertools import permutations

    rng = np.random.default_rng(1)
    for _ in range(20):
        x, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
        best = min(np.mean(((x - y[list(p)]) ** 2).sum(axis=1)) for p in permutations(range(5)))
        result = distances.w2(x, y)
        accuracy("distances.w2", abs(result.squared - best), result.gap + 16 * EPS * best, "all 120 assignments")


@pytest.mark.parametrize("method", ["emd", "sparse", "assignment"])
def test_tolerance_and_lower_end_are_those_of_the_potentials(method, monkeypatch):
    """Both from the potentials of the solver, in fractions: terms of the dual count by their absolute values.

    The clouds are a translation apart that is short against their length: the terms, of the size of both multiplied, cancel
    in the dual value, which is the square of the translation.
    """
    solve, solved = wasserstein._solve, []

    def recorded(*args, **options):
        solved.append(solve(*args, **options))
        return solved[-1]

    monkeypatch.setattr(wasserstein, "_solve", recorded)
    rng, n = np.random.default_rng(4), 30
    x = rng.uniform(size=(n, 2)) * [20.0, 0.1]
    found = distances.w2(x, x[rng.permutation(n)] + [1.0, 0.0], method=method)
    (parts,) = solved
    terms = [Fraction(4) ** parts["exponent"] / n * Fraction(float(u)) for u in (*parts["u"], *parts["v"])]
    dual, size = sum(terms), sum(map(abs, terms))
    assert size > 10 * dual > 0
    # rounding of the tolerance, a sum of two products, and of the size, a sum of rounded terms
    rounding = 64 * EPS * float(size)
    assert abs(found.tolerance - 1e-9 * found.squared - rounding) <= 4 * EPS * found.tolerance + 4 * EPS * rounding
    # each term and its share are rounded, less than the 4 eps of it that are taken off; the difference is rounded once
    assert abs(found.lower_squared - float(dual - 4 * Fraction(EPS) * size)) <= 2 * EPS * float(size) + EPS * found.squared
    assert found.lower_squared <= dual


def test_duplicated_atoms():
    x = np.repeat([[0.0, 0.0], [1.0, 0.0]], 4, axis=0)
    y = np.array([[0.0, 0.0], [3.0, 0.0]])
    assert abs(distances.w2(x, y).squared - 2.0) <= 8 * EPS * 9


# a solver that fails must not be believed


def corrupted(change):
    import ot.lp

    def emd(a, b, cost, numItermax, log):
        plan, report = ot.lp._true_emd(a, b, cost, numItermax=numItermax, log=True)
        return change(plan.copy(), dict(report))

    return emd


def bad_status(plan, report):
    return plan, report | {"warning": "Problem infeasible.", "result_code": 0}


def only_a_warning(plan, report):
    warnings.warn("numItermax reached", stacklevel=1)
    return plan, report


@pytest.mark.parametrize(("change", "message"), [(bad_status, "infeasible"), (only_a_warning, "numItermax")])
def test_corrupted_solver_raises(monkeypatch, change, message):
    import ot.lp

    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    monkeypatch.setattr(ot.lp, "_true_emd", ot.lp.emd, raising=False)
    monkeypatch.setattr(ot.lp, "emd", corrupted(lambda plan, report: (plan, report)))
    assert distances.w2(x, y).value > 0  # the wrapper alone changes nothing
    monkeypatch.setattr(ot.lp, "emd", corrupted(change))
    with pytest.raises(RuntimeError, match=message):
        distances.w2(x, y)


def test_corrupted_assignment_is_not_certified(monkeypatch):
    import scipy.optimize

    x, y = np.random.default_rng(2).normal(size=(2, 40, 2))
    true = scipy.optimize.linear_sum_assignment

    def wrong(cost):
        rows, columns = true(cost)
        columns[[0, 1]] = columns[[1, 0]]
        return rows, columns

    monkeypatch.setattr(scipy.optimize, "linear_sum_assignment", wrong)
    with pytest.warns(RuntimeWarning, match=r"\(assignment\).*not certified"):
        assert not distances.w2(x, y, method="assignment").certified


# memory


def test_memory_limit_and_methods():
    x = np.random.default_rng(0).normal(size=(100, 2))
    assert distances.w2(x, x, max_bytes=42 * 100**2).method == "emd"
    assert distances.w2(x, x, max_bytes=42 * 100**2 - 1).method == "assignment"
    with pytest.raises(ValueError, match=r"need 420000 bytes .*max_bytes allows 9999; alternatives: .*gelbrich") as info:
        distances.w2(x, x, max_bytes=9999)
    assert "coupling_bound" in str(info.value)
    with pytest.raises(ValueError, match="need 336000 bytes"):
        distances.w2(x, x[:80], max_bytes=300_000)
    assert distances.w2(x[:, :1], x[:, :1], max_bytes=1).method == "sorted"
    big = np.random.default_rng(1).normal(size=(100_000, 2))
    with pytest.raises(ValueError, match="420000000000 bytes"):  # refused before anything is allocated
        distances.w2(big, big, method="emd")
    with pytest.raises(ValueError, match="method 'sparse'"):
        distances.w2(big, big, max_bytes=2**30)


# other distances of samples


def test_w2_to_set_is_the_transport_to_the_projections(accuracy):
    class Segment:
        """[0, 1] x {0} in the plane."""

        def project(self, x):
            return np.stack([np.clip(x[:, 0], 0, 1), np.zeros(len(x))], axis=1)

        def distance(self, x):
            return np.linalg.norm(x - self.project(x), axis=1)

    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(80, 2)), simplex(np.random.default_rng(5), 80)
    law = Segment()
    to_set = distances.w2_to_set(x, law)
    result = distances.w2(x, law.project(x))
    limit = result.gap / to_set + 16 * EPS
    accuracy("distances.w2_to_set", abs(to_set - result.value), limit, "transport to the projections")
    assert to_set <= distances.w2(x, rng.uniform(size=(80, 1)) * [[1.0, 0.0]]).value  # any other law on the segment
    weighted = distances.w2(x, law.project(x), w, w)
    assert abs(distances.w2_to_set(x, law, w) - weighted.value) <= weighted.gap / to_set + 16 * EPS


def test_coupling_bound_value_and_weights():
    x, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    assert abs(distances.coupling_bound(x, y) - math.sqrt(12.5)) <= 4 * EPS * 5
    assert abs(distances.coupling_bound(x, y, [0.2, 0.8]) - math.sqrt(5)) <= 4 * EPS * 5


def test_exact_draws_cover_the_mean_and_are_reproducible(chance, accuracy):
    atoms = np.linspace(-1, 1, 12)[:, None] * [[1.0, 0.5]]

    def draw(n, rng):
        return atoms[rng.integers(12, size=n)]

    share = chance(comparisons=2)
    seed = share.seed(3)
    drawn = distances.exact_draws(draw, 50, atoms, repeats=30, rng=seed)
    assert drawn.low < drawn.mean < drawn.high
    assert (drawn.n, drawn.repeats, len(drawn.values)) == (50, 30, 30)
    accuracy("distances.exact_draws", abs(drawn.mean - np.mean(drawn.values)), 8 * EPS, "mean of its values")
    assert abs(drawn.std - np.std(drawn.values, ddof=1)) <= 8 * EPS
    assert drawn == distances.exact_draws(draw, 50, atoms, repeats=30, rng=seed)
    half = (drawn.high - drawn.low) / 2
    assert abs(half - student.ppf(0.975, 29) * drawn.std / math.sqrt(30)) <= 64 * EPS
    values = np.array(distances.exact_draws(draw, 50, atoms, repeats=600, rng=share.seed(4)).values)
    other = np.array(distances.exact_draws(draw, 50, atoms, repeats=600, rng=share.seed(5)).values)
    # their W2 has a skew law (1.4), so a mean of 30 has no Gaussian tail; the difference of two draws is symmetric
    share.mean(values - other, 0.0, on="two sets of exact draws")
    # a hundred times the draws: the mass to be moved falls by 10, W2 by the root of that, 3.2
    many = distances.exact_draws(draw, 5000, atoms, repeats=5, rng=seed).mean
    share.mean_exceeds(values, 2 * many, on="W2 of 50 draws over twice that of 5,000")


def test_exact_draws_take_a_law_and_weights(chance):
    class Law:
        def sample(self, n, rng):
            return np.where(rng.uniform(size=(n, 1)) < 0.25, 1.0, -1.0) * np.ones((1, 2))

    atoms = np.array([[1.0, 1.0], [-1.0, -1.0]])
    draw = chance(comparisons=4)
    right = distances.exact_draws(Law(), 4000, atoms, 4, rng=draw.seed(0), weights=[0.25, 0.75])
    wrong = distances.exact_draws(Law(), 4000, atoms, 4, rng=draw.seed(0))
    # the plan moves |p_n - p| of mass over distance 2 sqrt 2: W2 = sqrt(8 |p_n - p|), so p_n follows from that to 1/2
    for value, other in zip(right.values, wrong.values):
        share = 0.5 - other**2 / 8
        draw.frequency(round(4000 * share), 4000, 0.25, on="draws of the first atom")
        assert abs(value**2 / 8 - abs(share - 0.25)) <= 64 * EPS


# arrays that are not NumPy's


@pytest.mark.parametrize("d", [1, 3])
def test_other_array_kinds(d):
    xp = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, d)), rng.normal(size=(20, d))
    a = simplex(rng, 20)
    sx, sy, sa = xp.asarray(x), xp.asarray(y), xp.asarray(a)
    assert distances.w2(sx, sy, sa).value == distances.w2(x, y, a).value
    assert abs(distances.coupling_bound(sx, sy) - distances.coupling_bound(x, y)) <= 16 * EPS
    assert distances.gelbrich(sx, sy) == distances.gelbrich(x, y)
    assert distances.w2(x.astype(np.float32), y).value == distances.w2(x.astype(np.float32).astype(float), y).value
    assert distances.w2([[0], [1]], [[0], [3]]).value == math.sqrt(2)
