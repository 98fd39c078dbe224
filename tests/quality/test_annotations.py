"""Every module of the package lists what it offers, and every public function of it is annotated, those to which a
contributor adds by a decorator included. `tests/test_house.py` asks the rest in `make test`."""

import ast
import importlib
from pathlib import Path

import pytest
from annotations import unannotated

import exactdiffusion
from exactdiffusion.statements import MODULES as PAPERS
from exactdiffusion.statements import REGISTRY, all_statements

SOURCE = Path(exactdiffusion.__file__).parent
FILES = sorted(
    path
    for path in SOURCE.rglob("*.py")
    if not {"_kernels", "_theory", "_experiments"} & set(path.relative_to(SOURCE).parts)
    and path.name not in ("__main__.py", "_version.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_public_functions_are_annotated(path):
    source = path.read_text(encoding="utf-8")
    assert not unannotated(source)[1]
    assigned = [
        t.id for n in ast.parse(source).body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    ]
    public = not any(part.startswith("_") for part in path.relative_to(SOURCE).parts if part != "__init__.py")
    assert "__all__" in assigned or not public, "add __all__, the list of what users may take"


def test_nothing_is_left_out():
    assert sum(unannotated(path.read_text(encoding="utf-8"))[0] for path in FILES) > 1900


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("def f(x: int) -> int: ...", []),
        ("def f(x: int, *, y=1) -> int: ...", ["f: y"]),
        ("def f(*x): ...", ["f: x", "f: the return value"]),
        ("class A:\n    def g(self, x) -> None: ...\n    def _h(self, x): ...", ["A.g: x"]),
        ("class A:\n    @staticmethod\n    def g(x) -> None: ...\ndef _f(x): ...", ["A.g: x"]),
    ],
)
def test_a_missing_annotation_is_seen(source, missing):
    assert unannotated(source)[1] == missing


def test_the_list_of_a_paper_has_its_statements():
    listed = {name: importlib.import_module(f"exactdiffusion.statements.{name}").__all__ for name in PAPERS}
    without = [s.key for s in all_statements() if s.name not in listed[s.module.rpartition(".")[2]]]
    assert len(REGISTRY) > 100
    assert not without, f"add to __all__ of their modules: {without}"
