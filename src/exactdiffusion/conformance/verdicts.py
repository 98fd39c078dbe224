"""From measurements to verdicts: each with its number, and what would be right."""

import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .._core.arrays import to_numpy
from .._core.validation import choice, fail, integer
from ..output_laws.coefficients import NotRepeatable, Probe
from .catalogue import Match, nearest
from .measurement import DEVIATIONS, STEPS, Measurement, call_rows, measure, target
from .orders import ABOVE_FLOOR, Order, local_orders, order_of
from .subject import Subject, Unjudgeable
from .two_modes import TwoModesWorld, two_mode_error
from .widening import widened_subject
from .world import World

__all__ = ["AGREES", "CANNOT", "DIFFERS", "Report", "Verdict", "judge"]

#: exit codes
AGREES, DIFFERS, CANNOT = 0, 1, 2

#: a measured order counts as lower than declared when it falls short by more than this
SHORT = 0.4
#: rounding of quantiles found by bisection, relative to the law's deviation
MODES_FLOOR = 1e-12
#: a limit is missed when the error stays above this and falls with a local order below 1/2
MISSED = 1e-3
#: an order is read where the steps near a target get finer at least as fast as N to this power, and where an error of one
#: order less falls more slowly by it: at a fourth, the two are apart by 19 % at each doubling of N
FINER = 0.25
#: an error stays where the limits that are extrapolated with half and with all steps are equal to this share: the limits of
#: an error that falls with the order q are a factor 2^q apart
STAYS = 0.2
#: a start fits its first level within this: libraries start at 1 where the first level has 0.999
NEAR = 5e-3
#: a state is off its level where a point or a very wide target keeps an error above this
OFF_LEVEL = 0.02
#: the variances of two neighbouring steps are wrong when their ratios to the right ones stay away from 1 by more than this
WRONG_VARIANCE = 0.02
#: the median or total variance is wrong when its ratio to the right one stays away from 1 by more than this
WRONG_TOTAL = 0.01
#: coefficients this near to a slip's may be the slip's own, computed with tables in float32
ROUNDED = 1e-4
#: coefficients this near to a method's, and not equal, may be the method's with a weight that is off by a percent
NEARLY = 0.01
#: a grid is stretched by this share in log sigma, and its second difference counts as coarse above COARSE where it does
#: not fall with the square of the share: (8 STRETCH)^2 = 6e-7 for a smooth sampler on levels over a factor e^8, and about
#: 1e-3 at every share where weights are in float16
STRETCH, COARSE = 1e-4, 2e-5
#: rounding beyond that of float64 by far: some hundred operations leave 1e-13, tables in float32 1e-8
GRAIN = 1e-11
#: share by which a grid is stretched to see this rounding: a smooth second difference is (8 FINEST)^2 = 6e-13
FINEST = 1e-7
#: coefficients equal those of an entry of the catalogue: float64 rounding of some hundred operations
EQUAL = 1e-8


@dataclass(frozen=True)
class Verdict:
    """One answer.

    Attributes
    ----------
    kind : str
        "state", "batch", "precision", "grid", "end", "start", "calls", "level", "noise", "limit", "order", "scale",
        "affine", "modes", "resembles".
    status : {"agrees", "differs", "note", "cannot"}
        "note": measured, and nothing declared says what is right.
    number : float
    text : str
        What was measured, on what.
    right : str
        What would be right; empty where nothing differs.

    Examples
    --------
    >>> Verdict("order", "differs", 1.0, "order 1.00", "2, as declared").status
    'differs'
    """

    kind: str
    status: str
    number: float
    text: str
    right: str = ""


@dataclass
class Report:
    """All verdicts on one sampler.

    Attributes
    ----------
    name : str
    verdicts : list of Verdict
    errors : dict
        N -> relative W2 of the output to the exact law, per direction.
    family : str
        The family of what differs: "state", "batch", "precision", "grid", "end", "calls", "level", "noise", "multistep",
        "drift"; "" where nothing differs.
    matches : list of Match
        The nearest entries of the catalogue.
    declared : float or None
        The order that the sampler declares.
    further : str
        What may decide where the declared order was not read.
    strict : bool
        A declared order that was not read counts as "cannot be judged", and so does a known slip that rounding may hide.
    but : list of str
        What the first line says beside "agrees": targets on which nothing is known, or an error that stays.

    Examples
    --------
    >>> report = Report("mine")
    >>> report.add("order", "differs", 1.0, "order 1.00", "2, as declared")
    >>> print(report.table())
    mine: differs
      order     differs  order 1.00; right: 2, as declared
    >>> report.code, report.differs
    (1, ['order'])
    """

    name: str
    verdicts: list[Verdict] = field(default_factory=list)
    errors: dict[int, list[float]] = field(default_factory=dict)
    family: str = ""
    matches: list[Match] = field(default_factory=list)
    declared: float | None = None
    further: str = ""
    strict: bool = False
    but: list[str] = field(default_factory=list)

    def add(self, kind: str, status: str, number: float, text: str, right: str = "") -> None:
        self.verdicts.append(Verdict(kind, status, float(number), text, right))

    def of(self, kind: str) -> list[Verdict]:
        """The verdicts of a kind."""
        return [v for v in self.verdicts if v.kind == kind]

    @property
    def differs(self) -> list[str]:
        """Kinds of the verdicts that differ, in order."""
        return [v.kind for v in self.verdicts if v.status == "differs"]

    @property
    def code(self) -> int:
        """0 agrees, 1 differs, 2 cannot be judged: for 0, limit, order or all coefficients must agree, not only the grid."""
        short = self.strict and (self.unread or self.near_slip)
        statuses = {v.status for v in self.verdicts}
        law = {v.status for v in self.verdicts if v.kind in ("limit", "order", "resembles")}
        return (
            DIFFERS if "differs" in statuses else CANNOT if short or "cannot" in statuses or "agrees" not in law else AGREES
        )

    @property
    def resembles(self) -> str:
        """Name of the entry of the catalogue whose coefficients the sampler has, or the nearest one; "" for none."""
        return self.matches[0].entry.name if self.matches else ""

    @property
    def unread(self) -> bool:
        """The declared order could not be read off."""
        return self.declared is not None and all(v.status == "note" for v in self.of("order"))

    @property
    def near_slip(self) -> bool:
        """The coefficients are a known slip's but for what may be the rounding of tables."""
        return bool(self.matches and self.matches[0].entry.slip) and EQUAL < self.matches[0].distance <= ROUNDED

    def _agreed(self):
        """What agrees: everything that was judged, or, where no order was read, limit and coefficients by name."""
        if any(v.status == "agrees" for v in self.of("order")):
            return "agrees"
        agreed = {v.kind for v in self.verdicts if v.status == "agrees"}
        names = [name for kind, name in (("limit", "limit"), ("resembles", "coefficients")) if kind in agreed]
        return f"agrees in {' and '.join(names)}" + ("" if self.declared is not None else "; no order is declared")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "code": self.code,
            "family": self.family,
            "verdicts": [asdict(v) for v in self.verdicts],
            "deviations": DEVIATIONS.tolist(),
            "errors": {str(n): e for n, e in self.errors.items()},
            "nearest": [{"entry": m.entry.name, "distance": m.distance} for m in self.matches[:3]],
        }

    def table(self) -> str:
        """The verdicts as text, one a line."""
        words = {AGREES: self._agreed(), DIFFERS: "differs", CANNOT: "cannot be judged"}
        tail = f" ({self.family})" if self.family else ""
        if not tail and self.unread and all(v.status != "cannot" for v in self.verdicts):
            tail = f"; its order {self.declared:g} was not read{self.further and f' ({self.further})'}"
        if self.near_slip and self.code == AGREES:
            tail += f"; coefficients within {self.matches[0].distance:.1g} of a known slip's"
        tail += "".join(f"; {text}" for text in self.but if self.code == AGREES)
        lines = [f"{self.name}: {words[self.code]}{tail}"]
        for v in self.verdicts:
            lines.append(f"  {v.kind:<10}{v.status:<9}{v.text}" + (f"; right: {v.right}" if v.right else ""))
        return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------- judge


