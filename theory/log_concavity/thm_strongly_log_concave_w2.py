"""Backward equations on strongly log-concave data (derived; shape of Gao et al. and Bruno et al. 2023, recalled).

Let D_t = 1 + alpha (exp(2 t) - 1) and gamma = N(0, I). Suppose that

    (H1)  -Hess log p >= alpha I with alpha > 0,
    (H2)  the equation and the probability flow run in continuous time, from Y_0 ~ gamma in place of r_T,
    (H3)  the error of the score has a second moment of at most eps^2 at every time, under the law of the sampler.

Then

    equation:  W2  <=  W2(p, gamma) / D_T + 2 eps int_0^T exp(t) / D_t dt,
    flow:      W2  <=  W2(p, gamma) / sqrt(D_T) + eps int_0^T exp(t) / sqrt(D_t) dt,

with equality in both for N(a, I), also with a constant shift of its score along a.

Measured on Gaussians in R^3 in closed form, and on two laws on a line by exact densities.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.strongly_log_concave_w2.statement
#: two points at +-1 noised with sigma^2 = 2 (-Hess log p in [1/4, 1/2]) and with 1.25 (in [.16, .8])
LAWS = (("sigma^2 = 2", GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), 0.25),
        ("sigma^2 = 1.25, weights .1 .9", GaussianMixture([0.1, 0.9], np.array([[-1.0], [1.0]]), 1.25), 0.16))  # fmt: skip

NORMAL = GaussianMixture(None, np.zeros((1, 1)), 1.0)


def gaussian_w2(mean, lam, T, error):
    """Exact W2 of equation and flow on N(mean, lam I) from N(0, I), with the constant ``error`` added to the score.

    Deviations from the exact solution are linear: at time t before the end they shrink by e^t/D_t (flow: e^t/sqrt D_t).
    """
    mean, error = np.asarray(mean), np.asarray(error)

    def D(t):
        return 1 + math.expm1(2 * t) / lam

    # how far the mean is off: what is left of the start, and the errors gathered on the way
    gathered = Both(*(quad(kernel, 0, T, epsabs=0, epsrel=1e-12)[0] for kernel in kernels(D)))
    off = Both(-mean / D(T) + error * gathered.equation, -mean / math.sqrt(D(T)) + error * gathered.flow)

    # standard deviations: the start has the variance 1 in place of rho_T = 1 + e^-2T (lam - 1)
    spread = Both(math.sqrt(lam + (1 - lam) / D(T) ** 2), math.sqrt(lam / (1 + math.exp(-2 * T) * (lam - 1))))
    return Both(*(math.sqrt(o @ o + mean.size * (s - math.sqrt(lam)) ** 2) for o, s in zip(off, spread)))


class Both(NamedTuple):
    """A number for the backward equation, and one for the probability flow."""

    equation: float
    flow: float


def kernels(D):
    """The integrands 2 e^t / D_t and e^t / sqrt(D_t) of the error terms."""
    return Both(lambda t: 2 * math.exp(t) / D(t), lambda t: math.exp(t) / math.sqrt(D(t)))


def line_w2(backward, law, T, N, scheme):
    """W2 of the exact output law of a sampler of the library on a line."""
    run = line.propagate(law, backward.grid(T, N), scheme, start="normal")
    return line.divergences(run.target, run.law).w2


def w2_to_normal(law, x):
    """W2(p, N(0, 1)) on the nodes x."""
    return line.divergences(line.discretise(law, x), line.discretise(NORMAL, x)).w2


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    """N(mu, lam I) in R^3, three variances, three times, with and without an error of the score."""
    rng = np.random.default_rng(100)
    measured, larger = [], []
    for lam, T, size in itertools.product((0.2, 1.0, 4.0), (0.3, 1.0, 3.0), (0.0, 0.2)):
        mean = 2 * rng.standard_normal(3)
        error = rng.standard_normal(3)
        error *= size / np.linalg.norm(error)
        start = distances.bures_w2(mean, lam * np.eye(3), np.zeros(3), np.eye(3))
        measured.append(gaussian_w2(mean, lam, T, error))
        larger.append(bound.strongly_log_concave_w2(T, 1 / lam, start, size))

    measured, larger = np.array(measured), np.array(larger)
    detail = f"ratios {(measured / larger).min():.3f} .. {(measured / larger).max():.3f}"
    cause = "remainder: square roots; quadrature 1e-12"
    check.holds(measured, larger, tol=1e-10 * larger, cause=cause, on="N(mu, lam I) in R^3, 18 settings", detail=detail)


def test_against_the_library(check):
    """Continuous-time formulas of this file against the recursion of Euler-Maruyama, extrapolated in the step."""
    for mean, lam, T in ((0.7, 0.25, 2.0), (-2.0, 4.0, 1.0)):
        values = []
        for N in (2000, 4000, 8000):
            m, v = bound.backward_euler_maruyama_gaussian(mean, lam, T, N)
            values.append(math.hypot(m - mean, math.sqrt(v) - math.sqrt(lam)))
        limit, before = 2 * values[2] - values[1], 2 * values[1] - values[0]
        exact = gaussian_w2(np.array([mean]), lam, T, np.zeros(1)).equation
        cause = "remainder: 4 x the last change of Richardson's extrapolation"
        check.equal(limit, exact, tol=4 * abs(limit - before), cause=cause, on=f"N({mean:g}, {lam:g}), T = {T:g}")


def test_line(check, backward):
    """Laws that are not Gaussian: exact densities, the step's error by doubling."""
    for name, law, alpha in LAWS:
        x = np.linspace(-14, 14, 2801)
        top = law.hessian(x[:, None])[:, 0, 0].max()
        check.hypothesis("-Hess log p >= alpha", top <= -alpha + 1e-13, value=f"{-top:.6g}", on=name)

        start, times = w2_to_normal(law, x), (0.5, 1.5)
        larger = Both(*zip(*(bound.strongly_log_concave_w2(T, alpha, start) for T in times)))
        for scheme, limit in zip(("euler_maruyama", "probability_flow"), larger):
            coarse, fine = (np.array([line_w2(backward, law, T, N, scheme) for T in times]) for N in (40, 80))
            cause, on = "remainder: twice the change from 40 to 80 steps", f"{scheme}, {name}, T = .5, 1.5"
            detail = f"ratios {np.array2string(fine / limit, precision=3)}"
            check.holds(fine, limit, tol=2 * np.abs(fine - coarse) + 1e-6, cause=cause, on=on, detail=detail)


