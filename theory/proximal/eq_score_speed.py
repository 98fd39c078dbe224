"""Along the heat flow the energy of the relative Laplacian pays for the motion of the score.

(H1) q_tau solves d/dtau q = (1/2) Lap q. (H2) q_a is positive and smooth, with a bounded second derivative of its logarithm.
With V = Lap ln q + |grad ln q|^2 and Phi = E_q V^2

    d/dtau Phi = -E |grad V|^2,      int_a^b E |d/dtau grad ln q|^2 dtau = (Phi_a - Phi_b) / 4.

So the score moves by a bounded amount in all, whatever the third derivative is. Derived here.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.output_laws import line
from exactdiffusion.papers.proximal.radial import RadialMixture
from exactdiffusion.statements import proximal_dimension as bound

STATEMENT = bound.score_speed.statement
CAUSE = "remainder: 1e-9 relative: quadrature over the radius and over tau"
DIMS = (1, 4, 16, 64, 256)


def energy(law):
    """Phi of a scale mixture."""
    return law.mean(law.fields(law.radii()).relative_laplacian ** 2)


def squared_speed(law):
    """E |d/dtau grad ln q|^2 = E |grad V|^2 / 4."""
    return law.mean(law.fields(law.radii()).squared_grad_relative_laplacian) / 4


def integrated_speed(law, length, flow="heated"):
    """The squared speed, integrated over [0, length] along a flow."""
    u, weight = np.polynomial.legendre.leggauss(24)
    times = length * (u + 1) / 2
    return length / 2 * sum(w * squared_speed(getattr(law, flow)(t)) for t, w in zip(times, weight))


def mixture(d):
    """A scale mixture that is no product."""
    return RadialMixture([0.3, 0.4, 0.3], 1 + 1.5 * np.array([-1.0, 0.0, 1.0]) / np.sqrt(max(d, 9)), d)


def test_equal_on_scale_mixtures(check):
    for d in DIMS:
        for length in (0.05, 0.5, 4.0):
            law = mixture(d)
            expected = bound.score_speed(energy(law), energy(law.heated(length)))
            on = f"scale mixture, d = {d}, tau in [0, {length:g}]"
            check.equal(integrated_speed(law, length), expected, tol=1e-9 * expected, cause=CAUSE, on=on)


def test_equal_on_two_modes(check):
    """A law on a line with a score that moves: the third and fourth derivative come from differences, V from l'' and l'."""
    law = GaussianMixture([0.3, 0.7], [[-1.0], [0.8]], 0.3)
    x = np.linspace(-9.0, 9.0, 6001)
    step = x[1] - x[0]

    def fields(tau):
        level = line.Level(law, 1.0, np.sqrt(tau))
        density, score = step * np.exp(level.log_density(x)), level.score(x)
        V = level.curvature(x) + score**2
        return density, V, level.third(x) + 2 * level.curvature(x) * score

    u, weight = np.polynomial.legendre.leggauss(24)
    length, total = 0.4, 0.0
    for t, w in zip(length * (u + 1) / 2, weight):
        density, _, gradient = fields(t)
        total += length / 2 * w * float(density @ gradient**2) / 4
    ends = [float(density @ V**2) for density, V, _ in (fields(1e-300), fields(length))]
    expected = bound.score_speed(*ends)
    cause = "remainder: 1e-8 relative: differences for the third derivative"
    check.equal(total, expected, tol=1e-8 * expected, cause=cause, on="two modes on a line, tau in [0, .4]")


def test_the_time_derivative(check):
    """grad V / 2 is the velocity of the score: against differences in time of the radial score itself."""
    law, h = mixture(16), 1e-4
    r = law.radii()[::40]
    slope = lambda tau: 2 * r * law.heated(tau).fields(r).first  # noqa: E731
    velocity = np.abs(slope(h) - slope(-h)) / (2 * h)
    expected = np.sqrt(law.fields(r).squared_grad_relative_laplacian) / 2
    cause = "remainder: 1e-5: central difference with step 1e-4"
    check.equal(velocity, expected, tol=1e-5 * (1 + expected), cause=cause, on="scale mixture, d = 16")


def test_controls(check):
    law, length = mixture(16), 0.5
    total, ends = integrated_speed(law, length), (energy(law), energy(law.heated(length)))
    check.control("the factor 1/4 (1/8)", total, bound.score_speed(*ends) / 2, on="scale mixture, d = 16")
    moved = integrated_speed(law, length, "noised")
    ends = energy(law), energy(law.noised(length))
    expected = bound.score_speed(*ends)
    check.control("(H1) heat flow (Ornstein-Uhlenbeck flow)", moved, expected, tol=0.1 * moved, on="scale mixture, d = 16")
