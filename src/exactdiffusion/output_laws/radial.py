r"""Exact output laws on isotropic scale mixtures ``sum_k w_k N(0, v_k I_d)`` in any dimension: the law of the radius.

Score and proximal map are radial, so a step acts on the radius R = |X| alone:

* explicit, ``X' = m(|Y|) Y/|Y| + sqrt(c) z``: R' given R = r is noncentral chi, with density
  :math:`f(r';\mu,c)=\frac{r'}c\bigl(\frac{r'}\mu\bigr)^{\nu}e^{-(r'^2+\mu^2)/2c}I_\nu(r'\mu/c)`, :math:`\mu=|m(r)|`,
  :math:`\nu=d/2-1`;
* implicit, ``F(|X'|) X'/|X'| = a Y + sqrt(c) z``: density :math:`F'(r')\,f(F(r');a r,c)`.

The log density along a ray is that of a one-dimensional mixture with weights proportional to :math:`w_kv_k^{-(d-1)/2}`, so
score and curvature come from the one-dimensional oracle and no formula is repeated. KL, TV, W1 and W2 of isotropic laws are
those of their radii (the radial monotone map is optimal for both costs). The targets are not products: they show how KL
depends on d beyond the trivial case.

Nodes are Gauss-Legendre panels: the density of the radius is not analytic at 0.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import gammaln, ive

from .._core.typing import ArrayLike
from .._core.validation import choice, fail, scalar
from ..laws import GaussianMixture
from ..schedules import Grid
from .line import (
    DEPTH,
    EPS,
    AssumptionViolated,
    Explicit,
    Level,
    NodeLaw,
    Propagation,
    QuadratureError,
    StepReport,
    _chain,
    _lowest,
    _panels,
    _union,
    pole_distance,
)

__all__ = ["propagate"]

#: the Bessel functions underflow beyond
MAX_DIM = 500
#: nodes of a level: a step holds the matrix of their pairs
MAX_NODES = 8000


class _Ray:
    """A scale mixture at one noise level: log density and its derivatives along a ray, and the density of the radius."""

    def __init__(self, law, scale, sigma):
        d = law.dim
        alive = law.weights > 0
        variances = np.broadcast_to(np.ravel(law.covariances), law.weights.shape)[alive]
        v = scale**2 * variances + sigma**2
        if np.any(v <= 0):
            fail("law", law, "a law with a density at the last level")
        self.dim, self.scale, self.sigma, self.variances = d, scale, sigma, v
        logs = np.log(law.weights[alive]) - 0.5 * (d - 1) * np.log(v)
        top = logs.max()
        raw = np.exp(logs - top)
        # from the one-dimensional density to the d-dimensional one along a ray, then to the radius
        self._constant = top + math.log(raw.sum()) - 0.5 * (d - 1) * math.log(2 * math.pi) + _log_sphere(d)
        self._line = Level(GaussianMixture(raw / raw.sum(), np.zeros((len(v), 1)), v))
        self.score, self.curvature = self._line.score, self._line.curvature

    def log_density(self, r):
        """Along the ray, up to a constant."""
        return self._line.log_density(r)

    def log_radius(self, r):
        """Log density of the radius."""
        return self._line.log_density(r) + self._constant + (self.dim - 1) * np.log(r)

    def box(self):
        """|X| is within sqrt(2 DEPTH v) of sqrt(d v) but for mass exp(-DEPTH)."""
        low, high = math.sqrt(self.variances.min()), math.sqrt(self.variances.max())
        reach, centre = math.sqrt(2 * DEPTH), math.sqrt(self.dim)
        return max(0.0, low * (centre - reach)), high * (centre + reach)


def _log_sphere(d):
    """Log area of the unit sphere of R^d."""
    return math.log(2) + 0.5 * d * math.log(math.pi) - float(gammaln(0.5 * d))


def _log_bessel(order, z):
    """``log(e^-z I_order(z))`` for z >= 0 (-inf at 0 when order > 0), by the power series where z^2 < order + 1."""
    out = np.empty_like(z)
    small = z * z < order + 1
    t = z[small] ** 2 / 4
    term, total = np.ones_like(t), np.ones_like(t)
    for k in range(1, 25):  # ratio of terms below 1 / (4 k)
        term = term * t / (k * (order + k))
        total = total + term
    with np.errstate(divide="ignore"):
        out[small] = order * np.log(z[small] / 2) - gammaln(order + 1) + np.log(total) - z[small]
        out[~small] = np.log(ive(order, z[~small]))
    return out


def _noncentral_chi(at, centres, c, d):
    """Log density of |mu + sqrt(c) z| at ``at``: matrix (len(at), len(centres)), -inf below exp(-DEPTH - 40)."""
    order = 0.5 * d - 1
    at, centres = at[:, np.newaxis], np.maximum(np.abs(centres), 1e-150)[np.newaxis, :]
    spread = np.abs(at - np.sqrt(centres**2 + c * d))
    near = spread < math.sqrt(2 * c) * (math.sqrt(DEPTH + 40) + 1)
    i, j = np.nonzero(near)
    r, mu = at[i, 0], centres[0, j]
    out = np.full(near.shape, -np.inf)
    z = r * mu / c
    # (r / mu)^order I_order(z): for tiny mu the two powers cancel, so they are taken together
    out[i, j] = np.log(r / c) + order * (np.log(r) - np.log(mu)) - (r - mu) ** 2 / (2 * c) + _log_bessel(order, z)
    return out


def propagate(
    law: GaussianMixture,
    grid: Grid,
    scheme: str | Callable,
    start: str = "exact",
    *,
    step: str | ArrayLike = "integral",
    refine: float = 1.0,
    keep: bool = False,
    **params: Any,
) -> "RadialPropagation":
    """Exact law of the radius of the output of a one-step sampler on an isotropic scale mixture.

    Parameters
    ----------
    law : GaussianMixture
        All means 0, isotropic covariances, 2 <= dim <= 500.
    grid, scheme, start, step, refine, keep, **params
        As for :func:`exactdiffusion.output_laws.line.propagate`; ``start`` is "exact" or "normal".

    Returns
    -------
    Propagation
        ``law`` and ``target`` are :class:`~exactdiffusion.output_laws.line.NodeLaw` of the radius; their divergences are
        those of the d-dimensional laws.

    Raises
    ------
    AssumptionViolated
        Where the radial map of a proximal step is not increasing (the map is then not single valued).
    QuadratureError
        If the mass leaves 1 by more than 1e-11 plus rounding. Before the first step, if a level needs more than
        ``MAX_NODES`` nodes.
    ValueError
        naming the argument.

    Notes
    -----
    The cost is that of n^2 Bessel functions per step, n of a few hundred.

    Examples
    --------
    >>> law, grid = GaussianMixture(None, np.zeros((1, 3)), 1.0), ed.schedules.vp_linear(4, eps=1e-2)
    >>> line, run = ed.output_laws.line, propagate(law, grid, "euler_maruyama")
    >>> one = line.study(GaussianMixture(None, [[0.0]], 1.0), grid, "euler_maruyama").divergences.kl.value
    >>> round(line.divergences(run.target, run.law).kl / one, 6)  # three independent coordinates
    3.0
    """
    if not isinstance(law, GaussianMixture) or law.kind != "isotropic" or np.any(law.means != 0):
        fail("law", law, "a GaussianMixture with zero means and isotropic covariances")
    if not 2 <= law.dim <= MAX_DIM:
        fail("law", law, f"dimension 2 to {MAX_DIM} (dimension 1: output_laws.line)")
    choice("start", start, ("exact", "normal"))
    refine = scalar("refine", refine, low=0.5)
    levels = tuple(_Ray(law, float(s), float(t)) for s, t in zip(grid.scale, grid.sigma))
    maps = _chain(scheme, law, grid, step, levels=levels, **params)[1]
    for i in np.unique(np.linspace(0, grid.N, 33).astype(int)):  # too many nodes: before the first step
        _nodes(levels[i].box(), levels[i], maps[i] if i < grid.N else None, refine, 0.0)
    box = levels[0].box()
    if start == "normal":
        normal = _Ray(GaussianMixture([1.0], np.zeros((1, law.dim)), 1.0), 1.0, 0.0)
        box = _union(box, normal.box())
    x, w, edges = _nodes(box, levels[0], maps[0], refine, 0.0)
    q = _law(x, w, edges, (levels[0] if start == "exact" else normal).log_radius(x))
    laws, reports = [q], []
    for i, m in enumerate(maps):
        following = maps[i + 1] if i + 1 < len(maps) else None
        q, report = _advance(i, q, m, following, levels[i + 1], refine)
        tolerance = 1e-11 + 32 * EPS * (i + 1)
        if not abs(report.mass_error) <= tolerance:
            raise QuadratureError(
                f"mass 1 {report.mass_error:+.3g} after step {i} ({report.nodes} nodes); allowed {tolerance:.3g}"
            )
        reports.append(report)
        if keep:
            laws.append(q)
    return RadialPropagation(q, tuple(reports), levels, tuple(laws) if keep else ())


class RadialPropagation(Propagation):
    """As :class:`Propagation`, for the law of the radius."""

    @property
    def target(self) -> NodeLaw:
        """Law of the radius of the target, on the nodes of the output."""
        log = self.levels[-1].log_radius(self.law.x)
        return replace(self.law, density=np.exp(log), log_density=log)


def _law(x, w, edges, log):
    return NodeLaw(x, w, np.exp(log), log, ((0, len(x)),), edges=edges)


def _nodes(box, here, following, refine, extra):
    x = np.linspace(max(box[0], 1e-6 * box[1]), box[1], 193)
    curvature = here.curvature(x)
    kernel = 0.0
    if isinstance(following, Explicit) and following.variance > 0:
        kernel = float(np.max(following.mean(x)[1] ** 2)) / following.variance
    elif following is not None and following.variance > 0:
        kernel = following.slope**2 / following.variance
    top = 2 * float(np.max(-curvature))  # the radius of N(0, v I) has log curvature up to -2/v at its mode, for large d
    h = math.sqrt(0.5 / (kernel + max(top, extra)))
    h = min(h, 0.3 * pole_distance(float(np.ptp(curvature)))) / refine
    size = 16 / 6 * (box[1] - box[0]) / h
    if size > MAX_NODES:
        raise QuadratureError(
            f"a level needs about {size:.2g} nodes; at most {MAX_NODES}: variances too far apart. What "
            "works: variances nearer to each other; samples of a run and distances.w2"
        )
    x, w, _, _, edges = _panels(box[0], box[1], (), h)
    return x, w, edges


def _advance(i, q, m, following, end, refine):
    jacobian = math.inf
    if m.variance == 0:
        mean, slope = m.mean(q.x)
        worst = int(np.argmin(slope))
        if slope[worst] <= 0:
            raise AssumptionViolated(i, float(q.x[worst]), float(slope[worst]), "the deterministic radial map")
        new = replace(
            q,
            x=mean,
            weights=q.weights * slope,
            density=q.density / slope,
            log_density=q.log_density - np.log(slope),
            parameter=q._tau,
            stretch=q._stretch * slope,
        )
        report = StepReport(len(mean), 0.0, float(mean[0]), float(mean[-1]), new.mass - 1, float(slope[worst]), ())
        return new, report
    source = q.weights * q.density
    with np.errstate(divide="ignore"):
        depth = DEPTH + np.log(source) - math.log(source.max())
    alive = depth > 0
    reach = np.sqrt(2 * m.variance * depth[alive])
    centres = m.mean(q.x)[0] if isinstance(m, Explicit) else q.x + m.growth * q.x
    middle = np.sqrt(centres[alive] ** 2 + m.variance * end.dim)
    low, high = max(0.0, float(np.min(middle - reach))), float(np.max(middle + reach))
    extra = 0.0
    if not isinstance(m, Explicit):
        top = max(high, end.box()[1])
        for _ in range(60):
            x = np.linspace(0.0, top, 2001)[1:]
            force, slope = m.forward(x)
            if force[-1] >= high:
                break
            top *= 1.5
        worst = int(np.argmin(slope))
        if slope[worst] <= 0:
            raise AssumptionViolated(i, float(x[worst]), float(slope[worst]), "the proximal step")
        low = float(np.interp(low, np.concatenate([[0.0], force]), np.concatenate([[0.0], x])))
        high = float(x[np.searchsorted(force, high)])
        low = max(0.0, low - (x[1] - x[0]))
        extra = float(np.max(slope)) ** 2 / m.variance
    low, high = _union((low, high), end.box())
    extra = min(extra, 4 * float(np.max(-end.curvature(np.array([high])))))
    x, w, edges = _nodes((low, high), end, following, refine, extra)
    if isinstance(m, Explicit):
        at, slope = x, None
    else:
        at, slope = m.forward(x)
        _, jacobian = _lowest(m, x, slope)
    log_terms = _noncentral_chi(at, centres, m.variance, end.dim)
    with np.errstate(divide="ignore"):
        log_terms = log_terms + np.log(source)
    top = np.max(log_terms, axis=1)
    finite = np.isfinite(top)
    log = np.full(len(x), -np.inf)
    log[finite] = top[finite] + np.log(np.sum(np.exp(log_terms[finite] - top[finite, np.newaxis]), axis=1))
    if slope is not None:
        log = log + np.log(slope)
    new = _law(x, w, edges, log)
    return new, StepReport(len(x), float(w.mean()), low, high, new.mass - 1, float(jacobian), ())
