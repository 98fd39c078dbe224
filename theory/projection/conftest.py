"""Instances that several files share: ties, manifolds of known reach with the noise split at them, near sets."""

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pytest

from exactdiffusion import PointCloud, Sphere, Torus, datasets, samplers, schedules
from exactdiffusion.statements import projection as bound

EPS = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Tie:
    """A point ``middle`` (n,) with two nearest points ``first`` and ``second`` in the closed set ``law``."""

    law: object
    middle: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @property
    def sides(self):
        return self.first, self.second

    @cached_property
    def distance(self):
        """D, the distance of the tie from the set."""
        return self.law.distance(self.middle[None])[0]

    @cached_property
    def apart(self):
        """|p1 - p2|."""
        return np.linalg.norm(self.first - self.second)

    @cached_property
    def sigma(self):
        """The noise level at the centre of the band, D / sqrt(n)."""
        return self.distance / math.sqrt(self.law.dim)

    def towards(self, p, offset):
        """The point at ``offset`` times D from the tie towards its projection p, (1, n)."""
        return (self.middle + offset * (p - self.middle))[None]


def closest_pair(points):
    """The two points nearest to each other: 32 candidates by expanded squares, the winner by exact differences."""
    squares = np.sum(points**2, axis=1)
    i, j = np.triu_indices(len(points), 1)
    table = (squares[:, None] + squares[None, :] - 2 * points @ points.T)[i, j]
    order = np.argpartition(table, min(31, len(table) - 1))[:32]
    i, j = i[order], j[order]
    best = np.argmin(np.sum((points[i] - points[j]) ** 2, axis=1))
    return points[i[best]], points[j[best]]


@cache
def pair_of_digits():
    return closest_pair(datasets.digits())


@pytest.fixture(scope="session")
def ties():
    """``ties(rng, clouds)``: name -> Tie. Closest pairs of ``clouds`` random clouds and three more, centres of circles."""

    def make(rng, clouds):
        # the middle of the closest pair of a cloud
        families = {"pair {0, 1}": np.array([[0.0], [1.0]]), "200 points in R^50": rng.standard_normal((200, 50))}
        for i in range(clouds):
            families[f"cloud {i}"] = rng.standard_normal((int(rng.integers(2, 40)), int(rng.integers(1, 12))))
        pairs = {name: closest_pair(points) for name, points in families.items()}
        families["digits"], pairs["digits"] = datasets.digits(), pair_of_digits()
        found = {name: Tie(PointCloud(families[name]), (p + q) / 2, p, q) for name, (p, q) in pairs.items()}

        # the centre of a sphere, and of a circle of a torus
        sphere, pole = Sphere(radius=1.5, dim=8, sphere_dim=3), np.eye(8)[1] * 1.5
        torus, base, shift = Torus(radii=(1.0, 0.6), dim=6), np.eye(6)[0], 0.6 * np.eye(6)[3]
        found["centre of S^2 in R^8"] = Tie(sphere, np.zeros(8), pole, -pole)
        found["a circle's centre, T^2 in R^6"] = Tie(torus, base, base + shift, base - shift)
        return found

    return make


@dataclass(frozen=True)
class Manifold:
    """Product of m spheres of R^k in the first m k coordinates of R^n; ``law`` projects and samples."""

    law: object
    m: int
    k: int

    @property
    def reach(self):
        return self.law.reach

    @property
    def dimension(self):
        return self.m * (self.k - 1)

    @property
    def ambient(self):
        return self.law.dim

    def blocks(self, x):
        return x[:, : self.m * self.k].reshape(len(x), self.m, self.k)

    def inward(self, x0, block=0):
        """Unit inward normal of one sphere at x0."""
        out = np.zeros_like(x0)
        u = self.blocks(x0)[:, block]
        out[:, block * self.k : (block + 1) * self.k] = -u / np.linalg.norm(u, axis=1, keepdims=True)
        return out

    def split(self, x0, e):
        """(e_T, e_N) at x0: the normal space is spanned by the radii and by the coordinates outside the blocks."""
        u = self.blocks(x0) / np.linalg.norm(self.blocks(x0), axis=2, keepdims=True)
        b = self.blocks(e)
        radial = np.sum(b * u, axis=2, keepdims=True) * u
        tangent, normal = np.zeros_like(e), e.copy()
        # each part directly, not by subtraction: a short normal part keeps its direction to rounding
        tangent[:, : self.m * self.k] = (b - radial).reshape(len(e), -1)
        normal[:, : self.m * self.k] = radial.reshape(len(e), -1)
        return tangent, normal


