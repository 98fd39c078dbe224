"""Re-sampling with exact reverse kernels returns posterior samples (derived).

Suppose that

    (H1)  every step draws z_{t-1} from its law given z_t,
    (H2)  the kernels are exact,
    (H3)  the output is the mean of M independent runs.

Then every run is a sample of the posterior of x given y, on every grid, and

    E[xhat | y]  =  E[x | y],        E|xhat_M - x|^2  =  (1 + 1/M) MMSE.

Measured by the composition of the kernels (Chapman-Kolmogorov) in quadrature, and on draws of three priors.
"""

import numpy as np

from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.exact_resampling.statement
Y = np.array([[-1.4], [-0.2], [0.6], [2.0]])


def moments(kernel, k):
    """E z'^k under a one-dimensional kernel, k = 1, 2, 3, for every row: (n,)."""
    m, s = kernel.means[:, :, 0], kernel.covariances[:, 0, 0]
    raw = {1: m, 2: m**2 + s, 3: m**3 + 3 * m * s}[k]
    return np.sum(kernel.weights * raw, axis=1)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_kernels_compose(check, line):
    """Chapman-Kolmogorov: a step from v to u and one from u to r have the moments of the step from v to r."""
    t = np.linspace(-8.6, 8.6, 801)
    w = np.exp(-0.5 * t**2)
    w = w / w.sum()
    for name in ("gauss", "gmm2", "gmm3", "scale mixture"):
        law = line.priors[name]
        for v, u, r in ((1.0, 0.6, 0.2), (0.5, 0.1, 0.0), (2.0, 1.9, 0.0)):
            # the second kernel starts at nodes (n, K, 801) of every component of the first
            first = cm.reverse_kernel(law, Y, v, u)
            nodes = first.means + np.sqrt(first.covariances[:, 0, 0])[None, :, None] * t
            second = cm.reverse_kernel(law, nodes.reshape(-1, 1), u, r)
            direct = cm.reverse_kernel(law, Y, v, r)
            for k in (1, 2, 3):
                through = np.einsum("nk,m,nkm->n", first.weights, w, moments(second, k).reshape(nodes.shape))
                cause = "remainder: trapezoidal rule, 801 nodes"
                on = f"moment {k}, {name}, v = {v:g} -> {u:g} -> {r:g}"
                check.equal(through, moments(direct, k), tol=1e-10, cause=cause, on=on)


def test_kernel_moments(check, mixtures):
    """Mean and covariance of a kernel against the laws' own oracles, in several dimensions."""
    for name, law in mixtures.items():
        z, v, u = law.noised(1.0, 1.0).sample(20, np.random.default_rng(84)), 1.0, 0.4
        kernel, level = cm.reverse_kernel(law, z, v, u), law.noised(1.0, 1.0)
        mean = u / v * z + (1 - u / v) * level.denoise(z)
        cov = u * (1 - u / v) * np.eye(law.dim) + (1 - u / v) ** 2 * level.posterior_covariance(z)
        check.equal(kernel.mean, mean, tol=1e-11, cause="rounding: of two derivations", on=f"mean, {name}")
        check.equal(kernel.covariance, cov, tol=1e-11, cause="rounding: of two derivations", on=f"covariance, {name}")


def test_mean_squared_error(check, mixtures, line):
    n, laws = 6000, [*mixtures.items(), ("gmm3", line.priors["gmm3"])]
    draw = check.chance(comparisons=2 * len(laws))
    for name, law in laws:
        x = law.sample(n, draw.rng(85))
        y = x + draw.rng(86).standard_normal(x.shape)
        variance = cm.posterior_variance(law, y, 1.0)
        for runs in (1, 4):
            f = cm.denoise(law, cm.refined_grid(3, 1.0), y, 1.0, method="resample_exact", noise=draw.noise(87), runs=runs)
            # row by row against its own posterior variance, as the statement holds given y
            rows = np.sum((f - x) ** 2, axis=1) - bound.exact_resampling(variance, runs)
            draw.mean(rows / np.mean(variance), 0.0, on=f"MSE / MMSE less 1 + 1/M, {name}, M = {runs}")


def test_spread_about_the_cme(check, mixtures, line):
    """The part that depends on M, without x: E|mean of M runs - CME|^2 = MMSE / M."""
    n, laws = 20_000, [*mixtures.items(), ("gmm3", line.priors["gmm3"])]
    draw = check.chance(comparisons=2 * len(laws))
    for name, law in laws:
        y = law.noised(1.0, 1.0).sample(n, draw.rng(88))
        mean, variance = cm.cme(law, y, 1.0), cm.posterior_variance(law, y, 1.0)
        for runs in (1, 3):
            f = cm.denoise(law, cm.refined_grid(2, 1.0), y, 1.0, method="resample_exact", noise=draw.noise(89), runs=runs)
            # row by row against its own posterior variance: the spread of the MMSE over y drops out
            extra = bound.exact_resampling(variance, runs) - variance
            rows = np.sum((f - mean) ** 2, axis=1) - extra
            draw.mean(rows / np.mean(variance), 0.0, on=f"spread / MMSE less 1/M, {name}, M = {runs}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Each hypothesis dropped in turn: the MSE of the run is not 2 MMSE."""
    law, draw = line.priors["gmm3"], check.chance(comparisons=3)
    x = law.sample(6000, draw.rng(85))
    y = x + draw.rng(86).standard_normal(x.shape)
    twice, grid = 2 * cm.posterior_variance(law, y, 1.0), cm.refined_grid(3, 1.0)
    for dropped, options in (
        # (H1) the mean in place of a draw
        ("re-sampling (off)", {}),
        # (H2) Gaussian kernels
        ("exact kernels (beta-tilde, three steps)", {"method": "resample", "noise": draw.noise(87)}),
        # (H3) four runs and the claim for one
        ("1/M (a single run's 2 MMSE)", {"method": "resample_exact", "noise": draw.noise(87), "runs": 4}),
    ):
        rows = np.sum((cm.denoise(law, grid, y, 1.0, **options) - x) ** 2, axis=1) - twice
        draw.mean_is_not(rows, 0.0, dropped=dropped, on="gmm3, three steps: MSE less 2 MMSE")
