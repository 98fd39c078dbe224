"""First-order errors of six schemes on a Gaussian target.

Suppose that

    (H1)  the target is N(mu, S) with S > 0, one coordinate of a Gaussian,
    (H2)  the start is exact, p_T, and T is so long that e^{-T} (for the mean of the flow e^{-T/2}) may be dropped,
    (H3)  the steps are equal and g = T/N tends to 0.

Then Var - S = g v_1 + O(g^2) and mean - mu = g m_1 + O(g^2) with

    scheme                    v_1                                m_1
    Euler-Maruyama            1/2 - S^2 ln S / (4 (S - 1))       -mu S ln S / (8 (S - 1))
    backward                  minus the above                    minus the above
    hybrid                    -1/2 - S^2 ln S / (4 (S - 1))      as Euler-Maruyama
    exponential integrator    1/2                                0
    DDPM, variance 1 - e^-g   (1 - S) / 2                        0
    probability flow, Euler   (1 - S - S ln S) / 4               -(mu/4) sqrt(S) A(S)

where A(S) = arsinh(sqrt(S - 1)) / sqrt(S - 1), arcsin for S < 1.

Source: derived here. Measured by exact recursions extrapolated to g = 0, and by local errors (SymPy) integrated in 30
digits.
"""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from exactdiffusion import schedules
from exactdiffusion.output_laws import gaussian
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.gaussian_errors.statement
EPS = np.finfo(np.float64).eps
VARIANCES, MEANS = np.array([0.25, 0.7, 1.0, 3.0]), np.array([1.0, -0.5, 0.5, -2.0])


def deviations(scheme, N, T, S=VARIANCES, mu=MEANS):
    """(Var - S)/g and (mean - mu)/g from the exact recursion."""
    grid = schedules.vp_linear(N, beta_min=T, beta_max=T)
    m, V = gaussian(scheme, mu, S, grid, **bound.OPTIONS.get(scheme, {}))
    return np.array([V - S, m - mu]) * N / T


def expected(scheme, S=VARIANCES, mu=MEANS):
    return np.array([bound.gaussian_errors(scheme, float(s), float(m)) for s, m in zip(S, mu)]).T


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", bound.SCHEMES)
def test_extrapolated(check, scheme):
    """T = 22: terms of order e^-T below 1e-9. Three step counts, two extrapolations.

    The mean of the probability flow alone forgets the horizon like e^(-T/2): its deviations are carried by sqrt(S/v).
    """
    T, steps = 22.0, (1000, 2000, 4000)
    tail = np.exp(-T / 2) if scheme == "probability_flow" else np.exp(-T)
    check.hypothesis("horizon forgotten to 1e-4", tail < 1e-4, on=f"{scheme}, T = {T:g}")
    a, b, c = (deviations(scheme, N, T) for N in steps)
    first, second = 2 * b - a, 2 * c - b
    found = (4 * second - first) / 3
    tol = np.abs(second - first) + 1e-6 + np.abs(MEANS) * np.maximum(1, VARIANCES) * tail
    cause = "remainder: last change of the extrapolation + 1e-6 (rounding / g, e^-T / g) + tail of the horizon"
    check.equal(found, expected(scheme), tol=tol, cause=cause, on=f"{scheme}, S = .25 .. 3, mu = -2 .. 1")
    slope = np.log2(np.abs(second - found).max() / np.abs(first - found).max())
    check.rate(slope, -2.0, within=0.3, on=f"remainder of the extrapolation against N, {scheme}")


