"""``exactdiffusion plot DIR``: the curves of a sweep on paper."""

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from .._core import files
from .._core.typing import StrPath
from .._core.validation import choice, fail
from ._tables import short_names
from .figures import curve_style, new_figure, plain_ticks, style
from .print_style import PRINT, WIDTHS, label_lines
from .results import ABOVE_EXACT, AXES, LABELS, Curve, _drawn_text, curves, load, rounding_of, select

__all__ = ["draw", "plot"]

_MOST_CURVES = 12  # in one panel; beyond, neither marker nor grey value tells two curves apart
_MOST_PANELS = 24
_MOST_LABELS = 8  # beside the lines of a panel; beyond, the names go into the legend
_FORMATS = ("pdf", "png", "svg")


def plot(
    folder: StrPath,
    *,
    target: str | Sequence[str] | None = None,
    metric: str | Sequence[str] | None = None,
    sampler: str | Sequence[str] | None = None,
    schedule: str | Sequence[str] | None = None,
    x: Literal["steps", "calls", "seconds"] = "steps",
    width: Literal["single", "double"] | None = None,
    out: StrPath | None = None,
) -> list[Path]:
    """Draw the results of a sweep: one panel per target and metric, log-log.

    Each curve is the median over the seeds with a band that bounds it (`results.median_interval`); its legend entry has the
    fitted slope with its interval. The score of exact draws (mean and central 90 %) is a grey band, a theorem's bound a thin
    line of the curve's colour; an upper bound beyond the diameter of the data is called vacuous. A median at or below
    `results.ROUNDING` times the largest of its panel is zero but for rounding: it is counted, not drawn. Text stays text in
    PDF and SVG.

    Parameters
    ----------
    folder : path
        Written by `exactdiffusion.sweep` or ``exactdiffusion sweep``.
    target, metric, sampler, schedule : str or list of str, optional
        Draw these only.
    x : {"steps", "calls", "seconds"}
        The abscissa. Seconds need the folder's ``timings.csv``.
    width : {"single", "double"}, optional
        For print: one column of a journal (3.25 in) or both (6.75 in), no type below 6.5 pt, names beside the lines.
    out : path, optional
        A file ending in ``.pdf``, ``.png`` or ``.svg``. Default: ``plot.png`` and ``plot.svg`` in the folder.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        Names the folder, the target, ... or the abscissa that is not there.

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler=["ddim", "heun"], steps=[5, 10], seeds=1, samples=10, out="results")
    >>> [path.name for path in plot("results")]
    ['plot.png', 'plot.svg']
    """
    choice("x", x, tuple(AXES))
    if width is not None:
        choice("width", width, tuple(WIDTHS))
    paths = [Path(folder) / "plot.png", Path(folder) / "plot.svg"] if out is None else [Path(out)]
    for path in paths:
        if path.suffix[1:] not in _FORMATS:
            fail("out", str(path), "a file name that ends in ." + ", .".join(_FORMATS))
    results = load(folder)
    rows = select(results.rows, target=target, metric=metric, sampler=sampler, schedule=schedule)
    if x == "seconds" and not results.has_seconds():
        fail("x", x, "'steps' or 'calls': this folder has no timings.csv for its rows")
    with style():
        import matplotlib

        # text stays text, whatever the width
        wanted: dict[Any, Any] = PRINT if width else {name: PRINT[name] for name in ("pdf.fonttype", "svg.fonttype")}
        matplotlib.rcParams.update(wanted)
        figure = draw(curves(rows), x, width)
        for path in paths:
            buffer = io.BytesIO()
            stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[path.suffix[1:]]
            figure.savefig(buffer, format=path.suffix[1:], metadata=stamp)
            files.write_whole(path, buffer.getvalue())
    return paths


