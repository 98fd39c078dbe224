"""Every planted error of the catalogue makes each of its named checks fail, and one of them by an assertion.

The checks are first run without an error: one that is red anyway, or is not collected, would catch everything.
``pytest tests/quality/planted --deep`` takes the whole catalogue, ``make quality`` every fourth of the faults marked quick.
"""

import os

import plant as planted
import pytest
import server

from exactdiffusion import statements

FAULTS = planted.catalogue()
QUICK = {f.name for f in [f for f in FAULTS if f.quick][::4]}
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="one forked process for each error: needs a POSIX system"),
    # One worker makes the results; pytest 9.2 with pytest-xdist 3.8 ignores this, so `make quality` runs this folder alone.
    pytest.mark.xdist_group("planted"),
]


def _belongs(node, name):
    """Whether the collected test ``node`` is the check ``name`` or one of its parameters."""
    return node == name or node.startswith((f"{name}[", f"{name}::"))


@pytest.fixture(scope="module")
def results(deep):
    """name of the fault (None: no error) -> result of the server."""
    chosen = [f for f in FAULTS if deep or f.name in QUICK]
    checks = sorted({node for f in chosen for node in f.caught_by})
    jobs = [{"fault": None, "nodes": checks}] + [{"fault": planted.fields(f), "nodes": f.caught_by} for f in chosen]
    return dict(zip([None, *(f.name for f in chosen)], server.ask(jobs, deep=deep)))


def test_checks_pass_without_an_error(results):
    clean = results[None]
    assert not clean["error"], clean["error"]
    assert not clean["failed"]
    names = {node for f in FAULTS if f.name in results for node in f.caught_by}
    missing = [name for name in names if not any(_belongs(node, name) for node in clean["passed"])]
    assert not missing, f"named checks that did not run: {missing}"


PARAMETERS = [pytest.param(f, id=f.name, marks=[] if f.name in QUICK else pytest.mark.deep) for f in FAULTS]


@pytest.mark.parametrize("fault", PARAMETERS)
def test_error_is_caught(fault, results, record_property):
    result = results[fault.name]
    record_property("planted", fault.name)
    assert not result["error"], result["error"]
    for name in fault.caught_by:
        red = {node: how for node, how in result["failed"].items() if _belongs(node, name)}
        assert red, f"{name} passes with the error planted: {fault.old!r} -> {fault.new!r} in {fault.target}"
        assert not set(red.values()) & set(planted.BROKEN), f"the patch is broken: {red}"
    # a crash alone shows that the error breaks the library, not that a check looks at the value
    assert set(result["failed"].values()) & set(planted.ASSERTED), f"no assertion fails, only crashes: {result['failed']}"


def test_catalogue_is_wide():
    """The number and the classes of errors that the project promises; each is a change of code (checked by compiling it)."""
    for fault in FAULTS:
        planted.mutated(fault)
    assert len(FAULTS) >= 80
    kinds = (
        "wrong constant, wrong index, wrong sign, swapped schedule, float32 state, missing Jacobian, prox parameter, "
        "noise after the prox, SNR matching, wrong radius, loosened bound, tightened bound, hypothesis dropped, "
        "solver status, noise reused"
    )
    assert {f.kind for f in FAULTS} >= set(kinds.split(", "))


def test_every_statement_has_a_file_that_is_asked_to_see_it_scaled():
    """The long run multiplies every bound by 1.05 and .95: here, that it finds the files that it would run."""
    changes = planted.scaled_bounds()
    assert {c.statement for c in changes} == {s.key for s in statements.all_statements()}
    assert all((planted.ROOT / file).is_file() for c in changes for file in c.caught_by)
    assert planted.scale_free()
