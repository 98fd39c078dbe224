"""Experiments compute tables, this module keeps them and draws them.

An experiment is one file ``experiments/<group>/<name>.py``. It defines

``SUMMARY``
    one line: the content, with paper and figure.
``CAPTION``
    the caption: the finding first, then what is drawn. It travels with the figure: record, gallery, report, ``.tex``.
``PAPER``
    (arXiv id, figure, status): the number in the paper as a string, empty where it has none or none is known, two as "4, 5";
    status "present", "stand-in" or "own" (see `studies.gallery.STATUSES`).
``PARAMETERS``
    dict of JSON values: everything the numbers depend on, seeds included.
``QUICK``
    dict of those parameters that ``--quick`` replaces by cheaper ones.
``compute(parameters, progress)``
    list of rows (dicts with equal keys): the table.
``draw(table, parameters)``
    a matplotlib ``Figure`` drawn from the table alone: one or two panels, from `panels`, at the width of the style.
``SPOT``
    a `Spot`: the cheap part of the table that the currency check recomputes.

Heavy imports belong inside ``compute`` and ``draw``. `make` writes ``figures/data/NAME.csv`` and ``NAME.json`` (parameters,
versions, commit, machine, digests of the table and of the pictures) and ``figures/NAME.svg`` and ``NAME.png``; equal tables
give equal bytes of SVG. `check` names the committed tables and drawings that the code no longer gives. `typeset` draws a
figure for a column of 3.25 or a page of 6.75 inches, as PDF with its caption for LaTeX.
"""

import hashlib
import importlib.util
import io
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from .._core import files
from .._core.paths import experiments_dir, project_root
from .._core.progress import progress as _progress_bar
from .._core.provenance import provenance
from .._core.typing import StrPath
from .print_style import PALETTE, PRINT, WIDTHS

__all__ = [
    "INK",
    "STYLE",
    "Spot",
    "check",
    "curve_style",
    "default_folder",
    "exact_draws_band",
    "experiments",
    "helper",
    "legend_below",
    "make",
    "new_figure",
    "panels",
    "parameters_of",
    "plain_ticks",
    "redraw",
    "select",
    "style",
    "title",
    "typeset",
]

_PICTURES = ("svg", "png")
_REQUIRED = ("SUMMARY", "CAPTION", "PAPER", "PARAMETERS", "QUICK", "SPOT", "compute", "draw")

INK = "#222222"
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")

STYLE: dict[Any, Any] = {
    **PRINT,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "svg.hashsalt": "exactdiffusion",
    "path.simplify": True,
}

_width: ContextVar[str] = ContextVar("width", default="double")


@dataclass(frozen=True)
class Spot:
    """The part of an experiment that the currency check recomputes.

    Parameters
    ----------
    parameters : dict
        Replacements in ``PARAMETERS`` that make the computation cheap; its rows must be rows of the full table.
    keys : tuple of str
        Columns that identify a row.
    rtol : dict
        Column -> relative tolerance; every column that is in neither ``keys`` nor ``rtol`` must be equal.
    cause : str
        Where the tolerance comes from.
    atol : float
        Absolute part of it, for columns whose values reach 0.

    Examples
    --------
    >>> Spot({"steps": 5}, keys=("sampler", "steps"), rtol={"w2": 1e-6}, cause="last bits of BLAS").atol
    0.0
    """

    parameters: dict
    keys: tuple
    rtol: dict = field(default_factory=dict)
    cause: str = ""
    atol: float = 0.0


def experiments() -> dict[str, ModuleType]:
    """All experiments, name -> module, in order of group and name.

    Examples
    --------
    >>> "coin_test" in experiments()
    True
    """
    found = {}
    for path in sorted(experiments_dir().glob("*/*.py")):
        if path.name.startswith("_") or path.parent.name == "howto":  # worked examples, not figures
            continue
        module = _load(path, f"exactdiffusion_experiments.{path.parent.name}.{path.stem}")
        missing = [n for n in _REQUIRED if not hasattr(module, n)]
        if missing:
            raise ImportError(f"experiment {path.name} does not define {', '.join(missing)}")
        module.NAME, module.GROUP = path.stem, path.parent.name
        if module.NAME in found:
            raise ImportError(f"two experiments are called {module.NAME}")
        found[module.NAME] = module
    return found


