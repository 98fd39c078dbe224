"""How the samples of one cell of a sweep are judged: on the highest rung of the ladder that applies, which is named.

W2, from the top: the output law in closed form (Gaussian targets); the output law by quadrature in one dimension, times an
exact Gaussian across it (mixtures whose centres lie on a line, in any dimension); exact transport to the weighted atoms of a
finite target; exact transport to as many fresh draws. The last two are read beside the score of exact draws; nothing of the
first two depends on a seed.
"""

import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from .._core.external import free_name
from .._core.typing import Row
from .._core.validation import fail
from ..statements import projection as projection_bounds
from ..statements import proximal as proximal_bounds

__all__ = [
    "METRICS",
    "Exact",
    "Metric",
    "Run",
    "as_metric",
    "ddim_distance_bound",
    "exact_kl",
    "exact_output",
    "kl_bound",
    "mode_error",
    "quantiles",
    "refuse",
    "responsibilities",
    "result",
]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Run:
    """One finished cell, as a metric sees it.

    ``name`` is the sampler's name and ``known`` says that it is one of `samplers.REGISTRY` on the exact oracle (exact output
    laws exist only then); ``parameters`` are the sampler's; ``first`` and ``samples`` the first and last state (n, d).
    ``oracle`` is what the sampler asked: ``law``, or a denoiser of the user's own; ``function`` is the sampler.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> law = ed.GaussianMixture([1.0], [[0.0]], 1.0)
    >>> run = Run(law, "ddim", True, {}, schedules.vp_linear(5), "gaussian", 0)
    >>> exact_output(run).rung
    'closed form'
    """

    law: Any
    name: str
    known: bool
    parameters: dict
    grid: Any
    start: str
    seed: int
    first: Any = None
    samples: Any = None
    path: tuple = ()
    oracle: Any = None
    function: Callable | None = None


@dataclass(frozen=True)
class Metric:
    """How samples are judged.

    ``measure(run)`` returns a dict (`result`); ``refusal(run)`` the reason why a run cannot be judged (it is asked before
    the run, without states) or None; ``exact_draws(law, n, rng)`` one measurement of n exact draws, None where the metric
    has no sampling error; ``path(run)`` says that all states are needed.

    Examples
    --------
    >>> METRICS["w2"].exact_draws is not None, METRICS["kl"].exact_draws is None
    (True, True)
    """

    measure: Callable
    refusal: Callable
    summary: str
    exact_draws: Callable | None = None
    path: Callable = lambda run: False


#: name -> `Metric`; the records, the table and the command line follow
METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    summary: str,
    *,
    refusal: Callable,
    exact_draws: Callable | None = None,
    path: Callable = lambda run: False,
) -> Callable[[Callable], Callable]:
    """Decorate a function ``measure(run)``: sweeps and the command line know it as the metric ``name`` (see `Metric`).

    Raises
    ------
    ValueError
        for the name of a metric of the package. A later metric of a user replaces an earlier one of this name.

    Examples
    --------
    >>> @metric("spread", "largest coordinate", refusal=lambda run: None)
    ... def spread(run):
    ...     return result(abs(run.samples).max(), None, None, "none", "samples", "largest coordinate")
    >>> ed.sweep(target="rings", sampler="ddim", steps=4, seeds=1, samples=9, metric="spread").rows[0]["rung"]
    'samples'
    """

    def file(measure):
        free_name("metric", name, METRICS[name].measure if name in METRICS else None, measure)
        METRICS[name] = Metric(measure, refusal, summary, exact_draws, path)
        return measure

    return file


def result(
    value: float,
    lower: float | None,
    upper: float | None,
    interval: str,
    rung: str,
    method: str,
    bound: float | None = None,
    statement: str | None = None,
    bound_kind: str | None = None,
    vacuous: str | None = None,
    reference_error: float | None = None,
    start_error: float | None = None,
) -> Row:
    """The measurement of one metric; the keys are columns of the table. ``interval`` says how lower and upper are known.

    ``reference_error`` and ``start_error`` belong to metrics that compare with a reference run: see ``coupled``.

    Examples
    --------
    >>> result(0.25, 0.2, 0.3, "quadrature", "one dimension", "sorted")["upper"]
    0.3
    """
    return {
        "value": float(value),
        "lower": None if lower is None else float(lower),
        "method": method,
        "rung": rung,
        "upper": None if upper is None else float(upper),
        "interval": interval,
        "bound": None if bound is None else float(bound),
        "statement": statement,
        "bound_kind": bound_kind,
        "vacuous": vacuous,
        "reference_error": reference_error,
        "start_error": start_error,
    }


#: Seconds that the measure of exact draws may take, and seconds per pair of points that are compared (one core of 2026).
_DRAW_SECONDS, _PAIR_SECONDS = 20.0, 1e-7


def _fitting_runs(law, metric, samples):
    """How many runs of exact draws are measured: 200 where they take under 20 s, else as many as fit, at least 40.

    The time is estimated from sizes, so that the number and every bit of the result are the same on any machine.
    """
    from ..laws import PointCloud

    others = len(law.weights) if metric == "modes" or isinstance(law, PointCloud) else samples
    seconds = _PAIR_SECONDS * samples * others * (1 + law.dim / 64)
    return int(min(200, max(40, _DRAW_SECONDS / seconds)))


def _order(runs):
    """k such that the k-th smallest and k-th largest of ``runs`` values bound about 90 % of their law."""
    return max(1, round(0.05 * (runs + 1)))


def _central_band(values):
    """Ends of the central 90 % of the law of which ``values`` are independent draws: two order statistics."""
    x, k = np.sort(values), _order(len(values))
    return float(x[k - 1]), float(x[-k])


