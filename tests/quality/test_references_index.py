"""Every public oracle and closed form has a reference: references/index.toml names it, and a complete run has used it.

The public names come from the code: ``__all__`` (or the functions of a module that has none), the public methods of their
classes, the methods that a law has once it is noised, the registries. What is not there, or is there and no longer public,
fails; so does a reference whose test does not exist, or that has recorded no accuracy in a run of all of them.
"""

import ast
import functools
import importlib
import inspect

import pytest
import references_used

import exactdiffusion
from exactdiffusion import laws, statements
from exactdiffusion import output_laws as package

INDEX = references_used.INDEX
ROOT = INDEX.parents[2]
#: modules of oracles and closed forms
MODULES = (
    "laws", "prox", "papers.log_concavity.measurements", "papers.log_concavity.certificates", "papers.conditional_mean",
    "distances", "papers.log_concavity.walk_jump", "papers.projection.adversaries", "papers.proximal.budgets", "schedules",
    "_core.random", "samplers", "output_laws", *(f"output_laws.{name}" for name in (*package.__all__, "langevin")
                                                 if inspect.ismodule(getattr(package, name, package))),
    *(f"statements.{name}" for name in statements.MODULES),
)  # fmt: skip
#: modules that compute nothing of their own: data, files, records of what the others computed
OTHERS = ("datasets",)
#: kinds of references; "statistics" compares draws with exact moments, and records a false-alarm level instead
KINDS = ("50 digits", "differences", "quadrature", "second algorithm", "published", "theory", "statistics")


def members(cls):
    """Public methods and properties that the package itself defines."""
    kinds = (property, functools.cached_property, classmethod, staticmethod)
    own = (c for c in cls.__mro__ if c.__module__.startswith("exactdiffusion"))
    return {
        name
        for c in own
        for name, value in vars(c).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    }


def noised_members(cls):
    """Those of a law's noised forms, over all examples of the law."""
    examples = (make() for make in laws.REGISTRY.values())
    found = {type(law.noised(0.8, 0.5)) for law in examples if type(law) is cls}
    return {name for noised in found for name in members(noised)}


def public():
    """Dotted names, without the package."""
    names = set()
    for module in MODULES:
        home = importlib.import_module(f"exactdiffusion.{module}")
        own = [n for n, v in vars(home).items() if not n.startswith("_") and getattr(v, "__module__", "") == home.__name__]
        for name in getattr(home, "__all__", own):
            value = getattr(home, name)
            if inspect.isclass(value):
                if not issubclass(value, Exception):
                    names |= {f"{module}.{name}.{member}" for member in members(value)}
                    if "__call__" in vars(value):
                        names.add(f"{module}.{name}")
                if module == "laws":
                    names |= {f"{module}.{name}.noised.{member}" for member in noised_members(value)}
            elif callable(value):
                names.add(f"{module}.{name}")
    return names


@pytest.fixture(scope="module")
def index():
    return references_used.index()


def takes_a_share(text, function):
    """Whether the function in this source asks for a part of the false-alarm probability."""
    found = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef) and n.name == function]
    return any("chance(comparisons=" in ast.unparse(n) for n in found)


def test_every_module_is_looked_at():
    top = {module.partition(".")[0] for module in MODULES} - {"_core", "papers"}
    assert top | set(OTHERS) == set(exactdiffusion._MODULES)


def test_nothing_public_is_missing(index):
    named = {*index["reference"], *index["none"]}
    missing, gone = sorted(public() - named), sorted(named - public())
    assert not missing, f"no reference and no reason in {INDEX.name}: {missing}"
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
    assert references_used.unused(index, nodes, used | {("laws.B.score", "x")}, set()) == [
        "laws.B.score: an accuracy was recorded, and references/index.toml does not name it"]  # fmt: skip
    skipped = {"tests/test_a.py::test_score"}
    assert references_used.unused(index, nodes, {("statements.p.f", "theory/p/thm_f.py")}, skipped) == []