def _load(path, name):
    """The module of a file, read again where the file has changed."""
    changed = path.stat().st_mtime_ns
    if name in sys.modules and sys.modules[name].__dict__.get("_changed") == changed:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    module._changed = changed
    return module


def helper(group: str, name: str) -> ModuleType:
    """A file that experiments of a group share, such as ``experiments/conditional_mean/_nmse.py``.

    Examples
    --------
    >>> callable(helper("conditional_mean", "_nmse").draw_nmse)
    True
    """
    return _load(experiments_dir() / group / f"{name}.py", f"exactdiffusion_experiments.{group}.{name}")


def select(names: Sequence[str] = (), everything: bool = False) -> list[ModuleType]:
    """Experiments by name or group (a folder of ``experiments/``: all of its figures); `gallery.select` takes numbers too.

    ``ValueError`` names the unknown one, and the choice when nothing is asked for.

    Examples
    --------
    >>> [module.NAME for module in select(["coin_test", "noise_schedules"])]
    ['coin_test', 'noise_schedules']
    """
    known = experiments()
    if everything:
        if names:
            raise ValueError(f"names: got {list(names)} together with all; expected one of the two")
        return list(known.values())
    groups: dict[str, list[ModuleType]] = {}
    for module in known.values():
        groups.setdefault(module.GROUP, []).append(module)
    choice = (
        f"{', '.join(known)}, or a group: {', '.join(groups)}, or a figure of a paper such as projection:2 (figures --list)"
    )
    if not names:
        raise ValueError(f"names: got none; expected --all or some of {choice}")
    chosen = {}
    for name in names:
        if name not in known and name not in groups:
            raise ValueError(f"names: got {name!r}; expected some of {choice}")
        # a figure named like a group is that figure
        chosen.update({m.NAME: m for m in ([known[name]] if name in known else groups[name])})
    return list(chosen.values())


def default_folder(quick: bool = False) -> Path:
    """``figures/`` of the checkout, else of the current folder; quick drawings go to ``quick/`` in it.

    Examples
    --------
    >>> default_folder(quick=True).name
    'quick'
    """
    folder = (project_root() or Path.cwd()) / "figures"
    return folder / "quick" if quick else folder


