"""Transport of many rows to few atoms: the answers of the solver without this reduction, hostile laws, planted errors."""

import numpy as np
import pytest

from exactdiffusion import distances
from exactdiffusion.distances import semidiscrete, transport


def weights(rng, n, decades=2):
    w = 10.0 ** rng.uniform(-decades, 0, n)
    return w / w.sum()


def mixture(rng, n, m, d, width=0.3):
    atoms = rng.normal(size=(m, d))
    return atoms[rng.integers(m, size=n)] + width * rng.normal(size=(n, d)), atoms


def cauchy(rng, n, m, d):
    return rng.standard_cauchy(size=(n, d)), rng.standard_cauchy(size=(m, d))


def ties(rng, n, m, d):
    """Rows and atoms of a lattice: many rows are at the same distance of several atoms."""
    return rng.integers(-20, 21, size=(n, d)) / 2.0, rng.permutation(np.stack(np.divmod(np.arange(m), 9), axis=1) * 1.0)


def far_clusters(rng, n, m, d):
    """Four clusters, 1e5 widths apart, whose masses do not balance."""
    centres = 1e5 * rng.normal(size=(4, d))
    return [centres[rng.integers(4, size=k)] + rng.normal(size=(k, d)) for k in (n, m)]


FAMILIES = [mixture, cauchy, ties, far_clusters]


def both(monkeypatch, *args):
    """Answers with and without the reduction, and whether the reduction gave the first one."""
    given = []
    true = semidiscrete.solve
    monkeypatch.setattr(semidiscrete, "solve", lambda *a: given.append(true(*a)) or given[-1])
    found = distances.w2(*args, method="sparse")
    monkeypatch.setattr(semidiscrete, "applies", lambda n, m: False)
    plain = distances.w2(*args, method="sparse")
    monkeypatch.undo()
    return found, plain, bool(given) and given[0] is not None


@pytest.mark.parametrize("weighted", ["neither", "atoms", "both"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_the_answer_is_that_of_all_rows(family, weighted, monkeypatch):
    used = 0
    for seed in range(3):
        rng = np.random.default_rng([seed, FAMILIES.index(family)])
        x, y = family(rng, 5000, 60, 2)
        b = None if weighted == "neither" else weights(rng, 60)
        a = weights(rng, 5000, 8) if weighted == "both" else None
        found, plain, reduced = both(monkeypatch, x, y, a, b)
        assert found.certified
        assert plain.certified
        assert abs(found.squared - plain.squared) <= found.gap + plain.gap
        assert found.gap <= 1e-10 * found.squared
        rows, columns, mass = found.coupling
        a, b = (np.full(k, 1 / k) if w is None else w for k, w in ((5000, a), (60, b)))
        assert np.abs(np.bincount(rows, mass, 5000) - a).sum() <= 1e-12
        assert np.abs(np.bincount(columns, mass, 60) - b).sum() <= 1e-12
        assert abs(mass @ ((x[rows] - y[columns]) ** 2).sum(axis=1) / found.squared - 1) <= 1e-12
        used += reduced
    assert used or family in (ties, far_clusters)


def test_the_sides_may_be_exchanged():
    rng = np.random.default_rng(0)
    x, y = mixture(rng, 6000, 50, 3)
    b = weights(rng, 50)
    one, other = distances.w2(x, y, None, b), distances.w2(y, x, b)
    assert (one.method, other.method) == ("sparse", "sparse")
    assert abs(one.squared - other.squared) <= one.gap + other.gap


def test_an_atom_without_open_rows_and_one_that_would_receive_too_much():
    rest = semidiscrete._rest(
        np.array([2.0, 1.0, 1.0]),
        np.ones(4),
        np.array([0, 0, 1, 1]),
        np.array([9.0, 8.0, 3.0, 5.0]),
        margin := np.array([1.0, 1.0, 1.0]),
        open_ := np.zeros(4, dtype=bool),
    )
    # atom 1 has mass 1 and two settled rows: the row with the lead of 3 is given up, at a margin of 4
    assert rest.tolist() == [0.0, 0.0, 1.0]
    assert open_.tolist() == [False, False, True, False]
    assert margin.tolist() == [1.0, 4.0, 1.0]


@pytest.mark.parametrize("error", ["potentials", "settled"])
def test_errors_of_the_reduction_do_not_reach_the_answer(error, monkeypatch):
    """Wrong potentials, or rows settled blindly: more rounds or the solver of all rows, the same certified value."""
    rng = np.random.default_rng(1)
    x, y = mixture(rng, 5000, 60, 2)
    b = weights(rng, 60)
    true = distances.w2(x, y, None, b)
    if error == "potentials":
        monkeypatch.setattr(semidiscrete, "_coarse_potentials", lambda pairs, *rest: np.zeros(pairs.m))
    else:
        monkeypatch.setattr(semidiscrete, "_OPEN", 0.0)
    found = distances.w2(x, y, None, b)
    assert found.certified
    assert abs(found.squared - true.squared) <= found.gap + true.gap


def test_without_an_end_all_rows_are_solved(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = mixture(rng, 5000, 60, 2)
    monkeypatch.setattr(semidiscrete, "_ROUNDS", 0)
    seen, true = [], transport.network_simplex
    monkeypatch.setattr(transport, "network_simplex", lambda a, *rest: seen.append(a.size) or true(a, *rest))
    assert distances.w2(x, y).certified
    assert 5000 in seen
