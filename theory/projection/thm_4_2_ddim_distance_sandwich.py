r"""Theorem 4.2 of Permenter & Yuan: DDIM with an approximate projection.

Let K be closed in R^n, d(x) the distance of x to K and p(x) a nearest point of K, x_N, ..., x_0 the states of DDIM, xhat its
denoiser and sigma_{t-1} = (1 - beta_t) sigma_t its noise levels. Suppose that

    (H1)  the denoiser is an (eta, nu)-approximate projection at the visited states: |xhat(x_t) - p(x_t)| <= eta d(x_t)
          whenever d(x_t) / nu <= sqrt(n) sigma_t <= nu d(x_t),
    (H2)  the schedule is (eta, nu)-admissible (Definition 4.1),
    (H3)  the projection p(x_t) of every state is unique,
    (H4)  d(x_N) = sqrt(n) sigma_N.

Then for all t

    d(x_t) / nu  <=  sqrt(n) sigma_t  <=  nu d(x_t)                                                (band)

    d(x_N) prod_{i=t}^N (1 - beta_i (1 + eta))  <=  d(x_{t-1})  <=  d(x_N) prod_{i=t}^N (1 + beta_i (eta - 1))    (products)

Both products are attained, and so is the edge sqrt(n) sigma_0 = nu d(x_0) of the band.

Source: Theorem 4.2. The conclusions were seen on the authors' slide 18 and poster, the hypotheses on their blog; (H1) is
asked for at the visited states alone, which is all that the proof uses.

Measured on six closed sets, with eight adversaries that choose the error of the denoiser inside the band and return
garbage outside it (`exactdiffusion.papers.projection.trials`).
"""

import itertools
import math
import operator
from fractions import Fraction

import numpy as np
import pytest

from exactdiffusion import Denoiser, PointCloud, samplers, schedules
from exactdiffusion.papers.projection.adversaries import STRATEGIES
from exactdiffusion.papers.projection.trials import EPS, points_near, rounding, run_trial
from exactdiffusion.statements import projection as bound

STATEMENT = bound.ddim_distance_sandwich.statement
SETS = (
    "200 points in R^50",
    "ring of 8 in the plane",
    "digits",
    "sphere S^3 in R^20",
    "subspace of R^12",
    "torus T^4 in R^30",
)
STEPS = (1, 3, 10, 40)
ETAS = np.array([0.02, 0.1, 0.5, 0.9, 0.99])
NUS = np.array([1.05, 1.5, 3.0])


def largest_steps(eta, nu, N):
    """The constant schedule beta_* of Theorem 4.3, (N, n): the largest admissible steps, one column a trajectory."""
    return np.broadcast_to(bound.beta_star(eta, nu, N), (N, len(eta)))


def add_conclusions(sides, trial, tolerance):
    """The three inequalities of the theorem, each divided by its larger side."""
    lower, upper = trial.products
    sides("band", trial.band / trial.nu, 1.0, tol=tolerance)
    sides("upper product", trial.distance[1:] / upper, 1.0, tol=tolerance[1:])
    sides("lower product", lower / trial.distance[1:], 1.0, tol=tolerance[1:])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_band_and_products(check, closed_sets, strategy, deep):
    """5,000 random trajectories (50,000 with --deep), each with its own eta, nu and start."""
    wanted = (50_000 if deep else 5_000) / len(STRATEGIES)
    per_batch = math.ceil(1.25 * wanted / (len(SETS) * len(STEPS)))
    rng = np.random.default_rng([42, sorted(STRATEGIES).index(strategy)])
    trials, unique = [], []

    on = f"adversary {strategy}"
    cause = "rounding: 64 eps (t + 1) |x| / (smallest allowed distance): rounding of every step at the scale of its distance"
    with check.gather(on=on, cause=cause) as sides:
        for name, N in itertools.product(SETS, STEPS):
            law = closed_sets[name]
            x = points_near(law, rng, per_batch)
            pairs = rng.integers(0, [len(ETAS), len(NUS)], (per_batch, 2))
            eta, nu = ETAS[pairs[:, 0]], NUS[pairs[:, 1]]
            beta = largest_steps(eta, nu, N)

            # a last distance below 1e-6 |x| cannot be measured in float64: test_small_distances has those pairs
            seen = rounding(law, x, beta, eta)[-1] < 64 * EPS * (N + 1) * 1e6
            trial = run_trial(law, x[seen], eta[seen], nu[seen], beta[:, seen], strategy, seed=N)

            add_conclusions(sides, trial, trial.tolerance)
            trials.append(trial)
            if hasattr(law, "gap"):
                unique.append(np.min(law.gap(x[seen])) > 0)

    # the hypotheses on the same trajectories; d and |xhat - p| are measured on x, hence the 1e-9
    count, exits = sum(len(t.eta) for t in trials), sum(t.exits for t in trials)
    lost = per_batch * len(trials) - count
    assert count >= wanted, (count, wanted)
    value = f"in units of eta d; {count} trajectories, {exits} exits, {lost} starts not measurable"
    errors = np.array([t.worst_error for t in trials])
    admissible = [bound.is_admissible(*row) for t in trials for row in zip(t.beta.T, t.eta, t.nu)]
    check.hypothesis("(H1) |xhat - p| <= eta d in the band", errors <= 1 + 1e-9, on=on, value=value)
    check.hypothesis("(H2) the schedule is admissible", admissible, on=on)
    check.hypothesis("(H3) the projection is unique at the start", unique, on=on)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_small_distances(check, strategy):
    """Distances down to 1e-30: the nearest atom is the origin, so x_t and its distance have the same relative rounding."""
    law = PointCloud(np.concatenate([np.zeros((1, 6)), 1e4 * np.eye(6)]))
    rng = np.random.default_rng(424)
    eta, nu = (v.ravel() for v in np.meshgrid(ETAS, NUS))

    cause = "rounding: 64 eps (t + 1) times the amplification of a relative rounding by the remaining steps, at most 1e3"
    with check.gather(on=f"adversary {strategy}, nearest atom at the origin", cause=cause) as sides:
        for N in STEPS:
            beta = largest_steps(eta, nu, N)
            trial = run_trial(law, rng.standard_normal((len(eta), 6)), eta, nu, beta, strategy, seed=N)
            growth = np.prod((1 + beta * (1 + eta)) / (1 - beta * (1 + eta)), axis=0)
            add_conclusions(sides, trial, 64 * EPS * np.arange(1, N + 2)[:, None] * np.minimum(growth, 1e3))


