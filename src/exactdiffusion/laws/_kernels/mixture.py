r"""Two kernels of Gaussian mixtures, for the arrays of any namespace: by differences and by products.

`Differences` forms every x - s mu_k, in arrays (K, d, b) for b rows. It serves all laws, levels and quantities, and is the
faster one for few rows or components. With z_k = U_k^T (x - s mu_k) and v_k = s^2 lam_k + t^2 the formulas are those of
`gaussian_mixture`.

`Products` serves the log density, the score and the conditional mean of many rows. With y = x - s c and m_k = mu_k - c, c a
common shift, the work is in products of matrices with y. P_k = U_k diag(1 / v_k) U_k^T:

few
    Fewer than `PAIRS_DIM` coordinates: whitened ones w_k = U_k^T (y - s m_k) / sqrt(2 v_k) by one product. The logit is
    minus the sum of their squares; matrices are summed over the components before they are applied to y. As w_k rounds
    by eps (|y| + s |m_k|) / sqrt(v_k), the reach is limited to `WITHIN` times the smallest deviation.
pairs
    Diagonal covariances: logits -1/2 y.P_k y + s y.P_k m_k + const are products with the squares of y and with y, and sums
    over components are products with their weights: no array (b, K, d). The terms cancel: a logit is right to
    eps (|y|_k + s |m_k|_k)^2 in the norm of P_k. Pairs (row, component) that carry weight and for which that is too much
    are done again by differences.
symmetric
    Full covariances on a GPU: the same with all pairs of coordinates of y, under the condition of the next two.
precision
    H_k = P_k y for all k by one product; the quadratic form is y.H_k, the score is sum_k r_k (s P_k m_k - H_k).
gain
    V_k = W_k y with W_k = U_k diag(s lam_k / v_k) U_k^T: the quadratic form is, up to |y|^2 / t^2, which is common to all
    components, -s y.V_k / t^2, and E[X|x] = c + sum_k r_k (V_k + t^2 P_k m_k): a convex-like combination. For conditional
    means at large noise, where y + t^2 score would cancel.
eigen
    Whitened coordinates w_k = (U_k^T y - s U_k^T m_k) / sqrt(v_k): the quadratic form is a sum of squares, and nothing
    cancels however thin a component is. Two products. The rounding of w_k is that of y and s m_k: pairs with |x - s mu_k|
    below 1/8 of |y| + s |m_k| are done again by differences.

Symmetric, precision and gain are used where the rounding of a logit, at most eps R^2 / v_min (gain: eps R^2 / t^2) with
R = |y| + s max |m_k|, is below `PRECISE`, and for enough rows to pay for forming P_k or W_k; otherwise eigen.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..._core.arrays import array_namespace, from_numpy, on_accelerator, to_numpy, workspace
from ..base import EPS, LOG_2PI
from .softmax import scratch

# Rounding of a logit up to which the one-product forms are used, and times its weight up to which a pair is not done again.
PRECISE, CLEAR = 1e-11, 64 * EPS
# Reach in units of the smallest deviation up to which nothing is done again: whitened coordinates round by so many eps at
# most, logits by its square, 1e-12.
WITHIN = 64.0
# Dimension from which full covariances are stacked, on the CPU and on a GPU; in fewer, other products are less work.
PAIRS_DIM, PAIRS_DIM_GPU = 8, 96
# Number of components and of coordinates x - s mu_k from which products pay.
_LEAST_COMPONENTS, _LEAST_PAIRS = 4, 8192
# Rows of a block, doubles of one of its arrays (2 MB: near the second-level cache), doubles of one stack made for a call
# (64 MB), pairs that are done again at a time.
ROWS, CHUNK, STACK, AGAIN = 512, 1 << 18, 1 << 23, 64
# Rows from which, per dimension, forming P_k is worth it (2 K d^3 operations, against the 2 K d^2 a row that it saves).
_FORMING_ROWS = 2
# Share of |y| + s |m_k|, squared, below which x - s mu_k is formed itself.
_NEAR = 1 / 64


def even(n, rows):
    """Rows per block for as many blocks as ``rows`` at most make, all of one size."""
    return max(1, -(-n // max(1, -(-n // max(1, int(rows))))))


def _total(a, axis):
    """Sum over an axis; NumPy's reduction itself, which small arrays feel."""
    return np.add.reduce(a, axis) if type(a) is np.ndarray else array_namespace(a).sum(a, axis=axis)


def _most(a, axis):
    """Maximum over an axis."""
    return np.maximum.reduce(a, axis) if type(a) is np.ndarray else array_namespace(a).max(a, axis=axis)


def _row_total(a):
    """Sums (b,) of the rows of a (b, K); NumPy's own reduction of short rows costs more than all else done to them."""
    return a @ np.ones(a.shape[1]) if type(a) is np.ndarray else array_namespace(a).sum(a, axis=1)


def _row_most(a):
    """Maxima (b,) of the rows of a (b, K)."""
    if type(a) is np.ndarray and a.shape[1] <= 32:
        return np.maximum.reduce(np.ascontiguousarray(a.T), 0)
    return _most(a, 1)


def _product(a, b, name="product"):
    """a @ b, which NumPy writes where the next one of that name goes in this thread."""
    return np.matmul(a, b, out=scratch(name, len(a), b.shape[1])) if type(a) is np.ndarray else a @ b


