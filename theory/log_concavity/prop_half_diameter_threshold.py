"""Half the diameter in place of the radius (derived).

Suppose that

    (H1)  X = Z + tau N, the support of Z has the diameter D.

Then the laws of Y_1 and of every Y_m given the others are log-concave for

    sigma^2  >=  D^2 / 4 - tau^2,        D/2  <=  R  <=  D sqrt(d / (2 (d + 1)))    (Jung),

R being the radius of the smallest ball around the support. Simplices attain the threshold and Jung's radius.

Measured on 24 random clouds in R^1 to R^6 with random weights.
"""

import numpy as np

from exactdiffusion import PointCloud
from exactdiffusion.papers.log_concavity.certificates import enclosing_ball, log_concavity_threshold
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.half_diameter_threshold.statement
EPS = np.finfo(np.float64).eps


def families():
    """Points (K, d) and weights (K,) of 24 random clouds."""
    rng = np.random.default_rng(65)
    for d, K in ((1, 5), (2, 3), (2, 7), (3, 12), (5, 9), (6, 5)):
        for _ in range(4):
            yield rng.standard_normal((K, d)) * rng.exponential(size=d), rng.dirichlet(np.ones(K))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Threshold, D/2, R and Jung's radius, each in units of the diameter."""
    thresholds, bounds, radii, jung = np.empty((4, 24))
    for k, (points, w) in enumerate(families()):
        D = PointCloud(points).diameter
        thresholds[k] = log_concavity_threshold(PointCloud(points, w), certify=False).lower / D**2
        bounds[k] = bound.half_diameter_threshold(D) / D**2
        radii[k], jung[k] = enclosing_ball(points)[1] / D, bound.jung_radius(1.0, points.shape[1])

    on, cause = "24 random clouds in R^1 ... R^6, random weights", "rounding: 64 eps of D^2"
    check.holds(thresholds, bounds, tol=64 * EPS, cause=cause, on=f"threshold against D^2/4: {on}")
    cause = "remainder: 1e-11 D: tolerance of the enclosing ball"
    check.holds(np.full(24, 0.5), radii, tol=1e-11, cause=cause, on=on, of="D/2 <= R")
    check.holds(radii, jung, tol=1e-11, cause=cause, on=on, of="R <= Jung's radius")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Regular simplices of random weights attain the threshold and Jung's radius."""
    for d in (1, 2, 4, 9):
        points, w = np.eye(d + 1), np.random.default_rng(d).dirichlet(np.ones(d + 1))
        found = log_concavity_threshold(PointCloud(points, w))
        ratio = found.lower / bound.half_diameter_threshold(np.sqrt(2))
        check.tight(ratio, 1.0, tol=64 * EPS, cause="rounding: 64 eps", on=f"simplex of {d + 1} atoms, random weights")

        ratio = enclosing_ball(points)[1] / bound.jung_radius(np.sqrt(2), d)
        cause = "remainder: tolerance of the enclosing ball"
        check.tight(ratio, 1.0, tol=1e-11, cause=cause, on=f"Jung: simplex of {d + 1} atoms")
        gain = found.radius_squared / found.half_diameter_squared
        check.equal(gain, 2 * d / (d + 1), tol=1e-10, cause=cause, on=f"gain, {d + 1} atoms")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) a diameter that is 1 % too small; and R is not D/2."""
    triangle = np.array([[0.0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    found = log_concavity_threshold(PointCloud(triangle)).lower
    check.control("1 % of the diameter", found, bound.half_diameter_threshold(0.99), tol=1e-12, on="triangle")
    check.control("Jung's factor (R = D/2)", enclosing_ball(triangle)[1], 0.5, tol=1e-9, on="triangle")
