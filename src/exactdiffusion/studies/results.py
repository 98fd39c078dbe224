"""Sweep results as curves, for `plot` and `report`.

A curve is one sampler on one schedule and target, judged by one metric; its points are numbers of steps, and a point
is the median over the seeds.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._core import files
from .._core.typing import ArrayLike, Row, StrPath
from .._core.validation import choice, fail, no_mask, scalar
from ..distances.rates import Slope, fit_slope
from ._tables import html_table, in_short, text_table
from .comparison import Comparison
from .comparison import compare as _compare
from .metrics import _band_share

__all__ = [
    "ABOVE_EXACT",
    "AXES",
    "COLUMNS",
    "FORMAT",
    "LABELS",
    "ROUNDING",
    "Curve",
    "Order",
    "Orders",
    "Point",
    "Results",
    "check_format",
    "compare",
    "curves",
    "load",
    "median_interval",
    "rounding_of",
    "select",
    "squares_of",
]

#: abscissa -> (label of the axis, field of a `Point`)
AXES = {
    "steps": ("number of steps N", "steps"),
    "calls": ("oracle calls", "calls"),
    "seconds": ("seconds per run (one core)", "seconds"),
}
#: metric -> label of the ordinate with its unit
LABELS = {
    "w2": "W₂ to the target (data units)",
    "distance": "RMS distance to support (data units)",
    "kl": "KL to the target (nats)",
    "modes": "total variation of mode weights",
    "mse_excess": "excess MSE (squared data units)",
    "law": "W₂ of the exact output law (data units)",
    "coupled": "RMS distance to the fine reference (data units)",
}
#: Below this multiple of the mean that exact draws score a point says more about the measurement than about the sampler: at
#: twice it, errors adding in quadrature, a value is 15 % above the true one. Slopes are fitted to the points above.
ABOVE_EXACT = 2.0
#: Below this multiple of the largest median of its curve a point is rounding.
ROUNDING = 1e-12
_NEEDED = ("target", "sampler", "schedule", "steps", "seed", "samples", "start", "metric", "value", "oracle_calls")
_KEY = ("target", "sampler", "schedule", "steps", "seed", "samples", "start", "metric")
_DRAWN = ("exact_draws", "exact_draws_low", "exact_draws_high", "exact_draws_runs")
_ERRORS = ("reference_error", "start_error")
_OPTIONAL = (
    "lower",
    "upper",
    "interval",
    "method",
    "rung",
    "dim",
    *_DRAWN,
    "bound",
    "statement",
    "bound_kind",
    "vacuous",
    "reference_error",
    "start_error",
    "denoise_calls",
    "prox_calls",
    "inner_evaluations",
    "oracle_rows",
)
# Columns of numbers; the optional ones may be empty.
_KINDS = {
    **dict.fromkeys(("steps", "seed", "samples"), (int,)),
    **dict.fromkeys(
        ("value", "oracle_calls", "lower", "upper", *_DRAWN, "bound", "inner_evaluations", *_ERRORS), (int, float)
    ),
}
_NOTES = {"title": str, "summary": str, "finding": list, "versions": dict}  # of provenance.json, read by the report
#: the columns that every row of `Results` has, None where the folder has no such value
COLUMNS = (*_NEEDED, *_OPTIONAL, "seconds")


#: Format of the folder that a sweep writes, kept in its file ``sweep.json``; folders without that file have format 1.
FORMAT = 2


def check_format(folder: StrPath) -> None:
    """ValueError where the folder of a sweep has a format that this version does not read.

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=5, seeds=1, samples=10, out="results")
    >>> check_format("results")
    """
    path = Path(folder) / "sweep.json"
    if path.is_file():
        found = files.read_json(path).get("format")
        if isinstance(found, bool) or found not in range(1, FORMAT + 1):
            fail(
                "dir", str(folder), f"a sweep of format {FORMAT} or less; it says format {found!r}: a newer version wrote it"
            )


@dataclass(frozen=True)
class Point:
    """One point of a curve: the median over ``seeds`` seeds, with the bound and the score of exact draws beside it.

    ``low`` and ``high`` bound the median at confidence ``coverage`` (see `median_interval`); with one seed they are the
    interval of the measurement itself and ``coverage`` is None. ``exact_draws`` is the mean that as many exact draws of the
    target score, its ``low`` and ``high`` the central 90 % of ``runs`` such runs: half of all perfect runs score less than
    their median. ``vacuous`` says why an upper bound says nothing, ``reference_error`` how well the reference run is known
    that the samples are compared with. Unknown values are None.

    Examples
    --------
    >>> point = ed.sweep(target="gaussian", sampler="ddim", steps=5, seeds=2, samples=10).curves()[0].points[0]
    >>> point.seeds, point.bound is None
    (2, True)
    """

    steps: int
    calls: float
    seconds: float | None
    median: float
    low: float | None
    high: float | None
    coverage: float | None
    seeds: int
    exact_draws: float | None
    exact_draws_low: float | None
    exact_draws_high: float | None
    exact_draws_runs: int | None
    bound: float | None
    bound_kind: str | None
    statement: str | None
    vacuous: str | None = None
    reference_error: float | None = None


@dataclass(frozen=True)
class Order:
    """The order of one curve: its ``slope`` with its interval over ``first`` to ``last``, or None and ``why``.

    Examples
    --------
    >>> done = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=1, samples=10)
    >>> print(done.slopes()[0])
    gaussian, ddim, vp_linear, w2: no slope: the sweep has 2 of the three numbers of steps that a slope needs
    """

    curve: "Curve"
    x: str
    slope: Slope | None
    first: float | None
    last: float | None
    why: str | None

    def __str__(self):
        name = ", ".join((self.curve.target, self.curve.sampler, self.curve.schedule, self.curve.metric))
        if self.slope is None:
            return f"{name}: no slope: {self.why}"
        axis = "N" if self.x == "steps" else self.x
        ends = f"[{self.slope.low:.2f}, {self.slope.high:.2f}]"
        return f"{name}: slope {self.slope.slope:.2f} {ends} over {axis} = {self.first:g} to {self.last:g}"

    __repr__ = __str__


class Orders(list):
    """The orders of the curves of a sweep, a list of `Order`; it prints as a table.

    Examples
    --------
    >>> done = ed.sweep(target="gaussian", sampler=["ddim", "heun"], steps=[5, 10, 20], seeds=1, samples=10)
    >>> done.slopes()
    target gaussian, metric w2, schedule vp_linear
    sampler  slope  95 % interval   fitted over
    ddim     -0.90  [-1.11, -0.70]  N = 5 to 20
    heun     -1.38  [-2.80, 0.03]   N = 5 to 20
    >>> done.slopes()[0].slope.n
    3
    """

    def rows(self) -> list[tuple[str, ...]]:
        """Head and rows of the table, as text."""
        out: list[tuple[str, ...]] = [("target", "metric", "schedule", "sampler", "slope", "95 % interval", "fitted over")]
        for order in self:
            name = (order.curve.target, order.curve.metric, order.curve.schedule, order.curve.sampler)
            if order.slope is None:
                out.append((*name, "-", "-", f"none: {order.why}"))
            else:
                ends = f"[{order.slope.low:.2f}, {order.slope.high:.2f}]"
                axis = "N" if order.x == "steps" else order.x
                out.append((*name, f"{order.slope.slope:.2f}", ends, f"{axis} = {order.first:g} to {order.last:g}"))
        return out

    def __repr__(self):
        if not self:
            return "Orders: no curves"
        shared, table = in_short(self.rows(), 3)
        return f"{shared}\n{text_table(table)}" if shared else text_table(table)

    def _repr_html_(self):
        if not self:
            return f"<p>{self!r}</p>"
        shared, table = in_short(self.rows(), 3)
        return f"<p>{shared}</p>{html_table(table)}"


@dataclass(frozen=True)
class Curve:
    """The points of one (target, metric, sampler, schedule, samples, start), by increasing number of steps.

    Examples
    --------
    >>> curve = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10, 20], seeds=1, samples=10).curves()[0]
    >>> [(point.steps, round(point.median, 2)) for point in curve.points], round(curve.slope().slope, 1)
    ([(5, 0.39), (10, 0.21), (20, 0.11)], -0.9)
    """

    target: str
    metric: str
    sampler: str
    schedule: str
    samples: int
    start: str
    points: tuple

    @property
    def key(self) -> tuple[str, str, str, str, int, str]:
        return self.target, self.metric, self.sampler, self.schedule, self.samples, self.start

    def slope(self, x: Literal["steps", "calls", "seconds"] = "steps") -> Slope | None:
        """Slope of log median against log ``x``, or None: see `order`."""
        return self.order(x).slope

    def order(self, x: Literal["steps", "calls", "seconds"] = "steps") -> Order:
        """Slope of log median against log ``x`` over the points at which the curve says something about the sampler.

        Left out are points without ``x``, points below `ABOVE_EXACT` times the score of exact draws or the error of the
        reference, and points below `ROUNDING` times the largest: they are zero but for rounding. At least three must remain.
        """
        # the points that are left, condition by condition
        name = AXES[choice("x", x, tuple(AXES))][1]
        largest = max((p.median for p in self.points), default=0.0)
        there = [p for p in self.points if getattr(p, name)]
        exact = [p for p in there if p.median > ROUNDING * largest]
        drawn = [p for p in exact if p.median > ABOVE_EXACT * (p.exact_draws or 0.0)]
        used = [p for p in drawn if p.median > ABOVE_EXACT * (p.reference_error or 0.0)]
        at = [float(getattr(p, name)) for p in used]
        if len(set(at)) >= 3:
            return Order(self, x, fit_slope(at, [p.median for p in used]), min(at), max(at), None)

        # the reason, in the order of the conditions
        total = len(self.points)
        if total < 3:
            why = f"the sweep has {total} of the three numbers of steps that a slope needs"
        elif len(there) < 3:
            why = f"{total - len(there)} of {total} points have no {x}"
        elif len(exact) < 3:
            why = f"{total - len(exact)} of {total} points are zero but for rounding"
        elif len(drawn) < 3:
            why = f"{len(exact) - len(drawn)} of {total} points are below {ABOVE_EXACT:g} times the score of exact draws"
        elif len(used) < 3:
            why = f"{len(drawn) - len(used)} of {total} points are below {ABOVE_EXACT:g} times the error of the reference"
        else:
            why = f"fewer than three different {x}"
        return Order(self, x, None, None, None, why)


@dataclass(frozen=True)
class Results:
    """A folder that a sweep wrote: typed rows with every column (None where absent), and the provenance record.

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=5, seeds=1, samples=10, out="results")
    >>> sorted(load("results").provenance["arguments"])[:2]
    ['metric', 'sampler']
    """

    folder: Path
    rows: list
    provenance: dict

    def has_seconds(self) -> bool:
        return all(row["seconds"] is not None for row in self.rows)


def load(folder: StrPath) -> Results:
    """Read ``results.csv``, ``timings.csv`` and ``provenance.json`` of a sweep; the last two may be absent.

    Raises
    ------
    ValueError
        Names the folder that is missing, holds no results, or holds a table that is no sweep's.

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=1, samples=10, out="results")
    >>> len(load("results").rows)
    2
    """
    folder = Path(folder)
    if not folder.is_dir():
        fail("dir", str(folder), "a folder that `exactdiffusion sweep --out DIR` wrote; there is no such folder")
    check_format(folder)
    path = folder / "results.csv"
    if not path.is_file():
        fail("dir", str(folder), "a folder with results.csv, which `exactdiffusion sweep --out DIR` writes at its end")
    rows = files.read_table(path)
    if not rows:
        fail("dir", str(folder), "a results.csv with at least one row; this sweep is empty")
    absent = [name for name in _NEEDED if name not in rows[0]]
    if absent:
        fail("dir", str(folder), f"a results.csv of a sweep; the column {absent[0]} is missing")
    times = _times(folder / "timings.csv")
    whole: list[Row] = []
    seen: dict[tuple, int] = {}
    for number, row in enumerate(rows):
        for name, kinds in _KINDS.items():
            _number(folder, path.name, number, name, row.get(name), kinds, empty=name in _OPTIONAL)
        # A name made of digits reads as a number; the key columns of text stay text.
        row = {**row, **{name: str(row[name]) for name in ("target", "sampler", "schedule", "start", "metric")}}
        key = tuple(row[name] for name in _KEY)
        if key in seen:
            fail("dir", str(folder), f"each cell and metric once in results.csv; row {number} repeats row {seen[key]}")
        seen[key] = number
        row["seconds"] = times.get(key)
        whole.append({name: row.get(name) for name in COLUMNS})
    return Results(folder, whole, _provenance(folder))


def compare(dir: StrPath) -> Comparison:
    """Every two samplers of a stored sweep, paired, at equal steps and at equal calls: see `comparison.compare`.

    Parameters
    ----------
    dir : path
        A folder that ``sweep(..., out=DIR)`` or ``exactdiffusion sweep --out DIR`` wrote.

    Raises
    ------
    ValueError
        Naming the folder: it is missing, holds no sweep, or a record of it is damaged.

    Examples
    --------
    >>> job = {"target": "gaussian", "sampler": ["ddim", "heun"], "steps": [10, 20], "seeds": 1, "samples": 10}
    >>> _ = ed.sweep(**job, out="results")
    >>> compare("results")
    first minus second; target gaussian, schedule vp_linear, metric w2
    at equal  first  second  difference  95 % interval     verdict
    steps 10  ddim   heun    0.131       [0.131, 0.131]    heun scores less
    steps 20  ddim   heun    0.0845      [0.0845, 0.0845]  heun scores less
    calls 20  ddim   heun    0.0297      [0.0297, 0.0297]  heun scores less
    """
    found = load(dir)
    return _compare(found.rows, squares_of(found))


#: No record is longer; a longer file under ``records/`` was not written by a sweep.
MOST_BYTES = 1 << 20


def squares_of(results: Results) -> list[list[float] | None]:
    """For every row of a folder the squared distances of its starts, read from its records (metric ``coupled``), or None.

    Examples
    --------
    >>> job = {"target": "rings", "sampler": "ddim", "steps": 4, "seeds": 1, "samples": 9, "metric": "coupled"}
    >>> done = ed.sweep(**job, out="results")
    >>> squares_of(load("results")) == done.squares
    True
    """
    # records of the values that the table holds; other ones are of other sweeps into this folder
    wanted = {(*(row[name] for name in _KEY), row["value"]): i for i, row in enumerate(results.rows)}
    found: list[list[float] | None] = [None] * len(results.rows)
    for path in sorted((results.folder / "records").glob("*/*.json")):
        if path.stat().st_size > MOST_BYTES:
            continue
        record = files.read_json(path)
        row = wanted.get(tuple(record.get(name) for name in (*_KEY, "value")))
        squares = record.get("squares")
        if row is None or squares is None:
            continue
        if not isinstance(squares, list) or not all(type(s) is float and 0 <= s < math.inf for s in squares):
            fail("dir", str(results.folder), f"a list of nonnegative numbers as squares in {path.name}")
        found[row] = squares
    return found


def _number(folder, file, row, column, value, kinds, *, empty):
    if value is None and empty:
        return
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        expected = "integers" if kinds == (int,) else "finite numbers"
        fail("dir", str(folder), f"{expected} in the column {column} of {file}; row {row + 1} has {value!r:.60}")


def _provenance(folder):
    path = folder / "provenance.json"
    if not path.is_file():
        return {}
    record = files.read_json(path)
    for name, kind in _NOTES.items():
        if record.get(name) is not None and not isinstance(record[name], kind):
            fail("dir", str(folder), f"a {kind.__name__} as {name} in {path.name}")
    return record


def _times(path):
    if not path.is_file():
        return {}
    table = files.read_table(path)
    absent = [name for name in (*_KEY, "seconds") if table and name not in table[0]]
    if absent:
        raise ValueError(f"{path}: the column {absent[0]} is missing")
    for number, row in enumerate(table, start=1):
        if row["seconds"] is not None and (isinstance(row["seconds"], bool) or not isinstance(row["seconds"], (int, float))):
            raise ValueError(f"{path}, row {number}: seconds: got {row['seconds']!r}; expected a number")
    texts = ("target", "sampler", "schedule", "start", "metric")
    return {tuple(str(row[name]) if name in texts else row[name] for name in _KEY): row["seconds"] for row in table}


def select(rows: list[Row], **wanted: Any) -> list[Row]:
    """The rows whose columns have the wanted values (a value, a list of them, or None for all).

    Raises
    ------
    ValueError
        Names a column's value that no row has, and the values that rows have.

    Examples
    --------
    >>> rows = [{"target": "rings", "steps": 5}, {"target": "gaussian", "steps": 5}]
    >>> select(rows, target="rings")
    [{'target': 'rings', 'steps': 5}]
    """
    for name, values in wanted.items():
        if values is None:
            continue
        values = [values] if isinstance(values, str) else list(values)
        known = sorted({row[name] for row in rows})
        for value in values:
            if value not in known:
                fail(name, value, "one of " + ", ".join(map(repr, known)) + " (what this sweep holds)")
        rows = [row for row in rows if row[name] in values]
    return rows


def median_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float, float]:
    """Median and the narrowest symmetric interval of order statistics that covers it with probability ``level``.

    ``[x_(k), x_(n+1-k)]`` of n independent values covers the median with probability 1 - 2 P(Binomial(n, 1/2) < k),
    whatever their continuous law. Five values or fewer cannot reach 95 %: the interval is then their range.

    Returns
    -------
    (median, low, high, coverage)
        ``coverage`` is the exact probability of the interval returned.

    Examples
    --------
    >>> median_interval(list(range(1, 12)))
    (6.0, 2.0, 10.0, 0.98828125)
    """
    level = scalar("level", level, low=0, high=1, low_open=True, high_open=True)
    no_mask("values", values)
    x = np.sort(np.asarray(values, dtype=np.float64))
    if x.ndim != 1 or x.size == 0:
        fail("values", values, "at least one number")
    n, k, below = x.size, 1, 2.0**-x.size  # below = P(Binomial(n, 1/2) < k)
    while 2 * (k + 1) <= n + 1:
        more = below + math.comb(n, k) * 2.0**-n
        if 1 - 2 * more < level:
            break
        k, below = k + 1, more
    return float(np.median(x)), float(x[k - 1]), float(x[n - k]), max(0.0, 1 - 2 * below)


def curves(rows: list[Row]) -> list[Curve]:
    """All curves of the rows (which have the columns `COLUMNS`), in the order of the table.

    Returns
    -------
    list of Curve

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10, 20], seeds=1, samples=10, out="results")
    >>> curve = curves(load("results").rows)[0]
    >>> [point.steps for point in curve.points]
    [5, 10, 20]
    """
    grouped: dict[tuple[str, str, str, str, int, str], dict[int, list[Row]]] = {}
    for row in rows:
        key = (row["target"], row["metric"], row["sampler"], row["schedule"], row["samples"], row["start"])
        grouped.setdefault(key, {}).setdefault(row["steps"], []).append(row)
    return [
        Curve(*key, tuple(_point(steps, by_steps[steps]) for steps in sorted(by_steps))) for key, by_steps in grouped.items()
    ]


def rounding_of(found: Iterable[Curve]) -> dict[tuple[str, str], float]:
    """(target, metric) -> value at or below which a median is zero but for rounding: `ROUNDING` times the largest median.

    Such a value has no place on a logarithmic axis, which it would stretch by decades, and rounding alone may put it above a
    bound of 0.

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=1, samples=10, out="results")
    >>> found = curves(load("results").rows)
    >>> rounding_of(found)["gaussian", "w2"] == ROUNDING * found[0].points[0].median
    True
    """
    largest: dict[tuple[str, str], float] = {}
    for curve in found:
        key = curve.target, curve.metric
        largest[key] = max(largest.get(key, 0.0), *(p.median for p in curve.points))
    return {key: ROUNDING * value for key, value in largest.items()}


def _drawn_text(points):
    """The band of exact draws in words, or None where no point has one."""
    runs = sorted({int(p.exact_draws_runs) for p in points if p.exact_draws and p.exact_draws_runs})
    if not runs:
        return "exact draws" if any(p.exact_draws for p in points) else None
    return _band_text(*runs)


def _band_text(fewest, *more):
    """Label of a band of exact draws: the share between its ends, with the standard deviation of that share."""
    share, deviation = _band_share(fewest)
    which = f"{fewest} to {more[-1]}" if more else f"{fewest}"
    return f"exact draws: mean and central {100 * share:.0f} % (± {100 * deviation:.0f} %, {which} runs)"


def _point(steps, rows):
    median, low, high, coverage = median_interval([row["value"] for row in rows])
    if len(rows) == 1:
        low, high, coverage = rows[0]["lower"], rows[0]["upper"], None

    def middle(name):
        values = [row[name] for row in rows if row.get(name) is not None]
        return float(np.median(values)) if values else None

    # the words of a bound come from the run with the middle one
    bounded = sorted((row for row in rows if row["bound"] is not None), key=lambda row: row["bound"])
    first = bounded[len(bounded) // 2] if bounded else rows[0]
    return Point(
        steps,
        middle("oracle_calls"),
        middle("seconds"),
        median,
        low,
        high,
        coverage,
        len(rows),
        *map(middle, _DRAWN),
        middle("bound"),
        first["bound_kind"],
        first["statement"],
        first["vacuous"],
        middle("reference_error"),
    )
