"""Second-order Tweedie: the posterior covariance from the Hessian of the log density of the noised law.

Suppose that

    (H1)  y = s X + sigma Z with s > 0, sigma > 0,
    (H2)  Z ~ N(0, I) is independent of X.

Then, with q the density of y,

    Cov[X | y]  =  (sigma^2 / s^2) (I + sigma^2 hess log q(y)),        grad E[X | y]  =  (s / sigma^2) Cov[X | y].

Source: classical (differentiate Tweedie's formula once more). Measured against quadrature on a line, and against the
derivative of the denoiser in R^5.
"""

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.statements import foundations as bound

STATEMENT = bound.tweedie_covariance.statement
EPS = np.finfo(np.float64).eps
WEIGHTS, MEANS, DEVIATIONS = np.array([0.2, 0.5, 0.3]), np.array([-1.5, 0.2, 2.0]), np.array([0.3, 0.05, 0.7])
CASES = [(1.0, 0.3), (1.0, 0.9), (1.0, 12.0), (0.6, 0.8)]


def quadrature_variance(y, scale, sigma):
    """Var[X|y] by the trapezoid rule on a fine grid (spectral for an analytic, decaying integrand), two-pass."""
    x = np.linspace(-12, 12, 48_001)
    prior = sum(w / s * np.exp(-0.5 * ((x - m) / s) ** 2) for w, m, s in zip(WEIGHTS, MEANS, DEVIATIONS))
    out = []
    for value in y:
        exponent = -0.5 * ((value - scale * x) / sigma) ** 2
        density = prior * np.exp(exponent - exponent.max())
        density /= density.sum()
        mean = density @ x
        out.append(density @ (x - mean) ** 2)
    return np.array(out)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "sigma"), CASES)
def test_one_dimension_against_quadrature(check, scale, sigma):
    law = GaussianMixture(WEIGHTS, MEANS[:, None], DEVIATIONS**2)
    y = scale * np.linspace(-3, 4, 57)
    q = law.noised(scale, sigma)
    expected = quadrature_variance(y, scale, sigma)
    formula = bound.tweedie_covariance(q.hessian(y[:, None]), scale, sigma)[:, 0, 0]
    # I + sigma^2 H cancels when the posterior is narrow: both terms are of size (sigma/scale)^2 max(1, sigma^2 |H|)
    size = (sigma / scale) ** 2 * np.maximum(1.0, sigma**2 * np.abs(q.hessian(y[:, None])[:, 0, 0]))
    tol = 8 * EPS * (size + 10)
    cause = (
        "remainder: 8 eps ((sigma/scale)^2 max(1, sigma^2 |H|) + R^2): cancellation in I + sigma^2 H; sums over 48,001 nodes"
    )
    on = f"1-D mixture, scale {scale:.3g}, sigma {sigma:.3g}"
    check.equal(formula, expected, tol=tol, cause=cause, on=f"Hessian formula against quadrature, {on}")
    check.equal(
        q.posterior_covariance(y[:, None])[:, 0, 0],
        expected,
        tol=tol,
        cause=cause,
        on=f"covariance against quadrature, {on}",
    )


@pytest.mark.parametrize("name", ["mixture", "cloud"])
def test_matrices(check, name):
    """In R^5: the formula against the library's covariance, and the covariance against the derivative of the denoiser."""
    rng = np.random.default_rng(21)
    a = rng.standard_normal((3, 5, 5))
    law = {
        "mixture": GaussianMixture(np.array([0.3, 0.1, 0.6]), rng.standard_normal((3, 5)), a @ a.transpose(0, 2, 1) / 5),
        "cloud": PointCloud(rng.standard_normal((30, 5))),
    }[name]
    for scale, sigma in CASES:
        x = scale * law.sample(50, rng) + sigma * rng.standard_normal((50, 5))
        q = law.noised(scale, sigma)

        # the formula
        formula, covariance = bound.tweedie_covariance(q.hessian(x), scale, sigma), q.posterior_covariance(x)
        size = (sigma / scale) ** 2 * np.maximum(1.0, sigma**2 * np.abs(q.hessian(x)).max(axis=(1, 2)))
        tol = (8 * EPS * (size + 10))[:, None, None]
        cause = "rounding: 8 eps ((sigma/scale)^2 max(1, sigma^2 |H|) + R^2)"
        check.equal(formula, covariance, tol=tol, cause=cause, on=f"{name} in R^5, scale {scale:.3g}, sigma {sigma:.3g}")

        # grad E[X|x] = (scale/sigma^2) Cov: central differences at h and 2h; a third of their difference is the error at h
        h = 1e-4 * sigma
        cause = "remainder: 3 x the error estimate of central differences, plus 8 eps (|D| + |x|)/h"
        for j, e in enumerate(h * np.eye(5)):
            fine = (q.denoise(x + e) - q.denoise(x - e)) / (2 * h)
            coarse = (q.denoise(x + 2 * e) - q.denoise(x - 2 * e)) / (4 * h)
            tol = np.abs(coarse - fine) + 8 * EPS * (np.abs(q.denoise(x)).max() + np.abs(x).max()) / h
            on = f"derivative of the denoiser, {name}, sigma {sigma:.3g}"
            check.equal(fine, scale / sigma**2 * covariance[:, :, j], tol=tol, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The three parts of the formula."""
    law = GaussianMixture(WEIGHTS, MEANS[:, None], DEVIATIONS**2)
    scale, sigma = 0.6, 0.8
    y = scale * np.linspace(-3, 4, 40)
    exact, H = quadrature_variance(y, scale, sigma), law.noised(scale, sigma).hessian(y[:, None])[:, 0, 0]
    wrong = {
        "sigma^2 inside (sigma instead)": (sigma / scale) ** 2 * (1 + sigma * H),
        "1/scale^2 (1/scale instead)": sigma**2 / scale * (1 + sigma**2 * H),
        "the term I": (sigma / scale) ** 2 * sigma**2 * H,
    }
    for dropped, value in wrong.items():
        check.control(dropped, np.abs(value - exact), 1e-9, on="1-D mixture, scale .6, sigma .8")
