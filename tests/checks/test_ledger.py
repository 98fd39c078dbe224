"""The judge is judged: every assertion goes red when it must, and verdicts follow the evidence."""

import json
import math
import re
import subprocess
import sys

import pytest

from exactdiffusion.checks import ledger
from exactdiffusion.checks.statistics import Comparison, Family
from exactdiffusion.statements import KINDS, TEXTS, Statement, all_statements, statement


def make(kind="upper", key="projection/example", text="derived"):
    return Statement(key, "projection", "Thm 0", "an example", kind, text, "doc")


def new(kind="upper", text="derived"):
    collected = ledger.Collected()
    return ledger.Check(make(kind, text=text), collected), collected


def test_holds_passes_and_records_the_worst_ratio():
    check, collected = new()
    check.holds([1.0, 3.0], [2.0, 4.0], tol=0, cause="exact", on="two numbers")
    assert collected.records[0].ratio == 0.75
    assert collected.records[0].count == 2


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [(1.1, 1.0), (math.nan, 1.0), (1.0, math.nan), ([0.5, 2.0], 1.0), (math.inf, 1.0), (-math.nan, 0.0)],
)
def test_holds_fails(smaller, larger):
    check, collected = new()
    with pytest.raises(AssertionError):
        check.holds(smaller, larger, tol=0.05, cause="rounding", on="x")
    assert not collected.records[0].passed, "the failure is evidence too"


def test_every_tolerance_names_the_class_of_its_cause():
    check, collected = new()
    check.holds(1.0, 2.0, tol=0, cause="rounding: 8 eps", on="x")
    check.equal(1.0, 1.0, tol=0, cause="exact", on="x")
    assert [(r.tolerance_class, r.cause) for r in collected.records] == [("rounding", "8 eps"), ("exact", "")]
    for cause in ("8 eps", "", "Rounding: 8 eps", "rounding of a sum", "none"):
        with pytest.raises(ValueError, match=r"cause: got .*expected one of exact, remainder"):
            check.holds(1.0, 2.0, tol=0, cause=cause, on="x")


def test_records_are_ordered_by_what_they_are_about():
    """Another order of the tests gives the same list."""
    lists = []
    for order in (1, -1):
        check, collected = new()
        calls = [("holds", "b"), ("holds", "a"), ("equal", "c"), ("control", "a")]
        for part, on in calls[::order]:
            if part == "control":
                check.control("h", 2.0, 1.0, on=on)
            else:
                getattr(check, part)(1.0, 1.0, tol=0, cause="exact", on=on)
        lists.append(collected.of(check.statement.key))
    assert lists[0] == lists[1]
    assert [(r.part, r.on) for r in lists[0]] == [("holds", "a"), ("holds", "b"), ("equal", "c"), ("control", "a")]


def test_evidence_travels_between_processes():
    """Through JSON and back, with the numbers that JSON does not have; a foreign record is refused."""
    check, collected = new()
    check.holds(0.0, [0.0, 1.0], tol=0, cause="exact", on="x")
    check.control("h", 1.0, 0.0, on="x")
    with pytest.raises(AssertionError):
        check.holds(math.nan, 1.0, tol=0, cause="rounding: 8 eps", on="y")
    family = Family(shares=[("test", 1e-8)])
    family.comparisons.append(Comparison("test", "x", "exact", 3, 1e-9, math.inf, 6.0, True))
    data = json.loads(json.dumps(ledger.pack(collected, family), allow_nan=False))
    back, again = ledger.unpack(data)
    assert repr(back) == repr(collected)
    assert again == family
    data["records"][0].pop("on")
    with pytest.raises(ValueError, match="record: got"):
        ledger.unpack(data)


def test_nothing_measured_is_a_failure():
    check, _ = new()
    for call in (
        lambda: check.holds([], [], tol=0, cause="exact", on="x"),
        lambda: check.equal([], [], tol=0, cause="exact", on="x"),
        lambda: check.control("c", [], [], on="x"),
    ):
        with pytest.raises(AssertionError, match="nothing was measured"):
            call()


