"""Drift of the time-reversed Ornstein-Uhlenbeck process (slides; Haussmann & Pardoux 1986).

Let r_t be the density of X_t for dX = -X dt + sqrt(2) dB. Suppose that

    (H1)  the drift is y + 2 grad log r,
    (H2)  the noise is sqrt(2) dB.

Then the process

    dY  =  [Y + 2 grad log r_{T-t}(Y)] dt + sqrt(2) dB,    Y_0 ~ r_T,        has    Y_t ~ r_{T-t},

that is -d_s r_s = -div((y + 2 grad log r_s) r_s) + Lap r_s.

Measured by the residual of this equation along noised laws, with differences in time and space, and by SymPy.
"""

from typing import NamedTuple

import numpy as np
import pytest
import sympy

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.backward_drift.statement
EPS = np.finfo(float).eps


def laws():
    rng = np.random.default_rng(8)
    root = rng.standard_normal((3, 3, 3))
    return {
        "mixture in R^3": GaussianMixture([0.2, 0.5, 0.3], rng.standard_normal((3, 3)), root @ np.swapaxes(root, 1, 2) / 3),
        "cloud in R^3": PointCloud(rng.standard_normal((12, 3))),
    }


def log_density(law, x, t):
    return law.noised(np.exp(-t), np.sqrt(-np.expm1(-2 * t))).log_density(x)


def residual(law, x, t, drift, relative=2e-3, noise=1.0):
    """`Residual` of a drift, whose divergence is taken by differences, at time t.

    The tolerance is the change with twice the steps, and rounding over the step.
    """
    q = law.noised(np.exp(-t), np.sqrt(-np.expm1(-2 * t)))
    score = q.score(x)
    rest = np.trace(q.hessian(x), axis1=1, axis2=2) + np.sum(score**2, axis=1)

    def field(y):
        return drift(y, q.score(y))

    def assembled(scale):
        """The residual with steps ``scale`` times as large, and the size of the terms over the steps."""
        # fourth-order difference of log r in time
        h, k = scale * relative * t, scale * 2e-3 * np.sqrt(t)
        logs = [log_density(law, x, t + j * h) for j in (-2, -1, 1, 2)]
        derivative = (8 * (logs[2] - logs[1]) - (logs[3] - logs[0])) / (12 * h)

        # the same of every component of the drift along its axis
        divergence = 0.0
        for j, axis in enumerate(k * np.eye(x.shape[1])):
            b = [field(x + i * axis)[:, j] for i in (-2, -1, 1, 2)]
            divergence = divergence + (8 * (b[2] - b[1]) - (b[3] - b[0])) / (12 * k)
        value = -derivative + divergence + np.sum(field(x) * score, axis=1) - noise * rest
        return value, np.abs(logs[0]) / h + np.abs(b[0]) / k

    fine, rounding = assembled(1.0)
    coarse, _ = assembled(2.0)
    return Residual(fine, np.abs(fine - coarse) + 64 * EPS * (rounding + 10 / (relative * t) + np.abs(rest)))


class Residual(NamedTuple):
    """-d_s log r - [ -div b - b . score + noise (Laplacian log r + |score|^2) ] at the points, and its tolerance (n,)."""

    value: np.ndarray
    tol: np.ndarray


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(laws()))
def test_reversed_fokker_planck(check, name):
    law, rng = laws()[name], np.random.default_rng(9)
    for t in (0.1, 0.6, 2.0):
        x = np.exp(-t) * rng.standard_normal((40, 3)) + np.sqrt(-np.expm1(-2 * t)) * rng.standard_normal((40, 3))
        found = residual(law, x, t, bound.backward_drift)
        cause = "remainder: change of the differences with twice their steps; 64 eps of the terms over the steps"
        check.equal(found.value, 0.0, tol=found.tol, cause=cause, on=f"{name}, t = {t:g}")


def test_symbolic(check):
    """Gaussian data: the residual is 0; and for the probability flow (factor 1, no noise) as well."""
    x, s, mu = sympy.symbols("x s mu", real=True)
    lam = sympy.symbols("lambda", positive=True)
    v = sympy.exp(-2 * s) * lam + 1 - sympy.exp(-2 * s)
    r = sympy.exp(-((x - sympy.exp(-s) * mu) ** 2) / (2 * v)) / sympy.sqrt(v)
    score = sympy.diff(r, x) / r
    both = []
    for drift, noise in ((bound.backward_drift(x, score), 1), (x + score, 0)):
        equation = -sympy.diff(r, s) + sympy.diff(drift * r, x) - noise * sympy.diff(r, x, 2)
        both.append(float(sympy.simplify(equation / r)))
    check.equal(both, 0.0, tol=0, cause="exact: SymPy", on="backward equation and probability flow, N(mu, lambda)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Other drifts, and the noise left out: the residual is at least ten times its tolerance."""
    law, t = laws()["mixture in R^3"], 0.6
    x = np.random.default_rng(10).standard_normal((40, 3))
    for dropped, drift, noise in (
        # (H1) the drift
        ("factor 2 (1, noise kept)", lambda y, s: y + s, 1.0),
        ("+Y (-Y)", lambda y, s: -y + 2 * s, 1.0),
        # (H2) the noise
        ("the noise (factor 2 kept)", bound.backward_drift, 0.0),
    ):
        found = residual(law, x, t, drift, noise=noise)
        check.control(dropped, np.abs(found.value), 10 * found.tol, on="mixture in R^3, t = .6")
