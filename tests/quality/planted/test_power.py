"""The power table of the statistical checks: complete, without gaps, and a handful of its rows measured again."""

import ast
import csv
import math
from pathlib import Path

import plant as planted
import power
import pytest

TEXT = planted.ROOT


def _statistical_tests():
    """Node ids (without parameters) of all tests that take a share, by their source."""
    found = set()
    for folder in ("tests", "theory"):
        for path in sorted((TEXT / folder).rglob("*.py")):
            if path.name == "test_statistics.py" or "planted" in path.parts:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
                if is_test and "chance(comparisons=" in ast.unparse(node):
                    found.add(f"{path.relative_to(TEXT).as_posix()}::{node.name}")
    return found


def _rows():
    with Path(power.TABLE).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_statistical_check_has_an_error_that_it_is_asked_to_see():
    stated = {check.partition("[")[0] for check in (*power.PAIRS, *power.WITHOUT)}
    assert stated == _statistical_tests()
    assert {f.name for f in planted.catalogue()} >= set(power.PAIRS.values())


def test_table_is_that_of_the_pairs_and_states_powers_near_one():
    rows = _rows()
    assert {(r["check"], r["error"]) for r in rows} == set(power.PAIRS.items())
    for r in rows:
        assert r["caught"] == r["seeds"], r
        assert r["power"], f"no effect: the error is seen by another assertion, before any comparison: {r}"
        assert float(r["power"]) > 0.99, r
        if float(r["effect"]) < math.inf:  # and at the 95 % lower end of the mean effect
            low = float(r["effect"]) - 1.96 / math.sqrt(int(r["seeds"])) - float(r["quantile"])
            assert 0.5 * math.erfc(-low / math.sqrt(2)) > 0.99, r


def test_power_by_hand():
    """Effect 8 against the quantile 6: missed with the probability that a standard normal lies below -2."""
    one = {"caught": True, "by_chance": True, "broken": [], "deviation": 7.0, "quantile": 6.0, "sign": 1}
    found = [one, {**one, "deviation": 9.0}]
    row = power.summary("check", "error", found)
    assert (row["effect"], row["caught"]) == (8.0, 2)
    assert row["power"] == pytest.approx(0.9772498680518208, rel=1e-12)
    shown = [{**f, "deviation": 4.0, "sign": -1} for f in found]
    assert power.summary("check", "error", shown)["power"] == row["power"]
    with pytest.raises(ValueError, match="breaks"):
        power.summary("check", "error", [{**found[0], "broken": ["NameError"]}])


AGAIN = (
    "tests/core/test_random.py::test_marginal_law",
    "tests/laws/test_contract.py::test_samples_have_the_stated_moments[sphere]",
    "tests/papers/log_concavity/test_measurements.py::test_draws[full]",
    "theory/conditional_mean/prop_resampling_variance.py::test_sampler",
    "theory/projection/thm_ddpm_invariant_on_subspace.py::test_samples",
)


@pytest.mark.deep
@pytest.mark.parametrize("check", AGAIN)
def test_stated_power_is_the_measured_one(check):
    """Twenty other seeds: red each time; the mean effect as stated, to 5 standard errors sqrt(1/20 + 1/3) and 10 %.

    It takes no share: the seeds are fixed, so the verdict is the same in every run, with any --seed.
    """
    (stated,) = [r for r in _rows() if r["check"] == check]
    row = power.measure(check, power.PAIRS[check], range(101, 121))
    assert row["caught"] == 20
    effect = float(stated["effect"])
    assert abs(row["effect"] - effect) <= 5 * (1 / 20 + 1 / 3) ** 0.5 + 0.1 * effect, (row, stated)
