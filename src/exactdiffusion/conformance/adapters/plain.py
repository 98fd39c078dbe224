"""A plain function ``f(denoiser, sigmas, x)`` on levels in variance-exploding coordinates, NumPy or torch."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..._core.validation import scalar
from ..subject import Subject
from ..world import World

__all__ = ["GRIDS", "alternating", "geometric", "karras", "subject"]


def karras(steps: int, first: float = 80.0, last: float = 0.02, rho: float = 7.0) -> np.ndarray:
    """steps + 1 levels, uniform in ``sigma^(1/rho)``: not uniform in log sigma, where several slips vanish."""
    return np.linspace(first ** (1 / rho), last ** (1 / rho), steps + 1) ** rho


def geometric(steps: int, first: float = 80.0, last: float = 0.02) -> np.ndarray:
    """steps + 1 levels, uniform in log sigma."""
    return np.geomspace(first, last, steps + 1)


def alternating(steps: int, first: float = 80.0, last: float = 0.02, rho: float = 7.0) -> np.ndarray:
    """As `karras`, with long and short steps in turn (2 to 1): a weight for equal steps loses its order here."""
    lengths = np.where(np.arange(steps) % 2 == 0, 2.0, 1.0)
    part = np.concatenate([[0.0], np.cumsum(lengths)]) / np.sum(lengths)
    return ((1 - part) * first ** (1 / rho) + part * last ** (1 / rho)) ** rho


#: grids by name; "karras_zero" ends with a step from the last level to 0
GRIDS = {
    "karras": karras,
    "alternating": alternating,
    "quadratic": lambda steps: karras(steps, rho=2.0),
    "exponential": geometric,
    "karras_zero": lambda steps: np.append(karras(max(steps - 1, 1)), 0.0)[-(steps + 1) :],
}


class _Noise:
    """What a function with a parameter ``noise`` draws from: ``noise(x)``, or ``noise(a, b)`` between two levels."""

    def __init__(self, world, x):
        self.world, self.x = world, x

    def __call__(self, *where: Any) -> Any:
        if len(where) == 1:
            return self.world.normal(where[0])
        a, b = (float(level) for level in where)
        return self.world.interval(a, b, self.x) / abs(b - a) ** 0.5


def subject(
    function: Callable,
    *,
    name: str = "",
    order: float | None = None,
    library: str = "numpy",
    grid: str = "karras",
    calls: Callable[[int], int] | None = None,
    **settings: Any,
) -> Subject:
    """Judge ``function(denoiser, sigmas, x)``, or ``function(denoiser, sigmas, x, noise=...)``, or a generator of states.

    ``denoiser(x, sigma)`` is the exact denoiser. ``order`` and ``calls`` are what its author declares; attributes ``order``
    and ``calls`` of the function are read too. ``library`` is "numpy" or "torch" (then ``torch.randn`` may be used).

    Raises
    ------
    ValueError
        for an order that is no positive number.

    Examples
    --------
    >>> def euler(denoiser, sigmas, x):
    ...     for a, b in zip(sigmas[:-1], sigmas[1:]):
    ...         x = x + (b - a) * (x - denoiser(x, a)) / a
    ...     return x
    >>> subject(euler, order=1).name
    'euler'
    """
    if order is not None:
        scalar("order", order, low=0.0, low_open=True)
    takes_noise = "noise" in inspect.signature(function).parameters

    def make(world: World):
        def drive(world, steps):
            sigmas = world.outside(GRIDS[grid](steps))
            x = world.start(1.0, sigmas[0])
            extra = {"noise": _Noise(world, x)} if takes_noise else {}
            with _answered(world):
                result = function(world.model, world.array(sigmas), x, **extra, **settings)
                if isinstance(result, Iterator):
                    states = list(result)
                    for state, sigma in zip(states[-steps:], sigmas[1:]):
                        world.state(state, 1.0, sigma)
                    return
            world.state(result, 1.0, sigmas[-1])

        return drive

    def levels(steps, unit):
        sigma = unit * GRIDS[grid](steps)
        return np.stack([np.ones_like(sigma), sigma], axis=1)

    def alike(other):
        return subject(function, name=f"grid {other}", order=order, library=library, grid=other, calls=calls, **settings)

    return Subject(
        name=name or getattr(function, "__name__", "sampler"),
        make=make,
        order=getattr(function, "order", None) if order is None else order,
        library=getattr(function, "library", library),
        calls=calls or getattr(function, "calls", None),
        grid=levels,
        scalable=True,
        others=() if grid == "alternating" else (alike("alternating"),),
    )


def _answered(world):
    """torch's noise answered for torch functions; nothing to do for NumPy."""
    from contextlib import nullcontext

    return world.torch_noise() if world.library == "torch" else nullcontext()
