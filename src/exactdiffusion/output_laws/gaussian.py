r"""Exact output law of every sampler on a Gaussian target, in any dimension, without sampling.

For X ~ N(mu, S) the denoiser is affine, so every sampler is an affine map of its start plus independent Gaussian noise,
and in the eigenbasis of S it acts on each direction alone. Per eigenvalue ``lam`` the deviation ``d_i = x_i - s_i mu``
(``s`` the scale) obeys

.. math:: d_i = m_i\, d_0 + k_i\, \mu + \mathcal N(0, q_i),

and the recursions below give ``(m_i, k_i, q_i)``. They are written from the papers' scalar formulas (arXiv 2306.04848 for
the sigma family; the reverse-SDE family as ``V <- a^2 V + c``), on purpose not from the samplers' code: the two are
compared in the tests to 1e-12, and a slip of an index or a factor in either shows. A rate test would not show it.

With ``r`` the noise ratio of the level, ``r'`` that of the next, ``v = s^2 lam + sigma^2`` and ``g = int beta dt``:

==========================  ============================================================  ==========================
sampler                     multiplier of ``d / s`` (sigma family) or of ``d`` (VP-SDE)    added variance
==========================  ============================================================  ==========================
ddim                        ``(lam + r r') / (lam + r^2)``                                 0
ddpm                        ``(lam + r t) / (lam + r^2)``, ``r' = r^mu t^(1-mu)``           ``r'^2 - t^2``
heun                        ``1 + (r'-r)/2 [f + f' (1 + (r'-r) f)]``, ``f = r/(lam+r^2)``   0
gradient_estimation         two-term recursion in ``f_i d_i``                              0
dpm_solver_pp               two-term recursion in ``lam / (lam + r_i^2) d_i``               0
probability_flow            ``1 + g/2 - g/(2 v)``                                          0
euler_maruyama              ``1 + g/2 - g/v``                                              ``g``
exponential_integrator      ``e^(g/2) - 2 (e^(g/2) - 1)/v``                                ``e^g - 1``
proximal_backward           ``1/D``, ``D = 1 - g/2 + g/v'`` (next level's v)               ``g/D^2``
proximal_hybrid             ``(1 + g/2)/D``, ``D = 1 + g/v'``                              ``g/D^2``
==========================  ============================================================  ==========================
"""

from typing import NamedTuple

import numpy as np

from .. import samplers
from .._core.arrays import to_numpy
from .._core.random import Noise
from .._core.validation import fail, in_range, real_array
from ..schedules import Grid, positive_scales

__all__ = ["RECURSIONS", "GaussianLaw", "gaussian"]

EPS = np.finfo(np.float64).eps


class GaussianLaw(NamedTuple):
    """Mean, shape (d,), and covariance, shape (d, d), or variances (d,); with a leading axis N + 1 for all steps."""

    mean: np.ndarray
    cov: np.ndarray


# ------------------------------------------------------------------- recursions in sigma: e = d / s, no mean term


def _sigma_family(grid, lam, multipliers):
    """(m, k, q) of d = s e from the pairs (multiplier of e_0, variance of e) of the levels 1..N."""
    zero = np.zeros_like(lam)
    for i, (gain, variance) in enumerate(multipliers, start=1):
        yield grid.scale[i] / grid.scale[0] * gain, zero, zero + grid.scale[i] ** 2 * variance


def _one_step(grid, lam, step):
    """Multipliers of a one-step scheme: ``step(r, r') -> (multiplier, variance)``."""
    r = grid.noise_ratio
    gain, variance = np.ones_like(lam), np.zeros_like(lam)
    for i in range(grid.N):
        a, c = step(r[i], r[i + 1])
        gain, variance = a * gain, a**2 * variance + c
        yield gain, variance


def _ddim(grid, lam):
    return _sigma_family(grid, lam, _one_step(grid, lam, lambda r, s: ((lam + r * s) / (lam + r**2), 0.0)))