def _along(name, rows, y):
    """An uninitialised array (rows, b) of NumPy, which lies in memory as the columns y (d, b) do."""
    return scratch(name, rows, y.shape[1]) if y.flags.c_contiguous else scratch(name, y.shape[1], rows).T


def _multiply(a, y, name):
    """a * y for columns y (d, b) and a (d, b) or (1, b), which NumPy writes where the next one of that name goes."""
    return np.multiply(a, y, out=_along(name, len(y), y)) if type(y) is np.ndarray else a * y


def _sums(a, e, y, name):
    """sum_k e_kb a_k for a (K, f) and e (K, b), as columns (f, b)."""
    return np.matmul(a.T, e, out=_along(name, a.shape[1], y)) if type(y) is np.ndarray else a.T @ e


def _softmax(logits):
    """(best logit (b,), sum (b,) of the weights relative to it, weights) of logits (K, b), in their place on NumPy."""
    top = _most(logits, 0)
    logits -= top
    e = np.exp(logits, out=logits) if type(logits) is np.ndarray else array_namespace(logits).exp(logits)
    return top, _total(e, 0), e


def _exponentials(logits, top):
    """exp(logits - top), (b, K) and (b,), in the place of the logits where the namespace can."""
    logits -= top[:, None]
    return np.exp(logits, out=logits) if type(logits) is np.ndarray else array_namespace(logits).exp(logits)


def relative_logs(xp, lam, typical, s, t):
    """log(v / common), v = s^2 lam + t^2, relative to one common variance s^2 typical + t^2 of all components.

    At large t what tells the components apart is log1p of little. Below half of the common variance v itself is divided.
    """
    common = s * s * typical + t * t
    change = (lam - typical) * (s * s / common)
    thin = change < -0.5
    if type(thin) is np.ndarray and not thin.any():
        return np.log1p(change, out=change)
    ratio = xp.where(thin, (s * s * lam + t * t) / common, xp.ones_like(change))
    return xp.where(thin, xp.log(ratio), xp.log1p(xp.where(thin, xp.zeros_like(change), change)))


# -- by differences ------------------------------------------------------------------------------------------------------


