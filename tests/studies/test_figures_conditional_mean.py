"""The complex-valued stand-in of the conditional-mean figures: its real form, its law, its seed."""

import math

import numpy as np

from exactdiffusion.laws.base import EPS
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.studies import figures

STAND_IN = figures.experiments()["nmse_stand_ins"]


def real(z):
    return np.concatenate([z.real, z.imag], axis=1)


def complex_rows(x):
    half = x.shape[1] // 2
    return x[:, :half] + 1j * x[:, half:]


def test_real_form_of_a_circular_law(chance):
    """The Wiener filter in complex arithmetic, noise variance eta^2 an entry: real sigma = eta / sqrt(2)."""
    rng = np.random.default_rng(11)
    A = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    C, mu = A @ A.conj().T, rng.standard_normal(3) + 1j * rng.standard_normal(3)
    law = STAND_IN.circular([1.0], mu[None], C[None])
    eta2, y = 0.4, rng.standard_normal((4, 3)) + 1j * rng.standard_normal((4, 3))
    wiener = mu + (y - mu) @ (C @ np.linalg.inv(C + eta2 * np.eye(3))).T
    error = lambda law: np.max(np.abs(complex_rows(cm.cme(law, real(y), math.sqrt(eta2 / 2))) - wiener))  # noqa: E731
    assert error(law) <= 1e-12
    # control: without the half of the real form, and without one sign
    assert error(STAND_IN.circular([1.0], mu[None], 2 * C[None])) > 1e-3
    assert error(STAND_IN.circular([1.0], mu[None], C.conj()[None])) > 1e-3

    draw = chance(comparisons=24)
    draws = complex_rows(law.sample(60_000, draw.rng(12))) - mu
    i, j = np.triu_indices(3)
    for other, expected, name in ((draws.conj(), C[i, j], "E z z*"), (draws, 0 * C[i, j], "E z z^T")):
        products = draws[:, i] * other[:, j]
        draw.mean(products.real, expected.real, on=f"{name}, real part", tol=EPS)
        draw.mean(products.imag, expected.imag, on=f"{name}, imaginary part", tol=EPS)


def test_stand_in_of_speech():
    law = STAND_IN.synthetic_complex(4, 6, seed=2)
    assert law.dim == 12
    assert abs(np.trace(law.covariance) - 6) < 1e-12
    assert np.max(np.abs(law.mean)) == 0
    again, other = STAND_IN.synthetic_complex(4, 6, seed=2), STAND_IN.synthetic_complex(4, 6, seed=3)
    assert np.array_equal(law.covariances, again.covariances)
    assert not np.any(np.diagonal(law.covariances, axis1=1, axis2=2) == np.diagonal(other.covariances, axis1=1, axis2=2))
    y = law.sample(30, np.random.default_rng(5)) + 0.5 * np.random.default_rng(6).standard_normal((30, 12))
    value = float(cm.excess(law, cm.denoise(law, cm.refined_grid(30, 0.5), y, 0.5), y, 0.5))
    assert value > 1e-4  # a scale mixture: not Gaussian
