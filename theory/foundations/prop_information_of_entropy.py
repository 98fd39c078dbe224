"""The denoising information is at most twice the mutual information at the last level.

(H1) E|X|^2 is finite. With I_delta = I(X; X + sqrt(delta) Z), the entropy of pi_delta less that of N(0, delta I),

    D = M(T)/T + int_delta^T M(t)/t^2 dt  <=  2 I_delta,

with equality in the limit T to infinity. Derived here; S. Chewi, Log-Concave Sampling, Eq. (12.3.5) has 4 I_delta (read).
"""

import numpy as np

from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.information_of_entropy.statement
NAMES = ("N(0, 1)", "two points +-1", "three unequal points", "two modes")
CAUSE = "remainder: 1e-9 relative: quadrature over the line and over the levels"


def test_holds(check, ladder):
    for name in NAMES:
        for T in (1.0, 100.0):
            case = ladder(name, T=T)
            larger = bound.information_of_entropy(case.mutual_information(case.delta))
            check.holds(case.information(), larger, tol=1e-9 * larger, cause=CAUSE, on=f"{name}, T = {T:g}, delta = .01")


def test_the_derivative(check, ladder):
    """The integral of M/t^2 is twice the loss of information: entropy and posterior mean are computed independently."""
    for name in NAMES:
        case = ladder(name)
        lost = case.mutual_information(case.delta) - case.mutual_information(case.T)
        integral = case.information() - case.error(case.T) / case.T
        check.equal(integral, 2 * lost, tol=1e-9, cause=CAUSE, on=f"{name}, from T = 100 to delta = .01")


def test_tight(check, ladder):
    """Two points: 2 I tends to 2 ln 2 as delta falls, and D to 2 I as T grows; what is missing is of the order T^-2."""
    case = ladder("two points +-1", T=10000.0, h=0.3)
    larger = bound.information_of_entropy(case.mutual_information(case.delta))
    check.tight(case.information() / larger, 1.0, tol=1e-7, cause="remainder: M_2^2 / T^2", on="two points, T = 10^4")
    check.equal(larger, 2 * np.log(2), tol=1e-9, cause=CAUSE, on="two points: twice the entropy of the law")


def test_controls(check, ladder):
    case = ladder("two points +-1")
    half = bound.information_of_entropy(case.mutual_information(case.delta)) / 2
    check.control("the factor 2 (1)", case.information(), half, on="two points, T = 100")
    late = bound.information_of_entropy(case.mutual_information(1.0))
    check.control("the last level delta (level 1)", case.information(), late, on="two points, T = 100")
