"""Contract of every registered sampler, and what is particular to each."""

import functools
import inspect
import itertools
import re
import subprocess
import sys

import array_api_compat
import numpy as np
import pytest

from exactdiffusion import GaussianMixture, samplers, schedules
from exactdiffusion._core.arrays import to_numpy
from exactdiffusion._core.random import BrownianPath, Noise
from exactdiffusion.output_laws.gaussian import gaussian
from exactdiffusion.output_laws.line import Implicit, Level, propagate
from exactdiffusion.samplers import _base
from exactdiffusion.schedules import Grid

EPS = np.finfo(np.float64).eps
# the proximal samplers ask for a prox: test_samplers_proximal.py
NAMES = sorted(n for n, i in samplers.REGISTRY.items() if i.oracle == "denoise")
ANY = [n for n in NAMES if samplers.REGISTRY[n].coordinates == "any"]
VP = [n for n in NAMES if samplers.REGISTRY[n].coordinates == "vp"]


class TwoPoints:
    """Atoms +a and -a with equal weights: E[X | x] = a tanh(scale a.x / sigma^2). Array-API generic, not affine."""

    dim = 3

    def __init__(self):
        self.calls = []

    def noised(self, scale, sigma):
        return _Noised(self, scale, sigma)


class _Noised:
    def __init__(self, law, scale, sigma):
        self.law, self.scale, self.sigma = law, scale, sigma

    def denoise(self, x):
        xp = array_api_compat.array_namespace(x)
        self.law.calls.append(x.shape[0])
        atom = xp.asarray([1.0, -0.5, 0.25], dtype=xp.float64)
        inner = xp.sum(x * atom[None, :], axis=1)
        if isinstance(self.sigma, float):
            sign = xp.sign(inner) if self.sigma == 0 else xp.tanh(self.scale / self.sigma**2 * inner)
        else:
            safe = xp.where(self.sigma == 0, xp.ones_like(self.sigma), self.sigma)
            sign = xp.where(self.sigma == 0, xp.sign(inner), xp.tanh(self.scale / safe**2 * inner))
        return sign[:, None] * atom[None, :]


def grid_for(name, N=6, **options):
    return schedules.vp_linear(N, **options) if name in VP else schedules.log_linear(N, 20.0, 0.05)


def run(name, grid, x, law=None, seed=3, noise=None, **params):
    info = samplers.REGISTRY[name]
    if info.stochastic:
        params["noise"] = Noise(seed) if noise is None else noise
    return list(info.function(TwoPoints() if law is None else law, grid, x, **params))


def start(grid, n=40):
    sigma = grid.sigma[0] if grid.sigma.ndim == 1 else grid.sigma[0][:, None]
    return sigma * Noise(1).initial(n, 3)


# ------------------------------------------------------------------------------------------------ the contract


@pytest.mark.parametrize("name", NAMES)
def test_yields_the_start_and_one_state_per_step(name):
    grid = grid_for(name)
    x = start(grid)
    kept = x.copy()
    states = run(name, grid, x)
    assert len(states) == grid.N + 1
    assert np.array_equal(states[0], kept)
    assert np.array_equal(x, kept)
    assert all(s.shape == x.shape and s.dtype == np.float64 and np.isfinite(s).all() for s in states)
    assert len({id(s) for s in states}) == grid.N + 1
    again = run(name, grid, x)
    assert all(np.array_equal(a, b) for a, b in zip(states, again))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zero", [False, True])
def test_oracle_calls_are_as_registered(name, zero, accuracy):
    grid = schedules.vp_linear(7, eps=0.0 if zero else 1e-3)
    law, info = TwoPoints(), samplers.REGISTRY[name]
    run(name, grid, start(grid), law)
    for stated in (info.calls(grid), info.calls(7, final_zero=zero)):
        accuracy("samplers.SamplerInfo.calls", abs(stated - len(law.calls)), 0.0, "calls counted in a run")
    assert set(law.calls) == {40}


@pytest.mark.parametrize("name", NAMES)
def test_oracle_is_called_lazily(name):
    grid, law, info = grid_for(name), TwoPoints(), samplers.REGISTRY[name]
    states = info.function(law, grid, start(grid), **({"noise": Noise(1)} if info.stochastic else {}))
    assert inspect.isgenerator(states)
    next(states)
    assert law.calls == []
    next(states)
    assert len(law.calls) == info.per_step


def has_memory(name):
    """Whether the update keeps anything of the steps before: found by taking two steps."""
    info = samplers.REGISTRY[name]
    if info.update is None:
        return False
    grid, memory, kept = grid_for(name), (), False
    x, options = start(grid), info.options(grid)
    oracle = _base.Run(TwoPoints(), grid, x, info)
    for i in range(2):
        x, memory = info.update(x, i, grid, oracle, Noise(3), memory, **options)
        kept = kept or len(memory) > 0
    return kept


