"""Instances shared by the theorem checks: closed sets with exact projections, and the hard cases among them."""

import numpy as np
import pytest

from exactdiffusion import PointCloud, Sphere, Subspace, Torus, datasets


@pytest.fixture(scope="session")
def closed_sets():
    """Name -> closed set with an exact projection: clouds in low and high dimension, real data, curved and flat sets."""
    rng = np.random.default_rng(20240611)
    basis = np.linalg.qr(rng.standard_normal((12, 3)))[0]
    return {
        "pair on a line": PointCloud(np.array([[-1.0], [1.0]])),
        "200 points in R^50": PointCloud(rng.standard_normal((200, 50))),
        "ring of 8 in the plane": PointCloud(
            np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
        ),
        "digits": PointCloud(datasets.digits()),
        "sphere S^3 in R^20": Sphere(radius=1.0, dim=20, sphere_dim=4),
        "subspace of R^12": Subspace(basis),
        "torus T^4 in R^30": Torus(radii=(1.0, 1.5, 0.7, 2.0), dim=30),
    }
