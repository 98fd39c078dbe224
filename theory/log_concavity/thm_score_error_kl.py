"""Score errors add to the KL of the exponential integrator (derived; shape of Chen et al. 2023, recalled).

Let gamma = N(0, I), u_t = grad log(r_{T-t} / gamma), I(p | gamma) = E_p |grad log(p / gamma)|^2, and N steps of length h =
T/N. Suppose that

    (H1)  the scheme is that of `thm_conforti_kl`, with KL(p | gamma) and I(p | gamma) finite,
    (H2)  step k uses u_{t_k} + e_k in place of u_{t_k},
    (H3)  the error is measured under the exact law: E_{r_{T-t_k}} |e_k|^2 <= eps_k^2.

Then

    KL(p | output)  <=  exp(-2 T) KL(p | gamma) + h I(p | gamma)
                        + sum_k [h eps_k^2 + 2 (exp(h) - 1 - h) exp(-(T - t_k)) sqrt(I(p | gamma)) eps_k],

and TV <= sqrt(KL / 2) by Pinsker's inequality. No Lipschitz constant enters. The bound is attained in the limit T ->
infinity, h -> 0 by p = gamma and shifts e_k proportional to exp(-(T - t_k)).

Measured by the exact law of the scheme on a line: constant, proportional and oscillating errors on two Gaussians.
"""

import math

import numpy as np

from exactdiffusion import GaussianMixture, Grid, distances
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.score_error_kl.statement
LAW = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.1, 0.15]))


def uniform(T, N):
    scale, sigma = bound.ornstein_uhlenbeck_level(T * (N - np.arange(N + 1)) / N)
    return Grid(scale, sigma)


def scheme_with(error):
    """u frozen over the step, plus ``error(level, y)`` (values, derivatives); the clock's g is 2 h."""

    def scheme(start, end, g):
        h = g / 2
        pull = -2 * math.expm1(-h)

        def mean(y):
            e, slope = error(start, y)
            return math.exp(-h) * y + pull * (y + start.score(y) + e), math.exp(-h) + pull * (1 + start.curvature(y) + slope)

        return line.Explicit(mean, -math.expm1(-g))

    return scheme


def shift(size):
    return lambda start, y: (size + 0 * y, 0 * y)


def shrink(size):
    """The field u itself, scaled: errors that follow the truth."""
    return lambda start, y: (size * (y + start.score(y)), size * (1 + start.curvature(y)))


def wave(size):
    return lambda start, y: (size * np.cos(3 * y), -3 * size * np.sin(3 * y))


def moments(law, error, t):
    """(KL, information, second moment of the error) at time t, by quadrature."""
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(t))
    low, high = line.support(law, scale, sigma)
    x, step = np.linspace(min(low, -9.0), max(high, 9.0), 8001, retstep=True)  # all of the standard normal too
    level = line.Level(law, scale, sigma)
    log_r = level.log_density(x)
    p = np.exp(log_r)
    gauss = -0.5 * x**2 - 0.5 * math.log(2 * math.pi)
    kl = distances.kl_quadrature(log_r, gauss, np.full(len(x), step), log=True)
    return kl, step * p @ (level.score(x) + x) ** 2, step * p @ error(level, x)[0] ** 2


def larger_of(law, error, T, N):
    kl, information, _ = moments(law, error, 0.0)
    sizes = [math.sqrt(moments(law, error, T * (N - k) / N)[2]) for k in range(N)]
    return bound.score_error_kl(T, sizes, kl, information)


