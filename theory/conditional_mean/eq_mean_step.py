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

from dataclasses import dataclass

import numpy as np
import sympy

from exactdiffusion import Noise, samplers
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.mean_step.statement
EPS = np.finfo(np.float64).eps


def steps(law, seed, variance="zero", T=50):
    """The steps of one run over the released schedule; the last one leads to level 0."""
    grid = cm.released_grid(T).to_vp()
    x = law.noised(grid.scale[0], grid.sigma[0]).sample(40, np.random.default_rng(seed))
    states = list(samplers.ddpm(law, grid, x, variance=variance, noise=Noise(seed)))
    z, v = [state / scale for state, scale in zip(states, grid.scale)], grid.noise_ratio**2
    columns = (states, grid.alpha_bar, z, v)
    pairs = [[c for column in columns for c in column[i : i + 2]] for i in range(grid.N)]
    return [Step(i, *pair, grid.scale[i], grid.sigma[i]) for i, pair in enumerate(pairs)]


@dataclass(frozen=True)
class Step:
    """One step of a run in VP coordinates: the state x (n, d) and the next one, and alpha-bar of both levels.

    ``z`` and ``v`` are the reduced state x / sqrt(alpha-bar) and level 1/SNR; ``..._after`` belongs to the next level. The
    law of x is the prior noised by ``scale`` and ``sigma``.
    """

    number: int
    x: np.ndarray
    x_after: np.ndarray
    alpha_bar: float
    alpha_bar_after: float
    z: np.ndarray
    z_after: np.ndarray
    v: float
    v_after: float
    scale: float
    sigma: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_sampler_is_the_published_step(check, mixtures):
    """The form with E[x_0 | x_t] and the form with the noise estimate, against the library's sampler."""
    for seed, (name, law) in enumerate(mixtures.items()):
        run = steps(law, seed)
        found, expected, noise_form = [], [], []
        for step in run:
            a, b = step.alpha_bar, step.alpha_bar_after
            clean = law.noised(step.scale, step.sigma).denoise(step.x)
            noise = (step.x - np.sqrt(a) * clean) / np.sqrt(1 - a)
            found.append(step.x_after)
            expected.append(bound.mean_step(step.x, clean, a, b))
            noise_form.append(step.x / np.sqrt(a / b) - (1 - a / b) / np.sqrt(a / b) / np.sqrt(1 - a) * noise)

        # 1 - abar is exact only to eps / (1 - abar): 1e4 at the cleanest level of this schedule
        tol = 32 * EPS * np.max(np.abs(found)) / (1 - run[-1].alpha_bar)
        cause = "rounding: 32 eps |x| / (1 - abar_1): 1 - abar from abar"
        check.equal(found, expected, tol=tol, cause=cause, on=f"sampler, x0 form, {name}")
        check.equal(found, noise_form, tol=tol, cause=cause, on=f"sampler, noise form, {name}")


def test_reduced_coordinates(check, mixtures):
    """The step in z, with the score, and in w = z / v, with the denoiser."""
    for seed, (name, law) in enumerate(mixtures.items()):
        run = steps(law, seed)[:-1]
        score_form, localization = [], []
        for step in run:
            level = law.noised(1.0, np.sqrt(step.v))
            score_form.append(np.abs(step.z_after - step.z - (step.v - step.v_after) * level.score(step.z)))
            w, gained = step.z / step.v, 1 / step.v_after - 1 / step.v
            difference = np.abs(step.z_after / step.v_after - w - gained * level.denoise(step.z))
            localization.append(difference * step.v_after)

        tol = 64 * EPS * max(np.max(np.abs(step.z)) for step in run)
        check.equal(score_form, 0.0, tol=tol, cause="rounding: 64 eps |z|", on=f"z' = z + (v - v') score, {name}")
        cause = "rounding: 64 eps |z|, in units of 1/v'"
        check.equal(localization, 0.0, tol=tol, cause=cause, on=f"Euler in eta = 1/v, {name}")


def test_resampling_noise_is_the_brownian_increment(check, mixtures):
    """With noise the step is Euler-Maruyama for dw = E[x|w] d eta + dB: variance eta' - eta, nothing else."""
    law = mixtures["3 components in the plane"]
    run, worst = steps(law, 5, variance="small")[:-1], []
    for step in run:
        gained = 1 / step.v_after - 1 / step.v
        drift = step.z / step.v + gained * law.noised(1.0, np.sqrt(step.v)).denoise(step.z)
        increment = np.sqrt(gained) * Noise(5).normal(step.number, *step.z.shape)
        worst.append(np.abs(step.z_after / step.v_after - drift - increment) * step.v_after)
    tol = 64 * EPS * max(np.max(np.abs(step.z)) for step in run)
    check.equal(worst, 0.0, tol=tol, cause="rounding: 64 eps |z|, in units of 1/v'", on="re-sampled run, T = 50")


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
    """The score at the wrong end of the step, and another weight."""
    law, on = mixtures["5 components in R^6"], "5 components in R^6"
    late, ddim = [], []
    for step in steps(law, 3)[:-1]:
        score = law.noised(1.0, np.sqrt(step.v_after)).score(step.z)
        late.append(np.max(np.abs(step.z_after - step.z - (step.v - step.v_after) * score)))
        D = law.noised(1.0, np.sqrt(step.v)).denoise(step.z)
        ddim.append(np.max(np.abs(step.z_after - D - np.sqrt(step.v_after / step.v) * (step.z - D))))

    # (H1) the clean level
    check.control("the score at the noisy level (at the clean one)", late, 0.0, tol=1e-9, on=on)
    # (H2) the square root of rho
    check.control("rho = v'/v (its root: the DDIM step)", ddim, 0.0, tol=1e-9, on=on)
