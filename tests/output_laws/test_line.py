"""Exact output laws on grids: against closed forms in 40 digits, against each other, and with errors planted by hand."""

import math
from dataclasses import replace
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy.special import ndtr

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import line, radial, subspace
from exactdiffusion.output_laws import plane as tensor
from exactdiffusion.output_laws.line import AssumptionViolated, Explicit, QuadratureError
from exactdiffusion.papers.proximal import budgets
from exactdiffusion.statements import proximal as bound

EPS = float(np.finfo(float).eps)
STOCHASTIC = ("euler_maruyama", "exponential_integrator", "ddpm", "proximal_hybrid", "proximal_backward")
WIDE = GaussianMixture(None, [[-0.6], [0.6]], 0.4)
APART = GaussianMixture(None, [[-1.0], [1.0]], 0.25)

#: the ancestral sampler whose every step has the variance 1 - e^-g
LARGE = {"variance": "large", "last_noise": True}


def options(scheme):
    return LARGE if scheme == "ddpm" else {}


def uniform(N, T=6.0):
    """N equal steps in t = int beta, from T to 0."""
    return schedules.vp_linear(N, beta_min=T, beta_max=T)


def gaussian_reference(mu, S, grid, scheme):
    """Output mean and variance in 40 digits, from the scalar recursions of the schemes."""
    with mp.workdps(40):
        mu, S = mp.mpf(mu), mp.mpf(S)
        scale, sigma = ([mp.mpf(float(a)) for a in v] for v in (grid.scale, grid.sigma))
        m, V = scale[0] * mu, scale[0] ** 2 * S + sigma[0] ** 2
        for k in range(grid.N):
            g, E = mp.mpf(float(grid.g[k])), mp.exp(mp.mpf(float(grid.g[k])) / 2)
            v, w = (scale[i] ** 2 * S + sigma[i] ** 2 for i in (k, k + 1))
            here, there = scale[k] * mu, scale[k + 1] * mu
            if scheme == "euler_maruyama":
                a, b, c = 1 + g / 2 - g / v, g / v * here, g
            elif scheme == "exponential_integrator":
                a, b, c = E - 2 * (E - 1) / v, 2 * (E - 1) / v * here, mp.expm1(g)
            elif scheme == "ddpm":
                a, b, c = E * (1 + mp.expm1(-g) / v), -E * mp.expm1(-g) / v * here, -mp.expm1(-g)
            elif scheme == "probability_flow":
                a, b, c = 1 + g / 2 - g / 2 / v, g / 2 / v * here, 0
            elif scheme == "proximal_hybrid":
                D = 1 + g / w
                a, b, c = (1 + g / 2) / D, g / w * there / D, g / D**2
            else:
                D = 1 - g / 2 + g / w
                a, b, c = 1 / D, g / w * there / D, g / D**2
            m, V = a * m + b, a * a * V + c
        return m, V


def gaussian_divergences(mu, S, m, V):
    with mp.workdps(40):
        ratio = mp.mpf(S) / V
        kl = (ratio - 1 - mp.log(ratio) + (m - mu) ** 2 / V) / 2
        w2 = mp.sqrt((m - mu) ** 2 + (mp.sqrt(V) - mp.sqrt(mp.mpf(S))) ** 2)
        return float(kl), float(w2)


# ----------------------------------------------------------------------------------------- closed-form Gaussian laws


@pytest.mark.parametrize("scheme", [*STOCHASTIC, "probability_flow"])
@pytest.mark.parametrize("N", [16, 64, pytest.param(1024, marks=pytest.mark.deep)])
def test_gaussian_kl_to_1e12(scheme, N, accuracy):
    run = line.propagate(GaussianMixture([1.0], [[1.0]], 0.25), uniform(N), scheme, **options(scheme))
    found = line.divergences(run.target, run.law)
    m, V = gaussian_reference(1.0, 0.25, uniform(N), scheme)
    kl, w2 = gaussian_divergences(1.0, 0.25, m, V)
    by = "scalar recursion, 40 digits"
    accuracy("output_laws.line.propagate", abs(found.kl / kl - 1), 1e-12, by)
    # the map of the monotone coupling is read off a degree-7 spline of the distribution function
    accuracy("output_laws.line.divergences", abs(found.w2 / w2 - 1), 1e-9, by)
    accuracy("output_laws.line.Propagation.mass_error", run.mass_error, 1e-12, "mass 1")
    accuracy("output_laws.line.NodeLaw.mean", abs(run.law.mean - float(m)), 8 * EPS * N, by)
    accuracy("output_laws.line.NodeLaw.variance", abs(run.law.variance - float(V)), 8 * EPS * N, by)


@pytest.mark.parametrize("scheme", ["euler_maruyama", "proximal_hybrid"])
def test_gaussian_kl_at_1024_steps_in_the_default_run(scheme, accuracy):
    test_gaussian_kl_to_1e12(scheme, 1024, accuracy)


@pytest.mark.parametrize(("mu", "S", "N"), [(0.0, 1.0, 64), (0.5, 0.05, 16), (-3.0, 4.0, 16), (2.0, 1e-3, 32)])
@pytest.mark.parametrize("scheme", STOCHASTIC)
def test_gaussian_kl_on_other_targets(mu, S, N, scheme):
    run = line.propagate(GaussianMixture([1.0], [[mu]], S), uniform(N), scheme, **options(scheme))
    m, V = gaussian_reference(mu, S, uniform(N), scheme)
    kl, _ = gaussian_divergences(mu, S, m, V)
    # u = q/p - 1 of size sqrt(2 KL) carries the rounding of N sums; KL is quadratic in it
    rounding = 8 * EPS * N * max(math.sqrt(2 * kl), EPS * N)
    rounding += 8 * math.exp(-line.DEPTH)  # mass beyond the box
    found = line.divergences(run.target, run.law).kl
    if S == 1e-3 and scheme.startswith("prox"):
        # variance 100 times too small: the density at the target's tails comes from beyond the box, and the run says so
        assert run.unresolved > 1e-6
        assert [s.unresolved for s in run.steps[:-1]] == [0.0] * (len(run.steps) - 1)
        assert found >= kl
        return
    assert run.unresolved <= 1e-11  # of p, on rows whose sum is cut there
    assert abs(found - kl) <= 1e-12 * kl + rounding


def test_normal_start_matches_the_closed_form():
    grid, g = uniform(32, 3.0), 3.0 / 32
    for scheme in ("euler_maruyama", "proximal_hybrid", "proximal_backward"):
        run = line.propagate(GaussianMixture([1.0], [[0.0]], 1.0), grid, scheme, "normal")
        assert abs(run.law.variance - bound.standard_normal_variance(scheme, g, 32)) <= 8 * EPS * 32


# --------------------------------------------------------------------------------------------------- quadrature


