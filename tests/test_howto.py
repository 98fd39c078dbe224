"""The scripts in ``experiments/howto`` run as they stand, in at most 25 lines, and print what a reader is told to expect."""

import re
import subprocess
import sys

import pytest

from exactdiffusion._core.paths import experiments_dir
from exactdiffusion.studies import figures

FOLDER = experiments_dir() / "howto"
SAYS = {
    "audit_denoiser": r"times worse than the best possible(.*\n)*next: (.*\n)*.*look like the unit noise z.*predicts noise",
    "smallest_steps": r"below 0.03125 of its start(.*\n)*.*to 10: N = 2\n.*to 5: N = 3\n.*to 2.5: N = 8\n",
    "own_theorem": r"as it was written: passes\n(.*\n)*with a wrong formula: fails\n(.*\n)*.*Verdict: FAILED",
}


@pytest.mark.parametrize("name", SAYS)
def test_script(name, tmp_path):
    script = FOLDER / f"{name}.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 25
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout


def test_scripts_are_no_figures():
    assert not {path.stem for path in FOLDER.glob("*.py")} & set(figures.experiments())
