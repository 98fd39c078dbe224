"""Slips that the error of discretisation hides, orders that are no evidence, and causes that were named wrongly."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from exactdiffusion.conformance import Subject, judge
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.measurement import STEPS

sys.path.insert(0, str(Path(__file__).parent))

from test_mean_step import midpoint, on, two_step


def _judged(function, steps=STEPS, **declared):
    return judge(plain.subject(function, **declared), steps, ["float64"])


def euler(drift=1.0, clean=1.0, shift=0.0):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            x = x + drift * (then - now) * (x - clean * denoiser(x, now) - shift) / now
        return x

    return sampler


def ancestral(noise=1.0, drift=1.0, every=1):
    """Ancestral sampling; every so many steps the noise has ``noise`` times its deviation."""

    def sampler(denoiser, sigmas, x, noise_of):
        for i, (now, then) in enumerate(pairwise(sigmas)):
            up = then * np.sqrt(1 - (then / now) ** 2)
            size = noise if i % every == every - 1 else 1.0
            x = x + drift * (then**2 / now - now) * (x - denoiser(x, now)) / now + size * up * noise_of(x)
            yield x

    return lambda denoiser, sigmas, x, noise: sampler(denoiser, sigmas, x, noise)


def euler_maruyama(noise=1.0):
    def sampler(denoiser, sigmas, x, noise_of):
        for now, then in pairwise(sigmas):
            gap = now**2 - then**2
            x = x - gap * (x - denoiser(x, now)) / now**2 + noise * np.sqrt(gap) * noise_of(x)
        return x

    return lambda denoiser, sigmas, x, noise: sampler(denoiser, sigmas, x, noise)


def two_step_sde(noise=1.0):
    def sampler(denoiser, sigmas, x, noise_of):
        old = h_old = None
        for now, then in pairwise(sigmas):
            clean, h = denoiser(x, now), np.log(now / then)
            share = -np.expm1(-2 * h)
            used = clean if old is None else clean + h / (2 * h_old) * (clean - old)
            x = then / now * np.exp(-h) * x + share * used + noise * then * np.sqrt(share) * noise_of(now, then)
            old, h_old = clean, h
        return x

    return lambda denoiser, sigmas, x, noise: sampler(denoiser, sigmas, x, noise)


@pytest.mark.parametrize(
    ("method", "order", "slips"),
    [
        (euler, 1, [{"drift": 1.001}, {"clean": 1.001}, {"shift": 0.01}]),
        (ancestral, 1, [{"noise": 0.99}, {"noise": 1.005}, {"drift": 1.01}, {"noise": 1.2, "every": 10}]),
        (euler_maruyama, 1, [{"noise": 1.01}, {"noise": 0.99}]),
        (two_step_sde, 2, [{"noise": 0.99}]),
    ],
)
def test_slip_of_a_percent_differs_though_the_error_of_the_steps_is_larger(method, order, slips):
    assert _judged(method(), order=order).code == 0
    for slip in slips:
        report = _judged(method(**slip), order=order)
        assert "limit" in report.differs, (slip, report.table())


def test_error_that_stays_is_extrapolated_to_the_slip():
    """One percent of the deviation of all noises is one percent of the output's, where all variance is noise."""
    report = _judged(euler_maruyama(0.99), order=1)
    text = report.of("limit")[0].text
    assert float(text.split("length 0 it is ")[1].split(";")[0].split(" ")[0]) == pytest.approx(0.01, rel=0.02)


# ------------------------------------------------------------------------------------------------------------- orders


def adams(weight):
    """Adams-Bashforth 2 for ``dx/dsigma``; order 1 where the weight of the difference is not 1."""

    def step(denoise, x, now, then, memory):
        slope, h = (x - denoise(x, now)) / now, then - now
        used = slope + weight * h / (2 * memory["h"]) * (slope - memory["slope"]) if memory else slope
        memory.update(slope=slope, h=h)
        return x + h * used

    return step


ALPHA_BAR = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)


def scaled_trailing(steps):
    """Levels of a scaled linear table of betas at timesteps 999, 999 - 1000 / N, ...: one target's steps get finer."""
    return np.sqrt(1 / ALPHA_BAR - 1)[np.arange(1000, 0, -1000 / steps).round().astype(int) - 1]


def beta_levels(steps):
    """Levels at quantiles of the beta law of exponents 0.6, from 157.4 to 0.01."""
    return 0.01 + 157.39 * special.betaincinv(0.6, 0.6, np.linspace(1, 0, steps))


