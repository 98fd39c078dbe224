"""What an author of an adapter is told: what a target may be, hints of the table, and refusals that name the place."""

from itertools import pairwise

import numpy as np
import pytest

from exactdiffusion import cli
from exactdiffusion.conformance import Subject, conform, functions, judge, measure, subject_of
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.measurement import STEPS
from exactdiffusion.conformance.verdicts import SHORT, _errors, _good

FILE = """
import numpy as np
from exactdiffusion.conformance import Subject, functions

def subject(cls="euler", order=None):
    return functions.on_grids(cls, run, "karras", order=order, library="numpy")

def factory(cls, order=None):
    return subject(cls, order)

def run(world, sigmas, x):
    for a, b in zip(sigmas[:-1], sigmas[1:]):
        x = x + (b - a) * (x - world.model(x, a)) / a
        yield x

euler = subject("euler", 1)
three = 3
"""
QUICK = {"steps": (10, 20, 40), "precisions": ["float64"]}


def euler(world, sigmas, x):
    for a, b in pairwise(sigmas):
        x = x + (b - a) * (x - world.model(x, a)) / a
        yield x


def driven(kind="sample", hands_over=True, **declared):
    """Euler as an adapter with its own loop."""

    def make(world):
        def drive(world, steps):
            sigmas = functions.karras(steps)
            x = world.start(1.0, sigmas[0])
            for a, b in pairwise(sigmas):
                x = x + (b - a) * (x - world.predict(kind, x, a)) / a
                if hands_over:
                    x = world.between(x, 1.0, b)

        return drive

    return Subject("driven", make, order=1, library="numpy", **declared)


@pytest.mark.parametrize("name", ["subject", "euler"])
def test_a_subject_and_a_function_that_needs_no_argument_are_targets(name, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    assert subject_of(f"{tmp_path / 'mine.py'}:{name}").name == "euler"
    assert subject_of(lambda: functions.on_grids("again", euler, "karras")).name == "again"


@pytest.mark.parametrize(("name", "hint"), [("factory", r"return factory\(...\)"), ("three", "of a Subject")])
def test_other_targets_are_refused_with_what_to_write(name, hint, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    with pytest.raises(ValueError, match=hint):
        subject_of(f"{tmp_path / 'mine.py'}:{name}")


@pytest.mark.parametrize(("half", "differs"), [(0.5, ()), (1.0, ("resembles",))])
def test_a_function_that_a_sweep_takes_is_judged_too(half, differs):
    def ab2(law, grid, x, half=0.5):
        old = h_old = None
        yield x
        for i in range(grid.N):
            guess, h = law.noised(grid.scale[i], grid.sigma[i]).denoise(x), np.log(grid.sigma[i] / grid.sigma[i + 1])
            used = guess if old is None else guess + half * h / h_old * (guess - old)
            x = x * np.exp(-h) - np.expm1(-h) * used
            old, h_old = guess, h
            yield x

    report = judge(subject_of(ab2, order=2, half=half), **QUICK)
    assert tuple(dict.fromkeys(report.differs)) == differs


def test_a_function_of_any_number_of_arguments_is_a_sampler():
    assert subject_of(lambda *args: args[2]).name == "<lambda>"


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (driven(kind="v"), "ValueError at predict: kind: got 'v'"),
        (driven(hands_over=False), "adapter of driven hands over: got 1; expected at least 2"),
        (driven(grid=lambda steps, unit: None), "grid(10, 1.0): got None; expected an array"),
        (driven(grid=lambda steps, unit: functions.karras(steps)), "expected an array of (scale, sigma) of shape (11, 2)"),
    ],
)
def test_refusals_name_the_public_function_and_what_is_expected(subject, text):
    report = judge(subject, **QUICK)
    assert report.code == 2
    assert text in report.table()
    assert "0x" not in report.table()


