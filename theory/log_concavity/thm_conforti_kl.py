"""KL of the exponential integrator under finite Fisher information (derived; shape of Conforti et al. 2023, recalled).

Let u_t = grad log(r_{T-t} / gamma), gamma = N(0, I), and I(p | gamma) = E_p |grad log(p / gamma)|^2. Suppose that

    (H1)  KL(p | gamma) is finite, and the scheme starts from gamma in place of r_T,
    (H2)  I(p | gamma) is finite,
    (H3)  dY = (-Y + 2 u) dt + sqrt(2) dB, u frozen over steps of length h and the linear part solved exactly.

Then

    KL(p | output)  <=  exp(-2 T) KL(p | gamma) + h I(p | gamma),

and, sharper, <= KL(r_T | gamma) + sum_k int [I_t - (2 exp(t - t_k) - 1) I_{t_k}] dt over the steps, I_t = I(r_{T-t} |
gamma).

Measured by the exact law of the scheme on a line, on two Gaussians.
"""

import math

import numpy as np

from exactdiffusion import GaussianMixture, Grid, distances
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.conforti_kl.statement
LAW = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.1, 0.15]))


def scheme(start, end, g):
    """Y' = e^-h Y + 2 (1 - e^-h) u(Y) + sqrt(1 - e^-2h) z with u = score + y frozen; the clock's g is 2 h."""
    h = g / 2
    pull = -2 * math.expm1(-h)
    return line.Explicit(
        lambda y: (math.exp(-h) * y + pull * (y + start.score(y)), math.exp(-h) + pull * (1 + start.curvature(y))),
        -math.expm1(-g),
    )


def uniform(T, N):
    scale, sigma = bound.ornstein_uhlenbeck_level(T * (N - np.arange(N + 1)) / N)
    return Grid(scale, sigma)


def output_kl(law, T, N):
    found = line.study(law, uniform(T, N), scheme, start="normal").divergences.kl
    return found.value, found.error


def relative(law, t):
    """(KL, relative Fisher information) of X_t to N(0, 1), by quadrature."""
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(t))
    low, high = line.support(law, scale, sigma)
    x, step = np.linspace(min(low, -9.0), max(high, 9.0), 8001, retstep=True)  # all of the standard normal too
    q = law.noised(scale, sigma)
    log_r = q.log_density(x[:, None])
    p = np.exp(log_r)
    kl = distances.kl_quadrature(log_r, -0.5 * x**2 - 0.5 * math.log(2 * math.pi), np.full(len(x), step), log=True)
    return kl, step * p @ (q.score(x[:, None])[:, 0] + x) ** 2


def middle(law, T, N):
    """The sharper bound: KL_T + sum of the integrals of I_t - (2 e^(t - t_k) - 1) I_(t_k), Gauss-Legendre in each step."""
    h, total = T / N, relative(law, T)[0]
    u, w = np.polynomial.legendre.leggauss(6)
    for k in range(N):
        start = T - k * h
        first = relative(law, start)[1]
        for a, b in zip(0.5 * h * (1 + u), 0.5 * h * w):
            total += b * (relative(law, start - a)[1] - (2 * math.exp(a) - 1) * first)
    return total


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_martingale(check):
    """The lemma: I_t e^(2t) grows (u_t e^-t is a martingale along the backward process), so I_t <= e^-2t I_0."""
    t = np.array([0.0, 0.05, 0.2, 0.6, 1.5, 3.0])
    values = np.array([relative(LAW, s)[1] for s in t]) * np.exp(2 * t)
    cause, of = "remainder: quadrature on 4001 nodes", "the lemma that e^2t I(r_t|gamma) does not increase"
    check.holds(values[1:], values[:-1], tol=1e-11 * values[0], cause=cause, on="t = 0 .. 3", of=of)


