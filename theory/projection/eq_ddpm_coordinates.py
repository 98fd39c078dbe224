"""Appendix A: DDPM goes down to a lower level than it must and adds the missing noise.

Suppose that

    (H1)  the coordinates are x = z / sqrt(alpha_bar), sigma = sqrt(1 / alpha_bar - 1),
    (H2)  0 <= mu < 1, and sigma_{t'} is defined by sigma_{t-1} = sigma_t^mu sigma_{t'}^{1 - mu},
    (H3)  w ~ N(0, I).

Then the step

    x_{t-1}  =  x_t + (sigma_{t'} - sigma_t) eps + sqrt(sigma_{t-1}^2 - sigma_{t'}^2) w

is DDIM at mu = 0; at mu = 1/2, where sigma_{t'} = sigma_{t-1}^2 / sigma_t, it is DDPM with the posterior mean and the
posterior variance (beta-tilde); for every mu it is the step of Song et al. (2021) with variance alpha_bar_{t-1}
(sigma_{t-1}^2 - sigma_{t'}^2).

Source: Appendix A of Permenter & Yuan, as their blog tells it; proved here. Measured by SymPy, and by the sampler against
the published formulas with shared noise.
"""

import numpy as np
import pytest
import sympy

from exactdiffusion import Noise, PointCloud, samplers, schedules
from exactdiffusion.statements import projection as bound

STATEMENT = bound.ddpm_coordinates.statement
EPS = np.finfo(np.float64).eps
MUS = (0.0, 0.25, 0.5, 0.8)


def ancestral(z, eps, abar, abar_next, sqrt=np.sqrt):
    """Ho, Jain, Abbeel (2020), Eqs. (7), (11): mean in the epsilon form, variance beta-tilde."""
    alpha = abar / abar_next
    beta = 1 - alpha
    return (z - beta / sqrt(1 - abar) * eps) / sqrt(alpha), (1 - abar_next) / (1 - abar) * beta


def generalised(z, eps, abar, abar_next, variance, sqrt=np.sqrt):
    """Song, Meng, Ermon (2021), Eq. (12): the mean for a step of the given variance."""
    return sqrt(abar_next) * (z - sqrt(1 - abar) * eps) / sqrt(abar) + sqrt(1 - abar_next - variance) * eps


