"""What is judged: a sampler behind an adapter, with what its author declares about it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._core.validation import choice, fail, integer, scalar
from .world import World

__all__ = ["Subject", "Unjudgeable"]


class Unjudgeable(ValueError):
    """The sampler cannot be judged by exact coefficients; the message is the reason.

    Examples
    --------
    >>> from exactdiffusion.conformance import subject_of
    >>> subject_of("proximal_backward")
    Traceback (most recent call last):
        ...
    exactdiffusion.conformance.subject.Unjudgeable: proximal_backward: it asks for proximal maps; ...
    """


@dataclass(frozen=True)
class Subject:
    """A sampler with its declarations. What is not declared is measured and reported, but not judged.

    Parameters
    ----------
    name : str
    make : callable
        ``make(world)`` builds the sampler anew and returns ``drive(world, steps)``, which makes one run
        (:class:`~exactdiffusion.conformance.world.World` says how). Runs with one ``drive`` must be independent.
    order : float or None
        Declared global order of the law of the output in the largest step.
    library : {"torch", "numpy"}
        Kind of the arrays that the sampler takes.
    calls : callable or None
        ``calls(steps)``, the declared number of model calls.
    grid : callable or None
        ``grid(steps, unit)``, the declared levels, shape (steps + 1, 2), of (scale, sigma); a schedule without a
        free unit of length ignores ``unit``.
    scalable : bool
        The grid comes from outside: it is multiplied by ``world.unit``, and the sampler must be equivariant.
    others : tuple of Subject
        The same sampler on further grids: its order and limit are judged there too.
    max_steps : int
        Largest number of steps that the sampler takes.
    judged_as : str
        What has to be said beside a verdict, for example that a consistency map was given the exact denoiser.

    Raises
    ------
    ValueError
        naming the field, where it is of another kind.

    Examples
    --------
    One denoising step, which has an order of nothing:

    >>> def make(world):
    ...     def drive(world, steps):
    ...         x = world.start(scale=1.0, sigma=80.0)
    ...         world.state(world.denoise(x, sigma=80.0), scale=1.0, sigma=0.0)
    ...     return drive
    >>> from exactdiffusion.conformance import measure
    >>> print(measure(Subject("one step", make, library="numpy"), 1).deviation[-1][8].round(6))  # 1 / sqrt(1 + 80^2)
    0.012499
    """

    name: str
    make: Callable[[World], Callable[[World, int], None]]
    order: float | None = None
    library: str = "torch"
    calls: Callable[[int], int] | None = None
    grid: Callable[[int, float], np.ndarray] | None = None
    scalable: bool = False
    others: tuple["Subject", ...] = ()
    max_steps: int = 1000
    judged_as: str = ""

    def __post_init__(self) -> None:
        for name in ("make", "calls", "grid"):
            value = getattr(self, name)
            if not callable(value) and not (value is None and name != "make"):
                fail(name, value, "a function, make(world), calls(steps) or grid(steps, unit)")
        if self.order is not None:
            scalar("order", self.order, low=0, low_open=True)
        choice("library", self.library, ("torch", "numpy"))
        integer("max_steps", self.max_steps, low=4)  # an order is read from three numbers of steps, 2, 3 and 4 at least
