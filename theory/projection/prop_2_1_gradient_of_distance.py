"""Proposition 2.1: the gradient of the distance points away from the projection.

Let f = d^2 / 2. Suppose that

    (H1)  K is closed,
    (H2)  p(x) is the only nearest point of x, which it is for almost every x,
    (H3)  x is not in K (for the gradient of d).

Then

    grad f(x)  =  d(x) grad d(x)  =  x - p(x),        |grad d(x)| = 1.

Source: Proposition 2.1 of Permenter & Yuan (seen in the authors' material). "Almost every" is meant in Lebesgue measure:
on a half-integer grid over an integer lattice most points are ties. Measured by differences of d and f on six families of
closed sets; the convexity of |x|^2 / 2 - f, of which the proof consists, is measured too.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp

from exactdiffusion import PointCloud
from exactdiffusion.statements import projection as bound

STATEMENT = bound.distance_gradient.statement
EPS = np.finfo(np.float64).eps
FAMILIES = (
    "200 points in R^50",
    "ring of 8 in the plane",
    "digits",
    "sphere S^3 in R^20",
    "subspace of R^12",
    "torus T^4 in R^30",
)


def points_off(law, rng, n, h):
    """Random points at d > 0.05 whose nearest point is unique by a margin that steps of size 2h cannot close."""
    x = rng.standard_normal((n, law.dim)) * rng.uniform(0.5, 3, (n, 1))
    keep = law.distance(x) > 0.05
    if hasattr(law, "gap"):
        keep &= law.gap(x) > max(1e-3, 8 * h)
    return x[keep]


def central_differences(function, x, h):
    """Central differences along every axis, (n, dim)."""
    n, dim = x.shape
    steps = h * np.eye(dim)
    plus = function((x[:, None] + steps).reshape(-1, dim)).reshape(n, dim)
    minus = function((x[:, None] - steps).reshape(-1, dim)).reshape(n, dim)
    return (plus - minus) / (2 * h)


@dataclass(frozen=True)
class Differences:
    """A gradient by Richardson extrapolation of central differences, and its error; both of shape (n, dim)."""

    value: np.ndarray
    error: np.ndarray


def gradient(law, function, x, size, h=1e-4):
    """Steps h and 2h; the error is the truncation estimate and the rounding of values of the given size, (n,)."""
    coarse, fine = central_differences(function, x, 2 * h), central_differences(function, x, h)
    rounded = 16 * EPS * (np.linalg.norm(x, axis=1) * np.maximum(law.distance(x), 1) + size) / h
    return Differences(fine + (fine - coarse) / 3, np.abs(fine - coarse) / 3 + rounded[:, None])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_gradient_by_differences(check, closed_sets, name, deep):
    law = closed_sets[name]
    rng = np.random.default_rng([21, FAMILIES.index(name)])
    x = points_off(law, rng, 200 if deep else 20, 1e-4)
    if hasattr(law, "gap"):
        unique = bound.projection_is_unique(law.gap(x), law.distance(x))
        check.hypothesis("p(x) unique, by a margin of 1e-3", unique, on=name)

    of_f = gradient(law, lambda y: 0.5 * law.distance(y) ** 2, x, law.distance(x) ** 2)
    of_d = gradient(law, law.distance, x, law.distance(x))
    expected_f, expected_d = bound.distance_gradient(x, law.project(x))
    cause = "remainder: Richardson: difference of the steps h and 2h, plus rounding 16 eps |x| max(d, 1) / h"
    check.equal(of_f.value, expected_f, tol=of_f.error, cause=cause, on=f"gradient of d^2/2, {name}")
    check.equal(of_d.value, expected_d, tol=of_d.error, cause=cause, on=f"gradient of d, {name}")
    length, tol = np.linalg.norm(of_d.value, axis=1), np.linalg.norm(of_d.error, axis=1)
    check.equal(length, 1.0, tol=tol, cause=cause, on=f"|grad d| = 1, {name}")

    # the differences themselves are sharp: a tolerance that swallowed the claim would show here
    assert np.max(np.maximum(of_f.error, of_d.error)) < 1e-5


def test_almost_every_point_is_unique(check):
    lattice = PointCloud(np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2))
    rng = np.random.default_rng(23)
    gap = lattice.gap(2 + 2 * rng.standard_normal((100_000, 2)))
    check.hypothesis(
        "unique projection", gap > 0, on="100,000 Gaussian draws, 5 x 5 lattice", value=f"smallest gap {gap.min():.1e}"
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_convexity_behind_it(check, closed_sets, name):
    """g = |x|^2/2 - f is convex; written with nonnegative sides: (f(x) + f(y))/2 <= f((x + y)/2) + |x - y|^2/8."""
    law = closed_sets[name]
    rng = np.random.default_rng([22, FAMILIES.index(name)])
    x, y = (rng.standard_normal((400, law.dim)) * rng.choice([0.3, 1, 10], (400, 1)) for _ in range(2))
    f = lambda z: 0.5 * law.distance(z) ** 2  # noqa: E731
    square = np.sum((x - y) ** 2, axis=1)
    tol = 32 * EPS * law.dim * (np.sum(x**2, axis=1) + np.sum(y**2, axis=1) + 10)
    cause = "rounding: 32 eps n (|x|^2 + |y|^2 + 10): rounding of squares, the points of K have |p|^2 <= 10"
    if name == "digits":
        tol, cause = tol * 8, cause.replace("10", "80")
    check.holds((f(x) + f(y)) / 2, f((x + y) / 2) + square / 8, tol=tol, cause=cause, on=f"convexity of g, {name}")
    near = x + 1e-3 * y
    if hasattr(law, "gap"):  # one Voronoi cell: g is affine there, and the inequality an equality
        same = law.gap(x) > 2.5e-3 * np.linalg.norm(y, axis=1)
        same &= np.linalg.norm(y, axis=1) > 0.1
        left = (f(x) + f(near)) / 2
        right = f((x + near) / 2) + np.sum((x - near) ** 2, axis=1) / 8
        check.equal(left[same] / right[same], 1.0, tol=1e3 * EPS, cause="rounding", on=f"inside one Voronoi cell, {name}")


def test_gradient_in_voronoi_cells_sympy(check):
    """Two and three atoms in the plane, symbolically: gradient in every cell, unit length, jump across the bisector."""
    x = sp.Matrix(sp.symbols("x1 x2", real=True))
    atoms = [sp.Matrix(sp.symbols(f"a{i} b{i}", real=True)) for i in range(3)]
    grad = lambda expression: sp.Matrix([sp.diff(expression, v) for v in x])  # noqa: E731
    results = []
    for a in atoms:
        f = (x - a).dot(x - a) / 2
        results.append(sp.simplify(grad(f) - (x - a)) == sp.zeros(2, 1))
        grad_d = grad(sp.sqrt(2 * f))
        results.append(sp.simplify(grad_d.dot(grad_d)) == 1)
        results.append(sp.simplify(sp.sqrt(2 * f) * grad_d - (x - a)) == sp.zeros(2, 1))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        jump = grad((x - atoms[i]).dot(x - atoms[i]) / 2) - grad((x - atoms[j]).dot(x - atoms[j]) / 2)
        results.append(sp.simplify(jump - (atoms[j] - atoms[i])) == sp.zeros(2, 1))
        # f_i - f_j is affine with that gradient: the bisector is its zero set, so the jump is normal to it
        affine = sp.expand(((x - atoms[i]).dot(x - atoms[i]) - (x - atoms[j]).dot(x - atoms[j])) / 2)
        results.append(all(sp.degree(affine, v) <= 1 for v in x) and sp.simplify(grad(affine) - jump) == sp.zeros(2, 1))
    check.equal(np.array(results, float), 1.0, tol=0, cause="exact: SymPy", on=f"{len(results)} identities, 2 and 3 atoms")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) at a tie, on a set of positive measure, and d in the place of f."""
    # (H2) the middle of two atoms: the one-sided derivatives of f along e1 are -1 and 1
    pair = PointCloud(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    x, h = np.array([[0.0, 0.3]]), 1e-6
    f = lambda y: float(0.5 * pair.distance(y)[0] ** 2)  # noqa: E731
    step = np.array([[h, 0.0]])
    right, left = (f(x + step) - f(x)) / h, (f(x) - f(x - step)) / h
    cause = "remainder: one-sided difference: h/2 |f''|, plus rounding eps/h"
    check.equal([right, left], [-1.0, 1.0], tol=h, cause=cause, on="one-sided derivatives at a tie, (+-1, 0)")
    claimed = bound.distance_gradient(x, pair.project(x))[0][0, 0]
    off = max(abs(right - claimed), abs(left - claimed))
    check.control("unique projection (middle of two atoms)", off, 0.0, tol=h, on="the pair")

    # (H2) "almost every": on a half-integer grid 56 of 81 points of the lattice's square are ties
    lattice = PointCloud(np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2))
    half = np.stack(np.meshgrid(np.arange(0, 4.5, 0.5), np.arange(0, 4.5, 0.5)), axis=-1).reshape(-1, 2)
    ties = np.mean(lattice.gap(half) == 0)
    check.equal(ties, 56 / 81, tol=0, cause="exact: counted", on="share of ties, half-integer grid over a 5 x 5 lattice")
    check.control("'almost every' x (a half-integer grid)", ties, 0.0, on="share of ties, 5 x 5 lattice")

    # f, not d: the gradient of d is not x - p
    x = np.array([0.0, 3.0]) + np.random.default_rng(24).random((20, 2))
    off = np.abs(central_differences(pair.distance, x, 1e-4) - (x - pair.project(x)))
    check.control("f = d^2/2 (d in its place)", off, 0.0, tol=1e-6, on="the pair, d about 3")
