"""How often each kind of comparison errs where it is most likely to, counted at a level at which it can be.

For what compares, the error is to fail on the truth; for what demonstrates, to be convinced of what is not so.
"""

import numpy as np
import pytest

from exactdiffusion.checks.statistics import Family, Share

RUNS, TENTH = 3000, 0.1


class _Wide(Share):
    level = TENTH


def _errs(name, rng):
    """Whether one comparison errs; the truth is drawn from ``rng`` and lies on the boundary of what is claimed."""
    family = Family(0)
    family.strict = False  # nothing raises: the verdict is in the record
    share = _Wide(family, "a test", 1)
    z = rng.standard_normal
    calls = {
        "normal": lambda: share.normal(z(), 0.0, 1.0, on="x"),
        "normal, sd estimated": lambda: share.normal(z(), 0.0, np.sqrt(rng.chisquare(30) / 30), degrees=30, on="x"),
        "mean": lambda: share.mean(z(60), 0.0, on="x"),
        "mean of Gaussian rows": lambda: share.mean(z(8), 0.0, gaussian=True, on="x"),
        "mean_at_most": lambda: share.mean_at_most(z(60), 0.0, on="x"),
        "mean_is_not": lambda: share.mean_is_not(z(60), 0.0, on="x"),
        "mean_exceeds": lambda: share.mean_exceeds(z(60), 0.0, on="x"),
        "chi_square": lambda: share.chi_square(2.0 * rng.chisquare(7), 7, scale=2.0, on="x"),
        "frequency": lambda: share.frequency(rng.binomial(200, 0.3), 200, 0.3, on="x"),
        "frequency_is_not": lambda: share.frequency_is_not(rng.binomial(200, 0.3), 200, 0.3, on="x"),
        "frequency_at_least": lambda: share.frequency_at_least(rng.binomial(200, 0.3), 200, 0.3, on="x"),
        "frequency_below": lambda: share.frequency_below(rng.binomial(200, 0.3), 200, 0.3, on="x"),
        "distribution": lambda: share.distribution(rng.uniform(size=50), lambda x: x, on="x"),
        "median": lambda: share.median(z(101), 0.0, on="x"),
    }
    calls[name]()
    (record,) = family.comparisons
    return record.passed == (record.kind == "demonstrated")


#: the statistic has a continuous law that is known: it errs exactly as often as it says
EXACT = ("normal", "mean of Gaussian rows", "chi_square", "normal, sd estimated")
OTHERS = (
    "mean",
    "mean_at_most",
    "mean_is_not",
    "mean_exceeds",
    "frequency",
    "frequency_is_not",
    "frequency_at_least",
    "frequency_below",
    "distribution",
    "median",
)


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_comparison_errs_as_often_as_it_says(name, chance):
    draw = chance(comparisons=1, share=1e-9)
    rng = draw.rng(1)
    draw.frequency(sum(_errs(name, rng) for _ in range(RUNS)), RUNS, TENTH, on=f"errors of {name}")


@pytest.mark.parametrize("name", OTHERS)
def test_no_comparison_errs_twice_as_often_as_it_says(name, chance):
    """Counts are discrete and bounds for all laws wide, so these err less; twice as often is one tail taken for two."""
    draw = chance(comparisons=2, share=1e-9)
    rng = draw.rng(2)
    errors = sum(_errs(name, rng) for _ in range(RUNS))
    draw.frequency_below(errors, RUNS, 2 * TENTH, on=f"errors of {name}")
    # and is no empty promise: a twentieth of the level would mean an interval far too wide
    draw.frequency_at_least(errors, RUNS, TENTH / 20, on=f"some errors of {name}")


def test_every_kind_is_counted():
    public = {n for n in vars(Share) if not n.startswith("_")} - {"seed", "rng", "noise", "level", "close"}
    assert public == {n.partition(",")[0].partition(" of")[0] for n in EXACT + OTHERS}


def test_shares_of_a_test_and_of_a_run_add_up(chance):
    """A hundred comparisons of a share of .1 each, of exact kinds: at least one of them errs in at most .1 of the runs."""
    draw, runs = chance(comparisons=1, share=1e-9), 1000
    rng = draw.rng(3)

    class Split(Share):
        level = property(lambda self: TENTH / self.comparisons)

    failed = 0
    for _ in range(runs):
        family = Family(0)
        family.strict = False
        share = Split(family, "a test", 100)
        share.normal(rng.standard_normal(60), 0.0, 1.0, on="x")
        share.chi_square(rng.chisquare(5, size=40), 5, on="x")
        share.close()
        failed += not all(c.passed for c in family.comparisons)
    draw.frequency(failed, runs, 1 - (1 - TENTH / 100) ** 100, on="runs with an error")
