"""A Gaussian prior: the mean chain is the conditional mean for every number of steps and every grid (derived).

Suppose that

    (H1)  the prior is N(m, S), S possibly singular, S = U diag(lam) U',
    (H2)  every step is the exact conditional mean,
    (H3)  the chain starts at the level v_hat of the observation.

Then on every grid

    f(y)  =  m + U diag(lam / (lam + v_hat)) U' (y - m)  =  E[x | y].

Measured in 64 dimensions with full and singular covariances, on refined, linear, random and released grids, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, Grid
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.gaussian_chain.statement


def gaussian(d, seed, rank=None):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((d, rank or d)) * np.geomspace(0.05, 3, rank or d)
    S, mean = A @ A.T / d, rng.standard_normal(d)
    return GaussianMixture([1.0], mean[None], S[None]), mean, S


def grids(sigma, rng):
    yield from ((f"T = {T}", cm.refined_grid(T, sigma)) for T in (1, 5, 300))
    yield "linear in v, T = 20", cm.refined_grid(20, sigma, "linear")
    levels = np.sort(np.append(sigma * rng.uniform(0, 1, 40) ** 3, sigma))[::-1]
    levels = np.append(levels, 0.0)
    yield "random grid, T = 41", Grid(np.ones(42), levels)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_exact_for_every_grid(check):
    for rank in (None, 20):
        law, mean, S = gaussian(64, 7, rank)
        lam, U = np.linalg.eigh(S)
        for sigma in (3.0, 1.0, 0.1):
            rng = np.random.default_rng(8)
            y = law.noised(1.0, sigma).sample(30, rng)
            expected = bound.gaussian_chain(y, mean, np.maximum(lam, 0), U, sigma**2)
            scale = np.max(np.abs(expected))
            for name, grid in grids(sigma, rng):
                f = cm.denoise(law, grid, y, sigma)
                on = f"N = 64, rank {rank or 64}, sigma = {sigma:g}, {name}"
                check.equal(f / scale, expected / scale, tol=1e-11, cause="rounding: 300 steps of 64-term sums", on=on)
                check.equal(
                    cm.lmmse(law, y, sigma) / scale, expected / scale, tol=1e-11, cause="rounding", on="LMMSE, " + on
                )


def test_released_schedule_on_a_level(check):
    """The schedule of the released code, observation exactly on one of its levels: no mismatch, no error, T = 5 .. 300."""
    law, mean, S = gaussian(64, 9)
    lam, U = np.linalg.eigh(S)
    for T in (5, 50, 300):
        grid = cm.released_grid(T)
        sigma = float(grid.sigma[T // 2])
        y = law.noised(1.0, sigma).sample(20, np.random.default_rng(1))
        assert cm.match(grid, sigma).mismatch_db == 0
        expected = bound.gaussian_chain(y, mean, lam, U, sigma**2)
        f, scale = cm.denoise(law, grid, y, sigma), np.max(np.abs(expected))
        check.equal(f / scale, expected / scale, tol=1e-11, cause="rounding: over T steps", on=f"released schedule, T = {T}")


def test_symbolic(check):
    lam = sympy.Symbol("lam", positive=True)
    v = sympy.symbols("v0:5", positive=True)  # v0 = 0 below
    factor = lambda s, r: r / s + (1 - r / s) * lam / (lam + s)  # noqa: E731
    one = sympy.simplify(factor(v[2], v[1]) - (lam + v[1]) / (lam + v[2]))
    product = sympy.prod([factor(v[k + 1], v[k]) for k in range(4)]).subs(v[0], 0)
    cause, on = "exact: SymPy", "one factor, and the product of four"
    check.equal([float(one), float(sympy.simplify(product - lam / (lam + v[4])))], 0.0, tol=0, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    law, mean, S = gaussian(64, 7)
    lam, U = np.linalg.eigh(S)
    y = law.noised(1.0, 1.0).sample(30, np.random.default_rng(8))
    expected = bound.gaussian_chain(y, mean, lam, U, 1.0)
    ddim = cm.denoise(law, cm.refined_grid(300, 1.0), y, 1.0, method="ddim")
    check.control("the conditional mean as the step (DDIM)", np.abs(ddim - expected), 0.0, tol=1e-11, on="N = 64, T = 300")
    off = cm.denoise(law, cm.released_grid(50), y, 1.0)
    check.control("SNR on the grid (released schedule, T = 50)", np.abs(off - expected), 0.0, tol=1e-11, on="N = 64, 0 dB")
    for name in ("gmm2", "scale mixture"):  # same mean and variance, not Gaussian
        value = line.chain_excess(name, 1.0, cm.refined_grid(30, 1.0))
        check.control("Gaussian prior", value, 0.0, tol=1e-11, on=f"{name}, T = 30")
