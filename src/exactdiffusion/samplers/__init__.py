"""Samplers: generators of N + 1 states, one file per method.

Every sampler is called as ``sampler(law, grid, x, **params)``; random ones take ``noise=``. ``law`` is any object with
``noised(scale, sigma).denoise(x)``, ``grid`` a :class:`~exactdiffusion.schedules.Grid`, ``x`` the start in grid coordinates,
shape (n, d), of any array namespace; states are float64 of the same kind on the same device. Arguments are checked at the
call. Every state is the caller's own copy, and so is the start that the run keeps: editing one (a callback that clips, say)
changes neither the run nor ``x``. This costs the memory of one state and a copy per step: 3 % of the time of a run on eight
Gaussians in the plane, 20 % on a single one, the cheapest oracle. An oracle must not edit the array that it is given.
A run that blows up (coordinates that leave the finite numbers, or grow a million times beyond the denoiser's answers) ends
in a ValueError that names the state.

Adding a sampler: (1) a file with the update in display math, source, order and what it is not; (2) a line in ``REGISTRY``;
(3) its exact Gaussian law in ``output_laws/gaussian.py``; the contract tests then run on it.
"""

from ._base import SamplerInfo
from .ddim import ddim
from .ddpm import ddpm
from .dpm_solver_pp import dpm_solver_pp
from .euler_maruyama import euler_maruyama
from .exponential_integrator import exponential_integrator
from .gradient_estimation import gradient_estimation
from .heun import heun
from .probability_flow import probability_flow
from .proximal_backward import proximal_backward
from .proximal_hybrid import proximal_hybrid

__all__ = [
    "REGISTRY", "SamplerInfo", "ddim", "ddpm", "dpm_solver_pp", "euler_maruyama", "exponential_integrator", "final",
    "gradient_estimation", "heun", "probability_flow", "proximal_backward", "proximal_hybrid",
]  # fmt: skip


def final(states):
    """Last state of a run (the others are not kept)."""
    last = None
    if isinstance(states, (str, bytes, bytearray)) or not hasattr(states, "__iter__"):
        raise ValueError(f"states: got {type(states).__name__}; expected the states of a sampler")
    for last in states:  # noqa: B007
        pass
    if last is None:
        raise ValueError("states: got an exhausted generator; expected the states of a sampler")
    return last


REGISTRY = {
    info.name: info
    for info in (
        SamplerInfo("ddim", ddim, False, 1, "any", "Euler in sigma, deterministic"),
        SamplerInfo(
            "gradient_estimation",
            gradient_estimation,
            False,
            1,
            "any",
            "DDIM with extrapolated noise prediction (gamma; order 2 with gamma='variable')",
        ),
        SamplerInfo("ddpm", ddpm, True, 1, "any", "ancestral sampling; mu family from DDIM (0) to DDPM (1/2)"),
        SamplerInfo("heun", heun, False, 2, "any", "Heun in sigma (EDM), two calls per step", per_step=2),
        SamplerInfo("dpm_solver_pp", dpm_solver_pp, False, 2, "any", "DPM-Solver++(2M), two-step in log sigma"),
        SamplerInfo("probability_flow", probability_flow, False, 1, "vp", "Euler for the VP probability-flow ODE"),
        SamplerInfo("euler_maruyama", euler_maruyama, True, 1, "vp", "Euler-Maruyama for the reverse VP-SDE"),
        SamplerInfo(
            "exponential_integrator",
            exponential_integrator,
            True,
            1,
            "vp",
            "reverse VP-SDE with frozen score, linear part exact",
        ),
        SamplerInfo(
            "proximal_backward",
            proximal_backward,
            True,
            1,
            "vp",
            "backward Euler for the reverse VP-SDE by proximal maps; steps g < 2",
            oracle="prox",
        ),
        SamplerInfo(
            "proximal_hybrid",
            proximal_hybrid,
            True,
            1,
            "vp",
            "reverse VP-SDE, linear drift forward, score backward by proximal maps",
            oracle="prox",
        ),
    )
}
"""Name -> :class:`SamplerInfo`."""
