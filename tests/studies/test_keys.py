"""Keys and seeds: each thing that an answer depends on, changed alone in one process, changes the answer.

A cached answer is compared with one computed after the caches are emptied: where a key lacks a field, the first of two
arguments that differ in it alone answers for both.
"""

import dataclasses

import array_api_strict
import numpy as np
import pytest

from exactdiffusion import GaussianMixture, Noise, PointCloud, Sphere, Torus, datasets, distances, laws, samplers, schedules
from exactdiffusion._core import random
from exactdiffusion._core.arrays import to_numpy
from exactdiffusion._core.external import source_of
from exactdiffusion.laws import Subspace
from exactdiffusion.papers import conditional_mean
from exactdiffusion.papers.projection import adversaries
from exactdiffusion.prox.solver import EqualVariance
from exactdiffusion.schedules import Grid
from exactdiffusion.studies import metrics, objects, sweep

# ---------------------------------------------------------------------------------------------------- exact outputs


def _run(law, grid, name="euler_maruyama", start="gaussian", **parameters):
    return metrics.Run(law, name, True, parameters, grid, start, 0)


def _output(run):
    found = metrics.exact_output(run)
    return found and (found.rung, found.w2, found.kl)


GRID = schedules.vp_linear(6)
LEVELS = schedules.log_linear(6, sigma_max=5.0, sigma_min=0.1)


def _grid(grid, **change):
    return Grid(**{**{name: getattr(grid, name) for name in ("scale", "sigma", "time", "rate")}, **change})


ONE = dict(weights=[1.0], means=[[0.7]], covariances=0.3)
TWO = dict(weights=[0.4, 0.6], means=[[-1.0], [1.5]], covariances=0.3)
CHANGES = {
    "weights": (_run(GaussianMixture(**TWO), GRID), _run(GaussianMixture(**{**TWO, "weights": [0.6, 0.4]}), GRID)),
    "means": (_run(GaussianMixture(**ONE), GRID), _run(GaussianMixture(**{**ONE, "means": [[0.8]]}), GRID)),
    "covariance": (_run(GaussianMixture(**ONE), GRID), _run(GaussianMixture(**{**ONE, "covariances": 0.4}), GRID)),
    "kind of covariance": (
        _run(GaussianMixture([1.0], [[0.0, 0.0]], [[0.5, 2.0]]), GRID),
        _run(GaussianMixture([1.0], [[0.0, 0.0]], [[[0.5, 0.0], [0.0, 2.0]]]), GRID, "ddim"),
    ),
    "shape of the means": (
        _run(GaussianMixture([1.0], [[0.7, 0.0]], 0.3), GRID),
        _run(GaussianMixture([1.0], [[0.7]], 0.3), GRID),
    ),
    "scale": (
        _run(GaussianMixture(**ONE), LEVELS, "ddim"),
        _run(GaussianMixture(**ONE), _grid(LEVELS, scale=np.linspace(0.8, 1.0, 7)), "ddim"),
    ),
    "sigma": (
        _run(GaussianMixture(**ONE), LEVELS, "ddim"),
        _run(GaussianMixture(**ONE), _grid(LEVELS, sigma=LEVELS.sigma * np.linspace(1.0, 0.9, 7)), "ddim"),
    ),
    "time": (
        _run(GaussianMixture(**ONE), GRID, step="right"),
        _run(GaussianMixture(**ONE), _grid(GRID, time=GRID.time**1.1), step="right"),
    ),
    "rate": (
        _run(GaussianMixture(**ONE), GRID, step="right"),
        _run(GaussianMixture(**ONE), _grid(GRID, rate=1.1 * GRID.rate), step="right"),
    ),
    "sampler": (_run(GaussianMixture(**ONE), GRID), _run(GaussianMixture(**ONE), GRID, "exponential_integrator")),
    "parameters": (_run(GaussianMixture(**ONE), GRID), _run(GaussianMixture(**ONE), GRID, last_noise=False)),
    "start": (_run(GaussianMixture(**ONE), GRID), _run(GaussianMixture(**ONE), GRID, start="exact")),
    "start, on a line": (_run(GaussianMixture(**TWO), GRID), _run(GaussianMixture(**TWO), GRID, start="exact")),
}


@pytest.mark.parametrize("field", CHANGES)
def test_exact_output_of_a_run_that_differs_in_one_field(field):
    one, other = CHANGES[field]
    metrics._exact.cache_clear()
    expected = _output(other)
    metrics._exact.cache_clear()
    first, found = _output(one), _output(other)
    assert found == expected
    assert found != first
    assert _output(one) == first
    assert metrics._exact.cache_info().hits == 1


