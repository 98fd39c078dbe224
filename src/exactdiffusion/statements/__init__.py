"""Closed-form right-hand sides of published statements: one module per paper, one function per statement.

A statement lives here and nowhere else: the docstring of its function gives hypotheses, conclusion and source. Nothing in
this package knows a law or a sampler; the functions take numbers and arrays.
"""

from importlib import import_module as _import_module
from types import ModuleType

from ._statement import KINDS, PAPERS, REGISTRY, TEXTS, Statement, statement

#: modules that hold statements, in the order of the ledger
MODULES = (
    "foundations",
    "ddpm",
    "projection",
    "proximal",
    "proximal_dimension",
    "conditional_mean",
    "log_concavity",
    "log_concavity_thresholds",
)


def all_statements() -> list[Statement]:
    """Every registered statement, in the order of the papers and of the text.

    Examples
    --------
    >>> [s.name for s in all_statements() if s.paper == "foundations"][:2]
    ['tweedie_denoiser', 'tweedie_covariance']
    """
    for name in MODULES:
        _import_module(f".{name}", __name__)
    order = {paper: i for i, paper in enumerate(PAPERS)}
    listed = {f"{__name__}.{name}": i for i, name in enumerate(MODULES)}
    # statements of a module that is not listed (a user's own, or one in the making) are not part of the ledger; within a
    # module they are registered in the order of the text, but the modules in the order in which somebody imported them
    found = [s for s in REGISTRY.values() if s.module in listed]
    return sorted(found, key=lambda s: (order[s.paper], listed[s.module]))


def __getattr__(name: str) -> ModuleType:
    if name in MODULES:
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["KINDS", "MODULES", "PAPERS", "REGISTRY", "TEXTS", "Statement", "all_statements", "statement"]
