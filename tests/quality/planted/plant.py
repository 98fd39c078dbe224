"""Plant one error of the catalogue in the running library and see which checks go red.

A fault is a replacement of one piece of text in one function's source, ``old`` by ``new``. The changed function is
compiled in the namespace of its module and its code put in the place of the original's, so that every reference to
it (registries, ``from`` imports, subclasses) sees the error and no file changes. Faults live in the ``*.toml`` files
beside this one:

    [[fault]]
    name = "DDIM ends one level early"            # unique
    kind = "wrong index"                          # class of error, for the summary
    target = "exactdiffusion.samplers.ddim:ddim"  # module:qualified name of a function, method or property
    old = "sigma[i + 1]"                          # occurs exactly once in the function's source
    new = "sigma[i]"
    caught_by = ["theory/projection/thm_4_1_exact_projection.py::test_bound"]   # checks that must fail, each of them,
                                                                                # and one of them by an assertion
    quick = true                                  # part of the default run

By hand: ``python tests/quality/planted/plant.py "DDIM ends one level early" theory/projection`` runs pytest on the given
paths with the error planted and lists what fails; without paths it runs the checks of ``caught_by``. ``--bounds TEXT``
multiplies every bound whose key contains TEXT by 1.05 and by .95, each part of its value by itself, and says which of the
changes its theory file does not see; ``scale_free.toml`` lists the few values that are right times any factor.
"""

import ast
import functools
import importlib
import inspect
import math
import os
import re
import sys
import textwrap
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
#: how a check may NOT fail: these say that the patch itself is broken, not that a check saw an error
BROKEN = ("NameError", "SyntaxError", "ImportError", "ModuleNotFoundError", "UnboundLocalError", "IndentationError")
#: how at least one check of a fault must fail: an assertion saw a wrong value (or ``pytest.raises`` saw no error)
ASSERTED = ("AssertionError", "Failed")


@dataclass(frozen=True)
class Fault:
    name: str
    kind: str
    target: str
    old: str
    new: str
    caught_by: tuple[str, ...]
    quick: bool
    file: str


def catalogue():
    """All faults, in the order of the files.

    Raises
    ------
    ValueError
        for a fault with a missing or unknown key, an empty list of checks, or a name that is taken.
    """
    faults, keys = [], {"name", "kind", "target", "old", "new", "caught_by", "quick"}
    for path in sorted(HERE.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("fault", []):
            entry.setdefault("quick", True)
            if set(entry) != keys:
                raise ValueError(f"{path.name}, {entry.get('name')!r}: keys {sorted(set(entry) ^ keys)} missing or unknown")
            if not entry["caught_by"]:
                raise ValueError(f"{path.name}, {entry['name']!r}: caught_by: empty; name the checks that must fail")
            entry["caught_by"] = tuple(entry["caught_by"])
            faults.append(Fault(**entry, file=path.name))
    names = [f.name for f in faults]
    if len(set(names)) < len(names):
        raise ValueError(f"name: taken twice: {sorted({n for n in names if names.count(n) > 1})}")
    return faults


def fields(fault):
    """The fields of a fault, for the server."""
    return asdict(fault)


def from_spec(spec):
    """The :class:`Fault` or :class:`Scaled` of a dictionary of its fields (how the server receives it)."""
    spec = dict(spec, caught_by=tuple(spec.get("caught_by", ())))
    return Scaled(**spec) if "factor" in spec else Fault(**spec)


def function(target):
    """The function behind ``module:qualified.name``: unwrapped, out of properties and class or static methods."""
    module, _, path = target.partition(":")
    value = importlib.import_module(module)
    for part in path.split("."):
        value = inspect.getattr_static(value, part)
        if isinstance(value, property | functools.cached_property):
            value = value.fget if isinstance(value, property) else value.func
        elif isinstance(value, classmethod | staticmethod):
            value = value.__func__
    value = inspect.unwrap(value)
    if not inspect.isfunction(value):
        raise ValueError(f"target: {target!r} is no Python function but {type(value).__name__}")
    return value


@dataclass(frozen=True)
class Scaled:
    """A bound whose value (``part`` of it, where it returns several) is multiplied by ``factor``."""

    name: str
    target: str
    factor: float
    part: int
    caught_by: tuple[str, ...]
    statement: str


def _scale(value, factor, part):
    """``factor`` times a number or an array; of a tuple or dictionary, only its ``part``-th entry. Integers stay so."""
    if isinstance(value, dict):
        return {k: _scale(v, factor, 0) if i == part else v for i, (k, v) in enumerate(value.items())}
    if isinstance(value, tuple):
        return tuple(_scale(v, factor, 0) if i == part else v for i, v in enumerate(value))
    if isinstance(value, int):
        moved = round(factor * value)
        return moved if moved != value else value + int(math.copysign(1, factor - 1) * math.copysign(1, value))
    return factor * value


def scaled_bounds(factors=(1.05, 0.95)):
    """Every function that files a statement, its value times each factor; the statement's theory file must see it."""
    from exactdiffusion import statements

    files = {}
    for path in sorted((ROOT / "theory").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found = re.search(r"^STATEMENT = (\w+)\.(\w+)\.statement", text, re.MULTILINE)
        if found:
            alias, name = found.groups()
            imported = rf"^from exactdiffusion\.statements import .*?(?:(\w+) as )?\b{alias}\b"
            module = re.search(imported, text, re.MULTILINE).group(1) or alias
            files.setdefault(f"exactdiffusion.statements.{module}:{name}", []).append(str(path.relative_to(ROOT)))
    faults = []
    for s in statements.all_statements():
        target = f"{s.module}:{s.name}"
        tree = ast.parse(textwrap.dedent(inspect.getsource(function(target))))
        values = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return)]
        sizes = [len(v.elts) if isinstance(v, ast.Tuple) else len(v.keys) if isinstance(v, ast.Dict) else 1 for v in values]
        parts = max(sizes)
        for part in range(parts):
            for factor in factors:
                name = f"{s.key} times {factor:g}" + (f", part {part + 1} of {parts}" if parts > 1 else "")
                faults.append(Scaled(name, target, factor, part, tuple(files[target]), s.key))
    return faults


