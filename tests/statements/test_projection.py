"""Formulas of the projection paper: limits, shapes, refusals (their truth is the business of theory/projection)."""

import math

import numpy as np
import pytest

from exactdiffusion.statements import foundations, projection

EPS = np.finfo(np.float64).eps


def test_boundary_schedules_are_admissible_and_a_little_more_is_not():
    for eta in (0.02, 0.5, 0.99):
        for nu in (1.05, 3.0, 100.0):
            for N in (1, 10, 300):
                beta = np.full(N, projection.beta_star(eta, nu, N))
                assert projection.is_admissible(beta, eta, nu)
                assert not projection.is_admissible(beta * (1 + 1e-6), eta, nu)
                assert math.isclose(projection.smallest_admissible_nu(beta, eta), nu, rel_tol=1e-12)
                assert math.isclose(projection.largest_admissible_eta(beta, nu), eta, rel_tol=1e-9)


def test_sandwich_pairs_values_with_trajectories_not_with_steps():
    beta, distance, eta = np.full(3, 0.2), np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3])
    low, high = projection.ddim_distance_sandwich(distance, beta, eta)
    assert low.shape == high.shape == (3, 3)
    for j in range(3):
        one = projection.ddim_distance_sandwich(distance[j], beta, eta[j])
        assert np.array_equal(low[:, j], one[0])
        assert np.array_equal(high[:, j], one[1])


def test_two_negative_factors_are_not_a_lower_bound():
    low, _ = projection.ddim_distance_sandwich(1.0, [0.95, 0.95], 0.5)
    assert np.array_equal(low, [0.0, 0.0])


def test_limits():
    assert projection.near_set_radius_exact(1.0, 0.0, 10, 0.5) == 1.0
    tiny = projection.near_set_radius(1.0, 1.0, 10, 2.0**-1074)  # 10 over the least float overflows
    assert tiny == pytest.approx(1 + 2 * (math.exp(-1) + math.log(10) + 1074 * math.log(2)), rel=4 * 2.0**-52)
    h = np.array([[0.5, 2.0]])
    assert projection.half_smoothed_distance(h, 0.0)[0] == 0.5
    assert projection.band_usage(np.array([0.0]), 0.0, 4)[0] == 1.0
    assert projection.band_ok(np.array([0.0]), 0.0, 4, 1.0)[0]
    assert projection.band_usage(np.array([1.0]), 0.0, 4)[0] == np.inf
    error, low, high = projection.oracle_denoising(1.0, 0.0, 1.5, 1.0)
    assert (error, low, high) == (np.inf, 0.0, np.inf), "beyond the reach nothing is claimed"


@pytest.mark.parametrize("n", [2, 3])
def test_one_level_per_row(n):
    rng = np.random.default_rng(0)
    x, score, scale, sigma = rng.random((n, 3)), rng.random((n, 3)), rng.random(n) + 1, rng.random(n) + 1
    h = rng.random((n, 3, 3))
    mean = foundations.tweedie_denoiser(x, score, scale, sigma)
    covariance = foundations.tweedie_covariance(h, scale, sigma)
    smooth = projection.smoothed_distance_hessian(h, sigma)
    for i in range(n):
        row = slice(i, i + 1)
        assert np.array_equal(mean[row], foundations.tweedie_denoiser(x[row], score[row], scale[i], sigma[i]))
        assert np.array_equal(covariance[row], foundations.tweedie_covariance(h[row], scale[i], sigma[i]))
        assert np.array_equal(smooth[row], projection.smoothed_distance_hessian(h[row], sigma[i]))


BAD = {
    "beta above 1": ("beta", lambda: projection.is_admissible([0.1, 1.2], 0.1, 2.0)),
    "beta negative": ("beta", lambda: projection.admissibility([-0.1], 0.1, 2.0)),
    "beta NaN": ("beta", lambda: projection.is_admissible([math.nan], 0.1, 2.0)),
    "beta empty": ("beta", lambda: projection.is_admissible([], 0.1, 2.0)),
    "eta one": ("eta", lambda: projection.is_admissible([0.1], 1.0, 2.0)),
    "eta negative": ("eta", lambda: projection.beta_star(-0.1, 2.0, 3)),
    "eta NaN": ("eta", lambda: projection.beta_star(math.nan, 2.0, 3)),
    "nu below 1": ("nu", lambda: projection.beta_star(0.1, 0.5, 3)),
    "nu infinite": ("nu", lambda: projection.beta_star(0.1, math.inf, 3)),
    "N zero": ("N", lambda: projection.beta_star(0.1, 2.0, 0)),
    "N float": ("N", lambda: projection.beta_star(0.1, 2.0, 3.0)),
    "start ratio": ("start_ratio", lambda: projection.beta_star(0.1, 2.0, 3, 2.5)),
    "eta per step": ("eta", lambda: projection.ddim_distance_sandwich(1.0, np.full((3, 2), 0.1), np.full((3, 2), 0.1))),
    "distance length": ("distance", lambda: projection.ddim_distance_sandwich(np.ones(4), np.full((3, 2), 0.1), 0.1)),
    "sigma not to 0": ("sigma", lambda: foundations.ddim_gaussian_deviation([20.0, 1.0], 0.7)),
    "sigma increasing": ("sigma", lambda: foundations.ddim_gaussian_deviation([1.0, 2.0, 0.0], 0.7)),
    "near set eta": ("eta", lambda: projection.near_set_radius(1.0, 1.0, 10, 0.0)),
}


@pytest.mark.parametrize("case", BAD)
def test_refusals_name_the_argument(case):
    name, call = BAD[case]
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()
