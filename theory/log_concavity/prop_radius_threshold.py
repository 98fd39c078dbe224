"""Log-concave from R^2 - tau^2 on (Eq. (4.3), recalled; proved here).

Suppose that

    (H1)  X = Z + tau N, the support of Z in a ball of radius R about any centre,
    (H2)  tau^2 is the least eigenvalue of the covariance that smooths Z.

Then the law of Y_1, and of every Y_m given y_1, ..., y_{m-1}, is log-concave for

    sigma^2  >=  R^2 - tau^2.

Two symmetric points attain it.

Measured on four clouds by the supremum over y of the posterior covariance, for up to 50 measurements, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity.certificates import covariance_supremum, enclosing_ball, log_concavity_threshold
from exactdiffusion.papers.log_concavity.measurements import posterior_covariance
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.radius_threshold.statement
EPS = np.finfo(np.float64).eps


def clouds():
    rng = np.random.default_rng(63)
    ring = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
    return {
        "two points": np.array([[-1.0], [1.0]]),
        "8-gon, off centre": ring + 7.0,
        "simplex in R^4": np.eye(4),
        "12 random in R^3": rng.standard_normal((12, 3)),
    }


def supremum(points, m, sigma2, tau2):
    """sup over y of lammax C_m: noise sigma^2/m + tau^2 for Z, then C_m = b tau^2 + b^2 Cov(Z|y)."""
    b = sigma2 / (sigma2 + m * tau2)
    w = np.full(len(points), 1 / len(points))
    return b * tau2 + b * b * covariance_supremum(points, w, sigma2 / m + tau2)[0]


def smoothed(points, tau2, w=None):
    """The law of Z + tau N."""
    return PointCloud(points, w) if tau2 == 0 else GaussianMixture(w, points, tau2)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """The threshold, and the largest posterior covariance at the noise of the theorem for up to 50 measurements."""
    for name, points in clouds().items():
        R = enclosing_ball(points)[1]
        for tau2 in (0.0, 0.1 * R**2, 0.6 * R**2):
            sigma2, on = bound.radius_threshold(R, tau2), f"{name}, tau^2 = {tau2:.2g}"
            found = log_concavity_threshold(smoothed(points, tau2), certify=False).lower
            tol, cause = 64 * EPS * R**2, "rounding: 64 eps R^2"
            check.holds(found, sigma2, tol=tol, cause=cause, on=f"threshold of {on}")
            worst = [supremum(points, m, sigma2, tau2) for m in (1, 2, 5, 50)]
            check.holds(worst, sigma2, tol=tol, cause=cause, on=f"sup C_m, m = 1, 2, 5, 50, {on}")


def test_formula_of_the_proof(check):
    """C_m = b tau^2 I + b^2 Cov(Z|y), against the library's posterior covariance."""
    points, tau2, sigma2, m = clouds()["8-gon, off centre"], 0.3, 0.5, 3
    total = np.random.default_rng(64).standard_normal((40, 2)) * 3 + 21.0
    b = sigma2 / (sigma2 + m * tau2)
    inner = PointCloud(points).noised(1, np.sqrt(sigma2 / m + tau2)).posterior_covariance(total / m)
    own = posterior_covariance(smoothed(points, tau2), total, m, np.sqrt(sigma2))
    formula = b * tau2 * np.eye(2) + b * b * inner
    check.equal(own, formula, tol=1e3 * EPS, cause="rounding: 1e3 eps: logits of size 100", on="8-gon, m = 3")


def test_by_sympy(check):
    """At sigma^2 = R^2 - tau^2 the margin sigma^4 - sigma^2 C_m (scaled) vanishes for m = 1 and is positive beyond."""
    s, t, m = sympy.symbols("s t m", positive=True)
    R2 = s + t
    c = t * s / (s + m * t) + (s / (s + m * t)) ** 2 * R2
    margin = sympy.factor(sympy.simplify((s - c) * (s + m * t) ** 2 / s))
    check.equal(float(sympy.simplify(margin.subs(m, 1))), 0.0, tol=0, cause="exact: SymPy", on="m = 1: spent")
    n = sympy.symbols("n", nonnegative=True)
    positive = sympy.Poly(sympy.expand(margin.subs(m, 1 + n)), s, t, n)
    signs = [float(a) for a in positive.coeffs()]
    check.holds(0.0, signs, tol=0, cause="exact: SymPy", on="m = 1 + n", of="signs of the proof's coefficients")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Two points of uneven weights."""
    points, w = clouds()["two points"], np.array([0.05, 0.95])
    for tau2 in (0.0, 0.3):
        ratio = log_concavity_threshold(smoothed(points, tau2, w)).lower / bound.radius_threshold(1.0, tau2)
        cause, on = "rounding: 64 eps", f"two points of weights .05 and .95, tau^2 = {tau2}"
        check.tight(ratio, 1.0, tol=64 * EPS, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """A radius that is too small, and a smoothing that is overestimated."""
    # (H1) the radius of a smaller ball, or half the diameter
    sigma2 = 0.99 * (1 - 0.3)
    worst = supremum(clouds()["two points"], 1, sigma2, 0.3)
    check.control("1 % of the radius squared", worst, sigma2, tol=1e-12, on="two points, tau^2 = .3")
    triangle = np.array([[0.0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    half = np.linalg.norm(triangle, axis=1).max() / 2 * 0.98
    worst = supremum(triangle, 1, half**2, 0.0)
    check.control("R (98 % of half the diameter)", worst, half**2, tol=1e-12, on="triangle")
    shifted = clouds()["8-gon, off centre"]
    about, on = np.linalg.norm(shifted - shifted[0], axis=1).max() / 2, "8-gon: half the diameter is the radius"
    check.equal(about, 1.0, tol=64 * EPS, cause="rounding: 64 eps |z|", on=on)

    # (H2) tau^2 is the least eigenvalue of the common covariance; the largest entry promises too much
    law = GaussianMixture(None, np.array([[-1.0, 0], [1, 0]]), np.array([[[0.1, 0], [0, 0.9]]] * 2))
    top = np.linalg.eigvalsh(law.noised(1, np.sqrt(bound.radius_threshold(1.0, 0.9))).hessian(np.zeros((1, 2))))[0, -1]
    check.control("tau^2 the least eigenvalue (the largest entry)", top, 0.0, tol=1e-12, on="covariance diag(.1, .9)")
