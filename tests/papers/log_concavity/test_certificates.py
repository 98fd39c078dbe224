"""Log-concavity thresholds and certificates, walk-jump chains: contracts, references in 50 digits, bad input."""

import math
import re
import subprocess
import sys

import mpmath
import numpy as np
import pytest
from scipy import optimize, special
from scipy.stats import norm

from exactdiffusion import GaussianMixture, Noise, PointCloud, Sphere
from exactdiffusion.papers.log_concavity import certificates
from exactdiffusion.papers.log_concavity.certificates import (
    certify_log_concavity,
    covariance_supremum,
    enclosing_ball,
    exposed_pairs,
    largest_posterior_variance,
    log_concavity_threshold,
    rigorous_covariance,
    spectral_gap,
)
from exactdiffusion.papers.log_concavity.measurements import conditional_score
from exactdiffusion.papers.log_concavity.walk_jump import (
    MALA,
    ULA,
    EstimatedLaw,
    ExactWalk,
    StuckWalk,
    Target,
    Underdamped,
    all_at_once,
    conditional_target,
    gaussian_one_at_a_time,
    langevin,
    one_at_a_time,
)

SQUARE = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
LAW = GaussianMixture(np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.0, 0.0]]), 0.4)


# --------------------------------------------------------------------------------------------- thresholds, certificates


def test_posterior_variance_against_50_digits():
    rng = np.random.default_rng(1)
    P, w = rng.standard_normal((6, 1)), rng.dirichlet(np.ones(6))
    y = 4 * rng.standard_normal((20, 1))
    for v in (0.05, 1.0, 30.0):
        found = largest_posterior_variance(PointCloud(P, w), y, v)
        with mpmath.workdps(50):
            for a, value in zip(y[:, 0].tolist(), found):
                e = [
                    mpmath.mpf(q) * mpmath.exp(-((a - mpmath.mpf(p)) ** 2) / (2 * mpmath.mpf(v)))
                    for p, q in zip(P[:, 0].tolist(), w.tolist())
                ]
                total = mpmath.fsum(e)
                mean = mpmath.fsum(b * mpmath.mpf(p) for b, p in zip(e, P[:, 0].tolist())) / total
                exact = mpmath.fsum(b * (mpmath.mpf(p) - mean) ** 2 for b, p in zip(e, P[:, 0].tolist())) / total
                # logits of size |y| D / v are rounded
                assert abs(value - exact) <= 64 * 2.0**-52 * (1 + 10 * abs(a) / v) * exact + 1e-300


def test_enclosing_ball_against_a_quadratic_program(accuracy):
    """The radius squared is the largest variance of a law on the points (its dual), found here by Frank-Wolfe."""
    rng = np.random.default_rng(2)
    for K, d in ((2, 1), (5, 2), (9, 3), (4, 6), (40, 2)):
        P = rng.standard_normal((K, d)) + 5
        centre, R = enclosing_ball(P)
        distance = np.linalg.norm(P - centre, axis=1)
        assert np.all(distance <= R * (1 + 1e-11))
        p = np.full(K, 1 / K)
        for k in range(4000):
            far = np.argmax(np.sum((P - p @ P) ** 2, axis=1))
            p *= 1 - 1 / (k + 2)
            p[far] += 1 / (k + 2)
        dual = np.sum(p * np.sum((P - p @ P) ** 2, axis=1))
        assert dual <= R**2 * (1 + 1e-11)
        # Frank-Wolfe's gap after 4000 steps
        accuracy("papers.log_concavity.certificates.enclosing_ball", R**2 - dual, 2e-3 * R**2, "dual problem by Frank-Wolfe")


def test_exposed_pairs_of_known_hulls(accuracy):
    sides = sorted(sorted(p[:2]) for p in exposed_pairs(SQUARE, longest_only=False))
    # and no diagonal
    accuracy(
        "papers.log_concavity.certificates.exposed_pairs",
        float(sides != [[0, 1], [0, 2], [1, 3], [2, 3]]),
        0.0,
        "known hulls",
    )
    assert len(exposed_pairs(np.eye(5), longest_only=False)) == 10
    assert exposed_pairs(np.array([[-1.0], [0.0], [1.0]])) == []
    interior = np.concatenate([SQUARE, [[0.1, 0.2]]])
    assert all(4 not in pair[:2] for pair in exposed_pairs(interior, longest_only=False))
    on_side = np.concatenate([SQUARE, [[1.0, 0.0]]])  # a third atom on the side x = 1
    assert (0, 1) not in [tuple(sorted(p[:2])) for p in exposed_pairs(on_side, longest_only=False)]


def test_face_with_three_atoms_on_a_side():
    """The side {(1, -1), (1, 0), (1, 1)} of a triangle is seen alone at infinity: at least the threshold of -1, 0, 1."""
    P = np.array([[1.0, -1], [1, 0], [1, 1], [0.9, 0.0]])
    found = log_concavity_threshold(PointCloud(P), certify=False)
    line = log_concavity_threshold(PointCloud(np.array([[-1.0], [0], [1]])), certify=False)
    assert found.lower >= line.lower * (1 - 1e-9)


