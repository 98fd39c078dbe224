"""Grids of (target, sampler, schedule, steps, seed): run in parallel, kept on disk, resumed, tabulated.

The unit of work is one cell: one sampler on one schedule with one number of steps, one seed and one batch of samples. A
cell computes the same bits in any process, alone or beside others. Each metric of a cell is one record, a JSON file named
after the hash of everything the number depends on (parameters, data, code, library versions) and written whole or not at
all: an interrupted sweep continues where it stopped, and a change of the code computes anew instead of reusing.
"""

import hashlib
import inspect
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from . import records
from ._external import load_function
from ._progress import progress
from ._validation import choice, fail, integer
from .provenance import provenance, source_digest, versions

# -- what can be swept ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """How samples are judged.

    ``measure(samples, law, seed)`` returns a dict with ``value``, ``lower`` (a certified lower bound of the same quantity,
    or None) and ``method``; ``needs`` names the methods of the law of which it needs one.
    """

    measure: Callable
    needs: tuple
    summary: str

    def require(self, law):
        """Raise ValueError when ``law`` cannot be judged by this metric."""
        if not any(hasattr(law, name) for name in self.needs):
            fail("metric", next(k for k, m in METRICS.items() if m is self),
                 f"a metric this target allows (it has none of: {', '.join(self.needs)})")


def _w2(samples, law, seed):
    """W2 between the samples and the target: exact for weighted atoms, against as many fresh draws otherwise."""
    from .laws import PointCloud
    from .measure import w2

    if isinstance(law, PointCloud):
        result = w2(samples, law.points, weights_y=law.weights)
        return {"value": result.value, "lower": result.lower, "method": f"{result.method}, weighted atoms"}
    # A generator of its own: the reference draws must not be the sampler's noise.
    reference = law.sample(samples.shape[0], np.random.default_rng([seed, 0x5EED]))
    result = w2(samples, reference)
    return {"value": result.value, "lower": result.lower, "method": f"{result.method}, {len(reference)} target draws"}


def _distance(samples, law, seed):
    """Root mean squared distance to the support. A sampler that collapses on one atom has distance 0."""
    value = float(np.sqrt(np.mean(law.distance(samples) ** 2)))
    return {"value": value, "lower": value, "method": "root mean square, exact projection"}


METRICS = {
    "w2": Metric(_w2, ("points", "sample"), "Wasserstein-2 distance to the target, with a dual lower bound"),
    "distance": Metric(_distance, ("distance",), "root mean squared distance to the support (not to the law)"),
}

# Adding a metric is one entry here; the records, the table and the command line follow.

# -- specifications: NAME[:PARAMETER=VALUE] or MODULE:FUNCTION[:PARAMETER=VALUE] --------------------------------------------


def parse(kind, text):
    """Split ``name:key=value`` into the name and a dict of parameters; values are JSON where they parse as JSON."""
    if not isinstance(text, str) or not text.strip():
        fail(kind, text, "a name")
    names, parameters = [], {}
    for part in text.strip().split(":"):
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
            except json.JSONDecodeError:
                parameters[key] = value
    return ":".join(names), parameters


def _canonical(kind, text):
    name, parameters = parse(kind, text)
    return ":".join([name, *(f"{k}={json.dumps(v)}" for k, v in sorted(parameters.items()))])


def _resolve(kind, name):
    """The function that a name stands for, and the digest of its file where it is not ours."""
    known = _registry(kind)
    if name not in known:
        return load_function(kind, name, "MODULE:FUNCTION, FILE.py:FUNCTION or one of " + ", ".join(known))
    entry = known[name]
    return {"target": lambda: entry.law, "sampler": lambda: entry.function, "schedule": lambda: entry}[kind](), None


def _registry(kind):
    from . import datasets, samplers, schedules

    return {"target": datasets.TARGETS, "sampler": samplers.REGISTRY, "schedule": schedules.REGISTRY}[kind]


def _call(kind, text, *arguments):
    """Call what a specification names with its parameters; a parameter it does not take is a ValueError."""
    name, parameters = parse(kind, text)
    function, _ = _resolve(kind, name)
    try:
        inspect.signature(function).bind(*arguments, **parameters)
    except TypeError as error:
        raise ValueError(f"{kind}: got {text!r}; expected parameters that {name} takes ({error})") from None
    return function(*arguments, **parameters)


@lru_cache(maxsize=8)
def law_of(text):
    """The law that a target specification names; built once per process."""
    return _call("target", text)


def grid_of(text, steps):
    """The `Grid` of ``steps`` steps that a schedule specification names."""
    return _call("schedule", text, steps)


def states(law, sampler, grid, seed, samples, start="gaussian"):
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
        ``gaussian``: N(0, sigma_0^2 I), what a user has; ``exact``: the target noised to the first level.

    Returns
    -------
    generator of arrays, shape (samples, d)
    """
    from . import samplers as _samplers
    from .noise import Noise

    x = float(grid.sigma[0]) * Noise(seed).initial(samples, law.dim)
    if start == "exact":
        x = x + float(grid.scale[0]) * law.sample(samples, np.random.default_rng([seed, 1]))
    name, parameters = parse("sampler", sampler)
    function, _ = _resolve("sampler", name)
    info = _samplers.REGISTRY.get(name)
    if info.stochastic if info is not None else "noise" in inspect.signature(function).parameters:
        parameters["noise"] = Noise(seed)
    try:
        inspect.signature(function).bind(law, grid, x, **parameters)
    except TypeError as error:
        raise ValueError(f"sampler: got {sampler!r}; expected parameters that {name} takes ({error})") from None
    return function(law, grid, x, **parameters)


