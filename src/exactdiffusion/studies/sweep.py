"""Grids of (target, sampler, schedule, steps, seed): run in parallel, kept on disk, resumed, tabulated.

The unit of work is one cell: one sampler on one schedule with one number of steps, one seed and one batch of samples. A
cell computes the same bits in any process, alone or beside others. Each metric of a cell is one record, a JSON file named
after the hash of everything the number depends on (parameters, data, code, library versions) and written whole or not at
all: an interrupted sweep continues where it stopped, and a change of the code computes anew instead of reusing.

Cells that differ in the seed share a task, but are not stacked into one array: BLAS would then change the last bits of each
row. At 1000 samples one array is not faster (measured: 1.00 times; 1.36 at 100).
"""

import hashlib
import inspect
import json
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from .._core import files
from .._core.external import load_function, source_of
from .._core.progress import progress
from .._core.provenance import commit, provenance, source_digest, versions
from .._core.typing import Array, Row, StrPath
from .._core.validation import choice, fail, integer
from ._tables import html_table, in_short
from .comparison import Comparison, compare
from .metrics import METRICS, Run, _central_band, _fitting_runs, as_metric, refuse
from .objects import OBJECTS, WithData, data_digest, labels, law_from
from .results import FORMAT, MOST_BYTES, Curve, Orders, check_format, curves

__all__ = [
    "COLUMNS",
    "METRICS",
    "SUMMARY",
    "Cell",
    "Cluster",
    "DamagedRecord",
    "Sweep",
    "grid_of",
    "is_cloud_file",
    "law_of",
    "parse",
    "run_cell",
    "states",
    "summary",
    "sweep",
    "sweep_grids",
]

#: Most cells of one sweep.
MOST_CELLS = 1_000_000

# -- specifications: NAME[:PARAMETER=VALUE] or MODULE:FUNCTION[:PARAMETER=VALUE] --------------------------------------------


