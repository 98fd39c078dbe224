"""Early stopping costs sqrt(eps) on sets, eps on smooth laws (derived; De Bortoli 2022 in shape, recalled).

Let r_eps be the law of the Ornstein-Uhlenbeck process at time eps. Suppose that

    (H1)  p is a law on R^d with E|X|^2 finite,
    (H2)  for the second form, I(p | gamma) is finite.

Then

    W2^2(p, r_eps)  <=  (1 - exp(-eps))^2 E|X|^2 + (1 - exp(-2 eps)) d,
    W2(p, r_eps)    <=  (1 - exp(-eps)) sqrt(I(p | gamma)),

the first attained by a point, the second by N(a, I). On a closed set W2^2 is at least the mean squared distance of X_eps to
the set.

Measured on atoms on a line, a circle, two Gaussians, and, for the lower side, on draws.
"""

import itertools
import math

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import rice

from exactdiffusion import GaussianMixture, PointCloud, distances
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.early_stopping_w2.statement
TIMES = np.array([1e-4, 1e-3, 1e-2, 0.1, 0.5])


def atoms_w2(points, weights, eps):
    """W2 between atoms on a line and their law at time eps: quantile cells, each by adaptive quadrature."""
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(eps))
    points, weights = np.asarray(points), np.asarray(weights)

    def mass(y):
        return weights @ ndtr((y - scale * points) / sigma)

    def density(y):
        return weights @ np.exp(-0.5 * ((y - scale * points) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))

    # the cells of the quantile coupling: an atom takes what lies between two quantiles
    low, high = scale * points[0] - 12 * sigma, scale * points[-1] + 12 * sigma
    cuts = [brentq(lambda y, c=c: mass(y) - c, low, high, xtol=1e-14) for c in np.cumsum(weights)[:-1]]
    edges = [low, *cuts, high]

    # the second moment in every cell, with panels about each atom
    total = 0.0
    for x, a, b in zip(points, edges[:-1], edges[1:], strict=True):
        near = sorted({float(np.clip(scale * p + k * sigma, a, b)) for p in points for k in (-6, -2, 0, 2, 6)} | {a, b})
        for c, d in itertools.pairwise(near):
            total += quad(lambda y, x=x: (y - x) ** 2 * density(y), c, d, epsabs=0, epsrel=1e-11)[0]
    return math.sqrt(total)


def circle_w2(radius, eps):
    """Circle: the radial projection maps r_eps to the uniform law, so W2^2 = E (|Y| - R)^2, Y's norm a Rice variable."""
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(eps))
    norm = rice(scale * radius / sigma, scale=sigma)
    a, b = max(0.0, scale * radius - 12 * sigma), scale * radius + 12 * sigma
    return math.sqrt(quad(lambda y: (y - radius) ** 2 * norm.pdf(y), a, b, epsabs=0, epsrel=1e-10)[0])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_atoms(check):
    clouds = {
        "two": ([-1.0, 1.0], [0.5, 0.5]),
        "three": ([-1.0, 0.2, 2.0], [0.5, 0.1, 0.4]),
        "five": (np.linspace(-1, 1, 5), np.full(5, 0.2)),
    }
    for name, (points, weights) in clouds.items():
        measured = [atoms_w2(points, weights, eps) for eps in TIMES]
        larger = bound.early_stopping_w2(TIMES, 1, float(np.dot(weights, np.square(points))))
        cause, detail = "remainder: adaptive quadrature", f"ratios {np.array2string(measured / larger, precision=4)}"
        check.holds(measured, larger, tol=1e-9 * larger, cause=cause, on=f"{name} atoms", detail=detail)


def test_circle_and_lower_side(check):
    measured = np.array([circle_w2(1.5, eps) for eps in TIMES])
    larger = bound.early_stopping_w2(TIMES, 2, 2.25)
    cause = "remainder: adaptive quadrature"
    check.holds(measured, larger, tol=1e-8 * larger, cause=cause, on="circle of radius 1.5 in the plane")
    # W2 >= root mean square distance to the support: samples of r_eps
    draw = check.chance(comparisons=2)
    cloud = PointCloud(np.random.default_rng(95).standard_normal((6, 3)))
    y = cloud.sample(40_000, draw.seed(96))
    for eps in (0.05, 0.3):
        scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(eps))
        square = cloud.distance(scale * y + sigma * draw.noise(97).normal(0, *y.shape)) ** 2
        larger = float(bound.early_stopping_w2(eps, 3, float(np.mean(np.sum(cloud.points**2, axis=1)))))
        draw.mean_at_most(square, larger**2, on=f"squared distance to 6 atoms in R^3, eps = {eps:g}")


