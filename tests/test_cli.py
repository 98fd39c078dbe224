"""The command line: exit codes, one-line errors, what the commands print."""

import os
import re
import subprocess
import sys

import pytest

from exactdiffusion import __version__, datasets, samplers, schedules, statements
from exactdiffusion._core import files
from exactdiffusion._core.paths import theory_dir
from exactdiffusion.cli import _assignment, main
from exactdiffusion.studies import figures


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    words = set(re.findall(r"[\w/]+", capsys.readouterr().out))
    assert {s.key for s in statements.all_statements()} <= words
    for registry in (samplers.REGISTRY, schedules.REGISTRY, datasets.TARGETS, figures.experiments()):
        assert set(registry) <= words


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("sweep --target nowhere --sampler ddim --steps 5", "target"),
        ("sweep --target two_moons --sampler ddim --steps five", "steps"),
        ("sweep --target two_moons --sampler ddim --steps 0", "steps"),
        ("sweep --target two_moons --sampler ddim --steps 5 --seeds 0", "seeds"),
        ("sweep --target two_moons --sampler ddim --steps 5 --jobs 0", "jobs"),
        ("sweep --target two_moons --sampler ddim --steps 5 --metric fid", "metric"),
        ("figures", "names"),
        ("figures no_such_figure", "names"),
        ("figures noise_schedules --all", "names"),
        ("figures noise_schedules --check --quick", "check"),
        ("figures noise_schedules --set steps=5", "set"),
        ("figures noise_schedules --set steps --out OUT", "set"),
        ("figures noise_schedules --set stepz=5 --out OUT", "parameters"),
        ("verify no_such_theorem", "names"),
        ("verify projection --update", "update"),
        ("new theorem Shrinkage", "name"),
        ("new theorem nowhere/shrinkage", "name"),
        ("new theorem projection/beta_star", "name"),
        ("new theorem projection/2x", "name"),
        ("new theorem projection/class", "name"),
        ("new theorem projection/_x", "name"),
        ("new theorem projection/Shrinkage", "name"),
        ("new theorem projection/\u00e9", "name"),
        ("new theorem projection/\ufb01x", "name"),  # a ligature, which Python reads as fix
        ("new lemma projection/shrinkage", "what"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(tmp_path, capsys, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.replace("OUT", str(tmp_path)).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"exactdiffusion \w+: [^\n]*\b{named}\b[^\n]*\n", err)


def test_traceback_on_request():
    with pytest.raises(ValueError, match="target"):
        main(["--traceback", "sweep", "--target", "nowhere", "--sampler", "ddim", "--steps", "5"])


def test_unknown_command_exits_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["conjecture"])
    assert stop.value.code == 2
    assert "conjecture" in capsys.readouterr().err


def test_sweep_prints_its_table_and_paths(tmp_path, capsys):
    job = f"sweep --target two_moons --sampler ddim --steps 4 --seeds 2 --samples 40 --out {tmp_path}".split()
    assert main(job) == 0
    out = capsys.readouterr().out
    assert "2 computed, 0 reused" in out
    rows = files.read_table(tmp_path / "results.csv")
    assert [r["seed"] for r in rows] == [0, 1]
    mean = sum(r["value"] for r in rows) / 2
    assert f"{mean:.4g}" in out


def test_data_that_cannot_be_had_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(datasets, "_local", lambda *a: None)
    monkeypatch.setattr(datasets, "_download", lambda url, sha256: (None, f"{url}: no network"))
    from exactdiffusion.studies import sweep

    sweep._law.cache_clear()
    assert main(f"sweep --target dino --sampler ddim --steps 5 --out {tmp_path / 'x'}".split()) == 2
    assert re.fullmatch(r"exactdiffusion sweep: dino: [^\n]*EXACTDIFFUSION_DATA[^\n]*\n", capsys.readouterr().err)


def test_the_demo_falls_back_to_bundled_data_without_the_dino(capsys, monkeypatch):
    from exactdiffusion.studies import demo, sweep

    monkeypatch.setattr(datasets, "_local", lambda *a: None)
    monkeypatch.setattr(datasets, "_download", lambda url, sha256: (None, f"{url}: no network"))
    sweep._law.cache_clear()
    assert demo._changes("steps_versus_w2")["target"] == "digits"
    assert "EXACTDIFFUSION_DATA" in capsys.readouterr().out
    assert demo._changes("noise_schedules") == {}


@pytest.mark.parametrize(("failing", "code"), [(False, 0), (True, 1)])
def test_check_exit_code_is_honest(capsys, monkeypatch, failing, code):
    monkeypatch.setattr(figures, "check", lambda experiment, out: ["row 3 differs"] if failing else [])
    assert main(["figures", "noise_schedules", "--check"]) == code
    assert ("NOT current" in capsys.readouterr().out) == failing


def test_module_and_no_progress_bar_away_from_a_terminal(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            *(
                f"-m exactdiffusion sweep --target two_moons --sampler ddim --steps 3 --seeds 1 "
                f"--samples 20 --out {tmp_path}"
            ).split(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", ["list", "audit ideal --target two_moons --N 4 --trajectories 3"])
def test_closed_pipe_ends_quietly(arguments):
    """As under ``| head -0``: nobody reads what is printed."""
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-m", "exactdiffusion", *arguments.split()]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


def test_verify_offers_papers_and_not_the_folder_that_holds_them(capsys):
    assert main(["verify", "nosuch"]) == 2
    papers = re.search(r"a paper \(([^)]*)\)", capsys.readouterr().err).group(1).split(", ")
    assert "foundations" in papers
    assert papers == sorted(f.name for f in theory_dir().iterdir() if any(f.glob("*_*.py")))


def test_verify_of_a_paper_includes_the_worked_example_of_the_template(monkeypatch):
    chosen = []
    monkeypatch.setattr(pytest, "main", lambda args, plugins: chosen.extend(args) or 0)
    main(["verify", "foundations"])
    assert str(theory_dir() / "_template.py") in chosen
    assert not [c for c in chosen if "projection" in c]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("None", None), ("3", 3), ("True dino", "True dino")]
)
def test_settings_are_json_or_the_words_of_python_or_text(text, value):
    assert _assignment(f"a={text}") == ("a", value)
