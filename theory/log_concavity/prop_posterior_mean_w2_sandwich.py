"""Two-sided bounds on the W2 distance of the jump (Proposition 2, sharpened; derived).

Let X have the covariance L, and Lhat = L - E C_m. Then

    tr(L + Lhat - 2 (L^(1/2) Lhat L^(1/2))^(1/2))  <=  W2^2(X, Xhat_m)  <=  tr E C_m.

Gelbrich's bound on the left is attained by Gaussians; the coupling (X, Xhat_m) on the right in the limit of much noise.

Measured on five laws on a line, where W2 is exact.
"""

import math
from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud, distances
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.posterior_mean_w2_sandwich.statement


def sides(law, m, sigma):
    return Sides(*bound.posterior_mean_w2_sandwich(law.covariance, [[measurements.line_mmse(law, m, sigma)]]))


def laws():
    """Five laws on a line."""
    rng = np.random.default_rng(51)
    yield PointCloud(np.array([[-1.0], [1.0]]))
    for k in (3, 6):
        yield PointCloud(rng.standard_normal((k, 1)), rng.dirichlet(np.ones(k)))
    for k in (2, 4):
        weights, means = rng.dirichlet(np.ones(k)), 2 * rng.standard_normal((k, 1))
        yield GaussianMixture(weights, means, rng.uniform(0.01, 1, k))


class Sides(NamedTuple):
    """Gelbrich's bound and the mean squared error."""

    lower: float
    upper: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Four noise levels; W2 is exact on a line."""
    runs = [(law, m, math.sqrt(s * m)) for law in laws() for m, s in ((1, 0.05), (5, 0.5), (2, 2.0), (1, 10.0))]
    value, ends = [measurements.line_jump_w2(*run) for run in runs], Sides(*zip(*(sides(*run) for run in runs)))
    cause, on = "remainder: 1e-12: quadrature and bisection", "5 laws on a line, s = .05 .. 10"
    check.holds(ends.lower, value, tol=1e-12, cause=cause, on=on, detail="Gelbrich <= W2^2")
    check.holds(value, ends.upper, tol=1e-12, cause=cause, on=on, detail="W2^2 <= E tr C_m")


def test_total_covariance(check):
    """cov Xhat = Lambda - E C_m: both sides by quadrature."""
    law = GaussianMixture([0.3, 0.7], np.array([[-2.0], [1.5]]), np.array([0.2, 0.6]))
    for s in (0.1, 1.0, 8.0):
        y, w = measurements.line_quadrature(law, math.sqrt(s))
        xhat = law.noised(1.0, math.sqrt(s)).denoise(y[:, None])[:, 0]
        variance = w @ (xhat - w @ xhat) ** 2
        expected = law.covariance[0, 0] - measurements.line_mmse(law, 1, math.sqrt(s))
        cause = "rounding: 64 eps per sum of 1e3 terms"
        check.equal(variance, expected, tol=1e-13 * 8, cause=cause, on=f"two Gaussians, s = {s:g}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Gaussians in any dimension: the lower side is the distance itself (Bures)."""
    rng = np.random.default_rng(52)
    ratios = []
    for d in (1, 3, 6):
        root = rng.standard_normal((d, d))
        L, zero = root @ root.T, np.zeros(d)
        law = GaussianMixture(None, np.zeros((1, d)), L[None])
        for s in (0.1, 1.0, 10.0):
            C = s * L @ np.linalg.inv(L + s * np.eye(d))
            low, _ = bound.posterior_mean_w2_sandwich(L, 0.5 * (C + C.T))
            gain = law.noised(1.0, math.sqrt(s)).denoise(np.eye(d))  # linear: the rows are the columns of the gain
            ratios.append(distances.bures_w2(zero, L, zero, gain.T @ (L + s * np.eye(d)) @ gain) ** 2 / low)
    cause = "rounding: cancellation in the trace: eps tr L / W2^2"
    check.tight(ratios, 1.0, tol=1e-9, cause=cause, on="Gaussians, d = 1, 3, 6")


def test_upper_side_in_the_limit(check):
    """Much noise: Xhat is nearly constant, no coupling does better than the joint law. N(0, 1): (sqrt(1 + s) - 1)^2 / s."""
    s = np.array([1e4, 1e6, 1e10])
    value = (1 - 1 / np.sqrt(1 + s)) ** 2
    upper = [bound.posterior_mean_w2_sandwich([[1.0]], [[x / (1 + x)]])[1] for x in s]
    cause = "remainder: 2/sqrt(s): the limit is reached so"
    check.tight(value / upper, 1.0, tol=2 / np.sqrt(s), cause=cause, on="N(0, 1), s to 1e10")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Equality beyond Gaussians, another coupling, and another covariance of the jump."""
    pair = PointCloud(np.array([[-1.0], [1.0]]))
    ends, value = sides(pair, 1, 0.5), measurements.line_jump_w2(pair, 1, 0.5)
    check.control("the Gaussian law (equality below)", value, ends.lower, tol=1e-9, on="two points, s = .25")
    independent = 2 - ends.upper  # tr L + tr Lhat
    check.control("the joint law (independent copies)", independent, ends.upper, tol=1e-9, on="two points, s = .25")
    plus, _ = bound.posterior_mean_w2_sandwich([[1.0]], [[-0.5]])
    value = measurements.line_jump_w2(GaussianMixture(None, np.zeros((1, 1)), 1.0), 1, 1.0)
    check.control("Lambda - E C_m (plus): equality for Gaussians", value, plus, tol=1e-9, on="N(0, 1), s = 1")
