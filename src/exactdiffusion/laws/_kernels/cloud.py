"""NumPy kernels of point clouds, with bounded workspace; `points` decides when they are used and holds the generic forms.

All of them work in the coordinates of the law itself, ``y = x / s`` with precision ``(s / sigma)^2``: a relative rounding of
x, which the problem is conditioned for anyway. With h_j = |y - p_j|^2 / 2 the logits are ``log w_j - precision h_j``.

Error of a logit, in units of eps precision:

- differences, d <= 3: h_j (d + 2), so after the common part is gone the mean moves by at most that of the best atom times
  the mass of the others;
- centred expansion: ``2 (4 + sqrt d) (|y - c| + R + |c| / 2) R`` (c the centre, R the radius of the cloud; sqrt d for d
  roundings of random sign, doubled);
- differences relative to the best atom: ``2 (4 + sqrt d) |y - p_*| |p_j - p_*|``, what the problem itself deserves.

Errors delta_j of the logits move the mean by ``sum_j w_j delta_j |p_j - mean|``. So the expansion needs no cure in a row
where (i) delta times the mass of the atoms other than the best is below the tolerance, or (ii) delta is within a factor of
the error that differences would have at the root mean square distance of those atoms from the best one, which the first and
second moments of the weights tell. Otherwise the atoms with weight above ``tolerance / (M delta)`` are recomputed by
differences; the M atoms below contribute at most ``M * tolerance / (M delta) * delta = tolerance``.

Atoms beyond T = 40 + log M below the best logit weigh less than M e^-T = e^-40 together and move the mean by less than e^-40
diameters: a filter that proves a lower bound of h_j above ``h_* + T / precision`` (plus its own error) may drop atom j.

A bound by distances in a few principal directions is not here: it pays for series of calls on flat clouds at small sigma and
costs elsewhere, and a choice by earlier calls would make results depend on them.
Large clouds in up to three dimensions have a tree: `tree`.
"""

import math
import threading

import numpy as np

from ..base import EPS
from . import fast

FLOOR = -600.0
TOLERANCE = 64 * EPS
# Times the error of explicit differences that the expansion may have (ii above).
FACTOR = 16.0
# Doubles of one matrix (rows x atoms) of a block where products dominate: 52 MB of the 64 MB of workspace.
LARGE_BLOCK = 6_500_000
# Doubles of a block that stays in cache, low dimension and products.
LOW_BLOCK, CACHE_BLOCK = 1 << 15, 1 << 20
# Clouds up to this many doubles keep centred copies.
SMALL_CLOUD = 1 << 22
# Dimension from which float32 products are tried as a filter at small sigma.
FILTER_DIM = 256


_STORE = threading.local()


def scratch(name, *shape):
    """An uninitialised array of this thread, which lives until the next one of that name: fresh memory costs a page fault
    every 512 doubles, more than a pass over them. Large ones are not kept."""
    size = math.prod(shape)
    if size > 1 << 20:
        return np.empty(shape)
    held = getattr(_STORE, name, None)
    if held is None or len(held) < size:
        held = np.empty(size)
        setattr(_STORE, name, held)
    return held[:size].reshape(shape)


