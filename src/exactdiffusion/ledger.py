"""Evidence: what a theory check measured, how it is judged, and the ledger ``paper_checks.md`` made from it.

A check in ``theory/`` calls the methods of :class:`Check`. Every call records one :class:`Evidence` *before* it asserts,
so that a failure is in the table too. Verdicts are derived from the evidence alone; nobody writes a verdict by hand.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from . import bounds
from .chance import LEVEL, SHARE, Family, Share

#: parts of a check, in the order of the table
PARTS = ("hypothesis", "holds", "equal", "tight", "rate", "control", "refuted")

#: kinds of findings in ``theory/findings.toml``, in the order of the document
FINDING_KINDS = {
    "refutation": "Refutations",
    "transcription": "Slips of the slides' transcription",
    "confirmation": "Confirmed, here with exact constants",
    "correction": "Corrections",
    "improvement": "Improvements",
    "open question": "Open questions",
}

#: appended to the verdict of a statement whose wording could not be confirmed
PROVED_HERE = "form proved here"
#: verdicts of complete checks, without that
VERDICTS = (
    "verified tight",
    "verified",
    "verified, loose",
    "asymptotic",
    "refuted as printed",
    "refuted as recalled",
)


@dataclass(frozen=True)
class Evidence:
    """One assertion of one check.

    ``ratio`` is smaller/larger side at the worst instance for an inequality, the deviation in units of the tolerance for
    an equality, the slope for a rate, and the factor by which the inequality is violated for a control. ``units`` is the
    deviation in units of the tolerance where something was compared with its stated value: an equality, a ratio, a rate.
    ``of`` names the inequality where it is not the statement's own: a lemma of its proof, a size that a test relies on.
    """

    statement: str
    part: str
    on: str
    ratio: float
    passed: bool
    tolerance: float
    cause: str
    count: int
    detail: str = ""
    test: str = ""
    units: float = math.nan
    of: str = ""


@dataclass
class Collected:
    """All evidence of one run, and which theory files took part."""

    records: list[Evidence] = field(default_factory=list)
    statements: dict[str, str] = field(default_factory=dict)  # key -> file
    failed: set[str] = field(default_factory=set)  # keys with a failing test
    seconds: dict[str, float] = field(default_factory=dict)

    def of(self, key, part=None):
        return [r for r in self.records if r.statement == key and part in (None, r.part)]


def _plain(value):
    from .arrays import to_numpy

    return np.asarray(to_numpy(value), dtype=np.float64)


class Check:
    """Assertions that leave evidence. A theory test receives one as the fixture ``check``.

    Every tolerance comes with its ``cause``: rounding, a quadrature estimate, a confidence interval.
    """

    def __init__(self, statement, collected, test="", chance=None):
        self.statement, self.collected, self.test = statement, collected, test
        self._chance = chance

    def chance(self, *, comparisons, share=SHARE):
        """A share of the run's false-alarm probability for ``comparisons`` statistical ones, which leave evidence here.

        Returns
        -------
        exactdiffusion.chance.Share
        """
        take = self._chance or partial(Share, Family(), self.test)
        return take(comparisons=comparisons, share=share, judge=self._by_chance)

    def _by_chance(self, on, found, low, high, centre, cause, dropped):
        """File a statistical comparison ``low <= found <= high`` as what it is: an equality, an inequality, a control."""
        if dropped is not None:
            smaller, larger = (found, low) if np.isfinite(low).all() else (high, found)
            self.control(dropped, smaller, larger, on=on, detail=f"fails on {smaller.size} of {smaller.size}, {cause}")
        elif np.isfinite(low).all() and np.isfinite(high).all():
            # how near an end the value lies says how many draws there were, not how tight the statement is: no ratio
            middle = (low + high) / 2 if centre is None else centre
            self.equal(found, middle, tol=np.where(found < middle, middle - low, high - middle), cause=cause, on=on)
        elif np.isfinite(low).all():
            self.holds(low, found, tol=0, cause=cause, on=f"{on}, lower end")
        else:
            bound = high if centre is None else centre
            self.holds(found, bound, tol=high - bound, cause=cause, on=on if centre is not None else f"{on}, upper end")

    def _file(self, part, on, ratio, passed, tolerance=0.0, cause="", count=1, detail="", units=math.nan, of=""):
        record = Evidence(
            self.statement.key, part, on, float(ratio), bool(passed), float(tolerance), cause, int(count), detail, self.test,
            float(units), of,
        )
        self.collected.records.append(record)
        if not passed:
            raise AssertionError(
                f"{self.statement.key} [{part}] on {on}: ratio {ratio:.17g}, tolerance {tolerance:.3g} ({cause}). {detail}"
            )
        return record

    @staticmethod
    def _sides(smaller, larger, tol):
        small, large, tol = np.broadcast_arrays(_plain(smaller), _plain(larger), _plain(tol))
        if small.size == 0:
            raise AssertionError("nothing was measured: an empty check cannot fail")
        return small.ravel(), large.ravel(), tol.ravel()

    @staticmethod
    def _ratio(small, large, tolerance=0.0):
        """Largest smaller/larger; a larger side within the tolerance of 0 says nothing unless it is violated."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(large > tolerance, small / large, np.where(small <= large + tolerance, -np.inf, np.inf))
        worst = float(np.max(ratio))
        return worst if worst > -math.inf else 0.0

    @staticmethod
    def _violated(small, large, tolerance):
        """Where the inequality is broken by more than its tolerance and rounding; a NaN is no violation but an error."""
        if np.any(np.isnan(small) | np.isnan(large)):
            raise AssertionError("a control measured NaN: that is a defect, not a violation")
        rounding = 16 * np.finfo(np.float64).eps * np.where(np.isfinite(large), np.abs(large), 0.0)
        return small > large + tolerance + rounding

    def hypothesis(self, name, holds, *, on, required=True, value=None):
        """Report a hypothesis checked on the instances; with ``required`` every instance must satisfy it.

        Returns the mask of applicable instances: "applicable" is reported apart from the verdict.
        """
        mask = np.atleast_1d(np.asarray(holds, dtype=bool))
        share = float(mask.mean()) if mask.size else 0.0
        detail = name if value is None else f"{name} ({value})"
        self._file("hypothesis", on, share, share == 1.0 if required else share > 0, 0.0, "", mask.size, detail)
        return mask

    def holds(self, smaller, larger, *, tol, cause, on, detail="", of=""):
        """``smaller <= larger + tol`` on every instance (arrays broadcast). Records the worst smaller/larger.

        ``of`` names the inequality where it is not the statement's own; its ratio is no ratio of the statement.
        """
        small, large, tolerance = self._sides(smaller, larger, tol)
        ok = small <= large + tolerance  # a NaN on either side fails
        ratio = math.nan if np.any(np.isnan(small) | np.isnan(large)) else self._ratio(small, large, tolerance)
        worst = int(np.argmax(np.where(np.isnan(small - large), np.inf, small - large - tolerance)))
        self._file(
            "holds",
            on,
            ratio,
            ok.all(),
            tolerance.max(),
            cause,
            small.size,
            detail or f"worst: {small[worst]:.17g} <= {large[worst]:.17g}",
            of=of,
        )
        return ratio

    def equal(self, left, right, *, tol, cause, on, detail=""):
        """``|left - right| <= tol`` on every instance. Records the deviation in units of the tolerance."""
        a, b, tolerance = self._sides(left, right, tol)
        difference = np.abs(a - b)
        ok = difference <= tolerance
        with np.errstate(divide="ignore", invalid="ignore"):
            units = np.where(difference == 0, 0.0, difference / tolerance)
        self._file(
            "equal",
            on,
            np.max(units),
            ok.all(),
            tolerance.max(),
            cause,
            a.size,
            detail or f"largest difference {np.max(difference):.3g}",
            units=np.max(units),
        )
        return float(np.max(difference))

    def tight(self, measured, expected=1.0, *, tol, cause, on, detail="", of=""):
        """A ratio measured/bound reaches its stated value within ``tol``: a loosened constant fails here.

        ``of`` as in `holds`.
        """
        m, e, tolerance = self._sides(measured, expected, tol)
        ok = np.abs(m - e) <= tolerance
        worst = int(np.argmax(np.where(np.isnan(m), np.inf, np.abs(m - e))))
        with np.errstate(divide="ignore", invalid="ignore"):
            units = np.max(np.where(m == e, 0.0, np.abs(m - e) / tolerance))
        text = detail or f"expected {e[worst]:.6g}"
        self._file("tight", on, m[worst], ok.all(), tolerance.max(), cause, m.size, text, units=units, of=of)

    def rate(self, slope, expected, *, within, on, detail=""):
        """A fitted slope (a number or an object with ``slope, low, high``) lies within ``within`` of ``expected``."""
        value = float(getattr(slope, "slope", slope))
        detail = f"expected {expected:g}, {detail}" if detail else ""
        interval = f"interval [{slope.low:.4f}, {slope.high:.4f}]" if hasattr(slope, "low") else ""
        self._file(
            "rate",
            on,
            value,
            abs(value - expected) <= within,
            within,
            "pre-asymptotic remainder",
            1,
            detail or f"expected {expected:g} {interval}".strip(),
            units=abs(value - expected) / within if within > 0 else 0.0 if value == expected else math.inf,
        )

    def control(self, dropped, smaller, larger, *, on, tol=0.0, detail=""):
        """Negative control: with ``dropped`` (a hypothesis, a term, a constant) the same inequality must FAIL somewhere.

        ``tol`` is the tolerance of the assertion under control, so that rounding cannot pass for a violation.
        """
        small, large, tolerance = self._sides(smaller, larger, tol)
        fails = self._violated(small, large, tolerance)
        self._file(
            "control",
            on,
            self._ratio(small, large),
            fails.any(),
            tolerance.max(),
            f"dropped: {dropped}",
            small.size,
            detail or f"fails on {int(fails.sum())} of {small.size}",
        )

    def refuted(self, printed, smaller, larger, *, on, tol=0.0, detail=""):
        """The form as printed fails on this counterexample: ``smaller <= larger + tol`` is false there."""
        small, large, tolerance = self._sides(smaller, larger, tol)
        fails = self._violated(small, large, tolerance)
        self._file(
            "refuted",
            on,
            self._ratio(small, large),
            fails.any(),
            tolerance.max(),
            f"printed: {printed}",
            small.size,
            detail or f"fails on {int(fails.sum())} of {small.size}",
        )


