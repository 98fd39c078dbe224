"""Every public oracle and closed form has a reference: references/index.toml names it, and a complete run has used it.

The public names come from the code (`references_used.public`). A name in the index that is no longer public fails; so does
a reference whose test does not exist, or that has recorded no accuracy in a run of all of them. A public name that is not in
the index yet does not fail: the long run names it, with the line to add (`additions`).
"""

import ast

import pytest
import references_used

import exactdiffusion

INDEX = references_used.INDEX
ROOT = INDEX.parents[2]
#: modules that compute nothing of their own: data, files, records of what the others computed
OTHERS = ("datasets",)
#: kinds of references; "statistics" compares draws with exact moments, and records a false-alarm level instead
KINDS = ("50 digits", "differences", "quadrature", "second algorithm", "published", "theory", "statistics")


@pytest.fixture(scope="module")
def index():
    return references_used.index()


def takes_a_share(text, function):
    """Whether the function in this source asks for a part of the false-alarm probability."""
    found = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef) and n.name == function]
    return any("chance(comparisons=" in ast.unparse(n) for n in found)


def test_every_module_is_looked_at():
    top = {module.partition(".")[0] for module in references_used.MODULES} - {"_core", "papers"}
    assert top | set(OTHERS) == set(exactdiffusion._MODULES)


def test_every_name_is_public(index):
    named = {*index["reference"], *index["none"]}
    gone = sorted(named - references_used.public())
    assert not gone, f"in {INDEX.name}, but not public: {gone}"
    both = sorted(set(index["reference"]) & set(index["none"]))
    assert not both, f"a reference and a reason to have none: {both}"


def test_entries_are_in_order(index):
    for name, reason in index["none"].items():
        assert isinstance(reason, str), name
        assert len(reason.split()) >= 2, f"{name}: a reason, please"
    for name, (kind, node) in index["reference"].items():
        assert kind in KINDS, name
        path, _, function = node.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {function}(" in text or kind == "theory", f"{name}: {node}"
        if kind == "theory":
            statement = name.rpartition(".")[2]
            assert f".{statement}.statement" in text, f"{name}: {path} is not the file of the statement"
        if kind == "statistics":
            assert takes_a_share(text, function), f"{name}: {node} compares no draws at a stated level"
    for section in ("reference", "none"):
        assert list(index[section]) == sorted(index[section]), f"[{section}]: in alphabetical order, please"


def test_a_reference_that_was_not_used_is_found():
    """The judge of complete runs: it names what recorded nothing, and what recorded without standing in the index."""
    index = {"reference": {"laws.A.score": ["differences", "tests/test_a.py::test_score"],
                           "statements.p.f": ["theory", "theory/p/thm_f.py"]}}  # fmt: skip
    nodes = {"tests/test_a.py::test_score", "theory/p/thm_f.py::test_holds"}
    used = {("laws.A.score", "tests/test_a.py::test_score"), ("statements.p.f", "theory/p/thm_f.py")}
    assert references_used.unused(index, nodes, used, set()) == []
    assert references_used.unused(index, nodes, used - {("statements.p.f", "theory/p/thm_f.py")}, set()) == [
        "statements.p.f: theory/p/thm_f.py recorded no accuracy for it"]  # fmt: skip
    assert references_used.unused(index, nodes - {"theory/p/thm_f.py::test_holds"}, set(), set()) == [], "not complete"
    assert references_used.unused(index, nodes, used | {("laws.B.scores", "x")}, set()) == [
        "laws.B.scores: an accuracy was recorded, and there is no such public name"]  # fmt: skip
    new = ("laws.PointCloud.project", "x")  # public, and not in this index: the long run says so, and nothing fails
    assert references_used.unused(index, nodes, used | {new}, set()) == []
    skipped = {"tests/test_a.py::test_score"}
    assert references_used.unused(index, nodes, {("statements.p.f", "theory/p/thm_f.py")}, skipped) == []
