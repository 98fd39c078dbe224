"""No schedule beta_t = c T^-gamma t/T removes the plateau (derived; the announced conditions were not at hand).

Suppose that

    (H1)  the steps are exact means at a fixed SNR, and the schedule is refined at the matched level,
    (H2)  0 <= gamma <= 1.

Then the mesh at t_hat is O(T^-((1 + gamma) / 2)), and the chain converges at that rate to one limit, whatever gamma. For
gamma > 1 the schedule never gets noisy,

    v_T  <=  exp(c T^-gamma (T + 1) / 2 / (1 - c T^-gamma)) - 1  ->  0,

so that a fixed SNR cannot be matched.

Measured for gamma = 0, 1/2, 1 on three mixtures and two points, and for gamma = 1.25, 1.5, 2 by the largest level.
"""

import numpy as np
import pytest

from exactdiffusion import Grid, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.schedules_share_the_limit.statement
#: gamma -> (c, step counts of the schedule)
SCHEDULES = {0.0: (0.5, (4000, 16000, 64000)), 0.5: (0.5, (640, 2560, 10240)), 1.0: (2.0, (100, 200, 400))}
NAMES = ("gmm2", "gmm3", "scale mixture")


def big_last_jump(n):
    """One jump from v = 1 to .01, then n fine steps: v_{t-1}/v_t is small where it matters."""
    fine = cm.refined_grid(n, 0.1).sigma
    return Grid(np.ones(n + 2), np.append(1.0, fine))


def largest_level(T, gamma, c=1.0):
    """v_T of the schedule beta_t = c T^-gamma t/T."""
    betas = c * float(T) ** -gamma * np.arange(1, T + 1) / T
    return np.expm1(-np.sum(np.log1p(-betas)))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gamma_above_one(check):
    """The largest v of the schedule against its bound, and the refusal to match 0 dB."""
    cases = [(gamma, T) for gamma in (1.25, 1.5, 2.0) for T in (100, 1000, 10_000)]
    largest = [largest_level(T, gamma) for gamma, T in cases]
    limits = [bound.schedules_share_the_limit(T, gamma) for gamma, T in cases]
    for gamma, T in cases:
        with pytest.raises(ValueError, match="gamma"):
            cm.power_grid(T, gamma, 1.0)

    check.holds(largest, limits, tol=1e-14, cause="rounding: of a sum", on="v_T, gamma = 1.25 .. 2, T = 1e2 .. 1e4")
    cause = "remainder: c T^-gamma in the denominator"
    check.tight(largest[-1] / limits[-1], 1.0, tol=1e-3, cause=cause, on="gamma = 2, T = 1e4")
    check.rate(distances.fit_slope([100, 1000, 10_000], largest[3:6]), -0.5, within=0.02, on="v_T against T, gamma = 1.5")


def test_one_plateau(check, line, deep):
    """Exact stepwise means, fixed SNR, refined schedule: the limit differs from the CME (derived)."""
    for name in NAMES:
        end = line.excess(name, 1.0, line.limit(name, 1.0))
        for gamma, (c, counts) in SCHEDULES.items():
            values = [line.chain_excess(name, 1.0, cm.power_grid(T, gamma, 1.0, c)) for T in counts]
            rate, slope = (1 + gamma) / 2, distances.fit_slope(counts, end - np.array(values))
            check.rate(slope, -rate, within=0.1 * rate, on=f"{name}, gamma = {gamma:g}")

            ratio = (counts[-1] / counts[-2]) ** rate
            extrapolated = (ratio * values[-1] - values[-2]) / (ratio - 1)
            tol, cause = abs(values[-1] - values[-2]) / end, "remainder: last change before extrapolation"
            check.tight(extrapolated / end, 1.0, tol=tol, cause=cause, on=f"limit, {name}, gamma = {gamma:g}")

    # two points, whose plateau has a closed form
    plateau, mmse = bound.two_point_plateau(1.0)
    for gamma, (c, counts) in SCHEDULES.items():
        value = line.chain_excess("two points", 1.0, cm.power_grid(counts[-1], gamma, 1.0, c))
        cause = "remainder: 1 %: nodes next to the jump at 0"
        check.equal(value, (plateau - mmse) / mmse, tol=1e-2 * 0.41, cause=cause, on=f"two points, gamma = {gamma:g}")


def test_other_refinements(check, line):
    for name in NAMES:
        end = line.excess(name, 1.0, line.limit(name, 1.0))
        for spacing in ("linear", "geometric"):
            a, b = (line.chain_excess(name, 1.0, cm.refined_grid(n, 1.0, spacing)) for n in (200, 400))
            cause = "remainder: 2 x change from n = 200 to 400"
            check.equal(b, end, tol=2 * abs(b - a), cause=cause, on=f"{name}, {spacing} in v, n = 400")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """A coarse step at the matched level, and gamma on the other side of 1."""
    # (H1) one large jump from v = 1 to .01
    end = line.excess("gmm2", 1.0, line.limit("gmm2", 1.0))
    jump = line.chain_excess("gmm2", 1.0, big_last_jump(400))
    check.control("refinement at the matched level (400 steps below v = .01)", end, jump, tol=0.1 * end, on="gmm2")

    # (H2) for gamma = 1.5 no level reaches v = 1; for gamma = .5 the largest one exceeds the bound at 1.5
    limit = bound.schedules_share_the_limit(1000, 1.5)
    check.control("gamma <= 1 (bound of v_T at gamma = 1.5)", 1.0, limit, on="T = 1,000")
    check.control("gamma > 1 (gamma = .5 gets noisy)", largest_level(1000, 0.5, 0.5), limit, on="T = 1,000")