# ---------------------------------------------------------------------------------------------------- verdicts


def missing_parts(statement, collected):
    """What a statement's file still lacks: an empty list for a complete check."""
    have = {r.part for r in collected.of(statement.key)}
    lacks = []
    if not have & {"holds", "equal", "refuted"}:
        lacks.append("an assertion (holds, equal or refuted)")
    if statement.kind == "tight" and "tight" not in have:
        lacks.append("tight (the statement is filed as attained)")
    if statement.kind == "equality" and "equal" not in have:
        lacks.append("equal (the statement is filed as an equality)")
    if statement.kind == "asymptotic" and not have & {"rate", "equal", "tight"}:
        lacks.append("rate (the statement is filed as asymptotic)")
    if statement.kind == "refuted" and "refuted" not in have:
        lacks.append("refuted (the counterexample to the printed form)")
    if statement.kind != "refuted" and "refuted" in have:
        lacks.append("the kind refuted (a printed form is refuted: the ledger lists it)")
    if "control" not in have:
        lacks.append("control")
    return lacks


def verdict(statement, collected):
    """Verdict of a statement, derived from its evidence."""
    records = collected.of(statement.key)
    if not records:
        return "not run"
    if statement.key in collected.failed or not all(r.passed for r in records):
        return "FAILED"
    if missing_parts(statement, collected):
        return "incomplete"
    if statement.kind == "refuted":
        return "refuted as recalled" if statement.text == "recalled" else "refuted as printed"
    found = "verified"
    if statement.kind == "asymptotic":
        found = "asymptotic"
    elif statement.kind == "tight":
        found = "verified tight" if attained(statement, collected) else "verified"
    elif statement.kind not in ("equality", "definition"):
        worst = worst_ratio(statement, collected)
        found = "verified, loose" if worst is not None and worst < 0.1 else "verified"
    return f"{found}; {PROVED_HERE}" if statement.text == "recalled" else found


