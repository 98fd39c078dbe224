"""The command line: ``exactdiffusion list | verify | figures | sweep | plot | report | audit | conform | new | demo``.

A bad argument is one line on standard error and exit code 2; a failed check is exit code 1. Every command imports what
it needs when it runs.
"""

import argparse
import difflib
import os
import re
import sys
import textwrap
from collections.abc import Sequence

from ._version import __version__

__all__ = ["main", "parser"]


def _catalogue():
    """Kind -> (how it is used, one dict for each name): what ``list`` shows."""
    import inspect

    from . import datasets, samplers, schedules, statements
    from .studies import figures, sweep

    def parameters(function):
        found = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in found if p.default is not p.empty and p.name not in ("noise", "calls")}

    def calls(info):
        return f"{info.per_step} {'prox' if info.oracle == 'prox' else 'denoiser'} call{'s' * (info.per_step > 1)} a step"

    return {
        "statements": (
            "exactdiffusion verify NAME",
            [{"name": s.key, "about": ", ".join(filter(None, (s.ref, s.kind))), "summary": s.title}
             for s in statements.all_statements()],
        ),
        "samplers": (
            "sweep --sampler NAME[:PARAMETER=VALUE]",
            [{"name": i.name, "about": f"order {i.order}, {'random' if i.stochastic else 'deterministic'}",
              "cost": calls(i), "summary": i.summary, "parameters": parameters(i.function)}
             for i in samplers.REGISTRY.values()],
        ),
        "schedules": (
            "sweep --schedule NAME[:PARAMETER=VALUE]",
            [{"name": name, "summary": _first_line(f), "parameters": parameters(f)}
             for name, f in schedules.REGISTRY.items()],
        ),
        "targets": (
            "sweep --target NAME[:PARAMETER=VALUE]",
            [{"name": name, "about": f"dimension {t.dim}", "summary": t.summary, "parameters": parameters(t.law)}
             for name, t in datasets.TARGETS.items()],
        ),
        "metrics": ("sweep --metric NAME", [{"name": name, "summary": m.summary} for name, m in sweep.METRICS.items()]),
        "figures": (
            "exactdiffusion figures NAME",
            [{"name": name, "summary": e.SUMMARY} for name, e in figures.experiments().items()],
        ),
    }  # fmt: skip


def _list(args):
    import json

    # a filter is a kind, or a part of a name
    catalogue = _catalogue()
    kinds = [f for f in args.filter if f in catalogue]
    parts = [f for f in args.filter if f not in catalogue]
    shown = {}
    for kind, (usage, entries) in catalogue.items():
        chosen = [e for e in entries if not parts or any(part in e["name"] for part in parts)]
        if chosen and (not kinds or kind in kinds):
            shown[kind] = (usage, chosen)
    if not shown:
        names = [e["name"] for _, entries in catalogue.values() for e in entries]
        raise ValueError(
            f"filter: got {' '.join(args.filter)!r}; expected one of {', '.join(catalogue)}, or part of a name"
            + _nearest(args.filter[-1], [*catalogue, *names])
        )

    # print: with a filter the parameters too
    if args.json:
        print(json.dumps({kind: entries for kind, (_, entries) in shown.items()}, indent=1, default=str))
        return 0
    for number, (kind, (usage, entries)) in enumerate(shown.items()):
        print(f"{chr(10) * (number > 0)}{kind} ({usage})")
        columns = [c for c in ("name", "about", "cost", "summary") if any(c in e for e in entries)]
        _table([e.get(c, "") for c in columns] for e in entries)
        for e in entries if args.filter else []:
            if e.get("parameters"):
                print(f"    {e['name']}: " + ", ".join(f"{name}={value!r}" for name, value in e["parameters"].items()))
    return 0


def _nearest(text, names):
    """The end of a message: the name that is nearest to a wrong one, or nothing."""
    wrong = text.partition(":")[0]
    # a part or the beginning of a name stands for it
    forms = {name[: len(wrong) + 1]: name for name in reversed(names)}
    forms |= {name.rpartition("/")[2]: name for name in names} | {name: name for name in names}
    found = [forms[f] for f in difflib.get_close_matches(wrong, forms, 1, 0.7)]
    found += [name for name in names if len(name) > 3 and wrong.startswith(name)]
    return f"; did you mean {found[0]}?" if found and found[0] != wrong else ""


