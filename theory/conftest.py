"""Shared by the theorem checks: closed sets with exact projections, and searches for the worst law of a bound."""

import itertools

import numpy as np
import pytest
from scipy.optimize import differential_evolution
from scipy.stats import qmc

from exactdiffusion import PointCloud, Sphere, Subspace, Torus, datasets
from exactdiffusion.papers.proximal import families, search


@pytest.fixture(scope="session")
def closed_sets():
    """Name -> closed set with an exact projection: clouds in low and high dimension, real data, curved and flat sets."""
    rng = np.random.default_rng(20240611)
    basis = np.linalg.qr(rng.standard_normal((12, 3)))[0]
    return {
        "pair on a line": PointCloud(np.array([[-1.0], [1.0]])),
        "200 points in R^50": PointCloud(rng.standard_normal((200, 50))),
        "ring of 8 in the plane": PointCloud(
            np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
        ),
        "digits": PointCloud(datasets.digits()),
        "sphere S^3 in R^20": Sphere(radius=1.0, dim=20, sphere_dim=4),
        "subspace of R^12": Subspace(basis),
        "torus T^4 in R^30": Torus(radii=(1.0, 1.5, 0.7, 2.0), dim=30),
    }


@pytest.fixture(scope="session")
def second_search():
    """``second_search(value, box)``: the largest value over a box by differential evolution (SciPy), in logarithms.

    It is another optimiser than `papers.proximal.search.maximise` with points of its own, and confirms a stated worst ratio.
    ``value`` takes (n, k) parameters and answers (n,) numbers, NaN where a hypothesis fails.
    """

    def largest(value, box, *, population=15, rounds=80, seed=77):
        low, high = np.log(np.array(list(box.values()))).T

        def cost(u):
            found = value(np.exp(u.T))
            return np.where(np.isnan(found), 0.0, -found)

        result = differential_evolution(
            cost,
            list(zip(low, high)),
            popsize=population,
            maxiter=rounds,
            seed=seed,
            tol=0,
            polish=False,
            updating="deferred",
            vectorized=True,
        )
        return -float(result.fun)

    return largest


def climb(at, point, value, *, width=0.25, sweeps=40, stop=4e-3):
    """The largest value of a coordinate search in the unit cube from ``point``, where ``at`` has ``value``.

    A coordinate's step grows by half where one of its directions is better by 1e-6, and is halved where none is. The trial
    points are clipped to the cube, so that a maximum on a face, an edge or a corner is reached exactly.
    """
    widths = np.full(len(point), width)
    for _ in range(sweeps):
        before = point
        for i, w in enumerate(widths):
            trial = np.repeat(point[np.newaxis], 2, axis=0)
            trial[:, i] = np.clip(point[i] + [-w, w], 0, 1)
            found = at(trial)
            best = int(np.argmax(found))
            better = found[best] > value + 1e-6 * abs(value)
            if better:
                point, value = trial[best], found[best]
            widths[i] *= 1.5 if better else 0.5
        # along a ridge: the sum of the moves of this sweep once more
        trial = np.clip(2 * point - before, 0, 1)[np.newaxis]
        found = at(trial)
        if found[0] > value:
            point, value = trial[0], found[0]
        if widths.max() < stop:
            break
    return value


def climb_from_many(value, box, *, points=64, seed=77):
    """The largest value over a box by `climb`, in logarithms, from the best corner and three points of a Latin hypercube.

    ``value`` is as in `second_search`. The starts do not depend on the stated laws.
    """
    low, high = np.log(np.array(list(box.values()))).T

    def at(unit):
        return np.nan_to_num(value(np.exp(low + (high - low) * unit)), nan=-np.inf)

    corners = np.array(list(itertools.product((0.0, 1.0), repeat=len(box))))
    largest = -np.inf
    for unit, starts in ((qmc.LatinHypercube(len(box), seed=seed).random(points), 3), (corners, 1)):
        values = at(unit)
        for k in np.argsort(values)[-starts:]:
            if np.isfinite(values[k]):
                largest = max(largest, climb(at, unit[k], values[k]))
    return float(largest)


#: family -> (name, box)
FAMILIES = {families.Modes: ("modes on a line", families.MODES), families.Scales: ("scale mixtures", families.SCALES)}


@pytest.fixture
def worst_of_others(check):
    """``worst_of_others(stated, measured, larger)``: the law of the largest ratio found in each family beside the Gaussians.

    ``stated`` holds pairs (ratio, law); ``measured`` and ``larger`` are functions of the law.
    """

    def assert_each(stated, measured, larger):
        for ratio, x in stated:
            bound, law = larger(x), f"{FAMILIES[type(x)][0]}: {x.label()}"
            cause = "remainder: 1e-9 relative: quadrature"
            check.worst(measured(x), bound, ratio=ratio, law=law, tol=1e-9 * bound, cause=cause)

    return assert_each


@pytest.fixture
def search_again(check, second_search):
    """``search_again(worst, gaussian_ratio, stated, other_ratio)``: a second search of every family.

    The Gaussians have ``counts`` steps, by `second_search`; the laws of the other families have as many steps as the stated
    one, by `climb_from_many`. Each search exceeds the stated ratio by at most 1 % and reaches at least .99 of it.
    """

    def confirm(worst, gaussian_ratio, stated, other_ratio, counts=(1, 2, 3, 5, 8, 12, 16)):
        cause, of = "remainder: search: 1 % of the stated ratio", "worst ratio of the box"

        def gaussians(parameters, N):
            S, mu, T, ratio = parameters.T
            return gaussian_ratio(search.Gaussians(S, mu, T, ratio, N))

        found = max(second_search(lambda p, N=N: gaussians(p, N), search.BOX) for N in counts)
        results = [("Gaussians", worst, found)]
        for ratio, x in stated:
            name, box = FAMILIES[type(x)]
            results.append((name, ratio, climb_from_many(families.over(type(x), other_ratio, x.N), box)))

        # a search that stays below the stated ratio would confirm any ratio
        for name, ratio, found in results:
            on = f"{name}, second search: {found:.4f}"
            check.holds(found, 1.01 * ratio, tol=0, cause=cause, on=on, of=of)
            check.holds(0.99 * ratio, found, tol=0, cause=cause, on=on, of="reach of the second search")

    return confirm
