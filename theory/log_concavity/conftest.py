"""Instances and runs that the log-concavity checks share.

Fixtures: ``measured`` and ``kalman`` (random mixtures with their posteriors by sequential assimilation), ``sums`` (the
one-at-a-time chain on a line), ``radii`` (the same for radial laws in R^d), ``backward`` (the backward equation on a line).
"""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import gammaln, ive

from exactdiffusion import GaussianMixture, Grid, distances
from exactdiffusion.output_laws import line
from exactdiffusion.papers.log_concavity.walk_jump import conditional_target
from exactdiffusion.papers.proximal import families, search
from exactdiffusion.statements import log_concavity as bound

# -- many measurements: posteriors by sequential assimilation --------------------------------------------------------------
#
# The reference takes the measurements one at a time, component by component, by the Kalman update in Joseph form, and never
# forms their mean: another algorithm than the library's, which notes the mean and noises the law once.


def assimilate(weights, means, covariances, y, sigma):
    """Posterior mixture (weights, means, covariances) and log p(y_1..y_m), one measurement at a time; y (m, d)."""
    K, d = means.shape
    with np.errstate(divide="ignore"):  # a weight may be 0 after many measurements
        log_w = np.log(weights)
    mu, P = means.copy(), covariances.copy()
    eye = np.eye(d)
    for row in y:
        for k in range(K):
            S = P[k] + sigma**2 * eye
            gain = np.linalg.solve(S, P[k]).T
            innovation = row - mu[k]
            log_w[k] -= 0.5 * (innovation @ np.linalg.solve(S, innovation) + np.linalg.slogdet(2 * np.pi * S)[1])
            mu[k] = mu[k] + gain @ innovation
            P[k] = (eye - gain) @ P[k] @ (eye - gain).T + sigma**2 * gain @ gain.T
    top = log_w.max()
    w = np.exp(log_w - top)
    return w / w.sum(), mu, P, top + np.log(w.sum())


def moments(weights, means, covariances):
    """Mean and covariance of a mixture."""
    mean = weights @ means
    spread = means - mean
    return mean, np.tensordot(weights, covariances, 1) + (weights[:, None] * spread).T @ spread


@dataclass(frozen=True)
class Instance:
    """A random mixture in R^d, d <= 6, and m measurements of one draw, with the posterior by assimilation.

    Attributes
    ----------
    law, sigma, m, d
    y : array, shape (m, d)
        The measurements.
    before : tuple
        Weights, means, covariances and log p(y_1..y_{m-1}) of the posterior given all measurements but the last.
    mean, covariance, log_p : arrays of shape (d,), (d, d), and a number
        Posterior mean and covariance, and log p(y_1..y_m).
    size : float
        Size of measurements and components, the scale of rounding errors.
    """

    law: GaussianMixture
    sigma: float
    m: int
    d: int
    y: np.ndarray
    before: tuple
    mean: np.ndarray
    covariance: np.ndarray
    log_p: float
    size: float

    @property
    def total(self):
        """The sum of all measurements, (1, d)."""
        return self.y.sum(axis=0)[None]

    @property
    def last(self):
        """The last measurement, (1, d)."""
        return self.y[-1:]

    @property
    def past(self):
        """The sum of the others, (1, d)."""
        return self.total - self.last

    @property
    def s(self):
        """sigma^2 / m."""
        return self.sigma**2 / self.m

    @property
    def noised(self):
        """The law noised by sigma / sqrt(m), the law of the mean of the measurements."""
        return self.law.noised(1.0, self.sigma / np.sqrt(self.m))

    @property
    def predictive(self):
        """p(y_m | y_1..y_{m-1}) as a mixture whose parameters never saw the mean of the measurements."""
        w, mu, P, _ = self.before
        return GaussianMixture(w, mu, 0.5 * (P + np.swapaxes(P, 1, 2)) + self.sigma**2 * np.eye(self.d))

    def six(self, a):
        """``a`` with rows and columns of zeros up to six, so that instances of all dimensions are one array."""
        return np.pad(np.asarray(a), (0, 6 - self.d))


