"""Two Gaussians in R^d decouple into one axis (derived; cf. the example of Section 5, recalled).

Suppose that

    (H1)  the means are -+(delta/2) (1, ..., 1) in R^d, the covariance is tau^2 I,
    (H2)  the walk is ULA or underdamped, alone or inside the one-at-a-time chain (not MALA).

Then in a rotated frame the run is exactly a run on a line with the means -+R,

    R  =  delta/2 sqrt(d),

driven by the projected noise, and d - 1 independent linear chains on N(0, tau^2).

Measured path by path, with the noise of the run in R^d projected on the axis.
"""

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
        return np.concatenate([full[:, : len(self.u)] @ self.u[:, None], full[:, len(self.u) :]], axis=1)


def laws(d, tau2=0.7, w=0.2):
    R = float(bound.decoupled_radius(d))
    full = GaussianMixture(np.array([w, 1 - w]), 3.0 * np.stack([-np.ones(d), np.ones(d)]), tau2)
    line = GaussianMixture(np.array([w, 1 - w]), np.array([[-R], [R]]), tau2)
    across = GaussianMixture(None, np.zeros((1, d)), tau2)
    return full, line, across, np.ones(d) / np.sqrt(d), R


def chain(law, noise, walk, sigma, m=6):
    for state in one_at_a_time(law, m, sigma, N, noise=noise, walk=walk):
        out = state.xhat
    return out


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_chains(check):
    for d in (2, 5, 40):
        full, line, across, u, R = laws(d)
        sigma = np.sqrt(R**2)
        for walk in (ULA(4, 0.3), Underdamped(4, 0.9, 1.0)):
            out = chain(full, Noise(95), walk, sigma)
            axis = chain(line, Projected(Noise(95), u), walk, sigma)
            rest = chain(across, Noise(95), walk, sigma)
            # log-concave inner laws: perturbations are not amplified
            tol, cause = 256 * EPS * 24 * R, "rounding: 256 eps R per inner step"
            name = type(walk).__name__
            check.equal(out @ u, axis[:, 0], tol=tol, cause=cause, on=f"one at a time, {name}, d = {d}: along the axis")
            flat = lambda a, u=u: a - (a @ u)[:, None] * u  # noqa: E731
            check.equal(flat(out), flat(rest), tol=tol, cause=cause, on=f"one at a time, {name}, d = {d}: across")


def test_langevin(check):
    d = 5
    full, line, _, u, R = laws(d)
    start = 4 * Noise(96).normal(0, N, d)
    for walk in (ULA(20, 0.1), Underdamped(20, 0.4, 1.0)):
        out = langevin(full, start, noise=Noise(97), walk=walk, unit=0.7)
        axis = langevin(line, start @ u[:, None], noise=Projected(Noise(97), u), walk=walk, unit=0.7)
        tol, cause = 1e-10 * R, "rounding: 256 eps R per step times the growth between the modes"
        check.equal(out @ u, axis[:, 0], tol=tol, cause=cause, on=f"Langevin, {type(walk).__name__}, d = 5")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    d = 5
    full, line, _, u, R = laws(d)
    start = 4 * Noise(96).normal(0, N, d)
    out = langevin(full, start, noise=Noise(97), walk=MALA(20, 0.5), unit=0.7)
    axis = langevin(line, start @ u[:, None], noise=Projected(Noise(97), u), walk=MALA(20, 0.5), unit=0.7)
    check.control("no accept-reject (MALA)", np.abs(out @ u - axis[:, 0]), 0.0, tol=1e-9, on="Langevin, d = 5")
    wrong = GaussianMixture(np.array([0.2, 0.8]), np.array([[-3.0], [3.0]]), 0.7)
    out = chain(full, Noise(95), ULA(4, 0.3), R)
    axis = chain(wrong, Projected(Noise(95), u), ULA(4, 0.3), R)
    check.control("sqrt d in the radius", np.abs(out @ u - axis[:, 0]), 0.0, tol=1e-9, on="one at a time, d = 5")
