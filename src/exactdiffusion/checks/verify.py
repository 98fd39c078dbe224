"""Running the theorem checks: ``exactdiffusion verify``, and the records that ``--records DIR`` writes.

``DIR`` then holds ``records.json`` (every record, with the machine), ``measured.md`` (the evidence for a reader) and
``ledger.toml`` (the part that every correct machine reproduces). Only ``verify --check`` compares anything with a committed
file.

A theorem of one's own needs no checkout: a name may be a file (``./prop_mine.py``, as ``exactdiffusion new theorem`` writes
it), a folder of such files, or the name under which another package registered its folder as an entry point of the group
``exactdiffusion.theory`` (its ``pyproject.toml``: ``[project.entry-points."exactdiffusion.theory"]``,
``mine = "mypackage.theory"``). Files are run as Python code; a package is imported only if it is named.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .._core.log import log
from .._core.typing import StrPath
from ..statements import KINDS, PAPERS, TEXTS
from . import expected
from .ledger import PARTS, Collected, Evidence, number, rows, unpack, verdict_table

__all__ = [
    "FILES",
    "FORMAT",
    "GROUP",
    "KEY",
    "RECORDS",
    "RUN",
    "evidence_lines",
    "measured",
    "page",
    "read_records",
    "theory_files",
    "verify",
    "write_records",
]

#: where a pytest session keeps its evidence
KEY = pytest.StashKey[Collected]()
#: entry points by which other packages register folders of theory files
GROUP = "exactdiffusion.theory"
#: version of ``records.json``
FORMAT = 1
RECORDS = "records.json"
FILES = (RECORDS, "measured.md", "ledger.toml")
#: entries of ``records.json`` that say how the run was made
RUN = ("deep", "quick", "selected", "seed", "complete", "passed")


class _Collector:
    """Pytest plugin that hands the evidence of a finished run to :func:`verify`."""

    def __init__(self):
        self.collected = Collected()
        self.skipped = Counter()

    def pytest_configure(self, config):
        config.stash[KEY] = self.collected

    def pytest_runtest_logreport(self, report):
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    pytest_collectreport = pytest_runtest_logreport


def verify(
    names: Sequence[str] = (),
    *,
    deep: bool = False,
    quick: bool = False,
    update: bool = False,
    check: bool = False,
    source: StrPath | None = None,
    records: StrPath | None = None,
    out: StrPath | None = None,
    verbose: bool = False,
) -> int:
    """Run the theory checks with pytest and print the verdict table. Returns the exit code.

    Parameters
    ----------
    names : sequence of str
        Papers (``"projection"``), statements (``"projection/beta_star"``) or parts of file names (``"thm_4_2"``); files or
        folders of one's own (``"./prop_mine.py"``), whose verdict is also written as a page; names that other packages
        registered. Empty runs everything of this package.
    deep, quick : bool
        Run the long variants too; or of each test its first case only.
    update, check : bool
        Rewrite ``theory/*/expected.toml`` and ``paper_checks.md`` from a complete default run; or compare a run with the
        former.
    source : path, optional
        Folder with the records of an earlier run, to be compared or written in place of a new run.
    records : path, optional
        Folder for the records of this run, and for the pages of one's own files (default: beside each file).
    out : path, optional
        Root of the files that ``update`` writes and ``check`` reads (default: the checkout, for ``check`` also the wheel).

    Returns
    -------
    int
        0 if every statement has a verdict, no check failed and, with ``check``, nothing differs; else 1.

    Raises
    ------
    ValueError
        for a name that matches no theory file, and for arguments that exclude each other; the message says which.

    Examples
    --------
    >>> verify(["eq_tweedie"], quick=True)  # doctest: +SKIP
    0
    """
    from .._core.paths import project_root, theory_dir

    root, names = theory_dir(), [os.fspath(name) for name in names]
    _refuse(names, deep, quick, update, check, source)
    home = Path(out) if out is not None else project_root()
    if update and home is None:
        raise ValueError("update: got an installed package; expected a checkout, or --out ROOT with ROOT/theory in it")

    # take the records of an earlier run, or run the theory files
    if source is not None:
        run, collected = read_records(source)
        code = int(not run["passed"])
        if update and (run["quick"] or run["seed"] or not (run["complete"] and run["passed"])):
            raise ValueError(f"from: got a partial or red run in {source}, or other seeds; expected a complete green run")
        if run["deep"]:
            raise ValueError(f"from: got the records of a deep run in {source}; expected the default run")
    else:
        own = {name: files for name in names if (files := _own(name, root))}
        if own and check:
            raise ValueError(f"check: got it with {next(iter(own))!r}; expected theory files of this package alone")
        places = _places(own, records)
        theirs = [name for name in names if name not in own]
        chosen = [
            *([] if own and not theirs else _chosen(theirs, root)),
            *dict.fromkeys(f for fs in own.values() for f in fs),
        ]
        log.info(_announcement(len(chosen) if chosen != [root] else len(theory_files(root)), deep))
        collector = _Collector()
        with _read_anew(own):
            code = _pytest(root, chosen, deep, quick, records, verbose, collector)
        collected = collector.collected
        for reason, number in collector.skipped.items():
            print(f"{number} test{'s' * (number != 1)} skipped: {reason}")
        run = {"deep": deep, "quick": quick, "selected": quick, "complete": not names}

    # print the verdicts
    table = rows(collected)
    print()
    print(verdict_table(collected))
    bad = [r["statement"].key for r in table if r["verdict"] in ("FAILED", "incomplete", "not run")]
    if source is None:
        _write_pages(places, table, collected)

    # write the committed files, or compare with them
    if update:
        _refuse_unedited(table)
    if home is not None and update and code == 0 and not bad:
        page = home / "paper_checks.md"
        expected.write(expected.summarise(collected), home / "theory", page)
        print(f"\nwrote theory/*/{expected.NAME} and {page.name}")
    if check:
        code = max(code, _compare(collected, run, root if home is None else home / "theory"))
    count = f"{len(table)} statement{'s' * (len(table) != 1)}"
    print(f"\n{count}, {len(table) - len(bad)} with a verdict, {len(bad)} failed or incomplete")
    if source is None and 0 < len(table) <= _FEW:
        for row in table:
            place = row["statement"].module
            if place.startswith("exactdiffusion."):
                reads = f"from {place} import {row['statement'].name} as s; help(s)"
                print(f'statement, with hypotheses: python -c "{reads}"')
    return code or int(bool(bad))


