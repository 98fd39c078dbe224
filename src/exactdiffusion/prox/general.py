r"""Prox of a mixture with unequal, diagonal or full covariances.

exp(-F / lam) is a mixture again, of Gaussians with the precisions I/lam + S_j^{-1}: the search for its mode is the one of
equal variances, with one precision per component.
"""

import math
from typing import Any

import numpy as np

from .._core.arrays import from_numpy, to_numpy
from .._core.fixed import Fixed
from .._core.typing import ArrayLike
from .._core.validation import boolean, fail, in_range, integer, points, real_array
from .._core.validation import weights as _weights
from .climb import climb, count, first_best, solve
from .result import DROP, TINY, Report, positive_rows


class GeneralMixture(Fixed):
    """Prox of -lam log q for q the law of ``scale * X + sigma * N(0, I)``, X ~ sum_k w_k N(m_k, U_k diag(e_k) U_k^T).

    Parameters
    ----------
    weights : (K,) array; means : (K, d) array
    eigenvalues : (K, d) array
        Variances e_k along the columns of U_k.
    vectors : (K, d, d) array or None
        U_k; None for diagonal and isotropic covariances.

    Notes
    -----
    With responsibilities r_k, precisions P_k, g_k = P_k (u - m_k) and B = I + lam sum r_k P_k, the safe step
    -B^{-1} grad F is the EM (majoriser) step and hess F = B - lam Cov_r(g). For diagonal covariances and fewer components
    than dimensions hess F is inverted through a K x K system.

    Examples
    --------
    One Gaussian with the variances 1 and 3: the prox divides by 1 + lam / variance.

    >>> import numpy as np
    >>> from exactdiffusion.prox import GeneralMixture
    >>> prox = GeneralMixture([1.0], [[0.0, 0.0]], [[1.0, 3.0]])
    >>> np.round(prox([[2.0, 4.0]], lam=1.0), 6)
    array([[1., 3.]])
    """

    def __init__(
        self, weights: ArrayLike | None, means: ArrayLike, eigenvalues: ArrayLike, vectors: ArrayLike | None = None
    ) -> None:
        means = to_numpy(points("means", means, allow_empty=False))
        weights = to_numpy(_weights("weights", weights, means.shape[0]))
        variances = to_numpy(real_array("eigenvalues", eigenvalues))
        if variances.ndim != 2 or variances.shape[0] != means.shape[0] or variances.shape[1] not in (1, means.shape[1]):
            fail(f"eigenvalues (shape {variances.shape})", eigenvalues, f"shape {means.shape}")
        if np.any(variances < 0):
            fail("eigenvalues", eigenvalues, "variances >= 0")
        if vectors is not None:
            axes = to_numpy(real_array("vectors", vectors))
            if axes.shape != (*means.shape, means.shape[1]):
                fail(f"vectors (shape {axes.shape})", vectors, f"shape {(*means.shape, means.shape[1])}")
            vectors = axes
        used = weights > 0
        self.log_w, self.means, self.eigenvalues = np.log(weights[used]), means[used], variances[used]
        self.vectors = None if vectors is None else vectors[used]
        self.size, self.dim = self.means.shape
        self._fix()

    @in_range
    def __call__(
        self,
        x: ArrayLike,
        lam: ArrayLike,
        scale: ArrayLike = 1.0,
        sigma: ArrayLike = 0.0,
        *,
        starts: int | None = 12,
        certificate: bool = False,
        local: bool = False,
        calls: dict[str, int] | None = None,
    ) -> Any:
        """Proximal points; arguments and result as in `EqualVariance.__call__`, scale and sigma scalars or (n,)."""
        x = points("x", x, dim=self.dim)
        like, x = x, to_numpy(x)
        n = len(x)
        lam = positive_rows("lam", lam, n)

        # the level of every row
        levels = []
        for name, value in (("scale", scale), ("sigma", sigma)):
            level = to_numpy(real_array(name, value, "a number >= 0, or one per row"))
            if level.ndim > 1 or (level.ndim == 1 and len(level) != n) or np.any(level < 0):
                fail(f"{name} (shape {level.shape})", value, f"a number >= 0 or shape ({n},)")
            levels.append(np.broadcast_to(level, (n,)))
        scale, sigma = levels
        starts = None if starts is None else integer("starts", starts, low=1)
        certificate, local = boolean("certificate", certificate), boolean("local", local)

        # one level after the other, in blocks of rows
        tally: dict[str, int] = {}
        report = Report(n)
        u = np.empty_like(x)
        levels, which = np.unique(np.stack([scale, sigma], 1), axis=0, return_inverse=True)
        for q, (a, t) in enumerate(levels):
            variances = a * a * self.eigenvalues + t * t
            if np.any(variances <= TINY):
                fail("sigma", sigma, "sigma > 0 where a covariance is singular (q has no density)")
            at = _Level(self, a * self.means, variances)
            rows = np.nonzero(which.ravel() == q)[0]
            step = max(1, (1 << 20) // (self.size * self.dim))
            for b in range(0, len(rows), step):
                k = rows[b : b + step]
                at.search(x[k], lam[k], k, u, starts, local, report, tally)

        if calls is not None:
            count(calls, **tally)
        if not certificate:
            return from_numpy(u, like)
        report.widen(np.arange(n), lam)
        return report.result(u, tally, like)


class _Level:
    """One noise level of a `GeneralMixture`: precisions in the eigenbasis of each component."""

    def __init__(self, law, means, variances):
        self.means, self.v, self.vectors = means, variances, law.vectors
        self.size, self.dim = means.shape
        self.log_c = law.log_w - 0.5 * np.log(2 * np.pi * variances).sum(1)
        self.precision = 1 / variances
        self.matrices = None
        if self.vectors is not None:
            p = (self.vectors * self.precision[:, None, :]) @ self.vectors.swapaxes(1, 2)
            self.matrices = p.reshape(self.size, -1)

    def components(self, x, lam):
        """Own minimiser of every component (n, K, d) and log of its height there (n, K)."""
        diff = (x[:, None, :] - self.means).swapaxes(0, 1)
        y = diff if self.vectors is None else diff @ self.vectors
        v = self.v[:, None, :]
        lam = lam[None, :, None]
        height = self.log_c[:, None] - 0.5 * (y * y / (v + lam)).sum(2)
        t = v / (v + lam) * y
        t = t if self.vectors is None else t @ self.vectors.swapaxes(1, 2)
        return (self.means[:, None, :] + t).swapaxes(0, 1), height.T

    def evaluate(self, u, x, lam, matrix=True):
        """-F/lam, safe step, Newton step, -grad F, residual scale and (with ``matrix="hessian"``) hess F."""
        p, d = u.shape
        diff = (u[:, None, :] - self.means).swapaxes(0, 1)  # (K, p, d)
        t = diff if self.vectors is None else diff @ self.vectors
        g = t * self.precision[:, None, :]
        e = self.log_c[:, None] - 0.5 * (t * g).sum(2)
        g = g if self.vectors is None else g @ self.vectors.swapaxes(1, 2)

        # value, gradient and the norms of its terms
        top = e.max(0)
        e = np.exp(np.maximum(e - top, -600))
        total = e.sum(0)
        r = (e / total).T  # (p, K)
        value = np.log(total) + top - 0.5 * np.square(u - x).sum(1) / lam
        g = np.ascontiguousarray(g.swapaxes(0, 1))  # (p, K, d)
        mean = (r[:, None, :] @ g)[:, 0]
        rhs = (x - u) - lam[:, None] * mean
        centred = g - mean[:, None, :]
        lam3 = lam[:, None, None]
        terms = np.linalg.norm(x, axis=1) + np.linalg.norm(u, axis=1) + lam * np.sqrt((r * np.square(g).sum(2)).sum(1))

        # B = I + lam sum r_k P_k, and the Hessian B - lam Cov_r(g)
        if self.vectors is None:
            b = 1 + lam[:, None] * (r @ self.precision)
            safe = rhs / b
            if self.size < d and matrix != "hessian":
                # (B - lam Y^T R Y) s = rhs, R = diag r: s = B^-1 (rhs + lam Y^T w), (I - lam R Y B^-1 Y^T) w = R Y B^-1 rhs
                scaled = centred / b[:, None, :]
                small = np.eye(self.size) - lam3 * r[:, :, None] * (scaled @ centred.swapaxes(1, 2))
                w = solve(small, r * (centred @ safe[:, :, None])[:, :, 0])
                return value, safe, safe + lam[:, None] * (w[:, None, :] @ scaled)[:, 0], rhs, terms, None
            h = b[:, :, None] * np.eye(d)
        else:
            h = np.eye(d) + lam3 * (r @ self.matrices).reshape(p, d, d)
            safe = solve(h, rhs)
        h = h - lam3 * ((centred * r[:, :, None]).swapaxes(1, 2) @ centred)
        return value, safe, solve(h, rhs), rhs, terms, h

    def _chunks(self, p):
        step = max(1, (1 << 19) // (self.size * self.dim + self.dim**2))
        return [slice(a, a + step) for a in range(0, p, step)]

    def climb(self, begin, row, x, lam, tally, drop=True):
        spread = np.linalg.norm(self.means - self.means.mean(0), axis=1).max()
        scale = np.linalg.norm(x, axis=1) + np.linalg.norm(self.means.mean(0)) + spread + 1e-300

        def parts(u, index):
            k = row[index]
            count(tally, density=len(k), score=len(k), hessian=len(k))
            out = [self.evaluate(u[s], x[k[s]], lam[k[s]]) for s in self._chunks(len(u))]
            value, safe, step, rhs = (np.concatenate([o[i] for o in out]) for i in range(4))
            return value, safe, step, rhs, 1 / lam[k]

        width = 1 / lam + 1 / self.v.max()  # largest curvature of a component of exp(-F/lam) is below 1/lam + 1/v
        return climb(parts, begin, row, scale, width, drop=drop)

    def search(self, x, lam, k, u, starts, local, report, tally):
        n = len(x)
        own, height = self.components(x, lam)
        top = height.max(1)
        relative = height - top[:, None]
        active = relative > -(DROP + math.log(self.size))
        single = active.sum(1) == 1

        # where the search starts
        if local:
            row, begin = np.arange(n), x.copy()
        else:
            m = min(self.size, self.size if starts is None else starts)
            order = np.argsort(-relative, axis=1, kind="stable")[:, :m]
            use = np.take_along_axis(active, order, 1)
            row, col = np.nonzero(use)
            begin = own[row, order[row, col]]
            extra = np.nonzero(~single)[0]
            if len(extra):  # and the mean of the components' own minimisers, for modes that lie on no component
                w = np.exp(np.maximum(relative[extra], -600))
                mean = ((w / w.sum(1)[:, None])[:, None, :] @ own[extra])[:, 0]
                row, begin = np.concatenate([row, extra]), np.concatenate([begin, mean])

        # the best end of all starts
        at, value, _ = self.climb(begin, row, x, lam, tally, drop=not local)
        win = first_best(value, row, n)
        best = at[win]
        if self.dim <= 200 and not single.all():
            best = self._second_order(best, x, lam, tally)

        # its value and residual
        out = [self.evaluate(best[s], x[s], lam[s]) for s in self._chunks(n)]
        value, rhs, terms = (np.concatenate([o[i] for o in out]) for i in (0, 3, 4))
        u[k] = best
        report.objective[k] = -lam * value
        report.residual[k] = np.linalg.norm(rhs, axis=1) / terms
        report.starts[k] = np.bincount(row, minlength=n)
        if local:
            return

        # F = -lam log sum exp(-F_k/lam) >= -lam log sum exp(-min F_k/lam)
        soft = np.maximum(0, np.log(np.exp(np.maximum(relative, -600)).sum(1)) + top - value)
        report.gap[k] = lam * soft
        report.status[k] = np.where(single, "convex", np.where(soft <= 1e-3, "soft-min", "searched"))

    def _second_order(self, best, x, lam, tally):
        for s in self._chunks(len(best)):
            h = self.evaluate(best[s], x[s], lam[s], matrix="hessian")[5]
            values, vectors = np.linalg.eigh(h)
            bad = np.nonzero(values[:, 0] < -1e-9 * values[:, -1])[0]
            if len(bad):
                q = bad + s.start
                move = vectors[bad, :, 0] * 1e-3 * math.sqrt(self.v.min())
                both = np.concatenate([np.arange(len(q))] * 2)
                at, value, _ = self.climb(np.concatenate([best[q] + move, best[q] - move]), both, x[q], lam[q], tally)
                best[q] = at[first_best(value, both, len(q))]
        return best