def test_kl_table_of_the_mixtures():
    """Values that a second program computed (fixed box, one grid for all levels), three significant digits."""
    table = {
        (0.6, 0.4, "euler_maruyama"): 2.45e-4,
        (0.6, 0.4, "proximal_hybrid"): 5.42e-4,
        (0.6, 0.4, "proximal_backward"): 2.68e-4,
        (1.0, 0.25, "euler_maruyama"): 3.49e-3,
        (1.0, 0.25, "proximal_hybrid"): 6.25e-3,
        (1.0, 0.25, "proximal_backward"): 6.37e-3,
    }
    for (m, v, scheme), value in table.items():
        run = line.propagate(GaussianMixture(None, [[-m], [m]], v), uniform(128), scheme)
        assert float(f"{line.divergences(run.target, run.law).kl:.2e}") == value


@pytest.mark.parametrize("scheme", ["euler_maruyama", "proximal_backward", "probability_flow"])
def test_error_estimates_cover_a_third_resolution(scheme, accuracy):
    law = GaussianMixture([0.3, 0.7], [[-1.0], [0.8]], np.array([0.3, 0.2]))
    result = line.study(law, uniform(64, 4.0), scheme)
    third = line.propagate(law, uniform(64, 4.0), scheme, refine=3.0)
    exact = line.divergences(third.target, third.law)
    for name in ("kl", "reverse_kl", "tv", "w1", "w2"):
        found = getattr(result.divergences, name)
        error = abs(found.value - getattr(exact, name))
        accuracy("output_laws.line.study", error, 4 * found.error, f"{name} on three times the nodes")
        assert found.error <= 1e-7 * found.value, name


def test_band_and_dense_sums_agree():
    rng = np.random.default_rng(0)
    at, centres = np.linspace(-9, 9, 900), np.sort(rng.uniform(-9, 9, 1100))
    weights = np.exp(-0.5 * centres**2)
    band, log = line._gauss_sum(at, centres, weights, 0.01)
    dense = line._dense(at, centres, weights, 0.1) / (0.1 * math.sqrt(2 * math.pi))
    # an argument of the exponential of size 82 is rounded to 82 eps, on either path
    np.testing.assert_allclose(band, dense, rtol=4 * 82 * EPS)
    np.testing.assert_allclose(log, np.log(dense), rtol=4 * 82 * EPS, atol=4 * 82 * EPS)


def test_windows_grow_for_rows_between_far_modes(monkeypatch):
    """Rows that hold e^-90 to e^-20,000 of a mode are summed in windows, with the logarithms of the sums over all pairs."""
    offsets = np.linspace(-9, 9, 300)
    centres, at = np.concatenate([offsets - 64, offsets + 64]), np.linspace(-75, 75, 1501)
    weights = np.concatenate([np.exp(-0.5 * offsets**2), 1e-3 * np.exp(-0.5 * offsets**2)])
    pairs = []
    real = line._band

    def counting(*arguments, **options):
        pairs.append(int(np.sum(arguments[5] - arguments[4])))
        return real(*arguments, **options)

    monkeypatch.setattr(line, "_band", counting)
    value, log = line._gauss_sum(at, centres, weights, 0.1)
    assert sum(pairs) < len(at) * len(centres)
    assert log.min() < -15_000

    monkeypatch.setattr(line, "DENSE", len(at) * len(centres))
    exact, log_exact = line._gauss_sum(at, centres, weights, 0.1)
    assert value == pytest.approx(exact, rel=1e-12, abs=0)
    # an exponent of size L has a rounding of eps L, and so has its logarithm relative to it
    assert log == pytest.approx(log_exact, rel=1e-15, abs=1e-12)


def test_gauss_sum_keeps_logarithms_where_densities_underflow():
    value, log = line._gauss_sum(np.array([60.0]), np.array([0.0]), np.array([1.0]), 1.0)
    assert value[0] == 0
    assert log[0] == pytest.approx(-1800 - 0.5 * math.log(2 * math.pi), rel=4 * EPS)


@pytest.mark.parametrize(("scale", "sigma"), [(1.0, 0.0), (0.3, 0.8), (1e-3, 1.0)])
def test_line_formulas_are_the_law(scale, sigma, accuracy):
    """Log density and derivatives by sums over the components against the oracles of the law."""
    law = GaussianMixture([0.2, 0.5, 0.0, 0.3], [[-3.0], [0.4], [9.0], [0.5]], np.array([0.3, 1e-3, 1.0, 0.02]))
    at = line.Level(law, scale, sigma)
    x = np.linspace(*at.box(), 701)
    column = x[:, np.newaxis]
    exact = at.law.log_density(column), at.law.score(column)[:, 0], at.law.hessian(column)[:, 0, 0]
    smallest = float(np.min(scale**2 * np.array([0.3, 1e-3, 0.02]) + sigma**2))
    for name, value in zip(("log_density", "score", "curvature"), exact):
        # x - m is rounded to eps |x|, of which the logits feel eps |x|^2 / v
        slack = 64 * EPS * (1 + np.max(np.abs(x)) ** 2 / smallest) * (1 + np.max(np.abs(value)))
        accuracy(f"output_laws.line.Level.{name}", np.abs(getattr(at, name)(x) - value), slack, "oracles of the law")
    assert line.Level(GaussianMixture(None, [[0.0]], 0.0), 1.0, 0.0)._components is None  # no density: the law's own error


def test_distances_of_shifted_and_mixed_gaussians(accuracy):
    x = np.linspace(-9, 9, 721)
    p, q = (line.discretise(GaussianMixture([1.0], [[a]], 1.0), x) for a in (0.0, 0.3))
    found = line.divergences(p, q)
    tv = math.erf(0.15 / math.sqrt(2))
    for name, value in {"kl": 0.045, "reverse_kl": 0.045, "tv": tv, "w1": 0.3, "w2": 0.3}.items():
        # tails beyond 8.7 sd, splines of degree 7
        accuracy("output_laws.line.divergences", abs(getattr(found, name) / value - 1), 2e-11, f"{name} of two Gaussians")
    # the densities cross at a node, and the one falls there or rises
    y = np.linspace(-11, 13, 801)
    p2, q2 = (line.discretise(GaussianMixture([1.0], [[a]], 1.0), y) for a in (0.0, 2.0))
    for found in (line.divergences(p2, q2), line.divergences(q2, p2)):
        error = abs(found.tv / math.erf(1 / math.sqrt(2)) - 1)
        accuracy("output_laws.line.divergences", error, 2e-11, "tv of two Gaussians that cross at a node")
    coin = line.mixture([p, q], [0.5, 0.5])
    accuracy("output_laws.line.NodeLaw.mass", abs(coin.mass - 1), 8 * EPS, "mass 1")
    np.testing.assert_allclose(np.exp(coin.log_density), coin.density, rtol=100 * EPS)
    exact = GaussianMixture(None, [[0.0], [0.3]], 1.0).log_density(x[:, np.newaxis])
    for name, law in (("mixture", coin), ("discretise", line.discretise(GaussianMixture(None, [[0.0], [0.3]], 1.0), x))):
        # x - m is rounded to eps |x|, which the exponent feels |x| times
        accuracy(f"output_laws.line.{name}", np.abs(law.log_density - exact), 8 * EPS * 81, "density of the mixture")
    accuracy(
        "output_laws.line.NodeLaw.expectation",
        abs(coin.expectation(x**4) - (6 + 6 * 0.09 + 0.0081) / 2),
        1e-12,
        "fourth moment of two Gaussians",
    )
    accuracy("output_laws.line.NodeLaw.cdf", np.abs(p.cdf()[0] - ndtr(x)), 1e-12, "normal distribution function")


