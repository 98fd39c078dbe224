"""Accumulation of a stepwise error (derived; cf. Theorem 4.4, whose bound with a stepwise error was not at hand).

Suppose that

    (H1)  every step is wrong by at most Delta in norm, in VP coordinates,
    (H2)  Lip_i is a Lipschitz constant of the exact step i, as `lem_step_slope_log_concave` has it for a log-concave prior.

Then

    |f_Delta(y) - f(y)|  <=  Delta sum_{t=1}^{t_hat} prod_{i=1}^{t-1} Lip_i,

with equality for the unit Gaussian prior and an error of constant direction, where it is Delta sum_t sqrt(abar_t). This
grows like t_hat: a fixed Delta accumulates.

Measured with random, constant and alternating errors on mixtures with m = 1, .64 and 0.
"""

import numpy as np

from exactdiffusion import Denoiser, GaussianMixture, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.stepwise_error.statement
#: recorded: sum of sqrt(abar_t), t < t_hat, on the released schedules at 0 dB
RECORDED = {5: 2.8731, 50: 17.1671, 300: 96.914}


def perturbed(law, grid, error):
    """The law's denoiser, wrong so that step i moves x (VP coordinates) by ``error(i, n, d)``."""
    v = grid.noise_ratio**2
    scale = 1 / np.sqrt(1 + v)

    def fn(x, sigma):
        i = int(np.argmin(np.abs(grid.noise_ratio[:-1] - sigma)))
        share = 1 - v[i + 1] / v[i]
        return law.noised(1.0, sigma).denoise(x) + error(i, *x.shape) / (scale[i + 1] * share)

    return Denoiser(fn, law.dim)


def sub_grid(T, sigma=1.0):
    """The released grid of T steps from the level that is matched to sigma down."""
    grid = cm.released_grid(T)
    return grid[cm.match(grid, sigma).index :]


def slopes_vp(grid, m):
    """Lipschitz constants in VP coordinates for an m-strongly log-concave prior."""
    v = grid.noise_ratio**2
    return bound.step_slope_log_concave(v[:-1], v[1:], m) * np.sqrt((1 + v[:-1]) / (1 + v[1:]))


def moved(law, grid, y, error):
    """Distance (n,) of the chain's output when step i is moved by ``error(i, n, d)`` in VP coordinates."""
    return np.linalg.norm(cm.denoise(perturbed(law, grid, error), grid, y) - cm.denoise(law, grid, y), axis=1)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Random, constant and alternating errors on (strongly) log-concave priors."""
    rng, delta = np.random.default_rng(82), 0.02

    def unit(n, d):
        u = rng.standard_normal((n, d))
        return delta * u / np.linalg.norm(u, axis=1, keepdims=True)

    fixed = unit(40, 2)
    errors = (lambda i, n, d: unit(n, d), lambda i, n, d: fixed, lambda i, n, d: (-1) ** i * fixed)
    small, large = [], []
    for a in (0.0, 0.6, 1.0):
        law, m = GaussianMixture(None, np.array([[-a, 0.0], [a, 0.0]]), 1.0), max(1 - a**2, 0.0)
        for T in (5, 50):
            grid = sub_grid(T)
            y = law.noised(1.0, float(grid.sigma[0])).sample(40, rng)
            for error in errors:
                small.append(moved(law, grid, y, error))
                large.append([bound.stepwise_error(delta, slopes_vp(grid, m))] * 40)
    check.holds(small, large, tol=1e-12, cause="rounding", on="a = 0, .6, 1; three kinds of error")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """N(0, I) in R^3 and an error of constant direction: equality, and the recorded sums of sqrt(abar)."""
    law, delta = GaussianMixture([1.0], np.zeros((1, 3)), 1.0), 1e-3
    direction = np.array([0.6, 0.0, 0.8])
    for T in (5, 50, 300):
        grid = sub_grid(T)
        y = law.noised(1.0, float(grid.sigma[0])).sample(10, np.random.default_rng(81))
        found = moved(law, grid, y, lambda i, n, d: delta * np.ones((n, 1)) * direction)
        largest = bound.stepwise_error(delta, slopes_vp(grid, 1.0))
        check.tight(found / largest, 1.0, tol=1e-8, cause="rounding: of an error of 1e-3 Delta", on=f"N(0, I), T = {T}")

        closed = np.sum(np.sqrt(grid.alpha_bar[1:]))
        check.equal(largest / delta, closed, tol=1e-12 * closed, cause="rounding", on=f"sum of sqrt(abar), T = {T}")
        cause = "printed digits: recorded to four digits or more"
        check.equal(closed, RECORDED[T], tol=5e-4, cause=cause, on=f"recorded value, T = {T}")


def test_rate(check):
    grids = [sub_grid(T) for T in (50, 100, 300, 1000)]
    slope = distances.fit_slope([g.N for g in grids], [bound.stepwise_error(1.0, slopes_vp(g, 1.0)) for g in grids])
    check.rate(slope, 1.0, within=0.05, on="accumulated error against t_hat, fixed Delta, N(0, 1)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Slopes that are no Lipschitz constants, and an error that counts once."""
    law, delta, grid = GaussianMixture([1.0], np.zeros((1, 1)), 1.0), 1e-3, sub_grid(50)

    def constant(i, n, d):
        return delta * np.ones((n, d))

    # (H1) only one of the steps is wrong by Delta
    found = moved(law, grid, np.array([[0.3], [-1.0]]), constant)
    check.control("the sum (one Delta)", found, delta, tol=1e-8, on="N(0, 1), T = 50")

    # (H2) constants of the schedule, and those of a log-concave prior for two far modes
    a = grid.alpha_bar
    schedule = bound.stepwise_error(delta, bound.step_slope_lower(a[:-1], a[1:]))
    check.control("true slopes (the schedule's own constants)", found, schedule, tol=1e-8, on="N(0, 1), T = 50")
    wide = GaussianMixture(None, np.array([[-3.0], [3.0]]), 1.0)
    found, larger = moved(wide, grid, np.array([[1e-3]]), constant), bound.stepwise_error(delta, slopes_vp(grid, 0.0))
    check.control("a log-concave prior", found, larger, tol=1e-8, on="modes at +-3, y = .001")
