"""W2 distance of the law of the posterior mean (slides; Proposition 2, number recalled).

Let X have a finite second moment and Xhat_m = E[X | Y_1, ..., Y_m]. Then, without any further hypothesis,

    W2^2(X, Xhat_m)  <=  E tr C_m  <=  sigma^2 d / m.

The second inequality is attained in the limit of a wide law; the first is loose: W2^2 / (s d), s = sigma^2 / m, is at most
(5 sqrt(5) - 11) / 2 = .0902 among Gaussians, .1865 for two points, and .3468 for a lattice, the largest value known.

Measured on six laws on a line, where the jump is a monotone map and W2 exact, and on two Gaussians in up to 32 dimensions.
"""

import math

import numpy as np
import pytest
import sympy

from exactdiffusion import GaussianMixture, PointCloud, distances
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.posterior_mean_w2.statement
CAUSE = "remainder: 1e-12: quadrature and bisection"
STEP = "a step of the proof, by E C_m"
GOLDEN = (5 * math.sqrt(5) - 11) / 2


def laws():
    """Point clouds and mixtures on a line."""
    rng = np.random.default_rng(50)
    pair = np.array([[-1.0], [1.0]])
    yield "two points", PointCloud(pair)
    yield "two points, weights .1 .9", PointCloud(pair, np.array([0.1, 0.9]))
    yield "three points", PointCloud(np.array([[-1.0], [0.0], [1.0]]), np.array([0.3, 0.4, 0.3]))
    yield "7 random points", PointCloud(rng.standard_normal((7, 1)), rng.dirichlet(np.ones(7)))
    yield "two Gaussians", GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]), 1.0)
    means, variances = np.array([[-2.0], [0.5], [3.0]]), np.array([0.3, 0.01, 1.0])
    yield "three Gaussians", GaussianMixture([0.3, 0.3, 0.4], means, variances)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, _ in laws()])
def test_holds(check, name):
    law = dict(laws())[name]
    runs = [(m, math.sqrt(s * m)) for m, s in ((1, 0.05), (4, 0.3), (1, 1.0), (9, 3.0), (2, 20.0))]
    value = [measurements.line_jump_w2(law, m, sigma) for m, sigma in runs]
    mmse = [measurements.line_mmse(law, m, sigma) for m, sigma in runs]
    larger = [bound.posterior_mean_w2(m, sigma, 1) for m, sigma in runs]
    detail = f"W2^2/(sigma^2/m) = {np.array2string(np.array(value) / larger, precision=3)}"
    check.holds(value, larger, tol=1e-12, cause=CAUSE, on=f"W2^2 <= sigma^2/m, {name}", detail=detail)
    check.holds(value, mmse, tol=1e-12, cause=CAUSE, on=f"W2^2 <= E C_m, {name}", of=STEP)
    check.holds(mmse, larger, tol=1e-12, cause=CAUSE, on=f"E C_m <= sigma^2/m, {name}", of=STEP)