def test_probability_flow_pushes_quantiles():
    """Monotone maps: the law is the image of the start's quantiles, one by one."""
    grid = uniform(40, 4.0)
    run = line.propagate(APART, grid, "probability_flow")
    start = line.Level(APART, grid.scale[0], grid.sigma[0])
    x = np.linspace(-2, 2, 5)
    image = x
    for i in range(grid.N):
        here = line.Level(APART, grid.scale[i], grid.sigma[i])
        image = image + grid.g[i] / 2 * (image + here.score(image))
    nodes = np.linspace(-10, 10, 20001)
    density = np.exp(start.log_density(nodes))
    for a, b in zip(x, image):
        mass = np.trapezoid(np.where(nodes <= a, density, 0.0), nodes)
        assert np.interp(b, run.law.x, run.law.cdf()[0]) == pytest.approx(mass, abs=2e-4)  # steps of 1e-3 at the cut


# --------------------------------------------------------------------------------------- the proximal map's gaps


def test_gaps_of_the_proximal_map(accuracy):
    law, grid = GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], 0.1), uniform(160, 5.0)
    with pytest.raises(AssumptionViolated) as caught:
        line.propagate(law, grid, "proximal_hybrid")
    assert caught.value.jacobian <= 0
    run = line.propagate(law, grid, "proximal_hybrid", nonconvex="contact")
    assert run.mass_error <= 1e-10
    assert run.violated[-1] == 159
    ((low, high),) = run.law.gaps
    end = line.Level(law)
    g = float(grid.g[-1])
    potential = lambda u: 0.5 * u * u - g * end.log_density(u)  # noqa: E731
    pair = np.array([low, high])
    force = pair - g * end.score(pair)
    chord = np.diff(potential(pair))[0] / (high - low)
    slack = 64 * EPS * np.max(np.abs(force)) / (high - low)
    accuracy("output_laws.line.contact_gaps", np.abs(force - chord), slack, "bitangent: both slopes are the chord's")
    found = line.divergences(run.target, run.law)
    assert found.kl == math.inf
    assert found.reverse_kl == pytest.approx(0.0134253, rel=1e-5)
    assert found.gap_mass == pytest.approx(0.0074767, rel=1e-4)
    assert found.tv == pytest.approx(0.04379, rel=1e-3)


def lower_hull(u):
    hull = []
    for j in range(len(u)):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (u[b] - u[a]) * (j - a) < (u[j] - u[a]) * (b - a):
                break
            hull.pop()
        hull.append(j)
    return np.array(hull)


def test_gap_law_against_samples_of_the_global_prox(chance):
    """The whole distribution function, by the inequality of Dvoretzky, Kiefer and Wolfowitz."""
    draw = chance(comparisons=1)
    law, grid = GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], 0.1), uniform(12, 5.0)
    run = line.propagate(law, grid, "proximal_backward", nonconvex="contact")
    rng, n = draw.rng(5), 200_000
    x = law.noised(grid.scale[0], grid.sigma[0]).sample(n, rng)[:, 0]
    table = np.linspace(-6, 6, 24_001)
    for i in range(grid.N):
        g = float(grid.g[i])
        y = x + math.sqrt(g) * rng.standard_normal(n)
        end = line.Level(law, grid.scale[i + 1], grid.sigma[i + 1])
        u = (1 - g / 2) * table**2 / 2 - g * end.log_density(table)
        # global minimiser on the table: the lower convex hull, then the node whose slope interval holds y
        hull = lower_hull(u)
        slopes = np.diff(u[hull]) / np.diff(table[hull])
        x = table[hull[np.searchsorted(slopes, y)]]
    cdf = run.law.cdf()[0]
    # minimisers on a table of step 5e-4: within it they are spread evenly, which moves the law by the step times the density
    x = x + 5e-4 * (rng.random(n) - 0.5)
    tol = 2 * 5e-4 * float(run.law.density.max())
    draw.distribution(x, lambda at: np.interp(at, run.law.x, cdf), on="200,000 draws of the chain", tol=tol)


@pytest.mark.parametrize("scheme", ["proximal_hybrid", "proximal_backward"])
def test_threshold_is_sharp(scheme):
    m, v = 1.0, 0.1
    law = GaussianMixture(None, [[-m], [m]], v)
    limit = bound.step_threshold(scheme, bound.two_mode_curvature(m, v))

    def violated(g):
        grid = schedules.Grid(np.exp([-g / 2, 0.0]), np.sqrt(-np.expm1([-g, 0.0])))
        try:
            line.propagate(law, grid, scheme)
        except AssumptionViolated:
            return True
        return False

    low, high = 0.9 * limit, 1.1 * limit
    assert violated(high)
    assert not violated(low)
    while high - low > 1e-7 * limit:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if violated(middle) else (middle, high)
    assert low == pytest.approx(limit, rel=1e-6)


# ------------------------------------------------------------------------------------------- budgets, trajectories


def test_budget_is_a_bound_and_its_controls_fail():
    grid = uniform(128)
    run = line.propagate(WIDE, grid, "proximal_backward")
    kl = line.divergences(run.target, run.law).kl
    full = budgets.budget(WIDE, grid)
    assert 1 <= full.total / kl <= 2
    without = {t: budgets.budget(WIDE, grid, terms=[u for u in budgets.TERMS if u != t]).total / kl for t in budgets.TERMS}
    assert without["drift"] < 0.7
    assert without["time"] < 0.8
    assert budgets.budget(WIDE, grid, inside="start").total / kl < 0.6
    run = line.propagate(APART, grid, "proximal_backward")
    kl = line.divergences(run.target, run.law).kl
    assert budgets.budget(APART, grid).total >= kl
    assert budgets.budget(APART, grid, terms=("drift", "square", "time")).total < 0.6 * kl


def test_budget_quadrature_is_converged():
    grid = uniform(32)
    assert budgets.budget(WIDE, grid, order=6).total == pytest.approx(budgets.budget(WIDE, grid, order=12).total, rel=1e-9)


