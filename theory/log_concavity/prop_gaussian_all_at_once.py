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
    measured, formula, size = [], [], []
    for m, sigma2, tau2, C in cases():
        measured.append(joint_condition(m, sigma2, C))
        formula.append(bound.all_at_once_condition(m, sigma2, tau2))
        size.append(m * len(C))
    measured, formula = np.array(measured), np.array(formula)
    tol = 8 * EPS * np.array(size) * formula
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
    measured = joint_condition(6, 0.5, np.diag([0.01, 1.0]))
    single = (0.5 + 1.0) / (0.5 + 0.01)
    check.control("m (one measurement's condition number)", measured, single, tol=1e-9, on="tau^2 = (.01, 1), m = 6")
    check.control(
        "growth (the one-at-a-time number)",
        measured,
        bound.one_at_a_time_condition(6, 0.5, [0.01, 1.0]),
        tol=1e-9,
        on="m = 6",
    )
