"""Trees of large clouds: the answers of the dense kernels, ties and zero weights included, and a proved bound of what is
left out."""

import pickle
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest

from exactdiffusion.laws import PointCloud
from exactdiffusion.laws._kernels import softmax
from exactdiffusion.laws._kernels import tree as _neighbours

EPS = float(np.finfo(float).eps)
KINDS = ("denoise", "score", "log_density", "posterior_covariance", "hessian")


@pytest.fixture
def small(monkeypatch):
    """Trees for clouds and calls of any size, with three levels at 1200 atoms; half of the atoms may be kept."""
    for name, value in {"ATOMS": 1, "PAIRS": 1, "COARSE": 8, "BRANCH": 4, "SHARES": (0.5, 0.5), "TOUCHED": 1.0}.items():
        monkeypatch.setattr(_neighbours, name, value)


def dense(function, *arguments):
    """The same call without trees."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbours, "applies", lambda law, n: False)
        return function(*arguments)


def watch(monkeypatch):
    """List of the shares of rows that each search served."""
    shares = []
    for name in ("search", "nearest"):
        original = getattr(_neighbours, name)

        def spy(*a, original=original, **k):
            out = original(*a, **k)
            shares.append(out[0].mean())
            return out

        monkeypatch.setattr(_neighbours, name, spy)
    return shares


def exact(p, x, sigma, weights=None):
    """Conditional means in long double, relative to the nearest atom: even 64 bits do not hold squares of far queries."""
    wide = p.astype(np.longdouble)
    out = np.empty_like(x)
    logw = 0 if weights is None else np.log(np.maximum(weights, 1e-4000 * np.longdouble(1)))
    for i, row in enumerate(x.astype(np.longdouble)):
        first = wide[np.argmin(((row - wide) ** 2).sum(axis=1))]
        logits = ((wide - first) * ((row - wide) + (row - first))).sum(axis=1) / 2 / np.longdouble(sigma) ** 2 + logw
        w = np.exp(logits - logits.max())
        w = w if weights is None else np.where(weights > 0, w, 0)
        out[i] = w @ wide / w.sum()
    return out


def cloud(name, d, M=1200, seed=0):
    rng = np.random.default_rng(seed)
    if name == "lattice":
        side = round(M ** (1 / d))
        return np.stack(np.meshgrid(*[np.arange(side) * 0.25] * d), -1).reshape(-1, d)[rng.permutation(side**d)]
    p = rng.normal(size=(M, d))
    if name == "clusters":
        p = p[rng.integers(0, 30, M)] + 10.0 ** rng.uniform(-8, -2, (M, 1)) * p
    if name == "duplicates":
        p = p[rng.integers(0, M // 3, M)]
    if name == "shifted":
        p = p + 1e6
    if name == "line":
        p[:, 1:] = 0.0
    return p


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", ["normal", "lattice", "clusters", "duplicates", "shifted", "line"])
def test_agrees_with_the_dense_kernels(name, d, weighted, monkeypatch):
    """Sigma for all rows, and from 0 to huge in the rows of one call."""
    p = cloud(name, d)
    rng = np.random.default_rng(1)
    w = None
    if weighted:
        w = rng.dirichlet(np.full(len(p), 0.3))
        w[rng.integers(0, len(p), len(p) // 5)] = 0.0
        w[rng.integers(0, len(p), 20)] = 1e-300
        w /= w.sum()
    law = PointCloud(p, w)
    shares = watch(monkeypatch)
    sigmas = (0.0, 1e-9, 1e-5, 1e-3, 0.02, 0.3, 30.0, 1e20)
    x = p[rng.integers(0, len(p), 24)]
    x = x + np.tile(sigmas, 3)[:, None] * rng.normal(size=x.shape)
    levels = [(1.0, 0.0), (1.0, 1e-3), (1.0, np.tile(sigmas, 3)), (1.0, np.tile(sigmas[1:5], 6))]
    served = {}
    for scale, sigma in levels:
        q = law.noised(scale, sigma)
        for kind in KINDS:
            if kind in ("score", "log_density", "hessian") and np.min(sigma) == 0:
                continue
            y = x if np.ndim(sigma) else x[:: len(sigmas)] + sigma * rng.normal(size=(3, d))
            shares.clear()
            got, want = getattr(q, kind)(y), dense(getattr(q, kind), y)
            served[kind] = served.get(kind, 0) + max(shares, default=0)
            size = np.abs(want).reshape(len(y), -1).max(axis=1)
            # Both take differences: logits of atoms that count round by (d + 2) eps of their size, and so do weights.
            t = np.broadcast_to(sigma, len(y))
            depth = np.where(t > 0, (law.distance(y) / np.where(t > 0, t, 1.0)) ** 2 / 2, 0.0)
            tolerance = 64 * EPS * (d + 2) * (1 + np.minimum(depth, 600.0)) * size
            if kind == "posterior_covariance":  # where one atom has the mass, that of the others: logits down to -600
                tolerance = 600 * EPS * (d + 6) * size + 1e-250
            if kind in ("score", "hessian"):  # what does not cancel: the offsets of atoms, and the identity, over sigma^2
                scatter = np.linalg.norm(y - dense(q.denoise, y), axis=1) if kind == "score" else 1.0
                tolerance = tolerance + 64 * EPS * (d + 2) * (scatter + np.abs(y).max(axis=1)) / t**2
            error = np.abs(got - want).reshape(len(y), -1).max(axis=1)
            worst = int(np.argmax(error / np.maximum(tolerance, 1e-300)))
            assert error[worst] <= tolerance[worst], (kind, t[worst], got[worst], want[worst], tolerance[worst])
    assert min(served.values()) >= 1.0, served


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("name", ["normal", "clusters", "shifted"])
def test_denoiser_against_long_double(name, d, weighted, monkeypatch):
    """To 1e-14 of the largest coordinate, where the problem itself is not worse conditioned."""
    p = cloud(name, d)
    rng = np.random.default_rng(2)
    w = rng.dirichlet(np.ones(len(p))) if weighted else None
    law, shares = PointCloud(p, w), watch(monkeypatch)
    for sigma in (1e-6, 1e-4, 1e-2, 0.05):
        x = p[rng.integers(0, len(p), 20)] + sigma * rng.normal(size=(20, d))
        got = law.noised(1.0, sigma).denoise(x)
        assert np.abs(got - exact(p, x, sigma, w)).max() <= 1e-14 * np.abs(p).max()
    assert sum(s == 1.0 for s in shares) >= 3


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["normal", "lattice"])
@pytest.mark.parametrize("far", [1e3, 1e9])
def test_far_queries_against_long_double(far, name, monkeypatch):
    """Squares of far / sigma cannot tell the atoms of the near side apart, differences can."""
    p = cloud(name, 2)
    law, shares = PointCloud(p), watch(monkeypatch)
    rng = np.random.default_rng(10)
    x = rng.normal(size=(30, 2))
    x *= far / np.linalg.norm(x, axis=1, keepdims=True)
    if name == "lattice":  # opposite to a side, whose atoms differ by the squares of their distances across only
        x = np.stack([np.full(30, far), rng.uniform(0, 8, 30)], axis=1)
    for sigma in (10.0, 0.3, 0.03):
        q = law.noised(1.0, np.full(30, sigma))
        got, want = q.denoise(x), exact(p, x, sigma)
        assert np.abs(got - want).max() <= EPS * (64 * np.abs(p).max() + 64 * far / sigma**2)
        assert np.abs(q.score(x) * sigma**2 + x - want).max() <= EPS * 64 * (far + far / sigma**2)
    assert max(shares) == 1.0


@pytest.mark.usefixtures("small")
def test_near_ties_against_50_digits(monkeypatch):
    """Queries between an atom and its neighbour, in a cloud at 1e6: rounding of x is part of the argument."""
    p = cloud("shifted", 2)
    law, shares = PointCloud(p), watch(monkeypatch)
    rng = np.random.default_rng(3)
    sigma = 1e-3
    for i in rng.integers(0, len(p), 6):
        j = np.argsort(((p - p[i]) ** 2).sum(axis=1))[1]
        x = (p[i] + p[j])[None] / 2 + 1e-5 * rng.normal(size=(1, 2))
        got = law.noised(1.0, sigma).score(x)[0]
        with mpmath.workdps(50):
            near = np.argsort(((p - x) ** 2).sum(axis=1))[:50]
            h = [sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(p[k], x[0], strict=True)) / 2 for k in near]
            w = [mpmath.exp(-(v - min(h)) / mpmath.mpf(sigma) ** 2) for v in h]
            s2 = mpmath.mpf(sigma) ** 2
            want = [
                sum(a * (mpmath.mpf(p[k][c]) - mpmath.mpf(x[0][c])) for a, k in zip(w, near, strict=True)) / sum(w) / s2
                for c in range(2)
            ]
            # Offsets are exact to eps; logits round by some eps times (offset / sigma)^2.
            far = float(mpmath.sqrt(2 * min(h)))
            error = max(abs(float(a - mpmath.mpf(b))) for a, b in zip(want, got, strict=True))
        assert error <= 64 * EPS * far / sigma**2 * (1 + (far / sigma) ** 2)
    assert shares == [1.0] * 6


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_ties_go_to_the_lowest_index(d, shift, monkeypatch):
    """A lattice and its midpoints, exact in floats, with repeated atoms and atoms of weight 0."""
    rng = np.random.default_rng(4)
    p = np.concatenate([cloud("lattice", d), cloud("lattice", d, seed=5)[:300]]) + shift
    w = rng.uniform(0.5, 1.0, len(p))
    w[rng.choice(len(p), len(p) // 4, replace=False)] = 0.0
    law = PointCloud(p, w / w.sum())
    x = p[rng.integers(0, len(p), 60)] + 0.125 * rng.integers(-1, 2, (60, d))
    shares = watch(monkeypatch)
    index, distance = law.nearest(x)
    assert shares == [1.0]
    square = ((x[:, None] - p[None]) ** 2).sum(axis=-1)  # exact: multiples of 1/64 below 2^53 / 64
    square[:, w == 0] = np.inf
    best = square.min(axis=1, keepdims=True)
    assert (np.count_nonzero(square == best, axis=1) > 1).mean() > 0.3
    assert np.array_equal(index, np.argmax(square == best, axis=1))
    assert np.array_equal(distance, np.sqrt(best[:, 0]))
    assert np.array_equal(law.project(x), p[index])
    assert np.array_equal(law.noised(1.0, 0.0).denoise(x), p[index])
    assert np.array_equal(law.distance(x), distance)
    atoms = np.unique(p[w > 0], axis=0)
    two = np.sort(np.sqrt(((x[:, None] - atoms[None]) ** 2).sum(axis=-1)), axis=1)[:, :2]
    # The difference of squares over the sum of roots: eps of each.
    assert np.abs(law.gap(x) - (two[:, 1] - two[:, 0])).max() <= 4 * EPS * two.max()
    assert np.array_equal(law.gap(x), dense(law.gap, x))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["normal", "clusters", "duplicates", "shifted", "line"])
def test_nearest_and_gap_agree_bit_for_bit(name):
    p = cloud(name, 3)
    law = PointCloud(p)
    rng = np.random.default_rng(6)
    for far in (0.0, 1e-7, 0.1, 50.0, 1e9, 1e148):
        x = p[rng.integers(0, len(p), 40)] + far * rng.normal(size=(40, 3))
        for got, want in zip((*law.nearest(x), law.gap(x)), (*dense(law.nearest, x), dense(law.gap, x)), strict=True):
            assert np.array_equal(got, want), far


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["normal", "lattice", "clusters", "shifted"])
def test_mass_left_out(name, weighted):
    """By brute force over all atoms in long double: less than e^-T of the best atom, for every T; the window is not idle."""
    p = cloud(name, 2)
    rng = np.random.default_rng(7)
    w = 10.0 ** rng.uniform(-40, 0, len(p)) if weighted else np.ones(len(p))
    law = PointCloud(p, w / w.sum())
    tree, atoms, logw = _neighbours.tree(law), law._p._host["P"], law._p._host["logw"].astype(np.longdouble)
    most = 0.0
    for sigma in (1e-3, 0.01, 0.1, 0.3):
        y = p[rng.integers(0, len(p), 20)] + sigma * rng.normal(size=(20, 2))
        for T in (3.0, 40.0, 80.0):
            i, leaf, limit = _neighbours._descend(law, tree, y, np.full(20, sigma**-2.0), T, 1.0)
            for r in np.unique(i):
                kept = np.zeros(len(atoms), dtype=bool)
                kept[tree.index[leaf[i == r]]] = True
                square = ((y[r].astype(np.longdouble) - atoms) ** 2).sum(axis=1)
                logits = logw - square / 2 / np.longdouble(sigma) ** 2
                assert kept[np.argmax(logits)]
                assert kept[square <= limit[r] * (1 - 1e-12)].all()
                mass = np.exp(logits - logits.max())[~kept].sum()
                assert mass <= np.exp(-np.longdouble(T)) * (1 + 1e-9)
                most = max(most, float(mass * np.exp(np.longdouble(T))))
    assert most > 1e-6


def edge(depth, weight=None):
    """(cloud, weights, x) for sigma = 1: an atom at x, of the given weight, 400 in a small cluster whose logits are
    ``depth`` below that of one of equal weight, and 20,000 far away."""
    rng = np.random.default_rng(8)
    cluster = np.array([np.sqrt(2 * depth), 0.0]) + 1e-3 * rng.normal(size=(400, 2))
    p = np.concatenate([[[0.0, 0.0]], cluster, 1e3 + rng.normal(size=(20_000, 2))])
    w = np.full(len(p), (1.0 - (weight or 0.0)) / (len(p) - 1))
    w[0] = weight or w[0]
    return p, w / w.sum(), np.zeros((1, 2))


def test_the_number_of_atoms_is_in_the_bound(monkeypatch):
    """400 atoms of e^-40.5 each: a window of 40 for each of them would drop 1e-15, and move the mean by 9e-15."""
    monkeypatch.setattr(_neighbours, "PAIRS", 1)
    shares = watch(monkeypatch)
    for depth in (40.5, 45.0, 49.0, 51.0):  # log(20401) = 9.9: the last are beyond the window
        p, _, x = edge(depth)
        want = exact(p, x, 1.0)
        # The mean is at 0, up to what the cluster adds: less than e^-40 times twice the radius of the window.
        assert np.abs(PointCloud(p).noised(1.0, 1.0).denoise(x) - want).max() <= np.exp(-40) * 2 * np.sqrt(2 * 50.0)
    assert exact(edge(40.5)[0], x, 1.0)[0, 0] > 9e-15
    assert shares == [1.0] * 4


def test_weights_are_in_the_bound(monkeypatch):
    """The nearest atom weighs 1e-300: atoms 300 below it by distance carry all the mass."""
    monkeypatch.setattr(_neighbours, "PAIRS", 1)
    shares = watch(monkeypatch)
    p, w, x = edge(300.0, 1e-300)
    want = exact(p, x, 1.0, w)
    assert want[0, 0] > 24
    assert np.abs(PointCloud(p, w).noised(1.0, 1.0).denoise(x) - want).max() <= 1e-14 * 25
    assert shares == [1.0]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("hopeless", [False, True])
def test_small_covariances_are_not_lost(hopeless, monkeypatch):
    """One atom has all the mass but 1e-30 to 1e-250: that is the covariance, and the second window sees it.

    Where the second window would be ``hopeless``, the dense kernel does: the answer of the first one does not stay.
    """
    rng = np.random.default_rng(9)
    p = cloud("normal", 2)
    law, shares, windows = PointCloud(p), watch(monkeypatch), []
    original = _neighbours._descend

    def spy(law, tree, y, prec, T, *rest):
        windows.append(T)
        return original(law, tree, y, prec, T, *rest)

    monkeypatch.setattr(_neighbours, "_descend", spy)
    if hopeless:
        judge = _neighbours._hopeless
        monkeypatch.setattr(
            _neighbours,
            "_hopeless",
            lambda law, tree, y, prec, T, *rest: _neighbours.WIDE[-1] == T or judge(law, tree, y, prec, T, *rest),
        )
    index = rng.integers(0, len(p), 40)
    gap = np.sort(np.sqrt(((p[index, None] - p[None]) ** 2).sum(-1)), axis=1)[:, 1]
    sigma = gap / np.sqrt(2 * rng.uniform(70, 570, 40))
    got = law.noised(1.0, sigma).posterior_covariance(p[index])
    assert shares == [0.0 if hopeless else 1.0]
    assert set(windows) == set(_neighbours.WIDE[:1] if hopeless else _neighbours.WIDE)
    h = ((p[index, None].astype(np.longdouble) - p[None]) ** 2).sum(-1) / 2
    v = np.exp(-h / sigma[:, None].astype(np.longdouble) ** 2)
    v /= v.sum(axis=1, keepdims=True)
    offset = p[None] - (v @ p)[:, None]
    want = np.swapaxes(offset * v[:, :, None], 1, 2) @ offset
    size = np.abs(want).max(axis=(1, 2))
    assert size.max() > 1e-36
    assert size.min() < 1e-200
    # Logits of up to 570 round by (d + 2) eps of their size.
    assert np.all(np.abs(got - want).max(axis=(1, 2)) <= 8 * 600 * EPS * size)


def test_rows_that_keep_many_atoms_are_given_back(monkeypatch):
    """From the centre of a circle all atoms are equally far: no search, and the very numbers of the dense kernel."""
    monkeypatch.setattr(_neighbours, "PAIRS", 1)
    angle = np.linspace(0, 2 * np.pi, 20_001)[:-1]
    law = PointCloud(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    shares, sizes, original = watch(monkeypatch), [], _neighbours._squares
    monkeypatch.setattr(_neighbours, "_squares", lambda X, y: sizes.append(X.size) or original(X, y))
    x = 1e-9 * np.random.default_rng(0).normal(size=(64, 2))
    for kind in ("denoise", "score", "log_density", "posterior_covariance"):
        q = law.noised(1.0, 1e-3)
        assert np.array_equal(getattr(q, kind)(x), dense(getattr(q, kind), x))
    assert np.array_equal(law.nearest(x)[0], dense(law.nearest, x)[0])
    assert shares == [0.0] * 5
    assert sum(sizes) <= 5 * 64 * 2 * _neighbours.LEAF  # one leaf for each row of the sample, no more


def test_a_window_as_wide_as_the_cloud_makes_no_tree():
    p = cloud("normal", 2, 20_000)
    law, x = PointCloud(p), p[:500]
    law.noised(1.0, 1.0).denoise(x)
    law.noised(1.0, np.full(500, 50.0)).score(x)
    assert not law._p._copies
    law.noised(1.0, 0.01).denoise(x)
    assert len(law._p._copies) == 1


def test_small_clouds_small_calls_and_high_dimensions_are_left_alone():
    rng = np.random.default_rng(0)
    assert not _neighbours.applies(PointCloud(rng.normal(size=(1000, 2))), 10**6)
    assert not _neighbours.applies(PointCloud(rng.normal(size=(20_000, 4))), 10**6)
    law = PointCloud(rng.normal(size=(20_000, 2)))
    assert not _neighbours.applies(law, 1)
    assert _neighbours.applies(law, 1000)


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_do_not_depend_on_their_neighbours(compiled, monkeypatch):
    """Blocks, orders and mixtures of served and given back rows: 1e-12 relative, the promise of batches."""
    if not compiled:
        monkeypatch.setattr(softmax, "compiled", lambda: None)
    monkeypatch.setattr(_neighbours, "SEARCH", 50)
    monkeypatch.setattr(_neighbours, "ROWS", 170)
    p = cloud("normal", 2, 17_000)
    rng = np.random.default_rng(0)
    sigma = np.where(rng.uniform(size=500) < 0.8, 1e-3, 2.0)
    x = p[rng.integers(0, len(p), 500)] + sigma[:, None] * rng.normal(size=(500, 2))
    law, shares, order = PointCloud(p), watch(monkeypatch), rng.permutation(500)
    for kind in ("denoise", "score", "log_density"):
        got, want = getattr(law.noised(0.5, 0.5 * sigma), kind)(0.5 * x), dense(getattr(law.noised(1.0, sigma), kind), x)
        if kind == "score":
            want = 2 * want
        if kind == "log_density":
            want = want + 2 * np.log(2)
        assert np.abs(got - want).max() <= 1e-12 * np.abs(want).max()
        other = getattr(law.noised(0.5, 0.5 * sigma[order]), kind)(0.5 * x[order])
        assert np.abs(got[order] - other).max() <= 1e-12 * np.abs(want).max()
    assert 0.5 < min(shares) <= max(shares) < 1


def test_memory():
    """Beyond cloud, tree and result: 64 MB."""
    rng = np.random.default_rng(0)
    p = rng.normal(size=(60_000, 3))
    law = PointCloud(p)
    _neighbours.tree(law)
    x = p[rng.integers(0, len(p), 20_000)]
    for sigma, kind in ((0.0, "denoise"), (1e-3, "denoise"), (0.02, "posterior_covariance")):
        n = 2000 if kind != "denoise" else len(x)
        y = x[:n] + sigma * rng.normal(size=(n, 3))
        tracemalloc.start()
        try:
            out = getattr(law.noised(1.0, sigma), kind)(y)
            assert tracemalloc.get_traced_memory()[1] - out.nbytes <= 64e6
        finally:
            tracemalloc.stop()


@pytest.mark.usefixtures("small")
def test_pairs_of_one_search_are_bounded(monkeypatch):
    """Many leaves: fewer rows at a time, the same numbers."""
    p = cloud("normal", 2)
    law, x, found, original = PointCloud(p), p[:300], [], _neighbours._descend
    q = law.noised(1.0, 0.05)
    want = q.posterior_covariance(x)

    def spy(law, tree, y, *rest):
        out = original(law, tree, y, *rest)
        found.append((len(y), len(out[0])))
        return out

    monkeypatch.setattr(_neighbours, "_descend", spy)
    for pairs in (200, 1000, 1):
        found.clear()
        monkeypatch.setattr(_neighbours, "FOUND", pairs)
        assert np.array_equal(q.posterior_covariance(x), want)
        searches = found[1:]  # after the sample (of the second window: 4 rows)
        leaves = len(_neighbours.tree(law).points)
        assert max(rows for rows, _ in searches) <= max(4, pairs // leaves)
        assert len(searches) >= len(x) // max(1, pairs // leaves)
        assert max(n for rows, n in searches if rows != 4) <= max(pairs, leaves)


def test_threads_make_one_tree(monkeypatch):
    made, original = [], _neighbours.Tree

    def slow(law):
        made.append(law)
        time.sleep(0.05)
        return original(law)

    monkeypatch.setattr(_neighbours, "Tree", slow)
    law = PointCloud(cloud("normal", 2, 17_000))
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(lambda _: _neighbours.tree(law), range(4)))
    assert len(made) == 1
    assert all(t is trees[0] for t in trees)
    assert not pickle.loads(pickle.dumps(law))._p._copies
