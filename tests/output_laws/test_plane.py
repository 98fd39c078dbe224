"""The plane, the radius and subspaces with nothing symmetric or equal to one: against the recursions of Gaussian laws.

Means off the origin, full covariances, a start far from the target and uneven steps, so that an exchanged axis, a missing
factor or a box that is too small shows. The rules for boxes and nodes are written here a second time.
"""

import math

import numpy as np
import pytest
from scipy import stats

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.distances.gaussian import gaussian_kl
from exactdiffusion.output_laws import gaussian, line, radial, subspace
from exactdiffusion.output_laws import plane as tensor
from exactdiffusion.output_laws.line import AssumptionViolated, QuadratureError

EPS = float(np.finfo(float).eps)
STOCHASTIC = ["euler_maruyama", "exponential_integrator", "ddpm", "proximal_hybrid", "proximal_backward"]
MEAN, COV = np.array([1.1, -0.7]), np.array([[0.9, 0.25], [0.25, 0.35]])
SLANTED = GaussianMixture([1.0], [MEAN], COV[np.newaxis])
UNEVEN = schedules.vp_linear(5, 0.3, 2.1)
COARSE = schedules.vp_linear(2, 0.2, 0.8)
PAIR = GaussianMixture([0.3, 0.7], [[-0.6, 0.5], [0.7, -0.2]], np.array([[[0.5, 0.1], [0.1, 0.8]]] * 2))

#: the ancestral sampler whose every step has the variance 1 - e^-g
LARGE = {"variance": "large", "last_noise": True}


def options(scheme):
    return LARGE if scheme == "ddpm" else {}


def exact(scheme, mean, cov, grid, start="exact", **more):
    """Mean and covariance of the output, from the recursions in the eigenbasis."""
    begin = (None, None) if start == "exact" else (np.zeros(len(mean)), np.ones(len(mean)))
    return gaussian(scheme, mean, cov, grid, *begin, **options(scheme), **more)


# ------------------------------------------------------------------------------------------------------ the plane


@pytest.mark.parametrize("start", ["exact", "normal"])
@pytest.mark.parametrize("scheme", STOCHASTIC)
def test_plane_density_of_a_slanted_gaussian(scheme, start):
    for grid in (UNEVEN, COARSE):  # after two steps from N(0, I) the law is still far from the target: a box of its own
        run = tensor.propagate(SLANTED, grid, scheme, start, **options(scheme))
        m, V = exact(scheme, MEAN, COV, grid, start)
        density = stats.multivariate_normal(m, V).pdf(run.law.points).reshape(run.law.density.shape)
        assert np.max(np.abs(run.law.density - density)) <= 64 * EPS * grid.N * density.max() + 1e-12
        target = stats.multivariate_normal(MEAN, COV).pdf(run.law.points).reshape(density.shape)
        assert np.max(np.abs(run.target.density - target)) <= 64 * EPS * target.max()
        assert run.target.mass == pytest.approx(1, abs=1e-12)
        found = run.divergences()
        assert found["kl"] == pytest.approx(gaussian_kl(MEAN, COV, m, V), rel=1e-10)
        assert found["reverse_kl"] == pytest.approx(gaussian_kl(m, V, MEAN, COV), rel=1e-10)
        tv = 0.5 * run.law.cell * np.sum(np.abs(density - target))
        assert found["tv"] == pytest.approx(tv, rel=1e-9)
        # the box: 8.5 standard deviations of the output and of the target, and not much more
        axes = run.law.x1, run.law.x2
        for k, x in enumerate(axes):
            ends = [
                (c[k] - math.sqrt(2 * tensor.DEPTH * v[k, k]), c[k] + math.sqrt(2 * tensor.DEPTH * v[k, k]))
                for c, v in ((m, V), (MEAN, COV))
            ]
            low, high = min(a for a, _ in ends), max(b for _, b in ends)
            slack, more = 0.03 * (high - low), 0.03 if not scheme.startswith("prox") else 0.3
            assert low - more * (high - low) <= x[0] <= low + slack
            assert high - slack <= x[-1] <= high + more * (high - low)


