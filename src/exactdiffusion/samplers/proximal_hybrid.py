"""Hybrid scheme for the reverse VP-SDE: linear drift forward, score backward by proximal maps."""

import numpy as np

from .._core.typing import Array, ArrayLike, Calls, Law, LineLaw, Memory, NoiseSource, Options, Oracle
from ..schedules import Grid
from ._base import add_noise, column, prox_options, sampler
from ._line import Implicit

__all__ = ["line", "proximal_hybrid", "update"]


def update(
    x: Array,
    i: int,
    grid: Grid,
    oracle: Oracle,
    noise: NoiseSource,
    memory: Memory,
    *,
    g: np.ndarray,
    prox: str,
    calls: Calls | None,
) -> tuple[Array, Memory]:
    """The step from level i to i + 1: an explicit part and noise, then a proximal map of the law at its end.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle = SimpleNamespace(prox=lambda i, y, lam, *how: y / (1 + lam))  # N(0, 1)
    >>> noise = SimpleNamespace(normal=lambda i, n, d, like: np.zeros((n, d)))
    >>> how = {"g": np.array([0.5]), "prox": "global", "calls": None}
    >>> update(np.array([[3.0]]), 0, Grid([0.6, 0.8], [0.8, 0.6]), oracle, noise, (), **how)[0].round(4)
    array([[2.5]])
    """
    y = add_noise(column(1.0 + 0.5 * g[i], x) * x, i, noise, np.sqrt(g[i]))
    return oracle.prox(i + 1, y, g[i], prox, calls), memory


def line(start: LineLaw, end: LineLaw, g: float) -> Implicit:
    """``X - g l'(X) = (1 + g/2) Y + sqrt(g) z``, l at the level after the step.

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> end = Level(ed.GaussianMixture(None, [[0.0]], 1.0), 0.8, 0.6)
    >>> step = line(end, end, g=0.5)
    >>> step.forward(np.array([2.0]))[0].round(4), step.slope  # F(X) = (1 + g) X
    (array([3.]), 1.25)
    """
    return Implicit(
        lambda x: (x - g * end.score(x), 1 - g * end.curvature(x)),
        lambda x: x * x / 2 - g * end.log_density(x),
        g / 2,
        g,
    )


@sampler(
    update,
    order=1,
    coordinates="vp",
    oracle="prox",
    summary="reverse VP-SDE, linear drift forward, score backward by proximal maps",
    line=line,
)
def proximal_hybrid(
    law: Law, grid: Grid, x: ArrayLike, *, noise: NoiseSource | None = None, prox: str = "global", calls: Calls | None = None
) -> Options:
    r"""Proximal hybrid sampler: forward in the linear drift, backward in the score (PDA-hybrid, arXiv 2507.08956).

    .. math:: x_{i+1} = \mathrm{prox}_{-g_i \log p_{i+1}}\Big(\big(1 + \tfrac{g_i}{2}\big) x_i + \sqrt{g_i}\, z_i\Big),
              \qquad g_i = \int \beta\, dt

    Parameters
    ----------
    law, grid, x, noise, prox, calls
        As in :func:`proximal_backward`, without a limit on the steps.

    Yields
    ------
    array, shape (n, d)
        N + 1 states; one prox per step.

    Raises
    ------
    ValueError
        At the call, naming the argument.

    Notes
    -----
    The density is that of the next, cleaner level: ``x' = x_i + g [x_i/2 + grad log p_{i+1}(x')] + sqrt(g) z``. Weak
    order 1. Not :func:`proximal_backward`, whose step is ``lam = 2 g / (2 - g)`` and whose query is not the same.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, Noise, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(5, eps=1e-3)
    >>> states = list(samplers.proximal_hybrid(law, grid, np.array([[2.0], [-3.0]]), noise=Noise(0)))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    return prox_options(grid, noise, prox, calls)
