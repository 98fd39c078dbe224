"""What every law promises: derivatives, Tweedie, limits, batches, levels per row, array namespaces, memory,
wrappers."""

import tracemalloc

import array_api_strict
import mpmath as mp
import numpy as np
import pytest

from exactdiffusion import datasets, laws
from exactdiffusion.laws import Counted, Denoiser, GaussianMixture, PointCloud, Sphere, Torus
from exactdiffusion.laws.base import BLOCK_DOUBLES

EPS = float(np.finfo(float).eps)
METHODS = ("log_density", "score", "hessian", "denoise", "posterior_covariance")


def _covariances(rng, K, d):
    A = rng.normal(size=(K, d, d))
    return A @ np.swapaxes(A, 1, 2) / d


def make(name):
    return laws.REGISTRY[name]()


NAMES = tuple(laws.REGISTRY)
BUILT = {name: make(name) for name in NAMES}
# a degenerate Gaussian on a subspace lives on less than the subspace that it projects on
SETS = tuple(n for n, law in BUILT.items() if hasattr(law, "project") and n != "subspace-degenerate")
SAMPLED = tuple(n for n, law in BUILT.items() if hasattr(law, "sample") or hasattr(law.noised(1.0, 1.0), "sample"))
NOISED_TWICE = tuple(n for n, law in BUILT.items() if hasattr(law.noised(0.8, 0.3), "noised"))
ONE_OF_EACH = tuple({type(BUILT[n]): n for n in reversed(SAMPLED) if n != "subspace-degenerate"}.values())
LEVELS = ((1.0, 0.4), (0.7, 1.3))


def test_every_law_has_an_example():
    """What is registered is tested below; what is public is registered, or wraps another law."""
    assert {type(law).__name__ for law in BUILT.values()} == set(laws.__all__) - {"Counted", "Denoiser"}




def queries(law, n=7, seed=3, size=1.2):
    return size * np.random.default_rng(seed).normal(size=(n, law.dim))


def derivative(f, x, h):
    """Central differences of order 4 along every coordinate, appended as last axis."""
    out = []
    for e in np.eye(x.shape[1]) * h:
        out.append((8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h))
    return np.stack(out, axis=-1)


