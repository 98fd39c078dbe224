"""A Gaussian prior: the mean chain is the conditional mean for every number of steps and every grid (derived).

Suppose that

    (H1)  the prior is N(m, S), S possibly singular, S = U diag(lam) U',
    (H2)  every step is the exact conditional mean,
    (H3)  the chain starts at the level v_hat of the observation.

Then on every grid

    f(y)  =  m + U diag(lam / (lam + v_hat)) U' (y - m)  =  E[x | y].

Measured in 64 dimensions with full and singular covariances, on refined, linear, random and released grids, and by SymPy.
"""

from typing import NamedTuple

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, Grid
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.gaussian_chain.statement


def gaussian(d, seed, rank=None):
    """A random N(mean, S) in R^d, S of the given rank: the law, mean (d,), eigenvalues (d,) and eigenvectors (d, d) of S."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((d, rank or d)) * np.geomspace(0.05, 3, rank or d)
    S, mean = A @ A.T / d, rng.standard_normal(d)
    values, vectors = np.linalg.eigh(S)
    return Gaussian(GaussianMixture([1.0], mean[None], S[None]), mean, values, vectors)


def grids(sigma, rng):
    yield from ((f"T = {T}", cm.refined_grid(T, sigma)) for T in (1, 5, 300))
    yield "linear in v, T = 20", cm.refined_grid(20, sigma, "linear")
    levels = np.sort(np.append(sigma * rng.uniform(0, 1, 40) ** 3, sigma))[::-1]
    levels = np.append(levels, 0.0)
    yield "random grid, T = 41", Grid(np.ones(42), levels)


class Gaussian(NamedTuple):
    """A Gaussian prior with the eigendecomposition of its covariance."""

    law: GaussianMixture
    mean: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray

    def chain(self, y, sigma):
        """The conditional mean of the theorem."""
        return bound.gaussian_chain(y, self.mean, np.maximum(self.eigenvalues, 0), self.eigenvectors, sigma**2)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_exact_for_every_grid(check):
    """The chain on five grids, and the library's LMMSE estimator, for full and singular covariances."""
    for rank in (None, 20):
        prior = gaussian(64, 7, rank)
        for sigma in (3.0, 1.0, 0.1):
            rng = np.random.default_rng(8)
            y = prior.law.noised(1.0, sigma).sample(30, rng)
            expected = prior.chain(y, sigma)
            scale = np.max(np.abs(expected))
            for name, grid in grids(sigma, rng):
                f, on = cm.denoise(prior.law, grid, y, sigma), f"N = 64, rank {rank or 64}, sigma = {sigma:g}, {name}"
                cause = "rounding: 300 steps of 64-term sums"
                check.equal(f / scale, expected / scale, tol=1e-11, cause=cause, on=on)
                linear = cm.lmmse(prior.law, y, sigma)
                check.equal(linear / scale, expected / scale, tol=1e-11, cause="rounding", on="LMMSE, " + on)


def test_released_schedule_on_a_level(check):
    """The schedule of the released code, observation exactly on one of its levels: no mismatch, no error, T = 5 .. 300."""
    prior = gaussian(64, 9)
    for T in (5, 50, 300):
        grid = cm.released_grid(T)
        sigma = float(grid.sigma[T // 2])
        y = prior.law.noised(1.0, sigma).sample(20, np.random.default_rng(1))
        assert cm.match(grid, sigma).mismatch_db == 0
        f, expected = cm.denoise(prior.law, grid, y, sigma), prior.chain(y, sigma)
        scale, on = np.max(np.abs(expected)), f"released schedule, T = {T}"
        check.equal(f / scale, expected / scale, tol=1e-11, cause="rounding: over T steps", on=on)


def test_symbolic(check):
    """One factor of the product, and the product of four steps."""
    lam = sympy.Symbol("lam", positive=True)
    v = sympy.symbols("v0:5", positive=True)  # v0 = 0 below

    def factor(now, after):
        return after / now + (1 - after / now) * lam / (lam + now)

    one = sympy.simplify(factor(v[2], v[1]) - (lam + v[1]) / (lam + v[2]))
    product = sympy.prod([factor(v[k + 1], v[k]) for k in range(4)]).subs(v[0], 0)
    residuals = [float(one), float(sympy.simplify(product - lam / (lam + v[4])))]
    check.equal(residuals, 0.0, tol=0, cause="exact: SymPy", on="one factor, and the product of four")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Each hypothesis dropped in turn."""
    prior = gaussian(64, 7)
    y = prior.law.noised(1.0, 1.0).sample(30, np.random.default_rng(8))
    expected = prior.chain(y, 1.0)

    # (H1) same mean and variance, not Gaussian
    for name in ("gmm2", "scale mixture"):
        value = line.chain_excess(name, 1.0, cm.refined_grid(30, 1.0))
        check.control("Gaussian prior", value, 0.0, tol=1e-11, on=f"{name}, T = 30")

    # (H2) the probability flow
    ddim = cm.denoise(prior.law, cm.refined_grid(300, 1.0), y, 1.0, method="ddim")
    check.control("the conditional mean as the step (DDIM)", np.abs(ddim - expected), 0.0, tol=1e-11, on="N = 64, T = 300")

    # (H3) the nearest level of the grid
    off = cm.denoise(prior.law, cm.released_grid(50), y, 1.0)
    check.control("SNR on the grid (released schedule, T = 50)", np.abs(off - expected), 0.0, tol=1e-11, on="N = 64, 0 dB")
