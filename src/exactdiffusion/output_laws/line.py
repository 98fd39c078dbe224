r"""Exact output laws in one dimension: densities pushed through a sampler on quadrature nodes, without Monte-Carlo.

Every one-step sampler of the reverse VP-SDE is one of two maps of the state ``Y`` at level k and a normal ``z``:

===============  ==============================================  ==================================================
kind             step                                            density of the next state
===============  ==============================================  ==================================================
explicit         ``X = m(Y) + sqrt(c) z``                        ``int N(x; m(y), c) q(y) dy``
implicit (prox)  ``F(X) = a Y + sqrt(c) z``, ``J = F' > 0``      ``J(x) int N(F(x); a y, c) q(y) dy``
===============  ==============================================  ==================================================

Both right-hand sides can be evaluated at *any* x, so each level chooses its own uniform nodes and nothing is ever
interpolated; the integral is a trapezoidal sum, spectrally accurate for analytic integrands that decay. All terms are
positive, so densities keep their relative accuracy far into the tails. A deterministic step (``c = 0``) moves the nodes
and divides the density by m'. Where J <= 0 the proximal map is not single valued: this is reported as
:class:`AssumptionViolated`, or, on request, treated exactly through the contact set of the potential with its convex hull
(the proximal map is the *global* minimiser; its range has gaps, where the output density is 0).

Step of the nodes. A product of Gaussian factors of widths s_i is summed by the trapezoidal rule with relative error
``2 exp(-2 pi^2 / (h^2 S))``, ``S = sum s_i^-2``: h is chosen so that this is 1e-17, with s_i the width of the kernel seen
from y and of the density. The bound is that of the line ``Im y = 2 pi / (h S)``. The score of a mixture has complex poles at
a distance p of at least about ``pi / (2 sqrt(max l'' - min l''))`` from the real line (equality for two equal components):
where the line is beyond them, that at ``t = 0.9 p`` serves, with error ``exp(-2 pi t / h)`` times the growth
``exp(S t^2 / 2)`` of the integrand up to there. Both are rules, not bounds: p is a guess for other mixtures, and the growth
near a pole is more. The mass is checked after every step, but it only tells whether the *new* nodes resolve the new density:
a sum over the old ones that aliases keeps the mass. `study` compares two resolutions and sees it.

Source: arXiv 2507.08956 for the two proximal schemes; the method is our own.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.optimize import brentq

from .._core.arrays import to_numpy
from .._core.fixed import Fixed
from .._core.progress import progress
from .._core.typing import Array, ArrayLike, Law
from .._core.validation import choice, fail, real_array, scalar
from ..distances.divergence import MASS, kl_sum
from ..laws import GaussianMixture
from ..samplers import REGISTRY
from ..samplers._base import step_sizes
from ..samplers._line import Explicit, Implicit
from ..schedules import Grid, positive_scales

__all__ = [
    "SCHEMES",
    "AssumptionViolated",
    "Divergences",
    "Level",
    "Measured",
    "NodeLaw",
    "Propagation",
    "QuadratureError",
    "StepReport",
    "Study",
    "contact_gaps",
    "discretise",
    "divergences",
    "mixture",
    "propagate",
    "study",
    "support",
]

EPS = float(np.finfo(np.float64).eps)
#: nodes cover the set where the density exceeds exp(-DEPTH) of its maximum: 10 standard deviations of a Gaussian
DEPTH = 50.0
#: log of the relative trapezoidal error aimed at, divided by -2 pi^2: h^2 * curvature <= RESOLUTION gives exp(-39.5) = 7e-18
RESOLUTION = 0.5
#: h <= POLE * (distance of the poles of the score): exp(-2 pi / POLE) = 2e-14, for nodes that no kernel is summed over
POLE = 0.2
#: part of this distance by which the line of integration is moved where a kernel is summed
STRIP = 0.9
#: below this many kernel evaluations the dense sum is always used
DENSE = 250_000
MAX_NODES = 400_000
#: more uniform nodes than this on a level are replaced by panels that are short only where the law or the step asks for it
UNIFORM = 1000
#: the same for the last level: divergences interpolate there, on uniform nodes to a few units in the last place
UNIFORM_LAST = 50_000
#: kernel evaluations that a propagation may need by estimate (some five minutes), and how many of them take a second
MOST_EVALUATIONS = 1e10
PER_SECOND = 3e7
#: kernel evaluations held at a time
BLOCK = 1 << 20
TINY = 1e-280
#: W2 leaves out the mass of either tail below this: its quantiles are not known to relative accuracy there
TAIL = 1e-12


class AssumptionViolated(ArithmeticError):
    """A hypothesis of the exact density formula fails: the Jacobian of an implicit or deterministic step is not positive.

    Attributes
    ----------
    step : int
        Index of the step (0 is the noisiest).
    location, jacobian : float
        Where the Jacobian is smallest, and its value there.

    Examples
    --------
    >>> error = AssumptionViolated(3, 0.25, -0.5, "the proximal map")
    >>> print(error, error.step)
    assumption violated at step 3: the proximal map has Jacobian -0.5 at x = 0.25 3
    """

    def __init__(self, step: int, location: float, jacobian: float, what: str) -> None:
        self.step, self.location, self.jacobian = step, location, jacobian
        super().__init__(f"assumption violated at step {step}: {what} has Jacobian {jacobian:.6g} at x = {location:.6g}")


class QuadratureError(ArithmeticError):
    """The mass of a propagated density is not 1, or a level would need too many nodes: the result would not be exact."""


# ------------------------------------------------------------------------------------------------ laws on a line


class Level(Fixed):
    """A one-dimensional law at one noise level, on plain arrays (n,).

    Parameters
    ----------
    law : object
        With ``noised(scale, sigma)`` answering log_density, score, hessian on (n, 1) arrays, dim = 1.
    scale, sigma : numbers

    Examples
    --------
    >>> level = Level(GaussianMixture(None, [[0.0]], 1.0), scale=0.6, sigma=0.8)
    >>> level.score(np.array([0.5])), level.curvature(np.array([0.5]))
    (array([-0.5]), array([-1.]))
    """

    base: Any  # a mixture where `probes` and `box` are asked for

    def __init__(self, law: Law, scale: float = 1.0, sigma: float = 0.0) -> None:
        self.base, self.scale, self.sigma = law, float(scale), float(sigma)
        self.law = law.noised(self.scale, self.sigma)
        self._memo = (None, None)
        self._components = self._line()
        self._fix()

    def _line(self):
        """Log weights with the normalisation, means, variances of the noised components; None where one has no density."""
        if not all(hasattr(self.base, name) for name in ("weights", "means", "covariances")):
            return None
        weights = np.asarray(self.base.weights, dtype=np.float64)
        variances = np.broadcast_to(np.ravel(self.base.covariances), weights.shape)
        alive = weights > 0
        variances = self.scale**2 * variances[alive] + self.sigma**2
        if not np.all(variances > 0):
            return None
        means = self.scale * np.asarray(self.base.means, dtype=np.float64)[alive, 0]
        return np.log(weights[alive]) - 0.5 * np.log(2 * math.pi * variances), means, variances

    def _all(self, x):
        """Log density and its first two derivatives by the sums over the components.

        The same numbers as the law's own methods (1-D Gaussians need no eigendecomposition and no stacked products) at a
        tenth of the time for a few hundred points, where those are dominated by what does not depend on the points. The
        second derivative is -E[1/v] + Var[g] with centred g: no cancellation of squares.
        """
        # a step and the choice of its nodes ask for the same points one after the other
        if self._memo[0] is None or not np.array_equal(self._memo[0], x):
            if self._components is None:
                column = x[:, np.newaxis]
                values = self.law.log_density(column), self.law.score(column)[:, 0], self.law.hessian(column)[:, 0, 0]
            else:
                logs, means, variances = self._components
                difference = means[:, np.newaxis] - x
                gradient = difference / variances[:, np.newaxis]
                r = logs[:, np.newaxis] - 0.5 * (difference * gradient)
                top = np.max(r, axis=0)
                np.exp(r - top, out=r)
                total = np.sum(r, axis=0)
                r /= total
                score = np.sum(r * gradient, axis=0)
                curvature = np.sum(r * ((gradient - score) ** 2 - 1 / variances[:, np.newaxis]), axis=0)
                values = top + np.log(total), score, curvature
            for value in values:
                value.setflags(write=False)
            self._memo = (x.copy(), values)
        return self._memo[1]

    def log_density(self, x: Array) -> np.ndarray:
        return self._all(x)[0]

    def score(self, x: Array) -> np.ndarray:
        return self._all(x)[1]

    def curvature(self, x: Array) -> np.ndarray:
        """Second derivative of the log density."""
        return self._all(x)[2]

    def third(self, x: Array) -> np.ndarray:
        """Third derivative of the log density: eighth-order central difference of the exact second one.

        The step is 1/40 of the distance of the nearest pole, so the relative truncation error is about (1/40 * 4)^8 / 630
        < 2e-11 and the rounding error about 40 eps. The pole is that of the law, whatever the points asked for.
        """
        curvature = self.curvature(np.concatenate([np.ravel(x), self.probes(self.box())]))
        spread = max(float(np.ptp(curvature)), 1e-3 * float(np.max(np.abs(curvature))))
        h = pole_distance(spread) / 40
        shifts = np.arange(-4, 5)
        values = self.curvature((x[:, np.newaxis] + h * shifts).ravel()).reshape(-1, 9)
        coefficients = np.array([3, -32, 168, -672, 0, 672, -168, 32, -3]) / 840
        return values @ coefficients / h

    def probes(self, box: tuple[float, float], count: int = 161) -> np.ndarray:
        """Points of ``box`` that show the extremes of the curvature: uniform ones, component means, and the points where two
        components balance (the curvature of well separated components peaks there, on a width far below the box)."""
        weights = np.asarray(self.base.weights, dtype=np.float64)
        alive = weights > 0
        means = self.scale * np.asarray(self.base.means, dtype=np.float64)[alive, 0]
        variances = np.broadcast_to(np.ravel(self.base.covariances), weights.shape)[alive]
        variances = self.scale**2 * variances + self.sigma**2
        order = np.argsort(means, kind="stable")
        means, variances, logs = means[order], variances[order], np.log(weights[alive])[order]
        logs = logs - 0.5 * np.log(variances)
        i, j = np.triu_indices(len(means), 1)
        if len(i) > 400:  # many components: neighbours only
            i = np.arange(len(means) - 1)
            j = i + 1
        a = 0.5 / variances[j] - 0.5 / variances[i]
        b = means[i] / variances[i] - means[j] / variances[j]
        c = 0.5 * means[j] ** 2 / variances[j] - 0.5 * means[i] ** 2 / variances[i] + logs[i] - logs[j]
        root = np.sqrt(np.maximum(b * b - 4 * a * c, 0.0))
        q = -0.5 * (b + np.where(b < 0, -root, root))
        with np.errstate(divide="ignore", invalid="ignore"):
            balance = np.concatenate([q / a, c / q])
        extra = np.concatenate([balance[np.isfinite(balance)], means])
        extra = extra[(extra > box[0]) & (extra < box[1])]
        return np.concatenate([np.linspace(*box, count), extra])

    def box(self, depth: float = DEPTH) -> tuple[float, float]:
        """Interval outside which the density is below exp(-depth) of its maximum."""
        return support(self.base, self.scale, self.sigma, depth)


def support(law: GaussianMixture, scale: float = 1.0, sigma: float = 0.0, depth: float = DEPTH) -> tuple[float, float]:
    """Interval (low, high) outside which the density of ``scale X + sigma Z`` is negligible.

    For a mixture it is the union over components of ``|x - c| <= sqrt(2 (depth + log w)) s``; weights only enter through
    their logarithm. Outside it the density is below exp(-depth) times the largest component's height.

    Examples
    --------
    >>> low, high = support(GaussianMixture(None, [[0.0]], 1.0))
    >>> round(high, 12), low == -high
    (10.0, True)
    """
    means = scale * np.asarray(law.means, dtype=np.float64)[:, 0]
    weights = np.asarray(law.weights, dtype=np.float64)
    variances = scale**2 * np.broadcast_to(np.ravel(law.covariances), means.shape) + sigma**2
    alive = weights > 0
    means, weights, variances = means[alive], weights[alive], variances[alive]
    if np.any(variances <= 0):
        fail("law", law, "a law with a density at the last level (grid.sigma[-1] > 0 or positive variances)")
    height = np.log(weights) - 0.5 * np.log(variances)
    radius = np.sqrt(2 * variances * np.maximum(depth + height - height.max(), 0.0))
    return float(np.min(means - radius)), float(np.max(means + radius))


def pole_distance(spread: float) -> float:
    """Distance of the complex zeros of a mixture density from the real line, from ``max l'' - min l''``; elementwise."""
    with np.errstate(divide="ignore"):
        return math.pi / (2 * np.sqrt(spread))


# ------------------------------------------------------------------------------------------------------- schemes


class _Schemes(Mapping):
    """The samplers that give their step on a line, as they are registered."""

    def __getitem__(self, name):
        form = REGISTRY[name].line
        if form is None:
            raise KeyError(name)
        return form

    def __iter__(self):
        return (name for name, info in REGISTRY.items() if info.line is not None)

    def __len__(self):
        return sum(1 for _ in self)


SCHEMES = _Schemes()
"""Name of a sampler -> ``scheme(start, end, g, **params)``, its step as :class:`Explicit` or :class:`Implicit`; start and
end are the laws (:class:`Level`) before and after the step."""

#: a step of length zero, of any scheme
IDENTITY = Explicit(lambda y: (y, np.ones_like(y)), 0.0)


# ------------------------------------------------------------------------------------------------------ node laws


@dataclass(frozen=True)
class NodeLaw(Fixed):
    """A density on quadrature nodes.

    Attributes
    ----------
    x, weights, density, log_density : (n,)
        Increasing nodes, quadrature weights in x, density and its logarithm (-inf only where the density is 0 exactly).
    segments : tuple of (start, stop)
        Runs of nodes on which the density is smooth; more than one only after a step with gaps.
    gaps : tuple of (low, high)
        Intervals in which the density is exactly 0.
    parameter, stretch : (n,) or None
        Nodes tau of which x is a smooth increasing image (those before the last deterministic steps), and dx / dtau.
    edges : tuple of (low, high) or None
        Ends of the segments in tau where they are not nodes (Gauss panels).

    Examples
    --------
    >>> law = discretise(GaussianMixture(None, [[1.0]], 4.0), np.linspace(-20.0, 22.0, 301))
    >>> round(law.mass, 12), round(law.mean, 12), round(law.variance, 12)
    (1.0, 1.0, 4.0)
    """

    x: np.ndarray
    weights: np.ndarray
    density: np.ndarray
    log_density: np.ndarray
    segments: tuple
    gaps: tuple = ()
    parameter: np.ndarray | None = None
    stretch: np.ndarray | None = None
    edges: tuple | None = None

    def __post_init__(self):
        # own flags on shared memory: steps hand their nodes on
        self.__dict__.update((k, v.view()) for k, v in vars(self).items() if isinstance(v, np.ndarray))
        self._fix()

    @property
    def _tau(self):
        """The parameter in which the data are smooth and evenly resolved: x, or the nodes before deterministic steps."""
        return self.x if self.parameter is None else self.parameter

    @property
    def _stretch(self):
        return np.ones_like(self.x) if self.stretch is None else self.stretch

    @property
    def mass(self) -> float:
        """Integral of the density."""
        return math.fsum(self.weights * self.density)

    def expectation(self, values: np.ndarray) -> float:
        """Integral of the density times ``values`` (n,)."""
        return math.fsum(self.weights * self.density * values)

    @property
    def mean(self) -> float:
        return self.expectation(self.x)

    @property
    def variance(self) -> float:
        return self.expectation((self.x - self.mean) ** 2)

    def _splines(self, values):
        """(start, stop, spline of ``values``) on every smooth run of nodes."""
        for start, stop in self.segments:
            order = min(7, (stop - start - 1) // 2 * 2 - 1)
            yield start, stop, make_interp_spline(self._tau[start:stop], values[start:stop], k=order)

    def cdf(self) -> tuple[np.ndarray, np.ndarray]:
        """Distribution function at the nodes, and its complement: two arrays, each accurate in its own tail."""
        return _cumulative(self, self.density)


def _cumulative(law, values):
    """Integrals of ``values`` (>= 0 or signed) from the left and from the right, at the nodes."""
    pieces, ends = [], []
    for k, (start, stop, spline) in enumerate(law._splines(values * law._stretch)):
        tau = law._tau[start:stop]
        low, high = (tau[0], tau[-1]) if law.edges is None else law.edges[k]
        primitive = spline.antiderivative()
        pieces.append(np.diff(primitive(tau), prepend=primitive(low)))
        ends.append(float(primitive(high) - primitive(tau[-1])))
    for k in range(1, len(pieces)):
        pieces[k][0] += ends[k - 1]
    steps = np.concatenate(pieces)
    left = np.cumsum(steps)
    right = np.cumsum(np.append(steps[1:], ends[-1])[::-1])[::-1]
    return left, right


def _from_log(x, weights, log_density, segments=None):
    return NodeLaw(x, weights, np.exp(log_density), log_density, segments or ((0, len(x)),))


def discretise(law: Any, x: ArrayLike | None, weights: ArrayLike | None = None, like: NodeLaw | None = None) -> NodeLaw:
    """A law with ``log_density`` (on (n, 1) or, for :class:`Level`, (n,) arrays) as a :class:`NodeLaw`.

    Parameters
    ----------
    law : law or Level
    x : (n,) uniform nodes, or any nodes with their ``weights``
    like : NodeLaw
        Take nodes, weights and segments from it instead.

    Examples
    --------
    >>> law = discretise(GaussianMixture(None, [[1.0]], 1.0), np.linspace(-9, 11, 201))
    >>> round(law.mean, 12), round(law.variance, 12)
    (1.0, 1.0)
    """
    if like is not None:
        x, weights = like.x, like.weights
    x = np.array(to_numpy(real_array("x", x)))
    if weights is None:
        weights = np.full(len(x), (x[-1] - x[0]) / (len(x) - 1))
    elif like is None:
        weights = np.array(to_numpy(real_array("weights", weights)))
    log = law.log_density(x) if isinstance(law, Level) else law.log_density(x[:, np.newaxis])
    if like is None:
        return _from_log(x, weights, np.asarray(log))
    return replace(like, density=np.exp(log), log_density=np.asarray(log), gaps=())


def mixture(laws: Sequence[NodeLaw], weights: ArrayLike) -> NodeLaw:
    """Mixture of node laws on the same nodes: toss a coin per sample.

    Examples
    --------
    >>> x = np.linspace(-11, 11, 401)
    >>> parts = [discretise(GaussianMixture(None, [[m]], 1.0), x) for m in (-1.0, 1.0)]
    >>> round(mixture(parts, [0.25, 0.75]).mean, 12)
    0.5
    """
    first = laws[0]
    for other in laws[1:]:
        if other.x.shape != first.x.shape or np.any(other.x != first.x):
            fail("laws", "different nodes", "laws on the same nodes (propagate(..., nodes=x))")
    weights = np.asarray(weights, dtype=np.float64)
    density = sum(w * law.density for w, law in zip(weights, laws))
    with np.errstate(divide="ignore"):
        log = np.logaddexp.reduce([np.log(w) + law.log_density for w, law in zip(weights, laws)])
    return replace(first, density=density, log_density=log, gaps=())


# ------------------------------------------------------------------------------------------------ Gaussian sums


def _gauss_sum(at, centres, weights, variance):
    """``sum_j weights_j N(at_i; centres_j, variance)`` and its logarithm, relative accuracy also in the tails.

    Dense for small problems. Otherwise the pairs within a window of a row, outside which a term is below exp(-depth) of the
    largest possible value: first a depth that serves rows that hold exp(-DEPTH) of it, then deeper ones for the rows that
    hold less, until what the window leaves out is below 1e-16 of the row. Rows that underflow are summed by logarithms.
    """
    s, n, m = math.sqrt(variance), len(at), len(centres)
    norm = 1 / (s * math.sqrt(2 * math.pi))
    if n * m > DENSE:
        order = np.argsort(centres, kind="stable")
        centres, weights = centres[order], weights[order]
    total = math.fsum(weights)
    with np.errstate(divide="ignore"):
        logs, most = np.log(weights), np.log(total * norm)

    # the values, in windows where these leave most of the pairs out
    value, rows, depth = np.zeros(n), np.arange(n), DEPTH + 40.0
    while len(rows):
        low, high = _window(at[rows], centres, s, depth)
        if n * m <= DENSE or int(np.sum(high - low)) >= len(rows) * m // 5:
            value[rows] = _dense(at[rows], centres, weights, s)
            break
        value[rows] = _band(at[rows], centres, weights, s, low, high)
        rows = rows[value[rows] * (EPS / 2) < total * math.exp(-depth)]
        depth *= 3
    value *= norm

    # logarithms apart for rows that underflow
    with np.errstate(divide="ignore"):
        log = np.log(value)
    rows, depth = np.flatnonzero(value < TINY), 3 * -math.log(TINY)
    while len(rows):
        low, high = _window(at[rows], centres, s, depth)
        if n * m <= DENSE or int(np.sum(high - low)) >= len(rows) * m // 2:
            low, high = np.zeros_like(low), np.full_like(high, m)
        log[rows] = _band(at[rows], centres, logs, s, low, high, logs=True) + math.log(norm)
        rows = rows[(high - low < m) & ~(log[rows] + math.log(EPS / 2) >= most - depth)]
        depth *= 3
    return value, log


def _window(at, centres, s, depth):
    """Ends of the windows outside which exp(-(at - centre)^2 / (2 s^2)) is below exp(-depth)."""
    reach = s * math.sqrt(2 * depth)
    return np.searchsorted(centres, at - reach, side="left"), np.searchsorted(centres, at + reach, side="right")


def _dense(at, centres, weights, s):
    out = np.empty(len(at))
    block = max(1, BLOCK // len(centres))
    at, centres = at / (s * math.sqrt(2)), centres / (s * math.sqrt(2))
    for i in range(0, len(at), block):
        z = at[i : i + block, np.newaxis] - centres
        np.multiply(z, z, out=z)
        np.negative(z, out=z)
        np.exp(z, out=z)
        out[i : i + block] = z @ weights
    return out


def _band(at, centres, weights, s, low, high, logs=False):
    """Sums of kernels times ``weights`` over windows; ``logs``: logarithms of the sums, from those of the weights."""
    out = np.full(len(at), -np.inf if logs else 0.0)
    counts = high - low
    ends = np.cumsum(counts)
    i = 0
    while i < len(at):
        # rows of about one block of pairs
        j = max(i + 1, int(np.searchsorted(ends, (ends[i - 1] if i else 0) + BLOCK, side="right")))
        c = counts[i:j]
        starts = np.cumsum(c) - c
        index = np.arange(int(c.sum())) + np.repeat(low[i:j] - starts, c)
        z = (np.repeat(at[i:j], c) - centres[index]) / s
        z *= -0.5 * z

        # their sums
        filled = np.flatnonzero(c > 0)
        if logs and len(filled):
            z += weights[index]
            top = np.maximum(np.maximum.reduceat(z, starts[filled]), -1e300)
            sums = np.add.reduceat(np.exp(z - np.repeat(top, c[filled])), starts[filled])
            with np.errstate(divide="ignore"):
                out[i + filled] = top + np.log(sums)
        elif len(filled):
            out[i + filled] = np.add.reduceat(np.exp(z) * weights[index], starts[filled])
        i = j
    return out


# ---------------------------------------------------------------------------------------------------- contact set


def contact_gaps(step: Implicit, low: float, high: float, points: int = 8001) -> tuple[tuple[float, float], ...]:
    """Gaps of the range of the global proximal map within [low, high]: intervals not touched by the convex hull.

    The range of ``y -> argmin_u potential(u) - u y`` is the set where the potential meets its convex hull. The hull is found
    on ``points`` nodes by the monotone chain; each of its long edges is then polished to a bitangent by Newton.

    Returns
    -------
    tuple of (low, high)

    Examples
    --------
    >>> double_well = Implicit(lambda u: (u**3 - u, 3 * u**2 - 1), lambda u: (u**2 - 1) ** 2 / 4, 0.0, 1.0)
    >>> ((low, high),) = contact_gaps(double_well, -3.0, 3.0)
    >>> round(low, 9), round(high, 9)
    (-1.0, 1.0)
    """

    # the convex hull on nodes, by the monotone chain
    x = np.linspace(low, high, points)
    u = step.potential(x)
    u = u - u.min()
    hull: list[int] = []
    for i in range(points):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (u[b] - u[a]) * (i - a) >= (u[i] - u[a]) * (b - a):
                hull.pop()
            else:
                break
        hull.append(i)

    # its long edges, each polished to a bitangent
    edges = [(a, b) for a, b in pairwise(hull) if b - a > 1]
    gaps = []
    for a, b in edges:
        if np.all(step.forward(x[a : b + 1])[1] > 0):
            continue
        pair = _bitangent(step, x[a], x[b], x[1] - x[0])
        if pair is not None:
            gaps.append(pair)

    # gaps that overlap are one
    merged: list[tuple[float, float]] = []
    for a, b in sorted(gaps):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return tuple(merged)


def _bitangent(step, a, b, h):
    """Newton for F(a) = F(b) = slope of the chord; None when the edge collapses (J > 0 after all)."""
    p = np.array([a, b])
    for _ in range(60):
        force, jacobian = step.forward(p)
        value = step.potential(p)
        width = p[1] - p[0]
        residual = np.array([force[1] - force[0], value[1] - value[0] - 0.5 * (force[0] + force[1]) * width])
        # derivative of the second: with both forces equal it is (+-) (force - chord) - J width / 2
        matrix = np.array(
            [
                [-jacobian[0], jacobian[1]],
                [
                    -force[0] + 0.5 * (force[0] + force[1]) - 0.5 * jacobian[0] * width,
                    force[1] - 0.5 * (force[0] + force[1]) - 0.5 * jacobian[1] * width,
                ],
            ]
        )
        move = np.linalg.solve(matrix, residual)
        size = np.max(np.abs(move))
        if size > 2 * h:
            move *= 2 * h / size
        p = p - move
        if p[1] - p[0] < h / 100:
            return None
        if size < 64 * EPS * (1 + np.max(np.abs(p))):
            break
    return float(p[0]), float(p[1])


# ----------------------------------------------------------------------------------------------------- propagation


@dataclass(frozen=True)
class StepReport:
    """One step: nodes, their step, the box, mass error, smallest Jacobian (implicit and deterministic steps), gaps, and
    the true law's mass where the computed density is only a lower bound (see :attr:`Propagation.unresolved`).

    Examples
    --------
    >>> run = propagate(GaussianMixture(None, [[0.0]], 1.0), ed.schedules.vp_linear(4, eps=1e-3), "euler_maruyama")
    >>> len(run.steps), abs(run.steps[0].mass_error) < 1e-12, run.steps[0].gaps
    (4, True, ())
    """

    nodes: int
    h: float
    low: float
    high: float
    mass_error: float
    jacobian: float
    gaps: tuple
    unresolved: float = 0.0


@dataclass(frozen=True)
class Propagation:
    """Result of :func:`propagate`.

    Attributes
    ----------
    law : NodeLaw
        Law of the output.
    steps : tuple of StepReport
    laws : tuple of NodeLaw
        All N + 1 laws when ``keep``; else empty.
    levels : tuple of Level
        The true laws p_t at the N + 1 levels.

    Examples
    --------
    >>> run = propagate(GaussianMixture(None, [[0.0]], 1.0), ed.schedules.vp_linear(4, eps=1e-3), "ddpm")
    >>> run.mass_error < 1e-12, run.violated, len(run.levels)
    (True, (), 5)
    """

    law: NodeLaw
    steps: tuple
    levels: tuple = field(repr=False)
    laws: tuple = field(default=(), repr=False)

    @property
    def mass_error(self) -> float:
        """Largest |mass - 1| over the steps."""
        return max(abs(s.mass_error) for s in self.steps)

    @property
    def unresolved(self) -> float:
        """Mass of the true last law where the output density is only a lower bound.

        Positive when the output is so much narrower than the target that its tail there comes from beyond the box of the
        level before (few steps, small variances). KL is then an upper bound; TV, W1 and W2 are not affected.
        """
        return self.steps[-1].unresolved

    @property
    def violated(self) -> tuple[int, ...]:
        """Steps with gaps: where the proximal map is not single valued (J <= 0 somewhere)."""
        return tuple(i for i, s in enumerate(self.steps) if s.gaps)

    @property
    def target(self) -> NodeLaw:
        """The true law at the last level, on the nodes of the output."""
        return discretise(self.levels[-1], None, like=self.law)


def line_parameters(scheme: Callable) -> tuple[str, ...]:
    """Names of the parameters that the step of a scheme takes, beside its ends and g."""
    return tuple(inspect.signature(scheme).parameters)[3:]


def _chain(scheme, law, grid, step, last_noise=None, levels=None, **params):
    """Levels and steps of a run; ``last_noise=None`` is the sampler's own default, and ``params`` go to the scheme."""
    if not isinstance(grid, Grid) or grid.sigma.ndim != 1 or not grid.is_vp:
        fail("grid", grid, "a Grid in VP coordinates, one schedule for all rows")
    positive_scales("grid", grid)
    line = levels is None
    if line:
        _check_line(law)
        levels = tuple(Level(law, s, t) for s, t in zip(grid.scale, grid.sigma))

    # the scheme and its step sizes
    named = REGISTRY[choice("scheme", scheme, tuple(SCHEMES))] if isinstance(scheme, str) else None
    if named is not None:
        scheme = named.line
    elif not callable(scheme):
        fail("scheme", scheme, "a name of SCHEMES or scheme(start, end, g)")
    g = step_sizes(grid, step)
    known = line_parameters(scheme)
    for name in set(params) - set(known):
        fail(name, params[name], f"a parameter of the step on a line ({', '.join(known) or 'this scheme has none'})")
    if named is not None and params:
        named.options(grid, **params)  # checks their values
    if "last_noise" in known and last_noise is not None:
        params["last_noise"] = last_noise

    # the steps, without the noise of the last one where that is asked for
    maps = [
        scheme(levels[i], levels[i + 1], float(g[i]), **params) if g[i] > 0 or not line else IDENTITY for i in range(grid.N)
    ]
    if last_noise is False and "last_noise" not in known and maps[-1] is not IDENTITY:
        maps[-1] = replace(maps[-1], variance=0.0)
    for i, m in enumerate(maps):
        if isinstance(m, Implicit) and not m.variance > 0:
            fail("last_noise", last_noise, f"noise in every implicit step (step {i})")
    return levels, maps


