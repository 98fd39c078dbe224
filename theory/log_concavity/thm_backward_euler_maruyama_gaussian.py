"""Euler-Maruyama of the backward equation on Gaussian data (slides, transcribed by machine; the recursion is derived).

Suppose that

    (H1)  the data are N(mu, variance), the steps gamma = T/N, t_k = T - gamma k, and Y_0 ~ N(0, 1),
    (H2)  y_{k+1} = y_k + gamma [y_k + 2 grad log r_{t_k}(y_k)] + sqrt(2 gamma) xi_k.

Then the output is Gaussian; with rho = Var X_t its mean m and variance v follow

    m'  =  (1 + gamma - 2 gamma / rho) m + 2 gamma exp(-t) mu / rho,        v'  =  (1 + gamma - 2 gamma / rho)^2 v + 2 gamma,

and its W2 distance to the data is O(gamma) + O(exp(-T)). As transcribed, the first form of the step has grad r in place of
grad log r.

Measured against the exact propagation and the sampler of the library, and by the exact law of the scheme on a mixture.
"""

import numpy as np

from exactdiffusion import GaussianMixture, Grid, Noise, distances, output_laws, samplers
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.backward_euler_maruyama_gaussian.statement
EPS = np.finfo(float).eps


def uniform(T, N):
    """The grid t_k = T - T k/N in VP coordinates: the library's clock is 2 t, so its Euler-Maruyama step is this one."""
    scale, sigma = bound.ornstein_uhlenbeck_level(T * (N - np.arange(N + 1)) / N)
    return Grid(scale, sigma)


def w2(mean, variance, T, N):
    m, v = bound.backward_euler_maruyama_gaussian(mean, variance, T, N)
    return float(np.hypot(m - mean, np.sqrt(v) - np.sqrt(variance)))


def law_of_scheme(law, N, T, scheme):
    return line.propagate(law, uniform(T, N), scheme, start="normal").law


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_recursion_is_the_library(check):
    for mean, variance in ((0.7, 0.25), (-2.0, 4.0), (0.0, 1.0)):
        for N in (40, 320):
            m, v = bound.backward_euler_maruyama_gaussian(mean, variance, 4.0, N)
            own = output_laws.gaussian("euler_maruyama", [mean], [variance], uniform(4.0, N), [0.0], [1.0])
            own = [float(np.ravel(a)[0]) for a in own]
            tol, cause = 64 * EPS * N, "rounding: 64 eps per step"
            check.equal([m, v], own, tol=tol, cause=cause, on=f"exact propagation, N({mean:g}, {variance:g}), N = {N}")


def test_sampler(check):
    """The library's sampler: two runs with the same noise differ by the product of the recursion's factors."""
    law, N = GaussianMixture(None, np.array([[0.7]]), 0.25), 64
    runs = [
        samplers.final(samplers.euler_maruyama(law, uniform(4.0, N), np.full((1, 1), x), noise=Noise(1)))[0, 0]
        for x in (0.0, 1.0)
    ]
    t = 4.0 * (N - np.arange(N)) / N
    factors = 1 + 4.0 / N - 2 * 4.0 / N / (np.exp(-2 * t) * 0.25 - np.expm1(-2 * t))
    cause = "rounding: 64 eps per step"
    check.equal(runs[1] - runs[0], np.prod(factors), tol=64 * EPS * N, cause=cause, on="N(.7, 1/4), N = 64")


def test_rate(check):
    steps = 100 * 2 ** np.arange(6)
    for variance in (0.25, 4.0):
        errors = np.array([w2(0.0, variance, 8.0, int(N)) for N in steps])
        ratios = np.array2string(errors[:-1] / errors[1:], precision=3)
        on = f"W2 against N, N(0, {variance:g}), T = 8"
        check.rate(distances.fit_slope(steps[-4:], errors[-4:]), -1.0, within=0.03, on=on, detail=ratios)


def test_converges(check):
    """What is left for large N is the start's error, W2(X_T, N(0, 1)): for data narrower than 1 the backward equation
    contracts it by e^-T (its linear part is 1 - 2/rho <= -1; synchronous coupling)."""
    for T, N in ((2.0, 20_000), (4.0, 20_000), (8.0, 20_000)):
        measured = w2(1.5, 0.25, T, N)
        fine = abs(w2(1.5, 0.25, T, N // 2) - measured) * 2
        mixing, _ = bound.forward_mixing(T, np.hypot(1.5, 0.5), 0.0)
        larger = fine + np.exp(-T) * mixing
        cause, of = "remainder: twice the change from N/2 to N", "the error of the start"
        check.holds(measured, larger, tol=0.0, cause=cause, on=f"N(1.5, 1/4), T = {T:g}, N = 20,000", of=of)


def test_mixture(check):
    """A mixture on a line: exact law of the scheme; W2 falls with order 1."""
    law = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.15, 0.2]))
    steps, errors = np.array([50, 100, 200]), []
    for N in steps:
        run = line.propagate(law, uniform(5.0, int(N)), "euler_maruyama", start="exact")
        errors.append(line.divergences(run.target, run.law).w2)
    check.rate(distances.fit_slope(steps, errors), -1.0, within=0.1, on="W2 against N, two Gaussians, exact start")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_misprint_and_controls(check):
    """2 gamma grad r in place of 2 gamma grad log r: nothing holds the growth of the drift y."""
    law = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.15, 0.2]))
    T, N = 5.0, 200
    draw = check.chance(comparisons=1)
    rng = draw.rng(11)
    right = line.propagate(law, uniform(T, N), "euler_maruyama", start="normal")
    good = line.divergences(right.target, right.law).w2
    y, gamma = rng.standard_normal((4000, 1)), T / N
    for k in range(N):
        scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(T - gamma * k))
        q = law.noised(scale, sigma)
        density_gradient = np.exp(q.log_density(y))[:, None] * q.score(y)
        y = y + gamma * (y + 2 * density_gradient) + np.sqrt(2 * gamma) * rng.standard_normal(y.shape)
    # |sqrt E|Y|^2 - sqrt E|X|^2| <= W2
    root = np.sqrt(np.trace(law.covariance) + law.mean @ law.mean)
    on = "second moment of 4000 chains: W2 above 10 times that with log"
    draw.mean_exceeds(y[:, 0] ** 2, (10 * good + root) ** 2, on=on)
    lower = np.sqrt(np.mean(y**2)) - root
    detail = f"W2 >= {lower:.4g}, {good:.3g} with log"
    check.refuted("2 gamma grad r (no log)", lower, 10 * good, on="two Gaussians, T = 5, N = 200", detail=detail)
    exact = w2(0.0, 0.25, 8.0, 400)
    v = 1.0
    for k in range(400):
        t = 8.0 - 0.02 * k
        rho = np.exp(-2 * t) * 0.25 - np.expm1(-2 * t)
        v = (1 + 0.02 - 0.02 / rho) ** 2 * v + 0.04
    check.control("factor 2 of the score (1)", abs(np.sqrt(v) - 0.5), 2 * exact, on="N(0, 1/4), N = 400")
    half = np.array([w2(0.0, 0.25, 8.0, N) for N in (400, 800)])
    check.control("order 1 (order 2)", half[1], half[0] / 3, on="N(0, 1/4), N = 400, 800")
