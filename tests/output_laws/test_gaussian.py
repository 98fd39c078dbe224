"""Exact Gaussian laws of all samplers: two derivations to 1e-12, 200,000 samples, published constants, orders.

A sampler's update is one text, which runs and which ``output_laws.gaussian`` probes. The recursions and the 50-digit
transcriptions of the published formulas in ``sampler_forms`` are two others, written without it; an index slip or a factor
in one of the three shows here and, mostly, nowhere else.
"""

import ast
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sampler_forms
from sampler_forms import RECURSIONS, mp, published

from exactdiffusion import samplers, schedules
from exactdiffusion._core.random import Noise
from exactdiffusion.output_laws import gaussian
from exactdiffusion.output_laws.gaussian import _Oracle

EPS = np.finfo(np.float64).eps

FULL = schedules.vp_linear(9)
STEPS = schedules.vp_linear(12)  # the backward step needs g < 2: at least 10 steps of this schedule
SHORT = schedules.vp_linear(6, eps=1e-3, final_zero=True)
VE = schedules.log_linear(11, 30.0, 0.05)
UNEVEN = schedules.edm(8, 20.0, 0.02)
MIXED = schedules.Grid(np.linspace(0.3, 1.4, 8), np.linspace(0.3, 1.4, 8) * np.array([30, 9, 4, 3.9, 1.1, 0.6, 0.2, 0.03]))

CASES = {
    "ddim VP": ("ddim", FULL, {}),
    "ddim uneven": ("ddim", UNEVEN, {}),
    "ddim mixed": ("ddim", MIXED, {}),
    "GE 2": ("gradient_estimation", VE, {}),
    "GE 2.4 VP": ("gradient_estimation", FULL, {"gamma": 2.4}),
    "GE variable": ("gradient_estimation", MIXED, {"gamma": "variable"}),
    "GE repeated level": ("gradient_estimation", schedules.quantised(40, "edm"), {"gamma": "variable"}),
    "ddpm": ("ddpm", UNEVEN, {}),
    "ddpm VP": ("ddpm", FULL, {}),
    "ddpm mu=0.3": ("ddpm", MIXED, {"mu": 0.3}),
    "ddpm mu=0.8": ("ddpm", VE, {"mu": 0.8}),
    "ddpm large": ("ddpm", UNEVEN, {"variance": "large"}),
    "ddpm large, last noise": ("ddpm", FULL, {"variance": "large", "last_noise": True}),
    "ddpm means": ("ddpm", MIXED, {"variance": "zero"}),
    "heun": ("heun", UNEVEN, {}),
    "heun mixed": ("heun", MIXED, {}),
    "DPM++ 11 steps": ("dpm_solver_pp", VE, {}),
    "DPM++ 10 steps": ("dpm_solver_pp", VE[:11], {}),
    "DPM++ 9 steps": ("dpm_solver_pp", VE[:10], {}),
    "DPM++ few": ("dpm_solver_pp", MIXED, {}),
    "DPM++ two-step last": ("dpm_solver_pp", MIXED, {"lower_order_final": False}),
    "DPM++ zero": ("dpm_solver_pp", UNEVEN, {"lower_order_final": True}),
    "DPM++ 12 steps to zero": ("dpm_solver_pp", schedules.log_linear(12, final_zero=True), {}),
    "PF": ("probability_flow", FULL, {}),
    "PF right, eps": ("probability_flow", SHORT, {"step": "right"}),
    "PF denoise": ("probability_flow", SHORT, {"final": "denoise"}),
    "EM": ("euler_maruyama", FULL, {}),
    "EM right, eps, mean last": ("euler_maruyama", SHORT, {"step": "right", "last_noise": False}),
    "EM denoise": ("euler_maruyama", SHORT, {"final": "denoise"}),
    "EM own steps": ("euler_maruyama", FULL, {"step": 1.1 * FULL.g}),
    "EI": ("exponential_integrator", FULL, {}),
    "backward": ("proximal_backward", STEPS, {}),
    "backward to eps": ("proximal_backward", schedules.vp_linear(15, eps=1e-3), {}),
    "hybrid": ("proximal_hybrid", FULL, {}),
    "hybrid few": ("proximal_hybrid", SHORT, {}),
    "EI right, mean last": ("exponential_integrator", SHORT, {"step": "right", "last_noise": False}),
}


