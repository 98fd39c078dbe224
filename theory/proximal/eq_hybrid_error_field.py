"""The error field of the hybrid scheme given the start of the step.

Let l_t = ln p_t for the law p_t of e^{-t/2} X_0 + sqrt(1 - e^{-t}) Z, q the interpolating process of the hybrid scheme
with l = l_{k-1}, and e the field of `eq_kl_derivative` given X_k = y. Suppose that

    (H1)  l is three times differentiable and l_t once,
    (H2)  J = 1 - s l'' is positive on [0, g],
    (H3)  under the true law y = e^{-s/2} x + sqrt(1 - e^{-s}) Z.

Then, with a_s = e^{-s/2} / sqrt(1 - e^{-s}),

    J e  =  (x - y) / 2 + (J - 1) x / 2 + (J - 1)^2 J^-1 l_t' / 2 + (l_t' - l') - (J - J^-1) a_s Z / 2 + (s/2) J^-2 l'''.

Its part with Z is sqrt(s) (l'' - 1/2) + O(s^{3/2}): the constant c = -1/2 of the trajectory KL.

Source: derived here. Measured against the definition at rational points.
"""

import mpmath as mp
import numpy as np
import sympy as sp

from exactdiffusion.statements import proximal as bound

STATEMENT = bound.hybrid_error_field.statement
EPS = np.finfo(np.float64).eps
x, s, Z = sp.symbols("x s Z", positive=True)


def definition(conditional=True):
    """J e given y, from the definition, for generic l and l_t; (expression, now, d1, d2, d3)."""
    log, log_t = sp.Function("l")(x), sp.Function("m")(x)
    y = sp.Symbol("y")
    state = sp.exp(-s / 2) * x + sp.sqrt(1 - sp.exp(-s)) * Z
    d1, d2, d3 = (sp.diff(log, x, k) for k in (1, 2, 3))
    now = sp.diff(log_t, x)
    drift, J = bound.interpolating_process(s, x, d1, d2, d3, "proximal_hybrid", y)
    score = now + (sp.exp(-s / 2) / sp.sqrt(1 - sp.exp(-s)) * Z if conditional else 0)
    A = J**-2
    e = (x / 2 + now) - drift - sp.diff(1 - A, x) / 2 - (1 - A) * score / 2
    return (J * e).subs(y, state), (now, d1, d2, d3)


def points(seed=3, n=12):
    rng = np.random.default_rng(seed)
    return [
        tuple(sp.Rational(int(1000 * v), 1000) for v in rng.uniform(-1.5, 1.5, 6)) + (h,)
        for _ in range(n)
        for h in (sp.Rational(1, 100), sp.Rational(1, 5))
    ]


def compare(Je, inputs):
    """Exact values at rational points, the registered floats there, and the size of the terms."""
    now, d1, d2, d3 = inputs
    a, b, c, e = sp.symbols("a b c e")
    flat = Je.subs(d3, e).subs(d2, c).subs(d1, b).subs(now, a)
    exact = sp.lambdify((x, s, Z, a, b, c, e), flat, "mpmath")
    left, right, scale = [], [], []
    for at, z, m1, l1, l2, l3, h in points():
        with mp.workdps(30):
            left.append(float(exact(*(mp.mpf(int(v.p)) / int(v.q) for v in (at, h, z, m1, l1, l2, l3)))))
        inputs = [float(v) for v in (h, at, m1, l1, l2, l3)]
        constant, factor = bound.hybrid_error_field(*inputs)
        right.append(constant + factor * float(z))
        scale.append(1 + sum(abs(v) for v in inputs) + abs(factor * float(z)) + float(abs(z)) / np.sqrt(float(h)))
    return np.array(left), np.array(right), np.array(scale)


CAUSE = "rounding: 64 eps of the terms: J - 1/J cancels one digit"


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_definition(check):
    left, right, scale = compare(*definition())
    check.equal(right, left, tol=64 * EPS * scale, cause=CAUSE, on="constant + factor Z = J e at 24 rational points")


def test_conditional_score(check):
    """SymPy: grad_x log p(x_s | y) = l_t' + a_s Z, the input of the definition."""
    at, y, h = sp.symbols("u y h", positive=True)
    variance = 1 - sp.exp(-h)
    slope = sp.diff(-((y - sp.exp(-h / 2) * at) ** 2) / (2 * variance), at)
    value = slope.subs(y, sp.exp(-h / 2) * at + sp.sqrt(variance) * Z)
    residual = sp.simplify(value - sp.exp(-h / 2) / sp.sqrt(variance) * Z)
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="score of the forward kernel")


def test_leading_order(check):
    """s to 0: the factor of Z is sqrt(s) (l'' - 1/2) + O(s^(3/2)): the constant c = -1/2 of the trajectory KL."""
    for curvature in (-2.5, 0.0, 1.7):
        h = 1e-6
        factor = bound.hybrid_error_field(h, 0.3, 0.1, 0.1, curvature, 0.4)[1]
        tol = 4 * h * (1 + curvature**2)
        on = f"l'' = {curvature}"
        check.equal(factor / np.sqrt(h), curvature - 0.5, tol=tol, cause="remainder: next term, 4 s (1 + l''^2)", on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H3) in the score, and the sign of the leading constant."""
    # (H3) the score given y without its part a_s Z
    left, right, scale = compare(*definition(conditional=False))
    check.control("a_s Z in the score given y", np.abs(left - right), 64 * EPS * scale, on="24 rational points")

    # c = +1/2, which is the constant of the other schemes
    h, curvature = 1e-6, 1.7
    factor = bound.hybrid_error_field(h, 0.3, 0.1, 0.1, curvature, 0.4)[1]
    off = abs(factor / np.sqrt(h) - (curvature + 0.5))
    check.control("the sign of c (+1/2)", off, 4 * h * (1 + curvature**2), on="l'' = 1.7")
