"""Numba kernels of point clouds, imported by `fast` where numba is there: distance, exponential and sums of one query in
one pass. The NumPy kernels of `cloud` do the same, to rounding."""

import numba
import numpy as np

LOOSE = {"nnan", "ninf", "nsz", "contract", "reassoc"}
_LOG2E, _HIGH, _LOW = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
_MAGIC = 1.5 * 2.0**52
_C = [1.0]
for _k in range(1, 14):
    _C.append(_C[-1] / _k)
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = _C


@numba.njit(fastmath={"contract", "nnan", "ninf", "nsz"}, cache=True)
def _exponential(x, t):
    # exp in place of x <= 0, 0 below -600; t is room of the same length. x = n log 2 + r, Taylor to r^13 (4e-18), and 2^n by
    # its bits, in loops that compile to vector code. No reassociation here: it would undo the splitting.
    for j in range(x.shape[0]):
        v = max(x[j], -600.0)
        n = v * _LOG2E + _MAGIC
        t[j] = n
        n = n - _MAGIC
        r = (v - n * _HIGH) - n * _LOW
        p = _C13 * r + _C12
        p = p * r + _C11
        p = p * r + _C10
        p = p * r + _C9
        p = p * r + _C8
        p = p * r + _C7
        p = p * r + _C6
        p = p * r + _C5
        p = p * r + _C4
        p = p * r + _C3
        p = p * r + _C2
        p = p * r + _C1
        x[j] = p * r + _C0
    bits = t.view(np.int64)
    for j in range(x.shape[0]):
        bits[j] = (bits[j] + 1023) << 52
    for j in range(x.shape[0]):
        e = x[j] * t[j]
        x[j] = e if e > 2.66e-261 else 0.0


@numba.njit(fastmath={"nnan", "ninf", "nsz", "contract"}, cache=True)
def _distances(y, P, h):
    best = np.inf
    for k in range(P.shape[0]):
        yk = y[k]
        if k == 0:
            for j in range(h.shape[0]):
                h[j] = (yk - P[k, j]) * (yk - P[k, j])
        else:
            for j in range(h.shape[0]):
                h[j] += (yk - P[k, j]) * (yk - P[k, j])
    # Eight minima at once: LLVM does not split this reduction itself.
    M = h.shape[0] // 8 * 8
    a, b, c, e = best, best, best, best
    a2, b2, c2, e2 = best, best, best, best
    for j in range(0, M, 8):
        a, b, c, e = min(a, h[j]), min(b, h[j + 1]), min(c, h[j + 2]), min(e, h[j + 3])
        a2, b2, c2, e2 = min(a2, h[j + 4]), min(b2, h[j + 5]), min(c2, h[j + 6]), min(e2, h[j + 7])
    for j in range(M, h.shape[0]):
        a = min(a, h[j])
    return min(min(min(a, b), min(c, e)), min(min(a2, b2), min(c2, e2)))


@numba.njit(fastmath=LOOSE, cache=True)
def _largest(x):
    best = -np.inf
    M = x.shape[0] // 8 * 8
    a, b, c, e = best, best, best, best
    a2, b2, c2, e2 = best, best, best, best
    for j in range(0, M, 8):
        a, b, c, e = max(a, x[j]), max(b, x[j + 1]), max(c, x[j + 2]), max(e, x[j + 3])
        a2, b2, c2, e2 = max(a2, x[j + 4]), max(b2, x[j + 5]), max(c2, x[j + 6]), max(e2, x[j + 7])
    for j in range(M, x.shape[0]):
        a = max(a, x[j])
    return max(max(max(a, b), max(c, e)), max(max(a2, b2), max(c2, e2)))


@numba.njit(fastmath=LOOSE, cache=True)
def _sum(x):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j]
    return total


@numba.njit(fastmath=LOOSE, cache=True)
def _dot(x, p):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * p[j]
    return total


@numba.njit(fastmath=LOOSE, cache=True)
def _dot_offset(x, p, y):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * (p[j] - y)
    return total


@numba.njit(cache=True)
def low(y, P, logw, prec, offset, out, depth):
    """out (n, d + 1): sums of weights (relative to the best atom) times p or p - y, and of weights; depth (n,): precision
    times the half squared distance of the best atom."""
    n, d, M = y.shape[0], P.shape[0], P.shape[1]
    x, t = np.empty(M), np.empty(M)
    for i in range(n):
        c = 0.5 * prec[i if prec.shape[0] > 1 else 0]
        best = _distances(y[i], P, x)
        depth[i] = c * best
        if logw.shape[0] == 0:
            for j in range(M):
                x[j] = -c * (x[j] - best)
        else:
            for j in range(M):
                x[j] = logw[j] - c * (x[j] - best)
            top = _largest(x)
            for j in range(M):
                x[j] -= top
        _exponential(x, t)
        for k in range(d):
            out[i, k] = _dot_offset(x, P[k], y[i, k]) if offset else _dot(x, P[k])
        out[i, d] = _sum(x)


@numba.njit(cache=True)
def softmax(L, reference, others, cut, column, q):
    """In place: weights relative to the best atom of a row, 0 at that atom. ``others`` (b, 2): their sums, plain and times
    q; returns how many are above ``cut`` (b,). ``column`` (M,): largest weight of an atom."""
    b, M = L.shape
    t = np.empty(M)
    pairs = 0
    for i in range(b):
        x = L[i]
        top = _largest(x)
        r = 0
        while x[r] < top:
            r += 1
        for j in range(M):
            x[j] -= top
        _exponential(x, t)
        x[r] = 0.0
        reference[i] = r
        for j in range(M):
            column[j] = max(column[j], x[j])
        others[i, 0] = _sum(x)
        others[i, 1] = _dot(x, q)
        c = cut[i]
        if c < 1.0:
            for j in range(M):
                pairs += x[j] > c
    return pairs
