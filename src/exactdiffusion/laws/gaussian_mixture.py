"""Gaussian mixtures with full, diagonal or isotropic covariances; zero variances are allowed.

The eigendecomposition ``C_k = U_k diag(lam_k) U_k^T`` is made once; the noised component is ``N(s mu_k, U_k
diag(v_k) U_k^T)`` with ``v_k = s^2 lam_k + sigma^2`` at every level. With ``z_k = U_k^T (x - s mu_k)`` and
responsibilities ``r_k ~ w_k prod_j v_kj^(-1/2) exp(-sum_j z_kj^2 / (2 v_kj))``:

    grad log p(x)  = -sum_k r_k U_k (z_k / v_k)
    E[X | x]       =  sum_k r_k U_k [ (s lam_k / v_k) U_k^T x + (sigma^2 / v_k) U_k^T mu_k ]
    Cov[X | x]     =  sum_k r_k U_k diag(lam_k sigma^2 / v_k) U_k^T + sum_k r_k (m_k - m)(m_k - m)^T

Here they are for any array namespace, on arrays (K, b, d); NumPy arrays take the stacked products of `stacked` where those
are as accurate, and small mixtures the same sums on arrays (K, d, b), in as few calls as they can be written.
"""

import math
from typing import Any, Literal, Self

import numpy as np

from .._core.arrays import array_namespace, from_numpy, is_numpy, to_numpy, workspace
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike, Rng
from .._core.validation import choice, fail, integer, points, real_array
from .._core.validation import weights as check_weights
from ._kernels import generic
from ._kernels.eigen import refine
from ._kernels.stacked import Level, Stack, pays
from .base import EPS, LARGE, LOG_2PI, NoisedLaw, Parameters, bounded, column, generator, spread

__all__ = ["GaussianMixture", "NoisedMixture"]

# Doubles in one (K, b, d) array on NumPy, where it should stay in the cache; other namespaces take BLOCK_DOUBLES.
_CACHE_DOUBLES = 1 << 18
# Doubles in one (K, d, b) array of the light kernel.
_LIGHT_DOUBLES = 1 << 15
# LAPACK's eigenvalues are right to eps times the condition number: above this they are refined (up to
# dimension 1024, where a refinement takes about as long as the decomposition).
_REFINE_CONDITION, _REFINE_DIM = 16.0, 1024
# Products of twice the working precision are right to about 1e-30 of the largest eigenvalue.
_GRADED = 1e-22


def _form(covariances, K, d, covariance_type):
    """Checked covariances, a copy of shape (), (K,), (K, d) or (K, d, d)."""
    name, shapes = "covariances", {"spherical": (K,), "diag": (K, d), "full": (K, d, d), "tied": (d, d)}
    C = np.array(to_numpy(real_array(name, covariances)))
    bounded(name, covariances, C, LARGE**2)
    if covariance_type is None:
        if C.ndim == 2 and K == d > 1 and C.shape == (K, d):
            fail(f"{name} (shape {C.shape}, {K} components in R^{d})", covariances,
                 "covariance_type='diag' (a row of variances for each component) or 'tied' (one matrix for all): "
                 "the shape does not tell which")  # fmt: skip
        if C.ndim and C.shape not in (shapes["spherical"], shapes["diag"], shapes["full"]):
            tied = "; covariance_type='tied' for one matrix for all components" if C.shape == (d, d) else ""
            fail(f"{name} (shape {C.shape})", covariances, f"a scalar, ({K},), ({K}, {d}) or ({K}, {d}, {d}){tied}")
        return C
    expected = shapes[choice("covariance_type", covariance_type, shapes)]
    if C.shape != expected and not (covariance_type == "spherical" and not C.ndim):
        fail(f"{name} (shape {C.shape})", covariances, f"shape {expected} of covariance_type={covariance_type!r}")
    return np.array(np.broadcast_to(C, shapes["full"])) if covariance_type == "tied" else C