def scale_free():
    """(key of a statement, number of the part, from 1) -> why a factor leaves this value right (``scale_free.toml``).

    Raises
    ------
    ValueError
        for an entry with other keys, or one that names no part of a bound.
    """
    known = {(f.statement, f.part + 1) for f in scaled_bounds((1.05,))}
    reasons = {}
    for entry in tomllib.loads((HERE / "scale_free.toml").read_text(encoding="utf-8"))["value"]:
        if set(entry) != {"key", "part", "reason"} or not entry["reason"]:
            raise ValueError(f"scale_free.toml: {entry}: expected key, part and reason")
        if (entry["key"], entry["part"]) not in known:
            raise ValueError(f"scale_free.toml: {entry['key']}: no bound has this key and a part {entry['part']}")
        reasons[entry["key"], entry["part"]] = entry["reason"]
    return reasons


def seen_by(result):
    """The check that saw a scaled bound: one whose assertion failed. None where none did, or the run hung or crashed."""
    seen = [node for node, how in result["failed"].items() if how == "AssertionError"]
    return seen[0] if seen and not result["error"] else None


def _changed_tree(fault, original):
    """The syntax tree of the function with the error in it."""
    if hasattr(fault, "tree"):
        return fault.tree(original)
    source = textwrap.dedent(inspect.getsource(original))
    before = ast.parse(source)
    if isinstance(fault, Scaled):
        tree = ast.parse(source)
        for node in [n for n in ast.walk(tree) if isinstance(n, ast.Return)]:
            call = ast.parse(f"_planted_scale(None, {fault.factor!r}, {fault.part})", mode="eval").body
            call.args[0] = node.value
            node.value = call
        original.__globals__["_planted_scale"] = _scale
        return ast.fix_missing_locations(tree)
    if source.count(fault.old) != 1:
        times = source.count(fault.old)
        raise ValueError(f"{fault.name}: old: occurs {times} times in {fault.target}: the catalogue is stale")
    tree = ast.parse(source.replace(fault.old, fault.new))
    if ast.dump(tree) == ast.dump(before):
        raise ValueError(f"{fault.name}: new: leaves the code of {fault.target} as it was")
    return tree