def draw(
    found: Sequence[Curve],
    x: Literal["steps", "calls", "seconds"] = "steps",
    width: Literal["single", "double"] | None = None,
) -> Any:
    """A matplotlib ``Figure`` of curves: one panel per (target, metric), and per setting where there are several.

    Examples
    --------
    >>> from exactdiffusion.studies.results import curves, load
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=1, samples=10, out="results")
    >>> figure = draw(curves(load("results").rows), "steps")
    >>> len(figure.axes)
    1
    """
    # an object of the user's own is called by its name, without the digest
    known = [text for c in found for text in (c.target, c.sampler, c.schedule)]
    called = {text: text for text in known} | short_names(known)
    found = [replace(c, target=called[c.target], sampler=called[c.sampler], schedule=called[c.schedule]) for c in found]

    panels: dict[tuple[str, str, int, str], list[Curve]] = {}
    for curve in found:
        panels.setdefault((curve.target, curve.metric, curve.samples, curve.start), []).append(curve)
    if len(panels) > _MOST_PANELS:
        fail("target", f"{len(panels)} panels", f"at most {_MOST_PANELS} in one figure; choose a target or a metric")

    crowded = max(len(members) for members in panels.values())
    if crowded > _MOST_CURVES:
        fail("sampler", f"{crowded} curves in a panel", f"at most {_MOST_CURVES}; choose samplers or a schedule")

    # the frame: on paper its width is the column's, and the names stand beside the lines
    columns = 1 if width == "single" else min(len(panels), 2)
    lines = math.ceil(len(panels) / columns)
    names = list(dict.fromkeys(curve.sampler for curve in found))
    schedules = list(dict.fromkeys(curve.schedule for curve in found))
    beside = width is not None and crowded <= _MOST_LABELS
    across = WIDTHS[width] if width else 4.3 * columns if columns > 1 else 5.6
    height = 3.1 + 0.17 * (crowded + 3)
    figure, axes = new_figure(across, lines * height, lines, columns, squeeze=False)
    letters = int(across / columns / 0.066) if width else 64

    # the panels, each with the conditions of its runs above the legend
    rounding, below, named = rounding_of(found), 0, {}
    for place, ((target, metric, samples, start), members) in zip(axes.flat, panels.items()):
        drawn = _panel(place, members, x, names, schedules, rounding[target, metric])
        seeds = sorted({p.seeds for c in members for p in c.points})
        place.set_title(f"{_pretty(target)}" + (f", {_pretty(schedules[0])} schedule" if len(schedules) == 1 else ""))
        place.set_ylabel(LABELS.get(metric, metric))
        place.set_xlabel(AXES[x][0])
        note = f"{samples} samples, {_span(seeds)} seed{'s' if seeds[-1] > 1 else ''}, {start} start{_coverage(members)}"
        if any(p.exact_draws for c in members for p in c.points):
            note += f"\nslopes: points above {ABOVE_EXACT:g} x the mean of exact draws"
        note = "\n".join(textwrap.fill(line, letters) for line in note.split("\n"))
        handles, labels = place.get_legend_handles_labels()
        kept = [(h, textwrap.fill(t, letters - 6)) for h, t in zip(handles, labels) if not (beside and h in drawn)]
        place.legend(
            *([list(part) for part in zip(*kept)] if kept else [[], []]),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.19 if width is None else -0.26),
            ncols=1,
            title=note,
            title_fontsize=7.0,
            fontsize=7.0,
        )
        below = max(below, sum(1 + t.count("\n") for t in [note, *(text for _, text in kept)]))
        named[place] = {line: _folded(line.get_label()) for line in drawn}
    for place in axes.flat[len(panels) :]:
        place.remove()

    # on paper a panel is 1.8 in high, and the page as high as the words below it ask
    if width is not None:
        figure.set_figheight(lines * (2.7 + 0.135 * below))
    for place, labels in named.items() if beside else ():
        label_lines(place, labels)
    return figure


def _folded(name):
    """The name of a curve and its slope as lines that are narrow enough to stand beside it."""
    name, colon, slope = name.partition(": slope ")
    return textwrap.fill(name, 16) + (f"\nslope {slope.replace(' [', chr(10) + '[')}" if colon else "")


def _span(numbers):
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _coverage(members):
    found = {p.coverage for c in members for p in c.points if p.coverage is not None}
    return f"; band: holds the median with probability {100 * min(found):.3g} % or more" if found else ""


def _pretty(name):
    """A specification as it is read: ``name, parameter = value``."""
    head, *rest = name.split(":")
    return ", ".join([head.replace("_", " "), *(part.replace("=", " = ").replace('"', "") for part in rest)])


def _frame(extent, bounds):
    """Ends of the ordinate and the bounds beyond them: a bound far from the data would flatten every curve.

    Above, the frame grows by no more than the data span (at least a factor of 4, at most 30), below by a factor of 2.
    """
    if not extent:
        return None, bounds
    least, most = min(extent), max(extent)
    reach = min(30.0, max(4.0, most / least))
    near = [b for b in bounds if least / 2 <= b <= most * reach]
    low, high = min([least, *near]), max([most, *near])
    margin = (high / low) ** 0.06 if high > low else 1.4
    return (low / margin, high * margin), [b for b in bounds if b not in near]


def _ordinate_ticks(axis, low, high):
    """Ticks within the frame alone, the fewest kind that makes three; even steps where none does."""
    if high / low >= 1e3:
        return
    for bases in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        plain_ticks(axis, low, high, bases)
        if 3 <= len(axis.get_majorticklocs()) <= 9:
            return
    from matplotlib.ticker import MaxNLocator

    ticks = [t for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]
    axis.set_ticks(ticks, [f"{t:.4g}" for t in ticks])


