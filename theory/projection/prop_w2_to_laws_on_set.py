"""The smallest W2 distance between a law and the laws on a set is the root mean square distance to the set.

Suppose that

    (H1)  K is closed,
    (H2)  E|x|^2 is finite.

Then

    min over laws mu on K of W2(law(x), mu)^2  =  E d(x)^2,

attained by the law of p(x). So Theorem 4.2 says W2(law(x_0), laws on K) <= prod (1 + beta_i (eta - 1)) sqrt(E d(x_N)^2).
It bounds the distance to the support, not to the data law: a sampler that collapses onto one atom has distance 0.

Source: derived; the only W2 claim that Theorem 4.2 of Permenter & Yuan supports. Measured by the exact transport solver
with its dual certificate.
"""

import math

import numpy as np

from exactdiffusion import Grid, PointCloud, Sphere, distances, samplers
from exactdiffusion.papers.projection.adversaries import ApproximateProjection
from exactdiffusion.statements import projection as bound

STATEMENT = bound.squared_w2_to_laws_on_set.statement
EPS = np.finfo(np.float64).eps
CAUSE = "rounding: 64 eps of the largest squared distance: rounding of the cost"


def clouds(rng):
    """Clouds, each with 60 points at distances of several sizes."""
    for m, n in ((2, 1), (5, 2), (30, 3), (40, 12)):
        yield PointCloud(rng.standard_normal((m, n))), rng.standard_normal((60, n)) * 10 ** rng.uniform(-0.5, 1, (60, 1))


def rounding(x):
    return 64 * EPS * np.max(np.sum(x**2, axis=1) + 10) * len(x)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_no_law_on_the_set_is_closer(check):
    """Random laws on K, near the best one and far from it, uniform ones, single atoms: none comes closer."""
    rng = np.random.default_rng(352)
    least, distance, tol = [], [], []
    for law, x in clouds(rng):
        index, d = law.nearest(x)
        m = len(law.points)
        best = np.bincount(index, minlength=m) / len(x)
        laws = [np.full(m, 1 / m), np.eye(m)[0], np.eye(m)[-1]]
        laws.extend(rng.dirichlet(np.full(m, a)) for a in (0.1, 1, 10) for _ in range(4))
        laws.extend((1 - t) * best + t * rng.dirichlet(np.ones(m)) for t in (1e-6, 1e-3, 0.1))
        for weights in laws:
            least.append(bound.squared_w2_to_laws_on_set(d))
            distance.append(distances.w2(x, law.points, None, weights / weights.sum()).squared)
            tol.append(rounding(x))
    check.holds(least, distance, tol=tol, cause=CAUSE, on=f"{len(least)} laws on four clouds")


def test_theorem_4_2_in_w2(check):
    """W2(law x_t, laws on K) <= prod (1 + beta (eta - 1)) sqrt(E d(x_N)^2), equality for the undershooting denoiser."""
    rng = np.random.default_rng(353)
    law = PointCloud(rng.standard_normal((40, 12)))
    x = law.points[rng.integers(0, 40, 60)] + 3 * rng.standard_normal((60, 12))
    N, eta, nu = 8, 0.3, 2.0
    beta = np.full(N, bound.beta_star(eta, nu, N))
    d = law.distance(x)
    sigma = d / math.sqrt(12) * np.cumprod([1, *(1 - beta)])[:, None]
    start = math.sqrt(bound.squared_w2_to_laws_on_set(d))

    rounded = {"tol": 1e-10, "cause": "rounding: of 8 steps, over distances above .1"}
    for strategy in ("under", "random", "adaptive"):
        oracle = ApproximateProjection(law, eta, nu, strategy, seed=1, band_rtol=1e-9)
        states = list(samplers.ddim(oracle, Grid(np.ones_like(sigma), sigma), x))
        assert oracle.exits == 0
        _, upper = bound.ddim_distance_sandwich(start, beta, eta)
        assert upper[-1] > 0.1

        # W2 to the law of the projections, by transport
        pushed = [np.bincount(law.nearest(s)[0], minlength=40) / 60 for s in states[1:]]
        reached = np.array([distances.w2(s, law.points, None, w).value for s, w in zip(states[1:], pushed)])
        check.holds(reached, upper, on=f"Theorem 4.2 in W2, adversary {strategy}", **rounded)
        if strategy == "under":
            check.tight(reached / upper, 1.0, on="Theorem 4.2 in W2, undershoot", **rounded)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained_by_the_projection(check):
    """W2 from the sample to the law of its projection, by the solver and its dual certificate; weighted samples too."""
    rng = np.random.default_rng(351)
    with (
        check.gather(on="8 cases", cause=CAUSE, kind="equal") as primal,
        check.gather(on="8 cases", cause=CAUSE + " and the duality gap", kind="equal") as dual,
    ):
        for law, x in clouds(rng):
            index, d = law.nearest(x)
            for weights in (None, rng.dirichlet(np.ones(len(x)))):
                pushed = np.bincount(index, weights=weights, minlength=len(law.points))
                result = distances.w2(x, law.points, weights, pushed / pushed.sum())
                expected = bound.squared_w2_to_laws_on_set(d, weights)
                tol, gap = rounding(x), result.squared - result.lower_squared
                primal("exact transport to the law of p(x)", result.squared, expected, tol=tol)
                dual("its dual certificate", result.lower_squared, expected, tol=tol + gap)

    # a curved set: the solver, and the library's function
    ball = Sphere(radius=1.3, dim=6, sphere_dim=3)
    x = rng.standard_normal((80, 6))
    expected, tol = bound.squared_w2_to_laws_on_set(ball.distance(x)), 1e3 * EPS
    check.equal(distances.w2(x, ball.project(x)).squared, expected, tol=tol, cause=CAUSE, on="S^2 in R^6, 80 points")
    check.equal(distances.w2_to_set(x, ball) ** 2, expected, tol=tol, cause=CAUSE, on="distances.w2_to_set")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    rng = np.random.default_rng(354)
    law = PointCloud(rng.standard_normal((40, 12)))
    x = law.points[rng.integers(0, 40, 60)] + 0.3 * rng.standard_normal((60, 12))
    least = bound.squared_w2_to_laws_on_set(law.distance(x))
    uniform = distances.w2(x, law.points).squared
    check.control("the minimum over laws on K (the uniform law)", uniform, least, tol=1e-9, on="60 points near 40 atoms")
    # a collapsed sampler: distance 0 to the support, far from the data law
    collapsed = np.repeat(law.points[:1], 60, axis=0)
    check.control(
        "laws on K (the data law in their place)",
        distances.w2(collapsed, law.points).squared,
        bound.squared_w2_to_laws_on_set(law.distance(collapsed)),
        tol=1e-9,
        on="every sample on one atom: E d^2 = 0",
    )
    # the mean of d, squared, is not enough
    d = law.distance(x * np.linspace(0, 4, 60)[:, None])
    check.control("E d^2 ((E d)^2)", bound.squared_w2_to_laws_on_set(d), np.mean(d) ** 2, tol=1e-9, on="unequal distances")
