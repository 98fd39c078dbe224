r"""Statistical checks: comparisons of random draws with a known value that state how often they fail by chance.

One run of the tests makes some hundred of them. Each test takes a *share* of the probability :data:`LEVEL` that a correct
library fails the run, and splits it evenly over its comparisons (union bound: nothing is assumed independent). The run adds
the shares up, prints the sum, and fails if it exceeds :data:`LEVEL`. A test asks for its share once, saying how many
comparisons it is for, and then compares:

    def test_draws(chance):                                  # in theory/: check.chance(...)
        draw = chance(comparisons=3)
        x = law.sample(40_000, draw.rng(5))
        draw.mean(x, law.mean, on="mean of 40,000 draws")    # one comparison per coordinate

Kinds of comparison, in the report apart:

- *exact*: the law of the statistic is known (Gaussian, chi-square, binomial), or a bound for every law is used
  (Dvoretzky-Kiefer-Wolfowitz with Massart's constant).
- *approximate*: :meth:`Share.mean` of rows of any law. Student's quantile, widened to first order for the rows' skewness
  :math:`\gamma`: the tail of a Studentised mean at z is the tail of the normal law times
  :math:`\exp(-\gamma z^3 / 3 \sqrt n)` (Shao, Jing and Wang 2003), so z solves
  :math:`\log P(T > z) + |\gamma| z^3 / 3 \sqrt n = \log(\text{level} / 2)`. Refused where n is too small for that.
- *demonstrated*: the draws must *reject* a false hypothesis (a control) or prove a strict inequality. The level is then the
  probability of rejecting a true hypothesis. The probability of missing a true effect of at least two quantiles is no
  larger. The report gives the smallest effect seen; a run with the seeds written in the tests fails where it is smaller.

Seeds: ``draw.rng(5)``, ``draw.noise(5)`` and ``draw.seed(5)`` are the generators of seed 5 in a default run; with
``pytest --seed N`` others, so that a test that passes for one lucky seed alone is found out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core.typing import ArrayLike, Numbers
from .._core.validation import fail, integer, no_mask, scalar

if TYPE_CHECKING:
    from .._core.random import Noise

__all__ = ["LEVEL", "SHARE", "Comparison", "Family", "Share"]

#: probability that a run of a correct library fails by chance, all statistical checks together
LEVEL = 1e-6
#: effect, in quantiles, from which missing it is no more probable than rejecting a true hypothesis
EFFECT = 2
#: the share of `LEVEL` that one test takes unless it says otherwise
SHARE = 1e-8


@dataclass(frozen=True)
class Comparison:
    """One comparison (or one per entry of an array): where, of which kind, and how far off at the worst entry.

    ``deviation`` is in standard errors, or the normal deviate of the same probability; ``quantile`` is where the comparison
    turns red (a demonstrated one is red below it).

    Examples
    --------
    >>> Comparison("test_draws", "mean", "exact", 1, 1e-8, deviation=0.7, quantile=5.7, passed=True).passed
    True
    """

    test: str
    on: str
    kind: str
    count: int
    level: float
    deviation: float
    quantile: float
    passed: bool


@dataclass
class Family:
    """All statistical checks of one run: the shares they took and their comparisons.

    Parameters
    ----------
    shift : int >= 0
        0 gives the seeds written in the tests, any other number other seeds.
    strict : bool
        False records comparisons that fail without raising, so that the others are made, too (measuring power).

    Examples
    --------
    >>> family = Family()
    >>> share = Share(family, "test_coin", comparisons=1)
    >>> share.frequency(507, 1000, 0.5, on="heads")
    >>> print(family.summary())
    statistical checks: 1 comparisons (1 exact) in 1 tests
    false-alarm probability of this run <= 1e-08 (at most 1e-06)
    """

    shift: int = 0
    strict: bool = True
    shares: list[tuple[str, float]] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def level(self) -> float:
        """Bound of the probability that a correct library fails this run: the sum of the shares taken."""
        return math.fsum(share for _, share in self.shares)

    @property
    def least(self) -> Comparison | None:
        """The demonstrated comparison with the smallest effect in units of its quantile; None without any."""
        shown = (c for c in self.comparisons if c.kind == "demonstrated")
        return min(shown, key=lambda c: c.deviation / c.quantile, default=None)

    @property
    def weak(self) -> bool:
        """Whether a demonstration shows too small an effect to be relied on at other seeds.

        Judged at the seeds written in the tests alone, where the verdict is no matter of chance: with others, an effect
        of just :data:`EFFECT` quantiles would be seen below that in one run of two.
        """
        least = self.least if self.strict and not self.shift else None
        return least is not None and least.deviation < EFFECT * least.quantile

    def summary(self) -> str:
        """Text for the end of a run; empty when there was no statistical check."""
        if not self.shares:
            return ""
        counts = {kind: sum(c.count for c in self.comparisons if c.kind == kind) for kind in KINDS}
        text = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
        lines = [f"statistical checks: {sum(counts.values())} comparisons ({text}) in {len(self.shares)} tests"]
        if self.shift:
            lines[0] += f", seeds shifted by --seed {self.shift}"
        lines.append(f"false-alarm probability of this run <= {self.level:.3g} (at most {LEVEL:g})")
        if counts["approximate"]:
            lines[-1] += "; to first order for the approximate comparisons"
        if (least := self.least) is not None:
            lines[-1] += f"; where the true effect is at least {EFFECT} quantiles for the demonstrated ones"
            lines.append(f"smallest effect demonstrated: {least.deviation / least.quantile:.2f} quantiles, {least.on}")
        if self.weak:
            lines.append(f"FAILED: a demonstration shows less than {EFFECT} quantiles; take more draws")
        if self.level > LEVEL:
            lines.append(f"FAILED: the shares add up to more than {LEVEL:g}; take smaller ones")
        return "\n".join(lines)


#: kinds of comparison, in the order of the summary
KINDS = ("exact", "approximate", "demonstrated")


class Share:
    """A test's part of the false-alarm probability, split evenly over a stated number of comparisons.

    Parameters
    ----------
    family : Family
    test : str
        Who takes it.
    comparisons : int >= 1
        Scalar comparisons to come, controls included; more raise, and :meth:`close` sees that there were not fewer.
    share : float in (0, LEVEL]
    judge : callable, optional
        ``judge(on, found, low, high, centre, cause, dropped)``: how a theory check files evidence before it raises.

    Raises
    ------
    AssertionError
        by every comparison that fails, with its deviation and its level.

    Examples
    --------
    >>> share = Share(Family(), "test_draws", comparisons=2)
    >>> x = share.rng(5).standard_normal((10_000, 1))
    >>> share.mean(x, [0.0], on="mean of 10,000 draws", gaussian=True)
    >>> share.mean_is_not(x + 1, [0.0], on="mean of 10,000 draws, moved by 1")
    >>> share.close()
    """

    def __init__(
        self, family: Family, test: str, comparisons: int, share: float = SHARE, judge: Callable[..., None] | None = None
    ) -> None:
        self.comparisons = integer("comparisons", comparisons, low=1)
        self.share = scalar("share", share, low=0, high=LEVEL, low_open=True)
        self.family, self.test, self._judge = family, test, judge
        self._left = self.comparisons
        family.shares.append((test, self.share))

    # ------------------------------------------------------------------------------------------------------- seeds

    def seed(self, number: int) -> int:
        """The seed ``number`` in a default run, another 64-bit number for each ``--seed``."""
        number = integer("number", number, low=0, high=2**64 - 1)
        if not self.family.shift:
            return number
        return int(np.random.SeedSequence([number, self.family.shift]).generate_state(1, np.uint64)[0])

    def rng(self, *numbers: int) -> np.random.Generator:
        """NumPy generator of that seed (or of that sequence of numbers)."""
        if len(numbers) == 1:
            return np.random.default_rng(self.seed(numbers[0]))
        return np.random.default_rng([*numbers, self.family.shift] if self.family.shift else numbers)

    def noise(self, number: int) -> Noise:
        """:class:`exactdiffusion.Noise` of that seed."""
        from .._core.random import Noise

        return Noise(self.seed(number))

    # ---------------------------------------------------------------------------------------------------- comparing

    @property
    def level(self) -> float:
        """Level of one scalar comparison."""
        return self.share / self.comparisons

    def close(self) -> None:
        """Assert that the stated number of comparisons was made: a share split too finely is power given away."""
        if self._left:
            raise AssertionError(f"{self.test}: {self.comparisons} comparisons stated, {self._left} not made")

    def _compare(self, kind, on, found, low, high, centre, deviation, quantile, cause, dropped=None):
        """Judge low <= found <= high entry by entry and leave a :class:`Comparison`."""
        found, low, high, deviation, quantile = np.broadcast_arrays(
            *(np.asarray(v, dtype=np.float64) for v in (found, low, high, deviation, quantile))
        )
        if not found.size:
            raise AssertionError(f"{on}: nothing to compare")

        # count: a share is for a stated number of comparisons
        self._left -= found.size
        if self._left < 0:
            raise AssertionError(f"{self.test}: more than the {self.comparisons} comparisons stated")

        # judge every entry, and record the worst one
        ok = (low <= found) & (found <= high)  # a NaN fails
        margin = deviation / quantile if kind != "demonstrated" else -deviation / quantile
        worst = np.unravel_index(int(np.argmax(np.where(np.isnan(margin), np.inf, margin))), found.shape)
        record = Comparison(
            self.test, on, kind, found.size, self.level, float(deviation[worst]), float(quantile[worst]), bool(ok.all())
        )
        self.family.comparisons.append(record)

        # file the evidence of a theory check before an AssertionError ends it
        if not self.family.strict:
            return
        if self._judge is not None:
            self._judge(on, found, low, high, centre, f"{cause}, level {self.level:.2g} each", dropped)
        if not record.passed:
            seed = f"--seed {self.family.shift}: " if self.family.shift else ""
            raise AssertionError(
                f"{seed}{on}: found {found[worst]:.9g}, must lie in [{low[worst]:.9g}, {high[worst]:.9g}]; "
                f"{record.deviation:.2f} standard errors, quantile {record.quantile:.2f} ({cause}, level {self.level:.2g})"
            )

    def normal(
        self,
        found: ArrayLike,
        expected: ArrayLike,
        sd: ArrayLike,
        *,
        on: str,
        tol: Numbers = 0.0,
        degrees: float | None = None,
    ) -> None:
        """``found`` is Gaussian with mean ``expected`` (known to ``tol``) and standard deviation ``sd``.

        Exact, unless ``degrees`` says that ``sd`` is an estimate with so many degrees of freedom (infinity: law or
        deviation are approximations for another reason); then Student's law is the approximation.
        """
        z = (
            normal_quantile(self.level / 2)
            if degrees is None or degrees == math.inf
            else student_quantile(self.level / 2, degrees)
        )
        no_mask("found", found)
        found, expected, sd = (np.asarray(v, dtype=np.float64) for v in (found, expected, sd))
        half = z * sd + tol
        deviation = np.maximum(np.abs(found - expected) - tol, 0) / sd
        kind, cause = ("exact", "Gaussian, sd known") if degrees is None else ("approximate", "Student, sd estimated")
        self._compare(kind, on, found, expected - half, expected + half, expected, deviation, z, cause)

    def mean(self, rows: ArrayLike, expected: ArrayLike, *, on: str, tol: Numbers = 0.0, gaussian: bool = False) -> None:
        """The mean of independent rows is ``expected`` (known to ``tol``).

        Parameters
        ----------
        rows : array, shape (n, ...)
            Independent and equally distributed along the first axis.
        expected, tol : array_like, shape (...)
        gaussian : bool
            The rows are Gaussian: Student's law is exact. Otherwise it is an approximation, widened for skewness.
        """
        mean, error, quantile = self._studentised(rows, self.level / 2, gaussian)
        half = quantile * error + tol
        expected = np.asarray(expected, dtype=np.float64)
        deviation = _over(np.maximum(np.abs(mean - expected) - tol, 0), error)
        kind, cause = ("exact", "Student") if gaussian else ("approximate", "Student with skewness")
        self._compare(kind, on, mean, expected - half, expected + half, expected, deviation, quantile, cause)

    def mean_at_most(self, rows: ArrayLike, bound: ArrayLike, *, on: str, tol: Numbers = 0.0) -> None:
        """The mean of the law of the rows is at most ``bound`` (one-sided; approximate as :meth:`mean`)."""
        mean, error, quantile = self._studentised(rows, self.level, False)
        bound = np.asarray(bound, dtype=np.float64)
        high = bound + quantile * error + tol
        deviation = _over(np.maximum(mean - bound - tol, 0), error)
        self._compare("approximate", on, mean, -np.inf, high, bound, deviation, quantile, "Student with skewness, one-sided")

    def mean_is_not(
        self, rows: ArrayLike, wrong: ArrayLike, *, on: str, tol: Numbers = 0.0, dropped: str = "the true value"
    ) -> None:
        """Control: the mean of the rows is demonstrably not ``wrong``, by more than ``tol``; ``dropped`` made it wrong."""
        mean, error, quantile = self._studentised(rows, self.level / 2, False)
        effect = np.maximum(np.abs(mean - np.asarray(wrong, dtype=np.float64)) - tol, 0)
        self._compare("demonstrated", on, effect, quantile * error, np.inf, None, _over(effect, error), quantile,
                      "Student with skewness", dropped)  # fmt: skip

    def mean_exceeds(self, rows: ArrayLike, value: ArrayLike, *, on: str) -> None:
        """Demonstrated: the mean of the law of the rows is larger than ``value``."""
        mean, error, quantile = self._studentised(rows, self.level, False)
        effect = mean - np.asarray(value, dtype=np.float64)
        self._compare("demonstrated", on, mean - quantile * error, value, np.inf, None, _over(effect, error), quantile,
                      "Student with skewness, one-sided")  # fmt: skip

    def chi_square(self, value: ArrayLike, degrees: ArrayLike, *, on: str, scale: Numbers = 1.0) -> None:
        """``value / scale`` has the chi-square law with ``degrees`` degrees of freedom. Exact."""
        from scipy.special import chdtr, chdtrc, chdtri

        value, degrees = np.asarray(value, dtype=np.float64) / scale, np.asarray(degrees, dtype=np.float64)
        high, low = chdtri(degrees, self.level / 2), _chi_square_low(degrees, self.level / 2)
        tail = np.minimum(chdtr(degrees, value), chdtrc(degrees, value))
        self._compare("exact", on, value / degrees, low / degrees, high / degrees, 1.0, _deviate(tail),
                      normal_quantile(self.level / 2), "chi-square")  # fmt: skip

    def frequency(self, successes: Numbers, n: Numbers, p: ArrayLike, *, on: str, tol: Numbers = 0.0) -> None:
        """``n`` independent trials succeed with probability ``p`` (known to ``tol``) each. Exact (Clopper-Pearson)."""
        k, p = np.asarray(successes), np.asarray(p, dtype=np.float64)
        low, high = clopper_pearson(k, n, self.level / 2)
        tail = np.minimum(_at_least(k, n, np.minimum(p + tol, 1)), _at_least(n - k, n, 1 - np.maximum(p - tol, 0)))
        self._compare("exact", on, p, low - tol, high + tol, None, _deviate(tail), normal_quantile(self.level / 2),
                      "Clopper-Pearson")  # fmt: skip

    def frequency_is_not(
        self, successes: Numbers, n: Numbers, wrong: ArrayLike, *, on: str, dropped: str = "the true value"
    ) -> None:
        """Control: the probability of a success is demonstrably not ``wrong`` (two-sided Clopper-Pearson)."""
        k, wrong = np.asarray(successes), np.asarray(wrong, dtype=np.float64)
        tail = np.minimum(_at_least(k, n, wrong), _at_least(n - k, n, 1 - wrong))
        z = normal_quantile(self.level / 2)
        effect = _deviate(tail)
        self._compare("demonstrated", on, effect, z, np.inf, None, effect, z, "Clopper-Pearson", dropped)

    def frequency_at_least(self, successes: Numbers, n: Numbers, p: ArrayLike, *, on: str) -> None:
        """Demonstrated: the probability of a success is at least ``p`` (one-sided Clopper-Pearson)."""
        k, p = np.asarray(successes), np.asarray(p, dtype=np.float64)
        low, _ = clopper_pearson(k, n, self.level)
        effect = np.where(p > 0, _deviate(_at_least(k, n, np.clip(p, 0, 1))), np.inf)
        self._compare("demonstrated", on, low, p, np.inf, None, effect, normal_quantile(self.level), "Clopper-Pearson")

    def frequency_below(self, successes: Numbers, n: Numbers, p: ArrayLike, *, on: str, dropped: str | None = None) -> None:
        """Demonstrated: the probability of a success is below ``p`` (one-sided Clopper-Pearson)."""
        k, p = np.asarray(successes), np.asarray(p, dtype=np.float64)
        _, high = clopper_pearson(k, n, self.level)
        effect = np.where(p < 1, _deviate(_at_least(n - k, n, np.clip(1 - p, 0, 1))), np.inf)
        self._compare("demonstrated", on, high, -np.inf, p, None, effect, normal_quantile(self.level), "Clopper-Pearson",
                      dropped)  # fmt: skip

    def distribution(self, values: ArrayLike, cdf: Callable[[np.ndarray], ArrayLike], *, on: str, tol: float = 0.0) -> None:
        """Independent values have the distribution function ``cdf`` (to ``tol``): one comparison, all points at once.

        Dvoretzky-Kiefer-Wolfowitz with Massart's constant: P(sup |F_n - F| > e) <= 2 exp(-2 n e^2), for every n and every F
        without jumps.

        Raises
        ------
        ValueError
            when values coincide: such a law jumps.
        """
        no_mask("values", values)
        x = np.sort(np.asarray(values, dtype=np.float64).ravel())
        n, at = x.size, np.asarray(cdf(x), dtype=np.float64)
        if np.any(np.diff(x) == 0):
            fail("values", values, "values of a continuous law, without ties")
        number = np.arange(n)  # F_n jumps at each value from number/n to (number + 1)/n
        distance = float(np.max(np.maximum(np.abs((number + 1) / n - at), np.abs(number / n - at))))
        half = math.sqrt(math.log(2 / self.level) / (2 * n))
        beyond = max(distance - tol, 0.0)
        tail = min(math.exp(-2 * n * beyond**2), 0.5)
        self._compare("exact", on, distance, 0.0, half + tol, 0.0, _deviate(tail), normal_quantile(self.level / 2),
                      "Dvoretzky-Kiefer-Wolfowitz-Massart")  # fmt: skip

    def median(self, values: ArrayLike, expected: ArrayLike, *, on: str, tol: Numbers = 0.0) -> None:
        """The law of the values has the median ``expected`` (to ``tol``): how many lie below is binomial. Exact.

        ``values`` has shape (n, ...), ``expected`` the shape of the rest.
        """
        no_mask("values", values)
        values, expected = np.asarray(values, dtype=np.float64), np.asarray(expected, dtype=np.float64)
        n = values.shape[0]
        below, above = (np.sum(side, axis=0) for side in (values <= expected - tol, values >= expected + tol))
        deviation = _deviate(_at_least(np.maximum(below, above), n, 0.5))
        z = normal_quantile(self.level / 2)
        self._compare("exact", on, deviation, 0.0, z, 0.0, deviation, z, "binomial law of the number below the median")

    def _studentised(self, rows, tail, gaussian):
        """Mean, standard error and quantile of every column."""
        no_mask("rows", rows)
        rows = np.asarray(rows, dtype=np.float64)
        n = rows.shape[0]
        if rows.ndim == 0 or n < 2:
            fail("rows", rows, "at least two rows")
        mean = rows.mean(axis=0)
        centred = rows - mean
        sd = np.sqrt(np.sum(centred**2, axis=0) / (n - 1))
        skewness = np.zeros_like(sd) if gaussian else np.abs(_over(np.mean(centred**3, axis=0), sd**3))
        return mean, sd / math.sqrt(n), student_quantile(tail, n - 1, skewness / (3 * math.sqrt(n)))


def _over(value, error):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0, 0.0, value / error)


def _deviate(tail):
    """The normal deviate of a one-sided tail, 0 from one half on."""
    from scipy.special import ndtri

    with np.errstate(divide="ignore"):
        return np.maximum(-ndtri(np.minimum(tail, 0.5)), 0.0)


def normal_quantile(tail: float) -> float:
    """z with P(N(0, 1) > z) = ``tail``."""
    from scipy.special import ndtri

    return -float(ndtri(tail))


def student_quantile(tail: float, degrees: Numbers, correction: Numbers = 0.0) -> Any:
    """t with log P(T > t) + ``correction`` t^3 = log ``tail``: Student's quantile, widened for a skewed law.

    Raises
    ------
    ValueError
        when the equation has no solution: n is too small for a normal approximation at this level.
    """
    from scipy.special import stdtr, stdtrit

    correction = np.asarray(correction, dtype=np.float64)
    correction = np.where(np.isnan(correction), 0.0, correction)  # NaN rows: the comparison fails by itself
    t = start = -stdtrit(degrees, tail)
    for _ in range(200):
        if np.any(correction * t > 0.3):  # beyond 1/3 the two sides do not meet
            fail("rows", float(np.max(correction)), "more rows, or less skewed ones: no normal law holds this far out")
        before, t = t, -stdtrit(degrees, tail * np.exp(-correction * t**3))
        if np.all(np.abs(t - before) <= 1e-9 * start):
            break
    if not np.all(np.abs(stdtr(degrees, -t) * np.exp(correction * t**3) / tail - 1) < 1e-3):
        fail("rows", float(np.max(correction)), "more rows: the quantile did not converge")
    return t


def clopper_pearson(successes: Numbers, n: Numbers, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of a probability from ``successes`` of ``n``: each is on the wrong side with probability at most ``tail``."""
    from scipy.special import betaincinv

    k = np.asarray(successes, dtype=np.float64)
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, 1 - betaincinv(np.maximum(n - k, 1), k + 1, tail), 1.0)
    return low, high


def _at_least(k, n, p):
    """P(at least k of n)."""
    from scipy.special import betainc

    k = np.asarray(k, dtype=np.float64)
    return np.where(k > 0, betainc(np.maximum(k, 1), n - np.minimum(k, n) + 1, p), 1.0)


def _chi_square_low(degrees, tail):
    from scipy.special import gammaincinv

    return 2 * gammaincinv(degrees / 2, tail)
