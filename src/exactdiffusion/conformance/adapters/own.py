"""The samplers of this package, by the name in ``samplers.REGISTRY``, and functions of their signature."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ... import samplers, schedules
from ..._core.validation import choice, fail
from ..functions import known_settings
from ..subject import Subject, Unjudgeable
from ..world import World, copied

__all__ = ["subject"]


def _law(world):
    """The target as a law of this package."""

    def noised(scale, sigma):
        return SimpleNamespace(denoise=lambda x: world.model(x, sigma, scale))

    return SimpleNamespace(noised=noised, dim=len(world.target.mean))


def _noise(world):
    return SimpleNamespace(normal=lambda step, n, d, start=0, like=None: world.normal(like))


def subject(sampler: str | Callable, *, order: float | None = None, **params: Any) -> Subject:
    """A sampler of this package, or ``sampler(law, grid, x, **params)`` that yields states as these do.

    The grid is EDM's (in VP coordinates where a sampler of ours needs them) and ends at 0.02.

    Parameters
    ----------
    sampler : str or callable
        A name in ``samplers.REGISTRY``, or a function; one with a parameter ``noise`` is given a `Noise`.
    order : float
        The declared order of a function; ours have their own.

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
    >>> def euler(law, grid, x):
    ...     yield x
    ...     for a, b, scale in zip(grid.sigma[:-1], grid.sigma[1:], grid.scale):
    ...         x = x + (b - a) * (x - law.noised(scale, a).denoise(x)) / a
    ...         yield x
    >>> subject(euler, order=1).name
    'euler'
    """
    if callable(sampler):
        name, function, calls, vp = getattr(sampler, "__name__", "sampler"), sampler, None, False
        stochastic = "noise" in inspect.signature(sampler).parameters
        own = ("order",)
    else:
        info = samplers.REGISTRY[choice("name", sampler, tuple(samplers.REGISTRY))]
        if info.oracle != "denoise":
            raise Unjudgeable(f"{sampler}: it asks for proximal maps; output_laws.gaussian gives its law")
        name, function, calls, vp = f"exactdiffusion:{sampler}", info.function, info.calls, info.coordinates == "vp"
        stochastic, order, own = info.stochastic, info.order, ()
    given = [*list(inspect.signature(function).parameters)[:3], "noise"]
    known_settings(name.removeprefix("exactdiffusion:"), function, params, given, own)

    def grid(steps, unit=1.0):
        found = schedules.edm(steps, sigma_max=80.0 * unit, sigma_min=0.02 * unit, final_zero=False)
        return found.to_vp() if vp else found

    def make(world: World):
        def drive(world, steps):
            levels = grid(steps, world.unit)
            x = world.start(levels.scale[0], levels.sigma[0])
            extra = {"noise": _noise(world)} if stochastic else {}
            states = [copied(state) for state in function(_law(world), levels, x, **params, **extra)]
            if len(states) != steps + 1:
                fail(
                    f"states that {name} yields", len(states), f"{steps + 1}: the start, and one after each of {steps} steps"
                )
            for state, scale, sigma in zip(states[1:], levels.scale[1:], levels.sigma[1:]):
                world.state(state, scale, sigma)

        return drive

    def declared(steps, unit):
        found = grid(steps, unit)
        return np.stack([found.scale, found.sigma], axis=1)

    return Subject(
        name=name,
        make=make,
        order=order,
        library="numpy",
        calls=None if calls is None else lambda n: calls(n),
        grid=declared,
        scalable=not vp,
    )