def _moving(maps):
    """The first step that is not of length zero, or None."""
    return next((m for m in maps if m is not IDENTITY), None)


def _check_line(law):
    if getattr(law, "dim", None) != 1 or not callable(getattr(law, "noised", None)):
        fail("law", law, "a law of dimension 1 with noised(scale, sigma)")
    if not all(hasattr(law, name) for name in ("weights", "means", "covariances")):
        fail("law", law, "a GaussianMixture (use .materialise() of a noised one)")


def propagate(
    law: Law,
    grid: Grid,
    scheme: str | Callable,
    start: str | NodeLaw = "exact",
    *,
    step: str | ArrayLike = "integral",
    last_noise: bool | None = None,
    nonconvex: str = "raise",
    refine: float = 1.0,
    nodes: ArrayLike | None = None,
    keep: bool = False,
    limit: float = MOST_EVALUATIONS,
    **params: Any,
) -> Propagation:
    """Exact law of the output of a one-step sampler on a one-dimensional mixture.

    Parameters
    ----------
    law : GaussianMixture, dim 1
    grid : Grid
        VP coordinates, noisy to clean. The last level must have a density.
    scheme : str or callable
        A name of :data:`SCHEMES`, which is that of the sampler, or ``scheme(start, end, g)`` returning an :class:`Explicit`
        or :class:`Implicit` step.
    start : {"exact", "normal"} or NodeLaw
        Law of the first state: the exact one at the first level, N(0, 1), or any law on nodes.
    step : "integral", "right" or (N,) array
        Step sizes g, as for the samplers.
    last_noise : bool, optional
        False drops the noise of the last (explicit) step. Default: that of the sampler.
    nonconvex : {"raise", "contact"}
        What to do where the Jacobian of a proximal step is not positive: raise :class:`AssumptionViolated`, or compute the
        law of the global proximal map by its contact set.
    refine : number >= 1
        Divides the step of all nodes; 2 doubles their number (error estimates: :func:`study`).
    nodes : (n,) uniform nodes for the last level, optional
    keep : bool
        Keep the laws of all levels.
    limit : number
        Kernel evaluations allowed. How many are needed is estimated before the first: about 3e7 take a second. Beyond 5
        seconds a terminal shows the progress.
    **params
        Parameters of the sampler that its step on a line takes (``variance`` of "ddpm").

    Returns
    -------
    Propagation

    Raises
    ------
    AssumptionViolated
        Where the Jacobian of a step is not positive (with ``nonconvex="raise"``, and always for deterministic steps).
    QuadratureError
        If the mass leaves 1 by more than 1e-12 plus rounding (1e-9 after a step with gaps). At once, if a level would need
        more than ``MAX_NODES`` nodes, or all of them more than ``limit`` kernel evaluations: modes that are narrow compared
        with their distance.
    ValueError
        naming the argument.

    Notes
    -----
    Positivity of J is checked on the nodes and, around their minimum, on nodes 32 times finer.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> run = propagate(GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(50, eps=1e-3), "euler_maruyama")
    >>> run.mass_error < 1e-12, abs(run.law.mean) < 1e-12
    (True, True)
    """
    choice("nonconvex", nonconvex, ("raise", "contact"))
    refine, limit = scalar("refine", refine, low=0.5), scalar("limit", limit, low=0, low_open=True)

    # what has to be done, and whether it is affordable
    levels, maps = _chain(scheme, law, grid, step, last_noise, **params)
    if nodes is not None:
        nodes = np.array(to_numpy(real_array("nodes", nodes)))
    seconds = _affordable(levels, maps, refine, limit, nodes) / PER_SECOND
    deterministic = all(m.variance == 0 for m in maps)

    # one step after the other; finer nodes where the mass says so
    q = _start(start, levels[0], maps, levels, refine, deterministic)
    laws = [q]
    reports: list[StepReport] = []
    for i, m in progress(list(enumerate(maps)), "steps of the density") if seconds > 5 else enumerate(maps):
        following = _moving(maps[i + 1 :])
        gaps = any(r.gaps for r in reports)
        for extra in (1.0, 1.5, 2.25):  # the rule for h is heuristic for proximal steps of mixtures: the mass decides
            last = nodes if following is None else None
            new, report = _advance(i, q, m, following, levels[i + 1], refine * extra, nonconvex, last)
            if m is IDENTITY:
                report = replace(reports[-1] if reports else report, gaps=())
            tolerance = (1e-9 if gaps or report.gaps else 1e-12) + 8 * EPS * (i + 1)
            if abs(report.mass_error) <= tolerance:
                break
        else:
            raise QuadratureError(
                f"mass 1 {report.mass_error:+.3g} after step {i} ({report.nodes} nodes, h = {report.h:.3g}); "
                f"allowed {tolerance:.3g}: use refine > {refine:g}"
            )
        q = new
        reports.append(report)
        if keep:
            laws.append(q)
    return Propagation(q, tuple(reports), levels, tuple(laws) if keep else ())


