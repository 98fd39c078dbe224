"""DDPM and the mu family."""

import math

import numpy as np

from .._core.typing import Array, ArrayLike, Law, LineLaw, Memory, NoiseSource, Options, Oracle
from .._core.validation import choice, fail, scalar
from ..schedules import Grid
from ._base import add_noise, checked_noise, column, flag, sampler
from ._line import Explicit, affine_in_score

__all__ = ["ddpm", "line", "update"]


def update(
    x: Array,
    i: int,
    grid: Grid,
    oracle: Oracle,
    noise: NoiseSource,
    memory: Memory,
    *,
    shrink: np.ndarray,
    spread: np.ndarray | None,
) -> tuple[Array, Memory]:
    """The step from level i to i + 1: ``shrink`` of the way is left, then noise of deviation ``spread``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle = SimpleNamespace(denoise=lambda i, x: 0 * x + 1.0)  # the answer is always 1
    >>> grid, options = Grid([1.0, 1.0], [2.0, 1.0]), {"shrink": np.array([0.25]), "spread": None}
    >>> update(np.array([[5.0]]), 0, grid, oracle, None, (), **options)
    (array([[2.]]), ())
    """
    clean = oracle.denoise(i, x)
    y = clean + column(shrink[i], x) * (x / column(grid.scale[i], x) - clean)
    if spread is not None and np.any(spread[i] != 0):
        y = add_noise(y, i, noise, spread[i])
    return column(grid.scale[i + 1], x) * y, memory


def line(start: LineLaw, end: LineLaw, g: float, *, variance: str = "small", last_noise: bool = False) -> Explicit:
    """``X = e^(g/2) (Y + (1 - e^-g) l'(Y)) + sqrt(c) z`` at mu = 1/2, l at the level before the step.

    The variance c is ``1 - e^-g`` for "large" and ``(1 - e^-g) sigma'^2 / sigma^2`` for "small".

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> start, end = (Level(ed.GaussianMixture(None, [[0.0]], 1.0), *level) for level in ((0.6, 0.8), (0.8, 0.6)))
    >>> step = line(start, end, g=2 * np.log(0.8 / 0.6))
    >>> step.mean(np.array([1.0]))[0].round(4), round(step.variance, 4)
    (array([0.75]), 0.2461)
    """
    noise = -math.expm1(-g)
    if variance == "zero" or (variance == "large" and end.sigma == 0 and not last_noise):
        noise = 0.0
    elif variance == "small":
        noise *= (end.sigma / start.sigma) ** 2
    return affine_in_score(start, math.expm1(g / 2), 2 * math.sinh(g / 2), noise)


@sampler(update, order=1, summary="ancestral sampling; mu family from DDIM (0) to DDPM (1/2)", line=line)
def ddpm(
    law: Law,
    grid: Grid,
    x: ArrayLike,
    *,
    noise: NoiseSource | None = None,
    mu: float = 0.5,
    variance: str = "small",
    last_noise: bool = False,
) -> Options:
    r"""Ancestral sampling, in the mu family that joins DDIM (mu = 0) and DDPM (mu = 1/2).

    With ``y = x / scale``, ``r = sigma / scale``, ``D = E[X | x_i]`` and ``r'`` defined by
    :math:`r_{i+1} = r_i^{\mu} r'^{\,1-\mu}`,

    .. math:: y_{i+1} = D_i + \frac{r'}{r_i}\,(y_i - D_i) + \sqrt{r_{i+1}^2 - r'^2}\; z_i .

    At mu = 1/2, ``r' = r_{i+1}^2 / r_i``: the mean is the posterior mean ``E[y_{i+1} | y_i, X = D_i]`` and the variance
    the posterior variance (beta-tilde).

    Parameters
    ----------
    law, grid, x
        As in :func:`ddim`.
    noise : noise source, e.g. ``Noise(seed)``
        Step i draws ``noise.normal(i, n, d)``. Not needed when mu = 0 or variance = "zero".
    mu : float in [0, 1)
    variance : {"small", "large", "zero"}
        "small": as above. "large" (mu = 1/2 only): the DDPM betas, in VP coordinates ``1 - alpha_bar_i / alpha_bar_{i+1}``,
        i.e. ``(r_i^2 - r_{i+1}^2) (1 + r_{i+1}^2) / (1 + r_i^2)`` in y. "zero": the mean alone, at mu = 1/2 the
        deterministic chain of conditional means of arXiv 2403.02957.
    last_noise : bool
        For "large" only: keep the noise of a step that ends at sigma = 0 (published code drops it).

    Yields
    ------
    array, shape (n, d)
        N + 1 states; one oracle call per step.

    Raises
    ------
    ValueError
        At the call, naming the argument.

    Notes
    -----
    Source: Ho, Jain, Abbeel 2020; the mu family and these coordinates: arXiv 2306.04848, App. A. Weak order 1. The variance
    choices differ at first order in the law: on a subspace of codimension m, ``E dist^2 = m sigma^2`` is invariant under
    "small" only. "zero" is not DDIM: DDIM shrinks by ``r_{i+1} / r_i``, the posterior mean by its square.
    Not :func:`euler_maruyama`, whose drift is linearised in the score.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, Noise, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.log_linear(5, 4.0, 0.1)
    >>> states = list(samplers.ddpm(law, grid, np.array([[2.0], [-3.0]]), noise=Noise(0)))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    mu = scalar("mu", mu, low=0.0, high=1.0, high_open=True)
    choice("variance", variance, ("small", "large", "zero"))
    if variance == "large" and mu != 0.5:
        fail("variance", variance, "'small' or 'zero' unless mu = 1/2")
    flag("last_noise", last_noise)
    shrink, spread = _coefficients(grid, mu, variance, last_noise)
    if spread is not None:
        checked_noise(noise)
    return {"shrink": shrink, "spread": spread}


def _coefficients(grid, mu, variance, last_noise):
    """``r' / r_i`` and the standard deviation of y_{i+1}, shapes (N,) or (N, n); None for no noise."""
    r, following = grid.noise_ratio[:-1], grid.noise_ratio[1:]
    ratio = following / r
    shrink = ratio ** (1.0 / (1.0 - mu))
    if variance == "zero" or mu == 0.0:
        return shrink, None
    if variance == "large":
        spread = np.sqrt((r - following) * (r + following) * (1.0 + following**2) / (1.0 + r**2))
        return shrink, spread if last_noise else np.where(following == 0, 0.0, spread)
    with np.errstate(divide="ignore"):
        return shrink, following * np.sqrt(-np.expm1(2.0 * mu / (1.0 - mu) * np.log(ratio)))
