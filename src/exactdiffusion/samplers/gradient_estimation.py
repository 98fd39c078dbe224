"""Gradient estimation."""

import numpy as np

from .._core.typing import Array, ArrayLike, Law, Memory, NoiseSource, Options, Oracle
from .._core.validation import scalar
from ..schedules import Grid
from ._base import column, sampler

__all__ = ["gradient_estimation", "update"]


def update(
    x: Array, i: int, grid: Grid, oracle: Oracle, noise: NoiseSource, memory: Memory, *, gammas: np.ndarray
) -> tuple[Array, Memory]:
    """The step from level i to i + 1: DDIM along gamma times this noise plus 1 - gamma times the one before.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle, grid = SimpleNamespace(denoise=lambda i, x: 0 * x + 1.0), Grid([1.0, 1.0], [2.0, 1.0])
    >>> update(np.array([[5.0]]), 0, grid, oracle, None, (np.array([[1.0]]),), gammas=np.array([2.0]))
    (array([[2.]]), (array([[2.]]),))
    """
    r = grid.noise_ratio
    y = x / column(grid.scale[i], x)
    eps = mixed = (y - oracle.denoise(i, x)) / column(r[i], x)
    if memory:
        (previous,) = memory
        # gamma eps + (1 - gamma) previous: written with the small difference, large gammas do not multiply rounding
        mixed = eps + column(gammas[i] - 1.0, x) * (eps - previous)
    return column(grid.scale[i + 1], x) * (y + column(r[i + 1] - r[i], x) * mixed), (eps,)


@sampler(update, order=1, summary="DDIM with extrapolated noise prediction (gamma; order 2 with gamma='variable')")
def gradient_estimation(law: Law, grid: Grid, x: ArrayLike, gamma: float | str = 2.0) -> Options:
    r"""Gradient-estimation sampler: DDIM with an extrapolated noise prediction.

    With ``y = x / scale``, ``r = sigma / scale`` and ``eps_i = (y_i - E[X | x_i]) / r_i``,

    .. math:: \bar\varepsilon_i = \gamma\,\varepsilon_i + (1 - \gamma)\,\varepsilon_{i-1}, \qquad
        y_{i+1} = y_i + (r_{i+1} - r_i)\,\bar\varepsilon_i ,

    the first step plain (``eps_bar_0 = eps_0``). The memory is the raw ``eps``, not ``eps_bar``.

    Parameters
    ----------
    law, grid, x
        As in :func:`ddim`.
    gamma : float or "variable"
        Any real number (1 is DDIM, 2 the authors' choice), or the second-order choice
        ``gamma_i = 1 + h_i / (2 h_{i-1})``, ``h_i = r_i - r_{i+1}`` (variable-step Adams-Bashforth 2).

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
    Source: arXiv 2306.04848, Sec. 5 and Algorithm 2. Order: 1 for every constant gamma; gamma = 2 has a leading error equal
    and opposite to DDIM's on fine log-linear grids; order 2 for "variable" (gamma -> 1.5 as the steps become equal).
    A step to sigma = 0 ends at ``y - r eps_bar``, which unlike DDIM's ``D`` need not lie in the hull of the data.
    Other names: at gamma = "variable", AB2 in sigma (DEIS of order 1 in the polynomial basis; PNDM's two-step formula when
    the steps are equal). Not DPM-Solver++(2M), which extrapolates the denoiser in log r instead of the noise in r.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.log_linear(5, 4.0, 0.1)
    >>> states = list(samplers.gradient_estimation(law, grid, np.array([[2.0], [-3.0]])))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    if not (isinstance(gamma, str) and gamma == "variable"):
        gamma = scalar("gamma", gamma, low=-1e50, high=1e50)
    return {"gammas": _gammas(grid, gamma)}


def _gammas(grid, gamma):
    """gamma_i for steps i = 0..N-1 (1 in the first), shape (N,) or (N, n)."""
    h = -np.diff(grid.noise_ratio, axis=0)
    if gamma == "variable":
        previous = h[:-1]
        # After a step of length zero the two predictions are equal and gamma has no effect.
        tail = 1.0 + np.divide(h[1:], 2.0 * previous, out=np.zeros_like(previous), where=previous > 0)
    else:
        tail = np.full_like(h[1:], gamma)
    return np.concatenate([np.ones_like(h[:1]), tail])
