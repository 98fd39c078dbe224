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

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, Grid, PointCloud
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.two_point_every_grid.statement
EPS = np.finfo(np.float64).eps
PAIR = PointCloud(np.array([[-1.0], [1.0]]))


def random_grid(rng, steps):
    """Levels v_hat in .1 .. 100 and steps - 1 random ones below, then 0."""
    v_hat = 10 ** rng.uniform(-1, 2)
    levels = v_hat * np.sort(np.append(rng.uniform(1e-3, 1, steps - 1) ** rng.uniform(0.5, 4), 1.0))[::-1]
    return Grid(np.ones(steps + 1), np.sqrt(np.append(levels, 0.0)))


def instances(count, seed, steps=None):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        grid = random_grid(rng, steps or int(rng.integers(2, 60)))
        v_hat, v_1 = grid.noise_ratio[0] ** 2, grid.noise_ratio[-2] ** 2
        y = np.abs(rng.choice([-1, 1], 30) + np.sqrt(v_hat) * rng.standard_normal(30))[:, None] + 1e-9
        yield Instance(grid, v_hat, v_1, y)


class Instance(NamedTuple):
    """A random grid, its first and last levels, and thirty observations y > 0, (30, 1)."""

    grid: Grid
    v_hat: float
    v_1: float
    y: np.ndarray

    @property
    def least(self):
        """The bound of the theorem, (30, 1)."""
        return bound.two_point_every_grid(self.y, self.v_hat, self.v_1)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, deep):
    """One random grid for every thirty rows of y; all rows are one batch."""
    for steps in (2, 3, 5, 10, 30, 60):
        each = list(instances(500 if deep else 50, 41 + steps, steps))
        levels = np.repeat(np.stack([instance.grid.sigma for instance in each], axis=1), 30, axis=1)
        grid = Grid(np.ones_like(levels), levels)
        y = np.vstack([instance.y for instance in each])
        v_hat, v_1 = levels[0][:, None] ** 2, levels[-2][:, None] ** 2

        f, least = cm.denoise(PAIR, grid, y), bound.two_point_every_grid(y, v_hat, v_1)
        tol, cause, on = 64 * EPS * steps, "rounding: 64 eps per step", f"{steps} steps, {len(each)} random grids"
        check.holds(least, f, tol=tol, cause=cause, on=on)
        check.holds(np.tanh(y / v_hat), least, tol=4 * EPS, cause="rounding: 4 eps", on=on, of="the bound against the CME")
        check.equal(cm.denoise(PAIR, grid, -y), -f, tol=tol, cause=cause, on=f"y < 0, {on}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Two steps: arctanh of the output and of the bound, where both stay away from 1."""

    def inverse(f):
        return np.arctanh(np.clip(f, 0, 1 - 1e-9))

    ratios = [inverse(cm.denoise(PAIR, i.grid, i.y)) / inverse(i.least) for i in instances(40, 42, steps=2)]
    cause = "remainder: eps / (1 - tanh^2), at most 2e-7 below the clip"
    check.tight(ratios, 1.0, tol=1e-6, cause=cause, on="two steps, arctanh of both")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each hypothesis dropped in turn, and a larger claim."""
    each = list(instances(20, 43, steps=10))

    # (H1) weights .8 and .2
    uneven = GaussianMixture([0.8, 0.2], np.array([[-1.0], [1.0]]), 0.0)
    short = [i.least - cm.denoise(uneven, i.grid, i.y) for i in each]
    check.control("equal weights (.8 and .2)", short, 0.0, tol=1e-6, on="random grids, ten steps")

    # (H2) one step: the CME
    short = [i.least - cm.denoise(PAIR, cm.refined_grid(1, np.sqrt(i.v_hat)), i.y) for i in each]
    check.control("at least two steps (one)", short, 0.0, tol=1e-6, on="random grids")

    # 1/v_1 replaced by twice as much: a larger claim than the chain keeps
    claims = [(i, bound.two_point_every_grid(i.y, i.v_hat, i.v_1 / 2)) for i in instances(20, 44, steps=2)]
    short = [claim - cm.denoise(PAIR, i.grid, i.y) for i, claim in claims]
    check.control("v_1 (half of it)", short, 0.0, tol=1e-6, on="two steps")
