"""The ladder of a sweep's metrics: exact output laws against independent computations, bounds, exact draws, refusals."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from exactdiffusion import GaussianMixture, datasets, distances, output_laws, samplers, schedules, statements
from exactdiffusion.output_laws import line
from exactdiffusion.studies import metrics, sweep
from exactdiffusion.studies.metrics import Run

EPS = np.finfo(float).eps
DETERMINISTIC = [n for n, i in samplers.REGISTRY.items() if not i.stochastic]


def _run(law, name, grid, start="gaussian", **states):
    return Run(law, name, name in samplers.REGISTRY, {}, grid, start, 0, **states)


def test_quantiles_invert_the_distribution_function_in_both_tails():
    law = GaussianMixture([0.3, 0.7], [[-2.0], [5.0]], [0.25, 4.0])
    z = np.linspace(-8.0, 8.0, 65)
    q = metrics.quantiles(law, z)
    s = np.array([0.5, 2.0])
    left, right = ndtr((q[:, None] - [-2, 5]) / s) @ [0.3, 0.7], ndtr(-(q[:, None] - [-2, 5]) / s) @ [0.3, 0.7]
    # the quantile is a float: the mass moves by its spacing times the density, at most |q| eps |z|-times the mass
    low, high = z <= 0, z > 0
    assert np.all(np.abs(left / ndtr(z) - 1)[low] <= 400 * EPS * np.maximum(1, z[low] ** 2))
    assert np.all(np.abs(right / ndtr(-z) - 1)[high] <= 400 * EPS * np.maximum(1, z[high] ** 2))


@pytest.mark.parametrize("start", ["gaussian", "exact"])
def test_map_and_density_give_the_same_distance(start):
    """The probability flow is both a monotone map of its start and a scheme whose density is propagated."""
    law, grid = datasets.two_gaussians(dim=1), schedules.vp_linear(25)
    value, error = metrics._monotone_line(_run(law, "probability_flow", grid, start), law)[0]
    if start == "exact":
        first = "exact"
    else:
        deviation = float(grid.sigma[0])
        first = line.discretise(
            GaussianMixture([1.0], [[0.0]], deviation**2), np.linspace(-10 * deviation, 10 * deviation, 20_001)
        )
    found = line.study(law, grid, "probability_flow", first).divergences.w2
    assert abs(value - found.value) <= error + found.error + 1e-6 * value, (value, error, found)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_line_agrees_with_sorted_midpoints(name):
    """Second algorithm: 2^15 equally likely points of the start, sorted images against the target's quantiles."""
    law = datasets.two_gaussians(dim=1)
    grid = schedules.vp_linear(9) if name == "probability_flow" else schedules.log_linear(9)
    value, error = metrics._line(_run(law, name, grid)).w2
    z = ndtri((np.arange(2**15) + 0.5) / 2**15)
    moved = np.sort(samplers.final(samplers.REGISTRY[name].function(law, grid, grid.sigma[0] * z[:, None]))[:, 0])
    second = math.sqrt(np.mean((moved - metrics.quantiles(law, z)) ** 2))
    # what the midpoints miss: half of the first and last cell, 2^-16 of the mass at a displacement of at most the largest
    missed = 2**-15 * np.max(np.abs(moved - metrics.quantiles(law, z)) + 3) ** 2 / (2 * second)
    # and one cell of mass 2^-15 at the jump between the modes, which are 6 apart
    assert abs(value - second) <= error + missed + 36 * 2**-15 / (2 * second), (value, second)


@pytest.mark.parametrize(("seed", "name"), [(11, "ddim"), (39, "ddim"), (37, "heun")])
def test_jumps_of_a_map_beside_those_of_the_quantiles_are_found(seed, name):
    """Twelve narrow modes: between a jump and its image the integrand is the square of their distance, elsewhere all but 0.

    Equally spaced nodes step over some of these intervals, and the estimated error sees nothing.
    """
    rng = np.random.default_rng(seed)
    law = GaussianMixture(rng.dirichlet(np.ones(12)), np.sort(rng.uniform(-6, 6, 12))[:, None], 1e-16)
    grid = schedules.log_linear(40, 80.0, 0.001)
    value, _ = metrics._monotone_line(_run(law, name, grid), law)[0]
    n = 2**15
    z = ndtri((np.arange(n) + 0.5) / n)
    moved = np.sort(samplers.final(samplers.REGISTRY[name].function(law, grid, grid.sigma[0] * z[:, None]))[:, 0])
    second = np.mean((moved - metrics.quantiles(law, z)) ** 2)
    # one cell of mass 1/n at every jump, of the map and of the quantiles
    missed = 2 * np.sum(np.diff(law.means[:, 0]) ** 2) / n
    assert abs(value**2 - second) <= missed


