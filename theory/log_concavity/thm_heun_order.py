"""Heun's method is of order 2 (Karras et al. 2022; the constant is derived).

Suppose that

    (H1)  the target is N(0, s^2 I), so that dx/dsigma = a(sigma) x with a = sigma / (s^2 + sigma^2),
    (H2)  the levels are phi(k/N) with a smooth phi that stays positive,
    (H3)  the method is Heun's.

Then its output divided by the exact solution is 1 + c / N^2 + O(N^-3),

    c  =  int_0^1 phi'(u)^3 (a''/12 - a^3/6)(phi(u)) du.

Euler's step (DDIM) has order 1.

Measured by the gain of the samplers on the rho = 7 grid, and on a mixture in the plane against a fine run.
"""

import numpy as np

from exactdiffusion import GaussianMixture, Grid, distances, output_laws, samplers
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.heun_gaussian_error.statement
HIGH, LOW, RHO = 20.0, 0.02, 7.0
STEPS = 2 ** np.arange(5, 9)
NODES = tuple(0.5 * a + b for a, b in zip(np.polynomial.legendre.leggauss(100), (0.5, 0.0)))


def path(u):
    """phi(u) and phi'(u) of the rho = 7 grid from 20 down to .02."""
    a, b = HIGH ** (1 / RHO), LOW ** (1 / RHO)
    root = a + u * (b - a)
    return root**RHO, RHO * root ** (RHO - 1) * (b - a)


def grid_of(N):
    return Grid(np.ones(N + 1), path(np.arange(N + 1) / N)[0])


def relative_error(method, s, N):
    """Output over the exact flow's, minus 1. On N(0, s^2) the samplers are linear: one row is the whole law."""
    law, run = GaussianMixture(None, np.zeros((1, 1)), s**2), getattr(samplers, method)
    out = samplers.final(run(law, grid_of(N), np.full((1, 1), np.sqrt(s**2 + HIGH**2))))[0, 0]
    return float(out / np.sqrt(s**2 + LOW**2)) - 1


def constant(s):
    u, w = NODES
    return bound.heun_gaussian_error(*path(u), w, s)


def constant_with(second, cube, s=0.3):
    """The constant c with other coefficients of a'' (1/12) and of a^3 (1/6)."""
    u, w = NODES
    sigma, slope = path(u)
    g = s**2 + sigma**2
    return np.sum(w * slope**3 * (second * 2 * sigma * (sigma**2 - 3 * s**2) / g**3 - cube * (sigma / g) ** 3))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_rate_and_constant(check):
    """The relative error of Heun's method against c / N^2, and that of Euler's against 1/N."""
    for s in (0.3, 1.0):
        errors = np.array([relative_error("heun", s, int(N)) for N in STEPS])
        check.rate(distances.fit_slope(STEPS[-3:], np.abs(errors[-3:])), -2.0, within=0.02, on=f"Heun, N(0, {s:g}^2)")

        scaled, c = errors * STEPS**2, constant(s)
        limit, before = 2 * scaled[-1] - scaled[-2], 2 * scaled[-2] - scaled[-3]
        cause = "remainder: last change of Richardson's extrapolation"
        on = f"N^2 error against c = {c:.5g}, s = {s:g}"
        check.tight(limit / c, 1.0, tol=abs(limit - before) / abs(c), cause=cause, on=on)

        first = np.array([relative_error("ddim", s, int(N)) for N in STEPS])
        check.rate(distances.fit_slope(STEPS[-3:], np.abs(first[-3:])), -1.0, within=0.02, on=f"Euler (DDIM), N(0, {s:g}^2)")


def test_exact_step(check):
    """The library's sampler against the multiplier of the proof, step by step, and against the exact propagated law."""
    s, N = 0.3, 64
    tol, cause = 64 * np.finfo(float).eps * N, "rounding: 64 eps per step"
    law, sigma = GaussianMixture(None, np.zeros((1, 1)), s**2), grid_of(N).sigma
    out = samplers.final(samplers.heun(law, grid_of(N), np.ones((1, 1))))[0, 0]
    a, delta = sigma / (s**2 + sigma**2), np.diff(sigma)
    multiplier = np.prod(1 + 0.5 * delta * (a[:-1] + a[1:] * (1 + delta * a[:-1])))
    check.equal(out / multiplier, 1.0, tol=tol, cause=cause, on="N(0, .09), N = 64")

    start = np.array([s**2 + HIGH**2])
    _, covariance = output_laws.gaussian("heun", np.zeros(1), np.array([s**2]), grid_of(N), np.zeros(1), start)
    exact = float(np.sqrt(np.ravel(covariance)[0] / (s**2 + LOW**2))) - 1
    check.equal(relative_error("heun", s, N), exact, tol=tol, cause=cause, on="propagated law, N = 64")


def test_mixture(check):
    """Two Gaussians in the plane, 40 paths: against the same method with 2048 steps; starts away from the ridge."""
    law = GaussianMixture([0.3, 0.7], np.array([[-1.5, 0.0], [1.0, 0.5]]), np.array([0.1, 0.2]))
    x = HIGH * np.random.default_rng(72).standard_normal((120, 2))

    def end(method, N):
        return samplers.final(method(law, grid_of(int(N)), x))

    # paths that come near the boundary of the two basins are irregular until N is large: keep the others
    x = x[np.argsort(np.abs(end(samplers.heun, 512)[:, 0] + 0.25))[-40:]]
    reference = end(samplers.heun, 2048)

    steps = np.array([32, 64, 128, 256])
    errors, euler = (
        np.array([np.sqrt(np.mean((end(method, N) - reference) ** 2)) for N in steps])
        for method in (samplers.heun, samplers.ddim)
    )
    detail = f"ratios {(errors[:-1] / errors[1:]).round(3)}"
    slope, on = distances.fit_slope(steps, errors), "Heun, two Gaussians in the plane"
    check.rate(slope, -2.0, within=0.1, on=on, detail=detail)
    check.holds(errors, euler / 4, tol=0.0, cause="exact", on="Heun is at least 4 times closer than Euler from N = 32 on")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Other coefficients of the constant, and (H3) Euler's method in place of Heun's."""
    value, on = relative_error("heun", 0.3, 512) * 512**2, "N(0, .09), N = 512"
    assert abs(value / constant(0.3) - 1) < 0.05
    check.control("a''/12 (a''/6)", abs(value / constant_with(1 / 6, 1 / 6) - 1), 0.05, on=on)
    check.control("a^3/6 (a^3/3)", abs(value / constant_with(1 / 12, 1 / 3) - 1), 0.05, on=on)

    # (H3)
    first = np.abs([relative_error("ddim", 0.3, N) for N in (256, 512)])
    check.control("Heun (Euler: order 1)", first[1], first[0] / 3, on="N(0, .09), N = 256, 512")