def test_every_field_of_a_run_and_of_a_grid_is_changed_above_or_cannot_matter():
    """A new field must be thought of: the seed and the states say nothing about a law of outputs."""
    assert {f.name for f in dataclasses.fields(metrics.Run)} == {
        "law",
        "name",
        "known",
        "parameters",
        "grid",
        "start",
        "seed",
        "first",
        "samples",
        "path",
        "oracle",
        "function",
    }
    assert {f.name for f in dataclasses.fields(Grid)} == {"scale", "sigma", "time", "rate", "strict"}
    run = _run(GaussianMixture(**ONE), GRID)
    assert metrics.exact_output(dataclasses.replace(run, known=False)) is None


# ------------------------------------------------------------------------------------------- records of a sweep

CELL = sweep.Cell("gaussian", "ddim", "vp_linear", 4, 0, 10, "gaussian")
OTHER = sweep.Cell("two_moons", "heun", "edm", 5, 1, 11, "exact")


def test_key_of_a_record_sees_every_field():
    code = sweep._code("gaussian", "ddim", "vp_linear")
    base = (CELL, "w2", 8, code)
    keys = [sweep._key(*base)]
    for f in dataclasses.fields(sweep.Cell):
        keys.append(sweep._key(dataclasses.replace(CELL, **{f.name: getattr(OTHER, f.name)}), *base[1:]))
    keys += [sweep._key(CELL, "kl", 8, code), sweep._key(CELL, "w2", 9, code)]
    keys += [sweep._key(CELL, "w2", 8, {**code, name: "another"}) for name in code]
    assert set(code) == {"source", "libraries", "external", "data"}
    assert len(set(keys)) == len(keys)
    assert sweep._key(*base) == keys[0]


def test_code_of_a_cell_sees_source_libraries_and_data(monkeypatch):
    base = sweep._code("gaussian", "ddim", "vp_linear")
    versions = sweep.versions()
    for name in versions:
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "versions", lambda name=name: {**versions, name: "0"})
            # figures alone depend on matplotlib
            assert (sweep._code("gaussian", "ddim", "vp_linear") == base) == (name == "matplotlib"), name
    monkeypatch.setattr(sweep, "source_digest", lambda: "another")
    assert sweep._code("gaussian", "ddim", "vp_linear")["source"] == "another"
    assert sweep._code("two_gaussians", "ddim", "vp_linear")["data"] != base["data"]


OWN = """
from exactdiffusion import datasets, samplers, schedules

target, sampler, schedule = datasets.TARGETS["gaussian"].law, samplers.ddim, schedules.edm
"""


@pytest.mark.parametrize("kind", ["target", "sampler", "schedule"])
def test_code_of_a_cell_sees_the_file_of_each_function_of_the_users_own(kind, tmp_path):
    names = {}
    for name in ("target", "sampler", "schedule"):
        (tmp_path / f"{name}_file.py").write_text(OWN)
        names[name] = f"{tmp_path / name}_file.py:{name}"
    before = sweep._code(*names.values())
    assert set(before["external"]) == set(names)
    (tmp_path / f"{kind}_file.py").write_text(OWN + "# edited\n")
    after = sweep._code(*names.values())
    assert {name for name in names if before["external"][name] != after["external"][name]} == {kind}


@pytest.mark.parametrize("prox", ["global", "local"])
def test_counts_of_a_cell_are_those_of_its_sampler(prox):
    """One map a step, global or local, of 3 rows; a denoiser has calls of another name."""
    cells = [
        sweep.Cell("gaussian", name, "vp_linear", 12, 0, 3, "gaussian")
        for name in (f'proximal_backward:prox="{prox}"', "heun")
    ]
    proximal, heun = (sweep.run_cell(cell, ["w2"], exact_draws=0)[0] for cell in cells)
    names = ("oracle_calls", "oracle_rows", "prox_calls", "denoise_calls")
    assert [proximal[name] for name in names] == [12, 36, 12, 0]
    assert [heun[name] for name in names] == [23, 69, 0, 23]
    assert proximal["inner_evaluations"] > 0
    assert heun["inner_evaluations"] == 0


def _variants(make, **changes):
    return [make(), *(make(**{name: value}) for name, value in changes.items())]


