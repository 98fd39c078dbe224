"""Schedulers of diffusers: every prediction type gives one law, and what cannot be judged says why."""

import importlib.util
import inspect

import numpy as np
import pytest

if importlib.util.find_spec("diffusers") is None:
    pytest.skip("diffusers is not installed", allow_module_level=True)

import diffusers as library

from exactdiffusion.conformance import conform, measure
from exactdiffusion.conformance.adapters import diffusers
from exactdiffusion.conformance.subject import Unjudgeable


@pytest.mark.parametrize("name", diffusers.FAMILIES)
def test_prediction_types_give_one_law(name):
    """For PNDM the average of several predictions makes them different methods; it is left out."""
    known = inspect.signature(getattr(library, name).__init__).parameters
    base = {"clip_sample": False} if "clip_sample" in known else {}
    if "prediction_type" not in known or name == "PNDMScheduler":
        pytest.skip("one prediction type, or one method per type")
    laws = []
    for kind in ("epsilon", "v_prediction", "sample"):
        try:
            found = measure(diffusers.subject(name, prediction_type=kind, **base), 10)
        except (NotImplementedError, ValueError):
            continue  # refused by the library
        laws.append(np.stack([found.mean[-1], found.deviation[-1]]))
    assert len(laws) >= 2
    for law in laws[1:]:
        np.testing.assert_allclose(law, laws[0], rtol=1e-8, atol=1e-9)


def test_every_scheduler_is_known():
    """A new scheduler of the library needs a family or a reason."""
    names = {name for name in dir(library) if name.endswith("Scheduler")} - {"ScoreSdeVpScheduler"}
    assert names <= set(diffusers.FAMILIES) | set(diffusers.REFUSED)


@pytest.mark.parametrize("name", diffusers.REFUSED)
def test_refused_schedulers_say_why(name):
    report = conform(f"diffusers:{name}")
    assert report.code == 2
    assert name in report.verdicts[0].text


def test_settings_that_the_library_refuses():
    with pytest.raises(Unjudgeable, match="refuses"):
        diffusers.subject("DPMSolverMultistepScheduler", solver_type="nothing of this name")
    with pytest.raises(ValueError, match=r"set: got 'solver_ordr'; expected a setting of .*solver_order.*step_"):
        diffusers.subject("DPMSolverMultistepScheduler", solver_ordr=3)


def test_clipping_is_judged_where_it_is_idle():
    report = conform("diffusers:DDIMScheduler", steps=(10, 20, 40, 80))
    assert report.code == 0
    assert "not affine at all scales" in report.of("affine")[0].text


def test_thresholding_cannot_be_judged():
    report = conform("diffusers:DDIMScheduler", steps=(10, 20, 40), clip_sample=False, thresholding=True)
    assert report.code == 2
