"""The reverse step of the chain in five notations (the step of the released code; the reduced forms are derived).

Let x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, v_t = (1 - abar_t) / abar_t, z_t = x_t / sqrt(abar_t), D_v(z) = E[x_0 |
z_v = z] and rho = v_{t-1} / v_t. Suppose that

    (H1)  the denoiser is exact, taken at the noisy level t,
    (H2)  the step returns the mean of x_{t-1} given x_t, with weight rho = v_{t-1} / v_t.

Then

    E[x_{t-1} | x_t]  =  [sqrt(abar_{t-1}) beta_t E[x_0 | x_t] + sqrt(alpha_t) (1 - abar_{t-1}) x_t] / (1 - abar_t)
    z_{t-1}           =  rho z_t + (1 - rho) D_{v_t}(z_t)  =  z_t + (v_t - v_{t-1}) grad log q_{v_t}(z_t)
    w_{t-1}           =  w_t + (1/v_{t-1} - 1/v_t) E[x_0 | w_t],     w = z / v,

the last line being the Euler step of stochastic localization, whose Brownian increment is the noise of re-sampling.

Measured on runs of the library's sampler over the released schedule, on mixtures in two and six dimensions, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import Noise, samplers
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.mean_step.statement
EPS = np.finfo(np.float64).eps


def steps(law, seed, method="zero", T=50):
    """(x, next x, grid index, grid) along one run in VP coordinates; the last step (level 0) included."""
    grid = cm.released_grid(T).to_vp()
    x = law.noised(grid.scale[0], grid.sigma[0]).sample(40, np.random.default_rng(seed))
    states = list(samplers.ddpm(law, grid, x, variance=method, noise=Noise(seed)))
    return [(states[i], states[i + 1], i) for i in range(grid.N)], grid


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_sampler_is_the_published_step(check, mixtures):
    for seed, (name, law) in enumerate(mixtures.items()):
        run, grid = steps(law, seed)
        found, expected, eps_form = [], [], []
        for x, after, i in run:
            a, b = grid.alpha_bar[i], grid.alpha_bar[i + 1]
            clean = law.noised(grid.scale[i], grid.sigma[i]).denoise(x)
            noise = (x - np.sqrt(a) * clean) / np.sqrt(1 - a)
            found.append(after)
            expected.append(bound.mean_step(x, clean, a, b))
            eps_form.append(x / np.sqrt(a / b) - (1 - a / b) / np.sqrt(a / b) / np.sqrt(1 - a) * noise)
        size = np.max(np.abs(found))
        # 1 - abar is exact only to eps / (1 - abar): 1e4 at the cleanest level of this schedule
        tol, cause = 32 * EPS * size / (1 - grid.alpha_bar[-2]), "rounding: 32 eps |x| / (1 - abar_1): 1 - abar from abar"
        check.equal(found, expected, tol=tol, cause=cause, on=f"sampler, x0 form, {name}")
        check.equal(found, eps_form, tol=tol, cause=cause, on=f"sampler, noise form, {name}")


def test_reduced_coordinates(check, mixtures):
    for seed, (name, law) in enumerate(mixtures.items()):
        run, grid = steps(law, seed)
        v = grid.noise_ratio**2
        score_form, localization, tol_w = [], [], []
        for x, after, i in run[:-1]:
            z, z_next = x / grid.scale[i], after / grid.scale[i + 1]
            q = law.noised(1.0, np.sqrt(v[i]))
            score_form.append(np.abs(z_next - z - (v[i] - v[i + 1]) * q.score(z)))
            w, gained = z / v[i], 1 / v[i + 1] - 1 / v[i]
            difference = np.abs(z_next / v[i + 1] - w - gained * q.denoise(z))
            localization.append(difference * v[i + 1])
            tol_w.append(np.max(np.abs(z)))
        tol = 64 * EPS * max(tol_w)
        check.equal(score_form, 0.0, tol=tol, cause="rounding: 64 eps |z|", on=f"z' = z + (v - v') score, {name}")
        cause = "rounding: 64 eps |z|, in units of 1/v'"
        check.equal(localization, 0.0, tol=tol, cause=cause, on=f"Euler in eta = 1/v, {name}")


def test_resampling_noise_is_the_brownian_increment(check, mixtures):
    """With noise the step is Euler-Maruyama for dw = E[x|w] d eta + dB: variance eta' - eta, nothing else."""
    law = mixtures["3 components in the plane"]
    run, grid = steps(law, 5, method="small")
    v, worst, size = grid.noise_ratio**2, [], []
    for x, after, i in run[:-1]:
        z = x / grid.scale[i]
        gained = 1 / v[i + 1] - 1 / v[i]
        drift = z / v[i] + gained * law.noised(1.0, np.sqrt(v[i])).denoise(z)
        increment = np.sqrt(gained) * Noise(5).normal(i, *z.shape)
        worst.append(np.abs(after / grid.scale[i + 1] / v[i + 1] - drift - increment) * v[i + 1])
        size.append(np.max(np.abs(z)))
    cause = "rounding: 64 eps |z|, in units of 1/v'"
    check.equal(worst, 0.0, tol=64 * EPS * max(size), cause=cause, on="re-sampled run, T = 50")


def test_symbolic(check):
    x, D, a, b = sympy.symbols("x D a b", positive=True)  # a = abar_t, b = abar_{t-1}
    alpha = a / b
    v, u = (1 - a) / a, (1 - b) / b
    mean = (sympy.sqrt(b) * (1 - alpha) * D + sympy.sqrt(alpha) * (1 - b) * x) / (1 - a)
    noise = (x - sympy.sqrt(a) * D) / sympy.sqrt(1 - a)
    eps = x / sympy.sqrt(alpha) - (1 - alpha) / (sympy.sqrt(alpha) * sympy.sqrt(1 - a)) * noise
    z = x / sympy.sqrt(a)
    reduced = u / v * z + (1 - u / v) * D
    natural = u * (z / v + (1 / u - 1 / v) * D)
    tilde = (1 - alpha) * (1 - b) / (1 - a) / b - u / v * (v - u)
    residuals = [mean - eps, mean / sympy.sqrt(b) - reduced, reduced - natural, tilde, tilde / u**2]
    cause, on = "exact: SymPy", "three forms, natural coordinates, beta-tilde = rho (v - v')"
    check.equal([float(sympy.simplify(r)) for r in residuals], 0.0, tol=0, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, mixtures):
    law = mixtures["5 components in R^6"]
    run, grid = steps(law, 3)
    ddim, late, tol = [], [], 1e-9
    for x, after, i in run[:-1]:
        z, v, u = x / grid.scale[i], grid.noise_ratio[i] ** 2, grid.noise_ratio[i + 1] ** 2
        D = law.noised(1.0, np.sqrt(v)).denoise(z)
        ddim.append(np.max(np.abs(after / grid.scale[i + 1] - D - np.sqrt(u / v) * (z - D))))
        late.append(np.max(np.abs(after / grid.scale[i + 1] - z - (v - u) * law.noised(1.0, np.sqrt(u)).score(z))))
    check.control("rho = v'/v (its root: the DDIM step)", ddim, 0.0, tol=tol, on="5 components in R^6")
    check.control("the score at the noisy level (at the clean one)", late, 0.0, tol=tol, on="5 components in R^6")