# -- cells and records ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Cell:
    """One unit of work. Two equal cells give equal bits."""

    target: str
    sampler: str
    schedule: str
    steps: int
    seed: int
    samples: int
    start: str


COLUMNS = (
    "target", "sampler", "schedule", "steps", "seed", "samples", "start", "metric", "value", "lower", "method",
    "oracle_calls", "oracle_rows",
)


def _key(cell, metric, code):
    parameters = {**cell.__dict__, "metric": metric}
    text = json.dumps({"parameters": parameters, "code": code}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _code(target, sampler, schedule):
    """What the numbers of a cell depend on besides its parameters."""
    external = {}
    for kind, text in (("target", target), ("sampler", sampler), ("schedule", schedule)):
        digest = _resolve(kind, parse(kind, text)[0])[1]
        if digest is not None:
            external[kind] = digest
    libraries = {name: version for name, version in versions().items() if name != "matplotlib"}
    return {"source": source_digest(), "libraries": libraries, "external": external, "data": _data_digest(target)}


@lru_cache(maxsize=32)
def _data_digest(target):
    law = law_of(target)
    digest = hashlib.sha256()
    for name in ("points", "weights", "means", "covariances"):
        value = getattr(law, name, None)
        if isinstance(value, np.ndarray):
            digest.update(name.encode() + str(value.shape).encode() + np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def run_cell(cell, metrics):
    """Compute one cell; a list of records, one per metric, in order."""
    from threadpoolctl import threadpool_limits

    from . import samplers as _samplers
    from .laws import Counted

    with threadpool_limits(1):  # the number of BLAS threads moves last bits, and workers must not fight for cores
        law = law_of(cell.target)
        counted = Counted(law)
        started = time.perf_counter()
        grid = grid_of(cell.schedule, cell.steps)
        samples = _samplers.final(states(counted, cell.sampler, grid, cell.seed, cell.samples, cell.start))
        seconds = time.perf_counter() - started
        if not np.all(np.isfinite(samples)):
            raise FloatingPointError(f"{cell}: the sampler left the finite numbers")
        found = []
        for metric in metrics:
            started = time.perf_counter()
            result = METRICS[metric].measure(samples, law, cell.seed)
            found.append({
                **cell.__dict__, "metric": metric, "value": float(result["value"]),
                "lower": None if result["lower"] is None else float(result["lower"]), "method": result["method"],
                "oracle_calls": sum(counted.calls.values()), "oracle_rows": sum(counted.rows.values()),
                "seconds": seconds, "metric_seconds": time.perf_counter() - started,
            })
        return found


def _work(cell, metrics, keys, folder):
    found = run_cell(cell, metrics)
    for key, record in zip(keys, found):
        records.write_whole(_path(folder, key), records.json_text({"key": key, **record}))
    return found


def _path(folder, key):
    return Path(folder) / "records" / key[:2] / f"{key}.json"


def _stored(folder, key):
    """The record under ``key``, or None. A record is whole or absent, so an unreadable one is reported, not replaced."""
    path = _path(folder, key)
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    if record.pop("key") != key:
        raise RuntimeError(f"{path} holds another record than its name says; remove it and run again")
    return record


# -- the sweep -----------------------------------------------------------------------------------------------------------


@dataclass
class Sweep:
    """What `sweep` returns: the rows, what was computed and reused, and the paths written (None without ``out``)."""

    rows: list
    computed: int
    reused: int
    table: Path | None = None
    provenance: Path | None = None
    seconds: list = field(default_factory=list)


def sweep(*, target, sampler, steps, seeds=5, schedule="vp_linear", samples=1000, metric="w2", start="gaussian", jobs=1,
          out=None):
    """Run a grid of cells and tabulate it.

    Parameters
    ----------
    target, sampler, schedule, metric : str or list of str
        Names, ``NAME:PARAMETER=VALUE``, or (not for metrics) ``MODULE:FUNCTION`` of your own: a target function returns a
        law, a sampler has the signature of `exactdiffusion.samplers`, a schedule takes N and returns a `Grid`.
    steps : int or list of int
        Numbers of steps N >= 1.
    seeds : int or list of int
        A number of seeds (0, 1, ...), or the seeds.
    samples : int
        Samples per cell.
    start : {"gaussian", "exact"}
        See `draw`.
    jobs : int
        Worker processes; the numbers do not depend on it.
    out : path, optional
        Folder for ``records/``, ``results.csv`` and ``provenance.json``. Records found there are reused. Without it
        nothing is written.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError
        Names the argument, its value and what is expected.
    """
    grid = _grid_of_cells(target, sampler, schedule, steps, seeds, samples, start)
    metrics = [choice("metric", m, tuple(METRICS)) for m in _list("metric", metric)]
    jobs = integer("jobs", jobs, low=1)
    for kinds in dict.fromkeys((c.target, c.sampler, c.schedule, c.steps, c.start) for c in grid):
        _refuse(*kinds, metrics)  # before hours of work
    codes = {}
    tasks, found = [], {}
    for cell in grid:
        names = (cell.target, cell.sampler, cell.schedule)
        code = codes.setdefault(names, _code(*names) if names not in codes else None)
        keys = {m: _key(cell, m, code) for m in metrics}
        absent = []
        for m in metrics:
            record = _stored(out, keys[m]) if out is not None else None
            if record is None:
                absent.append(m)
            else:
                found[cell, m] = record
        if absent:
            tasks.append((cell, absent, [keys[m] for m in absent]))
    reused = len(found)
    for cell, names, fresh in _run(tasks, jobs, out):
        found.update({(cell, m): record for m, record in zip(names, fresh)})
    ordered = [found[cell, m] for cell in grid for m in metrics]
    rows = [{column: record[column] for column in COLUMNS} for record in ordered]
    result = Sweep(rows, len(found) - reused, reused, seconds=[record["seconds"] for record in ordered])
    if out is not None:
        result.table, result.provenance = Path(out) / "results.csv", Path(out) / "provenance.json"
        records.write_whole(result.table, records.table_text(rows))
        records.write_whole(result.provenance, records.json_text({
            "arguments": {
                "target": _list("target", target), "sampler": _list("sampler", sampler),
                "schedule": _list("schedule", schedule), "steps": sorted({c.steps for c in grid}),
                "seeds": sorted({c.seed for c in grid}), "samples": samples, "metric": metrics, "start": start,
            },
            "cells": len(grid), "computed": result.computed, "reused": reused, "jobs": jobs,
            "seconds_of_work": round(sum(r["seconds"] + r["metric_seconds"] for r in ordered), 3),
            "code": {"/".join(names): code for names, code in codes.items()}, **provenance(),
        }))
    return result


def _list(name, value):
    items = list(value) if isinstance(value, (list, tuple, range, np.ndarray)) else [value]
    if not items:
        fail(name, value, "at least one")
    if len(set(items)) != len(items):
        fail(name, value, "each one once")
    return items


def _grid_of_cells(target, sampler, schedule, steps, seeds, samples, start):
    targets = [_canonical("target", t) for t in _list("target", target)]
    samplers = [_canonical("sampler", s) for s in _list("sampler", sampler)]
    schedules = [_canonical("schedule", s) for s in _list("schedule", schedule)]
    steps = [integer("steps", n, low=1) for n in _list("steps", steps)]
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = range(integer("seeds", seeds, low=1))
    seeds = [integer("seeds", s, low=0, high=2**32 - 1) for s in _list("seeds", seeds)]
    samples = integer("samples", samples, low=1)
    choice("start", start, ("gaussian", "exact"))
    return [Cell(t, s, g, n, seed, samples, start)
            for t in targets for s in samplers for g in schedules for n in steps for seed in seeds]


def _refuse(target, sampler, schedule, steps, start, metrics):
    """Raise ValueError for what cannot run, at no cost: samplers check their arguments at the call."""
    law = law_of(target)
    if start == "exact" and not hasattr(law, "sample"):
        fail("start", start, "'gaussian' for a target that cannot be sampled")
    for metric in metrics:
        METRICS[metric].require(law)
    states(law, sampler, grid_of(schedule, steps), 0, 1, start)


def _run(tasks, jobs, out):
    if jobs == 1 or len(tasks) <= 1:
        done = (_task(task, out) for task in tasks)
    else:
        from joblib import Parallel, delayed, parallel_config

        with parallel_config("loky", inner_max_num_threads=1):
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered")
            done = pool(delayed(_task)(task, out) for task in tasks)
    yield from progress(done, "cells", len(tasks))


def _task(task, out):
    cell, names, keys = task
    return cell, names, (run_cell(cell, names) if out is None else _work(cell, names, keys, out))


def summary(rows):
    """Mean, standard deviation over seeds and smallest lower bound per (target, sampler, schedule, steps, metric)."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in ("target", "sampler", "schedule", "steps", "metric")), []).append(row)
    for key, members in groups.items():
        values = np.array([m["value"] for m in members])
        spread = values.std(ddof=1) if len(values) > 1 else math.nan
        lower = [m["lower"] for m in members if m["lower"] is not None]
        yield (*key, len(members), f"{values.mean():.4g}", f"{spread:.2g}", f"{min(lower):.4g}" if lower else "-")
