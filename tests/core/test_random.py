"""Noise: the same rows whatever the batch, the chunk, the process; standard normal; independent keys.

Statistical tests take their level from the fixture ``chance``.
"""

import hashlib
import multiprocessing

import numpy as np
import pytest
from scipy import stats

from exactdiffusion import schedules
from exactdiffusion._core.random import BrownianPath, Noise, standard_normal_of_words


def _digest(z):
    return hashlib.sha256(np.ascontiguousarray(z).tobytes()).hexdigest()


def _piece(arguments):
    seed, step, n, d, start = arguments
    return Noise(seed).normal(step, n, d, start)


SOURCES = {
    "noise": Noise(11),
    "view": Noise(11).rows(5),
    "brownian": BrownianPath(11, schedules.vp_linear(12)).increments(schedules.vp_linear(4)),
}


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("d", [1, 3, 64])
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_rows_are_bit_identical_for_every_batch_size(name, d, batch):
    source = SOURCES[name]
    total = 1000 if batch > 1 else 40
    whole = source.normal(2, total, d)
    pieces = [source.normal(2, min(batch, total - s), d, s) for s in range(0, total, batch)]
    assert np.array_equal(np.concatenate(pieces), whole)
    views = [source.rows(s).normal(2, min(batch, total - s), d) for s in range(0, total, batch)]
    assert np.array_equal(np.concatenate(views), whole)


def test_rows_are_bit_identical_in_two_processes():
    work = [(5, step, 250, 3, start) for step in (0, 1, 2**63) for start in (0, 250, 500, 750)]
    here = [_digest(_piece(w)) for w in work]
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:  # Noise is what crosses the process boundary; a bound method is picklable by reference
        there = [_digest(pool.apply(Noise(seed).normal, (step, n, d, start))) for seed, step, n, d, start in work]
    assert there == here


def test_known_values(accuracy):
    """The first words of Philox4x64-10 with key (1, 2) mapped by the inverse distribution function, in 40 digits."""
    import mpmath

    words = np.random.Generator(np.random.Philox(key=[1, 2])).bit_generator.random_raw(6)
    z = Noise(1).normal(2, 2, 3)
    with mpmath.workdps(40):
        for word, value in zip(words, z.ravel()):
            u = (mpmath.mpf(int(word) >> 12) + mpmath.mpf("0.5")) / mpmath.mpf(2) ** 52
            exact = mpmath.sqrt(2) * mpmath.erfinv(2 * u - 1)
            for name in ("standard_normal_of_words", "Noise.normal"):
                error, limit = float(abs(value - exact)), 8 * np.finfo(float).eps * max(1, abs(float(exact)))
                accuracy(f"_core.random.{name}", error, limit, "inverse error function, 40 digits")


def test_extreme_words_are_finite_and_symmetric():
    z = standard_normal_of_words(np.array([0, 2**64 - 1, 2**63 - 1, 2**63], dtype=np.uint64))
    assert np.isfinite(z).all()
    assert z[0] == -z[1]
    assert z[2] == -z[3]
    assert 8.2 < z[1] < 8.3  # the upper quantile at 2^-53


def test_marginal_law(chance):
    """Distribution function, the first, second and fourth moment and the tail count of 10^6 values."""
    draw = chance(comparisons=5)
    z = draw.noise(2024).normal(0, 500_000, 2).ravel()
    count = z.size
    draw.distribution(z, stats.norm.cdf, on="10^6 values, distribution function")
    draw.normal(z.mean(), 0.0, 1 / np.sqrt(count), on="mean")
    draw.chi_square(np.sum(z**2), count, on="variance")
    draw.mean(z**4, 3.0, on="fourth moment")
    draw.frequency((np.abs(z) > 4).sum(), count, 2 * stats.norm.sf(4), on="values beyond 4")


def test_independence_between_seeds_steps_rows_and_columns(chance):
    """Correlations of 2^17 pairs between neighbouring keys, of z and of z^2.

    Of z by the law of (a + b)^2 and (a - b)^2, whose sums are chi-square if a and b are independent.
    """
    n, s, draw = 2**17, 3, chance(comparisons=39)
    if draw.seed(s) != s:
        s = draw.seed(s) >> 1  # neighbours of another key
    base = Noise(s).normal(4, n, 2)
    others = {
        "seed": Noise(s + 1).normal(4, n, 2),
        "step": Noise(s).normal(5, n, 2),
        "swapped": Noise(4).normal(s, n, 2),
        "far seed": Noise(s + 2**63).normal(4, n, 2),
        "initial": Noise(s).initial(n, 2),
        "next row": Noise(s).normal(4, n, 2, start=1),
    }
    pairs = {"columns": (base[:, 0], base[:, 1])}
    for name, z in others.items():
        pairs[f"{name}, column 0"], pairs[f"{name}, column 1"] = (base[:, 0], z[:, 0]), (base[:, 1], z[:, 1])
    for name, (a, b) in pairs.items():
        draw.chi_square(np.sum((a + b) ** 2), n, scale=2.0, on=f"sums, {name}")
        draw.chi_square(np.sum((a - b) ** 2), n, scale=2.0, on=f"differences, {name}")
        draw.mean((a**2 - 1) * (b**2 - 1), 0.0, on=f"correlation of squares, {name}")


