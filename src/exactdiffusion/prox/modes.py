r"""Modes of sums of equal Gaussians: the search to which the prox of an equal-variance mixture is reduced.

Query k has weights exp(L_kj), its own kappa_k and centres c_j; its prox is the global maximum of

.. math:: G(z) = \log \sum_j e^{L_{kj}} e^{-|z-c_j|^2 / 2\kappa_k},

with :math:`\kappa\,\nabla G = m(z) - z` and :math:`\kappa\,\nabla^2 G = \mathrm{Cov}_r(c) / \kappa - I`, where m and
:math:`\mathrm{Cov}_r` are mean and covariance of the centres under the responsibilities r_j(z).
"""

from collections.abc import Iterator

import numpy as np

from .climb import EPS, climb, count, solve

_CHUNK = 1 << 15  # doubles per temporary of the kernels: 256 KiB, within a second-level cache
_MOST = 1 << 21  # numbers in one array (queries, components, coordinates)
_FEATURES = 16  # hull dimensions in which all second moments come from one product
_DENSE = 300_000  # components times squared dimensions up to which covariances are formed
LOW = 3  # hull dimensions in which differences are formed one coordinate at a time


def half_square_distances(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """1/2 |x_i - c_j|^2, (n, m): by direct differences up to d = 3, expanded beyond (callers centre both)."""
    n, d = x.shape
    if d <= LOW:
        out = np.zeros((n, c.shape[0]))
        for i in range(d):
            t = x[:, i, None] - c[None, :, i]
            t *= t
            out += t
        out *= 0.5
        return out
    out = x @ c.T
    np.subtract(0.5 * (c * c).sum(1), out, out=out)
    out += 0.5 * (x * x).sum(1)[:, None]
    return np.maximum(out, 0, out=out)


def _softmax(e, clip=True):
    """Exponentials of e (p, A) relative to the largest of each row, in place: (e, sums (p,), largest (p,))."""
    top = e.max(1)
    e -= top[:, None]
    if clip:
        np.maximum(e, -600, out=e)  # subnormal results are several times slower
    np.exp(e, out=e)
    return e, e.sum(1), top


class Modes:
    """Some queries with the components that they need.

    Parameters
    ----------
    c : (A, r) array shared by all queries, or (B, A, r), gathered per query
        Centres in coordinates of their affine hull, about a point near them.
    log_w : (B, A) array
        The L_j of each query, with row maximum 0; -inf leaves a component out.
    ik : (B,) array
        1 / kappa.
    norms : (A,) array, optional
        Half the squared norms of the centres.
    """

    def __init__(self, c: np.ndarray, log_w: np.ndarray, ik: np.ndarray, norms: np.ndarray | None = None) -> None:
        self.c, self.log_w, self.ik = c, log_w, ik
        self.shared = c.ndim == 2
        self.rows, self.size = log_w.shape
        self.r = c.shape[-1]
        self.half = 0.5 * np.einsum("...r,...r->...", c, c) if norms is None else norms
        self.scale = np.broadcast_to(np.sqrt(2 * self.half.max(-1)), (self.rows,)) + 1e-300

        # Expanded squares lose eps R^2/kappa in the logits. Below 1e-9 only the last digits suffer, and they come from
        # direct differences at the end; above, all steps use direct differences.
        self.dense = self.size * self.r * self.r <= _DENSE  # Newton, otherwise the mean shift
        exact = float(np.max(EPS * self.scale**2 * ik, initial=0)) < 1e-9
        self.features = None
        if self.shared and exact and self.r <= _FEATURES and self.size > 8:
            self.pairs = i, j = np.triu_indices(self.r)
            self.features = np.concatenate([np.ones((self.size, 1)), c, c[:, i] * c[:, j]], axis=1)
        self.expanded = self.features is not None or (self.shared and exact and not self.dense)
        if self.expanded:
            self.base = log_w - ik[:, None] * self.half
            # logits of points of the hull differ by at most ik (2 R)^2/2 and the spread of the weights
            self.clip = bool(np.max(2 * ik * self.scale**2 - log_w.min(1), initial=0) > 500)

    def square_radius(self) -> np.ndarray:
        """Square radius of a ball that holds the centres, (rows,)."""
        if self.shared:  # about the origin of the coordinates, which is the middle of their box
            return np.full(self.rows, 2 * self.half.max())
        middle = 0.5 * (self.c.max(1) + self.c.min(1))
        return np.square(self.c - middle[:, None, :]).sum(2).max(1)

    # ---- value, gradient, covariance

    def evaluate(
        self, z: np.ndarray, row: np.ndarray, direct: bool = False, second: bool = True, weights: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
        """G (P,), m - z (P, r), Cov_r (P, r, r) or None, responsibilities (P, A) or None, at z (P, r) of queries ``row``.

        ``direct`` asks for differences in place of expanded squares, ``second`` and ``weights`` for the last two.
        """
        p, r = z.shape
        g, dm = np.empty(p), np.empty((p, r))
        cov = np.empty((p, r, r)) if second else None
        out = np.empty((p, self.size)) if weights else None
        expanded = self.expanded and not direct
        for s in self._chunks(p, 1 if expanded or r <= LOW else r):
            if expanded:
                part = self._by_products(z[s], row[s], second)
            elif r <= LOW:
                part = self._by_coordinates(z[s], row[s], second)
            else:
                part = self._by_differences(z[s], row[s], second)
            g[s], dm[s] = part[:2]
            if cov is not None:
                cov[s] = part[2]
            if out is not None:
                out[s] = part[3]
        return g, dm, cov, out

    def _chunks(self, p, width) -> Iterator[slice]:
        step = max(1, _CHUNK // (self.size * width))
        return (slice(a, a + step) for a in range(0, p, step))

    def _by_products(self, z, k, second):
        """Expanded squares: the logits are one matrix product, and so are all moments."""
        r, ik = self.r, self.ik[k]
        e = (z * ik[:, None]) @ self.c.T
        e += self.base[k]
        e, total, top = _softmax(e, self.clip)
        g = np.log(total) + top - 0.5 * ik * (z * z).sum(1)
        if not second:
            e /= total[:, None]
            return g, e @ self.c - z, None, e
        f = e @ self.features
        f /= total[:, None]
        mean, (i, j) = f[:, 1 : 1 + r], self.pairs
        cov = np.empty((len(z), r, r))
        cov[:, i, j] = cov[:, j, i] = f[:, 1 + r :] - mean[:, i] * mean[:, j]
        return g, mean - z, cov, None

    def _by_coordinates(self, z, k, second):
        """Differences, one coordinate at a time: no (queries, components, coordinates) array."""
        r = self.r
        differences = [(self.c[None, :, i] if self.shared else self.c[k, :, i]) - z[:, i, None] for i in range(r)]
        e = differences[0] * differences[0]
        for t in differences[1:]:
            e += t * t
        e *= -0.5 * self.ik[k][:, None]
        e += self.log_w[k]
        e, total, top = _softmax(e)
        e /= total[:, None]

        dm = np.stack([np.einsum("pa,pa->p", e, t) for t in differences], axis=1)
        cov = np.empty((len(z), r, r)) if second else None
        for i, t in enumerate(differences if second else ()):
            weighted = e * t
            for j in range(i + 1):
                cov[:, i, j] = cov[:, j, i] = np.einsum("pa,pa->p", weighted, differences[j]) - dm[:, i] * dm[:, j]
        return np.log(total) + top, dm, cov, e

    def _by_differences(self, z, k, second):
        """Differences in an array (queries, components, coordinates); blocks of components where one query fills it."""
        if self.shared and not second and self.size * self.r > _MOST:
            block = max(1, _MOST // (2 * self.r))
            blocks = [slice(b, b + block) for b in range(0, self.size, block)]
            e = np.concatenate([np.square(self.c[b] - z[:, None, :]).sum(2) for b in blocks], axis=1)
            difference = None
        else:
            difference = (self.c[None] if self.shared else self.c[k]) - z[:, None, :]
            e = np.einsum("par,par->pa", difference, difference)
        e *= -0.5 * self.ik[k][:, None]
        e += self.log_w[k]
        e, total, top = _softmax(e)
        e /= total[:, None]

        dm = e @ self.c - z if difference is None else (e[:, None, :] @ difference)[:, 0]
        cov = None
        if second:
            cov = (difference * e[:, :, None]).swapaxes(1, 2) @ difference
            cov -= dm[:, :, None] * dm[:, None, :]
        return np.log(total) + top, dm, cov, e

    # ---- search

    def newton(
        self, z: np.ndarray, row: np.ndarray, calls: dict[str, int], direct: bool = False, drop: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Climb from the starts z (P, r) of queries ``row`` (P,): (z, G, |m - z|), see `climb`.

        The safe step is the mean shift times 1.8: the EM minorant has the curvature 1/kappa, so w times the mean shift
        gains at least w (2 - w) |m - z|^2 / (2 kappa).
        """

        def parts(points, index):
            k = row[index]
            count(calls, density=len(k), score=len(k), hessian=len(k))
            g, dm, cov, _ = self.evaluate(points, k, direct)
            cov *= -self.ik[k][:, None, None]
            cov += np.eye(self.r)
            return g, 1.8 * dm, solve(cov, dm), dm, self.ik[k]

        return climb(parts, z, row, self.scale, self.ik, drop=drop)
