"""Laws at the ends of the range of floats: the same answer in any unit, the prior mean at scale 0, no NaN."""

import array_api_strict
import numpy as np
import pytest

from exactdiffusion._core.arrays import to_numpy
from exactdiffusion.laws import GaussianMixture, PointCloud, Sphere, Subspace, Torus

EPS = float(np.finfo(float).eps)
rng = np.random.default_rng(4)
BASIS = np.eye(4, 2)
LAWS = {
    "cloud-1d": PointCloud([[0.0], [1.0], [5.0]]),
    "cloud": PointCloud(rng.normal(size=(20, 6))),
    "full": GaussianMixture(None, np.eye(3), [np.diag([1.0, 2.0, 3.0]), np.eye(3), np.ones((3, 3)) + np.eye(3)]),
    "atoms": GaussianMixture([0.2, 0.3, 0.5], np.eye(3), 0.0),
    "singular": GaussianMixture([0.2, 0.8], np.eye(2, 3), [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
    "sphere": Sphere(1.5, 4, 3, center=[0.5, 0.0, 0.0, 1.0]),
    "torus": Torus([1.0, 0.5], 5),
    "subspace": Subspace(BASIS, [1.0, 0.0, 0.0, 2.0], [[2.0, 0.3], [0.3, 0.5]]),
    "flat": Subspace(BASIS, [1.0, 0.0, 0.0, 2.0]),
}
PROPER = [name for name in LAWS if name != "flat"]


def queries(law, n=9):
    return 2.0 * np.random.default_rng(1).normal(size=(n, law.dim))


@pytest.mark.parametrize("unit", [2.0**-480, 2.0**-490, 2.0**-300, 2.0**300, 2.0**490])
@pytest.mark.parametrize("name", LAWS)
def test_a_posterior_does_not_depend_on_the_unit(name, unit):
    """x, scale and sigma times a power of 2: the same floats, as long as no square leaves the range."""
    law = LAWS[name]
    x = queries(law)
    for sigma in (0.0, 0.03, 1.0, 20.0):
        for method in ("denoise", "posterior_covariance"):
            here = getattr(law.noised(0.7, sigma), method)(x)
            there = getattr(law.noised(0.7 * unit, sigma * unit), method)(x * unit)
            assert np.array_equal(here, there)


@pytest.mark.parametrize("sigma", [1e-300, 1e-141, 1.0, 1e150])
@pytest.mark.parametrize("name", PROPER)
def test_scale_zero_is_the_prior_at_every_sigma(name, sigma):
    law = LAWS[name]
    far = np.vstack([queries(law), np.full((1, law.dim), 1e150), np.zeros((1, law.dim))])
    # A sum over at most 20 atoms or components of size at most 5.
    tol = 64 * EPS * 5
    assert np.abs(law.noised(0.0, sigma).denoise(far) - law.mean).max() <= tol
    assert np.abs(law.noised(0.0, sigma).posterior_covariance(far) - law.covariance).max() <= 5 * tol


def test_sigma_is_compared_with_scale_and_not_with_a_number():
    law = LAWS["cloud-1d"]
    assert law.noised(0.0, 1e-141).denoise([[0.0]]) == pytest.approx(2.0, abs=16 * EPS)
    assert law.noised(1e-150, 1e-141).denoise([[0.0]]) == pytest.approx(2.0, abs=1e-8)  # 2 - 14/3 (scale/sigma)^2 ...
    assert np.array_equal(LAWS["sphere"].noised(0.0, 1e-141).denoise(np.ones((1, 4))), [LAWS["sphere"].mean])
    # A law of size 1e-145 under sigma = 1e-145 is that of size 1 under sigma 1.
    tiny = PointCloud(2.0**-482 * law.points)
    x = np.array([[2.0], [-1.0], [4.0]])
    assert np.array_equal(tiny.noised(1.0, 2.0**-482).denoise(2.0**-482 * x), 2.0**-482 * law.noised(1.0, 1.0).denoise(x))
    # Far below it: the projection.
    assert np.array_equal(tiny.noised(1.0, 1e-300).denoise(2.0**-482 * x), tiny.project(2.0**-482 * x))


def test_levels_of_rows_are_judged_row_by_row():
    law = LAWS["cloud-1d"]
    scale, sigma = np.array([0.0, 1.0, 1e-145, 1.0]), np.array([1e-141, 1e-160, 1e-145, 1.0])
    x = np.array([[0.0], [0.9], [2e-145], [2.0]])
    out = law.noised(scale, sigma).denoise(x)
    alone = [law.noised(s, t).denoise(row[None])[0] for s, t, row in zip(scale, sigma, x, strict=True)]
    assert np.array_equal(out, alone)
    assert out[1] == 1.0
    assert out[2] == pytest.approx(out[3], rel=8 * EPS)
    for name in PROPER:
        law = LAWS[name]
        x = queries(law, 4) * np.maximum(scale, 1e-145)[:, None]
        strict = law.noised(scale, sigma).denoise(array_api_strict.asarray(x))
        assert np.abs(to_numpy(strict) - law.noised(scale, sigma).denoise(x)).max() <= 64 * EPS * 5


@pytest.mark.parametrize("name", PROPER)
def test_large_levels_are_finite_and_right(name):
    """At sigma = 1e150 a law of size 1 is a point: Gaussian density, score -x / sigma^2, prior moments."""
    law = LAWS[name]
    x = 1e150 * np.clip(queries(law), -1, 1)
    q = law.noised(1.0, 1e150)
    expected = -0.5 * np.sum((x / 1e150) ** 2, axis=1) - law.dim * (np.log(1e150) + 0.5 * np.log(2 * np.pi))
    assert np.abs(q.log_density(x) - expected).max() <= 16 * EPS * np.abs(expected).max()
    assert np.abs(q.score(x) * 1e150 + x / 1e150).max() <= 16 * EPS
    assert np.abs(q.denoise(x) - law.mean).max() <= 64 * EPS * 5
    assert np.abs(q.posterior_covariance(x) - law.covariance).max() <= 64 * EPS * 25
    assert np.isfinite(q.hessian(x)).all()
    assert np.isfinite(q.covariance).all()


@pytest.mark.parametrize("size", [1e5, 1e17, 1e30, 1e100, 1e150])
@pytest.mark.parametrize("d", [1, 2, 3, 6, 20])
def test_projection_and_denoiser_agree_however_far_the_query(d, size):
    """Squared distances of far queries round to equal numbers; what tells atoms apart is their extent along x."""
    draw = np.random.default_rng(d)
    cloud, x = PointCloud(draw.normal(size=(50, d))), draw.normal(size=(20, d))
    x *= size / np.abs(x).max()
    assert np.array_equal(cloud.project(x), cloud.noised(1.0, 0.01).denoise(x))
    assert np.array_equal(cloud.project(x), cloud.noised(1.0, 0.0).denoise(x))
    if size >= 1e30:  # the nearest atom is the outermost one in the direction of x
        assert np.array_equal(cloud.nearest(x)[0], np.argmax((x / size) @ cloud.points.T, axis=1))


def test_diameter_of_the_largest_cloud():
    cloud = PointCloud(1e150 * np.vstack([np.eye(6), -np.eye(6)]))
    assert cloud.diameter == pytest.approx(2e150, rel=8 * EPS)