def parse(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name:key=value`` into the name and a dict of parameters; values are JSON where they parse as JSON.

    Examples
    --------
    >>> parse("sampler", "gradient_estimation:gamma=1.5")
    ('gradient_estimation', {'gamma': 1.5})
    """
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        fail(
            kind,
            text,
            "a name, or 'MODULE:FUNCTION' or 'FILE.py:FUNCTION' of a function of your own (records are kept by name)",
        )
    names: list[str] = []
    parameters: dict[str, Any] = {}
    for part in re.split(r"(?<!\.py):", text.strip()):  # FILE.py:NAME stays whole, as a name and as a value
        key, equals, value = part.partition("=")
        if not equals:
            if parameters:
                fail(kind, text, "NAME:PARAMETER=VALUE")
            names.append(part)
        elif not key.isidentifier() or key in parameters:
            fail(kind, text, "NAME:PARAMETER=VALUE with each parameter once")
        else:
            try:
                parameters[key] = json.loads(value)
            except (json.JSONDecodeError, RecursionError):
                parameters[key] = value
    return ":".join(names), parameters


def _canonical(kind, text):
    name, parameters = parse(kind, text)
    return ":".join([name, *(f"{k}={json.dumps(v)}" for k, v in sorted(parameters.items()))])


def _resolve(kind, name):
    """The function that a name stands for, and the digest of its source where a user wrote it."""
    if (kind, name) in OBJECTS:
        kept, found = OBJECTS[kind, name]
        return (lambda: kept) if kind == "target" else kept, found
    known = _registry(kind)
    if kind == "target" and is_cloud_file(name):
        return _cloud_file(str(Path(name).resolve())), None  # the digest of its points is in the key
    if name not in known:
        if "@" in name and ":" not in name:
            fail(kind, name, "the label of an object that was given to this sweep")
        return load_function(kind, name, "MODULE:FUNCTION, FILE.py:FUNCTION or one of " + ", ".join(known))
    entry = known[name]
    function = {"target": lambda: entry.law, "sampler": lambda: entry.function, "schedule": lambda: entry}[kind]()
    return function, source_of(function)


def is_cloud_file(name: str) -> bool:
    """Whether a target is named by a file of points.

    Examples
    --------
    >>> is_cloud_file("cloud.npy"), is_cloud_file("rings")
    (True, False)
    """
    return Path(name).suffix.lower() in (".npy", ".csv", ".tsv", ".txt")


def _cloud_file(path):
    """The function that gives the cloud of a file of points; another function after an edit of the file."""
    from ..papers.projection.audit import load_cloud

    stamp = hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else None
    return _cloud_of(path, stamp, load_cloud)


@lru_cache(maxsize=8)
def _cloud_of(path, stamp, load):
    return lambda: load(path)


def _registry(kind):
    from .. import datasets, samplers, schedules

    known = {"target": datasets.TARGETS, "sampler": samplers.REGISTRY, "schedule": schedules.REGISTRY, "metric": METRICS}
    return known[kind]


def _call(kind, text, *arguments):
    """Call the function that a specification names with its parameters; one that it does not take is a ValueError."""
    name, parameters = parse(kind, text)
    if kind == "target":
        parameters.pop("denoiser", None)
    function, _ = _resolve(kind, name)
    try:
        inspect.signature(function).bind(*arguments, **parameters)
    except TypeError as error:
        raise ValueError(f"{kind}: got {text!r}; expected parameters that {name} takes ({error})") from None
    return function(*arguments, **parameters)


def law_of(text: str) -> Any:
    """The law that a target specification names, or the pair `WithData` where it names a denoiser of the user's own.

    It is built once per process and function.

    Examples
    --------
    >>> law_of("gaussian").dim
    2
    """
    name, parameters = parse("target", text)
    if ("target", name) in OBJECTS and not parameters:
        return OBJECTS["target", name][0]
    return _law(text, _resolve("target", name)[0], _denoiser(parameters)[0])


def _denoiser(parameters):
    """The function of the parameter ``denoiser=FILE.py:NAME`` of a target and the digest of its file; None, None without."""
    return (
        load_function("denoiser", parameters["denoiser"], "FILE.py:FUNCTION") if "denoiser" in parameters else (None, None)
    )


@lru_cache(maxsize=8)
def _law(text, function, denoiser):
    from ..laws import Denoiser

    law = law_from(_call("target", text))
    return law if denoiser is None else WithData(Denoiser(denoiser, law.dim), law)


def grid_of(text: str, steps: int) -> Any:
    """The `Grid` of ``steps`` steps that a schedule specification names.

    Examples
    --------
    >>> grid_of("log_linear", 4).N
    4
    """
    from ..schedules import Grid

    grid = _call("schedule", text, steps)
    if not isinstance(grid, Grid):
        fail(
            "schedule",
            text,
            f"a function of N that returns a Grid, exactdiffusion.Grid(scale, sigma); it returned {type(grid).__name__}",
        )
    if steps != grid.N:
        fail(
            "schedule",
            text,
            f"a function of N that returns N steps, N + 1 levels; for N = {steps} it returned {grid.N} steps",
        )
    return grid


def states(
    law: Any,
    sampler: str,
    grid: Any,
    seed: int,
    samples: int,
    start: Literal["gaussian", "exact"] = "gaussian",
    calls: dict[str, int] | None = None,
) -> Iterator[Array]:
    """Generator of the N + 1 states of one run; every cell of a sweep is one of these.

    Parameters
    ----------
    law : law or oracle
    sampler : str
        Specification, e.g. ``"ddim"`` or ``"gradient_estimation:gamma=1.5"``.
    grid : Grid
    seed : int
        Keys all noise of the run. Runs of different samplers and step counts with the same seed share their start.
    samples : int
    start : {"gaussian", "exact"}
        ``gaussian``: N(0, sigma_0^2 I), as users start; ``exact``: the target noised to the first level.
    calls : dict, optional
        Where samplers that have a parameter of this name (the proximal ones) count the evaluations of their maps.

    Returns
    -------
    generator of arrays, shape (samples, d)

    Examples
    --------
    >>> law, grid = law_of("rings"), grid_of("log_linear", 4)
    >>> [x.shape for x in states(law, "ddim", grid, seed=0, samples=10)]
    [(10, 2), (10, 2), (10, 2), (10, 2), (10, 2)]
    """
    return _runner(sampler)(law, grid, seed, samples, start, calls)


def _runner(sampler):
    """The function (law, grid, seed, samples, start, calls) -> states of a specification, whose parameters are checked."""
    from .. import samplers as _samplers
    from .._core.random import Noise

    # the sampler, and whether it takes these parameters
    name, parameters = parse("sampler", sampler)
    function, _ = _resolve("sampler", name)
    info = _samplers.REGISTRY.get(name)
    signature, random = inspect.signature(function), _is_random(info, function)
    if next(iter(signature.parameters), "") == "denoiser":
        fail(
            "sampler", sampler, "a function (law, grid, x) that yields states; one of (denoiser, sigmas, x) is for `conform`"
        )
    try:
        signature.bind(None, None, None, **{**parameters, **({"noise": None} if random else {})})
    except TypeError as error:
        raise ValueError(f"sampler: got {sampler!r}; expected parameters that {name} takes ({error})") from None

    def run(law, grid, seed, samples, start, calls):
        x = float(grid.sigma[0]) * Noise(seed).initial(samples, law.dim)
        if start == "exact":
            x = x + float(grid.scale[0]) * law.sample(samples, np.random.default_rng([seed, 1]))
        more = {"noise": Noise(seed)} if random else {}
        if calls is not None and info is not None and info.oracle == "prox":
            more["calls"] = calls
        running = function(law, grid, x, **{**parameters, **more})
        return running if info is not None else _whole_run(sampler, running, grid.N + 1, x.shape)

    return run


def _whole_run(sampler, running, count, shape):
    """The states of a user's sampler: ``count`` arrays of the start's shape, or a ValueError that says what it yields."""
    if not isinstance(running, Iterator):
        fail("sampler", sampler, f"a generator: `yield x` at every level of the grid; it returned {type(running).__name__}")
    return _checked_states(sampler, running, count, shape)


def _checked_states(sampler, running, count, shape):
    number = 0
    for number, state in enumerate(running, 1):
        if np.shape(state) != shape:
            fail("sampler", sampler, f"states of shape {shape}, that of x; state {number} has shape {np.shape(state)}")
        yield np.array(state)  # a copy: a sampler that changes x in place would change the states that it yielded before
    if number != count:
        fail("sampler", sampler, f"{count} states, one at every level of the grid, the start included; it yielded {number}")


def _is_random(info, function):
    return info.stochastic if info is not None else "noise" in inspect.signature(function).parameters


# -- cells and records ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Cell:
    """One unit of work. Two equal cells give equal bits.

    Examples
    --------
    >>> Cell("rings", "ddim", "log_linear", steps=4, seed=0, samples=10, start="gaussian").steps
    4
    """

    target: str
    sampler: str
    schedule: str
    steps: int
    seed: int
    samples: int
    start: Literal["gaussian", "exact"]


_CELL = ("target", "sampler", "schedule", "steps", "seed", "samples", "start")
# Column -> kinds of value that a record may hold; None where the field may be empty.
_TYPES = {
    "target": (str,),
    "sampler": (str,),
    "schedule": (str,),
    "steps": (int,),
    "seed": (int,),
    "samples": (int,),
    "start": (str,),
    "metric": (str,),
    "value": (float, int),
    "lower": (float, int, None),
    "method": (str,),
    "oracle_calls": (int,),
    "oracle_rows": (int,),
    "dim": (int,),
    "rung": (str,),
    "upper": (float, int, None),
    "interval": (str,),
    "exact_draws": (float, int, None),
    "exact_draws_low": (float, int, None),
    "exact_draws_high": (float, int, None),
    "exact_draws_runs": (int, None),
    "bound": (float, int, None),
    "statement": (str, None),
    "bound_kind": (str, None),
    "vacuous": (str, None),
    "reference_error": (float, int, None),
    "start_error": (float, int, None),
    "denoise_calls": (int,),
    "prox_calls": (int,),
    "inner_evaluations": (int,),
}
COLUMNS = tuple(_TYPES)
_TIMES = ("seconds", "metric_seconds")


class DamagedRecord(RuntimeError):
    """A file under ``records/`` holds another record than its name says. It is reported, not replaced.

    Examples
    --------
    >>> job = {"target": "gaussian", "sampler": "ddim", "steps": 5, "seeds": 1, "samples": 10, "out": "results"}
    >>> record = next(Path("results", "records").rglob("*.json")) if sweep(**job) else None
    >>> _ = record.write_text("{}")
    >>> sweep(**job)
    Traceback (most recent call last):
        ...
    exactdiffusion.studies.sweep.DamagedRecord: results/records/...: not a record of this sweep (...); remove it and ...
    """


def _key(cell, metric, exact_draws, code):
    parameters = {**cell.__dict__, "metric": metric, "exact_draws": exact_draws, **_metric_source(metric)}
    text = json.dumps({"parameters": parameters, "code": code}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _metric_source(metric):
    """The digest of a metric that a user wrote."""
    source = _metric(metric)[1]
    return {} if source is None else {"metric_source": source}


def _metric(name):
    """The `Metric` of a name, of the label of an object or of FILE.py:NAME, and the digest of its source."""
    if name in METRICS:
        return METRICS[name], source_of(METRICS[name].measure)
    if ("metric", name) in OBJECTS:
        function, found = OBJECTS["metric", name]
    elif ":" in name:
        function, found = load_function("metric", name, "FILE.py:FUNCTION or one of " + ", ".join(METRICS))
    else:
        choice("metric", name, tuple(METRICS))
    return as_metric(name, function), found


def _code(target, sampler=None, schedule=None):
    """Source, versions and data on which the numbers of a cell, or of exact draws of a target, depend."""
    external = {}
    for kind, text in (("target", target), ("sampler", sampler), ("schedule", schedule)):
        name, parameters = parse(kind, text) if text is not None else (None, {})
        digest = _resolve(kind, name)[1] if text is not None else None
        if digest is not None:
            external[kind] = digest
        if kind == "target" and "denoiser" in parameters:
            external["denoiser"] = _denoiser(parameters)[1]
    libraries = {name: version for name, version in versions().items() if name != "matplotlib"}
    return {"source": source_digest(), "libraries": libraries, "external": external, "data": data_digest(law_of(target))}


def _run_of(sampler, law, grid, start, seed):
    """The `Run` of a cell before it has states."""
    from .. import samplers as _samplers

    name, parameters = parse("sampler", sampler)
    oracle, learned = law, isinstance(law, WithData)
    known = name in _samplers.REGISTRY and not learned
    law, function = law.data if learned else law, _resolve("sampler", name)[0]
    return Run(law, name, known, parameters, grid, start, seed, oracle=oracle, function=function)


class _Prepared(NamedTuple):
    """What cells that differ in the seed share: law, grid, the function of `_runner`, the `Run` without states, the
    `Metric` objects, and whether one of these needs all states."""

    law: Any
    grid: Any
    runner: Callable
    plan: Run
    judges: list
    whole: bool


def _prepared(target, sampler, schedule, steps, start, metrics):
    law, grid = law_of(target), grid_of(schedule, steps)
    plan, judges = _run_of(sampler, law, grid, start, 0), [_metric(m)[0] for m in metrics]
    return _Prepared(law, grid, _runner(sampler), plan, judges, any(judge.path(plan) for judge in judges))


def _exact_draws(target, metric, samples, runs, folder=None):
    """As `_draws`, for the law and the metric that are registered now."""
    law = law_of(target)
    law = law.data if isinstance(law, WithData) else law
    return _draws(target, law, metric, _metric(metric)[0].exact_draws, samples, runs, folder)


@lru_cache(maxsize=64)
def _draws(target, law, metric, measure, samples, runs, folder):
    """Scores of runs of ``samples`` exact draws of the target: mean, ends of the central 90 %, number of runs.

    It depends on no sampler and no seed of the sweep, so every process that needs it gets the same bits. The number of runs
    follows from sizes (`metrics._fitting_runs`), not from a clock. In ``folder``, that of a sweep, it is kept.
    """
    if runs == 0 or not hasattr(law, "sample"):
        return None, None, None, None
    runs = _fitting_runs(law, metric, samples) if runs is None else runs
    path, values = None, None
    if folder is not None:
        key = {"target": target, "metric": metric, "samples": samples, "runs": runs, "code": _code(target)}
        key |= _metric_source(metric)
        path = Path(folder) / "exact_draws" / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()}.json"
        values = _kept_draws(path, key)
    if values is None:
        values = [float(measure(law, samples, np.random.default_rng([k, 0xF100]))) for k in range(runs)]
        if path is not None:
            files.write_whole(path, files.json_text({**key, "values": values}))
    return float(np.mean(values)), *_central_band(values), runs


def _kept_draws(path, key):
    """The values kept under ``path``, or None. A file is whole or absent, as records are."""
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
        values = kept.pop("values")
        if kept != key or len(values) != key["runs"] or not np.all(np.isfinite(np.asarray(values, dtype=np.float64))):
            raise ValueError("it holds something else than its name says")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedRecord(f"{path}: not the exact draws of this sweep ({error}); remove it and run again") from None
    return values


def _exact_draws_of(cell, metric, rung, runs, folder):
    # Without sampling error an exact sampler scores 0; so it does where the metric has none (distance, excess error).
    if rung in ("closed form", "one dimension", "the plane") or _metric(metric)[0].exact_draws is None:
        return 0.0, 0.0, 0.0, None
    return _exact_draws(cell.target, metric, cell.samples, runs, folder)


@lru_cache(maxsize=1)
def _thread_pools(modules):
    """Control of all BLAS and OpenMP libraries. Finding them takes milliseconds, so again only after an import."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def run_cell(cell: Cell, metrics: Sequence[str], exact_draws: int | None = None, folder: StrPath | None = None) -> list[Row]:
    """Compute one cell; a list of records, one per metric, in order. ``folder``: where the scores of exact draws are kept.

    Examples
    --------
    >>> cell = Cell("gaussian", "ddim", "log_linear", steps=4, seed=0, samples=10, start="gaussian")
    >>> record = run_cell(cell, ["w2"], exact_draws=0)[0]
    >>> record["rung"], record["oracle_calls"]
    ('closed form', 4)
    """
    return _records(cell, tuple(metrics), exact_draws, folder, _prepared)


def _records(cell, metrics, exact_draws, folder, prepare):
    """As `run_cell`; ``prepare`` is `_prepared`, or remembers it from cell to cell."""
    from .. import samplers as _samplers
    from ..laws import Counted

    # the number of BLAS threads moves last bits, and workers must not fight for cores
    with _thread_pools(len(sys.modules)).limit(limits=1):
        ready = prepare(cell.target, cell.sampler, cell.schedule, cell.steps, cell.start, metrics)

        # the run: every oracle call is counted, and all states are kept only where a metric needs them
        counted = Counted(ready.law)
        inner: dict[str, int] = {}
        started = time.perf_counter()
        running = ready.runner(counted, ready.grid, cell.seed, cell.samples, cell.start, inner)
        try:
            if ready.whole:
                path = tuple(running)
                first, samples = path[0], path[-1]
            else:
                path, first = (), next(running)
                samples = _samplers.final(running)
        except ValueError as error:  # a run that blows up, say
            raise ValueError(f"{cell}: {error}") from error
        seconds = time.perf_counter() - started

        if not np.all(np.isfinite(samples)):
            raise ValueError(f"{cell}: the last state of the sampler is not finite; expected finite numbers at every level")
        run = replace(ready.plan, seed=cell.seed, first=first, samples=samples, path=path)

        # one record per metric
        found = []
        for metric, judge in zip(metrics, ready.judges):
            started = time.perf_counter()
            measured = judge.measure(run)
            metric_seconds = time.perf_counter() - started
            drawn = _exact_draws_of(cell, metric, measured["rung"], exact_draws, folder)
            record = {
                **cell.__dict__,
                "metric": metric,
                **measured,
                "dim": ready.law.dim,
                **dict(zip(("exact_draws", "exact_draws_low", "exact_draws_high", "exact_draws_runs"), drawn)),
                "oracle_calls": sum(counted.calls.values()),
                "oracle_rows": sum(counted.rows.values()),
                "denoise_calls": counted.calls["denoise"],
                "prox_calls": counted.calls["prox"] + counted.calls["prox_local"],
                "inner_evaluations": int(sum(inner.values())),
            }
            found.append(
                {
                    **{column: record[column] for column in COLUMNS},
                    **({"squares": measured["squares"]} if "squares" in measured else {}),
                    "calls": dict(sorted(counted.calls.items())),
                    "inner": {k: int(v) for k, v in sorted(inner.items())},
                    "seconds": seconds,
                    "metric_seconds": metric_seconds,
                }
            )
        return found


def _path(folder, key):
    return Path(folder) / "records" / key[:2] / f"{key}.json"


def _write_record(folder, key, record):
    path, folder = _path(folder, key), Path(folder)
    # A link planted in the folder must not lead the sweep out of it.
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"out: {path.parent} is a link that leads out of {folder}; nothing was written")
    files.write_whole(path, files.json_text({"key": key, **record}))


