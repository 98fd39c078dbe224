"""Lemma 3.1: a normal offset that is shorter than the reach projects back.

Suppose that

    (H1)  K is closed with reach tau > 0, and x0 is in K,
    (H2)  v is in the normal cone of K at x0 (for a manifold: orthogonal to the tangent space),
    (H3)  |v| < tau.

Then

    p(x0 + v) = x0, the only nearest point,    and    d(x0 + v) = |v|.

The reach is the largest such constant: just beyond it an inward offset lands elsewhere.

Source: Federer, Curvature measures (1959), Theorem 4.8(12); it is Lemma 3.1 of Permenter & Yuan (recalled). Measured on
five manifolds of known reach, on finite sets (half the smallest distance) and on a subspace (infinite reach).
"""

import numpy as np

from exactdiffusion import PointCloud, Subspace
from exactdiffusion.statements import projection as bound

STATEMENT = bound.normal_offset.statement
EPS = np.finfo(np.float64).eps
FRACTIONS = (0.1, 0.9, 0.999, 0.999999)


def normal_offsets(m, x0, rng):
    """Unit normals: uniform in the normal space, and the inward normals of every block, where the reach is felt."""
    v = m.split(x0, rng.standard_normal(x0.shape))[1]
    yield "random normals", v / np.linalg.norm(v, axis=1, keepdims=True)
    for i in range(m.m):
        yield "inward normals", m.inward(x0, i)
    if m.m > 1:
        v = sum(m.inward(x0, i) for i in range(m.m))
        yield "inward normals", v / np.sqrt(m.m)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_projects_back(check, manifolds, deep):
    rng = np.random.default_rng(301)
    cause = "rounding: 16 eps |x0| tau/(tau - |v|): rounding times the Lipschitz constant of p"
    for name, m in manifolds.items():
        x0 = m.law.sample(2000 if deep else 200, rng)
        with check.gather(cause=cause, kind="equal") as sides:
            for kind, v in normal_offsets(m, x0, rng):
                for fraction in FRACTIONS:
                    offset = fraction * m.reach * v
                    p, d = bound.normal_offset(x0, offset, m.reach)
                    assert not np.any(np.isnan(p))

                    # rounding of x0 and x, divided by the room left below the reach: p is tau/(tau - |v|)-Lipschitz
                    tol = 16 * EPS * np.linalg.norm(x0, axis=1).max() / (1 - fraction)
                    error = np.linalg.norm(m.law.project(x0 + offset) - p, axis=1)
                    sides(f"p(x0 + v) = x0, {name}, {kind}, |v| .1 .. .999999 of the reach", error, 0.0, tol=tol)
                    sides(f"d(x0 + v) = |v|, {name}, {kind}", np.abs(m.law.distance(x0 + offset) - d), 0.0, tol=tol)


def test_finite_and_convex_sets(check):
    """Reach of a cloud: half its smallest distance, any direction is normal. Reach of a subspace: infinity."""
    rng = np.random.default_rng(302)
    worst = []
    for _ in range(60):
        points = rng.standard_normal((int(rng.integers(2, 40)), int(rng.integers(1, 10))))
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2) + np.where(np.eye(len(points)), np.inf, 0)
        reach = gaps.min() / 2
        i, j = np.unravel_index(gaps.argmin(), gaps.shape)

        # .9999 of the reach in random directions, and towards the nearest point: the worst direction
        v = rng.standard_normal(points.shape)
        v[i] = points[j] - points[i]
        v *= 0.9999 * reach / np.linalg.norm(v, axis=1, keepdims=True)
        off = PointCloud(points).project(points + v) - bound.normal_offset(points, v, reach)[0]
        worst.append(np.max(np.linalg.norm(off)))
    on = "60 clouds, |v| = .9999 reach, nearest direction included"
    check.equal(worst, 0.0, tol=0, cause="exact: atoms", on=on)

    # a subspace: any normal vector
    flat = Subspace(np.linalg.qr(rng.standard_normal((12, 3)))[0])
    x0 = flat.project(rng.standard_normal((500, 12)))
    v = rng.standard_normal((500, 12))
    v = 1e3 * (v - flat.project(v))
    error = np.linalg.norm(flat.project(x0 + v) - bound.normal_offset(x0, v, np.inf)[0], axis=1)
    check.equal(error, 0.0, tol=64 * EPS * 1e4, cause="rounding: 64 eps |v|", on="a subspace, |v| about 3,000")


