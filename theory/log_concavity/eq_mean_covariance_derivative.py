"""Derivative of the mean posterior covariance (key lemma of Benton et al. 2024 and of Montanari 2023; derived here).

Let Y = X + sqrt(v) N and C = Cov[X | Y]. Suppose that

    (H1)  E|X|^2 is finite.

Then

    d/dv E C  =  E[C^2] / v^2.

Measured by sixth-order differences of quadratures on a line and in the plane, and by SymPy.
"""

import math

import numpy as np
import sympy

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.mean_covariance_derivative.statement
COEFFICIENTS = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60


def atoms(points, weights=None):
    """A point cloud as a mixture of variance 0: the same law, faster for many rows and few atoms."""
    return GaussianMixture(weights, points, 0.0)


def difference(f, v, relative):
    """Sixth-order central difference with step relative * v."""
    h = relative * v
    return sum(c * f(v + k * h) for c, k in zip(COEFFICIENTS, range(-3, 4)) if c) / h


def line_moments(law, v):
    y, w = measurements.line_quadrature(law, math.sqrt(v))
    C = law.noised(1.0, math.sqrt(v)).posterior_covariance(y[:, None])[:, 0, 0]
    return w @ C, w @ C**2


def laws():
    rng = np.random.default_rng(29)
    yield "two points", atoms(np.array([[-1.0], [1.0]]))
    yield "5 points", atoms(rng.standard_normal((5, 1)), rng.dirichlet(np.ones(5)))
    yield "two Gaussians", GaussianMixture([0.2, 0.8], np.array([[-2.0], [2.0]]), np.array([0.3, 1.0]))


def plane_moments(law, v, n=36):
    z, w = np.polynomial.hermite_e.hermegauss(n)
    Z = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2)
    W = np.outer(w, w).ravel() / w.sum() ** 2
    first = second = 0.0
    for p, x in zip(law.weights, law.means):
        C = law.noised(1.0, math.sqrt(v)).posterior_covariance(x + math.sqrt(v) * Z)
        first = first + p * np.tensordot(W, C, 1)
        second = second + p * np.tensordot(W, C @ C, 1)
    return first, second


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_line(check):
    for name, law in laws():
        left, right, tol = [], [], []
        for v in (0.1, 1.0, 10.0):
            fine, coarse = (difference(lambda v, law=law: line_moments(law, v)[0], v, r) for r in (0.02, 0.03))
            left.append(fine)
            right.append(bound.mean_covariance_derivative(line_moments(law, v)[1], v))
            tol.append(abs(fine - coarse) + 1e-12 * max(1.0, 1 / v))
        cause = "remainder: change of the difference with its step; 1e-14/(.02 v)"
        check.equal(left, right, tol=np.array(tol), cause=cause, on=name)


def test_plane(check):
    """The matrix identity, on a cloud in the plane."""
    rng = np.random.default_rng(30)
    law = atoms(rng.standard_normal((4, 2)), rng.dirichlet(np.ones(4)))
    for v in (2.0,):
        fine, coarse = (difference(lambda v: plane_moments(law, v)[0], v, r) for r in (0.04, 0.06))
        right = bound.mean_covariance_derivative(plane_moments(law, v)[1], v)
        tol = np.abs(fine - coarse).max() + np.abs(plane_moments(law, v)[0] - plane_moments(law, v, 30)[0]).max() * 50
        cause = "remainder: step of the difference; nodes of Gauss-Hermite"
        check.equal(fine, right, tol=tol, cause=cause, on=f"cloud in the plane, v = {v:g}")


def test_symbolic(check):
    lam, v = sympy.symbols("lambda v", positive=True)
    C = lam * v / (lam + v)
    residual = sympy.simplify(sympy.diff(C, v) - bound.mean_covariance_derivative(C**2, v))
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="Gaussians, any variance")


def test_consequence(check):
    """By Jensen 1/E C - 1/v is nonincreasing in v on a line (constant for a Gaussian); in particular E C <= v."""
    for name, law in laws():
        levels = 10.0 ** np.linspace(-0.5, 1.5, 7)
        values = np.array([1 / line_moments(law, v)[0] - 1 / v for v in levels])
        tol = 1e-12 * (1 + 1 / levels[:-1] + values[:-1])
        check.holds(values[1:], values[:-1], tol=tol, cause="remainder: quadrature", on=f"1/E C - 1/v nonincreasing, {name}")
        check.holds(0.0, values, tol=1e-12, cause="remainder: quadrature", on=f"E C <= v, {name}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    law, v = atoms(np.array([[-1.0], [1.0]])), 0.5
    left = difference(lambda v: line_moments(law, v)[0], v, 0.02)
    first, second = line_moments(law, v)
    on = "two points, v = .5"
    check.control("E[C^2] ((E C)^2)", abs(left - bound.mean_covariance_derivative(first**2, v)), 1e-6, on=on)
    check.control("1/v^2 (1/v)", abs(left - second / v), 1e-6, on=on)
    check.control(
        "the derivative in v (in 1/v)", abs(-left * v**2 - bound.mean_covariance_derivative(second, v)), 1e-6, on=on
    )