def _with_help(args, message):
    """A message of a refusal, with the nearest name or the allowed parameters where one was not known."""
    got = re.match(r"(\w+): got '([^']+)'; expected (.*)", message, re.DOTALL)
    if got is None or "did you mean" in message or got[1] in ("out", "records", "dir"):
        return message
    name, text, expected = got.groups()
    if name == "names" and args.command == "verify":
        from ._core.paths import theory_dir
        from .checks.verify import theory_files
        from .statements import all_statements

        files = [f.stem for f in theory_files(theory_dir())]
        return message + _nearest(text, [*files, *(s.key for s in all_statements())])
    if expected.startswith("parameters that"):
        allowed = {e["name"]: e.get("parameters", {}) for e in _catalogue().get(f"{name}s", ("", []))[1]}
        known = allowed.get(text.partition(":")[0])
        return message if known is None else f"{message}; it takes {', '.join(known) or 'none'}"
    return message + _nearest(text, re.findall(r"[\w/.]+", expected.partition(";")[0]))


def _folder(name, text):
    """Refuse a folder to write to that is a file, or lies below one."""
    from pathlib import Path

    for place in (Path(text), *Path(text).parents) if text is not None else ():
        if place.exists():
            if not place.is_dir():
                raise ValueError(
                    f"{name}: got {text!r}; expected a folder, such as {place.with_suffix('')}-out: {place} is a file"
                )
            return


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
    from ._core.log import log
    from ._core.paths import project_root
    from .datasets import DatasetUnavailable
    from .studies import figures, gallery

    if args.list or args.gallery:
        return _figures_listed(args)
    if args.check and args.quick:
        raise ValueError("check: got --check together with --quick; expected one of the two")
    if args.width and (args.check or args.quick or args.set):
        raise ValueError(
            "width: got --width together with --check, --quick or --set; expected it alone: it draws the table as it is"
        )
    changed = dict(_assignment(text) for text in args.set)
    if changed and (args.check or args.out is None):
        raise ValueError("set: got changed parameters; expected --out DIR (so the standard tables stay) and no --check")

    # what is asked for by name, by number, or by paper
    chosen = gallery.select(args.names, args.all) if args.names or args.all or not args.paper else []
    if args.paper:
        arxiv = gallery.paper_named(args.paper).arxiv
        chosen += [e for e in figures.experiments().values() if e.PAPER[0] == arxiv and e not in chosen]

    for experiment in chosen:
        if experiment.PAPER[2] == "stand-in":
            log.info("%s: a stand-in for %s, %s", experiment.NAME, gallery.place(experiment), gallery.STATUSES["stand-in"])

    # each figure: compare it with the committed one, or make it
    failed = False
    for experiment in chosen:
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
        elif args.width:
            for path in figures.typeset(experiment, args.width, args.out).values():
                print(path)
        else:
            figures.parameters_of(experiment, parameters=changed)  # refuses unknown ones before a word is printed
            print(gallery.announce(experiment, quick=args.quick, own=args.out is not None), flush=True)
            paths = figures.make(experiment, args.out, quick=args.quick, parameters=changed)
            for path in paths.values():
                print(path)
    if not (args.check or args.out or args.quick or args.width) and project_root() is not None:
        print(gallery.write())
    return int(failed)


def _figures_listed(args):
    """Print every figure with its place in a paper and its cost, or rewrite the page of figures/ in the checkout."""
    from ._core.log import log
    from .studies import figures, gallery

    if args.gallery:
        print(gallery.write())
        return 0
    arxiv = gallery.paper_named(args.paper).arxiv if args.paper else None
    shown = [e for e in figures.experiments().values() if arxiv in (None, e.PAPER[0])]
    log.info("figure, wall time of the committed table where it was computed, place in a paper, caption")
    for e in shown:
        print(f"{e.NAME:26} {gallery.cost(gallery.seconds(e)):>7}  {gallery.source(e):34} {e.SUMMARY}")
    return 0


def _assignment(text):
    import json

    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"set: got {text!r}; expected PARAMETER=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, {"True": True, "False": False, "None": None}.get(value, value)


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
                **{**given, **names, "steps": _integers("steps", given["steps"])},
                jobs=jobs,
                out=args.out or _default_out(given),
            )
    except ValueError as error:
        least = _least_steps(given) if "g < 2 in every step" in str(error) else ""
        raise ValueError(f"{error}{least}") from error
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
        print(f"\npaired differences, {pairs}")
    if len({row["steps"] for row in result.rows}) > 2:
        print(f"\nslopes of the error against N, log-log: {result.slopes()}")
    if result.refused:
        print(f"{len(result.refused)} combinations left out, the first: {result.refused[0]['reason']}")
    print(f"\n{result.computed} computed, {result.reused} reused")
    for path in (result.table, result.timings, result.provenance):
        print(path)
    return 0


