"""The half smoothed distance lies between half the squared distance and s^2 log|K| below it.

Let F_s(x) = -s^2 log sum_{x0 in K} exp(-|x - x0|^2 / 2 s^2). Suppose that

    (H1)  K is finite with |K| points,
    (H2)  s > 0.

Then

    d(x)^2 / 2 - s^2 log|K|  <=  F_s(x)  <=  d(x)^2 / 2.

The left side is attained by equidistant atoms at every s, and in the limit of large s; the right one in the limit of
small s, and by one point.

Source: derived; these are the standard bounds of log-sum-exp, for the F of Proposition 3.3 of Permenter & Yuan. Measured
on digits and random clouds, s from 1e-3 to 1e4.
"""

import math

import numpy as np

from exactdiffusion import PointCloud, datasets
from exactdiffusion.statements import projection as bound

STATEMENT = bound.smoothed_distance_sandwich.statement
EPS = np.finfo(np.float64).eps
SIGMAS = (1e-3, 0.1, 0.5, 1.0, 3.0, 10.0, 100.0, 1e4)


def smoothed(law, x, s, rows=20):
    """F_s at every row of x, made in blocks."""
    F = np.empty(len(x))
    for i in range(0, len(x), rows):
        h = 0.5 * np.sum((x[i : i + rows, None] - law.points[None]) ** 2, axis=2)
        F[i : i + rows] = bound.half_smoothed_distance(h, s)
    return F


def families(deep):
    rng = np.random.default_rng(337)
    digits = PointCloud(datasets.digits())
    n = 400 if deep else 40
    yield "digits", digits, digits.points[:n] + rng.standard_normal((n, 64)) * 10 ** rng.uniform(-2, 1, (n, 1))
    for m, dim in ((2, 1), (7, 3), (200, 20)):
        yield f"{m} points in R^{dim}", PointCloud(rng.standard_normal((m, dim))), 2 * rng.standard_normal((10 * n, dim))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, deep):
    for name, law, x in families(deep):
        d, m = law.distance(x), len(law.points)
        cause = "rounding: 16 eps of d^2/2 + s^2 log m"
        with check.gather(on=f"{name}, s = 1e-3 .. 1e4", cause=cause) as sides:
            for s in SIGMAS:
                # all sides shifted by s^2 log m, so that they are nonnegative and their ratio means something
                shift = s**2 * math.log(m)
                lower, upper = (v + shift for v in bound.smoothed_distance_sandwich(d, s, m))
                F, tol = smoothed(law, x, s) + shift, 16 * EPS * upper
                sides("d^2/2 - s^2 log m <= F", lower, F, tol=tol)
                sides("F <= d^2/2", F, upper, tol=tol)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def used(law, x, s):
    """(d^2/2 - F) / (d^2/2 - lower bound), in [0, 1]."""
    lower, upper = bound.smoothed_distance_sandwich(law.distance(x), s, len(law.points))
    return (upper - smoothed(law, x, s)) / (upper - lower)


def test_both_ends_attained(check):
    # equidistant atoms: the left side is an equality at every s
    cause = "rounding: cancellation: eps d^2 / (s^2 log 2), d <= 20, s >= .1, and 4 more digits"
    with check.gather(on="(d^2/2 - F)/(s^2 log m)", cause=cause, kind="tight") as sides:
        for m in (2, 5, 20):
            law = PointCloud(np.eye(m) * math.sqrt(2))
            x = np.repeat([[0.0], [math.sqrt(2) / m], [3.0]], m, axis=1)
            for s in (0.1, 1.0, 10.0):
                sides("left end, equidistant atoms", used(law, x, s), 1.0, tol=1e-11)

    # digits at large s, and at small s
    digits = PointCloud(datasets.digits())
    rng = np.random.default_rng(338)
    x = digits.points[:30] + 0.3 * rng.standard_normal((30, 64))
    cause = "remainder: (mean of |x-x0|^2 - d^2) / (2 s^2 log m) <= 120 / (2e8 * 7.5)"
    check.tight(used(digits, x, 1e4), 1.0, tol=1e-6, cause=cause, on="left end, digits, s = 1e4")
    _, upper = bound.smoothed_distance_sandwich(digits.distance(x), 1e-3, len(digits.points))
    ratio = smoothed(digits, x, 1e-3) / upper
    check.tight(ratio, 1.0, tol=8 * EPS, cause="rounding: 8 eps", on="right end, s = 1e-3")

    # one point: both sides are the same
    single, y = PointCloud(np.zeros((1, 3))), rng.standard_normal((5, 3))
    _, upper = bound.smoothed_distance_sandwich(single.distance(y), 2.0, 1)
    check.tight(smoothed(single, y, 2.0) / upper, 1.0, tol=8 * EPS, cause="rounding: 8 eps", on="one point")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each constant of the two sides, and the sum over K."""
    digits = PointCloud(datasets.digits())
    x = digits.points[:30] + 0.3 * np.random.default_rng(339).standard_normal((30, 64))
    d, F, m = digits.distance(x), smoothed(digits, x, 1.0), len(digits.points)
    _, upper = bound.smoothed_distance_sandwich(d, 1.0, m)

    # s^2 log|K| is needed, and so is the sum in F: their mean exceeds the right side
    check.control("- s^2 log|K|", upper, F, tol=1e-10, on="digits, s = 1")
    check.control("sum of exponentials (their mean)", F + math.log(m), upper, tol=1e-10, on="digits, s = 1")

    # F is half a squared distance
    low, _ = bound.smoothed_distance_sandwich(math.sqrt(2) * d, 0.1, m)
    dropped = "d^2/2 (d^2: F is half a squared distance)"
    check.control(dropped, low, smoothed(digits, x, 0.1), tol=1e-10, on="digits, s = .1")

    # the constant of log|K|
    law, middle = PointCloud(np.eye(4)), np.full((1, 4), 0.25)
    low = 0.5 * law.distance(middle) ** 2 - 0.99 * math.log(4)
    dropped, on = "the constant log|K| (.99 of it)", "four equidistant atoms"
    check.control(dropped, low, smoothed(law, middle, 1.0), tol=1e-12, on=on)
