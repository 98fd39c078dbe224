"""MSE = MMSE + excess (classical).

Suppose that

    (H1)  x and y have finite second moments, and the estimator is compared with the conditional mean E[x | y],
    (H2)  f is a function of y.

Then

    E|f(y) - x|^2  =  E|x - E[x | y]|^2  +  E|f(y) - E[x | y]|^2.

Measured for five estimators on four priors: the left side by a quadrature over prior and noise that never uses the
posterior, the right side by the oracle.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.orthogonality.statement


def joint(law, sigma, m=161):
    """Nodes (x, y) and weights of the expectation over the prior and the noise: trapezoidal in both."""
    t = np.linspace(-8.6, 8.6, m)
    w = np.exp(-0.5 * t**2) / np.sum(np.exp(-0.5 * t**2))
    sd = np.sqrt(np.broadcast_to(law.covariances, law.weights.shape))
    x = law.means[:, 0][:, None, None] + sd[:, None, None] * t[:, None] + 0 * t
    weight = law.weights[:, None, None] * w[:, None] * w
    return x.ravel()[:, None], (x + sigma * t).ravel()[:, None], weight.ravel()


def estimators(law, sigma):
    grid = cm.refined_grid(4, sigma)
    return {
        "mean chain, n = 4": lambda y: cm.denoise(law, grid, y, sigma),
        "DDIM, n = 4": lambda y: cm.denoise(law, grid, y, sigma, method="ddim"),
        "LS": cm.ls,
        "LMMSE": lambda y: cm.lmmse(law, y, sigma),
        "CME": lambda y: cm.cme(law, y, sigma),
    }


def measured(law, sigma, f, m):
    """(MSE, MMSE, excess): the first from (x, y); the other two from y through the oracle."""
    x, y, w = joint(law, sigma, m)
    out = f(y)
    return (
        float(w @ (out - x)[:, 0] ** 2),
        float(w @ cm.posterior_variance(law, y, sigma)),
        float(w @ (out - cm.cme(law, y, sigma))[:, 0] ** 2),
    )


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check, line):
    for name in ("gauss", "gmm2", "gmm3", "scale mixture"):
        law = line.priors[name]
        for sigma in (1.0, 0.5):
            for title, f in estimators(law, sigma).items():
                mse, mmse, excess = measured(law, sigma, f, 161)
                cause, on = "remainder: trapezoidal rule, 161^2 nodes a component", f"{title}, {name}, sigma = {sigma:g}"
                check.equal(mse, bound.orthogonality(mmse, excess), tol=1e-8, cause=cause, on=on)


def test_closed_forms(check):
    """LS has MSE sigma^2; LMMSE the trace of its error covariance."""
    law = cm.normalised(GaussianMixture([0.3, 0.7], np.array([[-1.0], [0.5]]), np.array([0.2, 0.6])))
    for sigma in (1.0, 0.4):
        mse, *_ = measured(law, sigma, cm.ls, 161)
        check.equal(mse, sigma**2, tol=1e-12, cause="remainder: trapezoidal rule", on=f"LS, sigma = {sigma:g}")
        mse, *_ = measured(law, sigma, lambda y, s=sigma: cm.lmmse(law, y, s), 161)
        cause = "remainder: trapezoidal rule"
        check.equal(mse, sigma**2 / (1 + sigma**2), tol=1e-12, cause=cause, on=f"LMMSE, unit variance, sigma = {sigma:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    law = line.priors["gmm2"]
    f = lambda y: cm.denoise(law, cm.refined_grid(4, 1.0), y, 1.0)  # noqa: E731
    x, y, w = joint(law, 1.0)
    mse, mmse, excess = measured(law, 1.0, f, 161)
    linear = cm.lmmse(law, y, 1.0)
    around_linear = float(w @ (linear - x)[:, 0] ** 2) + float(w @ (f(y) - linear)[:, 0] ** 2)
    check.control("the conditional mean (LMMSE in its place)", abs(mse - around_linear), 0.0, tol=1e-8, on="gmm2, n = 4")
    peeking = f(y) + 0.1 * x  # not a function of y
    left = float(w @ (peeking - x)[:, 0] ** 2)
    right = bound.orthogonality(mmse, float(w @ (peeking - cm.cme(law, y, 1.0))[:, 0] ** 2))
    check.control("f a function of y", abs(left - right), 0.0, tol=1e-8, on="gmm2, f + x/10")
