"""Euler for the VP probability-flow ODE."""

import numpy as np

from .._core.typing import Array, ArrayLike, Law, LineLaw, Memory, NoiseSource, Options, Oracle
from ..schedules import Grid
from ._base import column, denoised, denoises, final_rule, sampler, step_sizes
from ._line import Explicit, affine_in_score

__all__ = ["line", "probability_flow", "update"]


def update(
    x: Array, i: int, grid: Grid, oracle: Oracle, noise: NoiseSource, memory: Memory, *, g: np.ndarray, final: str
) -> tuple[Array, Memory]:
    """The step from level i to i + 1: ``x + (g/2) (x + score)``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle, grid = SimpleNamespace(score=lambda i, x: -x), Grid([0.6, 0.8], [0.8, 0.6])  # N(0, 1) stays as it is
    >>> update(np.array([[2.0]]), 0, grid, oracle, None, (), g=np.array([0.5]), final="step")
    (array([[2.]]), ())
    """
    if denoises(i, grid, final):
        return denoised(x, i, grid, oracle), memory
    return x + column(0.5 * g[i], x) * (x + oracle.score(i, x)), memory


def line(start: LineLaw, end: LineLaw, g: float) -> Explicit:
    """``X = Y + (g/2) (Y + l'(Y))``, l at the level before the step.

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> start = Level(ed.GaussianMixture(None, [[0.0]], 1.0), 0.6, 0.8)
    >>> step = line(start, start, g=0.5)
    >>> step.mean(np.array([2.0]))[0].round(4), step.variance
    (array([2.]), 0.0)
    """
    return affine_in_score(start, g / 2, g / 2, 0.0)


@sampler(update, order=1, coordinates="vp", summary="Euler for the VP probability-flow ODE", line=line)
def probability_flow(
    law: Law, grid: Grid, x: ArrayLike, *, step: str | ArrayLike = "integral", final: str = "step"
) -> Options:
    r"""Euler's method for the probability-flow ODE of the VP-SDE, in x.

    .. math:: x_{i+1} = x_i + \frac{g_i}{2}\,\big[x_i + \nabla \log p_{t_i}(x_i)\big]

    Parameters
    ----------
    law : oracle
    grid : Grid
        VP coordinates; the last sigma may be 0.
    x : array, shape (n, d)
    step, final
        As in :func:`euler_maruyama`. The PF-ODE curve of the low-dimensional experiment of arXiv 2507.08956 is
        ``vp_linear(N, eps=1e-3, final_zero=True)`` with ``step="right"``.

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
    Source: Song et al. 2021, Eq. (13) with Euler steps; time changed so that ``g_i = int beta dt``. Order 1. The score comes
    from the denoiser by Tweedie's formula. Not :func:`ddim`: DDIM solves the same ODE by Euler in sigma after division by
    the scale, which is exact for the linear part; the two differ at first order.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(5, eps=1e-3)
    >>> states = list(samplers.probability_flow(law, grid, np.array([[2.0], [-3.0]])))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    return {"g": step_sizes(grid, step), "final": final_rule(grid, final)}
