"""What a sampler hands back: shapes, precisions, arrays that it changes in place, and programs that it ends."""

import importlib.util
from itertools import pairwise

import numpy as np
import pytest

from exactdiffusion import cli
from exactdiffusion.conformance import judge
from exactdiffusion.conformance.adapters import own, plain
from exactdiffusion.conformance.measurement import measure

QUICK = {"steps": (10, 20, 40), "precisions": ["float64"]}


def _euler(end=lambda x: x, each=lambda x: x):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            x = each(x + (then - now) * (x - denoiser(x, now)) / now)
        return end(x)

    return sampler


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda x: (x, 1), "state: got 'tuple'"),
        (lambda x: None, "state: got 'NoneType'"),
        (lambda x: x.ravel(), "state: got 'ndarray of shape (44,)'"),
        (lambda x: x[:, :5], "state: got 'ndarray of shape (4, 5)'"),
        (lambda x: x.astype(int), "state: got 'an array of int64'"),
    ],
)
def test_what_is_no_state_is_told_by_name(end, told):
    report = judge(plain.subject(_euler(end), order=1), **QUICK)
    assert report.code == 2
    assert told in report.table()


def _yielding(when, in_place=False):
    def sampler(denoiser, sigmas, x):
        for i, (now, then) in enumerate(pairwise(sigmas)):
            change = (then - now) * (x - denoiser(x, now)) / now
            if in_place:
                x += change
            else:
                x = x + change
            if when(i, len(sigmas) - 1):
                yield x

    return lambda denoiser, sigmas, x: sampler(denoiser, sigmas, x)


@pytest.mark.parametrize("when", [lambda i, n: i == n - 1, lambda i, n: i % 2 == 1], ids=["the end alone", "every second"])
def test_states_that_cannot_be_assigned_to_levels_are_refused(when):
    report = judge(plain.subject(_yielding(when), order=1), **QUICK)
    assert report.code == 2
    assert "states that <lambda> yields" in report.table()


def test_one_array_that_is_yielded_again_and_again_is_a_state_after_each_step():
    plainly, in_place = (measure(plain.subject(_yielding(lambda i, n: True, change)), 10) for change in (False, True))
    assert np.array_equal(in_place.deviation, plainly.deviation)
    assert np.ptp(in_place.deviation[:, 5]) > 1


def test_states_of_a_run_of_ours_are_counted():
    def lazy(law, grid, x):
        yield x
        for i in range(grid.N - 1):
            x = (
                x
                + (grid.sigma[i + 1] - grid.sigma[i])
                * (x - law.noised(grid.scale[i], grid.sigma[i]).denoise(x))
                / grid.sigma[i]
            )
            yield x

    report = judge(own.subject(lazy, order=1), **QUICK)
    assert report.code == 2
    assert "states that lazy yields" in report.table()


def test_a_sampler_that_changes_its_state_in_place_has_the_verdict_of_one_that_does_not():
    """Its start and its states are copied: exact first states are made from the start, noise shares from all states."""

    def two_step(in_place):
        def sampler(denoiser, sigmas, x):
            old = h_old = None
            for now, then in pairwise(sigmas):
                clean, h = denoiser(x, now), np.log(now / then)
                used = clean if old is None else clean + h / (2 * h_old) * (clean - old)
                if in_place:
                    x *= then / now
                    x += (1 - then / now) * used
                else:
                    x = x * (then / now) + (1 - then / now) * used
                old, h_old = clean, h
                yield x

        return lambda denoiser, sigmas, x: sampler(denoiser, sigmas, x)

    one, other = (judge(plain.subject(two_step(flag), order=2), (20, 80, 160, 320), ["float64"]) for flag in (True, False))
    assert one.table() == other.table()
    assert "from exact first states" in one.table()


def test_a_sampler_that_changes_its_levels_is_judged_by_the_levels_that_it_was_given():
    def sampler(denoiser, sigmas, x):
        sigmas[-1] *= 1.5
        return _euler()(denoiser, sigmas, x)

    report = judge(plain.subject(sampler, order=1), precisions=["float64"])
    assert "limit" in report.differs
    assert "at level 0.02" in report.of("end")[0].text


@pytest.mark.parametrize("where", ["run", "file", "factory"])
def test_a_sampler_that_ends_the_program_is_one_line_and_code_2(where, tmp_path, capsys):
    text = {
        "run": "import sys\ndef f(denoiser, sigmas, x):\n    sys.exit(0)\n",
        "file": "import sys\nsys.exit(0)\n",
        "factory": "import sys\ndef f():\n    sys.exit(0)\n",
    }[where]
    (tmp_path / "ends.py").write_text(text)
    assert cli.main(["conform", f"{tmp_path / 'ends.py'}:f", "--steps", "5..20"]) == 2
    told = capsys.readouterr()
    assert ("f ends the program with code 0" in told.out) if where == "run" else ("SystemExit" in told.err)


@pytest.mark.parametrize(
    ("kind", "told"), [("float32", "as rounding in float32 does"), ("float16", "as rounding in float16")]
)
def test_rounding_within_a_run_is_named(kind, told):
    """The states are rounded and widened again: superposition fails by the rounding, and no clip is guessed alone."""
    report = judge(plain.subject(_euler(each=lambda x: x.astype(kind).astype(x.dtype)), order=1), **QUICK)
    assert report.code == 2
    assert told in report.table()


@pytest.mark.parametrize(("kind", "status"), [("float16", "differs"), ("float32", "note")])
def test_states_in_low_precision_are_named_and_more_steps_are_not_advised(kind, status):
    report = judge(plain.subject(_euler(lambda x: x.astype(kind)), order=1), **QUICK)
    (told,) = [v for v in report.of("precision") if "handed over" in v.text]
    assert (told.status, told.number) == (status, np.finfo(kind).eps)
    assert kind in told.text
    assert kind in report.further
    assert all(word not in report.table() for word in ("knows a unit of length", "more steps are needed"))


def test_tensors_with_a_gradient_are_read_and_bfloat16_is_refused_by_name():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")

    def graded(denoiser, sigmas, x):
        return _euler()(denoiser, sigmas, x.requires_grad_())

    assert judge(plain.subject(graded, order=1, library="torch"), **QUICK).code == 0
    report = judge(plain.subject(_euler(lambda x: x.bfloat16()), order=1, library="torch"), **QUICK)
    assert "an array of torch.bfloat16" in report.table()


def test_a_generator_object_of_the_sampler_is_told_as_what_it_keeps():
    draws = np.random.default_rng(0)
    report = judge(plain.subject(_euler(each=lambda x: x + draws.standard_normal(x.shape)), order=1), **QUICK)
    assert report.differs == ["state"]
    assert "such as a generator's" in report.table()
