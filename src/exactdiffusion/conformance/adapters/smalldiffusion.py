"""The function ``samples(model, sigmas, gam, mu)`` of the library smalldiffusion."""

from types import SimpleNamespace
from typing import Any

from ..functions import known_settings, on_grids
from ..subject import Subject, Unjudgeable
from ._stubs import module_without_init

__all__ = ["subject"]

ABSENT = ("accelerate", "torchvision", "torchvision.transforms", "datasets", "einops")
GIVEN = ("model", "sigmas", "xt", "accelerator", "batchsize", "cond")


def subject(name: str = "samples", *, grid: str = "karras", **settings: Any) -> Subject:
    """The sampler with these ``gam`` and ``mu``; its order is 1.

    Raises
    ------
    ValueError
        for a setting that the function does not take.
    ImportError
        if the library is not installed.
    """
    if name != "samples":
        raise Unjudgeable(f"{name}: no adapter; expected samples")
    samples = module_without_init("smalldiffusion", "diffusion", ABSENT).samples
    known_settings(name, samples, settings, GIVEN, ["grid"])

    def run(world, sigmas, x):
        model = SimpleNamespace(
            eval=lambda: None,
            rand_input=lambda n: world.normal(x),
            predict_eps_cfg=lambda y, sigma, cond, scale: world.predict("epsilon", y, sigma),
        )
        return samples(model, world.array(sigmas), xt=x, accelerator=SimpleNamespace(device="cpu"), **settings)

    return on_grids("smalldiffusion:samples", run, grid, order=1, calls=lambda steps: steps)