def instance(rng):
    """`Instance` of a random mixture: scale 1e-2 .. 1e2, some components on lines or atoms, m <= 49 measurements."""
    d, K, m = int(rng.integers(1, 7)), int(rng.integers(1, 6)), int(np.ceil(49 ** rng.uniform(0, 1)))
    scale = 10.0 ** rng.uniform(-2, 2)
    sigma = scale * 10.0 ** rng.uniform(-1.5, 1.5)

    # the mixture: one component in five is an atom, one lies on a line
    weights = rng.dirichlet(np.ones(K))
    means = scale * rng.standard_normal((K, d))
    root = scale * 10.0 ** rng.uniform(-1, 0.3) * rng.standard_normal((K, d, d)) / np.sqrt(d)
    for k in range(K):
        kind = rng.integers(5)
        if kind == 0:
            root[k] = 0.0
        elif kind == 1:
            root[k, :, : d - 1] = 0.0
    covariances = root @ np.swapaxes(root, 1, 2)

    # measurements of one draw; 15 % of them far from every component
    k = rng.choice(K, p=weights)
    x = means[k] + root[k] @ rng.standard_normal(d)
    y = x + sigma * rng.standard_normal((m, d))
    if rng.uniform() < 0.15:
        y += 10 * scale * rng.standard_normal(d)

    # the posterior, by assimilation
    before = assimilate(weights, means, covariances, y[:-1], sigma)
    w, mu, P, last = assimilate(*before[:3], y[-1:], sigma)
    size = np.max(np.abs(y)) + np.max(np.abs(means))
    law = GaussianMixture(weights, means, covariances)
    return Instance(law, sigma, m, d, y, before, *moments(w, mu, P), before[3] + last, size)


@pytest.fixture(scope="session")
def measured():
    """200 random instances."""
    rng = np.random.default_rng(40)
    return [instance(rng) for _ in range(200)]


@pytest.fixture(scope="session")
def kalman():
    """The functions themselves."""
    return SimpleNamespace(assimilate=assimilate, moments=moments)


# -- the one-at-a-time chain on a line: laws of the kept sum, by sums over a grid ------------------------------------------


def inner_law(law, sigma2, total, m, y):
    """p(y | sum of m measurements) on the grid y (k,) for every sum (n,): (n, k), from the library's log density."""
    sums, at = np.repeat(total, len(y))[:, None], np.tile(y, len(total))[:, None]
    logs = conditional_target(law, sums, m, np.sqrt(sigma2)).log_density(at).reshape(len(total), len(y))
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def euler_law(law, sigma2, total, m, y):
    """The law of y = Xhat + sigma xi, as `inner_law`: no inner step."""
    xhat = law.noised(1, np.sqrt(sigma2 / m)).denoise((total / m)[:, None])[:, 0] if m else np.zeros(len(total))
    p = np.exp(-((y - xhat[:, None]) ** 2) / (2 * sigma2))
    return p / p.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class SumLaw:
    """Probabilities p (n,) of the sum of the measurements on a grid ``total`` (n,)."""

    total: np.ndarray
    p: np.ndarray

    def after(self, kernel, y, step):
        """The law after one more measurement, of law ``kernel`` (n, k) given the sums, on the grid y (k,) of this step."""
        p = np.zeros(len(self.total) + len(y) - 1)
        for i in range(len(self.total)):
            p[i : i + len(y)] += self.p[i] * kernel[i]
        return SumLaw(self.total[0] + y[0] + step * np.arange(len(p)), p)


@pytest.fixture(scope="session")
def sums():
    """Laws of the kept sum on a grid: ``inner_law``, ``euler_law``, and the law ``start`` of the empty sum."""
    return SimpleNamespace(inner_law=inner_law, euler_law=euler_law, start=SumLaw(np.zeros(1), np.ones(1)))


# -- the one-at-a-time chain of a radial law in R^d: laws of the radius of the kept sum -------------------------------------


