"""Instances of the conditional-mean checks: priors on a line, quadrature over the observation, an independent ODE solver.

Fixtures: ``line`` (priors on a line and what is measured on them), ``mixtures`` (priors in several dimensions).

On a line nothing is sampled. The output f of a long chain is monotone in y and nearly jumps between modes: panels of the
quadrature are bisected until f moves by less than ``JUMP`` on each, and get ten Gauss-Legendre nodes.
"""

import math
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import BSpline, make_interp_spline
from scipy.sparse.linalg import splu

from exactdiffusion import GaussianMixture
from exactdiffusion.papers import conditional_mean as cm

JUMP = 0.5
REACH = 8.5  # standard deviations of every component: the mass beyond is 2e-17


def _prior(weights, means, variances):
    return cm.normalised(GaussianMixture(np.array(weights), np.array(means, float)[:, None], np.array(variances, float)))


#: zero mean and unit variance after normalisation
PRIORS = {
    "gauss": _prior([1.0], [0], [1]),
    "two points": _prior([0.5, 0.5], [-1, 1], [0, 0]),
    "gmm2": _prior([0.5, 0.5], [-1, 1], [0.09, 0.09]),
    "gmm3": _prior([0.5, 0.3, 0.2], [-2, 0.5, 3], [0.2, 0.1, 0.5]),
    "scale mixture": _prior([0.7, 0.3], [0, 0], [0.05, 1]),
}


def observation_density(law, y, sigma):
    """Density of y = x + sigma n, y (n, 1), straight from the parameters."""
    var = np.broadcast_to(law.covariances, law.weights.shape) + sigma**2
    return (law.weights * np.exp(-0.5 * (y - law.means[:, 0]) ** 2 / var) / np.sqrt(2 * np.pi * var)).sum(axis=1)


@lru_cache
def quadrature(name, sigma):
    """Nodes y (n, 1) and weights (n,) of the expectation over y; 0 is a panel end."""
    law = PRIORS[name]
    spread = REACH * np.sqrt(np.broadcast_to(law.covariances, law.weights.shape) + sigma**2)
    ends = np.union1d(np.linspace(np.min(law.means[:, 0] - spread), np.max(law.means[:, 0] + spread), 25), [0.0])
    # two points: the limit jumps at 0 exactly, which is a panel end; elsewhere the jump is resolved
    grid = cm.refined_grid(60, sigma)
    for _ in range(0 if name == "two points" else 30):
        moved = np.diff(cm.denoise(law, grid, ends[:, None], sigma)[:, 0])
        wide = np.flatnonzero((moved > JUMP) & (np.diff(ends) > 1e-9))
        if not len(wide):
            break
        ends = np.union1d(ends, 0.5 * (ends[wide] + ends[wide + 1]))
    u, w = np.polynomial.legendre.leggauss(10)
    half = 0.5 * np.diff(ends)[:, None]
    y = (ends[:-1, None] + half * (1 + u)).reshape(-1, 1)
    return y, (half * w).ravel() * observation_density(law, y, sigma)


def trajectory(law, y, sigma, v_end=1e-7, rtol=1e-10, nodes=None):
    """The limit ODE dz/dlog v = z - D_v(z) by DOP853, from sigma^2 down to v_end, for all rows of y at once.

    Returns the endpoint D_{v_end}(z) (n, d), and z at the levels ``nodes`` (m, n, d) if they are given.
    """
    shape = y.shape

    def slope(s, z):
        z = z.reshape(shape)
        return (z - law.noised(1.0, math.exp(0.5 * s)).denoise(z)).ravel()

    span = (2 * math.log(sigma), math.log(v_end))
    at = None if nodes is None else np.append(np.log(nodes)[::-1], span[1])
    solved = solve_ivp(slope, span, y.ravel(), "DOP853", t_eval=at, rtol=rtol, atol=1e-2 * rtol)
    assert solved.success, solved.message
    end = law.noised(1.0, math.sqrt(v_end)).denoise(solved.y[:, -1].reshape(shape))
    return end if nodes is None else (end, solved.y.T[:-1].reshape(-1, *shape)[::-1])


@lru_cache
def limit(name, sigma):
    """Limit of the chain at the nodes of `quadrature`."""
    y, _ = quadrature(name, sigma)
    return np.sign(y) if name == "two points" else trajectory(PRIORS[name], y, sigma)


