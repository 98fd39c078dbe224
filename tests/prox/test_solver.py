"""Proximal maps: global minimality against certificates and restarts, stationarity, limits, levels per row, bad input.

References are written here from the definition 1/2 |u-x|^2 - lam log q(u) and share no code with the library.
"""

import time
from collections import Counter

import array_api_strict
import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from exactdiffusion import Counted, GaussianMixture, PointCloud, prox
from exactdiffusion.prox.certificates import branch_and_bound
from exactdiffusion.prox.modes import Modes
from exactdiffusion.prox.solver import EqualVariance, laguerre, prox_isotropic

EPS = np.finfo(np.float64).eps


def objective(u, x, lam, centres, weights, v):
    """F(u) for rows u; direct differences."""
    d = centres.shape[1]
    log_q = logsumexp(np.log(weights) - np.square(u[:, None, :] - centres).sum(2) / (2 * v), axis=1)
    return 0.5 * np.square(u - x).sum(1) - lam * (log_q - 0.5 * d * np.log(2 * np.pi * v))


def draw(rng, d, queries, high=31):
    """A random problem: step from a fifth of the variance to thirty times it, weights from even to very uneven."""
    K = int(rng.integers(2, high))
    centres = rng.standard_normal((K, d)) * rng.choice([0.3, 1, 2])
    weights = np.maximum(rng.dirichlet(np.full(K, rng.choice([0.3, 1, 5]))), 1e-300)
    v = 10 ** rng.uniform(-2.5, 0)
    lam = v * 10 ** rng.uniform(-0.7, 1.5)
    x = centres[rng.integers(K, size=queries)] + np.sqrt(v + lam) * rng.standard_normal((queries, d))
    return x, lam, centres, weights / weights.sum(), v


# ------------------------------------------------------------------------------------------- global minimality, 2-D


def against_certificate(problems, queries, d=2, solve=None, high=31):
    """(failures, worst residual, worst gap, statuses, wrong local solutions) of the uncertified prox."""
    rng = np.random.default_rng(20250709)
    failures, residual, gap, local = 0, 0.0, 0.0, 0
    status = Counter()
    for _ in range(problems):
        x, lam, centres, weights, v = draw(rng, d, queries, high)
        solver = EqualVariance(centres, weights)
        u = solver(x, lam, v) if solve is None else solve(solver, x, lam, v)
        proof = solver(x, lam, v, certificate=True)
        f = objective(u, x, lam, centres, weights, v)
        # the certificate says: F >= lower; the prox must be within its gap (1e-10) and rounding of F
        failures += int(np.sum(~(f - proof.lower <= 1e-10 + 64 * EPS * (1 + np.abs(f)))))
        assert np.all(proof.lower <= f + 64 * EPS * (1 + np.abs(f)))
        residual, gap = max(residual, proof.residual.max()), max(gap, proof.gap.max())
        status.update(str(s) for s in proof.status)
        stationary = solver(x, lam, v, local=True)
        local += int(np.sum(objective(stationary, x, lam, centres, weights, v) > proof.objective + 1e-7))
    return failures, residual, gap, status, local


def test_two_dimensions_against_branch_and_bound(accuracy):
    failures, residual, gap, status, local = against_certificate(60, 5)
    print(f"\n2-D, 300 queries: {failures} failures, residual {residual:.1e}, gap {gap:.1e}, {dict(status)}, local {local}")
    assert failures == 0
    assert residual <= 1e-12
    accuracy("prox.EqualVariance", gap, 1e-10 + 64 * EPS * 100, "branch and bound: objective above its minimum")
    assert set(status) <= {"convex", "branch and bound"}
    assert status["branch and bound"] >= 60
    assert local > 0  # the control: stationarity alone would not pass this test


@pytest.mark.deep
def test_two_dimensions_against_branch_and_bound_3000_problems():
    failures, residual, gap, status, local = against_certificate(3000, 1)
    print(f"\n2-D, 3000: {failures} failures, residual {residual:.1e}, gap {gap:.1e}, {dict(status)}, local {local}")
    assert failures == 0
    assert residual <= 1e-12
    assert set(status) <= {"convex", "branch and bound"}


