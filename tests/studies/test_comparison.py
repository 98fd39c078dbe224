"""The coupled metric and paired comparisons: coverage, known answers, nested noise, what is and is not separated."""

import importlib.util
import math
import time
from dataclasses import replace

import numpy as np
import pytest

import exactdiffusion as ed
from exactdiffusion import GaussianMixture, Noise, samplers, schedules
from exactdiffusion._core.paths import experiments_dir
from exactdiffusion.studies import _tables, comparison, metrics, sweep

GAUSSIAN = GaussianMixture([1.0], [[0.5, -0.2]], 0.3)
MODES = GaussianMixture(None, [[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]], 0.02)
JOB = {"seeds": 2, "samples": 60, "metric": "coupled", "schedule": schedules.log_linear}


# ------------------------------------------------------------------------------------------------ intervals


@pytest.mark.parametrize(
    ("draw", "mean", "least"),
    [
        (lambda rng, n: rng.standard_normal(n) ** 2, 1.0, 0.95),
        (lambda rng, n: np.exp(1.5 * rng.standard_normal(n)), math.exp(1.125), 0.924),
        (lambda rng, n: np.where(rng.random(n) < 0.02, 36.0, 0.01) * rng.exponential(size=n), 0.72 + 0.0098, 0.968),
    ],
)
def test_interval_covers_as_often_as_its_docstring_says(draw, mean, least):
    """300 repetitions: four standard deviations of a share below the stated coverage; the normal interval of the log-normal
    and of the rare squares would be there by chance with probability below 1e-2 and 1e-9."""
    rng, hits, repetitions = np.random.default_rng(7), 0, 300
    for _ in range(repetitions):
        _, low, high = comparison.root_interval(draw(rng, 200), resamples=399)
        hits += low <= math.sqrt(mean) <= high
    assert hits / repetitions >= least - 4 * math.sqrt(least * (1 - least) / repetitions)


def test_interval_of_a_difference_cancels_what_pairs_share():
    rng = np.random.default_rng(0)
    shared, own = rng.exponential(size=400), 0.01 * rng.exponential(size=400)
    value, low, high = comparison.root_interval(shared + own, shared)
    assert 0 < low < value < high
    apart = [comparison.root_interval(a) for a in (shared + own, shared)]
    assert apart[1][1] < apart[0][0] < apart[1][2]  # unpaired intervals overlap
    swapped = comparison.root_interval(shared, shared + own)
    assert swapped[0] == -value
    assert comparison.root_interval(shared, shared) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "squares"),
        (([1.0, -1.0],), "squares"),
        (([1.0, math.nan],), "squares"),
        (([1.0, 2.0], [1.0]), "others: .*as many numbers"),
    ],
)
def test_bad_squares_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        comparison.root_interval(*arguments)


# ------------------------------------------------------------------------------------------------ the coupled metric


def test_deterministic_value_is_the_distance_to_the_exact_flow():
    """On one Gaussian the probability flow multiplies a deviation from the mean by the ratio of the deviations."""
    law = GaussianMixture([1.0], [[0.0, 0.0]], 0.3)
    row = ed.sweep(target=law, sampler="ddim", steps=8, **{**JOB, "seeds": 1}).rows[0]
    grid = schedules.log_linear(8)
    x = grid.sigma[0] * Noise(0).initial(60, 2)
    flow = x * math.sqrt((0.3 + grid.sigma[-1] ** 2) / (0.3 + grid.sigma[0] ** 2))
    exact = metrics._root_mean_square(samplers.final(samplers.ddim(law, grid, x)), flow)
    assert abs(row["value"] - exact) <= row["reference_error"]
    assert 0 < row["reference_error"] < 1e-2 * exact
    assert row["lower"] < row["value"] < row["upper"]


