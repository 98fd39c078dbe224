"""Proposition 3.4: the ideal denoiser is the projection up to eta d and the size of a near set.

Let xhat* be the ideal denoiser, d = d(x), N_alpha the points of K within alpha d of x, C the largest |x0 - p(x)| over
N_alpha. Suppose that

    (H1)  K is finite with |K| points and uniform weights,
    (H2)  p(x) is unique and d > 0,
    (H3)  0 < eta <= |K|,
    (H4)  alpha >= 1 + (2 sigma^2 / d^2) (1/e + log(|K| / eta)).

Then

    |xhat*(x, sigma) - p(x)|  <=  eta d + C.

It is not to be read as "error <= eta d": with two nearly tied atoms C is their distance. It is not tight either: the
worst family that we know stays near 2 exp(-2/e) eta / |K| of the bound (`prop_3_4_half_log_radius.py` has a smaller
radius).

Source: Proposition 3.4 of Permenter & Yuan (recalled), proved in the docstring of `near_set_radius`. Measured on 40,000
random instances and along DDIM trajectories on digits.
"""

import math

import numpy as np

from exactdiffusion import PointCloud
from exactdiffusion.statements import projection as bound

STATEMENT = bound.near_set_radius.statement


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, near_sets, deep):
    near_sets.check_random(check, bound.near_set_radius, 200_000 if deep else 40_000)


def test_digits_trajectories(check, near_sets, deep):
    """Not an empty statement: the best bound over eta along DDIM trajectories of the ideal denoiser."""
    levels = list(near_sets.digits(bound.near_set_radius, 200 if deep else 20))
    error, largest, tol = (np.array([getattr(near, name) for near in levels]) for name in ("error", "largest", "tolerance"))
    detail = near_sets.ratios(levels)
    vacuous = [near.sigma for near in levels if np.any(near.largest >= 1)]
    if vacuous:
        detail += f"; vacuous (>= 1) for some trajectories at sigma in {min(vacuous):.2f} .. {max(vacuous):.2f}"
    check.holds(error, largest, tol=tol, cause=near_sets.cause, on="digits, DDIM from sigma = 40", detail=detail)


# -- how far from tight ----------------------------------------------------------------------------------------------------


def test_not_attained(check, near_sets):
    """The opposite family, the worst that we know, stays near 2 e^(-2/e) eta/|K|: far below 1 for a useful eta."""
    # the largest ratio of the family, for eta up to three values
    search = {0.5: [], 1.0: [], np.inf: []}
    for m in (2, 3, 10, 1000):
        for sigma in np.geomspace(0.01, 30, 60):
            for top, found in search.items():
                etas = np.geomspace(1e-4, min(top, m), 40)
                found.append(near_sets.opposite_formula(bound.near_set_radius, m, etas, sigma).max())
    largest = {top: max(found) for top, found in search.items()}

    # |K| = 2, eta = 1/2 as sigma/d -> 0: exponent 2 (1/e + log 4)
    weight = math.exp(-2 / math.e) / 16
    cause = "remainder: (sigma/d)^2 at the smallest sigma/d = .01"
    on = "largest error/(eta d) of the opposite family, eta <= .5, against its limit at |K| = 2"
    detail = f"largest for eta <= .5: {largest[0.5]:.3f}, eta <= 1: {largest[1.0]:.3f}, eta <= |K|: {largest[np.inf]:.3f}"
    check.equal(largest[0.5], 4 * weight / (1 + weight), tol=1e-4, cause=cause, on=on, detail=detail)

    ratio = near_sets.opposite(bound.near_set_radius, 2, 0.5, 0.01)
    formula = near_sets.opposite_formula(bound.near_set_radius, 2, 0.5, 0.01)
    cause, on = "remainder: offset 1e-13 / sigma^2 of the atoms", "ideal denoiser against the formula"
    check.equal(ratio, formula, tol=1e-7, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, near_sets):
    """(H4) with a smaller radius, and the size C of the near set."""
    # (H4) a quarter of alpha - 1, and half of it at small noise
    for m, eta, sigma in ((1000, 0.01, 0.1), (10, 0.001, 0.1)):
        ratio = near_sets.opposite(bound.near_set_radius, m, eta, sigma, share=0.25)
        on = f"|K| = {m}, eta = {eta:g}, sigma = {sigma:g} d"
        check.control("the radius (25 % of alpha - 1)", ratio, 1.0, tol=1e-9, on=on)
    ratio = near_sets.opposite(bound.near_set_radius, 1000, 1e-3, 0.01, share=0.5)
    check.control("2 sigma^2/d^2 (sigma^2/d^2)", ratio, 1.0, tol=1e-6, on="|K| = 1000, eta = .001, sigma = .01 d")

    # C cannot be dropped: two nearly tied atoms
    pair, x = PointCloud(np.array([[-1.0], [1.0]])), np.array([[1e-3]])
    away, across, d, p = near_sets.table(pair, x)
    error = np.linalg.norm(pair.noised(1.0, 0.3).denoise(x) - p)
    assert bound.near_set_radius(d, 0.3, 2, 0.05)[0] * d[0] > away.max()
    check.control("C (error <= eta d)", error, 0.05 * d[0], tol=1e-9, on="atoms +-1, x = .001, sigma = .3, eta = .05")
