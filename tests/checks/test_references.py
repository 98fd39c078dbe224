"""Closed forms against 50 digits (references/generate_forms.py), each with its own conditioning.

The limit of a value is ``ROUNDINGS * eps * (|value| + sensitivity)``: the operations that matter each add one rounding
of its result or of its inputs. Below, second algorithms for what is no formula.
"""

import importlib
import importlib.util
import itertools
import json
import types
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud, Sphere, Torus, distances, schedules
from exactdiffusion.papers import conditional_mean
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.papers.log_concavity.walk_jump import (
    ULA,
    Underdamped,
    all_at_once,
    gaussian_one_at_a_time,
    one_at_a_time,
)
from exactdiffusion.papers.projection import adversaries
from exactdiffusion.papers.proximal import budgets
from exactdiffusion.statements import projection
from exactdiffusion.statements import proximal as bound

EPS = float(np.finfo(float).eps)
FOLDER = Path(__file__).resolve().parents[1] / "references"
ENTRIES = json.loads((FOLDER / "forms.json").read_text(encoding="utf-8"))
NAMES = list(dict.fromkeys(entry["name"] for entry in ENTRIES))
ROUNDINGS = 4


def resolve(name):
    """The object of a dotted public name without the package."""
    value = importlib.import_module("exactdiffusion")
    for part in name.split("."):
        if isinstance(value, types.ModuleType) and not hasattr(value, part):
            importlib.import_module(f"{value.__name__}.{part}")
        value = getattr(value, part)
    return value


def rows(value):
    return np.array([value])


def mixture(a):
    return GaussianMixture(a.pop("weights"), a.pop("means"), a.pop("covariances"))


def levels(grid):
    return [grid.scale, grid.sigma]


def of_grid(name):
    def call(scale, sigma):
        value = getattr(schedules.Grid(scale, sigma), name.rpartition(".")[2])
        return levels(value()) if callable(value) else value

    return call


def of_law(function):
    """A mixture, then arguments of which vectors are single rows (joint measurements: one row of several)."""

    def call(**a):
        law = mixture(a)
        return function(law, **{k: rows(v) if isinstance(v, list) else v for k, v in a.items()})

    return call


def of_noised(name):
    def call(scale, sigma, x=None, **a):
        law = resolve(name.partition(".noised")[0])(**a, **({"dim": len(a["center"])} if "center" in a else {}))
        value = getattr(law.noised(scale, sigma), name.rpartition(".")[2])
        return value if x is None else value(rows(x))

    return call


def parts(law):
    return [law.weights, law.means, law.covariances]


def kernel(**a):
    found = of_law(conditional_mean.reverse_kernel)(**a)
    return [found.weights[0], found.means[0], found.covariances]


def normalised(power, **a):
    return parts(conditional_mean.normalised(mixture(a), power))[1:]


def as_estimate(function):
    def call(estimate, truth):
        found = function(estimate, truth)
        return [found.value, found.standard_error]

    return call


def walk(k, unit, step):
    A, Q = ULA(1, step).linear(k, unit)
    return [A[0, 0], Q[0, 0]]


CALLS = {
    "laws.GaussianMixture.mean": lambda **a: mixture(a).mean,
    "laws.GaussianMixture.covariance": lambda **a: mixture(a).covariance,
    "laws.PointCloud.mean": lambda **a: PointCloud(**a).mean,
    "laws.PointCloud.covariance": lambda **a: PointCloud(**a).covariance,
    "papers.log_concavity.certificates.largest_posterior_variance": lambda points, weights, y, sigma2: resolve(
        "papers.log_concavity.certificates.largest_posterior_variance"
    )(PointCloud(points, weights), rows(y), sigma2),
    "papers.conditional_mean.reverse_kernel": kernel,
    "papers.conditional_mean.normalised": normalised,
    "papers.log_concavity.measurements.posterior_mixture": lambda **a: parts(
        of_law(resolve("papers.log_concavity.measurements.posterior_mixture"))(**a)
    ),
    "papers.log_concavity.measurements.predictive_mixture": lambda **a: parts(
        of_law(resolve("papers.log_concavity.measurements.predictive_mixture"))(**a)
    ),
    "laws.GaussianMixture.prox": lambda x, lam, **a: GaussianMixture(**a).prox(rows(x), lam),
    "distances.mse": as_estimate(distances.mse),
    "papers.log_concavity.walk_jump.ULA.linear": walk,
}