@pytest.mark.parametrize(
    ("sampler", "times"),
    [("ddpm", 1.55), ("euler_maruyama", 1.35), ("exponential_integrator", 1.35), ("proximal_hybrid", 1.35)],
)
def test_random_samplers_approach_the_reference_along_the_same_path(sampler, times):
    """Order 1, and 1/2 where the last step adds noise of variance g: twice the steps tend to 2 and 1.41 times nearer. With
    other noise the distance would stay that of two independent draws.
    """
    job = {**JOB, "schedule": schedules.vp_linear, "seeds": 1}
    rows = ed.sweep(target=GAUSSIAN, sampler=sampler, steps=[32, 64], start="exact", **job).rows
    assert rows[0]["value"] > times * rows[1]["value"]
    assert rows[1]["value"] < 0.1 * math.sqrt(2 * 0.3 * 2)
    assert rows[0]["start_error"] == 0.0
    assert "same Brownian path" in rows[0]["method"]


def test_start_error_is_shown_beside_the_value():
    gaussian, exact = (
        ed.sweep(target=MODES, sampler="heun", steps=10, start=start, **JOB).rows[0] for start in ("gaussian", "exact")
    )
    assert gaussian["start_error"] > 0 == exact["start_error"]
    shown = [line[-1] for line in sweep.summary([gaussian])]
    assert "reference error" in shown[0]
    assert "start error" in shown[0]


def test_refined_grid_keeps_the_knots_and_shrinks_every_step():
    grid = schedules.edm(6)
    fine = metrics._in_parts(grid, 5)
    assert np.array_equal(fine.sigma[::5], grid.sigma)
    assert np.array_equal(fine.scale[::5], grid.scale)
    assert np.all(np.diff(fine.noise_ratio) < 0)


@pytest.mark.parametrize("known", [True, False])
def test_function_of_the_user_is_measured_as_the_sampler_that_it_is(known):
    def mine(law, grid, x, noise=None):
        return samplers.ddpm(law, grid, x, noise=noise)

    def flat(law, grid, x):
        return samplers.ddim(law, grid, x)

    own, ours = (mine, samplers.ddpm) if known else (flat, samplers.ddim)
    values = [ed.sweep(target=MODES, sampler=s, steps=10, **JOB).rows[0]["value"] for s in (own, ours)]
    assert values[0] == values[1]


def test_squares_are_kept_and_a_damaged_list_is_seen(tmp_path):
    job = {"target": MODES, "sampler": [samplers.ddim, samplers.heun], "steps": 10, "out": tmp_path, **JOB}
    first, again = ed.sweep(**job), ed.sweep(**job)
    assert (again.computed, again.squares) == (0, first.squares)
    assert [len(s) for s in first.squares] == [60] * 4
    for squares, row in zip(first.squares, first.rows):
        assert math.isclose(math.sqrt(math.fsum(squares) / 60), row["value"], rel_tol=1e-14)
    path = next((tmp_path / "records").rglob("*.json"))
    path.write_text(path.read_text().replace('"squares": [\n  ', '"squares": [\n  -'))
    with pytest.raises(sweep.DamagedRecord, match="squares"):
        ed.sweep(**job)


# ------------------------------------------------------------------------------------------------ comparisons


def test_equal_samplers_are_not_separated_and_unequal_ones_are():
    def twin(law, grid, x):
        return samplers.ddim(law, grid, x)

    done = ed.sweep(target=MODES, sampler=[samplers.ddim, twin, samplers.heun], steps=[10, 40], **JOB)
    found = {(p.by, p.at, p.first.partition("@")[0], p.second.partition("@")[0]): p for p in done.compare().pairs}
    twins = found["steps", 40, "ddim", "twin"]
    assert (twins.difference, twins.separated, twins.needed) == (0.0, False, None)
    assert found["steps", 40, "ddim", "heun"].separated
    assert found["steps", 40, "ddim", "heun"].difference > 0
    assert ("calls", 20, "heun", "ddim") not in found  # DDIM in 20 steps was not run
    assert "not separated" in repr(done.compare())
    assert "<table>" in done.compare()._repr_html_()


