"""The shared part of adapters for samplers that are functions of given levels: grids, settings, and the run itself."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .._core.validation import choice, fail
from .subject import Subject
from .world import World, copied

__all__ = ["GRIDS", "alternating", "geometric", "karras", "known_settings", "on_grids"]


def karras(steps: int, first: float = 80.0, last: float = 0.02, rho: float = 7.0) -> np.ndarray:
    """steps + 1 levels, uniform in ``sigma^(1/rho)``: not uniform in log sigma, where several slips vanish.

    Examples
    --------
    >>> print(karras(2, first=9.0, last=1.0, rho=2.0))
    [9. 4. 1.]
    """
    return np.linspace(first ** (1 / rho), last ** (1 / rho), steps + 1) ** rho


def geometric(steps: int, first: float = 80.0, last: float = 0.02) -> np.ndarray:
    """steps + 1 levels, uniform in log sigma.

    Examples
    --------
    >>> print(geometric(2, first=4.0, last=1.0))
    [4. 2. 1.]
    """
    return np.geomspace(first, last, steps + 1)


def alternating(steps: int, first: float = 80.0, last: float = 0.02, rho: float = 7.0) -> np.ndarray:
    """As `karras`, with long and short steps in turn (2 to 1): a weight for equal steps loses its order here.

    Examples
    --------
    >>> print(np.diff(alternating(4, first=7.0, last=1.0, rho=1.0)))
    [-2. -1. -2. -1.]
    """
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


def known_settings(
    target: str, function: Callable, settings: Iterable[str], given: Iterable[str], own: Iterable[str] = ()
) -> None:
    """ValueError for a setting that is no parameter of ``function``, with the names that are.

    Parameters
    ----------
    target : str
        What the message calls the sampler.
    function : callable
    settings : iterable of str
    given : iterable of str
        Parameters that the adapter fills itself.
    own : iterable of str
        Settings of the adapter.

    Examples
    --------
    >>> def sampler(denoiser, sigmas, x, churn=0.0): ...
    >>> known_settings("sampler", sampler, ["chrun"], ["denoiser", "sigmas", "x"], ["grid"])
    Traceback (most recent call last):
        ...
    ValueError: set: got 'chrun'; expected a setting of sampler: churn, grid
    """
    parameters = inspect.signature(function).parameters
    allowed = [name for name in parameters if name not in given and name not in ("self", "args", "kwargs")]
    allowed += [name for name in own if name not in allowed]
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in settings:
        if name not in allowed:
            fail("set", name, f"a setting of {target}: {', '.join(allowed) or 'it takes none'}")


def on_grids(
    name: str,
    run: Callable[[World, np.ndarray, Any], Any],
    grid: str,
    *,
    by_level: bool = True,
    order: float | None = None,
    library: str = "torch",
    calls: Callable[[int], int] | None = None,
) -> Subject:
    """The subject of ``run(world, sigmas, x)`` on a grid of `GRIDS`, judged on the alternating one too.

    Parameters
    ----------
    name : str
    run : callable
        Makes one run from ``x`` at ``sigmas[0]`` to ``sigmas[-1]`` in variance-exploding coordinates and returns the end, or
        an iterator of the states. It asks ``world.model(x, sigma)`` and may hand over states by ``world.state``. The noise
        of torch is answered, and its float32 tables are widened.
    grid : str
        Name in `GRIDS`.
    by_level : bool
        The levels between are used as they are given; otherwise only first and last one are, and no other grid is run.
    order, library, calls
        As in `Subject`.

    Examples
    --------
    >>> def euler(world, sigmas, x):
    ...     for a, b in zip(sigmas[:-1], sigmas[1:]):
    ...         x = x + (b - a) * (x - world.model(x, a)) / a
    ...         yield x
    >>> on_grids("euler", euler, "karras", order=1, library="numpy").others[0].name
    'alternating grid'
    """
    levels = GRIDS[choice("grid", grid, tuple(GRIDS))]

    def make(world):
        def drive(world, steps):
            sigmas = world.outside(levels(steps))
            x = world.start(1.0, sigmas[0])
            with world.answered():
                end = run(world, sigmas, x)
                if isinstance(end, Iterator):
                    states = [copied(x) for x in end]
                    if len(states) not in (steps, steps + 1):
                        fail(
                            f"states that {name} yields", len(states), f"{steps} for {steps} steps, or the start before them"
                        )
                    for x, sigma in zip(states[-steps:], sigmas[1:]):
                        world.state(x, 1.0, sigma)
                    return
            world.state(end, 1.0, sigmas[-1])

        return drive

    def declared(steps, unit):
        sigma = unit * levels(steps)
        return np.stack([np.ones_like(sigma), sigma], axis=1)

    others: tuple[Subject, ...] = ()
    if by_level and grid != "alternating":
        others = (on_grids("alternating grid", run, "alternating", order=order, library=library, calls=calls),)
    return Subject(
        name=name,
        make=make,
        order=order,
        library=library,
        calls=calls,
        grid=declared if by_level else None,
        scalable=True,
        others=others,
    )
