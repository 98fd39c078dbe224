"""Kernels of point clouds: every path gives one answer, what is left out is bounded, and memory stays bounded."""

import os
import subprocess
import sys
import textwrap

import array_api_strict
import numpy as np
import pytest

from exactdiffusion._core.arrays import to_numpy
from exactdiffusion.laws import PointCloud, _kernels
from exactdiffusion.laws._kernels import softmax

EPS = float(np.finfo(float).eps)


def exact(p, x, sigma, weights=None):
    """Conditional means in long double, by differences."""
    h = ((x[:, None].astype(np.longdouble) - p[None].astype(np.longdouble)) ** 2).sum(-1) / 2
    logits = -h / np.longdouble(sigma) ** 2 + (0 if weights is None else np.log(weights.astype(np.longdouble)))
    w = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (w @ p.astype(np.longdouble)) / w.sum(axis=1, keepdims=True)


def problem(M, d, n, sigma, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(M, d))
    x = p[rng.integers(0, M, n)] + sigma * rng.normal(size=(n, d))
    return p, x, rng.dirichlet(np.ones(M)) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sigma", [3.0, 0.3, 0.03, 1e-4])
@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_numpy_compiled_and_generic_kernels_agree(d, sigma, weighted, monkeypatch):
    """150,000 pairs: enough for the compiled kernels where numba is there. To 1e-12 relative, the promise of batches."""
    p, x, w = problem(500, d, 300, sigma, weighted=weighted)
    cloud = PointCloud(p, w)
    levels = ((1.0, sigma), (0.7, np.linspace(sigma, 2 * sigma, 300)))
    kinds = ("denoise", "score", "log_density")
    here = [[getattr(cloud.noised(*level), kind)(x) for kind in kinds] for level in levels]
    monkeypatch.setattr(softmax, "compiled", lambda: None)
    plain = [[getattr(cloud.noised(*level), kind)(x) for kind in kinds] for level in levels]
    y = array_api_strict.asarray(x[:40])
    for level, a, b in zip(levels, here, plain, strict=True):
        q = cloud.noised(level[0], level[1][:40] if np.ndim(level[1]) else level[1])
        for kind, u, v in zip(kinds, a, b, strict=True):
            assert np.abs(u - v).max() <= 1e-12 * np.abs(v).max(), kind
            generic = to_numpy(getattr(q, kind)(y))
            assert np.abs(generic - v[:40]).max() <= 1e-12 * np.abs(v[:40]).max(), kind
    # Weights of the atoms other than the best, of at most 16 eps each in the logit, times distances of about 2.
    error = np.abs(here[0][0] - exact(p, x, sigma, w)).max()
    assert error <= 64 * EPS * np.abs(p).max()


@pytest.mark.parametrize(("d", "name"), [(2, "low"), (9, "softmax")])
def test_compiled_kernel_is_used_where_numba_is_there(d, name, monkeypatch):
    pytest.importorskip("numba")
    compiled, calls = softmax.compiled(), []
    assert compiled is not None

    class Spy:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(compiled, name)

    monkeypatch.setattr(softmax, "compiled", Spy)
    p, x, _ = problem(500, d, 300, 0.3)
    PointCloud(p).noised(1.0, 0.3).denoise(x[:100])
    assert calls == []  # 50,000 pairs are not worth the import
    PointCloud(p).noised(1.0, 0.3).denoise(x)
    assert set(calls) == {name}


def test_without_numba_there_is_no_compiled_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "exactdiffusion.laws._kernels.compiled", raising=False)
    monkeypatch.delattr(_kernels, "compiled", raising=False)
    assert softmax.compiled.__wrapped__() is None


def test_compiled_exponential():
    pytest.importorskip("numba")
    x = -np.concatenate([np.linspace(0, 599, 100001), [0.0, 600.5, 1e4, np.inf]])
    got = x + 0.0
    softmax.compiled().exponential(got, 0.0, np.empty_like(x))
    want = np.where(x < -600, 0.0, np.exp(x))
    assert np.abs(got - want).max() <= 2 * EPS
    assert np.all(np.abs(got / np.where(want > 0, want, 1.0) - 1)[want > 0] <= 8 * EPS)
    assert got[-4] == 1.0
    assert np.all(got[-3:] == 0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [1, 4])