@pytest.mark.parametrize("name", ANY)
def test_final_sigma_zero_gives_a_clean_sample(name):
    """A full last step returns the denoiser's value: an atom, to the rounding of tanh.

    A method with memory extrapolates, and returns the atom where the denoiser is the same at all levels: tanh is 1 in
    floats from 19 on, and its argument is at least 70 in these rows below sigma = 0.1. Rounding: 4 eps, and 64 eps for nine
    steps each of which extrapolates.
    """
    atom = np.array([1.0, -0.5, 0.25])
    near = schedules.log_linear(9, 0.1, 0.02, final_zero=True)
    last = samplers.final(run(name, near, atom + near.sigma[0] * np.clip(Noise(1).initial(40, 3), -3.0, 3.0)))
    assert np.max(np.abs(last - atom)) <= 64 * EPS
    if not has_memory(name):
        grid = schedules.log_linear(9, 20.0, 0.02, final_zero=True)
        last = samplers.final(run(name, grid, start(grid)))
        assert np.max(np.abs(np.abs(last) - np.abs(atom))) <= 4 * EPS


@pytest.mark.parametrize("name", ANY)
def test_repeated_level_changes_nothing(name):
    """A repeated level (quantised EDM at N = 50) is a step of length zero for every sampler in sigma."""
    check_repeated_level(name)


def check_repeated_level(name, **params):
    plain = Grid(np.ones(4), [8.0, 3.0, 1.0, 0.2])
    doubled = Grid(np.ones(5), [8.0, 3.0, 3.0, 1.0, 0.2], strict=False)
    x, info = start(plain), samplers.REGISTRY[name]
    states = run(name, doubled, x, **params)
    assert np.allclose(states[1], states[2], rtol=4 * EPS if info.stochastic else 8 * EPS, atol=0)
    assert np.isfinite(states[-1]).all()
    # noise is keyed by the step number, and the memory is that of the empty step
    if not (info.stochastic or has_memory(name)):
        assert np.allclose(states[-1], samplers.final(run(name, plain, x, **params)), rtol=1e-12, atol=1e-13)


DETERMINISTIC = [n for n in ANY if samplers.REGISTRY[n].update is not None and not samplers.REGISTRY[n].stochastic]


THREE = GaussianMixture([0.2, 0.5, 0.3], [[-1.0], [0.3], [0.9]], [0.3, 0.5, 0.4])


@functools.cache
def flow_ends(steps=1000):
    """Starts at sigma = 10 and the ends at 0.1 of the probability flow of ``THREE``: Runge-Kutta of order 4 in log sigma."""

    def slope(u, y):
        return y - THREE.noised(1.0, float(np.exp(u))).denoise(y)

    x = np.linspace(-15.0, 15.0, 12)[:, np.newaxis]
    y, levels = x, np.linspace(np.log(10.0), np.log(0.1), steps + 1)
    for u, v in itertools.pairwise(levels):
        h = v - u
        a = slope(u, y)
        b = slope(u + h / 2, y + h / 2 * a)
        c = slope(u + h / 2, y + h / 2 * b)
        y = y + h / 6 * (a + 2 * b + 2 * c + slope(v, y + h * c))
    return x, y


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_order_is_as_registered(name):
    """On a mixture, on levels that are not equally spaced: least squares over N = 320, 640 and 1280.

    A Gaussian target would not do: the midpoint rule has order 3 there. Remainder: the next order changes the slopes by at
    most 0.02 (measured), and the ends of the flow are known to 1e-10, 1/600 of the smallest error.
    """
    x, ends = flow_ends()
    steps, errors = np.array([320, 640, 1280]), []
    for N in steps:
        grid = schedules.edm(int(N), 10.0, 0.1, rho=3.0, final_zero=False)
        errors.append(np.sqrt(np.mean((samplers.final(run(name, grid, x, THREE)) - ends) ** 2)))
    assert abs(-np.polyfit(np.log(steps), np.log(errors), 1)[0] - samplers.REGISTRY[name].order) <= 0.05


@pytest.mark.parametrize("name", ANY)
def test_same_result_in_ve_and_vp_coordinates(name):
    """VE and VP runs of one grid agree after division by the scale; rounding of N steps amplified by the tanh slope."""
    ve = schedules.log_linear(8, 20.0, 0.3)
    vp = ve.to_vp()
    x = start(ve)
    a = run(name, ve, x)
    b = run(name, vp, x * vp.scale[0])
    for i in range(ve.N + 1):
        assert np.max(np.abs(a[i] - b[i] / vp.scale[i])) <= 1e-12 * np.max(np.abs(x))


@pytest.mark.parametrize("name", NAMES)
def test_per_row_grid_equals_separate_runs(name):
    grids = [schedules.vp_linear(5, 0.1, top) for top in (5.0, 10.0, 20.0)]
    stacked = Grid(np.stack([g.scale for g in grids], 1), np.stack([g.sigma for g in grids], 1))
    x = start(stacked, 3)
    together = run(name, stacked, x)
    for row, grid in enumerate(grids):
        alone = run(name, grid, x[row : row + 1], noise=Noise(3).rows(row))
        for a, b in zip(together, alone):
            assert np.max(np.abs(a[row] - b[0])) <= 1e-12 * np.max(np.abs(x))


@pytest.mark.parametrize("N", [2, 12])
@pytest.mark.parametrize("name", ANY)
def test_per_row_grid_where_only_some_rows_end_at_zero(name, N):
    sigma = np.stack([np.linspace(4.0, 0.0, N + 1), np.linspace(4.0, 0.5, N + 1)], 1)
    stacked = Grid(1.0, sigma)
    x = start(stacked, 2)
    together = samplers.final(run(name, stacked, x))
    for row in range(2):
        grid = Grid(1.0, sigma[:, row])
        alone = samplers.final(run(name, grid, x[row : row + 1], noise=Noise(3).rows(row)))
        assert np.max(np.abs(together[row] - alone[0])) <= 1e-12 * np.max(np.abs(x))


