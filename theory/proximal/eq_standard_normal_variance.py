"""The exact output variance on N(0, 1), for every number of steps.

Suppose that

    (H1)  the target is N(0, 1), and the scheme takes N equal steps g from N(0, V_0),
    (H2)  g < 2 for the backward scheme, g < 4 for Euler-Maruyama.

Then V_N = V_* + (V_0 - V_*) rho^N with

    Euler-Maruyama    V_* = 1 / (1 - g/4)      rho = (1 - g/2)^2
    backward          V_* = 1 / (1 + g/4)      rho = (1 + g/2)^-2
    hybrid            V_* = 1 / (1 + 3g/4)     rho = ((1 + g/2) / (1 + g))^2

Source: derived here. Measured against the exact recursion, the law on nodes, and the fixed point by SymPy.
"""

import itertools

import numpy as np
import sympy as sp

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import gaussian, line
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.standard_normal_variance.statement
EPS = np.finfo(np.float64).eps
SCHEMES = ("euler_maruyama", "proximal_backward", "proximal_hybrid")
STEPS = {
    "euler_maruyama": (1e-3, 0.1, 1.0, 1.9, 3.5),
    "proximal_backward": (1e-3, 0.1, 1.0, 1.9),
    "proximal_hybrid": (1e-3, 0.1, 1.0, 3.5, 20.0),
}


def recursion(scheme, g, N, start):
    grid = schedules.vp_linear(N, beta_min=g * N, beta_max=g * N)
    return float(gaussian(scheme, np.zeros(1), np.ones(1), grid, np.zeros(1), np.array([start])).cov[0])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check):
    cause = "rounding: 1e-12 relative: N rounded steps"
    for scheme, steps in STEPS.items():
        for g, start in itertools.product(steps, (0.0, 1.0, 5.0)):
            for N in (1, 2, 7, min(200, int(700 / g))):  # beyond T = 1400 the scale e^(-T/2) underflows
                closed = bound.standard_normal_variance(scheme, g, N, start)
                found, tol = recursion(scheme, g, N, start), 1e-12 * max(1.0, abs(closed))
                check.equal(found, closed, tol=tol, cause=cause, on=f"recursion, {scheme}")


def test_grid_law(check, uniform):
    law, cause = GaussianMixture([1.0], [[0.0]], 1.0), "remainder: 1e-11: quadrature of the variance"
    for scheme in SCHEMES:
        run = line.propagate(law, uniform(16, 4.0), scheme, "normal")
        closed = bound.standard_normal_variance(scheme, 0.25, 16)
        check.equal(run.law.variance, closed, tol=1e-11, cause=cause, on=f"grid law, {scheme}")


def test_fixed_point(check):
    """SymPy: one step maps V - V* to rho (V - V*)."""
    g, V = sp.symbols("g V", positive=True)
    # scheme -> (rho, added variance, V*)
    steps = {
        "euler_maruyama": ((1 - g / 2) ** 2, g, 1 / (1 - g / 4)),
        "proximal_backward": (1 / (1 + g / 2) ** 2, g / (1 + g / 2) ** 2, 1 / (1 + g / 4)),
        "proximal_hybrid": ((1 + g / 2) ** 2 / (1 + g) ** 2, g / (1 + g) ** 2, 1 / (1 + 3 * g / 4)),
    }
    for scheme, (rho, added, fixed) in steps.items():
        residual = sp.simplify(rho * V + added - fixed - rho * (V - fixed))
        check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on=f"fixed point and contraction, {scheme}")
        found = bound.standard_normal_variance(scheme, 0.3, 1, 2.0)
        exact = float((rho * V + added).subs({g: sp.Rational(3, 10), V: 2}))
        on = f"registered function, one step, {scheme}"
        check.equal(found, exact, tol=8 * EPS * exact, cause="rounding: 8 eps", on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The fixed points of two schemes, and the number of steps."""
    g, N = 0.5, 200
    found = recursion("proximal_hybrid", g, N, 1.0)
    check.control("1 + 3g/4 for the hybrid (1 + g/4)", abs(found - 1 / (1 + g / 4)), 1e-12, on="hybrid, g = .5, N = 200")
    found = recursion("proximal_backward", g, N, 1.0)
    check.control("sign of g/4 (1 - g/4)", abs(found - 1 / (1 - g / 4)), 1e-12, on="backward, g = .5, N = 200")
    off = abs(
        recursion("proximal_backward", 0.01, 200, 1.0) - bound.standard_normal_variance("proximal_backward", 0.01, 199)
    )
    check.control("N (N - 1 steps)", off, 1e-12, on="backward, g = .01")
