"""Mean squared error for a discrete prior (the slides announce better bounds for strong priors; this form is derived).

Suppose that

    (H1)  X lives on atoms x_i with weights w_i.

Then, with the normal distribution function Phi,

    W2^2(X, Xhat_m)  <=  E tr C_m  <=  sum_{i != j} w_i |x_i - x_j|^2 Phi(-sqrt(m) |x_i - x_j| / (2 sigma)),

which falls exponentially in m.

Measured on three clouds on a line and one in the plane by quadrature; the printed sum also in 30 digits.
"""

import itertools
import math

import mpmath
import numpy as np
from scipy.special import ndtr

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.discrete_prior_mmse.statement
EPS = np.finfo(np.float64).eps


def clouds():
    rng = np.random.default_rng(55)
    yield "two points", PointCloud(np.array([[-1.0], [1.0]]))
    yield "three points", PointCloud(np.array([[-1.0], [0.0], [1.5]]), np.array([0.2, 0.5, 0.3]))
    yield "8 random points", PointCloud(rng.standard_normal((8, 1)), rng.dirichlet(np.ones(8)))


def exact_sum(points, weights, m, sigma):
    """The printed sum, pair by pair, with mpmath's erfc in 30 digits, and the largest argument z of Phi(-z)."""
    total, worst = mpmath.mpf(0), 0.0
    with mpmath.workdps(30):
        for i, j in itertools.permutations(range(len(points)), 2):
            gap = mpmath.sqrt(mpmath.fsum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(points[i], points[j])))
            z = mpmath.sqrt(m) * gap / (2 * mpmath.mpf(sigma))
            total += mpmath.mpf(weights[i]) * gap**2 * mpmath.erfc(z / mpmath.sqrt(2)) / 2
            worst = max(worst, float(z))
    return float(total), worst


def plane_mmse(law, m, n=60):
    """E tr C_m for sigma = 1 by n x n Gauss-Hermite nodes around every atom."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    w = w / w.sum()
    nodes, weights = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2), np.outer(w, w).ravel()
    total = 0.0
    for p, x in zip(law.weights, law.means):
        C = measurements.posterior_covariance(law, m * (x + nodes / math.sqrt(m)), m, 1.0)
        total += p * (weights @ np.trace(C, axis1=1, axis2=2))
    return total


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Both inequalities on a line, from much noise to little."""
    runs = ((1, 1.5), (1, 0.55), (4, 1.0), (10, 1.0), (30, 1.0), (60, 1.0))
    for name, law in clouds():
        mmse = [measurements.line_mmse(law, m, sigma) for m, sigma in runs]
        larger = [bound.discrete_prior_mmse(law.points, law.weights, m, sigma) for m, sigma in runs]
        check.holds(mmse, larger, tol=0.0, cause="exact: no rounding near equality", on=f"E C_m, {name}")
        w2, of = [measurements.line_jump_w2(law, m, sigma) for m, sigma in runs], "a step of the proof, W2^2 <= E C_m"
        check.holds(w2, mmse, tol=1e-13, cause="remainder: quadrature", on=name, of=of)


def test_formula_in_30_digits(check):
    """The printed sum, pair by pair, with mpmath's erfc."""
    rng = np.random.default_rng(57)
    for shape, m, sigma in (((2, 1), 1, 0.7), ((5, 2), 3, 1.3), ((4, 3), 50, 0.9)):
        points = rng.standard_normal(shape)
        weights = rng.dirichlet(np.ones(len(points)))
        exact, z = exact_sum(points, weights, m, sigma)
        value, tol = bound.discrete_prior_mmse(points, weights, m, sigma), EPS * (32 + 8 * z**2) * exact
        cause = "rounding: eps (32 + 8 z^2): a rounding of z moves Phi(-z) by z^2 eps"
        check.equal(value, exact, tol=tol, cause=cause, on=f"mpmath, {len(points)} points, m = {m}")


def test_plane(check):
    """In the plane: E tr C_m by a product Gauss-Hermite rule around each atom."""
    rng = np.random.default_rng(56)
    # a cloud as a mixture of variance 0: faster for many rows and few atoms
    law, counts = GaussianMixture(rng.dirichlet(np.ones(6)), rng.standard_normal((6, 2)) * 2, 0.0), (1, 4, 16)
    value = [plane_mmse(law, m) for m in counts]
    larger = [bound.discrete_prior_mmse(law.means, law.weights, m, 1.0) for m in counts]
    cause, on = "remainder: Gauss-Hermite error at decision boundaries", "6 points in the plane, m = 1, 4, 16"
    check.holds(value, larger, tol=1e-6, cause=cause, on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_rate(check):
    """Two points at distance D: -log E C_m / m -> D^2/(8 sigma^2), the exponent of the bound."""
    law, m = PointCloud(np.array([[-1.0], [1.0]])), np.array([40, 50, 60])
    mmse = [measurements.line_mmse(law, int(k), 1.0) for k in m]
    larger = [bound.discrete_prior_mmse(law.points, law.weights, int(k), 1.0) for k in m]
    for name, values in (("E C_m", mmse), ("bound", larger)):
        # log(value sqrt(m)): Mills' ratio removes the polynomial factor
        slope = np.polyfit(m, np.log(values) + 0.5 * np.log(m), 1)[0]
        check.rate(slope, -0.5, within=0.002, on=f"log of {name} against m, two points, D = 2, sigma = 1")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Other arguments of Phi, and pairs left out of the sum."""
    value = measurements.line_mmse(PointCloud(np.array([[-1.0], [1.0]])), 10, 1.0)
    check.control("half the distance (the whole one)", value, 4 * ndtr(-2 * math.sqrt(10)), on="two points, m = 10")
    check.control("sqrt m (m)", value, 4 * ndtr(-10.0), on="two points, m = 10")
    other = PointCloud(np.array([[-1.0], [0.0], [1.5]]), np.array([0.2, 0.5, 0.3]))
    outer = 0.2 * ndtr(-0.5 / 0.3) + 0.3 * 2.25 * ndtr(-0.75 / 0.3)
    value, dropped = measurements.line_mmse(other, 1, 0.3), "all ordered pairs (errors of the middle atom left out)"
    check.control(dropped, value, outer, on="three points, s = .09")
