"""NumPy kernels of point clouds, with bounded workspace; `points` decides when they are used and holds the generic forms.

All of them work in the coordinates of the law itself, ``y = x / s`` with precision ``(s / sigma)^2``: a relative rounding of
x, which the problem is conditioned for anyway. With h_j = |y - p_j|^2 / 2 the logits are ``log w_j - precision h_j``.

Error of a logit, in units of eps precision:

- differences, d <= 3: h_j (d + 2), so after the common part is gone the mean moves by at most that of the best atom times the
  mass of the others;
- centred expansion: ``2 (4 + sqrt d) (|y - c| + R + |c| / 2) R`` (c the centre, R the radius of the cloud; sqrt d for d
  roundings of random sign, doubled);
- differences relative to the best atom: ``2 (4 + sqrt d) |y - p_*| |p_j - p_*|``, what the problem itself deserves.

Errors delta_j of the logits move the mean by ``sum_j w_j delta_j |p_j - mean|``. So the expansion needs no cure in a row where
(i) delta times the mass of the atoms other than the best is below the tolerance, or (ii) delta is within a factor of the error
that differences would have at the root mean square distance of those atoms from the best one, which the first and second
moments of the weights tell. Otherwise the atoms with weight above ``tolerance / (M delta)`` are recomputed by differences; the
M atoms below contribute at most ``M * tolerance / (M delta) * delta = tolerance``.

Atoms beyond T = 40 + log M below the best logit weigh less than M e^-T = e^-40 together and move the mean by less than e^-40
diameters: a filter that proves a lower bound of h_j above ``h_* + T / precision`` (plus its own error) may drop atom j.
"""

import math

import numpy as np

from .base import EPS

FLOOR = -600.0
TOLERANCE = 64 * EPS
# Times the error of explicit differences that the expansion may have (ii above).
FACTOR = 8.0
# Doubles of one matrix (rows x atoms) of a block where products dominate: 52 MB of the 64 MB of workspace.
LARGE_BLOCK = 6_500_000
# Doubles of a block that stays in cache, low dimension and products.
LOW_BLOCK, CACHE_BLOCK = 1 << 15, 1 << 17
# Clouds up to this many doubles keep centred copies.
SMALL_CLOUD = 1 << 22