def test_map_that_folds_is_sorted():
    """DPM-Solver++ in 5 steps from 80 is no monotone map here: the coupling by the start would overestimate W2."""
    law = GaussianMixture([0.2, 0.8], [[3 * math.sqrt(8)], [-3 * math.sqrt(8)]], 1.0)
    grid = schedules.edm(5)
    value, error = metrics._monotone_line(_run(law, "dpm_solver_pp", grid), law)[0]
    z = ndtri((np.arange(50_000) + 0.5) / 50_000)
    moved = samplers.final(samplers.dpm_solver_pp(law, grid, grid.sigma[0] * z[:, None]))[:, 0]
    assert np.any(np.diff(moved) < -1e-3)
    quantiles = metrics.quantiles(law, z)
    second = math.sqrt(np.mean((np.sort(moved) - quantiles) ** 2))
    # one of 50000 cells at the jump between the modes, 17 apart
    assert abs(value - second) <= error + 17**2 / 50_000 / second
    assert math.sqrt(np.mean((moved - quantiles) ** 2)) > value + 2 * error


def test_ancestral_scheme_is_the_sampler_on_a_gaussian():
    law, grid = GaussianMixture([1.0], [[0.7]], 0.3), schedules.vp_linear(12)
    found = line.study(law, grid, "ddpm", "exact").divergences
    out = output_laws.gaussian("ddpm", np.array([0.7]), np.array([0.3]), grid)
    expected = distances.gaussian_kl(np.array([0.7]), np.array([0.3]), out.mean, out.cov)
    assert abs(found.kl.value - expected) <= found.kl.error + 64 * EPS * grid.N
    assert abs(found.w2.value - distances.bures_w2([0.7], [0.3], out.mean, out.cov)) <= found.w2.error


@pytest.mark.parametrize("name", ["ddim", "heun", "dpm_solver_pp"])
def test_line_times_gaussian_is_what_the_sampler_does_in_three_dimensions(name):
    """The claim that dimensions decouple: states of the sampler in R^3 against the optimal map built from the factors.

    Midpoints of equal mass along the axis of the centres, random directions across: there the output is a multiple of the
    start, and its part of W2^2 is known for every draw.
    """
    law, grid, n = datasets.two_gaussians(dim=3), schedules.vp_linear(8), 40_000
    exact = metrics.exact_output(_run(law, name, grid))
    assert exact.rung == "one dimension"
    axis, along = np.ones(3) / math.sqrt(3), ndtri((np.arange(n) + 0.5) / n)
    z = np.random.default_rng(0).standard_normal((n, 3))
    across = z - np.outer(z @ axis, axis)
    out = samplers.final(samplers.REGISTRY[name].function(law, grid, grid.sigma[0] * (np.outer(along, axis) + across)))
    moved = out @ axis
    factor = np.sum(out * across, axis=1)[0] / np.sum(across**2, axis=1)[0]
    assert np.max(np.abs(out - np.outer(moved, axis) - factor * across)) <= 1e3 * EPS  # 8 steps at the scale of 7
    on_line = GaussianMixture([0.2, 0.8], [[3 * math.sqrt(3)], [-3 * math.sqrt(3)]], 1.0)
    gaps = (moved - metrics.quantiles(on_line, along)) ** 2
    # midpoints: one cell of mass 1/n at the jump between the modes
    found, slack = np.mean(gaps) + 2 * (factor - 1) ** 2, np.max(gaps) / n
    assert abs(found - exact.w2[0] ** 2) <= slack + 2 * exact.w2[0] * exact.w2[1]


