"""Euler for the VP probability-flow ODE."""

from ._base import Run, final_rule, step_sizes


def probability_flow(law, grid, x, *, step="integral", final="step"):
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
    """
    run = Run(law, grid, x, vp=True)
    return run.states(_steps(run, step_sizes(grid, step), final_rule(grid, final)))


def _steps(run, g, final):
    x = run.x
    yield x
    for i in range(run.N):
        if final == "denoise" and i == run.N - 1:
            x = run.column(run.grid.scale[i + 1]) * run.denoise(i, x)
        else:
            x = x + run.column(0.5 * g[i]) * (x + run.score(i, x))
        yield x