def _stored(folder, key, cell, metric):
    """The record under ``key``, or None. A record is whole or absent, so an unreadable one is reported, not replaced."""
    path = _path(folder, key)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES} bytes")
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
        if not isinstance(record, dict) or record.pop("key", None) != key:
            raise ValueError("it holds another record than its name says")
        for name, value in {**cell.__dict__, "metric": metric}.items():
            if record.get(name) != value:
                raise ValueError(f"{name} is {record.get(name)!r}, not {value!r}")
        for name, kinds in {**_TYPES, **dict.fromkeys(_TIMES, (float, int))}.items():
            if name not in record:
                raise ValueError(f"{name} is absent")
            kind = None if record[name] is None else type(record[name])
            if kind not in kinds or (kind in (int, float) and not abs(record[name]) <= sys.float_info.max):
                raise ValueError(f"{name} is {record[name]!r}")
        squares = record.get("squares", [])
        if not isinstance(squares, list) or not all(type(s) is float and 0 <= s <= sys.float_info.max for s in squares):
            raise ValueError("squares are no list of nonnegative numbers")
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(f"{path}: not a record of this sweep ({error}); remove it and run again") from None
    return record


def _no_constant(text):
    raise ValueError(f"{text} is no number of JSON")


# -- the sweep -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """Machines that run the cells of a sweep, in place of a number of processes: ``sweep(..., jobs=Cluster("ray"))``.

    Parameters
    ----------
    kind : {"dask", "ray"}
    scheduler : str, optional
        Address of the dask scheduler (needed for "dask") or of the ray cluster (default: start ray here).

    Raises
    ------
    ValueError
        Naming the argument.

    Examples
    --------
    >>> Cluster("dask", "tcp://192.168.1.2:8786").kind
    'dask'
    """

    kind: Literal["dask", "ray"]
    scheduler: str | None = None

    def __post_init__(self) -> None:
        choice("backend", self.kind, ("dask", "ray"))
        if not (isinstance(self.scheduler, str) or (self.scheduler is None and self.kind == "ray")):
            fail("scheduler", self.scheduler, "the address of a scheduler, such as tcp://192.168.1.2:8786")


@dataclass(repr=False)
class Sweep:
    """Result of `sweep`: the rows, how many were computed and reused, and the paths written (None without ``out``).

    ``refused`` lists the combinations that were left out, each with its reason (only with ``refused="skip"``). ``squares``
    has for every row the squared distances of its starts (metric ``coupled``) or None. In a notebook it shows as a table.

    Examples
    --------
    >>> done = sweep(target="gaussian", sampler=["ddim", "heun"], steps=[5, 10, 20], seeds=1, samples=10)
    >>> done.rows[0]["metric"], done.computed, done.table
    ('w2', 6, None)
    >>> done
    Sweep(6 rows: 1 target, 2 samplers, 1 schedule, 3 step counts, 1 seed, metric w2; 6 computed, 0 reused)
    >>> done.slopes()
    target gaussian, metric w2, schedule vp_linear
    sampler  slope  95 % interval   fitted over
    ddim     -0.90  [-1.11, -0.70]  N = 5 to 20
    heun     -1.38  [-2.80, 0.03]   N = 5 to 20
    """

    rows: list
    computed: int
    reused: int
    table: Path | None = None
    provenance: Path | None = None
    seconds: list = field(default_factory=list)
    timings: Path | None = None
    refused: list = field(default_factory=list)
    squares: list = field(default_factory=list)

    def __repr__(self):
        counts = []
        names = {"target": "target", "sampler": "sampler", "schedule": "schedule", "steps": "step count", "seed": "seed"}
        for key, name in names.items():
            number = len({row[key] for row in self.rows})
            counts.append(f"{number} {name}" + ("s" if number != 1 else ""))
        metrics = ", ".join(dict.fromkeys(str(row["metric"]) for row in self.rows))
        counted = f"{self.computed} computed, {self.reused} reused"
        rows = f"{len(self.rows)} row" + ("s" if len(self.rows) != 1 else "")
        return f"Sweep({rows}: {', '.join(counts)}, metric {metrics}; {counted})"

    def _repr_html_(self):
        head = (*SUMMARY[:4], "metric", *SUMMARY[5:])
        shared, table = in_short([head, *(tuple(map(str, line)) for line in summary(self.rows))], 3)
        return (f"<p>{shared}</p>" if shared else "") + html_table(table)

    def curves(self) -> list[Curve]:
        """The curves of the sweep: see `results.Curve`."""
        times = self.seconds or [None] * len(self.rows)
        whole = [{**row, "seconds": seconds} for row, seconds in zip(self.rows, times)]
        return curves(whole)

    def slopes(self, x: Literal["steps", "calls", "seconds"] = "steps") -> Orders:
        """The order of every curve with its 95 % interval and its range, or the reason why none can be fitted: a table."""
        return Orders(curve.order(x) for curve in self.curves())

    def plot(self, x: Literal["steps", "calls", "seconds"] = "steps") -> Any:
        """A matplotlib ``Figure`` of the curves, as `exactdiffusion.plot` draws a folder; a notebook shows it."""
        import io

        from .figures import style
        from .plot import draw

        with style():
            figure = draw(self.curves(), x)

        def png():
            data = io.BytesIO()
            figure.savefig(data, format="png")
            return data.getvalue()

        figure._repr_png_ = png  # a notebook asks for it
        return figure

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``; a ModuleNotFoundError says how to install pandas, which is no dependency."""
        try:
            import pandas
        except ImportError:
            raise ModuleNotFoundError(
                "to_pandas: pandas is not installed; expected pip install pandas (the rows are a list of dicts: .rows)"
            ) from None
        return pandas.DataFrame(self.rows)

    def compare(self) -> Comparison:
        """Every two samplers, paired, at equal steps and at equal calls: see `comparison.compare`."""
        return compare(self.rows, self.squares or None)


