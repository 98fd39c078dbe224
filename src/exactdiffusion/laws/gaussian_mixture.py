"""Gaussian mixtures with full, diagonal or isotropic covariances; zero variances are allowed.

The eigendecomposition ``C_k = U_k diag(lam_k) U_k^T`` is made once; the noised component is ``N(s mu_k, U_k
diag(v_k) U_k^T)`` with ``v_k = s^2 lam_k + sigma^2`` at every level. With ``z_k = U_k^T (x - s mu_k)`` and
responsibilities ``r_k ~ w_k prod_j v_kj^(-1/2) exp(-sum_j z_kj^2 / (2 v_kj))``:

    grad log p(x)  = -sum_k r_k U_k (z_k / v_k)
    E[X | x]       =  sum_k r_k U_k [ (s lam_k / v_k) U_k^T x + (sigma^2 / v_k) U_k^T mu_k ]
    Cov[X | x]     =  sum_k r_k U_k diag(lam_k sigma^2 / v_k) U_k^T + sum_k r_k (m_k - m)(m_k - m)^T

`_kernels.mixture` evaluates them for any array namespace: by differences, which serves all, or by products of matrices where
these are as accurate and faster.
"""

import math
from typing import Any, Literal, Self

import numpy as np

from .._core.arrays import from_numpy, to_numpy, workspace
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike, Rng
from .._core.validation import choice, fail, integer, points, real_array
from .._core.validation import weights as check_weights
from ._kernels import mixture
from ._kernels.eigen import refine
from .base import EPS, LARGE, NoisedLaw, Parameters, bounded, generator, spread

__all__ = ["GaussianMixture", "NoisedMixture"]

# Doubles in one array (K, d, b) of differences on NumPy, where it should stay in the cache; of matrices (b, d, d).
_CACHE_DOUBLES, _MATRIX_DOUBLES = 1 << 15, 1 << 19
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

    # Full matrices: symmetric to rounding.
    size = np.max(np.abs(C), axis=(1, 2))
    asymmetry = np.max(np.abs(C - np.swapaxes(C, 1, 2)), axis=(1, 2))
    # Products A A^T and sums over samples are symmetric up to rounding that grows with the number of terms.
    if np.any(asymmetry > 1e-10 * size):
        fail(name, covariances, "symmetric matrices (of those that are so to rounding, (C + C^T) / 2)")
    C = C / 2 + np.swapaxes(C, 1, 2) / 2

    # Positive semidefinite to the rounding of the decomposition and of the asymmetry.
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

    Examples
    --------
    >>> law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.0)
    >>> law.noised(1.0, 1.0).denoise([[0.0], [1.0]]).round(6)
    array([[0.      ],
           [0.761594]])
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
        self._active, self._singular = len(keep), bool(np.any(lam == 0))

        # Sizes: the largest coordinate or deviation, the smallest deviation, a typical variance.
        positive = lam[lam > 0]
        top = max(float(np.max(np.abs(mu))), float(np.sqrt(np.max(lam))))
        self._size = top if top > 0 else 1.0
        self._thin = float(np.sqrt(np.min(positive))) if positive.size else self._size
        self._typical = float(np.exp(np.mean(np.log(positive)))) if positive.size else 0.0

        # Arrays of the kernels: columns (K, d, 1), a variance for each component (K, 1, 1), one for all (1, 1, 1).
        if np.ptp(lam) == 0:
            lam, U = lam[:1, :1], None
        elif kind == "isotropic":
            lam = lam[:, :1]
        m = mu[:, :, None]
        arrays = {"logw": np.log(self.weights[keep])[:, None], "mu": m, "m": m, "lam": lam[:, :, None]}
        if U is not None:
            U = U[keep]
            arrays |= {"U": U, "Ut": np.swapaxes(U, 1, 2), "m": np.swapaxes(U, 1, 2) @ m}
        self._p = Parameters(**arrays, center=self.weights[keep] @ mu)
        self._fix()

    def _columns(self, like):
        """Parameters of positive weight on the device of ``like``, by name."""
        return self._p.on(like)

    def _stack(self):
        """Level-independent parts of the products, made once."""
        host = self._p.on(np.empty(0))

        def make():
            lam = host["lam"][:, :, 0]
            lam = np.broadcast_to(lam, (self._active, lam.shape[1]))
            mu, Ut = host["mu"][:, :, 0], host.get("Ut")
            return mixture.Stack(host["logw"][:, 0], mu, lam, host["center"], Ut, self._typical)

        return self._p.cached("stack", np.empty(0), make)

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
    """Law of ``scale * X + sigma * N(0, I)`` for X a Gaussian mixture; see `GaussianMixture.noised`.

    Examples
    --------
    >>> GaussianMixture(None, [[0.0, 0.0]], 1.0).noised(1.0, 1.0).denoise([[2.0, 4.0]])
    array([[1., 2.]])
    """

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

    def _rows(self, x, doubles, row):
        return (doubles if type(x) is np.ndarray else workspace(x)) // row

    def _evaluate(self, what, x, size):
        """The "log_density", "score" or "denoise" of checked rows x, of which ``size`` is a bound."""
        law, posterior = self.law, what == "denoise"
        K, d, n = law._active, law.dim, x.shape[0]
        rows = self._rows(x, _CACHE_DOUBLES, K * d)
        if mixture.pays(K, d, n):
            y, s, t = self._in_range(x, size) if posterior else (x, *self._levels())
            if not (law._singular and np.any(t == 0)):
                known = size if y is x and type(x) is not np.ndarray else 0.0
                out = mixture.evaluate(law, what, y, s, t, known)
                if out is not None:
                    return out
        elif 0 < n <= rows:
            x, s, t = self._in_range(x, size) if posterior else (x, *self._levels())
            s, t = (float(a[0]) if len(a) == 1 else from_numpy(a, x) for a in (s, t))
            return getattr(mixture.Differences(law, x, s, t), what)()
        shape = () if what == "log_density" else (d,)
        return self._run(lambda *a: getattr(mixture.Differences(law, *a), what)(), x, shape, rows, posterior)

    def _matrices(self, what, x, posterior):
        """The "hessian" or "posterior_covariance" of checked rows x."""
        law, d, shared = self.law, self.dim, {}
        rows = self._rows(x, _MATRIX_DOUBLES, max(law._active * d, 2 * d * d))
        return self._run(lambda *a: getattr(mixture.Differences(law, *a, shared), what)(), x, (d, d), rows, posterior)

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
        return self._evaluate("log_density", x, size)

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d), as a sum of component scores (never as (xhat - x) / sigma^2)."""
        x, size = self._check(x, size=True)
        self._needs_density("score", x, size)
        return self._evaluate("score", x, size)

    def denoise(self, x: ArrayLike) -> Array:
        """Conditional mean E[X | x], (n, d). At sigma = 0 its limit: x / scale, or the projection on the nearest support."""
        x, size = self._check(x, size=True)
        return self._evaluate("denoise", x, size)

    def posterior_covariance(self, x: ArrayLike) -> Array:
        """Conditional covariance Cov[X | x], (n, d, d); its limit at sigma = 0."""
        return self._matrices("posterior_covariance", self._check(x), posterior=True)

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d): ``-sum r_k P_k + sum r_k (g_k - g)(g_k - g)^T``."""
        x = self._check(x)
        self._needs_density("hessian", x)
        return self._matrices("hessian", x, posterior=False)

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
