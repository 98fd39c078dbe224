"""Orders are read against the mean step that a target sees: some grids have steps that hardly get finer, whatever N is."""

from itertools import pairwise

import numpy as np
import pytest

from exactdiffusion.conformance import Subject, functions, judge, measure
from exactdiffusion.conformance.measurement import DEVIATIONS, STEPS
from exactdiffusion.conformance.verdicts import SHORT

ALPHA_BAR = np.cumprod(1 - np.linspace(0.00085, 0.012, 1000))
RATIO = np.sqrt((1 - ALPHA_BAR) / ALPHA_BAR)


def trailing(steps):
    """Levels of a linear table of betas at the timesteps 999, 999 - 1000 / N, ..., without the last step to level 0."""
    return RATIO[np.arange(1000, 0, -1000 / steps).round().astype(int) - 1]


def beta(steps, first=157.4, last=0.01):
    """Levels at quantiles of a law whose density is x^(-0.4) at the clean end: N^(-5/3) is a level, and last is one more."""
    return last + (first - last) * np.linspace(1, 0, steps + 1) ** (5 / 3)


def stuck(steps):
    """Four last steps of a factor 3, whatever N is."""
    return np.append(np.geomspace(80.0, 1.0, steps - 3), 3.0 ** -np.arange(1, 5))


def on(levels, step, order):
    """A sampler of this step on these levels: ``step(denoise, x, now, then, memory)``."""

    def make(world):
        def drive(world, steps):
            sigmas, memory = levels(steps), {}
            x = world.start(1.0, sigmas[0])
            for now, then in pairwise(sigmas):
                x = world.between(step(world.denoise, x, now, then, memory), 1.0, then)

        return drive

    return Subject("mine", make, order=order, library="numpy")


def midpoint(share):
    """The midpoint rule in log sigma for ``dx/dsigma``; order 2, and order 1 with a share of the slope before it."""

    def step(denoise, x, now, then, memory):
        middle = np.sqrt(now * then)
        slope = (x - denoise(x, now)) / now
        half = x + (middle - now) * slope
        return x + (then - now) * (share * (half - denoise(half, middle)) / middle + (1 - share) * slope)

    return step


def two_step(weight, drift=1.0):
    """DPM-Solver++(2M), with ``weight`` for its extrapolation and a factor on its change of level."""

    def step(denoise, x, now, then, memory):
        clean, h = denoise(x, now), np.log(now / then)
        used = clean + weight * h / memory["h"] * (clean - memory["clean"]) if memory else clean
        memory.update(clean=clean, h=h)
        return x + drift * (1 - then / now) * (used - x)

    return step


def test_mean_step_by_hand():
    """Two steps, 4 to 2 and 2 to 1, both of length 2/3; a target of deviation 2 has 1/5, 1/2, 4/5 behind it."""
    levels = {2: np.array([4.0, 2.0, 1.0])}
    found = measure(on(levels.__getitem__, midpoint(1.0), 2), 2)
    wide = np.flatnonzero(DEVIATIONS == 1.0)[0]
    behind = 1 / (1 + np.array([16.0, 4.0, 1.0]))
    for order in (1.0, 2.0, 3.0):
        by_hand = (np.diff(behind) @ np.full(2, (2 / 3) ** order)) ** (1 / order)
        assert found.mean_step(order)[wide] == pytest.approx(by_hand, rel=1e-12)
        late = ((behind[2] - behind[1]) * (2 / 3) ** order) ** (1 / order)
        assert found.mean_step(order, exact=1)[wide] == pytest.approx(late, rel=1e-12)
    assert found.mean_step(1.0)[0] == 0.0


def test_mean_step_falls_as_1_over_n_where_every_step_does():
    steps = [measure(on(functions.geometric, midpoint(1.0), 2), n).mean_step(2.0)[3:9] for n in (160, 320)]
    np.testing.assert_allclose(steps[0] / steps[1], 2.0, rtol=0.02)


@pytest.mark.parametrize(
    ("levels", "right", "slip", "order", "kind"),
    [
        (trailing, midpoint(1.0), midpoint(0.5), 2, "order"),
        (trailing, two_step(0.5), two_step(0.5, drift=0.95), 2, "limit"),
        (beta, two_step(0.5), two_step(0.5, drift=0.95), 2, "limit"),
    ],
)
def test_grid_whose_last_steps_hardly_get_finer(levels, right, slip, order, kind):
    report = judge(on(levels, right, order), precisions=["float64"])
    assert report.code == 0, report.table()
    report = judge(on(levels, slip, order), precisions=["float64"])
    assert kind in report.differs, report.table()


def test_midpoint_rule_on_trailing_timesteps_has_its_order_in_the_mean_step_and_not_in_n():
    found = [measure(on(trailing, midpoint(1.0), 2), n, repeat=False) for n in (80, 160, 320)]
    j = np.flatnonzero(DEVIATIONS == 0.2)[0]
    errors = np.array([m.error[j] for m in found])
    steps = np.array([m.mean_step(2.0)[j] for m in found])
    assert (np.log2(errors[:-1] / errors[1:]) < 1.0).all()
    np.testing.assert_allclose(np.log(errors[:-1] / errors[1:]) / np.log(steps[:-1] / steps[1:]), 2.0, atol=SHORT)


def test_no_order_is_read_where_the_steps_stay():
    """The last four steps divide the level by 3 whatever N is: no order is claimed, and the line says why."""
    report = judge(on(stuck, midpoint(1.0), 2), STEPS, ["float64"])
    assert report.code == 0, report.table()
    assert "get no finer" in report.of("order")[0].text