_FEW = 3  # statements; up to so many, a run also says how each is read

#: processor seconds of a theory file, the mean over a default run: one core of a server of 2024, files from 0.1 s to 2 s
_SECONDS = 0.4


def _announcement(count, deep):
    """What a run will take, said before it begins."""
    files = f"{count} theory file{'s' * (count != 1)}"
    if deep:
        return f"{files} with their long variants: minutes of processor time"
    return f"{files}: about {max(2, round(2 + _SECONDS * count))} s of processor time"


def _refuse_unedited(table):
    """A statement that ``exactdiffusion new theorem`` wrote and nobody edited is not filed."""
    for row in table:
        if "EDIT" in row["statement"].ref + row["statement"].title:
            raise ValueError(
                f"update: got {row['statement'].key} as it was written; expected the lines that say EDIT edited"
            )


def _refuse(names, deep, quick, update, check, source):
    """Arguments that exclude each other."""
    if deep and quick:
        raise ValueError("quick: got --quick together with --deep; expected one of the two")
    if update and (names or deep or quick or check):
        raise ValueError("update: got a partial or deep run, or --check; expected the complete default run alone")
    if check and deep:
        raise ValueError("check: got --deep; expected the default run or a part of it, which is what expected.toml holds")
    if source is not None and (names or deep or quick or not (update or check)):
        raise ValueError("from: got --from with a selection or without --check; expected `verify --check --from DIR`")
    if update or check:
        try:
            import flint  # noqa: F401
        except ModuleNotFoundError:
            raise ValueError("check: needs python-flint (checks in ball arithmetic): pip install python-flint") from None


# -- files of the user's own -----------------------------------------------------------------------------------------------