def _decompose(covariances, C, K, d):
    """(kind, lam (K, d), U (K, d, d) or None) of covariances C from `_form`."""
    name = "covariances"
    if C.ndim < 2:
        if np.any(C < 0):
            fail(name, covariances, "variances >= 0")
        return "isotropic", np.array(np.broadcast_to(np.reshape(C, (-1, 1)), (K, d))), None
    if C.ndim == 2:
        if np.any(C < 0):
            fail(name, covariances, "variances >= 0")
        return "diagonal", np.array(C), None
    size = np.max(np.abs(C), axis=(1, 2))
    asymmetry = np.max(np.abs(C - np.swapaxes(C, 1, 2)), axis=(1, 2))
    # Products A A^T and sums over samples are symmetric up to rounding that grows with the number of terms.
    if np.any(asymmetry > 1e-10 * size):
        fail(name, covariances, "symmetric matrices (of those that are so to rounding, (C + C^T) / 2)")
    C = C / 2 + np.swapaxes(C, 1, 2) / 2
    lam, U = np.linalg.eigh(C)
    top = np.maximum(lam[:, -1:], 0.0)
    if np.any(lam < -(10 * d * EPS * np.max(np.abs(lam), axis=1, keepdims=True) + d * asymmetry[:, None])):
        k, j = np.unravel_index(np.argmin(lam), lam.shape)
        fail(
            f"{name} (eigenvalue {lam[k, j]:.3g} of component {k})",
            covariances,
            "positive semidefinite matrices",
        )
    # Eigenvalues within the rounding of |C| are those of a singular covariance; the others are made exact.
    for k in range(K):
        if lam[k, 0] <= d * EPS * top[k, 0] and _graded(covariances, C[k], k, lam, U):
            continue
        lam[k] = np.where(lam[k] <= d * EPS * top[k], 0.0, lam[k])
        positive = lam[k][lam[k] > 0]
        if len(positive) and d <= _REFINE_DIM and (lam[k, -1] > _REFINE_CONDITION * positive[0] or len(positive) < d):
            better, U[k] = refine(C[k], lam[k], U[k])
            lam[k] = np.where(better <= d * EPS * top[k], 0.0, better)
    return "full", lam, U


def _graded(covariances, C, k, lam, U):
    """Whether the entries of C (d, d) determine eigenvalues below the rounding of the largest: lam[k], U[k] are set to them.

    Each row counts in the unit of its own standard deviation. Diagonals are taken literally.
    """
    name, d, variances = f"covariances of component {k}", len(C), np.diag(C)
    if np.count_nonzero(C) == np.count_nonzero(variances):
        if np.any(variances < 0):
            fail(f"{name}, variance {np.min(variances):.3g}", covariances, "variances >= 0")
        order = np.argsort(variances)
        lam[k], U[k] = variances[order], np.eye(d)[:, order]
        return True
    if not np.all(variances > 0):
        return False
    unit = np.sqrt(variances)
    values = np.linalg.eigvalsh(C / unit / unit[:, None])
    if not values[0] > d * EPS * values[-1]:
        return False
    lam[k], U[k] = refine(C, lam[k], U[k])
    if not lam[k, 0] > _GRADED * lam[k, -1]:
        fail(f"{name}, variances {np.min(variances):.3g} to {np.max(variances):.3g}", covariances,
             f"eigenvalues of correlated coordinates of at least {_GRADED:g} times the largest; smaller ones would be right "
             "to less than 8 digits, unless the coordinates are not correlated (covariance_type='diag')")  # fmt: skip
    return True


