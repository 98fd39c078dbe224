"""The parts of the propagation on a line, one by one: nodes, boxes, sums, gaps, distances, Langevin chains, budgets.

The tests of whole runs compare results; here every rule is met by inputs without symmetry and by its edge cases.
"""

import math
from dataclasses import replace
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import sampler_forms
from scipy import integrate, optimize, stats

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import gaussian, langevin, line
from exactdiffusion.output_laws.line import AssumptionViolated, Explicit, Implicit, NodeLaw, QuadratureError
from exactdiffusion.papers.proximal import budgets
from exactdiffusion.statements import proximal as bound

EPS = float(np.finfo(float).eps)
UNEVEN = schedules.vp_linear(4, 0.3, 2.1)
THREE = GaussianMixture([0.2, 0.0, 0.5, 0.3], [[-2.0], [7.0], [0.5], [1.4]], np.array([0.3, 1.0, 0.1, 0.6]))

#: the ancestral sampler whose every step has the variance 1 - e^-g
LARGE = {"variance": "large", "last_noise": True}


def options(scheme):
    return LARGE if scheme == "ddpm" else {}


def normal(x, m, v):
    return np.exp(-0.5 * (x - m) ** 2 / v) / math.sqrt(2 * math.pi * v)


# ---------------------------------------------------------------------------------------------- levels and their probes


class Bare:
    """A law that answers the three questions of a level and nothing else."""

    def __init__(self, law):
        self.noised = law.noised


def test_a_law_without_components_is_asked_itself():
    one, other = line.Level(THREE, 0.7, 0.4), line.Level(Bare(THREE), 0.7, 0.4)
    x = np.linspace(-3, 3, 31)
    assert other._components is None
    for name in ("log_density", "score", "curvature"):
        a, b = getattr(one, name)(x), getattr(other, name)(x)
        assert a.shape == b.shape
        assert np.max(np.abs(a - b)) <= 1e3 * EPS * (1 + np.max(np.abs(a)))
    default = line.Level(THREE)
    assert (default.scale, default.sigma) == (1.0, 0.0)


@pytest.mark.parametrize("count", [3, 30])
def test_probes_hold_means_and_balance_points(count):
    rng = np.random.default_rng(count)
    weights = np.append(rng.uniform(0.5, 1.5, count), 0.0)
    law = GaussianMixture(weights / weights.sum(), rng.uniform(-9, 9, (count + 1, 1)), rng.uniform(0.02, 0.2, count + 1))
    at = line.Level(law, 0.8, 0.5)
    means, v, w = 0.8 * law.means[:count, 0], 0.64 * law.covariances[:count] + 0.25, law.weights[:count]
    box = -6.0, 6.5
    found = at.probes(box)
    assert {-6.0, 6.5} <= set(found)
    uniform = np.linspace(*box, 161)
    assert np.array_equal(found[:161], uniform)
    inside = means[(means > box[0]) & (means < box[1])]
    assert set(inside) <= set(found)
    order = np.argsort(means)
    pairs = [(i, j) for i in range(count) for j in range(i)] if count < 10 else list(pairwise(order))
    expected = []
    for i, j in pairs:  # where two weighted components are equal
        a = 0.5 / v[j] - 0.5 / v[i]
        b = means[i] / v[i] - means[j] / v[j]
        c = 0.5 * means[j] ** 2 / v[j] - 0.5 * means[i] ** 2 / v[i] + math.log(w[i] / w[j]) + 0.5 * math.log(v[j] / v[i])
        expected += [r.real for r in np.roots([a, b, c]) if abs(r.imag) < 1e-9 and box[0] < r.real < box[1]]
    extra = found[161:]
    for root in expected:
        assert np.min(np.abs(extra - root)) <= 1e-9 * (1 + abs(root))
    equal = line.Level(GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], 0.5))  # equal variances: one root
    root = 0.5 + 0.5 / 3.0 * math.log(0.3 / 0.7)
    assert np.min(np.abs(equal.probes((-4.0, 4.0))[161:] - root)) <= 8 * EPS
    assert len(equal.probes((-4.0, 4.0))) == 161 + 3
    assert len(equal.probes((-4.0, 4.0), 11)) == 11 + 3


def test_support_follows_its_formula():
    for scale, sigma, depth in ((1.0, 0.0, 50.0), (0.6, 0.8, 50.0), (0.6, 0.3, 20.0)):
        m, w = scale * THREE.means[:, 0], np.where(THREE.weights > 0, THREE.weights, 1e-300)
        v = scale**2 * THREE.covariances + sigma**2
        height = np.log(w) - 0.5 * np.log(v)
        reach = np.sqrt(2 * v * np.maximum(depth + height - height.max(), 0))
        keep = THREE.weights > 0
        expected = np.min((m - reach)[keep]), np.max((m + reach)[keep])
        assert line.support(THREE, scale, sigma, depth) == pytest.approx(expected, rel=8 * EPS)
        assert line.Level(THREE, scale, sigma).box(depth) == line.support(THREE, scale, sigma, depth)
    assert line.support(THREE) == line.support(THREE, 1.0, 0.0, line.DEPTH)
    faint = GaussianMixture([1 - 1e-30, 1e-30], [[0.0], [40.0]], 1.0)
    assert line.support(faint, depth=60.0) == pytest.approx((-math.sqrt(120), 40.0))  # the means at least


def test_poles_of_two_equal_components():
    """cosh(m z / v) = 0: at a distance pi v / (2 m), where the spread of the curvature is (m / v)^2."""
    m, v = 1.3, 0.4
    assert line.pole_distance((m / v) ** 2) == pytest.approx(math.pi * v / (2 * m), rel=4 * EPS)
    assert line.pole_distance(0.0) == math.inf


def test_third_derivative_of_nearly_gaussian_laws():
    """Means a hair apart: the step is chosen from the curvature itself, not from its tiny variation (rounding / step)."""
    law = GaussianMixture([0.4, 0.6], [[-0.02], [0.03]], 0.7)
    at, x = line.Level(law), np.linspace(-2, 2, 21)
    r = 0.4 * normal(x, -0.02, 0.7)
    r /= r + 0.6 * normal(x, 0.03, 0.7)
    exact = r * (1 - r) * (1 - 2 * r) * (-0.05 / 0.7) ** 3
    step = line.pole_distance(1e-3 / 0.7) / 40
    assert np.max(np.abs(at.third(x) - exact)) <= 64 * EPS / 0.7 / step


# ------------------------------------------------------------------------------------------------------- the schemes


@pytest.mark.parametrize("scheme", ["proximal_hybrid", "proximal_backward"])
def test_force_and_jacobian_are_derivatives_of_the_potential(scheme):
    g, end, x = 0.3, line.Level(THREE, 0.8, 0.5), np.linspace(-3, 3, 13)
    step = line.SCHEMES[scheme](None, end, g)
    h = 1e-4
    for f, df in (
        (step.potential, lambda x: step.forward(x)[0]),
        (lambda x: step.forward(x)[0], lambda x: step.forward(x)[1]),
    ):
        slope = (f(x - 2 * h) - 8 * f(x - h) + 8 * f(x + h) - f(x + 2 * h)) / (12 * h)
        assert np.max(np.abs(slope - df(x))) <= 1e-9
    assert step.variance == g
    assert step.slope == (1 + g / 2 if scheme == "proximal_hybrid" else 1.0)


def test_backward_steps_are_shorter_than_two():
    with pytest.raises(ValueError, match=r"^grid\b"):
        line.SCHEMES["proximal_backward"](None, None, 2.0)
    assert line.SCHEMES["proximal_backward"](None, None, math.nextafter(2.0, 0)).variance < 2


@pytest.mark.parametrize("start", ["exact", "normal"])
def test_one_step_of_every_scheme_on_a_gaussian(start):
    cases = [(scheme, options(scheme)) for scheme in line.SCHEMES] + [("ddpm", {}), ("ddpm", {"variance": "zero"})]
    begin = {"exact": lambda s, t: (1.3 * s, 0.45 * s * s + t * t), "normal": lambda s, t: (0.0, 1.0)}[start]
    for scheme, params in cases:
        for grid in (UNEVEN, UNEVEN[:2]):
            first = (np.array([value]) for value in begin(grid.scale[0], grid.sigma[0]))
            mean, variance = sampler_forms.law(scheme, np.array([1.3]), np.array([0.45]), grid, *first, **params)
            run = line.propagate(GaussianMixture([1.0], [[1.3]], 0.45), grid, scheme, start, **params)
            m, v = float(mean[0]), float(variance[0])
            density = normal(run.law.x, m, v)
            assert np.max(np.abs(run.law.density - density)) <= 64 * EPS * grid.N * density.max()
            assert run.law.mean == pytest.approx(m, abs=64 * EPS)
            assert run.law.variance == pytest.approx(v, abs=64 * EPS)
            assert run.law.expectation(run.law.x**2) == pytest.approx(m * m + v, abs=64 * EPS)
            reach = 10 * math.sqrt(v)
            assert run.law.x[0] <= m - 0.97 * reach
            assert run.law.x[-1] >= m + 0.97 * reach
            if scheme != "probability_flow" and params == options(scheme):
                target = line.support(line.Level(GaussianMixture([1.0], [[1.3]], 0.45)).base, grid.scale[-1], grid.sigma[-1])
                wide = 0.03 if not scheme.startswith("prox") else 0.05
                low, high = min(m - reach, target[0]), max(m + reach, target[1])
                assert run.law.x[0] >= low - wide * (high - low)
                assert run.law.x[-1] <= high + wide * (high - low)


