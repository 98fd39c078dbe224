r"""Proximal maps of -log q, as global minimisers, for Gaussian mixtures and noised point clouds.

For a density q the proximal map of step lam is

.. math:: \mathrm{prox}_{-\lambda \log q}(x) \in \arg\min_u F(u), \qquad F(u) = \tfrac12 |u-x|^2 - \lambda \log q(u).

**Equal isotropic variances** (noised clouds), q = sum_j w_j N(c_j, v I). Completing the square in each product of two
Gaussians and substituting u = (v x + lam z) / (v + lam) gives, with kappa = v (v + lam) / lam,

.. math:: F(u) = -\lambda G(z) + \mathrm{const}, \qquad
          G(z) = \log \sum_j e^{L_j(x)} e^{-|z-c_j|^2 / 2\kappa}, \qquad L_j(x) = \log w_j - \frac{|x-c_j|^2}{2(v+\lambda)}:

the prox is the global *mode* of an isotropic mixture that has the law's own centres, one variance kappa for all x and
weights that depend on x. Hence one table exp(-|c_i-c_j|^2 / 2 kappa) serves every query, and

- a component with ``e^{L_j} < 1e-17 e^{L_1} / M`` is dropped with proof: the mode is at least ``e^{L_1}`` high, and the
  dropped components together add less than 1e-17 of that, anywhere;
- the mean shift z <- m(z) = sum_j r_j(z) c_j never lowers G (it maximises the EM minorant), every stationary point is a
  fixed point, so all lie in the convex hull of the centres: everything happens in its affine hull;
- Newton: (I - Cov_r / kappa) step = m(z) - z, taken when it raises G, else the mean shift;
- one mode only when the centres fit in a ball of radius R < sqrt(kappa), i.e. theta (R^2/v - 1) < 1, theta = lam/v.

**General mixtures** (unequal, diagonal or full covariances S_j): exp(-F / lam) is again a mixture, of Gaussians with
precisions I/lam + S_j^{-1}; the same steps apply with per-component precisions, the branch-and-bound certificate does not.

A global search cannot be proved right by searching. What is proved is said by ``ProxResult.status``.
"""

import contextlib
import math
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core.arrays import from_numpy, to_numpy
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike
from .._core.validation import boolean, fail, in_range, integer, points, real_array, scalar
from .._core.validation import weights as _weights

__all__ = ["EqualVariance", "GeneralMixture", "ProxResult", "laguerre", "prox_isotropic"]

_EPS = np.finfo(np.float64).eps
_DROP = math.log(1e17)  # relative mass of dropped components: 1e-17
_CHUNK = 1 << 15  # doubles per temporary of the kernels: 256 KiB, within a second-level cache
_TINY = 1e-280  # variances below are the limit v -> 0 (1 / v**2 would overflow)
_FEATURES = 16  # hull dimensions in which all second moments come from one product
_LOW = 3  # hull dimensions for which branch and bound is run 


@dataclass(frozen=True)
class ProxResult:
    """Proximal points with what is known about them.

    Attributes
    ----------
    point : (n, d) array
        The minimiser u found for each row, in the arrays of the query; everything else is NumPy.
    objective : (n,) array
        F(u) = 1/2 |u-x|^2 - lam log q(u); +inf is never returned. With atoms (zero variance): 1/2 |u-x|^2 - lam log w.
    residual : (n,) array
        Relative stationarity residual: |grad F(u)| over the sum of the norms of the terms that cancel in it, for equal
        variances |x| + |u| + theta (|u| + |m(u)|) with theta = lam/v and m(u) the mean of the centres seen from u.
    lower : (n,) array
        Proved lower bound of the minimum of F.
    gap : (n,) array
        objective - lower, >= 0.
    status : (n,) array of str
        ``"convex"``: every point as good lies in a region where F is strongly convex (or the minimiser is explicit);
        ``"branch and bound"``: no other cell of the hull can be better by more than ``gap``; ``"soft-min"``: a bound of
        the sum of exponentials (at most the smoothed density) is within 1e-3 lam; ``"searched"``: best of the starts,
        global minimality not proved (``lower`` is still a bound).
    starts : (n,) array of int
        Starting points used per row.
    calls : dict
        Evaluations in mixture rows by kind (``density``, ``score``, ``hessian``), plus ``screen``: values of the
        objective read from the table of the starting points.
    """

    point: np.ndarray
    objective: np.ndarray
    residual: np.ndarray
    lower: np.ndarray
    gap: np.ndarray
    status: np.ndarray
    starts: np.ndarray
    calls: dict


# ---------------------------------------------------------------------------------------------------------------------
# arguments


def positive_rows(name: str, value: ArrayLike, n: int) -> np.ndarray:
    """A positive finite scalar or (n,) array as an (n,) float64 array; ValueError naming ``name``."""
    array = np.asarray(to_numpy(real_array(name, value, "a finite number > 0, or one per row")))
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] != n):
        fail(f"{name} (shape {array.shape})", value, f"a scalar or shape ({n},)")
    if np.any(array <= 0):
        fail(name, value, "a number > 0")
    return np.broadcast_to(array, (n,)).astype(np.float64)


def _add(calls, **counts):
    for kind, number in counts.items():
        calls[kind] = calls.get(kind, 0) + int(number)


