"""What is computed in blocks does not depend on them: blocks of 7 rows or atoms against one block, everywhere."""

import array_api_strict
import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud, laws
from exactdiffusion._core.arrays import to_numpy
from exactdiffusion.laws import base, gaussian_mixture, point_cloud
from exactdiffusion.laws._kernels import mixture, softmax
from exactdiffusion.laws._kernels import tree as _neighbours
from exactdiffusion.prox import _general as general
from exactdiffusion.prox import _modes as modes
from exactdiffusion.prox import solver

N = 45
ORACLES = ("log_density", "score", "hessian", "denoise", "posterior_covariance", "responsibilities")
OF_THE_LAW = ("log_density", "score", "hessian", "project", "distance", "nearest", "gap")
DERIVED = ("mean", "covariance", "diameter")


def _more():
    """Laws that the registry lacks: on a line, duplicates, zero weights, far from 0, many components, high dimension."""
    rng = np.random.default_rng(0)
    P, w = rng.standard_normal((40, 8)), rng.dirichlet(np.ones(40))
    P[20:30] = P[:10]
    w[[3, 17, 39]] = 0.0
    w /= w.sum()
    A = rng.standard_normal((30, 16, 16))
    C = A @ np.swapaxes(A, 1, 2) / 16 + 1e-3 * np.eye(16)
    flat = C.copy()
    flat[::3, :, 0] = flat[::3, 0, :] = 0.0
    return {
        "line": lambda: PointCloud(P[:, :1], w),
        "line, equal weights": lambda: PointCloud(np.arange(38.0)[:, np.newaxis] % 30),
        "three dimensions": lambda: PointCloud(P[:, :3] + 1e3, w),
        "weighted duplicates": lambda: PointCloud(P, w),
        "far from 0": lambda: PointCloud(1e4 + P, w),
        "dimension 60": lambda: PointCloud(np.random.default_rng(2).standard_normal((40, 60)), w),
        "600 atoms": lambda: PointCloud(np.random.default_rng(3).standard_normal((600, 3)) @ A[0, :3].repeat(4, axis=1)),
        "mixture on a line": lambda: GaussianMixture(w, P[:, :1], np.linspace(0.0, 1.0, 40)),
        "stacked": lambda: GaussianMixture(w[:30] / w[:30].sum(), P[:30] @ A[0, :8], C),
        "stacked, singular": lambda: GaussianMixture(None, P[:30] @ A[0, :8] + 30.0, flat),
        "stacked, diagonal": lambda: GaussianMixture(None, P[:30] @ A[0, :8], C[:, 0] ** 2),
        "thin": lambda: GaussianMixture(w, P[:, :3], np.geomspace(1e-8, 1, 120).reshape(40, 3), covariance_type="diag"),
    }


LAWS = {**laws.REGISTRY, **_more()}


@pytest.fixture
def sevens(monkeypatch):
    """A function that makes blocks of 7, of 3 within, wherever laws are evaluated; it returns a list of the sizes."""
    run, chunks, moments, count = base.NoisedLaw._run, softmax.chunks, softmax.moments, []

    def small(self, kernel, x, shape, block, posterior=False):
        def counted(*arguments):
            count.append(arguments[0].shape[0])
            return kernel(*arguments)

        return run(self, counted, x, shape, min(block, 7), posterior)

    def start():
        monkeypatch.setattr(base.NoisedLaw, "_run", small)
        monkeypatch.setattr(softmax, "chunks", lambda total, size: chunks(total, 7 if size == 7 else min(size, 3)))
        monkeypatch.setattr(softmax, "moments", lambda law, x, *rest: count.append(x.shape[0]) or moments(law, x, *rest))
        for module in (base, point_cloud, softmax):
            monkeypatch.setattr(module, "BLOCK_DOUBLES", 64)
        monkeypatch.setattr(softmax, "rows", lambda *_: 7)
        monkeypatch.setattr(gaussian_mixture, "_CACHE_DOUBLES", 0)
        monkeypatch.setattr(mixture, "ROWS", 7)
        monkeypatch.setattr(mixture, "CHUNK", 7)
        monkeypatch.setattr(mixture, "AGAIN", 3)
        return count

    return start


def _queries(law):
    """Rows near the law or its atoms, the last ones far away, and levels of their own, in no order."""
    rng = np.random.default_rng(7)
    x = getattr(law, "mean", 0.0) + 1.5 * rng.standard_normal((N, law.dim))
    if isinstance(law, PointCloud):
        x[:15] = law.points[rng.integers(len(law.points), size=15)] + 0.1 * rng.standard_normal((15, law.dim))
    x[-5:] += 20 * rng.standard_normal((5, law.dim))
    scale, sigma = rng.uniform(0.5, 1.5, N), rng.permutation(np.geomspace(1e-6, 20, N))
    return x, scale, sigma


