"""Score of the scaled law from the score of the noised one (slides, transcribed by machine; identification refuted).

Let r_t be the density of exp(-t) X_0 + sqrt(1 - exp(-2 t)) N, and q_v the density of X_0 + sqrt(v) N. Then

    grad log r_t(x)  =  exp(t) grad log q_v(exp(t) x),        v = exp(2 t) - 1.

As transcribed, q_t is at once the density of X_t and of X_0 + exp(t) sqrt(1 - exp(-2 t)) N. That holds only after the change
of scale.

Measured on the oracles of a mixture, a point cloud and a sphere, on one path in both coordinates, and by SymPy.
"""

from typing import NamedTuple

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, Noise, PointCloud, Sphere
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.rescaled_score.statement
EPS = np.finfo(float).eps


def laws():
    rng = np.random.default_rng(12)
    root = rng.standard_normal((3, 3, 3))
    yield "mixture in R^3", GaussianMixture([0.2, 0.5, 0.3], rng.standard_normal((3, 3)), root @ np.swapaxes(root, 1, 2) / 3)
    yield "cloud in R^3", PointCloud(rng.standard_normal((12, 3)))
    yield "sphere in R^3", Sphere(radius=1.2, dim=3)


def both(law, x, t):
    scaled = law.noised(np.exp(-t), np.sqrt(-np.expm1(-2 * t))).score(x)
    return Scores(scaled, law.noised(1.0, np.sqrt(np.expm1(2 * t))).score(np.exp(t) * x))


class Scores(NamedTuple):
    """Scores of r_t at x and of q_v at exp(t) x, both (n, d)."""

    scaled: np.ndarray
    noised: np.ndarray


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_oracles(check):
    """Three laws, four times, 50 points."""
    rng = np.random.default_rng(13)
    for name, law in laws():
        for t in (0.01, 0.3, 1.0, 4.0):
            x = np.exp(-t) * rng.standard_normal((50, 3)) + np.sqrt(-np.expm1(-2 * t)) * rng.standard_normal((50, 3))
            scores = both(law, x, t)
            # the two levels are rounded independently: relative errors of sigma act on |x|^2/sigma^2
            tol, cause = 256 * EPS * (1 + np.max(np.abs(scores.scaled))) * (1 + 1 / t), "rounding: 256 eps |score| (1 + 1/t)"
            formula = bound.rescaled_score(scores.noised, t)
            check.equal(formula, scores.scaled, tol=tol, cause=cause, on=f"{name}, t = {t:g}")


def test_same_path(check):
    """The backward recursion with the scores of r_t and with e^t grad log q: one path, to rounding."""
    law, T, N, noise = next(laws())[1], 3.0, 150, Noise(14)
    gamma = T / N

    def path(score):
        y = noise.initial(30, 3)
        for k in range(N):
            t = T - gamma * k
            drift = bound.backward_drift(y, score(both(law, y, t), t))
            y = y + gamma * drift + np.sqrt(2 * gamma) * noise.normal(k, 30, 3)
        return y

    paths = path(lambda scores, t: scores.scaled), path(lambda scores, t: bound.rescaled_score(scores.noised, t))
    cause, on = "rounding: 64 eps per step, |score| <= 10, a contracting flow", "30 paths of 150 steps, mixture in R^3"
    check.equal(*paths, tol=64 * EPS * N * 10, cause=cause, on=on)


def test_symbolic(check):
    """Gaussian component; scores of mixtures are quotients of such terms with the same change of variables."""
    x, t, mu = sympy.symbols("x t mu", real=True)
    lam = sympy.symbols("lambda", positive=True)
    v = sympy.exp(2 * t) - 1
    r = -((x - sympy.exp(-t) * mu) ** 2) / (2 * (sympy.exp(-2 * t) * lam + 1 - sympy.exp(-2 * t)))
    z = sympy.symbols("z", real=True)
    q = sympy.diff(-((z - mu) ** 2) / (2 * (lam + v)), z).subs(z, sympy.exp(t) * x)
    residual = sympy.simplify(sympy.diff(r, x) - sympy.exp(t) * q)
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="N(mu, lambda)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_misprint_and_controls(check):
    """The identification as transcribed, and the factor, the argument and the variance dropped in turn."""
    law, on = next(laws())[1], "mixture in R^3, t = 1"
    x = np.random.default_rng(15).standard_normal((50, 3))
    scores, same = both(law, x, 1.0), law.noised(1.0, np.sqrt(np.expm1(2.0))).score(x)
    printed = "q_t is the density of X_t and of X_0 + e^t sqrt(1 - e^-2t) N"
    check.refuted(printed, np.abs(same - scores.scaled), 1e-9, on=on)
    check.control("e^t before the score", np.abs(scores.noised - scores.scaled), 1e-9, on=on)
    check.control("the argument e^t x (x)", np.abs(np.e * same - scores.scaled), 1e-9, on=on)
    wrong = law.noised(1.0, np.expm1(2.0)).score(np.e * x)
    dropped = "v = e^2t - 1 as variance (as standard deviation)"
    check.control(dropped, np.abs(np.e * wrong - scores.scaled), 1e-9, on=on)
