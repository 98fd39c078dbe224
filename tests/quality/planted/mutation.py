"""Mutation testing of the formulas: small changes made by machine, each run against the tests that execute the function.

``python tests/quality/planted/mutation.py [--count N] [--seed S] [--only TEXT]`` draws N mutants of the modules in
:data:`MODULES` (by the operators of cosmic-ray: extra ``mutation``), runs them and lists the survivors; ``--all`` takes
every mutant (hours). Survivors that were reviewed are in ``equivalent.toml`` with the reason why no test can or should
see them; they are not run again as long as the changed expression is the same (:func:`key`). ``--reviewed`` shows the
code of each of them, and runs nothing.

A mutant first meets the tests that execute its function, the quickest ones first, then whole files of such tests (a value
cached by one test may be asserted in another). An exception and a run that does not end count as seen; the score says how
many were seen so, and how many by an assertion.
"""

import argparse
import ast
import hashlib
import importlib
import inspect
import json
import pkgutil
import re
import sys
import tempfile
import textwrap
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import plant as planted
import server

#: what is mutated: the formulas, the schedules, the samplers and their exact laws
MODULES = ("statements", "schedules", "samplers", "output_laws", "papers.proximal.budgets")
#: which tests may see it (those of other parts are left out)
TESTS = (
    "theory",
    "tests/checks/test_references.py",
    "tests/statements/test_domain.py",
    "tests/statements/test_formulas.py",
    "tests/statements/test_projection.py",
    "tests/statements/test_proximal.py",
    "tests/test_schedules.py",
    "tests/samplers/test_samplers.py",
    "tests/samplers/test_proximal.py",
    "tests/output_laws/test_coefficients.py",
    "tests/output_laws/test_gaussian.py",
    "tests/output_laws/test_line.py",
    "tests/output_laws/test_plane.py",
    "tests/output_laws/test_line_reports.py",
    "tests/papers/conditional_mean/test_denoiser.py",
    "tests/papers/projection/test_audit.py",
    "tests/papers/log_concavity/test_certificates.py",
    "tests/checks/test_findings.py",
)
OPERATORS = (
    "NumberReplacer",
    *(f"ReplaceBinaryOperator_{a}" for a in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "Mul_Add")),
    *(f"ReplaceComparisonOperator_{a}" for a in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "Eq_NotEq")),
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "AddNot",
)
#: seconds of tests (without a mutation) that a mutant has to survive
PATIENCE = 60.0
#: mutants of a ``--deep`` run and their seed
COUNT, SEED = 300, 0
#: jobs that are run without a mutation as well, and how many of their tests
CONTROL = (12, 10)


def functions():
    """target -> source, of every function and method of :data:`MODULES`."""
    found = {}
    for top in MODULES:
        module = importlib.import_module(f"exactdiffusion.{top}")
        names = [module.__name__]
        if hasattr(module, "__path__"):
            names += [f"{module.__name__}.{info.name}" for info in pkgutil.iter_modules(module.__path__)]
        for name in names:
            tree = ast.parse(inspect.getsource(importlib.import_module(name)))
            for node in tree.body:
                inner = node.body if isinstance(node, ast.ClassDef) else []
                for item in (node, *inner):
                    if isinstance(item, ast.FunctionDef):
                        path = item.name if item is node else f"{node.name}.{item.name}"
                        target = f"{name}:{path}"
                        found[target] = textwrap.dedent(inspect.getsource(planted.function(target)))
    return found


def places(source):
    """How often each operator applies to a source: a list of (operator name, number of places)."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    everything = list(ast_nodes(get_ast(source)))
    operators = [(name, get_operator(f"core/{name}")()) for name in OPERATORS]
    return [(name, sum(len(list(op.mutation_positions(node))) for node in everything)) for name, op in operators]


def mutant(target, source, name, occurrence):
    """One mutant as a :class:`plant.Fault` whose ``old`` and ``new`` are whole sources; None where it is no change."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    changed = mutate_code(source, get_operator(f"core/{name}")(), occurrence)
    try:
        if changed is None or expressions(source) == expressions(changed):
            return None
    except SyntaxError:  # the bare * of a signature is no product
        return None
    return planted.Fault(f"{target} {name} {occurrence}", name, target, source, changed, ("-",), False, "mutation")


