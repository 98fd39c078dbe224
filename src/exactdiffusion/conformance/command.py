"""``exactdiffusion conform TARGET``: what a target names, and the run with its files."""

import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import samplers
from .._core.external import load_function
from .._core.typing import StrPath
from .._core.validation import fail
from .measurement import STEPS
from .subject import Subject, Unjudgeable
from .verdicts import Report, Verdict, judge

__all__ = ["conform", "errors_table", "run", "step_counts", "subject_of"]

LIBRARIES = ("diffusers", "k_diffusion", "smalldiffusion")
EXPECTED = (
    "diffusers:CLASS, k_diffusion:FUNCTION, smalldiffusion:samples, FILE.py:NAME of a function f(denoiser, sigmas, x) or "
    "(law, grid, x), of a Subject, or of a function without arguments that returns one, or a sampler of this package"
)
#: what a function must be that takes neither three arguments nor none
FUNCTIONS = (
    "a function f(denoiser, sigmas, x), or one without arguments that returns a Subject; write "
    "`def mine(): return {name}(...)` with the arguments filled in, and name `mine`"
)


def subject_of(target: str | Subject | Callable, **settings: Any) -> Subject:
    """The `Subject` that a text names, or a function ``f(denoiser, sigmas, x)``, or one without arguments that returns it.

    Raises
    ------
    ValueError
        for a text that names nothing, a function that raises, settings beside a Subject, or a setting that is not taken.
    Unjudgeable
        with the reason, for a sampler that has no exact output law here.
    ModuleNotFoundError
        if the library of the target is not installed.

    Examples
    --------
    >>> subject_of("heun").name
    'exactdiffusion:heun'
    """
    from .adapters import own, plain

    # one of ours, one of a library, or a function that the text names
    found: Any = target
    if isinstance(target, str):
        library, _, name = target.partition(":")
        if target in samplers.REGISTRY:
            return own.subject(target, **settings)
        if library in LIBRARIES and name:
            try:
                return importlib.import_module(f".adapters.{library}", __package__).subject(name, **settings)
            except ModuleNotFoundError as error:
                wanted = "exactdiffusion[conform]" if library == "diffusers" else f"--no-deps {library.replace('_', '-')}"
                raise ModuleNotFoundError(f"{target} needs {error.name}: pip install {wanted}") from None
        if ":" not in target:
            fail("target", target, f"{EXPECTED} ({', '.join(samplers.REGISTRY)})")
        found, _ = load_function("target", target, EXPECTED, (Subject,))

    # a function that needs no arguments returns the subject
    if callable(found):
        parameters = inspect.signature(found).parameters.values()
        if all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in parameters):
            try:
                found = found()
            except (Unjudgeable, ModuleNotFoundError):
                raise
            except (Exception, SystemExit) as error:
                fail("target", target, f"a function that returns a Subject; it raises {type(error).__name__}: {error}")

    # a subject as it is, a function through the adapter
    if isinstance(found, Subject):
        if settings:
            fail("set", settings, "no settings beside a Subject, which has its own")
        return found
    if not callable(found):
        fail("target", target, EXPECTED)
    places = [p for p in inspect.signature(found).parameters.values() if p.kind <= p.VAR_POSITIONAL]
    if len(places) < 3 and not any(p.kind is p.VAR_POSITIONAL for p in places):
        fail("target", target, FUNCTIONS.format(name=getattr(found, "__name__", "it")))
    if [p.name for p in places[:3]] == ["law", "grid", "x"]:  # as `sweep` takes it
        return own.subject(found, **settings)
    return plain.subject(found, **settings)


def step_counts(text: str) -> list[int]:
    """``5..320`` (doublings from the first to the last) or integers separated by commas.

    Examples
    --------
    >>> step_counts("5..40"), step_counts("7,9,30")
    ([5, 10, 20, 40], [7, 9, 30])
    """
    first, dots, last = text.partition("..")
    try:
        if not dots:
            return [int(part) for part in text.split(",")]
        low, high = int(first), int(last)
    except ValueError:
        fail("steps", text, "FIRST..LAST or integers separated by commas")
    if low < 2 or high < low:
        fail("steps", text, "FIRST..LAST with 2 <= FIRST <= LAST")
    counts = [low]
    while counts[-1] * 2 <= high:
        counts.append(counts[-1] * 2)
    return counts


def conform(
    target: str | Subject | Callable,
    *,
    steps: Sequence[int] = STEPS,
    precisions: Sequence[str] = ("float64", "float32"),
    strict: bool = False,
    **settings: Any,
) -> Report:
    """Judge a sampler by its exact output law on Gaussian targets.

    Parameters
    ----------
    target : str, Subject or callable
        As :func:`subject_of`.
    steps : sequence of int
    precisions : sequence of {"float64", "float32"}
    strict : bool
        A declared order that could not be read counts as "cannot be judged", and so do coefficients near those of a known
        slip, which rounding may hide.
    **settings
        Go to the adapter: constructor arguments of a scheduler, keywords of a function, ``grid=`` and ``order=`` of a plain
        function.

    Returns
    -------
    Report
        ``code`` is 0 (agrees), 1 (differs) or 2 (cannot be judged; the verdict says why).

    Examples
    --------
    >>> print(conform("heun", precisions=["float64"]).code)
    0
    """
    try:
        report = judge(subject_of(target, **settings), steps, precisions)
        report.strict = strict
        return report
    except Unjudgeable as error:
        report = Report(str(target))
        report.verdicts.append(Verdict("affine", "cannot", float("nan"), str(error)))
        return report


def run(target: str, settings: dict[str, Any], steps: str, precision: str, out: StrPath | None, strict: bool = False) -> int:
    """The command: print the table, write ``NAME.json`` and ``NAME.txt`` into ``out``, return the exit code.

    Examples
    --------
    >>> run("proximal_backward", {}, "5..20", "float64", None)
    proximal_backward: cannot be judged
      affine    cannot   proximal_backward: it asks for proximal maps; output_laws.gaussian gives its law
    nothing is said about its law
    2
    """
    report = conform(target, steps=step_counts(steps), precisions=precision.split(","), strict=strict, **settings)
    print(report.table())
    if report.errors:
        print(errors_table(report))
    if any(v.status == "cannot" for v in report.verdicts):
        print("nothing is said about its law")
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        stem = target.replace(":", "_").replace("/", "_").replace(".py", "")
        data = {"target": target, "settings": settings, **report.as_dict()}
        (folder / f"{stem}.json").write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
        (folder / f"{stem}.txt").write_text(report.table() + "\n", encoding="utf-8")
    return report.code


def errors_table(report: Report) -> str:
    """Steps against relative W2 per target deviation, as text.

    Examples
    --------
    >>> report = Report("mine", errors={5: [0.0] * 11})
    >>> print(errors_table(report).splitlines()[-1][:26])
         5  0.00e+00  0.00e+00
    """
    from .measurement import DEVIATIONS

    lines = ["relative W2 to the exact law, by steps (down) and standard deviation of the target (across)"]
    lines.append("     N" + "".join(f"{s:>10g}" for s in DEVIATIONS))
    for n, errors in report.errors.items():
        lines.append(f"{n:>6}" + "".join(f"{e:>10.2e}" if np.isfinite(e) else f"{'-':>10}" for e in errors))
    return "\n".join(lines)
