"""Exact inner draws give exact measurements (derived).

Suppose that

    (H1)  y_t is drawn from its law given y_1, ..., y_{t-1}, not from its marginal law,
    (H2)  the draw is exact.

Then

    log p(y_1, ..., y_m)  =  sum_t log p(y_t | y_1, ..., y_{t-1}),        sum_t Y_t  ~  m X + sqrt(m) sigma N.

Measured on 200 random mixtures against sequential assimilation, on a line by quadrature, and on draws of the chain.
"""

import math

import numpy as np

from exactdiffusion import GaussianMixture, Noise, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.chain_rule_of_measurements.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of 1 + |log p| + m d"


def conditionals(i):
    """log p(y_t | y_1, ..., y_{t-1}) for t = 1, ..., m: (m, 1)."""
    sums = np.cumsum(i.y, axis=0) - i.y
    rows = [(i.y[t : t + 1], sums[t : t + 1], t) for t in range(i.m)]
    return [[measurements.conditional_log_density(i.law, y, past, t, i.sigma)[0]] for y, past, t in rows]


def chain(law, n, m, sigma, seed):
    noise, total = Noise(seed), np.zeros((n, law.dim))
    for t in range(m):
        total = total + measurements.predictive_sample(law, total, t, sigma, noise, step=t)
    return total


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    """The sum of the conditional log densities against assimilation."""
    # each conditional is a difference of log densities at different noise levels, of size (|y|/sigma)^2 m
    unit = np.array([1 + abs(i.log_p) + i.m * i.d for i in measured])
    size = np.array([(i.size / i.sigma) ** 2 * i.m for i in measured])
    value = np.array([bound.chain_rule_of_measurements(conditionals(i))[0] for i in measured]) / (unit + size)
    reference = np.array([i.log_p for i in measured]) / (unit + size)
    check.equal(value, reference, tol=TOL, cause=CAUSE + " + m |y|^2/sigma^2", on="200 mixtures")


def test_conditional_is_the_predictive_mixture(check, measured):
    values = [(i.law, i.last, i.past, i.m - 1, i.sigma) for i in measured]
    conditional = np.array([measurements.conditional_log_density(*value)[0] for value in values])
    mixture = np.array(
        [measurements.predictive_mixture(law, past, m, sigma).log_density(y)[0] for law, y, past, m, sigma in values]
    )
    unit = np.array([1 + abs(value) + (i.size / i.sigma) ** 2 for value, i in zip(mixture, measured)])
    cause = "rounding: 450 eps of |log p| + |y|^2/sigma^2"
    check.equal(conditional / unit, mixture / unit, tol=TOL, cause=cause, on="200 mixtures")


def test_sum_has_the_law_of_m_x(check):
    """Two measurements on a line: the density of y_1 + y_2 through the chain is that of 2 X + sqrt(2) sigma N."""
    law = GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.5]]), np.array([0.05, 0.3]))
    sigma = 0.8
    y, w = measurements.line_quadrature(law, sigma)
    at = np.linspace(-5, 6, 45)
    chain = [w @ np.exp(measurements.conditional_log_density(law, (a - y)[:, None], y[:, None], 1, sigma)) for a in at]
    exact = np.exp(law.noised(2.0, math.sqrt(2) * sigma).log_density(at[:, None]))
    cause = "remainder: Gauss-Legendre panels, 1e-14"
    check.equal(chain, exact, tol=1e-13, cause=cause, on="y_1 + y_2, two Gaussians, 45 points")


def test_draws(check):
    """20,000 exact chains: weights of the modes and moments of the sum."""
    draw = check.chance(comparisons=4)
    rng = draw.rng(63)
    law = GaussianMixture([0.2, 0.8], np.array([[-3.0, 0.0], [3.0, 1.0]]), np.stack([np.diag([1.0, 0.2]), np.eye(2)]))
    n, m, sigma = 20_000, 12, 3.0
    total = chain(law, n, m, sigma, draw.seed(64))
    q = law.noised(float(m), math.sqrt(m) * sigma)
    covariance = q.covariance
    spread = total - q.mean
    draw.mean(spread, 0.0, on="mean of the sum, m = 12, 20,000 chains")
    draw.mean(np.sum(spread**2, axis=1) / np.trace(covariance), 1.0, on="spread of the sum, m = 12")
    low = np.mean(measurements.posterior_mean(law, total, m, sigma)[:, 0] < 0)
    exact = np.mean(measurements.posterior_mean(law, q.sample(200_000, rng), m, sigma)[:, 0] < 0)
    error = math.sqrt(exact * (1 - exact) * (1 / n + 1 / 200_000))
    draw.normal(low, exact, error, degrees=math.inf, on="weight of the minor mode, m = 12, against 200,000 draws of the law")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    """Each hypothesis dropped in turn."""
    # (H1) independent measurements
    several = [i for i in measured if i.m >= 3]
    unit = np.array([1 + abs(i.log_p) + i.m * i.d + (i.size / i.sigma) ** 2 * i.m for i in several])
    marginal = np.array([math.fsum(i.law.noised(1.0, i.sigma).log_density(i.y)) for i in several])
    off = np.abs(marginal - np.array([i.log_p for i in several])) / unit
    check.control("conditioning (independent measurements)", off, TOL, on="mixtures, m >= 3")

    # (H2) the jump plus noise as next measurement (n_t = 0 inner steps): the covariance C_m of the conditional is missing
    cloud = PointCloud(np.array([[-1.0], [1.0]]))
    draw = check.chance(comparisons=1)
    noise, total, n, sigma, m = draw.noise(65), np.zeros((20_000, 1)), 20_000, 1.0, 6
    for t in range(m):
        total = total + measurements.posterior_mean(cloud, total, t, sigma) + sigma * noise.normal(t, n, 1)
    variance = cloud.noised(float(m), math.sqrt(m) * sigma).covariance[0, 0]
    dropped = "exact inner draws (jump plus noise)"
    draw.mean_is_not(total[:, 0] ** 2, variance, dropped=dropped, on="variance of the sum, two points, m = 6")
