"""The leading KL constant of six schemes on Gaussian targets: order 2 in the step for every scheme.

Suppose that

    (H1)  the target is N(mu, diag S),
    (H2)  the start is exact and the horizon T so long that e^{-T} may be dropped,
    (H3)  the steps are equal and g = T/N tends to 0.

Then, with v_1 and m_1 of `eq_gaussian_first_order_errors` in every coordinate,

    KL(p_0 | q_0)  =  g^2 sum_i [ (v_1 / S_i)^2 / 4 + m_1^2 / (2 S_i) ] + O(g^3).

On N(0, I) it is d g^2 / 64 for Euler-Maruyama and the backward scheme, 9 d g^2 / 64 for the hybrid.

Source: derived here. Measured by exact recursions, N^2 KL / T^2 against the constants to 1 %, and from densities on
nodes.
"""

import numpy as np
import pytest
import sympy as sp

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import gaussian, line
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.gaussian_leading_kl.statement
EPS = np.finfo(np.float64).eps
T = 14.0
#: coordinates: (variance, mean)
COORDINATES = np.array([[0.25, 1.0], [1.0, 0.5], [3.0, -2.0], [0.5, 0.0]])


def coordinate_kl(scheme, N, horizon=T, S=COORDINATES[:, 0], mu=COORDINATES[:, 1]):
    """KL per coordinate, exact recursion; u = V/S - 1 keeps the accuracy of small values."""
    grid = schedules.vp_linear(N, beta_min=horizon, beta_max=horizon)
    m, V = gaussian(scheme, mu, S, grid, **bound.OPTIONS.get(scheme, {}))
    u = V / S - 1
    return 0.5 * (np.log1p(u) - u / (1 + u) + (m - mu) ** 2 / V)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_standard_normal(check):
    """d g^2/64 and 9 d g^2/64."""
    for scheme, c in (("euler_maruyama", 1), ("proximal_backward", 1), ("proximal_hybrid", 9)):
        for d in (1, 7, 300):
            found = bound.gaussian_leading_kl(scheme, 0.1, np.ones(d))
            wanted = c * d * 0.01 / 64
            check.equal(found, wanted, tol=8 * EPS * d * wanted, cause="rounding: 8 eps d", on=f"N(0, I), d = {d}, {scheme}")


def test_grid_law(check, uniform):
    """The same constant from densities on nodes, with no Gaussian formula in the way: .8945 on N(1, 1/4)."""
    law = GaussianMixture([1.0], [[1.0]], 0.25)
    ratios = []
    for N in (64, 128):
        run = line.propagate(law, uniform(N, 3.0), "proximal_backward")
        kl = line.divergences(run.target, run.law).kl
        exact = coordinate_kl("proximal_backward", N, 3.0, np.array([0.25]), np.ones(1))[0]
        check.equal(
            kl,
            exact,
            tol=1e-11 * exact + 1e-15,
            cause="rounding: 1e-11 relative",
            on=f"grid law = recursion, N = {N}, T = 3",
        )
        ratios.append(kl)
    check.rate(np.log2(ratios[1] / ratios[0]), -2.0, within=0.05, on="grid KL on N(1, .25) against N, backward")


def test_expansion(check):
    """SymPy: KL(N(mu, S) | N(mu + g m1, S + g v1)) = g^2 [v1^2/(4 S^2) + m1^2/(2 S)] + O(g^3)."""
    g, S, v1, m1 = sp.symbols("g S v1 m1", positive=True)
    V = S + g * v1
    kl = (S / V - 1 - sp.log(S / V) + (g * m1) ** 2 / V) / 2
    second = sp.simplify(sp.diff(kl, g, 2).subs(g, 0) / 2 - v1**2 / (4 * S**2) - m1**2 / (2 * S))
    low = [sp.simplify(kl.subs(g, 0)), sp.simplify(sp.diff(kl, g).subs(g, 0))]
    check.equal([float(e) for e in (second, *low)], 0.0, tol=0, cause="exact: SymPy", on="expansion of KL in g")


# -- it is tight -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", bound.SCHEMES)
def test_constant_and_rate(check, scheme):
    steps = (4096, 8192)
    kls = [coordinate_kl(scheme, N) for N in steps]
    # a product of d coordinates: KL adds up; drawn as one law of dimension 4
    total = [float(k.sum()) for k in kls]
    constant = bound.gaussian_leading_kl(scheme, 1.0, *COORDINATES.T)
    on = f"{scheme}, d = 4, N = {steps[1]}"
    check.tight(
        total[1] * (steps[1] / T) ** 2 / constant,
        1.0,
        tol=0.01,
        cause="remainder: first-order remainder, g / min S = .007",
        on=on,
    )
    each = [k * (N / T) ** 2 for k, N in zip(kls, steps)]
    extrapolated = 2 * each[1] - each[0]
    singles = np.array([bound.gaussian_leading_kl(scheme, 1.0, s, m) for s, m in COORDINATES])
    tail = np.exp(-T / 2) if scheme == "probability_flow" else 1e-6
    tol = (100 * (T / steps[1]) ** 2 + 2 * tail) * np.maximum(1.0, singles)
    cause = "remainder: 100 g^2, second order at S = .25; tail of the horizon, e^(-T/2) for the mean of the probability flow"
    check.equal(extrapolated, singles, tol=tol, cause=cause, on=f"{scheme}, each coordinate, extrapolated")
    check.rate(np.log2(total[1] / total[0]), -2.0, within=0.01, on=f"KL against N, {scheme}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H3) with another step, the constants of other schemes, and the mean."""
    N = 2048

    # (H3) right end point of beta in place of its integral: another g_k, first order off
    (S, mu), grid, kls = COORDINATES.T, schedules.vp_linear(N), []
    for step in ("integral", "right"):
        m, V = gaussian("euler_maruyama", mu, S, grid, step=step)
        u = V / S - 1
        kls.append(0.5 * float(np.sum(np.log1p(u) - u / (1 + u) + (m - mu) ** 2 / V)))
    on = f"euler_maruyama, VP schedule, N = {N}"
    check.control("g = int beta (right end point)", abs(kls[1] / kls[0] - 1), 0.01, on=on)

    # the constant of another scheme
    for scheme, wrong in (("proximal_hybrid", "proximal_backward"), ("proximal_backward", "exponential_integrator")):
        ratio = coordinate_kl(scheme, N).sum() * (N / T) ** 2 / bound.gaussian_leading_kl(wrong, 1.0, *COORDINATES.T)
        check.control(f"the scheme's own constant ({wrong}'s)", abs(ratio - 1), 0.01, on=f"{scheme}, N = {N}")

    # the variance alone
    ratio = coordinate_kl("euler_maruyama", N).sum() * (N / T) ** 2
    only = bound.gaussian_leading_kl("euler_maruyama", 1.0, COORDINATES[:, 0], 0.0)
    check.control("the error of the mean", abs(ratio / only - 1), 0.01, on=f"euler_maruyama, N = {N}")