def test_noise_of_the_last_step_can_be_dropped():
    law, grid = GaussianMixture([1.0], [[1.3]], 0.45), UNEVEN
    run = line.propagate(law, grid, "euler_maruyama", last_noise=False, keep=True)
    exact = gaussian("euler_maruyama", [1.3], [0.45], grid, last_noise=False)
    assert run.law.mean == pytest.approx(float(exact.mean[0]), abs=64 * EPS)
    assert run.law.variance == pytest.approx(float(exact.cov[0]), abs=64 * EPS)
    assert len(run.laws) == grid.N + 1
    assert line.propagate(law, grid, "ddpm", **LARGE).laws == ()


# ----------------------------------------------------------------------------------------------------- rules of nodes


def test_step_of_the_nodes_follows_the_rule():
    for v, following, kernel in (
        (0.45, Explicit(lambda y: (0.7 * y, 0.7 - 0 * y), 0.3), 0.49 / 0.3),
        (0.45, Implicit(None, None, 0.2, 0.3), 1.44 / 0.3),
        (0.45, Explicit(lambda y: (y, 1 + 0 * y), 0.0), None),
        (0.45, None, None),
    ):
        here = line.Level(GaussianMixture([1.0], [[0.0]], v))
        for extra, refine in ((0.0, 1.0), (9.0, 1.5)):
            fine = 4.0 if kernel is None else 1.0
            expected = math.sqrt(line.RESOLUTION / ((kernel or 0.0) + max(1 / v, extra))) / (fine * refine)
            found = line._node_step(np.linspace(-1, 1, 5), here, following, refine, extra)
            assert found == pytest.approx(expected, rel=8 * EPS)
    m, v, g = 1.0, 0.05, 0.01  # two modes: the pole at pi v / (2 m) is nearer than the line of the Gaussian rule
    here, p = line.Level(GaussianMixture(None, [[-m], [m]], v)), math.pi * v / (2 * m)
    x = np.array([0.0, m])
    top = -float(np.min(here.curvature(x)))
    kernel = 1.0 / g
    strip, total = line.STRIP * p, kernel + top
    assert strip < 2 * math.pi / (math.sqrt(line.RESOLUTION / total) * total)
    expected = 2 * math.pi * strip / (2 * math.pi**2 / line.RESOLUTION + strip**2 * total / 2)
    spread = float(np.ptp(here.curvature(x)))
    assert line.pole_distance(spread) == pytest.approx(p, rel=1e-3)
    expected = min(expected, line.POLE * p)
    assert line._node_step(x, here, Implicit(None, None, 0.0, g), 1.0) == pytest.approx(expected, rel=2e-3)
    assert line._node_step(x, here, None, 1.0) == pytest.approx(
        min(math.sqrt(line.RESOLUTION / top), line.POLE * p) / 4, rel=2e-3
    )


def test_uniform_nodes():
    x, w = line._uniform(-1.0, 3.0, 0.03, "it")
    assert len(x) == 135
    assert (x[0], x[-1]) == (-1.0, 3.0)
    assert w == pytest.approx(4 / 134, rel=4 * EPS)
    assert len(line._uniform(-1.0, 3.0, 1.0, "it")[0]) == 65
    with pytest.raises(QuadratureError, match="it would need"):
        line._uniform(0.0, 1.0, 1 / line.MAX_NODES, "it")
    assert len(line._uniform(0.0, 1.0, 1.0000001 / (line.MAX_NODES - 1), "it")[0]) == line.MAX_NODES


def test_nodes_of_the_first_level():
    law = GaussianMixture([1.0], [[3.0]], 0.45)
    grid = schedules.vp_linear(2, 0.2, 0.8)
    v = grid.scale[0] ** 2 * 0.45 + grid.sigma[0] ** 2
    for start, mean, variance, top in (("exact", 3.0 * grid.scale[0], v, 1 / v), ("normal", 0.0, 1.0, max(1.0, 1 / v))):
        run = line.propagate(law, grid, "proximal_backward", start, keep=True, refine=1.3)
        x, g = run.laws[0].x, float(grid.g[0])
        assert x[0] == pytest.approx(mean - math.sqrt(2 * line.DEPTH * variance), abs=1e-12)
        assert x[-1] == pytest.approx(mean + math.sqrt(2 * line.DEPTH * variance), abs=1e-12)
        h = math.sqrt(line.RESOLUTION / (1 / g + top)) / 1.3
        assert len(x) == math.ceil((x[-1] - x[0]) / h) + 1
        assert run.laws[0].density == pytest.approx(normal(x, mean, variance), rel=1e-12)
        flow = line.propagate(law, grid, "probability_flow", start, keep=True, refine=1.3)
        assert len(flow.laws[0].x) == math.ceil(4000 * 1.3) + 1
    wide = line.propagate(GaussianMixture([1.0], [[0.0]], 9.0), grid, "ddpm", "normal", keep=True, **LARGE)
    g = float(grid.g[0])
    w = grid.scale[0] ** 2 * 9 + grid.sigma[0] ** 2
    slope = math.exp(g / 2) * (1 - (1 - math.exp(-g)) / w)
    h = math.sqrt(line.RESOLUTION / (slope**2 / -math.expm1(-g) + 1.0))
    assert abs(len(wide.laws[0].x) - 1 - 20.0 / h) <= 1
    with pytest.raises(ValueError, match=r"^start\b"):
        line.propagate(law, grid, "ddpm", "zero")


def test_nodes_of_a_step_follow_the_rule():
    law, grid = GaussianMixture([1.0], [[0.3]], 0.45), schedules.vp_linear(2, 0.2, 0.8)
    V = grid.scale**2 * 0.45 + grid.sigma**2
    g = [float(a) for a in grid.g]
    for scheme in ("euler_maruyama", "proximal_hybrid", "proximal_backward"):
        run = line.propagate(law, grid, scheme)
        for i in range(2):
            extra, v = 0.0, V[i + 1]
            if scheme != "euler_maruyama":
                slope, base = (1 + g[i] / 2, 1.0) if scheme == "proximal_hybrid" else (1.0, 1 - g[i] / 2)
                extra = (base + g[i] / v) ** 2 / (g[i] + slope**2 * v)
            kernel, fine = 0.0, 4.0
            if i == 0:
                explicit = 1 + g[1] / 2 - g[1] / v
                slope = {"euler_maruyama": explicit, "proximal_hybrid": 1 + g[1] / 2, "proximal_backward": 1.0}[scheme]
                kernel, fine = slope**2 / g[1], 1.0
            h = math.sqrt(line.RESOLUTION / (kernel + max(1 / v, extra))) / fine
            report = run.steps[i]
            assert report.h == pytest.approx(h, rel=1e-12)
            assert report.nodes == max(65, math.ceil((report.high - report.low) / h) + 1)


def test_given_nodes_and_their_weights():
    law, x = GaussianMixture([1.0], [[0.3]], 0.45), np.linspace(-7.0, 8.0, 501)
    run = line.propagate(law, UNEVEN, "proximal_hybrid", nodes=x)
    assert np.array_equal(run.law.x, x)
    assert run.law.weights == pytest.approx(15 / 500, rel=4 * EPS)
    assert run.target.density == pytest.approx(normal(x, 0.3, 0.45), rel=1e-12)
    again = line.propagate(
        law, UNEVEN[2:], "proximal_hybrid", line.propagate(law, UNEVEN[:3], "proximal_hybrid").law, nodes=x
    )
    assert np.max(np.abs(again.law.density - run.law.density)) <= 64 * EPS * run.law.density.max()
    free = line.discretise(law, np.array([0.0, 0.5, 2.0]), np.array([0.2, 0.3, 0.5]))
    assert np.array_equal(free.weights, [0.2, 0.3, 0.5])
    assert free.density == pytest.approx(normal(free.x, 0.3, 0.45), rel=8 * EPS)
    with pytest.raises(ValueError, match=r"^nodes\b"):
        line.propagate(law, UNEVEN, "probability_flow", nodes=x)
    with pytest.raises(ValueError, match=r"^q\b"):
        line.divergences(line.discretise(law, x), line.discretise(law, x[1:]))
    with pytest.raises(ValueError, match=r"^q\b"):
        line.divergences(line.discretise(law, x), line.discretise(law, x + 1e-9))
    with pytest.raises(ValueError, match=r"^laws\b"):
        line.mixture([line.discretise(law, x), line.discretise(law, x + 1e-9)], [0.5, 0.5])


def test_nodes_are_refined_until_the_mass_is_right():
    """With half of the default nodes the aliased mass is seen and the step repeated on finer ones."""
    law = GaussianMixture([1.0], [[0.3]], 0.45)
    exact = gaussian("proximal_hybrid", [0.3], [0.45], UNEVEN)
    run = line.propagate(law, UNEVEN, "proximal_hybrid", refine=0.5)
    assert run.law.variance == pytest.approx(float(exact.cov[0]), abs=1e-10)
    with pytest.raises(ValueError, match=r"^refine\b"):
        line.propagate(law, UNEVEN, "ddpm", **LARGE, refine=math.nextafter(0.5, 0))


