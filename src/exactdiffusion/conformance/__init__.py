"""Judging samplers of other libraries exactly: coefficient propagation on Gaussian targets, and verdicts.

``conform("diffusers:HeunDiscreteScheduler")`` or ``exactdiffusion conform`` judges one sampler. A sampler of another kind
needs an adapter, a function ``drive(world, steps)``: see :class:`Subject` and :class:`World`.
"""

from importlib import import_module as _import_module

_NAMES = {
    "Report": "verdicts",
    "Subject": "subject",
    "Target": "world",
    "Unjudgeable": "subject",
    "Verdict": "verdicts",
    "World": "world",
    "conform": "command",
    "judge": "verdicts",
    "measure": "measurement",
    "subject_of": "command",
}
__all__ = ["Report", "Subject", "Target", "Unjudgeable", "Verdict", "World", "conform", "judge", "measure", "subject_of"]


def __getattr__(name):
    # loaded on first use: the pytest plugin of this room is imported in every pytest run of its user
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f".{_NAMES[name]}", __name__), name)
    globals()[name] = value
    return value
