"""Gaussian closed forms and one-dimensional quadrature against 60-digit references."""

import math

import mpmath as mp
import numpy as np
import pytest

from exactdiffusion import distances

EPS = np.finfo(float).eps


def spd(rng, d, condition):
    q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    c = (q * np.geomspace(1, 1 / condition, d)) @ q.T
    return (c + c.T) / 2


def mp_matrix(a):
    return mp.matrix([[mp.mpf(float(v)) for v in row] for row in np.atleast_2d(a)])


def mp_sqrt(a):
    values, vectors = mp.eigsy(a)
    return vectors * mp.diag([mp.sqrt(max(v, 0)) for v in values]) * vectors.T


def mp_bures(m1, c1, m2, c2):
    c1, c2 = mp_matrix(c1), mp_matrix(c2)
    root = mp_sqrt(c1)
    cross = mp_sqrt(root * c2 * root)
    trace = sum(c1[i, i] + c2[i, i] - 2 * cross[i, i] for i in range(c1.rows))
    return mp.sqrt(sum((mp.mpf(float(a)) - mp.mpf(float(b))) ** 2 for a, b in zip(m1, m2, strict=True)) + trace)


def mp_kl(m1, c1, m2, c2):
    d = len(m1)
    c1, c2 = mp_matrix(c1), mp_matrix(c2)
    inverse = c2**-1
    shift = mp.matrix([mp.mpf(float(a)) - mp.mpf(float(b)) for a, b in zip(m1, m2, strict=True)])
    product = inverse * c1
    quadratic = (shift.T * inverse * shift)[0]
    return (sum(product[i, i] for i in range(d)) - d - mp.log(mp.det(product)) + quadratic) / 2


@pytest.fixture(autouse=True)
def sixty_digits():
    with mp.workdps(60):
        yield


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("distance", [1.0, 1e-3, 1e-7, 1e-11])
def test_bures_against_mpmath(d, condition, distance, accuracy):
    rng = np.random.default_rng(d)
    c1 = spd(rng, d, condition)
    e = rng.normal(size=(d, d))
    root = np.linalg.cholesky(c1)
    c2 = root @ (np.eye(d) + distance * (e @ e.T)) @ root.T
    c2 = (c2 + c2.T) / 2
    m1, m2 = rng.normal(size=d), np.zeros(d)
    exact = mp_bures(np.zeros(d), c1, m2, c2)
    got = distances.bures_w2(np.zeros(d), c1, m2, c2)
    # square roots of the small eigenvalues carry eps sqrt(condition); the differences are then formed directly
    limit = 16 * d * EPS * math.sqrt(condition) * math.sqrt(np.trace(c1 + c2))
    accuracy("distances.bures_w2", float(abs(got - exact)), limit, "60 digits, mpmath")
    exact = mp_bures(m1, c1, m2, c2)
    error = abs(distances.bures_w2(m1, c1, m2, c2) / exact - 1)
    accuracy("distances.bures_w2", float(error), 16 * d * EPS * (1 + math.sqrt(condition)), "60 digits, mpmath")


def test_bures_where_the_trace_formula_fails():
    """Planted control: the textbook formula at distance 1e-10 has no digit left."""
    c1, c2 = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[2.0, 1.0], [1.0, 1.0 + 2**-33]])
    exact = mp_bures([0, 0], c1, [0, 0], c2)
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root)).sum()
    textbook = math.sqrt(abs(np.trace(c1 + c2) - 2 * cross))
    assert abs(textbook - exact) > 0.5 * exact
    assert abs(distances.bures_w2([0, 0], c1, [0, 0], c2) - exact) <= 64 * EPS


