"""CME minus chain is a sum of Jensen gaps, on every grid and for every prior (derived).

Let zhat_t be the states of the mean chain from zhat_{t_hat} = y. Suppose that

    (H1)  the steps are exact conditional means,
    (H2)  D is taken at the level that the step leads to,
    (H3)  the sum runs over the chain's own grid, t = 2, ..., t_hat.

Then

    E[x | y] - f(y)  =  sum_t  E[D_{v_{t-1}}(z_{t-1}) | z_t = zhat_t]  -  D_{v_{t-1}}(E[z_{t-1} | z_t = zhat_t]).

Both sides are measured, the right one by quadrature over the exact reverse kernels. A wrong coefficient, level, index or
oracle breaks the identity: this is the sharpest check of the paper.
"""

import itertools
from typing import NamedTuple

import numpy as np

from exactdiffusion import samplers
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.jensen_identity.statement
Y = np.array([[-2.3], [-0.4], [0.05], [0.7], [1.9]])


def rule(order):
    """Trapezoidal rule for N(0, 1) on +-8.6: exponentially accurate, and the mass beyond is 1e-17."""
    t = np.linspace(-8.6, 8.6, order)
    w = np.exp(-0.5 * t**2)
    return t, w / w.sum()


def expectation(law, z, v, u, order):
    """E[D_u(z') | z] over the exact kernel from v down to u, by a tensor rule in every component."""
    kernel = cm.reverse_kernel(law, z, v, u)
    t, w = rule(order)
    d = law.dim
    nodes = np.array(list(itertools.product(t, repeat=d)))
    weights = np.prod(np.array(list(itertools.product(w, repeat=d))), axis=1)
    root = np.linalg.cholesky(kernel.covariances)
    points = kernel.means[:, :, None] + np.einsum("kij,mj->kmi", root, nodes)
    values = law.noised(1.0, np.sqrt(u)).denoise(points.reshape(-1, d)).reshape(points.shape)
    return np.einsum("nk,m,nkmi->ni", kernel.weights, weights, values)


def both_sides(law, n, y, order=None, level=None, sigma=1.0):
    """`Sides` for the refined grid of n steps. ``level`` shifts the level at which D is taken in the sum (control)."""
    grid = cm.refined_grid(n, sigma)
    states, v = list(cm.chain(law, grid, y)), grid.noise_ratio**2
    order = order or (301 if n > 50 else 2001)  # coarse steps reach levels where D is steep within the kernel
    steps = range(n - 1)  # the step to level 0 contributes nothing
    expected = [expectation(law, states[i], v[i], v[i + 1], order) for i in steps]
    levels = [v[i + 1 if level is None else level(i)] for i in steps]
    at_mean = [law.noised(1.0, np.sqrt(u)).denoise(states[i + 1]) for i, u in zip(steps, levels)]
    return Sides(cm.cme(law, y, sigma) - states[-1], bound.jensen_identity(expected, at_mean))


class Sides(NamedTuple):
    """CME minus the chain's output, and the sum of the Jensen gaps, both (n, d)."""

    gap: np.ndarray
    sum: np.ndarray


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_identity_on_the_line(check, line):
    """Four priors, coarse and fine grids; and the gap itself is not small."""
    for name in ("gmm2", "gmm3", "two points", "scale mixture"):
        for n in (3, 10, 100):
            sides = both_sides(line.priors[name], n, Y)
            cause = "remainder: trapezoidal rule, 301 nodes or more"
            check.equal(sides.gap, sides.sum, tol=1e-10, cause=cause, on=f"{name}, n = {n}")
    gap = both_sides(line.priors["gmm2"], 100, np.array([[0.7]])).gap
    check.holds(0.1, np.abs(gap), tol=0, cause="exact: strict", on="the gap itself is not small: gmm2, y = .7, n = 100")


def test_identity_in_the_plane(check, mixtures):
    law = mixtures["3 components in the plane"]
    y = law.noised(1.0, 0.7).sample(6, np.random.default_rng(4))
    for n in (2, 6):
        fine, coarse = (both_sides(law, n, y, order=order, sigma=0.7) for order in (60, 44))
        tol = 4 * np.max(np.abs(fine.sum - coarse.sum)) + 1e-12
        cause, on = "remainder: 4 x change from 44^2 to 60^2 nodes", f"3 components in the plane, n = {n}"
        check.equal(fine.gap, fine.sum, tol=tol, cause=cause, on=on)


def test_tower_property(check, line):
    """What the proof uses: D at one level is the kernel average of D at the next."""
    for name in ("gmm2", "gmm3", "scale mixture"):
        law = line.priors[name]
        for v, u in ((1.0, 0.9), (1.0, 0.3), (0.2, 0.05)):
            left = law.noised(1.0, np.sqrt(v)).denoise(Y)
            cause = "remainder: trapezoidal rule, 801 nodes"
            check.equal(left, expectation(law, Y, v, u, 801), tol=1e-10, cause=cause, on=f"{name}, v = {v:g} -> {u:g}")


def test_samplers_step_is_the_kernel_mean(check, line):
    for name in ("gmm2", "gmm3", "two points"):
        law = line.priors[name]
        after = samplers.final(cm.chain(law, cm.refined_grid(1, 1.0), Y))
        check.equal(after, cm.reverse_kernel(law, Y, 1.0, 0.0).mean, tol=1e-14, cause="rounding", on=f"{name}, to level 0")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """The level and the grid of the sum, and the sum itself."""
    law = line.priors["gmm2"]

    # (H2) D at the level that the step starts from
    sides = both_sides(law, 10, Y, level=lambda i: i)
    check.control("D at the next level (at this one)", np.abs(sides.gap - sides.sum), 0.0, tol=1e-10, on="gmm2, n = 10")

    # (H3) the sum over the grid of one step more
    sides, shorter = both_sides(law, 10, Y), both_sides(law, 11, Y)
    off = np.abs(sides.gap - shorter.sum)
    check.control("the chain's own grid (one step more)", off, 0.0, tol=1e-10, on="gmm2, n = 10")

    check.control("the sum (CME = f)", np.abs(sides.gap), 0.0, tol=1e-10, on="gmm2, n = 10")
