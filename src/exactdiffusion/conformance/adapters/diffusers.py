"""Schedulers of the library diffusers, in six families of levels and conventions."""

import importlib
import inspect
import math
from typing import Any

import numpy as np

from ..functions import known_settings
from ..subject import Subject, Unjudgeable
from ..world import World
from . import declared

__all__ = ["FAMILIES", "subject"]

#: parameters of a step that the adapter fills
GIVEN = ("self", "model_output", "timestep", "sample", "return_dict")

#: class -> family, and the declared order where it is not the scheduler's `solver_order`
FAMILIES = declared("diffusers")["families"]

#: class -> why it cannot be judged by an exact denoiser of a Gaussian
REFUSED = declared("diffusers")["refused"]


def _ratio_level(sigma, flow=False):
    """(scale, sigma) in variance-preserving or flow coordinates of a level of the table ``sigmas``."""
    if flow:
        return 1.0 - sigma, sigma
    scale = 1.0 / math.sqrt(1.0 + sigma * sigma)
    return scale, sigma * scale


def _level(family, scheduler, index, t):
    """(scale, sigma) of the state before the step with this index and timestep."""
    if family == "table":
        alpha = float(scheduler.alphas_cumprod[int(t)])
        return math.sqrt(alpha), math.sqrt(1.0 - alpha)
    if family == "angle":
        return float(scheduler.alphas[index]), float(scheduler.betas[index])
    sigma = float(scheduler.sigmas[index])
    if not getattr(scheduler, "state_in_first_order", True):
        # the level of the second stage: the tables of the midpoint rules, as their scale_model_input reads them
        if getattr(scheduler, "mid_point_sigma", None) is not None:
            sigma = float(scheduler.mid_point_sigma)
        elif hasattr(scheduler, "sigmas_interpol"):
            sigma = float(scheduler.sigmas_interpol[index - hasattr(scheduler, "sigmas_down")])
    if family == "flow":
        return 1.0 - sigma, sigma
    if family == "vp":
        return _ratio_level(sigma, bool(scheduler.config.get("use_flow_sigmas")))
    return 1.0, sigma


def _final(family, scheduler):
    """(scale, sigma) where the run ends."""
    if family == "table":
        alpha = float(getattr(scheduler, "final_alpha_cumprod", 1.0))
        return math.sqrt(alpha), math.sqrt(1.0 - alpha)
    if family == "angle":
        return float(scheduler.alphas[-1]), float(scheduler.betas[-1])
    return _level("vp" if family == "vp" else "flow" if family == "flow" else "sigma", _Ended(scheduler), -1, 0)


class _Ended:
    """A scheduler after its last step, whatever half step it believes to be in."""

    def __init__(self, scheduler):
        self.sigmas, self.config = scheduler.sigmas, scheduler.config


def _timestep_ratio(scheduler, t):
    """Noise ratio that the training table gives to a timestep, interpolated in log sigma; None without such a table."""
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is None:
        return None
    alphas = np.asarray(alphas, dtype=np.float64)
    with np.errstate(divide="ignore"):
        logs = 0.5 * np.log((1.0 - alphas) / alphas)
    return math.exp(np.interp(float(t), np.arange(len(logs)), logs))


def _model(world, scheduler, family, x, t, level):
    """The exact output of the model, at the level of the step or of the timestep."""
    scale, sigma = level
    kind = scheduler.config.get("prediction_type", "epsilon")
    ratio = (
        _timestep_ratio(scheduler, t) if family in ("sigma", "vp") and not scheduler.config.get("use_flow_sigmas") else None
    )
    if ratio is not None and sigma > 0:
        world.mismatch.append(math.log(ratio * scale / sigma))
        if world.oracle == "timestep":
            sigma = ratio * scale
    if family == "flow":
        out = world.predict("flow_prediction", x, sigma, scale)
        return -out if type(scheduler).__name__ == "MiniMaxH3Scheduler" else out
    if family == "angle":
        return world.predict("v_prediction", x, sigma, scale)
    if family == "edm":
        # the raw output that the library's preconditioning turns into the denoised value
        scheduler.scale_model_input(x, t)
        zero = x * 0
        skip, out = (
            float(scheduler.precondition_outputs(zero + a, zero + b, scheduler.sigmas[scheduler.step_index]).reshape(-1)[0])
            for a, b in ((1.0, 0.0), (0.0, 1.0))
        )
        return (world.denoise(x, sigma) - skip * x) / out
    if family == "sigma":
        x, shrink = scheduler.scale_model_input(x, t), 1.0 / math.sqrt(1.0 + sigma * sigma)
        scale, sigma = shrink, shrink * sigma
    return world.predict(kind, x, sigma, scale)


def subject(name: str, **settings: Any) -> Subject:
    """The scheduler of this class name; ``settings`` go to its constructor, those with the prefix ``step_`` to its step.

    Raises
    ------
    Unjudgeable
        for a scheduler whose model is not a denoiser of numbers, and for settings that the library refuses.
    ValueError
        for a setting that neither constructor nor step takes.
    """
    library = importlib.import_module("diffusers")
    if name in REFUSED:
        raise Unjudgeable(f"{name}: {REFUSED[name]}")
    if name not in FAMILIES:
        raise Unjudgeable(f"{name}: no adapter; one of {', '.join(FAMILIES)}")
    if settings.get("thresholding"):
        raise Unjudgeable(f"{name}: its threshold is a quantile over the whole sample, which is not affine")
    family, *order = FAMILIES[name]
    kind = getattr(library, name)
    steps_own = [f"step_{key}" for key in inspect.signature(kind.step).parameters if key not in GIVEN]
    known_settings(name, kind.__init__, settings, (), steps_own)
    step = {key[5:]: value for key, value in settings.items() if key.startswith("step_")}
    settings = {key: value for key, value in settings.items() if not key.startswith("step_")}

    def make(world: World):
        with world.wide():
            scheduler = kind(**settings)
            world.widened(scheduler)

        def drive(world, steps):
            with world.answered():
                scheduler.set_timesteps(steps)
                world.widened(scheduler)
                x = None
                for i, t in enumerate(scheduler.timesteps):
                    index = getattr(scheduler, "step_index", None)
                    level = _level(family, scheduler, i if index is None else index, t)
                    if x is None:
                        x = world.start(*level, deviation=float(getattr(scheduler, "init_noise_sigma", 1.0)))
                    elif name != "PNDMScheduler" and getattr(scheduler, "state_in_first_order", True):
                        x = world.between(x, *level)
                    x = scheduler.step(_model(world, scheduler, family, x, t, level), t, x, **step).prev_sample
                world.state(x, *_final(family, scheduler))

        return drive

    try:
        probe = kind(**settings)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise Unjudgeable(f"{name} refuses {settings}: {str(error)[:120]}") from None
    order = order[0] if order else probe.config.get("solver_order")
    if "sde" in str(probe.config.get("algorithm_type", "")):
        order = 1
    return Subject(
        name=f"diffusers:{name}",
        make=make,
        order=order,
        library="torch",
        max_steps=int(probe.config.get("num_train_timesteps", 1000)),
    )
