"""Derivative of the posterior covariance, as a third moment (derived).

Let Y = X + sqrt(v) N, X on atoms, z = X - E[X | y] and C(y) = Cov[X | y]. Then in every direction w

    d_w (u' C(y) u)  =  E[(w . z) (u . z)^2 | y] / v,        |d_w (u' C u)|  <=  D/v |w| u' C u,

D being the diameter of the support: a log-Lipschitz constant, which certificates on grids rest on.

Measured on point clouds against fourth-order differences of the library's covariance.
"""

import numpy as np

from exactdiffusion import PointCloud
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.posterior_covariance_derivative.statement
EPS = np.finfo(float).eps


def posterior(law, y, v):
    """Posterior weights (n, M) and deviations (n, M, d), by Bayes' rule."""
    logits = np.log(law.weights) - np.sum((y[:, None] - law.points) ** 2, axis=2) / (2 * v)
    w = np.exp(logits - logits.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    return w, law.points - (w @ law.points)[:, None]


def clouds():
    rng = np.random.default_rng(23)
    yield "three points", PointCloud(np.array([[-1.0], [0.0], [1.5]]), np.array([0.5, 0.1, 0.4]))
    yield "20 points in R^3", PointCloud(rng.standard_normal((20, 3)), rng.dirichlet(np.ones(20)))


def direction(rng, d):
    a = rng.standard_normal(d)
    return a / np.linalg.norm(a)


def difference(f, y, w, h):
    """Central difference of order 4."""
    return (8 * (f(y + h * w) - f(y - h * w)) - (f(y + 2 * h * w) - f(y - 2 * h * w))) / (12 * h)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equality_and_bound(check):
    """Two clouds, three noise levels, random directions."""
    rng = np.random.default_rng(24)
    for name, law in clouds():
        for v in (0.3, 1.0, 5.0):
            y = 1.5 * rng.standard_normal((50, law.dim))
            u, w = direction(rng, law.dim), direction(rng, law.dim)
            q = law.noised(1.0, np.sqrt(v))

            def along(y, q=q, u=u):
                return q.posterior_covariance(y) @ u @ u

            # the third moment against fourth-order differences
            third = bound.posterior_covariance_derivative(*posterior(law, y, v), u, w, v)
            h = 0.01 * v / law.diameter
            fine, coarse = difference(along, y, w, h), difference(along, y, w, 2 * h)
            tol = np.abs(fine - coarse) + 64 * EPS * law.diameter**2 / h
            cause = "remainder: change with twice the step, and 64 eps D^2/h"
            check.equal(third, fine, tol=tol, cause=cause, on=f"differences, {name}, v = {v:g}")

            larger, tol = law.diameter / v * along(y), 64 * EPS * law.diameter**3 / v
            on = f"log-Lipschitz, {name}, v = {v:g}"
            check.holds(np.abs(third), larger, tol=tol, cause="rounding: 64 eps D^3/v", on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """The constant D/v is approached: two points at distance D, far out, where one atom has all the weight."""
    law = PointCloud(np.array([[-1.0], [1.0]]))
    y, v = np.array([[6.0]]), 1.0
    w, z = posterior(law, y, v)
    ratio = np.abs(bound.posterior_covariance_derivative(w, z, [1.0], [1.0], v)) / (2.0 / v * np.sum(w * z[:, :, 0] ** 2))
    cause = "remainder: weight e^-12 of the other atom"
    check.tight(ratio, 1.0, tol=4 * np.exp(-12.0), cause=cause, on="two points, y = 6, v = 1")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another power of v, moments that are not central, and half the diameter."""
    law, v, on = dict(clouds())["three points"], 0.5, "three points, v = .5"
    y = np.random.default_rng(25).standard_normal((30, 1))
    w, z = posterior(law, y, v)
    q = law.noised(1.0, np.sqrt(v))
    exact = difference(lambda y: q.posterior_covariance(y)[:, 0, 0], y, np.ones(1), 1e-3)
    third = bound.posterior_covariance_derivative(w, z, [1.0], [1.0], v)
    check.control("1/v (1/v^2)", np.abs(third / v - exact), 1e-6, on=on)
    raw = bound.posterior_covariance_derivative(w, law.points + 0 * z, [1.0], [1.0], v)
    check.control("the deviations z (x itself)", np.abs(raw - exact), 1e-6, on=on)
    variance = np.sum(w * z[:, :, 0] ** 2, axis=1)
    check.control("the diameter D (the radius D/2)", np.abs(third), 1.25 / v * variance, on=on)
