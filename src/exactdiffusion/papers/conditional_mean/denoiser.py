r"""Diffusion models as denoisers: the deterministic chain of stepwise conditional means, its baselines and its test beds.

The observation is ``y = x + sigma n``; the conditional mean estimator (CME) is ``E[x | y]``. The denoiser of
arXiv 2403.02957 matches the SNR of y to a level of a DDPM schedule and runs the means of the reverse steps from there,
without noise. With ``z = x_t / sqrt(alpha_bar_t)``, ``v = (1 - alpha_bar) / alpha_bar = 1 / SNR`` and
``D_v(z) = E[x | x + sqrt(v) n = z]`` a step is

.. math:: z' = \rho z + (1-\rho) D_v(z), \qquad \rho = v'/v,

so that only the grid of v matters. That is :func:`samplers.ddpm` with ``variance="zero"``, which is what runs here; all
states below are in these coordinates (VE, scale 1). Grids are :class:`schedules.Grid` that end at sigma = 0: the last step
has ``rho = 0`` and returns ``D`` itself.

Not the probability-flow chain: that is ``method="ddim"``, another ODE with another limit.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ... import distances, samplers
from ..._core.arrays import array_namespace, from_numpy, to_numpy
from ..._core.typing import Array, ArrayLike, Law, Moments, NoiseSource, Row
from ..._core.validation import choice, fail, in_range, integer, points, scalar
from ...laws import GaussianMixture
from ...laws.base import EPS
from ...samplers._base import checked_noise
from ...schedules import Grid, nearest_index, sigma_from_integral, sigma_from_snr_db, snr_db_from_sigma, vp_linear_time

__all__ = [
    "BETA_1",
    "BETA_T",
    "METHODS",
    "Match",
    "ReverseKernel",
    "chain",
    "cme",
    "denoise",
    "denoiser_laplacian",
    "excess",
    "fitted_mixture",
    "limit",
    "lmmse",
    "ls",
    "match",
    "normalised",
    "posterior_variance",
    "power_grid",
    "refined_grid",
    "released_grid",
    "reverse_kernel",
    "study",
]

#: first beta of the released code: SNR 40 dB at its cleanest level
BETA_1 = 1.0 - 1e4 / (1.0 + 1e4)
#: last beta of the released code by number of steps T (linear in between); T beta_T is about 10, the last SNR about -22 dB
BETA_T = {5: 0.95, 10: 0.7, 50: 0.2, 100: 0.1, 300: 0.035, 500: 0.02, 1000: 0.01, 10000: 0.001}

METHODS = ("mean", "ddim", "resample", "resample_large", "resample_exact")
_BLOCK_DOUBLES = 1 << 20


# ------------------------------------------------------------------------------------------------------- grids


def released_grid(T: int, beta_T: float | None = None, beta_1: float = BETA_1) -> Grid:
    """The schedule of the released code: T betas linear from ``beta_1`` to ``beta_T``; VE, T + 1 levels, the last one 0.

    Parameters
    ----------
    T : int
    beta_T : float, optional
        Default `BETA_T` (T one of its keys).
    beta_1 : float

    Raises
    ------
    ValueError
        ``beta_T`` missing for a T that the released code does not list, or betas outside (0, 1).

    Examples
    --------
    >>> grid = released_grid(100)
    >>> grid.N, float(grid.sigma[-1])
    (100, 0.0)
    """
    T = integer("T", T, low=1)
    if beta_T is None:
        if T not in BETA_T:
            fail("beta_T", beta_T, f"a last beta for T = {T}: the released code has T in {sorted(BETA_T)}")
        beta_T = BETA_T[T]
    beta_1, beta_T = (
        scalar(n, b, low=0, high=1, low_open=True, high_open=True) for n, b in (("beta_1", beta_1), ("beta_T", beta_T))
    )
    return _ending_at_zero(sigma_from_integral(-np.cumsum(np.log1p(-np.linspace(beta_1, beta_T, T)))))


def _ending_at_zero(clean_to_noisy):
    sigma = np.append(clean_to_noisy[::-1], 0.0)
    return Grid(np.ones_like(sigma), sigma)


@in_range
def refined_grid(n: int, sigma: float, spacing: Literal["vp_linear", "linear", "geometric"] = "vp_linear") -> Grid:
    """n steps from ``sigma`` (exactly) to 0: a fixed continuous schedule, refined; VE.

    Parameters
    ----------
    n : int
    sigma : float
        Noise of the observation, the first level.
    spacing : {"vp_linear", "linear", "geometric"}
        Equal steps in the time of the VP-linear schedule (beta from 0.03 to 10), equal steps in v, or in log v down to
        v / n^2 (then 0).

    Examples
    --------
    >>> refined_grid(4, 0.5, "linear").sigma ** 2
    array([0.25  , 0.1875, 0.125 , 0.0625, 0.    ])
    """
    n, sigma = integer("n", n, low=1), scalar("sigma", sigma, low=0, low_open=True)
    choice("spacing", spacing, ("vp_linear", "linear", "geometric"))
    k = np.arange(1, n + 1) / n
    if spacing == "linear":
        levels = sigma * np.sqrt(k)
    elif spacing == "geometric":
        levels = sigma * float(n) ** (k - 1) if n > 1 else np.array([sigma])
    else:
        low, high = 0.03, 10.0
        t = float(vp_linear_time(math.log1p(sigma**2), low, high)) * k
        levels = np.sqrt(np.expm1(t * (low + 0.5 * (high - low) * t)))
    levels[-1] = sigma
    return _ending_at_zero(levels)


@in_range
def power_grid(T: int, gamma: float, sigma: float, c: float = 1.0) -> Grid:
    r"""Levels 0..t_hat of the schedule :math:`\beta_t = c' T^{-\gamma} t / T`, t_hat as the SNR match chooses it; VE.

    ``c'`` is c moved by the share (of the order of one step) that puts the matched level exactly on ``sigma``.

    Raises
    ------
    ValueError
        Naming gamma, where the noisiest level of the schedule is cleaner than ``sigma``: for gamma > 1 and large T no level
        matches.

    Examples
    --------
    >>> grid = power_grid(100, 0.5, 1.0)
    >>> grid.N, float(grid.sigma[-1])
    (37, 0.0)
    """
    T, gamma = integer("T", T, low=1), scalar("gamma", gamma, low=0)
    sigma, c = scalar("sigma", sigma, low=0, low_open=True), scalar("c", c, low=0, low_open=True)
    target = math.log1p(sigma**2)
    unit = float(T) ** -gamma * np.arange(1, T + 1) / T
    integral = -np.cumsum(np.log1p(-c * unit[c * unit < 1]))
    if integral.size == 0:
        fail("c", c, f"a c with c T^-gamma / T = {c * unit[0]:g} below 1: the first beta")
    if integral[-1] < target:
        fail("gamma", gamma, f"a schedule that reaches sigma = {sigma:g} within T = {T} steps")
    stop = int(np.argmin(np.abs(np.log(np.expm1(np.minimum(integral, 600.0)) / sigma**2)))) + 1
    from scipy.optimize import brentq

    total = lambda s: -np.sum(np.log1p(-s * unit[:stop])) - target  # noqa: E731
    low = c
    while total(low) > 0:
        low *= 0.5
    exact = brentq(total, low, (1 - 1e-12) / unit[stop - 1], xtol=1e-15 * c, rtol=8.9e-16)
    levels = sigma_from_integral(-np.cumsum(np.log1p(-exact * unit[:stop])))
    levels[-1] = sigma
    return _ending_at_zero(levels)


@dataclass(frozen=True)
class Match:
    """Level at which a chain starts: ``index`` in the grid, ``steps`` left, its VE noise ``sigma`` and the mismatch in dB.

    ``mismatch_db`` is the SNR of the level minus that of the observation: positive when the level is cleaner.

    Examples
    --------
    >>> match(released_grid(300), 1.0).steps
    108
    """

    index: int
    steps: int
    sigma: float
    mismatch_db: float


def match(
    grid: Grid, sigma: float, *, unit: Literal["db", "linear"] = "db", convention: Literal["matched", "code"] = "matched"
) -> Match:
    """Level of ``grid`` for observation noise ``sigma``: Eq. (12) of arXiv 2403.02957.

    Parameters
    ----------
    grid : Grid
    sigma : float
        Noise of y, the VE level; SNR 1 / sigma^2.
    unit : {"db", "linear"}
        Distance of SNRs in decibels (as in the authors' later package) or of the SNRs themselves (as in their first code).
    convention : {"matched", "code"}
        "code" reproduces an off-by-one of the first released code: the first model call is one level cleaner than matched,
        and at the cleanest match no step is run at all. For reproduction only.

    Examples
    --------
    >>> match(released_grid(100), 0.5).steps
    21
    """
    choice("convention", convention, ("matched", "code"))
    sigma = scalar("sigma", sigma, low=0, low_open=True)
    grid = _chain_grid(grid, one_schedule=True)
    index = nearest_index(grid, sigma, unit=unit) + (convention == "code")
    level = float(grid.noise_ratio[index])
    mismatch = math.inf if level == 0 else float(snr_db_from_sigma(level) - snr_db_from_sigma(sigma))
    return Match(index, grid.N - index, level, mismatch)


def _chain_grid(grid, one_schedule=False):
    if not isinstance(grid, Grid) or (one_schedule and grid.sigma.ndim != 1):
        fail("grid", grid, "a schedules.Grid" + (" with one schedule for all rows" if one_schedule else ""))
    if (grid.sigma[-1] != 0).any():
        fail("grid", grid, "a grid that ends at sigma = 0: the last step of the chain has rho = 0")
    return grid


# ------------------------------------------------------------------------------------------------------ chains


def _oracle(law):
    if not callable(getattr(law, "noised", None)) or not isinstance(getattr(law, "dim", None), int):
        fail("law", law, "an object with dim and noised(scale, sigma).denoise(x)")
    return law


def chain(
    law: Law,
    grid: Grid,
    y: ArrayLike,
    sigma: float | None = None,
    *,
    method: Literal["mean", "ddim", "resample", "resample_large", "resample_exact"] = "mean",
    noise: NoiseSource | None = None,
    assumed: float | None = None,
    unit: Literal["db", "linear"] = "db",
    convention: Literal["matched", "code"] = "matched",
) -> Iterator[Array]:
    """States of a denoising run, noisy to clean, in VE coordinates z.

    Parameters
    ----------
    law : oracle with ``noised(scale, sigma).denoise(x)``
    grid : Grid ending at sigma = 0
    y : array, shape (n, d)
        Observations ``x + sigma n``.
    sigma : float, optional
        Noise of y: the chain starts at the matched level (`match`), at
        ``z = y sqrt((1 + level^2) / (1 + sigma^2))``: scaled by the true SNR. None: y sits at the
        first level of the grid exactly (per-row grids are allowed).
    method : {"mean", "ddim", "resample", "resample_large", "resample_exact"}
        "mean": that of the released code. "ddim": the probability flow instead. "resample": posterior noise (beta-tilde) is
        added in every step but the last; "resample_large": the DDPM betas; "resample_exact": the exact reverse kernels of a
        `GaussianMixture`, a posterior sample.
    noise : noise source
        For the three random methods. Step i of the run draws ``noise.normal(i, ...)``.
    assumed : float, optional
        Noise the user believes in (wrongly): both the match and the scaling use it instead of ``sigma``.
    unit, convention
        As in :func:`match`.

    Yields
    ------
    array, shape (n, d)
        One state per level from the start to 0; the last is the estimate. With ``convention="code"`` at the cleanest match
        there is one state, the scaled y.

    Raises
    ------
    ValueError
        At the call, naming the argument.

    Examples
    --------
    >>> law, y = ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]])
    >>> [round(float(x[0, 0]), 4) for x in chain(law, refined_grid(3, 1.0), y)]
    [1.0, 0.6821, 0.5414, 0.5]
    """
    choice("method", method, METHODS)
    choice("unit", unit, ("db", "linear"))
    choice("convention", convention, ("matched", "code"))
    _oracle(law)

    # the observation, the noise and the level that the user assumes
    grid = _chain_grid(grid)
    z = points("y", y, law.dim)
    if z.shape[0] and not float(array_namespace(z).max(array_namespace(z).abs(z))) <= 1e150:
        fail("y", y, "coordinates of at most 1e150 in absolute value: their squares leave the range of floats")
    if method.startswith("resample") or noise is not None:
        checked_noise(noise)
    if assumed is not None:
        assumed = scalar("assumed", assumed, low=0, high=1e150, low_open=True)

    # start at the first level, or at the one whose SNR matches y best, in coordinates of scale 1
    if sigma is None:
        if assumed is not None or convention != "matched":
            fail("sigma", sigma, "the noise of y: assumed and convention choose a level of the grid for it")
        grid = grid.to_ve()
    else:
        sigma = scalar("sigma", sigma, low=0, high=1e150, low_open=True)
        if assumed is not None:
            sigma = assumed
        found = match(grid, sigma, unit=unit, convention=convention)
        z = z * math.sqrt((1 + found.sigma**2) / (1 + sigma**2))
        if found.steps == 0:
            return iter((z,))
        grid = grid[found.index :].to_ve()

    # run the method from there
    if method == "mean":
        return samplers.ddpm(law, grid, z, variance="zero")
    if method == "ddim":
        return samplers.ddim(law, grid, z)
    if method == "resample_exact":
        if not isinstance(law, GaussianMixture):
            fail("law", law, "a GaussianMixture: its reverse kernels are known exactly")
        return _exact(law, _chain_grid(grid, one_schedule=True), z, noise)
    return samplers.ddpm(law, grid, z, noise=noise, variance="small" if method == "resample" else "large")


def _exact(law, grid, z, noise):
    v, xp = grid.noise_ratio**2, array_namespace(z)
    yield xp.asarray(z, copy=True)  # states are the caller's own, as those of the samplers
    for i in range(grid.N):
        kernel = reverse_kernel(law, z, v[i], v[i + 1])
        z = from_numpy(kernel.sample(noise.normal(i, z.shape[0], law.dim + 1)), z)
        yield xp.asarray(z, copy=True)


@in_range
def denoise(law: Law, grid: Grid, y: ArrayLike, sigma: float | None = None, *, runs: int = 1, **options: Any) -> Array:
    """Estimate of x from y: last state of :func:`chain`, averaged over ``runs`` random runs.

    Parameters
    ----------
    law, grid, y, sigma, **options
        As in :func:`chain`.
    runs : int
        Number of runs to average (random methods only). Run m of row i uses row ``i * runs + m`` of the noise: results do
        not depend on the batch.

    Returns
    -------
    array, shape (n, d)

    Examples
    --------
    >>> law, y = ed.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.01), np.array([[0.2], [2.0]])
    >>> denoise(law, refined_grid(50, 1.0), y, 1.0).round(3)
    array([[0.98],
           [1.01]])
    """
    runs = integer("runs", runs, low=1)
    _oracle(law)
    if runs == 1:
        return samplers.final(chain(law, grid, y, sigma, **options))
    if not options.get("method", "mean").startswith("resample"):
        fail("runs", runs, "1 for a deterministic method")
    y = points("y", y, law.dim)
    if isinstance(grid, Grid) and grid.sigma.ndim != 1:
        fail("grid", grid, "one schedule for all rows when runs are averaged")
    xp = array_namespace(y)
    noise = checked_noise(options.pop("noise", None))
    n, d = y.shape
    if n == 0:
        return y
    block, out = max(1, _BLOCK_DOUBLES // (runs * d)), []
    for i in range(0, n, block):
        rows = y[i : min(i + block, n), :]
        copies = xp.reshape(xp.broadcast_to(xp.expand_dims(rows, axis=1), (rows.shape[0], runs, d)), (-1, d))
        final = samplers.final(chain(law, grid, copies, sigma, noise=noise.rows(i * runs), **options))
        out.append(xp.mean(xp.reshape(final, (rows.shape[0], runs, d)), axis=1))
    return out[0] if len(out) == 1 else xp.concat(out, axis=0)


@in_range
def limit(law: Law, y: ArrayLike, sigma: float, *, v_end: float = 1e-8, rtol: float = 1e-8) -> np.ndarray:
    r"""Limit of the mean chain as its grid is refined: endpoint of :math:`dz/d\log v = z - D_v(z)`, by DOP853.

    The equation is that of ``statements.conditional_mean.limit_ode``, solved from v = sigma^2 down to ``v_end``, where one
    step to 0 ends it. All rows are one system, so the step is chosen for their root mean square error.

    Parameters
    ----------
    law : oracle with ``noised(scale, sigma).denoise(x)``
    y : array, shape (n, d)
        Observations at noise ``sigma``.
    sigma : float > 0
    v_end : float
        Below sigma^2, and well below every variance of the law.
    rtol : float
        Relative tolerance of the solver; the absolute one is a hundredth of it.

    Returns
    -------
    array, shape (n, d), NumPy

    Raises
    ------
    ValueError
        Naming the argument.
    RuntimeError
        The solver gave up.

    Examples
    --------
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> limit(law, [[2.0]], 1.0).round(6)  # a Gaussian prior: the conditional mean
    array([[1.]])
    """
    from scipy.integrate import solve_ivp

    y, sigma = to_numpy(points("y", y, _oracle(law).dim)), scalar("sigma", sigma, low=0, high=1e150, low_open=True)
    v_end = scalar("v_end", v_end, low=0, high=sigma**2, low_open=True, high_open=True)
    rtol = scalar("rtol", rtol, low=1e-13, high=1, high_open=True)
    if len(y) == 0:
        return y

    def slope(s, z):
        z = z.reshape(y.shape)
        return (z - law.noised(1.0, math.exp(0.5 * s)).denoise(z)).ravel()

    span = (2 * math.log(sigma), math.log(v_end))
    solved = solve_ivp(slope, span, y.ravel(), "DOP853", t_eval=span[1:], rtol=rtol, atol=1e-2 * rtol)
    if not solved.success:
        raise RuntimeError(f"limit: the solver stopped at v = {math.exp(solved.t[-1]):.3g}: {solved.message}")
    return law.noised(1.0, math.sqrt(v_end)).denoise(solved.y[:, -1].reshape(y.shape))


# ---------------------------------------------------------------------------------- baselines and ground truth


def cme(law: Law, y: ArrayLike, sigma: float) -> Array:
    """Conditional mean ``E[x | y]`` for ``y = x + sigma n``, (n, d).

    Examples
    --------
    >>> cme(ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]]), 1.0)
    array([[0.5]])
    """
    return _oracle(law).noised(1.0, scalar("sigma", sigma, low=0)).denoise(points("y", y, law.dim))


def ls(y: ArrayLike) -> Array:
    """Least squares: the observation itself.

    Examples
    --------
    >>> ls(np.array([[1.0]]))
    array([[1.]])
    """
    return points("y", y)


@in_range
def lmmse(law: Moments, y: ArrayLike, sigma: float) -> Array:
    """Linear MMSE estimate from the mean m and covariance C of the law: ``m + C (C + sigma^2)^-1 (y - m)``, (n, d).

    Examples
    --------
    >>> lmmse(ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]]), 1.0)
    array([[0.5]])
    """
    y, sigma = points("y", y, _oracle(law).dim), scalar("sigma", sigma, low=0, low_open=True)
    xp = array_namespace(y)
    covariance, mean = np.asarray(law.covariance), np.asarray(law.mean)
    gain = np.linalg.solve(covariance + sigma**2 * np.eye(law.dim), covariance).T
    mean = xp.expand_dims(from_numpy(mean, y), axis=0)
    return mean + xp.matmul(y - mean, xp.permute_dims(from_numpy(np.ascontiguousarray(gain), y), (1, 0)))


@in_range
def posterior_variance(law: Law, y: ArrayLike, sigma: float) -> Array:
    """Trace of ``Cov[x | y]``, (n,): its mean over y is the MMSE.

    Examples
    --------
    >>> posterior_variance(ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]]), 1.0)
    array([0.5])
    """
    y, sigma = points("y", y, _oracle(law).dim), scalar("sigma", sigma, low=0)
    xp = array_namespace(y)
    if y.shape[0] == 0:
        return y[:, 0]
    level, block, out = law.noised(1.0, sigma), max(1, _BLOCK_DOUBLES // law.dim**2), []
    for i in range(0, y.shape[0], block):
        cov = level.posterior_covariance(y[i : min(i + block, y.shape[0]), :])
        eye = xp.eye(law.dim, dtype=cov.dtype, device=cov.device)
        out.append(xp.sum(cov * eye, axis=(1, 2)))
    return xp.concat(out, axis=0)


@dataclass(frozen=True)
class ReverseKernel:
    """Law of the next state given this one: a Gaussian mixture per row.

    ``weights`` (n, K), ``means`` (n, K, d), ``covariances`` (K, d, d): the covariances do not depend on the state.

    Examples
    --------
    >>> kernel = reverse_kernel(ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]]), 1.0, 0.5)
    >>> kernel.weights, kernel.covariance
    (array([[1.]]), array([[[0.375]]]))
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(n, d)"""
        return np.einsum("nk,nkd->nd", self.weights, self.means)

    @property
    def covariance(self) -> np.ndarray:
        """(n, d, d)"""
        a = self.means - self.mean[:, None]
        inner = np.tensordot(self.weights, self.covariances, axes=1)
        return inner + np.swapaxes(self.weights[:, :, None] * a, 1, 2) @ a

    def sample(self, normals: np.ndarray) -> np.ndarray:
        """One draw a row from standard normals (n, d + 1): the first chooses the component by its distribution function."""
        from scipy.special import ndtr

        u = ndtr(normals[:, :1])
        k = np.minimum(np.sum(np.cumsum(self.weights, axis=1) < u, axis=1), self.weights.shape[1] - 1)
        lam, U = np.linalg.eigh(self.covariances)
        # The symmetric root: unlike U it is unique where eigenvalues repeat. Those within rounding of 0 are 0, or their
        # square roots, 1e-8, would be noise that depends on the BLAS.
        lam = np.where(lam > lam.shape[1] * EPS * lam[:, -1:], lam, 0.0)
        root = (U * np.sqrt(lam)[:, None, :]) @ np.swapaxes(U, 1, 2)
        return self.means[np.arange(len(k)), k] + (root[k] @ normals[:, 1:, None])[:, :, 0]


@in_range
def reverse_kernel(law: GaussianMixture, z: ArrayLike, v: float, v_next: float) -> ReverseKernel:
    r"""Exact law of ``z_next = x + sqrt(v_next) n`` given ``z``, both on one Brownian path of variance v, for a mixture.

    Given component k and z, ``x ~ N(m_k, S_k)`` and
    :math:`z' \sim N(\rho z + (1-\rho) m_k,\ \rho(v - v') I + (1-\rho)^2 S_k)`, :math:`\rho = v'/v`. ``v_next = 0`` gives the
    posterior itself. Written from the covariance matrices, not from the eigenbases that the laws use: it also serves as a
    second derivation of the denoiser. NumPy.

    Parameters
    ----------
    law : GaussianMixture
    z : array (n, d)
    v, v_next : float
        0 <= v_next < v.

    Returns
    -------
    ReverseKernel

    Examples
    --------
    >>> kernel = reverse_kernel(ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]]), 1.0, 0.5)
    >>> kernel.mean, kernel.covariance
    (array([[0.75]]), array([[[0.375]]]))
    """
    if not isinstance(law, GaussianMixture):
        fail("law", law, "a GaussianMixture")
    z = to_numpy(points("z", z, law.dim))
    v = scalar("v", v, low=1e-150, high=1e150)
    v_next = scalar("v_next", v_next, low=0, high=v, high_open=True)
    K, d = law.n_components, law.dim
    C = law.covariances
    if C.ndim < 2:
        C = np.broadcast_to(np.reshape(C, (-1, 1, 1)), (K, 1, 1)) * np.eye(d)
    elif C.ndim == 2:
        C = C[:, :, None] * np.eye(d)
    noisy = C + v * np.eye(d)
    gain = np.swapaxes(np.linalg.solve(noisy, C), 1, 2)  # C (C + v)^-1
    a = z[:, None] - law.means
    solved = np.einsum("kij,nkj->nki", np.linalg.inv(noisy), a)
    with np.errstate(divide="ignore"):
        logits = np.log(law.weights) - 0.5 * (np.sum(a * solved, axis=2) + np.linalg.slogdet(noisy)[1])
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    posterior = law.means + np.einsum("kij,nkj->nki", gain, a)
    S = v * (gain + np.swapaxes(gain, 1, 2)) / 2
    rho = v_next / v
    means = rho * z[:, None] + (1 - rho) * posterior
    return ReverseKernel(weights, means, rho * (v - v_next) * np.eye(d) + (1 - rho) ** 2 * S)


@in_range
def denoiser_laplacian(law: GaussianMixture, z: ArrayLike, v: float) -> Array:
    r"""``(Lap D_v)(z)``, component by component, (n, d): third posterior cumulants over v^2. For a `GaussianMixture`.

    :math:`(\Delta D)_i = v^{-2}\sum_j \kappa_{ijj}(x \mid z)`: the integrand of the gap between the limit of the mean chain
    and the conditional mean. Zero for a Gaussian.

    Examples
    --------
    >>> denoiser_laplacian(ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0]]), 1.0)
    array([[0.]])
    """
    p = reverse_kernel(law, z, v, 0.0)  # NumPy
    a = p.means - p.mean[:, None]
    spread = np.sum(a * a, axis=2, keepdims=True) + np.trace(p.covariances, axis1=1, axis2=2)[:, None]
    third = a * spread + 2 * np.einsum("kij,nkj->nki", p.covariances, a)
    return from_numpy(np.einsum("nk,nki->ni", p.weights, third) / v**2, z)


# ------------------------------------------------------------------------------------------------- test beds


@in_range
def normalised(law: GaussianMixture, power: float | None = None) -> GaussianMixture:
    """The mixture moved and scaled by one number so that ``E x = 0`` and ``E |x|^2 = power`` (default: its dimension).

    Examples
    --------
    >>> float(normalised(ed.GaussianMixture([1.0], [[0.0, 0.0]], 4.0)).covariance.trace())
    2.0
    """
    if not isinstance(law, GaussianMixture):
        fail("law", law, "a GaussianMixture")
    power = float(law.dim) if power is None else scalar("power", power, low=1e-100, high=1e100)
    total = float(np.trace(law.covariance))
    if not total > 0:
        fail("law", law, "a law with positive variance")
    s = math.sqrt(power / total)
    return GaussianMixture(
        law.weights, (law.means - law.mean) * s, law.covariances * s**2, covariance_type=law.covariance_type
    )


def fitted_mixture(data: ArrayLike, n_components: int = 32, *, reg_covar: float = 1e-3, seed: int = 0) -> GaussianMixture:
    """Full-covariance mixture fitted by scikit-learn to rows of data, then normalised: the fit *is* the prior.

    Data are centred and scaled to mean power 1 per coordinate before the fit, so ``reg_covar`` is relative to the power.

    Parameters
    ----------
    data : array (n, d), e.g. ``datasets.digits()`` or ``datasets.mnist(folder)``
    n_components : int
        With n / n_components rows a component below d the covariances are dominated by ``reg_covar``.
    reg_covar : float
    seed : int

    Examples
    --------
    >>> data = np.random.default_rng(0).normal(size=(200, 2))
    >>> fitted_mixture(data, 2).means.shape
    (2, 2)
    """
    from sklearn.mixture import GaussianMixture as Fit

    data = to_numpy(points("data", data, allow_empty=False))
    n_components = integer("n_components", n_components, low=1, high=len(data))
    if np.abs(data).max() > 1e150:
        fail("data", data, "numbers of at most 1e150 in absolute value: their squares leave the range of floats")
    if len(np.unique(data, axis=0)) < n_components:
        fail("data", data, f"at least n_components = {n_components} distinct rows")
    data = data - data.mean(axis=0)
    power = float(np.mean(data**2))
    if not power > 0:
        fail("data", data, "rows that differ")
    fit = Fit(
        n_components,
        covariance_type="full",
        reg_covar=scalar("reg_covar", reg_covar, low=0),
        random_state=integer("seed", seed, low=0, high=2**32 - 1),
    )
    return normalised(GaussianMixture.from_sklearn(fit.fit(data / math.sqrt(power))))


@in_range
def excess(law: Law, estimate: ArrayLike, y: ArrayLike, sigma: float) -> distances.Estimate:
    r"""Relative excess :math:`E|f - E[x|y]|^2 / \mathrm{MMSE}`, both averaged over the same observations.

    Returns
    -------
    measure.Estimate
        Its standard error takes the MMSE of the sample as given.

    Examples
    --------
    >>> law, y = ed.GaussianMixture([1.0], [[0.0]], 1.0), np.array([[1.0], [-2.0]])
    >>> float(excess(law, cme(law, y, 1.0), y, 1.0))
    0.0
    """
    points("y", y, _oracle(law).dim, allow_empty=False)
    mmse = float(np.mean(to_numpy(posterior_variance(law, y, sigma))))
    return distances.excess_error(estimate, cme(law, y, sigma), mmse)


def study(
    law: GaussianMixture,
    snr_db: float,
    steps: Sequence[int],
    samples: int,
    seed: int,
    *,
    method: Literal["mean", "ddim"] = "mean",
    refined: bool = False,
) -> list[Row]:
    """Errors of the baselines and of the chain on the released schedules at one SNR: one point of Figure 2.

    Parameters
    ----------
    law : GaussianMixture, E x = 0
    snr_db : float
        SNR of y per unit of noise variance: sigma = 10^(-snr_db / 20).
    steps : sequence of int
        Schedule lengths T, each with its own level match.
    samples : int
        Draws of (x, y), the same for all estimators; they depend on (seed, snr_db) only.
    seed : int
    method : str
        As in :func:`chain` (a deterministic one).
    refined : bool
        Add the limit of the mean chain (:func:`limit`), with steps 0.

    Returns
    -------
    list of dict
        estimator ("CME", "LS", "LMMSE", "T = ...", "limit"), steps, snr_db, samples, nmse and nmse_error (by the law's
        power), excess (relative to the mean posterior variance of the same draws) and excess_error, start (number of steps
        run), mismatch_db.

    Examples
    --------
    >>> law = normalised(ed.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.01))
    >>> [row["estimator"] for row in study(law, 0.0, [5, 300], samples=100, seed=0)]
    ['CME', 'LS', 'LMMSE', 'T = 5', 'T = 300']
    """
    choice("method", method, ("mean", "ddim"))
    if not isinstance(law, GaussianMixture):
        fail("law", law, "a GaussianMixture")
    try:
        steps = [integer("steps", T, low=1) for T in steps]
    except TypeError:
        fail("steps", steps, "a sequence of schedule lengths")
    if not set(steps) <= set(BETA_T):
        fail("steps", steps, f"lengths that the released code lists: {sorted(BETA_T)}")
    snr_db = scalar("snr_db", snr_db, low=-300, high=300)
    samples = integer("samples", samples, low=2)

    # the observations, their conditional means and the MMSE
    sigma = float(sigma_from_snr_db(snr_db))
    rng = np.random.default_rng([integer("seed", seed, low=0), round(1000 * (snr_db + 1000))])
    x = law.sample(samples, rng)
    y = x + sigma * rng.standard_normal(x.shape)
    best, power = cme(law, y, sigma), float(np.trace(law.covariance))
    mmse = float(np.mean(posterior_variance(law, y, sigma)))

    def row(name, T, estimate, start=0, mismatch=0.0):
        error = distances.nmse(estimate, x, power)
        gap = distances.excess_error(estimate, best, mmse)
        return {
            "estimator": name, "steps": T, "snr_db": snr_db, "samples": samples, "nmse": error.value,
            "nmse_error": error.standard_error, "excess": gap.value, "excess_error": gap.standard_error,
            "start": start, "mismatch_db": mismatch,
        }  # fmt: skip

    # the baselines, then the chain on each schedule
    rows = [row("CME", 0, best), row("LS", 0, ls(y)), row("LMMSE", 0, lmmse(law, y, sigma))]
    for T in steps:
        grid = released_grid(T)
        found = match(grid, sigma)
        estimate = denoise(law, grid, y, sigma, method=method)
        rows.append(row(f"T = {T}", T, estimate, found.steps, found.mismatch_db))
    if refined:
        rows.append(row("limit", 0, limit(law, y, sigma, rtol=1e-6)))
    return rows
