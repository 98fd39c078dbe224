"""Bad input to the laws: a ValueError that names the argument, every time."""

import numpy as np
import pytest

from exactdiffusion.laws import Counted, Denoiser, GaussianMixture, PointCloud, Sphere, Subspace, Torus

MU = np.zeros((2, 3))
X = np.zeros((4, 3))
NAN, INF = np.nan, np.inf


def mixture(**change):
    return GaussianMixture(**({"weights": [0.5, 0.5], "means": MU, "covariances": 1.0} | change))


def atoms():
    return GaussianMixture(None, MU, 0.0)


def cloud():
    return PointCloud([[0.0, 0, 0], [1, 2, 3]])


def line():
    return Subspace(np.ones((3, 1)), covariance=1.0)


CASES = [
    # constructors
    ("weights", lambda: mixture(weights=[0.5, 0.6])),
    ("weights", lambda: mixture(weights=[1.5, -0.5])),
    ("weights", lambda: mixture(weights=[1.0])),
    ("weights", lambda: mixture(weights=[NAN, 1.0])),
    ("weights", lambda: mixture(weights=[[0.5, 0.5]])),
    ("weights", lambda: mixture(weights="even")),
    ("means", lambda: mixture(means=np.zeros(3))),
    ("means", lambda: mixture(means=np.zeros((0, 3)))),
    ("means", lambda: mixture(means=np.zeros((2, 0)))),
    ("means", lambda: mixture(means=[[0, 0, NAN], [0, 0, 0]])),
    ("means", lambda: mixture(means=MU + 1j)),
    ("means", lambda: mixture(means=[[1, 2], [3]])),
    ("covariances", lambda: mixture(covariances=-1.0)),
    ("covariances", lambda: mixture(covariances=[1.0, -1e-3])),
    ("covariances", lambda: mixture(covariances=[[1.0, 1, -1], [1, 1, 1]])),
    ("covariances", lambda: mixture(covariances=np.ones(3))),
    ("covariances", lambda: mixture(covariances=np.ones((3, 3, 3)))),
    ("covariances", lambda: mixture(covariances=np.ones((2, 3, 2)))),
    ("covariances", lambda: mixture(covariances=np.eye(3))),
    ("covariances", lambda: mixture(covariances=np.ones((2, 3)), covariance_type="tied")),
    ("covariances", lambda: mixture(covariances=np.eye(3), covariance_type="diag")),
    ("covariances", lambda: mixture(covariances=1.0, covariance_type="diag")),
    ("covariances", lambda: mixture(covariances=[1.0, 2.0], covariance_type="full")),
    ("covariances", lambda: mixture(covariances=np.ones((2, 3)), covariance_type="spherical")),
    ("covariances", lambda: mixture(covariances=-np.eye(3), covariance_type="tied")),
    ("covariances", lambda: GaussianMixture(None, np.eye(2), [[1.0, 0.9], [0.9, 1.0]])),
    ("covariance_type", lambda: mixture(covariance_type="isotropic")),
    ("copy", lambda: PointCloud(X, copy=None)),
    ("covariances", lambda: mixture(covariances=INF)),
    ("covariances", lambda: mixture(covariances=np.stack([np.eye(3), np.diag([1.0, 1, -0.1])]))),
    ("covariances", lambda: mixture(covariances=np.stack([np.eye(3), np.eye(3) + np.eye(3, k=1)]))),
    ("fitted", lambda: GaussianMixture.from_sklearn(object())),
    ("points", lambda: PointCloud(np.zeros(3))),
    ("points", lambda: PointCloud(np.zeros((0, 3)))),
    ("points", lambda: PointCloud([[1.0, INF]])),
    ("points", lambda: PointCloud([[True, False]])),
    ("weights", lambda: PointCloud(X, [0.25, 0.25, 0.25])),
    ("weights", lambda: PointCloud(X, [0.5, 0.5, 0.5, -0.5])),
    ("radius", lambda: Sphere(0.0, 3)),
    ("radius", lambda: Sphere(-1.0, 3)),
    ("radius", lambda: Sphere(NAN, 3)),
    ("radius", lambda: Sphere("one", 3)),
    ("dim", lambda: Sphere(1.0, 0)),
    ("dim", lambda: Sphere(1.0, 2.5)),
    ("sphere_dim", lambda: Sphere(1.0, 3, 4)),
    ("sphere_dim", lambda: Sphere(1.0, 3, 0)),
    ("block", lambda: Sphere(1.0, 3, 2, block=[0, 0])),
    ("block", lambda: Sphere(1.0, 3, 2, block=[1, 3])),
    ("block", lambda: Sphere(1.0, 3, 2, block=[0.0, 1.0])),
    ("center", lambda: Sphere(1.0, 3, center=[0.0, 0.0])),
    ("center", lambda: Sphere(1.0, 3, center=[0.0, 0.0, INF])),
    ("radii", lambda: Torus([])),
    ("radii", lambda: Torus([1.0, 0.0])),
    ("radii", lambda: Torus(1.0)),
    ("dim", lambda: Torus([1.0, 1.0], dim=3)),
    ("center", lambda: Torus([1.0], dim=3, center=[0.0])),
    ("basis", lambda: Subspace(np.ones((3, 2)))),
    ("basis", lambda: Subspace(np.eye(2, 3))),
    ("basis", lambda: Subspace(np.ones(3))),
    ("basis", lambda: Subspace(np.zeros((3, 1)))),
    ("basis", lambda: Subspace([[NAN], [1.0]])),
    ("offset", lambda: Subspace(np.eye(3, 2), offset=[1.0, 2.0])),
    ("covariance", lambda: Subspace(np.eye(3, 2), covariance=-1.0)),
    ("covariance", lambda: Subspace(np.eye(3, 2), covariance=np.eye(3))),
    ("covariance", lambda: Subspace(np.eye(3, 2), covariance=[[1.0, 2.0], [2.0, 1.0]])),
    ("covariance", lambda: Subspace(np.eye(3, 2), covariance=[[1.0, 0.5], [0.0, 1.0]])),
    ("fn", lambda: Denoiser(3, 2)),
    ("dim", lambda: Denoiser(lambda x, s: x, 0)),
    ("law", lambda: Counted(3)),
    # levels
    ("sigma", lambda: mixture().noised(1.0, -0.1)),
    ("sigma", lambda: cloud().noised(1.0, NAN)),
    ("sigma", lambda: cloud().noised(1.0, [0.1, -0.1])),
    ("sigma", lambda: cloud().noised(1.0, [[0.1]])),
    ("sigma", lambda: Sphere(1.0, 3).noised(0.0, 0.0)),
    ("sigma", lambda: mixture().noised([1.0, 0.0], [0.0, 0.0])),
    ("sigma", lambda: mixture().noised([1.0, 1.0], [0.1, 0.2, 0.3])),
    ("scale", lambda: mixture().noised(-1.0, 0.1)),
    ("scale", lambda: Torus([1.0]).noised(INF, 0.1)),
    ("scale", lambda: Subspace(np.eye(3, 2)).noised(0.0, 1.0)),
    ("scale", lambda: Denoiser(lambda x, s: x, 2).noised(0.0, 1.0)),
    ("sigma", lambda: cloud().noised(1.0, [0.1, 0.2]).denoise(X)),
    ("scale", lambda: line().noised([1.0, 0.2], 0.5).score(X)),
    ("sigma", lambda: cloud().noised(1.0, [0.1, 0.2]).noised(1.0, 0.1)),
    ("sigma", lambda: mixture().noised(1.0, [0.1, 0.2]).noised(1.0, 0.1)),
    # where there is no density
    ("sigma", lambda: atoms().log_density(X)),
    ("sigma", lambda: atoms().noised(1.0, [1.0, 1.0, 0.0, 1.0]).score(X)),
    ("sigma", lambda: atoms().noised(1.0, 0.0).hessian(X)),
    ("sigma", lambda: cloud().noised(1.0, 0.0).log_density(X)),
    ("sigma", lambda: cloud().noised(1.0, 0.0).score(X)),
    ("sigma", lambda: cloud().noised(1.0, 0.0).hessian(X)),
    ("sigma", lambda: Sphere(1.0, 3).noised(1.0, 0.0).score(X)),
    ("sigma", lambda: line().noised(1.0, 0.0).log_density(X)),
    ("sigma", lambda: Torus([1.0], 3).noised(1.0, 0.0).log_density(X)),
    # queries
    ("x", lambda: mixture().score(np.zeros(3))),
    ("x", lambda: mixture().noised(1.0, 0.1).denoise(np.zeros((4, 2)))),
    ("x", lambda: cloud().project([[NAN, 0.0, 0.0]])),
    ("x", lambda: cloud().nearest(np.zeros((2, 2)))),
    ("x", lambda: cloud().gap("here")),
    ("x", lambda: Sphere(1.0, 3).distance(np.zeros((2, 4)))),
    ("x", lambda: Torus([1.0]).project(np.zeros((2, 2), dtype=complex))),
    ("x", lambda: line().project(np.zeros((2, 2)))),
    ("x", lambda: Denoiser(lambda x, s: x, 2).noised(1.0, 1.0).denoise(X)),
    ("fn", lambda: Denoiser(lambda x, s: x[:, :1], 3).noised(1.0, 1.0).denoise(X)),
    ("fn", lambda: Denoiser(lambda x, s: x * NAN, 3).noised(1.0, 1.0).denoise(X)),
    # out of range: squares would overflow
    ("means", lambda: mixture(means=MU + 1e151)),
    ("covariances", lambda: mixture(covariances=1e301)),
    ("covariances", lambda: mixture(covariances=[1.0, 1e-250])),
    ("points", lambda: PointCloud([[0.0, 1e155], [0.0, -1e155]])),
    ("points", lambda: PointCloud(np.eye(6) * 1e155)),
    ("points", lambda: PointCloud([[0.0], [1e-160]])),
    ("radius", lambda: Sphere(1e155, 3)),
    ("radius", lambda: Sphere(1e-155, 3)),
    ("center", lambda: Sphere(1.0, 2, center=[1e155, 0.0])),
    ("radii", lambda: Torus([1.0, 1e-120])),
    ("basis", lambda: Subspace(1e155 * np.eye(3, 2))),
    ("offset", lambda: Subspace(np.eye(3, 2), offset=[0.0, 0.0, 1e155])),
    ("covariance", lambda: Subspace(1e10 * np.eye(3, 2), covariance=1e290)),
    ("covariance", lambda: Subspace(np.eye(3, 2), covariance=np.diag([1e-210, 1e-210]), offset=[1.0, 0, 0])),
    *(("sigma", lambda law=law: law.noised(1.0, 1e300)) for law in (mixture(), atoms(), cloud(), line(), Sphere(1.0, 3))),
    *(("scale", lambda law=law: law.noised(1e300, 1.0)) for law in (mixture(), atoms(), cloud(), line(), Sphere(1.0, 3))),
    ("scale", lambda: PointCloud([[1e100]]).noised(1e100, 1.0)),
    ("sigma", lambda: Subspace(np.eye(3, 2)).noised(1e-100, 1e100)),
    *(
        ("x", lambda law=law, m=m: getattr(law.noised(1.0, 1.0), m)(X + 1e160))
        for law in (mixture(), atoms(), cloud(), line(), Sphere(1.0, 3))
        for m in ("log_density", "score", "hessian", "denoise", "posterior_covariance")
    ),
    *(
        ("x", lambda law=law, m=m: getattr(law, m)(X + 1e160))
        for law in (cloud(), line(), Sphere(1.0, 3))
        for m in ("project", "distance")
    ),
    ("x", lambda: cloud().nearest(X - 1e160)),
    ("x", lambda: cloud().gap(X + 1e160)),
    ("x", lambda: cloud().noised(1.0, 1e-20).score(X + 1e140)),
    ("x", lambda: mixture(covariances=1e-20).noised(1.0, 1e-20).denoise(X + 1e149)),
    ("sigma", lambda: PointCloud([[1e140], [0.0]]).noised(1.0, 1e-20).log_density([[1.0]])),
    # samples
    ("n", lambda: mixture().sample(-1, 0)),
    ("n", lambda: cloud().sample(2.0, 0)),
    ("n", lambda: cloud().noised(1.0, [0.1, 0.2]).sample(3, 0)),
    ("rng", lambda: Sphere(1.0, 3).sample(2, None)),
    ("rng", lambda: mixture().sample(2, "seed")),
    ("rng", lambda: line().sample(2, -1)),
]