@pytest.mark.parametrize("name", NAMES)
def test_array_api_strict(name):
    xp = pytest.importorskip("array_api_strict")
    grid = grid_for(name)
    x = start(grid)
    reference = run(name, grid, x)
    states = run(name, grid, xp.asarray(x))
    for a, b in zip(states, reference):
        assert type(a).__module__.startswith("array_api_strict")
        assert np.max(np.abs(np.asarray(a) - b)) <= 1e-12 * np.max(np.abs(x))


@pytest.mark.parametrize("name", NAMES)
def test_array_api_strict_with_per_row_levels(name):
    xp = pytest.importorskip("array_api_strict")
    g = schedules.vp_linear(4)
    grid = Grid(np.stack([g.scale] * 5, 1), np.stack([g.sigma] * 5, 1))
    x = start(grid, 5)
    a, b = samplers.final(run(name, grid, xp.asarray(x))), samplers.final(run(name, g, x))
    assert np.max(np.abs(np.asarray(a) - b)) <= 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_float32_and_integer_starts_are_promoted(name):
    grid = grid_for(name)
    x = np.round(start(grid) * 4)
    reference = samplers.final(run(name, grid, x))
    for kind in (np.float32, np.int64):
        states = run(name, grid, x.astype(kind))
        assert all(state.dtype == np.float64 for state in states)
        assert np.array_equal(states[-1], reference)


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch(name):
    assert samplers.final(run(name, grid_for(name), np.empty((0, 3)))).shape == (0, 3)


class UnitNoise:
    """Row ``1 + d + k d + j`` receives the unit vector e_j at step k and nothing else."""

    def normal(self, step, n, d, start=0, like=None):
        z = np.zeros((n, d))
        z[1 + d + step * d : 1 + 2 * d + step * d] = np.eye(d)
        return z


@pytest.mark.parametrize("name", sorted(n for n, i in samplers.REGISTRY.items() if i.update is not None))
def test_exact_gaussian_law_is_that_of_the_run(name):
    """The law found by probing the update against the affine map of the whole run: 1e-12, rounding of 12 steps."""
    grid = schedules.vp_linear(12, eps=1e-3)
    law, start_cov = GaussianMixture([1.0], [[0.7, -0.4]], [[[1.5, 0.3], [0.3, 0.2]]]), np.array([[1.2, -0.3], [-0.3, 0.5]])
    x = np.zeros((3 + 2 * grid.N, 2))
    x[1:3] = np.eye(2)
    out = run(name, grid, x, law, noise=UnitNoise())[-1]
    linear, noise = (out[1:3] - out[0]).T, (out[3:] - out[0]).T
    found = gaussian(name, law.mean, law.covariance, grid, np.array([0.5, 1.0]), start_cov)
    mean, cov = linear @ [0.5, 1.0] + out[0], linear @ start_cov @ linear.T + noise @ noise.T
    assert np.max(np.abs(found.mean - mean)) <= 1e-12 * np.max(np.abs(mean))
    assert np.max(np.abs(found.cov - cov)) <= 1e-12 * np.max(np.abs(cov))


class Given:
    """The same noise in every row of every step."""

    def __init__(self, value):
        self.value = value

    def normal(self, step, n, d, start=0, like=None):
        return np.full((n, d), self.value)


#: parameters with which the form on a line is compared, beside the defaults
ON_A_LINE = {"ddpm": [{"variance": "large"}, {"variance": "large", "last_noise": True}, {"variance": "zero"}]}


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("name", sorted(n for n, i in samplers.REGISTRY.items() if i.line is not None))
def test_form_on_a_line_is_the_update(name, zero):
    """Mean map, slope and variance of every step against the update with the exact score, noise 0 and noise +-1.7."""
    info = samplers.REGISTRY[name]
    grid = schedules.vp_linear(14, 0.3, 5.1, eps=0.0 if zero else 0.02)
    law = GaussianMixture([0.2, 0.5, 0.3], [[-1.0], [0.3], [0.9]], [0.3, 0.5, 0.4])
    levels = [Level(law, s, t) for s, t in zip(grid.scale, grid.sigma)]
    y = np.linspace(-3.0, 3.0, 61)
    for params in [{}, *ON_A_LINE.get(name, [])]:
        options, run = info.options(grid, **params), _base.Run(law, grid, y[:, np.newaxis], info)
        for i in range(grid.N):
            step = info.line(levels[i], levels[i + 1], float(grid.g[i]), **params)
            low, at, high = (
                info.update(y[:, np.newaxis], i, grid, run, Given(z), (), **options)[0][:, 0] for z in (-1.7, 0.0, 1.7)
            )
            if isinstance(step, Implicit):
                for z, x in ((-1.7, low), (0.0, at), (1.7, high)):
                    force, jacobian = step.forward(x)
                    assert (jacobian > 0).all()  # one solution: it is the minimiser
                    right = step.slope * y + np.sqrt(step.variance) * z
                    assert np.max(np.abs(force - right)) <= 1e-13 * (1 + np.max(np.abs(right)))
                continue
            mean, slope = step.mean(y)
            size = 1 + np.max(np.abs(y))
            assert np.max(np.abs(mean - at)) <= 64 * EPS * size
            for noisy in (low - at, high - at):
                assert np.max(np.abs(np.abs(noisy) - 1.7 * np.sqrt(step.variance))) <= 64 * EPS * size
            h = 1e-3  # five points, error h^4/30 times a fifth derivative of at most 1e3, rounding eps / h
            f = [step.mean(y + k * h)[0] for k in (-2, -1, 1, 2)]
            assert np.max(np.abs((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h) - slope)) <= 1e-9


