"""Manifolds with a known reach, and the noise split into its tangential and normal parts."""

from dataclasses import dataclass

import numpy as np
import pytest

from exactdiffusion import Sphere, Torus


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