@pytest.mark.parametrize(("d", "problems", "high"), [(1, 30, 200), (2, 8, 400), (3, 12, 20)])
def test_lines_space_and_many_components(d, problems, high):
    """1-D, 3-D and clouds with more components than starts, against the certificate."""
    failures, residual, _, status, _ = against_certificate(problems, 5, d, high=high)
    assert failures == 0
    assert residual <= 1e-12
    assert set(status) <= {"convex", "branch and bound"}


def test_half_a_step_is_caught_by_the_certificate():
    """Planted: lam/2. Almost every query must fail."""
    failures = against_certificate(10, 5, solve=lambda s, x, lam, v: s(x, lam / 2, v))[0]
    assert failures >= 45


@pytest.mark.parametrize("d", [1, 2, 3])
def test_branch_and_bound_catches_a_wrong_point(d):
    """The certificate itself: a local maximum that is not global is not proved, and a better vertex is shown."""
    rng = np.random.default_rng(3)
    centres = np.zeros((2, d))
    centres[1, 0] = 2.0
    for _ in range(10):
        a = rng.uniform(0.05, 2)
        data = Modes(centres - [1.0] + np.where(np.arange(d) == 0, 0, 1), np.array([[-a, 0.0]]), np.array([10.0]))
        at, g, _ = data.newton(data.c[:1], np.array([0]), {})
        proved, top, where = branch_and_bound(data, np.array([0]), g, np.full(1, 1e-10))
        # the better mode at the second centre is about a above
        assert top[0] > g[0] + 0.5 * a
        assert proved[0] > 0.5 * a
        assert np.linalg.norm(where[0] - data.c[1]) < np.linalg.norm(at[0] - data.c[1])
        at, g, _ = data.newton(data.c[1:], np.array([0]), {})
        proved, top, _ = branch_and_bound(data, np.array([0]), g, np.full(1, 1e-10))
        assert proved[0] <= 1e-10
        assert top[0] <= g[0] + 1e-10


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_bound_of_a_box_is_attained(d):
    """A parabola on boxes with the top in the middle of one: vertices + sum h^2/(8 kappa) is its maximum exactly."""
    centres = np.concatenate([np.zeros((1, d)), np.full((1, d), -1.0), np.full((1, d), 1.0)])
    data = Modes(centres, np.array([[0.0, -500.0, -500.0]]), np.array([2.25]))  # 3 boxes of side 2/3 per axis
    proved, top, _ = branch_and_bound(data, np.array([0]), np.array([-0.06]), np.array([0.07]))
    assert abs(proved[0] - 0.06) <= 1e-12  # G* = 0, the point certified has -0.06
    assert abs(top[0] + 0.125 * d) <= 1e-12


def test_a_mode_that_lies_on_no_component():
    """Equilateral triangle, kernel widths where the centre is the highest of several modes or the only one."""
    angle = 2 * np.pi * np.arange(3) / 3
    centres = np.stack([np.cos(angle), np.sin(angle)], 1)
    weights = np.full(3, 1 / 3)
    at_centre = 0
    for kappa in np.linspace(0.3, 0.6, 61):
        v = kappa / 2
        lam = v * v / (kappa - v)
        result = EqualVariance(centres, weights)(np.zeros((1, 2)), lam, v, certificate=True)
        u = prox_isotropic(np.zeros((1, 2)), lam, centres, weights, v)
        assert objective(u, np.zeros((1, 2)), lam, centres, weights, v) <= result.lower + 1.01e-10
        at_centre += bool(np.linalg.norm(u) < 1e-6)
    assert 10 <= at_centre <= 55


# --------------------------------------------------------------------------------- high dimension, against restarts


def expectation_maximisation(z, log_w, centres, kappa, sweeps=20_000):
    """Highest G reached by plain EM from the rows of z."""
    squares = np.square(centres).sum(1)

    def logits(z):
        return log_w - (np.square(z).sum(1)[:, None] + squares - 2 * z @ centres.T) / (2 * kappa)

    for _ in range(sweeps):
        e = logits(z)
        r = np.exp(e - e.max(1)[:, None])
        r /= r.sum(1)[:, None]
        new = r @ centres
        if np.abs(new - z).max() < 1e-9:
            break
        z = new
    return logsumexp(logits(z), axis=1).max()


