"""Theorem 4.3: the largest constant step that is admissible.

Suppose that

    (H1)  beta_t = beta is constant in (0, 1): the log-linear schedule of N steps,
    (H2)  0 <= eta < 1 <= nu.

Then the schedule is (eta, nu)-admissible if and only if

    beta  <=  beta_* = c / (eta + c),        c = 1 - nu^(-1/N).

From a start d(x_N) = r sqrt(n) sigma_N with 1/nu < r < nu the band is kept for c = min(1 - (nu r)^(-1/N), (nu/r)^(1/N) -
1), and its binding edge is attained.

Source: Theorem 4.3 of Permenter & Yuan (recalled; slide 18 has "beta < C(eta, nu)"), proved here from Definition 4.1; the
start ratio is derived. Measured in 60 digits: admissible at beta_* and below it, inadmissible at beta_* (1 + 1e-20).
"""

import mpmath
import numpy as np

from exactdiffusion.statements import projection as bound

STATEMENT = bound.beta_star.statement
ETAS = ("0.001", "0.02", "0.1", "0.3", "0.5", "0.9", "0.99")
NUS = ("1.0001", "1.05", "1.5", "2", "10", "100")
STEPS = (1, 2, 3, 5, 10, 30, 50, 100, 300)


def star(eta, nu, N):
    """beta_* in the working precision of mpmath."""
    c = -mpmath.expm1(-mpmath.log(nu) / N)
    return c / (eta + c)


def cases():
    return [(mpmath.mpf(e), mpmath.mpf(v), N) for e in ETAS for v in NUS for N in STEPS]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_if_and_only_if(check):
    """Definition 4.1 in 60 digits, literally, for every t."""
    with mpmath.workdps(60):
        grow, shrink = 1 + mpmath.mpf(10) ** -20, 1 - mpmath.mpf(10) ** -50
        below, above, half = [], [], []
        for eta, nu, N in cases():
            b = star(eta, nu, N)
            below.append(bound.admissible_by_definition([b * shrink] * N, eta, nu))
            half.append(bound.admissible_by_definition([b / 2] * N, eta, nu))
            above.append(bound.admissible_by_definition([b * grow] * N, eta, nu))
    check.equal(np.array(below, float), 1.0, tol=0, cause="exact: yes/no", on=f"beta_* (1 - 1e-50), {len(below)} cases")
    check.equal(np.array(half, float), 1.0, tol=0, cause="exact: yes/no", on=f"beta_* / 2, {len(half)} cases")
    check.equal(np.array(above, float), 0.0, tol=0, cause="exact: yes/no", on=f"beta_* (1 + 1e-20), {len(above)} cases")


def test_float64_value(check):
    """The float64 function against 60 digits, down to nu - 1 = 1e-10 where a naive 1 - nu**(-1/N) cancels."""
    worst, tol = [], 8 * np.finfo(float).eps
    with mpmath.workdps(60):
        for eta in (1e-6, 0.02, 0.5, 0.99):
            for nu in (1 + 2.0**-33, 1.05, 3.0, 1e4):
                for N in (1, 7, 300, 10**6):
                    exact = star(mpmath.mpf(eta), mpmath.mpf(nu), N)
                    worst.append(float(abs(mpmath.mpf(bound.beta_star(eta, nu, N)) / exact - 1)))
    check.holds(
        np.array(worst),
        tol,
        tol=0,
        cause="rounding: 8 eps: log, expm1 and one division",
        on="float64 against 60 digits",
        of="rounding",
    )


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_the_constant_is_attained(check):
    """At beta_* the budget is spent exactly: prod (1 - eta rho)^-1 = nu."""
    ratios = []
    for eta in (0.02, 0.3, 0.9):
        for nu in (1.05, 2.0, 30.0):
            for N in (1, 5, 40):
                b = bound.beta_star(eta, nu, N)
                ratios.append(np.log(bound.smallest_admissible_nu(np.full(N, b), eta)) / np.log(nu))
    check.tight(
        np.array(ratios),
        1.0,
        tol=64 * np.finfo(float).eps / np.log(1.05) * 40,
        cause="rounding: of N = 40 logarithms relative to log nu",
        on="log of the smallest admissible nu / log nu",
    )


def test_start_ratio(check):
    """With d(x_N) = r sqrt(n) sigma_N the worst adversary spends the corrected budget exactly at its binding edge."""
    edges = []
    for eta in (0.05, 0.4):
        for nu in (1.5, 4.0):
            for r in (0.83, 1.0, 1.2):
                for N in (3, 25):
                    b = bound.beta_star(eta, nu, N, start_ratio=r)
                    rho = b / (1 - b)
                    # sqrt(n) sigma_0 / d(x_0) after N overshoots, d(x_0) / (sqrt(n) sigma_0) after N undershoots
                    over, under = (1 - eta * rho) ** -N / r, r * (1 + eta * rho) ** N
                    edges.append(max(over, under) / nu)
    check.tight(
        np.array(edges),
        1.0,
        tol=1e3 * np.finfo(float).eps,
        cause="rounding: of the N-th powers",
        on="binding band edge / nu",
    )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    with mpmath.workdps(60):
        failures = []
        for eta, nu, N in cases():
            c = mpmath.log(nu) / N  # a plausible slip: log nu / N for 1 - nu^(-1/N)
            failures.append(not bound.admissible_by_definition([c / (eta + c)] * N, eta, nu))
    check.control("c = 1 - nu^(-1/N) (log(nu)/N instead)", np.array(failures, float), 0.0, on=f"{len(failures)} cases")
    b = 1.01 * bound.beta_star(0.2, 1.5, 10)
    check.control(
        "the constant (1.01 beta_*)",
        bound.smallest_admissible_nu(np.full(10, b), 0.2),
        1.5,
        tol=1e-12,
        on="eta .2, nu 1.5, N = 10",
    )
