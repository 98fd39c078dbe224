"""The rooms of the package stand on floors: imports run downwards, and nothing goes round in a circle.

Every public module says in ``__all__`` what it offers, and offers nothing that another package made.
"""

import ast
import graphlib
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
from annotations import registers, unannotated

import exactdiffusion
from exactdiffusion._core.paths import project_root

SOURCE = Path(exactdiffusion.__file__).parent
#: rooms by floor, from the ground up; rooms of one floor may import each other, though not in a circle
FLOORS = (
    {"_core", "_version"},
    {"laws", "prox", "schedules", "statements"},
    {"distances", "output_laws", "samplers"},
    {"checks", "datasets", "papers"},
    {"conformance", "studies"},
    {"cli"},
    {"__init__", "__main__"},
)


def _modules():
    """Dotted name (without the package) -> file."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[0] not in ("_theory", "_experiments"):
            found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


MODULES = _modules()


def _imports(name):
    """The package's modules that a module imports, at any level of indentation."""
    path = MODULES[name]
    home = name.split(".") if path.name == "__init__.py" and name != "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                stem = [*home[: len(home) - node.level + 1], *(node.module or "").split(".")]
            elif (node.module or "").split(".")[0] == "exactdiffusion":
                stem = node.module.split(".")[1:]
            else:
                continue
            stem = ".".join(part for part in stem if part)
            for alias in node.names:
                whole = f"{stem}.{alias.name}".strip(".")
                target = whole if whole in MODULES else stem
                if target and target != name:
                    yield target
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("exactdiffusion.") for a in node.names if a.name.startswith("exactdiffusion."))


def _room(name):
    return name.partition(".")[0]


def test_every_module_has_a_room():
    assert {_room(name) for name in MODULES} == set().union(*FLOORS)


def test_imports_run_downwards():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    arrows = {(name, target) for name in MODULES for target in _imports(name)}
    assert len(arrows) > 150
    up = sorted(f"{a} imports {b}" for a, b in arrows if floor[_room(a)] < floor[_room(b)])
    assert not up, up


@pytest.mark.parametrize("what", ["rooms", "modules"])
def test_no_circle(what):
    graph = {}
    for name in MODULES:
        for target in _imports(name):
            a, b = (_room(name), _room(target)) if what == "rooms" else (name, target)
            if a != b:
                graph.setdefault(a, set()).add(b)
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError names the circle


# -- what a module offers ------------------------------------------------------------------------------------------------

#: public modules, without those whose file or folder begins with an underscore
PUBLIC = sorted(name for name in MODULES if name == "__init__" or not re.search(r"(^|\.)_", name))
#: modules to which contributors add by a decorator: `quality/test_annotations.py` asks them
ADDED_TO = sorted(name for name, path in MODULES.items() if registers(path))


def _load(name):
    return importlib.import_module("exactdiffusion" if name == "__init__" else f"exactdiffusion.{name}")


def _foreign(module, names):
    """Those of the names that are not this package's: other modules, and classes and functions made elsewhere."""
    for name in names:
        value = getattr(module, name)
        made = inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        if made and not f"{home}.".startswith("exactdiffusion."):
            yield name


def _helpers(name, names):
    """Those of the names that a module, which is no package, imports: they belong to another module."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    imported = {
        a.asname or a.name for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) for a in node.names
    }
    return sorted(imported & set(names)) if MODULES[name].name != "__init__.py" else []


def test_public_modules_have_all():
    without = [name for name in PUBLIC if name not in ADDED_TO and not hasattr(_load(name), "__all__")]
    assert not without, f"add __all__, the list of what users may take, to {without}"


def test_additions_are_told_by_their_decorators():
    rooms = {_room(name) for name in ADDED_TO}
    assert rooms >= {"samplers", "statements", "schedules", "datasets", "studies"}
    assert {"samplers.ddim", "statements.projection"} <= set(ADDED_TO)
    assert not {"samplers._base", "statements._statement", "output_laws.line", "distances.wasserstein"} & set(ADDED_TO)


@pytest.mark.parametrize("name", [n for n in MODULES if "__all__ = [" in MODULES[n].read_text(encoding="utf-8")])
def test_star_import_brings_only_this_package(name):
    module = _load(name)
    offered = module.__all__
    assert len(set(offered)) == len(offered)
    if MODULES[name].name == "__init__.py":  # a submodule is there once it is imported
        for child in {f"{name}.{n}".removeprefix("__init__.") for n in offered} & set(MODULES):
            _load(child)
    assert not [n for n in offered if not hasattr(module, n)]
    if name == "_core.typing":  # gives names to the types of other packages
        return
    assert not list(_foreign(module, offered))
    assert _helpers(name, offered) == (["METRICS"] if name == "studies.sweep" else [])


def test_a_leak_is_seen():
    """The two judges on a module whose imports are known: validation takes NumPy and helpers of the arrays module."""
    module = _load("_core.validation")
    assert set(_foreign(module, vars(module))) >= {"np", "math", "functools"}
    assert {"np", "to_numpy"} <= set(_helpers("_core.validation", vars(module)))


def test_everyday_names_are_functions():
    """``exactdiffusion.sweep`` and its like are what one calls; no module of the same name takes their place."""
    for name in ("audit", "plot", "report", "sweep", "verify", "w2"):
        assert inspect.isfunction(getattr(exactdiffusion, name)), name
        assert f"exactdiffusion.{name}" not in sys.modules, name
    assert set(exactdiffusion.__all__) <= set(dir(exactdiffusion))
    assert not list(_foreign(exactdiffusion, [n for n in dir(exactdiffusion) if not n.startswith("_")]))


@pytest.mark.skipif(project_root() is None, reason="CONTRIBUTING.md is in a checkout")
def test_contributing_draws_the_same_floors():
    text = (project_root() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = [set(re.findall(r"`(\w+)`", line)) for line in re.findall(r"^  \d\. (.*)$", text, re.MULTILINE)]
    assert listed == [{n for n in rooms if n not in ("_version", "__init__", "__main__")} for rooms in FLOORS[:-1]]


#: the kernels, which are no door
NOT_ANNOTATED = "laws._kernels."


def test_public_functions_are_annotated():
    count = 0
    for name in sorted(set(MODULES) - set(ADDED_TO)):
        if not name.startswith(NOT_ANNOTATED):
            arguments, missing = unannotated(MODULES[name].read_text(encoding="utf-8"))
            assert not missing, f"{name}: annotate {missing}"
            count += arguments
    assert count > 1000