# ------------------------------------------------------------------------------- batches and processes (issue: 5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_agree_to_1e_12(name, batch):
    grid = grid_for(name)
    x, total = start(grid, 1000), 1000 if batch > 1 else 30
    whole = samplers.final(run(name, grid, x))[:total]
    pieces = [samplers.final(run(name, grid, x[s : s + batch], noise=Noise(3).rows(s))) for s in range(0, total, batch)]
    assert np.max(np.abs(np.concatenate(pieces)[:total] - whole)) <= 1e-12 * np.max(np.abs(whole))


SCRIPT = """
import hashlib, sys
import numpy as np
from exactdiffusion import samplers, schedules
from exactdiffusion._core.random import Noise

class Law:
    dim = 64
    gain = np.linalg.qr(np.cos(np.arange(4096.0)).reshape(64, 64))[0]
    def noised(self, scale, sigma):
        self.scale, self.sigma = scale, sigma
        return self
    def denoise(self, x):
        return np.tanh(x @ self.gain / (1 + self.sigma))

for name, info in sorted(samplers.REGISTRY.items()):
    if info.oracle != "denoise":
        continue
    grid = schedules.vp_linear(6)
    noise = {"noise": Noise(5)} if info.stochastic else {}
    states = info.function(Law(), grid, Noise(4).initial(250, 64), **noise)
    print(name, hashlib.sha256(samplers.final(states).tobytes()).hexdigest())
"""


def test_the_same_unit_of_work_is_bit_identical_in_every_process():
    outputs = {
        subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, timeout=120).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == len(NAMES)


# -------------------------------------------------------------------------------------------- each sampler's own


def test_ddpm_at_mu_zero_is_ddim_and_needs_no_noise():
    grid = grid_for("ddim")
    x = start(grid)
    for a, b in zip(samplers.ddpm(TwoPoints(), grid, x, mu=0.0), samplers.ddim(TwoPoints(), grid, x)):
        assert np.array_equal(a, b)


def test_ddpm_approaches_ddim_as_mu_falls():
    """The noise has standard deviation ~ sqrt(2 mu): the difference falls as mu^(1/2)."""
    grid = grid_for("ddim")
    x = start(grid, 2000)
    clean = samplers.final(samplers.ddim(TwoPoints(), grid, x))
    gaps = [  # medians: a few rows next to the decision boundary change their atom
        np.median(np.abs(samplers.final(samplers.ddpm(TwoPoints(), grid, x, noise=Noise(1), mu=mu)) - clean))
        for mu in (1e-8, 1e-6)
    ]
    assert 9 < gaps[1] / gaps[0] < 11


def test_gradient_estimation_at_gamma_one_is_ddim():
    grid = grid_for("ddim")
    x = start(grid)
    a = samplers.final(samplers.gradient_estimation(TwoPoints(), grid, x, gamma=1.0))
    assert np.max(np.abs(a - samplers.final(samplers.ddim(TwoPoints(), grid, x)))) <= 64 * EPS * np.max(np.abs(x))


def test_gradient_estimation_keeps_the_raw_prediction_and_starts_plain():
    """Three steps by hand: gamma acts on the previous raw eps, not on the previous mixture."""
    grid, gamma = Grid(np.ones(4), [8.0, 4.0, 2.0, 1.0]), 2.4
    x = start(grid, 5)
    law = TwoPoints()

    def eps(i, y):
        return (y - law.noised(1.0, float(grid.sigma[i])).denoise(y)) / grid.sigma[i]

    e0 = eps(0, x)
    x1 = x - 4 * e0
    e1 = eps(1, x1)
    x2 = x1 - 2 * (gamma * e1 + (1 - gamma) * e0)
    e2 = eps(2, x2)
    x3 = x2 - (gamma * e2 + (1 - gamma) * e1)
    states = list(samplers.gradient_estimation(law, grid, x, gamma))
    for state, expected in zip(states, (x, x1, x2, x3)):
        assert np.max(np.abs(state - expected)) <= 16 * EPS * np.max(np.abs(x))


def test_all_deterministic_samplers_share_their_first_step_with_ddim():
    grid = schedules.log_linear(12, 20.0, 0.05)
    x = start(grid)
    ddim = list(samplers.ddim(TwoPoints(), grid, x))[1]
    for other in (samplers.gradient_estimation, samplers.dpm_solver_pp):
        assert np.max(np.abs(list(other(TwoPoints(), grid, x))[1] - ddim)) <= 16 * EPS * np.max(np.abs(x))