def against_restarts(d, problems, restarts=30):
    rng = np.random.default_rng(d)
    failures, residual, status, seconds, local = 0, 0.0, Counter(), 0.0, 0
    for _ in range(problems):
        K = int(rng.integers(3, 41))
        centres = rng.standard_normal((K, d)) * rng.choice([0.5, 1.0])
        weights = rng.dirichlet(np.full(K, 2.0))
        radius2 = np.square(centres - centres.mean(0)).sum(1).mean()
        v = radius2 * 10 ** rng.uniform(-2.5, -0.3) / rng.choice([1, np.sqrt(d)])
        lam = v * 10 ** rng.uniform(-0.5, 1.2)
        x = (centres[rng.integers(K)] + np.sqrt(v + lam) * rng.standard_normal(d))[None]
        if rng.random() < 0.5:  # in the middle of the cloud: more competing modes
            x = (rng.dirichlet(np.full(K, 0.5)) @ centres)[None]
        solver = EqualVariance(centres, weights)
        begin = time.perf_counter()
        u = solver(x, lam, v)
        seconds += time.perf_counter() - begin
        result = solver(x, lam, v, certificate=True)
        status.update(str(s) for s in result.status)
        residual = max(residual, result.residual[0])
        kappa = v * (v + lam) / lam
        log_w = np.log(weights) - np.square(x - centres).sum(1) / (2 * (v + lam))
        best = expectation_maximisation(rng.dirichlet(np.full(K, 0.3), size=restarts) @ centres, log_w, centres, kappa)
        mine = logsumexp(log_w - np.square((u * (v + lam) - v * x) / lam - centres).sum(1) / (2 * kappa))
        # rounding of the logits: eps |x-c|^2/(v+lam) and eps d
        scale = 1 + np.abs(log_w).max() + d
        failures += int(best > mine + 1e-10 + 16 * EPS * scale)
        stationary = solver(x, lam, v, local=True, certificate=True)
        local += int(stationary.objective[0] > result.objective[0] + 1e-7)
        assert result.lower[0] <= result.objective[0] - lam * max(0, best - mine) + 16 * EPS * lam * scale
    return failures, residual, status, seconds / problems, local


@pytest.mark.parametrize("d", [5, 20, 100, 1000])
def test_high_dimension_against_thirty_restarts(d):
    failures, residual, status, seconds, _ = against_restarts(d, 20)
    print(f"\nd={d}: {failures} failures of 20, residual {residual:.1e}, {dict(status)}, {1e3 * seconds:.2f} ms")
    assert failures == 0
    assert residual <= 1e-12
    assert "branch and bound" not in status or d <= 3


@pytest.mark.deep
@pytest.mark.parametrize("d", [5, 20, 100, 1000])
def test_high_dimension_against_thirty_restarts_200_problems(d):
    failures, residual, status, seconds, local = against_restarts(d, 200)
    print(f"\nd={d}: {failures} of 200 failed, residual {residual:.1e}, {dict(status)}, {1e3 * seconds:.2f} ms, {local}")
    assert failures == 0
    assert residual <= 1e-12


def test_digits_every_start_finds_nothing_better():
    """64 dimensions, 1797 atoms, from isolated to dense: all components as starts against the default 12."""
    digits = pytest.importorskip("sklearn.datasets").load_digits().data / 8 - 1
    solver = EqualVariance(digits)
    rng = np.random.default_rng(0)
    for sigma, theta, n in ((0.17, 2.7, 20), (0.5, 0.85, 2), (0.95, 0.6, 2), (2.6, 0.5, 1)):
        v, lam = sigma**2, theta * sigma**2
        x = digits[rng.integers(len(digits), size=n)] + np.sqrt(v + lam) * rng.standard_normal((n, 64))
        fast = solver(x, lam, v, certificate=True)
        full = solver(x, lam, v, starts=None, certificate=True)
        assert np.all(fast.objective <= full.objective + 64 * EPS * np.abs(full.objective))
        assert fast.residual.max() <= 1e-12
        assert np.all(fast.lower <= full.objective)


