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

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core.arrays import from_numpy, to_numpy
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike
from .._core.validation import boolean, fail, in_range, integer, points, real_array, scalar
from .._core.validation import weights as _weights
from .certificates import Found, certify
from .climb import EPS, count, first_best
from .general import GeneralMixture
from .mean_shift import mean_shift
from .modes import LOW, Modes, half_square_distances
from .result import DROP, TINY, ProxResult, Report, in_arrays_of, positive_rows

__all__ = ["EqualVariance", "GeneralMixture", "ProxResult", "laguerre", "prox_isotropic"]

_CHUNK = 1 << 15  # doubles per temporary of `laguerre`: 256 KiB, within a second-level cache


@in_range
def laguerre(x: ArrayLike, lam: ArrayLike, centres: ArrayLike, weights: ArrayLike | None = None) -> tuple[Array, Array]:
    r"""Limit v -> 0 of the prox: the Laguerre (power) cell :math:`\arg\min_i \tfrac12|x-c_i|^2 - \lambda \log w_i`.

    Not the nearest point unless the weights are equal. Ties go to the lowest index; distances are formed by direct
    differences, so that exact ties are seen as such.

    Parameters
    ----------
    x : (n, d) array
    lam : float > 0 or (n,) array
    centres : (M, d) array
    weights : (M,) nonnegative, sum 1, or None for uniform

    Returns
    -------
    index : (n,) array of int
    value : (n,) array, the minimum.

    Raises
    ------
    ValueError
        Naming the argument, for shapes that do not fit or a step that is not positive.

    Examples
    --------
    The heavier of two centres wins although it is farther away:

    >>> import numpy as np
    >>> from exactdiffusion.prox import laguerre
    >>> index, value = laguerre([[0.2]], 1.0, [[0.0], [1.0]], [0.1, 0.9])
    >>> index, np.round(value, 4)
    (array([1]), array([0.4254]))
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

    # costs about the mean of the centres, in blocks of rows
    index, value = np.empty(n, int), np.empty(n)
    c2 = centres - centres.mean(0)
    y2 = x - centres.mean(0)
    rows = max(1, _CHUNK // m)
    for a in range(0, n, rows):
        s = slice(a, a + rows)
        with np.errstate(invalid="ignore"):
            cost = half_square_distances(y2[s], c2) - lam[s, None] * log_w
        best = cost.min(1)
        if d > LOW:  # the expanded form rounds: recompute whatever may still win by differences
            slack = 2 * EPS * (4 + math.sqrt(d)) * ((y2[s] ** 2).sum(1) + (c2**2).sum(1).max())
            r, j = np.nonzero(cost <= (best + slack)[:, None])
            cost[r, j] = 0.5 * ((x[s][r] - centres[j]) ** 2).sum(1) - lam[s][r] * log_w[j]
            keep = np.full(cost.shape, np.inf)
            keep[r, j] = cost[r, j]
            cost = keep
            best = cost.min(1)

        index[s], value[s] = cost.argmin(1), best
    return from_numpy(index, like), from_numpy(value, like)


# ---------------------------------------------------------------------------------------------------------------------
# equal isotropic variances


@dataclass(frozen=True)
class _Queries:
    """Some queries: x (n, d), the same in hull coordinates y (n, r), step lam (n,), variance v (n,), place in the call."""

    x: np.ndarray
    y: np.ndarray
    lam: np.ndarray
    v: np.ndarray
    place: np.ndarray

    @property
    def ik(self) -> np.ndarray:
        """1 / kappa = lam / (v (v + lam)), (n,)."""
        with np.errstate(over="ignore"):
            return np.minimum((self.lam / self.v) / (self.v + self.lam), 1e300)

    def take(self, rows: np.ndarray) -> "_Queries":
        return _Queries(self.x[rows], self.y[rows], self.lam[rows], self.v[rows], self.place[rows])


@dataclass(frozen=True)
class _Run:
    """One call of the solver: its options, and the arrays that it fills.

    ``z`` (n, d) takes the modes, ``report`` what is known about them (None where nobody asked), ``calls`` the counts.
    """

    starts: int | None
    local: bool
    gap: float
    z: np.ndarray
    report: Report | None
    calls: dict[str, int]


class EqualVariance(Fixed):
    """Prox of -lam log q for q = sum_j w_j N(c_j, v I): built once per cloud, used for every variance and step.

    Parameters
    ----------
    centres : (M, d) array
    weights : (M,) nonnegative, sum 1, or None for uniform. Components of weight 0 are left out.

    Examples
    --------
    Between two atoms the prox goes to the nearer one, and further for a larger step:

    >>> import numpy as np
    >>> from exactdiffusion.prox import EqualVariance
    >>> prox = EqualVariance([[-1.0, 0.0], [1.0, 0.0]])
    >>> np.round(prox([[0.4, 0.0], [0.4, 0.0]], lam=[0.1, 1.0], variance=0.1), 3)
    array([[0.7  , 0.   ],
           [0.945, 0.   ]])
    """

    @in_range
    def __init__(self, centres: ArrayLike, weights: ArrayLike | None = None) -> None:
        # the components that have a weight
        centres = np.asarray(to_numpy(points("centres", centres, allow_empty=False)))
        w = np.asarray(to_numpy(_weights("weights", weights, centres.shape[0])))
        used = w > 0
        self.centres = np.ascontiguousarray(centres[used])  # a copy
        self.all_centres, self.all_weights = self.centres if used.all() else np.array(centres), np.array(w)
        self.log_w = np.log(w[used])
        self.size, self.dim = self.centres.shape

        # coordinates about the middle of the box; of the affine hull where that has fewer: M - 1 instead of d
        self.origin = 0.5 * (self.centres.max(0) + self.centres.min(0))
        c = self.centres - self.origin
        self.basis = None
        if self.size - 1 < self.dim:
            self.origin = self.centres[0]
            c = self.centres - self.origin
            self.basis = np.linalg.qr(c[1:].T)[0] if self.size > 1 else np.zeros((self.dim, 0))
            c = c @ self.basis
            middle = 0.5 * (c.max(0) + c.min(0)) if self.size > 1 else np.zeros(0)
            c = c - middle
            self.origin = self.origin + self.basis @ middle

        # tables that depend on the step are made when they are needed
        self.c = np.ascontiguousarray(c)
        self.half = 0.5 * np.einsum("mr,mr->m", self.c, self.c)
        self.r = c.shape[1]
        self._squares = self._near = None
        self._table = (None, None)
        self._fix()

    def _tables(self, ik):
        """exp(-|c_i-c_j|^2 ik/2), shared by all queries; None where the cloud is too large for an M x M table."""
        if self.size > 2048:
            return None
        if self._squares is None:
            # single precision screens starts of large clouds; nothing that is returned depends on its rounding
            d = 2 * half_square_distances(self.c, self.c)
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

        Returns
        -------
        (n, d) array, or `ProxResult` with ``certificate``

        Raises
        ------
        ValueError
            Naming the argument, for shapes that do not fit, a step that is not positive or a negative variance.
        """
        # arguments
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
        report = Report(n) if certificate else None
        run = _Run(starts, local, gap, np.empty((n, self.dim)), report, {})

        # atoms: the Laguerre cell
        limit = v <= TINY
        if limit.any():
            k = np.nonzero(limit)[0]
            index, value = laguerre(x[k], lam[k], self.all_centres, self.all_weights)
            run.z[k] = self.all_centres[index]
            if report is not None:
                report.objective[k], report.gap[k], report.residual[k], report.starts[k] = value, 0.0, 0.0, 0
                report.status[k] = "convex"

        # densities: the mode z, in blocks of at most 16 MiB of weights
        smooth = np.nonzero(~limit)[0]
        y = x - self.origin
        y = y @ self.basis if self.basis is not None else y
        rows = max(1, min(4096, (1 << 21) // self.size))
        for a in range(0, len(smooth), rows):
            k = smooth[a : a + rows]
            self._block(_Queries(x[k], y[k], lam[k], v[k], k), run)

        # the point u that belongs to z
        if calls is not None:
            count(calls, **run.calls)
        share = (lam / (v + lam))[:, None]
        point = np.where(share == 1.0, run.z, x + share * (run.z - x))
        if report is None:
            return from_numpy(point, like)
        for a in range(0, len(smooth), max(1, (1 << 20) // self.size)):
            k = smooth[a : a + max(1, (1 << 20) // self.size)]
            report.objective[k], grad, terms = self.objective(x[k], point[k], lam[k], v[k])
            report.residual[k] = np.linalg.norm(grad, axis=1) / terms
        report.widen(smooth, lam)
        return report.result(point, run.calls, like)

    def _block(self, q, run):
        """Modes of some queries: those with one component at once, the others in groups that need about as many."""
        width = q.v + q.lam
        log_w = half_square_distances(q.y, self.c)
        log_w /= -width[:, None]
        log_w += self.log_w
        log_w -= log_w.max(1)[:, None]

        # components that count; rounding of the expanded squares widens the window, so that none is dropped without proof
        slack = 4 * EPS * (4 + math.sqrt(self.r)) * ((q.y * q.y).sum(1) + 2 * self.half.max()) / width
        active = log_w > -(DROP + math.log(self.size) + 2 * slack)[:, None]
        if run.local:
            active[:] = True
        counts = active.sum(1)

        # one component: its centre
        single = np.nonzero(counts == 1)[0]
        run.z[q.place[single]] = self.centres[log_w[single].argmax(1)]
        if run.report is not None:
            place = q.place[single]
            run.report.gap[place], run.report.status[place], run.report.starts[place] = 0.0, "convex", 1

        # several
        ik = q.ik
        table = None
        if not run.local and np.all(ik == ik[0]) and counts.max() > 12:
            table = self._tables(float(ik[0]))
        for rows, chosen in self._groups(log_w, counts):
            self._group(q.take(rows), log_w[rows], active[rows], chosen, table, run)

    def _groups(self, log_w, counts) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Rows with their components (n, A), heaviest first; None for rows that need a good part of all components."""
        few = (counts <= max(8, self.size // 3)) & ((counts <= 8) | (counts * self.r <= 1 << 21))
        classes = np.where(few, np.ceil(np.log2(np.maximum(counts, 2))).astype(int), -1)
        for kind in np.unique(classes[counts > 1]):
            group = np.nonzero((counts > 1) & (classes == kind))[0]

            # all components
            if kind < 0:
                per = max(1, min((1 << 20) // self.size, (1 << 21) // (130 * max(1, self.r))))
                for a in range(0, len(group), per):
                    yield group[a : a + per], None
                continue

            # the heaviest ones
            width = min(int(counts[group].max()), self.size)
            per = max(1, (1 << 20) // (width * max(1, self.r)))
            for a in range(0, len(group), per):
                rows = group[a : a + per]
                if width < self.size:
                    chosen = np.sort(np.argpartition(-log_w[rows], width - 1, axis=1)[:, :width], axis=1)
                else:
                    chosen = np.tile(np.arange(self.size), (len(rows), 1))
                heaviest = np.take_along_axis(log_w[rows], chosen, 1).argmax(1)
                every = np.arange(len(rows))
                chosen[every, heaviest], chosen[every, 0] = chosen[every, 0], chosen[every, heaviest]
                yield rows, chosen

    def _gather(self, q, chosen, active):
        """(modes, reference, basis): centres about the first one in at most A - 1 coordinates, weights by differences."""
        c = self.c[chosen]
        b, a, r = c.shape
        ref = c[:, 0, :].copy()

        # log-weight differences in the stable form (y - c_1).(c_j - c_1) - |c_j - c_1|^2/2
        c -= ref[:, None, :]
        log_w = ((q.y - ref)[:, None, :] @ c.swapaxes(1, 2))[:, 0] - 0.5 * np.square(c).sum(-1)
        log_w /= (q.v + q.lam)[:, None]
        log_w += self.log_w[chosen]
        log_w -= log_w.max(1)[:, None]
        log_w = np.where(active, log_w, -np.inf)

        basis = None
        if a - 1 < r:
            basis, up = np.linalg.qr(c[:, 1:, :].swapaxes(1, 2))
            c = np.concatenate([np.zeros((b, 1, a - 1)), up.swapaxes(1, 2)], axis=1)
        return Modes(c, log_w, q.ik), ref, basis

    def _group(self, q, log_w, active, chosen, table, run):
        """Modes of queries that use the components ``chosen`` (n, A), or all of them: search, polish, prove."""
        n, place = len(q.place), q.place
        ref = basis = None
        with np.errstate(invalid="ignore"):
            if chosen is None:
                modes = Modes(self.c, log_w, q.ik, self.half)
            else:
                modes, ref, basis = self._gather(q, chosen, np.take_along_axis(active, chosen, 1))

        # where the search starts
        if run.local:
            at = q.y if ref is None else q.y - ref
            at = at if basis is None else (at[:, None, :] @ basis)[:, 0]
            row, begin = np.arange(n), at
        else:
            row, begin = self._starts(modes, chosen, run.starts, run.calls, table)

        # the best end of all starts
        if modes.dense:
            at, value, norm = modes.newton(begin, row, run.calls, drop=not run.local)
        else:
            at, value, norm = mean_shift(modes, begin, row, run.calls, drop=not run.local)
        win = first_best(value, row, n)
        found = Found(at[win], value[win], norm[win])
        if modes.expanded:  # expanded squares lose eps R^2/kappa in the logits: direct differences where that is too much
            loose = (EPS * modes.scale**2 * q.ik > 1e-14) | (found.norm > 1e-14 * modes.scale)
            rows = np.nonzero(loose)[0]
            if len(rows):
                found.put(rows, *self._polish(modes, found.z[rows], rows, run.calls))
        _, _, cov, weights = modes.evaluate(found.z, np.arange(n), direct=True, second=modes.dense, weights=True)
        if modes.dense:
            self._second_order(modes, found, cov, weights, run.calls)

        # what can be proved
        report = run.report
        if report is not None:
            report.starts[place] = np.bincount(row, minlength=n)
        if report is not None and not run.local:
            before = found.z.copy()
            proof = certify(modes, found, run.gap / q.lam * 0.98, run.calls)
            report.gap[place], report.status[place] = q.lam * proof.gap, proof.status
            moved = np.nonzero((found.z != before).any(1))[0]
            if len(moved):
                weights[moved] = modes.evaluate(found.z[moved], moved, direct=True, second=False, weights=True)[3]

        # the mode in the coordinates of the cloud: its mean of the centres
        if chosen is None:
            run.z[place] = weights @ self.centres
        else:
            run.z[place] = (weights[:, None, :] @ self.centres[chosen])[:, 0]

    def _polish(self, modes, best, rows, calls):
        """(z, G, |m - z|) after Newton by direct differences on the components that count at the solution."""
        if modes.dense:
            return modes.newton(best, rows, calls, direct=True)

        # high dimension, many components: one query at a time bounds the workspace
        z, value, norm = best.copy(), np.empty(len(rows)), np.empty(len(rows))
        for i, q in enumerate(rows):
            one = np.array([q])
            g, dm, _, weights = modes.evaluate(z[i : i + 1], one, direct=True, second=False, weights=True)
            near = weights[0] > 1e-18 / modes.size
            if near.sum() * modes.r > 1 << 21:  # as many as that: kappa is not small, and products have no such loss
                value[i], norm[i] = g[0], np.linalg.norm(dm[0])
                continue
            sub = Modes(np.ascontiguousarray(modes.c[near]), modes.log_w[q : q + 1, near], modes.ik[q : q + 1])
            at, g, residual = sub.newton(z[i : i + 1], np.array([0]), calls, direct=True)
            z[i], value[i], norm[i] = at[0], g[0], residual[0]
        return z, value, norm

    def _second_order(self, modes, found, cov, weights, calls):
        """Leave saddles (reached only from symmetric starts) along the direction of largest posterior spread; in place."""
        rows = np.arange(modes.rows)
        for _ in range(3):
            # where Cov_r / kappa has an eigenvalue above 1; the trace is a cheap first sieve
            high = np.einsum("pii->p", cov) * modes.ik[rows] > 1
            rows, cov = rows[high], cov[high]
            if not len(rows):
                return
            values, vectors = np.linalg.eigh(cov)
            bad = values[:, -1] * modes.ik[rows] > 1 + 1e-9
            rows, direction = rows[bad], vectors[bad, :, -1]
            if not len(rows):
                return

            # climb from both sides
            step = 1e-2 * direction / np.sqrt(modes.ik[rows])[:, None]
            begin = np.concatenate([found.z[rows] + step, found.z[rows] - step])
            both = np.concatenate([rows, rows])
            at, value, norm = modes.newton(begin, both, calls, direct=True)
            win = first_best(value, both, modes.rows)[rows]
            up = value[win] > found.value[rows]
            rows, win = rows[up], win[up]
            found.put(rows, at[win], value[win], norm[win])
            if not len(rows):
                return
            _, _, cov, weights[rows] = modes.evaluate(found.z[rows], rows, direct=True, weights=True)

    def _starts(self, modes, chosen, starts, calls, table):
        """Query index and position of every start: local maxima of G over the components, and the weighted mean."""
        size, r = modes.size, modes.r
        limit = size if starts is None else starts
        convex = modes.square_radius() * modes.ik < 1 - 1e-9
        weight = np.exp(np.maximum(modes.log_w, -600))
        if table is not None:
            score = self._scores_by_table(modes, chosen, weight, table, limit, calls)
        else:
            score = self._scores(modes, weight, limit, calls)

        # the best components
        m = min(limit, size)
        if m < size:
            order = np.sort(np.argpartition(-score, m - 1, axis=1)[:, :m], axis=1)  # ties go to the lowest index
        else:
            order = np.broadcast_to(np.arange(size), (modes.rows, size))
        ranked = np.take_along_axis(score, order, 1)

        # At the global mode Cov_r <= kappa I, so some component c_i has |z* - c_i|^2 <= trace Cov_r <= r kappa; since
        # hess G >= -I/kappa, G(c_i) >= G* - r/2: the component nearest to the mode passes this window.
        top = ranked.argmax(1)
        use = ranked > ranked.max(1)[:, None] * math.exp(-0.5 * r - 0.5)
        use[convex] = False
        use[np.nonzero(convex)[0], top[convex]] = True
        row, col = np.nonzero(use)
        which = order[row, col]
        begin = modes.c[which] if modes.shared else modes.c[row, which]

        # the mode of the widest kernel: catches modes that lie on no component (three equal ones in a triangle)
        extra = np.nonzero(~convex)[0]
        if len(extra):
            w = weight[extra] / weight[extra].sum(1)[:, None]
            mean = w @ modes.c if modes.shared else (w[:, None, :] @ modes.c[extra])[:, 0]
            row, begin = np.concatenate([row, extra]), np.concatenate([begin, mean])
        return row, begin

    def _scores_by_table(self, modes, chosen, weight, table, limit, calls):
        """exp(G) at the components (n, A) from the table of kernels; -inf where a close component has a larger value."""
        full = weight
        if chosen is not None:
            full = np.zeros((modes.rows, self.size))
            np.put_along_axis(full, chosen, weight, 1)
        value = full.astype(table.dtype, copy=False) @ table
        count(calls, screen=value.size * modes.size // self.size)
        near, far = self._near
        mask = far * float(modes.ik[0]) <= 1.0
        peak = np.ones(value.shape, bool)
        for q in range(near.shape[1] if modes.size > limit else 0):
            peak &= ~mask[:, q] | (value >= value[:, near[:, q]])
        score = np.where(peak, value, -np.inf)
        if chosen is not None:
            score = np.take_along_axis(score, chosen, 1)
        return np.where(modes.log_w > -np.inf, score, -np.inf)

    def _scores(self, modes, weight, limit, calls):
        """The scores of `_scores_by_table` without a table, for the 256 heaviest components of each query."""
        n, size = weight.shape
        take = np.broadcast_to(np.arange(size), (n, size))
        if size > 256:
            take = np.argpartition(-modes.log_w, 255, axis=1)[:, :256]
        score = np.full((n, size), -np.inf)
        m = take.shape[1]
        step = max(1, (1 << 20) // (m * m))
        for a in range(0, n, step):
            s = slice(a, a + step)
            c = modes.c[take[s]] if modes.shared else np.take_along_axis(modes.c[s], take[s][:, :, None], 1)
            square = np.square(c).sum(-1)
            d = np.maximum(0, square[:, :, None] + square[:, None, :] - 2 * c @ c.swapaxes(1, 2))
            d *= modes.ik[s][:, None, None]
            w = np.take_along_axis(weight[s], take[s], 1)
            value = (np.exp(np.maximum(-0.5 * d, -600)) @ w[:, :, None])[:, :, 0]
            peak = np.full(w.shape, True)
            if size > limit:
                peak = ~((d <= 1.0) & (value[:, None, :] > value[:, :, None])).any(2)
            np.put_along_axis(score[s], take[s], np.where(peak & (w > 0), value, -np.inf), 1)
        count(calls, screen=n * m)
        return score

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
            # log q and the pull of the centres, u seen from x
            s = slice(a, a + step)
            e = np.concatenate([np.square(self.centres[b] - u[s][:, None, :]).sum(2) for b in blocks], axis=1)
            e = self.log_w - 0.5 * e / v[s][:, None]
            top = e.max(1)
            e = np.exp(np.maximum(e - top[:, None], -600))
            total = e.sum(1)
            log_q = np.log(total) + top - 0.5 * self.dim * np.log(2 * np.pi * v[s])
            e /= total[:, None]
            pull = sum((e[:, None, b] @ (self.centres[b] - u[s][:, None, :]))[:, 0] for b in blocks)

            # gradient and its terms, both divided by 1 + lam/v, which may be large
            share = (lam[s] / (v[s] + lam[s]))[:, None]
            rest = (v[s] / (v[s] + lam[s]))[:, None]
            value[s] = 0.5 * np.square(x[s] - u[s]).sum(1) - lam[s] * log_q
            grad[s] = rest * (u[s] - x[s]) - share * pull
            size_u, size_x = np.linalg.norm(u[s], axis=1), np.linalg.norm(x[s], axis=1)
            terms[s] = rest[:, 0] * (size_x + size_u) + share[:, 0] * (size_u + np.linalg.norm(pull + u[s], axis=1)) + 1e-300
        return value, grad, terms


@in_range
def prox_isotropic(
    x: ArrayLike,
    lam: ArrayLike,
    centres: ArrayLike,
    weights: ArrayLike | None = None,
    variance: ArrayLike = 1.0,
    **options: Any,
) -> Any:
    """Prox of -lam log sum_j w_j N(c_j, variance I) at the rows of x; arguments as in `EqualVariance` and its call.

    Returns
    -------
    (n, d) array, or `ProxResult` with ``certificate=True``

    Examples
    --------
    The prox of a standard normal law divides by 1 + lam, and the problem is convex:

    >>> from exactdiffusion.prox import prox_isotropic
    >>> prox_isotropic([[3.0, -1.5]], lam=0.5, centres=[[0.0, 0.0]])
    array([[ 2., -1.]])
    >>> prox_isotropic([[3.0, -1.5]], 0.5, [[0.0, 0.0]], certificate=True).status
    array(['convex'], dtype='<U6')
    """
    return EqualVariance(centres, weights)(x, lam, variance, **options)


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
        result = _rescale(result, x, lam, a, flat, sigma, variance <= TINY)
    if certificate:
        return in_arrays_of(like, result)
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
    gap = result.gap * a**2 + 4 * EPS * np.abs(objective)
    residual, status = result.residual.copy(), result.status.copy()
    if flat.any():
        u, s2 = point[flat], sigma[flat] ** 2
        objective[flat] = 0.5 * np.square(u - x[flat]).sum(1) + lam[flat] * (
            0.5 * np.square(u).sum(1) / s2 + 0.5 * d * np.log(2 * np.pi * s2)
        )
        gap[flat] = 4 * EPS * np.abs(objective[flat])
        grad = np.linalg.norm((u - x[flat]) + (lam[flat] / s2)[:, None] * u, axis=1)
        residual[flat] = grad / (np.linalg.norm(x[flat], axis=1) + (1 + lam[flat] / s2) * np.linalg.norm(u, axis=1) + 1e-300)
        status[flat] = "convex"
    return ProxResult(point, objective, residual, objective - gap, gap, status, result.starts, result.calls)


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