def _affordable(levels, maps, refine, limit, nodes=None):
    """Kernel evaluations of a propagation, estimated on the true laws of at most 33 levels.

    QuadratureError, where they are more than ``limit`` or a level needs more than ``MAX_NODES`` nodes.
    """
    total, chosen = 0.0, np.unique(np.linspace(0, len(maps) - 1, 33).astype(int))
    for i in chosen:
        m, end = maps[i], levels[i + 1]
        if m.variance == 0:  # the nodes of the level before move
            continue
        before, (low, high) = levels[i].box(), end.box()

        # how many nodes, and where: those of the level before are summed over
        source, near = _count(*before, None, levels[i], m, refine)
        n, at = _count(low, high, m, end, _moving(maps[i + 1 :]), refine)
        width = before[1] - before[0]
        if isinstance(m, Implicit) and n <= UNIFORM:
            n *= 16 / 6  # the panels of a step with gaps
        if nodes is not None and i == len(maps) - 1:
            n, at = len(nodes), nodes

        # how many of them lie within the band of a kernel
        band = 2 * math.sqrt(2 * m.variance * (DEPTH + 40.0))
        centres = np.sort(m.mean(near)[0] if isinstance(m, Explicit) else m.slope * near)
        goals = at if isinstance(m, Explicit) else m.forward(at)[0]
        inside = np.searchsorted(centres, goals + band / 2) - np.searchsorted(centres, goals - band / 2)
        total += n * (source * float(np.mean(inside)) / len(near) + 1) * len(maps) / len(chosen)
        if max(n, source) > MAX_NODES or total > limit:
            raise QuadratureError(
                f"the law is too narrow for its width of {width:.3g}: step {i} needs about {max(n, source):.2g} "
                f"nodes (at most {MAX_NODES}), the steps up to it {total:.2g} kernel evaluations (at most {limit:.2g}). "
                "What works: wider modes, or modes nearer to each other; each mode alone (output_laws.gaussian is exact); "
                f"samples and distances.w2; a larger limit if only evaluations are too many ({PER_SECOND:.0g} take a second)"
            )
    return total


