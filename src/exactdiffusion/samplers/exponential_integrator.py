"""Exponential integrator for the reverse VP-SDE."""

import numpy as np

from ._base import reverse_sde


def exponential_integrator(law, grid, x, *, noise=None, step="integral", last_noise=True, final="step"):
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
    """
    return reverse_sde(law, grid, x, noise, step, last_noise, final, _update)


def _update(run, i, x, g):
    return x + run.column(np.expm1(0.5 * g)) * (x + 2.0 * run.score(i, x)), np.sqrt(np.expm1(g))
