"""Tweedie's formula: the posterior mean from the score of the noised law.

Suppose that

    (H1)  y = s X + sigma Z with s > 0, sigma > 0,
    (H2)  Z ~ N(0, I) is independent of X.

Then, with q the density of y,

    E[X | y]  =  (y + sigma^2 grad log q(y)) / s.

Source: classical (Robbins 1956, Miyasawa 1961; Efron 2011). Measured by the library's denoisers and scores against
posterior means by quadrature, on a line and on targets in R^6.
"""

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud, Sphere
from exactdiffusion.statements import foundations as bound

STATEMENT = bound.tweedie_denoiser.statement
EPS = np.finfo(np.float64).eps
WEIGHTS, MEANS, DEVIATIONS = np.array([0.2, 0.5, 0.3]), np.array([-1.5, 0.2, 2.0]), np.array([0.3, 0.05, 0.7])
CASES = [(1.0, 0.05), (1.0, 0.7), (1.0, 12.0), (0.6, 0.8), (0.05, 0.9987492177719089)]


def posterior_moments(y, scale, sigma):
    """E[X|y] and Var[X|y] of the 1-D mixture by Gauss-Hermite quadrature on each component of the *prior times likelihood*.

    Each integrand N(x; m, s^2) N(y; scale x, sigma^2) is one Gaussian in x; the nodes are placed on it numerically (its
    maximiser and curvature), so neither the score nor the library's denoiser enters.
    """
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(40)
    total, first, second = 0.0, 0.0, 0.0
    for w, m, s in zip(WEIGHTS, MEANS, DEVIATIONS):
        # nodes on the Gaussian of this component
        curvature = 1 / s**2 + scale**2 / sigma**2
        centre = (m / s**2 + scale * y / sigma**2) / curvature
        x = centre[:, None] + nodes / np.sqrt(curvature)

        # its share of the mass and of the first two moments
        log_joint = -0.5 * ((x - m) / s) ** 2 - 0.5 * ((y[:, None] - scale * x) / sigma) ** 2 + 0.5 * nodes**2
        value = w / s * np.exp(log_joint) * node_weights / np.sqrt(curvature)
        total = total + value.sum(1)
        first = first + (value * x).sum(1)
        second = second + (value * x**2).sum(1)
    mean = first / total
    return mean, second / total - mean**2


def condition(y, scale, sigma):
    """eps times the size of the terms that cancel in (y + sigma^2 score)/scale and in the moments."""
    return 8 * EPS * (np.abs(y) + np.max(np.abs(MEANS))) / min(scale, 1.0)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "sigma"), CASES)
def test_one_dimension_against_quadrature(check, scale, sigma):
    law = GaussianMixture(WEIGHTS, MEANS[:, None], DEVIATIONS**2)
    y = scale * np.linspace(-4, 5, 181) + 0 * sigma
    q = law.noised(scale, sigma)
    mean, _ = posterior_moments(y, scale, sigma)
    # far from every component all weights underflow in the quadrature: those points carry no information
    ok = np.isfinite(mean)
    assert ok.mean() > 0.95
    formula = bound.tweedie_denoiser(y[:, None], q.score(y[:, None]), scale, sigma)[:, 0]
    tol = condition(y, scale, sigma)
    cause = "remainder: 8 eps (|y| + |m|)/scale: cancellation in y + sigma^2 score, and the quadrature's sums"
    on = f"1-D mixture, scale {scale:.3g}, sigma {sigma:.3g}"
    check.equal(formula[ok], mean[ok], tol=tol[ok], cause=cause, on=f"score formula against quadrature, {on}")
    check.equal(q.denoise(y[:, None])[ok, 0], mean[ok], tol=tol[ok], cause=cause, on=f"denoiser against quadrature, {on}")


def targets():
    rng = np.random.default_rng(11)
    a = rng.standard_normal((3, 6, 6))
    return {
        "mixture in R^6": GaussianMixture(
            np.array([0.3, 0.1, 0.6]), rng.standard_normal((3, 6)), a @ a.transpose(0, 2, 1) / 6
        ),
        "cloud in R^6": PointCloud(rng.standard_normal((40, 6))),
        "sphere S^2 in R^6": Sphere(radius=1.3, dim=6, sphere_dim=3),
    }


@pytest.mark.parametrize("name", ["mixture in R^6", "cloud in R^6", "sphere S^2 in R^6"])
def test_score_and_denoiser_agree(check, name):
    """Score and denoiser are computed along different routes; the formula ties them together."""
    law = targets()[name]
    rng = np.random.default_rng(12)
    for scale, sigma in CASES:
        x = scale * rng.standard_normal((200, law.dim)) + sigma * rng.standard_normal((200, law.dim))
        q = law.noised(scale, sigma)
        size = (np.linalg.norm(x, axis=1) + 4)[:, None]
        check.equal(
            bound.tweedie_denoiser(x, q.score(x), scale, sigma),
            q.denoise(x),
            tol=8 * EPS * size / min(scale, 1),
            cause="rounding: 8 eps (|x| + R)/scale: cancellation in x + sigma^2 score",
            on=f"{name}, scale {scale:.3g}, sigma {sigma:.3g}",
        )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The three parts of the formula."""
    law = GaussianMixture(WEIGHTS, MEANS[:, None], DEVIATIONS**2)
    scale, sigma = 0.6, 0.8
    y = scale * np.linspace(-3, 4, 50)
    mean, _ = posterior_moments(y, scale, sigma)
    score, clean = (q.score(y[:, None])[:, 0] for q in (law.noised(scale, sigma), law))
    wrong = {
        "sigma^2 (sigma instead)": (y + sigma * score) / scale,
        "division by the scale": y + sigma**2 * score,
        "the noised law's score (score of the clean law)": (y + sigma**2 * clean) / scale,
    }
    for dropped, value in wrong.items():
        check.control(dropped, np.abs(value - mean), condition(y, scale, sigma), on="1-D mixture, scale .6, sigma .8")
