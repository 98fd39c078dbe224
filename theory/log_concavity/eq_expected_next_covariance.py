"""The posterior mean is a martingale, and the mean posterior covariance falls by its movement (slides; form derived).

Suppose that

    (H1)  the expectation is over the next measurement,
    (H2)  whose law is the predictive one, given y_1, ..., y_m.

Then

    E[Xhat_{m+1} | y_1, ..., y_m]  =  Xhat_m,
    E[C_{m+1} | y_1, ..., y_m]     =  C_m - Cov(Xhat_{m+1} | y_1, ..., y_m)  <=  C_m.

Measured on mixtures and point clouds on a line and in the plane, by Gauss-Hermite rules on the predictive mixture.
"""

from typing import NamedTuple

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.expected_next_covariance.statement


def expectation(law, total, m, sigma, f, order):
    """`Expectation` of f(y_{m+1}) under the predictive mixture: product Gauss-Hermite on every component."""
    q = measurements.predictive_mixture(law, total, m, sigma)
    d, covariances = q.dim, q.covariances
    if np.ndim(covariances) < 2:
        covariances = np.broadcast_to(np.reshape(covariances, (-1, 1, 1)) * np.eye(d), (q.n_components, d, d))

    results = []
    for n in (order, order + 12):
        nodes, weights = np.polynomial.hermite_e.hermegauss(n)
        grid = np.stack(np.meshgrid(*[nodes] * d), axis=-1).reshape(-1, d)
        weight = np.prod(np.stack(np.meshgrid(*[weights / weights.sum()] * d), axis=-1).reshape(-1, d), axis=1)
        value = 0.0
        for p, mean, C in zip(q.weights, q.means, covariances):
            value = value + p * np.tensordot(weight, f(mean + grid @ np.linalg.cholesky(C).T), axes=1)
        results.append(value)
    return Expectation(results[1], np.max(np.abs(results[1] - results[0])))


def cases():
    """Name, law, sigma and number of Gauss-Hermite nodes of one axis."""
    rng = np.random.default_rng(60)
    root = rng.standard_normal((3, 2, 2))
    yield "mixture on a line", GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.2]]), np.array([0.1, 0.5])), 1.0, 80
    yield "cloud on a line", PointCloud(np.array([[-1.0], [0.3], [1.0]])), 1.2, 80
    plane = GaussianMixture([0.2, 0.3, 0.5], rng.standard_normal((3, 2)), root @ np.swapaxes(root, 1, 2))
    yield "mixture in the plane", plane, 1.5, 40
    # a cloud as a mixture of variance 0: faster for many rows and few atoms
    yield "cloud in the plane", GaussianMixture(None, rng.standard_normal((6, 2)), 0.0), 1.5, 40


class Expectation(NamedTuple):
    """An expectation, and its change when every axis gets 12 nodes more."""

    value: np.ndarray
    error: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [c[0] for c in cases()])
def test_equalities(check, name):
    """The mean and the covariance after one more measurement, for 1, 2 and 6 measurements before."""
    law, sigma, order = {c[0]: c[1:] for c in cases()}[name]
    rng, cause = np.random.default_rng(61), "remainder: change of the Gauss-Hermite sum with 12 more nodes, and 1e-13"
    for m in (1, 2, 6):
        total = m * law.sample(1, rng) + sigma * np.sqrt(m) * rng.standard_normal((1, law.dim))

        def jump(y, total=total, m=m):
            return measurements.posterior_mean(law, total + y, m + 1, sigma)

        def square(y, jump=jump):
            return jump(y)[:, :, None] * jump(y)[:, None, :]

        def next_covariance(y, total=total, m=m):
            return measurements.posterior_covariance(law, total + y, m + 1, sigma)

        mean, second, average = (expectation(law, total, m, sigma, f, order) for f in (jump, square, next_covariance))
        now = measurements.posterior_mean(law, total, m, sigma)[0]
        check.equal(mean.value, now, tol=mean.error + 1e-13, cause=cause, on=f"E Xhat_(m+1) = Xhat_m, {name}, m = {m}")

        C = measurements.posterior_covariance(law, total, m, sigma)[0]
        formula = bound.expected_next_covariance(C, second.value - np.outer(mean.value, mean.value))
        tol = second.error + average.error + 1e-13
        check.equal(average.value, formula, tol=tol, cause=cause, on=f"E C_(m+1), {name}, m = {m}")
        smallest, on = np.linalg.eigvalsh(C - average.value)[0], f"E C_(m+1) <= C_m, {name}, m = {m}"
        check.holds(0.0, smallest, tol=average.error + 1e-13, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Every next measurement, another law of it, and a mean that does not move."""
    law, sigma, total, on = PointCloud(np.array([[-1.0], [0.3], [1.0]])), 1.2, np.array([[0.9]]), "three points, m = 1"
    C = measurements.posterior_covariance(law, total, 1, sigma)[0, 0, 0]

    def next_covariance(y):
        return measurements.posterior_covariance(law, total + y, 2, sigma)

    # (H1) for some next measurements the covariance grows
    after = next_covariance(np.linspace(-4, 4, 801)[:, None])[:, 0, 0]
    check.control("the expectation (for every next measurement)", after, C, on=on)

    # (H2) the law of the first measurement
    jump = lambda y: measurements.posterior_mean(law, total + y, 2, sigma)  # noqa: E731
    unconditional = expectation(law, total, 0, sigma, jump, 80).value
    xhat = measurements.posterior_mean(law, total, 1, sigma)
    check.control("the predictive law (the unconditional one)", np.abs(unconditional - xhat[0]), 1e-6, on=on)

    average = expectation(law, total, 1, sigma, next_covariance, 80).value
    check.control("the movement of the mean (E C_(m+1) = C_m)", abs(C - average[0, 0]), 1e-6, on=on)
