"""The relative Laplacian of a density has mean square at most 2 d L^2.

(H1) p = e^l has three continuous derivatives and decays. (H2) |hess l| <= L in operator norm. With V = Lap l + |grad l|^2

    E_p V^2  =  E |hess l|_F^2 - E[grad l . hess l grad l]  <=  2 d L^2,

with equality for N(0, I/L). Derived here; the laws are scale mixtures, which are no products, in dimension 1 to 256.
"""

import numpy as np

from exactdiffusion.papers.proximal.radial import RadialMixture
from exactdiffusion.statements import proximal_dimension as bound

STATEMENT = bound.score_energy.statement
DIMS = (1, 4, 16, 64, 256)
CAUSE = "remainder: 1e-10 relative: quadrature over the radius"


class Energy:
    """V^2 of a scale mixture in the mean, the same by parts, and L."""

    def __init__(self, law):
        fields = law.fields(law.radii())
        self.value = law.mean(fields.relative_laplacian**2)
        self.frobenius = law.mean((law.dim - 1) * fields.tangential**2 + fields.radial**2)
        self.by_parts = self.frobenius - law.mean(fields.radial * fields.squared_score)
        self.L = float(max(np.max(np.abs(fields.tangential)), np.max(np.abs(fields.radial))))


def mixture(d, spread=1.5):
    """Three variances around 1, apart by spread / sqrt(d), so that L stays bounded as d grows."""
    return RadialMixture([0.3, 0.4, 0.3], 1 + spread * np.array([-1.0, 0.0, 1.0]) / np.sqrt(max(d, 9)), d)


def test_holds(check):
    for spread in (0.5, 1.5, 2.5):
        for d in DIMS:
            energy = Energy(mixture(d, spread))
            larger = bound.score_energy(d, energy.L)
            on = f"three variances {spread:g} / sqrt(d) apart, d = {d}"
            check.holds(energy.value, larger, tol=1e-10 * larger, cause=CAUSE, on=on)


def test_the_identity(check):
    """E V^2 from V itself and from the second derivative alone."""
    for d in DIMS:
        energy = Energy(mixture(d))
        check.equal(energy.value, energy.by_parts, tol=1e-10 * energy.value, cause=CAUSE, on=f"scale mixture, d = {d}")


def test_tight(check):
    for d, L in ((1, 1.0), (7, 0.25), (256, 9.0)):
        energy = Energy(RadialMixture([1.0], [1 / L], d))
        ratio = energy.value / bound.score_energy(d, L)
        check.tight(ratio, 1.0, tol=1e-10, cause=CAUSE, on=f"N(0, I/L), d = {d}, L = {L:g}")


def test_rate(check):
    """The energy is linear in d on laws that are no products."""
    values = [Energy(mixture(d)).value for d in DIMS[2:]]
    check.rate(
        np.polyfit(np.log(DIMS[2:]), np.log(values), 1)[0], 1.0, within=0.05, on="scale mixtures against d = 16 .. 256"
    )


def test_controls(check):
    """(H2) is needed; and the second term of the identity counts: without it a Gaussian is above the bound."""
    energy = Energy(mixture(64))
    check.control(
        "(H2) |hess l| <= L (half of it)", energy.value, bound.score_energy(64, energy.L / 2), on="mixture, d = 64"
    )
    normal = Energy(RadialMixture([1.0], [1.0], 16))
    check.control("the second term of the identity", normal.value, normal.frobenius, on="N(0, I), d = 16")
