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

import numpy as np

from exactdiffusion import distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.averaged_resampling.statement
STEPS = np.array([16, 32, 64, 128])
NAMES = ("gmm2", "gmm3", "scale mixture")


def rms(line, name, values):
    """Root mean square distance of an estimate (n,) at the nodes to the CME, at 0 dB."""
    _, w = line.quadrature(name, 1.0)
    return float(np.sqrt(w @ (values - line.truth(name, 1.0).cme[:, 0]) ** 2))


def single_run_mse(line, name, moments):
    """MSE of one run from its moments at the nodes: E|xhat - x|^2 = E[E xhat^2 - 2 E xhat CME + CME^2] + MMSE."""
    _, w = line.quadrature(name, 1.0)
    cme, mmse = line.truth(name, 1.0).cme[:, 0], line.truth(name, 1.0).mmse
    return float(w @ (moments.second - 2 * moments.mean * cme + cme**2)) + mmse


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_recursion_on_a_gaussian(check, line):
    """Where both moments are known: the recursion's own error."""
    y = np.linspace(-4, 4, 41)[:, None]
    for kernel in ("small", "large"):
        mean, second = line.resampled(line.priors["gauss"], 20, y, kernel)
        variance = bound.resampling_variance(cm.refined_grid(20, 1.0).noise_ratio ** 2, 1.0, kernel)
        check.equal(mean, y[:, 0] / 2, tol=1e-9, cause="remainder: splines reproduce lines", on=f"mean, {kernel}")
        cause = "remainder: splines reproduce parabolas"
        check.equal(second - mean**2, variance, tol=1e-9, cause=cause, on=f"variance, {kernel}")


def test_mesh(check, line):
    law, y = line.priors["gmm2"], np.linspace(-3, 3, 31)[:, None]
    coarse, fine = (line.resampled(law, 128, y, "small", spacing).mean for spacing in (0.04, 0.02))
    cause, on = "remainder: spline error at spacing .04", "gmm2, n = 128, spacing .04 against .02"
    check.equal(coarse, fine, tol=1e-6, cause=cause, on=on)


def test_bias_and_mean_squared_error(check, line, deep):
    """The bias falls like 1/n, the MSE of a single run tends to 2 MMSE; small noise on all priors, large noise on gmm2."""
    counts = np.append(STEPS, 256) if deep else STEPS
    for name in NAMES:
        law, (y, _), mmse = line.priors[name], line.quadrature(name, 1.0), line.truth(name, 1.0).mmse
        plateau = rms(line, name, line.limit(name, 1.0)[:, 0])
        for kernel in ("small", "large") if deep or name == "gmm2" else ("small",):
            moments = [line.resampled(law, int(n), y, kernel) for n in counts]

            biases = [rms(line, name, m.mean) for m in moments]
            check.rate(distances.fit_slope(counts[-3:], biases[-3:]), -1.0, within=0.1, on=f"bias, {name}, {kernel}")
            on = f"at most a fifth of the plateau at n = {counts[-1]}, {name}, {kernel}"
            check.holds(biases[-1], 0.2 * plateau, tol=0, cause="exact: strict", on=on)

            mse, limit = [single_run_mse(line, name, m) for m in moments], bound.averaged_resampling(mmse)
            ratio = (2 * mse[-1] - mse[-2]) / limit
            tol = 2 * abs(2 * mse[-1] - 3 * mse[-2] + mse[-3]) / limit
            cause = "remainder: 2 x last change of the extrapolation"
            check.tight(ratio, 1.0, tol=tol, cause=cause, on=f"MSE / 2 MMSE, {name}, {kernel}")
            miss = np.abs(np.array(mse) / (2 * mmse) - 1)
            check.rate(distances.fit_slope(counts[-3:], miss[-3:]), -1.0, within=0.2, on=f"MSE to 2 MMSE, {name}, {kernel}")


def test_recorded_values(check, line):
    """rms distance to the CME recorded by another program, gmm2, 0 dB: beta-tilde, and variance v - v' in z."""
    y, _ = line.quadrature("gmm2", 1.0)
    recorded = {3: (0.0831, 0.0588), 10: (0.0339, 0.0178), 30: (0.0124, 0.0057)}
    for n, values in recorded.items():
        for kernel, value in zip(("small", "difference"), values):
            found = rms(line, "gmm2", line.resampled(line.priors["gmm2"], n, y, kernel).mean)
            cause = "printed digits: recorded to two or three digits"
            check.equal(found, value, tol=0.02 * value, cause=cause, on=f"gmm2, n = {n}, {kernel}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Without noise, and without the average, the distance to the CME does not fall."""
    # (H1) re-sampling off: not like 1/n
    for name in NAMES:
        y, _ = line.quadrature(name, 1.0)
        f = [cm.denoise(line.priors[name], cm.refined_grid(int(n), 1.0), y, 1.0)[:, 0] for n in STEPS]
        first, last = rms(line, name, f[0]), rms(line, name, f[-1])
        on = f"{name}: 1/n from n = 16"
        check.control("re-sampling (off)", last, 2 * first * STEPS[0] / STEPS[-1], tol=1e-6, on=on)

    # (H2) a single run
    y, _ = line.quadrature("gmm2", 1.0)
    mse = single_run_mse(line, "gmm2", line.resampled(line.priors["gmm2"], 128, y))
    larger, on = 1.5 * line.truth("gmm2", 1.0).mmse, "gmm2, n = 128: beyond 1.5 MMSE"
    check.control("the average (a single run)", mse, larger, tol=1e-6, on=on)
