"""Theorem 4.2 with band-limited adversaries: correct to eta inside the band, garbage outside it.

5,000 trajectories by default, 50,000 with --deep, each with its own eta, nu, starting point and sigma_N = d(x_N)/sqrt(n).
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest

from exactdiffusion import Denoiser, Grid, PointCloud, samplers, schedules
from exactdiffusion.papers.projection.adversaries import STRATEGIES, ApproximateProjection
from exactdiffusion.statements import projection as bound

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


class Measured(NamedTuple):
    """Trajectories: distances and sigmas (N + 1, n), the adversary's largest error in the band, in units of eta d."""

    distance: np.ndarray
    sigma: np.ndarray
    error: float


def run(law, x, eta, nu, beta, strategy, *, true_eta=None, start_ratio=1.0, seed=0, garbage=True):
    """DDIM from x with per-row relative steps beta (N, n)."""
    distance = law.distance(x)
    sigma = np.empty((len(beta) + 1, len(x)))
    sigma[0] = distance / (math.sqrt(law.dim) * start_ratio)
    sigma[1:] = sigma[0] * np.cumprod(1 - beta, axis=0)
    slack = rounding(law, x, beta, eta)[-1]
    oracle = ApproximateProjection(
        law, eta if true_eta is None else true_eta, nu, strategy, seed=seed, garbage=garbage, band_rtol=slack
    )
    states = list(samplers.ddim(oracle, Grid(np.ones_like(sigma), sigma), x))
    return Measured(np.stack([law.distance(s) for s in states]), sigma, oracle.largest_error)


def rounding(law, x, beta, eta):
    """64 eps (t + 1) |x| / (smallest distance the theorem allows) after t steps, (N + 1, n): a rounding of x_t has the size
    eps (|x_t| + |atoms|), and |x_t| <= |x_N| up to the extent of the set."""
    distance = law.distance(x)
    lower, _ = bound.ddim_distance_sandwich(distance, beta, eta)
    size = np.linalg.norm(x, axis=1) + distance
    allowed = np.maximum(np.concatenate([distance[None], lower]), 1e-300)
    return 64 * EPS * np.arange(1, len(beta) + 2)[:, None] * size / allowed


def family(law, rng, per_batch, N):
    """Rows with all (eta, nu) pairs mixed, and how many were dropped because their last distance, below 1e-6 |x|, cannot be
    measured in float64 (`test_small_distances` has those pairs)."""
    x = start(law, rng, per_batch)
    pairs = rng.integers(0, [len(ETAS), len(NUS)], (per_batch, 2))
    eta, nu = ETAS[pairs[:, 0]], NUS[pairs[:, 1]]
    beta = np.broadcast_to(bound.beta_star(eta, nu, N), (N, per_batch)).copy()
    keep = rounding(law, x, beta, eta)[-1] < 64 * EPS * (N + 1) * 1e6
    return x[keep], eta[keep], nu[keep], beta[:, keep], int(np.sum(~keep))


def conclusions(law, measured, eta, nu, beta, tol):
    """The band and both products at every step, each with the rounding of that step."""
    d, sigma, _ = measured
    lower, upper = bound.ddim_distance_sandwich(d[0], beta, eta)
    return {
        "band": (bound.band_usage(d, sigma, law.dim) / nu, tol),
        "upper product": (d[1:] / upper, tol[1:]),
        "lower product": (lower / d[1:], tol[1:]),
    }