def _own(name, root):
    """The files of one's own that a name means: FILE.py, FOLDER/ or a registered name; none for names of this package."""
    path = Path(name)
    if path.resolve().is_relative_to(root.resolve()):
        return []

    # a file that exists, or is meant to
    if name.endswith(".py"):
        looks_like_path = os.sep in name or "/" in name
        if path.is_file():
            if not re.search(r"^STATEMENT\b", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE):
                expectation = "a theory file, which sets STATEMENT; `exactdiffusion new theorem NAME` writes one"
                raise ValueError(f"names: got {name!r}; expected {expectation}")
            _compiled(name, path)
            return [path.resolve()]
        if looks_like_path and not path.is_absolute() and name.startswith("."):
            raise ValueError(f"names: got {name!r}; expected an existing file; `exactdiffusion new theorem NAME` writes one")
        return []

    # a folder is meant by its path, a package by the name that it registered
    folder = path if path.is_dir() and ("/" in name or os.sep in name or name == ".") else _registered(name)
    if folder is None:
        return []

    # the theory files in it
    files = [
        f.resolve()
        for f in sorted(folder.rglob("*.py"))
        if re.search(r"^STATEMENT\b", f.read_text("utf-8", "replace"), re.M)
    ]
    for file in files:
        _compiled(name, file)
    if not files:
        raise ValueError(f"names: got {name!r}; expected theory files in {folder}: Python files that set STATEMENT")
    return files


def _compiled(name, path):
    """Refuse a file with a slip of syntax by its place, in one line."""
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        line = (error.text or "").strip()
        wanted = f"a file that Python reads; {path}:{error.lineno}: {error.msg}" + (f", at: {line}" if line else "")
        raise ValueError(f"names: got {name!r}; expected {wanted}") from None
    except ValueError as error:  # a null byte, which older versions of Python report so
        raise ValueError(f"names: got {name!r}; expected a file that Python reads ({error})") from None


