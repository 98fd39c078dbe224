"""Twenty slips of a new user at the command line: one line, exit code 2, and what would work."""

import re

import pytest

from exactdiffusion.cli import main

SWEEP = "sweep --target two_moons --sampler ddim --steps 5 --out OUT/x"
#: arguments -> what the one line says
INPUTS = {
    "list samplerz": "filter: got 'samplerz'; expected one of .*; did you mean samplers?",
    "list heum": "filter: got 'heum'; .*; did you mean heun?",
    "sweep --target dinosaur --sampler ddim --steps 5": "target: got 'dinosaur'; .*; did you mean dino?",
    "sweep --target two_moons --sampler ddimm --steps 5": "sampler: got 'ddimm'; .*; did you mean ddim?",
    f"{SWEEP} --schedule log_liner": "schedule: got 'log_liner'; .*; did you mean log_linear?",
    f"{SWEEP} --metric distanse": "metric: got 'distanse'; .*; did you mean distance?",
    "sweep --target two_moons --sampler ddpm:eta=1 --steps 5 --out OUT/x": "sampler: .*; it takes mu, variance, last_noise",
    "sweep --target two_moons --sampler ddim:eta=1 --steps 5 --out OUT/x": "sampler: got 'ddim:eta=1'; .*; it takes none",
    f"{SWEEP} --schedule edm:rh=7": "schedule: got 'edm:rh=7'; .*; it takes ",
    "sweep --target two_moons --sampler ddim --steps 5 --out OUT/file.txt": "out: got '.*file.txt'; .* is a file",
    "sweep --target two_moons --sampler ddim --steps 5 --out OUT/file.txt/deep": "out: got '.*deep'; .* is a file",
    "sweep --target two_moons --sampler proximal_backward --steps 3 --out OUT/x": "g < 2 .*; the least: vp_linear N = 10",
    "sweep --target two_moons --sampler ddim --steps five": "steps: got 'five'; expected integers",
    "figures coin_tset": "names: got 'coin_tset'; .*; did you mean coin_test?",
    "verify thm_42": "names: got 'thm_42'; .*; did you mean thm_4_2",
    "verify projection/beta_sta": "names: .*; did you mean projection/beta_star?",
    "verify ./nothing.py": "names: got './nothing.py'; expected an existing file",
    "verify eq_tweedie --records OUT/file.txt": "records: got '.*file.txt'; .* is a file",
    "audit ideal --target digitz": "target: got 'digitz'; .*; did you mean digits?",
    "audit ideal --target digits --predicts noize": "predicts: got 'noize'; .*; did you mean noise?",
    "audit ideal --target digits --schedule ddpmm": "schedule: got 'ddpmm'; .*; did you mean ddpm?",
    "plot nosuch": "dir: got 'nosuch'; .*; there is no such folder$",
    "new theorem Slope": "name: got 'Slope'; expected NAME .*such as shrinkage",
}


@pytest.mark.parametrize("arguments", INPUTS)
def test_one_line_says_what_would_work(tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("text", encoding="utf-8")
    assert main(arguments.replace("OUT", str(tmp_path)).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    message = INPUTS[arguments].replace("?", re.escape("?"))
    assert re.search(message, err), err
    assert sorted(p.name for p in tmp_path.iterdir()) in (["file.txt"], ["file.txt", "x"])


@pytest.mark.parametrize(
    "command", ["list", "verify", "figures", "sweep", "plot", "report", "audit", "conform", "new", "demo"]
)
def test_every_help_has_two_examples(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert len(examples) == 2
    assert all(line.startswith(f"  exactdiffusion {command}") for line in examples)


def test_a_wrong_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit):
        main(["verfy"])
    assert "did you mean verify?" in capsys.readouterr().err


def test_list_filters_and_writes_json(capsys):
    import json

    assert main(["list", "samplers"]) == 0
    said = capsys.readouterr().out
    assert "ddpm: mu=0.5, variance='small', last_noise=False" in said
    assert "2 denoiser calls a step" in said
    assert "statements (" not in said
    assert main(["list", "heun", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [e["name"] for e in found["samplers"]] == ["heun"]
    assert main(["list", "samplers", "ddpm"]) == 0
    assert "schedules" not in capsys.readouterr().out


def test_verify_says_beforehand_how_long_it_takes(capsys, monkeypatch):
    monkeypatch.setattr(pytest, "main", lambda args, plugins: print("begins") or 0)
    main(["verify", "projection"])
    assert re.match(r"\d+ theory files: about \d+ s of processor time\nbegins", capsys.readouterr().out)
