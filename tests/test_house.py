"""The rooms of the package stand on floors: imports run downwards, and nothing goes round in a circle."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

import exactdiffusion
from exactdiffusion._core.paths import project_root

SOURCE = Path(exactdiffusion.__file__).parent
#: rooms by floor, from the ground up; rooms of one floor may import each other, though not in a circle
FLOORS = (
    {"_core", "_version"},
    {"laws", "prox", "schedules", "statements"},
    {"distances", "output_laws", "samplers"},
    {"checks", "datasets", "papers"},
    {"studies"},
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


@pytest.mark.skipif(project_root() is None, reason="CONTRIBUTING.md is in a checkout")
def test_contributing_draws_the_same_floors():
    text = (project_root() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = [set(re.findall(r"`(\w+)`", line)) for line in re.findall(r"^  \d\. (.*)$", text, re.MULTILINE)]
    assert listed == [{n for n in rooms if n not in ("_version", "__init__", "__main__")} for rooms in FLOORS[:-1]]


#: rooms whose public functions are not annotated yet, and the kernels, which are no door
NOT_ANNOTATED = ("output_laws", "samplers", "statements", "laws._kernels", "__init__", "__main__", "_version")


def _public_functions(body, prefix="", method=False):
    """Qualified name, node and whether the first argument is the object, of what has no leading underscore."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body, f"{prefix}{node.name}.", method=True)
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name in ("__init__", "__call__")):
            static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
            yield prefix + node.name, node, method and not static


def test_public_functions_are_annotated():
    assert {name.partition(".")[0] for name in NOT_ANNOTATED} <= set().union(*FLOORS)
    missing, count = [], 0
    for name, path in sorted(MODULES.items()):
        if any(name == left or name.startswith(f"{left}.") for left in NOT_ANNOTATED):
            continue
        for function, node, bound in _public_functions(ast.parse(path.read_text(encoding="utf-8")).body):
            named = [*node.args.posonlyargs, *node.args.args][bound:]
            arguments = [*named, *node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
            count += len(arguments)
            missing += [f"{name}.{function}: {a.arg}" for a in arguments if a.annotation is None]
            if node.returns is None:
                missing.append(f"{name}.{function}: the return value")
    assert count > 1000
    assert not missing, missing
