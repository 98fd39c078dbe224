"""Large clouds in one to three dimensions: a k-d tree finds the few atoms that count, and proves that the others do not.

Notation of `softmax`: y = x / s, precision p = (s / sigma)^2, logits ``log w_j - p h_j`` with h_j = |y - p_j|^2 / 2.

**What is left out.** Let b be the logit of some atom near y (the best one of the leaf to which a greedy descent leads). A
box of the tree at distance r from y is left out if ``-p r^2 / 2 + log W < b - T``, W the sum of all weights. Its atoms have
``w_j exp(-p h_j) <= w_j exp(b - T) / W``, so all that is left out weighs less than e^-T times the best atom: the number of
atoms and their weights are in b and W (for M equal weights ``b = -log M - p h``). Nothing else is assumed: which atom b
belongs to, and how good the boxes are, changes the time only.

Beyond the radius R of the window (``p R^2 / 2 >= T``) both r exp(-p r^2 / 2) and r^2 exp(-p r^2 / 2) decrease. So with
T = 40 the mean moves by less than e^-40 2 R: a bound without the diameter of the cloud, good enough for
scores, too. A covariance moves by less than ``e^-T 8 R^2``: with T = 80 this is below e^-40 of its trace unless the trace is
tiny, which is seen afterwards; such rows go again with T = 600, the floor of `softmax`.

**Rounding.** Squared distances of atoms and of boxes are made by the same operations in the same order, and rounding is
monotone: the computed square of an atom is never below that of its box. Both are good to (d + 2) eps relative, and so is
the limit on them, a sum of positive terms: it is enlarged by 8 (d + 2) eps.

**Time.** Rows whose window holds many atoms are given back for the dense kernels: where more than a share of the boxes of a
level, or of the atoms in the end, is left. The shares come from measurements: a pair costs 20 to 25 ns here, 1 ns in the
compiled kernel of the mean, 3 to 25 ns in the others. Where this happens to more than half of a sample of the rows, all are
given back. A search for the k nearest would need a guard of its own: seen from the centre of a circle of 50,000 atoms all
are neighbours, and `scipy.spatial.cKDTree` visits each of them, 1600 us for what takes the dense kernel 70 us. All decisions
are functions of the arguments of the call and of whether the compiled kernels are there, never of earlier calls. The tree,
boxes of 16 to 32 atoms, is made at the first call that can use it, in a seventh to a fourteenth of the time that making the
law took. It has 3.1 to 3.3 times the size of the cloud in one dimension, 2.1 to 2.3 in two, 1.7 to 1.9 in three; making it
takes up to 5.1 times.
"""

import math
import threading

import numpy as np

from ..base import EPS
from . import softmax
from .softmax import FLOOR, Found, exponentiate, flush

# Windows: of means and densities, and in turn of covariances.
WINDOW, WIDE = 40.0, (80.0, -FLOOR)
# Atoms of a cloud, and pairs of a call, from which a tree is tried.
ATOMS, PAIRS = 1 << 14, 1 << 23
LEAF, BRANCH, COARSE = 32, 16, 256
# Largest shares of the boxes that a row may keep above the leaves (or so many boxes, which a small window may touch), and of
# the atoms in the end: where the other kernels are those of NumPy, and where they are compiled.
TOUCHED, FEW = 1 / 12, 12
SHARES = (1 / 12, 1 / 48)
# Atoms that a row may keep at most: room for 1 << 17 times the temporaries of a pair.
MOST = 1 << 17
# Rows of a call of the kernels, rows of one search, pairs (row, leaf) that it may find, pairs (row, atom or child) of
# one step.
ROWS, SEARCH, FOUND, STEP = 1 << 15, 1 << 10, 1 << 20, 1 << 15
SAMPLE = (4, 64)


def applies(law, n):
    """Whether a call with n rows may use the tree."""
    return law.dim <= 3 and law._active >= ATOMS and n * law._active >= PAIRS


