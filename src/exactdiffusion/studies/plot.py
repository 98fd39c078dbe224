"""``exactdiffusion plot DIR``: the curves of a sweep on paper."""

import io
import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from .._core import files
from .._core.typing import StrPath
from .._core.validation import choice, fail
from .figures import curve_style, new_figure, plain_ticks, style
from .results import ABOVE_EXACT, AXES, LABELS, Curve, _drawn_text, curves, load, select

__all__ = ["draw", "plot"]

_MOST_CURVES = 12  # in one panel; beyond, neither marker nor grey value tells two curves apart
_MOST_PANELS = 24
_FRAME = 30.0  # a bound further than this factor from the data does not widen the frame: it would flatten every curve
_FORMATS = ("pdf", "png", "svg")


def plot(
    folder: StrPath,
    *,
    target: str | Sequence[str] | None = None,
    metric: str | Sequence[str] | None = None,
    sampler: str | Sequence[str] | None = None,
    schedule: str | Sequence[str] | None = None,
    x: Literal["steps", "calls", "seconds"] = "steps",
    out: StrPath | None = None,
) -> list[Path]:
    """Draw the results of a sweep: one panel per target and metric, log-log.

    Each curve is the median over the seeds with a band that bounds it (`results.median_interval`); its legend entry has the
    fitted slope with its interval. The score of exact draws (mean and central 90 %) is a grey band, a theorem's bound a thin
    line of the curve's colour; an upper bound beyond the diameter of the data is called vacuous.

    Parameters
    ----------
    folder : path
        Written by `exactdiffusion.sweep` or ``exactdiffusion sweep``.
    target, metric, sampler, schedule : str or list of str, optional
        Draw these only.
    x : {"steps", "calls", "seconds"}
        The abscissa. Seconds need the folder's ``timings.csv``.
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
    paths = [Path(folder) / "plot.png", Path(folder) / "plot.svg"] if out is None else [Path(out)]
    for path in paths:
        if path.suffix[1:] not in _FORMATS:
            fail("out", str(path), "a file name that ends in ." + ", .".join(_FORMATS))
    results = load(folder)
    rows = select(results.rows, target=target, metric=metric, sampler=sampler, schedule=schedule)
    if x == "seconds" and not results.has_seconds():
        fail("x", x, "'steps' or 'calls': this folder has no timings.csv for its rows")
    with style():
        figure = draw(curves(rows), x)
        for path in paths:
            buffer = io.BytesIO()
            stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[path.suffix[1:]]
            figure.savefig(buffer, format=path.suffix[1:], metadata=stamp)
            files.write_whole(path, buffer.getvalue())
    return paths


def draw(found: Sequence[Curve], x: Literal["steps", "calls", "seconds"] = "steps") -> Any:
    """A matplotlib ``Figure`` of curves: one panel per (target, metric), and per setting where there are several.

    Examples
    --------
    >>> from exactdiffusion.studies.results import curves, load
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=1, samples=10, out="results")
    >>> figure = draw(curves(load("results").rows), "steps")
    >>> len(figure.axes)
    1
    """
    panels: dict[tuple[str, str, int, str], list[Curve]] = {}
    for curve in found:
        panels.setdefault((curve.target, curve.metric, curve.samples, curve.start), []).append(curve)
    if len(panels) > _MOST_PANELS:
        fail("target", f"{len(panels)} panels", f"at most {_MOST_PANELS} in one figure; choose a target or a metric")

    crowded = max(len(members) for members in panels.values())
    if crowded > _MOST_CURVES:
        fail("sampler", f"{crowded} curves in a panel", f"at most {_MOST_CURVES}; choose samplers or a schedule")

    # the frame
    columns = min(len(panels), 2)
    lines = math.ceil(len(panels) / columns)
    names = list(dict.fromkeys(curve.sampler for curve in found))
    schedules = list(dict.fromkeys(curve.schedule for curve in found))
    figure, axes = new_figure(
        4.3 * columns if columns > 1 else 5.6, lines * (3.1 + 0.17 * (crowded + 3)), lines, columns, squeeze=False
    )

    # the panels, each with the conditions of its runs above the legend
    for place, ((target, metric, samples, start), members) in zip(axes.flat, panels.items()):
        _panel(place, members, x, names, schedules)
        seeds = sorted({p.seeds for c in members for p in c.points})
        place.set_title(f"{_pretty(target)}" + (f", {_pretty(schedules[0])} schedule" if len(schedules) == 1 else ""))
        place.set_ylabel(LABELS.get(metric, metric))
        place.set_xlabel(AXES[x][0])
        note = f"{samples} samples, {_span(seeds)} seed{'s' if seeds[-1] > 1 else ''}, {start} start{_coverage(members)}"
        if any(p.exact_draws for c in members for p in c.points):
            note += f"\nslopes: points above {ABOVE_EXACT:g} x the mean of exact draws"
        place.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=1, title=note, title_fontsize=7.0, fontsize=7.0)
    for place in axes.flat[len(panels) :]:
        place.remove()
    return figure


def _span(numbers):
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _coverage(members):
    found = {p.coverage for c in members for p in c.points if p.coverage is not None}
    return f"; band: {100 * min(found):.3g} % for the median" if found else ""


def _pretty(name):
    """A specification as it is read: ``name, parameter = value``."""
    head, *rest = name.split(":")
    return ", ".join([head.replace("_", " "), *(part.replace("=", " = ").replace('"', "") for part in rest)])


def _panel(axes, members, x, names, schedules):
    field = AXES[x][1]
    bounded, unseen, several, extent, bound_values = {}, 0, len(schedules) > 1, [], []

    # the curves: medians, bands and the bounds of theorems
    for curve in members:
        points = [p for p in curve.points if getattr(p, field)]
        unseen += sum(p.median <= 0 for p in points)
        points = sorted((p for p in points if p.median > 0), key=lambda p: getattr(p, field))
        look = curve_style(names.index(curve.sampler))
        if several:
            look["linestyle"] = curve_style(schedules.index(curve.schedule))["linestyle"]
            look["marker"] = curve_style(names.index(curve.sampler) + 3 * schedules.index(curve.schedule))["marker"]
        name = _pretty(curve.sampler) + (f" · {_pretty(curve.schedule)}" if several else "")
        slope = curve.slope(x)
        if slope is not None:
            name += f": slope {slope.slope:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
        at = [getattr(p, field) for p in points]
        if points:
            axes.plot(at, [p.median for p in points], label=name, **look)
            # A logarithmic axis has no place for an end at 0: the band is cut at 1 % of the median.
            low = [max(p.low, 0.01 * p.median) if p.low is not None else p.median for p in points]
            high = [p.high if p.high is not None else p.median for p in points]
            axes.fill_between(at, low, high, color=look["color"], alpha=0.18, linewidth=0)
            extent += low + high
        with_bound = [p for p in points if p.bound is not None and p.bound > 0]
        if with_bound:
            axes.plot(
                [getattr(p, field) for p in with_bound],
                [p.bound for p in with_bound],
                color=look["color"],
                linestyle=(0, (1, 1)),
                linewidth=0.9,
                marker="_",
                markersize=5,
            )
            bounded[with_bound[0].bound_kind] = with_bound[0].statement
            bound_values += [p.bound for p in with_bound]

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

    # entries of the legend: kinds of bounds, and values outside the frame
    least, most = (min(extent), max(extent)) if extent else (0.0, 0.0)
    near = [b for b in bound_values if least / _FRAME <= b <= most * _FRAME] if extent else bound_values
    beyond = [b for b in bound_values if b not in near]
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
    vacuous = [p for p in every if p.vacuous is not None]
    if vacuous:
        worst = max(vacuous, key=lambda p: p.bound)
        text = f"{len(vacuous)} bound{'s' if len(vacuous) > 1 else ''} vacuous, up to {worst.bound:.2g}: {worst.vacuous}"
        axes.plot([], [], " ", label=textwrap.fill(text, 64))
    if unseen:
        axes.plot([], [], " ", label=f"{unseen} point{'s' if unseen > 1 else ''} at 0, not drawn")

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
    if extent:
        low, high = min(extent + near), max(extent + near)
        margin = (high / low) ** 0.06 if high > low else 2.0
        axes.set_ylim(low / margin, high * margin)
    low, high = axes.get_ylim()
    if high / low < 1e3:
        plain_ticks(axes.yaxis, low, high)