def _default_out(given):
    """``results/sweep``, unless the table there has rows that this sweep lacks, and would be replaced without a word."""
    from pathlib import Path

    from ._core import files
    from .studies import sweep

    # a wrong name is the better message
    names = {name: given[name].split(",") for name in ("target", "sampler", "schedule", "metric")}
    for kind, texts in names.items():
        for text in texts:
            _ = sweep._metric(text) if kind == "metric" else sweep._resolve(kind, sweep.parse(kind, text)[0])

    record = Path("results/sweep/provenance.json")
    kept = files.read_json(record).get("arguments", {}) if record.is_file() else {}
    asked = {**names, "seeds": range(given["seeds"]), "steps": _integers("steps", given["steps"])}
    other = [name for name, values in asked.items() if not set(kept.get(name, ())) <= set(values)]
    other += [name for name in ("samples", "start") if kept.get(name, given[name]) != given[name]]
    if other:
        raise ValueError(
            f"out: got none; expected --out DIR, because results/sweep holds a sweep with other {', '.join(other)} "
            "(--out results/sweep replaces its table and keeps its records)"
        )
    return "results/sweep"


def _least_steps(given):
    """The least number of steps with which the backward sampler runs on each schedule asked for."""
    from .studies import sweep

    found = []
    for name in given.get("schedule", _SWEEP_DEFAULTS["schedule"]).split(","):
        for N in range(1, 1001):
            try:
                if sweep._call("schedule", name, N).g.max() < 2:
                    found.append(f"{name} N = {N}")
                    break
            except ValueError:  # a schedule with a least number of steps of its own
                continue
    return f"; the least: {', '.join(found)}" if found else ""


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
        width=args.width,
        out=args.out,
    ):
        print(path)
    return 0


def _report(args):
    from .studies.report import report

    print(report(args.dir, args.out, target=args.target, metric=args.metric, checks=args.checks, own_code=args.own_code))
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
        plot=args.plot,
        predicts=args.predicts,
        index=args.index,
    )


def _conform(args):
    from .conformance.command import run

    return run(args.target, dict(_assignment(text) for text in args.set), args.steps, args.precision, args.out, args.strict)


def _new(args):
    from .checks.new import run

    return run(args.what, args.name)


def _demo(args):
    from .studies.demo import run

    return run(args.out)


