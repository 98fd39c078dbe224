"""DDPM keeps the mean squared distance to a subspace at (n - m) sigma^2.

Suppose that

    (H1)  K is an affine subspace of dimension m in R^n,
    (H2)  the denoiser is the exact projection, which is that of the flat measure on K,
    (H3)  the sampler is a member of the mu family of `ddpm_coordinates`: DDIM at mu = 0, DDPM with beta-tilde at mu = 1/2.

Then E d(x_t)^2 = (n - m) sigma_t^2 is invariant, and from any start

    E d(x_t)^2  =  (n - m) sigma_t^2 + (sigma_t / sigma_N)^(2 / (1 - mu)) (E d(x_N)^2 - (n - m) sigma_N^2).

So d / (sqrt(n) sigma) tends to sqrt((n - m) / n) and not to 1: the band of Theorem 4.2, written with the ambient
dimension, is centred at 1 only for m << n.

Source: derived, for the DDPM of Appendix A of Permenter & Yuan. Measured by exact second moments, and by 20,000 samples
against a chi-square interval.
"""

import math

import numpy as np
import pytest

from exactdiffusion import Grid, Noise, Subspace, distances, output_laws, samplers, schedules
from exactdiffusion.statements import projection as bound

STATEMENT = bound.ddpm_subspace_distance.statement
EPS = np.finfo(np.float64).eps
n, m = 32, 4
ROWS = 20_000
GRID = schedules.log_linear(20, sigma_max=10.0, sigma_min=0.1)


@pytest.fixture(scope="module")
def subspace():
    rng = np.random.default_rng(480)
    return Subspace(rng.standard_normal((n, m)), offset=rng.standard_normal(n))


def exact_moments(grid, start, mu=0.5, variance="small"):
    """E dist^2 at every level from the sampler's exact Gaussian propagation: the normal directions are a target N(0, 0)."""
    zero = np.zeros(1)
    law = output_laws.gaussian(
        "ddpm", zero, zero, grid, zero, np.array([start / (n - m)]), all_steps=True, mu=mu, variance=variance
    )
    return (n - m) * np.asarray(law.cov)[:, 0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.0, 0.25, 0.5, 0.8])
def test_exact_recursion(check, mu):
    uneven = Grid(np.ones(16), np.concatenate([[10.0], 10 * np.cumprod(np.random.default_rng(481).uniform(0.3, 0.97, 15))]))
    for name, grid in (("log-linear", GRID), ("random steps", uneven), ("DDPM-50", schedules.ddpm(50))):
        for factor in (1.0, n / (n - m), 4.0, 0.0):
            start = factor * (n - m) * grid.sigma[0] ** 2
            stated = bound.ddpm_subspace_distance(grid.sigma, n - m, start, mu)
            found = exact_moments(grid, start, mu)
            on = f"mu {mu}, {name}, start {factor:.3g} times the invariant"
            size = (n - m) * grid.sigma**2 * (1 + factor)
            # at mu = 0 and factor 0 both sides are a difference of equal numbers
            check.equal(
                found,
                stated,
                tol=64 * EPS * grid.N * size,
                cause="rounding: 64 eps N sigma^2: one rounding per step",
                on=f"{on}",
            )


def test_samples(check, subspace):
    """20,000 runs of the sampler on the subspace: the sum of dist^2 / sigma^2 is chi-square, 20,000 (n - m) degrees."""
    draw = check.chance(comparisons=len(GRID))
    # centred on K: the squared distance of the start is a central chi-square
    x = subspace.offset + GRID.sigma[0] * draw.rng(482).standard_normal((ROWS, n))
    states = samplers.ddpm(subspace, GRID, x, noise=draw.noise(483))
    found = np.array([np.sum(subspace.distance(s) ** 2) for s in states])
    scale = bound.ddpm_subspace_distance(GRID.sigma, n - m) / (n - m)
    draw.chi_square(found, ROWS * (n - m), scale=scale, on=f"{ROWS} samples, n = {n}, m = {m}, 21 levels")