def test_a_step_whose_mass_is_off_is_repeated_on_finer_nodes(monkeypatch):
    """Attempts use 1, 1.5 and 2.25 times the nodes; the propagation goes on with the first whose mass is right."""
    law, asked, advance, enough = GaussianMixture([1.0], [[0.3]], 0.45), [], line._advance, 3.0

    def coarse_mass_is_off(i, q, m, following, end, refine, *rest):
        asked.append(refine)
        new, report = advance(i, q, m, following, end, refine, *rest)
        return new, replace(report, mass_error=report.mass_error if refine >= enough else 1e-6)

    monkeypatch.setattr(line, "_advance", coarse_mass_is_off)
    run = line.propagate(law, UNEVEN, "proximal_hybrid", refine=2.0)
    assert asked == [2.0, 3.0] * UNEVEN.N
    assert run.mass_error <= 1e-12
    asked.clear()
    enough = math.inf
    with pytest.raises(QuadratureError, match=r"use refine > 2$"):
        line.propagate(law, UNEVEN, "proximal_hybrid", refine=2.0)
    assert asked == [2.0, 3.0, 4.5]


def test_mass_left_open_by_the_box():
    """A target a hundred times narrower than the first law after one step: rows held by an end node of the source."""
    grid = schedules.Grid(np.exp([-1.5, 0.0]), np.sqrt(-np.expm1([-3.0, 0.0])))
    for mean in (0.4, -0.4):
        law = GaussianMixture([1.0], [[mean]], 1e-3)
        run = line.propagate(law, grid, "proximal_hybrid")
        source = line.propagate(law, grid, "proximal_hybrid", keep=True).laws[0]
        g, x, p = float(grid.g[0]), run.law.x, run.target.density
        force = x - g * run.levels[1].score(x)
        weights, centres = source.weights * source.density, (1 + g / 2) * source.x
        row, end = (direct(force, centres[k], weights[k], g) for k in (slice(None), [0, -1]))
        # of the two ends the greater share: the sum of both is no more than log 2 above it
        shares = [np.exp(direct(force, centres[[k]], weights[[k]], g) - row) for k in (0, -1)]
        assert np.all(end - row <= math.log(2) + np.log(np.maximum(*shares)) + 1e-9)
        expected = math.fsum(run.law.weights * p * np.minimum(1.0, 10 * np.maximum(*shares)))
        assert run.unresolved == pytest.approx(expected, rel=1e-6)
        assert run.unresolved > 0


# ---------------------------------------------------------------------------------------------------- Gaussian sums


def direct(at, centres, weights, variance):
    with np.errstate(divide="ignore"):
        logits = np.log(weights) - 0.5 * (at[:, np.newaxis] - centres) ** 2 / variance
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, np.newaxis]).sum(axis=1)) - 0.5 * math.log(2 * math.pi * variance)


@pytest.mark.parametrize("order", [1, -1])
def test_sums_keep_their_relative_accuracy_far_from_the_mass(order):
    """A heavy cluster and centres of weight down to e^-80 around it: what the band leaves out is nowhere the main part."""
    s, rng = 0.5, np.random.default_rng(2)
    cluster = 10 + 0.1 * rng.uniform(-1, 1, 900)
    at = np.linspace(-2, 10, 700)[::order]
    faint = rng.permutation(np.linspace(-2, 9.5, 60))
    for depth in (30.0, 50.0, 60.0, 80.0, 700.0):
        centres = np.concatenate([faint, cluster])
        weights = np.concatenate([np.full(60, math.exp(-depth)), np.full(900, 1 / 900)])
        value, log = line._gauss_sum(at, centres, weights, s * s)
        exact = direct(at, centres, weights, s * s)
        assert np.max(np.abs(log - exact)) <= 64 * EPS * (1 + np.max(np.abs(exact)))
        plain = exact > -600
        assert np.max(np.abs(value[plain] / np.exp(exact[plain]) - 1)) <= 64 * EPS * 700


def test_bands_with_empty_rows_and_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    centres, at = np.sort(np.concatenate([rng.uniform(0, 1, 40), rng.uniform(3, 4, 30)])), np.linspace(-2, 6, 173)
    weights = rng.uniform(0.5, 1.5, 70)
    low, high = (np.searchsorted(centres, at + d, side=side) for d, side in ((-0.4, "left"), (0.4, "right")))
    mask = (np.arange(70) >= low[:, np.newaxis]) & (np.arange(70) < high[:, np.newaxis])
    expected = (np.exp(-0.5 * ((at[:, np.newaxis] - centres) / 0.1) ** 2) * mask) @ weights
    assert np.sum(high == low) > 50
    for block in (1 << 20, 100, 3, 1):
        monkeypatch.setattr(line, "BLOCK", block)
        assert line._band(at, centres, weights, 0.1, low, high) == pytest.approx(expected, rel=1e-12, abs=0)
        dense = np.exp(-0.5 * ((at[:, np.newaxis] - centres) / 0.1) ** 2) @ weights
        assert line._dense(at, centres, weights, 0.1) == pytest.approx(dense, rel=1e-9, abs=1e-300)


def test_logarithms_of_sums_below_the_floats():
    at, centres, weights = np.array([40.0, -35.0, 0.1]), np.array([0.3, -0.2, 5.0]), np.array([0.7, 0.2, 0.0])
    value, log = line._gauss_sum(at, centres, weights, 0.3)
    exact = direct(at, centres, weights, 0.3)
    assert value[:2].tolist() == [0, 0]
    assert log == pytest.approx(exact, rel=8 * EPS)
    assert value[2] == pytest.approx(math.exp(exact[2]), rel=16 * EPS)


# ------------------------------------------------------------------------------------------------------ gaps, panels


def wavy(a, b):
    """F of a potential x^2 / 2 + a cos(b x): gaps where it is not convex."""
    return Implicit(
        lambda x: (x - a * b * np.sin(b * x), 1 - a * b * b * np.cos(b * x)),
        lambda x: x * x / 2 + a * np.cos(b * x),
        0.0,
        1.0,
    )


def test_gaps_are_bitangents():
    step = wavy(0.5, 3.0)
    gaps = line.contact_gaps(step, -5.2, 5.3)
    assert len(gaps) == 5
    for low, high in gaps:
        force, potential = step.forward(np.array([low, high]))[0], step.potential(np.array([low, high]))
        chord = (potential[1] - potential[0]) / (high - low)
        assert force == pytest.approx(chord, abs=64 * EPS * (1 + abs(potential).max()) / (high - low))
        x = np.linspace(low, high, 101)
        assert np.all(step.potential(x) >= potential[0] + chord * (x - low) - 1e-13)
    ends = [e for gap in gaps for e in gap]
    assert ends == sorted(ends)
    table = np.linspace(-5.2, 5.3, 20001)
    y = np.linspace(-4.5, 5.0, 400)
    prox = table[np.argmin(step.potential(table) - y[:, np.newaxis] * table, axis=1)]
    for x in prox:
        assert not any(a + 6e-4 < x < b - 6e-4 for a, b in gaps)
    outside = [x for x in np.linspace(-4, 4.5, 300) if not any(a - 0.05 < x < b + 0.05 for a, b in gaps)]
    for x in outside:  # what is no gap is reached
        assert np.min(np.abs(table[np.argmin(step.potential(table) - step.forward(np.array([x]))[0] * table)] - x)) < 1e-3
    assert line.contact_gaps(wavy(0.05, 3.0), -5.2, 5.3) == ()
    assert len(line.contact_gaps(step, -5.2, 5.3, points=401)) == len(gaps)


def test_bitangent_of_a_double_well():
    """W (1 + 0.3 x) + 0.3 x with W = (x^2 - 1)^2 / 4: the bitangent touches at -1 and 1, unequally bent."""
    step = Implicit(
        lambda x: (
            (x**3 - x) * (1 + 0.3 * x) + 0.075 * (x * x - 1) ** 2 + 0.3,
            (3 * x**2 - 1) * (1 + 0.3 * x) + 0.6 * (x**3 - x),
        ),
        lambda x: (x * x - 1) ** 2 / 4 * (1 + 0.3 * x) + 0.3 * x,
        0.0,
        1.0,
    )
    forces = []
    found = line._bitangent(
        Implicit(lambda x: forces.append(1) or step.forward(x), step.potential, 0.0, 1.0), -1.05, 0.93, 0.05
    )
    assert found == pytest.approx((-1.0, 1.0), abs=256 * EPS)
    assert len(forces) <= 8  # Newton with the exact derivative
    assert line._bitangent(step, -1.4, 1.5, 0.05) == pytest.approx((-1.0, 1.0), abs=256 * EPS)  # short moves at first
    for width, gone in ((1e-5, True), (1e-2, False)):  # x^4 / 4 - (width x)^2 / 2: a gap of twice this width
        flat = Implicit(
            lambda x: (x**3 - width**2 * x, 3 * x**2 - width**2),  # noqa: B023
            lambda x: x**4 / 4 - (width * x) ** 2 / 2,  # noqa: B023
            0.0,
            1.0,
        )
        found = line._bitangent(flat, -0.02, 0.03, 0.01)
        assert found is None if gone else found == pytest.approx((-width, width), abs=1e-9)


def test_gaps_that_overlap_are_merged(monkeypatch):
    pairs = iter([(0.0, 1.0), None, (0.9, 0.95), (2.0, 3.0), (2.0, 2.5)])
    monkeypatch.setattr(line, "_bitangent", lambda *a: next(pairs))
    gaps = line.contact_gaps(wavy(0.5, 3.0), -5.2, 5.3)
    assert gaps == ((0.0, 1.0), (2.0, 3.0))
    pairs = iter([(3.0, 4.0), (0.0, 1.0), (1.0, 1.5), (1.2, 2.0), None])
    assert line.contact_gaps(wavy(0.5, 3.0), -5.2, 5.3) == ((0.0, 2.0), (3.0, 4.0))


