"""Pytest plugin of the theory run: collects theory files, gives tests the fixture ``check``, judges at the end.

Loaded by ``-p exactdiffusion.checks.pytest_plugin`` (pyproject.toml of the checkout, and ``exactdiffusion verify``
anywhere). With pytest-xdist each worker sends its records when it ends, and the controller alone judges; a run in
which a worker is lost fails.
"""

import json
import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .._core.threads import one_thread

__all__ = [
    "FAMILY",
    "PASSED",
    "PATTERNS",
    "RUN",
    "Run",
    "chance",
    "check",
    "complete",
    "deep",
    "problems",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

one_thread()

from .. import statements  # noqa: E402 - NumPy is imported after the number of threads is set
from .expected import evaluated_once  # noqa: E402
from .ledger import Check, Collected, missing_parts, pack, unpack, verdict_table, worst_laws  # noqa: E402
from .statistics import LEVEL, SHARE, Family, Share  # noqa: E402
from .verify import FILES, KEY  # noqa: E402

PATTERNS = ("test_*.py", "thm_*.py", "prop_*.py", "lem_*.py", "def_*.py", "eq_*.py", "sym_*.py", "_template.py")
FAMILY = pytest.StashKey[Family]()
PASSED = pytest.StashKey[bool]()


@dataclass
class Run:
    """Extent of a session: its theory files, whether they are a selection, and workers that were lost."""

    files: set[str] = field(default_factory=set)
    selected: bool = False
    lost: list[str] = field(default_factory=list)


RUN = pytest.StashKey[Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exactdiffusion")
    group.addoption("--deep", action="store_true", help="run the long variants too")
    group.addoption("--quick", action="store_true", help="of each theory test run the first case only")
    group.addoption("--seed", type=int, default=0, help="other seeds for the statistical checks (0: those written there)")
    group.addoption("--records", metavar="DIR", help="write what the theory checks measured into this folder")
    group.addoption("--no-verdict-table", action="store_true", help="do not print the verdict table at the end")


def pytest_configure(config: pytest.Config) -> None:
    if KEY not in config.stash:
        config.stash[KEY] = Collected()
    shift = config.getoption("--seed")
    if shift < 0:
        raise pytest.UsageError(f"--seed: got {shift}; expected an integer >= 0")
    if config.getoption("--quick") and config.getoption("--deep"):
        raise pytest.UsageError("--quick: got --deep beside it; expected one of the two")
    if config.getoption("--records") and not hasattr(config, "workerinput"):
        for name in FILES:  # records of an earlier run must not pass for this one's
            Path(config.getoption("--records"), name).unlink(missing_ok=True)
    config.stash[FAMILY] = Family(shift)
    config.stash[RUN] = Run()
    for pattern in PATTERNS:
        config.addinivalue_line("python_files", pattern)
    config.addinivalue_line("markers", "deep: long variants, run with --deep")
    config.addinivalue_line("markers", "gpu: needs a GPU; skipped elsewhere")
    config.addinivalue_line("markers", "xdist_group(name): tests that pytest-xdist gives to one worker")


# -- collecting ------------------------------------------------------------------------------------------------------------


def _statement(item):
    return getattr(getattr(item, "module", None), "STATEMENT", None)


def _relative(path):
    below = [i for i, part in enumerate(path.parts) if part in ("theory", "_theory")]
    return "/".join(("theory", *path.parts[below[-1] + 1 :])) if below else path.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--deep"):
        skip = pytest.mark.skip(reason="deep variant: run with --deep")
        for item in items:
            if item.get_closest_marker("deep"):
                item.add_marker(skip)
    if config.getoption("--quick"):
        _keep_first_cases(config, items)
    collected, run, options = config.stash[KEY], config.stash[RUN], config.option
    chosen = options.keyword or options.markexpr or options.quick or options.deselect
    nothing_runs = options.collectonly or options.setuponly or options.setupplan
    run.selected = bool(chosen or nothing_runs or any("::" in a for a in config.args))
    once = evaluated_once()
    for item in items:
        statement = _statement(item)
        if statement is None:
            continue
        file = _relative(item.path)
        run.files.add(file)
        # a sym_ file supports a statement; the file of the statement itself is the other one
        if statement.key in once:
            collected.once.add(statement.key)
        if statement.key not in collected.statements or not item.path.name.startswith("sym_"):
            collected.statements[statement.key] = file


def _keep_first_cases(config, items):
    """Deselect every case of a theory test but its first that runs."""
    seen, kept, left = set(), [], []
    for item in items:
        name = item.nodeid.partition("[")[0]
        again = _statement(item) is not None and name in seen
        (left if again else kept).append(item)
        if not item.get_closest_marker("skip"):
            seen.add(name)
    items[:] = kept
    config.hook.pytest_deselected(items=left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    start = time.perf_counter()
    try:
        return (yield)
    finally:
        statement = _statement(item)
        if statement is not None:
            seconds = item.config.stash[KEY].seconds
            seconds[statement.key] = seconds.get(statement.key, 0.0) + time.perf_counter() - start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    statement = _statement(item)
    if report.failed and statement is not None:
        item.config.stash[KEY].failed.add(statement.key)
    return report


# -- judging ---------------------------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Add the records of a worker of pytest-xdist; a worker that ended without sending any is lost."""
    config, sent = node.config, getattr(node, "workeroutput", {}).get("exactdiffusion")
    run = config.stash[RUN]
    if error or sent is None:
        run.lost.append(f"worker {node.gateway.id} was lost, and its records with it")
        return
    data = json.loads(sent)
    collected, family = unpack(data)
    config.stash[KEY].add(collected)
    config.stash[FAMILY].shares += family.shares
    config.stash[FAMILY].comparisons += family.comparisons
    run.files |= set(data["files"])
    run.selected = run.selected or data["selected"]


def problems(config: pytest.Config) -> list[str]:
    """Faults of the evidence of the run as a whole, one line each."""
    from .._core.paths import theory_dir
    from .verify import theory_files

    collected, run = config.stash[KEY], config.stash[RUN]
    found = list(run.lost)
    if complete(run, [_relative(f) for f in theory_files(theory_dir())]):
        for s in statements.all_statements():
            if s.key not in collected.statements:
                found.append(f"{s.key}: has no theory file")
            elif s.key not in collected.failed:
                found += [f"{s.key}: lacks {part}" for part in missing_parts(s, collected)]
    return found


def complete(run: Run, files: Collection[str]) -> bool:
    """Whether every theory file took part in full."""
    return bool(run.files) and not run.selected and run.files >= set(files)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    """Send the evidence to the controller, or judge the run and write its records."""
    from .._core.paths import theory_dir
    from .verify import theory_files, write_records

    config = session.config
    collected, run, options = config.stash[KEY], config.stash[RUN], config.option
    family = config.stash[FAMILY]
    packed = pack(collected, family)
    if hasattr(config, "workeroutput"):
        sent = {**packed, "files": sorted(run.files), "selected": run.selected}
        config.workeroutput["exactdiffusion"] = json.dumps(sent)
        return
    if exitstatus == pytest.ExitCode.OK and (family.level > LEVEL or family.weak or problems(config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if options.records and collected.records:
        whole = complete(run, [_relative(f) for f in theory_files(theory_dir())])
        passed = session.exitstatus == pytest.ExitCode.OK
        kind = {"deep": options.deep, "quick": options.quick, "selected": run.selected, "seed": options.seed,
                "complete": whole, "passed": passed}  # fmt: skip
        write_records(options.records, collected, packed, kind)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash[FAMILY].summary().splitlines():
        terminalreporter.write_line(line)
    collected = config.stash[KEY]
    if collected.records and not config.getoption("--no-verdict-table"):
        terminalreporter.section("theorem checks")
        terminalreporter.write_line(verdict_table(collected))
        for line in worst_laws(collected):
            terminalreporter.write_line(line)
    for line in problems(config):
        terminalreporter.write_line(f"FAILED: {line}")
    if collected.records and config.getoption("--records"):
        terminalreporter.write_line(f"records: {config.getoption('--records')}")


# -- fixtures --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def deep(request: pytest.FixtureRequest) -> bool:
    """True when the long variants run."""
    return request.config.getoption("--deep")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Iterator[Callable[..., Share]]:
    """``chance(comparisons=3)``: a :class:`exactdiffusion.checks.statistics.Share` of the run's false-alarm probability."""
    family, taken = request.config.stash[FAMILY], []

    def take(*, comparisons, share=SHARE, judge=None):
        taken.append(Share(family, request.node.nodeid, comparisons, share, judge))
        return taken[-1]

    yield take
    if request.node.stash.get(PASSED, False):
        for share in taken:
            share.close()


@pytest.fixture
def check(request: pytest.FixtureRequest, chance: Callable[..., Share]) -> Check:
    """The :class:`exactdiffusion.checks.ledger.Check` of the file's ``STATEMENT``."""
    statement = _statement(request.node)
    if statement is None:
        name = request.node.path.name
        raise pytest.UsageError(f"{name}: a theory file sets STATEMENT = statements.<paper>.<function>.statement")
    return Check(statement, request.config.stash[KEY], request.node.name, chance)
