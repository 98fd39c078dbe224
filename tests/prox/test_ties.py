"""Proximal maps where minima tie and gradients vanish by symmetry: bisectors, centres, duplicates, each against brute force.

The objective and the descent are written here from the definition: many starts, a majorise-minimise map that never ascends.
"""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from exactdiffusion import GaussianMixture, PointCloud

EPS = np.finfo(float).eps


def _polygon(n):
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


CUBE = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
CLOUDS = {
    "pair on a line": np.array([[-1.0], [1.0]]),
    "five on a line": np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]]),
    "pair in the plane": np.array([[-1.0, 0.0], [1.0, 0.0]]),
    "triangle": _polygon(3),
    "square": _polygon(4),
    "hexagon with its centre": np.concatenate([_polygon(6), np.zeros((1, 2))]),
    "square, each corner twice": np.repeat(_polygon(4), 2, axis=0),
    "two squares": np.concatenate([_polygon(4), 3.0 * _polygon(4)]),
    "line in space": np.outer([-1.0, 0.0, 1.0], [1.0, 2.0, -2.0]) / 3,
    "cube": CUBE,
    "simplex in five dimensions": np.eye(5),
    "cross in six dimensions": np.concatenate([np.eye(6), -np.eye(6)]),
}
# variances and steps: every third and every fourth has all of both
STEPS = [
    (v, ratio * v)
    for ratio, v in (
        (30.0, 0.03),
        (3.0, 0.03),
        (0.3, 0.03),
        (3.0, 0.3),
        (0.3, 0.3),
        (30.0, 0.3),
        (0.3, 1.0),
        (30.0, 1.0),
        (3.0, 1.0),
    )
]


def _queries(P):
    """The centre, atoms, midpoints, points of bisectors inside and far outside, and all but the first a little beside."""
    rng = np.random.default_rng(0)
    centre, i, j = P.mean(axis=0), 0, len(P) - 1
    a = P[j] - P[i]
    bisector = rng.standard_normal((4, P.shape[1])) * [[0.1], [1.0], [3.0], [30.0]]
    bisector = 0.5 * (P[i] + P[j]) + bisector - np.outer(bisector @ a, a) / (a @ a)
    x = np.concatenate([[centre], P[:2], 0.5 * (P[:1] + P[1:3]), bisector, [centre + 2 * (P[0] - centre)]])
    return np.concatenate([x, x + 1e-9 * rng.standard_normal(x.shape)])


def _starts(P, x):
    """(n, S, d): atoms, midpoints, the centre, points of the hull and beside the atoms, and the query itself."""
    rng = np.random.default_rng(1)
    pairs = np.array([0.5 * (P[i] + P[j]) for i, j in itertools.combinations(range(len(P)), 2)])
    beside = P[rng.integers(len(P), size=8)] + 0.3 * rng.standard_normal((8, P.shape[1]))
    starts = np.concatenate([P, pairs[:10], [P.mean(axis=0)], beside, rng.dirichlet(np.ones(len(P)), 5) @ P])
    return np.concatenate([np.broadcast_to(starts, (len(x), *starts.shape)), x[:, np.newaxis]], axis=1)


def _value(u, x, lam, logw, means, precisions):
    """(F, responsibilities) at u (..., d); precisions (K, d, d) or a number for all, logw with the normalisation."""
    z = u[..., np.newaxis, :] - means
    if np.ndim(precisions):
        square = np.sum(np.squeeze(precisions @ z[..., np.newaxis], -1) * z, axis=-1)
    else:
        square = precisions * np.sum(z * z, axis=-1)
    logs = logw - 0.5 * square
    top = logsumexp(logs, axis=-1, keepdims=True)
    return 0.5 * np.sum((u - x) ** 2, axis=-1) - lam * top[..., 0], np.exp(logs - top)


def _least(x, lam, logw, means, precisions, sweeps=60):
    """Smallest F (n,) found from all starts, for the queries x (n, d)."""
    u, x = _starts(means, x), x[:, np.newaxis]
    for _ in range(sweeps):
        r = _value(u, x, lam, logw, means, precisions)[1]
        if np.ndim(precisions):
            pulled = np.einsum("kij,kj->ki", precisions, means)
            matrix = np.eye(means.shape[1]) + lam * np.tensordot(r, precisions, 1)
            u = np.linalg.solve(matrix, (x + lam * r @ pulled)[..., np.newaxis])[..., 0]
        else:
            u = (x + lam * precisions * r @ means) / (1 + lam * precisions)
    return np.min(_value(u, x, lam, logw, means, precisions)[0], axis=1)


def _compare(level, x, lam, logw, means, precisions):
    found, least = level.prox(x, lam, certificate=True), _least(x, lam, logw, means, precisions)
    # the certificate allows a gap of 1e-10 of log q at first order; the rest is rounding of |u - x|^2 / 2
    slack = 1e-9 * max(lam, 1.0) + 64 * EPS * (1 + np.abs(least))
    for u in (found.point, level.prox(x, lam)):
        value = _value(u, x, lam, logw, means, precisions)[0]
        assert np.all(value <= least + slack), np.max(value - least)
    assert np.all(found.lower <= least + slack)
    assert np.all(np.abs(found.objective - value) <= slack)


@pytest.mark.parametrize("name", CLOUDS)
def test_no_start_beats_the_map_on_a_symmetric_cloud(name, deep):
    P = CLOUDS[name]
    K, d = P.shape
    x = _queries(P)
    for v, lam in STEPS[:: 1 if deep else 3 if d <= 3 else 4]:
        logw = np.full(K, -np.log(K) - 0.5 * d * np.log(2 * np.pi * v))
        _compare(PointCloud(P).noised(1.0, np.sqrt(v)), x, lam, logw, P, 1 / v)