def test_panels_between_gaps():
    x, w, segments, inside, edges = line._panels(-1.0, 4.0, ((0.5, 0.7), (2.0, 3.1)), 0.05)
    ends = [-1.0, 0.5, 0.7, 2.0, 3.1, 4.0]
    assert edges == tuple(pairwise(ends))
    assert np.all(np.diff(x) > 0)
    for k, (start, stop) in enumerate(segments):
        a, b = ends[k], ends[k + 1]
        assert stop - start == 16 * max(2, math.ceil((b - a) / 0.3))
        assert np.all(inside[start:stop] == (k % 2 == 0))
        for power in (0, 5, 12):
            exact = (b ** (power + 1) - a ** (power + 1)) / (power + 1)
            assert np.sum(w[start:stop] * x[start:stop] ** power) == pytest.approx(exact, rel=1e-12)
    assert [s for s, _ in segments] == [0, *(e for _, e in segments[:-1])]
    assert segments[-1][1] == len(x)


def piecewise():
    """A law on (-1, 2) with a gap (0, 1/2): density (x + 1)^2 / 2 on the left, x^3 / c on the right."""
    x, w, segments, inside, edges = line._panels(-1.0, 2.0, ((0.0, 0.5),), 0.03)
    c = (2**4 - 0.5**4) / 4 / (1 - 1 / 6)
    density = np.where(x < 0, (x + 1) ** 2 / 2, np.where(x > 0.5, x**3 / c, 0.0))
    with np.errstate(divide="ignore"):
        log = np.log(density)

    def cdf(t):
        return np.where(t < 0, (t + 1) ** 3 / 6, np.where(t < 0.5, 1 / 6, 1 / 6 + (t**4 - 0.5**4) / 4 / c))

    return NodeLaw(x, w, density, log, segments, ((0.0, 0.5),), edges=edges), cdf


def test_distribution_functions_of_laws_with_gaps():
    law, cdf = piecewise()
    left, right = law.cdf()
    assert law.mass == pytest.approx(1, abs=8 * EPS)
    assert np.max(np.abs(left - cdf(law.x))) <= 1e-14
    assert np.max(np.abs(right - (1 - cdf(law.x)))) <= 1e-14
    mean = (1 / 4 - 1 / 3) / 2 + (2**5 - 0.5**5) / 5 * (1 - 1 / 6) * 4 / (2**4 - 0.5**4)  # of x (x + 1)^2 / 2: -1 / 24
    assert law.mean == pytest.approx(mean, abs=8 * EPS)


def test_distances_of_a_law_with_a_gap():
    q, cdf = piecewise()
    p = line.discretise(GaussianMixture([1.0], [[0.4]], 0.04), None, like=q)
    assert p.gaps == ()
    found = line.divergences(p, q)
    t = np.linspace(-1, 2, 300_001)
    dp, dq = normal(t, 0.4, 0.04), np.interp(t, q.x, q.density)
    dq = np.where(t < 0, (t + 1) ** 2 / 2, np.where(t > 0.5, t**3 / ((2**4 - 0.5**4) / 4 / (1 - 1 / 6)), 0.0))
    fp = stats.norm.cdf(t, 0.4, 0.2)
    assert found.tv == pytest.approx(0.5 * np.trapezoid(np.abs(dp - dq), t), abs=2e-5)
    assert found.w1 == pytest.approx(np.trapezoid(np.abs(fp - cdf(t)), t), abs=1e-8)
    assert found.gap_mass == pytest.approx(stats.norm.cdf(0.5, 0.4, 0.2) - stats.norm.cdf(0.0, 0.4, 0.2), abs=1e-12)
    assert found.kl == math.inf

    # the quantile of q in closed form on both sides of its gap, which is at u = 1/6
    def square(u):
        quantile = (6 * u) ** (1 / 3) - 1 if u < 1 / 6 else (0.5**4 + (u - 1 / 6) * (2**4 - 0.5**4) / (5 / 6)) ** 0.25
        return (stats.norm.ppf(u, 0.4, 0.2) - quantile) ** 2

    w2 = math.sqrt(sum(integrate.quad(square, *ends, epsabs=1e-12, epsrel=1e-12)[0] for ends in ((0, 1 / 6), (1 / 6, 1))))
    assert found.w2 == pytest.approx(w2, rel=1e-10)


@pytest.mark.parametrize("count", [130, 260])
def test_w2_where_the_map_crosses_a_valley_of_the_densities(count, accuracy):
    """Two far modes of other weights: as a function of x the map is a step, hundreds of times narrower than the nodes."""
    p = GaussianMixture([0.2, 0.8], [[-4.2], [4.2]], 1.0)
    q = GaussianMixture([0.25, 0.75], [[-4.0], [4.1]], np.array([1.1, 0.9]))
    x = np.linspace(-15.0, 15.0, count)
    found = line.divergences(line.discretise(p, x), line.discretise(q, x)).w2

    # quantiles by a root finder, integrated over u by adaptive quadrature
    def quantile(law, u):
        spread = np.sqrt(np.ravel(law.covariances) * np.ones(2))
        return optimize.brentq(
            lambda t: law.weights @ stats.norm.cdf((t - law.means[:, 0]) / spread) - u, -20, 20, xtol=1e-13
        )

    square = 0.0
    for low, high in pairwise([1e-13, 1e-6, 1e-3, 0.15, 0.2, 0.25, 0.3, 0.9, 1 - 1e-3, 1 - 1e-6, 1 - 1e-13]):
        square += integrate.quad(lambda u: (quantile(p, u) - quantile(q, u)) ** 2, low, high, epsabs=1e-9, epsrel=1e-9)[0]
    accuracy(
        "output_laws.line.divergences", abs(found / math.sqrt(square) - 1), 1e-9, "quantiles by brentq, adaptive quadrature"
    )


@pytest.mark.parametrize("distance", [9.0, 20.0, 128.0])
def test_total_variation_and_w1_of_far_modes(distance):
    """Both densities vanish between the modes, on many nodes: the areas on either side of a gap have opposite signs."""
    x = np.linspace(-distance - 14.0, distance + 14.0, 40 * int(distance) + 561)
    far = GaussianMixture(None, [[-distance], [distance]], 1.0)
    moved = GaussianMixture([0.499, 0.501], [[-distance], [distance]], 1.0)
    one = GaussianMixture(None, [[0.0]], 1.0)
    found = line.divergences(line.discretise(one, x), line.discretise(far, x))
    assert found.tv == pytest.approx(1.0 - 2 * stats.norm.cdf(-distance / 2), abs=1e-5)
    assert found.w1 == pytest.approx(distance - math.sqrt(2 / math.pi), rel=1e-9)
    # a mass of 1e-3 goes from one mode to the other, 2 distance away
    found = line.divergences(line.discretise(far, x), line.discretise(moved, x))
    assert found.tv == pytest.approx(1e-3, rel=1e-9)
    assert found.w1 == pytest.approx(2e-3 * distance, rel=1e-9)
    # it leaves and arrives some 3 deviations inside the modes
    assert (2 * distance - 8) * math.sqrt(1e-3) < found.w2 < (2 * distance - 5) * math.sqrt(1e-3)


def test_w2_of_a_light_far_mode_is_within_its_printed_error():
    """A mode of mass 5e-13 is left out by W2, and its share of W2^2 is not: the printed error says so."""
    law = GaussianMixture([1 - 5e-13, 5e-13], [[0.0], [1000.0]], 1.0)
    found = line.study(law, schedules.vp_linear(20, eps=1e-3), "euler_maruyama").divergences.w2
    # quantiles by interpolation of log tails, trapezoidal rule in u from 1e-30
    assert abs(found.value - 0.03643538) <= found.error
    assert found.error < 1e-4


def test_splines_of_short_runs():
    for n, order in ((3, 1), (4, 1), (5, 3), (6, 3), (7, 5), (8, 5), (9, 7), (10, 7), (30, 7)):
        x = np.linspace(0.0, 1.3, n)
        law = NodeLaw(x, np.full(n, 1.3 / (n - 1)), x, x, ((0, n),))
        ((start, stop, spline),) = law._splines(x**order)
        assert (start, stop) == (0, n)
        assert spline.k == order
        t = np.linspace(0, 1.3, 11)
        assert spline(t) == pytest.approx(t**order, abs=1e-12)


def test_divergences_of_shifted_laws_with_unequal_widths():
    x = np.linspace(-12.0, 14.0, 1041)
    a, b = GaussianMixture([1.0], [[0.3]], 1.44), GaussianMixture([1.0], [[0.9]], 0.81)
    p, q = line.discretise(a, x), line.discretise(b, x)
    found = line.divergences(p, q)
    kl = 0.5 * (1.44 / 0.81 - 1 - math.log(1.44 / 0.81) + 0.36 / 0.81)
    reverse = 0.5 * (0.81 / 1.44 - 1 - math.log(0.81 / 1.44) + 0.36 / 1.44)
    assert found.kl == pytest.approx(kl, rel=1e-12)
    assert found.reverse_kl == pytest.approx(reverse, rel=1e-12)
    assert found.w2 == pytest.approx(math.sqrt(0.36 + 0.09), rel=1e-9)
    diff = lambda t: abs(stats.norm.pdf(t, 0.3, 1.2) - stats.norm.pdf(t, 0.9, 0.9))  # noqa: E731
    roots = np.roots(
        [0.5 / 0.81 - 0.5 / 1.44, 0.3 / 1.44 - 0.9 / 0.81, 0.405 / 0.81 * 1.0 - 0.045 / 1.44 + math.log(0.9 / 1.2)]
    ).real
    exact = sum(integrate.quad(diff, s, e, epsabs=1e-13)[0] for s, e in zip([-9, *sorted(roots)], [*sorted(roots), 10]))
    assert found.tv == pytest.approx(0.5 * exact, rel=1e-9)
    w1 = integrate.quad(lambda u: abs(-0.6 + 0.3 * stats.norm.ppf(u)), 0, 1, points=[stats.norm.cdf(2.0)], epsabs=1e-12)[0]
    assert found.w1 == pytest.approx(w1, rel=1e-8)
    assert found.gap_mass == 0
    coin = line.mixture([p, q], [0.3, 0.7])
    assert coin.density == pytest.approx(0.3 * p.density + 0.7 * q.density, rel=8 * EPS)
    assert np.exp(coin.log_density) == pytest.approx(coin.density, rel=1e-12)


