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

import math

import numpy as np
from scipy.integrate import quad

from exactdiffusion import GaussianMixture, Grid, distances
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.strongly_log_concave_w2.statement
#: two points at +-1 noised with sigma^2 = 2 (-Hess log p in [1/4, 1/2]) and with 1.25 (in [.16, .8])
LAWS = (("sigma^2 = 2", GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), 0.25),
        ("sigma^2 = 1.25, weights .1 .9", GaussianMixture([0.1, 0.9], np.array([[-1.0], [1.0]]), 1.25), 0.16))  # fmt: skip

NORMAL = GaussianMixture(None, np.zeros((1, 1)), 1.0)


def uniform(T, N):
    scale, sigma = bound.ornstein_uhlenbeck_level(T * (N - np.arange(N + 1)) / N)
    return Grid(scale, sigma)


def gaussian_w2(mean, lam, T, error):
    """Exact W2 of equation and flow on N(mean, lam I) from N(0, I), with the constant ``error`` added to the score.

    Deviations from the exact solution are linear: at time t before the end they shrink by e^t/D_t (flow: e^t/sqrt D_t).
    """
    D = 1 + math.expm1(2 * T) / lam
    mean = np.asarray(mean)
    kernels = (lambda t: 2 * math.exp(t) / (1 + math.expm1(2 * t) / lam),
               lambda t: math.exp(t) / math.sqrt(1 + math.expm1(2 * t) / lam))  # fmt: skip
    gathered = [quad(k, 0, T, epsabs=0, epsrel=1e-12)[0] for k in kernels]
    off = [-mean / D + np.asarray(error) * gathered[0], -mean / math.sqrt(D) + np.asarray(error) * gathered[1]]
    # start: variance 1 against rho_T = 1 + e^-2T (lam - 1)
    equation = math.sqrt(lam + (1 - lam) / D**2)
    flow = math.sqrt(lam / (1 + math.exp(-2 * T) * (lam - 1)))
    d = mean.size
    return [math.sqrt(o @ o + d * (s - math.sqrt(lam)) ** 2) for o, s in zip(off, (equation, flow))]


def law_w2(law, T, N, scheme):
    run = line.propagate(law, uniform(T, N), scheme, start="normal")
    return line.divergences(run.target, run.law).w2


def kernel(t, alpha, power):
    return math.exp(t) / (1 + alpha * math.expm1(2 * t)) ** power


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    rng = np.random.default_rng(100)
    measured, larger = [], []
    for lam in (0.2, 1.0, 4.0):
        for T in (0.3, 1.0, 3.0):
            for size in (0.0, 0.2):
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
        exact = gaussian_w2(np.array([mean]), lam, T, np.zeros(1))[0]
        cause = "remainder: 4 x the last change of Richardson's extrapolation"
        check.equal(limit, exact, tol=4 * abs(limit - before), cause=cause, on=f"N({mean:g}, {lam:g}), T = {T:g}")


def test_line(check):
    """Laws that are not Gaussian: exact densities, the step's error by doubling."""
    for name, law, alpha in LAWS:
        x = np.linspace(-14, 14, 2801)
        top = law.hessian(x[:, None])[:, 0, 0].max()
        check.hypothesis("-Hess log p >= alpha", top <= -alpha + 1e-13, value=f"{-top:.6g}", on=name)
        start = line.divergences(line.discretise(law, x), line.discretise(NORMAL, x)).w2
        for column, scheme in enumerate(("euler_maruyama", "probability_flow")):
            measured, tol, larger = [], [], []
            for T in (0.5, 1.5):
                coarse, fine = (law_w2(law, T, N, scheme) for N in (40, 80))
                measured.append(fine)
                tol.append(2 * abs(fine - coarse) + 1e-6)
                larger.append(bound.strongly_log_concave_w2(T, alpha, start)[column])
            check.holds(measured, larger, tol=np.array(tol), cause="remainder: twice the change from 40 to 80 steps",
                        on=f"{scheme}, {name}, T = .5, 1.5",
                        detail=f"ratios {np.array2string(np.array(measured) / larger, precision=3)}")  # fmt: skip


