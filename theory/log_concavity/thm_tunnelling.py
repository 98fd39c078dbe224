"""Langevin does not tunnel, the chain does (derived; the phenomenon is that of Section 5.2).

Let A = {x < b} and p a density on the line. Suppose that

    (H1)  dx = grad log p dt + sqrt(2) dB on the law itself, without measurements, started from p conditioned on A,
    (H2)  f is 1 below a, 0 above b and harmonic in between: resistance = int_a^b dx/p(x), slack = p(A) - int f^2 p.

Then

    P(X_T not in A)  <=  (slack + T / resistance) / p(A),

for two Gaussians at +-R about T R exp(-R^2 / 2), while the one-at-a-time chain recovers the weights.

Measured by the semigroup of a reversible chain on a grid, where f = 1_A attains the bound as T -> 0, and the leak has .998
of it at T = 1e4 where f falls over a whole barrier, and on chains for R^32.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.walk_jump import MALA, ULA, Underdamped, langevin, one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.tunnelling_leak.statement
W = 0.2


def axis(d):
    """The mixture along its axis, means -+R, deviation 1, minor weight .2, and R = 3 sqrt d; d - 1 chains decouple."""
    R = float(bound.decoupled_radius(d))
    return GaussianMixture(np.array([W, 1 - W]), np.array([[-R], [R]]), 1.0), R


def minor(samples):
    """How many samples lie in the minor mode."""
    return int(np.sum(samples[:, 0] < 0))


def oat(d, m, steps, n, noise, factor=1.0, step=1.0, friction=1.0):
    law, R = axis(d)
    sigma = np.sqrt(factor * bound.radius_threshold(R, 1.0))
    for state in one_at_a_time(law, m, sigma, n, noise=noise, walk=Underdamped(steps, step, friction)):
        out = state.xhat
    return minor(out)


def baselines(d, steps, n, draw):
    law, R = axis(d)
    start = draw.noise(92).normal(0, n, 1)
    walks = {"ULA h = .1": ULA(steps, 0.1), "MALA h = .5": MALA(steps, 0.5), "underdamped": Underdamped(steps, 0.5, 1.0)}
    return {k: minor(langevin(law, start, noise=draw.noise(93), walk=w)) for k, w in walks.items()}


@dataclass(frozen=True)
class Chain:
    """The reversible birth-death chain of Langevin's diffusion on a grid, and its set A = {x < b}.

    ``p`` (n,) are the stationary probabilities, ``up`` (n - 1,) the rates upwards, ``rates`` (n,) the eigenvalues of minus
    the symmetric generator, and ``amplitudes`` (n,) the coefficients of sqrt(p) 1_A in its eigenvectors.
    """

    x: np.ndarray
    p: np.ndarray
    up: np.ndarray
    rates: np.ndarray
    amplitudes: np.ndarray
    b: float = 0.0

    @property
    def A(self):
        return self.x < self.b

    @property
    def edge(self):
        """Number of the last node of A."""
        return np.flatnonzero(self.A)[-1]

    @property
    def mass(self):
        return self.p[self.A].sum()

    def stay(self, T):
        """P(X_T in A), started from p conditioned on A."""
        return np.sum(self.amplitudes**2 * np.exp(-self.rates * T)) / self.mass

    def leak(self, T):
        """1 - `stay`, without cancellation."""
        return np.sum(self.amplitudes**2 * -np.expm1(-self.rates * T)) / self.mass


def langevin_chain(R, n=1201, b=0.0):
    """`Chain` of two Gaussians at -+R on n nodes, with A = {x < b}."""
    law = GaussianMixture(np.array([W, 1 - W]), np.array([[-R], [R]]), 1.0)
    x, spacing = np.linspace(-R - 6.5, R + 6.5, n), (2 * R + 13) / (n - 1)
    logs = law.log_density(x[:, None])
    slope = 0.5 * np.diff(logs)
    up, down = np.exp(slope) / spacing**2, np.exp(-slope) / spacing**2

    rates, vectors = eigh_tridiagonal(np.r_[up, 0.0] + np.r_[0.0, down], -np.sqrt(up * down))
    p = np.exp(logs)
    p = p / p.sum()
    return Chain(x, p, up, np.clip(rates, 0, None), vectors.T @ (np.sqrt(p) * (x < b)), b)


def best_bound(chain, T):
    """The bound of the theorem with the best of seven cut-offs, which fall from 1 to 0 harmonically over some edges."""
    found = []
    for width in (2, 5, 10, 20, 40, 80, 160):
        cells = np.arange(chain.edge - width, chain.edge + 1)
        resistance = 1 / (chain.p[cells] * chain.up[cells])
        f = chain.A.astype(float)
        f[cells] = 1 - np.r_[0.0, np.cumsum(resistance)[:-1]] / resistance.sum()
        slack = chain.mass - np.sum(f * f * chain.p)
        found.append(bound.tunnelling_leak(T, chain.mass, slack, resistance.sum()))
    return min(found)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2])
def test_leak(check, d):
    """P(X_T not in A) from p conditioned on A = {x < 0}: exact semigroup of the chain against the bound, its own
    resistances."""
    R = float(bound.decoupled_radius(d))
    chain = langevin_chain(R)
    for T in (0.1, 1.0, 10.0, 100.0):
        cause = "rounding: eigendecomposition: 1 - stay cancels"
        check.holds(1 - chain.stay(T), best_bound(chain, T), tol=1e-10, cause=cause, on=f"d = {d}, R = {R:.3g}, T = {T:g}")


def test_the_chain_recovers_the_weight(check):
    """d = 32: sigma^2 at the threshold, 40 measurements of 40 gradient calls, 4000 chains that start from N(0, sigma^2).

    Step .5: the walk's own step bias on the first, barely log-concave law moves the weight by +.013 at step 1 (12,000
    chains: .2124 and .2143), which more measurements do not repair, and by less than .006 at step .5.
    """
    n, draw = 4000, check.chance(comparisons=1)
    found = oat(32, 40, 40, n, draw.noise(91), step=0.5, friction=0.5)
    draw.frequency(found, n, W, tol=0.006, on="d = 32, minor weight .2, step bias up to .006")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained_at_short_times(check):
    """The chain on the grid, f = 1_A, one edge: the bound is the leak's first order in T."""
    chain = langevin_chain(3.0)
    T = 1e-5 * (chain.x[1] - chain.x[0]) ** 2
    larger = bound.tunnelling_leak(T, chain.mass, 0.0, 1 / (chain.p[chain.edge] * chain.up[chain.edge]))
    cause = "remainder: T lam_max / 2 = 2e-5, second order in T"
    check.tight(chain.leak(T) / larger, 1.0, tol=1e-4, cause=cause, on="birth-death chain, T = 1e-5 h^2")


