"""Stationary law of ULA on a Gaussian (slides, transcribed by machine: their recursion is refuted; formula derived).

Suppose that

    (H1)  the target is N(0, lam) and 0 < gamma < 2 lam,
    (H2)  x_{k+1} = x_k - gamma f'(x_k) + sqrt(2 gamma) xi_k with f(x) = x^2 / (2 lam).

Then the stationary law is Gaussian with the variance

    lam / (1 - gamma / (2 lam)),        W2  =  gamma / (4 sqrt(lam)) + O(gamma^2).

As transcribed, the step lacks x_k, and its stationary variance tends to 0 with gamma.

Measured by iterating the recursion, and in R^4 by a Lyapunov equation of the library's score.
"""

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.ula_gaussian_variance.statement
EPS = np.finfo(float).eps


def iterate(lam, gamma, steps, keep=1.0, start=5.0):
    """Variance after ``steps`` steps x' = keep x - gamma x/lam + sqrt(2 gamma) xi; keep = 0 is the printed form."""
    v = start
    for _ in range(steps):
        v = (keep - gamma / lam) ** 2 * v + 2 * gamma
    return v


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equality(check):
    """3000 steps of the recursion for three variances and five steps, in units of the variance."""
    cases = [(lam, r * lam) for lam in (0.3, 1.0, 7.0) for r in (0.01, 0.1, 0.7, 1.5, 1.9)]
    iterated = [iterate(lam, gamma, 3000) / lam for lam, gamma in cases]
    formula = [bound.ula_gaussian_variance(lam, gamma) / lam for lam, gamma in cases]
    cause, on = "rounding: (1 - r)^2^3000 of the start and rounding of the sum", "lam .3 .. 7, gamma/lam .01 .. 1.9"
    check.equal(iterated, formula, tol=1e-12, cause=cause, on=on)


def test_any_dimension(check):
    """Stationary covariance by the Lyapunov equation of the library's own score, an oriented ellipsoid in R^4."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((4, 4)) + np.eye(4)
    C = root @ root.T
    lam, U = np.linalg.eigh(C)
    gamma = 0.3 * lam[0]
    step = np.eye(4) + gamma * GaussianMixture(None, np.zeros((1, 4)), C[None]).score(np.eye(4))
    stationary = solve_discrete_lyapunov(step.T, 2 * gamma * np.eye(4))
    formula = (U * bound.ula_gaussian_variance(lam, gamma)) @ U.T
    tol = 1e3 * EPS * lam[-1] ** 2 / lam[0]
    check.equal(stationary, formula, tol=tol, cause="rounding: 1e3 eps |C| cond(C): Lyapunov equation", on="N(0, C) in R^4")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_rate_and_constant(check):
    gamma = 0.1 / 2.0 ** np.arange(8)
    for lam in (0.5, 4.0):
        w2 = np.sqrt(bound.ula_gaussian_variance(lam, gamma)) - np.sqrt(lam)
        check.rate(distances.fit_slope(gamma[-4:], w2[-4:]), 1.0, within=0.02, on=f"W2 against gamma, lam = {lam:g}")
        limit = w2[-1] / (gamma[-1] / (4 * np.sqrt(lam)))
        cause = "remainder: next term of the expansion"
        check.tight(limit, 1.0, tol=2 * gamma[-1] / lam, cause=cause, on=f"gamma/(4 sqrt lam), lam = {lam:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_misprint_and_controls(check):
    """(H2) the step as transcribed, and other terms of it."""
    gamma = np.array([0.1, 0.01, 0.001])
    printed = np.array([iterate(1.0, g, 20_000, keep=0.0) for g in gamma])
    own, on = 2 * gamma / (1 - gamma**2), "printed recursion: its own stationary variance"
    check.equal(printed, own, tol=64 * EPS, cause="rounding: 64 eps", on=on)
    w2, larger = np.abs(np.sqrt(printed) - 1), np.sqrt(bound.ula_gaussian_variance(1.0, gamma)) - 1
    on = "N(0, 1): W2 of the printed chain against that of ULA"
    check.refuted("x_{k+1} = -gamma grad f(x_k) + ..., without x_k", w2, larger, tol=1e-12, on=on)

    # gamma = lam/2 hides the misprint: both recursions have 4/3
    trap = [iterate(1.0, 0.5, 200, keep=k) for k in (0.0, 1.0)]
    check.equal(trap, 4 / 3, tol=8 * EPS, cause="rounding: 8 eps", on="the trap gamma = lam/2: both 1.3333")

    exact = bound.ula_gaussian_variance(1.0, 0.1)
    check.control("gamma/2 in the denominator (unbiased)", abs(exact - 1.0), 1e-6, on="N(0, 1), gamma = .1")
    noise = 0.1 / (1 - 0.9**2)
    check.control("sqrt(2 gamma) (sqrt gamma)", abs(noise - exact), 1e-6, on="N(0, 1), gamma = .1")