def test_kl_where_one_density_underflows():
    x = np.linspace(-60.0, 60.0, 4001)
    p, q = (line.discretise(GaussianMixture([1.0], [[m]], 1.0), x) for m in (-19.0, 20.0))
    assert line._kl(p, q) == pytest.approx(39**2 / 2, rel=1e-9)
    assert line._kl(q, p) == pytest.approx(39**2 / 2, rel=1e-9)


def test_boxes_of_implicit_steps():
    """The preimage of an interval under an increasing F, also when it lies outside the first box on either side."""
    step = Implicit(lambda x: (3 * x + 0.5 * np.sin(x), 3 + 0.5 * np.cos(x)), None, 0.0, 1.0)
    for low, high in ((-2.0, 3.0), (-40.0, 3.0), (-2.0, 50.0), (20.0, 50.0), (-70.0, -30.0)):
        a, b = line._preimage(step, low, high, (-1.5, 1.0))
        fa, fb = step.forward(np.array([a, b]))[0]
        assert fa <= low
        assert fb >= high
        assert fa > low - 0.1 * (high - low) - 0.5
        assert fb < high + 0.1 * (high - low) + 0.5
    bent = Implicit(lambda x: (x - 3 * np.sin(x), None), None, 0.0, 1.0)  # falls in places: the last crossings count
    a, b = line._preimage(bent, -2.0, 2.5, (-9.0, 9.0))
    x = np.linspace(-30, 30, 60001)
    force = bent.forward(x)[0]
    assert np.all(force[x < a] <= -2.0)
    assert np.all(force[x > b] >= 2.5)
    assert force[(x > a + 0.1) & (x < a + 0.3)].max() > -2.0
    assert force[(x < b - 0.1) & (x > b - 0.3)].min() < 2.5
    with pytest.raises(QuadratureError, match="box"):
        line._preimage(Implicit(lambda x: (np.tanh(x), None), None, 0.0, 1.0), -2.0, 2.0, (-1.0, 1.0))
    assert line._last_run(np.array([0, 1, 2, 5, 6])) == 2
    assert line._last_run(np.array([0, 1, 2, 5, 6, 9])) == 2
    assert line._last_run(np.array([0, 1, 2])) == 2
    assert line._first_run(np.array([2, 3, 7, 8, 9]), 10) == 7
    assert line._first_run(np.array([7, 8, 9]), 10) == 7
    assert line._union((0.0, 3.0), (1.0, 2.0)) == (0.0, 3.0)
    assert line._union((1.0, 2.0), (0.0, 3.0)) == (0.0, 3.0)


def test_smallest_jacobian_between_the_nodes():
    step = Implicit(lambda x: (None, (x - 0.37) ** 2 + 0.1), None, 0.0, 1.0)
    x = np.linspace(-1, 1, 9)
    where, value = line._lowest(step, x, step.forward(x)[1])
    assert where == pytest.approx(0.37, abs=0.005)
    assert value == pytest.approx(0.1, abs=1e-4)
    for end in (0, -1):  # at an end only one neighbour exists
        slope = np.ones(9)
        slope[end] = 0.5
        rising = Implicit(lambda t: (None, 0.7 + np.abs(t - x[end])), None, 0.0, 1.0)  # noqa: B023
        assert line._lowest(rising, x, slope) == (x[end], 0.5)


def test_deterministic_steps_move_the_nodes():
    law = line.discretise(GaussianMixture([1.0], [[0.2]], 0.5), np.linspace(-6, 7, 261))
    move = Explicit(lambda y: (y + 0.3 * np.sin(y) + 1.0, 1 + 0.3 * np.cos(y)), 0.0)
    new, report = line._move(3, law, move, None)
    assert np.array_equal(new.x, move.mean(law.x)[0])
    assert new.density * (1 + 0.3 * np.cos(law.x)) == pytest.approx(law.density, rel=8 * EPS)
    assert np.exp(new.log_density) == pytest.approx(new.density, rel=1e-12)
    assert (report.nodes, report.low, report.high) == (261, new.x[0], new.x[-1])
    assert report.h == np.max(np.diff(new.x))
    assert report.jacobian == pytest.approx(np.min(1 + 0.3 * np.cos(law.x)))
    twice, _ = line._move(4, new, move, None)
    assert np.array_equal(twice.parameter, law.x)
    assert twice.stretch == pytest.approx(move.mean(new.x)[1] * move.mean(law.x)[1], rel=8 * EPS)
    left, right = twice.cdf()
    assert left == pytest.approx(stats.norm.cdf(law.x, 0.2, math.sqrt(0.5)), abs=1e-13)
    assert right == pytest.approx(stats.norm.sf(law.x, 0.2, math.sqrt(0.5)), abs=1e-13)
    fold = Explicit(lambda y: (y * y, 2 * y), 0.0)
    with pytest.raises(AssumptionViolated) as caught:
        line._move(3, law, fold, None)
    assert (caught.value.step, caught.value.location, caught.value.jacobian) == (3, -6.0, -12.0)
    flat = Explicit(lambda y: (y, np.where(y == law.x[5], 0.0, 1.0)), 0.0)
    with pytest.raises(AssumptionViolated):
        line._move(0, law, flat, None)
    with pytest.raises(AssumptionViolated) as caught:
        line._move(2, piecewise()[0], move, None)
    assert (caught.value.step, caught.value.location, caught.value.jacobian) == (2, 0.0, 0.0)


def test_error_estimates_follow_their_formula():
    law, grid = GaussianMixture([0.3, 0.7], [[-1.0], [0.8]], np.array([0.3, 0.2])), schedules.vp_linear(9, 0.3, 2.1)
    found = line.study(law, grid, "proximal_hybrid")
    coarse, fine = (line.propagate(law, grid, "proximal_hybrid", refine=r) for r in (1.0, 2.0))
    a, b = (line.divergences(r.target, r.law) for r in (coarse, fine))
    assert np.array_equal(found.propagation.law.x, fine.law.x)
    eps, width = 8 * EPS * 3.0, fine.law.x[-1] - fine.law.x[0]
    rounding = {
        "kl": eps * math.sqrt(2 * b.kl),
        "reverse_kl": eps * math.sqrt(2 * b.reverse_kl),
        "tv": eps,
        "w1": eps * width,
        "w2": eps * width + (2e-12 * 100 * b.w2**2 + 2 * line._tails(fine.target, fine.law)) / b.w2,
        "gap_mass": eps,
    }
    for name, slack in rounding.items():
        measured = getattr(found.divergences, name)
        assert measured.value == getattr(b, name)
        assert measured.error == pytest.approx(abs(getattr(a, name) - getattr(b, name)) + slack, rel=1e-12)
        assert float(measured) == measured.value
    narrow = line.study(GaussianMixture([1.0], [[2.0]], 1e-3), schedules.vp_linear(8, 3.0, 3.0), "proximal_hybrid")
    assert narrow.propagation.unresolved > math.exp(-line.DEPTH / 2)
    assert narrow.divergences.kl.error == math.inf
    assert narrow.divergences.tv.error < 1e-6
    apart = GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], 0.1)
    gaps = line.study(apart, schedules.vp_linear(24, 3.0, 3.0), "proximal_hybrid", nonconvex="contact")
    assert gaps.divergences.kl == line.Measured(math.inf, 0.0)
    assert 0 <= gaps.propagation.unresolved < 1e-6
    assert gaps.propagation.violated == tuple(i for i, s in enumerate(gaps.propagation.steps) if s.gaps)
    for name in ("refine", "nodes"):
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            line.study(law, grid, "ddpm", **LARGE, **{name: 2.0})


def test_error_estimates_without_a_difference(monkeypatch):
    """Both runs give the same values: what is left is the rounding, and an infinity of one run alone is no value."""
    law, grid = GaussianMixture([0.3, 0.7], [[-1.0], [0.8]], np.array([0.3, 0.2])), schedules.vp_linear(9, 0.3, 2.1)
    values = {"kl": 0.02, "reverse_kl": 0.03, "tv": 0.1, "w1": 0.2, "w2": 0.3, "gap_mass": 0.0}

    class Same(line.Divergences):
        _w2_and_slope = (0.09, 0.7)

    monkeypatch.setattr(line, "divergences", lambda p, q: Same(**values))
    found = line.study(law, grid, "proximal_hybrid")
    eps, width = 8 * EPS * 3.0, found.propagation.law.x[-1] - found.propagation.law.x[0]
    rounding = {
        "kl": eps * math.sqrt(2 * 0.02),
        "reverse_kl": eps * math.sqrt(2 * 0.03),
        "tv": eps,
        "w1": eps * width,
        "w2": eps * width
        + (2e-12 * 100 * 0.09 + 2 * line._tails(found.propagation.target, found.propagation.law) + eps * 0.7) / 0.3,
        "gap_mass": eps,
    }
    for name, slack in rounding.items():
        assert getattr(found.divergences, name).error == pytest.approx(slack, rel=1e-9, abs=0)
    calls = iter([math.inf, 0.5])
    monkeypatch.setattr(line, "divergences", lambda p, q: Same(**{**values, "reverse_kl": next(calls)}))
    assert line.study(law, grid, "proximal_hybrid").divergences.reverse_kl == line.Measured(0.5, math.inf)


