"""Score of the scaled law from the score of the noised one (slides, transcribed by machine; identification refuted).

Let r_t be the density of exp(-t) X_0 + sqrt(1 - exp(-2 t)) N, and q_v the density of X_0 + sqrt(v) N. Then

    grad log r_t(x)  =  exp(t) grad log q_v(exp(t) x),        v = exp(2 t) - 1.

As transcribed, q_t is at once the density of X_t and of X_0 + exp(t) sqrt(1 - exp(-2 t)) N. That holds only after the change
of scale.

Measured on the oracles of a mixture, a point cloud and a sphere, on one path in both coordinates, and by SymPy.
"""

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
    return scaled, law.noised(1.0, np.sqrt(np.expm1(2 * t))).score(np.exp(t) * x)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_oracles(check):
    rng = np.random.default_rng(13)
    for name, law in laws():
        for t in (0.01, 0.3, 1.0, 4.0):
            x = np.exp(-t) * rng.standard_normal((50, 3)) + np.sqrt(-np.expm1(-2 * t)) * rng.standard_normal((50, 3))
            scaled, noised = both(law, x, t)
            # the two levels are rounded independently: relative errors of sigma act on |x|^2/sigma^2
            tol = 256 * EPS * (1 + np.max(np.abs(scaled))) * (1 + 1 / t)
            cause = "rounding: 256 eps |score| (1 + 1/t)"
            check.equal(bound.rescaled_score(noised, t), scaled, tol=tol, cause=cause, on=f"{name}, t = {t:g}")


def test_same_path(check):
    """The backward recursion with the scores of r_t and with e^t grad log q: one path, to rounding."""
    law, T, N = next(laws())[1], 3.0, 150
    noise, gamma = Noise(14), T / N
    paths = []
    for use in (0, 1):
        y = noise.initial(30, 3)
        for k in range(N):
            t = T - gamma * k
            pair = both(law, y, t)
            score = (pair[0], bound.rescaled_score(pair[1], t))[use]
            y = y + gamma * bound.backward_drift(y, score) + np.sqrt(2 * gamma) * noise.normal(k, 30, 3)
        paths.append(y)
    tol = 64 * EPS * N * 10
    cause = "rounding: 64 eps per step, |score| <= 10, a contracting flow"
    check.equal(*paths, tol=tol, cause=cause, on="30 paths of 150 steps, mixture in R^3")


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
    law = next(laws())[1]
    x = np.random.default_rng(15).standard_normal((50, 3))
    scaled, noised = both(law, x, 1.0)
    on = "mixture in R^3, t = 1"
    same = law.noised(1.0, np.sqrt(np.expm1(2.0))).score(x)
    check.refuted("q_t is the density of X_t and of X_0 + e^t sqrt(1 - e^-2t) N", np.abs(same - scaled), 1e-9, on=on)
    check.control("e^t before the score", np.abs(noised - scaled), 1e-9, on=on)
    check.control("the argument e^t x (x)", np.abs(np.e * same - scaled), 1e-9, on=on)
    wrong = law.noised(1.0, np.expm1(2.0)).score(np.e * x)
    check.control("v = e^2t - 1 as variance (as standard deviation)", np.abs(np.e * wrong - scaled), 1e-9, on=on)
