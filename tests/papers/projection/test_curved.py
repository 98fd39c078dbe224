"""The curved sets and the search over the band against plain quadrature, brute force and known worst points."""

import math

import numpy as np
import pytest
from scipy.special import i0e, i1e
from scipy.stats import truncnorm

from exactdiffusion.papers.projection.curved import RevolutionTori, Stiefel, SwissRoll, worst_error

TORUS = RevolutionTori(1.0, 0.6, 7)
ROLL = SwissRoll(2.0, 2, 3.0, 5)


def surface(torus, count):
    """Points of one block on a grid of angles, (count^2, 3), and their areas."""
    a = 2 * np.pi * np.arange(count) / count
    a, b = (g.ravel() for g in np.meshgrid(a, a))
    radius = torus.major + torus.minor * np.cos(a)
    return np.stack([radius * np.cos(b), radius * np.sin(b), torus.minor * np.sin(a)], axis=1), radius


@pytest.mark.parametrize("sigma", [0.08, 0.5, 4.0])
def test_denoise(sigma, accuracy):
    """Against the periodic trapezoidal rule in both angles, at the centre of the hole and of the tube, too."""
    x = np.concatenate([np.random.default_rng(1).normal(0, 1, (6, 7)), np.zeros((1, 7)), [[1, 0, 0, 0.3, 0, 0, 0]]])
    atoms, area = surface(TORUS, 400)
    square = np.sum((x[:, None, :3] - atoms) ** 2, axis=2)
    weight = area * np.exp(-0.5 * (square - square.min(axis=1, keepdims=True)) / sigma**2)
    mean = weight @ atoms / weight.sum(axis=1, keepdims=True)
    found = TORUS.denoise(x, sigma)
    accuracy("papers.projection.curved.RevolutionTori.denoise", np.abs(found[:, :3] - mean), 1e-12, "rule in both angles")
    assert np.all(found[:, 3:] == 0)


def test_small_noise_is_the_projection():
    x = TORUS.project(np.random.default_rng(2).normal(0, 1, (20, 7))) + 0.1 * np.random.default_rng(3).normal(0, 1, (20, 7))
    errors = [np.max(np.linalg.norm(TORUS.denoise(x, s) - TORUS.project(x), axis=1)) for s in (1e-3, 1e-4)]
    assert errors[1] / errors[0] == pytest.approx(1e-2, rel=0.02)  # of order sigma^2


def test_project_and_distance(accuracy):
    """Against the nearest point of a grid, which is off by half a cell at most."""
    x = np.random.default_rng(4).normal(0, 1, (30, 7))
    atoms, _ = surface(TORUS, 600)
    square = np.min(np.sum((x[:, None, :3] - atoms) ** 2, axis=2), axis=1) + np.sum(x[:, 3:] ** 2, axis=1)
    cell = np.pi / 600 * math.hypot(1.6, 0.6)
    error = np.sqrt(square) - TORUS.distance(x)
    assert np.all(error > -1e-12)
    accuracy("papers.projection.curved.RevolutionTori.distance", error, cell, "nearest point of a grid")
    accuracy(
        "papers.projection.curved.RevolutionTori.project",
        np.abs(np.linalg.norm(x - TORUS.project(x), axis=1) - TORUS.distance(x)),
        1e-14,
        "its distance",
    )


def test_blocks_are_independent():
    """Two blocks with two denoisers side by side, one level per row."""
    x, sigma = np.random.default_rng(5).normal(0, 1, (4, 8)), np.array([0.1, 0.3, 1.0, 2.0])
    both, one = RevolutionTori(1.0, 0.6, 8, 2), RevolutionTori(1.0, 0.6, 3)
    for start in (0, 3):
        part = slice(start, start + 3)
        assert np.array_equal(both.denoise(x, sigma)[:, part], one.denoise(x[:, part], sigma))
        assert np.array_equal(both.project(x)[:, part], one.project(x[:, part]))


