"""Theorem 4.4: what an admissible schedule can reach with any number of steps.

Suppose that

    (H1)  the schedule is the constant step beta_*(N) of Theorem 4.3,
    (H2)  0 <= eta < 1 <= nu, not eta = 0 and nu = 1 at once.

Then as N grows sigma_0 / sigma_N and the two products of Theorem 4.2 decrease to

    (1 - beta_*)^N              ->  nu^(-1/eta),
    (1 - beta_* (1 + eta))^N    ->  nu^(-(1 + eta)/eta),
    (1 + beta_* (eta - 1))^N    ->  nu^(-(1 - eta)/eta),

and their logarithms exceed the limits by k / N + O(N^-2), L = log nu, with k = L^2 (1 + eta) / (2 eta^2) for the first
two and k = L^2 (1 - eta) (1 + 2 eta) / (2 eta^2) for the third. For eta = 0 all limits are 0, for nu = 1 and eta > 0 all
are 1.

Source: Theorem 4.4 of Permenter & Yuan (recalled: the first and third limit), proved here; the lower product, the rates
and the monotonicity are derived. Measured in 100 digits.
"""

import math

import mpmath
import numpy as np
import pytest
import sympy

from exactdiffusion import distances
from exactdiffusion.statements import projection as bound

STATEMENT = bound.admissible_limits.statement
NAMES = ("sigma_0/sigma_N", "lower product", "upper product")
PAIRS = [(e, v) for e in (0.02, 0.1, 0.4, 0.9, 0.99) for v in (1.01, 2.0, 30.0)]


def logs(eta, nu, N):
    """Logarithms of the three products at beta_*(N), in 100 digits: N^2 = 1e60 times their excess is asked for."""
    with mpmath.workdps(100):
        eta, nu = mpmath.mpf(eta), mpmath.mpf(nu)
        c = -mpmath.expm1(-mpmath.log(nu) / N)
        b = c / (eta + c)
        return [N * mpmath.log(v) for v in (1 - b, 1 - b * (1 + eta), 1 + b * (eta - 1))]


def limits(eta, nu):
    """The three limits of the logarithms, in 100 digits."""
    with mpmath.workdps(100):
        eta, log = mpmath.mpf(eta), mpmath.log(mpmath.mpf(nu))
        return [-log / eta, -log * (1 + eta) / eta, -log * (1 - eta) / eta]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_limits(check):
    """N = 1e30: what is left is k/N, far below float64."""
    found = np.array([[float(mpmath.exp(v)) for v in logs(e, v, 10**30)] for e, v in PAIRS])
    stated = np.array([bound.admissible_limits(e, v) for e, v in PAIRS])
    tol = 8 * np.finfo(float).eps * (1 + np.abs(np.log(stated)))
    check.equal(
        found / stated,
        1.0,
        tol=tol,
        cause="remainder: 8 eps and eps |log|: one exponential",
        on=f"{len(PAIRS)} pairs, N = 1e30",
    )


def test_monotone(check, deep):
    """Decreasing in N, hence above the limit for every N: float64 logarithms, N < 400 (25 x 25 pairs with --deep)."""
    m = 25 if deep else 8
    N = np.arange(1, 400)
    worst, above = [], []
    for eta in np.linspace(0.01, 0.99, m):
        for nu in np.exp(np.linspace(0.01, 5, m)):
            # the three logarithms, and their limits
            c = -np.expm1(-np.log(nu) / N)
            rho = c / eta
            values = np.stack([-N * np.log1p(rho), -np.log(nu) - N * np.log1p(rho), N * (np.log1p(c) - np.log1p(rho))])
            end = np.log(nu) * np.array([-1 / eta, -(1 + eta) / eta, -(1 - eta) / eta])[:, None]

            # by how much they fail to decrease, and to stay above the limit, beyond rounding
            scale = np.abs(N * np.log1p(rho)) * 16 * np.finfo(float).eps
            worst.append((np.diff(values, axis=1) - scale[1:]).max())
            above.append((end - values - scale).max())
    cause = "rounding: 16 eps N log(1 + rho) already subtracted"
    check.holds(0.0, -np.array(worst), tol=0, cause=cause, on=f"decrease in N, {m * m} pairs")
    check.holds(0.0, -np.array(above), tol=0, cause=cause, on=f"limit <= product, {m * m} pairs")