def _ddpm(grid, lam, mu=0.5, variance="small", last_noise=False):
    def step(r, s):
        target = s if mu == 0 else 0.0 if s == 0 else np.exp((np.log(s) - mu * np.log(r)) / (1 - mu))
        if variance == "large":
            beta = -np.expm1(np.log1p(s**2) - np.log1p(r**2))
            noise = (1 + s**2) * beta if s > 0 or last_noise else 0.0
        elif variance == "zero" or mu == 0:
            noise = 0.0
        else:
            noise = (s - target) * (s + target)
        return (lam + r * target) / (lam + r**2), noise

    return _sigma_family(grid, lam, _one_step(grid, lam, step))


def _heun(grid, lam):
    def step(r, s):
        slope = r / (lam + r**2)
        if s == 0:
            return 1 - r * slope, 0.0
        return 1 + 0.5 * (s - r) * (slope + s / (lam + s**2) * (1 + (s - r) * slope)), 0.0

    return _sigma_family(grid, lam, _one_step(grid, lam, step))


def _gradient_estimation(grid, lam, gamma=2.0):
    r = grid.noise_ratio

    def multipliers():
        e, previous = np.ones_like(lam), None
        for i in range(grid.N):
            eps = r[i] / (lam + r[i] ** 2) * e
            weight = gamma
            if i == 0:
                weight, previous = 1.0, eps
            elif isinstance(gamma, str):
                last = r[i - 1] - r[i]
                weight = 1.0 if last == 0 else 1.0 + 0.5 * (r[i] - r[i + 1]) / last
            e = e - (r[i] - r[i + 1]) * (previous + weight * (eps - previous))
            previous = eps
            yield e, 0.0

    return _sigma_family(grid, lam, multipliers())


def _dpm_solver_pp(grid, lam, lower_order_final=None):
    r = grid.noise_ratio
    if lower_order_final is None:
        lower_order_final = grid.N < 10 or r[-1] == 0

    def multipliers():
        e, previous = np.ones_like(lam), None
        for i in range(grid.N):
            clean = lam / (lam + r[i] ** 2) * e
            mixed = clean
            if i > 0 and not (lower_order_final and i == grid.N - 1) and r[i - 1] > r[i]:
                mixed = clean + 0.5 * np.log(r[i] / r[i + 1]) / np.log(r[i - 1] / r[i]) * (clean - previous)
            e = r[i + 1] / r[i] * e + (r[i] - r[i + 1]) / r[i] * mixed
            previous = clean
            yield e, 0.0

    return _sigma_family(grid, lam, multipliers())


# -------------------------------------------------------------------------------------- recursions of the VP-SDE


def _sde_family(grid, lam, grow, score, noise, step="integral", last_noise=True, final="step"):
    """x' = grow(g) x + score(g) grad log p(x) + sqrt(noise(g)) z, with grad log p = -d / v."""
    if isinstance(step, str) and step == "integral":
        g = -np.diff(np.log1p(grid.noise_ratio**2))
    elif isinstance(step, str):
        g = -grid.rate[:-1] * np.diff(grid.time)
    else:
        g = np.asarray(step, dtype=np.float64)
    m, k, q = np.ones_like(lam), np.zeros_like(lam), np.zeros_like(lam)
    for i in range(grid.N):
        s, v = grid.scale[i], grid.scale[i] ** 2 * lam + grid.sigma[i] ** 2
        if final == "denoise" and i == grid.N - 1:
            a, drift, c = grid.scale[-1] * s * lam / v, 0.0, 0.0
        else:
            a, drift = grow(g[i]) - score(g[i]) / v, grow(g[i]) * s - grid.scale[i + 1]
            c = noise(g[i]) if last_noise or i < grid.N - 1 else 0.0
        m, k, q = a * m, a * k + drift, a**2 * q + c
        yield m, k, q


def _euler_maruyama(grid, lam, **options):
    return _sde_family(grid, lam, lambda g: 1 + g / 2, lambda g: g, lambda g: g, **options)


def _exponential_integrator(grid, lam, **options):
    return _sde_family(grid, lam, lambda g: np.exp(g / 2), lambda g: 2 * np.expm1(g / 2), lambda g: np.expm1(g), **options)


