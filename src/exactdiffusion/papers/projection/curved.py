r"""Curved sets with a bottleneck, their exact denoisers, and a search for the worst point of Definition 3.1.

Three sets, each with a uniform law, in the first coordinates of R^n:

* :class:`RevolutionTori`, a product of tori of revolution in R^3. With R < 2 r its reach is R - r, attained at the centre of
  the hole, where the whole inner circle is nearest.
* :class:`Stiefel`, pairs of orthonormal vectors of R^p. Its reach is 1, attained half-way between a pair and the pair with
  the second vector reversed.
* :class:`SwissRoll`, a rolled sheet whose turns lie at one distance from each other: the involute of a circle times an
  interval. Its reach is half the gap, attained between all turns. It has edges.

In all of them a bottleneck decides the reach, not only a curvature. Unlike a point cloud they have continuous laws, whose
denoisers tend to the projection as the noise falls.

:func:`worst_error` maximises the relative error |xhat - p| / d over the whole band of Definition 3.1 by gradient ascent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import i0e, i1e

from ..._core.typing import ArrayLike
from ..._core.validation import fail, integer, points, real_array, scalar
from ...laws.sets import bessel_ratio

__all__ = ["RevolutionTori", "Stiefel", "SwissRoll", "Worst", "worst_error"]

_NODES = 256
_GAUSS, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(64)
_HALF, _HALF_WEIGHTS = np.polynomial.legendre.leggauss(32)
#: nodes lie where the weight is above exp(-40) of the largest
_WINDOW = 40.0
_HALVINGS = 24
#: in reaches: below, the nodes are no finer than the pieces of a bisection
_LEAST_LEVEL = 1e-6
#: what is squared, and divided by sigma^2, is a float
_LARGEST_LEVEL, _FARTHEST = 1e150, 1e100
_ASCENT, _PROBE, _SCREENED = 60, 1e-6, 40


class _Curved:
    """What the sets share: a law on the first ``used`` of ``dim`` coordinates, and its arguments.

    A set has ``_denoise(x, sigma)`` with levels (n,), and for the search ``_squares(point, sigma)``, the squared error and
    the squared distance of each block from coordinates (starts, blocks, k) that decide both, and ``_starts(rng, starts,
    high)``.
    """

    dim: int
    used: int
    reach: Any
    blocks = 1
    _denoise: Callable[[Any, Any], Any]

    def denoise(self, x: ArrayLike, sigma: ArrayLike) -> np.ndarray:
        """E[X | X + sigma Z = x], (n, d); sigma a number or one per row, 1e-6 reach or more. Serves ``laws.Denoiser``."""
        x = self._rows(x)
        level = np.asarray(real_array("sigma", sigma), dtype=np.float64)
        if level.shape not in ((), (len(x),)):
            fail(f"sigma (shape {level.shape})", sigma, f"a number, or {len(x)} numbers, one per row of x")
        least = _LEAST_LEVEL * self.reach
        if not np.all((level >= least) & (level <= _LARGEST_LEVEL)):
            fail("sigma", sigma, f"noise levels from {least:g} (below, take the projection) to {_LARGEST_LEVEL:g}")
        return self._embed(self._denoise(x, np.broadcast_to(level, len(x))))

    def _rows(self, x):
        x = np.asarray(points("x", x, self.dim))
        if np.any(np.abs(x) > _FARTHEST):
            fail("x", x, f"coordinates of at most {_FARTHEST:g} in absolute value: their ratios to sigma^2 overflow beyond")
        return x

    def _embed(self, first):
        """Rows (n, used) with zeros for the other coordinates."""
        return np.pad(first, ((0, 0), (0, self.dim - self.used)))


class RevolutionTori(_Curved):
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
        self.used = 3 * self.blocks
        self.dim = integer("dim", dim, low=self.used)

    @property
    def reach(self) -> float:
        """min(r, R - r)."""
        return min(self.minor, self.major - self.minor)

    def _polar(self, x):
        """Radius q and height z of every block, (n, m), its direction in the plane, (n, m, 2), and the other coordinates."""
        x = self._rows(x)
        block = x[:, : self.used].reshape(len(x), self.blocks, 3)
        q = np.linalg.norm(block[:, :, :2], axis=2)
        first = np.broadcast_to([1.0, 0.0], (len(x), self.blocks, 2))
        unit = np.where(q[:, :, None] > 0, block[:, :, :2] / np.where(q > 0, q, 1.0)[:, :, None], first)
        return q, block[:, :, 2], unit, x[:, self.used :]

    def _points(self, q, z, unit):
        return np.concatenate([q[:, :, None] * unit, z[:, :, None]], axis=2).reshape(len(q), self.used)

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
        turn = half[..., None] * (2 * (np.arange(_NODES) + 0.5) / _NODES - 1)
        a = angle[..., None] + turn
        radius, height = self.major + self.minor * np.cos(a), self.minor * np.sin(a)
        kappa = radius * q[..., None] / sigma[..., None] ** 2
        # the squared distance in the half-plane, less that of the nearest angle
        square = 4 * self.minor * away[..., None] * np.sin(0.5 * turn) ** 2
        zeroth = i0e(kappa)
        log_weight = np.log(radius * zeroth) - 0.5 * square / sigma[..., None] ** 2
        weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        return np.sum(weight * radius * i1e(kappa) / zeroth, axis=-1), np.sum(weight * height, axis=-1)

    def project(self, x: ArrayLike) -> np.ndarray:
        """Nearest point, (n, d); where it is not unique, the one in the first coordinate direction."""
        q, z, unit, _ = self._polar(x)
        radius, height, _ = self._nearest(q, z)
        return self._embed(self._points(radius, height, unit))

    def distance(self, x: ArrayLike) -> np.ndarray:
        """Euclidean distance to the set, (n,)."""
        q, z, _, rest = self._polar(x)
        return np.sqrt(np.sum(self._nearest(q, z)[2] ** 2, axis=1) + np.sum(rest**2, axis=1))

    def _denoise(self, x, sigma):
        q, z, unit, _ = self._polar(x)
        radius, height = self._mean(q, z, np.broadcast_to(sigma[:, None], q.shape))
        return self._points(radius, height, unit)

    def _squares(self, point, sigma):
        """Coordinates: radius and height of each torus."""
        q, z = np.abs(point[..., 0]), point[..., 1]
        radius, height = self._mean(q, z, np.full(q.shape, sigma))
        nearest = self._nearest(q, z)
        return (radius - nearest[0]) ** 2 + (height - nearest[1]) ** 2, nearest[2] ** 2

    def _starts(self, rng, starts, high):
        """In a box that the upper edge of the band fits into, and beside the hole's centre, one block or all of them."""
        reachable = min(high / math.sqrt(self.blocks), 2 * self.major)
        angle = rng.uniform(-np.pi, np.pi, (starts, self.blocks))
        offset = self.minor + reachable * rng.uniform(-1, 1, (starts, self.blocks))
        point = np.stack([self.major + offset * np.cos(angle), offset * np.sin(angle)], axis=-1)
        near = 10 ** rng.uniform(-6, -1, (starts // 2, self.blocks))
        alone = rng.random((starts // 2, 1)) < 0.5
        beside = np.where(alone & (np.arange(self.blocks) > 0), self.major + self.minor, near)
        point[: starts // 2] = np.stack([beside, np.zeros_like(beside)], axis=-1)
        return point


class Stiefel(_Curved):
    r"""Uniform law on the pairs of orthonormal vectors of R^p, in 2 p coordinates of R^n: a set of dimension 2 p - 3.

    A point is the matrix (p, 2) of the two vectors, read row by row. For p = 2 the set is the orthogonal group O(2), two
    circles; for p = 3 it is a copy of the rotations. With singular values s of a matrix the distance is
    :math:`\sqrt{(s_1 - 1)^2 + (s_2 - 1)^2}` and the nearest point is the polar factor, unique where :math:`s_2 > 0`. A
    matrix with :math:`s_2 = 0` is at a distance of 1 or more: the reach is 1, attained half-way between (u, v) and (u, -v).
    For p = 2 the bottleneck alone decides it, as the circles have the radius :math:`\sqrt 2`.

    The posterior is a matrix von Mises-Fisher law. Its mean has the singular vectors of x, and the singular values
    :math:`\partial_i \log Z(s_1/\sigma^2, s_2/\sigma^2)`, where with g the mean of :math:`e^{\kappa u_1}` over the sphere of
    :math:`R^{p-1}`

    .. math:: Z(\kappa_1, \kappa_2) \propto
              \int_0^{\pi/2} \cos^{p-2}\theta\; g(\kappa_1\cos\theta)\, g(\kappa_2\cos\theta)\, d\theta .

    Proof: let the singular vectors be the axes and X = (u, v), with the exponent
    :math:`\kappa_1 u_1 + \kappa_2 v_2`. Given u, v is uniform on the sphere of :math:`u^\perp`, where :math:`e_2` has the
    projection :math:`\sqrt{1 - u_2^2}`. Given :math:`u_2 = \sin\theta`, :math:`u_1` is :math:`\cos\theta` times a
    coordinate of a uniform point on the sphere of :math:`R^{p-1}`, and :math:`u_2` has the density
    :math:`(1 - u_2^2)^{(p-3)/2}`. QED.

    Parameters
    ----------
    frame : int >= 2
        p.
    dim : int >= 2 p
        n.

    Attributes
    ----------
    reach : float
        1.

    Raises
    ------
    ValueError
        Naming the argument.

    Examples
    --------
    >>> pairs = Stiefel(2, 4)
    >>> pairs.project([[2.0, 0.0, 0.0, 0.5]]).tolist(), pairs.distance([[1.0, 0.0, 0.0, 0.0]]).tolist()
    ([[1.0, 0.0, 0.0, 1.0]], [1.0])
    """

    reach = 1.0

    def __init__(self, frame: int, dim: int) -> None:
        self.frame = integer("frame", frame, low=2)
        self.used = 2 * self.frame
        self.dim = integer("dim", dim, low=self.used)

    def _parts(self, x):
        """Singular vectors (n, p, 2), values (n, 2) and vectors (n, 2, 2)."""
        x = self._rows(x)
        return np.linalg.svd(x[:, : self.used].reshape(len(x), self.frame, 2), full_matrices=False)

    def _mean(self, s, sigma):
        """Singular values of the conditional mean, (..., 2), from singular values of the observation and levels (...)."""
        kappa = s / sigma[..., None] ** 2

        # the weight falls from 1 at theta = 0 at least like exp(kappa_1 (cos(theta) - 1)), but for the factors in log_mean
        largest = np.maximum(kappa.max(axis=-1), _WINDOW)
        half = 0.5 * np.where(largest > _WINDOW, np.arccos(1 - _WINDOW / largest), 0.5 * np.pi)[..., None]
        cos = np.cos(half * (1 + _HALF))
        B, _, log_mean = bessel_ratio(kappa[..., None] * cos[..., None, :], self.frame - 1)

        # exp(kappa cos) of both factors is taken out of log_mean
        log_weight = log_mean.sum(axis=-2) + kappa.sum(axis=-1)[..., None] * (cos - 1) + (self.frame - 2) * np.log(cos)
        weight = _HALF_WEIGHTS * np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        return kappa * np.sum(weight[..., None, :] * B * cos[..., None, :] ** 2, axis=-1)

    def project(self, x: ArrayLike) -> np.ndarray:
        """Nearest point, (n, d): the polar factor; where it is not unique, one of them."""
        left, _, right = self._parts(x)
        return self._embed((left @ right).reshape(len(left), self.used))

    def distance(self, x: ArrayLike) -> np.ndarray:
        """Euclidean distance to the set, (n,)."""
        rest = self._rows(x)[:, self.used :]
        return np.sqrt(np.sum((self._parts(x)[1] - 1) ** 2, axis=1) + np.sum(rest**2, axis=1))

    def _denoise(self, x, sigma):
        left, s, right = self._parts(x)
        return ((left * self._mean(s, sigma)[:, None]) @ right).reshape(len(x), self.used)

    def _squares(self, point, sigma):
        """Coordinates: the two singular values, up to a sign."""
        s = np.abs(point)
        error = self._mean(s, np.full(s.shape[:-1], sigma)) - 1
        return np.sum(error**2, axis=-1), np.sum((s - 1) ** 2, axis=-1)

    def _starts(self, rng, starts, high):
        """Around (1, 1) up to the upper edge of the band, and beside s_2 = 0."""
        angle, offset = rng.uniform(-np.pi, np.pi, (starts, 1)), min(high, 4.0) * rng.uniform(0, 1, (starts, 1))
        point = 1 + offset[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        point[: starts // 2] = np.stack([np.ones((starts // 2, 1)), 10 ** rng.uniform(-6, -1, (starts // 2, 1))], axis=-1)
        return point


class SwissRoll(_Curved):
    r"""Uniform law on a rolled sheet in the first three coordinates of R^n: the involute of a circle times [0, width].

    With a the radius of the circle the curve is
    :math:`\gamma(t) = a(\cos t, \sin t) - a t(-\sin t, \cos t)`, :math:`2\pi \le t \le 2\pi(1 + \text{turns})`: the
    points at distance a t along the tangents of the circle. Every tangent is normal to all turns, which lie at the distance
    :math:`2\pi a` from each other along it, so that the nearest point has a closed form, and the reach is :math:`\pi a`.

    Proof. :math:`\partial_t |x - \gamma(t)|^2 / 2 = a t\,(a - |x|\cos(t - \phi))`, with :math:`\phi` the angle of x. For
    :math:`|x| \le a` the distance grows along the curve. Otherwise the minima are at
    :math:`t_k = \phi + \arccos(a/|x|) + 2\pi k`, one on each turn, with values :math:`|\ell - a t_k|`,
    :math:`\ell^2 = |x|^2 - a^2`, and the distance is monotone between each of them and the maxima beside it. Two minima
    that tie have the value :math:`\pi a` or more. An end of the curve that is a nearest point lies between a maximum and a
    minimum :math:`t_k` beyond it, so it is farther than :math:`|\ell - a t_k|`. If it ties at distance r with a minimum
    :math:`t_{k \pm 1}`, then :math:`r > |\ell - a t_k| \ge 2\pi a - r`. If it ties with the other end, the minima beyond the
    two are :math:`4\pi` apart or more, and :math:`r > 2\pi a`. So a point with two nearest points is at a distance of
    :math:`\pi a` or more. QED.

    Given x the two factors are independent. The mean over t is a Gauss rule of 64 nodes on each piece between two maxima,
    cut where the weight falls below exp(-40), and the mean over the width is one such rule.

    Parameters
    ----------
    gap : number > 0
        The distance of two turns, 2 pi a.
    turns : int >= 1
    width : number > 0
    dim : int >= 3
        n.

    Attributes
    ----------
    reach : float
        gap / 2.

    Raises
    ------
    ValueError
        Naming the argument.

    Examples
    --------
    The curve starts one gap below the point of the circle at the angle 0:

    >>> roll = SwissRoll(2.0, 2, 3.0, 5)
    >>> roll.reach, roll.project([[1 / np.pi, -2.0, 1.0, 0.0, 0.4]]).round(6).tolist()
    (1.0, [[0.31831, -2.0, 1.0, 0.0, 0.0]])
    """

    used = 3

    def __init__(self, gap: float, turns: int, width: float, dim: int) -> None:
        self.gap = scalar("gap", gap, low=0, low_open=True)
        self.turns = integer("turns", turns, low=1)
        self.width = scalar("width", width, low=0, low_open=True)
        self.dim = integer("dim", dim, low=self.used)
        self._radius = self.gap / (2 * np.pi)
        self._ends = 2 * np.pi, 2 * np.pi * (1 + self.turns)

    @property
    def reach(self) -> float:
        """Half the gap."""
        return 0.5 * self.gap

    def _curve(self, t):
        cos, sin = np.cos(t), np.sin(t)
        return self._radius * np.stack([cos + t * sin, sin - t * cos], axis=-1)

    def _pieces(self, plane):
        """Ends and minimum (n, turns + 1) of the pieces of the curve between two maxima of the distance, and its square."""
        (start, stop), size = self._ends, np.linalg.norm(plane, axis=1)
        phi = np.arctan2(plane[:, 1], plane[:, 0])
        alpha = np.arccos(np.minimum(self._radius / np.maximum(size, self._radius), 1.0))
        low = phi - alpha + 2 * np.pi * np.floor((start - phi + alpha) / (2 * np.pi))
        turn = low[:, None] + 2 * np.pi * np.arange(self.turns + 1)
        low, high = np.clip(turn, start, stop), np.clip(turn + 2 * np.pi, start, stop)
        best = np.clip(turn + 2 * alpha[:, None], low, high)
        return low, high, best, self._square(plane, best)

    def _square(self, plane, t):
        return np.sum((self._curve(t) - plane[:, None]) ** 2, axis=-1)

    def _nearest(self, x):
        """Nearest point of rows (n, 3), (n, 3)."""
        _, _, best, square = self._pieces(x[:, :2])
        t = np.take_along_axis(best, np.argmin(square, axis=1)[:, None], axis=1)
        return np.column_stack([self._curve(t)[:, 0], np.clip(x[:, 2], 0, self.width)])

    def _denoise(self, x, sigma):
        x = x[:, :3]
        low, high, best, square = self._pieces(x[:, :2])
        largest = (square.min(axis=1) + 2 * _WINDOW * sigma**2)[:, None]

        # cut both sides of each piece, where the distance is monotone: ``inner`` is near enough, ``outer`` is not or an end
        a, size, phi = self._radius, np.linalg.norm(x[:, :2], axis=1)[:, None], np.arctan2(x[:, 1], x[:, 0])[:, None]
        allowed = largest - size**2 - a**2
        inner, outer = np.stack([best, best]), np.stack([low, high])
        for _ in range(_HALVINGS):
            middle = 0.5 * (inner + outer)
            near = (a * middle) ** 2 - 2 * a * size * (np.cos(middle - phi) + middle * np.sin(middle - phi)) <= allowed
            inner, outer = np.where(near, middle, inner), np.where(near, outer, middle)
        half = 0.5 * (outer[1] - outer[0])

        # the mean over the curve, with the density t of its arc
        t = (0.5 * (outer[0] + outer[1])[..., None] + half[..., None] * _GAUSS).reshape(len(x), half.shape[1] * len(_GAUSS))
        exponent = (square.min(axis=1)[:, None] - self._square(x[:, :2], t)) / (2 * sigma[:, None] ** 2)
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        weight *= t * (half[..., None] * _GAUSS_WEIGHTS).reshape(t.shape)
        plane = np.sum(weight[..., None] * self._curve(t), axis=1) / weight.sum(axis=1)[:, None]

        # the mean over the width: it is cut where the squared distance is 80 sigma^2 above that of the nearest height
        nearest = np.clip(x[:, 2], 0, self.width)
        outside, extra = np.abs(x[:, 2] - nearest), 2 * _WINDOW * sigma**2
        reached = extra / (outside + np.sqrt(outside**2 + extra))
        low, high = np.clip(nearest - reached, 0, self.width), np.clip(nearest + reached, 0, self.width)
        y = 0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * _GAUSS
        exponent = (y - nearest[:, None]) * ((2 * x[:, 2] - nearest)[:, None] - y)
        weight = _GAUSS_WEIGHTS * np.exp(exponent / (2 * sigma[:, None] ** 2))
        return np.column_stack([plane, np.sum(weight * y, axis=1) / weight.sum(axis=1)])

    def project(self, x: ArrayLike) -> np.ndarray:
        """Nearest point, (n, d); where it is not unique, one of them."""
        return self._embed(self._nearest(self._rows(x)))

    def distance(self, x: ArrayLike) -> np.ndarray:
        """Euclidean distance to the set, (n,)."""
        return np.linalg.norm(self._rows(x) - self.project(x), axis=1)

    def _squares(self, point, sigma):
        """Coordinates: the three of the sheet's space."""
        x = point[:, 0]
        nearest = self._nearest(x)
        error = self._denoise(x, np.full(len(x), sigma)) - nearest
        return np.sum(error**2, axis=1)[:, None], np.sum((x - nearest) ** 2, axis=1)[:, None]

    def _starts(self, rng, starts, high):
        """Along the normals of the sheet and of its ends up to the upper edge of the band, and beside points that tie."""
        reachable = min(high, 2 * self.gap)
        t = np.where(rng.random(starts) < 0.5, rng.choice(self._ends, starts), rng.uniform(*self._ends, starts))
        normal = reachable * rng.uniform(-1, 1, (starts, 1)) * np.stack([np.sin(t), -np.cos(t)], axis=1)
        height = np.where(
            rng.random(starts) < 0.5, rng.choice([0.0, self.width], starts), rng.uniform(0, self.width, starts)
        )
        x = np.column_stack([self._curve(t) + normal, height])

        # halve segments between points of other projections: their ends tend to a point where the projection jumps
        half, size = starts // 2, 2 * self._ends[1] * self._radius
        one, two = (np.column_stack([rng.uniform(-size, size, (half, 2)), height[:half]]) for _ in range(2))
        first, second, apart = self._nearest(one), self._nearest(two), two - one
        for _ in range(_HALVINGS + 20):
            middle = 0.5 * (one + two)
            found = self._nearest(middle)
            near = np.sum((found - first) ** 2, axis=1, keepdims=True) < np.sum((found - second) ** 2, axis=1, keepdims=True)
            one, two = np.where(near, middle, one), np.where(near, two, middle)
            first, second = np.where(near, found, first), np.where(near, second, found)
        x[:half] = one - 10 ** rng.uniform(-6, -1, (half, 1)) * self.reach * apart / np.linalg.norm(
            apart, axis=1, keepdims=True
        )
        return x[:, None]


@dataclass(frozen=True)
class Worst:
    """The worst point that `worst_error` found: ``eta`` = |xhat - p| / d there, and what decides both there, (blocks, k).

    ``point`` holds radius and height of each torus, the two singular values of a matrix, or the coordinates in the space of
    the sheet.

    Examples
    --------
    >>> found = worst_error(RevolutionTori(1.0, 0.6, 64), 0.04 / 8, 1.2)
    >>> found.eta < 1e-3, found.point.shape
    (True, (1, 2))
    """

    eta: float
    point: np.ndarray


def worst_error(
    law: RevolutionTori | Stiefel | SwissRoll, sigma: float, nu: float, *, starts: int = 48, seed: int = 0
) -> Worst:
    r"""Largest relative error of the ideal denoiser over the band :math:`d/\nu \le \sqrt n\,\sigma \le \nu d`.

    Coordinates that the set does not use enter d alone: the best of them is as short as the band allows. What is left is a
    search over the few numbers that decide error and distance (`Worst.point`): gradient ascent with a step that grows by
    half after a success and halves after a failure, from random starts up to the edge of the band, from points beside the
    bottleneck, and from the best of 40 times as many.

    Parameters
    ----------
    law : RevolutionTori, Stiefel or SwissRoll
    sigma : float >= 1e-6 reach
    nu : float >= 1
    starts, seed : int

    Returns
    -------
    Worst
        A lower bound of the supremum.

    Raises
    ------
    ValueError
        Naming the argument; where the set uses all coordinates and none can fill up the distance, n.

    Examples
    --------
    >>> torus = RevolutionTori(1.0, 0.6, 64)
    >>> worst_error(torus, 0.4 / 8, 1.2).eta > 0.999  # beside the centre of the hole, which no continuous denoiser survives
    True
    """
    sigma, nu = scalar("sigma", sigma, low=_LEAST_LEVEL * law.reach), scalar("nu", nu, low=1)
    starts = integer("starts", starts, low=2)
    if law.dim == law.used:
        fail("law", law.dim, f"a dimension above {law.used}: the search lets the other coordinates fill up the distance")
    rng = np.random.default_rng(integer("seed", seed, low=0))
    low, high = math.sqrt(law.dim) * sigma / nu, math.sqrt(law.dim) * sigma * nu

    def objective(error, square):
        total = square.sum(axis=1)
        return np.where(total <= high**2, error.sum(axis=1) / np.maximum(total, low**2), -np.inf)

    # starts, and half as many that are the best of many more
    point, more = law._starts(rng, starts, high), law._starts(rng, _SCREENED * starts, high)
    best = np.argsort(-objective(*law._squares(more, sigma)), kind="stable")[: starts // 2]
    point = np.concatenate([point, more[best]])
    value, step = objective(*law._squares(point, sigma)), np.full(len(point), 0.1 * law.reach)

    # ascent: blocks are independent in error and distance, so one pair of probes serves the derivatives of all of them
    for _ in range(_ASCENT):
        error, square = law._squares(point, sigma)
        total = np.maximum(square.sum(axis=1), low**2)[:, None, None]
        outside = (square.sum(axis=1) > low**2)[:, None, None]
        slope = np.empty_like(point)
        for axis in range(point.shape[-1]):
            shift = np.zeros(point.shape[-1])
            shift[axis] = _PROBE * sigma
            (up, up_square), (down, down_square) = (law._squares(point + move, sigma) for move in (shift, -shift))
            slope[..., axis] = (up - down) / (2 * _PROBE * sigma) - np.where(
                outside[..., 0], error.sum(axis=1)[:, None] / total[..., 0], 0.0
            ) * (up_square - down_square) / (2 * _PROBE * sigma)
        length = np.sqrt(np.sum(slope**2, axis=(1, 2), keepdims=True))
        trial = point + step[:, None, None] * slope / np.where(length > 0, length, 1.0)
        found = objective(*law._squares(trial, sigma))
        better = found > value
        point = np.where(better[:, None, None], trial, point)
        value, step = np.where(better, found, value), np.where(better, 1.5 * step, 0.5 * step)

    worst = int(np.argmax(value))
    return Worst(math.sqrt(max(value[worst], 0.0)), point[worst])
