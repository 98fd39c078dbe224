"""The Langevin diffusion contracts (slides without constants; textbook).

Let dX = grad log p(X) dt + sqrt(2) dB. Suppose that

    (H1)  -Hess log p >= a I with a > 0.

Then

    W2(X_t, p)  <=  exp(-a t) W2(X_0, p),        KL(X_t | p)  <=  exp(-2 a t) KL(X_0 | p),

with equality for a Gaussian p and a shift of its mean along the widest axis.

Measured by exact laws on Gaussians in up to five dimensions, and on a line by a reversible chain whose error is estimated.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.output_laws import langevin, line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.langevin_contraction.statement
TIMES = (0.25, 1.0, 3.0)


def gaussian(C, mean, covariance, t):
    """Mean and covariance of X_t on the target N(0, C), started from N(mean, covariance), exactly."""
    lam, U = np.linalg.eigh(C)
    decay = (U * np.exp(-t / lam)) @ U.T
    return decay @ mean, decay @ (covariance - C) @ decay + C


def diffusion(law, start, spacing):
    """`Distances` at the times 0 and ``TIMES`` of the reversible chain on nodes of the given spacing."""
    x = langevin.line_nodes(law, start, step=spacing)
    chain = langevin.Diffusion(law, x)
    target = chain.stationary()
    out = [line.divergences(target, q) for q in [line.discretise(start, x), *(chain.law(start, t) for t in TIMES)]]
    return Distances(np.array([d.w2 for d in out]), np.array([d.reverse_kl for d in out]))


class Distances(NamedTuple):
    """Distances of a law to the target; arrays (T,) where the law is followed in time."""

    w2: float
    kl: float


def gaussian_distances(C, mean, covariance):
    zero = np.zeros(len(C))
    return Distances(distances.bures_w2(mean, covariance, zero, C), distances.gaussian_kl(mean, covariance, zero, C))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    """Random Gaussian targets and starts in R^1, R^2 and R^5."""
    rng = np.random.default_rng(2)
    with check.gather(on="Gaussians, d <= 5", cause="rounding: eigendecompositions, condition below 1e5") as sides:
        for d in (1, 2, 5):
            for _ in range(5):
                root, other = rng.standard_normal((2, d, d))
                C, covariance = root @ root.T + 0.1 * np.eye(d), other @ other.T + 0.05 * np.eye(d)
                mean = 3 * rng.standard_normal(d)
                a, start = 1 / np.linalg.eigvalsh(C)[-1], gaussian_distances(C, mean, covariance)
                for t in TIMES:
                    found = gaussian_distances(C, *gaussian(C, mean, covariance, t))
                    larger = Distances(*bound.langevin_contraction(t, a, *start))
                    sides("W2", found.w2, larger.w2, tol=1e-10 * (1 + start.kl))
                    sides("KL", found.kl, larger.kl, tol=1e-10 * (1 + start.kl))


def test_two_points_noised(check):
    """-Hess log p in [1/4, 1/2]: not Gaussian. The chain's O(dx^2) is estimated by halving the spacing."""
    law, start = GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), GaussianMixture(None, np.array([[6.0]]), 0.25)
    coarse, fine = diffusion(law, start, 0.08), diffusion(law, start, 0.04)
    larger = Distances(*bound.langevin_contraction(np.array(TIMES), 0.25, fine.w2[0], fine.kl[0]))
    cause = "remainder: 2 x the change with half the spacing"
    for name, a, b, limit in zip(("W2", "KL"), coarse, fine, larger):
        check.holds(b[1:], limit, tol=2 * np.abs(b - a)[1:], cause=cause, on=f"{name} from N(6, 1/4)")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """A shift of the mean along the widest axis: both are equalities."""
    C, mean, ratios = np.diag([0.5, 2.0]), np.array([0.0, 3.0]), []
    start = gaussian_distances(C, mean, C)
    for t in TIMES:
        found = gaussian_distances(C, *gaussian(C, mean, C, t))
        larger = Distances(*bound.langevin_contraction(t, 0.5, np.linalg.norm(mean), start.kl))
        ratios.append([found.w2 / larger.w2, found.kl / larger.kl])
    cause = "rounding: square root of eps in the covariance part of W2"
    check.tight(ratios, 1.0, tol=1e-7, cause=cause, on="N(0, diag(.5, 2)), mean (0, 3)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) the curvature is overestimated, or the law not log-concave; and a rate that is too fast."""
    C, mean, on = np.diag([0.5, 2.0]), np.array([0.0, 3.0]), "N(0, diag(.5, 2)), mean (0, 3), t = 1"
    w2 = gaussian_distances(C, *gaussian(C, mean, C, 1.0)).w2
    larger = Distances(*bound.langevin_contraction(1.0, 2.0, 3.0, gaussian_distances(C, mean, C).kl))
    check.control("the smallest curvature (the largest one)", w2, larger.w2, on=on)
    law, start = GaussianMixture(None, np.array([[-3.0], [3.0]]), 1.0), GaussianMixture(None, np.array([[3.0]]), 1.0)
    path = diffusion(law, start, 0.05)
    larger = Distances(*bound.langevin_contraction(np.array(TIMES), 0.5, path.w2[0], path.kl[0]))
    check.control("log-concavity (two modes at +-3)", path.kl[1:], larger.kl, on="KL, from one mode, a = 1/2 pretended")

    check.control("e^{-at} for W2 (e^{-2at})", w2, np.exp(-1.0) * 3.0, tol=1e-9, on=on)