def test_dpm_solver_last_step_rule():
    """First order when N < 10 (authors' code) or at a final 0; a two-step formula at sigma = 0 is refused."""
    few, many = schedules.log_linear(9, 20.0, 0.7), schedules.log_linear(10, 20.0, 0.7)
    for grid, default in ((few, True), (many, False)):
        x = start(grid)
        plain, same, other = (
            samplers.final(samplers.dpm_solver_pp(TwoPoints(), grid, x, lower)) for lower in (None, default, not default)
        )
        assert np.array_equal(plain, same)
        assert not np.array_equal(plain, other)
    zero = schedules.log_linear(9, 20.0, 0.02, final_zero=True)
    last = samplers.final(samplers.dpm_solver_pp(TwoPoints(), zero, start(zero)))
    assert np.max(np.abs(np.abs(last) - [1.0, 0.5, 0.25])) <= 4 * EPS
    with pytest.raises(ValueError, match=r"^lower_order_final\b"):
        samplers.dpm_solver_pp(TwoPoints(), schedules.edm(20), start(few), False)


def test_euler_maruyama_is_the_released_scheme():
    """The canonical and the denoise-at-eps loops of arXiv 2507.08956's setting, transcribed with time arrays."""

    def beta(t):
        return 0.1 + 19.9 * t

    def score(x, t):
        b = 0.1 * t + 19.9 * t * t / 2
        s, v = np.exp(-b / 2), -np.expm1(-b)
        return (s * TwoPoints().noised(float(s), float(np.sqrt(v))).denoise(x) - x) / v

    x0, N = Noise(1).initial(50, 3), 7
    x, times = x0, np.linspace(0, 1, N + 1)
    for k, i in enumerate(range(N - 1, -1, -1)):
        g = beta(times[i + 1]) * (times[i + 1] - times[i])
        x = (1 + 0.5 * g) * x + g * score(x, times[i + 1]) + np.sqrt(g) * Noise(2).normal(k, 50, 3)
    grid = schedules.vp_linear(N)
    ours = samplers.final(samplers.euler_maruyama(TwoPoints(), grid, x0, noise=Noise(2), step="right"))
    assert np.max(np.abs(ours - x)) <= 1e-11 * np.max(np.abs(x))  # tanh amplifies the rounding of t
    eps = 1e-3
    for ode in (False, True):
        x, times = x0, np.linspace(1.0, eps, N)
        for i in range(N):
            last = i == N - 1
            g = beta(times[i]) * (eps if last else (1 - eps) / (N - 1))
            z = 0 if last else Noise(2).normal(i, 50, 3)
            x = (
                x + 0.5 * g * (x + score(x, times[i]))
                if ode
                else ((1 + 0.5 * g) * x + g * score(x, times[i]) + np.sqrt(g) * z)
            )
        grid = schedules.vp_linear(N, eps=eps, final_zero=True)
        if ode:
            states = samplers.probability_flow(TwoPoints(), grid, x0, step="right")
        else:
            states = samplers.euler_maruyama(TwoPoints(), grid, x0, noise=Noise(2), step="right", last_noise=False)
        assert np.max(np.abs(samplers.final(states) - x)) <= 1e-10 * np.max(np.abs(x))


def test_euler_maruyama_denoise_returns_the_denoiser():
    grid = schedules.vp_linear(6, eps=1e-3, final_zero=True)
    x = start(grid)
    states = list(samplers.euler_maruyama(TwoPoints(), grid, x, noise=Noise(1), final="denoise"))
    level = (float(grid.scale[-2]), float(grid.sigma[-2]))
    assert np.array_equal(states[-1], TwoPoints().noised(*level).denoise(states[-2]))