@pytest.mark.parametrize(("scale", "sigma"), LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_score_is_gradient_and_hessian_is_its_derivative(name, scale, sigma, accuracy):
    law = make(name)
    q, x = law.noised(scale, sigma), queries(law)
    h = 5e-4 * sigma
    # A derivative of the logits brings at most scale * width / sigma^2, width of queries and atoms together.
    step = h * (1 / sigma + 6.0 * scale / sigma**2)
    for upper, lower in (("score", "log_density"), ("hessian", "score")):
        if not hasattr(q, lower):
            continue
        exact = getattr(q, upper)(x)
        # Truncation h^4 f^(5) / 30, rounding 2 eps |f| / h.
        tol = step**4 * np.abs(exact).max() + 4 * EPS * np.abs(getattr(q, lower)(x)).max() / h
        error = np.abs(derivative(getattr(q, lower), x, h) - exact).max()
        accuracy(f"laws.{type(law).__name__}.noised.{upper}", error, tol, f"differences of {lower}, order 4")


@pytest.mark.parametrize(("scale", "sigma"), LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_tweedie_first_and_second_order(name, scale, sigma, accuracy):
    law = make(name)
    q, x = law.noised(scale, sigma), queries(law)
    size = np.abs(x).max() + sigma
    left, right = scale * q.denoise(x), x + sigma**2 * q.score(x)
    of = f"laws.{type(law).__name__}.noised"
    # two sums of about 30 terms of this size
    accuracy(f"{of}.denoise", np.abs(left - right).max(), 64 * EPS * size, "Tweedie's formula")
    C, H = q.posterior_covariance(x), q.hessian(x)
    size = sigma**2 + sigma**4 * np.abs(H).max()
    error = np.abs(scale**2 * C - sigma**2 * np.eye(law.dim) - sigma**4 * H).max()
    accuracy(f"{of}.posterior_covariance", error, 256 * EPS * size, "Tweedie's formula, second order")
    assert np.abs(C - np.swapaxes(C, 1, 2)).max() <= 8 * EPS * np.abs(C).max()
    assert np.linalg.eigvalsh(C).min() >= -8 * EPS * law.dim * np.abs(C).max()


def test_tweedie_fails_with_sigma_for_its_square():
    law = make("cloud")
    q, x = law.noised(1.0, 0.4), queries(law)
    assert np.abs(q.denoise(x) - x - 0.4 * q.score(x)).max() > 1e-3


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_density_integrates_to_one(name, chance):
    """Importance sampling from a wide Gaussian: the mean of p/g is 1."""
    law, draw = make(name), chance(comparisons=1)
    rng = draw.rng(1)
    C = np.asarray(law.covariance) + np.eye(law.dim)
    wide = GaussianMixture(None, [law.mean], [1.5 * C])
    x = wide.sample(40000, rng)
    ratio = np.exp(law.noised(1.0, 1.0).log_density(x) - wide.log_density(x))
    draw.mean(ratio, 1.0, on=f"integral of the density, {name}")


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_have_the_stated_moments(name, chance):
    law = make(name)
    n, d = 20000, law.dim
    draw = chance(comparisons=d * (d + 3))
    i, j = np.triu_indices(d)
    for q, level in ((law, "law"), (law.noised(0.7, 0.5), "noised")):
        x = q.sample(n, draw.seed(11))
        assert x.shape == (n, d)
        spread = x - q.mean
        rounding = n * EPS * max(1.0, np.max(np.abs(x)) ** 2)
        draw.mean(spread, 0.0, on=f"mean, {level}, {name}", tol=rounding)
        draw.mean(spread[:, i] * spread[:, j], q.covariance[i, j], on=f"covariance, {level}, {name}", tol=rounding)
    np.testing.assert_array_equal(law.sample(5, 2), law.sample(5, np.random.default_rng(2)))


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_1_7_1000_agree(name):
    law = make(name)
    x = queries(law, 1000)
    q = law.noised(1.0, 0.5)
    for kind in METHODS:
        if not hasattr(q, kind):
            continue
        whole = getattr(q, kind)(x)
        size = np.abs(whole).max()
        for batch in (1, 7):
            some = np.concatenate([getattr(q, kind)(x[i : i + batch]) for i in range(0, 70, batch)])
            assert np.abs(some - whole[: len(some)]).max() <= 1e-12 * size


@pytest.mark.parametrize("name", NAMES)
def test_a_level_per_row_is_the_scalar_level_of_that_row(name):
    law = make(name)
    x = queries(law, 6)
    scale, sigma = np.array([1.0, 0.3, 1.2, 0.9, 1.0, 0.5]), np.array([0.1, 2.0, 0.5, 1e-3, 30.0, 0.7])
    for s, t in ((scale, sigma), (0.8, sigma), (scale, 0.6)):
        q = law.noised(s, t)
        for kind in METHODS:
            if not hasattr(q, kind):
                continue
            rows = getattr(q, kind)(x)
            for i in range(6):
                one = law.noised(np.ravel(s)[i % np.size(s)], np.ravel(t)[i % np.size(t)])
                value = getattr(one, kind)(x[i : i + 1])[0]
                assert np.abs(rows[i] - value).max() <= 1e-12 * np.abs(value).max(), (kind, i)


@pytest.mark.parametrize("name", NAMES)
def test_empty_batches_keep_their_shape(name):
    law = make(name)
    q, d = law.noised(1.0, 0.5), law.dim
    shapes = dict(zip(METHODS, ((0,), (0, d), (0, d, d), (0, d), (0, d, d)), strict=True))
    for kind, shape in shapes.items():
        if hasattr(q, kind):
            assert getattr(q, kind)(np.empty((0, d))).shape == shape
    assert law.noised(1.0, 0.5).denoise(np.zeros((1, d), dtype=np.float32)).dtype == np.float64


# -- limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_denoise_at_zero_is_the_projection(name):
    law = make(name)
    x = queries(law, 50)
    for scale in (1.0, 0.5):
        got, want = law.noised(scale, 0.0).denoise(x), law.project(x / scale)
        assert np.abs(got - want).max() <= 8 * EPS * np.abs(want).max()
        close = law.noised(scale, 1e-9).denoise(x)
        assert (
            np.abs(close - want).max() <= 1e-8
        )  # the bias is at most sigma^2 / gap, and eps |x| / sigma^0 rounding
        assert np.abs(law.noised(scale, 0.0).posterior_covariance(x)).max() == 0
    mixed = law.noised(1.0, np.where(np.arange(50) % 2, 0.0, 0.3)).denoise(x)
    assert np.abs(mixed[1::2] - law.project(x)[1::2]).max() <= 8 * EPS * np.abs(x).max()
    assert np.abs(mixed[::2] - law.noised(1.0, 0.3).denoise(x)[::2]).max() <= 64 * EPS * np.abs(x).max()


@pytest.mark.parametrize("d", [1, 2, 3, 5, 64])
def test_atoms_as_mixture_and_as_cloud_are_one_law(d):
    rng = np.random.default_rng(0)
    p, w = rng.normal(size=(20, d)), rng.dirichlet(np.ones(20))
    cloud, mixture, x = PointCloud(p, w), GaussianMixture(w, p, 0.0), rng.normal(size=(40, d))
    np.testing.assert_array_equal(cloud.noised(1.0, 0.0).denoise(x), mixture.noised(1.0, 0.0).denoise(x))
    for kind in METHODS:
        a, b = (getattr(law.noised(0.9, 0.5), kind)(x) for law in (cloud, mixture))
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


@pytest.mark.parametrize("name", ["full", "diagonal", "isotropic", "degenerate"])
def test_mixture_at_zero_is_the_limit(name):
    law = make(name)
    x = queries(law, 20)
    got = law.noised(0.8, 0.0).denoise(x)
    assert (
        np.abs(got - law.noised(0.8, 1e-7).denoise(x)).max() <= 1e-5
    )  # sigma^2 / smallest variance, about 1e-9 here
    # every one of these mixtures has a component of full dimension
    if name in ("full", "degenerate", "isotropic"):
        assert np.abs(got - x / 0.8).max() <= 64 * EPS * np.abs(x).max()


def test_singular_components_at_zero():
    # A line, a plane and a point in R^3, no full component: nearest support wins; on it, the smallest
    # dimension.
    line, plane, point = np.diag([1.0, 0, 0]), np.diag([1.0, 1, 0]), np.zeros((3, 3))
    law = GaussianMixture([0.2, 0.3, 0.5], [[0, 0, 2.0], [0, 0, 0], [5.0, 0, 0]], [line, plane, point])
    q = law.noised(1.0, 0.0)
    x = np.array(
        [[0.3, 0.2, 1.9], [0.3, 0.2, 0.1], [1.0, 2.0, 0.0], [5.0, 0, 0], [5.0, 0.5, 0.4], [1.0, 0.0, 2.0]]
    )
    want = [[0.3, 0, 2], [0.3, 0.2, 0], [1, 2, 0], [5, 0, 0], [5, 0.5, 0], [1, 0, 2]]
    np.testing.assert_allclose(q.denoise(x), want, atol=8 * EPS)
    np.testing.assert_allclose(law.noised(1.0, 1e-8).denoise(x), want, atol=1e-12)
    # Two parallel lines at equal distance: the responsibilities of the limit, from the densities along the
    # lines.
    two = GaussianMixture([0.2, 0.8], [[0, 1.0], [0, -1.0]], [np.diag([1.0, 0]), np.diag([4.0, 0])])
    x = np.array([[0.7, 0.0]])
    a, b = 0.2 * np.exp(-0.49 / 2), 0.8 / 2 * np.exp(-0.49 / 8)
    np.testing.assert_allclose(two.noised(1.0, 0.0).denoise(x), [[0.7, (a - b) / (a + b)]], rtol=8 * EPS)
    # Near the limit: bias sigma^2, and eps / sigma^2 by which rounding can break the tie.
    np.testing.assert_allclose(
        two.noised(1.0, 1e-4).denoise(x), [[0.7, (a - b) / (a + b)]], rtol=4e-8 + 4 * EPS / 1e-8
    )


def test_scale_zero_gives_the_prior():
    for name in SAMPLED:
        law = make(name)
        x = queries(law)
        q = law.noised(0.0, 0.7)
        np.testing.assert_allclose(q.denoise(x), np.tile(law.mean, (len(x), 1)), atol=64 * EPS)
        np.testing.assert_allclose(
            q.posterior_covariance(x), np.tile(law.covariance, (len(x), 1, 1)), atol=256 * EPS
        )
        np.testing.assert_allclose(q.score(x), -x / 0.49, atol=64 * EPS * np.abs(x).max())


@pytest.mark.parametrize("name", NAMES)
def test_no_nan_from_one_end_of_the_range_to_the_other(name):
    law = make(name)
    x = np.concatenate([queries(law), np.zeros((1, law.dim)), 1e6 * queries(law, 2)])
    for sigma in 10.0 ** np.array([-150, -100, -20, -6, 0, 6, 20, 60]):
        q = law.noised(1.0, sigma)
        for kind in ("denoise", "posterior_covariance"):
            assert np.all(np.isfinite(getattr(q, kind)(x))), (kind, sigma)
        if sigma > 1e-60:
            for kind in ("score", "log_density"):
                if hasattr(q, kind):
                    assert np.all(np.isfinite(getattr(q, kind)(x))), (kind, sigma)


# -- composition ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOISED_TWICE)
def test_noised_twice(name, accuracy):
    law = make(name)
    x = queries(law)
    twice = law.noised(0.8, 0.3).noised(0.5, 0.4)
    once = law.noised(0.4, np.hypot(0.5 * 0.3, 0.4))
    of, plain = f"laws.{type(law).__name__}.noised", law.noised(0.8, 0.3).materialise().noised(0.5, 0.4)
    for kind in ("log_density", "score", "hessian"):
        a, b = getattr(twice, kind)(x), getattr(once, kind)(x)
        accuracy(f"{of}.noised", np.abs(a - b).max(), 1e-12 * np.abs(b).max(), f"{kind} at one level")
        error = np.abs(getattr(plain, kind)(x) - b).max()
        accuracy(f"{of}.materialise", error, 1e-12 * np.abs(b).max(), f"{kind} at one level")
    # What is estimated is the variable noised last: Y with x = 0.5 Y + 0.4 Z.
    np.testing.assert_allclose(0.5 * twice.denoise(x), x + 0.16 * once.score(x), atol=256 * EPS)


@pytest.mark.parametrize("name", SAMPLED)
def test_moments_of_noised_laws_from_those_of_the_law(name, accuracy):
    law = make(name)
    q, of = law.noised(0.7, 0.5), f"laws.{type(law).__name__}.noised"
    at_zero = law.noised(1.0, 0.0)  # a Gaussian on a subspace keeps its moments there
    mean, covariance = getattr(law, "mean", at_zero.mean), getattr(law, "covariance", at_zero.covariance)
    accuracy(f"{of}.mean", np.abs(q.mean - 0.7 * mean), 8 * EPS * np.abs(mean).max(), "mean of the law")
    exact = 0.49 * covariance + 0.25 * np.eye(law.dim)
    accuracy(f"{of}.covariance", np.abs(q.covariance - exact), 8 * EPS * np.abs(exact).max(), "covariance of the law")


def test_what_is_not_exact_is_not_there():
    assert not hasattr(make("cloud"), "log_density")
    assert not hasattr(make("sphere").noised(1.0, 0.5), "noised")
    flat = make("flat")
    for name in ("sample", "mean", "covariance"):
        assert not hasattr(flat, name)
        assert not hasattr(flat.noised(1.0, 0.3), name)
        assert hasattr(make("subspace"), name)
    assert not hasattr(flat.noised(1.0, 0.3), "log_density")
    assert not hasattr(Denoiser(lambda x, s: x, 2).noised(1.0, 0.3), "score")


# -- sets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_projection_and_distance(name, accuracy):
    law = make(name)
    x = queries(law, 200)
    p = law.project(x)
    size = np.abs(x).max()
    of = f"laws.{type(law).__name__}"
    error = np.abs(law.distance(x) - np.linalg.norm(x - p, axis=1)).max()
    accuracy(f"{of}.distance", error, 16 * EPS * size, "distance to the projection")
    assert law.distance(p).max() <= 16 * EPS * size
    assert np.abs(law.project(p) - p).max() <= 16 * EPS * size
    if hasattr(law, "sample"):
        other = law.sample(500, 0)
        if "subspace" not in name:
            assert law.distance(other).max() <= 16 * EPS * size
            nearest = np.sqrt(((x[:, None] - other[None]) ** 2).sum(-1)).min(axis=1)
            assert np.all(law.distance(x) <= nearest + 16 * EPS * size)
    # x - p is normal: the gradient of half the squared distance
    if "cloud" not in name:
        h = 1e-5
        gradient = derivative(lambda y: 0.5 * law.distance(y) ** 2, x, h)
        error = np.abs(gradient - (x - p)).max()
        accuracy(f"{of}.project", error, 1e-3 * h + 100 * EPS * size**2 / h, "differences of the squared distance")


def test_reach_of_the_sets(accuracy):
    # Federer: the smallest |q - p|^2 / (2 |normal part of q - p|); the derivative of the projection gives the tangent part
    sphere, h = Sphere(1.5, 4), 1e-5
    p, q = sphere.sample(200, 2), sphere.sample(200, 3)
    chord = q - p
    tangent = (sphere.project(p + h * chord) - sphere.project(p - h * chord)) / (2 * h)
    size, normal = np.sum(chord**2, axis=1), np.linalg.norm(chord - tangent, axis=1)
    found = np.min(size / (2 * normal))
    # differences: third derivatives of order |q - p|^3 / R^2, rounding of numbers up to 2 R; then divided by the normal part
    limit = 1.5 * np.max((h**2 * size**1.5 / 1.5**2 + 8 * EPS * 3.0 / h) / normal)
    accuracy("laws.Sphere.reach", abs(sphere.reach - found), limit, "pairs of points and the projection's differences")
    accuracy("laws.Torus.reach", abs(Torus([2.0, 0.6], 7).reach - 0.6), 0.0, "smallest radius; projections just inside it")
    assert make("flat").reach == np.inf
    # Moving along a normal by less than the reach does not change the projection; by more it does.
    torus = Torus([1.0, 0.6], 6)
    p = torus.sample(100, 1)
    inward = np.zeros_like(p)
    inward[:, 2:4] = -p[:, 2:4] / 0.6
    assert np.abs(torus.project(p + 0.999 * 0.6 * inward) - p).max() <= 1e4 * EPS
    assert np.abs(torus.project(p + 1.001 * 0.6 * inward) - p).max() > 0.5


def brute(p, x):
    """Squared distances in extended precision, on differences."""
    return ((x[:, None].astype(np.longdouble) - p[None].astype(np.longdouble)) ** 2).sum(-1)


@pytest.mark.parametrize(("d", "shift"), [(1, 0), (2, 1000), (3, 0), (5, 1000), (64, 0)])
def test_nearest_gap_diameter_against_brute_force(d, shift, accuracy):
    rng = np.random.default_rng(d)
    p = shift + rng.normal(size=(60, d))
    cloud, x = PointCloud(p), shift + rng.normal(size=(80, d))
    D = np.sort(np.sqrt(brute(p, x)), axis=1)
    index, distance = cloud.nearest(x)
    by = "all pairs in extended precision"
    accuracy("laws.PointCloud.nearest", np.sum(index != np.argmin(brute(p, x), axis=1)), 0.0, by)
    accuracy("laws.PointCloud.distance", np.abs(distance / D[:, 0] - 1), 8 * EPS, by)
    size = np.abs(p).max() if shift else 1.0
    gap = D[:, 1] - D[:, 0]
    accuracy("laws.PointCloud.gap", np.abs(cloud.gap(x) - gap), 1e-11 * gap + 8 * EPS * size, by)
    accuracy("laws.PointCloud.project", np.abs(cloud.project(x) - p[index]), 0.0, by)
    accuracy("laws.PointCloud.diameter", np.abs(cloud.diameter / np.sqrt(brute(p, p).max()) - 1), 8 * EPS, by)


@pytest.mark.parametrize("d", [2, 6])
def test_ties_go_to_the_lowest_index(d):
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    p = np.concatenate([grid, np.zeros((9, d - 2))], axis=1)
    x = p + np.r_[0.5, 0.5, np.zeros(d - 2)]
    cloud = PointCloud(p)
    want = np.argmin(((x[:, None] - p[None]) ** 2).sum(-1), axis=1)
    np.testing.assert_array_equal(cloud.nearest(x)[0], want)
    np.testing.assert_array_equal(cloud.noised(1.0, 0.0).denoise(x), p[want])
    np.testing.assert_array_equal(GaussianMixture(None, p, 0.0).noised(1.0, 0.0).denoise(x), p[want])
    assert cloud.gap(x)[0] == 0


def test_equal_and_weightless_atoms():
    p = np.array([[0.0, 0], [1, 1], [0.0, 0], [-0.0, 0], [5, 5]])
    cloud = PointCloud(p, [0.1, 0.4, 0.3, 0.2, 0.0])
    merged = PointCloud(p[:2], [0.6, 0.4])
    x = np.random.default_rng(0).normal(size=(9, 2)) + 2
    for kind in METHODS:
        np.testing.assert_allclose(
            getattr(cloud.noised(1.0, 0.5), kind)(x),
            getattr(merged.noised(1.0, 0.5), kind)(x),
            rtol=1e-14,
            atol=1e-300,
        )
    assert cloud.nearest([[6.0, 6.0]])[0][0] == 1  # the atom at (5, 5) has no mass
    assert abs(cloud.gap([[0.0, 0.0]])[0] - np.sqrt(2.0)) <= 4 * EPS  # the three equal atoms are one
    assert PointCloud([[1.0, 2.0]]).gap([[0.0, 0.0]])[0] == np.inf


@pytest.mark.parametrize("shift", [0, 1000])
@pytest.mark.parametrize("d", [2, 6, 64])
def test_atoms_come_back_bit_for_bit_at_small_sigma(d, shift):
    rng = np.random.default_rng(0)
    p = shift + rng.integers(0, 17, size=(200, d)) / 16 * (rng.random((200, d)) > 0.3)
    p = np.unique(p, axis=0)
    x = p + 1e-4 * rng.normal(size=p.shape)
    for sigma in (1e-3, 1e-6, 1e-120, 1e-150):
        np.testing.assert_array_equal(PointCloud(p).noised(1.0, sigma).denoise(x), p)


@pytest.mark.parametrize("scale", [1.0, 0.7])
@pytest.mark.parametrize("sigma", [3.0, 0.3, 0.05, 1e-2, 1e-3, 1e-6])
def test_cure_of_the_expanded_form_near_ties(sigma, scale):
    """Queries on bisectors of close pairs in a wide cloud: the expanded form is off by eps R^2 / sigma^2, the law
    must not be, only by eps |x - p| |p_a - p_b| / sigma^2."""
    rng = np.random.default_rng(4)
    p = 100 + 30 * rng.normal(size=(150, 8))
    p = np.concatenate([p, p + 0.04 * rng.normal(size=p.shape)])
    a = rng.permutation(150)[:40]
    b = a + 150
    gap = np.linalg.norm(p[a] - p[b], axis=1)
    x = (p[a] + p[b]) / 2 + np.minimum(sigma**2 / gap, 0.1)[:, None] * rng.normal(size=(40, 8))
    x = x * scale
    h = ((x[:, None].astype(np.longdouble) - np.longdouble(scale) * p[None].astype(np.longdouble)) ** 2).sum(
        -1
    ) / 2
    w = np.exp(-(h - h.min(axis=1, keepdims=True)) / np.longdouble(sigma) ** 2)
    w = w / w.sum(axis=1, keepdims=True)
    want = w @ (p.astype(np.longdouble) - 100)
    got = PointCloud(p).noised(scale, sigma).denoise(x) - 100
    # Rounding of x - s p: eps |x - s p| |p_a - p_b| / sigma^2 in a logit, times |p_a - p_b|; and eps of the
    # sums. Where s p is not a float, the rounding of that product too.
    centred = np.sqrt(np.maximum(h.min(axis=1), 0)).astype(float) * np.sqrt(2)
    tol = 8 * EPS * (100 + (centred + (scale != 1) * np.linalg.norm(x, axis=1)) * gap**2 / sigma**2)
    assert np.all(np.abs(got - want).max(axis=1) <= tol)


# -- accuracy of construction --------------------------------------------------------------------------------


def test_from_sklearn(accuracy):
    from sklearn.mixture import GaussianMixture as Fitted

    x = np.random.default_rng(0).normal(size=(300, 3)) * [1, 2, 3]
    for kind in ("full", "tied", "diag", "spherical"):
        fitted = Fitted(3, covariance_type=kind, random_state=0).fit(x)
        law = GaussianMixture.from_sklearn(fitted)
        want = fitted.score_samples(x)
        accuracy("laws.GaussianMixture.from_sklearn", np.abs(law.log_density(x) / want - 1), 1e-11, "scikit-learn's density")


@pytest.mark.parametrize("components", [1, 3, 10])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_from_sklearn_of_float32_data(kind, components):
    """Weights and symmetry of such a fit are right to float32 only; the law is the mixture of its parameters."""
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal
    from sklearn.mixture import GaussianMixture as Fitted

    x = datasets.digits()[:, 20:30].astype(np.float32)
    fitted = Fitted(components, covariance_type=kind, random_state=0, reg_covar=1e-2).fit(x)
    law = GaussianMixture.from_sklearn(fitted)
    C, d = np.asarray(fitted.covariances_, dtype=float), x.shape[1]
    matrices = {
        "full": lambda k: C[k], "tied": lambda k: C, "diag": lambda k: np.diag(C[k]), "spherical": lambda k: C[k] * np.eye(d)
    }  # fmt: skip
    w = np.asarray(fitted.weights_, dtype=float)
    parts = [multivariate_normal(fitted.means_[k].astype(float), matrices[kind](k)) for k in range(components)]
    want = logsumexp([np.log(w[k] / w.sum()) + part.logpdf(x) for k, part in enumerate(parts)], axis=0)
    # scipy reads one triangle of a matrix that is symmetric to 6e-8, of condition up to 1e4
    assert np.abs(law.log_density(x.astype(float)) / want - 1).max() <= 1e-3
    assert np.abs(law.score(law.means)).max() < 1e4
    # float32 scores, of 10 to 100
    assert np.abs(law.log_density(x.astype(float)) - fitted.score_samples(x)).max() <= 0.1


def test_from_sklearn_refuses_a_bayesian_mixture_and_says_what_would_work():
    from sklearn.mixture import BayesianGaussianMixture as Fitted

    x = np.random.default_rng(0).normal(size=(300, 3)) + 5 * (np.arange(300) < 100)[:, np.newaxis]
    fitted = Fitted(n_components=2, random_state=0).fit(x)
    with pytest.raises(ValueError, match=r"^fitted: got .*; expected .*scores of a BayesianGaussianMixture") as info:
        GaussianMixture.from_sklearn(fitted)
    remedy = str(info.value)[str(info.value).rindex("GaussianMixture(") : -1]
    law = eval(remedy, {"GaussianMixture": GaussianMixture, "fitted": fitted})
    assert np.abs(law.log_density(x) - fitted.score_samples(x)).max() > 0.01  # the reason
    assert np.array_equal(law.means, fitted.means_)


# -- forms of covariances ------------------------------------------------------------------------------------


def test_a_shared_matrix_is_not_read_as_two_diagonals():
    """K = d = 2: the shape does not tell, and the law was another one, log density off by 0.6."""
    means, C = [[0.0, 0.0], [2.0, 1.0]], np.array([[1.0, 0.9], [0.9, 1.0]])
    with pytest.raises(ValueError, match=r"(?s)^covariances \(shape \(2, 2\).*'diag'.*'tied'"):
        GaussianMixture(None, means, C)
    tied = GaussianMixture(None, means, C, covariance_type="tied")
    full = GaussianMixture(None, means, np.stack([C, C]), covariance_type="full")
    x = np.random.default_rng(0).normal(size=(5, 2))
    assert np.array_equal(tied.log_density(x), full.log_density(x))
    assert tied.covariances.shape == (2, 2, 2)
    assert tied.covariance_type == full.covariance_type == "full"
    rows = GaussianMixture(None, means, C, covariance_type="diag")
    apart = GaussianMixture(None, means, np.stack([np.diag(row) for row in C]))
    assert np.abs(rows.log_density(x) - apart.log_density(x)).max() <= 1e-14
    assert np.abs(rows.log_density(x) - tied.log_density(x)).max() > 0.1
    assert rows.covariance_type == "diag"


@pytest.mark.parametrize("K", [1, 2, 3])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_what_the_shape_says_and_what_the_type_says_agree(K, d):
    rng = np.random.default_rng(10 * K + d)
    means, A, x = rng.normal(size=(K, d)), rng.normal(size=(K, d, d)), rng.normal(size=(4, d))
    forms = {"spherical": rng.uniform(1, 2, K), "diag": rng.uniform(1, 2, (K, d)), "full": A @ np.swapaxes(A, 1, 2)}
    for name, C in forms.items():
        said = GaussianMixture(None, means, C, covariance_type=name)
        assert said.covariance_type == name
        assert np.array_equal(said.covariances, C)
        again = GaussianMixture(None, said.means, said.covariances, covariance_type=said.covariance_type)
        assert np.array_equal(again.score(x), said.score(x))
        if name == "diag" and K == d > 1:
            continue
        read = GaussianMixture(None, means, C)
        assert read.kind == said.kind
        assert np.array_equal(read.score(x), said.score(x))


def test_small_eigenvalues_have_full_relative_precision():
    from mpmath import eigsy, lu_solve, matrix, workdps

    rng = np.random.default_rng(3)
    Q, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    C = (Q * np.geomspace(1, 1e-8, 8)) @ Q.T
    C = (C + C.T) / 2
    with workdps(40):
        want = np.array([float(v) for v in eigsy(matrix(C.tolist()), eigvals_only=True)])
    law = GaussianMixture(None, np.zeros((1, 8)), C[None])
    assert np.abs(np.sort(law._lam[0]) / want - 1).max() <= 4 * EPS
    assert (
        np.abs(np.linalg.eigvalsh(C) / want - 1).max() > 1e4 * EPS
    )  # LAPACK alone: eps times the condition number
    # A cluster of equal small eigenvalues: the score must not see how the cluster is rotated.
    Q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    C = (Q * np.array([1.0, 1.0, 1e-7, 1e-7, 1e-7, 1e-7])) @ Q.T
    C = (C + C.T) / 2
    law = GaussianMixture(None, np.zeros((1, 6)), C[None])
    x = rng.normal(size=(1, 6)) * 1e-3
    with workdps(40):
        want = -np.array([float(v) for v in lu_solve(matrix(C.tolist()), matrix(x[0].tolist()))])
    # x conditions the score by |C^-1| |x| / |score| <= 1e7 |x| / |score|
    tol = 16 * EPS * 1e7 * np.linalg.norm(x)
    assert np.linalg.norm(law.score(x)[0] - want) <= tol


def test_a_component_far_smaller_than_another_is_not_singular():
    """Eigenvalues are zeros beside the largest of their own component, not of all."""
    rng = np.random.default_rng(4)
    A = rng.normal(size=(3, 3))
    C = A @ A.T + np.eye(3)
    law = GaussianMixture([0.4, 0.6], [[5.0, 5.0, 5.0], [0.0, 0.0, 0.0]], np.stack([C, 1e-24 * C]))
    assert np.all(law._lam > 0)
    small = GaussianMixture(None, np.zeros((1, 3)), 1e-24 * C[None])
    x = 1e-12 * rng.normal(size=(5, 3))  # where the density of the other component is 1e-36 of the whole
    want = np.log(0.6) + small.log_density(x)
    assert np.max(np.abs(law.log_density(x) - want)) <= 1e-12 * np.max(np.abs(want))


@pytest.mark.parametrize("e", [1e-6, 1e-8, 1e-10])
def test_small_variances_of_full_covariances_are_not_zeros(e):
    """Standard deviations 1 and e: the entries determine the small eigenvalue, also below eps of the large one."""
    for root in (np.eye(2), np.array([[1.0, 0.0], [0.5, 0.75]])):
        a = np.array([[1.0], [e]]) * root
        C = a @ a.T
        law = GaussianMixture([1.0], np.zeros((1, 2)), C[None])
        x = np.array([[0.5, 0.3 * e]])
        with mp.workdps(80):
            M = mp.matrix([[mp.mpf(float(v)) for v in row] for row in C])
            want = -mp.lu_solve(M, mp.matrix([mp.mpf(float(v)) for v in x[0]]))
            got = law.score(x)[0]
            # in the unit of each coordinate; eigenvalues are right to 2^-98 of the largest, relatively 1e-9 at 1e-20
            assert abs(got[0] - want[0]) <= 1e-9
            assert abs(got[1] - want[1]) * e <= 1e-9
    literal = GaussianMixture([1.0], np.zeros((1, 2)), np.diag([1.0, e**20])[None])
    assert np.array_equal(literal._lam, [[e**20, 1.0]])


def test_full_covariances_whose_small_variances_are_not_known_are_refused():
    with pytest.raises(ValueError, match=r"covariances of component 0, variance -1e-17"):
        GaussianMixture([1.0], np.zeros((1, 2)), np.diag([1.0, -1e-17])[None])
    with pytest.raises(ValueError, match=r"variances 1e-24 to 1: got .*covariance_type='diag'"):
        GaussianMixture([1.0], np.zeros((1, 2)), [[[1.0, 5e-13], [5e-13, 1e-24]]])


# -- memory --------------------------------------------------------------------------------------------------


def peak(function):
    function()  # caches
    tracemalloc.start()
    try:
        out = function()
        return tracemalloc.get_traced_memory()[1], out
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sigma", [2.0, 0.3, 0.01, 0.0])
def test_memory_of_a_cloud_is_bounded(sigma):
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.random((1797, 64)))
    x = rng.random((2000, 64))
    used, out = peak(lambda: cloud.noised(1.0, sigma).denoise(x))
    assert used <= 64 * 2**20 + 2 * out.nbytes  # twice: the blocks and their concatenation
    if sigma == 0.3:
        used, _ = peak(lambda: cloud.noised(1.0, sigma).score(x))
        assert used <= 64 * 2**20 + 2 * out.nbytes
        used, out = peak(lambda: cloud.noised(1.0, sigma).posterior_covariance(x[:100]))
        assert used <= 64 * 2**20 + 2 * out.nbytes
        assert peak(lambda: cloud.nearest(x))[0] <= 64 * 2**20 + x.nbytes


def test_memory_of_a_mixture_is_bounded():
    rng = np.random.default_rng(0)
    K, d, n = 32, 32, 3000
    law = GaussianMixture(None, rng.normal(size=(K, d)), _covariances(rng, K, d))
    x = rng.normal(size=(n, d))
    for kind in ("denoise", "score", "log_density"):
        used, out = peak(lambda kind=kind: getattr(law.noised(1.0, 0.5), kind)(x))
        assert used <= 10 * 8 * BLOCK_DOUBLES + 2 * out.nbytes
    used, out = peak(lambda: law.noised(1.0, 0.5).hessian(x[:500]))
    assert used <= 10 * 8 * BLOCK_DOUBLES + 2 * out.nbytes  # K n d^2 doubles would be 131 MB


# -- other array namespaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_array_api_strict_agrees_with_numpy(name):
    law = make(name)
    x = queries(law, 9)
    other = array_api_strict.asarray(x)
    sigma = np.linspace(0.2, 1.5, 9)

    def same(a, b):
        assert type(a).__module__.startswith("array_api_strict")
        a = np.asarray(a)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-13 * max(np.abs(b).max(), 1.0)

    for level in (
        (1.0, 0.5),
        (0.7, sigma),
        (1.0, 1e-5),
        (1.0, 0.0),
        (1.0, np.where(np.arange(9) % 2, 0.0, 0.5)),
    ):
        q = law.noised(*level)
        for kind in METHODS:
            if hasattr(q, kind) and (np.min(level[1]) > 1e-3 or kind in ("denoise", "posterior_covariance")):
                same(getattr(q, kind)(other), getattr(q, kind)(x))
    q = law.noised(array_api_strict.asarray(0.9), array_api_strict.asarray(sigma))
    same(q.denoise(other), law.noised(0.9, sigma).denoise(x))
    for kind in ("project", "distance", "gap"):
        if hasattr(law, kind):
            same(getattr(law, kind)(other), getattr(law, kind)(x))
    if hasattr(law, "nearest"):
        np.testing.assert_array_equal(np.asarray(law.nearest(other)[0]), law.nearest(x)[0])
    if hasattr(law, "log_density") and name in ("full", "zero-weight"):
        for kind in ("log_density", "score", "hessian"):
            same(getattr(law, kind)(other), getattr(law, kind)(x))


# -- wrappers ------------------------------------------------------------------------------------------------


def test_denoiser_wraps_a_function_in_ve_coordinates():
    law = make("full")
    wrapped = Denoiser(lambda x, sigma: law.noised(1.0, sigma).denoise(x), law.dim)
    x = queries(law, 5)
    for scale, sigma in ((1.0, 0.5), (0.6, 0.8), (np.linspace(0.2, 1, 5), np.linspace(0.3, 0.4, 5))):
        np.testing.assert_allclose(
            wrapped.noised(scale, sigma).denoise(x), law.noised(scale, sigma).denoise(x), atol=1e-13
        )


def test_counted_counts_calls_and_rows():
    counted = Counted(make("cloud"))
    x = queries(counted, 6)
    assert counted.calls["denoise"] == 0
    np.testing.assert_array_equal(
        counted.noised(1.0, 0.5).denoise(x), counted.law.noised(1.0, 0.5).denoise(x)
    )
    counted.noised(0.5, 0.5).noised(1.0, 0.5).score(x[:2])
    counted.noised(1.0, 0.5).denoise(x[:3])
    counted.project(x)
    assert dict(counted.calls) == {"denoise": 2, "score": 1, "project": 1}
    assert dict(counted.rows) == {"denoise": 9, "score": 2, "project": 6}
    assert counted.dim == counted.law.dim
    assert not hasattr(counted, "log_density")
    assert not hasattr(counted.noised(1.0, 0.5), "project")
    counted.reset()
    assert not counted.calls
    assert not counted.rows


# -- scale 0: pure noise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", laws.REGISTRY)
@pytest.mark.parametrize(
    ("scale", "sigma"), [(0.0, 1.0), (0.0, 0.3), (np.array([0.0, 0.5, 0.0]), np.array([2.0, 1.0, 1e-3]))], ids=str
)
def test_at_scale_0_an_observation_says_nothing(kind, scale, sigma):
    """The law of sigma Z is N(0, sigma^2 I); that of X given it is the law itself."""
    law = laws.REGISTRY[kind]()
    if kind == "flat":
        with pytest.raises(ValueError, match=r"^scale: .*no prior mean"):
            law.noised(scale, sigma)
        return
    q, x, d = law.noised(scale, sigma), np.random.default_rng(0).normal(size=(3, law.dim)), law.dim
    rows = np.broadcast_to(scale, 3) == 0
    s = np.broadcast_to(sigma, 3)[rows]
    x0 = x[rows]
    size = 1 + np.abs(law.mean).max() + np.abs(law.covariance).max()
    assert np.abs(q.denoise(x)[rows] - law.mean).max() <= 64 * EPS * size
    assert np.abs(q.posterior_covariance(x)[rows] - law.covariance).max() <= 64 * EPS * size
    assert np.abs(q.score(x)[rows] * s[:, None] ** 2 / -x0 - 1).max() <= 64 * EPS
    assert np.abs(q.hessian(x)[rows] * s[:, None, None] ** 2 + np.eye(d)).max() <= 64 * EPS
    want = -0.5 * np.sum((x0 / s[:, None]) ** 2, axis=1) - d * (np.log(s) + 0.5 * np.log(2 * np.pi))
    assert np.abs(q.log_density(x)[rows] / want - 1).max() <= 64 * EPS
    if hasattr(q, "prox"):
        assert np.abs(q.prox(x, 0.7)[rows] * (1 + 0.7 / s[:, None] ** 2) / x0 - 1).max() <= 1e-12
    if not np.ndim(scale):
        assert np.array_equal(q.mean, np.zeros(d))
        assert np.array_equal(q.covariance, sigma**2 * np.eye(d))
        assert np.abs(q.sample(2000, 0)).max() <= 6 * sigma


def test_a_denoiser_at_scale_0_is_refused():
    with pytest.raises(ValueError, match=r"^scale: got 0.0; expected scale > 0"):
        Denoiser(lambda x, sigma: x, 2).noised(0.0, 1.0)