def sweep(
    *,
    target: Any,
    sampler: Any,
    steps: int | Sequence[int],
    seeds: int | Sequence[int] = 5,
    schedule: Any = "vp_linear",
    samples: int = 1000,
    metric: Any = "w2",
    start: Literal["gaussian", "exact"] = "gaussian",
    jobs: int | Cluster = 1,
    out: StrPath | None = None,
    exact_draws: int | None = None,
    refused: Literal["error", "skip"] = "error",
) -> Sweep:
    """Run a grid of cells and tabulate it.

    Parameters
    ----------
    target, sampler, schedule, metric : str or object, a list of these, or a dict from names of your own to objects
        Names, ``NAME:PARAMETER=VALUE``, ``FILE.py:NAME`` or ``MODULE:NAME`` of a function of your own (its file is run), or
        the objects themselves. A target is a law, an (M, d) array of points, a file of points (``.npy``, ``.csv``), a pair
        ``(Denoiser(fn, d), data)`` (the sampler asks fn, the metrics ask the data) or a function that returns one of these;
        ``TARGET:denoiser=FILE.py:NAME`` is such a pair as text. A sampler has the signature of `exactdiffusion.samplers`. A
        schedule is a function of N that returns a `Grid`, or one `Grid`. A metric is a function of the `metrics.Run` that
        returns a number or a `metrics.result`. In the rows an object is called ``NAME@DIGEST``, by its content: see
        `exactdiffusion.studies.objects`.
    steps : int or list of int
        Numbers of steps N >= 1.
    seeds : int or list of int
        A number of seeds (0, 1, ...), or the seeds.
    samples : int
        Samples per cell.
    start : {"gaussian", "exact"}
        See `states`.
    jobs : int or Cluster
        Worker processes on this machine, or a cluster; the numbers do not depend on it.
    out : path, optional
        Folder for ``records/``, ``exact_draws/``, ``results.csv``, ``timings.csv`` and ``provenance.json``. Records found
        there are reused. Without it nothing is written.
    exact_draws : int, optional
        How many runs of exact draws of the target are measured in the sampler's place (mean and central 90 %). Default: 200
        where they take under 20 s by `metrics._fitting_runs`, else as many as fit, at least 40. 0 leaves them out.
    refused : {"error", "skip"}
        Treatment of combinations that cannot run (a VP sampler on a VE schedule, a metric that a target does not
        allow): a ValueError before anything runs, or they are left out and listed.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError
        Names the argument, its value and the expectation; also an object that has no digest (a function typed into an
        interpreter, an object with a random generator), and a folder of an unknown format.
    DamagedRecord
        A file in ``out`` is not the record that its name promises.

    Examples
    --------
    >>> found = sweep(target="gaussian", sampler=["ddim", "heun"], steps=[5, 10], seeds=1, samples=100, out="results")
    >>> found.computed, found.reused, found.table.name
    (4, 0, 'results.csv')
    >>> for row in found.rows:
    ...     print(f"{row['sampler']:5} {row['steps']:3} {row['value']:.3f}")
    ddim    5 0.392
    ddim   10 0.214
    heun    5 0.188
    heun   10 0.082
    >>> sweep(target="gaussian", sampler=["ddim", "heun"], steps=[5, 10], seeds=1, samples=100, out="results").reused
    4
    >>> law = ed.GaussianMixture(None, [[-1.0], [1.0]], 0.1)
    >>> rows = sweep(target={"mine": law}, sampler=ed.samplers.heun, steps=5, seeds=1, samples=10).rows
    >>> rows[0]["target"].split("@")[0], rows[0]["sampler"]
    ('mine', 'heun')
    """
    grid = {
        "target": target,
        "sampler": sampler,
        "schedule": schedule,
        "steps": steps,
        "seeds": seeds,
        "samples": samples,
        "metric": metric,
        "start": start,
    }
    return sweep_grids([grid], jobs=jobs, out=out, exact_draws=exact_draws, refused=refused)


