"""Mixtures by products of matrices against the kernel that forms every difference, other namespaces and 50 digits."""

import collections
import importlib.util
import json
import tracemalloc
from pathlib import Path

import array_api_strict
import mpmath
import numpy as np
import pytest

from exactdiffusion._core.arrays import to_numpy
from exactdiffusion.laws import GaussianMixture
from exactdiffusion.laws._kernels import mixture

EPS = float(np.finfo(float).eps)
METHODS = ("log_density", "score", "denoise", "hessian", "posterior_covariance")
LEVELS = {
    "clean": (1.0, 1e-3),
    "low": (1.0, 0.1),
    "middle": (0.7, 0.5),
    "large": (0.9, 30.0),
    "prior": (0.0, 2.0),
    "rows": (1.0, "rows"),
    "both rows": ("rows", "rows"),
}


def law_of(kind, K=9, d=12, seed=2, shift=0.0, spread=1.0, thin=0.05):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(K, d, d))
    C = {
        "full": np.matmul(A, np.swapaxes(A, 1, 2)) / d + thin * np.eye(d),
        "singular": np.matmul(A[:, :, : d // 2], np.swapaxes(A[:, :, : d // 2], 1, 2)) / d,
        "diagonal": rng.uniform(thin, 2.0, (K, d)),
        "isotropic": rng.uniform(thin, 2.0, K),
    }[kind]
    return GaussianMixture(rng.dirichlet(np.ones(K)), spread * rng.normal(size=(K, d)) + shift, C)


def level_of(name, n, seed=0):
    s, t = LEVELS[name]
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.2, 1.2, n) if isinstance(s, str) else s), (
        10.0 ** rng.uniform(-2, 1, n) if isinstance(t, str) else t
    )


@pytest.fixture
def forms(monkeypatch):
    """Counter of the forms that blocks took."""
    taken = collections.Counter()
    original = mixture.Level.form

    def form(self, reach):
        found = original(self, reach)
        taken[found and found.__name__] += 1
        return found

    monkeypatch.setattr(mixture.Level, "form", form)
    return taken


@pytest.fixture
def always(monkeypatch):
    """Products wherever they are possible, not only where they are faster."""
    monkeypatch.setattr(mixture, "pays", lambda K, d, n: n > 0)