def test_products_in_exact_fractions(check):
    """The two products against rational arithmetic: with multiples of 1/64 only the running products round."""
    rng = np.random.default_rng(425)
    for N, eta, start in ((1, 0.5, Fraction(5, 4)), (8, 13 / 64, Fraction(3)), (30, 3 / 64, Fraction(77))):
        beta = rng.integers(1, 24, N) / 64
        found = bound.ddim_distance_sandwich(float(start), beta, eta)
        e, steps = Fraction(eta), [Fraction(b) for b in beta]
        factors = [1 - b * (1 + e) for b in steps], [1 + b * (e - 1) for b in steps]

        for name, value, factor in zip(("lower", "upper"), found, factors):
            exact = np.array([float(start * product) for product in itertools.accumulate(factor, operator.mul)])
            tol, cause = (N + 1) * EPS * exact, "rounding: (N + 1) eps: one rounding per factor"
            check.equal(value, exact, tol=tol, cause=cause, on=f"{name} product, fractions, N = {N}, eta = {eta}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_every_sign_pattern_in_one_dimension(check):
    """On a line the adversary only chooses signs: all 2^10 of them, on random schedules that spend the whole budget."""
    N = 10
    rng = np.random.default_rng(421)
    signs = 1 - 2 * ((np.arange(2**N)[:, None] >> np.arange(N)) & 1)
    band, upper, lower = [], [], []
    for _ in range(100):
        # a schedule on the boundary of the admissible ones: sum -log(1 - eta rho_i) = log(nu)
        eta, nu = rng.uniform(0.02, 0.9), rng.uniform(1.05, 4)
        budget = rng.random(N)
        budget *= math.log(nu) / budget.sum()
        rho = -np.expm1(-budget) / eta
        beta = rho / (1 + rho)

        # one row for every sequence of under- and overshoots
        distance = np.cumprod(1 + beta * (eta * signs - 1), axis=1)
        sigma = np.cumprod(1 - beta)
        low, high = bound.ddim_distance_sandwich(1.0, beta, eta)
        band.append(np.max(np.maximum(distance / sigma, sigma / distance)) / nu)
        upper.append(np.max(distance / high))
        lower.append(np.max(low / distance))

    rounded = {"tol": 8 * N * EPS, "cause": "rounding: 8 N eps: rounding of N factors"}
    check.holds(band, 1.0, on="band, 1,024 sign patterns x 100 schedules", **rounded)
    check.tight(band, 1.0, on="band edge, non-constant schedules", **rounded)
    check.tight(upper, 1.0, on="upper product over all sign patterns", **rounded)
    check.tight(lower, 1.0, on="lower product over all sign patterns", **rounded)


def test_edges_and_products_attained(check, closed_sets):
    """A constant overshoot attains the lower product and an edge of the band, an undershoot the upper product."""
    law = closed_sets["200 points in R^50"]
    x = points_near(law, np.random.default_rng(422), 20)
    rounded = {"tol": 1e-9, "cause": "rounding: 1e-9, above the rounding 64 eps (N + 1) |x| / d of every instance"}
    for N, eta, nu in ((5, 0.2, 2.0), (20, 0.1, 1.5), (40, 0.4, 3.0)):
        on = f"N = {N}, eta = {eta}, nu = {nu}"
        beta = np.full((N, 1), bound.beta_star(eta, nu, N))

        over = run_trial(law, x, eta, nu, beta, "over")
        assert np.max(over.tolerance) < rounded["tol"]
        check.tight(1 / over.ratio[-1] / nu, 1.0, on=f"band edge, overshoot, {on}", **rounded)
        check.tight(over.distance[1:] / over.products[0], 1.0, on=f"lower product, overshoot, {on}", **rounded)

        under = run_trial(law, x, eta, nu, beta, "under")
        check.tight(under.distance[1:] / under.products[1], 1.0, on=f"upper product, undershoot, {on}", **rounded)

        # the other edge is a supremum over N: (2 - nu^(-1/N))^N exactly, for the constant step
        expected = (2 - nu ** (-1 / N)) ** N / nu
        edge = f"other band edge, undershoot: (2 - nu^(-1/N))^N / nu, {on}"
        check.tight(under.ratio[-1] / nu, expected, on=edge, **rounded)

        # ... and it is attained from a start that is 1.2 times too far, with the steps corrected for that start
        beta = np.full((N, 1), bound.beta_star(eta, nu, N, start_ratio=1.2))
        far = run_trial(law, x, eta, nu, beta, "under", start_ratio=1.2)
        edge = f"other band edge, undershoot, start ratio 1.2, {on}"
        check.tight(far.ratio[-1] / nu, 1.0, on=edge, **rounded)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, closed_sets):
    """(H1), (H2) and (H4) dropped in turn: the same inequality fails."""
    law, N, eta, nu = closed_sets["200 points in R^50"], 10, 0.2, 1.5
    x = points_near(law, np.random.default_rng(423), 50)
    star = np.full((N, 1), bound.beta_star(eta, nu, N))

    def trial(beta=star, strategy="over", **changed):
        return run_trial(law, x, eta, nu, beta, strategy, **changed)

    # (H1) the denoiser is worse than it is said to be
    for factor in (1.05, 1.2):
        dropped = f"true eta ({factor} times the assumed one)"
        under = trial(strategy="under", true_eta=factor * eta, garbage=False)
        check.control(dropped, under.distance[1:], under.products[1], tol=1e-9, on="upper product, undershoot")
        over = trial(true_eta=factor * eta, garbage=False)
        check.control(dropped, over.products[0], over.distance[1:], tol=1e-9, on="lower product, overshoot")

    # (H2) the schedule is not admissible: its steps are too large, or there are too many of them
    for factor in (1.05, 1.5):
        dropped = f"admissible schedule (beta = {factor} beta_*)"
        large = trial(factor * star)
        check.control(dropped, large.band.max(axis=0), nu, tol=1e-9, on="band, overshoot")
    check.control(dropped, large.distance[1:], large.products[1], tol=1e-9, on="upper product, overshoot then garbage")
    twice = trial(np.tile(star, (2, 1))).band.max(axis=0)
    check.control("the schedule's N (beta_* of N used for 2 N steps)", twice, nu, tol=1e-9, on="band, overshoot")

    # (H4) the start is not on the centre of the band
    for ratio, strategy in ((0.83, "over"), (1.2, "under")):
        off = trial(strategy=strategy, start_ratio=ratio).band.max(axis=0)
        check.control(f"(H4): start at d(x_N) = {ratio} sqrt(n) sigma_N", off, nu, tol=1e-9, on="band")