#: nodes that hold expressions without being one
_HOLDERS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def expressions(source):
    """The expressions that the statements of a function hold, each as text without layout, comments and annotations.

    A signature gives one text for each parameter; the decorators of the function have run already and are left out.
    """
    tree, found = ast.parse(source).body[0], []
    tree.decorator_list = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
    for node in ast.walk(tree):
        if isinstance(node, _HOLDERS):
            hints = [getattr(node, name, None) for name in ("annotation", "returns")]
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, _HOLDERS) and child not in hints:
                    text = ast.unparse(child).replace('"', "'")  # the quotes of f-strings differ between versions of Python
                    found += text.split(", ") if isinstance(child, ast.arguments) else [text]
    return found


def key(fault):
    """The name ``operator digest`` of a mutant among those of its function.

    The digest is that of the whole expression (:func:`expressions`) before and after the change; where the function holds
    the same expression several times, the number of the changed one follows. An edit of the expression makes another key;
    an edit of the layout, of an annotation or of another statement does not, nor does another name of an imported module
    of the package.
    """
    before, after = expressions(fault.old), expressions(fault.new)
    i = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    rooms = [name for name, value in vars(sys.modules[fault.target.partition(":")[0]]).items() if _is_room(value)]
    text = re.sub(r"\b(\w+)\.", lambda m: "" if m[1] in rooms else m[0], f"{before[i]} -> {after[i]}")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    earlier = before[:i].count(before[i])
    return f"{fault.kind} {digest}" + (f" {earlier + 1}" if earlier else "")


def _is_room(value):
    return inspect.ismodule(value) and value.__name__.startswith("exactdiffusion.")


def difference(fault):
    """The changed lines of a mutant, ``old -> new``, for its reader."""
    pairs = zip(fault.old.splitlines(), fault.new.splitlines())
    return "; ".join(f"{a.strip()} -> {b.strip()}" for a, b in pairs if a != b)


@dataclass(frozen=True)
class Traced(planted.Fault):
    """No error: the function reports each call to :data:`_CALLS`."""

    def tree(self, original):
        tree = ast.parse(textwrap.dedent(inspect.getsource(original)))
        body = tree.body[0].body
        is_text = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        body.insert(1 if is_text else 0, ast.parse(f"_planted_seen({self.target!r})").body[0])
        original.__globals__["_planted_seen"] = _CALLS.note
        return ast.fix_missing_locations(tree)


class _Calls:
    """Pytest plugin: which test executes which traced function, and how long each test takes."""

    def __init__(self):
        self.seen, self.shared, self.seconds, self.item, self.items = defaultdict(set), defaultdict(set), {}, None, []

    def note(self, target):
        if self.item is not None:
            self.seen[target].add(self.item.nodeid)
            if self.fixtures:  # a shared fixture is made for the first test that asks; what it calls belongs to all of them
                self.shared[target].update((self.item.nodeid.split("::")[0], name) for name in self.fixtures)

    def pytest_collection_finish(self, session):
        self.items = session.items

    def pytest_runtest_setup(self, item):
        self.item, self.fixtures = item, _shared_fixtures(item)

    def pytest_runtest_call(self, item):
        self.fixtures = ()

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def table(self):
        for target, names in self.shared.items():
            for item in self.items:
                file = item.nodeid.split("::")[0]
                if any((file, name) in names for name in _shared_fixtures(item)):
                    self.seen[target].add(item.nodeid)
        return {"seen": {k: sorted(v) for k, v in self.seen.items()}, "seconds": self.seconds}


_CALLS = _Calls()


def _shared_fixtures(item):
    """Names of the fixtures of a test that other tests of its file share."""
    return tuple(name for name, defs in item._fixtureinfo.name2fixturedefs.items() if defs[-1].scope != "function")