def test_nothing_is_said_beyond_the_reach(check):
    """The lemma covers |v| < reach and no more: NaN from the reach on, and rows are judged one by one."""
    size = np.array([0.0, 0.5, 1.0 - EPS, 1.0, 1.0 + EPS, 3.0])
    base, distance = bound.normal_offset(np.ones((6, 2)), size[:, None] * np.array([[0.6, 0.8]]), 1.0)
    covered = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    for name, value in (("projection", base[:, 0]), ("distance", distance)):
        said = np.isfinite(value).astype(float)
        # .6 and .8 are rounded: |v| is within 2 eps of size, so the rows next to the reach may fall on either side
        clear = np.abs(size - 1) > 2 * EPS
        check.equal(said[clear], covered[clear], tol=0, cause="exact: a yes or no", on=f"{name}: said or not")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_the_reach_is_the_largest_constant(check, manifolds):
    """Bisection for the longest inward offset that still projects back."""
    rng = np.random.default_rng(303)
    ratios = []
    for m in manifolds.values():
        x0 = m.law.sample(1, rng)
        low, high = 0.0, 3.0 * m.reach
        for _ in range(60):
            middle = 0.5 * (low + high)
            back = np.linalg.norm(m.law.project(x0 + middle * m.inward(x0)) - x0) < 0.5 * m.reach
            low, high = (middle, high) if back else (low, middle)
        ratios.append(low / m.reach)
    cause, on = "rounding: 64 eps: rounding of x0 + v", "longest inward offset / reach, 5 manifolds"
    check.tight(ratios, 1.0, tol=64 * EPS, cause=cause, on=on)

    # a finite set: half of the distance of two points, to 1e-9
    points = rng.standard_normal((2, 7))
    offsets = [points[:1] + factor * (points[1] - points[0]) / 2 for factor in (1 - 1e-9, 1 + 1e-9)]
    back = [float(np.array_equal(PointCloud(points).project(x)[0], points[0])) for x in offsets]
    check.equal(back, [1.0, 0.0], tol=0, cause="exact: atoms", on="a pair, (1 -+ 1e-9) of half its distance")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, manifolds):
    """(H2) and (H3)."""
    rng = np.random.default_rng(304)
    beyond = {name: (m, m.law.sample(50, rng)) for name, m in manifolds.items()}

    # (H2) the offset is tangential
    m = manifolds["S^3 in R^20"]
    x0 = m.law.sample(50, rng)
    tangent = m.split(x0, rng.standard_normal(x0.shape))[0]
    error = np.linalg.norm(m.law.project(x0 + 0.5 * tangent / np.linalg.norm(tangent, axis=1, keepdims=True)) - x0, axis=1)
    check.control("v normal (a tangential one)", error, 0.0, tol=1e-9, on="S^3 in R^20, |v| = .5 reach")

    # (H3) the offset is 1.001 times the reach, inward: it lands at the antipode
    for name, (m, x0) in beyond.items():
        error = np.linalg.norm(m.law.project(x0 + 1.001 * m.reach * m.inward(x0)) - x0, axis=1)
        check.equal(error, 2 * m.reach, tol=1e-9, cause="rounding: at 1e-3 from the centre", on=f"the antipode, {name}")
        check.control("|v| < reach (1.001 of it, inward)", error, 0.0, tol=1e-9, on=name)
