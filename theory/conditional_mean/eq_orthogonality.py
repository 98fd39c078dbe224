"""MSE = MMSE + excess (classical).

Suppose that

    (H1)  x and y have finite second moments, and the estimator is compared with the conditional mean E[x | y],
    (H2)  f is a function of y.

Then

    E|f(y) - x|^2  =  E|x - E[x | y]|^2  +  E|f(y) - E[x | y]|^2.

Measured for five estimators on four priors: the left side by a quadrature over prior and noise that never uses the
posterior, the right side by the oracle.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.orthogonality.statement


def joint(law, sigma, m=161):
    """`Joint` of a mixture on a line: the trapezoidal rule in both variables."""
    t = np.linspace(-8.6, 8.6, m)
    w = np.exp(-0.5 * t**2) / np.sum(np.exp(-0.5 * t**2))
    sd = np.sqrt(np.broadcast_to(law.covariances, law.weights.shape))
    x = law.means[:, 0][:, None, None] + sd[:, None, None] * t[:, None] + 0 * t
    weight = law.weights[:, None, None] * w[:, None] * w
    return Joint(x.ravel()[:, None], (x + sigma * t).ravel()[:, None], weight.ravel())


def estimators(law, sigma):
    grid = cm.refined_grid(4, sigma)
    return {
        "mean chain, n = 4": lambda y: cm.denoise(law, grid, y, sigma),
        "DDIM, n = 4": lambda y: cm.denoise(law, grid, y, sigma, method="ddim"),
        "LS": cm.ls,
        "LMMSE": lambda y: cm.lmmse(law, y, sigma),
        "CME": lambda y: cm.cme(law, y, sigma),
    }


def measured(law, sigma, f):
    nodes = joint(law, sigma)
    out = f(nodes.y)
    mmse = float(nodes.weights @ cm.posterior_variance(law, nodes.y, sigma))
    return Errors(nodes.mean_square(out - nodes.x), mmse, nodes.mean_square(out - cm.cme(law, nodes.y, sigma)))


class Joint(NamedTuple):
    """Nodes x and y (n, 1) and weights (n,) of the expectation over the prior and the noise."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def mean_square(self, f):
        return float(self.weights @ f[:, 0] ** 2)


class Errors(NamedTuple):
    """MSE of an estimator from prior and noise; MMSE and excess from the observation, through the oracle."""

    mse: float
    mmse: float
    excess: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check, line):
    for name in ("gauss", "gmm2", "gmm3", "scale mixture"):
        for sigma in (1.0, 0.5):
            for title, f in estimators(line.priors[name], sigma).items():
                errors = measured(line.priors[name], sigma, f)
                cause, on = "remainder: trapezoidal rule, 161^2 nodes a component", f"{title}, {name}, sigma = {sigma:g}"
                check.equal(errors.mse, bound.orthogonality(errors.mmse, errors.excess), tol=1e-8, cause=cause, on=on)


def test_closed_forms(check):
    """LS has MSE sigma^2; LMMSE the trace of its error covariance."""
    law = cm.normalised(GaussianMixture([0.3, 0.7], np.array([[-1.0], [0.5]]), np.array([0.2, 0.6])))
    cause = "remainder: trapezoidal rule"
    for sigma in (1.0, 0.4):
        mse = measured(law, sigma, cm.ls).mse
        check.equal(mse, sigma**2, tol=1e-12, cause=cause, on=f"LS, sigma = {sigma:g}")
        mse = measured(law, sigma, lambda y, s=sigma: cm.lmmse(law, y, s)).mse
        on = f"LMMSE, unit variance, sigma = {sigma:g}"
        check.equal(mse, sigma**2 / (1 + sigma**2), tol=1e-12, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Another centre than the conditional mean, and an estimator that has seen x."""
    law, nodes = line.priors["gmm2"], joint(line.priors["gmm2"], 1.0)

    def f(y):
        return cm.denoise(law, cm.refined_grid(4, 1.0), y, 1.0)

    errors = measured(law, 1.0, f)

    # (H1) the best linear estimator in place of the conditional mean
    linear = cm.lmmse(law, nodes.y, 1.0)
    around_linear = nodes.mean_square(linear - nodes.x) + nodes.mean_square(f(nodes.y) - linear)
    dropped = "the conditional mean (LMMSE in its place)"
    check.control(dropped, abs(errors.mse - around_linear), 0.0, tol=1e-8, on="gmm2, n = 4")

    # (H2) f + x/10 is not a function of y
    peeking = f(nodes.y) + 0.1 * nodes.x
    right = bound.orthogonality(errors.mmse, nodes.mean_square(peeking - cm.cme(law, nodes.y, 1.0)))
    off = abs(nodes.mean_square(peeking - nodes.x) - right)
    check.control("f a function of y", off, 0.0, tol=1e-8, on="gmm2, f + x/10")
