"""Gaussians one at a time: the condition number tends to 1 (Proposition 4, wording recalled; proved here).

Let X ~ N(0, C) with the eigenvalues tau_i^2 of C. Then the law of y_t given y_1, ..., y_{t-1} has the condition number

    kappa_t  =  (sigma^2 + t tau_max^2) / (sigma^2 + (t-1) tau_max^2)  (sigma^2 + (t-1) tau_min^2) / (sigma^2 + t tau_min^2)
             <=  1 + 1 / (t - 1 + sigma^2 / tau_max^2),

decreasing in t; (kappa_t - 1) t^2 -> sigma^2 (1/tau_min^2 - 1/tau_max^2), and the rate is 1/t where tau_min = 0.

Measured by Schur complements of the joint covariance of 100 rotated Gaussians, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import distances
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.one_at_a_time_condition.statement
EPS = np.finfo(np.float64).eps


def conditional_covariance(t, sigma2, C):
    """Cov(y_t | y_1 .. y_{t-1}): Schur complement of the last block."""
    d = len(C)
    joint = np.kron(np.ones((t, t)), C) + sigma2 * np.eye(t * d)
    n = (t - 1) * d
    return joint[n:, n:] - joint[n:, :n] @ np.linalg.solve(joint[:n, :n], joint[:n, n:]) if n else joint


def condition(t, sigma2, C):
    """Condition number of Cov(y_t | y_1 .. y_{t-1})."""
    eig = np.linalg.eigvalsh(conditional_covariance(t, sigma2, C))
    return eig[-1] / eig[0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_schur_complements(check):
    """100 rotated Gaussians, and the printed example."""
    rng = np.random.default_rng(75)
    measured, formula, size = np.empty((3, 100))
    for k in range(100):
        d, t = int(rng.integers(2, 6)), int(rng.integers(1, 12))
        tau2, sigma2 = rng.exponential(size=d), float(rng.exponential() + 0.1)
        U = np.linalg.qr(rng.standard_normal((d, d)))[0]
        measured[k] = condition(t, sigma2, (U * tau2) @ U.T)
        formula[k] = bound.one_at_a_time_condition(t, sigma2, tau2)
        size[k] = 16 * EPS * d * t * (1 + tau2.max() / sigma2)

    cause = "rounding: 16 eps d t (1 + tau_max^2/sigma^2): the Schur complement cancels down to sigma^2"
    check.equal(measured, formula, tol=size * formula, cause=cause, on="100 rotated Gaussians, t up to 11")
    worst = np.max(np.abs(measured / formula - 1))
    check.holds(worst, 1e-12, tol=0, cause="exact: the stated accuracy", on="worst relative difference against 1e-12")

    example = [bound.one_at_a_time_condition(t, 1.0, [0.01, 1.0]) for t in (1, 2, 5, 10, 50, 100, 1000)]
    printed = [1.98, 1.485, 1.189, 1.09, 1.013, 1.005, 1.0001]
    check.equal(example, printed, tol=1e-3, cause="printed digits", on="tau^2 = (.01, 1), sigma = 1")


def test_bound_and_order(check):
    """Below the bound and decreasing, for three spectra and three noise levels; tau_min = 0 attains the bound."""
    t = np.arange(1, 400)
    for tau2 in ([0.01, 1.0], [0.0, 2.0], [0.5, 0.6, 30.0]):
        for sigma2 in (0.1, 1.0, 10.0):
            kappa, on = bound.one_at_a_time_condition(t, sigma2, tau2), f"{tau2}, sigma^2 = {sigma2}"
            larger = 1 + 1 / (t - 1 + sigma2 / max(tau2))
            check.holds(kappa, larger, tol=8 * EPS * kappa, cause="rounding: 8 eps kappa", on=on)
            tol, cause = 4 * EPS * kappa[1:], "rounding: 4 eps kappa"
            check.holds(kappa[1:], kappa[:-1], tol=tol, cause=cause, on=f"{on}: decreasing")
    ratio = (bound.one_at_a_time_condition(t, 1.0, [0.0, 2.0]) - 1) * (t - 1 + 0.5)
    check.tight(ratio, 1.0, tol=64 * EPS * t, cause="rounding: 64 eps t: kappa - 1", on="tau_min = 0: the bound is attained")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_rates(check):
    t = np.array([100, 200, 400, 800])
    kappa = [np.ptp(np.log(np.linalg.eigvalsh(conditional_covariance(k, 1.0, np.diag([1.0, 3.0]))))) for k in t]
    check.rate(distances.fit_slope(t, kappa), -2.0, within=0.02, on="log kappa_t by Schur complements, t = 100 .. 800")
    flat = np.array([bound.one_at_a_time_condition(k, 1.0, [0.0, 1.0]) - 1 for k in t])
    check.rate(distances.fit_slope(t, flat), -1.0, within=1e-3, on="tau_min = 0: kappa_t - 1")
    T, s, a, b = sympy.symbols("t s a b", positive=True)
    kappa = (s + T * a) * (s + (T - 1) * b) / ((s + (T - 1) * a) * (s + T * b))
    limit = sympy.simplify(sympy.limit((kappa - 1) * T**2, T, sympy.oo) - s * (1 / b - 1 / a))
    cause = "exact: SymPy"
    check.equal(float(limit), 0.0, tol=0, cause=cause, on="(kappa_t - 1) t^2 -> sigma^2 (1/tau_min^2 - 1/tau_max^2)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another number of measurements, and the law without the past."""
    larger = bound.one_at_a_time_condition(5, 1.0, [0.01, 1.0])
    check.control("t (t + 1 in its place)", condition(4, 1.0, np.diag([0.01, 1.0])), larger, tol=1e-9, on="t = 4")
    marginal, larger = (1 + 1.0) / (1 + 0.01), bound.one_at_a_time_condition(4, 1.0, [0.01, 1.0])
    check.control("the past (the marginal law of y_t)", marginal, larger, tol=1e-9, on="t = 4")
