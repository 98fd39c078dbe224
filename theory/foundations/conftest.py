"""Laws on a line for ancestral sampling: error of the posterior mean, integrals over the levels, exact divergences."""

import math

import numpy as np
import pytest
from numpy.polynomial import Chebyshev

from exactdiffusion import GaussianMixture, Grid
from exactdiffusion.output_laws import line
from exactdiffusion.papers.log_concavity.measurements import line_mmse

#: name -> (weights, centres, variance); variance 0 makes atoms
LAWS = {
    "N(0, 1)": ([1.0], [0.0], 1.0),
    "two points +-1": ([0.5, 0.5], [-1.0, 1.0], 0.0),
    "three unequal points": ([0.2, 0.5, 0.3], [-1.0, 0.2, 1.7], 0.0),
    "two modes": ([0.3, 0.7], [-1.0, 0.8], 0.1),
}
#: degree in ln t of M / t: twice of it changes no integral by more than 1e-10
DEGREE = 64


class Ladder:
    """A law on a line and the levels T, T (1 - h), ... down to delta, with every quantity of the statements."""

    def __init__(self, name, T=100.0, delta=0.01, h=0.2):
        weights, centres, variance = LAWS[name]
        self.name, self.T, self.delta = name, T, delta
        self.law = GaussianMixture(weights, np.array(centres)[:, np.newaxis], variance)
        self.second_moment = float(np.dot(weights, np.square(centres)) + variance)
        count = math.ceil(math.log(delta / T) / math.log1p(-h) - 1e-9)
        self.t = T * (delta / T) ** (np.arange(count + 1) / count)
        self.h = 1 - (delta / T) ** (1 / count)
        self._integral = None

    def error(self, t):
        """M(t)."""
        return line_mmse(self.law, 1, math.sqrt(t))

    def integrals(self):
        """The integral of M(t) / t^2 over each step, (N,): M / t is interpolated in ln t, then integrated exactly."""
        if self._integral is None:
            ends = [math.log(self.delta), math.log(self.T)]
            ratio = Chebyshev.interpolate(lambda u: [self.error(math.exp(v)) / math.exp(v) for v in u], DEGREE, domain=ends)
            self._integral = ratio.integ()
        values = self._integral(np.log(self.t))
        # M is not negative; its integral over a step far above the law's own scale is below rounding
        return np.maximum(values[:-1] - values[1:], 0.0)

    def information(self):
        """The denoising information D."""
        return self.error(self.T) / self.T + math.fsum(self.integrals())

    def mutual_information(self, t):
        """I(X; X + sqrt(t) Z), by quadrature of the entropy of the noisy law."""
        level = line.Level(self.law, 1.0, math.sqrt(t))
        spread = math.sqrt(t + float(np.max(np.ravel(self.law.covariances))))
        x = np.linspace(self.law.means.min() - 11 * spread, self.law.means.max() + 11 * spread, 20001)
        log = level.log_density(x)
        return -float((x[1] - x[0]) * np.exp(log) @ log) - 0.5 * math.log(2 * math.pi * math.e * t)

    def kl(self):
        """Exact KL(pi_delta | output) from the exact start: the same chain in coordinates of constant variance."""
        scale = 1 / np.sqrt(1 + self.t)
        run = line.propagate(self.law, Grid(scale, scale * np.sqrt(self.t)), "ddpm")
        return line.divergences(run.target, run.law).kl

    def initial(self):
        """KL(pi_T | N(0, T))."""
        level = line.Level(self.law, 1.0, math.sqrt(self.T))
        reach = 12 * math.sqrt(self.T + self.second_moment)
        x = np.linspace(-reach, reach, 20001)
        log = level.log_density(x)
        reference = -x * x / (2 * self.T) - 0.5 * math.log(2 * math.pi * self.T)
        return float((x[1] - x[0]) * np.exp(log) @ (log - reference))


@pytest.fixture(scope="session")
def ladder():
    """``ladder(name, **levels)``: a :class:`Ladder`, made once per session."""
    made = {}

    def get(name, **levels):
        key = name, *sorted(levels.items())
        if key not in made:
            made[key] = Ladder(name, **levels)
        return made[key]

    return get
