"""Trajectory KL of Euler-Maruyama with the exact score: a closed bound, for comparison with the hybrid scheme.

Let l_t = ln p_t for the law p_t of e^{-t/2} X_0 + sqrt(1 - e^{-t}) Z in R^d. Suppose that

    (H1)  E|X_0|^2 <= M_2;  put D = max(d, M_2),
    (H2)  |hess l_t| <= L for all t in [0, T].

Then

    KL(p_0 | q_0)  <=  KL_traj  <=  KL(p_T | q_T) + 3 d (1 + 4 L^2) / 16 sum_k g_k^2 + (D + 4 d L) / 32 sum_k g_k^3.

The order 1 in N is attained by the trajectory KL. On narrow Gaussians over a short horizon KL_traj / bound has the limit
(L - 1/2)^2 / (3/4 + 3 L^2), which tends to 1/3.

Source: derived here. Measured by the chain KL <= trajectory KL <= Girsanov budget <= closed bound.
"""

import numpy as np
import sympy as sp

from exactdiffusion.papers.proximal import budgets
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.euler_maruyama_trajectory_kl.statement
EPS = np.finfo(np.float64).eps
TOL, CAUSE = 1e-11, "remainder: 1e-11 relative: double integrals on nodes that resolve both laws"


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_chain(check, targets, uniform, marginal_kl):
    for name in ("two modes, +-.6, v .4", "two modes, +-1, v .25"):
        law, v, R, moment = targets[name]
        N, T = 48, 2.0
        grid = uniform(N, T)
        L, _ = bound.mixture_constants(v, R, T)
        on = f"{name}, N = {N}, T = {T:g}"
        check.hypothesis("|hess l_t| <= L", L > 0, on=on, value=f"certified L = {L:.4g}; no step condition")
        kl = marginal_kl(law, "euler_maruyama", N, T)
        path = budgets.trajectory_kl(law, grid, "euler_maruyama").total
        girsanov = budgets.conditional_budget(law, grid, "euler_maruyama").total
        closed = bound.euler_maruyama_trajectory_kl(grid.g, 1, moment, L)
        check.holds(kl, path, tol=TOL * path, cause=CAUSE, on=on, of="data processing, KL <= trajectory KL")
        ok = path <= girsanov * (1 + TOL)
        check.hypothesis("trajectory KL <= Girsanov budget (step of the proof)", ok, on=on)
        check.holds(path, closed, tol=TOL * closed, cause=CAUSE, on=on)
        check.holds(girsanov, closed, tol=TOL * closed, cause=CAUSE, on=on, of="the budget between KL and the bound")
        check.control("the constants (bound x 1e-3)", path, 1e-3 * closed, on=on)


def test_algebra(check):
    """SymPy: half of three times the three second moments, integrated over a step."""
    g, s, d, D, L = sp.symbols("g s d D L", positive=True)
    moments = (s**2 / 4 * D + s * d) / 4 + s**2 / 4 * d * L + s * d * L**2
    step = sp.integrate(sp.Rational(3, 2) * moments, (s, 0, g))
    right = 3 * d * (1 + 4 * L**2) / 16 * g**2 + (D + 4 * d * L) / 32 * g**3
    check.equal(float(sp.expand(step - right)), 0.0, tol=0, cause="exact: SymPy", on="closed bound of one step")
    for values in ((3, 2.0, 2.0), (40, 100.0, 5.0)):
        n, moment, lip = values
        exact = float(right.subs({g: sp.Rational(1, 64), d: n, D: max(n, moment), L: lip}))
        found = bound.euler_maruyama_trajectory_kl(1 / 64, n, moment, lip)
        check.equal(found, exact, tol=16 * EPS * exact, cause="rounding: 16 eps", on=f"registered function, d = {n}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def trajectory(S, N, T):
    """Closed form on N(0, S): per step, affine maps and Gaussian conditionals."""
    g, times = T / N, T * np.arange(N, -1, -1) / N
    v = 1 + np.exp(-times) * (S - 1)
    v, w = v[:-1], v[1:]
    u = g / (w * -np.expm1(-g) / v) - 1
    return float(np.sum(0.5 * (np.log1p(u) - u / (1 + u) + (np.exp(-g / 2) * w / v - (1 + g / 2 - g / v)) ** 2 * v / g)))


def test_tight(check):
    """A narrow Gaussian over a short horizon, l'' = -L nearly: trajectory KL / bound -> (L - 1/2)^2 / (3/4 + 3 L^2).

    The 3 is the square of a sum of three, the price of a bound without cross terms: as L grows the ratio tends to 1/3.
    """
    for S in (0.1, 0.01):
        L, T, N = 1 / S, 1e-4 * S, 4096
        value = trajectory(S, N, T)
        closed = bound.euler_maruyama_trajectory_kl(np.full(N, T / N), 1, S, L)
        limit = (L - 0.5) ** 2 / 4 / (3 * (1 + 4 * L**2) / 16)
        cause = "remainder: 4 T L: variation of l'' over the horizon"
        check.holds(
            value, closed, tol=1e-12 * closed, cause="rounding: 1e-12: rounding of N terms", on=f"N(0, {S}), T = {T:g}"
        )
        check.tight(
            value / closed, limit, tol=4 * T * L * limit + 1e-7, cause=cause + "; 1e-7: rounding of u", on=f"N(0, {S})"
        )


def test_rate(check):
    N = np.array([1024, 2048])
    closed = [bound.euler_maruyama_trajectory_kl(np.full(n, 2.0 / n), 1, 0.5, 2.0) for n in N]
    check.rate(np.log2(closed[1] / closed[0]), -1.0, within=1e-3, on="bound against N")
    exact = [trajectory(0.5, int(n), 2.0) for n in N]
    check.rate(np.log2(exact[1] / exact[0]), -1.0, within=0.01, on="trajectory KL on N(0, .5) against N: attained")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) with no curvature and with that of one time, and the term of first order."""
    S, T, N = 0.01, 1e-4, 256
    g, value = np.full(N, T / N), trajectory(S, N, T)

    # (H2) no curvature
    check.control("the curvature L (0)", value, bound.euler_maruyama_trajectory_kl(g, 1, S, 0.0), on="N(0, .01)")

    # (H2) L must bound the curvature at all t: the value at t = T is too small for a narrow target
    late = 1 / (1 + np.exp(-1.0) * (S - 1))
    short = bound.euler_maruyama_trajectory_kl(np.full(4096, 1 / 4096), 1, S, late)
    check.control("L on all of [0, T] (L at t = T only)", trajectory(S, 4096, 1.0), short, on="N(0, .01), T = 1")

    # the term of order g^2
    cubic = (1 + 4 / S) / 32 * float(np.sum(g**3))
    check.control("the term of order g^2", value, cubic, on="N(0, .01)")