def test_holds(check):
    kl_start, information = relative(LAW, 0.0)
    for T, steps in ((1.0, (10, 20)), (3.0, (20, 40, 80))):
        kl, error = np.array([output_kl(LAW, T, N) for N in steps]).T
        sharper = np.array([middle(LAW, T, N) for N in steps[:2]])
        larger = bound.conforti_kl(T, T / np.array(steps), kl_start, information)
        detail = f"ratios {np.array2string(kl / larger, precision=4)}"
        cause = "remainder: quadrature: change with half the spacing"
        on = f"KL <= e^-2T KL + h I, T = {T:g}, N = {steps[0]} .. {steps[-1]}"
        check.holds(kl, larger, tol=error, cause=cause, on=on, detail=detail)
        check.holds(kl[:2], sharper, tol=error[:2] + 1e-9, cause=cause, on=f"T = {T:g}", of="the sharper form")
        check.holds(sharper, larger[:2], tol=1e-9, cause="remainder: quadrature", on=f"T = {T:g}", of="the sharper form")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_first_term_is_tight(check):
    """h -> 0 leaves the forward mixing e^-2T KL, attained by shifted Gaussians."""
    law = GaussianMixture(None, np.array([[2.0]]), 1.0)
    kl_start, information = relative(law, 0.0)
    larger = bound.conforti_kl(1.0, 0.0, kl_start, information)
    cause = "remainder: quadrature"
    check.tight(relative(law, 1.0)[0] / larger, 1.0, tol=1e-11, cause=cause, on="N(2, 1), KL(X_T | gamma) at T = 1")
    check.tight(information / 4.0, 1.0, tol=1e-11, cause="remainder: quadrature", on="I(N(2, 1) | gamma) = |a|^2")


def test_rate(check):
    """The KL that the steps add falls as h^2, the bound as h: loose by a factor that grows.

    From the exact law at T, so that e^-2T KL is no part of it. The slopes between h = 1/60, ..., 1/480 are 1.903, 1.940
    and 1.963 (then 1.979 and 1.988): the distance to 2 is multiplied by .55 to .62 each time, as a remainder h log(1/h) does
    (1/2 for h, .6 with the logarithm). With a slope other than 2 it would stop falling.
    """
    runs = [line.propagate(LAW, uniform(1.0, N), scheme) for N in (60, 120, 240, 480)]
    kl = [line.divergences(run.target, run.law).kl for run in runs]
    slopes = np.log2(np.divide(kl[:-1], kl[1:]))
    away = 2 - slopes
    cause, on = "remainder: remainder h log(1/h): .5 to .62", "2 - slope of the KL, each halving of h from 1/60 to 1/480"
    check.holds(away[1:], 0.7 * away[:-1], tol=0, cause=cause, on=on, of="the slope's remainder")
    on = "added KL against h, h = 1/240 to 1/480 (the bound has slope 1)"
    detail = f"slopes {np.array2string(slopes, precision=3)}; within .7 of the distance of the slope before, .0601"
    check.rate(slopes[-1], 2.0, within=0.7 * 0.0601, on=on, detail=detail)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    kl_start, information = relative(LAW, 0.0)
    kl, error = output_kl(GaussianMixture(None, np.array([[2.0]]), 1.0), 0.3, 60)
    check.control("e^-2T KL", kl, 0.3 / 60 * 4.0, tol=error, on="N(2, 1), T = .3, N = 60, h I alone")
    # a law of infinite information (in the limit): narrow modes, with the information of the wide ones
    narrow = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.01, 0.01]))
    kl, error = output_kl(narrow, 3.0, 20)
    check.control(
        "I(p|gamma) (that of a smoother law)",
        kl,
        bound.conforti_kl(3.0, 0.15, kl_start, information),
        tol=error,
        on="variances .01, N = 20",
    )

    def other(start, end, g):
        h = g / 2
        pull = -math.expm1(-h)
        return line.Explicit(
            lambda y: (math.exp(-h) * y + pull * (y + start.score(y)), math.exp(-h) + pull * (1 + start.curvature(y))),
            -math.expm1(-g),
        )

    run = line.propagate(LAW, uniform(3.0, 140), other, start="normal")
    kl = line.divergences(run.target, run.law).kl
    check.control("factor 2 of u (1)", kl, bound.conforti_kl(3.0, 3 / 140, kl_start, information), on="T = 3, N = 140")
