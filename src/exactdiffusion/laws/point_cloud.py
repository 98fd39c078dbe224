"""Weighted point clouds.

Half squared distances ``h_j = |x - s p_j|^2 / 2`` give the weights ``w_j exp(-h_j / sigma^2)`` of the atoms
in the denoiser. They are never formed from expanded squares alone: the expansion is a filter, and every atom
that can carry weight is recomputed by

    h_j - h_* = -s (p_j - p_*) . ((x - s p_j) + (x - s p_*)) / 2,

relative to the best atom ``*`` of its row, whose rounding error is eps |x - p| |p_j - p_*|: that of the
problem itself.
"""

import math
from typing import Any

import numpy as np

from .._core.arrays import array_namespace, from_numpy, is_numpy, to_numpy, workspace
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike, Rng
from .._core.validation import boolean, fail, integer, points
from .._core.validation import weights as check_weights
from ._kernels import cloud, generic, tree
from .base import BLOCK_DOUBLES, EPS, LARGE, LOG_2PI, NoisedLaw, Parameters, bounded, column, generator, norm_rows, queries
from .gaussian_mixture import GaussianMixture, NoisedMixture

__all__ = ["NoisedPoints", "PointCloud"]

# Logits below this are weight 0: exp(-600) times a coordinate is still a normal number, and 1e-261 changes
# no result.
LOGIT_FLOOR = -600.0
# A logit whose error bound (a worst case, some 30 times what happens) is below this is good; else the next
# better form is used.
LOGIT_TOLERANCE = 64 * EPS
# The sliced form is accepted earlier: explicit differences of many pairs round by eps sqrt(d) |x - p| |p - p_*| / sigma^2
# themselves, which in high dimension is no better, at many times the cost.
SLICED_TOLERANCE = 4096 * EPS


def _power(xp, a):
    """Smallest power of 2 at or above a > 0, and 1 for a = 0, by arrays of any namespace."""
    safe = xp.where(a > 0, a, xp.ones_like(a))
    p = xp.exp2(xp.ceil(xp.log2(safe))) if hasattr(xp, "exp2") else 2.0 ** xp.ceil(xp.log2(safe))
    return xp.where(p < safe, 2 * p, p)


def _head(a, unit):
    """a rounded to multiples of ``unit``, a power of 2; |a| <= 2^51 unit."""
    shift = 1.5 * 2.0**52 * unit
    return (a + shift) - shift


def _two_sum(a, b):
    """(fl(a + b), its rounding error)."""
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def _two_product(a, b):
    """(fl(a * b), its rounding error), by Dekker's splitting."""
    p = a * b
    a1, b1 = (v * 134217729.0 for v in (a, b))
    a1, b1 = a1 - (a1 - a), b1 - (b1 - b)
    a2, b2 = a - a1, b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _scatter(xp, mask, values, fill):
    """Array of the shape of mask: ``values`` (in row-major order) where it holds, ``fill`` elsewhere."""
    flat = xp.reshape(mask, (-1,))
    position = xp.cumulative_sum(xp.astype(flat, xp.int64)) - 1
    position = xp.where(position < 0, xp.zeros_like(position), position)
    out = xp.where(flat, xp.take(values, position, axis=0), xp.full_like(xp.take(values, position, axis=0), fill))
    return xp.reshape(out, mask.shape)