def optimal_shifts(T, N):
    """p = gamma: e_k proportional to exp(-(T - t_{k+1})), and the exact output N(mean, 1)."""
    h = T / N
    weight = -2 * math.expm1(-h) * np.exp(-h * (N - 1 - np.arange(N)))
    e = weight / np.sqrt(np.sum(weight**2))
    return e, float(weight @ e)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    for name, error in (("shift -.3", shift(-0.3)), ("shift .1", shift(0.1)), ("u scaled by 1.2", shrink(0.2)),
                        ("u scaled by .8", shrink(-0.2)), (".5 cos 3y", wave(0.5))):  # fmt: skip
        measured, tv, tol, larger = [], [], [], []
        for T, N in ((1.0, 20), (3.0, 30)):
            found = line.study(LAW, uniform(T, N), scheme_with(error), start="normal").divergences
            measured.append(found.kl.value)
            tv.append(found.tv.value)
            tol.append(found.kl.error)
            larger.append(larger_of(LAW, error, T, N))
        detail = f"ratios {np.array2string(np.array(measured) / larger, precision=4)}"
        cause = "remainder: quadrature: change with half the spacing"
        check.holds(measured, larger, tol=np.array(tol), cause=cause, on=f"KL, {name}, T = 1, 3", detail=detail)
        of = "total variation, by Pinsker's inequality"
        check.holds(tv, np.sqrt(np.array(larger) / 2), tol=1e-9, cause="remainder: quadrature", on=name, of=of)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Shifts on p = gamma: the output is N(M, 1), KL = M^2/2."""
    for T, N in ((3.0, 300), (8.0, 800)):
        h = T / N
        e, mean = optimal_shifts(T, N)
        ratio = 0.5 * mean**2 / bound.score_error_kl(T, np.abs(e), 0.0, 0.0)
        exact = 2 * math.tanh(h / 2) / h * -math.expm1(-2 * T)
        check.equal(ratio, exact, tol=1e-12, cause="rounding: of N terms", on=f"2 tanh(h/2)/h (1 - e^-2T), T = {T:g}")
    tol = h * h / 12 + math.exp(-16.0)
    cause = "remainder: h^2/12 + e^-2T: discretisation, finite T"
    check.tight(ratio, 1.0, tol=tol, cause=cause, on="N(0, 1), T = 8, N = 800")
    # the same output by the exact propagation of densities
    e, mean = optimal_shifts(1.0, 20)
    steps = iter(np.r_[e, e])  # the scheme is asked once per step; a second propagation would start again
    law = GaussianMixture(None, np.zeros((1, 1)), 1.0)

    def scheme(start, end, g):
        return scheme_with(shift(next(steps)))(start, end, g)

    out = line.propagate(law, uniform(1.0, 20), scheme, start="normal").law
    w = np.full(len(out.x), out.x[1] - out.x[0])
    cause = "remainder: quadrature"
    check.equal(w @ (out.x * out.density), mean, tol=1e-10, cause=cause, on="mean of the propagated density, T = 1")


def test_cross_term(check):
    """N(a, I): u is deterministic and so is Girsanov's integrand; every inequality but the telescoped one is an equality."""
    a, size = 2.0, 0.3
    law = GaussianMixture(None, np.array([[a]]), 1.0)
    z, w = np.polynomial.legendre.leggauss(8)
    for T, N in ((1.0, 5), (2.0, 40)):
        h = T / N
        inside = 0.5 * h * (1 + z)
        start = a * np.exp(-(T - h * np.arange(N)))  # u at the start of every step; within it e^t times as large
        path, slack = 0.5 * a**2 * math.exp(-2 * T), h * a**2
        for u in start:
            path += 0.5 * h * w @ (u * np.exp(inside) - u + size) ** 2
            slack -= 0.5 * h * w @ (u * np.expm1(inside)) ** 2
        larger = bound.score_error_kl(T, np.full(N, size), 0.5 * a**2, a**2)
        cause = "rounding: 450 eps: 320 terms, sum below 3"
        check.equal(larger - path, slack, tol=1e-13, cause=cause, on=f"bound minus trajectory KL, N(2, 1), T = {T:g}")
        found = line.study(law, uniform(T, N), scheme_with(shift(-size)), start="normal").divergences.kl
        of = "a step of the proof, the marginal KL below that of the trajectory"
        check.holds(found.value, path, tol=found.error, cause="remainder: quadrature", on=f"N(2, 1), T = {T:g}", of=of)


def test_rate(check):
    """Squared in the error: KL against the size of a shift, N(0, 1), where nothing else contributes."""
    sizes = np.array([0.05, 0.1, 0.2, 0.4])
    law = GaussianMixture(None, np.zeros((1, 1)), 1.0)
    kl = [line.study(law, uniform(2.0, 20), scheme_with(shift(s)), start="normal").divergences.kl.value for s in sizes]
    check.rate(distances.fit_slope(sizes, kl), 2.0, within=1e-4, on="KL against the size of the shift, N(0, 1), T = 2")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    T, N = 3.0, 60
    kl, information, _ = moments(LAW, shift(0.0), 0.0)
    found = line.study(LAW, uniform(T, N), scheme_with(shift(-1.0)), start="normal").divergences.kl
    check.control("the error term", found.value, bound.conforti_kl(T, T / N, kl, information), tol=found.error,
                  on="shift -1, T = 3, N = 60")  # fmt: skip
    e, mean = optimal_shifts(8.0, 800)
    larger = bound.score_error_kl(8.0, np.abs(e), 0.0, 0.0)
    check.control("constant 1 (1/2)", 0.5 * mean**2, 0.5 * larger, on="N(0, 1), T = 8")
    # the same field, its second moment taken under a law far from the sampler's
    law = GaussianMixture(None, np.zeros((1, 1)), 1.0)
    bump = lambda level, y: (2 * np.exp(-0.5 * y**2), -2 * y * np.exp(-0.5 * y**2))  # noqa: E731
    wrong = GaussianMixture(None, np.array([[6.0]]), 0.01)
    found = line.study(law, uniform(2.0, 20), scheme_with(bump), start="normal").divergences.kl
    small = moments(wrong, bump, 0.0)[2]
    check.control("the error under r (under a law far away)", found.value,
                  bound.score_error_kl(2.0, np.full(20, math.sqrt(small)), 0.0, 0.0), tol=found.error,
                  on="N(0, 1), error e^(-y^2/2) seen at 6")  # fmt: skip