def test_worst_error_against_a_grid(accuracy):
    """Below the hole's level, on a fine grid of the half-plane: the ascent is no worse, and it is attained by its point."""
    n, nu, level = 16, 1.2, 0.6
    law = RevolutionTori(1.0, 0.6, n)
    sigma = level * law.reach / math.sqrt(n)
    low, high = level * law.reach / nu, level * law.reach * nu
    found = worst_error(law, sigma, nu)

    def eta(q, z):
        radius, height = law._mean(q, z, np.full(q.shape, sigma))
        nearest = law._nearest(q, z)
        error = np.hypot(radius - nearest[0], height - nearest[1])
        return np.where(nearest[2] <= high, error / np.maximum(nearest[2], low), 0.0)

    q, z = (g.ravel() for g in np.meshgrid(np.linspace(0, 2, 161), np.linspace(0, 1, 81)))
    assert found.eta >= eta(q, z).max() * (1 - 1e-3)
    error = np.abs(eta(np.abs(found.point[:, 0]), found.point[:, 1])[0] / found.eta - 1)
    accuracy("papers.projection.curved.worst_error", error, 1e-9, "the error at its own point")


# -- pairs of orthonormal vectors ------------------------------------------------------------------------------------------


def two_circles(x, sigma):
    """The denoiser of O(2): rotations and reflections are circles of radius sqrt 2 in two orthogonal planes of R^4."""
    basis = np.array([[1, 0, 0, 1], [0, -1, 1, 0], [1, 0, 0, -1], [0, 1, 1, 0]]) / math.sqrt(2)
    plane = (x[:, :4] @ basis.T).reshape(-1, 2, 2)
    q = np.linalg.norm(plane, axis=2)
    kappa = math.sqrt(2) * q / sigma**2
    log_weight = np.log(i0e(kappa)) + kappa
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = plane * (math.sqrt(2) * weight * i1e(kappa) / i0e(kappa) / q)[:, :, None]
    return mean.reshape(-1, 4) @ basis


def rotations(count):
    """Nodes of a product rule for pairs of orthonormal vectors of R^3, (count^3, 6), and their weights."""
    height, weight = np.polynomial.legendre.leggauss(count)
    angle = 2 * np.pi * np.arange(count) / count
    h, a, b = (g.ravel() for g in np.meshgrid(height, angle, angle, indexing="ij"))
    r, zero = np.sqrt(1 - h**2), np.zeros_like(h)
    u = np.stack([r * np.cos(a), r * np.sin(a), h], axis=1)
    east = np.stack([-np.sin(a), np.cos(a), zero], axis=1)
    v = np.cos(b)[:, None] * east + np.sin(b)[:, None] * np.cross(u, east)
    return np.stack([u, v], axis=2).reshape(-1, 6), np.repeat(weight, count**2)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 3.0])
def test_orthogonal_group(sigma, accuracy):
    x = np.random.default_rng(6).normal(0, 1, (20, 6))
    found = Stiefel(2, 6).denoise(x, sigma)
    error = np.abs(found[:, :4] - two_circles(x, sigma))
    accuracy("papers.projection.curved.Stiefel.denoise", error, 4e-15, "two circles in closed form")
    assert np.all(found[:, 4:] == 0)


@pytest.mark.parametrize("sigma", [0.5, 4.0])
def test_rotations(sigma, accuracy):
    """Also at a matrix of rank one, where the nearest pair is not unique, and at 0."""
    atoms, area = rotations(48)
    x = np.concatenate([np.random.default_rng(7).normal(0, 1, (4, 6)), np.eye(6)[:1], np.zeros((1, 6))])
    exponent = x @ atoms.T / sigma**2
    weight = area * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    mean = weight @ atoms / weight.sum(axis=1, keepdims=True)
    error = np.abs(Stiefel(3, 6).denoise(x, sigma) - mean)
    accuracy("papers.projection.curved.Stiefel.denoise", error, 1e-13, "product rule over the rotations")


