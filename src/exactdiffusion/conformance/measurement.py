"""The numbers that verdicts are made from: exact output laws of a sampler at several step counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .._core.arrays import to_numpy
from .._core.validation import fail
from ..output_laws.coefficients import Coefficients, Probe, coefficients
from .subject import Subject
from .world import Target, World

__all__ = ["DEVIATIONS", "STEPS", "Measurement", "measure", "target"]

#: step counts of a default run
STEPS = (5, 10, 20, 40, 80, 160, 320)

#: standard deviations of the target's directions, in units of length; the first direction is one point
DEVIATIONS = np.array([0.0, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 30.0, 1e3])


def target(unit: float = 1.0) -> Target:
    """N(m, diag(s^2)) with s from `DEVIATIONS`; the mean is 0.3 s, and 0.3 for the point, in units of ``unit``.

    Examples
    --------
    >>> print(target().mean[[0, 8]], target(unit=10.0).deviation[8])
    [0.3 0.3] 10.0
    """
    deviation = unit * DEVIATIONS
    return Target(0.3 * np.where(deviation > 0, deviation, unit), deviation)


@dataclass(frozen=True)
class Measurement:
    """One run of coefficient propagation, started from the exact law of the first level.

    Attributes
    ----------
    steps : int
    coefficients : Coefficients
    target : Target
    levels : ndarray, shape (states, 2)
        (scale, sigma) of the recorded states, start and end included.
    calls : ndarray, shape (calls, 2)
        (scale, sigma) at which the model was asked, in order.
    mean, deviation : ndarray, shape (states, d)
        Laws of the states.
    mismatch : float
        Largest ``|log(sigma of the timestep / sigma of the step)|``; nan without a table of timesteps.
    start_deviation : float or None
        Standard deviation with which the library would start.

    Examples
    --------
    >>> from exactdiffusion.conformance import subject_of
    >>> found = measure(subject_of("heun"), 10)
    >>> found.levels.shape, len(found.calls), round(float(found.ratios[-1]), 12)
    ((11, 2), 20, 0.02)
    """

    steps: int
    coefficients: Coefficients
    target: Target
    levels: np.ndarray
    calls: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    mismatch: float
    start_deviation: float | None

    def _against(self, at, mean, deviation):
        """A state's mean and standard deviation less these, in units of the exact standard deviation, shape (2, d)."""
        exact = self.target.moments(*self.levels[at])[1]
        size = np.where(exact > 0, exact, np.abs(self.target.mean))
        with np.errstate(invalid="ignore", over="ignore"):
            return np.stack([self.mean[at] - mean, self.deviation[at] - deviation]) / size

    @property
    def judged(self) -> int:
        """State at which the method is judged: the last one with noise, or the last one where only start and end are known.

        After a last step to level 0 the law shows that step more than the method.
        """
        return -1 if self.levels[-1, 1] > 0 or len(self.levels) == 2 else -2

    @property
    def error(self) -> np.ndarray:
        """Relative W2 to the exact law at the judged state, shape (d,); at the end with the exact floor taken off."""
        return np.hypot(*self.parts)

    @property
    def parts(self) -> np.ndarray:
        """Signed errors of mean and standard deviation whose norm is the error, shape (2, d)."""
        at = self.judged
        if at == -1 and self.levels[-1, 1] == 0:
            return self._against(-1, self.target.moments(*self.levels[-1])[0], self.floor)
        return self._against(at, *self.target.moments(*self.levels[at]))

    @property
    def end_error(self) -> np.ndarray:
        """Relative W2 to the exact law at the last level, nothing taken off."""
        return np.hypot(*self._against(-1, *self.target.moments(*self.levels[-1])))

    @property
    def floor(self) -> np.ndarray:
        """Standard deviation that an exact run leaves whose last step is a denoising step from the last positive level."""
        scale, s = self.levels[-1, 0], self.target.deviation
        return scale * s**2 / np.hypot(s, self.last_ratio)

    @property
    def ratios(self) -> np.ndarray:
        """Noise ratios sigma / scale of the recorded levels; inf for pure noise."""
        return _ratio(self.levels)

    @property
    def call_ratios(self) -> np.ndarray:
        """Noise ratios at which the model was asked."""
        return _ratio(self.calls)

    def mean_step(self, order: float, exact: int = 0) -> np.ndarray:
        """Mean length of the steps up to the judged state, as each target sees them, shape (d,).

        A target of deviation s is seen at noise ratios near s: of the way from pure noise, ``u = s^2 / (s^2 + sigma^2)`` is
        behind it at ratio sigma. A step of length ``h = 2 (sigma - sigma') / (sigma + sigma')`` changes u by du, and a
        method of order p makes an error of the size ``du h^p`` there. Hence the mean ``(sum du h^p)^(1/p)``. It falls like
        1 / N where every step does, and stays where the steps near s stay, whatever N is. The length is the step in log
        sigma up to its third power, and is 2 where a run begins with pure noise.

        Parameters
        ----------
        order : float
            The exponent p.
        exact : int
            So many steps from the start make no error, and are left out.
        """
        ratios, s = self.passed[exact:, np.newaxis], self.target.deviation
        with np.errstate(invalid="ignore", over="ignore"):
            behind = np.diff(s**2 / (s**2 + ratios**2), axis=0)
            left = ratios[1:] / ratios[:-1]
            lengths = 2.0 * (1.0 - left) / (1.0 + left)
            return np.nansum(np.maximum(behind, 0.0) * np.maximum(lengths, 0.0) ** order, axis=0) ** (1.0 / order)

    @property
    def passed(self) -> np.ndarray:
        """Positive noise ratios up to the judged state: of the states, or of the calls where no state between is shown."""
        known = _falling(self.call_ratios, self.ratios[-1])
        if len(self.levels) > 2:
            known = self.ratios[: len(self.ratios) + self.judged + 1]
        return known[known > 0]

    @property
    def last_ratio(self) -> float:
        """Smallest positive noise ratio of levels and calls."""
        every = np.concatenate([self.ratios, self.call_ratios])
        return float(np.min(every[every > 0], initial=np.inf))