def test_trajectory_chain_and_constants():
    T, N = 6.0, 128
    grid = uniform(N, T)
    for scheme in ("euler_maruyama", "proximal_hybrid"):
        run = line.propagate(WIDE, grid, scheme)
        kl = line.divergences(run.target, run.law).kl
        trajectory, conditional = budgets.trajectory_kl(WIDE, grid, scheme), budgets.conditional_budget(WIDE, grid, scheme)
        assert kl < trajectory.total < conditional.total < 1.01 * trajectory.total
    for scheme, shift in bound.TRAJECTORY_SHIFT.items():
        constant = bound.trajectory_leading(T / N, budgets.curvature_integral(WIDE, T, shift))
        assert budgets.trajectory_kl(WIDE, grid, scheme, **options(scheme)).total / constant == pytest.approx(1, abs=0.04)


def test_trajectory_kl_of_a_gaussian_step(accuracy):
    """One Euler step on N(0, 1): both conditional laws are Gaussian."""
    g = 0.3
    grid = schedules.Grid(np.exp([-g / 2, 0.0]), np.sqrt(-np.expm1([-g, 0.0])))
    found = budgets.trajectory_kl(GaussianMixture([1.0], [[0.0]], 1.0), grid, "euler_maruyama").total
    ratio = -math.expm1(-g) / g
    expected = 0.5 * (ratio - 1 - math.log(ratio) + (math.exp(-g / 2) - (1 - g / 2)) ** 2 / g)
    accuracy("papers.proximal.budgets.trajectory_kl", abs(found / expected - 1), 1e-12, "closed form of one step")


def test_initial_term():
    grid = uniform(8, 2.0)
    law = GaussianMixture([1.0], [[1.5]], 1e-9)
    found = budgets.trajectory_kl(law, grid, "euler_maruyama", "normal").initial
    # nearly a Dirac mass: equality in the forward bound up to the variance 1e-9 of the target
    assert found == pytest.approx(bound.forward_convergence(2.0, 2.25, 1), rel=1e-8)


def test_initial_term_of_the_posterior_budget_is_that_of_the_trajectories():
    """KL between the first levels: of the law and of the normal start, whatever the steps do."""
    first = budgets.trajectory_kl(WIDE, uniform(8, 2.0), "euler_maruyama", "normal").initial
    assert first > 0
    assert budgets.posterior_budget(WIDE, uniform(8, 2.0), "euler_maruyama", "normal").initial == pytest.approx(
        first, rel=1e-12
    )


def test_posterior_budget_bounds_the_marginal_with_slope_two():
    for scheme in ("euler_maruyama", "proximal_hybrid"):
        ratios = []
        for N in (64, 128):
            grid = uniform(N)
            run = line.propagate(WIDE, grid, scheme)
            kl = line.divergences(run.target, run.law).kl
            ratios.append((budgets.posterior_budget(WIDE, grid, scheme).total, kl))
        assert all(1 < total / kl < 4 for total, kl in ratios)
        assert math.log2(ratios[0][0] / ratios[1][0]) == pytest.approx(2, abs=0.12)


@pytest.mark.parametrize("scheme", ["proximal_hybrid", "euler_maruyama"])
def test_kl_derivative_identity_with_the_posterior_drift(scheme):
    """The exact derivative of KL inside a step, from the propagated laws, against finite differences in s."""
    grid = uniform(10)
    law, k = WIDE, 8
    run = line.propagate(law, grid, scheme, keep=True, refine=2.0)
    before, after, q = run.levels[k], run.levels[k + 1], run.laws[k]
    x = np.linspace(-6.5, 6.5, 1301)
    h = x[1] - x[0]
    y, logs = budgets._finer(q, 6)
    source = np.exp(logs) * (y[1] - y[0])

    def density(s):
        if scheme == "euler_maruyama":
            return line._gauss_sum(x, y + s * (y / 2 + before.score(y)), source, s)[1]
        force, J = x - s * after.score(x), 1 - s * after.curvature(x)
        return line._gauss_sum(force, y + s / 2 * y, source, s)[1] + np.log(J)

    def true(s):
        return budgets._at(law, float(grid.integral[k]) - s)

    s, ds = 0.6 * float(grid.g[k]), 2e-3
    kls = []
    for t in (s - 2 * ds, s - ds, s + ds, s + 2 * ds):
        p = true(t).log_density(x)
        kls.append(h * np.sum(np.exp(p) * (p - density(t))))
    slope = (kls[0] - 8 * kls[1] + 8 * kls[2] - kls[3]) / (12 * ds)
    log_q = density(s)
    here = true(s)
    spline = line.make_interp_spline(x, log_q, k=7).derivative()
    r = here.score(x) - spline(x)
    now = here.score(x)
    if scheme == "euler_maruyama":
        drift = y / 2 + before.score(y)
        e = x / 2 + now - budgets._posterior_mean(x, y + s * drift, logs, s, drift)
        A = np.ones_like(x)
    else:
        score, curvature, third = after.score(x), after.curvature(x), after.third(x)
        posterior = budgets._posterior_mean(x - s * score, y + s / 2 * y, logs, s, y)
        b, J = bound.interpolating_process(s, x, score, curvature, third, scheme, posterior)
        A = J**-2
        e = x / 2 + now - b + s * third / J**3 - 0.5 * (1 - A) * now
    derivative, upper = bound.kl_derivative(h * np.exp(here.log_density(x)), r, e, A)
    assert derivative == pytest.approx(slope, rel=1e-6)  # interpolation of the start law, and ds^4
    assert derivative <= upper


# -------------------------------------------------------------------------------------- planted errors, coin test


def coin_slope(first, second, law=WIDE, steps=(128, 256)):
    """Slope in N of KL of the equal mixture of two output laws."""
    values = []
    for N in steps:
        nodes = np.linspace(-7.0, 7.0, 1001)
        laws = [line.propagate(law, uniform(N), s, nodes=nodes).law for s in (first, second)]
        values.append(line.divergences(line.discretise(law, nodes), line.mixture(laws, [0.5, 0.5])).kl)
    return math.log2(values[1] / values[0]) / math.log2(steps[1] / steps[0])


def wrong_index(start, end, g):
    """The proximal map of the law at the start of the step."""
    return line.SCHEMES["proximal_backward"](end, start, g)


def wrong_lambda(start, end, g):
    """lam = g in the backward step (y as it should be)."""
    y_factor = 2 / (2 - g)
    right = line.SCHEMES["proximal_backward"](start, end, g)
    return replace(
        right,
        forward=lambda x: ((x - g * end.score(x)) / y_factor, (1 - g * end.curvature(x)) / y_factor),
        potential=lambda x: (x * x / 2 - g * end.log_density(x)) / y_factor,
    )


def wrong_score(start, end, g):
    """The explicit score at the end of the step."""
    return line.SCHEMES["euler_maruyama"](end, start, g)


def noise_after(start, end, g):
    """Noise added after the proximal map instead of before: an explicit step whose mean solves the noiseless equation."""
    right = line.SCHEMES["proximal_backward"](start, end, g)

    def mean(y):
        x = np.array(y)
        for _ in range(60):
            force, slope = right.forward(x)
            move = (force - y) / slope
            x = x - move
            if np.max(np.abs(move)) < 64 * EPS * np.max(np.abs(x)):
                break
        return x, 1 / right.forward(x)[1]

    return Explicit(mean, g)


