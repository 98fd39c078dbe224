"""Gaussians: the exact W2 distance of the jump (derived).

Let X ~ N(0, C) with the eigenvalues l of C, and s = sigma^2 / m. Then

    W2^2(X, Xhat_m)  =  sum_l (sqrt(l) - l / sqrt(l + s))^2  <=  (5 sqrt(5) - 11) / 2  s d,

with equality for l/s = (sqrt(5) - 1) / 2. As s -> 0 it is s^2/4 tr C^-1, so that W2 falls like 1/m.

Measured against the Bures distance of the covariances, on a range of l/s, and by SymPy.
"""

import numpy as np
import sympy

from exactdiffusion import distances
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.gaussian_jump_w2.statement
EPS = np.finfo(np.float64).eps


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_against_bures(check):
    """Ten random covariances; the law of Xhat by solving and not by eigenvalues."""
    rng = np.random.default_rng(76)
    for _ in range(10):
        d, m = int(rng.integers(1, 7)), int(rng.integers(1, 50))
        tau2, sigma2 = rng.exponential(size=d) + 0.01, rng.exponential() + 0.1
        U = np.linalg.qr(rng.standard_normal((d, d)))[0]
        C = (U * tau2) @ U.T
        out = C @ np.linalg.solve(C + sigma2 / m * np.eye(d), C)
        w2 = distances.bures_w2(np.zeros(d), C, np.zeros(d), (out + out.T) / 2)
        w2 = float(getattr(w2, "value", w2))
        tol, cause = 1e3 * EPS * np.trace(C) / w2, "rounding: 1e3 eps tr C / W2: traces cancel"
        check.equal(w2, bound.gaussian_jump_w2(m, sigma2, tau2), tol=tol, cause=cause, on=f"d = {d}, m = {m}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_constant(check):
    """The share of s d on a range of l/s, its maximum at the golden ratio, and both by SymPy."""
    share = [bound.gaussian_jump_w2(1, 1.0, [l]) ** 2 for l in np.geomspace(1e-4, 1e4, 2001)]
    on = "W2^2/(s d), l/s = 1e-4 .. 1e4"
    check.holds(share, bound.GAUSSIAN_JUMP_CONSTANT, tol=8 * EPS, cause="rounding: 8 eps", on=on)
    golden = (np.sqrt(5) - 1) / 2
    top = bound.gaussian_jump_w2(1, 1.0, [golden] * 3) ** 2 / 3
    cause, on = "rounding: 32 eps", "l/s = golden ratio - 1, d = 3"
    check.tight(top / bound.GAUSSIAN_JUMP_CONSTANT, 1.0, tol=32 * EPS, cause=cause, on=on)

    x = sympy.symbols("x", positive=True)
    f, at = (sympy.sqrt(x) - x / sympy.sqrt(1 + x)) ** 2, (sympy.sqrt(5) - 1) / 2
    residuals = [sympy.simplify(sympy.diff(f, x).subs(x, at)), sympy.simplify(f.subs(x, at) - (5 * sympy.sqrt(5) - 11) / 2)]
    numbers = [abs(float(sympy.N(r, 30))) for r in residuals]
    cause, on = "exact: SymPy in 30 digits", "stationary at the golden ratio, value (5 sqrt 5 - 11)/2"
    check.equal(numbers, 0.0, tol=1e-25, cause=cause, on=on)


def test_rate(check):
    m = np.array([1000, 2000, 4000, 8000])
    tau2 = [0.5, 1.0, 3.0]
    w2 = [bound.gaussian_jump_w2(int(k), 1.0, tau2) for k in m]
    check.rate(distances.fit_slope(m, w2), -1.0, within=2e-3, on="W2 against m")
    limit = 0.5 / m[-1] * np.sqrt(np.sum(1 / np.array(tau2)))
    cause = "remainder: next order, s/l"
    check.tight(w2[-1] / limit, 1.0, tol=3 / m[-1] / 0.5, cause=cause, on="W2 / ((s/2) sqrt(tr C^-1)), m = 8000")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """A smaller constant, and one measurement in place of nine."""
    top = bound.gaussian_jump_w2(1, 1.0, [(np.sqrt(5) - 1) / 2]) ** 2
    check.control("1 % of the constant", top, 0.99 * bound.GAUSSIAN_JUMP_CONSTANT, tol=1e-12, on="golden ratio")
    single = bound.gaussian_jump_w2(1, 0.7, [1.0, 2.0])
    check.control("m in sigma^2/m", single, bound.gaussian_jump_w2(9, 0.7, [1.0, 2.0]), tol=1e-12, on="m = 1 against 9")