class _Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviated flags and suggests the nearest command, choice or flag."""

    def __init__(self, **options):
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message):
        got = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        names = re.findall(r"\w+", got[2]) if got else []
        if got is None and (got := re.search(r"unrecognized arguments: --([\w-]+)", message)):
            names = [flag[2:] for flag in self._flags() if flag.startswith("--")]
        near = _nearest(got[1], names) if got else ""
        super().error(message + (near.replace("did you mean ", "did you mean --") if "unrecognized" in message else near))

    def parse_args(self, args=None, namespace=None):
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_args(args, namespace)

    def _flags(self):
        """The flags of the command that was given, or of this parser where it has no commands."""
        command = next((a for a in self._given if not a.startswith("-")), "")
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command in action.choices:
                return action.choices[command]._option_string_actions
        return self._option_string_actions


def _finish(c, run, first, second, *folders):
    """Set what a command runs, the folders it writes to, and the two examples of its help."""
    c.set_defaults(run=run, folders=folders)
    c.formatter_class = argparse.RawDescriptionHelpFormatter
    c.description = None if c.description is None else textwrap.fill(c.description, 100)
    c.epilog = f"examples:\n  exactdiffusion {first}\n  exactdiffusion {second}"


def parser() -> argparse.ArgumentParser:
    """The argument parser; each command sets ``run``, a function of the parsed arguments that returns the exit code.

    Examples
    --------
    >>> parser().parse_args(["audit", "ideal", "--target", "digits"]).N
    50
    """
    top = _Parser(
        prog="exactdiffusion",
        description="Numerical checks of theorems about diffusion models, with scores and denoisers that are exactly known.",
    )
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument("--traceback", action="store_true", help="show where a bad argument was refused")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    c = commands.add_parser("list", help="statements, samplers, schedules, targets, metrics, figures")
    c.add_argument("filter", nargs="*", metavar="FILTER", help="kinds such as samplers, or parts of names; shows parameters")
    c.add_argument("--json", action="store_true", help="as JSON")
    _finish(c, _list, "list samplers", "list heun --json")

    c = commands.add_parser("verify", help="run theory checks and print the verdict table")
    c.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a paper, part of a theory file's name, or ./FILE.py of your own (it is run); default: all",
    )
    c.add_argument("--deep", action="store_true", help="the long variants too")
    c.add_argument("--quick", action="store_true", help="the first case of each test only")
    c.add_argument("--records", metavar="DIR", help="write the measurements of this run into DIR (JSON, Markdown, TOML)")
    c.add_argument("--check", action="store_true", help="compare the run with the committed theory/*/expected.toml")
    c.add_argument("--update", action="store_true", help="rewrite theory/*/expected.toml and paper_checks.md")
    c.add_argument("--from", dest="source", metavar="DIR", help="check or update with the records in DIR, in place of a run")
    c.add_argument("--out", metavar="ROOT", help="folder with theory/ and paper_checks.md (default: the checkout)")
    _finish(c, _verify, "verify projection", "verify ./prop_mine.py --records results/mine", "records")

    c = commands.add_parser("figures", help="remake figures and their tables")
    c.add_argument(
        "names", nargs="*", metavar="NAME", help="a figure, a group such as projection, or a paper's figure: projection:2"
    )
    c.add_argument("--all", action="store_true", help="every figure")
    c.add_argument("--paper", metavar="ID", help="every figure about a paper: an arXiv id such as 2306.04848, or projection")
    c.add_argument("--list", action="store_true", help="print the figures with their place in a paper and their cost")
    c.add_argument("--gallery", action="store_true", help="rewrite figures/README.md, the page of all figures")
    c.add_argument("--quick", action="store_true", help="cheaper parameters, drawn into figures/quick")
    c.add_argument(
        "--width",
        choices=("single", "double"),
        help="a PDF of 3.25 or 6.75 in and its caption for LaTeX, from the table at hand",
    )
    c.add_argument("--check", action="store_true", help="recompute a part of each table and compare; draws nothing")
    c.add_argument(
        "--set",
        metavar="PARAMETER=VALUE",
        action="append",
        default=[],
        help="change a parameter of the experiment (needs --out)",
    )
    c.add_argument("--out", metavar="DIR", help="folder of the drawings (tables go to its folder data)")
    _finish(c, _figures, "figures steps_versus_w2 --check", "figures projection --out drawn", "out")

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
    c.add_argument("--target", help="laws to sample; `exactdiffusion list targets` names them")
    c.add_argument("--sampler", help="`exactdiffusion list samplers` names them")
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
    c.add_argument("--out", metavar="DIR", help="default results/sweep if it holds no other sweep, or results/FILE")
    _finish(
        c,
        _sweep,
        "sweep --target dino --sampler ddim,heun --steps 5,10,20 --out results/mine",
        "sweep --target two_moons --sampler heun,mine.py:my_ddim --steps 10,20 --metric w2,distance",
        "out",
    )

    c = commands.add_parser("plot", help="draw a sweep: error against steps, oracle calls or seconds")
    c.add_argument("dir", metavar="DIR", help="a folder that sweep --out wrote")
    for name in ("target", "metric", "sampler", "schedule"):
        c.add_argument(f"--{name}", action="append", help=f"this {name} only; may be given several times")
    c.add_argument("--x", default="steps", help="steps (default), calls or seconds")
    c.add_argument("--width", help="for print: single (3.25 in) or double (6.75 in), names beside the lines")
    c.add_argument("--out", metavar="FILE", help="a .pdf, .png or .svg (default: DIR/plot.png and DIR/plot.svg)")
    _finish(c, _plot, "plot results/mine", "plot results/mine --metric w2 --x calls --width single --out figure.pdf")

    c = commands.add_parser("report", help="a sweep and the statements of its bounds as one HTML file that opens offline")
    c.add_argument("dir", metavar="DIR", help="a folder that sweep --out wrote")
    for name in ("target", "metric"):
        c.add_argument(f"--{name}", action="append", help=f"this {name} only; may be given several times")
    c.add_argument("--out", metavar="FILE", help="default: DIR/report.html")
    c.add_argument("--checks", metavar="DIR", help="a folder that verify --records wrote (default: the committed verdicts)")
    c.add_argument("--own-code", action="store_true", help="run the FILE.py:NAME of the sweep too, to show its samples")
    _finish(c, _report, "report results/mine", "report results/mine --metric w2 --out report.html")

    c = commands.add_parser(
        "audit",
        help="relative projection error, guarantee and admissible schedule of a denoiser of your own",
        description="Runs DDIM with fn(x, sigma) (x of shape (n, d), sigma an (n,) array or a number; returns the estimate "
        "of the clean x) and measures its error as an approximate projection onto the target's points.",
    )
    c.add_argument("fn", metavar="MODULE:FUNCTION", help="also FILE.py:FUNCTION, or 'ideal' (the target's own denoiser)")
    c.add_argument("--target", required=True, help="a point-cloud target, or a .npy, .csv, .tsv or .txt file of points")
    c.add_argument("--N", type=int, default=50, help="DDIM steps (default 50)")
    c.add_argument("--trajectories", type=int, default=200, help="starts (default 200)")
    c.add_argument("--seed", type=int, default=0, help="of the starts (default 0)")
    c.add_argument("--sigma-ratio", type=float, default=1e-4, help="last over first noise level (default 1e-4)")
    c.add_argument("--sigma-max", type=float, default=40.0, help="standard deviation of the start (default 40)")
    c.add_argument("--nu", type=float, help="width of the band; default: the smallest admissible, 2 for the recommendation")
    c.add_argument("--schedule", help="a schedule's name (e.g. ddpm) instead of log-linear levels from each row's distance")
    c.add_argument("--scalar-sigma", action="store_true", help="call fn row by row with one sigma")
    c.add_argument("--predicts", default="x0", help="what fn returns: x0 (default), noise, v or score")
    c.add_argument(
        "--index", default="sigma", help="what fn is given: sigma (default), alpha_bar, or t (linear DDPM, T = 1000)"
    )
    c.add_argument("--json", metavar="FILE", help="write the report there as JSON")
    c.add_argument("--plot", metavar="FILE", help="draw eta and the guarantees: a .png, .svg or .pdf")
    _finish(
        c,
        _audit,
        "audit ideal --target digits",
        "audit net.py:model --target cloud.npy --predicts noise --index t --plot audit.png",
    )

    c = commands.add_parser(
        "conform",
        help="judge a sampler of any library by the exact law of its output",
        description="Exit code 0: what was judged agrees; 1: something differs; 2: it cannot be judged, with the reason.",
    )
    c.add_argument(
        "target",
        metavar="TARGET",
        help="diffusers:CLASS, k_diffusion:FUNCTION, smalldiffusion:samples, one of ours, or FILE.py:NAME of a function "
        "f(denoiser, sigmas, x), or (law, grid, x) as sweep takes it, of a Subject, or of a function without arguments that "
        "returns a Subject",
    )
    c.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the sampler; may be repeated"
    )
    c.add_argument("--steps", default="5..320", help="FIRST..LAST (doublings) or integers and commas (default 5..320)")
    c.add_argument("--precision", default="float32,float64", help="default float32,float64")
    c.add_argument(
        "--strict",
        action="store_true",
        help="exit code 2 also where a declared order could not be read, or a slip may be hidden by rounding",
    )
    c.add_argument("--out", metavar="DIR", help="write the verdicts there as JSON and text")
    _finish(c, _conform, "conform heun", "conform mine.py:my_sampler --set order=2 --out verdicts", "out")

    c = commands.add_parser("new", help="begin a theorem: write its statement and its theory file, which pass as they stand")
    c.add_argument("what", metavar="theorem")
    c.add_argument(
        "name", metavar="NAME", help="NAME: one file of your own; PAPER/NAME, such as projection/shrinkage: in the checkout"
    )
    _finish(c, _new, "new theorem prop_mine", "new theorem projection/shrinkage")

    c = commands.add_parser("demo", help="the tour: three figures and the headline theorems, a minute of processor time")
    c.add_argument("--out", metavar="DIR", default="demo")
    _finish(c, _demo, "demo", "demo --out tour", "out")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (0 done, 1 a check failed, 2 a bad argument, 130 interrupted, 141 pipe closed).

    Examples
    --------
    >>> main(["audit", "ideal", "--target", "absent"])
    2
    """
    from ._core.log import show
    from ._core.threads import one_thread

    one_thread()  # before anything imports NumPy
    # POT imports each of these that is installed, a second for torch; it gets NumPy's arrays alone
    for library in ("PYTORCH", "JAX", "TENSORFLOW", "CUPY"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    show()
    from .datasets import DatasetUnavailable

    args = parser().parse_args(argv)
    try:
        for name in args.folders:
            _folder(name, getattr(args, name))
        code = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of a pipe (head) has seen enough; flushing at the exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # the exit code that shells report where SIGPIPE ended a program
    except KeyboardInterrupt:
        print(f"exactdiffusion {args.command}: interrupted", file=sys.stderr)
        return 128 + 2  # the exit code that shells report where SIGINT ended a program
    except (ValueError, DatasetUnavailable, ModuleNotFoundError) as error:
        if args.traceback:
            raise
        print(f"exactdiffusion {args.command}: {_with_help(args, str(error))}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that cannot be written, a name that is too long, a full disk
        if args.traceback:
            raise
        print(f"exactdiffusion {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
