"""Theorems about diffusion models, checked numerically with exact oracles.

Scores, denoisers, projections and proximal maps of Gaussian mixtures, point clouds and simple closed sets are computed
exactly, so a failing check means that the theorem or the code is wrong, not a network. The names below are loaded on first
use, so that ``import exactdiffusion`` costs next to nothing.
"""

from importlib import import_module as _import_module

from ._version import __version__

_MODULES = ("datasets", "distances", "laws", "output_laws", "prox", "samplers", "schedules", "statements")
_NAMES = {
    "Counted": "laws",
    "Denoiser": "laws",
    "GaussianMixture": "laws",
    "Grid": "schedules",
    "Noise": "_core.random",
    "PointCloud": "laws",
    "Sphere": "laws",
    "Subspace": "laws",
    "Torus": "laws",
    "audit": "papers.projection.audit",
    "compare": "studies.results",
    "plot": "studies.plot",
    "report": "studies.report",
    "sweep": "studies.sweep",
    "verify": "checks.verify",
    "w2": "distances",
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
