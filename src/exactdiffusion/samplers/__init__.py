"""Samplers: generators of N + 1 states, one file per method.

Every sampler is called as ``sampler(law, grid, x, **params)``; random ones take ``noise=``. ``law`` is any object with
``noised(scale, sigma).denoise(x)``, ``grid`` a :class:`~exactdiffusion.schedules.Grid`, ``x`` the start in grid coordinates,
shape (n, d), of any array namespace; states are float64 of the same kind on the same device. Arguments are checked at the
call. Every state is the caller's own copy, and so is the start that the run keeps: editing one (a callback that clips, say)
changes neither the run nor ``x``. This costs the memory of one state and a copy per step: 3 % of the time of a run on eight
Gaussians in the plane, 20 % on a single one, the cheapest oracle. An oracle must not edit the array that it is given.
A run that blows up (coordinates that leave the finite numbers, or grow a million times beyond the denoiser's answers) ends
in a ValueError that names the state.

The formula of a sampler is its ``update(state, i, grid, oracle, noise, memory, **options)``, which returns the next state
and the memory of the method. ``oracle.denoise(i, x)`` asks at level i, ``oracle.denoise_at(scale, sigma, x)`` between the
levels (the midpoint of a step, say). A run calls the update N times; :func:`exactdiffusion.output_laws.gaussian` probes the
same function for the exact law of the output on a Gaussian target. ``REGISTRY[name].update`` is this function.

To add a sampler, write one file in this folder: the update, and a function with the decorator :func:`~._base.sampler` that
checks the parameters and has the docstring (update in display math, source, order, what it is not). Every file of the folder
is imported and its sampler registered and exported here; the contract tests, the exact Gaussian law and the command line
then know it.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .._core.typing import Array
from ._base import REGISTRY, SamplerInfo, sampler

if TYPE_CHECKING:  # type checkers do not run the loop below; a sampler that is not listed here works all the same
    from .ddim import ddim as ddim
    from .ddpm import ddpm as ddpm
    from .dpm_solver_pp import dpm_solver_pp as dpm_solver_pp
    from .euler_maruyama import euler_maruyama as euler_maruyama
    from .exponential_integrator import exponential_integrator as exponential_integrator
    from .gradient_estimation import gradient_estimation as gradient_estimation
    from .heun import heun as heun
    from .probability_flow import probability_flow as probability_flow
    from .proximal_backward import proximal_backward as proximal_backward
    from .proximal_hybrid import proximal_hybrid as proximal_hybrid

for _name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    if not _name.startswith("_"):
        importlib.import_module(f"{__name__}.{_name}")
# after all imports: a submodule of the same name is an attribute of the package, too
globals().update({name: info.function for name, info in REGISTRY.items()})

__all__ = ["REGISTRY", "SamplerInfo", "final", "sampler", *REGISTRY]


def __getattr__(name: str) -> Callable:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; the samplers are: " + ", ".join(REGISTRY))


def final(states: Iterable[Array]) -> Array:
    """Last state of a run (the others are not kept).

    Examples
    --------
    >>> final(iter([1.0, 2.0, 3.0]))
    3.0
    """
    last = None
    if isinstance(states, (str, bytes, bytearray)) or not hasattr(states, "__iter__"):
        raise ValueError(f"states: got {type(states).__name__}; expected the states of a sampler")
    for last in states:  # noqa: B007
        pass
    if last is None:
        raise ValueError("states: got an exhausted generator; expected the states of a sampler")
    return last
