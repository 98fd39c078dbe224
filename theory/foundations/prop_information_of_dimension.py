"""The denoising information is at most d (1 + ln(T / delta)).

(H1) E|X|^2 is finite. (H2) 0 < delta <= T. With M(t) the error of the posterior mean at variance t

    D = M(T)/T + int_delta^T M(t)/t^2 dt  <=  d (1 + ln(T / delta)).

Attained in the limit of a Gaussian of infinite variance. Source: S. Chewi, Log-Concave Sampling, Eq. (12.3.3) (read).
"""

import numpy as np

from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.information_of_dimension.statement
NAMES = ("N(0, 1)", "two points +-1", "three unequal points", "two modes")
CAUSE = "remainder: 1e-9 relative: quadrature over the line and over the levels"


def normal_information(v, T, delta):
    """D of N(0, v) in closed form: M(t) = v t / (v + t)."""
    return v / (v + T) + np.log1p(v / delta) - np.log1p(v / T)


def test_holds(check, ladder):
    for name in NAMES:
        case = ladder(name)
        larger = bound.information_of_dimension(1, case.T, case.delta)
        check.holds(case.information(), larger, tol=1e-9 * larger, cause=CAUSE, on=f"{name}, T = 100, delta = .01")


def test_the_closed_form(check, ladder):
    case = ladder("N(0, 1)")
    expected = normal_information(1.0, case.T, case.delta)
    check.equal(case.information(), expected, tol=1e-9 * expected, cause=CAUSE, on="N(0, 1)")


def test_tight(check):
    """A wide Gaussian in d dimensions: the ratio tends to 1 like T / v."""
    for d, T, delta in ((1, 2.0, 0.1), (50, 100.0, 1e-3)):
        v = 1e9 * T
        ratio = d * normal_information(v, T, delta) / bound.information_of_dimension(d, T, delta)
        check.tight(ratio, 1.0, tol=3e-9, cause="remainder: 3 T / v", on=f"N(0, v I), v = 1e9 T, d = {d}")


def test_controls(check):
    wide = normal_information(1e9, 2.0, 0.1)
    without = bound.information_of_dimension(1, 2.0, 0.1) - 1
    check.control("the term d beside the logarithm", wide, without, on="N(0, 10^9), T = 2")
    check.control("(H2) delta (ten times it)", wide, bound.information_of_dimension(1, 2.0, 1.0), on="N(0, 10^9), T = 2")
