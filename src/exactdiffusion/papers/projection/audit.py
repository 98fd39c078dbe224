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
    exactdiffusion audit net.py:model --target digits --predicts noise --index t --plot audit.png
    exactdiffusion audit experiments/projection/audit_examples.py:perturbed --target digits
    exactdiffusion audit experiments/projection/audit_examples.py:knn --target digits

The last two are worked examples: exact projections with an error of prescribed relative size (the audit reports that size)
and a k-nearest-neighbour regressor of scikit-learn as denoiser (the audit shows from which noise level on it is unfit).

Python::

    from exactdiffusion.papers.projection.audit import audit
    from exactdiffusion.papers.projection.predictions import Convention
    report = audit(fn, points)
    print(report.text())
    report.eta_max, report.nu, report.hypotheses, report.schedule(sigma_max=40.0)
    audit(model, points, convention=Convention("noise", index="t", alphas=scheduler.alphas_cumprod)).next_action

A torch module is given tensors on its own device, without gradients. Beside the denoiser the ideal one of the cloud is asked
at the same states: `AuditReport.times_worse` compares their errors, and `AuditReport.next_action` says what would help most.

The audit is no proof that fn is an approximate projection. On a finite set no continuous denoiser is one with eta < 1 at
*all* points (``statements.projection``, obstruction); the theorem's proof only uses the visited states, and these are
measured.
"""

import inspect
import math
import textwrap
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
from .predictions import PREDICTS, Convention, likely_prediction

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
    convention: Convention | None = None,
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
    convention : Convention, optional
        What ``fn`` predicts and by what it is indexed, such as ``Convention("noise", index="t")``; by default it estimates
        x0 from x = x0 + sigma z and sigma. Indexed by t and without a ``schedule``, the levels are N + 1 of the times of
        training.

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
    convention = Convention() if convention is None else convention
    equal, is_ideal = PointCloud(law.points, copy=False), isinstance(fn, str) and fn == "ideal"
    if is_ideal:
        name, convention = name or "ideal denoiser", Convention()

        def fn(x, sigma):
            return equal.noised(1.0, sigma).denoise(x)

    if not callable(fn):
        also = (
            "; of an estimator, lambda x, sigma: model.predict(np.column_stack([x, sigma]))"
            if hasattr(fn, "predict")
            else ""
        )
        fail("fn", fn, f"a callable fn(x, sigma) or 'ideal'{also}")
    named = name or getattr(fn, "__name__", type(fn).__name__)
    oracle = _Remembering(convention.denoiser(fn), law.dim, named, scalar_sigma)

    # the start and the levels of every trajectory
    unit = Noise(seed).initial(trajectories, law.dim)
    if schedule is None and convention.index == "t":
        levels = convention.levels
        if len(levels) <= N:
            fail("N", N, f"at most {len(levels) - 1}: fn knows {len(levels)} times")
        sigma = levels[np.rint(np.linspace(len(levels) - 1, 0, N + 1)).astype(int)]
        grid, title = schedules.Grid(np.ones(N + 1), sigma), f"{N + 1} of its {len(levels)} times"
        title += " of linear DDPM" if convention.alphas is None else ""
        x = grid.sigma[0] * unit
    elif schedule is None:
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
        if convention.index == "t":
            asked = grid.sigma[:-1]
            off = float(np.max(np.abs(np.log(convention.levels[convention.times(asked)] / asked))))
            title += f", each level asked at the nearest time, off by up to {100 * math.expm1(off):.2g} %"

    # run DDIM and measure at every visited state
    distance: list[np.ndarray] = []
    size: list[np.ndarray] = []
    usage, gap, eta, nearest, previous = [], [], [], None, x
    ideal_eta, excess, least = [], [], []
    level = np.broadcast_to(grid.sigma.reshape(N + 1, -1), (N + 1, trajectories))
    for i, state in enumerate(samplers.ddim(oracle, grid, x)):
        if not np.all(np.isfinite(state)):
            looks = _looks_like(oracle, convention, law)
            likely = f"; its answers look like {PREDICTS[looks]}: convention {looks!r}" if looks else ""
            fail(f"fn ({oracle.name})", state, f"a denoiser whose trajectories stay finite (step {i}){likely}")
        if i:  # the denoiser was asked at the state before
            error = np.linalg.norm(oracle.answer - nearest, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                # below this distance eta would be the rounding of x: less than two digits
                resolved = distance[-1] > 128 * EPS * math.sqrt(law.dim) * size[-1]
                eta.append(np.where(resolved, error / distance[-1], np.nan))

            # the ideal denoiser at the same states: its own eta, and the mean squared errors of both in units of the noise
            ideal = oracle.answer if is_ideal else equal.noised(1.0, level[i - 1]).denoise(previous)
            noise = law.dim * level[i - 1] ** 2
            with np.errstate(divide="ignore", invalid="ignore"):
                ideal_eta.append(np.where(resolved, np.linalg.norm(ideal - nearest, axis=1) / distance[-1], np.nan))
            excess.append(np.sum((oracle.answer - ideal) ** 2, axis=1) / noise)
            least.append(_posterior_spread(law.points, previous, level[i - 1], ideal) / noise)
        previous = state

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
        ideal_eta=np.array(ideal_eta),
        excess=np.array(excess),
        least=np.array(least),
        convention=convention,
        looks_like=None if is_ideal else _looks_like(oracle, convention, law),
    )


def _looks_like(oracle, convention, law):
    """`likely_prediction` of the denoiser, asked once more; None where it refuses these points."""
    try:
        return likely_prediction(oracle.ask, convention, law)
    except (ValueError, ArithmeticError):
        return None


def _posterior_spread(points, x, sigma, mean):
    """(n,) mean squared error of the ideal denoiser given the state: E[|X - mean|^2 | x], for equal weights."""
    found, squares = np.empty(len(x)), np.sum(points**2, axis=1)
    rows = max(1, 2**20 // len(points))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        logits = (x[part] @ points.T - squares / 2) / sigma[part, None] ** 2
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        away = squares - 2 * mean[part] @ points.T + np.sum(mean[part] ** 2, axis=1, keepdims=True)
        found[part] = np.sum(weights * np.maximum(away, 0.0), axis=1)
    return found


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

        # ask, and name the function and the level where it raises
        try:
            out = self.fn(x.copy(), sigma if s.ndim == 0 else s.copy())
        except Exception as error:
            hint = "; a denoiser that takes one sigma only: scalar_sigma" if s.ndim else ""
            if isinstance(error, TypeError) and "argument" in str(error) and "given" in str(error):
                hint = "; fn is called with x (n, d) and sigma"
            if "ensor" in str(error):
                hint = "; fn is given NumPy arrays, a torch.nn.Module itself is given tensors: pass the module"
            raise ValueError(f"fn: {self.name} raised {type(error).__name__} {at}: {error}{hint}") from error

        # numbers, one row for each row of x, all of them finite
        no_mask("fn (its result)", out)
        try:
            out = np.asarray(real_array("fn", out, finite=False))
        except (TypeError, ValueError):
            kind = getattr(out, "dtype", type(out).__name__)
            raise ValueError(f"fn: {self.name} {at} returned {kind}; expected an array of real numbers") from None
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
    ideal_eta : (N, trajectories)
        The eta of the ideal denoiser at the same states.
    excess, least : (N, trajectories)
        Squared distance of the denoiser from the ideal one, and the mean squared error of the ideal one given the state,
        both over n sigma^2. The mean squared error of the denoiser is their sum.
    looks_like : str or None
        The kind of prediction that the answers look like, where it is not the one assumed.

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
    ideal_eta: np.ndarray = field(repr=False)
    excess: np.ndarray = field(repr=False)
    least: np.ndarray = field(repr=False)
    convention: Convention = field(default_factory=Convention)
    looks_like: str | None = None

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

    # -- beside the ideal denoiser ---------------------------------------------------------------------------------------

    @property
    def times_worse(self) -> float:
        """RMS error over that of the ideal denoiser at the same states, in units of the noise: 1 is the best possible."""
        best = float(np.mean(self.least))
        return math.sqrt(1 + float(np.mean(self.excess)) / best) if best > 0 else math.inf if np.any(self.excess) else 1.0

    @property
    def worst_sigma(self) -> tuple[float, float, float]:
        """(low, high, share): the quarter of the steps, in a row, that holds most of the excess error, and its share."""
        mean = np.mean(self.excess, axis=1)
        width = max(1, self.N // 4)
        sums = np.convolve(mean, np.ones(width), mode="valid")
        first, total = int(np.argmax(sums)), float(np.sum(mean))
        level = np.median(self.sigma, axis=1)
        return float(level[first + width - 1]), float(level[first]), float(sums[first] / total) if total else 0.0

    @property
    def ideal_fails(self) -> float:
        """Share of trajectories on which the ideal denoiser, at the same states, has an eta of 1 or more."""
        return float(np.mean(np.nanmax(np.nan_to_num(self.ideal_eta), axis=0) >= 1))

    def guarantee(self, share: float = 0.9) -> dict[str, float | None]:
        """What holds for a share of the trajectories, those with the smallest eta.

        Returns
        -------
        dict
            ``share``: as asked, rounded up to whole trajectories; ``of_all_starts``: the share of all starts below this eta,
            at least, with 95 % confidence (binomial); ``eta``: their largest; ``a_posteriori``: their bound of d(x_0)/d(x_N)
            from the measured errors; ``a_priori``: the product of Theorem 4.2, None where eta >= 1.

        Examples
        --------
        >>> report = audit("ideal", np.array([[-1.0, 0.0], [1.0, 0.0]]), N=20, trajectories=10)
        >>> report.guarantee(0.85)["share"], report.guarantee(0.85)["eta"] <= report.eta_max
        (0.9, True)
        """
        from scipy.stats import beta

        share = scalar("share", share, low=0, high=1, low_open=True)
        count = len(self.defined)
        kept = max(1, math.ceil(share * count - 1e-9))
        ordered = np.argsort(np.where(self.defined, self.eta_per_trajectory, np.inf), kind="stable")[:kept]
        eta = float(np.max(self.eta_per_trajectory[ordered]))
        upper = self.a_posteriori[1][ordered]
        columns = self._columns("beta")[:, ordered]
        return {
            "share": kept / count,
            "of_all_starts": float(beta.ppf(0.05, kept, count - kept + 1)),
            "eta": eta,
            "a_posteriori": None if np.any(np.isnan(upper)) else float(np.max(upper)),
            "a_priori": float(np.max(bound.ddim_distance_sandwich(1.0, columns, eta)[1][-1])) if eta < 1 else None,
        }

    @property
    def next_action(self) -> str:
        """One or two sentences: what would help most."""
        low, high, share = self.worst_sigma
        where = f"sigma = {low:.3g} to {high:.3g}, which holds {100 * share:.0f} % of the excess error"
        kept = self.guarantee(0.9)
        upper, most = kept["a_posteriori"] or math.nan, 100 * (kept["share"] or 0.0)
        for_most = f"for {most:.0f} % of the trajectories d(x_0)/d(x_N) <= {upper:.3g}"

        # another convention: nothing else can be judged
        if self.looks_like is not None:
            return (
                f"The answers look like {PREDICTS[self.looks_like]}, not like {PREDICTS[self.convention.predicts]}. "
                f"Say so: Convention({self.looks_like!r}, {self.convention.index!r}) or --predicts {self.looks_like}."
            )

        # H1 fails: because of the cloud, or because of the denoiser
        if not self.hypotheses[0].holds and self.ideal_fails and self.times_worse < 1.1:
            return (
                f"Do not train further: the ideal denoiser fails H1 too on {100 * self.ideal_fails:.0f} % of these "
                f"trajectories, because the cloud is small or its points far apart. "
                f"Use the bounds that need no hypothesis: {for_most}."
            )
        if not self.hypotheses[0].holds:
            also = f" The ideal denoiser fails H1 too on {100 * self.ideal_fails:.0f} % of them." if self.ideal_fails else ""
            # the last levels: small ones may never have been trained
            ends = low == float(np.median(self.sigma, axis=1)[self.N - 1])
            earlier = " If it was not trained at such small levels, stop above them: a larger sigma_ratio." if ends else ""
            return f"Improve the denoiser at {where}.{earlier}{also}"

        # H1 holds: the schedule, then the size of the error
        best = (
            f"{self.N} log-linear steps down to {(1 - (self.beta_star or 0)) ** self.N:.3g} of the start "
            "(in Python: audit(...).schedule())"
        )
        if not self.applicable:
            return f"Change the schedule, not the denoiser: H1 holds. The largest admissible one is {best}."
        more = f" To lower the guarantee, improve it at {where}." if self.times_worse > 1.1 else ""
        return f"Theorem 4.2 applies to these trajectories. The largest admissible schedule is {best}.{more}"

    def plot(self, path: StrPath) -> None:
        """Draw eta per step beside the ideal denoiser's, and d(x_0)/d(x_N) with its bounds: a .png, .svg or .pdf file.

        Examples
        --------
        >>> audit("ideal", np.array([[-1.0, 0.0], [1.0, 0.0]]), N=20, trajectories=10).plot("audit.png")
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.0, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)

        # left: largest and median eta at every step
        level = np.median(self.sigma[:-1], axis=1)
        for values, colour, label in ((self.eta, "C0", "audited"), (self.ideal_eta, "0.4", "ideal")):
            shown = np.where(values > 0, values, np.nan)
            rows = np.any(np.isfinite(shown), axis=1)
            left.plot(level[rows], np.nanmax(shown[rows], axis=1), color=colour, label=f"{label}, largest")
            left.plot(level[rows], np.nanmedian(shown[rows], axis=1), color=colour, linestyle=":", label=f"{label}, median")
        left.axhline(1, color="0.7", linewidth=0.8)
        left.set(xscale="log", yscale="log", xlabel="noise level (median)", ylabel="relative projection error eta")
        left.invert_xaxis()
        left.set_title("H1 holds below the line", fontsize=9)
        left.legend(fontsize=7)

        # right: the measured ratios in increasing order, with the bound that needs no hypothesis
        order = np.argsort(self.measured)
        right.plot(self.measured[order], color="C0", label="measured")
        right.plot(
            self.a_posteriori[1][order], color="C3", linestyle="none", marker=".", markersize=3, label="a-posteriori bound"
        )
        right.set(yscale="log", xlabel="trajectory, ordered", ylabel="d(x_0) / d(x_N)")
        right.set_title("how near the end is to the cloud", fontsize=9)
        right.legend(fontsize=7)
        figure.savefig(path, dpi=150)

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
            # beside the ideal denoiser
            "convention": {"predicts": self.convention.predicts, "index": self.convention.index},
            "looks_like": self.looks_like,
            "times_worse": _number(self.times_worse),
            "worst_sigma": dict(zip(("low", "high", "share"), self.worst_sigma)),
            "ideal_fails_h1": self.ideal_fails,
            "guarantees": [self.guarantee(0.5), self.guarantee(0.9)],
            "next_action": self.next_action,
        }

    def _beside_the_ideal(self):
        """Lines of the report: how far from the best possible, and what most trajectories are guaranteed."""
        low, high, share = self.worst_sigma
        best, mine = math.sqrt(np.mean(self.least)), math.sqrt(np.mean(self.least) + np.mean(self.excess))
        out = ["beside the ideal denoiser of the cloud, at the same states (RMS errors in units of the noise)"]
        # a ratio of 1 to four digits is rounding, which needs no place where it is largest
        if self.times_worse >= 1.0005:
            out.append(
                f"  yours is {self.times_worse:.4g} times worse than the best possible, {mine:.3g} in place of {best:.3g},"
            )
            out.append(f"  mostly at sigma = {low:.3g} to {high:.3g} ({100 * share:.0f} % of the excess)")
        else:
            out.append(f"  yours is the best possible: {best:.3g}")
        own = float(np.nanmax(np.nan_to_num(self.ideal_eta)))
        fails = f"; it fails H1 on {100 * self.ideal_fails:.1f} % of the trajectories" if self.ideal_fails else ""
        out.append(f"  largest eta {self.eta_max:.4g}, of the ideal denoiser {own:.4g}{fails}")
        if self.looks_like is not None:
            out.append(f"  LOOKS LIKE ANOTHER CONVENTION: the answers fit {PREDICTS[self.looks_like]}")
        for kept in (self.guarantee(0.5), self.guarantee(0.9)):
            upper, priori = (
                format(v, ".3g") if v is not None else "undefined" for v in (kept["a_posteriori"], kept["a_priori"])
            )
            out.append(
                f"  for {100 * kept['share']:.0f} % of trajectories: eta <= {kept['eta']:.3g}, d(x_0)/d(x_N) <= {upper} "
                f"(a priori {priori}); {100 * kept['of_all_starts']:.0f} % of all starts, confidence 95 %"
            )
        return out

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """The report as text, at most 125 columns."""
        eta, q = self.eta_per_trajectory, self.quantiles()
        out = [
            f"audit of {self.name}",
            f"  cloud: {self.points} points in dimension n = {self.dimension}; {self.eta.shape[1]} DDIM trajectories of "
            f"{self.N} steps, {self.schedule_name}, seed {self.seed}",
            f"  convention: {self.convention.text}",
            "",
            *self._beside_the_ideal(),
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
            "             holds on  (share of the trajectories)",
        ]

        # the hypotheses
        for h in self.hypotheses:
            out.append(f"  {h.name}  {'holds' if h.holds else 'FAILS':5}  {100 * h.share:5.1f} %    {h.value}")
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
            near = 1.05 * _limit(self.eta_max, self.schedule_nu)
            if 0 < near < 1:
                steps = bound.smallest_steps(self.eta_max, self.schedule_nu, near)
                out.append(
                    f"  N = {steps} step{'s come' if steps > 1 else ' comes'} within 5 % of that limit; "
                    "statements.projection.smallest_steps gives others"
                )
        out += ["", *textwrap.wrap(f"next: {self.next_action}", 118, subsequent_indent="  ")]
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
    """The denoiser that ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` names; modules of the current folder are found.

    Examples
    --------
    >>> _ = Path("net.py").write_text("def half(x, sigma): return x / 2")
    >>> load_function("net.py:half")(np.ones(2), 1.0)
    array([0.5, 0.5])
    """
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


def run(
    text: str,
    target: str,
    *,
    json: StrPath | None = None,
    plot: StrPath | None = None,
    predicts: str = "x0",
    index: str = "sigma",
    **options: Any,
) -> int:
    """The command: load, audit, print, write JSON and draw where asked; 0 as exit code."""
    options["convention"] = Convention(predicts, index)
    fn: Any = text if text == "ideal" else load_function(text)
    report = audit(fn, load_cloud(target), name=None if text == "ideal" else text, **options)
    print(report.text())
    if json is not None:
        files.write_whole(json, files.json_text(report.to_dict()))
        print(f"\n{json}")
    if plot is not None:
        report.plot(plot)
        print(f"\n{plot}")
    return 0
