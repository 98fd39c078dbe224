"""Every bound of the library, 5 % too large or too small: its theory file sees it.

The value of each statement's function is multiplied by 1.05 and by .95, each part of a pair or a dictionary by itself, and
the theory file of the statement runs up to its first failed assertion. That counts as seen, a crash does not.
Values that are right times any factor are listed in ``scale_free.toml`` with the reason.

Runs with ``--deep``: one process for each change, about 350.
"""

import os

import plant as planted
import pytest
import server

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="one forked process for each error: needs a POSIX system"),
]
#: seconds for one change; the slowest needs 5 of a core, all of them together 6 minutes
LIMIT = 240


def pytest_generate_tests(metafunc):
    if "change" in metafunc.fixturenames:
        changes = planted.scaled_bounds() if metafunc.config.getoption("--deep") else []
        free = planted.scale_free() if changes else {}
        wanted = metafunc.function is test_scale_free_value_is_not_seen
        chosen = [c for c in changes if ((c.statement, c.part + 1) in free) == wanted]
        metafunc.parametrize("change", chosen, ids=[c.name for c in chosen])


@pytest.fixture(scope="module")
def results():
    """name of the change -> result of the server."""
    changes = planted.scaled_bounds()
    jobs = [{"fault": planted.fields(c), "nodes": c.caught_by, "first": True, "limit": LIMIT} for c in changes]
    return {c.name: r for c, r in zip(changes, server.ask(jobs))}


def test_error_is_caught(change, results):
    result = results[change.name]
    assert not result["error"], result["error"]
    assert planted.seen_by(result), f"{change.caught_by} see no change: {len(result['passed'])} pass, {result['failed']}"


def test_scale_free_value_is_not_seen(change, results):
    """An entry of the list that a check does see is stale; a crash is no verdict either way."""
    result = results[change.name]
    assert not result["error"], result["error"]
    assert not result["failed"], f"seen, so it does not belong in scale_free.toml: {result['failed']}"
    assert result["passed"]


def test_checks_pass_without_an_error(results):
    """A check that is red anyway would see everything: those that saw a change, with none planted."""
    seen = sorted({planted.seen_by(r) for r in results.values()} - {None})
    jobs = [{"fault": None, "nodes": seen[i::8]} for i in range(8)]
    for clean in server.ask(jobs):
        assert not clean["error"], clean["error"]
        assert not clean["failed"], clean["failed"]
        assert clean["passed"]