def noncentral_chi(r, centre, variance, d):
    """Density at r > 0 of the norm of N(u, variance I) in R^d with |u| = centre; arrays that broadcast."""
    nu, z = d / 2 - 1, np.maximum(r * centre / variance, 1e-9)
    # (z/2)^-nu I_nu(z) exp(-z), which is 1 / Gamma(d / 2) at 0
    bessel = np.where(z > 1e-9, np.log(ive(nu, z)) - nu * np.log(z / 2), -gammaln(nu + 1))
    size = (d - 1) * np.log(r) - 0.5 * d * np.log(variance) - nu * np.log(2)
    return np.exp(size - 0.5 * (r - centre) ** 2 / variance + bessel)


@dataclass(frozen=True)
class RadiusLaw:
    """Density ``p`` (n,) of a radius at nodes ``r`` (n,) with weights ``w`` (n,) of a Gauss rule."""

    r: np.ndarray
    w: np.ndarray
    p: np.ndarray

    def after(self, kernel, top, nodes):
        """The law of the next radius, below ``top``, from the density ``kernel(here (n, 1), there (1, k))``."""
        there = radius_nodes(top, nodes)
        return RadiusLaw(*there, (self.w * self.p) @ kernel(self.r[:, None], there[0]))


def radius_nodes(top, nodes):
    """Nodes and weights of the Gauss rule on [0, top]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return 0.5 * top * (x + 1), 0.5 * top * w


@pytest.fixture(scope="session")
def radii():
    """Laws of radii: ``noncentral_chi``, ``nodes`` of a rule, and ``law``, a density at nodes."""
    return SimpleNamespace(noncentral_chi=noncentral_chi, nodes=radius_nodes, law=RadiusLaw)


# -- the backward equation on a line ---------------------------------------------------------------------------------------


def uniform_grid(T, N):
    """The times t_k = T - T k/N in VP coordinates: the library's clock is 2 t, so its steps are those of the statements."""
    scale, sigma = bound.ornstein_uhlenbeck_level(T * (N - np.arange(N + 1)) / N)
    return Grid(scale, sigma)


def exponential_integrator(error=None, factor=2.0):
    """The scheme Y' = e^-h Y + factor (1 - e^-h) (u + e)(Y) + sqrt(1 - e^-2h) z with u = score + y frozen over the step.

    ``error(level, y)`` is the error e of the field and its derivative in y, 0 by default; ``factor`` is 2 in the equation.
    """

    def scheme(start, end, g):
        h = g / 2
        pull = -factor * math.expm1(-h)

        def mean(y):
            e, slope = (0.0, 0.0) if error is None else error(start, y)
            field, derivative = y + start.score(y) + e, 1 + start.curvature(y) + slope
            return math.exp(-h) * y + pull * field, math.exp(-h) + pull * derivative

        return line.Explicit(mean, -math.expm1(-g))

    return scheme


def shift(size):
    """A constant error of the field."""
    return lambda start, y: (size + 0 * y, 0 * y)


def proportional(size):
    """An error that follows the truth: the field u itself, scaled by 1 + size."""
    return lambda start, y: (size * (y + start.score(y)), size * (1 + start.curvature(y)))


def wave(size):
    """An oscillating error, size cos(3 y)."""
    return lambda start, y: (size * np.cos(3 * y), -3 * size * np.sin(3 * y))


def bump(size):
    """An error near the origin, size exp(-y^2 / 2)."""
    return lambda start, y: (size * np.exp(-0.5 * y**2), -size * y * np.exp(-0.5 * y**2))


@dataclass(frozen=True)
class Relative:
    """A law r_t against gamma = N(0, 1): KL, relative Fisher information, and the second moment of an error under r_t."""

    kl: float
    information: float
    error: float


def relative(law, t, error=None):
    """`Relative` of X_t by quadrature on 8001 nodes, which cover the law and all of the standard normal."""
    scale, sigma = (float(v) for v in bound.ornstein_uhlenbeck_level(t))
    low, high = line.support(law, scale, sigma)
    x, step = np.linspace(min(low, -9.0), max(high, 9.0), 8001, retstep=True)
    level = line.Level(law, scale, sigma)

    log_r = level.log_density(x)
    p = np.exp(log_r)
    kl = distances.kl_quadrature(log_r, -0.5 * x**2 - 0.5 * math.log(2 * math.pi), np.full(len(x), step), log=True)
    square = 0.0 if error is None else step * p @ error(level, x)[0] ** 2
    return Relative(kl, step * p @ (level.score(x) + x) ** 2, square)


