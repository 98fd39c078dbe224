"""The projection is constant on the segment to it.

Let y = p(x) + theta (x - p(x)). Suppose that

    (H1)  K is closed and p(x) is a nearest point of x,
    (H2)  0 < theta < 1, or theta = 1 and p(x) is unique.

Then

    p(y) = p(x), the only nearest point,        d(y) = theta d(x),        grad d(y) = (x - p(x)) / d(x) off K.

Neither theta > 1 (another point may be nearer) nor theta < 0 (past p) is covered; a tie at x itself is harmless.

Source: Section 5 and slide 19 of Permenter & Yuan, where it justifies gradient estimation; proved in the docstring of
`segment_invariance`. Measured on all families of closed sets, theta down to 1e-3.
"""

import numpy as np

from exactdiffusion import PointCloud
from exactdiffusion.statements import projection as bound

STATEMENT = bound.segment_invariance.statement
EPS = np.finfo(np.float64).eps
THETAS = (1.0, 0.9, 0.5, 0.1, 1e-2, 1e-3)


def instances(law, rng, n):
    x = rng.standard_normal((n, law.dim)) * 10 ** rng.uniform(-1, 2, (n, 1))
    return x[law.distance(x) > 1e-2]


def condition_of_projection(law, x, h=1e-6):
    """Size of the derivative of p at x, by differences in 8 random directions (a lower estimate), times 8 for the rest."""
    rng = np.random.default_rng(0)
    best = np.ones(len(x))
    for _ in range(8):
        u = rng.standard_normal(x.shape)
        u *= h / np.linalg.norm(u, axis=1, keepdims=True)
        best = np.maximum(best, np.linalg.norm(law.project(x + u) - law.project(x - u), axis=1) / (2 * h))
    return 8 * best


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_equalities(check, closed_sets, deep):
    rng = np.random.default_rng(25)
    for name, law in closed_sets.items():
        x = instances(law, rng, 2000 if deep else 120)
        p = law.project(x)
        normal = bound.distance_gradient(x, p)[1]
        if hasattr(law, "gap"):
            check.hypothesis("p(x) unique (needed at theta = 1 only)", law.gap(x) > 0, on=name)

        # sphere and torus: a coordinate block at distance r from its centre conditions p by R/r
        condition = 1.0 if hasattr(law, "gap") or name.startswith("subspace") else condition_of_projection(law, x)
        tol = 32 * EPS * (np.linalg.norm(x, axis=1) + np.linalg.norm(p, axis=1)) * condition
        on, cause = f"{name}, theta = 1 .. 1e-3", "rounding: 32 eps (|x| + |p|) times the condition of p at x: rounding of y"
        with (
            check.gather(on=on, cause=cause, kind="equal") as sides,
            check.gather(on=on, cause=cause + ", over d(y)", kind="equal") as relative,
        ):
            for theta in THETAS:
                y, d = bound.segment_invariance(x, p, theta)
                q = law.project(y)
                turned = np.linalg.norm(bound.distance_gradient(y, q)[1] - normal, axis=1)
                sides("p(y) = p(x)", np.linalg.norm(q - p, axis=1), 0.0, tol=tol)
                sides("d(y) = theta d(x)", law.distance(y), d, tol=tol)
                relative("grad d(y) = grad d(x)", turned, 0.0, tol=4 * tol / d)


def test_a_tie_is_harmless_inside_the_segment(check):
    """x may be a tie: any nearest point is the unique projection of the open segment to it."""
    pair = PointCloud(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    x = np.stack([np.zeros(9), np.linspace(-4, 4, 9)], axis=1)
    gaps, moved = [], []
    for p in pair.points:
        for theta in THETAS[1:]:
            y, _ = bound.segment_invariance(x, p[None], theta)
            gaps.append(pair.gap(y))
            moved.append(np.linalg.norm(pair.project(y) - p, axis=1))
    check.hypothesis("p(y) unique", np.ravel(gaps) > 0, on="the open segments from 9 ties")
    check.equal(moved, 0.0, tol=0, cause="exact: an atom", on="p(y) = p, the open segments from 9 ties")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    rng = np.random.default_rng(26)
    cloud = PointCloud(rng.standard_normal((50, 2)))
    x = 1.5 * rng.standard_normal((2000, 2))
    p = cloud.project(x)
    for theta, dropped in ((1.5, "theta <= 1 (theta = 1.5, moving away)"), (-0.5, "theta > 0 (theta = -0.5, past p)")):
        y, _ = bound.segment_invariance.formula(x, p, theta)
        moved = np.linalg.norm(cloud.project(y) - p, axis=1)
        check.control(
            dropped,
            moved,
            0.0,
            on="50 points in the plane",
            detail=f"p changes in {100 * np.mean(moved > 0):.1f} % of cases",
        )
