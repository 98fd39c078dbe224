"""Evidence: the measurements of a theory check, and the verdict that follows from them.

A check in ``theory/`` calls the methods of :class:`Check`. Every call records one :class:`Evidence` *before* it asserts,
so that a failure is in the table too. Verdicts are derived from the evidence alone; nobody writes a verdict by hand.
Nothing here reads a committed file: :mod:`exactdiffusion.checks.expected` does, and only ``verify --check`` compares.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .._core.arrays import to_numpy
from .._core.typing import ArrayLike, Row
from .._core.validation import choice, fail, no_mask
from ..statements import REGISTRY, Statement, all_statements
from .statistics import SHARE, Comparison, Family, Share

__all__ = [
    "PARTS",
    "PROVED_HERE",
    "TOLERANCES",
    "VERDICTS",
    "Check",
    "Collected",
    "Evidence",
    "attained",
    "missing_parts",
    "number",
    "pack",
    "rows",
    "unpack",
    "verdict",
    "verdict_table",
    "worst_laws",
    "worst_ratio",
]

#: parts of a check, in the order of the table
PARTS = ("hypothesis", "holds", "equal", "tight", "rate", "control", "refuted")

#: classes of tolerances, and how far two correct machines agree where a tolerance has this cause
TOLERANCES = {
    "exact": "counts, integers, proofs, strict inequalities: both measure the same",
    "remainder": "quadrature, differences, limits, searches: the same to 1e-6, or to the stated error",
    "seeded": "what a family of seeded instances leaves: the same to 1e-6",
    "rounding": "floating point: both stay within the tolerance, and the errors have nothing in common",
    "chance": "a stated false-alarm level: both stay inside the interval",
    "printed digits": "the digits in which a number is printed or recorded: both agree to these",
}

#: appended to the verdict of a statement whose wording could not be confirmed
PROVED_HERE = "form proved here"
#: appended to the verdict of a statement that is filed as tight where no measured/bound reaches 1
NOT_ATTAINED = "not attained by any instance"
#: appended to the verdict of a statement whose formula nobody has written a second time (`Collected.once`)
ONCE = "evaluated once"
#: verdicts of complete checks, without that
VERDICTS = (
    "verified tight",
    "verified",
    "verified, loose",
    "asymptotic",
    "refuted as printed",
    "refuted as transcribed",
)


#: the types of the fields of `Evidence`, by the names that their annotations have
_KINDS: dict[Any, Callable] = {"str": str, "float": float, "int": int, "bool": bool}


@dataclass(frozen=True)
class Evidence:
    """One assertion of one check.

    ``ratio`` is smaller/larger side at the worst instance for an inequality, the deviation in units of the tolerance for
    an equality, the slope for a rate, and the factor by which the inequality is violated for a control. ``units`` is the
    deviation in units of the tolerance where something was compared with its stated value: an equality, a ratio, a rate.
    ``of`` names the inequality where it is not the statement's own: a lemma of its proof, a size that a test relies on.
    ``tolerance_class`` is one of :data:`TOLERANCES` and ``cause`` says more. For a hypothesis, a control and a refuted
    form ``cause`` is its name. ``stated`` is the value that a ratio or a rate was compared with, NaN if there were several.

    Examples
    --------
    >>> Evidence("foundations/tweedie_denoiser", "equal", "mixtures", ratio=0.5, passed=True, cause="8 eps").count
    1
    """

    statement: str
    part: str
    on: str
    ratio: float
    passed: bool
    tolerance: float = 0.0
    cause: str = ""
    count: int = 1
    detail: str = ""
    test: str = ""
    units: float = math.nan
    of: str = ""
    tolerance_class: str = "exact"
    stated: float = math.nan

    @property
    def key(self) -> tuple[str, int, str, str, str]:
        """The fields that two runs of a record share; records are ordered and compared by them, never by their place."""
        return self.statement, PARTS.index(self.part), self.on, self.cause, self.of


@dataclass
class Collected:
    """All evidence of one run, and which theory files took part.

    Examples
    --------
    >>> Collected().of("foundations/tweedie_denoiser")
    []
    """

    records: list[Evidence] = field(default_factory=list)
    statements: dict[str, str] = field(default_factory=dict)  # key -> file
    failed: set[str] = field(default_factory=set)  # keys with a failing test
    seconds: dict[str, float] = field(default_factory=dict)
    once: set[str] = field(default_factory=set)  # keys whose formula has no second evaluation; empty outside a checkout

    def of(self, key: str, part: str | None = None) -> list[Evidence]:
        """The records of a statement, ordered by subject: a run in another order gives the same list."""
        found = (r for r in self.records if r.statement == key and part in (None, r.part))
        return sorted(found, key=lambda r: (r.key, r.ratio))

    def add(self, other: Collected) -> None:
        """Add the records of another process."""
        self.records += other.records
        self.failed |= other.failed
        self.once |= other.once
        for key, file in other.statements.items():
            self.statements.setdefault(key, file)
        for key, seconds in other.seconds.items():
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds


def pack(collected: Collected, family: Family) -> dict[str, Any]:
    """Evidence and statistical checks of a process as plain data (JSON has no NaN: such numbers become words)."""
    return {
        "records": [{k: _word(v) for k, v in dataclasses.asdict(r).items()} for r in collected.records],
        "statements": collected.statements,
        "failed": sorted(collected.failed),
        "seconds": collected.seconds,
        "once": sorted(collected.once),
        "shares": family.shares,
        "comparisons": [{k: _word(v) for k, v in dataclasses.asdict(c).items()} for c in family.comparisons],
    }


def unpack(data: Mapping[str, Any], shift: int = 0) -> tuple[Collected, Family]:
    """The :class:`Collected` and the :class:`exactdiffusion.checks.statistics.Family` that `pack` took apart."""
    collected = Collected(
        [_read(Evidence, r) for r in data["records"]],
        dict(data["statements"]),
        set(data["failed"]),
        dict(data["seconds"]),
        set(data.get("once", ())),  # absent in the records of earlier versions
    )
    shares = [(test, share) for test, share in data["shares"]]
    return collected, Family(shift, shares=shares, comparisons=[_read(Comparison, c) for c in data["comparisons"]])


def _word(value):
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _read(kind, data):
    """A record from plain data; a ValueError says what is wrong with it."""
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    if not isinstance(data, dict) or set(data) != set(fields):
        fail("record", data, f"the fields {', '.join(fields)}: the record of a run of this version")
    values = {k: float(v) if fields[k] == "float" else v for k, v in data.items()}
    if any(type(v).__name__ != fields[k] for k, v in values.items()) or values.get("part", PARTS[0]) not in PARTS:
        fail("record", data, f"a part ({', '.join(PARTS)}) and values of the types {', '.join(fields.values())}")
    return kind(**values)


def _plain(value):
    no_mask("value", value)
    value = to_numpy(value)
    if np.iscomplexobj(value):
        fail("value", value, "real numbers: compare real and imaginary parts, or moduli")
    return np.asarray(value, dtype=np.float64)


#: how the family of a worst law begins
WORST = "worst law: "


class Check:
    """Assertions that leave evidence. A theory test receives one as the fixture ``check``.

    Every tolerance comes with its ``cause``: a class of :data:`TOLERANCES`, then the source of the error, as in
    ``cause="rounding: 8 eps (|x| + R)"``. A class alone will do where nothing needs to be added.

    Raises
    ------
    ValueError
        for a cause without a class.

    Examples
    --------
    >>> from exactdiffusion import statements
    >>> check = Check(statements.foundations.tweedie_denoiser.statement, Collected())
    >>> check.equal([1.0, 2.0], [1.0, 2.0 + 4e-16], tol=1e-15, cause="rounding: 2 eps", on="two numbers")
    4.440892098500626e-16
    >>> check.control("the second number", 2.5, 2.0, on="two numbers")
    >>> check.holds(3.0, 2.0, tol=0, cause="exact", on="a false inequality")
    Traceback (most recent call last):
        ...
    AssertionError: foundations/tweedie_denoiser [holds] on a false inequality: ratio 1.5, tolerance 0 (). worst: 3 <= 2
    """

    def __init__(
        self, statement: Statement, collected: Collected, test: str = "", chance: Callable[..., Share] | None = None
    ) -> None:
        self.statement, self.collected, self.test = statement, collected, test
        self._chance = chance

    def chance(self, *, comparisons: int, share: float = SHARE) -> Share:
        """A share of the run's false-alarm probability for ``comparisons`` statistical ones, which leave evidence here.

        Returns
        -------
        exactdiffusion.checks.statistics.Share
        """
        take = self._chance or partial(Share, Family(), self.test)
        return take(comparisons=comparisons, share=share, judge=self._by_chance)

    def _by_chance(self, on, found, low, high, centre, cause, dropped):
        """File a statistical comparison ``low <= found <= high`` as an equality, an inequality or a control."""
        cause = f"chance: {cause}"
        if dropped is not None:
            smaller, larger = (found, low) if np.isfinite(low).all() else (high, found)
            self.control(dropped, smaller, larger, on=on, detail=f"fails on {smaller.size} of {smaller.size}, {cause}")
        elif np.isfinite(low).all() and np.isfinite(high).all():
            # how near an end the value lies says how many draws there were, not how tight the statement is: no ratio
            middle = (low + high) / 2 if centre is None else centre
            self.equal(found, middle, tol=np.where(found < middle, middle - low, high - middle), cause=cause, on=on)
        elif np.isfinite(low).all():
            self.holds(low, found, tol=0, cause=cause, on=f"{on}, lower end")
        else:
            bound = high if centre is None else centre
            self.holds(found, bound, tol=high - bound, cause=cause, on=on if centre is not None else f"{on}, upper end")

    def _file(self, part, on, *, cause, tolerance_class=None, **fields):
        """Record the :class:`Evidence` with these fields, then raise an AssertionError unless it passed.

        The cause begins with a class of :data:`TOLERANCES` unless ``tolerance_class`` is given apart.
        """
        if tolerance_class is None:
            tolerance_class, cause = _tolerance_class(cause)
        fields |= {"part": part, "on": on, "cause": cause, "tolerance_class": tolerance_class}
        # measured values are NumPy scalars, and records are written as plain JSON
        plain = {f.name: _KINDS[f.type](fields[f.name]) for f in dataclasses.fields(Evidence) if f.name in fields}
        record = Evidence(statement=self.statement.key, test=self.test, **plain)
        self.collected.records.append(record)
        if not record.passed:
            # for these parts the cause names what was tested, for the others where the tolerance comes from
            named = {"hypothesis": "hypothesis", "control": "it must fail somewhere under the control", "refuted": "claim"}
            why = f"; {named[part]} {cause!r}" if part in named else f" ({cause})"
            raise AssertionError(
                f"{record.statement} [{part}] on {on}: ratio {record.ratio:.17g}, "
                f"tolerance {record.tolerance:.3g}{why}. {record.detail}"
            )

    @staticmethod
    def _sides(smaller, larger, tol):
        small, large, tol = np.broadcast_arrays(_plain(smaller), _plain(larger), _plain(tol))
        if small.size == 0:
            raise AssertionError("nothing was measured: an empty check cannot fail")
        if not np.all((tol >= 0) & (tol < np.inf)):
            fail("tol", tol, "finite numbers >= 0: a check of infinite tolerance cannot fail")
        return small.ravel(), large.ravel(), tol.ravel()

    @staticmethod
    def _ratio(small, large, tolerance=0.0):
        """Largest smaller/larger; a larger side within the tolerance of 0 says nothing unless it is violated."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(large > tolerance, small / large, np.where(small <= large + tolerance, -np.inf, np.inf))
        worst = float(np.max(ratio))
        return worst if worst > -math.inf else 0.0

    @staticmethod
    def _violated(small, large, tolerance):
        """Where the inequality is broken by more than its tolerance and rounding; a NaN is no violation but an error."""
        if np.any(np.isnan(small) | np.isnan(large)):
            raise AssertionError("a control measured NaN: that is a defect, not a violation")
        rounding = 16 * np.finfo(np.float64).eps * np.where(np.isfinite(large), np.abs(large), 0.0)
        return small > large + tolerance + rounding

    def hypothesis(self, name: str, holds: ArrayLike, *, on: str, required: bool = True, value: Any = None) -> np.ndarray:
        """Report a hypothesis checked on the instances; with ``required`` every instance must satisfy it.

        Returns the mask of applicable instances: "applicable" is reported apart from the verdict.
        """
        no_mask("holds", holds)
        mask = np.atleast_1d(to_numpy(holds))
        if mask.size and mask.dtype != bool:
            fail("holds", holds, "True or False per instance: as a truth value NaN is True")
        share = float(mask.mean()) if mask.size else 0.0
        passed = share == 1.0 if required else share > 0
        detail = "" if value is None else str(value)
        self._file(
            "hypothesis",
            on,
            ratio=share,
            passed=passed,
            cause=name,
            count=mask.size,
            detail=detail,
            tolerance_class="exact",
        )
        return mask

    def holds(
        self, smaller: ArrayLike, larger: ArrayLike, *, tol: ArrayLike, cause: str, on: str, detail: str = "", of: str = ""
    ) -> float:
        """``smaller <= larger + tol`` on every instance (arrays broadcast). Records the worst smaller/larger.

        ``of`` names the inequality where it is not the statement's own; its ratio is no ratio of the statement.
        """
        small, large, tolerance = self._sides(smaller, larger, tol)
        ok = small <= large + tolerance  # a NaN on either side fails
        if ok.all() and not np.any(np.isfinite(small) & np.isfinite(large)):
            raise AssertionError(
                "nothing was measured: a side is infinite on every instance, and the inequality cannot fail"
            )
        ratio = math.nan if np.any(np.isnan(small) | np.isnan(large)) else self._ratio(small, large, tolerance)
        with np.errstate(invalid="ignore"):  # infinity less infinity
            worst = int(np.argmax(np.where(np.isnan(small - large), np.inf, small - large - tolerance)))
        self._file(
            "holds",
            on,
            ratio=ratio,
            passed=ok.all(),
            tolerance=tolerance.max(),
            cause=cause,
            count=small.size,
            detail=detail or f"worst: {small[worst]:.17g} <= {large[worst]:.17g}",
            of=of,
        )
        return ratio

    @contextlib.contextmanager
    def gather(self, *, cause: str, on: str = "", kind: str = "holds") -> Iterator[Callable[..., None]]:
        """Collect comparisons over many batches and file each named part once, with its worst instance.

        Parameters
        ----------
        cause : str
            The cause of the tolerances, as in `holds`.
        on : str
            The family of instances: a part is filed as ``"<part>, <on>"``, or without a family by its name alone.
        kind : {"holds", "equal", "tight"}
            The method that files a part.

        Raises
        ------
        AssertionError
            A part fails on some instance, or no batch was added.
        ValueError
            ``kind`` is none of the three.

        Examples
        --------
        >>> check = Check(all_statements()[0], Collected())
        >>> with check.gather(on="three runs", cause="rounding") as sides:
        ...     for n in (1, 2, 3):
        ...         sides("upper bound", 1 - 1 / n, 1.0, tol=1e-15)
        >>> [(record.on, record.count) for record in check.collected.records]
        [('upper bound, three runs', 3)]
        """
        file = getattr(self, choice("kind", kind, ("holds", "equal", "tight")))
        parts: dict[str, list] = {}

        def add(part, smaller, larger, *, tol):
            parts.setdefault(part, []).append(self._sides(smaller, larger, tol))

        yield add
        if not parts:
            raise AssertionError("nothing was measured: an empty check cannot fail")
        for part, batches in parts.items():
            smaller, larger, tolerance = map(np.concatenate, zip(*batches, strict=True))
            file(smaller, larger, tol=tolerance, cause=cause, on=f"{part}, {on}" if on else part)

    def equal(self, left: ArrayLike, right: ArrayLike, *, tol: ArrayLike, cause: str, on: str, detail: str = "") -> float:
        """``|left - right| <= tol`` on every instance. Records the deviation in units of the tolerance."""
        a, b, tolerance = self._sides(left, right, tol)
        difference = np.abs(a - b)
        ok = difference <= tolerance
        with np.errstate(divide="ignore", invalid="ignore"):
            units = np.where(difference == 0, 0.0, difference / tolerance)
        self._file(
            "equal",
            on,
            ratio=np.max(units),
            passed=ok.all(),
            tolerance=tolerance.max(),
            cause=cause,
            count=a.size,
            detail=detail or f"largest difference {np.max(difference):.3g}",
            units=np.max(units),
        )
        return float(np.max(difference))

    def tight(
        self,
        measured: ArrayLike,
        expected: ArrayLike = 1.0,
        *,
        tol: ArrayLike,
        cause: str,
        on: str,
        detail: str = "",
        of: str = "",
    ) -> None:
        """A ratio measured/bound reaches its stated value within ``tol``: a loosened constant fails here.

        ``of`` as in `holds`.

        Raises
        ------
        ValueError
            The stated value of a ratio of the statement's own inequality is above 1. No measured/bound of a true inequality
            is, so what was passed is one of its sides. Or the stated value is within the tolerance of 0: a measured side
            of 0 would pass, and says nothing about the bound.

        Examples
        --------
        >>> check = Check(all_statements()[0], Collected())
        >>> check.tight(0.5 * np.pi, 0.5 * 3.14159, tol=1e-5, cause="printed digits", on="a circle", of="half of pi")
        >>> check.tight(0.0, 0.0, tol=1e-9, cause="rounding", on="nothing")
        Traceback (most recent call last):
            ...
        ValueError: expected: got 0.0; expected a ratio above its tolerance 1e-09: a measured side of 0 would pass
        """
        m, e, tolerance = self._sides(measured, expected, tol)
        if np.any(e <= tolerance):
            least = int(np.argmin(e - tolerance))
            wanted = f"a ratio above its tolerance {tolerance[least]:g}: a measured side of 0 would pass"
            fail("expected", float(e[least]), wanted)
        if not of and self.statement.kind in ("tight", "upper", "lower") and np.any(e > 1 + np.minimum(tolerance, 1e-3)):
            fail("expected", float(e.max()), "a ratio measured / bound, at most 1: pass check.tight(measured / bound, ...)")
        ok = np.abs(m - e) <= tolerance
        worst = int(np.argmax(np.where(np.isnan(m), np.inf, np.abs(m - e))))
        with np.errstate(divide="ignore", invalid="ignore"):
            units = np.max(np.where(m == e, 0.0, np.abs(m - e) / tolerance))
        self._file(
            "tight",
            on,
            ratio=m[worst],
            passed=ok.all(),
            tolerance=tolerance.max(),
            cause=cause,
            count=m.size,
            detail=detail or f"expected {e[worst]:.6g}",
            units=units,
            of=of,
            stated=e[0] if np.all(e == e[0]) else math.nan,
        )

    def worst(self, measured: ArrayLike, larger: ArrayLike, *, ratio: float, law: str, tol: ArrayLike, cause: str) -> None:
        """The worst law that a search found: the inequality holds on it, and measured/larger is ``ratio`` to 1 %.

        Parameters
        ----------
        measured, larger : numbers
            Both sides on this law.
        ratio : float
            The stated worst ratio.
        law : str
            The law with its parameters and the box that was searched; the run prints it below the table.
        tol, cause
            As in `holds`.

        Raises
        ------
        ValueError
            The stated ratio is not in (0, 1]. At 0 the law says nothing, and above 1 the inequality is false.
        """
        if not 0 < ratio <= 1:
            fail("ratio", ratio, "the stated measured / larger of a true inequality, in (0, 1]")
        found = self.holds(measured, larger, tol=tol, cause=cause, on=f"{WORST}{law}")
        self.equal(found, ratio, tol=0.01 * ratio, cause="printed digits: 1 % of the stated ratio", on=f"{WORST}{law}")

    def rate(self, slope: Any, expected: float, *, within: float, on: str, detail: str = "") -> None:
        """A fitted slope (a number or an object with ``slope, low, high``) lies within ``within`` of ``expected``."""
        if not 0 <= within < math.inf:
            fail("within", within, "a finite number >= 0: a check of infinite tolerance cannot fail")
        value = float(getattr(slope, "slope", slope))
        detail = f"expected {expected:g}, {detail}" if detail else ""
        interval = f"interval [{slope.low:.4f}, {slope.high:.4f}]" if hasattr(slope, "low") else ""
        self._file(
            "rate",
            on,
            ratio=value,
            passed=abs(value - expected) <= within,
            tolerance=within,
            cause="remainder: pre-asymptotic",
            detail=detail or f"expected {expected:g} {interval}".strip(),
            units=abs(value - expected) / within if within > 0 else 0.0 if value == expected else math.inf,
            stated=expected,
        )

    def control(
        self, dropped: str, smaller: ArrayLike, larger: ArrayLike, *, on: str, tol: ArrayLike = 0.0, detail: str = ""
    ) -> None:
        """Negative control: with ``dropped`` (a hypothesis, a term, a constant) the same inequality must FAIL somewhere.

        ``tol`` is the tolerance of the assertion under control, so that rounding cannot pass for a violation.

        Raises
        ------
        ValueError
            ``larger`` is minus infinity somewhere: every number violates that, whatever the hypothesis.

        Examples
        --------
        >>> check = Check(all_statements()[0], Collected())
        >>> check.control("(H1) X Gaussian", 1.2, 1.0, on="two atoms")
        >>> check.collected.records[0].ratio
        1.2
        """
        self._must_fail("control", dropped, smaller, larger, on, tol, detail)

    def refuted(
        self, printed: str, smaller: ArrayLike, larger: ArrayLike, *, on: str, tol: ArrayLike = 0.0, detail: str = ""
    ) -> None:
        """The form as printed fails on this counterexample: ``smaller <= larger + tol`` is false there."""
        self._must_fail("refuted", printed, smaller, larger, on, tol, detail)

    def _must_fail(self, part, name, smaller, larger, on, tol, detail):
        small, large, tolerance = self._sides(smaller, larger, tol)
        if np.any(large == -np.inf):
            fail("larger", -math.inf, "a bound that some number satisfies: every number is above minus infinity")
        fails = self._violated(small, large, tolerance)
        self._file(
            part,
            on,
            ratio=self._ratio(small, large),
            passed=fails.any(),
            tolerance=tolerance.max(),
            cause=name,
            count=small.size,
            detail=detail
            or f"fails on {int(fails.sum())} of {small.size}" + ("" if fails.any() else ", expected at least 1"),
            tolerance_class="exact",
        )


