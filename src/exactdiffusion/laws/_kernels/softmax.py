"""Weights of the atoms of a point cloud, and their sums, for arrays of any namespace.

Notation: y = x / s, precision r^2 = (s / t)^2, h_j = |y - p_j|^2 / 2. The logits are ``log w_j - r^2 h_j``; ``*`` is the
best atom of a row, and all weights are relative to its weight.

**Two forms.** In few dimensions h_j is summed over the coordinates of y - p_j. Otherwise it is expanded about the centre c
of the cloud, which makes all logits of a block one matrix product. Bounds of the error of a logit, in units of eps r^2:

- coordinates: ``(d + 2) h_*``, what is left of (d + 2) h_j when the common part is gone;
- expansion: ``2 (4 + sqrt d) (|y - c| + R + |c| / 2) R``, R the largest norm of an atom in the product (sqrt d for d
  roundings of random sign, doubled);
- differences ``h_* - h_j = D . (y - p_* - D / 2)``, D = p_j - p_*: ``2 (4 + sqrt d) |y - p_*| |D|``, what the problem itself
  deserves.

**One fallback.** Errors delta_j of the logits move the mean by ``sum_j w_j delta_j |p_j - mean|``. So the first two forms
serve in a row where (i) delta times the mass of the atoms other than the best is below the tolerance, or (ii) many atoms
count and delta is within a factor of the error that differences would have at the root mean square distance of those atoms
from the best one. In the other rows every atom of weight above ``tolerance / (M delta)`` is recomputed by differences; the
M atoms below contribute at most ``M * tolerance / (M delta) * delta = tolerance``. Where delta is large, or where products
leave the range of floats, all atoms are recomputed, in units of t, in which nothing leaves the range.

**Accelerators.** Nothing in a block asks the device for a number, which would make Python wait for it, except one question:
whether all rows are good. Large clouds in up to three dimensions have a search tree: `tree`.
"""

import functools
import math
import threading
from dataclasses import dataclass

import array_api_compat
import numpy as np

from ..._core.arrays import array_namespace, from_numpy, is_numpy, on_accelerator, to_numpy, workspace
from ..._core.typing import Array
from ..base import BLOCK_DOUBLES, EPS, column, norm_rows

# Logits below this have weight 0: exp(-600) times a coordinate is still a normal number, and 1e-261 changes no result.
FLOOR = -600.0
TOLERANCE = 64 * EPS
# Times the error of differences that a logit may have (ii above): for means, and for covariances, where it is relative.
FACTOR, FACTOR_FULL = 32.0, 8.0
# Atoms that count, up to which a row gets exact logits even where (ii) would serve: so many may tie.
FEW = 8
# Largest dimension in which distances are summed over coordinates: on the CPU, and on a device where passes cost more.
LOW, LOW_DEVICE = 6, 3
# Best logits above which weights are made without it first: they are normal numbers, and right to as many digits.
NEAR = -30.0
# Doubles of one matrix (rows x atoms) of a block: of one that stays in cache, and of the largest one.
LOW_BLOCK, LARGE_BLOCK = 1 << 19, 6_500_000
# Clouds up to this many doubles keep centred copies of their atoms.
SMALL_CLOUD = 1 << 22
# Pairs (query, atom) from which a call is worth the import of the compiled kernel.
WORTH = 1 << 17


