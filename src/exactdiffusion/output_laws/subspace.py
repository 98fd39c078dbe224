r"""Exact output laws of mixtures whose centres span few dimensions, in any ambient dimension.

For ``sum_k w_k N(c_k, v I_d)`` with centres in an affine subspace of dimension r the score splits: along the subspace it is
that of the r-dimensional mixture, across it that of ``N(m, v I)``. Every sampler here acts on the two parts independently,
so its output is a product, and

.. math:: \mathrm{KL} = \mathrm{KL}_r + \mathrm{KL}_{\perp},\qquad W_2^2 = W_{2,r}^2 + W_{2,\perp}^2 .

The first part is propagated on nodes (r = 1: :mod:`.line`, r = 2: :mod:`.plane`), the second in closed form; r = 0 is a
Gaussian. The split is exact; total variation does not add and is not given.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core.typing import ArrayLike
from .._core.validation import choice, fail
from ..distances.gaussian import gaussian_kl
from ..laws import GaussianMixture
from ..schedules import Grid
from . import line, plane
from .line import EPS, AssumptionViolated, Explicit, Propagation, _chain
from .plane import PlanePropagation

__all__ = ["Reduction", "SubspaceResult", "gaussian_line", "propagate", "reduce"]


@dataclass(frozen=True)
class Reduction:
    """``law`` (GaussianMixture of dimension r, None when r = 0), ``basis`` (d, r) orthonormal, ``offset`` (d,) across it,
    ``variance``: X = basis Y + offset + N(0, variance) across.

    Examples
    --------
    >>> Reduction(None, np.zeros((3, 0)), np.zeros(3), 1.0).codimension  # a single Gaussian: every direction is across
    3
    """

    law: GaussianMixture | None
    basis: np.ndarray
    offset: np.ndarray
    variance: float

    @property
    def codimension(self) -> int:
        return self.basis.shape[0] - self.basis.shape[1]


def reduce(law: GaussianMixture) -> Reduction:
    """Split a mixture with equal isotropic variances along the affine hull of its centres.

    Parameters
    ----------
    law : GaussianMixture
        kind "isotropic", all (active) variances equal.

    Returns
    -------
    Reduction
        Directions with singular values below ``d eps`` of the largest centre's norm count as across.

    Raises
    ------
    ValueError
        naming law.

    Examples
    --------
    >>> parts = reduce(GaussianMixture(None, [[1.0, 2.0, 5.0], [1.0, 4.0, 5.0]], 0.25))
    >>> np.abs(parts.basis.T), parts.offset.round(12), parts.codimension
    (array([[0., 1., 0.]]), array([1., 0., 5.]), 2)
    """
    if not isinstance(law, GaussianMixture) or law.kind != "isotropic":
        fail("law", law, "a GaussianMixture with isotropic covariances")
    alive = law.weights > 0
    variances = np.broadcast_to(np.ravel(law.covariances), law.weights.shape)[alive]
    if np.any(variances != variances[0]):
        fail("law", law, "equal variances in all components")
    means, weights = law.means[alive], law.weights[alive]
    centre = weights @ means
    _, sizes, rows = np.linalg.svd(means - centre, full_matrices=False)
    floor = law.dim * EPS * max(1e-300, float(np.max(np.linalg.norm(means, axis=1))))
    basis = rows[sizes > floor].T
    offset = centre - basis @ (basis.T @ centre)
    reduced = GaussianMixture(weights, means @ basis, float(variances[0])) if basis.shape[1] else None
    return Reduction(reduced, basis, offset, float(variances[0]))


#: options of the other propagations that say how to compute, not what
_HOW = {"nonconvex", "refine", "nodes", "keep", "sums", "limit", "like"}


def gaussian_line(
    mean: float,
    variance: float,
    /,
    grid: Grid,
    scheme: str | Callable,
    start: str = "exact",
    *,
    step: str | ArrayLike = "integral",
    **params: Any,
) -> tuple[float, float]:
    """Exact output mean and variance on N(mean, variance) in one dimension: every scheme is affine there.

    Arguments as for :func:`exactdiffusion.output_laws.line.propagate`, the sampler's parameters included.

    Returns
    -------
    (mean, variance)

    Examples
    --------
    >>> mean, variance = gaussian_line(0.0, 1.0, ed.schedules.vp_linear(1000), "euler_maruyama", start="normal")
    >>> round(mean, 4), round(variance, 4)
    (0.0, 1.0014)
    """
    choice("start", start, ("exact", "normal"))
    levels, maps = _chain(scheme, GaussianMixture([1.0], [[mean]], variance), grid, step, **params)
    m, v = (
        (levels[0].scale * mean, levels[0].scale ** 2 * variance + levels[0].sigma ** 2) if start == "exact" else (0.0, 1.0)
    )
    for i, s in enumerate(maps):
        at = np.array([m])
        if isinstance(s, Explicit):
            value, slope = s.mean(at)
            m, v = float(value[0]), float(slope[0]) ** 2 * v + s.variance
            continue
        force, slope = s.forward(at)
        if slope[0] <= 0:
            raise AssumptionViolated(i, m, float(slope[0]), "the proximal step")
        # F(x) = F(m) + J (x - m): solved exactly, without forming an intercept
        J = float(slope[0])
        m, v = m + (m + s.growth * m - float(force[0])) / J, (s.slope**2 * v + s.variance) / J**2
    return m, v


@dataclass(frozen=True)
class SubspaceResult:
    """``kl``, ``reverse_kl``, ``w2`` (None for r = 2) of the output in d dimensions; ``inner`` is the propagation along the
    subspace, ``across`` a list of (count, mean, variance, true mean, true variance) of Gaussian coordinates.

    Examples
    --------
    >>> law = GaussianMixture(None, [[0.0, 0.0, 0.0]], 1.0)
    >>> found = propagate(law, ed.schedules.vp_linear(10), "ddpm")
    >>> found.inner is None, found.across[0][0]  # no direction along a subspace, three across
    (True, 3)
    """

    kl: float
    reverse_kl: float
    w2: float | None
    inner: Propagation | PlanePropagation | None
    across: tuple


def propagate(
    law: GaussianMixture, grid: Grid, scheme: str | Callable, start: str = "exact", **options: Any
) -> SubspaceResult:
    """Divergences of the output of a one-step sampler from its target, in any dimension.

    Parameters
    ----------
    law : GaussianMixture
        Equal isotropic variances, centres in an affine subspace of dimension at most 2.
    grid, scheme, start, **options
        As for :func:`exactdiffusion.output_laws.line.propagate` (r = 0, 1) or :func:`.plane.propagate` (r = 2).

    Returns
    -------
    SubspaceResult

    Raises
    ------
    ValueError
        naming law, also when its centres span more than two dimensions.

    Examples
    --------
    >>> law = GaussianMixture(None, [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 0.25)
    >>> found = propagate(law, ed.schedules.vp_linear(20, eps=1e-3), "ddpm")
    >>> round(found.kl, 4), found.across[0][0]  # two coordinates are Gaussian
    (0.1892, 2)
    """
    parts = reduce(law)
    r = parts.basis.shape[1]
    if r > 2:
        fail("law", law, f"centres that span at most 2 dimensions (these span {r})")
    kl = reverse = square = 0.0
    inner: Propagation | PlanePropagation | None = None
    if parts.law is not None and r == 1:
        inner = line.propagate(parts.law, grid, scheme, start, **options)
        found = line.divergences(inner.target, inner.law)
        kl, reverse, square = found.kl, found.reverse_kl, found.w2**2
    elif parts.law is not None:
        inner = plane.propagate(parts.law, grid, scheme, start, **options)
        values = inner.divergences()
        kl, reverse, square = values["kl"], values["reverse_kl"], math.nan
    across = []
    distance = float(np.linalg.norm(parts.offset))
    params = {name: value for name, value in options.items() if name not in _HOW}
    scale, sigma = float(grid.scale[-1]), float(grid.sigma[-1])
    true_v = scale**2 * parts.variance + sigma**2
    groups = [(parts.codimension, 0.0)]
    if distance > 0 and parts.codimension > 0:  # one coordinate along the offset, the rest centred
        groups = [(1, distance), (parts.codimension - 1, 0.0)]
    for count, mean in groups:
        if count == 0:
            continue
        m, v = gaussian_line(mean, parts.variance, grid, scheme, start, **params)
        across.append((count, m, v, scale * mean, true_v))
        here, there = (np.array([m]), np.array([v])), (np.array([scale * mean]), np.array([true_v]))
        kl += count * gaussian_kl(*there, *here)
        reverse += count * gaussian_kl(*here, *there)
        square += count * ((m - scale * mean) ** 2 + (math.sqrt(v) - math.sqrt(true_v)) ** 2)
    return SubspaceResult(kl, reverse, None if math.isnan(square) else math.sqrt(square), inner, tuple(across))
