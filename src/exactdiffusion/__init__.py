"""Exact oracles, so that only the theorem is under test.

Scores, denoisers, projections and proximal maps of Gaussian mixtures, point clouds and simple closed sets are known
exactly; samplers, schedules and published bounds are then checked against them. Every name below is loaded on first
use, so that ``import exactdiffusion`` costs next to nothing.
"""

from importlib import import_module as _import_module

from ._version import __version__

_MODULES = (
    "adversaries",
    "arrays",
    "audit",
    "bounds",
    "chains",
    "conditional_mean",
    "datasets",
    "laws",
    "ledger",
    "log_concavity",
    "measure",
    "measurements",
    "noise",
    "propagation",
    "proximal",
    "samplers",
    "schedules",
    "sweep",
)
_NAMES = {
    "GaussianMixture": "laws",
    "PointCloud": "laws",
    "Sphere": "laws",
    "Subspace": "laws",
    "Torus": "laws",
    "Denoiser": "laws",
    "Counted": "laws",
    "Grid": "schedules",
    "Noise": "noise",
}
__all__ = ["__version__", *sorted(_NAMES), *_MODULES]


def __getattr__(name):
    if name in _NAMES:
        value = getattr(_import_module(f".{_NAMES[name]}", __name__), name)
    elif name in _MODULES:
        value = _import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