class Differences:
    """A block of rows x (b, d) at levels s, t: numbers, or arrays (1,) or (b,) in the namespace of x.

    Parameters of the law are columns: logw (K, 1), mu and m = U^T mu (K, d, 1), lam (K, d, 1), (K, 1, 1) for isotropic
    covariances, (1, 1, 1) for equal ones. The attributes are y = x^T (d, b), z (K, d, b) and v, which has the shape of lam,
    with b in the last place where levels are per row.
    """

    def __init__(self, law, x, s, t, shared=None):
        self.law, self.p, self.xp, self.s, self.t = law, law._columns(x), array_namespace(x), s, t
        self.shared = {} if shared is None else shared  # what blocks of one call at one level have in common
        self.y = x.T
        self.z = self.rotate(self.y - s * self.p["mu"])
        self.v = s * s * self.p["lam"] + t * t

    def rotate(self, a):
        """U_k^T a_k."""
        Ut = self.p.get("Ut")
        return a if Ut is None else self.xp.matmul(Ut, a)

    def back(self, a):
        """U_k a_k."""
        U = self.p.get("U")
        return a if U is None else self.xp.matmul(U, a)

    def responsibilities(self):
        """(r (K, b), log density (b,)) where no variance v is 0."""
        xp, lam, s, t, d = self.xp, self.p["lam"], self.s, self.t, self.law.dim

        # Logits, with log determinants relative to a common variance.
        quadratic = self.z * self.z / self.v
        logits = self.p["logw"] - 0.5 * (quadratic[:, 0, :] if d == 1 else _total(quadratic, 1))
        if lam.shape[:2] == (1, 1):
            common = self.v[0, 0, :]
        else:
            common = s * s * self.law._typical + t * t
            logs = relative_logs(xp, lam, self.law._typical, s, t)
            logits = logits - (0.5 * d * logs[:, 0, :] if logs.shape[1] == 1 else 0.5 * _total(logs, 1))

        # Softmax over components.
        top = _most(logits, 0)
        e = xp.exp(logits - top)
        total = _total(e, 0)
        scale = math.log(common) if isinstance(common, float) else xp.log(common)
        return e / total, top + xp.log(total) - 0.5 * d * (LOG_2PI + scale)

    def sum(self, r, a):
        """sum_k r_k U_k a_k as rows (b, d)."""
        out = _total(r[:, None, :] * self.back(a), 0).T
        return np.ascontiguousarray(out) if type(out) is np.ndarray else out

    def log_density(self):
        """Log density, (b,)."""
        return self.responsibilities()[1]

    def score(self):
        """Gradient of the log density, (b, d)."""
        return self.sum(self.responsibilities()[0], -self.z / self.v)

    def gains(self):
        """(s lam / v, t^2 / v): the weights of x and of the mean in a component's conditional mean; 0 and 1 where v is 0."""
        xp, v, t2 = self.xp, self.v, self.t * self.t
        if not self.law._singular:
            return self.s * self.p["lam"] / v, t2 / v
        nothing = v == 0
        v = xp.where(nothing, xp.ones_like(v), v)
        return self.s * self.p["lam"] / v, xp.where(nothing, xp.ones_like(v), t2 / v)

    def denoise(self):
        """Conditional mean, (b, d)."""
        own, prior = self.gains()
        return self.sum(self.weights(), own * self.rotate(self.y) + prior * self.p["m"])

    def posterior(self, centred):
        """(r (K, b), m (K, d, b), v): weights, means (relative to the centre of the law if asked) and variances of the
        conditional law of X."""
        own, prior = self.gains()
        y, m = self.y, self.p["m"]
        if centred:
            center = self.law._p("center", self.y)[:, None]
            y, m = y - self.s * center, self.rotate(self.p["mu"] - center)
        # A convex-like combination of x / s and mu in the eigenbasis: nothing cancels for any ratio of lam to t^2.
        return self.weights(), self.back(own * self.rotate(y) + prior * m), self.p["lam"] * prior

    def weights(self):
        """Responsibilities (K, b), their limit for rows at t = 0 of a law with zero variances."""
        xp, s, t = self.xp, self.s, self.t
        if not self.law._singular:
            return self.responsibilities()[0]
        zero = xp.asarray(t == 0) if not isinstance(t, float) else t == 0
        if not bool(zero if isinstance(zero, bool) else xp.any(zero)):
            return self.responsibilities()[0]
        safe = s if isinstance(s, float) else xp.where(s > 0, s, xp.ones_like(s))
        limit = self._limit(safe)
        if isinstance(zero, bool) or bool(xp.all(zero)):
            return limit
        other = Differences(self.law, self.y.T, s, xp.where(zero, xp.ones_like(t), t))
        return xp.where(zero, limit, other.responsibilities()[0])

    def _limit(self, s):
        """Responsibilities (K, b) in the limit t -> 0, s > 0.

        With delta_k the squared distance of x to the support of component k and nu_k the dimension of its
        null space, r_k ~ exp(-delta_k / (2 t^2)) t^(-nu_k) (regular factor): the smallest delta
        wins, among equal ones the largest nu, among those the regular factors decide. Equidistant atoms: the
        lowest index, as in a point cloud.
        """
        xp, z, d, mu = self.xp, self.z, self.law.dim, self.p["mu"]
        K = mu.shape[0]
        lam = self.p["lam"] + xp.zeros_like(mu)
        null = xp.astype(lam == 0, xp.float64)

        # Distances; on the support up to the rounding of x - s mu and of its rotation.
        delta = _total(null * z * z, 1)
        size = xp.sqrt(_total(self.y * self.y, 0)) + s * xp.sqrt(_total(mu * mu, 1))
        rounding = 0.0 if self.p.get("Ut") is None else (4 * d * EPS * size) ** 2
        delta = xp.where(delta <= rounding, xp.zeros_like(delta), delta)

        # Components that tie for the smallest distance and the largest null space.
        rank = xp.where(delta <= _most(-delta, 0) * -1.0, _total(null, 1) + xp.zeros_like(delta), xp.full_like(delta, -1.0))
        top = _most(rank, 0)
        tied = rank == top
        first = xp.argmax(xp.astype(tied, xp.int64), axis=0)
        index = xp.expand_dims(xp.arange(K, device=z.device), axis=1)
        tied = xp.where(top == float(d), index == xp.expand_dims(first, axis=0), tied)

        # Their regular factors.
        safe = xp.where(null > 0, xp.ones_like(lam), lam) * (s * s)
        logits = self.p["logw"] - 0.5 * _total((1.0 - null) * (z * z / safe + xp.log(safe)), 1)
        logits = xp.where(tied, logits, xp.full_like(logits, -xp.inf))
        e = xp.exp(logits - _most(logits, 0))
        return e / _total(e, 0)

    def hessian(self):
        """Hessian of the log density, (b, d, d): ``-sum r_k P_k + sum r_k (g_k - g)(g_k - g)^T``."""
        return self._matrices(self.responsibilities()[0], -1.0 / self.v, self.back(self.z / self.v))

    def posterior_covariance(self):
        """Conditional covariance, (b, d, d)."""
        r, m, inner = self.posterior(centred=True)
        return self._matrices(r, inner, m)

    def _matrices(self, r, inner, a):
        """``sum_k r_k U_k diag(inner_k) U_k^T + sum_k r_k (a_k - a)(a_k - a)^T`` with a = sum_k r_k a_k."""
        xp, (K, d, b), weights = self.xp, a.shape, r.T
        rows = xp.permute_dims(a, (2, 0, 1))
        rows = np.ascontiguousarray(rows) if type(rows) is np.ndarray else rows + 0.0

        # By way of the heaviest component: the error is relative to the spread and not to the size of the vectors.
        heaviest = xp.arange(K, device=a.device)[None, :] == xp.argmax(weights, axis=1, keepdims=True)
        rows -= xp.matmul(xp.astype(heaviest, xp.float64)[:, None, :], rows)
        rows -= xp.matmul(weights[:, None, :], rows)
        rows *= xp.sqrt(weights)[:, :, None]
        out = xp.matmul(xp.permute_dims(rows, (0, 2, 1)), rows)

        # The matrices within components: of one level once for all rows.
        U, Ut, inner = self.p.get("U"), self.p.get("Ut"), inner + xp.zeros_like(self.p["mu"])
        if U is None:
            return out + xp.expand_dims(_total(xp.expand_dims(r, axis=1) * inner, 0).T, axis=-1) * xp.eye(
                d, dtype=xp.float64, device=a.device
            )
        if inner.shape[2] == 1:
            if "matrices" not in self.shared:
                self.shared["matrices"] = xp.reshape(xp.matmul(U, inner * Ut), (K, d * d))
            out += xp.reshape(xp.matmul(r.T, self.shared["matrices"]), (b, d, d))
            return out
        for k in range(K):
            c = xp.expand_dims((r[k, :] * inner[k, :, :]).T, axis=1)
            out = out + xp.matmul(U[k, :, :] * c, Ut[k, :, :])
        return out


