"""Derivative of the mean posterior covariance (key lemma of Benton et al. 2024 and of Montanari 2023; derived here).

Let Y = X + sqrt(v) N and C = Cov[X | Y]. Suppose that

    (H1)  E|X|^2 is finite.

Then

    d/dv E C  =  E[C^2] / v^2.

Measured by sixth-order differences of quadratures on a line and in the plane, and by SymPy.
"""

import math
from typing import NamedTuple

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
    """`Moments` by quadrature over the observation."""
    y, w = measurements.line_quadrature(law, math.sqrt(v))
    C = law.noised(1.0, math.sqrt(v)).posterior_covariance(y[:, None])[:, 0, 0]
    return Moments(w @ C, w @ C**2)


def laws():
    rng = np.random.default_rng(29)
    yield "two points", atoms(np.array([[-1.0], [1.0]]))
    yield "5 points", atoms(rng.standard_normal((5, 1)), rng.dirichlet(np.ones(5)))
    yield "two Gaussians", GaussianMixture([0.2, 0.8], np.array([[-2.0], [2.0]]), np.array([0.3, 1.0]))


def plane_moments(law, v, n=36):
    """`Moments` by n x n Gauss-Hermite nodes around every atom."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    nodes = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2)
    weights = np.outer(w, w).ravel() / w.sum() ** 2
    first = second = 0.0
    for p, x in zip(law.weights, law.means):
        C = law.noised(1.0, math.sqrt(v)).posterior_covariance(x + math.sqrt(v) * nodes)
        first = first + p * np.tensordot(weights, C, 1)
        second = second + p * np.tensordot(weights, C @ C, 1)
    return Moments(first, second)


class Moments(NamedTuple):
    """E C and E[C^2] of the posterior covariance C, numbers on a line, (2, 2) in the plane."""

    first: np.ndarray
    second: np.ndarray


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_line(check):
    levels = np.array([0.1, 1.0, 10.0])
    for name, law in laws():

        def mean(v, law=law):
            return line_moments(law, v).first

        fine, coarse = (np.array([difference(mean, v, relative) for v in levels]) for relative in (0.02, 0.03))
        formula = [bound.mean_covariance_derivative(line_moments(law, v).second, v) for v in levels]
        tol = np.abs(fine - coarse) + 1e-12 * np.maximum(1.0, 1 / levels)
        cause = "remainder: change of the difference with its step; 1e-14/(.02 v)"
        check.equal(fine, formula, tol=tol, cause=cause, on=name)


def test_plane(check):
    """The matrix identity, on a cloud in the plane."""
    rng, v = np.random.default_rng(30), 2.0
    law = atoms(rng.standard_normal((4, 2)), rng.dirichlet(np.ones(4)))
    fine, coarse = (difference(lambda v: plane_moments(law, v).first, v, relative) for relative in (0.04, 0.06))
    found, fewer = plane_moments(law, v), plane_moments(law, v, 30)
    formula = bound.mean_covariance_derivative(found.second, v)
    tol = np.abs(fine - coarse).max() + np.abs(found.first - fewer.first).max() * 50
    cause = "remainder: step of the difference; nodes of Gauss-Hermite"
    check.equal(fine, formula, tol=tol, cause=cause, on=f"cloud in the plane, v = {v:g}")


def test_symbolic(check):
    lam, v = sympy.symbols("lambda v", positive=True)
    C = lam * v / (lam + v)
    residual = sympy.simplify(sympy.diff(C, v) - bound.mean_covariance_derivative(C**2, v))
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="Gaussians, any variance")


def test_consequence(check):
    """By Jensen 1/E C - 1/v is nonincreasing in v on a line (constant for a Gaussian); in particular E C <= v."""
    levels = 10.0 ** np.linspace(-0.5, 1.5, 7)
    for name, law in laws():
        values = np.array([1 / line_moments(law, v).first - 1 / v for v in levels])
        tol = 1e-12 * (1 + 1 / levels[:-1] + values[:-1])
        check.holds(values[1:], values[:-1], tol=tol, cause="remainder: quadrature", on=f"1/E C - 1/v nonincreasing, {name}")
        check.holds(0.0, values, tol=1e-12, cause="remainder: quadrature", on=f"E C <= v, {name}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another average, another power of v, and another variable."""
    law, v, on = atoms(np.array([[-1.0], [1.0]])), 0.5, "two points, v = .5"
    derivative, found = difference(lambda v: line_moments(law, v).first, v, 0.02), line_moments(law, v)
    wrong = bound.mean_covariance_derivative(found.first**2, v)
    check.control("E[C^2] ((E C)^2)", abs(derivative - wrong), 1e-6, on=on)
    check.control("1/v^2 (1/v)", abs(derivative - found.second / v), 1e-6, on=on)
    exact = bound.mean_covariance_derivative(found.second, v)
    check.control("the derivative in v (in 1/v)", abs(-derivative * v**2 - exact), 1e-6, on=on)