# ----------------------------------------------------------------------------------------------- certificates


def test_convex_certificate_and_its_control():
    """theta (R^2/v - 1) < 1: one mode. Below the threshold of two atoms the status is convex, above there are two modes."""
    centres, weights = np.array([[-1.0], [1.0]]), np.array([0.5, 0.5])
    v = 0.3
    threshold = v / (1 / v - 1)  # lam with theta (R^2/v - 1) = 1, R = 1
    x = np.array([[1e-3]])
    below = prox_isotropic(x, 0.99 * threshold, centres, weights, v, certificate=True)
    assert below.status[0] == "convex"
    assert below.gap[0] <= 1e-14
    above = prox_isotropic(x, 1.2 * threshold, centres, weights, v, certificate=True)
    other = EqualVariance(centres, weights)(-x, 1.2 * threshold, v)
    assert above.point[0, 0] > 0.1 > -0.1 > other[0, 0]  # it jumps across 0: not the prox of a convex function
    assert above.status[0] == "branch and bound"


def test_lower_bounds_hold_against_dense_grids(accuracy):
    """Every status: the proved lower bound lies below the objective on a fine grid (1-D)."""
    rng = np.random.default_rng(4)
    seen = Counter()
    for _ in range(40):
        x, lam, centres, weights, v = draw(rng, 1, 4)
        result = EqualVariance(centres, weights)(x, lam, v, certificate=True)
        low, high = min(x.min(), centres.min()), max(x.max(), centres.max())
        grid = np.linspace(low, high, 4001)[:, None]
        for i in range(4):
            smallest = objective(grid, x[i], lam, centres, weights, v).min()
            assert result.lower[i] <= smallest + 64 * EPS * (1 + abs(smallest))
            assert result.objective[i] <= smallest + 64 * EPS * (1 + abs(smallest))
            point = result.point[i : i + 1]
            value = objective(point, x[i], lam, centres, weights, v)[0]
            # rounding of the terms of F: what is subtracted and what it is multiplied by
            e = np.square(point - centres).sum(1) / (2 * v) - np.log(weights)
            scale = 0.5 * np.square(point - x[i]).sum() + lam * (np.abs(e).min() + abs(0.5 * np.log(2 * np.pi * v)) + 1)
            error = abs(result.objective[i] - value)
            accuracy("prox.EqualVariance.objective", error, 16 * EPS * scale, "F at the point, by scipy's logsumexp")
        seen.update(str(s) for s in result.status)
    assert seen["convex"]
    assert seen["branch and bound"]


def test_soft_min_and_searched_are_reported_as_such():
    """d = 20, no hull of dimension <= 3: what is not convex or bounded is only searched, with a gap > 1e-3 lam."""
    rng = np.random.default_rng(6)
    centres = rng.standard_normal((30, 20))
    seen = Counter()
    for v in (0.02, 0.3, 1.0, 3.0, 30.0):
        for theta in (0.5, 3.0, 20.0):
            lam = theta * v
            result = prox_isotropic(rng.standard_normal((10, 20)), lam, centres, None, v, certificate=True)
            searched = result.status == "searched"
            assert np.all(result.gap[searched] > 1e-3 * lam)
            assert np.all(result.gap[~searched] <= 1e-3 * lam + 64 * EPS * np.abs(result.objective[~searched]))
            assert np.all(result.gap >= 0)
            assert np.array_equal(result.lower, result.objective - result.gap)
            seen.update(str(s) for s in result.status)
    assert seen["searched"]
    assert seen["convex"]
    assert "branch and bound" not in seen


# ---------------------------------------------------------------------------------- stationarity in 50 digits, limits