def _band_share(runs):
    """Share of the law between the ends of `_central_band` of ``runs`` values: mean and standard deviation.

    The share has the law Beta(runs + 1 - 2 k, 2 k) whatever the continuous law of the values.
    """
    share = (runs + 1 - 2 * _order(runs)) / (runs + 1)
    return share, math.sqrt(share * (1 - share) / (runs + 2))


# -- exact output laws: no sampling error --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exact:
    """``w2``, ``kl`` = KL(target || output) and total variation ``tv`` as (value, error); None where it is not known.

    Examples
    --------
    >>> Exact("closed form", "Gaussian output law", w2=(0.1, 0.0), kl=None).tv is None
    True
    """

    rung: str
    method: str
    w2: tuple
    kl: tuple | None
    tv: tuple | None = None


def exact_output(run: Run) -> Exact | None:
    """Distances of the output *law* from the target where they need no samples, else None.

    Known for registered samplers on one Gaussian (any covariance) and on mixtures of equal isotropic Gaussians whose centres
    lie on a line: there every sampler acts on the line alone, and across it as on a Gaussian. Known as well for random
    samplers on mixtures of concentric isotropic Gaussians, from an exact start: there the law of the radius is enough.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> law = ed.GaussianMixture(None, [[-1.0, 0.0], [1.0, 0.0]], 0.5)
    >>> exact = exact_output(Run(law, "heun", True, {}, schedules.log_linear(8), "exact", 0))
    >>> exact.rung, exact.kl is None
    ('one dimension', True)
    """
    hidden = _hidden(run)
    return None if hidden is None else _exact(hidden)


def exact_kl(run: Run) -> tuple[float, float, str, str] | None:
    """KL(target | output) where no samples are needed: (value, error, rung, method), else None.

    Beside the laws of `exact_output` random samplers on mixtures in the plane are known, from an exact start: their density
    is pushed through every step (`output_laws.plane`), which gives KL but no transport distance.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> law = ed.GaussianMixture(None, [[-1.0, 0.0], [1.0, 0.5], [0.0, 1.0]], 0.5)
    >>> run = Run(law, "euler_maruyama", True, {}, schedules.vp_linear(5), "exact", 0)
    >>> value, error, rung, _ = exact_kl(run)
    >>> exact_output(run) is None, rung, error < 1e-9 * value
    (True, 'the plane', True)
    """
    exact = exact_output(run)
    if exact is not None:
        return None if exact.kl is None else (*exact.kl, exact.rung, exact.method)
    hidden = _hidden(run)
    return None if hidden is None else _plane_kl(hidden)


def _hidden(run):
    """The key of a run whose output law may be known, with the run; None for others."""
    from .. import samplers
    from ..laws import GaussianMixture

    if not run.known or not isinstance(run.law, GaussianMixture) or run.grid.sigma.ndim != 1:
        return None
    if samplers.REGISTRY[run.name].update is None:
        return None
    law, grid = run.law, run.grid
    key = (
        law.kind,
        law.weights.tobytes(),
        law.means.tobytes(),
        law.means.shape,
        np.asarray(law.covariances).tobytes(),
        grid.scale.tobytes(),
        grid.sigma.tobytes(),
        *(None if a is None else a.tobytes() for a in (grid.time, grid.rate)),
        run.name,
        samplers.REGISTRY[run.name].update,
        repr(sorted(run.parameters.items())),
        run.start,
    )
    return _Hidden(key, run)


class _Hidden:
    """An argument of the cache: equal keys, equal results."""

    def __init__(self, key, run):
        self.key, self.run = key, run

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)


@lru_cache(maxsize=64)
def _exact(hidden):
    run = hidden.run
    alive = np.flatnonzero(run.law.weights > 0)
    if len(alive) == 1:
        return _closed_form(run)
    if run.law.kind == "isotropic" and run.law.dim > 1 and not np.any(run.law.means[alive]):
        return _radial(run)
    return _line(run)


def _gaussian_output(run, mean, cov):
    """Exact mean and covariance of the output on N(mean, cov)."""
    from ..output_laws import gaussian

    start = {} if run.start == "exact" else {"start_mean": np.zeros_like(mean), "start_cov": float(run.grid.sigma[0]) ** 2}
    return gaussian(run.name, mean, cov, run.grid, **start, **run.parameters)


def _closed_form(run):
    from ..distances import bures_w2, gaussian_kl

    mean, cov = run.law.mean, run.law.covariance
    out = _gaussian_output(run, mean, cov)
    w2, kl = bures_w2(mean, cov, out.mean, out.cov), gaussian_kl(mean, cov, out.mean, out.cov)
    tv = None
    if run.law.dim == 1:
        tv = _gaussian_tv(float(mean[0]), float(cov.ravel()[0]), float(out.mean[0]), float(out.cov.ravel()[0])), 0.0
    return Exact("closed form", "Gaussian output law", (w2, 0.0), (kl, 0.0) if math.isfinite(kl) else None, tv)


def _gaussian_tv(mean, variance, other, its_variance):
    """Total variation of two Gaussians on a line: their densities cross at the roots of a quadratic."""
    from scipy.special import ndtr

    if not variance > 0 or not its_variance > 0:
        return 0.0 if (mean, variance) == (other, its_variance) else 1.0
    # log ratio of the densities, a quadratic in x - mean
    gap = other - mean
    coefficients = [
        0.5 / its_variance - 0.5 / variance,
        -gap / its_variance,
        0.5 * gap**2 / its_variance + 0.5 * math.log(its_variance / variance),
    ]
    roots = np.roots(coefficients) if any(coefficients[:2]) else np.array([])
    cuts = np.concatenate([[-np.inf], np.sort(roots[np.isreal(roots)].real), [np.inf]])
    ours, theirs = ndtr(cuts / math.sqrt(variance)), ndtr((cuts - gap) / math.sqrt(its_variance))
    return 0.5 * float(np.sum(np.abs(np.diff(ours) - np.diff(theirs))))


