"""Marginals of the Ornstein-Uhlenbeck process (slides).

Let dX = -X dt + sqrt(2) dB with X_0 ~ p. Then X_t has the law of exp(-t) X_0 + sqrt(1 - exp(-2 t)) N, and its density r_t
solves

    d_t r      =  div(x r) + Lap r,
    d_t log r  =  d + x . grad log r + Lap log r + |grad log r|^2.

Measured along the noised laws of the library (mixture, point cloud, sphere) with differences in time, by the semigroup, and
by SymPy.
"""

import numpy as np
import pytest
import sympy

from exactdiffusion import GaussianMixture, PointCloud, Sphere
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.ornstein_uhlenbeck_level.statement
EPS = np.finfo(float).eps


def laws():
    rng = np.random.default_rng(3)
    root = rng.standard_normal((3, 4, 4))
    return {
        "mixture in R^4": GaussianMixture([0.2, 0.5, 0.3], rng.standard_normal((3, 4)), root @ np.swapaxes(root, 1, 2) / 4),
        "cloud in R^4": PointCloud(rng.standard_normal((15, 4))),
        "sphere in R^4": Sphere(radius=1.2, dim=4),
    }


def level(t):
    scale, sigma = bound.ornstein_uhlenbeck_level(t)
    return float(scale), float(sigma)


def spatial(q, x):
    """d + x . grad log r + Laplacian log r + |grad log r|^2, and the size of its terms."""
    score, laplacian = q.score(x), np.trace(q.hessian(x), axis1=1, axis2=2)
    terms = [np.full(len(x), x.shape[1]), np.sum(x * score, axis=1), laplacian, np.sum(score**2, axis=1)]
    return np.sum(terms, axis=0), np.sum(np.abs(terms), axis=0)


def time_derivative(law, x, t, relative, levels=level):
    """Fourth-order central difference of log r_t(x) in t."""
    h = relative * t

    def f(k):
        return law.noised(*levels(t + k * h)).log_density(x)

    return (8 * (f(1) - f(-1)) - (f(2) - f(-2))) / (12 * h), np.abs(f(0)) / h


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(laws()))
def test_fokker_planck(check, name):
    law = laws()[name]
    rng = np.random.default_rng(4)
    for t in (0.1, 0.5, 2.0):
        scale, sigma = level(t)
        x = scale * rng.standard_normal((40, 4)) + sigma * rng.standard_normal((40, 4))
        right, size = spatial(law.noised(scale, sigma), x)
        fine, rounding = time_derivative(law, x, t, 2e-3)
        coarse, _ = time_derivative(law, x, t, 4e-3)
        tol = np.abs(fine - coarse) + 32 * EPS * (size + rounding + 10 / (2e-3 * t))
        cause = "remainder: change of the difference with twice its step; 32 eps of the terms and of log r over the step"
        check.equal(fine, right, tol=tol, cause=cause, on=f"{name}, t = {t:g}")


def test_semigroup(check):
    """Time s, then time t, is time s + t: the law noised twice."""
    law, x = laws()["mixture in R^4"], np.random.default_rng(5).standard_normal((50, 4))
    for s, t in ((0.1, 0.4), (1.0, 0.05), (2.0, 3.0)):
        twice, once = law.noised(*level(s)).noised(*level(t)), law.noised(*level(s + t))
        cause = "rounding: 512 eps of |score| <= 10"
        check.equal(twice.score(x), once.score(x), tol=512 * EPS * 10, cause=cause, on=f"score, {s:g} + {t:g}")
        cause, logs = "rounding: 512 eps of |log r|", (twice.log_density(x), once.log_density(x))
        check.equal(*logs, tol=512 * EPS * 20, cause=cause, on=f"log r, {s:g} + {t:g}")


def test_symbolic(check):
    """One Gaussian component; the equation is linear, so every mixture and every law follows."""
    x, t, mu = sympy.symbols("x t mu", real=True)
    lam = sympy.symbols("lambda", positive=True)
    v = sympy.exp(-2 * t) * lam + 1 - sympy.exp(-2 * t)
    r = sympy.exp(-((x - sympy.exp(-t) * mu) ** 2) / (2 * v)) / sympy.sqrt(v)
    residual = sympy.simplify((sympy.diff(r, t) - sympy.diff(x * r, x) - sympy.diff(r, x, 2)) / r)
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="Fokker-Planck residual, N(mu, lambda)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Other scales and noise levels: the equation has a residual."""
    law, t = laws()["mixture in R^4"], 0.5
    x = np.random.default_rng(6).standard_normal((40, 4))
    for dropped, levels in (
        ("scale e^-t (e^-2t)", lambda t: (np.exp(-2 * t), np.sqrt(-np.expm1(-2 * t)))),
        ("variance 1 - e^-2t (1 - e^-t)", lambda t: (np.exp(-t), np.sqrt(-np.expm1(-t)))),
        ("the scale (variance exploding)", lambda t: (1.0, np.sqrt(-np.expm1(-2 * t)))),
    ):
        derivative, _ = time_derivative(law, x, t, 2e-3, levels)
        right, _ = spatial(law.noised(*levels(t)), x)
        check.control(dropped, np.abs(derivative - right), 1e-6, on="mixture in R^4, t = .5")
