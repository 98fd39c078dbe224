"""The curvature bound increases with m (Theorem 1, recalled; the difference is derived).

Suppose that

    (H1)  X = Z + tau N with |Z| <= R,
    (H2)  sigma^2 >= R^2 - tau^2.

Then, with L_m = (sigma^2 + (m-1) tau^2) / (sigma^2 (sigma^2 + m tau^2)), at every point

    -Hess_{y_m} log p(y_m | y_1, ..., y_{m-1})  >=  zeta_m I,        zeta_m  =  L_m - R^2 / (sigma^2 + m tau^2)^2,

and zeta_m does not decrease with m: once log-concave, always log-concave. Two points attain zeta_m for every m.

Measured by the supremum of the posterior covariance over y, for m = 1 to 200.
"""

import numpy as np
import sympy

from exactdiffusion.papers.log_concavity.certificates import covariance_supremum
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.curvature_lower_bound.statement
EPS = np.finfo(np.float64).eps
M = (1, 2, 3, 5, 20, 200)
FOUR = np.array([[1.0, 0], [-1, 0], [0, 1.2], [0, -1.2]])
FOUR_WEIGHTS = np.array([0.3158102, 0.3158102, 0.1841898, 0.1841898])


def least_curvature(points, w, m, sigma2, tau2):
    """inf over y of the eigenvalues of -Hess log p(y_m | past)."""
    b = sigma2 / (sigma2 + m * tau2)
    top = b * tau2 + b * b * covariance_supremum(points, w, sigma2 / m + tau2)[0]
    return (1 - top / sigma2) / sigma2


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Clouds on the unit sphere, where R = 1, and six numbers of measurements."""
    rng = np.random.default_rng(69)
    clouds = {
        "triangle of radius 1": np.array([[1, 0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]]),
        "8 on the unit sphere of R^3": rng.standard_normal((8, 3)),
    }
    for name, points in clouds.items():
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        w = rng.dirichlet(np.ones(len(points)))
        for sigma2, tau2 in ((0.9, 0.1), (1.0, 0.0), (0.3, 0.8)):
            on = f"{name}, tau^2 = {tau2}"
            check.hypothesis("sigma^2 >= R^2 - tau^2", sigma2 >= 1 - tau2 - EPS, on=on)
            measured = [least_curvature(points, w, m, sigma2, tau2) for m in M]
            zeta = bound.curvature_lower_bound(np.array(M), sigma2, tau2, 1.0)
            tol, cause = 1e-12 / sigma2, "rounding: 1e-12 / sigma^2: |z| = 1 and the covariance to rounding"
            check.holds(zeta, measured, tol=tol, cause=cause, on=f"{on}, m = 1 .. 200")
            check.holds(zeta[:-1], zeta[1:], tol=tol, cause=cause, on=f"{on}: zeta increases")


def test_by_sympy(check):
    """The difference of two consecutive bounds is a sum of two terms that are not negative."""
    m, s, t, R = sympy.symbols("m s t R", positive=True)

    def zeta(k):
        return (s + (k - 1) * t) / (s * (s + k * t)) - R**2 / (s + k * t) ** 2

    A, B = s + m * t, s + (m + 1) * t
    residual = zeta(m + 1) - zeta(m) - t**2 / (s * A * B) - R**2 * (B**2 - A**2) / (A**2 * B**2)
    check.equal(float(sympy.simplify(residual)), 0.0, tol=0, cause="exact: SymPy", on="zeta_{m+1} - zeta_m")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Two points of uneven weights."""
    points, w = np.array([[-1.0], [1.0]]), np.array([0.2, 0.8])
    for sigma2, tau2 in ((0.95, 0.1), (0.4, 0.8)):
        ratio = [least_curvature(points, w, m, sigma2, tau2) / bound.curvature_lower_bound(m, sigma2, tau2, 1.0) for m in M]
        cause = "remainder: local ascent's flat top over the least zeta"
        on = f"two points of weights .2, .8, sigma^2 = {sigma2}, tau^2 = {tau2}"
        check.tight(ratio, 1.0, tol=1e-8, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each hypothesis dropped in turn."""
    # (H1) R is 1 % too small in its square
    measured = least_curvature(np.array([[-1.0], [1.0]]), np.array([0.5, 0.5]), 2, 0.9, 0.1)
    zeta = bound.curvature_lower_bound(2, 0.9, 0.1, np.sqrt(0.99))
    check.control("1 % of R^2", zeta, measured, tol=1e-12, on="two points, m = 2")

    # (H2) sigma^2 = .714 where R^2 = 1.44
    one, two = (least_curvature(FOUR, FOUR_WEIGHTS, m, 0.714, 0.0) for m in (1, 2))
    dropped, on = "sigma^2 >= R^2 - tau^2: the least curvature increases", "four atoms, sigma^2 = .714, R^2 = 1.44"
    check.control(dropped, one, two, tol=1e-9, on=on)
