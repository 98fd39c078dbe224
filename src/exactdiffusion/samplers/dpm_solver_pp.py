"""DPM-Solver++(2M)."""

import numpy as np

from .._core.typing import Array, ArrayLike, Law, Memory, NoiseSource, Options, Oracle
from .._core.validation import fail
from ..schedules import Grid
from ._base import column, flag, sampler

__all__ = ["dpm_solver_pp", "update"]


def update(
    x: Array, i: int, grid: Grid, oracle: Oracle, noise: NoiseSource, memory: Memory, *, weights: np.ndarray
) -> tuple[Array, Memory]:
    """The step from level i to i + 1: DDIM towards an extrapolation of the last two answers, the last of which is kept.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle = SimpleNamespace(denoise=lambda i, x: 0 * x + 1.0)  # the answer is always 1
    >>> grid, weights = Grid([1.0, 1.0], [2.0, 1.0]), np.array([0.5])
    >>> update(np.array([[5.0]]), 0, grid, oracle, None, (np.array([[3.0]]),), weights=weights)  # before: 3
    (array([[2.5]]), (array([[1.]]),))
    """
    r = grid.noise_ratio
    clean = mixed = oracle.denoise(i, x)
    if memory and np.any(weights[i] != 0):
        (previous,) = memory
        mixed = clean + column(weights[i], x) * (clean - previous)
    shrink = column(r[i + 1] / r[i], x)
    return column(grid.scale[i + 1], x) * (mixed + shrink * (x / column(grid.scale[i], x) - mixed)), (clean,)


@sampler(update, order=2, summary="DPM-Solver++(2M), two-step in log sigma")
def dpm_solver_pp(law: Law, grid: Grid, x: ArrayLike, lower_order_final: bool | None = None) -> Options:
    r"""DPM-Solver++(2M): two-step extrapolation of the denoiser in ``lambda = log(scale / sigma)``.

    With ``h_i = lambda_{i+1} - lambda_i`` and ``D_i = E[X | x_i]``,

    .. math:: x_{i+1} = \frac{\sigma_{i+1}}{\sigma_i} x_i - s_{i+1}\,(e^{-h_i} - 1)\,\bar D_i, \qquad
        \bar D_i = \Big(1 + \frac{h_i}{2 h_{i-1}}\Big) D_i - \frac{h_i}{2 h_{i-1}} D_{i-1},

    the first step with ``D_bar_0 = D_0`` (DDIM). In ratio coordinates, with ``q = r_{i+1} / r_i``:
    ``y_{i+1} = q y_i + (1 - q) D_bar_i``.

    Parameters
    ----------
    law, grid, x
        As in :func:`ddim`.
    lower_order_final : bool or None
        Take the last step with ``D_bar = D``. None (default) does so when N < 10, as the authors' released code, or when
        the grid ends at 0, where ``h`` is infinite and the two-step formula has no meaning (then False is refused).

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
    Source: Lu et al. 2022 (DPM-Solver++), Algorithm 2. Order 2. Not DPM-Solver-2 (single step, noise prediction, two calls
    per step), not the SDE variant, and not :func:`gradient_estimation`, which extrapolates the noise prediction in r.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.log_linear(5, 4.0, 0.1)
    >>> states = list(samplers.dpm_solver_pp(law, grid, np.array([[2.0], [-3.0]])))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    return {"weights": _weights(grid, lower_order_final)}


def _weights(grid, lower_order_final):
    """``h_i / (2 h_{i-1})`` for steps i = 0..N-1 (0 in the first), shape (N,) or (N, n)."""
    r = grid.noise_ratio
    ends_at_zero = r[-1] == 0  # a bool, or one per row
    if lower_order_final is None:
        lower = (grid.N < 10) | ends_at_zero
    else:
        lower = flag("lower_order_final", lower_order_final)
        if not lower and np.any(ends_at_zero):
            fail("lower_order_final", lower_order_final, "True or None for a grid that ends at sigma = 0")
    with np.errstate(divide="ignore", over="ignore"):
        h = np.log(r[:-1] / r[1:])
        h = np.where(np.isfinite(h), h, np.log(r[:-1]) - np.log(r[1:]))  # the quotient left the floats, or r = 0
    h[-1] = np.where(lower, 0.0, h[-1])
    weights = np.zeros_like(h)
    # After a step of length zero both predictions are equal and the weight has no effect.
    np.divide(h[1:], 2.0 * h[:-1], out=weights[1:], where=h[:-1] > 0)
    return weights