@pytest.mark.parametrize("d", [1, 3, 8])
def test_bures_commuting_and_diagonal(d):
    rng = np.random.default_rng(d)
    a, b, m = rng.exponential(size=d), rng.exponential(size=d), rng.normal(size=d)
    a[0] = 0.0  # a singular covariance
    exact = math.sqrt(m @ m + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())
    q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    scale = 64 * d * EPS * (1 + exact)
    assert abs(distances.bures_w2(m, a, np.zeros(d), b) - exact) <= scale
    assert abs(distances.bures_w2(m, np.diag(a), np.zeros(d), b) - exact) <= scale
    # rotated: the zero eigenvalue is rounding of size eps, cut off at d eps; its root is what would show
    rotated = (q * a) @ q.T, (q * b) @ q.T
    rotated = [(c + c.T) / 2 for c in rotated]
    assert abs(distances.bures_w2(q @ m, rotated[0], np.zeros(d), rotated[1]) - exact) <= scale
    assert distances.bures_w2(m, 2.0, m, 2.0) == 0.0
    assert abs(distances.bures_w2(m, 4.0, m, 1.0) - math.sqrt(d)) <= 8 * EPS * d


def test_bures_singular_different_ranges():
    """Two segments at right angles: cross term 0, so W2^2 is the sum of both traces."""
    c1, c2 = np.diag([4.0, 0.0]), np.diag([0.0, 9.0])
    assert abs(distances.bures_w2([0, 0], c1, [0, 0], c2) - math.sqrt(13)) <= 8 * EPS * 4
    u, v = np.array([[0.6, 0.8]]), np.array([[-0.8, 0.6]])
    got = distances.bures_w2([0, 0], 4 * u.T @ u, [0, 0], 9 * v.T @ v)
    assert abs(got - math.sqrt(13)) <= 64 * EPS * 4


