"""Ancestral sampling in KL with a quarter of the book's constant for small steps.

(H1) E|X|^2 <= M_2. (H2) Steps t_n - t_{n+1} <= h t_n with h < 1, from T down to delta. (H3) Start N(0, T I), exact posterior
mean. With the denoising information D

    KL(pi_delta | output)  <=  budget  <=  M_2 / (2T) + h D / (2 (1 - h)).

Derived here from the budget: M increases, so its increments are summed by parts.
"""

import numpy as np

from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.ddpm_kl_sharp.statement
NAMES = ("N(0, 1)", "two points +-1", "three unequal points", "two modes")
CAUSE = "remainder: 1e-9 relative: quadrature over the line and over the levels"


def budget(case):
    """The budget of the levels from the exact start."""
    errors = [case.error(t) for t in case.t[:-1]]
    return bound.ddpm_budget(0.0, errors, case.t, case.integrals())


def test_holds(check, ladder):
    for name in NAMES:
        case = ladder(name)
        larger = bound.ddpm_kl_sharp(case.second_moment, case.T, case.h, case.information())
        on = f"{name}, h = .2, T = 100, delta = .01"
        check.holds(case.initial() + case.kl(), larger, tol=1e-9 * larger, cause=CAUSE, on=on)
        steps = bound.ddpm_kl_sharp(0.0, case.T, case.h, case.information())
        check.holds(budget(case), steps, tol=1e-9 * steps, cause=CAUSE, on=on, of="budget below the bound")


def test_below_the_book(check):
    """Smaller than the constant 2 for every h up to 1/2, and a quarter of it in the limit."""
    h = np.linspace(1e-6, 0.5, 50)
    ratio = bound.ddpm_kl_sharp(0.0, 1.0, h, 1.0) / bound.ddpm_kl(0.0, 1.0, h, 1.0)
    check.holds(ratio, 0.5, tol=1e-15, cause="rounding: 1e-15", on="h in (0, 1/2]", of="our constant over the book's")
    check.equal(ratio[0], 0.25, tol=1e-6, cause="remainder: h = 1e-6", on="h to 0")


def test_summation_by_parts(check, ladder):
    """The limit in the proof: for fine levels the budget is h/4 times int dM/t, half of what the bound allows."""
    case = ladder("two points +-1", h=0.02)
    ratio = budget(case) / bound.ddpm_kl_sharp(0.0, case.T, case.h, case.information())
    cause = "remainder: 2 h: terms of second order in h"
    check.equal(ratio, 0.5, tol=2 * case.h, cause=cause, on="two points, h = .02: budget over bound")


def test_controls(check, ladder):
    case = ladder("two points +-1")
    half = bound.ddpm_kl_sharp(0.0, case.T, case.h, case.information()) / 3
    check.control("the constant 1/2 (1/6)", budget(case), half, on="two points, h = .2")
    coarse = ladder("two points +-1", h=0.9)
    steps = 0.2 * coarse.h * coarse.information()
    check.control("1/(1 - h) for coarse steps (.2 h D)", budget(coarse), steps, on="two points, h = .9")
