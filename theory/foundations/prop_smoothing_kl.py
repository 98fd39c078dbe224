"""Stopping at the level delta costs at most beta delta d / 2 in KL.

(H1) hess ln pi >= -beta I. (H2) pi has a finite entropy. With pi_delta the law of X + sqrt(delta) Z

    KL(pi_delta | pi)  <=  beta delta d / 2.

Derived here; S. Chewi, Log-Concave Sampling, Eq. (12.3.7) has (3 beta delta d + beta^2 delta^2 d) / 4 (read).
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.output_laws import line
from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.smoothing_kl.statement
CAUSE = "remainder: 1e-9: quadrature on a line"
#: weights, centres, variance
MIXTURES = [([1.0], [0.0], 1.0), ([0.5, 0.5], [-1.0, 1.0], 0.5), ([0.2, 0.8], [-2.0, 0.5], 0.3)]


class Smoothed:
    """A mixture on a line and its noisy law: the divergence and the largest negative curvature."""

    def __init__(self, weights, centres, variance, delta):
        law = GaussianMixture(weights, np.array(centres)[:, np.newaxis], variance)
        clean, noisy = line.Level(law), line.Level(law, 1.0, np.sqrt(delta))
        x = np.linspace(-14.0, 14.0, 8001)
        log = noisy.log_density(x)
        self.kl = float((x[1] - x[0]) * np.exp(log) @ (log - clean.log_density(x)))
        self.beta = float(np.max(-clean.curvature(x)))


def normal_kl(v, delta):
    """KL(N(0, v + delta) | N(0, v))."""
    return 0.5 * (delta / v - np.log1p(delta / v))


def test_holds(check):
    for weights, centres, variance in MIXTURES:
        for delta in (0.01, 0.1, 1.0):
            case = Smoothed(weights, centres, variance, delta)
            on = f"weights {weights} at {centres}, variance {variance:g}, delta = {delta:g}"
            check.holds(case.kl, bound.smoothing_kl(case.beta, delta, 1), tol=1e-9, cause=CAUSE, on=on)


def test_in_d_dimensions(check):
    """N(0, I/beta): divergence and bound are d times their values on a line; the ratio tends to 1 for a large delta."""
    for d in (1, 30):
        for delta in (0.01, 1.0, 1e6):
            larger = bound.smoothing_kl(2.0, delta, d)
            on = f"N(0, I/2), d = {d}, delta = {delta:g}"
            check.holds(d * normal_kl(0.5, delta), larger, tol=1e-15, cause="rounding: 1e-15", on=on)


def test_below_the_book(check):
    beta, delta, d = np.meshgrid([0.1, 1.0, 9.0], [0.01, 1.0, 5.0], [1, 40])
    book = (3 * beta * delta * d + beta**2 * delta**2 * d) / 4
    ours = [bound.smoothing_kl(b, s, int(n)) for b, s, n in zip(beta.ravel(), delta.ravel(), d.ravel())]
    check.holds(ours, 2 / 3 * book.ravel(), tol=0, cause="exact", on="18 triples", of="two thirds of the book's bound")


def test_tight(check):
    """N(0, I/beta) in the limit of a large delta."""
    wide = normal_kl(0.5, 1e12) / bound.smoothing_kl(2.0, 1e12, 1)
    check.tight(wide, 1.0, tol=1e-10, cause="remainder: ln(delta) / delta", on="N(0, 1/2), delta = 10^12")


def test_controls(check):
    case = Smoothed(*MIXTURES[1], 1.0)
    check.control(
        "(H1) beta (a tenth of it)", case.kl, bound.smoothing_kl(0.1 * case.beta, 1.0, 1), on="two modes, delta = 1"
    )
    check.control("delta (its square, for small delta)", Smoothed(*MIXTURES[2], 0.01).kl, 0.5 * 0.01**2, on="unequal modes")