def _pick(xp, a, index):
    """a[i, index[i]] as a column (b, 1)."""
    b, M = a.shape
    flat = xp.arange(b, device=a.device) * M + index
    return xp.expand_dims(xp.take(xp.reshape(a, (-1,)), flat), axis=-1)


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
    """

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None, *, copy: bool = True) -> None:
        given, points = points, to_numpy(_points("points", points, allow_empty=False))
        M, d = points.shape
        bounded("points", given, np.array([points.max(), points.min()]), low=1 / LARGE)
        own = boolean("copy", copy) and _shares(given, points)
        self.points = np.array(points, order="C") if own else np.ascontiguousarray(points).view()
        self.weights = np.array(to_numpy(check_weights("weights", weights, M)))
        self.dim = d
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
        center = np.mean(P, axis=0)
        squares, top, wide = np.empty(M), 0.0, 0.0
        for c in cloud.chunks(M, BLOCK_DOUBLES // d):
            B = P[c] - center
            squares[c] = np.einsum("ij,ij->i", B, B)
            wide = max(wide, float(np.abs(B, out=B).max()))
            top = max(top, float(np.abs(P[c], out=B).max()))
        self._size = self._thin = top if top > 0 else 1.0
        self._radius = float(np.sqrt(np.max(squares)))
        parameters = {"P": P, "logw": np.log(mass), "center": center, "q": 0.5 * squares}
        self._p = Parameters(**parameters)
        self._uniform = bool(np.all(parameters["logw"] == parameters["logw"][0]))
        # Large clouds keep no centred copy: products take the atoms as they are, and blocks of them are centred where
        # the centre is far.
        self._center_norm = float(np.linalg.norm(center))
        small = M * d <= cloud.SMALL_CLOUD
        self._shifted = not small and self._center_norm > 2 * self._radius
        self._reach = self._radius if small or self._shifted else self._radius + self._center_norm
        self._columns, self._augmented = None, None
        if d <= 3 or small:
            self._p.add(C=P - center)
        if d <= 3:
            self._columns = [np.ascontiguousarray(P[:, k]) for k in range(d)]
            self._across = np.ascontiguousarray(P.T)
            self._minus = [np.stack([np.ones(M), -pk]) for pk in self._columns]
            self._ones = np.concatenate([P, np.ones((M, 1))], axis=1)
            self._wide = float(max(pk.max() - pk.min() for pk in self._columns))
        elif small:
            C = self._p._host["C"]
            columns = [C, -parameters["q"][:, None]] + ([] if self._uniform else [parameters["logw"][:, None]])
            self._augmented = np.concatenate(columns, axis=1)
        # Powers of 2 above the coordinates and half squared norms, and the bits of heads whose products do
        # not round.
        self._bits = (52 - math.ceil(math.log2(d + 2))) // 2
        self._top, self._top_q = (float(2.0 ** np.ceil(np.log2(v if v > 0 else 1e-150))) for v in (wide, np.max(squares)))
        self._diameter: float | None = None
        self._fix()

    def __repr__(self):
        return f"PointCloud(M={len(self.points)}, dim={self.dim})"

    def _slices(self, like):
        """Blocks of atoms (heads (d + 1, m), tails (2 d + 2, m)) for `NoisedPoints._sliced`, in the
        namespace of ``like``.

        The centred atoms and their half squared norms, each as a head of few bits, that multiplies without
        rounding, and a tail. Kept for small clouds, made block by block for large ones.
        """
        P, center = self._p("P", like), self._p("center", like)
        rows = max(1, (1 << 19) // self.dim)
        blocks = (P[a : min(a + rows, self._active), :] for a in range(0, self._active, rows))
        if self._active * self.dim > 1 << 23:
            return (self._slice(B, center) for B in blocks)
        return self._p.cached("slices", like, lambda: [self._slice(B, center) for B in blocks])

    def _slice(self, P, center):
        xp = array_namespace(P)
        C, low = _two_sum(P, -xp.expand_dims(center, axis=0) + 0.0 * P)
        head = _head(C, self._top * 2.0**-self._bits)
        tail = (C - head) + low
        q1 = 0.5 * xp.sum(head * head, axis=1, keepdims=True)  # exact: d products of 2 bits each
        q2 = xp.sum(head * tail, axis=1, keepdims=True) + 0.5 * xp.sum(tail * tail, axis=1, keepdims=True)
        qh = _head(q1, self._top_q * 2.0**-self._bits)
        qt = (q1 - qh) + q2
        heads = xp.concat([head, qh], axis=1)
        tails = xp.concat([tail, head + tail, qt, qh + qt], axis=1)
        return xp.matrix_transpose(heads), xp.matrix_transpose(tails)

    def _frame(self, index):
        """Atoms in the frame of centred sums of `cloud.combine`."""
        host = self._p._host
        P = host["P"][index]
        return P - host["center"] if "C" in host or self._shifted else P

    @property
    def mean(self) -> np.ndarray:
        """Mean, (d,)."""
        return self.weights @ self.points

    @property
    def covariance(self) -> np.ndarray:
        """Covariance, (d, d)."""
        mean, out = self.mean, np.zeros((self.dim, self.dim))
        for c in cloud.chunks(len(self.points), BLOCK_DOUBLES // self.dim):
            D = self.points[c] - mean
            out = out + (self.weights[c, None] * D).T @ D
        return out

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "NoisedPoints":
        """Law of ``scale * X + sigma * N(0, I)``; scalars, or one value per row of x, shape (n,)."""
        return NoisedPoints(self, scale, sigma)

    def sample(self, n: int, rng: Rng) -> np.ndarray:
        """``n`` draws, NumPy (n, d); ``rng`` a numpy Generator or a seed."""
        n, rng = integer("n", n, low=0), generator(rng)
        return self.points[rng.choice(len(self.points), size=n, p=self.weights)]

    # -- the closed set --------------------------------------------------------------------------------------

    def _nearest(self, x, count=1):
        """(index of the nearest atom (n,), its distance (n,), distance of the second nearest minus it (n,)
        or None)."""
        if tree.applies(self, x.shape[0]) and is_numpy(array_namespace(x)):
            return self._nearest_large(x, count)
        return self._nearest_dense(x, count)

    def _nearest_large(self, x, count):
        """`_nearest` by the tree, and without it where that gives rows back."""
        kernel, one = NoisedPoints(self, 1.0, 0.0), np.ones(1)
        index, distance, gap = np.zeros(len(x), dtype=np.int64), np.zeros(len(x)), np.zeros(len(x))
        for c in cloud.chunks(len(x), tree.ROWS):
            y = x[c]
            if kernel._fast(y, one, one) is None:
                rest = np.arange(len(y))
            else:
                served, first, second = tree.nearest(self, y, count)
                (r,), (rest,) = np.nonzero(served), np.nonzero(~served)
                index[c.start + r] = first[r]
                distance[c.start + r] = far = norm_rows(np, y[r] - self._p._host["P"][first[r]])
                if count > 1:
                    gap[c.start + r] = kernel._gap(y[r], one, first[r], second[r], far)
            if len(rest):
                found = self._nearest_dense(y[rest], count)
                for out, value in zip((index, distance, gap), found, strict=True):
                    if value is not None:
                        out[c.start + rest] = value
        return index, distance, gap if count > 1 else None

    def _nearest_dense(self, x, count):
        xp = array_namespace(x)
        zero = xp.zeros((1,), dtype=xp.float64, device=x.device)
        kernel = NoisedPoints(self, 1.0, 0.0)
        index, distance, gap = [], [], []
        rows = kernel._rows(x)
        for i in range(0, x.shape[0], rows):
            a, b, c = kernel._closest(x[i : min(i + rows, x.shape[0]), :], zero + 1.0, count)
            index.append(a)
            distance.append(b)
            gap.append(c)
        if not index:
            empty = xp.zeros((0,), dtype=xp.float64, device=x.device)
            return xp.astype(empty, xp.int64), empty, empty
        return xp.concat(index), xp.concat(distance), (xp.concat(gap) if count > 1 else None)

    def nearest(self, x: ArrayLike) -> tuple[Array, Array]:
        """Nearest atom of every row.

        Returns
        -------
        indices : integer array (n,)
            Rows of ``points``; among equidistant atoms the lowest index.
        distance : array (n,)
        """
        x = queries("x", x, self.dim)
        index, distance, _ = self._nearest(x)
        return array_namespace(x).take(from_numpy(self._index, x), index, axis=0), distance

    def project(self, x: ArrayLike) -> Array:
        """Nearest atom, (n, d), bit for bit a row of ``points``; among equidistant atoms that of lowest
        index."""
        x = queries("x", x, self.dim)
        return array_namespace(x).take(self._p("P", x), self._nearest(x)[0], axis=0)

    def distance(self, x: ArrayLike) -> Array:
        """Euclidean distance to the cloud, (n,)."""
        return self.nearest(x)[1]

    def gap(self, x: ArrayLike) -> Array:
        """Distance to the second nearest minus distance to the nearest of the distinct atoms, (n,); inf for
        one atom.

        The projection is unique where it is positive.
        """
        x = queries("x", x, self.dim)
        return self._nearest(x, count=2)[2]

    @property
    def diameter(self) -> float:
        """Largest distance between two atoms."""
        if self._diameter is None:
            self._diameter = self._farthest()
        return self._diameter

    def _farthest(self):
        P, center, q = (self._p(k, self.points) for k in ("P", "center", "q"))
        M, best = len(P), 0.0
        slack = 8 * EPS * (4 + math.sqrt(self.dim)) * self._radius**2
        side = max(1, min(512, BLOCK_DOUBLES // (2 * self.dim)))
        for a in cloud.chunks(M, side):
            A = P[a] - center
            for b in cloud.chunks(M, side):
                if b.stop <= a.start:
                    continue
                h = q[a, None] + q[None, b] - A @ (P[b] - center).T
                i, j = np.nonzero(h >= max(h.max(), best**2 / 2) - slack)
                for c in cloud.chunks(len(i), BLOCK_DOUBLES // self.dim):
                    D = P[a.start + i[c]] - P[b.start + j[c]]
                    best = max(best, float(np.sqrt(np.max(np.sum(D * D, axis=1)))))
        return best


def _shares(given, points):
    """Whether the memory of ``points`` may be the caller's."""
    return not isinstance(given, np.ndarray) or np.may_share_memory(given, points)


