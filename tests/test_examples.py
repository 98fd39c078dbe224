"""The examples of the docstrings, the lines after ``>>>``, print what they show.

There is one test per module. An example may use the names of its module, ``np`` and ``ed``, and write files into an empty
folder. It has no network and no data folder, and what it registers is taken away again.
"""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import exactdiffusion as ed
from exactdiffusion import datasets, laws, samplers, schedules, statements
from exactdiffusion.studies import metrics

SOURCE = Path(ed.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
REGISTRIES = (
    datasets.TARGETS,
    laws.registry.REGISTRY,
    metrics.METRICS,
    samplers.REGISTRY,
    schedules.REGISTRY,
    statements.REGISTRY,
)
#: extras that the tests do not install: without them the module cannot be imported
OPTIONAL = {"laws._kernels.compiled": "numba"}


class Finder(doctest.DocTestFinder):
    """Finds decorated functions too: they belong to the module that names them, and their code to the decorator's."""

    def _from_module(self, module, value):
        return isinstance(value, property) or getattr(value, "__module__", None) == module.__name__


def _modules():
    """Dotted name (without the package) and number of ``>>>`` of each module that shows an example."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        count = len(re.findall(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))
        if count and parts[0] not in ("_theory", "_experiments"):  # copies of theory/ and experiments/ in a wheel
            yield pytest.param(".".join(parts), count, id=".".join(parts))


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """An empty folder to work in, no data folder, no network; registries as they were before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXACTDIFFUSION_DATA", str(tmp_path / "absent"))
    monkeypatch.setattr("urllib.request.urlopen", None)
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before):
        registry.clear()
        registry.update(entries)


@pytest.mark.parametrize(("name", "count"), list(_modules()))
def test_examples(name, count, clean):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    module = importlib.import_module(f"exactdiffusion.{name}".removesuffix(".__init__"))
    report, runner, found = [], doctest.DocTestRunner(optionflags=FLAGS), 0
    for test in Finder().find(module, module.__name__, extraglobs={"np": np, "ed": ed}):
        found += len(test.examples)
        runner.run(test, out=report.append)
    assert not runner.failures, "\n".join(report)
    assert found == count, f"{count} lines begin with >>>, and {found} of them are in docstrings that doctest finds"


def test_a_wrong_example_fails():
    """The judge on examples of which one is wrong."""
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n2\n>>> round(np.pi, 3)\n3.141\n", {"np": np}, "two", None, 0)
    report = []
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append).failed == 1
    assert "3.142" in "".join(report)