@pytest.mark.parametrize(
    ("levels", "right", "slip"),
    [(scaled_trailing, adams(1.0), adams(0.75)), (beta_levels, midpoint(1.0), midpoint(0.8))],
)
def test_slip_of_order_1_is_not_said_to_have_order_2(levels, right, slip):
    """Read on one target alone, or before the errors are near their limit, these slips had the orders 1.8 and 5.6."""
    assert judge(on(levels, right, 2), precisions=["float64"]).code == 0
    report = judge(on(levels, slip, 2), precisions=["float64"])
    assert report.unread or "order" in report.differs, report.table()


def heun(denoise, x, now, then, memory):
    slope = (x - denoise(x, now)) / now
    guess = x + (then - now) * slope
    return x + (then - now) * 0.5 * (slope + (guess - denoise(guess, then)) / then)


@pytest.mark.parametrize(
    ("step", "first", "last", "rho", "steps"),
    [(two_step(0.5), 38.74, 0.003, 2, (2, 4, 8, 16, 32)), (heun, 80.0, 1e-4, 1, (5, 10, 20, 40, 80, 160, 320))],
)
def test_right_method_with_long_steps_is_not_said_to_miss_the_law(step, first, last, rho, steps):
    def levels(n):
        return np.linspace(first ** (1 / rho), last ** (1 / rho), n + 1) ** rho

    assert judge(on(levels, step, 2), steps, ["float64"]).differs == []


def noisy(levels, noise=1.0):
    """Euler-Maruyama on these levels, which hands over its states."""

    def make(world):
        def drive(world, steps):
            sigmas = levels(steps)
            x = world.start(1.0, sigmas[0])
            for now, then in pairwise(sigmas):
                gap = now**2 - then**2
                x = x - gap * (x - world.denoise(x, now)) / now**2 + noise * np.sqrt(gap) * world.normal(x)
                x = world.between(x, 1.0, then)

        return drive

    return Subject("noisy", make, order=1, library="numpy")


def open_power(steps):
    """Levels (k / N)^3 without the last one, 0: the last step divides the level by 8, whatever N is."""
    return 24.0 * (np.arange(steps, 0, -1) / steps) ** 3


def beta_timesteps(steps):
    """Levels of the scaled linear table at quantiles of a beta law, rounded to timesteps: late steps are one timestep."""
    times = np.rint(999 * special.betaincinv(0.6, 0.6, 1 - np.arange(steps) / steps)).astype(int)
    return np.sqrt(1 / ALPHA_BAR - 1)[np.unique(times)[::-1]]


@pytest.mark.parametrize(
    ("levels", "steps"),
    [
        (scaled_trailing, STEPS),
        (open_power, STEPS),
        (beta_timesteps, STEPS),
        (lambda n: np.geomspace(2000.0, 0.003, n + 1), (5, 10, 20)),
    ],
)
def test_noise_of_last_steps_that_get_no_shorter_is_no_slip(levels, steps):
    """A point ends with 1.67 and 63 times its variance on the first two grids; on the last one an error above 10 falls."""
    assert judge(noisy(levels), steps, ["float64"]).differs == []


def test_noise_that_is_wrong_in_every_tenth_step_is_seen_in_total():
    report = _judged(ancestral(noise=1.2, every=10), order=1)
    assert report.family == "noise", report.table()


# ------------------------------------------------------------------------------------------------------------- causes


def churned(noise=1.0, lift=True):
    """Heun's method of EDM, which adds noise before each step; the model is asked at the level that is raised."""

    def sampler(denoiser, sigmas, x, noise_of):
        for now, then in pairwise(sigmas):
            raised = now * (1 + min(4.0 / (len(sigmas) - 1), np.sqrt(2) - 1))
            x = x + noise * np.sqrt(raised**2 - now**2) * noise_of(x)
            level = raised if lift else now
            slope = (x - denoiser(x, level)) / level
            guess = x + (then - level) * slope
            x = x + (then - level) * 0.5 * (slope + (guess - denoiser(guess, then)) / then)
        return x

    return lambda denoiser, sigmas, x, noise: sampler(denoiser, sigmas, x, noise)


def test_noise_before_a_step_is_no_other_grid():
    report = _judged(churned(), order=2)
    assert report.code == 0, report.table()
    assert "asked above declared levels" in report.of("grid")[0].text
    for slip in ({"noise": 1.05}, {"lift": False}):
        assert _judged(churned(**slip), order=2).family == "noise", slip


def test_grid_of_a_noisy_sampler_is_still_judged():
    def sampler(denoiser, sigmas, x, noise_of):
        own = np.geomspace(sigmas[0], sigmas[-1], len(sigmas))
        return euler_maruyama()(denoiser, own, x, noise_of)

    assert "grid" in _judged(lambda denoiser, sigmas, x, noise: sampler(denoiser, sigmas, x, noise), order=1).differs