def _count(low, high, m, end, following, refine):
    """Number of the nodes of `_nodes` on [low, high], and some points (k,) that lie as they do; m None: no step before."""
    x = end.probes((low, high))
    n = (high - low) / _node_step(x, end, following, refine, 0.0 if m is None else _features(m, end, x)) + 1
    if n <= (UNIFORM_LAST if following is None else UNIFORM):
        return n, np.linspace(low, high, 257)
    edges, _ = _graded(low, high, m, end, following, refine)
    return 16 * (len(edges) - 1), 0.5 * (edges[1:] + edges[:-1])


def _features(m, end, x):
    """What an implicit step adds to the curvature that nodes resolve: J^2 / (variance of the smoothing).

    The density has the features of the smoothed one, seen through F; x are probes.
    """
    return 0.0 if isinstance(m, Explicit) else float(np.max(_steep(m, end, x)))


def _steep(m, end, x):
    """The same at each of the points."""
    steep = np.maximum(m.forward(x)[1], 0.0) ** 2
    return steep / (m.variance + m.slope**2 / max(float(np.max(-end.curvature(x))), 1e-300))


def _uniform(low, high, h, what):
    n = math.ceil((high - low) / h) + 1
    if n > MAX_NODES:
        raise QuadratureError(
            f"{what} would need {n} nodes (box [{low:.3g}, {high:.3g}], step {h:.3g}); at most {MAX_NODES}"
        )
    n = max(n, 65)
    x = np.linspace(low, high, n)
    return x, np.full(n, (high - low) / (n - 1))


