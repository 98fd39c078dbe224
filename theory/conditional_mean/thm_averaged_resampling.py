"""Averaged re-sampling converges to the CME (derived).

Suppose that

    (H1)  every step but the last adds Gaussian noise of variance beta-tilde (small) or beta (large) to the exact mean,
    (H2)  the output is averaged over M independent runs.

Then for a smooth prior, at a fixed SNR and on quasi-uniform grids of n steps

    E[xhat | y] - E[x | y]  =  O(1/n),        E|xhat_M - x|^2  ->  (1 + 1/M) MMSE.

Measured without sampling. The moments of the output given z_t, u_t(z) = E[output | z_t = z] and its second moment, obey the
backward recursion u_t(z) = E u_{t-1}(mean(z) + spread xi): functions on a mesh, quintic splines between its nodes,
Gauss-Hermite for xi.
"""

from functools import lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline

from exactdiffusion import distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.averaged_resampling.statement
STEPS = np.array([16, 32, 64, 128])
NAMES = ("gmm2", "gmm3", "scale mixture")


@lru_cache
def backwards(law, n, variance, spacing):
    """``function(z)``: (mean, second moment) of the output given z_t = z, for the first t, at sigma = 1."""
    v = cm.refined_grid(n, 1.0).noise_ratio ** 2
    mesh = np.arange(-11, 11 + spacing / 2, spacing)
    t, w = np.polynomial.hermite_e.hermegauss(24)
    w = w / w.sum()
    at = lambda i, z: law.noised(1.0, np.sqrt(v[i])).denoise(z.reshape(-1, 1)).reshape(z.shape)  # noqa: E731

    def step(i, z, later):
        r, s = v[i + 1], v[i]
        factor = {"small": r / s, "large": (1 + r) / (1 + s), "difference": 1.0}[variance]
        mean = r / s * z + (1 - r / s) * at(i, z)
        nodes = np.clip(mean[:, None] + np.sqrt((s - r) * factor) * t, mesh[0], mesh[-1])
        return w @ make_interp_spline(mesh, later, k=5)(nodes)

    u = at(n - 1, mesh)  # the last step has no noise
    both = np.stack([u, u**2], axis=-1)
    for i in range(n - 2, 0, -1):
        both = step(i, mesh, both)
    return lambda z: step(0, z, both)


def recursion(law, n, y, variance="small", spacing=0.04):
    """(mean, second moment) of one run's output given y, at the rows of y; start at sigma = 1."""
    return backwards(law, n, variance, spacing)(y[:, 0]).T


def rms(line, name, values):
    _, w = line.quadrature(name, 1.0)
    return float(np.sqrt(w @ (values - line.truth(name, 1.0)[0][:, 0]) ** 2))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_recursion_on_a_gaussian(check, line):
    """Where both moments are known: the recursion's own error."""
    y = np.linspace(-4, 4, 41)[:, None]
    for kernel in ("small", "large"):
        u, moment = recursion(line.priors["gauss"], 20, y, kernel)
        variance = bound.resampling_variance(cm.refined_grid(20, 1.0).noise_ratio ** 2, 1.0, kernel)
        check.equal(u, y[:, 0] / 2, tol=1e-9, cause="remainder: splines reproduce lines", on=f"mean, {kernel}")
        cause = "remainder: splines reproduce parabolas"
        check.equal(moment - u**2, variance, tol=1e-9, cause=cause, on=f"variance, {kernel}")


def test_mesh(check, line):
    law = line.priors["gmm2"]
    y = np.linspace(-3, 3, 31)[:, None]
    a, b = (recursion(law, 128, y, "small", h)[0] for h in (0.04, 0.02))
    check.equal(a, b, tol=1e-6, cause="remainder: spline error at spacing .04", on="gmm2, n = 128, spacing .04 against .02")


def test_bias_and_mean_squared_error(check, line, deep):
    counts = np.append(STEPS, 256) if deep else STEPS
    for name in NAMES:
        law, (y, w), (mean, mmse) = line.priors[name], line.quadrature(name, 1.0), line.truth(name, 1.0)
        for kernel in ("small", "large") if deep or name == "gmm2" else ("small",):
            biases, single = [], []
            for n in counts:
                u, moment = recursion(law, int(n), y, kernel)
                biases.append(rms(line, name, u))
                # E|xhat - x|^2 = E[ E xhat^2 - 2 E xhat E x + E x^2 ]
                single.append(float(w @ (moment - 2 * u * mean[:, 0] + mean[:, 0] ** 2)) + mmse)
            check.rate(distances.fit_slope(counts[-3:], biases[-3:]), -1.0, within=0.1, on=f"bias, {name}, {kernel}")
            limit, miss = bound.averaged_resampling(mmse), np.array(single) / (2 * mmse) - 1
            extrapolated = (2 * single[-1] - single[-2]) / limit
            tol = 2 * abs(2 * single[-1] - 3 * single[-2] + single[-3]) / limit
            cause = "remainder: 2 x last change of the extrapolation"
            check.tight(extrapolated, 1.0, tol=tol, cause=cause, on=f"MSE / 2 MMSE, {name}, {kernel}")
            on = f"MSE to 2 MMSE, {name}, {kernel}"
            check.rate(distances.fit_slope(counts[-3:], np.abs(miss[-3:])), -1.0, within=0.2, on=on)
            cause, on = "exact: strict", f"at most a fifth of the plateau at n = {counts[-1]}, {name}, {kernel}"
            check.holds(biases[-1], 0.2 * rms(line, name, line.limit(name, 1.0)[:, 0]), tol=0, cause=cause, on=on)


def test_recorded_values(check, line):
    """rms distance to the CME recorded by another program, gmm2, 0 dB: beta-tilde, and variance v - v' in z."""
    y, _ = line.quadrature("gmm2", 1.0)
    for n, small, large in ((3, 0.0831, 0.0588), (10, 0.0339, 0.0178), (30, 0.0124, 0.0057)):
        for kernel, value in (("small", small), ("difference", large)):
            found = rms(line, "gmm2", recursion(line.priors["gmm2"], n, y, kernel)[0])
            cause = "printed digits: recorded to two or three digits"
            check.equal(found, value, tol=0.02 * value, cause=cause, on=f"gmm2, n = {n}, {kernel}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Without noise the distance to the CME does not fall like 1/n."""
    for name in NAMES:
        y, _ = line.quadrature(name, 1.0)
        off = [rms(line, name, cm.denoise(line.priors[name], cm.refined_grid(int(n), 1.0), y, 1.0)[:, 0]) for n in STEPS]
        on = f"{name}: 1/n from n = 16"
        check.control("re-sampling (off)", off[-1], 2 * off[0] * STEPS[0] / STEPS[-1], tol=1e-6, on=on)
    y, w = line.quadrature("gmm2", 1.0)
    mean, mmse = line.truth("gmm2", 1.0)
    u, moment = recursion(line.priors["gmm2"], 128, y)
    single = float(w @ (moment - 2 * u * mean[:, 0] + mean[:, 0] ** 2)) + mmse
    check.control("the average (a single run)", single, 1.5 * mmse, tol=1e-6, on="gmm2, n = 128: beyond 1.5 MMSE")