# -- by products ---------------------------------------------------------------------------------------------------------


class Stack:
    """What does not depend on the level, in NumPy: shift c, means about it (K, d) and in the eigenbases, norms."""

    def __init__(self, logw, mu, lam, center, Ut, typical):
        spread = np.sqrt(np.max(np.sum((mu - center) ** 2, axis=1)))
        # Far from the origin the shift saves digits of x - s mu_k; near it, it would cost those of small results.
        self.shifted = bool(np.sqrt(np.sum(center**2)) > spread)
        self.c = center if self.shifted else np.zeros_like(center)
        self.logw, self.mu, self.lam, self.typical, self.Ut = logw, mu, lam, typical, Ut
        self.K, self.d = mu.shape
        self.m = mu - self.c
        self.M = self.m if Ut is None else np.matmul(Ut, self.m[:, :, None])[:, :, 0]
        # Of the smallest component the largest variance, or the typical variance if that is less.
        self.wide = min(float(np.min(np.max(lam, axis=1))), typical)
        self.norm = np.sqrt(np.sum(self.m**2, axis=1))
        self.reach, self.range = float(np.max(self.norm)), (float(np.min(lam)), float(np.max(lam)))

    def back(self, values):
        """U_k values_k for vectors (K, d)."""
        return values if self.Ut is None else np.matmul(values[:, None, :], self.Ut)[:, 0, :]

    def logdets(self, s, t):
        """sum_j log(v_kj / common), (levels, K): `relative_logs` once for each of the levels that occur."""
        each = self.d if self.lam.shape[1] == 1 else 1
        levels, index = ((s[0], t[0]),), np.zeros(1, dtype=int)
        if len(s) > 1 or len(t) > 1:
            levels, index = np.unique(np.stack(np.broadcast_arrays(s, t), axis=1), axis=0, return_inverse=True)
        table = [each * np.sum(relative_logs(np, self.lam, self.typical, a, b), axis=1) for a, b in levels]
        return np.stack(table)[np.reshape(index, -1)]


