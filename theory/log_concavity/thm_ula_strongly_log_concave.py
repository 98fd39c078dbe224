"""ULA on a strongly log-concave law (Dalalyan & Karagulyan 2019, Theorem 1, recalled).

Suppose that

    (H1)  a I <= -Hess log p <= L I with a > 0,
    (H2)  0 < h <= 2 / (a + L).

Then

    W2(nu_k, p)  <=  (1 - a h)^k W2(nu_0, p) + 1.65 L/a sqrt(h d).

The first term is sharp; the second is loose: the true bias is O(h).

Measured by the exact law of the chain on a line, without Monte Carlo.
"""

import math
from fractions import Fraction

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion import distances as measure
from exactdiffusion.output_laws import langevin, line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.ula_strongly_log_concave.statement
#: two points at +-1 noised with sigma^2 = 2: the first conditional of the walk, -Hess log p in [1/4, 1/2]
LAW, A, L = GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), 0.25, 0.5
START = GaussianMixture(None, np.array([[6.0]]), 0.25)


def distances(law, start, h, steps, spacing=0.1):
    """W2 of the chain to the law after each of the numbers of steps, (len(steps),), by exact densities."""
    x = langevin.line_nodes(law, start, step=spacing, pad=5 * np.sqrt(2 * h))
    target = line.discretise(law, x)
    return np.array([line.divergences(target, q).w2 for q in langevin.ula(law, start, h, steps, x)])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypotheses(check):
    H = -LAW.hessian(np.linspace(-12, 12, 2401)[:, None])[:, 0, 0]
    check.hypothesis("1/4 <= -Hess log p <= 1/2", (H >= 0.25 - 1e-15) & (H <= 0.5 + 1e-15), on="two points, sigma^2 = 2")


def test_holds(check):
    w0 = distances(LAW, START, 0.4, (0,))[0]
    for h, steps in ((0.4, (1, 5, 20, 60)), (0.1, (4, 20, 100, 200)), (2 / (A + L), (1, 3, 10))):
        measured = distances(LAW, START, h, steps)
        larger = bound.ula_strongly_log_concave(np.array(steps), h, A, L, 1, w0)
        detail = f"ratios {np.array2string(measured / larger, precision=3)}"
        cause = "remainder: quantiles on a grid"
        check.holds(measured, larger, tol=1e-9, cause=cause, on=f"from N(6, 1/4), h = {h:.3g}", detail=detail)


def test_formula_in_fractions(check):
    """Both terms of the printed bound, 1.65 = 33/20, where h d is a square."""
    cases = ((0, "1/4", "1/2", "7/2", 9, "5/4"), (3, "1/16", "1/8", "3", 4, "0"), (7, "1/9", "2", "4", 1, "9"))
    for k, h, a, L, d, w in cases:
        h, a, L, w = map(Fraction, (h, a, L, w))
        root = Fraction(math.isqrt(h.numerator * d), math.isqrt(h.denominator))
        assert root**2 == h * d
        exact = float((1 - a * h) ** k * w + Fraction(33, 20) * L / a * root)
        value = bound.ula_strongly_log_concave(k, float(h), float(a), float(L), d, float(w))
        tol, cause = (16 + 4 * k) * 2.0**-52 * exact, "rounding: (16 + 4 k) eps: roundings of the power and of the terms"
        check.equal(value, exact, tol=tol, cause=cause, on=f"fractions, k = {k}, d = {d}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_first_term_is_sharp(check):
    """The factor (1 - a h)^k: a Gaussian target and a shifted start lose exactly this much of the shift per step."""
    law, start = GaussianMixture(None, np.zeros((1, 1)), 4.0), GaussianMixture(None, np.array([[8.0]]), 4.0)
    x, steps = langevin.line_nodes(law, start, step=0.1), (1, 6)
    means = [(h, k, q.mean) for h in (0.2, 1.0) for k, q in zip(steps, langevin.ula(law, start, h, steps, x))]
    ratios = [mean / 8.0 / (1 - h / 4) ** k for h, k, mean in means]
    cause = "remainder: 64 eps per step and the tails beyond 10 deviations"
    check.tight(ratios, 1.0, tol=1e-12, cause=cause, on="N(0, 4), mean of the chain")


def test_attained_far_away(check):
    """A start so far that the bias term is 1e-9 of the bound: the exact W2 of the Gaussian recursion reaches it."""
    a, h, far = 0.25, 0.4, 1e10
    for k in (1, 6, 40):
        mean, variance = far * (1 - a * h) ** k, 4.0
        for _ in range(k):
            variance = (1 - a * h) ** 2 * variance + 2 * h
        w2 = math.hypot(mean, math.sqrt(variance) - 2)
        larger = bound.ula_strongly_log_concave(k, h, a, a, 1, far)
        tol, cause = 2 * math.sqrt(h) / mean + 1e-13, "remainder: the bias term, 1.65 sqrt(h) of the distance, and rounding"
        check.holds(w2, larger, tol=0, cause="exact: the bias term is in hand", on=f"N(0, 4) from N(1e10, 4), k = {k}")
        check.tight(w2 / larger, 1.0, tol=tol, cause=cause, on=f"N(0, 4) from N(1e10, 4), k = {k}")


def test_rate_of_the_bias(check):
    """The measured bias is O(h), the bound O(sqrt h): loose, and by how much is on record."""
    h = np.array([0.4, 0.2, 0.1])
    bias = np.array([distances(LAW, LAW, v, (int(40 / v),))[0] for v in h])
    check.rate(measure.fit_slope(h, bias), 1.0, within=0.06, on="bias after time 40 against h")
    floor = [bound.ula_strongly_log_concave(10**9, v, A, L, 1, 1.0) for v in h]
    check.rate(measure.fit_slope(h, floor), 0.5, within=1e-9, on="the bound's bias against h")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) p is not log-concave, or a is too large; and the bias term."""
    wide, start = GaussianMixture(None, np.array([[-4.0], [4.0]]), 1.0), GaussianMixture(None, np.array([[4.0]]), 0.25)
    stuck = distances(wide, start, 0.1, (200,))[0]
    larger = bound.ula_strongly_log_concave(200, 0.1, 0.5, 1.0, 1, distances(wide, start, 0.1, (0,))[0])
    dropped = "strong log-concavity (two far modes, a = 1/2 pretended)"
    check.control(dropped, stuck, larger, on="modes at +-4, h = .1, k = 200")
    w0 = distances(LAW, START, 0.4, (0,))[0]
    fast = bound.ula_strongly_log_concave(5, 0.4, 2 * A, L, 1, w0) - 1.65 * (L / (2 * A)) * np.sqrt(0.4)
    w2 = distances(LAW, START, 0.4, (5,))[0]
    check.control("a (2 a) in the first term", w2, fast, on="h = .4, k = 5, first term alone")

    measured = distances(LAW, START, 0.4, (60,))
    check.control("the bias term", measured, (1 - A * 0.4) ** 60 * w0, tol=1e-6, on="h = .4, k = 60")