class Truth(NamedTuple):
    """The CME at the nodes of `quadrature`, (n, 1), and the MMSE."""

    cme: np.ndarray
    mmse: float


@lru_cache
def truth(name, sigma):
    law, (y, w) = PRIORS[name], quadrature(name, sigma)
    return Truth(cm.cme(law, y, sigma), float(w @ cm.posterior_variance(law, y, sigma)))


def excess(name, sigma, estimate):
    """E |f - CME|^2 / MMSE of an estimate given at the nodes."""
    mean, mmse = truth(name, sigma)
    _, w = quadrature(name, sigma)
    return float(w @ (estimate - mean)[:, 0] ** 2) / mmse


def chain_excess(name, sigma, grid, **options):
    """E |f - CME|^2 / MMSE of the mean chain on the grid, or of another method of `cm.denoise`."""
    y, _ = quadrature(name, sigma)
    return excess(name, sigma, cm.denoise(PRIORS[name], grid, y, sigma, **options))


# -- re-sampled runs without sampling --------------------------------------------------------------------------------------


class OutputMoments(NamedTuple):
    """Mean and second moment (n,) of the output of one re-sampled run, given each observation."""

    mean: np.ndarray
    second: np.ndarray


@lru_cache
def mesh_splines(spacing):
    """The mesh (n,) on +-11, and the function that maps values on it (n, k) to their quintic spline.

    Knots and factors of the collocation matrix are the same for all values.
    """
    mesh = np.arange(-11, 11 + spacing / 2, spacing)
    knots = make_interp_spline(mesh, mesh, k=5).t
    factors = splu(BSpline.design_matrix(mesh, knots, 5).tocsc(), permc_spec="NATURAL")
    return mesh, lambda values: BSpline(knots, factors.solve(values), 5)


@lru_cache
def output_moments(law, n, variance, spacing):
    """``function(z)``: mean and second moment (len(z), 2) of the output of n steps given z at the first level, sigma = 1."""
    v = cm.refined_grid(n, 1.0).noise_ratio ** 2
    mesh, spline = mesh_splines(spacing)
    xi, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()

    def denoised(i, z):
        return law.noised(1.0, np.sqrt(v[i])).denoise(z.reshape(-1, 1)).reshape(z.shape)

    def step(i, z, later):
        """One step of the recursion: the moments at z from those at the next level."""
        after, now = v[i + 1], v[i]
        factor = {"small": after / now, "large": (1 + after) / (1 + now), "difference": 1.0}[variance]
        mean = after / now * z + (1 - after / now) * denoised(i, z)
        nodes = np.clip(mean[:, None] + np.sqrt((now - after) * factor) * xi, mesh[0], mesh[-1])
        return weights @ spline(later)(nodes)

    # the last step has no noise; then back to the first level
    output = denoised(n - 1, mesh)
    moments = np.stack([output, output**2], axis=-1)
    for i in range(n - 2, 0, -1):
        moments = step(i, mesh, moments)
    return lambda z: step(0, z, moments)


def resampled(law, n, y, variance="small", spacing=0.04):
    """`OutputMoments` of a run of n steps from sigma = 1, given y (n, 1): noise of variance beta-tilde (small), beta (large)
    or v - v' in z (difference); functions on a mesh of the given spacing."""
    return OutputMoments(*output_moments(law, n, variance, spacing)(y[:, 0]).T)


@pytest.fixture(scope="session")
def line():
    """Priors on a line, ``quadrature, truth, limit, excess, chain_excess, trajectory, resampled``."""
    return SimpleNamespace(
        priors=PRIORS,
        quadrature=quadrature,
        truth=truth,
        limit=limit,
        excess=excess,
        chain_excess=chain_excess,
        trajectory=trajectory,
        resampled=resampled,
        density=observation_density,
    )


@pytest.fixture(scope="session")
def mixtures():
    """Mixtures in several dimensions, full covariances, some singular."""
    rng = np.random.default_rng(240302957)
    found = {}
    for name, K, d in (("3 components in the plane", 3, 2), ("5 components in R^6", 5, 6)):
        A = rng.standard_normal((K, d, d)) * rng.uniform(0.1, 1, (K, 1, 1))
        C = A @ np.swapaxes(A, 1, 2) / d
        C[0, :, 0] = C[0, 0, :] = 0.0
        found[name] = cm.normalised(GaussianMixture(rng.dirichlet(np.full(K, 4.0)), 2 * rng.standard_normal((K, d)), C))
    return found
