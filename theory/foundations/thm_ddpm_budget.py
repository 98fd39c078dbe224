"""Ancestral sampling: KL of the output from the error of the posterior mean along the levels.

(H1) E|X|^2 is finite. (H2) The posterior mean is exact. With M(t) the error of the posterior mean at variance t

    KL(pi_delta | output)  <=  KL(pi_T | N(0, T I)) + (1/2) sum_n int_{t_{n+1}}^{t_n} (M(t_n) - M(t)) / t^2 dt.

Derived here (Girsanov's theorem; the posterior mean is a martingale in reverse time).
"""

import numpy as np

from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.ddpm_budget.statement
NAMES = ("N(0, 1)", "two points +-1", "three unequal points", "two modes")
CAUSE = "remainder: 1e-9 relative: quadrature over the line and over the levels"


def budget(case, initial=0.0):
    errors = [case.error(t) for t in case.t[:-1]]
    return bound.ddpm_budget(initial, errors, case.t, case.integrals())


def normal_budget(t, variance=1.0):
    """The same for N(0, variance), whose error M(t) = v t / (v + t) has an elementary integral: an independent form."""
    error = variance * t / (variance + t)
    integral = np.log(t[:-1] / (variance + t[:-1])) - np.log(t[1:] / (variance + t[1:]))
    return 0.5 * np.sum(error[:-1] * (1 / t[1:] - 1 / t[:-1]) - integral)


def test_holds(check, ladder):
    for name in NAMES:
        case = ladder(name)
        larger = budget(case)
        check.holds(case.kl(), larger, tol=1e-9 * larger, cause=CAUSE, on=f"{name}, h = .2, T = 100, delta = .01")


def test_the_martingale(check, ladder):
    """The budget of a Gaussian in closed form, and with one step per level: the whole range at once."""
    case = ladder("N(0, 1)")
    expected = normal_budget(case.t)
    check.equal(budget(case), expected, tol=1e-9 * expected, cause=CAUSE, on="N(0, 1), h = .2")
    check.equal(budget(case, 0.5), 0.5 + expected, tol=1e-9, cause=CAUSE, on="N(0, 1), start of divergence 1/2")


def test_rate(check, ladder):
    """The budget bounds the divergence of the paths, which is of order h."""
    cases = [ladder("two points +-1", h=h) for h in (0.1, 0.05, 0.02)]
    slope = np.polyfit(np.log([c.h for c in cases]), np.log([budget(c) for c in cases]), 1)[0]
    check.rate(slope, 1.0, within=0.1, on="two points against h")


def test_controls(check, ladder):
    """Without the value at the start of the step the sum is negative: the frozen mean is what costs."""
    case = ladder("two modes", h=0.5)
    ends = bound.ddpm_budget.formula(0.0, [case.error(t) for t in case.t[1:]], case.t, case.integrals())
    check.control("M at the start of the step (at its end)", case.kl(), ends, on="two modes, h = 1/2")
    part = bound.ddpm_budget(0.0, [case.error(t) for t in case.t[:-1]], case.t, case.integrals()) * 0.02
    check.control("the sum over the steps (a fiftieth)", case.kl(), part, on="two modes, h = 1/2")
