r"""Audit of a denoiser: does the theory of DDIM as gradient descent on a distance apply to it, and which guarantee follows?

Any denoiser ``fn(x, sigma)`` (x of shape (n, d), sigma a number or an (n,) array; returns the estimate of the clean x)
against any point cloud K. DDIM trajectories are run, and at every visited state x_t the relative projection error

.. math:: \eta_t = |\hat x(x_t, \sigma_t) - p(x_t)| \,/\, d(x_t)

is measured, with denoiser, projection p and distance d at the *same* state, next to the band usage
:math:`\max(r, 1/r)`, :math:`r = \sqrt n\,\sigma_t/d(x_t)`, and the gap to the second nearest point. From them follow the
status of each hypothesis of Theorem 4.2 of Permenter & Yuan (arXiv 2306.04848), the guarantees on d(x_0)/d(x_N) and the
largest step that is admissible for a denoiser of that quality.

Command line::

    exactdiffusion audit ideal --target digits                       the ideal denoiser of the cloud itself
    exactdiffusion audit mymodule:denoise --target digits --N 50     your own
    exactdiffusion audit mymodule:denoise --target points.npy        your own cloud, one point a row (.npy, .csv)
    exactdiffusion audit experiments/projection/audit_examples.py:perturbed --target digits
    exactdiffusion audit experiments/projection/audit_examples.py:knn --target digits

The last two are worked examples: exact projections with an error of prescribed relative size (the audit reports that size)
and a k-nearest-neighbour regressor of scikit-learn as denoiser (the audit shows from which noise level on it is unfit).

Python::

    from exactdiffusion.papers.projection.audit import audit
    report = audit(fn, points)
    print(report.text())
    report.eta_max, report.nu, report.hypotheses, report.schedule(sigma_max=40.0)

The audit is no proof that fn is an approximate projection. On a finite set no continuous denoiser is one with eta < 1 at
*all* points (``statements.projection``, obstruction); the theorem's proof only uses the visited states, and these are
measured.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ... import samplers, schedules
from ..._core import files
from ..._core.external import load_function as _load_function
from ..._core.random import Noise
from ..._core.typing import Array, ArrayLike, Row, StrPath
from ..._core.validation import fail, integer, no_mask, real_array, scalar
from ...laws import PointCloud
from ...statements import projection as bound

__all__ = ["AuditReport", "Hypothesis", "audit", "load_cloud", "load_function", "run"]

EPS = np.finfo(np.float64).eps
_LEVELS = (5, 25, 50, 75, 95)


def audit(
    fn: Callable[[Array, Any], Array] | Literal["ideal"],
    cloud: ArrayLike | PointCloud,
    *,
    N: int = 50,
    trajectories: int = 200,
    seed: int = 0,
    sigma_ratio: float = 1e-4,
    sigma_max: float = 40.0,
    nu: float | None = None,
    schedule: str | None = None,
    scalar_sigma: bool = False,
    name: str | None = None,
) -> "AuditReport":
    r"""Run DDIM with a denoiser and judge it by the theory of the projection paper.

    Parameters
    ----------
    fn : callable or "ideal"
        ``fn(x, sigma)`` -> (n, d) array; x is (n, d), in variance-exploding coordinates x = x_0 + sigma z; sigma is an (n,)
        array, one value per row, or a float with ``scalar_sigma`` or a ``schedule``. "ideal" is the conditional mean of the
        cloud with equal weights.
    cloud : array (M, d) or PointCloud
        The set K.
    N : int
        Number of DDIM steps.
    trajectories : int
        Started at N(0, sigma_max^2 I) (with ``schedule``: at its first level).
    seed : int
    sigma_ratio : number in (0, 1)
        sigma_0 / sigma_N of the log-linear schedule; every row starts at its own :math:`\sigma_N = d(x_N)/\sqrt d`, as the
        theorem asks.
    sigma_max : number > 0
        Standard deviation of the start.
    nu : number > 1, optional
        Width of the band that hypothesis H2 is asked for and that the recommended schedule uses. By default H2 takes the
        smallest possible value, the recommendation 2.
    schedule : str, optional
        Instead of the log-linear schedule, one of ``schedules.REGISTRY`` (e.g. "ddpm"), the same levels for all rows: then
        H4 (the start) holds only approximately, and is reported.
    scalar_sigma : bool
        Call fn row by row with a float sigma, for denoisers that take no array of levels.
    name : str, optional
        How the report calls the denoiser.

    Returns
    -------
    AuditReport

    Raises
    ------
    ValueError
        Naming the argument; for a denoiser that raises, returns a wrong shape or values that are not finite, naming the
        function and sigma.

    Examples
    --------
    >>> cloud = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> report = audit("ideal", cloud, N=20, trajectories=10)
    >>> report.eta.shape, bool(np.all(report.inside))
    ((20, 10), True)
    >>> [h.name for h in report.hypotheses if h.holds]
    ['H1', 'H2', 'H3', 'H4']
    >>> print(report.text().split("\n")[0])
    audit of ideal denoiser
    """
    law = cloud if isinstance(cloud, PointCloud) else PointCloud(real_array("cloud", cloud, "an (M, d) array of points"))
    N, trajectories = integer("N", N, low=1), integer("trajectories", trajectories, low=1)
    sigma_ratio = scalar("sigma_ratio", sigma_ratio, low=0, high=1, low_open=True, high_open=True)
    sigma_max = scalar("sigma_max", sigma_max, low=0, low_open=True)
    nu = None if nu is None else scalar("nu", nu, low=1, low_open=True)
    if fn == "ideal":
        equal = PointCloud(law.points, copy=False)
        name = name or "ideal denoiser"

        def fn(x, sigma):
            return equal.noised(1.0, sigma).denoise(x)

    if not callable(fn):
        fail("fn", fn, "a callable fn(x, sigma) or 'ideal'")
    oracle = _Remembering(fn, law.dim, name or getattr(fn, "__name__", repr(fn)), scalar_sigma)

    # the start and the levels of every trajectory
    unit = Noise(seed).initial(trajectories, law.dim)
    if schedule is None:
        x = sigma_max * unit
        first = law.distance(x) / math.sqrt(law.dim)
        if not np.all(first > 0):
            fail("sigma_max", sigma_max, "a start off the cloud: a trajectory begins on one of its points")
        sigma = first * sigma_ratio ** (np.arange(N + 1) / N)[:, None]
        grid, title = schedules.Grid(np.ones_like(sigma), sigma), f"log-linear to {sigma_ratio:g} of the start"
    else:
        if schedule not in schedules.REGISTRY:
            fail("schedule", schedule, "one of " + ", ".join(schedules.REGISTRY))
        grid = schedules.REGISTRY[schedule](N).to_ve()
        x, title = grid.sigma[0] * unit, schedule

    # run DDIM and measure at every visited state
    distance: list[np.ndarray] = []
    size: list[np.ndarray] = []
    usage, gap, eta, nearest = [], [], [], None
    level = np.broadcast_to(grid.sigma.reshape(N + 1, -1), (N + 1, trajectories))
    for i, state in enumerate(samplers.ddim(oracle, grid, x)):
        if not np.all(np.isfinite(state)):
            fail(f"fn ({oracle.name})", state, f"a denoiser whose trajectories stay finite (step {i})")
        if i:  # the denoiser was asked at the state before
            error = np.linalg.norm(oracle.answer - nearest, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                # below this distance eta would be the rounding of x: less than two digits
                resolved = distance[-1] > 128 * EPS * math.sqrt(law.dim) * size[-1]
                eta.append(np.where(resolved, error / distance[-1], np.nan))

        index, d = law.nearest(state)
        nearest = law.points[index]
        with np.errstate(divide="ignore", invalid="ignore"):
            gap.append(law.gap(state) / d)
            used = np.where((d > 0) & (level[i] > 0), bound.band_usage(d, level[i], law.dim), np.inf)
            usage.append(np.where((d == 0) & (level[i] == 0), 1.0, used))  # d/nu <= sqrt(n) sigma <= nu d reads 0 <= 0 <= 0
        distance.append(d)
        size.append(np.linalg.norm(state, axis=1))
    return AuditReport(
        name=oracle.name,
        points=len(law.points),
        dimension=law.dim,
        schedule_name=title,
        seed=seed,
        asked_nu=nu,
        beta=np.array(grid.beta).reshape(N, -1),
        sigma=np.array(level),
        eta=np.array(eta),
        distance=np.array(distance),
        usage=np.array(usage),
        gap=np.array(gap),
        size=np.array(size),
    )


class _Remembering:
    """The user's denoiser as an oracle: checks every answer and keeps the last one."""

    def __init__(self, fn, dim, name, scalar_sigma):
        self.fn, self.dim, self.name, self.scalar_sigma, self.answer = fn, dim, name, scalar_sigma, None

    def noised(self, scale=1.0, sigma=0.0):
        return _Level(self, sigma)

    def ask(self, x, sigma):
        if self.scalar_sigma and np.ndim(sigma):
            return np.concatenate([self._call(x[i : i + 1], float(s)) for i, s in enumerate(np.asarray(sigma))])
        return self._call(x, sigma)

    def _call(self, x, sigma):
        s = np.asarray(sigma, dtype=np.float64)
        at = f"at sigma = {s.min():.4g}" + (f" to {s.max():.4g} (an array of shape {s.shape})" if s.ndim else "")
        try:
            out = self.fn(x.copy(), sigma if s.ndim == 0 else s.copy())
        except Exception as error:
            hint = "; a denoiser that takes one sigma only: scalar_sigma" if s.ndim else ""
            raise ValueError(f"fn: {self.name} raised {type(error).__name__} {at}: {error}{hint}") from error
        no_mask("fn (its result)", out)
        try:
            out = np.asarray(out, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"fn: {self.name} {at} returned {type(out).__name__}; expected an array of numbers") from None
        if out.shape != x.shape:
            raise ValueError(f"fn: {self.name} {at} returned shape {out.shape}; expected {x.shape}, that of x")
        bad = ~np.isfinite(out)
        if np.any(bad):
            rows = np.flatnonzero(np.any(bad, axis=1))
            which = f"row {rows[0]}, sigma = {float(np.broadcast_to(s, len(x))[rows[0]]):.4g}"
            raise ValueError(
                f"fn: {self.name} {at} returned values that are not finite in {len(rows)} of {len(x)} rows "
                f"(first: {which}); expected finite numbers"
            )
        return out