def test_coin_of_euler_and_backward_has_slope_four():
    assert coin_slope("euler_maruyama", "proximal_backward") <= -3.8


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("euler_maruyama", wrong_index),
        ("euler_maruyama", wrong_lambda),
        ("euler_maruyama", noise_after),
        (wrong_score, "proximal_backward"),
    ],
)
def test_silent_errors_are_caught_by_the_coin(first, second):
    """A rate test passes all four; the coin's slope falls to 2."""
    assert coin_slope(first, second, steps=(64, 128)) >= -3.0
    wrong = second if callable(second) else first
    kls = []
    for N in (128, 256):
        run = line.propagate(WIDE, uniform(N), wrong)
        kls.append(line.divergences(run.target, run.law).kl)
    assert -2.35 <= math.log2(kls[1] / kls[0]) <= -1.75


@pytest.mark.parametrize(
    ("wrong", "scheme"),
    [
        (wrong_index, "proximal_backward"),
        (wrong_lambda, "proximal_backward"),
        (noise_after, "proximal_backward"),
        (wrong_score, "euler_maruyama"),
    ],
)
def test_silent_errors_are_caught_by_the_gaussian_reference(wrong, scheme):
    run = line.propagate(GaussianMixture([1.0], [[1.0]], 0.25), uniform(64), wrong)
    m, V = gaussian_reference(1.0, 0.25, uniform(64), scheme)
    assert abs(run.law.variance - float(V)) > 1e-3


def test_missing_jacobian_breaks_the_mass():
    def broken(start, end, g):
        right = line.SCHEMES["proximal_hybrid"](start, end, g)
        return replace(right, forward=lambda x: (right.forward(x)[0], np.ones_like(x)))

    with pytest.raises(QuadratureError, match="mass"):
        line.propagate(WIDE, uniform(16), broken)


# ---------------------------------------------------------------------------------------- plane, radius, subspace


@pytest.mark.parametrize("scheme", STOCHASTIC)
def test_plane_matches_the_gaussian_closed_form(scheme, accuracy):
    grid = uniform(16, 4.0)
    run = tensor.propagate(GaussianMixture([1.0], [[1.0, -0.5]], np.array([[0.25, 0.5]])), grid, scheme, **options(scheme))
    expected = sum(
        gaussian_divergences(m, S, *gaussian_reference(m, S, grid, scheme))[0] for m, S in ((1.0, 0.25), (-0.5, 0.5))
    )
    by = "scalar recursion, 40 digits"
    for name in ("propagate", "PlanePropagation.divergences"):
        accuracy(f"output_laws.plane.{name}", abs(run.divergences()["kl"] / expected - 1), 1e-12, by)
    assert run.mass_error <= 1e-12
    accuracy("output_laws.plane.PlaneLaw.mass", abs(run.law.mass - 1), 1e-12, "mass 1")


def test_plane_of_a_rotated_mixture_is_the_line():
    """Two centres on a slanted line: KL of the plane against the subspace reduction, two independent programs."""
    law = GaussianMixture([0.35, 0.65], np.array([[-0.5], [0.6]]) * np.array([[0.6, 0.8]]) + np.array([[0.8, -0.6]]), 0.4)
    grid = uniform(16, 4.0)
    for scheme in ("euler_maruyama", "proximal_backward"):
        plane = tensor.propagate(law, grid, scheme, refine=1.5).divergences()
        reduced = subspace.propagate(law, grid, scheme, refine=2.0)
        assert plane["kl"] == pytest.approx(reduced.kl, rel=1e-9)
        assert plane["reverse_kl"] == pytest.approx(reduced.reverse_kl, rel=1e-9)


def test_plane_reports_a_violation():
    law = GaussianMixture(None, [[-1.0, 0.0], [1.0, 0.0]], 0.1)
    with pytest.raises(AssumptionViolated):
        tensor.propagate(law, uniform(16, 4.0), "proximal_hybrid")


def test_plane_runs_in_another_namespace():
    strict = pytest.importorskip("array_api_strict")
    law, grid = GaussianMixture(None, [[-0.6, 0.1], [0.6, 0.0]], 0.4), uniform(8, 3.0)
    for scheme in ("ddpm", "proximal_hybrid"):
        ours = tensor.propagate(law, grid, scheme, **options(scheme))
        theirs = tensor.propagate(law, grid, scheme, like=strict.zeros(1, dtype=strict.float64), **options(scheme))
        assert type(theirs.law.density) is type(strict.zeros(1))
        assert theirs.divergences()["kl"] == pytest.approx(ours.divergences()["kl"], rel=1e-12)


@pytest.mark.parametrize("d", [2, 3, 10, 300])
def test_radius_matches_the_gaussian_closed_form(d, accuracy):
    grid = uniform(16, 4.0)
    law = GaussianMixture([1.0], np.zeros((1, d)), 0.5)
    for scheme in ("euler_maruyama", "proximal_hybrid", "probability_flow"):
        run = radial.propagate(law, grid, scheme)
        found = line.divergences(run.target, run.law)
        kl, w2 = gaussian_divergences(0.0, 0.5, *gaussian_reference(0.0, 0.5, grid, scheme))
        accuracy("output_laws.radial.propagate", abs(found.kl / (d * kl) - 1), 1e-12, "scalar recursion, 40 digits")
        assert found.w2 == pytest.approx(math.sqrt(d) * w2, rel=1e-6)  # distribution function from splines on Gauss panels


def test_radius_of_a_scale_mixture_matches_the_plane():
    law, grid = GaussianMixture([0.4, 0.6], np.zeros((2, 2)), np.array([0.5, 1.1])), uniform(16, 4.0)
    for scheme in ("euler_maruyama", "proximal_backward"):
        plane = tensor.propagate(law, grid, scheme, refine=1.3).divergences()["kl"]
        run = radial.propagate(law, grid, scheme)
        assert line.divergences(run.target, run.law).kl == pytest.approx(plane, rel=1e-9)


def test_radius_of_a_scale_mixture_in_300_dimensions():
    """The curvature is largest at the inner shell; nodes chosen at an end of the box miss the mass by 6e-10."""
    law, grid = GaussianMixture(None, np.zeros((2, 300)), np.array([0.5, 0.9])), uniform(16, 4.0)
    one, two = (radial.propagate(law, grid, "euler_maruyama", refine=r) for r in (1.0, 1.5))
    assert one.mass_error <= 1e-11
    assert line.divergences(one.target, one.law).kl == pytest.approx(line.divergences(two.target, two.law).kl, rel=1e-11)


