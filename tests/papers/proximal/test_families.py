"""Modes on a line and scale mixtures, in which worst ratios are searched, against quadrature and closed recursions."""

import dataclasses
import math

import numpy as np
import pytest

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.proximal import budgets, families, search
from exactdiffusion.statements import proximal

SCHEMES = ("proximal_backward", "proximal_hybrid", "euler_maruyama")


def test_budgets_of_scale_mixtures_on_a_line():
    """In one dimension the integrals over the radius are the double integrals of the budgets over the line."""
    x = families.Scales(1.0, 0.5, 2.0, 1.0, 0.4, 1.7, N=3)
    law = GaussianMixture(x.law.weights, np.zeros((2, 1)), x.law.variances)
    exact = [budgets.budget(law, x.grid).total]
    exact += [budgets.conditional_budget(law, x.grid, scheme).total for scheme in SCHEMES[1:]]
    found = [x.budget(scheme, order=12) for scheme in SCHEMES]
    assert np.abs(np.divide(found, exact) - 1).max() <= 1e-8  # quadrature in s: six nodes a step on the line


def test_a_single_gaussian_in_seven_dimensions():
    """Two equal variances are a Gaussian, of which every quantity is seven times that of one coordinate."""
    x = families.Scales(7.0, 0.6, 1.0, 0.5, 0.3, 2.0, N=3)
    one = search.Gaussians(np.array([0.6]), np.zeros(1), np.array([0.3]), np.array([2.0]), 3)
    assert np.abs(x.g / one.g[:, 0] - 1).max() <= 1e-12
    assert x.budget("proximal_backward") == pytest.approx(7 * float(one.budget()[0]), rel=1e-9)
    for scheme in SCHEMES:
        assert x.marginal_kl(scheme) == pytest.approx(7 * float(one.marginal_kl(scheme)[0]), rel=1e-7)
        if scheme != "proximal_backward":
            trajectory = 7 * float(one.trajectory_kl(scheme)[0])
            assert trajectory < x.budget(scheme) < 1.2 * trajectory
    assert x.largest == pytest.approx((1 / 0.6, 0.0))


def test_modes():
    """Two equal modes have the certified constants, and the bounds are the registered ones."""
    x = families.Modes(0.4, 1.2, 1.0, 0.0, 0.5, 0.3, 1.0, N=4)
    assert len(x.law.weights) == 2
    a = 1.2 * math.sqrt(0.4)
    L, H = proximal.mixture_constants(0.4, 2 * a, 0.3)
    assert x.largest == pytest.approx((L, H), rel=1e-3)  # nodes in space, five times
    assert x.second_moment == pytest.approx(0.4 + a * a)
    assert x.marginal_kl("proximal_backward") <= x.budget() <= x.closed("proximal_backward")
    assert x.trajectory_kl("proximal_hybrid") <= x.closed("proximal_hybrid")
    three = dataclasses.replace(x, middle=0.7, place=0.25)
    assert sorted(three.law.means[:, 0]) == pytest.approx([-a, -a / 2, a])


def test_outside_of_a_theorem_the_value_is_nan():
    long = families.Modes(0.05, 3.0, 1.0, 0.5, 0.5, 12.0, 1.0, N=4)
    values = [long.marginal_kl("proximal_backward"), long.budget(), long.closed("proximal_backward")]
    values.append(families.Scales(4.0, 0.05, 3.0, 1.0, 12.0, 1.0, N=1).closed("proximal_hybrid"))
    values.append(dataclasses.replace(long, T=1.5).marginal_kl("proximal_backward"))  # J < 0 between the modes
    assert np.isnan(values).all()


def test_maximise_refines_and_skips_nan():
    """The top of a bump away from the Sobol points, with NaN on half of the box."""

    def bump(p):
        return np.where(p[:, 0] > 2.0, np.nan, -(np.log(p[:, 0] / 1.7) ** 2) - np.log(p[:, 1] / 0.3) ** 2)

    value, point = search.maximise(bump, {"a": (0.1, 10.0), "b": (0.01, 10.0)}, points=2**7, rounds=40)
    assert value > -1e-6
    assert point == pytest.approx([1.7, 0.3], rel=1e-3)
