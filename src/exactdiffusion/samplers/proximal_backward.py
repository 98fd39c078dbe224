"""Backward (implicit) Euler for the reverse VP-SDE, by proximal maps."""

import numpy as np

from .._core.validation import choice, fail
from ._base import Run, checked_noise


def proximal_backward(law, grid, x, *, noise=None, prox="global", calls=None):
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
    """
    run = Run(law, grid, x, vp=True)
    checked_noise(noise)
    choice("prox", prox, ("global", "local"))
    if calls is not None and not isinstance(calls, dict):
        fail("calls", calls, "None or a dict that counts are added to")
    g = grid.g
    if np.any(g >= 2):
        expected = "g < 2 in every step: lam = 2 g / (2 - g) must be positive (take more steps)"
        fail(f"grid (its largest step gamma, g = {float(np.max(g)):.6g})", grid, expected)
    return run.states(_steps(run.with_prox(prox), g, noise, prox, calls))


def _steps(run, g, noise, prox, calls):
    x = run.x
    yield x
    for i in range(run.N):
        z = noise.normal(i, *x.shape, like=x)
        y = run.column(2.0 / (2.0 - g[i])) * (x + run.column(np.sqrt(g[i])) * z)
        x = run.prox(i + 1, y, 2.0 * g[i] / (2.0 - g[i]), prox, calls)
        yield x
