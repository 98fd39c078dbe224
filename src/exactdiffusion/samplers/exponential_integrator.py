"""Exponential integrator for the reverse VP-SDE."""

import math

import numpy as np

from .._core.typing import Array, ArrayLike, Law, LineLaw, Memory, NoiseSource, Options, Oracle
from ..schedules import Grid
from ._base import add_noise, column, denoised, denoises, reverse_sde, sampler
from ._line import Explicit, affine_in_score

__all__ = ["exponential_integrator", "line", "update"]


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
    """The step from level i to i + 1: ``x + (e^(g/2) - 1) (x + 2 score) + sqrt(e^g - 1) z``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle, grid = SimpleNamespace(score=lambda i, x: -x), Grid([0.6, 0.8], [0.8, 0.6])  # N(0, 1)
    >>> g = np.array([2 * np.log(1.25)])
    >>> update(np.array([[2.0]]), 0, grid, oracle, None, (), g=g, noisy=[False], final="step")[0].round(4)
    array([[1.5]])
    """
    if denoises(i, grid, final):
        return denoised(x, i, grid, oracle), memory
    x = x + column(np.expm1(0.5 * g[i]), x) * (x + 2.0 * oracle.score(i, x))
    return (add_noise(x, i, noise, np.sqrt(np.expm1(g[i]))) if noisy[i] else x), memory


def line(start: LineLaw, end: LineLaw, g: float) -> Explicit:
    """``X = e^(g/2) Y + 2 (e^(g/2) - 1) l'(Y) + sqrt(e^g - 1) z``, l at the level before the step.

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> start = Level(ed.GaussianMixture(None, [[0.0]], 1.0), 0.6, 0.8)
    >>> step = line(start, start, g=2 * np.log(1.25))
    >>> step.mean(np.array([2.0]))[0].round(4), round(step.variance, 4)
    (array([1.5]), 0.5625)
    """
    return affine_in_score(start, math.expm1(g / 2), 2 * math.expm1(g / 2), math.expm1(g))


@sampler(update, order=1, coordinates="vp", summary="reverse VP-SDE with frozen score, linear part exact", line=line)
def exponential_integrator(
    law: Law,
    grid: Grid,
    x: ArrayLike,
    *,
    noise: NoiseSource | None = None,
    step: str | ArrayLike = "integral",
    last_noise: bool = True,
    final: str = "step",
) -> Options:
    r"""Exponential integrator for the reverse VP-SDE: the score is frozen over a step, the linear part is solved exactly.

    .. math:: x_{i+1} = e^{g_i/2} x_i + 2\,(e^{g_i/2} - 1)\,\nabla \log p_{t_i}(x_i) + \sqrt{e^{g_i} - 1}\; z_i

    Parameters
    ----------
    law, grid, x, noise, step, last_noise, final
        As in :func:`euler_maruyama`.

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
    Source: the scheme analysed in Chen et al. 2023 (arXiv 2209.11215; 2211.01916 with early stopping). Weak order 1: on a
    Gaussian target the variance is too large by ``g / 2`` and the mean is exact at first order. Not DDPM ancestral sampling,
    where the denoiser (not the score) is frozen, and not the DEIS/DPM family, which are exponential integrators of the
    probability-flow ODE.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, Noise, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(5, eps=1e-3)
    >>> states = list(samplers.exponential_integrator(law, grid, np.array([[2.0], [-3.0]]), noise=Noise(0)))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    return reverse_sde(grid, noise, step, last_noise, final)