def test_bures_is_the_limit_of_empirical_w2(accuracy):
    """An affine optimal map sends the sample itself to a sample with the transformed moments: equality at finite n."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]])
    root = np.array([[1.5, 0.2], [0.2, 0.7]])  # symmetric positive definite
    y = x @ root + [0.3, -1.0]
    result = distances.w2(x, y)
    bound = distances.gelbrich(x, y)
    limit = result.gap / result.value + 64 * EPS * result.value
    accuracy("distances.gelbrich", abs(bound - result.value), limit, "transport of an affine image")
    moments = [(z.mean(axis=0), np.cov(z.T, ddof=0)) for z in (x, y)]
    assert abs(distances.gelbrich(*moments) - bound) <= 256 * EPS
    assert abs(distances.gelbrich(moments[0], y) - bound) <= 256 * EPS
    y[0] += 0.5  # no longer affine: strict
    assert distances.gelbrich(x, y) < distances.w2(x, y).lower


def test_gelbrich_translation_is_exact_with_few_samples():
    """n < d: the sample covariances are singular, and square roots of their rounding would cost 1e-8."""
    x = np.random.default_rng(0).normal(size=(4, 10))
    y = x + 1e-9
    assert abs(distances.gelbrich(x, y) - math.sqrt(10) * 1e-9) <= 64 * EPS
    w = np.array([0.1, 0.2, 0.3, 0.4])
    assert distances.gelbrich(x, y[::-1], w, w[::-1]) <= distances.w2(x, y[::-1], w, w[::-1]).value + 64 * EPS


def test_gelbrich_takes_a_law():
    class Law:
        mean = np.zeros(2)
        covariance = np.eye(2)

    assert abs(distances.gelbrich(Law(), (np.array([3.0, 4.0]), 1.0)) - 5) <= 8 * EPS * 5


@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("distance", [1.0, 1e-2, 1e-5, 1e-10])
@pytest.mark.parametrize("condition", [1.0, 1e3])
def test_kl_relative_accuracy_against_mpmath(d, distance, condition, accuracy):
    """KL ~ distance^2, down to 1e-20, relative."""
    rng = np.random.default_rng(d)
    c2 = spd(rng, d, condition)
    e = rng.normal(size=(d, d))
    root = np.linalg.cholesky(c2)
    c1 = c2 + distance * root @ (e + e.T + 2 * d * np.eye(d)) / 4 @ root.T
    c1 = (c1 + c1.T) / 2
    m1, m2 = distance * root @ rng.normal(size=d), np.zeros(d)
    exact = mp_kl(m1, c1, m2, c2)
    got = distances.gaussian_kl(m1, c1, m2, c2)
    # whitening by C2^{-1/2} amplifies rounding by the condition number, relatively
    accuracy("distances.gaussian_kl", float(abs(got / exact - 1)), 64 * d * condition * EPS, "60 digits, mpmath")
    if distance == 1e-10 and condition > 1 and d > 1:  # at C2 = I the ratio and its logarithm are exact
        assert exact < 1e-18
        with np.errstate(all="ignore"):
            ratio = np.linalg.solve(c2, c1)
            textbook = (np.trace(ratio) - d - np.linalg.slogdet(ratio)[1]) / 2
        assert abs(textbook - exact) > 0.5 * exact  # planted control


def test_kl_of_nearly_equal_diagonals():
    for u in (1e-3, 1e-8, 2.0**-40, -0.999, 50.0, -0.5, 0.5, 0.50001):
        exact = (mp.mpf(1 + u) - 1 - mp.log(mp.mpf(1 + u))) / 2
        assert abs(distances.gaussian_kl([0.0], 1 + u, [0.0], 1.0) - exact) <= 8 * EPS * exact


def test_kl_direction_and_identities():
    rng = np.random.default_rng(0)
    c1, c2, m1, m2 = spd(rng, 3, 10.0), spd(rng, 3, 5.0), rng.normal(size=3), rng.normal(size=3)
    forward, backward = distances.gaussian_kl(m1, c1, m2, c2), distances.gaussian_kl(m2, c2, m1, c1)
    assert abs(forward - backward) > 0.1
    assert distances.gaussian_kl(m1, c1, m1, c1) == 0.0
    a = rng.normal(size=(3, 3))  # invariance under affine maps
    images = [a @ c @ a.T for c in (c1, c2)]
    images = [(c + c.T) / 2 for c in images]
    slack = 1e3 * EPS * np.linalg.cond(a) ** 2 * 10
    assert abs(distances.gaussian_kl(a @ m1, images[0], a @ m2, images[1]) - forward) <= slack * forward
    sums = [distances.gaussian_kl(m1[i : i + 1], 2.0, m2[i : i + 1], 3.0) for i in range(3)]
    assert abs(distances.gaussian_kl(m1, 2.0, m2, 3.0) - sum(sums)) <= 16 * EPS * sum(sums)


def test_kl_singular():
    line, other = np.diag([1.0, 0.0]), np.diag([2.0, 0.0])
    zero = np.zeros(2)
    half = distances.gaussian_kl([0.0], 1.0, [0.0], 2.0)
    assert distances.gaussian_kl(zero, line, zero, other) == half
    assert distances.gaussian_kl(zero, line, [0.0, 1e-300], other) == math.inf
    assert distances.gaussian_kl(zero, line, zero, np.eye(2)) == math.inf
    assert distances.gaussian_kl(zero, np.eye(2), zero, line) == math.inf
    assert distances.gaussian_kl(zero, line, zero, np.diag([0.0, 1.0])) == math.inf
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    c1, c2 = (q * [1.0, 3.0, 0.0]) @ q.T, (q * [2.0, 1.0, 0.0]) @ q.T
    c1, c2 = (c1 + c1.T) / 2, (c2 + c2.T) / 2
    exact = distances.gaussian_kl(np.zeros(2), np.array([1.0, 3.0]), np.zeros(2), np.array([2.0, 1.0]))
    assert abs(distances.gaussian_kl(np.zeros(3), c1, np.zeros(3), c2) - exact) <= 256 * EPS
    inside = distances.gaussian_kl(q[:, 0], c1, np.zeros(3), c2)
    assert abs(inside - exact - 0.25) <= 256 * EPS
    assert distances.gaussian_kl(q[:, 2], c1, np.zeros(3), c2) == math.inf
    assert distances.gaussian_kl(np.zeros(3), (q * [1.0, 0.0, 3.0]) @ q.T, np.zeros(3), c2) == math.inf
    assert distances.gaussian_kl(np.zeros(3), np.eye(3), np.zeros(3), c2) == math.inf
    assert distances.gaussian_kl(np.zeros(3), (q * [1.0, 0.0, 0.0]) @ q.T, np.zeros(3), c2) == math.inf


def test_kl_of_a_singular_first_law_is_infinite_for_every_rotation():
    """The eigenvalue -1 of the relative difference comes out as -1 +- eps: only the rank says infinity reliably."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        c1, c2 = (q * [1.0, 2.0, 0.5, 0.0]) @ q.T, spd(rng, 4, 3.0)
        assert distances.gaussian_kl(np.zeros(4), (c1 + c1.T) / 2, np.zeros(4), c2) == math.inf