def _answers(law, put=np.asarray, some=slice(None)):
    """(oracle, level) -> values at all rows, or some."""
    x, scale, sigma = (a[some] for a in _queries(law))
    found = {}
    for name, level in (
        ("scalar", (1.0, 0.6)),
        ("sigma per row", (0.8, sigma)),
        ("scale per row", (scale, 0.5)),
        ("both per row", (scale, sigma)),
    ):
        q = law.noised(*level)
        for oracle in ORACLES:
            if hasattr(q, oracle):
                found[oracle, name] = to_numpy(getattr(q, oracle)(put(x)))
    zero = np.where(np.arange(len(x)) % 3 == 0, 0.0, sigma)
    found["denoise", "some rows at 0"] = to_numpy(law.noised(1.0, zero).denoise(put(x)))
    for oracle in OF_THE_LAW:
        try:
            value = getattr(law, oracle)(put(x))
        except (AttributeError, ValueError):  # not of this law; no density
            continue
        found[oracle, "law"] = to_numpy(value[0] if isinstance(value, tuple) else value)
    return found


def _agree(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        size = np.max(np.abs(value), axis=tuple(range(1, value.ndim)), initial=0.0)
        size = np.maximum(size, np.max(np.abs(value)) if key[0] in ("denoise", "project") else 0.0)
        # BLAS sums in another order at other shapes, and where terms cancel it is those of the row that are rounded
        limit = 1e-11 * np.maximum(size, 1.0 if key[0] != "posterior_covariance" else 0.0)
        error = np.max(np.abs(found[key] - value).reshape(len(value), -1), axis=1)
        assert np.all(error <= limit), f"{key}: rows {np.flatnonzero(error > limit)}"


@pytest.mark.parametrize("name", LAWS)
def test_oracles_in_blocks_of_seven(name, sevens):
    law = LAWS[name]()
    expected = _answers(law)
    count = sevens()
    found = _answers(law)
    assert set(count) <= set(range(1, 8))
    assert len(count) > 7 or name.startswith("stacked")  # those have blocks of their own
    _agree(found, expected)


@pytest.mark.parametrize("name", ["isotropic", "diagonal", "full", "degenerate", "mixture on a line", "stacked", "thin"])
@pytest.mark.parametrize("rows", [1, 7])
def test_mixtures_by_products_in_blocks_of_seven(name, rows, monkeypatch):
    """Products of matrices wherever they are possible, in blocks of 7 rows or 1 against one block of differences."""
    law = LAWS[name]()
    monkeypatch.setattr(mixture, "pays", lambda *a: False)
    expected = _answers(law)
    monkeypatch.setattr(mixture, "pays", lambda *a: True)
    sizes, block = [], mixture.Block
    monkeypatch.setattr(mixture.Level, "blocks", lambda self: (rows, max(1, self.stack.K // 3)))
    monkeypatch.setattr(mixture, "Block", lambda level, x, *rest: sizes.append(len(x)) or block(level, x, *rest))
    _agree(_answers(law), expected)
    assert {rows, N % rows or rows} == set(sizes)


@pytest.mark.parametrize("name", ["cloud", "line", "far from 0", "full", "diagonal", "stacked", "subspace"])
def test_oracles_of_other_arrays_in_blocks_of_seven(name, sevens):
    """15 rows, the last ones far away: three blocks."""
    law, some = LAWS[name](), slice(-15, None)
    expected = _answers(law, some=some)
    sevens()
    _agree(_answers(law, array_api_strict.asarray, some), expected)


@pytest.mark.parametrize("name", ["cloud", "weighted duplicates", "far from 0", "dimension 60"])
def test_clouds_without_a_centred_copy_in_blocks_of_seven(name, sevens, monkeypatch):
    """Large clouds keep no centred copy of their atoms, unless their centre is far."""
    expected = _answers(LAWS[name]())
    sevens()
    monkeypatch.setattr(softmax, "SMALL_CLOUD", 0)
    law = LAWS[name]()
    assert not law._small
    assert law._frame == ("C" if name == "far from 0" else "P")
    _agree(_answers(law), expected)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_searches_in_blocks_of_seven(d, sevens, monkeypatch):
    """The tree of large clouds, 300 atoms with 30 duplicates: blocks of 7 rows, searches of 3, steps of 64 pairs."""
    rng = np.random.default_rng(d)
    P, w = rng.standard_normal((300, d)), rng.dirichlet(np.ones(300))
    P[270:] = P[:30]
    law = PointCloud(P, w)
    expected = _answers(law)
    sevens()
    rows = []
    weigh = _neighbours._weigh
    monkeypatch.setattr(_neighbours, "_weigh", lambda law, tree, y, *rest: rows.append(len(y)) or weigh(law, tree, y, *rest))
    for name, value in (("ATOMS", 1), ("PAIRS", 1), ("SEARCH", 3), ("STEP", 64), ("TOUCHED", 1.0), ("SHARES", (1.0, 1.0))):
        monkeypatch.setattr(_neighbours, name, value)
    _agree(_answers(PointCloud(P, w)), expected)
    assert len(rows) > 20
    assert max(rows) <= 3
    # every row is found in the search that it belongs to
    found = [r for r, *_ in _neighbours._blocks(law, _neighbours.tree(law), rng.standard_normal((20, d)), None, 0.0, 1.0)]
    assert np.array_equal(np.unique(np.concatenate(found)), np.arange(20))


@pytest.mark.parametrize("name", [name for name in LAWS if name != "600 atoms"])
def test_derived_quantities_in_blocks_of_seven(name, sevens):
    """A law made and asked in small blocks; the diameter also by all pairs."""
    whole = {what: np.asarray(getattr(LAWS[name](), what)) for what in DERIVED if hasattr(LAWS[name](), what)}
    sevens()
    law = LAWS[name]()
    for what, expected in whole.items():
        error = np.max(np.abs(np.asarray(getattr(law, what)) - expected))
        assert error <= 1e-13 * max(1.0, np.max(np.abs(expected))), what
    if isinstance(law, PointCloud):
        P = law.points[law.weights > 0]
        D = np.max(np.linalg.norm(P[:, np.newaxis] - P, axis=2))
        assert abs(law.diameter - D) <= 8 * np.finfo(float).eps * D


def test_proximal_maps_in_chunks_of_few_numbers(monkeypatch):
    """All kinds of solvers, one step per row; chunks of 64 numbers hold one or a few rows."""
    rng = np.random.default_rng(3)
    lam = rng.permutation(np.geomspace(0.05, 5.0, N))
    for name in ("cloud", "cloud-2d", "weighted duplicates", "dimension 60", "isotropic", "full", "mixture on a line"):
        law = LAWS[name]()
        x = law.mean + 1.5 * rng.standard_normal((N, law.dim))
        for sigma in (0.3, 0.0) if isinstance(law, PointCloud) else (0.3,):
            q = law.noised(1.0, sigma)
            whole = q.prox(x, lam, certificate=True)
            with monkeypatch.context() as patch:
                patch.setattr(solver, "_CHUNK", 64)
                patch.setattr(modes, "_CHUNK", 64)
                patch.setattr(general._Level, "_chunks", lambda self, p: [slice(a, a + 7) for a in range(0, p, 7)])
                parts = q.prox(x, lam, certificate=True)
            single = np.concatenate([q.prox(x[i : i + 1], lam[i : i + 1]) for i in range(0, N, 9)])
            # both stop where Newton's steps are below rounding; a flat minimum magnifies that
            for found, expected in ((parts.point, whole.point), (single, whole.point[::9])):
                assert np.max(np.abs(found - expected)) <= 1e-9 * np.max(np.abs(expected)), (name, sigma)
            assert np.max(np.abs(parts.objective - whole.objective)) <= 1e-12 * np.max(np.abs(whole.objective))


def test_transport_in_blocks_of_sixteen_rows(monkeypatch):
    """Costs, prices and neighbours in blocks; 60 atoms of unequal weights, dual and primal values."""
    from exactdiffusion.distances import transport, w2

    rng = np.random.default_rng(4)
    for d in (2, 9):
        x, y = rng.standard_normal((60, d)), rng.standard_normal((50, d)) + 0.5
        a, b = rng.dirichlet(np.ones(60)), rng.dirichlet(np.ones(50))
        whole = w2(x, y, weights_x=a, weights_y=b, method="sparse")
        monkeypatch.setattr(transport, "_BLOCK", 64)
        parts = w2(x, y, weights_x=a, weights_y=b, method="sparse")
        monkeypatch.undo()
        assert abs(parts.value - whole.value) <= 1e-9 * whole.value
        assert whole.value * (1 - 1e-8) <= parts.lower <= parts.value * (1 + 1e-12)


def test_proximal_maps_beyond_the_rows_of_one_search():
    """4,096 rows share one search; the rows behind it have their own steps, and all parts of their answers."""
    rng = np.random.default_rng(5)
    q = PointCloud([[-1.0], [0.3], [1.0]], [0.2, 0.3, 0.5]).noised(1.0, 0.5)
    x, lam = rng.standard_normal((4120, 1)), np.exp(rng.standard_normal(4120))
    whole, tail = q.prox(x, lam, certificate=True), q.prox(x[4080:], lam[4080:], certificate=True)
    for name in ("point", "objective", "gap", "starts", "status"):
        found, expected = getattr(whole, name)[4080:], getattr(tail, name)
        if name in ("starts", "status"):
            assert np.array_equal(found, expected), name
        else:
            assert np.max(np.abs(found - expected)) <= 1e-12, name
