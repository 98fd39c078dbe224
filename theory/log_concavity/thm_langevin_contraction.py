"""The Langevin diffusion contracts (slides without constants; textbook).

Let dX = grad log p(X) dt + sqrt(2) dB. Suppose that

    (H1)  -Hess log p >= a I with a > 0.

Then

    W2(X_t, p)  <=  exp(-a t) W2(X_0, p),        KL(X_t | p)  <=  exp(-2 a t) KL(X_0 | p),

with equality for a Gaussian p and a shift of its mean along the widest axis.

Measured by exact laws on Gaussians in up to five dimensions, and on a line by a reversible chain whose error is estimated.
"""

import numpy as np

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.output_laws import langevin, line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.langevin_contraction.statement
TIMES = (0.25, 1.0, 3.0)


def gaussian(C, mean, start, t):
    """Law at time t on N(0, C): mean and covariance, exactly."""
    lam, U = np.linalg.eigh(C)
    decay = (U * np.exp(-t / lam)) @ U.T
    return decay @ mean, decay @ (start - C) @ decay + C


def diffusion(law, start, spacing):
    x = langevin.line_nodes(law, start, step=spacing)
    chain = langevin.Diffusion(law, x)
    target = chain.stationary()
    out = [line.divergences(target, q) for q in [line.discretise(start, x), *(chain.law(start, t) for t in TIMES)]]
    return np.array([[d.w2, d.reverse_kl] for d in out])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    rng = np.random.default_rng(2)
    w2, kl, tol = [], [], []
    for d in (1, 2, 5):
        for _ in range(5):
            root, other = rng.standard_normal((2, d, d))
            C, S = root @ root.T + 0.1 * np.eye(d), other @ other.T + 0.05 * np.eye(d)
            mean = 3 * rng.standard_normal(d)
            a, zero = 1 / np.linalg.eigvalsh(C)[-1], np.zeros(d)
            start = distances.bures_w2(mean, S, zero, C), distances.gaussian_kl(mean, S, zero, C)
            for t in TIMES:
                m, V = gaussian(C, mean, S, t)
                larger = bound.langevin_contraction(t, a, *start)
                w2.append((distances.bures_w2(m, V, zero, C), larger[0]))
                kl.append((distances.gaussian_kl(m, V, zero, C), larger[1]))
                tol.append(1e-10 * (1 + start[1]))
    for name, pairs in (("W2", w2), ("KL", kl)):
        measured, larger = np.array(pairs).T
        cause = "rounding: eigendecompositions, condition below 1e5"
        check.holds(measured, larger, tol=np.array(tol), cause=cause, on=f"{name}, Gaussians, d <= 5")


def test_two_points_noised(check):
    """-Hess log p in [1/4, 1/2]: not Gaussian. The chain's O(dx^2) is estimated by halving the spacing."""
    law, start = GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), GaussianMixture(None, np.array([[6.0]]), 0.25)
    coarse, fine = diffusion(law, start, 0.08), diffusion(law, start, 0.04)
    larger = np.array(bound.langevin_contraction(np.array(TIMES), 0.25, *fine[0])).T
    tol = 2 * np.abs(fine - coarse)[1:]
    cause = "remainder: 2 x the change with half the spacing"
    check.holds(fine[1:, 0], larger[:, 0], tol=tol[:, 0], cause=cause, on="W2 from N(6, 1/4)")
    cause = "remainder: 2 x the change with half the spacing"
    check.holds(fine[1:, 1], larger[:, 1], tol=tol[:, 1], cause=cause, on="KL from N(6, 1/4)")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """A shift of the mean along the widest axis: both are equalities."""
    C, ratios = np.diag([0.5, 2.0]), []
    mean, zero = np.array([0.0, 3.0]), np.zeros(2)
    for t in TIMES:
        m, V = gaussian(C, mean, C, t)
        larger = bound.langevin_contraction(t, 0.5, np.linalg.norm(mean), distances.gaussian_kl(mean, C, zero, C))
        ratios += [distances.bures_w2(m, V, zero, C) / larger[0], distances.gaussian_kl(m, V, zero, C) / larger[1]]
    cause = "rounding: square root of eps in the covariance part of W2"
    check.tight(ratios, 1.0, tol=1e-7, cause=cause, on="N(0, diag(.5, 2)), mean (0, 3)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    mean, C, zero = np.array([0.0, 3.0]), np.diag([0.5, 2.0]), np.zeros(2)
    m, V = gaussian(C, mean, C, 1.0)
    start = 3.0, distances.gaussian_kl(mean, C, zero, C)
    on = "N(0, diag(.5, 2)), mean (0, 3), t = 1"
    w2 = distances.bures_w2(m, V, zero, C)
    check.control("the smallest curvature (the largest one)", w2, bound.langevin_contraction(1.0, 2.0, *start)[0], on=on)
    check.control("e^{-at} for W2 (e^{-2at})", w2, np.exp(-1.0) * 3.0, tol=1e-9, on=on)
    law, beginning = GaussianMixture(None, np.array([[-3.0], [3.0]]), 1.0), GaussianMixture(None, np.array([[3.0]]), 1.0)
    path = diffusion(law, beginning, 0.05)
    larger = bound.langevin_contraction(np.array(TIMES), 0.5, *path[0])
    check.control("log-concavity (two modes at +-3)", path[1:, 1], larger[1], on="KL, from one mode, a = 1/2 pretended")
