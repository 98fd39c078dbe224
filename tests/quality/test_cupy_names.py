"""Every function of the array namespace that the library calls exists in CuPy; to see one that does not needs no GPU.

The names are those of the installed CuPy (it imports without a GPU), or else of the committed list that ``_cupy_names.py``
made from its wheel. What the functions do there is for the tests marked ``gpu``.
"""

import ast
import importlib.util
import json
import runpy
from pathlib import Path

import pytest

import exactdiffusion

SOURCE = Path(exactdiffusion.__file__).parent
HERE = Path(__file__).parent
# The name that array namespaces go by in the library.
HOLDERS = {"xp"}
OF_PYTHON = {"__name__"}


def called(text):
    """(line, dotted name) of everything that the source text takes from an array namespace."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute):
            continue
        chain, root = [], node
        while isinstance(root, ast.Attribute):
            chain.append(root.attr)
            root = root.value
        chain.reverse()
        if isinstance(root, ast.Call) and getattr(root.func, "id", getattr(root.func, "attr", "")) == "array_namespace":
            yield node.lineno, ".".join(chain)
        elif isinstance(root, ast.Name):
            whole = [root.id, *chain]
            holder = next((i for i, part in enumerate(whole[:-1]) if part in HOLDERS), None)
            if holder is not None:
                yield node.lineno, ".".join(whole[holder + 1 :])


def _committed():
    record = json.loads((HERE / "cupy_names.json").read_text(encoding="utf-8"))
    return {module: set(names.split()) for module, names in record["names"].items()}


def _installed():
    return {k: set(v) for k, v in runpy.run_path(str(HERE / "_cupy_names.py"))["names"]()["names"].items()}


def missing(text, names):
    """Those of `called` that CuPy does not have."""
    out = []
    for line, dotted in called(text):
        module, _, name = dotted.rpartition(".")
        if name not in OF_PYTHON and name not in names.get(module, ()) and dotted not in names:
            out.append(f"line {line}: {dotted}")
    return out


@pytest.mark.parametrize("read", [_committed, _installed])
def test_every_name_exists_in_cupy(read):
    if read is _installed and importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed (pip install exactdiffusion[gpu]); the committed list of its names was checked")
    names = read()
    assert len(names[""]) > 300
    checked = 0
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        absent = missing(text, names)
        assert not absent, f"{path.relative_to(SOURCE)}, not in CuPy: {', '.join(absent)}"
        checked += sum(1 for _ in called(text))
    assert checked > 500


def test_a_name_that_cupy_lacks_is_seen():
    names = _committed()
    assert missing("y = xp.longdouble(x)", names) == ["line 1: longdouble"]
    assert missing("y = xp.linalg.polar(x)", names) == ["line 1: linalg.polar"]
    assert missing("y = self.xp.matvec_of(x)", names) == ["line 1: matvec_of"]
    assert missing("y = array_namespace(x).geomspace_of(1, 2)", names) == ["line 1: geomspace_of"]
    assert missing("y = xp.linalg.eigh(xp.matmul(a, b))", names) == []
