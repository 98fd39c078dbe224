"""What is committed, what is compared and by whom: expected.toml, paper_checks.md, the records of a run, pytest-xdist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exactdiffusion import statements
from exactdiffusion._core.paths import project_root, theory_dir
from exactdiffusion.checks import expected, ledger, verify
from exactdiffusion.checks.statistics import Family

ROOT = project_root()
needs_checkout = pytest.mark.skipif(ROOT is None, reason="the committed files are in a checkout")


def collected_example(part=1.0):
    """Evidence of two real statements, as their theory files would leave it."""
    collected = ledger.Collected()
    for name in ("projection/beta_star", "foundations/tweedie_denoiser"):
        s = next(s for s in statements.all_statements() if s.key == name)
        collected.statements[s.key] = f"theory/{s.paper}/file.py"
        check = ledger.Check(s, collected)
        check.hypothesis("convex", [True], on="x", value="gap .1")
        check.holds([0.1234567 * part, 0.2], 1.0, tol=0, cause="exact", on="x")
        check.equal(1.0, 1.0, tol=1e-12, cause="rounding: 8 eps", on="x")
        check.tight(0.5, 0.5, tol=0.01, cause="printed digits", on="x")
        check.tight([1.0, 1.0], [1.0, 1.0 + 1e-9], tol=0.01, cause="remainder", on="several constants")
        check.rate(-1.01, -1.0, within=0.05, on="x")
        check.control("the sign", 2.0, 1.0, on="x")
    return collected


# -- the files -------------------------------------------------------------------------------------------------------------


def test_entries_hold_what_every_machine_reproduces(tmp_path):
    entries = expected.summarise(collected_example())
    entry = entries["projection/beta_star"]
    assert entry["values"] == 3
    assert entry["hypotheses"] == ["convex"]
    assert entry["controls"] == ["the sign"]
    assert entry["constants"] == [{"on": "x", "value": 0.5, "within": 0.01, "class": "printed digits"}]
    assert entry["exponents"] == [{"on": "x", "value": -1.0, "within": 0.05, "class": "remainder"}]
    for paper in ("projection", "foundations"):
        (tmp_path / "theory" / paper).mkdir(parents=True)
    expected.write(entries, tmp_path / "theory", tmp_path / "page.md")
    assert expected.read(tmp_path / "theory") == entries
    assert expected.render(entries) == (tmp_path / "page.md").read_text(encoding="utf-8")


def test_a_digit_does_not_hang_on_the_last_bit():
    for value in (0.8125, 0.125, 2.5e-7, 1 / 3):
        around = {expected.significant(value * (1 + k * 2.0**-52), 3) for k in (-2, -1, 0, 1, 2)}
        assert len(around) == 1


def changed(entry, place, **values):
    rows = [dict(row) for row in entry["records"]]
    rows[place] |= values
    return rows


def test_every_kind_of_difference_is_named():
    entries = expected.summarise(collected_example())
    key = "projection/beta_star"
    assert expected.differences(entries, entries) == []
    cases = [
        ("verdict", "FAILED", "verdict: .* is expected, this run has FAILED"),
        ("values", 4, "values: 3 is expected, this run has 4"),
        ("controls", [], 'controls: "the sign" is expected, and was not recorded'),
        ("controls", ["the sign", "a factor"], 'controls: "a factor" was recorded, and is not expected'),
        ("hypotheses", ["concave"], 'hypotheses: "convex" is expected'),
        ("constants", [{**entries[key]["constants"][0], "value": 0.51}], "constants: .*value = 0.51.* was recorded"),
        ("constants", [{**entries[key]["constants"][0], "within": 0.02}], "constants: .*within = 0.02.* was recorded"),
        ("exponents", [], "exponents: .*value = -1.0.* is expected"),
        ("records", changed(entries[key], 0, count=7), "records: control, exact: 1 are expected, this run has 7"),
        ("records", changed(entries[key], 3, loosest=1.0), "records: .*tolerances of at most .*, this run has 1"),
        ("records", entries[key]["records"][1:], "records: control, exact: 1 are expected, this run has 0"),
    ]
    for name, value, message in cases:
        lines = expected.differences(entries, {**entries, key: {**entries[key], name: value}})
        assert any(re.match(f"{key}: {message}", line) for line in lines), (name, lines)
    assert expected.differences(entries, {}, every=False) == []
    less = {"foundations/tweedie_denoiser": entries["foundations/tweedie_denoiser"]}
    assert expected.differences(entries, less) == [f"{key}: is expected, and took no part in this run"]
    assert expected.differences(less, entries) == [f"{key}: took part in this run, and is not in expected.toml"]


def test_a_part_of_a_run_may_lack_records_and_find_nothing_else():
    entries = expected.summarise(collected_example())
    key = "projection/beta_star"
    fewer = {key: {**entries[key], "values": 2, "controls": [], "hypotheses": []}}
    assert expected.differences(entries, fewer, every=False, entire=False) == []
    for name, value in (("values", 4), ("controls", ["another"]), ("verdict", "FAILED")):
        assert len(expected.differences(entries, {key: {**fewer[key], name: value}}, every=False, entire=False)) == 1


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "projection" / "expected.toml"
    path.parent.mkdir()
    for text, message in (("[a", "not TOML"), ("[a]\nvalues = 3\n", "without a verdict")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message) as error:
            expected.read(tmp_path)
        assert "expected.toml" in str(error.value)


def test_values_that_are_right_times_any_factor(tmp_path):
    """Read from the catalogue of a checkout; a malformed entry names the file."""
    assert expected.scale_free(tmp_path) is None
    folder = tmp_path / "tests" / "quality" / "planted"
    folder.mkdir(parents=True)
    path = folder / "scale_free.toml"
    path.write_text('[[value]]\nkey = "a/b"\npart = 2\nreason = "zero"\n', encoding="utf-8")
    assert expected.scale_free(tmp_path) == {"a/b": ["part 2 (zero)"]}
    path.write_text('[[value]]\nkey = "a/b"\npart = 2\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"scale_free\.toml: reason of"):
        expected.scale_free(tmp_path)


@needs_checkout
def test_the_committed_page_is_made_from_the_committed_files():
    entries = expected.read()
    filed = {s.key for s in statements.all_statements()}
    assert entries.keys() <= filed, "gone; `exactdiffusion verify --update` writes the files anew"
    assert len(entries) >= 135  # one that is not there yet is named by `verify --check` and by the long run
    page = (ROOT / "paper_checks.md").read_text(encoding="utf-8")
    assert page == expected.render(entries)
    assert len(page.splitlines()) <= 400
    cells = [cell for line in page.splitlines() if line.startswith("|") for cell in line.split(" | ")]
    assert max(map(len, cells)) <= 200
    assert not re.search(r"\d s \||on this machine", page), "run times belong to a run"


def test_nothing_in_theory_reads_a_committed_result():
    for path in theory_dir().rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "paper_checks" not in text, path
        assert "expected.toml" not in text, path


# -- the records of a run --------------------------------------------------------------------------------------------------


def test_records_come_back(tmp_path):
    collected = collected_example()
    run = {**dict.fromkeys(verify.RUN, False), "seed": 0, "passed": True}
    verify.write_records(tmp_path / "new", collected, ledger.pack(collected, Family()), run)
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"records.json", "measured.md", "ledger.toml"}
    again, back = verify.read_records(tmp_path / "new")
    assert again == run
    assert repr(back) == repr(collected)
    measured = (tmp_path / "new" / "measured.md").read_text(encoding="utf-8")
    for text in ("hypothesis: convex (gap .1)", "worst ratio 0.2", "ratio 0.5", "slope -1.010", "control: without the sign"):
        assert text in measured, text
    (tmp_path / "new" / "records.json").write_text('{"format": 0}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"from: got .*of this version"):
        verify.read_records(tmp_path / "new")
    with pytest.raises(ValueError, match=r"expected a folder with records.json"):
        verify.read_records(tmp_path)


def test_evidence_is_summed_up_by_cause():
    check, collected = ledger.Check(statements.all_statements()[0], ledger.Collected()), None
    collected = check.collected
    for on in ("x", "y"):
        check.hypothesis("g (L + 1/2) <= 1/2", [True, True], on=on)
        check.hypothesis("unique", [True], on=on, value=f"gap at {on}")
    check.holds(0.5, 1.0, tol=0, cause="exact", on="x", of="a lemma")
    check.rate(-1.0, -1.0, within=0.1, on="x", detail="ratios 2, 2")
    check.tight(0.5, 0.5, tol=0, cause="exact", on="x")
    hypothesis, unique, holds, tight, rate = verify.evidence_lines(collected.of(check.statement.key))
    assert hypothesis == "hypothesis: g (L + 1/2) <= 1/2: holds on all of 4 cases, 2 instances"
    assert unique == "hypothesis: unique: holds on all of 2 cases, 2 instances"
    assert holds.endswith("about a lemma, not the statement itself")
    assert tight.endswith("expected 0.5")
    assert "slope -1.000, expected -1, ratios 2, 2, within" in rate


# -- verify ----------------------------------------------------------------------------------------------------------------


def test_verify_refuses_arguments_that_exclude_each_other(tmp_path):
    for arguments, message in (
        ({"names": ["no such statement"]}, "names"),
        ({"names": ["projection"], "update": True}, "update"),
        ({"deep": True, "check": True}, "check"),
        ({"deep": True, "quick": True}, "quick"),
        ({"source": tmp_path}, "from: got --from"),
        ({"source": tmp_path, "check": True}, r"from: got .*expected a folder with records.json"),
    ):
        with pytest.raises(ValueError, match=message):
            verify.verify(**arguments)


def run(*arguments, cwd, **environment):
    """A process of its own on a copy of the tree."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd / "src"), **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The parts of a checkout that a theory run needs."""
    if ROOT is None:
        pytest.skip("the committed files are in a checkout")
    home = tmp_path_factory.mktemp("copy")
    for name in ("src", "theory"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "paper_checks.md"):
        shutil.copy(ROOT / name, home / name)
    return home


