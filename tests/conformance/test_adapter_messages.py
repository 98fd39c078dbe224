"""What an author of an adapter is told: what a target may be, hints of the table, and refusals that name the place."""

import importlib.util
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from exactdiffusion import cli
from exactdiffusion.conformance import Subject, conform, functions, judge, measure, subject_of
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.measurement import STEPS
from exactdiffusion.conformance.orders import Order, local_orders, order_of
from exactdiffusion.conformance.verdicts import SHORT, _Errors, _errors, _good

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
    assert loose.table().startswith("mixed: agrees in limit and coefficients; its order 1 was not read (more")
    assert strict.table().startswith("mixed: cannot be judged; its order 1 was not read (")
    undeclared = Subject(**{**vars(mixed), "order": None})
    assert (
        judge(undeclared, (10, 20, 40), ["float64"])
        .table()
        .startswith("mixed: agrees in limit and coefficients; no order is")
    )
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
    assert ("rounded tables may hide this slip" in told.text) == rounded
    assert bool(_left(report)) == rounded
    assert not rounded or 2**-26 < _left(report)[0].number < 2**-20  # the rounding of a number is 2^-24

    # a slip that may be hidden is in the first line, and is not let through where all must be settled
    loose = conform(sampler, **QUICK)
    strict = conform(sampler, **QUICK, strict=True)
    assert (loose.code, strict.code) == ((0, 2) if rounded else (1, 1))
    assert ("of a known slip's" in loose.table().splitlines()[0]) == rounded


def test_rounded_tables_bring_no_slip_beside_a_right_method():
    """Euler's method has the coefficients of a slip that leaves a memory out; in float32 it is still called Euler's."""

    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            clean = denoiser(x, now)
            x = clean + (x - clean) * float(np.float32(then / now))
        return x

    report = judge(plain.subject(sampler, order=1), **QUICK)
    assert report.matches[0].distance > 1e-8
    assert report.resembles == "Euler (DDIM)"
    assert not report.near_slip


