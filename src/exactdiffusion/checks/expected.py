"""Results that every correct machine reproduces: ``theory/<paper>/expected.toml``, and the page ``paper_checks.md``.

Per statement: its verdict, how many values were compared, the names of hypotheses, controls and refuted forms, the stated
constants and exponents with their tolerances, the planted errors that its checks are known to catch. Worst instances decided
by a last bit, ratios that are rounding, slopes and run times are not among it: they belong to a run, which writes them with
``exactdiffusion verify --records DIR``.

Nothing but ``exactdiffusion verify --check`` compares a run with these files.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .._core.typing import StrPath
from ..statements import PAPERS, all_statements
from .ledger import ONCE, PROVED_HERE, VERDICTS, Collected, attained, plain, verdict, worst_ratio
from .statistics import LEVEL

__all__ = [
    "FINDING_KINDS",
    "NAME",
    "differences",
    "lines",
    "planted_errors",
    "read",
    "render",
    "scale_free",
    "significant",
    "summarise",
    "toml",
    "without_tolerances",
    "write",
]

NAME = "expected.toml"

#: kinds of findings in ``theory/findings.toml``, in the order of the document
FINDING_KINDS = {
    "refutation": "Refutations",
    "transcription": "Slips of the slides' transcription",
    "confirmation": "Confirmed, here with exact constants",
    "correction": "Corrections",
    "improvement": "Improvements",
    "open question": "Open questions",
}

#: key of a statement -> its table of ``expected.toml``
Entries: TypeAlias = dict[str, dict[str, Any]]


# -- from a run ----------------------------------------------------------------------------------------------------------


def summarise(collected: Collected) -> Entries:
    """Key of each statement that took part -> its entry of ``expected.toml``, as plain data in a fixed order.

    Examples
    --------
    >>> from exactdiffusion.checks.ledger import Collected
    >>> summarise(Collected())
    {}
    """
    planted, free = planted_errors(), scale_free() or {}
    return {
        s.key: _entry(s, collected, planted.get(collected.statements[s.key], {}), free.get(s.key, []))
        for s in all_statements()
        if s.key in collected.statements
    }


def _entry(statement, collected, planted, free):
    records = collected.of(statement.key)
    ratio = worst_ratio(statement, collected)
    entry = {
        "file": collected.statements[statement.key],
        "verdict": verdict(statement, collected),
        "values": sum(r.count for r in records if r.part in ("holds", "equal")),
        "worst_ratio": None if ratio is None else significant(ratio, 3),
        "attained": len(attained(statement, collected)),
        "hypotheses": _names(records, "hypothesis"),
        "controls": _names(records, "control"),
        "refuted": _names(records, "refuted"),
        "constants": _stated(records, "tight"),
        "exponents": _stated(records, "rate"),
        "records": _counts(records),
        "planted": sorted(planted),
        "scale_free": free,
    }
    return {name: value for name, value in entry.items() if value not in (None, [], 0)}


def _names(records, part):
    return sorted({r.cause for r in records if r.part == part})


def _counts(records):
    """How many records there are of each part and class, and their loosest tolerance: none may be lost or loosened."""
    groups = {}
    for r in records:
        groups.setdefault((r.part, r.tolerance_class), []).append(r.tolerance)
    return [
        {"part": part, "class": kind, "count": len(tolerances), "loosest": significant(max(tolerances), 2)}
        for (part, kind), tolerances in sorted(groups.items())
    ]


def without_tolerances(entries: Entries) -> Entries:
    """The entries without ``loosest``: computed tolerances of two machines agree to a few per cent, not to the byte."""
    return {
        key: {**entry, "records": [{k: v for k, v in row.items() if k != "loosest"} for row in entry["records"]]}
        for key, entry in entries.items()
        if "records" in entry
    }


def _stated(records, part):
    """The constants or exponents with which something was compared: ``on``, ``value``, ``within``, ``class``."""
    found = {}
    for r in records:
        if r.part != part or math.isnan(r.stated):
            continue
        row = {"on": r.on, "value": significant(r.stated, 6)}
        # a tolerance that is computed from roundings and remainders is no number that two machines share
        if part == "rate" or r.tolerance_class in ("exact", "printed digits"):
            row["within"] = significant(r.tolerance, 2)
        found[tuple(row.values())] = {**row, "class": r.tolerance_class}
    return [found[key] for key in sorted(found)]


def significant(value: float, digits: int) -> float:
    """``value`` to so many significant digits. It is rounded to nine before, so that a tie does not hang on the last bit.

    Examples
    --------
    >>> significant(0.123456, 3)
    0.123
    """
    return float(f"{float(f'{value:.9g}'):.{digits}g}")


# -- the committed files ---------------------------------------------------------------------------------------------------


def read(root: StrPath | None = None) -> Entries:
    """The entries of every ``expected.toml`` below ``root`` (default: ``theory/`` of the checkout or the wheel).

    Raises
    ------
    ValueError
        for a file that is not TOML or not of this kind; it names the file.

    Examples
    --------
    >>> entries = read()
    >>> entries["foundations/tweedie_denoiser"]["file"]
    'theory/foundations/eq_tweedie.py'
    """
    from .._core.paths import theory_dir

    root = theory_dir() if root is None else Path(root)
    entries: Entries = {}
    for paper in PAPERS:
        path = root / paper / NAME
        if path.is_file():
            data = _toml(path)
            if not all(isinstance(entry, dict) and "verdict" in entry for entry in data.values()):
                raise ValueError(f"{path}: got an entry without a verdict; expected what `verify --update` writes")
            entries |= {f"{paper}/{name}": entry for name, entry in data.items()}
    return entries


def write(entries: Entries, root: StrPath, page: StrPath) -> None:
    """Write ``expected.toml`` of each paper below ``root`` and the page made from them, each file whole or not at all."""
    for paper in PAPERS:
        mine = {key: entry for key, entry in entries.items() if key.startswith(f"{paper}/")}
        if mine:
            _replace(Path(root) / paper / NAME, toml(mine))
    _replace(Path(page), render(entries))


def _replace(path, text):
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def toml(entries: Entries) -> str:
    """Entries as the text of one file; the table of ``paper/name`` is ``[name]``."""
    lines = ["# What every correct machine reproduces. Written by `exactdiffusion verify --update`; do not edit."]
    for key, entry in entries.items():
        lines += ["", f"[{key.partition('/')[2]}]"]
        for name, value in entry.items():
            if isinstance(value, list):
                lines += [f"{name} = [", *(f"  {_value(item)}," for item in value), "]"]
            else:
                lines.append(f"{name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def lines(entry: Mapping[str, Any]) -> list[str]:
    """An entry for a reader: one line per hypothesis, constant, exponent, control and refuted form.

    Examples
    --------
    >>> lines({"hypotheses": ["0 <= eta < 1"], "controls": ["the factor 2"]})
    ['hypothesis: 0 <= eta < 1', 'control: fails without the factor 2']
    """
    out = [f"hypothesis: {name}" for name in entry.get("hypotheses", ())]
    out += [f"tight: {row['value']:g} on {row['on']}" for row in entry.get("constants", ())]
    out += [f"rate: {row['value']:g} within {row['within']:g}, {row['on']}" for row in entry.get("exponents", ())]
    out += [f"control: fails without {name}" for name in entry.get("controls", ())]
    out += [f"refuted: {name}" for name in entry.get("refuted", ())]
    return out + [f"catches: {name}" for name in entry.get("planted", ())]


# -- comparing -------------------------------------------------------------------------------------------------------------


def differences(expected: Entries, found: Entries, *, every: bool = True, entire: bool = True) -> list[str]:
    """Differences of a run, one line per record, each naming statement, field and record.

    Parameters
    ----------
    expected, found : dict
        Entries as :func:`read` and :func:`summarise` give them.
    every : bool
        Whether every statement must have taken part.
    entire : bool
        False where a statement may have run in part (``--quick``, chosen tests): it may then lack records and compare fewer
        values, but must not find anything that is not expected.
    """
    lines = []
    for key in sorted({*expected, *found}):
        if key not in found:
            lines += [f"{key}: is expected, and took no part in this run"] * every
        elif key not in expected:
            lines.append(f"{key}: took part in this run, and is not in {NAME}")
        else:
            lines += [f"{key}: {line}" for line in _differences(expected[key], found[key], entire)]
    return lines


def _differences(old, new, whole):
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if a == b:
            continue
        if name == "records":
            yield from _record_differences(a or [], b or [], whole)
        elif isinstance(a, list) or isinstance(b, list):
            a, b = a or [], b or []
            yield from (f"{name}: {_value(item)} is expected, and was not recorded" for item in a if whole and item not in b)
            yield from (f"{name}: {_value(item)} was recorded, and is not expected" for item in b if item not in a)
        elif whole or name in ("file", "verdict"):
            yield f"{name}: {a} is expected, this run has {b}"
        elif (b or 0) > (a or 0):
            yield f"{name}: at most {a} is expected, this run has {b}"


def _record_differences(old, new, whole):
    a, b = ({(row["part"], row["class"]): row for row in rows} for rows in (old, new))
    for key in sorted({*a, *b}):
        label = f"records: {key[0]}, {key[1]}"
        count, found = (rows[key]["count"] if key in rows else 0 for rows in (a, b))
        if found > count or (whole and found < count):
            yield f"{label}: {count} are expected, this run has {found}"
        elif found:
            loosest, loose = a[key]["loosest"], b[key]["loosest"]
            if not loose <= 2 * loosest or (whole and not loose >= loosest / 2):
                yield f"{label}: tolerances of at most {loosest:g} are expected, this run has {loose:g}"


# -- further facts about a statement ---------------------------------------------------------------------------------------


def _toml(path):
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not TOML ({error})") from None


def _tables(path, name, keys):
    """The tables ``[[name]]`` of a TOML file, each with ``keys``; a ValueError names the file and the fault."""
    tables = _toml(path).get(name, [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError(f"{path}: {name}: got {type(tables).__name__}; expected tables [[{name}]]")
    for number, table in enumerate(tables, start=1):
        for key in keys:
            kind = list if key == "caught_by" else str
            value = table.get(key)
            if not isinstance(value, kind) or (kind is list and not all(isinstance(v, str) for v in value)):
                raise ValueError(f"{path}: {key} of [[{name}]] number {number}: got {value!r}; expected {kind.__name__}")
    return tables


def planted_errors(root: StrPath | None = None) -> dict[str, dict[str, bool]]:
    """Theory file -> {name of a planted error that its checks are known to catch: whether it is marked quick}.

    ``tests/quality/planted`` asserts that they do.

    Empty outside a checkout, where the catalogue is not installed.
    """
    from .._core.paths import project_root

    root = project_root() if root is None else Path(root)
    caught: dict[str, dict[str, bool]] = {}
    for path in sorted((root / "tests" / "quality" / "planted").glob("*.toml")) if root else ():
        for fault in _tables(path, "fault", ("name", "caught_by")):
            for file in dict.fromkeys(node.partition("::")[0] for node in fault["caught_by"]):
                caught.setdefault(file, {})[fault["name"]] = fault.get("quick", True) is True
    return caught


def scale_free(root: StrPath | None = None) -> dict[str, list[str]] | None:
    """Key of a statement -> parts of its value that a factor leaves right, each with the reason.

    ``tests/quality/planted/test_scaled_bounds.py`` asserts that a change of 5 % of any other value is seen.
    None outside a checkout.
    """
    from .._core.paths import project_root

    root = project_root() if root is None else Path(root)
    path = root / "tests" / "quality" / "planted" / "scale_free.toml" if root else None
    if path is None or not path.exists():
        return None
    parts: dict[str, list[str]] = {}
    for value in _tables(path, "value", ("key", "reason")):
        parts.setdefault(value["key"], []).append(f"part {value.get('part', 1)} ({value['reason']})")
    return parts


def second_evaluations(root: StrPath | None = None) -> set[str] | None:
    """``module.function`` of every formula in ``statements/`` that the tests evaluate a second time.

    They are in ``tests/statements/test_formulas.py`` and ``tests/references/forms.json``. None outside a checkout.
    """
    from .._core.paths import project_root

    root = project_root() if root is None else Path(root)
    if root is None:
        return None
    formulas, forms = (root / "tests" / name for name in _EVALUATIONS)
    if not (formulas.is_file() and forms.is_file()):
        return None
    named = re.findall(r'^@?(?:printed|evaluated)\(\s*"([\w.]+)"', formulas.read_text(encoding="utf-8"), re.MULTILINE)
    others = {form["name"] for form in json.loads(forms.read_text(encoding="utf-8"))}
    return {*named, *(name.removeprefix("statements.") for name in others if name.startswith("statements."))}


_EVALUATIONS = ("statements/test_formulas.py", "references/forms.json")


def evaluated_once(root: StrPath | None = None) -> set[str]:
    """Keys of the statements whose formula has no second evaluation; empty outside a checkout, where nobody can tell."""
    twice = second_evaluations(root)
    names = {s.key: f"{s.module.rpartition('.')[2]}.{s.name}" for s in all_statements()}
    return set() if twice is None else {key for key, name in names.items() if name not in twice}


# -- the page --------------------------------------------------------------------------------------------------------------


_HEAD = """\
Statements from or about four papers on diffusion models are checked numerically against exact oracles: their hypotheses, the
inequality, an instance that attains it where there is one, and negative controls that must fail. This page is made by
`exactdiffusion verify --update` from `theory/findings.toml` and `theory/*/expected.toml`, and is the same on every machine.
What one run measured (worst instances, slopes, times) is written by `exactdiffusion verify --records DIR`.
Where draws are compared, all of a run's comparisons together fail a correct library with probability at most {level:.0e}."""

