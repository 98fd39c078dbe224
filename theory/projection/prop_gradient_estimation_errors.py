"""What gradient estimation does to a geometric error of the noise prediction: nothing, a filter, or an amplification.

Gradient estimation uses gamma eps_t + (1 - gamma) eps_{t+1} after a plain first step. Suppose that

    (H1)  the exact noise prediction is a constant e along the trajectory, as with the exact projection (Theorem 4.1),
    (H2)  the prediction is eps_t = e + q^{N-t} v with a vector v and q != 0, whatever the state,
    (H3)  the memory holds the raw eps_{t+1}.

Then the error of the prediction used is (gamma + (1 - gamma) / q) q^{N-t} v for t < N, and

    x_0 = x_0^exact - sigma_N F v,  F = beta_N + (gamma + (1 - gamma) / q) sum_{t=1}^{N-1} (sigma_t/sigma_N) beta_t q^{N-t}.

So with v = 0 gradient estimation is DDIM for every gamma; a constant bias (q = 1) passes unchanged; an alternating one,
q = -1, is multiplied by 2 gamma - 1; one with q = .8 by .75 at gamma = 2; gamma = 1 / (1 - q) removes it from every step
but the first.

Source: derived. Permenter & Yuan (Section 5) argue for gamma = 2 from experiments; this says for which errors it can
help.
"""

import itertools

import numpy as np
import pytest

from exactdiffusion import Denoiser, Grid, PointCloud, samplers, schedules
from exactdiffusion.papers.projection.adversaries import ApproximateProjection
from exactdiffusion.statements import projection as bound

STATEMENT = bound.gradient_estimation_filter.statement
EPS = np.finfo(np.float64).eps
GAMMAS = (0.5, 1.0, 1.5, 2.0, 3.0)


def prescribed(grid, direction, error, q):
    """Denoiser whose noise prediction is direction + q^k error at step k, whatever the state."""
    levels = {float(s): k for k, s in enumerate(grid.sigma)}

    def fn(x, sigma):
        return x - sigma * (direction + q ** levels[float(sigma)] * error)

    return Denoiser(fn, len(direction))


def grids():
    rng = np.random.default_rng(450)
    for N in (5, 20, 50):
        yield f"log-linear N = {N}", schedules.log_linear(N, sigma_max=10.0, sigma_min=0.01)
        sigma = 10 * np.concatenate([[1.0], np.cumprod(rng.uniform(0.3, 0.98, N))])
        yield f"random steps N = {N}", Grid(np.ones(N + 1), sigma)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1.0, 0.8, -1.0, 1.1, -0.5])
def test_filter(check, q):
    rng = np.random.default_rng(451)
    cause = "rounding: 32 eps N sigma_N |eps|: rounding of every prediction"
    with check.gather(on=f"q = {q}, gamma in {GAMMAS}", cause=cause, kind="equal") as sides:
        for _, grid in grids():
            direction, error = rng.standard_normal((2, 4))
            x = rng.standard_normal((1, 4))
            exact = x + (grid.sigma[-1] - grid.sigma[0]) * direction
            for gamma in GAMMAS:
                oracle = prescribed(grid, direction, error, q)
                out = samplers.final(samplers.gradient_estimation(oracle, grid, x, gamma=gamma))
                stated = -grid.sigma[0] * bound.gradient_estimation_filter(grid.beta, q, gamma) * error

                # states of size |x| + sigma_N |eps|: their rounding is divided by sigma in the prediction, times a step
                grown = abs(gamma) * max(1.0, abs(q)) ** grid.N
                sides("x_0 - exact", out - exact, stated, tol=32 * EPS * grid.N * 10 * (2 + grown))