def test_compiled_kernel_against_numpy(d, weighted):
    """Weights and best logits of one block, beside the plain lines: to the rounding of logits of up to 600."""
    pytest.importorskip("numba")
    p, x, w = problem(333, d, 50, 0.05, weighted=weighted)
    rows = softmax.Rows(PointCloud(p, w), x, np.ones(1), np.linspace(0.02, 1.0, 50))
    plain = softmax.Weights.of(rows, True)
    plain.E = plain.E.copy()  # both are written into the same scratch
    fast = softmax.Weights.of(rows, True, softmax.compiled())
    assert np.array_equal(plain.reference, fast.reference)
    assert np.abs(plain.E - fast.E).max() <= 64 * EPS
    assert np.all(np.abs(plain.others - fast.others) <= 600 * 8 * EPS * plain.others)
    assert np.all(np.abs(plain.delta - fast.delta) <= 8 * EPS * plain.delta)
    L = rows.logits().copy()
    reference, others = np.empty(50, dtype=np.int64), np.empty((50, 1))
    top = softmax.compiled().softmax(L, reference, others)
    assert np.array_equal(reference, plain.reference)
    assert np.array_equal(top[:, 0], rows.logits().max(axis=1))
    assert np.abs(L - plain.E).max() <= 64 * EPS


@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("sigma", [0.02, 0.2, 0.5])
def test_atoms_without_weight_are_left_out_of_the_sums(sigma, shift, monkeypatch):
    """Against the whole sums: 1e-14 of the size of the cloud; and columns were left out."""
    p, x, _ = problem(2500, 64, 32, sigma)
    p, x = p + shift, x + shift
    cloud, widths, sums = PointCloud(p), [], softmax.sums
    monkeypatch.setattr(softmax, "flush", lambda law, S: widths.append(S.shape) or S)
    got = [getattr(cloud.noised(1.0, sigma), kind)(x) for kind in ("denoise", "score")]
    monkeypatch.setattr(softmax, "sums", lambda law, E, name: E @ law._p(name, E))
    want = [getattr(cloud.noised(1.0, sigma), kind)(x) for kind in ("denoise", "score")]
    assert sums is not softmax.sums
    assert np.abs(got[0] - want[0]).max() <= 1e-14 * np.abs(p).max()
    assert np.abs(got[1] - want[1]).max() <= 1e-14 * max(np.abs(want[1]).max(), np.abs(p).max() / sigma**2)


def test_two_atoms_that_float32_cannot_tell_apart():
    """1250 pairs of atoms at a distance of 1e-6: both of a pair count."""
    rng = np.random.default_rng(3)
    a = rng.normal(size=(1250, 256))
    p = np.concatenate([a, a + 1e-7 * rng.normal(size=a.shape)])
    sigma = 0.05
    x = a[:24] + sigma * rng.normal(size=(24, 256))
    got = PointCloud(p).noised(1.0, sigma).denoise(x)
    w = np.stack([exact(p[[i, i + 1250]], x[i : i + 1], sigma)[0] for i in range(24)])
    assert np.abs(got - w).max() <= 8 * EPS * np.abs(p).max()
    assert np.abs(got - p[:24]).max() > 1e-9  # one atom alone would be seen


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("d", [2, 9])
@pytest.mark.parametrize("scale", [5e-159, 1e-160])
def test_rows_that_overflow_when_divided_by_the_scale(scale, d):
    """x / scale is infinite, and the logit s x a / sigma^2 is 1e-8 or less: it still counts, and nothing warns."""
    atoms, x = np.zeros((2, d)), np.zeros((1, d))
    atoms[1, :2], x[0, 0] = (1.0, 2.0), 1e150
    found = PointCloud(atoms).noised(scale, 1.0).denoise(x)[0, 0]
    assert found - 0.5 == pytest.approx(0.25 * scale * 1e150, abs=4 * EPS)


def test_mass_that_a_window_drops():
    """Dropping what is T = 40 + log M below the best moves the mean by less than e^-40 diameters; T = 10 is seen."""
    p, x, _ = problem(2000, 3, 50, 0.4)
    h = ((x[:, None] - p[None]) ** 2).sum(-1) / 2 / 0.4**2
    h -= h.min(axis=1, keepdims=True)
    w = np.exp(-h)
    full = w @ p / w.sum(axis=1, keepdims=True)

    def kept(T):
        v = np.where(h <= T, w, 0.0)
        return np.abs(v @ p / v.sum(axis=1, keepdims=True) - full).max()

    diameter = np.linalg.norm(np.ptp(p, axis=0))
    assert kept(40 + np.log(2000)) <= np.exp(-40) * diameter + 16 * EPS * np.abs(p).max()
    assert kept(10.0) > 1e-9


