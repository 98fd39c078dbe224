"""The evidence of a tree, as plain data: what `evidence_diff.py` stores and compares.

Everything is made by commands of the tree itself (pytest with its options, ``mutation.py``) and by reading its sources, so
that trees before and after a move of modules answer the same questions.
"""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

PARTS = ("records", "accuracies", "planted", "mutants", "inputs")
#: calls that take a seed or a share of the false-alarm probability, and keywords that hold a tolerance
SEEDED = {"rng", "default_rng", "SeedSequence", "noise", "Noise", "seed", "chance"}
TOLERANT = {"tol", "rtol", "atol", "rel", "abs", "within"}


class Names:
    """New names: ``name(old)`` and ``path(old)`` replace the longest prefix that fits and ends where a name ends.

    ``text(old)`` replaces whole words, or names with dots, in what a check says of its families.
    """

    def __init__(self, names=(), paths=(), words=()):
        self.names, self.paths, self.words = dict(names), dict(paths), dict(words)

    @classmethod
    def read(cls, file):
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        return cls(data["names"], data["paths"], data.get("words", {}))

    def name(self, old):
        return self._replace(old, self.names)

    def path(self, old):
        return self._replace(old, self.paths)

    def text(self, old):
        pattern = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(self.words, key=len, reverse=True))
        return re.sub(pattern, lambda word: self.words[word[0]], old) if pattern else old

    @staticmethod
    def _replace(old, table):
        fits = [prefix for prefix in table if re.match(rf"{re.escape(prefix)}(?!\w)", old)]
        best = max(fits, key=len, default="")
        return table.get(best, "") + old[len(best) :]


def make(part, root, how, names):
    """One of `PARTS` of the tree ``root``.

    ``how`` has the ``depth`` (quick, default, deep), the text ``only`` that chooses files, errors and functions (empty:
    all), ``count`` and ``seed`` of the mutants, and the ``places`` where another tree had them, or None.
    """
    with tempfile.TemporaryDirectory(prefix="evidence-") as scratch:
        return {
            "records": _records, "accuracies": _accuracies, "planted": _planted, "mutants": _mutants, "inputs": _inputs,
        }[part](Path(root), how, names, Path(scratch))  # fmt: skip


# -- running the tree ------------------------------------------------------------------------------------------------------


def python(root, arguments, good=(0,)):
    """Run this Python in the tree ``root``, with the package of that tree and one BLAS thread.

    Returns
    -------
    str, int
        Output and exit code; an exit code that is not ``good`` ends the program.
    """
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    ours = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}  # this may itself run in a test
    options = "-p no:cacheprovider"
    if not (root / "src/exactdiffusion/conformance").is_dir():  # an older tree has no such plugin, which is installed here
        options += " -p no:exactdiffusion_conform"
    environment = {**ours, **threads, "PYTHONPATH": str(root / "src"), "PYTEST_ADDOPTS": options}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, **pipes) as process:
        try:
            out, _ = process.communicate()
        except BaseException:  # an interruption must end the workers of pytest, too
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode not in good:
        raise SystemExit(f"{' '.join(command)} (in {root}): exit code {process.returncode}\n{out[-4000:]}")
    return out, process.returncode


def _pytest(root, how, *arguments, quick=True, parallel=True):
    """Run pytest there. A green run (0), a red one (1) and an empty one (5) are findings; anything else ends the program."""
    workers = ["-n", "auto", "--dist", "loadgroup"] if parallel and find_spec("xdist") else []
    depth = {"deep": ["--deep"], "quick": ["--quick"] * quick}.get(how["depth"], [])
    return python(root, ["-m", "pytest", "-q", "--tb=no", *workers, *depth, *arguments], good=(0, 1, 5))


def planted_folder(root):
    """Where ``plant.py`` is: ``tests/planted`` or ``tests/quality/planted``."""
    return next((root / "tests").rglob("plant.py")).parent


