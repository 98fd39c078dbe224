"""Instances of the many-measurements checks: random mixtures with their posteriors by sequential assimilation.

The reference takes the measurements one at a time, component by component, by the Kalman update in Joseph form, and never
forms their mean: another algorithm than the library's, which notes the mean and noises the law once.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from exactdiffusion import GaussianMixture


def assimilate(weights, means, covariances, y, sigma):
    """Posterior mixture (weights, means, covariances) and log p(y_1..y_m), one measurement at a time; y (m, d)."""
    K, d = means.shape
    with np.errstate(divide="ignore"):  # a weight may be 0 after many measurements
        log_w = np.log(weights)
    mu, P = means.copy(), covariances.copy()
    eye = np.eye(d)
    for row in y:
        for k in range(K):
            S = P[k] + sigma**2 * eye
            gain = np.linalg.solve(S, P[k]).T
            innovation = row - mu[k]
            log_w[k] -= 0.5 * (innovation @ np.linalg.solve(S, innovation) + np.linalg.slogdet(2 * np.pi * S)[1])
            mu[k] = mu[k] + gain @ innovation
            P[k] = (eye - gain) @ P[k] @ (eye - gain).T + sigma**2 * gain @ gain.T
    top = log_w.max()
    w = np.exp(log_w - top)
    return w / w.sum(), mu, P, top + np.log(w.sum())


def moments(weights, means, covariances):
    """Mean and covariance of a mixture."""
    mean = weights @ means
    spread = means - mean
    return mean, np.tensordot(weights, covariances, 1) + (weights[:, None] * spread).T @ spread


def instance(rng):
    """A random mixture in d <= 6 (scale 1e-2 .. 1e2, some components on lines or atoms), noise and m <= 49 measurements."""
    d, K, m = int(rng.integers(1, 7)), int(rng.integers(1, 6)), int(np.ceil(49 ** rng.uniform(0, 1)))
    scale = 10.0 ** rng.uniform(-2, 2)
    sigma = scale * 10.0 ** rng.uniform(-1.5, 1.5)
    weights = rng.dirichlet(np.ones(K))
    means = scale * rng.standard_normal((K, d))
    root = scale * 10.0 ** rng.uniform(-1, 0.3) * rng.standard_normal((K, d, d)) / np.sqrt(d)
    for k in range(K):
        kind = rng.integers(5)
        if kind == 0:
            root[k] = 0.0  # an atom
        elif kind == 1:
            root[k, :, : d - 1] = 0.0  # on a line
    covariances = root @ np.swapaxes(root, 1, 2)
    k = rng.choice(K, p=weights)
    x = means[k] + root[k] @ rng.standard_normal(d)
    y = x + sigma * rng.standard_normal((m, d))
    if rng.uniform() < 0.15:
        y += 10 * scale * rng.standard_normal(d)  # measurements far from every component
    law = GaussianMixture(weights, means, covariances)
    before = assimilate(weights, means, covariances, y[:-1], sigma)
    w, mu, P, last = assimilate(*before[:3], y[-1:], sigma)
    mean, covariance = moments(w, mu, P)
    return SimpleNamespace(
        law=law,
        sigma=sigma,
        m=m,
        d=d,
        y=y,
        total=y.sum(axis=0)[None],
        before=before,
        mean=mean,
        covariance=covariance,
        log_p=before[3] + last,
        size=np.max(np.abs(y)) + np.max(np.abs(means)),
    )


@pytest.fixture(scope="session")
def measured():
    """200 random instances."""
    rng = np.random.default_rng(40)
    return [instance(rng) for _ in range(200)]


@pytest.fixture(scope="session")
def kalman():
    """The functions themselves."""
    return SimpleNamespace(assimilate=assimilate, moments=moments)
