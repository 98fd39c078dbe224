"""Twenty methods that the rules of order were not made with: correct ones agree, and their slips are flagged."""

import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from exactdiffusion.conformance import judge
from exactdiffusion.conformance.verdicts import SHORT

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import unseen_methods  # noqa: E402

LISTED = tomllib.loads((HERE / "unseen_methods.toml").read_text(encoding="utf-8"))
#: step counts of the default tests; all seven and both precisions with --deep
STEPS = (20, 80, 160, 320)


def _judged(name, slip, deep):
    subject = getattr(unseen_methods, name)(slip)
    return judge(subject) if deep else judge(subject, STEPS, ["float64"])


@pytest.mark.parametrize("name", LISTED)
def test_correct_method_agrees_and_has_its_order(name, deep):
    report = _judged(name, False, deep)
    assert report.code == 0, report.table()
    orders = [v.number for v in report.of("order") if v.status == "agrees"]
    assert orders, report.table()
    assert min(orders) >= LISTED[name]["order"] - SHORT


@pytest.mark.parametrize("name", LISTED)
def test_slip_is_flagged(name, deep):
    report = _judged(name, True, deep)
    effect = LISTED[name]["effect"]
    if effect == LISTED[name]["order"]:
        assert report.code == 0, report.table()
        return
    if "noted" in LISTED[name]:
        assert all(v.status == "note" and LISTED[name]["noted"] in v.text for v in report.of("order")), report.table()
        return
    assert report.code == 1, report.table()
    orders = [v.number for v in report.of("order") if v.status == "differs"]
    if effect == "limit":
        assert "limit" in report.differs, report.table()
    elif "limit" not in report.differs:
        assert min(orders) == pytest.approx(effect, abs=SHORT), report.table()


def test_exact_first_states_show_the_order_of_the_formula():
    """Adams-Bashforth 4 with lower orders in its first steps has order 2 on its own, and 4 from exact first states."""
    report = judge(unseen_methods.ab4_log_snr(False), STEPS, ["float64"])
    verdict, other = report.of("order")
    assert (verdict.status, other.status) == ("agrees", "agrees")
    assert verdict.number == pytest.approx(4.0, abs=SHORT)
    assert verdict.text.startswith("order 2.")
    assert "its own first steps are of lower order" in verdict.text


def test_a_lost_second_step_is_no_start_of_lower_order():
    """DPM-Solver++(2M) that forgets its second step: order 1 on its own, 2 from exact first states."""
    from exactdiffusion.conformance.adapters import plain

    def lost(denoiser, sigmas, x):
        old = h_old = None
        for i, (now, then) in enumerate(pairwise(sigmas)):
            clean, h = denoiser(x, now), np.log(now / then)
            used = clean if old is None else clean + h / (2 * h_old) * (clean - old)
            if i != 1:
                x = x * then / now + (1 - then / now) * used
            old, h_old = clean, h
        return x

    report = judge(plain.subject(lost, order=2), STEPS, ["float64"])
    assert set(report.differs) == {"order"}
    assert report.of("order")[0].number == pytest.approx(1.0, abs=0.2)
    assert "its first steps cost more" in report.of("order")[0].text


def test_exact_first_states_are_not_claimed_where_the_method_does_not_take_them():
    """Control: this function combines its state before it calls the model, so the written states do not reach it."""
    from exactdiffusion.conformance.adapters import plain

    def two_step(denoiser, sigmas, x):
        old = h_old = None
        for now, then in pairwise(sigmas):
            h, moved = unseen_methods._lengths(now, then), then / now * x
            clean = denoiser(x, now)
            used = clean if old is None else clean + h / (2 * h_old) * (clean - old)
            x, old, h_old = moved + (1 - then / now) * used, clean, h
        return x

    report = judge(plain.subject(two_step, order=2), STEPS, ["float64"])
    assert report.code == 0, report.table()
    assert all("exact first states" not in v.text for v in report.of("order"))
