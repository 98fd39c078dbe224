"""Theorem 4.1: DDIM with the exact projection is gradient descent on f = d^2 / 2 and runs down a straight segment.

Suppose that

    (H1)  K is closed in R^n, and the denoiser is the projection wherever sqrt(n) sigma = d(x) and p(x) is unique,
    (H2)  0 <= sigma_{t-1} <= sigma_t, where only sigma_0 may be 0,
    (H3)  p(x_N) is unique,
    (H4)  d(x_N) = sqrt(n) sigma_N.

Then for all t

    x_{t-1} = x_t - beta_t grad f(x_t),    d(x_t) = sqrt(n) sigma_t,    x_t = p(x_N) + (sigma_t / sigma_N) (x_N - p(x_N)),

and x_0 = p(x_N) when sigma_0 = 0.

Source: Theorem 4.1 of Permenter & Yuan (recalled, consistent with slide 16), proved in the docstring of
`exact_projection_path`; the closed form of x_t is derived. Measured on every family of closed sets: random schedules, one
noise level per row, with and without a last zero.
"""

import math

import numpy as np
import pytest
import sympy

from exactdiffusion import Denoiser, Grid, PointCloud, samplers, schedules
from exactdiffusion.papers.projection.adversaries import ApproximateProjection
from exactdiffusion.statements import projection as bound

STATEMENT = bound.exact_projection_path.statement
EPS = np.finfo(np.float64).eps
N, ROWS = 12, 60


def exact(law):
    """The exact projection as a denoiser that does not look at sigma."""
    return Denoiser(lambda x, sigma: law.project(x), law.dim)