_COLUMNS = (
    "statement",
    "ref",
    "kind",
    "wording",
    "values",
    "worst ratio",
    "attained",
    "exponents",
    "controls",
    "errors",
    "verdict",
)

_COLUMNS_ARE = """\
A statement is written down in the docstring of its function in `exactdiffusion.statements`; its file says how it is
measured.

- *kind*: equality, tight (attained), upper or lower (attained nowhere that we know), asymptotic, definition, refuted.
- *values*: how many values were compared in the default run, those of lemmas and sizes that a check relies on included.
- *worst ratio*: smaller over larger side of the statement's own inequality at the worst instance of its family; - means that
  nothing has two sides (an equality, a definition, an order) or that the file measures by equal and tight alone.
- *attained*: on how many instances, apart from that family, a ratio of the statement is 1 within 1e-3.
- *exponents*: the stated orders that fitted slopes agree with; the file says in which variable.
- *controls*: how many hypotheses, terms or constants were dropped; each time the same assertion fails.
- *verdict*: "loose" means a worst ratio below 0.1, "{once}" that nobody has written the formula a second time.
- *errors*: how many errors planted in the library its checks are known to catch (`tests/quality/planted`). Besides, each
  value of each statement is made 5 % larger and 5 % smaller, and its file sees it.
- *wording*: *source* = seen in the authors' material; *transcribed* = seen in a machine's transcription of their slides;
  *recalled* = the full text was not at hand, and the form stated here is proved here (*{here}*); *derived* = ours;
  *classical* = from the literature."""


