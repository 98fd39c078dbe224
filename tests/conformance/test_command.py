"""The command, its files and its exit codes; the pytest plugin."""

import json
import subprocess
import sys

import pytest

from exactdiffusion import cli
from exactdiffusion.conformance import command, conform

SAMPLER = """
def euler(denoiser, sigmas, x):
    for a, b in zip(sigmas[:-1], sigmas[1:]):
        x = x + (b - a) * (x - denoiser(x, a)) / a
    return x

def clipped(denoiser, sigmas, x):
    for a, b in zip(sigmas[:-1], sigmas[1:]):
        x = (x + (b - a) * (x - denoiser(x, a)) / a).clip(-3.0, 3.0)
    return x

def slow(denoiser, sigmas, x):
    for a, b in zip(sigmas[:-1], sigmas[1:]):
        x = x + 0.5 * (b - a) * (x - denoiser(x, a)) / a
    return x
"""
QUICK = ["--steps", "10..80", "--precision", "float64"]


@pytest.fixture
def samplers(tmp_path):
    (tmp_path / "mine.py").write_text(SAMPLER)
    return tmp_path / "mine.py"


@pytest.mark.parametrize(("name", "code"), [("euler", 0), ("slow", 1), ("clipped", 2)])
def test_exit_code_table_and_json(samplers, name, code, capsys):
    out = samplers.parent / "out"
    assert cli.main(["conform", f"{samplers}:{name}", "--set", "order=1", *QUICK, "--out", str(out)]) == code
    text = capsys.readouterr().out
    assert text.startswith(f"{name}: {['agrees', 'differs', 'cannot be judged'][code]}")
    (file,) = out.glob("*.json")
    record = json.loads(file.read_text())
    assert record["code"] == code
    assert record["settings"] == {"order": 1}
    if code == 1:
        assert any(v["status"] == "differs" and v["right"] for v in record["verdicts"])
    if code == 2:
        assert "not affine" in text


def test_one_of_ours_by_name(capsys):
    assert cli.main(["conform", "ddim", *QUICK]) == 0
    assert "order" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["nothing", "mine.py:euler", "diffusers"])
def test_a_target_that_names_nothing_is_one_line(target, capsys):
    assert cli.main(["conform", target]) == 2
    assert "target" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "5..", "1..10", "20..10", "a,b"])
def test_steps_are_checked(text):
    if text == "5":
        with pytest.raises(ValueError, match="steps"):
            conform("heun", steps=command.step_counts(text))
    else:
        with pytest.raises(ValueError, match="steps"):
            command.step_counts(text)


def test_a_sampler_with_proximal_maps_cannot_be_judged():
    report = conform("proximal_backward")
    assert report.code == 2
    assert "proximal maps" in report.verdicts[0].text


TESTS = """
def euler(denoiser, sigmas, x):
    for a, b in zip(sigmas[:-1], sigmas[1:]):
        x = x + (b - a) * (x - denoiser(x, a)) / a
    return x

def half(denoiser, sigmas, x):
    for a, b in zip(sigmas[:-1], sigmas[1:]):
        x = x + 0.5 * (b - a) * (x - denoiser(x, a)) / a
    return x

def test_euler(conformance):
    assert conformance(euler, order=1).code == 0

def test_half(conformance):
    conformance(half, order=1)

def test_law(exact_law):
    mean, deviation = exact_law(euler, 20)
    assert len(mean) == len(deviation) == 11
"""


@pytest.mark.parametrize(("flags", "passed", "failed", "skipped"), [([], 0, 0, 3), (["--conform"], 2, 1, 0)])
def test_plugin_is_inert_without_its_flag(tmp_path, flags, passed, failed, skipped):
    (tmp_path / "test_mine.py").write_text(TESTS)
    plugin = ["-p", "exactdiffusion.conformance.pytest_plugin"]
    from importlib.metadata import entry_points

    if any(e.name == "exactdiffusion_conform" for e in entry_points(group="pytest11")):
        plugin = []  # an installed package brings it along
    command_line = [sys.executable, "-m", "pytest", "-q", "-c", str(tmp_path / "none.ini"), *plugin, *flags, str(tmp_path)]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    done = subprocess.run(command_line, capture_output=True, text=True, cwd=tmp_path)
    counts = [(passed, "passed"), (failed, "failed"), (skipped, "skipped")]
    for count, word in counts:
        assert (f"{count} {word}" in done.stdout) == (count > 0), done.stdout
    if failed:
        assert "does not converge" in done.stdout


@pytest.mark.parametrize("order", ["two", "0", "-1"])
def test_a_declared_order_is_a_positive_number(samplers, order, capsys):
    assert cli.main(["conform", f"{samplers}:euler", "--set", f"order={order}", *QUICK]) == 2
    assert "order: got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "allowed"), [("heun", "it takes none"), ("gradient_estimation", "gamma"), ("mine", "grid")]
)
def test_an_unknown_setting_is_one_message_with_the_allowed_names(target, allowed, samplers, capsys):
    name = f"{samplers}:euler" if target == "mine" else target
    assert cli.main(["conform", name, "--set", "foo=3"]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.count("foo") == 1
    assert allowed in printed.err


def test_a_sampler_that_raises_is_told_once(tmp_path, capsys):
    """Whatever the step count: the error stands once, with the step counts at which it was raised."""
    (tmp_path / "bad.py").write_text("def bad(denoiser, sigmas, x):\n    raise RuntimeError('no such thing')\n")
    assert cli.main(["conform", f"{tmp_path / 'bad.py'}:bad", *QUICK]) == 2
    assert capsys.readouterr().out.count("no such thing") == 1
