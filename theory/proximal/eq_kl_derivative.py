"""Lemma 5: the rate of change of KL(p | q) along two diffusions.

Put r = grad ln(p/q) and e = (b_p - b_q) - div(A_p - A_q) / 2 - (A_p - A_q) grad ln p / 2. Suppose that

    (H1)  p and q are smooth positive densities of dX = b_p ds + A_p^{1/2} dW and dX = b_q ds + A_q^{1/2} dW,
    (H2)  boundary terms vanish.

Then

    d/ds KL(p | q)  =  -(1/2) E_p r'A_q r + E_p r'e  <=  (1/2) E_p e'A_q^{-1} e.

The bound is attained where e = A_q r: two shifted Gaussians.

Source: Lemma 5 of Fang, Diaz, Buchanan & Sulam (name seen); derived here.

Measured against the derivative of KL itself: p is the true reverse process of a mixture, q the interpolating process of a
backward or hybrid step from an unrelated mixture. Both densities are analytic in s, so Im KL(s + i h) / h is dKL/ds to
rounding.
"""

import numpy as np
import sympy as sp

from exactdiffusion.statements import proximal as bound

STATEMENT = bound.kl_derivative.statement
EPS = np.finfo(np.float64).eps
TARGET = (np.array([0.4, 0.6]), np.array([-0.7, 0.5]), 0.4)
OTHER = (np.array([0.3, 0.7]), np.array([-0.6, 0.8]), 0.7)
X = np.linspace(-11.0, 11.0, 1101)
WEIGHT = X[1] - X[0]
G, TIME = 0.25, 0.6  # a step from t = TIME down to TIME - G
CAUSE = "rounding: 1e-11 of the size of its terms: rounding of 1101 terms and of exponents up to 150"


def cumulants(law, x, scale=1.0, extra=0.0):
    """Log density and first three derivatives of scale X + N(0, extra); scale, extra and x may be complex."""
    w, c, v = law
    variance, c = scale**2 * v + extra, scale * c
    logits = np.log(w) - (x[:, None] - c) ** 2 / (2 * variance)
    top = np.max(logits.real, axis=1)
    terms = np.exp(logits - top[:, None])
    total = terms.sum(axis=1)
    r = terms / total[:, None]
    mean = r @ c
    second, third = (np.sum(r * (c - mean[:, None]) ** k, axis=1) for k in (2, 3))
    log = top + np.log(total) - 0.5 * np.log(2 * np.pi * variance)
    return log, (mean - x) / variance, (second / variance - 1) / variance, third / variance**3


def true_law(s):
    t = TIME - s
    return cumulants(TARGET, X, np.exp(-t / 2), 1 - np.exp(-t))


def end_law():
    t = TIME - G
    return cumulants(TARGET, X, np.exp(-t / 2), 1 - np.exp(-t))


def drawn_law(s, scheme):
    """log q_s, its derivative in x, J and, for the hybrid scheme, E[X_k | X_s = x]."""
    _, d1, d2, d3 = end_law()
    backward = scheme == "proximal_backward"
    grow = 1.0 if backward else 1 + s / 2
    F, J = (1 - s / 2 if backward else 1) * X - s * d1, (1 - s / 2 if backward else 1) - s * d2
    log, slope, _, _ = cumulants(OTHER, F, grow, s)
    # Tweedie: the mean of grow X_k given F = grow X_k + sqrt(s) z
    posterior = (F + s * slope) / grow
    return log + np.log(J), J * slope - s * d3 / J, J, posterior


def kl(s, scheme):
    p, q = true_law(s)[0], drawn_law(s, scheme)[0]
    return WEIGHT * np.sum(np.exp(p) * (p - q))


def identity(s, scheme, *, swapped=False, divergence=True):
    _, d1, d2, d3 = end_law()
    log_p, now, _, _ = true_law(s)
    _, slope, J, posterior = drawn_law(s, scheme)
    b, J = bound.interpolating_process(s, X, d1, d2, d3, scheme, None if scheme == "proximal_backward" else posterior)
    A = J**-2
    half_divergence = s * d3 / J**3 if divergence else 0.0  # (1/2) d/dx J^-2
    e = (X / 2 + now) - b + half_divergence - 0.5 * (1 - A) * now
    return bound.kl_derivative(WEIGHT * np.exp(log_p), now - slope, e, np.ones_like(X) if swapped else A)