@pytest.mark.parametrize("d", [6, 64])
def test_cure_and_acceptance_against_long_double(d):
    """Sigma from where all atoms count to where one does; a tight cluster in a wide cloud needs the cure."""
    rng = np.random.default_rng(d)
    wide = rng.normal(size=(300, d))
    cluster = wide[0] + 1e-3 * rng.normal(size=(100, d))
    p = np.concatenate([wide, cluster])
    for sigma in (10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4):
        x = p[rng.integers(0, 400, 40)] + sigma * rng.normal(size=(40, d))
        got, want = PointCloud(p).noised(1.0, sigma).denoise(x), exact(p, x, sigma)
        # Differences: logits round by about eps |x - p| |p - p_*| / sigma^2, the sums by a few eps.
        spread = 1e-3 * np.sqrt(2 * d) if sigma <= 1e-2 else np.sqrt(2 * d)
        tol = EPS * (64 + 16 * sigma * np.sqrt(d) * spread**2 / sigma**2)
        assert np.abs(got - want).max() <= tol, sigma


def test_without_the_cure_the_cluster_is_wrong(monkeypatch):
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.normal(size=(300, 9)), 3 + 1e-5 * rng.normal(size=(10, 9))])
    x = p[300:] + 1e-5 * rng.normal(size=(10, 9))
    want = exact(p, x, 1e-5)
    assert np.abs(PointCloud(p).noised(1.0, 1e-5).denoise(x) - want).max() <= 64 * EPS
    monkeypatch.setattr(softmax, "TOLERANCE", 1e6)
    assert np.abs(PointCloud(p).noised(1.0, 1e-5).denoise(x) - want).max() > 1e-12


@pytest.mark.parametrize(("d", "M"), [(2, 60), (5, 60), (64, 300)])
def test_posterior_covariance_against_long_double(d, M):
    p, x, w = problem(M, d, 20, 0.5, weighted=True)
    for sigma in (5.0, 0.5, 0.05):
        h = ((x[:, None].astype(np.longdouble) - p[None]) ** 2).sum(-1) / 2
        v = np.exp(-(h - h.min(axis=1, keepdims=True)) / np.longdouble(sigma) ** 2) * w
        v /= v.sum(axis=1, keepdims=True)
        offset = p[None] - (v @ p)[:, None]
        want = np.swapaxes(offset * v[:, :, None], 1, 2) @ offset
        got = PointCloud(p, w).noised(1.0, sigma).posterior_covariance(x)
        # A logit is good to eps of its size, h / sigma^2; sums of M terms; weights below e^-600 = 1e-261 are 0.
        size = np.abs(want).max(axis=(1, 2)) * (64 + 8 * (h.min(axis=1) / sigma**2 + 600))
        assert np.all(np.abs(got - want).max(axis=(1, 2)) <= EPS * size + 1e-250)


LARGE = """
import resource, sys
import numpy as np
from exactdiffusion.laws import PointCloud
M, d, n = 50000, 3072, 64
rng = np.random.default_rng(0)
cloud = np.empty((M, d))
for a in range(0, M, 1000):
    cloud[a : a + 1000] = rng.standard_normal((1000, d), dtype=np.float32)
resource.setrlimit(resource.RLIMIT_AS, (cloud.nbytes + (1 << 30),) * 2)
law = PointCloud(cloud, copy=False)
for sigma in (0.1, 3.0, 30.0, 0.0):
    x = cloud[:n] + sigma * rng.standard_normal((n, d))
    q = law.noised(1.0, sigma)
    out = q.denoise(x)
    assert np.isfinite(out).all()
    if sigma:
        assert np.isfinite(q.score(x)).all()
assert np.array_equal(law.nearest(cloud[:n])[0], np.arange(n))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert peak <= cloud.nbytes + (1 << 30), peak
print(peak - cloud.nbytes)
"""


@pytest.mark.deep
def test_memory_on_50000_images():
    """Address space and peak of the process: the cloud itself (``copy=False``) and 1 GiB for everything else."""
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LARGE)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr
