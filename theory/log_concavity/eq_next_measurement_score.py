"""Score of the next measurement given the others (slides; a later paper cites it as Eq. (4.9)).

Let Xhat_m = E[X | y_1, ..., y_m], with y_m included. Then

    grad_{y_m} log p(y_m | y_1, ..., y_{m-1})  =  (Xhat_m - y_m) / sigma^2,
    grad_{y_t} log p(y_1, ..., y_m)            =  (Xhat_m - y_t) / sigma^2    for every t.

Measured on 200 random mixtures against the predictive mixture by assimilation, and by central differences of the joint
density.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.next_measurement_score.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of the size of measurements and components, over sigma^2"


def predictive(i):
    """p(y_m | y_1..y_{m-1}) as a mixture whose parameters never saw the mean of the measurements."""
    w, mu, P, _ = i.before
    return GaussianMixture(w, mu, 0.5 * (P + np.swapaxes(P, 1, 2)) + i.sigma**2 * np.eye(i.d))


def pad(i, a):
    """In units of size/sigma^2, padded to six columns."""
    return np.pad(np.asarray(a) * i.sigma**2 / i.size, (0, 6 - i.d))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    formula, library, exact, reference = [], [], [], []
    for i in measured:
        y, before = i.y[-1:], i.total - i.y[-1:]
        xhat = measurements.posterior_mean(i.law, i.total, i.m, i.sigma)
        formula.append(pad(i, bound.next_measurement_score(xhat, y, i.sigma)[0]))
        library.append(pad(i, measurements.conditional_score(i.law, y, before, i.m - 1, i.sigma)[0]))
        exact.append(pad(i, measurements.predictive_mixture(i.law, before, i.m - 1, i.sigma).score(y)[0]))
        reference.append(pad(i, predictive(i).score(y)[0]))
    on = "(Xhat - y)/sigma^2 against the predictive mixture, 200 mixtures"
    check.equal(formula, reference, tol=TOL, cause=CAUSE, on=on)
    check.equal(library, reference, tol=TOL, cause=CAUSE, on="library against the predictive mixture, 200 mixtures")
    check.equal(exact, reference, tol=TOL, cause=CAUSE, on="library's predictive mixture, 200 mixtures")


def test_every_coordinate(check, measured):
    """Gradient of the joint density in each y_t, against central differences of its closed form and against (Xhat - y_t)."""
    formula, library, difference, tol = [], [], [], []
    for i in measured[:40]:
        xhat = measurements.posterior_mean(i.law, i.total, i.m, i.sigma)
        formula.append((bound.next_measurement_score(xhat, i.y, i.sigma) * i.sigma**2 / i.size).ravel())
        library.append((measurements.joint_score(i.law, i.y[None], i.sigma)[0] * i.sigma**2 / i.size).ravel())
        t, j, h = i.m // 2, i.d - 1, 1e-4 * i.sigma
        shift = np.zeros_like(i.y)
        shift[t, j] = h
        up, down = (measurements.joint_log_density(i.law, (i.y + e)[None], i.sigma)[0] for e in (shift, -shift))
        unit = i.sigma**2 / i.size
        difference.append([(up - down) / (2 * h) * unit, bound.next_measurement_score(xhat[0], i.y[t], i.sigma)[j] * unit])
        # third derivatives of the log density are at most spread^3/sigma^6; here spread <= size
        third = 1e-8 * (1 + (i.size / i.sigma) ** 2)
        tol.append(third + 32 * np.finfo(float).eps * (abs(up) + 10) / h * unit)
    check.equal(np.concatenate(library), np.concatenate(formula), tol=TOL, cause=CAUSE, on="every coordinate, 40 mixtures")
    a, b = np.array(difference).T
    cause = "remainder: h^2 third derivative + eps |log p| / h"
    check.equal(a, b, tol=np.array(tol), cause=cause, on="central differences, 40 mixtures")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    missing, mean, previous = [], [], []
    for i in measured:
        if i.m < 3:
            continue
        y, before = i.y[-1:], i.total - i.y[-1:]
        reference = pad(i, predictive(i).score(y)[0])
        xhat = measurements.posterior_mean(i.law, i.total, i.m, i.sigma)
        old = measurements.posterior_mean(i.law, before, i.m - 1, i.sigma)
        s = i.sigma**2 / i.m
        missing.append(np.max(np.abs(pad(i, ((xhat - y) / s)[0]) - reference)))
        mean.append(np.max(np.abs(pad(i, ((xhat - i.total / i.m) / i.sigma**2)[0]) - reference)))
        previous.append(np.max(np.abs(pad(i, ((old - y) / i.sigma**2)[0]) - reference)))
    on = "random mixtures with m >= 3"
    check.control("sigma^-2 (m sigma^-2 instead)", missing, TOL, on=on)
    check.control("y_m (the mean in its place)", mean, TOL, on=on)
    check.control("Xhat_m (Xhat_{m-1}: the new measurement left out)", previous, TOL, on=on)
