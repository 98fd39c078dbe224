"""A plain function ``f(denoiser, sigmas, x)`` on levels in variance-exploding coordinates, NumPy or torch."""

import inspect
from collections.abc import Callable
from typing import Any

from ..._core.validation import scalar
from ..functions import known_settings, on_grids
from ..subject import Subject

__all__ = ["subject"]


def subject(function: Callable, *, name: str = "", grid: str = "karras", **settings: Any) -> Subject:
    """Judge ``function(denoiser, sigmas, x)``, or ``function(denoiser, sigmas, x, noise=...)``, or a generator of states.

    ``denoiser(x, sigma)`` is the exact denoiser; ``noise(x)`` draws a noise, ``noise(a, b)`` one between two levels.
    Three settings are declarations, and are read from attributes of the function where they are not given: ``order``, a
    number; ``calls``, the number of model calls as a function of the steps; ``library``, "numpy" (the default) or "torch"
    (then ``torch.randn`` may be used). The others go to the function.

    Raises
    ------
    ValueError
        for an order that is no positive number, and for a setting that the function does not take.

    Examples
    --------
    >>> def euler(denoiser, sigmas, x):
    ...     for a, b in zip(sigmas[:-1], sigmas[1:]):
    ...         x = x + (b - a) * (x - denoiser(x, a)) / a
    ...     return x
    >>> subject(euler, order=1).name
    'euler'
    """
    declared = {key: settings.pop(key, getattr(function, key, None)) for key in ("order", "calls", "library")}
    if declared["order"] is not None:
        scalar("order", declared["order"], low=0.0, low_open=True)
    name = name or getattr(function, "__name__", "sampler")
    parameters = list(inspect.signature(function).parameters)
    known_settings(name, function, settings, [*parameters[:3], "noise"], ["order", "calls", "library", "grid"])

    def run(world, sigmas, x):
        noise = {"noise": world.noise(x)} if "noise" in parameters else {}
        return function(world.model, world.array(sigmas), x, **noise, **settings)

    return on_grids(name, run, grid, **(declared | {"library": declared["library"] or "numpy"}))