def worst_ratio(statement, collected):
    """Largest smaller/larger over the ``holds`` records of the statement's own inequality.

    None when there is none: an equality, a definition and an order have no smaller and larger side.
    """
    if statement.kind in ("equality", "definition", "asymptotic"):
        return None
    ratios = [r.ratio for r in collected.of(statement.key, "holds") if not r.of and math.isfinite(r.ratio)]
    return max(ratios) if ratios else None


def attained(statement, collected):
    """The ``tight`` records of the statement's own sides that reach ratio 1 within 1e-3, the nearest first."""
    found = [r for r in collected.of(statement.key, "tight") if not r.of and abs(r.ratio - 1) <= 1e-3]
    return sorted(found, key=lambda r: abs(r.ratio - 1))


def _number(value):
    """A number as the ledger prints it: four digits, and 1 when it is 1 within 5e-7 (rounding is not a finding)."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    if abs(value - 1) < 5e-7:
        return "1"
    if value == 0:
        return "0"
    return f"{value:.3g}" if not 0.01 <= abs(value) < 1e4 else f"{value:.4g}"


def _cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def rows(collected):
    """One dict per statement that was run: statement, verdict and a digest of each part."""
    table = []
    for s in bounds.all_statements():
        if s.key not in collected.statements:
            continue
        tight = attained(s, collected)
        rates = [r for r in collected.of(s.key, "rate")]
        controls = collected.of(s.key, "control")
        table.append(
            {
                "statement": s,
                "file": collected.statements[s.key],
                "verdict": verdict(s, collected),
                "ratio": worst_ratio(s, collected),
                "checked": sum(r.count for r in collected.of(s.key) if r.part in ("holds", "equal")),
                "tight": tight,
                "rates": rates,
                "controls": controls,
                "refuted": collected.of(s.key, "refuted"),
                "hypotheses": collected.of(s.key, "hypothesis"),
                "missing": missing_parts(s, collected),
                "seconds": collected.seconds.get(s.key, 0.0),
            }
        )
    return table


def verdict_table(collected):
    """The verdict table as plain text, for a terminal."""
    lines = []
    head = ("statement", "ref", "checked", "worst ratio", "tight", "controls fail", "verdict")
    body = []
    for row in rows(collected):
        s = row["statement"]
        body.append(
            (
                s.key,
                s.ref,
                str(row["checked"]),
                _number(row["ratio"]),
                _number(row["tight"][0].ratio) if row["tight"] else "-",
                f"{sum(r.passed for r in row['controls'])}/{len(row['controls'])}",
                row["verdict"],
            )
        )
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    for line in [head, tuple("-" * w for w in widths), *body]:
        lines.append("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    return "\n".join(lines)


def _tables(path, name, keys):
    """The tables ``[[name]]`` of a TOML file, each with ``keys``; a ValueError names the file and what is wrong with it."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get(name, [])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not TOML ({error})") from None
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError(f"{path}: {name}: got {type(tables).__name__}; expected tables [[{name}]]")
    for number, table in enumerate(tables, start=1):
        for key in keys:
            kind = list if key == "caught_by" else str
            value = table.get(key)
            if not isinstance(value, kind) or (kind is list and not all(isinstance(v, str) for v in value)):
                raise ValueError(f"{path}: {key} of [[{name}]] number {number}: got {value!r}; expected {kind.__name__}")
    return tables


