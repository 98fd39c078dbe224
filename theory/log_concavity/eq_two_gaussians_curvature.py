"""Two Gaussians: the curvature (example of Section 4.1, recalled, here with weights).

Let q = w N(mu, v I) + (1 - w) N(-mu, v I), v = sigma^2 + tau^2 and c = log(w / (1 - w)) / 2. Then

    Hess log q  =  -1/v [I - mu mu' / v (1 - tanh^2(mu . y / v + c))],

so that q is log-concave if and only if v >= |mu|^2, for every weight. The worst points form the hyperplane mu . y = -c v of
equal odds.

Measured against the library's Hessian and thresholds, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.two_gaussians_curvature.statement
EPS = np.finfo(np.float64).eps


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_against_the_library(check):
    """Along and across mu, for three weights in R^1, R^3 and R^8."""
    rng, cause = np.random.default_rng(67), "rounding: 64 eps (1 + r^2/v)(1 + |mu y|/v)/v"
    for d in (1, 3, 8):
        mu = rng.standard_normal(d)
        r = np.linalg.norm(mu)
        for w, sigma2, tau2 in ((0.5, 0.3, 0.1), (0.01, 1.5, 0.4), (0.97, 0.05, 0.05)):
            law = GaussianMixture(np.array([w, 1 - w]), np.stack([mu, -mu]), tau2)
            y, v = 2 * rng.standard_normal((50, d)), sigma2 + tau2
            H = law.noised(1, np.sqrt(sigma2)).hessian(y)
            along = np.einsum("i,nij,j->n", mu, H, mu) / r**2
            across = np.trace(H, axis1=1, axis2=2) - along
            tol, on = 64 * EPS * (1 + r**2 / v) / v * (1 + np.abs(y @ mu) / v), f"d = {d}, w = {w}, v = {v:.2g}"
            formula = bound.two_gaussians_curvature(r, v, y @ mu, w)
            check.equal(along, formula, tol=tol, cause=cause, on=f"{on}: along mu")
            check.equal(across, -(d - 1) / v, tol=d * tol, cause=cause, on=f"d = {d}: across")


def test_by_sympy(check):
    """The second derivative of log(w e^{-(y-a)^2/2v} + (1-w) e^{-(y+a)^2/2v}) is the formula."""
    y, a, v, w = sympy.symbols("y a v w", positive=True)
    q = w * sympy.exp(-((y - a) ** 2) / (2 * v)) + (1 - w) * sympy.exp(-((y + a) ** 2) / (2 * v))
    e = w / (1 - w) * sympy.exp(2 * a * y / v)  # e^{2 (a y / v + c)}
    square = 4 * e / (1 + e) ** 2  # 1 / cosh^2
    difference = sympy.diff(sympy.log(q), y, 2) + (1 - a**2 / v * square) / v
    residual = sympy.simplify(difference.rewrite(sympy.exp))
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="second derivative minus the formula")


def test_threshold(check):
    for w in (0.5, 0.3, 0.01, 1e-6):
        law = GaussianMixture(np.array([w, 1 - w]), np.array([[1.2, 0.5], [-1.2, -0.5]]), 0.25)
        found = log_concavity_threshold(law)
        cause, on = "rounding: 64 eps", f"w = {w}: sigma*^2 = |mu|^2 - tau^2"
        check.equal([found.lower, found.upper], 1.69 - 0.25, tol=64 * EPS, cause=cause, on=on)
        c = 0.5 * np.log(w / (1 - w))
        worst = bound.two_gaussians_curvature(1.3, 1.69, -c * 1.69, w)
        cause = "rounding: 64 eps"
        check.equal(worst, 0.0, tol=64 * EPS, cause=cause, on=f"w = {w}: curvature 0 at equal odds, at the threshold")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Less noise than |mu|^2, another worst point, and another weight."""
    w, c, v = 0.01, 0.5 * np.log(0.01 / 0.99), 0.99 * 1.69
    top = bound.two_gaussians_curvature(1.3, v, -c * v, w)
    check.control("v >= |mu|^2 (99 % of it)", top, 0.0, tol=1e-12, on="equal odds, w = .01")
    middle = bound.two_gaussians_curvature(1.3, 0.5 * 1.69, 0.0, w)
    check.control("equal odds (the midpoint as the worst point)", 0.0, middle, tol=1e-12, on="w = .01, half the threshold")
    law = GaussianMixture(np.array([w, 1 - w]), np.array([[1.3], [-1.3]]), 0.25)
    H = law.noised(1, np.sqrt(v - 0.25)).hessian(np.array([[-c * v / 1.3]]))[0, 0, 0]
    no_weight = bound.two_gaussians_curvature(1.3, v, -c * v, 0.5)
    check.control("the weight (c = 0)", abs(H - no_weight), 0.0, tol=1e-9, on="w = .01 against w = .5")
