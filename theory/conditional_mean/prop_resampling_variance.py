"""Re-sampling on a Gaussian prior: the variance of the output (derived; the re-sampled step is in the released code).

Let rho_t = v_{t-1} / v_t. Suppose that

    (H1)  the prior is N(m, lam), one coordinate,
    (H2)  every step adds Gaussian noise of variance beta-tilde (small) or beta (large), or draws from the exact kernel,
    (H3)  there is no noise in the last step.

Then the mean of the output is the CME on every grid, and its variance given y is

    sum_{t >= 2} rho_t (v_t - v_{t-1}) (lam / (lam + v_{t-1}))^2                                    (beta-tilde)
    the same with rho_t replaced by (1 + v_{t-1}) / (1 + v_t)                                       (beta)
    the same with rho_t replaced by (lam + v_{t-1}) / (lam + v_t)  =  lam v_hat / (lam + v_hat)     (exact kernels: the MMSE)

Measured against the exact propagation of the sampler's law, by SymPy, and on draws.
"""

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, distances, output_laws
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.resampling_variance.statement
LAM = np.array([0.05, 1.0, 7.0])
#: recorded Var / MMSE with beta-tilde, released schedule, 0 dB, lam = 1
RECORDED = {5: 0.239, 10: 0.471, 50: 0.821, 100: 0.902, 300: 0.964, 1000: 0.989}


def sub_grid(T, sigma=1.0):
    """The released grid of T steps from the level that is matched to sigma down."""
    grid = cm.released_grid(T)
    return grid[cm.match(grid, sigma).index :]


def propagated_variance(grid, kernel, **options):
    """Variance (3,) of the output given y, by the affine recursion of the sampler's exact law, started at a point."""
    law = output_laws.gaussian("ddpm", np.zeros(3), LAM, grid, np.ones(3), np.zeros(3), variance=kernel, **options)
    return np.asarray(law.cov) if np.ndim(law.cov) == 1 else np.diag(law.cov)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_against_exact_propagation(check):
    """The same variance from the affine recursion of the sampler's exact law, started at a point."""
    for T in (5, 50, 300):
        grid = sub_grid(T).to_vp()
        for kernel in ("small", "large"):
            ratio = propagated_variance(grid, kernel) / bound.resampling_variance(grid.noise_ratio**2, LAM, kernel)
            check.equal(ratio, 1.0, tol=1e-11, cause="rounding: over T steps", on=f"{kernel}, T = {T}")


def test_exact_kernels_telescope(check):
    """Three grids in numbers, and four steps by SymPy."""
    for grid in (sub_grid(5), sub_grid(300), cm.refined_grid(40, 0.3)):
        v = grid.noise_ratio**2
        mmse = LAM * v[0] / (LAM + v[0])
        cause, on = "rounding: of a sum", f"Var = MMSE, {grid.N} steps"
        check.equal(bound.resampling_variance(v, LAM, "exact") / mmse, 1.0, tol=1e-12, cause=cause, on=on)

    lam = sympy.Symbol("lam", positive=True)
    levels = sympy.symbols("v1:5", positive=True)
    total, after = 0, sympy.Integer(0)
    for now in levels:
        total += (now - after) * (lam + after) / (lam + now) * (lam / (lam + after)) ** 2
        after = now
    residual = sympy.simplify(total - lam * levels[-1] / (lam + levels[-1]))
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="four steps, exact kernels")


def test_sampler(check):
    """20,000 runs from one y, all three kernels: the output is Gaussian, so mean and sum of squares have exact laws."""
    draw = check.chance(comparisons=18)
    law, y, sigma, runs = GaussianMixture([1.0], np.zeros((1, 3)), LAM[None]), np.array([[0.4, -1.0, 2.0]]), 1.0, 20_000
    grid = cm.refined_grid(6, sigma)
    for kernel, method in (("small", "resample"), ("large", "resample_large"), ("exact", "resample_exact")):
        x = cm.denoise(law, grid, np.repeat(y, runs, axis=0), sigma, method=method, noise=draw.noise(83))
        variance = bound.resampling_variance(grid.noise_ratio**2, LAM, kernel)
        mean = LAM / (LAM + 1) * y[0]
        draw.normal(x.mean(axis=0), mean, np.sqrt(variance / runs), on=f"mean, {kernel}")
        draw.chi_square(np.sum((x - mean) ** 2, axis=0), runs, scale=variance, on=f"variance, {kernel}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_recorded_values_and_limit(check):
    """Var / MMSE on the released schedules as recorded; it rises to 1, on refined grids at rate 1/n."""
    ratios = {}
    for T, value in RECORDED.items():
        v = sub_grid(T).noise_ratio ** 2
        ratios[T] = float(bound.resampling_variance(v, 1.0) / (v[0] / (1 + v[0])))
        cause = "printed digits: recorded to three digits, MMSE at the level or at 0 dB"
        check.equal(ratios[T], value, tol=1e-2 * value, cause=cause, on=f"Var/MMSE, {T}")
    missing, on = [1 - ratio for T, ratio in ratios.items() if T >= 50], "beta-tilde misses less of the MMSE with every T"
    check.holds(missing[1:], missing[:-1], tol=0, cause="exact: strict", on=on)

    steps = 2 ** np.arange(5, 10)
    variances = [float(bound.resampling_variance(cm.refined_grid(int(n), 1.0).noise_ratio ** 2, 1.0)) for n in steps]
    slope = distances.fit_slope(steps, [1 - variance / 0.5 for variance in variances])
    check.rate(slope, -1.0, within=0.1, on="1 - Var/MMSE against n, refined schedule")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Other kernels, and noise in the last step."""
    # (H2) beta-tilde and the claim for exact kernels
    v = sub_grid(50).noise_ratio ** 2
    ratio = bound.resampling_variance(v, LAM) / (LAM * v[0] / (LAM + v[0]))
    check.control("the exact kernels (beta-tilde)", np.abs(ratio - 1), 0.0, tol=1e-2, on="T = 50")

    # (H3) noise in the last step
    grid = cm.refined_grid(10, 1.0)
    noisy = propagated_variance(grid, "large", last_noise=True) / bound.resampling_variance(
        grid.noise_ratio**2, LAM, "large"
    )
    check.control("no noise in the last step", np.abs(noisy - 1), 0.0, tol=1e-4, on="10 steps, DDPM betas")
