"""The tori of revolution and the search over the band against plain quadrature, brute force and known worst points."""

import math

import numpy as np
import pytest

from exactdiffusion.papers.projection.curved import RevolutionTori, worst_error

TORUS = RevolutionTori(1.0, 0.6, 7)


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
    error = np.abs(eta(found.q, found.z)[0] / found.eta - 1)
    accuracy("papers.projection.curved.worst_error", error, 1e-9, "the error at its own point")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("major", lambda: RevolutionTori(0.5, 0.6, 5)),
        ("dim", lambda: RevolutionTori(1.0, 0.6, 5, 2)),
        ("sigma", lambda: TORUS.denoise(np.zeros((1, 7)), 0.0)),
        ("x", lambda: TORUS.project(np.zeros((1, 6)))),
        ("nu", lambda: worst_error(TORUS, 0.1, 0.9)),
        ("law", lambda: worst_error(RevolutionTori(1.0, 0.6, 3), 0.1, 1.2)),
    ],
)
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()