def test_error_term(check):
    """Both integrals in closed form, any alpha, against quadrature; a constant shift of a Gaussian's score attains them."""
    for T, alpha in itertools.product((0.01, 1.0, 6.0), (1e-4, 0.25, 1 - 1e-9, 1.0, 1 + 1e-9, 4.0, 1e10)):
        found = Both(*bound.strongly_log_concave_w2(T, alpha, 0.0, 1.0))
        both = kernels(lambda t, alpha=alpha: 1 + alpha * math.expm1(2 * t))
        cut = min(T, 1 / alpha)  # the integrands fall from 1 on this scale: beyond it the quadrature is in log t
        for name, kernel, value in zip(Both._fields, both, found):
            exact = quad(kernel, 0, cut, epsabs=0, epsrel=1e-12)[0]
            if cut < T:
                in_log = lambda s, kernel=kernel: kernel(math.exp(s)) * math.exp(s)  # noqa: E731
                exact += quad(in_log, math.log(cut), math.log(T), epsabs=0, epsrel=1e-12, limit=200)[0]
            cause, on = "remainder: quadrature 1e-12, twice", f"{name}, alpha = {alpha:g}, T = {T:g}"
            check.equal(value / exact, 1.0, tol=1e-11, cause=cause, on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """N(a, I), with a constant shift of its score along a."""
    a = np.array([1.5, -2.0, 0.0])
    unit = a / np.linalg.norm(a)
    for T, size in itertools.product((0.5, 2.0), (0.0, 0.3)):
        measured = np.array(gaussian_w2(a, 1.0, T, -size * unit))
        larger = bound.strongly_log_concave_w2(T, 1.0, np.linalg.norm(a), size)
        cause, on = "remainder: quadrature 1e-12", f"N(a, I), T = {T:g}, shift {size:g} of the score"
        check.tight(measured / larger, 1.0, tol=1e-10, cause=cause, on=on)


def test_rate(check):
    """Forgetting of the start: e^-2T for the equation, e^-T for the flow (T = 3, 4, 5, on N(mu, 1/4))."""
    T = np.array([3.0, 4.0, 5.0])
    w2 = Both(*zip(*(gaussian_w2(np.array([1.0]), 0.25, t, np.zeros(1)) for t in T)))
    check.rate(distances.fit_slope(np.exp(T), w2.equation), -2.0, within=0.01, on="equation, W2 against e^T")
    check.rate(distances.fit_slope(np.exp(T), w2.flow), -1.0, within=0.01, on="flow, W2 against e^T")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, backward):
    """The law is less log-concave than assumed, the flow is given the rate of the equation, the error counts once."""
    a, T = np.array([2.0]), 2.0

    # (H1) alpha is too large, or p is not log-concave
    start = distances.bures_w2(a, np.array([4.0]), np.zeros(1), np.ones(1))
    wide, larger = gaussian_w2(a, 4.0, T, np.zeros(1)), Both(*bound.strongly_log_concave_w2(T, 1.0, start))
    check.control("alpha of the data (4 times too large)", wide.equation, larger.equation, on="N(2, 4)")
    modes = GaussianMixture([0.2, 0.8], np.array([[-2.0], [2.0]]), 0.1)
    larger = Both(*bound.strongly_log_concave_w2(1.5, 10.0, w2_to_normal(modes, np.linspace(-9, 9, 4001))))
    value = line_w2(backward, modes, 1.5, 150, "euler_maruyama")  # the flow leaves no nodes between the modes
    dropped = "log-concavity (1/tau^2 of the components pretended)"
    check.control(dropped, value, larger.equation, on="two modes at +-2, variance .1")

    # (H2) the flow forgets its start more slowly than the equation
    flow, larger = gaussian_w2(a, 1.0, T, np.zeros(1)).flow, Both(*bound.strongly_log_concave_w2(T, 1.0, 2.0))
    check.control("the flow's own rate (that of the equation)", flow, larger.equation, on="N(2, 1)")

    # (H3) the error of the score enters the equation twice
    shifted = gaussian_w2(a, 1.0, T, np.array([-0.3]))
    half = Both(*bound.strongly_log_concave_w2(T, 1.0, 2.0, 0.15))
    check.control("factor 2 of the score's error", shifted.equation, half.equation, on="N(2, 1)")
