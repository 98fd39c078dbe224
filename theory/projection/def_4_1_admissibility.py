"""Definition 4.1 is one scalar inequality.

Let beta_1, ..., beta_N be the relative steps of a schedule and rho_i = beta_i / (1 - beta_i). Suppose that

    (H1)  0 <= beta_i < 1 for all i,
    (H2)  0 <= eta < 1 <= nu.

The schedule is (eta, nu)-admissible if for every t

    (1/nu) prod_{i=t}^N (1 + beta_i (eta - 1))  <=  prod_{i=t}^N (1 - beta_i)  <=  nu prod_{i=t}^N (1 - beta_i (1 + eta)).

It is so if and only if

    eta rho_i < 1 for all i    and    - sum_{i=1}^N log(1 - eta rho_i)  <=  log nu.

For eta > 0 a schedule that ends in a full step (sigma_0 = 0) is never admissible.

Source: Definition 4.1 of Permenter & Yuan (recalled; their blog says what it is for, and it fits Theorem 4.2). The
equivalence is derived here. Measured against the definition taken literally, in 50 digits, on random schedules.
"""

import mpmath
import numpy as np

from exactdiffusion.statements import projection as bound

STATEMENT = bound.admissibility.statement


def literal(beta, eta, nu):
    """Definition 4.1 in 50 digits, for every t."""
    with mpmath.workdps(50):
        return bound.admissible_by_definition([mpmath.mpf(float(b)) for b in beta], mpmath.mpf(eta), mpmath.mpf(nu))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equivalence(check):
    rng = np.random.default_rng(401)
    margin, agree, both = [], [], [0, 0]
    while len(agree) < 3000:
        N = int(rng.integers(1, 12))
        eta, nu = float(rng.choice([0.0, 0.02, 0.2, 0.5, 0.9])), float(rng.choice([1.05, 1.5, 3.0, 50.0]))
        beta = rng.random(N) ** rng.choice([0.3, 1.0, 3.0])
        value = bound.admissibility(beta, eta, nu)
        if abs(value) < 1e-12:
            continue  # within rounding of the boundary float64 cannot decide
        verdict = literal(beta, eta, nu)
        both[verdict] += 1
        agree.append((value >= 0) == verdict)
        margin.append(value)
    assert min(both) >= 500, "the family of schedules is one-sided"
    check.equal(
        np.array(agree, float), 1.0, tol=0, cause="exact: a yes/no equivalence", on="3,000 random schedules, N <= 11"
    )


def test_value(check):
    """Not the sign alone: exp of the value is by how much nu exceeds the least one, from the products of the definition."""
    rng = np.random.default_rng(403)
    values, exact, tol = [], [], []
    for _ in range(300):
        N, eta, nu = int(rng.integers(1, 30)), float(rng.uniform(0.01, 0.95)), float(rng.uniform(1, 20))
        beta = rng.random(N) / (1 + 1.5 * eta)  # beta (1 + eta) < 1: every factor of the definition is positive
        with mpmath.workdps(50):
            steps = [mpmath.mpf(float(b)) for b in beta]
            over = mpmath.fprod(1 - b * (1 + mpmath.mpf(eta)) for b in steps)
            least = mpmath.fprod(1 - b for b in steps) / over  # the smallest nu with prod (1 - b) <= nu over
            exact.append(float(mpmath.log(nu / least)))
            y = [float(mpmath.mpf(eta) * b / (1 - b)) for b in steps]
        values.append(bound.admissibility(beta, eta, nu))
        tol.append(4 * np.finfo(float).eps * (1 + np.log(nu) + N * sum(v / (1 - v) for v in y)))
    cause = "rounding: 4 eps (1 + log nu + N sum y/(1 - y)): rounding of y = eta rho in each logarithm, and of their sum"
    check.equal(values, exact, tol=np.array(tol), cause=cause, on="300 random schedules, N <= 29, of both verdicts")
    assert min(np.mean(np.array(exact) > 0.1), np.mean(np.array(exact) < -0.1)) > 0.1, "one verdict is missing"


def test_boundary(check):
    """On the boundary itself (non-constant steps that spend the budget) 1e-9 more or less changes both verdicts alike."""
    rng = np.random.default_rng(402)
    agree = []
    for _ in range(300):
        N, eta, nu = int(rng.integers(1, 9)), float(rng.uniform(0.01, 0.95)), float(rng.uniform(1.01, 20))
        y = rng.random(N)
        y *= np.log(nu) / y.sum()
        for factor, expected in ((1 - 1e-9, True), (1 + 1e-9, False)):
            rho = -np.expm1(-y * factor) / eta
            beta = rho / (1 + rho)
            agree.append((bound.admissibility(beta, eta, nu) >= 0) == expected == literal(beta, eta, nu))
    check.equal(np.array(agree, float), 1.0, tol=0, cause="exact: a yes/no equivalence", on="both sides of the boundary")


def test_the_boundary_is_admissible(check):
    """The schedules on the boundary that users build are accepted in spite of rounding."""
    accepted = []
    for eta in (0.02, 0.1, 0.3, 0.5, 0.9, 0.99):
        for nu in (1.0001, 1.05, 1.5, 3.0, 20.0, 100.0):
            for N in (1, 2, 3, 10, 40, 100, 300):
                accepted.append(bound.is_admissible(np.full(N, bound.beta_star(eta, nu, N)), eta, nu))
                accepted.append(not bound.is_admissible(np.full(N, 1.000001 * bound.beta_star(eta, nu, N)), eta, nu))
    check.equal(np.array(accepted, float), 1.0, tol=0, cause="exact: yes/no", on="beta_*, and 1.000001 beta_* refused")


def test_full_last_step(check):
    """sigma_0 = 0 is never admissible for eta > 0, and always for eta = 0."""
    beta = np.array([0.1, 1.0])
    for eta in (1e-12, 0.01, 0.9):
        check.equal(float(bound.is_admissible(beta, eta, 1e6)), 0.0, tol=0, cause="exact: yes/no", on=f"eta {eta}")
    check.equal(float(bound.is_admissible(beta, 0.0, 1.0)), 1.0, tol=0, cause="exact: yes/no", on="eta 0")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The two halves of the condition: "for every t" in the definition, and eta rho_i < 1 in its equivalent."""
    eta, nu, beta = 0.5, 50.0, np.array([0.95, 0.95])
    admissible, on = float(literal(beta, eta, nu)), "eta .5, nu 50, N = 2, beta .95"

    # the full product alone: two negative factors multiply to a positive number
    full = nu * np.prod(1 - beta * (1 + eta)) - np.prod(1 - beta)
    assert full > 0, "the full product accepts"
    check.control("'for every t' (full product only)", float(full > 0), admissible, on=on)

    # the sum of logarithms alone, with absolute values under them
    rho = beta / (1 - beta)
    accepts = -np.sum(np.log(np.abs(1 - eta * rho))) <= np.log(nu)
    check.control("all eta rho_i < 1 (log |1 - eta rho|)", float(accepts), admissible, on="the same")