VERIFY = ("-m", "exactdiffusion", "verify")
FILE = "eq_tweedie_second"


@needs_checkout
def test_only_check_compares(copy):
    """With falsified and with absent committed files a run passes; `verify --check` fails and names the record."""
    pytest.importorskip("flint", reason="--check needs it")
    committed, page = copy / "theory" / "foundations" / "expected.toml", copy / "paper_checks.md"
    text = committed.read_text(encoding="utf-8")
    code, out = run(*VERIFY, FILE, "--check", cwd=copy)
    assert code == 0, out
    false = text.replace("1/scale^2 (1/scale instead)", "1/scale^3 (1/scale instead)")
    assert false != text
    committed.write_text(false, encoding="utf-8")
    page.write_text("false\n", encoding="utf-8")
    code, out = run(*VERIFY, FILE, "--check", cwd=copy)
    assert code == 1, out
    assert 'foundations/tweedie_covariance: controls: "1/scale^2 (1/scale instead)" was recorded, and is not expected' in out
    code, out = run(*VERIFY, FILE, cwd=copy)
    assert code == 0, out
    page.unlink()
    for path in (copy / "theory").glob("*/expected.toml"):
        path.unlink()
    code, out = run("-m", "pytest", "-q", "theory/foundations/eq_tweedie_second_order.py", cwd=copy)
    assert code == 0, out
    code, out = run(*VERIFY, FILE, "--check", cwd=copy)
    assert code == 1
    assert "no expected.toml" in out