def test_attained_across_a_barrier(check):
    """A reaches beyond the barrier, and f falls over all of it: the leak is T / resistance, long before A is left.

    With b = 0, on the barrier, half of the resistance lies outside A, and no cut-off has more than .71 of the leak there.
    """
    for b, stated in ((0.0, 0.7081), (1.0, 0.998)):
        chain = langevin_chain(6.0, b=b)
        leak, larger = chain.leak(1e4), best_bound(chain, 1e4)
        on = f"modes at -+6, A = {{x < {b:g}}}, T = 1e4"
        check.holds(leak, larger, tol=1e-12, cause="rounding: of the eigendecomposition", on=on)
        check.tight(leak / larger, stated, tol=1e-3, cause="printed digits: the stated ratio to 1e-3", on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """300 gradient calls without measurements (4000 in the deep table): the split of the start is kept."""
    # (H1) with measurements the weight is recovered, without them it is not
    n, draw = 1000, check.chance(comparisons=3)
    for name, count in baselines(32, 300, n, draw).items():
        dropped = f"measurements ({name} on the law)"
        draw.frequency_is_not(count, n, W, dropped=dropped, on="d = 32: the split stays near 1/2")

    # (H2) slack and resistance of the barrier itself
    leak, larger = 1 - langevin_chain(3.0).stay(100.0), bound.tunnelling_leak(100.0, W, 0.0, 1e6)
    check.control("the slack and the resistance of a barrier at 3 (of 4.5)", leak, larger, on="d = 1, T = 100")


@pytest.mark.deep
def test_table(check):
    """The whole table: 4000 gradient calls, 2000 chains.

    Four inner steps (1000 x 4) are too few and no column of it: the first walks stop short, and the weight comes out at
    .16 to .20, up to 4.6 standard errors low.
    """
    n, draw = 2000, check.chance(comparisons=22)
    for d in (1, 2, 8, 32):
        for m, steps in ((100, 40), (400, 10)):
            for factor in (1.0, 2.0):
                found = oat(d, m, steps, n, draw.noise(93), factor=factor)
                on = f"d = {d}, {m} x {steps}, sigma^2 = {factor:g} x threshold: weight {found / n:.4f}"
                draw.frequency(found, n, W, tol=0.013, on=f"{on}, step bias up to .013")
        if d >= 8:
            for name, count in baselines(d, 4000, n, draw).items():
                dropped, on = f"measurements ({name})", f"d = {d}: weight {count / n:.3f}"
                draw.frequency_is_not(count, n, W, dropped=dropped, on=on)
