"""Score matching without the true score (slides; Hyvarinen 2005).

Suppose that

    (H1)  p and q are smooth and p grad log q vanishes at infinity,
    (H2)  the expectation is under p.

Then

    int p |grad log p - grad log q|^2  =  int p (|grad log q|^2 + 2 Lap log q)  +  I(p),        I(p) = int p |grad log p|^2.

Measured on pairs of mixtures by quadrature on a line and in the plane.
"""

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
    """(explicit distance, objective, I(p)) on a line."""
    y, w = measurements.line_quadrature(p, 0.0)
    x = y[:, None]
    explicit = w @ np.sum((p.score(x) - q.score(x)) ** 2, axis=1)
    implicit = w @ bound.score_matching_objective(q.score(x), np.trace(q.hessian(x), axis1=1, axis2=2))
    return explicit, implicit, measurements.fisher_information(p)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_line(check):
    for name, p, q in pairs():
        explicit, implicit, information = line(p, q)
        check.equal(implicit + information, explicit, tol=TOL, cause=CAUSE, on=f"q = {name}, on a line")


def test_plane(check):
    """Two dimensions, anisotropic p: Gauss-Hermite per component of p, twice."""
    rng = np.random.default_rng(27)
    C = np.array([[[1.0, 0.4], [0.4, 0.5]], [[0.6, -0.2], [-0.2, 0.9]]])
    p = GaussianMixture([0.4, 0.6], np.array([[-0.7, 0.0], [0.8, 0.5]]), C)
    q = GaussianMixture([0.5, 0.5], rng.standard_normal((2, 2)), 1.5)
    values = []
    for n in (60, 70):
        z, w = np.polynomial.hermite_e.hermegauss(n)
        Z = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2)
        W = np.outer(w, w).ravel() / w.sum() ** 2
        explicit = implicit = information = 0.0
        for weight, mean, c in zip(p.weights, p.means, C):
            x = mean + Z @ np.linalg.cholesky(c).T
            explicit += weight * W @ np.sum((p.score(x) - q.score(x)) ** 2, axis=1)
            implicit += weight * W @ bound.score_matching_objective(q.score(x), np.trace(q.hessian(x), axis1=1, axis2=2))
            information += weight * W @ np.sum(p.score(x) ** 2, axis=1)
        values.append((explicit, implicit + information))
    tol = np.abs(np.subtract(*values)).max() + TOL
    cause = "remainder: change of the Gauss-Hermite sum, 1e-12"
    check.equal(values[1][1], values[1][0], tol=tol, cause=cause, on="two Gaussians in the plane")


def test_minimum(check):
    """At q = p the objective is -I(p): its smallest value."""
    p = next(pairs())[1]
    _, least, information = line(p, p)
    check.equal(least, -information, tol=TOL, cause=CAUSE, on="q = p")
    others = [line(a, b)[1] for _, a, b in pairs()]
    check.holds(least, np.array(others), tol=TOL, cause=CAUSE, on="other q are above")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    p, q = list(pairs())[1][1:]
    y, w = measurements.line_quadrature(p, 0.0)
    x = y[:, None]
    explicit, implicit, information = line(p, q)
    laplacian = w @ q.hessian(x)[:, 0, 0]
    on = "two Gaussians against two Gaussians"
    check.control("the factor 2 of the Laplacian", abs(implicit - laplacian + information - explicit), TOL, on=on)
    check.control("I(p)", abs(implicit - explicit), TOL, on=on)
    yq, wq = measurements.line_quadrature(q, 0.0)
    under_q = wq @ bound.score_matching_objective(q.score(yq[:, None]), q.hessian(yq[:, None])[:, 0, 0])
    check.control("the expectation under p (under q)", abs(under_q + information - explicit), TOL, on=on)