def test_a_wrong_count_of_dimensions_across_would_show(monkeypatch):
    law, grid = datasets.two_gaussians(dim=5), schedules.vp_linear(4)
    five = metrics.exact_output(_run(law, "ddim", grid)).w2[0] ** 2
    line_alone = metrics.exact_output(_run(GaussianMixture([0.2, 0.8], [[3 * 5**0.5], [-3 * 5**0.5]], 1.0), "ddim", grid))
    across = output_laws.gaussian(
        "ddim", np.zeros(1), np.ones(1), grid, start_mean=np.zeros(1), start_cov=float(grid.sigma[0]) ** 2
    )
    expected = line_alone.w2[0] ** 2 + 4 * (math.sqrt(across.cov[0]) - 1) ** 2
    assert abs(five - expected) <= 4 * line_alone.w2[0] * line_alone.w2[1] + 64 * EPS * expected
    assert (math.sqrt(across.cov[0]) - 1) ** 2 > 1e-4  # so that three or five instead of four is seen


@pytest.mark.parametrize(
    ("target", "sampler", "rung"),
    [
        ("gaussian", "heun", "closed form"),
        ("two_gaussians:dim=4", "ddim", "one dimension"),
        ("two_gaussians:dim=1", "ddpm", "one dimension"),
        ("two_moons", "ddim", "exact atoms"),
        ("rings", "ddim", "empirical"),
    ],
)
def test_highest_rung_is_chosen_and_named(target, sampler, rung):
    row = sweep.sweep(target=target, sampler=sampler, steps=4, seeds=1, samples=40, exact_draws=2).rows[0]
    assert row["rung"] == rung
    assert row["lower"] <= row["value"] <= row["upper"]
    assert (row["exact_draws"] == 0) == (rung in ("closed form", "one dimension"))
    assert row["exact_draws_low"] <= row["exact_draws"] <= row["exact_draws_high"]


def test_rows_of_an_exact_rung_do_not_depend_on_the_seed():
    rows = sweep.sweep(target="two_gaussians:dim=8", sampler="ddim", steps=6, seeds=3, samples=10).rows
    assert len({r["value"] for r in rows}) == 1


def test_exact_draws_are_measured_as_samples_are(chance):
    """Means and spreads of two times 300 distances; half the draws would be seen (tests/quality/planted).

    No law of the distances is assumed (their kurtosis is 4): differences of two equally distributed ones are symmetric.
    The spread is the mean distance from the median, to first order free of the error of that median; squares have tails
    too long for a normal law of their mean.
    """
    n, draw = 300, chance(comparisons=2)
    row = sweep.sweep(target="two_moons:n=150", sampler="ddim", steps=2, seeds=1, samples=50, exact_draws=n).rows[0]
    law = sweep.law_of("two_moons:n=150")
    ours = np.array([metrics.METRICS["w2"].exact_draws(law, 50, np.random.default_rng([k, 0xF100])) for k in range(n)])
    assert abs(row["exact_draws"] - np.mean(ours)) <= n * EPS * row["exact_draws"]
    assert (row["exact_draws_low"], row["exact_draws_high"]) == (np.sort(ours)[14], np.sort(ours)[-15])
    assert row["exact_draws_runs"] == n
    other = np.array(distances.exact_draws(law, 50, law.points, repeats=n, rng=draw.seed(1), weights=law.weights).values)
    draw.mean(ours - other, 0.0, on="mean of exact draws")
    spread = [np.abs(v - np.median(v)) for v in (ours, other)]
    draw.mean(spread[0] - spread[1], 0.0, on="spread of exact draws")


def test_the_band_holds_the_share_that_it_states():
    """Whatever the law of the scores: the ends are order statistics, and the share between them has a Beta law."""
    from scipy.stats import beta

    for runs, k in ((40, 2), (58, 3), (200, 10), (1, 1), (2, 1)):
        x = np.arange(1.0, runs + 1)
        assert metrics._central_band(x[::-1]) == (k, runs + 1 - k)
        share, deviation = metrics._band_share(runs)
        law = beta(runs + 1 - 2 * k, 2 * k)
        if runs > 1:
            assert share == pytest.approx(law.mean(), abs=8 * EPS)
            assert deviation == pytest.approx(law.std(), abs=64 * EPS)
    assert metrics._band_share(200) == pytest.approx((0.90, 0.021), abs=1e-3)  # the digits that the legend shows


