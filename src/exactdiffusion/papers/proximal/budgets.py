r"""Certified right-hand sides by deterministic quadrature: budget inequalities and trajectory KL on a line.

With p_t the true law, q the law of an interpolating process of the sampler and e the error field (difference of drifts,
corrected for the difference of diffusions), every step adds at most :math:`\tfrac12\int E|J e|^2` to the divergence
(arXiv 2507.08956, Lemma 5 in one form). Nothing here needs a Lipschitz constant: the expectations are integrals over p_t.

Time: ``t = int beta``; s in [0, g] is the time since the start of a step, going towards the data.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..._core.typing import Law
from ..._core.validation import choice, fail, integer, scalar
from ...output_laws.line import (
    DEPTH,
    IDENTITY,
    MAX_NODES,
    MOST_EVALUATIONS,
    AssumptionViolated,
    Explicit,
    Level,
    QuadratureError,
    _chain,
    discretise,
    divergences,
    pole_distance,
    propagate,
)
from ...schedules import Grid
from ...statements import proximal as bound

__all__ = [
    "Budget",
    "TrajectoryKL",
    "budget",
    "conditional_budget",
    "curvature_integral",
    "posterior_budget",
    "trajectory_kl",
]

#: the four terms of the exact error field of the backward scheme
TERMS = ("drift", "square", "time", "third")
#: integrand values held at a time
BLOCK = 1 << 17


@dataclass(frozen=True)
class Budget:
    """``total`` = ``initial`` (KL at the first level) + sum of ``steps`` (N,).

    Examples
    --------
    The total is the initial divergence and the sum over the steps:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import schedules
    >>> from exactdiffusion.papers.proximal.budgets import budget
    >>> t = np.linspace(2.0, 0.0, 17)
    >>> grid = schedules.Grid(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
    >>> law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.5)
    >>> found = budget(law, grid)
    >>> len(found.steps), bool(abs(found.total - found.initial - found.steps.sum()) < 1e-12)
    (16, True)
    """

    total: float
    initial: float
    steps: np.ndarray


TrajectoryKL = Budget


def _quadrature(*levels):
    """Uniform nodes and step that resolve the laws ``levels`` and their scores."""
    low, high = min(v.box()[0] for v in levels), max(v.box()[1] for v in levels)
    h = math.inf
    for v in levels:
        curvature = v.curvature(v.probes((low, high)))
        h = min(h, 0.6 / math.sqrt(float(np.max(-curvature))), 0.2 * pole_distance(float(np.ptp(curvature))))
    n = max(65, math.ceil((high - low) / h) + 1)
    if n > MAX_NODES:
        raise QuadratureError(
            f"the law is too narrow for its width of {high - low:.3g}: {n} nodes (at most {MAX_NODES}). "
            "Wider modes, modes nearer to each other, or each mode alone would do"
        )
    return np.linspace(low, high, n), (high - low) / (n - 1)


def _narrowest(end):
    """Smallest variance of a component of a level, at most 1: r before it in time, a component's variance is v + r or so."""
    return min(1.0, float(np.min(end._components[2])))