def sweep_grids(
    grids: Sequence[Mapping[str, Any]],
    *,
    jobs: int | Cluster = 1,
    out: StrPath | None = None,
    exact_draws: int | None = None,
    refused: Literal["error", "skip"] = "error",
    notes: Mapping[str, Any] | None = None,
) -> Sweep:
    """Run the union of several grids as one sweep.

    Parameters
    ----------
    grids : list of dict
        Each with the keys target, sampler, schedule, steps, seeds, samples, metric and start of `sweep`. A cell and metric
        that several grids ask for is computed, and tabulated, once.
    jobs, out, exact_draws, refused
        As for `sweep`.
    notes : dict, optional
        Further entries of ``provenance.json`` (title, summary, finding).

    Returns
    -------
    Sweep

    Examples
    --------
    >>> shared = {"target": "gaussian", "steps": 5, "seeds": 1, "samples": 10, "metric": "w2", "start": "gaussian"}
    >>> grids = [{**shared, "sampler": s, "schedule": g} for s, g in (("ddim", "vp_linear"), ("heun", "log_linear"))]
    >>> len(sweep_grids(grids).rows)
    2
    """
    jobs = jobs if isinstance(jobs, Cluster) else integer("jobs", jobs, low=1)
    exact_draws = None if exact_draws is None else integer("exact_draws", exact_draws, low=0)
    choice("refused", refused, ("error", "skip"))

    # objects become labels, under which every process finds them
    named = ("target", "sampler", "schedule", "metric")
    grids = [{**grid, **{kind: labels(kind, grid[kind]) for kind in named}} for grid in grids]
    if out is not None:
        check_format(out)
    codes, found = {}, {}
    tasks: dict[Any, Any] = {}

    def key_of(cell, metric):
        names = (cell.target, cell.sampler, cell.schedule)
        if names not in codes:
            codes[names] = _code(*names)
        return _key(cell, metric, exact_draws, codes[names]) if out is not None else ""

    # A cell that has a record was not refused; to ask whether an exact KL exists may cost as much as the KL.
    wanted, left_out = _wanted(
        grids, refused, lambda cell, metric: out is not None and _path(out, key_of(cell, metric)).is_file()
    )

    # Read the records that are there, and compute the others.
    if out is not None and not (Path(out) / "sweep.json").is_file():
        files.write_whole(Path(out) / "sweep.json", files.json_text({"format": FORMAT}))
    for cell, metric in wanted:
        key = key_of(cell, metric)
        record = _stored(out, key, cell, metric) if out is not None else None
        if record is not None:
            found[cell, metric] = record
        else:
            tasks.setdefault(cell, []).append((metric, key))
    reused = len(found)
    for cell, names, fresh in _run(tasks, codes, jobs, out, exact_draws):
        found.update({(cell, m): record for m, record in zip(names, fresh)})

    # Rows come in the order of the grids, whichever cell was done first.
    ordered = [found[pair] for pair in wanted]
    rows = [{column: record[column] for column in COLUMNS} for record in ordered]
    done = Sweep(
        rows,
        len(found) - reused,
        reused,
        seconds=[record["seconds"] for record in ordered],
        refused=left_out,
        squares=[record.get("squares") for record in ordered],
    )
    if out is not None:
        entries = {
            "arguments": _arguments(grids),
            "jobs": None if isinstance(jobs, Cluster) else jobs,
            "backend": jobs.kind if isinstance(jobs, Cluster) else "loky",
            "exact_draws": exact_draws,
            "refused": left_out,
            **(notes or {}),
        }
        _write_tables(done, ordered, Path(out), codes, entries)
    return done