def test_smooth(check):
    """Mixtures with a density: the exact W2 on a grid below both forms."""
    law = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.1, 0.15]))
    low, high = line.support(law)
    x = np.linspace(low - 4, high + 4, 8001)
    target, step = line.discretise(law, x), x[1] - x[0]
    information = step * np.exp(law.log_density(x[:, None])) @ (law.score(x[:, None])[:, 0] + x) ** 2
    second_moment = float(law.covariance[0, 0] + law.mean[0] ** 2)

    times, measured = np.array([0.003, 0.01, 0.03, 0.1, 0.4]), []
    for eps in times:
        scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(eps))
        moved = law.noised(scale, sigma).materialise()
        measured.append(line.divergences(target, line.discretise(moved, x)).w2)

    larger = bound.early_stopping_w2(times, 1, second_moment, information)
    cause, on = "remainder: quantiles on 8001 nodes", "two Gaussians, eps = .003 .. .4"
    detail = f"ratios {np.array2string(np.array(measured) / larger, precision=4)}"
    check.holds(measured, larger, tol=1e-6, cause=cause, on=on, detail=detail)
    check.rate(distances.fit_slope(times[:3], measured[:3]), 1.0, within=0.05, on="W2 against eps, two Gaussians")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """A point for the first form, N(a, I) for the second; two far atoms are as good as a point."""
    a = np.array([0.7, -2.0, 0.4])
    for eps in (1e-6, 0.01, 1.0):
        # a point a: r_eps = N(e^-eps a, 1 - e^-2eps)
        scale, sigma = bound.ornstein_uhlenbeck_level(eps)
        exact = math.sqrt((1 - scale) ** 2 * (a @ a) + 3 * sigma**2)
        cause = "rounding: 1 - e^-eps loses digits"
        ratio = exact / bound.early_stopping_w2(eps, 3, a @ a)
        check.tight(ratio, 1.0, tol=1e-9, cause=cause, on=f"a point of R^3, eps = {eps:g}")
        ratio = distances.bures_w2(a, np.eye(3), scale * a, np.eye(3)) / bound.early_stopping_w2(eps, 3, a @ a + 3, a @ a)
        check.tight(ratio, 1.0, tol=1e-7, cause=cause, on=f"N(a, I) in R^3, eps = {eps:g}")
    ratio = atoms_w2([-1.0, 1.0], [0.5, 0.5], 1e-4) / bound.early_stopping_w2(1e-4, 1, 1.0)
    check.tight(ratio, 1.0, tol=1e-6, cause="remainder: atoms 140 deviations apart", on="two atoms, eps = 1e-4")


def test_rate(check):
    times = np.array([1e-5, 1e-4, 1e-3])
    laws = {"two atoms": lambda eps: atoms_w2([-1.0, 1.0], [0.5, 0.5], eps), "circle": lambda eps: circle_w2(1.5, eps)}
    for name, w2 in laws.items():
        slope = distances.fit_slope(times, [w2(eps) for eps in times])
        check.rate(slope, 0.5, within=2e-3, on=f"W2 against eps, {name}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Atoms and a circle against bounds that lack a term or assume a density."""
    value = atoms_w2([-1.0, 1.0], [0.5, 0.5], 1e-3)

    # (H1) the law lives in R^d: the noise in d dimensions, of variance 1 - e^-2eps
    check.control("the dimension", circle_w2(1.5, 1e-3), bound.early_stopping_w2(1e-3, 0, 2.25), on="circle, d = 0")
    check.control("1 - e^-2eps (eps)", value, math.sqrt(1e-3), on="two atoms, eps = .001")

    # (H2) atoms have no finite information: that of a smoothed law is not enough
    law = GaussianMixture(None, np.array([[-1.0], [1.0]]), 0.5)
    x = np.linspace(*line.support(law), 4001)
    information = (x[1] - x[0]) * np.exp(law.log_density(x[:, None])) @ (law.score(x[:, None])[:, 0] + x) ** 2
    dropped = "finite information (atoms, with that of a smoothed law)"
    check.control(dropped, value, -math.expm1(-1e-3) * math.sqrt(information), on="two atoms, eps = .001")
