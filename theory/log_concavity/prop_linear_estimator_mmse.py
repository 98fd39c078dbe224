"""Mean squared error against the best linear estimator (derived, textbook).

Let X have the covariance L, and s = sigma^2 / m. Then

    E tr C_m  <=  tr[s L (L + s I)^-1]  <=  min(s d, tr L),

with equality on the left exactly for Gaussians.

Measured on four laws on a line by quadrature, and on Gaussians in R^1 and R^4.
"""

import math

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.linear_estimator_mmse.statement
LEVELS = ((1, 0.05), (3, 0.5), (1, 2.0), (8, 20.0))


def laws():
    """Four laws on a line, none of them Gaussian."""
    rng = np.random.default_rng(57)
    yield PointCloud(np.array([[-1.0], [1.0]]))
    yield PointCloud(rng.standard_normal((5, 1)), rng.dirichlet(np.ones(5)))
    yield GaussianMixture([0.5, 0.5], np.array([[-0.1], [0.1]]), 1.0)
    yield GaussianMixture([0.9, 0.1], np.array([[0.0], [0.0]]), np.array([0.1, 9.0]))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Both inequalities at four noise levels."""
    runs = [(law, m, s, math.sqrt(m * s)) for law in laws() for m, s in LEVELS]
    value = [measurements.line_mmse(law, m, sigma) for law, m, _, sigma in runs]
    linear = [bound.linear_estimator_mmse(law.covariance, m, sigma) for law, m, _, sigma in runs]
    plain = [min(s, law.covariance[0, 0]) for law, _, s, _ in runs]
    check.holds(value, linear, tol=1e-13, cause="remainder: quadrature", on="4 laws on a line, s = .05 .. 20")
    check.holds(linear, plain, tol=1e-15, cause="rounding", on="s = .05 .. 20", of="the comparison with min(s, Var X)")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Gaussians in R^1 and R^4, whose C_m does not depend on y."""
    rng = np.random.default_rng(58)
    ratios = []
    for d in (1, 4):
        root = rng.standard_normal((d, d))
        law = GaussianMixture(None, np.ones((1, d)), (root @ root.T)[None])
        for m, s in LEVELS:
            sigma = math.sqrt(m * s)
            C = measurements.posterior_covariance(law, np.zeros((1, d)), m, sigma)[0]
            ratios.append(np.trace(C) / bound.linear_estimator_mmse(law.covariance, m, sigma))
    check.tight(ratios, 1.0, tol=1e-11, cause="rounding: eps cond of eigh", on="Gaussians, d = 1, 4")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another noise, another covariance, and equality beyond Gaussians."""
    value = measurements.line_mmse(GaussianMixture(None, np.zeros((1, 1)), 1.0), 4, 2.0)
    check.control("s = sigma^2/m (sigma^2/m^2)", value, bound.linear_estimator_mmse([[1.0]], 16, 2.0), on="N(0, 1), m = 4")
    wide = measurements.line_mmse(PointCloud(np.array([[-3.0], [3.0]])), 1, 3.0)
    dropped, larger = "the covariance of X (variance 1 in its place)", bound.linear_estimator_mmse([[1.0]], 1, 3.0)
    check.control(dropped, wide, larger, on="two points at +-3, s = 9")
    pair, linear = PointCloud(np.array([[-1.0], [1.0]])), bound.linear_estimator_mmse([[1.0]], 1, 0.5)
    check.control("Gaussian X (equality)", linear, measurements.line_mmse(pair, 1, 0.5), tol=1e-6, on="two points")