# inputs whose small entries count


def gram(a):
    c = a @ a.T
    return (c + c.T) / 2


def full(c, d):
    c = np.asarray(c, dtype=float)
    return c if c.ndim == 2 else np.diag(np.broadcast_to(c, (d,)))


ROOT = np.array([[1.0, 0.0], [0.5, 0.75]])
OTHER = np.array([[1.0, 0.0], [0.25, 0.5]])
TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])


def small_entries():
    """Pairs of covariances whose answer lies in entries far below the largest one."""
    for e in (1e-4, 1e-8, 1e-10):  # standard deviations, so the variances differ by up to 1e20
        scale = np.array([[1.0], [e]])
        yield f"diagonal {e}", [1.0, e * e], [1.0, 4 * e * e]
        yield f"diagonal matrix {e}", np.diag([1.0, e * e]), np.diag([1.0, 4 * e * e])
        yield f"correlated {e}", gram(scale * ROOT), gram(scale * OTHER)
        yield f"small first {e}", gram(scale[::-1] * ROOT), gram(scale[::-1] * OTHER)
        yield f"against a diagonal {e}", gram(scale * ROOT), [1.0, e * e]
        block1, block2 = np.eye(3), np.eye(3)
        block1[1:, 1:], block2[1:, 1:] = e * e * gram(ROOT), e * e * gram(OTHER)
        yield f"block {e}", block1, block2
        yield f"much smaller first law {e}", e * e * np.ones(2), gram(ROOT)
    for e in (1e-8, 1e-10, 1e-12):  # the eigenvalue e of a rotated matrix is known to eps of the largest entry, exactly so
        yield f"rotated {e}", gram(TURN * np.sqrt([1.0, e])), gram(TURN * np.sqrt([1.0, 4 * e]))
        yield f"rotated otherwise {e}", gram(TURN * np.sqrt([1.0, e])), gram(TURN.T * np.sqrt([2.0, e]))
    for h in (1e-7, 1e-10, 1e-13):
        yield f"near {h}", gram(ROOT), gram(ROOT) * (1 + h)
        yield f"near, diagonal {h}", [1.0, 0.1], [1 + h, 0.1 * (1 + h)]
        yield f"near, rotated {h}", gram(TURN * [1.0, 1e-4]), gram(TURN * [1 + h, 1e-4])
    yield "tiny scale", 1e-160 * gram(ROOT), 1e-160 * gram(OTHER)
    yield "tinier scale", 1e-300 * gram(ROOT), 1e-300 * gram(OTHER)
    yield "far apart scales", [1e-150, 1.0], [1e150, 1.0]


