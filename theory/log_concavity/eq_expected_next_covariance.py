"""The posterior mean is a martingale, and the mean posterior covariance falls by its movement (slides; form derived).

Suppose that

    (H1)  the expectation is over the next measurement,
    (H2)  whose law is the predictive one, given y_1, ..., y_m.

Then

    E[Xhat_{m+1} | y_1, ..., y_m]  =  Xhat_m,
    E[C_{m+1} | y_1, ..., y_m]     =  C_m - Cov(Xhat_{m+1} | y_1, ..., y_m)  <=  C_m.

Measured on mixtures and point clouds on a line and in the plane, by Gauss-Hermite rules on the predictive mixture.
"""

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.expected_next_covariance.statement


def expectation(law, total, m, sigma, f, order):
    """E f(y_{m+1}) under the predictive mixture: product Gauss-Hermite on every component; also with fewer nodes."""
    q = measurements.predictive_mixture(law, total, m, sigma)
    d = q.dim
    covariances = (
        np.broadcast_to(np.reshape(q.covariances, (-1, 1, 1)) * np.eye(d), (q.n_components, d, d))
        if (np.ndim(q.covariances) < 2)
        else q.covariances
    )
    results = []
    for n in (order, order + 12):
        z, w = np.polynomial.hermite_e.hermegauss(n)
        Z = np.stack(np.meshgrid(*[z] * d), axis=-1).reshape(-1, d)
        W = np.prod(np.stack(np.meshgrid(*[w / w.sum()] * d), axis=-1).reshape(-1, d), axis=1)
        value = 0.0
        for p, mu, C in zip(q.weights, q.means, covariances):
            g = f(mu + Z @ np.linalg.cholesky(C).T)
            value = value + p * np.tensordot(W, g, axes=1)
        results.append(value)
    return results[1], np.max(np.abs(results[1] - results[0]))


def cases():
    rng = np.random.default_rng(60)
    root = rng.standard_normal((3, 2, 2))
    yield "mixture on a line", GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.2]]), np.array([0.1, 0.5])), 1.0, 80
    yield "cloud on a line", PointCloud(np.array([[-1.0], [0.3], [1.0]])), 1.2, 80
    yield (
        "mixture in the plane",
        GaussianMixture([0.2, 0.3, 0.5], rng.standard_normal((3, 2)), root @ np.swapaxes(root, 1, 2)),
        1.5,
        40,
    )
    # a cloud as a mixture of variance 0: faster for many rows and few atoms
    yield "cloud in the plane", GaussianMixture(None, rng.standard_normal((6, 2)), 0.0), 1.5, 40


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [c[0] for c in cases()])
def test_equalities(check, name):
    law, sigma, order = {c[0]: c[1:] for c in cases()}[name]
    rng = np.random.default_rng(61)
    for m in (1, 2, 6):
        total = m * law.sample(1, rng) + sigma * np.sqrt(m) * rng.standard_normal((1, law.dim))

        def jump(y, total=total, m=m):
            return measurements.posterior_mean(law, total + y, m + 1, sigma)

        def square(y, jump=jump):
            a = jump(y)
            return a[:, :, None] * a[:, None, :]

        def next_covariance(y, total=total, m=m):
            return measurements.posterior_covariance(law, total + y, m + 1, sigma)

        now = measurements.posterior_mean(law, total, m, sigma)[0]
        C = measurements.posterior_covariance(law, total, m, sigma)[0]
        mean, e1 = expectation(law, total, m, sigma, jump, order)
        second, e2 = expectation(law, total, m, sigma, square, order)
        average, e3 = expectation(law, total, m, sigma, next_covariance, order)
        moved = second - np.outer(mean, mean)
        cause = "remainder: change of the Gauss-Hermite sum with 12 more nodes, and 1e-13"
        check.equal(mean, now, tol=e1 + 1e-13, cause=cause, on=f"E Xhat_(m+1) = Xhat_m, {name}, m = {m}")
        on = f"E C_(m+1), {name}, m = {m}"
        check.equal(average, bound.expected_next_covariance(C, moved), tol=e2 + e3 + 1e-13, cause=cause, on=on)
        smallest = np.linalg.eigvalsh(C - average)[0]
        check.holds(0.0, smallest, tol=e3 + 1e-13, cause=cause, on=f"E C_(m+1) <= C_m, {name}, m = {m}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    law, sigma = PointCloud(np.array([[-1.0], [0.3], [1.0]])), 1.2
    total = np.array([[0.9]])
    C = measurements.posterior_covariance(law, total, 1, sigma)[0, 0, 0]
    y = np.linspace(-4, 4, 801)[:, None]
    after = measurements.posterior_covariance(law, total + y, 2, sigma)[:, 0, 0]
    check.control("the expectation (for every next measurement)", after, C, on="three points, m = 1")
    mean, _ = expectation(law, total, 1, sigma, lambda y: measurements.posterior_mean(law, total + y, 2, sigma), 80)
    average, _ = expectation(law, total, 1, sigma, lambda y: measurements.posterior_covariance(law, total + y, 2, sigma), 80)
    check.control("the movement of the mean (E C_(m+1) = C_m)", abs(C - average[0, 0]), 1e-6, on="three points, m = 1")
    unconditional, _ = expectation(law, total, 0, sigma, lambda y: measurements.posterior_mean(law, total + y, 2, sigma), 80)
    xhat = measurements.posterior_mean(law, total, 1, sigma)[0]
    check.control("the predictive law (the unconditional one)", np.abs(unconditional - xhat), 1e-6, on="three points, m = 1")
