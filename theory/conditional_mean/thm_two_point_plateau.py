"""Two points: the chain tends to the sign of the observation (derived).

Suppose that

    (H1)  the prior has two atoms +-1 of equal weight (in R^N: the corners of a cube, coordinate by coordinate),
    (H2)  the steps are exact means, v_hat = 1/SNR is fixed and the schedule is refined.

Then f(y) -> sign(y), and

    MSE  ->  4 Q(sqrt(SNR)),        MMSE  =  1 - E tanh(SNR + sqrt(SNR) g),    g ~ N(0, 1).

The difference is an excess that no number of steps removes; MSE / MMSE tends to 4/pi at high SNR and to 2 at low SNR.

Measured by quadrature over the observation from -20 to 10 dB, and both values in 50 digits.
"""

import math

import mpmath
import numpy as np

from exactdiffusion import PointCloud
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.two_point_plateau.statement
DECIBELS = (-20, -10, 0, 5, 10)
#: where the limit 4/pi of MSE / MMSE is near; the last one is the largest that the function takes
HIGH = (50.0, 150.0, 200.0, 400.0, 1400.0)
#: excess / MMSE recorded from an independent program, three digits
RECORDED = {-20: 0.859, -10: 0.655, 0: 0.4115, 5: 0.337, 10: 0.298}


def sigma_of(db):
    return float(10 ** (-db / 20))


def exact_values(snr):
    """MSE of the limit and MMSE in 50 digits, from the definition, integrated over w = SNR + sqrt(SNR) g.

    Times e^(SNR/2) the integrand is exp(-w^2 / (2 SNR)) / cosh w. It is even, and analytic up to the pole at i pi/2:
    trapezoids of width h leave e^(-pi^2/h) and e^(-2 pi^2 SNR/h^2).
    """
    with mpmath.workdps(50):
        s = mpmath.mpf(snr)
        h, reach = min(mpmath.pi**2 / 90, mpmath.pi * mpmath.sqrt(s / 45)), min(16 * mpmath.sqrt(s), 120)
        terms = [mpmath.exp(-((k * h) ** 2) / (2 * s)) / mpmath.cosh(k * h) for k in range(int(reach / h) + 1)]
        mmse = mpmath.exp(-s / 2) * h * (2 * mpmath.fsum(terms) - 1) / mpmath.sqrt(2 * mpmath.pi * s)
        return 2 * mpmath.erfc(mpmath.sqrt(s / 2)), mmse


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_plateau(check, line):
    """Exact stepwise means, fixed SNR, refined schedule: the limit differs from the CME (derived)."""
    for db in DECIBELS:
        sigma, (end, mmse) = sigma_of(db), bound.two_point_plateau(10 ** (db / 10))
        expected = (end - mmse) / mmse
        for n in (30, 100, 300):
            value = line.chain_excess("two points", sigma, cm.refined_grid(n, sigma))
            cause = "remainder: steps n >= 30: exponentially near the sign"
            check.tight(value / expected, 1.0, tol=1e-2, cause=cause, on=f"{db} dB, n = {n}")

        # both values by the quadrature over the observation, and the excess as recorded
        cause = "remainder: two quadratures"
        check.equal(line.truth("two points", sigma).mmse, mmse, tol=1e-10, cause=cause, on=f"MMSE, {db} dB")
        limit = line.excess("two points", sigma, line.limit("two points", sigma))
        check.equal(limit, expected, tol=1e-9, cause=cause, on=f"excess of the sign, {db} dB")
        cause = "printed digits: recorded to three digits"
        check.equal(expected, RECORDED[db], tol=5e-4, cause=cause, on=f"recorded value, {db} dB")


def test_closed_form_in_50_digits(check):
    """The function's two values against `exact_values`, from -30 dB to the largest SNR that it takes.

    erfc at x has the condition 2 x^2 = SNR, and x is rounded twice; positive terms summed in pairs add rounding alone.
    """
    eps = np.finfo(float).eps
    for snr in (1e-3, *(10 ** (db / 10) for db in DECIBELS), *HIGH):
        with mpmath.workdps(50):
            off = [float(abs(value / exact - 1)) for value, exact in zip(bound.two_point_plateau(snr), exact_values(snr))]
        cause = "rounding: (8 + SNR) eps of erfc at a rounded root, 16 eps of a sum of positive terms"
        on = f"limit and MMSE against 50 digits, SNR {snr:.4g}"
        check.holds(off, [(8 + snr) * eps, 16 * eps], tol=0, cause=cause, on=on, of="rounding")


def test_every_coordinate(check):
    """{-1, 1}^4 as a cloud of 16 atoms: the chain acts on each coordinate alone."""
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 4), axis=-1).reshape(-1, 4)
    cloud, pair = PointCloud(corners), PointCloud(np.array([[-1.0], [1.0]]))
    y, grid = cloud.noised(1.0, 1.0).sample(100, np.random.default_rng(6)), cm.refined_grid(4, 1.0)
    each = np.hstack([cm.denoise(pair, grid, y[:, [j]], 1.0) for j in range(4)])
    amplification = np.prod([1 + 1 / v for v in grid.noise_ratio[:-1] ** 2])
    tol, cause = 64 * 2.2e-16 * amplification, "rounding: 64 eps times the largest slope of the chain"
    check.equal(cm.denoise(cloud, grid, y, 1.0), each, tol=tol, cause=cause, on="{+-1}^4, n = 4")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_ends(check):
    """High SNR: excess / MMSE -> 4/pi - 1; low SNR: -> 1 (MSE 2, MMSE 1)."""
    eps = np.finfo(float).eps
    for s in HIGH:
        end, mmse = bound.two_point_plateau(s)
        # partial sums of the expansions in the docstring, too large and too small in turn
        least, most = 1 - 1 / s, 1 - 1 / s + 3 / s**2
        low, high = 1 - math.pi**2 / (8 * s), 1 - math.pi**2 / (8 * s) + 5 * math.pi**4 / (128 * s**2)
        ratio = end / mmse / (4 / math.pi)
        cause = "rounding: of the values"
        on = f"MSE / MMSE over 4/pi between the expansions to order 1 and 2, SNR {s:g}"
        of = "the expansions at high SNR"
        check.holds([least / high, ratio], [ratio, most / low], tol=(16 + s) * eps, cause=cause, on=on, of=of)
    cause = "remainder: the next term, (pi^2/8 - 1) / SNR, and the bound 3 / SNR^2 of the rest"
    check.tight(ratio, 1.0, tol=(math.pi**2 / 8 - 1) / s + 3 / s**2, cause=cause, on="MSE / MMSE at SNR 1,400 against 4/pi")
    end, mmse = bound.two_point_plateau(1e-6)
    check.tight(end / mmse, 2.0, tol=4e-3, cause="remainder: 2 sqrt(SNR) of the first term", on="MSE / MMSE at -60 dB")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """(H2) a chain of one or two steps, and an error probability in place of an MSE."""
    end, mmse = bound.two_point_plateau(1.0)
    one, two = (line.chain_excess("two points", 1.0, cm.refined_grid(n, 1.0)) for n in (1, 2))
    check.control("a refined schedule (one step: the MMSE)", abs(one * mmse + mmse - end), 0.0, tol=1e-2 * end, on="0 dB")
    check.control("n >= 30 (n = 2)", abs(two / ((end - mmse) / mmse) - 1), 0.0, tol=1e-2, on="0 dB")

    half = abs(end / 2 - mmse - 0.4115 * mmse)
    check.control("4 Q (2 Q: an error probability, not an MSE)", half, 0.0, tol=1e-2, on="0 dB")