def test_matrix_of_different_dimension_is_another_matrix():
    assert not np.array_equal(Noise(1).normal(0, 4, 2)[:, 0], Noise(1).normal(0, 4, 3)[:, 0])


def test_brownian_path_is_shared_across_step_counts(accuracy):
    """The sum of the increments over any common interval is the same number for 60, 30, 6 and 3 steps."""
    path = BrownianPath(9, schedules.vp_linear(60))
    ends = {}
    for N in (60, 30, 6, 3):
        grid = schedules.vp_linear(N)
        noise = path.increments(grid)
        ends[N] = np.cumsum([np.sqrt(g) * noise.normal(k, 5, 2) for k, g in enumerate(grid.g)], axis=0)
        for coarse, fine in ((N // 3 - 1, 19), (-1, -1)):
            error = np.abs(ends[N][coarse] - ends[60][fine])
            accuracy(
                "_core.random.BrownianPath.increments", error, 64 * np.finfo(float).eps * 4, "the same path on 60 steps"
            )


def test_brownian_increments_are_standard_and_independent(chance):
    """Variances of the 4 increments, of their sums and differences, over 2^16 rows: chi-square if they are independent."""
    draw = chance(comparisons=16)
    fine = schedules.vp_linear(16)
    noise = BrownianPath(draw.seed(1), fine).increments(schedules.vp_linear(4))
    z = np.concatenate([noise.normal(k, 2**16, 1) for k in range(4)], axis=1)
    draw.chi_square(np.sum(z**2, axis=0), len(z), on="increments")
    i, j = np.triu_indices(4, k=1)
    draw.chi_square(np.sum((z[:, i] + z[:, j]) ** 2, axis=0), len(z), scale=2.0, on="sums of two increments")
    draw.chi_square(np.sum((z[:, i] - z[:, j]) ** 2, axis=0), len(z), scale=2.0, on="differences of two increments")


def test_brownian_clock_may_be_an_array_and_a_finest_grid_gives_the_noise_itself():
    path = BrownianPath(7, [0.0, 0.5, 2.0, 3.0])
    z = path.increments([3.0, 2.0, 0.5, 0.0])
    for step in range(3):
        assert np.allclose(z.normal(step, 4, 2), Noise(7).normal(2 - step, 4, 2), rtol=4e-16, atol=0)


def test_transfer_to_another_namespace():
    xp = pytest.importorskip("array_api_strict")
    z = Noise(1).normal(0, 3, 2, like=xp.zeros((1, 1)))
    assert type(z).__module__.startswith("array_api_strict")
    assert np.array_equal(np.asarray(z), Noise(1).normal(0, 3, 2))


def test_empty_batch_and_repr():
    assert Noise(1).normal(0, 0, 2).shape == (0, 2)
    assert repr(Noise(1)) == "Noise(1)"
    assert "first row 3" in repr(Noise(1).rows(3))


PATH = BrownianPath(1, schedules.vp_linear(10))
BAD = {
    "seed negative": ("seed", lambda: Noise(-1)),
    "seed float": ("seed", lambda: Noise(1.0)),
    "seed None": ("seed", lambda: Noise(None)),
    "seed too large": ("seed", lambda: Noise(2**64)),
    "step negative": ("step", lambda: Noise(1).normal(-1, 2, 2)),
    "step too large": ("step", lambda: Noise(1).normal(2**64, 2, 2)),
    "n negative": ("n", lambda: Noise(1).normal(0, -2, 2)),
    "d zero": ("d", lambda: Noise(1).normal(0, 2, 0)),
    "start negative": ("start", lambda: Noise(1).normal(0, 2, 2, -1)),
    "rows negative": ("start", lambda: Noise(1).rows(-1)),
    "clock not monotone": ("fine", lambda: BrownianPath(1, [0.0, 2.0, 1.0])),
    "clock too wide": ("fine", lambda: BrownianPath(1, [1e308, -1e308, -1.7e308])),
    "clock too short": ("fine", lambda: BrownianPath(1, [0.0])),
    "clock NaN": ("fine", lambda: BrownianPath(1, [0.0, np.nan])),
    "knots not nested": ("grid", lambda: PATH.increments(schedules.vp_linear(3))),
    "finer grid": ("grid", lambda: PATH.increments(schedules.vp_linear(20))),
    "step beyond the grid": ("step", lambda: PATH.increments(schedules.vp_linear(5)).normal(5, 2, 2)),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_names_the_argument(case):
    name, call = BAD[case]
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()
