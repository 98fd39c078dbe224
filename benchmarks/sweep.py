"""Sweep engine: its overhead per cell over the bare samplers, and one worker against two.

    python benchmarks/sweep.py [--samples 100 1000] [--seeds 4] [--repeats 3] [--output FILE]

A cell is one sampler with one number of steps and one seed, judged by its distance to the data. ``ours`` is
`exactdiffusion.sweep` in this process, with and without records on disk; the peer (also the limit) calls the samplers and
the metric in a plain loop. (Not DDIM: for it the engine also evaluates a theorem's bound along the path, which costs as
much as the run.) CPU time of interleaved repetitions. Scaling compares wall time of one worker and two, which
other load on the machine disturbs; workers are started before. ``accuracy`` is the largest relative difference of a value
between the two ways, and the number of values that two workers changed.
"""

import tempfile
import time

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
            for seed in range(seeds):
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
        with tempfile.TemporaryDirectory() as folder:
            engine.sweep(**arguments(samples, steps, seeds, exact_draws=0, out=folder))

    def plain():
        found["values"] = bare(samples, steps, seeds)

    with tempfile.TemporaryDirectory() as folder:
        engine.sweep(**arguments(samples, steps, seeds, exact_draws=0, out=folder))
        times = 1e3 * interleaved([ours, plain, disk, lambda: engine.sweep(
            **arguments(samples, steps, seeds, exact_draws=0, out=folder))], repeats)  # fmt: skip
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


def scaling(samples, steps, seeds, repeats):
    """Wall time of one process and two workers, alternating."""
    found, walls = {}, []
    engine.sweep(**arguments(10, [2], 2, exact_draws=0, jobs=2))  # starts the workers
    for _ in range(repeats):
        row = []
        for jobs in (1, 2):
            start = time.perf_counter()
            found[jobs] = engine.sweep(**arguments(samples, steps, seeds, exact_draws=0, jobs=jobs)).rows
            row.append(time.perf_counter() - start)
        walls.append(row)
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
