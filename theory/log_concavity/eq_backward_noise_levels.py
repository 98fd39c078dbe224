"""Noise levels of the backward recursion (slides).

Let t_k = T (N - k) / N for k = 0, ..., N. Then the backward recursion asks for the score at the standard deviations

    sigma_k  =  exp(t_k) sqrt(1 - exp(-2 t_k))  =  sqrt(exp(2 t_k) - 1),

from noisy to clean, with sigma_N = 0; small levels are sqrt(2 t_k), large ones geometric.

Measured against the grids and schedules of the library, in both limits, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import Grid, schedules
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.backward_noise_levels.statement
EPS = np.finfo(float).eps


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equality(check):
    """The statement against the grid in VP coordinates, the formula as on the slides, and the library's schedules."""
    cause = "rounding: 16 eps of the level"
    for T, N in ((0.5, 7), (3.0, 40), (8.0, 1000)):
        levels, t = bound.backward_noise_levels(T, N), T * (N - np.arange(N + 1)) / N
        scale, sigma = bound.ornstein_uhlenbeck_level(t)
        tol, on = 16 * EPS * np.maximum(levels, 1e-3), f"sigma/scale of the VP grid, T = {T:g}"
        check.equal(Grid(scale, sigma).noise_ratio, levels, tol=tol, cause=cause, on=on)
        library = np.append(schedules.sigma_from_integral(2 * t[:-1]), 0.0)
        check.equal(library, levels, tol=tol, cause=cause, on=f"schedules.sigma_from_integral(2 t), T = {T:g}")

        # 1 - e^-2t cancels for small t: eps/t relative
        printed = np.exp(t) * np.sqrt(1 - np.exp(-2 * t))
        tol = 16 * EPS * levels * (1 + 1 / np.maximum(t, 1e-9)) + 1e-300
        on = f"as on the slides, T = {T:g}"
        check.equal(printed, levels, tol=tol, cause="rounding: 16 eps (1 + 1/t) of the level", on=on)


def test_symbolic(check):
    t = sympy.symbols("t", positive=True)
    residual = sympy.simplify(sympy.exp(t) ** 2 * (1 - sympy.exp(-2 * t)) - (sympy.exp(2 * t) - 1))
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="sigma_t^2 = e^2t - 1")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_limits(check):
    levels = bound.backward_noise_levels(8.0, 8_000_000)
    small = levels[-1001:-1] / np.sqrt(2 * 1e-6 * np.arange(1000, 0, -1))
    check.tight(small, 1.0, tol=2e-3, cause="remainder: next term t/2 <= 5e-4", on="sigma = sqrt(2 t) at small t")
    ratio = levels[0] / levels[1_000_000] / np.e
    check.tight(ratio, 1.0, tol=2 * np.exp(-14), cause="remainder: e^-2t = e^-14", on="geometric at large t")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The factor e^t, the square root and the order of the levels."""
    levels, t = bound.backward_noise_levels(3.0, 40), 3.0 * (40 - np.arange(41)) / 40
    dropped = "e^t (the standard deviation of the noise alone)"
    check.control(dropped, np.abs(np.sqrt(-np.expm1(-2 * t)) - levels), 1e-9, on="T = 3")
    check.control("the square root (the variance)", np.abs(np.expm1(2 * t) - levels), 1e-9, on="T = 3")
    check.control("noisy to clean (clean to noisy)", np.abs(levels[::-1] - levels), 1e-9, on="T = 3")