def planted_errors(root=None):
    """Theory file -> {name of a planted error that its checks are known to catch: whether it is marked quick}.

    ``tests/planted`` asserts that they do.

    Empty outside a checkout, where the catalogue is not installed.
    """
    from .resources import project_root

    root = project_root() if root is None else Path(root)
    caught = {}
    for path in sorted((root / "tests" / "planted").glob("*.toml")) if root else ():
        for fault in _tables(path, "fault", ("name", "caught_by")):
            for file in dict.fromkeys(node.partition("::")[0] for node in fault["caught_by"]):
                caught.setdefault(file, {})[fault["name"]] = fault.get("quick", True) is True
    return caught


def scale_free(root=None):
    """Key of a statement -> parts of its value that a factor leaves right, each with the reason.

    ``tests/planted/test_scaled_bounds.py`` asserts that a change of 5 % of any other value is seen. None outside a checkout.
    """
    from .resources import project_root

    root = project_root() if root is None else Path(root)
    path = root / "tests" / "planted" / "scale_free.toml" if root else None
    if path is None or not path.exists():
        return None
    parts = {}
    for value in _tables(path, "value", ("key", "reason")):
        parts.setdefault(value["key"], []).append(f"part {value.get('part', 1)} ({value['reason']})")
    return parts


def _found():
    """The section "What we found", from ``theory/findings.toml``."""
    from .resources import theory_dir

    findings = _tables(theory_dir() / "findings.toml", "finding", ())
    out = ["", "## What we found", ""]
    out.append("Every number below follows from its sentence alone; `tests/test_findings.py` recomputes them so.")
    for kind, heading in FINDING_KINDS.items():
        out += ["", f"### {heading}", ""]
        for f in findings:
            if f["kind"] == kind:
                names = ", ".join(f"`{key}`" for key in f["statements"])
                title = f["title"] if f["title"].endswith("?") else f["title"] + "."
                out.append(f"- **{title}** {' '.join(f['text'].split())} ({names})")
    return out