def parameters_of(
    experiment: ModuleType, *, quick: bool = False, parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The parameters that `make` takes: the experiment's, the quick ones in their place, and replacements.

    Raises
    ------
    ValueError
        Names a parameter that the experiment does not have.

    Examples
    --------
    >>> parameters_of(experiments()["noise_schedules"], parameters={"steps": 5})["steps"]
    5
    """
    unknown = sorted(set(parameters or {}) - set(experiment.PARAMETERS))
    if unknown:
        raise ValueError(f"parameters: got {unknown[0]!r}; expected some of {', '.join(experiment.PARAMETERS)}")
    return {**experiment.PARAMETERS, **(experiment.QUICK if quick else {}), **(parameters or {})}


def make(
    experiment: ModuleType, out: StrPath | None = None, *, quick: bool = False, parameters: Mapping[str, Any] | None = None
) -> dict[str, Path]:
    """Compute the table of one experiment, write it with its provenance, draw it.

    Parameters
    ----------
    experiment : module
        From `select` or `experiments`.
    out : path, optional
        Folder of the drawings; the table goes to ``data/`` in it. Default: `default_folder`.
    quick : bool
        Use the experiment's ``QUICK`` parameters.
    parameters : dict, optional
        Further replacements.

    Returns
    -------
    dict
        ``table``, ``provenance``, ``svg``, ``png``: the paths written.

    Raises
    ------
    ValueError
        Names a parameter that the experiment does not have.

    Examples
    --------
    >>> paths = make(experiments()["noise_schedules"], "drawn")
    >>> sorted(path.name for path in paths.values())
    ['noise_schedules.csv', 'noise_schedules.json', 'noise_schedules.png', 'noise_schedules.svg']
    >>> check(experiments()["noise_schedules"], "drawn")
    []
    """
    out = Path(out) if out is not None else default_folder(quick)
    values = parameters_of(experiment, quick=quick, parameters=parameters)
    started = _processor_seconds()
    rows = experiment.compute(values, _progress_bar)
    seconds = _processor_seconds() - started
    text = files.table_text(rows)
    record = {
        "experiment": experiment.NAME,
        "group": experiment.GROUP,
        "summary": experiment.SUMMARY,
        "caption": experiment.CAPTION,
        "parameters": values,
        "rows": len(rows),
        "table_sha256": _sha256(text),
        "processor_seconds": round(seconds, 1),
        **provenance(),
    }
    paths = _paths(experiment.NAME, out)
    files.write_whole(paths["table"], text)
    files.write_whole(paths["provenance"], files.json_text(record))
    redraw(experiment, out)
    return paths


def _processor_seconds():
    """Processor time of this process and of the workers that have ended, in seconds."""
    if "joblib.externals.loky" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown()  # the time of a worker is known when it has ended
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def redraw(experiment: ModuleType, out: StrPath | None = None) -> dict[str, Path]:
    """Draw one experiment from its table on disk; the record keeps the caption and the digests of table and pictures.

    Examples
    --------
    >>> _ = make(experiments()["noise_schedules"], "drawn")
    >>> redraw(experiments()["noise_schedules"], "drawn")["svg"].name
    'noise_schedules.svg'
    """
    paths = _paths(experiment.NAME, Path(out) if out is not None else default_folder())
    text = paths["table"].read_bytes()
    record = json.loads(paths["provenance"].read_text(encoding="utf-8"))
    drawn = {"table": _sha256(text)}
    with style():
        figure = experiment.draw(files.parse_table(text.decode()), record["parameters"])
        for kind in _PICTURES:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else {})
            files.write_whole(paths[kind], buffer.getvalue())
            drawn[kind] = _sha256(buffer.getvalue())
    record |= {"summary": experiment.SUMMARY, "caption": experiment.CAPTION, "drawn_sha256": drawn}
    files.write_whole(paths["provenance"], files.json_text(record))
    return paths


def typeset(experiment: ModuleType, width: str = "double", out: StrPath | None = None) -> dict[str, Path]:
    """Draw one experiment for print, from its table on disk: a PDF whose text is text, and its caption for LaTeX.

    Parameters
    ----------
    experiment : module
        From `select` or `experiments`.
    width : str
        ``"single"``, a column of 3.25 inches with the panels one above another, or ``"double"``, a page of 6.75 inches.
    out : path, optional
        Folder of the drawings, with the table in ``data/``; the files go to ``print/`` in it. Default: `default_folder`.

    Returns
    -------
    dict
        ``pdf`` and ``tex``: the paths written.

    Raises
    ------
    ValueError
        Names a width that there is not, or the table that is missing and the command that makes it.

    Examples
    --------
    >>> _ = make(experiments()["noise_schedules"], "drawn")
    >>> [path.name for path in typeset(experiments()["noise_schedules"], "single", "drawn").values()]
    ['noise_schedules-single.pdf', 'noise_schedules-single.tex']
    """
    folder = Path(out) if out is not None else default_folder()
    table = _paths(experiment.NAME, folder)["table"]
    if not table.is_file():
        raise ValueError(
            f"out: got {folder}, which has no data/{table.name}; exactdiffusion figures {experiment.NAME} makes it"
        )
    record = json.loads(_paths(experiment.NAME, folder)["provenance"].read_text(encoding="utf-8"))
    name = f"{experiment.NAME}-{width}"
    paths = {"pdf": folder / "print" / f"{name}.pdf", "tex": folder / "print" / f"{name}.tex"}
    with style(width):
        figure = experiment.draw(files.read_table(table), record["parameters"])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    files.write_whole(paths["pdf"], buffer.getvalue())
    files.write_whole(paths["tex"], _tex(experiment, name, width))
    return paths


#: Characters of captions that LaTeX does not take as they are; runs of raised and lowered digits become one script.
_TEX = {letter: "\\" + letter for letter in "&%_#$"} | {"^": r"\^{}", "~": r"\~{}"}
_TEX |= {
    letter: f"${command}$"
    for letter, command in {
        **{"α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "ε": r"\varepsilon", "ζ": r"\zeta", "η": r"\eta", "κ": r"\kappa"},
        **{
            "λ": r"\lambda",
            "μ": r"\mu",
            "ν": r"\nu",
            "σ": r"\sigma",
            "τ": r"\tau",
            "∇": r"\nabla",
            "∫": r"\int ",
            "√": r"\surd ",
        },
        **{
            "≤": r"\le ",
            "≥": r"\ge ",
            "≪": r"\ll ",
            "∞": r"\infty",
            "→": r"\to ",
            "∓": r"\mp ",
            "−": "-",
            "½": r"\tfrac12 ",
        },
        **{"●": r"\bullet", "△": r"\triangle", "▽": r"\triangledown", "×": r"\times ", "…": r"\dots "},
    }.items()
}
_RAISED, _LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁻", "0123456-"), str.maketrans("₀₁₂", "012")


def _tex_letters(found):
    """The LaTeX of one letter, or of a run of raised or lowered ones."""
    letters = found[0]
    for sign, digits in (("^", _RAISED), ("_", _LOWERED)):
        if ord(letters[0]) in digits:
            return f"${sign}{{{letters.translate(digits)}}}$"
    return _TEX.get(letters, letters)


def _tex(experiment, name, width):
    """A figure environment with the caption; ``figure*`` spans both columns."""
    kind = "figure*" if width == "double" else "figure"
    caption = re.sub("[⁰¹²³⁴⁵⁶⁻]+|[₀₁₂]+|.", _tex_letters, experiment.CAPTION).replace("$$", "")  # one formula, not two
    return "\n".join(
        [
            f"\\begin{{{kind}}}",
            "  \\centering",
            f"  \\includegraphics[width={WIDTHS[width]:g}in]{{{name}.pdf}}",
            f"  \\caption{{{caption}}}",
            f"  \\label{{fig:{experiment.NAME}}}",
            f"\\end{{{kind}}}",
            "",
        ]
    )


def check(experiment: ModuleType, out: StrPath | None = None) -> list[str]:
    """Problems of the committed table and drawings of one experiment; an empty list when they are current.

    Four things are compared: the parameters in the provenance record with the experiment's; the table with its digest in the
    record; the pictures, and the table from which they were drawn, with theirs; the rows that ``SPOT`` recomputes.
    """
    paths = _paths(experiment.NAME, Path(out) if out is not None else default_folder())
    absent = [str(path) for path in paths.values() if not path.is_file()]
    if absent:
        return [f"missing: {path}" for path in absent]
    problems = _record_problems(experiment, paths)
    return problems or _spot_problems(experiment, files.read_table(paths["table"]))


def _record_problems(experiment, paths):
    """Where parameters, table and pictures differ from the record that was written with them."""
    record = json.loads(paths["provenance"].read_text(encoding="utf-8"))
    table, drawn = _sha256(paths["table"].read_bytes()), record.get("drawn_sha256", {})
    problems = []
    if record.get("caption") != experiment.CAPTION:
        problems.append(f"{paths['provenance'].name}: the caption differs from the experiment's; redraw it")
    if record["parameters"] != json.loads(json.dumps(experiment.PARAMETERS)):
        problems.append(f"{paths['provenance'].name}: the parameters differ from the experiment's")
    if record["table_sha256"] != table:
        problems.append(f"{paths['table'].name}: the table is not the one the record describes")
    for kind in _PICTURES:
        if drawn.get("table") != table or drawn.get(kind) != _sha256(paths[kind].read_bytes()):
            problems.append(f"{paths[kind].name}: drawn from another table, or edited")
    return problems


def _spot_problems(experiment, table):
    spot = experiment.SPOT
    committed = {tuple(row[key] for key in spot.keys): row for row in table}
    if len(committed) != len(table):
        return [f"{experiment.NAME}: the keys {spot.keys} do not identify the rows of the table"]
    fresh = experiment.compute({**experiment.PARAMETERS, **spot.parameters}, _silent)
    # Compare the numbers that a reader of the CSV sees.
    fresh = files.parse_table(files.table_text(fresh))
    problems = []
    for row in fresh:
        key = tuple(row[k] for k in spot.keys)
        old = committed.get(key)
        if old is None:
            problems.append(f"{experiment.NAME}: row {key} is not in the table")
            continue
        for column, value in row.items():
            if not _agree(value, old.get(column), spot.rtol.get(column), spot.atol):
                allowed = ""
                if column in spot.rtol:
                    allowed = f" (allowed: {spot.rtol[column]:g} of it + {spot.atol:g}; {spot.cause})"
                problems.append(
                    f"{experiment.NAME}: row {key}, {column}: committed {old.get(column)!r}, recomputed {value!r}{allowed}"
                )
    return problems


def _agree(a, b, rtol, atol):
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (a, b))
    if rtol is None or not numbers or not (math.isfinite(a) and math.isfinite(b)):
        return a == b
    return abs(a - b) <= rtol * max(abs(a), abs(b)) + atol


def _silent(iterable, description, total=None):
    return iterable


def _paths(name, out):
    return {
        "table": out / "data" / f"{name}.csv",
        "provenance": out / "data" / f"{name}.json",
        "svg": out / f"{name}.svg",
        "png": out / f"{name}.png",
    }


def _sha256(data):
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


# -- drawing ------------------------------------------------------------------------------------------------


@contextmanager
def style(width: str = "double") -> Iterator[None]:
    """The one style of all figures, for the time of the block; `panels` draws at the width, "single" or "double".

    Examples
    --------
    >>> with style("single"):
    ...     figure, axes = panels(1, 2.4)
    ...     _ = axes.plot([5, 10, 20], [0.4, 0.2, 0.1], **curve_style(0))
    >>> figure.get_size_inches().tolist()
    [3.25, 2.4]
    """
    import matplotlib

    if width not in WIDTHS:
        raise ValueError(f"width: got {width!r}; expected single ({WIDTHS['single']} in) or double ({WIDTHS['double']} in)")
    token = _width.set(width)
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            yield
    finally:
        _width.reset(token)


def new_figure(width: float = 6.3, height: float = 3.6, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes, in inches, on the Agg canvas; no pyplot, hence no display, no global state.

    Examples
    --------
    >>> figure, panels = new_figure(6.75, 2.4, columns=2)
    >>> len(panels)
    2
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def panels(count: int = 2, height: float = 2.7, **options: Any) -> tuple[Any, Any]:
    """A figure of one or two panels at the width of `style`: side by side on a page, one above another in a column.

    Parameters
    ----------
    count : int
        1 or 2; a third finding is another figure.
    height : float
        Inches of a page-wide figure; a column has twice as many for two panels.
    options : dict
        Options of ``Figure.subplots``; ``width_ratios`` holds on the page alone.

    Examples
    --------
    >>> figure, (left, right) = panels(2, 2.5)
    >>> figure.get_size_inches().tolist()
    [6.75, 2.5]
    """
    if count not in (1, 2):
        raise ValueError(f"count: got {count}; expected 1 or 2 panels; draw a second figure for a third finding")
    width = _width.get()
    if width == "double":
        return new_figure(WIDTHS[width], height, 1, count, **options)
    options.pop("width_ratios", None)
    return new_figure(WIDTHS[width], count * height, count, 1, **options)


#: Letters of a title in an inch, at the size of titles and the mean width of the typeface.
_LETTERS = 16.0


def title(axes: Any, text: str, inset: float = 0.45) -> None:
    """The finding of a panel above it, broken into lines of even length that fit its width.

    Parameters
    ----------
    axes : Axes
        A panel of `panels`.
    text : str
        The finding.
    inset : float
        Inches of the panel's share of the width that its labels take.

    Examples
    --------
    >>> _, axes = panels(1)
    >>> title(axes, "the error falls like 1/N")
    >>> axes.get_title(loc="left")
    'the error falls like 1/N'
    """
    room = int((WIDTHS[_width.get()] / axes.get_gridspec().ncols - inset) * _LETTERS)
    text = text.replace(" = ", "\xa0=\xa0").replace(" dB", "\xa0dB")  # no line ends within an equation or before a unit
    lines = textwrap.wrap(text, room)
    while len(narrower := textwrap.wrap(text, room - 1)) == len(lines) and max(map(len, narrower)) < room:
        lines, room = narrower, room - 1
    axes.set_title("\n".join(lines).replace("\xa0", " "), loc="left")


def legend_below(figure: Any, columns: int = 4, order: Sequence[str] = (), handles: Mapping[str, Any] | None = None) -> Any:
    """One legend for all panels, below them, with at most as many columns as the width has room for.

    Parameters
    ----------
    figure : Figure
        Its panels' labelled curves are the entries; a label of two panels stands once.
    columns : int
        The most columns.
    order : sequence of str
        Labels that come first, in this order.
    handles : dict, optional
        Label -> handle of entries that are added, or take the place of a panel's.

    Examples
    --------
    >>> figure, axes = panels(1)
    >>> _ = axes.plot([1, 2], [1, 2], label="measured")
    >>> len(legend_below(figure).get_texts())
    1
    """
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    entries |= handles or {}
    labels = [*order, *(label for label in entries if label not in order)]
    while True:
        legend = figure.legend(
            [entries[label] for label in labels], labels, loc="outside lower center", ncols=columns, columnspacing=1.4
        )
        if columns == 1 or legend.get_window_extent().width <= 0.98 * figure.bbox.width:
            # more than three lines get their own height, so that the panels keep theirs
            figure.set_figheight(figure.get_figheight() + 0.15 * max(0, -(-len(labels) // columns) - 3))
            return legend
        legend.remove()
        columns -= 1


def curve_style(index: int) -> dict[str, Any]:
    """Colour, dash pattern and marker of the ``index``-th curve: distinct in colour, in grey and by shape.

    Examples
    --------
    >>> curve_style(0)["color"], curve_style(1)["marker"]
    ('#0072B2', 's')
    """
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "markerfacecolor": "white" if index % 2 else None,
    }


def exact_draws_band(axes: Any, values: Sequence[float]) -> None:
    """Grey band of the scores of exact draws (mean and central 90 %), with a label that says how well it is known.

    Examples
    --------
    >>> _, axes = new_figure()
    >>> exact_draws_band(axes, [0.1, 0.12, 0.09, 0.11])
    >>> len(axes.patches)
    1
    """
    from .metrics import _central_band
    from .results import _band_text

    axes.axhspan(*_central_band(values), color="0.82", zorder=0, linewidth=0, label=_band_text(len(values)))
    axes.axhline(sum(values) / len(values), color="0.45", linewidth=0.8, zorder=1)


def plain_ticks(axis: Any, low: float, high: float, bases: Sequence[int] = (1, 2, 5)) -> None:
    """Ticks ``base * 10^k`` within [low, high] of a logarithmic axis, written as plain numbers.

    Examples
    --------
    >>> _, axes = new_figure()
    >>> axes.set_xscale("log")
    >>> plain_ticks(axes.xaxis, 5, 40)
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['5', '10', '20']
    """
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [value for k in exponents for base in bases if low <= (value := base * 10.0**k) <= high]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)
