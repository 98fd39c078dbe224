"""One threshold in the noise, shifted by smoothing (derived from Prekopa's theorem).

Let sigma*^2(Z) be the least variance from which on Z + sigma N is log-concave. Suppose that

    (H1)  X = Z + tau N.

Then log-concavity at one noise variance holds at every larger one, and

    sigma*^2(X)  =  max(0, sigma*^2(Z) - tau^2).

So bisection in sigma is legitimate (in the number of measurements it is not: `thm_once_log_concave`).

Measured on four clouds: certificates at a ladder of variances above the threshold, witnesses at a ladder below it.
"""

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity, log_concavity_threshold
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.smoothed_threshold.statement


def clouds():
    rng = np.random.default_rng(62)
    line = rng.standard_normal((6, 1))
    plane = rng.standard_normal((5, 2))
    return {
        "-1, 0, 1": (np.array([[-1.0], [0.0], [1.0]]), None),
        "6 random on a line": (line, rng.dirichlet(np.ones(6))),
        "uneven square": (np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), np.array([0.45, 0.05, 0.05, 0.45])),
        "5 random in the plane": (plane, rng.dirichlet(np.ones(5))),
    }


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_shift(check):
    """The threshold shifted by smoothing, and no threshold beyond it."""
    for name, (points, w) in clouds().items():
        base = log_concavity_threshold(PointCloud(points, w), certify=False)
        tau2 = np.array([0.1, 0.5, 0.99]) * base.lower
        shifted = [log_concavity_threshold(GaussianMixture(w, points, t), certify=False).lower for t in tau2]
        expected, on = bound.smoothed_threshold(base.lower, tau2), f"{name}, tau^2 < threshold"
        cause = "remainder: 1e-9: the bisection's end and the flat top of the maximum"
        check.equal(shifted, expected, tol=1e-9 * base.lower, cause=cause, on=on)
        over = log_concavity_threshold(GaussianMixture(w, points, 1.01 * base.upper), certify=False)
        check.equal([over.lower, over.upper], 0.0, tol=0, cause="exact", on=f"{name}: log-concave without further noise")


def test_half_line(check):
    """No second change of mind: certificates at a ladder above, witnesses at a ladder below."""
    for name, (points, w) in clouds().items():
        cloud = PointCloud(points, w)
        base = log_concavity_threshold(cloud)

        def certified(v, cloud=cloud):
            return float(certify_log_concavity(cloud, v).status is True)

        above = [certified(base.upper * factor) for factor in (1.0, 1.02, 1.1, 1.5, 3.0, 10.0, 100.0)]
        check.equal(above, 1.0, tol=0, cause="exact: yes/no", on=f"{name}: certified at 1 ... 100 x upper")
        below = [1 - certified(base.lower * factor) for factor in (0.999, 0.9, 0.5, 0.1)]
        check.equal(below, 1.0, tol=0, cause="exact: yes/no", on=f"{name}: never certified below lower")


def test_certified_brackets(check):
    """Brackets of the literature values; the upper ends are certificates, the lower ends witnesses."""
    five = np.linspace(-1, 1, 5)[:, np.newaxis]
    ring = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    cases = {
        "-1, 0, 1": (PointCloud(np.array([[-1.0], [0], [1]])), 1e-5, (0.28311653, 0.28311843)),
        "5 equispaced": (PointCloud(five), 1e-4, (0.11133519, 0.11133614)),
        "uneven square": (PointCloud(square, np.array([0.45, 0.05, 0.05, 0.45])), 1e-3, (1.79893, 1.80252)),
        "8-gon": (PointCloud(ring), 1e-3, (0.49962, 0.50051)),
    }
    for name, (cloud, rtol, (low, high)) in cases.items():
        found = log_concavity_threshold(cloud, rtol=rtol)
        check.hypothesis("upper end certified", found.upper_by == "certificate", on=name)
        cause = "remainder: rtol of the certificate, and the other bracket's own width"
        check.holds(found.upper - found.lower, rtol * found.lower, tol=1e-15, cause="rounding", on=f"{name}: width")
        on = f"{name}: meets an independent bracket"
        check.holds([low, found.lower], [found.upper, high], tol=1e-9, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) tau in place of tau^2; and no certificate below the threshold."""
    points, w = clouds()["-1, 0, 1"]
    base = log_concavity_threshold(PointCloud(points, w), certify=False).lower
    shifted = log_concavity_threshold(GaussianMixture(w, points, 0.04), certify=False).lower
    wrong = bound.smoothed_threshold(base, np.sqrt(0.04))
    check.control("the square of tau", abs(shifted - wrong), 0.0, tol=1e-9 * base, on="-1, 0, 1 with tau = .2")
    certified = float(certify_log_concavity(PointCloud(points, w), 0.99 * base).status is True)
    check.control("noise above the threshold", 1.0, certified, on="certificate at .99 of it")
