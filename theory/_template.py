"""Template of a theory file, and a complete worked example: DDIM under-disperses on a Gaussian.

Copy this file to theory/<paper>/<kind>_<content>.py (kind: thm, prop, lem, def, eq or sym). The statement itself is NOT
here: it is the docstring of a function in exactdiffusion.statements.<paper>. Here is only how it is measured, and on what:

    hypotheses  verified on the instance, reported apart from the verdict   check.hypothesis
    holds       smaller <= larger on a family, adversarial cases included   check.holds / check.equal
    tight       an instance that attains a stated ratio                     check.tight
    rate        a slope on a deterministic measurement                      check.rate
    control     one hypothesis, term or constant dropped: must FAIL         check.control

What each kind can see (planted faults on this very example): the inequality alone misses a loop that stops one step early,
a float32 state and every loosened bound; the rate misses a constant factor; only ``tight`` sees a loosened bound, and only
the exact independent recursion sees the first two. So write all of them.
"""

import itertools

import numpy as np

from exactdiffusion import GaussianMixture, Grid, distances, output_laws, samplers
from exactdiffusion.statements import foundations as bound

STATEMENT = bound.ddim_gaussian_deviation.statement
EPS = np.finfo(np.float64).eps
S, SIGMA_MAX, DIM = 0.7, 20.0, 3
STEPS = 2 ** np.arange(3, 13)


def grid_of(N):
    """The rho = 7 grid from 20 down to 0 itself."""
    return Grid(np.ones(N + 1), SIGMA_MAX * (1 - np.arange(N + 1) / N) ** 7)


def deviation(N, s=S):
    """Standard deviation of DDIM's output: no sampling, the exact law is propagated."""
    grid = grid_of(N)
    start = np.full(DIM, s**2 + SIGMA_MAX**2)
    _, covariance = output_laws.gaussian("ddim", np.zeros(DIM), np.full(DIM, s**2), grid, np.zeros(DIM), start)
    return np.sqrt(np.asarray(covariance).reshape(DIM, -1)[0, 0])


def independent_deviation(N, s=S):
    """The same number by the scalar recursion of the proof, y <- (1 - D sigma / g^2) y."""
    sigma = grid_of(N).sigma
    y = np.sqrt(s**2 + sigma[0] ** 2)
    for a, b in itertools.pairwise(sigma):
        y *= 1 - (a - b) * a / (s**2 + a**2)
    return y


def test_hypotheses(check):
    for N in STEPS:
        sigma = grid_of(N).sigma
        check.hypothesis("sigma decreases to 0", bool(np.all(np.diff(sigma) < 0) and sigma[-1] == 0), on=f"N = {N}")


def test_holds(check):
    measured, larger = [], []
    for s in (0.05, 0.7, 3.0):
        for N in STEPS:
            measured.append(s - deviation(N, s))
            larger.append(bound.ddim_gaussian_deviation(grid_of(N).sigma, s))
    tol, cause = (
        16 * EPS * SIGMA_MAX * STEPS.max(),
        "rounding: 16 eps sigma_max N: one rounding per step at the scale of the start",
    )
    check.holds(measured, larger, tol=tol, cause=cause, on="s in .05 .. 3, N = 8 .. 4096")
    check.holds(0.0, measured, tol=tol, cause=cause, on="sign: DDIM always under-disperses")


def test_exact_recursion(check):
    """The sampler itself, on one point per axis, equals the recursion: the output is linear in the start."""
    law = GaussianMixture(None, np.zeros((1, DIM)), S**2)
    for N in STEPS:
        start = np.eye(DIM) * np.sqrt(S**2 + SIGMA_MAX**2)
        out = samplers.final(samplers.ddim(law, grid_of(N), start))
        check.equal(
            np.diag(out),
            independent_deviation(N),
            tol=16 * EPS * N,
            cause="rounding: 16 eps per step",
            on=f"sampler, N = {N}",
        )
        check.equal(
            deviation(N), independent_deviation(N), tol=16 * EPS * N, cause="rounding: 16 eps per step", on=f"law, N = {N}"
        )


def test_tight(check):
    """Not attained, but the limit of the ratio is known: a loosened constant moves it.

    To first order a deviation made at sigma is carried to 0 by the exact flow, i.e. multiplied by s/g(sigma), so
    ratio -> int sigma'^2 s / g^4 du / int sigma'^2 / g^3 du along the grid sigma(u) = 20 (1 - u)^7.
    """
    u, weight = np.polynomial.legendre.leggauss(400)
    u = 0.5 * (u + 1)
    speed, g = (7 * SIGMA_MAX * (1 - u) ** 6) ** 2, np.sqrt(S**2 + (SIGMA_MAX * (1 - u) ** 7) ** 2)
    limit = np.sum(weight * speed * S / g**4) / np.sum(weight * speed / g**3)
    ratios = np.array([(S - deviation(N)) / bound.ddim_gaussian_deviation(grid_of(N).sigma, S) for N in STEPS])
    assert np.all(np.diff(ratios) > 0)
    extrapolated = 2 * ratios[1:] - ratios[:-1]
    tol = 4 * abs(extrapolated[-1] - extrapolated[-2])
    check.tight(
        extrapolated[-1], limit, tol=tol, cause="remainder: 4 x the last change of the extrapolation", on="N -> infinity"
    )


def test_rate(check):
    w2 = [np.sqrt(DIM) * (S - deviation(N)) for N in STEPS]
    larger = [bound.ddim_gaussian_deviation(grid_of(N).sigma, S) for N in STEPS]
    check.rate(distances.fit_slope(STEPS[-3:], w2[-3:]), -1.0, within=0.02, on="W2 against N, last two octaves")
    check.rate(distances.fit_slope(STEPS[-3:], larger[-3:]), -1.0, within=0.02, on="the bound against N, last two octaves")


def test_controls(check):
    sigma = grid_of(64).sigma
    y = np.sqrt(S**2 + sigma[0] ** 2)
    for a, b in itertools.pairwise(sigma):
        y *= 1 - 0.5 * (a - b) * a / (S**2 + a**2)
    check.control("exact denoiser (every step halved): the sign", 0.0, S - y, on="N = 64")
    sigma = grid_of(8).sigma
    noisy_end = np.sum(np.diff(sigma) ** 2 * S**2 / (2 * np.sqrt(S**2 + sigma[:-1] ** 2) ** 3))
    check.control("g at the clean end of the step (noisy end)", S - deviation(8), noisy_end, on="N = 8")