def _tolerance_class(cause):
    """Split ``"class: what"``."""
    name, _, rest = cause.partition(":")
    if name not in TOLERANCES:
        fail("cause", cause, f"one of {', '.join(TOLERANCES)}, as in 'rounding: 8 eps (|x| + R)'")
    return name, rest.strip()


#: a failing check is shown at its own line, without the frames of this module
__tracebackhide__ = True

# ---------------------------------------------------------------------------------------------------- verdicts


def missing_parts(statement: Statement, collected: Collected) -> list[str]:
    """Parts that a statement's file still lacks: an empty list for a complete check.

    Examples
    --------
    >>> missing_parts(all_statements()[0], Collected())
    ['an assertion (holds, equal or refuted)', 'equal (the statement is filed as an equality)', 'control']
    """
    have = {r.part for r in collected.of(statement.key)}
    lacks = []
    if not have & {"holds", "equal", "refuted"}:
        lacks.append("an assertion (holds, equal or refuted)")
    if statement.kind == "tight" and "tight" not in have:
        lacks.append("tight (the statement is filed as attained)")
    if statement.kind == "equality" and "equal" not in have:
        lacks.append("equal (the statement is filed as an equality)")
    if statement.kind == "asymptotic" and not have & {"rate", "equal", "tight"}:
        lacks.append("rate (the statement is filed as asymptotic)")
    if statement.kind == "refuted" and "refuted" not in have:
        lacks.append("refuted (the counterexample to the printed form)")
    if statement.kind != "refuted" and "refuted" in have:
        lacks.append("the kind refuted (a printed form is refuted: the ledger lists it)")
    if "control" not in have:
        lacks.append("control")
    return lacks