def _unconfirmed(table):
    """The section on texts that were not at hand."""
    out = ["", "## What could not be confirmed", ""]
    out.append("The full text of the four papers was not at hand. These statements are proved and checked here in the form")
    out.append("given, but their wording, numbering or constants in the paper are unconfirmed:")
    for paper in bounds.PAPERS:
        names = [f"{r['statement'].title} ({r['statement'].ref})" for r in table if _is(r["statement"], paper, "recalled")]
        if names:
            out += ["", f"- **{paper}**: {'; '.join(names)}."]
        mine = {r["statement"].text for r in table if r["statement"].paper == paper}
        if mine and paper != "foundations" and not mine & {"source", "recalled"}:
            out += ["", f"- **{paper}**: no statement was seen in the paper's text; all are derived here or classical."]
    return out


def _is(statement, paper, text):
    return statement.paper == paper and statement.text == text


def render(collected):
    """The text of ``paper_checks.md`` from a complete default run; two runs agree to the byte but for the run times."""
    table, planted, free = rows(collected), planted_errors(), scale_free()
    out = [
        "# Paper checks",
        "",
        "Generated by `exactdiffusion verify --update`; do not edit. One row per statement: how often it was evaluated,",
        "the worst smaller/larger side of its inequality (1 = attained, > 1 only within the stated tolerance; - where",
        "nothing has two sides: an equality, a definition, an order, a threshold), where a ratio of 1 is reached within",
        "1e-3, which negative controls fail as they must, and the verdict. The statements themselves (hypotheses,",
        "conclusion, source) are the docstrings of `exactdiffusion.bounds`; how each is measured is the file in",
        "`theory/`. In the evidence the factor of a control says by how much the inequality is broken without what was",
        "dropped: larger over smaller side, or for an equality the deviation over its tolerance.",
        "",
        "Wording: *source* = seen in the authors' material; *recalled* = the full text was not at hand, the paper's",
        f"wording or constant is unconfirmed: the form stated here is proved here (*{PROVED_HERE}*) or fails (*refuted as",
        "recalled*); *derived* = ours, not the paper's; *classical* = from the literature.",
        "",
        "Where draws are compared, the tolerance says at which level; all together fail a correct library with probability",
        f"at most {LEVEL:.0e} in a run (`exactdiffusion.chance`).",
        "",
        f"| paper | statements | {' | '.join(VERDICTS)} | of these {PROVED_HERE} |",
        f"|---|---|{'---|' * len(VERDICTS)}---|",
    ]
    papers = [p for p in bounds.PAPERS if any(r["statement"].paper == p for r in table)]
    for paper in papers:
        verdicts = [r["verdict"] for r in table if r["statement"].paper == paper]
        plain = [v.removesuffix(f"; {PROVED_HERE}") for v in verdicts]
        counts = [*map(plain.count, VERDICTS), sum(v.endswith(PROVED_HERE) for v in verdicts)]
        out.append(f"| {paper} | {len(verdicts)} | " + " | ".join(map(str, counts)) + " |")
    refuted = [r for r in table if r["statement"].kind == "refuted"]
    if refuted:
        out += ["", "## Refuted", ""]
        for row in refuted:
            s = row["statement"]
            name, file = f"bounds.{s.module.rpartition('.')[2]}.{s.name}", row["file"]
            form = "form as recalled" if s.text == "recalled" else "printed form"
            out.append(f"- **{s.title}** ({s.paper}, {s.ref}): the {form} {'; '.join(_printed(row))}.")
            out.append(f"  Asserted is the corrected form, the docstring of `{name}`; measured in [{file}]({file}).")
    out += _found() + _unconfirmed(table)
    names = {name: quick for group in planted.values() for name, quick in group.items()}
    out += ["", "## Planted errors", ""]
    total, quick = len(names), sum(names.values())
    out += [
        f"Score: {total} of {total} errors planted in the library (wrong constants, indices, signs, schedules, hypotheses)",
        "are caught by the checks named in `tests/planted/*.toml`: `make test-deep` asserts it for all, `make test` for",
        f"the {quick} marked quick. The tables give, for each statement, how many of them its theory file is known to",
        "catch; the evidence names them.",
    ]
    if free is not None:
        out += ["", "Besides, each value of each statement is made 5 % larger and 5 % smaller; its theory file sees every"]
        out.append("such change, but for values that are right times any factor (the evidence says which); `make test-deep`")
        out.append("asserts it.")
    for paper in papers:
        authors, title, where = bounds.PAPERS[paper]
        out += ["", f"## {paper}", "", f"{authors}: *{title}* ({where}).", ""]
        out += [
            "| statement | ref | kind | wording | evaluated | worst ratio | attained | controls | verdict | errors | time |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        mine = [r for r in table if r["statement"].paper == paper]
        for row in mine:
            s = row["statement"]
            tight = "-"
            if row["tight"]:
                best, more = row["tight"][0], len(row["tight"]) - 1
                tight = f"{_number(best.ratio)} on {best.on}" + (f" (+{more} more)" if more else "")
            out.append(
                "| "
                + " | ".join(
                    _cell(v)
                    for v in (
                        f"[{s.title}]({row['file']})",
                        s.ref,
                        s.kind,
                        s.text,
                        row["checked"],
                        _number(row["ratio"]),
                        tight,
                        f"{sum(r.passed for r in row['controls'])} of {len(row['controls'])} fail",
                        row["verdict"],
                        len(planted.get(row["file"], ())),
                        f"{row['seconds']:.2f} s",
                    )
                )
                + " |"
            )
        out += ["", f"### Evidence: {paper}", ""]
        for row in mine:
            s = row["statement"]
            out += [f"**{s.title}** (`{s.key}`)", ""]
            out += [f"- {line}" for line in _digest(collected.of(s.key))]
            out += [f"- catches: {name}" for name in planted.get(row["file"], ())]
            if free is not None:
                but = f", but for {'; '.join(free[s.key])}" if s.key in free else ""
                out.append(f"- catches: its value 5 % too large or too small{but}")
            out.append("")
    while out[-1] == "":
        out.pop()
    return "\n".join(out) + "\n"


def read_checks(text):
    """What `render` wrote, as data: key of a statement -> its row and its evidence.

    Returns
    -------
    dict
        ``{key: {"title", "file", "evidence", and each column of the table by its heading}}``, all strings but
        ``evidence``, a list of lines.
    """
    found, table, heads, key = {}, {}, None, None
    for line in text.splitlines():
        heading = re.fullmatch(r"## (\w+)", line)
        entry = re.fullmatch(r"\*\*(.*)\*\* \(`([^`]+)`\)", line)
        if heading:
            table, heads, key = {}, None, None
        elif line.startswith("| statement |"):
            heads = _cells(line)
        elif heads and line.startswith("| ["):
            row = dict(zip(heads, _cells(line)))
            title, file = re.fullmatch(r"\[(.*)\]\((.*)\)", row.pop("statement")).groups()
            table.setdefault(title, []).append({**row, "title": title, "file": file, "evidence": []})
        elif entry and table.get(entry[1]):
            key = entry[2]
            found[key] = table[entry[1]].pop(0)
        elif key and line.startswith("- "):
            found[key]["evidence"].append(line[2:])
    return found


def _cells(line):
    return [part.replace("\\|", "|").strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]


def _printed(row):
    """The printed forms of a refuted statement with the size of their failure."""
    for cause in dict.fromkeys(r.cause for r in row["refuted"]):
        group = [r for r in row["refuted"] if r.cause == cause]
        worst = max(r.ratio for r in group)
        size = f"by a factor {_number(worst)}" if math.isfinite(worst) else "where its larger side is 0"
        yield f'"{cause.removeprefix("printed: ")}" fails on {group[0].on} ({size})'


def _digest(records):
    """The evidence of one statement, merged: one line per part and cause, with its worst instance."""
    groups = {}
    for r in records:
        label = re.sub(r" \([^()]*\)$", "", r.detail) if r.part == "hypothesis" else r.cause if r.part != "rate" else r.on
        groups.setdefault((r.part, label, r.of), []).append(r)
    lines = []
    for part in PARTS:
        for (kind, label, of), group in groups.items():
            if kind != part:
                continue
            count, places = sum(r.count for r in group), len({r.on for r in group})
            where = f"on {group[0].on}" if places == 1 else f"{places} instances"
            ratios = [r.ratio for r in group]
            if part == "hypothesis":
                share = "all" if min(ratios) == 1 else f"at least {_number(100 * min(ratios))} %"
                name = group[0].detail if places == 1 else label
                text = f"{name}: holds on {share} of {count} cases, {where}"
            elif part == "holds":
                worst = max(group, key=lambda r: r.ratio)
                at = "" if places == 1 else f", at worst on {worst.on}"
                text = f"{count} values, {where}, worst ratio {_number(worst.ratio)}{at}; tolerance up to "
                text += f"{max(r.tolerance for r in group):.1e} ({label})"
            elif part == "equal":
                text = f"{count} values agree, {where}; tolerance up to {max(r.tolerance for r in group):.1e} ({label})"
            elif part == "tight":
                low, high = _number(min(ratios)), _number(max(ratios))
                text = f"ratio {low if low == high else f'{low} to {high}'}, {where}; tolerance up to "
                text += f"{max(r.tolerance for r in group):.1e} ({label})"
                stated = {r.detail for r in group}
                if len(stated) == 1 and stated != {"expected 1"} and group[0].detail.startswith("expected "):
                    text += f", {group[0].detail}"
            elif part == "rate":
                r = group[0]
                detail = re.sub(r" interval .*", "", r.detail)
                text = f"{label}: slope {r.ratio:.3f}, {detail}, within {_number(r.tolerance)}"
            else:
                worst = max(ratios)
                size = f"by a factor up to {_number(worst)}" if math.isfinite(worst) else "where the larger side is 0"
                text = f"{label}: fails, {where}, {size}"
            lines.append(f"{part}: {text}" + (f"; about {of}, not the statement itself" if of else ""))
    return lines


_TIME = re.compile(r"\| [\d.]+ s \|$")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


def same_text(old, new, rtol=2e-3):
    """Whether two renderings agree: the same words, and numbers equal within ``rtol`` (another machine's BLAS moves digits).

    Run times are left out. Returns a list of differing lines (empty when current). Tolerances and other powers of ten
    agree within a factor 2.
    """
    a, b = ([_TIME.sub("| |", line) for line in text.splitlines()] for text in (old, new))
    differences = []
    for i in range(max(len(a), len(b))):
        left = a[i] if i < len(a) else "(missing)"
        right = b[i] if i < len(b) else "(missing)"
        if left == right:
            continue
        if _NUMBER.sub("#", left) == _NUMBER.sub("#", right):
            numbers = zip(map(float, _NUMBER.findall(left)), map(float, _NUMBER.findall(right)))
            if all(_same_number(x, y, rtol) for x, y in numbers):
                continue
        differences.append(f"line {i + 1}: committed {left!r}, this run {right!r}")
    return differences


def _same_number(x, y, rtol):
    size = max(abs(x), abs(y))
    return abs(x - y) <= rtol * size or (size < 1e-6 and min(abs(x), abs(y)) >= 0.5 * size)


# ---------------------------------------------------------------------------------------------------- running


class _Collector:
    """Pytest plugin that hands the evidence of a finished run to :func:`verify`."""

    def __init__(self):
        self.collected = Collected()

    def pytest_configure(self, config):
        from ._pytest_plugin import KEY  # loaded by pytest itself: importing it earlier would bypass its rewriting

        config.stash[KEY] = self.collected


def verify(names=(), *, deep=False, update=False, check=False, out=None, verbose=False):
    """Run the theory checks with pytest and print the verdict table. Returns the exit code.

    Parameters
    ----------
    names : sequence of str
        Papers (``"projection"``) or parts of file names; empty runs everything.
    deep : bool
        Run the long variants too.
    update, check : bool
        Rewrite ``paper_checks.md``, or compare it with this run (complete default runs only).
    out : path, optional
        Where ``paper_checks.md`` lives; the checkout's, or the working directory outside a checkout.

    Raises
    ------
    ValueError
        for a name that matches no theory file, or ``update`` / ``check`` with names or with ``deep``.
    """
    import pytest

    from .resources import project_root, theory_dir

    root = theory_dir()
    files = theory_files(root)
    if names:

        def matches(f, n):
            return n in (_paper(f, root), f.stem) or (len(n) > 2 and n in f.stem)

        chosen = [f for f in files if any(matches(f, n) for n in names)]
        for n in names:
            if not any(matches(f, n) for f in files):
                papers = sorted({f.parent.name for f in files if f.parent != root})
                raise ValueError(f"names: got {n!r}; expected a paper ({', '.join(papers)}) or part of a theory file's name")
    else:
        chosen = [root]
    if (update or check) and (names or deep):
        raise ValueError("update/check: got a partial or deep run; expected the complete default run (no names, no --deep)")
    target = Path(out) if out is not None else (project_root() or Path.cwd()) / "paper_checks.md"
    collector = _Collector()
    args = [*map(str, chosen), "-q", "--no-header", "--import-mode=importlib", "-p", "no:cacheprovider"]
    args += [f"--rootdir={root.parent}", "-c", str(Path(__file__).with_name("_pytest.ini"))]
    args += ["-p", "exactdiffusion._pytest_plugin"]
    if deep:
        args.append("--deep")
    if not verbose:
        args += ["--tb=short"]
    if update:
        args.append("--no-ledger-check")
    args.append("--no-verdict-table")
    code = int(pytest.main(args, plugins=[collector]))
    collected = collector.collected
    print()
    print(verdict_table(collected))
    text = render(collected)
    bad = [r["statement"].key for r in rows(collected) if r["verdict"] in ("FAILED", "incomplete", "not run")]
    if update and code == 0 and not bad:
        temporary = target.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
        print(f"\nwrote {target.name}")
    if check:
        committed = target.read_text(encoding="utf-8") if target.exists() else ""
        differences = same_text(committed, text)
        print("\npaper_checks.md is current" if not differences else "\npaper_checks.md is NOT current:")
        for line in differences[:10]:
            print("  " + line)
        code = code or int(bool(differences))
    count = len(rows(collected))
    print(f"\n{count} statements, {count - len(bad)} with a verdict, {len(bad)} failed or incomplete")
    return code or int(bool(bad))


def _paper(path, root):
    """The paper of a theory file: its folder, or for one outside the folders (the template) what it imports from bounds."""
    if path.parent != root:
        return path.parent.name
    found = re.search(r"^from exactdiffusion\.bounds import (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else None


def theory_files(root):
    """The theory files below ``root``, sorted."""
    pattern = re.compile(r"^((thm|prop|lem|def|eq|sym)_.*|_template)\.py$")
    return sorted(f for f in Path(root).rglob("*.py") if pattern.match(f.name))
