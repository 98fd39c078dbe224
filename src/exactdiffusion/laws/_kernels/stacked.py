r"""Mixtures on NumPy arrays: stacked matrix products over blocks of rows and chunks of components.

With y = x - s c and m_k = mu_k - c, c a common shift, the rotations of all components are one product of y with the stack
of the U_k, and the sum over components of what is rotated back is inside a second one. A chunk of components of a block of
rows stays in the cache; the softmax over chunks is that of streaming sums (running maximum, rescaled sums).

Three forms of the same numbers, per block of rows; v = s^2 lam + t^2, P_k = U_k diag(1/v_k) U_k^T:

eigen
    Whitened coordinates w_k = (U_k^T y - s U_k^T m_k) / sqrt(v_k); the quadratic form is a sum of squares: nothing cancels
    however thin a component is. Two products of 2 K d^2 operations a row. The rounding of w_k is that of y and s m_k:
    pairs with |x - s mu_k| below 1/8 of |y| + s |m_k| lose more than 3 bits by the shift and are done again from
    x - s mu_k.
precision
    H_k = P_k y: quadratic form y.H_k - 2 s y.P_k m_k + s^2 m_k.P_k m_k, score sum_k r_k (s P_k m_k - H_k). One product. The
    three terms are at most |y|^2 / v_min, 2 s |y| |m_k| / v_min and s^2 |m_k|^2 / v_min and cancel: their rounding is of
    the order of eps R^2 / v_min with R = |y| + s max |m_k|.
gain
    V_k = W_k y with W_k = U_k diag(s lam_k / v_k) U_k^T: the quadratic form is, up to |y|^2 / t^2, which is common to all
    components, -s y.V_k / t^2 - 2 s y.P_k m_k + s^2 m_k.P_k m_k, and E[X|x] = c + sum_k r_k (V_k + t^2 P_k m_k): a
    convex-like combination. One product, rounding eps R^2 / t^2. For posterior means at large noise, where y + t^2 score
    would cancel.

The one-product forms are used where their rounding is below `PRECISE` (absolute, in a logit), and for enough rows to pay
for forming P_k or W_k. Diagonal covariances have the same forms with elementwise P_k and W_k: no rotation, no (b, K, d)
array, two products of 2 K d operations a row for the logits.
"""

import math

import numpy as np

from ..base import EPS, LOG_2PI

# Rounding of a logit, as estimated above, up to which the one-product forms are used.
PRECISE = 1e-11
# Smallest dimension, number of components and of coordinates x - s mu_k for which stacks pay; below, these are formed.
_LEAST_DIM, _LEAST_COMPONENTS, _LEAST_PAIRS = 8, 4, 4096
# Rows of a block, doubles of one of its buffers (2 MB: near the second-level cache), doubles of one stack made for a call
# (64 MB).
ROWS, CHUNK, STACK = 512, 1 << 18, 1 << 23
# Rows from which a stack of the law is worth scaling by a level (K d^2 multiplications), and from which, per dimension,
# forming P_k is (2 K d^3 operations, against the 2 K d^2 a row that it saves).
_SCALING_ROWS, _FORMING_ROWS = 32, 2
# Share of |y| + s |m_k| below which x - s mu_k is formed itself.
_NEAR = 1 / 64


def logdets(lam, typical, s, t):
    """(sum_j log(v_kj / common) (levels, K), common (levels,)) with common = s^2 typical + t^2.

    Relative to one common variance: at large sigma what tells the components apart is log1p of little.
    """
    common = s * s * typical + t * t
    levels, index = np.unique(np.stack([s + 0 * t, t + 0 * s], axis=1), axis=0, return_inverse=True)
    table = np.empty((len(levels), len(lam)))
    for i, (a, b) in enumerate(levels):
        whole = a * a * typical + b * b
        change = a * a * (lam - typical) / whole
        close = np.abs(change) < 0.5
        ratio = (a * a * lam + b * b) / whole
        table[i] = np.sum(np.where(close, np.log1p(np.where(close, change, 0.0)), np.log(ratio)), axis=1)
    return table[np.reshape(index, -1)], common


