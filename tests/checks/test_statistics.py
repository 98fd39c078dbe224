"""Levels of the statistical checks: quantiles in 40 digits, rejection rates by simulation, shares that add up, seeds."""

import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest
from scipy import stats

from exactdiffusion.checks import ledger
from exactdiffusion.checks import statistics as module
from exactdiffusion.checks.statistics import LEVEL, SHARE, Family, Share

RIGHT = {
    "normal": lambda s: s.normal(0.01, 0.0, 0.01, on="x"),
    "normal, sd estimated": lambda s: s.normal(0.01, 0.0, 0.01, degrees=30, on="x"),
    "mean": lambda s: s.mean(s.rng(1).normal(size=4000), 0.0, on="x"),
    "mean_at_most": lambda s: s.mean_at_most(s.rng(1).normal(size=4000), 0.01, on="x"),
    "mean_is_not": lambda s: s.mean_is_not(s.rng(1).normal(size=4000), 0.5, on="x"),
    "mean_exceeds": lambda s: s.mean_exceeds(s.rng(1).normal(size=4000), -0.5, on="x"),
    "chi_square": lambda s: s.chi_square(1010.0, 1000, on="x"),
    "frequency": lambda s: s.frequency(310, 1000, 0.3, on="x"),
    "frequency_is_not": lambda s: s.frequency_is_not(310, 1000, 0.5, on="x"),
    "frequency_at_least": lambda s: s.frequency_at_least(990, 1000, 0.9, on="x"),
    "frequency_below": lambda s: s.frequency_below(10, 1000, 0.1, on="x"),
    "distribution": lambda s: s.distribution(s.rng(1).uniform(size=4000), lambda x: x, on="x"),
    "median": lambda s: s.median(s.rng(1).normal(size=4000), 0.0, on="x"),
}
WRONG = {
    "normal": lambda s: s.normal(0.07, 0.0, 0.01, on="x"),
    "normal, sd estimated": lambda s: s.normal(0.09, 0.0, 0.01, degrees=30, on="x"),
    "mean": lambda s: s.mean(s.rng(1).normal(size=4000), 0.12, on="x"),
    "mean_at_most": lambda s: s.mean_at_most(s.rng(1).normal(size=4000), -0.12, on="x"),
    "mean_is_not": lambda s: s.mean_is_not(s.rng(1).normal(size=4000), 0.05, on="x"),
    "mean_exceeds": lambda s: s.mean_exceeds(s.rng(1).normal(size=4000), -0.05, on="x"),
    "chi_square": lambda s: s.chi_square(700.0, 1000, on="x"),
    "frequency": lambda s: s.frequency(400, 1000, 0.3, on="x"),
    "frequency_is_not": lambda s: s.frequency_is_not(310, 1000, 0.25, on="x"),
    "frequency_at_least": lambda s: s.frequency_at_least(910, 1000, 0.9, on="x"),
    "frequency_below": lambda s: s.frequency_below(90, 1000, 0.1, on="x"),
    "distribution": lambda s: s.distribution(s.rng(1).uniform(size=4000), lambda x: np.minimum(1.1 * x, 1), on="x"),
    "median": lambda s: s.median(s.rng(1).normal(size=4000), 0.2, on="x"),
}


#: what compares from two sides, wrong on the side that `WRONG` leaves out
WRONG_AS_WELL = {
    "normal": lambda s: s.normal(-0.07, 0.0, 0.01, on="x"),
    "normal, sd estimated": lambda s: s.normal(-0.09, 0.0, 0.01, degrees=30, on="x"),
    "mean": lambda s: s.mean(s.rng(1).normal(size=4000), -0.12, on="x"),
    "mean_is_not": lambda s: s.mean_is_not(s.rng(1).normal(size=4000), -0.05, on="x"),
    "chi_square": lambda s: s.chi_square(1300.0, 1000, on="x"),
    "frequency": lambda s: s.frequency(200, 1000, 0.3, on="x"),
    "frequency_is_not": lambda s: s.frequency_is_not(190, 1000, 0.25, on="x"),
    "distribution": lambda s: s.distribution(s.rng(1).uniform(size=4000), lambda x: np.maximum(1.1 * x - 0.1, 0), on="x"),
    "median": lambda s: s.median(s.rng(1).normal(size=4000), -0.2, on="x"),
}