def who_runs_what(out):
    """Run :data:`TESTS` once and write ``{"seen": {target: [test ids]}, "seconds": {test id: s}}`` to the file ``out``."""
    import pytest

    for target in functions():
        planted.plant(Traced(f"trace {target}", "trace", target, "", "", ("-",), False, "mutation"))
    code = pytest.main([*planted.options(False), "--tb=short", *(str(planted.ROOT / t) for t in TESTS)], plugins=[_CALLS])
    if code:
        raise SystemExit(f"the tests fail without a mutation (exit code {int(code)})")
    Path(out).write_text(json.dumps(_CALLS.table()))


def reviewed():
    """``(target, key)`` -> reason, of the survivors in ``equivalent.toml``."""
    path = planted.HERE / "equivalent.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", []) if path.exists() else []
    return {(e["target"], name): e["reason"] for e in entries for name in e["mutants"]}


def every(sources):
    """All mutants of the functions ``target -> source``."""
    for target, source in sources.items():
        for name, number in places(source):
            made = (mutant(target, source, name, k) for k in range(number))
            yield from (m for m in made if m is not None)


def stale(sources=None):
    """The reviewed ``(target, key)`` that no operator makes of the present code (or of ``sources``, for their functions)."""
    entries = {entry for entry in reviewed() if sources is None or entry[0] in sources}
    code = functions() if sources is None else sources
    wanted = {target: code[target] for target in {t for t, _ in entries} & set(code)}
    return sorted(entries - {(m.target, key(m)) for m in every(wanted)})


def first_names():
    """New name -> old name of every function and module that has moved (``benchmarks/evidence/names.toml``)."""
    text = (planted.ROOT / "benchmarks" / "evidence" / "names.toml").read_text(encoding="utf-8")
    return {new: old for old, new in tomllib.loads(text)["names"].items()}


def first_name(target, moved):
    """The target by the name that its function, or the innermost of its modules that has moved, had first."""
    if target in moved:
        return moved[target]
    module, _, path = target.partition(":")
    parts = module.split(".")
    for n in range(len(parts), 0, -1):
        if (head := ".".join(parts[:n])) in moved:
            return ".".join([moved[head], *parts[n:]]) + f":{path}"
    return target


def draw(count, seed, only=""):
    """``count`` mutants (None: all), the same for the same code and seed, and the number of places they are drawn from.

    Each place has its lot from the first name of its function (:func:`first_name`), its operator and its number among the
    places of this operator in the function. So a move that ``names.toml`` lists changes no lot, nor does a new layout. An
    edit that adds or removes a place gives other lots to the places of the same operator behind it in the same function; a
    move that is not listed gives other lots to the whole function. The draw among all other functions stays as it was.
    """
    sources = {target: source for target, source in functions().items() if only in target}
    population = [(t, name, k) for t, s in sources.items() for name, number in places(s) for k in range(number)]
    moved = first_names()
    lots = [hashlib.sha256(repr((seed, first_name(t, moved), name, k)).encode()).digest() for t, name, k in population]
    chosen = []
    for _, (target, name, k) in sorted(zip(lots, population)):
        if count is not None and len(chosen) >= count:
            break
        found = mutant(target, sources[target], name, k)
        if found is not None:
            chosen.append(found)
    return chosen, len(population)


def _job(fault, calls):
    """The server's job for a mutant, or None where no test executes its function."""
    seconds, near = calls["seconds"], sorted(calls["seen"].get(fault.target, ()), key=lambda n: calls["seconds"][n])
    if not near:
        return None
    files = defaultdict(float)
    for node, s in seconds.items():
        files[node.split("::")[0]] += s
    reach = {node.split("::")[0] for node in near}
    nodes, total = [], 0.0
    for node, s in [*((n, seconds[n]) for n in near), *sorted(((f, files[f]) for f in reach), key=lambda e: e[1])]:
        total += s
        if nodes and total > PATIENCE:
            break
        nodes.append(node)
    return {"fault": planted.fields(fault), "nodes": nodes, "first": True, "limit": 3 * min(total, PATIENCE) + 30}


