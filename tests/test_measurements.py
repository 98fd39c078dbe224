"""Several measurements of one X: contract, bad input, array kinds, draws, line integrals; identities are in theory/."""

import math

import mpmath
import numpy as np
import pytest

from exactdiffusion import Denoiser, GaussianMixture, Noise, PointCloud, Sphere, Subspace, measurements
from exactdiffusion.propagation import grid, langevin

EPS = np.finfo(float).eps


@pytest.fixture(scope="module")
def laws():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3, 3))
    return {
        "full": GaussianMixture([0.2, 0.5, 0.3], rng.standard_normal((3, 3)), root @ np.swapaxes(root, 1, 2)),
        "diagonal": GaussianMixture(
            [0.4, 0.0, 0.6], rng.standard_normal((3, 3)), rng.uniform(0, 1, (3, 3)), covariance_type="diag"
        ),
        "isotropic": GaussianMixture([0.4, 0.6], rng.standard_normal((2, 3)), np.array([0.0, 0.5])),
        "cloud": PointCloud(rng.standard_normal((9, 3)), rng.dirichlet(np.ones(9))),
        "noised cloud": PointCloud(rng.standard_normal((5, 3))).noised(0.7, 0.3),
        "subspace": Subspace(rng.standard_normal((3, 2)), covariance=np.diag([1.0, 0.3])),
    }


NAMES = ("full", "diagonal", "isotropic", "cloud", "noised cloud", "subspace")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("m", [0, 1, 7])
def test_posterior_mixture_has_the_posterior_moments(laws, name, m):
    law, sigma = laws[name], 0.8
    total = 2.0 * np.random.default_rng(1).standard_normal((1, 3))
    q = measurements.posterior_mixture(law, total, m, sigma)
    if name == "noised cloud":
        law = law.materialise()  # denoise of a noised law speaks of the variable before its noise
    tol = 256 * EPS * 10
    np.testing.assert_allclose(q.mean, measurements.posterior_mean(law, total, m, sigma)[0], rtol=0, atol=tol)
    np.testing.assert_allclose(q.covariance, measurements.posterior_covariance(law, total, m, sigma)[0], rtol=0, atol=tol)
    y = total + np.random.default_rng(2).standard_normal((6, 3))
    before = np.repeat(total, 6, axis=0)
    p = measurements.predictive_mixture(law, total, m, sigma)
    for exact, own in (
        (p.score(y), measurements.conditional_score(law, y, before, m, sigma)),
        (p.hessian(y), measurements.conditional_hessian(law, y, before, m, sigma)),
        (p.log_density(y), measurements.conditional_log_density(law, y, before, m, sigma)),
    ):
        np.testing.assert_allclose(own, exact, rtol=0, atol=tol * 10)


def test_no_measurement_is_the_prior(laws):
    law = laws["full"]
    junk = np.full((2, 3), 1e6)
    np.testing.assert_allclose(measurements.posterior_mean(law, junk, 0, 0.5), np.tile(law.mean, (2, 1)), atol=16 * EPS)
    y = np.ones((2, 3))
    assert np.array_equal(measurements.conditional_score(law, y, junk, 0, 0.5), law.noised(1.0, 0.5).score(y))
    assert np.array_equal(measurements.conditional_log_density(law, y, junk, 0, 0.5), law.noised(1.0, 0.5).log_density(y))


def test_users_denoiser_gives_the_score(laws):
    law = laws["full"]
    wrapped = Denoiser(lambda x, sigma: law.noised(1.0, sigma).denoise(x), 3)
    rng = np.random.default_rng(3)
    y, total = rng.standard_normal((2, 5, 3))
    a, b = (measurements.conditional_score(one, y, total, 4, 0.6) for one in (law, wrapped))
    np.testing.assert_allclose(a, b, rtol=0, atol=256 * EPS / 0.36)


def test_joint_is_the_sum_of_conditionals(laws):
    law, sigma = laws["full"], 0.7
    y = np.random.default_rng(4).standard_normal((3, 5, 3))
    total, value = np.zeros((3, 3)), 0.0
    for t in range(5):
        value = value + measurements.conditional_log_density(law, y[:, t], total, t, sigma)
        total = total + y[:, t]
    np.testing.assert_allclose(measurements.joint_log_density(law, y, sigma), value, rtol=0, atol=1e3 * EPS * 20)
    last = measurements.conditional_score(law, y[:, 4], total - y[:, 4], 4, sigma)
    np.testing.assert_allclose(measurements.joint_score(law, y, sigma)[:, 4], last, rtol=0, atol=1e3 * EPS / sigma**2)


