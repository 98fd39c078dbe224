"""Sweeps written down in TOML: the arguments of `exactdiffusion.sweep`, a title, and findings.

::

    title = "Schedules at equal steps"
    finding = ["One sentence.", "Another.", "A third."]      # optional
    target = "dino"
    sampler = ["ddim", "heun"]
    steps = [5, 10, 20]
    seeds = 3                                                # 0, 1, 2; or a list

    [[grid]]                                                 # optional: the sweep is the union of its grids;
    schedule = "vp_linear"                                   # a grid takes missing keys from above
    [[grid]]
    schedule = ["log_linear", "edm"]
    samples = 500

    [[check]]                                                # optional: a number of a finding, and the rows that it
    number = "0.105"                                         # is the mean of
    where = {sampler = "heun", steps = 5, metric = "w2"}

A file is data, and so is a target that is a file of points (``cloud.npy``). Functions of one's own (``MODULE:FUNCTION``,
``FILE.py:FUNCTION``) are code, and a file that names one is refused unless the caller says that it may.
"""

import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core.typing import Row, StrPath
from .._core.validation import fail
from . import sweep as engine

__all__ = ["SweepFile", "problems", "read", "run"]

#: Longer files are not read: a sweep is described in a page.
MOST_BYTES = 1 << 18

_NUMBER = r"(?<![=\d.])\d+\.\d+"  # in a finding; a number after "=" is the value of a parameter
_NAMES = "a string, or a list of strings"
_GRID = {
    "target": _NAMES,
    "sampler": _NAMES,
    "schedule": _NAMES,
    "steps": "an integer, or a list of integers",
    "seeds": "an integer, or a list of integers",
    "samples": "an integer",
    "metric": _NAMES,
    "start": "a string",
}
_NOTES = {"title": "a string", "summary": "a string", "finding": "a list of strings"}
_WHOLE = {"exact_draws": "an integer", "refused": "a string", "grid": "tables [[grid]]", "check": "tables [[check]]"}
_DEFAULTS = {"seeds": 5, "schedule": "vp_linear", "samples": 1000, "metric": "w2", "start": "gaussian"}


@dataclass(frozen=True)
class SweepFile:
    r"""A sweep file: ``grids`` for `sweep.sweep_grids`, ``options`` (exact_draws, refused), ``notes`` (title, summary,
    finding) and ``checks`` (see `problems`).

    Examples
    --------
    >>> _ = Path("one.toml").write_text('target = "rings"\nsampler = "ddim"\nsteps = 5\n')
    >>> read("one.toml").grids[0]["metric"]
    'w2'
    """

    path: Path
    grids: list
    options: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    checks: list = field(default_factory=list)


def read(path: StrPath, *, own: bool = False) -> SweepFile:
    r"""The sweep that a TOML file describes.

    Parameters
    ----------
    path : path
    own : bool
        Allow functions of one's own, ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION``. They are imported, i.e. run.

    Returns
    -------
    SweepFile

    Raises
    ------
    ValueError
        Naming the file and the key: no such file, no TOML, an unknown key, a value of another type, a key that is missing,
        or a function of one's own without ``own``.

    Examples
    --------
    >>> text = 'target = "rings"\nsampler = ["ddim", "heun"]\nsteps = 5\n'
    >>> _ = Path("few.toml").write_text(text)
    >>> read("few.toml").grids[0]["sampler"]
    ['ddim', 'heun']
    """
    path = Path(path)
    if not path.is_file():
        fail("file", str(path), "an existing TOML file")
    if path.stat().st_size > MOST_BYTES:
        fail("file", str(path), f"at most {MOST_BYTES} bytes")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows write a byte order mark
    except (ValueError, RecursionError) as error:
        raise ValueError(f"file: {path} is not TOML ({error})") from None
    try:
        return _checked(path, content, own)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(path, content, own):
    expected = {**_GRID, **_NOTES, **_WHOLE}
    for key, value in content.items():
        if key not in expected:
            fail("key", key, "one of " + ", ".join(expected))
        _typed(key, value, expected[key])

    # the grids: a grid takes missing keys from above, then from the defaults
    shared = {k: v for k, v in content.items() if k in _GRID}
    grids = []
    for number, table in enumerate(content.get("grid", [{}])):
        for key, value in table.items():
            if key not in _GRID:
                fail(f"key of [[grid]] number {number + 1}", key, "one of " + ", ".join(_GRID))
            _typed(key, value, _GRID[key])
        grid = {**_DEFAULTS, **shared, **table}
        for key in ("target", "sampler", "steps"):
            if key not in grid:
                raise ValueError(f"{key}: is absent; expected {_GRID[key]}")
        for kind in ("target", "sampler", "schedule", "metric"):
            _registered(kind, grid[kind], own)
        grids.append(grid)

    # options of the sweep, and the numbers of its findings
    options = {k: content[k] for k in ("exact_draws", "refused") if k in content}
    checks = content.get("check", [])
    for number, table in enumerate(checks):
        if set(table) - {"column"} != {"number", "where"} or not isinstance(table["where"], dict):
            fail(f"[[check]] number {number + 1}", table, "the keys number and where = {COLUMN = VALUE, ...} (and column)")
        _decimals(table["number"])
    return SweepFile(path, grids, options, {k: content[k] for k in _NOTES if k in content}, checks)


