"""The exact output depends on sigma^2 / m alone (derived; makes "only two hyperparameters" of the slides precise).

Suppose that

    (H1)  the inner draws are exact.

Then

    law(Xhat_m; sigma, m)  =  law(Xhat_{m'}; sigma sqrt(m'/m), m').

At a fixed sigma^2 / m a larger sigma only makes the conditionals more log-concave.

Measured on a line by W2, mean squared errors and jumps, and by the density of the mean of two measurements.
"""

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.equivalent_sigma.statement
CASES = [(1.0, 4, 1), (2.0, 9, 90), (0.3, 2, 1000)]


def laws():
    yield "two Gaussians", GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]), 1.0)
    yield "three points", PointCloud(np.array([[-1.0], [0.2], [1.0]]))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check):
    """W2, mean squared error and the jump at 101 points for three pairs (sigma, m) and their equivalents."""
    y = np.linspace(-5, 5, 101)[:, None]

    def outputs(law, m, sigma):
        jump = measurements.posterior_mean(law, m * y, m, sigma)[:, 0]
        return np.r_[measurements.line_jump_w2(law, m, sigma), measurements.line_mmse(law, m, sigma), jump]

    for name, law in laws():
        given = [outputs(law, m, sigma) for sigma, m, _ in CASES]
        equivalent = [outputs(law, new, bound.equivalent_sigma(sigma, m, new)) for sigma, m, new in CASES]
        cause = "remainder: rounding of sigma sqrt(m'/m) through the quadrature"
        check.equal(given, equivalent, tol=1e-12, cause=cause, on=f"W2^2, E C_m, jumps: {name}")


def test_law_of_the_output(check):
    """The law of the sum over m, i.e. of the mean, is the same: exact chains of m = 1 and m = 2 by quadrature."""
    law, sigma, at = (
        GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.5]]), np.array([0.05, 0.3])),
        0.8,
        np.linspace(-3, 3, 31),
    )
    y, w = measurements.line_quadrature(law, sigma)
    second = [measurements.conditional_log_density(law, (2 * a - y)[:, None], y[:, None], 1, sigma) for a in at]
    two_steps = [2 * (w @ np.exp(logs)) for logs in second]
    one_step = np.exp(law.noised(1.0, bound.equivalent_sigma(sigma, 2, 1)).log_density(at[:, None]))
    cause, on = "remainder: Gauss-Legendre panels, 1e-14", "density of the mean, m = 2 against m = 1"
    check.equal(two_steps, one_step, tol=1e-13, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_difficulty_differs(check):
    """What s does not fix: the curvature of the first conditional. Small sigma is not log-concave, large sigma is."""
    law = PointCloud(np.array([[-1.0], [1.0]]))
    y = np.linspace(-2, 2, 201)[:, None]
    low, high = 0.7, bound.equivalent_sigma(0.7, 1, 4)
    smallest = [float((-law.noised(1.0, v).hessian(y) * v**2).min()) for v in (low, high)]
    check.holds(0.0, smallest[1], tol=0.0, cause="exact: strict", on=f"sigma = {high:g}: first conditional log-concave")
    check.control("large sigma (the same s with m = 1)", 0.0, smallest[0], on=f"sigma = {low:g}")


def test_controls(check):
    """Other powers of m'/m."""
    law = dict(laws())["three points"]
    exact = measurements.line_jump_w2(law, 4, 1.0)
    for dropped, sigma in (("sqrt(m'/m) (m'/m)", 0.25), ("sqrt(m'/m) (1: sigma kept)", 1.0)):
        check.control(dropped, abs(measurements.line_jump_w2(law, 1, sigma) - exact), 1e-9, on="three points")
