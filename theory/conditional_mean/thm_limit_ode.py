"""Refined schedules: the mean chain tends to the endpoint of an ODE (derived).

Suppose that

    (H1)  the steps are exact means at a fixed observation level v_hat, and max(v_t - v_{t-1}) -> 0,
    (H2)  the score is Lipschitz along the trajectory (not at a decision boundary of atoms).

Then, at rate 1/T on quasi-uniform grids,

    f(y)  ->  Z_0,        dZ/dv  =  -grad log q_v(Z)  =  (Z - D_v(Z)) / v,    Z_{v_hat} = y.

The limit differs from the CME (see `eq_gap_formula`), and the ODE is not the probability flow, which has half this score.
The paper announces convergence to the CME; its exact hypotheses were not at hand, so nothing here is its verdict.

Measured against an independent solver of the ODE (DOP853) by quadrature over the observation.
"""

import itertools

import numpy as np
import pytest

from exactdiffusion import Grid, datasets, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.limit_ode.statement
NAMES = ("gmm2", "gmm3", "scale mixture")
STEPS = np.array([32, 64, 128, 256])
AWAY = np.array([[-1.7], [-0.6], [0.35], [0.9], [1.6]])  # observations off the steep fronts between modes


def distance(line, name, n, to, method="mean", spacing="vp_linear", sigma=1.0):
    """Mean distance of the chain of n steps to an estimate ``to`` (nodes, 1) at the nodes of the quadrature.

    The mean, not the root mean square: a steep front that moves by 1/n changes the latter by n^(-1/2).
    """
    y, w = line.quadrature(name, sigma)
    f = cm.denoise(line.priors[name], cm.refined_grid(n, sigma, spacing), y, sigma, method=method)
    return float(w @ np.abs(f - to)[:, 0])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_slope_of_the_ode(check, line):
    """The chain's first step, differenced in v, is the right-hand side."""
    y, h = np.linspace(-3, 3, 13)[:, None], 2.0**-20
    grid = Grid(np.ones(3), np.sqrt([1.0, 1.0 - h, 0.0]))
    for name in NAMES:
        law = line.priors[name]
        expected = bound.limit_ode(1.0, y, law.noised(1.0, 1.0).denoise(y))
        step = next(s for i, s in enumerate(cm.chain(law, grid, y)) if i == 1)
        tol, cause = 2**20 * 4 * np.finfo(float).eps * 3, "rounding: 4 eps |z| / h: the step is exact"
        check.equal((y - step) / h, expected, tol=tol, cause=cause, on=f"{name}, h = 2^-20")


