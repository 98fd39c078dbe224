"""Two points: every grid over-sharpens, without any limit (derived).

Suppose that

    (H1)  the prior has two atoms +-1 of equal weight,
    (H2)  the grid has at least two steps, v_hat > ... > v_1 > 0,
    (H3)  y > 0 (y < 0 by symmetry).

Then

    f(y)  >=  tanh(y / v_hat + tanh(y / v_hat) (1/v_1 - 1/v_hat))  >  tanh(y / v_hat)  =  E[x | y],

with equality on the left for two steps.

Measured on random grids of 2 to 60 steps, one grid for every thirty observations.
"""

import numpy as np

from exactdiffusion import GaussianMixture, Grid, PointCloud
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.two_point_every_grid.statement
EPS = np.finfo(np.float64).eps
PAIR = PointCloud(np.array([[-1.0], [1.0]]))


def random_grid(rng, steps):
    v_hat = 10 ** rng.uniform(-1, 2)
    levels = v_hat * np.sort(np.append(rng.uniform(1e-3, 1, steps - 1) ** rng.uniform(0.5, 4), 1.0))[::-1]
    return Grid(np.ones(steps + 1), np.sqrt(np.append(levels, 0.0)))


def instances(count, seed, steps=None):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        grid = random_grid(rng, steps or int(rng.integers(2, 60)))
        v_hat, v_1 = grid.noise_ratio[0] ** 2, grid.noise_ratio[-2] ** 2
        y = np.abs(rng.choice([-1, 1], 30) + np.sqrt(v_hat) * rng.standard_normal(30))[:, None] + 1e-9
        yield grid, v_hat, v_1, y


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, deep):
    """One random grid per row of y."""
    for steps in (2, 3, 5, 10, 30, 60):
        each = list(instances(500 if deep else 50, 41 + steps, steps))
        levels = np.repeat(np.stack([grid.sigma for grid, *_ in each], axis=1), 30, axis=1)
        y = np.concatenate([y for *_, y in each])
        v_hat, v_1 = levels[0][:, None] ** 2, levels[-2][:, None] ** 2
        grid = Grid(np.ones_like(levels), levels)
        f = cm.denoise(PAIR, grid, y)
        least = bound.two_point_every_grid(y, v_hat, v_1)
        on = f"{steps} steps, {len(each)} random grids"
        check.holds(least, f, tol=64 * EPS * steps, cause="rounding: 64 eps per step", on=on)
        check.holds(np.tanh(y / v_hat), least, tol=4 * EPS, cause="rounding: 4 eps", on=on, of="the bound against the CME")
        cause = "rounding: 64 eps per step"
        check.equal(cm.denoise(PAIR, grid, -y), -f, tol=64 * EPS * steps, cause=cause, on=f"y < 0, {on}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    ratios = [
        np.arctanh(np.clip(cm.denoise(PAIR, g, y), 0, 1 - 1e-9))
        / np.arctanh(np.clip(bound.two_point_every_grid(y, v, u), 0, 1 - 1e-9))
        for g, v, u, y in instances(40, 42, steps=2)
    ]
    cause = "remainder: eps / (1 - tanh^2), at most 2e-7 below the clip"
    check.tight(np.concatenate(ratios), 1.0, tol=1e-6, cause=cause, on="two steps, arctanh of both")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    uneven = GaussianMixture([0.8, 0.2], np.array([[-1.0], [1.0]]), 0.0)
    gap, wrong = [], []
    for grid, v_hat, v_1, y in instances(20, 43, steps=10):
        gap.append(bound.two_point_every_grid(y, v_hat, v_1) - cm.denoise(PAIR, cm.refined_grid(1, np.sqrt(v_hat)), y))
        wrong.append(bound.two_point_every_grid(y, v_hat, v_1) - cm.denoise(uneven, grid, y))
    check.control("at least two steps (one)", np.concatenate(gap), 0.0, tol=1e-6, on="random grids")
    check.control("equal weights (.8 and .2)", np.concatenate(wrong), 0.0, tol=1e-6, on="random grids, ten steps")
    # 1/v_1 replaced by the level before it: a larger claim than the chain keeps
    larger = []
    for grid, v_hat, v_1, y in instances(20, 44, steps=2):
        larger.append(bound.two_point_every_grid(y, v_hat, v_1 / 2) - cm.denoise(PAIR, grid, y))
    check.control("v_1 (half of it)", np.concatenate(larger), 0.0, tol=1e-6, on="two steps")
