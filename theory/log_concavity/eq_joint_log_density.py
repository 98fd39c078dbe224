"""The mean of the measurements is sufficient (form of Appendix A.1, recalled; the constant is derived).

Let Y_t = X + sigma N_t for t = 1, ..., m, s = sigma^2 / m, and ybar the mean. Then

    log p(y_1, ..., y_m)  =  log q_s(ybar) - sum_t |y_t - ybar|^2 / (2 sigma^2) - (m-1) d/2 log(2 pi sigma^2) - d/2 log m.

Measured on 200 random mixtures against sequential assimilation, which never forms the mean, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.joint_log_density.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of 1 + |log p| (a sum of m d terms)"


def of_mean(i):
    """log q_s at the mean of the measurements, (1,)."""
    return i.noised.log_density(i.total / i.m)


def formula(i):
    return bound.joint_log_density(of_mean(i), i.y[None], i.sigma)[0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    unit = np.array([1 + abs(i.log_p) + i.m * i.d for i in measured])
    reference, own = np.array([i.log_p for i in measured]), np.array([formula(i) for i in measured])
    check.equal(own / unit, reference / unit, tol=TOL, cause=CAUSE, on="formula against assimilation, 200 mixtures")
    library = np.array([measurements.joint_log_density(i.law, i.y[None], i.sigma)[0] for i in measured])
    check.equal(library / unit, reference / unit, tol=TOL, cause=CAUSE, on="library against assimilation, 200 mixtures")


def test_sufficiency(check, measured):
    """Moving measurements apart at a fixed mean changes log p by the spread alone, whatever the law."""
    rng = np.random.default_rng(44)
    some = [i for i in measured if i.m >= 3][:50]
    change, expected = np.empty((2, len(some)))
    for k, i in enumerate(some):
        shift = i.sigma * rng.standard_normal(i.y.shape)
        shift -= shift.mean(axis=0)
        before, after = (measurements.joint_log_density(i.law, y[None], i.sigma)[0] for y in (i.y, i.y + shift))
        spread = [np.sum((y - y.mean(axis=0)) ** 2) for y in (i.y, i.y + shift)]
        unit = 1 + abs(i.log_p) + (np.max(np.abs(i.y)) / i.sigma) ** 2
        change[k], expected[k] = (after - before) / unit, -(spread[1] - spread[0]) / (2 * i.sigma**2) / unit
    cause = "rounding: 4500 eps of |log p| + |y|^2/sigma^2"
    check.equal(change, expected, tol=1e-12, cause=cause, on="50 mixtures, shifts of mean 0")


def test_symbolic(check):
    """Gaussian X in one dimension, m = 1..4: the closed joint Gaussian density minus the formula is 0."""
    v, s2 = sympy.symbols("v sigma2", positive=True)
    residuals = []
    for m in (1, 2, 3, 4):
        # determinant and inverse of the covariance of the measurements, v 1 1' + sigma^2 I
        y = sympy.symbols(f"y0:{m}", real=True)
        column, C = sympy.Matrix(y), v * sympy.ones(m, m) + s2 * sympy.eye(m)
        determinant = s2 ** (m - 1) * (s2 + m * v)
        inverse = (sympy.eye(m) - v / (s2 + m * v) * sympy.ones(m, m)) / s2
        is_inverse = (C * inverse - sympy.eye(m)).applyfunc(sympy.together)
        residuals.append(sympy.simplify(sum(sympy.expand(entry) ** 2 for entry in is_inverse)))

        # log density minus the formula: its value at 0, and what depends on y
        joint = -(column.T * inverse * column)[0] / 2 - sympy.log(determinant) / 2
        mean = sum(y) / sympy.Integer(m)
        of_the_mean = -(mean**2) / (2 * (v + s2 / m)) - sympy.log(v + s2 / m) / 2
        rest = m / (2 * s2) * (mean**2 - sum(a**2 for a in y) / m) - sympy.log(s2) * (m - 1) / 2 - sympy.log(m) / 2
        difference = sympy.expand_log(joint - of_the_mean - rest, force=True)
        at_zero = difference.subs(dict.fromkeys(y, 0))
        residuals.extend([sympy.simplify(sympy.exp(at_zero)) - 1, sympy.simplify(difference - at_zero)])
    check.equal([float(r) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="Gaussian X, d = 1, m = 1..4")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, measured):
    """The spread, the constant, and the noise of the mean left out in turn."""
    several, on = [i for i in measured if i.m >= 3], "random mixtures with m >= 3"
    unit = np.array([1 + abs(i.log_p) + i.m * i.d for i in several])
    own, reference = np.array([formula(i) for i in several]), np.array([i.log_p for i in several])
    spread = np.array([np.sum((i.y - i.y.mean(axis=0)) ** 2) / (2 * i.sigma**2) for i in several])
    check.control("the spread of the measurements", np.abs(own + spread - reference) / unit, TOL, on=on)
    logs = np.array([0.5 * i.d * np.log(i.m) for i in several])
    check.control("d/2 log m in the constant", np.abs(own + logs - reference) / unit, TOL, on=on)
    at_sigma = np.array([i.law.noised(1.0, i.sigma).log_density(i.total / i.m)[0] - of_mean(i)[0] for i in several])
    check.control("s = sigma^2/m (sigma^2 instead)", np.abs(own + at_sigma - reference) / unit, TOL, on=on)
