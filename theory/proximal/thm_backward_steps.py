"""The announced rate d / sqrt(eps): so many equal steps of the backward scheme suffice.

Suppose that

    (H1)  the hypotheses of `thm_backward_kl` hold with M_2, L, H, and the start is exact,
    (H2)  the N steps over [0, T] are equal.

Then KL(p_0 | q_0) <= eps for

    N  =  ceil max( T^{3/2} sqrt(C / eps),  2 T (L + 1/2) ),    C the constant of `thm_backward_kl`.

The power 1/2 of 1/eps is attained on Gaussians; the power of d was attained on no instance that we tried: there N ~
sqrt(d).

Source: the rate O~(d / sqrt(eps)) was seen in the abstract of Fang, Diaz, Buchanan & Sulam; constants and step condition
are derived here. An upper bound.
"""

import math

import mpmath
import numpy as np
import pytest

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import gaussian, line, radial
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.backward_steps.statement
EPS = np.finfo(np.float64).eps


def gaussian_kl(S, N, T):
    """KL(N(0, diag S) | output of N steps), exact recursion."""
    V = gaussian("proximal_backward", np.zeros(len(S)), S, schedules.vp_linear(N, beta_min=T, beta_max=T)).cov
    u = V / S - 1
    return 0.5 * float(np.sum(np.log1p(u) - u / (1 + u)))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds_on_gaussians(check):
    T = 2.0
    for d in (1, 20, 400):
        S = np.linspace(0.6, 1.7, d) if d > 1 else np.array([0.6])
        L, moment = 1 / 0.6, float(S.sum())
        for eps in (1e-1, 1e-2, 1e-3):
            N = bound.backward_steps(eps * d, T, d, moment, L, 0.0)
            on = f"N(0, S), d = {d}, eps = {eps:g} d"
            check.hypothesis("g (L + 1/2) <= 1/2", T / N * (L + 0.5) <= 0.5, on=on)
            cause = "rounding: 64 eps N: rounding of the recursion"
            check.holds(gaussian_kl(S, N, T), eps * d, tol=64 * EPS * N, cause=cause, on=on)


def test_holds_on_a_mixture(check, targets, uniform, marginal_kl):
    law, v, R, moment = targets["two modes, +-.6, v .4"]
    T, eps = 1.0, 0.02
    L, H = bound.mixture_constants(v, R, T)
    N = bound.backward_steps(eps, T, 1, moment, L, H)
    cause = "remainder: 1e-12: mass error that propagation tolerates"
    check.holds(
        marginal_kl(law, "proximal_backward", N, T), eps, tol=1e-12, cause=cause, on=f"+-.6, v .4, eps = {eps}, N = {N}"
    )


def test_steps_are_enough_for_the_bound(check):
    """The step count inverts the closed bound: at N it is at most eps, at N - 1 it is not (control)."""
    for eps, d, H in ((1e-2, 4, 2.0), (1e-5, 100, 2.0), (1e-6, 1, 0.0)):
        L, T = 3.0, 5.0
        N = bound.backward_steps(eps, T, d, float(d), L, H)
        value = bound.backward_kl(np.full(N, T / N), d, float(d), L, H)
        on = f"eps = {eps:g}, d = {d}, H = {H:g}"
        # an identity between two registered functions: reported apart, so that the worst ratio stays that of exact KL
        check.hypothesis("closed bound at N is at most eps", value <= eps * (1 + 8 * EPS), on=on)
        if math.ceil(2 * T * (L + 0.5)) < N:
            fewer = bound.backward_kl(np.full(N - 1, T / (N - 1)), d, float(d), L, H)
            check.control("one step", fewer, eps, on=on)