class _Level:
    def __init__(self, oracle, sigma):
        self.oracle, self.sigma = oracle, sigma

    def denoise(self, x):
        self.oracle.answer = self.oracle.ask(x, self.sigma)
        return self.oracle.answer


@dataclass(frozen=True)
class Hypothesis:
    """Status of one hypothesis: ``holds`` on all trajectories, the ``share`` of them on which it does, and the numbers.

    Examples
    --------
    >>> Hypothesis("H1", True, 1.0, "largest eta 0.2").holds
    True
    """

    name: str
    holds: bool
    share: float
    value: str


@dataclass(frozen=True, eq=False)
class AuditReport:
    """The measurements (arrays noisy to clean: N or N + 1 rows, one column per trajectory) and their consequences.

    Attributes
    ----------
    eta : (N, trajectories)
        Relative projection errors; NaN at states that lie on a point of the cloud, up to rounding.
    distance, sigma, usage, gap : (N + 1, trajectories)
        d(x_t); noise level; band usage max(r, 1/r); second nearest minus nearest distance, relative to the nearest.
    beta : (N, 1) or (N, trajectories)
        Relative steps.

    Examples
    --------
    >>> report = audit("ideal", np.array([[-1.0, 0.0], [1.0, 0.0]]), N=20, trajectories=10)
    >>> report.applicable, report.eta_max < 1
    (True, True)
    >>> report.schedule(sigma_max=40.0).N
    20
    """

    name: str
    points: int
    dimension: int
    schedule_name: str
    seed: int
    asked_nu: float | None
    beta: np.ndarray = field(repr=False)
    sigma: np.ndarray = field(repr=False)
    eta: np.ndarray = field(repr=False)
    distance: np.ndarray = field(repr=False)
    usage: np.ndarray = field(repr=False)
    gap: np.ndarray = field(repr=False)
    size: np.ndarray = field(repr=False)

    # -- eta -------------------------------------------------------------------------------------------------------------

    @property
    def N(self) -> int:
        """Number of steps."""
        return len(self.eta)

    @property
    def on_cloud(self) -> int:
        """Visited states that lie on a point of the cloud, up to rounding: no relative error can be measured there."""
        return int(np.sum(np.isnan(self.eta)))

    @property
    def defined(self) -> np.ndarray:
        """(trajectories,) whether eta is defined along the whole trajectory."""
        return ~np.any(np.isnan(self.eta), axis=0)

    @property
    def eta_per_trajectory(self) -> np.ndarray:
        """(trajectories,) largest eta on each (over the states where it is defined; 0 where there is none)."""
        return np.max(np.nan_to_num(self.eta, nan=0.0), axis=0)

    @property
    def eta_max(self) -> float:
        """Largest eta of all visited states: the eta of Theorem 4.2."""
        return float(np.max(self.eta_per_trajectory))

    @property
    def eta_median(self) -> float:
        """Median over trajectories of the largest eta on each."""
        return float(np.median(self.eta_per_trajectory))

    def quantiles(self) -> dict[int, float]:
        """Quantiles of eta over all visited states: percentage -> value."""
        values = self.eta[~np.isnan(self.eta)]
        return {q: float(np.percentile(values, q)) for q in _LEVELS} if values.size else {}

    def per_step(self) -> list[Row]:
        """One dict per step, noisy to clean: sigma (median), relative step, eta (mean, q05, q50, q95, max), band usage."""
        rows = []
        for i in range(self.N):
            values = self.eta[i][~np.isnan(self.eta[i])]
            row: Row = {"step": i, "sigma": float(np.median(self.sigma[i])), "beta": float(np.median(self.beta[i]))}
            row |= {f"q{q:02d}": float(np.percentile(values, q)) if values.size else None for q in (5, 50, 95)}
            row |= {
                "mean": float(np.mean(values)) if values.size else None,
                "max": float(np.max(values)) if values.size else None,
                "usage": _number(np.max(self.usage[i])),
            }
            rows.append(row)
        return rows

    # -- Theorem 4.2 -----------------------------------------------------------------------------------------------------

    def _columns(self, name):
        values = getattr(self, name)
        return np.broadcast_to(values, (len(values), self.eta.shape[1]))

    @property
    def nu_per_trajectory(self) -> np.ndarray:
        """(trajectories,) smallest nu for which the schedule is admissible at the largest eta of the trajectory."""
        if self.beta.shape[1] == 1:
            beta = self.beta[:, 0]
            return np.array([_smallest_nu(beta, e) for e in self.eta_per_trajectory])
        return np.array([_smallest_nu(b, e) for b, e in zip(self.beta.T, self.eta_per_trajectory)])

    @cached_property
    def nu(self) -> float:
        """Smallest nu for which the schedule is (eta_max, nu)-admissible; inf where there is none."""
        eta_max = self.eta_max
        return max(_smallest_nu(b, eta_max) for b in self.beta.T)

    @property
    def band_nu(self) -> float:
        """Width of the band judged: the nu asked for, else the smallest admissible one."""
        return self.nu if self.asked_nu is None else self.asked_nu

    @cached_property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The four hypotheses of Theorem 4.2, measured on the trajectories, in order."""
        eta, eta_max, n, nu = self.eta_per_trajectory, self.eta_max, self.eta.shape[1], self.band_nu

        # H1: the error is below the distance wherever the denoiser was asked
        h1 = (eta < 1) & self.defined
        undefined = f"; {self.on_cloud} states on the cloud" if self.on_cloud else ""

        # H2: at the smallest nu itself the excess is 0 up to the rounding of N logarithms and one exponential
        h2 = np.zeros(n, dtype=bool)
        if eta_max < 1 and math.isfinite(nu):
            excess = np.array([bound.admissibility_excess(b, eta_max, nu) for b in self.beta.T])
            h2 = np.broadcast_to(excess <= 8 * (self.N + 1) * EPS * max(1.0, math.log(nu)), n)
        smallest = self.asked_nu is None and math.isfinite(self.nu)
        which = "the smallest" if smallest else f"smallest possible: {self.nu:.4g}"

        # H3: the second nearest point is farther away than the nearest one by more than the rounding of both distances
        rounding = 8 * EPS * math.sqrt(self.dimension) * self.size / np.where(self.distance > 0, self.distance, np.inf)
        h3 = np.all((self.gap > rounding) | (self.distance == 0), axis=0)
        least = np.min(self.gap[self.distance > 0]) if np.any(self.distance > 0) else math.nan

        # H4: the start lies where the first noise level says
        start = self.distance[0] / (math.sqrt(self.dimension) * self.sigma[0])
        h4 = np.abs(start - 1) <= 16 * EPS

        measured = (
            ("H1", h1, f"|xhat - p| <= eta d with eta < 1 at the visited states: largest eta {eta_max:.4g}{undefined}"),
            ("H2", h2, f"schedule (eta, nu)-admissible, eta = {eta_max:.4g}, nu = {nu:.4g} ({which})"),
            ("H3", h3, f"unique projections: smallest relative gap {least:.3g}"),
            ("H4", h4, f"d(x_N) = sqrt(n) sigma_N: ratio {start.min():.4g} to {start.max():.4g}"),
        )
        return tuple(Hypothesis(name, bool(np.all(h)), float(np.mean(h)), value) for name, h, value in measured)

    @property
    def applicable(self) -> bool:
        """Whether all four hypotheses hold: Theorem 4.2 then applies to these trajectories."""
        return all(h.holds for h in self.hypotheses)

    @property
    def measured(self) -> np.ndarray:
        """(trajectories,) d(x_0) / d(x_N)."""
        return self.distance[-1] / self.distance[0]

    @property
    def a_posteriori(self) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (trajectories,): bounds of d(x_0)/d(x_N) from the errors of every step; NaN where undefined.

        They need none of the four hypotheses, only relative steps in [0, 1].
        """
        beta, eta = self._columns("beta"), np.nan_to_num(self.eta, nan=0.0)
        lower, upper = bound.a_posteriori_sandwich(1.0, beta, eta)
        return np.where(self.defined, lower[-1], np.nan), np.where(self.defined, upper[-1], np.nan)

    @property
    def a_priori(self) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (trajectories,): the products of Theorem 4.2 with eta = eta_max; NaN when eta_max >= 1."""
        if not self.eta_max < 1:
            return np.full(self.eta.shape[1], np.nan), np.full(self.eta.shape[1], np.nan)
        lower, upper = bound.ddim_distance_sandwich(1.0, self._columns("beta"), self.eta_max)
        return lower[-1], upper[-1]

    @property
    def tolerance(self) -> np.ndarray:
        """(trajectories,) rounding of d(x_0)/d(x_N) and of its bounds: 16 eps sqrt(n) sum |x_t| / d(x_N).

        Every state, projection and measured error carries eps |x_t|, and no step enlarges it by more than a factor 2.
        """
        return 16 * EPS * math.sqrt(self.dimension) * np.sum(self.size, axis=0) / self.distance[0]

    @property
    def inside(self) -> np.ndarray:
        """(trajectories,) whether d(x_0)/d(x_N) is within its a-posteriori bounds, up to rounding (True where undefined)."""
        lower, upper = self.a_posteriori
        tol = self.tolerance
        return ~self.defined | ((self.measured <= upper + tol) & (lower <= self.measured + tol))

    # -- using it -------------------------------------------------------------------------------------------------------

    @property
    def schedule_nu(self) -> float:
        """The nu of the recommended schedule."""
        return 2.0 if self.asked_nu is None else self.asked_nu

    @property
    def beta_star(self) -> float | None:
        """Largest admissible constant relative step for N steps at the measured eta; None when eta_max >= 1."""
        return float(bound.beta_star(self.eta_max, self.schedule_nu, self.N)) if self.eta_max < 1 else None

    def schedule(self, sigma_max: float = 40.0, N: int | None = None) -> schedules.Grid:
        """The admissible log-linear `Grid` for the measured eta: N steps of the largest admissible size.

        Raises
        ------
        ValueError
            eta_max is not below 1: nothing is admissible.
        """
        if not self.eta_max < 1:
            fail("eta_max", self.eta_max, "eta < 1: no schedule is admissible for this denoiser")
        return schedules.admissible(self.N if N is None else N, self.eta_max, self.schedule_nu, sigma_max)

    def to_dict(self) -> dict[str, Any]:
        """Everything the text says, as JSON values (numbers that are not finite as None)."""
        lower, upper = self.a_posteriori
        low, high = self.a_priori
        best = self.beta_star
        recommended = (
            None
            if best is None
            else {
                "nu": self.schedule_nu,
                "beta": best,
                "sigma_ratio": (1 - best) ** self.N,
                "guarantee": (1 + best * (self.eta_max - 1)) ** self.N,
                "limit": _limit(self.eta_max, self.schedule_nu),
            }
        )

        return {
            # the run
            "denoiser": self.name,
            "points": self.points,
            "dimension": self.dimension,
            "N": self.N,
            "trajectories": self.eta.shape[1],
            "seed": self.seed,
            "schedule": self.schedule_name,
            # the measured errors, the band and the hypotheses
            "eta": {
                "max": _number(self.eta_max),
                "median": _number(self.eta_median),
                "states_on_cloud": self.on_cloud,
                "quantiles": {str(q): v for q, v in self.quantiles().items()},
                "per_step": self.per_step(),
            },
            "nu": {
                "smallest_admissible": _number(self.nu),
                "asked": self.asked_nu,
                "per_trajectory_median": _number(np.median(self.nu_per_trajectory)),
            },
            "band_usage": {"max": _number(np.max(self.usage)), "median": _number(np.median(np.max(self.usage, axis=0)))},
            "gap_min": _number(np.min(self.gap)),
            "hypotheses": [vars(h) for h in self.hypotheses],
            "applicable": self.applicable,
            # the guarantees beside the measured ratio
            "distance_ratio": {
                "measured": _summary(self.measured),
                "a_posteriori_lower": _summary(lower),
                "a_posteriori_upper": _summary(upper),
                "a_priori_lower": _summary(low),
                "a_priori_upper": _summary(high),
                "inside_a_posteriori": float(np.mean(self.inside)),
            },
            "admissible_schedule": recommended,
        }

    def text(self) -> str:
        """The report as text, at most 125 columns."""
        eta, q = self.eta_per_trajectory, self.quantiles()
        out = [
            f"audit of {self.name}",
            f"  cloud: {self.points} points in dimension n = {self.dimension}; {self.eta.shape[1]} DDIM trajectories of "
            f"{self.N} steps, {self.schedule_name}, seed {self.seed}",
            "",
            "relative projection error  eta_t = |xhat - p| / d  (denoiser, projection and distance at the same state)",
            f"  largest {self.eta_max:.4g}; median over trajectories of their largest {np.median(eta):.4g}"
            + (f"; {self.on_cloud} states on the cloud, without a relative error" if self.on_cloud else ""),
        ]

        # quantiles, and ten steps with the worst one among them
        if q:
            out.append("  all visited states: " + ", ".join(f"{p} % {v:.3g}" for p, v in q.items()))
        out.append("     step     sigma      step size   mean      5 %       50 %      95 %      max     band usage")
        steps = self.per_step()
        for i in sorted({round(k * (self.N - 1) / 9) for k in range(10)} | {int(np.argmax([r["max"] or 0 for r in steps]))}):
            r = steps[i]
            cells = [r["sigma"], r["beta"], r["mean"], r["q05"], r["q50"], r["q95"], r["max"], r["usage"]]
            out.append(f"    {i:5d} " + " ".join(f"{'-' if v is None else format(v, '.3g'):>9}" for v in cells))

        # the band that the trajectories use and the one that the schedule needs
        out += [
            "",
            "band  max(r, 1/r), r = sqrt(n) sigma / d",
            f"  used: largest {np.max(self.usage):.4g}, "
            f"median over trajectories {np.median(np.max(self.usage, axis=0)):.4g}",
            f"  smallest nu for which this schedule is admissible: {self.nu:.4g} at the largest eta; "
            f"median over trajectories {np.median(self.nu_per_trajectory):.4g}",
            "",
            "hypotheses of Theorem 4.2 (Permenter & Yuan), at the visited states",
        ]

        # the hypotheses
        for h in self.hypotheses:
            out.append(f"  {h.name}  {'holds' if h.holds else 'FAILS':5}  {100 * h.share:5.1f} %  {h.value}")
        out.append(f"  the theorem {'applies' if self.applicable else 'does not apply'} to these trajectories as a whole")

        # the guarantees beside the measured ratio
        out += ["", "d(x_0) / d(x_N)            median      smallest    largest"]
        (lower, upper), (low, high) = self.a_posteriori, self.a_priori
        for label, values in (
            ("measured", self.measured),
            ("a posteriori, lower", lower),
            ("a posteriori, upper", upper),
            ("a priori, lower", low),
            ("a priori, upper", high),
        ):
            s = _summary(values)
            cells = "".join(f"{'-' if s[k] is None else format(s[k], '.4g'):>12}" for k in ("median", "min", "max"))
            out.append(f"  {label:21}{cells}")
        out.append(f"  within the a-posteriori bounds (which need no hypothesis): {100 * np.mean(self.inside):.1f} %")
        if not self.applicable:
            out.append("  the a-priori products are a guarantee only where the theorem applies")

        # the recommended schedule
        best = self.beta_star
        out += ["", f"largest admissible log-linear step for this eta, nu = {self.schedule_nu:g}, N = {self.N}"]
        if best is None:
            out.append("  none: eta is not below 1")
        else:
            out.append(
                f"  beta* = {best:.4g}: sigma_0 / sigma_N = {(1 - best) ** self.N:.4g}, "
                f"guaranteed d(x_0) / d(x_N) <= {(1 + best * (self.eta_max - 1)) ** self.N:.4g} "
                f"(no N guarantees less than {_limit(self.eta_max, self.schedule_nu):.4g})"
            )
            used = float(np.max(self.beta))
            out.append(f"  this schedule's largest step is {used:.4g}")
        return "\n".join(out)


def _smallest_nu(beta, eta):
    return bound.smallest_admissible_nu(beta, eta) if eta < 1 else math.inf


def _limit(eta, nu):
    return bound.admissible_limits(eta, nu)[2]


def _number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def _summary(values):
    values = values[np.isfinite(values)]
    if not values.size:
        return {"median": None, "min": None, "max": None}
    return {"median": float(np.median(values)), "min": float(np.min(values)), "max": float(np.max(values))}


# ------------------------------------------------------------------------------------------------------ the command line


def load_function(text: str) -> Callable[..., Any]:
    """The denoiser that ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` names; modules of the current folder are found."""
    function, _ = _load_function("fn", text, "MODULE:FUNCTION, FILE.py:FUNCTION or 'ideal'")
    try:
        inspect.signature(function).bind(0, 0)
    except TypeError as error:
        raise ValueError(f"fn: got {text!r}; expected a function of (x, sigma) ({error})") from None
    except ValueError:  # built-in functions have no signature
        pass
    return function


def load_cloud(text: str) -> PointCloud:
    """A target by name (one that is a point cloud), or the points of a .npy, .csv, .tsv or .txt file, one a row.

    Examples
    --------
    >>> load_cloud("digits").points.shape
    (1797, 64)
    """
    from ... import datasets

    path, kind = Path(text), Path(text).suffix.lower()
    if kind in (".npy", ".csv", ".tsv", ".txt"):
        if not path.is_file():
            fail("target", text, "an existing file")
        try:
            points = np.load(path, allow_pickle=False) if kind == ".npy" else datasets._read_points(path)
        except Exception as error:  # the errors of NumPy for a damaged header have no common base class
            raise ValueError(f"target: got {text!r}; expected numbers, one point a row ({error})") from None
        points = real_array("target", points, f"an (M, d) array of finite numbers in {path.name}")
        try:
            return PointCloud(points)
        except ValueError as error:
            raise ValueError(f"target: {path}: {error}") from None
    clouds = [name for name, entry in datasets.TARGETS.items() if entry.law.__qualname__.startswith("_cloud.")]
    if text not in clouds:
        fail("target", text, "a .npy, .csv, .tsv or .txt file of points, or one of " + ", ".join(clouds))
    return datasets.TARGETS[text].law()


def run(text: str, target: str, *, json: StrPath | None = None, **options: Any) -> int:
    """The command: load, audit, print, and write JSON where asked; 0 as exit code."""
    fn: Any = text if text == "ideal" else load_function(text)
    report = audit(fn, load_cloud(target), name=None if text == "ideal" else text, **options)
    print(report.text())
    if json is not None:
        files.write_whole(json, files.json_text(report.to_dict()))
        print(f"\n{json}")
    return 0