def test_radius_in_eight_dimensions():
    """KL/d of a second program, three digits."""
    for scheme, value in (("euler_maruyama", 2.47e-4), ("proximal_backward", 2.53e-4)):
        law = GaussianMixture(None, np.zeros((2, 8)), 0.8 * (1 + np.array([-0.9, 0.9]) / math.sqrt(8)))
        run = radial.propagate(law, uniform(64, 4.0), scheme)
        assert float(f"{line.divergences(run.target, run.law).kl / 8:.2e}") == value


def test_log_bessel_against_mpmath():
    for order in (0.0, 0.5, 4.0, 149.0):
        z = np.array(
            [1e-8, 1e-3, 0.5, 0.99 * math.sqrt(order + 1), 1.01 * math.sqrt(order + 1), 30.0, 0.45 * (order + 1), 4000.0]
        )
        with mp.workdps(40):
            exact = np.array([float(mp.log(mp.besseli(order, mp.mpf(float(a)))) - mp.mpf(float(a))) for a in z])
        np.testing.assert_allclose(radial._log_bessel(order, z), exact, rtol=1e-13, atol=1e-13)


def test_subspace_in_high_dimension(accuracy):
    direction = np.linalg.qr(np.random.default_rng(3).standard_normal((40, 1)))[0][:, 0]
    law = GaussianMixture(None, np.outer([-0.6, 0.6], direction), 0.4)
    parts = subspace.reduce(law)
    assert parts.basis.shape == (40, 1)
    accuracy("output_laws.subspace.Reduction.codimension", abs(parts.codimension - 39), 0.0, "rank")
    # directions from sums of 40 rounded products
    off = np.abs(np.abs(parts.basis[:, 0] @ direction) - 1)
    accuracy("output_laws.subspace.reduce", off, 64 * EPS, "the direction that the centres were put on")
    grid = uniform(24, 4.0)
    run = line.propagate(WIDE, grid, "proximal_hybrid")
    one = line.divergences(run.target, run.law)
    kl, w2 = gaussian_divergences(0.0, 0.4, *gaussian_reference(0.0, 0.4, grid, "proximal_hybrid"))
    found = subspace.propagate(law, grid, "proximal_hybrid")
    accuracy("output_laws.subspace.propagate", abs(found.kl / (one.kl + 39 * kl) - 1), 1e-11, "line, and 39 times one axis")
    mean, variance = subspace.gaussian_line(0.0, 0.4, grid, "proximal_hybrid")
    m, V = gaussian_reference(0.0, 0.4, grid, "proximal_hybrid")
    error = max(abs(mean - float(m)), abs(variance - float(V)))
    accuracy("output_laws.subspace.gaussian_line", error, 8 * EPS * grid.N, "scalar recursion, 40 digits")
    assert found.w2**2 == pytest.approx(one.w2**2 + 39 * w2**2, rel=1e-8)


# ------------------------------------------------------------------------------------------------------ bad input


def bad_calls():
    grid, plane = uniform(4), GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    yield "law", lambda: line.propagate(plane, grid, "ddpm", **LARGE)
    yield "grid", lambda: line.propagate(WIDE, grid.to_ve(), "ddpm", **LARGE)
    yield "scheme", lambda: line.propagate(WIDE, grid, "heun")
    yield "scheme", lambda: line.propagate(WIDE, grid, 3)
    yield "start", lambda: line.propagate(WIDE, grid, "ddpm", "zero")
    yield "nonconvex", lambda: line.propagate(WIDE, grid, "ddpm", **LARGE, nonconvex="skip")
    yield "mu", lambda: line.propagate(WIDE, grid, "ddpm", mu=0.3)  # a parameter of the sampler, not of its form on a line
    yield "variance", lambda: line.propagate(WIDE, grid, "ddpm", variance="learned")
    yield "variance", lambda: line.propagate(WIDE, grid, "euler_maruyama", variance="large")
    yield "refine", lambda: line.propagate(WIDE, grid, "ddpm", **LARGE, refine=0.0)
    yield "last_noise", lambda: line.propagate(WIDE, grid, "proximal_hybrid", last_noise=False)
    yield "grid", lambda: line.propagate(WIDE, uniform(2), "proximal_backward")
    yield "law", lambda: line.propagate(GaussianMixture(None, [[-1.0], [1.0]], 0.0), grid, "ddpm", **LARGE)
    yield "law", lambda: tensor.propagate(WIDE, grid, "ddpm", **LARGE)
    yield "scheme", lambda: tensor.propagate(plane, grid, "probability_flow")
    yield "law", lambda: radial.propagate(GaussianMixture([1.0], [[1.0, 0.0]], 1.0), grid, "ddpm", **LARGE)
    yield "law", lambda: radial.propagate(WIDE, grid, "ddpm", **LARGE)
    yield "law", lambda: subspace.propagate(GaussianMixture(None, np.eye(5), 0.3), grid, "ddpm", **LARGE)
    yield "law", lambda: subspace.reduce(GaussianMixture(None, np.eye(2), np.array([0.3, 0.4])))
    yield "scheme", lambda: budgets.trajectory_kl(WIDE, grid, "probability_flow")
    yield "scheme", lambda: budgets.conditional_budget(WIDE, grid, "ddpm")
    yield "terms", lambda: budgets.budget(WIDE, grid, terms=("all",))