def test_point_against_newton_in_50_digits(accuracy):
    """The stationary point itself: 40 digits of Newton from the returned point move it by rounding of a well-posed root."""
    rng = np.random.default_rng(8)
    for v, lam in ((0.3, 0.2), (0.02, 0.1), (1e-4, 3e-4), (1e-6, 1e-6)):
        centres = rng.standard_normal((6, 2))
        weights = rng.dirichlet(np.ones(6))
        x = centres[rng.integers(6, size=3)] + np.sqrt(v + lam) * rng.standard_normal((3, 2))
        u = prox_isotropic(x, lam, centres, weights, v)
        for i in range(3):
            with mpmath.workdps(50):
                mp_c = [[mpmath.mpf(float(t)) for t in c] for c in centres]
                lam_, v_ = mpmath.mpf(lam), mpmath.mpf(v)

                def gradient(a, b, i=i, mp_c=mp_c, lam_=lam_, v_=v_, weights=weights, x=x):
                    e = [
                        mpmath.mpf(float(w)) * mpmath.exp(-((a - c[0]) ** 2 + (b - c[1]) ** 2) / (2 * v_))
                        for w, c in zip(weights, mp_c)
                    ]
                    total = mpmath.fsum(e)
                    pull = [mpmath.fsum(q * (c[k] - (a, b)[k]) for q, c in zip(e, mp_c)) / total for k in range(2)]
                    return [(a, b)[k] - mpmath.mpf(float(x[i, k])) - lam_ / v_ * pull[k] for k in range(2)]

                root = mpmath.findroot(gradient, [mpmath.mpf(float(t)) for t in u[i]], tol=1e-60)
                error = max(abs(root[k] - mpmath.mpf(float(u[i, k]))) for k in range(2))
            # eps |u| / smallest eigenvalue of (Hessian / (1 + theta)), which is at least 1e-2 for these draws
            accuracy("prox.prox_isotropic", float(error), 100 * 8 * EPS * (1 + np.abs(u[i]).max()))
            level = PointCloud(centres, weights).noised(1.0, np.sqrt(v))
            # another point where sqrt(v) squared is not v: a relative change of the variance by 2 eps
            slack = 1e4 * EPS * (1 + np.abs(u[i]).max())
            accuracy("laws.PointCloud.noised.prox", np.abs(level.prox(x[i : i + 1], lam) - u[i]), slack, "50 digits, mpmath")


def test_zero_variance_is_the_laguerre_cell_and_not_the_nearest_point(accuracy):
    rng = np.random.default_rng(9)
    centres, weights, lam = np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0.9, 0.1]), 0.8
    x = rng.uniform(-2, 2, (400, 2))
    cost = 0.5 * np.square(x[:, None] - centres).sum(2) - lam * np.log(weights)
    expected = centres[cost.argmin(1)]
    cloud = PointCloud(centres, weights).noised(1.0, 0.0)
    result = cloud.prox(x, lam, certificate=True)
    assert np.array_equal(result.point, expected)
    accuracy("prox.laguerre", np.sum(laguerre(x, lam, centres, weights)[0] != cost.argmin(1)), 0.0, "all costs")
    assert np.max(np.abs(result.objective - cost.min(1))) <= 8 * EPS * cost.max()
    nearest = centres[np.square(x[:, None] - centres).sum(2).argmin(1)]
    assert 0.05 < np.mean(np.any(nearest != expected, axis=1)) < 0.4
    assert np.array_equal(GaussianMixture(weights, centres, 0.0).noised(1.0, 0.0).prox(x, lam), expected)
    # and it is the limit of small variances
    for v in (1e-6, 1e-12, 1e-40, 1e-100, 1e-200):
        margin = np.abs(np.diff(cost, axis=1)[:, 0]) > 1e-4 + 4 * v
        u = prox_isotropic(x[margin], lam, centres, weights, v)
        assert np.max(np.abs(u - expected[margin])) <= 8 * (v / lam + EPS)


def test_ties_go_to_the_lowest_index():
    square = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    middle = np.zeros((3, 2))
    assert np.array_equal(PointCloud(square).noised(1.0, 0.0).prox(middle, 0.7), square[[0, 0, 0]])
    assert np.array_equal(laguerre(middle, 0.7, square[::-1])[0], [0, 0, 0])
    for v in (1e-3, 0.05):
        u = prox_isotropic(middle, 10 * v, square, None, v)
        assert np.all(u > 0)
        assert np.array_equal(u[0], u[2])
    many = np.concatenate([square] + [4 + np.arange(40.0)[:, None] * [1.0, 1.0]])
    assert laguerre(middle, 0.1, many)[0].tolist() == [0, 0, 0]


