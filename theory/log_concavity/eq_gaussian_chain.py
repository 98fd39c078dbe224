"""The whole one-at-a-time algorithm on a Gaussian is a linear recursion (Algorithm 1, recalled; the recursion is derived).

Suppose that

    (H1)  X ~ N(0, l) along one axis,
    (H2)  the inner walk takes n ULA steps of size h (in units of sigma^2),
    (H3)  it starts at the jump, Xhat_{t-1} + sigma xi.

Then, with k_t = (sigma^2 + (t-1) l) / (sigma^2 (sigma^2 + t l)), a_t = l / (sigma^2 + (t-1) l) and r_t = 1 - h sigma^2 k_t,

    Var S_t  =  (1 + a_t)^2 Var S_{t-1} + r_t^(2n) sigma^2 + 2 h sigma^2 (1 - r_t^(2n)) / (1 - r_t^2),
    output variance  =  (l / (sigma^2 + m l))^2 Var S_m.

Measured against the general recursion with 3 x 3 covariances (state S, y, v) and against the sampler itself.
"""

import numpy as np
import pytest

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.walk_jump import ULA, ExactWalk, Underdamped, gaussian_one_at_a_time, one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.ula_chain_variance.statement
EPS = np.finfo(np.float64).eps
ELLIPSE = np.array([0.01, 1.0, 1.0, 1.0])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_two_recursions(check):
    """The scalar recursion against that with 3 x 3 covariances; the exact walk has the W2 of the jump."""
    for l in (0.01, 1.0, 9.0):
        for m, sigma2, steps, step in ((1, 1.0, 1, 0.5), (7, 0.3, 3, 0.1), (40, 5.0, 10, 0.9)):
            general = gaussian_one_at_a_time([l], m, np.sqrt(sigma2), ULA(steps, step)).output[0]
            scalar = bound.ula_chain_variance(l, m, sigma2, steps, step)
            cause, on = "rounding: 64 eps per inner step", f"l = {l}, m = {m}, {steps} steps of {step}"
            check.equal(general, scalar, tol=64 * EPS * m * steps * scalar, cause=cause, on=on)
    exact, jump = gaussian_one_at_a_time(ELLIPSE, 30, 1.3, ExactWalk()).w2, bound.gaussian_jump_w2(30, 1.69, ELLIPSE)
    cause = "remainder: eps / W2 of order 1e-14"
    check.equal(exact, jump, tol=1e-12, cause=cause, on="exact walk: the jump's W2")


@pytest.mark.parametrize("start", ["jump", "previous"])
def test_the_sampler_has_this_law(check, start):
    """Variances of 40,000 chains against the recursion: the chain is Gaussian, so sums of squares are chi-square."""
    draw = check.chance(comparisons=9)
    n, variances = 40_000, np.array([0.05, 1.0, 4.0])
    law = GaussianMixture(None, np.zeros((1, 3)), variances[np.newaxis])
    for walk in (ULA(2, 0.5), Underdamped(3, 0.7, 0.8), ExactWalk()):
        expected = gaussian_one_at_a_time(variances, 5, 1.3, walk, start).output
        for state in one_at_a_time(law, 5, 1.3, n, noise=draw.noise(77), walk=walk, start=start):
            out = state.xhat
        draw.chi_square(np.sum(out**2, axis=0), n, scale=expected, on=f"{type(walk).__name__}, start {start}, 40,000 chains")


def test_ellipse(check):
    """tau^2 = (.01, 1, 1, 1), sigma = 1, m = 1000: exact, underdamped and ULA inner walks."""

    def w2(walk):
        # the three axes of variance 1 have the same chain: two axes are enough
        output = gaussian_one_at_a_time(ELLIPSE[:2], 1000, 1.0, walk).output
        return np.sqrt(np.sum((np.sqrt(ELLIPSE[:2]) - np.sqrt(output)) ** 2 * [1, 3]))

    exact = gaussian_one_at_a_time(ELLIPSE, 1000, 1.0, ExactWalk()).w2
    check.equal(exact, 0.00473, tol=5e-6, cause="printed digits", on="exact inner laws")
    check.equal(w2(ULA(20, 0.5)), 0.1608, tol=5e-5, cause="printed digits", on="ULA, h = sigma^2/2, 20 steps")
    on = "underdamped, 10 steps of 1.35, friction 5: within 10 % of exact walks"
    check.holds(w2(Underdamped(10, 1.35, 5.0)), 1.1 * exact, tol=0, cause="exact", on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Other walks and starts than the recursion's, and a bias that stays."""
    # (H2) one inner step in place of two
    scalar = bound.ula_chain_variance(1.0, 5, 1.0, 2, 0.3)
    fewer = gaussian_one_at_a_time([1.0], 5, 1.0, ULA(1, 0.3)).output[0]
    check.control("one inner step", abs(scalar - fewer), 0.0, tol=1e-9, on="m = 5, 1 step for 2")

    # (H3) the walk starts at the previous y
    previous = gaussian_one_at_a_time([1.0], 5, 1.0, ULA(2, 0.3), "previous").output[0]
    dropped = "the start at the jump (the previous y)"
    check.control(dropped, abs(scalar - previous), 0.0, tol=1e-9, on="m = 5, 2 steps of .3")

    off = abs(bound.ula_chain_variance(1.0, 200, 1.0, 20, 0.5) - 1 / (1 + 1 / 200))
    check.control("the bias of ULA (it vanishes with m)", off, 1 / 200, on="l = 1, m = 200, 20 steps of .5")
