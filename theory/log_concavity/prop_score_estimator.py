"""Score from density values: error n^(-1/2) (Eq. (4.8), recalled; a public review describes the estimator).

Suppose that

    (H1)  the eps_i are n independent draws of N(0, I), and p is known up to a constant,
    (H2)  the dimension is low: the number of draws that is needed grows exponentially with it.

Then

    s^(-1/2) sum_i eps_i p(y + sqrt(s) eps_i) / sum_i p(y + sqrt(s) eps_i)  ->  grad log q_s(y),

with a root mean square error of order n^(-1/2) and a bias of order 1/n.

Measured on 4000 repeats at one point of two Gaussians in R^1 and R^2.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, Noise, distances
from exactdiffusion.papers.log_concavity.walk_jump import EstimatedLaw
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.score_estimator.statement
S = 0.8


def law(d):
    means = np.stack([np.full(d, 1.0), np.full(d, -1.0)]) * 1.5 / np.sqrt(d)
    return GaussianMixture(np.array([0.3, 0.7]), means, 0.5)


def estimates(d, draws, chance, repeats=4000):
    """`Estimates` of independent repeats, each from its own draws."""
    p = law(d)
    y = np.full((1, d), 0.4)
    eps = chance.rng(85, d, draws).standard_normal((repeats, draws, d))
    logs = p.log_density((y + np.sqrt(S) * eps).reshape(-1, d)).reshape(repeats, draws)
    return Estimates(bound.score_estimator(logs, eps, S), p.noised(1, np.sqrt(S)).score(y)[0])


class Estimates(NamedTuple):
    """Estimates (repeats, d) of the score at one point, and the true score there (d,)."""

    found: np.ndarray
    true: np.ndarray

    @property
    def rmse(self):
        return np.sqrt(np.mean(np.sum((self.found - self.true) ** 2, axis=1)))

    @property
    def bias(self):
        return np.linalg.norm(self.found.mean(axis=0) - self.true)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_library_is_this_formula(check):
    """The library's estimated law has the score and the denoiser of the formula, with the same noise."""
    p, noise = law(2), Noise(86)
    y = np.random.default_rng(87).standard_normal((20, 2))
    eps = noise.normal(0, 20, 100).reshape(20, 50, 2)
    logs = p.log_density((y[:, np.newaxis] + np.sqrt(S) * eps).reshape(-1, 2)).reshape(20, 50)
    formula, cause = bound.score_estimator(logs, eps, S), "remainder: 64 eps of numbers of order 1"
    score = EstimatedLaw(p.log_density, 2, 50, noise).noised(1.0, np.sqrt(S)).score(y)
    check.equal(score, formula, tol=1e-13, cause=cause, on="20 points, 50 draws")
    xhat = EstimatedLaw(p.log_density, 2, 50, noise).noised(1.0, np.sqrt(S)).denoise(y)
    check.equal(xhat, y + S * formula, tol=1e-13, cause=cause, on="denoiser: y + s score")


def test_rate(check):
    """4000 independent repeats (1000 of 1600 draws): the root mean square is known to 1.1 %, a slope to .007."""
    draws, chance = np.array([25, 100, 400, 1600]), check.chance(comparisons=8)
    for d in (1, 2):
        repeats = [4000 if n < 1000 else 1000 for n in draws]
        measured = [estimates(d, int(n), chance, r) for n, r in zip(draws, repeats)]
        rmse, bias = np.array([m.rmse for m in measured]), np.array([m.bias for m in measured])
        slope = distances.fit_slope(draws[1:], rmse[1:])
        check.rate(slope, -0.5, within=0.07, on=f"d = {d}: error against draws, 100 .. 1600")

        # the slope's own error: root mean squares known to 1/sqrt(2 repeats), abscissae 1.39 apart; 6 of these and .01
        sd = np.hypot(1 / np.sqrt(8000), 1 / np.sqrt(2000)) / (2 * 1.386)
        on = f"d = {d}: slope of the error, next term up to .01"
        chance.normal(slope.slope, -0.5, sd, tol=0.01, degrees=np.inf, on=on)

        # bias <= C / n with C fitted at n = 25; errors of both sides
        limit, error = bias[0] * 25 / draws[1:], rmse / np.sqrt(repeats)
        sd = np.hypot(error[1:], error[0] * 25 / draws[1:])
        on = f"d = {d}: bias beyond C / n at 100, 400, 1600"
        chance.normal(np.maximum(bias[1:] - limit, 0.0), 0.0, sd, degrees=np.inf, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) App. H: two well separated Gaussians in R^8: the weights degenerate and more draws hardly help."""
    d, chance = 8, check.chance(comparisons=1)
    p = GaussianMixture(np.array([0.2, 0.8]), np.stack([np.full(d, -3.0), np.full(d, 3.0)]), 1.0)
    sigma = np.sqrt(9 * d - 1)
    y = p.sample(60, chance.seed(88)) + sigma * chance.rng(89).standard_normal((60, d))
    true = p.noised(1, sigma).denoise(y)
    levels = [EstimatedLaw(p.log_density, d, draws, chance.noise(90)).noised(1.0, sigma) for draws in (100, 1600)]
    few, many = (
        np.sqrt(np.mean(np.sum((level.denoise(y) - true) ** 2, 1)) / np.mean(np.sum(true**2, 1))) for level in levels
    )
    dropped, on = "low dimension (error / 4 for 16 times the draws)", "two Gaussians in R^8, 100 and 1600 draws"
    check.control(dropped, many, few / 3, on=on)
    size = np.median(levels[1].effective_sample_size(y))
    check.control("low dimension (effective draws >= 1 %)", 16.0, size, on="two Gaussians in R^8, 1600 draws")

    # the factor s^{-1/2} forgotten
    one = estimates(1, 400, chance)
    wrong = one.found[:, 0] * np.sqrt(S)
    chance.mean_is_not(wrong, one.true[0], dropped="the factor s^(-1/2)", on="d = 1, 400 draws")