def test_single_gaussian_in_closed_form():
    rng = np.random.default_rng(10)
    x, centre = rng.standard_normal((5, 3)), rng.standard_normal((1, 3))
    for v, lam in ((1.0, 1e-300), (1.0, 1e-20), (2.0, 3.0), (1e-12, 1.0), (1.0, 1e300), (1e-250, 1e-250), (1e20, 1.0)):
        exact = x + lam / (v + lam) * (centre - x)
        assert np.max(np.abs(prox_isotropic(x, lam, centre, None, v) - exact)) <= 8 * EPS * 4
    C = np.array([[2.0, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 1.0]])
    result = GaussianMixture([1.0], centre, C[None]).prox(x, 0.7, certificate=True)
    exact = centre + np.linalg.solve(C + 0.7 * np.eye(3), C @ (x - centre).T).T
    assert np.max(np.abs(result.point - exact)) <= 64 * EPS * np.abs(x).max()
    assert set(result.status) == {"convex"}
    assert np.max(result.gap) <= 1e-13


@pytest.mark.parametrize(("v", "lam"), [(1e-300, 1.0), (1e-12, 1.0), (1.0, 1e-300), (1.0, 1e12), (1e-20, 1e20), (1e20, 1.0)])
def test_extreme_steps_stay_finite_and_stationary(v, lam):
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((30, 2))
    x = rng.standard_normal((20, 2))
    result = prox_isotropic(x, lam, centres, None, v, certificate=True)
    assert np.all(np.isfinite(result.point))
    assert result.residual.max() <= 1e-12
    assert np.all(np.isfinite(result.gap))


# ------------------------------------------------------------------------------------ unequal, diagonal, full covariances


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize(("d", "K"), [(1, 4), (2, 6), (3, 1), (12, 5)])
def test_general_mixtures_against_restarted_quasi_newton(kind, d, K, accuracy):
    rng = np.random.default_rng(100 * d + K)
    for _ in range(3):
        means, weights = 1.5 * rng.standard_normal((K, d)), rng.dirichlet(np.ones(K))
        if kind == "isotropic":
            cov = 10 ** rng.uniform(-1.5, 0.3, K)
        elif kind == "diagonal":
            cov = 10 ** rng.uniform(-1.5, 0.3, (K, d))
        else:
            root = rng.standard_normal((K, d, d))
            cov = 0.3 * root @ root.swapaxes(1, 2) / d + 0.02 * np.eye(d)
        scale, sigma, lam = rng.uniform(0.5, 1), rng.uniform(0.05, 0.5), 10 ** rng.uniform(-1.5, 1)
        q = GaussianMixture(weights, means, cov).noised(scale, sigma)
        x = 2 * rng.standard_normal((3, d))
        result = q.prox(x, lam, certificate=True)
        f = 0.5 * np.square(result.point - x).sum(1) - lam * q.log_density(result.point)
        assert np.max(np.abs(f - result.objective)) <= 256 * EPS * (1 + np.abs(f).max()) * (1 + lam)
        assert result.residual.max() <= 1e-12
        assert np.array_equal(q.prox(x, lam), result.point)
        for i in range(3):

            def value(u, i=i, q=q, x=x, lam=lam):
                u = u[None]
                return (0.5 * np.square(u - x[i]).sum() - lam * q.log_density(u)[0], ((u - x[i]) - lam * q.score(u))[0])

            starts = [x[i], *(scale * means), *(2 * rng.standard_normal((4, d)))]
            peer = min(minimize(value, s, jac=True, method="L-BFGS-B").fun for s in starts)
            above = max(f[i] - peer, 0.0)
            accuracy("laws.GaussianMixture.noised.prox", above, 1e-12 * (1 + abs(peer)), "objective of L-BFGS, many starts")
            assert result.lower[i] <= peer + 1e-12 * (1 + abs(peer))


