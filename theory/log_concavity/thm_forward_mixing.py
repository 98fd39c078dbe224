"""The forward process mixes at rate 1 (slides, "converges quickly"; the constants are derived).

Let X_t be the Ornstein-Uhlenbeck process dX = -X dt + sqrt(2) dB with X_0 ~ p, and gamma = N(0, I). Then

    W2(X_T, gamma)  <=  exp(-T) W2(p, gamma),        KL(X_T | gamma)  <=  exp(-2 T) KL(p | gamma),

with equality in both for p = N(a, I).

Measured by densities on a line for five mixtures, and in closed form for Gaussians in R^3.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion import distances as measure
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.forward_mixing.statement
TIMES = (0.0, 0.2, 1.0, 2.5)
NORMAL = GaussianMixture(None, np.zeros((1, 1)), 1.0)


def distances(law, T):
    """`Distances` of X_T on a line."""
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(T))
    low, high = line.support(law, scale, sigma)
    x = np.linspace(min(low, -10.0), max(high, 10.0), 6001)
    q = law.noised(scale, sigma).materialise()
    d = line.divergences(line.discretise(q, x), line.discretise(NORMAL, x))
    return Distances(d.w2, d.kl)


def mixtures():
    rng = np.random.default_rng(7)
    yield "two far modes", GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]), np.array([0.3, 0.1]))
    yield "narrow", GaussianMixture(None, np.zeros((1, 1)), 0.01)
    yield "wide", GaussianMixture(None, np.ones((1, 1)), 6.0)
    for k in (3, 4):
        yield (
            f"{k} random",
            GaussianMixture(rng.dirichlet(np.ones(k)), 2 * rng.standard_normal((k, 1)), rng.uniform(0.05, 1.5, k)),
        )


class Distances(NamedTuple):
    """Distances of a law to N(0, I)."""

    w2: float
    kl: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Five mixtures on a line: far modes, narrow, wide and random ones."""
    on = "5 mixtures on a line, T = .2 .. 2.5"
    with (
        check.gather(on=on, cause="remainder: quantiles on 6001 nodes") as w2,
        check.gather(on=on, cause="remainder: quadrature on 6001 nodes") as kl,
    ):
        for _, law in mixtures():
            start = distances(law, 0.0)
            for T in TIMES[1:]:
                found, larger = distances(law, T), Distances(*bound.forward_mixing(T, *start))
                w2("W2", found.w2, larger.w2, tol=1e-8)
                kl("KL", found.kl, larger.kl, tol=1e-12)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """N(a, I), in R^1 by densities and in R^3 in closed form: both equalities (T = 1, |a| = 2: .7357589 and .2706706)."""
    found = distances(GaussianMixture(None, np.array([[2.0]]), 1.0), 1.0)
    larger = Distances(*bound.forward_mixing(1.0, 2.0, 2.0))
    cause = "remainder: quantiles on 6001 nodes"
    check.tight(found.w2 / larger.w2, 1.0, tol=1e-7, cause=cause, on="W2, N(2, 1), T = 1")
    check.tight(found.kl / larger.kl, 1.0, tol=1e-12, cause="remainder: quadrature", on="KL, N(2, 1), T = 1")

    a, ratios = np.array([1.0, -2.0, 0.5]), []
    for T in TIMES[1:]:
        scale, sigma = bound.ornstein_uhlenbeck_level(T)
        q = GaussianMixture(None, a[None], 1.0).noised(float(scale), float(sigma))
        larger = Distances(*bound.forward_mixing(T, np.linalg.norm(a), 0.5 * a @ a))
        ratios.append(measure.bures_w2(q.mean, q.covariance, 0 * a, np.eye(3)) / larger.w2)
        ratios.append(measure.gaussian_kl(q.mean, q.covariance, 0 * a, np.eye(3)) / larger.kl)
    cause = "rounding: square root of eps in the covariance part of W2"
    check.tight(ratios, 1.0, tol=1e-7, cause=cause, on="N(a, I) in R^3")


def test_rate(check):
    law, T = next(mixtures())[1], np.array([2.0, 2.5, 3.0, 3.5])
    values = np.log([distances(law, t) for t in T])
    check.rate(measure.fit_slope(T, values[:, 0], log=False), -1.0, within=0.05, on="log W2 against T, two far modes")
    check.rate(measure.fit_slope(T, values[:, 1], log=False), -2.0, within=0.05, on="log KL against T, two far modes")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Faster rates, and another limit."""
    law = GaussianMixture(None, np.array([[2.0]]), 1.0)
    found = distances(law, 1.0)
    check.control("e^{-T} for W2 (e^{-2T})", found.w2, np.exp(-2.0) * 2.0, tol=1e-6, on="N(2, 1), T = 1")
    check.control("e^{-2T} for KL (e^{-4T})", found.kl, np.exp(-4.0) * 2.0, tol=1e-6, on="N(2, 1), T = 1")

    # target N(0, 2) in place of N(0, 1): the process does not converge to it
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(2.5))
    q = law.noised(scale, sigma)
    far = measure.bures_w2(q.mean, q.covariance, np.zeros(1), 2 * np.eye(1))
    start = measure.bures_w2(np.array([2.0]), np.eye(1), np.zeros(1), 2 * np.eye(1))
    check.control("the limit N(0, I) (N(0, 2 I))", far, np.exp(-2.5) * start, on="N(2, 1), T = 2.5")
