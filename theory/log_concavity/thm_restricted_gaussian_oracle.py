"""The restricted Gaussian oracle contracts (Chen et al. 2022; Chewi, Log-Concave Sampling, Theorems 8.2.1, 8.5.1, 8.5.2).

Let one round be y = x + sqrt(h) z, then x from the density proportional to p(x) exp(-|x - y|^2 / (2 h)). Suppose that

    (H1)  -Hess log p >= a I with a > 0 (KL: a log-Sobolev inequality is enough; chi^2: a Poincare inequality).

Then

    W2'  <=  W2 / (1 + a h),        KL'  <=  KL / (1 + a h)^2,        chi^2'  <=  chi^2 / (1 + a h)^2,

with equality of the first two for a Gaussian and a shift of its mean.

Measured on Gaussians in up to five dimensions in closed form, and on a line by densities on nodes.
"""

import itertools
from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.output_laws import langevin, line
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.restricted_gaussian_oracle_contraction.statement
#: two points at +-1 noised with sigma^2 = 2: -Hess log p in [1/4, 1/2]
LAW, A = GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), 0.25


def gaussian_round(C, mean, cov, h):
    """One round on N(0, C), exactly: y = x + sqrt(h) z, x' = C (C + h)^-1 y + N(0, (C^-1 + 1/h)^-1)."""
    gain = C @ np.linalg.inv(C + h * np.eye(len(C)))
    return gain @ mean, gain @ (cov + h * np.eye(len(C))) @ gain.T + h * gain


def chi_squared(q, p):
    return float(np.sum(q.weights * (q.density - p.density) ** 2 / p.density))


class Distances(NamedTuple):
    """Distances of a law to the target."""

    w2: float
    kl: float


def gaussian_distances(C, mean, covariance):
    zero = np.zeros(len(C))
    return Distances(distances.bures_w2(mean, covariance, zero, C), distances.gaussian_kl(mean, covariance, zero, C))


def factors(a, h):
    """The factors of the theorem, of W2 and of KL (which is that of chi-squared too)."""
    return Distances(*bound.restricted_gaussian_oracle_contraction(a, h))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    """Four rounds on each of nine Gaussians."""
    rng = np.random.default_rng(70)
    cause = "rounding: matrix square roots, condition below 1e4"
    with check.gather(on="36 rounds on Gaussians", cause=cause) as sides:
        for d in (1, 3, 5):
            root, other = rng.standard_normal((2, d, d))
            C, start = root @ root.T + 0.2 * np.eye(d), other @ other.T + 0.1 * np.eye(d)
            centre, a = 2 * rng.standard_normal(d), 1 / np.linalg.eigvalsh(C)[-1]
            for h in (0.1, 1.0, 5.0):
                path = [(centre, start)]
                for _ in range(4):
                    path.append(gaussian_round(C, *path[-1], h))
                for before, after in itertools.pairwise(gaussian_distances(C, *moments) for moments in path):
                    sides("W2", after.w2, factors(a, h).w2 * before.w2, tol=1e-9)
                    sides("KL", after.kl, factors(a, h).kl * before.kl, tol=1e-9)


def test_line(check):
    """A law that is not Gaussian: densities on nodes, three distances, each round."""
    start = GaussianMixture(None, np.array([[3.0]]), 0.8)
    for h in (0.5, 2.0):
        x = langevin.line_nodes(LAW, start, step=0.1)
        target = line.discretise(LAW, x)
        laws = list(langevin.proximal_sampler(LAW, start, h, range(6), x))
        found = [line.divergences(target, q) for q in laws]
        w2, kl = np.array([d.w2 for d in found]), np.array([d.reverse_kl for d in found])
        chi = np.array([chi_squared(q, target) for q in laws])

        factor, on = factors(A, h), f"two points noised, from N(3, .8), h = {h:g}, 5 rounds"
        check.holds(w2[1:], factor.w2 * w2[:-1], tol=1e-9, cause="remainder: quantiles on the nodes", on=f"W2, {on}")
        check.holds(kl[1:], factor.kl * kl[:-1], tol=1e-12, cause="remainder: quadrature", on=f"KL, {on}")
        check.holds(chi[1:], factor.kl * chi[:-1], tol=1e-10, cause="remainder: quadrature", on=f"chi-squared, {on}")