def test_how_many_runs_of_exact_draws_follows_from_sizes():
    """200 where they are cheap, at least 40, between them as many as fit in 20 s; the same on any machine."""
    dear, moons = sweep.law_of("rings"), sweep.law_of("two_moons")
    assert [metrics._fitting_runs(moons, "w2", n) for n in (10, 1000, 3000, 20_000)] == [200, 193, 64, 40]
    assert [metrics._fitting_runs(dear, "w2", n) for n in (100, 1000, 2000, 5000)] == [200, 193, 48, 40]
    assert metrics._fitting_runs(dear, "modes", 5000) == 200


def test_exact_draws_use_every_draw():
    """A sampler that returns the reference itself is at distance 0 from it; a part of its rows is not."""
    points = np.random.default_rng(3).normal(size=(21, 2))
    drawn = distances.exact_draws(lambda n, rng: rng.permutation(points)[:n], 21, points, repeats=3, rng=0)
    assert drawn.values == (0.0, 0.0, 0.0)
    fewer = distances.exact_draws(lambda n, rng: rng.permutation(points)[:n], 11, points, repeats=3, rng=0)
    assert min(fewer.values) > 0.1  # the control: half the rows are seen


def test_modes_count_weights_without_bias_and_see_a_collapse(chance):
    law, draw = datasets.two_gaussians(dim=2, half_distance=0.7), chance(comparisons=1)
    x = law.sample(40_000, draw.rng(0))
    shares = metrics.responsibilities(law, x)[:, 0]
    assert abs(metrics.mode_error(law, x) - abs(np.mean(shares) - law.weights[0])) <= 64 * EPS
    draw.mean(shares, law.weights[0], on="weight of a mode by responsibilities")
    assert abs(metrics.mode_error(datasets.rings(), np.tile([[1.0, 0.0]], (50, 1))) - 7 / 8) <= 1e-9
    cloud = sweep.law_of("two_moons")
    assert abs(metrics.mode_error(cloud, np.tile(cloud.points[3], (9, 1))) - (1 - cloud.weights[3])) <= 8 * EPS


def test_one_step_to_zero_is_the_conditional_mean_and_noise_is_not():
    rows = sweep.sweep(
        target="rings",
        sampler=["ddim", "ddpm", "euler_maruyama"],
        steps=[1, 8],
        seeds=1,
        samples=200,
        start="exact",
        metric="mse_excess",
    ).rows
    value = {(r["sampler"], r["steps"]): r["value"] for r in rows}
    assert value["ddim", 1] <= (64 * EPS) ** 2
    assert value["ddim", 8] > 0.01
    assert value["euler_maruyama", 8] > value["ddim", 8]
    assert all(r["lower"] <= r["value"] <= r["upper"] for r in rows)


def test_bounds_hold_and_name_their_statement():
    known = {s.key for s in statements.all_statements()}
    kl = sweep.sweep(
        target="gaussian",
        sampler=["proximal_backward", "proximal_hybrid", "euler_maruyama"],
        steps=[12, 400],
        seeds=1,
        samples=3,
        start="exact",
        metric="kl",
    ).rows
    bounded = [r for r in kl if r["bound"] is not None]
    assert {r["sampler"] for r in bounded} == {"proximal_backward", "proximal_hybrid", "euler_maruyama"}
    assert all(r["value"] <= r["bound"] and r["bound_kind"] == "upper" for r in bounded)
    # the step condition of the two proximal theorems fails for 12 steps: no bound is claimed
    assert {r["sampler"] for r in kl if r["bound"] is None} == {"proximal_backward", "proximal_hybrid"}
    rows = sweep.sweep(
        target="two_moons",
        sampler=["ddim", "ddpm"],
        steps=6,
        seeds=2,
        samples=80,
        schedule="log_linear:sigma_max=4.0:sigma_min=0.05",
        metric=["w2", "distance"],
    ).rows
    distance = {(r["sampler"], r["seed"]): r for r in rows if r["metric"] == "distance"}
    for r in rows:
        if r["metric"] == "w2":
            here = distance[r["sampler"], r["seed"]]
            assert r["bound_kind"] == "lower"
            assert r["bound"] == here["value"] <= r["value"]
    ddim = [r for (name, _), r in distance.items() if name == "ddim"]
    assert all(r["value"] <= r["bound"] * (1 + 64 * EPS) for r in ddim)
    assert all(r["bound"] is None for (name, _), r in distance.items() if name == "ddpm")
    assert {r["statement"] for r in bounded + ddim} <= known