def near(xp, squares, products, s, norm):
    """Pairs (b, K) whose difference y - s m_k is to be formed itself, from |y|^2 (b, 1), y.m_k (b, K) and |m_k| (K,)."""
    apart = squares - 2.0 * (s * products) + (s * norm) ** 2
    return apart < _NEAR * (xp.sqrt(squares) + s * norm) ** 2


class Stack:
    """What does not depend on the level: shift, stacked eigenvectors, means in the eigenbases."""

    def __init__(self, logw, mu, lam, center, Ut, typical):
        spread = np.sqrt(np.max(np.sum((mu - center) ** 2, axis=1)))
        # Far from the origin the shift saves digits of x - s mu_k; near it, it would cost those of small results.
        self.c = center if np.sqrt(np.sum(center**2)) > spread else np.zeros_like(center)
        self.logw, self.mu, self.lam, self.typical = logw, mu, lam, typical
        self.K, self.d = mu.shape
        self.Ut = Ut
        self.stack = None if Ut is None else np.reshape(Ut, (-1, self.d))
        self.m = mu - self.c
        self.M = self.m if Ut is None else np.matmul(Ut, self.m[:, :, None])[:, :, 0]
        # Of the smallest component the largest variance, or the typical variance if that is less.
        self.wide = min(float(np.min(np.max(lam, axis=1))), typical)
        self.norm = np.sqrt(np.sum(self.m**2, axis=1))
        self.small = self.K * self.d**2 <= STACK
        self._augmented = None

    def augmented(self):
        """Stack with the column U_k^T m_k, (K d, d + 1)."""
        if self._augmented is None:
            self._augmented = np.concatenate([self.stack, np.reshape(self.M, (-1, 1))], axis=1)
        return self._augmented

    def matrices(self, values):
        """U_k diag(values_k) U_k^T, (K, d, d)."""
        return np.matmul(np.swapaxes(self.Ut, 1, 2) * values[:, None, :], self.Ut)

    def back(self, values):
        """U_k values_k for vectors (K, d)."""
        return values if self.Ut is None else np.matmul(values[:, None, :], self.Ut)[:, 0, :]


def pays(K, d, n):
    """Whether the stacked products are worth their overhead."""
    return d >= _LEAST_DIM and K >= _LEAST_COMPONENTS and K * d * n >= _LEAST_PAIRS


