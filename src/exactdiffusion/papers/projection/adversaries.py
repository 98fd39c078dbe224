r"""Denoisers with a prescribed error: (eta, nu)-approximate projections that try to break a theorem.

Inside the band :math:`d(x)/\nu \le \sqrt n\,\sigma \le \nu\,d(x)` they return :math:`p(x) + \eta\,d(x)\,u` with
:math:`|u| \le 1`; outside it they return garbage, x moved away from K by ten times its distance: the definition promises
nothing there, so a trajectory that leaves the band must be seen to leave it.
"""

import math
from typing import Any

import numpy as np

from ..._core.arrays import from_numpy, to_numpy
from ..._core.typing import ArrayLike
from ..._core.validation import choice, fail, no_mask

__all__ = ["STRATEGIES", "ApproximateProjection"]

#: strategy -> how u is chosen
STRATEGIES = {
    "under": "u = n, the unit vector from p to x: every step falls short",
    "over": "u = -n: every step goes too far",
    "alternating": "under and over in turn",
    "random": "uniform direction, |u| uniform in [0, 1]",
    "tangential": "a unit vector orthogonal to n",
    "drift": "one fixed unit vector for the whole trajectory",
    "second": "towards the second nearest point (clouds; elsewhere as drift)",
    "adaptive": "under or over, whichever pushes towards the nearer edge of the band",
}


class ApproximateProjection:
    r"""Oracle :math:`\hat x = p(x) + \eta\, d(x)\, u` inside the band, garbage outside.

    Parameters
    ----------
    law : a closed set with ``project`` and ``distance`` (PointCloud, Sphere, Subspace, Torus)
    eta : number or (n,) array in [0, 1)
        relative error, one value per row if an array.
    nu : number or (n,) array >= 1
        width of the band (``inf``: the error model holds everywhere).
    strategy : str
        one of :data:`STRATEGIES`.
    seed : int
        seeds the directions of "random", "tangential" and "drift".
    garbage : bool
        whether the denoiser misbehaves outside the band.

    Raises
    ------
    ValueError
        naming eta, nu or strategy.

    Notes
    -----
    The oracle has a state (step counter, generator), so a new one is made per run. ``exits`` counts the rows that were seen
    outside the band, beyond ``band_rtol`` of rounding; ``largest_error`` is the largest :math:`|\hat x - p|/(\eta d)` of the
    answers given inside it.

    Examples
    --------
    >>> law = ApproximateProjection(ed.Sphere(1.0, 2), 0.25, strategy="under")
    >>> x = np.array([[3.0, 0.0]])
    >>> law.noised(1.0, 2.0).denoise(x)
    array([[1.5, 0. ]])
    """

    def __init__(
        self,
        law: Any,
        eta: ArrayLike,
        nu: ArrayLike = math.inf,
        strategy: str = "random",
        seed: int = 0,
        garbage: bool = True,
        band_rtol: float = 0.0,
    ) -> None:
        self.law, self.dim, self.strategy = law, law.dim, choice("strategy", strategy, STRATEGIES)
        no_mask("eta", eta)
        no_mask("nu", nu)
        self.eta, self.nu = np.asarray(eta, dtype=np.float64), np.asarray(nu, dtype=np.float64)
        if not np.all((self.eta >= 0) & (self.eta < 1)):
            fail("eta", eta, "numbers in [0, 1)")
        if not np.all(self.nu >= 1):
            fail("nu", nu, "numbers >= 1")
        self.garbage, self.band_rtol = garbage, band_rtol
        self._rng, self._calls, self._drift = np.random.default_rng(seed), 0, None
        self.exits, self.largest_error = 0, 0.0
        self._tree = None
        if strategy == "second" and len(getattr(law, "points", ())) > 1:
            from scipy.spatial import cKDTree

            self._tree = cKDTree(np.unique(law.points, axis=0))

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "_At":
        """The oracle at a noise level (``denoise`` only); sigma may hold one value per row."""
        return _At(self, scale, sigma)

    def _unit(self, shape):
        u = self._rng.standard_normal(shape)
        return u / np.linalg.norm(u, axis=1, keepdims=True)

    def _direction(self, x, p, normal, sigma, distance):
        name = self.strategy
        if name == "under":
            return normal
        if name == "over":
            return -normal
        if name == "alternating":
            return normal if self._calls % 2 else -normal
        if name == "random":
            return self._unit(x.shape) * self._rng.random((len(x), 1))
        if name == "adaptive":
            ratio = math.sqrt(self.dim) * sigma / np.maximum(distance, np.finfo(float).tiny)
            # ratio > 1: x is too close to K for its noise level, so going further down exits first
            return np.where((ratio > 1)[:, None], -normal, normal)

        # directions in space: the same one always, to the second nearest point, or a new one
        if name == "drift" or (name == "second" and self._tree is None):
            if self._drift is None:
                self._drift = self._unit(x.shape)
            u = self._drift
        elif name == "second":
            index = self._tree.query(x, k=2)[1]
            second = self._tree.data[index]
            # equal distances or duplicate atoms: whichever of the two is not the projection
            first = np.all(second[:, 0] == p, axis=1)
            u = np.where(first[:, None], second[:, 1], second[:, 0]) - p
        else:
            u = self._unit(x.shape)

        # orthogonal to the normal, or of length 1, where the strategy asks for it
        if name == "tangential":
            u = u - np.sum(u * normal, axis=1, keepdims=True) * normal
        if name in ("tangential", "second"):
            norm = np.linalg.norm(u, axis=1, keepdims=True)
            u = np.where(norm > 0, u / np.where(norm > 0, norm, 1.0), 0.0)  # n = 1 has no tangential direction
        return u

    def _denoise(self, x, sigma):
        self._calls += 1
        p = self.law.project(x)
        offset = x - p
        distance = np.linalg.norm(offset, axis=1)
        normal = offset / np.maximum(distance, np.finfo(float).tiny)[:, None]
        sigma = np.broadcast_to(np.asarray(sigma, dtype=np.float64), distance.shape)
        u = self._direction(x, p, normal, sigma, distance)
        out = p + (self.eta * distance)[:, None] * u
        ratio = math.sqrt(self.dim) * sigma / np.maximum(distance, np.finfo(float).tiny)
        outside = np.maximum(ratio, 1 / np.maximum(ratio, np.finfo(float).tiny)) > self.nu * (1 + self.band_rtol)
        self.exits += int(np.sum(outside))
        error = np.linalg.norm(out - p, axis=1) / np.maximum(self.eta * distance, np.finfo(float).tiny)
        self.largest_error = max(self.largest_error, float(np.max(np.where(outside | (distance == 0), 0.0, error))))
        if self.garbage:
            out = np.where(outside[:, None], x + 10 * offset, out)
        return out


class _At:
    def __init__(self, oracle, scale, sigma):
        self.oracle, self.scale, self.sigma = oracle, scale, sigma

    def denoise(self, x):
        scale = to_numpy(self.scale).astype(np.float64)
        column = scale[:, None] if scale.ndim else scale
        out = self.oracle._denoise(to_numpy(x) / column, to_numpy(self.sigma) / scale)
        return from_numpy(out, x)