def test_certificate_agrees_with_ascent_and_refutes_below():
    rng = np.random.default_rng(3)
    for K in (4, 6):
        P, w = rng.standard_normal((K, 2)), rng.dirichlet(np.ones(K))
        found = log_concavity_threshold(PointCloud(P, w), rtol=1e-2)
        assert found.lower <= found.upper
        below = certify_log_concavity(PointCloud(P, w), 0.9 * found.lower)
        assert below.status is not True
        if below.status is False:
            assert (
                largest_posterior_variance(PointCloud(P, w), below.witness[np.newaxis], 0.9 * found.lower)[0]
                > 0.9 * found.lower
            )


def test_ascent_beats_random_search():
    rng = np.random.default_rng(4)
    P, w = rng.standard_normal((7, 3)), rng.dirichlet(np.ones(7))
    value, y = covariance_supremum(P, w, 0.8)
    assert abs(largest_posterior_variance(PointCloud(P, w), y[np.newaxis], 0.8)[0] - value) < 1e-13
    random = largest_posterior_variance(PointCloud(P, w), 3 * rng.standard_normal((20_000, 3)), 0.8)
    assert value >= random.max()


def test_invariance_under_motion_and_embedding():
    rng = np.random.default_rng(5)
    P = np.array([[-1.0, 0], [0.2, 0], [1, 0]])
    base = log_concavity_threshold(PointCloud(P[:, :1]), rtol=1e-3)
    U = np.linalg.qr(rng.standard_normal((4, 2)))[0]
    moved = log_concavity_threshold(PointCloud(2.0 * P @ U.T + rng.standard_normal(4)), rtol=1e-3)
    np.testing.assert_allclose([moved.lower, moved.upper], 4 * np.array([base.lower, base.upper]), rtol=1e-9)
    top = largest_posterior_variance(PointCloud(2.0 * P @ U.T), (2 * base.witness[0] * U[:, 0])[np.newaxis], 4 * base.lower)
    np.testing.assert_allclose(top, 4 * base.lower, rtol=1e-9)


def test_witness_is_in_coordinates_of_the_law():
    law = PointCloud(SQUARE @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + [3.0, -2.0], np.array([0.45, 0.05, 0.05, 0.45]))
    found = log_concavity_threshold(law, certify=False)
    np.testing.assert_allclose(
        largest_posterior_variance(law, found.witness[np.newaxis], found.lower), found.lower, rtol=1e-9
    )
    low = certify_log_concavity(law, 0.9 * found.lower)
    assert low.status is False
    assert largest_posterior_variance(law, low.witness[np.newaxis], 0.9 * found.lower)[0] > 0.9 * found.lower


def test_single_atom_and_gaussian_need_no_noise():
    assert log_concavity_threshold(PointCloud(np.zeros((1, 3)))).upper == 0
    assert log_concavity_threshold(GaussianMixture(None, np.ones((1, 2)), 0.3)).upper == 0
    assert certify_log_concavity(PointCloud(np.zeros((1, 3))), 0.1).status is True
    found = log_concavity_threshold(Sphere(radius=2.0, dim=5))
    assert abs(found.lower - 4 / 5) <= 4 * 2.0**-52  # R^2 / d
    pair = PointCloud(np.array([[-1.0], [1.0]]))
    found = log_concavity_threshold(pair, certify=False)
    assert abs(found.lower - 1) <= 64 * 2.0**-52  # D^2 / 4
    value, _ = covariance_supremum(pair.points, pair.weights, 0.5)
    assert abs(value - 1) <= 64 * 2.0**-52  # 1 - tanh^2 has its top at 0
    assert [certify_log_concavity(pair, v).status for v in (1.001, 0.999)] == [True, False]


def _supremum(P, w, v):
    """Largest eigenvalue of the posterior covariance over y: the three best nodes of a grid, refined by Nelder-Mead."""

    def top(y):
        p = special.softmax(np.log(w) - np.square(y[:, np.newaxis] - P).sum(axis=2) / (2 * v), axis=1)
        c = P - (p @ P)[:, np.newaxis]
        return np.linalg.eigvalsh(np.swapaxes(c * p[:, :, np.newaxis], 1, 2) @ c)[:, -1]

    d = P.shape[1]
    axis = np.linspace(-9, 9, 2001 if d == 1 else 121)
    nodes = np.stack(np.meshgrid(*[axis] * d), axis=-1).reshape(-1, d)
    best = nodes[np.argsort(top(nodes))[-3:]]
    options = {"xatol": 1e-9, "fatol": 1e-15}
    found = [optimize.minimize(lambda y: -top(y[np.newaxis])[0], y, method="Nelder-Mead", options=options) for y in best]
    return -min(result.fun for result in found)