class Level:
    """A mixture at levels s, t: (1,) or one value per row of x; all variances v positive."""

    def __init__(self, stack, s, t, n):
        self.k, self.s, self.t, self.n = stack, s, t, n
        self.one = len(s) == len(t) == 1
        if self.one:
            self.v = float(s[0]) ** 2 * stack.lam + float(t[0]) ** 2
            self.least = float(np.min(self.v))
        # E[X|x] = c + (y + t^2 score) / s: nothing cancels beyond what the largest gain of every component, at least
        # 1 / (2 s), does to y already.
        self.by_score = self.one and float(t[0]) ** 2 < float(s[0]) ** 2 * stack.wide
        self._made = {}

    def _make(self, name, function):
        if name not in self._made:
            self._made[name] = function()
        return self._made[name]

    def _rows(self, values, i, j):
        return values if len(values) == 1 else values[i:j]

    # -- the form of a block -------------------------------------------------------------------------------

    def _reach(self, y):
        return float(np.sqrt(np.max(np.sum(y * y, axis=1)))) + float(self.s[0]) * float(np.max(self.k.norm))

    def form(self, what, y):
        """ "eigen", "precision", "gain" or None (diagonal, by differences)."""
        return self.form_at(what, lambda: self._reach(y), self.k.small)

    def form_at(self, what, reach, small):
        """`form` of rows of that ``reach`` (a number or a function), ``small`` where stacks may be made for a call."""
        k, otherwise = self.k, "eigen" if self.k.Ut is not None else None
        if not self.one or (k.Ut is not None and (self.n < _FORMING_ROWS * k.d or not small)):
            return otherwise
        R, t2 = reach() if callable(reach) else reach, float(self.t[0]) ** 2
        # The products of matrices with y are normal numbers only within this range.
        if not 1e-280 < self.least <= float(np.max(self.v)) < 1e280:
            return otherwise
        if what == "denoise" and not self.by_score:
            return "gain" if PRECISE * t2 > EPS * R * R else otherwise
        return "precision" if PRECISE * self.least > EPS * R * R else otherwise

    # -- streaming sums ------------------------------------------------------------------------------------

    def evaluate(self, what, x):
        """ "log_density" (n,), "score" or "denoise" (n, d)."""
        k, n = self.k, len(x)
        if k.Ut is None and (not self.one or self.form(what, x - self.s * k.c) is None):
            return None
        dets, commons = logdets(k.lam, k.typical, self.s, self.t)
        out = np.empty(n) if what == "log_density" else np.empty((n, k.d))
        rows = min(n, ROWS)
        count = max(1, min(k.K, CHUNK // (rows * k.d)))
        buffers = None if k.Ut is None else [np.empty(rows * count * k.d) for _ in range(2)]
        for i in range(0, n, rows):
            j = min(i + rows, n)
            s, t = self._rows(self.s, i, j)[:, None], self._rows(self.t, i, j)[:, None]
            y = x[i:j] - s * k.c
            const = k.logw - 0.5 * self._rows(dets, i, j)
            form = self.form(what, y)
            inner = "score" if what == "denoise" and self.by_score else what
            if k.Ut is None:
                top, total, sums = self._diagonal(form, y, const)
            else:
                sums = _Sums(len(y), k.d)
                run = self._eigen if form == "eigen" else self._product
                run(inner, form, sums, x[i:j], y, s, t, const, count, buffers)
                top, total, sums = sums.top, sums.total, sums.sums
            if what == "log_density":
                out[i:j] = top + np.log(total) - 0.5 * k.d * (LOG_2PI + np.log(self._rows(commons, i, j)))
                continue
            sums /= total[:, None]
            if inner != what:
                sums *= t * t
                sums += y
                sums /= s
            out[i:j] = sums
            if what == "denoise":
                out[i:j] += k.c
        return out

    def _linear(self, y, const):
        """Logits without the quadratic term in y, (b, K), and P_k m_k, (K, d)."""
        k, s = self.k, float(self.s[0])
        Pm = self._make("Pm", lambda: k.back(k.M / self.v))
        mPm = self._make("mPm", lambda: np.sum(k.M * k.M / self.v, axis=1))
        return const - 0.5 * s * s * mPm + y @ (s * Pm).T, Pm

    def _factor(self, form):
        """(matrices of the one product, factor of its quadratic form in a logit, factor of P_k m_k in the sum, sign)."""
        k, s, t = self.k, float(self.s[0]), float(self.t[0])
        if form == "gain":
            return s * k.lam / self.v, 0.5 * s / (t * t), t * t, 1.0
        return 1.0 / self.v, -0.5, s, -1.0

    def _product(self, what, form, sums, x, y, s, t, const, count, buffers):
        k, d = self.k, self.k.d
        values, quadratic, linear, sign = self._factor(form)
        F = self._make(form, lambda: np.reshape(k.matrices(values), (-1, d)))
        logits, Pm = self._linear(y, const)
        column = y[:, :, None]
        for a in range(0, k.K, count):
            b = min(a + count, k.K)
            h3 = _shaped(buffers[0], len(y), b - a, d)
            np.matmul(y, F[a * d : b * d].T, out=np.reshape(h3, (len(y), -1)))
            e = logits[:, a:b]
            e += quadratic * np.matmul(h3, column)[:, :, 0]
            sums.weights(e)
            if what != "log_density":
                sums.sums += np.matmul(e[:, None, :], h3)[:, 0, :] * sign
                sums.sums += e @ (linear * Pm[a:b])

    def _eigen(self, what, form, sums, x, y, s, t, const, count, buffers):
        k, d = self.k, self.k.d
        scaled = self.one and self.n >= _SCALING_ROWS and k.small
        near = self._near(y, s)
        keep = what == "denoise" and self._small(y, s)
        whole = _augmented(y, s)
        for a in range(0, k.K, count):
            b = min(a + count, k.K)
            z, w, scale = self._whitened(x, whole, s, t, a, b, scaled, near, buffers, keep)
            e = const[:, a:b] - 0.5 * np.vecdot(w, w)
            sums.weights(e)
            if what == "log_density":
                continue
            if what == "score":
                if not scaled:
                    z *= scale
                z *= -e[:, :, None]
                back = self._white()[:, :d] if scaled else k.stack
            elif scaled:
                z *= e[:, :, None]
                back = self._make("gain stack", lambda: k.stack * self._column(float(self.s[0]) * k.lam / np.sqrt(self.v)))
                drift = self._make("drift", lambda: k.back(float(self.t[0]) ** 2 / self.v * k.M)) if keep else k.m
                sums.sums += e @ drift[a:b]
            else:
                z *= s[:, :, None] * k.lam[a:b] * scale
                if keep:
                    z += t[:, :, None] ** 2 * scale**2 * k.M[a:b]
                else:
                    sums.sums += e @ k.m[a:b]
                z *= e[:, :, None]
                back = k.stack
            sums.sums += np.reshape(z, (len(y), -1)) @ back[a * d : b * d]

    def _small(self, y, s):
        """Whether a row of y is so small beside s m_k that m_k + U_k (s lam_k / sqrt(v_k)) w_k would cancel.

        Above, |m_k| is at most 4 |y| / s, and one of the two terms s U_k (s lam / v) U_k^T y and (t^2 / v) m_k that the sum
        stands for is at least half of its whole, direction by direction: the rounding eps |m_k| is of the size that these
        have themselves.
        """
        return bool(np.any(16.0 * np.sum(y * y, axis=1) < (s[:, 0] * float(np.max(self.k.norm))) ** 2))

    def _column(self, values):
        """values_kj of row (k, j) of a stack."""
        return np.reshape(values, (-1, 1))

    def _white(self):
        """The augmented stack with row (k, j) divided by sqrt(v_kj)."""
        return self._make("white", lambda: self.k.augmented() * self._column(1.0 / np.sqrt(self.v)))

    def _near(self, y, s):
        """Pairs (b, K) whose difference is formed itself."""
        k = self.k
        found = near(np, np.sum(y * y, axis=1, keepdims=True), y @ k.m.T, s, k.norm)
        return found if found.any() else None

    def _whitened(self, x, whole, s, t, a, b, scaled, near, buffers, keep):
        """(z, w, scale) of components a:b: w = U^T (y - s m) / sqrt(v), and 1 / sqrt(v) if not scaled; whole = (y, -s).

        With ``keep`` z is U^T y / sqrt(v); else it is w, and s m is subtracted within the product, by one more column.
        """
        k, d = self.k, self.k.d
        z = _shaped(buffers[0], len(whole), b - a, d)
        part = slice(a * d, b * d)
        stack = self._white() if scaled else k.augmented()
        columns = slice(d if keep else d + 1)
        np.matmul(whole[:, columns], stack[part, columns].T, out=np.reshape(z, (len(whole), -1)))
        scale, w = None, z
        if not scaled:
            s3, t3 = s[:, :, None], t[:, :, None]
            scale = 1.0 / np.sqrt(s3 * s3 * k.lam[a:b] + t3 * t3)
            z *= scale
        if keep:
            shift = np.reshape(stack[part, d], (b - a, d)) * (s[:, :, None] if scaled else s[:, :, None] * scale)
            w = np.subtract(z, shift, out=_shaped(buffers[1], len(whole), b - a, d))
        if near is not None:
            for c in np.flatnonzero(near[:, a:b].any(axis=0)):
                rows = np.flatnonzero(near[:, a + c])
                one = s if len(s) == 1 else s[rows]
                direct = (x[rows] - one * k.mu[a + c]) @ k.Ut[a + c].T
                if scaled:
                    direct /= np.sqrt(self.v[a + c])
                else:
                    direct *= scale[rows, c] if len(scale) > 1 else scale[0, c]
                w[rows, c] = direct
        return z, w, scale

    def _diagonal(self, form, y, const):
        values, quadratic, linear, sign = self._factor(form)
        logits, Pm = self._linear(y, const)
        logits += (y * y) @ (quadratic * values).T
        top = np.max(logits, axis=1)
        e = np.exp(logits - top[:, None])
        return top, np.sum(e, axis=1), sign * y * (e @ values) + e @ (linear * Pm)

    # -- matrices ------------------------------------------------------------------------------------------

    def second_pays(self):
        """One level of full covariances, and rows enough for the (K, d, d) matrices made for it."""
        return self.one and self.k.Ut is not None and self.k.small and self.n >= _SCALING_ROWS

    def second(self, what, x):
        """ "hessian" or "posterior_covariance", (n, d, d), at one level of full covariances."""
        k, n, d = self.k, len(x), self.k.d
        s, t = np.reshape(self.s, (1, 1)), np.reshape(self.t, (1, 1))
        out = np.empty((n, d, d))
        rows = min(n, max(8, (1 << 19) // (k.K * d)), max(8, (1 << 20) // (d * d)))
        G, sums = np.empty((rows, k.K, d)), np.empty((rows, d * d))
        buffers = [np.empty(rows * k.K * d) for _ in range(2)]
        values = -1.0 / self.v if what == "hessian" else k.lam * (float(self.t[0]) ** 2 / self.v)
        inner = np.reshape(k.matrices(values), (k.K, -1))
        const = k.logw - 0.5 * logdets(k.lam, k.typical, self.s, self.t)[0]
        root = 1.0 / np.sqrt(self.v)
        for i in range(0, n, rows):
            j = min(i + rows, n)
            y = x[i:j] - s * k.c
            g, size = G[: j - i], j - i
            if what == "hessian" and self.form("hessian", y) == "precision":
                logits, Pm = self._linear(y, const)
                np.matmul(y, np.reshape(inner, (-1, d)).T, out=np.reshape(g, (size, -1)))  # -P_k y
                logits += 0.5 * np.matmul(g, y[:, :, None])[:, :, 0]
                g += s * Pm
            else:
                keep = what != "hessian" and self._small(y, s)
                near = self._near(y, s)
                z, w, _ = self._whitened(x[i:j], _augmented(y, s), s, t, 0, k.K, True, near, buffers, keep)
                logits = const - 0.5 * np.vecdot(w, w)
                z *= -root if what == "hessian" else s * k.lam * root
                if keep:
                    z += float(self.t[0]) ** 2 / self.v * k.M
                np.matmul(np.swapaxes(z, 0, 1), k.Ut, out=np.swapaxes(g, 0, 1))
                if what != "hessian" and not keep:
                    g += k.m
            logits -= np.max(logits, axis=1, keepdims=True)
            r = np.exp(logits, out=logits)
            r /= np.sum(r, axis=1, keepdims=True)
            # About the heaviest component first: the error is relative to the spread, not to the size of the vectors.
            g -= g[np.arange(size), np.argmax(r, axis=1)][:, None, :]
            g -= np.matmul(r[:, None, :], g)
            g *= np.sqrt(r)[:, :, None]
            np.matmul(np.swapaxes(g, 1, 2), g, out=out[i:j])
            np.matmul(r, inner, out=sums[:size])
            out[i:j] += np.reshape(sums[:size], (size, d, d))
        return out


def _augmented(y, s):
    """(y, -s): what the stack with one more column is multiplied by."""
    return np.concatenate([y, np.broadcast_to(-s, (len(y), 1))], axis=1)


def _shaped(buffer, *shape):
    """The first entries of a flat buffer as an array."""
    return buffer[: math.prod(shape)].reshape(shape)


class _Sums:
    """Sums over components with weights exp(logit), relative to the largest logit so far."""

    def __init__(self, n, d):
        self.top, self.total, self.sums = np.full(n, -np.inf), np.zeros(n), np.zeros((n, d))

    def weights(self, logits):
        """Turn the next logits (b, c) into weights, in place, and rescale what has been summed."""
        top = np.maximum(self.top, np.maximum.reduce(logits, axis=1))
        logits -= top[:, None]
        np.exp(logits, out=logits)
        if (top > self.top).any():
            rescale = np.exp(self.top - top)
            self.total *= rescale
            self.sums *= rescale[:, None]
            self.top = top
        self.total += np.add.reduce(logits, axis=1)