def test_products_in_exact_fractions(check):
    """Steps and errors that are multiples of 1/64: each factor is exact in binary, only the running products round."""
    rng = np.random.default_rng(425)
    for steps, eta, d in ((1, 0.5, 1.25), (8, 13 / 64, 3.0), (30, 3 / 64, 77.0)):
        beta = rng.integers(1, 24, steps) / 64
        low, high = [Fraction(d)], [Fraction(d)]
        for b in map(Fraction, beta):
            low.append(low[-1] * (1 - b * (1 + Fraction(eta))))
            high.append(high[-1] * (1 + b * (Fraction(eta) - 1)))
        for name, value, exact in zip(("lower", "upper"), bound.ddim_distance_sandwich(d, beta, eta), (low, high)):
            exact = np.array([float(v) for v in exact[1:]])
            tol, cause = (steps + 1) * EPS * exact, "rounding: (N + 1) eps: one rounding per factor"
            check.equal(value, exact, tol=tol, cause=cause, on=f"{name} product, fractions, N = {steps}, eta = {eta}")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_band_and_products(check, closed_sets, strategy, deep):
    wanted = (50_000 if deep else 5_000) / len(STRATEGIES)
    per_batch = math.ceil(1.25 * wanted / (len(SETS) * len(STEPS)))
    rng = np.random.default_rng([42, sorted(STRATEGIES).index(strategy)])
    sides = {"band": [], "upper product": [], "lower product": []}
    gaps, errors, admissible, exits, rows, dropped = [], [], [], 0, 0, 0
    for name in SETS:
        law = closed_sets[name]
        for N in STEPS:
            x, eta, nu, beta, lost = family(law, rng, per_batch, N)
            measured = run(law, x, eta, nu, beta, strategy, seed=N)
            tol = rounding(law, x, beta, eta)
            for part, (ratio, allowance) in conclusions(law, measured, eta, nu, beta, tol).items():
                sides[part].append((ratio.ravel(), np.broadcast_to(allowance, ratio.shape).ravel()))
            exits += int(np.sum(np.any(sides["band"][-1][0].reshape(N + 1, -1) > 1 + tol, axis=0)))
            rows, dropped = rows + len(x), dropped + lost
            errors.append(measured.error)
            admissible += [bound.is_admissible(beta[:, j], eta[j], nu[j]) for j in range(len(x))]
            if hasattr(law, "gap"):
                gaps += [np.min(law.gap(x) / law.distance(x))]
    assert rows >= wanted, (rows, wanted)
    on = f"adversary {strategy}"
    # d and |xhat - p| are measured on x: each carries a rounding of eps |x|
    check.hypothesis("(H1) |xhat - p| <= eta d in the band", np.array(errors) <= 1 + 1e-9, on=on, value="in units of eta d")
    check.hypothesis("(H2) the schedule is admissible", admissible, on=on)
    check.hypothesis("(H3) the projection is unique at the start", np.array(gaps) > 0, on=on)
    cause = "rounding: 64 eps (t + 1) |x| / (smallest allowed distance): rounding of every step at the scale of its distance"
    for part, values in sides.items():
        ratio, tol = (np.concatenate([v[i] for v in values]) for i in (0, 1))
        more = f", {rows} trajectories, {exits} exits, {dropped} starts not measurable" if part == "band" else ""
        check.holds(ratio, 1.0, tol=tol, cause=cause, on=f"{part}, {on}{more}")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_small_distances(check, strategy):
    """All pairs (eta, nu) and N, down to distances of 1e-30: the nearest atom is the origin, so that x_t and its distance
    have the same relative rounding, and the other atoms are far."""
    rng = np.random.default_rng(424)
    law = PointCloud(np.concatenate([np.zeros((1, 6)), 1e4 * np.eye(6)]))
    sides = {"band": [], "upper product": [], "lower product": []}
    for N in STEPS:
        eta, nu = (v.ravel() for v in np.meshgrid(ETAS, NUS))
        x = rng.standard_normal((len(eta), 6))
        beta = np.broadcast_to(bound.beta_star(eta, nu, N), (N, len(eta))).copy()
        measured = run(law, x, eta, nu, beta, strategy, seed=N)
        tol = 64 * EPS * np.arange(1, N + 2)[:, None]
        for part, (ratio, allowance) in conclusions(law, measured, eta, nu, beta, tol).items():
            # a step multiplies the relative rounding by at most (1 + beta (1 + eta)) / (1 - beta (1 + eta))
            growth = np.prod((1 + beta * (1 + eta)) / (1 - beta * (1 + eta)), axis=0)
            sides[part].append((ratio.ravel(), np.broadcast_to(allowance * np.minimum(growth, 1e3), ratio.shape).ravel()))
    cause = "rounding: 64 eps (t + 1) times the amplification of a relative rounding by the remaining steps, at most 1e3"
    for part, values in sides.items():
        ratio, tol = (np.concatenate([v[i] for v in values]) for i in (0, 1))
        check.holds(ratio, 1.0, tol=tol, cause=cause, on=f"{part}, adversary {strategy}, nearest atom at the origin")


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
    cause = "rounding: 8 N eps: rounding of N factors"
    check.holds(np.array(worst_band) / allowed, 1.0, tol=tol, cause=cause, on="band, 1,024 sign patterns x 100 schedules")
    check.tight(np.array(worst_band) / allowed, 1.0, tol=tol, cause=cause, on="band edge, non-constant schedules")
    check.tight(np.array(worst_high), 1.0, tol=tol, cause=cause, on="upper product over all sign patterns")
    check.tight(np.array(worst_low), 1.0, tol=tol, cause=cause, on="lower product over all sign patterns")