#: Densities of random samplers are propagated where the centres are within this many standard deviations: the nodes, and
#: seconds, grow with the square of the range (0.4 s a cell at 8, 15 s at 34).
_WIDE = 20.0


def _line(run):
    from .. import samplers
    from ..distances.gaussian import gaussian_kl
    from ..output_laws import line, subspace

    if run.law.kind != "isotropic":
        return None

    # the law on the line of the centres, and the Gaussian across it
    try:
        parts = subspace.reduce(run.law)
    except ValueError:
        return None
    if parts.basis.shape[1] != 1 or not parts.variance > 0:
        return None

    # along the line, by quadrature
    try:
        if samplers.REGISTRY[run.name].stochastic:
            inner = _stochastic_line(run, parts.law)
        else:
            inner = _monotone_line(run, parts.law)
            inner = None if inner is None else (*inner, None)
    except (line.AssumptionViolated, line.QuadratureError):
        return None
    if inner is None:
        return None
    (w2, error), kl, tv = inner
    square, slack = w2**2, 2 * w2 * error
    variance, size = parts.variance, float(np.linalg.norm(parts.offset))
    # across the line: one coordinate along the offset, the others centred; independent of the line, so W2^2 and KL add up
    groups = [(1, size), (parts.codimension - 1, 0.0)] if size > 0 else [(parts.codimension, 0.0)]
    for count, mean in groups:
        if count > 0:
            out = _gaussian_output(run, np.array([mean]), np.array([variance]))
            square += count * ((out.mean[0] - mean) ** 2 + (math.sqrt(out.cov[0]) - math.sqrt(variance)) ** 2)
            if kl is not None:
                part = gaussian_kl(np.array([mean]), np.array([variance]), out.mean, out.cov)
                kl = (kl[0] + count * part, kl[1]) if math.isfinite(part) else None
    value = math.sqrt(square)
    error = slack / (2 * value) if value > 0 else error
    return Exact(
        "one dimension",
        "quadrature on the line of the centres, exact Gaussian across",
        (value, error),
        kl,
        tv if parts.codimension == 0 else None,
    )


def _radial(run):
    """The exact law of a random sampler on concentric isotropic Gaussians, from the law of the radius."""
    from ..output_laws import line, radial

    if run.start != "exact" or not _pushes_densities(run):
        return None
    options = {**run.parameters, **({"nonconvex": "contact"} if _asks_prox(run) else {})}
    try:
        fine, coarse = (radial.propagate(run.law, run.grid, run.name, "exact", refine=r, **options) for r in (2.0, 1.0))
    except (ValueError, line.AssumptionViolated, line.QuadratureError):
        return None
    found, rough = (line.divergences(p.target, p.law) for p in (fine, coarse))

    # the change from half as many nodes, rounding of N sums, and for W2 the neglected tails: as in line.study
    rounding = 8 * EPS * math.sqrt(run.grid.N)
    w2, width = found.w2, float(fine.law.x[-1] - fine.law.x[0])
    error = abs(w2 - rough.w2) + rounding * width + 2e-10 * w2
    # the nodes leave out a mass of about 1e-12, which counts times a log ratio of at most 20 or so
    kl = found.kl, abs(found.kl - rough.kl) + rounding * math.sqrt(2 * max(found.kl, 0.0)) + 2e-11
    known = math.isfinite(found.kl) and fine.unresolved <= math.exp(-line.DEPTH / 2)
    tv = found.tv, abs(found.tv - rough.tv) + rounding
    return Exact("one dimension", "quadrature of the law of the radius", (w2, error), kl if known else None, tv)


#: operations of a propagation in the plane: some ten seconds of one core
_PLANE_FLOPS = 5e10


@lru_cache(maxsize=64)
def _plane_kl(hidden):
    """KL of a random sampler on a mixture in the plane, from an exact start, by nodes and finer ones; None if too dear."""
    from ..output_laws import line, plane

    run = hidden.run
    if run.law.dim != 2 or run.start != "exact" or not _pushes_densities(run):
        return None
    try:
        rough, fine = (
            plane.propagate(run.law, run.grid, run.name, refine=r, limit=_PLANE_FLOPS, **run.parameters).divergences()["kl"]
            for r in (1.0, 1.25)
        )
    except (ValueError, line.AssumptionViolated, line.QuadratureError):
        return None
    if not math.isfinite(fine):
        return None
    # the change from fewer nodes, rounding of N sums as in line.study, and the mass outside the box, 1e-12 of it
    error = abs(fine - rough) + 8 * EPS * math.sqrt(run.grid.N) * math.sqrt(2 * max(fine, 0.0)) + 2e-11
    return fine, error, "the plane", "quadrature of the density in the plane"


def _asks_prox(run):
    from .. import samplers

    return samplers.REGISTRY[run.name].oracle == "prox"


def _pushes_densities(run):
    """Whether the densities of a run can be pushed through every step: a random sampler that has a step on a line."""
    from .. import samplers
    from ..output_laws import line

    info = samplers.REGISTRY[run.name]
    ends_at_data = run.grid.sigma[-1] == 0 and run.grid.scale[-1] == 1
    if not info.stochastic or info.line is None or not run.grid.is_vp or not ends_at_data:
        return False
    # parameters that the step on a line knows; step and last_noise belong to every scheme that has them
    known = {*line.line_parameters(info.line), *({"step", "last_noise"} & set(inspect.signature(info.function).parameters))}
    return not set(run.parameters) - known