class Tree:
    """Leaves of equally many atoms, halved along their widest side, and the boxes of 16 children at a time.

    ``points`` (leaves, d, L), ``index`` (leaves, L) rows of the law's atoms, ``lack`` (leaves, L) minus their log weights;
    the leaves are filled up with copies of atoms, of weight 0 (lack = inf). ``total``: log of the sum of all weights.
    ``top``: corners (d, boxes) of the coarsest level; ``levels``: corners (boxes, d, BRANCH) of the children of each box,
    down to the leaves.
    """

    def __init__(self, law):
        P, logw = law._p._host["P"], law._p._host["logw"]
        M, d = P.shape

        # Copies of atoms, which get weight 0, fill the leaves up to one size.
        depth = max(4, math.ceil(math.log2(M / LEAF)))
        L = -(-M // (1 << depth))
        extra = (L << depth) - M
        index = np.concatenate([np.arange(M), np.linspace(0, M - 1, extra).astype(np.int64)])

        # Halve every box along its widest side, one level at a time.
        order, X = np.arange(len(index)), np.ascontiguousarray(P[index].T)
        for level in range(depth):
            X, order = X.reshape(d, 1 << level, -1), order.reshape(1 << level, -1)
            wide = np.argmax(X.max(axis=2) - X.min(axis=2), axis=0)
            by = np.argpartition(X[wide, np.arange(len(wide))], X.shape[2] // 2, axis=1)
            order = np.take_along_axis(order, by, axis=1)
            for k in range(d):
                X[k] = np.take_along_axis(X[k], by, axis=1)

        # The atoms of the leaves.
        order = order.reshape(-1, L)
        self.points = np.ascontiguousarray(X.reshape(d, -1, L).transpose(1, 0, 2))
        self.index = index[order]
        self.lack = np.where(order < M, -logw[self.index], np.inf)
        self.total = float(np.log(np.sum(np.exp(logw))))

        # Their boxes, and the boxes of BRANCH boxes each, up to the coarsest level.
        low, high = self.points.min(axis=2), self.points.max(axis=2)
        self.levels = []
        while len(low) > COARSE:
            low, high = low.reshape(-1, BRANCH, d), high.reshape(-1, BRANCH, d)
            self.levels.insert(0, tuple(np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (low, high)))
            low, high = low.min(axis=1), high.max(axis=1)
        self.top = tuple(np.ascontiguousarray(a.T) for a in (low, high))


# One tree at a time: making it takes more memory than anything else here. Not an attribute of the law, which is pickled.
_MAKING = threading.Lock()


def tree(law):
    """The tree of a law, made once, by whichever thread asks first."""
    return law._p.cached("tree", law._p._host["P"], lambda: Tree(law), _MAKING)


def _outside(low, high, y):
    """Squared distances (m, c) of y (m, d) from boxes (m, d, c) or (1, d, c)."""
    out = None
    for k in range(y.shape[1]):
        z = y[:, k : k + 1]
        a = low[:, k] - z
        np.maximum(a, z - high[:, k], out=a)
        np.maximum(a, 0.0, out=a)
        a *= a
        out = a if out is None else np.add(out, a, out=out)
    return out


def _squares(X, y):
    """Squared distances (m, L) of y (m, d) from atoms (m, d, L)."""
    out = None
    for k in range(y.shape[1]):
        a = y[:, k : k + 1] - X[:, k]
        a *= a
        out = a if out is None else np.add(out, a, out=out)
    return out


def _limits(tree, y, prec, T, start, count):
    """Squared radius (b,) of the window of each row, from the atoms of one leaf near it.

    prec None: the nearest atoms, ``count`` of them. ``start`` (b, boxes): squared distances from the coarsest boxes.
    """
    g = start.argmin(axis=1)
    for low, high in tree.levels:
        g = g * BRANCH + _outside(low[g], high[g], y).argmin(axis=1)
    A, lack = _squares(tree.points[g], y), tree.lack[g]
    if prec is None:
        A[np.isinf(lack)] = np.inf
        limit = np.partition(A, count - 1, axis=1)[:, count - 1]
    else:
        with np.errstate(over="ignore", divide="ignore"):
            # 2 / p, above 0 where that underflows: 0 times the inf of a copy is no number.
            c = np.maximum(2.0 / prec, 1e-300)
            limit = (A + c[:, None] * lack).min(axis=1) + c * (T + tree.total)
    return limit * (1 + 8 * (y.shape[1] + 2) * EPS)


def _cut(i, size):
    """Slices of the ascending rows i, each of at most ``size`` entries or of one row."""
    a = 0
    while a < len(i):
        b = min(a + size, len(i))
        if b < len(i):
            b = int(np.searchsorted(i, i[b]))
            if b <= a:
                b = int(np.searchsorted(i, i[a], side="right"))
        yield slice(a, b)
        a = b


def _descend(law, tree, y, prec, T, share, count=1):
    """(rows i ascending, leaves, limit (b,)): all leaves within the window of each row that keeps few enough; no pair of the
    other rows."""
    b, M = len(y), law._active
    start = _outside(tree.top[0][None], tree.top[1][None], y)
    limit = _limits(tree, y, prec, T, start, count)
    keep = start <= limit[:, None]
    keep &= (np.count_nonzero(keep, axis=1) <= max(TOUCHED * keep.shape[1], FEW))[:, None]
    i, g = np.nonzero(keep)
    for low, high in tree.levels:
        parts = []
        for c in _cut(i, STEP // BRANCH):
            near = _outside(low[g[c]], high[g[c]], y[i[c]]) <= limit[i[c], None]
            a, child = np.nonzero(near)
            parts.append((i[c][a], g[c][a] * BRANCH + child))
        if parts:
            i, g = (np.concatenate(p) for p in zip(*parts))
        ok = (np.bincount(i, minlength=b) <= max(TOUCHED * BRANCH * len(low), FEW))[i]
        if not ok.all():
            i, g = i[ok], g[ok]
    ok = (np.bincount(i, minlength=b) * tree.points.shape[2] <= min(share * M, MOST))[i]
    return i[ok], g[ok], limit


def _hopeless(law, tree, y, prec, T, share, count=1):
    """Whether more than half of a sample of the rows would be given back."""
    n, (low, high) = len(y), SAMPLE
    some = np.unique(np.linspace(0, n - 1, min(high, max(low, n // 16))).astype(np.int64))
    i, _, _ = _descend(law, tree, y[some], None if prec is None else prec[some], T, share, count)
    return 2 * len(np.unique(i)) < len(some)


def _blocks(law, tree, y, prec, T, share, count=1):
    """(rows r (m,), pairs: position in r, leaf; first pair of each row; limit (m,)) in bounded steps."""
    L = tree.points.shape[2]
    # A row keeps at most that many boxes of a level, each pair is two integers, and joining the parts holds them twice.
    rows = max(1, min(SEARCH, FOUND // max(FEW, int(TOUCHED * len(tree.points)))))
    for a in range(0, len(y), rows):
        p = None if prec is None else prec[a : a + rows]
        i, g, limit = _descend(law, tree, y[a : a + rows], p, T, share, count)
        for c in _cut(i, max(1, STEP // L)):
            first = np.flatnonzero(np.diff(i[c], prepend=-1))
            r = i[c][first]
            yield a + r, np.cumsum(np.diff(i[c], prepend=-1) > 0) - 1, g[c], first, limit[r]


def _from_reference(X, y, i, pr, r):
    """r^2 (h_ref - h_j) (m, L) without cancellation, r (m, 1): by the operations of `softmax.Rows.differences`, in the same
    order, so that both round alike."""
    out = None
    for k in range(y.shape[1]):
        z, q = y[i, k][:, None], pr[i, k][:, None]
        term = (z - X[:, k]) + (z - q)
        term *= 0.5 * r
        term *= r * (X[:, k] - q)
        out = term if out is None else np.add(out, term, out=out)
    return out


def _weigh(law, tree, y, p, i, leaf, first, what):
    """`Found` of rows y (m, d) from their leaves."""
    X, lack = tree.points[leaf], tree.lack[leaf]
    m, d = y.shape
    E = _squares(X, y[i])
    E *= -0.5 * p[i][:, None]
    E -= lack

    def best(logits):
        top = np.maximum.reduceat(logits.max(axis=1), first)
        a, lane = np.nonzero(logits == top[i][:, None])
        one = np.flatnonzero(np.diff(i[a], prepend=-1))
        return top, (a[one], lane[one])

    top, ref = best(E)
    pr = X[ref[0], :, ref[1]]
    # The part of a logit that is common to all atoms rounds, too: by (d + 2) eps of the depth of the best one.
    if not np.any(top + lack[ref] < -8.0):
        E -= top[i][:, None]
    else:
        r = np.sqrt(p)[i][:, None]
        for last in (False, False, True):
            E = _from_reference(X, y, i, pr, r)
            E -= lack - lack[ref][i][:, None]
            # From far away squares cannot tell which atom is the best one: then once more relative to that.
            top, better = best(E)
            if last or not np.any(top > 1e-6):
                break
            ref, pr = better, X[better[0], :, better[1]]
    offsets = [X[:, k] - pr[i, k][:, None] for k in range(d)] if what != "density" else ()
    exponentiate(E, what == "covariance")
    E[ref] = 0.0
    out = Found.empty(y, what)
    out.reference = tree.index[leaf[ref[0]], ref[1]]
    out.others = np.add.reduceat(E.sum(axis=1), first)
    if what == "density":
        return out
    assert out.shift is not None
    total = 1.0 + out.others
    for k, D in enumerate(offsets):
        out.shift[:, k] = np.add.reduceat(np.einsum("ij,ij->i", E, D), first) / total
    flush(law, out.shift)
    if what == "covariance":
        for k, D in enumerate(offsets):
            D -= out.shift[i, k][:, None]
        for k in range(d):
            T = E * offsets[k]
            for n in range(k, d):
                # The reference atom itself lies at minus the mean offset.
                value = np.add.reduceat(np.einsum("ij,ij->i", T, offsets[n]), first) + out.shift[:, k] * out.shift[:, n]
                out.covariance[:, k, n] = out.covariance[:, n, k] = value / total
    return out


def search(law, y, prec, zero, what, kernel=None):
    """(served (n,) bool, `Found` of all rows, 0 where not served); ``what``: see `softmax.moments`.

    y (n, d), prec (n,); rows ``zero`` (n,) are projections; ``kernel``: the compiled one, with which rows are compared.
    """
    n = len(y)
    out, served = Found.empty(y, what), np.zeros(n, dtype=bool)

    # Projections.
    if zero.any():
        (rows,) = np.nonzero(zero)
        ok, index, _ = nearest(law, y[rows])
        served[rows], out.reference[rows] = ok, index

    # The other rows, unless their window is as wide as the cloud.
    (rows,) = np.nonzero(~zero & (prec > 0))
    share = SHARES[what in ("mean", "offset") and kernel is not None]
    T = WIDE[0] if what == "covariance" else WINDOW
    with np.errstate(over="ignore", divide="ignore"):
        rows = rows[2 * T / prec[rows] <= (0.5 * law._wide) ** 2]

    # One window after the other: covariances too small for one go to the next.
    for T in WIDE if what == "covariance" else (WINDOW,):
        if not len(rows) or _hopeless(law, tree(law), y[rows], prec[rows], T, share):
            break
        again, found = [], _blocks(law, tree(law), y[rows], prec[rows], T, share)
        for r, i, leaf, first, limit in found:
            r = rows[r]
            part = _weigh(law, tree(law), y[r], prec[r], i, leaf, first, what)
            if what == "covariance" and WIDE[-1] > T:
                thin = ~(np.trace(part.covariance, axis1=1, axis2=2) >= 8 * math.exp(WINDOW - T) * limit)
                again.append(r[thin])
            out.put(r, part)
            served[r] = True
        rows = np.concatenate(again) if again else rows[:0]
        served[rows] = False
    return served, out


def nearest(law, y, count=1):
    """(served (n,) bool, nearest atom (n,), second nearest (n,) or None): among equals the lowest index."""
    n, d = y.shape
    served, out = np.zeros(n, dtype=bool), np.zeros((2, n), dtype=np.int64)
    if not n or _hopeless(law, tree(law), y, None, 0.0, SHARES[0], count):
        return served, out[0], out[1] if count > 1 else None
    t, P = tree(law), law._p._host["P"]
    for r, i, leaf, first, _ in _blocks(law, t, y, None, 0.0, SHARES[0], count):
        X, z, index = t.points[leaf], y[r], t.index[leaf]
        A = _squares(X, z[i])
        best = np.minimum.reduceat(A.min(axis=1), first)
        # Squares are good to (d + 2) eps each; among those that this leaves, differences from the first one decide.
        near = best[i][:, None] * (1 + 4 * (d + 2) * EPS) >= A
        ref = _lowest(index, near, first)
        rel = _from_reference(X, z, i, P[ref], 1.0)
        for k in range(count):
            if k:
                rel[index == out[0, r][i][:, None]] = -np.inf
            top = np.maximum.reduceat(rel.max(axis=1), first)
            out[k, r] = _lowest(index, rel == top[i][:, None], first)
        served[r] = True
    return served, out[0], out[1] if count > 1 else None


def _lowest(index, mask, first):
    """Lowest index (m,) of each row where mask holds."""
    return np.minimum.reduceat(np.where(mask, index, np.iinfo(np.int64).max).min(axis=1), first)


def _within(y, r, size):
    """Whether no product of squares leaves the range of floats, for y (n, d), r (n,) and atoms of that size."""
    top = max(float(y.max()), -float(y.min())) + size
    return bool(top < 1e140 and (top * max(1.0, float(r.max()))) ** 2 * y.shape[1] < 1e290)


def moments(law, x, s, t, what, kernel=None):
    """`softmax.moments` of any number of rows: by the tree, and by blocks of the dense kernel where that gives rows back."""
    n = len(x)
    served, found = np.zeros(n, dtype=bool), Found.empty(x, what)
    with np.errstate(over="ignore", invalid="ignore"):
        y = x if len(s) == 1 and s[0] == 1.0 else x / np.where(s > 0, s, 1.0)[:, None]
        r, zero = (np.broadcast_to(v, (n,)) for v in (s / np.where(t > 0, t, 1.0), t == 0))
    if np.all(s >= 1e-100) and _within(y, r, law._size):
        served, found = search(law, y, r * r, zero, what, kernel)
    (rest,) = np.nonzero(~served)
    for c in softmax.chunks(len(rest), softmax.rows(law, x)):
        rows = rest[c]
        levels = (v if len(v) == 1 else v[rows] for v in (s, t))
        found.put(rows, softmax.moments(law, x[rows], *levels, what, kernel))
    return found


def closest(law, x, count=1):
    """`softmax.nearest` at scale 1: by the tree, and by the dense kernel where that gives rows back."""
    one, out = np.ones(1), np.zeros((2, len(x)), dtype=np.int64)
    for c in softmax.chunks(len(x), ROWS):
        y = x[c]
        served, first, second = np.zeros(len(y), dtype=bool), None, None
        if _within(y, one, law._size):
            served, first, second = nearest(law, y, count)
        (r,), (rest,) = np.nonzero(served), np.nonzero(~served)
        for k, found in enumerate((first, second)):
            if found is not None:
                out[k, c.start + r] = found[r]
        if len(rest):
            out[:, c.start + rest] = softmax.nearest(law, y[rest], one, count)
    return out[0], out[1]