def test_edges_and_products_attained(check, closed_sets):
    law = closed_sets["200 points in R^50"]
    rng = np.random.default_rng(422)
    x = start(law, rng, 20)
    cause = "rounding: 1e-9, above the rounding 64 eps (N + 1) |x| / d of every instance"
    for N, eta, nu in ((5, 0.2, 2.0), (20, 0.1, 1.5), (40, 0.4, 3.0)):
        eta_, nu_ = np.full(len(x), eta), np.full(len(x), nu)
        beta = np.full((N, len(x)), bound.beta_star(eta, nu, N))
        tol = 1e-9
        assert np.max(rounding(law, x, beta, eta)) < tol
        on = f"N = {N}, eta = {eta}, nu = {nu}"
        d, sigma, _ = run(law, x, eta_, nu_, beta, "over")
        low, high = bound.ddim_distance_sandwich(d[0], beta, eta)
        check.tight(math.sqrt(law.dim) * sigma[-1] / d[-1] / nu, 1.0, tol=tol, cause=cause, on=f"band edge, overshoot, {on}")
        check.tight(d[1:] / low, 1.0, tol=tol, cause=cause, on=f"lower product, overshoot, {on}")
        d, sigma, _ = run(law, x, eta_, nu_, beta, "under")
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
        d, sigma, _ = run(law, x, eta_, nu_, beta, "under", start_ratio=r)
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
        d, sigma, _ = run(law, x, eta_, nu_, beta, strategy, **options)
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
    """On the bisector of two atoms the ideal denoiser goes to neither: its error is eta_t -> 1, and the distance stalls.

    It is (H1) that fails there, not uniqueness as such: with the exact projection (either atom) the conclusion holds.
    """
    pair = PointCloud(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    x = np.array([[0.0, 50.0]])
    sigma_max = float(pair.distance(x)[0]) / math.sqrt(2)
    grid = schedules.log_linear(60, sigma_max=sigma_max, sigma_min=1e-4)
    x0 = samplers.final(samplers.ddim(pair, grid, x))
    check.control(
        "(H1): the ideal denoiser from a bisector", pair.distance(x0), 3.0 * math.sqrt(2) * 1e-4, on="two atoms, nu = 3"
    )
    exact = Denoiser(lambda z, sigma: pair.project(z), 2)
    x0 = samplers.final(samplers.ddim(exact, grid, x))
    check.equal(
        pair.distance(x0) / (math.sqrt(2) * 1e-4),
        1.0,
        tol=64 * EPS * 60 * 50 / 1e-4,
        cause="rounding: 64 eps N |x| / d: rounding of every step",
        on="exact projection from a bisector",
    )