def rows(law):
    """Rows of a block of queries."""
    M, d = law._active, law.dim
    if d <= 3:
        return max(1, LOW_BLOCK // M)
    return max(1, min(LARGE_BLOCK // max(M, d), max(256 if d >= 256 else 64, CACHE_BLOCK // M)))


def window(law):
    """T = 40 + log M, plus what unequal weights add."""
    return 40.0 + math.log(law._active)


def exponentiate(A, full):
    """exp in place of logits <= 0 relative to the best; 0 below the floor.

    Not ``full``: weights lose 1e-260 absolutely, which no mean sees.
    """
    if float(A.min()) >= FLOOR:
        return np.exp(A, out=A)
    np.maximum(A, FLOOR, out=A)
    np.exp(A, out=A)
    least = 1.001 * math.exp(FLOOR)
    if full:
        A[least > A] = 0.0
        return A
    A -= least
    return np.maximum(A, 0.0, out=A)


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
    A = np.empty((b, M))
    B = np.empty((b, M)) if d > 1 else A
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


def logits(law, yc, prec, weights=True):
    """(b, M) logits up to a constant per row, by expansion about the centre; without the log weights, where asked."""
    b, M, d = len(yc), law._active, law.dim
    if law._augmented is not None:
        F = np.empty((b, law._augmented.shape[1]))
        np.multiply(yc, prec, out=F[:, :d])
        F[:, d : d + 1] = prec
        F[:, d + 1 :] = float(weights)
        return F @ law._augmented.T
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


def error_bound(law, yc):
    """Bound of the error of -h_j in `logits`, (b,)."""
    R = law._reach
    return 2 * EPS * (4 + math.sqrt(law.dim)) * (np.sqrt(np.einsum("ij,ij->i", yc, yc)) + R + 0.5 * law._center_norm) * R


def differences(law, y, i, j, reference):
    """h_ref - h_j for pairs (row i, atom j), rows ascending, without cancellation: D.(y - p_ref - D / 2), D = p_j - p_ref."""
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


def combine(law, E, centred, full=False):
    """sum_j E_j p_j (b, d), or of the centred atoms; columns that no row gives more than e^-T are left out."""
    P, center, d = law._p._host["P"], law._p._host["center"], law.dim
    shift = centred and law._shifted
    A = law._p._host["C"] if centred and "C" in law._p._host else P
    b, M = E.shape
    if d >= 48 and M >= 512:
        keep = E.max(axis=0) > (0.0 if full else math.exp(-window(law)))
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
    yc = y - center
    L = logits(law, yc, prec)
    reference = L.argmax(axis=1)
    L -= L[index, reference][:, None]
    E = exponentiate(L, full)
    E[index, reference] = 0.0
    others = E.sum(axis=1)
    p = np.broadcast_to(prec[:, 0], (b,))
    delta = error_bound(law, yc) * p
    S = None
    if delta.max() > TOLERANCE:
        bad = delta * (1.0 if full else np.minimum(1.0, 2 * others)) > TOLERANCE
        bad |= delta > 0.25
        if bad.any():
            hard = bad & (delta > 0.25)
            if not hard.any():
                S = _cure(law, y, p, E, others, reference, delta, bad, centred, full, mean, hard)
            else:
                _cure(law, y, p, E, others, reference, delta, bad & ~hard, centred, full, False, hard)
            (rows_,) = np.nonzero(hard)
            for c in chunks(len(rows_), (1 << 19) // M):
                r = rows_[c]
                X = exact(r)
                X = X - X.max(axis=1, keepdims=True)
                reference[r] = X.argmax(axis=1)
                E[r] = exponentiate(X, full)
                E[r, reference[r]] = 0.0
                others[r] = E[r].sum(axis=1)
    if mean and S is None:
        S = combine(law, E, centred, full)
    return E, reference, others, S


def _cure(law, y, p, E, others, reference, delta, bad, centred, full, mean, hard):
    """Recompute in place what rows ``bad`` need; returns S if it had to be formed for all rows."""
    b, M, d = len(y), law._active, law.dim
    P, center, q = (law._p._host[k] for k in ("P", "center", "q"))
    (index,) = np.nonzero(bad)
    if not len(index):
        return None
    cut = np.full(len(index), 0.0) if full else TOLERANCE / (M * delta[index])
    whole = len(index) == b
    mask = (E if whole else E[index]) > cut[:, None]
    pairs = int(np.count_nonzero(mask))
    S = None
    # A pair costs 2.5 d + 50 ns, an entry of the block 0.09 d + 7 ns: up to a twentieth of the block is spent blindly.
    if pairs * (2.5 * d + 50) > 0.05 * len(index) * M * (0.09 * d + 7):
        S = combine(law, E, centred, full)
        sums = (S if whole else S[index]) - (0.0 if centred and (law._shifted or "C" in law._p._host) else center * others[index, None])
        cr = P[reference[index]] - center
        second = 2 * ((E if whole else E[index]) @ q) - 2 * np.einsum("ij,ij->i", cr, sums)
        second += others[index] * np.einsum("ij,ij->i", cr, cr)
        second -= 64 * EPS * others[index] * law._reach**2
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(np.maximum(second, 0.0) / others[index])
        U = y[index] - P[reference[index]]
        direct = 2 * EPS * (4 + math.sqrt(d)) * np.sqrt(np.einsum("ij,ij->i", U, U)) * spread * p[index]
        keep = ~(delta[index] <= FACTOR * direct)
        if not keep.any():
            return S
        index, mask = index[keep], mask[keep]
        S = None
    # Rows of few candidates by pairs; rows of many are left to the sliced product.
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
        E[index[i], j] = np.exp(np.maximum(rel, FLOOR))
        others[index] = E[index].sum(axis=1)
    return None


def nearest(law, y, count=1):
    """(nearest atom (b,), second nearest or None): the lowest index among equals."""
    if law.dim <= 3:
        return low_nearest(law, y), None
    b, M = len(y), law._active
    index = np.arange(b)
    yc = y - law._p._host["center"]
    a, delta = logits(law, yc, np.ones((1, 1)), weights=False), error_bound(law, yc)
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
    return E, reference, E.sum(axis=1), E @ law._p._host["C" if centred else "P"] if mean else None


def low_mean(law, y, prec):
    """Conditional means (b, d), d <= 3."""
    E, total = low_weights(law, y, prec)
    out = E @ law._p._host["P"]
    out /= total[:, None]
    return out