def call(name, arguments):
    """What the library gives for a case, flattened."""
    function = CALLS.get(name)
    arguments = dict(arguments)
    if function is None:
        if name.startswith("schedules.Grid."):
            function = of_grid(name)
        elif ".noised." in name:
            function = of_noised(name)
        elif name.startswith("laws.GaussianMixture."):
            function = of_law(lambda law, x: getattr(law, name.rpartition(".")[2])(x))
        elif "covariances" in arguments:
            function = of_law(resolve(name))
        else:
            function = resolve(name)
            arguments = {k: np.array(v) if isinstance(v, list) else v for k, v in arguments.items()}
    value = function(**arguments)
    if isinstance(value, schedules.Grid):
        value = levels(value)
    value = value if isinstance(value, (list, tuple)) else [value]
    return np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in value])


@pytest.mark.parametrize("name", NAMES)
def test_forms_against_50_digits(name, accuracy):
    for entry in ENTRIES:
        if entry["name"] == name:
            value = np.array(entry["value"])
            got = call(name, entry["arguments"])
            assert got.shape == value.shape
            size = np.abs(value) + np.array(entry["sensitivity"])
            if ".noised." in name:  # put together in a frame of the set, where the entries share one scale
                size = size.max()
            accuracy(name, np.abs(got - value), ROUNDINGS * EPS * size)


