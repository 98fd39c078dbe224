"""Slope of the exact step for a prior in a ball (derived; cf. Lemma 4.1, whose wording was not at hand).

Let the step lead from s = v_t to r = v_{t-1} in z, so that its Jacobian is r/s I + (1 - r/s) C_s / s. Suppose that

    (H1)  the support of the prior lies in a ball of radius R.

Then

    |r/s I + (1 - r/s) C_s / s|  <=  r/s + (1 - r/s) R^2 / s,

with equality for two antipodal atoms at their midpoint. The product of these slopes over a chain grows without limit as the
chain is refined, so that no Lipschitz constant holds for all T.

Measured on random point clouds and spheres in one to three dimensions.
"""

import numpy as np

from exactdiffusion import PointCloud, Sphere, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.step_slope_bounded_support.statement
EPS = np.finfo(np.float64).eps
LEVELS = ((4.0, 3.0), (1.0, 0.9), (0.1, 0.05), (0.01, 0.009))


def slopes(law, z, s, r):
    """Largest eigenvalue of the step's Jacobian at the states z (n, d): (n,)."""
    C = law.noised(1.0, np.sqrt(s)).posterior_covariance(z)
    return np.linalg.eigvalsh(r / s * np.eye(law.dim) + (1 - r / s) * C / s)[:, -1]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check):
    """Twelve random clouds, and the spheres through their outermost atom, at 100 states for each of four steps."""
    rng = np.random.default_rng(71)
    small, large = [], []
    for trial in range(12):
        d = 1 + trial % 3
        atoms = rng.standard_normal((int(rng.integers(2, 9)), d))
        radius = float(np.max(np.linalg.norm(atoms, axis=1)))
        for law in [PointCloud(atoms)] + ([Sphere(radius, d, d)] if d > 1 else []):
            for s, r in LEVELS:
                z = law.noised(1.0, np.sqrt(s)).sample(100, rng)
                small.append(slopes(law, z, s, r))
                large.append([bound.step_slope_bounded_support(s, r, radius)] * 100)
    check.holds(small, large, tol=1e-11, cause="rounding: of C/s", on="clouds and spheres, d <= 3")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    for radius in (0.5, 1.0, 3.0):
        pair = PointCloud(radius * np.array([[-0.6, -0.8], [0.6, 0.8]]))
        for s, r in LEVELS:
            ratio = slopes(pair, np.zeros((1, 2)), s, r) / bound.step_slope_bounded_support(s, r, radius)
            check.tight(ratio, 1.0, tol=1e-13, cause="rounding", on=f"antipodal atoms, R = {radius:g}, s = {s:g}, r = {r:g}")


def test_no_uniform_constant(check):
    """Slope of the whole chain at the midpoint: the product of the bounds, and it grows without limit with n."""
    pair, counts, logs = PointCloud(np.array([[-1.0], [1.0]])), (2, 3, 5, 8), []
    for n in counts:
        grid = cm.refined_grid(n, 1.0)
        v = grid.noise_ratio**2
        product = np.prod(bound.step_slope_bounded_support(v[:-1], v[1:], 1.0))
        h = 1e-3 / product
        found = cm.denoise(pair, grid, np.array([[h]]), 1.0)[0, 0] / h
        cause = "rounding: cubic terms at f = 1e-3, 64 eps / h of a quotient"
        check.equal(found / product, 1.0, tol=1e-5 + 64 * EPS / h, cause=cause, on=f"chain at the midpoint, n = {n}")
        logs.append(np.log(product))

    of = "the growth of the product of slopes with n"
    check.holds(logs[:-1], logs[1:], tol=0, cause="exact: strict", on="n = 2 .. 8", of=of)
    check.holds(10.0, logs[-1], tol=0, cause="exact: strict", on="log slope at n = 8", of=of)
    assert distances.fit_slope(counts, logs).slope > 0.5


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """(H1) a radius that is too small, and a prior that is not bounded."""
    pair, half = PointCloud(np.array([[-1.0], [1.0]])), bound.step_slope_bounded_support(1.0, 0.5, 0.9)
    slope = slopes(pair, np.zeros((1, 1)), 1.0, 0.5)
    check.control("the radius of the support (90 % of it)", slope, half, tol=1e-6, on="two points")
    slope = slopes(line.priors["scale mixture"], np.linspace(-6, 6, 201)[:, None], 1.0, 0.5)
    dropped, larger = "bounded support (R = .5 on a Gaussian mixture)", bound.step_slope_bounded_support(1.0, 0.5, 0.5)
    check.control(dropped, slope, larger, tol=1e-6, on="scale mixture")
