"""What sweeps, curves, audits and thresholds print besides values: bounds, intervals, verdicts, computed here a second time.

A bound is rarely near the value that it bounds, so that ``value <= bound`` sees no wrong curvature or moment in it.
Constants are found here by search over times and places, sums by loops over all pairs, projections by all distances.
"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import optimize, stats

from exactdiffusion import GaussianMixture, PointCloud, Sphere, distances, samplers, schedules
from exactdiffusion.papers import conditional_mean
from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
from exactdiffusion.papers.projection.audit import audit
from exactdiffusion.studies import metrics, results

EPS = np.finfo(float).eps
GRID = schedules.vp_linear(400)


def _run(law, name, grid=GRID, start="exact", **states):
    return metrics.Run(law, name, True, {}, grid, start, 3, **states)


# ------------------------------------------------------------------------------------------------------ KL bounds


def _derivatives(x, distance, v, t):
    """Second and third derivative of log p_t at x, for two Gaussians of variance v ``distance`` apart, by cumulants."""
    a, w = math.exp(-t), 1 + (v - 1) * math.exp(-t)
    m = 0.5 * distance * math.sqrt(a)
    p = 1 / (1 + np.exp(-2 * m * x / w))
    variance, third = (2 * m) ** 2 * p * (1 - p), (2 * m) ** 3 * p * (1 - p) * (1 - 2 * p)
    return variance / w**2 - 1 / w, third / w**3


def _largest(function, high):
    """Largest value over t >= 0 and x >= 0, by a grid in (exp(-t), x) and Nelder-Mead from its three best nodes."""
    a, x = np.linspace(1e-3, 1, 60), np.linspace(0, high, 400)
    values = np.array([[function(-math.log(s), u) for u in x] for s in a])
    best = -np.inf
    for k in np.argsort(values, axis=None)[-3:]:
        i, j = np.unravel_index(k, values.shape)
        value = lambda q: -function(-math.log(min(max(q[0], 1e-12), 1.0)), q[1])  # noqa: E731
        found = optimize.minimize(value, [a[i], x[j]], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13})
        best = max(best, -found.fun)
    return best


def _constants(distance, v):
    """(L, H): suprema of the second and third derivative over all times and the line through the two farthest centres.

    Across that line the second derivative is -1/w, w = v exp(-t) + 1 - exp(-t).
    """
    L = _largest(lambda t, x: np.max(np.abs(_derivatives(x, distance, v, t)[0])), 6.0)
    L = max(L, 1 / v, 1.0)
    return L, _largest(lambda t, x: abs(_derivatives(x, distance, v, t)[1]), 6.0)


def _second_moment(weights, means, variance):
    return sum(w * (sum(float(c) ** 2 for c in m) + len(m) * variance) for w, m in zip(weights, means))


def _expected(name, g, d, M2, L, H):
    """The three theorems, from their displayed formulas."""
    D, cube, square, B = max(d, M2), sum(s**3 for s in g), sum(s**2 for s in g), L + 0.5
    alpha = B / 2 * (math.sqrt(D) + math.sqrt(d * L)) + 2 * d * H
    beta = B * math.sqrt(3 * d * L + D / 8) + L * math.sqrt(D) / 2 + d * H / 2
    backward = (alpha * alpha + alpha * beta + beta * beta) / 6 * cube
    noise = d / 4 * sum((s * (0.5 + (1 - s * L / 2) / (1 - s * L) * L)) ** 2 for s in g)
    return {
        "proximal_backward": backward,
        "proximal_hybrid": noise + backward,
        "euler_maruyama": (B * math.sqrt(d * square / 4) + math.sqrt(D * cube / 96)) ** 2,
    }[name]


def _steps(grid):
    """g_k = log(alpha_k+1 / alpha_k), alpha = scale^2 where scale^2 + sigma^2 = 1."""
    return np.diff(np.log(grid.scale**2))


#: farthest centres: the first and the last but one; one of weight 0 is farther and no part of the law
MEANS, WEIGHTS = np.array([[1.0], [0.2], [-0.4], [-0.9], [30.0]]), np.array([0.2, 0.1, 0.3, 0.4, 0.0])


@pytest.mark.parametrize("name", ["proximal_backward", "proximal_hybrid", "euler_maruyama"])
@pytest.mark.parametrize("case", ["line", "line, narrow", "line, wide", "plane", "Gaussian", "wide Gaussian"])
def test_kl_bound_from_constants_found_by_search(name, case, monkeypatch):
    monkeypatch.setattr(metrics, "_budget", lambda hidden: None)  # the closed bounds
    grid = schedules.vp_linear(3000 if case == "line, narrow" else 400)
    if "Gaussian" in case:
        A = np.array([[0.9, 0.2, 0.0], [0.2, 0.5, -0.1], [0.0, -0.1, 0.4]]) * (5.0 if case == "wide Gaussian" else 1.0)
        mean = np.array([2.0, -1.0, 0.5])
        law, d, H = GaussianMixture([1.0], [mean], [A]), 3, 0.0
        M2 = sum(A[i, i] + mean[i] ** 2 for i in range(3))
        L = max(np.max(np.abs(1 / np.linalg.eigvalsh(a * A + (1 - a) * np.eye(3)))) for a in np.linspace(0, 1, 2001))
    else:
        v = {"line, narrow": 0.12, "line, wide": 3.0}.get(case, 0.5)
        u = np.array([[0.6, 0.8]]) if case == "plane" else np.ones((1, 1))
        means = MEANS @ u
        law, d = GaussianMixture(WEIGHTS, means, v), means.shape[1]
        M2 = _second_moment(WEIGHTS, means, v)
        alive = means[WEIGHTS > 0]
        L, H = _constants(max(math.dist(p, q) for p in alive for q in alive), v)
    found = metrics.kl_bound(_run(law, name, grid))
    g = _steps(grid)
    assert np.max(g) * (L + 0.5) <= 0.5  # so that all three theorems apply
    value, key, kind = found
    assert kind == "upper"
    assert key.startswith("proximal/")
    # the suprema are found to 1e-9; steps by differences of logarithms lose digits near alpha = 1
    assert abs(value / _expected(name, g, d, M2, L, H) - 1) <= 1e-7


CHANGES = ("sampler", "start", "grid", "last level", "variances", "no spread", "unknown", "parameters")


@pytest.mark.parametrize("change", CHANGES)
def test_kl_bound_asks_for_every_hypothesis(change):
    law = GaussianMixture(WEIGHTS, MEANS, 0.5)
    run = _run(law, "euler_maruyama")
    assert metrics.kl_bound(run) is not None
    uneven, flat = (GaussianMixture(WEIGHTS, MEANS, v) for v in (np.array([0.5, 0.5, 0.5, 0.6, 0.5]), 0.0))
    cut = schedules.Grid(GRID.scale[:-1], GRID.sigma[:-1])
    replaced = {
        "sampler": {"name": "ddpm"},
        "start": {"start": "gaussian"},
        "grid": {"grid": GRID.to_ve()},
        "last level": {"grid": cut},
        "variances": {"law": uneven},
        "no spread": {"law": flat},
        "unknown": {"known": False},
        "parameters": {"parameters": {"last_noise": False}},
    }[change]
    assert metrics.kl_bound(dataclasses.replace(run, **replaced)) is None


def test_curve_draws_the_bound_of_its_rows():
    """The median over the seeds of the bounds, exact draws and intervals that the rows have, each from its own column."""
    rng = np.random.default_rng(0)
    rows, drawn = [], ("exact_draws", "exact_draws_low", "exact_draws_high")
    for seed in range(5):
        row = dict.fromkeys(results.COLUMNS)
        row |= {
            "target": "a",
            "sampler": "b",
            "schedule": "c",
            "steps": 7,
            "seed": seed,
            "samples": 9,
            "start": "exact",
            "metric": "kl",
            "oracle_calls": 14,
            "statement": "s",
            "bound_kind": "upper",
        }
        names = ("value", "bound", *drawn, "seconds", "lower", "upper")
        row |= dict(zip(names, rng.uniform(1, 2, len(names)) + 10 * np.arange(len(names))))
        rows.append(row)
    point = results.curves(rows)[0].points[0]
    for name in ("bound", *drawn, "seconds"):
        assert getattr(point, name) == np.median([row[name] for row in rows])
    assert point.median == np.median([row["value"] for row in rows])
    assert (point.bound_kind, point.statement) == ("upper", "s")
    (alone,) = results.curves(rows[:1])[0].points
    assert (alone.low, alone.high) == (rows[0]["lower"], rows[0]["upper"])


# ---------------------------------------------------------------------------------- distances and squared errors

ATOMS = np.random.default_rng(5).standard_normal((12, 3))
MASS = np.random.default_rng(6).dirichlet(np.ones(12))


def _nearest(y):
    return ATOMS[np.argmin(np.sum((y[:, np.newaxis] - ATOMS) ** 2, axis=2), axis=1)]


def _denoise(y, s):
    logits = np.log(MASS) - np.sum((y[:, np.newaxis] - ATOMS) ** 2, axis=2) / (2 * s * s)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) @ ATOMS


def test_distance_and_its_bound_by_loops():
    """RMS distances of the last states; the bound is the product of 1 + beta (eta - 1) along each trajectory, VE and VP."""
    law, x = PointCloud(ATOMS, MASS), np.random.default_rng(7).standard_normal((20, 3))
    for grid in (schedules.log_linear(6, 4.0, 0.05), schedules.vp_linear(8)):
        path = tuple(samplers.ddim(law, grid, float(grid.sigma[0]) * x))
        found = metrics.METRICS["distance"].measure(_run(law, "ddim", grid, first=path[0], samples=path[-1], path=path))
        rms = lambda d: math.sqrt(np.mean(d * d))  # noqa: E731
        assert abs(found["value"] - rms(np.linalg.norm(path[-1] - _nearest(path[-1]), axis=1))) <= 1e-12
        r, bound = grid.sigma / grid.scale, None
        for i, state in enumerate(path[:-1]):
            y = state / grid.scale[i]
            here = np.linalg.norm(y - _nearest(y), axis=1)
            eta = np.linalg.norm(_denoise(y, r[i]) - _nearest(y), axis=1) / here
            bound = (here if bound is None else bound) * (1 + (1 - r[i + 1] / r[i]) * (eta - 1))
        if grid.scale[-1] == 1:
            assert abs(found["bound"] / rms(bound) - 1) <= 1e-9
            assert found["bound_kind"] == "upper"


def test_lower_bound_of_w2_is_the_distance_to_the_support():
    law, x = PointCloud(ATOMS, MASS), np.random.default_rng(8).standard_normal((30, 3))
    found = metrics.METRICS["w2"].measure(_run(law, "ddim", samples=x))
    assert abs(found["bound"] - math.sqrt(np.mean(np.sum((x - _nearest(x)) ** 2, axis=1)))) <= 1e-13
    assert found["bound"] <= found["lower"] <= found["value"]
    assert found["bound_kind"] == "lower"
    sphere, y = Sphere(1.5, 3), 2 * x
    found = metrics.METRICS["w2"].measure(_run(sphere, "ddim", samples=y))
    assert abs(found["bound"] - math.sqrt(np.mean((np.linalg.norm(y, axis=1) - 1.5) ** 2))) <= 1e-13


def test_interval_of_the_excess_error_is_that_of_a_mean(chance):
    """Recomputed from the rows, and its coverage counted: the excess of a shrunk conditional mean on a Gaussian is known."""
    law, grid = GaussianMixture([1.0], [[0.0, 0.0]], 1.0), schedules.log_linear(3, 1.0, 0.1)
    draw, runs, n, covered = chance(comparisons=1, share=1e-9), 1500, 200, 0
    rng = draw.rng(4)
    for k in range(runs):
        y = math.sqrt(2.0) * rng.standard_normal((n, 2))
        out = 0.35 * y  # the conditional mean is y / 2: the excess is .15^2 E|y|^2 = .15^2 4
        found = metrics.METRICS["mse_excess"].measure(_run(law, "ddim", grid, first=y, samples=out))
        rows = np.sum((out - y / 2) ** 2, axis=1)
        if k < 5:
            assert abs(found["value"] - np.mean(rows)) <= 1e-13
            half = 1.96 * np.std(rows, ddof=1) / math.sqrt(n)
            assert abs(found["upper"] - found["value"] - half) <= 1e-13
            assert abs(found["value"] - found["lower"] - half) <= 1e-13
        covered += found["lower"] <= 4 * 0.15**2 <= found["upper"]
    # a normal law of the mean of 200 skewed rows misses .95 by less than .02
    draw.frequency(covered, runs, 0.95, on="coverage of the interval of the excess error", tol=0.02)


def test_interval_of_what_exact_draws_score_covers_their_mean(chance):
    """`distances.exact_draws` of single draws N(20, 1) against an atom at 0: distances are Gaussian, four of them a run."""
    draw, runs, covered = chance(comparisons=2, share=1e-9), 4000, {0.5: 0, 0.9: 0}
    rng = draw.rng(21)
    sample = lambda n, rng: 20 + rng.standard_normal((n, 1))  # noqa: E731 (below 0 with probability 1e-88)
    for level in covered:
        for _ in range(runs):
            found = distances.exact_draws(sample, 1, [[0.0]], 4, rng, level=level)
            covered[level] += found.low <= 20 <= found.high
    for level, count in covered.items():
        draw.frequency(count, runs, level, on=f"coverage of the mean of exact draws, level {level}")


@pytest.mark.parametrize("runs", [40, 58, 200])
def test_band_of_exact_draws_holds_the_share_that_its_legend_states(runs, chance):
    """One more score falls into the band with the probability that `metrics._band_share` gives, whatever their law."""
    draw, repeats = chance(comparisons=2, share=1e-9), 6000
    scores = draw.rng(22).exponential(size=(repeats, runs + 1))
    bands = np.array([metrics._central_band(row[:-1]) for row in scores])
    share, deviation = metrics._band_share(runs)
    inside = np.count_nonzero((bands[:, 0] <= scores[:, -1]) & (scores[:, -1] <= bands[:, 1]))
    draw.frequency(inside, repeats, share, on=f"one more score in the band of {runs}")
    held = np.exp(-bands[:, 0]) - np.exp(-bands[:, 1])
    draw.mean((held - share) ** 2, deviation**2, on=f"spread of the share in the band of {runs}")


def test_errors_of_a_denoiser_study_cover_what_they_estimate(chance):
    """Columns nmse_error and excess_error, drawn as bars of two: on N(0, I) both values are known for every estimator."""
    d, runs, n = 2, 1200, 150
    law, draw = GaussianMixture([1.0], np.zeros((1, d)), 1.0), chance(comparisons=3, share=1e-9)
    # y = x + z: CME and LMMSE are y / 2 with mean squared error 1/2 a coordinate, LS is y itself with 1; the excess of LS is
    # E |y / 2|^2 = 1/2 a coordinate, as large as the minimum that it is divided by
    exact = {("CME", "nmse"): 0.5, ("LS", "nmse"): 1.0, ("LS", "excess"): 1.0}
    hits = dict.fromkeys(exact, 0)
    for k in range(runs):
        seed = draw.seed(1000 + k) // 2  # below 2^63
        rows = {row["estimator"]: row for row in conditional_mean.study(law, 0.0, [], n, seed)}
        for name, column in exact:
            value, error = rows[name][column], rows[name][f"{column}_error"]
            hits[name, column] += abs(value - exact[name, column]) <= 2 * error
    assert schedules.sigma_from_snr_db(0.0) == 1
    for key, count in hits.items():
        # a mean of 150 squared norms of two coordinates: the normal law misses by less than .02
        draw.frequency(count, runs, 0.9545, on=f"coverage of two errors of {key}", tol=0.02)


# ---------------------------------------------------------------------------------------------- responsibilities


@pytest.mark.parametrize("kind", ["isotropic", "one for all", "diagonal", "full"])
def test_responsibilities_from_densities(kind):
    """Bayes' formula with SciPy's densities: components of unequal covariances differ in their determinants."""
    rng = np.random.default_rng(9)
    w, means, x = np.array([0.2, 0.0, 0.5, 0.3]), rng.standard_normal((4, 3)), 1.5 * rng.standard_normal((40, 3))
    A = rng.standard_normal((4, 3, 3))
    full = A @ np.swapaxes(A, 1, 2) + 0.1 * np.eye(3)
    given, full = {
        "isotropic": (np.array([0.1, 1.0, 0.5, 3.0]), np.array([0.1, 1.0, 0.5, 3.0])[:, np.newaxis, np.newaxis] * np.eye(3)),
        "one for all": (0.7, np.broadcast_to(0.7 * np.eye(3), (4, 3, 3))),
        "diagonal": (full[:, 0] ** 2 + 0.1, (full[:, 0] ** 2 + 0.1)[:, :, np.newaxis] * np.eye(3)),
        "full": (full, full),
    }[kind]
    law = GaussianMixture(w, means, given)
    joint = np.stack([p * stats.multivariate_normal(m, C).pdf(x) for p, m, C in zip(w, means, full)], axis=1)
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.responsibilities(law, x), expected, rtol=0, atol=1e-12)
    share = expected.mean(axis=0)
    assert abs(metrics.mode_error(law, x) - 0.5 * np.sum(np.abs(share - w))) <= 1e-12


# --------------------------------------------------------------------------------------------- verdicts of audits


def _status(report):
    return {h.name: (h.holds, h.share) for h in report.hypotheses}


@pytest.fixture(scope="module")
def report():
    """All hypotheses hold, with room, on 8 trajectories of 12 steps."""
    law = PointCloud(ATOMS)
    found = audit(lambda x, s: x - 0.9 * (x - law.project(x)), law, N=12, trajectories=8, sigma_ratio=0.1, nu=3.0)
    assert all(holds for holds, _ in _status(found).values())
    return found


@pytest.mark.parametrize(
    ("off", "holds"),
    [(4 * EPS, True), (-4 * EPS, True), (1e-12, False), (1e-6, False), (-1e-6, False), (0.01, False), (-0.01, False)],
)
def test_audit_asks_for_the_start_of_the_theorem(report, off, holds):
    """H4 is an equality: a start one per cent off is no start of the theorem, on one trajectory of eight."""
    sigma = np.array(np.broadcast_to(report.sigma, report.distance.shape))
    sigma[0, 3] /= 1 + off
    found = _status(dataclasses.replace(report, sigma=sigma))
    assert found["H4"] == (holds, 1.0 if holds else 7 / 8)
    assert found["H1"][0]
    assert found["H3"][0]


@pytest.mark.parametrize(("eta", "holds"), [(0.999, True), (1.0, False), (1.001, False), (math.nan, False)])
def test_audit_asks_for_an_error_below_one(report, eta, holds):
    values = report.eta.copy()
    values[5, 2] = eta
    assert _status(dataclasses.replace(report, eta=values))["H1"] == (holds, 1.0 if holds else 7 / 8)


def test_audit_finds_the_smallest_band_and_refuses_a_smaller_one(report):
    nu = report.nu
    assert 1 < nu < 3
    for factor, holds in ((1 + 1e-9, True), (1 - 1e-9, False), (0.99, False)):
        assert _status(dataclasses.replace(report, asked_nu=nu * factor))["H2"][0] == holds, factor


@pytest.mark.parametrize(("gap", "holds"), [(1e-6, True), (1e-12, True), (0.0, False), (1e-17, False)])
def test_audit_asks_for_one_nearest_point(report, gap, holds):
    values = report.gap.copy()
    values[4, 1] = gap
    assert _status(dataclasses.replace(report, gap=values))["H3"] == (holds, 1.0 if holds else 7 / 8)


@pytest.mark.parametrize("long", [(), (4,), (4, 7)])
def test_audit_prints_the_products_of_the_theorem(report, long):
    """A posteriori with the error of each step, a priori with the largest of all, by loops.

    After a ``long`` step the lower bound is 0; the factors of two of them, both negative, do not make one.
    """
    steps = np.array(np.broadcast_to(report.beta, report.eta.shape))
    steps[list(long)] = 0.98
    report = dataclasses.replace(report, beta=steps)
    beta = report.beta
    top = report.eta.max()
    for found, eta in ((report.a_posteriori, report.eta), (report.a_priori, np.full_like(report.eta, top))):
        low, high = np.ones(8), np.ones(8)
        for b, e in zip(beta, eta):
            low, high = low * np.maximum(1 - b * (1 + e), 0), high * (1 + b * (e - 1))
        np.testing.assert_allclose(found[0], low, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(found[1], high, rtol=1e-12)
    np.testing.assert_allclose(report.measured, report.distance[-1] / report.distance[0], rtol=0, atol=0)


def test_audit_prints_each_step_from_its_own_row(report):
    """The table of the steps, and the median over the trajectories where the levels are their own."""
    for i, row in enumerate(report.per_step()):
        eta = sorted(report.eta[i])
        assert row["step"] == i
        assert (row["mean"], row["max"]) == (pytest.approx(sum(eta) / 8, rel=1e-14), eta[-1])
        assert row["q50"] == pytest.approx((eta[3] + eta[4]) / 2, rel=1e-14)
        assert row["q05"] == pytest.approx(eta[0] + 0.35 * (eta[1] - eta[0]), rel=1e-12)
        assert row["q95"] == pytest.approx(eta[7] - 0.35 * (eta[7] - eta[6]), rel=1e-12)
        assert row["usage"] == max(report.usage[i])
        assert row["sigma"] == pytest.approx(np.mean(sorted(report.sigma[i])[3:5]), rel=1e-14)
        assert row["beta"] == pytest.approx(1 - report.sigma[i + 1, 0] / report.sigma[i, 0], rel=1e-9)


# ------------------------------------------------------------------------------------------------ closed thresholds


@pytest.mark.parametrize("d", [1, 2, 3])
def test_closed_bounds_of_a_threshold_from_all_pairs(d):
    """Radius, half diameter and Jung's bound, each less tau^2; the radius by its dual problem, the largest variance.

    The atoms lie in a plane of R^(d + 2): the dimension of Jung's bound is that of their affine hull.
    """
    rng = np.random.default_rng(10 + d)
    P, tau2 = rng.standard_normal((6, d)) @ np.linalg.qr(rng.standard_normal((d + 2, d)))[0].T, 0.01
    found = log_concavity_threshold(GaussianMixture(None, P, tau2), certify=False)
    D2 = max(math.dist(p, q) ** 2 for p in P for q in P)
    p = optimize.minimize(
        lambda z: -_spread(P, z),
        np.full(6, 1 / 6),
        bounds=[(0, 1)] * 6,
        method="SLSQP",
        constraints={"type": "eq", "fun": lambda z: z.sum() - 1},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    closed = (found.radius_squared, found.half_diameter_squared, found.jung_squared)
    np.testing.assert_allclose(closed, np.array([-p.fun, D2 / 4, D2 * d / (2 * (d + 1))]) - tau2, rtol=1e-6)


def _spread(P, z):
    mean = z @ P
    return z @ np.sum((P - mean) ** 2, axis=1)
