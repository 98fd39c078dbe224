"""End to end: inner errors accumulate slowly (derived).

Let c_t = tau^2 sigma^2 / (sigma^2 + t tau^2) + (sigma^2 / (sigma^2 + t tau^2))^2 R^2. Suppose that

    (H1)  X = Z + tau N with |Z| <= R, and c_t < sigma^2 for all t,
    (H2)  the inner walk t is wrong by at most eta_t in W2, whatever the sum of the past measurements.

Then

    W2(output, p)  <=  W2(Xhat_m, p) + c_m / sigma^2  sum_t eta_t prod_{r = t+1}^m (1 - c_r / sigma^2)^-1,

attained for m = 1 by Gaussians and a walk that is too narrow. For R = 0 and equal eta the sum is of order eta log(1 + m
tau^2 / sigma^2).

Measured on Gaussians by the recursion of the whole algorithm, on a mixture by laws on a grid, and on noised spheres in R^3
and R^8 by laws of the radius.
"""

from dataclasses import dataclass

import numpy as np

from exactdiffusion import GaussianMixture, Sphere
from exactdiffusion.papers.log_concavity.walk_jump import ULA, gaussian_one_at_a_time
from exactdiffusion.statements import log_concavity_thresholds as bound

STATEMENT = bound.end_to_end.statement

LAW = GaussianMixture(np.array([0.2, 0.8]), np.array([[-1.5], [1.5]]), 1.0)
SIGMA2, R = 2.5, 1.5
STEP = 0.1
Y = np.arange(-14, 14 + STEP / 2, STEP)


LEVELS, LEVEL_WEIGHTS = np.polynomial.legendre.leggauss(200)
LEVELS, LEVEL_WEIGHTS = 0.5 * (LEVELS + 1), 0.5 * LEVEL_WEIGHTS


def quantiles(x, p):
    """Quantile function, at the Gauss nodes ``LEVELS``, of probabilities p on increasing points x, interpolated."""
    mass = np.r_[0.0, np.cumsum(p)]
    edges = np.r_[x[0] - (x[1] - x[0]) / 2, 0.5 * (x[1:] + x[:-1]), x[-1] + (x[-1] - x[-2]) / 2]
    keep = np.r_[True, np.diff(mass) > 1e-15]
    return np.interp(LEVELS, mass[keep] / mass[-1], edges[keep])


def mixture_run(sums, m, sigma2=SIGMA2):
    """m measurements of the mixture with no inner step at all, by laws on a grid."""
    law, eta = sums.start, []
    for t in range(m):
        kernel, exact = (inner(LAW, sigma2, law.total, t, Y) for inner in (sums.euler_law, sums.inner_law))
        eta.append(max(line_w2(Y, kernel[i], Y, exact[i]) for i in range(0, len(law.total), 7)))
        law = law.after(kernel, Y, STEP)

    # the jump of this law, and that of the exact one, against the mixture itself
    mean = (law.total / m)[:, None]
    level = LAW.noised(1, np.sqrt(sigma2 / m))
    xhat = level.denoise(mean)[:, 0]
    x = np.linspace(-7, 7, 4001)
    target, exact = np.exp(LAW.log_density(x[:, None])), np.exp(level.log_density(mean))
    target /= target.sum()
    return Run(line_w2(xhat, law.p, x, target), np.array(eta), line_w2(xhat, exact / exact.sum(), x, target))


def line_w2(x, p, z, q):
    """W2 between probabilities p on x and q on z."""
    return np.sqrt(np.sum(LEVEL_WEIGHTS * (quantiles(x, p) - quantiles(z, q)) ** 2))