@dataclass(slots=True)
class Found:
    """What the oracles need of rows: the best atom ``reference`` (m,), the sum ``others`` (m,) of the weights of the others
    relative to it, ``shift`` (m, d) = E[X | x] - p_*, ``covariance`` (m, d, d); None where it was not asked for."""

    reference: Array
    others: Array
    shift: Array | None = None
    covariance: Array | None = None

    @classmethod
    def empty(cls, x, what):
        """Zeros for the rows of x."""
        xp, (n, d) = array_namespace(x), x.shape
        zeros = functools.partial(xp.zeros, dtype=xp.float64, device=x.device)
        return cls(
            xp.zeros((n,), dtype=xp.int64, device=x.device),
            zeros((n,)),
            zeros((n, d)) if what != "density" else None,
            zeros((n, d, d)) if what == "covariance" else None,
        )

    def parts(self):
        """Names and arrays of the fields that are there."""
        return [(name, getattr(self, name)) for name in self.__slots__ if getattr(self, name) is not None]

    def put(self, rows, part):
        """Take over ``part`` as the given rows; NumPy."""
        for name, value in part.parts():
            getattr(self, name)[rows] = value

    def replaced(self, mask, part):
        """These rows, with the rows where mask (m,) holds taken from ``part``, in order."""
        return Found(**{name: _merge(mask, getattr(part, name), old) for name, old in self.parts()})


@functools.cache
def compiled():
    """Module of the compiled kernel (extra ``fast``); None where numba is missing or does not work here (too old for this
    Python, no place for its cache): NumPy then does the same."""
    try:
        from . import compiled

        L, others = np.zeros((1, 3)), np.empty((1, 1))
        compiled.softmax(L, np.empty(1, dtype=np.int64), others)
    except Exception:
        return None
    return compiled if np.array_equal(L, [[0.0, 1.0, 1.0]]) and others[0, 0] == 2.0 else None


def low(law, x):
    """Whether the distances from x are summed over coordinates."""
    return law.dim <= (LOW_DEVICE if on_accelerator(x) else LOW)


def fuses(law, x, what, kernel):
    """Whether the compiled kernel does all of a block, without a matrix of weights."""
    return kernel is not None and what != "covariance" and low(law, x)


