r"""Exact output laws in the plane: one matrix product per step.

An isotropic Gaussian kernel factorises over the axes. With the density q on a tensor product of n x n nodes,

* explicit step: :math:`Q' = (A\,\mathrm{diag}(q))\,B^T`, :math:`A_{ij}=N(x_i;m_1(y_j),c)`, :math:`B_{ij}=N(x_i;m_2(y_j),c)`,
  matrices n x n^2;
* implicit step: :math:`Q'=\det J\cdot\mathrm{rowsum}((P\,Q)\circ R)`, :math:`P=N(F_1(x);a\,x_k,c)`,
  :math:`R=N(F_2(x);a\,x_l,c)`, matrices n^2 x n.

So n^4 multiplications in one GEMM but only 2 n^3 exponentials; all of it runs in the array namespace of ``like`` (CuPy,
torch). The sums are trapezoidal, as in :mod:`.line`; each level chooses its own box and step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._core.arrays import array_namespace, from_numpy, to_numpy
from .._core.progress import progress
from .._core.typing import Array, ArrayLike
from .._core.validation import choice, fail, scalar
from ..distances.divergence import check_mass, kl_sum
from ..laws import GaussianMixture
from ..schedules import Grid
from .line import EPS, AssumptionViolated, Explicit, QuadratureError, _chain, pole_distance

__all__ = ["PlaneLaw", "PlanePropagation", "propagate"]

#: the density at the edge of the box is below exp(-DEPTH) of its maximum: 8.5 standard deviations
DEPTH = 36.0
MAX_SIDE = 600
#: floating-point operations that a propagation may need by estimate (half an hour of one core), and those of a second there
MOST_FLOPS = 1e13
PER_SECOND = 5e9
#: numbers in a block of a matrix of an implicit step
BLOCK = 1 << 22


_WORKS = "wider modes, or modes nearer to each other; samples of a run and distances.w2"


class _Plane:
    """A two-dimensional law at one noise level, in the form the schemes of :mod:`.line` take.

    ``curvature`` returns the rows (H11, H22, H12, 0): a scheme's Jacobian is an affine function of the Hessian, applied here
    entry by entry; the off-diagonal entry of the Jacobian is its third row minus its fourth.
    """

    def __init__(self, law, scale, sigma):
        self.base, self.scale, self.sigma = law, scale, sigma
        self.law = law.noised(scale, sigma)
        self.score, self.log_density = self.law.score, self.law.log_density

    def curvature(self, x):
        xp = array_namespace(x)
        H = self.law.hessian(x)
        first, second, mixed = H[:, 0, 0], H[:, 1, 1], H[:, 0, 1]
        return xp.stack([first, second, mixed, xp.zeros_like(first)])

    def box(self):
        """Per axis (low, high), from the components' variances along the axes."""
        law = self.base
        alive = law.weights > 0
        means = self.scale * law.means[alive]
        C = np.asarray(law.covariances, dtype=np.float64)
        if law.kind == "full":
            along = np.stack([C[:, 0, 0], C[:, 1, 1]], axis=1)
        else:
            along = C if C.ndim == 2 else np.broadcast_to(np.reshape(C, (-1, 1)), law.means.shape)
        spread = np.sqrt(2 * DEPTH * (self.scale**2 * along[alive] + self.sigma**2))
        return np.stack([np.min(means - spread, axis=0), np.max(means + spread, axis=0)], axis=1)


@dataclass(frozen=True)
class PlaneLaw:
    """Density (n1, n2) on the product of the uniform nodes ``x1`` (n1,) and ``x2`` (n2,); arrays of the namespace used.

    Examples
    --------
    >>> x = np.linspace(-8.0, 8.0, 65)
    >>> normal = np.exp(-(x**2) / 2) / (2 * np.pi) ** 0.5
    >>> law = PlaneLaw(x, x, np.outer(normal, normal))
    >>> law.cell, round(law.mass, 12), law.points.shape
    (0.0625, 1.0, (4225, 2))
    """

    x1: Array
    x2: Array
    density: Array

    @property
    def cell(self) -> float:
        """Area of a cell."""
        return float((self.x1[1] - self.x1[0]) * (self.x2[1] - self.x2[0]))

    @property
    def mass(self) -> float:
        return self.cell * float(array_namespace(self.density).sum(self.density))

    @property
    def points(self) -> Array:
        """Nodes as rows, (n1 * n2, 2)."""
        return _points(self.x1, self.x2)