@pytest.mark.parametrize("name", ["euler_maruyama", "exponential_integrator"])
def test_strong_order_one_on_a_shared_brownian_path(name):
    """Additive noise: the pathwise error against a fine run on the same Brownian path falls as 1/N; not with fresh noise."""

    class Unit:
        dim = 1

        def noised(self, scale, sigma):
            self.v = scale**2 * 0.5 + sigma**2
            self.s = scale
            return self

        def denoise(self, x):
            return 0.5 * self.s / self.v * x

    fine = schedules.vp_linear(4096, 3.0, 3.0)
    path = BrownianPath(3, fine)
    x = Noise(8).initial(300, 1)

    def output(N, noise=None):
        grid = schedules.vp_linear(N, 3.0, 3.0)
        noise = path.increments(grid) if noise is None else noise
        return samplers.final(samplers.REGISTRY[name].function(Unit(), grid, x, noise=noise))

    steps = np.array([32, 64, 128])
    reference = output(4096)
    errors = [np.sqrt(np.mean((output(int(N)) - reference) ** 2)) for N in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -1.1 < slope < -0.9
    assert np.sqrt(np.mean((output(128, Noise(3)) - reference) ** 2)) > 30 * errors[-1]


class Everywhere(TwoPoints):
    """The same law, which also remembers the levels it was asked at."""

    def __init__(self):
        super().__init__()
        self.levels = []

    def noised(self, scale, sigma):
        self.levels.append((scale, sigma))
        return super().noised(scale, sigma)


def test_oracle_between_the_levels():
    """``denoise_at`` and ``score_at`` give the law at any level, floats or one value per row, and count as oracle calls."""
    grid, x, info = grid_for("ddim"), start(grid_for("ddim"), 3), samplers.REGISTRY["ddim"]
    law = Everywhere()
    oracle = _base.Run(law, grid, x, info)
    assert np.array_equal(oracle.denoise_at(grid.scale[2], grid.sigma[2], x), oracle.denoise(2, x))
    assert np.array_equal(oracle.score_at(grid.scale[2], grid.sigma[2], x), oracle.score(2, x))
    assert np.array_equal(oracle.denoise_at(0.7, 1.9, x), TwoPoints().noised(0.7, 1.9).denoise(x))
    assert law.levels[-1] == (0.7, 1.9)
    assert all(type(a) is float for level in law.levels for a in level)
    sigmas = np.array([0.4, 1.9, 0.0])
    rows = oracle.denoise_at(0.7, sigmas, x)
    assert len(law.calls) == 6
    for row, sigma in enumerate(sigmas):
        assert np.max(np.abs(rows[row] - TwoPoints().noised(0.7, float(sigma)).denoise(x[row : row + 1])[0])) <= 4 * EPS
    score = oracle.score_at(0.7, sigmas[:2], x[:2])
    assert np.max(np.abs(score - (0.7 * rows[:2] - x[:2]) / sigmas[:2, np.newaxis] ** 2)) <= 16 * EPS * np.max(np.abs(score))


@pytest.mark.parametrize("size", [1e9, 1.0])
def test_an_answer_between_the_levels_explains_growth(size):
    """A state of 1e9 is no blow-up after an answer of 1e9 at a level between two of the grid, and is one after 1."""

    class Answers(TwoPoints):
        def noised(self, scale, sigma):
            return self

        def denoise(self, x):
            return np.full_like(x, size)

    def update(x, i, grid, oracle, noise, memory):
        oracle.denoise_at(1.0, 1.23, x)
        return np.full((2, 3), 1e9), memory

    states = _base.Run(Answers(), VE_GRID, np.ones((2, 3)), samplers.REGISTRY["ddim"]).states(update)
    if size == 1e9:
        assert len(list(states)) == 5
    else:
        with pytest.raises(ValueError, match=r"blew up: .* in state 1 of 4"):
            list(states)


def test_repeated_level_with_variable_gamma():
    check_repeated_level("gradient_estimation", gamma="variable")


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(samplers.REGISTRY))
def test_yielded_states_are_copies(name, dtype, kind):
    """A callback that clips what it is given changes neither the states to come nor the start, of either float type."""
    info, grid = samplers.REGISTRY[name], grid_for(name) if name in NAMES else schedules.vp_linear(12)
    law = GaussianMixture([0.3, 0.7], [[-1.0, 0.5, 0.0], [0.8, -0.2, 1.0]], 0.15)
    kept = (5 * Noise(1).initial(8, 3)).astype(dtype)

    def states(x):
        return info.function(law, grid, x, **({"noise": Noise(2)} if info.stochastic else {}))

    if kind == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch (CPU build)")
        start = torch.from_numpy(kept.copy())
    else:
        start = kept.copy()
    edited = []
    for state in states(start):
        edited.append(to_numpy(state).copy())
        state[:] = 0 * state
    plain = [to_numpy(state).copy() for state in states(start)]
    assert np.array_equal(to_numpy(start), kept)
    assert all(np.array_equal(a, b) for a, b in zip(edited, plain, strict=True))


def test_start_is_read_at_the_call():
    grid, x = grid_for("ddim"), start(grid_for("ddim"))
    states, kept = samplers.ddim(TwoPoints(), grid, x), x.copy()
    x[:] = 0
    assert np.array_equal(next(states), kept)


@pytest.mark.parametrize("name", ["euler_maruyama", "probability_flow", "exponential_integrator"])
def test_run_that_blows_up_is_named(name):
    """Steps far above 2 v multiply the deviation at every step: refused with the state, not returned as a sample of 1e27."""
    law = GaussianMixture([1.0], [[0.5]], 1e-4)
    grid = schedules.vp_linear(12)
    with pytest.raises(ValueError, match=r"^grid \(the run blew up: coordinates of \S+ in state \d+ of 12\).*smaller step"):
        run(name, grid, Noise(1).initial(9, 1), law, step=np.full(12, 40.0))
    assert np.max(np.abs(run(name, grid, Noise(1).initial(9, 1), law)[-1])) < 1


def test_answers_that_leave_the_floats_are_named():
    class Infinite(TwoPoints):
        def noised(self, scale, sigma):
            return self

        def denoise(self, x):
            return x * np.inf

    blown = r"^grid \(the run blew up: coordinates of (inf|nan) in state 1 of 6\)"
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=blown):
        run("ddim", grid_for("ddim"), start(grid_for("ddim")), Infinite())


@pytest.mark.parametrize(("sizes", "state"), [([1e6, 1e8, 1e10, 10**12.5], 4), ([1e6, 1e8, 1e10, 10**11.5], None)])
def test_an_answer_explains_the_growth_of_one_state_only(sizes, state):
    """The first answer is 1e9 and the others 1: after the first state, which it explains, each grows by itself."""
    answers = iter([1e9, 1.0, 1.0, 1.0])

    class Answers(TwoPoints):
        def noised(self, scale, sigma):
            return self

        def denoise(self, x):
            return np.full_like(x, next(answers))

    def update(x, i, grid, oracle, noise, memory):
        oracle.denoise(i, x)
        return np.full((2, 3), sizes[i]), memory

    states = _base.Run(Answers(), VE_GRID, np.ones((2, 3)), samplers.REGISTRY["ddim"]).states(update)
    if state is None:
        assert len(list(states)) == 5
    else:
        with pytest.raises(ValueError, match=rf"blew up: .* in state {state} of 4"):
            list(states)