def _panel(axes, members, x, names, schedules, rounding):
    """Draw one panel; the list of the lines of its curves."""
    field, lines = AXES[x][1], []
    limits, unseen, rounded, several, extent = [], 0, 0, len(schedules) > 1, []

    # the curves: medians and bands; the bounds of theorems wait for the frame
    for curve in members:
        points = [p for p in curve.points if getattr(p, field)]
        unseen += sum(p.median <= 0 for p in points)
        rounded += sum(0 < p.median <= rounding for p in points)
        points = sorted((p for p in points if p.median > rounding), key=lambda p: getattr(p, field))
        look = curve_style(names.index(curve.sampler))
        if several:
            look["linestyle"] = curve_style(schedules.index(curve.schedule))["linestyle"]
            look["marker"] = curve_style(names.index(curve.sampler) + 3 * schedules.index(curve.schedule))["marker"]
        name = _pretty(curve.sampler) + (f" · {_pretty(curve.schedule)}" if several else "")
        slope = replace(curve, points=tuple(p for p in curve.points if p.median > rounding)).slope(x)
        if slope is not None:
            name += f": slope {slope.slope:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
        at = [getattr(p, field) for p in points]
        if points:
            lines += axes.plot(at, [p.median for p in points], label=name, **look)
            # A logarithmic axis has no place for an end at 0: the band is cut at 1 % of the median.
            low = [max(p.low, 0.01 * p.median) if p.low is not None else p.median for p in points]
            high = [p.high if p.high is not None else p.median for p in points]
            axes.fill_between(at, low, high, color=look["color"], alpha=0.18, linewidth=0)
            extent += low + high
        with_bound = [p for p in points if p.bound is not None and p.bound > 0]
        if with_bound:
            limits.append((with_bound, look["color"]))

    # the bands of exact draws
    every = [p for c in members for p in c.points]
    drawn = {
        (p.exact_draws_low or p.exact_draws, p.exact_draws, p.exact_draws_high or p.exact_draws)
        for p in every
        if p.exact_draws
    }
    for number, (low, mean, high) in enumerate(sorted(drawn)):
        axes.axhspan(low, high, color="0.82", zorder=0, linewidth=0, label=_drawn_text(every) if number == 0 else None)
        axes.axhline(mean, color="0.45", linewidth=0.8, zorder=1)
    extent += [end for ends in drawn for end in ends]

    # the bounds: one with fewer than two points in the frame would be a stub, and is named instead
    _, beyond = _frame(extent, [p.bound for points, _ in limits for p in points])
    seen = [sum(p.bound not in beyond for p in points) >= min(2, len(points)) for points, _ in limits]
    ends, _ = _frame(extent, [p.bound for (points, _), kept in zip(limits, seen) if kept for p in points])
    bounded = {}
    for (points, color), kept in zip(limits, seen):
        if kept:
            at, values = [getattr(p, field) for p in points], [p.bound for p in points]
            axes.plot(at, values, color=color, linestyle=(0, (1, 1)), linewidth=0.9, marker="_", markersize=5)
            bounded[points[0].bound_kind] = points[0].statement

    # entries of the legend: kinds of bounds, and values outside the frame
    for kind, statement in bounded.items():
        axes.plot(
            [],
            [],
            color="0.2",
            linestyle=(0, (1, 1)),
            linewidth=0.9,
            marker="_",
            markersize=5,
            label=f"{kind or ''} bound of {statement}".strip() if kind != "equality" else f"value of {statement}",
        )
    if beyond:
        axes.plot([], [], " ", label=f"bounds beyond the frame: {min(beyond):.2g} to {max(beyond):.2g}")
    for statement in dict.fromkeys(points[0].statement for (points, _), kept in zip(limits, seen) if not kept):
        axes.plot([], [], " ", label=f"not drawn, fewer than two points in the frame: bound of {statement}")
    vacuous = [p for p in every if p.vacuous is not None]
    if vacuous:
        worst = max(vacuous, key=lambda p: p.bound)
        text = f"{len(vacuous)} bound{'s' if len(vacuous) > 1 else ''} vacuous, up to {worst.bound:.2g}: {worst.vacuous}"
        axes.plot([], [], " ", label=text)
    if unseen:
        axes.plot([], [], " ", label=f"{unseen} point{'s' if unseen > 1 else ''} at 0, not drawn")
    if rounded:
        axes.plot(
            [], [], " ", label=f"{rounded} point{'s' if rounded > 1 else ''} zero but for rounding, not drawn or fitted"
        )

    # both axes: logarithmic, with ticks at the numbers that were run
    axes.set_xscale("log")
    axes.set_yscale("log")
    if field != "seconds":
        ticks = sorted({getattr(p, field) for c in members for p in c.points})
        if len(ticks) > 8 or any(b < 1.3 * a for a, b in pairwise(ticks)):  # labels would touch
            plain_ticks(axes.xaxis, *axes.get_xlim())
        else:
            axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
            axes.set_xticks([], minor=True)
    if ends:
        axes.set_ylim(*ends)
        _ordinate_ticks(axes.yaxis, *ends)
    return lines
