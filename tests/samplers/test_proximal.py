"""Proximal samplers: updates, contract, exact Gaussian laws, evaluation counts, planted errors.

The four silent errors of these schemes (wrong level, lam = g in the backward step, noise after the prox, half a step) leave
every convergence rate as it is; the exact Gaussian law and the stationarity equation of each step show them.
"""

import inspect

import array_api_strict
import numpy as np
import pytest
import sampler_forms

from exactdiffusion import Counted, GaussianMixture, PointCloud, Sphere, samplers, schedules
from exactdiffusion._core.random import Noise
from exactdiffusion.schedules import Grid

EPS = np.finfo(np.float64).eps
NAMES = sorted(n for n, i in samplers.REGISTRY.items() if i.oracle == "prox")
GRID = schedules.vp_linear(12)
MIXTURE = GaussianMixture([0.3, 0.7], [[-1.0, 0.5], [0.8, -0.2]], 0.15)


def run(name, law, grid, x, seed=3, **params):
    noise = params.pop("noise", Noise(seed))
    return list(samplers.REGISTRY[name].function(law, grid, x, noise=noise, **params))


def test_registered():
    assert NAMES == ["proximal_backward", "proximal_hybrid"]
    assert all(samplers.REGISTRY[n].stochastic and samplers.REGISTRY[n].coordinates == "vp" for n in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_step_solves_the_implicit_equation_of_the_paper(name):
    """x' = x + g [(x' or x)/2 + grad log p_{i+1}(x')] + sqrt(g) z, the drift implicit for backward, explicit for hybrid."""
    x = Noise(1).initial(60, 2)
    states = run(name, MIXTURE, GRID, x)
    for i in range(GRID.N):
        a, b = states[i], states[i + 1]
        g = GRID.g[i]
        score = MIXTURE.noised(float(GRID.scale[i + 1]), float(GRID.sigma[i + 1])).score(b)
        right = a + g * (0.5 * (b if name == "proximal_backward" else a) + score) + np.sqrt(g) * Noise(3).normal(i, 60, 2)
        # a residual of the prox of relative size 1e-14, times the terms of the equation
        assert np.max(np.abs(right - b)) <= 1e-13 * (1 + g * np.abs(score).max() + np.abs(b).max()) * 10


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_the_global_minimiser(name):
    """The implicit equation is not enough: each state must minimise the objective, which a fine grid checks in 1-D."""
    law = GaussianMixture([0.45, 0.55], [[-1.0], [1.0]], 0.01)
    x = Noise(2).initial(40, 1)
    grid = GRID
    states = run(name, law, grid, x)
    line = np.linspace(-4, 4, 8001)[:, None]
    jumps = 0
    for i in range(grid.N):
        g = grid.g[i]
        z = Noise(3).normal(i, 40, 1)
        y, lam = (states[i] + np.sqrt(g) * z) * 2 / (2 - g), 2 * g / (2 - g)
        if name == "proximal_hybrid":
            y, lam = (1 + g / 2) * states[i] + np.sqrt(g) * z, g
        level = law.noised(float(grid.scale[i + 1]), float(grid.sigma[i + 1]))
        f = 0.5 * (states[i + 1] - y)[:, 0] ** 2 - lam * level.log_density(states[i + 1])
        best = (0.5 * (line[:, 0] - y) ** 2 - lam * level.log_density(line)).min(1)
        assert np.all(f <= best + 64 * EPS * (1 + np.abs(best)))
        stationary = level.prox_local(y, lam)
        jumps += int(np.sum(np.abs(stationary - states[i + 1]) > 1e-6))
    assert jumps > 0  # somewhere the local solution is another map


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zero", [True, False])
def test_contract(name, zero):
    grid = schedules.vp_linear(12, eps=0.0 if zero else 1e-3)
    law = Counted(PointCloud(np.random.default_rng(0).standard_normal((9, 3))))
    x = Noise(1).initial(25, 3)
    kept = x.copy()
    states = samplers.REGISTRY[name].function(law, grid, x, noise=Noise(3))
    assert inspect.isgenerator(states)
    assert np.array_equal(next(states), kept)
    assert sum(law.calls.values()) == 0
    states = [x, *states]
    assert len(states) == grid.N + 1
    assert np.array_equal(x, kept)
    assert law.calls == {"prox": grid.N}
    assert law.rows == {"prox": 25 * grid.N}
    assert samplers.REGISTRY[name].calls(grid) == grid.N
    assert all(s.shape == x.shape and s.dtype == np.float64 and np.isfinite(s).all() for s in states)
    again = run(name, law, grid, x)
    assert all(np.array_equal(a, b) for a, b in zip(states, again))
    if zero:  # the last prox is the Laguerre cell: every sample is an atom, bit for bit
        atoms = {p.tobytes() for p in law.points}
        assert all(row.tobytes() in atoms for row in states[-1])


@pytest.mark.parametrize("name", NAMES)
def test_zero_length_steps_are_the_identity(name):
    """lam = 0: prox is the identity. Coarse quantised levels repeat; the run is that of the grid without repetitions."""

    class Keyed:  # the noise of a step is keyed by its departing level, not by its number
        def __init__(self, grid):
            self.sigma = grid.sigma[:, 0] if grid.sigma.ndim == 2 else grid.sigma

        def normal(self, step, n, d, like=None):
            return Noise(int(1e6 * self.sigma[step])).normal(0, n, d)

    x, grid = Noise(1).initial(12, 2), schedules.quantised(50, "edm").to_vp()
    still = np.diff(grid.noise_ratio) == 0
    assert np.count_nonzero(still) == 3
    states = run(name, MIXTURE, grid, x, noise=Keyed(grid))
    assert all(np.array_equal(states[i], states[i + 1]) for i in np.flatnonzero(still))
    short = Grid(grid.scale[np.r_[True, ~still]], grid.sigma[np.r_[True, ~still]])
    assert np.array_equal(states[-1], run(name, MIXTURE, short, x, noise=Keyed(short))[-1])
    # one row stands still while the other moves
    two = Grid(
        np.stack([grid.scale[:9], np.full(9, grid.scale[0])], 1),
        np.stack([grid.sigma[:9], np.full(9, grid.sigma[0])], 1),
        strict=False,
    )
    both = run(name, MIXTURE, two, x[:2], noise=Keyed(two))[-1]
    assert np.array_equal(both[1], x[1])
    assert np.max(np.abs(both[0] - run(name, MIXTURE, grid[:9], x[:2], noise=Keyed(grid))[-1][0])) <= 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_law_is_asked_with_a_float_or_one_value_for_each_row(name, monkeypatch):
    """lam is a Python float where all rows share it, and an array of shape (n,) where they have their own levels."""
    kind = type(MIXTURE.noised(1.0, 1.0))
    asked, real = [], kind.prox
    monkeypatch.setattr(kind, "prox", lambda self, y, lam, **kw: asked.append(lam) or real(self, y, lam, **kw))
    x = Noise(1).initial(3, 2)
    run(name, MIXTURE, GRID, x)
    assert [type(lam) for lam in asked] == [float] * GRID.N
    asked.clear()
    grids = [schedules.vp_linear(15, 0.1, top) for top in (5.0, 10.0, 20.0)]
    run(name, MIXTURE, Grid(np.stack([g.scale for g in grids], 1), np.stack([g.sigma for g in grids], 1)), x)
    assert [lam.shape for lam in asked] == [(3,)] * 15


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrap", [lambda law: law, Counted])
def test_law_without_proximal_maps_is_refused_at_the_call(name, wrap):
    with pytest.raises(ValueError, match=r"^law: got Sphere\(.*expected a law with proximal maps"):
        samplers.REGISTRY[name].function(wrap(Sphere(1.0, 3)), GRID, np.zeros((2, 3)), noise=Noise(0))


@pytest.mark.parametrize("name", NAMES)
def test_evaluations_inside_the_prox_are_reported(name):
    calls, law = {}, Counted(MIXTURE)
    run(name, law, GRID, Noise(1).initial(20, 2), calls=calls)
    assert law.calls["prox"] == GRID.N
    # at least one score per row and step, and more than the number of proximal maps that N counts
    assert calls["score"] >= 20 * GRID.N
    assert calls["density"] >= calls["score"]
    assert calls["hessian"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_the_batch_and_have_their_own_grid(name):
    x = Noise(1).initial(20, 2)
    whole = samplers.final(run(name, MIXTURE, GRID, x))
    part = samplers.final(run(name, MIXTURE, GRID, x[7:12], noise=Noise(3).rows(7)))
    assert np.max(np.abs(whole[7:12] - part)) <= 1e-12
    grids = [schedules.vp_linear(15, 0.1, top) for top in (5.0, 10.0, 20.0)]
    stacked = Grid(np.stack([g.scale for g in grids], 1), np.stack([g.sigma for g in grids], 1))
    together = samplers.final(run(name, MIXTURE, stacked, x[:3]))
    for row, grid in enumerate(grids):
        alone = samplers.final(run(name, MIXTURE, grid, x[row : row + 1], noise=Noise(3).rows(row)))
        assert np.max(np.abs(together[row] - alone[0])) <= 1e-11


@pytest.mark.parametrize("name", NAMES)
def test_other_arrays(name):
    x = Noise(1).initial(6, 2)
    here = samplers.final(run(name, MIXTURE, GRID, x))
    there = samplers.final(run(name, MIXTURE, GRID, array_api_strict.asarray(x)))
    assert isinstance(there, type(array_api_strict.asarray(x)))
    assert np.max(np.abs(np.asarray(there) - here)) <= 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_local_variant(name):
    """Same law of one mode: the same states. Two narrow modes: other states, still stationary."""
    wide = GaussianMixture(None, [[-0.1, 0.0], [0.1, 0.0]], 1.0)
    x = Noise(1).initial(50, 2)
    a, b = (samplers.final(run(name, wide, GRID, x, prox=kind)) for kind in ("global", "local"))
    assert np.max(np.abs(a - b)) <= 1e-12
    narrow = GaussianMixture([0.9, 0.1], [[-1.0, 0.0], [1.0, 0.0]], 1e-3)
    x = Noise(1).initial(400, 2)
    a, b = (samplers.final(run(name, narrow, GRID, x, prox=kind)) for kind in ("global", "local"))
    assert np.any(np.abs(a - b) > 0.1)


# ------------------------------------------------------------------------------------------------ exact Gaussian laws


class UnitNoise:
    """Row 1 + d + k d + j receives e_j at step k and nothing else."""

    def normal(self, step, n, d, start=0, like=None):
        z = np.zeros((n, d))
        z[1 + d + step * d : 1 + 2 * d + step * d] = np.eye(d)
        return z


def probe(function, law, grid, start_cov):
    """Mean (start at 0) and covariance of the affine map that a sampler is on a Gaussian law."""
    d = law.dim
    x = np.zeros((1 + d + grid.N * d, d))
    x[1 : 1 + d] = np.eye(d)
    out = samplers.final(function(law, grid, x, noise=UnitNoise()))
    linear, noise = (out[1 : 1 + d] - out[0]).T, (out[1 + d :] - out[0]).T
    return out[0], linear @ start_cov @ linear.T + noise @ noise.T


def gaussian_errors(name, function, grid=GRID):
    """Relative errors of mean and covariance against the exact law, full covariance, through the library's own prox."""
    rng = np.random.default_rng(5)
    root = rng.standard_normal((3, 3))
    mean, cov = np.array([0.7, -0.4, 0.2]), root @ root.T / 3 + 0.1 * np.eye(3)
    start = np.diag([1.3, 0.6, 2.0])
    exact_mean, exact_cov = sampler_forms.law(name, mean, cov, grid, np.zeros(3), start)
    m, c = probe(function, GaussianMixture([1.0], mean[None], cov[None]), grid, start)
    return np.abs(m - exact_mean).max() / np.abs(exact_mean).max(), np.abs(c - exact_cov).max() / np.abs(exact_cov).max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("grid", [GRID, schedules.vp_linear(40), schedules.vp_linear(15, eps=1e-3)], ids=["12", "40", "eps"])
def test_exact_law_on_gaussian_targets_through_the_librarys_prox(name, grid):
    """1e-12: rounding of N affine maps, measured below 1e-14."""
    assert max(gaussian_errors(name, samplers.REGISTRY[name].function, grid)) <= 1e-12


def _plant(kind, name):
    """The sampler with one error: the text of the update with a slip, everything else as registered."""

    def steps(law, grid, x, *, noise):
        yield x
        for i in range(grid.N):
            g, j = grid.g[i], i if kind == "wrong level" else i + 1
            z = np.sqrt(g) * noise.normal(i, *x.shape, like=x)
            level = law.noised(float(grid.scale[j]), float(grid.sigma[j]))
            before, after = (0.0, z) if kind == "noise after the prox" else (z, 0.0)
            if name == "proximal_backward":
                y, lam = 2 / (2 - g) * (x + before), g if kind == "lam = g" else 2 * g / (2 - g)
            else:
                y, lam = (1 + g / 2) * x + before, g
            x = level.prox(y, lam / 2 if kind == "half a step" else lam) + after
            yield x

    return steps


@pytest.mark.parametrize("name", NAMES)
def test_planted_errors_are_seen_by_the_gaussian_law(name):
    assert max(gaussian_errors(name, _plant("none", name))) <= 1e-12
    kinds = ["wrong level", "noise after the prox", "half a step"] + ["lam = g"] * (name == "proximal_backward")
    for kind in kinds:
        assert max(gaussian_errors(name, _plant(kind, name))) > 1e-3, kind


# --------------------------------------------------------------------------------------------------------- dino table


@pytest.mark.parametrize(("N", "wrong"), [(10, (0, 1)), (40, (4, 40))])
def test_share_of_local_solutions_that_are_not_global(N, wrong):
    """142 atoms along a curve, last step before t = 0: no wrong local solution at N = 10, per cents at N = 40."""
    t = np.linspace(0, 2 * np.pi, 142, endpoint=False)
    cloud = PointCloud(np.stack([np.cos(t) + 0.3 * np.cos(5 * t), np.sin(2 * t) + 0.3 * np.sin(7 * t)], 1) * 0.6)
    grid = schedules.vp_linear(N)
    i = N - 2  # from level N-2 to N-1; the last step is the Laguerre cell
    g = float(grid.g[i])
    noise = Noise(4)
    x = cloud.noised(float(grid.scale[i]), float(grid.sigma[i])).sample(400, 5)
    y = (1 + g / 2) * x + np.sqrt(g) * noise.normal(0, 400, 2)
    level = cloud.noised(float(grid.scale[i + 1]), float(grid.sigma[i + 1]))
    best, local = level.prox(y, g, certificate=True), level.prox_local(y, g, certificate=True)
    assert set(best.status) <= {"convex", "branch and bound"}
    assert np.all(local.objective >= best.lower - 64 * EPS * (1 + np.abs(best.objective)))
    worse = int(np.sum(local.objective > best.objective + 1e-7))
    assert wrong[0] <= worse <= wrong[1]


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("noise", {"noise": None}),
        ("prox", {"prox": "both"}),
        ("prox", {"prox": None}),
        ("grid", {"grid": GRID.to_ve()}),
        ("grid", {"grid": 3}),
        ("x", {"x": np.zeros((4, 3))}),
        ("law", {"law": 1}),
    ],
)
def test_bad_input_at_the_call(name, argument, change):
    given = {"law": MIXTURE, "grid": GRID, "x": np.zeros((4, 2)), "noise": Noise(0)} | change
    with pytest.raises(ValueError, match=f"^{argument}"):
        samplers.REGISTRY[name].function(given.pop("law"), given.pop("grid"), given.pop("x"), **given)


@pytest.mark.parametrize("N", [5, 7, 9])
def test_backward_refuses_steps_of_two_and_more(N):
    """VP schedule: the largest g is 3.60, 2.65, 2.10 at N = 5, 7, 9 and 1.90 at N = 10. The hybrid has no such limit."""
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match="gamma"):
        samplers.proximal_backward(MIXTURE, schedules.vp_linear(N), x, noise=Noise(0))
    assert len(list(samplers.proximal_hybrid(MIXTURE, schedules.vp_linear(N), x, noise=Noise(0)))) == N + 1
    samplers.proximal_backward(MIXTURE, schedules.vp_linear(10), x, noise=Noise(0))
    above = np.array([-2.0 - 1e-12, 0.0])
    edge = Grid(np.exp(above / 2), np.sqrt(-np.expm1(above)))
    assert 2.0 <= edge.g[0] <= 2.0 + 1e-11
    with pytest.raises(ValueError, match="gamma"):
        samplers.proximal_backward(MIXTURE, edge, x, noise=Noise(0))