def verdict(statement: Statement, collected: Collected) -> str:
    """Verdict of a statement, derived from its evidence.

    Examples
    --------
    >>> verdict(all_statements()[0], Collected())
    'not run'
    """
    records = collected.of(statement.key)
    if not records:
        return "not run"
    if statement.key in collected.failed or not all(r.passed for r in records):
        return "FAILED"
    if missing_parts(statement, collected):
        return "incomplete"
    once = f", {ONCE}" if statement.key in collected.once else ""
    if statement.kind == "refuted":
        return ("refuted as transcribed" if statement.text == "transcribed" else "refuted as printed") + once
    found = "verified"
    if statement.kind == "asymptotic":
        found = "asymptotic"
    elif statement.kind == "tight":
        found = "verified tight" if attained(statement, collected) else f"verified, {NOT_ATTAINED}"
    elif statement.kind not in ("equality", "definition"):
        worst = worst_ratio(statement, collected)
        found = "verified, loose" if worst is not None and worst < 0.1 else "verified"
    return f"{found}{once}; {PROVED_HERE}" if statement.text == "recalled" else found + once


def plain(verdict: str) -> str:
    """One of :data:`VERDICTS`: the verdict without its notes on wording, second evaluation and attaining instance."""
    return verdict.removesuffix(f"; {PROVED_HERE}").removesuffix(f", {ONCE}").removesuffix(f", {NOT_ATTAINED}")


