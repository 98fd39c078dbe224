"""Sphere: the threshold is R^2 / d, so that the radius is loose by exactly d (derived).

Let Z be uniform on the sphere of radius R in R^d, A = I_{d/2} / I_{d/2-1} and k = R |y| / v. Then Cov(Z | y) has the
eigenvalues R^2 A(k) / k across and R^2 A'(k) along y, both at most R^2 / d, attained at y = 0, and

    sigma*^2  =  R^2 / d.

Measured against Bessel functions in 30 digits, and by the sign of the curvature at the centre.
"""

from typing import NamedTuple

import mpmath
import numpy as np

from exactdiffusion import Sphere
from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.sphere_threshold.statement
EPS = np.finfo(np.float64).eps


def eigenvalues(R, d, v, r):
    """`Eigenvalues` at |y| = r in 30 digits: R^2 A/k, R^2 A'(k) with A' = 1 - A^2 - (d - 1) A/k."""
    with mpmath.workdps(30):
        k = mpmath.mpf(R) * r / v
        A = mpmath.besseli(mpmath.mpf(d) / 2, k) / mpmath.besseli(mpmath.mpf(d) / 2 - 1, k)
        return Eigenvalues(float(R**2 * A / k), float(R**2 * (1 - A * A - (d - 1) * A / k)))


class Eigenvalues(NamedTuple):
    """Eigenvalues of Cov(Z | y) across and along y."""

    across: float
    along: float


def curvature_at_centre(law, v):
    """An eigenvalue of Hess log q_v at 0, where all are equal."""
    return law.noised(1, np.sqrt(v)).hessian(np.zeros((1, law.dim)))[0, 0, 0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_covariances(check):
    """The library's posterior covariance at five distances from the centre."""
    r = np.array([1e-3, 0.3, 1.0, 2.0, 9.0])
    for d in (2, 3, 8):
        for R, v in ((1.0, 0.05), (2.5, 1.0), (1.0, 7.0)):
            y = np.zeros((5, d))
            y[:, 0] = r
            C = Sphere(radius=R, dim=d).noised(1, np.sqrt(v)).posterior_covariance(y)
            exact = Eigenvalues(*np.array([eigenvalues(R, d, v, distance) for distance in r]).T)
            cause = "remainder: 1e-11 R^2: Bessel ratio and the difference 1 - A^2 - (d - 1) A/k"
            on, larger = f"d = {d}, R = {R}, v = {v}", np.maximum(exact.across, exact.along)
            check.equal(C[:, 0, 0], exact.along, tol=1e-11 * R**2, cause=cause, on=f"{on}: along y")
            check.equal(C[:, 1, 1], exact.across, tol=1e-11 * R**2, cause=cause, on=f"{on}: across")
            check.holds(larger, bound.sphere_threshold(R, d), tol=4 * EPS * R**2, cause="rounding", on=on)


def test_threshold(check):
    """The library's threshold, the curvature at the centre about it, and the supremum at the centre."""
    R = 1.7
    for d in (2, 3, 8, 50):
        law = Sphere(radius=R, dim=d)
        found, ratio = log_concavity_threshold(law), bound.sphere_threshold(R, d)
        check.equal(found.lower, ratio, tol=4 * EPS * R**2, cause="rounding", on=f"d = {d}")
        loose = found.radius_squared / found.upper
        check.equal(loose, d, tol=8 * EPS * d, cause="rounding", on=f"d = {d}: (4.3) is loose by d")

        at, below, above = (curvature_at_centre(law, found.lower * factor) for factor in (1.0, 0.99, 1.01))
        cause, on = "remainder: 1e-11: Bessel ratio at 0", f"d = {d}: curvature 0 at the centre, at the threshold"
        check.equal(at, 0.0, tol=1e-11, cause=cause, on=on)
        on = f"d = {d}: sign change at the threshold"
        check.holds([0.0, above], [below, 0.0], tol=0, cause="exact: sign", on=on)
        top = law.noised(1, 1.0).posterior_covariance(np.zeros((1, d)))[0, 0, 0]
        cause, on = "remainder: Bessel ratio at 0", f"d = {d}: sup at the centre"
        check.tight(top / ratio, 1.0, tol=1e-11, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """A smaller threshold: the curvature at the centre is positive."""
    law, d = Sphere(radius=1.0, dim=3), 3
    value = curvature_at_centre(law, bound.sphere_threshold(1.0, d + 1))
    check.control("d (d + 1 in its place)", value, 0.0, tol=1e-9, on="sphere in R^3, centre")
    check.control("1 % of R^2/d", curvature_at_centre(law, 0.99 / d), 0.0, tol=1e-9, on="sphere in R^3, centre")
