"""Functions of the library k-diffusion: ``sample_*(model, x, sigmas)``."""

import inspect
from typing import Any

import numpy as np

from ..subject import Subject, Unjudgeable
from ..world import World
from . import plain
from ._stubs import module_without_init

__all__ = ["ORDERS", "subject"]

ABSENT = ("torchvision", "torchvision.transforms", "torchdiffeq", "PIL", "PIL.Image", "scipy.integrate")

#: function -> declared order of the law (order of the deterministic method; 1 for stochastic ones)
ORDERS = {
    "sample_euler": 1,
    "sample_euler_ancestral": 1,
    "sample_heun": 2,
    "sample_dpm_2": 2,
    "sample_dpm_2_ancestral": 1,
    "sample_lms": 4,
    "sample_dpm_fast": None,
    "sample_dpmpp_2s_ancestral": 1,
    "sample_dpmpp_sde": 1,
    "sample_dpmpp_2m": 2,
    "sample_dpmpp_2m_sde": 1,
    "sample_dpmpp_3m_sde": 1,
}


def subject(name: str, *, grid: str = "karras", **settings: Any) -> Subject:
    """The function of this name on a grid of `plain.GRIDS`; ``settings`` go to the function (``eta=0``, ``s_churn=...``).

    Raises
    ------
    Unjudgeable
        for an adaptive sampler.
    ImportError
        if the library is not installed.
    """
    if name == "sample_dpm_adaptive":
        raise Unjudgeable(f"{name}: its steps adapt to the batch, so its law is not affine in start and noise")
    sampling = module_without_init("k_diffusion", "sampling", ABSENT)
    if name not in ORDERS:
        raise Unjudgeable(f"{name}: no adapter; one of {', '.join(ORDERS)}")
    function = getattr(sampling, name)
    by_range = "sigma_min" in inspect.signature(function).parameters

    def make(world: World):
        def drive(world, steps):
            sigmas = world.outside(plain.GRIDS[grid](steps))
            x = world.start(1.0, sigmas[0], deviation=sigmas[0])

            def seen(step):
                if step["i"] > 0 and not by_range:
                    world.state(step["x"], 1.0, sigmas[step["i"]])

            with world.wide(), world.torch_noise():
                where = (sigmas[-1], sigmas[0], steps) if by_range else (world.array(sigmas),)
                end = function(world.model, x, *where, callback=seen, disable=True, **settings)
            world.state(end, 1.0, sigmas[-1])

        return drive

    def levels(steps, unit):
        sigma = unit * plain.GRIDS[grid](steps)
        return np.stack([np.ones_like(sigma), sigma], axis=1)

    order = ORDERS[name]
    if settings.get("eta") == 0:
        order = {
            "sample_dpmpp_2s_ancestral": 2,
            "sample_dpm_2_ancestral": 2,
            "sample_dpmpp_sde": 2,
            "sample_dpmpp_2m_sde": 2,
            "sample_dpmpp_3m_sde": 3,
        }.get(name, order)
    if name == "sample_lms":
        order = settings.get("order", 4)
    others = () if grid == "alternating" or by_range else (subject(name, grid="alternating", **settings),)
    return Subject(
        name=f"k_diffusion:{name}" if others or by_range else f"grid {grid}",
        make=make,
        order=order,
        library="torch",
        grid=None if by_range else levels,
        scalable=True,
        others=others,
    )
