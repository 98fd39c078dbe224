"""Gaussians all at once: the condition number grows (Proposition 3; number inferred, wording recalled; proved here).

Let X ~ N(0, C) with the eigenvalues tau_i^2 of C. Then the joint law of m >= 2 measurements has the condition number

    kappa  =  1 + m tau_max^2 / sigma^2,

and (sigma^2 + tau_max^2) / (sigma^2 + tau_min^2) for m = 1.

Measured by the eigenvalues of the (m d) x (m d) covariance of 100 rotated Gaussians.
"""

import numpy as np

from exactdiffusion import distances
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.all_at_once_condition.statement
EPS = np.finfo(np.float64).eps


def cases(count=100):
    """m, sigma^2, the eigenvalues tau^2 (d,) and the rotated covariance C (d, d)."""
    rng = np.random.default_rng(74)
    for _ in range(count):
        d, m = int(rng.integers(1, 6)), int(rng.integers(1, 12))
        tau2 = rng.exponential(size=d) ** 2 + 1e-3
        U = np.linalg.qr(rng.standard_normal((d, d)))[0]
        yield m, float(rng.exponential() + 0.1), tau2, (U * tau2) @ U.T


def joint_condition(m, sigma2, C):
    eig = np.linalg.eigvalsh(np.kron(np.ones((m, m)), C) + sigma2 * np.eye(m * len(C)))
    return eig[-1] / eig[0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check):
    """100 rotated Gaussians, and the printed example."""
    measured = np.array([joint_condition(m, sigma2, C) for m, sigma2, _, C in cases()])
    formula = np.array([bound.all_at_once_condition(m, sigma2, tau2) for m, sigma2, tau2, _ in cases()])
    tol = 8 * EPS * np.array([m * len(C) for m, _, _, C in cases()]) * formula
    cause = "rounding: 8 eps m d kappa: eigenvalues of the joint matrix"
    check.equal(measured / formula, 1.0, tol=tol, cause=cause, on="100 rotated Gaussians")
    example = [bound.all_at_once_condition(m, 1.0, [0.01, 1.0]) for m in (2, 10, 100, 1000)]
    check.equal(example, [3, 11, 101, 1001], tol=0, cause="exact", on="tau^2 = (.01, 1), sigma = 1, m = 2, 10, 100, 1000")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_rate(check):
    m = np.array([16, 32, 64, 128])
    kappa = [joint_condition(int(k), 1.0, np.diag([0.01, 1.0])) for k in m]
    check.rate(distances.fit_slope(m, np.array(kappa) - 1), 1.0, within=1e-6, on="kappa - 1 against m")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The condition numbers of one measurement, and of one at a time."""
    measured = joint_condition(6, 0.5, np.diag([0.01, 1.0]))
    single = (0.5 + 1.0) / (0.5 + 0.01)
    check.control("m (one measurement's condition number)", measured, single, tol=1e-9, on="tau^2 = (.01, 1), m = 6")
    one = bound.one_at_a_time_condition(6, 0.5, [0.01, 1.0])
    check.control("growth (the one-at-a-time number)", measured, one, tol=1e-9, on="m = 6")
