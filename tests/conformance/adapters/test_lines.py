"""An adapter has at most 30 lines of code for each family of samplers that it drives."""

import importlib
import importlib.util
import inspect

import pytest

from exactdiffusion._core.paths import project_root
from exactdiffusion.conformance.adapters import declared

if project_root() is None:
    pytest.skip("the count of lines of code is in a checkout", allow_module_level=True)

#: adapter -> families: those of diffusers have levels of their own; `own` drives our samplers and functions like them
FAMILIES = {
    "diffusers": len({family for family, *_ in declared("diffusers")["families"].values()}),
    "k_diffusion": 1,
    "smalldiffusion": 1,
    "plain": 1,
    "own": 2,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_lines_of_code_by_family(name):
    spec = importlib.util.spec_from_file_location("shape", project_root() / "benchmarks" / "shape.py")
    shape = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shape)
    text = inspect.getsource(importlib.import_module(f"exactdiffusion.conformance.adapters.{name}"))
    lines = shape.code_lines(text, shape.ast.parse(text))
    print(f"{name}: {lines} lines of code for {FAMILIES[name]} families")
    assert lines <= 30 * FAMILIES[name]


def test_diffusers_has_six_families():
    assert FAMILIES["diffusers"] == 6
