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
    """E|f - CME|^2 on the prior N(0, lam)."""
    return (gain(lam, v_hat, n, method) - lam / (lam + v_hat)) ** 2 * (lam + v_hat)


def gain(lam, v_hat, n, method="ddim"):
    """f(y) / y on the prior N(0, lam), where every method is linear."""
    law, sigma = GaussianMixture([1.0], np.zeros((1, 1)), lam), float(np.sqrt(v_hat))
    return cm.denoise(law, cm.refined_grid(n, sigma), np.ones((1, 1)), sigma, method=method)[0, 0]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_limit(check):
    """The limit by extrapolation, the rate of the gain, and the number at 0 dB."""
    for lam, v_hat in ((1.0, 1.0), (0.3, 1.0), (4.0, 0.5)):
        values = np.array([gaussian_excess(lam, v_hat, int(n)) for n in STEPS])
        limit, on = bound.ddim_as_denoiser(lam, v_hat), f"lam = {lam:g}, v = {v_hat:g}"
        extrapolated = 2 * values[1:] - values[:-1]
        tol = 2 * abs(extrapolated[-1] - extrapolated[0]) / limit
        cause = "remainder: 2 x last change of the extrapolation"
        check.tight(extrapolated[-1] / limit, 1.0, tol=tol, cause=cause, on=on)

        gains = np.array([gain(lam, v_hat, int(n)) for n in STEPS])
        slope = distances.fit_slope(STEPS, np.abs(gains - np.sqrt(lam / (lam + v_hat))))
        check.rate(slope, -1.0, within=0.05, on=f"gain to sqrt(g), {on}")
    cause = "printed digits: recorded to four digits"
    check.equal(bound.ddim_as_denoiser(1.0, 1.0) / 0.5, 0.1716, tol=5e-5, cause=cause, on="excess/MMSE, 0 dB")


def test_finite_product(check):
    """The exact gain at finite n: prod (lam + r r')/(lam + r^2)."""
    for n in (3, 30):
        r = cm.refined_grid(n, 1.0).noise_ratio
        expected = np.prod((1.0 + r[:-1] * r[1:]) / (1.0 + r[:-1] ** 2))
        check.equal(gain(1.0, 1.0, n), expected, tol=1e-13, cause="rounding", on=f"n = {n}")


def test_neither_dominates(check, line):
    """Excess over MMSE at 0 dB, mean chain and DDIM, as recorded (n = 300 here)."""
    recorded = {
        "gauss": (0.0, 0.1716),
        "gmm2": (0.260, 0.205),
        "gmm3": (0.166, 0.191),
        "scale mixture": (0.062, 0.168),
        "two points": (0.4115, 0.4115),
    }
    found = {
        name: [line.chain_excess(name, 1.0, cm.refined_grid(300, 1.0), method=m) for m in ("mean", "ddim")]
        for name in recorded
    }
    cause = "printed digits: 1/n at n = 300, recorded to three digits"
    for name, pair in recorded.items():
        check.equal(found[name], pair, tol=4e-3, cause=cause, on=f"mean chain and DDIM, {name}, 0 dB")
    worse = [float(mean > ddim) for mean, ddim in (found["gmm2"], found["gmm3"])]
    check.equal(worse, [1.0, 0.0], tol=0, cause="exact: yes/no", on="mean chain worse than DDIM: gmm2 yes, gmm3 no")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) the mean chain in place of DDIM; and DDIM is not exact."""
    limit = bound.ddim_as_denoiser(1.0, 1.0)
    check.control(
        "DDIM (the mean chain: exact)", limit, gaussian_excess(1.0, 1.0, 256, "mean"), tol=1e-9, on="lam = 1, 0 dB"
    )
    ddim = gaussian_excess(1.0, 1.0, 256)
    check.control("the probability flow (as if it were exact)", ddim, 0.0, tol=1e-3, on="lam = 1, 0 dB")