def test_mass_that_moves_between_far_modes_is_priced_by_the_potential():
    """W2 of two laws, and of the same laws with a mass of 1e-9 moved from one mode to the other, 40 deviations apart."""
    x = np.linspace(-30.0, 30.0, 20001)
    p = line.discretise(GaussianMixture([0.5, 0.5], [[-20.0], [20.0]], 1.0), x)
    moved = []
    for part in (0.5, 0.5 + 1e-9):
        q = line.discretise(GaussianMixture([part, 1 - part], [[-19.9], [20.1]], 1.1), x)
        moved.append(line._squared_w2(p, q))
    change = abs(moved[1][0] - moved[0][0])
    # 1 %: the second order in the moved mass; 1e-12: rounding of both sums, of the size W2^2 = .01
    assert change <= 1e-9 * moved[0][1] * 1.01 + 1e-12
    assert change >= 0.1 * 1e-9 * moved[0][1]  # the price is of the right size


def test_kl_is_an_upper_bound_where_more_mass_is_unresolved_than_rounding_would_be(monkeypatch):
    """The limit is e^-25 = 1.389e-11 of the true law's mass."""
    law, grid = GaussianMixture([1.0], [[0.4]], 0.3), schedules.vp_linear(4, 0.3, 2.1)
    for mass, known in ((1.38e-11, True), (1.40e-11, False)):
        monkeypatch.setattr(line.Propagation, "unresolved", property(lambda self, mass=mass: mass))
        found = line.study(law, grid, "proximal_hybrid").divergences
        assert (found.kl.error < math.inf) == known
        assert found.tv.error < math.inf


def test_distances_after_a_common_map():
    """Total variation does not see a smooth map of both laws; W1 of the images by quadrature of the two quantiles."""
    x = np.linspace(-9.0, 10.0, 761)
    laws = [line.discretise(GaussianMixture([1.0], [[m]], v), x) for m, v in ((0.3, 1.44), (0.9, 0.81))]

    def image(y):
        return y + 0.3 * np.sin(y) + 1.0

    move = Explicit(lambda y: (image(y), 1 + 0.3 * np.cos(y)), 0.0)
    before = line.divergences(*laws)
    after = line.divergences(*(line._move(0, law, move, None)[0] for law in laws))
    # the splines of order 7 interpolate densities with and without the map's slope: about (h / width)^8 each
    assert after.tv == pytest.approx(before.tv, rel=1e-9)
    assert after.kl == pytest.approx(before.kl, rel=1e-12)
    distance = integrate.quad(
        lambda u: abs(image(0.3 + 1.2 * stats.norm.ppf(u)) - image(0.9 + 0.9 * stats.norm.ppf(u))),
        0,
        1,
        points=[stats.norm.cdf(2.0)],
        epsabs=1e-11,
        limit=400,
    )[0]
    assert after.w1 == pytest.approx(distance, rel=1e-7)


# ------------------------------------------------------------------------------------------------- Langevin on a line


def test_nodes_of_langevin_chains():
    a, b = GaussianMixture([1.0], [[0.5]], 1.0), GaussianMixture([1.0], [[-3.0]], 4.0)
    x = langevin.line_nodes(a, step=0.3)
    assert (x[0], x[-1]) == pytest.approx((-9.5, 10.5))
    assert len(x) == math.ceil(20 / 0.3) + 1
    x = langevin.line_nodes(a, b, step=0.3, pad=0.7)
    assert (x[0], x[-1]) == pytest.approx((-23.7, 17.7))
    assert np.max(np.diff(x)) <= 0.3 + 1e-12
    assert np.max(np.diff(x)) > 0.29
    for step in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"^step\b"):
            langevin.line_nodes(a, step=step)
    assert langevin.line_nodes(a, step=0.5)[1] == pytest.approx(-9.0)
    with pytest.raises(ValueError, match=r"^step: got 1e-09; expected at least \S+, for 400000 nodes"):
        langevin.line_nodes(a, step=1e-9)
    with pytest.raises(ValueError, match=r"^nodes\b.* = 0\.0707 apart"):  # sqrt(2 h) / 2 for h = .01
        langevin.ula(a, None, 0.01, (1,), np.linspace(-9, 9, 9))


@pytest.mark.parametrize("chain", ["ula", "proximal_sampler"])
def test_langevin_chains_of_a_gaussian(chain):
    """Autoregressions: means and variances in closed form; started as a law or as a law on nodes."""
    v, m0, s0, h = 0.6, 1.1, 0.3, 0.25
    target, start = GaussianMixture([1.0], [[-0.4]], v), GaussianMixture([1.0], [[m0]], s0)
    x = langevin.line_nodes(target, start, step=0.1, pad=2.0)
    found = getattr(langevin, chain)(target, start, h, (0, 1, 4, 4), x)
    m, s, k = m0, s0, 0
    for q, count in zip(found, (0, 1, 4, 4), strict=True):
        while k < count:
            if chain == "ula":
                a = 1 - h / v
                m, s = -0.4 + a * (m + 0.4), a * a * s + 2 * h
            else:  # y = x + sqrt(h) z, then x given y: mean (h mu + v y) / (v + h), variance v h / (v + h)
                a = v / (v + h)
                m, s = -0.4 + a * (m + 0.4), a * a * (s + h) + v * h / (v + h)
            k += 1
        assert q.density == pytest.approx(normal(x, m, s), abs=1e-13)
        assert q.mass == pytest.approx(1, abs=1e-13)
    again = getattr(langevin, chain)(target, found[1], h, (3,), x)[0]
    assert again.density == pytest.approx(found[2].density, abs=1e-13)
    spacing = (math.sqrt(2 * h) if chain == "ula" else math.sqrt(h)) / 2
    n = math.ceil((x[-1] - x[0]) / spacing) + 1
    getattr(langevin, chain)(target, start, h, (1,), np.linspace(x[0], x[-1], n))
    for nodes, name in ((np.linspace(x[0], x[-1], n - 1), "nodes"), (np.linspace(-1.5, 2.5, 200), "nodes")):
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            getattr(langevin, chain)(target, start, h, (1,), nodes)
    for arguments, name in (((0.0, (1,)), "h"), ((-1.0, (1,)), "h"), ((h, (-1,)), "steps")):
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            getattr(langevin, chain)(target, start, *arguments, x)


def test_langevin_diffusion_of_a_gaussian():
    """Ornstein-Uhlenbeck: eigenvalues k / v and Gaussian laws at all times, with errors of order (spacing)^2."""
    v, m0, s0, t = 0.6, 0.7, 0.3, 0.45
    target, start = GaussianMixture([1.0], [[-0.4]], v), GaussianMixture([1.0], [[m0]], s0)
    gaps, moments = [], []
    for step in (0.05, 0.025):
        x = langevin.line_nodes(target, start, step=step)
        chain = langevin.Diffusion(target, x)
        assert np.all(np.abs(chain.eigenvalues[1:4] * v - [1, 2, 3]) < 10 * step**2)
        assert abs(chain.eigenvalues[0]) < 1e-9
        assert chain.gap == chain.eigenvalues[1]
        q = chain.law(start, t)
        mean, variance = q.mean, q.variance
        gaps.append(chain.gap * v - 1)
        moments.append((mean - (-0.4 + math.exp(-t / v) * (m0 + 0.4)), variance - (v + math.exp(-2 * t / v) * (s0 - v))))
        assert q.mass == pytest.approx(1, abs=1e-9)
        assert chain.law(start, 0).density == pytest.approx(normal(x, m0, s0), abs=1e-9)
        assert chain.law(chain.law(start, 0.2), t - 0.2).density == pytest.approx(q.density, abs=1e-9)
        assert chain.law(start, 60.0).density == pytest.approx(normal(x, -0.4, v), abs=1e-9)
        assert chain.stationary().density == pytest.approx(normal(x, -0.4, v), rel=1e-12)
    for coarse, fine in ((gaps[0], gaps[1]), *zip(*moments)):
        assert coarse / fine == pytest.approx(4, rel=0.1)
    with pytest.raises(ValueError, match=r"^t\b"):
        chain.law(start, -0.1)


# ------------------------------------------------------------------------------------------------------------ budgets


def reference(mu, S, grid, scheme, integrand):
    """Sum over the steps of int_0^g 1/2 E_{p_t} |...|^2 ds by adaptive quadrature, for the target N(mu, S)."""
    total = 0.0
    for i in range(grid.N):
        g, time = float(grid.g[i]), float(grid.integral[i])

        def level(t):
            a = math.exp(-t / 2)
            return a * mu, a * a * S - math.expm1(-t)

        def inner(s):
            m, v = level(time - s)  # noqa: B023
            return 0.5 * integrand(s, m, v, *level(time), *level(time - g))  # noqa: B023

        total += integrate.quad(inner, 0, g, epsabs=1e-14, epsrel=1e-12)[0]
    return total