@pytest.mark.parametrize(("d", "K"), [(1, 3), (1, 5), (1, 8), (2, 4)])
def test_supremum_threshold_and_certificate_against_a_grid(d, K, accuracy):
    """The supremum by another search, of atoms where it is attained; on the line the threshold as the root of sup - v."""
    rng = np.random.default_rng([18, d, K])
    P, w = rng.standard_normal((K, d)), rng.dirichlet(np.full(K, 3.0))
    if d == 2:  # a heavy diagonal: no side of the hull, seen alone from infinity, has as much
        P, w = SQUARE + 0.1 * P, np.array([0.45, 0.04, 0.06, 0.45])
    for v in (0.3, 0.8):
        expected = _supremum(P, w, v)
        found, y = covariance_supremum(P, w, v)
        assert np.abs(y).max() < 8
        error = abs(found - expected)
        accuracy(
            "papers.log_concavity.certificates.covariance_supremum",
            error,
            64 * 2.0**-52 * expected,
            "a grid and Nelder-Mead",
        )
    if d > 1:
        return
    law, D = PointCloud(P, w), np.ptp(P)
    root = optimize.brentq(lambda v: _supremum(P, w, v) - v, D**2 / 1000, D**2 / 3, xtol=1e-15, rtol=1e-13)
    found = log_concavity_threshold(law)
    assert root <= found.upper
    by = "root of the supremum less v, by a grid"
    # both searches stop at a relative 1e-13; the library's takes a supremum for larger than v from 1e-13 on, which the slope
    # of sup - v turns into a few of these
    accuracy("papers.log_concavity.certificates.log_concavity_threshold", abs(found.lower - root), 2e-12 * root, by)
    claims = [certify_log_concavity(law, c * root).status for c in (1.01, 0.99)]
    accuracy("papers.log_concavity.certificates.certify_log_concavity", float(claims != [True, False]), 0.0, by)


def test_tail_bounds_in_the_plane_are_true_at_any_radius():
    """What the sectors claim beyond a radius, at radii small enough to be wrong; edge normals included."""
    from exactdiffusion.papers.log_concavity.certificates import _diameter, _tail_2d

    angle = np.linspace(0, 2 * np.pi, 4)[:3]
    rng = np.random.default_rng(15)
    claimed = 0
    for P in (np.stack([np.cos(angle), np.sin(angle)], axis=1), SQUARE, rng.standard_normal((5, 2))):
        P = P - P.mean(axis=0)
        w = rng.dirichlet(np.ones(len(P)))
        D = _diameter(P)
        edge = max(pair[2] for pair in exposed_pairs(P)) / 4
        for v in (0.3, 1.0):
            for bound in (1.001 * edge, 1.05 * edge, 1.5 * edge):
                for radius in D * np.array([0.05, 0.2, 0.5, 1.0, 2.0, 5.0]):
                    tails = _tail_2d(P, np.log(w), v, bound, D, radius)
                    if tails is None:
                        continue
                    claimed += 1
                    assert sum(half for _, half, _, _ in tails) == pytest.approx(np.pi, rel=1e-12)
                    for alpha, half, cluster, least in tails:
                        assert least >= radius
                        t = np.linspace(alpha - half, alpha + half, 65)
                        y = least * np.stack([np.cos(t), np.sin(t)], axis=1)
                        for r in (1, 1.3, 4):
                            top = largest_posterior_variance(PointCloud(P, w), r * y, v)
                            assert top.max() <= bound * (1 + 1e-12)
                        # and the mass outside its cluster, at the distance where it is largest
                        logits = np.log(w) - np.sum((y[:, None] - P) ** 2, axis=2) / (2 * v)
                        p = np.exp(logits - logits.max(axis=1, keepdims=True))
                        q = 1 - p[:, list(cluster)].sum(axis=1) / p.sum(axis=1)
                        assert np.all(_diameter(P[list(cluster)]) ** 2 / 4 + D**2 * q <= bound * (1 + 1e-12))
    assert claimed > 20


@pytest.mark.parametrize("r", [1, 2])
def test_bound_of_a_cell_holds_at_every_point_of_it(r):
    """Against the covariance at the corners, on the edges and inside of random cells; it is of second order in the side."""
    rng = np.random.default_rng([16, r])
    unit = np.stack(np.meshgrid(*[np.linspace(-1, 1, 21)] * r), axis=-1).reshape(-1, r)
    for _ in range(20):
        K, v = int(rng.integers(2, 9)), rng.exponential()
        P, w = rng.standard_normal((K, r)), rng.dirichlet(np.ones(K))
        centres = 2 * rng.standard_normal((10, r))
        p, mean = certificates._posterior(P, np.log(w), v, centres)
        for half in (1.0, 0.3, 0.1):
            bound = certificates._cell_bound(P, p, mean, half, v)
            inside = (centres[:, np.newaxis] + half * unit).reshape(-1, r)
            top = largest_posterior_variance(PointCloud(P, w), inside, v).reshape(10, -1).max(axis=1)
            # rounding of weights of size exp(-|y| D / v)
            assert np.all(top <= bound * (1 + 1e-12))
        value = certificates._lammax(P, p, mean)
        slope = np.linalg.norm(certificates._value_and_gradient(P, np.log(w), v, centres)[1], axis=1)
        above = [
            certificates._cell_bound(P, p, mean, h, v) - value * (1 + slope * h * math.sqrt(r)) for h in (1e-3 * v, 5e-4 * v)
        ]
        # above the linear part only by a square, at most (rho h sqrt(r) / v)^2 / 2 of the value, with a tenth for the cube
        rho = np.linalg.norm(P[np.newaxis] - mean[:, np.newaxis], axis=2).max(axis=1)
        for excess, h in zip(above, (1e-3, 5e-4)):
            assert np.all(excess <= 0.6 * r * (rho * h) ** 2 * value + 1e-14)