def test_levels_that_are_known_from_calls_alone_are_told_as_calls():
    """The model is asked at the next level: its calls are all that is known, and no level is said to be used."""

    def ahead(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            x = x + (then - now) * (x - denoiser(x, then)) / now
        return x

    (told,) = _judged(ahead, order=1).of("grid")
    assert told.status == "differs"
    assert told.text.startswith("the model is not asked at a declared level")


def test_variance_that_is_an_earlier_level_by_chance_or_by_its_method_is_no_run_that_stops_early():
    """On a geometric grid the variance of Euler-Maruyama lags by one level; 1.05 times the noise hits one at 320."""
    assert _judged(euler_maruyama(), order=1, grid="exponential").code == 0
    assert _judged(ancestral(noise=1.05), order=1).family == "noise"


def test_two_calls_a_step_are_no_multistep_method():
    def no_predictor(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            x = x + (then - now) * 0.5 * ((x - denoiser(x, now)) / now + (x - denoiser(x, then)) / then)
        return x

    report = _judged(no_predictor, order=2)
    assert report.family == "drift", report.table()
    # its second difference is large and smooth, and no rounding
    assert all("is left" not in v.text for v in report.of("precision"))


def test_numbers_beyond_float32_are_no_fault_of_float32():
    """The noise is scaled by sigma^2: the state reaches 1e140 in float64."""

    def squared(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            clean = denoiser(x, now)
            x = clean + then**2 / now * (x - clean)
        return x

    report = judge(plain.subject(squared, order=1))
    assert report.code == 1
    assert "precision" not in report.differs, report.table()


def test_clip_is_no_wrong_power_of_sigma_and_is_told_in_the_first_line():
    def clipped(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            clean = denoiser(x, now).clip(-1.0, 1.0)
            x = clean + then / now * (x - clean)
        return x

    report = _judged(clipped, order=1)
    assert report.code == 0, report.table()
    first = report.table().splitlines()[0]
    assert "not affine at target deviations 0.5, 1, 30, 1000" in first
    assert "on two modes an error of 0.125 stays" in first
    assert report.of("scale")[0].status == "note"


def test_noise_with_a_seed_of_its_own_is_told_beside_the_limit():
    def seeded(denoiser, sigmas, x):
        draws = np.random.default_rng(7)
        for now, then in pairwise(sigmas):
            up = then * np.sqrt(1 - (then / now) ** 2)
            x = x + (then**2 / now - now) * (x - denoiser(x, now)) / now + up * draws.standard_normal(x.shape[1:])
        return x

    report = _judged(seeded, order=1)
    assert "a seed of its own" in report.of("noise")[0].text
    assert not _judged(euler(1.01), order=1).of("noise")


def flow(first, left_out, shown=True, late=0.0):
    """Euler's method for a rectified flow from time ``first`` on, without its last steps, asked late after the first.

    Its states are shown level by level, or the last one alone.
    """

    def grid(steps, unit=1.0):
        times = np.linspace(first, 3e-3, steps + 1)
        return np.stack([1 - times, times], axis=1)

    def make(world):
        def drive(world, steps):
            levels = grid(steps)
            x = world.start(*levels[0], deviation=1.0)
            for (scale, a), (then, b) in pairwise(levels[: len(levels) - left_out]):
                ahead = late * (a - b) if a < first else 0.0
                x = x + (b - a) * world.predict("flow_prediction", x, a - ahead, scale + ahead)
                x = world.between(x, then, b) if shown else x
            if not shown:
                world.state(x, then, b)

        return drive

    return Subject("flow", make, order=1, grid=grid, library="numpy")


def test_run_from_pure_noise_that_stops_early_does_not_use_its_grid():
    """The first noise ratio is infinite, and no number is compared with it; the last one decides."""
    assert judge(flow(1.0, 0), STEPS, ["float64"]).code == 0
    report = judge(flow(1.0, 1), STEPS, ["float64"])
    assert (report.code, report.family) == (1, "grid")
    assert "the run ends at noise ratio 0.00615326, and 0.00300903 is declared" in report.of("grid")[0].text


def test_calls_from_pure_noise_are_compared_with_declared_levels():
    """The first level is asked at its infinite ratio, and the others where they are declared, or in the middle of a step."""
    assert judge(flow(1.0, 0, shown=False), STEPS, ["float64"]).of("grid")[0].status == "agrees"
    assert judge(flow(1.0, 0, shown=False, late=0.5), STEPS, ["float64"]).of("grid")[0].status == "differs"