def _decimals(text):
    """Digits after the point of a plain decimal number."""
    if not isinstance(text, str) or not re.fullmatch(r"\d+\.\d+", text):
        fail("number", text, "a decimal number as a string, such as '0.105'")
    return len(text.partition(".")[2])


def problems(described: SweepFile, rows: Sequence[Row]) -> list[str]:
    """Faults of the findings of a sweep file, given the rows of its table; an empty list when there are none.

    Every decimal number of the finding (but values of parameters, ``gamma=1.8``) must be one of the checks, and every check
    must be the mean of ``value`` (or of the column that it names) over the rows that it describes, rounded to the digits
    that it has.

    Examples
    --------
    >>> described = SweepFile(Path("two.toml"), [], notes={"finding": ["The mean is 0.25."]})
    >>> problems(described, [])
    ['0.25 in a finding is not checked']
    """
    found, said = [], {n for text in described.notes.get("finding", ()) for n in re.findall(_NUMBER, text)}
    found += [f"{n} in a finding is not checked" for n in sorted(said - {c["number"] for c in described.checks})]
    for check in described.checks:
        where, column = check["where"], check.get("column", "value")
        chosen = [row for row in rows if all(row.get(k) == v for k, v in where.items())]
        if not chosen:
            found.append(f"no row with {where}")
            continue
        mean = math.fsum(row[column] for row in chosen) / len(chosen)
        if f"{mean:.{_decimals(check['number'])}f}" != check["number"]:
            found.append(f"{check['number']}: the mean of {len(chosen)} rows with {where} is {mean:.6g}")
        if check["number"] not in said:
            found.append(f"{check['number']} is in no finding")
    return found


def _typed(key, value, expected):
    kinds = {"a string": str, "an integer": int}
    many = {
        _NAMES: str,
        "an integer, or a list of integers": int,
        "a list of strings": str,
        "tables [[grid]]": dict,
        "tables [[check]]": dict,
    }
    kind = kinds.get(expected) or many[expected]
    single = expected in kinds or ", or " in expected
    items = value if isinstance(value, list) and expected not in kinds else [value] if single else []
    if not items or any(not isinstance(item, kind) or isinstance(item, bool) for item in items):
        fail(key, value, expected)


def _registered(kind, value, own):
    known = engine._registry(kind)
    for text in value if isinstance(value, list) else [value]:
        name, parameters = engine.parse(kind, text)
        data = kind == "target" and engine.is_cloud_file(name)  # a file of points is data, a denoiser is code
        if not own and ((name not in known and not data) or (kind == "target" and "denoiser" in parameters)):
            fail(
                kind,
                text,
                f"one of {', '.join(known)}; a function of your own runs when it is read, so a file may name "
                "one only where you allow it (--own, or own=True)",
            )


def run(path: StrPath, out: StrPath | None = None, *, own: bool = False, **options: Any) -> engine.Sweep:
    r"""Run the sweep that a TOML file describes.

    Parameters
    ----------
    path : path
    out : path, optional
        As for `exactdiffusion.sweep`.
    own : bool
        As for `read`.
    **options
        ``jobs`` of `sweep.sweep_grids`.

    Returns
    -------
    Sweep

    Examples
    --------
    >>> text = 'target = "gaussian"\nsampler = "ddim"\nsteps = [5, 10]\nseeds = 1\nsamples = 10\n'
    >>> _ = Path("two.toml").write_text(text)
    >>> len(run("two.toml").rows)
    2
    """
    described = read(path, own=own)
    return engine.sweep_grids(described.grids, out=out, notes=described.notes, **described.options, **options)