def test_number_of_cells_is_stable_in_the_number_of_atoms():
    """Brackets of two per mille of random plane clouds: a first-order test took 0.5 to 4 million cells for some of them."""
    for K in (6, 12, 24, 48, 96):
        rng = np.random.default_rng([7, K])
        law = PointCloud(rng.standard_normal((K, 2)), rng.dirichlet(np.ones(K)))
        found = log_concavity_threshold(law)
        assert found.upper_by == "certificate"
        assert found.certificate.cells <= 30_000


def test_a_tilt_that_underflows_is_no_bound():
    """Half a cell of 2000 sqrt(v): weights of 0 in float64 would count at its corners."""
    P, v = np.array([[-1.0], [1.0]]), 1e-3
    p, mean = certificates._posterior(P, np.log([0.5, 0.5]), v, np.array([[5.0]]))
    assert p[0, 0] == 0
    assert certificates._cell_bound(P, p, mean, 6.0, v)[0] == np.inf


def test_undecided_is_said():
    found = certify_log_concavity(PointCloud(SQUARE), 1.0 + 1e-7, max_cells=20_000)
    assert found.status is None


def test_recheck_in_ball_arithmetic_and_its_refusal_of_a_false_claim(accuracy):
    pytest.importorskip("flint", reason="ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'")
    import dataclasses

    law = PointCloud(SQUARE, np.array([0.45, 0.05, 0.05, 0.45]))
    proved = certify_log_concavity(law, 1.9, keep_leaves=True)
    assert proved.status is True
    claims = [proved.recheck(), dataclasses.replace(proved, bound=1.7).recheck()]
    accuracy(
        "papers.log_concavity.certificates.Certificate.recheck",
        float(claims != [True, False]),
        0.0,
        "a true claim and a false one",
    )
    line = certify_log_concavity(PointCloud(np.array([[-1.0], [0], [1]])), 0.29, keep_leaves=True)
    assert line.recheck()
    assert not dataclasses.replace(line, bound=0.28).recheck()
    with pytest.raises(ValueError, match="certificate"):
        certify_log_concavity(law, 1.9).recheck()


