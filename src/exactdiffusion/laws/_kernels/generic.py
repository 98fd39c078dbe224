r"""The kernels of large products for arrays other than NumPy's: point clouds in d > 3, mixtures at one level.

The same formulas as `cloud`, whose derivations and error bounds hold here, arranged for a device that
computes while Python runs ahead: two products of rows x atoms x d (mixtures: one or two of rows x d x K d) per block and as
few passes over the large array as separate operations allow. Nothing in the loop over blocks asks the device for a number,
which would make Python wait for it, except one question per block: whether a row of it needs the exact logits.

Point clouds: the product is scaled by what multiplies the few columns of the queries, the bias and the largest logit are
subtracted in place, and the weights are one exponential: passes bias (2), argmax (1), largest (2), exponential (2), sum (1)
and the second moments (1), in units of the array once read or written. On the CPU, where exponentials that underflow cost
ten times others, logits are clipped, too. Memory: two such arrays, each of `workspace` doubles on a GPU and of 2.25 times
that on the CPU (together 38 MB), and a few of the size of the queries of a block.

Mixtures: the (rows, K, d) array is written by its product and read twice (one-product forms), or written, read for its
norms, weighted in place and read by the second product (eigen form). In few dimensions a GPU takes `_Pairs` instead.
"""

import math

import array_api_compat
import numpy as np

from ..._core.arrays import array_namespace, from_numpy, is_numpy, on_accelerator, workspace
from ..base import BLOCK_DOUBLES, EPS, LOG_2PI, column, norm_rows
from . import cloud as _cloud
from .mixture import even

# Levels and sizes within which no product of the kernels of clouds leaves the range of floats.
_LEAST, _MOST = 1e-50, 1e50


def _pick(xp, a, index):
    """a[i, index[i]] as a column (b, 1)."""
    b, M = a.shape
    flat = xp.arange(b, device=a.device) * M + index
    return xp.expand_dims(xp.take(xp.reshape(a, (-1,)), flat), axis=-1)


def _without(xp, a, index):
    """a with 0 at (i, index[i]), in place where the namespace has indexed assignment."""
    if array_api_compat.is_torch_namespace(xp) or array_api_compat.is_cupy_namespace(xp):
        a[xp.arange(a.shape[0], device=a.device), index] = 0.0
        return a
    columns = xp.arange(a.shape[1], device=a.device)
    return xp.where(columns == xp.expand_dims(index, axis=-1), xp.zeros_like(a), a)


def _bounded(function, a, value):
    """``function(a, value)`` of maximum or minimum: older namespaces take arrays only."""
    xp = array_namespace(a)
    return function(a, xp.full((1,) * a.ndim, value, dtype=xp.float64, device=a.device))


def _merge(xp, mask, new, old):
    """``old`` (b, ...) with its rows where mask (b,) holds replaced by the rows of ``new``, in order."""
    position = xp.cumulative_sum(xp.astype(mask, xp.int64)) - 1
    position = xp.where(position < 0, xp.zeros_like(position), position)
    mask = xp.reshape(mask, (-1,) + (1,) * (old.ndim - 1))
    return xp.where(mask, xp.take(new, position, axis=0), old)


# -- point clouds --------------------------------------------------------------------------------------------------------