@pytest.mark.parametrize(("name", "call"), list(bad_calls()))
def test_bad_input_names_the_argument(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


@pytest.mark.parametrize(("deviation", "half"), [(1e-2, 10.0), (1e-3, 100.0), (1e-4, 1000.0)])
@pytest.mark.parametrize("scheme", ["ddpm", "euler_maruyama", "proximal_hybrid"])
def test_narrow_modes_far_apart_are_refused_before_the_first_step(deviation, half, scheme, monkeypatch):
    """The nodes that they need are counted on the true levels; nothing is summed, and the message says what works."""
    if half == 10.0 and scheme != "proximal_hybrid":
        half = 1e4  # panels make 2,000 deviations affordable, not two millions
    law = GaussianMixture([0.3, 0.7], [[-half], [half]], deviation**2)
    monkeypatch.setattr(line, "_gauss_sum", None)
    for call in (line.propagate, line.study):
        with pytest.raises(QuadratureError, match=r"needs about \S+ nodes \(at most 400000\).*What works: wider modes"):
            call(law, schedules.vp_linear(8, eps=1e-3), scheme, **options(scheme))


class Surroundings:
    """The step of the nodes that the features within half a length of an interval ask for."""

    def __init__(self, low, high, m, end, following, refine):
        # points at every distance from the features
        centres = end.probes((low, high), 0)
        x = [np.linspace(low, high, 161), centres]
        x += [centres + side * (high - low) * 2.0**-k for side in (-1, 1) for k in range(1, 50)]
        x = np.unique(np.concatenate(x))
        self.x = x = x[(x >= low) & (x <= high)]
        self.curvature, self.kernel, self.what = end.curvature(x), line._kernel(x, following), (following, refine)
        self.features = line._steep(m, end, x) if isinstance(m, line.Implicit) else np.zeros(len(x))

    def step(self, a, b):
        first, last = np.searchsorted(self.x, [a - (b - a) / 2, b + (b - a) / 2])
        near = slice(max(first - 1, 0), last + 1)
        return line._step(self.curvature[near], self.kernel[near], *self.what, float(np.max(self.features[near])))


@pytest.mark.parametrize("scheme", ["ddpm", "proximal_hybrid"])
def test_panels_are_as_long_as_their_surroundings_allow(scheme, monkeypatch):
    """Each is short enough for the features within half a length of it, and the panel that it is a half of is not."""
    calls, graded = [], line._graded
    monkeypatch.setattr(line, "_graded", lambda *given: calls.append((given, graded(*given))) or calls[-1][1])
    monkeypatch.setattr(line, "UNIFORM", 50)
    law = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 2.0**-8)
    line.propagate(law, schedules.vp_linear(4, eps=1e-3), scheme, nonconvex="contact", limit=1e11, **options(scheme))
    assert len(calls) >= 3
    for given, (edges, least) in calls:
        low, high, following = given[0], given[1], given[4]
        around, longest, steps = Surroundings(*given), 3 if following is None else 6, []
        for a, b in pairwise(edges):
            steps.append(around.step(a, b))
            assert b - a <= longest * steps[-1]
            if b - a < 0.75 * (high - low):
                # in the binary tree of intervals, the one of twice the length that holds it
                whole = low + 2 * (b - a) * (round((a - low) / (b - a)) // 2)
                assert 2 * (b - a) > longest * around.step(whole, whole + 2 * (b - a))
        assert least == min(steps)


@pytest.mark.parametrize("scheme", ["ddpm", "euler_maruyama", "proximal_hybrid"])
def test_panels_give_the_law_on_uniform_nodes(scheme, monkeypatch, accuracy):
    """Modes 32 deviations apart: the same densities and divergences on a tenth of the nodes, also at the last level."""
    law, grid = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 2.0**-8), schedules.vp_linear(12, eps=1e-3)
    found = []
    for uniform in (10**9, 50):
        monkeypatch.setattr(line, "UNIFORM", uniform)
        monkeypatch.setattr(line, "UNIFORM_LAST", uniform)
        run = line.propagate(law, grid, scheme, nonconvex="contact", limit=1e11, **options(scheme))
        found.append((run, line.divergences(run.target, run.law)))
    (run, exact), (other, values) = found
    for name in ("tv", "w1"):
        accuracy("output_laws.line.divergences", abs(getattr(values, name) - getattr(exact, name)), 1e-11, "uniform nodes")
    assert values.kl == pytest.approx(exact.kl, rel=1e-11)
    if scheme != "proximal_hybrid":  # there the gaps, not the panels, decide
        assert max(s.nodes for s in other.steps) < max(s.nodes for s in run.steps) / 5


@pytest.mark.parametrize("scheme", ["ddpm", "euler_maruyama"])
def test_nodes_grow_slowly_with_the_distance_of_the_modes(scheme):
    """From 32 to 128 deviations apart: the most nodes of a level before the last grow by less than the distance."""
    most = []
    for deviation in (1 / 16, 1 / 64):
        law = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], deviation**2)
        run = line.propagate(law, schedules.vp_linear(40, eps=1e-3), scheme, **options(scheme))
        assert run.mass_error <= 1e-12
        most.append(max(s.nodes for s in run.steps[:-1]))
    assert most[1] <= 4 * most[0]


def test_panels_are_short_only_at_their_features():
    """Ends of the panels from end to end, each as long as three or six steps of its surroundings at most."""
    end = line.Level(GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], 2.0**-10), 1.0, 0.0)
    edges, h = line._graded(-1.4, 1.4, Explicit(lambda y: (y, np.ones_like(y)), 1.0), end, None, 1.0)
    assert (edges[0], edges[-1]) == (-1.4, 1.4)
    assert np.all(np.diff(edges) > 0)
    assert np.min(np.diff(edges)) <= 3 * h
    middle = 0.5 * (edges[1:] + edges[:-1])
    short = middle[np.diff(edges) < 4 * np.min(np.diff(edges))]
    balance = end.probes((-0.5, 0.5), 0)  # of the two components
    assert np.max(np.min(np.abs(short[:, np.newaxis] - balance), axis=1)) < 0.02


def test_plane_and_radius_refuse_narrow_modes_before_the_first_step(monkeypatch):
    grid = schedules.vp_linear(8, eps=1e-3)
    monkeypatch.setattr(tensor, "_advance", None)
    monkeypatch.setattr(radial, "_advance", None)
    with pytest.raises(QuadratureError, match=r"a side of \d+ nodes; at most 600\. What works: wider modes"):
        tensor.propagate(GaussianMixture(None, [[-10.0, 0.0], [10.0, 0.0]], 1e-4), grid, "ddpm", **LARGE)
    with pytest.raises(QuadratureError, match=r"need about \S+ operations .*at most 1e\+06\. What works"):
        tensor.propagate(GaussianMixture(None, [[-1.0, 0.0], [1.0, 0.0]], 1.0), grid, "ddpm", **LARGE, limit=1e6)
    with pytest.raises(QuadratureError, match=r"about \S+ nodes; at most 8000: variances too far apart"):
        radial.propagate(GaussianMixture(None, np.zeros((2, 2)), [1e-8, 1e4]), grid, "ddpm", **LARGE)


@pytest.mark.parametrize("scheme", ["ddpm", "proximal_hybrid"])
@pytest.mark.parametrize("law", [WIDE, APART, GaussianMixture([0.3, 0.7], [[-2.0], [2.0]], 0.09)])
def test_estimated_cost_is_that_of_the_run(law, scheme, monkeypatch):
    """Evaluations counted in the sums, band by band, within a factor of 10 of the estimate; a limit below it refuses."""
    counted, real = [], line._gauss_sum

    def counting(at, centres, weights, variance):
        reach = math.sqrt(2 * variance * (line.DEPTH + 40))
        inside = np.searchsorted(np.sort(centres), at + reach) - np.searchsorted(np.sort(centres), at - reach)
        counted.append(int(np.sum(inside)))
        return real(at, centres, weights, variance)

    monkeypatch.setattr(line, "_gauss_sum", counting)
    grid = uniform(24)
    line.propagate(law, grid, scheme, nonconvex="contact", **options(scheme))
    estimate = line._affordable(*line._chain(scheme, law, grid, "integral", **options(scheme)), 1.0, 1e9)
    assert sum(counted) / 10 < estimate < 10 * sum(counted)
    with pytest.raises(QuadratureError, match=r"kernel evaluations \(at most "):
        line.propagate(law, grid, scheme, limit=estimate / 2, **options(scheme))


