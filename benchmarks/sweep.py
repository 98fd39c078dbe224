"""Sweep engine: its overhead per cell over the bare samplers, and one worker against two.

    python benchmarks/sweep.py [--samples 100 1000] [--seeds 4] [--repeats 3] [--output FILE]

A cell is one sampler with one number of steps and one seed, judged by its distance to the data. ``ours`` is
`exactdiffusion.sweep` in this process, with and without records on disk; the peer (also the limit) calls the samplers and
the metric in a plain loop. (Not DDIM: for it the engine also evaluates a theorem's bound along the path, which costs as
much as the run.) CPU time of interleaved repetitions. Scaling compares wall time of one worker and two, and of two plain
loops, each on a core of its own with half of the seeds: the most that this machine gives under its present load. Workers are
started before. ``accuracy`` is the largest relative difference of a value
between the two ways, and the number of values that two workers changed.
"""

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from _common import interleaved, machine, options, ratio, show, write
from threadpoolctl import threadpool_limits

from exactdiffusion.studies import sweep as engine

COLUMNS = (
    "case",
    "cells",
    "ours_ms",
    "peer_ms",
    "overhead_ms",
    "ours_over_peer",
    "disk_ms",
    "disk_over_peer",
    "reuse_ms",
    "one_s",
    "two_s",
    "scaling",
    "pinned_s",
    "of_pinned",
    "accuracy",
)
TARGET, SAMPLERS, SCHEDULE, METRIC = "digits", ["ddpm", "heun"], "vp_linear", "distance"


def arguments(samples, steps, seeds, **more):
    return {
        "target": TARGET,
        "sampler": SAMPLERS,
        "steps": steps,
        "seeds": seeds,
        "schedule": SCHEDULE,
        "samples": samples,
        "metric": METRIC,
        **more,
    }


def bare(samples, steps, seeds):
    """The same cells without the engine."""
    law = engine.law_of(TARGET)
    values = []
    for sampler in SAMPLERS:
        for N in steps:
            for seed in seeds:
                for x in engine.states(law, sampler, engine.grid_of(SCHEDULE, N), seed, samples):
                    last = x
                values.append(float(np.sqrt(np.mean(law.distance(last) ** 2))))
    return values


def case(samples, steps, seeds, repeats):
    """Overhead per cell."""
    found = {}

    def ours():
        found["rows"] = engine.sweep(**arguments(samples, steps, seeds, exact_draws=0)).rows

    def disk():
        folders.append(tempfile.mkdtemp(dir=home))
        engine.sweep(**arguments(samples, steps, seeds, exact_draws=0, out=folders[-1]))

    def plain():
        found["values"] = bare(samples, steps, range(seeds))

    def reuse():
        engine.sweep(**arguments(samples, steps, seeds, exact_draws=0, out=folders[0]))

    # folders are removed at the end, out of the measured time
    with tempfile.TemporaryDirectory() as home:
        folders = []
        disk()
        times = 1e3 * interleaved([ours, plain, disk, reuse], repeats)
    cells = len(found["rows"])
    middle = np.median(times, axis=0) / cells
    ordered = sorted(r["value"] for r in found["rows"])
    return {
        "case": f"{samples} samples a cell",
        "cells": cells,
        "samples": samples,
        "repeats": repeats,
        "ours_ms": float(middle[0]),
        "peer_ms": float(middle[1]),
        "disk_ms": float(middle[2]),
        "reuse_ms": float(middle[3]),
        "ours_over_peer": ratio(times, 0, 1),
        "overhead_ms": float(np.median(times[:, 0] - times[:, 1]) / cells),
        "disk_over_peer": ratio(times, 2, 1),
        "accuracy": float(np.max(np.abs(np.array(ordered) / np.array(sorted(found["values"])) - 1))),
    }


def _pin(core):
    """Keep this process on one core and one thread, where the system can."""
    threadpool_limits(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def scaling(samples, steps, seeds, repeats):
    """Wall time of one process, of two workers, and of two plain loops on a core each, alternating."""
    found, walls = {}, []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0, 1]
    context = multiprocessing.get_context("spawn")
    loops = [ProcessPoolExecutor(1, mp_context=context, initializer=_pin, initargs=(c,)) for c in cores[:2]]

    def pinned(samples, steps):
        halves = [range(k, seeds, len(loops)) for k in range(len(loops))]
        for half in [pool.submit(bare, samples, steps, part) for pool, part in zip(loops, halves)]:
            half.result()

    # start the workers and the loops: imports, data
    engine.sweep(**arguments(10, [2], 2, exact_draws=0, jobs=2))
    pinned(10, [2])

    for _ in range(repeats):
        row = []
        for jobs in (1, 2, None):
            start = time.perf_counter()
            if jobs is None:
                pinned(samples, steps)
            else:
                found[jobs] = engine.sweep(**arguments(samples, steps, seeds, exact_draws=0, jobs=jobs)).rows
            row.append(time.perf_counter() - start)
        walls.append(row)
    for pool in loops:
        pool.shutdown()

    walls = np.array(walls)
    same = [a["value"] == b["value"] for a, b in zip(found[1], found[2], strict=True)]
    return {
        "case": f"{samples} samples a cell, 1 and 2 workers",
        "cells": len(same),
        "samples": samples,
        "repeats": repeats,
        "one_s": float(np.median(walls[:, 0])),
        "two_s": float(np.median(walls[:, 1])),
        "scaling": ratio(walls, 0, 1),
        "pinned_s": float(np.median(walls[:, 2])),
        "of_pinned": ratio(walls, 2, 1),
        "accuracy": float(len(same) - sum(same)),
        "load": machine().get("load"),
    }


def main(argv=None):
    """Run the cases, print the table, write the record."""
    o = options(__doc__, "sweep", samples=[100, 300, 1000], steps=[5, 10, 20], seeds=4, repeats=3).parse_args(argv)
    with threadpool_limits(1):
        rows = [case(n, o.steps, o.seeds, o.repeats) for n in o.samples]
    rows.append(scaling(o.samples[-1], o.steps, o.seeds, o.repeats))
    show(rows, COLUMNS)
    assert rows[-1]["accuracy"] == 0, "two workers changed a value"
    return write(o.output, COLUMNS, rows, {}, machine=machine())


if __name__ == "__main__":
    main()
