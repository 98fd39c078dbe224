"""Lemma 4.1 by SymPy: both sides, and the two errors that attain them.

Let f = d^2 / 2 and x' = x - beta (grad f(x) + e). Suppose that (H1) K is closed and p(x) unique, (H2) 0 <= beta <= 1, and
(H3) |e| <= eta d(x). Then

    (1 - beta (1 + eta)) d(x)  <=  d(x')  <=  (1 + beta (eta - 1)) d(x),

with equality above for the undershoot e = -eta grad f and below for the overshoot e = eta grad f, on the ray from p
through x.

Source: Lemma 4.1 of Permenter & Yuan (statement recalled); `lem_4_1_one_step_distance.py` measures it on closed sets.
"""

import sympy

from exactdiffusion.statements import projection as bound

STATEMENT = bound.one_step_distance.statement


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_upper_side_for_every_error(check):
    """(upper)^2 - |(1 - b) n d - b e|^2 with e = eta d (cos n + sin m) is 2 b (1 - b) eta d^2 (1 + cos) >= 0."""
    d, b, eta, angle = sympy.symbols("d beta eta theta", positive=True)
    _, high = bound.one_step_distance(d, b, eta)
    along = (1 - b) * d - b * eta * d * sympy.cos(angle)
    across = b * eta * d * sympy.sin(angle)
    slack = sympy.simplify(high**2 - along**2 - across**2 - 2 * b * (1 - b) * eta * d**2 * (1 + sympy.cos(angle)))
    check.equal(float(slack), 0.0, tol=0, cause="exact: SymPy", on="slack of the upper side for an error of any direction")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_equality_cases(check):
    d, b, eta = sympy.symbols("d beta eta", positive=True)
    gradient = d  # on the ray p + s n: f = s^2/2, grad f = s n, so one coordinate is enough
    low, high = bound.one_step_distance(d, b, eta)
    under = d - b * (gradient - eta * gradient)
    over = d - b * (gradient + eta * gradient)
    residuals = [sympy.expand(under - high), sympy.expand(over - low)]
    check.equal([float(r != 0) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="undershoot above, overshoot below")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_control(check):
    """The slack changes sign at beta = 1: beyond it the upper side is false."""
    d, b, eta, angle = sympy.symbols("d beta eta theta", positive=True)
    slack = 2 * b * (1 - b) * eta * d**2 * (1 + sympy.cos(angle))
    value = slack.subs({d: 1, b: sympy.Rational(3, 2), eta: sympy.Rational(1, 5), angle: 0})
    check.control("beta <= 1 (3/2)", 0.0, float(value), on="SymPy: the slack is negative")