def step_of_nodes(cov, grid, i, scheme, extra=0.0, refine=1.0):
    """The documented step at level i of a Gaussian target (its Hessian is constant); None: no next step."""
    H = -np.linalg.inv(grid.scale[i] ** 2 * cov + grid.sigma[i] ** 2 * np.eye(2))
    values, kernel = np.linalg.eigvalsh(H), 0.0
    if scheme is not None:
        g = float(grid.g[i])
        if scheme == "euler_maruyama":
            kernel = np.max(np.abs(1 + g / 2 + g * values)) ** 2 / g
        else:
            kernel = {"proximal_hybrid": (1 + g / 2) ** 2, "proximal_backward": 1.0}[scheme] / g
    pole = math.pi / (2 * math.sqrt(values[1] - values[0]))
    return min(math.sqrt(0.5 / (kernel + max(-values[0], extra))), 0.2 * pole) / refine


@pytest.mark.parametrize("scheme", ["euler_maruyama", "proximal_hybrid", "proximal_backward"])
def test_sides_of_the_plane_follow_the_rule(scheme):
    grid = UNEVEN[:3]
    for cov, refine in ((COV, 1.0), (np.array([[0.04, 0.0], [0.0, 2.0]]), 1.5)):
        law = GaussianMixture([1.0], [MEAN], cov[np.newaxis])
        short, long = (tensor.propagate(law, g, scheme, refine=refine) for g in (grid[:2], grid))
        V = grid.scale[0] ** 2 * cov + grid.sigma[0] ** 2 * np.eye(2)
        first = step_of_nodes(cov, grid, 0, scheme, refine=refine)
        for n, variance in zip(long.sides[0], np.diag(V)):
            assert abs(n - 1 - 2 * math.sqrt(2 * tensor.DEPTH * variance) / first) <= 1
        assert short.sides[0] == long.sides[0]
        if scheme == "euler_maruyama":
            extra = 0.0
        else:  # steepest Jacobian of F and the narrowest width of the smoothed density
            g = float(grid.g[0])
            H = -np.linalg.inv(grid.scale[1] ** 2 * cov + grid.sigma[1] ** 2 * np.eye(2))
            base, slope = (1.0, 1 + g / 2) if scheme == "proximal_hybrid" else (1 - g / 2, 1.0)
            top = -np.linalg.eigvalsh(H)[0]
            extra = (base + g * top) ** 2 / (g + slope**2 / top)
        widths = [x[-1] - x[0] for x in (short.law.x1, short.law.x2)]  # the box does not depend on what follows
        for sides, following in ((short.sides[1], None), (long.sides[1], scheme)):
            h = step_of_nodes(cov, grid, 1, following, extra, refine)
            for n, width in zip(sides, widths):
                assert abs(n - 1 - width / h) <= 1


def test_plane_of_exchanged_axes_and_of_blocks(monkeypatch):
    swapped = GaussianMixture(PAIR.weights, PAIR.means[:, ::-1], PAIR.covariances[:, ::-1, ::-1])
    for scheme in ("exponential_integrator", "proximal_backward"):
        run = tensor.propagate(PAIR, UNEVEN, scheme)
        other = tensor.propagate(swapped, UNEVEN, scheme)
        assert run.sides == tuple((b, a) for a, b in other.sides)
        assert np.allclose(run.law.density, other.law.density.T, rtol=0, atol=1e-12 * np.max(run.law.density))
        monkeypatch.setattr(tensor, "BLOCK", 2000 * max(run.sides[-2]))
        again = tensor.propagate(PAIR, UNEVEN, scheme)
        monkeypatch.undo()
        assert np.allclose(run.law.density, again.law.density, rtol=0, atol=64 * EPS * np.max(run.law.density))