@pytest.mark.parametrize("name", ["full", "cloud", "subspace"])
def test_other_array_kinds(laws, name):
    strict = pytest.importorskip("array_api_strict")
    law, rng = laws[name], np.random.default_rng(5)
    y, total = rng.standard_normal((2, 4, 3))
    Y = rng.standard_normal((2, 3, 3))
    calls = [
        (measurements.posterior_mean, (total, 3, 0.9)),
        (measurements.posterior_covariance, (total, 3, 0.9)),
        (measurements.predictive_covariance, (total, 3, 0.9)),
        (measurements.conditional_score, (y, total, 3, 0.9)),
        (measurements.conditional_hessian, (y, total, 3, 0.9)),
        (measurements.conditional_log_density, (y, total, 3, 0.9)),
        (measurements.joint_log_density, (Y, 0.9)),
        (measurements.joint_score, (Y, 0.9)),
        (measurements.joint_hessian, (Y, 0.9)),
    ]
    for function, args in calls:
        expected = function(law, *args)
        out = function(law, *(strict.asarray(a) if isinstance(a, np.ndarray) else a for a in args))
        assert type(out).__module__.startswith("array_api_strict"), function.__name__
        np.testing.assert_allclose(np.asarray(out), expected, rtol=0, atol=1e4 * EPS, err_msg=function.__name__)
    draws = measurements.predictive_sample(law, strict.asarray(total), 3, 0.9, Noise(6))
    assert np.array_equal(np.asarray(draws), measurements.predictive_sample(law, total, 3, 0.9, Noise(6)))


@pytest.mark.parametrize("name", ["full", "diagonal", "isotropic", "cloud"])
def test_draws(laws, name, chance):
    """Rows do not depend on the batch; mean and covariance are those of the posterior; support respected."""
    draw = chance(comparisons=9)
    law, n, m, sigma = laws[name], 20_000, 4, 1.3
    total = np.random.default_rng(7).standard_normal((1, 3))
    x = measurements.posterior_sample(law, np.repeat(total, n, axis=0), m, sigma, draw.noise(8))
    part = measurements.posterior_sample(law, np.repeat(total, 50, axis=0), m, sigma, draw.noise(8).rows(100))
    np.testing.assert_allclose(part, x[100:150], rtol=0, atol=16 * EPS * 10)
    q = measurements.posterior_mixture(law, total, m, sigma)
    spread = x - q.mean
    i, j = np.triu_indices(3)
    draw.mean(spread, 0.0, on=f"mean of the posterior, {name}", tol=1e-15)
    draw.mean(spread[:, i] * spread[:, j], q.covariance[i, j], on=f"covariance of the posterior, {name}", tol=1e-15)
    if name == "cloud":
        assert law.distance(x).max() == 0.0
    y = measurements.restricted_gaussian_oracle(law, total, 0.5, Noise(9))
    assert np.array_equal(y, measurements.posterior_sample(law, total, 1, math.sqrt(0.5), Noise(9)))
    assert measurements.posterior_sample(law, np.zeros((0, 3)), 1, 1.0, Noise(9)).shape == (0, 3)
    for sigma in (5e-324, 1e-100):  # the first is 0 over sqrt(5)
        for d in (3, 8):  # dense kernels of few and of many dimensions
            cloud, none = PointCloud(np.eye(5, d)), np.zeros((0, d))
            assert measurements.posterior_sample(cloud, none, 5, sigma, Noise(9)).shape == (0, d)
    law, none = GaussianMixture(None, np.zeros((1, 3)), 1.0), np.zeros((0, 3))
    with pytest.raises(ValueError, match=r"^law, y, total, m, sigma: "):
        measurements.conditional_log_density(law, none, none, 1, 5e-324)