def test_backward_sampler_on_a_line_has_the_budget_beside_it():
    """It holds where the closed bound claims nothing, for its step condition, and is smaller where that holds."""
    law = GaussianMixture(None, [[-0.6], [0.6]], 0.4)
    job = {"target": law, "sampler": "proximal_backward", "seeds": 1, "samples": 3, "start": "exact", "metric": "kl"}
    rows = sweep.sweep(**job, steps=[20, 80, 640]).rows
    assert {r["statement"] for r in rows} == {"proximal/budget_inequality"}
    assert all(r["value"] <= r["bound"] < 25 * r["value"] for r in rows)
    runs = [_run(law, "proximal_backward", schedules.vp_linear(N), "exact") for N in (20, 640)]
    L, H = metrics._curvature(law)
    assert runs[0].grid.g.max() * (L + 0.5) > 0.5
    closed = statements.proximal.backward_kl(runs[1].grid.g, 1, 0.4 + 0.36, L, H)
    assert rows[-1]["bound"] < 0.5 * closed

    # J > 0 fails with few steps to narrow modes: no bound is claimed
    narrow = GaussianMixture(None, [[-1.0], [1.0]], 0.01)
    assert metrics._budget(metrics._hidden(_run(narrow, "proximal_backward", schedules.vp_linear(16), "exact"))) is None


def test_kl_of_a_gaussian_start_or_a_changed_sampler_has_no_bound():
    rows = sweep.sweep(target="gaussian", sampler="euler_maruyama", steps=400, seeds=1, samples=3, metric="kl").rows
    rows += sweep.sweep(
        target="gaussian",
        sampler="euler_maruyama:last_noise=false",
        steps=400,
        seeds=1,
        samples=3,
        metric="kl",
        start="exact",
    ).rows
    assert [r["bound"] for r in rows] == [None, None]


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        ("kl", {"target": "two_moons"}),
        ("kl", {"target": "two_gaussians", "sampler": "ddim"}),
        ("modes", {"target": "sphere"}),
        ("modes", {"target": "gaussian"}),
        ("mse_excess", {"target": "rings"}),
        ("distance", {"target": "rings"}),
    ],
)
def test_metric_that_does_not_apply_is_refused_or_skipped(metric, change):
    job = {"sampler": "euler_maruyama", "steps": 3, "seeds": 1, "samples": 5, "exact_draws": 0, **change}
    with pytest.raises(ValueError, match=r"\bmetric\b"):
        sweep.sweep(**job, metric=metric)
    job["sampler"] = [job["sampler"], "heun"] if job["sampler"] != "heun" else ["heun"]
    if change["target"] not in ("sphere",):
        done = sweep.sweep(**job, metric=["w2", metric], refused="skip")
        assert {r["metric"] for r in done.rows} == {"w2"}
        assert all(r["metric"] == metric and r["reason"] for r in done.refused)


def test_reference_draws_are_not_those_that_an_exact_start_noises():
    """Else the sampler would be compared with its own start, and few steps from little noise would score 0."""
    law, seed, n = sweep.law_of("rings"), 3, 100
    start = law.sample(n, np.random.default_rng([seed, 1]))
    run = metrics.Run(law, "ddim", True, {}, sweep.grid_of("log_linear", 2), "exact", seed, first=start, samples=start)
    exact = [metrics.METRICS["w2"].exact_draws(law, n, np.random.default_rng(k)) for k in range(4)]
    assert metrics.METRICS["w2"].measure(run)["value"] > 0.5 * min(exact)