def _points(name, value, allow_empty=True):
    return points(name, value, allow_empty=allow_empty)


class NoisedPoints(NoisedLaw):
    """Law of ``scale * X + sigma * N(0, I)`` for X on a point cloud; see `PointCloud.noised`."""

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

    # -- kernels: x (b, d), s and t (b,) or (1,) -------------------------------------------------------------

    def _rows(self, x):
        size = max(self.law._active, self.dim)
        if is_numpy(array_namespace(x)):
            return cloud.rows(self.law)
        # Blocks that stay in cache, of at least 64 rows for the products where the workspace allows it. On a GPU a block
        # must be large to be worth a pass over the atoms.
        block = workspace(x)
        return max(1, min(block // size, max(64, block // (8 * size))))

    def _fast(self, x, s, t):
        """(y, precision) of the NumPy kernels, ``y = x / s``; None where they do not apply: other arrays, and levels at
        which products of squares leave the range."""
        if not is_numpy(array_namespace(x)) or np.any((s < 1e-100) & (s > 0)):
            return None
        if len(s) == len(t) == 1:
            scale, ratio = float(s[0]) or 1.0, float(s[0]) / (float(t[0]) or 1.0)
            y = x if scale == 1.0 else x / scale
            size = max(float(y.max()), -float(y.min())) + self.law._size
            if size > 1e140 or not size * size * self.dim < 1e290 / max(ratio, 1.0) / max(ratio, 1.0):
                return None
            return y, np.array([[ratio * ratio]])
        s2, t2 = np.where(s > 0, s, 1.0)[:, None], np.where(t > 0, t, 1.0)[:, None]
        y = x if len(s) == 1 and s[0] == 1.0 else x / s2
        size, ratio = max(float(y.max()), -float(y.min())) + self.law._size, float((s2 / t2).max())
        if size > 1e140 or not size * size * self.dim < 1e290 / max(ratio, 1.0) / max(ratio, 1.0):
            return None
        return y, (s[:, None] / t2) ** 2

    def _apply(self, kernel, finish, x, shape, block, posterior=False, what="mean"):
        """`_run`, by the tree of `tree` where it pays: ``finish(x, s, t, found)`` makes the result of rows from what
        that found, and ``kernel`` serves those it gave back."""
        if not tree.applies(self.law, x.shape[0]) or not is_numpy(array_namespace(x)):
            return self._run(kernel, x, shape, block, posterior)

        def blocks(x, s, t, rows):
            for r in (rows[c] for c in cloud.chunks(len(rows), block)):
                yield r, kernel(x[r], *(v[r] if len(v) > 1 else v for v in (s, t)))

        def near(x, s, t):
            n = len(x)
            out, fast = np.empty((n, *shape)), self._fast(x, s, t)
            if fast is None or np.any(s == 0):
                served = np.zeros(n, dtype=bool)
            else:
                precision, zero = (np.broadcast_to(v, (n,)) for v in (fast[1][:, 0], t == 0))
                served, found = tree.search(self.law, fast[0], precision, zero, what)
                if served.all():
                    return finish(x, s, t, found)
                if served.any():
                    (r,) = np.nonzero(served)
                    s1, t1 = (v[r] if len(v) > 1 else v for v in (s, t))
                    out[r] = finish(x[r], s1, t1, found.rows(r))
            for r, value in blocks(x, s, t, np.nonzero(~served)[0]):
                out[r] = value
            return out

        return self._run(near, x, shape, tree.ROWS, posterior)

    def _param(self, name, x):
        return self.law._p(name, x)

    def _expanded(self, x, s):
        """(-h_j up to a constant per row (b, M), bound of its error (b,)), by centred expansion."""
        xp = array_namespace(x)
        s2 = column(xp, s)
        xc = x - s2 * self._param("center", x)
        B, R = self._param("P", x), self.law._reach
        if self.law._radius == R:
            # On the device the centred copy is kept, in NumPy only that of a small cloud.
            center = self._param("center", x)
            B = B - center if is_numpy(xp) else self.law._p.cached("C", x, lambda: B - center)
        a = s2 * xp.matmul(xc, xp.matrix_transpose(B)) - (s2 * s2) * self._param("q", x)
        # Rounding of centring, products and their sum (sqrt(d) for d roundings of random sign, doubled).
        size = norm_rows(xp, xc) + s * R + 0.5 * norm_rows(xp, s2 * self._param("center", x))
        return a, 2 * EPS * (4 + math.sqrt(self.dim)) * size * s * R

    def _sliced(self, x, s):
        """(H, T, bound of the error of H + T): -h_j / s up to a constant per row as a sum of two matrices, H
        without rounding.

        The products of heads and their sum are numbers of at most 53 bits, so that H is exact; T is smaller
        by 2^bits, and so is its rounding. H - H_* and T - T_* then have the rounding of the differences of
        logits only.
        """
        xp = array_namespace(x)
        law, s2 = self.law, column(xp, s)
        p, e = _two_product(s2 + 0.0 * x, self._param("center", x) + 0.0 * x)
        y, low = _two_sum(x, -p)
        low = low - e
        # One unit for both products: u_x top 2^-bits = u_s top_q 2^-bits.
        size = xp.max(xp.abs(y), axis=-1, keepdims=True)
        share = s2 * (law._top_q / law._top)
        top = _power(xp, xp.where(size > share, size, share))
        unit = top * 2.0**-law._bits
        y1 = _head(y, unit)
        y2 = (y - y1) + low
        s1 = _head(s2 + 0.0 * size, unit * (law._top / law._top_q))
        st = s2 - s1
        first, second = xp.concat([y1, -s1], axis=1), xp.concat([y1, y2, -s1, -st], axis=1)
        parts = [(xp.matmul(first, heads), xp.matmul(second, tails)) for heads, tails in law._slices(x)]
        H, T = parts[0] if len(parts) == 1 else (xp.concat(list(p), axis=1) for p in zip(*parts, strict=True))
        bound = 4 * EPS * (4 + math.sqrt(self.dim)) * 2.0**-law._bits * self.dim**0.5 * xp.reshape(top, (-1,)) * law._radius
        return H, T, bound

    def _direct(self, x, s):
        """-h_j (b, M) by explicit differences, one coordinate at a time."""
        xp = array_namespace(x)
        P, s2 = self._param("P", x), column(xp, s)
        h = None
        for k in range(self.dim):
            diff = x[:, k : k + 1] - s2 * P[:, k]
            h = diff * diff if h is None else h + diff * diff
        return -0.5 * h

    def _relative(self, x, s, reference):
        """h_ref - h_j (b, M) without cancellation, one coordinate at a time."""
        xp = array_namespace(x)
        P, s2 = self._param("P", x), column(xp, s)
        rel = None
        for k in range(self.dim):
            pr = xp.expand_dims(xp.take(P[:, k], reference, axis=0), axis=-1)
            xk = x[:, k : k + 1]
            term = (s2 * (P[:, k] - pr)) * (0.5 * ((xk - s2 * P[:, k]) + (xk - s2 * pr)))
            rel = term if rel is None else rel + term
        return rel

    def _pairs(self, x, mask, function):
        """``function(rows, columns)`` over the true entries of mask in bounded chunks, joined."""
        xp = array_namespace(x)
        i, j = xp.nonzero(mask)
        chunk = max(1, BLOCK_DOUBLES // (2 * self.dim))
        total = i.shape[0]
        cuts = [slice(a, min(a + chunk, total)) for a in range(0, total, chunk)]
        parts = [function(i[c], j[c]) for c in cuts]
        return parts[0] if len(parts) == 1 else xp.concat(parts)

    def _difference(self, x, s, i, j, reference):
        """h_ref - h_j for pairs (row i, atom j), without cancellation."""
        xp = array_namespace(x)
        P = self._param("P", x)
        xi, pj = xp.take(x, i, axis=0), xp.take(P, j, axis=0)
        pr = xp.take(P, xp.take(reference, i, axis=0), axis=0)
        si = column(xp, xp.take(s, i, axis=0) if s.shape[0] > 1 else s)
        return xp.sum(si * (pj - pr) * (0.5 * ((xi - si * pj) + (xi - si * pr))), axis=-1)

    def _closest(self, x, s, count=1):
        """Nearest atom, its distance and, for count 2, the gap to the second nearest."""
        xp = array_namespace(x)
        P = self._param("P", x)
        fast = self._fast(x, s, s)
        if fast is not None and (self.dim > 3 or count == 1):
            index, second = cloud.nearest(self.law, fast[0], count)
            distance = norm_rows(xp, x - column(xp, s) * P[index])
            return index, distance, None if count == 1 else self._gap(x, s, index, second, distance)
        if self.dim <= 3:
            # Relative to the best by squares, whose rounding hides how atoms differ seen from far away.
            exact = self._relative(x, s, xp.argmax(self._direct(x, s), axis=-1))
        else:
            a, delta = self._expanded(x, s)
            best = xp.argmax(a, axis=-1)
            top = xp.max(a, axis=-1, keepdims=True)
            if count > 1 and self.law._active > 1:
                first = xp.expand_dims(xp.argmax(a, axis=-1), axis=-1)
                index = xp.arange(self.law._active, device=x.device)
                rest = xp.where(index == first, xp.full_like(a, -xp.inf), a)
                top = xp.max(rest, axis=-1, keepdims=True)
            mask = a >= top - 2 * column(xp, delta)

            relative = self._pairs(x, mask, lambda i, j: self._difference(x, s, i, j, best))
            exact = _scatter(xp, mask, relative, -xp.inf)
        index = xp.argmax(exact, axis=-1)
        diff = x - column(xp, s) * xp.take(P, index, axis=0)
        distance = norm_rows(xp, diff)
        if count == 1:
            return index, distance, None
        if self.law._active == 1:
            return index, distance, xp.full_like(distance, xp.inf)
        order = xp.arange(self.law._active, device=x.device)
        rest = xp.where(order == xp.expand_dims(index, axis=-1), xp.full_like(exact, -xp.inf), exact)
        return index, distance, self._gap(x, s, index, xp.argmax(rest, axis=-1), distance)

    def _gap(self, x, s, index, second, distance):
        """Distance to the second nearest atom minus that to the nearest; inf for a cloud of one."""
        xp = array_namespace(x)
        if self.law._active == 1:
            return xp.full_like(distance, xp.inf)
        P = self._param("P", x)
        far = norm_rows(xp, x - column(xp, s) * xp.take(P, second, axis=0))
        rows = xp.arange(x.shape[0], device=x.device)
        # d2 - d1 = (d2^2 - d1^2) / (d2 + d1), the numerator without cancellation.
        gap = -2 * self._difference(x, s, rows, second, index) / (far + distance)
        return xp.where(gap > 0, gap, xp.zeros_like(gap))

    def _gemm_logits(self, x, s, precision, logw, window):
        """(logits (b, M) relative to a reference atom, that atom (b,)): the cheapest of three forms that is
        accurate enough."""
        xp = array_namespace(x)
        s2 = column(xp, s)
        a, delta = self._expanded(x, s)
        logits = a * precision + logw
        reference = xp.argmax(logits, axis=-1)
        delta = column(xp, delta) * precision
        if float(xp.max(delta)) <= LOGIT_TOLERANCE:
            return logits - _pick(xp, logits, reference), reference
        if window is None and self._good(x, s, logits, reference, delta, precision):
            return logits - _pick(xp, logits, reference), reference
        log_ratio = logw - xp.expand_dims(xp.take(logw, reference), axis=-1)
        # Atoms beyond T = 40 + log M move the mean by less than M e^-T = e^-40 diameters.
        window = 40.0 + math.log(self.law._active) if window is None else window
        mask = logits >= xp.max(logits, axis=-1, keepdims=True) - window - 2 * delta
        # A pair costs some 30 times its share of the sliced product.
        if 32 * int(xp.count_nonzero(mask)) > x.shape[0] * self.law._active:
            H, T, bound = self._sliced(x, s)
            bound = column(xp, bound) * s2 * precision
            rel = (H - _pick(xp, H, reference)) + (T - _pick(xp, T, reference))
            logits = rel * (s2 * precision) + log_ratio
            if float(xp.max(bound)) <= SLICED_TOLERANCE:
                return logits, reference
            mask = logits >= xp.max(logits, axis=-1, keepdims=True) - window - 2 * bound
        rel = _scatter(xp, mask, self._pairs(x, mask, lambda i, j: self._difference(x, s, i, j, reference)), -xp.inf)
        return rel * precision + log_ratio, reference

    def _good(self, x, s, logits, reference, delta, precision):
        """Whether the expansion serves in every row of the block: conditions (i) and (ii) of `cloud`."""
        xp = array_namespace(x)
        P, center, s2 = self._param("P", x), self._param("center", x), column(xp, s)
        if float(xp.max(delta)) > 0.25:
            return False
        logits = logits - _pick(xp, logits, reference)
        E = xp.exp(xp.where(logits < LOGIT_FLOOR, xp.full_like(logits, LOGIT_FLOOR), logits))
        index = xp.arange(self.law._active, device=x.device)
        E = xp.where((index == xp.expand_dims(reference, axis=-1)) | (logits < LOGIT_FLOOR), xp.zeros_like(E), E)
        others = xp.sum(E, axis=-1, keepdims=True)
        good = delta * xp.where(2 * others < 1, 2 * others, xp.ones_like(others)) <= LOGIT_TOLERANCE
        if bool(xp.all(good)):
            return True
        pr = xp.take(P, reference, axis=0)
        cr = pr - center
        sums = xp.matmul(E, P) - others * center
        second = 2 * xp.matmul(E, column(xp, self._param("q", x))) - 2 * xp.sum(cr * sums, axis=-1, keepdims=True)
        second = second + others * (xp.sum(cr * cr, axis=-1, keepdims=True) - 64 * EPS * self.law._reach**2)
        second = xp.where(second > 0, second, xp.zeros_like(second))
        spread = xp.sqrt(second / xp.where(others > 0, others, xp.ones_like(others)))
        far = column(xp, norm_rows(xp, x - s2 * pr))
        direct = 2 * EPS * (4 + math.sqrt(self.dim)) * far * s2 * spread * precision
        return bool(xp.all(good | (delta <= cloud.FACTOR * direct)))

    def _moments(self, x, s, t, centred, full=False, mean=True):
        """(E, reference, others, S) of `cloud.moments` for the NumPy kernels, or None where they do not apply."""
        fast = self._fast(x, s, t)
        if fast is None:
            return None
        y, precision = fast
        one = np.ones(1)

        def exact(rows):
            p = precision[rows] if len(precision) > 1 else precision
            return self._gemm_logits(y[rows], one, p, self._param("logw", x), -LOGIT_FLOOR if full else None)[0]

        zero = np.broadcast_to(t == 0, (len(x),))
        if zero.any():  # before the moments: both use the same scratch, which holds E
            nearest = self._closest(x[zero], s[zero] if len(s) > 1 else s)[0]
        E, reference, others, S = cloud.moments(self.law, y, precision, centred, full, mean, exact)
        if zero.any():
            reference[zero] = nearest
            for a in (E, others, S):
                if a is not None:
                    a[zero] = 0.0
        return E, reference, others, S

    def _weights(self, x, s, t, window=None):
        """(E (b, M) unnormalised weights, their sum (b, 1), reference (b,), log sum relative to it (b,)).

        E = exp(logit - max logit), 0 below the floor; rows with sigma = 0 are projections.
        ``window`` is how far below the best logit an atom is still worth an exact logit.
        """
        xp = array_namespace(x)
        logw = self._param("logw", x)
        zero = t == 0
        precision = column(xp, 1.0 / xp.where(zero, xp.ones_like(t), t) ** 2)
        if self.dim <= 3:
            logits = self._direct(x, s) * precision + logw
            reference = xp.argmax(logits, axis=-1)
            rel = self._relative(x, s, reference)
            logits = rel * precision + (logw - xp.expand_dims(xp.take(logw, reference, axis=0), axis=-1))
        else:
            logits, reference = self._gemm_logits(x, s, precision, logw, window)
        top = xp.max(logits, axis=-1, keepdims=True)
        logits = logits - top
        E = xp.exp(xp.clip(logits, LOGIT_FLOOR, None))
        E = xp.where(logits < LOGIT_FLOOR, xp.zeros_like(E), E)
        if bool(xp.any(zero)):
            index = xp.arange(self.law._active, device=x.device)
            nearest = xp.expand_dims(self._closest(x, s)[0], axis=-1)
            E = xp.where(column(xp, zero), xp.astype(index == nearest, xp.float64), E)
            reference = xp.where(zero, xp.reshape(nearest, (-1,)), reference)
        total = xp.sum(E, axis=-1, keepdims=True)
        return E, total, reference, xp.reshape(top + xp.log(total), (-1,))

    def log_density(self, x: ArrayLike) -> Array:
        """Log density, (n,).

        Raises
        ------
        ValueError
            Naming sigma, at sigma = 0: the cloud has no density.
        """
        x = self._check(x)
        self._need_noise("log_density", x)
        fast = generic.cloud(self, "log_density", x)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            fast = self._moments(x, s, t, True, mean=False)
            if fast is None:
                _, _, reference, lse = self._weights(x, s, t)
            else:
                reference, lse = fast[1], np.log1p(fast[2])
            return density(x, s, t, reference, lse)

        def density(x, s, t, reference, lse):
            xp = array_namespace(x)
            diff = (x - column(xp, s) * xp.take(self._param("P", x), reference, axis=0)) / column(xp, t)
            base = xp.take(self._param("logw", x), reference, axis=0) - 0.5 * xp.sum(diff * diff, axis=-1)
            return base + lse - self.dim * (0.5 * LOG_2PI + xp.log(t))

        def finish(x, s, t, found):
            return density(x, s, t, found.reference, np.log1p(found.others))

        return self._apply(kernel, finish, x, (), self._rows(x), what="density")

    def _shift(self, x, s, t):
        """(E, total, reference, E[X | x] - p_ref (b, d)) with the winner's own weight left out of the
        products."""
        xp = array_namespace(x)
        E, total, reference, _ = self._weights(x, s, t)
        C = self._param("P", x) - self._param("center", x)
        index = xp.arange(self.law._active, device=x.device)
        others = xp.where(index == xp.expand_dims(reference, axis=-1), xp.zeros_like(E), E)
        cr = xp.take(C, reference, axis=0)
        shift = (xp.matmul(others, C) - xp.sum(others, axis=-1, keepdims=True) * cr) / total
        return E, total, reference, shift

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d): ``sum_j w_j (s p_j - x) / sigma^2`` summed before dividing.

        Raises
        ------
        ValueError
            Naming sigma, at sigma = 0.
        """
        x = self._check(x)
        self._need_noise("score", x)
        fast = generic.cloud(self, "score", x)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            xp = array_namespace(x)
            fast = self._fast(x, s, t) if self.dim <= 3 and is_numpy(xp) and np.all(s > 0) else None
            if fast is not None:
                return cloud.low_mean(self.law, *fast, offset=True) * column(xp, s) / column(xp, t) / column(xp, t)
            fast = self._moments(x, s, t, True)
            if fast is None:
                _, _, reference, shift = self._shift(x, s, t)
            else:
                _, reference, others, S = fast
                shift = (S - others[:, None] * self.law._frame(reference)) / (1.0 + others)[:, None]
            return from_reference(x, s, t, reference, shift)

        def from_reference(x, s, t, reference, shift):
            xp = array_namespace(x)
            s2, t2 = column(xp, s), column(xp, t)
            return ((s2 * xp.take(self._param("P", x), reference, axis=0) - x) + s2 * shift) / t2 / t2

        def finish(x, s, t, found):
            return from_reference(x, s, t, found.reference, found.shift)

        return self._apply(kernel, finish, x, (self.dim,), self._rows(x))

    def denoise(self, x: ArrayLike) -> Array:
        """Conditional mean E[X | x], (n, d). At sigma = 0 (and below 1e-150 scale * size of
        the cloud) the projection of x / scale; at scale = 0 the mean.

        Weights multiply the uncentred points, so that one weight of 1 returns the atom bit for bit.
        """
        x, size = self._check(x, size=True)
        fast = generic.cloud(self, "denoise", x, size)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            xp = array_namespace(x)
            fast = self._fast(x, s, t) if self.dim <= 3 else None
            if fast is not None:
                out = cloud.low_mean(self.law, *fast)
                if not np.all(t > 0):
                    zero = np.broadcast_to(t == 0, (len(x),))
                    out[zero] = self._param("P", x)[self._closest(x[zero], s[zero] if len(s) > 1 else s)[0]]
                return out
            fast = self._moments(x, s, t, False)
            if fast is not None:
                _, reference, others, S = fast
                S += self.law._p._host["P"][reference]
                S /= (1.0 + others)[:, None]
                return S
            E, total, _, _ = self._weights(x, s, t)
            return xp.matmul(E, self._param("P", x)) / total

        def finish(x, s, t, found):
            return self.law._p._host["P"][found.reference] + found.shift

        return self._apply(kernel, finish, x, (self.dim,), self._rows(x), posterior=True)

    def _covariance_block(self, x, s, t):
        # The whole range of weights: where one atom has all the mass but 1e-30, that 1e-30 is the covariance.
        fast = self._moments(x, s, t, True, full=True, mean=False)
        if fast is not None:
            return cloud.covariances(self.law, *fast[:3])
        xp = array_namespace(x)
        E, total, reference, _ = self._weights(x, s, t, window=-LOGIT_FLOOR)
        P, W, M, d = self._param("P", x), E / total, self.law._active, self.dim
        pr = xp.expand_dims(xp.take(P, reference, axis=0), axis=1)
        out = []
        # Offsets from the reference atom: nothing cancels for close atoms far from the origin. Batched products over blocks
        # of rows, and of atoms where one row fills a block.
        rows, columns = max(1, BLOCK_DOUBLES // (2 * M * d)), max(1, min(M, BLOCK_DOUBLES // (2 * d)))
        for r in cloud.chunks(x.shape[0], rows):
            parts = [(xp.expand_dims(W[r, c], axis=-1), c) for c in cloud.chunks(M, columns)]
            mean = sum(xp.sum(w * (xp.expand_dims(P[c, :], axis=0) - pr[r, ...]), axis=1, keepdims=True) for w, c in parts)
            cov = 0.0
            for w, c in parts:
                D = (xp.expand_dims(P[c, :], axis=0) - pr[r, ...]) - mean
                cov = cov + xp.matmul(xp.matrix_transpose(D * w), D)
            out.append(cov)
        return out[0] if len(out) == 1 else xp.concat(out, axis=0)

    def posterior_covariance(self, x: ArrayLike) -> Array:
        """Conditional covariance Cov[X | x], (n, d, d); 0 at sigma = 0."""
        x = self._check(x)
        rows = self._rows(x) // self.dim

        def finish(x, s, t, found):
            return found.covariance

        return self._apply(self._covariance_block, finish, x, (self.dim, self.dim), rows, posterior=True, what="covariance")

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d): ``(s^2 Cov[X | x] / sigma^2 - I) / sigma^2``.

        Raises
        ------
        ValueError
            Naming sigma, at sigma = 0.
        """
        x = self._check(x)
        self._need_noise("hessian", x)

        def from_covariance(x, s, t, covariance):
            xp = array_namespace(x)
            s3, t3 = (xp.reshape(a, (-1, 1, 1)) for a in (s, t))
            eye = xp.eye(self.dim, dtype=xp.float64, device=x.device)
            ratio = s3 / t3
            return (ratio * ratio * covariance - eye) / t3 / t3

        def kernel(x, s, t):
            return from_covariance(x, s, t, self._covariance_block(x, s, t))

        def finish(x, s, t, found):
            return from_covariance(x, s, t, found.covariance)

        shape = (self.dim, self.dim)
        return self._apply(kernel, finish, x, shape, self._rows(x) // self.dim, what="covariance")

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
