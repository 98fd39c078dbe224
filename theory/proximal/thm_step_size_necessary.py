"""The step-size condition is necessary: beyond a threshold of the last step KL is infinite.

Let kappa be the supremum over u of lambda_max(hess ln p_0(u)). Suppose that

    (H1)  the last step uses the global proximal map of p_0,
    (H2)  kappa is attained.

Put g_* = 1 / kappa for the hybrid and g_* = 1 / (1/2 + kappa) for the backward scheme, infinite where the denominator is
not positive. Then

    g > g_*    a neighbourhood of the maximiser is outside the range of the map, q_0 = 0 there, and KL(p_0 | q_0) = +inf;
    g < g_*    the map is single valued, and KL is finite.

Source: derived here. So KL cannot compare few-step proximal samplers on multimodal targets. Measured on pairs of modes,
with g_* found by bisection to 1e-6.
"""

import math

import numpy as np
import pytest
import sympy as sp

from exactdiffusion import GaussianMixture, Grid
from exactdiffusion.output_laws import line
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.step_threshold.statement
EPS = np.finfo(np.float64).eps
SCHEMES = ("proximal_hybrid", "proximal_backward")
#: name -> (law, half distance, variance): sup l'' = m^2/v^2 - 1/v for any two weights
LAWS = {
    "+-1, v .1": (GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.1), 1.0, 0.1),
    "+-1, v .1, weights .4 .6": (GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], 0.1), 1.0, 0.1),
    "+-.6, v .3": (GaussianMixture([0.5, 0.5], [[-0.6], [0.6]], 0.3), 0.6, 0.3),
}


def one_step(g):
    """A chain of one step of length g that ends at the data."""
    return Grid(np.exp([-g / 2, 0.0]), np.sqrt(-np.expm1([-g, 0.0])))


def output_kl(law, scheme, g):
    run = line.propagate(law, one_step(g), scheme, nonconvex="contact")
    return line.divergences(run.target, run.law).kl


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_kl_is_infinite_beyond(check, scheme):
    for name, (law, m, v) in LAWS.items():
        limit = bound.step_threshold(scheme, bound.two_mode_curvature(m, v))
        below, above = output_kl(law, scheme, 0.97 * limit), output_kl(law, scheme, 1.03 * limit)
        on = f"{scheme}, {name}"
        check.equal([math.isfinite(below), math.isinf(above)], 1.0, tol=0, cause="exact", on=f"KL at .97 and 1.03 g*, {on}")
        check.control("g <= g* (1.03 g*)", above, 1e6, on=f"KL finite, {on}")


def test_gap_in_a_long_chain(check):
    """The last step matters, for every N with g > g*; the mass of the gap, TV and reverse KL stay finite."""
    law, m, v = LAWS["+-1, v .1, weights .4 .6"]
    grid = Grid(np.exp(-0.0125 * np.arange(16, -1, -1) / 2), np.sqrt(-np.expm1(-0.0125 * np.arange(16, -1, -1))))
    limit = bound.step_threshold("proximal_hybrid", bound.two_mode_curvature(m, v))
    check.hypothesis("last step above g*", grid.g[-1] > limit, on="16 steps of .0125")
    run = line.propagate(law, grid, "proximal_hybrid", nonconvex="contact")
    found = line.divergences(run.target, run.law)
    check.equal(
        run.law.mass, 1.0, tol=1e-9, cause="rounding: 1e-9: contact set by bitangents", on="mass of the output, 16 steps"
    )
    check.control("g <= g*, last step of 16", found.kl, 1e6, on="KL finite")
    on, of = "mass of the gap <= TV", "the lower bound of TV"
    check.holds(found.gap_mass, found.tv, tol=1e-9, cause="remainder: 1e-9: mass of the output", on=on, of=of)
    check.equal(math.isfinite(found.reverse_kl), 1.0, tol=0, cause="exact", on="reverse KL finite, 16 steps")