def test_formula_in_50_digits(check):
    """The printed number of steps; each term of the maximum decides in two of the four cases."""
    counts, exact = [], []
    cases = ((1e-2, 2, 20, 31.0, 1.5, 0), (1e-3, 1, 1, 1.0, 2, 0.5), (5e3, 3, 4, 2.0, 40, 0), (1e6, 5, 9, 9.0, 3, 1))
    for eps, T, d, moment, L, H in cases:
        with mpmath.workdps(50):
            half, D, root = mpmath.mpf(1) / 2, max(d, moment), mpmath.sqrt
            start = (L + half) * (root(D) + root(d * L)) / 2 + 2 * d * H
            end = (L + half) * root(3 * d * L + D / mpmath.mpf(8)) + L * root(D) / 2 + d * H / mpmath.mpf(2)
            C = (start**2 + start * end + end**2) / 6
            terms = mpmath.mpf(T) ** (3 * half) * root(C / mpmath.mpf(eps)), 2 * T * (L + half)
            exact.append(int(mpmath.ceil(max(terms))))
        counts.append(bound.backward_steps(eps, T, d, moment, L, H))
    check.equal(counts, exact, tol=0, cause="exact: a count", on="mpmath, accuracies 1e-3 .. 1e6")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_announced_exponents(check):
    """Slopes of the step count itself: 1/2 in 1/eps; 1 in d with H > 0, 1/2 with H = 0."""
    small = [bound.backward_steps(e, 5.0, 10, 10.0, 3.0, 2.0) for e in (1e-8, 1e-10)]
    check.rate(math.log(small[1] / small[0]) / math.log(100), 0.5, within=1e-3, on="N against 1/eps")
    for H, slope in ((2.0, 1.0), (0.0, 0.5)):
        large = [bound.backward_steps(1e-6, 5.0, d, float(d), 3.0, H) for d in (10**6, 10**7)]
        check.rate(math.log10(large[1] / large[0]), slope, within=1e-2, on=f"N against d, H = {H:g}")


def needed(S, eps, T):
    """Smallest N with exact KL at most eps on N(0, diag S)."""
    guess = 64 * math.sqrt(gaussian_kl(S, 64, T) / eps)  # KL is nearly proportional to 1/N^2
    low, high = int(0.9 * guess), math.ceil(1.1 * guess)
    while gaussian_kl(S, low, T) <= eps:
        low, high = low // 2, low
    while gaussian_kl(S, high, T) > eps:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if gaussian_kl(S, middle, T) > eps else (low, middle)
    return high


def test_measured_exponents(check):
    """What exact KL needs: 1/sqrt(eps) (attained) and sqrt(d) (not d) on Gaussians."""
    S, T = np.array([0.5]), 2.0
    found = [needed(S, e, T) for e in (1e-4, 1e-6)]
    check.rate(math.log(found[1] / found[0]) / math.log(100), 0.5, within=0.02, on="measured N against 1/eps: attained")
    found = [needed(np.full(d, 0.5), 1e-4, T) for d in (10, 1000)]
    check.rate(
        math.log(found[1] / found[0]) / math.log(100), 0.5, within=0.02, on="measured N against d: sqrt(d), not attained"
    )


@pytest.mark.deep
def test_dimension_beyond_products(check):
    """Radial scale mixtures, which are not products: KL is linear in d, so N grows like sqrt(d) again."""
    kls = []
    for d in (32, 64):
        v = 0.8 * (1 + np.array([-0.9, 0.9]) / math.sqrt(d))
        law = GaussianMixture([0.5, 0.5], np.zeros((2, d)), v)
        run = radial.propagate(law, schedules.vp_linear(32, beta_min=2.0, beta_max=2.0), "proximal_backward")
        kls.append(line.divergences(run.target, run.law).kl)
    check.rate(math.log2(kls[1] / kls[0]), 1.0, within=0.15, on="KL against d on scale mixtures, d = 32, 64")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_control_on_the_exponent(check):
    """Steps growing like eps^(-1/4) only: calibrated at eps = .1, too few at 1e-9."""
    S, T = np.array([0.5]), 2.0
    N = bound.backward_steps(0.1, T, 1, 0.5, 2.0, 0.0)
    fewer = math.ceil(N * (0.1 / 1e-9) ** 0.25)
    on = "N(0, .5), calibrated at eps = .1, eps = 1e-9"
    check.control("the exponent 1/2 of 1/eps (1/4)", gaussian_kl(S, fewer, T), 1e-9, on=on)
