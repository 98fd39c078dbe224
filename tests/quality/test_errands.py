"""One door per addition: each row of CONTRIBUTING's table is performed in a copy of the tree, and nothing turns red.

An errand writes the files of its row and no others (asserted); then the whole test suite is collected and the tests that
look at the addition are run. To add a row: a function of the copy's root under `errand`, with the files that it touches, the
commands of the program and the tests to run. The default run performs the first errand, the long run all of them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from exactdiffusion._core.paths import project_root

ROOT = project_root()
pytestmark = pytest.mark.skipif(
    ROOT is None or shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a checkout with git"
)
LIMIT = 600


@dataclass
class Errand:
    """``perform(root)`` writes ``files``; ``commands`` of the program and ``tests`` (arguments of pytest) must then pass."""

    perform: object
    files: tuple
    commands: tuple
    tests: tuple


ERRANDS = {}


def errand(*files, commands=(), tests=()):
    def add(perform):
        ERRANDS[perform.__name__] = Errand(perform, files, commands, tests)
        return perform

    return add


def run(root, *arguments):
    """A Python command in the copy, which imports the copy's package; its output where it fails."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(root / "src")}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def program(root, text):
    return run(root, "-m", "exactdiffusion", *text.split())


def append(path, text):
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n") + "\n\n\n" + text, encoding="utf-8")


def digests(root):
    """Relative path -> digest of every file, caches apart."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache", ".hypothesis"} & set(path.parts)
    }


@pytest.fixture
def copy(tmp_path):
    """The files that git knows, and those that it would know: a checkout as somebody else has it."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    root = tmp_path / "tree"
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    return root


# ------------------------------------------------------------------------------------------------------------ the rows


@errand(
    "src/exactdiffusion/statements/projection.py",
    "theory/projection/eq_errand.py",
    commands=("verify errand", "list"),
    tests=(
        "tests/statements/test_domain.py tests/checks/test_ledger.py tests/checks/test_expected.py",
        "tests/checks/test_findings.py tests/quality/test_references_index.py tests/test_house.py",
        "tests/statements/test_formulas.py -k second_time",
        "tests/quality/test_fuzz.py -k errand",
        "tests/quality/test_fuzz.py -k entries",
        "theory/projection/eq_errand.py",
    ),
)
def theorem(root):
    """A function in ``statements/<paper>.py`` and a file in ``theory/<paper>/``."""
    said = program(root, "new theorem projection/errand")
    assert "exactdiffusion verify eq_errand" in said
    assert len(said.strip().splitlines()) == 4


@errand(
    "src/exactdiffusion/samplers/errand.py",
    commands=("sweep --target rings --sampler errand --steps 4 --seeds 1 --samples 20 --out OUT", "list"),
    tests=(
        "tests/samplers tests/output_laws/test_gaussian.py tests/laws/test_registered.py",
        "tests/core/test_array_backends.py -k errand",
        "tests/studies/test_keys.py tests/test_house.py",
        "tests/quality/test_references_index.py",
        "tests/quality/test_fuzz.py -k errand",
        "tests/quality/test_fuzz.py -k entries",
        "tests/test_cli.py -k names_everything",
    ),
)
def sampler(root):
    """A file in ``samplers/``: the explicit midpoint rule, which asks the denoiser between two levels."""
    text = '''"""Explicit midpoint in the noise ratio."""

from ._base import column, sampler


def update(x, i, grid, oracle, noise, memory):
    scale, r = grid.scale, grid.noise_ratio
    middle = 0.5 * (r[i] + r[i + 1])
    y = x / column(scale[i], x)
    half = y + column(middle - r[i], x) * (y - oracle.denoise(i, x)) / column(r[i], x)
    slope = (half - oracle.denoise_at(1.0, middle, half)) / column(middle, x)
    return column(scale[i + 1], x) * (y + column(r[i + 1] - r[i], x) * slope), memory


@sampler(update, order=2, per_step=2, summary="explicit midpoint in the noise ratio")
def errand(law, grid, x):
    r"""The explicit midpoint rule in the noise ratio.

    .. math:: y_{i+1} = y_i + (r_{i+1} - r_i) (h - D(h, m)) / m, \\quad h = y_i + (m - r_i) (y_i - D_i) / r_i
    """
'''
    (root / "src/exactdiffusion/samplers/errand.py").write_text(text, encoding="utf-8")


@errand(
    "src/exactdiffusion/laws/simplex.py",
    tests=(
        "tests/laws/test_contract.py tests/laws/test_registered.py -k simplex",
        "tests/core/test_array_backends.py -k simplex",
        "tests/studies/test_keys.py -k digested",
        "tests/quality/test_references_index.py tests/test_house.py",
        "tests/quality/test_fuzz.py -k entries",
    ),
)
def law(root):
    """A file in ``laws/``."""
    text = '''"""The corners of a regular simplex, each as likely as the others."""

import numpy as np

from .point_cloud import PointCloud
from .registry import example

__all__ = ["Simplex"]


class Simplex(PointCloud):
    """Uniform law on the d unit vectors of R^d."""

    def __init__(self, dim):
        super().__init__(np.eye(dim))


@example("simplex")
def _simplex():
    return Simplex(4)
'''
    (root / "src/exactdiffusion/laws/simplex.py").write_text(text, encoding="utf-8")