def test_budgets_of_gaussian_targets():
    """All fields are affine in x: expectations in closed form, time by adaptive quadrature."""
    mu, S, grid = 0.8, 0.45, UNEVEN
    law = GaussianMixture([1.0], [[mu]], S)

    def square(slope, value, v):
        """E of an affine function with this slope and this value at the mean."""
        return slope**2 * v + value**2

    def backward(s, m, v, mk, vk, me, ve):
        J = 1 - s / 2 + s / ve
        slope = 0.5 * (J - 1) - 0.5 * (J - 1) ** 2 / J / v + (-1 / v + 1 / ve)
        return square(slope, 0.5 * (J - 1) * m - (me - m) / ve, v)

    def euler(s, m, v, mk, vk, me, ve):
        a, b = math.exp(-s / 2), -math.expm1(-s)  # y = a x + sqrt(b) z
        slope, noise = 0.5 * (1 - a) - 1 / v + a / vk, -0.5 + 1 / vk
        return square(slope, 0.5 * (1 - a) * m + (a * m - mk) / vk, v) + noise**2 * b

    def hybrid(s, m, v, mk, vk, me, ve):
        a, b, J = math.exp(-s / 2), -math.expm1(-s), 1 + s / ve
        slope = 0.5 * (1 - a) + 0.5 * (J - 1) - 0.5 * (J - 1) ** 2 / J / v - 1 / v + 1 / ve
        value = 0.5 * (1 - a) * m + 0.5 * (J - 1) * m - (me - m) / ve
        return square(slope, value, v) + (0.5 * math.sqrt(b) + 0.5 * (J - 1 / J) * a / math.sqrt(b)) ** 2

    exact = reference(mu, S, grid, None, backward)
    found = budgets.budget(law, grid)
    assert found.total == pytest.approx(exact, rel=1e-8)
    assert found.initial == 0.0
    assert found.total == pytest.approx(np.sum(found.steps), rel=8 * EPS)
    for scheme, field in (("euler_maruyama", euler), ("proximal_hybrid", hybrid)):
        exact = reference(mu, S, grid, None, field)
        assert budgets.conditional_budget(law, grid, scheme).total == pytest.approx(exact, rel=1e-8)
    m, v = math.exp(-grid.integral[0] / 2) * mu, math.exp(-grid.integral[0]) * S - math.expm1(-grid.integral[0])
    first = 0.5 * (v - 1 - math.log(v) + m * m)
    for result in (
        budgets.budget(law, grid, "normal"),
        budgets.conditional_budget(law, grid, "proximal_hybrid", "normal"),
        budgets.trajectory_kl(law, grid, "proximal_backward", "normal"),
    ):
        assert result.initial == pytest.approx(first, rel=1e-11)
        assert result.total == pytest.approx(first + np.sum(result.steps), rel=1e-12)


@pytest.mark.parametrize("mean", [-7.0, 7.0])
def test_initial_term_far_from_the_normal_law(mean):
    first, v = line.Level(GaussianMixture([1.0], [[mean]], 0.45), 0.8, 0.6), 0.64 * 0.45 + 0.36
    exact = 0.5 * (v - 1 - math.log(v) + (0.8 * mean) ** 2)
    assert budgets._initial(first, "normal") == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("scheme", ["euler_maruyama", "proximal_hybrid"])
def test_posterior_budgets_of_gaussian_targets(scheme):
    mu, S, grid = 0.8, 0.45, UNEVEN[1:]
    law = GaussianMixture([1.0], [[mu]], S)
    states = gaussian(scheme, [mu], [S], grid, all_steps=True)
    total = midpoint = 0.0
    for i in range(grid.N):
        g, time = float(grid.g[i]), float(grid.integral[i])
        qm, qv = float(states.mean[i, 0]), float(states.cov[i, 0])
        level = lambda t: (math.exp(-t / 2) * mu, math.exp(-t) * S - math.expm1(-t))  # noqa: E731
        (mk, vk), (me, ve) = level(time), level(time - g)

        def inner(s):
            m, v = level(time - s)  # noqa: B023
            value, slope = [], None
            for x in (m, m + 1):
                if scheme == "euler_maruyama":  # X_s = y + s f(y) + sqrt(s) z, f affine: y given X_s
                    b = 0.5 - 1 / vk  # noqa: B023
                    f0 = mk / vk  # noqa: B023
                    A = 1 + s * b
                    y = qm + qv * A / (A * A * qv + s) * (x - A * qm - s * f0)  # noqa: B023
                    value.append(x / 2 - (x - m) / v - (b * y + f0))
                else:  # J X_s - s me / ve = (1 + s / 2) y + sqrt(s) z
                    J, A = 1 + s / ve, 1 + s / 2  # noqa: B023
                    y = qm + qv * A / (A * A * qv + s) * (J * x - s * me / ve - A * qm)  # noqa: B023
                    velocity, _ = bound.interpolating_process(
                        s,
                        np.array([x]),
                        np.array([-(x - me) / ve]),  # noqa: B023
                        np.array([-1 / ve]),  # noqa: B023
                        np.zeros(1),
                        scheme,
                        np.array([y]),
                    )
                    value.append(J * (x / 2 - (x - m) / v - float(velocity[0]) + 0.5 * (1 - J**-2) * (x - m) / v))
            slope = value[1] - value[0]
            return 0.5 * (slope**2 * v + value[0] ** 2)

        total += integrate.quad(inner, 0, g, epsabs=1e-14, epsrel=1e-11)[0]
        midpoint += g * inner(g / 2)
    assert budgets.posterior_budget(law, grid, scheme).total == pytest.approx(total, rel=1e-6)
    assert budgets.posterior_budget(law, grid, scheme, order=1).total == pytest.approx(midpoint, rel=1e-6)


@pytest.mark.parametrize(
    "scheme", ["euler_maruyama", "exponential_integrator", "ddpm", "proximal_hybrid", "proximal_backward"]
)
@pytest.mark.parametrize(("mu", "S", "grid"), [(0.8, 0.45, UNEVEN), (0.4, 0.05, schedules.vp_linear(8, 0.3, 8.0))])
def test_trajectory_kl_of_gaussian_targets(scheme, mu, S, grid, monkeypatch):
    """Every conditional law is Gaussian: E_y of the KL of two lines in y. Coarse steps leave the reach of the true law."""
    law, expected = GaussianMixture([1.0], [[mu]], S), []
    for i in range(grid.N):
        g = float(grid.g[i])
        (mk, vk), (me, ve) = ((grid.scale[j] * mu, grid.scale[j] ** 2 * S + grid.sigma[j] ** 2) for j in (i, i + 1))
        a = math.exp(-g / 2)
        gain, left = a * ve / vk, ve * -math.expm1(-g) / vk  # x given y: me + gain (y - mk), variance left
        if scheme.startswith("prox"):
            J = (1.0 if scheme == "proximal_hybrid" else 1 - g / 2) + g / ve
            slope, at, spread = (1 + g / 2 if scheme == "proximal_hybrid" else 1.0) / J, 0.0, g / J**2
            at = slope * mk + g * me / ve / J
        else:
            step = line.SCHEMES[scheme](line.Level(law, grid.scale[i], grid.sigma[i]), line.Level(law), g, **options(scheme))
            value, jacobian = step.mean(np.array([mk]))
            at, slope, spread = float(value[0]), float(jacobian[0]), step.variance
        miss = (at - me) ** 2 + (slope - gain) ** 2 * vk
        expected.append(0.5 * (left / spread - 1 - math.log(left / spread) + miss / spread))
    found = budgets.trajectory_kl(law, grid, scheme, **options(scheme))
    assert found.steps == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr(budgets, "BLOCK", 500)
    assert budgets.trajectory_kl(law, grid, scheme, **options(scheme)).total == pytest.approx(found.total, rel=64 * EPS)


def test_trajectory_kl_where_the_poles_of_the_score_are_near():
    """Modes far apart and a long step: E_y KL(p(x | y) || N(m(y), c)) as a dense double sum without a rule for its nodes."""
    law, grid, i = GaussianMixture([0.4, 0.6], [[-3.0], [3.0]], 0.3), schedules.vp_linear(3, 0.3, 8.0), 1
    g, (before, after) = float(grid.g[i]), (line.Level(law, grid.scale[j], grid.sigma[j]) for j in (i, i + 1))
    step, spread = line.SCHEMES["ddpm"](before, after, g, **LARGE), math.sqrt(-math.expm1(-g))
    x, z = np.linspace(-10.0, 10.0, 1001), np.linspace(-9.0, 9.0, 901)
    y = math.exp(-g / 2) * x[:, np.newaxis] + spread * z
    log_xz = after.log_density(x)[:, np.newaxis] + np.log(normal(z, 0.0, 1.0))
    log_y, mean = (f.reshape(y.shape) for f in (before.log_density(y.ravel()), step.mean(y.ravel())[0]))
    drawn = np.log(normal(x[:, np.newaxis], mean, step.variance))
    exact = (x[1] - x[0]) * (z[1] - z[0]) * np.sum(np.exp(log_xz) * (log_xz - math.log(spread) - log_y - drawn))
    # rounding of the two sums; with poles left out of the rule for z the value is 5e-10 off
    assert budgets.trajectory_kl(law, grid, "ddpm", **LARGE).steps[i] == pytest.approx(exact, rel=1e-11)