def judge(subject: Subject, steps: Sequence[int] = STEPS, precisions: Sequence[str] = ("float64", "float32")) -> Report:
    """Judge a sampler.

    Parameters
    ----------
    subject : Subject
    steps : sequence of int
        At least three step counts.
    precisions : sequence of {"float64", "float32"}
        "float64" is always run (the method); "float32" adds the run that a user gets.

    Returns
    -------
    Report
        Its ``code`` is 0 where everything that was judged agrees, 1 where something differs, 2 where nothing can be judged.
        A verdict speaks of the step counts, grids and Gaussian targets that were run and of no others.

    Raises
    ------
    ValueError
        naming the argument.

    Examples
    --------
    >>> from exactdiffusion.conformance.adapters import plain
    >>> def euler(denoiser, sigmas, x):
    ...     for a, b in zip(sigmas[:-1], sigmas[1:]):
    ...         x = x + (b - a) * (x - denoiser(x, a)) / a
    ...     return x
    >>> report = judge(plain.subject(euler, order=1), precisions=["float64"])
    >>> report.code, report.resembles
    (0, 'Euler (DDIM)')
    """
    if not isinstance(subject, Subject):
        fail("subject", subject, "a conformance.Subject (an adapter makes one)")
    asked = sorted({integer("steps", n, low=2) for n in steps})
    steps = [n for n in asked if n <= subject.max_steps]
    if len(steps) < 3:
        fail("steps", asked, f"at least three step counts from 2 to {subject.max_steps}, the largest that the sampler takes")
    for precision in precisions:
        choice("precisions", precision, ("float64", "float32"))

    # one kind of verdict after the other; what a sampler raises is an answer too
    found: list[Measurement] = []
    report = Report(subject.name, declared=subject.order, further=_further(subject, steps))
    if max(asked) > subject.max_steps:
        text = f"judged at N up to {steps[-1]}, not {max(asked)}: the sampler takes at most {subject.max_steps} (max_steps)"
        report.add("calls", "note", steps[-1], text)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            subject = _widened(subject, steps, report)
            found = _runs(subject, steps, report)
            if found:
                _handed(found, report)
                _affine(found, report)
                _grid(subject, found, report)
                if _good(found).any():
                    _numbers(subject, found, report)
                    _batch(subject, found[0], report)
                    if "float32" in precisions:
                        _float32(subject, found, report)
                    _kept(subject, found[0], found[1:2], report)
                    if found[0].coefficients.noise.shape[1] == 0:
                        _modes(subject, [m.steps for m in found], report, found)
        except Unjudgeable as error:
            report.add("affine", "cannot", np.nan, str(error))
            _modes(subject, steps, report)
        except NotRepeatable as error:
            if error.cause == "state":
                report.add("state", "differs", np.inf, str(error), "a run does not depend on the runs before it")
            else:
                report.add("affine", "cannot", np.nan, str(error))
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__} at {_place(error)}: {str(error)[:400]}"
            report.add("affine", "cannot", np.nan, text)
    if report.code == CANNOT and not any(v.status == "cannot" for v in report.verdicts):
        report.add("limit", "cannot", np.nan, f"neither limit, order nor coefficients could be read at N up to {steps[-1]}")
    if subject.judged_as:
        report.add("affine", "note", np.nan, subject.judged_as)
    report.family = _family(subject, report, found)
    return report


def _further(subject, steps):
    """What may decide where an order is not read: twice the steps, or another grid where the sampler does not take them."""
    if 2 * steps[-1] <= subject.max_steps:
        return f"--steps {steps[0]}..{2 * steps[-1]} goes further"
    return f"more than {subject.max_steps} steps are not taken: a grid with finer last steps may decide"


