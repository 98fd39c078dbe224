"""The third hypothesis of the informal Theorem 1 of Fang, Diaz, Buchanan & Sulam follows from the second.

(H1) l = ln p is twice differentiable and p decays. (H2) |hess l| <= L in operator norm. Then

    E_p |grad l|^2  =  -E_p Lap l  <=  d L,

with equality for N(0, I/L). The hypotheses of Theorem 1 were seen (the text at hand ends within the third one);
derived here.
"""

import numpy as np

from exactdiffusion.papers.proximal.radial import RadialMixture
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.score_second_moment.statement
CAUSE = "remainder: 1e-10 relative: quadrature over the radius"


class Moments:
    """Both sides of the identity on a scale mixture, and L."""

    def __init__(self, law):
        fields = law.fields(law.radii())
        self.square = law.mean(fields.squared_score)
        self.laplacian = law.mean((law.dim - 1) * fields.tangential + fields.radial)
        self.L = float(max(np.max(np.abs(fields.tangential)), np.max(np.abs(fields.radial))))


def mixture(d):
    return RadialMixture([0.3, 0.4, 0.3], 1 + 1.5 * np.array([-1.0, 0.0, 1.0]) / np.sqrt(max(d, 9)), d)


# -- it holds --------------------------------------------------------------------------------------------------------------


def test_holds(check):
    for d in (1, 4, 16, 64, 256):
        found = Moments(mixture(d))
        larger = bound.score_second_moment(d, found.L)
        check.holds(found.square, larger, tol=1e-10 * larger, cause=CAUSE, on=f"scale mixture, d = {d}")
        check.equal(found.square, -found.laplacian, tol=1e-10 * larger, cause=CAUSE, on=f"by parts, d = {d}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    for d, L in ((1, 0.5), (40, 3.0)):
        ratio = Moments(RadialMixture([1.0], [1 / L], d)).square / bound.score_second_moment(d, L)
        check.tight(ratio, 1.0, tol=1e-10, cause=CAUSE, on=f"N(0, I/L), d = {d}, L = {L:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_control(check):
    found = Moments(mixture(16))
    larger = bound.score_second_moment(16, 0.5 * found.L)
    check.control("(H2) |hess l| <= L (half of it)", found.square, larger, on="scale mixture, d = 16")