def size(s, scheme):
    """Sum of the absolute terms of the derivative."""
    p, q = true_law(s), drawn_law(s, scheme)
    return WEIGHT * np.sum(np.exp(p[0]) * (1 + np.abs(p[0] - q[0])) * (1 + X**2))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_identity(check):
    for scheme in ("proximal_backward", "proximal_hybrid"):
        for s in (0.03, 0.12, 0.24):
            exact = kl(s + 1e-30j, scheme).imag / 1e-30
            derivative, upper = identity(s, scheme)
            tol = 1e-11 * size(s, scheme)
            on = f"{scheme}, s = {s}"
            check.equal(derivative, exact, tol=tol, cause=CAUSE, on=f"identity = complex step, {on}")
            check.hypothesis("boundary terms vanish", np.exp(true_law(s)[0][[0, -1]]) < 1e-20, on=on)
            check.holds(0.0, upper - derivative, tol=tol, cause=CAUSE, on=f"slack of the bound, {on}")


def test_equal_laws(check):
    """r = 0: the derivative vanishes whatever e."""
    value, _ = bound.kl_derivative(np.exp(true_law(0.1)[0]), np.zeros_like(X), X, 1.0)
    check.equal(value, 0.0, tol=0, cause="exact: zeros", on="p = q")


def test_completing_the_square(check):
    """SymPy: bound minus derivative is half the square of A^(1/2) r - A^(-1/2) e."""
    r, e, A = sp.symbols("r e A", positive=True)
    gap = e**2 / (2 * A) - (r * e - A * r**2 / 2) - (sp.sqrt(A) * r - e / sp.sqrt(A)) ** 2 / 2
    check.equal(float(sp.simplify(gap)), 0.0, tol=0, cause="exact: SymPy", on="slack of the bound")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained_by_a_shift(check):
    """q = N(0,1) stationary, p = N(m, 1) pushed with e = m: then e = A_q r and the bound is attained."""
    for m in (0.1, 1.0, 3.0):
        weights = WEIGHT * np.exp(-0.5 * (X - m) ** 2) / np.sqrt(2 * np.pi)
        derivative, upper = bound.kl_derivative(weights, np.full_like(X, m), np.full_like(X, m), 1.0)
        tol = 64 * EPS
        check.holds(derivative, upper, tol=tol * m**2, cause="rounding: 64 eps m^2", on=f"bound, shifted Gaussians, m = {m}")
        check.tight(
            derivative / upper,
            1.0,
            tol=tol,
            cause="rounding: 64 eps: two sums of one sign",
            on=f"shifted Gaussians, m = {m}",
        )
        exact = m * (m / 2)  # KL = m^2/2 and dm/ds = -m/2 + m
        check.equal(derivative, exact, tol=tol * m**2, cause="rounding: 64 eps m^2", on=f"d(m^2/2)/ds, m = {m}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Two parts of the error field, and the constant of the bound."""
    # the field without div A, and A_p in the place of A_q
    for scheme in ("proximal_backward", "proximal_hybrid"):
        s = 0.24
        exact, tol = kl(s + 1e-30j, scheme).imag / 1e-30, 1e-11 * size(s, scheme)
        on = f"{scheme}, s = {s}"
        check.control("div A in the error field", abs(identity(s, scheme, divergence=False)[0] - exact), tol, on=on)
        check.control("A_q (A_p in its place)", abs(identity(s, scheme, swapped=True)[0] - exact), tol, on=on)

    # the constant of the bound, where it is attained
    weights = WEIGHT * np.exp(-0.5 * (X - 1) ** 2) / np.sqrt(2 * np.pi)
    derivative, upper = bound.kl_derivative(weights, np.ones_like(X), np.ones_like(X), 1.0)
    check.control("the factor 1/2 of the bound (.45)", derivative, 0.9 * upper, on="shifted Gaussians, m = 1")