def rows(law, x):
    """Rows of a block of queries of `moments`."""
    M, d = law._active, law.dim
    if on_accelerator(x):
        return even(x.shape[0], workspace(x) // max(M, d))
    return max(1, min(9 * BLOCK_DOUBLES // 4 // max(M, d), max(256 if d >= 256 else 64, BLOCK_DOUBLES // M)))


def cloud(noised, what, x, size=None):
    """ "log_density" (n,), "score" or "denoise" (n, d) of a noised point cloud; None where these kernels are not for it.
    ``size`` is a bound of the coordinates of x, where one is known."""
    xp, law, n = array_namespace(x), noised.law, x.shape[0]
    if is_numpy(xp) or noised.dim <= 3 or n == 0:
        return None
    x, s, t = noised._in_range(x, size) if what == "denoise" else (x, *noised._levels())
    # Within these levels and sizes no product leaves the range of floats.
    inside = ((s == 0) | (s >= _LEAST)) & (s <= _MOST) & ((t == 0) | (t >= _LEAST)) & (t <= _MOST)
    if not np.all(inside) or not _LEAST <= law._size <= _MOST:
        return None
    block, out = rows(law, x), []
    P = law._p("P", x)
    for c in _cloud.chunks(n, block):
        y, (s1, t1) = x[c, :], (v[c] if len(v) > 1 else v for v in (s, t))
        reference, others, S = moments(noised, y, s1, t1, what == "score", what != "log_density")
        best = xp.take(P, reference, axis=0)
        if what == "denoise":
            S += best
            S /= 1.0 + others
            out.append(S)
            continue
        s2, t2 = _level(xp, s1, x), _level(xp, t1, x)
        if what == "score":
            frame = xp.take(_atoms(noised, x, True), reference, axis=0)
            S -= others * frame
            S *= s2 / (1.0 + others)
            out.append(((s2 * best - y) + S) / t2 / t2)
        else:
            z = (y - s2 * best) / t2
            base = xp.take(law._p("logw", x), reference, axis=0) - 0.5 * xp.sum(z * z, axis=-1)
            level = from_numpy(noised.dim * (0.5 * LOG_2PI + np.log(t1)), x)
            out.append(base + xp.log1p(xp.reshape(others, (-1,))) - level)
    return out[0] if len(out) == 1 else xp.concat(out, axis=0)


def _atoms(noised, x, frame):
    """The atoms on the device of x: as they are, or in the frame of centred sums of `cloud.combine`."""
    law = noised.law
    P = law._p("P", x)
    if not frame or law._radius != law._reach:
        return P
    return law._p.cached("C", x, lambda: P - law._p("center", x))


def moments(noised, x, s, t, frame, mean):
    """(reference (b,), others (b, 1), S (b, d) or None), as `cloud.high_moments`: the best atom, the sum of the weights of
    the others relative to it, and the sum of their weights times atoms (``frame``: centred, as `_atoms`).

    s and t are NumPy arrays, (b,) or (1,). Rows at t = 0 are projections.
    """
    xp, b = array_namespace(x), x.shape[0]
    zero = np.broadcast_to(t == 0, (b,))
    if zero.all():
        reference = noised._closest(x, from_numpy(s, x))[0]
        return reference, xp.zeros_like(x[:, :1]), xp.zeros_like(x) if mean else None
    precision = 1.0 / np.where(t == 0, 1.0, t) ** 2
    reference, others, S, good = _expanded(noised, x, s, precision, frame, mean)
    if not bool(xp.all(good)):
        bad = xp.logical_not(good)
        new = _exact(noised, x, s, precision, xp.nonzero(bad)[0], frame, mean)
        reference, others = (_merge(xp, bad, a, o) for a, o in zip(new[:2], (reference, others)))
        S = _merge(xp, bad, new[2], S) if mean else None
    if zero.any():
        index = from_numpy(np.flatnonzero(zero), x)
        nearest = noised._closest(xp.take(x, index, axis=0), _some(xp, s, x, index))[0]
        at = from_numpy(np.array(zero), x)
        reference = _merge(xp, at, nearest, reference)
        others = xp.where(column(xp, at), xp.zeros_like(others), others)
        S = xp.where(column(xp, at), xp.zeros_like(S), S) if mean else None
    return reference, others, S


def _some(xp, values, x, index=None):
    """Levels, NumPy (b,) or (1,), on the device of x: those of the rows ``index``."""
    a = from_numpy(values, x)
    return a if index is None or a.shape[0] == 1 else xp.take(a, index, axis=0)


def _level(xp, values, x):
    """Levels, NumPy (b,) or (1,), as a factor of (b, d): a number, which costs the device nothing, or a column."""
    return float(values[0]) if len(values) == 1 else column(xp, from_numpy(values, x))


def _expanded(noised, x, s, precision, frame, mean):
    """(reference, others, S, good): the sums by centred expansion, and where their error is within what `cloud` asks."""
    xp, law, d = array_namespace(x), noised.law, noised.dim
    center, q = (law._p(k, x) for k in ("center", "q"))
    B = _atoms(noised, x, True)
    s2 = _level(xp, s, x)
    xc = x - s2 * center
    norm = column(xp, norm_rows(xp, xc))
    L = xp.matmul(_level(xp, s * precision, x) * xc, xp.matrix_transpose(B))
    bias = _level(xp, s * s * precision, x) * (q if len(s) == len(precision) == 1 else xp.expand_dims(q, axis=0))
    if not law._uniform:
        bias = bias - law._p("logw", x)
    L -= bias
    reference = xp.argmax(L, axis=-1)
    L -= _pick(xp, L, reference)
    clipped = not on_accelerator(x) and float(xp.min(L)) < _cloud.FLOOR
    if clipped:
        L = _bounded(xp.maximum, L, _cloud.FLOOR)
    E = xp.exp(L)
    del L
    E = _without(xp, E, reference)
    others = xp.sum(E, axis=-1, keepdims=True)
    R = law._reach
    # Error bound of a logit: that of `cloud.error_bound`, for x in the place of x / s.
    unit = 2 * EPS * (4 + math.sqrt(d)) * _level(xp, s * precision, x)
    size = norm + s2 * (R + 0.5 * law._center_norm)
    delta = unit * (size * R)
    good = delta * _bounded(xp.minimum, 2 * others, 1.0) <= _cloud.TOLERANCE
    S = None
    sure = not on_accelerator(x) and bool(xp.all(good))
    if mean or not (sure or bool(xp.all(good))):
        S = xp.matmul(E, B if frame else law._p("P", x))
        if clipped:
            # What weights at the floor leave where the sum is 0: `cloud.flush`.
            nothing = xp.abs(S) <= 2 * law._active * law._size * math.exp(_cloud.FLOOR)
            S = xp.where(nothing, xp.zeros_like(S), S)
    if S is not None and not sure:
        # Condition (ii) of `cloud`: within `FACTOR` of the error of differences at the root mean square distance.
        pr = xp.take(law._p("P", x), reference, axis=0)
        cr = pr - center
        sums = S if frame and law._radius == law._reach else S - others * center
        second = 2 * xp.matmul(E, column(xp, q)) - 2 * xp.sum(cr * sums, axis=-1, keepdims=True)
        square = xp.sum(cr * cr, axis=-1, keepdims=True)
        second = second + others * (square - 64 * EPS * R * (R + law._center_norm))
        spread = xp.sqrt(_bounded(xp.maximum, second, 0.0) / _bounded(xp.maximum, others, 1e-300))
        far = column(xp, norm_rows(xp, x - s2 * pr))
        own = xp.sqrt(square) + (0.0 if law._radius == R else law._center_norm)
        reach = _bounded(xp.minimum, own + 2 * spread, R)
        size = norm + s2 * (reach + 0.5 * law._center_norm)
        good = good | (size * reach <= _cloud.FACTOR * far * spread)
    return reference, others, S, xp.reshape(good & (delta <= 0.25), (-1,))


def _exact(noised, x, s, precision, index, frame, mean):
    """(reference, others, S) of the rows ``index``, by logits that are as good as differences."""
    xp, law = array_namespace(x), noised.law
    logw = law._p("logw", x)
    step = max(1, (workspace(x) if on_accelerator(x) else BLOCK_DOUBLES) // law._active)
    out = []
    for c in _cloud.chunks(index.shape[0], step):
        i = index[c]
        p = column(xp, _some(xp, precision, x, i))
        logits, _ = noised._gemm_logits(xp.take(x, i, axis=0), _some(xp, s, x, i), p, logw, _cloud.window(law))
        reference = xp.argmax(logits, axis=-1)
        logits = logits - _pick(xp, logits, reference)
        E = xp.exp(_bounded(xp.maximum, logits, _cloud.FLOOR))
        E = _without(xp, xp.where(logits < _cloud.FLOOR, xp.zeros_like(E), E), reference)
        S = xp.matmul(E, _atoms(noised, x, frame)) if mean else None
        out.append((reference, xp.sum(E, axis=-1, keepdims=True), S))
    return tuple(xp.concat(list(a), axis=0) if a[0] is not None else None for a in zip(*out))
