"""Two Gaussians in R^d decouple into one axis (derived; cf. the example of Section 5, recalled).

Suppose that

    (H1)  the means are -+(delta/2) (1, ..., 1) in R^d, the covariance is tau^2 I,
    (H2)  the walk is ULA or underdamped, alone or inside the one-at-a-time chain (not MALA).

Then in a rotated frame the run is exactly a run on a line with the means -+R,

    R  =  delta/2 sqrt(d),

driven by the projected noise, and d - 1 independent linear chains on N(0, tau^2).

Measured path by path, with the noise of the run in R^d projected on the axis.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, Noise
from exactdiffusion.papers.log_concavity.walk_jump import MALA, ULA, Underdamped, langevin, one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.decoupled_radius.statement
EPS = np.finfo(np.float64).eps
N = 30


class Projected:
    """The noise of a run in R^d seen along the unit vector u; a further column (MALA's) is passed on."""

    def __init__(self, noise, u):
        self.noise, self.u = noise, u

    def normal(self, step, n, d, start=0, like=None):
        full = self.noise.normal(step, n, len(self.u) + d - 1, start)
        return np.hstack([full[:, : len(self.u)] @ self.u[:, None], full[:, len(self.u) :]])


def laws(d, tau2=0.7, w=0.2):
    R, weights = float(bound.decoupled_radius(d)), np.array([w, 1 - w])
    full = GaussianMixture(weights, 3.0 * np.stack([-np.ones(d), np.ones(d)]), tau2)
    line = GaussianMixture(weights, np.array([[-R], [R]]), tau2)
    return Laws(full, line, GaussianMixture(None, np.zeros((1, d)), tau2), np.ones(d) / np.sqrt(d), R)


def chain(law, noise, walk, sigma, m=6):
    """Outputs (N, d) of the one-at-a-time chain after m measurements."""
    for state in one_at_a_time(law, m, sigma, N, noise=noise, walk=walk):
        out = state.xhat
    return out


class Laws(NamedTuple):
    """The mixture in R^d, that on its axis, the Gaussian across, the axis u (d,), and the means' distance R from 0."""

    full: GaussianMixture
    line: GaussianMixture
    across: GaussianMixture
    u: np.ndarray
    R: float


def flat(a, u):
    """What a (n, d) has across the axis u."""
    return a - (a @ u)[:, None] * u


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_chains(check):
    """One at a time with ULA and underdamped walks in R^2, R^5 and R^40, along the axis and across."""
    for d in (2, 5, 40):
        law = laws(d)
        sigma, u = np.sqrt(law.R**2), law.u
        for walk in (ULA(4, 0.3), Underdamped(4, 0.9, 1.0)):
            out, rest = chain(law.full, Noise(95), walk, sigma), chain(law.across, Noise(95), walk, sigma)
            axis = chain(law.line, Projected(Noise(95), u), walk, sigma)
            # log-concave inner laws: perturbations are not amplified
            tol, cause = 256 * EPS * 24 * law.R, "rounding: 256 eps R per inner step"
            on = f"one at a time, {type(walk).__name__}, d = {d}"
            check.equal(out @ u, axis[:, 0], tol=tol, cause=cause, on=f"{on}: along the axis")
            check.equal(flat(out, u), flat(rest, u), tol=tol, cause=cause, on=f"{on}: across")


def test_langevin(check):
    """The same for Langevin walks on the mixture itself, in R^5."""
    law, start = laws(5), 4 * Noise(96).normal(0, N, 5)
    for walk in (ULA(20, 0.1), Underdamped(20, 0.4, 1.0)):
        out = langevin(law.full, start, noise=Noise(97), walk=walk, unit=0.7)
        axis = langevin(law.line, start @ law.u[:, None], noise=Projected(Noise(97), law.u), walk=walk, unit=0.7)
        tol, cause = 1e-10 * law.R, "rounding: 256 eps R per step times the growth between the modes"
        check.equal(out @ law.u, axis[:, 0], tol=tol, cause=cause, on=f"Langevin, {type(walk).__name__}, d = 5")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each hypothesis dropped in turn."""
    law = laws(5)

    # (H1) the line with the means at +-3
    wrong = GaussianMixture(np.array([0.2, 0.8]), np.array([[-3.0], [3.0]]), 0.7)
    out = chain(law.full, Noise(95), ULA(4, 0.3), law.R)
    axis = chain(wrong, Projected(Noise(95), law.u), ULA(4, 0.3), law.R)
    check.control("sqrt d in the radius", np.abs(out @ law.u - axis[:, 0]), 0.0, tol=1e-9, on="one at a time, d = 5")

    # (H2) MALA, whose acceptance couples the coordinates
    start, walk = 4 * Noise(96).normal(0, N, 5), MALA(20, 0.5)
    out = langevin(law.full, start, noise=Noise(97), walk=walk, unit=0.7)
    axis = langevin(law.line, start @ law.u[:, None], noise=Projected(Noise(97), law.u), walk=walk, unit=0.7)
    check.control("no accept-reject (MALA)", np.abs(out @ law.u - axis[:, 0]), 0.0, tol=1e-9, on="Langevin, d = 5")