@pytest.mark.deep
def test_forms_recomputed():
    """The committed file follows from its generator: every case, digit by digit (30 s)."""
    spec = importlib.util.spec_from_file_location("generate_forms", FOLDER / "generate_forms.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert [(e["name"], e["arguments"]) for e in ENTRIES] == generator.CASES
    with generator.mp.workdps(generator.DIGITS):
        for entry in ENTRIES:
            again = generator.evaluate(entry["name"], entry["arguments"])
            assert again["value"] == entry["value"], entry["name"]
            assert again["sensitivity"] == entry["sensitivity"], entry["name"]


# ---------------------------------------------------------------------------------------------------- second algorithms


@pytest.mark.parametrize("law", [Sphere(1.5, 5, 3, block=[4, 0, 2], center=np.arange(5) / 3), Torus([1.0, 0.6], 5)])
def test_moments_of_sets_by_cubature(law, accuracy):
    """Vertices of cross-polytopes integrate degree 3 on a sphere exactly; on a product of circles their products do."""
    if isinstance(law, Sphere):
        points = np.zeros((2 * law.sphere_dim, law.dim))
        for i, j in enumerate(law.block):
            points[2 * i, j], points[2 * i + 1, j] = law.radius, -law.radius
    else:
        corners = np.array(list(itertools.product(*[[[1, 0], [0, 1], [-1, 0], [0, -1]]] * len(law.radii))), dtype=float)
        points = np.zeros((len(corners), law.dim))
        points[:, : 2 * len(law.radii)] = (corners * law.radii[:, np.newaxis]).reshape(len(corners), -1)
    name = f"laws.{type(law).__name__}"
    accuracy(f"{name}.mean", np.abs(law.mean - law.center - points.mean(axis=0)), 8 * EPS, "cubature of degree 3")
    exact = points.T @ points / len(points)
    accuracy(f"{name}.covariance", np.abs(law.covariance - exact), 8 * EPS * exact.max(), "cubature of degree 3")


class Impulses:
    """Every coordinate of every step is 1 in one row of its own: a linear run shows its response to each draw."""

    def __init__(self):
        self.seen = 0

    def normal(self, step, n, d, start=0, like=None):
        z = np.zeros((n, d))
        rows = np.arange(self.seen, min(self.seen + d, n))
        z[rows, rows - self.seen] = 1.0
        self.seen += d
        return z


@pytest.mark.parametrize("walk", [ULA(3, 0.2), Underdamped(4, 0.6, 0.5)], ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("start", ["jump", "previous"])
def test_chain_on_a_gaussian_by_impulses(walk, start, accuracy):
    """The sum of squared responses of the sampler to every draw is its output variance, to the rounding of the runs."""
    m, sigma, variance = 4, 1.1, 2.0
    law = GaussianMixture(None, np.zeros((1, 1)), variance)
    draws = m * (1 + walk.steps + isinstance(walk, Underdamped))
    noise = Impulses()
    state = list(one_at_a_time(law, m, sigma, draws, noise=noise, walk=walk, start=start))[-1]
    found = float(np.sum(state.xhat**2))
    assert draws - m < noise.seen <= draws
    exact = gaussian_one_at_a_time([variance], m, sigma, walk, start).output[0]
    for name in ("gaussian_one_at_a_time", "one_at_a_time"):
        accuracy(
            f"papers.log_concavity.walk_jump.{name}", abs(found - exact), 4 * draws * EPS * exact, "responses to unit draws"
        )


@pytest.mark.parametrize("walk", [ULA(5, 0.2), Underdamped(5, 0.6, 0.5)], ids=lambda w: type(w).__name__)
def test_all_at_once_on_a_gaussian_by_impulses(walk, accuracy):
    """Only the mean of the measurements reaches the jump; along it the walk has precision 1 / (sigma^2 + m tau^2)."""
    m, sigma, variance = 3, 1.1, 2.0
    law = GaussianMixture(None, np.zeros((1, 1)), variance)
    draws = m * (1 + walk.steps + isinstance(walk, Underdamped))
    out = all_at_once(law, m, sigma, draws, noise=Impulses(), walk=walk)
    A, Q = walk.linear(1 / (sigma**2 + m * variance), sigma**2)
    C = np.diag([sigma**2, sigma**2 * isinstance(walk, Underdamped)])
    for _ in range(walk.steps):
        C = A @ C @ A.T + Q
    exact = (variance / (variance + sigma**2 / m)) ** 2 * C[0, 0] / m
    error = abs(float(np.sum(out.xhat**2)) - exact)
    accuracy("papers.log_concavity.walk_jump.all_at_once", error, 4 * draws * EPS * exact, "responses to unit draws")


def gaussian_step(S, integral, s):
    """Variance of the noised N(0, S) at the time ``s`` before the level with that integral, in mpmath."""
    return 1 + (mp.mpf(S) - 1) * mp.exp(-(mp.mpf(integral) - s))


def fields(kind, S, integral, g, s):
    """E (J e)^2 on N(0, S) inside a step: the definitions, where everything is linear in x and z."""
    v, end, start = (gaussian_step(S, integral, t) for t in (s, mp.mpf(g), mp.mpf(0)))
    spread = mp.sqrt(1 - mp.exp(-s))
    if kind == "euler_maruyama":
        # e = (x - y)/2 - x / v + y / v_start, y = e^{-s/2} x + spread z
        x = (1 - mp.exp(-s / 2)) / 2 - 1 / v + mp.exp(-s / 2) / start
        z = spread * (1 / start - mp.mpf(1) / 2)
        return x**2 * v + z**2
    J = 1 + s / end - (s / 2 if kind == "proximal_backward" else 0)
    x = (J - 1) / 2 - (J - 1) ** 2 / J / v / 2 - 1 / v + 1 / end
    if kind == "proximal_backward":
        return x**2 * v
    x += (1 - mp.exp(-s / 2)) / 2
    z = -spread / 2 - (J - 1 / J) * mp.exp(-s / 2) / spread / 2
    return x**2 * v + z**2


@pytest.mark.parametrize("S", [0.4, 3.0])
def test_budgets_of_a_gaussian(S, accuracy):
    """Integrands that are polynomials in x and z, by adaptive quadrature over s in 30 digits."""
    law, grid = GaussianMixture([1.0], [[0.0]], S), schedules.vp_linear(3, beta_min=1.5, beta_max=1.5)
    with mp.workdps(30):
        exact = {
            kind: float(mp.fsum(mp.quad(lambda s, i=i, kind=kind: fields(kind, S, grid.integral[i], grid.g[i], s) / 2,
                                        [0, mp.mpf(float(grid.g[i]))]) for i in range(grid.N)))
            for kind in ("proximal_backward", "proximal_hybrid", "euler_maruyama")
        }  # fmt: skip
        shift = mp.mpf(bound.TRAJECTORY_SHIFT["euler_maruyama"])
        curvature = float(mp.quad(lambda t: (shift - 1 / (1 + (S - 1) * mp.exp(-t))) ** 2, [0, 1, 3]))
    by = "quadrature of the linear fields, 30 digits"
    # 16 Gauss-Legendre nodes a step (the 6 of the default leave 1e-8 where J^-1 turns quickly); rounding of sums over x
    found = budgets.budget(law, grid, order=16).total
    accuracy("papers.proximal.budgets.budget", abs(found / exact["proximal_backward"] - 1), 1e-13, by)
    for scheme in ("proximal_hybrid", "euler_maruyama"):
        found = budgets.conditional_budget(law, grid, scheme, order=16).total
        accuracy("papers.proximal.budgets.conditional_budget", abs(found / exact[scheme] - 1), 1e-13, by)
    found = budgets.curvature_integral(law, 3.0, float(shift))
    accuracy("papers.proximal.budgets.curvature_integral", abs(found / curvature - 1), 1e-13, by)
    for scheme in ("proximal_hybrid", "euler_maruyama"):
        found = budgets.posterior_budget(law, grid, scheme, order=12).total
        exact_posterior = posterior_by_moments(S, grid, scheme)
        # the log densities are parabolas, which the spline between the nodes keeps
        accuracy("papers.proximal.budgets.posterior_budget", abs(found / exact_posterior - 1), 1e-12, by)


def posterior_by_moments(S, grid, scheme):
    """Budget of the marginals on N(0, S): the conditional mean of the drift is a regression on x."""
    with mp.workdps(30):
        V = gaussian_step(S, grid.integral[0], mp.mpf(0))  # of the sampler's state
        total = mp.mpf(0)
        for i in range(grid.N):
            g, integral = mp.mpf(float(grid.g[i])), grid.integral[i]
            start, end = gaussian_step(S, integral, mp.mpf(0)), gaussian_step(S, integral, g)

            def step(s, V=V, start=start, end=end, integral=integral):
                """(E (J e)^2 under the true law, variance of the sampler's interpolation)."""
                v = gaussian_step(S, integral, s)
                if scheme == "euler_maruyama":
                    gain = mp.mpf(1) / 2 - 1 / start  # X = (1 + s gain) Y + sqrt(s) Z
                    W = (1 + s * gain) ** 2 * V + s
                    slope = gain * (1 + s * gain) * V / W
                    return ((mp.mpf(1) / 2 - 1 / v) - slope) ** 2 * v / 2, W
                J = 1 + s / end  # J X = (1 + s/2) Y + sqrt(s) Z
                W = ((1 + s / 2) ** 2 * V + s) / J**2
                # Fokker-Planck of the marginal: W' = 2 b W + J^-2 gives the linear drift b X
                derivative = mp.diff(lambda u: ((1 + u / 2) ** 2 * V + u) / (1 + u / end) ** 2, s)
                b = (derivative - J**-2) / (2 * W)
                e = (mp.mpf(1) / 2 - 1 / v) - b + (1 - J**-2) / v / 2
                return (J * e) ** 2 * v / 2, W

            total += mp.quad(lambda s, step=step: step(s)[0], [0, g])
            V = step(g)[1]
        return float(total)


def test_admissibility_in_exact_arithmetic(accuracy):
    """Definition 4.1 in 60 digits against the single condition, on both sides of the boundary."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        beta, eta = rng.uniform(0, 0.4, rng.integers(1, 6)), float(rng.uniform(0.01, 0.99))
        nu = float(
            rng.uniform(1, 2)
            if rng.random() < 0.5
            else np.exp(rng.uniform(-0.1, 0.1)) * projection.smallest_admissible_nu(beta, eta)
        )
        with mp.workdps(60):
            exact = projection.admissible_by_definition([mp.mpf(b) for b in beta], mp.mpf(eta), mp.mpf(max(nu, 1.0)))
        wrong += exact != projection.is_admissible(beta, eta, max(nu, 1.0))
    for name in ("is_admissible", "admissible_by_definition"):
        accuracy(f"statements.projection.{name}", wrong, 0.0, "the definition for every t in 60 digits against one sum")


def test_masks_by_their_definition(accuracy):
    rng = np.random.default_rng(1)
    d, sigma, nu = rng.uniform(0.1, 3, 300), rng.uniform(0.1, 3, 300), 1.7
    inside = [d_ / nu <= 2 * s <= nu * d_ for d_, s in zip(d, sigma)]
    wrong = np.sum(projection.band_ok(d, sigma, 4, nu) != inside)
    accuracy("statements.projection.band_ok", wrong, 0.0, "the two inequalities, row by row")
    points = rng.integers(0, 3, (40, 2)).astype(float)
    x = rng.integers(0, 5, (200, 2)) / 2
    cloud = PointCloud(np.unique(points, axis=0))
    squares = np.sort(np.sum((x[:, None] - cloud.points) ** 2, axis=2), axis=1)  # exact: halves of small integers
    found = projection.projection_is_unique(cloud.gap(x), cloud.distance(x))
    wrong = np.sum(found != (squares[:, 1] > squares[:, 0]))
    accuracy("statements.projection.projection_is_unique", wrong, 0.0, "exact squares")


@pytest.mark.parametrize("strategy", sorted(adversaries.STRATEGIES))
def test_adversary_errs_by_what_it_may(strategy, accuracy):
    """Inside the band the error is at most eta d, and exactly that where the direction is a unit vector."""
    law, eta = Torus([1.0, 0.6], 5), 0.3
    x = 1.5 * np.random.default_rng(2).standard_normal((200, 5))
    found = adversaries.ApproximateProjection(law, eta, strategy=strategy).noised(1.0, 0.5).denoise(x)
    share = np.linalg.norm(found - law.project(x), axis=1) / (eta * law.distance(x))
    low = 0.0 if strategy == "random" else 1.0
    error = np.maximum(share - 1, low - share)
    accuracy(
        "papers.projection.adversaries.ApproximateProjection.noised.denoise",
        np.maximum(error, 0),
        64 * EPS / eta,
        "definition",
    )


def test_excess_over_the_conditional_mean(accuracy):
    law = mixture(example())
    y = np.random.default_rng(3).standard_normal((50, 2))
    estimate = 0.5 * y
    exact = np.mean(np.sum((estimate - conditional_mean.cme(law, y, 0.7)) ** 2, axis=1))
    exact /= np.mean(np.trace(law.noised(1.0, 0.7).posterior_covariance(y), axis1=1, axis2=2))
    error = abs(float(conditional_mean.excess(law, estimate, y, 0.7)) / exact - 1)
    accuracy("papers.conditional_mean.excess", error, 64 * EPS, "its two means")


def test_predictive_draws_are_posterior_draws_and_noise(accuracy):
    """The first d + 1 numbers of a row make the draw of X, the last d the noise of the next measurement."""

    class Given:
        def __init__(self, z):
            self.z = z

        def normal(self, step, n, d, start=0, like=None):
            return self.z[start : start + n, :d]

    law, sigma = mixture(example()), 0.8
    rng = np.random.default_rng(4)
    total, z = rng.standard_normal((30, 2)), rng.standard_normal((30, 5))
    x = measurements.posterior_sample(law, total, 3, sigma, Given(z[:, :3]))
    found = measurements.predictive_sample(law, total, 3, sigma, Given(z))
    error = np.abs(found - (x + sigma * z[:, 3:]))
    accuracy(
        "papers.log_concavity.measurements.predictive_sample",
        error,
        8 * EPS * np.abs(found).max(),
        "posterior draw plus noise",
    )


def example():
    """Arguments of a mixture in the plane."""
    return dict(next(e["arguments"] for e in ENTRIES if e["name"] == "laws.GaussianMixture.mean"))


def test_local_prox_is_stationary(accuracy):
    """Where u - x = lam score(u): both sides with the oracle, to the curvature 1 + lam |Hessian| times rounding."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((40, 2))
    for law in (mixture(example()), PointCloud(rng.standard_normal((9, 2)))):
        level = law.noised(0.9, 0.6)
        for lam in (0.1, 1.5):
            u = level.prox_local(x, lam)
            size = 1 + np.abs(x).max() + lam * np.abs(level.hessian(u)).max() * (1 + np.abs(u).max())
            error = np.abs(u - x - lam * level.score(u))
            accuracy(f"laws.{type(law).__name__}.noised.prox_local", error, 64 * EPS * size, "stationarity with the score")


def test_prox_of_a_mixture_is_stationary(accuracy):
    law, x = mixture(example()), np.random.default_rng(6).standard_normal((40, 2))
    u = law.prox(x, 0.4)
    size = 1 + np.abs(x).max() + 0.4 * np.abs(law.hessian(u)).max() * (1 + np.abs(u).max())
    accuracy("laws.GaussianMixture.prox", np.abs(u - x - 0.4 * law.score(u)), 64 * EPS * size, "stationarity with the score")