def test_every_second_form_is_used():
    """The long run names the samplers that have no second form yet."""
    assert set(RECURSIONS) == {name for name, _, _ in CASES.values()} <= set(samplers.REGISTRY)


def test_the_second_forms_import_no_sampler():
    tree = ast.parse(Path(sampler_forms.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    found = {alias.name for node in imports for alias in node.names} | {getattr(node, "module", None) for node in imports}
    assert found == {"mpmath", "numpy", None}


class Gaussian:
    """Oracle of N(mean, cov); ``cov`` a matrix or variances. Not the library's own law: a separate text."""

    def __init__(self, mean, cov):
        self.mean, self.cov, self.dim = np.asarray(mean), np.asarray(cov), len(mean)

    def noised(self, scale, sigma):
        return _Noised(self, scale, sigma)


class _Noised:
    def __init__(self, law, scale, sigma):
        self.law, self.scale, self.sigma = law, scale, sigma

    def denoise(self, x):
        cov, s, v = self.law.cov, self.scale, self.sigma**2
        if cov.ndim == 1:
            return self.law.mean + (x - s * self.law.mean) * (s * cov / (s * s * cov + v))
        gain = np.linalg.solve(s * s * cov + v * np.eye(len(cov)), s * cov)
        return self.law.mean + (x - s * self.law.mean) @ gain

    def prox(self, x, lam):
        """Stationarity (u - x) + lam C^-1 (u - m) = 0, multiplied through by C."""
        cov, m, v = self.law.cov, self.scale * self.law.mean, self.sigma**2
        if cov.ndim == 1:
            C = self.scale**2 * cov + v
            return m + C / (C + lam) * (x - m)
        C = self.scale**2 * cov + v * np.eye(len(cov))
        return m + np.linalg.solve(C + lam * np.eye(len(cov)), C @ (x - m).T).T


class UnitNoise:
    """Row ``1 + d + k d + j`` receives the unit vector e_j at step k and nothing else."""

    def normal(self, step, n, d, start=0, like=None):
        z = np.zeros((n, d))
        z[1 + d + step * d : 1 + 2 * d + step * d] = np.eye(d)
        return z


def probe(name, law, grid, start_mean, start_cov, params):
    """Mean and covariance of the output from the affine map found by running the sampler on 0 and unit vectors."""
    d, info = law.dim, samplers.REGISTRY[name]
    x = np.zeros((1 + d + grid.N * d, d))
    x[1 : 1 + d] = np.eye(d)
    out = samplers.final(info.function(law, grid, x, **params, **({"noise": UnitNoise()} if info.stochastic else {})))
    linear = (out[1 : 1 + d] - out[0]).T
    noise = (out[1 + d :] - out[0]).T
    start_cov = np.diag(start_cov) if start_cov.ndim == 1 else start_cov
    return linear @ start_mean + out[0], linear @ start_cov @ linear.T + noise @ noise.T


def problem(seed, d=3, diagonal=False):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    lam = np.array([2.5, 0.4, 0.07])[:d]
    mean = np.array([0.7, -0.4, 0.2])[:d]
    if diagonal:
        return mean, lam, np.array([1.3, 0.2, -0.5])[:d], np.array([1.1, 0.6, 2.0])[:d]
    root = rng.standard_normal((d, d))
    return mean, (basis * lam) @ basis.T, np.array([1.3, 0.2, -0.5])[:d], root @ root.T + 0.1 * np.eye(d)


@pytest.mark.parametrize("diagonal", [True, False], ids=["diagonal", "full"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_recursion_against_the_probed_affine_map(case, diagonal, accuracy):
    """Must agree to 1e-12: rounding of N <= 40 steps with gains of order 1 to 10 (measured below 2e-14).

    The sampler as it runs, and the law that output_laws.gaussian finds from its update, against the recursion.
    """
    name, grid, params = CASES[case]
    mean, cov, start_mean, start_cov = problem(5, diagonal=diagonal)
    cov, start_cov = (cov if diagonal else 0.5 * (cov + cov.T)), start_cov
    exact_mean, exact_cov = sampler_forms.law(name, mean, cov, grid, start_mean, start_cov, **params)
    by, size = "recursion of the Gaussian law", np.max(np.abs(exact_cov))

    def compare(quantity, mean, cov):
        accuracy(quantity, np.max(np.abs(mean - exact_mean)), 1e-12 * np.max(np.abs(exact_mean)), by)
        error = np.max(np.abs(cov / exact_cov - 1)) if diagonal else np.max(np.abs(cov - exact_cov)) / size
        accuracy(quantity, error, 1e-12, by)

    m, c = probe(name, Gaussian(mean, cov), grid, start_mean, start_cov, params)
    if diagonal:
        assert np.max(np.abs(c - np.diag(np.diag(c)))) == 0
    compare(f"samplers.{name}", m, np.diag(c) if diagonal else c)
    found = gaussian(name, mean, cov, grid, start_mean, start_cov, **params)
    assert found.cov.shape == cov.shape
    assert diagonal or np.array_equal(found.cov, found.cov.T)
    compare("output_laws.gaussian", *found)


# ------------------------------------------------------------------------------------ 50 digits, one dimension


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("lam", [3.0, 0.02, 0.0])
def test_recursion_against_published_formulas_in_50_digits(case, lam, accuracy):
    """1-D law from the published update at 50 digits: 1e-12 relative (measured below 1e-14 but where lam = 0 ends at 0)."""
    name, grid, params = CASES[case]
    mean, start_mean, start_var = 0.6, -0.8, 1.7
    with mpmath.workdps(50):
        zero = [mpmath.mpf(0)] * grid.N
        base = published(name, grid, mean, lam, mpmath.mpf(0), zero, params)
        gain = published(name, grid, mean, lam, mpmath.mpf(1), zero, params) - base
        variance = gain**2 * mp(start_var)
        if samplers.REGISTRY[name].stochastic:
            for k in range(grid.N):
                unit = [mpmath.mpf(j == k) for j in range(grid.N)]
                variance += (published(name, grid, mean, lam, mpmath.mpf(0), unit, params) - base) ** 2
        exact_mean, exact_var = float(gain * mp(start_mean) + base), float(variance)
    # With lam = 0 and a final 0 the exact variance of a sampler may be 0 or a square of a cancelled sum: eps^2 of the start.
    limit = 1e-12 * exact_var + 64 * EPS**2 * start_var
    law = gaussian(name, [mean], [lam], grid, [start_mean], [start_var], **params)
    arrays = (np.array(v, dtype=np.float64) for v in ([mean], [lam], [start_mean], [start_var]))
    mu, variances, *start = arrays
    again = sampler_forms.law(name, mu, variances, grid, *start, **params)
    for found_mean, found_var in (law, again):
        accuracy(
            "output_laws.gaussian", abs(found_mean[0] - exact_mean), 1e-12 * abs(exact_mean), f"50 digits, mpmath: {case}"
        )
        accuracy("output_laws.gaussian", abs(found_var[0] - exact_var), limit, f"50 digits, mpmath: {case}")


# --------------------------------------------------------------------------------------------- sampling


def test_law_of_200000_samples(chance):
    """Means, variances and all covariances of whitened outputs, every case of the table.

    The start is drawn from N(start_mean, start_cov). Whitened by the exact law the output is N(0, I): n mean^2 and the sums
    of squares of z_i, (z_i + z_j)/sqrt 2, (z_i - z_j)/sqrt 2 are chi-square.
    """
    n, d = 200_000, 3
    draw = chance(comparisons=12 * len(CASES))
    mean, cov, start_mean, start_cov = problem(8)
    cov = 0.5 * (cov + cov.T)
    law = Gaussian(mean, cov)
    x = start_mean + draw.noise(77).initial(n, d) @ np.linalg.cholesky(start_cov).T
    for case, (name, grid, params) in CASES.items():
        info = samplers.REGISTRY[name]
        noise = {"noise": draw.noise(hash_free(case))} if info.stochastic else {}
        out = samplers.final(info.function(law, grid, x, **params, **noise))
        exact_mean, exact_cov = sampler_forms.law(name, mean, cov, grid, start_mean, start_cov, **params)
        z = np.linalg.solve(np.linalg.cholesky(exact_cov), (out - exact_mean).T)
        draw.normal(z.mean(axis=1), 0.0, 1 / np.sqrt(n), on=f"means, {case}")
        draw.chi_square(np.sum(z**2, axis=1), n, on=f"variances, {case}")
        i, j = np.triu_indices(d, k=1)
        draw.chi_square(np.sum((z[i] + z[j]) ** 2, axis=1), n, scale=2.0, on=f"sums, {case}")
        draw.chi_square(np.sum((z[i] - z[j]) ** 2, axis=1), n, scale=2.0, on=f"differences, {case}")


def hash_free(text):
    """A seed from a name, the same in every process (``hash`` is salted)."""
    return int.from_bytes(text.encode()[:7], "big")


# ------------------------------------------------------------------------------------- published closed forms


@pytest.mark.parametrize("N", [8, 50, 400])
def test_unit_gaussian_closed_forms(N):
    """Target N(0, 1), constant g, started at N(0, 1): V_N = V* + (1 - V*) rho^N exactly (arXiv 2507.08956's setting)."""
    T = 6.0
    grid, g = schedules.vp_linear(N, T, T), T / N
    one = ([0.0], [1.0], grid, [0.0], [1.0])
    star, rho = 1 / (1 - g / 4), (1 - g / 2) ** 2
    assert gaussian("euler_maruyama", *one).cov[0] == pytest.approx(star + (1 - star) * rho**N, rel=1e-12)
    star, rho = 1 / (1 + g / 4), (1 + g / 2) ** -2
    assert gaussian("proximal_backward", *one).cov[0] == pytest.approx(star + (1 - star) * rho**N, rel=1e-12)
    star, rho = 1 / (1 + 3 * g / 4), ((1 + g / 2) / (1 + g)) ** 2
    assert gaussian("proximal_hybrid", *one).cov[0] == pytest.approx(star + (1 - star) * rho**N, rel=1e-12)
    a = 2 - np.exp(g / 2)
    star = np.expm1(g) / (1 - a**2)
    assert gaussian("exponential_integrator", *one).cov[0] == pytest.approx(star + (1 - star) * a ** (2 * N), rel=1e-12)
    for name in ("probability_flow",):
        assert gaussian(name, *one).cov[0] == pytest.approx(1.0, rel=1e-12)
    large = gaussian("ddpm", *one, variance="large", last_noise=True)
    assert large.cov[0] == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("S", [0.25, 3.0])
def test_leading_constants_on_gaussian_targets(S):
    """(Var - S)/g and (mean - mu)/g at N = 8192, T = 40: errors O(g), g = 5e-3, times constants of order 1."""
    N, T, mu = 8192, 40.0, 1.5
    grid, g, L = schedules.vp_linear(N, T, T), T / N, np.log(S)
    curve = S**2 * L / (4 * (S - 1))
    expected = {
        ("euler_maruyama", ()): (0.5 - curve, -mu * S * L / (8 * (S - 1))),
        ("proximal_backward", ()): (curve - 0.5, mu * S * L / (8 * (S - 1))),  # minus the Euler-Maruyama constants
        ("proximal_hybrid", ()): (-0.5 - curve, -mu * S * L / (8 * (S - 1))),
        ("exponential_integrator", ()): (0.5, 0.0),
        ("ddpm", (("variance", "large"), ("last_noise", True))): ((1 - S) / 2, 0.0),
        ("probability_flow", ()): ((1 - S - S * L) / 4, None),
    }
    for (name, params), (variance, mean) in expected.items():
        law = gaussian(name, [mu], [S], grid, **dict(params))
        assert abs((law.cov[0] - S) / g - variance) <= 4 * g
        if mean is not None:
            assert abs((law.mean[0] - mu) / g - mean) <= 4 * g


def test_ddim_product_formula():
    """prod_t (1 - beta_t sigma_t^2 / (lam + sigma_t^2)) of arXiv 2306.04848."""
    grid, lam = schedules.edm(12), np.array([4.0, 0.3, 1e-4])
    law = gaussian("ddim", np.zeros(3), lam, grid, np.zeros(3), np.ones(3))
    product = np.prod(1 - grid.beta[:, None] * grid.sigma[:-1, None] ** 2 / (lam + grid.sigma[:-1, None] ** 2), axis=0)
    assert np.max(np.abs(np.sqrt(law.cov) / product - 1)) <= 1e-11  # 1 - x cancels for small lam


def test_conditional_mean_chain_of_a_gaussian_telescopes():
    """The chain of posterior means returns lam / (lam + v) exactly, for every grid (arXiv 2403.02957, Gaussian prior)."""
    lam = np.array([4.0, 0.3, 1e-4])
    for grid in (UNEVEN, schedules.log_linear(20, 3.0, final_zero=True), schedules.ddpm(7, final_zero=True)):
        law = gaussian("ddpm", np.zeros(3), lam, grid, np.zeros(3), np.ones(3), variance="zero")
        assert np.max(np.abs(np.sqrt(law.cov) * (lam + grid.sigma[0] ** 2) / lam - 1)) <= 64 * EPS * grid.N


def test_ddpm_keeps_the_distance_to_a_subspace():
    """Codimension directions (lam = 0): E dist^2 = sigma^2 at every level for beta-tilde, 1.555 sigma^2 for the betas."""
    grid = schedules.log_linear(20, 10.0, 0.1)
    small = gaussian("ddpm", [0.0], [0.0], grid, all_steps=True).cov[:, 0]
    assert np.max(np.abs(small / grid.sigma**2 - 1)) <= 64 * EPS
    large = gaussian("ddpm", [0.0], [0.0], grid, variance="large").cov[0] / grid.sigma[-1] ** 2
    assert abs(large - 1.555) <= 5e-3  # published figure: Monte-Carlo with three decimals


# ------------------------------------------------------------------------------------------------------- orders


def ode_error(name, N, lam=1.0, high=40.0, low=0.02, grid=None, **params):
    """Signed relative error of the output's standard deviation against the probability flow."""
    grid = schedules.log_linear(N, high, low) if grid is None else grid
    law = gaussian(name, [0.0], [lam], grid, **params)
    return np.sqrt(law.cov[0] / (lam + grid.sigma[-1] ** 2)) - 1


def slope(steps, errors):
    return np.polyfit(np.log(steps), np.log(np.abs(errors)), 1)[0]


ORDERS = {
    "ddim": ("ddim", {}, 1),
    "GE gamma=2": ("gradient_estimation", {}, 1),
    "GE variable": ("gradient_estimation", {"gamma": "variable"}, 2),
    "heun": ("heun", {}, 2),
    "DPM++": ("dpm_solver_pp", {}, 2),
}


@pytest.mark.parametrize("case", sorted(ORDERS))
def test_order_in_sigma(case):
    name, params, order = ORDERS[case]
    steps = np.array([1280, 2560, 5120])
    measured = -slope(steps, [ode_error(name, int(N), **params) for N in steps])
    assert abs(measured - order) <= 0.05
    if not params:
        assert samplers.REGISTRY[name].order == order


@pytest.mark.parametrize("case", sorted(ORDERS))
def test_order_on_a_nonuniform_grid(case):
    """EDM steps (rho = 3): the variable-step formulas keep their order; a formula for equal steps would not."""
    name, params, order = ORDERS[case]
    steps = np.array([640, 1280, 2560])
    errors = [ode_error(name, N, grid=schedules.edm(int(N), 10.0, 0.1, rho=3.0, final_zero=False), **params) for N in steps]
    assert abs(-slope(steps, errors) - order) <= 0.05


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("euler_maruyama", {}),
        ("exponential_integrator", {}),
        ("probability_flow", {}),
        ("proximal_backward", {}),
        ("proximal_hybrid", {}),
        ("ddpm", {"variance": "large", "last_noise": True}),
    ],
)
def test_weak_order_of_the_vp_family(name, params):
    steps = np.array([1024, 2048, 4096])
    errors = [gaussian(name, [0.0], [0.25], schedules.vp_linear(int(N), 6.0, 6.0), **params).cov[0] - 0.25 for N in steps]
    assert abs(-slope(steps, errors) - 1) <= 0.05


def test_gradient_estimation_errors_mirror_those_of_ddim():
    """N(0,1), sigma 40 -> .02, N = 1280: -1.482e-3 (gamma 1), +1.475e-3 (2), -2.2e-6 (1.5), -1.1e-5 (variable)."""
    one, two = ode_error("ddim", 1280), ode_error("gradient_estimation", 1280)
    assert f"{one:.3e}" == "-1.482e-03"
    assert f"{two:.3e}" == "1.475e-03"
    assert f"{ode_error('gradient_estimation', 1280, gamma=1.5):.1e}" == "-2.2e-06"
    assert f"{ode_error('gradient_estimation', 1280, gamma='variable'):.1e}" == "-1.1e-05"
    ratios = [-ode_error("gradient_estimation", N) / ode_error("ddim", N) for N in (640, 2560, 10240)]
    assert abs(ratios[2] - 1) < abs(ratios[1] - 1) < abs(ratios[0] - 1) < 0.02


# ------------------------------------------------------------------------------------------- interface of gaussian


def test_all_steps_default_start_and_function_argument():
    mean, cov, _, _ = problem(3)
    cov = 0.5 * (cov + cov.T)
    steps = gaussian(samplers.ddim, mean, cov, FULL, all_steps=True)
    assert steps.mean.shape == (10, 3)
    assert steps.cov.shape == (10, 3, 3)
    start = FULL.scale[0] ** 2 * cov + FULL.sigma[0] ** 2 * np.eye(3)
    assert np.allclose(steps.cov[0], start, rtol=0, atol=16 * EPS)
    assert np.allclose(steps.mean[0], FULL.scale[0] * mean, rtol=16 * EPS, atol=0)
    last = gaussian("ddim", mean, cov, FULL)
    assert np.array_equal(last.mean, steps.mean[-1])
    assert np.array_equal(last.cov, steps.cov[-1])
    explicit = gaussian("ddim", mean, cov, FULL, FULL.scale[0] * mean, start)
    assert np.allclose(explicit.cov, last.cov, rtol=0, atol=64 * EPS * np.max(last.cov))


@pytest.mark.parametrize("name", ["ddim", "ddpm"])
def test_a_start_of_rank_one(name):
    """What Cholesky refuses: the noiseless part of the output has rank one, too. Tolerance: that of the recursions."""
    mean, cov, start_mean, _ = problem(5)
    root = np.array([[1.0], [-2.0], [0.5]])
    law = gaussian(name, mean, cov, FULL, start_mean, root @ root.T)
    _, expected = probe(name, Gaussian(mean, cov), FULL, start_mean, root @ root.T, {})
    assert np.allclose(law.cov, expected, rtol=0, atol=1e-12 * np.max(expected))
    assert np.array_equal(law.cov, law.cov.T)


def test_large_dimension_stays_diagonal():
    d = 100_000
    law = gaussian("gradient_estimation", np.zeros(d), np.linspace(0, 2, d), VE)
    assert law.cov.shape == (d,)


def test_isotropic_scalars():
    law = gaussian("ddpm", np.zeros(4), 2.0, VE, np.ones(4), 1.0)
    single = gaussian("ddpm", [0.0], [2.0], VE, [1.0], [1.0])
    assert np.allclose(law.cov, single.cov[0], rtol=4 * EPS)
    assert np.allclose(law.mean, single.mean[0], rtol=4 * EPS)


PAIR = ([0.0, 0.0], np.eye(2), FULL)
BAD = {
    "unknown sampler": ("sampler", lambda: gaussian("euler", *PAIR)),
    "foreign function": ("sampler", lambda: gaussian(print, *PAIR)),
    "mean matrix": ("mean", lambda: gaussian("ddim", np.eye(2), np.eye(2), FULL)),
    "mean empty": ("mean", lambda: gaussian("ddim", [], [], FULL)),
    "mean NaN": ("mean", lambda: gaussian("ddim", [np.nan], [1.0], FULL)),
    "cov shape": ("cov", lambda: gaussian("ddim", [0.0, 0.0], np.eye(3), FULL)),
    "cov not symmetric": ("cov", lambda: gaussian("ddim", [0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], FULL)),
    "cov indefinite": ("cov", lambda: gaussian("ddim", [0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], FULL)),
    "cov negative variance": ("cov", lambda: gaussian("ddim", [0.0, 0.0], [1.0, -1.0], FULL)),
    "start_mean shape": ("start_mean", lambda: gaussian("ddim", *PAIR, [0.0])),
    "start_cov indefinite": ("start_cov", lambda: gaussian("ddim", *PAIR, [0.0, 0.0], -np.eye(2))),
    "grid": ("grid", lambda: gaussian("ddim", [0.0], [1.0], [3.0, 1.0])),
    "grid per row": ("grid", lambda: gaussian("ddim", [0.0], [1.0], schedules.Grid(1.0, [[2.0], [1.0]]))),
    "grid not VP": ("grid", lambda: gaussian("euler_maruyama", [0.0], [1.0], VE)),
    "gamma": ("gamma", lambda: gaussian("gradient_estimation", *PAIR, gamma="two")),
    "mu": ("mu", lambda: gaussian("ddpm", *PAIR, mu=1.0)),
    "noise": ("noise", lambda: gaussian("ddpm", *PAIR, noise=Noise(1))),
    "all_steps": ("all_steps", lambda: gaussian("ddim", *PAIR, all_steps=1)),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_names_the_argument(case):
    name, call = BAD[case]
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


# ------------------------------------------------------------------------------------------- samplers of a user's own


def own(update, checks=None, **options):
    """A sampler that is registered nowhere."""
    return samplers.SamplerInfo(
        "own",
        print,
        True,
        1,
        "any",
        "",
        update=update,
        checks=checks or (lambda law, grid, x, *, noise=None: None),
        **options,
    )


def two_memories(x, i, grid, oracle, noise, memory, *, weight):
    """A random scheme with two components of memory, of different lifetimes: both noises reach later states through them."""
    clean = oracle.denoise(i, x)
    old, older = memory or (clean, x / grid.scale[i])
    r = grid.noise_ratio
    y = clean + r[i + 1] / r[i] * (x / grid.scale[i] - clean) + weight * (clean - old) + 0.1 * (old - older)
    z = 0.3 * r[i + 1] * noise.normal(i, *x.shape, like=x)
    return grid.scale[i + 1] * (y + z), (clean + 0.5 * z, old)


def test_a_sampler_of_a_user_with_memory_and_noise():
    """Against the affine map of the whole run, from unit starts and one unit noise per step."""
    info = own(two_memories, lambda law, grid, x, *, noise=None, weight=0.4: {"weight": weight})
    mean, cov, start_mean, start_cov = problem(11)
    cov = 0.5 * (cov + cov.T)
    for weight in (0.0, 0.4):
        law = gaussian(info, mean, cov, MIXED, start_mean, start_cov, weight=weight)
        x = np.zeros((1 + 3 + MIXED.N * 3, 3))
        x[1:4] = np.eye(3)
        memory, run = (), samplers._base.Run(Gaussian(mean, cov), MIXED, x, info)
        for i in range(MIXED.N):
            x, memory = two_memories(x, i, MIXED, run, UnitNoise(), memory, weight=weight)
        linear, noise = (x[1:4] - x[0]).T, (x[4:] - x[0]).T
        expected = linear @ start_cov @ linear.T + noise @ noise.T
        assert np.max(np.abs(law.cov - expected)) <= 1e-12 * np.max(np.abs(expected))
        assert np.max(np.abs(law.mean - (linear @ start_mean + x[0]))) <= 1e-12 * np.max(np.abs(law.mean))


def test_the_exact_law_between_the_levels():
    """``denoise_at`` and ``score_at`` of the probe against this file's own Gaussian, also one level per row, and sigma 0.

    Rounding: 1e-13, some ten operations on numbers of order 1 to 30.
    """
    mean, lam, x = np.array([0.7, -0.4]), np.array([1.5, 0.0]), Noise(4).normal(0, 3, 2)
    oracle = _Oracle(VE, lam)
    oracle.centre = mean
    scales, sigmas = np.array([0.6, 1.0, 0.8]), np.array([0.5, 3.0, 0.0])
    rows = oracle.denoise_at(scales, sigmas, x)
    score = oracle.score_at(scales[:2], sigmas[:2], x[:2])
    for k, (scale, sigma) in enumerate(zip(scales[:2], sigmas[:2])):
        one = Gaussian(mean, lam).noised(scale, sigma).denoise(x[k])
        assert np.max(np.abs(rows[k] - one)) <= 1e-13
        assert np.max(np.abs(oracle.denoise_at(scale, sigma, x[:2])[k] - one)) <= 1e-13
        assert np.max(np.abs(score[k] - (scale * one - x[k]) / sigma**2)) <= 1e-12
    assert np.array_equal(rows[2], x[2] / 0.8)


@pytest.mark.parametrize("at", [1.0, 2.0, 3.0, 20.0])
@pytest.mark.parametrize("part", ["state", "state, dead zone", "memory, old", "memory, new", "noise"])
def test_gaussian_refuses_an_update_that_is_not_affine_far_out(part, at):
    """What is clipped at some deviations, or 0 up to there, in one direction and in one step of six."""
    mean, lam, grid = np.zeros(2), np.array([60.0, 50.0]), schedules.log_linear(6, 9.0, 2.0)

    def update(x, i, grid, oracle, noise, memory, *, limit):
        def bend(name, values):
            if limit is None or i != 4 or name != part:
                return values
            bent = np.where(np.abs(values) < limit, 0.0, values) if "zone" in name else np.clip(values, -limit, limit)
            return np.stack([bent[:, 0], values[:, 1]], axis=1)

        clean, shrink, deviation = oracle.denoise(i, x), grid.sigma[i + 1] / grid.sigma[i], 0.5 * grid.sigma[i + 1]
        old = bend("memory, old", memory[0] if memory else clean)
        y = clean + shrink * (x - clean) + 0.2 * (clean - old)
        y = y + deviation * bend("noise", noise.normal(i, *x.shape, like=x))
        return bend("state", bend("state, dead zone", y)), (bend("memory, new", clean),)

    info = own(update, lambda law, grid, x, *, noise=None, limit=None: {"limit": limit})
    before, after = gaussian(info, mean, lam, grid, all_steps=True).cov[4:6, 0]
    gain = lam[0] / (lam[0] + grid.sigma[3:5] ** 2)  # of the denoiser that is remembered
    sizes = {"noise": 1.0, "memory, old": gain[0] * np.sqrt(before), "memory, new": gain[1] * np.sqrt(before)}
    with pytest.raises(ValueError, match=r"^sampler: .*an update that is affine.* \(step 4 is not"):
        gaussian(info, mean, lam, grid, limit=at * sizes.get(part, np.sqrt(after)))


def test_rounding_is_that_of_the_update():
    """The sizes that the docstring states: against the published step in 60 digits."""
    with mpmath.workdps(60):
        for ratio, lam, low, high in ((1e-8, 1.0, 1e-9, 1e-8), (1e-4, 1e-12, 1e-9, 1e-8), (1e-3, 1.0, 0.0, 1e-11)):
            grid = schedules.Grid(np.ones(2), [1.0, ratio])
            base, gain = (published("heun", grid, 0.0, lam, mpmath.mpf(k), [mpmath.mpf(0)], {}) for k in (0, 1))
            exact = (gain - base) ** 2 * mp(1.7)
            found = gaussian("heun", [0.0], [lam], grid, [0.0], [1.7]).cov[0]
            assert low <= abs(mp(found) - exact) / exact <= high
    with pytest.raises(ValueError, match=r"^sampler: got 'heun'; .*\(step 0 is not, to 1e-06"):
        gaussian("heun", [1.0], [0.0], schedules.Grid(np.ones(2), [1e6, 1e-9]))


def test_gaussian_refuses_what_is_not_affine():
    def ddim(x, i, grid, oracle, noise, memory):
        return samplers.REGISTRY["ddim"].update(x, i, grid, oracle, noise, memory)

    def clips(x, i, grid, oracle, noise, memory):
        x, memory = ddim(x, i, grid, oracle, noise, memory)
        return np.clip(x, -2.0, 2.0), memory

    def mixes(x, i, grid, oracle, noise, memory):
        x, memory = ddim(x, i, grid, oracle, noise, memory)
        return x / (1 + np.sum(x * x, axis=1, keepdims=True)), memory

    def shares_noise(x, i, grid, oracle, noise, memory):
        x, memory = ddim(x, i, grid, oracle, noise, memory)
        return x + noise.normal(0, *x.shape, like=x), memory

    def keeps_a_number(x, i, grid, oracle, noise, memory):
        return ddim(x, i, grid, oracle, noise, memory)[0], (i,)

    target = (np.array([0.3, -0.2]), np.array([2.0, 0.5]), VE)
    plain = gaussian("ddim", *target)
    assert np.array_equal(gaussian(own(ddim), *target).cov, plain.cov)
    for update, expected in (
        (clips, "affine, each direction alone, on a Gaussian"),
        (mixes, "affine, each direction alone, on a Gaussian"),
        (shares_noise, r"noise\.normal\(i, n, d\) alone in step i"),
        (keeps_a_number, "memory a tuple of arrays like the state"),
    ):
        with pytest.raises(ValueError, match=rf"^sampler: .*{expected}"):
            gaussian(own(update), *target)
    with pytest.raises(ValueError, match=r"^sampler: .*it has an update"):
        gaussian(samplers.SamplerInfo("bare", samplers.ddim, False, 1, "any", ""), *target)
