r"""Exact output law of every sampler on a Gaussian target, in any dimension, without sampling.

For X ~ N(mu, S) the denoiser, the score and the proximal map are affine, so every sampler is an affine map of its start
plus independent Gaussian noise, and in the eigenbasis of S it acts on each direction alone. With the deviation ``d_i`` of
the state from the run that starts at the mean of the start and receives no noise, and the memory ``h_i`` of the method (a
previous noise prediction, say),

.. math:: (d_{i+1}, h_{i+1}) = A_i\,(d_i, h_i) + b_i\, z_i .

``A_i`` and ``b_i`` are found by calling the sampler's own ``update`` on unit vectors of the state, of each component of the
memory and of the noise, all directions at once; the mean is the run itself. So this module has no formula of any sampler,
and a new sampler needs none here. It cannot tell whether an update is right: the tests compare it, to 1e-12, with recursions
and with the published formulas in 50 digits, which are written down without the samplers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh

from .. import samplers
from .._core.arrays import to_numpy
from .._core.typing import ArrayLike
from .._core.validation import fail, in_range, real_array
from ..samplers._base import column
from ..schedules import Grid, positive_scales

__all__ = ["GaussianLaw", "gaussian"]

EPS = np.finfo(np.float64).eps
#: part of the sizes in a step by which it may differ from the affine map found by probing (rounding: 1e-12)
AFFINE = 1e-6
#: where a step must be affine, in standard deviations from the mean: state, memory and noise are moved together
FAR = np.array([0.5, 4.0, -4.0, 8.0, -8.0, 30.0, -30.0])


class GaussianLaw(NamedTuple):
    """Mean, shape (d,), and covariance, shape (d, d), or variances (d,); with a leading axis N + 1 for all steps.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> law = gaussian("ddim", [0.0], [1.0], schedules.log_linear(4, final_zero=True), all_steps=True)
    >>> law.mean.shape, law.cov.shape
    ((5, 1), (5, 1))
    """

    mean: np.ndarray
    cov: np.ndarray


# ----------------------------------------------------------------------------------------------- probing an update


class _Oracle:
    """What an update asks of N(centre, diag(lam)); ``centre`` has one row per row of the state."""

    def __init__(self, grid, lam):
        self.grid, self.lam, self.centre = grid, lam, None

    def _level(self, i):
        """Scale and sigma of level i."""
        return float(self.grid.scale[i]), float(self.grid.sigma[i])

    def _law(self, scale, sigma):
        """Mean and variance of ``scale X + sigma Z``."""
        return scale * self.centre, scale * scale * self.lam + sigma * sigma

    def denoise(self, i, x):
        return self.denoise_at(*self._level(i), x)

    def denoise_at(self, scale, sigma, x):
        scale, sigma = column(scale, x), column(sigma, x)
        clean = np.equal(sigma, 0)  # one value, or one per row
        if np.all(clean):
            return x / scale
        mean, variance = self._law(scale, sigma)
        found = self.centre + scale * self.lam / (variance + clean) * (x - mean)
        return np.where(clean, x / np.where(clean, scale, 1.0), found) if np.any(clean) else found

    def score(self, i, x):
        return self.score_at(*self._level(i), x)

    def score_at(self, scale, sigma, x):
        mean, variance = self._law(column(scale, x), column(sigma, x))
        return (mean - x) / variance

    def prox(self, i, y, lam, kind="global", calls=None):
        if lam == 0:
            return y
        mean, variance = self._law(*self._level(i))
        return mean + variance / (variance + lam) * (y - mean)


class _OneStep:
    """The noise of one step: ``z``, wherever the step asks for its own."""

    def __init__(self):
        self.step, self.z, self.drawn = 0, None, False

    def normal(self, step, n, d, start=0, like=None):
        if step != self.step or start != 0 or (n, d) != self.z.shape:
            fail("sampler", f"noise.normal({step}, {n}, {d}) in step {self.step}", "noise.normal(i, n, d) alone in step i")
        self.drawn = True
        return self.z


def _deviations(info, grid, lam, centre, start, deviation, options):
    """(m, q, mean) at the levels 1..N per direction: ``d_i = m_i d_0 + N(0, q_i)`` around the mean.

    Rows of the state: zero; a unit vector of the state, of each component of the memory and of the noise; a run from a unit
    start without noise (which is m: its rounding is that of the sampler); rows near and far from the mean, a run from a
    random start with noise (these tell whether the step is affine at all), and the run of the mean. The rows after the unit
    run know the mean of the law, in those before it is zero.
    """
    d, rng = len(lam), np.random.default_rng(0)
    oracle, noise = _Oracle(grid, lam), _OneStep()
    runs = np.stack([np.ones(d), start + deviation * rng.standard_normal(d), start])[np.newaxis]
    held, spread = [], np.zeros((1, 1, d))
    for i in range(grid.N):
        # rows of the state, of each component of the memory, of the law's mean and of the noise
        size = len(runs)
        known, at = slice(size + 3, None), [size + 2, -2, -1]
        if len(held) != size:  # the first step, and the second of a method with a memory
            # away from the mean: memory and noise on the side of the state, and where there are such, on the other
            other = info.stochastic or size > 1
            far, side = (np.append(FAR, sign * FAR) if other else FAR for sign in (1, -1))
            *held, oracle.centre, noise.z = rows = np.zeros((size + 2, size + 5 + len(far), d))
            oracle.centre[known] = centre
            noise.z[size + 1] = 1.0
            for j in range(size):
                held[j][1 + j] = 1.0
            noise.z[known][:-2] = side[:, np.newaxis]
        rows[:size, at] = runs
        reach = np.sqrt((runs[:, 0] * deviation) ** 2 + np.diagonal(spread).T)
        for j in range(size):
            held[j][known][:-2] = runs[j, 2] + (far if j == 0 else side)[:, np.newaxis] * reach[j]
        noise.step, noise.z[-2] = i, rng.standard_normal(d)

        # one step of all rows
        state, memory = info.update(held[0], i, grid, oracle, noise, tuple(held[1:]), **options)
        if not (isinstance(memory, tuple) and all(np.shape(a) == held[0].shape for a in (state, *memory))):
            fail("sampler", info.name, "an update that returns (state, memory), memory a tuple of arrays like the state")
        new = np.array([state, *memory]) if memory else state[np.newaxis]
        base = new[:, :1]
        A, b = new[:, 1 : size + 1] - base, new[:, size + 1] - base[:, 0]
        _affine(info, i, grid, A, b, rows[:size, known], new[:, known], noise.z[known])

        runs = new[:, at]
        runs[:, 0] -= base[:, 0]
        if noise.drawn:
            spread = np.sum(A[:, np.newaxis, :, np.newaxis] * (A[:, np.newaxis] * spread), axis=(2, 3))
            spread += b[:, np.newaxis] * b
        yield runs[0, 0], spread[0, 0], runs[0, 2]


def _affine(info, i, grid, A, b, before, after, z):
    """ValueError where step i is not affine: rows before and after it, the last of which is the mean, against (A, b)."""
    error, sizes = after - after[:, -1:] - b[:, np.newaxis] * z, np.abs(after) + np.abs(after[:, -1:])
    sizes += np.abs(b[:, np.newaxis] * z)
    for j, moved in enumerate(before - before[:, -1:]):
        error -= A[:, j, np.newaxis] * moved
        sizes += np.abs(A[:, j, np.newaxis] * moved)
    states = np.abs(before[0]) + np.abs(before[0, -1])
    sizes[0] += grid.scale[i + 1] / grid.scale[i] * states
    tolerance = AFFINE * sizes
    if grid.sigma[i] > 0:  # a noise prediction, (x - scale D) / sigma, has the rounding of x / sigma
        tolerance[1:] += 1e3 * EPS / grid.sigma[i] * states
    if not (np.abs(error) <= tolerance).all():
        here = f"step {i} is not, to {AFFINE:g} of the numbers in it"
        fail("sampler", info.name, f"an update that is affine, each direction alone, on a Gaussian ({here})")


# ------------------------------------------------------------------------------------------------------ driver


@in_range
def gaussian(
    sampler: str | Callable | samplers.SamplerInfo,
    mean: ArrayLike,
    cov: ArrayLike,
    grid: Grid,
    start_mean: ArrayLike | None = None,
    start_cov: ArrayLike | None = None,
    *,
    all_steps: bool = False,
    **params: Any,
) -> GaussianLaw:
    """Law of the output of ``sampler`` on the target N(mean, cov), started at N(start_mean, start_cov).

    Parameters
    ----------
    sampler : str, callable or SamplerInfo
        A name of ``samplers.REGISTRY``, the function itself, or any sampler made by the decorator ``samplers.sampler``.
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
        semidefinite, whatever the sampler itself refuses, an update that is not affine on a Gaussian (one that clips, say;
        every step is probed near the mean and at 4, 8 and 30 standard deviations of state, memory and noise, to 1e-6 of the
        numbers in it, so that what happens only beyond 30, or is smaller, is not seen), and one that draws other noise than
        ``noise.normal(i, n, d)`` in step i.

    Notes
    -----
    One eigendecomposition, then O(d) per step. Not an approximation: the only error is rounding, that of the update itself,
    magnified where it subtracts nearly equal numbers. On EDM grids of 18 steps the variances of `heun` have a relative error
    of 2e-15 for targets of variance 1e-4 to 1e5 (60 digits, mpmath), and up to 5e-12 (`gradient_estimation`) at 1e-8, where
    the last step cancels. Where one step lowers the noise level by many orders, the slope of `heun` divides a rounded
    difference by a small level: 6.7e-9 at target N(0, 1) and levels (1, 1e-8), 6e-6 at N(0, 1e-12) and levels (1e4, 1e-5).
    A step that loses more than 1e-6 of the numbers in it is refused, like one that is not affine.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> grid = schedules.Grid([1.0, 1.0], [1.0, 0.0])
    >>> law = gaussian("ddim", [2.0], [1.0], grid)  # one step to E[X | x], of variance 1/2
    >>> round(float(law.mean[0]), 12), round(float(law.cov[0]), 12)
    (2.0, 0.5)
    """
    info = _resolve(sampler)
    if "noise" in params:
        fail("noise", params["noise"], "no noise: the law of the output is computed")
    if not isinstance(grid, Grid) or grid.sigma.ndim != 1:
        fail("grid", grid, "a Grid with one schedule for all rows")
    positive_scales("grid", grid)

    # the arguments
    options = info.options(grid, **params)
    mean = to_numpy(real_array("mean", mean))
    if mean.ndim != 1 or mean.shape[0] == 0:
        fail(f"mean (shape {mean.shape})", mean, "shape (d,)")
    if not isinstance(all_steps, bool):
        fail("all_steps", all_steps, "True or False")
    lam, basis = _spectrum("cov", *_covariance("cov", cov, mean.shape[0]))
    start_mean = grid.scale[0] * mean if start_mean is None else to_numpy(real_array("start_mean", start_mean))
    if start_mean.shape != mean.shape:
        fail(f"start_mean (shape {start_mean.shape})", start_mean, f"shape {mean.shape}")
    start: Any = None
    factor: Any = None
    if start_cov is not None:
        start, slack = _covariance("start_cov", start_cov, mean.shape[0])
        factor = _factor("start_cov", start, slack)

    # the start in the eigenbasis of the target: variances, and a factor F of a covariance F F^T that is not diagonal there
    if start is None:
        variance = grid.scale[0] ** 2 * lam + grid.sigma[0] ** 2
    elif basis is None:
        variance = start if start.ndim == 1 else np.maximum(np.diagonal(start), 0.0)
    else:
        factor = basis.T * factor if factor.ndim == 1 else basis.T @ factor
        variance = np.einsum("ij,ij->i", factor, factor)
    centre = mean if basis is None else basis.T @ mean
    offset = start_mean - grid.scale[0] * mean
    offset = offset if basis is None else basis.T @ offset

    # the affine maps of all steps, direction by direction
    first = grid.scale[0] * centre + offset
    steps = _deviations(info, grid, lam, centre, first, np.sqrt(variance), options)

    # the laws, back in the axes of the target
    laws = []
    for i, (m, q, at) in enumerate([(np.ones_like(lam), np.zeros_like(lam), first), *steps]):
        if not all_steps and i < grid.N:
            continue
        if basis is None and (start is None or start.ndim == 1):
            spread = m**2 * variance + q
        elif basis is None:
            spread = m[:, np.newaxis] * start * m + np.diag(q)
            spread = 0.5 * (spread + spread.T)
        else:  # a root times its transpose is half of a product, and symmetric
            root = basis * np.sqrt(m**2 * variance + q) if factor is None else basis @ (m[:, np.newaxis] * factor)
            if factor is not None and q.any():
                root = np.hstack([root, basis * np.sqrt(np.maximum(q, 0.0))])
            spread = root @ root.T
        shift = at - grid.scale[i] * centre
        laws.append((grid.scale[i] * mean + (shift if basis is None else basis @ shift), spread))
    if all_steps:
        return GaussianLaw(np.stack([a for a, _ in laws]), np.stack([b for _, b in laws]))
    return GaussianLaw(*laws[-1])


def _resolve(sampler):
    """The :class:`~exactdiffusion.samplers.SamplerInfo`, with an update, of whatever names a sampler."""
    if isinstance(sampler, samplers.SamplerInfo):
        found = sampler
    elif isinstance(sampler, str):
        found = samplers.REGISTRY.get(sampler)
    else:
        found = getattr(sampler, "info", None)
        if not isinstance(found, samplers.SamplerInfo):
            found = next((info for info in samplers.REGISTRY.values() if info.function is sampler), None)
    if found is None or found.update is None:
        names = ", ".join(name for name, info in samplers.REGISTRY.items() if info.update is not None)
        fail("sampler", sampler, f"one of {names} or its function, or a sampler made by samplers.sampler (it has an update)")
    return found


def _covariance(name, value, d):
    """A symmetric (d, d) matrix, or nonnegative variances (d,); how far below 0 rounding may bring its eigenvalues."""
    cov = to_numpy(real_array(name, value))
    if cov.ndim == 0:
        cov = np.full(d, float(cov))
    if cov.shape not in ((d,), (d, d)):
        fail(f"{name} (shape {cov.shape})", value, f"shape ({d}, {d}), ({d},) or a scalar")
    if cov.ndim == 1:
        if (cov < 0).any():
            fail(name, value, "nonnegative variances")
        return cov, 0.0
    # rows against columns in strips of 64: a transpose of the whole would leave the cache
    size, strips = max(np.max(cov), -np.min(cov)), [slice(i, i + 64) for i in range(0, d, 64)]
    apart = max(np.max(np.abs(cov[c, : c.stop] - cov[: c.stop, c].T)) for c in strips)
    if apart > 8 * EPS * size:
        fail(name, value, "a symmetric matrix")
    if apart > 0:
        cov = 0.5 * (cov + cov.T)
    return cov, 8 * EPS * d * size


def _spectrum(name, cov, slack):
    """Eigenvalues (d,) >= 0 and eigenvectors (d, d) of a covariance; variances have no eigenvectors, None."""
    if cov.ndim == 1:
        return cov, None
    # LAPACK wants columns: the transpose of a symmetric matrix is copied as it lies, where NumPy turns it twice
    lam, basis = eigh(cov.T, driver="evd", check_finite=False)
    # Eigenvalues are backward stable: a semidefinite matrix may show them down to about -d eps |cov|.
    if lam[0] < -slack:
        fail(name, cov, "a positive semidefinite matrix")
    return np.maximum(lam, 0.0), basis


def _factor(name, cov, slack):
    """F (d, d) with ``F F^T = cov``; standard deviations (d,) of variances."""
    if cov.ndim == 1:
        return np.sqrt(cov)
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:  # singular to rounding, or no covariance
        lam, basis = _spectrum(name, cov, slack)
        return basis * np.sqrt(lam)
