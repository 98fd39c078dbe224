"""Slope of the exact step for a log-concave prior (derived; cf. Lemma 4.1, whose wording was not at hand).

Let the step lead from s = v_t to r = v_{t-1} in z, so that its Jacobian is r/s I + (1 - r/s) C_s / s. Suppose that

    (H1)  -Hess log p_0 >= m I with m >= 0.

Then

    |r/s I + (1 - r/s) C_s / s|  <=  (1 + m r) / (1 + m s)  <=  1,

with equality for N(0, I/m). The product over a chain telescopes to 1 / (1 + m v_hat).

Measured on mixtures of N(+-a e_1, I), which have m = 1 - a^2 and are log-concave up to a = 1.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.step_slope_log_concave.statement
LEVELS = ((4.0, 3.0), (1.0, 0.9), (0.1, 0.05), (0.01, 0.009))


def slopes(law, s, r):
    """Largest eigenvalue of the step's Jacobian at 300 states and at the origin: (301,)."""
    z = np.r_[law.noised(1.0, np.sqrt(s)).sample(300, np.random.default_rng(61)), np.zeros((1, law.dim))]
    C = law.noised(1.0, np.sqrt(s)).posterior_covariance(z)
    return np.linalg.eigvalsh(r / s * np.eye(law.dim) + (1 - r / s) * C / s)[:, -1]


def log_concave(a, d):
    """.5/.5 mixture of N(+-a e_1, I): -hess log p >= (1 - a^2) I, log-concave up to a = 1."""
    mean = np.zeros((2, d))
    mean[:, 0] = [-a, a]
    return GaussianMixture(None, mean, 1.0), 1 - a**2


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypothesis(check):
    for a in (0.3, 0.9, 1.0):
        law, m = log_concave(a, 2)
        x = np.random.default_rng(62).standard_normal((500, 2)) * 2
        least = np.linalg.eigvalsh(-law.hessian(x))[:, 0]
        check.hypothesis("-hess log p >= m", least >= m - 1e-12, on=f"a = {a}, m = {m:g}", value=f"least {least.min():.4f}")


def test_holds(check):
    """Four mixtures down to m = 0, on a line and in space; the bound itself is at most 1."""
    small, large = [], []
    for a in (0.0, 0.3, 0.9, 1.0):
        for d in (1, 3):
            law, m = log_concave(a, d)
            for s, r in LEVELS:
                small.append(slopes(law, s, r))
                large.append([bound.step_slope_log_concave(s, r, max(m, 0.0))] * len(small[-1]))
    check.holds(small, large, tol=1e-12, cause="rounding: of eigenvalues", on="a = 0 .. 1, d = 1, 3")
    check.holds(large[-1], 1.0, tol=0, cause="exact", on="m = 0", of="the bound itself, at most 1")


def test_product(check):
    """The product over a chain telescopes; log-concave priors have a T-uniform Lipschitz constant, at most 1."""
    v = cm.refined_grid(200, 1.0).noise_ratio ** 2
    for m in (0.0, 0.5, 4.0):
        check.equal(
            np.prod(bound.step_slope_log_concave(v[:-1], v[1:], m)),
            1 / (1 + m),
            tol=200 * 4e-16,
            cause="rounding: 2 eps per step",
            on=f"200 steps, m = {m:g}",
        )
    law, _ = log_concave(1.0, 1)
    y = np.linspace(-4, 4, 801)[:, None]
    for n in (10, 100):
        f = cm.denoise(law, cm.refined_grid(n, 1.0), y, 1.0)
        cause, of = "rounding: eps / dy", "the slope of the whole chain"
        check.holds(np.diff(f[:, 0]) / np.diff(y[:, 0]), 1.0, tol=1e-12, cause=cause, on=f"n = {n}", of=of)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    for m in (0.25, 1.0, 9.0):
        law = GaussianMixture([1.0], np.zeros((1, 2)), 1 / m)
        for s, r in LEVELS:
            ratio = slopes(law, s, r) / bound.step_slope_log_concave(s, r, m)
            check.tight(ratio, 1.0, tol=1e-13, cause="rounding", on=f"N(0, I/{m:g}), s = {s:g}, r = {r:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """(H1) priors that are not log-concave, or less so than assumed."""
    for name, s in (("two points", 0.1), ("gmm2", 0.1), ("gmm3", 0.1), ("scale mixture", 0.1)):
        found, larger = slopes(line.priors[name], s, 0.9 * s), bound.step_slope_log_concave(s, 0.9 * s)
        check.control("a log-concave prior", found, larger, tol=1e-6, on=f"{name}, s = {s}")
    law, m = log_concave(1.2, 1)
    check.control("a <= 1 (a = 1.2)", slopes(law, 0.1, 0.05), 1.0, tol=1e-6, on="equal mixture, s = .1, r = .05")
    gaussian = slopes(GaussianMixture([1.0], np.zeros((1, 1)), 1.0), 1.0, 0.9)
    check.control("m (twice the true one)", gaussian, bound.step_slope_log_concave(1.0, 0.9, 2.0), tol=1e-6, on="N(0, 1)")
