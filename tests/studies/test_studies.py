"""The shipped studies: tables are those of their files, findings are in the tables, cells recompute to what is committed."""

import hashlib
import importlib.util
import json
import os

import pytest

from exactdiffusion._core import files
from exactdiffusion._core.paths import experiments_dir
from exactdiffusion.datasets import DatasetUnavailable
from exactdiffusion.studies import sweep, sweepfile

FOLDER = experiments_dir() / "studies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def _load(name):
    return sweepfile.read(FOLDER / f"{name}.toml"), files.read_table(FOLDER / name / "results.csv")


def test_there_are_the_studies_that_the_readme_promises():
    assert {"all_samplers", "few_calls", "final_sigma", "gamma", "schedules"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_table_is_that_of_the_file(name):
    described, rows = _load(name)
    table = FOLDER / name / "results.csv"
    provenance = json.loads((FOLDER / name / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["table_sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    assert provenance["finding"] == described.notes["finding"]
    assert {path.stat().st_size < 300_000 for path in (FOLDER / name).iterdir() if path.is_file()} == {True}
    try:
        wanted, _ = sweep._wanted(described.grids, described.options.get("refused", "error"))
    except DatasetUnavailable:
        pytest.skip("the dino is neither in EXACTDIFFUSION_DATA nor downloadable")
    found = [(sweep.Cell(*(row[k] for k in sweep._CELL)), row["metric"]) for row in rows]
    assert found == wanted


@pytest.mark.parametrize("name", NAMES)
def test_three_sentences_whose_numbers_are_in_the_table(name):
    described, rows = _load(name)
    assert len(described.notes["finding"]) == 3
    assert all(text.endswith(".") for text in described.notes["finding"])
    assert sweepfile.problems(described, rows) == []
    assert len(described.checks) >= 4


def test_a_wrong_number_and_an_unchecked_one_are_seen():
    described, rows = _load("gamma")
    check = {**described.checks[0], "number": "9.999"}
    assert any(
        "9.999" in text
        for text in sweepfile.problems(
            sweepfile.SweepFile(described.path, [], {}, described.notes, [check, *described.checks[1:]]), rows
        )
    )
    assert any(
        "not checked" in text
        for text in sweepfile.problems(sweepfile.SweepFile(described.path, [], {}, {"finding": ["It is 1.25."]}), rows)
    )
    assert sweepfile.problems(
        sweepfile.SweepFile(described.path, [], {}, described.notes, [{"number": "1.0", "where": {"target": "none"}}]), rows
    )


@pytest.mark.skipif("CI" not in os.environ, reason="committed tables are compared in CI only")
@pytest.mark.parametrize("name", NAMES)
def test_cells_recompute_to_the_committed_values(name):
    """Four cheap cells of each study, spread over the table. Equal but for last bits, which differ between processors, BLAS
    builds and kernels and grow along a trajectory (1e-8 is allowed, as in the figures).
    """
    described, rows = _load(name)
    cheap = [r for r in rows if r["steps"] <= 10 and r["dim"] <= 64 and not r["sampler"].startswith("prox")]
    for row in cheap[:: max(1, len(cheap) // 4)][:4]:
        cell = sweep.Cell(*(row[k] for k in sweep._CELL))
        try:
            (fresh,) = sweep.run_cell(cell, [row["metric"]], 0)
        except DatasetUnavailable:
            pytest.skip("the dino is neither in EXACTDIFFUSION_DATA nor downloadable")
        for column in ("method", "rung", "interval", "oracle_calls", "oracle_rows", "statement", "bound_kind"):
            assert fresh[column] == row[column], (cell, column)
        for column in ("value", "lower", "upper", "bound"):
            if row[column] is None:
                assert fresh[column] is None
                continue
            # the ends of a quadrature interval are an error estimate: themselves only known to its own size
            slack = row["upper"] - row["lower"] if row["interval"] == "quadrature" else 0.0
            assert abs(fresh[column] - row[column]) <= 1e-8 * abs(row[column]) + slack, (cell, column)


@pytest.mark.skipif(not (FOLDER / "README.md").is_file(), reason="not in a checkout")
def test_page_is_what_the_studies_say():
    spec = importlib.util.spec_from_file_location("studies_page", FOLDER / "_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == module.page()
