"""Gradient estimation as a weighted least-squares estimate: where gamma comes from.

Let eps_t and eps_{t+1} be two noise predictions. Suppose that

    (H1)  the weights [[a, b], [b, c]] are positive definite: a > 0 and a c > b^2.

Then the minimiser over e of a |e - eps_t|^2 + 2 b <e - eps_t, e - eps_{t+1}> + c |e - eps_{t+1}|^2 is

    gamma eps_t + (1 - gamma) eps_{t+1}    with    gamma = (a + b) / (a + 2 b + c).

gamma = 2 exactly when b = -(a + 2 c) / 3, and then the weights are definite exactly when c < a < 4 c. Every real gamma
occurs; gamma > 1 needs b < -c, errors that are weighted as anticorrelated.

Source: Section 5 and Algorithm 2 of Permenter & Yuan (slides 19 and 20); the weighted norm is recalled, and proved here.
"""

import numpy as np
import sympy

from exactdiffusion.statements import projection as bound

STATEMENT = bound.gradient_estimation_gamma.statement
EPS = np.finfo(np.float64).eps


def definite_weights(rng, count):
    """Random positive definite W with condition numbers up to 1e4, scales from 1e-3 to 1e3."""
    angle = rng.uniform(0, np.pi, count)
    low, high = np.sort(10 ** rng.uniform(-2, 2, (2, count)), axis=0) * 10 ** rng.uniform(-3, 3, count)
    cos, sin = np.cos(angle), np.sin(angle)
    return low * cos**2 + high * sin**2, (low - high) * cos * sin, low * sin**2 + high * cos**2


def objective(e, first, second, a, b, c):
    u, v = e - first, e - second
    return a * np.sum(u * u, -1) + 2 * b * np.sum(u * v, -1) + c * np.sum(v * v, -1)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_minimiser(check):
    """Against the normal equations solved as a linear system, and against every nearby point."""
    rng = np.random.default_rng(440)
    a, b, c = definite_weights(rng, 400)
    check.hypothesis("W positive definite", (a > 0) & (a * c > b * b), on="400 random W")
    first, second = rng.standard_normal((2, 400, 5))
    gamma = bound.gradient_estimation_gamma(a, b, c)[:, None]
    closed = gamma * first + (1 - gamma) * second

    # the least-squares form: W^(1/2) (1, 1) e = W^(1/2) (first, second)
    solved = np.empty_like(closed)
    for i in range(len(a)):
        root = np.linalg.cholesky(np.array([[a[i], b[i]], [b[i], c[i]]])).T
        solved[i] = np.linalg.lstsq(root @ np.ones((2, 1)), root @ np.stack([first[i], second[i]]), rcond=None)[0][0]
    condition = ((a + c) ** 2 / (a * c - b * b))[:, None]
    size = 1 + np.abs(gamma) * (np.abs(first) + np.abs(second))
    tol, on = 32 * EPS * condition * size, "closed form against least squares"
    check.equal(closed, solved, tol=tol, cause="rounding: 32 eps cond(W) |e|", on=on)

    # no point nearby is better
    best = objective(closed, first, second, a, b, c)
    tol = 64 * EPS * (a + 2 * np.abs(b) + c) * np.sum(size**2, axis=1)
    for scale in (1e-3, 1.0):
        other = objective(closed + scale * rng.standard_normal(closed.shape), first, second, a, b, c)
        check.holds(best, other, tol=tol, cause="rounding: 64 eps |W| |e|^2", on=f"objective against points at {scale:g}")


def test_algebra(check):
    """SymPy: the minimiser, gamma = 2 iff b = -(a + 2c)/3, definiteness there, and every real gamma."""
    a, b, c, e, f, g = sympy.symbols("a b c e f g", real=True)
    J = a * (e - f) ** 2 + 2 * b * (e - f) * (e - g) + c * (e - g) ** 2
    minimiser = sympy.solve(sympy.diff(J, e), e)
    gamma = bound.gradient_estimation_gamma(a, b, c)
    two = sympy.solve(sympy.Eq(gamma, 2), b)
    t = sympy.symbols("t", real=True)
    every = {a: 1 + t**2, c: 1 + (1 - t) ** 2, b: t * (1 - t) - 1}
    residuals = [
        sympy.simplify(minimiser[0] - (gamma * f + (1 - gamma) * g)),
        sympy.simplify(sympy.diff(J, e, 2) - 2 * (a + 2 * b + c)),
        sympy.simplify(two[0] + (a + 2 * c) / 3),
        sympy.expand((a * c - b**2).subs(b, two[0]) + (a - c) * (a - 4 * c) / 9),
        # every real gamma = t: a = 1 + t^2, c = 1 + (1 - t)^2, b = t (1 - t) - 1 has a > 0 and determinant 1
        sympy.simplify((gamma - t).subs(every)),
        sympy.expand((a * c - b**2).subs(every) - 1),
    ]
    assert len(minimiser) == len(two) == 1
    check.equal(
        [float(r) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="minimiser, gamma, gamma = 2, definiteness"
    )


def test_gamma_two_needs_c_below_a_below_4c(check):
    rng = np.random.default_rng(441)
    a, c = 10 ** rng.uniform(-2, 2, (2, 2000))
    b = -(a + 2 * c) / 3
    inside = (c < a) & (a < 4 * c)
    smallest = np.linalg.eigvalsh(np.stack([np.stack([a, b], -1), np.stack([b, c], -1)], -2))[:, 0]
    clear = np.abs(smallest) > 1e-12 * (a + c)
    check.hypothesis("away from the boundary by more than rounding", clear, on="2,000 random (a, c)")
    check.equal(
        (smallest > 0).astype(float), inside.astype(float), tol=0, cause="exact: yes/no", on="definite iff c < a < 4c"
    )
    gamma = bound.gradient_estimation_gamma.formula(a, b, c)  # of indefinite W, too
    # a + 2b + c = (a - c)/3 cancels where a is near c
    tol = 16 * EPS * (a + c) / np.abs(a - c)
    check.equal(gamma, 2.0, tol=tol, cause="rounding: 16 eps (a + c)/|a - c|: cancellation in a + 2b + c", on="gamma = 2")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    rng = np.random.default_rng(442)
    a, b, c = definite_weights(rng, 100)
    first, second = rng.standard_normal((2, 100, 5))
    gamma = bound.gradient_estimation_gamma(a, b, c)[:, None]
    best = objective(gamma * first + (1 - gamma) * second, first, second, a, b, c)
    swapped = ((b + c) / (a + 2 * b + c))[:, None]
    other = objective(swapped * first + (1 - swapped) * second, first, second, a, b, c)
    check.control("gamma (the two predictions exchanged)", other, best, tol=1e-9 * best, on="100 random W")
    # b = 0, independent errors: gamma = 2 is not the estimate, whatever a and c
    independent = bound.gradient_estimation_gamma(a, 0.0, c)
    check.control("b < -c (independent errors, b = 0)", 2.0, independent, tol=1e-9, on="gamma <= 1 for b = 0")
    # an indefinite W: the stationary point is a maximum along (first - second)
    a, b, c = 1.0, -1.4, 1.2
    gamma = bound.gradient_estimation_gamma.formula(a, b, c)
    u, v = np.array([[1.0]]), np.array([[0.0]])
    best = objective(gamma * u + (1 - gamma) * v, u, v, a, b, c)
    check.control("W positive definite", best, objective(np.array([[3.0]]), u, v, a, b, c), on="a 1, b -1.4, c 1.2")