@dataclass(frozen=True)
class PlanePropagation:
    """``law`` and ``target`` (:class:`PlaneLaw` on the same nodes), ``mass_error`` (largest over the steps), ``jacobian``
    (smallest eigenvalue of J seen, inf for explicit schemes) and ``sides`` (nodes per axis at every level).

    Examples
    --------
    >>> law = GaussianMixture(None, [[0.0, 0.0]], 1.0)
    >>> run = propagate(law, ed.schedules.vp_linear(2, beta_max=2.0, eps=0.1), "ddpm", start="normal")
    >>> run.mass_error < 1e-11, sorted(run.divergences())
    (True, ['kl', 'reverse_kl', 'tv'])
    """

    law: PlaneLaw
    target: PlaneLaw
    mass_error: float
    jacobian: float
    sides: tuple = field(repr=False)

    def divergences(self) -> dict[str, float]:
        """dict of ``kl`` = KL(p || q), ``reverse_kl`` and ``tv`` by the trapezoidal rule.

        KL has a relative accuracy that the box limits (8.5 standard deviations: about 1e-12); TV has kinks, error O(h^2).
        """
        p, q = (to_numpy(law.density).ravel() for law in (self.target, self.law))
        w = np.full(p.shape, self.law.cell)
        for name, values in (("target", p), ("law", q)):
            check_mass(name, float(w @ values))
        tv = 0.5 * float(w @ np.abs(p - q))
        safe = (p > 1e-300) & (q > 1e-300)
        if np.any(p[~safe] > 1e-25):
            return {"kl": math.inf, "reverse_kl": math.inf, "tv": tv}
        return {"kl": kl_sum(np, p[safe], q[safe], w[safe]), "reverse_kl": kl_sum(np, q[safe], p[safe], w[safe]), "tv": tv}


def _points(x1, x2):
    xp = array_namespace(x1)
    n1, n2 = x1.shape[0], x2.shape[0]
    first = xp.broadcast_to(xp.reshape(x1, (n1, 1)), (n1, n2))
    second = xp.broadcast_to(xp.reshape(x2, (1, n2)), (n1, n2))
    return xp.stack([xp.reshape(first, (-1,)), xp.reshape(second, (-1,))], axis=-1)