def test_gather_files_each_part_once_with_its_worst_batch():
    check, collected = new()
    with check.gather(on="some family", cause="rounding") as sides:
        sides("upper", [1.0, 2.0], 4.0, tol=1e-12)
        sides("lower", 1.0, [3.0], tol=1e-12)
        sides("upper", 3.0, 4.0, tol=1e-9)
    upper, lower = collected.records
    assert (upper.on, upper.ratio, upper.count, upper.tolerance) == ("upper, some family", 0.75, 3, 1e-9)
    assert (lower.on, lower.count) == ("lower, some family", 1)


def test_gather_fails_for_one_violated_batch_and_for_none():
    check, _ = new()

    def violated():
        with check.gather(on="x", cause="rounding") as sides:
            sides("upper", 1.0, 2.0, tol=0)
            sides("upper", [1.0, 2.1], 2.0, tol=1e-12)

    with pytest.raises(AssertionError, match="upper, x"):
        violated()
    with pytest.raises(AssertionError, match="nothing was measured"), check.gather(on="x", cause="rounding"):
        pass


def test_worst_law_is_asserted_to_one_per_cent_and_listed():
    check, collected = new()
    check.worst(0.504, 1.0, ratio=0.5, law="N(0, 2)", tol=0, cause="exact")
    assert [record.part for record in collected.records] == ["holds", "equal"]
    assert ledger.worst_laws(collected)[0].endswith("worst ratio 0.504 on N(0, 2)")
    for measured in (0.494, 0.506, 1.01):
        with pytest.raises(AssertionError, match="worst law"):
            check.worst(measured, 1.0, ratio=0.5, law="N(0, 2)", tol=0, cause="exact")


