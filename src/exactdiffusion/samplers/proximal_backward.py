"""Backward (implicit) Euler for the reverse VP-SDE, by proximal maps."""

import numpy as np

from .._core.typing import Array, ArrayLike, Calls, Law, LineLaw, Memory, NoiseSource, Options, Oracle
from .._core.validation import fail
from ..schedules import Grid
from ._base import add_noise, column, prox_options, sampler
from ._line import Implicit

__all__ = ["line", "proximal_backward", "update"]


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
    """The step from level i to i + 1: noise, then a proximal map of the law at its end.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> oracle = SimpleNamespace(prox=lambda i, y, lam, *how: y / (1 + lam))  # N(0, 1)
    >>> noise = SimpleNamespace(normal=lambda i, n, d, like: np.zeros((n, d)))
    >>> how = {"g": np.array([0.5]), "prox": "global", "calls": None}
    >>> update(np.array([[2.5]]), 0, Grid([0.6, 0.8], [0.8, 0.6]), oracle, noise, (), **how)[0].round(4)
    array([[2.]])
    """
    y = column(2.0 / (2.0 - g[i]), x) * add_noise(x, i, noise, np.sqrt(g[i]))
    return oracle.prox(i + 1, y, 2.0 * g[i] / (2.0 - g[i]), prox, calls), memory


def line(start: LineLaw, end: LineLaw, g: float) -> Implicit:
    """``(1 - g/2) X - g l'(X) = Y + sqrt(g) z``, l at the level after the step; g < 2.

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> end = Level(ed.GaussianMixture(None, [[0.0]], 1.0), 0.8, 0.6)
    >>> step = line(end, end, g=0.5)
    >>> step.forward(np.array([2.0]))[0].round(4), step.slope  # F(X) = (1 + g/2) X
    (array([2.5]), 1.0)
    """
    if g >= 2:
        fail("grid", g, "steps g < 2 for the backward scheme (beyond it the proximal parameter 2g/(2-g) is not positive)")
    return Implicit(
        lambda x: (x - (g / 2 * x + g * end.score(x)), 1 - g / 2 - g * end.curvature(x)),
        lambda x: (1 - g / 2) * x * x / 2 - g * end.log_density(x),
        0.0,
        g,
    )


@sampler(
    update,
    order=1,
    coordinates="vp",
    oracle="prox",
    summary="backward Euler for the reverse VP-SDE by proximal maps; steps g < 2",
    line=line,
)
def proximal_backward(
    law: Law, grid: Grid, x: ArrayLike, *, noise: NoiseSource | None = None, prox: str = "global", calls: Calls | None = None
) -> Options:
    r"""Proximal backward sampler: backward discretisation of drift and score (PDA, arXiv 2507.08956).

    .. math:: x_{i+1} = \mathrm{prox}_{-\lambda_i \log p_{i+1}}\Big(\frac{2}{2 - g_i}\big(x_i + \sqrt{g_i}\, z_i\big)\Big),
              \qquad \lambda_i = \frac{2 g_i}{2 - g_i},\quad g_i = \int \beta\, dt

    Parameters
    ----------
    law : law with ``noised(scale, sigma).prox(y, lam)`` (and ``prox_local`` for ``prox="local"``)
    grid : Grid
        VP coordinates, every ``g_i < 2``; the last sigma may be 0 (the last prox is then the Laguerre cell of the atoms).
    x : array, shape (n, d)
    noise : noise source
        Step i draws ``noise.normal(i, n, d)``, before the prox, in the last step too.
    prox : {"global", "local"}
        "local" takes the stationary point reached from the query instead of the global minimiser (for comparison: what
        a local solver returns).
    calls : dict, optional
        Density, score and Hessian evaluations inside the proximal maps are added to it, per row. N counts one prox per step.

    Yields
    ------
    array, shape (n, d)
        N + 1 states; one prox per step.

    Raises
    ------
    ValueError
        At the call, naming the argument; a step ``g >= 2``, where lam would be negative or infinite; a law without
        proximal maps.

    Notes
    -----
    The density is that of the *next*, cleaner level, and the stationarity of the prox is
    ``x' = x_i + g [x'/2 + grad log p_{i+1}(x')] + sqrt(g) z``. Weak order 1, with density errors opposite to those of
    :func:`euler_maruyama` at leading order. Not ``lam = g`` (that is :func:`proximal_hybrid`), not noise after the prox.
    Where ``lam`` times the largest curvature of log p exceeds 1 the implicit equation has several solutions, and the global
    prox, a local solver and "a solution" are three maps.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture, Noise, samplers, schedules
    >>> law, grid = GaussianMixture(None, [[-1.0], [1.0]], 0.25), schedules.vp_linear(5, beta_max=4.0, eps=1e-3)
    >>> states = list(samplers.proximal_backward(law, grid, np.array([[2.0], [-3.0]]), noise=Noise(0)))
    >>> len(states), states[-1].shape
    (6, (2, 1))
    """
    options, g = prox_options(grid, noise, prox, calls), grid.g
    if np.any(g >= 2):
        expected = "g < 2 in every step: lam = 2 g / (2 - g) must be positive (take more steps)"
        fail(f"grid (its largest step gamma, g = {float(np.max(g)):.6g})", grid, expected)
    return options
