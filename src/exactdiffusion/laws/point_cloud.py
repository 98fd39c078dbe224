"""Weighted point clouds.

Half squared distances ``h_j = |x - s p_j|^2 / 2`` give the weights ``w_j exp(-h_j / sigma^2)`` of the atoms in the denoiser.
`softmax` computes them for arrays of any kind: by a form that is fast, and by differences relative to the best atom of a row
where the rounding errors of that form could be seen. `tree` finds the atoms that count in large clouds of few dimensions.
"""

import math
from typing import Any

import numpy as np

from .._core.arrays import array_namespace, from_numpy, is_numpy, to_numpy
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike, Rng
from .._core.validation import boolean, fail, integer, points
from .._core.validation import weights as check_weights
from ._kernels import softmax, tree
from .base import BLOCK_DOUBLES, EPS, LARGE, LOG_2PI, NoisedLaw, Parameters, bounded, generator, norm_rows, queries
from .gaussian_mixture import GaussianMixture, NoisedMixture

__all__ = ["NoisedPoints", "PointCloud"]


class PointCloud(Fixed):
    """Weighted atoms ``sum_j w_j delta(p_j)``.

    Parameters
    ----------
    points : array (M, d)
        Copied to NumPy, from any namespace and device.
    weights : array (M,) or None
        Nonnegative, summing to 1; None is uniform. Atoms of weight 0 do not belong to the law: neither the
        denoiser nor the projection sees them.
    copy : bool
        False keeps the memory of ``points`` where it can be (NumPy, or torch on the CPU; float64, row by row). Do not write
        to it afterwards: the law would answer from both old and new numbers. `check` finds that.

    Attributes
    ----------
    points, weights : numpy arrays, as given, read-only
    dim, mean, covariance, diameter

    Raises
    ------
    ValueError
        Naming the argument: wrong shape, non-finite values, weights that are negative or do not sum to 1,
        coordinates beyond 1e150 (or all below 1e-150 and not all 0).

    Notes
    -----
    Equal rows of ``points`` are one atom of the law, with the sum of their weights. Memory beyond arguments
    and results does not grow with the number of queries: 64 MB up to a million atoms; beyond, where all atoms of a row
    count, up to 24 bytes an atom, of covariances and Hessians 40. From 16,384 atoms in up to three
    dimensions the first large call makes a search tree, which stays: 3.3, 2.3, 1.9 times the size of the
    cloud in one, two, three dimensions, and 5.1 times while it is made.
    The arrays are read-only, in copies and pickles too. Tensors of torch and arrays of CuPy have no such flag: they are
    copied, or with ``copy=False`` shared where they lie in host memory; then only `check` tells that they were edited.
    A cloud has no density: log_density and score exist for ``noised(scale, sigma)`` with sigma > 0 only.

    Examples
    --------
    >>> cloud = PointCloud([[0.0, 0.0], [3.0, 4.0]], weights=[0.25, 0.75])
    >>> cloud.mean
    array([2.25, 3.  ])
    >>> cloud.diameter
    5.0
    >>> cloud.project([[1.0, 1.0]])
    array([[0., 0.]])
    """

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None, *, copy: bool = True) -> None:
        given, points = points, to_numpy(_points("points", points, allow_empty=False))
        M, d = points.shape
        bounded("points", given, np.array([points.max(), points.min()]), low=1 / LARGE)
        own = boolean("copy", copy) and _shares(given, points)
        self.points = np.array(points, order="C") if own else np.ascontiguousarray(points).view()
        self.weights = np.array(to_numpy(check_weights("weights", weights, M)))
        self.dim = d

        # Distinct atoms of positive weight: equal rows are found by their bytes.
        first: dict[int, list[int]] = {}
        order: list[np.intp] = []
        mass: list[float] = []
        for j in np.flatnonzero(self.weights > 0):
            row = self.points[j] + 0.0  # -0.0 and 0.0 are one coordinate
            same = first.setdefault(hash(row.tobytes()), [])
            k = next((k for k in same if np.array_equal(self.points[order[k]], row)), None)
            if k is None:
                same.append(len(order))
                order.append(j)
                mass.append(self.weights[j])
            else:
                mass[k] += self.weights[j]
        del first
        self._index = np.array(order)
        P = self.points if len(order) == M else self.points[self._index]
        M = self._active = len(order)

        # Centre, size and radius, a block of atoms at a time.
        center = np.mean(P, axis=0)
        squares, top, wide = np.empty(M), 0.0, 0.0
        for c in softmax.chunks(M, BLOCK_DOUBLES // d):
            B = P[c] - center
            squares[c] = np.einsum("ij,ij->i", B, B)
            wide = max(wide, float(np.abs(B, out=B).max()))
            top = max(top, float(np.abs(P[c], out=B).max()))
        self._size = self._thin = top if top > 0 else 1.0
        self._radius = float(np.sqrt(np.max(squares)))

        # What the kernels need. Large clouds keep no centred copy of their atoms, unless their centre is far.
        logw = np.log(mass)
        self._p = Parameters(P=P, logw=logw, center=center, q=0.5 * squares)
        self._uniform, self._heaviest = bool(np.all(logw == logw[0])), float(np.max(logw))
        self._center_norm = float(np.linalg.norm(center))
        self._small = M * d <= softmax.SMALL_CLOUD
        self._frame = "C" if self._small or self._center_norm > 2 * self._radius else "P"
        self._reach = self._radius + (0.0 if self._frame == "C" else self._center_norm)
        if self._frame == "C":
            self._p.add(C=P - center)
        if d <= softmax.LOW:
            self._p.add(T=P.T)
            self._wide = float(np.max(np.ptp(P, axis=0)))
        if self._small:
            self._p.add(A=np.concatenate([P - center, -0.5 * squares[:, None], logw[:, None]], axis=1))
        self._diameter: float | None = None
        self._fix()

    def __repr__(self):
        return f"PointCloud(M={len(self.points)}, dim={self.dim})"

    @property
    def mean(self) -> np.ndarray:
        """Mean, (d,).

        >>> PointCloud([[0.0], [4.0]], weights=[0.25, 0.75]).mean
        array([3.])
        """
        return self.weights @ self.points

    @property
    def covariance(self) -> np.ndarray:
        """Covariance, (d, d).

        >>> PointCloud([[0.0], [4.0]]).covariance
        array([[4.]])
        """
        mean, out = self.mean, np.zeros((self.dim, self.dim))
        for c in softmax.chunks(len(self.points), BLOCK_DOUBLES // self.dim):
            D = self.points[c] - mean
            out = out + (self.weights[c, None] * D).T @ D
        return out

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "NoisedPoints":
        """Law of ``scale * X + sigma * N(0, I)``; scalars, or one value per row of x, shape (n,).

        >>> cloud = PointCloud([[-1.0], [1.0]])
        >>> cloud.noised(1.0, [0.5, 0.1]).denoise([[0.0], [0.4]])
        array([[0.],
               [1.]])
        """
        return NoisedPoints(self, scale, sigma)

    def sample(self, n: int, rng: Rng) -> np.ndarray:
        """``n`` draws, NumPy (n, d); ``rng`` a numpy Generator or a seed.

        >>> PointCloud([[0.0, 1.0]]).sample(2, 0)
        array([[0., 1.],
               [0., 1.]])
        """
        n, rng = integer("n", n, low=0), generator(rng)
        return self.points[rng.choice(len(self.points), size=n, p=self.weights)]

    # -- the closed set --------------------------------------------------------------------------------------

    def _nearest(self, x, count=1):
        """(index of the nearest atom (n,), its distance (n,), and for count 2 the distance of the second nearest minus it
        (n,), inf for one atom)."""
        xp, P, one = array_namespace(x), self._p("P", x), np.ones(1)
        if tree.applies(self, x.shape[0]) and is_numpy(xp):
            index, second = tree.closest(self, x, count)
        else:
            index, second = softmax.nearest(self, x, one, count)
        distance = norm_rows(xp, x - xp.take(P, index, axis=0))
        if count == 1 or self._active == 1:
            return index, distance, None if count == 1 else xp.full_like(distance, xp.inf)

        # d2 - d1 = (d2^2 - d1^2) / (d2 + d1), the numerator without cancellation.
        far = norm_rows(xp, x - xp.take(P, second, axis=0))
        each = xp.arange(x.shape[0], device=x.device)
        gap = -2 * softmax.Rows(self, x, one, one).differences(each, second, index) / (far + distance)
        return index, distance, xp.where(gap > 0, gap, xp.zeros_like(gap))

    def nearest(self, x: ArrayLike) -> tuple[Array, Array]:
        """Nearest atom of every row.

        Returns
        -------
        indices : integer array (n,)
            Rows of ``points``; among equidistant atoms the lowest index.
        distance : array (n,)

        Examples
        --------
        >>> index, distance = PointCloud([[0.0], [4.0]]).nearest([[1.0], [4.5]])
        >>> index.tolist(), distance.tolist()
        ([0, 1], [1.0, 0.5])
        """
        x = queries("x", x, self.dim)
        index, distance, _ = self._nearest(x)
        return array_namespace(x).take(from_numpy(self._index, x), index, axis=0), distance

    def project(self, x: ArrayLike) -> Array:
        """Nearest atom, (n, d), bit for bit a row of ``points``; among equidistant atoms the one of lowest
        index.

        >>> PointCloud([[0.0], [4.0]]).project([[1.0], [2.0]])
        array([[0.],
               [0.]])
        """
        x = queries("x", x, self.dim)
        return array_namespace(x).take(self._p("P", x), self._nearest(x)[0], axis=0)

    def distance(self, x: ArrayLike) -> Array:
        """Euclidean distance to the cloud, (n,).

        >>> PointCloud([[0.0], [4.0]]).distance([[1.0], [6.0]])
        array([1., 2.])
        """
        return self.nearest(x)[1]

    def gap(self, x: ArrayLike) -> Array:
        """Distance to the second nearest minus distance to the nearest of the distinct atoms, (n,); inf for
        one atom.

        The projection is unique where it is positive.

        >>> PointCloud([[0.0], [4.0]]).gap([[1.0], [2.0]])
        array([2., 0.])
        """
        x = queries("x", x, self.dim)
        return self._nearest(x, count=2)[2]

    @property
    def diameter(self) -> float:
        """Largest distance between two atoms.

        >>> PointCloud([[0.0, 0.0], [3.0, 4.0]]).diameter
        5.0
        """
        if self._diameter is None:
            self._diameter = self._farthest()
        return self._diameter

    def _farthest(self):
        P, center, q = (self._p(k, self.points) for k in ("P", "center", "q"))
        M, best = len(P), 0.0
        slack = 8 * EPS * (4 + math.sqrt(self.dim)) * self._radius**2
        side = max(1, min(512, BLOCK_DOUBLES // (2 * self.dim)))
        for a in softmax.chunks(M, side):
            A = P[a] - center
            for b in softmax.chunks(M, side):
                if b.stop <= a.start:
                    continue
                h = q[a, None] + q[None, b] - A @ (P[b] - center).T
                i, j = np.nonzero(h >= max(h.max(), best**2 / 2) - slack)
                for c in softmax.chunks(len(i), BLOCK_DOUBLES // self.dim):
                    D = P[a.start + i[c]] - P[b.start + j[c]]
                    best = max(best, float(np.sqrt(np.max(np.sum(D * D, axis=1)))))
        return best


def _shares(given, points):
    """Whether the memory of ``points`` may be the caller's."""
    return not isinstance(given, np.ndarray) or np.may_share_memory(given, points)


def _points(name, value, allow_empty=True):
    return points(name, value, allow_empty=allow_empty)


class NoisedPoints(NoisedLaw):
    """Law of ``scale * X + sigma * N(0, I)`` for X on a point cloud; see `PointCloud.noised`.

    Examples
    --------
    The two atoms -1 and 1 have the conditional mean tanh(x / sigma^2):

    >>> law = PointCloud([[-1.0], [1.0]]).noised(1.0, 0.5)
    >>> law.denoise([[0.25]]).round(12)
    array([[0.76159416]])
    >>> law.score([[0.25]]).round(12)  # (denoise - x) / sigma^2
    array([[2.04637662]])
    """

    _far = "limit"

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> NoisedMixture:
        """Law of ``scale * Y + sigma * N(0, I)`` where Y is this noised variable (scalar levels).

        Its ``denoise`` is the conditional mean of Y, the variable that was noised last, not of the cloud's X.
        """
        return self.materialise().noised(scale, sigma)

    def materialise(self) -> GaussianMixture:
        """This law as an isotropic `GaussianMixture` (scalar levels)."""
        from .gaussian_mixture import GaussianMixture

        if self._per_row:
            fail("sigma", self.sigma, "scalar levels: one law per row is not one mixture")
        return GaussianMixture(self.law.weights, self.scale * self.law.points, self.sigma**2)

    def _answer(self, x, what, finish, posterior=False, size=None):
        """``finish(x, s, t, found)`` of all rows of a checked x, in blocks: s and t are factors of x (b, d), ``found`` the
        result of `softmax.moments` for ``what``. ``posterior``: of the law of X given x; ``size``: see `_in_range`."""
        xp, law, n = array_namespace(x), self.law, x.shape[0]
        if n == 0:
            return finish(x, 1.0, 1.0, softmax.Found.empty(x, what))
        x, *levels = self._in_range(x, size) if posterior else (x, *self._levels())

        # Which kernels serve depends on the arguments only, so that results do.
        large = tree.applies(law, n) and is_numpy(xp)
        kernel = softmax.compiled() if is_numpy(xp) and n * law._active >= softmax.WORTH else None
        dense = softmax.rows(law, x, softmax.fuses(law, x, what, kernel))
        moments, block = (tree.moments, tree.ROWS) if large else (softmax.moments, dense)
        out = []
        for c in softmax.chunks(n, block):
            y, (s, t) = x[c, :], (v if len(v) == 1 else v[c] for v in levels)
            out.append(finish(y, softmax.factor(s, y), softmax.factor(t, y), moments(law, y, s, t, what, kernel)))
        return out[0] if len(out) == 1 else xp.concat(out, axis=0)

    def _posterior_weights(self, x):
        """Posterior weights (n, M) of the atoms."""
        x, s, t = self._in_range(x)
        return softmax.posterior(self.law, x, s, t)

    def log_density(self, x: ArrayLike) -> Array:
        """Log density, (n,).

        Raises
        ------
        ValueError
            Naming sigma, at sigma = 0: the cloud has no density.

        Examples
        --------
        >>> PointCloud([[0.0]]).noised(1.0, 1.0).log_density([[0.0]]).round(6)  # -log(2 pi) / 2
        array([-0.918939])
        """
        x = self._check(x)
        self._need_noise("log_density", x)

        def finish(x, s, t, found):
            xp = array_namespace(x)
            z = (x - s * xp.take(self.law._p("P", x), found.reference, axis=0)) / t
            best = xp.take(self.law._p("logw", x), found.reference, axis=0) - 0.5 * xp.sum(z * z, axis=-1)
            log_t = math.log(t) if isinstance(t, float) else xp.reshape(xp.log(t), (-1,))
            return best + xp.log1p(found.others) - self.dim * (0.5 * LOG_2PI + log_t)

        return self._answer(x, "density", finish)

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d): ``sum_j w_j (s p_j - x) / sigma^2`` summed before dividing.

        Raises
        ------
        ValueError
            Naming sigma, at sigma = 0.
        """
        x = self._check(x)
        self._need_noise("score", x)

        def finish(x, s, t, found):
            best = array_namespace(x).take(self.law._p("P", x), found.reference, axis=0)
            return ((s * best - x) + s * found.shift) / t / t

        return self._answer(x, "offset", finish)

    def denoise(self, x: ArrayLike) -> Array:
        """Conditional mean E[X | x], (n, d). At sigma = 0 (and below 1e-150 scale * size of
        the cloud) the projection of x / scale; at scale = 0 the mean.

        The best atom plus the mean offset of the others from it, so that one weight of 1 returns the atom bit for bit.

        >>> PointCloud([[-1.0], [1.0]]).noised(1.0, 0.5).denoise([[0.0], [9.0]])
        array([[0.],
               [1.]])
        """
        x, size = self._check(x, size=True)

        def finish(x, s, t, found):
            return array_namespace(x).take(self.law._p("P", x), found.reference, axis=0) + found.shift

        return self._answer(x, "mean", finish, posterior=True, size=size)

    def posterior_covariance(self, x: ArrayLike) -> Array:
        """Conditional covariance Cov[X | x], (n, d, d); 0 at sigma = 0.

        >>> PointCloud([[-1.0], [1.0]]).noised(1.0, 0.5).posterior_covariance([[0.0]])
        array([[[1.]]])
        """
        return self._answer(self._check(x), "covariance", lambda x, s, t, found: found.covariance, posterior=True)

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d): ``(s^2 Cov[X | x] / sigma^2 - I) / sigma^2``.

        Raises
        ------
        ValueError
            Naming sigma, at sigma = 0.
        """
        x = self._check(x)
        self._need_noise("hessian", x)

        def finish(x, s, t, found):
            xp = array_namespace(x)
            s, t = (v if isinstance(v, float) else xp.expand_dims(v, axis=-1) for v in (s, t))
            eye = xp.eye(self.dim, dtype=xp.float64, device=x.device)
            return ((s / t) * (s / t) * found.covariance - eye) / t / t

        return self._answer(x, "covariance", finish)

    def prox(self, x: ArrayLike, lam: ArrayLike, certificate: bool = False, **options: Any) -> Any:
        """Global minimiser u (n, d) of ``1/2 |u - x|^2 - lam log q(u)``, q the density of this law.

        Parameters
        ----------
        x : array (n, d)
        lam : float > 0 or (n,)
        certificate : bool
            Return a `proximal.ProxResult` (point, objective, proved lower bound, gap, status, evaluation
            counts).
        **options
            ``starts``, ``gap``, ``calls``: see `proximal.EqualVariance`.

        Raises
        ------
        ValueError
            Naming the argument; lam <= 0.

        Notes
        -----
        At sigma = 0 it is the limit: the atom of the Laguerre cell, ``argmin 1/2 |x - s p_j|^2 - lam log
        w_j``, lowest index at ties, which is the nearest atom for equal weights only. Computed with NumPy;
        other arrays are transferred.
        """
        from ..prox.solver import prox_of

        return prox_of(self, x, lam, certificate=certificate, **options)

    def prox_local(self, x: ArrayLike, lam: ArrayLike, **options: Any) -> Any:
        """Stationary point reached from u = x by monotone Newton steps: not the prox where there are several
        minima."""
        from ..prox.solver import prox_of

        return prox_of(self, x, lam, local=True, **options)
