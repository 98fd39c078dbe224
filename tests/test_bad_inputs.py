"""Forty slips of a new user, at the command line and in Python: one line, what was given, and what would work."""

import math
import re

import numpy as np
import pytest

import exactdiffusion as ed
from exactdiffusion.checks.ledger import Check, Collected
from exactdiffusion.cli import main
from exactdiffusion.statements import all_statements
from exactdiffusion.studies import comparison

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
    "sweep --target two_moons --sampler ddim --steps 5 --out OUT/file.txt/deep": "out: got '.*deep'; .* is a file$",
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
    "sweep --target gaussian --sampler unipc --steps 5": "sampler: got 'unipc'; expected .*euler_maruyama[^;]*$",
    "sweep --target cloud.txt --sampler ddim --steps 5": "target: got '.*cloud.txt'; expected an existing file",
    "sweep --target gaussian --sampler mine.py:f --steps 5": "sampler: got 'mine.py:f'; .*no mine.py at",
    f"{SWEEP} --start exakt": "start: got 'exakt'; expected one of .*; did you mean exact?",
    f"{SWEEP} --jobs 0": "jobs: got 0; expected an integer >= 1",
    "sweep --target gaussian --sampler ddim --steps 5,5 --out OUT/x": "steps: got .*; expected each one once",
    "sweep --target gaussian --sampler ddim": "steps: is absent; expected --steps",
    "verify ./broken.py": "names: got './broken.py'; expected a file that Python reads; broken.py:2: ",
    "conform heun --set foo=3": "set: got 'foo'; expected a setting of heun: it takes none",
    "conform ddpm --set nu=3": "set: got 'nu'; expected a setting of ddpm: mu, variance, last_noise",
    "conform heum": "target: got 'heum'; .*; did you mean heun?",
    "plot file.txt": "dir: got 'file.txt'; expected a folder",
    "new theorem Slope": "name: got 'Slope'; expected NAME .*such as shrinkage",
}


@pytest.mark.parametrize("arguments", INPUTS)
def test_one_line_says_what_would_work(tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("text", encoding="utf-8")
    (tmp_path / "broken.py").write_text("STATEMENT = None\ndef test(:\n", encoding="utf-8")
    assert main(arguments.replace("OUT", str(tmp_path)).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    message = INPUTS[arguments].replace("?", re.escape("?"))
    assert re.search(message, err), err
    assert sorted(p.name for p in tmp_path.iterdir()) in (["broken.py", "file.txt"], ["broken.py", "file.txt", "x"])


#: what is wrong -> (the call, what its ValueError says)
CALLS = {
    "a stored sweep": (lambda: ed.compare("nosuch"), "dir: got 'nosuch'; expected a folder .*there is no such folder"),
    "squares": (lambda: comparison.compare([], [None]), r"squares .*: got 1; expected one entry for each of the 0 rows"),
    "an estimator": (lambda: ed.audit(Estimator(), np.eye(2)), r"fn: .*; of an estimator, lambda x, sigma: .*column_stack"),
    "a function of x": (
        lambda: ed.audit(lambda x: x, np.eye(2), N=2),
        r"fn: .* takes 1 .*; fn is called with x .* and sigma",
    ),
    "a control": (lambda: check().control("(H1)", 1.0, -math.inf, on="x"), "larger: got -inf; expected a bound that some"),
    "a ratio": (lambda: check().tight(0, 0, tol=0, cause="exact", on="x"), "expected: got 0.0; expected a ratio above its"),
    "a bare denoiser": (lambda: swept(target=ed.Denoiser(lambda x, s: x, 2)), r"target: .*\(denoiser, data\), a pair"),
    "a sampler's class": (lambda: swept(sampler=dict), "sampler: got .*; expected a name or a function sampler"),
}


class Estimator:
    def predict(self, features):
        return features


def check():
    return Check(all_statements()[0], Collected())


def swept(**changes):
    return ed.sweep(**{"target": "gaussian", "sampler": "ddim", "steps": 5, "seeds": 1, "samples": 9, **changes})


@pytest.mark.parametrize("name", CALLS)
def test_a_slip_in_python_says_what_would_work(name):
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert str(raised.value).count("\n") == 0


def test_abbreviated_and_unknown_flags_are_refused(capsys):
    for flag, near in (("--step", "; did you mean --steps?"), ("--smaples", "; did you mean --samples?"), ("--foo", "")):
        with pytest.raises(SystemExit) as ended:
            main(["sweep", "--target", "gaussian", "--sampler", "ddim", flag])
        assert ended.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].endswith(f"unrecognized arguments: {flag}{near}")


def test_the_default_folder_keeps_the_table_of_another_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = "sweep --target gaussian --sampler ddim --steps {} --seeds 1 --samples 9".format
    assert main(command("5").split()) == 0
    capsys.readouterr()
    assert main(command("10").split()) == 2
    assert re.search("out: got none; expected --out DIR, .* with other steps .*keeps its records", capsys.readouterr().err)

    # a larger sweep reuses it
    assert main(command("5,10").split()) == 0
    assert "1 computed, 1 reused" in capsys.readouterr().out


def test_a_stand_in_is_said_to_be_one(capsys, monkeypatch):
    monkeypatch.setattr("exactdiffusion.studies.figures.check", lambda experiment, out: [])
    assert main(["figures", "projection:2", "--check"]) == 0
    assert (
        "projection_error: a stand-in for projection, Figure 2, the same quantity on other data" in capsys.readouterr().err
    )
    assert main(["figures", "projection:5", "--check"]) == 0
    assert capsys.readouterr().err == ""


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
    out, err = capsys.readouterr()
    assert re.fullmatch(r"\d+ theory files: about \d+ s of processor time\n", err)
    assert out.startswith("begins")