def test_gather_files_equalities_and_ratios():
    check, collected = new()
    with check.gather(on="x", cause="rounding", kind="equal") as sides:
        sides("value", [1.0, 2.0], [1.0, 2.1], tol=0.2)
        sides("value", 3.0, 3.0, tol=0.1)
    with check.gather(cause="rounding", kind="tight") as sides:
        sides("ratio", [0.9, 1.0], 1.0, tol=0.2)
    value, ratio = collected.records
    assert (value.part, value.on, value.count, round(value.ratio, 12)) == ("equal", "value, x", 3, 0.5)
    assert (ratio.part, ratio.on, ratio.count, ratio.ratio) == ("tight", "ratio", 2, 0.9)
    with (
        pytest.raises(AssertionError, match="value, x"),
        check.gather(on="x", cause="rounding", kind="equal") as sides,
    ):
        sides("value", 1.0, 1.2, tol=0.1)
    with pytest.raises(ValueError, match=r"^kind"), check.gather(on="x", cause="rounding", kind="rate"):
        pass


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.2), (math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_equal_fails(a, b):
    check, _ = new()
    with pytest.raises(AssertionError):
        check.equal(a, b, tol=0.1, cause="rounding", on="x")


def test_tight_fails_for_a_loosened_bound():
    check, _ = new()
    check.tight(1.0 + 1e-12, 1.0, tol=1e-9, cause="rounding", on="x")
    with pytest.raises(AssertionError):
        check.tight(1 / 1.05, 1.0, tol=1e-9, cause="rounding", on="x")
    with pytest.raises(AssertionError):
        check.tight(math.nan, 1.0, tol=1e-9, cause="rounding", on="x")


def test_rate_fails_outside_its_interval():
    check, _ = new()
    check.rate(-1.01, -1.0, within=0.05, on="x")
    with pytest.raises(AssertionError):
        check.rate(-1.2, -1.0, within=0.05, on="x")
    with pytest.raises(AssertionError):
        check.rate(math.nan, -1.0, within=0.05, on="x")


def test_a_control_that_cannot_fail_is_an_error():
    check, _ = new()
    check.control("hypothesis", 2.0, 1.0, on="x")
    with pytest.raises(AssertionError):
        check.control("hypothesis", 1.0, 2.0, on="x")
    with pytest.raises(AssertionError):  # a violation within the tolerance is rounding, not a control
        check.control("hypothesis", 1.0 + 1e-12, 1.0, tol=1e-9, on="x")
    with pytest.raises(AssertionError):
        check.refuted("a form", 1.0, 1.0, on="x")
    with pytest.raises(AssertionError):  # two units in the last place are rounding too
        check.control("hypothesis", 1.0 + 4e-16, 1.0, on="x")
    for a, b in ((math.nan, 1.0), (1.0, math.nan)):
        with pytest.raises(AssertionError, match="NaN"):
            check.control("hypothesis", a, b, on="x")
        with pytest.raises(AssertionError, match="NaN"):
            check.refuted("a form", a, b, on="x")


def test_a_failing_control_names_what_was_dropped_apart_from_the_tolerance():
    check, _ = new()
    with pytest.raises(AssertionError, match=r"tolerance 0; it must fail somewhere under the control '\(H1\) variance'\. "):
        check.control("(H1) variance", 1.0, 2.0, on="two atoms")
    with pytest.raises(AssertionError, match=r"tolerance 0 \(a shift\)\. "):
        check.holds(2.0, 1.0, tol=0.0, cause="rounding: a shift", on="two atoms")


def test_sides_that_settle_a_control_or_a_ratio_are_refused():
    check, collected = new()
    for larger in (-math.inf, [1.0, -math.inf]):
        with pytest.raises(ValueError, match=r"larger: got -inf; expected a bound that some number satisfies"):
            check.control("hypothesis", 1.0, larger, on="x")
        with pytest.raises(ValueError, match=r"larger: got -inf"):
            check.refuted("a form", 1.0, larger, on="x")
    for stated, tol in ((0.0, 0.0), (0.0, 1e-9), (-0.5, 0.0), (1e-9, 1e-9), (0.1, 0.2)):
        with pytest.raises(ValueError, match=r"expected: got .*; expected a ratio above its tolerance"):
            check.tight(stated, stated, tol=tol, cause="rounding", on="x")
        with pytest.raises(ValueError, match=r"expected: got .*; expected a ratio above its tolerance"):
            check.tight([0.5, stated], [0.5, stated], tol=tol, cause="rounding", on="x", of="a lemma")
    assert not collected.records
    check.control("hypothesis", math.inf, 1.0, on="an infinite divergence violates a finite bound")


def test_hypothesis_is_reported_apart():
    check, collected = new()
    mask = check.hypothesis("unique", [True, False], on="x", required=False)
    assert mask.tolist() == [True, False]
    assert collected.records[0].ratio == 0.5
    with pytest.raises(AssertionError):
        check.hypothesis("unique", [True, False], on="x")
    with pytest.raises(AssertionError):
        check.hypothesis("unique", [False, False], on="x", required=False)


def test_verdicts_follow_the_evidence():
    check, collected = new("tight")
    s = check.statement
    assert ledger.verdict(s, collected) == "not run"
    check.holds(0.99, 1.0, tol=0, cause="exact", on="x")
    assert ledger.verdict(s, collected) == "incomplete"
    assert len(ledger.missing_parts(s, collected)) == 2
    check.tight(1.0, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    assert ledger.verdict(s, collected) == "verified tight"
    with pytest.raises(AssertionError):
        check.holds(2.0, 1.0, tol=0, cause="exact", on="x")
    assert ledger.verdict(s, collected) == "FAILED"


@pytest.mark.parametrize(
    ("kind", "ratio", "expected"),
    [("upper", 0.5, "verified"), ("upper", 0.01, "verified, loose"), ("definition", 0.5, "verified")],
)
def test_verdict_of_untight_statements(kind, ratio, expected):
    check, collected = new(kind)
    check.holds(ratio, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == expected


def test_verdict_refuted_and_asymptotic():
    check, collected = new("refuted")
    check.equal(1.0, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == "incomplete"
    check.refuted("factor 2", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == "refuted as printed"
    check, collected = new("asymptotic")
    check.holds(0.5, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == "incomplete"
    check.rate(-1.0, -1.0, within=0.1, on="x")
    assert ledger.verdict(check.statement, collected) == "asymptotic"


def test_verdicts_of_unconfirmed_wording():
    """A form that nobody could confirm is not "as printed"; a proof of it is a proof of our form."""
    check, collected = new("refuted", "transcribed")
    check.equal(1.0, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    check.refuted("factor 2", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == "refuted as transcribed"
    check, collected = new("upper", "recalled")
    check.holds(0.5, 1.0, tol=0, cause="exact", on="x")
    assert ledger.verdict(check.statement, collected) == "incomplete"
    check.control("h", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == "verified; form proved here"
    collected.failed.add(check.statement.key)
    assert ledger.verdict(check.statement, collected) == "FAILED"


@pytest.mark.parametrize(
    ("kind", "text", "verdict"),
    [
        ("upper", "source", "verified, evaluated once"),
        ("upper", "recalled", "verified, evaluated once; form proved here"),
        ("refuted", "source", "refuted as printed, evaluated once"),
    ],
)
def test_verdict_of_a_formula_without_a_second_evaluation(kind, text, verdict):
    check, collected = new(kind, text)
    check.holds(0.5, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    if kind == "refuted":
        check.refuted("factor 2", 2.0, 1.0, on="x")
    known = ledger.verdict(check.statement, collected)
    collected.once.add(check.statement.key)
    sent, _ = ledger.unpack(json.loads(json.dumps(ledger.pack(collected, Family()))))
    for found in (collected, sent):
        assert ledger.verdict(check.statement, found) == verdict
    assert ledger.plain(verdict) == ledger.plain(known) in ledger.VERDICTS


def test_a_refuted_form_asks_for_its_place_in_the_document():
    check, collected = new("asymptotic")
    check.rate(-1.0, -1.0, within=0.1, on="x")
    check.equal(1.0, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    assert not ledger.missing_parts(check.statement, collected)
    check.refuted("factor 2", 2.0, 1.0, on="x")
    assert ledger.verdict(check.statement, collected) == "incomplete"


def test_other_inequalities_are_no_ratio_of_the_statement():
    check, collected = new("tight")
    check.holds(0.3, 1.0, tol=0, cause="exact", on="x")
    check.holds(0.9, 1.0, tol=0, cause="exact", on="x", of="a lemma")
    check.tight(1.0, 1.0, tol=0, cause="exact", on="x", of="a lemma")
    check.tight(0.3, 0.3, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    s = check.statement
    assert ledger.worst_ratio(s, collected) == 0.3
    assert ledger.attained(s, collected) == []
    assert ledger.verdict(s, collected) == "verified, not attained by any instance"
    check.tight(1.0005, 1.0, tol=1e-3, cause="exact", on="x")
    check.tight(1.0, 1.0, tol=1e-3, cause="exact", on="y")
    assert [r.on for r in ledger.attained(s, collected)] == ["y", "x"]
    assert ledger.verdict(s, collected) == "verified tight"
    for kind in ("equality", "definition", "asymptotic"):
        assert ledger.worst_ratio(make(kind), collected) is None


@pytest.mark.parametrize("kind", ["tight", "upper", "lower"])
def test_a_side_in_place_of_a_ratio_is_refused(kind):
    """No measured/bound of a true inequality is above 1; of a lemma, or of a limit, a stated ratio may be."""
    check, collected = new(kind)
    with pytest.raises(ValueError, match=r"expected: got 1.6967; expected a ratio measured / bound, at most 1"):
        check.tight(1.6967, 1.6967, tol=1e-9, cause="exact", on="x")
    with pytest.raises(ValueError, match=r"expected: got 3.0"):
        check.tight([0.5, 3.0], [0.5, 3.0], tol=0, cause="exact", on="x")
    assert collected.records == []
    check.tight(1.0 + 1e-13, 1.0 + 1e-13, tol=1e-12, cause="rounding", on="within its tolerance of 1")
    check.tight(1.6967, 1.6967, tol=1e-9, cause="exact", on="x", of="a lemma")
    new("asymptotic")[0].tight(2.0, 2.0, tol=0, cause="exact", on="x")


def test_a_failing_test_fails_its_statement():
    check, collected = new()
    check.holds(0.5, 1.0, tol=0, cause="exact", on="x")
    check.control("h", 2.0, 1.0, on="x")
    collected.failed.add(check.statement.key)
    assert ledger.verdict(check.statement, collected) == "FAILED"


def test_statements_are_filed_with_their_words():
    statements = all_statements()
    assert len({s.key for s in statements}) == len(statements)
    for s in statements:
        assert s.kind in KINDS
        assert s.text in TEXTS
        for word in ("**Hypotheses", "onclusion", "**Source.**"):
            assert word in s.doc, f"{s.key} lacks {word}"
        assert re.search(r"\.\. math::", s.doc), f"{s.key}: no display math"


def test_statement_decorator_refuses():
    def documented():
        "doc"

    def bare():
        pass

    good = {"paper": "projection", "ref": "x", "title": "t", "kind": "upper", "text": "source"}
    for name in ("paper", "kind", "text"):
        with pytest.raises(ValueError, match=name):
            statement(**{**good, name: "no sense"})(documented)
    with pytest.raises(ValueError, match="docstring"):
        statement(**good)(bare)

    def beta_star():
        "another"

    with pytest.raises(ValueError, match="taken"):
        statement(**good)(beta_star)


def test_order_of_the_statements_does_not_depend_on_the_imports():
    """The committed files list them in this order: whoever imports a later module first must not move its statements."""
    code = "import exactdiffusion.statements as b; getattr(b, {!r}); print([s.key for s in b.all_statements()])"
    seen = {
        subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True).stdout
        for name in ("foundations", "log_concavity_thresholds")
    }
    assert len(seen) == 1


@pytest.mark.parametrize("tol", [math.inf, -1.0, math.nan])
@pytest.mark.parametrize("part", ["holds", "equal", "tight", "control", "refuted", "gather", "worst", "rate"])
def test_a_tolerance_that_cannot_fail_is_refused(part, tol):
    check, collected = new()
    calls = {
        "holds": lambda: check.holds(5.0, 1.0, tol=tol, cause="exact", on="x"),
        "equal": lambda: check.equal(5.0, 1.0, tol=tol, cause="exact", on="x"),
        "tight": lambda: check.tight(0.1, 1.0, tol=tol, cause="exact", on="x"),
        "control": lambda: check.control("hypothesis", 1.0, 1.5, tol=tol, on="x"),
        "refuted": lambda: check.refuted("form", 1.0, 1.5, tol=tol, on="x"),
        "worst": lambda: check.worst(0.5, 1.0, ratio=0.5, law="x", tol=tol, cause="exact"),
        "rate": lambda: check.rate(5.0, -2.0, within=tol, on="x"),
    }

    def gather():
        with check.gather(cause="exact", on="x") as sides:
            sides("part", 5.0, 1.0, tol=[0.0, tol])

    with pytest.raises(ValueError, match=r"tol|within"):
        calls.get(part, gather)()
    assert collected.records == []


@pytest.mark.parametrize("sides", [(5.0, math.inf), (-math.inf, 1.0), (math.inf, math.inf), (-math.inf, math.inf)])
def test_infinite_sides_measure_nothing(sides):
    check, collected = new()
    with pytest.raises(AssertionError, match="nothing was measured"):
        check.holds(*sides, tol=0, cause="exact", on="x")
    check.holds([0.5, sides[0]], [1.0, sides[1]], tol=0, cause="exact", on="one instance is measured")
    with pytest.raises(AssertionError, match="ratio inf"):  # an infinite measurement above a finite bound is a violation
        check.holds(math.inf, 1.0, tol=0, cause="exact", on="x")


@pytest.mark.parametrize("holds", [math.nan, [math.nan, 1.0], "False", [0.5]])
def test_a_hypothesis_is_true_or_false(holds):
    with pytest.raises(ValueError, match="True or False"):
        new()[0].hypothesis("hypothesis", holds, on="x")


def test_a_complex_number_is_not_compared_by_its_real_part():
    with pytest.raises(ValueError, match="real"):
        new()[0].equal(1 + 5j, 1.0, tol=0, cause="exact", on="x")


@pytest.mark.parametrize(("measured", "ratio", "tol"), [(0.0, 0.0, 0.0), (1.5, 1.5, 0.6), (0.5, math.nan, 0.0)])
def test_the_ratio_of_a_worst_law_says_something(measured, ratio, tol):
    with pytest.raises(ValueError, match="ratio"):
        new()[0].worst(measured, 1.0, ratio=ratio, law="x", tol=tol, cause="exact")


def test_a_wide_tolerance_does_not_let_a_side_pass_for_a_ratio():
    with pytest.raises(ValueError, match="measured / bound"):
        new("upper")[0].tight(3.0, 3.0, tol=2.5, cause="exact", on="x")