def _kernel(at, centres, variance):
    """Matrix ``N(at_i; centres_j, variance)``."""
    xp = array_namespace(at)
    z = xp.reshape(at, (-1, 1)) - xp.reshape(centres, (1, -1))
    return xp.exp(-z * z / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def propagate(
    law: GaussianMixture,
    grid: Grid,
    scheme: str | Callable,
    start: str = "exact",
    *,
    step: str | ArrayLike = "integral",
    refine: float = 1.0,
    like: Array | None = None,
    limit: float = MOST_FLOPS,
    **params: Any,
) -> PlanePropagation:
    """Exact law of the output of a one-step stochastic sampler on a mixture in the plane.

    Parameters
    ----------
    law : GaussianMixture, dim 2
    grid, scheme, start, step, refine, **params
        As for :func:`exactdiffusion.output_laws.line.propagate`; ``start`` is "exact" or "normal"; no deterministic schemes.
    like : array, optional
        Compute in the namespace and on the device of this array (default NumPy).
    limit : number
        Floating-point operations allowed; they are estimated before the first step. Beyond 5 seconds of one core a terminal
        shows the progress.

    Returns
    -------
    PlanePropagation

    Raises
    ------
    AssumptionViolated
        Where the Jacobian of a proximal step is not positive definite on the nodes. The gaps of the range are then regions
        with curved edges, and no spectral accuracy is possible: there is no ``nonconvex="contact"`` here.
    QuadratureError
        If the mass leaves 1 by more than 1e-11 plus rounding. At once, if a level would need more than ``MAX_SIDE`` nodes
        per axis, or all of them more than ``limit`` operations.
    ValueError
        naming the argument.

    Notes
    -----
    4 n^4 flops per step; memory of two n^3 matrices.

    Examples
    --------
    >>> law = GaussianMixture(None, [[0.0, 0.0]], 1.0)
    >>> grid = ed.schedules.vp_linear(2, beta_max=2.0, eps=0.1)
    >>> run = propagate(law, grid, "euler_maruyama")
    >>> one = ed.output_laws.line.study(GaussianMixture(None, [[0.0]], 1.0), grid, "euler_maruyama")
    >>> round(run.divergences()["kl"] / one.divergences.kl.value, 6)  # two independent coordinates
    2.0
    """
    if getattr(law, "dim", None) != 2 or not hasattr(law, "means"):
        fail("law", law, "a GaussianMixture of dimension 2")
    choice("start", start, ("exact", "normal"))
    refine = scalar("refine", refine, low=0.5)
    levels = tuple(_Plane(law, float(s), float(t)) for s, t in zip(grid.scale, grid.sigma))
    maps = _chain(scheme, law, grid, step, levels=levels, **params)[1]
    if not all(m.variance > 0 for m in maps):
        fail("scheme", scheme, "a stochastic scheme")
    like = np.zeros(1) if like is None else like
    xp = array_namespace(like)
    limit = scalar("limit", limit, low=0, low_open=True)
    seconds = _affordable(levels, maps, refine, limit) / PER_SECOND
    box = levels[0].box()
    if start == "normal":
        box = np.stack([np.minimum(box[:, 0], -math.sqrt(2 * DEPTH)), np.maximum(box[:, 1], math.sqrt(2 * DEPTH))], axis=1)
    x1, x2 = _axes(box, levels[0], maps[0], refine, like, 1.0 if start == "normal" else 0.0)
    points = _points(x1, x2)
    if start == "exact":
        q = xp.exp(levels[0].log_density(points))
    else:
        q = xp.exp(-0.5 * xp.sum(points * points, axis=-1)) / (2 * math.pi)
    q = xp.reshape(q, (x1.shape[0], x2.shape[0]))
    worst, sides, lowest = 0.0, [tuple(q.shape)], math.inf
    for i, m in progress(list(enumerate(maps)), "steps of the density") if seconds > 5 else enumerate(maps):
        following = maps[i + 1] if i + 1 < len(maps) else None
        x1, x2, q, jacobian = _advance(i, x1, x2, q, m, following, levels[i + 1], refine, like)
        error = PlaneLaw(x1, x2, q).mass - 1
        if not abs(error) <= 1e-11 + 8 * EPS * (i + 1):
            raise QuadratureError(f"mass 1 {error:+.3g} after step {i} ({tuple(q.shape)} nodes): use refine > {refine:g}")
        worst, lowest = max(worst, abs(error)), min(lowest, jacobian)
        sides.append(tuple(q.shape))
    target = xp.reshape(xp.exp(levels[-1].log_density(_points(x1, x2))), tuple(q.shape))
    return PlanePropagation(PlaneLaw(x1, x2, q), PlaneLaw(x1, x2, target), worst, lowest, tuple(sides))


def _affordable(levels, maps, refine, limit):
    """Operations of a propagation, estimated on the true laws of at most 33 levels; QuadratureError beyond the limits."""
    total, chosen = 0.0, np.unique(np.linspace(0, len(maps) - 1, 33).astype(int))
    for i in chosen:
        following = maps[i + 1] if i + 1 < len(maps) else None
        sides = [
            len(axis)
            for level, after in ((levels[i], maps[i]), (levels[i + 1], following))
            for axis in _axes(level.box(), level, after, refine, np.zeros(1), 0.0)
        ]
        total += 2.0 * math.prod(sides) * len(maps) / len(chosen)
        if total > limit:
            raise QuadratureError(
                f"the steps up to {i} need about {total:.2g} operations (sides of {sides} nodes); at most "
                f"{limit:.2g}. What works: {_WORKS}, fewer steps, or a larger limit and a GPU (like=)"
            )
    return total


def _axes(box, here, following, refine, like, extra):
    """Nodes of both axes for a density like that of ``here`` on ``box``, next seen by ``following``."""
    probe = _points(np.linspace(*box[0], 41), np.linspace(*box[1], 41))
    law = here.base
    pairs = 0.5 * here.scale * (law.means[:, np.newaxis, :] + law.means[np.newaxis, :, :]).reshape(-1, 2)
    probe = np.concatenate([probe, pairs[:400]])
    H11, H22, H12, _ = here.curvature(probe)
    radius = np.hypot(0.5 * (H11 - H22), H12)
    centre = 0.5 * (H11 + H22)
    top, spread = float(np.max(radius - centre)), float(np.max(centre + radius) - np.min(centre - radius))
    kernel = 0.0
    if isinstance(following, Explicit):
        a, b, c, zero = following.mean(probe)[1]  # NumPy here, whatever the namespace of the nodes
        norm = np.abs(0.5 * (a + b)) + np.hypot(0.5 * (a - b), c - zero)
        kernel = float(np.max(norm**2)) / following.variance
    elif following is not None:
        kernel = following.slope**2 / following.variance
    h = math.sqrt(0.5 / (kernel + max(top, extra, 1e-300)))
    h = min(h, 0.2 * pole_distance(spread)) / refine
    axes = []
    for low, high in box:
        n = max(33, math.ceil((high - low) / h) + 1)
        if n > MAX_SIDE:
            raise QuadratureError(f"a side of {n} nodes; at most {MAX_SIDE}. What works: {_WORKS}")
        axes.append(from_numpy(np.linspace(low, high, n), like))
    return axes


def _advance(i, x1, x2, q, m, following, end, refine, like):
    xp = array_namespace(q)
    y = _points(x1, x2)
    cell = float((x1[1] - x1[0]) * (x2[1] - x2[0]))
    density = to_numpy(q).ravel()
    with np.errstate(divide="ignore"):
        depth = DEPTH + np.log(density) - math.log(density.max())
    alive = depth > 0
    reach = np.sqrt(2 * m.variance * depth[alive])[:, np.newaxis]
    centres = m.mean(y)[0] if isinstance(m, Explicit) else y + m.growth * y
    host = to_numpy(centres)[alive]
    low, high = np.min(host - reach, axis=0), np.max(host + reach, axis=0)
    box, jacobian, extra = end.box(), math.inf, 0.0
    if isinstance(m, Explicit):
        box = np.stack([np.minimum(box[:, 0], low), np.maximum(box[:, 1], high)], axis=1)
    else:
        # by strong monotonicity of F the preimage of the reachable box lies where F(x) is in it
        for _ in range(40):
            probe = _points(np.linspace(*box[0], 65), np.linspace(*box[1], 65))
            force, entries = m.forward(probe)
            inside = np.all((force >= low) & (force <= high), axis=1).reshape(65, 65)
            edge = [inside[0].any(), inside[-1].any(), inside[:, 0].any(), inside[:, -1].any()]
            if not any(edge):
                break
            width = (box[:, 1] - box[:, 0]) / 8
            box = box + np.reshape(edge, (2, 2)) * [-1.0, 1.0] * width[:, np.newaxis]
        a, b, c, zero = entries
        steep = float(np.max(np.abs(0.5 * (a + b)) + np.hypot(0.5 * (a - b), c - zero)))
        H11, H22, H12, _ = end.curvature(probe)
        top = float(np.max(np.hypot(0.5 * (H11 - H22), H12) - 0.5 * (H11 + H22)))
        extra = steep**2 / (m.variance + m.slope**2 / max(top, 1e-300))
    n1, n2 = _axes(box, end, following, refine, like, extra)
    if isinstance(m, Explicit):
        A = _kernel(n1, centres[:, 0], m.variance) * xp.reshape(q, (1, -1))
        B = _kernel(n2, centres[:, 1], m.variance)
        return n1, n2, cell * xp.matmul(A, xp.permute_dims(B, (1, 0))), jacobian
    x = _points(n1, n2)
    force, entries = m.forward(x)
    a, b, c = entries[0, :], entries[1, :], entries[2, :] - entries[3, :]
    smallest = 0.5 * (a + b) - xp.sqrt((0.5 * (a - b)) ** 2 + c * c)
    k = int(xp.argmin(smallest))
    jacobian = float(smallest[k])
    if jacobian <= 0:
        raise AssumptionViolated(i, float(xp.sqrt(xp.sum(x[k, :] ** 2))), jacobian, "the proximal step (at this distance)")
    out = []
    slope = m.slope
    block = max(1, BLOCK // max(q.shape))
    for s in range(0, x.shape[0], block):
        rows = slice(s, min(s + block, x.shape[0]))
        P = _kernel(force[rows, 0], slope * x1, m.variance)
        R = _kernel(force[rows, 1], slope * x2, m.variance)
        out.append(xp.sum(xp.matmul(P, q) * R, axis=1))
    value = cell * xp.concat(out) * (a * b - c * c)
    return n1, n2, xp.reshape(value, (n1.shape[0], n2.shape[0])), jacobian