def test_needed_samples_would_separate():
    """Squares that differ by a tenth, in noise of their own: as many samples as are said to be needed do separate."""
    rng = np.random.default_rng(3)

    def rows(n):
        shared = rng.exponential(size=(2, n))
        row = {"target": "t", "schedule": "s", "metric": "coupled", "samples": n, "start": "gaussian", "steps": 5, "seed": 0}
        both = [{**row, "sampler": name, "oracle_calls": 5, "value": 1.0, "interval": "", "rung": ""} for name in "ab"]
        return both, [list(1.1 * shared[0]), list(shared[1])]

    few = comparison.compare(*rows(100)).pairs[0]
    assert not few.separated
    assert few.needed > 100
    assert comparison.compare(*rows(4 * few.needed)).pairs[0].separated


def test_seeds_are_the_pairs_of_an_empirical_distance():
    done = ed.sweep(target=MODES, sampler=["ddim", "heun"], steps=20, seeds=3, samples=40, exact_draws=3)
    pair = done.compare().pairs[0]
    values = {s: np.array([r["value"] for r in done.rows if r["sampler"] == s]) for s in ("ddim", "heun")}
    assert math.isclose(pair.difference, np.mean(values["ddim"] - values["heun"]), rel_tol=1e-12)
    assert pair.low < pair.difference < pair.high
    assert pair.how == "pairs of 3 seeds, Student"
    alone = replace(pair, low=None, high=None, needed=None)
    assert "two or more" in alone.verdict
    assert pair.seeds == 3
    undecided = replace(pair, low=-1.0, high=1.2, samples=120, needed=123456, note=None)
    assert undecided.verdict == "not separated: 3 seeds are few; 5 or more narrow the interval"
    several = replace(undecided, seeds=6, samples=240)
    assert several.verdict == "not separated; about 3,100 seeds of 40 samples would"  # 123456 / 40 = 3086.4
    assert replace(undecided, seeds=None).verdict == "not separated; about 123,000 samples would"


def test_stored_folder_gives_the_same_comparison(tmp_path):
    job = {"target": {"modes": MODES}, "sampler": ["ddim", "heun"], "steps": [10, 20], "out": tmp_path, **JOB}
    done = ed.sweep(**job)
    assert ed.compare(tmp_path).pairs == ed.compare(str(tmp_path)).pairs == done.compare().pairs
    assert {p.how for p in done.compare().pairs} == {"pairs of starts, bootstrap-t"}

    # records of another sweep into the same folder are not mixed in
    other = ed.sweep(**{**job, "sampler": ["ddim"], "samples": 30})
    assert ed.compare(tmp_path).pairs == other.compare().pairs == []
    path = next(p for p in (tmp_path / "records").rglob("*.json") if '"samples": 30' in p.read_text())
    path.write_text(path.read_text().replace('"squares": [\n  ', '"squares": [\n  -'))
    with pytest.raises(ValueError, match=r"dir: .*nonnegative numbers as squares"):
        ed.compare(tmp_path)
    with pytest.raises(ValueError, match=r"squares .*: got 1; expected one entry for each of the 4 rows"):
        comparison.compare(other.rows, [None])


def test_few_starts_are_said_to_be_few():
    """With 10 starts DPM-Solver++ seems nearer in 20 steps, with 500 Heun is: the start that carries the error is rare."""
    done = ed.sweep(target=MODES, sampler=["ddim", "heun"], steps=10, **{**JOB, "samples": 10})
    assert "20 starts only: a rare one that carries the error may be missing; 100 or more would do" in repr(done.compare())


def test_equal_names_keep_their_digests():
    table = [("target", "sampler"), ("a@0123", "f@0a0a"), ("a@0123", "f@0b0b")]
    assert _tables.in_short(table, 1) == ("target a", [("sampler",), ("f@0a0a",), ("f@0b0b",)])


