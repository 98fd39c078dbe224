r"""A curved set with a bottleneck, its exact denoiser, and a search for the worst point of Definition 3.1.

:class:`RevolutionTori` is a product of tori of revolution in R^3 inside R^n. With R < 2 r its reach is R - r, attained at
the centre of the hole, where the whole inner circle is nearest: a bottleneck of the set, not only a curvature. Unlike a
point cloud it has a continuous law, whose denoiser tends to the projection as the noise falls.

:func:`worst_error` maximises the relative error |xhat - p| / d over the whole band of Definition 3.1 by gradient ascent.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import i0e, i1e

from ..._core.typing import ArrayLike
from ..._core.validation import fail, integer, points, scalar

__all__ = ["RevolutionTori", "Worst", "worst_error"]

_NODES = 256
_ASCENT, _PROBE = 60, 1e-6


class RevolutionTori:
    r"""Uniform law on a product of tori of revolution in the first 3 m coordinates of R^n: a set of dimension 2 m.

    A block is ((R + r cos a) cos b, (R + r cos a) sin b, r sin a), with the area R + r cos a as density. Given a the
    posterior of b is that of a circle, with mean :math:`I_1/I_0`; over a the denoiser is a quadrature of 256 nodes on the
    16 standard deviations around the nearest angle, or on the whole circle.

    Parameters
    ----------
    major, minor : numbers, 0 < minor < major
        R and r.
    dim : int >= 3 m
        n.
    blocks : int
        m.

    Attributes
    ----------
    reach : float
        min(r, R - r).

    Raises
    ------
    ValueError
        Naming the argument.

    Examples
    --------
    >>> torus = RevolutionTori(1.0, 0.6, 5)
    >>> torus.reach, torus.distance([[0.0, 0.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.3, 0.0]]).round(6).tolist()
    (0.4, [0.4, 0.5])
    """

    def __init__(self, major: float, minor: float, dim: int, blocks: int = 1) -> None:
        self.minor = scalar("minor", minor, low=0, low_open=True)
        self.major = scalar("major", major, low=self.minor, low_open=True)
        self.blocks = integer("blocks", blocks, low=1)
        self.dim = integer("dim", dim, low=3 * self.blocks)

    @property
    def reach(self) -> float:
        """min(r, R - r)."""
        return min(self.minor, self.major - self.minor)

    def _polar(self, x):
        """Radius q and height z of every block, (n, m), its direction in the plane, (n, m, 2), and the other coordinates."""
        x = np.asarray(points("x", x, self.dim))
        block = x[:, : 3 * self.blocks].reshape(len(x), self.blocks, 3)
        q = np.linalg.norm(block[:, :, :2], axis=2)
        first = np.broadcast_to([1.0, 0.0], (len(x), self.blocks, 2))
        unit = np.where(q[:, :, None] > 0, block[:, :, :2] / np.where(q > 0, q, 1.0)[:, :, None], first)
        return q, block[:, :, 2], unit, x[:, 3 * self.blocks :]

    def _embed(self, q, z, unit):
        out = np.zeros((len(q), self.dim))
        out[:, : 3 * self.blocks] = np.concatenate([q[:, :, None] * unit, z[:, :, None]], axis=2).reshape(len(q), -1)
        return out

    def _nearest(self, q, z):
        """(radius, height) of the nearest point in the half-plane of a block, and its distance."""
        away = np.hypot(q - self.major, z)
        safe = np.where(away > 0, away, 1.0)
        cos, sin = np.where(away > 0, (q - self.major) / safe, 1.0), np.where(away > 0, z / safe, 0.0)
        return self.major + self.minor * cos, self.minor * sin, np.abs(away - self.minor)

    def _mean(self, q, z, sigma):
        """(radius, height) of the conditional mean in the half-plane of a block; arrays of one shape."""
        angle, away = np.arctan2(z, q - self.major), np.hypot(q - self.major, z)
        with np.errstate(divide="ignore"):
            half = np.minimum(np.pi, 16 * sigma / np.sqrt(self.minor * away))

        # equal weights: the integrand is periodic, or vanishes at both ends
        a = angle[..., None] + half[..., None] * (2 * (np.arange(_NODES) + 0.5) / _NODES - 1)
        radius, height = self.major + self.minor * np.cos(a), self.minor * np.sin(a)
        kappa = radius * q[..., None] / sigma[..., None] ** 2
        square = (radius - q[..., None]) ** 2 + (height - z[..., None]) ** 2
        zeroth = i0e(kappa)
        log_weight = np.log(radius * zeroth) - 0.5 * square / sigma[..., None] ** 2
        weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        return np.sum(weight * radius * i1e(kappa) / zeroth, axis=-1), np.sum(weight * height, axis=-1)

    def project(self, x: ArrayLike) -> np.ndarray:
        """Nearest point, (n, d); where it is not unique, the one in the first coordinate direction."""
        q, z, unit, _ = self._polar(x)
        radius, height, _ = self._nearest(q, z)
        return self._embed(radius, height, unit)

    def distance(self, x: ArrayLike) -> np.ndarray:
        """Euclidean distance to the set, (n,)."""
        q, z, _, rest = self._polar(x)
        return np.sqrt(np.sum(self._nearest(q, z)[2] ** 2, axis=1) + np.sum(rest**2, axis=1))

    def denoise(self, x: ArrayLike, sigma: ArrayLike) -> np.ndarray:
        """E[X | X + sigma Z = x], (n, d); sigma > 0, a number or one value per row. Serves ``laws.Denoiser``."""
        q, z, unit, _ = self._polar(x)
        level = np.asarray(sigma, dtype=np.float64)
        if not np.all(level > 0):
            fail("sigma", sigma, "noise levels > 0")
        radius, height = self._mean(q, z, np.broadcast_to(level.reshape(-1, 1), q.shape))
        return self._embed(radius, height, unit)


@dataclass(frozen=True)
class Worst:
    """The worst point that `worst_error` found: ``eta`` = |xhat - p| / d there, radii ``q`` and heights ``z``, (m,).

    Examples
    --------
    >>> found = worst_error(RevolutionTori(1.0, 0.6, 64), 0.04 / 8, 1.2)
    >>> found.eta < 1e-3, found.q.shape
    (True, (1,))
    """

    eta: float
    q: np.ndarray
    z: np.ndarray


def worst_error(law: RevolutionTori, sigma: float, nu: float, *, starts: int = 48, seed: int = 0) -> Worst:
    r"""Largest relative error of the ideal denoiser over the band :math:`d/\nu \le \sqrt n\,\sigma \le \nu d`.

    Coordinates outside the blocks enter d alone: the best of them is as short as the band allows. What is left is a search
    over radius and height of each block: gradient ascent with a step that grows by half after a success and halves after a
    failure, from random starts up to the edge of the band and from points beside the centre of the hole.

    Parameters
    ----------
    law : RevolutionTori
    sigma : float > 0
    nu : float >= 1
    starts, seed : int

    Returns
    -------
    Worst
        A lower bound of the supremum.

    Raises
    ------
    ValueError
        Naming the argument; where n = 3 m and no other coordinate can fill up the distance, n.

    Examples
    --------
    >>> torus = RevolutionTori(1.0, 0.6, 64)
    >>> worst_error(torus, 0.4 / 8, 1.2).eta > 0.999  # beside the centre of the hole, which no continuous denoiser survives
    True
    """
    sigma, nu = scalar("sigma", sigma, low=0, low_open=True), scalar("nu", nu, low=1)
    starts = integer("starts", starts, low=2)
    if law.dim == 3 * law.blocks:
        fail("law", law.dim, "a dimension above 3 per torus: the search lets the other coordinates fill up the distance")
    rng = np.random.default_rng(integer("seed", seed, low=0))
    low, high = math.sqrt(law.dim) * sigma / nu, math.sqrt(law.dim) * sigma * nu

    def parts(point):
        """Squared error and squared distance of every block; ``point`` is (starts, m, 2)."""
        q, z = np.abs(point[..., 0]), point[..., 1]
        radius, height = law._mean(q, z, np.full(q.shape, sigma))
        nearest = law._nearest(q, z)
        return (radius - nearest[0]) ** 2 + (height - nearest[1]) ** 2, nearest[2] ** 2

    def objective(error, square):
        total = square.sum(axis=1)
        return np.where(total <= high**2, error.sum(axis=1) / np.maximum(total, low**2), -np.inf)

    # starts: in a box that the upper edge of the band fits into, and beside the hole's centre, one block or all of them
    reachable = min(high / math.sqrt(law.blocks), 2 * law.major)
    angle = rng.uniform(-np.pi, np.pi, (starts, law.blocks))
    offset = law.minor + reachable * rng.uniform(-1, 1, (starts, law.blocks))
    point = np.stack([law.major + offset * np.cos(angle), offset * np.sin(angle)], axis=-1)
    near = 10 ** rng.uniform(-6, -1, (starts // 2, law.blocks))
    alone = rng.random((starts // 2, 1)) < 0.5
    beside = np.where(alone & (np.arange(law.blocks) > 0), law.major + law.minor, near)
    point[: starts // 2] = np.stack([beside, np.zeros_like(beside)], axis=-1)
    value, step = objective(*parts(point)), np.full(starts, 0.1 * law.reach)

    # ascent: blocks are independent in error and distance, so one pair of probes serves the derivatives of all of them
    for _ in range(_ASCENT):
        error, square = parts(point)
        total = np.maximum(square.sum(axis=1), low**2)[:, None, None]
        outside = (square.sum(axis=1) > low**2)[:, None, None]
        slope = np.empty_like(point)
        for axis in (0, 1):
            shift = np.zeros(2)
            shift[axis] = _PROBE * sigma
            (up, up_square), (down, down_square) = parts(point + shift), parts(point - shift)
            slope[..., axis] = (up - down) / (2 * _PROBE * sigma) - np.where(
                outside[..., 0], error.sum(axis=1)[:, None] / total[..., 0], 0.0
            ) * (up_square - down_square) / (2 * _PROBE * sigma)
        length = np.sqrt(np.sum(slope**2, axis=(1, 2), keepdims=True))
        trial = point + step[:, None, None] * slope / np.where(length > 0, length, 1.0)
        found = objective(*parts(trial))
        better = found > value
        point = np.where(better[:, None, None], trial, point)
        value, step = np.where(better, found, value), np.where(better, 1.5 * step, 0.5 * step)

    best = int(np.argmax(value))
    return Worst(math.sqrt(max(value[best], 0.0)), np.abs(point[best, :, 0]), point[best, :, 1])
