"""The command line: ``exactdiffusion list | verify | figures | sweep | plot | report | audit | new | demo``.

A bad argument is one line on standard error and exit code 2; a failed check is exit code 1. Every command imports what
it needs when it runs.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence

from ._version import __version__

__all__ = ["main", "parser"]


def _list(args):
    from . import datasets, samplers, schedules, statements
    from .studies import figures, sweep

    print("statements (exactdiffusion verify NAME)")
    _table((s.key, f"{s.ref}, {s.kind}", s.title) for s in statements.all_statements())
    print("\nsamplers (sweep --sampler NAME[:PARAMETER=VALUE])")
    _table(
        (i.name, f"order {i.order}, {'random' if i.stochastic else 'deterministic'}", i.summary)
        for i in samplers.REGISTRY.values()
    )
    print("\nschedules (sweep --schedule NAME[:PARAMETER=VALUE])")
    _table((name, _first_line(f)) for name, f in schedules.REGISTRY.items())
    print("\ntargets (sweep --target NAME)")
    _table((name, f"dimension {t.dim}", t.summary) for name, t in datasets.TARGETS.items())
    print("\nmetrics (sweep --metric NAME)")
    _table((name, m.summary) for name, m in sweep.METRICS.items())
    print("\nfigures (exactdiffusion figures NAME)")
    _table((name, e.SUMMARY) for name, e in figures.experiments().items())
    return 0


def _table(rows):
    rows = [tuple(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def _first_line(function):
    line = (function.__doc__ or "").strip().split("\n")[0]
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", line).replace("``", "")


def _verify(args):
    from .checks.verify import verify

    return verify(
        args.names,
        deep=args.deep,
        quick=args.quick,
        update=args.update,
        check=args.check,
        source=args.source,
        records=args.records,
        out=args.out,
    )


def _figures(args):
    from .datasets import DatasetUnavailable
    from .studies import figures

    if args.check and args.quick:
        raise ValueError("check: got --check together with --quick; expected one of the two")
    changed = dict(_assignment(text) for text in args.set)
    if changed and (args.check or args.out is None):
        raise ValueError("set: got changed parameters; expected --out DIR (so the standard tables stay) and no --check")

    # each figure: compare it with the committed one, or make it
    failed = False
    for experiment in figures.select(args.names, args.all):
        if args.check:
            try:
                problems = figures.check(experiment, args.out)
            except DatasetUnavailable as error:
                print(f"{experiment.NAME}: not checked ({str(error).split(' (')[0]})")
                continue
            failed = failed or bool(problems)
            print(f"{experiment.NAME}: {'current' if not problems else 'NOT current'}")
            for problem in problems:
                print(f"  {problem}")
        else:
            paths = figures.make(experiment, args.out, quick=args.quick, parameters=changed)
            for path in paths.values():
                print(path)
    return int(failed)


def _assignment(text):
    import json

    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"set: got {text!r}; expected PARAMETER=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


_SWEEP_DEFAULTS = {
    "schedule": "vp_linear",
    "seeds": 5,
    "samples": 1000,
    "start": "gaussian",
    "metric": "w2",
    "refused": "error",
}


def _sweep(args):
    from pathlib import Path

    from .studies import sweep, sweepfile

    flags = {name: getattr(args, name) for name in ("target", "sampler", "steps", "exact_draws", *_SWEEP_DEFAULTS)}
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        jobs = _workers(args, sweep)
        if args.file is not None:
            if given:
                raise ValueError(f"{next(iter(given))}: got a flag beside the file {args.file}; expected one of the two")
            result = sweepfile.run(args.file, args.out or f"results/{Path(args.file).stem}", own=args.own, jobs=jobs)
        else:
            absent = [name for name in ("target", "sampler", "steps") if name not in given]
            if absent:
                raise ValueError(f"{absent[0]}: is absent; expected --{absent[0]}, or a sweep file")
            given = {**_SWEEP_DEFAULTS, **given}
            names = {k: given[k].split(",") for k in ("target", "sampler", "schedule", "metric")}
            result = sweep.sweep(
                **{**given, **names, "steps": _integers("steps", given["steps"])}, jobs=jobs, out=args.out or "results/sweep"
            )
    except KeyboardInterrupt:
        print("exactdiffusion sweep: interrupted; computed cells are kept, the same command continues", file=sys.stderr)
        return 128 + 2
    # a full disk, a folder without permission, a record of someone else, a cell larger than the memory
    except (OSError, MemoryError, sweep.DamagedRecord) as error:
        print(f"exactdiffusion sweep: {error}; every stored record is kept", file=sys.stderr)
        return 1
    _table([sweep.SUMMARY, *sweep.summary(result.rows)])
    pairs = result.compare()
    if pairs.pairs:
        print(f"\npaired differences, first minus second\n{pairs}\n")
    if result.refused:
        print(f"{len(result.refused)} combinations left out, the first: {result.refused[0]['reason']}")
    print(f"{result.computed} computed, {result.reused} reused")
    for path in (result.table, result.timings, result.provenance):
        print(path)
    return 0


def _workers(args, sweep):
    """Worker processes, or the cluster that --backend and --scheduler name."""
    if args.backend != "loky":
        return sweep.Cluster(args.backend, args.scheduler)
    if args.scheduler is not None:
        raise ValueError(f"scheduler: got {args.scheduler!r}; expected --backend dask or --backend ray beside it")
    return args.jobs


def _plot(args):
    from .studies.plot import plot

    for path in plot(
        args.dir,
        target=args.target,
        metric=args.metric,
        sampler=args.sampler,
        schedule=args.schedule,
        x=args.x,
        out=args.out,
    ):
        print(path)
    return 0


def _report(args):
    from .studies.report import report

    print(report(args.dir, args.out, target=args.target, metric=args.metric, checks=args.checks, figures=args.figures))
    return 0


def _integers(name, text):
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name}: got {text!r}; expected integers separated by commas") from None


def _audit(args):
    from .papers.projection.audit import run

    return run(
        args.fn,
        args.target,
        N=args.N,
        trajectories=args.trajectories,
        seed=args.seed,
        sigma_ratio=args.sigma_ratio,
        sigma_max=args.sigma_max,
        nu=args.nu,
        schedule=args.schedule,
        scalar_sigma=args.scalar_sigma,
        json=args.json,
    )


def _new(args):
    from .checks.new import run

    return run(args.what, args.name)


def _demo(args):
    from .studies.demo import run

    return run(args.out)


def parser() -> argparse.ArgumentParser:
    """The argument parser; each command sets ``run``, a function of the parsed arguments that returns the exit code.

    Examples
    --------
    >>> parser().parse_args(["audit", "ideal", "--target", "digits"]).N
    50
    """
    top = argparse.ArgumentParser(
        prog="exactdiffusion",
        description="Numerical checks of theorems about diffusion models, with scores and denoisers that are exactly known.",
    )
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument("--traceback", action="store_true", help="show where a bad argument was refused")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    c = commands.add_parser("list", help="statements, samplers, schedules, targets, metrics, figures")
    c.set_defaults(run=_list)

    c = commands.add_parser("verify", help="run theory checks and print the verdict table")
    c.add_argument("names", nargs="*", metavar="NAME", help="a paper, or part of a theory file's name; default: all")
    c.add_argument("--deep", action="store_true", help="the long variants too")
    c.add_argument("--quick", action="store_true", help="the first case of each test only")
    c.add_argument("--records", metavar="DIR", help="write the measurements of this run into DIR (JSON, Markdown, TOML)")
    c.add_argument("--check", action="store_true", help="compare the run with the committed theory/*/expected.toml")
    c.add_argument("--update", action="store_true", help="rewrite theory/*/expected.toml and paper_checks.md")
    c.add_argument("--from", dest="source", metavar="DIR", help="check or update with the records in DIR, in place of a run")
    c.add_argument("--out", metavar="ROOT", help="folder with theory/ and paper_checks.md (default: the checkout)")
    c.set_defaults(run=_verify)

    c = commands.add_parser("figures", help="remake figures and their tables")
    c.add_argument("names", nargs="*", metavar="NAME", help="a figure, or a group of figures such as projection")
    c.add_argument("--all", action="store_true", help="every figure")
    c.add_argument("--quick", action="store_true", help="cheaper parameters, drawn into figures/quick")
    c.add_argument("--check", action="store_true", help="recompute a part of each table and compare; draws nothing")
    c.add_argument(
        "--set",
        metavar="PARAMETER=VALUE",
        action="append",
        default=[],
        help="change a parameter of the experiment (needs --out)",
    )
    c.add_argument("--out", metavar="DIR", help="folder of the drawings (tables go to its folder data)")
    c.set_defaults(run=_figures)

    c = commands.add_parser(
        "sweep",
        help="step count versus error for grids of targets, samplers, schedules and seeds",
        description="Lists are separated by commas; NAME:PARAMETER=VALUE sets a parameter. FILE.py:NAME "
        "(or MODULE:NAME) is a target, sampler, schedule or metric of your own, and TARGET:denoiser=FILE.py:NAME your "
        "denoiser on the data of a target: the file is run, so name only files that you trust. A .npy or .csv file is a "
        "target of points, which are read and never unpickled. An interrupted sweep resumes when run again. A TOML file "
        "says the same as the flags (see exactdiffusion.studies.sweepfile).",
    )
    c.add_argument("file", nargs="?", metavar="FILE.toml", help="a sweep file, in place of the flags down to --refused")
    c.add_argument("--target")
    c.add_argument("--sampler")
    c.add_argument("--steps", help="numbers of steps N, e.g. 5,10,20,40")
    c.add_argument("--schedule", help="default vp_linear")
    c.add_argument("--seeds", type=int, help="number of seeds: 0, 1, ... (default 5)")
    c.add_argument("--samples", type=int, help="samples per cell (default 1000)")
    c.add_argument("--start", help="gaussian (default): N(0, sigma_max^2 I); exact: the noised target")
    c.add_argument("--metric", help="default w2")
    c.add_argument(
        "--exact-draws",
        type=int,
        metavar="RUNS",
        help="runs of exact draws beside each cell (default 200, fewer where they take long; 0: none)",
    )
    c.add_argument("--refused", help="error (default) or skip: treatment of combinations that cannot run")
    c.add_argument("--jobs", type=int, default=1, help="worker processes (default 1)")
    c.add_argument("--backend", default="loky", help="loky (default, this machine), dask or ray")
    c.add_argument("--scheduler", metavar="ADDRESS", help="of the dask scheduler, or of a running ray cluster")
    c.add_argument("--own", action="store_true", help="the sweep file may name functions of your own, which are run")
    c.add_argument("--out", metavar="DIR", help="default results/sweep, or results/ and the name of the file")
    c.set_defaults(run=_sweep)

    c = commands.add_parser("plot", help="draw a sweep: error against steps, oracle calls or seconds")
    c.add_argument("dir", metavar="DIR", help="a folder that sweep --out wrote")
    for name in ("target", "metric", "sampler", "schedule"):
        c.add_argument(f"--{name}", action="append", help=f"this {name} only; may be given several times")
    c.add_argument("--x", default="steps", help="steps (default), calls or seconds")
    c.add_argument("--out", metavar="FILE", help="a .pdf, .png or .svg (default: DIR/plot.png and DIR/plot.svg)")
    c.set_defaults(run=_plot)

    c = commands.add_parser("report", help="a sweep, the verdicts and the figures as one HTML file that opens offline")
    c.add_argument("dir", metavar="DIR", help="a folder that sweep --out wrote")
    for name in ("target", "metric"):
        c.add_argument(f"--{name}", action="append", help=f"this {name} only; may be given several times")
    c.add_argument("--out", metavar="FILE", help="default: DIR/report.html")
    c.add_argument("--checks", metavar="DIR", help="a folder that verify --records wrote (default: the committed verdicts)")
    c.add_argument("--figures", metavar="DIR", help="folder of the drawings (default: figures of the checkout)")
    c.set_defaults(run=_report)

    c = commands.add_parser(
        "audit",
        help="relative projection error, guarantee and admissible schedule of a denoiser of your own",
        description="Runs DDIM with fn(x, sigma) (x of shape (n, d), sigma an (n,) array or a number; returns the estimate "
        "of the clean x) and measures its error as an approximate projection onto the target's points.",
    )
    c.add_argument("fn", metavar="MODULE:FUNCTION", help="also FILE.py:FUNCTION, or 'ideal' (the target's own denoiser)")
    c.add_argument("--target", required=True, help="a point-cloud target, or a .npy, .csv, .tsv or .txt file of points")
    c.add_argument("--N", type=int, default=50, help="DDIM steps (default 50)")
    c.add_argument("--trajectories", type=int, default=200, help="default 200")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--sigma-ratio", type=float, default=1e-4, help="last over first noise level (default 1e-4)")
    c.add_argument("--sigma-max", type=float, default=40.0, help="standard deviation of the start (default 40)")
    c.add_argument("--nu", type=float, help="width of the band; default: the smallest admissible, 2 for the recommendation")
    c.add_argument("--schedule", help="a schedule's name (e.g. ddpm) instead of log-linear levels from each row's distance")
    c.add_argument("--scalar-sigma", action="store_true", help="call fn row by row with one sigma")
    c.add_argument("--json", metavar="FILE", help="write the report there as JSON")
    c.set_defaults(run=_audit)

    c = commands.add_parser("new", help="begin a theorem: write its statement and its theory file, which pass as they stand")
    c.add_argument("what", metavar="theorem")
    c.add_argument("name", metavar="PAPER/NAME", help="such as projection/shrinkage")
    c.set_defaults(run=_new)

    c = commands.add_parser("demo", help="the tour: three figures and the headline theorems, a minute of processor time")
    c.add_argument("--out", metavar="DIR", default="demo")
    c.set_defaults(run=_demo)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (0 done, 1 a check failed, 2 a bad argument, 141 a closed pipe).

    Examples
    --------
    >>> main(["audit", "ideal", "--target", "absent"])
    2
    """
    from ._core.threads import one_thread

    one_thread()  # before anything imports NumPy
    from .datasets import DatasetUnavailable

    args = parser().parse_args(argv)
    try:
        code = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of a pipe (head) has seen enough; flushing at the exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # the exit code that shells report where SIGPIPE ended a program
    except (ValueError, DatasetUnavailable, ModuleNotFoundError) as error:
        if args.traceback:
            raise
        print(f"exactdiffusion {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