def test_no_two_streams_of_a_sweep_are_the_same(monkeypatch):
    """Starts, reference draws and exact draws of all seeds, also of seeds of two words, each from a stream of its own."""
    make, streams = np.random.default_rng, {}

    def recorded(seed):
        key = tuple(np.random.SeedSequence(seed).generate_state(4))
        assert key not in streams, f"{seed} and {streams[key]} give the same stream"
        streams[key] = seed
        return make(seed)

    law, grid = sweep.law_of("rings"), sweep.grid_of("log_linear", 2)
    monkeypatch.setattr(np.random, "default_rng", recorded)
    seeds = [0, 1, 2, 0x5EED, 0xF100, 2**32, (0x5EED << 32) + 1, (0xF100 << 32) + 1, 2**64 - 1]
    for seed in seeds:
        start = next(sweep.states(law, "ddim", grid, seed, 5, "exact"))
        metrics.METRICS["w2"].measure(metrics.Run(law, "ddim", True, {}, grid, "exact", seed, first=start, samples=start))
    sweep._draws.cache_clear()
    sweep._exact_draws("rings", "w2", 5, 3)
    assert len(streams) == 2 * len(seeds) + 3


def test_bound_of_the_distance_is_attained_on_one_atom():
    """There the denoiser is the projection, and each step of DDIM takes the distance to (1 - beta) of it."""
    from exactdiffusion import PointCloud, samplers
    from exactdiffusion._core.random import Noise

    law, grid = PointCloud([[1.0, -2.0]]), sweep.grid_of("log_linear:sigma_min=0.1", 6)
    path = tuple(samplers.ddim(law, grid, float(grid.sigma[0]) * Noise(0).initial(50, 2)))
    run = metrics.Run(law, "ddim", True, {}, grid, "gaussian", 0, first=path[0], samples=path[-1], path=path)
    found = metrics.METRICS["distance"].measure(run)
    # distances shrink by sigma_N / sigma_0 and keep the rounding of coordinates of size 40
    assert abs(found["bound"] - found["value"]) <= 64 * metrics.EPS * 40 * grid.N
    assert found["value"] < 0.01 * np.sqrt(np.mean(law.distance(path[0]) ** 2))


def test_error_of_a_map_that_folds_is_three_times_the_change():
    """The change from half as many points, which is first order where quantiles jump."""
    law = GaussianMixture([0.3, 0.7], [[-4.0], [3.0]], 0.01)
    value, error = metrics._sorted_line(np.abs, law, 2**10)
    half, _ = metrics._sorted_line(np.abs, law, 2**9)
    assert error > 0
    assert error == pytest.approx(3 * abs(value - half), rel=1e-12)


# ------------------------------------------------------------------------------------------------ the metric law


@pytest.mark.parametrize("name", ["ddpm", "euler_maruyama"])
def test_law_of_the_radius_is_the_closed_form_on_one_gaussian(name):
    """Two concentric parts of one variance are a Gaussian: the closed form against the radius, in three dimensions."""
    grid, split = schedules.vp_linear(6), GaussianMixture([0.4, 0.6], np.zeros((2, 3)), [0.3, 0.3])
    found = metrics.exact_output(_run(split, name, grid, "exact"))
    exact = metrics.exact_output(_run(GaussianMixture([1.0], np.zeros((1, 3)), 0.3), name, grid, "exact"))
    assert (found.method, exact.rung) == ("quadrature of the law of the radius", "closed form")
    for one, other in ((found.w2, exact.w2), (found.kl, exact.kl)):
        assert abs(one[0] - other[0]) <= one[1], (one, other)
        assert one[1] < 1e-6 * one[0]
    assert metrics.exact_output(_run(split, name, grid)) is None  # a Gaussian start is no mixture of this kind at level 0