def _probability_flow(grid, lam, **options):
    return _sde_family(grid, lam, lambda g: 1 + g / 2, lambda g: g / 2, lambda g: 0.0, **options)


def _implicit_family(grid, lam, factor, divisor):
    """D d' = factor(g) d + (factor(g) s - E s') mu + sqrt(g) z, D = E + g/v' and E = divisor(g) (arXiv 2507.08956)."""
    m, k, q = np.ones_like(lam), np.zeros_like(lam), np.zeros_like(lam)
    for i in range(grid.N):
        g = np.log1p(grid.noise_ratio[i] ** 2) - np.log1p(grid.noise_ratio[i + 1] ** 2)
        v = grid.scale[i + 1] ** 2 * lam + grid.sigma[i + 1] ** 2
        # multiplied through by v: the prox of a law without spread (v = 0) is its mean
        D = divisor(g) * v + g
        a, drift = factor(g) * v / D, (factor(g) * grid.scale[i] - divisor(g) * grid.scale[i + 1]) * v / D
        m, k, q = a * m, a * k + drift, a**2 * q + g * (v / D) ** 2
        yield m, k, q


def _proximal_backward(grid, lam, **options):
    return _implicit_family(grid, lam, lambda g: 1.0, lambda g: 1 - g / 2)


def _proximal_hybrid(grid, lam, **options):
    return _implicit_family(grid, lam, lambda g: 1 + g / 2, lambda g: 1.0)


RECURSIONS = {
    "ddim": _ddim,
    "ddpm": _ddpm,
    "heun": _heun,
    "gradient_estimation": _gradient_estimation,
    "dpm_solver_pp": _dpm_solver_pp,
    "probability_flow": _probability_flow,
    "euler_maruyama": _euler_maruyama,
    "exponential_integrator": _exponential_integrator,
    "proximal_backward": _proximal_backward,
    "proximal_hybrid": _proximal_hybrid,
}
"""Sampler name -> ``recursion(grid, lam, **params)``, an iterator over (m, k, q) at levels 1..N."""


# ------------------------------------------------------------------------------------------------------ driver