def _write_tables(done, ordered, out, codes, entries):
    text = files.table_text(done.rows)
    keys = (*_CELL, "metric", *_TIMES)
    done.table, done.provenance, done.timings = out / "results.csv", out / "provenance.json", out / "timings.csv"
    files.write_whole(done.table, text)
    files.write_whole(
        done.timings,
        files.table_text([{k: round(record[k], 6) if k in _TIMES else record[k] for k in keys} for record in ordered]),
    )
    files.write_whole(
        done.provenance,
        files.json_text(
            {
                **entries,
                "cells": len({tuple(r[k] for k in _CELL) for r in done.rows}),
                "rows": len(done.rows),
                "computed": done.computed,
                "reused": done.reused,
                "table_sha256": hashlib.sha256(text.encode()).hexdigest(),
                "seconds_of_work": round(sum(r["seconds"] + r["metric_seconds"] for r in ordered), 3),
                "code": {"/".join(names): code for names, code in codes.items()},
                **provenance(),
            }
        ),
    )


def _arguments(grids):
    """The arguments, as lists; with several grids the union of each, in order."""
    merged = {}
    for grid in map(_complete, grids):
        for name, value in grid.items():
            for item in value if isinstance(value, list) else [value]:
                if item not in merged.setdefault(name, []):
                    merged[name].append(item)
    merged["steps"], merged["seeds"] = sorted(merged["steps"]), sorted(merged["seeds"])
    if len(grids) == 1:
        merged["samples"], merged["start"] = merged["samples"][0], merged["start"][0]
    return merged


def _list(name, value):
    items = list(value) if isinstance(value, (list, tuple, range, np.ndarray)) else [value]
    if not items:
        fail(name, value, "at least one")
    if len({repr(item) for item in items}) != len(items):
        fail(name, value, "each one once")
    return items


