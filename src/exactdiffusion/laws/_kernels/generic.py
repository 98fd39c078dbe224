r"""The kernels of large products for arrays other than NumPy's: mixtures at one level.

The same formulas as `stacked`, whose derivations and error bounds hold here, arranged for a device that computes while
Python runs ahead: one or two products of rows x d x K d per block and as few passes over the large array as separate
operations allow. Nothing in the loop over blocks asks the device for a number, which would make Python wait for it.

Mixtures: the (rows, K, d) array is written by its product and read twice (one-product forms), or written, read for its
norms, weighted in place and read by the second product (eigen form). In few dimensions a GPU takes `_Pairs` instead.
"""

import math

import numpy as np

from ..._core.arrays import array_namespace, from_numpy, on_accelerator, workspace
from ..base import LOG_2PI
from .stacked import CHUNK, ROWS, STACK, Level, logdets, near, pays

# Dimension up to which pairs of coordinates are less work for a GPU than the (rows, K, d) array.
PAIRS_DIM = 96


def even(n, rows):
    """Rows per block for as many blocks as ``rows`` at most make, all of one size."""
    return max(1, -(-n // max(1, -(-n // max(1, int(rows))))))


# -- mixtures ------------------------------------------------------------------------------------------------------------


def mixture(noised, what, x, s, t, size):
    """ "log_density" (n,), "score" or "denoise" (n, d) of a mixture at one level; None where the forms of `stacked` are not
    for it. s and t are NumPy arrays, ``size`` the largest norm of a row of x or 0 for what is not known."""
    law, n = noised.law, x.shape[0]
    K, d = law._active, law.dim
    if not len(s) == len(t) == 1 or not pays(K, d, n):
        return None
    xp, k = array_namespace(x), law._stack()
    level, s1 = Level(k, s, t, n), float(s[0])
    room = K * d * d <= max(STACK, workspace(x))
    y = x - from_numpy(s1 * k.c, x) if np.any(k.c) else x
    if y is not x or not size:
        size = math.sqrt(float(xp.max(xp.sum(y * y, axis=-1))))
    form = level.form_at(what, size + s1 * float(np.max(k.norm)), room)
    if form is None or (form == "eigen" and (not room or _lossy(what, level, y))):
        return None
    run = _Diagonal if k.Ut is None else _Eigen if form == "eigen" else _Product
    if run is _Product and on_accelerator(x) and d % 2 == 0 and d <= min(PAIRS_DIM, K):
        run = _Pairs
    inner = "score" if what == "denoise" and level.by_score else what
    dets, commons = logdets(k.lam, k.typical, s, t)
    run = run(noised, level, inner, form, k.logw - 0.5 * dets, x)
    wide = workspace(x) // (K * d) if on_accelerator(x) else ROWS
    block, out = even(n, wide), []
    count = K if on_accelerator(x) else max(1, min(K, CHUNK // (min(block, n) * d)))
    for i in range(0, n, block):
        z = y[i : min(i + block, n), :]
        top, total, sums = run(z, count)
        if what == "log_density":
            out.append(top + xp.log(total))
            continue
        sums = sums / xp.expand_dims(total, axis=-1)
        if inner != what:
            sums = sums * (float(t[0]) ** 2 / s1) + (z if s1 == 1.0 else z / s1)
        out.append(sums)
    out = out[0] if len(out) == 1 else xp.concat(out, axis=0)
    if what == "log_density":
        return out - 0.5 * d * (LOG_2PI + math.log(float(commons[0])))
    return out + from_numpy(k.c, x) if what == "denoise" and np.any(k.c) else out


def _lossy(what, level, y):
    """Whether a row is so near a component, or to 0, that the eigen form would lose digits by the common shift."""
    xp, k, s = array_namespace(y), level.k, float(level.s[0])
    squares = xp.sum(y * y, axis=-1, keepdims=True)
    small = (s * float(np.max(k.norm))) ** 2 if what == "denoise" and not level.by_score else 0.0
    if small and bool(xp.any(16.0 * squares < small)):
        return True
    m, norm = from_numpy(np.ascontiguousarray(k.m.T), y), from_numpy(k.norm, y)
    return bool(xp.any(near(xp, squares, xp.matmul(y, m), s, norm)))


class _Form:
    """One form of the sums at one level; called with rows y and components per chunk."""

    def __init__(self, noised, level, what, form, const, x):
        self.xp, self.level, self.what, self.x = array_namespace(x), level, what, x
        self.noised, self.form = noised, form
        self.K, self.d, self.s, self.t = level.k.K, level.k.d, float(level.s[0]), float(level.t[0])
        self._small(const)
        self._prepare()

    def _put(self, a):
        return from_numpy(a, self.x)

    def _small(self, const):
        """Sets what is small, in one transfer: slope (K, d) and constant (1, K) of the logits, ``shift`` (K, d) that their
        weights multiply in the sum, ``values`` (K, d), and ``twice`` (1, d) of `_Pairs`; `_prepare` has the rest."""
        k, v, d = self.level.k, self.level.v, self.d
        if self.form == "eigen":
            values, slope, shift, const = 1.0 / np.sqrt(v), np.zeros((self.K, 0)), k.m, np.ravel(const)
            self.quadratic = -0.5
        else:
            values, self.quadratic, linear, self.sign = self.level._factor(self.form)
            Pm = k.back(k.M / v)
            slope, shift = self.s * Pm, linear * Pm
            const = np.ravel(const) - 0.5 * self.s**2 * np.sum(k.M * k.M / v, axis=1)
        twice = np.zeros((self.K, d))
        twice[0] = self.quadratic * np.where(np.arange(d) < d // 2, 1.0, 2.0)
        packed = from_numpy(np.concatenate([const[:, None], slope, twice, values, shift], axis=1), self.x)
        self.const = self.xp.reshape(packed[:, 0], (1, -1))
        self.slope = self.xp.matrix_transpose(packed[:, 1 : 1 + slope.shape[1]])
        self.twice, self.values, self.shift = packed[:1, -3 * d : -2 * d], packed[:, -2 * d : -d], packed[:, -d:]

    def __call__(self, y, count):
        xp, top, total, sums, logits = self.xp, None, None, None, None
        for a in range(0, self.K, count):
            c = slice(a, min(a + count, self.K))
            z = self._product(y, c)
            if logits is None:  # after the first product, during which Python can prepare what follows
                logits = self._logits(y)
            e = self._chunk(y, z, logits[:, c])
            best = xp.max(e, axis=-1)
            if top is not None:
                best = xp.maximum(top, best)
            e = xp.exp(e - xp.expand_dims(best, axis=-1))
            mass = xp.sum(e, axis=-1)
            part = None if self.what == "log_density" else self._sum(y, e, z, c)
            if top is None:
                total, sums = mass, part
            else:
                rescale = xp.exp(top - best)
                total = total * rescale + mass
                sums = None if part is None else sums * xp.expand_dims(rescale, axis=-1) + part
            top = best
        return top, total, sums


class _Product(_Form):
    """The one-product forms: precision and gain."""

    def _prepare(self):
        xp = self.xp
        U, Ut = self.noised._param("U", self.x), self.noised._param("Ut", self.x)
        self.F = xp.reshape(xp.matmul(U * xp.expand_dims(self.values, axis=1), Ut), (-1, self.d))

    def _product(self, y, c):
        H = self.xp.matmul(y, self.xp.matrix_transpose(self.F[c.start * self.d : c.stop * self.d, :]))
        return self.xp.reshape(H, (y.shape[0], c.stop - c.start, self.d))

    def _logits(self, y):
        return self.xp.matmul(y, self.slope) + self.const

    def _chunk(self, y, H, logits):
        return logits + self.xp.matmul(H, self.xp.expand_dims(self.quadratic * y, axis=-1))[:, :, 0]

    def _sum(self, y, e, H, c):
        xp = self.xp
        return self.sign * xp.matmul(xp.expand_dims(e, axis=1), H)[:, 0, :] + xp.matmul(e, self.shift[c, :])


class _Pairs(_Product):
    """The one-product forms by products of pairs of coordinates: sum_ij y_i y_j P_kij, and sum_k r_k P_k before y.

    Half as many operations more than `_Product` (pairs within the second half and across the halves once), and for few
    dimensions much less memory to read and write: 3/4 d^2 doubles a row, written and read twice, against K d, written once
    and read twice. For GPUs, which wait for their memory there.
    """

    def _prepare(self):
        self.first = None

    def _product(self, y, c):
        xp, n, h = self.xp, y.shape[0], self.d // 2
        # y_i y_j of i in the first half and all j, those of the second half twice, and of both in the second half.
        twice = y * self.twice
        first = xp.expand_dims(y[:, :h], axis=2) * xp.expand_dims(twice, axis=1)
        second = xp.expand_dims(self.quadratic * y[:, h:], axis=2) * xp.expand_dims(y[:, h:], axis=1)
        if self.first is None:  # now: the device is busy while Python prepares what follows
            super()._prepare()
            P = xp.reshape(self.F, (self.K, self.d, self.d))
            self.first = xp.reshape(P[:, :h, :], (self.K, -1))
            self.second = xp.reshape(P[:, h:, h:], (self.K, -1))
        out = xp.matmul(xp.reshape(first, (n, -1)), xp.matrix_transpose(self.first[c, :]))
        out += xp.matmul(xp.reshape(second, (n, -1)), xp.matrix_transpose(self.second[c, :]))
        return out

    def _chunk(self, y, quadratic, logits):
        return logits + quadratic

    def _sum(self, y, e, quadratic, c):
        xp, n, h = self.xp, y.shape[0], self.d // 2
        first = xp.reshape(xp.matmul(e, self.first[c, :]), (n, h, self.d))
        second = xp.reshape(xp.matmul(e, self.second[c, :]), (n, h, h))
        column = xp.expand_dims(y, axis=2)
        low = xp.matmul(first, column)[:, :, 0]
        high = xp.matmul(xp.expand_dims(y[:, :h], axis=1), first[:, :, h:])[:, 0, :]
        high += xp.matmul(second, column[:, h:, :])[:, :, 0]
        return self.sign * xp.concat([low, high], axis=1) + xp.matmul(e, self.shift[c, :])


class _Eigen(_Form):
    """Whitened coordinates by one product, what is rotated back by another."""

    def _prepare(self):
        xp, k, v = self.xp, self.level.k, self.level.v
        stack = xp.reshape(self.noised._param("Ut", self.x), (-1, self.d))
        scale = xp.reshape(self.values, (-1, 1))
        # A column for s m_k, and one of zeros: rows of an even number of doubles are aligned for the products of a GPU.
        shift = self._put(np.reshape(-self.s * k.M / np.sqrt(v), (-1, 1)))
        self.white = xp.concat([stack * scale, shift, xp.zeros_like(shift)], axis=1)
        if self.what == "score":
            self.back = -(stack * scale)
        elif self.what == "denoise":
            self.back = stack * self._put(np.reshape(self.s * k.lam / np.sqrt(v), (-1, 1)))

    def _product(self, y, c):
        xp = self.xp
        one = xp.ones_like(y[:, :1])
        whole = xp.concat([y, one, xp.zeros_like(one)], axis=1)
        z = xp.matmul(whole, xp.matrix_transpose(self.white[c.start * self.d : c.stop * self.d, :]))
        return xp.reshape(z, (y.shape[0], c.stop - c.start, self.d))

    def _logits(self, y):
        return self.const

    def _chunk(self, y, z, logits):
        norm = self.xp.linalg.vector_norm(z, axis=-1)
        return logits - 0.5 * (norm * norm)

    def _sum(self, y, e, z, c):
        xp = self.xp
        z *= xp.expand_dims(e, axis=-1)
        out = xp.matmul(xp.reshape(z, (y.shape[0], -1)), self.back[c.start * self.d : c.stop * self.d, :])
        return out + xp.matmul(e, self.shift[c, :]) if self.what == "denoise" else out


class _Diagonal(_Form):
    """Diagonal covariances: products of two squares with (d, K), no (rows, K, d) array."""

    def _prepare(self):
        self.square = self.xp.matrix_transpose(self.quadratic * self.values)

    def _product(self, y, c):
        return self.xp.matmul(y * y, self.square[:, c])

    def _logits(self, y):
        return self.xp.matmul(y, self.slope) + self.const

    def _chunk(self, y, squares, logits):
        return logits + squares

    def _sum(self, y, e, squares, c):
        xp = self.xp
        return self.sign * y * xp.matmul(e, self.values[c, :]) + xp.matmul(e, self.shift[c, :])