GOOD = GaussianMixture(None, np.zeros((1, 2)), 1.0)
ROW = np.zeros((1, 2))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("m", lambda: measurements.posterior_mean(GOOD, ROW, -1, 1.0)),
        ("m", lambda: measurements.posterior_mean(GOOD, ROW, 1.5, 1.0)),
        ("sigma", lambda: measurements.posterior_mean(GOOD, ROW, 1, 0.0)),
        ("sigma", lambda: measurements.posterior_covariance(GOOD, ROW, 1, math.nan)),
        ("total", lambda: measurements.posterior_mean(GOOD, np.zeros((1, 3)), 1, 1.0)),
        ("total", lambda: measurements.posterior_mean(GOOD, np.zeros(2), 1, 1.0)),
        ("law", lambda: measurements.posterior_mean(3, ROW, 1, 1.0)),
        ("y", lambda: measurements.conditional_score(GOOD, np.zeros((1, 3)), ROW, 1, 1.0)),
        ("total", lambda: measurements.conditional_score(GOOD, ROW, np.zeros((2, 2)), 1, 1.0)),
        ("sigma", lambda: measurements.conditional_hessian(GOOD, ROW, ROW, 1, -1.0)),
        ("y", lambda: measurements.joint_log_density(GOOD, ROW, 1.0)),
        ("y", lambda: measurements.joint_hessian(GOOD, np.zeros((1, 0, 2)), 1.0)),
        ("total", lambda: measurements.posterior_mixture(GOOD, np.zeros((3, 2)), 1, 1.0)),
        ("law", lambda: measurements.posterior_mixture(Sphere(radius=1.0, dim=2), ROW, 1, 1.0)),
        ("law", lambda: measurements.posterior_sample(Subspace(np.eye(2)[:, :1]), ROW, 1, 1.0, Noise(0))),
        ("h", lambda: measurements.restricted_gaussian_oracle(GOOD, ROW, 0.0, Noise(0))),
        ("law", lambda: measurements.line_quadrature(GOOD, 1.0)),
        ("sigma", lambda: measurements.line_quadrature(PointCloud(np.zeros((1, 1))), 0.0)),
        ("law", lambda: measurements.line_jump_w2(GaussianMixture(None, np.zeros((2, 1)), np.array([0.0, 1.0])), 1, 1.0)),
        ("m", lambda: measurements.line_mmse(PointCloud(np.zeros((1, 1))), 0, 1.0)),
        ("h", lambda: langevin.ula(GaussianMixture(None, np.zeros((1, 1)), 1.0), None, -1.0, (1,), np.linspace(-1, 1, 9))),
        (
            "nodes",
            lambda: langevin.ula(GaussianMixture(None, np.zeros((1, 1)), 1.0), None, 0.01, (1,), np.linspace(-9, 9, 9)),
        ),
    ],
)
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


def test_line_integrals_against_mpmath(accuracy):
    """E C and W2^2 of two points, and the Fisher information of two Gaussians, in 30 digits."""
    pair = PointCloud(np.array([[-1.0], [1.0]]))
    with mpmath.workdps(30):

        def density(y, s):
            return (mpmath.npdf(y, -1, mpmath.sqrt(s)) + mpmath.npdf(y, 1, mpmath.sqrt(s))) / 2

        for s in (mpmath.mpf("0.1"), mpmath.mpf(2)):
            cuts = [-14, -4, -1, 0, 1, 4, 14]
            mmse = mpmath.quad(lambda y, s=s: density(y, s) * mpmath.sech(y / s) ** 2, cuts)
            w2 = 2 * mpmath.quad(lambda y, s=s: density(y, s) * (1 - mpmath.tanh(y / s)) ** 2, [0, 0.5, 1, 2, 4, 14])
            sigma = math.sqrt(float(s) * 3)
            for name, exact in (("line_mmse", mmse), ("line_jump_w2", w2)):
                error = abs(getattr(measurements, name)(pair, 3, sigma) / float(exact) - 1)
                accuracy(f"measurements.{name}", error, 1e-12, "quadrature, 30 digits")
            y, weights = measurements.line_quadrature(pair, math.sqrt(s))
            for k, moment in enumerate((1, 0, 1 + s, 0, 1 + 6 * s + 3 * s * s)):
                error = abs(float(weights @ y**k) - float(moment))
                limit = 1e-13 * (1 + float(moment))
                accuracy("measurements.line_quadrature", error, limit, "moments of two points and noise")

        def score_squared(x):
            a, b = mpmath.mpf("0.2") * mpmath.npdf(x, -3, 1), mpmath.mpf("0.8") * mpmath.npdf(x, 3, 1)
            return ((a * (-3 - x) + b * (3 - x)) / (a + b)) ** 2 * (a + b)

        information = mpmath.quad(score_squared, [-16, -6, -3, -1, 0, 1, 3, 6, 16])
    law = GaussianMixture([0.2, 0.8], np.array([[-3.0], [3.0]]), 1.0)
    error = abs(measurements.fisher_information(law) / float(information) - 1)
    accuracy("measurements.fisher_information", error, 1e-12, "quadrature, 30 digits")


