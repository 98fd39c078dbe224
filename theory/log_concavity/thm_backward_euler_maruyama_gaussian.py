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

from exactdiffusion import GaussianMixture, Noise, distances, output_laws, samplers
from exactdiffusion.output_laws import line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.backward_euler_maruyama_gaussian.statement
EPS = np.finfo(float).eps
MIXTURE = GaussianMixture([0.3, 0.7], np.array([[-1.5], [1.0]]), np.array([0.15, 0.2]))


def w2(mean, variance, T, N):
    """W2 of the recursion's output to the data N(mean, variance)."""
    m, v = bound.backward_euler_maruyama_gaussian(mean, variance, T, N)
    return float(np.hypot(m - mean, np.sqrt(v) - np.sqrt(variance)))


def without_logarithm(T, N, draw, n=4000):
    """n chains of the step as transcribed, 2 gamma grad r in place of 2 gamma grad log r, on the mixture."""
    rng = draw.rng(11)
    y, gamma = rng.standard_normal((n, 1)), T / N
    for k in range(N):
        scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(T - gamma * k))
        q = MIXTURE.noised(scale, sigma)
        gradient = np.exp(q.log_density(y))[:, None] * q.score(y)
        y = y + gamma * (y + 2 * gradient) + np.sqrt(2 * gamma) * rng.standard_normal(y.shape)
    return y


def variance_with_half_the_score(T, N):
    """Output variance on N(0, 1/4) if the score enters once and not twice."""
    v, gamma = 1.0, T / N
    for k in range(N):
        t = T - gamma * k
        rho = np.exp(-2 * t) * 0.25 - np.expm1(-2 * t)
        v = (1 + gamma - gamma / rho) ** 2 * v + 2 * gamma
    return v


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_recursion_is_the_library(check, backward):
    for mean, variance in ((0.7, 0.25), (-2.0, 4.0), (0.0, 1.0)):
        for N in (40, 320):
            m, v = bound.backward_euler_maruyama_gaussian(mean, variance, 4.0, N)
            own = output_laws.gaussian("euler_maruyama", [mean], [variance], backward.grid(4.0, N), [0.0], [1.0])
            own = [float(np.ravel(a)[0]) for a in own]
            tol, cause = 64 * EPS * N, "rounding: 64 eps per step"
            check.equal([m, v], own, tol=tol, cause=cause, on=f"exact propagation, N({mean:g}, {variance:g}), N = {N}")


def test_sampler(check, backward):
    """The library's sampler: two runs with the same noise differ by the product of the recursion's factors."""
    law, N = GaussianMixture(None, np.array([[0.7]]), 0.25), 64
    grid = backward.grid(4.0, N)
    starts = (np.full((1, 1), x) for x in (0.0, 1.0))
    runs = [samplers.final(samplers.euler_maruyama(law, grid, x, noise=Noise(1)))[0, 0] for x in starts]
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


def test_mixture(check, backward):
    """A mixture on a line: exact law of the scheme; W2 falls with order 1."""
    steps, errors = np.array([50, 100, 200]), []
    for N in steps:
        run = line.propagate(MIXTURE, backward.grid(5.0, int(N)), "euler_maruyama", start="exact")
        errors.append(line.divergences(run.target, run.law).w2)
    check.rate(distances.fit_slope(steps, errors), -1.0, within=0.1, on="W2 against N, two Gaussians, exact start")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_misprint_and_controls(check, backward):
    """The step as transcribed, the score counted once, and order 2 in place of order 1."""
    # (H2) grad r in place of grad log r: nothing holds the growth of the drift y
    T, N = 5.0, 200
    right = line.propagate(MIXTURE, backward.grid(T, N), "euler_maruyama", start="normal")
    good = line.divergences(right.target, right.law).w2
    draw = check.chance(comparisons=1)
    y = without_logarithm(T, N, draw)
    root = np.sqrt(np.trace(MIXTURE.covariance) + MIXTURE.mean @ MIXTURE.mean)
    lower = np.sqrt(np.mean(y**2)) - root  # |sqrt E|Y|^2 - sqrt E|X|^2| <= W2
    draw.mean_exceeds(
        y[:, 0] ** 2, (10 * good + root) ** 2, on="second moment of 4000 chains: W2 above 10 times that with log"
    )
    detail, on = f"W2 >= {lower:.4g}, {good:.3g} with log", "two Gaussians, T = 5, N = 200"
    check.refuted("2 gamma grad r (no log)", lower, 10 * good, on=on, detail=detail)

    # (H2) the score enters once
    v, exact = variance_with_half_the_score(8.0, 400), w2(0.0, 0.25, 8.0, 400)
    check.control("factor 2 of the score (1)", abs(np.sqrt(v) - 0.5), 2 * exact, on="N(0, 1/4), N = 400")

    # the conclusion: halving the step does not divide the error by three
    half = np.array([w2(0.0, 0.25, 8.0, N) for N in (400, 800)])
    check.control("order 1 (order 2)", half[1], half[0] / 3, on="N(0, 1/4), N = 400, 800")