def symbols():
    z, eps = sympy.symbols("z epsilon", real=True)
    s, ratio = sympy.symbols("sigma k", positive=True)
    s1 = s / (1 + ratio)  # sigma_{t-1} < sigma_t
    return z, eps, s, s1, 1 / (1 + s**2), 1 / (1 + s1**2)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_ddpm_is_mu_one_half(check):
    z, eps, s, s1, abar, abar_next = symbols()
    x = z / sympy.sqrt(abar)
    target, variance = bound.ddpm_coordinates(s, s1, sympy.Rational(1, 2))
    mean, old = ancestral(z, eps, abar, abar_next, sympy.sqrt)
    residuals = [
        sympy.simplify(target - s1**2 / s),
        sympy.simplify(x + (target - s) * eps - mean / sympy.sqrt(abar_next)),
        sympy.simplify(variance - old / abar_next),
        sympy.simplify(abar_next * variance - old),
    ]
    check.equal([float(r != 0) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="sigma_t', mean, beta-tilde")


def test_mu_family(check):
    """For every mu the step is Song's with s^2 = alpha_bar' (sigma'^2 - sigma_t'^2); mu = 0 is DDIM; mu's definition."""
    z, eps, s, s1, abar, abar_next = symbols()
    x = z / sympy.sqrt(abar)

    # any target below sigma_{t-1}
    target = sympy.symbols("tau", positive=True)
    variance = s1**2 - target**2
    mean = generalised(z, eps, abar, abar_next, abar_next * variance, sympy.sqrt) / sympy.sqrt(abar_next)
    residuals = [x + (target - s) * eps - mean]

    # the target of mu, and of mu = 0
    for mu in (sympy.Rational(1, 4), sympy.Rational(1, 2), sympy.Rational(4, 5)):
        own, spread = bound.ddpm_coordinates(s, s1, mu)
        defined = mu * sympy.log(s) + (1 - mu) * sympy.log(own)
        residuals.extend([sympy.log(s1) - sympy.expand_log(defined, force=True), spread - (s1**2 - own**2)])
    own, spread = bound.ddpm_coordinates(s, s1, sympy.Integer(0))
    residuals.extend([own - s1, spread])

    residuals = [sympy.simplify(sympy.expand_log(sympy.simplify(r), force=True)) for r in residuals]
    on = "Song's family, definition of mu, mu = 0"
    check.equal([float(r != 0) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on=on)


@pytest.mark.parametrize("mu", MUS)
def test_sampler_in_vp_coordinates(check, mu):
    """samplers.ddpm on a VP grid, the published formulas on alpha_bar, and the (x, sigma) form, with the same noise."""
    rng = np.random.default_rng(470)
    cloud = PointCloud(rng.standard_normal((30, 6)))
    noise, z = Noise(471), rng.standard_normal((40, 6))
    for name, grid in (("VP linear", schedules.vp_linear(20, eps=1e-3)), ("DDPM-50", schedules.ddpm(50).to_vp())):
        states = list(samplers.ddpm(cloud, grid, z, noise=noise, mu=mu))
        published, own = z, z / grid.scale[0]
        abar, sigma = grid.alpha_bar, grid.noise_ratio
        off_published, off_own, smallest = [], [], np.inf
        for i in range(grid.N):
            w = noise.normal(i, *z.shape)
            target, variance = bound.ddpm_coordinates(sigma[i], sigma[i + 1], mu)
            smallest = min(smallest, target)

            # the published formulas, with eps from the denoiser at their own state
            clean = cloud.noised(grid.scale[i], grid.sigma[i]).denoise(published)
            eps = (published - grid.scale[i] * clean) / np.sqrt(1 - abar[i])
            if mu == 0.5:
                mean, spread = ancestral(published, eps, abar[i], abar[i + 1])
            else:
                spread = abar[i + 1] * variance
                mean = generalised(published, eps, abar[i], abar[i + 1], spread)
            published = mean + np.sqrt(spread) * w

            # the step of the statement, likewise
            eps = (own - cloud.noised(1.0, sigma[i]).denoise(own)) / sigma[i]
            own = own + (target - sigma[i]) * eps + np.sqrt(variance) * w

            off_published.append(np.abs(states[i + 1] - published).max())
            off_own.append(np.abs(states[i + 1] - grid.scale[i + 1] * own).max())

        tol = 64 * EPS * grid.N * 8.0 / smallest
        cause = "rounding: 64 eps N |eps| / min sigma_t': 1 - alpha_bar' - s^2 is formed by cancellation"
        check.equal(off_published, 0.0, tol=tol, cause=cause, on=f"published formula, mu {mu}, {name}")
        tol = 64 * EPS * grid.N * (8 + np.abs(z / grid.scale[0]).max() * grid.scale[1:])
        check.equal(off_own, 0.0, tol=tol, cause="rounding: 64 eps N |x_N|", on=f"(x, sigma) form, mu {mu}, {name}")


def test_one_step_moments(check):
    """Exact posterior: for X = xhat known, x_{t-1} given x_t at mu = 1/2 has the Gaussian conditional moments."""
    rng = np.random.default_rng(472)
    s = rng.uniform(0.5, 20, 200)
    s1 = s * rng.uniform(0.1, 0.95, 200)
    target, variance = bound.ddpm_coordinates(s, s1)
    # x_{t-1} = X + s1 u, x_t = x_{t-1} + sqrt(s^2 - s1^2) v: precision of x_{t-1} given both neighbours
    precision = 1 / s1**2 + 1 / (s**2 - s1**2)
    check.equal(
        variance * precision,
        1.0,
        tol=64 * EPS * s**2 / (s**2 - s1**2),
        cause="rounding: 64 eps and cancellation",
        on="variance",
    )
    weight = (1 / (s**2 - s1**2)) / precision  # of x_t, against X
    check.equal(
        target / s, weight, tol=64 * EPS * s**2 / (s**2 - s1**2), cause="rounding: 64 eps and cancellation", on="mean"
    )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    rng = np.random.default_rng(473)
    s = rng.uniform(0.5, 20, 50)
    s1 = s * rng.uniform(0.1, 0.95, 50)
    target, variance = bound.ddpm_coordinates(s, s1)
    abar, abar_next = 1 / (1 + s**2), 1 / (1 + s1**2)
    large = (1 - abar / abar_next) / abar_next
    check.control("beta-tilde (beta, the 'large' variance)", large, variance, tol=1e-9, on="50 pairs of levels")
    check.control("mu = 1/2 (mu = .25)", bound.ddpm_coordinates(s, s1, 0.25)[0], target, tol=1e-9, on="50 pairs of levels")
    check.control("the index (sigma_t and sigma_{t-1} exchanged)", s**2 / s1, target, tol=1e-9, on="50 pairs of levels")
    # the same means without the noise
    cloud, grid, z = PointCloud(rng.standard_normal((10, 3))), schedules.vp_linear(10, eps=1e-3), rng.standard_normal((5, 3))
    one = samplers.final(samplers.ddpm(cloud, grid, z, noise=Noise(1)))
    two = samplers.final(samplers.ddpm(cloud, grid, z, variance="zero"))
    check.control("the added noise (none)", np.abs(one - two).max(), 0.0, tol=1e-9, on="DDPM against its means")
