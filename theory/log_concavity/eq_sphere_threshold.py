"""Sphere: the threshold is R^2 / d, so that the radius is loose by exactly d (derived).

Let Z be uniform on the sphere of radius R in R^d, A = I_{d/2} / I_{d/2-1} and k = R |y| / v. Then Cov(Z | y) has the
eigenvalues R^2 A(k) / k across and R^2 A'(k) along y, both at most R^2 / d, attained at y = 0, and

    sigma*^2  =  R^2 / d.

Measured against Bessel functions in 30 digits, and by the sign of the curvature at the centre.
"""

import mpmath
import numpy as np

from exactdiffusion import Sphere
from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.sphere_threshold.statement
EPS = np.finfo(np.float64).eps


def eigenvalues(R, d, v, r):
    """(across, along) in 30 digits: R^2 A/k, R^2 A'(k) with A' = 1 - A^2 - (d - 1) A/k."""
    with mpmath.workdps(30):
        k = mpmath.mpf(R) * r / v
        A = mpmath.besseli(mpmath.mpf(d) / 2, k) / mpmath.besseli(mpmath.mpf(d) / 2 - 1, k)
        return float(R**2 * A / k), float(R**2 * (1 - A * A - (d - 1) * A / k))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_covariances(check):
    for d in (2, 3, 8):
        for R, v in ((1.0, 0.05), (2.5, 1.0), (1.0, 7.0)):
            r = np.array([1e-3, 0.3, 1.0, 2.0, 9.0])
            y = np.zeros((5, d))
            y[:, 0] = r
            C = Sphere(radius=R, dim=d).noised(1, np.sqrt(v)).posterior_covariance(y)
            exact = np.array([eigenvalues(R, d, v, a) for a in r])
            tol = 1e-11 * R**2
            cause = "remainder: 1e-11 R^2: Bessel ratio and the difference 1 - A^2 - (d - 1) A/k"
            on = f"d = {d}, R = {R}, v = {v}"
            check.equal(C[:, 0, 0], exact[:, 1], tol=tol, cause=cause, on=f"{on}: along y")
            check.equal(C[:, 1, 1], exact[:, 0], tol=tol, cause=cause, on=f"{on}: across")
            check.holds(np.max(exact, axis=1), bound.sphere_threshold(R, d), tol=4 * EPS * R**2, cause="rounding", on=on)


def test_threshold(check):
    for d in (2, 3, 8, 50):
        R = 1.7
        found = log_concavity_threshold(Sphere(radius=R, dim=d))
        check.equal(found.lower, bound.sphere_threshold(R, d), tol=4 * EPS * R**2, cause="rounding", on=f"d = {d}")
        on = f"d = {d}: (4.3) is loose by d"
        check.equal(found.radius_squared / found.upper, d, tol=8 * EPS * d, cause="rounding", on=on)
        law = Sphere(radius=R, dim=d)
        H = [law.noised(1, np.sqrt(found.lower * f)).hessian(np.zeros((1, d)))[0, 0, 0] for f in (1.0, 0.99, 1.01)]
        cause = "remainder: 1e-11: Bessel ratio at 0"
        check.equal(H[0], 0.0, tol=1e-11, cause=cause, on=f"d = {d}: curvature 0 at the centre, at the threshold")
        check.holds([0.0, H[2]], [H[1], 0.0], tol=0, cause="exact: sign", on=f"d = {d}: sign change at the threshold")
        top = Sphere(radius=R, dim=d).noised(1, 1.0).posterior_covariance(np.zeros((1, d)))[0, 0, 0]
        cause = "remainder: Bessel ratio at 0"
        check.tight(top / bound.sphere_threshold(R, d), 1.0, tol=1e-11, cause=cause, on=f"d = {d}: sup at the centre")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    law, d = Sphere(radius=1.0, dim=3), 3
    H = law.noised(1, np.sqrt(bound.sphere_threshold(1.0, d + 1))).hessian(np.zeros((1, d)))[0, 0, 0]
    check.control("d (d + 1 in its place)", H, 0.0, tol=1e-9, on="sphere in R^3, centre")
    H = law.noised(1, np.sqrt(0.99 / d)).hessian(np.zeros((1, d)))[0, 0, 0]
    check.control("1 % of R^2/d", H, 0.0, tol=1e-9, on="sphere in R^3, centre")
