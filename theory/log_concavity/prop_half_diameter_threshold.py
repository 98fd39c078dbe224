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
    rng = np.random.default_rng(65)
    for d, K in ((1, 5), (2, 3), (2, 7), (3, 12), (5, 9), (6, 5)):
        for _ in range(4):
            yield f"{K} in R^{d}", rng.standard_normal((K, d)) * rng.exponential(size=d), rng.dirichlet(np.ones(K))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    lower, bounds, half, radius, jung = [], [], [], [], []
    for _, P, w in families():
        found = log_concavity_threshold(PointCloud(P, w), certify=False)
        D = PointCloud(P).diameter
        lower.append(found.lower / D**2)
        bounds.append(bound.half_diameter_threshold(D) / D**2)
        half.append(0.5)
        radius.append(enclosing_ball(P)[1] / D)
        jung.append(bound.jung_radius(1.0, P.shape[1]))
    on = "24 random clouds in R^1 ... R^6, random weights"
    tol, cause = 64 * EPS, "rounding: 64 eps of D^2"
    check.holds(lower, bounds, tol=tol, cause=cause, on=f"threshold against D^2/4: {on}")
    check.holds(half, radius, tol=1e-11, cause="remainder: 1e-11 D: tolerance of the enclosing ball", on=on, of="D/2 <= R")
    of = "R <= Jung's radius"
    check.holds(radius, jung, tol=1e-11, cause="remainder: 1e-11 D: tolerance of the enclosing ball", on=on, of=of)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    for d in (1, 2, 4, 9):
        P = np.eye(d + 1)
        w = np.random.default_rng(d).dirichlet(np.ones(d + 1))
        found = log_concavity_threshold(PointCloud(P, w))
        ratio = found.lower / bound.half_diameter_threshold(np.sqrt(2))
        check.tight(ratio, 1.0, tol=64 * EPS, cause="rounding: 64 eps", on=f"simplex of {d + 1} atoms, random weights")
        R = enclosing_ball(P)[1] / bound.jung_radius(np.sqrt(2), d)
        cause = "remainder: tolerance of the enclosing ball"
        check.tight(R, 1.0, tol=1e-11, cause=cause, on=f"Jung: simplex of {d + 1} atoms")
        gain = found.radius_squared / found.half_diameter_squared
        check.equal(gain, 2 * d / (d + 1), tol=1e-10, cause=cause, on=f"gain, {d + 1} atoms")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    triangle = np.array([[0.0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    found = log_concavity_threshold(PointCloud(triangle))
    check.control("1 % of the diameter", found.lower, bound.half_diameter_threshold(0.99), tol=1e-12, on="triangle")
    R = enclosing_ball(triangle)[1]
    check.control("Jung's factor (R = D/2)", R, 0.5, tol=1e-9, on="triangle")