def test_nearest_pair(accuracy):
    """No pair of random pairs is nearer, the projection is a pair at the stated distance, and ties begin at distance 1."""
    rng, law = np.random.default_rng(8), Stiefel(3, 7)
    x = rng.normal(0, 1, (30, 7))
    p = law.project(x)
    frame = p[:, :6].reshape(-1, 3, 2)
    gram = np.abs(np.swapaxes(frame, 1, 2) @ frame - np.eye(2))
    accuracy("papers.projection.curved.Stiefel.project", gram, 2e-15, "orthonormality")
    distance = law.distance(x)
    error = np.abs(np.linalg.norm(x - p, axis=1) - distance)
    accuracy("papers.projection.curved.Stiefel.distance", error, 4e-15, "distance from the projection")
    atoms, _ = rotations(24)
    others = np.sqrt(np.sum((x[:, None, :6] - atoms) ** 2, axis=2) + x[:, 6:] ** 2)
    assert np.all(others >= distance[:, None] - 1e-12)
    middle = np.zeros((1, 7))
    middle[0, 0] = law.reach
    turned = np.linalg.norm(atoms - middle[:, :6], axis=1)
    assert law.distance(middle)[0] == law.reach
    assert np.sum(turned < 1 + 1e-2) > 10  # (e_1, v) for every v


# -- the Swiss roll --------------------------------------------------------------------------------------------------------


def sheet(panels):
    """Gauss nodes on the curve, (8 panels, 2), and their lengths."""
    start, stop = ROLL._ends
    node, weight = np.polynomial.legendre.leggauss(8)
    t = start + (stop - start) / panels * (np.arange(panels)[:, None] + 0.5 + 0.5 * node).ravel()
    points = np.stack([np.cos(t) + t * np.sin(t), np.sin(t) - t * np.cos(t)], axis=1) / np.pi
    return points, np.tile(weight, panels) * t


@pytest.mark.parametrize("sigma", [0.1, 0.5, 4.0, 50.0])
def test_denoise_on_the_roll(sigma, accuracy):
    """Plain rule of 4000 nodes along the curve, and the truncated normal law over the width; also inside the circle."""
    x = np.concatenate([np.random.default_rng(9).normal(0, 3, (20, 5)), np.zeros((1, 5)), [[0.1, 0.2, 1.0, 0, 0]]])
    curve, length = sheet(500)
    square = np.sum((x[:, None, :2] - curve) ** 2, axis=2)
    weight = length * np.exp(-0.5 * (square - square.min(axis=1, keepdims=True)) / sigma**2)
    plane = weight @ curve / weight.sum(axis=1, keepdims=True)
    height = truncnorm.mean(-x[:, 2] / sigma, (3.0 - x[:, 2]) / sigma, loc=x[:, 2], scale=sigma)
    found = ROLL.denoise(x, sigma)
    error = np.abs(found[:, :2] - plane)
    accuracy("papers.projection.curved.SwissRoll.denoise", error, 1e-12, "plain rule along the curve")
    # truncnorm subtracts densities, whose exponents round: it loses sigma / width of its digits, and (x / sigma)^2 / 2
    limit = 1e-12 * max(1.0, sigma**2) + 2.0**-50 * (x[:, 2] / sigma) ** 2
    accuracy("papers.projection.curved.SwissRoll.denoise", np.abs(found[:, 2] - height), limit, "truncated normal law")


def test_nearest_point_of_the_roll(accuracy):
    """Against the nodes of a rule at most .0035 apart: the nearest one is off by half of it along a curve of radius >= 2."""
    x = np.random.default_rng(10).normal(0, 3, (60, 5))
    curve = np.concatenate([sheet(4000)[0], ROLL._curve(np.array(ROLL._ends))])
    plane = np.sqrt(np.min(np.sum((x[:, None, :2] - curve) ** 2, axis=2), axis=1))
    outside = np.maximum(np.maximum(-x[:, 2], x[:, 2] - 3.0), 0.0)
    error = plane**2 + outside**2 + np.sum(x[:, 3:] ** 2, axis=1) - ROLL.distance(x) ** 2
    assert np.all(error > -1e-11)
    limit = 0.00175**2 * (1 + plane / 2)
    accuracy("papers.projection.curved.SwissRoll.distance", error, limit, "nearest node of a fine rule, squared")
    p = ROLL.project(x)
    # rounding of the angle, up to 6 pi, times the speed of the curve there, 6
    accuracy("papers.projection.curved.SwissRoll.project", ROLL.distance(p), 5e-14, "distance of the projection")