def test_exact_projection_is_ddim(check, closed_sets):
    """v = 0: on the exact projection every gamma gives DDIM's states."""
    rng = np.random.default_rng(452)
    grid = schedules.log_linear(12, sigma_max=5.0, sigma_min=1e-3)
    cause = "rounding: 64 eps N |x|: rounding of every prediction"
    for name in ("200 points in R^50", "sphere S^3 in R^20", "subspace of R^12", "torus T^4 in R^30"):
        law = closed_sets[name]
        x = law.project(rng.standard_normal((40, law.dim))) + rng.standard_normal((40, law.dim))
        oracle = Denoiser(lambda x, sigma, law=law: law.project(x), law.dim)
        ddim = np.stack(list(samplers.ddim(oracle, grid, x)))

        # eps_t carries a rounding eps |x| / sigma_t; times h_t <= sigma_t and |gamma| + |1 - gamma| <= 5 per step
        tol = 64 * EPS * 12 * np.linalg.norm(x, axis=1)
        for gamma in (1.5, 2.0, 3.0, "variable"):
            states = np.stack(list(samplers.gradient_estimation(oracle, grid, x, gamma=gamma)))
            off = np.linalg.norm(states - ddim, axis=2)
            check.equal(off, 0.0, tol=tol, cause=cause, on=f"{name}, gamma {gamma}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_gains(check):
    """Factor of the error after the first step: constant 1, alternating 2 gamma - 1, q = .8 by .75, gone at 1/(1 - q)."""
    beta = schedules.log_linear(20, sigma_max=10.0, sigma_min=0.01).beta

    def gain(q, gamma):
        total, plain = (bound.gradient_estimation_filter(beta, q, g) - beta[0] for g in (gamma, 1.0))
        return total / plain

    rounded = {"tol": 64 * EPS, "cause": "rounding: 64 eps: two sums and a quotient, N = 20 alternating terms"}
    check.tight([gain(1.0, g) for g in GAMMAS], 1.0, on="constant bias: no gamma helps", **rounded)
    alternating = [abs(gain(-1.0, g)) / (2 * g - 1) for g in GAMMAS if g != 0.5]
    check.tight(alternating, 1.0, on="alternating bias over 2 gamma - 1", **rounded)
    check.tight(gain(0.8, 2.0), 0.75, on="bias .8^k at gamma = 2", **rounded)
    check.equal(gain(0.8, 5.0), 0.0, on="bias .8^k at gamma = 1/(1 - q) = 5", **rounded)

    # mean size of the error over the steps after the first, N = 20
    recorded = {"tol": 5e-5, "cause": "printed digits: recorded to 4 digits"}
    mean = np.mean(0.8 ** np.arange(1, 20))
    check.equal(mean, 0.2075, on="mean error of DDIM's prediction, .8^k", **recorded)
    used = np.abs(2.0 + (1 - 2.0) / 0.8) * mean
    check.equal(used, 0.1556, on="mean error of the prediction used, gamma = 2", **recorded)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_radial_error_responds_to_the_state(check):
    """(H2) a relative radial error eta depends on the state: the distance obeys a two-term recursion instead."""
    recorded = {0.1: (2.58, 1.72), -0.1: (0.35, 0.71), 0.3: (13.6, 5.96), -0.3: (0.029, 3.86)}
    atom = PointCloud(np.zeros((1, 3)))
    grid = schedules.log_linear(10, sigma_max=1.0, sigma_min=1e-3)
    x = np.array([[0.0, 0.6, 0.8]])  # d = 1
    for (eta, values), which in itertools.product(recorded.items(), (0, 1)):
        gamma, value = (1.0, 2.0)[which], values[which]
        on = f"eta {eta}, gamma {gamma}"

        # the sampler
        strategy = "under" if eta > 0 else "over"
        oracle = ApproximateProjection(atom, abs(eta), strategy=strategy, garbage=False)
        out = samplers.final(samplers.gradient_estimation(oracle, grid, x, gamma=gamma))
        ratio = float(np.linalg.norm(out)) / grid.sigma[-1]

        # the recursion
        y, previous = 1.0, None
        for s, s1 in itertools.pairwise(grid.sigma):
            slope = (1 - eta) * y / s
            used = slope if previous is None else gamma * slope + (1 - gamma) * previous
            y, previous = y + (s1 - s) * used, slope

        tol, cause = 64 * EPS * 10 * 5 / grid.sigma[-1], "rounding: 64 eps N |x| / sigma_0"
        check.equal(ratio, abs(y) / grid.sigma[-1], tol=tol, cause=cause, on=f"recursion, {on}")
        tol, cause = 0.0051 * max(1, value), "printed digits: recorded to 2-3 digits"
        check.equal(ratio, value, tol=tol, cause=cause, on=f"d/sigma_0, {on}")


def test_controls(check):
    """(H1), (H3), and the claim that the errors become smaller."""
    # (H1) not on a straight segment: with the ideal denoiser the exact eps turns, and gradient estimation is not DDIM
    cloud, x = PointCloud(np.array([[-1.0, 0.0], [1.0, 0.0]])), np.array([[0.4, 2.0]])
    grid = schedules.log_linear(10, sigma_max=3.0, sigma_min=0.01)
    one = samplers.final(samplers.ddim(cloud, grid, x))
    two = samplers.final(samplers.gradient_estimation(cloud, grid, x, gamma=2.0))
    check.control("constant direction (ideal denoiser)", np.linalg.norm(one - two), 0.0, tol=1e-6, on="two atoms")

    # (H3) the memory holds eps_bar instead of the raw eps: the filter becomes recursive
    grid = schedules.log_linear(20, sigma_max=10.0, sigma_min=0.01)
    y, previous = 0.0, None
    for k, (s, s1) in enumerate(itertools.pairwise(grid.sigma)):
        previous = 0.8**k if previous is None else 2 * 0.8**k - previous
        y += (s1 - s) * previous
    stated = grid.sigma[0] * bound.gradient_estimation_filter(grid.beta, 0.8, 2.0)
    check.control("raw eps in the memory (eps_bar kept)", abs(y + stated), 0.0, tol=1e-9, on="q = .8, gamma 2")

    # an alternating bias becomes larger
    plain, estimated = (abs(bound.gradient_estimation_filter(grid.beta, -1.0, g) - grid.beta[0]) for g in (1.0, 2.0))
    dropped = "'gradient estimation reduces errors' (alternating bias)"
    check.control(dropped, estimated, plain, tol=1e-12, on="q = -1, gamma 2")