def test_an_order_that_was_not_read_names_more_steps_and_strict_makes_it_code_2():
    # Euler at 10 and 40 steps, Heun at 20 and 80: the local orders jump, and nothing can be read from them
    def make(world):
        def drive(world, steps):
            sigmas = functions.karras(steps)
            x = world.start(1.0, sigmas[0])
            for a, b in pairwise(sigmas):
                slope = (x - world.denoise(x, a)) / a
                y = x + (b - a) * slope
                x = y if steps in (10, 40) else x + (b - a) * (slope + (y - world.denoise(y, b)) / b) / 2
                x = world.between(x, 1.0, b)

        return drive

    mixed = Subject("mixed", make, order=1, library="numpy", max_steps=90)
    loose = conform(mixed, steps=(10, 20, 40, 80), precisions=["float64"])
    strict = conform(mixed, steps=(10, 20, 40, 80), precisions=["float64"], strict=True)
    fewer = conform(mixed, steps=(10, 20, 40), precisions=["float64"])
    assert (loose.code, strict.code) == (0, 2)
    assert "more than 90 steps are not taken" in loose.table()
    assert "--steps 10..80 goes further" in fewer.table()
    assert conform("heun", steps=(10, 20, 40, 80), precisions=["float64"], strict=True).code == 0
    assert cli.main(["conform", "heun", "--strict", "--steps", "10..80", "--precision", "float64"]) == 0


def test_step_counts_beyond_the_sampler_are_told():
    report = judge(Subject(**{**vars(driven()), "max_steps": 50}), steps=(10, 20, 40, 80), precisions=["float64"])
    assert report.table().count("judged at N up to 40, not 80: the sampler takes at most 50") == 1


@pytest.mark.parametrize("rounded", [False, True])
def test_a_slip_that_float32_tables_hide_is_told(rounded):
    """Twice the extrapolation of DPM-Solver++(2M), with ratios of levels in float64 or rounded to float32."""

    def sampler(denoiser, sigmas, x):
        old = h_old = None
        for now, then in pairwise(sigmas):
            ratio = float(np.float32(then / now)) if rounded else then / now
            h = -np.log(ratio)
            clean = denoiser(x, now)
            used = clean if old is None else clean + (clean - old) * h / h_old
            x = used + (x - used) * ratio
            old, h_old = clean, h
        return x

    report = judge(plain.subject(sampler), **QUICK)
    (told,) = report.of("resembles")
    assert told.status == ("note" if rounded else "differs")
    assert ("world.widened" in told.text) == rounded


@pytest.mark.parametrize(("share", "code"), [(1.0, 0), (1.2, 1)])
def test_a_noise_that_is_wrong_in_late_steps_alone_differs(share, code):
    """The last fifth of the steps of ancestral sampling draws a noise of 1.2 times the deviation: the median is 1."""

    def sampler(denoiser, sigmas, x, noise):
        for i, (now, then) in enumerate(pairwise(sigmas)):
            up = then * np.sqrt(1 - (then / now) ** 2)
            down = then**2 / now
            wrong = share if i >= 0.8 * (len(sigmas) - 1) else 1.0
            x = x + (down - now) * (x - denoiser(x, now)) / now + wrong * up * noise(x)
            yield x

    report = judge(plain.subject(sampler), steps=(20, 40, 80, 160), precisions=["float64"])
    (told,) = report.of("noise")
    assert (told.status == "differs") == bool(code), report.table()
    assert "a noise has 1 times" in told.text
    assert told.number == pytest.approx(share**2, abs=1e-6)


def test_bounds_of_the_largest_error_alone_are_no_evidence():
    """DPM-Solver++(2M) on a linear table of betas: the largest error reads as 1.1: the narrowest target decides.

    Its bounds exclude the declared order 2, which the method has. Therefore half of the targets must say it too.
    """
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    scale, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)

    def make(world):
        def drive(world, steps):
            times = np.linspace(999, 0, steps + 1).round().astype(int)
            x = world.start(scale[times[0]], sigma[times[0]])
            old = h_old = None
            for t, then in pairwise(times):
                h = np.log(scale[then] / sigma[then] * sigma[t] / scale[t])
                clean = world.denoise(x, sigma[t], scale[t])
                used = clean if old is None else clean + (clean - old) * h / (2 * h_old)
                x = sigma[then] / sigma[t] * x - scale[then] * np.expm1(-h) * used
                x = world.between(x, scale[then], sigma[then])
                old, h_old = clean, h

        return drive

    subject = Subject("2M", make, order=2, library="numpy")
    found = [measure(subject, n, repeat=False) for n in STEPS]
    with np.errstate(all="ignore"):
        read = _errors(found, _good(found))
    assert read.norm.below(2 - SHORT)
    assert not read.short(2 - SHORT)
    assert judge(subject, precisions=["float64"]).code == 0