@in_range
def laguerre(x: ArrayLike, lam: ArrayLike, centres: ArrayLike, weights: ArrayLike | None = None) -> tuple[Array, Array]:
    r"""Limit v -> 0 of the prox: the Laguerre (power) cell :math:`\arg\min_i \tfrac12|x-c_i|^2 - \lambda \log w_i`.

    Not the nearest point unless the weights are equal. Ties go to the lowest index; distances are formed by direct
    differences, so that exact ties are seen as such.

    Returns
    -------
    index : (n,) array of int
    value : (n,) array, the minimum.
    """
    x, centres = points("x", x), to_numpy(points("centres", centres, allow_empty=False))
    like, x = x, to_numpy(x)
    if x.shape[1] != centres.shape[1]:
        fail(f"x (shape {x.shape})", x, f"shape (n, {centres.shape[1]})")
    lam = positive_rows("lam", lam, x.shape[0])
    w = to_numpy(_weights("weights", weights, centres.shape[0]))
    n, (m, d) = x.shape[0], centres.shape
    with np.errstate(divide="ignore"):
        log_w = np.log(w)
    index, value = np.empty(n, int), np.empty(n)
    c2 = centres - centres.mean(0)
    y2 = x - centres.mean(0)
    rows = max(1, _CHUNK // m)
    for a in range(0, n, rows):
        s = slice(a, a + rows)
        with np.errstate(invalid="ignore"):
            cost = _half_square_distances(y2[s], c2) - lam[s, None] * log_w
        best = cost.min(1)
        if d > _LOW:  # the expanded form rounds: recompute whatever may still win by differences
            slack = 2 * _EPS * (4 + math.sqrt(d)) * ((y2[s] ** 2).sum(1) + (c2**2).sum(1).max())
            r, j = np.nonzero(cost <= (best + slack)[:, None])
            cost[r, j] = 0.5 * ((x[s][r] - centres[j]) ** 2).sum(1) - lam[s][r] * log_w[j]
            keep = np.full(cost.shape, np.inf)
            keep[r, j] = cost[r, j]
            cost = keep
            best = cost.min(1)
        index[s], value[s] = cost.argmin(1), best
    return from_numpy(index, like), from_numpy(value, like)


def _half_square_distances(x, c):
    """1/2 |x_i - c_j|^2, (n, m): direct differences up to d = 3, expanded beyond (callers centre both)."""
    n, d = x.shape
    if d <= _LOW:
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


# ---------------------------------------------------------------------------------------------------------------------
# safeguarded Newton, shared by both families


def _solve(h, b):
    """Batched h s = b; rows of a singular h come out non-finite (the caller then takes the safe step)."""
    r = b.shape[1]
    with np.errstate(all="ignore"):
        if r == 1:
            return b / h[:, 0]
        if r == 2:
            det = h[:, 0, 0] * h[:, 1, 1] - h[:, 0, 1] * h[:, 1, 0]
            s = np.empty_like(b)
            s[:, 0] = (h[:, 1, 1] * b[:, 0] - h[:, 0, 1] * b[:, 1]) / det
            s[:, 1] = (h[:, 0, 0] * b[:, 1] - h[:, 1, 0] * b[:, 0]) / det
            return s
        try:
            return np.linalg.solve(h, b[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            out = np.full_like(b, np.nan)
            for i in range(len(b)):
                with contextlib.suppress(np.linalg.LinAlgError):
                    out[i] = np.linalg.solve(h[i], b[i])
            return out


def _climb(evaluate, z, row, best, scale, closeness, max_iterations=300, drop=True):
    """Maximise the value from every start in ``z`` (P, r) by Newton with a monotone safe step.

    ``evaluate(z, index)`` gives (value (P,), safe step (P, r), Newton step (P, r), right-hand side (P, r), unit (P,)):
    the right-hand side is the gradient up to the unit, the gain predicted for a Newton step is unit/2 step.rhs.
    ``row`` says which query a start belongs to, ``best`` (per row) is updated in place. With ``drop``, a start is given
    up when, after a Newton step whose gain came out as predicted (later: always, with a margin of 0.1), four times the gain
    predicted next leaves it below its row's best, or when it has come next to that one (``closeness`` (rows,): inverse
    square width of a basin). A start ends when the right-hand side is at rounding level, or when neither it nor the value
    improves.

    Returns z, value, rhs norm per start (value -inf for starts given up).
    """
    p = len(z)
    z = z.copy()
    live = np.arange(p)
    value, safe, step, rhs, unit = evaluate(z, live)
    final_value, final_norm = value.copy(), np.linalg.norm(rhs, axis=1)
    norm = final_norm.copy()
    np.maximum.at(best, row, value)
    trusted, idle = np.zeros(p, bool), np.zeros(p, int)
    tight = 2 * _EPS * scale
    lead = np.zeros(len(best), int)
    for it in range(max_iterations):
        slope = (step * rhs).sum(1)
        with np.errstate(invalid="ignore"):
            newton = np.isfinite(slope) & (slope > 0) & ((step * step).sum(1) <= 16 * scale[row[live]] ** 2)
        gain = 0.5 * unit * np.where(newton, slope, 0.0)
        step = np.where(newton[:, None], step, safe)
        keep = norm > tight[row[live]]
        if drop:
            missing = best[row[live]] - 1e-6 - value
            lost = newton & ((trusted & (4 * gain < missing)) | ((it >= 2) & (4 * gain + 0.1 < missing)))
            if 2 <= it <= 8:  # and starts within 0.03 kernel widths of the row's best one, when that is ahead
                order = live[np.argsort(value, kind="stable")]
                lead[row[order]] = order
                first = lead[row[live]]
                near = np.square(z[live] - z[first]).sum(1) * closeness[row[live]]
                lost |= (near < 1e-3) & (live != first)
            final_value[live[lost]] = -np.inf
            keep &= ~lost
        if not keep.all():
            live, step, value, safe, gain, newton = (a_[keep] for a_ in (live, step, value, safe, gain, newton))
            norm, idle = norm[keep], idle[keep]
        if not len(live):
            break
        trial = z[live] + step
        new_value, new_safe, new_step, rhs, unit = evaluate(trial, live)
        noise = 8 * _EPS * (np.abs(value) + 1)
        new_norm = np.linalg.norm(rhs, axis=1)
        bad = newton & ((new_value < value - noise) | ((new_value < value + noise) & (new_norm > 2 * norm)))
        if bad.any():
            b = np.nonzero(bad)[0]
            trial[b] = z[live[b]] + safe[b]
            parts = evaluate(trial[b], live[b])
            for whole, part in zip((new_value, new_safe, new_step, rhs, unit), parts):
                whole[b] = part
            new_norm[b] = np.linalg.norm(rhs[b], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (new_value - value) / gain
        trusted = newton & ~bad & (ratio > 0.5) & (ratio < 2)
        # rounding level reached: the norm is small and does not fall any more
        stuck = new_norm > 0.5 * norm
        idle = np.where(stuck & (new_value <= value + noise), idle + 1, 0)
        stalled = stuck & ((new_norm <= 1e-13 * scale[row[live]]) | (idle >= 4))
        better = ~(stalled & (new_norm > norm))
        z[live[better]] = trial[better]
        final_value[live[better]], final_norm[live[better]] = new_value[better], new_norm[better]
        np.maximum.at(best, row[live], new_value)
        value, safe, norm, step = new_value, new_safe, new_norm, new_step
        if stalled.any():
            k = ~stalled
            live, value, safe, norm, trusted = live[k], value[k], safe[k], norm[k], trusted[k]
            step, rhs, unit, idle = step[k], rhs[k], unit[k], idle[k]
            if not len(live):
                break
    return z, final_value, final_norm


def _first_best(value, row, rows):
    """Index of each row's best start; values within rounding of the best tie and the first of them is taken."""
    top = np.full(rows, -np.inf)
    np.maximum.at(top, row, value)
    ok = np.nonzero(value >= (top - 8 * _EPS * (1 + np.abs(top)))[row])[0]
    out = np.full(rows, -1)
    out[row[ok[::-1]]] = ok[::-1]
    return out


# ---------------------------------------------------------------------------------------------------------------------
# equal isotropic variances


class _Rows:
    """Some queries with the components they need: mode search of sum_j e^{L_j} exp(-ik/2 |z - c_j|^2).

    ``c`` is (A, r), shared by all queries, or (B, A, r), gathered per query; ``log_w`` (B, A) has row maximum 0;
    ``ik`` (B,) = 1/kappa. Coordinates are those of the affine hull, about a point near the centres.
    """

    def __init__(self, c, log_w, ik, norms=None):
        self.c, self.log_w, self.ik = c, log_w, ik
        self.shared = c.ndim == 2
        self.rows, self.size = log_w.shape
        self.r = c.shape[-1]
        self.half = 0.5 * np.einsum("...r,...r->...", c, c) if norms is None else norms  # half squared norms
        self.scale = np.broadcast_to(np.sqrt(2 * self.half.max(-1)), (self.rows,)) + 1e-300
        # Expanded squares lose eps R^2/kappa in the logits. Below 1e-9 only the last digits suffer, and they come from
        # direct differences; above, everything does.
        self.expand = self.shared and float(np.max(_EPS * self.scale**2 * ik, initial=0)) < 1e-9
        self.features = None
        if self.expand and self.r <= _FEATURES and self.size > 8:
            self.pairs = i, j = np.triu_indices(self.r)
            self.features = np.concatenate([np.ones((self.size, 1)), c, c[:, i] * c[:, j]], axis=1)
            self.base = log_w - ik[:, None] * self.half
            # logits of points of the hull differ by at most ik (2 R)^2/2 and the spread of the weights
            self.clip = bool(np.max(2 * ik * self.scale**2 - log_w.min(1), initial=0) > 500)

    def evaluate(self, z, row, direct=False, second=True, weights=False):
        """G, m - z, Cov_r (or None), responsibilities (or None) at z (P, r) of queries ``row`` (P,)."""
        p, r = z.shape
        g, dm = np.empty(p), np.empty((p, r))
        cov = np.empty((p, r, r)) if second else None
        out = np.empty((p, self.size)) if weights else None
        expanded = self.features is not None and not direct
        per = self.size * (1 if r <= _LOW or expanded else r)
        step = max(1, _CHUNK // per)
        for a in range(0, p, step):
            s = slice(a, a + step)
            zs, k = z[s], row[s]
            if expanded:
                ik = self.ik[k]
                e = (zs * ik[:, None]) @ self.c.T
                e += self.base[k]
                top = e.max(1)
                e -= top[:, None]
                if self.clip:
                    np.maximum(e, -600, out=e)  # subnormal results are several times slower
                np.exp(e, out=e)
                f = e @ self.features
                total = f[:, 0]
                g[s] = np.log(total) + top - 0.5 * ik * (zs * zs).sum(1)
                mean = f[:, 1 : 1 + r] / total[:, None]
                dm[s] = mean - zs
                if second:
                    i, j = self.pairs
                    moments = f[:, 1 + r :] / total[:, None] - mean[:, i] * mean[:, j]
                    cov[s, i, j] = cov[s, j, i] = moments
            elif r <= _LOW:  # one coordinate at a time: no (queries, components, coordinates) array
                diffs = [(self.c[None, :, i] if self.shared else self.c[k, :, i]) - zs[:, i, None] for i in range(r)]
                e = diffs[0] * diffs[0]
                for t in diffs[1:]:
                    e += t * t
                e *= -0.5 * self.ik[k][:, None]
                e += self.log_w[k]
                top = e.max(1)
                e -= top[:, None]
                np.maximum(e, -600, out=e)
                np.exp(e, out=e)
                total = e.sum(1)
                g[s] = np.log(total) + top
                e /= total[:, None]
                for i, t in enumerate(diffs):
                    if second:
                        weighted = e * t
                        dm[s, i] = weighted.sum(1)
                        for j in range(i + 1):
                            cov[s, i, j] = cov[s, j, i] = np.einsum("pa,pa->p", weighted, diffs[j]) - dm[s, i] * dm[s, j]
                    else:
                        dm[s, i] = np.einsum("pa,pa->p", e, t)
            elif self.shared and not second and per > (1 << 21):
                e = np.empty((len(zs), self.size))
                block = max(1, (1 << 20) // r)
                for b in range(0, self.size, block):  # step is 1 here: one query at a time
                    e[:, b : b + block] = np.square(self.c[b : b + block] - zs).sum(1)
                e *= -0.5 * self.ik[k][:, None]
                e += self.log_w[k]
                top = e.max(1)
                e = np.exp(np.maximum(e - top[:, None], -600))
                total = e.sum(1)
                g[s] = np.log(total) + top
                e /= total[:, None]
                dm[s] = e @ self.c - zs
            else:
                diff = (self.c[None] if self.shared else self.c[k]) - zs[:, None, :]
                e = np.einsum("par,par->pa", diff, diff)
                e *= -0.5 * self.ik[k][:, None]
                e += self.log_w[k]
                top = e.max(1)
                e -= top[:, None]
                np.maximum(e, -600, out=e)
                np.exp(e, out=e)
                total = e.sum(1)
                g[s] = np.log(total) + top
                e /= total[:, None]
                dm[s] = (e[:, None, :] @ diff)[:, 0]
                if second:
                    cov[s] = (diff * e[:, :, None]).swapaxes(1, 2) @ diff
                    cov[s] -= dm[s][:, :, None] * dm[s][:, None, :]
            if weights:
                out[s] = e
        return g, dm, cov, out

    def newton(self, z, row, calls, direct=False, drop=True):
        """Climb from starts z (P, r) of queries row (P,); returns z, G, |m - z| per start."""
        eye = np.eye(self.r)

        def parts(points_, index):
            k = row[index]
            _add(calls, density=len(k), score=len(k), hessian=len(k))
            g, dm, cov, _ = self.evaluate(points_, k, direct)
            cov *= -self.ik[k][:, None, None]
            cov += eye
            # the EM minorant has curvature 1/kappa: w times the mean shift gains at least w (2 - w) |m - z|^2/(2 kappa)
            return g, 1.8 * dm, _solve(cov, dm), dm, self.ik[k]

        return _climb(parts, z, row, np.full(self.rows, -np.inf), self.scale, self.ik, drop=drop)

    def mean_shift(self, z, row, calls, iterations=120, memory=5, drop=True):
        """Anderson-accelerated mean shift, monotone: a step that lowers G is replaced by the plain one."""
        p, r = z.shape
        z = z.copy()
        value, norm = np.full(p, -np.inf), np.full(p, np.inf)
        best = np.full(self.rows, -np.inf)
        live = np.arange(p)
        zs, fs = np.zeros((memory, p, r)), np.zeros((memory, p, r))
        have = np.zeros(p, int)
        g, f, _, _ = self.shift(z, row)
        _add(calls, density=p, score=p)
        for it in range(iterations):
            value[live], norm[live] = g, np.sqrt((f * f).sum(1))
            np.maximum.at(best, row[live], g)
            keep = norm[live] > 2 * _EPS * self.scale[row[live]]
            # gain left: |f|^2/(2 kappa) per plain step, taken 20 times over for slow contraction; within the first steps
            # only where that is a twentieth of what is missing
            left = 20 * self.ik[row[live]] * norm[live] ** 2
            missing = best[row[live]] - 1e-6 - g
            if it >= 1 and drop:
                keep &= ~(left < (missing if it >= 4 else 0.05 * missing))
            # starts that have come close to the row's best one (0.3 kernel widths early, 0.03 later) are in its basin
            if it >= 3 and drop:
                lead = np.zeros(self.rows, int)
                order = np.argsort(value, kind="stable")
                lead[row[order]] = order
                near = np.square(z[live] - z[lead[row[live]]]).sum(1) * self.ik[row[live]]
                follows = (near < (0.1 if it in (3, 6, 9) else 1e-3)) & (live != lead[row[live]])
                value[live[follows]] = -np.inf
                keep &= ~follows
            live, g, f = live[keep], g[keep], f[keep]
            if not len(live):
                break
            slot = have[live] % memory
            zs[slot, live], fs[slot, live] = z[live], f
            have[live] += 1
            trial = z[live] + f
            if it >= 1:
                k = np.arange(memory)[:, None] < np.minimum(have[live], memory)
                df = np.where(k[:, :, None], f - fs[:, live], 0.0)
                dz = np.where(k[:, :, None], z[live] - zs[:, live], 0.0)
                a = np.einsum("mpr,npr->pmn", df, df)
                b = np.einsum("mpr,pr->pm", df, f)
                ridge = 1e-13 * np.trace(a, axis1=1, axis2=2) + 1e-300
                a += ridge[:, None, None] * np.eye(memory)
                w = np.linalg.solve(a, b[:, :, None])[:, :, 0]
                trial = trial - np.einsum("pm,mpr->pr", w, df + dz)
            k = row[live]
            new_g, new_f, _, _ = self.shift(trial, k)
            _add(calls, density=len(k), score=len(k))
            # at rounding level the value says nothing more: then the residual decides
            old = norm[live]
            new_norm = np.sqrt((new_f * new_f).sum(1))
            bad = (new_g < g - 8 * _EPS * (1 + np.abs(g))) | ~np.isfinite(new_g)
            bad |= (new_norm > 2 * old) & (new_g < g + 8 * _EPS * (1 + np.abs(g)))
            if bad.any():
                bi = np.nonzero(bad)[0]
                trial[bi] = z[live[bi]] + f[bi]
                new_g[bi], new_f[bi], _, _ = self.shift(trial[bi], k[bi])
                _add(calls, density=len(bi), score=len(bi))
                have[live[bi]] = 0
                new_norm[bi] = np.sqrt((new_f[bi] ** 2).sum(1))
            # a stalled start has reached rounding level: keep the point with the smaller residual
            stop = (new_norm <= 1e-13 * self.scale[k]) & (new_norm > 0.5 * old) & (it > 2)
            move = ~(stop & (new_norm > old))
            z[live[move]] = trial[move]
            value[live[move]], norm[live[move]] = new_g[move], new_norm[move]
            live, g, f = live[~stop], new_g[~stop], new_f[~stop]
            if not len(live):
                break
        lost = value < best[row] - 1e-6
        return z, np.where(lost & (norm > 1e-9 * self.scale[row]), -np.inf, value), norm

    def shift(self, z, row):
        """G and m - z through two GEMMs (shared centres) or directly."""
        if not self.expand:
            return self.evaluate(z, row, direct=True, second=False)
        p, r = z.shape
        g, dm = np.empty(p), np.empty((p, r))
        step = max(1, _CHUNK // self.size)
        for a in range(0, p, step):
            s = slice(a, a + step)
            k = row[s]
            ik = self.ik[k]
            e = z[s] @ self.c.T
            e -= self.half
            e *= ik[:, None]
            e += self.log_w[k]
            top = e.max(1)
            e -= top[:, None]
            np.maximum(e, -600, out=e)
            np.exp(e, out=e)
            total = e.sum(1)
            g[s] = np.log(total) + top - 0.5 * ik * (z[s] ** 2).sum(1)
            dm[s] = (e @ self.c) / total[:, None] - z[s]
        return g, dm, None, None

    # ---- what can be proved -----------------------------------------------------------------------------------------

    def convex(self, g, z, norm):
        """Gap G* - G(z) where every point as good as z lies in a convex set on which G is strongly concave, else inf."""
        n = self.rows
        w = np.exp(np.maximum(self.log_w, -600))
        bound = self.spread() * self.ik
        # Dominated by one component: points with V >= V(z) satisfy W_1 exp(-ik/2 |.-c_1|^2) >= b = V(z) - (T - W_1),
        # a ball about c_1; there V >= b, so r_j <= W_j exp(-ik/2 (|c_j-c_1| - rho)_+^2) / b and Cov <= sum r_j |c_j-c_1|^2.
        first = self.log_w.argmax(1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.shared:  # rounding of the expanded form, outwards
                slack = 8 * _EPS * (4 + math.sqrt(self.r)) * self.half.max()
                d2 = 2 * _half_square_distances(self.c[first], self.c)
                near, d2 = np.sqrt(np.maximum(0, d2 - slack)), d2 + slack
            else:
                d2 = np.square(self.c - self.c[np.arange(n), first][:, None, :]).sum(-1)
                near = np.sqrt(d2)
            others = w.copy()
            others[np.arange(n), first] = 0
            b = np.exp(g) - others.sum(1)
            rho = np.sqrt(np.maximum(0, -2 * np.log(b)) / self.ik)
            reach = np.maximum(0, near - rho[:, None])
            local = ((others * np.exp(-0.5 * self.ik[:, None] * reach**2)) * d2).sum(1) / b * self.ik
        local = np.where((b > 1e-12) & np.isfinite(local), local, np.inf)
        bound = np.minimum(bound, local)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = self.ik * norm**2 / (2 * (1 - bound))
        return np.where(bound < 1 - 1e-9, gap, np.inf)

    def spread(self):
        """Square radius of a ball that holds the centres, (n,)."""
        if self.shared:  # about the origin of the coordinates, which is the middle of their box
            return np.full(self.rows, 2 * self.half.max())
        middle = 0.5 * (self.c.max(1) + self.c.min(1))
        return np.square(self.c - middle[:, None, :]).sum(2).max(1)

    def soft_min(self, g):
        """Gap sup G - G(z) from V <= max_i (W_i + sum_{j != i} W_j exp(-ik/8 |c_i-c_j|^2)) <= sum_j W_j.

        Every exponential is at most 1, which gives the sum (the smoothed density); and with c_i the centre nearest to z the
        others are at least |c_i-c_j|/2 away, which is the better bound where the centres are far apart.
        """
        w = np.exp(np.maximum(self.log_w, -600))
        bound = w.sum(1)
        same = self.shared and np.all(self.ik == self.ik[0]) and self.size <= 2048
        if same or self.size <= 64:
            step = self.rows if same else max(1, (1 << 20) // (self.size * max(self.size, self.r)))
            for a in range(0, self.rows, step):
                s = slice(a, a + step)
                c = self.c if self.shared else self.c[s]
                half = self.half if self.shared else self.half[s]
                ik = self.ik[0] if same else self.ik[s][:, None, None]
                slack = 8 * _EPS * (4 + math.sqrt(self.r)) * half.max()  # rounding of the expanded form, outwards
                d = half[..., :, None] + half[..., None, :] - c @ c.swapaxes(-1, -2) - slack
                with np.errstate(over="ignore"):
                    table = np.exp(np.maximum(-0.25 * ik * np.maximum(d, 0), -700))
                table[..., np.arange(self.size), np.arange(self.size)] = 1
                sums = w[s] @ table if same else (table @ w[s][:, :, None])[:, :, 0]
                bound[s] = np.minimum(bound[s], sums.max(1))
        return np.maximum(0, np.log(bound) - g)

    def branch_and_bound(self, rows, g, gap, limit=20_000):
        """Certify G* <= G + gap by dyadic boxes of the hull's bounding box, for ``rows`` (r <= 3).

        -G(z) = |z|^2/(2 kappa) - (a convex function). On a box with centre b and sides h_i, |z|^2 = |z-b|^2 + affine, so
        -G = |z-b|^2/(2 kappa) + (a concave function); the first term is at least 0, the second is smallest at a vertex,
        where the first is sum h_i^2/(8 kappa). Hence min over the box >= min over its vertices - sum h_i^2/(8 kappa),
        whatever the weights and the number of centres. Rounding of G is added to the bound.

        Returns the gap proved (inf for a query with more than ``limit`` boxes alive), the best vertex value and vertex.
        """
        r = self.r
        n = len(rows)
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * r, indexing="ij")).reshape(r, -1).T
        low, high = self.c.min(-2), self.c.max(-2)
        low, high = (np.broadcast_to(a, (self.rows, r))[rows] for a in (low, high))
        width = high - low
        proved, top = np.zeros(n), np.full(n, -np.inf)
        where, failed = low.copy(), np.zeros(n, bool)
        # first grid: half the kernel width per box, at most 16 per axis
        start = np.clip(np.ceil(width.max(1) * np.sqrt(self.ik[rows])), 1, 16).astype(int)
        owner, corner = [], []
        for q in np.unique(start):
            ids = np.nonzero(start == q)[0]
            grid = np.array(np.meshgrid(*[np.arange(q)] * r, indexing="ij")).reshape(r, -1).T
            owner.append(np.repeat(ids, len(grid)))
            corner.append((low[ids][:, None, :] + grid[None] * (width[ids] / q)[:, None, :]).reshape(-1, r))
        owner, corner = np.concatenate(owner), np.concatenate(corner)
        owner, corner = owner[~failed[owner]], corner[~failed[owner]]
        h = width / start[:, None]
        # a vertex is rounded by eps R, which changes G by eps R / sqrt(kappa) where a component within sqrt(kappa) counts
        noise = 16 * _EPS * (2 + np.abs(g[rows]) + np.sqrt(np.square(width).sum(1) * self.ik[rows]))
        gap = np.maximum(gap, 4 * noise)
        failed |= noise > 1e-3  # G itself is not known that well
        for _ in range(64):
            if not len(owner):
                break
            vertices = corner[:, None, :] + corners[None] * h[owner][:, None, :]
            flat = vertices.reshape(-1, r)
            own = np.repeat(owner, len(corners))
            value = self.evaluate(flat, rows[own], direct=True, second=False)[0]
            order = np.lexsort((-value, own))
            first = order[np.unique(own[order], return_index=True)[1]]
            up = first[value[first] > top[own[first]]]
            top[own[up]], where[own[up]] = value[up], flat[up]
            upper = value.reshape(len(owner), -1).max(1)
            upper += np.square(h[owner]).sum(1) * self.ik[rows[owner]] / 8 + noise[owner] + 16 * _EPS * np.abs(upper)
            excess = upper - g[rows[owner]]
            dead = excess <= gap[owner]
            np.maximum.at(proved, owner[dead], excess[dead])
            owner, corner = owner[~dead], corner[~dead]
            over = np.bincount(owner, minlength=n) > limit
            if over.any():
                failed |= over
                k = ~over[owner]
                owner, corner = owner[k], corner[k]
            # only the long sides are halved: a flat hull would breed thin boxes without end
            split = 2 * h > h.max(1)[:, None]
            h = np.where(split, h / 2, h)
            children = (split[owner][:, None, :] | (corners == 0)).all(2)
            corner = (corner[:, None, :] + corners * h[owner][:, None, :])[children]
            owner = np.repeat(owner, children.sum(1))
        failed[owner] = True
        return np.where(failed, np.inf, np.maximum(proved, 0)), top, where


class EqualVariance(Fixed):
    """Prox of -lam log q for q = sum_j w_j N(c_j, v I): built once per cloud, used for every variance and step.

    Parameters
    ----------
    centres : (M, d) array
    weights : (M,) nonnegative, sum 1, or None for uniform. Components of weight 0 are left out.
    """

    @in_range
    def __init__(self, centres: ArrayLike, weights: ArrayLike | None = None) -> None:
        centres = np.asarray(to_numpy(points("centres", centres, allow_empty=False)))
        w = np.asarray(to_numpy(_weights("weights", weights, centres.shape[0])))
        used = w > 0
        self.centres = np.ascontiguousarray(centres[used])  # a copy
        self.all_centres, self.all_weights = self.centres if used.all() else np.array(centres), np.array(w)
        self.log_w = np.log(w[used])
        self.size, self.dim = self.centres.shape
        self.origin = 0.5 * (self.centres.max(0) + self.centres.min(0))
        c = self.centres - self.origin
        self.basis = None
        if self.size - 1 < self.dim:  # all happens in the affine hull: M - 1 coordinates instead of d
            self.origin = self.centres[0]
            c = self.centres - self.origin
            self.basis = np.linalg.qr(c[1:].T)[0] if self.size > 1 else np.zeros((self.dim, 0))
            c = c @ self.basis
            middle = 0.5 * (c.max(0) + c.min(0)) if self.size > 1 else np.zeros(0)
            c = c - middle
            self.origin = self.origin + self.basis @ middle
        self.c = np.ascontiguousarray(c)
        self.half = 0.5 * np.einsum("mr,mr->m", self.c, self.c)
        self.r = c.shape[1]
        self._squares = self._near = None
        self._table = (None, None)
        self._fix()

    # ---- tables shared by all queries
    def _tables(self, ik):
        """exp(-|c_i-c_j|^2 ik/2) and neighbour lists; None where the cloud is too large for an M x M table."""
        if self.size > 2048:
            return None
        if self._squares is None:
            # single precision screens starts of large clouds; nothing that is returned depends on its rounding
            d = 2 * _half_square_distances(self.c, self.c)
            np.fill_diagonal(d, 0)
            self._squares = d.astype(np.float32) if self.size > 512 else d
            k = min(8, self.size - 1)
            near = np.argpartition(d, k, axis=1)[:, : k + 1] if k else np.zeros((self.size, 1), int)
            self._near = near, np.take_along_axis(d, near, 1)
        if self._table[0] != ik:
            kind = self._squares.dtype
            self._table = ik, np.exp(np.maximum(kind.type(-0.5 * ik) * self._squares, kind.type(-80)))
        return self._table[1]

    @in_range
    def __call__(
        self,
        x: ArrayLike,
        lam: ArrayLike,
        variance: ArrayLike,
        *,
        starts: int | None = 12,
        certificate: bool = False,
        gap: float = 1e-10,
        local: bool = False,
        calls: dict[str, int] | None = None,
    ) -> Any:
        """Proximal points of the rows of x.

        Parameters
        ----------
        x : (n, d) array
        lam : float > 0 or (n,)
            Proximal step.
        variance : float >= 0 or (n,)
            Variance v per coordinate; 0 (or below 1e-280) is the Laguerre limit.
        starts : int or None
            Starting components per row where the problem is not certified convex (None: all of them).
        certificate : bool
            Return a `ProxResult` instead of the points alone.
        gap : float
            Gap at which branch and bound stops, in units of F.
        local : bool
            Climb from u = x only (a stationary point, in general not the prox).
        calls : dict, optional
            Evaluation counts are added to it.
        """
        x = points("x", x, dim=self.dim)
        like, x = x, to_numpy(x)
        n = len(x)
        lam = positive_rows("lam", lam, n)
        v = np.asarray(to_numpy(real_array("variance", variance)))
        if v.ndim > 1 or (v.ndim == 1 and len(v) != n) or np.any(v < 0):
            fail("variance", variance, f"a number >= 0 or shape ({n},)")
        v = np.broadcast_to(v, (n,)).astype(np.float64)
        starts = None if starts is None else integer("starts", starts, low=1)
        certificate, local = boolean("certificate", certificate), boolean("local", local)
        gap = scalar("gap", gap, low=0, low_open=True)
        tally: dict[str, int] = {}
        z = np.empty((n, self.dim))
        info = _Info(n) if certificate else None
        limit = v <= _TINY
        if limit.any():
            k = np.nonzero(limit)[0]
            index, value = laguerre(x[k], lam[k], self.all_centres, self.all_weights)
            z[k] = self.all_centres[index]
            if info is not None:
                info.objective[k], info.gap[k], info.residual[k], info.starts[k] = value, 0.0, 0.0, 0
                info.status[k] = "convex"
        k = np.nonzero(~limit)[0]
        if len(k):
            self._search(x, lam, v, k, z, starts, local, info, gap, tally)
        if calls is not None:
            _add(calls, **tally)
        share = (lam / (v + lam))[:, None]
        point = np.where(share == 1.0, z, x + share * (z - x))
        if info is None:
            return from_numpy(point, like)
        return _to(self._report(x, lam, v, point, k, info, tally), like)

    def _search(self, x, lam, v, index, z, starts, local, info, gap, tally):
        rows = max(1, min(4096, (1 << 21) // self.size))  # (rows x M) weights: at most 16 MiB
        y = x - self.origin
        y = y @ self.basis if self.basis is not None else y
        for a in range(0, len(index), rows):
            k = index[a : a + rows]
            self._block(x[k], y[k], lam[k], v[k], k, z, starts, local, info, gap, tally)

    def _block(self, x, y, lam, v, k, z, starts, local, info, gap, tally):
        with np.errstate(over="ignore"):
            ik = np.minimum((lam / v) / (v + lam), 1e300)
        width = v + lam
        log_w = _half_square_distances(y, self.c)
        log_w /= -width[:, None]
        log_w += self.log_w
        log_w -= log_w.max(1)[:, None]
        # rounding of the expanded squares widens the window, so that nothing is dropped without proof
        slack = 4 * _EPS * (4 + math.sqrt(self.r)) * ((y * y).sum(1) + 2 * self.half.max()) / width
        active = log_w > -(_DROP + math.log(self.size) + 2 * slack)[:, None]
        if local:
            active[:] = True
        counts = active.sum(1)
        single = counts == 1
        if single.any():
            s = np.nonzero(single)[0]
            z[k[s]] = self.centres[log_w[s].argmax(1)]
            if info is not None:
                info.gap[k[s]], info.status[k[s]], info.starts[k[s]] = 0.0, "convex", 1
        table = None
        if not local and np.all(ik == ik[0]) and counts.max() > 12:
            table = self._tables(float(ik[0]))
        gathered = (counts <= max(8, self.size // 3)) & ((counts <= 8) | (counts * self.r <= 1 << 21))
        classes = np.where(gathered, 1 << np.ceil(np.log2(np.maximum(counts, 2))).astype(int), 1 << 30)
        for size in np.unique(classes[~single]):
            group = np.nonzero(~single & (classes == size))[0]
            if size == 1 << 30:
                chosen = None
                width_a = self.size
            else:
                width_a = min(int(counts[group].max()), self.size)
            if size == 1 << 30:  # the dense search keeps 10 vectors per start
                per = max(1, min((1 << 20) // self.size, (1 << 21) // (130 * max(1, self.r))))
            else:
                per = max(1, (1 << 20) // (width_a * max(1, self.r)))
            for a in range(0, len(group), per):
                g = group[a : a + per]
                if size != 1 << 30:
                    chosen = (
                        np.argpartition(-log_w[g], width_a - 1, axis=1)[:, :width_a]
                        if width_a < self.size
                        else np.tile(np.arange(self.size), (len(g), 1))
                    )
                    chosen = np.sort(chosen, axis=1)
                    heaviest = np.take_along_axis(log_w[g], chosen, 1).argmax(1)
                    rows = np.arange(len(g))
                    chosen[rows, heaviest], chosen[rows, 0] = chosen[rows, 0], chosen[rows, heaviest]
                self._group(
                    x[g],
                    y[g],
                    lam[g],
                    v[g],
                    ik[g],
                    log_w[g],
                    active[g],
                    chosen,
                    k[g],
                    z,
                    starts,
                    local,
                    info,
                    gap,
                    tally,
                    table,
                )

    def _gather(self, y, width, chosen, active):
        """Per-query centres about the first (heaviest) one, in at most A - 1 coordinates, with weights by differences."""
        c = self.c[chosen]
        b, a, r = c.shape
        ref = c[:, 0, :].copy()
        # log-weight differences in the stable form (y - c_1).(c_j - c_1) - |c_j - c_1|^2/2
        c -= ref[:, None, :]
        log_w = ((y - ref)[:, None, :] @ c.swapaxes(1, 2))[:, 0] - 0.5 * np.square(c).sum(-1)
        log_w /= width[:, None]
        log_w += self.log_w[chosen]
        log_w -= log_w.max(1)[:, None]
        log_w = np.where(active, log_w, -np.inf) if active is not None else log_w
        basis = None
        if a - 1 < r:
            q, up = np.linalg.qr(c[:, 1:, :].swapaxes(1, 2))
            basis = q
            c = np.concatenate([np.zeros((b, 1, a - 1)), up.swapaxes(1, 2)], axis=1)
        return c, log_w, ref, basis

    def _group(self, x, y, lam, v, ik, log_w, active, chosen, k, z, starts, local, info, gap, tally, table):
        n = len(k)
        basis = ref = None
        if chosen is None:
            c, lw, norms = self.c, log_w, self.half
        else:
            norms = None
            keep = np.take_along_axis(active, chosen, 1)
            c, lw, ref, basis = self._gather(y, v + lam, chosen, keep)
        with np.errstate(invalid="ignore"):
            data = _Rows(c, lw, ik, norms)
        size, r = lw.shape[1], data.r
        if local:
            at = y if ref is None else y - ref
            at = at if basis is None else (at[:, None, :] @ basis)[:, 0]
            row, begin = np.arange(n), at
        else:
            row, begin = self._starts(data, chosen, starts, tally, table)
        if size * r * r <= 300_000:
            at, value, norm = data.newton(begin, row, tally, drop=not local)
        else:
            at, value, norm = data.mean_shift(begin, row, tally, drop=not local)
        win = _first_best(value, row, n)
        best, g, norm = at[win], value[win], norm[win]
        if data.features is not None or (size * r * r > 300_000 and data.shared):
            # GEMM forms lose eps R^2/kappa in the logits: finish by direct differences where that exceeds rounding
            loose = (_EPS * data.scale**2 * ik > 1e-14) | (norm > 1e-14 * data.scale)
            if loose.any():
                s = np.nonzero(loose)[0]
                best[s], g[s], norm[s] = self._polish(data, best[s], s, tally)
        second = size * r * r <= 300_000
        _, _, cov, resp = data.evaluate(best, np.arange(n), direct=True, second=second, weights=True)
        if second:
            self._second_order(data, best, g, norm, cov, resp, tally)
        if chosen is None:
            z[k] = resp @ self.centres
        else:
            z[k] = (resp[:, None, :] @ self.centres[chosen])[:, 0]
        if info is None:
            return
        info.starts[k] = np.bincount(row, minlength=n)
        if local:
            return
        soft, convex = data.soft_min(g), data.convex(g, best, norm)
        info.gap[k] = lam * soft
        info.status[k] = np.where(soft <= 1e-3, "soft-min", "searched")
        if r <= _LOW:
            s = np.nonzero(~np.isfinite(convex))[0]
            for _ in range(4):
                if not len(s):
                    break
                proved, top, where = data.branch_and_bound(s, g, gap / lam[s] * 0.98)
                # a vertex that beats the search shows that the search failed: climb from there and certify again
                worse = top > g[s] + 1e-13 * (1 + np.abs(g[s]))
                done = np.isfinite(proved) & ~worse
                info.gap[k[s[done]]] = lam[s[done]] * proved[done]
                info.status[k[s[done]]] = "branch and bound"
                w = s[worse]
                if len(w):
                    at, value, nm = data.newton(where[worse], w, tally, direct=True)
                    better = value > g[w]
                    b = w[better]
                    best[b], g[b], norm[b] = at[better], value[better], nm[better]
                    resp = data.evaluate(best[b], b, direct=True, second=False, weights=True)[3]
                    if chosen is None:
                        z[k[b]] = resp @ self.centres
                    elif len(b):
                        z[k[b]] = (resp[:, None, :] @ self.centres[chosen[b]])[:, 0]
                    w = b
                s = w
        s = np.isfinite(convex)
        info.gap[k[s]] = lam[s] * convex[s]
        info.status[k[s]] = "convex"

    def _polish(self, data, best, rows, tally):
        """Newton by direct differences on the components that count at the solution."""
        out = best.copy(), np.empty(len(rows)), np.empty(len(rows))
        if data.size * data.r**2 <= 300_000:
            out = data.newton(best, rows, tally, direct=True)
            return out
        for i, q in enumerate(rows):  # high dimension, many components: one query at a time bounds the workspace
            one = np.array([q])
            resp = data.evaluate(best[i : i + 1], one, direct=True, second=False, weights=True)[3][0]
            near = resp > 1e-18 / data.size
            if near.sum() * data.r > 1 << 21:  # as many as that: kappa is not small, the GEMM form has no such loss
                out[1][i], out[2][i] = data.shift(best[i : i + 1], one)[0][0], np.nan
                continue
            sub = _Rows(np.ascontiguousarray(data.c[near]), data.log_w[q : q + 1, near], data.ik[q : q + 1])
            at, value, norm = sub.newton(best[i : i + 1], np.array([0]), tally, direct=True)
            out[0][i], out[1][i], out[2][i] = at[0], value[0], norm[0]
        return out

    def _second_order(self, data, best, g, norm, cov, resp, tally):
        """Leave saddles (reached only from symmetric starts) along the direction of largest posterior spread; in place."""
        rows = np.arange(data.rows)
        for _ in range(3):
            high = np.einsum("pii->p", cov) * data.ik[rows] > 1  # largest eigenvalue <= trace
            rows, cov = rows[high], cov[high]
            if not len(rows):
                return
            values, vectors = np.linalg.eigh(cov)
            bad = values[:, -1] * data.ik[rows] > 1 + 1e-9
            rows, direction = rows[bad], vectors[bad, :, -1]
            if not len(rows):
                return
            step = 1e-2 * direction / np.sqrt(data.ik[rows])[:, None]
            begin = np.concatenate([best[rows] + step, best[rows] - step])
            both = np.concatenate([rows, rows])
            at, value, nm = data.newton(begin, both, tally, direct=True)
            win = _first_best(value, both, data.rows)[rows]
            up = value[win] > g[rows]
            rows, win = rows[up], win[up]
            best[rows], g[rows], norm[rows] = at[win], value[win], nm[win]
            if not len(rows):
                return
            _, _, cov, resp[rows] = data.evaluate(best[rows], rows, direct=True, weights=True)

    def _starts(self, data, chosen, starts, tally, table):
        """Query index and position of every start: local maxima of G over the components, and the weighted mean."""
        n, size, r = data.rows, data.size, data.r
        limit = size if starts is None else starts
        convex = data.spread() * data.ik < 1 - 1e-9
        weight = np.exp(np.maximum(data.log_w, -600))
        if table is not None:
            full = weight
            if chosen is not None:
                full = np.zeros((n, self.size))
                np.put_along_axis(full, chosen, weight, 1)
            value = full.astype(table.dtype, copy=False) @ table
            _add(tally, screen=n * size)
            near, far = self._near
            mask = far * float(data.ik[0]) <= 1.0
            peak = np.ones(value.shape, bool)
            for q in range(near.shape[1] if size > limit else 0):
                peak &= ~mask[:, q] | (value >= value[:, near[:, q]])
            score = np.where(peak, value, -1.0)
            if chosen is not None:
                score = np.take_along_axis(score, chosen, 1)
            score = np.where(data.log_w > -np.inf, score, -1.0)
            score = np.where(score >= 0, score, -np.inf)
        else:
            take = np.broadcast_to(np.arange(size), (n, size))
            if size > 256:
                take = np.argpartition(-data.log_w, 255, axis=1)[:, :256]
            score = np.full((n, size), -np.inf)
            m = take.shape[1]
            step = max(1, (1 << 20) // (m * m))
            for a in range(0, n, step):
                s = slice(a, a + step)
                cc = data.c[take[s]] if data.shared else np.take_along_axis(data.c[s], take[s][:, :, None], 1)
                sq = np.square(cc).sum(-1)
                d = np.maximum(0, sq[:, :, None] + sq[:, None, :] - 2 * cc @ cc.swapaxes(1, 2))
                d *= data.ik[s][:, None, None]
                kernel = np.exp(np.maximum(-0.5 * d, -600))
                w = np.take_along_axis(weight[s], take[s], 1)
                value = (kernel @ w[:, :, None])[:, :, 0]
                peak = np.full(w.shape, True)
                if size > limit:
                    peak = ~((d <= 1.0) & (value[:, None, :] > value[:, :, None])).any(2)
                np.put_along_axis(score[s], take[s], np.where(peak & (w > 0), value, -np.inf), 1)
            _add(tally, screen=n * m)
        m = min(limit, size)
        if m < size:
            order = np.sort(np.argpartition(-score, m - 1, axis=1)[:, :m], axis=1)  # ties go to the lowest index
        else:
            order = np.broadcast_to(np.arange(size), (n, size))
        ranked = np.take_along_axis(score, order, 1)
        # At the global mode Cov_r <= kappa I, so some component c_i has |z* - c_i|^2 <= trace Cov_r <= r kappa; since
        # hess G >= -I/kappa, G(c_i) >= G* - r/2: the component nearest to the mode passes this window.
        top = ranked.argmax(1)
        use = ranked > ranked.max(1)[:, None] * math.exp(-0.5 * r - 0.5)
        use[convex] = False
        use[np.nonzero(convex)[0], top[convex]] = True
        row, col = np.nonzero(use)
        which = order[row, col]
        begin = data.c[which] if data.shared else data.c[row, which]
        # the mode of the widest kernel: catches modes that lie on no component (three equal ones in a triangle)
        extra = np.nonzero(~convex)[0]
        if len(extra):
            w = weight[extra] / weight[extra].sum(1)[:, None]
            mean = w @ data.c if data.shared else (w[:, None, :] @ data.c[extra])[:, 0]
            row, begin = np.concatenate([row, extra]), np.concatenate([begin, mean])
        return row, begin

    def _report(self, x, lam, v, u, smooth, info, tally):
        objective, residual = info.objective, info.residual
        for a in range(0, len(smooth), max(1, (1 << 20) // self.size)):
            k = smooth[a : a + max(1, (1 << 20) // self.size)]
            objective[k], grad, terms = self.objective(x[k], u[k], lam[k], v[k])
            residual[k] = np.linalg.norm(grad, axis=1) / terms
        info.gap[smooth] += 1e-17 * lam[smooth] + 4 * _EPS * np.abs(objective[smooth])
        return ProxResult(
            u, objective, residual, objective - info.gap, info.gap, info.status.astype(str), info.starts, tally
        )

    def objective(
        self, x: np.ndarray, u: np.ndarray, lam: np.ndarray, v: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F(u), grad F(u) / (1 + lam/v) and the sum of the norms of its terms, by direct differences."""
        n = len(x)
        value, grad, terms = np.empty(n), np.empty_like(x), np.empty(n)
        step = max(1, (1 << 20) // (self.size * self.dim))
        block = max(1, (1 << 20) // (step * self.dim))
        blocks = [slice(b, b + block) for b in range(0, self.size, block)]
        for a in range(0, n, step):
            s = slice(a, a + step)
            e = np.concatenate([np.square(self.centres[b] - u[s][:, None, :]).sum(2) for b in blocks], axis=1)
            e = self.log_w - 0.5 * e / v[s][:, None]
            top = e.max(1)
            e = np.exp(np.maximum(e - top[:, None], -600))
            total = e.sum(1)
            log_q = np.log(total) + top - 0.5 * self.dim * np.log(2 * np.pi * v[s])
            e /= total[:, None]
            pull = sum((e[:, None, b] @ (self.centres[b] - u[s][:, None, :]))[:, 0] for b in blocks)
            share = (lam[s] / (v[s] + lam[s]))[:, None]
            rest = (v[s] / (v[s] + lam[s]))[:, None]
            value[s] = 0.5 * np.square(x[s] - u[s]).sum(1) - lam[s] * log_q
            # both divided by 1 + lam/v, which may be large
            grad[s] = rest * (u[s] - x[s]) - share * pull
            size_u, size_x = np.linalg.norm(u[s], axis=1), np.linalg.norm(x[s], axis=1)
            terms[s] = rest[:, 0] * (size_x + size_u) + share[:, 0] * (size_u + np.linalg.norm(pull + u[s], axis=1)) + 1e-300
        return value, grad, terms


class _Info:
    """Columns of a ProxResult while it is being filled."""

    def __init__(self, n):
        self.objective, self.residual = np.empty(n), np.empty(n)
        self.gap, self.starts = np.full(n, np.inf), np.ones(n, int)
        self.status = np.full(n, "searched", dtype=object)


@in_range
def prox_isotropic(
    x: ArrayLike,
    lam: ArrayLike,
    centres: ArrayLike,
    weights: ArrayLike | None = None,
    variance: ArrayLike = 1.0,
    **options: Any,
) -> Any:
    """Prox of -lam log sum_j w_j N(c_j, variance I) at the rows of x; options as in `EqualVariance.__call__`."""
    return EqualVariance(centres, weights)(x, lam, variance, **options)


# ---------------------------------------------------------------------------------------------------------------------
# unequal, diagonal and full covariances


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
        levels = []
        for name, value in (("scale", scale), ("sigma", sigma)):
            level = to_numpy(real_array(name, value, "a number >= 0, or one per row"))
            if level.ndim > 1 or (level.ndim == 1 and len(level) != n) or np.any(level < 0):
                fail(f"{name} (shape {level.shape})", value, f"a number >= 0 or shape ({n},)")
            levels.append(np.broadcast_to(level, (n,)))
        scale, sigma = levels
        starts = None if starts is None else integer("starts", starts, low=1)
        certificate, local = boolean("certificate", certificate), boolean("local", local)
        tally: dict[str, int] = {}
        info = _Info(n)
        u = np.empty_like(x)
        levels, which = np.unique(np.stack([scale, sigma], 1), axis=0, return_inverse=True)
        for q, (a, t) in enumerate(levels):
            variances = a * a * self.eigenvalues + t * t
            if np.any(variances <= _TINY):
                fail("sigma", sigma, "sigma > 0 where a covariance is singular (q has no density)")
            at = _Level(self, a * self.means, variances)
            rows = np.nonzero(which.ravel() == q)[0]
            step = max(1, (1 << 20) // (self.size * self.dim))
            for b in range(0, len(rows), step):
                k = rows[b : b + step]
                at.search(x[k], lam[k], k, u, starts, local, info, tally)
        if calls is not None:
            _add(calls, **tally)
        if not certificate:
            return from_numpy(u, like)
        info.gap += 1e-17 * lam + 4 * _EPS * np.abs(info.objective)
        result = ProxResult(
            u,
            info.objective,
            info.residual,
            info.objective - info.gap,
            info.gap,
            info.status.astype(str),
            info.starts,
            tally,
        )
        return _to(result, like)


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
        if self.vectors is None:
            b = 1 + lam[:, None] * (r @ self.precision)
            safe = rhs / b
            if self.size < d and matrix != "hessian":
                # (B - lam Y^T R Y) s = rhs, R = diag r: s = B^-1 (rhs + lam Y^T w), (I - lam R Y B^-1 Y^T) w = R Y B^-1 rhs
                scaled = centred / b[:, None, :]
                small = np.eye(self.size) - lam3 * r[:, :, None] * (scaled @ centred.swapaxes(1, 2))
                w = _solve(small, r * (centred @ safe[:, :, None])[:, :, 0])
                return value, safe, safe + lam[:, None] * (w[:, None, :] @ scaled)[:, 0], rhs, terms, None
            h = b[:, :, None] * np.eye(d)
        else:
            h = np.eye(d) + lam3 * (r @ self.matrices).reshape(p, d, d)
            safe = _solve(h, rhs)
        h = h - lam3 * ((centred * r[:, :, None]).swapaxes(1, 2) @ centred)
        return value, safe, _solve(h, rhs), rhs, terms, h

    def _chunks(self, p):
        step = max(1, (1 << 19) // (self.size * self.dim + self.dim**2))
        return [slice(a, a + step) for a in range(0, p, step)]

    def climb(self, begin, row, x, lam, tally, drop=True):
        best = np.full(len(x), -np.inf)
        spread = np.linalg.norm(self.means - self.means.mean(0), axis=1).max()
        scale = np.linalg.norm(x, axis=1) + np.linalg.norm(self.means.mean(0)) + spread + 1e-300

        def parts(u, index):
            k = row[index]
            _add(tally, density=len(k), score=len(k), hessian=len(k))
            out = [self.evaluate(u[s], x[k[s]], lam[k[s]]) for s in self._chunks(len(u))]
            value, safe, step, rhs = (np.concatenate([o[i] for o in out]) for i in range(4))
            return value, safe, step, rhs, 1 / lam[k]

        width = 1 / lam + 1 / self.v.max()  # largest curvature of a component of exp(-F/lam) is below 1/lam + 1/v
        return _climb(parts, begin, row, best, scale, width, drop=drop)

    def search(self, x, lam, k, u, starts, local, info, tally):
        n = len(x)
        own, height = self.components(x, lam)
        top = height.max(1)
        relative = height - top[:, None]
        active = relative > -(_DROP + math.log(self.size))
        single = active.sum(1) == 1
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
        at, value, _ = self.climb(begin, row, x, lam, tally, drop=not local)
        win = _first_best(value, row, n)
        best = at[win]
        if self.dim <= 200 and not single.all():
            best = self._second_order(best, x, lam, tally)
        out = [self.evaluate(best[s], x[s], lam[s]) for s in self._chunks(n)]
        value, rhs, terms = (np.concatenate([o[i] for o in out]) for i in (0, 3, 4))
        u[k] = best
        info.objective[k] = -lam * value
        info.residual[k] = np.linalg.norm(rhs, axis=1) / terms
        info.starts[k] = np.bincount(row, minlength=n)
        if local:
            return
        # F = -lam log sum exp(-F_k/lam) >= -lam log sum exp(-min F_k/lam)
        soft = np.maximum(0, np.log(np.exp(np.maximum(relative, -600)).sum(1)) + top - value)
        info.gap[k] = lam * soft
        info.status[k] = np.where(single, "convex", np.where(soft <= 1e-3, "soft-min", "searched"))

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
                best[q] = at[_first_best(value, both, len(q))]
        return best


# ---------------------------------------------------------------------------------------------------------------------
# what the laws call


@in_range
def prox_of(
    noised: Any,
    x: ArrayLike,
    lam: ArrayLike,
    *,
    certificate: bool = False,
    local: bool = False,
    calls: dict[str, int] | None = None,
    **options: Any,
) -> Any:
    """Prox of -lam log q for a noised cloud or mixture; called by the method ``prox`` of those laws.

    One value of scale and sigma per row is reduced to one cloud by u = scale u': variance sigma^2/scale^2, step
    lam/scale^2, query x/scale.
    """
    x = points("x", x, noised.dim)
    like, x = x, np.asarray(to_numpy(x))
    n = len(x)
    lam = positive_rows("lam", lam, n)
    for name in ("scale", "sigma"):
        if np.ndim(getattr(noised, name)) and len(getattr(noised, name)) != n:
            fail(f"{name} (length {len(getattr(noised, name))})", getattr(noised, name), f"one value per row of x, {n} rows")
    scale, sigma = (np.broadcast_to(np.asarray(a, dtype=np.float64), (n,)) for a in (noised.scale, noised.sigma))
    solver, base = _solver(noised.law)
    flags = dict(certificate=certificate, local=local, calls=calls, **options)
    if base is None:
        result = solver(x, lam, scale, sigma, **flags)
    else:
        flat = scale == 0  # the law is N(0, sigma^2 I)
        a = np.where(flat, 1.0, scale)
        with np.errstate(over="ignore"):
            variance = base + (sigma / a) ** 2
        if not np.all(np.isfinite(variance)):
            fail("scale, sigma", (noised.scale, noised.sigma), "sigma^2 / scale^2 in the range of floats")
        result = solver(x / a[:, None], lam / a**2, variance, **flags)
        result = _rescale(result, x, lam, a, flat, sigma, variance <= _TINY)
    if certificate:
        return _to(result, like)
    return from_numpy(result, like)


def _rescale(result, x, lam, a, flat, sigma, atoms):
    """Back from u' = u / scale; rows with scale 0 are x / (1 + lam / sigma^2)."""
    point = result.point if isinstance(result, ProxResult) else result
    point = point * a[:, None]
    if flat.any():
        point[flat] = x[flat] / (1 + lam[flat] / sigma[flat] ** 2)[:, None]
    if not isinstance(result, ProxResult):
        return point
    d = x.shape[1]
    objective = result.objective * a**2 + np.where(atoms, 0.0, lam * d * np.log(a))
    gap = result.gap * a**2 + 4 * _EPS * np.abs(objective)
    residual, status = result.residual.copy(), result.status.copy()
    if flat.any():
        u, s2 = point[flat], sigma[flat] ** 2
        objective[flat] = 0.5 * np.square(u - x[flat]).sum(1) + lam[flat] * (
            0.5 * np.square(u).sum(1) / s2 + 0.5 * d * np.log(2 * np.pi * s2)
        )
        gap[flat] = 4 * _EPS * np.abs(objective[flat])
        grad = np.linalg.norm((u - x[flat]) + (lam[flat] / s2)[:, None] * u, axis=1)
        residual[flat] = grad / (np.linalg.norm(x[flat], axis=1) + (1 + lam[flat] / s2) * np.linalg.norm(u, axis=1) + 1e-300)
        status[flat] = "convex"
    return ProxResult(point, objective, residual, objective - gap, gap, status, result.starts, result.calls)


def _to(result, like):
    """The points in the arrays of ``like``; what is known about them stays in NumPy."""
    return ProxResult(
        from_numpy(result.point, like),
        result.objective,
        result.residual,
        result.lower,
        result.gap,
        result.status,
        result.starts,
        result.calls,
    )


_SOLVERS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # one solver per law: its tables serve every level


def _solver(law):
    """(solver, base variance) of a cloud or mixture; base variance None for a `GeneralMixture`."""
    if law not in _SOLVERS:
        if hasattr(law, "points"):
            _SOLVERS[law] = EqualVariance(law.points, law.weights), 0.0
        else:
            eigenvalues = law._lam[law.weights > 0]
            first = float(eigenvalues.flat[0])
            if np.all(eigenvalues == first):
                _SOLVERS[law] = EqualVariance(law.means, law.weights), first
            else:
                _SOLVERS[law] = GeneralMixture(law.weights, law.means, law._lam, law._U), None
    return _SOLVERS[law]
