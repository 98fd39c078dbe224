"""Appendix A: the published DDIM step is an Euler step in sigma.

Suppose that

    (H1)  z = sqrt(alpha_bar) x and alpha_bar = 1 / (1 + sigma^2), that is sigma = sqrt(1 / alpha_bar - 1),
    (H2)  the step is the published one, z' = sqrt(alpha_bar') (z - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)
          + sqrt(1 - alpha_bar') eps.

Then, with beta = 1 - sigma' / sigma and xhat = x - sigma eps,

    x'  =  x + (sigma' - sigma) eps  =  x - beta (x - xhat),

and on N(0, lambda) the step multiplies x by 1 - beta sigma^2 / (lambda + sigma^2).

Source: Appendix A of Permenter & Yuan, as their blog tells it; proved here. Measured by SymPy, by the sampler in
variance-preserving coordinates against the published formula (Song, Meng & Ermon 2021, eq. 12), and on Gaussian targets.
"""

import numpy as np
import sympy

from exactdiffusion import Denoiser, GaussianMixture, PointCloud, output_laws, samplers, schedules
from exactdiffusion.statements import projection as bound

STATEMENT = bound.ddim_coordinates.statement
EPS = np.finfo(np.float64).eps


def published(z, eps, abar, abar_next, sqrt=np.sqrt):
    """Song, Meng, Ermon (2021), Eq. (12) with zero variance, literally."""
    return sqrt(abar_next) * (z - sqrt(1 - abar) * eps) / sqrt(abar) + sqrt(1 - abar_next) * eps


def runs():
    """Grid, oracle and start in VP coordinates."""
    rng = np.random.default_rng(460)
    cloud = PointCloud(rng.standard_normal((30, 6)))
    for name, grid in (
        ("VP linear", schedules.vp_linear(20, eps=1e-3)),
        ("DDPM-50", schedules.ddpm(50).to_vp()),
        ("cosine, last level 0", schedules.cosine(15, final_zero=True).to_vp()),
    ):
        yield name, grid, cloud, rng.standard_normal((40, 6))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_algebra(check):
    z, eps = sympy.symbols("z epsilon", real=True)
    s, s1, lam = sympy.symbols("sigma sigma_next lambda", positive=True)
    abar, abar_next = 1 / (1 + s**2), 1 / (1 + s1**2)
    x = z / sympy.sqrt(abar)
    step = bound.ddim_coordinates(x, eps, s, s1)
    old = published(z, eps, abar, abar_next, sympy.sqrt) / sympy.sqrt(abar_next)
    beta, xhat = 1 - s1 / s, x - s * eps
    gauss = bound.ddim_coordinates(x, x * s / (lam + s**2), s, s1)
    residuals = [
        sympy.simplify(step - old),
        sympy.simplify(step - (x - beta * (x - xhat))),
        sympy.simplify(gauss / x - (1 - beta * s**2 / (lam + s**2))),
        sympy.simplify(sympy.sqrt(1 / abar - 1) - s),
    ]
    nonzero = [float(r != 0) for r in residuals]
    check.equal(nonzero, 0.0, tol=0, cause="exact: SymPy", on="coordinates, GD form, Gaussian factor")


def test_sampler_in_vp_coordinates(check):
    """samplers.ddim on a VP grid, the published formula on alpha_bar, and the registered step on (x, sigma): three codes."""
    for name, grid, cloud, z in runs():
        states = list(samplers.ddim(cloud, grid, z))
        a, b = z, z / grid.scale[0]
        abar, sigma = grid.alpha_bar, grid.noise_ratio
        worst_a, worst_b = [], []
        for i in range(grid.N):
            # eps from the denoiser at each chain's own state
            eps_a = (a - grid.scale[i] * cloud.noised(grid.scale[i], grid.sigma[i]).denoise(a)) / np.sqrt(1 - abar[i])
            a = published(a, eps_a, abar[i], abar[i + 1])
            eps_b = (b - cloud.noised(1.0, sigma[i]).denoise(b)) / sigma[i]
            b = bound.ddim_coordinates(b, eps_b, sigma[i], sigma[i + 1])
            worst_a.append(np.abs(states[i + 1] - a).max())
            worst_b.append(np.abs(states[i + 1] - grid.scale[i + 1] * b).max())
        # 1 - alpha_bar loses eps / sigma^2 relative where sigma is small; there eps multiplies sigma - sigma'
        size = 4.0 / grid.scale.max()
        tol = 64 * EPS * grid.N * size * max(1.0, 1 / np.min(sigma[:-1]))
        cause = "rounding: 64 eps N / sigma_min: 1 - alpha_bar is formed by cancellation"
        check.equal(worst_a, 0.0, tol=tol, cause=cause, on=f"published formula, {name}")
        tol = 64 * EPS * grid.N * np.abs(z / grid.scale[0]).max() * grid.scale[1:]
        check.equal(worst_b, 0.0, tol=tol, cause="rounding: 64 eps N |x_N|", on=f"(x, sigma) form, {name}")


def test_gaussian_product(check):
    """On N(0, lambda) DDIM is the product of 1 - beta sigma^2 / (lambda + sigma^2); sampler, exact law and product."""
    for grid in (schedules.log_linear(40, sigma_max=20.0, sigma_min=0.01), schedules.ddpm(50), schedules.edm(18)):
        for lam in (1e-4, 1.0, 30.0):
            s = grid.sigma[:-1]
            product = np.prod(1 - grid.beta * s**2 / (lam + s**2))
            out = samplers.final(samplers.ddim(GaussianMixture(None, np.zeros((1, 1)), lam), grid, np.ones((1, 1))))
            law, _ = output_laws.gaussian("ddim", np.zeros(1), np.array([lam]), grid, np.ones(1), np.zeros(1))
            tol = 16 * EPS * grid.N
            on = f"lambda {lam}, N = {grid.N} from {grid.sigma[0]:.0f}"
            check.equal(out[0, 0], product, tol=tol, cause="rounding: 16 eps per step", on=f"sampler, {on}")
            check.equal(
                law[0] / product, 1.0, tol=tol * (1 + 1 / product), cause="rounding: 16 eps per step", on=f"law, {on}"
            )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    _, grid, cloud, z = next(runs())
    abar = grid.alpha_bar
    first = list(samplers.ddim(cloud, grid, z))[1]
    eps = (z - grid.scale[0] * cloud.noised(grid.scale[0], grid.sigma[0]).denoise(z)) / grid.sigma[0]
    wrong = published(z, eps, abar[1], abar[0])
    check.control(
        "the index (alpha_bar_t and alpha_bar_{t-1} exchanged)", np.abs(first - wrong).max(), 0.0, tol=1e-9, on="VP"
    )
    # Euler in the VP time of the probability-flow ODE is another step
    other = list(samplers.probability_flow(cloud, grid, z))[1]
    check.control(
        "Euler in sigma (Euler in VP time)", np.abs(first - other).max(), 0.0, tol=1e-9, on="VP linear, first step"
    )
    # an oracle that ignores the scale
    wrong = list(samplers.ddim(Denoiser(lambda x, s: cloud.noised(1.0, s).denoise(x * grid.scale[0]), 6), grid, z))[1]
    check.control(
        "x = z / sqrt(alpha_bar) (left out)", np.abs(first - wrong).max(), 0.0, tol=1e-9, on="VP linear, first step"
    )
