"""DDIM runs of the projection paper: on one atom and on a pair every number is known."""

import numpy as np
import pytest

from exactdiffusion import Grid, PointCloud
from exactdiffusion.papers.projection.trials import (
    ErrorsInTurn,
    expanded_denoiser,
    measure_run,
    points_near,
    run_trial,
)

ATOM = PointCloud(np.zeros((1, 4)))
X = np.array([[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]])
BETA = np.array([[0.5], [0.2]])


@pytest.mark.parametrize(("strategy", "sign", "side"), [("under", 1, 1), ("over", -1, 0)])
def test_a_trial_on_one_atom(strategy, sign, side):
    """d shrinks by 1 + beta (sign eta - 1) a step and sigma by 1 - beta, from sigma_N = d / (sqrt(n) start_ratio)."""
    trial = run_trial(ATOM, X, 0.1, 3.0, BETA, strategy, start_ratio=1.25)
    distance = np.array([2.0, 1.0]) * np.cumprod([1.0, *(1 + BETA[:, 0] * (sign * 0.1 - 1))])[:, None]
    sigma = np.array([2.0, 1.0]) / 2.5 * np.array([1.0, 0.5, 0.4])[:, None]
    np.testing.assert_allclose(trial.distance, distance, rtol=1e-14)
    np.testing.assert_allclose(trial.sigma, sigma, rtol=1e-14)
    np.testing.assert_allclose(trial.ratio, distance / (2 * sigma), rtol=1e-14)
    np.testing.assert_allclose(trial.band, np.maximum(trial.ratio, 1 / trial.ratio), rtol=1e-14)
    np.testing.assert_allclose(trial.products[side], distance[1:], rtol=1e-14)
    assert trial.worst_error == pytest.approx(1, rel=1e-12)
    assert trial.exits == 0


def test_a_trial_that_leaves_the_band():
    """Overshoots of .5 with steps of .5: the ratio is .5 at the second state, and the garbage outside nu = 1.5 follows."""
    trial = run_trial(ATOM, X, 0.5, 1.5, np.full((2, 1), 0.5), "over")
    assert trial.exits == 2
    np.testing.assert_allclose(trial.ratio[1], 0.5, rtol=1e-14)
    assert np.all(trial.distance[2] > 5 * trial.distance[1])
    assert run_trial(ATOM, X, 0.5, 1.5, np.full((2, 1), 0.5), "over", garbage=False).distance[2] == pytest.approx(
        [0.125, 0.0625]
    )


def test_a_worse_denoiser_than_it_is_said_to_be():
    trial = run_trial(ATOM, X, 0.1, 3.0, BETA, "under", true_eta=0.2)
    assert np.all(trial.distance[1:] > trial.products[1])


def test_a_measured_run():
    """Errors of prescribed sizes are measured as such, and the products of the undershoots are attained."""
    pair = PointCloud([[0.0], [10.0]])
    grid = Grid(np.ones(3), [1.0, 0.5, 0.4])
    run = measure_run(pair, grid, np.array([[2.0]]), ErrorsInTurn(pair, (0.3, 0.1), "under"))
    np.testing.assert_allclose(run.eta[:, 0], [0.3, 0.1], rtol=1e-12)
    np.testing.assert_allclose(run.distance[:, 0], [2.0, 1.3, 1.3 * 0.82], rtol=1e-14)
    np.testing.assert_allclose(run.states[:, 0, 0], run.distance[:, 0], rtol=1e-14)
    np.testing.assert_allclose(run.gap[:, 0], (10 - 2 * run.distance[:, 0]) / run.distance[:, 0], rtol=1e-14)
    np.testing.assert_allclose(run.products[1], run.distance[1:], rtol=1e-12)
    np.testing.assert_allclose(run.products_of(0 * run.eta)[1][:, 0], [1.0, 0.8], rtol=1e-14)
    assert run.usage[0] == pytest.approx(2.665)
    assert np.all(np.diff(run.tolerance[:, 0]) > 0)


def test_the_expanded_denoiser_is_the_ideal_one():
    rng = np.random.default_rng(3)
    cloud = PointCloud(rng.standard_normal((30, 8)))
    x = rng.standard_normal((20, 8))
    for sigma in (0.3, 2.0):
        exact = cloud.noised(1.0, sigma).denoise(x)
        np.testing.assert_allclose(expanded_denoiser(cloud).noised(1.0, sigma).denoise(x), exact, atol=1e-12)


def test_points_near_a_set():
    """Their distances spread over 0.3 to 300, up to the extent of the set."""
    distance = ATOM.distance(points_near(ATOM, np.random.default_rng(0), 1000))
    assert 10**-0.5 <= distance.min() < 0.4
    assert 250 < distance.max() <= 10**2.5
