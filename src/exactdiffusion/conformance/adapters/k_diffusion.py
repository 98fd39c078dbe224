"""Functions of the library k-diffusion: ``sample_*(model, x, sigmas)``."""

from typing import Any

from ..functions import known_settings, on_grids
from ..subject import Subject, Unjudgeable
from . import declared
from ._stubs import module_without_init

__all__ = ["ORDERS", "subject"]

ABSENT = ("torchvision", "torchvision.transforms", "torchdiffeq", "PIL", "PIL.Image", "scipy.integrate")
GIVEN = ("model", "x", "sigmas", "sigma_min", "sigma_max", "n", "extra_args", "callback", "disable", "noise_sampler")

#: function -> declared order of the law, and the order of the deterministic method that eta = 0 leaves
ORDERS = declared("k_diffusion")["orders"]


def subject(name: str, *, grid: str = "karras", **settings: Any) -> Subject:
    """The function of this name on a grid of `functions.GRIDS`; ``settings`` go to it (``eta=0``, ``s_churn=...``).

    Raises
    ------
    Unjudgeable
        for an adaptive sampler.
    ValueError
        for a setting that the function does not take.
    ImportError
        if the library is not installed.
    """
    if name == "sample_dpm_adaptive":
        raise Unjudgeable(f"{name}: its steps adapt to the batch, so its law is not affine in start and noise")
    if name not in ORDERS:
        raise Unjudgeable(f"{name}: no adapter; one of {', '.join(ORDERS)}")
    function = getattr(module_without_init("k_diffusion", "sampling", ABSENT), name)
    known_settings(name, function, settings, GIVEN, ["grid"])
    by_level = name != "sample_dpm_fast"  # it takes first and last level only

    def run(world, sigmas, x):
        def seen(step):
            if step["i"] > 0 and by_level:
                world.state(step["x"], 1.0, sigmas[step["i"]])

        where = (world.array(sigmas),) if by_level else (sigmas[-1], sigmas[0], len(sigmas) - 1)
        return function(world.model, x, *where, callback=seen, disable=True, **settings)

    order = settings.get("order", (ORDERS[name] or [None, None])[settings.get("eta") == 0])
    return on_grids(f"k_diffusion:{name}", run, grid, by_level=by_level, order=order)
