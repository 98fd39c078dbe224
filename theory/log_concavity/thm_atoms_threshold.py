"""Exact threshold of affinely independent atoms (derived).

Suppose that

    (H1)  Z has finitely many atoms with positive weights, and the diameter D,
    (H2)  `edge` is the length of the longest exposed edge of their hull that carries no third atom.

Then the least noise variance from which on the law is log-concave obeys

    edge^2 / 4  <=  sigma*^2  <=  D^2 / 4,

so that sigma* = D/2 where the longest pair is an exposed edge: for affinely independent atoms always, whatever the weights.

Measured on a table of eleven clouds, on nine random simplices, and by certificates on a cube and on thirty random points in
space; witnesses at finite points, at infinity and in ball arithmetic.
"""

import itertools
import math

import mpmath
import numpy as np
import pytest

from exactdiffusion import PointCloud
from exactdiffusion.papers.log_concavity.certificates import (
    certify_log_concavity,
    covariance_supremum,
    exposed_pairs,
    largest_posterior_variance,
    log_concavity_threshold,
    rigorous_covariance,
)
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.atoms_threshold.statement
EPS = np.finfo(np.float64).eps


def ring(n):
    """The regular n-gon on the unit circle, (n, 2)."""
    return np.stack([np.cos(2 * np.pi * np.arange(n) / n), np.sin(2 * np.pi * np.arange(n) / n)], axis=1)


SQUARE = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
THREE = np.array([[-1.0], [0], [1]])
# cloud, weights, sigma*^2, R^2, D^2/4: equal weights unless given
TABLE = {
    "2 points": (np.array([[-1.0], [1]]), None, 1.0, 1.0, 1.0),
    "2 points, w = .01": (np.array([[-1.0], [1]]), [0.01, 0.99], 1.0, 1.0, 1.0),
    "-1, 0, 1": (THREE, None, 0.28312, 1.0, 1.0),
    "-1, 0, 1, w0 = .9": (THREE, [0.05, 0.9, 0.05], 0.25006, 1.0, 1.0),
    "5 equispaced": (np.linspace(-1, 1, 5)[:, None], None, 0.11134, 1.0, 1.0),
    "triangle": (ring(3), None, 0.75, 1.0, 0.75),
    "triangle, uneven": (ring(3), [0.7, 0.2, 0.1], 0.75, 1.0, 0.75),
    "square": (SQUARE, None, 1.0, 2.0, 2.0),
    "square, uneven": (SQUARE, [0.45, 0.05, 0.05, 0.45], 1.8, 2.0, 2.0),
    "8-gon": (ring(8), None, 0.5, 1.0, 1.0),
    "simplex of 5": (np.eye(5), None, 0.5, 0.8, 0.5),
}


def excess_in_40_digits(v):
    """The largest Var/v - 1 of 21 equispaced atoms on [-1, 1] over a grid of y; v is a decimal text."""
    with mpmath.workdps(40):
        v, best, atoms = mpmath.mpf(v), -mpmath.inf, [mpmath.mpf(i) / 10 for i in range(-10, 11)]
        for j in range(0, 40):  # the maximum lies near .044 and its mirror images; one spacing is .1
            y = mpmath.mpf(j) / 400
            weights = [mpmath.exp(-((y - atom) ** 2) / (2 * v)) for atom in atoms]
            total = mpmath.fsum(weights)
            mean = mpmath.fsum(w * atom for w, atom in zip(weights, atoms)) / total
            variance = mpmath.fsum(w * (atom - mean) ** 2 for w, atom in zip(weights, atoms)) / total
            best = max(best, variance / v - 1)
        return float(best)


def far_out(points, w, v, i, j):
    """A point far along a normal that exposes the pair (others at least 30 v below), with equal odds."""
    rest = np.delete(np.arange(len(points)), [i, j])
    rows = np.r_[points[rest] - points[i], (points[j] - points[i])[np.newaxis]]
    normal = np.linalg.lstsq(rows, np.r_[np.full(len(rest), -1.0), 0.0], rcond=None)[0]
    return (40 * v * normal * max(1.0, np.max(np.sum(points * points, 1)) / v))[np.newaxis]