def share(comparisons=1, level=SHARE, shift=0):
    return Share(Family(shift), "a test", comparisons, level)


@pytest.mark.parametrize("name", RIGHT)
def test_each_comparison_passes_what_is_right_and_fails_what_is_not(name):
    assert name.partition(",")[0] in {n for n in vars(Share) if not n.startswith("_")}
    taken = share()
    RIGHT[name](taken)
    taken.close()
    (record,) = taken.family.comparisons
    assert record.passed
    assert record.level == SHARE
    for wrong in (WRONG, WRONG_AS_WELL):
        if name not in wrong:
            continue
        taken = share()
        with pytest.raises(AssertionError, match="quantile"):
            wrong[name](taken)
        (record,) = taken.family.comparisons
        assert not record.passed
        assert (record.deviation < record.quantile) == (record.kind == "demonstrated")


def test_every_comparison_is_tried_above():
    public = {n for n in vars(Share) if not n.startswith("_")} - {"seed", "rng", "noise", "level", "close"}
    assert public == {name.partition(",")[0] for name in RIGHT} == {name.partition(",")[0] for name in WRONG}


def _binomial(n, p, counts):
    return mpmath.fsum(mpmath.binomial(n, k) * p**k * (1 - p) ** (n - k) for k in counts)


def test_quantiles_in_40_digits():
    with mpmath.workdps(40):
        for tail in (1e-3, 5e-9, 1e-12):
            z = module.normal_quantile(tail)
            assert abs(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2 / mpmath.mpf(tail) - 1) < 1e-10
            for degrees in (3, 29, 5999):
                t = mpmath.mpf(float(module.student_quantile(tail, degrees)))
                x = degrees / (degrees + t**2)
                # SciPy's inverse is good to 1e-8 this far out
                found = mpmath.betainc(mpmath.mpf(degrees) / 2, 0.5, 0, x, regularized=True) / 2
                assert abs(found / mpmath.mpf(tail) - 1) < 1e-6
            for degrees in (1, 30, 560_000):
                value = mpmath.mpf(module._chi_square_low(degrees, tail))
                low = mpmath.gammainc(mpmath.mpf(degrees) / 2, 0, value / 2, regularized=True)
                assert abs(low / mpmath.mpf(tail) - 1) < 1e-6
            for k, n in ((0, 50), (3, 50), (50, 50), (1234, 4000)):
                low, high = map(mpmath.mpf, map(float, module.clopper_pearson(k, n, tail)))
                if k:
                    assert abs(_binomial(n, low, range(k, n + 1)) / mpmath.mpf(tail) - 1) < 1e-6
                if k < n:
                    assert abs(_binomial(n, high, range(k + 1)) / mpmath.mpf(tail) - 1) < 1e-6


@pytest.mark.parametrize("shift", [-0.2, 0.2])
def test_distance_of_a_distribution_is_that_of_kolmogorov_and_smirnov(shift):
    """From few values, where both sides of a jump matter: the deviate of the Massart bound at SciPy's distance."""
    taken, n = share(level=LEVEL), 6
    x = np.clip((np.arange(n) + 0.5) / n + shift, 0.01, 0.99) + 1e-3 * np.arange(n)
    taken.distribution(x, lambda x: x, on="x")
    distance = stats.kstest(x, lambda x: x).statistic
    (record,) = taken.family.comparisons
    assert abs(record.deviation - max(stats.norm.isf(math.exp(-2 * n * distance**2)), 0.0)) <= 1e-9
    assert record.deviation > 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_quantile_of_a_mean_is_wider_by_the_skewness_of_its_rows(sign):
    """t solves log P(T > t) + |skewness| t^3 / (3 sqrt n) = log of the tail, the larger for it."""
    rows = sign * np.random.default_rng(0).gamma(2.0, size=20_000)
    taken = share(level=LEVEL)
    taken.mean(rows, sign * 2.0, on="x")
    (record,) = taken.family.comparisons
    t, n = record.quantile, len(rows)
    widened = stats.t.logsf(t, n - 1) + abs(stats.skew(rows)) * t**3 / (3 * math.sqrt(n))
    assert abs(widened - math.log(LEVEL / 2)) <= 0.02  # the skewness has its moments with n and n - 1
    assert stats.t.logsf(t, n - 1) < math.log(LEVEL / 2) - 0.2


@pytest.mark.parametrize("law", ["gaussian", "gamma", "rare"])
def test_mean_rejects_about_as_often_as_it_says(law, chance):
    """At level 4e-3, where it can be counted: 20,000 means of 300 values; Student's own quantile rejects more often."""
    draw, runs, n, level = chance(comparisons=1), 20_000, 300, 4e-3
    rng = draw.rng(11)
    make = {"gaussian": lambda size: rng.normal(size=size), "gamma": lambda size: rng.gamma(4.0, size=size) - 4,
            "rare": lambda size: (rng.uniform(size=size) < 0.2) - 0.2}[law]  # fmt: skip
    rejected = plain = 0
    for _ in range(runs // 1000):
        rows = make((n, 1000)).astype(float)
        mean, error, quantile = share(1, level=LEVEL)._studentised(rows, level / 2, False)
        rejected += int(np.sum(np.abs(mean) > quantile * error))
        plain += int(np.sum(np.abs(mean) > stats.t.isf(level / 2, n - 1) * error))
    draw.frequency_below(rejected, runs, 3 * level, on=f"rejections, {law}")
    assert rejected <= plain


def test_a_sample_too_small_for_a_normal_law_is_refused():
    rows = np.zeros(400)
    rows[0] = 1.0
    with pytest.raises(ValueError, match="no normal law"):
        share().mean(rows, 0.0, on="one of 400")
    with pytest.raises(ValueError, match="rows"):
        share().mean([1.0], 0.0, on="one row")
    with pytest.raises(ValueError, match="without ties"):
        share().distribution([0.5, 0.5, 0.7], lambda x: x, on="ties")


def test_nan_fails():
    with pytest.raises(AssertionError):
        share().normal(math.nan, 0.0, 1.0, on="x")
    with pytest.raises(AssertionError):
        share(2).mean(np.array([[1.0, 0.0], [math.nan, 1.0], [2.0, 2.0]]), 1.0, on="x")


def test_comparisons_are_counted():
    taken = share(comparisons=3, level=3e-9)
    assert taken.level == 1e-9
    taken.normal([0.0, 0.1], 0.0, 1.0, on="two")
    with pytest.raises(AssertionError, match="1 not made"):
        taken.close()
    with pytest.raises(AssertionError, match="more than the 3"):
        taken.normal([0.0, 0.1], 0.0, 1.0, on="two more")
    with pytest.raises(AssertionError, match="nothing to compare"):
        share().normal([], 0.0, 1.0, on="none")
    for bad in (0.0, -1e-9, 2 * LEVEL, math.nan):
        with pytest.raises(ValueError, match="share"):
            share(level=bad)


def test_seeds_are_those_written_by_default_and_others_when_shifted():
    assert share().seed(5) == 5
    assert share().rng(5).integers(1 << 62) == np.random.default_rng(5).integers(1 << 62)
    assert share().rng(5, 6).integers(1 << 62) == np.random.default_rng([5, 6]).integers(1 << 62)
    assert np.array_equal(share().noise(5).normal(0, 2, 2), module.Share.noise(share(), 5).normal(0, 2, 2))
    shifted = {share(shift=k).seed(n) for k in range(1, 6) for n in range(5)}
    assert len(shifted) == 25
    assert not shifted & set(range(1000))
    assert share(shift=2).rng(5, 6).integers(1 << 62) != share(shift=3).rng(5, 6).integers(1 << 62)


def test_theory_checks_file_evidence():
    statement = next(iter(ledger.all_statements()))
    collected = ledger.Collected()
    check = ledger.Check(statement, collected)
    draw = check.chance(comparisons=8)
    draw.normal(0.5, 0.0, 1.0, on="a mean")
    draw.chi_square(1000.0, 1000, on="a variance")
    draw.mean_is_not(np.random.default_rng(1).normal(size=400), 1.0, on="rows", dropped="the right mean")
    with pytest.raises(AssertionError, match="control"):
        draw.mean_is_not(np.random.default_rng(1).normal(size=400), 0.0, on="rows", dropped="nothing")
    draw.frequency(310, 1000, 0.3, on="a frequency")
    draw.mean_at_most(np.random.default_rng(1).normal(1.0, 0.1, size=400), 1.1, on="rows")
    draw.mean_exceeds(np.random.default_rng(1).normal(1.0, 0.1, size=400), 0.5, on="rows")
    draw.frequency_at_least(1000, 1000, 0.9, on="a frequency")
    parts = ["equal", "equal", "control", "control", "equal", "holds", "holds", "holds"]
    assert [r.part for r in collected.records] == parts
    assert [r.passed for r in collected.records] == [True, True, True, False, True, True, True, True]
    # the tolerance of two sides is the interval, of one side the quantile; no ratio tells of the number of draws alone
    low, high = module.clopper_pearson(310, 1000, draw.level / 2)
    assert collected.records[4].tolerance == pytest.approx((high - low) / 2, rel=1e-12)
    sample = np.random.default_rng(1).normal(1.0, 0.1, size=400)
    assert collected.records[5].ratio == pytest.approx(sample.mean() / 1.1, rel=1e-12)
    quantile = float(module.student_quantile(draw.level, 399, abs(stats.skew(sample, bias=True)) / 60))
    limit = sample.mean() - quantile * sample.std(ddof=1) / 20
    assert collected.records[6].ratio == pytest.approx(0.5 / limit, rel=1e-3)
    assert collected.records[7].ratio == pytest.approx(0.9 / draw.level**1e-3, rel=1e-12)
    assert "level 1.3e-09 each" in collected.records[0].cause


def test_a_weak_demonstration_fails_the_run_with_the_written_seeds_alone():
    for shift, effect, weak in ((0, 1.9, True), (0, 2.1, False), (1, 1.9, False)):
        taken = share(shift=shift)
        quantile = module.normal_quantile(taken.level / 2)
        taken._compare("demonstrated", "x", effect * quantile, quantile, np.inf, None, effect * quantile, quantile, "normal")
        assert taken.family.weak == weak
        assert ("less than 2 quantiles" in taken.family.summary()) == weak
        assert "where the true effect is at least 2 quantiles" in taken.family.summary()
    assert not Family().weak
    taken = share()
    RIGHT["mean"](taken)
    assert "to first order" in taken.family.summary()


SESSION = """
def test_one(chance):
    chance(comparisons=1, share=SHARE).normal(0.0, 0.0, 1.0, on="x")

def test_two(chance):
    chance(comparisons=1, share=SHARE).normal(0.0, 0.0, 1.0, on="x")

def test_three(chance):
    chance(comparisons=2, share=1e-9).normal(0.0, 0.0, 1.0, on="x")
"""


@pytest.mark.parametrize("taken", [4e-7, 6e-7])
def test_a_session_fails_when_its_shares_exceed_the_level(tmp_path, taken):
    """And a test that makes fewer comparisons than it stated is an error."""
    (tmp_path / "test_it.py").write_text(SESSION.replace("SHARE", str(taken)))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "exactdiffusion.checks.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "-k", "one or two"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (2 * taken > LEVEL), done.stdout
    assert "statistical checks: 2 comparisons (2 exact) in 2 tests" in done.stdout
    assert f"false-alarm probability of this run <= {2 * taken:.3g}" in done.stdout
    if taken == 4e-7:
        done = subprocess.run([*command, "--seed", "7"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "2 comparisons stated, 1 not made" in done.stdout
        assert "shifted by --seed 7" in done.stdout


@pytest.mark.parametrize("seed", [0, 7])
def test_a_session_fails_on_a_weak_demonstration(tmp_path, seed):
    body = "def test_it(chance):\n    chance(comparisons=1).frequency_at_least(99, 100, 0.78, on='x')\n"
    (tmp_path / "test_it.py").write_text(body)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "exactdiffusion.checks.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, f"--seed={seed}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout
    assert done.returncode == (seed == 0), done.stdout
