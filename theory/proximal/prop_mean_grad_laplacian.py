"""The mean of the gradient of the Laplacian is of the order sqrt(d), not d.

(H1) p = e^l has three continuous derivatives and decays. (H2) |hess l| <= L in operator norm. Then

    |E_p grad Lap l|  <=  sqrt(d) L^(3/2).

Derived here: by parts E[u . grad Lap l] = -E[hess l u . grad l], and E|grad l|^2 <= d L. The mean vanishes for symmetric
laws, so the instances are skew mixtures on a line and their products with a common direction.
"""

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.output_laws import line
from exactdiffusion.papers.proximal.radial import RadialMixture
from exactdiffusion.statements import proximal_dimension as bound

STATEMENT = bound.mean_grad_laplacian.statement
CAUSE = "remainder: 1e-9 relative: differences for the third derivative and quadrature"
#: weights and centres of skew mixtures with unit variances
SKEW = [([0.8, 0.2], [0.0, 1.5]), ([0.9, 0.1], [0.0, 3.0]), ([0.55, 0.45], [-1.0, 1.3]), ([0.6, 0.3, 0.1], [0.0, 1.0, 2.5])]


class Skew:
    """A mixture on a line, with the mean of the third derivative of its log density and the bound L."""

    def __init__(self, weights, centres):
        level = line.Level(GaussianMixture(weights, np.array(centres)[:, np.newaxis], 1.0))
        x = np.linspace(-12.0, 16.0, 4001)
        density = (x[1] - x[0]) * np.exp(level.log_density(x))
        curvature, score = level.curvature(x), level.score(x)
        self.third = float(density @ level.third(x))
        self.by_parts = -float(density @ (curvature * score))
        self.L = float(np.max(np.abs(curvature)))


def test_holds(check):
    """In d dimensions the product of d equal skew laws has a mean of length sqrt(d) |E l'''|."""
    for weights, centres in SKEW:
        law = Skew(weights, centres)
        for d in (1, 16, 256):
            larger = bound.mean_grad_laplacian(d, law.L)
            on = f"product of {d} mixtures with weights {weights} at {centres}"
            check.holds(np.sqrt(d) * abs(law.third), larger, tol=1e-9 * larger, cause=CAUSE, on=on)


def test_the_proof(check):
    """E l''' = -E[l'' l']: the integration by parts."""
    for weights, centres in SKEW:
        law = Skew(weights, centres)
        check.equal(law.third, law.by_parts, tol=1e-9, cause=CAUSE, on=f"weights {weights} at {centres}")


def test_the_constant(check):
    """Both inequalities of the proof are equalities on N(0, I/L): |hess l u| = L and E|grad l|^2 = d L."""
    for d, L in ((1, 1.0), (9, 0.5), (64, 4.0)):
        law = RadialMixture([1.0], [1 / L], d)
        fields = law.fields(law.radii())
        product = np.sqrt(law.mean(fields.tangential**2) * law.mean(fields.squared_score))
        on = f"Cauchy-Schwarz on N(0, I/L), d = {d}, L = {L:g}"
        check.equal(bound.mean_grad_laplacian(d, L) / product, 1.0, tol=1e-10, cause=CAUSE, on=on)


def test_rate(check):
    """The mean grows like sqrt(d) on products, as the bound does: the exponent is attained."""
    third = Skew(*SKEW[0]).third
    dims = 4 ** np.arange(1, 6)
    slope = np.polyfit(np.log(dims), np.log(np.sqrt(dims) * abs(third)), 1)[0]
    check.rate(slope, 0.5, within=1e-12, on="products of skew mixtures against d")


def test_controls(check):
    """(H2) is needed, and L counts with its power 3/2."""
    law = Skew(*SKEW[1])
    understated = bound.mean_grad_laplacian(1, 0.2 * law.L)
    check.control("(H2) |hess l| <= L (a fifth of it)", abs(law.third), understated, on="weights .9, .1 at 0, 3")
    narrow = abs(law.third) / 0.05**3
    linear = bound.mean_grad_laplacian(1, 1.0) * law.L / 0.05**2
    check.control("the power 3/2 of L (power 1)", narrow, linear, on="the same law, 20 times narrower")