def test_excess_of_the_exponential():
    delta = np.array([-50.0, -1.0, -2e-3, -1.0000001e-3, -0.9999999e-3, -3e-6, 0.0, 1e-9, 9.99e-4, 1.01e-3, 0.3, 4.0, 700.0])
    with mp.workdps(40):
        exact = np.array([float(mp.expm1(mp.mpf(float(min(d, 600.0)))) - mp.mpf(float(d))) for d in delta])
    assert budgets._excess(delta) == pytest.approx(exact, rel=2e-12, abs=0)
    small = np.abs(delta) < 1e-3
    assert budgets._excess(delta)[small] == pytest.approx(exact[small], rel=1e-14, abs=0)  # left out: d^4 / 360


def test_budget_refuses_maps_that_fold():
    law, grid = GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], 0.1), schedules.vp_linear(20, 3.0, 3.0)
    x = np.linspace(-1, 1, 2001)
    top = [np.max(line.Level(law, s, t).curvature(x)) for s, t in zip(grid.scale[1:], grid.sigma[1:])]
    hybrid, backward = 1 - grid.g * top, 1 - grid.g / 2 - grid.g * top
    for call, jacobian in (
        (lambda: budgets.budget(law, grid), backward),
        (lambda: budgets.conditional_budget(law, grid, "proximal_hybrid"), hybrid),
        (lambda: budgets.trajectory_kl(law, grid, "proximal_backward"), backward),
    ):
        with pytest.raises(AssumptionViolated) as caught:
            call()
        first = int(np.argmax(jacobian <= 0))
        assert caught.value.step == first
        assert jacobian[first] <= caught.value.jacobian <= 0.9 * jacobian[first]
        assert abs(caught.value.location) < 0.3
    x = np.array([1.0, 2.0, 3.0])
    budgets._positive(4, x, np.array([0.3, 1e-300, 0.2]))
    with pytest.raises(AssumptionViolated) as caught:
        budgets._positive(4, x, np.array([0.3, 0.0, 0.2]))
    assert (caught.value.step, caught.value.location, caught.value.jacobian) == (4, 2.0, 0.0)


def test_nodes_of_the_budgets_follow_the_rule():
    one, two = (line.Level(GaussianMixture([1.0], [[m]], v)) for m, v in ((0.3, 0.45), (-0.2, 0.02)))
    x, h = budgets._quadrature(one, two)
    low, high = 0.3 - math.sqrt(45), 0.3 + math.sqrt(45)
    assert (x[0], x[-1]) == pytest.approx((low, high))
    assert len(x) == math.ceil((high - low) / (0.6 * math.sqrt(0.02))) + 1
    assert h == pytest.approx(x[1] - x[0], rel=1e-12)
    modes = line.Level(GaussianMixture(None, [[-1.0], [1.0]], 0.1))
    x, h = budgets._quadrature(modes)
    assert h == pytest.approx(0.2 * math.pi * 0.1 / 2, rel=0.02)
    assert len(budgets._quadrature(line.Level(GaussianMixture([1.0], [[0.0]], 1.0)))[0]) == 65


def test_finer_grid_laws_and_posterior_means(monkeypatch):
    x = np.linspace(-7.0, 8.0, 151)
    q = line.discretise(GaussianMixture([1.0], [[0.4]], 0.6), x)
    y, log = budgets._finer(q, 5)
    assert len(y) == 751
    assert y[::5] == pytest.approx(x, abs=1e-12)
    assert log == pytest.approx(np.log(normal(y, 0.4, 0.6)), abs=1e-9)
    with pytest.raises(AssumptionViolated) as caught:
        budgets._finer(piecewise()[0], 2)
    assert (caught.value.step, caught.value.location, caught.value.jacobian) == (0, 0.0, 0.0)
    at = np.linspace(-2, 3, 40)  # y ~ N(.4, .6), at = 1.3 y + sqrt(.25) z
    exact = 0.4 + 0.6 * 1.3 / (1.69 * 0.6 + 0.25) * (at - 1.3 * 0.4)
    for block in (1 << 17, 100):
        monkeypatch.setattr(budgets, "BLOCK", block)
        assert budgets._posterior_mean(at, 1.3 * y, log, 0.25, y) == pytest.approx(exact, abs=1e-9)


def test_curvature_integrals_of_a_gaussian():
    S, c = 0.45, 0.7
    law = GaussianMixture([1.0], [[0.8]], S)
    for end, horizon in ((0.0, 2.0), (0.3, 1.7)):
        exact = integrate.quad(lambda t: (c - 1 / (math.exp(-t) * S - math.expm1(-t))) ** 2, end, horizon, epsabs=1e-13)[0]
        assert budgets.curvature_integral(law, horizon, c, end=end) == pytest.approx(exact, rel=1e-10)
        assert budgets.curvature_integral(law, horizon, c, end=end, order=12) == pytest.approx(exact, rel=1e-6)
    for options, name in (({"horizon": 0.0}, "horizon"), ({"horizon": -0.5}, "horizon"), ({"order": 1}, "order")):
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            budgets.curvature_integral(law, **{"horizon": 1.0, "c": c, **options})
    for call in (budgets.budget, lambda *a, **k: budgets.conditional_budget(*a, "proximal_hybrid", **k)):
        with pytest.raises(ValueError, match=r"^order\b"):
            call(law, UNEVEN, order=0)
        assert call(law, UNEVEN, order=1).total > 0
    with pytest.raises(ValueError, match=r"^inside\b"):
        budgets.budget(law, UNEVEN, inside="middle")
    with pytest.raises(ValueError, match=r"^start\b"):
        budgets.budget(law, UNEVEN, "zero")


@pytest.mark.parametrize("scheme", ["proximal_hybrid", "proximal_backward"])
def test_implicit_step_has_its_own_slope_and_potential(scheme):
    """F(b) - F(a) is the integral of F', U(b) - U(a) that of F; 20 Gauss nodes on intervals far from F's poles are exact."""
    step = line.SCHEMES[scheme](line.Level(THREE, 0.5, 0.8), line.Level(THREE, 0.8, 0.4), 0.3)
    edges = np.linspace(-3.0, 3.0, 31)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, np.newaxis] / 2
    force, slope = step.forward((edges[:-1, np.newaxis] + half * (1 + nodes)).ravel())
    ends = step.forward(edges)[0]
    for values, at_ends in ((slope, ends), (force, step.potential(edges))):
        integral = (half * values.reshape(-1, 20)) @ weights
        assert np.max(np.abs(integral - np.diff(at_ends))) <= 64 * EPS * (1 + np.max(np.abs(at_ends)))


def _over_time(f, g, v):
    """Integral of f over (0, g) by SciPy, on pieces that halve their distance from either end down to v."""
    near = v * 2.0 ** np.arange(0, math.log2(g / v))
    edges = np.unique(np.concatenate([[0.0, g / 2, g], near[near < g / 2], g - near[near < g / 2]]))
    return math.fsum(integrate.quad(f, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in pairwise(edges))


@pytest.mark.parametrize("v", [0.5, 1e-2, 1e-5])
def test_budgets_find_the_end_of_a_step_that_is_long_against_the_variance(v, accuracy):
    """On N(0, v) error fields are linear: what is left are integrals over s, from the formulas of the docstrings."""
    law, N, T = GaussianMixture([1.0], [[0.0]], v), 3, 0.9
    g, t = T / N, np.linspace(T, 0.0, N + 1)
    grid = schedules.Grid(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
    variance = lambda t: v + (1 - v) * -math.expm1(-t)  # noqa: E731

    def backward(time, s):
        V, end = variance(time - s), variance(time - g)
        J = 1 - s / 2 + s / end
        return 0.5 * V * (0.5 * (J - 1) - 0.5 * (J - 1) ** 2 / (J * V) - 1 / V + 1 / end) ** 2

    def euler(time, s):
        V, own = variance(time - s), 0.5 - 1 / variance(time - s)
        other = 1 / variance(time) - 0.5
        return 0.5 * ((own + other * math.exp(-s / 2)) ** 2 * V + other**2 * -math.expm1(-s))

    for name, field, found in (
        ("budget", backward, budgets.budget(law, grid)),
        ("conditional_budget", euler, budgets.conditional_budget(law, grid, "euler_maruyama")),
    ):
        exact = [_over_time(lambda s, t=t, f=field: f(t, s), g, v) for t in t[:-1]]
        # six nodes on panels as long as their distance from a pole: 5.8^-12 = 7e-10
        accuracy(f"papers.proximal.budgets.{name}", np.abs(found.steps / exact - 1), 1e-8, "Gaussian, quadrature over time")
    exact = _over_time(lambda t: (0.5 - 1 / variance(t)) ** 2, T, v)
    found = budgets.curvature_integral(law, T, 0.5)
    accuracy("papers.proximal.budgets.curvature_integral", abs(found / exact - 1), 1e-11, "Gaussian, quadrature over time")


def test_budgets_refuse_what_needs_too_many_nodes():
    law = GaussianMixture(None, [[0.0], [300.0]], 1e-4)
    one = schedules.Grid(np.exp([-0.1, 0.0]), np.sqrt(-np.expm1([-0.2, 0.0])))
    for call in (
        lambda: budgets.curvature_integral(law, 1.0, 0.5),
        lambda: budgets.conditional_budget(law, one, "euler_maruyama"),
    ):
        with pytest.raises(QuadratureError, match="nodes"):
            call()
    with pytest.raises(ValueError, match="end: got 0"):
        budgets.curvature_integral(GaussianMixture([1.0], [[0.0]], 0.0), 1.0, 0.5)