class GaussianMixture(Fixed):
    """Mixture ``sum_k w_k N(mu_k, C_k)``.

    Parameters
    ----------
    weights : array (K,) or None
        Nonnegative, summing to 1; None is uniform. Components of weight 0 are kept in the attributes and
        ignored by the law.
    means : array (K, d)
    covariances : float, array (K,), (K, d), (K, d, d) or (d, d)
        Isotropic variances, diagonals, or full symmetric positive semidefinite matrices. Zeros are allowed:
        such components live on affine subspaces.
    covariance_type : {"spherical", "diag", "full", "tied"} or None
        What ``covariances`` holds, in the names of scikit-learn: a variance for each component (K,) or for all (); a
        diagonal for each (K, d); a matrix for each (K, d, d); one matrix for all (d, d). None reads it from the shape, which
        does not tell "diag" from "tied" where K = d: that is refused. "tied" is always said.

    Attributes
    ----------
    weights, means, covariances : numpy arrays, read-only copies of those given ("tied": the matrix of each component)
    kind : "isotropic", "diagonal" or "full"
    covariance_type : "spherical", "diag" or "full", that of ``covariances``
    dim, mean, covariance : d, (d,), (d, d)

    Raises
    ------
    ValueError
        Naming the argument: wrong or ambiguous shapes, non-finite values, weights that are negative or do not sum to 1,
        covariances that are not symmetric positive semidefinite; means beyond 1e150, variances beyond 1e300, positive
        standard deviations below 1e-100 times the largest coordinate (say 0).

    Notes
    -----
    Eigenvalues of a full covariance at or below ``d eps lam_max`` are zeros where a matrix of floats does not
    determine them: where the correlation matrix, too, has an eigenvalue below d eps of its largest. Others, such as the
    variance 1e-20 of a coordinate beside one of variance 1, are kept, and diagonal matrices are taken literally.
    """

    def __init__(
        self,
        weights: ArrayLike | None,
        means: ArrayLike,
        covariances: ArrayLike,
        *,
        covariance_type: Literal["full", "tied", "diag", "spherical"] | None = None,
    ) -> None:
        means = to_numpy(points("means", means, allow_empty=False))
        K, d = means.shape
        bounded("means", means, means)
        weights = to_numpy(check_weights("weights", weights, K))
        C = _form(covariances, K, d, covariance_type)
        kind, lam, U = _decompose(covariances, C, K, d)
        self._set(weights, means, kind, lam, U, C)
        spread("covariances", covariances, self._size if np.any(self._lam) else 0.0, self._thin)

    def _set(self, weights, means, kind, lam, U, covariances=None):
        self.weights, self.means, self.kind = np.array(weights), np.array(means), kind
        self.n_components, self.dim = means.shape
        self._covariances, self._lam, self._U = covariances, lam, U
        keep = np.flatnonzero(self.weights > 0)
        mu, lam = self.means[keep], lam[keep]
        U = None if U is None else U[keep]
        center = self.weights[keep] @ mu
        arrays = {"logw": np.log(self.weights[keep]), "mu": mu, "lam": lam, "center": center}
        if U is not None:
            arrays |= {"U": U, "Ut": np.swapaxes(U, 1, 2)}
        self._p = Parameters(**arrays)
        self._active = len(keep)
        self._singular = bool(np.any(lam == 0))
        positive = lam[lam > 0]
        top = max(float(np.max(np.abs(mu))), float(np.sqrt(np.max(lam))))
        self._size = top if top > 0 else 1.0
        self._thin = float(np.sqrt(np.min(positive))) if positive.size else self._size
        self._typical = float(np.exp(np.mean(np.log(positive)))) if positive.size else 0.0
        # For `_light`: log w (K, 1), mu_k and U_k^T mu_k (K, d, 1), eigenvalues (K, d, 1) or one number, U, U^T.
        logw, m = self._p._host["logw"][:, None], mu[:, :, None]
        if np.ptp(lam) == 0:
            self._columns = logw, m, m, float(lam[0, 0]), None, None
        else:
            U, Ut = self._p._host.get("U"), self._p._host.get("Ut")
            self._columns = logw, m, m if U is None else Ut @ m, lam[:, :, None], U, Ut
        self._fix()

    def _stack(self):
        """Level-independent parts of the stacked products, made once."""
        p, like = self._p, np.empty(0)
        Ut = None if self._U is None else p("Ut", like)
        return p.cached(
            "stack",
            like,
            lambda: Stack(*(p(name, like) for name in ("logw", "mu", "lam", "center")), Ut, self._typical),
        )

    @classmethod
    def _from_eigen(cls, weights, means, kind, lam, U):
        law = cls.__new__(cls)
        law._set(weights, means, kind, lam, U)
        return law

    @classmethod
    def from_sklearn(cls, fitted: Any) -> Self:
        """The law of a fitted ``sklearn.mixture.GaussianMixture`` (full, tied, diag or spherical), of float32 data too.

        Weights are normalised and covariances made symmetric in float64: a fit to float32 data has both to float32 only. Its
        own scores, computed in float32, are then the less accurate ones.

        Raises
        ------
        ValueError
            Naming fitted: no fitted mixture, or a ``BayesianGaussianMixture``, whose ``score_samples`` are expectations over
            a posterior of the parameters and not the log density of a Gaussian mixture.
        """
        try:
            w, mu, C, kind = fitted.weights_, fitted.means_, fitted.covariances_, fitted.covariance_type
        except AttributeError:
            fail("fitted", fitted, "a fitted sklearn.mixture.GaussianMixture")
        if hasattr(fitted, "weight_concentration_"):
            expected = (
                "a sklearn.mixture.GaussianMixture: no Gaussian mixture has the scores of a BayesianGaussianMixture (for "
                "the mixture of its point estimates, from which its sample() draws: GaussianMixture(fitted.weights_, "
                "fitted.means_, fitted.covariances_, covariance_type=fitted.covariance_type))"
            )
            fail("fitted", fitted, expected)
        w, C = (np.asarray(to_numpy(a), dtype=np.float64) for a in (w, C))
        if kind in ("full", "tied") and C.ndim > 1:
            C = C / 2 + np.swapaxes(C, -1, -2) / 2
        return cls(w / np.sum(w), mu, C, covariance_type=kind)

    @property
    def covariance_type(self) -> Literal["spherical", "diag", "full"]:
        """Form of ``covariances`` as scikit-learn names it: "spherical", "diag" or "full"."""
        return "spherical" if self.kind == "isotropic" else "diag" if self.kind == "diagonal" else "full"

    def __repr__(self):
        return f"GaussianMixture(K={self.n_components}, dim={self.dim}, kind={self.kind!r})"

    @property
    def covariances(self) -> np.ndarray:
        """Covariances as given: (), (K,), (K, d) or (K, d, d)."""
        if self._covariances is None:
            if self.kind == "isotropic":
                self._covariances = self._lam[:, 0].copy()
            elif self.kind == "diagonal":
                self._covariances = self._lam.copy()
            else:
                self._covariances = (self._U * self._lam[:, None, :]) @ np.swapaxes(self._U, 1, 2)
            self._covariances.setflags(write=False)
        return self._covariances

    @property
    def mean(self) -> np.ndarray:
        """Mean, (d,)."""
        return self.weights @ self.means

    @property
    def covariance(self) -> np.ndarray:
        """Covariance, (d, d)."""
        D = self.means - self.mean
        between = (self.weights[:, None] * D).T @ D
        if self.kind == "full":
            return np.tensordot(self.weights, self.covariances, axes=1) + between
        return np.diag(self.weights @ self._lam) + between

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "NoisedMixture":
        """Law of ``scale * X + sigma * N(0, I)``; scalars, or one value per row of x, shape (n,).

        Raises
        ------
        ValueError
            Negative or non-finite levels, both 0, or lengths that differ.
        """
        return NoisedMixture(self, scale, sigma)

    def log_density(self, x: ArrayLike) -> Array:
        """Log density (n,); ValueError naming sigma where a covariance is singular."""
        return self.noised().log_density(x)

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d)."""
        return self.noised().score(x)

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d)."""
        return self.noised().hessian(x)

    def prox(self, x: ArrayLike, lam: ArrayLike, certificate: bool = False, **options: Any) -> Any:
        """Global minimiser (n, d) of ``1/2 |u - x|^2 - lam log q(u)``; see `NoisedMixture.prox`."""
        return self.noised().prox(x, lam, certificate=certificate, **options)

    def sample(self, n: int, rng: Rng) -> np.ndarray:
        """``n`` draws, NumPy (n, d); ``rng`` a numpy Generator or a seed."""
        n, rng = integer("n", n, low=0), generator(rng)
        k = rng.choice(self.n_components, size=n, p=self.weights)
        z, deviation = rng.standard_normal((n, self.dim)), np.sqrt(self._lam)[k]
        if self._U is None:
            return self.means[k] + deviation * z
        # By the symmetric root U sqrt(lam) U^T, which C determines: U alone is arbitrary where eigenvalues repeat, and
        # another BLAS would give other draws.
        for j in np.unique(k):
            rows = k == j
            z[rows] = (z[rows] @ self._U[j] * deviation[rows]) @ self._U[j].T
        return self.means[k] + z