def test_turns_are_one_gap_apart():
    """Half-way between two turns the nearest point is not unique; 1e-9 to either side it is on either turn."""
    t = np.linspace(*ROLL._ends, 9)[:5]
    outward = np.stack([np.sin(t), -np.cos(t)], axis=1)
    sides = []
    for step in (1 - 1e-9, 1 + 1e-9):
        x = np.zeros((5, 5))
        x[:, :2], x[:, 2] = ROLL._curve(t) + ROLL.reach * step * outward, 1.5
        sides.append(ROLL.project(x))
        assert ROLL.distance(x) == pytest.approx(ROLL.reach, rel=2e-9)
    assert np.linalg.norm(sides[0] - sides[1], axis=1) == pytest.approx(ROLL.gap)


# -- the reach -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [Stiefel(2, 4), ROLL], ids=["O(2)", "roll"])
def test_projection_jumps_no_nearer_than_the_reach(law):
    """Segments between points, halved to where the projection jumps, on the sets whose ties have codimension one."""
    rng = np.random.default_rng(11)
    one = law.project(rng.normal(0, 3, (4000, law.dim)))
    two = law.project(one + law.reach * rng.normal(0, 2, one.shape))
    first, second = law.project(one), law.project(two)
    for _ in range(45):
        middle = 0.5 * (one + two)
        found = law.project(middle)
        left = (np.linalg.norm(found - first, axis=1) < np.linalg.norm(found - second, axis=1))[:, None]
        one, two = np.where(left, middle, one), np.where(left, two, middle)
        first, second = np.where(left, found, first), np.where(left, second, found)
    jumps = np.linalg.norm(first - second, axis=1) > 1e-3
    distance = law.distance(one[jumps])
    assert len(distance) > 50
    assert np.min(distance) >= law.reach * (1 - 1e-9)
    assert np.min(distance) <= law.reach * 1.1


# -- the search ------------------------------------------------------------------------------------------------------------


def test_worst_error_of_pairs_against_a_grid():
    """Below the bottleneck's level, on a grid of singular values."""
    n, nu, level = 16, 1.2, 0.6
    law = Stiefel(2, n)
    sigma = level / math.sqrt(n)
    s = np.stack(np.meshgrid(np.linspace(0.2, 2, 73), np.linspace(0.2, 2, 73)), axis=-1).reshape(-1, 1, 2)
    error, square = (a[:, 0] for a in law._squares(s, sigma))
    eta = np.where(square <= (level * nu) ** 2, np.sqrt(error / np.maximum(square, (level / nu) ** 2)), 0.0)
    found = worst_error(law, sigma, nu)
    assert eta.max() * (1 - 1e-3) <= found.eta <= eta.max() * 1.02  # a cell of the grid


def test_edges_keep_eta():
    """At a corner of the sheet both coordinates are off by sigma sqrt(2 / pi), the mean of a half-normal law."""
    found = worst_error(SwissRoll(2.0, 2, 3.0, 64), 1e-3 / 8, 1.2, starts=12)
    assert found.eta == pytest.approx(
        2 * 1.2 / math.sqrt(64 * math.pi), rel=2e-4
    )  # the curvature adds a share of order sigma


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("major", lambda: RevolutionTori(0.5, 0.6, 5)),
        ("dim", lambda: RevolutionTori(1.0, 0.6, 5, 2)),
        ("sigma", lambda: TORUS.denoise(np.zeros((1, 7)), 0.0)),
        ("x", lambda: TORUS.project(np.zeros((1, 6)))),
        ("sigma", lambda: ROLL.denoise(np.zeros((2, 5)), [0.1, 0.2, 0.3])),
        ("sigma", lambda: worst_error(ROLL, 1e-9, 1.2)),
        ("x", lambda: ROLL.distance(np.full((1, 5), 1e101))),
        ("nu", lambda: worst_error(TORUS, 0.1, 0.9)),
        ("law", lambda: worst_error(RevolutionTori(1.0, 0.6, 3), 0.1, 1.2)),
        ("law", lambda: worst_error(Stiefel(2, 4), 0.1, 1.2)),
        ("frame", lambda: Stiefel(1, 4)),
        ("dim", lambda: Stiefel(3, 5)),
        ("gap", lambda: SwissRoll(0.0, 2, 3.0, 5)),
        ("turns", lambda: SwissRoll(1.0, 0, 3.0, 5)),
        ("width", lambda: SwissRoll(1.0, 2, -3.0, 5)),
    ],
)
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()
