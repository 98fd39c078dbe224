"""Kernels of arrays other than NumPy's: accuracy near ties, blocks, the work they do, counted, and what it predicts."""

import importlib.util
import math
import sys
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion._core.arrays import to_numpy, workspace
from exactdiffusion.laws._kernels import mixture, softmax

EPS = float(np.finfo(float).eps)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["torch", "strict", "torch as on a GPU", "strict as on a GPU"])
def put(request, monkeypatch):
    """NumPy array -> array of the namespace; the last two go the way of a GPU: no clipping, whole rows, other forms."""
    if request.param.endswith("GPU"):
        for module in (mixture, softmax):
            monkeypatch.setattr(module, "on_accelerator", lambda x: not isinstance(x, np.ndarray))
            monkeypatch.setattr(module, "workspace", lambda x: 1 << 22)
    if request.param.startswith("strict"):
        return array_api_strict.asarray
    torch = pytest.importorskip("torch")
    return lambda a: torch.asarray(np.array(a))


@pytest.fixture
def roofline(monkeypatch):
    pytest.importorskip("torch")
    path = ROOT / "benchmarks" / "roofline.py"
    if not path.is_file():
        pytest.skip("benchmarks/ is in the checkout only")
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location("benchmark_roofline", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("d", [4, 12])
def test_full_mixtures_near_the_limit_of_one_product(d, put):
    """eps R^2 / v just below 1e-11: on a GPU by pairs of coordinates, whose logits are not corrected by differences."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(16, d, d))
    law = GaussianMixture(None, 5 * rng.normal(size=(16, d)), A @ np.swapaxes(A, 1, 2) / d + 0.05 * np.eye(d))
    q = law.noised(1.0, 0.1)
    x = q.sample(300, 1)
    for what in ("log_density", "score", "denoise"):
        one_by_one = np.concatenate([getattr(q, what)(x[i : i + 1]) for i in range(0, 300, 7)])
        error = to_numpy(getattr(q, what)(put(x)))[::7] - one_by_one
        assert np.max(np.abs(error)) <= 2e-11 * np.max(np.abs(one_by_one)), what


def exact(p, x, sigma):
    """Conditional means in long double, by differences."""
    h = ((x[:, None].astype(np.longdouble) - p[None].astype(np.longdouble)) ** 2).sum(-1) / 2
    w = np.exp(-(h - h.min(axis=1, keepdims=True)) / np.longdouble(sigma) ** 2)
    return (w @ p.astype(np.longdouble)) / w.sum(axis=1, keepdims=True)


def near_ties(d, sigma, shift):
    """Queries on the bisectors of neighbours, up to sigma^2 / gap."""
    rng = np.random.default_rng(d)
    p = rng.normal(size=(120, d)) + shift
    i = rng.integers(0, 120, 30)
    h = ((p[i][:, None] - p) ** 2).sum(-1)
    h[np.arange(30), i] = np.inf
    j = h.argmin(axis=1)
    gap = p[j] - p[i]
    return p, 0.5 * (p[i] + p[j]) + gap * (sigma**2 / (gap**2).sum(1) * rng.uniform(-1, 1, 30))[:, None]


@pytest.mark.parametrize("d", [2, 9])
def test_order_of_the_two_nearest_atoms(d, put):
    """On bisectors, up to rounding of x: differences decide which of two atoms is the nearest one, also for the gap."""
    p, x = near_ties(d, 1e-8, 100.0)
    index, _, gap = PointCloud(p)._nearest(put(x), count=2)
    far = np.sqrt(((x[:, None].astype(np.longdouble) - p[None].astype(np.longdouble)) ** 2).sum(-1))
    assert np.array_equal(to_numpy(index), far.argmin(axis=1))
    two = np.sort(far, axis=1)[:, :2]
    # The numerator rounds by 4 + sqrt d roundings of the product of lengths, of x - p relative to the distance.
    assert np.abs(to_numpy(gap) - (two[:, 1] - two[:, 0])).max() <= 2 * (4 + math.sqrt(d)) * EPS * two.max()


@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("sigma", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("d", [6, 64])
def test_near_ties(d, sigma, shift, put):
    p, x = near_ties(d, sigma, shift)
    got = to_numpy(PointCloud(p).noised(1.0, sigma).denoise(put(x)))
    # What rounding x itself moves the weights of a tie by, and differences of d terms at the distance of the two atoms.
    gap, size = 2 * np.sqrt(d), np.abs(p).max()
    tol = EPS * (64 * size + 4 * (math.sqrt(d) + 4) * gap * gap * (size + gap) / sigma**2)
    assert np.abs(got - exact(p, x, sigma)).max() <= min(tol, 0.1)
    near = PointCloud(p).noised(1.0, sigma).denoise(x)
    # NumPy is as far from the truth: the two differ by the rounding of differences, not of the expansion.
    assert np.abs(got - near).max() <= EPS * (64 * size + 16 * gap**3 / sigma**2)


def test_without_the_exact_logits_a_cluster_is_wrong(put, monkeypatch):
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.normal(size=(300, 9)), 3 + 1e-5 * rng.normal(size=(10, 9))])
    x = p[290:] + 1e-5 * rng.normal(size=(20, 9))
    want, q = exact(p, x, 1e-5), PointCloud(p).noised(1.0, 1e-5)
    assert np.abs(to_numpy(q.denoise(put(x))) - want).max() <= 64 * EPS
    monkeypatch.setattr(softmax, "_merge", lambda mask, new, old: old)
    assert np.abs(to_numpy(q.denoise(put(x))) - want).max() > 1e-12


@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_and_rows_at_zero(put, weighted, monkeypatch):
    """Small blocks, levels per row and rows at sigma = 0 give what one block of NumPy gives."""
    rng = np.random.default_rng(1)
    p, x = rng.normal(size=(200, 7)), rng.normal(size=(50, 7))
    sigma = rng.uniform(0.01, 2, 50)
    cloud = PointCloud(p, rng.dirichlet(np.ones(200)) if weighted else None)
    monkeypatch.setattr(softmax, "rows", lambda *_: 7)
    for kind in ("denoise", "score", "log_density"):
        for level in ((1.0, 0.5), (0.6, sigma), (rng.uniform(0.5, 2, 50), sigma)):
            want = getattr(cloud.noised(*level), kind)(x)
            got = to_numpy(getattr(cloud.noised(*level), kind)(put(x)))
            assert np.abs(got - want).max() <= 1e-13 * max(1.0, np.abs(want).max()), kind
    sigma[::3] = 0.0
    want, got = cloud.noised(1.0, sigma).denoise(x), to_numpy(cloud.noised(1.0, sigma).denoise(put(x)))
    assert np.abs(got - want).max() <= 1e-13
    assert np.array_equal(got[::3], want[::3])


@pytest.mark.parametrize("kind", ["full", "full, few dimensions", "diagonal"])
def test_mixtures(kind, put):
    """Every form of the sums, at levels from where one component counts to where all do."""
    rng = np.random.default_rng(2)
    K, d = (12, 30) if kind == "full" else (20, 10)
    A = rng.normal(size=(K, d, d))
    C = rng.uniform(0.01, 1, (K, d)) if kind == "diagonal" else A @ np.swapaxes(A, 1, 2) / d + 1e-3 * np.eye(d)
    for centre in (0.0, 50.0):
        law = GaussianMixture(rng.dirichlet(np.ones(K)), centre + rng.normal(size=(K, d)), C)
        for sigma in (30.0, 0.5, 1e-3):
            x = law.sample(80, rng) + sigma * rng.normal(size=(80, d))
            for what in ("denoise", "score", "log_density"):
                want = getattr(law.noised(1.0, sigma), what)(x)
                got = to_numpy(getattr(law.noised(1.0, sigma), what)(put(x)))
                assert np.abs(got - want).max() <= 1e-12 * max(1.0, np.abs(want).max()), (what, sigma)


def test_workspace_goes_by_the_device():
    torch = pytest.importorskip("torch")
    assert workspace(np.zeros(1)) == workspace(torch.zeros(1)) == 1 << 20
    assert workspace(torch.empty(1, device="meta")) == 1 << 27


# ------------------------------------------------------------------------------------------------------- counted work


def test_work_of_a_cloud(roofline):
    """Two products, five operations on (rows, atoms) between them, one question per block."""
    n, M, d = 40, 900, 24
    law = roofline.cloud(M, d)
    x = law.points[:n] + 5.0 * np.random.default_rng(0).normal(size=(n, d))
    q = law.noised(1.0, 5.0)
    done = roofline.count((q.denoise, x), (q.denoise, (n, d)))
    large = [o.name for o in done.operations if math.prod(o.largest) >= n * M]
    assert large == ["mm", "argmax", "index_select", "sub_", "exp", "index_put_", "sum", "mm", "mm"]
    # The first product has two more columns: the bias and the log weights. The last one is the second moments.
    assert sum(o.flops for o in done.operations) == 2 * n * M * (d + 2) + 2 * n * M * d + 2 * n * M
    assert len(done.reads) == 2
    assert done.reads[-1] is True
    # In bytes: written and read (largest, exponential), or read (argmax, sum, moments, second product).
    whole = {"sub_": 2, "argmax": 1, "exp": 2, "sum": 1}
    for o in done.operations:
        if o.name in whole and math.prod(o.largest) == n * M:
            assert abs(o.bytes / (8 * n * M) - whole[o.name]) <= 2 / min(n, M), o
    # Shapes without numbers are counted like numbers.
    import torch

    with roofline.path_of_a_gpu(), roofline.counting() as real:
        q.denoise(torch.asarray(x))
    a, b = ([(o.name, o.flops) for o in k.operations if o.name != "scalar_tensor"] for k in (real, done))
    assert a == b


def test_work_of_a_mixture(roofline):
    n, K, d = 300, 8, 100
    law = roofline.mixture(K, d)
    x = law.sample(n, np.random.default_rng(0))
    for sigma in (1.0, 0.1):  # one product, and forming its matrices; the quadratic forms and the sum read it
        q = law.noised(1.0, sigma)
        done = roofline.count((q.denoise, x), (q.denoise, (n, d)))
        flops = [o.flops for o in done.operations if o.flops]
        assert sorted(flops) == sorted([2 * K * d**3, 2 * n * K * d * d, *[2 * n * K * d] * 4])
        assert len(done.reads) == 1
    thin = GaussianMixture(law.weights, 30 * law.means, law.covariances * 1e-9)
    q = thin.noised(1.0, 1e-6)
    x = 3.0 + np.random.default_rng(0).normal(size=(n, d))
    done = roofline.count((q.denoise, x), (q.denoise, (n, d)))
    large = sorted(o.flops for o in done.operations if o.flops > 2 * n * K * d)
    assert large == [2 * n * K * d * d, 2 * n * K * d * (d + 2)]


def test_another_path_is_noticed(roofline):
    law = roofline.mixture(8, 32)
    x = law.sample(100, np.random.default_rng(0))
    with pytest.raises(RuntimeError, match="another path"):
        roofline.count((lambda y: y, x), (law.noised(1.0, 0.5).denoise, (100, 32)))
    with pytest.raises(RuntimeError, match="another path"):
        roofline.count((law.noised(1.0, 0.5).denoise, x), (lambda y: y, (100, 32)))


def test_prediction(roofline):
    op = roofline.Operation
    product, sweep, tiny, read = (
        op("mm", 10**9, 8, ()), op("exp", 0, 10**6, ()), op("add", 0, 8, ()), op(roofline.READ, 0, 0, ()))  # fmt: skip
    device = {"gemm": 1e12, "bandwidth": 1e9, "launch": 0.0}
    assert roofline.predict([product, sweep], **device) == pytest.approx(2e-3)
    assert roofline.predict([tiny] * 10, **device) == pytest.approx(10 * roofline.LEAST)
    # Python runs ahead of a long operation, but not past a number it asked for.
    device["launch"] = 1e-4
    assert roofline.predict([product, sweep], **device) == pytest.approx(1e-4 + 2e-3)
    assert roofline.predict([product, read, sweep], **device) == pytest.approx(3e-4 + 2e-3)


def test_the_script_runs(roofline, tmp_path, capsys):
    assert roofline.main(["--scale", "0.004", "--output", str(tmp_path / "out.json")]) == 0
    assert "predicted, not measured" in capsys.readouterr().out
    assert (tmp_path / "out.json").is_file()


def test_the_script_does_not_stop_the_others(roofline, tmp_path, monkeypatch, capsys):
    """A missed prediction and a missing torch are printed; they are errors where that is asked for."""
    small = roofline.sizes(0.004)
    monkeypatch.setattr(roofline, "sizes", lambda scale: small)
    monkeypatch.setattr(roofline, "GOAL", math.inf)
    assert roofline.main(["--scale", "1"]) == 0
    assert "missed" in capsys.readouterr().out
    assert roofline.main(["--scale", "1", "--check"]) == 1
    assert roofline.main(["--scale", "0.5", "--check"]) == 0
    monkeypatch.setitem(sys.modules, "torch", None)
    assert roofline.main([]) == 0
    assert "not installed" in capsys.readouterr().err
    assert roofline.main(["--check"]) == 3
    memory = tmp_path / "meminfo"
    assert roofline.default_scale(memory) == roofline.SHORT
    for free, scale in ((9_000_000, roofline.SHORT), (11_000_000, 1.0)):
        memory.write_text(f"MemTotal: 1 kB\nMemAvailable:   {free} kB\n")
        assert roofline.default_scale(memory) == scale
