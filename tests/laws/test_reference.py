"""Laws against 50-digit references (tests/references/generate_laws.py), with the conditioning of every
single case.

Tolerance of a case: ``16 * eps * condition`` (the generator derives the condition numbers; 16 is for the
sums over components and coordinates, and the worst measured is printed), and never more than 1e-13 where the
condition is at most 100.
"""

import importlib.util
import json
from pathlib import Path

import mpmath
import numpy as np
import pytest

from exactdiffusion.laws import GaussianMixture, PointCloud, Sphere
from exactdiffusion.laws._kernels import mixture
from exactdiffusion.laws.sets import bessel_ratio

EPS = float(np.finfo(float).eps)
FOLDER = Path(__file__).resolve().parents[1] / "references"
KINDS = ("score", "denoise", "log_density", "posterior_covariance")


@pytest.fixture(scope="module")
def data():
    return json.loads((FOLDER / "laws.json").read_text(encoding="utf-8"))


def mixture_of(entry):
    diagonal = np.ndim(entry["covariances"]) == 2
    return GaussianMixture(
        entry["weights"], entry["means"], entry["covariances"], covariance_type="diag" if diagonal else None
    )


@pytest.fixture(scope="module")
def laws(data):
    return [PointCloud(e["means"], e["weights"]) if e["kind"] == "cloud" else mixture_of(e) for e in data["laws"]]


def probes(d):
    """Posterior covariances are stored whole up to d = 8, beyond as products with two sign vectors (as in
    the generator)."""
    if d <= 8:
        return np.eye(d)
    i = np.arange(d)
    return np.array([1.0 - 2.0 * (i % 3 == 0), 1.0 - 2.0 * ((i * i) % 7 < 3)])


def relative(value, reference):
    """Norm of the difference over the norm of the reference; references below 1e-290 are absolute zeros."""
    value, reference = np.ravel(value), np.ravel(reference)
    size = float(np.max(np.abs(reference)))
    if size < 1e-290:
        return 0.0 if float(np.max(np.abs(value))) < 1e-280 else np.inf
    return float(np.linalg.norm((value - reference) / size) / np.linalg.norm(reference / size))


def test_the_grid_is_as_wide_as_promised(data):
    sigma = [c["sigma"] for c in data["cases"]]
    assert (min(sigma), max(sigma)) == (1e-6, 1e6)
    assert {e["dim"] for e in data["laws"]} == {1, 2, 3, 8, 64}
    assert min(min(e["weights"]) for e in data["laws"]) <= 1e-12
    spectra = [
        np.linalg.eigvalsh(np.array(C))
        for e in data["laws"]
        if np.ndim(e["covariances"]) == 3
        for C in e["covariances"]
        if len(C) > 1 and e["name"].startswith("full")
    ]
    assert 0.99e8 < max(lam[-1] / lam[0] for lam in spectra) < 1.01e8
    assert (FOLDER / "laws.json").stat().st_size < 1.5e6


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_mixtures_and_clouds_against_50_digits(data, laws, kind, light, capsys, accuracy, monkeypatch):
    if not light:  # by products of matrices wherever they are possible
        monkeypatch.setattr(mixture, "pays", lambda *a: True)
    errors, conditions, names, classes = [], [], [], []
    for case in data["cases"]:
        law = laws[case["law"]]
        value = getattr(law.noised(case["scale"], case["sigma"]), kind)(np.array([case["x"]]))[0]
        assert np.all(np.isfinite(value)), case
        if kind == "posterior_covariance":
            value = probes(law.dim) @ value
        errors.append(relative(value, case[kind]))
        conditions.append(case["condition"][kind])
        entry = data["laws"][case["law"]]
        names.append(f"{entry['name']} d={law.dim} sigma={case['sigma']:g} {case['how']}")
        classes.append(type(law).__name__)
    errors, conditions = np.array(errors), np.maximum(np.array(conditions), 1.0)
    good = conditions <= 100
    ratio = errors / (EPS * conditions)
    within = 16 * EPS * conditions <= 1e-10
    with capsys.disabled():
        print(
            f"\n{kind}: {len(errors)} cases; worst relative error {errors[good].max():.1e} "
            f"where the condition is <= 100 "
            f"({good.sum()} cases), {errors[within].max():.1e} "
            f"where 16 eps condition <= 1e-10 ({within.sum()} cases), "
            f"worst error / (eps condition) {ratio.max():.2f} ({names[int(np.argmax(ratio))]})"
        )
    assert errors[good].max() <= 1e-13, names[int(np.argmax(np.where(good, errors, 0)))]
    assert errors[within].max() <= 1e-10
    for name in sorted(set(classes)):
        of = np.array(classes) == name
        accuracy(f"laws.{name}.noised.{kind}", errors[of], 16 * EPS * conditions[of])


def test_bessel_ratio_against_50_digits(data, capsys, accuracy):
    worst = np.zeros(3)
    for entry in data["bessel"]:
        got = bessel_ratio(np.array([entry["kappa"]]), entry["k"])
        ratio, slope, log = entry["value"]
        # The logarithm is an exponent, so absolute to eps, and a sum of terms of size k log(1 + kappa/k).
        scale = (ratio, slope, 1 + abs(log) + entry["k"] * np.log1p(entry["kappa"] / entry["k"]))
        worst = np.maximum(worst, [abs(g[0] - r) / c for g, r, c in zip(got, entry["value"], scale, strict=True)])
    with capsys.disabled():
        print(f"\nBessel ratio, slope, log: worst relative errors {worst[0]:.1e} {worst[1]:.1e} {worst[2]:.1e}")
    # Ratio: about 33 terms of a contracting fraction; slope: errors of early terms grow by (2v + 1)/(2v - 1)
    # per term, 65 in all.
    for name, error, roundings in zip(("ratio", "slope", "logarithm"), worst, (8, 2 * 65, 32), strict=True):
        accuracy(f"Bessel functions of the spheres, {name}", error, roundings * EPS)


