"""All at once gains no log-concavity (Hessian of Eq. (D.2), recalled; the consequence is derived).

Let c be an eigenvalue of the posterior covariance C_m at the mean of the m measurements. Then the Hessian of log p(y_1, ...,
y_m) has the eigenvalue -1/sigma^2 on the d (m - 1) contrasts, and on the mean directions

    -(1 - m c / sigma^2) / sigma^2.

So the joint law is log-concave if and only if q_{sigma^2/m} is: two points at +-R smoothed by tau need sigma^2 / m >= R^2 -
tau^2, while one at a time sigma^2 >= R^2 - tau^2 is enough.

Measured by the spectrum of the (m d) x (m d) matrix, and by the sign of the largest eigenvalue about both thresholds.
"""

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity.certificates import covariance_supremum, log_concavity_threshold
from exactdiffusion.papers.log_concavity.measurements import joint_hessian, posterior_covariance
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.all_at_once_curvature.statement
EPS = np.finfo(np.float64).eps


def largest_curvature(points, w, m, sigma2, tau2):
    """sup over y of the largest eigenvalue of the joint Hessian on the mean directions."""
    b = sigma2 / (sigma2 + m * tau2)
    c = b * tau2 + b * b * covariance_supremum(points, w, sigma2 / m + tau2)[0]
    return bound.all_at_once_curvature(m, sigma2, c)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_spectrum(check):
    """All md eigenvalues, on mixtures with diagonal covariances."""
    rng = np.random.default_rng(72)
    for d, m, sigma2 in ((1, 4, 0.5), (2, 3, 1.3), (3, 5, 0.2)):
        weights, means, variances = rng.dirichlet(np.ones(3)), rng.standard_normal((3, d)), rng.uniform(0.05, 1, size=(3, d))
        law = GaussianMixture(weights, means, variances, covariance_type="diag")
        y = rng.standard_normal((20, m, d))
        found = np.linalg.eigvalsh(joint_hessian(law, y, np.sqrt(sigma2)))
        c = np.linalg.eigvalsh(posterior_covariance(law, y.sum(axis=1), m, np.sqrt(sigma2)))
        contrasts = np.full((20, d * (m - 1)), -1 / sigma2)
        expected = np.sort(np.hstack([bound.all_at_once_curvature(m, sigma2, c), contrasts]), axis=1)
        tol = 256 * EPS * m * d * np.max(np.abs(expected))
        cause = "rounding: 256 eps md |H|: eigenvalues of the md x md matrix"
        check.equal(found, expected, tol=tol, cause=cause, on=f"d = {d}, m = {m}")


def test_sign_changes(check):
    """Two points: the joint law turns log-concave at sigma^2 = m (R^2 - tau^2), one at a time at R^2 - tau^2."""
    points, w = np.array([[-1.0], [1.0]]), np.array([0.5, 0.5])
    for m in (2, 5):
        for tau2 in (0.0, 0.3):
            change = m * (1 - tau2)
            below, at, above = (largest_curvature(points, w, m, factor * change, tau2) for factor in (0.99, 1.0, 1.01))
            on, cause = f"two points, m = {m}, tau^2 = {tau2}", "remainder: rounding, order 1"
            check.equal(at, 0.0, tol=1e-12, cause=cause, on=f"{on}: zero at m (R^2 - tau^2)")
            check.holds([0.0, above], [below, 0.0], tol=0, cause="exact: sign", on=f"{on}: sign change")

    for m, value in ((2, -0.25), (5, -0.16)):
        # one at a time at the joint law's threshold sigma^2 = m: -(1/sigma^2)(1 - c/sigma^2), c = 1 at the worst point
        one = -(1 - 1.0 / m) / m
        check.equal(one, value, tol=4 * EPS, cause="rounding", on=f"one at a time at sigma^2 = {m}: still curved")
    threshold = log_concavity_threshold(PointCloud(points)).lower
    check.equal(threshold, 1.0, tol=64 * EPS, cause="rounding: 64 eps", on="one at a time: sigma*^2 = R^2")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The factor m, and the threshold of one at a time."""
    law, y = PointCloud(np.array([[-1.0], [1.0]])), 0.1 * np.random.default_rng(73).standard_normal((5, 3, 1))
    found = np.linalg.eigvalsh(joint_hessian(law, y, 1.0))[:, -1]
    c = posterior_covariance(law, y.sum(axis=1), 3, 1.0)[:, 0, 0]
    check.control("the factor m", np.abs(found - bound.all_at_once_curvature(1, 1.0, c)), 0.0, tol=1e-9, on="m = 3")
    dropped, on = "sigma^2/m >= R^2 (sigma^2 >= R^2 only)", "two points, m = 3, sigma^2 = 1.0"
    check.control(dropped, np.max(found), 0.0, tol=1e-9, on=on)