def _files(root, folder, how, names):
    """The test files of a folder that ``only`` chooses by their present or former path; no planted errors, no fuzzing."""
    former, planted = defaultdict(list), planted_folder(root)
    for old, new in names.paths.items():
        former[new].append(old)
    chosen = []
    for file in sorted((root / folder).rglob("*.py")):
        path = file.relative_to(root).as_posix()
        is_test = file.name.startswith("test_") if folder == "tests" else file.name != "conftest.py"
        left_out = planted in file.parents or file.name == "test_fuzz.py"
        if is_test and not left_out and any(how["only"] in name for name in (path, *former[path])):
            chosen.append(path)
    if not chosen:  # pytest without a path would take everything
        raise SystemExit(f"only: got {how['only']!r}; expected a part of the name of a file in {folder}/")
    return chosen


# -- the parts -------------------------------------------------------------------------------------------------------------


def _records(root, how, names, scratch):
    """The records of the theory checks, the verdicts, and the statistical comparisons with their levels."""
    out, _ = _pytest(root, how, *_files(root, "theory", how, names), "--records", scratch)
    if not (scratch / "records.json").exists():
        raise SystemExit(f"the theory checks left no records:\n{out[-4000:]}")
    data = json.loads((scratch / "records.json").read_text(encoding="utf-8"))
    page = (scratch / "measured.md").read_text(encoding="utf-8")
    verdicts = dict(re.findall(r"^## .*\(`(.+?)`\)\n\n(.+?); [\d.]+ s; ", page, re.MULTILINE))
    comparisons = sorted([c["test"], c["on"], c["kind"], c["count"], c["level"]] for c in data["comparisons"])
    return {"records": data["records"], "verdicts": verdicts, "comparisons": comparisons, "shares": sorted(data["shares"])}


def _accuracies(root, how, names, scratch):
    """The table of reference accuracies, and whether the tests that fill it are green."""
    files = [file for file in _files(root, "tests", how, names) if "accuracy(" in (root / file).read_text(encoding="utf-8")]
    out, code = _pytest(root, how, *files, "--accuracies", quick=False) if files else ("", 5)
    return {"table": accuracy_table(out), "green": code == 0}


def accuracy_table(printed):
    """``{quantity: {"error", "limit", "count", "by"}}`` from what ``pytest --accuracies`` prints; empty without a table."""
    table = printed.partition(" reference accuracies =")[2].partition(" quantities, ")[0]
    rows = [re.split(r" {2,}", line, maxsplit=4) for line in table.splitlines()[2:-1]]
    return {name: {"error": float(e), "limit": float(m), "count": int(n), "by": by} for name, e, m, n, by in rows}


def _planted(root, how, names, scratch):
    """The catalogue of planted errors, and what became of each error and of each bound 5 % off."""
    folder, out = planted_folder(root), scratch / "planted.xml"
    chosen = ["-k", how["only"]] if how["only"] else []
    tests = [folder / "test_planted.py", folder / "test_scaled_bounds.py"]
    _pytest(root, how, *tests, f"--junitxml={out}", *chosen, quick=False, parallel=False)
    caught = {}
    for case in ElementTree.parse(out).iter("testcase"):
        outcomes = {child.tag for child in case}
        if "skipped" not in outcomes:
            file = case.get("classname").rpartition(".")[2]
            caught[f"{file}::{case.get('name')}"] = not outcomes & {"failure", "error"}
    faults = {}
    for file in sorted(folder.glob("*.toml")):
        for fault in tomllib.loads(file.read_text(encoding="utf-8")).get("fault", []):
            faults[fault.pop("name")] = fault
    return {"faults": faults, "caught": caught}


def _mutants(root, how, names, scratch):
    """A draw of mutants and what became of each: a list of places with ``fate``."""
    job, out = scratch / "job.json", scratch / "mutants.json"
    theory = _files(root, "theory", how, names) if how["only"] else []
    job.write_text(json.dumps({**how, "folder": str(planted_folder(root)), "theory": theory}))
    python(root, [__file__, job, out])
    return json.loads(out.read_text())