@pytest.fixture(scope="session")
def manifold():
    """Factory: manifold("sphere", k, n, reach) is S^(k-1) in R^n, manifold("torus", m, n, reach) a product of m circles."""

    def make(kind, size, n, reach=1.0):
        if kind == "sphere":
            return Manifold(Sphere(radius=reach, dim=n, sphere_dim=size), 1, size)
        # unequal radii: the reach is the smallest of them
        return Manifold(Torus(radii=reach * np.linspace(1.0, 1.7, size), dim=n), size, 2)

    return make


@pytest.fixture(scope="session")
def manifolds(manifold):
    """The five of the deterministic bound, all of reach 1."""
    return {
        "S^1 in R^5": manifold("sphere", 2, 5),
        "S^3 in R^20": manifold("sphere", 4, 20),
        "S^9 in R^10": manifold("sphere", 10, 10),
        "T^4 in R^30": manifold("torus", 4, 30),
        "T^8 in R^256": manifold("torus", 8, 256),
    }


@dataclass(frozen=True)
class Near:
    """Rows of instances of Proposition 3.4: error, bound and rounding of the error, whether p(x) is unique, the level."""

    error: np.ndarray
    largest: np.ndarray
    tolerance: np.ndarray
    unique: np.ndarray | None = None
    sigma: float = math.nan