def test_growth_that_the_denoiser_explains_is_no_blow_up():
    """Data at 1e9, far from the start and not normalised: DDIM moves there, and every state lies between the answers."""
    law = GaussianMixture([1.0], [[1e9]], 1.0)
    for name in NAMES:
        assert 1e8 < np.abs(run(name, schedules.vp_linear(40), Noise(1).initial(9, 1), law)[-1]).max() < 1e10


def test_final_refuses_an_exhausted_generator():
    grid = grid_for("ddim")
    states = samplers.ddim(TwoPoints(), grid, start(grid))
    samplers.final(states)
    with pytest.raises(ValueError, match=r"^states\b"):
        samplers.final(states)


# ---------------------------------------------------------------------------------------------------- bad input

VE_GRID, VP_GRID, X = schedules.log_linear(4, 9.0, 0.1), schedules.vp_linear(4), np.ones((2, 3))
LAW = TwoPoints()
BAD = {
    "law None": ("law", lambda: samplers.ddim(None, VE_GRID, X)),
    "law without noised": ("law", lambda: samplers.heun(object(), VE_GRID, X)),
    "grid list": ("grid", lambda: samplers.ddim(LAW, [9.0, 1.0], X)),
    "grid rows": ("grid", lambda: samplers.ddim(LAW, Grid(1.0, [[2.0] * 3, [1.0] * 3]), X)),
    "grid VE for PF": ("grid", lambda: samplers.probability_flow(LAW, VE_GRID, X)),
    "grid VE for EM": ("grid", lambda: samplers.euler_maruyama(LAW, VE_GRID, X, noise=Noise(1))),
    "grid VE for EI": ("grid", lambda: samplers.exponential_integrator(LAW, VE_GRID, X, noise=Noise(1))),
    "x one axis": ("x", lambda: samplers.ddim(LAW, VE_GRID, np.ones(3))),
    "x dimension": ("x", lambda: samplers.ddim(LAW, VE_GRID, np.ones((2, 4)))),
    "x NaN": ("x", lambda: samplers.heun(LAW, VE_GRID, np.full((2, 3), np.nan))),
    "x infinite": ("x", lambda: samplers.dpm_solver_pp(LAW, VE_GRID, np.full((2, 3), np.inf))),
    "x complex": ("x", lambda: samplers.ddim(LAW, VE_GRID, 1j * X)),
    "x bool": ("x", lambda: samplers.ddim(LAW, VE_GRID, X > 0)),
    "gamma text": ("gamma", lambda: samplers.gradient_estimation(LAW, VE_GRID, X, "auto")),
    "gamma NaN": ("gamma", lambda: samplers.gradient_estimation(LAW, VE_GRID, X, np.nan)),
    "gamma None": ("gamma", lambda: samplers.gradient_estimation(LAW, VE_GRID, X, None)),
    "mu one": ("mu", lambda: samplers.ddpm(LAW, VE_GRID, X, noise=Noise(1), mu=1.0)),
    "mu negative": ("mu", lambda: samplers.ddpm(LAW, VE_GRID, X, noise=Noise(1), mu=-0.1)),
    "variance": ("variance", lambda: samplers.ddpm(LAW, VE_GRID, X, noise=Noise(1), variance="learned")),
    "variance large, mu": ("variance", lambda: samplers.ddpm(LAW, VE_GRID, X, noise=Noise(1), mu=0.2, variance="large")),
    "last_noise": ("last_noise", lambda: samplers.ddpm(LAW, VE_GRID, X, noise=Noise(1), last_noise=0)),
    "noise missing": ("noise", lambda: samplers.ddpm(LAW, VE_GRID, X)),
    "noise integer": ("noise", lambda: samplers.euler_maruyama(LAW, VP_GRID, X, noise=3)),
    "noise missing EI": ("noise", lambda: samplers.exponential_integrator(LAW, VP_GRID, X)),
    "step text": ("step", lambda: samplers.euler_maruyama(LAW, VP_GRID, X, noise=Noise(1), step="left")),
    "step shape": ("step", lambda: samplers.euler_maruyama(LAW, VP_GRID, X, noise=Noise(1), step=[1.0])),
    "step negative": ("step", lambda: samplers.probability_flow(LAW, VP_GRID, X, step=[1.0, 1.0, -1.0, 1.0])),
    "step right without time": ("step", lambda: samplers.probability_flow(LAW, VE_GRID.to_vp(), X, step="right")),
    "final text": ("final", lambda: samplers.probability_flow(LAW, VP_GRID, X, final="project")),
    "final denoise": ("final", lambda: samplers.probability_flow(LAW, schedules.vp_linear(4, eps=0.1), X, final="denoise")),
    "last_noise EM": ("last_noise", lambda: samplers.euler_maruyama(LAW, VP_GRID, X, noise=Noise(1), last_noise=1)),
    "lower_order_final": ("lower_order_final", lambda: samplers.dpm_solver_pp(LAW, VE_GRID, X, 1)),
}