def mutate(job, out):
    """In a process of the tree: draw mutants, or make those of another tree again, and write what became of each."""
    how = json.loads(Path(job).read_text())
    sys.path[0] = how["folder"]
    import mutation

    calls = None
    if how["theory"]:  # for a part the theory files of the same name are enough
        calls, code = f"{out}.calls", "import sys; sys.path[0], out, *tests = sys.argv[1:]; import mutation; "
        code += "mutation.TESTS = tests; mutation.who_runs_what(out)"
        subprocess.run([sys.executable, "-c", code, how["folder"], calls, *how["theory"]], check=True)
        calls = json.loads(Path(calls).read_text())
    if how.get("places") is None:
        chosen, _ = mutation.draw(how["count"], how["seed"], how["only"])
        pairs = [({"id": m.name, "operator": m.kind, "occurrence": int(m.name.rpartition(" ")[2])}, m) for m in chosen]
    else:
        pairs = [(place, _same_mutant(mutation, place)) for place in how["places"][: how["count"]]]
    chosen = [m for _, m in pairs if m is not None]
    mutation.draw = lambda *_: (chosen, 0)
    score = mutation.run(len(chosen), how["seed"], calls=calls)
    fates = {"survives": score.survivors, "reviewed": score.equivalent, "not executed": score.unreached}
    fates |= {f"killed {way}": group for way, group in score.killed.items()}
    fate = {m.name: name for name, group in fates.items() for m in group}
    rows = [{**place, "target": m.target, "change": mutation.difference(m), "fate": fate[m.name]} for place, m in pairs if m]
    rows += [{**place, "fate": "missing"} for place, m in pairs if m is None]
    Path(out).write_text(json.dumps(rows))


def _same_mutant(mutation, place):
    """The mutant of this tree that changes the same function by the same operator in the same way; None where none does."""
    import inspect
    import textwrap

    for target in place["targets"]:
        try:
            source = textwrap.dedent(inspect.getsource(mutation.planted.function(target)))
        except (ImportError, AttributeError, ValueError):
            continue
        name = place["operator"]
        made = {k: mutation.mutant(target, source, name, k) for k in range(dict(mutation.places(source)).get(name, 0))}
        same = [k for k, m in made.items() if m and plain(mutation.difference(m)) == plain(place["change"])]
        if same:
            return made[min(same, key=lambda k: abs(k - place["occurrence"]))]
    return None


def plain(text):
    """Source without the names before a dot, which are those of modules or move with them, and without line breaks."""
    return " ".join(re.sub(r"\b[A-Za-z_]\w*\.(?=[A-Za-z_])", "", text).split())


def _inputs(root, how, names, scratch):
    """``{"file::function": [seeds and tolerances written there]}``, of every test and of whatever has some."""
    found = {}
    for file in sorted([*(root / "theory").rglob("*.py"), *(root / "tests").rglob("*.py")]):
        path = file.relative_to(root).as_posix()
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            key = f"{path}::{getattr(node, 'name', '<module>')}"
            texts = [plain(text) for text in _written(node, path.startswith("tests/"))]
            if texts or "::test_" in key:
                found[key] = sorted([*found.get(key, []), *texts])
    return found


def _written(tree, tolerances):
    """The seeds in a piece of source, and its tolerances (those of theory files are in the records)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            words = [k for k in node.keywords if k.arg == "seed" or (tolerances and k.arg in TOLERANT)]
            yield from (f"{k.arg}={ast.unparse(k.value)}" for k in words)
            if name in SEEDED:
                yield f"{name}({', '.join(map(ast.unparse, [*node.args, *node.keywords]))})"
            elif name == "accuracy" and tolerances:
                yield from (f"accuracy limit {ast.unparse(limit)}" for limit in node.args[2:3])
            elif name == "parametrize" and "seed" in ast.unparse(node.args[0]):
                yield f"seeds {ast.unparse(node.args[1])}"
        elif isinstance(node, ast.For | ast.comprehension) and "seed" in ast.unparse(node.target):
            yield f"seeds {ast.unparse(node.iter)}"
        elif isinstance(node, ast.Assert) and tolerances:
            values = [n.value for n in ast.walk(node.test) if isinstance(n, ast.Constant)]
            yield from (f"assert {value!r}" for value in values if isinstance(value, float))


if __name__ == "__main__":
    mutate(*sys.argv[1:])
