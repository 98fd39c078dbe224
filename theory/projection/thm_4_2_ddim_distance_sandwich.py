"""Theorem 4.2 with band-limited adversaries: correct to eta inside the band, garbage outside it.

5,000 trajectories by default, 50,000 with --deep, each with its own eta, nu, starting point and sigma_N = d(x_N)/sqrt(n).
"""

import math

import numpy as np
import pytest

from exactdiffusion import Grid, samplers
from exactdiffusion.adversaries import STRATEGIES, ApproximateProjection
from exactdiffusion.bounds import projection as bound

STATEMENT = bound.ddim_distance_sandwich.statement
EPS = np.finfo(np.float64).eps
STEPS = (1, 3, 10, 40)
ETAS = np.array([0.02, 0.1, 0.5, 0.9, 0.99])
NUS = np.array([1.05, 1.5, 3.0])
SETS = (
    "200 points in R^50",
    "ring of 8 in the plane",
    "digits",
    "sphere S^3 in R^20",
    "subspace of R^12",
    "torus T^4 in R^30",
)


def start(law, rng, n):
    """Points at distances 0.3 .. 300 from the set, away from ties for clouds."""
    x = law.project(rng.standard_normal((n, law.dim)))
    direction = rng.standard_normal((n, law.dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return x + 10 ** rng.uniform(-0.5, 2.5, (n, 1)) * direction


def run(law, x, eta, nu, beta, strategy, *, true_eta=None, start_ratio=1.0, seed=0, garbage=True):
    """DDIM from x with per-row relative steps beta (N, n); returns states, distances and sigmas, all (N + 1, n)."""
    N = len(beta)
    distance = law.distance(x)
    sigma = np.empty((N + 1, len(x)))
    sigma[0] = distance / (math.sqrt(law.dim) * start_ratio)
    sigma[1:] = sigma[0] * np.cumprod(1 - beta, axis=0)
    slack = 64 * EPS * (N + 1) * band_scale(law, x, beta, eta, distance)
    oracle = ApproximateProjection(
        law, eta if true_eta is None else true_eta, nu, strategy, seed=seed, garbage=garbage, band_rtol=slack
    )
    states = list(samplers.ddim(oracle, Grid(np.ones_like(sigma), sigma), x))
    distances = np.stack([law.distance(s) for s in states])
    return states, distances, sigma


def band_scale(law, x, beta, eta, distance):
    """|x| / (smallest distance the theorem allows): one rounding of x in units of the final distance."""
    lower, _ = bound.ddim_distance_sandwich(distance, beta, eta)
    return np.linalg.norm(x, axis=1) / np.maximum(lower[-1], 1e-300)


def family(law, rng, per_batch, N):
    """Rows with all (eta, nu) pairs mixed; rows whose final bound is below 1e-6 |x| are not measurable in float64."""
    x = start(law, rng, per_batch)
    pairs = rng.integers(0, [len(ETAS), len(NUS)], (per_batch, 2))
    eta, nu = ETAS[pairs[:, 0]], NUS[pairs[:, 1]]
    beta = np.broadcast_to(bound.beta_star(eta, nu, N), (N, per_batch)).copy()
    keep = band_scale(law, x, beta, eta, law.distance(x)) < 1e6
    return x[keep], eta[keep], nu[keep], beta[:, keep]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_band_and_products(check, closed_sets, strategy, deep):
    wanted = (50_000 if deep else 5_000) / len(STRATEGIES)
    per_batch = math.ceil(1.25 * wanted / (len(SETS) * len(STEPS)))
    rng = np.random.default_rng([42, sorted(STRATEGIES).index(strategy)])
    usage, allowed, d, low, high, tol, gaps, exits, rows = [], [], [], [], [], [], [], 0, 0
    for name in SETS:
        law = closed_sets[name]
        for N in STEPS:
            x, eta, nu, beta = family(law, rng, per_batch, N)
            states, distance, sigma = run(law, x, eta, nu, beta, strategy, seed=N)
            lower, upper = bound.ddim_distance_sandwich(distance[0], beta, eta)
            relative = 64 * EPS * (N + 1) * band_scale(law, x, beta, eta, distance[0])
            usage.append(np.max(bound.band_usage(distance, sigma, law.dim), axis=0))
            exits += int(np.sum(usage[-1] > nu * (1 + relative)))
            rows += len(x)
            allowed.append(nu)
            tol.append(relative)
            d.append(distance[1:] / distance[0])
            low.append(lower / distance[0])
            high.append(upper / distance[0])
            if hasattr(law, "gap"):
                gaps += [np.min(law.gap(s) / np.maximum(law.distance(s), 1e-300)) for s in states]
    assert rows >= wanted, (rows, wanted)
    cause = "64 eps (N + 1) |x| / (smallest allowed distance): rounding of every step at the scale of the last distance"
    usage, allowed, tol = map(np.concatenate, (usage, allowed, tol))
    on = f"adversary {strategy}"
    if gaps:
        check.hypothesis("(H3) the projection is unique at every visited point", min(gaps) > 0, on=on)
    check.holds(usage / allowed, 1.0, tol=tol, cause=cause, on=f"band, {on}, {rows} trajectories, {exits} exits")
    relative = [np.broadcast_to(t, v.shape) for t, v in zip(np.split(tol, np.cumsum([v.shape[1] for v in d])[:-1]), d)]
    flat = lambda parts: np.concatenate([p.ravel() for p in parts])  # noqa: E731
    check.holds(flat(d) / flat(high), 1.0, tol=flat(relative), cause=cause, on=f"upper product, {on}")
    check.holds(flat(low) / flat(d), 1.0, tol=flat(relative), cause=cause, on=f"lower product, {on}")


def test_every_sign_pattern_in_one_dimension(check):
    """All 2^10 sequences of over- and undershoots, on random non-constant schedules that spend the whole budget."""
    rng = np.random.default_rng(421)
    N = 10
    signs = 1 - 2 * ((np.arange(2**N)[:, None] >> np.arange(N)) & 1)
    worst_band, worst_high, worst_low, allowed = [], [], [], []
    for _ in range(100):
        eta, nu = rng.uniform(0.02, 0.9), rng.uniform(1.05, 4)
        y = rng.random(N)
        y *= math.log(nu) / y.sum()
        rho = -np.expm1(-y) / eta
        beta = rho / (1 + rho)
        d = np.cumprod(1 + beta * (eta * signs - 1), axis=1)
        sigma = np.cumprod(1 - beta)
        low, high = bound.ddim_distance_sandwich(1.0, beta, eta)
        worst_band.append(np.max(np.maximum(d / sigma, sigma / d)))
        allowed.append(nu)
        worst_high.append(np.max(d / high))
        worst_low.append(np.max(low / d))
    tol = 8 * N * EPS
    cause = "8 N eps: rounding of N factors"
    check.holds(np.array(worst_band) / allowed, 1.0, tol=tol, cause=cause, on="band, 1,024 sign patterns x 100 schedules")
    check.tight(np.array(worst_band) / allowed, 1.0, tol=tol, cause=cause, on="band edge, non-constant schedules")
    check.tight(np.array(worst_high), 1.0, tol=tol, cause=cause, on="upper product over all sign patterns")
    check.tight(np.array(worst_low), 1.0, tol=tol, cause=cause, on="lower product over all sign patterns")


def test_edges_and_products_attained(check, closed_sets):
    law = closed_sets["200 points in R^50"]
    rng = np.random.default_rng(422)
    x = start(law, rng, 20)
    cause = "1e-9, above the rounding 64 eps (N + 1) |x| / d of every instance"
    for N, eta, nu in ((5, 0.2, 2.0), (20, 0.1, 1.5), (40, 0.4, 3.0)):
        eta_, nu_ = np.full(len(x), eta), np.full(len(x), nu)
        beta = np.full((N, len(x)), bound.beta_star(eta, nu, N))
        tol = 1e-9
        assert np.max(64 * EPS * (N + 1) * band_scale(law, x, beta, eta, law.distance(x))) < tol
        on = f"N = {N}, eta = {eta}, nu = {nu}"
        _, d, sigma = run(law, x, eta_, nu_, beta, "over")
        low, high = bound.ddim_distance_sandwich(d[0], beta, eta)
        check.tight(math.sqrt(law.dim) * sigma[-1] / d[-1] / nu, 1.0, tol=tol, cause=cause, on=f"band edge, overshoot, {on}")
        check.tight(d[1:] / low, 1.0, tol=tol, cause=cause, on=f"lower product, overshoot, {on}")
        _, d, sigma = run(law, x, eta_, nu_, beta, "under")
        check.tight(d[1:] / high, 1.0, tol=tol, cause=cause, on=f"upper product, undershoot, {on}")
        # the other edge is a supremum over N: (2 - nu^(-1/N))^N exactly, for the constant step
        expected = (2 - nu ** (-1 / N)) ** N / nu
        check.tight(
            d[-1] / (math.sqrt(law.dim) * sigma[-1]) / nu,
            expected,
            tol=tol,
            cause=cause,
            on=f"other band edge, undershoot: (2 - nu^(-1/N))^N / nu, {on}",
        )
        # started at ratio r = 1.2 with the corrected step, undershoot attains that edge
        r = 1.2
        beta = np.full((N, len(x)), bound.beta_star(eta, nu, N, start_ratio=r))
        _, d, sigma = run(law, x, eta_, nu_, beta, "under", start_ratio=r)
        check.tight(
            d[-1] / (math.sqrt(law.dim) * sigma[-1]) / nu,
            1.0,
            tol=tol,
            cause=cause,
            on=f"other band edge, undershoot, start ratio {r}, {on}",
        )


def test_controls(check, closed_sets):
    law = closed_sets["200 points in R^50"]
    rng = np.random.default_rng(423)
    N, eta, nu = 10, 0.2, 1.5
    x = start(law, rng, 50)
    eta_, nu_ = np.full(len(x), eta), np.full(len(x), nu)
    star = bound.beta_star(eta, nu, N)

    def usage_and_products(beta, strategy="over", **options):
        beta = np.full((N if np.isscalar(beta) else len(beta), len(x)), beta) if np.isscalar(beta) else beta
        _, d, sigma = run(law, x, eta_, nu_, beta, strategy, **options)
        low, high = bound.ddim_distance_sandwich(d[0], np.minimum(beta, 1), eta)
        return np.max(bound.band_usage(d, sigma, law.dim), axis=0), d[1:], low, high

    for factor in (1.05, 1.5):
        used, d, _, high = usage_and_products(factor * star)
        check.control(f"admissible schedule (beta = {factor} beta_*)", used, nu, tol=1e-9, on="band, overshoot")
    check.control("admissible schedule (beta = 1.5 beta_*)", d, high, tol=1e-9, on="upper product, overshoot then garbage")
    used, d, low, high = usage_and_products(np.full((2 * N, len(x)), star))
    check.control("the schedule's N (beta_* of N used for 2 N steps)", used, nu, tol=1e-9, on="band, overshoot")
    for factor in (1.05, 1.2):
        _, d, low, high = usage_and_products(star, "under", true_eta=factor * eta, garbage=False)
        check.control(f"true eta ({factor} times the assumed one)", d, high, tol=1e-9, on="upper product, undershoot")
        _, d, low, high = usage_and_products(star, "over", true_eta=factor * eta, garbage=False)
        check.control(f"true eta ({factor} times the assumed one)", low, d, tol=1e-9, on="lower product, overshoot")
    for r in (0.83, 1.2):
        used, *_ = usage_and_products(star, "over" if r < 1 else "under", start_ratio=r)
        check.control(f"(H4): start at d(x_N) = {r} sqrt(n) sigma_N", used, nu, tol=1e-9, on="band")


def test_bisector_control(check):
    """(H3) dropped: on the bisector of two atoms the ideal denoiser never moves to either; the distance stalls."""
    from exactdiffusion import PointCloud, schedules

    pair = PointCloud(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    x = np.array([[0.0, 50.0]])
    sigma_max = float(pair.distance(x)[0]) / math.sqrt(2)
    grid = schedules.log_linear(60, sigma_max=sigma_max, sigma_min=1e-4)
    x0 = samplers.final(samplers.ddim(pair, grid, x))
    check.control(
        "(H3): start on a bisector", pair.distance(x0), 3.0 * math.sqrt(2) * 1e-4, on="two atoms, nu = 3, ideal denoiser"
    )
