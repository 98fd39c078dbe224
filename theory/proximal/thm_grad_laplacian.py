"""Integrated over the forward process, the gradient of the Laplacian costs d, not d^2; at a fixed time it can cost d^2.

(H1) |hess l_t| <= L in operator norm for all t in [0, T]. Then

    int_0^T E_{p_t} |grad Lap l_t|^2 dt  <=  4 d L^2 (1 + 2 T) + 8 d L^3 T,

without a bound H of the third derivative. Derived here. The integral over time is needed: for random plane waves of wave
number sqrt(d) on a Gaussian, E |grad Lap l|^2 at a fixed time grows like d^2 while L and H stay bounded, so that no bound
C (d L^3 + d H^2) holds at each time.
"""

import math

import numpy as np
import pytest

from exactdiffusion.papers.proximal.radial import RadialMixture
from exactdiffusion.statements import proximal_dimension as bound

STATEMENT = bound.grad_laplacian_integral.statement
CAUSE = "remainder: 1e-9 relative: quadrature over the radius and over time"
DIMS = (1, 4, 16, 64, 256)


def mixture(d, spread):
    return RadialMixture([0.3, 0.4, 0.3], 1 + spread * np.array([-1.0, 0.0, 1.0]) / np.sqrt(max(d, 9)), d)


class Run:
    """A scale mixture along the forward process on [0, T]: the integral of the statement and the constants."""

    def __init__(self, law, T):
        u, weight = np.polynomial.legendre.leggauss(16)
        self.integral, self.L, self.H = 0.0, 0.0, 0.0
        for t, w in zip(np.concatenate([[0.0], T * (u + 1) / 2]), np.concatenate([[0.0], T / 2 * weight])):
            now = law.noised(t)
            fields = now.fields(now.radii())
            self.integral += w * now.mean(fields.squared_grad_laplacian)
            self.L = max(self.L, float(np.max(np.abs(fields.tangential))), float(np.max(np.abs(fields.radial))))
            self.H = max(self.H, float(np.max(fields.third_norm)))


def test_holds(check):
    for spread in (0.5, 2.5):
        for d in DIMS:
            for T in (0.2, 3.0):
                run = Run(mixture(d, spread), T)
                larger = bound.grad_laplacian_integral(d, run.L, T)
                on = f"three variances {spread:g} / sqrt(d) apart, d = {d}, T = {T:g}"
                check.holds(run.integral, larger, tol=1e-9 * larger, cause=CAUSE, on=on)


def test_the_constants(check):
    """The three inequalities of the proof are equalities on N(0, I/L): their right sides, measured there, make the bound."""
    for d, L, T in ((1, 1.0, 0.3), (16, 2.5, 2.0)):
        law = RadialMixture([1.0], [1 / L], d)
        fields = law.fields(law.radii())
        energy = law.mean(fields.relative_laplacian**2)
        product = law.mean(fields.radial**2 * fields.squared_score)
        assembled = 2 * (energy + 2 * T * energy) + 8 * product * T
        on = f"2 int W + 8 T E|hess l grad l|^2 on N(0, I/L), d = {d}, L = {L:g}"
        check.equal(bound.grad_laplacian_integral(d, L, T) / assembled, 1.0, tol=1e-10, cause=CAUSE, on=on)


def test_rate(check):
    """Linear in d on laws that are no products, as the bound is; the pointwise bound d^2 H^2 T is quadratic."""
    runs = [Run(mixture(d, 1.5), 1.0) for d in DIMS[2:]]
    slope = np.polyfit(np.log(DIMS[2:]), np.log([run.integral for run in runs]), 1)[0]
    check.rate(slope, 1.0, within=0.3, on="scale mixtures against d = 16 .. 256: the exponent of d is attained")


class Waves:
    """l = -|x|^2/2 + delta sum_j cos(k u_j.x + theta_j), k = sqrt(d), random unit u_j: what is seen at drawn points.

    ``delta`` makes the typical second derivative of the waves 1. The largest second and third derivative over the drawn
    points are lower estimates of L and H; the proof that both stay bounded up to sqrt(log d) is a union bound over a net.
    """

    def __init__(self, d, points=4):
        rng = np.random.default_rng(17)
        count, k = 4 * d * d, math.sqrt(d)
        u = rng.standard_normal((count, d))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        theta = rng.uniform(0, 2 * math.pi, count)
        delta = math.sqrt(d / (2 * count)) / k**2
        squares, second, third = [], [], []
        for x in rng.standard_normal((points, d)):
            phase = k * (u @ x) + theta
            curvature = (u * (-delta * k**2 * np.cos(phase))[:, np.newaxis]).T @ u - np.eye(d)
            amplitudes = delta * k**3 * np.sin(phase)
            gradient = amplitudes @ u
            squares.append(gradient @ gradient)
            second.append(np.max(np.abs(np.linalg.eigvalsh(curvature))))
            starts = np.concatenate([gradient[np.newaxis], rng.standard_normal((3, d))])
            third.append(max(self.largest(amplitudes, u, v) for v in starts))
        self.square, self.L, self.H = float(np.mean(squares)), max(second), max(third)

    @staticmethod
    def largest(amplitudes, u, v):
        """A local maximum of |sum_j a_j (u_j.v)^3| over unit vectors, by shifted power iteration."""
        value = 0.0
        for _ in range(40):
            v = v / np.linalg.norm(v)
            projections = u @ v
            value = max(value, abs(float(amplitudes @ projections**3)))
            v = (amplitudes * projections**2) @ u + 0.5 * value * v
        return value


@pytest.fixture(scope="module")
def waves():
    return {d: Waves(d) for d in (8, 16, 32, 48)}


def test_a_fixed_time_is_not_enough(check, waves):
    """E |grad Lap l|^2 / (d L^3 + d H^2) grows like d on plane waves."""
    dims = np.array(list(waves))
    ratio = [w.square / (d * (w.L**3 + w.H**2)) for d, w in waves.items()]
    slope = np.polyfit(np.log(dims), np.log(ratio), 1)[0]
    check.rate(slope, 1.0, within=0.35, on="plane waves, the fixed-time ratio against d = 8 .. 48")


def test_controls(check, waves):
    """The integral over time in place of each time; L in its place."""
    last = waves[48]
    each = 0.5 * 48 * (last.L**3 + last.H**2)
    check.control("the integral over time (each time, (d L^3 + d H^2)/2)", last.square, each, on="plane waves, d = 48")
    run = Run(mixture(64, 2.5), 0.2)
    larger = bound.grad_laplacian_integral(64, 0.1 * run.L, 0.2)
    check.control("(H1) |hess l| <= L (a tenth of it)", run.integral, larger, on="three variances, d = 64, T = .2")