@errand(
    "experiments/projection/errand.py",
    commands=("figures errand", "figures errand --check"),
    tests=("tests/studies/test_figures.py -k errand",),
)
def figure(root):
    """A file in ``experiments/<paper>/``; the program writes its table, record and drawings."""
    text = '''"""Distance of the circle to a ray, as an example."""

from exactdiffusion.studies.figures import Spot, panels, title

SUMMARY = "projection paper: distance from points of a ray to the unit circle"
CAPTION = "Outside the circle the distance grows like x."
PAPER = ("2306.04848", "", "own")
PARAMETERS = {"points": 9, "far": 3.0}
QUICK = {"points": 5}
SPOT = Spot({}, keys=("i",), rtol={"x": 1e-12, "distance": 1e-9}, cause="square roots", atol=1e-12)


def compute(parameters, progress):
    import numpy as np

    from exactdiffusion import Sphere

    x = np.linspace(0.0, parameters["far"], parameters["points"])
    distance = Sphere(1.0, 2).distance(np.stack([x, 0 * x], axis=1))
    return [{"i": i, "x": float(a), "distance": float(d)} for i, (a, d) in enumerate(zip(x, distance))]


def draw(table, parameters):
    figure, axes = panels(1)
    axes.plot([row["x"] for row in table], [row["distance"] for row in table])
    axes.set_xlabel("x")
    axes.set_ylabel("distance to the circle")
    title(axes, "outside the circle the distance grows like x")
    return figure
'''
    (root / "experiments/projection/errand.py").write_text(text, encoding="utf-8")


@errand(
    "src/exactdiffusion/datasets.py",
    commands=("sweep --target errand --sampler ddim --steps 4 --seeds 1 --samples 20 --out OUT", "list"),
    tests=("tests/test_datasets.py tests/core/test_array_backends.py -k errand", "tests/test_cli.py -k names_everything"),
)
def target(root):
    """A function with ``@target``."""
    text = """@target("errand", 2, "two atoms at distance 2")
def _errand():
    from .laws import PointCloud

    return PointCloud([[-1.0, 0.0], [1.0, 0.0]])
"""
    append(root / "src/exactdiffusion/datasets.py", text)


@errand(
    "src/exactdiffusion/studies/metrics.py",
    commands=("sweep --target rings --sampler ddim --steps 4 --seeds 1 --samples 20 --metric errand --out OUT", "list"),
    tests=("tests/test_cli.py -k names_everything",),
)
def metric(root):
    """A function with ``@metric``."""
    text = """@metric("errand", "distance between the means", refusal=lambda run: None if _has(run, "mean") else "no mean")
def _errand(run):
    error = float(np.linalg.norm(run.samples.mean(axis=0) - run.law.mean))
    return result(error, None, None, "none", "samples", "mean of the samples")
"""
    append(root / "src/exactdiffusion/studies/metrics.py", text)


@errand(
    "src/exactdiffusion/schedules.py",
    commands=("sweep --target rings --sampler ddim --steps 4 --schedule errand --seeds 1 --samples 20 --out OUT", "list"),
    tests=(
        "tests/test_schedules.py -k errand",
        "tests/quality/test_fuzz.py -k errand",
        "tests/quality/test_fuzz.py -k entries",
        "tests/quality/test_references_index.py",
        "tests/test_cli.py -k names_everything",
    ),
)
def schedule(root):
    """A function with ``@schedule``."""
    text = '''@schedule
def errand(N, sigma_max=40.0, ratio=0.5):
    """N + 1 levels, each ``ratio`` times the one before."""
    N, sigma_max = integer("N", N, low=1), scalar("sigma_max", sigma_max, low=0.0, low_open=True, high=LARGEST)
    ratio = scalar("ratio", ratio, low=0.01, high=0.99)
    if sigma_max * ratio**N < 1e-150:
        fail("N", N, "fewer steps: the levels underflow")
    return _ve(sigma_max * ratio ** np.arange(N + 1))
'''
    append(root / "src/exactdiffusion/schedules.py", text)


# --------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.deep] * (i > 0)) for i, name in enumerate(ERRANDS)])
def test_addition_needs_these_files_and_no_others(name, copy, tmp_path):
    row, before = ERRANDS[name], digests(copy)
    row.perform(copy)
    after = digests(copy)
    assert {path for path in after if after[path] != before.get(path)} == set(row.files)
    assert set(before) <= set(after)
    collected = run(copy, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests", "theory")
    assert "error" not in collected.splitlines()[-1]
    for command in row.commands:
        program(copy, command.replace("OUT", str(tmp_path / "out")))
    for tests in row.tests:
        said = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-verdict-table", *tests.split())
        assert " passed" in said, f"{tests}: nothing ran\n{said}"


def test_a_new_theorem_has_a_verdict_that_says_it_was_evaluated_once(copy):
    theorem(copy)
    said = program(copy, "verify errand")
    assert [line.split()[-3:] for line in said.splitlines() if line.startswith("projection/errand")] == [
        ["verified,", "evaluated", "once"]
    ]
    code = "import sys; sys.path.insert(0, 'tests'); import additions; print(*additions.lines(), sep='\\n')"
    wanted = [line for line in run(copy, "-c", code).splitlines() if "errand" in line]
    for text in (
        "theory/projection/expected.toml: run `exactdiffusion verify --update` for [errand]",
        'tests/references/index.toml, section [reference]: "statements.projection.errand" = ["theory", "theory/projection/',
        'tests/statements/test_formulas.py: @printed("projection.errand"',
        'tests/quality/test_fuzz.py, CLAIMS: "projection.errand": claims(',
        "tests/quality/planted/theory.toml: a table [[fault]]",
    ):
        assert any(text in line for line in wanted), (text, wanted)


def test_a_name_that_exists_is_refused(copy):
    theorem(copy)
    before = digests(copy)
    # a function, one written for another module of the same paper, an import, builtins
    taken = ("projection/errand", "projection/beta_star", "log_concavity/largest_curvature", "projection/math")
    for name in (*taken, "projection/len", "foundations/print"):
        with pytest.raises(AssertionError, match=r"exactdiffusion new: name: got .*a name that is free"):
            program(copy, f"new theorem {name}")
    assert digests(copy) == before