def _place(error):
    """The function in which an error was raised; for one of ours, the public function that refused."""
    ours = str(Path(__file__).parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        inner = frame.filename.startswith(ours)
        if not (inner and (frame.name.startswith("_") or Path(frame.filename).name == "validation.py")):
            return frame.name
    return frames[-1].name


def _runs(subject, steps, report):
    """The measurements of the method: float64, tables widened. A sampler may refuse few steps; this is reported."""
    found, refused = [], []
    for n in steps:
        try:
            found.append(measure(subject, n, repeat=n <= 80))
        except NotRepeatable:
            raise
        except Exception as error:
            refused.append(n)
            if found or isinstance(error, Unjudgeable) or n == steps[-1]:
                if len(found) >= 3:
                    ran = ",".join(str(m.steps) for m in found)
                    text = (
                        f"the sampler runs with N = {ran}: `--steps {ran}` judges it there, max_steps={found[-1].steps} too"
                    )
                    report.add("calls", "note", found[-1].steps, text)
                raise
            reason = f"{type(error).__name__}: {str(error)[:120]}"
            continue
        report.errors[n] = [float(e) for e in found[-1].error]
    if refused:
        report.add("calls", "note", refused[-1], f"N = {', '.join(map(str, refused))}: the sampler raises {reason}")
    return found


def _widened(subject, steps, report):
    """The sampler with its float32 tables widened where its adapter did not do it, which is seen by a law that moves."""
    wide = widened_subject(subject)
    if wide is subject:
        return subject
    for n in steps:
        try:
            # repeated, so that a state that is kept between runs is not taken for a rounding
            plain, other = measure(subject, n), measure(wide, n, repeat=False)
        except Exception:
            continue  # a sampler may refuse few steps, which the runs report
        at, good = plain.judged, plain.coefficients.affine & other.coefficients.affine
        size = np.hypot(other.mean[at], other.deviation[at])
        gap = np.hypot(plain.mean[at] - other.mean[at], plain.deviation[at] - other.deviation[at]) / size
        worst = float(np.nanmax(np.where(good & (size > 0), gap, 0.0)))
        if not worst > GRAIN:
            return subject
        text = (
            f"tables that are computed in float32 move the law by {worst:.1g} (N = {n}), and would hide slips below that; "
            "verdicts on the method are made with tables in float64"
        )
        report.add("precision", "note", worst, text)
        return wide
    return subject


def _affine(found, report):
    """Which directions are affine at all step counts; Unjudgeable where fewer than three are."""
    masks = np.array([m.coefficients.affine for m in found])
    finite = np.array([m.coefficients.finite for m in found])
    if not finite.all():
        bad = [m.steps for m, row in zip(found, finite) if not row.all()]
        report.add("precision", "differs", len(bad), f"NaN or inf in float64 at N = {bad}", "finite states")
    good = masks.all(axis=0)
    if good.all():
        report.add("affine", "agrees", max(m.coefficients.residual.max() for m in found), "superposition holds to rounding")
        return

    # where few steps fail, rounding has hardly grown and its size names the precision
    first = next(m for m in found if not m.coefficients.affine.all())
    fails = _rounding(float(np.median(first.coefficients.residual.max(axis=0)[~first.coefficients.affine])))

    # three directions are enough for a verdict on them
    usable = [float(DEVIATIONS[j]) for j in np.flatnonzero(good)]
    if finite.all() and len(usable) < 3:
        raise Unjudgeable(
            f"the sampler is not affine in start and noise on a Gaussian target: superposition fails by {fails} (clipping, "
            "thresholding, adaptive steps, or a seeded noise of its own, which the adapter must answer)"
        )
    if finite.all():
        report.but.append(f"not affine at target deviations {', '.join(f'{s:g}' for s in DEVIATIONS[~good])}")
        report.add(
            "affine",
            "note",
            len(usable),
            f"not affine at all scales (superposition fails by {fails}): judged at target deviations {usable} only",
        )


def _handed(found, report):
    """The precision of the states that a sampler hands over in a run in float64."""
    eps = _eps(found)
    if eps > np.finfo(np.float64).eps:
        kind, wrong = "float32" if eps < COARSE else "float16", eps > COARSE
        text = f"states are handed over in {kind}, where float64 was given: errors below {eps:.1g} are not seen"
        report.add("precision", "differs" if wrong else "note", eps, text, "states in float64" if wrong else "")
        report.further = f"its states are in {kind}, and more steps do not help"


def _rounding(size):
    """A failure of superposition, with the precision whose rounding is as large."""
    for name, low, high in (("float32", 2.0**-25, 2.0**-20), ("float16 or bfloat16", 2.0**-12, 2.0**-4)):
        if low <= size <= high:
            return f"{size:.1g}, as rounding in {name} does"
    return f"{size:.1g}"


def _eps(found):
    """Rounding unit of the states."""
    return max(m.coefficients.eps for m in found)


def _good(found):
    """Directions that are affine and finite at every step count."""
    return np.array([m.coefficients.affine for m in found]).all(axis=0)


def _numbers(subject, found, report):
    """Levels, calls, start, end, scale, noise, order and limit, and the nearest entry of the catalogue."""
    good = _good(found)
    _level(subject, found, report)
    _calls(subject, found, report)
    _start(found, report)
    _end(found, good, report)
    if subject.scalable:
        _scale(subject, found, report)
        _smooth(subject, found[1], report)
    _grain(subject, found, good, report)
    _noise(found, good, report)
    _order(subject, found, good, report)
    for other in subject.others:
        further = [measure(other, m.steps, repeat=False) for m in found if m.steps >= 10]
        _order(other, further, _good(further) & good, report, f" on the {other.name}")
    if "limit" in report.differs and found[0].coefficients.noise.shape[1] == 0:
        _own(subject, found, report)
    _resembles(subject, found, good, report)


# ---------------------------------------------------------------------------------------------------- grid and calls


def _declared(subject, steps):
    """The declared levels for this number of steps; ValueError where they are no such array."""
    given = subject.grid(steps, 1.0)
    levels = np.asarray(given)
    if levels.shape != (steps + 1, 2) or levels.dtype.kind not in "fiu":
        fail(f"grid({steps}, 1.0)", given, f"an array of (scale, sigma) of shape ({steps + 1}, 2), one row per level")
    return levels


def _grid(subject, found, report):
    """Declared levels against recorded ones; levels that do not fall."""
    # neighbours that are equal, or rise
    flat = []
    for m in found:
        ratios = m.ratios
        finite = ratios[np.isfinite(ratios)]
        if np.any(finite[1:] >= finite[:-1] * (1 - 1e-5)):
            flat.append(m.steps)
    if flat:
        text = f"two neighbouring levels are equal (to 1e-5) or rise at N = {flat}"
        report.add("grid", "differs", len(flat), text, "every step lowers the noise level")
    if subject.grid is None:
        return

    # declared levels against states or, where only start and end are known, against the model's levels
    worst, raised, early = 0.0, 0.0, ""
    for m in found:
        declared = _declared(subject, m.steps)

        # the last level, also where none between is known
        last = declared[-1, 1] / declared[-1, 0]
        if m.ratios[-1] > 0 and last > 0 and (gap := float(_apart(m.ratios[-1], last))) > 1e-5:
            worst = max(worst, gap)
            early = f"the run ends at noise ratio {m.ratios[-1]:.6g}, and {last:.6g} is declared, at N = {m.steps}"

        # all levels
        used = m.levels if len(m.levels) == len(declared) else None
        if used is None:
            asked = m.call_ratios
            with np.errstate(divide="ignore"):
                wanted = declared[:-1, 1] / declared[:-1, 0]
            gaps = [float(np.min(_apart(asked, w), initial=np.inf)) for w in wanted]
            missed = [w for w, gap in zip(wanted, gaps) if gap > 1e-5]
            if missed and all(_asked(asked, w, _churn(m)) for w in missed):
                raised = max(raised, max(gaps))
                continue
            worst = max(worst, max(gaps))
        else:
            with np.errstate(divide="ignore"):
                gap = _apart(m.ratios, declared[:, 1] / declared[:, 0])
            worst = max(worst, float(np.nanmax(np.where(np.isfinite(gap), gap, 0.0))))

    # the worst of all runs
    if early:
        report.add("grid", "differs", worst, early, "the last declared level")
    elif worst > 1e-5:
        text = f"a used level differs from the declared one by a factor e^{worst:.3g}"
        if used is None:
            text = f"the model is not asked at a declared level: the nearest one is off by a factor e^{worst:.3g}"
        if len(m.calls) == 0:
            text = "the model is never asked"
        report.add("grid", "differs", worst, text, "the declared levels")
    elif raised:
        text = "the model is asked above declared levels, by at most a factor sqrt 2: is noise added before a call?"
        report.add("grid", "note", raised, text)
    else:
        report.add("grid", "agrees", worst, "every declared level is used")


def _apart(ratio, other):
    """|log(ratio / other)|: 0 for equal ones, which may be 0 or infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ratio == other, 0.0, np.abs(np.log(ratio / other)))


def _churn(m):
    """Largest factor by which a sampler raises a level with noise before it asks: at most sqrt 2, and 1 without noise."""
    return np.sqrt(2.0) if m.coefficients.noise.shape[1] else 1.0


def _level(subject, found, report):
    """Levels at which the model is asked against the levels of the run, and the timesteps' levels against the steps'."""
    # calls outside the run, or a level of a state at which no call is made
    m = found[len(found) // 2]
    asked, ratios = m.call_ratios, m.ratios
    churn = _churn(m)
    high, low = ratios[0] * churn, max(ratios[-1], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        outside = asked[(asked > high * (1 + 1e-5)) | (asked < low * (1 - 1e-5))]
    if len(outside):
        run = f"the run is between {high:.4g} and {low:.4g} (N = {m.steps})"
        text = f"the model is asked at noise ratio {outside[0]:.4g} while {run}"
        report.add("level", "differs", len(outside), text, "levels between start and end of the run")
    elif len(ratios) == m.steps + 1:
        missing = [float(r) for r in ratios[:-1] if np.isfinite(r) and not _asked(asked, r, churn)]
        if missing:
            share = f"{len(missing)} of {m.steps} levels"
            text = f"the state passes noise ratio {missing[0]:.4g}, and the model is not asked there ({share})"
            report.add("level", "differs", len(missing), text, "the model is asked at the level of the state")
        else:
            report.add("level", "agrees", 0.0, "the model is asked at the levels of the run")

    # timesteps that were rounded
    worst = max((m.mismatch for m in found), default=np.nan)
    if worst > 1e-3:
        # the model may answer at the level of its timestep: the same run with it asked there
        other = measure(subject, m.steps, oracle="timestep", repeat=False)
        moved = (float(np.nanmedian(k.error[_good(found) & (DEVIATIONS > 0) & (DEVIATIONS <= 1.0)])) for k in (m, other))
        own, its = moved
        text = (
            f"sigma of a timestep and sigma of its step differ by up to a factor e^{worst:.3g}; median relative W2 "
            f"{own:.3g} with the model asked at the step's sigma, {its:.3g} at the timestep's (N = {m.steps})"
        )
        report.add("level", "note", worst, text)


def _asked(asked, ratio, churn):
    """Whether the model is asked at a level, or above it by no more than the churn."""
    return bool(np.any((asked >= ratio * (1 - 1e-5)) & (asked <= ratio * churn * (1 + 1e-5))))


def _calls(subject, found, report):
    """Number of model calls."""
    counts = {m.steps: len(m.calls) for m in found}
    if subject.calls is None:
        n, count = next(reversed(counts.items()))
        report.add("calls", "note", count, f"{count} model calls for N = {n}")
        return
    wrong = [n for n, count in counts.items() if count != subject.calls(n)]
    if wrong:
        n = wrong[-1]
        report.add("calls", "differs", counts[n], f"{counts[n]} model calls for N = {n}", f"{subject.calls(n)}, as declared")
    else:
        report.add("calls", "agrees", counts[found[-1].steps], "the declared number of model calls")


# ------------------------------------------------------------------------------------------------------ start and end


def _start(found, report):
    """The start that the library prescribes against the law of its first level for data of deviation 0 to 1."""
    m = found[len(found) // 2]
    if m.start_deviation is None:
        return
    scale, sigma = m.levels[0]
    low, high = sigma, float(np.hypot(scale, sigma))
    inside = low * (1 - NEAR) <= m.start_deviation <= high * (1 + NEAR)
    text = (
        f"the library starts at deviation {m.start_deviation:.6g}, its first level has {low:.6g} to {high:.6g} "
        "for data of deviation 0 to 1"
    )
    miss = max(np.log(low / m.start_deviation), np.log(m.start_deviation / high), 0.0)
    report.add("start", "agrees" if inside else "differs", miss, text, "" if inside else f"{low:.6g} to {high:.6g}")


def _end(found, good, report):
    """Final level reached by a target that is one point: there the output has the deviation of the level."""
    m = found[-1]
    scale, sigma = m.levels[-1]
    if sigma == 0:
        # beside it, what an exact run with a last denoising step leaves
        worst = float(np.nanmax(np.where(good, m.end_error, 0.0)))
        floor = float(np.nanmax(np.abs(m.floor - m.target.deviation * scale)[1:] / m.target.deviation[1:]))
        text = (
            f"at level 0 the output differs by up to {worst:.3g} at N = {m.steps}; "
            f"an exact run with a last denoising step leaves up to {floor:.3g}"
        )
        report.add("end", "note", worst, text)
        return
    if not good[0]:
        return

    # the level that a point has at the end
    reached = m.deviation[-1, 0] / scale
    ratios = m.ratios
    if not 0 < reached < np.inf:
        report.add("end", "note", reached, f"a point ends with deviation {reached:g} at level {ratios[-1]:.6g}")
        return
    gap = float(np.log(reached / ratios[-1]))
    text = f"a point ends with deviation {reached:.6g} at level {ratios[-1]:.6g}"

    # a run that stops early does so by as many levels at every number of steps, and an error that is near a level by chance
    # does not; on a geometric grid the variance of Euler-Maruyama lags by a level, and so noise is left out
    earlier = [_earlier(f) for f in found[-2:]]
    noise = m.coefficients.noise.shape[1] > 0
    if not noise and None not in earlier and earlier[0][1] == earlier[1][1]:
        level = f"{text}: that is the earlier level {earlier[1][0]:.6g}"
        report.add("end", "differs", gap, level, f"{ratios[-1]:.6g}")
    else:
        report.add("end", "note" if abs(gap) > 1e-2 else "agrees", gap, text)


def _earlier(m):
    """The level before the last one at which a point ends, to 2 % of the last step, and its place from the end; or None."""
    reached, ratios = m.deviation[-1, 0] / m.levels[-1, 0], m.ratios
    levels = _falling(np.concatenate([ratios, m.call_ratios]))
    levels = levels[levels > ratios[-1] * (1 + 1e-9)]
    if len(levels) == 0 or not 0 < reached < np.inf:
        return None
    gaps = np.abs(np.log(levels / reached))
    near = int(np.argmin(gaps))
    return (levels[near], len(levels) - near) if gaps[near] < 0.02 * np.log(levels[-1] / ratios[-1]) else None


def _scale(subject, found, report):
    """Equivariance: the same relative error when grid and target are scaled together."""
    units = (1e-3, 1.0, 1e3)

    runs: list[Measurement] = []

    def errors(m):
        runs[:] = [measure(subject, m.steps, unit=unit, aim=target(unit), repeat=False) for unit in units]
        return np.array([float(np.sqrt(np.mean(run.error[1:8] ** 2))) for run in runs])

    values = errors(found[1])
    bent = [f"{unit:g}" for unit, run in zip(units, runs) if not run.coefficients.affine[1:8].all()]
    if bent:
        report.add("scale", "note", len(bent), f"not judged: the sampler is not affine at scale {', '.join(bent)}")
        return
    spread = float(np.max(values) - np.min(values)) / max(float(np.min(values)), 1e-9)
    text = ", ".join(f"{e:.4g}" for e in values) + f" at scales 1e-3, 1, 1e3 (N = {found[1].steps})"
    if spread <= max(1e-4, 10 * _eps(found)):
        report.add("scale", "agrees", spread, f"equal relative errors {text}")
        return

    # a method that knows a unit of length, the time of a process for example, still converges at every scale
    halfway, last = errors(found[-2]), errors(found[-1])
    if np.all((last <= MISSED) | (last < halfway / np.sqrt(2.0))):
        text += f", and {', '.join(f'{e:.2g}' for e in last)} at N = {found[-1].steps}"
        report.add("scale", "note", spread, f"the method knows a unit of length: relative errors {text}")
        return
    right = "three equal errors (a power of sigma is wrong, or a constant is added, where they differ)"
    report.add("scale", "differs", spread, f"relative errors {text}", right)


def _smooth(subject, m, report):
    """Second difference of the output deviation in the grid's log sigma: coarse where a number is kept in few digits."""
    bends = [_bend(subject, m, part) for part in (10 * STRETCH, STRETCH)]

    # a smooth second difference falls a hundredfold
    if bends[1] > COARSE and bends[1] > 0.1 * bends[0]:
        text = f"grids stretched by {STRETCH:g} and twice that move the output by steps of {bends[1]:.2g} (N = {m.steps})"
        report.add("precision", "differs", bends[1], f"{text}, in float64", "a smooth change")
    else:
        report.add("precision", "agrees", bends[1], "the output law changes smoothly with the grid, in float64")


def _bend(subject, m, part):
    """Largest second difference of the output deviation as the grid is stretched by ``part``, relative to the deviation."""
    good = m.coefficients.affine & (DEVIATIONS > 0)
    size = np.where(m.deviation[-1] > 0, m.deviation[-1], 1.0)
    one, two = (measure(subject, m.steps, stretch=k * part, repeat=False).deviation[-1] for k in (1, 2))
    return float(np.max(np.where(good, np.abs(m.deviation[-1] - 2 * one + two) / size, 0.0)))


def _grain(subject, found, good, report):
    """Rounding that is left in runs in float64: a note with its size, since slips below it are not seen.

    It shows where a grid that comes from outside is stretched by next to nothing, and in the law of a point, which most
    methods keep but for rounding. A method that does not keep it has a larger error at few steps, which falls as 1 / N.
    """
    grain, where = 0.0, ""
    if subject.scalable:
        # a smooth second difference grows a hundredfold with the share tenfold, a rounding does not
        grain, where = _bend(subject, found[1], FINEST), f"as the grid is stretched by {FINEST:g}"
        if grain > GRAIN and _bend(subject, found[1], 10 * FINEST) > 10 * grain:
            grain = 0.0
    point = [float(m.error[0]) for m in found]
    stays = point[-1] * found[-1].steps > point[0] * found[0].steps
    if good[0] and min(point) > GRAIN and grain < max(point) < ROUNDED and stays:
        grain, where = max(point), "in the law of a point"
    if grain > GRAIN:
        text = (
            f"in float64 a rounding of {grain:.1g} is left, {where}: a slip that moves the law by less is not seen "
            "(tables in float32? the adapter may make them float64)"
        )
        report.add("precision", "note", grain, text)


# -------------------------------------------------------------------------------------------------------- the method


def _shares(m):
    """Ratio of injected to right variance, step by step, for a target that is one point; nan in steps without a say."""
    c = m.coefficients
    if c.noise.shape[1] == 0 or len(m.levels) < 4:
        return np.array([])
    gain, spread = c.gain[:, 0], np.sum(c.noise[:, :, 0] ** 2, axis=1)
    sigma = m.levels[:, 1]
    ratio = np.full(len(gain) - 1, np.nan)
    for i in range(len(gain) - 1):
        a2 = (gain[i + 1] / gain[i]) ** 2 if gain[i] != 0 else np.nan
        injected, right = spread[i + 1] - a2 * spread[i], sigma[i + 1] ** 2 - a2 * sigma[i] ** 2
        if right > 1e-6 * sigma[i + 1] ** 2:
            ratio[i] = injected / right
    return ratio


def _late(before, last):
    """Two neighbouring steps of the second half whose variance is wrong by the same factor with half and with all steps.

    The steps of both runs are compared at equal levels, where an error of discretisation falls with the step length and a
    slip stays. A step that adds no noise is right.

    Returns
    -------
    tuple of float or None
        Of the worst such pair, the ratio nearer to 1 and the noise ratio after its step; None where there is no such pair.
    """
    gaps = []
    for m in (before, last):
        shares = _shares(m)
        own = np.isfinite(shares) & (np.abs(shares) > 1e-3) & (m.ratios[1:] > 0)
        gaps.append(np.where(own, shares - 1, 0.0)[: np.sum(m.ratios[1:] > 0)])
    old, new = (np.abs(gap) for gap in gaps)

    # np.interp takes rising levels, and levels fall along a run
    levels, coarse = (np.log(m.ratios[: len(gap) + 1]) for m, gap in ((last, new), (before, old)))
    at_equal, length = (np.interp(levels[1:], coarse[:0:-1], values[::-1]) for values in (old, -np.diff(coarse)))

    # steps that are no shorter there, by one timestep for example, say nothing
    wrong = (
        (new > WRONG_VARIANCE) & (new > 0.7 * at_equal) & (at_equal > WRONG_VARIANCE) & (-np.diff(levels) < 0.75 * length)
    )
    wrong, levels = np.where(wrong, new, 0.0), levels[1:]

    # the worst of two neighbours counts by its better step
    pairs = np.minimum(wrong[:-1], wrong[1:])
    pairs[: len(new) // 2] = 0.0
    if not pairs.any():
        return None
    at = int(np.argmax(pairs))
    at += int(new[at + 1] < new[at])
    return float(1 + gaps[1][at]), float(np.exp(levels[at]))


def _noise(found, good, report):
    """Variance of the injected noises."""
    if not good[0]:
        return
    m = found[-1]
    if m.coefficients.noise.shape[1] == 0:
        return

    # step by step where the states are known, and in total
    readings = []
    pair = [_shares(found[-2]), _shares(m)]
    if all(np.isfinite(p).any() for p in pair):
        ratios = [float(np.nanmedian(p)) for p in pair]
        text = f"a noise has {ratios[1]:.6g} times the variance that keeps the law of a point "
        text += f"(median over steps, N = {m.steps})"
        readings.append((ratios, text, "1 step by step"))
    totals = [(f.deviation[f.judged, 0] / f.levels[f.judged, 1]) ** 2 for f in found[-2:] if f.levels[f.judged, 1] > 0]
    if len(totals) == 2 and _shorter(found[-2:]):
        text = f"the output variance of a point is {totals[1]:.6g} times the right one (N = {m.steps})"
        readings.append((totals, text, "1 in total"))

    # a ratio that tends to 1 is no slip
    for (before, last), text, right in readings:
        if abs(last - 1) > WRONG_TOTAL and abs(last - 1) > 0.7 * abs(before - 1):
            report.add("noise", "differs", last, text, right)
            return
        if right == "1 step by step" and (late := _late(found[-2], m)) is not None:
            text += f", and {late[0]:.6g} times in neighbouring steps near noise ratio {late[1]:.4g}"
            report.add("noise", "differs", late[0], text, right)
            return
    if readings:
        (_, last), text, _ = readings[0]
        report.add("noise", "agrees", last, text)


def _shorter(found):
    """Whether the last step, which a point sees, gets shorter as 1 / N, to a fifth.

    With timesteps that are trailing, the last steps divide the level by nearly the same number whatever N is, and an error
    that they make is no slip.
    """
    levels = [np.log(m.passed[np.isfinite(m.passed)]) for m in found]
    if any(len(level) < 2 for level in levels):
        return False
    lengths = [level[-2] - level[-1] for level in levels]
    pairs = zip(pairwise(lengths), pairwise(m.steps for m in found))
    return all(fine <= 1.2 * coarse * few / many for (coarse, fine), (few, many) in pairs)


def _own(subject, found, report):
    """Whether a sampler that asks for no noise adds numbers of its own: with mean 0 a start of 0 must stay 0.

    A noise that it draws with a seed of its own is such numbers, equal in every run, and leaves a law that is too narrow.
    """
    m = found[0]
    aim = replace(target(), mean=np.zeros(len(DEVIATIONS)))
    added = np.abs(measure(subject, m.steps, aim=aim, repeat=False).coefficients.constant[-1])
    worst = float(np.max(np.where(_good(found), added, 0.0)))
    if worst > 1e-6:
        text = (
            f"with data of mean 0 a start of 0 ends at {worst:.3g} (N = {m.steps}): the sampler adds numbers of its "
            "own, and where they are a noise with a seed of its own, the adapter must answer it"
        )
        report.add("noise", "note", worst, text)


@dataclass(frozen=True)
class _Errors:
    """Errors of the law by step count on the directions that decide, in one norm and one by one.

    Attributes
    ----------
    steps : ndarray, shape (k,)
    errors : ndarray, shape (k, d)
    local : ndarray, shape (k - 1, d)
        Local orders.
    chosen : ndarray of bool, shape (d,)
        Directions that decide.
    norm : Order or None
        Order of the largest error over the chosen directions: it does not vanish where one direction's leading term does.
    each : dict
        Target deviation -> order of its error, where that settles.
    last : list of float
        Last local order of each chosen direction that has one.
    used : int
        Largest step count whose largest error is above the rounding floor.
    coarse : ndarray
        Target deviations that do not decide because the steps near them are longer than 1 or get no finer.
    rest : dict
        Target deviation -> error that stays as the steps get finer, where three extrapolations agree on it.
    """

    steps: np.ndarray
    errors: np.ndarray
    local: np.ndarray
    chosen: np.ndarray
    norm: Order | None
    each: dict[float, Order]
    last: list[float]
    used: int
    coarse: np.ndarray
    rest: dict[float, float] = field(default_factory=dict)

    def low(self, order):
        """Directions whose order is below this; not those below 1/2, whose error hardly falls and is not yet asymptotic."""
        return {s: o for s, o in self.each.items() if o.below(order) and o.reaches(0.5)}

    def short(self, order, started=False):
        """The order is below this: in the norm and on half of the directions that can be read.

        A first step of low order shows on wide targets only. Where there is none (``started``), half of all directions are
        enough if the norm is not read. One direction alone is no evidence: its error may be about to change its sign.
        """
        low = len(self.low(order))
        if self.norm is not None and self.norm.below(order):
            return 2 * low >= len(self.each) > 0
        return started and 2 * low >= self.chosen.sum() and not (self.norm is not None and self.norm.reaches(order))

    def weak(self, declared):
        """Why an order that reaches the declared one is not evidence for it; "" where it is.

        A corrector, or a stochastic method, gains one order. Local orders further above the declared one belong to errors
        that are not near their limit yet, unless all targets have the same.
        """
        if self.chosen.sum() == 1:
            return "one target alone does not decide"
        most = declared + 1 + SHORT
        equal = len(self.each) == self.chosen.sum() and all(
            abs(o.value - self.norm.value) < SHORT for o in self.each.values()
        )
        if self.norm is not None and self.norm.low > most and not equal:
            return "the errors fall faster than a method of this order has them fall, and more steps are needed to decide"
        return ""


def _errors(found, good, order=None, exact=0):
    """The errors of these measurements, on directions where the start-up steps of a multistep method carry no weight.

    Orders are read against the mean step that a target sees, which is 1 / N up to a factor on most grids: some have a few
    steps that get no finer.
    """
    steps = np.array([m.steps for m in found], dtype=float)
    errors = np.array([m.error for m in found])
    eps = _eps(found)
    floor = ABOVE_FLOOR * 50 * eps * np.sqrt(steps)[:, np.newaxis] * np.ones(errors.shape[1])
    first = min(m.ratios[0] for m in found)

    # reciprocal mean steps; a point sees none, and N stands for them
    power = order or 1.0
    fine = 1.0 / np.array([m.mean_step(power, exact) for m in found])
    fine = np.where(np.isfinite(fine).all(axis=0), fine, steps[:, np.newaxis])

    # steps that get finer, and in which an error of one order less, of the size sum du h^(p - 1), can be told from this one
    finer = _finer(fine, steps)
    if power > 1:
        less = np.array([m.mean_step(power - 1, exact) ** (power - 1) for m in found])
        apart = less * fine**power
        finer &= _finer(np.where(np.isfinite(apart) & (apart > 0), apart, steps[:, np.newaxis]), steps)

    # directions: affine, small against the first level, not small against the last one, and steps that get finer
    last = max(m.ratios[m.judged] if m.ratios[m.judged] > 0 else m.last_ratio for m in found[-2:])
    chosen = good & (DEVIATIONS > 0) & (first / 40 >= DEVIATIONS) & (last <= DEVIATIONS)
    if not chosen.any():
        chosen = good & (DEVIATIONS > 0) & (DEVIATIONS <= 1.0)
    coarse = DEVIATIONS[chosen & ~finer[-1]]
    if (chosen & finer[-1]).any():
        chosen &= finer[-1]

    # every direction, and the largest error, which the largest mean step goes with
    local = np.where(finer, local_orders(fine, errors, floor), np.nan)
    columns = {float(DEVIATIONS[j]): local[np.isfinite(local[:, j]), j] for j in np.flatnonzero(chosen)}
    each = {s: order for s, column in columns.items() if (order := order_of(column)) is not None}
    largest = np.max(np.where(chosen, errors, 0.0), axis=1)
    least = np.min(np.where(chosen, fine, np.inf), axis=1)[:, np.newaxis]
    whole = np.where(_finer(least, steps), local_orders(least, largest[:, np.newaxis], floor[:, :1]), np.nan)[:, 0]
    above = steps[largest > floor[:, 0]]
    ends = [float(column[-1]) for column in columns.values() if len(column)]
    used = int(above[-1]) if len(above) else 0
    # an error that stays is not read at level 0, where the last step alone leaves one
    known = len(found) > 4 and all(m.levels[m.judged, 1] > 0 for m in found)
    rest = _rest(found, fine, chosen & finer[-4:].all(axis=0)) if known else {}
    return _Errors(steps, errors, local, chosen, order_of(whole), each, ends, used, coarse, rest)


def _finer(fine, steps):
    """Whether mean steps are below 1 and fall from one step count to the next as N^-FINER at least, shape (k - 1, d)."""
    grows = np.log(fine[1:] / fine[:-1]) >= FINER * np.log(steps[1:] / steps[:-1])[:, np.newaxis]
    return grows & (fine[:-1] >= 1.0)


def _rest(found, fine, chosen):
    """Target deviation -> error that stays as the steps get finer, where extrapolations from 5 step counts agree on it.

    The signed errors are taken for polynomials of degree 2 in the mean step, each through three neighbouring step counts.
    """
    parts, steps = (np.array([m.parts for m in found[-5:]]), 1.0 / fine[-5:, np.newaxis])
    with np.errstate(divide="ignore", invalid="ignore"):
        lines = (steps[:-1] * parts[1:] - steps[1:] * parts[:-1]) / (steps[:-1] - steps[1:])
        limits = (steps[:-2] * lines[1:] - steps[2:] * lines[:-1]) / (steps[:-2] - steps[2:])
    size = np.hypot(*limits[-1])
    before, last = (np.hypot(*(b - a)) for a, b in pairwise(limits))
    stays = chosen & (size > MISSED) & (last <= STAYS * size) & (before <= size)
    return {float(DEVIATIONS[j]): float(size[j]) for j in np.flatnonzero(stays)}


def _order(subject, found, good, report, where=""):
    """Limit and order."""
    read = _errors(found, good, subject.order)
    if not _limit(found, good, read, report, where):
        return

    # nothing to read
    if not read.used and _eps(found) > GRAIN:
        report.add("order", "note", np.nan, f"no error is above the rounding of the states{where}")
        return
    if not read.used:
        report.add("order", "agrees", np.inf, f"exact to rounding on every judged direction{where}")
        return
    exact = _exact_start(subject, found, good)
    orders = [r.norm for r in (read, exact) if r is not None and r.norm is not None]
    tested = DEVIATIONS[read.chosen]
    shown = f"order {_written(read.norm)} (target deviations {tested[0]:g} to {tested[-1]:g}, N up to {read.used})"
    if exact is not None:
        shown += f", {_written(exact.norm)} from exact first states"
    if len(read.coarse):
        shown += f", the steps near deviations {', '.join(f'{s:g}' for s in read.coarse)} are too long or get no finer"
    shown += where

    # exact first states decide where there are any; a method with two model calls a step has no first steps of lower order
    decides = read if exact is None else exact
    started = exact is not None or all(len(m.calls) > m.steps + 1 for m in found)
    need = -np.inf if subject.order is None else subject.order - SHORT
    if decides.short(need, started):
        number, text = decides.norm.value if decides.norm is not None else np.nan, shown
        if decides.norm is None or not decides.norm.below(need):
            # single targets say it: the one with the narrowest bounds is named
            low = decides.low(need)
            worst = min(low, key=lambda s: low[s].high - low[s].low)
            number, start = low[worst].value, "" if exact is None else ", from exact first states"
            text = (
                f"order {_written(low[worst])} at target deviation {worst:g}, below {subject.order:g} on {len(low)} of "
                f"{len(tested)} targets (N up to {read.used}{start}){where}"
            )
        report.add("order", "differs", number, text, f"{subject.order:g}, as declared")
        return
    # one step of first order at the start costs an error of second order, and no more
    if exact is not None and read.short(min(need, 2 - SHORT)):
        number = read.norm.value if read.norm is not None else np.nan
        text = f"{shown}: its first steps cost more than one step of first order would"
        report.add("order", "differs", number, text, f"{min(subject.order, 2):g} at least with its own first steps")
        return

    # the order of the formula is the larger one, since first steps can only lower it
    value = max((order.value for order in orders), default=np.nan)
    reached = [o.value for o in decides.each.values() if o.reaches(need)]
    more = "more steps are needed to decide" if _eps(found) < GRAIN else "the states are too coarse to decide"
    if subject.order is None:
        report.add("order", "note", value, f"{shown}, none declared")
    elif exact is not None and exact.low(need):
        single = ", ".join(f"{_written(o)} at target deviation {s:g}" for s, o in exact.low(need).items())
        report.add("order", "note", np.nan, f"{shown}, {subject.order:g} declared, but {single}: {more}")
    elif any(order.reaches(need) for order in orders) and (short := decides.weak(subject.order)):
        report.add("order", "note", np.nan, f"{shown}, {subject.order:g} declared: {short}")
    elif any(order.reaches(need) for order in orders):
        slow = "; its own first steps are of lower order" if exact is not None and read.short(need) else ""
        report.add("order", "agrees", value, f"{shown}, {subject.order:g} declared{slow}")
    elif 2 * len(reached) >= len(tested) and len(reached) > 1 and not any(o.below(need) for o in decides.each.values()):
        value = float(np.median(reached))
        only = f"order {value:.2f} on {len(reached)} of {len(tested)} targets, N up to {read.used}"
        rest = "" if len(reached) == len(tested) else ", not settled on the others"
        report.add("order", "agrees", value, f"{only}{rest}{where}, {subject.order:g} declared")
    else:
        some = ", ".join(f"{p:.2f}" for p in read.last) or "none"
        last = f"{more} (last local orders by target: {some})"
        report.add("order", "note", np.nan, f"{shown}, {subject.order:g} declared: {last}")


def _written(order):
    """An order with its bounds where these are apart."""
    if order is None:
        return "not settled"
    apart = order.high - order.low > 0.1
    return f"{order.value:.2f}" + (f" ({order.low:.2f} to {order.high:.2f})" if apart else "")


def _exact_start(subject, found, good):
    """Errors of a multistep method whose first states are exact; None for other methods, and where no state was replaced."""
    multistep = all(m.coefficients.noise.shape[1] == 0 and len(m.calls) <= m.steps + 1 for m in found)
    if subject.order is None or subject.order < 2 or not multistep:
        return None
    count = int(np.ceil(subject.order))
    try:
        if not _replaced(subject, count):
            return None
        again = [measure(subject, m.steps, exact=count, repeat=False) for m in found if m.steps > 2 * count]
    except (ValueError, RuntimeError):
        return None
    return _errors(again, good & _good(again), subject.order, count) if len(again) >= 3 else None


def _replaced(subject, count):
    """Whether a run goes on from its replaced states alone: it forgets the start when these are the same in all rows.

    A function that passes a copy of its state to the model, or that combines the state before it calls the model, does not,
    and neither does a corrector that goes back to the state before.
    """
    world = World(target(), subject.library, widen=True, exact=count, alike=True)
    states = world.runner(subject.make(world), min(3 * count + 4, subject.max_steps))(Probe([]))
    last = np.asarray(to_numpy(states[-1]), dtype=np.float64)
    return bool(np.all(np.abs(last - last[:1]) <= 1e-9 * np.abs(last[:1])))


def _limit(found, good, read, report, where):
    """Verdicts on the limit; False where it is missed."""
    end, chosen = read.errors[-1], read.chosen
    worst = float(np.nanmax(np.where(chosen, end, 0.0)))
    first = min(m.ratios[0] for m in found)

    # an error that stays
    stuck = [s for s, order in read.each.items() if order.below(0.5) and end[s == DEVIATIONS][0] > MISSED]
    size = np.where(np.isfinite(end), end, np.inf)
    falls = read.errors[-1] < read.errors[-2] / np.sqrt(2.0)
    wild = chosen & ((size == np.inf) | ((size > 10) & ~falls & ~np.isin(DEVIATIONS, read.coarse)))
    stays = len(read.rest) > max(1, 0.5 * chosen.sum())
    if wild.any() or len(stuck) > 0.5 * len(read.each) > 0 or stays:
        s = DEVIATIONS[wild][-1] if wild.any() else max(stuck, default=max(read.rest, default=0.0))
        at, j = found[-1].judged, int(np.flatnonzero(s == DEVIATIONS)[0])
        m = found[-1]
        mean, deviation = m.target.moments(*m.levels[at])
        right = f"standard deviation {deviation[j]:.6g} and mean {mean[j]:.6g}"
        text = (
            f"the output does not converge to the law: relative W2 {end[j]:.3g} at N = {m.steps}, target deviation {s:g}, "
            f"output deviation {m.deviation[at, j]:.6g} and mean {m.mean[at, j]:.6g}{where}"
        )
        if s in read.rest:
            text += f"; extrapolated to steps of length 0 it is {read.rest[s]:.3g}"
        report.add("limit", "differs", end[j], text, right)
        return False
    near = int(np.sum(end[chosen] < 0.1))
    on = f"{near} of {int(chosen.sum())} targets"
    text = f"relative W2 below 0.1 on {on}, at most {worst:.3g}, at N = {found[-1].steps}{where}"
    report.add("limit", "agrees" if 2 * near >= chosen.sum() else "note", worst, text)

    # a point and a very wide target show whether the state has the level that the run gives it
    for j, word in ((0, "one point"), (len(DEVIATIONS) - 1, f"deviation {DEVIATIONS[-1]:g}")):
        column = read.errors[:, [j]]
        last, order = column[-3:, 0], order_of(local_orders(read.steps, column, np.zeros_like(column))[:, 0])
        # a deviation is wide against the first level; without noise most methods keep a point, whatever the steps are
        noise = found[-1].coefficients.noise.shape[1] > 0
        seen = (not noise or _shorter(found[-3:])) if j == 0 else 5 * first < DEVIATIONS[-1]
        if good[j] and seen and last[-1] > OFF_LEVEL and order is not None and order.below(0.5):
            tail = ", ".join(f"{e:.3g}" for e in last)
            text = (
                f"a target of {word} keeps relative W2 {tail} at N = {', '.join(f'{n:g}' for n in read.steps[-3:])}{where}"
            )
            report.add("limit", "differs", last[-1], text, "an error that falls with the steps")
            return False
    return True


def _modes(subject, steps, report, found=()):
    """A deterministic sampler on two modes, which needs no coefficients: its order there, as a note where it is lower.

    Where there are measurements, the order is taken in the mean step that targets of the modes' deviations and distance see.
    """
    try:
        errors = np.array([[two_mode_error(subject, n)] for n in steps])
    except Exception as error:
        report.add("modes", "note", np.nan, f"two modes were not judged: {type(error).__name__}: {str(error)[:100]}")
        return
    fine = np.array(steps, dtype=float)
    if found:
        seen = np.isin(DEVIATIONS, (TwoModesWorld.SPREAD, TwoModesWorld.MODE))
        fine = 1.0 / np.array([np.max(m.mean_step(subject.order or 1.0)[seen]) for m in found])
    order = order_of(local_orders(fine, errors, np.full((len(steps), 1), ABOVE_FLOOR * MODES_FLOOR)))
    text = f"on two modes, coupled to the exact flow: relative error {errors[-1, 0]:.3g} at N = {steps[-1]}"
    if order is None:
        report.add("modes", "note", np.nan, f"{text}, order not settled")
        return
    if order.below(0.5) and errors[-1, 0] > MISSED:
        report.but.append(f"on two modes an error of {errors[-1, 0]:.3g} stays")
    enough = subject.order is not None and order.reaches(subject.order - SHORT)
    report.add("modes", "agrees" if enough else "note", order.value, f"{text}, order {_written(order)}")


def _resembles(subject, found, good, report):
    """The nearest entry of the catalogue at N of about 20, where coefficients of different methods are far apart."""
    m = min(found, key=lambda f: abs(f.steps - 20))
    levels = m.levels if len(m.levels) > 2 or subject.grid is None else _declared(subject, m.steps)
    with np.errstate(divide="ignore"):
        ratios = levels[:, 1] / levels[:, 0]
    if len(levels) == 2:
        asked = _falling(m.call_ratios)
        ratios = np.append(asked[asked > ratios[-1]], ratios[-1])
    else:
        ratios = ratios[np.append(True, np.diff(ratios) != 0)]  # without steps of length zero
    if len(ratios) < 4 or not np.isfinite(ratios).all() or np.any(np.diff(ratios) >= 0):
        return

    # final coefficients in variance-exploding coordinates against every entry
    keep = np.flatnonzero(good & (DEVIATIONS <= 1.0))
    c, first, last = m.coefficients, m.levels[0, 0], m.levels[-1, 0]
    aim = type(m.target)(m.target.mean[keep], m.target.deviation[keep])
    report.matches = nearest(
        c.gain[-1, keep] * first / last, c.constant[-1, keep] / last, c.noise[-1][:, keep] / last, ratios, aim
    )

    # a correct method with these coefficients goes before a slip that gives the same ones here
    least = report.matches[0].distance
    best = next((k for k in report.matches if k.distance <= least + EQUAL and not k.entry.slip), report.matches[0])
    report.matches = [best, *(k for k in report.matches if k is not best)][:5]
    if best.distance > EQUAL:
        text = f"nearest: {best.entry.name} (distance {best.distance:.2g}, N = {m.steps})"
        if best.entry.slip and best.distance <= ROUNDED:
            text += ": rounded tables may hide this slip, and tables in float64 show it or a larger distance"
        elif not best.entry.slip and ROUNDED < best.distance < NEARLY:
            text += ": another method, or this one with a weight that is wrong by little, which an order may not show"
        report.add("resembles", "note", best.distance, text)
        return
    text = f"the coefficients of {best.entry.name} (distance {best.distance:.1e}, N = {m.steps})"
    if best.entry.slip:
        report.add("resembles", "differs", best.distance, text, f"the coefficients of {best.entry.method}")
    else:
        report.add("resembles", "agrees", best.distance, text)


def _falling(values):
    """Distinct finite values in falling order."""
    return np.unique(values[np.isfinite(values)])[::-1]


# ------------------------------------------------------------------------------------- batch, float32, state of a run


def _batch(subject, m, report):
    """Rows alone against the same rows in the batch."""
    rows = [len(m.coefficients.noise[-1]) + 3, 1]
    together = call_rows(subject, m.steps, list(range(rows[0] + 1)), list(m.coefficients.requests))[rows]
    alone = call_rows(subject, m.steps, rows, list(m.coefficients.requests))
    good = m.coefficients.affine
    size = np.abs(together) + np.abs(m.coefficients.constant[-1]) + 1e-300
    gap = float(np.max(np.where(good, np.abs(alone - together) / size, 0.0)))
    if not gap <= 1e-9:
        report.add(
            "batch",
            "differs",
            gap,
            f"a row depends on the rows beside it (relative {gap:.3g}, N = {m.steps})",
            "no dependence",
        )
    else:
        report.add("batch", "agrees", gap, "a row does not depend on the rows beside it")


def _float32(subject, found, report):
    """The run that a user gets: float32 arrays, tables as the library keeps them."""
    worst, error, bad = 0.0, 0.0, []
    good = _good(found) & (DEVIATIONS <= 1.0)
    for m in (found[0], found[1], found[-1]):
        try:
            plain = measure(subject, m.steps, precision="float32", widen=False, repeat=False)
        except Exception as error:
            text = f"float32 raises {type(error).__name__} at N = {m.steps}, float64 does not: {str(error)[:100]}"
            report.add("precision", "differs", np.inf, text, "a run as in float64")
            return
        if not plain.coefficients.finite.all():
            # numbers beyond the range of float32 are no fault of float32
            if np.abs(m.coefficients.gain).max() * m.levels[0, 1] < 1e30:
                bad.append(m.steps)
            continue
        at, exact = m.judged, m.target.moments(*m.levels[m.judged])[1]
        size = np.maximum(np.where(exact > 0, exact, np.abs(m.target.mean)), m.deviation[at])
        if len(plain.mean) == len(m.mean):
            gap = np.hypot(plain.mean[at] - m.mean[at], plain.deviation[at] - m.deviation[at]) / size
            worst, error = max((worst, error), (float(np.max(np.where(good, gap, 0.0))), float(np.max(m.error[good]))))
    if bad:
        report.add("precision", "differs", len(bad), f"NaN or inf in float32 at N = {bad}", "finite states")
    elif worst > 0.05:
        report.add(
            "precision",
            "differs",
            worst,
            f"float32 moves the output law by {worst:.3g} of its deviation",
            "rounding of float32",
        )
    else:
        report.add("precision", "agrees", worst, f"float32 moves the output law by {worst:.2g} of its deviation")


def _kept(subject, m, others, report):
    """One object used three times, with another number of steps that it takes between, against a fresh one."""
    built: list[Callable] = []

    def again(world):
        if not built:
            built.append(subject.make(world))
        return built[0]

    gaps = []
    for n in (m.steps, *(other.steps for other in others), m.steps):
        try:
            used = measure(subject, n, make=again, repeat=False)
        except Exception as error:
            report.add(
                "state",
                "differs",
                np.inf,
                f"a second run raises {type(error).__name__}: {str(error)[:100]}",
                "independent runs",
            )
            return
        if n == m.steps:
            same = used.mean.shape == m.mean.shape
            gaps.append(
                float(np.nanmax(np.abs(used.mean[-1] - m.mean[-1]) + np.abs(used.deviation[-1] - m.deviation[-1])))
                if same
                else np.inf
            )
    if max(gaps) > 0:
        report.add(
            "state", "differs", max(gaps), f"a used sampler gives another law (by {max(gaps):.3g})", "the law of a fresh one"
        )
    else:
        report.add("state", "agrees", 0.0, "a used sampler gives the law of a fresh one, bit for bit")


def _family(subject, report, found):
    """The family of what differs: an equal entry of the catalogue names it, otherwise the first verdict of this order."""
    differs = report.differs
    if not differs:
        return ""
    for kind in ("state", "batch", "precision"):
        if kind in differs:
            return kind
    best = report.matches[0] if report.matches else None
    if best is not None and best.distance <= EQUAL and best.entry.family:
        return best.entry.family
    # a level slip also leaves declared levels unused; a run on another grid still converges
    order = ("level", "grid") if "limit" in differs else ("grid", "level")
    for kind in ("calls", "start", "end", *order, "noise"):
        if kind in differs:
            return kind
    near = best is not None and best.entry.family
    if near and len(report.matches) > 1 and best.distance < 0.1 * report.matches[1].distance:
        return best.entry.family
    if "scale" in differs:
        return "level"
    memory = (subject.order or 1) >= 2 and all(len(m.calls) <= m.steps + 1 for m in found)
    return "multistep" if memory and "order" in differs and "limit" not in differs else "drift"