def test_bisector_control(check):
    """(H3) on the bisector of two atoms: the ideal denoiser goes to neither, eta_t -> 1, and the distance stalls.

    It is (H1) that fails there: with the exact projection (either atom) the conclusion holds.
    """
    pair, start = PointCloud([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 50.0]])
    sigma_max = float(pair.distance(start)[0]) / math.sqrt(2)

    # a step from sigma widens an offset by beta / sigma^2: below sigma = .1 rounding would decide which side is left
    grid = schedules.log_linear(60, sigma_max=sigma_max, sigma_min=0.1)
    ideal = pair.distance(samplers.final(samplers.ddim(pair, grid, start)))
    limit = 3.0 * math.sqrt(2) * 0.1
    check.control("(H1): the ideal denoiser from a bisector", ideal, limit, on="two atoms, nu = 3")

    sigma_min, projection = 1e-4, Denoiser(lambda x, sigma: pair.project(x), 2)
    grid = schedules.log_linear(60, sigma_max=sigma_max, sigma_min=sigma_min)
    exact = pair.distance(samplers.final(samplers.ddim(projection, grid, start))) / (math.sqrt(2) * sigma_min)
    tol, cause = 64 * EPS * 60 * 50 / sigma_min, "rounding: 64 eps N |x| / d: rounding of every step"
    check.equal(exact, 1.0, tol=tol, cause=cause, on="exact projection from a bisector")