@in_range
def gaussian(sampler, mean, cov, grid, start_mean=None, start_cov=None, *, all_steps=False, **params):
    """Law of the output of ``sampler`` on the target N(mean, cov), started at N(start_mean, start_cov).

    Parameters
    ----------
    sampler : str or callable
        A name of ``samplers.REGISTRY`` or the function itself.
    mean : array_like, shape (d,)
    cov : array_like, shape (d, d), or (d,) for a diagonal covariance (then everything is O(d N)), or a scalar
        Positive semidefinite; zero eigenvalues allowed.
    grid : Grid
        One schedule for all rows, in the coordinates the sampler needs.
    start_mean : array_like, shape (d,), optional
        Default: the exact mean ``scale_0 mean``.
    start_cov : array_like, shape (d, d), (d,) or scalar, optional
        Any covariance: it need not commute with ``cov``. Default: the exact ``scale_0^2 cov + sigma_0^2 I``.
    all_steps : bool
        Return the laws of all N + 1 states.
    **params
        The sampler's parameters (``gamma``, ``mu``, ``step``, ...); ``noise`` has no place here.

    Returns
    -------
    GaussianLaw
        ``mean`` (d,), ``cov`` (d, d), or variances (d,) when neither covariance was given as a matrix.

    Raises
    ------
    ValueError
        Naming the argument, for an unknown sampler, wrong shapes, covariances that are not symmetric positive
        semidefinite, and whatever the sampler itself refuses.

    Notes
    -----
    One eigendecomposition, then O(d) per step. Not an approximation: the only error is rounding.
    """
    name, info = _resolve(sampler)
    if "noise" in params:
        fail("noise", params["noise"], "no noise: the law of the output is computed")
    if not isinstance(grid, Grid) or grid.sigma.ndim != 1:
        fail("grid", grid, "a Grid with one schedule for all rows")
    positive_scales("grid", grid)
    # The sampler checks its own parameters at the call; the generator is never started.
    info.function(_NoOracle(), grid, np.zeros((1, 1)), **params, **({"noise": Noise(0)} if info.stochastic else {}))
    mean = to_numpy(real_array("mean", mean))
    if mean.ndim != 1 or mean.shape[0] == 0:
        fail(f"mean (shape {mean.shape})", mean, "shape (d,)")
    if not isinstance(all_steps, bool):
        fail("all_steps", all_steps, "True or False")
    cov = _covariance("cov", cov, mean.shape[0])
    start_mean = grid.scale[0] * mean if start_mean is None else to_numpy(real_array("start_mean", start_mean))
    if start_mean.shape != mean.shape:
        fail(f"start_mean (shape {start_mean.shape})", start_mean, f"shape {mean.shape}")
    start_cov = None if start_cov is None else _covariance("start_cov", start_cov, mean.shape[0])

    if cov.ndim == 2:
        lam, basis = np.linalg.eigh(cov)
        lam = np.maximum(lam, 0.0)  # checked: negative values here are rounding
    else:
        lam, basis = cov, None
    if start_cov is None:
        start = grid.scale[0] ** 2 * lam + grid.sigma[0] ** 2
    elif basis is None:
        start = start_cov
    else:
        start = basis.T @ (start_cov if start_cov.ndim == 2 else start_cov[:, np.newaxis] * np.eye(lam.shape[0])) @ basis
    centre = mean if basis is None else basis.T @ mean
    offset = start_mean - grid.scale[0] * mean
    offset = offset if basis is None else basis.T @ offset

    ones, zeros = np.ones_like(lam), np.zeros_like(lam)
    laws = []
    for i, (m, k, q) in enumerate([(ones, zeros, zeros), *RECURSIONS[name](grid, lam, **params)]):
        if not all_steps and i < grid.N:
            continue
        deviation = m * offset + k * centre
        if start.ndim == 1:
            spread = m**2 * start + q
            spread = spread if basis is None else (basis * spread) @ basis.T
        else:
            spread = m[:, np.newaxis] * start * m + np.diag(q)
            spread = spread if basis is None else basis @ spread @ basis.T
        if spread.ndim == 2:
            spread = 0.5 * (spread + spread.T)
        laws.append((grid.scale[i] * mean + (deviation if basis is None else basis @ deviation), spread))
    if all_steps:
        return GaussianLaw(np.stack([a for a, _ in laws]), np.stack([b for _, b in laws]))
    return GaussianLaw(*laws[-1])


class _NoOracle:
    """Stands in for a law where only the arguments are checked."""

    def noised(self, scale, sigma):
        return self

    def _never(self, *args, **kwargs):
        raise AssertionError("never called")

    denoise = prox = prox_local = _never


def _resolve(sampler):
    for name, info in samplers.REGISTRY.items():
        if sampler is info.function or (isinstance(sampler, str) and sampler == name):
            if name not in RECURSIONS:
                fail("sampler", name, "a sampler with an exact Gaussian recursion: " + ", ".join(RECURSIONS))
            return name, info
    return fail("sampler", sampler, "one of " + ", ".join(RECURSIONS) + " or its function")


def _covariance(name, value, d):
    """A symmetric positive semidefinite (d, d) matrix, or nonnegative variances (d,)."""
    cov = to_numpy(real_array(name, value))
    if cov.ndim == 0:
        cov = np.full(d, float(cov))
    if cov.shape not in ((d,), (d, d)):
        fail(f"{name} (shape {cov.shape})", value, f"shape ({d}, {d}), ({d},) or a scalar")
    if cov.ndim == 1:
        if (cov < 0).any():
            fail(name, value, "nonnegative variances")
        return cov
    size = np.max(np.abs(cov))
    if (np.abs(cov - cov.T) > 8 * EPS * size).any():
        fail(name, value, "a symmetric matrix")
    cov = 0.5 * (cov + cov.T)
    # eigvalsh is backward stable: a semidefinite matrix may show eigenvalues down to about -d eps |cov|.
    if np.linalg.eigvalsh(cov)[0] < -8 * EPS * d * size:
        fail(name, value, "a positive semidefinite matrix")
    return cov