def _node_step(x, here, following, refine, extra=0.0):
    """Step of the nodes for a density close to that of ``here``, next seen by the step ``following``; x are probes."""
    return _step(here.curvature(x), _kernel(x, following), following, refine, extra)


def _kernel(x, following):
    """Curvature (n,) of the exponent of the kernel of the step ``following``, seen from its sources x; 0 if it has none."""
    if isinstance(following, Implicit):
        return np.full(len(x), following.slope**2 / following.variance)
    if following is not None and following.variance > 0:
        return following.mean(x)[1] ** 2 / following.variance
    return np.zeros(len(x))


def _step(curvature, kernel, following, refine, extra):
    """Step of the nodes from the curvatures of density and kernel at some points."""
    return float(_steps(np.min(curvature), np.max(curvature), np.max(kernel), following, refine, extra))


def _steps(least, most, kernel, following, refine, extra):
    """Steps (n,) from the ends of the curvature of the density and the largest curvature of the kernel, each (n,)."""
    # last level, or moved by a deterministic step: divergences interpolate between these nodes
    fine = 4.0 if following is None or following.variance == 0 else 1.0
    total = kernel + np.maximum(np.maximum(-least, extra), 0.0) + 1e-300
    h, pole = np.sqrt(RESOLUTION / total), pole_distance(most - least)
    strip = STRIP * pole

    # where the line of the Gaussian rule is beyond the pole
    beyond = (kernel > 0) & (strip < 2 * math.pi / (h * total))
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite strip is never beyond
        h = np.where(beyond, 2 * math.pi * strip / (2 * math.pi**2 / RESOLUTION + strip**2 * total / 2), h)
    return np.minimum(h, POLE * pole) / (fine * refine)


