"""SNR mismatch on a Gaussian prior (Eq. (12) defines the match; the closed form is derived).

Suppose that

    (H1)  the prior is N(mean, lam), one coordinate, and the steps are exact means,
    (H2)  the chain starts at the level v' of the grid that is matched to the observation,
    (H3)  the start is x = y / sqrt(1 + v_hat): the true SNR scales it.

Then on every grid

    f(y)  =  mean + lam / (lam + v') (sqrt((1 + v') / (1 + v_hat)) y - mean),

so that f / CME = sqrt((1 + v_hat) / (1 + v')) for lam = 1 and mean = 0. The largest excess over all SNRs is of order T^-2.

Measured on the released schedules. The excess of a wrong assumed SNR on a random mixture is recorded beside it (not a
theorem).
"""

import numpy as np

from exactdiffusion import GaussianMixture, datasets, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.snr_mismatch.statement
Y = np.linspace(-3, 3, 7)[:, None]


def relative_excess(T, convention="matched", sigma=1.0):
    """Excess over MMSE for N(0, 1): (f/CME - 1)^2 / v_hat."""
    law, y = GaussianMixture([1.0], np.zeros((1, 1)), 1.0), np.ones((1, 1))
    f = cm.denoise(law, cm.released_grid(T), y, sigma, convention=convention)[0, 0]
    cme = 1 / (1 + sigma**2)
    return (f / cme - 1) ** 2 * cme**2 * (1 + sigma**2) / (sigma**2 / (1 + sigma**2))


def closed_excess(level, sigma):
    """`relative_excess` in closed form, for the levels where the chain starts and the noise of the observation."""
    gain = bound.snr_mismatch(1.0, 0.0, 1.0, level**2, sigma**2)
    return (gain * (1 + sigma**2) - 1) ** 2 / sigma**2


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equal(check):
    """Three schedules, three noise levels, three priors; and the ratio to the CME for lam = 1."""
    for T in (5, 50, 300):
        grid = cm.released_grid(T)
        for sigma in (3.0, 1.0, 0.3):
            level = cm.match(grid, sigma).sigma ** 2
            for lam, mean in ((1.0, 0.0), (0.2, 0.7), (5.0, -1.0)):
                f = cm.denoise(GaussianMixture([1.0], np.array([[mean]]), lam), grid, Y, sigma)
                expected = bound.snr_mismatch(Y, mean, lam, level, sigma**2)
                on = f"T = {T}, sigma = {sigma:g}, lam = {lam:g}"
                check.equal(f, expected, tol=1e-12, cause="rounding: over T steps", on=on)

    grid, law = cm.released_grid(50), GaussianMixture([1.0], np.zeros((1, 1)), 1.0)
    ratio = cm.denoise(law, grid, Y[-1:], 1.0) / (Y[-1:] / 2)
    expected = np.sqrt(2 / (1 + cm.match(grid, 1.0).sigma ** 2))
    check.equal(ratio, expected, tol=1e-12, cause="rounding", on="f/CME for lam = 1, T = 50, 0 dB")


def test_recorded_values(check):
    recorded = {5: 1.1e-2, 10: 8.7e-3, 50: 1.5e-4, 100: 2.0e-5, 300: 6.3e-6}
    for T, value in recorded.items():
        cause = "printed digits: recorded to two digits"
        check.equal(relative_excess(T), value, tol=0.05 * value, cause=cause, on=f"excess/MMSE, T = {T}, 0 dB")
    steps = {5: 3, 10: 5, 50: 19, 100: 37, 300: 108, 1000: 364}
    found = [cm.match(cm.released_grid(T), 1.0).steps for T in steps]
    check.equal(found, list(steps.values()), tol=0, cause="exact: integers", on="t_hat at 0 dB, T = 5 .. 1,000")


def test_wrong_noise_level(check, line):
    """A wrong assumed SNR on the random mixture (16 components, R^16): U-shape, least where it is right. Same y throughout.

    Not a theorem: on the two-mode prior gmm2, whose excess at the right SNR is already 26 % of the MMSE, it does not hold.
    """
    law, grid = datasets.random_mixture(16, 16), cm.released_grid(100)
    y = law.noised(1.0, 1.0).sample(600, np.random.default_rng(91))
    estimates = [cm.denoise(law, grid, y, 1.0, assumed=10 ** (-shift / 20)) for shift in (-6, -3, 0, 3, 6)]
    values = [float(cm.excess(law, f, y, 1.0)) for f in estimates]
    on = "random mixture, R^16, assumed -6, -3, 0, 3, 6 dB off, T = 100"
    check.holds([values[1], values[2]], [values[0], values[1]], tol=0, cause="exact: strict", on=on)
    check.holds([values[2], values[3]], [values[3], values[4]], tol=0, cause="exact: strict", on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_worst_mismatch_falls_with_T(check):
    """The grid's share: the largest excess over SNRs between -10 and 10 dB is of order T^-2 (half a level, squared).

    It is attained midway between two levels, where rounding decides which of them is matched: the larger excess counts.
    """
    counts, worst = np.array([50, 100, 300, 1000]), []
    for T in counts:
        levels = cm.released_grid(int(T)).noise_ratio
        inner = levels[(levels > 10**-0.5) & (levels < 10**0.5)]
        middle = np.sqrt(inner[1:] * inner[:-1])

        # the closed form is cheap; here is its agreement with the chain, just off the middle on either side
        for level, sigma in ((inner[-2], middle[-1] * (1 + 1e-6)), (inner[-1], middle[-1] * (1 - 1e-6))):
            one = relative_excess(int(T), sigma=float(sigma))
            on = f"closed form against chain, T = {T}, level {'above' if level > sigma else 'below'}"
            check.equal(closed_excess(level, sigma), one, tol=1e-12, cause="rounding: over T steps", on=on)
        worst.append(max(np.max(closed_excess(inner[:-1], middle)), np.max(closed_excess(inner[1:], middle))))
    check.rate(distances.fit_slope(counts, worst), -2.0, within=0.3, on="worst excess/MMSE against T, Gaussian prior")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Each hypothesis dropped in turn."""
    grid, law = cm.released_grid(50), GaussianMixture([1.0], np.zeros((1, 1)), 1.0)
    level = cm.match(grid, 1.0).sigma ** 2

    # (H1) a prior with two modes
    y, _ = line.quadrature("gmm2", 1.0)
    off = np.abs(cm.denoise(line.priors["gmm2"], grid, y, 1.0) - bound.snr_mismatch(y, 0.0, 1.0, level, 1.0))
    check.control("a Gaussian prior", off, 0.0, tol=1e-3, on="gmm2, T = 50")

    # (H2) the level after the matched one
    for T in (100, 300):
        dropped = "the matched level (off-by-one of the released code)"
        on = f"Gaussian prior, 0 dB, T = {T}: more than five times the excess"
        check.control(dropped, relative_excess(T, "code"), 5 * relative_excess(T), on=on)

    # (H3) the SNR of the level scales the start
    off = np.abs(cm.denoise(law, grid, Y, 1.0) - bound.snr_mismatch(Y, 0.0, 1.0, level, level))
    check.control("the start's scaling by the true SNR", off, 0.0, tol=1e-12, on="T = 50, 0 dB")