def test_gaussians_never(check):
    """Negative curvature: no threshold for the hybrid, the limit g < 2 of the scheme for the backward one."""
    for S in (0.3, 1.0, 2.5):
        law = GaussianMixture([1.0], [[0.2]], S)
        hybrid = bound.step_threshold("proximal_hybrid", -1 / S)
        check.equal(math.isinf(hybrid), 1.0, tol=0, cause="exact", on=f"hybrid, N(., {S}): g* infinite")
        backward = bound.step_threshold("proximal_backward", -1 / S)
        for scheme, g in (("proximal_hybrid", 5.0), ("proximal_backward", min(1.9, 0.9 * backward))):
            kl = output_kl(law, scheme, g)
            check.equal(math.isfinite(kl), 1.0, tol=0, cause="exact", on=f"KL on N(., {S}), {scheme}, g = {g:.3g}")


def test_algebra(check):
    """SymPy: J at the maximiser of l'' vanishes at g*; two modes have l'' = m^2/v^2 sech^2 - 1/v."""
    g, k, m, v, x = sp.symbols("g kappa m v x", positive=True)
    roots = sp.solve(1 - g * k, g)[0] - 1 / k, sp.solve(1 - g / 2 - g * k, g)[0] - 1 / (sp.Rational(1, 2) + k)
    log = sp.log(sp.exp(-((x - m) ** 2) / (2 * v)) + sp.exp(-((x + m) ** 2) / (2 * v)))
    curvature = sp.diff(log, x, 2).subs(x, 0) - (m**2 / v**2 - 1 / v)
    residuals = [float(sp.simplify(e)) for e in (*roots, curvature)]
    check.equal(residuals, 0.0, tol=0, cause="exact: SymPy", on="g* and sup l'' of two modes")
    kappa = bound.two_mode_curvature(1.0, 0.1)
    found = [bound.step_threshold(s, kappa) for s in SCHEMES]
    check.equal(
        found,
        [1 / 90, 1 / 90.5],
        tol=16 * EPS,
        cause="rounding: 16 eps",
        on="registered function, +-1, v .1: .01111, .01105",
    )


# -- it is tight -----------------------------------------------------------------------------------------------------------


def curvature_threshold(law, scheme):
    """g with min J = 0 by bisection on the library's own step, J evaluated on the nodes and finer around its minimum."""
    end = line.Level(law)
    x = np.linspace(-2, 2, 4001)

    def positive(g):
        m = line.SCHEMES[scheme](None, end, g)
        return line._lowest(m, x, m.forward(x)[1])[1] > 0

    low, high = 1e-6, 1.9
    assert positive(low)
    assert not positive(high)
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if positive(middle) else (low, middle)
    return low


@pytest.mark.parametrize("name", list(LAWS))
def test_tight(check, name):
    law, m, v = LAWS[name]
    kappa = bound.two_mode_curvature(m, v)
    x = np.linspace(-2, 2, 40001)
    top = float(np.max(law.hessian(x[:, None])))
    check.equal(
        top, kappa, tol=1e-6 * kappa, cause="remainder: 1e-6 relative: nodes 1e-4 apart at a maximum", on=f"sup l'', {name}"
    )
    for scheme in SCHEMES:
        ratio = curvature_threshold(law, scheme) / bound.step_threshold(scheme, kappa)
        cause = "remainder: 1e-6: nodes around the maximum of l'' (1e-9 of bisection)"
        check.tight(ratio, 1.0, tol=1e-6, cause=cause, on=f"bisected threshold / g*, {scheme}, {name}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The two constants of g_*."""
    law, m, v = LAWS["+-.6, v .3"]
    kappa = bound.two_mode_curvature(m, v)

    # a step between the thresholds of the two schemes
    between = 0.5 * (bound.step_threshold("proximal_backward", kappa) + 1 / kappa)
    kl = output_kl(law, "proximal_backward", between)
    check.control("the 1/2 in the backward threshold", kl, 1e6, on="KL finite, +-.6, v .3")

    # twice the curvature
    ratio = curvature_threshold(law, "proximal_hybrid") / bound.step_threshold("proximal_hybrid", 2 * kappa)
    check.control("sup l'' (twice it)", abs(ratio - 1), 1e-6, on="hybrid, +-.6, v .3")
