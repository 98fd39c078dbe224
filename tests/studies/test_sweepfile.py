"""Sweep files: the same rows as flags, errors that name the key, and nothing of a stranger's file is run."""

import subprocess
import sys

import pytest

from exactdiffusion._core import files
from exactdiffusion.studies import sweep, sweepfile

SMALL = """
title = "A test"
finding = ["One.", "Two.", "Three."]
target = "two_moons"
sampler = ["ddim", "heun"]
steps = [3, 4]
seeds = 2
samples = 30
exact_draws = 2
"""


def _write(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_gives_the_rows_of_the_flags(tmp_path):
    done = sweepfile.run(_write(tmp_path, SMALL), tmp_path / "out")
    flags = sweep.sweep(target="two_moons", sampler=["ddim", "heun"], steps=[3, 4], seeds=2, samples=30, exact_draws=2)
    assert done.rows == flags.rows
    text = done.provenance.read_text()
    assert '"title": "A test"' in text
    assert '"Three."' in text


def test_grids_are_united_and_a_cell_of_two_grids_is_there_once(tmp_path):
    text = SMALL + '[[grid]]\nsteps = 3\n[[grid]]\nsampler = "ddim"\n[[grid]]\nsampler = "ddpm"\nsteps = 5\nsamples = 10\n'
    rows = sweepfile.run(_write(tmp_path, text)).rows
    found = [(r["sampler"], r["steps"], r["seed"], r["samples"]) for r in rows]
    assert found == [
        ("ddim", 3, 0, 30),
        ("ddim", 3, 1, 30),
        ("heun", 3, 0, 30),
        ("heun", 3, 1, 30),
        ("ddim", 4, 0, 30),
        ("ddim", 4, 1, 30),
        ("ddpm", 5, 0, 10),
        ("ddpm", 5, 1, 10),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("target = ", "not TOML"),
        ("targets = 'dino'", "targets"),
        (SMALL.replace("steps = [3, 4]", ""), "steps"),
        (SMALL.replace("[3, 4]", "[3, '4']"), "steps"),
        (SMALL.replace("[3, 4]", "[]"), "steps"),
        (SMALL.replace("[3, 4]", "[3, 3]"), "steps"),
        (SMALL.replace("[3, 4]", "true"), "steps"),
        (SMALL.replace("[3, 4]", "2.5"), "steps"),
        (SMALL.replace("[3, 4]", "0"), "steps"),
        (SMALL.replace("seeds = 2", "seeds = 99999999999"), "seeds"),
        (SMALL.replace("seeds = 2", "seeds = 1000000"), "cells"),
        (SMALL.replace("samples = 30", "samples = [30]"), "samples"),
        (SMALL.replace('"two_moons"', '"no_such"'), "target"),
        (SMALL.replace('"two_moons"', '["two_moons", "two_moons"]'), "target"),
        (SMALL.replace('"heun"', '"heun:gamma=1"'), "sampler"),
        (SMALL + "[[grid]]\nfinding = ['x']\n", "finding"),
        (SMALL + "grid = 3\n", "grid"),
        (SMALL + "refused = 'never'\n", "refused"),
        (SMALL + "metric = 'fid'\n", "metric"),
        (SMALL + "out = '/etc'\n", "out"),
        (SMALL + "jobs = 3\n", "jobs"),
        (SMALL.replace('"A test"', "3"), "title"),
    ],
)
def test_error_names_the_file_and_the_key_and_writes_nothing(tmp_path, text, named):
    with pytest.raises(ValueError, match=named):
        sweepfile.run(_write(tmp_path, text), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_absent_and_overlong_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no_such"):
        sweepfile.read(tmp_path / "no_such.toml")
    with pytest.raises(ValueError, match="bytes"):
        sweepfile.read(_write(tmp_path, "#" * (sweepfile.MOST_BYTES + 1)))


@pytest.mark.parametrize("kind", ["target", "sampler", "schedule"])
def test_function_of_ones_own_runs_only_where_it_is_allowed(tmp_path, monkeypatch, kind):
    (tmp_path / f"stranger_{kind}.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
        "from exactdiffusion import PointCloud, samplers, schedules\n"
        "def target():\n    return PointCloud([[0.0], [1.0]])\nsampler, schedule = samplers.ddim, schedules.log_linear\n"
    )
    monkeypatch.chdir(tmp_path)
    keys = {"target": "two_moons", "sampler": "ddim", "schedule": "log_linear", kind: f"stranger_{kind}.py:{kind}"}
    text = "steps = 2\nseeds = 1\nsamples = 5\n" + "".join(f'{k} = "{v}"\n' for k, v in keys.items())
    path = _write(tmp_path, text)
    with pytest.raises(ValueError, match=rf"{kind}: .*--own"):
        sweepfile.run(path, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    assert len(sweepfile.run(path, own=True).rows) == 1
    assert (tmp_path / "ran").exists()


def test_command_takes_a_file_or_flags_but_not_both(tmp_path):
    path = _write(tmp_path, SMALL)

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "exactdiffusion", "sweep", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    done = command(path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "8 computed, 0 reused" in done.stdout
    assert len(files.read_table(tmp_path / "out" / "results.csv")) == 8
    both = command(path, "--steps", "3")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    assert "steps" in both.stderr
    neither = command("--sampler", "ddim")
    assert (neither.returncode, neither.stderr.count("\n")) == (2, 1)
    assert "target" in neither.stderr
