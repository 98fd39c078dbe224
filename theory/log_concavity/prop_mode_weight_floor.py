"""W2 between modes that exact draws already have (derived).

Suppose that

    (H1)  two atoms at distance 2R have the weights w and 1 - w,
    (H2)  n draws are independent, and What is the empirical weight.

Then

    E W2  <=  2R (w (1 - w) / n)^(1/4),        E W2^2  =  4R^2 E|What - w|  ~  4R^2 sqrt(2 w (1 - w) / (pi n)).

Measured by sums over the binomial law, and on one draw by the library's W2.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from exactdiffusion import distances
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.mode_weight_floor.statement


def moments(n, w, R=1.0):
    """`Moments` for n draws from two atoms at distance 2R: sums over the binomial law."""
    k = np.arange(n + 1)
    p = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, w) + xlog1py(n - k, -w))
    gap = np.abs(k / n - w)
    return Moments(2 * R * np.sum(p * np.sqrt(gap)), 4 * R**2 * np.sum(p * gap))


class Moments(NamedTuple):
    """E W2 and E W2^2 of the draws to the two atoms."""

    w2: float
    square: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Three weights, from one draw to 50,000."""
    cases = [(n, w) for w in (0.5, 0.2, 0.01) for n in (1, 10, 100, 2000, 50_000)]
    found = [moments(n, w, R=3.0) for n, w in cases]
    larger = np.array([bound.mode_weight_floor(3.0, w, n) for n, w in cases])
    cause, on = "rounding: 1e-9: gammaln at n = 50,000", "E W2, w = .5, .2, .01, n = 1 .. 50,000"
    check.holds([m.w2 for m in found], larger, tol=1e-9 * larger, cause=cause, on=on)
    check.holds([np.sqrt(m.square) for m in found], larger, tol=1e-9 * larger, cause=cause, on="root of E W2^2")


def test_samples(check):
    """distances.w2 of drawn atoms is 2R sqrt|What - w| itself."""
    rng = np.random.default_rng(94)
    x = np.where(rng.random((400, 1)) < 0.2, -1.0, 1.0)
    value = distances.w2(x, np.array([[-1.0], [1.0]]), weights_y=np.array([0.2, 0.8])).value
    cause = "rounding: sqrt of a rounding of 1e-15 in W2^2"
    check.equal(value, 2 * np.sqrt(abs(np.mean(x < 0) - 0.2)), tol=1e-7, cause=cause, on="400 draws")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_rate(check):
    """The rate of the mean, and the constant of the mean square."""
    n = np.array([1000, 4000, 16_000, 64_000])
    slope = distances.fit_slope(n, [moments(int(k), 0.2).w2 for k in n])
    check.rate(slope, -0.25, within=2e-3, on="E W2 against n, 1000 .. 64,000")
    asymptotic = bound.mode_weight_floor(1.0, 0.2, 64_000) ** 2 * np.sqrt(2 / np.pi)
    cause, on = "remainder: 1/n of the normal limit", "E W2^2 over 4 R^2 sqrt(2 w (1 - w)/(pi n)), n = 64,000"
    check.tight(moments(64_000, 0.2).square / asymptotic, 1.0, tol=1e-3, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """A faster rate, and (H1) half the distance."""
    w2 = moments(2000, 0.2).w2
    check.control("2R (R)", w2, bound.mode_weight_floor(0.5, 0.2, 2000), on="n = 2000, w = .2")
    check.control("the fourth root (n^(-1/2))", w2, 2 * np.sqrt(0.16 / 2000), on="n = 2000, w = .2")
