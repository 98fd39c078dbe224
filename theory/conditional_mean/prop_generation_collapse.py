"""Without re-sampling the generator collapses (derived).

Suppose that

    (H1)  the prior is N(0, lam) and the denoiser exact,
    (H2)  the chain starts from x_T ~ N(0, 1) in VP coordinates,
    (H3)  every step is the conditional mean, without noise.

Then the output is Gaussian with the standard deviation

    lam sqrt(1 + v_T) / (lam + v_T)        (= (1 + v_T)^(-1/2) for lam = 1),

not sqrt(lam): the chain estimates and does not generate. DDIM on the same grid tends to sqrt(lam) at rate 1/T.

Measured on the released schedules by exact propagation and by the sampler.
"""

import numpy as np

from exactdiffusion import GaussianMixture, distances, output_laws, samplers
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.generation_collapse.statement


def deviation(sampler, grid, lam, **options):
    """Standard deviation of the output on N(0, lam), started from N(0, 1), by exact propagation."""
    law = output_laws.gaussian(sampler, np.zeros(1), np.array([lam]), grid, np.zeros(1), np.ones(1), **options)
    return float(np.sqrt(np.asarray(law.cov).ravel()[0]))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check):
    """Exact propagation, and the sampler itself from 1, on five schedules and three priors."""
    for T in (5, 10, 50, 300, 1000):
        grid = cm.released_grid(T).to_vp()
        for lam in (0.1, 1.0, 4.0):
            expected, cause = bound.generation_collapse(grid.noise_ratio[0] ** 2, lam), "rounding: over T steps"
            found = deviation("ddpm", grid, lam, variance="zero")
            check.equal(found / expected, 1.0, tol=1e-11, cause=cause, on=f"T = {T}, lam = {lam:g}")
            law = GaussianMixture([1.0], np.zeros((1, 1)), lam)
            out = samplers.final(samplers.ddpm(law, grid, np.ones((1, 1)), variance="zero"))[0, 0]
            check.equal(out / expected, 1.0, tol=1e-11, cause=cause, on=f"sampler at 1, T = {T}, lam = {lam:g}")
    found = bound.generation_collapse(cm.released_grid(10).noise_ratio[0] ** 2)
    check.holds([0.069, 0.083], [found, 0.084], tol=0, cause="exact: strict", on="recorded range .069 .. .083")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_ddim_generates(check):
    """(H3) the probability flow on the same grids: its deviation tends to that of the prior at rate 1/T."""
    recorded = {10: 0.871, 50: 0.982, 100: 0.987, 300: 0.9956, 1000: 0.9987}
    values = {T: deviation("ddim", cm.released_grid(T).to_vp(), 1.0) for T in recorded}
    check.holds(list(values.values()), 1.0, tol=1e-12, cause="rounding", on="DDIM: below the prior's deviation")
    for T in (10, 300, 1000):
        check.equal(values[T], recorded[T], tol=1e-3, cause="printed digits: recorded to three digits", on=f"DDIM, T = {T}")
    counts = (100, 300, 1000)
    slope = distances.fit_slope(counts, [1 - values[T] for T in counts])
    check.rate(slope, -1.0, within=0.1, on="DDIM: 1 - deviation against T")


def test_controls(check):
    """(H3) other steps than the mean without noise, and the deviation of the prior."""
    grid = cm.released_grid(300).to_vp()
    expected = bound.generation_collapse(grid.noise_ratio[0] ** 2)
    ddim = deviation("ddim", grid, 1.0)
    check.control("re-sampling off (DDIM instead)", abs(ddim / expected - 1), 0.0, tol=1e-3, on="T = 300")
    noisy = deviation("ddpm", grid, 1.0, variance="small")
    check.control("re-sampling off (on)", abs(noisy / expected - 1), 0.0, tol=1e-3, on="T = 300")
    check.control("a collapse (deviation of the prior)", 0.9, deviation("ddpm", grid, 1.0, variance="zero"), on="T = 300")
