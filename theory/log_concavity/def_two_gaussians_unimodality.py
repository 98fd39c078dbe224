"""Two Gaussians: unimodal before log-concave (derived; the slides quote Loog et al. for compact support).

Let w N(mu, v I) + (1 - w) N(-mu, v I), Dm = |mu| / sqrt(v) and c = log(w / (1 - w)) / 2. Then there is

    one mode    <=>    Dm <= 1    or    |c| >= Dm sqrt(Dm^2 - 1) - arccosh(Dm).

At w = 1/2 this is log-concavity; for uneven weights less noise removes the minor mode.

Measured by counting modes on a grid on either side of the criterion, and by the margin itself in 30 digits.
"""

import mpmath
import numpy as np
import sympy
from scipy.optimize import brentq

from exactdiffusion import GaussianMixture
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.unimodality_margin.statement
WEIGHTS = (0.5, 0.3, 0.2, 0.05)


def critical(w):
    """Dm at which the margin vanishes."""
    return 1.0 if w == 0.5 else brentq(lambda r: bound.unimodality_margin(r, w), 1.0, 20.0, xtol=1e-14)


def modes(ratio, w):
    """Modes of w N(ratio, 1) + (1 - w) N(-ratio, 1) by sign changes of the library's score on 400,001 points."""
    y = np.linspace(-ratio - 1, ratio + 1, 400_001)[:, np.newaxis]
    score = GaussianMixture(np.array([w, 1 - w]), np.array([[ratio], [-ratio]]), 1.0).score(y)[:, 0]
    return int(np.sum((score[:-1] > 0) & (score[1:] <= 0)))


def exact_margin(ratio, w):
    """|c| minus the largest value of Dm^2 tanh u - u, found by its derivative, in 30 digits."""
    with mpmath.workdps(30):
        square, c = mpmath.mpf(ratio) ** 2, abs(mpmath.log(mpmath.mpf(w) / (1 - mpmath.mpf(w)))) / 2
        largest = mpmath.mpf(0)  # at u = 0; for Dm > 1 at the root of Dm^2 sech^2 u = 1, below 1 + log(2 Dm)
        if ratio > 1:
            bracket = (mpmath.mpf("1e-6"), 1 + mpmath.log(2 * mpmath.mpf(ratio)))
            u = mpmath.findroot(lambda u: square - mpmath.cosh(u) ** 2, bracket, solver="anderson")
            largest = square * mpmath.tanh(u) - u
        return float(c - largest)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_criterion(check):
    """The number of modes on either side of the critical ratio, for four weights."""
    cases = [(factor * critical(w), w) for w in WEIGHTS for factor in (0.5, 0.99, 0.999, 1.001, 1.01, 2.0)]
    counted = [modes(ratio, w) for ratio, w in cases]
    predicted = [1 if bound.unimodality_margin(ratio, w) >= 0 else 2 for ratio, w in cases]
    check.equal(counted, predicted, tol=0, cause="exact: a count", on="4 weights, Dm at .5 ... 2 times the critical one")


def test_values(check):
    found = [critical(w) for w in WEIGHTS]
    cause = "printed digits"
    check.equal(found, [1, 1.35729, 1.49034, 1.79032], tol=5e-6, cause=cause, on="critical Dm, w = .5, .3, .2, .05")
    fractions = 1 / np.array(found) ** 2
    check.equal(fractions, [1, 0.543, 0.450, 0.312], tol=5e-4, cause="printed digits", on="share of the log-concavity noise")


def test_margin_in_30_digits(check):
    """The margin itself, not its sign alone."""
    cases = [(ratio, w) for w in (0.5, 0.3, 0.01) for ratio in (0.4, 1.0, 1.2, 2.0, 7.5)]
    value, exact = ([float(margin(*case)) for case in cases] for margin in (bound.unimodality_margin, exact_margin))
    tol = 16 * np.finfo(float).eps * (1 + np.square([ratio for ratio, _ in cases]))
    cause = "rounding: 16 eps (1 + Dm^2): rounding of the two terms"
    check.equal(value, exact, tol=tol, cause=cause, on="margin, 3 weights, Dm .4 .. 7.5")


def test_by_sympy(check):
    """u - D^2 tanh u is stationary at arccosh D, with the value arccosh D - D sqrt(D^2 - 1)."""
    D = sympy.symbols("D", positive=True)
    u = sympy.acosh(1 + D)  # D > 0 stands for Dm - 1
    slope = sympy.simplify(1 - (1 + D) ** 2 / sympy.cosh(u) ** 2)
    value = sympy.simplify(u - (1 + D) ** 2 * sympy.sinh(u) / sympy.cosh(u) - (u - (1 + D) * sympy.sinh(u)))
    check.equal([float(slope), float(value)], 0.0, tol=0, cause="exact: SymPy", on="critical point of the mode equation")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Log-concavity as the criterion, and the other sign of c."""
    w, ratio = 0.2, 1.2  # unimodal although not log-concave
    check.control("the weights (log-concavity as the criterion)", 2.0, modes(ratio, w), on="w = .2, Dm = 1.2: one mode")

    def halved(ratio):
        return 2 * bound.unimodality_margin(ratio, 0.5) + np.log(w / (1 - w))

    wrong = np.array([1 if halved(ratio) >= 0 else 2 for ratio in (1.3, 1.45)])
    check.control("the sign of c", np.abs(wrong - [modes(1.3, w), modes(1.45, w)]), 0.0, on="w = .2, two ratios")
