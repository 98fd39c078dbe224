r"""Scale mixtures ``sum_k w_k N(0, v_k I_d)`` along the forward process: mean squares of derivatives of the log density.

With :math:`q=|x|^2` the log density is :math:`\psi(q)`, and r_k(q) the posterior weights of the components,
:math:`\psi'=-\tfrac12E_r[1/v]`, :math:`\psi''=\tfrac14\mathrm{Var}_r(1/v)`, :math:`\psi'''=-\tfrac18\kappa_3(1/v)`. Every
quantity below is a polynomial in these and in q, and every mean an integral over the radius. The laws are not products, so
they show how a bound depends on the dimension beyond the trivial case; a mean costs one integral in any dimension.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp

from ..._core.typing import Array
from ..._core.validation import fail

__all__ = ["RadialMixture"]

#: Gauss-Legendre nodes over the radii that carry mass, and how many standard deviations that is on either side
NODES, REACH = 800, 9.0


@lru_cache(maxsize=1)
def _panel():
    """Nodes and weights of a panel on [-1, 1]."""
    return np.polynomial.legendre.leggauss(NODES // 8)


@dataclass(frozen=True)
class RadialMixture:
    """Mixture of centred isotropic Gaussians in dimension ``dim``.

    Parameters
    ----------
    weights : (K,) array
        Positive, of sum 1.
    variances : (K,) array
        Positive.
    dim : int
        Dimension, at least 1.

    Raises
    ------
    ValueError
        naming the argument that is not of this form.

    Examples
    --------
    The energy of N(0, I) is twice the dimension:

    >>> from exactdiffusion.papers.proximal.radial import RadialMixture
    >>> law = RadialMixture([1.0], [1.0], dim=8)
    >>> round(law.mean(law.fields(law.radii()).relative_laplacian ** 2), 9)
    16.0
    """

    weights: Array
    variances: Array
    dim: int

    def __post_init__(self):
        weights, variances = (np.asarray(a, dtype=np.float64) for a in (self.weights, self.variances))
        if weights.ndim != 1 or np.any(weights <= 0) or abs(weights.sum() - 1) > 1e-12:
            fail("weights", self.weights, "positive weights of shape (K,) with sum 1")
        if variances.shape != weights.shape or np.any(variances <= 0):
            fail("variances", self.variances, f"positive variances of shape {weights.shape}, one for each weight")
        if int(self.dim) != self.dim or self.dim < 1:
            fail("dim", self.dim, "an integer >= 1")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "variances", variances)

    def heated(self, tau: float) -> "RadialMixture":
        r"""The law after the time tau of the heat flow :math:`\partial_\tau q=\tfrac12\Delta q`."""
        return RadialMixture(self.weights, self.variances + tau, self.dim)

    def noised(self, t: float) -> "RadialMixture":
        r"""The law of :math:`e^{-t/2}X+\sqrt{1-e^{-t}}Z`."""
        return RadialMixture(self.weights, math.exp(-t) * self.variances - math.expm1(-t), self.dim)

    @property
    def second_moment(self) -> float:
        """Mean of the squared norm."""
        return self.dim * float(self.weights @ self.variances)

    def radii(self) -> Array:
        """Gauss-Legendre nodes over the radii that carry mass, (n,)."""
        return self._nodes()[0]

    def mean(self, values: Array) -> float:
        """Mean of a radial function from its values at :meth:`radii`."""
        return float(self._nodes()[1] @ values)

    def _nodes(self):
        """Nodes, and weights that include the density of the radius."""
        deviations, centre = np.sqrt(self.variances), math.sqrt(self.dim)
        low = deviations.min() * max(0.0, centre - REACH)
        high = deviations.max() * (centre + REACH)

        # a panel per component when they are far apart, so that no narrow shell falls between two nodes
        edges = np.geomspace(max(low, 1e-3 * high), high, 9)
        edges = np.concatenate([[low], edges[edges > low]])
        x, w = _panel()
        half = np.diff(edges)[:, np.newaxis] / 2
        r = (edges[:-1, np.newaxis] + half * (1 + x)).ravel()
        w = (half * w).ravel()

        sphere = math.log(2) + self.dim / 2 * math.log(math.pi) - float(gammaln(self.dim / 2))
        log = self._log_terms(r * r)
        return r, w * np.exp(logsumexp(log, axis=1) + (self.dim - 1) * np.log(r) + sphere)

    def _log_terms(self, q):
        """Logarithms of the weighted densities of the components, (n, K)."""
        constant = np.log(self.weights) - self.dim / 2 * np.log(2 * np.pi * self.variances)
        return constant - q[:, np.newaxis] / (2 * self.variances)

    def log_density(self, r: Array) -> Array:
        """Log density at points of norm r, an (n,) array."""
        return logsumexp(self._log_terms(np.asarray(r, dtype=np.float64) ** 2), axis=1)

    def fields(self, r: Array) -> "RadialFields":
        """Derivatives of the log density at points of norm r, an (n,) array."""
        q = np.asarray(r, dtype=np.float64) ** 2
        log = self._log_terms(q)
        posterior = np.exp(log - logsumexp(log, axis=1, keepdims=True))
        precision = 1 / self.variances
        mean = posterior @ precision
        centred = precision - mean[:, np.newaxis]
        second = np.sum(posterior * centred**2, axis=1)
        third = np.sum(posterior * centred**3, axis=1)
        return RadialFields(self.dim, q, -mean / 2, second / 4, -third / 8)


@dataclass(frozen=True)
class RadialFields:
    r"""Derivatives of :math:`l(x)=\psi(|x|^2)` at points of squared norm ``q``, from the three derivatives of psi."""

    dim: int
    q: Array
    first: Array
    second: Array
    third: Array

    @property
    def tangential(self) -> Array:
        """Eigenvalue of the second derivative of l of multiplicity d - 1."""
        return 2 * self.first

    @property
    def radial(self) -> Array:
        """Eigenvalue of the second derivative of l along x."""
        return 2 * self.first + 4 * self.q * self.second

    @property
    def squared_score(self) -> Array:
        r""":math:`|\nabla l|^2`."""
        return 4 * self.q * self.first**2

    @property
    def relative_laplacian(self) -> Array:
        r""":math:`V=\Delta l+|\nabla l|^2`."""
        return (self.dim - 1) * self.tangential + self.radial + self.squared_score

    @property
    def squared_grad_laplacian(self) -> Array:
        r""":math:`|\nabla\Delta l|^2`."""
        return 4 * self.q * ((2 * self.dim + 4) * self.second + 4 * self.q * self.third) ** 2

    @property
    def squared_grad_relative_laplacian(self) -> Array:
        r""":math:`|\nabla V|^2`."""
        laplacian = (2 * self.dim + 4) * self.second + 4 * self.q * self.third
        return 4 * self.q * (laplacian + 4 * self.first**2 + 8 * self.q * self.first * self.second) ** 2

    @property
    def third_norm(self) -> Array:
        r"""Operator norm of :math:`D^3l`: the largest :math:`|8\psi'''r^3c^3+12\psi''rc|` over cosines c in [0, 1]."""
        r = np.sqrt(self.q)
        cubic, linear = 8 * self.third * r**3, 12 * self.second * r
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = np.sqrt(-linear / (3 * cubic))
        inner = np.where((inner > 0) & (inner < 1), inner, 1.0)
        return np.maximum(np.abs(cubic + linear), np.abs(cubic * inner**3 + linear * inner))