@pytest.mark.parametrize("scheme", ["proximal_hybrid", "proximal_backward"])
def test_plane_reports_the_smallest_eigenvalue(scheme):
    grid = schedules.vp_linear(1, 0.4, 0.4)
    run, g = tensor.propagate(PAIR, grid, scheme, **options(scheme)), float(grid.g[0])
    H = PAIR.hessian(run.law.points)
    base = 1.0 if scheme == "proximal_hybrid" else 1 - g / 2
    smallest = np.min(np.linalg.eigvalsh(base * np.eye(2) - g * H))
    assert run.jacobian == pytest.approx(smallest, rel=64 * EPS / smallest)
    assert tensor.propagate(PAIR, grid, "ddpm", **LARGE).jacobian == math.inf
    two = tensor.propagate(PAIR, UNEVEN, scheme, **options(scheme))
    assert two.jacobian < 1
    assert 0 < two.mass_error < 1e-12


def test_plane_says_where_the_step_is_not_monotone():
    a = np.array([0.6, 0.8])
    centres = [a + MEAN, MEAN - a, MEAN + [-1.6, 1.2]]  # the third one marks a point of the ridge between the first two
    law, grid = GaussianMixture([0.4, 0.4, 0.2], centres, 0.15), schedules.vp_linear(2, 1.0, 1.0)
    with pytest.raises(AssumptionViolated) as caught:
        tensor.propagate(law, grid, "proximal_hybrid")
    here, g = law.noised(grid.scale[1], grid.sigma[1]), float(grid.g[0])
    with pytest.raises(AssumptionViolated) as last:
        tensor.propagate(law, grid[1:], "proximal_hybrid")
    assert (caught.value.step, last.value.step) == (1, 0)
    x = MEAN + np.stack(np.meshgrid(*[np.linspace(-4, 4, 161)] * 2), axis=-1).reshape(-1, 2)
    smallest = np.linalg.eigvalsh(np.eye(2) - float(grid.g[1]) * law.hessian(x))[:, 0]
    assert caught.value.jacobian == pytest.approx(np.min(smallest), rel=0.05)
    there = np.abs(np.linalg.norm(x, axis=1) - caught.value.location) < 0.05
    assert caught.value.jacobian == pytest.approx(np.min(smallest[there]), rel=0.01)
    assert np.min(np.linalg.eigvalsh(np.eye(2) - g * here.hessian(grid.scale[1] * x))) > 0


@pytest.mark.parametrize("turns", range(4))
def test_boxes_grow_on_every_side(turns):
    """From N(0, I) towards a law to the right, above, to the left and below: each side of a proximal step's box in turn."""
    R = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), turns)
    mean, cov = R @ [5.0, 0.4], R @ np.diag([0.05, 0.08]) @ R.T
    run = tensor.propagate(GaussianMixture([1.0], [mean], cov[np.newaxis]), COARSE, "proximal_hybrid", "normal")
    m, V = exact("proximal_hybrid", mean, cov, COARSE, "normal")
    density = stats.multivariate_normal(m, V).pdf(run.law.points).reshape(run.law.density.shape)
    assert np.max(np.abs(run.law.density - density)) <= 64 * EPS * COARSE.N * density.max() + 1e-12


def test_box_of_a_normal_start_is_that_of_the_normal_law():
    """A target so narrow that the noised law's own box would cut N(0, I) at 6 standard deviations: 1e-9 of its mass."""
    law, grid = GaussianMixture([1.0], [[0.0, 0.0]], 0.05), schedules.vp_linear(3, 0.1, 1.0)
    run = tensor.propagate(law, grid, "euler_maruyama", "normal")
    m, V = exact("euler_maruyama", np.zeros(2), 0.05 * np.eye(2), grid, "normal")
    density = stats.multivariate_normal(m, V).pdf(run.law.points).reshape(run.law.density.shape)
    assert np.max(np.abs(run.law.density - density)) <= 64 * EPS * grid.N * density.max() + 1e-12
    assert run.mass_error <= 1e-11