@dataclass
class Level:
    """A mixture ``stack`` at levels s, t, NumPy (1,) or (n,), and what is asked of n rows like x."""

    stack: Stack
    s: np.ndarray
    t: np.ndarray
    what: str
    n: int
    x: Any

    def __post_init__(self):
        self.one = len(self.s) == len(self.t) == 1
        if self.one:
            self.s1, self.t1 = float(self.s[0]), float(self.t[0])
            self.v = np.multiply(self.s1**2, self.stack.lam, out=scratch("v", *self.stack.lam.shape))
            self.v += self.t1**2
            self.least, most = (self.s1**2 * lam + self.t1**2 for lam in self.stack.range)
        # The products of matrices with y are normal numbers only within this range.
        self.plain = self.one and 1e-280 < self.least <= most < 1e280

    def form(self, reach):
        """Class of the form for rows of that ``reach`` (a bound of |y|); None where none is for them."""
        k, gpu = self.stack, on_accelerator(self.x)
        R = reach + float(np.max(self.s)) * k.reach
        few = k.d < PAIRS_DIM and not gpu
        if few and self.plain and WITHIN**2 * self.least >= R * R:
            return Few
        if k.Ut is None:
            return Pairs if self.plain and R < 1e120 else None
        if few:
            return None
        room = k.K * k.d**2 <= max(STACK, workspace(self.x))
        precise = self.plain and room and self.n >= _FORMING_ROWS * k.d
        if precise and self.what == "denoise" and not self.by_score:
            if PRECISE * self.t1**2 > EPS * R * R:
                return Symmetric if gpu and k.d <= min(PAIRS_DIM_GPU, k.K) else Gain
        elif precise and PRECISE * self.least > EPS * R * R:
            return Symmetric if gpu and k.d <= min(PAIRS_DIM_GPU, k.K) else Precision
        return Eigen if room else None

    @property
    def by_score(self):
        """Whether c + (y + t^2 score) / s loses nothing: the largest gain of every component is at least 1 / (2 s)."""
        return self.one and self.t1**2 < self.s1**2 * self.stack.wide

    def blocks(self):
        """(rows of a block, components of a chunk): one of all components where no array (rows, K, d) is made."""
        k, gpu = self.stack, on_accelerator(self.x)
        if k.Ut is None or k.d < PAIRS_DIM:
            # Of few coordinates all arrays stay in the cache; of many, larger products are the faster ones.
            size, room = (k.K * k.d, CHUNK // 2) if k.d < PAIRS_DIM else (max(k.K, k.d), CHUNK)
            return even(self.n, (workspace(self.x) if gpu else room) // size), k.K
        if gpu:
            return even(self.n, workspace(self.x) // (k.K * k.d)), k.K
        rows = even(self.n, ROWS)
        return rows, max(1, min(k.K, CHUNK // (rows * k.d)))

    def put(self, a):
        """To the namespace and device of x."""
        return from_numpy(a, self.x)


def pays(K, d, n):
    """Whether the products are worth their overhead."""
    return K >= _LEAST_COMPONENTS and K * d * n >= _LEAST_PAIRS


def evaluate(law, what, x, s, t, size):
    """ "log_density" (n,), "score" or "denoise" (n, d) by products; None where they are not for these arguments.

    s and t are NumPy arrays (1,) or (n,), all variances are positive, and ``size`` is a bound of the norms of the rows of x
    or 0 for an unknown one.
    """
    xp, n, k = array_namespace(x), x.shape[0], law._stack()
    level, gpu, made = Level(k, s, t, what, n, x), on_accelerator(x), {}
    if not level.one and k.Ut is None:
        return None
    dets, center = k.logdets(s, t), level.put(k.c)
    rows, count = level.blocks()

    # A device is asked for one number a call, the reach of all rows; elsewhere a block goes by its own.
    reach = None
    if gpu and not (size and not k.shifted):
        size = math.sqrt(float(xp.max(xp.sum((x - center) ** 2, axis=-1)))) if level.one else size

    # Blocks of NumPy are written where they belong: the pages of fresh memory cost more than a pass over them.
    plain = type(x) is np.ndarray
    out = np.empty((n,) if what == "log_density" else (n, k.d)) if plain else []
    for i in range(0, n, rows):
        c = slice(i, min(i + rows, n))
        block = Block(level, x[c, :], c, center, dets)
        if reach is None or not gpu:
            reach = size if gpu else math.sqrt(float(xp.max(block.squares)))
        form, block.reach = level.form(reach), reach
        if form is None:
            return None

        # The sums of the form, which keeps what depends on the level alone for the next block.
        inner = "score" if what == "denoise" and level.by_score and form not in (Few, Pairs, Symmetric) else what
        if form not in made:
            made[form] = form(law, level, inner)
        top, total, sums = made[form](block, count)

        # The log density, or means over components and what is asked for from them.
        if what == "log_density":
            sums = top + xp.log(total) - 0.5 * k.d * (LOG_2PI + block.common)
        else:
            sums /= total[:, None]
        if inner != what:
            sums *= level.t1**2
            sums += block.y
            sums /= level.s1
        if what == "denoise" and k.shifted:
            sums += center
        if plain:
            out[c] = sums
        else:
            out.append(sums)
    return out if plain else out[0] if len(out) == 1 else xp.concat(out, axis=0)


class Block:
    """Rows x (b, d) of a call, y = x - s c, and their levels: numbers, or columns (b, 1) of levels per row."""

    def __init__(self, level, x, rows, center, dets):
        self.x, self.level, self.k = x, level, level.stack
        s, t = (v if len(v) == 1 else v[rows] for v in (level.s, level.t))
        self.s, self.t = (float(v[0]) if len(v) == 1 else level.put(v[:, None]) for v in (s, t))
        self.y = x - self.s * center if self.k.shifted else x
        self.const = level.put(self.k.logw - 0.5 * (dets if len(dets) == 1 else dets[rows]))
        common = np.log(s * s * self.k.typical + t * t)
        self.common = float(common[0]) if len(common) == 1 else level.put(common)
        self.reach = math.inf

    @cached_property
    def columns(self):
        """y as columns (d, b): few coordinates are copied, so that passes over them go along the rows of x."""
        y = self.y.T
        return np.ascontiguousarray(y) if type(y) is np.ndarray and len(y) < PAIRS_DIM else y

    @cached_property
    def squares(self):
        """|y|^2, (b,)."""
        if self.k.d < PAIRS_DIM:
            return _total(self.columns * self.columns, 0)
        return array_namespace(self.y).vecdot(self.y, self.y, axis=-1)


class _Form:
    """Sums of one form at one level: ``form(block, count)`` gives (top (b,), total (b,), sums (b, d) or None).

    ``top`` is the largest logit, ``total`` the sum of the weights exp(logit - top) and ``sums`` their weighted sum.
    """

    def __init__(self, law, level, what):
        self.law, self.level, self.k, self.what, self.put = law, level, level.stack, what, level.put
        self.xp, self.p = array_namespace(level.x), law._columns(level.x)
        self.K, self.d = self.k.K, self.k.d
        if level.one:
            self.s, self.t = level.s1, level.t1
        self.prepare()

    @cached_property
    def precision(self):
        """1 / v, NumPy (K, d) or (K, 1)."""
        return np.divide(1.0, self.level.v, out=scratch("P", *self.level.v.shape))

    @cached_property
    def PM(self):
        """P_k m_k in the eigenbases, NumPy (K, d)."""
        return np.multiply(self.k.M, self.precision, out=scratch("Pm", *self.k.M.shape))

    @cached_property
    def Pm(self):
        """P_k m_k, NumPy (K, d)."""
        return self.k.back(self.PM)

    @cached_property
    def mPm(self):
        """m_k.P_k m_k, NumPy (K,)."""
        return self.k.norm**2 * self.precision[:, 0] if self.precision.shape[1] == 1 else np.vecdot(self.k.M, self.PM)

    def __call__(self, block, count):
        xp, top, total, sums = self.xp, None, None, None
        self.start(block)
        for a in range(0, self.K, count):
            c = slice(a, min(a + count, self.K))
            z, e = self.chunk(block, c)
            best = _row_most(e) if top is None else xp.maximum(top, _row_most(e))
            e = _exponentials(e, best)
            mass = _row_total(e)
            part = None if self.what == "log_density" else self.part(block, e, z, c)
            if top is not None:
                rescale = xp.exp(top - best)
                mass = mass + total * rescale
                part = None if part is None else part + sums * rescale[:, None]
            top, total, sums = best, mass, part
        return top, total, sums

    def matrices(self, values):
        """U_k diag(values_k) U_k^T, (K, d, d)."""
        if self.k.Ut is None:
            return self.put(values[:, :, None] * np.eye(self.d))
        return self.xp.matmul(self.p["U"] * self.put(values)[:, None, :], self.p["Ut"])


class Precision(_Form):
    """H_k = values_k y in the eigenbasis for all k; values 1 / v. `Gain` has others."""

    def values(self):
        """(values, factor of y.H_k in a logit, factor of P_k m_k in the sum, sign of H_k there)."""
        return 1.0 / self.level.v, -0.5, self.s, -1.0

    def prepare(self):
        values, self.quadratic, linear, self.sign = self.values()
        self.stack = self.xp.reshape(self.matrices(values), (-1, self.d))
        self.slope = self.put(np.ascontiguousarray((self.s * self.Pm).T))
        self.bias, self.shift = self.put(0.5 * self.s**2 * self.mPm), self.put(linear * self.Pm)

    def start(self, block):
        self.column = (self.quadratic * block.y)[:, :, None]
        self.linear = self.xp.matmul(block.y, self.slope) + (block.const - self.bias)

    def chunk(self, block, c):
        rows = self.stack[c.start * self.d : c.stop * self.d, :]
        H = self.xp.reshape(self.xp.matmul(block.y, rows.T), (block.y.shape[0], -1, self.d))
        return H, self.linear[:, c] + self.xp.matmul(H, self.column)[:, :, 0]

    def part(self, block, e, H, c):
        xp = self.xp
        return self.sign * xp.matmul(e[:, None, :], H)[:, 0, :] + xp.matmul(e, self.shift[c, :])


class Gain(Precision):
    """As `Precision`, of s lam / v: for conditional means at large noise."""

    def values(self):
        """As in `Precision`."""
        return self.s * self.k.lam / self.level.v, 0.5 * self.s / self.t**2, self.t**2, 1.0


class Eigen(_Form):
    """Whitened coordinates by one product, what is rotated back by another."""

    def prepare(self):
        xp, k = self.xp, self.k
        self.stack, self.lam, self.M = xp.reshape(self.p["Ut"], (-1, self.d)), self.put(k.lam), self.put(k.M)
        if self.level.one:
            root = np.sqrt(self.level.v)
            self.M, self.scale = self.put(k.M / root), self.put(1.0 / root)
            if self.what == "denoise":
                self.own = self.stack * self.put(np.reshape(self.s * k.lam / root, (-1, 1)))
                self.drift = self.put(self.t**2 * self.Pm)
            self.stack = self.stack * xp.reshape(self.scale, (-1, 1))

        # A column for s m_k, and one of zeros: rows of an even number of doubles are aligned for the products of a GPU.
        shift = xp.reshape(-self.M, (-1, 1))
        self.columns = self.stack if self.what == "denoise" else xp.concat([self.stack, shift, xp.zeros_like(shift)], axis=1)

    def start(self, block):
        xp, k, s, y = self.xp, self.k, block.s, block.y
        one = xp.ones_like(y[:, :1])
        self.rows = y if self.what == "denoise" else xp.concat([y, s * one, 0.0 * one], axis=1)

        # Pairs whose difference is formed itself.
        norm, squares = self.put(k.norm[None, :]), block.squares[:, None]
        apart = squares - 2.0 * (s * xp.matmul(y, self.put(np.ascontiguousarray(k.m.T)))) + (s * norm) ** 2
        self.near = apart < _NEAR * (xp.sqrt(squares) + s * norm) ** 2
        self.some = np.flatnonzero(to_numpy(xp.any(self.near, axis=0))) if bool(xp.any(self.near)) else np.zeros(0, int)

    def chunk(self, block, c):
        xp, one = self.xp, self.level.one
        z = xp.matmul(self.rows, self.columns[c.start * self.d : c.stop * self.d, :].T)
        z = xp.reshape(z, (block.x.shape[0], -1, self.d))
        if not one:
            s, t = (v if isinstance(v, float) else v[:, :, None] for v in (block.s, block.t))
            self.scale = 1.0 / xp.sqrt(s * s * self.lam[c, :] + t * t)
            z *= self.scale
        w = z
        if self.what == "denoise":
            w = z - (self.s * self.M[c, :] if one else s * self.M[c, :] * self.scale)
        for k in self.some[(self.some >= c.start) & (self.some < c.stop)]:
            self.direct(block, w, int(k), int(k) - c.start)
        if xp is np or isinstance(w, np.ndarray):
            return z, block.const[:, c] - 0.5 * np.vecdot(w, w)
        norm = xp.linalg.vector_norm(w, axis=-1)
        return z, block.const[:, c] - 0.5 * (norm * norm)

    def direct(self, block, w, k, column):
        """Whitened coordinates of component k from differences, where it is near: the rows of w[:, column, :]."""
        xp, near = self.xp, self.near[:, k]
        index = xp.nonzero(near)[0]
        s = block.s if isinstance(block.s, float) else xp.take(block.s, index, axis=0)
        z = xp.matmul(xp.take(block.x, index, axis=0) - s * self.p["mu"][k, :, 0], self.p["U"][k, :, :])
        if self.level.one:
            z *= self.scale[k, :]
        else:
            scale = self.scale[:, column, :]
            z *= scale if scale.shape[0] == 1 else xp.take(scale, index, axis=0)
        w[:, column, :][near] = z

    def part(self, block, e, z, c):
        xp, rows = self.xp, slice(c.start * self.d, c.stop * self.d)
        e3 = e[:, :, None]
        if self.what == "denoise" and self.level.one:
            out = xp.reshape(z * e3, (e.shape[0], -1)) @ self.own[rows, :]
            return out + e @ self.drift[c, :]
        if self.what == "denoise":
            s, t = (v if isinstance(v, float) else v[:, :, None] for v in (block.s, block.t))
            z = (z * (s * self.lam[c, :]) + (t * t) * self.scale * self.M[c, :]) * self.scale
            z *= e3
        else:
            z *= -e3 if self.level.one else -e3 * self.scale
        return xp.reshape(z, (e.shape[0], -1)) @ self.stack[rows, :]


class Pairs(_Form):
    """Logits (K, b) and sums (d, b) by products with the diagonals (K, d), or (K, 1) of multiples of the identity, of P_k.

    Rows of x are columns here: passes over K logits, or over few coordinates of a row, go along the rows of x.
    """

    def prepare(self):
        self.P = self.put(self.precision)
        if self.what == "denoise":
            own = np.multiply(self.s, self.k.lam, out=scratch("own", *self.k.lam.shape))
            own *= self.precision
            self.own = self.put(own)
        # The score of a thin component is large: logarithm (K, 1) of how much its weight counts for more.
        thin = np.max(self.precision, axis=1, keepdims=True) if self.what == "score" else np.ones((self.K, 1))
        self.steep = self.put(0.5 * np.log(thin / np.min(thin)))
        self.bias = self.put((self.s**2 * self.mPm)[:, None])
        # P_k m_k is ``slope`` times ``factor``: for multiples of the identity without an array (K, d) of this level.
        alone = self.precision.shape[1] == 1
        self.slope, self.factor = (self.k.m, self.precision) if alone else (self.Pm, np.ones((1, 1)))
        self.slope, self.factor = self.put(self.slope), self.put(self.factor)

    def __call__(self, block, count):
        xp, y = self.xp, block.columns

        # Logits, and their weights once the unclear ones are done again.
        squared = block.squares[None, :] if self.P.shape[1] == 1 else _multiply(y, y, "squared")
        squares = _product(self.P, squared, "squares")
        squares *= -0.5
        logits = _product(self.slope, y, "logits")
        logits *= self.s * self.factor
        logits += squares
        logits += block.const.T - 0.5 * self.bias
        again = self.again(block, logits, squares)
        top, total, e = _softmax(logits)

        # A conditional mean is a convex-like combination in which nothing cancels.
        if self.what == "log_density":
            return top, total, None
        if self.what == "denoise":
            sums = _multiply(_sums(self.own, e, y, "means"), y, "products")
            e *= self.t**2 * self.factor
            sums += _sums(self.slope, e, y, "drift")
            return top, total, sums.T

        # The score is large where the terms cancel: pairs that were done again are summed by differences.
        rest = e if again is None else xp.where(again[0].T, xp.zeros_like(e), e)
        sums = _sums(self.slope, rest * (self.s * self.factor), y, "drift")
        sums -= _multiply(_sums(self.P, rest, y, "means"), y, "products")
        sums = sums.T
        if again is None:
            return top, total, sums
        pairs, weights = again[1], e.T[again[0]]
        for a in range(0, weights.shape[0], AGAIN):
            i, k = (index[a : min(a + AGAIN, weights.shape[0])] for index in pairs)
            z, P = self.differences(block, i, k)
            z *= P
            rows = slice(int(i[0]), int(i[-1]) + 1)
            place = xp.arange(rows.start, rows.stop, device=y.device)[:, None] == i[None, :]
            sums[rows, :] -= xp.where(place, weights[None, a : min(a + AGAIN, weights.shape[0])], 0.0 * z[:1, :1]) @ z
        return top, total, sums

    def again(self, block, logits, squares):
        """Corrects unclear logits in place; (their places (b, K), (rows, components)), or None where all are clear.

        ``squares`` is -1/2 y.P_k y.
        A pair is clear if its rounding, or that times an upper bound of its weight, is at most `CLEAR`, or all are near.
        """
        xp = self.xp
        most = (block.reach + self.s * self.k.reach) ** 2 / self.level.least
        if most <= WITHIN**2:
            return None

        # The error of a logit moves a mean by that times the weight of the others, so that one alone is right as it is.
        crowded = self.what != "denoise"
        if not crowded:
            window = 2 * EPS * most + math.log(EPS * most / CLEAR)
            crowded = xp.count_nonzero(logits > _most(logits, 0) - window, axis=0) > 1
            if not bool(xp.any(crowded)):
                return None

        # Pairs whose rounding times an upper bound of their weight is too much.
        delta = EPS * (xp.sqrt(2.0 * xp.abs(squares)) + xp.sqrt(self.bias)) ** 2
        large = delta > CLEAR
        least = _most(logits - delta, 0)
        weight = logits + delta - least + self.steep + xp.log(xp.where(large, delta / CLEAR, xp.ones_like(delta)))
        unclear = large & (weight > 0) & crowded
        if not bool(xp.any(unclear)):
            return None

        # Their logits by differences, row by row.
        unclear = unclear.T
        unclear = np.ascontiguousarray(unclear) if type(unclear) is np.ndarray else unclear
        i, k = xp.nonzero(unclear)
        step, parts = max(1, CHUNK // 8 // self.d), []
        for a in range(0, i.shape[0], step):
            c = slice(a, min(a + step, i.shape[0]))
            z, P = self.differences(block, i[c], k[c])
            parts.append(xp.vecdot(P * z, z, axis=-1))
        exact = parts[0] if len(parts) == 1 else xp.concat(parts)
        rows = logits.T
        rows[unclear] = xp.take(block.const[0, :], k, axis=0) - 0.5 * exact
        return unclear, (i, k)

    def differences(self, block, i, k):
        """(z, P): x_i - s mu_k and 1 / v_k, (P, d), of pairs of rows i and components k (P,); diagonal covariances."""
        xp = self.xp
        z = xp.take(self.p["mu"][:, :, 0], k, axis=0)
        z *= -self.s
        z += xp.take(block.x, i, axis=0)
        return z, xp.take(self.P, k, axis=0)


class Symmetric(_Form):
    """Full covariances on a GPU, by products with all pairs of coordinates; those across the two halves of them once."""

    def prepare(self):
        self.h = self.d // 2
        self.P = self.halves(self.precision)
        if self.what == "denoise":
            self.own = self.halves(self.s * self.k.lam * self.precision)
        self.bias, self.slope = self.put((self.s**2 * self.mPm)[None, :]), self.put(self.Pm)

    def halves(self, values):
        """The entries of U_k diag(values_k) U_k^T that count, two matrices of K rows."""
        xp, P = self.xp, self.matrices(values)
        return xp.reshape(P[:, : self.h, :], (self.K, -1)), xp.reshape(P[:, self.h :, self.h :], (self.K, -1))

    def start(self, block):
        pass

    def chunk(self, block, c):
        xp, y, n = self.xp, block.y, block.y.shape[0]
        low, high = y[:, : self.h], y[:, self.h :]
        twice = xp.concat([low, 2.0 * high], axis=1)
        squares = xp.reshape(low[:, :, None] * twice[:, None, :], (n, -1)) @ self.P[0].T
        squares += xp.reshape(high[:, :, None] * high[:, None, :], (n, -1)) @ self.P[1].T
        logits = y @ self.slope.T
        logits *= self.s
        logits += block.const - 0.5 * self.bias
        return None, logits - 0.5 * squares

    def part(self, block, e, z, c):
        if self.what == "denoise":
            return self.product(self.own, e, block.y) + (self.t**2 * e) @ self.slope
        return self.product(self.P, e, -block.y) + (self.s * e) @ self.slope

    def product(self, halves, e, y):
        """sum_k e_k P_k y, (b, d)."""
        xp, (n, d), h = self.xp, y.shape, self.h
        first, second = xp.reshape(e @ halves[0], (n, h, d)), xp.reshape(e @ halves[1], (n, d - h, d - h))
        low, column = xp.matmul(first, y[:, :, None])[:, :, 0], y[:, :, None]
        high = xp.matmul(y[:, None, :h], first[:, :, h:])[:, 0, :] + xp.matmul(second, column[:, h:, :])[:, :, 0]
        return xp.concat([low, high], axis=1)


class Few(_Form):
    """Few coordinates: logits by whitened ones, whose squares only add, and matrices of sums times z = (y, 1).

    Rows of x are columns, as in `Pairs`; w_k = U_k^T (y - s m_k) / sqrt(2 v_k) is a product with z.
    """

    def prepare(self):
        # Rows of the whitened coordinates: the first of all components, the second of all components, ...
        root = np.sqrt(0.5 * self.precision)
        whole = root[:, :, None] * (np.eye(self.d) if self.k.Ut is None else self.k.Ut)
        whole = np.concatenate([whole, (-self.s * root * self.k.M)[:, :, None]], axis=2)
        self.whole = self.put(np.reshape(np.swapaxes(whole, 0, 1), (-1, self.d + 1)))

        # What is summed over the components: (A_k, a_k) z, row by row.
        if self.what == "denoise":
            A, a = self.matrices(self.s * self.k.lam * self.precision), self.t**2 * self.Pm
        else:
            A, a = self.matrices(-self.precision), self.s * self.Pm
        self.table = self.xp.reshape(self.xp.concat([A, self.put(a)[:, :, None]], axis=2), (self.K, -1))

    def __call__(self, block, count):
        xp, K = self.xp, self.K
        z = xp.concat([block.columns, xp.ones_like(block.columns[:1, :])], axis=0)

        # Logits: sums of squares, in the place of the first of them where the namespace can.
        w = _product(self.whole, z, "whitened")
        w *= w
        squares = w[:K, :]
        for j in range(1, self.d):
            squares += w[j * K : (j + 1) * K, :]
        const = block.const.T
        logits = np.subtract(const, squares, out=squares) if type(z) is np.ndarray else const - squares
        top, total, e = _softmax(logits)
        if self.what == "log_density":
            return top, total, None

        sums = xp.reshape(_sums(self.table, e, z, "means"), (self.d, self.d + 1, -1))
        sums *= z
        return top, total, _total(sums, 1).T
