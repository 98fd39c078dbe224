"""k-diffusion, smalldiffusion and plain functions: imports without their packages, Brownian noise, grids."""

import importlib.util
import sys

import numpy as np
import pytest

from exactdiffusion.conformance import conform, functions, measure
from exactdiffusion.conformance.adapters import k_diffusion, smalldiffusion
from exactdiffusion.conformance.subject import Unjudgeable


def _needs(library):
    if importlib.util.find_spec(library) is None or importlib.util.find_spec("torch") is None:
        pytest.skip(f"{library} is not installed")


def test_k_diffusion_is_imported_without_its_package():
    _needs("k_diffusion")
    before = set(sys.modules)
    subject = k_diffusion.subject("sample_heun")
    assert measure(subject, 10).levels.shape == (11, 2)
    left = {name for name in set(sys.modules) - before if name.partition(".")[0] in ("torchvision", "torchdiffeq")}
    assert not left or importlib.util.find_spec("torchvision")
    assert "k_diffusion" not in sys.modules or hasattr(sys.modules["k_diffusion"], "sampling")


def test_every_function_of_k_diffusion_is_known():
    _needs("k_diffusion")
    k_diffusion.subject("sample_euler")
    names = {name for name in dir(sys.modules["k_diffusion.sampling"]) if name.startswith("sample_")}
    assert names == {*k_diffusion.ORDERS, "sample_dpm_adaptive"}
    with pytest.raises(Unjudgeable, match="adapt"):
        k_diffusion.subject("sample_dpm_adaptive")


def test_brownian_increments_keep_the_order_of_a_stochastic_sampler():
    """Noise of overlapping intervals is correlated: answered independently, this sampler looks first order."""
    _needs("k_diffusion")
    report = conform("k_diffusion:sample_dpmpp_sde", steps=(20, 40, 80, 160), precisions=["float64"])
    assert report.code == 0
    assert report.of("order")[0].number > 1.8


def test_smalldiffusion_settings():
    _needs("smalldiffusion")
    assert conform("smalldiffusion:samples", steps=(10, 20, 40, 80), gam=2.0).code == 0
    with pytest.raises(Unjudgeable):
        smalldiffusion.subject("training_loop")


@pytest.mark.parametrize("grid", functions.GRIDS)
def test_grids_fall_and_have_their_ends(grid):
    for steps in (5, 10, 33):
        levels = functions.GRIDS[grid](steps)
        assert levels.shape == (steps + 1,)
        assert (np.diff(levels) < 0).all()
        assert levels[0] == pytest.approx(80.0)
        assert levels[-1] == (0.0 if grid == "karras_zero" else pytest.approx(0.02))


def test_alternating_grid_doubles_every_other_step():
    parts = np.diff(functions.alternating(8) ** (1 / 7))
    np.testing.assert_allclose(parts[::2], 2.0 * parts[1::2], rtol=1e-12)
