"""Ancestral sampling reaches any law with a second moment in KL, with an explicit constant.

(H1) E|X|^2 <= M_2. (H2) Steps t_n - t_{n+1} <= h t_n with h <= 1/2, from T down to delta. (H3) Start N(0, T I), exact
posterior mean. With the denoising information D = M(T)/T + int_delta^T M(t)/t^2 dt, M(t) the error of the posterior mean,

    KL(pi_delta | output)  <=  M_2 / (2T) + 2 h D.

No density and no Lipschitz constant: the laws include atoms. Source: S. Chewi, Log-Concave Sampling, Theorem 12.3.2 (read).
"""

import numpy as np
import pytest

from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.ddpm_kl.statement
NAMES = ("N(0, 1)", "two points +-1", "three unequal points", "two modes")
CAUSE = "remainder: 1e-9 relative: quadrature over the line and over the levels"


@pytest.mark.parametrize("h", [0.2, pytest.param(0.5, marks=pytest.mark.deep), pytest.param(0.05, marks=pytest.mark.deep)])
def test_holds(check, ladder, h):
    """KL of the start and of the chain: their sum bounds the divergence from the start N(0, T)."""
    for name in NAMES:
        case = ladder(name, h=h)
        larger = bound.ddpm_kl(case.second_moment, case.T, case.h, case.information())
        on = f"{name}, h = {h:g}, T = 100, delta = .01"
        check.hypothesis("(H2) relative steps <= 1/2", case.h <= 0.5, on=on)
        check.holds(case.initial() + case.kl(), larger, tol=1e-9 * larger, cause=CAUSE, on=on)


def test_products(check, ladder):
    """The corners of a cube in d dimensions: M, M_2 and KL add."""
    case = ladder("two points +-1")
    for d in (2, 16, 256):
        larger = bound.ddpm_kl(d * case.second_moment, case.T, case.h, d * case.information())
        on = f"the {d}-dimensional cube's corners"
        check.holds(d * (case.initial() + case.kl()), larger, tol=1e-9 * larger, cause=CAUSE, on=on)


def test_the_constant(check):
    """The two terms of the book, at numbers that show each of them."""
    for value, expected, on in (
        (bound.ddpm_kl(3.0, 2.0, 0.0, 1.0), 0.75, "start"),
        (bound.ddpm_kl(0.0, 1.0, 0.25, 3.0), 1.5, "steps"),
    ):
        check.equal(value, expected, tol=0, cause="exact: binary fractions", on=on)


def test_rate(check, ladder):
    """The bound is of order h, the divergence of order h^2: the order of the bound is not attained."""
    steps = (0.1, 0.05, 0.025)
    kls = [ladder("two points +-1", h=h).kl() for h in steps]
    sizes = [ladder("two points +-1", h=h).h for h in steps]
    check.rate(np.polyfit(np.log(sizes), np.log(kls), 1)[0], 2.0, within=0.15, on="exact KL of two points against h")


def test_controls(check, ladder):
    """The start, the steps, and the information each count."""
    case = ladder("three unequal points", T=2.0)
    larger = bound.ddpm_kl(0.0, case.T, case.h, 0.0)
    check.control("M_2 / (2T) and 2 h D", case.initial() + case.kl(), larger, on="three points, T = 2")
    start = bound.ddpm_kl(0.01 * case.second_moment, case.T, 0.0, 0.0)
    check.control("(H1) M_2 (a hundredth of it)", case.initial(), start, on="three points, T = 2")
    steps = bound.ddpm_kl(0.0, case.T, 1e-3 * case.h, case.information())
    check.control("(H2) h (a thousandth of it)", case.kl(), steps, on="three points, T = 2")