def test_dimension(check):
    """In R^d, where squared W2 of products add: two Gaussians at +-3 (1, ..., 1), one coordinate along their axis and
    d - 1 standard Gaussian ones."""
    for d in (2, 8, 32):
        axis = GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]) * math.sqrt(d), 1.0)
        sigma = math.sqrt(9 * d - 1)
        for m in (1, 10, 100, 1000):
            across = (1 - 1 / math.sqrt(1 + sigma**2 / m)) ** 2
            value = measurements.line_jump_w2(axis, m, sigma) + (d - 1) * across
            larger = bound.posterior_mean_w2(m, sigma, d)
            check.holds(value, larger, tol=1e-12, cause=CAUSE, on=f"means +-3 in R^{d}, m = {m}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_how_tight(check):
    """Largest ratios W2^2/(s d) by family: none near 1. The second inequality, E tr C <= s d, is attained in the limit."""
    lam = np.logspace(-1.5, 1.5, 6001)
    gaussian = (np.sqrt(lam) - lam / np.sqrt(lam + 1)) ** 2
    cause, on = "remainder: grid of 6001 ratios lam/s", "Gaussians, W2^2/s = (5 sqrt5 - 11)/2"
    check.tight(gaussian.max(), GOLDEN, tol=1e-6, cause=cause, on=on)

    pair = PointCloud(np.array([[-1.0], [1.0]]))
    ratios = [measurements.line_jump_w2(pair, 1, math.sqrt(s)) / s for s in np.linspace(0.6, 1.2, 41)]
    check.tight(max(ratios), 0.186447, tol=2e-5, cause="remainder: grid of 41 levels", on="two points, W2^2/s")

    # the infinite lattice by its periodic middle cell: 41 atoms, the ends contribute 1/41 of their own ratio
    few, many = (measurements.line_jump_w2(PointCloud(2.49 * np.arange(-k, k + 1)[:, None]), 1, 1.0) for k in (10, 20))
    cause, on = "printed digits: four printed digits", "lattice of spacing 2.49 sqrt s, per cell"
    check.tight((41 * many - 21 * few) / 20, 0.3468, tol=1e-4, cause=cause, on=on)

    wide, runs = GaussianMixture(None, np.zeros((1, 1)), 1e8), ((1, 1.0), (9, 3.0), (4, 1.0))
    ratio = [measurements.line_mmse(wide, m, sigma) / bound.posterior_mean_w2(m, sigma, 1) for m, sigma in runs]
    check.tight(ratio, 1.0, tol=2e-8, cause="remainder: s/lam = 1e-8", on="E C_m/s, N(0, 1e8)", of=STEP)


def test_golden_ratio(check):
    """SymPy: the maximum over Gaussians is (5 sqrt5 - 11)/2 at lam/s = (sqrt5 - 1)/2."""
    x = sympy.symbols("x", positive=True)
    ratio = (sympy.sqrt(x) - x / sympy.sqrt(x + 1)) ** 2
    best = (sympy.sqrt(5) - 1) / 2
    slope = sympy.simplify(sympy.radsimp(sympy.diff(ratio, x).subs(x, best)))
    value = sympy.simplify(ratio.subs(x, best) - (5 * sympy.sqrt(5) - 11) / 2)
    results = [float(slope.equals(0) is not True), float(value.equals(0) is not True)]
    check.equal(results, 0.0, tol=0, cause="exact: SymPy", on="stationary point and value")


def test_rate(check):
    """W2^2 ~ 1/m^2 once the noise is below the scale of a smooth p (1/m is only the bound)."""
    law = GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]), 1.0)
    m = 2.0 ** np.arange(9, 14)
    value = [measurements.line_jump_w2(law, int(k), math.sqrt(8.0)) for k in m]
    check.rate(distances.fit_slope(m, value), -2.0, within=0.03, on="W2^2 against m = 512 .. 8192, two Gaussians")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another power of m, no dimension, and the mean of the measurements as output."""
    value = measurements.line_jump_w2(PointCloud(np.array([[-1.0], [1.0]])), 9, 3.0)
    check.control("1/m (1/m^2 instead)", value, 3.0**2 / 9**2, on="two points, sigma = 3, m = 9")
    lattice = PointCloud(2.49 * np.arange(-20, 21)[:, None])
    check.control("the dimension (3 iid copies)", 3 * measurements.line_jump_w2(lattice, 1, 1.0), 1.0, on="lattice^3, s = 1")
    law, single = GaussianMixture(None, np.zeros((1, 1)), 4.0), (2.0 - np.sqrt(4.0 + 1.0)) ** 2
    dropped = "the jump (the mean of the measurements as output)"
    check.control(dropped, single, measurements.line_jump_w2(law, 1, 1.0), tol=1e-12, on="N(0, 4), s = 1")
