"""The public names that want a reference, and whether a complete run used every reference of ``references/index.toml``.

The public names come from the code: ``__all__`` (or the functions of a module that has none), the public methods of their
classes, the methods that a law has once it is noised, the registries.
"""

import functools
import importlib
import inspect
import tomllib
from pathlib import Path

from exactdiffusion import laws, statements
from exactdiffusion import output_laws as package

INDEX = Path(__file__).with_name("references") / "index.toml"
#: modules of oracles and closed forms
MODULES = (
    "laws", "prox", "papers.log_concavity.measurements", "papers.log_concavity.certificates", "papers.conditional_mean",
    "distances", "papers.log_concavity.walk_jump", "papers.projection.adversaries", "papers.projection.curved",
    "papers.proximal.budgets",
    "schedules",
    "_core.random", "samplers", "output_laws", *(f"output_laws.{name}" for name in (*package.__all__, "langevin")
                                                 if inspect.ismodule(getattr(package, name, package))),
    *(f"statements.{name}" for name in statements.MODULES),
)  # fmt: skip


def index():
    return tomllib.loads(INDEX.read_text(encoding="utf-8"))


def members(cls):
    """Public methods and properties that the package itself defines."""
    kinds = (property, functools.cached_property, classmethod, staticmethod)
    own = (c for c in cls.__mro__ if c.__module__.startswith("exactdiffusion"))
    return {
        name
        for c in own
        for name, value in vars(c).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    }


def noised_members(cls):
    """Those of a law's noised forms, over all examples of the law."""
    examples = (make() for make in laws.REGISTRY.values())
    found = {type(law.noised(0.8, 0.5)) for law in examples if type(law) is cls}
    return {name for noised in found for name in members(noised)}


def public():
    """Dotted names, without the package."""
    names = set()
    for module in MODULES:
        home = importlib.import_module(f"exactdiffusion.{module}")
        own = [n for n, v in vars(home).items() if not n.startswith("_") and getattr(v, "__module__", "") == home.__name__]
        for name in getattr(home, "__all__", own):
            value = getattr(home, name)
            if inspect.isclass(value):
                if not issubclass(value, Exception):
                    names |= {f"{module}.{name}.{member}" for member in members(value)}
                    if "__call__" in vars(value):
                        names.add(f"{module}.{name}")
                if module == "laws":
                    names |= {f"{module}.{name}.noised.{member}" for member in noised_members(value)}
            elif callable(value):
                names.add(f"{module}.{name}")
    return names


def unused(index, nodes, used, skipped):
    """One line per reference that was not used; none unless every test that the index names took part.

    ``nodes`` are the collected tests and ``skipped`` those of which a case was skipped, both without parameters; ``used``
    holds pairs of a public name and the test (in ``theory/`` the file) that recorded an accuracy for it.
    """
    wanted = {name: tuple(entry) for name, entry in index["reference"].items()}
    files = {node.partition("::")[0] for node in nodes}
    if any(node not in (nodes if "::" in node else files) for _, node in wanted.values()):
        return []
    without = skipped - {node for _, node in used}  # nothing of it could run
    lines = [
        f"{name}: {node} recorded no accuracy for it"
        for name, (kind, node) in wanted.items()
        if kind != "statistics" and node not in without and (name, node) not in used
    ]
    # what `ApproximateProjection.noised` returns, and what the spheres compute with, have no public name of their own
    private = ("papers.projection.adversaries.ApproximateProjection.noised.denoise", "Bessel functions of the spheres")
    recorded = {name for name, _ in used if name not in wanted and not name.startswith(private)}
    # a public name that the index lacks is reported by `additions`; a name that is not public is a slip of the test
    unknown = sorted(recorded - public()) if recorded else []
    return lines + [f"{name}: an accuracy was recorded, and there is no such public name" for name in unknown]
