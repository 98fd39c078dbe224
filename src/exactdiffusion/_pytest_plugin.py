"""Pytest plugin of the theory run: collects theory files, gives tests the fixture ``check``, judges at the end.

Loaded by ``-p exactdiffusion._pytest_plugin`` (pyproject.toml of the checkout, and ``exactdiffusion verify`` anywhere).
"""

import time

import pytest

from .chance import LEVEL, SHARE, Family, Share
from .ledger import Check, Collected, theory_files, verdict_table

PATTERNS = ("test_*.py", "thm_*.py", "prop_*.py", "lem_*.py", "def_*.py", "eq_*.py", "sym_*.py", "_template.py")
KEY = pytest.StashKey[Collected]()
FAMILY = pytest.StashKey[Family]()
PASSED = pytest.StashKey[bool]()


def pytest_addoption(parser):
    group = parser.getgroup("exactdiffusion")
    group.addoption("--deep", action="store_true", help="run the long variants too")
    group.addoption("--seed", type=int, default=0, help="other seeds for the statistical checks (0: those written there)")
    group.addoption("--no-ledger-check", action="store_true", help="do not compare paper_checks.md with this run")
    group.addoption("--no-verdict-table", action="store_true", help="do not print the verdict table at the end")


def pytest_configure(config):
    if KEY not in config.stash:
        config.stash[KEY] = Collected()
    shift = config.getoption("--seed")
    if shift < 0:
        raise pytest.UsageError(f"--seed: got {shift}; expected an integer >= 0")
    config.stash[FAMILY] = Family(shift)
    for pattern in PATTERNS:
        config.addinivalue_line("python_files", pattern)
    config.addinivalue_line("markers", "deep: long variants, run with --deep")
    config.addinivalue_line("markers", "gpu: needs a GPU; skipped elsewhere")
    config.addinivalue_line("filterwarnings", "error")


def _statement(item):
    return getattr(getattr(item, "module", None), "STATEMENT", None)


def _relative(path):
    parts = path.parts
    for root in ("theory", "_theory"):
        if root in parts:
            return "/".join(("theory", *parts[len(parts) - parts[::-1].index(root) :]))
    return path.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--deep"):
        skip = pytest.mark.skip(reason="deep variant: run with --deep")
        for item in items:
            if item.get_closest_marker("deep"):
                item.add_marker(skip)
    items.sort(key=lambda item: item.get_closest_marker("ledger_last") is not None or item.path.name == "test_ledger.py")
    collected = config.stash[KEY]
    for item in items:
        statement = _statement(item)
        if statement is None:
            continue
        # a sym_ file supports a statement; the file of the statement itself is the other one
        if statement.key not in collected.statements or not item.path.name.startswith("sym_"):
            collected.statements[statement.key] = _relative(item.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    start = time.perf_counter()
    try:
        return (yield)
    finally:
        statement = _statement(item)
        if statement is not None:
            seconds = item.config.stash[KEY].seconds
            seconds[statement.key] = seconds.get(statement.key, 0.0) + time.perf_counter() - start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    statement = _statement(item)
    if report.failed and statement is not None:
        item.config.stash[KEY].failed.add(statement.key)
    return report


def pytest_sessionfinish(session, exitstatus):
    """A run whose statistical checks together may fail by chance with more than the promised probability fails."""
    family = session.config.stash[FAMILY]
    if exitstatus == pytest.ExitCode.OK and (family.level > LEVEL or family.weak):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash[FAMILY].summary().splitlines():
        terminalreporter.write_line(line)
    collected = config.stash[KEY]
    if collected.records and not config.getoption("--no-verdict-table"):
        terminalreporter.section("theorem checks")
        terminalreporter.write_line(verdict_table(collected))


@pytest.fixture(scope="session")
def deep(request):
    """True when the long variants run."""
    return request.config.getoption("--deep")


@pytest.fixture
def chance(request):
    """``chance(comparisons=3)``: a :class:`exactdiffusion.chance.Share` of the run's false-alarm probability."""
    family, taken = request.config.stash[FAMILY], []

    def take(*, comparisons, share=SHARE, judge=None):
        taken.append(Share(family, request.node.nodeid, comparisons, share, judge))
        return taken[-1]

    yield take
    if request.node.stash.get(PASSED, False):
        for share in taken:
            share.close()


@pytest.fixture
def check(request, chance):
    """The :class:`exactdiffusion.ledger.Check` of the file's ``STATEMENT``."""
    statement = _statement(request.node)
    if statement is None:
        name = request.node.path.name
        raise pytest.UsageError(f"{name}: a theory file sets STATEMENT = bounds.<paper>.<function>.statement")
    return Check(statement, request.config.stash[KEY], request.node.name, chance)


@pytest.fixture
def ledger_run(request):
    """Evidence of this session, or a skip when not every theory file took part in full."""
    config = request.config
    collected = config.stash[KEY]
    root = request.node.path.parent
    expected = {_relative(f) for f in theory_files(root)}
    ran = {_relative(item.path) for item in request.session.items if _statement(item) is not None}
    selected = config.getoption("keyword") or config.getoption("markexpr") or any("::" in a for a in config.args)
    if selected or not expected <= ran:
        missing = ", ".join(sorted(expected - ran)) or "a selection was made"
        pytest.skip(f"the ledger is judged on complete runs of theory/; not in this one: {missing}")
    return collected
