"""Theorem 4.3 by SymPy: at beta_* the right side of Definition 4.1 is an equality, and the left one has slack.

Suppose that (H1) beta_t = beta is constant in (0, 1) and (H2) 0 <= eta < 1 <= nu. Then the schedule of N steps is
(eta, nu)-admissible if and only if

    beta  <=  beta_* = c / (eta + c),        c = 1 - nu^(-1/N).

Per step the right side of the definition is spent exactly, and the left one is (2 - nu^(-1/N)) of nu^(1/N).

Source: Theorem 4.3 of Permenter & Yuan (recalled; slide 18 has "beta < C(eta, nu)"); `thm_4_3_largest_constant_step.py`
measures it in 60 digits.
"""

import sympy

from exactdiffusion.statements import projection as bound

STATEMENT = bound.beta_star.statement


def symbols():
    eta, root = sympy.symbols("eta r", positive=True)  # r = nu^(1/N)
    c = 1 - 1 / root
    return eta, root, c / (eta + c)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_left_side_has_slack(check):
    """(1 + b (eta - 1)) / (1 - b) = 2 - nu^(-1/N), which is below nu^(1/N) by (r - 1)^2 / r."""
    eta, root, b = symbols()
    left = (1 + b * (eta - 1)) / (1 - b)
    residuals = [sympy.simplify(left - (2 - 1 / root)), sympy.simplify(root - left - (root - 1) ** 2 / root)]
    check.equal([float(r != 0) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="left slack")


def test_float_function_is_this_formula(check):
    """The registered float64 function against the symbolic one in 40 digits."""
    eta, root, b = symbols()
    worst = []
    for e, nu, N in ((0.02, 1.05, 40), (0.5, 3.0, 7), (0.99, 100.0, 1)):
        exact = sympy.N(b.subs({eta: sympy.Float(e, 40), root: sympy.Float(nu, 40) ** sympy.Rational(1, N)}), 40)
        worst.append(abs(float(bound.beta_star(e, nu, N) / exact - 1)))
    check.holds(
        worst, 8 * 2.0**-52, tol=0, cause="rounding: 8 eps", on="float64 beta_* against SymPy in 40 digits", of="rounding"
    )


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_right_side_is_spent(check):
    eta, root, b = symbols()
    residual = sympy.simplify((1 - b) / (1 - b * (1 + eta)) - root)
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="per-step ratio of the right side is nu^(1/N)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_control(check):
    """With 1 + eta replaced by 1 - eta in the right side nothing is spent."""
    eta, root, b = symbols()
    residual = (1 - b) / (1 - b * (1 - eta)) - root
    value = residual.subs({eta: sympy.Rational(1, 5), root: sympy.Rational(11, 10)})
    check.control("the sign of eta", abs(float(value)), 0.0, tol=1e-12, on="SymPy: residual at eta 1/5, r 11/10")