def _complete(grid):
    """One grid with every argument checked and every list a list."""
    seeds = grid["seeds"]
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = range(integer("seeds", seeds, low=1, high=MOST_CELLS))
    return {
        **{kind: [_canonical(kind, t) for t in _list(kind, grid[kind])] for kind in ("target", "sampler", "schedule")},
        "steps": [integer("steps", n, low=1) for n in _list("steps", grid["steps"])],
        "seeds": [integer("seeds", s, low=0, high=2**32 - 1) for s in _list("seeds", seeds)],
        "samples": integer("samples", grid["samples"], low=1),
        "metric": [m for m in _list("metric", grid["metric"]) if _metric(m)],
        "start": choice("start", grid["start"], ("gaussian", "exact")),
    }


def _wanted(grids, refused, known=lambda cell, metric: False):
    """The (cell, metric) pairs in order, each once, and the refused ones; pairs that are ``known`` are not asked again."""
    wanted, left_out = {}, []
    for g in map(_complete, grids):
        size = math.prod(len(g[k]) for k in ("target", "sampler", "schedule", "steps", "seeds", "metric"))
        if len(wanted) + size > MOST_CELLS:
            fail("steps, seeds", len(wanted) + size, f"at most {MOST_CELLS} cells")
        for t in g["target"]:
            for s in g["sampler"]:
                for schedule in g["schedule"]:
                    for n in g["steps"]:
                        cell = Cell(t, s, schedule, n, g["seeds"][0], g["samples"], g["start"])
                        allowed = _allowed(cell, g["metric"], refused, left_out, known)
                        for seed in g["seeds"]:
                            this = Cell(t, s, schedule, n, seed, g["samples"], g["start"])
                            wanted.update(dict.fromkeys((this, m) for m in allowed))
    if not wanted:
        raise ValueError(f"refused: every combination was refused, the first because {left_out[0]['reason']}")
    return list(wanted), left_out


def _allowed(cell, metrics, refused, left_out, known):
    """The metrics that a cell allows. A combination that cannot run costs nothing: samplers check at the call."""
    law = law_of(cell.target)
    parse_only = {"target": cell.target, "sampler": cell.sampler, "schedule": cell.schedule, "steps": cell.steps}
    if cell.start == "exact" and not hasattr(law, "sample"):
        fail("start", cell.start, "'gaussian' for a target that cannot be sampled")
    _resolve("sampler", parse("sampler", cell.sampler)[0])  # a name that does not exist is never skipped
    try:
        grid = grid_of(cell.schedule, cell.steps)
        states(law, cell.sampler, grid, 0, 1, cell.start)
    except ValueError as error:
        if refused == "error":
            raise
        left_out.append({**parse_only, "reason": str(error)[:300]})
        return []
    plan, allowed = _run_of(cell.sampler, law, grid, cell.start, cell.seed), []
    for metric in metrics:
        try:
            if not known(cell, metric):
                refuse(metric, plan, _metric(metric)[0])
            allowed.append(metric)
        except ValueError as error:
            if refused == "error":
                raise
            left_out.append({**parse_only, "metric": metric, "reason": str(error)[:300]})
    return allowed


# -- running ---------------------------------------------------------------------------------------------------------------


def _run(tasks, codes, jobs, out, exact_draws):
    """(cell, metrics, records) as they are done; ``tasks``: cell -> list of (metric, key)."""
    cells = list(tasks)
    work = [(cell, [m for m, _ in tasks[cell]], [k for _, k in tasks[cell]]) for cell in cells]
    if jobs == 1 or (len(work) <= 1 and not isinstance(jobs, Cluster)):
        prepare = lru_cache(maxsize=1)(_prepared)
        done = (_work(item, out, exact_draws, prepare) for item in work)
    else:
        groups = [[work[i] for i in group] for group in _groups(cells, 16 if isinstance(jobs, Cluster) else jobs)]
        # the longest first: a long task that begins last would leave the other workers idle
        groups.sort(key=lambda items: -sum(cell.steps * cell.samples for cell, _, _ in items))
        if isinstance(jobs, Cluster):
            done = {"dask": _dask, "ray": _ray}[jobs.kind](groups, codes, jobs.scheduler, out, exact_draws)
        else:
            done = _loky(groups, codes, jobs, out, exact_draws)
    yield from progress(done, "cells", len(work))


