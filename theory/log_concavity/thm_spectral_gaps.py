"""Spectral gaps: exponentially small for the law, of order one for the chain (Bakry & Emery; applied here).

Suppose that

    (H1)  the diffusion runs on the conditional of a measurement, X = Z + tau N with |Z| <= R,
    (H2)  sigma^2 >= R^2 - tau^2.

Then, whatever the past, the spectral gap of dy = grad log p(y | y_1, ..., y_{m-1}) dt + sqrt(2) dB is

    gap  >=  zeta_m  =  (sigma^2 + (m-1) tau^2) / (sigma^2 (sigma^2 + m tau^2)) - R^2 / (sigma^2 + m tau^2)^2,

with equality for Gaussians. On p itself, two Gaussians at distance 2R, it decays like exp(-R^2 / (2 tau^2)).

Measured by birth-death chains on grids, for the axis of two Gaussians in R^1 to R^3 and the worst of thirteen pasts.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.certificates import spectral_gap
from exactdiffusion.papers.log_concavity.walk_jump import conditional_target
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.spectral_gap_lower_bound.statement


def mixture(d):
    R = bound.decoupled_radius(d)
    return GaussianMixture(np.array([0.2, 0.8]), np.array([[-R], [R]]), 1.0), float(R)


def law_gap(d, n=2001):
    """Gap of the diffusion on the axis of the mixture in R^d, on n nodes."""
    law, R = mixture(d)
    x = np.linspace(-R - 7, R + 7, n)
    return spectral_gap(law.log_density(x[:, None]), x)


def conditional_gap(d, t, sigma2, ybar, n=1201):
    """Gap of p(y_t | past) times sigma^2, where the past sum is (t - 1) ybar."""
    law, R = mixture(d)
    width = R + 9 * np.sqrt(sigma2 + 1)
    y = np.linspace(-width, width, n) + (ybar if t > 1 else 0.0)
    total = np.full((n, 1), (t - 1) * ybar)
    logs = conditional_target(law, total, t - 1, np.sqrt(sigma2)).log_density(y[:, None])
    return spectral_gap(logs, y) * sigma2


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_law(check):
    """The law itself: the printed gaps, their error in the grid, and their decay with the dimension."""
    found, halved = (np.array([law_gap(d, n) for d in (1, 2, 3)]) for n in (2001, 4001))
    cause, on = "printed digits: printed digits, grid of order h^2", "two Gaussians, R = 3 sqrt d"
    check.equal(found / [0.0173, 3.01e-4, 4.26e-6], 1.0, tol=5e-3, cause=cause, on=on)
    check.equal(found / halved, 1.0, tol=2e-3, cause="remainder: h^2", on="grid halved")

    # Eyring-Kramers decay exp(-R^2/2) up to factors of R
    check.holds(found[1:] / found[:-1], 0.03, tol=0, cause="exact", on="d = 1, 2, 3", of="the gap of the law itself")


def test_conditionals(check):
    """The worst past over a grid of sums: at least zeta_t sigma^2 at twice the threshold, with the threshold's own
    numbers."""
    for factor in (1.0, 2.0):
        for d in (1, 2, 3):
            _, R = mixture(d)
            sigma2 = factor * bound.radius_threshold(R, 1.0)
            pasts = {1: [0.0], 2: np.linspace(-1.2 * R, 1.2 * R, 13), 10: np.linspace(-1.2 * R, 1.2 * R, 13)}
            worst = [min(conditional_gap(d, t, sigma2, mean) for mean in means) for t, means in pasts.items()]
            zeta = [bound.spectral_gap_lower_bound(t, sigma2, 1.0, R) * sigma2 for t in pasts]
            on = f"d = {d}, sigma^2 = {factor:g} x threshold, t = 1, 2, 10"
            check.holds(zeta, worst, tol=2e-3, cause="remainder: grid of order h^2", on=on)
            check.holds(0.45 if factor == 1 else 0.6, worst, tol=0, cause="exact", on=on, of="the order one of the gap")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Gaussians, whatever the past: the conditional's own log density against the bound."""
    for t, sigma2, tau2, past in ((1, 1.0, 1.0, 0.0), (4, 2.0, 0.5, 5.0)):
        law = GaussianMixture(None, np.zeros((1, 1)), tau2)
        mean = past * tau2 / (sigma2 + (t - 1) * tau2)
        y = mean + np.linspace(-8, 8, 4001) * np.sqrt(sigma2 + tau2)
        logs = conditional_target(law, np.full((4001, 1), past), t - 1, np.sqrt(sigma2)).log_density(y[:, None])
        ratio = spectral_gap(logs, y) / bound.spectral_gap_lower_bound(t, sigma2, tau2, 0.0)
        cause = "remainder: h^2 of the birth-death chain, h = .004 deviations"
        check.tight(ratio, 1.0, tol=1e-4, cause=cause, on=f"Gaussian conditional, t = {t}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """The diffusion on the law itself, and a noise below the threshold."""
    # (H1) no measurement
    _, R = mixture(2)
    zeta = bound.spectral_gap_lower_bound(1, 2 * bound.radius_threshold(R, 1.0), 1.0, R)
    check.control("measurements (Langevin on the law)", zeta, law_gap(2), on="d = 2")

    # (H2) sigma^2 = 1 where R^2 - tau^2 = 17
    low = conditional_gap(2, 1, 1.0, 0.0)
    check.control("sigma^2 at the threshold (1, not 17)", 0.45, low, on="d = 2, first conditional at sigma^2 = 1")
