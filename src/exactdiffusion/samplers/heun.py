"""Heun's method."""

import numpy as np

from .._core.validation import fail
from ._base import Run


def heun(law, grid, x):
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
    """
    run = Run(law, grid, x)
    ratio = grid.noise_ratio
    if ((ratio > 0) & (ratio < 1e-150)).any():
        fail("grid", grid, "noise ratios of 0 or at least 1e-150: slopes divide by them")
    return run.states(_steps(run))


def _steps(run):
    scale, r = run.grid.scale, run.grid.noise_ratio
    x = run.x
    yield x
    for i in range(run.N):
        y = x / run.column(scale[i])
        eps = (y - run.denoise(i, x)) / run.column(r[i])
        h = run.column(r[i + 1] - r[i])
        predicted = y + h * eps
        if np.all(r[i + 1] == 0):
            y = predicted
        else:
            # Rows that end at 0 beside rows that do not keep the predictor; 1 only avoids the division by 0.
            end = np.where(r[i + 1] == 0, 1.0, r[i + 1])
            slope = (predicted - run.denoise(i + 1, run.column(scale[i + 1]) * predicted)) / run.column(end)
            half = run.column(np.where(r[i + 1] == 0, 0.0, 0.5))
            y = predicted + half * h * (slope - eps)
        x = run.column(scale[i + 1]) * y
        yield x