def _stochastic_line(run, law):
    """(W2, error), (KL, error) and (TV, error) of a random sampler on a line, the density pushed through every step."""
    from ..laws import GaussianMixture
    from ..output_laws import line

    # refuse runs that the quadrature of densities cannot do, or not in seconds
    if float(np.ptp(law.means)) > _WIDE * math.sqrt(float(np.max(law.covariances))) or not _pushes_densities(run):
        return None

    # the law of the start, on nodes where it is Gaussian
    start = "exact"
    if run.start == "gaussian":
        deviation = float(run.grid.sigma[0])
        normal = GaussianMixture([1.0], [[0.0]], deviation**2)
        start = line.discretise(normal, np.linspace(-10 * deviation, 10 * deviation, 4001))

    # push the density through every step
    options = dict(run.parameters)
    if _asks_prox(run):
        options["nonconvex"] = "contact"
    found = line.study(law, run.grid, run.name, start, **options).divergences
    kl = (found.kl.value, found.kl.error) if math.isfinite(found.kl.value) and math.isfinite(found.kl.error) else None
    return (found.w2.value, found.w2.error), kl, (found.tv.value, found.tv.error)


def quantiles(law: Any, z: np.ndarray) -> np.ndarray:
    """Quantiles of a one-dimensional mixture at the probabilities Phi(z), each tail to its own relative accuracy.

    Examples
    --------
    >>> law = ed.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.01)
    >>> np.round(quantiles(law, np.array([-1.0, 0.0, 1.0])), 3)
    array([-1.048, -0.171,  1.048])
    """
    from scipy.special import ndtr

    alive = law.weights > 0
    weights, means = law.weights[alive], law.means[alive, 0]
    deviations = np.sqrt(np.broadcast_to(np.ravel(law.covariances), law.weights.shape)[alive])
    candidates = means + deviations * z[:, np.newaxis]
    low, high = (
        candidates.min(axis=1),
        candidates.max(axis=1),
    )  # the mixture's quantile lies between the quantiles of its parts
    left, upper = z <= 0, ndtr(-np.abs(z))
    for _ in range(1100):  # halving ends at neighbouring floats; 64 rounds do unless the answer is near 0
        middle = 0.5 * (low + high)
        inside = (middle > low) & (middle < high)
        if not inside.any():
            break
        standard = (middle[:, np.newaxis] - means) / deviations
        mass = np.where(left, ndtr(standard) @ weights, ndtr(-standard) @ weights)
        below = np.where(left, mass < upper, mass > upper)
        low, high = np.where(inside & below, middle, low), np.where(inside & ~below, middle, high)
    return 0.5 * (low + high)


def _monotone_line(run, law):
    """(W2, error) of a deterministic sampler on a line: it is a map T of the start, and where T increases the optimal map
    sends T(start) at probability u to the target's quantile at u. KL is not computed."""
    from .. import samplers

    function, grid = samplers.REGISTRY[run.name].function, run.grid
    first = law.noised(float(grid.scale[0]), float(grid.sigma[0])).materialise() if run.start == "exact" else None
    seen = []

    def image(z):
        x = float(grid.sigma[0]) * z if first is None else quantiles(first, z)
        return samplers.final(function(law, grid, x[:, np.newaxis], **run.parameters))[:, 0]

    def integrand(z):
        moved = image(z)
        seen.append((z, moved))
        return (moved - quantiles(law, z)) ** 2 * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    # Where T jumps from mode to mode a little beside the quantile function, the integrand is the square of their distance on
    # an interval that equally spaced nodes step over: both ends of it are made edges.
    centres = np.unique(law.means[law.weights > 0, 0])
    middle = 0.5 * (centres[1:] + centres[:-1])
    cuts = [_crossings(f, middle, -9.0, 9.0) for f in (image, lambda z: quantiles(law, z))] if len(middle) else []
    square, error = _simpson(integrand, -9.0, 9.0, cuts)
    z, moved = (np.concatenate(parts) for parts in zip(*seen))
    moved = moved[np.argsort(z, kind="stable")]
    # T computed in floats: a decrease below the rounding of N steps is none
    slack = 64 * EPS * grid.N * float(np.max(np.abs(moved)))
    if not np.all(np.isfinite(moved)):
        return None
    if np.any(np.diff(moved) < -slack):
        return _sorted_line(image, law), None
    value = math.sqrt(max(square, 0.0))
    return (value, min(math.sqrt(error), error / (2 * value) if value > 0 else math.inf)), None


