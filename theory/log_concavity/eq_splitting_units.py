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


def chain(c, unit_power=2):
    """Outputs of the one-at-a-time chain in units where everything is c times as long; u = (c sigma)^unit_power."""
    law = GaussianMixture(np.array([0.3, 0.7]), c * np.array([[-1.0, 0.5], [1.0, 0.0]]), 0.4 * c * c)
    sigma = 1.5 * c
    walk = Underdamped(8, 0.6, 0.9)
    if unit_power != 2:
        walk = _OtherUnit(8, 0.6, 0.9)
    for state in one_at_a_time(law, 4, sigma, 40, noise=Noise(82), walk=walk):
        out = state.xhat
    return out / c


class _OtherUnit(Underdamped):
    """u = sigma in place of sigma^2."""

    def run(self, target, y, draws):
        return super().run(Target(target.score, np.sqrt(target.unit)), y, draws)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_the_walk_is_this_map(check):
    law = GaussianMixture(np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.0, 0.0]]), 0.4)
    noise, unit, steps = Noise(80), 0.7, 12
    y = np.random.default_rng(81).standard_normal((30, 2))
    count = iter(range(steps + 1))
    out = Underdamped(steps, 0.6, 0.9).run(
        Target(law.score, unit), y, lambda n, d, like=None: noise.normal(next(count), n, d)
    )
    z, v = y, np.sqrt(unit) * noise.normal(0, 30, 2)
    for k in range(steps):
        z, v = bound.splitting_map(z, v, law.score, unit, 0.6, 0.9, noise.normal(k + 1, 30, 2))
    check.equal(out, z, tol=64 * EPS * steps, cause="rounding: 64 eps per step", on="12 steps on a mixture in the plane")


def test_change_of_units(check):
    base = chain(1.0)
    for c in (1e-3, 0.1, 7.0, 1e4):
        tol = 64 * EPS * 4 * 8 * np.abs(base).max()
        check.equal(chain(c), base, tol=tol, cause="rounding: 64 eps per inner step", on=f"lengths times {c:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    gap = np.abs(chain(2.0, unit_power=1) - chain(1.0, unit_power=1))
    check.control("u = sigma^2 (u = sigma)", gap, 0.0, tol=1e-9, on="lengths times 2")
    one = np.ones((1, 1))
    kept = bound.splitting_map(one, one, lambda y: -y, 1.0, 0.5, 1.0, one)
    other = bound.splitting_map(one, one, lambda y: -y, 1.0, 0.5, 0.5, one)
    on = "step .5: e^-1 against e^-.5"
    check.control("friction per step (per unit of time)", abs(kept[0] - other[0]), 0.0, tol=1e-9, on=on)
