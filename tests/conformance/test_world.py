"""The exact model of a Gaussian target, by kinds of prediction, libraries and levels."""

import importlib.util

import numpy as np
import pytest

from exactdiffusion.conformance import Target, World
from exactdiffusion.conformance.world import PREDICTIONS
from exactdiffusion.output_laws.coefficients import Probe

AIM = Target(np.array([0.3, -1.0, 2.0]), np.array([0.0, 0.7, 40.0]))
LEVELS = [(1.0, 80.0), (1.0, 0.02), (0.6, 0.8), (0.02, 0.9998), (0.0, 1.0)]


def _denoised(x, scale, sigma):
    """E[X | x] by the formula for two normal variables, written another way round: the mean plus gain times surprise."""
    gain = AIM.deviation**2 * scale / (scale**2 * AIM.deviation**2 + sigma**2)
    return AIM.mean + gain * (x - scale * AIM.mean)


@pytest.mark.parametrize("level", LEVELS)
def test_predictions_agree_with_the_denoiser(level):
    scale, sigma = level
    x = np.random.default_rng(0).normal(size=(5, 3)) * AIM.moments(scale, sigma)[1]
    world = World(AIM)
    clean = _denoised(x, scale, sigma)
    noise = (x - scale * clean) / sigma
    wanted = {
        "sample": clean,
        "epsilon": noise,
        "v_prediction": scale * noise - sigma * clean,
        "flow_prediction": noise - clean,
        "score": -noise / sigma,
    }
    assert set(wanted) == set(PREDICTIONS)
    for kind, value in wanted.items():
        np.testing.assert_allclose(world.predict(kind, x, sigma, scale), value, rtol=1e-9, atol=1e-9)
    assert world.calls == [level] * len(PREDICTIONS)


def test_level_zero_returns_the_state_and_no_noise():
    world, x = World(AIM), np.array([[0.3, 5.0, -7.0]])
    np.testing.assert_array_equal(world.denoise(x, 0.0), x)
    np.testing.assert_array_equal(world.predict("epsilon", x, 0.0)[:, 1:], 0.0)


def test_levels_that_differ_between_rows_are_refused():
    with pytest.raises(ValueError, match="one finite level"):
        World(AIM).denoise(np.zeros((2, 3)), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="kind"):
        World(AIM).predict("noise", np.zeros((2, 3)), 1.0)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_torch_answers_in_the_precision_of_x_and_noise_is_answered(precision):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    world = World(AIM, "torch", precision, probe=Probe([None, None]))
    x = world.start(1.0, 80.0)
    assert x.dtype == getattr(torch, precision)
    original = torch.randn
    with world.torch_noise():
        z = torch.randn_like(x)
        y = torch.randn(x.shape, dtype=x.dtype)
    assert torch.randn is original
    assert z[2:4].tolist() == [[1.0] * 3, [0.0] * 3]
    assert y[2:4].tolist() == [[0.0] * 3, [1.0] * 3]
    assert world.denoise(x, torch.tensor(2.0)).dtype == x.dtype


def test_wide_tables_end_with_the_block():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    with World(AIM, "torch", widen=True).wide():
        assert torch.float32 is torch.float64
        assert torch.linspace(0, 1, 3).dtype == torch.float64
    assert torch.float32 is not torch.float64
    assert torch.get_default_dtype() == torch.float32