def _sorted_line(image, law, count=2**15):
    """(W2, error) where the map folds: equally likely points of the start, their images sorted, against the quantiles.

    The error is three times the change from half as many points (first order where quantiles jump between modes).
    """
    from scipy.special import ndtri

    found = []
    for n in (count // 2, count):
        z = ndtri((np.arange(n) + 0.5) / n)
        found.append(math.sqrt(float(np.mean((np.sort(image(z)) - quantiles(law, z)) ** 2))))
    return found[1], 3 * abs(found[1] - found[0])


def _crossings(f, values, low, high, points=33):
    """Where an increasing function takes each of the values (m,), to 1e-13 of the interval; its ends where it does not."""
    a, b = np.full(len(values), low), np.full(len(values), high)
    for _ in range(9):
        z = np.linspace(a, b, points)
        below = np.count_nonzero(f(z.ravel()).reshape(z.shape) < values, axis=0)
        a, b = (np.take_along_axis(z, np.clip(k, 0, points - 1)[np.newaxis], 0)[0] for k in (below - 1, below))
    return 0.5 * (a + b)


def _simpson(f, low, high, cuts=(), panels=192, rtol=1e-7):
    """Adaptive Simpson rule, all intervals of a round at once; jumps are halved away. Value and error estimate.

    ``cuts``: arrays of further edges.
    """
    edges = np.unique(np.concatenate([np.linspace(low, high, panels + 1), *cuts]))
    panels = len(edges) - 1
    a, b = edges[:-1], edges[1:]
    values = f(np.concatenate([edges, 0.5 * (a + b)]))
    fa, fb, fm = values[:panels], values[1 : panels + 1], values[panels + 1 :]

    # halve the intervals that are not yet accurate
    total = error = 0.0
    rough = float(np.sum((b - a) / 6 * (fa + 4 * fm + fb)))
    for _ in range(60):
        m, h = 0.5 * (a + b), b - a
        fl, fr = np.split(f(np.concatenate([0.5 * (a + m), 0.5 * (m + b)])), 2)
        coarse, fine = h / 6 * (fa + 4 * fm + fb), h / 12 * (fa + 4 * fl + 2 * fm + 4 * fr + fb)
        gap = np.abs(fine - coarse) / 15
        allowed = rtol * max(rough, 1e-300)
        # an interval may err by its share, or by a thousandth of the whole where a jump sits
        done = (gap <= allowed * np.maximum(h / (high - low), 1e-3)) | (h <= 64 * EPS * np.maximum(abs(a), abs(b)))
        total += math.fsum(fine[done])
        # Simpson's estimate is for smooth integrands: beside a jump the whole difference counts
        error += 15 * math.fsum(gap[done])
        keep = ~done
        if not keep.any():
            return total, error
        rough = max(rough, total)
        a, b, fa, fb = (np.concatenate([u[keep], v[keep]]) for u, v in ((a, m), (m, b), (fa, fm), (fm, fb)))
        fm = np.concatenate([fl[keep], fr[keep]])
    return math.nan, math.inf


# -- theorems whose hypotheses a cell satisfies ---------------------------------------------------------------------------


def kl_bound(run: Run) -> tuple[float, str, str] | None:
    """(right-hand side, statement, kind) of the KL theorem that applies to this cell, or None.

    Hypotheses: the proximal or Euler-Maruyama sampler at its default parameters, an exact start, a VP grid that ends at the
    data, certified L and H of the target, and (backward, hybrid) the step condition g (L + 1/2) <= 1/2. On a line the
    backward sampler has the budget instead, whose integrals are computed: smaller, and without a step condition.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> law = ed.GaussianMixture(None, [[-0.6], [0.6]], 0.4)
    >>> value, statement, kind = kl_bound(Run(law, "proximal_backward", True, {}, schedules.vp_linear(80), "exact", 0))
    >>> round(value, 5), statement, kind
    (0.00304, 'proximal/budget_inequality', 'upper')
    """
    from ..laws import GaussianMixture

    rules: dict[str, tuple[Any, bool]] = {
        "proximal_backward": (proximal_bounds.backward_kl, True),
        "proximal_hybrid": (proximal_bounds.hybrid_trajectory_kl, True),
        "euler_maruyama": (proximal_bounds.euler_maruyama_trajectory_kl, False),
    }

    # the hypotheses that need no computation
    grid = run.grid
    if run.name not in rules or not run.known or run.parameters or run.start != "exact" or not grid.is_vp:
        return None
    if grid.sigma[-1] != 0 or not isinstance(run.law, GaussianMixture):
        return None

    # the budget, else the closed bound
    if run.name == "proximal_backward" and run.law.dim == 1 and (total := _budget(_hidden(run))) is not None:
        return total, proximal_bounds.budget_inequality.statement.key, "upper"
    constants = _curvature(run.law)
    if constants is None:
        return None
    function, third = rules[run.name]
    moment = float(np.trace(np.atleast_2d(run.law.covariance)) + np.sum(run.law.mean**2))
    L, H = constants
    try:
        value = function(grid.g, run.law.dim, moment, *((L, H) if third else (L,)))
    except ValueError:
        return None  # the step condition fails: the theorem does not apply
    return value, function.statement.key, "upper"


@lru_cache(maxsize=64)
def _budget(hidden):
    """The right-hand side of the budget inequality of the backward scheme; None where its hypothesis J > 0 fails."""
    from ..output_laws import line
    from ..papers.proximal import budgets

    try:
        return budgets.budget(hidden.run.law, hidden.run.grid).total
    except (ValueError, line.AssumptionViolated, line.QuadratureError):
        return None


def _curvature(law):
    """Certified (L, H) of the second and third derivative of log p_t at all times, or None."""
    alive = law.weights > 0
    if np.count_nonzero(alive) == 1:
        smallest = float(np.linalg.eigvalsh(law.covariance)[0])
        # eigenvalues at time t lie between the eigenvalues of the target and 1
        return (max(1.0, 1.0 / smallest), 0.0) if smallest > 0 else None
    variances = np.broadcast_to(np.ravel(law.covariances), law.weights.shape)[alive] if law.kind == "isotropic" else [0.0]
    if np.any(np.asarray(variances) != variances[0]) or not variances[0] > 0:
        return None
    means = law.means[alive]
    diameter = math.sqrt(max(float(np.max(np.sum((means - m) ** 2, axis=1))) for m in means))
    return proximal_bounds.mixture_constants(float(variances[0]), diameter)


def ddim_distance_bound(run: Run) -> tuple[float, str, str, str | None] | None:
    """Upper bound of the root mean squared distance from the errors of the denoiser measured along the run (DDIM).

    Beyond the diameter of the data it says nothing: then the last entry names the hypothesis that costs it.

    Examples
    --------
    >>> from exactdiffusion import samplers, schedules
    >>> law, grid = ed.PointCloud([[0.0, 0.0]]), schedules.log_linear(4)  # on one atom the denoiser is the projection
    >>> path = tuple(samplers.ddim(law, grid, np.array([[40.0, 0.0]])))
    >>> bound, statement, kind, vacuous = ddim_distance_bound(Run(law, "ddim", True, {}, grid, "gaussian", 0, path=path))
    >>> bool(np.isclose(bound, law.distance(path[-1])[0])), kind
    (True, 'upper')
    """
    ratio, scale = run.grid.noise_ratio, run.grid.scale
    if scale[0] == 0:
        return None  # pure noise has no distance to the set
    states = [x / float(s) for x, s in zip(run.path, scale)]
    eta: list[np.ndarray] = []
    distance: Any = None
    for i, y in enumerate(states[:-1]):
        nearest = run.law.project(y)
        here = np.linalg.norm(y - nearest, axis=1)
        distance = here if distance is None else distance
        away = np.linalg.norm(run.law.noised(1.0, float(ratio[i])).denoise(y) - nearest, axis=1)
        if np.any((here == 0) & (away > 0)):
            return None  # no relative error exists at a point of the set
        eta.append(np.where(here > 0, away / np.where(here > 0, here, 1.0), 0.0))
    _, upper = projection_bounds.a_posteriori_sandwich(distance, run.grid.beta, np.stack(eta))
    bound, vacuous = math.sqrt(float(np.mean(upper[-1] ** 2))), None
    diameter = getattr(run.law, "diameter", math.inf)
    if bound > diameter:
        worst = np.max(np.stack(eta), axis=1)
        vacuous = (
            f"beyond the data's diameter {diameter:.3g}: the hypothesis eta < 1 on the denoiser's relative error "
            f"fails in {np.count_nonzero(worst >= 1)} of {len(worst)} steps (up to {worst.max():.3g})"
        )
    return bound, projection_bounds.a_posteriori_sandwich.statement.key, "upper", vacuous


# -- metrics ---------------------------------------------------------------------------------------------------------------


def _has(run, *names):
    return any(hasattr(run.law, name) for name in names)


def _set_bound(run):
    """No law on the support is nearer than the root mean squared distance to it."""
    if not _has(run, "distance"):
        return (None, None, None)
    statement = projection_bounds.squared_w2_to_laws_on_set
    return math.sqrt(statement(run.law.distance(run.samples))), statement.statement.key, "lower"


def _proof(found):
    return "dual certificate" if found.certified else "dual bound, not certified"


def _w2_refusal(run):
    return None if _has(run, "points", "sample") else "its target has neither points nor sample"


def _w2_exact_draws(law, n, rng):
    from ..distances import w2
    from ..laws import PointCloud

    x = law.sample(n, rng)
    if isinstance(law, PointCloud):
        return w2(x, law.points, weights_y=law.weights).value
    return w2(x, law.sample(n, rng)).value


@metric(
    "w2",
    "Wasserstein-2 distance to the target: closed form, quadrature, known atoms or samples, the first that applies",
    refusal=_w2_refusal,
    exact_draws=_w2_exact_draws,
)
def _w2(run):
    from ..distances import w2
    from ..laws import PointCloud

    # the law of the output, where it is known
    exact = exact_output(run)
    if exact is not None:
        value, error = exact.w2
        interval = "quadrature" if exact.rung == "one dimension" else "rounding"
        return result(value, max(value - error, 0.0), value + error, interval, exact.rung, exact.method)

    # exact transport to the atoms of a finite target
    if isinstance(run.law, PointCloud):
        found = w2(run.samples, run.law.points, weights_y=run.law.weights)
        return result(
            found.value,
            found.lower,
            found.value,
            _proof(found),
            "exact atoms",
            f"{found.method}, weighted atoms",
            *_set_bound(run),
        )
    # A generator of its own: the reference draws must not be the sampler's noise.
    reference = run.law.sample(run.samples.shape[0], np.random.default_rng([run.seed, 0x5EED]))
    found = w2(run.samples, reference)
    return result(
        found.value,
        found.lower,
        found.value,
        _proof(found),
        "empirical",
        f"{found.method}, {len(reference)} target draws",
        *_set_bound(run),
    )


def _distance_path(run):
    return run.known and run.name == "ddim" and run.grid.sigma.ndim == 1 and _has(run, "project")


@metric(
    "distance",
    "root mean squared distance to the support (not to the law)",
    refusal=lambda run: None if _has(run, "distance") else "its target has none of: distance",
    path=_distance_path,
)
def _distance(run):
    value = math.sqrt(projection_bounds.squared_w2_to_laws_on_set(run.law.distance(run.samples)))
    bound = ddim_distance_bound(run) if run.path and float(run.grid.scale[-1]) == 1 else None
    return result(
        value, value, value, "rounding", "projection", "root mean square, exact projection", *(bound or (None, None, None))
    )


def _kl_refusal(run):
    if exact_kl(run) is None:
        return (
            "KL is computed only where the output density is exact: registered samplers on a Gaussian, random ones on "
            "mixtures whose centres lie on a line or, with start='exact', in the plane (grids that end at the data)"
        )
    return None


@metric("kl", "KL(target | output), only where it is exact", refusal=_kl_refusal)
def _kl(run):
    value, error, rung, method = exact_kl(run)
    return result(
        value,
        max(value - error, 0.0),
        value + error,
        "quadrature" if error > 0 else "rounding",
        rung,
        f"KL(target | output), {method}",
        *(kl_bound(run) or (None, None, None)),
    )


def _law_refusal(run):
    if exact_output(run) is None:
        return (
            "the law of the output is known exactly for registered samplers on one Gaussian and on equal isotropic "
            "Gaussians with centres on a line, and for random ones on concentric Gaussians (start='exact'); the metric w2 "
            "or coupled would do"
        )
    return None


@metric("law", "exact law of the output: its W2, with KL and total variation beside it", refusal=_law_refusal)
def _law(run):
    exact = exact_output(run)
    value, error = exact.w2
    beside = [f"{name} {known[0]:.6g}" for name, known in (("KL", exact.kl), ("TV", exact.tv)) if known is not None]
    return result(
        value,
        max(value - error, 0.0),
        value + error,
        "rounding" if exact.rung == "closed form" else "quadrature",
        exact.rung,
        f"W2 of the {exact.method}" + (f"; {', '.join(beside)}" if beside else "; KL and TV not known"),
    )


def responsibilities(law: Any, x: np.ndarray) -> np.ndarray:
    """Posterior probabilities (n, K) of the components of a mixture given x: their mean under the law is its weights.

    Examples
    --------
    >>> law = ed.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.01)
    >>> np.round(responsibilities(law, np.array([[-1.0], [0.0], [0.9]])), 3)
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    alive = law.weights > 0
    covariance = np.asarray(law.covariances, dtype=np.float64)
    out = np.full((len(x), len(law.weights)), -np.inf)
    for k in np.flatnonzero(alive):
        difference = x - law.means[k]
        if law.kind == "full":
            values, vectors = np.linalg.eigh(covariance[k])
            difference, variances = difference @ vectors, np.maximum(values, 0.0)
        else:
            variances = np.broadcast_to(covariance[k] if covariance.ndim else covariance, (law.dim,))
        # a component without spread in some direction: its limit from small positive variances
        variances = np.maximum(variances, 1e-12 * max(1.0, float(np.max(np.abs(law.means))) ** 2))
        out[:, k] = math.log(law.weights[k]) - 0.5 * np.sum(difference**2 / variances + np.log(variances), axis=1)
    out -= out.max(axis=1, keepdims=True)
    out = np.exp(out)
    return out / out.sum(axis=1, keepdims=True)


def mode_error(law: Any, x: np.ndarray) -> float:
    """Total variation between the weights of the modes and the shares of samples near them.

    Examples
    --------
    >>> law = ed.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.01)
    >>> round(mode_error(law, np.array([[-1.0], [1.0], [1.0], [1.0]])), 12)
    0.25
    """
    from ..laws import GaussianMixture

    if isinstance(law, GaussianMixture):
        found = responsibilities(law, x).mean(axis=0)
    else:
        found = np.bincount(law.nearest(x)[0], minlength=len(law.weights)) / len(x)
    return 0.5 * float(np.sum(np.abs(found - law.weights)))


def _modes_refusal(run):
    from ..laws import GaussianMixture, PointCloud

    if not isinstance(run.law, (GaussianMixture, PointCloud)) or np.count_nonzero(run.law.weights > 0) < 2:
        return "its target has no modes to count (a mixture or a point cloud has)"
    return None


@metric(
    "modes",
    "total variation between the weights of the modes and those of the samples",
    refusal=_modes_refusal,
    exact_draws=lambda law, n, rng: mode_error(law, law.sample(n, rng)),
)
def _modes(run):
    from ..laws import GaussianMixture

    kind = "posterior component weights" if isinstance(run.law, GaussianMixture) else "nearest atoms"
    return result(mode_error(run.law, run.samples), None, None, "none", "counts", f"total variation, {kind}")


def _mse_refusal(run):
    if run.start != "exact":
        return "the sampler denoises a noised target draw: start must be 'exact'"
    return None if run.grid.sigma.ndim == 1 else "one schedule for all rows is needed"


@metric("mse_excess", "excess of the squared error over the conditional mean's (start=exact)", refusal=_mse_refusal)
def _mse_excess(run):
    from ..distances import excess_error

    scale, sigma = float(run.grid.scale[0]), float(run.grid.sigma[0])
    found = excess_error(run.samples, run.law.noised(scale, sigma).denoise(run.first))
    half = 1.96 * found.standard_error
    known = math.isfinite(half)
    return result(
        found.value,
        max(found.value - half, 0.0) if known else None,
        found.value + half if known else None,
        "standard error x 1.96" if known else "none",
        "coupled",
        "E|output - E[x|y]|^2 at the same y",
    )


# -- the same starts and noise, in many more steps --------------------------------------------------------------------------

#: Fewest steps of the coarser of the two reference runs, and fewest parts of one step of the cell.
_REFERENCE_STEPS, _PARTS = 256, 4
#: Squared distances that a record keeps for paired comparisons.
MOST_SQUARES = 20_000


def _coupled_refusal(run):
    if run.grid.sigma.ndim != 1:
        return "one schedule for all rows is needed"
    if run.grid.scale[0] == 0:
        return "the reference divides by the first scale, which is 0"
    if np.any(np.diff(run.grid.noise_ratio) >= 0):
        return "every step of the grid must have a length"
    return None


def _in_parts(grid, parts):
    """The grid with every step in ``parts`` steps, equal in r^(1/7) (the spacing of EDM, which reaches r = 0)."""
    from ..schedules import Grid

    root, place = grid.noise_ratio ** (1 / 7), np.arange(grid.N * parts + 1) / parts
    ratio = np.interp(place, np.arange(grid.N + 1), root) ** 7
    scale = np.interp(place, np.arange(grid.N + 1), grid.scale)
    sigma = scale * ratio
    scale[::parts], sigma[::parts] = grid.scale, grid.sigma  # the knots of the cell to the last bit
    return Grid(scale, sigma)


def _is_random(run):
    from .. import samplers

    if run.name in samplers.REGISTRY:
        return samplers.REGISTRY[run.name].stochastic
    return "noise" in inspect.signature(run.function).parameters


def _references(run):
    """The fine outputs (coarser, finer, finer from an exact start or None, Brownian path or None, description) of a cell.

    They depend on the oracle, the grid, the seed and the start, so all samplers of a sweep share them.
    """
    random = _is_random(run)
    own = {k: v for k, v in run.parameters.items() if k in ("mu", "variance")} if run.name == "ddpm" else {}
    key = (
        *(id(run.oracle), run.seed, run.start, len(run.first), random, repr(sorted(own.items()))),
        *(run.grid.scale.tobytes(), run.grid.sigma.tobytes(), run.first.tobytes()),
    )
    return _reference_runs(_Hidden(key, (replace(run, samples=None, path=()), random, own)))


@lru_cache(maxsize=64)
def _reference_runs(hidden):
    from .. import samplers
    from .._core.random import BrownianPath

    run, random, own = hidden.run
    parts = max(_PARTS, -(-_REFERENCE_STEPS // run.grid.N))
    coarse, fine = (_in_parts(run.grid, k * parts) for k in (1, 2))
    path = BrownianPath(run.seed, fine) if random else None

    def output(grid, start):
        if path is None:
            return samplers.final(samplers.heun(run.oracle, grid, start))
        return samplers.final(samplers.ddpm(run.oracle, grid, start, noise=path.increments(grid), **own))

    # the other start, at the same Gaussian numbers: how much of the error is the start's
    other = None
    if run.start == "gaussian" and hasattr(run.law, "sample"):
        clean = run.law.sample(len(run.first), np.random.default_rng([run.seed, 1]))
        other = output(coarse, run.first + float(run.grid.scale[0]) * clean)
    name = "DDPM" if random else "Heun"
    return output(coarse, run.first), output(fine, run.first), other, path, f"{name} in {fine.N} steps"


def _root_mean_square(x, y):
    return math.sqrt(float(np.mean(np.sum((x - y) ** 2, axis=1))))


@metric(
    "coupled",
    "root mean squared distance to a fine reference run from the same start and noise",
    refusal=_coupled_refusal,
)
def _coupled(run):
    r"""Root mean squared distance to the output of a fine reference run from the same start and the same noise.

    It estimates an upper bound of W2(output of the sampler, output of the reference), and has no floor of sampling: the
    distance of two runs at the same start is measured start by start. It ranks samplers only against a common limit.
    Deterministic samplers are compared with Heun's method on the probability flow; random ones with DDPM along the same
    Brownian path, whose increments over the fine steps add up to those of a step of the sampler, which runs again with this
    noise. (``ddpm`` with another mu or variance has a limit of its own, and is compared with that.) Every step of the cell's
    grid is divided, to 256 steps or more and again to twice as many: ``reference_error`` is the distance of the two.

    It does not contain the error of the start: ``start_error`` is the distance of the reference's outputs from the Gaussian
    start and from the exact one at the same numbers, zero for ``start="exact"``, and estimates an upper bound of what the
    start costs. The interval is a bootstrap-t (`comparison.root_interval` states its measured coverage); how few of the
    starts carry half of the mean square is said beside it.
    """
    from .comparison import root_interval

    # the fine runs, and the cell's own output along their noise
    coarse, fine, other, path, name = _references(run)
    samples = run.samples
    if path is not None:
        from .. import samplers

        noise = path.increments(run.grid)
        samples = samplers.final(run.function(run.oracle, run.grid, run.first.copy(), noise=noise, **run.parameters))

    # the distances at each start, with their interval
    squares = np.sum((samples - fine) ** 2, axis=1)
    value, low, high = root_interval(squares)
    decreasing = np.sort(squares)[::-1]
    few = int(np.searchsorted(np.cumsum(decreasing), 0.5 * np.sum(squares))) + 1
    start_error = 0.0 if run.start == "exact" else None if other is None else _root_mean_square(coarse, other)
    found = result(
        value,
        low if math.isfinite(low) else None,
        high if math.isfinite(high) else None,
        "bootstrap-t 95 %" if math.isfinite(high) else "none",
        "coupled runs",
        f"{name}{', same Brownian path' if path is not None else ''}; {few} of {len(squares)} starts carry half",
        reference_error=_root_mean_square(coarse, fine),
        start_error=start_error,
    )
    return {**found, "squares": [float(s) for s in squares[:MOST_SQUARES]]}


def as_metric(name: str, function: Any) -> Metric:
    """The `Metric` of a function ``measure(run)`` of the user's own, which returns a number or a `result`.

    Examples
    --------
    >>> as_metric("largest", lambda run: float(run.samples.max())).summary
    'largest, a metric of the user'
    """
    if isinstance(function, Metric):
        return function

    def measure(run):
        found = function(run)
        if isinstance(found, numbers.Real) and not isinstance(found, bool):
            found = result(found, None, None, "none", "samples", f"{name.partition('@')[0]} of the samples")
        if not isinstance(found, dict) or not set(result(0.0, None, None, "", "", "")) <= set(found):
            fail("metric", f"{found!r:.60}, the answer of {name}", "a number, or a dict made by metrics.result")
        return found

    return Metric(measure, lambda run: None, f"{name.partition('@')[0]}, a metric of the user")


def refuse(metric: str, run: Run, known: Metric | None = None) -> None:
    """Raise ValueError when ``run`` cannot be judged by the metric of this name.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> cloud = ed.PointCloud([[-1.0], [1.0]])
    >>> refuse("modes", Run(cloud, "ddim", True, {}, schedules.log_linear(4), "gaussian", 0))
    >>> refuse("mse_excess", Run(cloud, "ddim", True, {}, schedules.log_linear(4), "gaussian", 0))
    Traceback (most recent call last):
        ...
    ValueError: metric: got 'mse_excess'; expected a metric this cell allows: the sampler denoises a noised target draw: \
start must be 'exact'
    """
    reason = (known or METRICS[metric]).refusal(run)
    if reason is not None:
        fail("metric", metric, f"a metric this cell allows: {reason}")