class NoisedMixture(NoisedLaw):
    """Law of ``scale * X + sigma * N(0, I)`` for X a Gaussian mixture; see `GaussianMixture.noised`."""

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "NoisedMixture":
        """Law of ``scale * Y + sigma * N(0, I)`` where Y is this noised variable (scalar levels).

        Its ``denoise`` is the conditional mean of Y, the variable that was noised last, not that of the
        first X.
        """
        return self.materialise().noised(scale, sigma)

    def materialise(self) -> GaussianMixture:
        """This law as a `GaussianMixture` of its own (scalar levels)."""
        if self._per_row:
            fail("sigma", self.sigma, "scalar levels: one law per row is not one mixture")
        law = self.law
        lam = self.scale**2 * law._lam + self.sigma**2
        return GaussianMixture._from_eigen(law.weights, self.scale * law.means, law.kind, lam, law._U)

    # -- kernels: x (b, d), s and t (b,) or (1,); arrays over components have shape (K, b, d) ----------------

    def _rows(self, x, extra=0):
        doubles = workspace(x) if extra or not is_numpy(array_namespace(x)) else _CACHE_DOUBLES
        return doubles // max(self.law._active * self.dim, extra)

    def _param(self, name, x):
        return self.law._p(name, x)

    def _rotate(self, a, x, back=False):
        """``U_k^T a_k`` (or ``U_k a_k``) for row vectors a (K, b, d)."""
        if self.law._U is None:
            return a
        return array_namespace(x).matmul(a, self._param("Ut" if back else "U", x))

    def _parts(self, x, s, t):
        """(z, v) of every component: (K, b, d) and (K, b or 1, d)."""
        xp = array_namespace(x)
        s3, t3 = (xp.reshape(a, (1, -1, 1)) for a in (s, t))
        mu = xp.expand_dims(self._param("mu", x), axis=1)
        lam = xp.expand_dims(self._param("lam", x), axis=1)
        z = self._rotate(xp.expand_dims(x, axis=0) - s3 * mu, x)
        return z, s3 * s3 * lam + t3 * t3

    def _responsibilities(self, x, s, t, z, v):
        """(r (K, b), log density (b,)) of rows where no variance v is 0."""
        xp = array_namespace(x)
        s3, t3 = (xp.reshape(a, (1, -1, 1)) for a in (s, t))
        # Log determinants relative to one common variance: at large sigma what tells the components apart is
        # log1p of little.
        typical = self.law._typical
        common = s3 * s3 * typical + t3 * t3
        ratio = v / common
        change = s3 * s3 * (xp.expand_dims(self._param("lam", x), axis=1) - typical) / common
        close = xp.abs(ratio - 1) < 0.5
        logs = xp.where(close, xp.log1p(xp.where(close, change, xp.zeros_like(change))), xp.log(ratio))
        logits = xp.expand_dims(self._param("logw", x), axis=1) - 0.5 * (xp.sum(z * z / v, axis=-1) + xp.sum(logs, axis=-1))
        top = xp.max(logits, axis=0, keepdims=True)
        e = xp.exp(logits - top)
        total = xp.sum(e, axis=0, keepdims=True)
        logp = top + xp.log(total) - 0.5 * self.dim * (LOG_2PI + xp.log(common[:, :, 0]))
        return e / total, xp.reshape(logp, (-1,))

    def _limit_responsibilities(self, x, s, z):
        """Responsibilities (K, b) in the limit sigma -> 0, scale > 0.

        With delta_k the squared distance of x to the support of component k and nu_k the dimension of its
        null space, r_k ~ exp(-delta_k / (2 sigma^2)) sigma^(-nu_k) (regular factor): the smallest delta
        wins, among equal ones the largest nu, among those the regular factors decide. Equidistant atoms: the
        lowest index, as in a point cloud.
        """
        xp = array_namespace(x)
        d = self.dim
        lam = xp.expand_dims(self._param("lam", x), axis=1)
        null = xp.astype(lam == 0, xp.float64)
        delta = xp.sum(null * z * z, axis=-1)
        mu = self._param("mu", x)
        # On the support up to the rounding of x - s mu and of its rotation.
        size = xp.expand_dims(xp.sqrt(xp.sum(x * x, axis=-1)), axis=0) + xp.expand_dims(s, axis=0) * xp.expand_dims(
            xp.sqrt(xp.sum(mu * mu, axis=-1)), axis=1
        )
        rounding = 0.0 if self.law._U is None else (4 * d * EPS * size) ** 2
        delta = xp.where(delta <= rounding, xp.zeros_like(delta), delta)
        best = xp.min(delta, axis=0, keepdims=True)
        nu = xp.sum(null, axis=-1)
        rank = xp.where(delta <= best, nu + xp.zeros_like(delta), xp.full_like(delta, -1.0))
        top = xp.max(rank, axis=0, keepdims=True)
        tied = rank == top
        s3 = xp.reshape(s, (1, -1, 1))
        safe = xp.where(null > 0, xp.ones_like(lam), lam) * (s3 * s3)
        regular = (1.0 - null) * (z * z / safe + xp.log(safe))
        logits = xp.expand_dims(self._param("logw", x), axis=1) - 0.5 * xp.sum(regular, axis=-1)
        first = xp.argmax(xp.astype(tied, xp.int64), axis=0)
        index = xp.expand_dims(xp.arange(self.law._active, device=x.device), axis=1)
        lowest = index == xp.expand_dims(first, axis=0)
        tied = xp.where(top == float(d), lowest, tied)
        logits = xp.where(tied, logits, xp.full_like(logits, -xp.inf))
        e = xp.exp(logits - xp.max(logits, axis=0, keepdims=True))
        return e / xp.sum(e, axis=0, keepdims=True)

    def _posterior(self, x, s, t, centred):
        """(r (K, b), m (K, b, d), v): responsibilities and component posterior means, relative to the centre
        if asked."""
        xp = array_namespace(x)
        z, v = self._parts(x, s, t)
        if not self.law._singular:
            zero = None
        else:
            zero = np.broadcast_to(to_numpy(t) == 0, (x.shape[0],))
        if zero is None or not zero.any():
            r, _ = self._responsibilities(x, s, t, z, v)
        else:
            limit = self._limit_responsibilities(x, xp.where(s > 0, s, xp.ones_like(s)), z)
            if zero.all():
                r = limit
            else:
                safe_t = xp.where(t == 0, xp.ones_like(t), t)
                zs, vs = self._parts(x, s, safe_t)
                r, _ = self._responsibilities(x, s, safe_t, zs, vs)
                r = xp.where(xp.expand_dims(from_numpy(np.array(zero), x), axis=0), limit, r)
        s3, t3 = (xp.reshape(a, (1, -1, 1)) for a in (s, t))
        lam = xp.expand_dims(self._param("lam", x), axis=1)
        mu = xp.expand_dims(self._param("mu", x), axis=1)
        if self.law._singular:
            v = s3 * s3 * lam + t3 * t3
            nothing = v == 0
            v = xp.where(nothing, xp.ones_like(v), v)
            to_mean = xp.where(nothing, xp.ones_like(v), t3 * t3 / v)
        else:
            to_mean = t3 * t3 / v
        y = x
        if centred:
            center = self._param("center", x)
            y = x - column(xp, s) * xp.expand_dims(center, axis=0)
            mu = mu - center
        # A convex-like combination of x / s and mu in the eigenbasis: no cancellation for any ratio of lam
        # to sigma^2.
        y = self._rotate(xp.expand_dims(y, axis=0) + xp.zeros_like(lam[:, :, :1]), x)
        m = (s3 * lam / v) * y + to_mean * self._rotate(mu, x)
        return r, self._rotate(m, x, back=True), lam * to_mean

    def _stacked(self, what, x, posterior=False, size=0.0):
        """``what`` of a checked x by stacked products, or None where they are not for it."""
        if not pays(self.law._active, self.dim, x.shape[0]):
            return None
        matrices, numpy = what in ("hessian", "posterior_covariance"), is_numpy(array_namespace(x))
        if matrices and not numpy:
            return None
        y, s, t = self._in_range(x, size or None) if posterior else (x, *self._levels())
        x, size = y, size if y is x else 0.0
        if self.law._singular and np.any(t == 0):
            return None
        if not numpy:
            return generic.mixture(self, what, x, s, t, size)
        level = Level(self.law._stack(), s, t, x.shape[0])
        if matrices:
            return level.second(what, x) if level.second_pays() else None
        return level.evaluate(what, x)

    def _light(self, what, x, size):
        """The "log_density", "score" or "denoise" of NumPy rows x; None where a variance is 0 or stacks pay."""
        K, d, n = self.law._active, self.dim, x.shape[0]
        rows = _LIGHT_DOUBLES // (K * d)
        if not n or not rows or pays(K, d, n) or not isinstance(x, np.ndarray):
            return None
        x, s, t = self._in_range(x, size) if what == "denoise" else (x, *self._levels())
        if self.law._singular and not t.all():
            return None
        s, t = (float(a[0]) if len(a) == 1 else a for a in (s, t))
        if n <= rows:
            return self._sums(what, x, s, t)
        blocks = [slice(i, i + rows) for i in range(0, n, rows)]
        parts = [self._sums(what, x[b], *(a if isinstance(a, float) else a[b] for a in (s, t))) for b in blocks]
        return np.concatenate(parts)

    def _sums(self, what, x, s, t):
        """`_light` of one block of rows; s and t are numbers or (b,)."""
        law, d = self.law, self.dim
        logw, mu, m, lam, U, Ut = law._columns
        y, s2, t2 = x.T, s * s, t * t
        v = common = s2 * lam + t2
        z = y - s * mu if U is None else Ut @ (y - s * mu)
        quadratic = z * z / v
        logits = logw - 0.5 * (quadratic[:, 0] if d == 1 else np.add.reduce(quadratic, 1))
        if not isinstance(lam, float):  # log determinants as in `_responsibilities`
            common = s2 * law._typical + t2
            change = s2 * (lam - law._typical) / common
            close = np.abs(change) < 0.5
            logs = np.where(close, np.log1p(np.where(close, change, 0.0)), np.log(v / common))
            logits = logits - 0.5 * np.add.reduce(logs, 1)
        top = np.maximum.reduce(logits, 0)
        e = np.exp(logits - top)
        total = np.add.reduce(e, 0)
        if what == "log_density":
            return top + np.log(total) - 0.5 * d * (LOG_2PI + np.log(common))
        a = -z / v if what == "score" else (s * lam / v) * (y if U is None else Ut @ y) + (t2 / v) * m
        a = (e / total)[:, None] * (a if U is None else U @ a)
        return np.ascontiguousarray(np.add.reduce(a, 0).T)

    @property
    def _far(self):
        return "refuse" if self.law._singular else None

    def _needs_density(self, what, x, size=math.inf):
        self._need_noise(what, x, regular=not self.law._singular, top_x=size)

    def log_density(self, x: ArrayLike) -> Array:
        """Log density, (n,).

        Raises
        ------
        ValueError
            Naming sigma, where a noised covariance is singular (sigma = 0 and a zero variance).
        """
        x, size = self._check(x, size=True)
        self._needs_density("log_density", x, size)
        fast = self._light("log_density", x, size)
        if fast is None:
            fast = self._stacked("log_density", x, size=size)
        if fast is not None:
            return fast
        return self._run(lambda *a: self._responsibilities(*a, *self._parts(*a))[1], x, (), self._rows(x))

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d), as a sum of component scores (never as (xhat - x) /
        sigma^2)."""
        x, size = self._check(x, size=True)
        self._needs_density("score", x, size)
        fast = self._light("score", x, size)
        if fast is None:
            fast = self._stacked("score", x, size=size)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            xp = array_namespace(x)
            z, v = self._parts(x, s, t)
            r, _ = self._responsibilities(x, s, t, z, v)
            return -xp.sum(self._rotate(z / v * xp.expand_dims(r, axis=-1), x, back=True), axis=0)

        return self._run(kernel, x, (self.dim,), self._rows(x))

    def denoise(self, x: ArrayLike) -> Array:
        """Conditional mean E[X | x], (n, d). At sigma = 0 its limit: x / scale, or the projection on the
        nearest support."""
        x, size = self._check(x, size=True)
        fast = self._light("denoise", x, size)
        if fast is None:
            fast = self._stacked("denoise", x, posterior=True, size=size)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            xp = array_namespace(x)
            r, m, _ = self._posterior(x, s, t, centred=False)
            return xp.sum(xp.expand_dims(r, axis=-1) * m, axis=0)

        return self._run(kernel, x, (self.dim,), self._rows(x), posterior=True)

    def _about_mean(self, x, r, a):
        """a_k - sum_j r_j a_j for vectors a (K, b, d).

        By way of the heaviest component: the error is then relative to the spread and not to the size of the
        vectors.
        """
        xp = array_namespace(x)
        index = xp.expand_dims(xp.arange(self.law._active, device=x.device), axis=1)
        heaviest = xp.expand_dims(index == xp.argmax(r, axis=0, keepdims=True), axis=-1)
        a = a - xp.sum(xp.where(heaviest, a, xp.zeros_like(a)), axis=0, keepdims=True)
        return a - xp.sum(xp.expand_dims(r, axis=-1) * a, axis=0, keepdims=True)

    def _sum_of_matrices(self, x, r, inner, vectors):
        """``sum_k r_k U_k diag(inner_k) U_k^T + sum_k r_k a_k a_k^T`` with a = vectors (K, b, d): (b, d,
        d)."""
        xp = array_namespace(x)
        r3 = xp.expand_dims(r, axis=-1)
        rows = xp.permute_dims(vectors, (1, 2, 0))
        out = xp.matmul(rows * xp.expand_dims(xp.permute_dims(r, (1, 0)), axis=1), xp.permute_dims(vectors, (1, 0, 2)))
        if self.law._U is None:
            diagonal = xp.sum(r3 * inner, axis=0)
            eye = xp.eye(self.dim, dtype=xp.float64, device=x.device)
            return out + xp.expand_dims(diagonal, axis=-1) * eye
        U, Ut = self._param("U", x), self._param("Ut", x)
        for k in range(self.law._active):
            c = xp.expand_dims(r3[k, :, :] * inner[k, :, :], axis=1)
            out = out + xp.matmul(U[k, :, :] * c, Ut[k, :, :])
        return out

    def posterior_covariance(self, x: ArrayLike) -> Array:
        """Conditional covariance Cov[X | x], (n, d, d); its limit at sigma = 0."""
        x = self._check(x)
        fast = self._stacked("posterior_covariance", x, posterior=True)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            r, m, inner = self._posterior(x, s, t, centred=True)
            return self._sum_of_matrices(x, r, inner, self._about_mean(x, r, m))

        return self._run(kernel, x, (self.dim, self.dim), self._rows(x, 2 * self.dim**2), posterior=True)

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d): ``-sum r_k P_k + sum r_k (g_k - g)(g_k - g)^T``."""
        x = self._check(x)
        self._needs_density("hessian", x)
        fast = self._stacked("hessian", x)
        if fast is not None:
            return fast

        def kernel(x, s, t):
            z, v = self._parts(x, s, t)
            r, _ = self._responsibilities(x, s, t, z, v)
            g = self._rotate(z / v, x, back=True)
            return self._sum_of_matrices(x, r, -1.0 / v, self._about_mean(x, r, g))

        return self._run(kernel, x, (self.dim, self.dim), self._rows(x, 2 * self.dim**2))

    def prox(self, x: ArrayLike, lam: ArrayLike, certificate: bool = False, **options: Any) -> Any:
        """Global minimiser u (n, d) of ``1/2 |u - x|^2 - lam log q(u)``, q the density of this law.

        Parameters
        ----------
        x : array (n, d)
        lam : float > 0 or (n,)
        certificate : bool
            Return a `proximal.ProxResult` (point, objective, proved lower bound, gap, status, evaluation
            counts).
        **options
            ``starts``, ``gap``, ``calls``: see `proximal.EqualVariance`.

        Raises
        ------
        ValueError
            Naming the argument; lam <= 0; sigma = 0 with a singular covariance, unless all are 0.

        Notes
        -----
        Equal isotropic covariances have the stronger certificate; all 0 at sigma = 0, it is the Laguerre
        cell of the means. Computed with NumPy; other arrays are transferred.
        """
        from ..prox.solver import prox_of

        return prox_of(self, x, lam, certificate=certificate, **options)

    def prox_local(self, x: ArrayLike, lam: ArrayLike, **options: Any) -> Any:
        """Stationary point reached from u = x by monotone Newton steps: not the prox where there are several
        minima."""
        from ..prox.solver import prox_of

        return prox_of(self, x, lam, local=True, **options)