@pytest.mark.parametrize("takes", [lambda n: n % 7 == 0, lambda n: n <= 30], ids=["multiples of 7", "at most 30"])
def test_a_sampler_that_refuses_other_numbers_of_steps_is_judged_with_its_own(takes):
    """No run with another number is made for any verdict, and a sampler that ends early is told what to ask for."""

    def make(world):
        drive = driven().make(world)

        def sometimes(world, steps):
            if not takes(steps):
                raise ValueError(f"{steps} steps refused")
            drive(world, steps)

        return sometimes

    subject = Subject("sometimes", make, order=1, library="numpy")
    own = (7, 14, 28)
    report = judge(subject, steps=own, precisions=["float64"])
    assert report.code == 0, report.table()
    if not takes(35):
        report = judge(subject, steps=(*own, 35), precisions=["float64"])
        assert report.code == 2
        assert "`--steps 7,14,28` judges it there" in report.table()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"make": None}, "make: got None; expected a function"),
        ({"calls": 3}, "calls: got 3; expected a function"),
        ({"grid": [1.0]}, r"grid: got \[1.0\]; expected a function"),
        ({"order": "two"}, "order: got 'two'; expected a finite number"),
        ({"order": -1}, "order: got -1; expected a finite number"),
        ({"library": "jax"}, "library: got 'jax'; expected one of"),
        ({"max_steps": 3}, "max_steps: got 3; expected an integer >= 4"),
    ],
)
def test_a_declaration_of_another_kind_is_refused_by_name(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(driven(), **changed)


def test_an_adapter_that_raises_is_one_line_and_no_verdict(tmp_path, capsys):
    path = tmp_path / "broken.py"
    path.write_text(
        "from exactdiffusion.conformance import Subject\n\ndef typo():\n    return Subject('x', None, oder=1)\n\n"
        "def zero():\n    return 1 / 0\n"
    )
    for name, error in (("typo", "TypeError"), ("zero", "ZeroDivisionError")):
        assert cli.main(["conform", f"{path}:{name}", "--steps", "5..20"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"it raises {error}" in line
    report = judge(Subject("idle", lambda world: None, order=1, library="numpy"), **QUICK)
    assert report.code == 2
    assert "make of idle: got None; expected a function that returns drive(world, steps)" in report.table()


def test_scale_and_sigma_that_are_exchanged_differ_and_nothing_fails_inside():
    def make(world):
        def drive(world, steps):
            sigmas = functions.karras(steps)
            x = world.start(sigmas[0], 1.0)
            for a, b in pairwise(sigmas):
                x = world.between(x + (b - a) * (x - world.denoise(x, 1.0, a)) / a, b, 1.0)

        return drive

    report = judge(Subject("exchanged", make, order=1, library="numpy"), **QUICK)
    assert report.code == 1
    assert "grid" in report.differs
    assert "Error" not in report.table()


def _left(report):
    return [v for v in report.of("precision") if "is left" in v.text]


def tabled(library, weight, widened=False):
    """DPM-Solver++(2M) with this weight of its extrapolation and levels in float32, which its adapter may widen."""

    def make(world):
        table = SimpleNamespace()

        def drive(world, steps):
            table.levels = functions.karras(steps).astype(np.float32)
            if library == "torch":
                table.levels = importlib.import_module("torch").from_numpy(table.levels)
            if widened:
                world.widened(table)
            x = world.start(1.0, float(table.levels[0]))
            old = h_old = None
            for now, then in pairwise(table.levels):
                ratio = now / then
                clean, h = world.denoise(x, float(now)), ratio.log() if library == "torch" else np.log(ratio)
                used = clean if old is None else clean + weight * h / h_old * (clean - old)
                x = world.between(used + (x - used) / ratio, 1.0, float(then))
                old, h_old = clean, h

        return drive

    return Subject("tabled", make, order=2, library=library)


@pytest.mark.parametrize("widened", [False, True])
@pytest.mark.parametrize(("weight", "code"), [(0.5, 0), (1.0, 1)])
def test_tables_of_torch_are_widened_where_the_adapter_does_not_do_it(widened, weight, code):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    report = judge(tabled("torch", weight, widened), **QUICK)
    assert report.code == code, report.table()
    assert report.matches[0].distance < 1e-14
    told = [v for v in report.of("precision") if "computed in float32" in v.text]
    assert bool(told) != widened
    assert widened or 2**-26 < told[0].number < 2**-20
    assert not _left(report)


def test_a_rounding_of_tables_that_cannot_be_widened_is_told_with_its_size():
    """Levels in NumPy's float32: the law of a point, which this method keeps, is off by their rounding."""
    (told,) = _left(judge(tabled("numpy", 0.5), **QUICK))
    exact = tabled("numpy", 0.5)
    assert told.number == pytest.approx(max(measure(exact, n).error[0] for n in QUICK["steps"]))
    assert "in the law of a point" in told.text


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
    """The narrowest target has the largest error and settles last: half of the targets must be below the order too."""
    low, high = Order(1.1, 1.08, 1.11), Order(2.0, 1.9, 2.1)
    read = _Errors(*np.zeros((3, 1, 4)), np.ones(4, dtype=bool), low, {}, [], 320, np.array([]))
    few = {0.02: low, 0.1: high, 0.5: high, 1.0: high}
    assert not replace(read, each=few).short(2 - SHORT)
    assert replace(read, each=few | {0.1: low}).short(2 - SHORT)


def test_order_on_a_linear_table_of_betas_is_read_in_the_mean_step():
    """DPM-Solver++(2M): in N the largest error reads as order 1.1, with bounds that exclude the order 2 of the method."""
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
        read = _errors(found, _good(found), 2)
    largest = np.max(read.errors[:, read.chosen], axis=1, keepdims=True)
    assert order_of(local_orders(read.steps, largest, np.zeros_like(largest)).ravel()).below(2 - SHORT)
    assert read.norm is None
    assert (
        len(read.each) == 3
    )  # the steps that deviation 0.1 sees are longer than 1 with few of them, and too few orders are left
    assert all(order.reaches(2 - SHORT) for order in read.each.values())
    assert judge(subject, precisions=["float64"]).code == 0