def worst_ratio(statement: Statement, collected: Collected) -> float | None:
    """Largest smaller/larger over the ``holds`` records of the statement's own inequality.

    None when there is none: an equality, a definition, an order and a refuted form have no smaller and larger side.
    """
    if statement.kind in ("equality", "definition", "asymptotic", "refuted"):
        return None
    ratios = [r.ratio for r in collected.of(statement.key, "holds") if not r.of and math.isfinite(r.ratio)]
    return max(ratios) if ratios else None


def attained(statement: Statement, collected: Collected) -> list[Evidence]:
    """The ``tight`` records of the statement's own sides that reach ratio 1 within 1e-3, the nearest first."""
    found = [r for r in collected.of(statement.key, "tight") if not r.of and abs(r.ratio - 1) <= 1e-3]
    return sorted(found, key=lambda r: abs(r.ratio - 1))


def number(value: float | None) -> str:
    """A number as a table prints it: four digits, and 1 when it is 1 within 5e-7 (rounding is not a finding).

    Examples
    --------
    >>> number(0.123456), number(1 + 1e-9), number(None)
    ('0.1235', '1', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    if abs(value - 1) < 5e-7:
        return "1"
    if value == 0:
        return "0"
    return f"{value:.3g}" if not 0.01 <= abs(value) < 1e4 else f"{value:.4g}"


def rows(collected: Collected) -> list[Row]:
    """One dict per statement that was run, those of the user last: statement, verdict and a digest of each part."""
    table, listed = [], all_statements()
    own = [s for key, s in REGISTRY.items() if s not in listed and key in collected.statements]
    for s in listed + own:
        if s.key not in collected.statements:
            continue
        tight = attained(s, collected)
        rates = [r for r in collected.of(s.key, "rate")]
        controls = collected.of(s.key, "control")
        table.append(
            {
                "statement": s,
                "file": collected.statements[s.key],
                "verdict": verdict(s, collected),
                "ratio": worst_ratio(s, collected),
                "checked": sum(r.count for r in collected.of(s.key) if r.part in ("holds", "equal")),
                "tight": tight,
                "rates": rates,
                "controls": controls,
                "refuted": collected.of(s.key, "refuted"),
                "hypotheses": collected.of(s.key, "hypothesis"),
                "missing": missing_parts(s, collected),
                "seconds": collected.seconds.get(s.key, 0.0),
            }
        )
    return table


def verdict_table(collected: Collected) -> str:
    """The verdict table as plain text, for a terminal."""
    lines = []
    head = ("statement", "ref", "checked", "worst ratio", "tight ratio", "controls fail", "verdict")
    body = []
    for row in rows(collected):
        s = row["statement"]
        named = {r.cause for r in row["controls"]}
        unseen = {r.cause for r in row["controls"] if not r.passed}
        body.append(
            (
                s.key,
                s.ref or f"({s.text})",  # a derived statement has no number
                str(row["checked"]),
                number(row["ratio"]),
                number(row["tight"][0].ratio) if row["tight"] else "-",
                f"{len(named - unseen)}/{len(named)}",
                row["verdict"],
            )
        )
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    for line in [head, tuple("-" * w for w in widths), *body]:
        lines.append("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    return "\n".join(lines)


def worst_laws(collected: Collected) -> list[str]:
    """One line per statement with a worst law found by search: the key, the ratio and the law."""
    return [
        f"{record.statement}: worst ratio {record.ratio:.4g} on {record.on.removeprefix(WORST)}"
        for record in collected.records
        if record.part == "holds" and record.on.startswith(WORST)
    ]
