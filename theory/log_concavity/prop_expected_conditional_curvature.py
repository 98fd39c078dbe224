"""Curvature of the conditionals on average (derived; extends the rate 1/m of Remark 2, recalled, which assumes X = Z + N_0).

Suppose that

    (H1)  E|X|^2 is finite,
    (H2)  the measurements y_1, ..., y_m are drawn from their law (the bound is one on the expectation).

Then

    (1 - 1/m) / sigma^2 I  <=  -E Hess_{y_m} log p(y_m | y_1, ..., y_{m-1})  <=  1 / sigma^2 I,

and the conditional fails to be log-concave at the visited point with probability at most d/m.

Measured on four laws on a line by quadrature; both ends are attained by a Gaussian with variances (l, 0), l to infinity.
"""

import math
from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.expected_conditional_curvature.statement


def atoms(points, weights=None):
    """A point cloud as a mixture of variance 0: the same law, faster for many rows and few atoms."""
    return GaussianMixture(weights, points, 0.0)


def laws():
    rng = np.random.default_rng(66)
    yield atoms(np.array([[-1.0], [1.0]]))
    yield atoms(5 * rng.standard_normal((7, 1)))
    yield GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]), 1.0)
    yield GaussianMixture([0.5, 0.5], np.array([[0.0], [0.0]]), np.array([1e-3, 1e3]))


class Conditional(NamedTuple):
    """Mean curvature of the conditional of the m-th measurement, and the probability that it is negative."""

    curvature: float
    not_log_concave: float


def conditional(law, m, sigma):
    """`Conditional` by quadrature over the mean of all m measurements."""
    y, w = measurements.line_quadrature(law, sigma / math.sqrt(m))
    C = law.noised(1.0, sigma / math.sqrt(m)).posterior_covariance(y[:, None])
    H = -bound.next_measurement_hessian(C, sigma)[:, 0, 0]
    return Conditional(w @ H, w[H < 0].sum())


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Four laws, four numbers of measurements, three noise levels, in units of sigma^-2."""
    runs = [(law, m, sigma) for law in laws() for m in (1, 2, 5, 30) for sigma in (0.3, 1.0, 4.0)]
    found = [conditional(*run) for run in runs]
    value = [c.curvature * sigma**2 for c, (_, _, sigma) in zip(found, runs)]
    ends = [bound.expected_conditional_curvature(m, sigma) for _, m, sigma in runs]
    lower, upper = np.transpose([[end * sigma**2 for end in both] for both, (_, _, sigma) in zip(ends, runs)])

    cause, on = "remainder: quadrature", "4 laws on a line, m = 1 .. 30, sigma = .3 .. 4 (times sigma^2)"
    check.holds(lower, value, tol=1e-12, cause=cause, on=on, detail="(1 - 1/m) <= mean curvature")
    check.holds(value, upper, tol=1e-12, cause=cause, on=on, detail="mean curvature <= 1")
    outside, markov = [c.not_log_concave for c in found], [1 / m for _, m, _ in runs]
    on = "P(not log-concave at the visited point) <= d/m"
    check.holds(outside, markov, tol=1e-12, cause=cause, on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_plane(check):
    """Two dimensions, Loewner order: a Gaussian with variances (l, 0) has both ends of the interval as l grows."""
    law, zero, counts = GaussianMixture(None, np.zeros((1, 2)), np.array([[1e10, 0.0]])), np.zeros((1, 2)), (2, 5, 20)
    H = [-measurements.conditional_hessian(law, zero, zero, m - 1, 1.3)[0] for m in counts]
    values = [np.linalg.eigvalsh(h) for h in H]
    ends = [bound.expected_conditional_curvature(m, 1.3) for m in counts]
    cause = "rounding: sigma^2/(m l) = 1e-10"
    on = "N(0, diag(1e10, 0)), both ends, m = 2, 5, 20"
    check.tight(np.array(values) / np.array(ends), 1.0, tol=4e-10, cause=cause, on=on)
    conditions = [high / low / (m / (m - 1)) for (low, high), m in zip(values, counts)]
    check.tight(conditions, 1.0, tol=4e-10, cause=cause, on="condition number against m/(m-1)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) every point in place of the expectation; and the faster rate of a law with a Gaussian part."""
    pair, sigma, m = atoms(np.array([[-1.0], [1.0]])), 0.5, 6
    C = pair.noised(1.0, sigma / math.sqrt(m)).posterior_covariance(np.linspace(-2, 2, 401)[:, None])
    worst, low = -bound.next_measurement_hessian(C, sigma)[:, 0, 0], bound.expected_conditional_curvature(m, sigma)[0]
    check.control("the expectation (every point)", low, worst, on="two points, sigma = .5, m = 6")

    mean = conditional(GaussianMixture(None, np.zeros((1, 1)), 1e6), m, sigma).curvature
    check.control("1/m (1/m^2: the rate under X = Z + N_0)", (1 - 1 / m**2) / sigma**2, mean, on="N(0, 1e6), m = 6")