@needs_checkout
def test_workers_change_nothing(tmp_path):
    """The same records, shares and verdicts in one process and with two workers, which take the files in another order."""
    pytest.importorskip("xdist", reason="pytest-xdist is in the extra test")
    files = ["theory/foundations/eq_tweedie.py", "theory/projection/prop_3_2_high_noise.py",
             "theory/projection/prop_3_1_with_high_probability.py"]  # fmt: skip
    seen = []
    for n, order in ((0, 1), (2, -1)):
        folder = tmp_path / f"{n}{order}"
        code, out = run("-m", "pytest", "-q", "-n", str(n), "--dist", "loadgroup", "--records", str(folder), *files[::order],
                        cwd=ROOT)  # fmt: skip
        assert code == 0, out
        data = json.loads((folder / "records.json").read_text(encoding="utf-8"))
        shares = sorted(map(tuple, data["shares"]))
        assert shares
        assert "false-alarm probability of this run" in out
        assert "foundations/tweedie_denoiser" in out
        records = sorted(json.dumps({**r, "test": ""}, sort_keys=True) for r in data["records"])
        seen.append((records, shares, (folder / "ledger.toml").read_bytes()))
    assert all(one == seen[0] for one in seen)


@needs_checkout
def test_a_killed_worker_fails_the_run(tmp_path):
    pytest.importorskip("xdist", reason="pytest-xdist is in the extra test")
    path = tmp_path / "test_crash.py"
    path.write_text("import os\n\ndef test_fine():\n    pass\n\ndef test_dies():\n    os._exit(0)\n", encoding="utf-8")
    code, out = run("-m", "pytest", "-q", "-n", "1", "-p", "exactdiffusion.checks.pytest_plugin", "-c", os.devnull,
                    f"--rootdir={tmp_path}", str(path), cwd=ROOT)  # fmt: skip
    assert code != 0, out
    assert "was lost" in out


@pytest.mark.parametrize(("complete", "quick"), [(True, False), (True, True), (False, False), (False, True)])
def test_only_a_complete_run_must_have_all_records(complete, quick, monkeypatch, capsys):
    """A quick run has a record less than what is committed, and that is no difference; a record more always is."""
    committed = {"a/b": {"verdict": "verified", "controls": ["x", "y"]}}
    monkeypatch.setattr(expected, "read", lambda root: committed)
    run = {"deep": False, "quick": quick, "selected": quick, "complete": complete}
    for controls, differs in ((["x", "y"], False), (["x"], not quick), (["x", "y", "z"], True)):
        found = {"a/b": {"verdict": "verified", "controls": controls}}
        monkeypatch.setattr(expected, "summarise", lambda collected, found=found: found)
        assert verify._compare(None, run, Path("theory")) == differs
        assert ("NOT" in capsys.readouterr().out) == differs


def test_quick_keeps_the_first_case_of_each_test(tmp_path):
    folder = tmp_path / "records"
    code, out = run(*VERIFY, "_template", "--quick", "--records", str(folder), cwd=Path(ROOT or "."))
    assert code == 0, out
    assert json.loads((folder / "records.json").read_text(encoding="utf-8"))["run"]["quick"] is True


@pytest.mark.deep
@needs_checkout
def test_two_runs_write_the_same_ledger(tmp_path):
    """Two processes of their own, with other hash seeds, give the same bytes."""
    command = [sys.executable, "-m", "exactdiffusion", "verify", "--records"]
    runs = [
        subprocess.Popen(
            [*command, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in ("1", "2")
    ]
    for process in runs:
        text, _ = process.communicate()
        assert process.returncode == 0, text[-3000:]
    first, second = ((tmp_path / seed / "ledger.toml").read_bytes() for seed in ("1", "2"))
    assert len(first) > 50_000
    assert first == second