@dataclass(frozen=True)
class Score:
    """Mutants by what became of them (the killed ones by how), and the number of places they were drawn from."""

    killed: dict
    survivors: list
    equivalent: list
    unreached: list
    population: int
    seed: int

    @property
    def alive(self):
        return len(self.survivors) + len(self.unreached)

    @property
    def total(self):
        return sum(map(len, self.killed.values())) + self.alive

    def __str__(self):
        lines = []
        for title, group in (("survives", self.survivors), ("not executed by any test", self.unreached)):
            lines += [f"{title}: {m.target}: {key(m)}: {difference(m)}" for m in group]
        dead = self.total - self.alive
        how = ", ".join(f"{len(group)} {name}" for name, group in self.killed.items())
        lines.append(
            f"mutation score: {dead} of {self.total} mutants killed ({100 * dead / max(self.total, 1):.1f} %; {how}), "
            f"{len(self.equivalent)} more reviewed as equivalent; seed {self.seed}, {self.population} places"
        )
        return "\n".join(lines)


#: how a mutant may be seen
WAYS = ("by an assertion", "by an exception", "without an answer")


def _way(result):
    """How a mutant was seen (one of :data:`WAYS`), None where it was not.

    Raises
    ------
    RuntimeError
        when the change could not be put in place, which is no merit of a test.
    """
    if result["failed"]:
        return WAYS[0 if set(result["failed"].values()) & {"AssertionError", "Failed"} else 1]
    if result["error"].startswith("no answer"):
        return WAYS[2]
    if result["error"]:
        raise RuntimeError(result["error"])
    return None


def run(count=COUNT, seed=SEED, only="", calls=None):
    """Draw mutants and run them; ``calls`` is the table of :func:`who_runs_what` where it is known. Returns a Score.

    Raises
    ------
    RuntimeError
        when a test is red without a mutation in the order and the process in which the mutants meet it.
    """
    reasons = reviewed()
    chosen, population = draw(count, seed, only)
    equivalent = [m for m in chosen if (m.target, key(m)) in reasons]
    chosen = [m for m in chosen if (m.target, key(m)) not in reasons]

    # which test executes which function: one run of the tests without a mutation
    if calls is None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "calls.json"
            server.python([__file__, "--map", str(out)])
            calls = json.loads(out.read_text())

    # some jobs are run without their mutation first: a red test would otherwise count as one that sees it
    jobs = [_job(m, calls) for m in chosen]
    work = [job for job in jobs if job is not None]
    clean = [{**job, "fault": None, "nodes": job["nodes"][: CONTROL[1]]} for job in work[:: max(1, len(work) // CONTROL[0])]]
    results = server.ask([*clean, *work], collected=True)
    red = [r["failed"] or r["error"] for r in results[: len(clean)] if r["failed"] or r["error"]]
    if red:
        raise RuntimeError(f"red without a mutation: {red[0]}")

    # count the mutants by their end
    results = iter(results[len(clean) :])
    killed, survivors, unreached = {way: [] for way in WAYS}, [], []
    for found, job in zip(chosen, jobs):
        if job is None:
            unreached.append(found)
            continue
        way = _way(next(results))
        (survivors if way is None else killed[way]).append(found)
    return Score(killed, survivors, equivalent, unreached, population, seed)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="", help="part of module:function")
    parser.add_argument("--all", action="store_true", help="every mutant instead of a draw")
    parser.add_argument("--map", metavar="FILE", help="only find out which test executes what, and write it to FILE")
    parser.add_argument("--reviewed", action="store_true", help="only show the reviewed mutants, their code and the reasons")
    parser.add_argument("--calls", metavar="FILE", help="use such a file instead of finding out again")
    options = parser.parse_args(argv)
    if options.map:
        return who_runs_what(options.map)
    if options.reviewed:
        reasons = reviewed()
        for m in every({target: s for target, s in functions().items() if options.only in target}):
            if reason := reasons.get((m.target, key(m))):
                print(f"{m.target}: {key(m)}: {difference(m)}\n    {reason}")
        return
    calls = json.loads(Path(options.calls).read_text()) if options.calls else None
    print(run(None if options.all else options.count, options.seed, options.only, calls))


if __name__ == "__main__":
    main(sys.argv[1:])