def test_bessel_ratio_in_one_dimension_is_tanh():
    kappa = np.array([0.0, 1e-9, 1e-3, 1.0, 5.0, 40.0, 1e3])
    B, slope, log = bessel_ratio(kappa, 1)
    np.testing.assert_allclose(B * kappa, np.tanh(kappa), rtol=4 * EPS)
    np.testing.assert_allclose(slope[:-1], np.cosh(kappa[:-1]) ** -2, rtol=100 * EPS)  # cosh(40)^2 at relative 40 eps
    np.testing.assert_allclose(log[:-1], np.log(np.cosh(kappa[:-1])) - kappa[:-1], atol=64 * EPS, rtol=4 * EPS)


def test_sphere_against_50_digits(data, capsys, accuracy):
    worst = dict.fromkeys(("denoise", "along", "across", "log_density"), 0.0)
    for e in data["spheres"]:
        n = e["n"]
        q = Sphere(e["radius"], n).noised(e["scale"], e["sigma"])
        x = np.full((1, n), e["coordinate"])
        unit = np.full(n, 1 / np.sqrt(n))
        got = {"denoise": relative(q.denoise(x)[0], e["length"] * unit)}
        got["log_density"] = abs(q.log_density(x)[0] - e["log_density"]) / abs(e["log_density"]) / e["condition"]
        if n <= 64:
            C = q.posterior_covariance(x)[0]
            got["across"] = abs((np.trace(C) - unit @ C @ unit) / (n - 1) / e["across"] - 1)
            got["along"] = abs(unit @ C @ unit - e["along"]) / e["across"]  # Cov is assembled at the scale of `across`
        for k, v in got.items():
            worst[k] = max(worst[k], v)
    with capsys.disabled():
        print("\nsphere, dimensions 4, 64, 1024, 3136, worst: " + ", ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    # Sums of n terms for norms and traces, pairwise; kappa enters with a condition of at most 1 (ratio) and
    # 2 (slope).
    accuracy("laws.Sphere.noised.denoise", worst["denoise"], 16 * EPS)
    accuracy("laws.Sphere.noised.log_density", worst["log_density"], 16 * EPS)
    accuracy("laws.Sphere.noised.posterior_covariance", worst["across"], 64 * EPS)
    accuracy("laws.Sphere.noised.posterior_covariance", worst["along"], 130 * EPS)


@pytest.mark.deep
def test_references_recomputed(data, request):
    if not request.config.getoption("--deep", default=False):
        pytest.skip("long variant: run with --deep")
    spec = importlib.util.spec_from_file_location("generate_laws", FOLDER / "generate_laws.py")
    g = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(g)
    with g.mp.workdps(g.DIGITS):
        cache = {}
        for case in data["cases"]:
            again = g.solve(data["laws"], case, cache)
            for kind in KINDS:
                assert again[kind] == case[kind], (kind, case)
        for entry in data["bessel"]:
            assert g.bessel(entry["k"], entry["kappa"]) == entry["value"]
        for e in data["spheres"]:
            new = g.sphere(e["n"], e["radius"], e["scale"], e["sigma"], e["coordinate"] * float(np.sqrt(e["n"])))
            assert all(new[k] == e[k] for k in ("length", "along", "across", "log_density"))


@pytest.mark.parametrize("width", [1e-6, 1e-7])
def test_many_close_atoms_in_a_wide_cloud(width):
    """More candidates than explicit pairs are worth, at a sigma where the bound of the sliced product, which grows with the
    radius of the cloud, is too large: exact differences must take over. Against 50 digits, relative to the cluster."""
    rng = np.random.default_rng(77)
    atoms = np.concatenate([width * rng.standard_normal((120, 8)), 1 + 0.1 * rng.standard_normal((40, 8))])
    x = width * rng.standard_normal((6, 8))
    got = PointCloud(atoms).noised(1.0, width).denoise(x)
    with mpmath.workdps(50):
        for i, query in enumerate(x):
            h = [sum((mpmath.mpf(a) - mpmath.mpf(q)) ** 2 for a, q in zip(p, query)) / 2 for p in atoms]
            w = [mpmath.exp(-(v - min(h)) / mpmath.mpf(width) ** 2) for v in h]
            total = sum(w)
            for k in range(8):
                exact = sum(wj * mpmath.mpf(p[k]) for wj, p in zip(w, atoms)) / total
                error = abs(mpmath.mpf(got[i, k]) - exact)
                tolerance = 64 * EPS * width  # rounding of 8 differences per logit and of 120 weights
                assert error <= tolerance, (i, k, float(error / width))


def test_eigenvectors_of_singular_covariances_are_orthonormal():
    """Within a null space eigenvalues are rounding and vectors turn far: their orthonormality is restored at the end.

    A deviation e of U^T U from 1 is an error e |z|^2 / v of every exponent; before, 2 % of such matrices had up to 6e-7.
    """
    rng = np.random.default_rng(7)
    for _ in range(150):
        d = int(rng.integers(8, 14))
        size = 10.0 ** rng.uniform(-4, 2) * 10.0 ** rng.uniform(-rng.choice([0, 1, 5]), 0, size=d)
        size[rng.random(d) < 0.4] = 0.0
        size[0] = 1.0
        Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        C = (Q * size**2) @ Q.T
        law = GaussianMixture(None, np.zeros((1, d)), (C + C.T)[np.newaxis] / 2)
        U = law._U[0]
        assert np.max(np.abs(U.T @ U - np.eye(d))) <= 16 * EPS
