"""Posterior covariance under curvature bounds (the slides announce better bounds for strong priors; this form is derived).

Suppose that

    (H1)  a I <= -Hess log p <= b I, with a + m / sigma^2 > 0 (a < 0 is allowed).

Then almost surely

    1 / (b + m / sigma^2) I  <=  C_m  <=  1 / (a + m / sigma^2) I,

so that W2^2 <= d sigma^2 / (m + a sigma^2) for a > 0. Both sides are attained by Gaussians (Cramer-Rao below, Brascamp-Lieb
above).

Measured on two Gaussians of variance 1 at +-a, whose curvature lies in [1 - a^2, 1].
"""

import math

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.curvature_covariance_bounds.statement


def pair(a):
    """Two Gaussians of variance 1 at +-a: -Hess log p = 1 - a^2 / cosh^2(a x) lies in [1 - a^2, 1]."""
    return GaussianMixture([0.5, 0.5], np.array([[-a], [a]]), 1.0)


def cases(a):
    """(m, sigma) with a + m/sigma^2 > 0 for the pair of least curvature 1 - a^2."""
    levels = ((1, 0.1), (4, 1.0), (1, 10.0))
    return [(m, math.sqrt(s * m)) for m, s in levels if 1 - a**2 + 1 / s > 0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypotheses(check):
    x = np.linspace(-12, 12, 2401)[:, None]
    for a in (0.5, 0.9, 1.4):
        H = -pair(a).hessian(x)[:, 0, 0]
        ok = (1 - a**2 - 1e-12 <= H) & (H <= 1 + 1e-12)
        check.hypothesis("curvature in [1 - a^2, 1]", ok, on=f"two Gaussians at +-{a:g}")


def test_holds(check):
    """Three pairs, one of them not log-concave, at 601 values of the mean of the measurements."""
    y = np.linspace(-15, 15, 601)[:, None]
    for a in (0.5, 0.9, 1.4):
        bounds = [bound.curvature_covariance_bounds(1 - a**2, 1.0, m, sigma) for m, sigma in cases(a)]
        value = np.array([measurements.posterior_covariance(pair(a), m * y, m, s)[:, 0, 0] for m, s in cases(a)])
        lower, upper = np.array(bounds).T[..., np.newaxis]
        cause, on = "rounding: 450 eps of the covariance", f"two Gaussians at +-{a:g}, 601 points"
        tol = 1e-13 * upper.max()
        check.holds(lower, value, tol=tol, cause=cause, on=on, detail="Cramer-Rao side")
        check.holds(value, upper, tol=tol, cause=cause, on=on, detail="Brascamp-Lieb side")


def test_w2_corollary(check):
    """The corollary for a > 0, and that it improves the bound without assumption."""
    runs = [(a, m, math.sqrt(s * m)) for a in (0.3, 0.7, 0.95) for m, s in ((1, 0.3), (5, 2.0), (2, 30.0))]
    value = [measurements.line_jump_w2(pair(a), m, sigma) for a, m, sigma in runs]
    larger = [bound.curvature_covariance_bounds(1 - a**2, 1.0, m, sigma)[1] for a, m, sigma in runs]
    plain = [bound.posterior_mean_w2(m, sigma, 1) for _, m, sigma in runs]
    check.holds(value, larger, tol=1e-12, cause="remainder: 1e-12: quadrature", on="W2^2 <= sigma^2/(m + a sigma^2), a > 0")
    check.holds(larger, plain, tol=0.0, cause="exact", on="a > 0", of="the comparison with sigma^2/m")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Gaussians: the extreme eigenvalues of C_m are both bounds. And the pair reaches its upper side at the worst point."""
    rng = np.random.default_rng(53)
    ratios = []
    for d in (1, 4):
        root = rng.standard_normal((d, d)) + np.eye(d)
        C = root @ root.T
        law, curvature = GaussianMixture(None, np.zeros((1, d)), C[None]), 1 / np.linalg.eigvalsh(C)
        for m, sigma in ((1, 0.5), (7, 3.0)):
            low, high = bound.curvature_covariance_bounds(curvature[-1], curvature[0], m, sigma)
            own = np.linalg.eigvalsh(measurements.posterior_covariance(law, np.ones((1, d)), m, sigma)[0])
            ratios.append([own[0] / low, own[-1] / high])
    check.tight(ratios, 1.0, tol=1e-10, cause="rounding: eps cond(C) of eigh, cond <= 1e4", on="Gaussians, both sides")

    # at y = 0: 1/2 + (1/2)^2 a^2 exactly, against 1/(2 - a^2): .5625 <= .571
    _, high = bound.curvature_covariance_bounds(0.75, 1.0, 1, 1.0)
    worst = measurements.posterior_covariance(pair(0.5), np.zeros((1, 1)), 1, 1.0)[0, 0, 0]
    check.tight(worst / high, 0.5625 * 1.75, tol=1e-12, cause="rounding: 450 eps", on="two Gaussians at +-.5, s = 1, y = 0")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) the least curvature is overestimated: the worst point of a pair exceeds the bound."""

    def worst(a, sigma):
        return measurements.posterior_covariance(pair(a), np.zeros((1, 1)), 1, sigma)[0, 0, 0]

    sigma = math.sqrt(10.0)
    wrong = bound.curvature_covariance_bounds(1.0, 1.0, 1, sigma)[1]
    check.control("the smallest curvature a (the largest one)", worst(0.9, sigma), wrong, on="two Gaussians at +-.9, s = 10")
    no_prior = bound.curvature_covariance_bounds(0.0, 1.0, 1, 1.0)[1]
    on = "two Gaussians at +-2, s = 1"
    check.control("a >= 0 (a law that is not log-concave)", worst(2.0, 1.0), no_prior, on=on)