def test_without_flint_the_extra_is_named():
    code = (
        "import sys; sys.modules['flint'] = None\n"
        "from exactdiffusion.papers.log_concavity.certificates import rigorous_covariance\n"
        "try:\n    rigorous_covariance([[0.0], [1.0]], [1, 1], 1.0, [0.5])\n"
        "except ModuleNotFoundError as e:\n    assert 'rigorous' in str(e); print('named')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "named\n"


def test_rigorous_covariance_contains_float64(accuracy):
    pytest.importorskip("flint", reason="ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'")
    y = [0.3, -0.2]
    ball = rigorous_covariance(SQUARE.tolist(), [1, 1, 1, 1], 0.7, y)
    C = PointCloud(SQUARE).noised(1, np.sqrt(0.7)).posterior_covariance(np.array([y]))[0]
    for a in range(2):
        for b in range(2):
            error = abs(float(ball[a][b].mid()) - C[a, b])
            accuracy("papers.log_concavity.certificates.rigorous_covariance", error, 1e-14, "oracle of the cloud in float64")
            assert float(ball[a][b].rad()) < 1e-60


def test_rigorous_covariance_keeps_the_digits_of_a_ball():
    """A variance given as a ball, such as half of another, is not rounded to float64 on the way."""
    flint = pytest.importorskip("flint", reason="ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'")
    with flint.ctx.workprec(200):
        half = flint.arb("0.714") / 2
    given = [rigorous_covariance([[0.0], [1.0]], ["0.3", "0.7"], v, ["0.1"], prec=200)[0][0] for v in (half, "0.357")]
    with flint.ctx.workprec(200):
        assert abs(given[0] - given[1]) < flint.arb("1e-50")
        assert given[0].overlaps(given[1])


def test_lower_side_is_not_above_the_upper_one():
    """Two ways to the same edge differed in the last bit: .578125 below, .5781249999999999 above."""
    atoms = [[0.5, 0.25, 0.75, 0.0], [0.5, 0.5, -0.75, 0.0], [0.0, -0.25, 0.0, -0.25]]
    found = log_concavity_threshold(PointCloud(atoms), certify=False)
    assert found.lower <= found.upper
    assert abs(found.lower - 0.578125) <= 8 * np.finfo(float).eps


def test_a_gap_below_the_rounding_of_the_rates_is_not_negative():
    """Random log p of deviation 10: the gap is far below eps times the largest rate, and comes out with either sign."""
    rng = np.random.default_rng(3)
    assert min(spectral_gap(10 * rng.standard_normal(30), np.arange(30.0)) for _ in range(200)) >= 0


def test_spectral_gap_of_ornstein_uhlenbeck_converges(accuracy):
    errors = []
    for n in (501, 1001):
        x = np.linspace(-8, 8, n)
        errors.append(abs(spectral_gap(-0.5 * x**2, x) - 1))
    assert 3.9 < errors[0] / errors[1] < 4.1
    left = abs(4 * errors[1] - errors[0]) / 3
    accuracy(
        "papers.log_concavity.certificates.spectral_gap", left, (16 / 1000) ** 4, "Ornstein-Uhlenbeck gap 1, extrapolated"
    )


# ---------------------------------------------------------------------------------------------------------- chains

WALKS = [ULA(3, 0.2), MALA(3, 0.4), Underdamped(3, 0.7, 1.0), ExactWalk()]


@pytest.mark.parametrize("walk", WALKS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("start", ["jump", "previous"])
def test_rows_do_not_depend_on_the_batch(walk, start):
    run = lambda n: list(one_at_a_time(LAW, 4, 1.2, n, noise=Noise(6), walk=walk, start=start))[-1].xhat  # noqa: E731
    np.testing.assert_allclose(run(5), run(40)[:5], rtol=0, atol=1e-12)


class UnitNoise:
    """Row 1 + s of the matrix of step s is 1, the rest 0: row 0 of a run sees no noise, row 1 + s that of step s alone."""

    def normal(self, step, n, d, start=0, like=None):
        z = np.zeros((n, d))
        z[1 + step] = 1.0
        return z


@pytest.mark.parametrize("walk", [ULA(7, 0.2), Underdamped(7, 0.7, 0.4)], ids=["ULA", "Underdamped"])
@pytest.mark.parametrize(("k", "unit"), [(1.3, 1.0), (0.2, 2.5)])
def test_walk_is_its_linear_recursion(walk, k, unit, accuracy):
    """On N(0, 1/k) the walk is linear: its response to the start and to each draw are those of ``walk.linear``."""
    law = GaussianMixture(None, np.zeros((1, 1)), 1 / k)
    out = langevin(law, np.full((12, 1), 2.0), noise=UnitNoise(), walk=walk, unit=unit)[:, 0]
    A, Q = walk.linear(k, unit)
    mean, cov = np.array([2.0, 0.0]), np.diag([0.0, unit if isinstance(walk, Underdamped) else 0.0])
    for _ in range(walk.steps):
        mean, cov = A @ mean, A @ cov @ A.T + Q
    eps = np.finfo(float).eps
    gap = abs(np.sum((out[1:] - out[0]) ** 2) / cov[0, 0] - 1)
    for name in (f"{type(walk).__name__}.run", f"{type(walk).__name__}.linear", "langevin"):
        accuracy(
            f"papers.log_concavity.walk_jump.{name}",
            abs(out[0] - mean[0]),
            64 * walk.steps * eps * 2.0,
            "responses to unit draws",
        )
        accuracy(f"papers.log_concavity.walk_jump.{name}", gap, 64 * walk.steps * eps, "responses to unit draws")


def test_only_the_sum_is_kept():
    states = list(one_at_a_time(LAW, 5, 1.2, 7, noise=Noise(7), walk=ULA(2, 0.3)))
    np.testing.assert_allclose(states[-1].total, sum(s.y for s in states), atol=1e-13)
    assert [s.t for s in states] == [1, 2, 3, 4, 5]
    jump = LAW.noised(1, 1.2 / np.sqrt(5)).denoise(states[-1].total / 5)
    np.testing.assert_array_equal(states[-1].xhat, jump)


def test_inner_score_is_the_conditional_score():
    rng = np.random.default_rng(8)
    total, y = 3 * rng.standard_normal((20, 2)), rng.standard_normal((20, 2))
    target = conditional_target(LAW, total, 3, 1.2)
    np.testing.assert_allclose(target.score(y), conditional_score(LAW, y, total, 3, 1.2), atol=1e-12)


def test_mala_keeps_its_target(chance):
    """Started in the law, 60 steps of a large step: two variances are chi-square, where ULA is far off."""
    n, draw = 20_000, chance(comparisons=3)
    law = GaussianMixture(None, np.zeros((1, 2)), np.array([[1.0, 0.2]]))
    x = law.sample(n, draw.seed(9))
    kept = langevin(law, x, noise=draw.noise(10), walk=MALA(60, 0.15))
    draw.chi_square(np.sum(kept**2, axis=0), n, scale=np.array([1.0, 0.2]), on="20,000 walks of MALA, variances 1, .2")
    drifted = langevin(law, x, noise=draw.noise(10), walk=ULA(60, 0.15))
    draw.mean_is_not(drifted[:, 1] ** 2, 0.2, on="ULA", dropped="accept and reject")


def test_all_at_once_on_a_gaussian(chance):
    """Exact in position: after many splitting steps the output has the jump's variance."""
    n, m, l = 20_000, 4, 0.8
    draw = chance(comparisons=1)
    law = GaussianMixture(None, np.zeros((1, 1)), l)
    out = all_at_once(law, m, 1.0, n, noise=draw.noise(11), walk=Underdamped(60, 0.8, 1.0))
    assert out.y.shape == (n, m, 1)
    expected = l**2 / (l + 1 / m)
    draw.chi_square(np.sum(out.xhat**2), n, scale=expected, on="variance of 20,000 outputs")


def test_estimated_law_is_consistent_in_the_chain(chance):
    """Against the chain with exact scores and the same draws: bias c/n and error n^(-1/2) in the number n of draws.

    A sixteenth of the error at 25 draws takes c/n off the error at 400. What is left is the next term of the bias, below
    .001: n times the bias is c up to 6/n (40,000 chains at n = 12, 25, 50), and 6/25^2/16 = 6e-4.
    """
    n, draw = 5000, chance(comparisons=4)

    def output(law):
        return list(one_at_a_time(law, 2, 1.2, n, noise=draw.noise(12), walk=ULA(2, 0.3)))[-1]

    exact = output(LAW)
    few, many = (output(EstimatedLaw(LAW.log_density, 2, N, draw.noise(13))).xhat - exact.xhat for N in (25, 400))
    draw.mean(many - few / 16, 0.0, on="5000 chains with estimated scores less exact ones", tol=1e-3)
    step = exact.xhat - exact.total / 2  # along the score: what is wrong with its size
    far = 1 + np.sum(step**2, axis=1)  # far from the mass few draws carry the sum: rare large errors, weighted down
    along = np.sum(step * (many - few / 16), axis=1) / far
    draw.mean(along, 0.0, on="the same along the last step", tol=1e-3)
    few, many = (np.sum(gap**2, axis=1) / far**2 for gap in (few, many))
    draw.mean_exceeds(few / 8 - many, 0.0, on="squared error, 16 times the draws")  # 1/16 expected


def box(outside):
    """Log density of the uniform law on [-1, 1], and what it was asked; ``outside`` is its value beyond."""
    asked = []

    def log_density(x):
        asked.append(x[:, 0])
        return np.where(np.abs(x[:, 0]) <= 1, 0.0, outside)

    return log_density, asked


def test_draws_outside_a_truncated_law_have_weight_zero():
    y, sigma, N = np.array([[0.0], [0.9], [1.5]]), 0.5, 4000
    log_density, asked = box(-np.inf)
    xhat = EstimatedLaw(log_density, 1, N, Noise(0)).noised(1.0, sigma).denoise(y)[:, 0]
    size = EstimatedLaw(log_density, 1, N, Noise(0)).noised(1.0, sigma).effective_sample_size(y)
    draws = asked[0].reshape(3, N)
    inside = np.abs(draws) <= 1
    mean = np.array([row[keep].mean() for row, keep in zip(draws, inside)])
    assert np.abs(xhat - mean).max() <= 1e-12
    assert np.abs(size - inside.sum(axis=1)).max() <= 1e-9  # equal weights: as many draws as are inside
    # E[X | y] of the uniform law: a truncated normal; the error is that of the mean of the draws inside, six of them
    low, high = (-1 - y[:, 0]) / sigma, (1 - y[:, 0]) / sigma
    exact = y[:, 0] - sigma * (norm.pdf(high) - norm.pdf(low)) / (norm.cdf(high) - norm.cdf(low))
    error = [row[keep].std() / math.sqrt(keep.sum()) for row, keep in zip(draws, inside)]
    assert np.all(np.abs(xhat - exact) <= 6 * np.array(error))


@pytest.mark.parametrize(
    ("outside", "y", "begin"),
    [
        (-np.inf, [[0.0], [60.0]], r"y \(row 1\): got array\(\[60"),  # no draw inside: there is no estimate
        (-1e300, [[60.0]], r"log_density \(its result\): .*-inf where the density is 0"),  # was 4000 effective of 4000
        (-1e14, [[60.0]], r"log_density \(its result\): .*rounding"),
        (np.nan, [[0.0]], r"log_density \(its result\): .*real numbers, or -inf where"),
        (np.inf, [[0.0]], r"log_density \(its result\): .*real numbers, or -inf where"),
    ],
)
def test_weights_that_say_nothing_are_refused(outside, y, begin):
    at = EstimatedLaw(box(outside)[0], 1, 4000, Noise(0)).noised(1.0, 0.5)
    for method in (at.score, at.denoise, at.effective_sample_size):
        with pytest.raises(ValueError, match=rf"(?s)^{begin}"):
            method(y)


def test_array_api_strict():
    xp = pytest.importorskip("array_api_strict")
    like = xp.asarray([[0.0, 0.0]])
    for walk in WALKS:
        a = list(one_at_a_time(LAW, 3, 1.2, 6, noise=Noise(14), walk=walk))[-1].xhat
        b = list(one_at_a_time(LAW, 3, 1.2, 6, noise=Noise(14), walk=walk, like=like))[-1].xhat
        assert type(b) is type(like)
        np.testing.assert_allclose(np.asarray(b), a, atol=1e-12)
    walk = Underdamped(3, 0.5)
    a = all_at_once(LAW, 3, 1.2, 6, noise=Noise(15), walk=walk)
    b = all_at_once(LAW, 3, 1.2, 6, noise=Noise(15), walk=walk, like=like)
    np.testing.assert_allclose(np.asarray(b.xhat), a.xhat, atol=1e-12)


def test_gaussian_recursion_ignores_nothing():
    """Directions do not mix, and a start at the jump differs from the previous y."""
    both = gaussian_one_at_a_time([0.3, 2.0], 4, 1.1, Underdamped(2, 0.6, 0.5), "previous")
    one = gaussian_one_at_a_time([2.0], 4, 1.1, Underdamped(2, 0.6, 0.5), "previous")
    assert both.output[1] == one.output[0]
    assert abs(gaussian_one_at_a_time([2.0], 4, 1.1, Underdamped(2, 0.6, 0.5)).output[0] - one.output[0]) > 1e-3


BAD = [
    ("law", lambda: log_concavity_threshold(GaussianMixture(None, np.zeros((2, 1)), np.array([1.0, 2.0])))),
    ("law", lambda: log_concavity_threshold(3)),
    ("law", lambda: certify_log_concavity(PointCloud(np.eye(5)), 1.0)),
    ("sigma2", lambda: certify_log_concavity(PointCloud(SQUARE), 0.0)),
    ("sigma2", lambda: largest_posterior_variance(PointCloud(SQUARE), np.zeros((1, 2)), -1.0)),
    ("y", lambda: largest_posterior_variance(PointCloud(SQUARE), np.zeros((1, 3)), 1.0)),
    ("bound", lambda: certify_log_concavity(PointCloud(SQUARE), 1.0, bound=0.0)),
    ("rtol", lambda: log_concavity_threshold(PointCloud(SQUARE), rtol=0.0)),
    ("max_cells", lambda: certify_log_concavity(PointCloud(SQUARE), 1.0, max_cells=0)),
    ("grid", lambda: spectral_gap(np.zeros(4), np.array([0.0, 1, 3, 4]))),
    ("grid", lambda: spectral_gap(np.array([0.0, 500, 0]), np.arange(3.0))),
    ("variance", lambda: covariance_supremum(SQUARE, np.full(4, 0.25), 0.0)),
    ("step", lambda: ULA(3, 0.0)),
    ("steps", lambda: MALA(-1, 0.1)),
    ("friction", lambda: Underdamped(1, 0.1, -1.0)),
    ("m", lambda: one_at_a_time(LAW, 0, 1.0, 3, noise=Noise(0), walk=ULA(1, 0.1))),
    ("sigma", lambda: one_at_a_time(LAW, 1, 0.0, 3, noise=Noise(0), walk=ULA(1, 0.1))),
    ("noise", lambda: one_at_a_time(LAW, 1, 1.0, 3, noise=None, walk=ULA(1, 0.1))),
    ("walk", lambda: one_at_a_time(LAW, 1, 1.0, 3, noise=Noise(0), walk="ula")),
    ("start", lambda: one_at_a_time(LAW, 1, 1.0, 3, noise=Noise(0), walk=ULA(1, 0.1), start="zero")),
    ("centre", lambda: one_at_a_time(LAW, 1, 1.0, 3, noise=Noise(0), walk=ULA(1, 0.1), centre=[0.0])),
    ("law", lambda: one_at_a_time(3, 1, 1.0, 3, noise=Noise(0), walk=ULA(1, 0.1))),
    ("walk", lambda: all_at_once(LAW, 1, 1.0, 3, noise=Noise(0), walk=ExactWalk())),
    ("walk", lambda: gaussian_one_at_a_time([1.0], 2, 1.0, MALA(1, 0.1))),
    ("walk", lambda: MALA(1, 0.1).run(Target(lambda y: -y), np.zeros((1, 1)), None)),
    ("variances", lambda: gaussian_one_at_a_time([-1.0], 2, 1.0, ULA(1, 0.1))),
    ("scale", lambda: EstimatedLaw(LAW.log_density, 2, 5, Noise(0)).noised(0.5, 1.0)),
    ("draws", lambda: EstimatedLaw(LAW.log_density, 2, 0, Noise(0))),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{i}-{b[0]}" for i, b in enumerate(BAD)])
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


# ------------------------------------------------------------------------------------------- walks that freeze or explode


NARROW = GaussianMixture([1.0], [[0.0, 0.0]], 0.01)


@pytest.mark.parametrize(
    ("law", "start", "steps", "step"),
    [(NARROW, np.ones((100, 2)), 200, 3.0), (GaussianMixture([1.0], [np.zeros(100)], 1.0), np.zeros((200, 100)), 100, 1.0)],
)
def test_walk_that_never_moves_is_refused_with_a_step_that_does(law, start, steps, step):
    """MALA accepts nothing at a step far above 1 / (L d^(1/3)): the start is no sample. The step of the message works."""
    with pytest.raises(ValueError, match=r"^walk: got MALA.*a walk that moves: (\d+) of \1 chains never moved") as caught:
        langevin(law, start, noise=Noise(0), walk=MALA(steps, step))
    better = float(re.search(r"try a step of ([\d.e-]+)", str(caught.value)).group(1))
    walked = langevin(law, start, noise=Noise(0), walk=MALA(steps, better), report=True)
    assert walked.acceptance.shape == (len(start),)
    assert 0.4 < walked.acceptance.mean() < 0.95
    assert np.all(walked.acceptance > 0)
    with pytest.raises(ValueError, match=r"^walk: got MALA.*never moved"):
        list(one_at_a_time(law, 2, 1.0, 5, noise=Noise(0), walk=MALA(3, 500.0)))
    with pytest.raises(ValueError, match=r"^walk: got MALA.*never moved"):
        all_at_once(law, 2, 1.0, 5, noise=Noise(0), walk=MALA(3, 500.0))


def test_acceptance_counts_the_moves():
    """Acceptance against the moves seen from outside, one step at a time; None where nothing is proposed."""
    x = Noise(3).initial(50, 2) * 0.1
    whole = langevin(NARROW, x, noise=Noise(4), walk=MALA(12, 0.02), report=True)

    class Recorded:
        def __init__(self):
            self.asked = []

        def score(self, y):
            self.asked.append(y)
            return NARROW.score(y)

    law = Recorded()
    law.dim, law.log_density = 2, NARROW.log_density
    walked = langevin(law, x, noise=Noise(4), walk=MALA(12, 0.02), report=True)
    assert np.array_equal(walked.y, whole.y)
    last = np.array([max(i for i, y in enumerate(law.asked) if np.array_equal(y[row], walked.y[row])) for row in range(50)])
    assert np.array_equal(last == 0, walked.acceptance == 0)
    one = langevin(NARROW, x, noise=Noise(4), walk=MALA(1, 0.02), report=True)
    assert np.array_equal(one.acceptance == 1, np.any(one.y != x, axis=1))
    assert langevin(NARROW, x, noise=Noise(4), walk=ULA(3, 0.001), report=True).acceptance is None
    states = list(one_at_a_time(NARROW, 3, 1.0, 40, noise=Noise(0), walk=MALA(4, 0.5)))
    assert all(0 < s.acceptance.mean() <= 1 for s in states)


def test_chains_that_never_moved_are_warned_of():
    """At thirty times the step that works a part of the chains moves now and then and the rest never."""
    with pytest.warns(StuckWalk, match=r"walk: MALA\(.*(\d+) of 100 chains never moved.*try a step of"):
        z = langevin(NARROW, np.zeros((100, 2)), noise=Noise(0), walk=MALA(200, 0.5))
    assert 0 < np.sum((z == 0).all(axis=1)) < 100
    langevin(NARROW, np.zeros((1, 2)), noise=Noise(0), walk=MALA(1, 0.5))  # one rejection says nothing


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("walk", "stable"),
    [(ULA(60, 0.021), 0.02), (ULA(100, 3.0), 0.02), (Underdamped(300, 0.21), 0.2), (Underdamped(9, 50.0), 0.2)],
)
def test_walk_that_blows_up_is_refused_with_the_stable_step(walk, stable, kind):
    """ULA multiplies by 1 - h L beyond h L = 2, the splitting beyond delta^2 L = 4; the limit is in the message."""
    x = np.ones((30, 2))
    if kind == "torch":
        x = pytest.importorskip("torch", reason="torch is not installed: pip install torch (CPU build)").from_numpy(x)
    with pytest.raises(ValueError, match=r"^walk: got (ULA|Underdamped).*drifts by \S+ at once; try a step below") as caught:
        langevin(NARROW, x, noise=Noise(0), walk=walk)
    assert float(re.search(r"below ([\d.e-]+)", str(caught.value)).group(1)) == pytest.approx(stable, rel=1e-3)
    below = type(walk)(walk.steps, 0.95 * stable)
    assert float(abs(langevin(NARROW, x, noise=Noise(0), walk=below)).max()) < 3


@pytest.mark.parametrize("walk", [ULA(40, 2.5), Underdamped(40, 2.5)])
def test_exact_law_of_a_walk_that_blows_up_is_refused(walk):
    with pytest.raises(ValueError, match=r"^walk: got .*each of its steps multiplies deviations by \S+; try a step below 2"):
        gaussian_one_at_a_time([0.01, 1.0], 2, 1.0, walk)
    gaussian_one_at_a_time([0.01, 1.0], 2, 1.0, type(walk)(40, 1.9))


def test_states_of_chains_are_copies():
    """Editing what is yielded, or the start of a walk without steps, changes nothing else."""

    def run(edit):
        found = []
        for state in one_at_a_time(NARROW, 4, 1.0, 5, noise=Noise(0), walk=ULA(2, 0.1), start="previous"):
            found.append((state.y.copy(), state.total.copy(), state.xhat.copy()))
            for array in (state.y, state.total, state.xhat):
                array *= edit
        return np.array(found)

    assert np.array_equal(run(1.0), run(0.0))
    x = np.ones((3, 2))
    langevin(NARROW, x, noise=Noise(0), walk=ULA(0, 0.1))[:] = 7
    assert np.all(x == 1)


@pytest.mark.parametrize("seed", range(4))
def test_faces_with_further_atoms_are_found_in_any_order_of_the_atoms(seed):
    """A square with the middles of its sides and its centre: four faces of three atoms, whichever end comes first."""
    from exactdiffusion.papers.log_concavity.certificates import _line_faces

    P = np.array([(a, b) for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)])
    P = P[np.random.default_rng(seed).permutation(9)]
    sides = {tuple(np.flatnonzero(P[:, k] == side)) for k in (0, 1) for side in (-1.0, 1.0)}
    assert _line_faces(P) == sides


def test_points_as_an_array_are_answered_with_the_cloud_to_make_of_them():
    points = np.array([[-1.0], [1.0]])
    with pytest.raises(ValueError, match=r"expected a PointCloud \(PointCloud\(points\) of an array\), .*, or a Sphere$"):
        certificates.log_concavity_threshold(points)
    with pytest.raises(ValueError, match=r"one isotropic covariance$"):
        certificates.certify_log_concavity(points, 1.0)