def test_sampler_variance_per_row(check, subspace):
    """The distance of single rows is the scalar recursion with the normal part of the shared noise: no statistics."""
    noise, rows = Noise(484), 6
    x = GRID.sigma[0] * np.random.default_rng(485).standard_normal((rows, n))
    normal = lambda v: v - (v @ subspace.frame) @ subspace.frame.T  # noqa: E731
    a = normal(x - subspace.offset)
    for i, state in enumerate(samplers.ddpm(subspace, GRID, x, noise=noise)):
        size = 64 * EPS * (i + 1) * np.linalg.norm(x - subspace.offset, axis=1)
        off = np.abs(subspace.distance(state) - np.linalg.norm(a, axis=1))
        check.equal(off, 0.0, tol=size, cause="rounding: 64 eps per step |x_N|", on=f"step {i}")
        if i < GRID.N:
            s, s1 = GRID.sigma[i], GRID.sigma[i + 1]
            a = (s1 / s) ** 2 * a + math.sqrt(s1**2 - s1**4 / s**2) * normal(noise.normal(i, rows, n))


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_default_start_is_invariant(check):
    found = bound.ddpm_subspace_distance(GRID.sigma, n - m) / ((n - m) * GRID.sigma**2)
    check.tight(found, 1.0, tol=8 * EPS, cause="rounding", on="E dist^2 / ((n - m) sigma^2)")
    ratio = np.sqrt(exact_moments(GRID, (n - m) * GRID.sigma[0] ** 2)) / (math.sqrt(n) * GRID.sigma)
    check.tight(
        ratio,
        math.sqrt((n - m) / n),
        tol=64 * EPS * GRID.N,
        cause="rounding: 64 eps N",
        on="root mean square of d / (sqrt(n) sigma): sqrt((n - m)/n), not 1",
    )


def test_rate_of_forgetting(check):
    """From d(x_N) = sqrt(n) sigma_N the excess over the invariant decays like sigma^(2 mu / (1 - mu)) relative to it."""
    for mu in (0.25, 0.5, 0.8):
        start = n * GRID.sigma[0] ** 2
        excess = exact_moments(GRID, start, mu) / ((n - m) * GRID.sigma**2) - 1
        keep = excess > 1e-10  # below, the difference is rounding
        slope = distances.fit_slope(GRID.sigma[keep], excess[keep])
        check.rate(slope, 2 * mu / (1 - mu), within=1e-3, on=f"relative excess against sigma, mu {mu}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, subspace):
    """(H1) to (H3), and the codimension."""
    start, on = (n - m) * GRID.sigma[0] ** 2, "20 steps 10 -> .1"
    stated = bound.ddpm_subspace_distance(GRID.sigma, n - m)

    # (H1) and (H2): on a Gaussian measure in the normal directions the denoiser is not the projection
    zero = np.zeros(1)
    law = output_laws.gaussian("ddpm", zero, np.ones(1), GRID, zero, np.array([start / (n - m)]), all_steps=True)
    check.control("K a subspace (variance 1 across it)", (n - m) * np.asarray(law.cov)[:, 0], stated, tol=1e-9, on="N(0, I)")

    # (H3) another variance of the step, or none
    large = exact_moments(GRID, start, variance="large")
    recorded = "printed digits: recorded to 5 digits"
    check.equal(large[-1] / stated[-1], 1.5523, tol=5e-5, cause=recorded, on=f"'large' variance, {on}")
    check.control("beta-tilde ('large' variance)", large, stated, tol=1e-9, on=on)
    check.control("the added noise (none)", stated, exact_moments(GRID, start, variance="zero"), tol=1e-9, on=on)

    # the ambient dimension in place of the codimension: the band of Theorem 4.2 is centred at sqrt(n) sigma
    found = exact_moments(GRID, n * GRID.sigma[0] ** 2)
    check.control("n - m (n instead)", n * GRID.sigma**2, found, tol=1e-9, on="n = 32, m = 4")
