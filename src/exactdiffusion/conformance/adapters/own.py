"""The samplers of this package, by the name in ``samplers.REGISTRY``."""

import inspect
from typing import Any

import numpy as np

from ... import samplers, schedules
from ..._core.validation import choice
from ..functions import known_settings
from ..subject import Subject, Unjudgeable
from ..world import World

__all__ = ["subject"]


class _Level:
    """A noised target: what ``law.noised(scale, sigma)`` answers."""

    def __init__(self, world, scale, sigma):
        self.world, self.scale, self.sigma = world, scale, sigma

    def denoise(self, x):
        return self.world.model(x, self.sigma, self.scale)


class _Law:
    """The target as a law of this package."""

    def __init__(self, world):
        self.world, self.dim = world, len(world.target.mean)

    def noised(self, scale, sigma):
        return _Level(self.world, scale, sigma)


class _Noise:
    def __init__(self, world):
        self.world = world

    def normal(self, step, n, d, start=0, like=None):
        return self.world.normal(like)


def subject(name: str, **params: Any) -> Subject:
    """A sampler of this package on an EDM grid (in VP coordinates where it needs them) that ends at 0.02.

    Raises
    ------
    Unjudgeable
        for a sampler that asks for proximal maps.
    ValueError
        for a setting that the sampler does not take.

    Examples
    --------
    >>> subject("gradient_estimation", gamma=2.0).order
    1
    """
    info = samplers.REGISTRY[choice("name", name, tuple(samplers.REGISTRY))]
    if info.oracle != "denoise":
        raise Unjudgeable(f"{name}: it asks for proximal maps; output_laws.gaussian gives its law")
    given = [*list(inspect.signature(info.function).parameters)[:3], "noise"]
    known_settings(name, info.function, params, given)

    def grid(steps, unit=1.0):
        found = schedules.edm(steps, sigma_max=80.0 * unit, sigma_min=0.02 * unit, final_zero=False)
        return found.to_vp() if info.coordinates == "vp" else found

    def make(world: World):
        def drive(world, steps):
            levels = grid(steps, world.unit)
            x = world.start(levels.scale[0], levels.sigma[0])
            extra = {"noise": _Noise(world)} if info.stochastic else {}
            for i, state in enumerate(info.function(_Law(world), levels, x, **params, **extra)):
                if i > 0:
                    world.state(state, levels.scale[i], levels.sigma[i])

        return drive

    def declared(steps, unit):
        found = grid(steps, unit)
        return np.stack([found.scale, found.sigma], axis=1)

    return Subject(
        name=f"exactdiffusion:{name}",
        make=make,
        order=info.order,
        library="numpy",
        calls=lambda n: info.calls(n),
        grid=declared,
        scalable=info.coordinates == "any",
    )
