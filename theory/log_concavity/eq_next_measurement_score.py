"""Score of the next measurement given the others (slides; a later paper cites it as Eq. (4.9)).

Let Xhat_m = E[X | y_1, ..., y_m], with y_m included. Then

    grad_{y_m} log p(y_m | y_1, ..., y_{m-1})  =  (Xhat_m - y_m) / sigma^2,
    grad_{y_t} log p(y_1, ..., y_m)            =  (Xhat_m - y_t) / sigma^2    for every t.

Measured on 200 random mixtures against the predictive mixture by assimilation, and by central differences of the joint
density.
"""

import numpy as np

from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.next_measurement_score.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of the size of measurements and components, over sigma^2"


def units(i, score):
    """A score (1, d) or (d,) in units of size/sigma^2, padded to six columns."""
    return i.six(np.ravel(score) * i.sigma**2 / i.size)


def posterior_mean(i):
    """Xhat_m, (1, d)."""
    return measurements.posterior_mean(i.law, i.total, i.m, i.sigma)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    """Formula, library and the library's predictive mixture against the predictive mixture by assimilation."""
    reference = [units(i, i.predictive.score(i.last)) for i in measured]
    formula = [units(i, bound.next_measurement_score(posterior_mean(i), i.last, i.sigma)) for i in measured]
    on = "(Xhat - y)/sigma^2 against the predictive mixture, 200 mixtures"
    check.equal(formula, reference, tol=TOL, cause=CAUSE, on=on)
    library = [units(i, measurements.conditional_score(i.law, i.last, i.past, i.m - 1, i.sigma)) for i in measured]
    check.equal(library, reference, tol=TOL, cause=CAUSE, on="library against the predictive mixture, 200 mixtures")
    mixtures = [measurements.predictive_mixture(i.law, i.past, i.m - 1, i.sigma) for i in measured]
    exact = [units(i, q.score(i.last)) for i, q in zip(measured, mixtures)]
    check.equal(exact, reference, tol=TOL, cause=CAUSE, on="library's predictive mixture, 200 mixtures")


def test_every_coordinate(check, measured):
    """Gradient of the joint density in each y_t, against central differences of its closed form and against (Xhat - y_t)."""
    some = measured[:40]
    formulas = [bound.next_measurement_score(posterior_mean(i), i.y, i.sigma) for i in some]
    library = [measurements.joint_score(i.law, i.y[None], i.sigma)[0] for i in some]
    left, right = (
        np.concatenate([(score * i.sigma**2 / i.size).ravel() for i, score in zip(some, scores)])
        for scores in (library, formulas)
    )
    check.equal(left, right, tol=TOL, cause=CAUSE, on="every coordinate, 40 mixtures")

    # one coordinate of one measurement of each, by a central difference
    quotient, derivative, tol = np.empty((3, len(some)))
    for k, (i, formula) in enumerate(zip(some, formulas)):
        t, j, h, unit = i.m // 2, i.d - 1, 1e-4 * i.sigma, i.sigma**2 / i.size
        shift = np.zeros_like(i.y)
        shift[t, j] = h
        up, down = (measurements.joint_log_density(i.law, (i.y + e)[None], i.sigma)[0] for e in (shift, -shift))
        quotient[k], derivative[k] = (up - down) / (2 * h) * unit, formula[t, j] * unit
        # third derivatives of the log density are at most spread^3/sigma^6; here spread <= size
        third = 1e-8 * (1 + (i.size / i.sigma) ** 2)
        tol[k] = third + 32 * np.finfo(float).eps * (abs(up) + 10) / h * unit
    cause = "remainder: h^2 third derivative + eps |log p| / h"
    check.equal(quotient, derivative, tol=tol, cause=cause, on="central differences, 40 mixtures")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    """The factor, the measurement and the posterior mean of the formula replaced."""
    several, on = [i for i in measured if i.m >= 3], "random mixtures with m >= 3"
    reference = [units(i, i.predictive.score(i.last)) for i in several]

    def off(score):
        return [np.max(np.abs(units(i, score(i)) - exact)) for i, exact in zip(several, reference)]

    check.control("sigma^-2 (m sigma^-2 instead)", off(lambda i: (posterior_mean(i) - i.last) / i.s), TOL, on=on)
    check.control("y_m (the mean in its place)", off(lambda i: (posterior_mean(i) - i.total / i.m) / i.sigma**2), TOL, on=on)
    previous = off(lambda i: (measurements.posterior_mean(i.law, i.past, i.m - 1, i.sigma) - i.last) / i.sigma**2)
    check.control("Xhat_m (Xhat_{m-1}: the new measurement left out)", previous, TOL, on=on)