def _times(g, end, order, start=True):
    """Nodes s in (0, g) and weights: Gauss-Legendre panels of ``order`` nodes that get shorter towards both ends.

    With v the smallest variance at ``end``, variances are v + g - s or so and the Jacobian of a proximal step 1 + s/v: poles
    are v beyond either end (with ``start`` False only the last), and no panel is longer than its distance from them. One
    panel would step over the ends of a step that is long against v, where all of the integral may be.
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    v, edges = _narrowest(end), np.array([0.0, g])
    if g > v:
        half = g / 2 if start else g
        count = math.ceil(math.log2(1 + half / v))
        near = v * np.expm1(np.linspace(0.0, math.log1p(half / v), count + 1))
        edges = np.concatenate([near[:-1], g - near[::-1]]) if start else g - near[::-1]
        edges[[0, -1]] = 0.0, g
    half = 0.5 * np.diff(edges)[:, np.newaxis]
    return (edges[:-1, np.newaxis] + half * (1 + nodes)).ravel(), (half * weights).ravel()


def _initial(first, start):
    if choice("start", start, ("exact", "normal")) == "exact":
        return 0.0
    x, _ = _quadrature(first)
    normal = np.linspace(-math.sqrt(2 * DEPTH), math.sqrt(2 * DEPTH), 257)
    x = np.linspace(min(x[0], normal[0]), max(x[-1], normal[-1]), 4 * (len(x) + 257))
    return divergences(discretise(first, x), discretise(_Normal(), x)).kl


class _Normal:
    def log_density(self, x):
        return -0.5 * x[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)


def _sum(first, steps):
    return Budget(bound.budget_inequality(first, steps), first, steps)


def _at(law, time):
    return Level(law, math.exp(-time / 2), math.sqrt(-math.expm1(-time)))


def trajectory_kl(
    law: Law, grid: Grid, scheme: Any, start: Any = "exact", *, step: Any = "integral", **params: Any
) -> Budget:
    r"""KL divergence of the whole trajectory: true reverse chain against the sampler.

    .. math:: \mathrm{KL}(p_T|q_T) + \sum_k E_{y\sim p_{t_k}} \mathrm{KL}\bigl(p(x_{k-1}|y)\,|\,q(x_{k-1}|y)\bigr)

    at least the KL of the outputs (data processing). Every term is a double integral: x on the nodes of the cleaner law and
    the forward noise z on uniform nodes, integrand :math:`e^\delta - 1 - \delta` of the log-ratio delta, nonnegative and
    without cancellation.

    Parameters
    ----------
    law, grid, scheme, start, step, **params
        As for :func:`~exactdiffusion.output_laws.line.propagate`.

    Returns
    -------
    Budget

    Raises
    ------
    ValueError
        for a deterministic scheme: its trajectory KL is infinite.
    AssumptionViolated
        where the Jacobian of a proximal step is not positive.

    Examples
    --------
    Sixteen steps to a mixture of two modes: the hybrid scheme against Euler-Maruyama.

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import schedules
    >>> from exactdiffusion.papers.proximal.budgets import trajectory_kl
    >>> t = np.linspace(2.0, 0.0, 17)
    >>> grid = schedules.Grid(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
    >>> law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.5)
    >>> [round(trajectory_kl(law, grid, scheme).total, 4) for scheme in ("proximal_hybrid", "euler_maruyama")]
    [0.1252, 0.0187]
    """
    levels, maps = _chain(scheme, law, grid, step, **params)
    steps = np.zeros(grid.N)
    for i, m in enumerate(maps):
        if m is IDENTITY:  # neither process moves in a step of length zero
            continue
        if not m.variance > 0:
            fail("scheme", scheme, "a stochastic scheme (the trajectory KL of a deterministic one is infinite)")
        steps[i] = _conditional_kl(i, m, levels[i], levels[i + 1], float(grid.g[i]))
    return _sum(_initial(levels[0], start), steps)


def _conditional_kl(i, m, before, after, g):
    x, h = _quadrature(after)
    spread = math.sqrt(-math.expm1(-g))
    poles = pole_distance(float(np.ptp(before.curvature(x))))
    count = 2 * math.ceil(10.0 / min(0.5, 0.2 * poles / spread)) + 1

    # the forward noise on uniform nodes, finer than the poles of the integrand
    z = np.linspace(-10.0, 10.0, count)
    weight = np.exp(-0.5 * z * z) * (z[1] - z[0]) / math.sqrt(2 * math.pi)

    # the map of the sampler, which must be one to one
    log_after = after.log_density(x)
    if not isinstance(m, Explicit):
        force, jacobian = m.forward(x)
        worst = int(np.argmin(jacobian))
        if jacobian[worst] <= 0:
            raise AssumptionViolated(i, float(x[worst]), float(jacobian[worst]), "the proximal step")

    # the double integral, in blocks of nodes
    total = mass = 0.0
    block = max(1, BLOCK // count)
    for a in range(0, len(x), block):
        rows = slice(a, a + block)
        y = math.exp(-g / 2) * x[rows, np.newaxis] + spread * z
        log_before = before.log_density(y.ravel()).reshape(y.shape)
        true = log_after[rows, np.newaxis] - 0.5 * z * z - math.log(spread) - log_before
        if isinstance(m, Explicit):
            residual = x[rows, np.newaxis] - m.mean(y.ravel())[0].reshape(y.shape)
            drawn = -0.5 * residual**2 / m.variance - 0.5 * math.log(m.variance)
        else:
            residual = force[rows, np.newaxis] - (y + m.growth * y)
            drawn = np.log(jacobian[rows, np.newaxis]) - 0.5 * residual**2 / m.variance - 0.5 * math.log(m.variance)
        # e^delta - 1 - delta integrates to the KL because both laws have mass 1
        delta = drawn - true
        excess = _excess(delta)
        total += h * math.fsum(np.exp(log_after[rows]) * (excess @ weight))
        mass += h * math.fsum(np.exp(log_after[rows]) * ((excess + 1 + delta) @ weight))

    # The nodes reach where the true law is. What a coarse step puts elsewhere counts in e^delta - 1 alone.
    return total + (1 - mass if 1 - mass > 1e-12 else 0.0)  # less is rounding of the sums


def _excess(delta):
    """``e^delta - 1 - delta`` without cancellation (relative error 1e-12); finite beyond 600, which occurs where p is 0."""
    value = np.expm1(np.minimum(delta, 600.0)) - delta
    small = np.abs(delta) < 1e-3
    value[small] = (delta[small] ** 2 / 2) * (1 + delta[small] / 3 * (1 + delta[small] / 4 * (1 + delta[small] / 5)))
    return value


def budget(
    law: Law,
    grid: Grid,
    start: Any = "exact",
    *,
    order: int = 6,
    terms: Collection[str] = TERMS,
    inside: Literal["end", "start"] = "end",
) -> Budget:
    r"""Right-hand side of the budget inequality of the backward scheme, by quadrature.

    .. math:: \mathrm{KL}(p_T|q_T) + \sum_k\int_0^{g_k}\tfrac12 E_{p_t}|Je|^2\,ds

    with :math:`J = (1-s/2) - s\,l''`, :math:`l = l_{k-1}` the log density at the end of the step, and

    .. math:: Je = \tfrac12(J-1)x + \tfrac12(J-1)^2 J^{-1} l_t' + (l_t' - l') + \tfrac s2 J^{-2}\, l''' .

    Parameters
    ----------
    law, grid, start
        As for :func:`~exactdiffusion.output_laws.line.propagate`.
    order : int
        Gauss-Legendre nodes in s per step, or per panel of a step that is long against the variance at its end.
    terms : subset of ("drift", "square", "time", "third")
        Terms of Je to keep; fewer than all of them is no theorem (negative controls).
    inside : {"end", "start"}
        Which log density stands in J; "start" is the wrong index (negative control).

    Returns
    -------
    Budget

    Raises
    ------
    AssumptionViolated
        where J <= 0 for some s in [0, g] on the nodes.
    QuadratureError
        where a level needs more than ``line.MAX_NODES`` nodes.

    Examples
    --------
    Sixteen steps to a mixture of two modes; the budget bounds the divergence of the output.

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import schedules
    >>> from exactdiffusion.output_laws import line
    >>> from exactdiffusion.papers.proximal.budgets import budget
    >>> t = np.linspace(2.0, 0.0, 17)
    >>> grid = schedules.Grid(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
    >>> law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.5)
    >>> run = line.propagate(law, grid, "proximal_backward")
    >>> round(budget(law, grid).total, 5), line.divergences(run.target, run.law).kl <= budget(law, grid).total
    (0.00499, True)
    """
    order = integer("order", order, low=1)
    choice("inside", inside, ("end", "start"))
    if not set(terms) <= set(TERMS):
        fail("terms", terms, f"a subset of {TERMS}")
    keep = [float(t in terms) for t in TERMS]
    levels, maps = _chain("proximal_backward", law, grid, "integral")
    steps = np.zeros(grid.N)
    for i in np.flatnonzero(grid.g):
        g, time = float(grid.g[i]), float(grid.integral[i])
        before, after = levels[i], levels[i + 1]
        x, h = _quadrature(before, after)
        fixed = after if inside == "end" else before
        score, curvature, third = fixed.score(x), fixed.curvature(x), fixed.third(x)
        _positive(i, x, 1 - g / 2 - g * curvature)
        total = 0.0
        for s, weight in zip(*_times(g, after, order)):
            here = _at(law, time - s)
            now = here.score(x)
            field = sum(k * f for k, f in zip(keep, bound.backward_error_field(s, x, now, score, curvature, third)))
            total += weight * 0.5 * h * math.fsum(np.exp(here.log_density(x)) * field**2)
        steps[i] = total
    return _sum(_initial(levels[0], start), steps)


def _positive(i, x, jacobian):
    worst = int(np.argmin(jacobian))
    if jacobian[worst] <= 0:
        raise AssumptionViolated(i, float(x[worst]), float(jacobian[worst]), "the interpolating process")


def conditional_budget(
    law: Law, grid: Grid, scheme: Literal["proximal_hybrid", "euler_maruyama"], start: Any = "exact", *, order: int = 6
) -> Budget:
    r"""Upper bound of the trajectory KL of the hybrid scheme or of Euler-Maruyama: the budget conditional on X_k = y.

    Hybrid, :math:`J = 1 - s\,l''`, :math:`y = e^{-s/2}x + \sqrt{1-e^{-s}}\,Z`, :math:`a_s = e^{-s/2}/\sqrt{1-e^{-s}}`:

    .. math:: Je = \tfrac12(x-y) + \tfrac12(J-1)x + \tfrac12(J-1)^2J^{-1}l_t' + (l_t'-l') - \tfrac12(J-J^{-1})a_sZ
              + \tfrac s2 J^{-2}l'''

    Euler-Maruyama (Girsanov): :math:`e = \tfrac12(x-y) + l_t'(x) - l_{t_k}'(y)`; there the budget equals the KL of the path
    laws.

    Parameters
    ----------
    scheme : {"proximal_hybrid", "euler_maruyama"}
    law, grid, start, order
        As for :func:`budget`.

    Returns
    -------
    Budget

    Examples
    --------
    It bounds the divergence of the trajectories:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import schedules
    >>> from exactdiffusion.papers.proximal.budgets import conditional_budget, trajectory_kl
    >>> t = np.linspace(2.0, 0.0, 17)
    >>> grid = schedules.Grid(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
    >>> law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.5)
    >>> bound = conditional_budget(law, grid, "proximal_hybrid").total
    >>> round(bound, 4), trajectory_kl(law, grid, "proximal_hybrid").total <= bound
    (0.1276, True)
    """
    choice("scheme", scheme, ("proximal_hybrid", "euler_maruyama"))
    order = integer("order", order, low=1)

    # levels, and nodes of the forward noise
    levels, _ = _chain(scheme, law, grid, "integral")
    z = np.linspace(-10.0, 10.0, 65)
    gauss = np.exp(-0.5 * z * z) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    steps = np.zeros(grid.N)

    # the integral over each step
    for i in np.flatnonzero(grid.g):
        g, time = float(grid.g[i]), float(grid.integral[i])
        before, after = levels[i], levels[i + 1]
        x, h = _quadrature(before, after)
        if scheme == "proximal_hybrid":
            score, curvature, third = after.score(x), after.curvature(x), after.third(x)
            _positive(i, x, 1 - g * curvature)

        total = 0.0
        for s, weight in zip(*_times(g, after, order, scheme == "proximal_hybrid")):
            here = _at(law, time - s)
            now, spread = here.score(x), math.sqrt(-math.expm1(-s))
            if scheme == "proximal_hybrid":
                constant, factor = bound.hybrid_error_field(s, x, now, score, curvature, third)
                square = constant**2 + factor**2
            else:
                y = math.exp(-s / 2) * x[:, np.newaxis] + spread * z
                field = 0.5 * (x[:, np.newaxis] - y) + now[:, np.newaxis] - before.score(y.ravel()).reshape(y.shape)
                square = field**2 @ gauss
            total += weight * 0.5 * h * math.fsum(np.exp(here.log_density(x)) * square)
        steps[i] = total
    return _sum(_initial(levels[0], start), steps)


def posterior_budget(
    law: Law, grid: Grid, scheme: Literal["proximal_hybrid", "euler_maruyama"], start: Any = "exact", *, order: int = 5
) -> Budget:
    r"""A-posteriori budget of the *marginal* KL for the hybrid scheme or Euler-Maruyama.

    The drift of the interpolating process given its own state, :math:`E_q[\,\cdot\,|X_s=x]`, is computed from the propagated
    laws, so the identity for the derivative of KL applies to the marginals: the result bounds KL(p_0 | q_0) and decays like
    it, :math:`N^{-2}`, which no conditional argument shows.

    Parameters
    ----------
    scheme : {"proximal_hybrid", "euler_maruyama"}
    law, grid, start, order
        As for :func:`budget`.

    Returns
    -------
    Budget

    Examples
    --------
    The ratio to the divergence of the trajectories:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import schedules
    >>> from exactdiffusion.papers.proximal.budgets import posterior_budget, trajectory_kl
    >>> t = np.linspace(2.0, 0.0, 17)
    >>> grid = schedules.Grid(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
    >>> law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.5)
    >>> round(posterior_budget(law, grid, "proximal_hybrid").total / trajectory_kl(law, grid, "proximal_hybrid").total, 3)
    0.051
    """
    choice("scheme", scheme, ("proximal_hybrid", "euler_maruyama"))
    order = integer("order", order, low=1)

    # the law of the sampler at every level
    run = propagate(law, grid, scheme, start, keep=True, refine=2.0)
    steps = np.zeros(grid.N)
    for i in np.flatnonzero(grid.g):
        g, time = float(grid.g[i]), float(grid.integral[i])
        before, after, q = run.levels[i], run.levels[i + 1], run.laws[i]
        x, h = _quadrature(before, after)

        # its nodes, refined where the kernels of the step are narrow
        times, weights = _times(g, after, order, scheme == "proximal_hybrid")
        y, source = _finer(q, math.ceil(0.5 / math.sqrt(float(np.min(times)) / g)) + 1)
        needed = len(x) * len(y) * len(times)
        if needed > MOST_EVALUATIONS:
            raise QuadratureError(
                f"step {i} is too long for the narrowest mode at its end: {needed:.2g} kernel evaluations (at most "
                f"{MOST_EVALUATIONS:.2g}). More steps there, or wider modes, would do"
            )
        if scheme == "proximal_hybrid":
            score, curvature, third = after.score(x), after.curvature(x), after.third(x)
        else:
            score_y = before.score(y)

        # the integral over the step
        total = 0.0
        for s, weight in zip(times, weights):
            here = _at(law, time - s)
            now = here.score(x)
            if scheme == "proximal_hybrid":
                posterior = _posterior_mean(x - s * score, y + s / 2 * y, source, s, y)
                drift, J = bound.interpolating_process(s, x, score, curvature, third, scheme, posterior)
                # J e with A_p = 1, A_q = J^-2; half the derivative of J^-2 is s J^-3 times the third derivative
                field = J * ((x / 2 + now) - drift + s * third / J**3 - 0.5 * (1 - J**-2) * now)
            else:
                drift_y = y / 2 + score_y
                posterior = _posterior_mean(x, y + s * drift_y, source, s, drift_y)
                field = (x / 2 + now) - posterior
            total += weight * 0.5 * h * math.fsum(np.exp(here.log_density(x)) * field**2)
        steps[i] = total
    return _sum(_initial(run.levels[0], start), steps)


def _finer(q, factor):
    """Logarithm of a smooth law on nodes, on ``factor`` times more nodes (interpolated: accurate to about 1e-9)."""
    if len(q.segments) > 1:
        raise AssumptionViolated(0, q.gaps[0][0], 0.0, "a law with gaps")
    y = np.linspace(q.x[0], q.x[-1], factor * (len(q.x) - 1) + 1)
    ((_, _, spline),) = q._splines(q.log_density)
    return y, spline(y)


def _posterior_mean(at, centres, log_source, variance, values):
    """``E[values | centre + sqrt(variance) z = at]`` under the weights exp(log_source)."""
    out = np.empty(len(at))
    block = max(1, 8 * BLOCK // len(centres))
    for a in range(0, len(at), block):
        logits = log_source - 0.5 * (at[a : a + block, np.newaxis] - centres) ** 2 / variance
        logits -= np.max(logits, axis=1, keepdims=True)
        weight = np.exp(logits)
        out[a : a + block] = (weight @ values) / np.sum(weight, axis=1)
    return out


def curvature_integral(law: Law, horizon: float, c: float, *, end: float = 0.0, order: int = 80) -> float:
    r""":math:`\int_{end}^{T} E_{p_t}(c + l_t'')^2\,dt` with T = ``horizon``: the leading constant of the trajectory KL.

    By ``order`` Gauss-Legendre nodes in log(v + t - end), v the smallest variance of a component at ``end`` (at most 1).

    Examples
    --------
    Over a standard normal law, whose curvature is -1, the integrand is (c - 1)^2:

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.proximal.budgets import curvature_integral
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> round(float(curvature_integral(law, 2.0, 0.5)), 9)
    0.5
    """
    horizon, order = scalar("horizon", horizon, low=0, low_open=True), integer("order", order, low=2)
    end = scalar("end", end, low=0, high=horizon, high_open=True)
    last = _at(law, end)
    if last._components is None:
        fail("end", end, "end > 0 for a law without density: the integral from 0 is infinite")
    nodes, weights = np.polynomial.legendre.leggauss(order)
    v, total = _narrowest(last), 0.0
    half = 0.5 * math.log1p((horizon - end) / v)
    for w, weight in zip(half * (1 + nodes), half * weights):
        here = _at(law, end + v * math.expm1(w))
        x, h = _quadrature(here)
        value = h * math.fsum(np.exp(here.log_density(x)) * (c + here.curvature(x)) ** 2)
        total += weight * v * math.exp(w) * value
    return total
