"""A noised density is log-concave if and only if its denoiser is 1-Lipschitz (derived from a formula of the slides).

Let Y = X + sqrt(v) N with the density q_v. Suppose that

    (H1)  v > 0 is the variance of the noise.

Then the Jacobian of y -> E[X | Y = y] is the symmetric positive semidefinite matrix Cov[X | y] / v, and

    -Hess log q_v(y)  =  (I - Cov[X | y] / v) / v,
    q_v log-concave    <=>    lammax Cov[X | y] <= v for all y    <=>    the denoiser is 1-Lipschitz.

Measured on two points, a point cloud and a mixture in R^3: Jacobians against Hessians, chords of the denoiser, and both
sides of the equivalence about the threshold of two points.
"""

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.denoiser_lipschitz.statement
EPS = np.finfo(float).eps


def laws():
    """Two points, a point cloud and a mixture in R^3."""
    rng = np.random.default_rng(20)
    root = rng.standard_normal((3, 3, 3))
    yield "two points", PointCloud(np.array([[-1.0], [1.0]]))
    yield "cloud in R^3", PointCloud(rng.standard_normal((12, 3)))
    means = 2 * rng.standard_normal((3, 3))
    yield "mixture in R^3", GaussianMixture([0.2, 0.5, 0.3], means, 0.3 * root @ np.swapaxes(root, 1, 2))


def lipschitz(law, y, v):
    """The local Lipschitz constant of the denoiser at y (n, d): (n,)."""
    return bound.denoiser_lipschitz(law.noised(1.0, np.sqrt(v)).posterior_covariance(y), v)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_jacobian_and_hessian(check):
    """Largest eigenvalue of the Jacobian = 1 + v times the largest of the Hessian; all of them >= 0."""
    rng = np.random.default_rng(21)
    for name, law in laws():
        for v in (0.1, 1.0, 6.0):
            y = 3 * rng.standard_normal((200, law.dim))
            q = law.noised(1.0, np.sqrt(v))
            values = np.linalg.eigvalsh(np.eye(law.dim) + v * q.hessian(y))
            size = np.maximum(1.0, v * np.abs(q.hessian(y)).max(axis=(1, 2)))
            tol, cause = 64 * EPS * size, "rounding: 64 eps of max(1, v |Hess|)"
            check.equal(values[:, -1], lipschitz(law, y, v), tol=tol, cause=cause, on=f"{name}, v = {v:g}")
            check.holds(0.0, values[:, 0], tol=tol, cause=cause, on=f"Jacobian positive semidefinite, {name}, v = {v:g}")


def test_chords(check):
    """Chords of the denoiser never exceed the largest constant on their segment; short ones along the top axis reach it."""
    rng, v = np.random.default_rng(22), 0.8
    u, w = np.polynomial.legendre.leggauss(64)
    for name, law in laws():
        # the mean of the constant along the segment, a sharper form of the Lipschitz inequality
        q = law.noised(1.0, np.sqrt(v))
        a, b = (2 * rng.standard_normal((60, law.dim)) for _ in range(2))
        quotient = np.linalg.norm(q.denoise(a) - q.denoise(b), axis=1) / np.linalg.norm(a - b, axis=1)
        average = 0.5 * w @ np.stack([lipschitz(law, a + 0.5 * (1 + t) * (b - a), v) for t in u])
        cause = "remainder: 64 Gauss-Legendre nodes on the segment"
        check.holds(quotient, average, tol=1e-8, cause=cause, on=f"60 chords, {name}, v = .8")

        # third derivative of the denoiser: at most (diameter)^4/v^3-like; 1e4 h^2
        y, h = rng.standard_normal((20, law.dim)), 1e-4
        axis = np.linalg.eigh(q.posterior_covariance(y))[1][:, :, -1]
        short = np.linalg.norm(q.denoise(y + h * axis) - q.denoise(y - h * axis), axis=1) / (2 * h)
        cause = "remainder: h^2 times a third derivative below 1e4"
        check.tight(short / lipschitz(law, y, v), 1.0, tol=1e4 * h**2, cause=cause, on=f"{name}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_equivalence_at_the_threshold(check):
    """Two points at +-1: sup of the constant is exactly 1/v, so both tests switch there."""
    law, y = PointCloud(np.array([[-1.0], [1.0]])), np.linspace(-6, 6, 1201)[:, None]
    levels = (0.5, 0.99, 1.0, 1.01, 3.0)
    constants = [lipschitz(law, y, v).max() for v in levels]
    for v, constant in zip(levels, constants):
        check.tight(constant * v, 1.0, tol=8 * EPS, cause="rounding: 8 eps", on=f"two points, sup = R^2/v, v = {v:g}")
    concave = [float(law.noised(1.0, np.sqrt(v)).hessian(y).max() <= 8 * EPS) for v in levels]
    check.equal(concave, [0, 0, 1, 1, 1], tol=0, cause="exact: yes/no", on="log-concave, v = .5 .. 3")
    contraction = [float(constant <= 1 + 8 * EPS) for constant in constants]
    check.equal(contraction, [0, 0, 1, 1, 1], tol=0, cause="exact: yes/no", on="1-Lipschitz, v = .5 .. 3")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Below the threshold of log-concavity, and the standard deviation in place of the variance."""
    law, h = PointCloud(np.array([[-1.0], [1.0]])), 1e-3
    q = law.noised(1.0, np.sqrt(0.9))
    quotient = (q.denoise(np.array([[h]])) - q.denoise(np.array([[-h]])))[0, 0] / (2 * h)
    check.control("log-concavity (v = .9 < R^2)", quotient, 1.0, on="two points, a chord through 0")

    # (H1) sigma = 2 in place of v = 4
    covariance = law.noised(1.0, 2.0).posterior_covariance(np.zeros((1, 1)))
    constant, slope = bound.denoiser_lipschitz(covariance, 2.0), covariance[0, 0, 0] / 4.0
    check.control("v = sigma^2 (sigma)", abs(constant[0] - slope), 1e-6, on="two points, sigma = 2")
