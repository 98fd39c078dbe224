"""The numbers of theory/findings.toml from their sentences alone: mpmath at 30 digits, no function of the library."""

import re
import tomllib

import numpy as np
import pytest
from mpmath import erfc, exp, findroot, inf, log, mp, mpf, npdf, quad, sqrt, tanh

from exactdiffusion import statements
from exactdiffusion._core.paths import theory_dir
from exactdiffusion.checks import expected

FINDINGS = {f["title"]: f for f in tomllib.loads((theory_dir() / "findings.toml").read_text(encoding="utf-8"))["finding"]}


def numbers(fragment):
    """Title and the numbers with a decimal point in the text of the finding whose title contains ``fragment``."""
    (found,) = [f for title, f in FINDINGS.items() if fragment in title]
    return [mpf(n) for n in re.findall(r"(?<![\w.^])\d+\.\d+", found["text"])], found["text"]


def assert_digits(printed, computed):
    """Every printed number is the computed one to its last printed digit (6 decimals)."""
    assert len(printed) == len(computed)
    for a, b in zip(printed, computed):
        assert abs(a - b) <= mpf("5.0001e-7"), (a, b)


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(30):
        yield


def posterior(atoms, weights, v):
    """Largest eigenvalue of the posterior covariance at y = 0 with noise variance v (atoms on the axes: diagonal)."""
    p = [w * exp(-(a[0] ** 2 + a[1] ** 2) / (2 * v)) for a, w in zip(atoms, weights)]
    return max(sum(q * a[i] ** 2 for q, a in zip(p, atoms)) / sum(p) for i in (0, 1))


def test_smoothed_distance():
    s, x = 1, mpf(2)
    slope = mp.diff(lambda x: -(s**2) * log(exp(-(x**2) / (2 * s**2))), x)
    assert abs(slope / 2 - 1) < 1e-20
    assert abs(x - 0 - 2) < 1e-20  # s eps* = x - E[X | x]


def test_langevin_without_state():
    printed, _ = numbers("Langevin step")
    g, h = mpf("0.01"), mpf("0.5")
    assert_digits(printed, [g, 2 * g / (1 - g**2), 1 / (1 - g / 2), 1 / (1 - h / 2)])
    assert abs(2 * h / (1 - h**2) - 1 / (1 - h / 2)) < 1e-25


def test_backward_equation_without_logarithm():
    """E y'^2 >= (|(1 + g) y|_2 - g c)^2 with c = max |2 r'|, so |y'|_2 - c >= (1 + g) (|y|_2 - c); and by quadrature."""
    printed, _ = numbers("The backward equation")
    g, n, c = mpf("0.025"), 200, 2 * npdf(1)
    assert abs(2 * mp.diff(npdf, 1)) == c > abs(2 * mp.diff(npdf, mpf("0.99")))
    v = 1 + mpf(0)
    for _ in range(n):
        v = (1 - g) ** 2 * v + 2 * g
    assert_digits(printed, [c, c, g, sqrt(v)])
    assert c + (1 - c) * (1 + g) ** n > 72


def test_one_letter():
    printed, _ = numbers("One letter")
    assert_digits(printed, [1 - exp(-2), exp(2) * (1 - exp(-2))])


def test_once_log_concave():
    printed, _ = numbers("log-concavity can be lost")
    a, b = mpf("0.3158102"), mpf("0.1841898")
    atoms, weights, s = [(1, 0), (-1, 0), (0, mpf("1.2")), (0, -mpf("1.2"))], [a, a, b, b], mpf("0.714")
    assert printed[:5] == [a, mpf("1.2"), mpf("1.2"), b, s]
    assert abs(posterior(atoms, weights, s / 2) / s - printed[5]) < mpf("5.1e-11")
    assert posterior(atoms, weights, s / 2) > s > posterior(atoms, weights, s)
    assert printed[6] == max(mpf(a[0]) ** 2 + mpf(a[1]) ** 2 for a in atoms) > s  # R^2: outside the hypothesis


@pytest.mark.parametrize(("K", "threshold"), [(5, 64), (6, 256)])
def test_lattice(K, threshold):
    """Var(X | y) passes sigma^2 just below the threshold, at the observation with even odds of the two largest atoms."""
    atoms = [mpf(2) ** k for k in range(K + 1)]
    for v, above in ((threshold * mpf("0.999"), True), (threshold * mpf("1.001"), False)):
        # weights exp(-x^2/8): the posterior at y of noise v is proportional to exp(-x^2/8 - (x - y)^2 / 2 v)
        y = v / 8 * (atoms[-1] + atoms[-2]) + (atoms[-1] + atoms[-2]) / 2
        q = [exp(-(x**2) / 8 - (x - y) ** 2 / (2 * v) + mpf(2) ** (2 * K) / 16) for x in atoms]
        mean = sum(a * x for a, x in zip(q, atoms)) / sum(q)
        variance = sum(a * (x - mean) ** 2 for a, x in zip(q, atoms)) / sum(q)
        assert (variance > v) == above


