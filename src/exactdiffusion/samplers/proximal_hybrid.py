"""Hybrid scheme for the reverse VP-SDE: linear drift forward, score backward by proximal maps."""

import numpy as np

from .._core.validation import choice, fail
from ._base import Run, checked_noise


def proximal_hybrid(law, grid, x, *, noise=None, prox="global", calls=None):
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
    """
    run = Run(law, grid, x, vp=True)
    checked_noise(noise)
    choice("prox", prox, ("global", "local"))
    if calls is not None and not isinstance(calls, dict):
        fail("calls", calls, "None or a dict that counts are added to")
    return run.states(_steps(run.with_prox(prox), grid.g, noise, prox, calls))


def _steps(run, g, noise, prox, calls):
    x = run.x
    yield x
    for i in range(run.N):
        z = noise.normal(i, *x.shape, like=x)
        y = run.column(1.0 + 0.5 * g[i]) * x + run.column(np.sqrt(g[i])) * z
        x = run.prox(i + 1, y, g[i], prox, calls)
        yield x
