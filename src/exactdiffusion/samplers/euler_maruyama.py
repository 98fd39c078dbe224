"""Euler-Maruyama for the reverse VP-SDE."""

import numpy as np

from .._core.typing import Array, ArrayLike, Law, LineLaw, Memory, NoiseSource, Options, Oracle
from ..schedules import Grid
from ._base import add_noise, column, denoised, denoises, reverse_sde, sampler
from ._line import Explicit, affine_in_score

__all__ = ["euler_maruyama", "line", "update"]


def update(
    x: Array,
    i: int,
    grid: Grid,
    oracle: Oracle,
    noise: NoiseSource,
    memory: Memory,
    *,
    g: np.ndarray,
    noisy: np.ndarray,
    final: str,
) -> tuple[Array, Memory]:
    """The step from level i to i + 1: ``x + g (x/2 + score) + sqrt(g) z``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle, grid = SimpleNamespace(score=lambda i, x: -x), Grid([0.6, 0.8], [0.8, 0.6])  # N(0, 1)
    >>> update(np.array([[2.0]]), 0, grid, oracle, None, (), g=np.array([0.5]), noisy=[False], final="step")
    (array([[1.5]]), ())
    """
    if denoises(i, grid, final):
        return denoised(x, i, grid, oracle), memory
    x = x + column(g[i], x) * (0.5 * x + oracle.score(i, x))
    return (add_noise(x, i, noise, np.sqrt(g[i])) if noisy[i] else x), memory


def line(start: LineLaw, end: LineLaw, g: float) -> Explicit:
    """``X = Y + g (Y/2 + l'(Y)) + sqrt(g) z``, l at the level before the step.

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> start = Level(ed.GaussianMixture(None, [[0.0]], 1.0), 0.6, 0.8)
    >>> step = line(start, start, g=0.5)
    >>> step.mean(np.array([2.0])), step.variance
    ((array([1.5]), array([0.75])), 0.5)
    """
    return affine_in_score(start, g / 2, g, g)


@sampler(update, order=1, coordinates="vp", summary="Euler-Maruyama for the reverse VP-SDE", line=line)
def euler_maruyama(
    law: Law,
    grid: Grid,
    x: ArrayLike,
    *,
    noise: NoiseSource | None = None,
    step: str | ArrayLike = "integral",
    last_noise: bool = True,
    final: str = "step",
) -> Options:
    r"""Euler-Maruyama for the reverse-time VP-SDE (the score-based sampler of arXiv 2507.08956).

    .. math:: x_{i+1} = x_i + g_i\,\Big[\frac{x_i}{2} + \nabla \log p_{t_i}(x_i)\Big] + \sqrt{g_i}\; z_i

    Parameters
    ----------
    law : oracle
    grid : Grid
        VP coordinates; the last sigma may be 0.
    x : array, shape (n, d)
    noise : noise source, e.g. ``Noise(seed)`` or ``BrownianPath(...).increments(grid)``
        Step i draws ``noise.normal(i, n, d)``.
    step : "integral", "right" or array of shape (N,)
        ``g_i = int beta dt = grid.g`` (default); "right": ``beta(t_i) (t_i - t_{i+1})``, the end point rule of the released
        code, for grids that carry time; or the steps themselves.
    last_noise : bool
        Add noise in the last step (the canonical scheme, default).
    final : {"step", "denoise"}
        "denoise" replaces the last step by ``scale_N E[X | x_{N-1}]`` (no noise); the grid must end at sigma = 0.

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
    Source: reverse SDE, Song et al. 2021, Eq. (6); the step as in arXiv 2507.08956. Weak order 1, and the KL divergence of
    the output falls as ``N^{-2}``. The score comes from the denoiser by Tweedie's formula.

    The "denoise at eps" curves of arXiv 2507.08956 are not ``final="denoise"`` but
    ``vp_linear(N, eps=eps, final_zero=True)`` with ``step="right", last_noise=False``: their last step is a mean-only
    Euler step of length ``beta(eps) eps``, which over-relaxes the denoiser (factor ``beta(eps) eps / (1 - alpha_bar(eps))``,
    1.09 at eps = 1e-3). Not :func:`ddpm` (posterior mean and variance) and not :func:`exponential_integrator` (linear
    part exact): all three share the limit but not the first-order error.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, Noise, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(5, eps=1e-3)
    >>> states = list(samplers.euler_maruyama(law, grid, np.array([[2.0], [-3.0]]), noise=Noise(0)))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    return reverse_sde(grid, noise, step, last_noise, final)