def _found():
    """The section "What we found", from ``theory/findings.toml``."""
    from .._core.paths import theory_dir

    findings = _tables(theory_dir() / "findings.toml", "finding", ())
    out = ["", "## What we found", ""]
    out.append("Every number below follows from its sentence alone; `tests/checks/test_findings.py` recomputes them so.")
    for kind, heading in FINDING_KINDS.items():
        out += ["", f"### {heading}", ""]
        for f in findings:
            if f["kind"] == kind:
                names = ", ".join(f"`{key}`" for key in f["statements"])
                title = f["title"] if f["title"].endswith("?") else f["title"] + "."
                out.append(f"- **{title}** {' '.join(f['text'].split())} ({names})")
    return out


def _unconfirmed(statements):
    """The section on texts that were not at hand."""
    out = ["", "## What could not be confirmed", ""]
    out.append("The full text of the four papers was not at hand. These statements are proved and checked here in the form")
    out.append("given, but their wording, numbering or constants in the paper are unconfirmed:")
    for paper in PAPERS:
        mine = [s for s in statements if s.paper == paper]
        names = [f"{s.title} ({s.ref})" for s in mine if s.text == "recalled"]
        if names:
            out += ["", f"- **{paper}**: {'; '.join(names)}."]
        elif mine and paper != "foundations" and not any(s.text == "source" for s in mine):
            out += ["", f"- **{paper}**: no statement was seen in the paper's text; all are derived here or classical."]
    return out


