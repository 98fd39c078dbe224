"""Scale mixtures along the forward process, closed recursions on Gaussians, and the search for the worst of them."""

import numpy as np
import pytest
from scipy.integrate import quad

from exactdiffusion import output_laws, schedules
from exactdiffusion.papers.proximal import search
from exactdiffusion.papers.proximal.radial import RadialMixture


def test_recursion_agrees_with_the_law_of_the_output():
    N, T = 12, 1.7
    x = search.Gaussians(np.array([0.3, 2.5]), np.array([0.4, -1.0]), np.full(2, T), np.ones(2), N)
    grid = schedules.vp_linear(N, beta_min=T, beta_max=T)
    for scheme in ("euler_maruyama", "proximal_backward", "proximal_hybrid"):
        mean, variance = output_laws.gaussian(scheme, x.mu, x.S, grid)
        kl = 0.5 * (x.S / variance - 1 - np.log(x.S / variance) + (mean - x.mu) ** 2 / variance)
        assert np.abs(x.marginal_kl(scheme) / kl - 1).max() <= 1e-9  # rounding: kl cancels to 1e-6 of its terms


def test_worst_finds_a_known_corner():
    """The largest S - 3 mu of the box is at the largest variance and the smallest mean."""
    value, target = search.worst(lambda x: x.S - 3 * x.mu, counts=(1,), points=2**8)
    exact = search.BOX["S"][1] - 3 * search.BOX["mu"][0]
    assert abs(value / exact - 1) <= 1e-9
    assert float(target.S[0]) == pytest.approx(search.BOX["S"][1])


def test_means_of_a_mixture_on_a_line():
    """In one dimension the mean of V^2 is an integral over the line, with V = p'' / p from the components."""
    weights, variances = np.array([0.3, 0.7]), np.array([0.5, 2.0])

    def integrand(x):
        parts = weights * np.exp(-(x**2) / (2 * variances)) / np.sqrt(2 * np.pi * variances)
        return np.sum(parts * (x**2 / variances**2 - 1 / variances)) ** 2 / np.sum(parts)

    exact = 2 * quad(integrand, 0, 20, epsabs=1e-13, epsrel=1e-12)[0]
    law = RadialMixture(weights, variances, 1)
    found = law.mean(law.fields(law.radii()).relative_laplacian ** 2)
    assert abs(found / exact - 1) <= 1e-9


def test_refusals():
    for arguments in (([0.5, 0.6], [1.0, 1.0], 2), ([1.0], [-1.0], 2), ([1.0], [1.0], 0)):
        with pytest.raises(ValueError, match=r"^(weights|variances|dim)"):
            RadialMixture(*arguments)
    with pytest.raises(ValueError, match=r"^counts"):
        search.worst(lambda x: x.S, counts=())