def _groups(cells, workers):
    """Indices of cells that make one task: neighbours that differ in the seed alone, in at least 8 tasks a worker."""
    most = max(1, len(cells) // (8 * workers))
    groups = []
    for i, cell in enumerate(cells):
        same = groups and len(groups[-1]) < most and _but_seed(cells[groups[-1][-1]]) == _but_seed(cell)
        if same:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _but_seed(cell):
    return (cell.target, cell.sampler, cell.schedule, cell.steps, cell.samples, cell.start)


def _work(item, out, exact_draws, prepare):
    cell, names, keys = item
    fresh = _records(cell, tuple(names), exact_draws, out, prepare)
    if out is not None:
        _store(out, cell, keys, fresh)
    return cell, names, fresh


def _store(out, cell, keys, fresh):
    code = _code(cell.target, cell.sampler, cell.schedule)
    for key, record in zip(keys, fresh):
        _write_record(out, key, {**record, "code": code, "commit": commit()})


@contextmanager
def _ending_with(driver):
    """End this worker within a second once the process ``driver`` is gone; POSIX only.

    A killed sweep cannot tell its workers, which would compute on beside the run that resumes it. A thread compares the
    parent. It waits while compiled code holds the interpreter, so on Linux the kernel kills the worker as well. It does so
    when the *thread* ends that started the worker: therefore only within a task, which that thread outlives.
    """
    if driver in (None, os.getpid()) or os.name != "posix":
        yield
        return
    _watch(driver)
    _death_signal(driver, 9)
    try:
        yield
    finally:
        _death_signal(driver, 0)


@lru_cache(maxsize=1)
def _watch(driver):
    """Start the thread that ends this process with ``driver``, once."""
    child = os.getppid() == driver

    def gone():
        if child:
            return os.getppid() != driver
        try:
            os.kill(driver, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def watch():
        while not gone():
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _death_signal(driver, number):
    """Signal that the kernel of Linux sends this process when its parent ends; 0 for none."""
    if sys.platform.startswith("linux") and os.getppid() == driver:
        import ctypes

        ctypes.CDLL(None).prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG


def _group(items, codes, out, exact_draws, driver=None, objects=None):
    """One task on a worker, which ends with its ``driver``; ``objects`` are those of its cells.

    A worker whose code or data differ from the driver's must not answer under the same key.
    """
    OBJECTS.update(objects or {})
    with _ending_with(driver):
        return _checked_group(items, codes, out, exact_draws)


def _objects_of(items):
    """The objects that the cells and metrics of one task name."""
    names = {("metric", m) for _, metrics, _ in items for m in metrics}
    for cell, _, _ in items:
        names |= {(kind, parse(kind, getattr(cell, kind))[0]) for kind in ("target", "sampler", "schedule")}
    return {name: OBJECTS[name] for name in names if name in OBJECTS}


def _checked_group(items, codes, out, exact_draws):
    for cell in {item[0] for item in items}:
        names = (cell.target, cell.sampler, cell.schedule)
        here = _code(*names)
        if here != codes[names]:
            parts = ", ".join(k for k in here if here[k] != codes[names][k])
            raise RuntimeError(
                f"backend: a worker has another {parts} than this process for {'/'.join(names)}; "
                "install the same versions on every machine"
            )
    prepare = lru_cache(maxsize=1)(_prepared)
    return [_work(item, out, exact_draws, prepare) for item in items]


def _codes_of(items, codes):
    names = {(cell.target, cell.sampler, cell.schedule) for cell, _, _ in items}
    return {n: codes[n] for n in names}


def _parallel(groups, codes, out, exact_draws, driver=None, **options):
    from joblib import Parallel, delayed

    # one task at a time: a worker that takes several may hold the last of them while another one is idle
    return Parallel(return_as="generator_unordered", batch_size=1, **options)(
        delayed(_group)(items, _codes_of(items, codes), out, exact_draws, driver, _objects_of(items)) for items in groups
    )


def _loky(groups, codes, jobs, out, exact_draws):
    from joblib import parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        done = _parallel(groups, codes, out, exact_draws, os.getpid(), n_jobs=jobs)
    for results in done:  # the workers have written the records
        yield from results


def _remote(found, groups, out):
    """Cells on machines that need not share a disk: records are written here, as they arrive."""
    keys = {item[0]: item[2] for items in groups for item in items}
    for results in found:
        for cell, names, fresh in results:
            if out is not None:
                _store(out, cell, keys[cell], fresh)
            yield cell, names, fresh


def _dask(groups, codes, scheduler, out, exact_draws):
    try:
        from dask.distributed import Client
    except ImportError:
        fail("backend", "dask", "an installed dask: pip install 'exactdiffusion[cluster]'")
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"scheduler: got {scheduler!r}; expected the address of a running dask scheduler ({error})"
        ) from None
    with client, parallel_config("dask", client=client):
        yield from _remote(_parallel(groups, codes, None, exact_draws, n_jobs=-1), groups, out)


def _ray(groups, codes, scheduler, out, exact_draws):
    try:
        import ray
    except ImportError:
        fail("backend", "ray", "an installed ray: pip install ray")

    started_here = not ray.is_initialized()
    if started_here:
        ray.init(address=scheduler)
    try:
        # joblib's backend for ray gives no result before the last one, so the tasks are ray's own
        task = ray.remote(_group)
        waiting = [
            task.remote(items, _codes_of(items, codes), None, exact_draws, None, _objects_of(items)) for items in groups
        ]

        def found():
            nonlocal waiting
            while waiting:
                done, waiting = ray.wait(waiting)
                yield from ray.get(done)

        yield from _remote(found(), groups, out)
    finally:
        if started_here:
            ray.shutdown()


#: Head of the columns of `summary`.
SUMMARY = (
    *("target", "sampler", "schedule", "steps", "metric", "seeds", "mean", "sd", "least lower end"),
    *("exact draws", "how it was measured"),
)


def summary(rows: Sequence[Row]) -> Iterator[tuple]:
    """Mean, standard deviation over seeds, smallest lower end, scores of exact draws (mean and central 90 %) and the rung,
    with a vacuous bound beside it, per (target, sampler, schedule, steps, metric).

    Examples
    --------
    >>> found = sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=2, samples=100)
    >>> [(row[3], row[5], row[6]) for row in summary(found.rows)]
    [(5, 2, '0.3917'), (10, 2, '0.2137')]
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in ("target", "sampler", "schedule", "steps", "metric")), []).append(row)

    for key, members in groups.items():
        # the values, and what exact draws score
        values = np.array([m["value"] for m in members])
        spread = f"{values.std(ddof=1):.2g}" if len(values) > 1 else "-"
        lower = [m["lower"] for m in members if m["lower"] is not None]
        mean, low, high = (members[0][f"exact_draws{end}"] for end in ("", "_low", "_high"))
        drawn = "-" if mean is None else "0" if high == 0 else f"{mean:.3g} [{low:.3g}, {high:.3g}]"

        # beside the rung: a bound that says nothing, and the errors of a reference run
        bounded = sorted((m for m in members if m["bound"] is not None), key=lambda m: m["bound"])
        vacuous = bounded[len(bounded) // 2] if bounded else members[0]  # the run whose words `results.curves` takes too
        beside = "" if vacuous["vacuous"] is None else f"; vacuous bound {vacuous['bound']:.2g}: {vacuous['vacuous']}"
        errors = [
            f"{name.replace('_', ' ')} {max(v):.2g}"
            for name in ("reference_error", "start_error")
            if (v := [m[name] for m in members if m.get(name) is not None])
        ]
        beside += "".join(f"; {text}" for text in errors)
        yield (
            *key,
            len(members),
            f"{values.mean():.4g}",
            spread,
            f"{min(lower):.4g}" if lower else "-",
            drawn,
            members[0]["rung"] + beside,
        )