def run(law, T, N, error=None):
    """Divergences of the output of N steps from gamma: ``kl.value``, ``kl.error`` (of the quadrature), ``tv.value``."""
    return line.study(law, uniform_grid(T, N), exponential_integrator(error), start="normal").divergences


def error_sizes(law, T, N, error):
    """Root mean squares eps_k, (N,), of the error under the exact law at the times t_0 = T, ..., t_{N-1}."""
    return np.array([math.sqrt(relative(law, T * (N - k) / N, error).error) for k in range(N)])


@dataclass(frozen=True)
class Shifts:
    """Shifts e_k, (N,), of the field on p = gamma, and the mean M of the output N(M, 1), whose KL is M^2 / 2."""

    errors: np.ndarray
    mean: float

    @property
    def kl(self):
        return 0.5 * self.mean**2


def sharp_shifts(T, N):
    """The unit vector of shifts that moves the output farthest: e_k proportional to exp(-(T - t_{k+1}))."""
    h = T / N
    weight = -2 * math.expm1(-h) * np.exp(-h * (N - 1 - np.arange(N)))
    errors = weight / np.sqrt(np.sum(weight**2))
    return Shifts(errors, float(weight @ errors))


def gaussian_output_kl(x, errors=None):
    """KL(p | output), (n,), for Gaussians p of a search and x.N equal steps with shifts ``errors`` (N, n) of the field."""
    h = x.T / x.N
    mean, variance, pull = np.zeros_like(x.S), np.ones_like(x.S), -2 * np.expm1(-h)
    for k in range(x.N):
        # the score of r_t = N(m_t, v_t), frozen over the step
        t = x.T - k * h
        v, m = 1 + np.exp(-2 * t) * (x.S - 1), np.exp(-t) * x.mu
        slope = np.exp(-h) + pull * (1 - 1 / v)
        mean = slope * mean + pull * (m / v + (0.0 if errors is None else errors[k]))
        variance = slope**2 * variance - np.expm1(-2 * h)
    return search.gaussian_kl(x.mu, x.S, mean, variance)


def family_sides(x):
    """Both sides of `conforti_kl` for modes on a line or a scale mixture and x.N equal steps.

    The smaller side is KL(p | output) on a line. For a scale mixture it is the sharper form of the bound, by integrals over
    the radius.
    """
    h = x.T / x.N
    if isinstance(x, families.Modes):
        out = line.propagate(x.law, uniform_grid(x.T, x.N), exponential_integrator(), start="normal")
        start = relative(x.law, 0.0)
        return line.divergences(out.target, out.law).kl, float(bound.conforti_kl(x.T, h, start.kl, start.information))

    def against_normal(t):
        law = x.law.noised(2 * t)
        r = law.radii()
        kl = law.mean(law.log_density(r) + 0.5 * r**2) + 0.5 * x.dim * math.log(2 * math.pi)
        return kl, law.mean(law.fields(r).squared_score) - 2 * x.dim + law.second_moment

    # KL_T + sum of the integrals of I_t - (2 e^a - 1) I_(t_k), six Gauss-Legendre nodes in each step
    nodes, weights = np.polynomial.legendre.leggauss(6)
    sharper = against_normal(x.T)[0]
    for t in x.T - h * np.arange(x.N):
        first = against_normal(t)[1]
        for a, weight in zip(0.5 * h * (1 + nodes), 0.5 * h * weights):
            sharper += weight * (against_normal(t - a)[1] - (2 * math.exp(a) - 1) * first)
    return sharper, float(bound.conforti_kl(x.T, h, *against_normal(0.0)))


@pytest.fixture(scope="session")
def backward():
    """The backward equation on a line: grids, schemes, errors of the field, runs, and laws against N(0, 1)."""
    return SimpleNamespace(
        grid=uniform_grid,
        run=run,
        error_sizes=error_sizes,
        sharp_shifts=sharp_shifts,
        scheme=exponential_integrator,
        relative=relative,
        shift=shift,
        proportional=proportional,
        wave=wave,
        bump=bump,
        gaussian_kl=gaussian_output_kl,
        family_sides=family_sides,
    )