@dataclass(frozen=True)
class Run:
    """W2 of the output to the law, the inner errors eta (m,) as the largest over all sums, and W2 of the exact jump."""

    w2: float
    eta: np.ndarray
    jump: float


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gaussians(check):
    """Converged ULA walks, whose inner error is known exactly: W2 of the whole algorithm by its recursion."""
    for l, sigma2 in ((1.0, 1.0), (4.0, 0.5)):
        chains = {m: gaussian_one_at_a_time([l], m, np.sqrt(sigma2), ULA(60, 0.1)) for m in (1, 5, 20, 100)}
        jumps = {m: bound.gaussian_jump_w2(m, sigma2, [l]) for m in chains}
        larger = [bound.end_to_end(jumps[m], chain.inner, sigma2, l, 0.0) for m, chain in chains.items()]
        on = f"N(0, {l}), sigma^2 = {sigma2}, m = 1 .. 100, ULA h = .1"
        check.holds([chain.w2 for chain in chains.values()], larger, tol=1e-12, cause="rounding", on=on)

    m = np.array([10, 100, 1000])
    sums = [bound.end_to_end(0.0, np.full(k, 0.01), 1.0, 1.0, 0.0) for k in m]
    of = "the order eta log(1 + m tau^2/sigma^2) of the sum at R = 0"
    check.holds(np.array(sums) / (0.01 * np.log1p(m)), 1.2, tol=0, cause="exact", on="m = 10, 100, 1000", of=of)


def test_mixture(check, sums):
    """No inner step at all (Euler for localisation): a large inner error, on two Gaussians with R = 1.5, tau = 1."""
    check.hypothesis("c_t < sigma^2", SIGMA2 > R**2 - 1, on="R = 1.5, tau = 1, sigma^2 = 2.5")
    runs = [mixture_run(sums, m) for m in (1, 2, 3)]
    larger = [bound.end_to_end(run.jump, run.eta, SIGMA2, 1.0, R) for run in runs]
    cause = "remainder: grid .1: quantiles interpolated to order h^2"
    on = "mixture, laws on a grid, no inner step, m = 1, 2, 3"
    check.holds([run.w2 for run in runs], larger, tol=1e-2, cause=cause, on=on)
    assert bound.end_to_end(0.0, [1.0], 0.5, 1.0, 3.0) == np.inf


def test_more_measurements_and_dimensions(check, sums):
    """Up to six measurements, and the product of two such laws in the plane: W2 and eta grow by sqrt 2, |Z| <= sqrt 2 R."""
    m = (4, 6)
    runs = [mixture_run(sums, k) for k in m]
    larger = [bound.end_to_end(run.jump, run.eta, SIGMA2, 1.0, R) for run in runs]
    cause = "remainder: grid .1: quantiles interpolated to order h^2"
    check.holds(
        [run.w2 for run in runs], larger, tol=1e-2, cause=cause, on="mixture, laws on a grid, no inner step, m = 4, 6"
    )

    # independent copies along both axes: the chain is a product, and so are the optimal couplings
    sigma2, root = 4.0, np.sqrt(2)
    check.hypothesis("c_t < sigma^2, product", sigma2 > 2 * R**2 - 1, on="|Z| <= 1.5 sqrt 2, tau = 1, sigma^2 = 4")
    runs = [mixture_run(sums, k, sigma2) for k in (1, 4)]
    larger = [bound.end_to_end(root * run.jump, root * run.eta, sigma2, 1.0, root * R) for run in runs]
    on = "product of two mixtures in the plane, no inner step, m = 1, 4"
    check.holds([root * run.w2 for run in runs], larger, tol=1e-2, cause=cause, on=on)


def sphere_mean(d, R, r, t, sigma2):
    """|E[X | S]| at |S| = r, for X = Z + N with Z uniform on the sphere of radius R in R^d, and Y_i = X + sigma N_i."""
    s = sigma2 / t
    mean = np.zeros((len(r), d))
    mean[:, 0] = r / t
    z = Sphere(R, d).noised(1.0, np.sqrt(1 + s)).denoise(mean)[:, 0]
    return (r / t + s * z) / (1 + s)


