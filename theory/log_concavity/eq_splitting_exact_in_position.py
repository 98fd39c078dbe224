"""The splitting integrator is exact in position on Gaussians (derived; known for BAOAB, Leimkuhler & Matthews).

Let delta be the step and u the unit of drift-kick-OU-kick-drift. Suppose that

    (H1)  the target is Gaussian, with the score -k y,
    (H2)  delta^2 u k < 4 (exactly the condition of stability), and the friction is positive.

Then the stationary covariance is

    E y^2  =  1/k,        E y v  =  0,        E v^2  =  4 u / (4 - delta^2 u k).

Measured by SymPy, by a discrete Lyapunov equation of the walk's matrices, and by these matrices against the walk itself.
"""

import numpy as np
import sympy
from scipy.linalg import solve_discrete_lyapunov

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.walk_jump import ULA, Target, Underdamped, langevin
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.splitting_stationary_covariance.statement
EPS = np.finfo(np.float64).eps


def contraction(step, friction, k=1.0):
    """Spectral radius of one step of the walk on a quadratic of curvature k, u = 1."""
    return np.max(np.abs(np.linalg.eigvals(Underdamped(1, step, friction).linear(k, 1.0)[0])))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_by_sympy(check):
    """A P A' + Q = P holds identically, for every step, friction, unit and precision."""
    d, k, u, z = sympy.symbols("delta k u zeta", positive=True)
    drift = sympy.Matrix([[1, d / 2], [0, 1]])
    kick = sympy.Matrix([[1, 0], [-u * d * k / 2, 1]])
    after = drift * kick
    A = after * sympy.diag(1, z) * kick * drift
    noise = after * sympy.Matrix([0, sympy.sqrt(u * (1 - z**2))])
    P = sympy.diag(1 / k, 4 * u / (4 - d**2 * u * k))
    residual = (A * P * A.T + noise * noise.T - P).applyfunc(sympy.simplify)
    check.equal([float(r) for r in residual], 0.0, tol=0, cause="exact: SymPy", on="stationarity, all four entries")


def test_the_walk(check):
    for k, u, step, friction in ((1.0, 1.0, 0.5, 1.0), (0.3, 2.0, 1.9, 0.1), (25.0, 0.01, 3.0, 2.0), (1.0, 1.0, 1.99, 0.5)):
        A, Q = Underdamped(1, step, friction).linear(k, u)
        P = solve_discrete_lyapunov(A, Q)
        yy, yv, vv = bound.splitting_stationary_covariance(k, u, step)
        scale = np.array([yy, np.sqrt(yy * vv), vv])
        gap = 1 - np.max(np.abs(np.linalg.eigvals(A)))
        tol = 64 * EPS / gap / (4 - step**2 * u * k)
        cause = "rounding: 64 eps / ((1 - spectral radius)(4 - step^2 u k))"
        on = f"u k = {u * k:g}, step {step}, friction {friction}"
        check.equal(np.array([P[0, 0], P[0, 1], P[1, 1]]) / scale, [1, 0, 1], tol=tol, cause=cause, on=on)


def test_the_matrices_are_the_walk(check):
    """A and Q against the walk itself run on unit vectors with and without its noise."""
    walk, k, u = Underdamped(1, 0.8, 0.7), 1.7, 0.6
    A, Q = walk.linear(k, u)
    for vector in np.eye(3):
        y0, v0, xi = vector
        draws = iter([np.array([[v0 / np.sqrt(u)]]), np.array([[xi]])])
        y = walk.run(Target(lambda y: -k * y, u), np.array([[y0]]), lambda n, d, like=None, draws=draws: next(draws))
        expected = A[0] @ [y0, v0] + np.sqrt(Q[0, 0]) * xi
        check.equal(y[0, 0], expected, tol=16 * EPS, cause="rounding: 16 eps", on=f"(y, v, xi) = {vector.tolist()}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_stability(check):
    """Either side of delta^2 u k = 4, and the contraction of the best step and friction for four condition numbers."""
    below, above = (contraction(step, 0.5) for step in (1.999, 2.001))
    cause, on = "exact: either side of step^2 u k = 4", "spectral radius at step 1.999, 2.001"
    check.holds([below, 1.0], [1.0, above], tol=0, cause=cause, on=on)

    best = {1: (1.35, 5.0, 0.08), 2: (1.62, 3.4, 0.18), 5: (1.83, 1.9, 0.40), 20: (1.92, 0.89, 0.64)}
    for kappa, (step, friction, value) in best.items():
        rho = max(contraction(step, friction, k) for k in np.linspace(1 / kappa, 1, 200))
        cause, on = "printed digits: two digits of step and friction", f"condition number {kappa}: contraction per step"
        check.equal(rho, value, tol=0.1, cause=cause, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Another target, another integrator, and the velocity."""
    # (H1) E y^2 of 6000 chains started in a law that is not Gaussian, after 150 steps
    law, draw = GaussianMixture(None, np.array([[-1.5], [1.5]]), 0.3), check.chance(comparisons=1)
    start, walk = law.sample(6000, draw.seed(83)), Underdamped(150, 1.8, 1.0)
    y = langevin(law, start, noise=draw.noise(84), walk=walk, unit=0.3)[:, 0]
    draw.mean_is_not(y**2, law.covariance[0, 0], dropped="a Gaussian target", on="E y^2, two Gaussians, step 1.8")

    A, Q = ULA(1, 0.5).linear(1.0, 1.0)
    biased = Q[0, 0] / (1 - A[0, 0] ** 2)
    check.control("the splitting (ULA)", abs(biased - 1.0), 0.0, tol=1e-9, on="k = 1, h = .5: variance 4/3")
    _, _, vv = bound.splitting_stationary_covariance(1.0, 1.0, 1.0)
    check.control("position (velocity)", abs(vv - 1.0), 0.0, tol=1e-9, on="k = u = step = 1: velocity variance 4/3")