def test_given_nodes_of_the_last_level_are_the_ones_that_count(monkeypatch):
    """The default nodes of the last level would be too many; those that are given are as many as they are."""
    law, grid = GaussianMixture([0.3, 0.7], [[-5.0], [5.0]], 9e-4), schedules.vp_linear(8, eps=1e-3)
    chain = line._chain("ddpm", law, grid, "integral", **LARGE)
    monkeypatch.setattr(line, "MAX_NODES", 8000)
    with pytest.raises(QuadratureError, match="step 7 needs about"):
        line._affordable(*chain, 1.0, 1e10)
    assert line._affordable(*chain, 1.0, 1e10, np.linspace(-6.0, 6.0, 4001)) < 1e9


def test_long_propagations_show_their_progress(monkeypatch):
    seen = []
    monkeypatch.setattr(line, "progress", lambda steps, description: seen.append((len(steps), description)) or steps)
    line.propagate(WIDE, uniform(6), "ddpm", **LARGE)
    assert seen == []
    monkeypatch.setattr(line, "PER_SECOND", 1e3)
    line.propagate(WIDE, uniform(6), "ddpm", **LARGE)
    assert seen == [(6, "steps of the density")]


def test_underflowing_rows_are_summed_in_blocks(monkeypatch):
    at, centres, weights = np.linspace(-60, 60, 97), np.linspace(-1, 1, 31), np.full(31, 1 / 31)
    whole = line._gauss_sum(at, centres, weights, 1e-2)[1]
    monkeypatch.setattr(line, "BLOCK", 200)
    assert np.array_equal(line._gauss_sum(at, centres, weights, 1e-2)[1], whole)


@pytest.mark.parametrize("scheme", ["proximal_hybrid", "proximal_backward", "ddpm", "probability_flow"])
def test_zero_length_steps_are_the_identity(scheme):
    """A level that repeats changes neither the law nor what is said of it: at the start, in the middle, at the end."""
    grid, index = schedules.vp_linear(12, eps=1e-2), [0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12]
    twice = schedules.Grid(grid.scale[index], grid.sigma[index], strict=False)
    a, b = line.propagate(WIDE, grid, scheme, **options(scheme)), line.propagate(WIDE, twice, scheme, **options(scheme))
    assert np.array_equal(a.law.x, b.law.x)
    assert np.array_equal(a.law.density, b.law.density)
    assert (a.unresolved, a.mass_error, a.violated) == (b.unresolved, b.mass_error, b.violated)
    if scheme in STOCHASTIC:
        assert (
            budgets.trajectory_kl(WIDE, twice, scheme, **options(scheme)).total
            == budgets.trajectory_kl(WIDE, grid, scheme, **options(scheme)).total
        )
    if scheme == "proximal_hybrid":
        assert budgets.conditional_budget(WIDE, twice, scheme).total == budgets.conditional_budget(WIDE, grid, scheme).total


def test_deterministic_step_needs_a_monotone_map():
    grid = schedules.Grid(np.exp([-1.5, 0.0]), np.sqrt(-np.expm1([-3.0, 0.0])))
    law = GaussianMixture([1.0], [[0.0]], 0.01)

    def overshoot(start, end, g):
        return Explicit(lambda y: (y - 2 * y, np.full_like(y, -1.0)), 0.0)

    with pytest.raises(AssumptionViolated):
        line.propagate(law, grid, overshoot)


def test_third_derivative_at_single_points(accuracy):
    """At one point or a narrow cluster as on a wide set: the third cumulant of the components, equal variances."""
    weights, means, v = np.array([0.2, 0.5, 0.3]), np.array([-1.0, 0.3, 1.1]), 0.2
    at = line.Level(GaussianMixture(weights, means[:, np.newaxis], v), 1.0, 0.0)
    for x in (np.array([-0.4]), np.array([0.71, 0.7100001]), np.linspace(-2, 2, 41)):
        r = weights * np.exp(-0.5 * (x[:, np.newaxis] - means) ** 2 / v)
        r /= r.sum(axis=1, keepdims=True)
        centred = means - (r @ means)[:, np.newaxis]
        exact = np.sum(r * centred**3, axis=1) / v**3
        slack = 1e-9 * np.max(np.abs(exact) + 1 / v**1.5)
        accuracy("output_laws.line.Level.third", np.abs(at.third(x) - exact), slack, "third cumulant of the components")


# the rule for the nodes


@pytest.mark.parametrize("scheme", ["euler_maruyama", "ddpm", "proximal_hybrid"])
@pytest.mark.parametrize("N", [16, 32, 64, 128])
def test_default_nodes_give_the_density_to_rounding(N, scheme):
    """Against nodes four times as dense at every level, on the same last nodes: rounding of N sums."""
    x = np.linspace(-8.0, 8.0, 1000)
    runs = (
        line.propagate(WIDE, uniform(N, 4.0), scheme, nodes=x, refine=refine, **options(scheme)) for refine in (1.0, 4.0)
    )
    found, exact = (run.law.density for run in runs)
    assert np.max(np.abs(found - exact)) <= 16 * EPS * math.sqrt(N) * exact.max()


def test_poles_of_the_score_count_although_the_mass_does_not_see_them(monkeypatch):
    """Without the strip of the poles the sums alias by 1e-11, and the mass stays 1 to rounding."""
    x = np.linspace(-8.0, 8.0, 1000)
    exact = line.propagate(WIDE, uniform(64), "euler_maruyama", nodes=x, refine=4.0).law.density
    monkeypatch.setattr(line, "STRIP", math.inf)
    run = line.propagate(WIDE, uniform(64), "euler_maruyama", nodes=x)
    assert np.max(np.abs(run.law.density - exact)) > 1e-12 * exact.max()
    assert run.mass_error < 1e-13


@pytest.mark.parametrize("c", [4.6, 4.9, 5.0, 5.1, 5.4])
def test_smallest_jacobian_is_sought_on_both_sides_of_its_node(c):
    from exactdiffusion.output_laws.line import Implicit, _lowest

    step = Implicit(lambda x: (x, (x - c) ** 2 - 1e-3), None, 0.0, 1.0)
    x = np.arange(11.0)
    location, jacobian = _lowest(step, x, step.forward(x)[1])
    assert abs(location - c) <= 1 / 64
    assert jacobian < 0


def test_a_band_leaves_nothing_out_that_counts_in_its_row():
    """Weights of 1 near 0 and 1e-60 elsewhere: 14 kernel widths from the former, what the band leaves out is the sum."""
    at, centres = np.linspace(-100.0, 100.0, 1001), np.linspace(-100.0, 100.0, 1003)
    weights = np.where(np.abs(centres) < 1, 1.0, 1e-60)
    value, log = line._gauss_sum(at, centres, weights, 1.0)
    terms = np.log(weights) - 0.5 * (at[:, np.newaxis] - centres) ** 2 - 0.5 * math.log(2 * math.pi)
    expected = np.logaddexp.reduce(terms, axis=1)
    assert np.max(np.abs(log - expected)) <= 1e-12
    assert np.max(np.abs(value / np.exp(expected) - 1)) <= 1e-12