def test_the_three_forms_of_a_covariance_agree(accuracy):
    """Equal isotropic variances through the general solver (as diagonal and full) against the equal-variance one."""
    rng = np.random.default_rng(12)
    means, weights, v = rng.standard_normal((5, 4)), rng.dirichlet(np.ones(5)), 0.2
    x = rng.standard_normal((20, 4))
    fast = GaussianMixture(weights, means, v).noised(0.9, 0.3)
    exact = fast.prox(x, 0.6)
    lam = np.full((5, 4), v)
    for vectors in (None, np.broadcast_to(np.eye(4), (5, 4, 4))):
        general = prox.GeneralMixture(weights, means, lam, vectors)(x, 0.6, 0.9, 0.3)
        accuracy("prox.GeneralMixture", np.abs(general - exact), 1e-11, "solver for equal variances")


# --------------------------------------------------------------------------------------------- levels, rows, wrappers


def test_one_level_and_one_step_per_row():
    rng = np.random.default_rng(13)
    cloud = PointCloud(rng.standard_normal((30, 2)), rng.dirichlet(np.ones(30)))
    n = 14
    scale, sigma = rng.uniform(0.2, 1, n), rng.uniform(0.05, 1, n)
    scale[3], sigma[5] = 0.0, 0.0
    x, lam = rng.standard_normal((n, 2)), rng.uniform(0.05, 3, n)
    together = cloud.noised(scale, sigma).prox(x, lam, certificate=True)
    assert np.max(np.abs(cloud.noised(scale, sigma).prox(x, lam) - together.point)) <= 1e-13
    for i in range(n):
        level = cloud.noised(float(scale[i]), float(sigma[i]))
        alone = level.prox(x[i : i + 1], float(lam[i]), certificate=True)
        assert np.max(np.abs(alone.point - together.point[i])) <= 1e-12
        assert alone.status[0] == together.status[i]
        if sigma[i] > 0:
            f = 0.5 * np.square(together.point[i] - x[i]).sum() - lam[i] * level.log_density(together.point[i : i + 1])[0]
            assert abs(f - together.objective[i]) <= 1e-12 * (1 + abs(f))
            gradient = together.point[i] - x[i] - lam[i] * level.score(together.point[i : i + 1])[0]
            assert np.max(np.abs(gradient)) <= 1e-12 * (1 + lam[i] / sigma[i] ** 2)


def test_batches_do_not_matter():
    rng = np.random.default_rng(14)
    x, lam, centres, weights, v = draw(rng, 2, 3000, 60)
    solver = EqualVariance(centres, weights)
    whole = solver(x, lam, v)
    parts = np.concatenate([solver(x[a : a + 7], lam, v) for a in range(0, 210, 7)])
    assert np.max(np.abs(whole[:210] - parts)) <= 1e-12 * np.abs(x).max()


def test_high_dimension_is_the_low_dimension_in_other_coordinates():
    """A 2-D cloud embedded in 400 dimensions: the prox commutes with the isometry, and branch and bound still applies."""
    rng = np.random.default_rng(15)
    x, lam, centres, weights, v = draw(rng, 2, 40, 20)
    basis = np.linalg.qr(rng.standard_normal((400, 2)))[0]
    shift = rng.standard_normal(400)
    flat = prox_isotropic(x, lam, centres, weights, v)
    tall = prox_isotropic(x @ basis.T + shift, lam, centres @ basis.T + shift, weights, v)
    assert np.max(np.abs(tall - shift - flat @ basis.T)) <= 1e-11
    few = prox_isotropic(x @ basis.T + shift, lam, centres[:3] @ basis.T + shift, None, v, certificate=True)
    assert set(few.status) <= {"convex", "branch and bound"}