def mutated(fault):
    """(original function, changed function); both share the original's globals.

    Raises
    ------
    ValueError
        when ``old`` does not occur exactly once in the function's source, or the change leaves the code as it was.
    """
    original = function(fault.target)
    tree = _changed_tree(fault, original)
    definition = tree.body[0]
    definition.decorator_list = []
    ast.increment_lineno(tree, original.__code__.co_firstlineno - 1)
    free = original.__code__.co_freevars
    if free:  # a closure (or a method that says super()): the same free variables, from an outer function of the same form
        outer = ast.parse("def _outer():\n    " + "; ".join(f"{name} = None" for name in free) + "\n    return None")
        outer.body[0].body[-1:] = [definition, ast.parse(f"def _r():\n return {definition.name}").body[0].body[0]]
        tree = ast.fix_missing_locations(outer)
    namespace = dict(vars(sys.modules[original.__module__]))
    exec(compile(tree, original.__code__.co_filename, "exec"), namespace)
    changed = namespace["_outer"]() if free else namespace[definition.name]
    return original, changed


def plant(fault):
    """Put the error in place, for the rest of this process."""
    original, changed = mutated(fault)
    original.__code__ = changed.__code__
    original.__defaults__, original.__kwdefaults__ = changed.__defaults__, changed.__kwdefaults__


class _Failures:
    """Pytest plugin: which tests ran, which failed, and how. With ``first`` the run ends with the first failed assertion."""

    def __init__(self, first=False):
        self.first, self.passed, self.failed = first, set(), {}

    def pytest_runtest_makereport(self, item, call):
        if call.excinfo is not None and call.excinfo.typename not in ("Skipped", "XFailed"):
            self.failed.setdefault(item.nodeid, call.excinfo.typename)
            if self.first and call.excinfo.typename == "AssertionError":
                item.session.shouldstop = "seen"
        elif call.when == "call":
            self.passed.add(item.nodeid)


def options(deep):
    """Arguments for pytest: no output but what fails, no files, no judgement on the whole run."""
    args = ["--import-mode=importlib", "-p", "exactdiffusion.checks.pytest_plugin", "-p", "no:cacheprovider", "--tb=no"]
    args += ["-q", "--no-header", "--no-verdict-table", f"--rootdir={ROOT}"]
    return [*args, *(["--deep"] if deep else [])]


def run(nodes, *, deep=False, quiet=True, first=False):
    """Run the named checks here, to the ``first`` failed assertion: ``(passed ids, {failed id: exception}, exit code)``."""
    import pytest

    failures, args = _Failures(first), options(deep)
    if quiet:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for the rest of a process made for this run)
    code = int(pytest.main([*args, *(str(ROOT / n) for n in nodes)], plugins=[failures]))
    return failures.passed, failures.failed, code


def _bounds(text):
    """Scale the bounds whose key contains ``text`` and print what goes unnoticed. Returns the number of those."""
    import server

    free = scale_free()
    faults = [f for f in scaled_bounds() if text in f.statement and (f.statement, f.part + 1) not in free]
    results = server.ask([{"fault": fields(f), "nodes": f.caught_by, "first": True} for f in faults])
    missed = [f"not seen: {f.name} {r['failed'] or r['error']}" for f, r in zip(faults, results) if not seen_by(r)]
    print("\n".join([*missed, f"{len(faults) - len(missed)} of {len(faults)} seen"]))
    return len(missed)


def main(argv):
    """Command line: a fault's name, then paths for pytest (none: its named checks). Returns 0 when a check fails."""
    if argv[:1] == ["--bounds"]:
        return _bounds(argv[1] if len(argv) > 1 else "")
    faults = {f.name: f for f in catalogue()}
    if argv[:1] in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    if not argv or argv[0] not in faults:
        print("\n".join(faults) if not argv else f"no fault is called {argv[0]!r}; the catalogue has:\n" + "\n".join(faults))
        return 2
    fault = faults[argv[0]]
    deep = "--deep" in argv
    plant(fault)
    passed, failed, _ = run([a for a in argv[1:] if a != "--deep"] or fault.caught_by, deep=deep, quiet=False)
    for node, how in failed.items():
        print(f"red  {node}  ({how})")
    print(f"{fault.name}: {len(failed)} checks fail, {len(passed)} pass")
    return 0 if failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