@pytest.mark.parametrize("split", [0.5, 0.3])
def test_duplicates_are_one_atom_with_the_sum_of_their_weights(split):
    """Two atoms of equal weight, one of them given twice: the middle still ties, and the map is that of the two atoms."""
    P = np.array([[-1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    twice, once = PointCloud(P, [0.5 * split, 0.5 * (1 - split), 0.5]), PointCloud(P[1:])
    x = _queries(P[1:])
    for v, lam in STEPS[::2]:
        a, b = (law.noised(1.0, np.sqrt(v)).prox(x, lam, certificate=True) for law in (twice, once))
        assert np.max(np.abs(a.objective - b.objective)) <= 1e-9 * max(lam, 1.0)
        # the chosen point of a tie may differ by its mirror image
        gap = np.minimum(*(np.max(np.abs(a.point * s - b.point), axis=1) for s in ([1, 1], [-1, 1])))
        assert np.max(gap[: len(x) // 2]) <= 1e-4  # a minimum that is just about to split is flat: F to 1e-10, u to its root


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_no_start_beats_the_map_on_a_mixture_with_mirror_images(kind, deep):
    """Components of unequal covariances, each with its mirror image; queries on the mirrors and at the centre."""
    means = np.array([[-1.0, 0.6], [1.0, 0.6], [-1.0, -0.6], [1.0, -0.6]])
    if kind == "isotropic":
        given = np.array([0.1, 0.1, 0.3, 0.3])
        full = given[:, np.newaxis, np.newaxis] * np.eye(2)
    elif kind == "diagonal":
        given = np.array([[0.1, 0.3]] * 2 + [[0.4, 0.1]] * 2)
        full = given[:, :, np.newaxis] * np.eye(2)
    else:
        tilt = np.array([[0.0, 0.15], [0.15, 0.0]])
        full = given = 0.25 * np.eye(2) + np.array([1.0, -1.0, -1.0, 1.0])[:, np.newaxis, np.newaxis] * tilt
    law = GaussianMixture(None, means, given)
    x = np.concatenate([_queries(means), [[0.0, 0.3], [0.0, 2.0], [0.0, -5.0], [0.5, 0.0]]])
    for sigma in (0.2, 0.8):
        noised = full + sigma**2 * np.eye(2)
        logw = np.log(0.25) - 0.5 * np.linalg.slogdet(2 * np.pi * noised)[1]
        for lam in (0.05, 0.5, 5.0) if deep else (0.5,):
            _compare(law.noised(1.0, sigma), x, lam, logw, means, np.linalg.inv(noised))


def test_brute_force_sees_a_saddle_returned_for_a_minimum():
    """The control: at the centre of a pair the centre itself is stationary, and far from the least."""
    P, v, lam, x = CLOUDS["pair in the plane"], 0.1, 1.0, np.zeros((1, 2))
    logw = np.full(2, np.log(0.5 / (2 * np.pi * v)))
    assert _value(x, x, lam, logw, P, 1 / v)[0][0] > _least(x, lam, logw, P, 1 / v)[0] + 1


@pytest.mark.parametrize("start", [1, None], ids=["one start", "default"])
def test_no_saddle_is_returned(start):
    """A ring around an atom that is the best place to start from, and where the gradient vanishes by symmetry.

    With one start nothing else leads away; unequal variances take the solver of general mixtures.
    """
    for ring in (_polygon(6), _polygon(9), np.concatenate([np.eye(3), -np.eye(3), CUBE / np.sqrt(3)])):
        n, d = ring.shape
        P = np.concatenate([np.zeros((1, d)), ring])
        for middle, v, lam in ((0.06, 0.2, 3.0), (0.06, 0.25, 3.0), (0.06, 0.3, 3.0), (0.02, 0.3, 3.0), (0.02, 0.35, 3.0)):
            weights = np.r_[middle, np.full(n, (1 - middle) / n)]
            for ratio in (1.0, 0.97):  # of the variance of the middle component to that of the others
                variances = v * np.r_[ratio, np.ones(n)]
                logw = np.log(weights) - 0.5 * d * np.log(2 * np.pi * variances)
                precisions = np.eye(d) / variances[:, np.newaxis, np.newaxis]
                x = np.zeros((1, d))
                options = {} if start is None else {"starts": start}
                u = GaussianMixture(weights, P, variances).noised(1.0, 1e-9).prox(x, lam, **options)
                value, r = _value(u, x, lam, logw, P, precisions)
                z = (u - P) / variances[:, np.newaxis]
                mean = r @ z
                hessian = np.eye(d) + lam * (np.sum(r / variances) * np.eye(d) - (z * r.T).T @ z + mean.T @ mean)
                assert np.linalg.eigvalsh(hessian)[0] >= -1e-6 * lam / v, (n, v, lam, ratio)
                assert value[0] <= _value(x, x, lam, logw, P, precisions)[0][0] + 1e-12


def test_modes_that_lie_on_no_component_of_a_general_mixture():
    """A triangle of almost equal variances: the centre is the highest of several modes, or the only one, or none."""
    P, x = _polygon(3), np.zeros((1, 2))
    for kappa in np.linspace(0.53, 0.55, 11):
        v = kappa / 2
        lam = v * v / (kappa - v)
        variances = v * np.array([1.0, 1.0, 1.001])
        logw = np.log(1 / 3) - np.log(2 * np.pi * variances)
        level = GaussianMixture(None, P, variances).noised(1.0, 1e-9)
        _compare(level, x, lam, logw, P, np.eye(2) / variances[:, np.newaxis, np.newaxis])