def start(law, rng, n=ROWS, decades=(-0.5, 2.5)):
    """Points at distances 10^low .. 10^high from points of the set."""
    x = law.project(rng.standard_normal((n, law.dim)))
    direction = rng.standard_normal((n, law.dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    x = x + 10 ** rng.uniform(*decades, (n, 1)) * direction
    return x[law.distance(x) > 0.1]


def schedule(law, x, rng, *, final_zero=False, ratio=1.0):
    """Random relative steps, one schedule per row, started at d(x_N) = ratio sqrt(n) sigma_N."""
    shrink = rng.uniform(0.2, 0.98, (N, len(x)))
    if final_zero:
        shrink[-1] = 0.0
    start = law.distance(x) / (ratio * math.sqrt(law.dim))
    sigma = start * np.cumprod(np.vstack([np.ones(len(x)), shrink]), axis=0)
    return Grid(np.ones_like(sigma), sigma)


def rounding(law, x, grid):
    """Absolute: a few ulp of |x| per step, sqrt(n) of them in a norm."""
    return 4 * EPS * math.sqrt(law.dim) * (grid.N + 1) * (np.linalg.norm(x, axis=1) + law.distance(x))


CAUSE = "rounding: 4 eps sqrt(n) (N + 1) (|x_N| + d(x_N)): rounding of every state and of its distance"


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("final_zero", [False, True])
def test_distance_and_path(check, closed_sets, final_zero):
    rng = np.random.default_rng(410)
    for name, law in closed_sets.items():
        x = start(law, rng)
        grid = schedule(law, x, rng, final_zero=final_zero)
        states = np.stack(list(samplers.ddim(exact(law), grid, x)))
        tol = rounding(law, x, grid)
        on = f"{name}, sigma_0 {'= 0' if final_zero else '> 0'}"
        if hasattr(law, "gap"):
            check.hypothesis("p(x_N) is unique", law.gap(x) > 0, on=on)
        distance = np.stack([law.distance(s) for s in states])
        check.equal(distance, math.sqrt(law.dim) * grid.sigma, tol=tol, cause=CAUSE, on=f"d = sqrt(n) sigma, {on}")
        path = bound.exact_projection_path(x, law.project(x), grid.sigma)
        off = np.linalg.norm(states - path, axis=2)
        check.equal(off, 0.0, tol=tol, cause=CAUSE, on=f"states on the segment, {on}")
        if final_zero:
            off = np.linalg.norm(states[-1] - law.project(x), axis=1)
            check.equal(off, 0.0, tol=tol, cause=CAUSE, on=f"x_0 = p(x_N), {on}")


def test_gradient_descent(check, closed_sets):
    """DDIM against x - beta grad f(x) with grad f by central differences of d^2/2: no projection in the second one."""
    rng = np.random.default_rng(411)
    h, cause = 1e-5, "remainder: central difference: 64 eps |x|^2 / h + 10 h^2 f'''"
    for name in ("ring of 8 in the plane", "sphere S^3 in R^20", "subspace of R^12", "torus T^4 in R^30"):
        law = closed_sets[name]
        x = start(law, rng, 12, decades=(-0.5, 0.5))
        if hasattr(law, "gap"):
            x = x[law.gap(x) > 1e-2]

        # one step of each
        grid = schedule(law, x, rng)
        one = list(samplers.ddim(exact(law), grid[:2], x))[-1]
        differences = [(law.distance(x + e) ** 2 - law.distance(x - e) ** 2) / (4 * h) for e in h * np.eye(law.dim)]
        other = x - grid.beta[0][:, None] * np.stack(differences, axis=1)

        # central differences: the second derivatives of p are 0 or of order 1/(distance to a centre)^2
        d = law.distance(x)
        tol = 64 * EPS * (np.linalg.norm(x, axis=1) + d) ** 2 / h + 10 * h**2 * (1 + 1 / d**2)
        off = np.linalg.norm(one - other, axis=1)
        check.equal(off, 0.0, tol=tol * math.sqrt(law.dim), cause=cause, on=f"one step, {name}")


def test_algebra(check):
    """SymPy: the DDIM step with eps = grad f / sigma is the gradient step; on a ray the distance shrinks by 1 - beta."""
    x, p, s, s1 = sympy.symbols("x p sigma sigma_next", positive=True)
    beta = 1 - s1 / s
    eps = (x - p) / s
    step = bound.ddim_coordinates(x, eps, s, s1)
    residuals = [
        sympy.simplify(step - (x - beta * (x - p))),
        sympy.simplify((step - p) - (1 - beta) * (x - p)),
        sympy.simplify(step.subs(s1, 0) - p),
    ]
    check.equal([float(r) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="step, distance on a ray, full step")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, closed_sets):
    """(H1) with a denoiser that falls short, (H3) on a bisector, and (H4)."""
    law, rng = closed_sets["200 points in R^50"], np.random.default_rng(412)
    x = start(law, rng)
    off, centred = schedule(law, x, rng, ratio=1.2), schedule(law, x, rng)

    def final_distance(law, denoiser, grid, x):
        return law.distance(samplers.final(samplers.ddim(denoiser, grid, x)))

    # (H1) the denoiser falls 1 % short of the projection at every step
    short = ApproximateProjection(law, 0.01, strategy="under", garbage=False)
    final, tol = final_distance(law, short, centred, x), rounding(law, x, centred)
    check.control("xhat = p (1 % short)", final, math.sqrt(law.dim) * centred.sigma[-1], tol=tol, on="200 points")

    # (H3) on a bisector the continuous ideal denoiser goes to the middle, and stays: again it is (H1) that fails
    pair, tie = PointCloud(np.array([[-1.0, 0.0], [1.0, 0.0]])), np.array([[0.0, 50.0]])
    grid = schedules.log_linear(60, sigma_max=float(pair.distance(tie)[0]) / math.sqrt(2), sigma_min=1e-3)
    final, dropped = final_distance(pair, pair, grid, tie), "xhat = p (ideal denoiser from a bisector)"
    check.control(dropped, final, math.sqrt(2) * 1e-3, tol=1e-12, on="two atoms, ideal denoiser")

    # (H4) the sigma-blind projection keeps whatever ratio it was given, at every t
    expected, tol = math.sqrt(law.dim) * off.sigma, rounding(law, x, off)
    distance = np.stack([law.distance(s) for s in samplers.ddim(exact(law), off, x)])
    on = "start at 1.2: the ratio stays 1.2"
    check.equal(distance / expected, 1.2, tol=np.max(tol / expected), cause=CAUSE + " / d", on=on)
    dropped = "d(x_N) = sqrt(n) sigma_N (1.2 of it)"
    check.control(dropped, distance, expected, tol=tol, on="200 points, sigma-blind projection")

    # (H4) a denoiser that is exact only where sqrt(n) sigma = d owes nothing there
    there = ApproximateProjection(law, 0.0, 1.0, "under", band_rtol=1e-6)
    on = "200 points, exact on sqrt(n) sigma = d only"
    check.control(dropped, final_distance(law, there, off, x), expected[-1], tol=tol, on=on)
