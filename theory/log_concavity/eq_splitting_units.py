"""The splitting integrator has a dimensionless step when u = sigma^2 (authors' code; the equivariance is derived).

Suppose that

    (H1)  u is proportional to the square of the target's length,
    (H2)  zeta = exp(-friction), a friction per step.

Then the map

    y += delta v / 2,   g = score(y),   v += u delta g / 2,
    v <- zeta v + u delta g / 2 + sqrt(u (1 - zeta^2)) xi,   y += delta v / 2

commutes with a change of units: y -> c y and v -> c v where the target is stretched by c and u by c^2.

Measured on the library's walk against this map, and on chains in units from 1e-3 to 1e4.
"""

import numpy as np

from exactdiffusion import GaussianMixture, Noise
from exactdiffusion.papers.log_concavity.walk_jump import Target, Underdamped, one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.splitting_map.statement
EPS = np.finfo(np.float64).eps


def chain(c, kind=Underdamped):
    """Outputs of the one-at-a-time chain in units where everything is c times as long, divided by c."""
    law = GaussianMixture(np.array([0.3, 0.7]), c * np.array([[-1.0, 0.5], [1.0, 0.0]]), 0.4 * c * c)
    for state in one_at_a_time(law, 4, 1.5 * c, 40, noise=Noise(82), walk=kind(8, 0.6, 0.9)):
        out = state.xhat
    return out / c


class OtherUnit(Underdamped):
    """The walk with u = sigma in place of sigma^2."""

    def run(self, target, y, draws):
        return super().run(Target(target.score, np.sqrt(target.unit)), y, draws)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_the_walk_is_this_map(check):
    """Twelve steps of the library's walk on a mixture in the plane, with the same noise."""
    law = GaussianMixture(np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.0, 0.0]]), 0.4)
    noise, unit, steps = Noise(80), 0.7, 12
    start, count = np.random.default_rng(81).standard_normal((30, 2)), iter(range(steps + 1))

    def draws(n, d, like=None):
        return noise.normal(next(count), n, d)

    out = Underdamped(steps, 0.6, 0.9).run(Target(law.score, unit), start, draws)
    y, v = start, np.sqrt(unit) * noise.normal(0, 30, 2)
    for k in range(steps):
        y, v = bound.splitting_map(y, v, law.score, unit, 0.6, 0.9, noise.normal(k + 1, 30, 2))
    check.equal(out, y, tol=64 * EPS * steps, cause="rounding: 64 eps per step", on="12 steps on a mixture in the plane")


def test_change_of_units(check):
    base = chain(1.0)
    for c in (1e-3, 0.1, 7.0, 1e4):
        tol = 64 * EPS * 4 * 8 * np.abs(base).max()
        check.equal(chain(c), base, tol=tol, cause="rounding: 64 eps per inner step", on=f"lengths times {c:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each hypothesis dropped in turn."""
    # (H1) u = sigma
    gap = np.abs(chain(2.0, OtherUnit) - chain(1.0, OtherUnit))
    check.control("u = sigma^2 (u = sigma)", gap, 0.0, tol=1e-9, on="lengths times 2")

    # (H2) friction per unit of time: step .5 has exp(-.5)
    one = np.ones((1, 1))
    kept, other = (bound.splitting_map(one, one, lambda y: -y, 1.0, 0.5, friction, one) for friction in (1.0, 0.5))
    dropped, on = "friction per step (per unit of time)", "step .5: e^-1 against e^-.5"
    check.control(dropped, abs(kept[0] - other[0]), 0.0, tol=1e-9, on=on)
