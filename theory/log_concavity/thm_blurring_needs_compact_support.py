"""Enough Gaussian blurring leads to log-concavity for bounded support (derived; a heading of the slides).

Suppose that

    (H1)  the support of the law has the diameter D.

Then the law noised by sigma is log-concave for

    sigma^2  >=  D^2 / 4,

attained by two atoms. Without (H1) no noise may suffice: for Student's t with three degrees of freedom, and for the
sub-Gaussian lattice of atoms 2^k with weights proportional to exp(-4^k / 8).

Measured by certified thresholds of truncated lattices, and by quadrature for Student's t.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from exactdiffusion import PointCloud, distances
from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.blurring_threshold.statement
EPS = np.finfo(np.float64).eps
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(40)


def student_variance(y, sigma):
    """Var(X | y) for X Student with 3 degrees of freedom, by Gauss-Legendre panels about 0 and about y."""
    far = np.geomspace(1e-2, 40 * sigma + 2 * abs(y) + 40, 60)
    edges = np.unique(np.concatenate([-far, [0.0], far, y + sigma * np.linspace(-12, 12, 61)]))
    half = 0.5 * np.diff(edges)[:, np.newaxis]
    x = edges[:-1, np.newaxis] + half * (1 + NODES)
    logs = -2 * np.log1p(x * x / 3) - 0.5 * ((y - x) / sigma) ** 2
    p = half * NODE_WEIGHTS * np.exp(logs - logs.max())
    p /= p.sum()
    mean = np.sum(p * x)
    return np.sum(p * (x - mean) ** 2)


def worst_student(sigma):
    found = minimize_scalar(lambda a: -student_variance(a * sigma, sigma), bounds=(3, 9), method="bounded")
    return -found.fun / sigma**2


def lattice(K):
    x = 2.0 ** np.arange(K + 1)
    w = np.exp(-(x**2) / 8)  # K + 1 atoms, 1 ... 2^K
    return PointCloud(x[:, np.newaxis], w / w.sum())


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_bounded_support(check):
    """Certified thresholds of truncated lattices, of diameter 2^K - 1; two atoms attain the bound."""
    found = {K: log_concavity_threshold(lattice(K), rtol=1e-2) for K in (3, 4, 5, 6)}
    for K, threshold in found.items():
        check.hypothesis("upper end certified", threshold.upper_by == "certificate", on=f"lattice truncated at K = {K}")
    upper, larger = [threshold.upper for threshold in found.values()], [bound.blurring_threshold(2.0**K - 1) for K in found]
    check.holds(upper, larger, tol=0, cause="exact", on="certified thresholds against D^2/4")
    pair = log_concavity_threshold(PointCloud(np.array([[0.0], [3.0]])))
    check.tight(pair.lower / bound.blurring_threshold(3.0), 1.0, tol=64 * EPS, cause="rounding: 64 eps", on="two atoms")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_student_is_never_log_concave(check):
    """(H1) the support is all of the line: the largest posterior variance exceeds the noise, the more the larger it is."""
    ratios = [worst_student(s) for s in (1.0, 10.0, 100.0)]
    cause = "printed digits: digits; flat maximum"
    check.equal(ratios, [1.14870, 3.54406, 7.75561], tol=1e-5, cause=cause, on="Student t_3")
    on = "Student t_3: max Var(X|y)/sigma^2, sigma = 1, 10, 100"
    check.control("bounded support (any sigma)", ratios, 1.0, tol=1e-9, on=on)
    cause, of = "exact: it grows by factors", "the growth with the noise of the counterexample"
    check.holds(ratios[:-1], ratios[1:], tol=0, cause=cause, on="Student t_3", of=of)


def test_lattice(check):
    """(H1) truncations of the sub-Gaussian lattice: thresholds 4^(K-1)/4 and above, so the whole has none."""
    thresholds = [log_concavity_threshold(lattice(K), certify=False).lower for K in (2, 3, 4, 5, 6)]
    values = [1.24578, 4.38544, 16.01337, 64.0, 256.0]
    check.equal(thresholds, values, tol=1e-5, cause="printed digits: digits, certified to 1e-5 at K = 3, 4", on="K = 2 .. 6")
    for K in (3, 4):
        found = log_concavity_threshold(lattice(K), rtol=1e-5)
        check.hypothesis("certified within 1e-5", found.upper_by == "certificate", on=f"lattice truncated at K = {K}")

    gap = np.array([4.0 ** (K - 1) / 4 for K in (2, 3, 4, 5, 6)])
    of = "a quarter of the last gap squared, which the thresholds of the counterexample exceed"
    check.holds(gap, thresholds, tol=1e-9 * gap, cause="remainder: 1e-9: bisection", on="lattice, K = 2 .. 6", of=of)
    slope = distances.fit_slope([16, 32, 64], thresholds[-3:])
    check.rate(slope, 2.0, within=0.01, on="thresholds against the largest atom")
    on = "noise that suffices at K = 2 does not at K = 6"
    check.control("bounded support (a sub-Gaussian law)", thresholds[-1], thresholds[0], on=on)


def test_controls(check):
    """(H1) the support is larger than assumed, or unbounded."""
    found = log_concavity_threshold(lattice(6), certify=False).lower
    check.control("bounded support (the bound of the truncation at K = 3)", found, bound.blurring_threshold(7.0), on="K = 6")
    check.control("bounded support", worst_student(10.0), 1.0, tol=1e-9, on="Student t_3, sigma = 10")
    pair = log_concavity_threshold(PointCloud(np.array([[0.0], [3.0]]))).lower
    check.control("1 % of the diameter", pair, bound.blurring_threshold(2.97), tol=1e-12, on="two atoms")