def test_rate(check, line):
    for name in NAMES:
        ends = line.limit(name, 1.0)
        for spacing in ("vp_linear", "linear"):
            errors = [distance(line, name, n, ends, spacing=spacing) for n in STEPS]
            on = f"mean distance to the endpoint, {name}, {spacing}"
            check.rate(distances.fit_slope(STEPS[1:], errors[1:]), -1.0, within=0.1, on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_extrapolation(check, line):
    """Richardson's extrapolation of the chain meets the solver: the endpoint, not only the rate."""
    for name in NAMES:
        law = line.priors[name]
        end = line.trajectory(law, AWAY, 1.0, v_end=1e-9, rtol=1e-11)
        a, b, c = (cm.denoise(law, cm.refined_grid(n, 1.0), AWAY, 1.0) for n in (128, 256, 512))
        change = np.abs((2 * c - b) - (2 * b - a))
        cause = "remainder: last change of the extrapolation"
        check.equal(2 * c - b, end, tol=change, cause=cause, on=f"{name}, n = 512, five y")
        check.rate(
            distances.fit_slope([128, 256, 512], [np.max(np.abs(f - end)) for f in (a, b, c)]),
            -1.0,
            within=0.05,
            on=f"largest error at five y, {name}",
        )


def test_the_excess_does_not_decay(check, line):
    """Exact stepwise means, fixed SNR, refined schedule: the limit differs from the CME (derived)."""
    for name in NAMES:
        few, many = (line.chain_excess(name, 1.0, cm.refined_grid(n, 1.0)) for n in (100, 1000))
        end = line.excess(name, 1.0, line.limit(name, 1.0))
        cause = "remainder: change from n = 100 to 1,000"
        check.tight(many / end, 1.0, tol=abs(many - few) / end, cause=cause, on=f"excess over limit, {name}")

        ratio, on = many / few, f"excess(1000) / excess(100) in [.98, 1.05], {name}"
        check.holds([0.98, ratio], [ratio, 1.05], tol=0, cause="exact: strict", on=on, of="a size that the test relies on")
        of = "the stated size: 5 % of the MMSE remain"
        check.holds(0.05, many, tol=0, cause="exact: strict", on=f"{name}, 0 dB", of=of)
    cause = "remainder: v_end = 1e-7 of the solver"
    end, cme = line.limit("gauss", 1.0), line.truth("gauss", 1.0).cme
    check.equal(end, cme, tol=1e-7, cause=cause, on="Gaussian prior: it is the CME")


@pytest.mark.deep
def test_on_the_random_mixture_of_the_paper(check):
    """K = 128, N = 64 at -10 dB: excess over MMSE as recorded by another program, rising with n on the same observations."""
    law, sigma, recorded = datasets.random_mixture(), 10**0.5, {10: 0.0486, 30: 0.0583, 60: 0.0612}
    draw = check.chance(comparisons=5)
    y = law.noised(1.0, sigma).sample(400, draw.rng(101))
    mean = cm.cme(law, y, sigma)
    mmse = float(np.mean(cm.posterior_variance(law, y, sigma)))
    rows = []
    for n, value in recorded.items():
        f = cm.denoise(law, cm.refined_grid(n, sigma), y, sigma)
        found = distances.excess_error(f, mean, mmse)
        # both numbers are means over 400 draws
        error = np.sqrt(2) * found.standard_error
        draw.normal(found.value, value, error, degrees=399, tol=5e-5, on=f"as recorded, random mixture, n = {n}")
        rows.append(np.sum((f - mean) ** 2, axis=1))

    # T -> infinity: the excess of the endpoint, against that of 30, 60 and 120 steps, extrapolated on the same observations
    finest = cm.denoise(law, cm.refined_grid(120, sigma), y, sigma)
    a, b, c = (float(np.mean(r)) / mmse for r in (*rows[1:], np.sum((finest - mean) ** 2, axis=1)))
    end = distances.excess_error(cm.limit(law, y, sigma, rtol=1e-6), mean, mmse).value
    cause = "remainder: last change of the extrapolation"
    check.equal(
        end, 2 * c - b, tol=abs((2 * c - b) - (2 * b - a)), cause=cause, on="random mixture, -10 dB, endpoint of the ODE"
    )

    for (few, many), text in zip(itertools.pairwise(rows), ("30 over 10", "60 over 30")):
        rising = int(np.sum(many > few))
        draw.frequency_at_least(rising, 400, 0.5, on=f"random mixture, -10 dB: excess of {text} steps rises")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Another limit, and another ODE: the distance does not fall like 1/n."""
    for name in NAMES:
        cme = line.truth(name, 1.0).cme
        first, last = (distance(line, name, n, cme) for n in (STEPS[0], STEPS[-1]))
        on = f"error at n = 256 against 1/n from 32, {name}"
        check.control("the ODE endpoint (the CME instead)", last, first * STEPS[0] / STEPS[-1], tol=1e-6, on=on)

    ends = line.limit("gmm2", 1.0)
    first, last = (distance(line, "gmm2", n, ends, method="ddim") for n in (STEPS[0], STEPS[-1]))
    check.control("score weight 1 (1/2: DDIM)", last, first * STEPS[0] / STEPS[-1], tol=1e-6, on="gmm2")