def test_values_within_the_band_of_exact_draws_are_said_to_be():
    done = ed.sweep(target="two_moons", sampler=["ddim", "heun"], steps=40, seeds=3, samples=40, exact_draws=60)
    pair = done.compare().pairs[0]
    assert all(r["value"] <= r["exact_draws_high"] for r in done.rows)
    assert "as exact draws do" in pair.verdict
    apart = replace(pair, difference=-0.1, low=-0.2, high=-0.05)
    assert apart.verdict == (
        "ddim scores less, but both score as exact draws do, so it need not be the better one: ask metric coupled"
    )
    far = ed.sweep(target="two_moons", sampler=["ddim", "heun"], steps=3, seeds=3, samples=40, exact_draws=60)
    assert far.compare().pairs[0].note is None


def test_exact_values_are_compared_exactly():
    pair = ed.sweep(target=GAUSSIAN, sampler=["ddim", "heun"], steps=5, seeds=1, samples=10).compare().pairs[0]
    assert pair.separated
    assert pair.how == "exact output laws"


def test_worked_example_separates_all_three_at_every_number_of_steps():
    path = experiments_dir() / "howto" / "compare_samplers.py"
    assert len(path.read_text().splitlines()) <= 25
    spec = importlib.util.spec_from_file_location("compare_samplers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = time.process_time()
    done = module.main()
    pairs = done.compare().pairs
    assert time.process_time() - started < 60
    steps = [p for p in pairs if p.by == "steps"]
    assert sorted({p.at for p in steps}) == [20, 40, 80]
    assert len(steps) == 9
    assert all(p.separated for p in steps)
    assert {p.by for p in pairs} == {"steps", "calls"}

    # samplers of equal cost a step are listed at equal steps alone
    cost = {(r["sampler"], r["steps"]): r["oracle_calls"] for r in done.rows}
    assert all(cost[p.first, N] != cost[p.second, N] for p in pairs if p.by == "calls" for N in (20, 40, 80))

    # the reference is known far better than the samplers differ
    worst = max(r["reference_error"] for r in done.rows)
    assert worst < 0.2 * min(abs(p.difference) for p in steps)


# ------------------------------------------------------------------------------------------------ results


def short(law):
    return type(law).__name__


def test_result_shows_itself(monkeypatch):
    done = ed.sweep(target=GAUSSIAN, sampler=["ddim", "heun"], steps=[5, 10, 20], seeds=1, samples=10)
    assert len(repr(done)) < 160
    assert "6 rows" in repr(done)
    html = done._repr_html_()
    assert html.count("<tr>") == 7
    assert "closed form" in html
    figure = done.plot()
    assert len(figure.axes) == 1
    assert figure._repr_png_().startswith(b"\x89PNG")
    orders = done.slopes()
    assert repr(orders).splitlines()[0] == f"target {short(GAUSSIAN)}, metric w2, schedule vp_linear"
    assert len(repr(orders).splitlines()) == 4
    assert "<table>" in orders._repr_html_()
    assert all(o.slope.low < o.slope.slope < o.slope.high and (o.first, o.last) == (5, 20) for o in orders)

    import builtins

    load = builtins.__import__

    def without(name, *arguments, **options):
        if name == "pandas":
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        done.to_pandas()


@pytest.mark.parametrize(
    ("medians", "drawn", "reference", "words"),
    [
        ([1.0, 0.5], None, None, "2 of the three"),
        ([1.0, 0.5, 1e-20], None, None, "1 of 3 points are zero but for rounding"),
        ([1.0, 0.5, 0.25], 0.2, None, "1 of 3 points are below 2 times the score of exact draws"),
        ([1.0, 0.5, 0.25], None, 0.2, "1 of 3 points are below 2 times the error of the reference"),
    ],
)
def test_row_that_cannot_be_fitted_says_why(medians, drawn, reference, words):
    from exactdiffusion.studies.results import Curve, Point

    points = tuple(
        Point(n, n, None, m, None, None, None, 1, drawn, None, None, None, None, None, None, reference_error=reference)
        for n, m in zip((5, 10, 20), medians)
    )
    order = Curve("t", "w2", "ddim", "edm", 10, "gaussian", points).order()
    assert order.slope is None
    assert words in str(order)
