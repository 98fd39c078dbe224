"""What the project wants to know of an addition beyond the files that its contributor wrote: the lines to add, and where.

The long run (``pytest --deep``) prints these lines at its end. They fail nothing: an addition is complete without them, and
whoever keeps the project adds them later.
"""

from pathlib import Path

import references_used
import sampler_forms

from exactdiffusion import samplers, statements
from exactdiffusion.checks import expected

TESTS = Path(__file__).resolve().parent


def lines():
    """One line per missing entry: the file, and the line to add to it."""
    return [
        *missing_entries(),
        *missing_references(),
        *missing_evaluations(),
        *missing_forms(),
        *missing_claims(),
        *missing_planted(),
    ]


def _function(statement):
    return f"{statement.module.rpartition('.')[2]}.{statement.name}"


def missing_entries():
    """Statements that are in no ``expected.toml`` yet."""
    known = expected.read()
    command = "run `exactdiffusion verify --update`"
    return [f"theory/{s.paper}/{expected.NAME}: {command} for [{s.name}]" for s in statements.all_statements()
            if s.key not in known]  # fmt: skip


def missing_references():
    """Public names without a line in ``references/index.toml``."""
    index = references_used.index()
    files = {f"statements.{_function(s)}": f"theory/{s.paper}/" for s in statements.all_statements()}
    for entry_key, entry in expected.read().items():
        statement = statements.REGISTRY.get(entry_key)
        if statement is not None:
            files[f"statements.{_function(statement)}"] = entry["file"]
    out = []
    for name in sorted(references_used.public() - {*index["reference"], *index["none"]}):
        where = files.get(name)
        if where is None:
            line = f'"{name}" = ["second algorithm", "tests/FILE.py::TEST"]'
        else:
            line = f'"{name}" = ["theory", "{where if where.endswith(".py") else where + "FILE.py"}"]'
        out.append(f"tests/references/index.toml, section [reference]: {line}")
    return out


def missing_evaluations():
    """Statements whose formula nobody has written a second time."""
    once = expected.evaluated_once()
    names = [_function(s) for s in statements.all_statements() if s.key in once]
    what = "above a function of the same arguments that writes the formula in mpmath"
    return [f'tests/statements/test_formulas.py: @printed("{name}", {{"ARGUMENT": 0.7}}) {what}' for name in names]


def missing_forms():
    """Samplers that nobody has written a second time: their exact Gaussian law repeats their update."""
    what = "the coefficients of its step from the publication, and a case in tests/output_laws/test_gaussian.py, CASES"
    names = sorted(set(samplers.REGISTRY) - set(sampler_forms.RECURSIONS))
    return [f'tests/sampler_forms.py, RECURSIONS: "{name}": {what}' for name in names]


def missing_claims():
    """Statements of whose value the fuzzing asks nothing but that it is a number."""
    text = (TESTS / "quality" / "test_fuzz.py").read_text(encoding="utf-8")
    return [f'tests/quality/test_fuzz.py, CLAIMS: "{_function(s)}": claims(at_least_0),' for s in statements.all_statements()
            if f'"{_function(s)}"' not in text]  # fmt: skip


def missing_planted():
    """Statements whose theory file is not yet asked to see a planted error; one line for all of them."""
    planted, files = expected.planted_errors(), {key: entry["file"] for key, entry in expected.read().items()}
    without = [s.key for s in statements.all_statements() if not planted.get(files.get(s.key))]
    if not without:
        return []
    named = [key for key in without if key not in files] or without  # new ones first
    line = "a table [[fault]] with name, kind, target, old, new and caught_by = [THEORY FILE::TEST]"
    return [f"tests/quality/planted/theory.toml: {line}, for {len(without)} statements, such as {', '.join(named[-3:])}"]