def _start(start, first, maps, levels, refine, deterministic):
    if isinstance(start, NodeLaw):
        return start
    choice("start", start, ("exact", "normal"))
    box = first.box() if start == "exact" else (-math.sqrt(2 * DEPTH), math.sqrt(2 * DEPTH))
    h = _node_step(first.probes(box), first, _moving(maps), refine, extra=1.0 if start == "normal" else 0.0)
    if deterministic:  # the same nodes serve all levels: resolve the finest of them
        h = min(h, (box[1] - box[0]) / (4000 * refine))
    x, w = _uniform(*box, h, "the first level")
    log = first.log_density(x) if start == "exact" else -0.5 * x * x - 0.5 * math.log(2 * math.pi)
    return _from_log(x, w, log)


def _advance(i, q, m, following, end, refine, nonconvex, nodes):
    if m.variance == 0:
        return _move(i, q, m, nodes)
    source = q.weights * q.density
    with np.errstate(divide="ignore"):
        depth = DEPTH + np.log(source) - math.log(source.max())
    alive = depth > 0
    reach = np.sqrt(2 * m.variance * depth[alive])

    # the box of the next density
    jacobian, gaps = math.inf, ()
    if isinstance(m, Explicit):
        centres = m.mean(q.x)[0]
        low, high = float(np.min(centres[alive] - reach)), float(np.max(centres[alive] + reach))
        low, high = _union((low, high), end.box())
    else:
        centres = q.x + m.growth * q.x
        low, high = float(np.min(centres[alive] - reach)), float(np.max(centres[alive] + reach))
        low, high = _union(_preimage(m, low, high, end.box()), end.box())
    if nodes is None:
        x, w, h = _nodes(low, high, m, end, following, refine, f"step {i}")
    else:
        x = end.probes((low, high))
        h = _node_step(x, end, following, refine, _features(m, end, x))
        x, w = nodes, np.full(len(nodes), (nodes[-1] - nodes[0]) / (len(nodes) - 1))

    # the density on the nodes
    segments, edges = ((0, len(x)),), None
    if isinstance(m, Explicit):
        value, log = _gauss_sum(x, centres, source, m.variance)
        density = value
    else:
        force, slope = m.forward(x)
        location, jacobian = _lowest(m, x, slope)
        if jacobian <= 0:
            if nonconvex == "raise":
                raise AssumptionViolated(i, location, jacobian, "the proximal step")
            gaps = contact_gaps(m, low, high)
            grade = None
            if (high - low) / h > (UNIFORM_LAST if following is None else UNIFORM):
                grade = lambda a, b: _graded(a, b, m, end, following, refine)[0]  # noqa: E731
            x, w, segments, inside, edges = _panels(low, high, gaps, h, grade)
            force, slope = m.forward(x)
        value, log = _gauss_sum(force, centres, source, m.variance)
        if gaps:
            slope = np.where(inside, slope, 0.0)
        density = value * slope
        with np.errstate(divide="ignore"):
            log = log + np.log(slope)
    new = NodeLaw(x, w, density, log, segments, gaps, edges=edges)
    unresolved = 0.0
    if following is None:
        # the part of each row that an end node of the source holds: its sum goes on beyond the box by about as much
        at = x if isinstance(m, Explicit) else force
        row = log if isinstance(m, Explicit) else log - np.log(np.where(slope > 0, slope, 1.0))
        ends = np.array([0, -1])
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.log(source[ends])[:, np.newaxis] - 0.5 * (at - centres[ends][:, np.newaxis]) ** 2 / m.variance
            part = np.max(part, axis=0) - 0.5 * math.log(2 * math.pi * m.variance) - row
        share = np.minimum(1.0, 10 * np.exp(np.minimum(np.nan_to_num(part, nan=0.0), 0.0)))
        unresolved = math.fsum(np.where(density > 0 if gaps else True, w * np.exp(end.log_density(x)) * share, 0.0))
    return new, StepReport(len(x), float(h), low, high, new.mass - 1, float(jacobian), gaps, unresolved)


def _nodes(low, high, m, end, following, refine, what):
    """Nodes, weights and step on [low, high]: uniform, or panels where a narrow feature would make them too many.

    The score of separate modes changes on a short interval between them, which alone needs fine nodes.
    """
    x = end.probes((low, high))
    h = _node_step(x, end, following, refine, _features(m, end, x))
    if (high - low) / h > (UNIFORM_LAST if following is None else UNIFORM):
        edges, h = _graded(low, high, m, end, following, refine)
        nodes, weights = np.polynomial.legendre.leggauss(16)
        if 16 * (len(edges) - 1) <= MAX_NODES:
            half = 0.5 * np.diff(edges)[:, np.newaxis]
            return (edges[:-1, np.newaxis] + half * (1 + nodes)).ravel(), (half * weights).ravel(), h
    return *_uniform(low, high, h, what), h


def _graded(low, high, m, end, following, refine):
    """Ends of panels, each of at most six steps of the nodes that its own surroundings ask for; the smallest such step.

    Panels of the last level have three steps: W2 interpolates the distribution function between their nodes.
    """
    longest = 3 if following is None else 6
    # points that show every feature at every distance from it
    centres = end.probes((low, high), 0)
    offsets = (high - low) * 2.0 ** -np.arange(1, 50)
    x = np.concatenate([np.linspace(low, high, 161), centres, *(centres + s * d for d in offsets for s in (-1, 1))])
    x = np.unique(x[(x >= low) & (x <= high)])
    curvature, kernel = end.curvature(x), _kernel(x, following)
    features = _steep(m, end, x) if isinstance(m, Implicit) else np.zeros(len(x))

    # halve the panels that are too long for what lies in them and half a length beyond
    last = np.zeros(1)  # segments of reduceat begin below the length of the array, and some end there
    curvature, kernel, features = (np.concatenate([v, last]) for v in (curvature, kernel, features))
    panels, done, least = np.array([[low, high]]), [], math.inf
    while len(panels):
        a, b = panels.T
        near = np.searchsorted(x, [a - (b - a) / 2, b + (b - a) / 2])
        near = np.stack([np.maximum(near[0] - 1, 0), np.minimum(near[1] + 1, len(x))], 1).ravel()
        top, bottom = np.maximum.reduceat(curvature, near)[::2], np.minimum.reduceat(curvature, near)[::2]
        steepest, extra = np.maximum.reduceat(kernel, near)[::2], np.maximum.reduceat(features, near)[::2]
        h = _steps(bottom, top, steepest, following, refine, extra)
        long = (b - a > longest * h) & (sum(map(len, done)) + len(panels) <= MAX_NODES // 16)
        done.append(b[~long])
        least = min(least, float(np.min(h[~long], initial=math.inf)))
        a, b = a[long], b[long]
        middle = 0.5 * (a + b)
        panels = np.concatenate([np.stack([a, middle], 1), np.stack([middle, b], 1)])
    return np.concatenate([[low], np.sort(np.concatenate(done))]), least


def _union(a, b):
    return min(a[0], b[0]), max(a[1], b[1])


def _lowest(m, x, slope):
    """Smallest Jacobian near the smallest node value, on a finer grid."""
    i = int(np.argmin(slope))
    a, b = x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)]
    fine = np.linspace(a, b, 65)
    values = m.forward(fine)[1]
    j = int(np.argmin(values))
    return float(fine[j]), float(min(values[j], slope[i]))


def _preimage(m, low, high, box):
    """Smallest interval between coarse nodes that F maps over [low, high]; F is increasing far out."""
    for _ in range(60):
        x = np.linspace(*box, 385)
        force = m.forward(x)[0]
        below, above = np.flatnonzero(force <= low), np.flatnonzero(force >= high)
        if len(below) and len(above):
            # beyond the last crossing on the left and the first on the right F stays outside: the global prox is inside
            return float(x[below[0] if len(below) == 1 else _last_run(below)]), float(x[_first_run(above, len(x))])
        width = box[1] - box[0]
        box = (box[0] - (0 if len(below) else width / 2), box[1] + (0 if len(above) else width / 2))
    raise QuadratureError("the box of an implicit step could not be found")


def _last_run(below):
    """Last index of the run of nodes that starts at the left end."""
    breaks = np.flatnonzero(np.diff(below) > 1)
    return int(below[breaks[0]] if len(breaks) else below[-1])


def _first_run(above, n):
    """First index of the run of nodes that ends at the right end."""
    breaks = np.flatnonzero(np.diff(above) > 1)
    return int(above[breaks[-1] + 1] if len(breaks) else above[0])


