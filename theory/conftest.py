"""Shared by the theorem checks: closed sets with exact projections, and searches for the worst law of a bound."""

import numpy as np
import pytest
from scipy.optimize import differential_evolution

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


#: family -> (name, box)
FAMILIES = {families.Modes: ("modes on a line", families.MODES), families.Scales: ("scale mixtures", families.SCALES)}


@pytest.fixture
def worst_of_others(check):
    """``worst_of_others(stated, measured, larger)``: the worst law found in each family beside the Gaussians.

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

    The Gaussians have ``counts`` steps, and the laws of the other families have as many steps as the stated one.
    """

    def confirm(worst, gaussian_ratio, stated, other_ratio, counts=(1, 2, 3, 5, 8, 12, 16)):
        cause, of = "remainder: search: 1 % of the stated ratio", "worst ratio of the box"

        def gaussians(parameters, N):
            S, mu, T, ratio = parameters.T
            return gaussian_ratio(search.Gaussians(S, mu, T, ratio, N))

        found = max(second_search(lambda p, N=N: gaussians(p, N), search.BOX) for N in counts)
        check.holds(found, 1.01 * worst, tol=0, cause=cause, on=f"Gaussians, second search: {found:.4f}", of=of)
        for ratio, x in stated:
            name, box = FAMILIES[type(x)]
            found = second_search(families.over(type(x), other_ratio, x.N), box, population=4, rounds=8)
            check.holds(found, 1.01 * ratio, tol=0, cause=cause, on=f"{name}, second search: {found:.4f}", of=of)

    return confirm