def rows(law):
    """Rows of a block of queries."""
    M, d = law._active, law.dim
    if d <= 3:
        return max(1, (1 << 20) // M)
    return max(1, min(LARGE_BLOCK // max(M, d), max(256 if d >= 256 else 64, CACHE_BLOCK // M)))


def window(law):
    """T = 40 + log M, plus what unequal weights add."""
    return 40.0 + math.log(law._active)


def exponentiate(A, full=False):
    """exp in place of logits <= 0 relative to the best, from the floor up; ``full``: 0 below it.

    Underflowing exponentials cost several times others, and products with subnormal numbers more. What weights of e^-600 in
    the place of smaller ones leave of sums that are 0 goes by `flush`.
    """
    if float(A.min()) >= FLOOR:
        return np.exp(A, out=A)
    np.maximum(A, FLOOR, out=A)
    np.exp(A, out=A)
    if full:
        A[1.001 * math.exp(FLOOR) > A] = 0.0
    return A


def flush(law, S):
    """Sums of weights times coordinates, without what the weights at the floor leave where the sum is 0."""
    S[np.abs(S) <= 2 * law._active * law._size * math.exp(FLOOR)] = 0.0
    return S


def relative_low(law, y, reference):
    """h_ref - h_j (b, M) without cancellation, one coordinate at a time; d <= 3."""
    out = None
    for k, pk in enumerate(law._columns):
        pr, yk = law._columns[k][reference][:, None], y[:, k : k + 1]
        term = (pk - pr) * (0.5 * ((yk - pk) + (yk - pr)))
        out = term if out is None else out + term
    return out


def low_weights(law, y, prec, full=False):
    """(E (b, M), total (b,)) for d <= 3 by differences; the largest weight of a row is 1.

    Rows whose best atom is many sigma away are recomputed relative to it.
    """
    b, M, d = len(y), law._active, law.dim
    A = scratch("low", b, M)
    B = scratch("square", b, M) if d > 1 else A
    for k, pk in enumerate(law._columns):
        out = B if k else A
        np.subtract(y[:, k : k + 1], pk, out=out)
        np.multiply(out, out, out=out)
        if k:
            A += B
    if law._uniform:
        best = A.min(axis=1, keepdims=True)
        A -= best
        A *= -0.5 * prec
        depth = (0.5 * best * prec)[:, 0]
    else:
        logw = law._p._host["logw"]
        A *= -0.5 * prec
        A += logw
        best = A.max(axis=1, keepdims=True)
        A -= best
        depth = (float(logw.max()) - best)[:, 0]
    E = exponentiate(A, full)
    total = E.sum(axis=1)
    error = (d + 2) * EPS * depth
    bad = error * (1.0 if full else np.minimum(1.0, total - 1)) > TOLERANCE
    bad |= error > 0.1
    if bad.any():
        (index,) = np.nonzero(bad)
        z, p = y[index], prec[index] if len(prec) > 1 else prec
        best = np.argmax(E[index], axis=1)
        L = relative_low(law, z, best) * p
        if not law._uniform:
            L += logw - logw[best][:, None]
        L -= L.max(axis=1, keepdims=True)
        E[index] = exponentiate(L, full)
        total[index] = E[index].sum(axis=1)
    return E, total


def low_nearest(law, y):
    """Index of the nearest atom (n,), d <= 3: by squares, and relative to the best where squares cannot tell."""
    n, M, d = len(y), law._active, law.dim
    out = np.empty(n, dtype=np.int64)
    step = max(1, LOW_BLOCK // M)
    A, B = np.empty((step, M)), np.empty((step, M))
    for i in range(0, n, step):
        z = y[i : i + step]
        a, c = A[: len(z)], B[: len(z)]
        for k, pk in enumerate(law._columns):
            t = c if k else a
            np.subtract(z[:, k : k + 1], pk, out=t)
            np.multiply(t, t, out=t)
            if k:
                a += c
        best = a.min(axis=1, keepdims=True)
        # Squares of differences are good to (d + 2) eps each.
        near = a <= best * (1 + 4 * (d + 2) * EPS)
        index = near.argmax(axis=1)
        if np.count_nonzero(near) > len(z):
            (tied,) = np.nonzero(near.sum(axis=1) > 1)
            index[tied] = np.argmax(relative_low(law, z[tied], index[tied]), axis=1)
        out[i : i + step] = index
    return out


# -- products, d >= 4 ----------------------------------------------------------------------------------------------------


def chunks(total, size):
    """Slices of at most ``size`` that cover range(total)."""
    size = max(1, int(size))
    return [slice(a, min(a + size, total)) for a in range(0, total, size)]


def logits(law, yc, prec, weights=True, room="logits"):
    """(b, M) logits up to a constant per row, by expansion about the centre; without the log weights, where asked."""
    b, M, d = len(yc), law._active, law.dim
    if law._augmented is not None:
        F = scratch("factors", b, law._augmented.shape[1])
        np.multiply(yc, prec, out=F[:, :d])
        F[:, d : d + 1] = prec
        F[:, d + 1 :] = float(weights)
        return np.matmul(F, law._augmented.T, out=scratch(room, b, M))
    P, q, logw = (law._p._host[k] for k in ("P", "q", "logw"))
    L, v = np.empty((b, M)), prec * yc
    if law._shifted:
        for c in chunks(M, (1 << 19) // d):
            np.matmul(v, (P[c] - law._p._host["center"]).T, out=L[:, c])
    else:
        np.matmul(v, P.T, out=L)
    for c in chunks(b, (1 << 19) // M):
        bias = (prec[c] if len(prec) > 1 else prec) * q
        if weights and not law._uniform:
            bias -= logw
        L[c] -= bias
    return L


def error_bound(law, norm):
    """Bound of the error of -h_j in `logits`, (b,), from the norms of y - c."""
    R = law._reach
    return 2 * EPS * (4 + math.sqrt(law.dim)) * (norm + R + 0.5 * law._center_norm) * R


def differences(law, y, i, j, reference):
    """h_ref - h_j for pairs (row i, atom j), rows ascending, without cancellation: D.(y - p_ref - D/2), D = p_j - p_ref."""
    P, d = law._p._host["P"], law.dim
    out = np.empty(len(i))
    pr = P[reference]
    U = y - pr
    if len(i) * d > 4096 * len(y):
        cuts = np.searchsorted(i, np.arange(len(y) + 1))
        for r in range(len(y)):
            for c in chunks(cuts[r + 1] - cuts[r], (1 << 18) // d):
                c = slice(cuts[r] + c.start, cuts[r] + c.stop)
                D = P[j[c]]
                D -= pr[r]
                out[c] = D @ U[r] - 0.5 * np.einsum("ij,ij->i", D, D)
        return out
    for c in chunks(len(i), (1 << 17) // d):
        D = P[j[c]]
        D -= pr[i[c]]
        G = U[i[c]]
        G -= 0.5 * D
        out[c] = np.einsum("ij,ij->i", D, G)
    return out


def combine(law, E, centred, full=False, column=None):
    """sum_j E_j p_j (b, d), or of the centred atoms; columns that no row gives more than e^-T are left out.

    ``column`` (M,) is an upper bound of the columns of E, where there is one."""
    P, center, d = law._p._host["P"], law._p._host["center"], law.dim
    shift = centred and law._shifted
    A = law._p._host["C"] if centred and "C" in law._p._host else P
    b, M = E.shape
    if d >= 48 and M >= 512:
        keep = (E.max(axis=0) if column is None else column) > (0.0 if full else math.exp(-window(law)))
        count = int(np.count_nonzero(keep))
        if count < 0.7 * M:
            (index,) = np.nonzero(keep)
            out = np.zeros((b, d))
            for c in chunks(count, (1 << 19) // d):
                B = A[index[c]]
                if shift:
                    B -= center
                out += E[:, index[c]] @ B
            return out
    if not shift:
        return E @ A
    out = np.zeros((b, d))
    for c in chunks(M, (1 << 19) // d):
        out += E[:, c] @ (A[c] - center)
    return out


def high_moments(law, y, prec, centred, full=False, mean=True, exact=None):
    """(E, reference, others, S): weights (b, M) relative to the atom ``reference``, 0 there; their sum; and
    ``S = sum_j E_j p_j`` (centred: of p_j - c; None unless ``mean``).

    ``exact(rows)`` is the last resort of a row: logits (k, M) by sliced products or explicit differences.
    """
    b, M, d = len(y), law._active, law.dim
    index = np.arange(b)
    center, q, logw = (law._p._host[k] for k in ("center", "q", "logw"))
    yc = np.subtract(y, center, out=scratch("centred", b, d))
    p = np.broadcast_to(prec[:, 0], (b,))
    norm = np.sqrt(np.einsum("ij,ij->i", yc, yc))
    if mean and not full and d >= FILTER_DIM and b >= 16 and M >= 2048:
        found = filtered(law, y, yc, prec, p, norm, centred)
        if found is not None:
            return found
    E = logits(law, yc, prec)
    delta = error_bound(law, norm) * p
    # Weights that are worth an exact logit.
    cut = np.where(delta > TOLERANCE, 0.0 if full else TOLERANCE / (M * np.maximum(delta, TOLERANCE)), np.inf)
    compiled = fast.kernels() if b * M >= fast.WORTH else None
    if compiled is not None:
        reference, sums, column = np.empty(b, dtype=np.int64), np.empty((b, 2)), np.zeros(M)
        pairs = compiled.softmax(E, reference, sums, cut, column, q)
        others, second = sums[:, 0].copy(), sums[:, 1]
    else:
        reference = E.argmax(axis=1)
        E -= E[index, reference][:, None]
        exponentiate(E, full)
        E[index, reference] = 0.0
        others = E.sum(axis=1)
        pairs, second, column = None, None, None
    S = None
    if delta.max() > TOLERANCE:
        bad = delta * (1.0 if full else np.minimum(1.0, 2 * others)) > TOLERANCE
        bad |= delta > 0.25
        if bad.any():
            hard = bad & (delta > 0.25)
            S = _cure(
                law,
                y,
                yc,
                p,
                norm,
                E,
                others,
                reference,
                delta,
                bad & ~hard,
                centred,
                full,
                hard,
                cut,
                (pairs, second, column),
            )
            (rows_,) = np.nonzero(hard)
            for c in chunks(len(rows_), (1 << 19) // M):
                r = rows_[c]
                X = exact(r)
                X = X - X.max(axis=1, keepdims=True)
                reference[r] = X.argmax(axis=1)
                E[r] = exponentiate(X, full)
                E[r, reference[r]] = 0.0
                others[r] = E[r].sum(axis=1)
                if S is not None:
                    S[r] = combine(law, E[r], centred, full)
    if mean and S is None:
        S = combine(law, E, centred, full, column)
    if mean and compiled is None:
        flush(law, S)
    return E, reference, others, S


def filtered(law, y, yc, prec, p, norm, centred):
    """(None, reference, others, S) of `high_moments` from the few atoms that a float32 product cannot rule out; None where
    they are many.

    An atom is left out of row i if its float32 numerator is below the best one by more than the window T, in units of the
    precision, and twice the error bound of the numerators: what is left out weighs less than e^-40. The others are
    recomputed by differences.
    """
    (b, d), M = y.shape, law._active
    P, center, q, logw = (law._p._host[k] for k in ("P", "center", "q", "logw"))
    T = window(law) + (0.0 if law._uniform else float(logw.max() - logw.min()))
    eps = 2.0**-24
    # Rounding of both factors, of the products and of the bias; the cloud and the queries must be in the range of float32.
    R = law._reach
    top = float(norm.max()) + R + law._center_norm
    if not 1e-12 < R <= top < 1e15 or not 0 < float(p.min()) <= float(p.max()) < np.inf:
        return None
    error = 4 * eps * (4 + math.sqrt(d)) * (norm + R + 0.5 * law._center_norm) * R
    wide = T / p + 2 * error
    v = yc.astype(np.float32)
    q32 = q.astype(np.float32)
    # A sample of atoms tells whether the filter can pay: its best atom is worse, so it overstates the share.
    limit = _affordable(b, M, d)
    some = slice(None, None, max(1, M // 256))
    A = yc @ (P[some] - center if law._shifted else P[some]).T - q[some]
    if np.count_nonzero((A.max(axis=1) - wide)[:, None] <= A) * (M / A.shape[1]) > 4 * limit + 2 * M / A.shape[1] * b:
        return None
    L = np.empty((b, M), dtype=np.float32)
    for c in chunks(M, (1 << 20) // d):
        B = P[c] - center if law._shifted else P[c]
        np.matmul(v, B.astype(np.float32).T, out=L[:, c])
        L[:, c] -= q32[c]
    reference = L.argmax(axis=1)
    low = L[np.arange(b), reference] - wide
    i, j = np.nonzero(np.nextafter(low.astype(np.float32), np.float32(-np.inf))[:, None] <= L)
    if len(i) > limit:
        return None
    rel = differences(law, y, i, j, reference) * p[i]
    if not law._uniform:
        rel += logw[j] - logw[reference[i]]
    first = np.searchsorted(i, np.arange(b))
    top = np.maximum.reduceat(rel, first)
    reference = j[np.lexsort((j, -rel, i))[first]]
    w = np.exp(np.maximum(rel - top[i], FLOOR))
    w[j == reference[i]] = 0.0
    S, last = np.zeros((b, d)), np.append(first[1:], len(i))
    shift = centred and law._shifted
    A = law._p._host["C"] if centred and "C" in law._p._host else P
    for r in np.flatnonzero(last - first > 1):
        for c in chunks(last[r] - first[r], (1 << 19) // d):
            c = slice(first[r] + c.start, first[r] + c.stop)
            S[r] += w[c] @ (A[j[c]] - center if shift else A[j[c]])
    return None, reference, np.add.reduceat(w, first), flush(law, S)


def _affordable(b, M, d):
    """Pairs (query, atom) that may be recomputed for a tenth of the cost of the two products."""
    return max(4 * b, int(0.1 * b * M * (0.09 * d + 7) / (2.5 * d + 50)))


def _cure(law, y, yc, p, norm, E, others, reference, delta, bad, centred, full, hard, cut, known):
    """Recompute in place what rows ``bad`` need, add to ``hard`` what is beyond that; returns S if formed for that."""
    b, M, d = len(y), law._active, law.dim
    P, center, q = (law._p._host[k] for k in ("P", "center", "q"))
    (index,) = np.nonzero(bad)
    if not len(index):
        return None
    whole = len(index) == b
    pairs, second, column = known
    cut = cut[index, None]
    if pairs is None:
        pairs = int(np.count_nonzero((E if whole else E[index]) > cut))
    S = None
    # A pair costs 2.5 d + 50 ns, an entry of the block 0.09 d + 7 ns: up to a twentieth of the block is spent blindly.
    if pairs * (2.5 * d + 50) > 0.05 * len(index) * M * (0.09 * d + 7):
        S = combine(law, E, centred, full, column)
        cr = law._p._host["C"][reference[index]] if "C" in law._p._host else P[reference[index]] - center
        dots = np.einsum("ij,ij->i", cr, S if whole else S[index])
        if not (centred and (law._shifted or "C" in law._p._host)):
            dots -= others[index] * (cr @ center)
        square = 2 * q[reference[index]]
        second = (E if whole else E[index]) @ q if second is None else second[index]
        second = 2 * (second - dots) + others[index] * (square - 64 * EPS * law._reach**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(np.maximum(second, 0.0) / others[index])
        far = norm[index] ** 2 - 2 * np.einsum("ij,ij->i", cr, yc if whole else yc[index]) + square
        far -= 64 * EPS * (norm[index] + law._reach) ** 2
        # Both without 2 eps (4 + sqrt d) precision; the atoms that carry weight are within some `spread` of the best one.
        direct = np.sqrt(np.maximum(far, 0.0)) * spread
        own = np.sqrt(square) + (0.0 if law._reach == law._radius else law._center_norm)
        R = np.minimum(law._reach, own + 2 * spread)
        keep = ~((norm[index] + R + 0.5 * law._center_norm) * R <= FACTOR * direct)
        if not keep.any():
            return S
        index, cut = index[keep], cut[keep]
    # Rows of few candidates by pairs; rows of many are left to the sliced product.
    mask = (E if len(index) == b else E[index]) > cut
    many = 32 * np.count_nonzero(mask, axis=1) > M
    if many.any():
        hard[index[many]] = True
        index, mask = index[~many], mask[~many]
    i, j = np.nonzero(mask)
    if len(i):
        ref = reference[index]
        rel = differences(law, y[index], i, j, ref) * p[index][i]
        if not law._uniform:
            logw = law._p._host["logw"]
            rel += logw[j] - logw[ref[i]]
        new = np.exp(np.maximum(rel, FLOOR))
        old = E[index[i], j]
        E[index[i], j] = new
        others[index] = E[index].sum(axis=1)
        if S is not None:
            A = law._p._host["C" if centred and "C" in law._p._host else "P"]
            for c in chunks(len(i), (1 << 19) // d):
                D = A[j[c]]
                if centred and law._shifted:
                    D -= center
                D *= (new[c] - old[c])[:, None]
                first = np.flatnonzero(np.diff(i[c], prepend=-1))
                S[index[i[c][first]]] += np.add.reduceat(D, first, axis=0)
    return S


def nearest(law, y, count=1):
    """(nearest atom (b,), second nearest or None): the lowest index among equals."""
    if law.dim <= 3:
        return low_nearest(law, y), None
    b, M = len(y), law._active
    index = np.arange(b)
    yc = y - law._p._host["center"]
    a, delta = (
        logits(law, yc, np.ones((1, 1)), weights=False, room="nearest"),
        error_bound(law, np.sqrt(np.einsum("ij,ij->i", yc, yc))),
    )
    best = a.argmax(axis=1)
    top = a[index, best]
    if count > 1 and M > 1:
        a[index, best] = -np.inf
        low = a.max(axis=1)
        a[index, best] = top
        top = low
    i, j = np.nonzero(a >= (top - 2 * delta)[:, None])
    del a
    if len(i) == b:
        return j, None
    rel = differences(law, y, i, j, best)
    cuts = np.searchsorted(i, index)
    # Ascending atoms in a row: the first of the largest is the lowest index.
    order = np.lexsort((j, -rel, i))
    return j[order[cuts]], (j[order[cuts + 1]] if count > 1 and M > 1 else None)


def moments(law, y, prec, centred, full=False, mean=True, exact=None):
    """`high_moments` in any dimension."""
    if law.dim > 3:
        return high_moments(law, y, prec, centred, full, mean, exact)
    E, _ = low_weights(law, y, prec, full)
    reference = E.argmax(axis=1)
    E[np.arange(len(y)), reference] = 0.0
    return E, reference, E.sum(axis=1), flush(law, E @ law._p._host["C" if centred else "P"]) if mean else None


def low_mean(law, y, prec, offset=False):
    """Conditional means (n, d), d <= 3, or with ``offset`` their differences from y, summed as such.

    Weights need not be relative to the best atom as long as it is not many sigma away: then the mean of exp(-precision h) is
    at least e^-depth / M, depth the best logit. Rows where that does not show that differences are good enough go the
    careful way.
    """
    n, M, d = len(y), law._active, law.dim
    compiled = fast.kernels() if n * M >= fast.WORTH else None
    if compiled is not None:
        out, depth = np.empty((n, d + 1)), np.empty(n)
        logw = law._p._host["logw"][: 0 if law._uniform else M]
        compiled.low(np.ascontiguousarray(y), law._across, logw, np.ascontiguousarray(prec[:, 0]), offset, out, depth)
        error = (d + 2) * EPS * depth
        bad = ~((error * np.minimum(1.0, out[:, d] - 1.0) <= TOLERANCE) & (error <= 0.1))
        mean = out[:, :d]
        mean /= out[:, d:]
        return _careful(law, y, prec, offset, mean, np.nonzero(bad)[0])
    step = max(1, min(n, LOW_BLOCK // M))
    out = np.empty((n, d + 1))
    a, floor, pair = scratch("a", step, M), scratch("floor", step, M), np.ones((step, 2))
    floor.fill(FLOOR)
    diff = [scratch(f"diff{k}", step, M) for k in range(d if offset else 1)]
    square = scratch("square", step, M) if offset else diff[0]
    factor = -0.5 * prec
    logw = None if law._uniform else law._p._host["logw"]
    mass = 1.0 if law._uniform else float(np.exp(logw.max()))
    single = []
    for i in range(0, n, step):
        m = min(step, n - i)
        z, b, c, x = a[:m], square[:m], y[i : i + m], pair[:m]
        for k in range(d):
            # A product of (y_k, 1) and (1, -p_k): rounded once, like the difference, and faster than the broadcast.
            x[:, 0] = c[:, k]
            r = diff[k if offset else 0][:m]
            np.matmul(x, law._minus[k], out=r)
            np.multiply(r, r, out=b if k else z)
            if k:
                z += b
        z *= factor if len(factor) == 1 else factor[i : i + m]
        if logw is not None:
            z += logw
        spread = float(z.min()) < -30.0
        if spread:
            np.maximum(z, floor[:m], out=z)
        np.exp(z, out=z)
        o = out[i : i + m]
        if offset:
            for k in range(d):
                np.einsum("ij,ij->i", z, diff[k][:m], out=o[:, k])
            z.sum(axis=1, out=o[:, d])
        else:
            # Few atoms: sums that do not depend on how many rows there are.
            if M >= 32:
                np.matmul(z, law._ones, out=o)
            else:
                for k in range(d + 1):
                    o[:, k] = (z * law._ones[:, k]).sum(axis=1)
            if spread:
                best = z.argmax(axis=1)
                (row,) = np.nonzero(z[np.arange(m), best] >= o[:, d])
                if len(row):
                    single.append((row + i, best[row]))
    total = out[:, d]
    deep = math.exp(-TOLERANCE / (EPS * (d + 2))) * mass * M
    far = np.nonzero(~(total > deep))[0]
    mean = flush(law, out[:, :d])
    mean /= -total[:, None] if offset else total[:, None]
    # The atom bit for bit, where it has all the weight.
    for row, best in single:
        mean[row] = law._p._host["P"][best]
    return _careful(law, y, prec, offset, mean, far)


def _careful(law, y, prec, offset, mean, far):
    """`low_mean` of the rows ``far``, in place, by weights relative to the best atom."""
    for c in chunks(len(far), (1 << 18) // law._active):
        r = far[c]
        p = prec[r] if len(prec) > 1 else prec
        if offset:
            _, reference, others, S = moments(law, y[r], p, True)
            shift = (S - others[:, None] * law._p._host["C"][reference]) / (1.0 + others)[:, None]
            mean[r] = (law._p._host["P"][reference] - y[r]) + shift
        else:
            E, total = low_weights(law, y[r], p)
            mean[r] = flush(law, E @ law._p._host["P"]) / total[:, None]
    return mean


def covariances(law, E, reference, others):
    """Conditional covariances (b, d, d) from weights relative to ``reference`` (0 there) and their sum.

    Offsets from the reference atom, so that nothing cancels for close atoms far from the origin; batched products over rows
    with about as many atoms of positive weight.
    """
    P, d = law._p._host["P"], law.dim
    b = len(E)
    total = 1.0 + others
    out = np.zeros((b, d, d))
    if d <= 3:
        D = [pk - pk[reference][:, None] for pk in law._columns]
        mean = [np.einsum("ij,ij->i", E, D[k]) / total for k in range(d)]
        for k in range(d):
            D[k] -= mean[k][:, None]
        for k in range(d):
            T = E * D[k]
            for m in range(k, d):
                # The reference atom itself lies at minus the mean offset.
                out[:, k, m] = out[:, m, k] = (np.einsum("ij,ij->i", T, D[m]) + mean[k] * mean[m]) / total
        return out
    counts = np.count_nonzero(E, axis=1)
    order = np.argsort(counts, kind="stable")
    start = int(np.searchsorted(counts[order], 1))
    room = 1 << 16
    while start < b:
        least = counts[order[start]]
        stop = int(np.searchsorted(counts[order], 1.5 * least + 8, side="right"))
        wide = counts[order[stop - 1]]
        stop = min(stop, start + max(1, room // (wide * d)))
        r = order[start:stop]
        wide = int(counts[r].max())
        if wide * d > room // 2:
            for row in r:
                (j,) = np.nonzero(E[row])
                out[row] = _covariance(P, E[row, j], j, reference[row], total[row])
            start = stop
            continue
        i, j = np.nonzero(E[r])
        position = np.arange(len(i)) - np.searchsorted(i, np.arange(len(r)))[i]
        index, w = np.zeros((len(r), wide), dtype=np.int64), np.zeros((len(r), wide))
        index[i, position], w[i, position] = j, E[r[i], j]
        D = P[index]
        D -= P[reference[r]][:, None, :]
        mean = np.matmul(w[:, None, :], D) / total[r, None, None]
        D -= mean
        T = D * w[:, :, None]
        out[r] = (np.matmul(T.transpose(0, 2, 1), D) + mean.transpose(0, 2, 1) * mean) / total[r, None, None]
        start = stop
    return out


def _covariance(P, w, j, reference, total):
    """One row of `covariances` in blocks of atoms."""
    d = P.shape[1]
    pr, parts = P[reference], chunks(len(j), max(1, (1 << 17) // d))
    blocks = []
    for c in parts:
        D = scratch("offsets", c.stop - c.start, d)
        np.take(P, j[c], axis=0, out=D, mode="clip")
        D -= pr
        blocks.append((w[c] @ D, c, D))
    mean = sum(b[0] for b in blocks) / total
    out, root = np.outer(mean, mean), np.sqrt(w)
    for _, c, D in blocks:
        if len(parts) > 1:
            np.take(P, j[c], axis=0, out=D, mode="clip")
            D -= pr
        D -= mean
        D *= root[c, None]
        out += D.T @ D
    return out / total