@pytest.mark.parametrize("propagate", ["line", "plane", "radius"])
@pytest.mark.parametrize("start", ["exact", "normal"])
def test_mass_that_leaves_one_is_an_error(propagate, start):
    """A Jacobian too large by a relative 3 or 0.3 tolerances: refused, accepted and reported."""
    run, law, allowed = {
        "line": (line.propagate, GaussianMixture([1.0], [[0.4]], 0.7), 1e-12),
        "plane": (tensor.propagate, SLANTED, 1e-11),
        "radius": (radial.propagate, GaussianMixture([1.0], np.zeros((1, 3)), 0.7), 1e-11),
    }[propagate]
    power = {"line": 1, "plane": 2, "radius": 1}[propagate]

    def broken(excess):
        def scheme(begin, end, g):
            right = line.SCHEMES["proximal_hybrid"](begin, end, g)

            def forward(x):
                force, slope = right.forward(x)
                return force, slope * (1 + excess / power)

            return line.replace(right, forward=forward)

        return scheme

    grid = schedules.vp_linear(1, 0.5, 0.5)
    with pytest.raises(QuadratureError, match="after step 0"):
        run(law, grid, broken(3 * allowed), start)
    found = run(law, grid, broken(0.3 * allowed), start)
    assert found.mass_error == pytest.approx(0.3 * allowed, rel=0.3)


def test_plane_refuses_too_many_nodes():
    with pytest.raises(QuadratureError, match="a side of"):
        tensor.propagate(GaussianMixture([1.0], [[0.0, 0.0]], 1e-5), schedules.vp_linear(2, 1.0, 1.0), "ddpm", **LARGE)


@pytest.mark.parametrize("kind", ["isotropic", "shared diagonal", "diagonal", "full"])
def test_plane_boxes_of_all_kinds_of_covariances(kind):
    values = {
        "isotropic": np.array([0.2, 0.9]),
        "shared diagonal": np.array([[0.3, 0.7], [0.3, 0.7]]),
        "diagonal": np.array([[0.3, 0.7], [1.5, 0.2]]),
        "full": np.array([[[0.3, 0.2], [0.2, 0.7]], [[1.5, 0.1], [0.1, 0.2]]]),
    }[kind]
    law = GaussianMixture([0.4, 0.6, 0.0], [[-1.0, 2.0], [3.0, -0.5], [50.0, 50.0]], np.concatenate([values, values[:1]]))
    along = {"isotropic": lambda v: [v, v], "full": lambda v: np.diag(v)}.get(kind, lambda v: v)
    for scale, sigma in ((1.0, 0.0), (0.6, 0.8)):
        box = tensor._Plane(law, scale, sigma).box()
        reach = np.sqrt(2 * tensor.DEPTH * (scale**2 * np.array([along(v) for v in values]) + sigma**2))
        means = scale * np.array([[-1.0, 2.0], [3.0, -0.5]])
        assert np.allclose(box, np.stack([(means - reach).min(axis=0), (means + reach).max(axis=0)], axis=1), rtol=8 * EPS)


def test_plane_divergences_where_densities_vanish():
    x = np.linspace(0.0, 1.0, 2)
    flat = tensor.PlaneLaw(x, x, np.array([[0.5, 0.5], [0.0, 0.0]]))
    half = tensor.PlaneLaw(x, x, np.array([[0.25, 0.75], [0.0, 0.0]]))
    apart = tensor.PlaneLaw(x, x, np.array([[0.0, 0.0], [0.5, 0.5]]))
    found = tensor.PlanePropagation(half, flat, 0.0, math.inf, ()).divergences()
    assert found["kl"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=16 * EPS)
    assert found["reverse_kl"] == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=16 * EPS)
    assert found["tv"] == pytest.approx(0.25)
    found = tensor.PlanePropagation(apart, flat, 0.0, math.inf, ()).divergences()
    assert found == {"kl": math.inf, "reverse_kl": math.inf, "tv": pytest.approx(1.0)}