@pytest.mark.parametrize(("c1", "c2"), [pytest.param(*c[1:], id=c[0]) for c in small_entries()])
def test_small_entries_count_relative_to_the_answer(c1, c2, accuracy):
    """Neither an eigenvalue nor an error is judged against the largest entry: both answers are relatively right."""
    d = len(c1)
    zero, f1, f2 = np.zeros(d), full(c1, d), full(c2, d)
    for m in (zero, 0.3 * np.sqrt(np.diag(f1))):
        for a, b, fa, fb in ((c1, c2, f1, f2), (c2, c1, f2, f1)):
            with mp.workdps(700 if np.max(f1 + f2) > 1e100 else 140):  # determinants and traces that cancel
                w2 = mp_bures(m, fa, zero, fb)
                unit = mp.diag([1 / mp.sqrt(mp.mpf(float(v))) for v in np.diag(fb)])  # KL is invariant: mpmath's pivots
                shift = [x * unit[i, i] for i, x in enumerate(m)]
                A, B = unit * mp_matrix(fa) * unit, unit * mp_matrix(fb) * unit
                inverse = B**-1
                quadratic = sum(shift[i] * inverse[i, j] * shift[j] for i in range(d) for j in range(d))
                kl = (sum((inverse * A)[i, i] for i in range(d)) - d - mp.log(mp.det(A) / mp.det(B)) + quadratic) / 2
            # products with the exact matrices round once: d eps times the condition number of what is solved, below 1e4
            error = float(abs(distances.bures_w2(m, a, zero, b) / w2 - 1))
            accuracy("distances.bures_w2", error, 1e4 * d * EPS, "140 digits, mpmath")
            error = float(abs(distances.gaussian_kl(m, a, zero, b) / kl - 1))
            accuracy("distances.gaussian_kl", error, 1e4 * d * EPS, "140 digits, mpmath")


@pytest.mark.parametrize("spread", [0, 6, 20, 60])
@pytest.mark.parametrize("d", [2, 4])
def test_random_graded_covariances(d, spread, accuracy):
    """Standard deviations in random order, down to 10^(-spread/2); factors that differ by 1, 1e-6 and 1e-12."""
    rng = np.random.default_rng(spread + d)
    zero = np.zeros(d)
    for h in (1.0, 1e-6, 1e-12):
        scale = 10.0 ** (-rng.uniform(0, spread, size=(d, 1)) / 2)
        a = np.eye(d) + 0.3 * rng.normal(size=(d, d))
        c1, c2 = gram(scale * a), gram(scale * (a + h * rng.normal(size=(d, d))))
        with mp.workdps(200):
            w2, kl = mp_bures(zero, c1, zero, c2), mp_kl(zero, c1, zero, c2)
        # factors of graded covariances are right to d eps cond(a)^2 in every row, and a difference of 1e-12 is exact
        limit = 1e3 * d * EPS * np.linalg.cond(a) ** 2
        accuracy(
            "distances.bures_w2", float(abs(distances.bures_w2(zero, c1, zero, c2) / w2 - 1)), limit, "200 digits, mpmath"
        )
        error = float(abs(distances.gaussian_kl(zero, c1, zero, c2) / kl - 1))
        accuracy("distances.gaussian_kl", error, limit, "200 digits, mpmath")


@pytest.mark.parametrize("f", [distances.bures_w2, distances.gaussian_kl])
@pytest.mark.parametrize(
    ("cov", "message"),
    [
        ([[1.0, 2e-10], [2e-10, 1e-20]], "eigenvalue -0.399 where all variances are near 1"),
        ([[1.0, 0.0, 0.0], [0.0, 1e-20, 3e-20], [0.0, 3e-20, 1e-20]], "eigenvalue -1.48"),
        ([[1.0, 5e-11], [2e-11, 1e-20]], "not symmetric"),
        ([[1.0, 1e-17], [1e-17, -1e-17]], "variance -1e-17"),
        ([[1.0, 1e-9], [1e-9, 0.0]], "a variance of 0 in a row that is not 0"),
        ([[0.0, 1.0], [1.0, 0.0]], "a variance of 0"),
    ],
)
def test_small_entries_that_are_no_covariance_are_refused(f, cov, message):
    """All of them are semidefinite to the rounding of the largest entry, and were accepted for that."""
    zero = np.zeros(len(cov))
    with pytest.raises(ValueError, match=rf"(?s)cov2 \({message}.*also in its small entries.*np.maximum\(w, 0\)"):
        f(zero, 1.0, zero, np.array(cov))