def _panels(low, high, gaps, h, grade=None):
    """Gauss-Legendre panels between break points; gaps carry nodes too, with ``inside`` False.

    Panels of six steps h, or with the ends ``grade(a, b)`` between two break points.
    """
    nodes, weights = np.polynomial.legendre.leggauss(16)
    ends = [low, *[e for gap in gaps for e in gap], high]
    x, w, inside, segments = [], [], [], []
    for k, (a, b) in enumerate(pairwise(ends)):
        edges = grade(a, b) if grade else np.linspace(a, b, max(2, math.ceil((b - a) / (6 * h))) + 1)
        half = 0.5 * np.diff(edges)
        x.append((edges[:-1, np.newaxis] + half[:, np.newaxis] * (1 + nodes)).ravel())
        w.append((half[:, np.newaxis] * weights).ravel())
        inside.append(np.full(len(x[-1]), k % 2 == 0))
        first = segments[-1][1] if segments else 0
        segments.append((first, first + len(x[-1])))
    if segments[-1][1] > MAX_NODES:
        raise QuadratureError(f"panels around gaps would need {segments[-1][1]} nodes; at most {MAX_NODES}")
    return np.concatenate(x), np.concatenate(w), tuple(segments), np.concatenate(inside), tuple(pairwise(ends))


def _move(i, q, m, nodes):
    """Deterministic step: nodes move, density and weights change by m'."""
    if m is IDENTITY:
        return q, StepReport(len(q.x), float(np.max(np.diff(q.x))), float(q.x[0]), float(q.x[-1]), q.mass - 1, 1.0, ())
    if nodes is not None:
        fail("nodes", nodes, "None when the last step is deterministic (its nodes are those of the level before, moved)")
    if q.gaps:
        raise AssumptionViolated(i, q.gaps[0][0], 0.0, "a deterministic step after a step with gaps")
    x, slope = m.mean(q.x)
    worst = int(np.argmin(slope))
    if not slope[worst] > 0:
        raise AssumptionViolated(i, float(q.x[worst]), float(slope[worst]), "the deterministic map")
    new = replace(
        q,
        x=x,
        weights=q.weights * slope,
        density=q.density / slope,
        log_density=q.log_density - np.log(slope),
        parameter=q._tau,
        stretch=q._stretch * slope,
    )
    h = float(np.max(np.diff(x)))
    return new, StepReport(len(x), h, float(x[0]), float(x[-1]), new.mass - 1, float(slope[worst]), ())


# ------------------------------------------------------------------------------------------------------ divergences


@dataclass(frozen=True)
class Measured:
    """A number and an estimate of its absolute error.

    Examples
    --------
    >>> float(Measured(0.25, error=1e-12))
    0.25
    """

    value: float
    error: float

    def __float__(self):
        return self.value


@dataclass(frozen=True)
class Divergences:
    """``kl`` = KL(p || q), ``reverse_kl`` = KL(q || p), ``tv``, ``w1``, ``w2`` (not squared) and ``gap_mass``, the p-mass of
    the gaps of q. Floats from :func:`divergences`, :class:`Measured` from :func:`study`.

    Examples
    --------
    >>> x = np.linspace(-11.0, 13.0, 801)
    >>> p, q = (discretise(GaussianMixture(None, [[m]], 1.0), x) for m in (0.0, 2.0))
    >>> found = divergences(p, q)  # two normal laws, 2 apart
    >>> round(found.kl, 10), round(found.reverse_kl, 10), round(found.w1, 8), round(found.tv, 6)
    (2.0, 2.0, 2.0, 0.682689)
    """

    kl: float
    reverse_kl: float
    tv: float
    w1: float
    w2: float
    gap_mass: float


def _abs_integral(law, values):
    """Integral of |values| over the nodes: the primitive is split at the sign changes, so kinks cost no accuracy."""
    total = 0.0
    floor = 1e-14 * float(np.max(np.abs(values), initial=0.0))
    for k, (start, stop, spline) in enumerate(law._splines(values * law._stretch)):
        x, v = law._tau[start:stop], (values * law._stretch)[start:stop]
        low, high = (x[0], x[-1]) if law.edges is None else law.edges[k]
        primitive = spline.antiderivative()
        # changes of sign, which may fall on a node, or on nodes between far modes where both densities vanish
        kept = np.flatnonzero(np.abs(v) > floor)
        i = np.flatnonzero((v[kept[:-1]] > 0) != (v[kept[1:]] > 0))
        a, b, side = x[kept[i]], x[kept[i + 1]], v[kept[i]] > 0
        for _ in range(60):
            middle = 0.5 * (a + b)
            same = (spline(middle) > 0) == side
            a, b = np.where(same, middle, a), np.where(same, b, middle)
        total += math.fsum(np.abs(np.diff(primitive(np.concatenate([[low], a, [high]])))))
    return total


def divergences(p: NodeLaw, q: NodeLaw) -> Divergences:
    r"""Divergences of two laws on the same nodes.

    KL in the form :math:`\int p\,(u - \log(1+u))`, u = (q-p)/p, which keeps its relative accuracy for close laws;
    TV and W1 as :math:`\tfrac12\int|p-q|` and :math:`\int|F_p-F_q|`, W2 by the monotone map :math:`F_q^{-1}\circ F_p`.

    Parameters
    ----------
    p, q : NodeLaw
        On the same nodes (``Propagation.target`` and ``.law``). KL is under p.

    Returns
    -------
    Divergences
        ``kl`` is inf where q has gaps that p charges. W2 leaves out p-mass below 1e-12 in either tail.

    Examples
    --------
    >>> x = np.linspace(-11, 12, 801)
    >>> p, q = (discretise(GaussianMixture(None, [[m]], 1.0), x) for m in (0.0, 1.0))
    >>> found = divergences(p, q)
    >>> round(found.kl, 10), round(found.w2, 8)
    (0.5, 1.0)
    """
    if p.x.shape != q.x.shape or np.any(p.x != q.x):
        fail("q", "other nodes", "the nodes of p (discretise(law, None, like=q))")
    for name, law in (("p", p), ("q", q)):
        if not (law.gaps or abs(law.mass - 1) <= MASS):  # the density beyond a gap is known to be missing
            raise QuadratureError(
                f"{name}: its mass on the nodes is {law.mass:.9g}, expected 1 within {MASS:g}; nodes that reach all of its "
                "mass, several to each of its narrowest peaks, would do"
            )
    return _Asked(p, q)


class _Asked(Divergences):
    """Each divergence is computed when it is asked for first: distances take splines, KL does not."""

    def __init__(self, p, q):
        self.__dict__.update(_p=p, _q=q)

    kl = cached_property(lambda self: _kl(self._p, self._q))
    reverse_kl = cached_property(lambda self: _kl(self._q, self._p))
    tv = cached_property(lambda self: 0.5 * _abs_integral(self._q, self._q.density - self._p.density))
    w1 = cached_property(lambda self: _w1(self._p, self._q))
    w2 = cached_property(lambda self: math.sqrt(self._w2_and_slope[0]))
    _w2_and_slope = cached_property(lambda self: _squared_w2(self._p, self._q))

    @cached_property
    def gap_mass(self):
        return math.fsum(np.where(np.isneginf(self._q.log_density), self._p.weights * self._p.density, 0.0))


def _w1(p, q):
    f, s = _cumulative(q, q.density - p.density)
    return _abs_integral(q, np.where(np.abs(f) < np.abs(s), f, -s))


def _kl(p, q):
    """KL(p || q): plain densities where both are normal numbers, logarithms where one underflows."""
    safe = (p.density > TINY) & (q.density > TINY)
    value = kl_sum(np, p.density[safe], q.density[safe], p.weights[safe]) if safe.any() else 0.0
    rest = ~safe & (p.weights > 0)
    if rest.any():
        value += kl_sum(np, p.log_density[rest], q.log_density[rest], p.weights[rest], log=True)
    return value


