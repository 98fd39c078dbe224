"""Heun's method."""

import numpy as np

from .._core.typing import Array, ArrayLike, Law, Memory, NoiseSource, Oracle
from .._core.validation import fail
from ..schedules import Grid
from ._base import column, sampler

__all__ = ["heun", "update"]


def update(x: Array, i: int, grid: Grid, oracle: Oracle, noise: NoiseSource, memory: Memory) -> tuple[Array, Memory]:
    """The step from level i to i + 1: the trapezoidal rule, with a second call of the oracle at the predicted state.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle = SimpleNamespace(denoise=lambda i, x: 0 * x + 1.0)  # always 1: the flow is a straight line
    >>> update(np.array([[5.0]]), 0, Grid([1.0, 1.0], [2.0, 1.0]), oracle, None, ())
    (array([[3.]]), ())
    """
    scale, r = grid.scale, grid.noise_ratio
    y = x / column(scale[i], x)
    eps = (y - oracle.denoise(i, x)) / column(r[i], x)
    h = column(r[i + 1] - r[i], x)
    predicted = y + h * eps
    if np.all(r[i + 1] == 0):
        y = predicted
    else:
        # Rows that end at 0 beside rows that do not keep the predictor; 1 only avoids the division by 0.
        end = column(np.where(r[i + 1] == 0, 1.0, r[i + 1]), x)
        slope = (predicted - oracle.denoise(i + 1, column(scale[i + 1], x) * predicted)) / end
        half = column(np.where(r[i + 1] == 0, 0.0, 0.5), x)
        y = predicted + half * h * (slope - eps)
    return column(scale[i + 1], x) * y, memory


@sampler(update, order=2, per_step=2, last_step=1, summary="Heun in sigma (EDM), two calls per step")
def heun(law: Law, grid: Grid, x: ArrayLike) -> None:
    r"""Heun's second-order method in the noise ratio (deterministic EDM sampler).

    With ``y = x / scale``, ``r = sigma / scale`` and ``eps(y, r) = (y - E[X | x]) / r``,

    .. math:: \hat y = y_i + (r_{i+1} - r_i)\,\varepsilon(y_i, r_i), \qquad
        y_{i+1} = y_i + \tfrac12 (r_{i+1} - r_i)\,\big[\varepsilon(y_i, r_i) + \varepsilon(\hat y, r_{i+1})\big],

    and ``y_{i+1} = y_hat`` when ``r_{i+1} = 0``.

    Parameters
    ----------
    law, grid, x
        As in :func:`ddim`.

    Yields
    ------
    array, shape (n, d)
        N + 1 states; two oracle calls per step, one in a step that ends at 0: 2 N - 1 or 2 N in all.

    Raises
    ------
    ValueError
        At the call, naming the argument.

    Notes
    -----
    Source: Karras et al. 2022, Algorithm 1 with ``sigma(t) = t``, ``s(t) = 1`` and no churn. Order 2. Other names: explicit
    trapezoidal rule, improved Euler. Not the midpoint rule (DPM-Solver-2 evaluates at an intermediate sigma). Compare at
    equal oracle calls, not at equal N.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.log_linear(5, 4.0, 0.1)
    >>> states = list(samplers.heun(law, grid, np.array([[2.0], [-3.0]])))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    ratio = grid.noise_ratio
    if ((ratio > 0) & (ratio < 1e-150)).any():
        fail("grid", grid, "noise ratios of 0 or at least 1e-150: slopes divide by them")