def test_oracle_is_the_posterior(check):
    """The library's oracle is the posterior given one measurement: density on nodes, and draws."""
    law, h = GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.5]]), np.array([0.05, 0.3])), 0.8
    x, step = np.linspace(-8, 8, 3201, retstep=True)
    draw = check.chance(comparisons=6)
    for y in (-2.0, 0.3):
        # the density proportional to p(x) exp(-(x - y)^2 / 2h), normalised on the nodes
        posterior = measurements.posterior_mixture(law, np.array([y]), 1, np.sqrt(h))
        direct = np.exp(law.log_density(x[:, None]) - (x - y) ** 2 / (2 * h))
        direct /= step * direct.sum()
        own, cause = np.exp(posterior.log_density(x[:, None])), "remainder: trapezoidal sum on 3201 nodes"
        check.equal(own, direct, tol=1e-12 * own.max(), cause=cause, on=f"y = {y:g}, h = .8")

        # moments of the draws, and their distribution against the trapezoidal one of the density above
        draws = measurements.restricted_gaussian_oracle(law, np.full((40_000, 1), y), h, draw.noise(71))
        spread = draws[:, 0] - posterior.mean[0]
        draw.mean(spread, 0.0, on=f"mean of 40,000 draws, y = {y:g}")
        draw.mean(spread**2, posterior.covariance[0, 0], on=f"variance of 40,000 draws, y = {y:g}")
        cdf = np.r_[0.0, np.cumsum((direct[1:] + direct[:-1]) * step / 2)]
        on, tol = f"distribution of 40,000 draws, y = {y:g}", step**2 * direct.max()
        draw.distribution(draws[:, 0], lambda at, cdf=cdf: np.interp(at, x, cdf), on=on, tol=tol)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """N(0, 1/a), shifted mean: both ratios are the factors (.74074 and .5487 for a h = .35)."""
    C, h, ratios = np.diag([0.3, 2.0]), 0.7, []
    mean, covariance = np.array([0.0, 3.0]), C
    for _ in range(3):
        before, shift = gaussian_distances(C, mean, C), np.linalg.norm(mean)
        mean, covariance = gaussian_round(C, mean, covariance, h)
        after = gaussian_distances(C, mean, C)
        ratios.append([np.linalg.norm(mean) / shift / factors(0.5, h).w2, after.kl / before.kl / factors(0.5, h).kl])
        check.equal(covariance, C, tol=1e-14 * 8, cause="rounding: 64 eps", on="the covariance stays")
    check.tight(ratios, 1.0, tol=1e-12, cause="rounding", on="N(0, diag(.3, 2)), mean (0, 3), h = .7")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) the curvature is overestimated, or the law not log-concave; and factors that are too small."""
    C, h, mean, on = np.diag([0.3, 2.0]), 0.7, np.array([0.0, 3.0]), "N(0, diag(.3, 2)), h = .7"
    after, _ = gaussian_round(C, mean, C, h)
    shift = np.linalg.norm(after)
    check.control("the smallest curvature a (the largest)", shift, factors(1 / 0.3, h).w2 * 3.0, on=on)
    far, start = GaussianMixture(None, np.array([[-4.0], [4.0]]), 1.0), GaussianMixture(None, np.array([[4.0]]), 1.0)
    x = langevin.line_nodes(far, step=0.1)
    target = line.discretise(far, x)
    kl = [line.divergences(target, q).reverse_kl for q in langevin.proximal_sampler(far, start, 1.0, (0, 1), x)]
    dropped = "log-concavity (two far modes, a = 1/2 pretended)"
    check.control(dropped, kl[1], factors(0.5, 1.0).kl * kl[0], on="modes at +-4, h = 1")

    check.control("1/(1 + a h) (e^{-a h (1 + a h)}: faster)", shift, np.exp(-0.35 * 1.35) * 3.0, on=on)
    kl = gaussian_distances(C, after, C).kl
    check.control("KL factor squared (cubed)", kl, gaussian_distances(C, mean, C).kl / 1.35**3, on=on)