def test_line_jump_of_separate_modes():
    """Modes 17 deviations apart, where the quantile function nearly jumps: adaptive quadrature over each mode."""
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.special import ndtr

    R, sigma = 3 * math.sqrt(8), math.sqrt(71.0)
    law = GaussianMixture([0.2, 0.8], np.array([[-R], [R]]), 1.0)
    noisy = math.sqrt(72.0)

    def excess(y, left, right):
        """Distribution function of ybar minus the value given by its two tails, from the smaller one."""
        if left < 0.5:
            return 0.2 * ndtr((y + R) / noisy) + 0.8 * ndtr((y - R) / noisy) - left
        return right - 0.2 * ndtr(-(y + R) / noisy) - 0.8 * ndtr((R - y) / noisy)

    def integrand(x):
        left = 0.2 * ndtr(x + R) + 0.8 * ndtr(x - R)
        right = 0.2 * ndtr(-x - R) + 0.8 * ndtr(R - x)
        y = brentq(excess, -R - 40 * noisy, R + 40 * noisy, args=(left, right), xtol=1e-13)
        tilt = math.tanh(R * y / 72 + 0.5 * math.log(4))
        density = (0.2 * math.exp(-0.5 * (x + R) ** 2) + 0.8 * math.exp(-0.5 * (x - R) ** 2)) / math.sqrt(2 * math.pi)
        return density * (x - (y / 72 + 71 / 72 * R * tilt)) ** 2

    exact = 0.0
    for a in (-7.5, -4.5, -1.5, 1.5, 4.5):
        exact += sum(quad(integrand, c + a, c + a + 3, epsabs=1e-11, epsrel=1e-10)[0] for c in (-R, R))
    assert measurements.line_jump_w2(law, 1, sigma) == pytest.approx(exact, rel=1e-9)


def test_line_jump_of_a_gaussian():
    law = GaussianMixture(None, np.array([[0.4]]), 2.0)
    for m, sigma in ((1, 0.3), (10, 4.0)):
        s = sigma**2 / m
        exact = (math.sqrt(2.0) - 2.0 / math.sqrt(2.0 + s)) ** 2
        assert abs(measurements.line_jump_w2(law, m, sigma) - exact) < 1e-13
        assert abs(measurements.line_mmse(law, m, sigma) - 2.0 * s / (2.0 + s)) < 1e-13


def test_langevin_on_a_line_is_exact_for_gaussians(accuracy):
    """ULA, the proximal sampler and the diffusion on N(0, 2) from N(3, 1/2): mean and variance by their recursions."""
    law, start = GaussianMixture(None, np.zeros((1, 1)), 2.0), GaussianMixture(None, np.array([[3.0]]), 0.5)
    x = langevin.line_nodes(law, start, step=0.1)
    h, steps = 0.3, (0, 1, 10)
    for k, q in zip(steps, langevin.ula(law, start, h, steps, x)):
        v = 0.5
        for _ in range(k):
            v = (1 - h / 2) ** 2 * v + 2 * h
        accuracy("propagation.langevin.ula", abs(q.mean - 3 * (1 - h / 2) ** k), 1e-11, "Gaussian recursion")
        accuracy("propagation.langevin.ula", abs(q.variance - v), 1e-10, "Gaussian recursion")
    for k, q in zip(steps, langevin.proximal_sampler(law, start, h, steps, x)):
        gain, v = 2 / (2 + h), 0.5
        for _ in range(k):
            v = gain**2 * (v + h) + h * gain
        accuracy("propagation.langevin.proximal_sampler", abs(q.mean - 3 * gain**k), 1e-11, "Gaussian recursion")
        accuracy("propagation.langevin.proximal_sampler", abs(q.variance - v), 1e-10, "Gaussian recursion")
    errors = []
    for spacing in (0.1, 0.05):
        chain = langevin.Diffusion(law, langevin.line_nodes(law, start, step=spacing))
        q = chain.law(start, 1.0)
        errors.append((q.mean - 3 * math.exp(-0.5), chain.gap - 0.5, q.variance - (2 + (0.5 - 2) * math.exp(-1.0))))
        found = abs(grid.divergences(chain.stationary(), chain.law(law, 0.7)).kl)
        accuracy("propagation.langevin.Diffusion.stationary", found, 1e-12, "KL from the law itself after a while")
    # of second order in the spacing: extrapolated, h^4 is left
    coarse, fine = np.abs(np.array(errors)[:, [0, 2]]), 0.05**4
    left = np.abs(4 * coarse[1] - coarse[0]) / 3
    accuracy("propagation.langevin.Diffusion.law", left, 4 * fine, "Ornstein-Uhlenbeck moments")
    gap = abs(4 * errors[1][1] - errors[0][1]) / 3
    accuracy("propagation.langevin.Diffusion.gap", gap, fine, "Ornstein-Uhlenbeck gap 1/2")
    ratio = np.array(errors[0]) / np.array(errors[1])
    assert np.all(np.abs(ratio - 4) < 0.1), "second order in the spacing"


def test_small_errors_of_separate_atoms(accuracy):
    """The error comes from half way between the atoms; to 40 deviations apart the small density there is resolved."""
    for ratio, limit in ((4, 1e-13), (19, 1e-13), (24, 1e-11), (30, 1e-10), (40, 1e-7)):
        s = mpmath.mpf(1 / ratio)

        def error(y, s=s):
            a, b = mpmath.exp(-(y**2) / (2 * s**2)), mpmath.exp(-((y - 1) ** 2) / (2 * s**2))
            return a * b / (a + b) / (2 * mpmath.sqrt(2 * mpmath.pi) * s)

        with mpmath.workdps(30):
            middle = mpmath.linspace(0.5 - 80 * s**2, 0.5 + 80 * s**2, 160)  # beyond, below exp(-40) of the largest
            exact = mpmath.quad(error, middle)
        found = measurements.line_mmse(PointCloud([[0.0], [1.0]]), 1, 1 / ratio)
        accuracy("measurements.line_mmse", float(abs(found / exact - 1)), limit, "two atoms, mpmath")


@pytest.mark.parametrize(("means", "variances"), [
    ([[0.0], [0.3]], [1.0, 1e-30]), ([[1e9], [1e9 + 1]], [1e-12, 1.0]), ([[0.0], [1e9]], [1e-16, 1e-16])])
def test_components_narrower_than_floats_are_refused(means, variances):
    """Panels of a width that moves no node went on for ever; nodes rounded by a part of the deviation miss mass."""
    with pytest.raises(ValueError, match=r"law, sigma.*spacing of floats"):
        measurements.line_quadrature(GaussianMixture(None, means, variances), 0.0)


@pytest.mark.parametrize(("means", "variances"), [
    ([[0.0], [0.3]], [1.0, 1e-18]), ([[0.0], [1e9]], [1e-16, 1.0]), ([[5.0], [5.0]], [1e8, 1e-16]),
    ([[-1e3], [1e3]], [1e-12, 1e-12])])
def test_nodes_find_the_mass_of_far_and_narrow_components(means, variances):
    law = GaussianMixture([0.999999, 1e-6], means, variances)
    y, weights = measurements.line_quadrature(law, 0.0)
    # roundings of the places, 1e-6 of a deviation at most and as often up as down
    assert abs(math.fsum(weights) - 1) <= 1e-9
    assert abs(math.fsum(weights * y) - law.mean[0]) <= 1e-9 * np.max(np.abs(means)) + 1e-9


NARROW, WIDE = GaussianMixture(None, [[0.0], [3.003]], [1.0, 1e-8]), GaussianMixture([1.0], [[0.0]], 1.0)


@pytest.mark.parametrize(("law", "start", "name"), [(NARROW, WIDE, "law"), (WIDE, NARROW, "start")])
def test_langevin_laws_refuse_nodes_that_step_over_a_mode(law, start, name):
    """Nodes .01 apart see nothing of a mode 1e-4 wide, and what they see of the rest adds up to no law."""
    x = np.linspace(-8, 12, 2001)
    for call in (lambda: langevin.ula(law, start, 0.1, [1], x), lambda: langevin.proximal_sampler(law, start, 0.1, [1], x),
                 lambda: langevin.Diffusion(law, x).law(start, 1.0)):
        with pytest.raises(ValueError, match=rf"(?s)^nodes.* hold the mass of {name} "):
            call()


def test_langevin_nodes_are_uniform_and_hold_the_law():
    x = np.sort(np.random.default_rng(0).uniform(-9, 9, 3000))
    for call in (lambda x: langevin.ula(WIDE, WIDE, 0.1, [1], x), lambda x: langevin.Diffusion(WIDE, x),
                 lambda x: langevin.proximal_sampler(WIDE, WIDE, 0.1, [1], x)):
        with pytest.raises(ValueError, match=r"(?s)^nodes.*uniform nodes"):
            call(x)
        with pytest.raises(ValueError, match=r"(?s)^nodes.* hold the mass of law "):
            call(np.linspace(-1, 1, 200))
    far = GaussianMixture(None, [[-60.0], [60.0]], 1.0)
    with pytest.raises(ValueError, match="does not underflow"):
        langevin.Diffusion(far, np.linspace(-70, 70, 3001)).law(far, 1.0)
