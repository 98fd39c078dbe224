"""README, CONTRIBUTING and their like: the Python examples run, the commands and the files that they name exist."""

import os
import re
import subprocess
import sys

import pytest

from exactdiffusion import datasets
from exactdiffusion._core.paths import project_root

ROOT = project_root()
if ROOT is None:
    pytest.skip("the documents are in a checkout", allow_module_level=True)

DOCUMENTS = (
    "README.md",
    "docs/start.md",
    "docs/guide.md",
    "docs/checked.md",
    "docs/trust.md",
    "docs/reproducibility.md",
    "CONTRIBUTING.md",
    "tests/README.md",
    "theory/README.md",
    ".ci/run",
    ".ci/long",
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
RULES = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
PHONY = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
#: what a user or a command writes, and documents name though it is not committed
WRITTEN = ("results/", "demo/", "figures/quick/", ".venv", "docs/_build/", "/generated/")


def _read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def _targets(text):
    """Names after ``make`` at the start of a line, or of code between backticks."""
    return {
        name for line in re.findall(r"(?:^|`| && |\" )make ([a-z][a-z -]*)", text, re.MULTILINE) for name in line.split()[:1]
    }


def _files(text):
    """Paths between backticks and of links that look like files or folders of the repository."""
    named = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"`([\w./-]+/[\w./-]*)`", text)
    return {name for name in named if not name.startswith(WRITTEN)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_targets_and_files_exist(document):
    text, folder = _read(document), (ROOT / document).parent
    assert _targets(text) <= RULES
    missing = [
        f for f in _files(text) if not any((base / f).exists() for base in (ROOT, folder, ROOT / "src/exactdiffusion"))
    ]
    assert not missing, f"{document} names {missing}"


def test_makefile_is_consistent():
    """Every phony target has a rule, every rule is phony, and ``make help`` lists what is meant to be called."""
    assert PHONY == RULES
    listed = set(re.findall(r"echo 'make ([a-z-]+)", MAKEFILE))
    assert listed == PHONY - {"help", "clean", "deep-fuzz", "deep-rest"}


def test_hooks_are_the_parts_of_make_lint():
    rule = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    parts = re.findall(r"python -m (ruff check|ruff format --check|mypy)", rule)
    assert re.findall(r"entry: python -m (.*)$", _read(".pre-commit-config.yaml"), re.MULTILINE) == parts


def test_the_readme_is_read_in_two_minutes():
    assert len(_read("README.md").split()) <= 700


def test_targets_and_files_are_found():
    """The two readers above see what they are meant to see."""
    text = (
        "take `make lint`, then\nmake test  # all\nof [the page](paper_checks.md) and `theory/none.py`; the rules make sense"
    )
    assert _targets(text) == {"lint", "test"}
    assert _files(text) == {"paper_checks.md", "theory/none.py"}


def test_the_python_example_of_the_start_runs(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", _read("docs/start.md"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1797 points in dimension n = 64" in done.stdout
    assert "yours is the best possible" in done.stdout, "the denoiser of the example is the ideal one"


def test_python_examples_of_the_guide_run(tmp_path):
    blocks = [
        b for b in re.findall(r"```python\n(.*?)```", _read("docs/guide.md"), re.DOTALL) if not b.startswith("# mine.py")
    ]
    assert len(blocks) == 1
    try:
        datasets.dino()
    except datasets.DatasetUnavailable as error:
        pytest.skip(str(error))
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", blocks[0]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    value, lower = map(float, done.stdout.split("\n")[0].split())
    assert 0 < lower <= value < 0.2, "0.096 was measured; the dino is 1.9 high"
    assert {f.name for f in (tmp_path / "results" / "mine").iterdir()} >= {"results.csv", "plot.png", "report.html"}
    assert "tweedie_denoiser" in done.stdout
