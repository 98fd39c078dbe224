"""End to end: inner errors accumulate slowly (derived).

Let c_t = tau^2 sigma^2 / (sigma^2 + t tau^2) + (sigma^2 / (sigma^2 + t tau^2))^2 R^2. Suppose that

    (H1)  X = Z + tau N with |Z| <= R, and c_t < sigma^2 for all t,
    (H2)  the inner walk t is wrong by at most eta_t in W2, whatever the sum of the past measurements.

Then

    W2(output, p)  <=  W2(Xhat_m, p) + c_m / sigma^2  sum_t eta_t prod_{r = t+1}^m (1 - c_r / sigma^2)^-1,

attained for m = 1 by Gaussians and a walk that is too narrow. For R = 0 and equal eta the sum is of order eta log(1 + m
tau^2 / sigma^2).

Measured on Gaussians by the recursion of the whole algorithm, and on a mixture by laws on a grid.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.walk_jump import ULA, conditional_target, gaussian_one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.end_to_end.statement

LAW = GaussianMixture(np.array([0.2, 0.8]), np.array([[-1.5], [1.5]]), 1.0)
SIGMA2, R = 2.5, 1.5
H = 0.1
Y = np.arange(-14, 14 + H / 2, H)


def exact_kernel(total, t):
    s, y = np.repeat(total, len(Y))[:, None], np.tile(Y, len(total))[:, None]
    logs = conditional_target(LAW, s, t, np.sqrt(SIGMA2)).log_density(y).reshape(len(total), len(Y))
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def euler_kernel(total, t):
    mean = LAW.noised(1, np.sqrt(SIGMA2 / t)).denoise((total / t)[:, None])[:, 0] if t else np.zeros(len(total))
    p = np.exp(-((Y - mean[:, None]) ** 2) / (2 * SIGMA2))
    return p / p.sum(axis=1, keepdims=True)


U, UW = np.polynomial.legendre.leggauss(200)
U, UW = 0.5 * (U + 1), 0.5 * UW


def quantiles(x, p):
    """Quantile function of a grid law at the Gauss nodes, interpolated."""
    c = np.concatenate([[0.0], np.cumsum(p)])
    edges = np.concatenate([[x[0] - (x[1] - x[0]) / 2], 0.5 * (x[1:] + x[:-1]), [x[-1] + (x[-1] - x[-2]) / 2]])
    keep = np.concatenate([[True], np.diff(c) > 1e-15])
    return np.interp(U, c[keep] / c[-1], edges[keep])


def w2_on_line(x, p, z, q):
    return np.sqrt(np.sum(UW * (quantiles(x, p) - quantiles(z, q)) ** 2))


def mixture_run(m):
    """(W2 of the output to the law, inner errors eta_t as the largest over all sums, W2 of the exact jump)."""
    total, p, eta = np.zeros(1), np.ones(1), []
    for t in range(m):
        K, exact = euler_kernel(total, t), exact_kernel(total, t)
        rows = range(0, len(total), 7)
        eta.append(max(w2_on_line(Y, K[i], Y, exact[i]) for i in rows))
        new = np.zeros(len(total) + len(Y) - 1)
        for i in range(len(total)):
            new[i : i + len(Y)] += p[i] * K[i]
        total, p = total[0] + Y[0] + H * np.arange(len(new)), new
    level = LAW.noised(1, np.sqrt(SIGMA2 / m))
    xhat = level.denoise((total / m)[:, None])[:, 0]
    x = np.linspace(-7, 7, 4001)
    law = np.exp(LAW.log_density(x[:, None]))
    law /= law.sum()
    true = np.exp(level.log_density((total / m)[:, None]))
    jump = w2_on_line(xhat, true / true.sum(), x, law)
    return w2_on_line(xhat, p, x, law), np.array(eta), jump


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    """Converged ULA walks, whose inner error is known exactly: W2 of the whole algorithm by its recursion."""
    for l, sigma2 in ((1.0, 1.0), (4.0, 0.5)):
        actual, larger = [], []
        for m in (1, 5, 20, 100):
            chain = gaussian_one_at_a_time([l], m, np.sqrt(sigma2), ULA(60, 0.1))
            jump = bound.gaussian_jump_w2(m, sigma2, [l])
            actual.append(chain.w2)
            larger.append(bound.end_to_end(jump, chain.inner, sigma2, l, 0.0))
        on = f"N(0, {l}), sigma^2 = {sigma2}, m = 1 .. 100, ULA h = .1"
        check.holds(actual, larger, tol=1e-12, cause="rounding", on=on)
    m = np.array([10, 100, 1000])
    sums = [bound.end_to_end(0.0, np.full(k, 0.01), 1.0, 1.0, 0.0) for k in m]
    growth = np.array(sums) / (0.01 * np.log1p(m))
    of = "the order eta log(1 + m tau^2/sigma^2) of the sum at R = 0"
    check.holds(growth, 1.2, tol=0, cause="exact", on="m = 10, 100, 1000", of=of)


def test_mixture(check):
    """No inner step at all (Euler for localisation): a large inner error, on two Gaussians with R = 1.5, tau = 1."""
    check.hypothesis("c_t < sigma^2", SIGMA2 > R**2 - 1, on="R = 1.5, tau = 1, sigma^2 = 2.5")
    actual, larger = [], []
    for m in (1, 2, 3):
        w2, eta, jump = mixture_run(m)
        actual.append(w2)
        larger.append(bound.end_to_end(jump, eta, SIGMA2, 1.0, R))
    cause = "remainder: grid .1: quantiles interpolated to order h^2"
    check.holds(actual, larger, tol=1e-2, cause=cause, on="mixture, laws on a grid, no inner step, m = 1, 2, 3")
    assert bound.end_to_end(0.0, [1.0], 0.5, 1.0, 3.0) == np.inf


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """One measurement of a Gaussian, an inner walk stopped early and so too narrow: both errors add up exactly."""
    for l, sigma2 in ((4.0, 0.5), (100.0, 3.0)):
        chain = gaussian_one_at_a_time([l], 1, np.sqrt(sigma2), ULA(5, 0.1))
        assert chain.output[0] < l * l / (l + sigma2)
        larger = bound.end_to_end(bound.gaussian_jump_w2(1, sigma2, [l]), chain.inner, sigma2, l, 0.0)
        cause = "remainder: 1e-12: differences of square roots"
        check.tight(chain.w2 / larger, 1.0, tol=1e-12, cause=cause, on=f"N(0, {l:g}), m = 1, 5 ULA steps of .1")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    chain = gaussian_one_at_a_time([1.0], 20, 1.0, ULA(2, 0.1))
    jump = bound.gaussian_jump_w2(20, 1.0, [1.0])
    check.control("the inner errors", chain.w2, jump, tol=1e-9, on="N(0, 1), 2 ULA steps of .1, m = 20")
    small = jump + (bound.end_to_end(jump, chain.inner, 1.0, 1.0, 0.0) - jump) / 20
    check.control("the sum over t (its mean)", chain.w2, small, tol=1e-9, on="N(0, 1), 2 ULA steps of .1, m = 20")