def test_rounding_of_rotations_is_no_reason_to_refuse():
    """Q C Q^T in two products is semidefinite to the rounding of its largest entry only; so are its variances.

    Whether its third eigenvalue, rounding, counts as 0 (below d eps) is up to the machine: the KL is inf, or that of an
    eigenvalue of at most 16 d eps of the largest.
    """
    for seed in range(200):
        rng = np.random.default_rng(seed)
        q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        c = q @ gram(rng.normal(size=(3, 2))) @ q.T
        assert distances.bures_w2(np.zeros(3), c, np.zeros(3), (c + c.T) / 2) <= 1e-14 * np.trace(c) ** 0.5
        _, middle, top = np.linalg.eigvalsh((c + c.T) / 2)
        least = 0.5 * (np.trace(c) - 3 - math.log(middle * top * 16 * 3 * EPS * top))
        assert distances.gaussian_kl(np.zeros(3), c, np.zeros(3), np.eye(3)) >= least > 10


@pytest.mark.parametrize("offset", [1e6, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
def test_gelbrich_at_a_large_offset_stays_a_lower_bound(offset, weighted):
    """Means of numbers near 1e8 round by 1e-8: the bound of a translation by 1e-6 was 6 % above the distance."""
    x = np.round(np.random.default_rng(0).normal(size=(300, 2)) * 2**20) / 2**20 + offset
    y = x + 2.0**-20  # exact, as all sums of x and powers of two above 2^-26
    w = np.full(300, 1 / 300) if weighted else None
    exact = 2.0**-20 * math.sqrt(2)
    # both clouds are centred without rounding, and their factors are the same
    assert abs(distances.gelbrich(x, y, w, w) - exact) <= 4 * EPS * exact


def test_distances_below_the_square_root_of_the_floats():
    """Squares of 1e-170 are 0: the lengths are formed in their own unit."""
    assert abs(distances.bures_w2([0, 0], 0.0, [3e-170, 4e-170], 0.0) / 5e-170 - 1) <= 4 * EPS
    assert abs(distances.gelbrich([[0.0, 0.0]], [[3e-170, 4e-170]]) / 5e-170 - 1) <= 4 * EPS
    assert abs(distances.coupling_bound([[0.0, 0.0]], [[3e-170, 4e-170]]) / 5e-170 - 1) <= 4 * EPS
    assert distances.bures_w2([1.0], 0.0, [1.0], 0.0) == distances.coupling_bound([[1.0]], [[1.0]]) == 0.0


# quadrature


def normal_log_density(z, mean, var):
    return -((z - mean) ** 2) / (2 * var) - 0.5 * math.log(2 * math.pi * var)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("mean", "var"), [(1.0, 2.0), (0.1, 1.1), (1e-4, 1.0), (1e-9, 1.0 + 1e-9)])
def test_kl_quadrature_is_the_gaussian_kl(log, mean, var, accuracy):
    """Trapezoidal rule, spectrally accurate: step 0.02 against standard deviation 1; tails below 1e-40."""
    z = np.arange(-14, 14.001, 0.02)
    p, q = normal_log_density(z, 0.0, 1.0), normal_log_density(z, mean, var)
    if not log:
        p, q = np.exp(p), np.exp(q)
    exact = mp_kl([0.0], [[1.0]], [mean], [[var]])
    got = distances.kl_quadrature(p, q, np.full(z.size, 0.02), log=log)
    # relative rounding of a density is 1e-14 (exponent of size 50 eps); log q - log p inherits it absolutely, so
    # the relative error of u is 1e-14 / (typical u = sqrt(2 KL))
    limit = exact * 64 * 50 * EPS / math.sqrt(2 * exact) + 64 * EPS * exact
    accuracy("distances.kl_quadrature", float(abs(got - exact)), float(limit), "60 digits, mpmath")


def test_kl_quadrature_beats_the_textbook_sum():
    z = np.arange(-14, 14.001, 0.02)
    p, q = np.exp(normal_log_density(z, 0.0, 1.0)), np.exp(normal_log_density(z, 1e-9, 1.0))
    textbook = float(np.sum(0.02 * p * np.log(p / q)))
    assert abs(textbook - 5e-19) > 0.5 * 5e-19
    assert abs(distances.kl_quadrature(p, q, np.full(z.size, 0.02)) - 5e-19) < 1e-3 * 5e-19


def test_kl_and_tv_quadrature_edges(accuracy):
    w = np.array([0.5, 0.5, 1.0])
    assert distances.kl_quadrature([1.0, 1.0, 0.0], [1.0, 1.0, 0.0], w) == 0.0
    assert distances.kl_quadrature([1.0, 1.0, 0.0], [1.0, 0.0, 0.5], w) == math.inf
    assert distances.kl_quadrature([1.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 1.0]) < math.inf
    half = distances.kl_quadrature([2.0, 0.0], [1.0, 1.0], [0.5, 0.5])
    assert abs(half - math.log(2)) <= 8 * EPS
    inf = -math.inf
    assert abs(distances.kl_quadrature([math.log(2), inf], [0.0, 0.0], [0.5, 0.5], log=True) - math.log(2)) <= 8 * EPS
    assert distances.kl_quadrature([0.0, 0.0], [math.log(2), inf], [0.5, 0.5], log=True) == math.inf
    assert distances.kl_quadrature([1.0, 0.0], [1e-300, 1.0], [1.0, 1.0]) > 600  # no overflow, no warning
    assert distances.tv_quadrature([2.0, 0.0], [0.0, 2.0], [0.5, 0.5]) == 1.0
    assert distances.tv_quadrature([0.0, inf], [inf, 0.0], [1.0, 1.0], log=True) == 1.0
    z = np.arange(-12, 12.001, 0.01)
    p, q = np.exp(normal_log_density(z, 0.0, 1.0)), np.exp(normal_log_density(z, 1.0, 1.0))
    exact = math.erf(0.5 / math.sqrt(2))  # 2 Phi(1/2) - 1
    # the integrand has a kink between nodes: error <= (jump of slope) h^2 / 8 = 0.352 h^2 / 8
    error = abs(distances.tv_quadrature(p, q, np.full(z.size, 0.01)) - exact)
    accuracy("distances.tv_quadrature", error, 0.352 * 0.01**2 / 8 + 64 * EPS, "error function")


def test_quadrature_array_kinds():
    xp = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(0)
    p, q, w = rng.uniform(size=(3, 50))
    p[:5] = 0.0
    q[:3] = 0.0
    p, q = p / (w @ p), q / (w @ q)
    sp, sq, sw = (xp.asarray(a) for a in (p, q, w))
    for f in (distances.kl_quadrature, distances.tv_quadrature):
        assert abs(f(sp, sq, sw) - f(p, q, w)) <= 64 * EPS * f(p, q, w)
        assert f(sp, q, w) == f(sp, sq, sw)
    with np.errstate(divide="ignore"):
        lp, lq = np.log(p), np.log(q)
    got = distances.kl_quadrature(xp.asarray(lp), xp.asarray(lq), sw, log=True)
    assert abs(got - distances.kl_quadrature(p, q, w)) <= 1024 * EPS * got


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("f", [distances.kl_quadrature, distances.tv_quadrature])
def test_quadrature_refuses_nodes_that_miss_the_mass(f, log):
    """A step of 2000 over laws of width 0.19 and 1: one node carries all, and the sums were 23.7 and 391.7."""
    x = np.linspace(-1e8, 1e8, 100001)
    narrow, wide = (normal_log_density(x, mean, var) for mean, var in ((0.64, 0.19**2), (0.0, 1.0)))
    w = np.full(x.size, x[1] - x[0])
    fine = np.linspace(-10, 10, 4001)
    good, right = normal_log_density(fine, 0.0, 1.0), np.full(fine.size, 0.005)
    given = (lambda values: values) if log else np.exp
    with pytest.raises(ValueError, match=r"p: its mass on the nodes.*expected 1 within 1e-06; nodes that reach"):
        f(given(narrow), given(wide), w, log=log)
    with pytest.raises(ValueError, match=r"q: its mass on the nodes.* is 0\.5"):
        f(given(good), given(good - math.log(2)), right, log=log)
    assert f(given(good), given(good - 1e-7), right, log=log) <= 1e-7
