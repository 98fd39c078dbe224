"""With exact inner laws the chain is exact (Algorithm 1, recalled).

Suppose that

    (H1)  y_t is drawn from p(y_t | y_1, ..., y_{t-1}), which depends on the past through the sum S_{t-1} alone.

Then S_m has the law of m X + sigma sqrt(m) N,

    Cov S_m  =  m^2 Cov X + m sigma^2 I,

and the output E[X | S_m] has exactly the law of Xhat_m.

Measured on two Gaussians on a line and on radial laws in R^3 and R^10 (m <= 12): the law of the sum step by step on a grid,
and draws of the library's exact walk.
"""

import numpy as np
from scipy.special import ndtr

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.measurements import predictive_mixture
from exactdiffusion.papers.log_concavity.walk_jump import ULA, ExactWalk, conditional_target, one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.chain_total_variance.statement
LAW = GaussianMixture(np.array([0.2, 0.8]), np.array([[-3.0], [3.0]]), 1.0)
SIGMA2 = 8.0
STEP = 0.1
GRID = np.arange(-22, 22 + STEP / 2, STEP)
VARIANCE = LAW.covariance[0, 0]


def law_of_sum(sums, kernel, m):
    """The law of S_m by m sums over the grid (no sampling); the first measurement is drawn exactly."""
    law = sums.start
    for t in range(m):
        law = law.after((kernel if t else sums.inner_law)(LAW, SIGMA2, law.total, t, GRID), GRID, STEP)
    return law


def distance_to_exact(law, m):
    """Twice the total variation between a law of the sum and that of m X + sqrt(m) sigma N, on the grid."""
    q = np.exp(LAW.noised(float(m), np.sqrt(m * SIGMA2)).log_density(law.total[:, None]))
    return np.sum(np.abs(law.p - q / q.sum()))


#: isotropic scale mixture: weights and variances of its components, and sigma^2 beside it
PARTS, VARIANCES, RADIAL_SIGMA2 = np.array([0.3, 0.7]), np.array([0.05, 0.6]), 1.5


def next_radius(radii, d, t, exact=True):
    """Density of |S_{t+1}| given |S_t| for the scale mixture in R^d: each component of y given S_t is an isotropic Gaussian
    about a multiple of S_t. With ``exact=False`` y = Xhat + sigma xi, Euler's step."""

    def kernel(here, there):
        here, there, v = here[..., None], there[..., None], VARIANCES
        spread = t * t * v + t * RADIAL_SIGMA2 if t else np.ones(2)
        log_weight = np.log(PARTS) - 0.5 * d * np.log(spread) - 0.5 * here**2 / spread
        weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)

        # mean, as a multiple of S_t, and variance of y
        gain, variance = v / (RADIAL_SIGMA2 + t * v), v * RADIAL_SIGMA2 / (RADIAL_SIGMA2 + t * v) + RADIAL_SIGMA2
        if not exact:
            gain, variance = np.sum(weight * gain, axis=-1, keepdims=True), np.array([RADIAL_SIGMA2])
            weight = np.ones_like(gain)
        return np.sum(weight * radii.noncentral_chi(there, here * (1 + gain), variance, d), axis=-1)

    return kernel


def radial_distance(radii, d, m, nodes=200, exact=True):
    """Twice the total variation between the law of |S_m| step by step and that of |m X + sigma sqrt(m) N|."""
    law = radii.law(np.zeros(1), np.ones(1), np.ones(1))
    for t in range(m):
        spread = (t + 1) ** 2 * VARIANCES.max() + (t + 1) * RADIAL_SIGMA2
        law = law.after(next_radius(radii, d, t, exact), (np.sqrt(d) + 8) * np.sqrt(spread), nodes)
    spread = m * m * VARIANCES + m * RADIAL_SIGMA2
    truth = radii.noncentral_chi(law.r[:, None], 0.0, spread, d) @ PARTS
    return float(law.w @ np.abs(law.p - truth)), float(law.w @ (law.p * law.r**2))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_law_of_the_sum(check, sums):
    """One, two and three measurements: the whole law, and its variance."""
    for m in (1, 2, 3):
        law = law_of_sum(sums, sums.inner_law, m)
        cause = "remainder: mass beyond |y| = 22 (5 deviations and more) and the trapezoidal rule"
        on = f"mixture .2/.8 at +-3, sigma^2 = 8: total variation, m = {m}"
        check.equal(distance_to_exact(law, m), 0.0, tol=1e-5, cause=cause, on=on)

        mean = np.sum(law.p * law.total)
        variance = np.sum(law.p * (law.total - mean) ** 2) / bound.chain_total_variance(VARIANCE, m, SIGMA2)
        check.equal(variance, 1.0, tol=1e-4, cause="remainder: truncated tails", on=f"variance of the sum, m = {m}")


def test_law_of_a_radial_sum(check, radii, deep):
    """A law in R^d that is no product, by the radius of its sum: up to twelve measurements, without sampling."""
    for d, m in ((3, 4), (3, 12), (10, 12)) if deep else ((3, 4), (10, 12)):
        distance, square = radial_distance(radii, d, m)
        finer, _ = radial_distance(radii, d, m, nodes=240) if deep else (distance, 0)
        on = f"scale mixture in R^{d}, variances .05 and .6, sigma^2 = 1.5, m = {m}"
        cause = "remainder: 1e-11: mass beyond 8 deviations, and the rule of 200 nodes"
        check.equal([distance, finer], 0.0, tol=1e-11, cause=cause, on=f"total variation, {on}")
        variance = square / d / bound.chain_total_variance(PARTS @ VARIANCES, m, RADIAL_SIGMA2)
        check.equal(variance, 1.0, tol=1e-11, cause=cause, on=f"variance of the sum, {on}")