# ------------------------------------------------------------------------------------------------------ the radius


def log_chi(r, d, v):
    return stats.chi.logpdf(r / math.sqrt(v), d) - 0.5 * math.log(v)


@pytest.mark.parametrize(("d", "v"), [(2, 0.45), (3, 0.45), (7, 0.45), (60, 0.45), (500, 0.45), (400, 3.0)])
@pytest.mark.parametrize("start", ["exact", "normal"])
def test_radius_density_of_a_gaussian(d, v, start):
    law = GaussianMixture([1.0], np.zeros((1, d)), v)
    for scheme in line.SCHEMES:
        for grid in (UNEVEN, COARSE) if d < 50 else (COARSE,):
            run = radial.propagate(law, grid, scheme, start, **options(scheme))
            V = float(exact(scheme, [0.0], [v], grid, start).cov[0])
            density = np.exp(log_chi(run.law.x, d, V))
            # logarithms of size d log d and their sums
            assert np.max(np.abs(run.law.density - density)) <= (1e-12 + 64 * EPS * d) * grid.N * density.max()
            target = np.exp(log_chi(run.law.x, d, v))
            assert np.max(np.abs(run.target.density - target)) <= (1e-12 + 64 * EPS * d) * target.max()
            widths = math.sqrt(2 * radial.DEPTH * max(V, v)), math.sqrt(d * min(V, v)), math.sqrt(d * max(V, v))
            if scheme == "probability_flow":
                continue
            assert max(0.0, widths[1] - 1.6 * widths[0]) <= run.law.x[0] <= max(0.5, widths[1] - 0.4 * widths[0])
            assert widths[2] + 0.7 * widths[0] <= run.law.x[-1] <= widths[2] + 1.6 * widths[0]


@pytest.mark.parametrize("d", [2, 3, 8, 41])
def test_noncentral_chi_against_scipy(d):
    c, at, centres = 0.37, np.linspace(0.01, 12.0, 241), np.array([0.0, 1e-9, -0.3, 1.7, 6.0])
    found = radial._noncentral_chi(at, centres, c, d)
    r, mu = at[:, np.newaxis], np.maximum(np.abs(centres), 1e-12)
    exact_ = stats.ncx2.logpdf(r**2 / c, d, mu**2 / c) + np.log(2 * r / c)
    near = np.isfinite(found)
    wide = exact_ > -45  # beyond this scipy's own series loses digits
    assert np.max(np.abs(found - exact_)[near & wide]) <= 1e-9
    assert np.all(near[exact_ > -radial.DEPTH])
    assert not np.any(near & (np.abs(r - np.sqrt(mu**2 + c * d)) > math.sqrt(2 * c) * (math.sqrt(92) + 1)))


def test_rays_of_scale_mixtures():
    d, weights, v = 5, np.array([0.3, 0.0, 0.7]), np.array([0.2, 40.0, 1.7])
    ray = radial._Ray(GaussianMixture(weights, np.zeros((3, d)), v), 0.8, 0.5)
    r = np.linspace(0.05, 9.0, 97)
    noised = 0.64 * v + 0.25
    density = sum(w * np.exp(log_chi(r, d, s)) for w, s in zip(weights, noised) if w > 0)
    assert np.allclose(np.exp(ray.log_radius(r)), density, rtol=1e-12, atol=1e-300)
    low, high = math.sqrt(noised[0]), math.sqrt(noised[2])
    assert ray.box() == (0.0, pytest.approx(high * (math.sqrt(d) + 10), rel=8 * EPS))
    far = radial._Ray(GaussianMixture([1.0], np.zeros((1, 400)), 0.3), 1.0, 0.0)
    assert far.box() == pytest.approx((math.sqrt(0.3) * 10, math.sqrt(0.3) * 30), rel=8 * EPS)
    assert low > 0
    with pytest.raises(ValueError, match=r"^law\b"):
        radial._Ray(GaussianMixture([1.0], np.zeros((1, 3)), 0.0), 1.0, 0.0)


