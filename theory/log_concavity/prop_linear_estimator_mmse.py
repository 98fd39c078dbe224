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


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    rng = np.random.default_rng(57)
    value, larger, plain = [], [], []
    for law in (
        PointCloud(np.array([[-1.0], [1.0]])),
        PointCloud(rng.standard_normal((5, 1)), rng.dirichlet(np.ones(5))),
        GaussianMixture([0.5, 0.5], np.array([[-0.1], [0.1]]), 1.0),
        GaussianMixture([0.9, 0.1], np.array([[0.0], [0.0]]), np.array([0.1, 9.0])),
    ):
        for m, s in LEVELS:
            sigma = math.sqrt(m * s)
            value.append(measurements.line_mmse(law, m, sigma))
            larger.append(bound.linear_estimator_mmse(law.covariance, m, sigma))
            plain.append(min(s, law.covariance[0, 0]))
    check.holds(value, larger, tol=1e-13, cause="remainder: quadrature", on="4 laws on a line, s = .05 .. 20")
    check.holds(larger, plain, tol=1e-15, cause="rounding", on="s = .05 .. 20", of="the comparison with min(s, Var X)")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    rng = np.random.default_rng(58)
    ratios = []
    for d in (1, 4):
        root = rng.standard_normal((d, d))
        law = GaussianMixture(None, np.ones((1, d)), (root @ root.T)[None])
        for m, s in LEVELS:
            sigma = math.sqrt(m * s)
            C = measurements.posterior_covariance(law, np.zeros((1, d)), m, sigma)[0]  # does not depend on y
            ratios.append(np.trace(C) / bound.linear_estimator_mmse(law.covariance, m, sigma))
    check.tight(ratios, 1.0, tol=1e-11, cause="rounding: eps cond of eigh", on="Gaussians, d = 1, 4")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    law = GaussianMixture(None, np.zeros((1, 1)), 1.0)
    value = measurements.line_mmse(law, 4, 2.0)
    check.control("s = sigma^2/m (sigma^2/m^2)", value, bound.linear_estimator_mmse([[1.0]], 16, 2.0), on="N(0, 1), m = 4")
    wide = PointCloud(np.array([[-3.0], [3.0]]))
    check.control(
        "the covariance of X (variance 1 in its place)",
        measurements.line_mmse(wide, 1, 3.0),
        bound.linear_estimator_mmse([[1.0]], 1, 3.0),
        on="two points at +-3, s = 9",
    )
    pair = PointCloud(np.array([[-1.0], [1.0]]))
    check.control(
        "Gaussian X (equality)",
        bound.linear_estimator_mmse([[1.0]], 1, 0.5),
        measurements.line_mmse(pair, 1, 0.5),
        tol=1e-6,
        on="two points",
    )