def test_error_term(check):
    """Both integrals in closed form, any alpha, against quadrature; a constant shift of a Gaussian's score attains them."""
    for T in (0.01, 1.0, 6.0):
        for alpha in (1e-4, 0.25, 1 - 1e-9, 1.0, 1 + 1e-9, 4.0, 1e10):
            cut = min(T, 1 / alpha)  # beyond, in log t: the integrand falls from 1 on this scale
            for name, factor, power in (("equation", 2, 1.0), ("flow", 1, 0.5)):
                exact = factor * quad(kernel, 0, cut, (alpha, power), epsabs=0, epsrel=1e-12)[0]
                if cut < T:
                    exact += factor * quad(lambda s, a=alpha, p=power: kernel(math.exp(s), a, p) * math.exp(s),
                                           math.log(cut), math.log(T), epsabs=0, epsrel=1e-12, limit=200)[0]  # fmt: skip
                found = bound.strongly_log_concave_w2(T, alpha, 0.0, 1.0)[name == "flow"]
                check.equal(found / exact, 1.0, tol=1e-11, cause="remainder: quadrature 1e-12, twice",
                            on=f"{name}, alpha = {alpha:g}, T = {T:g}")  # fmt: skip


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    a = np.array([1.5, -2.0, 0.0])
    unit = a / np.linalg.norm(a)
    for T in (0.5, 2.0):
        for size in (0.0, 0.3):
            measured = gaussian_w2(a, 1.0, T, -size * unit)
            larger = bound.strongly_log_concave_w2(T, 1.0, np.linalg.norm(a), size)
            check.tight(np.array(measured) / larger, 1.0, tol=1e-10, cause="remainder: quadrature 1e-12",
                        on=f"N(a, I), T = {T:g}, shift {size:g} of the score")  # fmt: skip


def test_rate(check):
    """Forgetting of the start: e^-2T for the equation, e^-T for the flow (T = 3, 4, 5, on N(mu, 1/4))."""
    T = np.array([3.0, 4.0, 5.0])
    values = np.array([gaussian_w2(np.array([1.0]), 0.25, t, np.zeros(1)) for t in T])
    check.rate(distances.fit_slope(np.exp(T), values[:, 0]), -2.0, within=0.01, on="equation, W2 against e^T")
    check.rate(distances.fit_slope(np.exp(T), values[:, 1]), -1.0, within=0.01, on="flow, W2 against e^T")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    a, T = np.array([2.0]), 2.0
    equation, flow = gaussian_w2(a, 1.0, T, np.zeros(1))
    check.control("the flow's own rate (that of the equation)", flow, bound.strongly_log_concave_w2(T, 1.0, 2.0)[0],
                  on="N(2, 1)")  # fmt: skip
    wide = gaussian_w2(a, 4.0, T, np.zeros(1))
    start = distances.bures_w2(a, np.array([4.0]), np.zeros(1), np.ones(1))
    check.control("alpha of the data (4 times too large)", wide[0], bound.strongly_log_concave_w2(T, 1.0, start)[0],
                  on="N(2, 4)")  # fmt: skip
    shifted = gaussian_w2(a, 1.0, T, np.array([-0.3]))
    check.control("factor 2 of the score's error", shifted[0], bound.strongly_log_concave_w2(T, 1.0, 2.0, 0.15)[0],
                  on="N(2, 1)")  # fmt: skip
    modes = GaussianMixture([0.2, 0.8], np.array([[-2.0], [2.0]]), 0.1)
    x = np.linspace(-9, 9, 4001)
    start = line.divergences(line.discretise(modes, x), line.discretise(NORMAL, x)).w2
    value = law_w2(modes, 1.5, 150, "euler_maruyama")  # the flow leaves no nodes between the modes
    check.control("log-concavity (1/tau^2 of the components pretended)", value,
                  bound.strongly_log_concave_w2(1.5, 10.0, start)[0], on="two modes at +-2, variance .1")  # fmt: skip
