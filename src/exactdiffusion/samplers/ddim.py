"""DDIM."""

import numpy as np

from .._core.typing import Array, ArrayLike, Law, Memory, NoiseSource, Oracle
from ..schedules import Grid
from ._base import column, sampler

__all__ = ["ddim", "update"]


def update(x: Array, i: int, grid: Grid, oracle: Oracle, noise: NoiseSource, memory: Memory) -> tuple[Array, Memory]:
    """The step from level i to i + 1: towards the denoiser's answer, as far as the noise falls.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle = SimpleNamespace(denoise=lambda i, x: 0 * x + 1.0)  # the answer is always 1
    >>> update(np.array([[5.0]]), 0, Grid([1.0, 1.0], [2.0, 1.0]), oracle, None, ())
    (array([[3.]]), ())
    """
    scale, r = grid.scale, grid.noise_ratio
    clean = oracle.denoise(i, x)
    if i == 0 and np.any(scale[0] == 0):  # y is infinite: the same step in x
        sigma = grid.sigma
        return column(scale[1], x) * clean + column(sigma[1] / sigma[0], x) * (x - column(scale[0], x) * clean), memory
    shrink = column(r[i + 1] / r[i], x)
    return column(scale[i + 1], x) * (clean + shrink * (x / column(scale[i], x) - clean)), memory


@sampler(update, order=1, pure_noise=True, summary="Euler in sigma, deterministic")
def ddim(law: Law, grid: Grid, x: ArrayLike) -> None:
    r"""DDIM (deterministic): Euler in the noise ratio ``r = sigma / scale``.

    With ``y = x / scale`` and ``D = E[X | x_i]``,

    .. math:: y_{i+1} = y_i + (r_{i+1} - r_i)\,\varepsilon_i, \qquad \varepsilon_i = \frac{y_i - D_i}{r_i},
        \qquad\text{i.e.}\qquad y_{i+1} = D_i + \frac{r_{i+1}}{r_i}\,(y_i - D_i).

    Parameters
    ----------
    law : oracle with ``noised(scale, sigma).denoise(x)``
    grid : Grid
        N + 1 levels, any coordinates, per-row levels allowed; the last sigma may be 0 (then the last state is
        ``scale_N D``), and the first scale (then the first step is ``scale_1 D + (sigma_1 / sigma_0) x``).
    x : array, shape (n, d)
        Start, in grid coordinates (``scale_0 X + sigma_0 Z``).

    Yields
    ------
    array, shape (n, d)
        N + 1 states, the first is ``x``. One oracle call per step.

    Raises
    ------
    ValueError
        At the call (not at the first state), naming the argument.

    Notes
    -----
    Source: Song, Meng, Ermon 2021 with eta = 0; in these coordinates arXiv 2306.04848, Sec. 2 and App. A, where it is
    gradient descent on half the squared distance with relative steps ``grid.beta``. Order 1. Other names: Euler method in
    sigma, DPM-Solver-1, DPM-Solver++(1). Not the Euler step of the probability-flow ODE in VP time
    (:func:`probability_flow`): same ODE, another variable.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.log_linear(5, 4.0, 0.1)
    >>> states = list(samplers.ddim(law, grid, np.array([[2.0], [-3.0]])))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
