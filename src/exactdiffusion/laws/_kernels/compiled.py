"""The compiled kernel of point clouds (numba, extra ``fast``), used by `softmax`, whose NumPy lines do the same to rounding.

It pays where NumPy's exponential is slow (processors without AVX-512): best logit, exponential and sum of a row in one pass
through the cache.
"""

import numba
import numpy as np

# exp(x) = 2^n exp(r), n = round(x / log 2), r = x - n log 2 in two parts; Taylor series to r^13, whose remainder is 4e-18.
_LOG2E, _HIGH, _LOW = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
_SERIES = tuple(1 / float(np.prod(np.arange(1.0, k + 1))) for k in range(13, -1, -1))
# Adding this rounds to an integer, which is then in the last bits.
_MAGIC = 1.5 * 2.0**52


@numba.njit(fastmath={"contract", "nnan", "ninf", "nsz"}, cache=True)
def exponential(x, top, t):
    """exp(x - top) in place of x <= top, 0 below e^-600; t is room of the same length.

    Each loop compiles to vector code. Reassociation is not allowed here: it would undo the splitting.
    """
    bits = t.view(np.int64)
    for j in range(x.shape[0]):
        v = max(x[j] - top, -600.0)
        n = v * _LOG2E + _MAGIC
        t[j] = n
        n = n - _MAGIC
        r = (v - n * _HIGH) - n * _LOW
        p = 0.0
        for c in _SERIES:
            p = p * r + c
        x[j] = p
    for j in range(x.shape[0]):
        bits[j] = (bits[j] + 1023) << 52
        e = x[j] * t[j]
        x[j] = e if e > 2.66e-261 else 0.0


@numba.njit(fastmath=True, cache=True)
def _largest(x):
    # Eight maxima at once: the compiler does not split this loop itself.
    a = b = c = d = e = f = g = h = -np.inf
    M = x.shape[0] // 8 * 8
    for j in range(0, M, 8):
        a, b, c, d = max(a, x[j]), max(b, x[j + 1]), max(c, x[j + 2]), max(d, x[j + 3])
        e, f, g, h = max(e, x[j + 4]), max(f, x[j + 5]), max(g, x[j + 6]), max(h, x[j + 7])
    for j in range(M, x.shape[0]):
        a = max(a, x[j])
    return max(max(max(a, b), max(c, d)), max(max(e, f), max(g, h)))


@numba.njit(cache=True)
def _first(x, top):
    # Lowest index of the value top: vector code, where a search that stops early is not.
    back = 0
    for j in range(x.shape[0]):
        back = max(back, x.shape[0] - j if x[j] == top else 0)
    return x.shape[0] - back


@numba.njit(fastmath={"nsz", "contract", "reassoc"}, cache=True)
def _sum(x):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j]
    return total


@numba.njit(cache=True)
def _row(x, room):
    # Weights in place of logits: (best atom, its logit, sum of the weights of the others).
    top = _largest(x)
    r = _first(x, top)
    if r == x.shape[0]:  # some logit is no number
        r = 0
    exponential(x, top, room)
    x[r] = 0.0
    return r, top, _sum(x)


@numba.njit(cache=True)
def softmax(L, reference, others):
    """In place of logits (b, M): weights relative to the best atom of a row, 0 at that atom, ``reference`` (b,). ``others``
    (b, 1): their sums. Returns the best logits (b, 1)."""
    room, best = np.empty(L.shape[1]), np.empty((L.shape[0], 1))
    for i in range(L.shape[0]):
        reference[i], best[i, 0], others[i, 0] = _row(L[i], room)
    return best


@numba.njit(fastmath={"contract"}, cache=True)
def _logits(x, y, T, factor, logw):
    for k in range(T.shape[0]):
        unit, z = factor if k == T.shape[0] - 1 else 1.0, y[k]
        if k == 0:
            for j in range(x.shape[0]):
                x[j] = unit * ((z - T[k, j]) * (z - T[k, j]))
        else:
            for j in range(x.shape[0]):
                x[j] = unit * (x[j] + (z - T[k, j]) * (z - T[k, j]))
    for j in range(logw.shape[0]):
        x[j] += logw[j]


@numba.njit(fastmath={"nsz", "contract", "reassoc"}, cache=True)
def _offset(x, p, own):
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * (p[j] - own)
    return total


@numba.njit(cache=True)
def low(y, T, factor, logw, reference, others, shift):
    """Best atom, sum of the weights of the others and mean offset from the best atom, of queries y (n, d), atoms T (d, M).

    The logits are ``factor_i |y_i - p_j|^2 + logw_j``; no logw: 0. Fills ``reference`` (n,), ``others`` (n, 1) and ``shift``
    (n, d), or (n, 0) where that is not asked for. Returns the best logits (n, 1). Nothing of size (n, M) is made.
    """
    x, room, best = np.empty(T.shape[1]), np.empty(T.shape[1]), np.empty((len(y), 1))
    for i in range(len(y)):
        _logits(x, y[i], T, factor[i], logw)
        reference[i], best[i, 0], others[i, 0] = _row(x, room)
        for k in range(shift.shape[1]):
            shift[i, k] = _offset(x, T[k], T[k, reference[i]]) / (1.0 + others[i, 0])
    return best