def _squared_w2(p, q):
    """W2^2 by the monotone map, integrated over s = F_p^-1(u) + F_q^-1(u), and by how much it changes where mass is moved.

    Where one law has a mode and the other a gap the map is a step as a function of either variable. As functions of s both
    quantiles have slopes between 0 and 1, and ``du / ds = p q / (p + q)``: every integrand is as smooth as the densities.
    On nodes that have moved, s is a sum of the parameters tau, and the densities are those of tau.

    The derivative of W2^2 in the law is the Kantorovich potential, whose slope is 2 (x - T(x)): mass m that is moved from
    any place to any other changes W2^2 by at most m times the second number, to first order.
    """
    tau, (left_p, right_p), (left_q, right_q) = q._tau, p.cdf(), q.cdf()
    low, high = (tau[0], tau[-1]) if q.edges is None else (q.edges[0][0], q.edges[-1][1])
    parts = [_piecewise(law, values) for law in (p, q) for values in (law.density * law._stretch, *law.cdf())]
    density_p, lower_p, upper_p, density_q, lower_q, upper_q = parts

    # s at the nodes of both laws, to second order in their distance, and the mass of the smaller tail there
    ends, inner = [], []
    for (left, right), (other_left, other_right) in (
        ((left_p, right_p), (left_q, right_q)),
        ((left_q, right_q), (left_p, right_p)),
    ):
        from_left = np.interp(left, np.maximum.accumulate(other_left), tau)
        from_right = np.interp(right, np.maximum.accumulate(other_right[::-1]), tau[::-1])
        ends.append(np.where(left <= 0.5, from_left, from_right))
        inner.append(np.minimum(left, right) > TAIL)
    known = np.concatenate([tau + ends[0], tau + ends[1]])
    nodes_p, tails = np.concatenate([tau, ends[1]]), np.concatenate([left_p, left_q])
    order = np.argsort(known, kind="stable")
    known, nodes_p, tails, keep = known[order], nodes_p[order], tails[order], np.concatenate(inner)[order]

    # panels of eight nodes with 16 points each, which end where a gap of q does
    cuts = known[keep]
    if len(cuts) < 2:
        return 0.0, 0.0
    jumps = [end + _quantile(lower_p, lower_q(np.array([end]))[0], low, high) for end in np.ravel(q.gaps)]
    cuts = np.unique(np.clip(np.concatenate([cuts[::8], jumps, cuts[-1:]]), cuts[0], cuts[-1]))
    points, weights = np.polynomial.legendre.leggauss(16)
    half = 0.5 * np.diff(cuts)[:, np.newaxis]
    s, weights = (cuts[:-1, np.newaxis] + half * (1 + points)).ravel(), (half * weights).ravel()

    # both quantiles at s: Newton for F_p(t) = F_q(s - t) in the smaller tail
    t, from_left = np.interp(s, known, nodes_p), np.interp(s, known, tails) <= 0.5
    limit = 4 * np.max(np.diff(tau))
    for _ in range(8):
        other = np.clip(s - t, low, high)
        residual = np.where(from_left, lower_p(t) - lower_q(other), upper_q(other) - upper_p(t))
        slope = density_p(t) + density_q(other)
        move = np.clip(residual / np.where(slope > 0, slope, np.inf), -limit, limit)
        t = np.clip(t - move, low, high)
        if np.max(np.abs(move)) <= 4 * EPS * max(abs(low), abs(high)):
            break

    # positions, the cost, and the variation of the potential
    other = np.clip(s - t, low, high)
    mass_p, mass_q = np.maximum(density_p(t), 0.0), np.maximum(density_q(other), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(mass_p + mass_q > 0, mass_p * mass_q / (mass_p + mass_q), 0.0)
    stretch = 1.0
    if q.parameter is not None:
        position, along = _piecewise(q, q.x), _piecewise(q, q._stretch)
        stretch = np.maximum(along(t), along(other))
        t, other = position(t), position(other)
    return math.fsum(weights * rate * (other - t) ** 2), 2 * math.fsum(weights * stretch * np.abs(other - t))


def _tails(p, q):
    """How far the second moments of the tails that W2 leaves out differ: a light far mode may be heavier in one law."""
    total = 0.0
    for of_p, of_q in zip(p.cdf(), q.cdf()):
        cut = p.x[np.argmin(np.where(of_p > TAIL, of_p, np.inf))]
        moments = [
            math.fsum(law.weights * law.density * np.where(tail <= TAIL, law.x - cut, 0.0) ** 2)
            for law, tail in ((p, of_p), (q, of_q))
        ]
        total += abs(moments[0] - moments[1])
    return total


def _quantile(distribution, u, low, high):
    """The point of [low, high] where an increasing function is u, or the nearer end."""
    first, last = distribution(np.array([low, high])) - u
    if first >= 0 or last <= 0:
        return low if first >= 0 else high
    return brentq(lambda t: distribution(np.array([t]))[0] - u, low, high)


def _piecewise(law, values):
    """A function of tau that interpolates ``values`` on every smooth run of nodes."""
    pieces = [(law._tau[start], spline) for start, _, spline in law._splines(values)]
    if len(pieces) == 1:
        return pieces[0][1]
    starts = np.array([start for start, _ in pieces] if law.edges is None else [low for low, _ in law.edges])

    def at(tau):
        run, out = np.searchsorted(starts[1:], tau, side="right"), np.empty(len(tau))
        for k, (_, spline) in enumerate(pieces):
            out[run == k] = spline(tau[run == k])
        return out

    return at


@dataclass(frozen=True)
class Study:
    """Result of :func:`study`: ``divergences`` (each a :class:`Measured`) and the finer ``propagation``.

    Attributes
    ----------
    divergences : Divergences
        ``kl``, ``reverse_kl``, ``tv``, ``w1``, ``w2`` and ``gap_mass``, each with a ``value`` and an ``error``.
    propagation : Propagation
        The run on the finer nodes: ``propagation.law`` is the law of the output.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> found = study(GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(20, eps=1e-3), "euler_maruyama")
    >>> round(found.divergences.kl.value, 4), found.divergences.w2.error < 1e-9
    (0.0129, True)
    """

    divergences: Divergences
    propagation: Propagation


def study(law: Law, grid: Grid, scheme: str | Callable, start: str | NodeLaw = "exact", **options: Any) -> Study:
    """Propagate twice, the second time with half the step of all nodes, and measure the output against the true law.

    Parameters
    ----------
    law, grid, scheme, start, **options
        As for :func:`propagate` (not ``refine`` and ``nodes``).

    Returns
    -------
    Study
        Values of the finer run; ``error`` is the difference of the two runs (inf for KL where
        :attr:`Propagation.unresolved` says that it is only an upper bound) plus the rounding of N sums,
        ``8 eps sqrt(N) sqrt(2 KL)`` for KL (u is known to N sums' rounding and enters squared) and ``8 eps sqrt(N)`` for the
        distances, plus for W2 the neglected tails and the rounding of the mass of far modes.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> law = GaussianMixture(None, [[-1.0], [1.0]], 0.25)
    >>> found = study(law, schedules.vp_linear(20, eps=1e-3), "euler_maruyama")
    >>> found.divergences.kl.error < 1e-12
    True
    """
    for name in ("refine", "nodes"):
        if name in options:
            fail(name, options[name], "no such option here")
    fine = propagate(law, grid, scheme, start, refine=2.0, **options)  # first: where one is too expensive, it is this one
    coarse = propagate(law, grid, scheme, start, refine=1.0, **options)
    a, b = divergences(coarse.target, coarse.law), divergences(fine.target, fine.law)
    eps = 8 * EPS * math.sqrt(grid.N)
    width, tails = float(fine.law.x[-1] - fine.law.x[0]), _tails(fine.target, fine.law)

    def measured(name):
        x, y = getattr(a, name), getattr(b, name)
        if math.isinf(x) and math.isinf(y):
            return Measured(math.inf, 0.0)
        if name == "kl" and fine.unresolved > math.exp(-DEPTH / 2):
            return Measured(y, math.inf)
        rounding = {"kl": eps * math.sqrt(2 * max(y, 0)), "reverse_kl": eps * math.sqrt(2 * max(y, 0)), "w1": eps * width}
        if name == "w2":
            # squared: tails of p-mass 1e-12 usually move by about W2, and farther where their own second moments differ;
            # rounding moves mass between far modes
            left_out = 2 * TAIL * (10 * y) ** 2 + 2 * tails + eps * b._w2_and_slope[1]
            return Measured(y, abs(x - y) + eps * width + left_out / max(y, math.sqrt(left_out), 1e-300))
        return Measured(y, abs(x - y) + rounding.get(name, eps))

    names = ("kl", "reverse_kl", "tv", "w1", "w2", "gap_mass")
    return Study(Divergences(*(measured(name) for name in names)), fine)