class NearSets:
    """Proposition 3.4 on instances: ``radius`` is one of the three functions of the near set's radius alpha."""

    cause = "remainder: 64 eps (|x| + diam): a logit l carries eps l, its weight exp(-l) therefore eps"

    @staticmethod
    def table(law, x):
        """(distances from x (n, m), distances from p(x) (n, m), d, p)."""
        p, d = law.project(x), law.distance(x)
        away = np.sqrt(np.sum((x[:, None] - law.points[None]) ** 2, axis=2))
        return away, np.sqrt(np.sum((p[:, None] - law.points[None]) ** 2, axis=2)), d, p

    def random(self, radius, rows, seed=340):
        """One `Near` for each 200 of ``rows`` random instances: clouds, noise levels, eta from 1e-4 to |K|."""
        rng = np.random.default_rng(seed)
        for _ in range(rows // 200):
            m, n = int(rng.integers(2, 60)), int(rng.integers(1, 10))
            law = PointCloud(rng.standard_normal((m, n)) * rng.choice([0.1, 1, 3], (m, 1)))
            x = rng.standard_normal((200, n)) * 10 ** rng.uniform(-1, 1.5, (200, 1))
            away, across, d, p = self.table(law, x)
            sigma = d * 10 ** rng.uniform(-1.5, 1.5, 200)
            eta = m * 10 ** rng.uniform(-4 - np.log10(m), 0, 200)
            error = np.linalg.norm(law.noised(1.0, sigma).denoise(x) - p, axis=1)
            largest = bound.near_set_error(away, across, radius(d, sigma, m, eta), eta)
            tol = 64 * EPS * (np.linalg.norm(x, axis=1) + law.diameter)
            yield Near(error, largest, tol, law.gap(x) > 0)

    def check_random(self, check, radius, rows, seed=340):
        """The conclusion on random instances, and the hypothesis (H2)."""
        on, unique = "sigma/d = .03 .. 30, eta = 1e-4 .. |K|", []
        with check.gather(on=on, cause=self.cause) as sides:
            for near in self.random(radius, rows, seed):
                sides("random clouds", near.error, near.largest, tol=near.tolerance)
                unique.extend(near.unique)
        check.hypothesis("p(x) unique", unique, on=f"random clouds, {on}")

    def opposite(self, radius, m, eta, sigma, share=1.0):
        """error / (eta d) when m - 1 atoms lie just beyond ``share`` of the radius, on the far side of p. Here C = 0.

        x = 0, p = (1, 0); the far atoms are distinct: they stand within 1e-7 of the direction (-1, 0).
        """
        alpha = 1 + share * (float(radius(1.0, sigma, m, eta)) - 1)
        assert alpha >= 1, "N_alpha holds the nearest point for alpha >= 1 alone"
        r = alpha * (1 + 1e-13)
        angle = np.linspace(0, 1e-7, m - 1)
        far = -r * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        law = PointCloud(np.concatenate([[[1.0, 0.0]], far]))
        x = np.zeros((1, 2))
        away, across, d, p = self.table(law, x)
        largest = bound.near_set_error(away, across, alpha, eta)[0]
        assert largest == eta * d[0], "the far atoms must lie outside the near set"
        return float(np.linalg.norm(law.noised(1.0, sigma).denoise(x) - p) / largest)

    def opposite_formula(self, radius, m, eta, sigma):
        """The same ratio in closed form."""
        alpha = radius(1.0, sigma, m, eta)
        w = (m - 1) * np.exp(-(alpha**2 - 1) / (2 * sigma**2))
        return w * (alpha + 1) / ((1 + w) * eta)

    def digits(self, radius, n, N=24, seed=341):
        """One `Near` for each level of n DDIM trajectories on digits: relative errors, and the best eta + C/d over eta."""
        law = PointCloud(datasets.digits())
        m = len(law.points)
        grid = schedules.log_linear(N, sigma_max=40.0, sigma_min=0.05)
        x = 40.0 * np.random.default_rng(seed).standard_normal((n, 64))
        etas = np.geomspace(1e-4, 1.0, 30)
        for sigma, state in zip(grid.sigma[:-1], samplers.ddim(law, grid, x)):
            # the nearest atom of the expansion is replaced by its exact distance; others only decide who is near
            p, d = law.project(state), law.distance(state)
            away = np.maximum(self._expanded(state, law.points), d[:, None])
            across = self._expanded(p, law.points)

            # the best of the bounds for 30 values of eta
            error = np.linalg.norm(law.noised(1.0, sigma).denoise(state) - p, axis=1) / d
            best = np.full(n, np.inf)
            for eta in etas:
                alpha = radius(d, sigma, m, eta) * (1 + 1e-9)  # rounding of the expansion may not exclude an atom
                best = np.minimum(best, bound.near_set_error(away, across, alpha, eta) / d)
            tol = 64 * EPS * (np.linalg.norm(state, axis=1) + law.diameter) / d
            yield Near(error, best, tol, sigma=float(sigma))

    @staticmethod
    def _expanded(x, points):
        """Distances (n, m) by the expanded square."""
        squares = np.sum(x**2, axis=1)[:, None] + np.sum(points**2, axis=1) - 2 * x @ points.T
        return np.sqrt(np.maximum(squares, 0))

    @staticmethod
    def ratios(levels):
        """Words for the largest measured/bound at three noise levels of `digits`."""
        at = [min(levels, key=lambda near: abs(near.sigma - s)) for s in (40.0, 1.4, 0.37)]
        largest = ", ".join(f"{np.max(near.error / near.largest):.2f}" for near in at)
        return f"largest measured/bound at sigma = 40, 1.4, .37: {largest}"


@pytest.fixture(scope="session")
def near_sets():
    return NearSets()
