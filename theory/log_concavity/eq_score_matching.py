"""Score matching without the true score (slides; Hyvarinen 2005).

Suppose that

    (H1)  p and q are smooth and p grad log q vanishes at infinity,
    (H2)  the expectation is under p.

Then

    int p |grad log p - grad log q|^2  =  int p (|grad log q|^2 + 2 Lap log q)  +  I(p),        I(p) = int p |grad log p|^2.

Measured on pairs of mixtures by quadrature on a line and in the plane.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.score_matching_objective.statement
TOL, CAUSE = 1e-12, "remainder: 1e-14 of the quadrature times I(p) + |objective| <= 100"


def pairs():
    rng = np.random.default_rng(26)
    p = GaussianMixture([0.3, 0.7], np.array([[-1.0], [1.5]]), np.array([0.4, 0.7]))
    yield "one Gaussian", p, GaussianMixture(None, np.array([[0.3]]), 2.0)
    yield "two Gaussians", p, GaussianMixture([0.6, 0.4], np.array([[-1.2], [1.0]]), np.array([0.5, 1.1]))
    yield "itself", p, p
    yield (
        "five Gaussians",
        p,
        GaussianMixture(rng.dirichlet(np.ones(5)), 2 * rng.standard_normal((5, 1)), rng.uniform(0.3, 1, 5)),
    )


def line(p, q):
    """`Sides` on a line."""
    y, w = measurements.line_quadrature(p, 0.0)
    return sides(p, q, y[:, None], w)._replace(information=measurements.fisher_information(p))


class Sides(NamedTuple):
    """E_p |grad log p - grad log q|^2, the objective, and I(p)."""

    distance: float
    objective: float
    information: float


def sides(p, q, x, w):
    """`Sides` on nodes x (n, d) with weights w (n,) of the expectation under p."""
    distance = w @ np.sum((p.score(x) - q.score(x)) ** 2, axis=1)
    objective = w @ bound.score_matching_objective(q.score(x), np.trace(q.hessian(x), axis1=1, axis2=2))
    return Sides(distance, objective, w @ np.sum(p.score(x) ** 2, axis=1))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_line(check):
    for name, p, q in pairs():
        found = line(p, q)
        implicit = found.objective + found.information
        check.equal(implicit, found.distance, tol=TOL, cause=CAUSE, on=f"q = {name}, on a line")


def test_plane(check):
    """Two dimensions, anisotropic p: Gauss-Hermite per component of p, twice."""
    C = np.array([[[1.0, 0.4], [0.4, 0.5]], [[0.6, -0.2], [-0.2, 0.9]]])
    p = GaussianMixture([0.4, 0.6], np.array([[-0.7, 0.0], [0.8, 0.5]]), C)
    q = GaussianMixture([0.5, 0.5], np.random.default_rng(27).standard_normal((2, 2)), 1.5)

    def of(n):
        z, w = np.polynomial.hermite_e.hermegauss(n)
        nodes, weights = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2), np.outer(w, w).ravel() / w.sum() ** 2
        around = [
            (mean + nodes @ np.linalg.cholesky(c).T, weight * weights) for weight, mean, c in zip(p.weights, p.means, C)
        ]
        return Sides(*np.sum([sides(p, q, x, w) for x, w in around], axis=0))

    coarse, fine = of(60), of(70)
    implicit = [found.objective + found.information for found in (coarse, fine)]
    tol = np.abs([coarse.distance - fine.distance, implicit[0] - implicit[1]]).max() + TOL
    cause, on = "remainder: change of the Gauss-Hermite sum, 1e-12", "two Gaussians in the plane"
    check.equal(implicit[1], fine.distance, tol=tol, cause=cause, on=on)


def test_minimum(check):
    """At q = p the objective is -I(p): its smallest value."""
    p = next(pairs())[1]
    least = line(p, p)
    check.equal(least.objective, -least.information, tol=TOL, cause=CAUSE, on="q = p")
    others = np.array([line(a, b).objective for _, a, b in pairs()])
    check.holds(least.objective, others, tol=TOL, cause=CAUSE, on="other q are above")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Terms of the objective, and the law of the expectation."""
    _, p, q = list(pairs())[1]
    found, on = line(p, q), "two Gaussians against two Gaussians"

    # (H2) the expectation under q
    y, w = measurements.line_quadrature(q, 0.0)
    under_q = w @ bound.score_matching_objective(q.score(y[:, None]), q.hessian(y[:, None])[:, 0, 0])
    off = abs(under_q + found.information - found.distance)
    check.control("the expectation under p (under q)", off, TOL, on=on)

    y, w = measurements.line_quadrature(p, 0.0)
    once = found.objective - w @ q.hessian(y[:, None])[:, 0, 0] + found.information
    check.control("the factor 2 of the Laplacian", abs(once - found.distance), TOL, on=on)
    check.control("I(p)", abs(found.objective - found.distance), TOL, on=on)
