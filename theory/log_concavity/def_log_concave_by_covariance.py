"""Log-concavity is a bound on the posterior variance (derived; the slides give the Hessian).

Let Y = Z + sqrt(v) N with the density q_v. Suppose that

    (H1)  the noise variance v is above the threshold, sup_y lammax Cov(Z | y) <= v, for the law to be log-concave,
    (H2)  the formula is given the variance v.

Then at every y

    lammax Hess log q_v(y)  =  (lammax Cov(Z | y) / v - 1) / v,
    q_v log-concave    <=>    sup_y lammax Cov(Z | y) <= v.

Measured on four atoms in the plane: Hessians in 50 digits, and midpoints of 20,000 segments for a certified law.
"""

import mpmath
import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity.certificates import (
    certify_log_concavity,
    largest_posterior_variance,
    log_concavity_threshold,
)
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.largest_curvature.statement
EPS = np.finfo(np.float64).eps
ATOMS = np.array([[-1.0, 0.2], [0.4, 1.1], [0.9, -0.7], [-0.3, -0.9]])
WEIGHTS = np.array([0.4, 0.1, 0.3, 0.2])
UNEVEN = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])


def hessian_50_digits(y, v):
    """Central second differences of log q_v with step 1e-16 in 50 digits: nothing of the library enters."""
    with mpmath.workdps(50):
        h = mpmath.mpf(10) ** -16

        def log_q(a, b):
            terms = [
                w * mpmath.exp(-((a - mpmath.mpf(p[0])) ** 2 + (b - mpmath.mpf(p[1])) ** 2) / (2 * v))
                for p, w in zip(ATOMS.tolist(), WEIGHTS.tolist())
            ]
            return mpmath.log(mpmath.fsum(terms))

        a, b, c = mpmath.mpf(y[0]), mpmath.mpf(y[1]), log_q(mpmath.mpf(y[0]), mpmath.mpf(y[1]))
        xx = (log_q(a + h, b) - 2 * c + log_q(a - h, b)) / h**2
        yy = (log_q(a, b + h) - 2 * c + log_q(a, b - h)) / h**2
        xy = (log_q(a + h, b + h) - log_q(a + h, b - h) - log_q(a - h, b + h) + log_q(a - h, b - h)) / (4 * h**2)
        return float((xx + yy) / 2 + mpmath.sqrt(((xx - yy) / 2) ** 2 + xy**2))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_curvature(check):
    rng = np.random.default_rng(60)
    y = 2 * rng.standard_normal((25, 2))
    cloud = PointCloud(ATOMS, WEIGHTS)
    for v in (0.2, 0.7, 3.0):
        formula = bound.largest_curvature(largest_posterior_variance(cloud, y, v), v)
        exact = [hessian_50_digits(row, mpmath.mpf(v)) for row in y]
        cause = "rounding: 64 eps (1 + |y| D / v) / v: logits of size |y| D / v are exponentiated"
        tol = 64 * EPS * (1 + 10 / v) / v
        check.equal(formula, exact, tol=tol, cause=cause, on=f"50 digits, v = {v}")
        smooth = GaussianMixture(WEIGHTS, ATOMS, 0.1)
        library = np.linalg.eigvalsh(smooth.noised(1, np.sqrt(v - 0.1)).hessian(y))[:, -1]
        check.equal(formula, library, tol=tol, cause=cause, on=f"mixture of tau^2 = .1, Hessian of the library, v = {v}")


def test_midpoints(check):
    """Certified: the log density at every midpoint is at least the mean of the ends."""
    cloud = PointCloud(ATOMS, WEIGHTS)
    threshold = log_concavity_threshold(cloud)
    certificate = certify_log_concavity(cloud, threshold.upper)
    check.hypothesis("certified log-concave", certificate.status is True, on="4 atoms in the plane, 20,000 segments")
    rng = np.random.default_rng(61)
    a, b = (4 * rng.standard_normal((20_000, 2)) for _ in range(2))
    q = cloud.noised(1, np.sqrt(threshold.upper))
    mean, middle = 0.5 * (q.log_density(a) + q.log_density(b)), q.log_density(0.5 * (a + b))
    size = np.abs(mean) + 1
    cause = "rounding: 32 eps of the logarithms"
    check.holds(mean + 1e3, middle + 1e3, tol=32 * EPS * (size + 1e3), cause=cause, on="20,000 segments")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Below the threshold, and the root of the variance in the formula."""
    # (H1) 98 % of the threshold: the log density at a midpoint is below the mean of the ends
    cloud = PointCloud(UNEVEN, np.array([0.45, 0.05, 0.05, 0.45]))
    threshold = log_concavity_threshold(cloud)
    v = 0.98 * threshold.lower
    q, y = cloud.noised(1, np.sqrt(v)), threshold.witness[np.newaxis]
    u = np.linalg.eigh(q.hessian(y)[0])[1][:, -1]
    mean = 0.5 * (q.log_density(y + 0.05 * u) + q.log_density(y - 0.05 * u))
    dropped = "noise above the threshold (98 % of it)"
    check.control(dropped, mean - q.log_density(y), 0.0, tol=1e-13, on="segment at the witness")

    # (H2) sqrt(v) in place of v
    y = np.array([[0.3, -0.4]])
    wrong = bound.largest_curvature(largest_posterior_variance(PointCloud(ATOMS, WEIGHTS), y, v), np.sqrt(v))
    off = abs(wrong - hessian_50_digits(y[0], mpmath.mpf(v)))
    check.control("the variance v (its root in the formula)", off, 0.0, tol=1e-9, on="Hessian in 50 digits")
