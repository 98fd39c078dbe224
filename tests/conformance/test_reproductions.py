"""The findings on other libraries, reproduced without our code; each cause is proven by a change that removes it.

A test fails when a library changes what is described here: then the finding is out of date.
"""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "reproductions"


def _script(name, library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    before = {
        key: sys.modules.get(key) for key in ("k_diffusion", "k_diffusion.utils", "k_diffusion.sampling", "torchdiffeq")
    }
    try:
        spec.loader.exec_module(module)
    finally:
        for key, value in before.items():
            sys.modules.pop(key, None)
            if value is not None:
                sys.modules[key] = value
    return module


def _order(error):
    """Order between 80 and 160 steps."""
    return math.log2(error(80) / error(160))


def test_third_order_of_diffusers():
    script = _script("third_order_multistep", "diffusers")
    assert 1.6 < _order(lambda n: script.error(script.DPMSolverMultistepScheduler, n)) < 2.2
    assert 2.7 < _order(lambda n: script.error(script.Doubled, n)) < 3.3


def test_third_order_of_diffusers_stochastic():
    script = _script("third_order_sde", "diffusers")
    assert 1.0 < _order(lambda n: script.error(script.DPMSolverMultistepScheduler, 3, n)) < 1.4
    assert 1.8 < _order(lambda n: script.error(script.DPMSolverMultistepScheduler, 2, n)) < 2.3
    assert 1.8 < _order(lambda n: script.error(script.Changed, 3, n)) < 2.3


def test_third_order_of_k_diffusion():
    script = _script("k_diffusion_third_order", "k_diffusion")
    assert script.error(40, None) == pytest.approx(script.error(40, 1.0), rel=1e-10)
    assert 1.7 < _order(lambda n: script.error(n, None)) < 2.2
    assert 2.6 < _order(lambda n: script.error(n, 2.0)) < 3.2


def test_ddim_steps_past_its_timesteps():
    script = _script("ddim_spacing", "diffusers")
    assert script.ratio(40, False) == pytest.approx(1.0, abs=1e-6)  # 40 divides 1000
    assert script.ratio(80, False) > 1.15
    assert script.ratio(160, False) > 1.15
    assert script.ratio(160, True) == pytest.approx(1.0, abs=1e-6)


def test_last_level_twice():
    script = _script("last_level_twice", "diffusers")
    levels, moved = script.last_step("sigma_min")
    assert levels[-1] == levels[-2]
    assert moved == 0.0
    assert script.last_step("zero")[1] > 0.0


def test_first_timesteps_equal():
    script = _script("first_timesteps_equal", "diffusers")
    with pytest.raises(IndexError):
        script.levels_used(False)
    assert script.levels_used(True) == list(range(20))


@pytest.mark.parametrize("settings", [{"solver_type": "bh1"}, {"lower_order_final": False}])
def test_unipc_to_level_zero(settings):
    script = _script("last_step_to_zero", "diffusers")
    assert not math.isfinite(script.last_state("zero", **settings))
    assert math.isfinite(script.last_state("sigma_min", **settings))


def test_third_order_at_a_step_of_length_zero():
    script = _script("third_order_last_step", "diffusers")
    assert math.isnan(script.last_state(False)[0])
    assert math.isfinite(script.last_state(True)[0])


def test_ddim_with_its_last_level_twice():
    script = _script("ddim_last_level_twice", "diffusers")
    assert script.last_step(0) == (0.0, 0)
    moved, timestep = script.last_step(1)
    assert moved > 1e-3
    assert timestep == 1


@pytest.mark.parametrize(("kind", "loss"), [("HeunDiscreteScheduler", 0.1), ("KDPM2DiscreteScheduler", 0.01)])
def test_float32_with_the_squared_cosine_table(kind, loss):
    script = _script("squared_cosine_float32", "diffusers")
    scheduler = getattr(script, kind)
    assert abs(script.moved(scheduler, 0)) > loss
    assert abs(script.moved(scheduler, 1)) < 1e-5


def test_ancestral_level_that_cancels():
    script = _script("ancestral_level_cancels", "diffusers")
    down, middle, right, right_middle = script.first_down(5)
    assert down == 0.0
    assert math.isnan(middle)
    assert right > 0
    assert math.isfinite(right_middle)
    down, _, right, _ = script.first_down(20)
    assert abs(down / right - 1) > 0.05
    assert script.first_down(160)[0] == pytest.approx(script.first_down(160)[2], rel=2e-3)


def test_first_level_below_the_second_one():
    script = _script("zero_snr_level", "diffusers")
    first, second = script.first_levels(320)
    assert first < second
    first, second = script.first_levels(320, 2**-28)
    assert first > second


def test_order_in_the_mean_step():
    """No finding: the order is below 1 in the number of steps and 2 in their mean length, as where every step gets finer."""
    script = _script("order_in_the_mean_step", "diffusers")
    for grid in ({}, {"use_exponential_sigmas": True}):
        error, length = script.ratios(160, **grid)
        assert (math.log2(error) < 1) == (not grid)
        assert math.log(error) / math.log(length) == pytest.approx(2.0, abs=0.3)
