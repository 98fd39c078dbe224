"""Experiments compute tables, this module keeps them and draws them.

An experiment is one file ``experiments/<group>/<name>.py``. It defines

``SUMMARY``
    one line: the content, with paper and figure.
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
    a matplotlib ``Figure`` drawn from the table alone.
``SPOT``
    a `Spot`: the cheap part of the table that the currency check recomputes.

Heavy imports belong inside ``compute`` and ``draw``. `make` writes ``figures/data/NAME.csv`` and ``NAME.json`` (parameters,
versions, commit, machine, digests of the table and of the pictures) and ``figures/NAME.svg`` and ``NAME.png``; equal tables
give equal bytes of SVG. `check` names the committed tables and drawings that the code no longer gives.
"""

import hashlib
import importlib.util
import io
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from .._core import files
from .._core.paths import experiments_dir, project_root
from .._core.progress import progress as _progress_bar
from .._core.provenance import provenance
from .._core.typing import StrPath

__all__ = [
    "INK",
    "STYLE",
    "Spot",
    "check",
    "curve_style",
    "default_folder",
    "exact_draws_band",
    "experiments",
    "make",
    "new_figure",
    "plain_ticks",
    "redraw",
    "select",
    "style",
]

_PICTURES = ("svg", "png")
_REQUIRED = ("SUMMARY", "PAPER", "PARAMETERS", "QUICK", "SPOT", "compute", "draw")

INK = "#222222"
# Okabe-Ito colours without the yellow, which print loses; every curve also has its own dashes and marker.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#7F7F7F")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")

STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.5,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "svg.fonttype": "path",
    "svg.hashsalt": "exactdiffusion",
    "path.simplify": True,
}


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
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
    unknown = sorted(set(parameters or {}) - set(experiment.PARAMETERS))
    if unknown:
        raise ValueError(f"parameters: got {unknown[0]!r}; expected some of {', '.join(experiment.PARAMETERS)}")
    values = {**experiment.PARAMETERS, **(experiment.QUICK if quick else {}), **(parameters or {})}
    started = time.perf_counter()
    rows = experiment.compute(values, _progress_bar)
    seconds = time.perf_counter() - started
    text = files.table_text(rows)
    record = {
        "experiment": experiment.NAME,
        "group": experiment.GROUP,
        "summary": experiment.SUMMARY,
        "parameters": values,
        "rows": len(rows),
        "table_sha256": _sha256(text),
        "seconds": round(seconds, 1),
        **provenance(),
    }
    paths = _paths(experiment.NAME, out)
    files.write_whole(paths["table"], text)
    files.write_whole(paths["provenance"], files.json_text(record))
    redraw(experiment, out)
    return paths


def redraw(experiment: ModuleType, out: StrPath | None = None) -> dict[str, Path]:
    """Draw one experiment from its table on disk; the record keeps the digests of the table and of the pictures."""
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
    files.write_whole(paths["provenance"], files.json_text({**record, "drawn_sha256": drawn}))
    return paths


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
def style() -> Iterator[None]:
    """The one style of all figures, for the time of the block.

    Examples
    --------
    >>> with style():
    ...     figure, axes = new_figure(3.25, 2.4)
    ...     _ = axes.plot([5, 10, 20], [0.4, 0.2, 0.1], **curve_style(0))
    >>> figure.get_size_inches().tolist()
    [3.25, 2.4]
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


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


def curve_style(index: int) -> dict[str, Any]:
    """Colour, dash pattern and marker of the ``index``-th curve: distinct in colour, in grey and by shape.

    Examples
    --------
    >>> curve_style(0)["color"], curve_style(1)["marker"]
    ('#0072B2', 's')
    """
    return {
        "color": _COLOURS[index % len(_COLOURS)],
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
