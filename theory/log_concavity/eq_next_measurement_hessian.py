"""Hessians of the single, the conditional and the joint density of measurements (slides; Eq. (D.2), recalled).

Let C_m be the posterior covariance given y_1, ..., y_m, and s = sigma^2 / m. Then

    Hess_{y_m} log p(y_m | y_1, ..., y_{m-1})  =  -(I - C_m / sigma^2) / sigma^2
                                               =  -(1 - 1/m) I / sigma^2 + Hess log q_s(ybar) / m^2,

and the joint log density has the blocks -delta_{tt'} I / sigma^2 + C_m / sigma^4.

Measured on 200 random mixtures against the predictive mixture by assimilation, and on the mixture in R^(m d).
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.next_measurement_hessian.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of max(1, |C_m|/sigma^2), in units of sigma^-2"


def units(i, hessian):
    """A Hessian (d, d) in units of max(1, |C_m|/sigma^2)/sigma^2, padded to 6 x 6."""
    return i.six(np.asarray(hessian) * (i.sigma**2 / max(1.0, np.max(np.abs(i.covariance)) / i.sigma**2)))


def posterior_covariance(i):
    """C_m, (1, d, d)."""
    return measurements.posterior_covariance(i.law, i.total, i.m, i.sigma)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    """Formula and library against the predictive mixture by assimilation."""
    reference = [units(i, i.predictive.hessian(i.last)[0]) for i in measured]
    formula = [units(i, bound.next_measurement_hessian(posterior_covariance(i), i.sigma)[0]) for i in measured]
    check.equal(formula, reference, tol=TOL, cause=CAUSE, on="formula against the predictive mixture, 200 mixtures")
    library = [units(i, measurements.conditional_hessian(i.law, i.last, i.past, i.m - 1, i.sigma)[0]) for i in measured]
    check.equal(library, reference, tol=TOL, cause=CAUSE, on="library against the predictive mixture, 200 mixtures")


def test_posterior_covariance(check, measured):
    """C_m itself against assimilation (relative to the prior's and the noise's size)."""
    units = [i.size * i.sigma / np.sqrt(i.m) for i in measured]
    exact = np.concatenate([(i.covariance / unit).ravel() for i, unit in zip(measured, units)])
    found = np.concatenate([(posterior_covariance(i)[0] / unit).ravel() for i, unit in zip(measured, units)])
    cause = "rounding: 450 eps of |y| sigma/sqrt(m)"
    check.equal(exact, found, tol=TOL, cause=cause, on="C_m against assimilation, 200 mixtures")


def test_single_measurement(check, measured):
    """m = 1: the Hessian of the noised law, in both forms of the slides."""
    formula, library = [], []
    for i in measured:
        q, y = i.law.noised(1.0, i.sigma), i.y[:1]
        C = q.posterior_covariance(y)
        unit = i.sigma**2 / max(1.0, np.max(np.abs(C)) / i.sigma**2)
        formula.append((bound.next_measurement_hessian(C, i.sigma)[0] * unit).ravel())
        library.append((q.hessian(y)[0] * unit).ravel())
    check.equal(np.concatenate(formula), np.concatenate(library), tol=TOL, cause=CAUSE, on="m = 1, 200 mixtures")


def test_joint(check):
    """The (m d) x (m d) Hessian: against the closed Gaussian mixture on R^(m d) itself."""
    rng = np.random.default_rng(43)
    for m, d, sigma in ((2, 1, 0.8), (3, 2, 1.5), (5, 3, 0.4)):
        # a mixture on R^d, and that of its m measurements
        root = rng.standard_normal((3, d, d))
        law = GaussianMixture([0.2, 0.5, 0.3], 2 * rng.standard_normal((3, d)), root @ np.swapaxes(root, 1, 2))
        covariances = [np.kron(np.ones((m, m)), C) + sigma**2 * np.eye(m * d) for C in law.covariances]
        joint = GaussianMixture(law.weights, np.tile(law.means, (1, m)), np.stack(covariances))

        y = law.sample(20, rng)[:, None] + sigma * rng.standard_normal((20, m, d))
        H = measurements.joint_hessian(law, y, sigma)
        scale, exact, on = np.max(np.abs(H)), joint.hessian(y.reshape(20, -1)), f"m = {m}, d = {d}"
        cause = "rounding: 4500 eps: an eigh in R^(m d)"
        check.equal(H / scale, exact / scale, tol=1e-12, cause=cause, on=on)
        C = measurements.posterior_covariance(law, y.sum(axis=1), m, sigma)
        corner, block = H[:, -d:, -d:], bound.next_measurement_hessian(C, sigma)
        check.equal(corner, block, tol=TOL * scale, cause=CAUSE, on=f"last block, {on}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    """The noise, the sign and the power of m replaced."""
    several, on = [i for i in measured if i.m >= 3], "random mixtures with m >= 3"
    reference = [units(i, i.predictive.hessian(i.last)[0]) for i in several]

    def off(hessian):
        return [np.max(np.abs(units(i, hessian(i, np.eye(i.d))) - exact)) for i, exact in zip(several, reference)]

    wrong = off(lambda i, I: -(I - i.covariance / i.s) / i.s)
    check.control("sigma^2 (s = sigma^2/m: the Hessian of q_s)", wrong, TOL, on=on)
    wrong = off(lambda i, I: -(I + i.covariance / i.sigma**2) / i.sigma**2)
    check.control("-C_m/sigma^2 (plus)", wrong, TOL, on=on)
    wrong = off(lambda i, I: i.noised.hessian(i.total / i.m)[0] / i.m - (1 - 1 / i.m) * I / i.sigma**2)
    check.control("m^-2 (m^-1) before the Hessian of log q_s", wrong, TOL, on=on)