def local_errors(scheme):
    """(variance, mean) coefficients of g^2 of one exact-start step at variance v, mean m of the true law; v; m."""
    g, v, m = sp.symbols("g v m", positive=True)

    def exp(u):
        return 1 + u + u**2 / 2  # the coefficients of g and g^2 need no more

    # the true law after the step, and one step of the scheme: mean map a, added variance c
    less = g - g**2 / 2  # 1 - e^-g
    w, target = exp(g) * (v - 1) + 1, exp(g / 2) * m
    if scheme == "euler_maruyama":
        a, c, mean = 1 + g / 2 - g / v, g, (1 + g / 2) * m
    elif scheme == "exponential_integrator":
        a, c, mean = exp(g / 2) - 2 * (exp(g / 2) - 1) / v, exp(g) - 1, exp(g / 2) * m
    elif scheme == "ddpm":
        a, c, mean = exp(g / 2) * (1 - less / v), less, exp(g / 2) * m
    elif scheme == "probability_flow":
        a, c, mean = 1 + g / 2 - g / (2 * v), sp.Integer(0), (1 + g / 2) * m
    else:
        E, f = (1 - g / 2, sp.Integer(1)) if scheme == "proximal_backward" else (sp.Integer(1), 1 + g / 2)
        D = E + g / w
        a, c, mean = f / D, g / D**2, (f * m + g / w * target) / D

    # both errors begin with g^2
    out = []
    for error in (a**2 * v + c - w, mean - target):
        assert sp.cancel(error.subs(g, 0)) == 0
        assert sp.cancel(sp.diff(error, g).subs(g, 0)) == 0
        out.append(sp.cancel(sp.diff(error, g, 2).subs(g, 0) / 2))
    return out, v, m


@pytest.mark.parametrize("scheme", bound.SCHEMES)
def test_symbolic(check, scheme):
    """Local errors (SymPy) times the propagator, integrated over all times in 30 digits.

    With b = e^(-t/2): v = 1 + (S - 1) b^2, m = mu b, dt = 2 db/b. A deviation of the variance made at time t reaches time 0
    multiplied by (S/v)^2 b^2 (SDE) or S/v (ODE), one of the mean by the square root of that.
    """
    (variance, mean), v, m = local_errors(scheme)
    local = sp.lambdify((v, m), [variance, mean], "mpmath")
    flow = scheme == "probability_flow"
    for S in ("0.25", "0.999", "3"):
        with mp.workdps(30):
            S, found = mp.mpf(S), []
            for which in (0, 1):

                def integrand(b, which=which, S=S):
                    here = 1 + (S - 1) * b**2
                    carry = S / here if flow else (S / here * b) ** 2
                    return (carry if which == 0 else mp.sqrt(carry)) * local(here, b)[which] * 2 / b

                found.append(float(mp.quad(integrand, [mp.mpf(10) ** -18, 0.5, 1])))
        wanted = bound.gaussian_errors(scheme, float(S), 1.0)
        tol = 16 * EPS * (1 + 1 / abs(float(S) - 1))
        cause = "rounding: 16 eps (1 + 1/|S - 1|): ln S/(S - 1) in float64"
        check.equal(found, wanted, tol=tol, cause=cause, on=f"{scheme}, S = {float(S):g}: integrals of local errors")


def test_mirror(check):
    """Euler-Maruyama and backward have opposite errors, in variance and mean, for every S."""
    S, mu = np.array([1e-3, 0.3, 1.0, 1 + 1e-7, 40.0]), np.ones(5)
    total = expected("euler_maruyama", S, mu) + expected("proximal_backward", S, mu)
    check.equal(total, 0.0, tol=0, cause="exact: the same float with the other sign", on="S = .001 .. 40")
    T, N = 22.0, 4000
    ratio = deviations("proximal_backward", N, T) / deviations("euler_maruyama", N, T)
    cause = "remainder: 40 g: second-order terms, S = .25"
    check.equal(ratio, -1.0, tol=40 * T / N, cause=cause, on="exact recursions, N = 4000")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The constants of three schemes exchanged, and doubled."""
    T, N = 22.0, 4000
    found = {s: deviations(s, N, T) for s in ("proximal_hybrid", "proximal_backward", "ddpm")}
    wrong = (
        ("hybrid's own constant (backward's)", "proximal_hybrid", expected("proximal_backward")),
        ("sign of the backward errors", "proximal_backward", expected("euler_maruyama")),
        ("DDPM's variance 1 - e^-g (e^g - 1)", "ddpm", expected("exponential_integrator")),
        ("the constants (factor 2)", "proximal_backward", 2 * expected("proximal_backward")),
    )
    for dropped, scheme, value in wrong:
        check.control(dropped, np.abs(found[scheme] - value), 40 * T / N, on="exact recursion, N = 4000")
