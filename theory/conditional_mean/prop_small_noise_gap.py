"""The gap at high SNR (derived).

Suppose that

    (H1)  log p_0 is three times differentiable near y,
    (H2)  v_hat -> 0.

Then

    E[x | y] - Z_0  =  v_hat^2 / 4  grad Lap log p_0(y)  +  O(v_hat^3),

Z_0 being the endpoint of the limit ODE.

Measured on three mixtures: the third derivative in 40 digits from the density, the gap by the integral of `eq_gap_formula`
and, as the difference itself, by the solver.
"""

import mpmath
import numpy as np

from exactdiffusion import distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.small_noise_gap.statement
LEVELS = np.array([4e-3, 2e-3, 1e-3, 5e-4, 2.5e-4])


def third_derivative(law, y):
    """(log p_0)''' at y with 40 digits, straight from the density."""
    with mpmath.workdps(40):
        w, m, s = (
            list(map(mpmath.mpf, np.ravel(a).tolist()))
            for a in (law.weights, law.means, np.broadcast_to(law.covariances, law.weights.shape))
        )
        density = lambda x: sum(a * mpmath.npdf(x, b, mpmath.sqrt(c)) for a, b, c in zip(w, m, s))  # noqa: E731
        return float(mpmath.diff(lambda x: mpmath.log(density(x)), y, 3))


def gap(line, law, y, v_hat):
    """The gap with full relative accuracy: half the integral of Lap D along the solver's trajectory."""
    u, w = np.polynomial.legendre.leggauss(20)
    v, weight = 0.5 * v_hat * (1 + u), 0.5 * v_hat * w
    _, z = line.trajectory(law, np.array([[y]]), np.sqrt(v_hat), v_end=v[0] / 10, rtol=1e-11, nodes=v)
    return float(bound.gap_formula(v, np.stack([cm.denoiser_laplacian(law, z[i], v[i]) for i in range(20)]), weight)[0, 0])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_leading_term(check, line):
    for name, y in (("gmm2", 0.35), ("gmm2", 0.9), ("gmm3", 0.1), ("scale mixture", 0.5)):
        law = line.priors[name]
        third = third_derivative(law, y)
        ratios = np.array([gap(line, law, y, v) / bound.small_noise_gap(v, third) for v in LEVELS])
        extrapolated = 2 * ratios[-1] - ratios[-2]
        tol = 2 * abs(extrapolated - (2 * ratios[-2] - ratios[-3]))
        cause = "remainder: 2 x last change of the extrapolation"
        check.tight(extrapolated, 1.0, tol=tol, cause=cause, on=f"{name}, y = {y}, v -> 0")
        on = f"remainder, {name}, y = {y}"
        check.rate(distances.fit_slope(LEVELS[-3:], np.abs(ratios[-3:] - 1)), 1.0, within=0.1, on=on)


def test_against_the_solver(check, line):
    """The difference CME - endpoint itself, without the integral."""
    for name, y in (("gmm2", 0.35), ("scale mixture", 0.5)):
        law, v_hat = line.priors[name], 1e-3
        end = line.trajectory(law, np.array([[y]]), np.sqrt(v_hat), v_end=1e-12, rtol=1e-13)
        direct = float((cm.cme(law, np.array([[y]]), np.sqrt(v_hat)) - end)[0, 0])
        cause = "remainder: solver rtol 1e-13, v_end"
        check.equal(direct, gap(line, law, y, v_hat), tol=1e-11, cause=cause, on=f"{name}, v = 1e-3")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """A gap that is not small, and another factor."""
    law = line.priors["gmm2"]
    third = third_derivative(law, 0.35)

    # (H2) v = 1
    ratio = gap(line, law, 0.35, 1.0) / bound.small_noise_gap(1.0, third)
    check.control("small noise (v = 1)", abs(ratio - 1), 0.0, tol=0.05, on="gmm2, y = .35, 0 dB")

    ratio = gap(line, law, 0.35, 2.5e-4) / bound.small_noise_gap(2.5e-4, 2 * third)
    check.control("the factor 1/4 (1/2)", abs(ratio - 1), 0.0, tol=0.05, on="gmm2, y = .35, v = 2.5e-4")