def render(entries: Entries) -> str:
    """The text of ``paper_checks.md``: its purpose, the findings, then one row per statement. Made from files alone."""
    statements = [s for s in all_statements() if s.key in entries]
    out = ["# Paper checks", "", *_HEAD.format(level=LEVEL).splitlines()]
    out += _found()
    out += ["", "## Verdicts", "", *_COLUMNS_ARE.format(here=PROVED_HERE, once=ONCE).splitlines(), ""]
    out.append(f"| paper | statements | {' | '.join(VERDICTS)} | of these {PROVED_HERE} |")
    out.append(f"|---|---|{'---|' * len(VERDICTS)}---|")
    papers = [p for p in PAPERS if any(s.paper == p for s in statements)]
    for paper in papers:
        verdicts = [entries[s.key]["verdict"] for s in statements if s.paper == paper]
        words = [plain(v) for v in verdicts]
        counts = [len(verdicts), *map(words.count, VERDICTS), sum(v.endswith(PROVED_HERE) for v in verdicts)]
        out.append(f"| {paper} | {' | '.join(map(str, counts))} |")
    for paper in papers:
        authors, title, where = PAPERS[paper]
        out += ["", f"### {paper}", "", f"{authors}: *{title}* ({where}).", ""]
        out.append(f"| {' | '.join(_COLUMNS)} |")
        out.append("|" + "---|" * len(_COLUMNS))
        out += [_row(s, entries[s.key]) for s in statements if s.paper == paper]
    out += _unconfirmed(statements)
    return "\n".join(out) + "\n"


def _row(statement, entry):
    exponents = sorted({row["value"] for row in entry.get("exponents", ())})
    cells = (
        f"[{statement.title}]({entry['file']})",
        statement.ref,
        statement.kind,
        statement.text,
        entry.get("values", 0),
        f"{entry['worst_ratio']:g}" if "worst_ratio" in entry else "-",
        entry.get("attained", "-"),
        ", ".join(f"{value:g}" for value in exponents) or "-",
        len(entry.get("controls", ())),
        len(entry.get("planted", ())) or "-",
        entry["verdict"],
    )
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