def test_kernel_of_the_radius(check, radii):
    """The kernel above is the norm of S + y with the library's law of y given S."""
    d, t, total = 3, 5, 2.5
    law = GaussianMixture(PARTS, np.zeros((2, d)), VARIANCES)
    y = predictive_mixture(law, total * np.eye(d)[:1], t, np.sqrt(RADIAL_SIGMA2))
    r = np.linspace(0.3, 9, 30)
    variances = np.array([c[0, 0] if np.ndim(c) else c for c in np.asarray(y.covariances)])
    centres = np.linalg.norm(y.means + total * np.eye(d)[0], axis=1)
    density = radii.noncentral_chi(r[:, None], centres, variances, d) @ y.weights
    cause, on = "rounding: 64 eps of exponents up to 20", "30 radii, R^3, t = 5"
    found = next_radius(radii, d, t)(np.array([[total]]), r)[0]
    check.equal(found / density, 1.0, tol=64 * 20 * np.finfo(float).eps, cause=cause, on=on)


def test_law_of_the_sum_of_more(check, deep):
    """Three correlated Gaussians in R^3: draws of the exact walk, m = 5 (and 12 with --deep), two projections of the sum."""
    law = GaussianMixture(
        [0.5, 0.3, 0.2], [[0.0, 0, 0], [3, 1, -2], [-1, 4, 2]], np.diag([0.1, 1.0, 0.4]) + 0.05, covariance_type="tied"
    )
    n, draw = 10_000, check.chance(comparisons=4 if deep else 2)
    for m in (5, 12) if deep else (5,):
        for state in one_at_a_time(law, m, 2.0, n, noise=draw.noise(80), walk=ExactWalk()):
            total = state.total
        for u in np.array([[1.0, 0, 0], [2, -1, 2]]) / [[1.0], [3.0]]:
            variance = bound.chain_total_variance(u @ law.covariance @ u, m, 4.0)
            on = f"R^3, exact walk, {n:,} chains, m = {m}, direction {np.array2string(u, precision=2)}"
            draw.mean(((total - m * law.mean) @ u) ** 2 / variance, 1.0, on=on)


def test_score_of_the_inner_law(check):
    """The inner walk's score is the derivative of its log density, and only the sum enters."""
    rng = np.random.default_rng(78)
    total, y = 9 * rng.standard_normal((50, 1)), 9 * rng.standard_normal((50, 1))
    target = conditional_target(LAW, total, 4, np.sqrt(SIGMA2))
    h = 1e-4
    slope = (target.log_density(y + h) - target.log_density(y - h)) / (2 * h)
    cause = "remainder: h^2 and eps |log p| / h of the difference"
    check.equal(target.score(y)[:, 0], slope, tol=2e-7, cause=cause, on="50 points, m = 4")


def test_exact_walk(check):
    """40,000 draws of the library's exact walk: variance and distribution of the sum."""
    n, m = 40_000, 6
    draw = check.chance(comparisons=2)
    for state in one_at_a_time(LAW, m, np.sqrt(SIGMA2), n, noise=draw.noise(79), walk=ExactWalk()):
        total = state.total[:, 0]
    rows = (total - m * LAW.mean[0]) ** 2 / bound.chain_total_variance(VARIANCE, m, SIGMA2)
    draw.mean(rows, 1.0, on="variance, exact walk, 40,000 chains, m = 6")

    # m X + sqrt(m) sigma N is a mixture of two Gaussians of variance m^2 + m sigma^2
    z = (total[:, None] - m * LAW.means[:, 0]) / np.sqrt(m**2 + m * SIGMA2)
    order = np.argsort(total)
    on = "distribution function, exact walk, 40,000 chains, m = 6"
    draw.distribution(total, lambda x: (ndtr(z) @ LAW.weights)[order], on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, sums, radii):
    """(H1) no inner walk: y = Xhat + sigma xi, Euler's step for stochastic localisation, on the grid and sampled."""
    distance = distance_to_exact(law_of_sum(sums, sums.euler_law, 3), 3)
    check.control("the inner walk (Euler for localisation)", distance, 0.0, tol=1e-5, on="total variation, m = 3")
    far, _ = radial_distance(radii, 3, 6, exact=False)
    check.control("the inner walk (Euler for localisation), radial", far, 0.0, tol=1e-5, on="total variation, R^3, m = 6")
    draw = check.chance(comparisons=1)
    for state in one_at_a_time(LAW, 6, np.sqrt(SIGMA2), 200_000, noise=draw.noise(79), walk=ULA(0, 0.1)):
        rows = (state.total[:, 0] - 6 * LAW.mean[0]) ** 2
    rows = rows / bound.chain_total_variance(VARIANCE, 6, SIGMA2)
    draw.mean_is_not(rows, 1.0, dropped="the inner walk, sampled", on="variance, 200,000 chains, m = 6")
