"""Condition number of the m-th conditional (Theorem 1 and Remark 2, recalled; proved here).

Suppose that

    (H1)  X = Z + tau N with |Z| <= R and tau > 0,
    (H2)  sigma^2 >= R^2 - tau^2.

Then the eigenvalues of -Hess_{y_m} log p(y_m | y_1, ..., y_{m-1}) lie in [zeta_m, L_m] at every point, and

    kappa_m  <=  [1 - R^2 sigma^2 / ((sigma^2 + m tau^2) (sigma^2 + (m-1) tau^2))]^-1
              =  1 + R^2 sigma^2 / (tau^4 m^2) (1 + o(1)).

Two points attain the bound for every m. A public review quotes the rate 1/m; the rate of this bound is 1/m^2.

Measured by the library's Hessian at the maximiser of the posterior covariance and far out, on two points, a triangle, an
8-gon and nine random points.
"""

import numpy as np
import pytest
import sympy

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.papers.log_concavity.certificates import covariance_supremum, enclosing_ball
from exactdiffusion.papers.log_concavity.measurements import conditional_hessian
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.condition_number.statement
EPS = np.finfo(np.float64).eps
TAU2, SIGMA2 = 0.1, 0.9
M = (2, 5, 20, 100)


def condition(P, w, m, sigma2, tau2, far):
    """sup/inf of the eigenvalues of -Hess over y: the library's Hessian at the maximiser of Cov(Z|y) and far out.

    Given m measurements Z is seen through noise of variance sigma^2/m + tau^2; past measurements are put at 0, so that
    y_m = m ybar.
    """
    law = GaussianMixture(w, P, tau2)
    _, ybar = covariance_supremum(P, w, sigma2 / m + tau2)
    y = m * np.stack([ybar, far])
    eig = np.linalg.eigvalsh(-conditional_hessian(law, y, np.zeros_like(y), m - 1, np.sqrt(sigma2)))
    return eig.max() / eig.min()


def two_points(m, sigma2=SIGMA2, tau2=TAU2, R=1.0):
    return condition(np.array([[-R], [R]]), np.array([0.3, 0.7]), m, sigma2, tau2, np.array([40.0]))


def ring(n):
    """The regular n-gon on the unit circle, (n, 2)."""
    return np.stack([np.cos(2 * np.pi * np.arange(n) / n), np.sin(2 * np.pi * np.arange(n) / n)], axis=1)


def random_cloud():
    """Nine random points in R^3, moved and scaled to the unit ball."""
    points = np.random.default_rng(68).standard_normal((9, 3))
    centre, R = enclosing_ball(points)
    return (points - centre) / R


CLOUDS = {"triangle": ring(3), "8-gon": ring(8), "9 random in R^3": random_cloud()}


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypotheses(check):
    check.hypothesis("sigma^2 >= R^2 - tau^2", SIGMA2 >= 1 - TAU2, on="R = 1, tau^2 = .1, sigma^2 = .9, m >= 2")


@pytest.mark.parametrize("name", ["triangle", "8-gon", "9 random in R^3"])
def test_holds(check, name):
    points = CLOUDS[name]
    w = np.full(len(points), 1 / len(points))
    measured = [condition(points, w, m, SIGMA2, TAU2, 40.0 * points[0]) for m in M]
    larger = [bound.condition_number(m, SIGMA2, TAU2, 1.0) for m in M]
    check.holds(measured, larger, tol=1e-9, cause="remainder: radius 1 to 1e-11, ascent", on=f"{name}, m = 2, 5, 20, 100")
    if name == "8-gon":
        check.equal(measured, [1.692, 1.329, 1.0587, 1.0038], tol=6e-4, cause="printed digits", on="8-gon")


def test_by_sympy(check):
    """L_m / zeta_m is the printed formula; with the cruder L = 1/sigma^2 one gets (kappa - 1) m -> 1."""
    m, s, t, R = sympy.symbols("m s t R", positive=True)
    upper = (s + (m - 1) * t) / (s * (s + m * t))
    lower = upper - R**2 / (s + m * t) ** 2
    printed = 1 / (1 - R**2 * s / ((s + m * t) * (s + (m - 1) * t)))
    check.equal(float(sympy.simplify(upper / lower - printed)), 0.0, tol=0, cause="exact: SymPy", on="kappa = L/zeta")
    crude = sympy.limit((1 / (s * lower) - 1) * m, m, sympy.oo)
    check.equal(float(sympy.simplify(crude)), 1.0, tol=0, cause="exact: SymPy", on="L = 1/sigma^2: rate 1/m, constant 1")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained_by_two_points(check):
    """Every m, with the printed values, and other noise levels."""
    printed = (5.5, 1.9783, 1.1247, 1.0077)
    for m, value in zip(M, printed):
        kappa, larger = two_points(m), bound.condition_number(m, SIGMA2, TAU2, 1.0)
        cause, on = "remainder: local ascent's flat top, and eps kappa", f"two points of weights .3, .7, m = {m}"
        check.tight(kappa / larger, 1.0, tol=1e-9 + 256 * EPS * larger, cause=cause, on=on)
        check.equal(kappa, value, tol=6e-5, cause="printed digits", on=f"two points, m = {m}")

    for m, sigma2, tau2 in ((1, 1.3, 0.2), (7, 2.0, 0.01), (3, 0.5, 0.9)):
        ratio = two_points(m, sigma2, tau2) / bound.condition_number(m, sigma2, tau2, 1.0)
        cause, on = "remainder: local ascent's flat top", f"m = {m}, sigma^2 = {sigma2}, tau^2 = {tau2}"
        check.tight(ratio, 1.0, tol=1e-8, cause=cause, on=on)


def test_rate(check):
    m = np.array([800, 1600, 3200, 6400])
    measured = np.array([two_points(k) for k in m]) - 1
    check.rate(distances.fit_slope(m, measured), -2.0, within=0.03, on="two points: kappa_m - 1 against m, m = 800 .. 6400")
    limit = SIGMA2 / TAU2**2
    scaled = [(bound.condition_number(k, SIGMA2, TAU2, 1.0) - 1) * k**2 / limit for k in (10_000, 20_000)]
    extrapolated = 2 * scaled[1] - scaled[0]
    cause = "remainder: Richardson's remainder, order 1/m^2"
    check.tight(extrapolated, 1.0, tol=1e-5, cause=cause, on="(kappa_m - 1) m^2 tau^4/(R^2 sigma^2), bound")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """A radius that is too small, no smoothing, and other indices and rates."""
    # (H1) |Z| <= R and tau > 0
    larger = bound.condition_number(5, SIGMA2, TAU2, 0.99)
    check.control("1 % of R", two_points(5), larger, tol=1e-9, on="two points, m = 5")
    tiny, larger = two_points(100, 1.5, 1e-9), bound.condition_number(100, 1.5, 0.1, 1.0)
    check.control("tau > 0", tiny, larger, tol=1e-9, on="two atoms, m = 100: no gain from m")

    # the conclusion: another m, and the slower rate as an equality
    shifted = bound.condition_number(6, SIGMA2, TAU2, 1.0)
    check.control("m (m + 1 in its place)", two_points(5), shifted, tol=1e-9, on="two points, m = 5")
    quarter = (two_points(400) - 1) * 4
    check.control("the sharp L_m (rate 1/m asserted)", two_points(100) - 1, quarter, tol=1e-9, on="m = 100 against 400")