def sphere_run(radii, d, R, sigma2, m, nodes=200):
    """`Run` without any inner step for the noised sphere: y = Xhat + sigma xi, by the law of |S|; W2 is that of the radii.

    An inner law is that of X given S, plus sigma xi: its distance from y is at most the root of tr Cov(X | S), which is
    largest at S = 0.
    """
    law, eta = radii.law(np.zeros(1), np.ones(1), np.ones(1)), []
    for t in range(m):
        b = sigma2 / (sigma2 + t)
        eta.append(np.sqrt(d * b + b * b * R * R))

        def kernel(here, there, t=t):
            mean = sphere_mean(d, R, here[:, 0], t, sigma2)[:, None] if t else 0.0
            return radii.noncentral_chi(there, here + mean, sigma2, d)

        top = (t + 1) * R + (np.sqrt(d) + 8) * np.sqrt((t + 1) ** 2 + (t + 1) * sigma2)
        law = law.after(kernel, top, nodes)

    # the outputs of this law, and of the exact one, against the norm of X itself
    xhat = sphere_mean(d, R, law.r, m, sigma2)
    r, w = radii.nodes(R + np.sqrt(d) + 8, nodes)
    target = w * radii.noncentral_chi(r, R, 1.0, d)
    exact = law.w * radii.noncentral_chi(law.r, m * R, m * m + m * sigma2, d)
    return Run(line_w2(xhat, law.w * law.p, r, target), np.array(eta), line_w2(xhat, exact, r, target))


def test_radial_laws(check, radii, deep):
    """Noised spheres in R^d, up to twelve measurements, no inner step: a law that is no product and not log-concave."""
    for d, R, sigma2 in ((3, 2.0, 60.0), (8, 2.0, 60.0)):
        check.hypothesis("c_t < sigma^2", sigma2 > R**2 - 1, on=f"R = {R:g}, tau = 1, sigma^2 = {sigma2:g}")
        m = (1, 4, 8, 12) if deep else (1, 12)
        runs = [sphere_run(radii, d, R, sigma2, k) for k in m]
        larger = [bound.end_to_end(run.jump, run.eta, sigma2, 1.0, R) for run in runs]
        cause = "remainder: quantiles interpolated between 200 nodes, to order h^2: 2e-4"
        on = f"noised sphere in R^{d}, no inner step, m = {', '.join(map(str, m))}"
        check.holds([run.w2 for run in runs], larger, tol=1e-3, cause=cause, on=on)
        of = "a size: the inner errors are seen in the output"
        check.holds([run.jump for run in runs[1:]], [run.w2 for run in runs[1:]], tol=0, cause="exact: strict", on=on, of=of)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """One measurement of a Gaussian, an inner walk stopped early and so too narrow: both errors add up exactly."""
    for l, sigma2 in ((4.0, 0.5), (100.0, 3.0)):
        chain = gaussian_one_at_a_time([l], 1, np.sqrt(sigma2), ULA(5, 0.1))
        assert chain.output[0] < l * l / (l + sigma2)
        larger = bound.end_to_end(bound.gaussian_jump_w2(1, sigma2, [l]), chain.inner, sigma2, l, 0.0)
        cause = "remainder: 1e-12: differences of square roots"
        check.tight(chain.w2 / larger, 1.0, tol=1e-12, cause=cause, on=f"N(0, {l:g}), m = 1, 5 ULA steps of .1")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) the inner errors are left out of the bound, or counted by their mean."""
    chain = gaussian_one_at_a_time([1.0], 20, 1.0, ULA(2, 0.1))
    jump = bound.gaussian_jump_w2(20, 1.0, [1.0])
    check.control("the inner errors", chain.w2, jump, tol=1e-9, on="N(0, 1), 2 ULA steps of .1, m = 20")
    small = jump + (bound.end_to_end(jump, chain.inner, 1.0, 1.0, 0.0) - jump) / 20
    check.control("the sum over t (its mean)", chain.w2, small, tol=1e-9, on="N(0, 1), 2 ULA steps of .1, m = 20")
