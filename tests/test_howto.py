"""The scripts and the notebook in ``experiments/howto`` run as they stand and print what a reader is told to expect."""

import json
import re
import subprocess
import sys

import pytest

from exactdiffusion._core.paths import experiments_dir
from exactdiffusion.studies import figures

FOLDER = experiments_dir() / "howto"
#: script -> what it prints; compare_samplers.py is run by tests/studies/test_comparison.py
SAYS = {
    "audit_denoiser": r"times worse than the best possible(.*\n)*next: (.*\n)*.*look like the unit noise z.*predicts noise",
    "kl_slopes": r"(N = .*\+- \de-1\d\n){6}slope over all: -1\.9.*\nslope over the last 3 octaves: -1\.9[5-9]",
    "smallest_steps": r"below 0.03125 of its start(.*\n)*.*to 10: N = 2\n.*to 5: N = 3\n.*to 2.5: N = 8\n",
    "own_theorem": r"as it was written: passes\n(.*\n)*with a wrong formula: fails\n(.*\n)*.*Verdict: FAILED",
    "threshold_of_a_cloud": r"certified: True; upper side by certificate: .*\n.*not log-concave.*\n.*ball arithmetic: True",
}
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_NUMBER = r"-?\d[\d,]*\.?\d*(?:e-?\d+)?"


@pytest.mark.parametrize("name", SAYS)
def test_script(name, tmp_path):
    if name == "threshold_of_a_cloud":
        pytest.importorskip("flint", reason="a certificate is examined in ball arithmetic: pip install python-flint")
    script = FOLDER / f"{name}.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 25
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout


def test_every_script_is_tested():
    assert {path.stem for path in FOLDER.glob("[a-z]*.py")} == {*SAYS, "compare_samplers"}


def test_scripts_are_no_figures():
    assert not {path.stem for path in FOLDER.glob("*.py")} & set(figures.experiments())


def shown(notebook):
    """Text of every output of the code cells, by cell."""
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    return [["".join(o["data"]["text/plain"]) for o in c["outputs"]] for c in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_notebook_was_executed_in_order(path):
    assert path.stat().st_size < 50_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    text = "\n".join("\n".join(outputs) for outputs in shown(notebook))
    for N in (20, 40, 80):
        for first, second in (("ddim", "heun"), ("ddim", "dpm_solver_pp"), ("heun", "dpm_solver_pp")):
            assert re.search(rf"steps {N} +{first} +{second} .*scores less", text), (N, first, second)
    assert re.search(r"not separated; about [\d,]+ samples would", text)
    assert "calls 80" in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_shows_what_is_committed(path):
    """In a kernel of its own. Words are equal; numbers within 2 %, the last of the three digits that are printed."""
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason="a notebook runs in a kernel: pip install nbclient ipykernel")
    done = subprocess.run([sys.executable, FOLDER / "_notebook.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fresh = dict(json.loads(line) for line in done.stdout.splitlines())
    committed = [text for outputs in shown(json.loads(path.read_text(encoding="utf-8"))) for text in outputs]
    found = [text for outputs in shown(fresh[path.name]) for text in outputs]
    assert [re.sub(_NUMBER, "#", t).split() for t in found] == [re.sub(_NUMBER, "#", t).split() for t in committed]
    for one, other in zip(found, committed):
        pairs = zip(re.findall(_NUMBER, one), re.findall(_NUMBER, other), strict=True)
        values = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
        assert all(abs(a - b) <= 0.02 * abs(b) for a, b in values), (one, other)
