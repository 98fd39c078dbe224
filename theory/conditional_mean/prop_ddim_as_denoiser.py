"""DDIM as a denoiser keeps an excess on a Gaussian prior (derived; DDIM is an option of the released code).

Let g = lam / (lam + v_hat). Suppose that

    (H1)  the prior is N(0, lam) and the denoiser exact,
    (H2)  the sampler is DDIM, the Euler scheme of the probability flow, on a refined schedule.

Then DDIM tends to sqrt(g) y at rate 1/n, while the mean chain is g y exactly, and

    E|f_DDIM - CME|^2  ->  (sqrt(g) - g)^2 (lam + v_hat),

17 % of the MMSE at 0 dB and lam = 1. On other priors neither of the two estimators dominates the other.

Measured by the gain of the linear chains, and on five priors by quadrature.
"""

import numpy as np

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.ddim_as_denoiser.statement
STEPS = np.array([64, 128, 256])


def gaussian_excess(lam, v_hat, n, method="ddim"):
    law, sigma = GaussianMixture([1.0], np.zeros((1, 1)), lam), float(np.sqrt(v_hat))
    gain = cm.denoise(law, cm.refined_grid(n, sigma), np.ones((1, 1)), sigma, method=method)[0, 0]
    return (gain - lam / (lam + v_hat)) ** 2 * (lam + v_hat), gain


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_limit(check):
    for lam, v_hat in ((1.0, 1.0), (0.3, 1.0), (4.0, 0.5)):
        values = np.array([gaussian_excess(lam, v_hat, int(n))[0] for n in STEPS])
        end = bound.ddim_as_denoiser(lam, v_hat)
        extrapolated = 2 * values[1:] - values[:-1]
        cause, on = "remainder: 2 x last change of the extrapolation", f"lam = {lam:g}, v = {v_hat:g}"
        check.tight(extrapolated[-1] / end, 1.0, tol=2 * abs(extrapolated[-1] - extrapolated[0]) / end, cause=cause, on=on)
        gains = [gaussian_excess(lam, v_hat, int(n))[1] for n in STEPS]
        on = f"gain to sqrt(g), lam = {lam:g}, v = {v_hat:g}"
        check.rate(distances.fit_slope(STEPS, np.abs(gains - np.sqrt(lam / (lam + v_hat)))), -1.0, within=0.05, on=on)
    cause = "printed digits: recorded to four digits"
    check.equal(bound.ddim_as_denoiser(1.0, 1.0) / 0.5, 0.1716, tol=5e-5, cause=cause, on="excess/MMSE, 0 dB")


def test_finite_product(check):
    """The exact gain at finite n: prod (lam + r r')/(lam + r^2)."""
    for n in (3, 30):
        r = cm.refined_grid(n, 1.0).noise_ratio
        expected = np.prod((1.0 + r[:-1] * r[1:]) / (1.0 + r[:-1] ** 2))
        check.equal(gaussian_excess(1.0, 1.0, n)[1], expected, tol=1e-13, cause="rounding", on=f"n = {n}")


def test_neither_dominates(check, line):
    """Excess over MMSE at 0 dB, mean chain and DDIM, as recorded (n = 300 here)."""
    recorded = {
        "gauss": (0.0, 0.1716),
        "gmm2": (0.260, 0.205),
        "gmm3": (0.166, 0.191),
        "scale mixture": (0.062, 0.168),
        "two points": (0.4115, 0.4115),
    }
    worse = []
    for name, pair in recorded.items():
        found = [line.chain_excess(name, 1.0, cm.refined_grid(300, 1.0), method=m) for m in ("mean", "ddim")]
        cause = "printed digits: 1/n at n = 300, recorded to three digits"
        check.equal(found, pair, tol=4e-3, cause=cause, on=f"mean chain and DDIM, {name}, 0 dB")
        worse.append(found[0] > found[1])
    cause, on = "exact: yes/no", "mean chain worse than DDIM: gmm2 yes, gmm3 no"
    check.equal(np.array(worse[1:3], float), [1.0, 0.0], tol=0, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    mean, _ = gaussian_excess(1.0, 1.0, 256, "mean")
    check.control("DDIM (the mean chain: exact)", bound.ddim_as_denoiser(1.0, 1.0), mean, tol=1e-9, on="lam = 1, 0 dB")
    ddim, _ = gaussian_excess(1.0, 1.0, 256)
    check.control("the probability flow (as if it were exact)", ddim, 0.0, tol=1e-3, on="lam = 1, 0 dB")