def test_series(check):
    """SymPy: limits and coefficients from the series of the logarithms in 1/N."""
    u, eta, L = sympy.symbols("u eta L", positive=True)  # u = 1/N
    c = 1 - sympy.exp(-L * u)
    b = c / (eta + c)
    k, last = L**2 * (1 + eta) / (2 * eta**2), L**2 * (1 - eta) * (1 + 2 * eta) / (2 * eta**2)
    residuals = []
    for product, limit, coefficient in (
        (1 - b, -L / eta, k),
        (1 - b * (1 + eta), -L * (1 + eta) / eta, k),
        (1 + b * (eta - 1), -L * (1 - eta) / eta, last),
    ):
        log = sympy.log(sympy.simplify(product))
        first, second = (sympy.diff(log, u, order).subs(u, 0) / order for order in (1, 2))
        residuals.extend(sympy.simplify(r) for r in (log.subs(u, 0), first - limit, second - coefficient))
    check.equal([float(r) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="three limits and three coefficients")

    # the registered function has these coefficients
    numbers = {L: sympy.log(7), eta: sympy.Rational(3, 10)}
    rates = bound.admissible_limit_rates(0.3, 7.0)
    exact = [float(v.subs(numbers)) for v in (k, k, last)]
    check.equal(list(rates[:3]), exact, tol=1e-12, cause="rounding", on="the function")


def test_float_products_reach_them(check):
    """The registered float64 functions: products of beta_star against limit and first-order term."""
    for eta, nu in ((0.1, 2.0), (0.5, 10.0)):
        N = 20_000
        b = bound.beta_star(eta, nu, N)
        found = np.log([(1 - b) ** N, (1 - b * (1 + eta)) ** N, (1 + b * (eta - 1)) ** N])
        stated = np.log(bound.admissible_limits(eta, nu)) + np.array(bound.admissible_limit_rates(eta, nu)) / N
        second = (math.log(nu) / eta / N) ** 2 * 10 * math.log(nu) / eta
        check.equal(
            found,
            stated,
            tol=second + 8 * N * 2.0**-52,
            cause="rounding: O(N^-2) and rounding of beta",
            on=f"eta {eta}, nu {nu}, N = 20,000",
        )


def test_special_cases(check):
    check.equal(bound.admissible_limits(0.0, 2.0), 0.0, tol=0, cause="exact", on="eta = 0: one full step is admissible")
    check.equal((1 - bound.beta_star(0.0, 2.0, 5)) ** 5, 0.0, tol=0, cause="exact", on="eta = 0, N = 5")
    check.equal(bound.admissible_limits(0.3, 1.0), 1.0, tol=0, cause="exact", on="nu = 1: no step is admissible")
    check.equal(bound.beta_star(0.3, 1.0, 5), 0.0, tol=0, cause="exact", on="nu = 1, N = 5")
    with pytest.raises(ValueError, match="eta, nu"):
        bound.admissible_limits(0.0, 1.0)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_first_order(check):
    """N (log product - limit) -> k: at N = 1e6 the remainder is O(1/N); the coefficient itself at N = 1e20."""
    found, stated = [], []
    for e, v in PAIRS:
        with mpmath.workdps(100):
            found.append([float(10**20 * (a - b)) for a, b in zip(logs(e, v, 10**20), limits(e, v))])
        stated.append(bound.admissible_limit_rates(e, v))
    ratio, cause = np.array(found) / np.array(stated), "rounding: of float64 k; O(1/N) = 1e-20"
    check.tight(ratio, 1.0, tol=1e-12, cause=cause, on="k of k/N, N = 1e20")

    # a number in the notation of Theorem 4.3: N = 1e6, eta = .1, nu = 2
    with mpmath.workdps(50):
        value = float(10**6 * (logs(0.1, 2, 10**6)[0] - limits(0.1, 2)[0]))
    recorded = {"tol": 5e-7, "cause": "printed digits: recorded to 8 digits"}
    check.equal(value, 26.424788, on="N = 1e6, eta .1, nu 2: N log-excess", **recorded)
    check.equal(bound.admissible_limit_rates(0.1, 2.0)[0], 26.424916, on="its limit k", **recorded)


def test_rate(check):
    steps = 2.0 ** np.arange(8, 16)
    for eta, nu in ((0.1, 2.0), (0.6, 5.0)):
        for i, name in enumerate(NAMES):
            excess = [float(logs(eta, nu, int(N))[i] - limits(eta, nu)[i]) for N in steps]
            check.rate(
                distances.fit_slope(steps[-4:], excess[-4:]), -1.0, within=0.005, on=f"log {name}, eta {eta}, nu {nu}"
            )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    eta, nu = 0.1, 2.0
    # without eta in the denominator of beta_* (log nu / N steps): another limit
    N = 10**6
    short = math.exp(N * math.log1p(-math.log(nu) / N))
    check.control("beta_* (steps log(nu)/N)", short, bound.admissible_limits(eta, nu)[0], tol=1e-6, on="eta .1, nu 2")
    # a full last step, the practical rule, beats the limit: it is not admissible
    b = bound.beta_star(eta, nu, 50)
    guarantee = (1 + b * (eta - 1)) ** 50 * eta
    check.control(
        "admissible (a full last step appended)", bound.admissible_limits(eta, nu)[2], guarantee, tol=1e-12, on="N = 51"
    )
    # the guarantee's exponent is (1 - eta)/eta, not 1/eta
    with mpmath.workdps(50):
        value = float(mpmath.exp(logs(eta, nu, 10**12)[2]))
    check.control("the exponent (1/eta instead)", value, nu ** (-1 / eta), tol=1e-9, on="upper product, N = 1e12")
