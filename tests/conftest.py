"""The fixture ``accuracy``: an oracle or closed form against a reference computed by other means; and the table of all.

Printed with ``--deep`` or ``--accuracies``; otherwise one line tells their number and how near to its limit the worst is.
A complete run also fails if a reference of ``references/index.toml`` was not used (`references_used.unused`). With
pytest-xdist the workers send what they recorded, and the controller judges.
"""

import json
import math
from dataclasses import asdict, dataclass

import additions
import numpy as np
import pytest
import references_used

from exactdiffusion import statements
from exactdiffusion.checks import pytest_plugin as plugin


@dataclass(frozen=True)
class Accuracy:
    """The worst comparison of one call of ``accuracy``: ``error <= limit`` is what was asserted."""

    quantity: str
    error: float
    limit: float
    by: str
    test: str
    count: int = 1

    @property
    def ratio(self):
        return 0.0 if self.error == 0 else self.error / self.limit if self.limit > 0 else math.inf


KEY = pytest.StashKey[list]()
SKIPPED = pytest.StashKey[set]()
NODES = pytest.StashKey[set]()


def pytest_addoption(parser):
    parser.addoption("--accuracies", action="store_true", help="print the table of reference accuracies at the end")


def pytest_configure(config):
    config.stash[KEY] = []
    config.stash[SKIPPED] = set()
    config.stash[NODES] = set()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    config.stash[NODES] = {item.nodeid.partition("[")[0] for item in items}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped:
        item.config.stash[SKIPPED].add(item.nodeid.partition("[")[0])
    return report


@pytest.fixture
def accuracy(request):
    """Function ``accuracy(quantity, error, limit, by)``: assert ``error <= limit`` everywhere, keep the worst.

    ``quantity`` is the dotted public name without the package, ``error`` and ``limit`` are numbers or arrays that broadcast,
    ``by`` says how the reference was computed. A NaN fails, and so does nothing at all.
    """

    def judge(quantity, error, limit, by="50 digits, mpmath"):
        errors, limits = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (error, limit)))
        assert errors.size, f"{quantity}: nothing was compared"
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(errors == 0, 0.0, errors / limits)
        worst = int(np.argmax(np.where(np.isnan(ratio), np.inf, ratio)))
        found = Accuracy(
            quantity, float(errors.flat[worst]), float(limits.flat[worst]), by, request.node.nodeid, errors.size
        )
        request.config.stash[KEY].append(found)
        assert np.all(errors <= limits), f"{quantity}: error {found.error:.3g}, limit {found.limit:.3g} ({by})"

    return judge


def _of_theory(collected):
    """What the checks of ``theory/`` compared by equality, attained ratio or rate, as rows of the same table."""
    rows = []
    for statement in statements.all_statements():
        name = f"statements.{statement.module.rpartition('.')[2]}.{statement.name}"
        for record in collected.of(statement.key):
            if record.part in ("equal", "tight", "rate"):
                error = record.units * record.tolerance if record.tolerance > 0 else record.units
                by = f"theory, {record.part}" + (f": {record.cause}" if record.cause else "")
                rows.append(Accuracy(name, error, record.tolerance, by, collected.statements[statement.key], record.count))
    return rows


def _all(config):
    """All that this run recorded, checks of ``theory/`` included."""
    return [*config.stash[KEY], *_of_theory(config.stash[plugin.KEY])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    sent = getattr(node, "workeroutput", {}).get("accuracies")
    if sent is not None:
        data = json.loads(sent)
        node.config.stash[KEY] += [
            Accuracy(**{k: float(v) if k in ("error", "limit") else v for k, v in row.items()}) for row in data["records"]
        ]
        node.config.stash[SKIPPED] |= set(data["skipped"])
        node.config.stash[NODES] |= set(data["nodes"])


def _unused(config):
    """References that a complete run did not use, one line each; none for a selection."""
    if config.stash[plugin.RUN].selected:
        return []
    used = {(record.quantity, record.test.partition("[")[0]) for record in _all(config)}
    return references_used.unused(references_used.index(), config.stash[NODES], used, config.stash[SKIPPED])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if hasattr(config, "workeroutput"):
        records = [{k: repr(v) if isinstance(v, float) else v for k, v in asdict(r).items()} for r in config.stash[KEY]]
        sent = {"records": records, "skipped": sorted(config.stash[SKIPPED]), "nodes": sorted(config.stash[NODES])}
        config.workeroutput["accuracies"] = json.dumps(sent)
    elif exitstatus == pytest.ExitCode.OK and _unused(config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _worst(records):
    """One row per quantity, by name: its worst record, and how many comparisons there were."""
    rows = {}
    for record in records:
        worst, count = rows.get(record.quantity, (record, 0))
        rows[record.quantity] = (max(worst, record, key=lambda r: r.ratio), count + record.count)
    return [rows[name] for name in sorted(rows)]


def pytest_terminal_summary(terminalreporter, config):
    wanted = additions.lines() if config.getoption("--deep") else []
    if wanted:
        terminalreporter.section("to add, when you have time; nothing fails without it")
        for line in wanted:
            terminalreporter.write_line(line)
    rows = _worst(_all(config))
    if not rows:
        return
    for line in _unused(config):
        terminalreporter.write_line(f"FAILED: {line}")
    total = sum(count for _, count in rows)
    top = max((row for row, _ in rows), key=lambda row: row.ratio)
    line = f"{len(rows)} quantities, {total} comparisons, worst error/limit {top.ratio:.3g} ({top.quantity})"
    if not (config.getoption("--deep") or config.getoption("--accuracies")):
        terminalreporter.write_line(f"reference accuracies: {line}")
        return
    terminalreporter.section("reference accuracies")
    head = ("quantity", "worst error", "limit", "compared", "reference")
    body = [(r.quantity, f"{r.error:.2e}", f"{r.limit:.2e}", str(count), r.by) for r, count in rows]
    widths = [max(len(cells[i]) for cells in [head, *body]) for i in range(len(head) - 1)]
    for cells in [head, *body]:
        terminalreporter.write_line("  ".join([*(c.ljust(w) for c, w in zip(cells, widths)), cells[-1]]))
    terminalreporter.write_line(line)