def _falling(asked, last):
    """Distinct finite noise ratios in falling order, down to the last one."""
    asked = np.unique(asked[np.isfinite(asked)])[::-1]
    return np.append(asked[asked > last], last)


def _ratio(levels):
    with np.errstate(divide="ignore"):
        return levels[:, 1] / levels[:, 0]


def measure(
    subject: Subject,
    steps: int,
    *,
    precision: str = "float64",
    widen: bool = True,
    unit: float = 1.0,
    oracle: str = "step",
    repeat: bool = True,
    stretch: float = 0.0,
    exact: int = 0,
    make: Callable | None = None,
    aim: Target | None = None,
) -> Measurement:
    """Exact law of the output of ``subject`` after ``steps`` steps.

    Parameters
    ----------
    subject : Subject
    steps : int
    precision, widen, unit, oracle, stretch, exact
        As in :class:`~exactdiffusion.conformance.world.World`.
    repeat : bool
        Make every run twice, compare bit for bit.
    make : callable, optional
        In place of ``subject.make``: a built ``drive`` to be used again, say.
    aim : Target, optional
        Default: :func:`target`.

    Raises
    ------
    NotRepeatable, ValueError
        As `output_laws.coefficients.coefficients`.

    Examples
    --------
    Ten Euler steps on a point keep its law exactly; on N(0.3, 1) they do not.

    >>> from exactdiffusion.conformance import subject_of
    >>> found = measure(subject_of("ddim"), 10)
    >>> print(found.error[0] < 1e-12, round(found.error[8], 3))
    True 0.205
    """
    aim = target(unit) if aim is None else aim
    world = World(aim, subject.library, precision, unit, widen, oracle, stretch, exact)
    drive = (make or subject.make)(world)
    if not callable(drive):
        fail(f"make of {subject.name}", drive, "a function that returns drive(world, steps)")
    found = coefficients(world.runner(drive, steps, subject.name), repeat=repeat)

    # start at the exact law of the first level
    levels = np.array(world.levels)
    mean, deviation = aim.moments(*levels[0])
    with np.errstate(invalid="ignore", over="ignore"):
        means, variances = found.law(mean, deviation**2)
        deviations = np.sqrt(variances)
    worst = max(map(abs, world.mismatch), default=np.nan)
    calls = np.array(world.calls, dtype=np.float64).reshape(-1, 2)
    return Measurement(steps, found, aim, levels, calls, means, deviations, worst, world.start_deviation)


def call_rows(subject: Subject, steps: int, rows: Sequence[int], requests: list, precision: str = "float64") -> np.ndarray:
    """Last state of these rows alone, in this order, for the requests of noise of an earlier run."""
    world = World(target(), subject.library, precision, widen=True)
    states = world.runner(subject.make(world), steps)(Probe(requests, rows))
    return np.asarray(to_numpy(states[-1]), dtype=np.float64).reshape(len(rows), -1)
