"""Predictive law of the next measurement (derived).

Let Xhat_m and C_m be the posterior mean and covariance given y_1, ..., y_m. Then

    E[Y_{m+1} | y_1, ..., y_m]  =  Xhat_m,        Cov[Y_{m+1} | y_1, ..., y_m]  =  sigma^2 I + C_m.

Measured on 200 random mixtures against sequential assimilation, and on draws of the library's inner step.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.predictive_moments.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of the size of measurements and components"


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured, kalman):
    """Mean and covariance of the library's predictive mixture, and its covariance alone, against assimilation."""
    moments = [kalman.moments(*i.before[:3]) for i in measured]
    expected = [bound.predictive_moments(*both, i.sigma) for both, i in zip(moments, measured)]
    mixtures = [measurements.predictive_mixture(i.law, i.past, i.m - 1, i.sigma) for i in measured]
    own = [measurements.predictive_covariance(i.law, i.past, i.m - 1, i.sigma)[0] for i in measured]

    found = [i.six(q.mean / i.size) for i, q in zip(measured, mixtures)]
    means = [i.six(mean / i.size) for i, (mean, _) in zip(measured, expected)]
    check.equal(found, means, tol=TOL, cause=CAUSE, on="mean, 200 random mixtures")

    units = [i.size**2 + i.sigma**2 for i in measured]
    found = [[i.six(q.covariance / u), i.six(c / u)] for i, q, c, u in zip(measured, mixtures, own, units)]
    covariances = [[i.six(covariance / u)] * 2 for i, (_, covariance), u in zip(measured, expected, units)]
    check.equal(found, covariances, tol=TOL, cause=CAUSE, on="covariance, 200 random mixtures")


def test_draws(check):
    """Draws of the library's exact inner step: mean and covariance."""
    draw = check.chance(comparisons=12)
    rng = np.random.default_rng(62)
    law = GaussianMixture(None, rng.standard_normal((6, 3)), np.full(6, 2.0))  # wide: noise drawn twice would show
    n, total, m, sigma = 40_000, np.array([[0.5, -1.0, 2.0]]), 3, 1.1
    y = measurements.predictive_sample(law, np.repeat(total, n, axis=0), m, sigma, draw.noise(5))
    xhat = measurements.posterior_mean(law, total, m, sigma)[0]
    C = measurements.posterior_covariance(law, total, m, sigma)[0]
    mean, covariance = bound.predictive_moments(xhat, C, sigma)
    spread, (i, j) = y - mean, np.triu_indices(3)
    draw.mean(spread, 0.0, on="mean, 40,000 draws in R^3")
    draw.mean(spread[:, i] * spread[:, j], covariance[i, j], on="covariance, 40,000 draws in R^3")
    draw.mean_is_not(spread**2, sigma**2, dropped="C_m", on="variances of 40,000 draws")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    """The posterior covariance left out, and another mean."""
    on, several = "random mixtures with m >= 3", [i for i in measured if i.m >= 3]
    mixtures = [measurements.predictive_mixture(i.law, i.past, i.m - 1, i.sigma) for i in several]
    bare = [
        np.max(np.abs(q.covariance - i.sigma**2 * np.eye(i.d))) / (i.size**2 + i.sigma**2) for i, q in zip(several, mixtures)
    ]
    check.control("C_m (Euler's step of stochastic localisation)", bare, TOL, on=on)
    previous = [np.max(np.abs(q.mean - i.y[-2])) / i.size for i, q in zip(several, mixtures)]
    check.control("Xhat_m (the previous measurement as mean)", previous, TOL, on=on)