def test_radii_of_scale_mixtures_match_the_plane_for_all_schemes():
    law = GaussianMixture([0.25, 0.75], np.zeros((2, 2)), np.array([0.4, 1.3]))
    for scheme in STOCHASTIC:
        for start in ("exact", "normal"):
            plane = tensor.propagate(law, COARSE, scheme, start, **options(scheme))
            run = radial.propagate(law, COARSE, scheme, start, keep=True, **options(scheme))
            r = np.hypot(*plane.law.points.T)
            density = np.interp(r, run.law.x, run.law.density / run.law.x) / (2 * math.pi)
            apart = np.abs(density - plane.law.density.ravel())[r > 0.3]
            assert np.max(apart) <= 5e-3 * plane.law.density.max()  # linear interpolation
            kl = plane.divergences()["kl"]
            assert line.divergences(run.target, run.law).kl == pytest.approx(kl, rel=1e-8)
            assert len(run.laws) == 3
            assert all(q.mass == pytest.approx(1, abs=1e-11) for q in run.laws)


def nodes_of_the_radius(v, d, box, kernel, extra, refine):
    h = min(math.sqrt(0.5 / (kernel + max(2 / v, extra))), math.inf) / refine
    return 16 * max(2, math.ceil((box[1] - box[0]) / (6 * h)))


@pytest.mark.parametrize("grid", [COARSE, schedules.vp_linear(2, 1.4, 3.0)], ids=["short", "long"])
def test_nodes_of_the_radius_follow_the_rule(grid):
    v, d = 0.45, 9
    law, V = GaussianMixture([1.0], np.zeros((1, d)), v), grid.scale**2 * v + grid.sigma**2
    for scheme, refine in (("euler_maruyama", 1.0), ("proximal_hybrid", 1.0), ("proximal_backward", 1.7)):
        run = radial.propagate(law, grid, scheme, refine=refine, keep=True)
        g = [float(a) for a in grid.g]
        slope = {
            "euler_maruyama": lambda g, v: 1 + g / 2 - g / v,
            "proximal_hybrid": lambda g, v: 1 + g / 2,
            "proximal_backward": lambda g, v: 1.0,
        }[scheme]
        kernel = [slope(a, b) ** 2 / a for a, b in zip(g, V)]
        box = math.sqrt(V[0]) * max(0.0, math.sqrt(d) - 10), math.sqrt(V[0]) * (math.sqrt(d) + 10)
        assert len(run.laws[0].x) == nodes_of_the_radius(V[0], d, box, kernel[0], 0.0, refine)
        for i in range(2):
            report, w = run.steps[i], V[i + 1]
            extra = (
                0.0
                if scheme == "euler_maruyama"
                else (((1 if scheme == "proximal_hybrid" else 1 - g[i] / 2) + g[i] / w) ** 2 / g[i])
            )
            extra = min(extra, 4 / w)
            expected = nodes_of_the_radius(w, d, (report.low, report.high), kernel[1] if i == 0 else 0.0, extra, refine)
            assert report.nodes == expected


def test_radius_says_where_a_step_is_not_monotone():
    law = GaussianMixture([0.5, 0.5], np.zeros((2, 6)), np.array([0.01, 4.0]))
    for scheme in ("proximal_hybrid", "probability_flow"):
        step = "integral" if scheme == "proximal_hybrid" else np.array([9.0, 9.0])
        with pytest.raises(AssumptionViolated) as caught:
            radial.propagate(law, schedules.vp_linear(2, 2.0, 2.0), scheme, step=step)
        assert caught.value.jacobian <= 0
        assert caught.value.location > 0


def test_radius_accepts_dimensions_2_to_500():
    for d, fine in ((1, False), (2, True), (500, True), (501, False)):
        law = GaussianMixture([1.0], np.zeros((1, d)), 0.5)
        if fine:
            assert radial.propagate(law, schedules.vp_linear(1, 0.5, 0.5), "ddpm", **LARGE).mass_error < 1e-11
        else:
            with pytest.raises(ValueError, match=r"^law\b"):
                radial.propagate(law, schedules.vp_linear(1, 0.5, 0.5), "ddpm", **LARGE)