@pytest.mark.parametrize(("argument", "call"), CASES, ids=[f"{i}-{a}" for i, (a, _) in enumerate(CASES)])
def test_bad_input_is_a_value_error_that_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=rf"(?s)^{argument}\b.*: got .*; expected "):
        call()


class Table:
    """What a data frame with nullable columns looks like to NumPy: it converts to objects."""

    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, None]], dtype=object)

    def to_numpy(self, dtype=None, na_value=None):
        return np.array([[1.0, na_value]], dtype=dtype)


class Sparse(Table):
    def toarray(self):
        return np.eye(2)


@pytest.mark.parametrize(
    ("value", "cause", "remedy"),
    [
        (np.ma.array([[0.0, 1.0], [2.0, 3.0]], mask=[[0, 0], [0, 1]]), r"1 masked entries, the first in row 1", "filled"),
        ([[0.0, 1.0], [2.0, np.ma.masked]], r"1 masked entries, the first in row 0", "filled"),
        ([np.ma.array([0.0, 1.0]), np.ma.array([2.0, 3.0], mask=[1, 1])], "2 masked entries", "filled"),
        (Table(), "dtype object", r"points\.to_numpy\(dtype=float, na_value=float\('nan'\)\)"),
        (np.array([[1.0, None]], dtype=object), "dtype object", "finite real array"),
        (Sparse(), "sparse", r"points\.toarray\(\)"),
        (np.array([["1", "2"]]), "dtype <U1", "finite real array"),
        (np.array([[1j, 2]]), "dtype complex128", "finite real array"),
        (np.array([[True, False]]), "dtype bool", "finite real array"),
        ([[0.0, 1.0], [2.0, 3.0], [np.nan, 5.0]], "not finite in row 2", "finite real array"),
        ([[0.0, 1.0], [-np.inf, 3.0]], "not finite in row 1", "finite real array"),
        ([[0.0, 1.0], [2.0]], "rows of different shapes", "finite real array"),
        ([0.0, 1.0], r"shape \(2,\)", r"shape \(n, d >= 1\)"),
    ],
)
def test_the_message_says_the_cause_and_what_would_work(value, cause, remedy):
    with pytest.raises(ValueError, match=rf"(?s)^points \([^:]*{cause}[^:]*\): got .*; expected .*{remedy}"):
        PointCloud(value)


def test_a_masked_array_without_masked_entries_is_an_array():
    x = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(PointCloud(np.ma.array(x)).points, x)
    assert type(PointCloud(np.ma.array(x)).points) is np.ndarray


@pytest.mark.parametrize("wrong", [NAN, INF, -INF])
def test_the_row_of_a_large_array(wrong):
    """Looked for by its extremes, from a million numbers on."""
    x = np.zeros((1 << 19, 2))
    x[-2, 1] = wrong
    with pytest.raises(ValueError, match=rf"^points \(a value that is not finite in row {len(x) - 2}\)"):
        PointCloud(x)
