"""The benchmark page is that of its records, and the scripts run on tiny sizes."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is in the checkout only")


def script(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name.strip('_')}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_current():
    old = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert script("_page").page(old) == old, "run python benchmarks/_page.py"


def test_every_record_is_on_the_page_with_its_machine():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in (FOLDER / "results").glob("*.json"):
        section = page.partition(f"### {path.stem}\n")[2].partition("\n### ")[0]
        assert "Machine: " in section, path.name
        assert "not recorded" not in section, path.name
        cases = json.loads(path.read_text(encoding="utf-8")).get("cases", [])
        assert section.count("\n| ") >= len(cases), path.name


def test_page_follows_the_records(tmp_path):
    module = script("_page")
    record = {
        "cases": [{"case": "a", "ours": 1.23456, "peer": {"ratio": 2.0}, "list": [1]}, {"case": "b|c", "ours": None}],
        "growth": {"n": 1.5},
        "machine": {"processor": "P", "numpy": "2"},
        "more": [{"x": 1}],
    }
    (tmp_path / "one.json").write_text(json.dumps(record))
    text = module.tables(tmp_path)
    for part in (
        "### one",
        "Machine: processor P, numpy 2.",
        "| case | ours |",
        "| a | 1.23 |",
        "| b\\|c | - |",
        "growth: n 1.5.",
        "more:\n\n| x |",
    ):
        assert part in text
    record["columns"] = ["case", "peer.ratio", "absent"]
    (tmp_path / "one.json").write_text(json.dumps(record))
    assert "| case | peer.ratio |\n| --- | --- |\n| a | 2 |\n| b\\|c | - |" in module.tables(tmp_path)
    old = f"before\n{module.BEGIN}\nold\n{module.END}\nafter\n"
    new = module.page(old, tmp_path)
    assert new.startswith("before\n")
    assert new.endswith(f"{module.END}\nafter\n")
    assert "old" not in new
    assert module.page(new, tmp_path) == new
    record["cases"][0]["peer"]["ratio"] = 3.0
    (tmp_path / "one.json").write_text(json.dumps(record))
    assert module.page(new, tmp_path) != new
    with pytest.raises(ValueError, match="the page needs"):
        module.page("no marks", tmp_path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("w2", ["--sizes", "60", "80", "--largest", "100", "--other", "50", "--rows", "2000", "--repeats", "1"]),
        ("law1d", ["--steps", "16", "--nodes", "200", "--fine", "300", "--repeats", "1"]),
        ("sweep", ["--samples", "20", "--steps", "2", "--seeds", "2", "--repeats", "1"]),
    ],
)
def test_scripts_run(name, options, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "_common", raising=False)
    module, common = script(name), importlib.import_module("_common")
    for where in (module, common):  # a new process per measurement, and workers of its own, are too slow here
        if hasattr(where, "peak"):
            monkeypatch.setattr(where, "peak", lambda *_: None)
    if name == "sweep":
        monkeypatch.setattr(module, "scaling", lambda *_: {"case": "not run here", "accuracy": 0.0})
    record = module.main([*options, "--output", str(tmp_path / "record.json")])
    assert json.loads((tmp_path / "record.json").read_text()) == record
    printed = capsys.readouterr().out
    for row in record["cases"]:
        assert row["case"] in printed
        if "peer_over_ours" in row and row["peer_over_ours"] is not None:
            assert row["peer_over_ours"] > 0
    assert {"processor", "cores", "threads", "python", "numpy"} <= set(record["machine"])


def test_exponents_and_verdicts(monkeypatch):
    """Slopes with their intervals, medians that refusals do not enter, and what a row prints that misses its aim."""
    monkeypatch.syspath_prepend(FOLDER)
    growth, rows, trees = (script(name) for name in ("growth", "before_after", "_trees"))
    slope, half = growth.exponent({n: 3.0 * n**2 for n in (1, 2, 4, 8)})
    assert (slope, half) == (pytest.approx(2, rel=1e-12), pytest.approx(0, abs=1e-6))
    slope, half = growth.exponent({1: 1.0, 2: 2.0, 4: 8.0})
    assert slope == pytest.approx(1.5)
    # Student with one degree of freedom: 12.706 times the standard error 1 / sqrt(12)
    assert half == pytest.approx(12.7062 / 12**0.5, rel=1e-4)
    assert trees.middle(["ValueError: no", 1.0, 3.0, 2.0]) == 2.0
    assert trees.middle(["ValueError: no"]) is None

    entry = {"aim": "<= 4 x limit", "met": rows.at_most(4, "limit"), "why": "half of it is {limit_of_peer:.2f}"}
    assert rows.verdict(entry, {"limit": 3.9, "peer": 1.0}, 1.0, {}) == "<= 4 x limit: met"
    assert rows.verdict(entry, {"limit": 5.0, "peer": 2.5}, 1.0, {}) == "<= 4 x limit: MISSED: half of it is 0.50"
    assert "MISSED" in rows.verdict(entry, {"limit": 3.9, "peer": 1.0}, None, {})
    later = rows._monotone("what", 4)
    assert later(None, 1.0, {"what, d 2": 2.0})
    assert not later(None, 1.0, {"what, d 2": 2.1})


def test_a_worker_times_and_answers(monkeypatch, capsys):
    """Lines in, seconds or messages out: a call that fails is an answer, and so is a number that is no time."""
    monkeypatch.syspath_prepend(FOLDER)
    trees = script("_trees")
    calls = {"time": lambda: sum(range(1000)), "share": lambda: trees.Answer(0.93), "refused": lambda: 1 / 0}
    lines = [json.dumps([name, "ours"]) for name in ("time", "share", "share", "refused", "absent")]
    monkeypatch.setattr(sys, "stdin", lines)
    trees.serve(lambda name, kind: calls[name])
    seconds, *shares, refused, absent = map(json.loads, capsys.readouterr().out.splitlines())
    assert 0 < seconds < 1
    assert shares == [0.93, 0.93]
    assert refused.startswith("ZeroDivisionError")
    assert absent.startswith("KeyError")