def rows(law, x, fused=False):
    """Rows of a block of queries; ``fused``: see `fuses`."""
    n, M, d = x.shape[0], law._active, law.dim
    if fused:
        return max(1, BLOCK_DOUBLES // (2 * d))
    if on_accelerator(x):
        return max(1, -(-n // max(1, -(-n // max(1, workspace(x) // max(M, d))))))  # blocks of one size
    if low(law, x):
        return max(1, LOW_BLOCK // M)
    return max(1, min(LARGE_BLOCK // max(M, d), max(256 if d >= 256 else 64, BLOCK_DOUBLES // M)))


def chunks(total, size):
    """Slices of at most ``size`` that cover range(total)."""
    size = max(1, int(size))
    return [slice(a, min(a + size, total)) for a in range(0, total, size)]


# -- helpers for arrays of any namespace ---------------------------------------------------------------------------------


def _pick(a, index):
    """a[i, index[i]] as a column (b, 1)."""
    xp = array_namespace(a)
    flat = xp.arange(a.shape[0], device=a.device) * a.shape[1] + index
    return xp.expand_dims(xp.take(xp.reshape(a, (-1,)), flat, axis=0), axis=-1)


def _put(a, index, value):
    """a with a value, or (b,) values, at (i, index[i]), in place where the namespace has assignment by index arrays."""
    xp = array_namespace(a)
    if is_numpy(xp) or array_api_compat.is_torch_namespace(xp) or array_api_compat.is_cupy_namespace(xp):
        a[xp.arange(a.shape[0], device=a.device), index] = value
        return a
    columns = xp.arange(a.shape[1], device=a.device)
    value = xp.asarray(value, dtype=xp.float64, device=a.device)
    value = xp.expand_dims(value, axis=-1) if value.ndim else value
    return xp.where(columns == xp.expand_dims(index, axis=-1), value, a)


def scratch(name, *shape):
    """An uninitialised NumPy array of this thread, which lives until the next one of that name: fresh memory costs a page
    fault every 512 doubles, more than a pass over them. Large ones are not kept."""
    size = math.prod(shape)
    if size > BLOCK_DOUBLES:
        return np.empty(shape)
    held = getattr(_STORE, name, None)
    if held is None or len(held) < size:
        held = np.empty(size)
        setattr(_STORE, name, held)
    return held[:size].reshape(shape)


_STORE = threading.local()


def _merge(mask, new, old):
    """``old`` (b, ...) with its rows where mask (b,) holds replaced by the rows of ``new``, in order."""
    xp = array_namespace(old)
    if is_numpy(xp):
        old[mask] = new
        return old
    position = xp.cumulative_sum(xp.astype(mask, xp.int64)) - 1
    position = xp.where(position < 0, xp.zeros_like(position), position)
    mask = xp.reshape(mask, (-1,) + (1,) * (old.ndim - 1))
    return xp.where(mask, xp.take(new, position, axis=0), old)


def _bounded(function, a, value):
    """``function(a, value)`` of maximum or minimum: older namespaces take arrays only."""
    xp = array_namespace(a)
    return function(a, value if is_numpy(xp) else xp.full((1,) * a.ndim, value, dtype=xp.float64, device=a.device))


def factor(values, x):
    """Levels, NumPy (b,) or (1,), as a factor of (b, d): a number, which costs a device nothing, or a column."""
    return float(values[0]) if len(values) == 1 else column(array_namespace(x), from_numpy(values, x))


def exponentiate(L, full=False):
    """Weights of logits <= 0, in place where the namespace can: exp from the floor up; ``full``: 0 below it.

    On a CPU exponentials that underflow cost ten times others, and products with subnormal numbers more, so that logits are
    clipped. What weights of e^-600 in the place of smaller ones leave in sums that are 0 goes by `flush`.
    """
    xp = array_namespace(L)
    clipped = not on_accelerator(L) and not float(xp.min(L)) >= FLOOR
    if clipped:
        # NumPy's clip with both ends is vector code, its maximum with a number is not.
        L = np.clip(L, FLOOR, math.inf, out=L) if is_numpy(xp) else _bounded(xp.maximum, L, FLOOR)
    E = np.exp(L, out=L) if is_numpy(xp) else xp.exp(L)
    if clipped and full:
        E[1.001 * math.exp(FLOOR) > E] = 0.0
    return E


def flush(law, S):
    """Sums of weights times atoms, without what weights at the floor leave where the sum is 0."""
    xp = array_namespace(S)
    if not on_accelerator(S):
        S[xp.abs(S) <= 2 * law._active * law._size * math.exp(FLOOR)] = 0.0
    return S


def sums(law, E, name):
    """sum_j E_j p_j (b, d) of the atoms of that name: as they are, "P", or centred, "C"."""
    xp, atoms = array_namespace(E), law._p(name, E)
    if is_numpy(xp) and law.dim >= 48 and law._active >= 512:
        # At small noise most atoms weigh less than e^-40 in every row, all of them together.
        (keep,) = np.nonzero(E.max(axis=0) > math.exp(-40.0) / law._active)
        if len(keep) < 0.7 * law._active:
            parts = chunks(len(keep), BLOCK_DOUBLES // law.dim)
            return flush(law, sum((E[:, keep[c]] @ atoms[keep[c]] for c in parts), np.zeros((len(E), law.dim))))
    if is_numpy(xp) and law.dim <= 4:
        # A thin product is slower than its columns.
        return flush(law, np.stack([E @ column for column in np.ascontiguousarray(atoms.T)], axis=1))
    return flush(law, xp.matmul(E, atoms))


# -- one block -----------------------------------------------------------------------------------------------------------


class Rows:
    """Queries x (b, d) of one block, at levels s, t > 0: NumPy arrays (b,) or (1,)."""

    def __init__(self, law, x, s, t):
        self.law, self.x, self.s, self.t = law, x, s, t
        with np.errstate(over="ignore"):  # such rows are taken by differences
            self.y = x if len(s) == 1 and s[0] == 1.0 else x / factor(np.where(s > 0, s, 1.0), x)
        self.r = factor(s / t, x)
        # Twice the error of one of 4 + sqrt d roundings, in the logits.
        self.unit = 2 * EPS * (4 + math.sqrt(law.dim))

    def some(self, index):
        """The rows of an index array."""
        xp, i = array_namespace(self.x), index
        s, t = (v if len(v) == 1 else v[to_numpy(i)] for v in (self.s, self.t))
        return Rows(self.law, xp.take(self.x, i, axis=0), s, t)

    def logits(self, weights=True):
        """Logits (b, M) up to a constant per row, without the log weights if asked."""
        law, xp, r = self.law, array_namespace(self.x), self.r
        weights = weights and not law._uniform
        if low(law, self.x):
            h = self._squares()
            h *= -0.5 * r * r
            if weights:
                h += law._p("logw", self.x)
            return h

        # Small clouds: bias and log weights are two more columns of the product.
        v = self.y - law._p("center", self.x)
        if law._small:
            one = xp.ones_like(v[:, :1])
            F, A = (
                xp.concat([r * r * v, r * r * one, float(weights) * one], axis=1),
                xp.matrix_transpose(law._p("A", self.x)),
            )
            return np.matmul(F, A, out=scratch("logits", len(F), law._active)) if is_numpy(xp) else xp.matmul(F, A)
        L = xp.matmul(r * r * v, xp.matrix_transpose(law._p(law._frame, self.x)))
        q = xp.expand_dims(law._p("q", self.x), axis=0)
        for c in chunks(L.shape[0], L.shape[0] if isinstance(r, float) else (1 << 19) // law._active):
            bias = (r if isinstance(r, float) else r[c, :]) ** 2 * q
            L[c, :] -= bias - law._p("logw", self.x) if weights else bias
        return L

    def _squares(self):
        """|y - p_j|^2 (b, M), one coordinate at a time."""
        xp, T = array_namespace(self.x), self.law._p("T", self.x)
        if is_numpy(xp):
            h, term = (scratch(name, len(self.y), T.shape[1]) for name in ("logits", "term"))
            pair, one = np.ones((len(self.y), 2)), np.ones(T.shape[1])
            for k in range(len(T)):
                # A product of (y_k, 1) and (1, -p_k): rounded once, like the difference, and faster than the broadcast.
                out, pair[:, 0] = term if k else h, self.y[:, k]
                np.matmul(pair, np.stack([one, -T[k]]), out=out)
                np.multiply(out, out, out=out)
                if k:
                    h += term
            return h
        terms = (self.y[:, k : k + 1] - T[k : k + 1, :] for k in range(T.shape[0]))
        return functools.reduce(lambda h, term: h + term, (term * term for term in terms))

    def least(self, top):
        """(smallest of the best `logits` ``top``, lower bound of all): sums over coordinates, NumPy."""
        law, best = self.law, float(np.min(top))
        span = math.sqrt(law.dim) * law._wide * float(np.max(self.r))
        bound = 0.5 * (math.sqrt(max(0.0, 2 * (law._heaviest - best))) + span) ** 2
        return best, float(np.min(law._p._host["logw"])) - bound

    def error(self, top, weights=True):
        """Bound (b, 1) of the error of the `logits` whose best are ``top`` (b, 1)."""
        law, xp = self.law, array_namespace(self.x)
        if low(law, self.x):
            return (law.dim + 2) * EPS * ((law._heaviest if weights and not law._uniform else 0.0) - top)
        norm = column(xp, norm_rows(xp, self.y - law._p("center", self.x)))
        return self.unit * (self.r * (norm + (law._reach + 0.5 * law._center_norm))) * (self.r * law._reach)

    def differences(self, i, j, reference):
        """r^2 (h_ref - h_j) for pairs (row i, atom j), without cancellation: nothing rounds where x is in the middle."""
        law, xp = self.law, array_namespace(self.x)
        P, s, r, half = law._p("P", self.x), factor(self.s, self.x), self.r, factor(0.5 / self.t, self.x)
        best, out = xp.take(P, reference, axis=0), []
        for c in chunks(i.shape[0], max(1, BLOCK_DOUBLES // (8 * law.dim))) or [slice(0, 0)]:
            x, p, p1 = xp.take(self.x, i[c], axis=0), xp.take(P, j[c], axis=0), xp.take(best, i[c], axis=0)
            s1, r1, half1 = (v if isinstance(v, float) else xp.take(v, i[c], axis=0) for v in (s, r, half))
            G = (x - p) + (x - p1) if isinstance(s1, float) and s1 == 1.0 else (x - s1 * p) + (x - s1 * p1)
            p -= p1
            out.append(xp.sum((r1 * p) * (half1 * G), axis=-1))
        return out[0] if len(out) == 1 else xp.concat(out)

    def exact(self, candidates, reference):
        """r^2 (h_ref - h_j) (b, M) where ``candidates`` (b, M) holds, -inf elsewhere, by differences."""
        xp = array_namespace(self.x)
        i, j = xp.nonzero(candidates)
        out = xp.full(candidates.shape, -xp.inf, dtype=xp.float64, device=self.x.device)
        out[candidates] = self.differences(i, j, reference)
        return out


@dataclass(slots=True)
class Weights:
    """Weights of one block: ``E`` (b, M) relative to the atom ``reference`` (b,), 0 there; their sums ``others`` (b, 1); the
    bound ``delta`` (b, 1) of the error of their logits; whether all weights down to the floor count (``full``); and a factor
    ``unit``, a number or (b, 1), that ``E`` still lacks."""

    E: Array
    reference: Array
    others: Array
    delta: Array
    full: bool
    unit: Array | float = 1.0

    @classmethod
    def of(cls, rows, full, kernel=None):
        """Weights by the form that is fast; ``kernel``: the compiled module or None."""
        law, x = rows.law, rows.x
        if kernel is None:
            L = rows.logits()
            xp, reference = array_namespace(L), array_namespace(L).argmax(L, axis=-1)
            top = _pick(L, reference)
            # Two passes over all logits are saved where the best ones are near 0, and where no other is below the floor.
            least = rows.least(top) if is_numpy(xp) and not full and low(law, x) else (-math.inf, -math.inf)
            late = least[0] > NEAR
            if not late:
                L -= top
            E = np.exp(L, out=L) if late and least[1] > FLOOR else exponentiate(L, full)
            E, unit = _put(E, reference, 0.0), np.exp(-top) if late else 1.0
            others = E @ np.ones((law._active, 1)) if is_numpy(xp) else xp.sum(E, axis=-1, keepdims=True)
            return cls(E, reference, others * unit, rows.error(top), full, unit)

        E, reference, others = rows.logits(), np.empty(len(x), dtype=np.int64), np.empty((len(x), 1))
        top = kernel.softmax(E, reference, others)
        return cls(E, reference, others, rows.error(top), full)

    def good(self, rows, S=None, frame=None):
        """Rows (b,) in which these weights serve: condition (i), and (ii) where their `sums` S (b, d) by atoms of the name
        ``frame`` are given."""
        law, xp = rows.law, array_namespace(self.E)
        mass = xp.ones_like(self.others) if self.full else _bounded(xp.minimum, 2 * self.others, 1.0)
        good = self.delta * mass <= TOLERANCE
        if S is not None:
            # Root mean square distance of the other atoms from the best one, by the moments of the weights.
            shift = law._p("center", rows.x) if frame == "P" else 0.0
            own = xp.take(law._p(frame, rows.x), self.reference, axis=0) - shift
            square = xp.sum(own * own, axis=-1, keepdims=True)
            second = 2 * xp.matmul(self.E, column(xp, law._p("q", rows.x)))
            second = second - 2 * xp.sum(own * (S - self.others * shift), axis=-1, keepdims=True)
            second = second + self.others * (square - 64 * EPS * law._reach**2)
            spread = xp.sqrt(_bounded(xp.maximum, second, 0.0) / _bounded(xp.maximum, self.others, 1e-300))
            far = column(xp, norm_rows(xp, rows.y - xp.take(law._p("P", rows.x), self.reference, axis=0)))
            factor = FACTOR_FULL if self.full else FACTOR
            close = self.delta <= factor * rows.unit * (rows.r * far) * (rows.r * spread)
            if not on_accelerator(self.E) and bool(xp.any(self.others[close] <= FEW)):
                count = xp.count_nonzero(self.cut(law._active) < self.E, axis=-1)
                close = close & (xp.expand_dims(count, axis=-1) > FEW)
            good = good | close
        return xp.reshape(good & (self.delta <= 0.25), (-1,))

    def cut(self, M):
        """Weights (b, 1) above which one of M atoms is worth an exact logit; below 0 where no logit can be trusted."""
        xp = array_namespace(self.E)
        cut = TOLERANCE * (self.others if self.full else 1.0) / (M * _bounded(xp.maximum, self.delta, TOLERANCE))
        return xp.where(self.delta <= 0.25, cut, xp.full_like(cut, -1.0))

    def some(self, index):
        """Those of the rows of an index array, with the unit in ``E``."""
        xp, whole = array_namespace(self.E), isinstance(self.unit, float)
        if whole and index.shape[0] == self.E.shape[0]:
            return self
        arrays = (self.E, self.reference, self.others, self.delta)
        E, *rest = (xp.take(a, index, axis=0) for a in arrays)
        return Weights(E if whole else E * xp.take(self.unit, index, axis=0), *rest, self.full)

    def cured(self, rows, index):
        """`Weights` of the rows ``index``, whose atoms that count are recomputed by differences."""
        law, xp, some = rows.law, array_namespace(self.E), self.some(index)
        E, reference = some.E, some.reference
        rows, logw = rows.some(index), law._p("logw", rows.x)

        # Atoms below the cut are good as they are; a cut below 0 or no number makes all atoms candidates.
        candidates = xp.logical_not(some.cut(law._active) >= E)

        # Seen from far away, or after an overflow, the first guess is not the best atom: then once more, relative to that.
        for _ in range(3):
            L = rows.exact(candidates, reference)
            if not law._uniform:
                L += logw - xp.expand_dims(xp.take(logw, reference, axis=0), axis=-1)
            better = xp.max(L, axis=-1) > 1.0
            if not bool(xp.any(better)):
                break
            reference = xp.where(better, xp.argmax(L, axis=-1), reference)
        new = exponentiate(xp.where(candidates, L, xp.zeros_like(L)), self.full)
        E = _put(xp.where(candidates, new, E), reference, 0.0)
        others = xp.sum(E, axis=-1, keepdims=True)
        return Weights(E, reference, others, xp.zeros_like(others), self.full)


def weigh(rows, full=False, kernel=None, frame=None):
    """(`Weights` of one block, `sums` of them by atoms of the name ``frame``, None where that is None)."""
    law = rows.law
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        w = Weights.of(rows, full, kernel)
        xp = array_namespace(w.E)
        S = sums(law, w.E, frame) if frame else None
        if S is not None and not isinstance(w.unit, float):
            S *= w.unit
        good = w.good(rows)
        if on_accelerator(rows.x):
            good = w.good(rows, sums(law, w.E, law._frame) if S is None else S, frame or law._frame)
        elif not bool(xp.all(good)):
            # Condition (ii) for the rows that need it.
            bad = xp.logical_not(good)
            (index,) = xp.nonzero(bad)
            part, some = w.some(index), rows.some(index)
            moment = sums(law, part.E, law._frame) if S is None else xp.take(S, index, axis=0)
            good = _merge(bad, part.good(some, moment, frame or law._frame), good)
        if bool(xp.all(good)):
            return w, S

        # The fallback, a few rows at a time: it holds several arrays of their size.
        bad = xp.logical_not(good)
        (index,) = xp.nonzero(bad)
        parts = [w.cured(rows, index[c]) for c in chunks(index.shape[0], max(1, workspace(rows.x) // (2 * law._active)))]
        for name in ("reference", "others", "E") if full else ("reference", "others"):
            new = xp.concat([getattr(part, name) for part in parts], axis=0)
            setattr(w, name, _merge(bad, new, getattr(w, name)))
        if frame:
            S = _merge(bad, xp.concat([sums(law, part.E, frame) for part in parts], axis=0), S)
    return w, S


def moments(law, x, s, t, what, kernel=None):
    """`Found` of one block; ``what``: "mean", "offset", "density" or "covariance". Rows at t = 0 are projections.

    The shift of a mean is as good as the coordinates of atoms are, that of an offset as their distances from the centre.
    """
    xp, zero = array_namespace(x), np.broadcast_to(t == 0, (x.shape[0],))

    # Projections, and the other rows at their levels.
    if zero.any():
        projected = Found.empty(x, what)
        if zero.all():
            projected.reference = nearest(law, x, s)[0]
            return projected
        found = moments(law, x, s, np.where(t == 0, 1.0, t), what, kernel)
        index = from_numpy(np.flatnonzero(zero), x)
        part = Found(**{name: xp.take(a, index, axis=0) for name, a in projected.parts()})
        part.reference = nearest(law, xp.take(x, index, axis=0), s if len(s) == 1 else s[zero])[0]
        return found.replaced(from_numpy(np.array(zero), x), part)

    rows = Rows(law, x, s, t)
    if fuses(law, x, what, kernel):
        return _fused(rows, what, kernel)
    frame = {"mean": "P", "offset": law._frame}.get(what)
    w, S = weigh(rows, what == "covariance", kernel, frame)

    # Moments relative to the best atom.
    found = Found(w.reference, xp.reshape(w.others, (-1,)))
    if frame:
        S -= w.others * xp.take(law._p(frame, x), w.reference, axis=0)
        S /= 1.0 + w.others
        found.shift = flush(law, S)
    if what == "covariance":
        found.covariance = covariances(law, x, w)
    return found


def _fused(rows, what, kernel):
    """`Found` of one block by the compiled kernel, without a matrix of weights; by NumPy where its logits do not serve."""
    law, x, found = rows.law, rows.x, Found.empty(rows.x, what)
    factor = np.broadcast_to(np.reshape(-0.5 * rows.r * rows.r, (-1,)), (len(x),))
    logw = law._p("logw", x)[: 0 if law._uniform else law._active]
    others, shift = found.others[:, None], np.empty((len(x), 0)) if found.shift is None else found.shift
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        top = kernel.low(rows.y, law._p("T", x), factor, logw, found.reference, others, shift)
        good = Weights(others, found.reference, others, rows.error(top), False).good(rows)
    bad = np.flatnonzero(~good)
    for c in chunks(len(bad), max(1, LOW_BLOCK // law._active)):
        some = rows.some(bad[c])
        found.put(bad[c], moments(law, some.x, some.s, some.t, what))
    return found


def covariances(law, x, w):
    """Conditional covariances (b, d, d).

    Offsets from the reference atom, so that nothing cancels for close atoms far from the origin, in blocks of rows, and of
    atoms where one row fills a block.
    """
    xp, d = array_namespace(x), law.dim
    used = int(xp.count_nonzero(xp.max(w.E, axis=0) > 0))
    out, step = [], max(1, BLOCK_DOUBLES // (16 * max(1, used) * d))
    P = law._p("P", x)

    def gathered(index):
        """(d, m) coordinates of some atoms: rows of P are copied whole, coordinates one by one where there are few."""
        return xp.take(law._p("T", x), index, axis=1) if d <= LOW else xp.matrix_transpose(xp.take(P, index, axis=0))

    for r in chunks(x.shape[0], step):
        E, total = w.E[r, :], xp.expand_dims(1.0 + w.others[r, :], axis=-1)
        best = xp.expand_dims(xp.matrix_transpose(gathered(w.reference[r])), axis=-1)

        # Only atoms that count in some row.
        (keep,) = xp.nonzero(xp.max(E, axis=0) > 0)
        parts = []
        for c in chunks(keep.shape[0], BLOCK_DOUBLES // (4 * d)):
            e = E if keep[c].shape[0] == E.shape[1] else xp.take(E, keep[c], axis=1)
            parts.append((xp.expand_dims(e, axis=1), keep[c]))

        def offset(index, best=best):
            """(b, d, m) coordinates of some atoms relative to the best; NumPy: in the place of the ones before."""
            p, b, m = gathered(index), best.shape[0], index.shape[0]
            if not is_numpy(xp):
                return xp.expand_dims(p, axis=0) - best
            room = scratch("offsets", b, d, m) if d <= LOW else np.swapaxes(scratch("offsets", b, m, d), 1, 2)
            return np.subtract(p, best, out=room)

        mean, D = xp.zeros_like(best), best
        for e, index in parts:
            D = offset(index)
            mean += xp.matmul(D, xp.matrix_transpose(e)) / total

        # The reference atom itself lies at minus the mean offset.
        cov = xp.matmul(mean, xp.matrix_transpose(mean))
        for e, index in parts:
            # Roots of the weights on both sides: one array, and half of a product.
            D = offset(index) if len(parts) > 1 else D
            D -= mean
            D *= np.sqrt(e, out=e) if is_numpy(xp) else xp.sqrt(e)
            cov += xp.matmul(D, xp.matrix_transpose(D))
        out.append(cov / total)
    return out[0] if len(out) == 1 else xp.concat(out, axis=0)


def posterior(law, x, s, t):
    """Posterior weights (b, M) of all atoms; 1 for the nearest one at t = 0."""
    xp, zero = array_namespace(x), np.broadcast_to(t == 0, (x.shape[0],))
    w, _ = weigh(Rows(law, x, s, np.where(t == 0, 1.0, t)), True)
    E, best, others = w.E, w.reference, w.others
    if zero.any():
        at = from_numpy(np.array(zero), x)
        best = xp.where(at, nearest(law, x, s)[0], best)
        E, others = (xp.where(column(xp, at), xp.zeros_like(a), a) for a in (E, others))
    columns = xp.arange(law._active, device=x.device)
    return xp.where(columns == xp.expand_dims(best, axis=-1), xp.ones_like(E), E) / (1.0 + others)


def nearest(law, x, s, count=1):
    """(nearest atom of s times the cloud (b,), second nearest or None): the lowest index among equals."""
    xp, M = array_namespace(x), law._active
    if x.shape[0] == 0:
        none = xp.zeros((0,), dtype=xp.int64, device=x.device)
        return none, none
    found, two = [], count > 1 and M > 1
    for c in chunks(x.shape[0], rows(law, x)):
        block = Rows(law, x[c, :], s if len(s) == 1 else s[c], np.ones(1))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            # All atoms that rounding cannot tell from the nearest one, or the two nearest; what is no number is one, too.
            L = block.logits(weights=False)
            index = second = xp.argmax(L, axis=-1)
            top = best = _pick(L, index)
            if two:
                L = _put(L, index, -xp.inf)
                second = xp.argmax(L, axis=-1)
                top = _pick(L, second)
                L = _put(L, index, xp.reshape(best, (-1,)))
            error = block.error(top, weights=False)
            candidates = xp.logical_not(top - 2 * error > L)

            # Differences decide where there are more of them than asked for, or two whose order rounding may turn.
            tied = xp.count_nonzero(candidates, axis=-1) > 1 + two
            if two:
                tied |= xp.reshape(xp.logical_not(best - 2 * error > top), (-1,))
            if bool(xp.any(tied)):
                (i,) = xp.nonzero(tied)
                exact = block.some(i).exact(xp.take(candidates, i, axis=0), xp.take(index, i, axis=0))
                first = xp.argmax(exact, axis=-1)
                index = _merge(tied, first, index)
                if two:
                    second = _merge(tied, xp.argmax(_put(exact, first, -xp.inf), axis=-1), second)
        found.append((index, second))
    return tuple(a[0] if len(a) == 1 else xp.concat(list(a)) for a in zip(*found, strict=True))