def test_other_arrays_counting_and_empty_batches():
    rng = np.random.default_rng(16)
    cloud, x = PointCloud(rng.standard_normal((20, 3))), rng.standard_normal((6, 3))
    reference = cloud.noised(0.9, 0.4).prox(x, 0.5)
    other = cloud.noised(0.9, 0.4).prox(array_api_strict.asarray(x), 0.5)
    assert isinstance(other, type(array_api_strict.asarray(x)))
    assert np.array_equal(np.asarray(other), reference)
    counted, inner = Counted(cloud), {}
    counted.noised(0.9, 0.4).prox(x, 0.5, calls=inner)
    assert counted.calls["prox"] == 1
    assert counted.rows["prox"] == 6
    assert inner["score"] >= 6
    assert inner["density"] == inner["score"] >= inner["hessian"]
    result = cloud.noised(0.9, 0.4).prox(x, 0.5, certificate=True)
    assert result.calls == inner
    assert cloud.noised(0.9, 0.4).prox(np.zeros((0, 3)), 0.5).shape == (0, 3)
    assert GaussianMixture(None, np.eye(2), [1.0, 2.0]).noised(1.0, 0.1).prox(np.zeros((0, 2)), 1.0).shape == (0, 2)


def test_workspace_is_bounded():
    """6 queries x 12,000 atoms x 200 dimensions: never a (queries, atoms, d) array (115 MB)."""
    import tracemalloc

    rng = np.random.default_rng(17)
    cloud = PointCloud(rng.standard_normal((12_000, 200)))
    x = cloud.points[:6] + 0.3 * rng.standard_normal((6, 200))
    cloud.noised(1.0, 0.3).prox(x, 0.2)
    tracemalloc.start()
    try:
        for sigma, lam in ((0.3, 0.2), (14.0, 60.0)):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            result = cloud.noised(1.0, sigma).prox(x, lam, certificate=True)
            assert tracemalloc.get_traced_memory()[1] - before <= 64 * 2**20
            assert result.residual.max() <= 1e-12
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------------------------------- bad input

CLOUD = PointCloud([[0.0, 0.0], [1.0, 1.0]])
MIXED = GaussianMixture(None, [[0.0, 0.0], [1.0, 1.0]], [1.0, 2.0])
SINGULAR = GaussianMixture(None, [[0.0, 0.0], [1.0, 1.0]], [0.0, 2.0])
X = np.zeros((4, 2))


@pytest.mark.parametrize("level", [CLOUD.noised(1.0, 0.5), MIXED.noised(1.0, 0.5)], ids=["cloud", "mixture"])
@pytest.mark.parametrize("lam", [0, -1.0, np.nan, np.inf, [1.0, 2.0], [[1.0]], "1", None, [1.0, 0.0, 1.0, 1.0], 1j])
def test_bad_step(level, lam):
    with pytest.raises(ValueError, match=r"^lam"):
        level.prox(X, lam)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("x", lambda: CLOUD.noised(1.0, 0.5).prox(np.zeros((3, 3)), 1.0)),
        ("x", lambda: CLOUD.noised(1.0, 0.5).prox([[np.nan, 0.0]], 1.0)),
        ("x", lambda: MIXED.noised(1.0, 0.5).prox(np.zeros(2), 1.0)),
        ("scale", lambda: CLOUD.noised([1.0, 1.0], 0.5).prox(X, 1.0)),
        ("sigma", lambda: MIXED.noised(1.0, [0.5, 0.5]).prox(X, 1.0)),
        ("sigma", lambda: SINGULAR.noised(1.0, 0.0).prox(X, 1.0)),
        ("scale, sigma", lambda: CLOUD.noised(1e-154, 30.0).prox(X, 1.0)),
        ("scale, sigma", lambda: CLOUD.noised(1e-6, [1.0, 1.0, 1e150, 1.0]).prox(X, 1.0)),
        ("variance", lambda: prox_isotropic(X, 1.0, X, None, -1.0)),
        ("variance", lambda: prox_isotropic(X, 1.0, X, None, [1.0, 1.0])),
        ("weights", lambda: prox_isotropic(X, 1.0, X, [1.0, 1.0, 1.0, 1.0])),
        ("centres", lambda: prox_isotropic(X, 1.0, np.zeros((0, 2)))),
        ("starts", lambda: CLOUD.noised(1.0, 0.5).prox(X, 1.0, starts=0)),
        ("gap", lambda: CLOUD.noised(1.0, 0.5).prox(X, 1.0, gap=-1.0)),
    ],
)
def test_bad_input_names_the_argument(name, call):
    with pytest.raises(ValueError, match=rf"^{name}"):
        call()