def random_simplices():
    """Affinely independent atoms in R^2, R^3 and R^6 with random weights down to 1e-4."""
    rng = np.random.default_rng(66)
    for d in (2, 3, 6):
        for _ in range(3):
            points, w = rng.standard_normal((d + 1, d)), rng.dirichlet(np.full(d + 1, 0.5))
            yield points, (w + 1e-4) / np.sum(w + 1e-4)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_table(check, name):
    P, w, value, R2, half = TABLE[name]
    found = log_concavity_threshold(PointCloud(P, None if w is None else np.array(w)), certify=False)
    check.equal(found.lower, value, tol=5e-6, cause="printed digits: the table's digits", on=f"{name}: threshold")
    cause = "remainder: 1e-11: tolerance of the enclosing ball"
    on = f"{name}: bounds"
    check.equal([found.radius_squared, found.half_diameter_squared], [R2, half], tol=1e-11, cause=cause, on=on)
    low, high = bound.atoms_threshold(np.sqrt(4 * found.edge_squared), np.sqrt(4 * found.half_diameter_squared))
    check.holds([low, found.lower], [found.lower, high], tol=64 * EPS, cause="rounding: 64 eps", on=f"{name}: sandwich")


def test_21_equispaced_points_in_40_digits(check):
    """Var/v stays within 1e-14 of 1 over a wide range of y: the threshold .01732 shows in 40 digits, not in float64."""
    of, on = "the digits of an example, .0173", "v = .01730: a witness, Var/v - 1 = 9e-15"
    check.holds(1e-15, excess_in_40_digits("0.0173"), tol=0, cause="remainder: 40 digits", on=on, of=of)
    on = "v = .01732: none on the grid"
    check.holds(excess_in_40_digits("0.01732") + 1, 1.0, tol=0, cause="remainder: 40 digits", on=on, of=of)
    found = log_concavity_threshold(PointCloud(np.linspace(-1, 1, 21)[:, None]), certify=False)
    cause = "exact: the library claims a witness only above rounding"
    check.holds(found.lower, 0.01732, tol=0, cause=cause, on="21 points", of=of)


def test_certificates_in_space(check, deep):
    """The cube, whose longest pair is no edge, and thirty random points: brackets of one per cent, proved by cells.

    Numbers of cells: 38,075 for the cube, 60,299 for the points at 1.01 times 2.508, 13,809 for the simplex at 2.02. Every
    leaf again in ball arithmetic: with --deep (half a minute), here on the cube at 1.6.
    """
    cube = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    points = np.random.default_rng(30).standard_normal((30, 3))
    name = "certified within one per cent"
    for on, P in (("cube", cube), ("30 random points in space", points)):
        found = log_concavity_threshold(PointCloud(P), rtol=0.01)
        check.hypothesis(name, found.certified and found.upper_by == "certificate", on=on)
        low, high = bound.atoms_threshold(np.sqrt(4 * found.edge_squared), np.sqrt(4 * found.half_diameter_squared))
        check.holds([low, found.upper], [found.lower, high], tol=64 * EPS, cause="rounding: 64 eps", on=f"{on}: sandwich")
    lower, upper = (getattr(log_concavity_threshold(PointCloud(cube), rtol=0.01), side) for side in ("lower", "upper"))
    on = "cube: a product of three pairs, threshold 1"
    check.holds(
        [lower, 1.0], [1.0, upper], tol=64 * EPS, cause="rounding: 64 eps", on=on, of="the bracket of a known threshold"
    )

    pytest.importorskip("flint", reason="ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'")
    for on, P, v in [("cube", cube, 1.6)] + [("cube", cube, 1.01), ("30 random points", points, 2.5331)] * deep:
        proof = certify_log_concavity(PointCloud(P), v, keep_leaves=True)
        check.hypothesis(
            "certified in ball arithmetic", proof.recheck(), on=f"{on}, v = {v:g}: {len(proof.leaves[1])} cells"
        )


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_exact_when_affinely_independent(check):
    """Both sides agree, for random weights down to 1e-4; local ascent from finite points comes close from below."""
    low, high, finite, lower, upper = np.empty((5, 9))
    for k, (points, w) in enumerate(random_simplices()):
        found = log_concavity_threshold(PointCloud(points, w))
        low[k], high[k] = found.lower, found.upper

        # the posterior variance at a finite point, far along the normal of the witness's edge
        points = np.unique(points, axis=0)
        start = far_out(points, w, found.lower, *found.witness_at_infinity)
        finite[k] = covariance_supremum(points, w, found.lower, starts=start)[0] / found.lower

        longest = max(math.dist(a, b) for a, b in itertools.combinations(points, 2))  # every pair is an exposed edge
        lower[k], upper[k] = bound.atoms_threshold(longest, longest)

    cause = "rounding: 64 eps"
    check.equal(low, high, tol=64 * EPS * high, cause=cause, on="9 affinely independent clouds, random weights")
    check.tight(low / high, 1.0, tol=64 * EPS, cause=cause, on="sigma*^2 / (D^2/4), affinely independent")
    check.tight(low / lower, 1.0, tol=64 * EPS, cause=cause, on="sigma*^2 / (edge^2/4), affinely independent")
    check.tight(low / upper, 1.0, tol=64 * EPS, cause=cause, on="sigma*^2 / (longest pair^2/4)")
    of = "witnesses at finite points, which approach the edge and do not beat it"
    check.holds(finite, 1.0, tol=1e-12, cause="rounding: of the covariance", on="the same clouds", of=of)
    check.holds(0.98, finite, tol=0, cause="exact: a finite distance is enough", on="the same clouds", of=of)


