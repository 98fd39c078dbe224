"""Template of a theory file, and a complete worked example: DDIM under-disperses on a Gaussian.

Copy this file to theory/<paper>/<kind>_<content>.py (kind: thm, prop, lem, def, eq or sym). The statement itself is NOT here:
it is the docstring of a function in exactdiffusion.bounds.<paper>. Here is only how it is measured, and on what:

    hypotheses  verified on the instance, reported apart from the verdict   check.hypothesis
    holds       smaller <= larger on a family, adversarial cases included   check.holds / check.equal
    tight       an instance that attains a stated ratio                     check.tight
    rate        a slope on a deterministic measurement                      check.rate
    control     one hypothesis, term or constant dropped: must FAIL         check.control

What each kind can see (planted faults on this very example): the inequality alone misses a loop that stops one step early,
a float32 state and every loosened bound; the rate misses a constant factor; only ``tight`` sees a loosened bound, and only
the exact independent recursion sees the first two. So write all of them.
"""

import numpy as np

from exactdiffusion import GaussianMixture, measure, propagation, samplers, schedules
from exactdiffusion.bounds import foundations as bound

STATEMENT = bound.ddim_gaussian_deviation.statement
EPS = np.finfo(np.float64).eps
S, SIGMA_MAX, DIM = 0.7, 20.0, 3
STEPS = 2 ** np.arange(3, 10)


def grid_of(N):
    return schedules.edm(int(N), sigma_max=SIGMA_MAX, sigma_min=0.02, rho=7.0, final_zero=True)


def deviation(N, s=S):
    """Standard deviation of DDIM's output: no sampling, the exact law is propagated."""
    grid = grid_of(N)
    start = np.full(DIM, s**2 + SIGMA_MAX**2)
    _, covariance = propagation.gaussian("ddim", np.zeros(DIM), np.full(DIM, s**2), grid, np.zeros(DIM), start)
    return np.sqrt(np.asarray(covariance).reshape(DIM, -1)[0, 0])


def independent_deviation(N, s=S):
    """The same number by the scalar recursion of the proof, y <- (1 - D sigma / g^2) y."""
    sigma = grid_of(N).sigma
    y = np.sqrt(s**2 + sigma[0] ** 2)
    for a, b in zip(sigma[:-1], sigma[1:]):
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
    tol, cause = 16 * EPS * SIGMA_MAX * STEPS.max(), "16 eps sigma_max N: one rounding per step at the scale of the start"
    check.holds(measured, larger, tol=tol, cause=cause, on="s in .05 .. 3, N = 8 .. 512")
    check.holds(0.0, measured, tol=tol, cause=cause, on="sign: DDIM always under-disperses")


def test_exact_recursion(check):
    """The sampler itself, on one point per axis, equals the recursion: the output is linear in the start."""
    law = GaussianMixture(None, np.zeros((1, DIM)), S**2)
    for N in STEPS:
        start = np.eye(DIM) * np.sqrt(S**2 + SIGMA_MAX**2)
        out = samplers.final(samplers.ddim(law, grid_of(N), start))
        check.equal(
            np.diag(out), independent_deviation(N), tol=16 * EPS * N, cause="16 eps per step", on=f"sampler, N = {N}"
        )
        check.equal(deviation(N), independent_deviation(N), tol=16 * EPS * N, cause="16 eps per step", on=f"law, N = {N}")


def test_tight(check):
    """Not attained; the ratio rises to its limit from below, so a loosened constant is seen as a smaller ratio."""
    ratios = np.array([(S - deviation(N)) / bound.ddim_gaussian_deviation(grid_of(N).sigma, S) for N in STEPS])
    assert np.all(np.diff(ratios) > 0)
    check.tight(ratios[-1], 0.5523, tol=5e-4, cause="recorded to four digits", on="N = 512, rho = 7 grid from 20")


def test_rate(check):
    w2 = [np.sqrt(DIM) * (S - deviation(N)) for N in STEPS]
    larger = [bound.ddim_gaussian_deviation(grid_of(N).sigma, S) for N in STEPS]
    check.rate(measure.fit_slope(STEPS[-3:], w2[-3:]), -1.0, within=0.02, on="W2 against N, last two octaves")
    check.rate(measure.fit_slope(STEPS[-3:], larger[-3:]), -1.0, within=0.02, on="the bound against N, last two octaves")


def test_controls(check):
    N = 64
    sigma = grid_of(N).sigma
    larger = bound.ddim_gaussian_deviation(sigma, S)
    y = np.sqrt(S**2 + sigma[0] ** 2)
    for a, b in zip(sigma[:-1], sigma[1:]):
        y *= 1 - 2 * (a - b) * a / (S**2 + a**2)  # the exact denoiser is a hypothesis: twice its step is not DDIM
    check.control("exact denoiser (step doubled)", S - y, larger, on="N = 64")
    tail = np.sum(np.diff(sigma) ** 2 * S**2 / (2 * np.sqrt(S**2 + sigma[:-1] ** 2) ** 3))
    check.control("g at the clean end of the step (noisy end instead)", S - deviation(N), tail, on="N = 64")
