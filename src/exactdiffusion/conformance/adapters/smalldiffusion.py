"""The function ``samples(model, sigmas, gam, mu)`` of the library smalldiffusion."""

from types import SimpleNamespace
from typing import Any

from ..subject import Subject, Unjudgeable
from ..world import World
from . import plain
from ._stubs import module_without_init

__all__ = ["subject"]

ABSENT = ("accelerate", "torchvision", "torchvision.transforms", "datasets", "einops")


def subject(name: str = "samples", *, grid: str = "karras", gam: float = 1.0, mu: float = 0.0, **settings: Any) -> Subject:
    """The sampler with these ``gam`` and ``mu``; its order is 1.

    Raises
    ------
    ImportError
        if the library is not installed.
    """
    if name != "samples":
        raise Unjudgeable(f"{name}: no adapter; expected samples")
    samples = module_without_init("smalldiffusion", "diffusion", ABSENT).samples

    def make(world: World):
        def drive(world, steps):
            sigmas = world.outside(plain.GRIDS[grid](steps))
            x = world.start(1.0, sigmas[0], deviation=sigmas[0])
            model = SimpleNamespace(
                eval=lambda: None,
                rand_input=lambda n: world.normal(x),
                predict_eps_cfg=lambda y, sigma, cond, scale: world.predict("epsilon", y, sigma),
            )
            place = SimpleNamespace(device="cpu")
            states = samples(model, world.array(sigmas), gam=gam, mu=mu, xt=x, accelerator=place, **settings)
            for state, sigma in zip(states, sigmas[1:]):
                world.state(state, 1.0, sigma)

        return drive

    others = () if grid == "alternating" else (subject(grid="alternating", gam=gam, mu=mu, **settings),)
    return Subject(
        name="smalldiffusion:samples" if others else f"grid {grid}",
        make=make,
        order=1,
        library="torch",
        scalable=True,
        calls=lambda steps: steps,
        others=others,
    )