# -------------------------------------------------------------------------------------------------------- subspaces


@pytest.mark.parametrize("start", ["exact", "normal"])
@pytest.mark.parametrize("scheme", list(line.SCHEMES))
def test_a_gaussian_coordinate_against_the_recursions(scheme, start):
    for grid in (UNEVEN, COARSE):
        m, v = subspace.gaussian_line(-1.3, 0.45, grid, scheme, start, **options(scheme))
        law = exact(scheme, [-1.3], [0.45], grid, start)
        assert m == pytest.approx(float(law.mean[0]), rel=64 * EPS)
        assert v == pytest.approx(float(law.cov[0]), rel=64 * EPS)


def test_options_of_the_sampler_reach_the_coordinates_across():
    law = GaussianMixture([0.3, 0.7], [[-0.5, 0.0], [0.6, 0.0]], 0.4)
    for scheme, params in (
        ("euler_maruyama", {"last_noise": False}),
        ("ddpm", {}),
        ("ddpm", LARGE),
        ("ddpm", {"variance": "zero"}),
    ):
        found = subspace.propagate(law, COARSE, scheme, **params)
        ((count, m, v, _, _),) = found.across
        expected = gaussian(scheme, [0.0], [0.4], COARSE, **params)
        assert count == 1
        assert (m, v) == pytest.approx((float(expected.mean[0]), float(expected.cov[0])), rel=64 * EPS, abs=64 * EPS)
        alone = line.propagate(GaussianMixture([0.3, 0.7], [[-0.5], [0.6]], 0.4), COARSE, scheme, **params)
        assert found.inner.law.variance == pytest.approx(alone.law.variance, rel=1e-10)


@pytest.mark.parametrize("scheme", ["euler_maruyama", "proximal_backward", "probability_flow"])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_subspaces_off_the_origin(scheme, rank):
    """Against the sum of the parts: the propagated mixture, the coordinate along the offset and the centred ones."""
    if rank == 2 and scheme == "probability_flow":
        return
    d, v, grid, start = 6, 0.4, COARSE, "normal"
    basis = np.linalg.qr(np.random.default_rng(3).standard_normal((d, d)))[0]
    inner = {0: np.zeros((1, 0)), 1: np.array([[-0.5], [0.7]]), 2: np.array([[-0.5, 0.2], [0.7, 0.1], [0.1, -0.4]])}[rank]
    weights = np.arange(1.0, len(inner) + 1) / np.sum(np.arange(1.0, len(inner) + 1))
    centres = inner @ basis[:, :rank].T + 0.9 * basis[:, 5]
    found = subspace.propagate(GaussianMixture(weights, centres, v), grid, scheme, start)
    offset, centred = (exact(scheme, [c], [v], grid, start) for c in (0.9, 0.0))
    assert [c for c, *_ in found.across] == [1, d - rank - 1]
    assert found.across[0][1:] == pytest.approx((offset.mean[0], offset.cov[0], 0.9, v), rel=1e-12)
    assert found.across[1][1:] == pytest.approx((0.0, centred.cov[0], 0.0, v), rel=1e-12, abs=1e-15)
    kl = reverse = square = 0.0
    for count, mean, out in ((1, [0.9], offset), (d - rank - 1, [0.0], centred)):
        kl += count * gaussian_kl(np.array(mean), np.array([v]), out.mean, out.cov)
        reverse += count * gaussian_kl(out.mean, out.cov, np.array(mean), np.array([v]))
        square += count * ((out.mean[0] - mean[0]) ** 2 + (math.sqrt(out.cov[0]) - math.sqrt(v)) ** 2)
    if rank == 1:
        run = line.propagate(GaussianMixture(weights, inner, v), grid, scheme, start)
        one = line.divergences(run.target, run.law)
        kl, reverse, square = kl + one.kl, reverse + one.reverse_kl, square + one.w2**2
    elif rank == 2:
        plane = tensor.propagate(GaussianMixture(weights, inner, v), grid, scheme, start).divergences()
        kl, reverse = kl + plane["kl"], reverse + plane["reverse_kl"]
    assert found.kl == pytest.approx(kl, rel=1e-8)
    assert found.reverse_kl == pytest.approx(reverse, rel=1e-8)
    assert (found.w2 is None) == (rank == 2)
    if rank < 2:
        assert found.w2**2 == pytest.approx(square, rel=1e-7)
    assert (found.inner is None) == (rank == 0)


