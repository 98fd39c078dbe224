"""The leading constant of the trajectory KL: order 1 in the step for every stochastic scheme.

Let l_t = ln p_t for the law p_t of e^{-t/2} X_0 + sqrt(1 - e^{-t}) Z. Suppose that

    (H1)  l_t is smooth on [0, T],
    (H2)  the steps g are equal and tend to 0, and the start is exact,
    (H3)  the scheme is stochastic.

Then

    KL_traj  =  (g/4) int_0^T E_{p_t} |c I + hess l_t|_F^2 dt + o(g)

with c = 1/2 for Euler-Maruyama and for the backward scheme, -1/2 for the hybrid, 0 for the exponential integrator, and 1
for ancestral DDPM with variance 1 - e^{-g}.

Source: derived here. Measured by SymPy for one step on a Gaussian, and by double integrals on mixtures, which tell the
values of c apart.
"""

import numpy as np
import pytest
import sympy as sp

from exactdiffusion.papers.proximal import budgets
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.trajectory_leading.statement
STOCHASTIC = tuple(bound.TRAJECTORY_SHIFT)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def one_step(scheme):
    """Leading coefficient in g of the conditional KL of one step on a centred Gaussian, variance v before the step."""
    g, v = sp.symbols("g v", positive=True)

    def exp(u, order=4):  # Taylor polynomial: the coefficients asked for need no more
        return sum(u**k / sp.factorial(k) for k in range(order))

    less = sum((-1) ** (k + 1) * g ** (k - 1) / sp.factorial(k) for k in range(1, 4))  # (1 - e^-g) / g
    w = exp(g) * (v - 1) + 1
    back, variance = exp(-g / 2) * w / v, w * less / v  # the variance divided by g
    if scheme == "euler_maruyama":
        a, c = 1 + g / 2 - g / v, sp.Integer(1)
    elif scheme == "exponential_integrator":
        a, c = exp(g / 2) - 2 * (exp(g / 2) - 1) / v, 1 + g / 2 + g**2 / 6
    elif scheme == "ddpm":
        a, c = exp(g / 2) * (1 - g * less / v), less
    elif scheme == "proximal_backward":
        a, c = 1 / (1 - g / 2 + g / w), 1 / (1 - g / 2 + g / w) ** 2
    else:
        a, c = (1 + g / 2) / (1 + g / w), 1 / (1 + g / w) ** 2
    ratio, mean = c / variance, back - a
    # (ln(1+u) - u/(1+u))/2 = u^2/4 + O(u^3); the mean enters as mean^2 v / (2 c g) = O(g^3)
    assert sp.simplify(ratio.subs(g, 0) - 1) == 0
    assert sp.simplify(mean.subs(g, 0)) == 0
    assert sp.simplify(sp.diff(mean, g).subs(g, 0)) == 0
    return sp.simplify(sp.diff(ratio, g).subs(g, 0) ** 2 / 4), v


def test_one_step(check):
    """SymPy: g^2/4 (c - 1/v)^2 per step on a Gaussian, l'' = -1/v."""
    for scheme, shift in bound.TRAJECTORY_SHIFT.items():
        found, v = one_step(scheme)
        residual = sp.simplify(found - (sp.Rational(shift) - 1 / v) ** 2 / 4)
        check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on=f"one Gaussian step, {scheme}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two modes, +-.6, v .4", "two modes, +-1, v .25"])
def test_tight(check, targets, uniform, name, deep):
    """KL_traj / (g/4 int ..), extrapolated to g = 0, is 1; within 2 % without extrapolation where g L is small."""
    law, T = targets[name][0], 1.0
    steps = (64, 128, 256) if deep else (48, 96)
    for scheme, shift in bound.TRAJECTORY_SHIFT.items():
        if not deep and name.startswith("two modes, +-1") and scheme != "proximal_backward":
            continue
        integral = budgets.curvature_integral(law, T, shift, order=40)
        options = bound.OPTIONS.get(scheme, {})
        totals = [budgets.trajectory_kl(law, uniform(N, T), scheme, **options).total for N in steps]
        ratios = [k / bound.trajectory_leading(T / N, integral) for k, N in zip(totals, steps)]
        found = 2 * ratios[-1] - ratios[-2]
        tol = 3 * (ratios[-1] - ratios[-2]) ** 2 + 1e-3
        cause = "remainder: 3 x the square of the first-order remainder; 1e-3"
        check.tight(found, 1.0, tol=tol, cause=cause, on=f"{scheme}, {name}")
        if name.startswith("two modes, +-.6"):
            check.rate(np.log(totals[-1] / totals[-2]) / np.log(2), -1.0, within=0.05, on=f"trajectory KL, {scheme}, {name}")
            tol, cause = 0.04, "remainder: first-order remainder g L at N = 96, T = 1"
            check.tight(ratios[-1], 1.0, tol=tol, cause=cause, on=f"{scheme}, {name}, N = {steps[-1]} as it stands")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, targets, uniform):
    """A wrong c is a wrong constant: by a factor for the hybrid, still visible between 1/2 and 1."""
    name, T, N = "two modes, +-.6, v .4", 1.0, 96
    law = targets[name][0]
    for scheme, wrong in (("proximal_hybrid", 0.5), ("ddpm", 0.5), ("proximal_backward", -0.5)):
        leading = bound.trajectory_leading(T / N, budgets.curvature_integral(law, T, wrong, order=40))
        ratio = budgets.trajectory_kl(law, uniform(N, T), scheme, **bound.OPTIONS.get(scheme, {})).total / leading
        on = f"{scheme} with c = {wrong:+g}, {name}"
        check.control(f"c = {bound.TRAJECTORY_SHIFT[scheme]:+g}", abs(np.log(ratio)), 0.04, on=on)
    with pytest.raises(ValueError, match=r"^scheme"):
        # deterministic: the conditional laws are Dirac masses and the trajectory KL is infinite
        budgets.trajectory_kl(law, uniform(8, T), "probability_flow")
