"""Proposition 3.4 with half the logarithm in the radius.

Let xhat* be the ideal denoiser, d = d(x), N_alpha the points of K within alpha d of x, C the largest |x0 - p(x)| over
N_alpha. Suppose that

    (H1)  K is finite with |K| points and uniform weights,
    (H2)  p(x) is unique and d > 0,
    (H3)  0 < eta <= |K|,
    (H4)  alpha >= 1 + (2 sigma^2 / d^2) (1/e + (1/2) log(|K| / eta)).

Then

    |xhat*(x, sigma) - p(x)|  <=  eta d + C.

A family of atoms opposite to p reaches 2 exp(-2/e) = .958 of the bound, and no member of it goes higher.

Source: derived, from the proof of Proposition 3.4 of Permenter & Yuan. Measured on 40,000 random instances and along DDIM
trajectories on digits.
"""

import math

import numpy as np
import sympy as sp

from exactdiffusion.statements import projection as bound

STATEMENT = bound.near_set_radius_half_log.statement


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, near_sets, deep):
    near_sets.check_random(check, bound.near_set_radius_half_log, 200_000 if deep else 40_000, seed=342)


def test_digits_trajectories(check, near_sets, deep):
    levels = list(near_sets.digits(bound.near_set_radius_half_log, 200 if deep else 20))
    error, largest, tol = (np.array([getattr(near, name) for near in levels]) for name in ("error", "largest", "tolerance"))
    detail = near_sets.ratios(levels)
    check.holds(error, largest, tol=tol, cause=near_sets.cause, on="digits, DDIM from sigma = 40", detail=detail)

    paper = np.array([near.largest for near in near_sets.digits(bound.near_set_radius, 200 if deep else 20)])
    assert np.all(largest <= paper * (1 + 1e-12)), "half the logarithm never gives a larger bound"


def test_inequalities_of_the_proof_sympy(check):
    """log u <= u/e (equality at e, by the derivative) and L <= u L/2 for u >= 2; limit of the opposite family."""
    u, L, a = sp.symbols("u L a", positive=True)
    gap = u / sp.E - sp.log(u)
    proofs = [
        sp.solve(sp.diff(gap, u), u) == [sp.E],
        sp.simplify(gap.subs(u, sp.E)) == 0,
        sp.simplify(sp.diff(gap, u, 2).subs(u, sp.E)) > 0,
        sp.factor(u * L / 2 - L) == L * (u - 2) / 2,
        # weight times offset relative to eta/|K| at u = a + 1, exponent u (1/e + L/2): its limit as a -> 1
        sp.simplify(sp.limit((a + 1) * sp.exp(-(a + 1) * (1 / sp.E + L / 2) + L), a, 1) - 2 * sp.exp(-2 / sp.E)) == 0,
    ]
    check.equal(np.array([bool(p) for p in proofs], float), 1.0, tol=0, cause="exact: SymPy", on="5 steps of the proof")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_worst_family(check, near_sets):
    """Recorded ratio of the opposite family; its limit 2 e^(-2/e) and the search say that no instance of it goes higher."""
    radius, limit = bound.near_set_radius_half_log, 2 * math.exp(-2 / math.e)

    # one member of the family, by the ideal denoiser itself
    m, eta, sigma = 20_000, 1e-4, 1e-3
    ratio, formula = near_sets.opposite(radius, m, eta, sigma), near_sets.opposite_formula(radius, m, eta, sigma)
    cause, on = "remainder: offset 1e-13 / sigma^2 of the atoms", "ideal denoiser against the formula"
    check.equal(ratio, formula, tol=1e-6, cause=cause, on=on)
    cause = "remainder: 1/m + eta + (sigma/d)^2 log(m/eta)^2 + the offset 1e-13 / sigma^2"
    check.tight(ratio, limit, tol=5e-4, cause=cause, on="opposite family, |K| = 20,000, eta = 1e-4, sigma = .001 d")

    # all of them, by the formula
    search = np.array(
        [
            near_sets.opposite_formula(radius, m, np.geomspace(1e-6, m, 40), sigma)
            for m in (2, 3, 10, 1000, 10**6)
            for sigma in np.geomspace(1e-3, 30, 50)
        ]
    )
    on = f"opposite family, {search.size} members, |K| to 10^6, sigma/d to 30"
    check.holds(search, 1.0, tol=0, cause="exact", on=on)
    cause = "remainder: smallest sigma/d = .001 of the search"
    check.tight(search.max(), limit, tol=5e-4, cause=cause, on="largest of the opposite family")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, near_sets):
    quarter = lambda d, s, m, e: 1 + 2 * (s / d) ** 2 * (1 / math.e + math.log(m / e) / 4)  # noqa: E731
    check.control(
        "half the logarithm (a quarter)",
        near_sets.opposite(quarter, 1000, 0.01, 0.1),
        1.0,
        tol=1e-9,
        on="|K| = 1000, eta .01",
    )
    bare = lambda d, s, m, e: 1 + (s / d) ** 2 * math.log(m / e)  # noqa: E731
    check.control("1/e (none)", near_sets.opposite(bare, 20_000, 1e-4, 1e-3), 1.0, tol=1e-6, on="|K| = 20,000, eta = 1e-4")
    ratio = near_sets.opposite(bound.near_set_radius_half_log, 1000, 0.01, 0.1, share=0.25)
    check.control("the radius (25 % of alpha - 1)", ratio, 1.0, tol=1e-9, on="|K| = 1000, eta .01, sigma = .1 d")