def test_subspaces_without_codimension_and_with_idle_components():
    law = GaussianMixture([0.3, 0.0, 0.7], [[-0.5, 1.0], [30.0, 4.0], [0.6, 1.0]], np.array([0.4, 9.0, 0.4]))
    parts = subspace.reduce(law)
    assert parts.basis.shape == (2, 1)
    assert parts.codimension == 1
    assert parts.offset == pytest.approx([0.0, 1.0], abs=4 * EPS)
    assert parts.variance == 0.4
    alone = subspace.propagate(GaussianMixture([0.3, 0.7], [[-0.5], [0.6]], 0.4), COARSE, "ddpm", **LARGE)
    assert alone.across == ()
    full = subspace.propagate(GaussianMixture([0.2, 0.3, 0.5], [[0, 0], [1.0, 0], [0, 1.0]], 0.4), COARSE, "ddpm", **LARGE)
    assert full.across == ()
    assert full.w2 is None
    with pytest.raises(ValueError, match=r"^law\b.*span 3"):
        subspace.propagate(GaussianMixture(None, np.eye(4), 0.3), COARSE, "ddpm", **LARGE)
    shifted = subspace.reduce(GaussianMixture(None, 1e6 + np.array([[0.0, 0.0], [1e-12, 0.0]]), 0.3))
    assert shifted.basis.shape == (2, 0)  # a spread of 1e-18 of the centres is rounding
    late = GaussianMixture([1.0], [[0.5, 0.5]], 0.3)
    grid = schedules.vp_linear(3, 0.5, 0.5, eps=0.4)
    found = subspace.propagate(late, grid, "proximal_hybrid", step="integral")
    scale, sigma = float(grid.scale[-1]), float(grid.sigma[-1])
    assert found.across[0][3:] == pytest.approx((scale * math.sqrt(0.5), scale**2 * 0.3 + sigma**2), rel=8 * EPS)
    rising = schedules.vp_linear(3, 0.2, 0.8, eps=0.4)  # at a constant rate both rules give the same steps
    for step in ("right", "integral"):
        right = subspace.propagate(late, rising, "euler_maruyama", step=step)
        m = gaussian("euler_maruyama", [math.sqrt(0.5)], [0.3], rising, step=step)
        assert right.across[0][1:3] == pytest.approx((m.mean[0], m.cov[0]), rel=1e-12)


def test_distribution_of_a_radius_that_deterministic_steps_moved():
    """The probability flow multiplies the radius of a Gaussian: a chi law, its distribution function at the moved nodes."""
    d, v, grid = 3, 0.3, schedules.vp_linear(6)
    run = radial.propagate(GaussianMixture([1.0], np.zeros((1, d)), v), grid, "probability_flow", refine=4.0)
    out = gaussian("probability_flow", np.zeros(1), np.array([v]), grid)
    left, right = run.law.cdf()
    chi = stats.chi(d, scale=math.sqrt(out.cov[0]))
    # splines of order 7 between Gauss nodes: 1e-8 at the nodes of one density, a power of 4 less here
    assert np.max(np.abs(left - chi.cdf(run.law.x))) <= 1e-10
    assert np.max(np.abs(right - chi.sf(run.law.x))) <= 1e-10
