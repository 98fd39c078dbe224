"""Examples of every law, one for each path through its code: the contract tests run on all of them.

Adding a law is one file in this folder: its class, named in ``__all__``, and below it an example for each path through its
code::

    __all__ = ["Simplex"]

    @example("simplex")
    def _simplex():
        return Simplex(3)

`tests/laws/test_contract.py` and `tests/core/test_array_backends.py` then test it, in NumPy and in other array namespaces.
"""

import functools
from collections.abc import Callable

import numpy as np

from .._core.validation import fail
from .gaussian_mixture import GaussianMixture
from .point_cloud import PointCloud
from .sets import Sphere, Subspace, Torus

__all__ = ["REGISTRY"]


def _parts():
    """Weights, means and covariances of a mixture in R^4, the basis of a plane, and the generator they came from."""
    rng = np.random.default_rng(5)
    weights, means = rng.dirichlet(np.ones(4)), rng.normal(size=(4, 4))
    A = rng.normal(size=(4, 4, 4))
    return rng, weights, means, A @ np.swapaxes(A, 1, 2) / 4, rng.normal(size=(4, 2))


def _mixture(kind):
    rng, weights, means, covariances, _ = _parts()
    if kind == "degenerate":
        covariances[0], covariances[1] = 0.0, np.outer(np.arange(1.0, 5.0), np.arange(1.0, 5.0))
    if kind == "diagonal":
        covariances = rng.uniform(0, 2, size=(4, 4)) * (rng.random((4, 4)) > 0.3)
    if kind == "zero-weight":
        weights = [0.0, 0.5, 0.5, 0.0]
    covariances = {"isotropic": [0.0, 0.1, 1.0, 2.0], "atoms": 0.0}.get(kind, covariances)
    return GaussianMixture(weights, means, covariances, covariance_type="diag" if kind == "diagonal" else None)


def _cloud(d, weighted):
    rng = _parts()[0]
    points = rng.normal(size=(30, d))
    return PointCloud(points, rng.dirichlet(np.ones(30)) if weighted else None)


def _subspace(covariance):
    return Subspace(_parts()[4], np.ones(4), covariance)


def example(name: str) -> Callable[[Callable], Callable]:
    """Decorate a function without arguments that makes a law: the contract tests run on it, under this name.

    Raises
    ------
    ValueError
        for a name that is taken by another function.
    """

    def file(make):
        if name in REGISTRY and REGISTRY[name].__module__ != make.__module__:
            fail("example", name, "a name that is free")
        REGISTRY[name] = make
        return make

    return file


#: name -> function without arguments that makes the law
REGISTRY = {
    **{
        kind: functools.partial(_mixture, kind)
        for kind in ("full", "degenerate", "diagonal", "isotropic", "zero-weight", "atoms")
    },
    "cloud": lambda: _cloud(4, True),
    "cloud-2d": lambda: _cloud(2, False),
    "sphere": lambda: Sphere(1.5, 4),
    "sphere-block": lambda: Sphere(1.5, 5, 3, block=[4, 0, 2], center=np.arange(5) / 3),
    "points-on-line": lambda: Sphere(0.7, 3, 1),
    "torus": lambda: Torus([1.0, 0.6], 5, center=np.full(5, 0.2)),
    "subspace": lambda: _subspace([[2.0, 0.3], [0.3, 0.5]]),
    "subspace-degenerate": lambda: _subspace([[1.0, 1.0], [1.0, 1.0]]),
    "flat": lambda: _subspace(None),
}
