"""`benchmarks/evidence_diff.py` names every loss between two evidences, and nothing else."""

import copy
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = next((p for p in Path(__file__).resolve().parents if (p / "benchmarks" / "evidence_diff.py").is_file()), None)
pytestmark = pytest.mark.skipif(ROOT is None, reason="benchmarks/ is in the checkout only")


@pytest.fixture
def diff(monkeypatch):
    """The module `evidence_diff`."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "_evidence", raising=False)
    spec = importlib.util.spec_from_file_location("evidence_diff", ROOT / "benchmarks" / "evidence_diff.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(part="holds", on="ten points", **fields):
    plain = {"statement": "projection/a", "part": part, "on": on, "ratio": 0.5, "passed": True, "tolerance": 1e-9,
             "cause": "8 eps", "count": 10, "detail": "", "test": "test_holds", "units": "nan", "of": "",
             "tolerance_class": "rounding", "stated": "nan"}  # fmt: skip
    return {**plain, **fields}


def evidence(package="old", tests="tests/test_old.py"):
    """A whole evidence, of a tree in which one module and one test file have these names."""
    control = record("control", cause="convexity", tolerance_class="exact", ratio=3.0)
    fault = {"target": f"exactdiffusion.{package}:f", "kind": "wrong sign", "old": f"{package}.g(x)", "new": "-x",
             "caught_by": [f"{tests}::test_f", "theory/projection/a.py::test_holds"]}  # fmt: skip
    fates = {"+": "killed by an assertion", "-": "survives", "*": "killed by an exception"}
    return {
        "records": {"records": [record(), record(on="a line", part="equal"), control],
                    "verdicts": {"projection/a": "verified"},
                    "comparisons": [["theory/projection/a.py::test_draws", "mean", "exact", 4, 1e-8]],
                    "shares": [["theory/projection/a.py::test_draws", 1e-8]]},
        "accuracies": {"green": True, "table": {
            f"{package}.f": {"error": 1e-12, "limit": 1e-10, "count": 9, "by": "50 digits, mpmath"}}},
        "planted": {"faults": {"f: sign": fault, "f: index": fault},
                    "caught": {"test_planted::test_error_is_caught[f: sign]": True}},
        "mutants": [{"id": f"exactdiffusion.old:f {k}", "target": f"exactdiffusion.{package}:f", "operator": "Op",
                     "change": f"a {k} b", "fate": fate} for k, fate in fates.items()],
        "inputs": {f"{tests}::test_f": ["Noise(7)", "assert 1e-12"], "theory/projection/a.py::test_holds": ["rng(3)"]},
    }  # fmt: skip


def set_to(*path):
    """The change that puts the last entry of ``path`` where the others lead; None deletes."""

    def change(data):
        *keys, last, value = path
        for key in keys:
            data = data[key]
        if value is None:
            del data[last]
        else:
            data[last] = value

    return change


RECORD = ("records", "records")
ACCURACY = ("accuracies", "table", "old.f")
CHANGES = [
    (set_to(*RECORD, 0, "tolerance", 1e-6), "worse", "projection/a: holds, ten points (8 eps): tolerance 1e-09, now 1e-06"),
    (set_to(*RECORD, 0, "tolerance", 1.02e-9), "worse", "tolerance 1e-09, now 1.02e-09"),
    (set_to(*RECORD, 0, "tolerance", 1e-12), "better", "tolerance 1e-09, now 1e-12"),
    (set_to(*RECORD, 0, None), "lost", "projection/a: holds, ten points (8 eps): no such record"),
    (set_to(*RECORD, 0, "on", "one point"), "changed", "family 'ten points', now 'one point'"),
    (set_to(*RECORD, 0, "tolerance_class", "remainder"), "changed", "class of cause 'rounding', now 'remainder'"),
    (set_to(*RECORD, 2, "cause", "a sign"), "changed", "control 'convexity', now 'a sign'"),
    (set_to(*RECORD, 0, "passed", False), "worse", "no longer passes"),
    (set_to(*RECORD, 0, "count", 3), "lost", "10 values, now 3"),
    (set_to(*RECORD, 0, "ratio", 0.50001), "changed", "ratio 0.5, now 0.50001 (class rounding)"),
    (set_to(*RECORD, 1, "ratio", 1.6), "changed", "ratio 0.5, now 1.6"),
    (set_to("records", "verdicts", "projection/a", "verified, loose"), "changed", "verdict 'verified', now"),
    (set_to("records", "comparisons", 0, 4, 1e-9), "changed", "comparisons: "),
    (set_to(*ACCURACY, "error", 3e-12), "worse", "old.f: error 1e-12, now 3e-12"),
    (set_to(*ACCURACY, "limit", 1e-8), "worse", "old.f: limit 1e-10, now 1e-08"),
    (set_to(*ACCURACY, None), "lost", "old.f: no such quantity"),
    (set_to("accuracies", "green", False), "worse", "the tests are red"),
    (
        set_to("planted", "caught", "test_planted::test_error_is_caught[f: sign]", False),
        "worse",
        "[f: sign]: no longer passes",
    ),
    (set_to("planted", "faults", "f: index", None), "lost", "'f: index': no such planted error"),
    (set_to("planted", "faults", "f: sign", "caught_by", 0, None), "lost", "test_f is no longer asked to see it"),
    (set_to("planted", "faults", "f: sign", "new", "-2 * x"), "changed", "new '-x', now '-2 * x'"),
    (set_to("mutants", 0, "fate", "survives"), "worse", "a + b: killed by an assertion, now survives"),
    (set_to("mutants", 2, "fate", "missing"), "lost", "a * b: killed by an exception, now missing"),
    (set_to("inputs", "tests/test_old.py::test_f", 0, "Noise(8)"), "changed", "Noise(7), now Noise(8)"),
    (set_to("inputs", "tests/test_old.py::test_f", 1, "assert 1e-06"), "changed", "assert 1e-12, now assert 1e-06"),
    (set_to("inputs", "tests/test_old.py::test_f", None), "lost", "test_f: no such test"),
]


@pytest.mark.parametrize(("change", "kind", "text"), CHANGES, ids=[text for _, _, text in CHANGES])
def test_change_is_named(change, kind, text, diff, capsys):
    old = evidence()
    new = copy.deepcopy(old)
    change(new)
    assert diff.report(diff.compare(old, new, diff.Names()), "old") == (kind != "better")
    found = capsys.readouterr().out.splitlines()[:-1]
    assert any(line.split()[0] == kind and text in line for line in found), found
    # what came in the place of a changed entry is new, and nothing else is said
    assert {line.split()[0] for line in found} <= {kind, "new"}


def test_rename_is_no_difference(diff, capsys):
    names = diff.Names({"exactdiffusion.old": "exactdiffusion.room.new", "old": "room.new"},
                       {"tests/test_old.py": "tests/room/test_new.py"}, {"hill": "mountain"})  # fmt: skip
    old, new = evidence(), evidence("room.new", "tests/room/test_new.py")
    for data, word in ((old, "hill"), (new, "mountain")):
        data["records"]["records"][0]["on"] = f"hilly points, {word}"
        data["inputs"]["theory/projection/a.py::test_holds"] = [f"rng(3, {word!r})"]
    new["records"]["records"][0]["test"] = "test_holds_on_points"
    assert diff.report(diff.compare(old, new, names), "old") == 0
    assert capsys.readouterr().out.splitlines() == ["old: 0 lost, 0 worse, 0 changed, 0 better, 0 new"]
    assert diff.report(diff.compare(old, new, diff.Names()), "old") == 1


def test_within_the_class_nothing_moved(diff):
    old = evidence()
    new = copy.deepcopy(old)
    new["records"]["records"][0]["ratio"] *= 1 + 1e-7
    new["records"]["records"][1]["ratio"] = 0.001  # an error within its tolerance
    new["records"]["records"][0]["tolerance"] *= 1.009  # an estimate of an error
    new["accuracies"]["table"]["old.f"]["error"] = 1.9e-12
    new["mutants"][2]["fate"] = "killed by an assertion"
    assert not list(diff.compare(old, new, diff.Names()))


CAUSE = {"pattern": "worse records: projection/a: holds, .*tolerance", "at_most": 1, "why": "the sum has more terms"}


def test_a_cause_explains_its_lines_and_no_other(diff, capsys):
    """A difference with a written cause is listed below it; another kind, other lines, and lines beyond its number count."""
    old = evidence()
    old["records"]["records"].append(record(on="a plane"))

    def status(*rows, field="tolerance", value=1e-6):
        new = copy.deepcopy(old)
        for row in rows:
            new["records"]["records"][row][field] = value
        return diff.report(diff.compare(old, new, diff.Names()), "old", [CAUSE]), capsys.readouterr().out

    code, text = status(0)
    assert code == 0
    assert text.splitlines()[1:] == [
        "1 explained: the sum has more terms",
        "    worse    records: projection/a: holds, ten points (8 eps): tolerance 1e-09, now 1e-06",
        "old: 0 lost, 0 worse, 0 changed, 0 better, 0 new; 1 explained",
    ]
    code, text = status(0, 3)
    assert code == 1
    assert text.endswith("old: 0 lost, 1 worse, 0 changed, 0 better, 0 new; 1 explained\n")
    assert status(1)[0] == 1, "another record"
    assert status(0, field="passed", value=False)[0] == 1, "another loss of the same record"


def test_every_cause_names_a_stored_tag_and_a_kind_of_loss(diff):
    causes = tomllib.loads((ROOT / "benchmarks" / "evidence" / "causes.toml").read_text(encoding="utf-8"))
    for tag, rows in causes.items():
        assert (ROOT / "benchmarks" / "evidence" / f"{tag}.json.gz").exists()
        for cause in rows:
            assert {*cause} == {"pattern", "at_most", "why"}
            assert re.match(r"\(?(lost|worse|changed)\b", cause["pattern"]), cause


def test_part_does_not_ask_for_the_rest(diff):
    old = evidence()
    new = copy.deepcopy(old)
    new["accuracies"]["table"], new["planted"]["caught"], new["mutants"] = {}, {}, new["mutants"][:1]
    for rows in ("records", "comparisons", "shares"):
        new["records"][rows] = []
    assert not list(diff.compare(old, new, diff.Names(), partial=True))
    assert len(list(diff.compare(old, new, diff.Names()))) >= 6


def test_table_of_names_leads_somewhere(diff):
    """Each entry: what moved is still under its old name, or is under its new one."""
    names = diff.Names.read(ROOT / "benchmarks" / "evidence" / "names.toml")
    for old, new in names.paths.items():
        assert any((ROOT / path.partition("::")[0]).exists() for path in (old, new)), (old, new)
    for old, new in names.names.items():
        if old.startswith("exactdiffusion."):
            found = [ROOT / "src" / n.partition(":")[0].replace(".", "/") for n in (old, new)]
            assert any(p.is_dir() or p.with_suffix(".py").is_file() for p in found), (old, new)
    assert names.name("exactdiffusion.measure.wasserstein:w2") == "exactdiffusion.distances.wasserstein:w2"
    assert names.name("measurements.draw") == "papers.log_concavity.measurements.draw"
    assert names.path("tests/planted/plant.py") == "tests/quality/planted/plant.py"
    assert names.text("measure.w2_to_set, prox_backward") == "distances.w2_to_set, proximal_backward"
    assert names.text("flat measure, prox_backwards") == "flat measure, prox_backwards", "parts of names stay"


@pytest.mark.skipif(ROOT is None or not (ROOT / ".git").exists(), reason="asks git for the commit")
def test_evidence_of_this_tree(diff, tmp_path):
    """The commands whose output is read, on the smallest files; and two runs of one tree do not differ."""
    names, how = diff.Names(), {"depth": "quick", "only": "schedules", "count": 1, "seed": 0}
    path = tmp_path / "new.json.gz"
    found = diff.collect(ROOT, ["accuracies", "inputs"], how, names, path)
    table = found["accuracies"]["table"]
    assert found["accuracies"]["green"]
    assert table
    assert all(row["error"] <= row["limit"] and row["count"] >= 1 and row["by"] for row in table.values())
    records = diff.make("records", ROOT, {**how, "only": "eq_tweedie_second_order", "places": None}, names)
    assert records["verdicts"]["foundations/tweedie_covariance"].startswith("verified")
    assert {r["part"] for r in records["records"]} >= {"equal", "control"}
    assert any(key.endswith("::test_evidence_of_this_tree") for key in found["inputs"])
    again = {**found, "records": records}
    assert not list(diff.compare(again, again, names))
    assert diff.read(path) == found
