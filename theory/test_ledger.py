"""Judges the run as a whole: every statement complete, and paper_checks.md current. Runs last."""

import pytest

from exactdiffusion import bounds, ledger
from exactdiffusion.resources import project_root


def test_every_statement_has_its_file(ledger_run):
    missing = [s.key for s in bounds.all_statements() if s.key not in ledger_run.statements]
    assert not missing, f"statements without a theory file: {missing}"


def test_every_check_is_complete(ledger_run):
    lacking = {s.key: ledger.missing_parts(s, ledger_run) for s in bounds.all_statements()}
    assert not {k: v for k, v in lacking.items() if v}


def test_paper_checks_is_current(ledger_run, request):
    if any(request.config.getoption(name) for name in ("--deep", "--no-ledger-check", "--seed")):
        pytest.skip("paper_checks.md holds the default run")
    if project_root() is None:
        pytest.skip("paper_checks.md belongs to the checkout")
    pytest.importorskip("flint", reason="paper_checks.md includes the checks in ball arithmetic: pip install python-flint")
    if ledger_run.failed:
        pytest.fail("some checks failed: see above")
    committed = (project_root() / "paper_checks.md").read_text(encoding="utf-8")
    differences = ledger.same_text(committed, ledger.render(ledger_run))
    assert not differences, "run `exactdiffusion verify --update`:\n" + "\n".join(differences[:20])