def plain(function):
    """The same by differences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "pays", lambda *a: False)
        return function()


def agree(a, b, tol):
    a, b = to_numpy(a), to_numpy(b)
    assert a.shape == b.shape
    # Per row: the rounding of one row does not hide behind the size of another.
    axes = tuple(range(1, b.ndim))
    size = np.maximum(np.max(np.abs(b), axis=axes), 1e-3 * np.max(np.abs(b)))
    if b.ndim == 1:  # a log density near 0 has the rounding of its logits
        size = np.maximum(size, 1.0)
    assert np.all(np.max(np.abs(a - b), axis=axes) <= tol * size), np.max(np.max(np.abs(a - b), axis=axes) / size)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["full", "singular", "diagonal", "isotropic"])
def test_stacked_products_agree_with_differences_and_other_namespaces(kind, level):
    law, n = law_of(kind), 101
    s, t = level_of(level, n)
    q = law.noised(s, t)
    x = q.sample(n, 3)
    for what in METHODS:
        fast = getattr(q, what)(x)
        # Rounding of a logit: PRECISE where one product is used, and the conditioning eps |x|^2 / sigma^2 at the thinnest.
        tol = 1e-12 if level != "clean" else 1e-9
        agree(fast, plain(lambda what=what: getattr(q, what)(x)), tol)
        agree(getattr(q, what)(array_api_strict.asarray(x)), fast, tol)


@pytest.mark.parametrize("level", ["low", "large", "rows"])
def test_torch_agrees(level):
    torch = pytest.importorskip("torch")
    law, n = law_of("full"), 60
    s, t = level_of(level, n)
    q = law.noised(s, t)
    x = q.sample(n, 3)
    for what in METHODS:
        other = getattr(q, what)(torch.asarray(x))
        assert isinstance(other, torch.Tensor)
        agree(other, getattr(q, what)(x), 1e-12)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("kind", ["full", "singular", "diagonal", "isotropic"])
def test_few_coordinates_agree_with_differences_and_other_namespaces(kind, d, forms):
    """Whitened coordinates lose up to 64 eps, a logit twice that times its root: 1e-13 here, and more near a score of 0."""
    law, n = law_of(kind, d=d), 101
    for s, t in ((1.0, 0.5), (0.7, 3.0), (0.0, 2.0)):
        q = law.noised(s, t)
        x = q.sample(n, 3)
        for what in ("log_density", "score", "denoise"):
            fast = getattr(q, what)(x)
            agree(fast, plain(lambda what=what, q=q, x=x: getattr(q, what)(x)), 1e-12)
            agree(getattr(q, what)(array_api_strict.asarray(x)), fast, 1e-12)
    assert set(forms) == {"Few"}
    # Beyond the reach: diagonal covariances go by products that are corrected, full ones by differences.
    law.noised(1.0, 1e-3).score(law.sample(n, 0) + 100.0)
    assert set(forms) == {"Few", "Pairs" if law._stack().Ut is None else None}


@pytest.mark.usefixtures("always")
def test_every_form_is_used(forms):
    law, n = law_of("singular"), 64
    for sigma in (1e-4, 0.3, 30.0):
        q = law.noised(1.0, sigma)
        q.denoise(q.sample(n, 0))
    assert forms == {"Eigen": 1, "Precision": 1, "Gain": 1}
    q.denoise(q.sample(8, 0))  # too few rows to form matrices
    assert forms["Eigen"] == 2
    law_of("diagonal").noised(1.0, 0.3).denoise(law.sample(64, 0))
    assert forms["Pairs"] == 1


def _reference_module():
    path = Path(__file__).with_name("test_reference.py")
    spec = importlib.util.spec_from_file_location("laws_reference_helpers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", ["score", "denoise", "log_density", "posterior_covariance"])
def test_batches_against_50_digits(kind, forms, capsys):
    """The cases of test_laws_reference in batches, where stacks and the one-product forms take over; the same tolerance."""
    helpers = _reference_module()
    data = json.loads((helpers.FOLDER / "laws.json").read_text(encoding="utf-8"))
    laws = [None if e["kind"] == "cloud" or e["dim"] < 8 else helpers.mixture_of(e) for e in data["laws"]]
    worst, good = 0.0, 0.0
    for case in data["cases"]:
        law = laws[case["law"]]
        if law is None:
            continue
        n = 40 if kind == "posterior_covariance" else 2 * law.dim + 1
        x = np.tile(case["x"], (n, 1))
        value = getattr(law.noised(case["scale"], case["sigma"]), kind)(x)[n // 2]
        if kind == "posterior_covariance":
            value = helpers.probes(law.dim) @ value
        error, condition = helpers.relative(value, case[kind]), max(case["condition"][kind], 1.0)
        worst = max(worst, error / (EPS * condition))
        good = max(good, error if condition <= 100 else 0.0)
    with capsys.disabled():
        print(
            f"\n{kind} in batches: worst error / (eps condition) {worst:.2f}, error {good:.1e} where it is <= 100; "
            f"{dict(forms)}"
        )
    assert worst <= 16
    assert good <= 1e-13
    if kind == "denoise":
        assert min(forms["Eigen"], forms["Precision"], forms["Gain"], forms["Pairs"]) >= 4
    elif kind != "posterior_covariance":
        assert min(forms["Eigen"], forms["Precision"], forms["Pairs"]) >= 4


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("form", ["eigen", "rows"])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_pairs_closer_than_the_shift_are_formed_again(shift, form):
    """Clusters of width 1e-4 at distance 1: U^T y - U^T m would lose 4 digits of every whitened coordinate."""
    rng = np.random.default_rng(0)
    K, d, n = 6, 10, 40
    A = rng.normal(size=(K, d, d))
    law = GaussianMixture(None, rng.normal(size=(K, d)) + shift, 1e-8 * (np.matmul(A, np.swapaxes(A, 1, 2)) / d + np.eye(d)))
    q = law.noised(1.0, 1e-4 if form == "eigen" else np.full(n, 1e-4))
    x = q.sample(n, 1)
    for what in ("log_density", "score", "denoise"):
        exact = plain(lambda what=what: getattr(q, what)(x))
        # x - mu is exact to eps |x|: both share the input's rounding, and differ by that of 10 terms of differences.
        tol = 1e-14 if what == "denoise" else 64 * EPS
        agree(getattr(q, what)(x), exact, tol)
        if what == "score":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(mixture, "_NEAR", 0.0)
                wrong = getattr(q, what)(x)
            assert np.max(np.abs(wrong - exact)) > 20 * 64 * EPS * np.max(np.abs(exact))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("d", [3, 10])
@pytest.mark.parametrize("kind", ["diagonal", "isotropic"])
def test_unclear_pairs_are_formed_again(kind, d, forms, monkeypatch):
    """Two clusters of components of width 1e-6: expanded squares would lose 12 digits of the logits."""
    rng = np.random.default_rng(0)
    means = np.repeat(rng.normal(size=(2, d)), 3, axis=0) + 1e-6 * rng.normal(size=(6, d))
    law = GaussianMixture(None, means, 1e-12 * rng.uniform(0.5, 2.0, (6, d) if kind == "diagonal" else 6))
    q = law.noised(1.0, 1e-6)
    x = q.sample(40, 1)
    for what in ("log_density", "score", "denoise"):
        exact = plain(lambda what=what: getattr(q, what)(x))
        # Differences are exact to eps |x|; both forms take the same ones.
        agree(getattr(q, what)(x), exact, 1e-14 if what == "denoise" else 64 * EPS)
    assert set(forms) == {"Pairs"}
    monkeypatch.setattr(mixture, "CLEAR", 1.0)
    assert np.max(np.abs(q.denoise(x) - exact)) > 1e-13


def singular_law(seed=1, K=6, d=12, rank=5):
    """Exactly singular covariances B B^T of small integers, means and weights of few bits; pairs share a subspace."""
    rng = np.random.default_rng(seed)
    B = np.repeat(rng.integers(-2, 3, (K // 2, d, rank)), 2, axis=0).astype(float)
    means = np.repeat(rng.integers(-3, 4, (K // 2, d)), 2, axis=0) + np.matmul(B, rng.integers(-1, 2, (K, rank, 1)))[:, :, 0]
    return GaussianMixture(np.array([1, 3, 5, 2, 4, 1]) / 16, means, np.matmul(B, np.swapaxes(B, 1, 2))), B


def exact_log_density(law, x, sigma):
    """50 digits: Cholesky of C + sigma^2 I."""
    with mpmath.workdps(50):
        out = []
        factors = []
        for C in law.covariances:
            S = mpmath.matrix(C.tolist()) + mpmath.mpf(sigma) ** 2 * mpmath.eye(law.dim)
            L = mpmath.cholesky(S)
            factors.append((L, mpmath.fsum(mpmath.log(L[i, i]) for i in range(law.dim))))
        for row in x:
            total = mpmath.mpf(0)
            for w, mu, (L, logdet) in zip(law.weights, law.means, factors, strict=True):
                z = []
                for i, (a, b) in enumerate(zip(row, mu, strict=True)):
                    z.append((mpmath.mpf(a) - mpmath.mpf(b) - mpmath.fdot(L[i, :i], z)) / L[i, i])
                total += mpmath.mpf(w) * mpmath.exp(-logdet - mpmath.fdot(z, z) / 2)
            out.append(float(mpmath.log(total) - law.dim * mpmath.log(2 * mpmath.pi) / 2))
    return np.array(out)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("sigma", [1e-1, 1e-3, 1e-5, 1e-7])
def test_singular_covariances_at_small_sigma(sigma, forms):
    """Logits of singular components stay below 1e-6 down to sigma = 1e-7; the precision form there would lose all digits."""
    law, _ = singular_law()
    q = law.noised(1.0, sigma)
    x = q.sample(40, 4)
    exact = exact_log_density(law, x[:6], sigma)
    error = np.max(np.abs(q.log_density(x)[:6] - exact))
    # Rounding of x and of the eigenvectors against the gradient, sqrt(d) / sigma.
    assert error <= min(1e-6, 64 * EPS * np.max(np.abs(x)) * np.sqrt(law.dim) / sigma + 64 * EPS * np.max(np.abs(exact)))
    if sigma <= 1e-5:
        assert set(forms) == {"Eigen"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mixture, "PRECISE", np.inf)
            assert np.max(np.abs(q.log_density(x)[:6] - exact)) > 1e-6
        assert forms["Precision"] == 1


@pytest.mark.usefixtures("always")
def test_small_queries_of_wide_components_far_away():
    """x near 0, |m_k| = 1e4, sigma small beside the widths: E[X|x] is about x; m_k + U(...) would keep eps |m_k| only."""
    rng = np.random.default_rng(0)
    K, d, n = 4, 8, 40
    A = rng.normal(size=(K, d, d))
    means = 1e4 * np.linalg.qr(rng.normal(size=(d, d)))[0][:K] * np.array([[1], [-1], [1], [-1]])
    law = GaussianMixture(None, means, 1e8 * (np.matmul(A, np.swapaxes(A, 1, 2)) / d + np.eye(d)))
    x = rng.normal(size=(n, d))
    for sigma in (1e-3, np.full(n, 1e-3)):
        q = law.noised(1.0, sigma)
        exact = plain(lambda q=q: q.denoise(x))
        agree(q.denoise(x), exact, 16 * EPS)
    # The sum that is not taken: the coordinates of x - s mu_k rotated back, from m_k.
    w = np.einsum("kij,nki->nkj", law._U, x[:, None] - means)
    back = means + np.einsum("kij,nkj->nki", law._U, law._lam / (law._lam + 1e-6) * w)
    r = np.exp(-0.5 * np.sum(w * w / (law._lam + 1e-6), axis=2) - 0.5 * np.sum(np.log(law._lam + 1e-6), axis=1))
    wrong = np.einsum("nk,nki->ni", r / r.sum(axis=1, keepdims=True), back)
    assert np.max(np.abs(wrong - exact)) > 256 * EPS


@pytest.mark.parametrize("kind", ["full", "singular"])
@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_chunks_of_components_and_blocks_of_rows_do_not_matter(kind, sigma, monkeypatch):
    """One component at a time, the heaviest in any place: running maxima and rescaled sums."""
    law = law_of(kind, K=30, spread=2.0)
    q = law.noised(1.0, sigma)
    x = q.sample(90, 0)
    whole = {what: getattr(q, what)(x) for what in METHODS}
    monkeypatch.setattr(mixture, "CHUNK", 1)
    monkeypatch.setattr(mixture, "ROWS", 17)
    for what in METHODS:
        agree(getattr(q, what)(x), whole[what], 1e-12)
        agree(whole[what], plain(lambda what=what: getattr(q, what)(x)), 1e-11)


def test_blocks_switch_by_their_own_rows(forms):
    """One far row takes its block to the eigen form, not the others; values agree with those of the row alone."""
    law = law_of("singular")
    x = law.noised(1.0, 0.3).sample(4 * mixture.ROWS, 0)
    x[mixture.ROWS + 5] *= 1e4
    q = law.noised(1.0, 0.3)
    together = q.score(x)
    assert forms == {"Precision": 3, "Eigen": 1}
    for i in (0, mixture.ROWS + 5, mixture.ROWS + 6):
        agree(together[i : i + 1], q.score(x[i : i + 1]), 1e-12)


@pytest.mark.parametrize("kind", ["full", "singular", "diagonal"])
@pytest.mark.parametrize("unit", [2.0**-490, 2.0**-300, 2.0**300, 2.0**480])
def test_units_do_not_matter(kind, unit):
    law = law_of(kind, d=8)
    x = 2.0 * np.random.default_rng(1).normal(size=(80, 8))
    for sigma in (0.03, 1.0, 20.0):
        for what in ("denoise", "posterior_covariance"):
            here = getattr(law.noised(0.7, sigma), what)(x)
            there = getattr(law.noised(0.7 * unit, sigma * unit), what)(x * unit)
            # The same form in every unit but the extreme ones, where 1 / v leaves the range: then the eigen form.
            agree(there, here, 1e-11 if sigma == 0.03 else 1e-12)


@pytest.mark.parametrize("what", ["log_density", "score", "denoise", "hessian", "posterior_covariance"])
def test_memory_is_bounded(what):
    """Beyond the output: two buffers, the stacks of one level (K d^2 each) and blocks; never (K, n, d)."""
    K, d, n = 64, 32, 4000 if what in ("log_density", "score", "denoise") else 300
    law = law_of("full", K, d)
    q = law.noised(1.0, 0.5)
    x = q.sample(n, 0)
    getattr(q, what)(x[:40])
    tracemalloc.start()
    out = getattr(q, what)(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stacks = 3 * 8 * K * d * d
    buffers = 8 * (4 * mixture.CHUNK if out.ndim < 3 else 5 * (1 << 19))
    assert peak <= out.nbytes + stacks + buffers + 8 * 8 * n * d
    if out.ndim < 3:
        assert peak < 8 * K * n * d  # what one array (K, n, d) would take


def test_single_rows_and_empty_batches():
    law = law_of("full", K=40, d=16)
    x = law.sample(1, 0)
    for what in METHODS:
        agree(getattr(law.noised(1.0, 0.4), what)(x), plain(lambda what=what: getattr(law.noised(1.0, 0.4), what)(x)), 1e-13)
    assert law.noised(1.0, 0.4).score(np.empty((0, 16))).shape == (0, 16)


def test_levels_of_zero_in_singular_laws_are_limits():
    """Rows at sigma = 0 of a singular law go to the limit kernel, with all rows of the call."""
    law = law_of("singular", K=40, d=16)
    x = law.noised(1.0, 0.1).sample(10, 0)
    sigma = np.where(np.arange(10) % 2, 0.0, 0.1)
    q = law.noised(1.0, sigma)
    agree(q.denoise(x), plain(lambda: q.denoise(x)), 1e-13)
    agree(q.denoise(x)[::2], law.noised(1.0, 0.1).denoise(x[::2]), 1e-12)


@pytest.mark.parametrize(("what", "form"), [("denoise", "Gain"), ("score", "Precision"), ("log_density", "Precision")])
def test_one_product_where_its_rounding_is_below_the_limit(what, form):
    """eps R^2 / t^2 at the limit, 5 % to either side in t; R is the reach of the query and the means."""
    rng = np.random.default_rng(3)
    K, d, n = 6, 8, 64
    law = GaussianMixture(None, rng.normal(size=(K, d)), np.tile(1e-14 * np.diag(1.0 + np.arange(d)), (K, 1, 1)))
    stack, y = law._stack(), rng.normal(size=(n, d))
    assert np.all(stack.c == 0)
    R = np.sqrt(np.max(np.sum(y**2, axis=1))) + np.sqrt(np.max(np.sum(law.means**2, axis=1)))
    for factor, expected in ((1.05, form), (0.95, "Eigen")):
        t = factor * R * np.sqrt(EPS / mixture.PRECISE)
        level = mixture.Level(stack, np.ones(1), np.array([t]), what, n, y)
        assert level.form(np.sqrt(np.max(np.sum(y**2, axis=1)))).__name__ == expected
