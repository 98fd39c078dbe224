"""Mean squared errors with standard errors, slopes with intervals: exact values and stated coverage."""

import math

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student

from exactdiffusion import distances

EPS = np.finfo(float).eps


def test_mse_by_hand(accuracy):
    result = distances.mse([[1.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]])
    assert result.value == 5.0
    assert abs(result.standard_error - 4.0) <= 8 * EPS * 4  # rows 1 and 9: std 4 sqrt 2, over sqrt 2
    assert result.n == 2
    assert float(result) == 5.0
    low, high = result.interval(0.95)
    error = abs((high - low) / 2 - 1.959963984540054 * 4)
    accuracy("distances.Estimate.interval", error, 64 * EPS * 8, "normal quantile, 16 digits")
    assert distances.mse([[1.0]], [[0.0]]).standard_error == math.inf


def test_nmse_by_hand_and_scale_invariance(accuracy):
    estimate, truth = np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    accuracy("distances.nmse", abs(distances.nmse(estimate, truth).value - 3.0), 0.0, "by hand")
    assert distances.nmse(estimate, truth, power=2.0).value == 1.5
    assert distances.nmse(0 * truth, truth).value == 1.0
    uneven = np.array([[1.0, 0.0], [0.0, 3.0]])
    assert distances.nmse(0 * uneven, uneven).standard_error == 0.0  # numerator = denominator, row by row
    assert distances.nmse(0 * uneven, uneven, power=5.0).standard_error > 0.5
    assert distances.nmse(4 * estimate, 4 * truth).value == 3.0


def test_excess_error(accuracy):
    a, b = np.zeros((3, 2)), np.full((3, 2), 0.5)
    accuracy("distances.excess_error", abs(distances.excess_error(a, b).value - 0.5), 0.0, "by hand")
    assert distances.excess_error(a, b, mmse=0.25).value == 2.0


@pytest.mark.parametrize("kind", ["mse", "nmse"])
def test_intervals_cover_at_their_level(kind, chance):
    """Exact value known: x ~ N(0, I_2), estimate x / 2, so MSE = 1/2 and NMSE of a noisy estimate follows."""
    hits, runs, level, draw = 0, 400, 0.9, chance(comparisons=1)
    for seed in range(runs):
        rng = draw.rng(seed)
        x, noise = rng.normal(size=(2, 400, 2))
        if kind == "mse":
            result, exact = distances.mse(x / 2, x), 0.5
        else:
            result, exact = distances.nmse(x / 2 + 0.3 * noise, x), 0.25 + 0.09
        low, high = result.interval(level)
        hits += low <= exact <= high
    # Edgeworth's next term at n = 400: -.0032 for mse (skewness 2, excess kurtosis 6); 60,000 runs: -.0023 and +.0004
    draw.frequency(hits, runs, level, tol=0.005, on=f"coverage of {kind}, to what the normal law at n = 400 leaves out")


def test_errors_on_other_arrays():
    xp = pytest.importorskip("array_api_strict")
    a, b = np.random.default_rng(0).normal(size=(2, 30, 3))
    for f in (distances.mse, distances.nmse, distances.excess_error):
        one, two = f(a, b), f(xp.asarray(a), xp.asarray(b))
        assert abs(one.value - two.value) <= 16 * EPS * one.value
        assert abs(one.standard_error - two.standard_error) <= 64 * EPS * one.standard_error


@pytest.mark.parametrize("slope", [-4.0, -1.0, 0.5, 2.0])
def test_exact_power_law(slope, accuracy):
    x = 2.0 ** np.arange(10)
    fit = distances.fit_slope(x, 3 * x**slope)
    assert abs(fit.slope - slope) <= 64 * EPS * (1 + abs(slope))
    assert abs(fit.intercept - math.log(3)) <= 256 * EPS * (1 + abs(slope))
    assert fit.low <= fit.slope <= fit.high
    assert fit.high - fit.low <= 1e3 * EPS * (1 + abs(slope))
    error = np.abs(distances.local_slopes(x, 3 * x**slope) - slope)
    accuracy("distances.local_slopes", error, 64 * EPS * (1 + abs(slope)), "exact power")
    assert np.max(np.abs(distances.local_slopes(x[::-1], 3 * x[::-1] ** slope) - slope)) <= 64 * EPS * (1 + abs(slope))
    assert float(fit) == fit.slope


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_against_scipy_linregress(level, accuracy):
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 300, 9)
    y = x**-1.5 * np.exp(0.1 * rng.normal(size=9))
    other = linregress(np.log(x), np.log(y))
    half = student.ppf(0.5 + level / 2, 7) * other.stderr
    fit = distances.fit_slope(x, y, level=level)
    accuracy("distances.fit_slope", abs(fit.slope - other.slope), 256 * EPS, "scipy.stats.linregress")
    accuracy("distances.fit_slope", abs(fit.high - other.slope - half), 1024 * EPS, "scipy.stats.linregress, interval")
    assert abs(fit.intercept - other.intercept) <= 1024 * EPS
    plain = distances.fit_slope(x, y, log=False)
    assert abs(plain.slope - linregress(x, y).slope) <= 256 * EPS


@pytest.mark.parametrize(("i", "j"), [(-540, 0), (0, -560), (-1000, -900), (960, 0), (500, -500)])
def test_line_far_from_one(i, j):
    """Fitting y against x: powers of two in the units of both leave the digits alone, though squares leave the range."""
    x, y = np.array([1.0, 2.0, 3.5, 4.0]), np.array([0.2, -1.0, 0.7, 2.0])
    want = distances.fit_slope(x, y, log=False)
    fit = distances.fit_slope(np.ldexp(x, i), np.ldexp(y, j), log=False)
    unit = np.ldexp(1.0, j - i)
    assert (fit.slope, fit.low, fit.high) == (want.slope * unit, want.low * unit, want.high * unit)
    assert fit.intercept == np.ldexp(want.intercept, j)


@pytest.mark.parametrize(("n", "level"), [(3, 0.9), (6, 0.9), (12, 0.5)])
def test_interval_coverage(n, level, chance):
    """Gaussian residuals: exact coverage, also at n = 3 where a normal quantile would cover far less."""
    draw = chance(comparisons=1)
    rng = draw.rng(n)
    x, runs = np.geomspace(1, 100, n), 3000
    hits = 0
    for _ in range(runs):
        fit = distances.fit_slope(x, x**-2.0 * np.exp(0.2 * rng.normal(size=n)), level=level)
        hits += fit.low <= -2.0 <= fit.high
    draw.frequency(hits, runs, level, on=f"coverage of the slope, n = {n}")


def test_last_octaves():
    x = 2.0 ** np.arange(8)
    y = np.where(x < 16, 1.0, 16 / x)  # plateau, then 1 / x
    assert abs(distances.fit_slope(x, y, last=3).slope + 1) <= 64 * EPS
    assert distances.fit_slope(x, y, last=3).n == 4
    assert distances.fit_slope(x, y).slope > -0.8
    assert distances.fit_slope(x[::-1], y[::-1], last=3).n == 4