@pytest.mark.parametrize(
    ("one", "other"),
    [((0.0, 1.0), (0.5, 1.0)), ((0.0, 1.0), (0.3, 2.0)), ((-1.0, 0.5), (1.0, 0.04)), ((0.0, 1.0), (0.0, 1.1))],
)
def test_total_variation_of_two_gaussians(one, other):
    x = np.linspace(-12, 12, 200_001)
    p, q = (np.exp(-0.5 * (x - m) ** 2 / v) / math.sqrt(2 * math.pi * v) for m, v in (one, other))
    expected = distances.tv_quadrature(p, q, np.full(x.shape, x[1] - x[0]))
    # the kink of |p - q| costs the trapezoidal rule the square of its step
    assert abs(metrics._gaussian_tv(*one, *other) - expected) <= 1e-8


def test_total_variation_on_a_line_agrees_with_the_closed_form():
    grid, split = schedules.vp_linear(6), GaussianMixture([0.4, 0.6], [[0.7], [0.7 + 1e-9]], 0.3)
    found = metrics.exact_output(_run(split, "ddpm", grid, "exact"))
    exact = metrics.exact_output(_run(GaussianMixture([1.0], [[0.7]], 0.3), "ddpm", grid, "exact"))
    # moving 0.6 of the mass by 1e-9 changes a total variation by at most 1e-9 / sqrt(2 pi 0.3), in target and output
    assert abs(found.tv[0] - exact.tv[0]) <= found.tv[1] + 2e-9
    assert exact.tv[0] > 1e-3


def test_metric_law_names_its_measure_and_refuses_where_no_law_is_known():
    job = {"steps": 6, "seeds": 1, "samples": 5, "start": "exact", "metric": ["law", "kl", "w2"]}
    law, kl, w2 = sweep.sweep(target="two_gaussians:dim=1", sampler="ddpm", **job).rows
    assert law["value"] == w2["value"]
    assert f"KL {kl['value']:.6g}" in law["method"]
    assert "TV 0." in law["method"]
    assert law["lower"] < law["value"] < law["upper"]
    with pytest.raises(ValueError, match=r"metric: got 'law'.*the metric w2 or coupled would do"):
        sweep.sweep(target="rings", sampler="ddim", steps=6, seeds=1, samples=5, metric="law")


@pytest.mark.parametrize("name", ["euler_maruyama", "proximal_backward"])
def test_kl_in_the_plane_agrees_with_the_higher_rungs(name):
    """On one slanted Gaussian with its closed form, on centres on a line with the line times the Gaussian across."""
    slanted = GaussianMixture([1.0], [[0.4, -0.7]], np.array([[[0.9, 0.25], [0.25, 0.35]]]))
    on_a_line = GaussianMixture([0.3, 0.7], [[-0.5, 0.1], [0.5, -0.2]], 0.6)
    for law in (slanted, on_a_line):
        run = metrics.Run(law, name, True, {}, schedules.vp_linear(8, 0.3, 2.1), "exact", 0)
        value, error, rung, _ = metrics._plane_kl(metrics._hidden(run))
        known, slack = metrics.exact_output(run).kl
        assert rung == "the plane"
        assert abs(value - known) <= error + slack + 1e-12
        assert value > 1e6 * error


def test_metric_kl_in_the_plane_is_exact_from_an_exact_start_alone():
    law = GaussianMixture(None, [[-0.6, 0.0], [0.6, 0.3], [0.0, 0.9]], 0.5)
    job = {"target": law, "sampler": ["euler_maruyama", "proximal_backward"], "schedule": "vp_linear", "samples": 5}
    done = sweep.sweep(**job, steps=[16, 32], seeds=2, metric="kl", start="exact")
    assert {r["rung"] for r in done.rows} == {"the plane"}
    assert {r["exact_draws_high"] for r in done.rows} == {0.0}
    values = {(r["sampler"], r["steps"], r["seed"]): r["value"] for r in done.rows}
    assert values["euler_maruyama", 16, 0] == values["euler_maruyama", 16, 1]  # no seed
    assert 3 < values["euler_maruyama", 16, 0] / values["euler_maruyama", 32, 0] < 4.5
    assert {p.how for p in done.compare().pairs} == {"exact output laws"}
    with pytest.raises(ValueError, match=r"metric: got 'kl'; .*with start='exact', in the plane"):
        sweep.sweep(**job, steps=20, seeds=1, metric="kl")