def test_orders():
    """Stationary variances on N(0, 1): x' = (1 - g/2) x + sqrt(g) z, and x' = (x + sqrt(g) z) / (1 + g/2)."""
    printed, text = numbers("announced orders")
    cited = ("2510.27562", "2508.16306")
    assert all(number in text for number in cited)
    printed = [p for p in printed if p not in map(mpf, cited)]
    g = mpf("0.1")
    euler, backward = g / (1 - (1 - g / 2) ** 2), g / ((1 + g / 2) ** 2 - 1)
    assert_digits(printed, [g, euler, backward])
    for value in (euler, backward):
        assert abs(abs(value - 1) / (g / 4) - 1) < mpf("0.03")
    # hence both KL(output | N(0, 1)) ~ (g/4)^2 / 4: second order
    for value in (euler, backward):
        kl = (value - 1 - log(value)) / 2
        assert abs(kl / ((g / 4) ** 2 / 4) - 1) < mpf("0.05")


def test_two_point_plateau():
    printed, _ = numbers("The deterministic denoiser")
    sign = 2 * erfc(1 / sqrt(2))  # E (sign(y) - x)^2 = 4 P(N > 1)
    mmse = 1 - quad(lambda g: npdf(g) * tanh(1 + g), [-inf, -3, 0, 3, inf])
    assert_digits(printed[:2], [sign, mmse])
    assert abs(100 * (sign / mmse - 1) - printed[2]) < mpf("0.005")


def test_condition_number():
    printed, _ = numbers("The condition number")
    assert_digits(printed, [1 / (1 - 1 / mpf((1 + m) * m)) for m in (2, 10, 100)])
    assert 1 / (1 - mpf(1) / 2) == 2  # m = 1
    # attained: after m - 1 measurements with sum 0 the next one is an even mixture of N(1/m, 1 + 1/m) and N(-1/m, 1 + 1/m)
    for m in (1, 2, 10, 100):
        centre, variance = mpf(1) / m, 1 + mpf(1) / m

        def density(y, centre=centre, variance=variance):
            return npdf(y, centre, sqrt(variance)) + npdf(y, -centre, sqrt(variance))

        with mp.workdps(60):
            middle, far = (-mp.diff(lambda y: log(density(y)), y, 2) for y in (0, 60 * m))
        assert abs(far / middle - 1 / (1 - 1 / mpf((1 + m) * m))) < mpf("1e-12")


def test_band_edge():
    printed, _ = numbers("DDIM band")
    ratio = [(2 - mpf(2) ** (-mpf(1) / N)) ** N for N in (1, 10, 100)]
    assert_digits(printed, ratio)
    assert all(r < 2 for r in ratio)


def test_half_logarithm():
    printed, _ = numbers("half the logarithm")
    L, scale = log(mpf(100) / mpf("0.01")), 2 * mpf(1) / 4
    assert_digits(printed, [mpf("0.01"), 1 + scale * (exp(-1) + L / 2), 1 + scale * (exp(-1) + L)])
    root = findroot(lambda a: (a**2 - 1) * 4 / 2 - log(1 + a) - L, 3)
    assert root < printed[1]


def test_thresholds():
    printed, _ = numbers("Thresholds of log-concavity")
    K = 10
    simplex = np.eye(K) / np.sqrt(2)  # edge 1
    assert abs(np.linalg.norm(simplex[0] - simplex[1]) - 1) < 1e-15
    radius = np.linalg.norm(simplex[0] - simplex.mean(axis=0))
    assert_digits(printed, [mpf(1) / 4, mpf(K - 1) / (2 * K)])
    assert abs(radius**2 - 0.45) < 1e-15


def test_fisher_information():
    """N(0, 1): Xhat is normal with variance 1/(1 + s), s = sigma^2/m; W2 = 1 - 1/sqrt(1 + s); I = 1."""
    printed, _ = numbers("W2 of the posterior mean")
    s = mpf(1) / 100
    true = 1 - 1 / sqrt(1 + s)
    assert_digits(printed, [mpf("1.5") * s, sqrt(s), true])
    assert true < mpf("1.5") * s < sqrt(s)


def test_document():
    """Every finding names statements of the ledger; each refuted statement has its finding."""
    known = {s.key: s for s in statements.all_statements()}
    for f in FINDINGS.values():
        assert f["kind"] in expected.FINDING_KINDS
        assert f["statements"]
        assert set(f["statements"]) <= set(known)
    told = {kind: set() for kind in expected.FINDING_KINDS}
    for f in FINDINGS.values():
        told[f["kind"]] |= set(f["statements"])
    refuted = {key: s.text for key, s in known.items() if s.kind == "refuted"}
    assert told["refutation"] == {key for key, text in refuted.items() if text == "source"}
    # a heading that defers to the paper is in the group, but no statement of the paper's is refuted by it
    heading = "log_concavity/blurring_threshold"
    assert told["transcription"] - {heading} == {key for key, text in refuted.items() if text == "transcribed"}
    assert set(refuted.values()) == {"source", "transcribed"}
    assert heading not in refuted
    for f in FINDINGS.values():
        assert ("As transcribed" in f["text"]) == (f["kind"] == "transcription")


def test_speed_of_the_score():
    """The velocity of the score -x/S of N(0, S) is x/S^2, of mean square 1/S^3; the energy is the variance of x^2/S^2."""
    printed, _ = numbers("The d of d/sqrt(eps)")
    assert_digits(printed, [quad(lambda S: S**-3, [1, 2])])
    for S in (mpf(1), mpf(2)):
        energy = quad(lambda x, S=S: (x**2 / S**2 - 1 / S) ** 2 * npdf(x, 0, sqrt(S)), [-inf, 0, inf])
        assert abs(energy - 2 / S**2) < 1e-20
