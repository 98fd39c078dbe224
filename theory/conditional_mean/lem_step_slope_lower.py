"""Slope of the exact step: a lower bound from the schedule alone (derived; cf. Lemma 4.1, whose wording was not at hand).

Let the step lead from s = v_t to r = v_{t-1}, with the posterior covariance C_s. Suppose that

    (H1)  the prior has a finite second moment.

Then in VP coordinates

    grad_x E[x_{t-1} | x_t]  =  alpha^(-1/2) (r/s I + (1 - r/s) C_s / s)  >=  sqrt(alpha) (1 - abar_{t-1}) / (1 - abar_t) I,

attained where the observation determines x (C_s = 0). The bound is one from below: as an upper bound it is false for the
unit Gaussian prior, and no upper bound can depend on the schedule alone.

Measured on eight priors: mixtures in up to six dimensions, two points, a point cloud.
"""

import numpy as np

from exactdiffusion import GaussianMixture, Grid, PointCloud
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.step_slope_lower.statement
EPS = np.finfo(np.float64).eps
LEVELS = ((4.0, 3.0), (1.0, 0.9), (0.1, 0.05), (0.01, 0.009))


def jacobian(law, z, s, r):
    """Jacobian of the exact step in z, (n, d, d), from the posterior covariance."""
    C = law.noised(1.0, np.sqrt(s)).posterior_covariance(z)
    return r / s * np.eye(law.dim) + (1 - r / s) * C / s


def vp(v):
    """alpha-bar of the level v."""
    return 1 / (1 + v)


def difference_quotient(law, z, s, r, h):
    """The Jacobian by central differences of the sampler's own step from s to r, (n, d, d)."""
    grid = Grid(np.ones(3), np.sqrt([s, r, 0.0]))

    def step(x):
        return list(cm.chain(law, grid, x))[1]

    return np.stack([(step(z + h * axis) - step(z - h * axis)) / (2 * h) for axis in np.eye(law.dim)], axis=-1)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_jacobian_is_that_of_the_chain(check, line, mixtures):
    """Central differences of the sampler's own step, and Cov(z' | z) / (s - r)."""
    s, r, h = 1.0, 0.6, 1e-4
    for name, law in (mixtures | {k: line.priors[k] for k in ("gmm2", "gmm3")}).items():
        z = law.noised(1.0, 1.0).sample(6, np.random.default_rng(51))
        exact = jacobian(law, z, s, r)
        fine, coarse = (difference_quotient(law, z, s, r, step) for step in (h, 2 * h))
        tol = np.max(np.abs(fine - coarse)) + 8 * EPS / h * np.max(np.abs(z))
        cause = "remainder: change of the difference quotient, eps/h"
        check.equal((4 * fine - coarse) / 3, exact, tol=tol, cause=cause, on=name)
        kernel = cm.reverse_kernel(law, z, s, r).covariance / (s - r)
        check.equal(kernel, exact, tol=1e-11, cause="rounding: of two derivations", on=f"Cov(z'|z)/(s - r), {name}")


def test_holds(check, line, mixtures):
    """The least eigenvalue of the Jacobian in VP coordinates (over sqrt(alpha)) at 200 states for each of four steps."""
    least, needed = [], []
    cloud = PointCloud(np.random.default_rng(52).standard_normal((12, 3)))
    for law in (*line.priors.values(), *mixtures.values(), cloud):
        for s, r in LEVELS:
            z = law.noised(1.0, np.sqrt(s)).sample(200, np.random.default_rng(53))
            least.append(np.linalg.eigvalsh(jacobian(law, z, s, r))[:, 0] * np.sqrt(vp(r) / vp(s)))
            needed.append([bound.step_slope_lower(vp(s), vp(r))] * 200)
    check.holds(needed, least, tol=1e-12, cause="rounding: of eigenvalues", on="8 priors, 4 steps")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check, line):
    """Where x is determined by z nothing else moves: two points, far out."""
    for s, r in LEVELS:
        slope = jacobian(line.priors["two points"], np.array([[20.0 * max(s, 1)]]), s, r)[0, 0, 0] * np.sqrt(vp(r) / vp(s))
        cause, on = "rounding: 8 eps / (1 - abar)", f"s = {s:g}, r = {r:g}"
        check.tight(slope / bound.step_slope_lower(vp(s), vp(r)), 1.0, tol=8 * EPS * (1 + 1 / r), cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """As an upper bound: false for the unit Gaussian; and two atoms 2a apart exceed any bound without the prior."""
    for s, r in LEVELS:
        gaussian = jacobian(line.priors["gauss"], np.zeros((1, 1)), s, r)[0, 0, 0] * np.sqrt(vp(r) / vp(s))
        on = f"unit Gaussian, s = {s:g}, r = {r:g}: slope sqrt(alpha)"
        check.control("the direction (as an upper bound)", gaussian, bound.step_slope_lower(vp(s), vp(r)), tol=1e-6, on=on)
        assert abs(gaussian - np.sqrt(vp(s) / vp(r))) < 16 * EPS
    for a in (10.0, 100.0):
        pair = GaussianMixture(None, np.array([[-a], [a]]), 0.0)
        slope = jacobian(pair, np.zeros((1, 1)), 1.0, 0.9)[0, 0, 0]
        assert abs(slope - (0.9 + 0.1 * a**2)) < 1e-10 * a**2
        check.control("a bound without the prior (5 for every prior)", slope, 5.0, on=f"atoms at +-{a:g}, s = 1, r = .9")
