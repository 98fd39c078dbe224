"""Denoising loss of any score estimate (slides; Vincent 2011).

Suppose that

    (H1)  Y = X + sqrt(v) N,
    (H2)  h is any square-integrable field, compared with the score of the noised law q_v.

Then

    E|X - Y - v h(Y)|^2  =  E tr Cov[X | Y]  +  v^2 E|h(Y) - grad log q_v(Y)|^2,

so that the true score is the minimiser and the minimum is the MMSE.

Measured for five fields: the loss from the joint law of X and Y, the right side by the oracle.
"""

import math
from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.denoising_score_matching.statement
TOL, CAUSE = 1e-12, "remainder: two quadratures of 1e-14 each, values below 50"


def fields(law, v):
    q = law.noised(1.0, math.sqrt(v))
    yield "the true score", lambda y: q.score(y[:, None])[:, 0]
    yield "0", lambda y: 0 * y
    yield "-y/(1 + v)", lambda y: -y / (1 + v)
    yield "score at twice the variance", lambda y: law.noised(1.0, math.sqrt(2 * v)).score(y[:, None])[:, 0]
    yield "tanh", np.tanh


def loss_of_cloud(law, v, h):
    """E |X - Y - v h(Y)|^2 atom by atom: no posterior enters."""
    total = 0.0
    for p, x in zip(law.weights, law.points[:, 0]):
        y, w = measurements.line_quadrature(PointCloud(np.array([[x]])), math.sqrt(v))
        total += p * (w @ (x - y - v * h(y)) ** 2)
    return total


def sides(law, v, h, loss):
    """`Sides` for the field h (n,) -> (n,) on a line; ``loss(law, v, h)`` measures the left one."""
    y, w = measurements.line_quadrature(law, math.sqrt(v))
    error = w @ (h(y) - law.noised(1.0, math.sqrt(v)).score(y[:, None])[:, 0]) ** 2
    mmse = measurements.line_mmse(law, 1, math.sqrt(v))
    return Sides(loss(law, v, h), bound.denoising_score_matching(mmse, v, error))


def loss_of_mixture(law, v, h, n=80):
    """Gauss-Hermite over (X, N) on each component."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    a, b = (g.ravel() for g in np.meshgrid(z, z))
    weights = np.outer(w, w).ravel() / w.sum() ** 2
    total = 0.0
    for p, mean, variance in zip(law.weights, law.means[:, 0], law.covariances):
        x = mean + math.sqrt(variance) * a
        y = x + math.sqrt(v) * b
        total += p * (weights @ (x - y - v * h(y)) ** 2)
    return total


class Sides(NamedTuple):
    """The loss from the joint law of X and Y, and MMSE + v^2 error from the oracle."""

    loss: float
    formula: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_clouds(check):
    rng = np.random.default_rng(28)
    for name, law in (
        ("two points", PointCloud(np.array([[-1.0], [1.0]]))),
        ("6 points", PointCloud(1.5 * rng.standard_normal((6, 1)), rng.dirichlet(np.ones(6)))),
    ):
        for v in (0.1, 1.0, 4.0):
            values = [sides(law, v, h, loss_of_cloud) for _, h in fields(law, v)]
            left, right = np.array(values).T
            check.equal(left, right, tol=TOL, cause=CAUSE, on=f"{name}, v = {v:g}, five fields")
            check.holds(left[0], left, tol=TOL, cause=CAUSE, on=f"the true score is the minimiser, {name}, v = {v:g}")


def test_mixture(check):
    """A law with a density; the loss by Gauss-Hermite with 64 and 80 nodes."""
    law = GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.0]]), np.array([0.5, 0.8]))
    cases = [(v, h) for v in (0.5, 2.0) for _, h in fields(law, v)]
    loss, formula = np.array([sides(law, v, h, loss_of_mixture) for v, h in cases]).T
    tol = TOL + np.abs(loss - [loss_of_mixture(law, v, h, 64) for v, h in cases])
    cause = "remainder: change of the Gauss-Hermite sum"
    check.equal(loss, formula, tol=tol, cause=cause, on="two Gaussians, v = .5, 2")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another noise, another score, and a minimum of 0."""
    pair = PointCloud(np.array([[-1.0], [1.0]]))

    # (H1) sigma^2 in place of v^2 = sigma^4
    loss = sides(pair, 4.0, np.tanh, loss_of_cloud).loss
    y, w = measurements.line_quadrature(pair, 2.0)
    error = w @ (np.tanh(y) - pair.noised(1.0, 2.0).score(y[:, None])[:, 0]) ** 2
    wrong = bound.denoising_score_matching(measurements.line_mmse(pair, 1, 2.0), 2.0, error)
    check.control("v^2 = sigma^4 (sigma^2)", abs(loss - wrong), TOL, on="two points, v = 4")

    # (H2) the score of the clean law
    clean = GaussianMixture([0.5, 0.5], np.array([[-1.0], [1.0]]), np.array([0.5, 0.5]))
    loss = loss_of_mixture(clean, 1.0, lambda y: clean.score(y[:, None])[:, 0])
    least, dropped = measurements.line_mmse(clean, 1, 1.0), "the noised law's score (that of p)"
    check.control(dropped, loss, least, tol=TOL, on="two Gaussians, v = 1")

    smallest = sides(pair, 1.0, dict(fields(pair, 1.0))["the true score"], loss_of_cloud).loss
    check.control("MMSE (the minimum is 0)", smallest, 0.0, tol=TOL, on="two points, v = 1")
