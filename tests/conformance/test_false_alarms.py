"""No false alarm on our samplers, nor on samplers of other libraries whose law independent code reproduces to 1e-10."""

import importlib.util

import pytest

from exactdiffusion import samplers
from exactdiffusion.conformance import judge, subject_of

OURS = [name for name, info in samplers.REGISTRY.items() if info.oracle == "denoise" and info.update is not None]

#: (target, settings, what independent code has its coefficients)
FOREIGN = [
    ("diffusers:DDIMScheduler", {"clip_sample": False}, "Euler (DDIM)"),
    ("diffusers:DDPMScheduler", {"clip_sample": False}, "ancestral (DDPM)"),
    ("diffusers:EulerDiscreteScheduler", {"use_karras_sigmas": True}, "Euler (DDIM)"),
    ("diffusers:EulerAncestralDiscreteScheduler", {}, "ancestral (DDPM)"),
    ("diffusers:HeunDiscreteScheduler", {"use_karras_sigmas": True}, "Heun"),
    ("diffusers:DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, "DPM-Solver++(2M)"),
    ("diffusers:DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, "DPM-Solver++(2M) SDE"),
    ("diffusers:DPMSolverSDEScheduler", {"use_karras_sigmas": True}, "DPM-Solver++ SDE"),
    ("diffusers:LMSDiscreteScheduler", {"use_karras_sigmas": True}, "Adams-Bashforth 4"),
    ("diffusers:EDMEulerScheduler", {}, "Euler (DDIM)"),
    ("diffusers:EDMDPMSolverMultistepScheduler", {}, "DPM-Solver++(2M)"),
    ("diffusers:CosineDPMSolverMultistepScheduler", {}, "DPM-Solver++(2M) SDE"),
    ("k_diffusion:sample_heun", {}, "Heun"),
    ("k_diffusion:sample_dpm_2", {}, "DPM-Solver-2"),
    ("k_diffusion:sample_dpmpp_2m", {}, "DPM-Solver++(2M)"),
    ("k_diffusion:sample_dpmpp_sde", {}, "DPM-Solver++ SDE"),
    ("k_diffusion:sample_dpmpp_2s_ancestral", {}, "DPM-Solver++(2S) ancestral"),
    ("smalldiffusion:samples", {}, "Euler (DDIM)"),
    ("smalldiffusion:samples", {"mu": 0.5}, "ancestral (DDPM)"),
]


@pytest.mark.parametrize("name", OURS)
def test_our_sampler_agrees(name):
    report = judge(subject_of(name))
    assert report.code == 0, report.table()


@pytest.mark.parametrize(("target", "settings", "known"), FOREIGN)
def test_reproduced_sampler_agrees(target, settings, known):
    library = target.partition(":")[0]
    if importlib.util.find_spec(library) is None or importlib.util.find_spec("torch") is None:
        pytest.skip(f"{library} is not installed")
    report = judge(subject_of(target, **settings))
    assert report.code == 0, report.table()
    assert report.resembles == known
    assert report.matches[0].distance <= 1e-10