_P, _W = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 6.0]]), np.array([0.2, 0.3, 0.5])
_C = np.array([np.eye(2), 2 * np.eye(2), 3 * np.eye(2)])
FAMILIES = {
    "PointCloud": _variants(
        lambda points=_P, weights=_W: PointCloud(points, weights), points=_P + [[0, 0], [0, 0], [0, 1e-12]], weights=_W[::-1]
    ),
    "GaussianMixture": _variants(
        lambda weights=_W, means=_P, covariances=_C: GaussianMixture(weights, means, covariances),
        weights=_W[::-1],
        means=_P + 1e-12 * np.eye(3, 2),
        covariances=_C + 1e-12 * np.eye(2),
    ),
    "GaussianMixture, isotropic": _variants(
        lambda covariances=0.5: GaussianMixture(_W, _P, covariances), covariances=np.array([0.5, 0.5, 0.6])
    ),
    "Sphere": _variants(
        lambda radius=1.5, dim=5, sphere_dim=3, block=(0, 1, 2), center=(0.0,) * 5: Sphere(
            radius, dim, sphere_dim, block=list(block), center=center
        ),
        radius=1.5 + 1e-12,
        block=(0, 1, 3),
        center=(0.0, 0.0, 0.0, 0.0, 1.0),
    )
    + [Sphere(1.5, 6, 3), Sphere(1.5, 5, 2)],
    "Torus": _variants(
        lambda radii=(1.0, 0.6), dim=5, center=(0.0,) * 5: Torus(list(radii), dim, center=center),
        radii=(0.6, 1.0),
        center=(0.1,) * 5,
    )
    + [Torus([1.0, 0.6], 6)],
    "Subspace": _variants(
        lambda basis=((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), offset=(0.0, 0.0, 1.0), covariance=((2.0, 0.3), (0.3, 0.5)): (
            Subspace(basis, offset, covariance)
        ),
        basis=((1.0, 0.0), (0.0, 0.8), (0.0, 0.6)),
        offset=(0.0, 0.0, 2.0),
        covariance=((2.0, 0.3), (0.3, 0.6)),
    )
    + [Subspace(((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), (0.0, 0.0, 1.0))],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_digest_of_the_data_sees_every_argument_of_a_law(family):
    digests = []
    for law in FAMILIES[family]:
        digests.append(objects.data_digest.__wrapped__(law))
        assert objects.data_digest.__wrapped__(law) == digests[-1]
    assert len(set(digests)) == len(digests)


#: modules whose laws are digested above; a law in another file is added when somebody has time
DIGESTED = {f"exactdiffusion.laws.{name}" for name in ("base", "gaussian_mixture", "point_cloud", "sets")}


def test_every_kind_of_law_is_digested_above():
    known = {type(make()).__name__ for make in laws.REGISTRY.values() if type(make()).__module__ in DIGESTED}
    assert {name.partition(",")[0] for name in FAMILIES} == known


def test_exact_draws_and_law_of_a_target_differ_with_every_argument():
    sweep._draws.cache_clear()
    base = ("rings", "w2", 8, 2)
    changed = [base, ("two_gaussians", *base[1:]), ("rings", "modes", 8, 2), ("rings", "w2", 9, 2), (*base[:3], 3)]
    found = [sweep._exact_draws(*a) for a in changed]
    assert [sweep._exact_draws(*a) for a in changed] == found
    sweep._draws.cache_clear()
    assert [sweep._exact_draws(*a) for a in reversed(changed)] == found[::-1]
    assert len(set(found)) == len(found)
    one, other = (sweep.law_of(f"two_gaussians:dim=2:half_distance={h}") for h in (1.0, 2.0))
    assert not np.array_equal(one.means, other.means)


# ------------------------------------------------------------------------------------------------ derived state


@pytest.mark.parametrize("name", laws.REGISTRY)
def test_a_law_asked_by_numpy_and_by_other_arrays_in_turn(name):
    """Copies of the parameters are kept by namespace and device, stacks and trees by law; neither answers for another."""
    law, second = laws.REGISTRY[name](), array_api_strict.Device("device1")
    x = np.random.default_rng(0).standard_normal((5, law.dim))
    q = law.noised(0.9, 0.6)
    expected = q.denoise(x)
    other, there = array_api_strict.asarray(x), array_api_strict.asarray(x, device=second)
    for _ in range(2):
        assert np.array_equal(q.denoise(x), expected)
        for given in (other, there):
            found = q.denoise(given)
            assert found.device == given.device
            assert np.max(np.abs(to_numpy(found) - expected)) <= 1e-12


def test_tables_of_a_proximal_solver_are_those_of_the_step():
    """Twenty components within reach and one step for all rows: the table of pair weights is kept between calls."""
    rng = np.random.default_rng(1)
    centres, weights, x = rng.standard_normal((20, 2)), rng.dirichlet(np.ones(20)), rng.standard_normal((6, 2))
    kept = EqualVariance(centres, weights)
    seen = []
    for lam, v in ((1.0, 1.0), (3.0, 1.0), (1.0, 2.0), (1.0, 1.0)):
        u, fresh = kept(x, lam, v), EqualVariance(centres, weights)
        assert np.array_equal(u, fresh(x, lam, v))
        assert kept._table[0] is not None
        assert np.array_equal(kept._table[1], fresh._table[1])
        seen.append(u)
    assert not np.allclose(seen[0], seen[1])


def test_proximal_maps_of_laws_that_differ_in_one_argument():
    """Solvers are kept by law: equal points with other weights, equal means with other variances."""
    x = np.array([[0.1, 0.2], [1.0, -1.0]])
    for name in ("PointCloud", "GaussianMixture", "GaussianMixture, isotropic"):
        made = [law.noised(1.0, 1.5).prox(x, 0.7) for law in FAMILIES[name]]
        again = [type(law)(*_arguments(law)).noised(1.0, 1.5).prox(x, 0.7) for law in FAMILIES[name]]
        assert all(np.array_equal(a, b) for a, b in zip(made, again))
        assert not np.array_equal(made[0], made[1])


def _arguments(law):
    return (law.points, law.weights) if isinstance(law, PointCloud) else (law.weights, law.means, law.covariances)


def test_quantities_of_a_grid_made_from_another_are_its_own():
    names = ("noise_ratio", "alpha_bar", "integral", "snr", "snr_db", "beta", "g", "ddpm_beta", "is_ve", "is_vp", "N")
    cached = {n for n, v in vars(Grid).items() if type(v).__name__ == "cached_property"}
    assert cached <= set(names)
    for grid in (GRID, LEVELS, schedules.edm(6)):
        before = [getattr(grid, n) for n in names]
        made = [grid.to_ve(), grid.to_vp(), grid[1:], grid[::2], dataclasses.replace(grid, sigma=0.5 * grid.sigma)]
        for other in made:
            fresh = Grid(np.array(other.scale), np.array(other.sigma))
            for n in names:
                assert np.array_equal(getattr(other, n), getattr(fresh, n)), n
        assert not np.array_equal(made[2].beta, grid.beta)
        assert all(np.array_equal(a, getattr(grid, n)) for a, n in zip(before, names))


# -------------------------------------------------------------------------------------------------------- seeds


def _final(name, seed=0, start="gaussian", samples=6, target="rings", steps=40, schedule="vp_linear"):
    law = sweep.law_of(target)
    return samplers.final(sweep.states(law, name, sweep.grid_of(schedule, steps), seed, samples, start))


@pytest.mark.parametrize("name", samplers.REGISTRY)
@pytest.mark.parametrize("start", ["gaussian", "exact"])
def test_states_change_with_the_seed_and_with_the_start(name, start):
    one = _final(name, 3, start)
    assert np.array_equal(one, _final(name, 3, start))
    for other in (_final(name, 4, start), _final(name, 3, "exact" if start == "gaussian" else "gaussian")):
        assert np.all(np.any(one != other, axis=1))


def test_both_parts_of_an_exact_start_have_the_seed():
    law, grid = sweep.law_of("rings"), schedules.log_linear(3)
    draws = []
    for seed in (3, 4):
        first = next(sweep.states(law, "ddim", grid, seed, 6, "exact"))
        draws.append(first - grid.sigma[0] * Noise(seed).initial(6, 2))
        assert np.max(np.linalg.norm(draws[-1], axis=1)) <= 2.0  # the rings have radius at most 1: the noise of 40 is gone
    assert np.all(np.any(np.abs(draws[0] - draws[1]) > 1e-6, axis=1))


@pytest.mark.parametrize("name", [n for n, i in samplers.REGISTRY.items() if i.stochastic])
def test_the_noise_of_a_sampler_is_the_noise_it_is_given(name):
    """From one start: the seed of the noise alone, and its rows, change every row of the end."""
    law, grid = sweep.law_of("rings"), schedules.vp_linear(40)
    x = 0.5 * Noise(9).initial(6, 2)
    run = lambda source: samplers.final(samplers.REGISTRY[name].function(law, grid, x, noise=source))  # noqa: E731
    one = run(Noise(0))
    assert np.array_equal(one, run(Noise(0)))
    for other in (run(Noise(1)), run(Noise(0).rows(1))):
        assert np.all(np.any(one != other, axis=1))


SEEDED = {
    "swiss_roll": lambda seed: datasets.swiss_roll(seed=seed),
    "random_mixture": lambda seed: datasets.random_mixture(3, 4, seed=seed).covariances,
    "random_mixture, weights": lambda seed: datasets.random_mixture(3, 4, seed=seed).weights,
    "study": lambda seed: [
        r["nmse"]
        for r in conditional_mean.study(GaussianMixture(None, [[-1.0], [1.0]], 0.5), 0.0, [100], samples=20, seed=seed)
    ],
    "ApproximateProjection": lambda seed: (
        adversaries.ApproximateProjection(Sphere(1.0, 3), 0.3, strategy="random", seed=seed)
        .noised(1.0, 0.5)
        .denoise(np.full((2, 3), 1.2))
    ),
    "Noise": lambda seed: Noise(seed).normal(0, 3, 2),
    "Noise, start": lambda seed: Noise(seed).initial(3, 2),
    "BrownianPath": lambda seed: random.BrownianPath(seed, GRID).increments(GRID[::2]).normal(0, 3, 2),
    "exact_draws": lambda seed: (
        distances.exact_draws(lambda n, rng: rng.standard_normal((n, 2)), 5, np.eye(5, 2), repeats=2, rng=seed).values
    ),
    "PointCloud.sample": lambda seed: PointCloud(np.arange(20.0)[:, np.newaxis]).sample(9, seed),
    "GaussianMixture.sample": lambda seed: GaussianMixture(None, [[0.0]], 1.0).sample(9, seed),
    "NoisedLaw.sample": lambda seed: PointCloud([[0.0]]).noised(1.0, 1.0).sample(9, seed),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_decides_and_another_one_changes(name):
    make = SEEDED[name]
    assert np.array_equal(make(1), make(1))
    assert not np.any(np.asarray(make(1)) == np.asarray(make(2)))


# ------------------------------------------------------------------------------------------- functions of the user's own

REGISTERED = {
    "target": """
from exactdiffusion import PointCloud
from exactdiffusion.datasets import target

@target("my_pair", 1, "two atoms")
def my_pair():
    return PointCloud([[-1.0], [{value}]])
""",
    "sampler": """
from exactdiffusion.samplers import sampler

def update(x, i, grid, oracle, noise, memory):
    return {value} * oracle.denoise(i, x), memory

@sampler(update, order=1, summary="denoise alone")
def my_sampler(law, grid, x):
    pass
""",
    "schedule": """
from exactdiffusion import schedules

@schedules.schedule
def my_schedule(N):
    return schedules.vp_linear(N, beta_max={value})
""",
    "metric": """
from exactdiffusion.studies import metrics

@metrics.metric("my_metric", "a constant", refusal=lambda run: None)
def my_metric(run):
    return metrics.result({value}, None, None, "none", "constant", "constant")
""",
}
NAMES = {"target": "my_pair", "sampler": "my_sampler", "schedule": "my_schedule", "metric": "my_metric"}
PLACES = {
    "target": datasets.TARGETS,
    "sampler": samplers.REGISTRY,
    "schedule": schedules.REGISTRY,
    "metric": metrics.METRICS,
}


@pytest.mark.parametrize("kind", REGISTERED)
def test_an_edit_of_a_registered_function_computes_anew(kind, tmp_path, monkeypatch):
    """A name says nothing about the code behind it: records are kept under the digest of its file."""
    monkeypatch.delitem(PLACES[kind], NAMES[kind], raising=False)
    arguments = {"target": "two_moons", "sampler": "ddim", "schedule": "vp_linear", "metric": "w2", kind: NAMES[kind]}
    arguments |= {"steps": 3, "seeds": 1, "samples": 5, "exact_draws": 2, "out": tmp_path / "out"}
    found = []
    for value in (1.5, 1.5, 2.5):
        name = tmp_path / f"own_{kind}.py"
        name.write_text(REGISTERED[kind].format(value=value))
        exec(compile(name.read_text(), str(name), "exec"), {"__name__": f"own_{kind}"})
        done = sweep.sweep(**arguments)
        found.append((done.computed, done.rows[0]["value"]))
    monkeypatch.delitem(PLACES[kind], NAMES[kind])
    assert [computed for computed, _ in found] == [1, 0, 1]
    assert found[0][1] == found[1][1] != found[2][1]


def test_a_function_without_source_belongs_to_its_process():
    space = {"__name__": "typed"}
    exec("def typed(N): pass", space)
    assert source_of(space["typed"]) == source_of(space["typed"])
    assert source_of(space["typed"]) not in (None, source_of(lambda N: None))
    assert source_of(schedules.edm) is source_of(samplers.ddim) is None
