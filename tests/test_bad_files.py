"""Files as other programs leave them, slips in functions of a user: read as meant, or refused in one line that says why."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import exactdiffusion as ed
from exactdiffusion.cli import main
from exactdiffusion.papers.projection.predictions import Convention
from exactdiffusion.studies.results import load

SWEEP = 'target = "gaussian"\nsampler = "ddim"\nsteps = [3, 5]\nseeds = 1\nsamples = 7\nexact_draws = 0\n'
POINTS = [[0.0, 1.0], [2.0, 3.0], [5.0, 4.5]]

#: samplers of a user (body of ``def mine(law, grid, x)``) -> what the one line says
SAMPLERS = {
    "return x": "expected a generator: `yield x` at every level of the grid; it returned ndarray",
    "return None": "expected a generator: .*; it returned NoneType",
    "yield x; yield x": "expected 4 states, one at every level of the grid, the start included; it yielded 2",
    "yield from [x] * (grid.N + 2)": "expected 4 states, .*; it yielded 5",
    "yield x; yield x[:-1]": r"expected states of shape \(7, 2\), that of x; state 2 has shape \(6, 2\)",
    "yield x; yield x[:, :1]": r"expected states of shape \(7, 2\), that of x; state 2 has shape \(7, 1\)",
    "yield from [x * float('nan')] * (grid.N + 1)": "the last state of the sampler is not finite",
}

#: schedules of a user (body of ``def mine(N)``) -> what the one line says
SCHEDULES = {
    "return [2.0, 1.0, 0.5, 0.1]": "schedule: .*; expected a function of N that returns a Grid, .*; it returned list",
    "return ed.schedules.log_linear(N - 1)": "schedule: .*; expected .* N steps, .*; for N = 3 it returned 2 steps",
}


def run(*arguments):
    return main([*arguments, "--seeds", "1", "--samples", "7", "--exact-draws", "0"])


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("body", SAMPLERS)
def test_a_sampler_that_yields_no_whole_run_is_refused(tmp_path, monkeypatch, capsys, body):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(f"def mine(law, grid, x):\n    {body}\n", encoding="utf-8")
    assert run("sweep", "--target", "gaussian", "--sampler", "mine.py:mine", "--steps", "3", "--out", "out") == 2
    assert re.search(SAMPLERS[body], one_line(capsys))


@pytest.mark.parametrize("body", SCHEDULES)
def test_a_schedule_that_gives_no_grid_of_n_steps_is_refused(tmp_path, monkeypatch, capsys, body):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(f"import exactdiffusion as ed\n\n\ndef mine(N):\n    {body}\n", encoding="utf-8")
    job = (
        "sweep",
        "--target",
        "gaussian",
        "--sampler",
        "ddim",
        "--steps",
        "3",
        "--schedule",
        "mine.py:mine",
        "--out",
        "out",
    )
    assert run(*job) == 2
    assert re.search(SCHEDULES[body], one_line(capsys))


def stepping(law, grid, x):
    yield x
    for i in range(grid.N):
        x = law.noised(grid.scale[i], grid.sigma[i]).denoise(x)
        yield x


def in_place(law, grid, x):
    yield x
    for i in range(grid.N):
        x[:] = law.noised(grid.scale[i], grid.sigma[i]).denoise(x)
        yield x


def test_a_sampler_that_changes_x_in_place_has_the_numbers_of_one_that_does_not():
    job = {"target": "two_moons", "steps": 3, "seeds": 1, "samples": 9, "metric": ["coupled", "distance"], "exact_draws": 0}
    first, second = (ed.sweep(sampler=s, **job).rows for s in (stepping, in_place))
    for name in ("value", "lower", "upper", "reference_error", "start_error", "bound"):
        assert [row[name] for row in first] == [row[name] for row in second], name


@pytest.mark.parametrize("change", [lambda t: b"\xef\xbb\xbf" + t, lambda t: t.replace(b"\n", b"\r\n")], ids=["BOM", "CRLF"])
def test_files_of_windows_are_read(tmp_path, monkeypatch, capsys, change):
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)

    # a sweep file, named by a relative path with a space
    Path("my sweep.toml").write_bytes(change(SWEEP.encode()))
    assert main(["sweep", "../a folder/my sweep.toml", "--out", "my results"]) == 0

    # its table after an edit in a spreadsheet
    table = Path("my results", "results.csv")
    rows = load("my results").rows
    table.write_bytes(change(table.read_bytes()))
    assert load("my results").rows == rows

    # points under a header
    Path("points.csv").write_bytes(change(b"x,y\n" + "".join(f"{a},{b}\n" for a, b in POINTS).encode()))
    np.save("points.npy", np.array(POINTS))
    values = []
    for name in ("points.csv", "points.npy"):
        assert run("sweep", "--target", name, "--sampler", "ddim", "--steps", "3", "--out", f"out {name}") == 0
        values.append([row["value"] for row in load(f"out {name}").rows])
    assert values[0] == values[1]
    capsys.readouterr()


def test_a_table_with_a_row_twice_is_refused(tmp_path):
    ed.sweep(target="gaussian", sampler="ddim", steps=[3, 5], seeds=1, samples=7, out=tmp_path)
    table = tmp_path / "results.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text + text.splitlines()[1] + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"each cell and metric once in results\.csv; row 2 repeats row 0"):
        load(tmp_path)


def test_complex_predictions_are_refused():
    def denoiser(x, sigma):
        return x + 1j * sigma[:, np.newaxis]

    for options in ({}, {"convention": Convention(predicts="noise")}):
        with pytest.raises(ValueError, match=r"fn: .*complex128"):
            ed.audit(denoiser, np.array(POINTS), N=2, trajectories=3, **options)


def test_a_theory_file_that_is_not_utf8_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("prop_mine.py").write_bytes("STATEMENT = None\nNAME = 'café'\n".encode("latin-1"))
    for name in ("./prop_mine.py", "."):
        assert main(["verify", name]) == 2
        assert re.search("names: got .*; expected a file that Python reads; .*prop_mine.py", one_line(capsys))


def test_a_target_that_returns_no_points_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def mine():\n    return None\n", encoding="utf-8")
    np.save("flags.npy", np.ones((3, 2), dtype=bool))
    for target, message in (("mine.py:mine", "target: points .*got None"), ("flags.npy", "target .dtype bool.: got array")):
        assert run("sweep", "--target", target, "--sampler", "ddim", "--steps", "3", "--out", "out") == 2
        assert re.search(message, one_line(capsys))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
@pytest.mark.parametrize(
    "command", ["audit ideal --target points.npy --N 2 --trajectories 3 --json {}/a.json", "plot out --out {}/a.pdf"]
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", np.array(POINTS))
    assert run("sweep", "--target", "points.npy", "--sampler", "ddim", "--steps", "3", "--out", "out") == 0
    capsys.readouterr()
    assert main(command.format("/proc").split()) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith(f"exactdiffusion {command.split()[0]}: [Errno ")
    assert os.path.exists("out")