def _registered(name):
    """The folder that another package registered under this name; None where there is none."""
    for entry in () if name in PAPERS else importlib.metadata.entry_points(group=GROUP, name=name):
        try:
            loaded = entry.load()
        except Exception as error:  # the code of another package
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"names: got {name!r}; expected an importable {entry.value} ({said})") from error
        place = Path(getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", [loaded]))))
        return place.parent if place.is_file() else place
    return None


@contextlib.contextmanager
def _read_anew(own: Mapping[str, list[Path]]) -> Iterator[None]:
    """Files of one's own are read from their text: an edit within one second, of the same length, is seen too."""
    files = {str(f) for fs in own.values() for f in fs}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in files:
            del sys.modules[name]
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = before or bool(files)
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


_MARK = "<!-- written by `exactdiffusion verify`; the next run replaces this page -->"


def _places(own, records):
    """File of one's own -> its page: in the folder of the records, else beside a file that was named by its path."""
    places = {}
    for name, files in own.items():
        for file in files:
            if records is None and not Path(name).exists():
                continue
            place = file.with_suffix(".md") if records is None else Path(records) / f"{file.stem}.md"
            if place.exists() and not place.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
                raise ValueError(f"names: got {name!r}; expected --records DIR for its page: {place} is another text")
            places[file] = place
    return places


def _write_pages(places, table, collected):
    """Write the page of each file of one's own that left evidence or failed, and print where it is."""
    for file, place in places.items():
        found = [row for row in table if row["file"].rpartition("/")[2] == file.name]
        if found:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("\n".join([_MARK, *(page(row, collected) for row in found)]), encoding="utf-8")
            print(f"page: {place}")


def page(row: Mapping[str, Any], collected: Collected) -> str:
    """The verdict on one statement as Markdown: what is claimed, how it was measured, what is missing.

    ``row`` is one of :func:`exactdiffusion.checks.ledger.rows`.

    Examples
    --------
    >>> from exactdiffusion.statements import foundations
    >>> row = {"statement": foundations.tweedie_denoiser.statement, "verdict": "not run", "missing": [], "file": "eq.py"}
    >>> page(row, Collected()).splitlines()[2:4]
    ['', '**Verdict: not run.** Checked by `eq.py`.']
    """
    s = row["statement"]
    text = re.sub(r":math:`([^`]*)`", r"$\1$", s.doc)
    text = re.sub(r"^ *\.\. math::[ \n]*((?:.+\n?)+)", r"$$\n\1\n$$\n", text, flags=re.MULTILINE)
    out = ["", f"# {s.title} (`{s.key}`)", "", f"**Verdict: {row['verdict']}.** Checked by `{row['file']}`.", ""]
    out += [f"Kind: {s.kind} ({KINDS[s.kind]}). Wording: {s.text} ({TEXTS[s.text]}). Reference: {s.ref}.", ""]
    out += ["## Statement", "", text, "", *([f"Domain: `{s.domain}`", ""] if s.domain else []), "## Evidence", ""]
    out += [f"- {line}" for line in evidence_lines(collected.of(s.key))] or ["- none"]
    out += [f"- **FAILED** on {r.on}: {r.part}, {r.detail}" for r in collected.of(s.key) if not r.passed]
    out += ["", "## Missing", "", *(f"- {part}" for part in row["missing"])] if row["missing"] else []
    return "\n".join(out) + "\n"


# -- theory files of this package ------------------------------------------------------------------------------------------


def _chosen(names, root):
    """The files that the names mean; the whole folder for none."""
    if not names:
        return [root]
    files = theory_files(root)
    stated = {f: set(re.findall(r"\.(\w+)\.statement\b", f.read_text(encoding="utf-8"))) for f in files}

    def matches(f, n):
        paper, _, name = n.removesuffix(".py").replace("\\", "/").rpartition("/")
        if paper and paper.rpartition("/")[2] != _paper(f, root):
            return False
        return name in (_paper(f, root), f.stem, *stated[f]) or (len(name) > 2 and name in f.stem)

    for n in names:
        if not any(matches(f, n) for f in files):
            papers = sorted({f.parent.name for f in files if f.parent != root})
            file = Path(n if n.endswith(".py") else f"{n}.py")
            near = f"; did you mean ./{file}?" if not file.is_absolute() and file.is_file() else ""
            raise ValueError(
                f"names: got {n!r}; expected a paper ({', '.join(papers)}), a statement as `exactdiffusion list` prints it, "
                "part of a theory file's name, such as thm_4_2, or a file of your own, such as ./prop_mine.py" + near
            )
    chosen = {f for f in files if any(matches(f, n) for n in names)}
    # a sym_ file supports the file of its statement, which has the verdict
    return [f for f in files if f in chosen or f.with_name(f"sym_{f.name}") in chosen]


def _pytest(root, chosen, deep, quick, records, verbose, collector):
    args = [*map(str, chosen), "-q", "--no-header", "--import-mode=importlib", "-p", "no:cacheprovider"]
    # failures are headed with paths below the root, and modules are named after them: FOLDER.FILE for files of one's own,
    # since FILE alone may be the name of a module that is loaded
    own = not any(f.is_relative_to(root) for f in chosen)
    base = Path(os.path.commonpath([f.parent for f in chosen])).parent if own else root.parent
    args += [f"--rootdir={base}", "-c", str(Path(__file__).with_name("_pytest.ini"))]
    args += ["-p", "exactdiffusion.checks.pytest_plugin", "--no-verdict-table"]
    # in a wheel the package is imported before its pytest plugin can be rewritten, which no check needs
    args += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    args += ["--deep"] * deep + ["--quick"] * quick + ["--tb=short"] * (not verbose)
    if records is not None:
        args.append(f"--records={Path(records).resolve()}")
    return int(pytest.main(args, plugins=[collector]))


def _compare(collected, run, root):
    """Print how a run differs from the committed files. Returns the exit code."""
    committed = expected.read(root)
    if not committed:
        print(f"\nno {expected.NAME} below {root.name}/ to compare with; `exactdiffusion verify --update` writes them")
        return 1
    found = expected.summarise(collected)
    lines = expected.differences(committed, found, every=run["complete"], entire=not run["selected"])
    part = f"{len(found)} of {len(committed)} statements" + (", each in part" if run["selected"] else "")
    print(f"\n{part}: {'NOT ' if lines else ''}what {expected.NAME} holds{':' if lines else ''}")
    for line in lines:
        print("  " + line)
    return int(bool(lines))


# -- the records of a run --------------------------------------------------------------------------------------------------


def write_records(folder: StrPath, collected: Collected, packed: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Write ``records.json``, ``measured.md`` and ``ledger.toml`` of a run (``packed``: `ledger.pack`) into a folder."""
    from .._core.provenance import provenance

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    where = provenance()
    data = {"format": FORMAT, "run": run, "provenance": where, **packed}
    for name, text in (
        (RECORDS, json.dumps(data, allow_nan=False) + "\n"),
        ("measured.md", measured(collected, where)),
        ("ledger.toml", expected.toml(expected.without_tolerances(expected.summarise(collected)))),
    ):
        temporary = folder / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / name)


def read_records(folder: StrPath, name: str = "from") -> tuple[dict[str, Any], Collected]:
    """The records of :func:`write_records`: how the run was made, and its :class:`exactdiffusion.checks.ledger.Collected`.

    Raises
    ------
    ValueError
        where there are no records of this version; it names the argument ``name`` and the folder.
    """
    path = Path(folder) / RECORDS
    if not path.is_file():
        raise ValueError(f"{name}: got {str(folder)!r}; expected a folder with {RECORDS}, as `verify --records DIR` writes")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        if not set(RUN) <= set(data["run"]):
            raise ValueError(f"run without {', '.join(RUN)}")
        return data["run"], unpack(data)[0]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name}: got {str(path)!r}; expected the records of a run of this version ({error})") from None


def measured(collected: Collected, where: Mapping[str, Any]) -> str:
    """The measurements of a run, for a reader: the machine, then one section per statement."""
    out = ["# What this run measured", "", "One run on one machine: not compared with anything.", ""]
    out += [f"- {name}: {value}" for name, value in {**where["machine"], **where["versions"]}.items()]
    for row in rows(collected):
        s = row["statement"]
        out += ["", f"## {s.title} (`{s.key}`)", "", f"{row['verdict']}; {row['seconds']:.2f} s; `{row['file']}`", ""]
        out += [f"- {line}" for line in evidence_lines(collected.of(s.key))]
    return "\n".join(out) + "\n"


def evidence_lines(records: Sequence[Evidence]) -> list[str]:
    """The evidence of one statement, merged: one line per part and cause, with its worst instance."""
    groups: dict[tuple[str, str, str], list[Evidence]] = {}
    for r in records:
        groups.setdefault((r.part, r.on if r.part == "rate" else _cause(r), r.of), []).append(r)

    # one line per group, in the order of the parts
    lines = []
    for part in PARTS:
        for (kind, label, of), group in groups.items():
            if kind != part:
                continue
            count, places = sum(r.count for r in group), len({r.on for r in group})
            where = f"on {group[0].on}" if places == 1 else f"{places} instances"

            ratios = [r.ratio for r in group]
            if part == "hypothesis":
                share = "all" if min(ratios) == 1 else f"at least {number(100 * min(ratios))} %"
                name = f"{label} ({group[0].detail})" if places == 1 and group[0].detail else label
                text = f"{name}: holds on {share} of {count} cases, {where}"
            elif part == "holds":
                worst = max(group, key=lambda r: r.ratio)
                at = "" if places == 1 else f", at worst on {worst.on}"
                text = f"{count} values, {where}, worst ratio {number(worst.ratio)}{at}; tolerance up to "
                text += f"{max(r.tolerance for r in group):.1e} ({label})"
            elif part == "equal":
                text = f"{count} values agree, {where}; tolerance up to {max(r.tolerance for r in group):.1e} ({label})"
            elif part == "tight":
                low, high = number(min(ratios)), number(max(ratios))
                text = f"ratio {low if low == high else f'{low} to {high}'}, {where}; tolerance up to "
                text += f"{max(r.tolerance for r in group):.1e} ({label})"
                stated = {r.detail for r in group}
                if len(stated) == 1 and stated != {"expected 1"} and group[0].detail.startswith("expected "):
                    text += f", {group[0].detail}"
            elif part == "rate":
                r = group[0]
                detail = re.sub(r" interval .*", "", r.detail)
                text = f"{label}: slope {r.ratio:.3f}, {detail}, within {number(r.tolerance)}"
            else:
                worst = max(ratios)
                size = f"by a factor up to {number(worst)}" if math.isfinite(worst) else "where the larger side is 0"
                word = "without" if part == "control" else "as printed:"
                text = f"{word} {label}: fails, {where}, {size}"
            lines.append(f"{part}: {text}" + (f"; about {of}, not the statement itself" if of else ""))
    return lines


def _cause(record):
    plain = record.part in ("hypothesis", "control", "refuted")
    return record.cause if plain else f"{record.tolerance_class}: {record.cause}" if record.cause else record.tolerance_class


def _paper(path, root):
    """The paper of a theory file: its folder, or for a file outside the folders the module that it imports."""
    if path.parent != root:
        return path.parent.name
    found = re.search(r"^from exactdiffusion\.statements import (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else None


def theory_files(root: StrPath) -> list[Path]:
    """The theory files below ``root``, sorted.

    Examples
    --------
    >>> from exactdiffusion._core.paths import theory_dir
    >>> len(theory_files(theory_dir())) > 100
    True
    """
    pattern = re.compile(r"^((thm|prop|lem|def|eq|sym)_.*|_template)\.py$")
    return sorted(f for f in Path(root).rglob("*.py") if pattern.match(f.name))
