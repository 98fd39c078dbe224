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


def predictive(i):
    w, mu, P, _ = i.before
    return GaussianMixture(w, mu, 0.5 * (P + np.swapaxes(P, 1, 2)) + i.sigma**2 * np.eye(i.d))


def pad(i, a):
    """In units of max(1, |C_m|/sigma^2)/sigma^2, padded to 6 x 6."""
    unit = i.sigma**2 / max(1.0, np.max(np.abs(i.covariance)) / i.sigma**2)
    return np.pad(np.asarray(a) * unit, (0, 6 - i.d))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    formula, library, reference = [], [], []
    for i in measured:
        y, before = i.y[-1:], i.total - i.y[-1:]
        C = measurements.posterior_covariance(i.law, i.total, i.m, i.sigma)
        formula.append(pad(i, bound.next_measurement_hessian(C, i.sigma)[0]))
        library.append(pad(i, measurements.conditional_hessian(i.law, y, before, i.m - 1, i.sigma)[0]))
        reference.append(pad(i, predictive(i).hessian(y)[0]))
    check.equal(formula, reference, tol=TOL, cause=CAUSE, on="formula against the predictive mixture, 200 mixtures")
    check.equal(library, reference, tol=TOL, cause=CAUSE, on="library against the predictive mixture, 200 mixtures")


def test_posterior_covariance(check, measured):
    """C_m itself against assimilation (relative to the prior's and the noise's size)."""
    a = [i.covariance / (i.size * i.sigma / np.sqrt(i.m)) for i in measured]
    b = [
        measurements.posterior_covariance(i.law, i.total, i.m, i.sigma)[0] / (i.size * i.sigma / np.sqrt(i.m))
        for i in measured
    ]
    flat = [np.concatenate([m.ravel() for m in c]) for c in (a, b)]
    check.equal(*flat, tol=TOL, cause="rounding: 450 eps of |y| sigma/sqrt(m)", on="C_m against assimilation, 200 mixtures")


def test_single_measurement(check, measured):
    """m = 1: the Hessian of the noised law, in both forms of the slides."""
    a, b = [], []
    for i in measured:
        q, y = i.law.noised(1.0, i.sigma), i.y[:1]
        C = q.posterior_covariance(y)
        unit = i.sigma**2 / max(1.0, np.max(np.abs(C)) / i.sigma**2)
        a.append((bound.next_measurement_hessian(C, i.sigma)[0] * unit).ravel())
        b.append((q.hessian(y)[0] * unit).ravel())
    check.equal(np.concatenate(a), np.concatenate(b), tol=TOL, cause=CAUSE, on="m = 1, 200 mixtures")


def test_joint(check):
    """The (m d) x (m d) Hessian: against the closed Gaussian mixture on R^(m d) itself."""
    rng = np.random.default_rng(43)
    for m, d, sigma in ((2, 1, 0.8), (3, 2, 1.5), (5, 3, 0.4)):
        root = rng.standard_normal((3, d, d))
        law = GaussianMixture([0.2, 0.5, 0.3], 2 * rng.standard_normal((3, d)), root @ np.swapaxes(root, 1, 2))
        big = GaussianMixture(
            law.weights,
            np.tile(law.means, (1, m)),
            np.stack([np.kron(np.ones((m, m)), C) + sigma**2 * np.eye(m * d) for C in law.covariances]),
        )
        y = law.sample(20, rng)[:, None] + sigma * rng.standard_normal((20, m, d))
        H = measurements.joint_hessian(law, y, sigma)
        scale = np.max(np.abs(H))
        on = f"m = {m}, d = {d}"
        cause = "rounding: 4500 eps: an eigh in R^(m d)"
        check.equal(H / scale, big.hessian(y.reshape(20, -1)) / scale, tol=1e-12, cause=cause, on=on)
        own = measurements.posterior_covariance(law, y.sum(axis=1), m, sigma)
        corner = H[:, -d:, -d:]
        check.equal(corner, bound.next_measurement_hessian(own, sigma), tol=TOL * scale, cause=CAUSE, on=f"last block, {on}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    first, sign, factor = [], [], []
    for i in measured:
        if i.m < 3:
            continue
        reference = pad(i, predictive(i).hessian(i.y[-1:])[0])
        C = i.covariance
        eye = np.eye(i.d)
        s = i.sigma**2 / i.m
        first.append(np.max(np.abs(pad(i, -(eye - C / s) / s) - reference)))
        sign.append(np.max(np.abs(pad(i, -(eye + C / i.sigma**2) / i.sigma**2) - reference)))
        one = i.law.noised(1.0, np.sqrt(s)).hessian(i.total / i.m)[0] / i.m - (1 - 1 / i.m) * eye / i.sigma**2
        factor.append(np.max(np.abs(pad(i, one) - reference)))
    on = "random mixtures with m >= 3"
    check.control("sigma^2 (s = sigma^2/m: the Hessian of q_s)", first, TOL, on=on)
    check.control("-C_m/sigma^2 (plus)", sign, TOL, on=on)
    check.control("m^-2 (m^-1) before the Hessian of log q_s", factor, TOL, on=on)