def test_law_grid_and_start_may_be_named():
    for name, info in samplers.REGISTRY.items():
        kinds = [p.kind for p in inspect.signature(info.function).parameters.values()][:3]
        assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 3, name


def test_message_counts_the_rows():
    with pytest.raises(ValueError, match=r"^grid\b.*one per row of x \(7 rows\)"):
        next(samplers.ddim(LAW, Grid(1.0, [[2.0] * 3, [1.0] * 3]), np.zeros((7, LAW.dim))))


@pytest.mark.parametrize(
    ("scale", "sigma", "least"),
    [([0.5, 0.25], [4.0, 0.125], 0.125), ([0.5, 0.25], [4.0, 0.0], 0.25), ([3.0, 3.0], [9.0, 6.0], 1.0)],
)
def test_limit_of_the_start(scale, sigma, least):
    """1e150 times the smallest positive scale, sigma or 1: taken there, refused beyond, on either side of 0."""
    grid, x = Grid(scale, sigma), np.zeros((2, 3))
    for sign in (-1.0, 1.0):
        x[1, 2] = sign * 1e150 * least
        samplers.ddim(LAW, grid, x)
        x[1, 2] *= 1 + EPS
        with pytest.raises(ValueError, match=re.escape(f"at most {1e150 * least:g} in absolute value")):
            samplers.ddim(LAW, grid, x)


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_names_the_argument_at_the_call(case):
    name, call = BAD[case]
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()  # no state is requested: the check must not wait for the first next()


# ---------------------------------------------------------------------------------------- a start that is pure noise


PURE = Grid([0.0, 0.3, 0.8, 1.0], [1.0, np.sqrt(1 - 0.3**2), 0.6, 0.0])


@pytest.mark.parametrize("first", [1.0, 2.0])
def test_ddim_starts_from_pure_noise(first):
    """Nothing is known at scale 0: D is the prior mean and all of x is noise, x' = scale' E[X] + (sigma' / sigma) x."""
    law, x, grid = (
        GaussianMixture([1.0], [[1.5]], 0.25),
        np.array([[0.7], [-2.0]]),
        Grid(PURE.scale, [first, *PURE.sigma[1:]]),
    )
    states = list(samplers.ddim(law, grid, x))
    by_hand = [x]
    for i in range(grid.N):
        (a, s), (b, t), y = (grid.scale[i], grid.sigma[i]), (grid.scale[i + 1], grid.sigma[i + 1]), by_hand[-1]
        clean = 1.5 + a * 0.25 / (a * a * 0.25 + s * s) * (y - a * 1.5)
        by_hand.append(b * clean + t / s * (y - a * clean))
    for state, want in zip(states, by_hand, strict=True):
        assert np.abs(state - want).max() <= 1e-15
    near = Grid(np.where(grid.scale > 0, grid.scale, 1e-12), grid.sigma)  # the limit
    assert np.abs(states[-1] - samplers.final(samplers.ddim(law, near, x))).max() <= 1e-10


def test_ddim_takes_pure_noise_in_some_rows():
    law, x = GaussianMixture(None, [[1.5, 0.0], [-1.0, 1.0]], 0.25), np.array([[0.7, 0.1], [-2.0, 0.4]])
    plain = Grid(np.where(PURE.scale > 0, PURE.scale, 0.1), PURE.sigma)
    rows = Grid(np.stack([PURE.scale, plain.scale], axis=1), np.stack([PURE.sigma, plain.sigma], axis=1))
    both = samplers.final(samplers.ddim(law, rows, x))
    for i, grid in enumerate((PURE, plain)):
        assert np.abs(both[i : i + 1] - samplers.final(samplers.ddim(law, grid, x[i : i + 1]))).max() <= 1e-14


@pytest.mark.parametrize("name", samplers.REGISTRY)
def test_pure_noise_is_the_limit_of_small_scales_or_refused_at_the_call(name):
    info, law, x = samplers.REGISTRY[name], GaussianMixture([1.0], [[1.5]], 0.25), np.array([[0.7], [-2.0]])
    noise = {"noise": Noise(0)} if info.stochastic else {}
    try:
        states = info.function(law, PURE, x, **noise)
    except ValueError as error:
        refused = str(error)
    else:
        near = Grid(np.where(PURE.scale > 0, PURE.scale, 1e-12), PURE.sigma)
        want = list(info.function(law, near, x, **noise))
        assert np.abs(np.stack(list(states)) - np.stack(want)).max() <= 1e-10
        return
    assert re.match(r"(?s)grid \(its first scale is 0\): .*positive scales", refused)


def test_exact_propagation_refuses_pure_noise():
    law = GaussianMixture([1.0], [[1.5]], 0.25)
    with pytest.raises(ValueError, match=r"^grid \(its first scale is 0\)"):
        gaussian("ddim", [1.5], 0.25, PURE)
    with pytest.raises(ValueError, match=r"^grid \(its first scale is 0\)"):
        propagate(law, PURE, "euler_maruyama")


def test_calls_of_a_grid_of_which_some_rows_end_at_zero():
    """Heun asks a second time in the last step unless all rows end there."""
    heun = samplers.REGISTRY["heun"]
    for last, calls in (([0.0, 0.0], 3), ([0.0, 0.1], 4), ([0.1, 0.1], 4)):
        assert heun.calls(Grid(1.0, [[2.0, 2.0], [1.0, 1.0], last])) == calls