def test_edge_lemma(check):
    """Along the exposed edge's normal the posterior variance tends to a quarter of the squared length."""
    w, v = np.array([0.1, 0.2, 0.3, 0.4]), 0.9
    cloud = PointCloud(SQUARE, w)
    i, j, square = exposed_pairs(SQUARE)[0]
    check.equal(square, 4.0, tol=0, cause="exact", on="square: the longest exposed pair is a side, not a diagonal")

    # points along the normal at which the two atoms have equal odds
    edge, normal = SQUARE[i] - SQUARE[j], 0.5 * (SQUARE[i] + SQUARE[j])
    odds = -np.log(w[i] / w[j]) * v / (edge @ edge)
    far = [largest_posterior_variance(cloud, (r * normal + odds * edge)[np.newaxis], v)[0] for r in (2.0, 5.0, 20.0)]

    cause = "remainder: exp(-2 r / v) at r = 20"
    check.tight(far[-1] / (square / 4), 1.0, tol=1e-9, cause=cause, on="side of the uneven square")
    gap, cause, of = np.abs(np.array(far) - square / 4), "remainder: exponential approach", "the speed of the lemma's limit"
    check.holds(gap[1:], 1e-2 * gap[:-1] + 64 * EPS, tol=0, cause=cause, on="r = 2, 5, 20", of=of)


def test_witness_in_ball_arithmetic(check):
    """A rigorous ball above the noise at the witness of -1, 0, 1 (needs python-flint)."""
    pytest.importorskip("flint", reason="ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'")
    found = log_concavity_threshold(PointCloud(THREE), certify=False)
    v = 0.2831
    ball = rigorous_covariance(THREE.tolist(), [1, 1, 1], v, [float(found.witness[0])])[0][0]
    assert ball > v  # a statement about every number of the ball
    cause = "exact: ball arithmetic"
    check.holds(v, float(ball.lower()), tol=0, cause=cause, on="-1, 0, 1 at v = .2831", of="a rigorous witness")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) edges that are none, and the longest edge as a bound from above."""
    found = log_concavity_threshold(PointCloud(THREE))
    check.control("no third atom on the edge", 1.0, found.upper, on="-1, 0, 1: the hull [-1, 1] as an edge")
    found = log_concavity_threshold(PointCloud(ring(8)))
    check.control("exposed (a diagonal of the 8-gon)", 1.0, found.upper, on="8-gon: longest pair as an edge")
    square = log_concavity_threshold(PointCloud(SQUARE, np.array([0.45, 0.05, 0.05, 0.45])), certify=False)
    check.control("the diameter (longest edge from above)", square.lower, square.edge_squared, tol=1e-9, on="uneven square")
