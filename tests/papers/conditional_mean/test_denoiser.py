"""Denoising chains, SNR matching, baselines, reverse kernels and test beds of the conditional-mean paper."""

import itertools
import math

import array_api_strict
import numpy as np
import pytest

from exactdiffusion import Counted, GaussianMixture, Grid, Noise, PointCloud, datasets, samplers
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.papers.conditional_mean import denoiser
from exactdiffusion.statements import conditional_mean as bound

EPS = np.finfo(np.float64).eps


def plane(seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((3, 2, 2))
    return GaussianMixture([0.2, 0.5, 0.3], rng.standard_normal((3, 2)), A @ np.swapaxes(A, 1, 2) / 2)


def observations(law, sigma, n=40, seed=1):
    return law.noised(1.0, sigma).sample(n, np.random.default_rng(seed))


# --------------------------------------------------------------------------------------------------------- grids


@pytest.mark.parametrize(
    ("T", "last_db"), [(5, -22.4), (10, -21.6), (50, -23.3), (100, -22.5), (300, -23.1), (1000, -22.0), (10000, -23.9)]
)
def test_released_grid(T, last_db):
    """The recorded last SNRs, 40 dB at the clean end, and the definition: betas linear, cumulative products."""
    grid = cm.released_grid(T)
    assert grid.N == T
    assert grid.sigma[-1] == 0
    assert abs(grid.snr_db[0] - last_db) < 0.06
    assert abs(grid.snr_db[-2] - 40) < 1e-8
    abar = np.cumprod(1 - np.linspace(cm.BETA_1, cm.BETA_T[T], T))
    np.testing.assert_allclose(grid.noise_ratio[:-1][::-1] ** 2, (1 - abar) / abar, rtol=1e-11)


@pytest.mark.parametrize("spacing", ["vp_linear", "linear", "geometric"])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_refined_grid_starts_exactly_on_the_observation(spacing, n):
    grid = cm.refined_grid(n, 0.7, spacing)
    assert len(grid) == n + 1
    assert grid.sigma[0] == 0.7
    assert grid.sigma[-1] == 0


def test_refined_grid_spacings():
    np.testing.assert_allclose(np.diff(cm.refined_grid(5, 1.3, "linear").sigma ** 2), -(1.3**2) / 5, rtol=1e-12)
    v = cm.refined_grid(6, 1.3, "geometric").sigma[:-1] ** 2
    np.testing.assert_allclose(v[1:] / v[:-1], v[1] / v[0], rtol=1e-12)
    np.testing.assert_allclose(v[-1] / v[0], 36 ** (-5 / 6), rtol=1e-12)
    t = np.log1p(cm.refined_grid(4, 1.0).sigma ** 2)  # = .03 t + 4.985 t^2 at equally spaced t
    roots = (-0.03 + np.sqrt(0.03**2 + 4 * 4.985 * t)) / (2 * 4.985)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-10)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_power_grid_is_the_schedule_and_hits_the_level(gamma):
    grid = cm.power_grid(400, gamma, 1.0, 1.0 if gamma == 0 else 2.0)
    assert grid.sigma[0] == 1.0
    betas = grid.ddpm_beta[::-1]  # clean to noisy: proportional to t
    np.testing.assert_allclose(betas / np.arange(1, grid.N + 1), betas[0], rtol=1e-9)
    c = betas[0] * 400 ** (1 + gamma)
    assert abs(c - (1.0 if gamma == 0 else 2.0)) < 4.0 / grid.N


# ------------------------------------------------------------------------------------------------------ matching


def test_match_by_brute_force(accuracy):
    grid = cm.released_grid(50)
    for sigma in 10 ** -(np.arange(-20, 45, 1.7) / 20):
        found = cm.match(grid, float(sigma))
        distance = np.abs(grid.snr_db[:-1] + 20 * np.log10(sigma))
        accuracy("papers.conditional_mean.match", distance[found.index] - distance.min(), 0.0, "all levels")
        assert found.steps == grid.N - found.index
        assert abs(abs(found.mismatch_db) - distance.min()) < 1e-9
        linear = cm.match(grid, float(sigma), unit="linear")
        assert linear.index == np.argmin(np.abs(grid.snr[:-1] - sigma**-2.0))
    assert cm.match(grid, 0.5).mismatch_db == pytest.approx(grid.snr_db[cm.match(grid, 0.5).index] - 20 * math.log10(2))


def test_recorded_step_counts():
    """t_hat at 0 dB, and gmm columns of other SNRs, recorded from another program."""
    assert [cm.match(cm.released_grid(T), 1.0).steps for T in (5, 10, 50, 100, 300, 1000, 10000)] == [
        3,
        5,
        19,
        37,
        108,
        364,
        2968,
    ]
    assert [cm.match(cm.released_grid(300), 10 ** (-db / 20)).steps for db in (-10, 10, 20)] == [202, 40, 13]
    # distance in dB of the level chosen by linear SNRs, as the first released code does it: T = 5, -20 .. 25 dB by 5
    recorded = [2.4, 7.4, 1.1, 3.9, 1.8, 0.06, 4.9, 9.9, 14.9, 19.9]
    found = [abs(cm.match(cm.released_grid(5), 10 ** (-db / 20), unit="linear").mismatch_db) for db in range(-20, 30, 5)]
    np.testing.assert_allclose(found, recorded, atol=0.06)


def test_off_by_one_of_the_released_code():
    """One level cleaner, one step fewer; at the top SNR no step at all: the scaled observation."""
    grid, law = cm.released_grid(5), plane()
    y = observations(law, 1.0)
    right, code = cm.match(grid, 1.0), cm.match(grid, 1.0, convention="code")
    assert code.index == right.index + 1
    assert code.steps == right.steps - 1
    sub = grid[code.index :]
    start = y * np.sqrt((1 + code.sigma**2) / 2)
    expected = samplers.final(samplers.ddpm(law, sub, start, variance="zero"))
    np.testing.assert_array_equal(cm.denoise(law, grid, y, 1.0, convention="code"), expected)
    top = cm.match(grid, 1e-3, convention="code")
    assert top.steps == 0
    assert top.mismatch_db == math.inf
    np.testing.assert_allclose(cm.denoise(law, grid, y, 1e-3, convention="code"), y / np.sqrt(1 + 1e-6), rtol=4 * EPS)


# -------------------------------------------------------------------------------------------------------- chains


def test_chain_is_the_sampler_in_grid_coordinates():
    """The VP run of the sampler from x = y / sqrt(1 + sigma^2), divided by sqrt(alpha_bar), is the chain."""
    law, sigma, grid = plane(), 0.8, cm.released_grid(50)
    y = observations(law, sigma)
    found = cm.match(grid, sigma)
    vp = grid[found.index :].to_vp()
    run = samplers.ddpm(law, vp, y / np.sqrt(1 + sigma**2), variance="zero")
    for z, x, scale in zip(cm.chain(law, grid, y, sigma), run, vp.scale, strict=True):
        np.testing.assert_allclose(z, x / scale, rtol=0, atol=1e-12)
    z = cm.denoise(law, vp, y * vp.scale[0] / vp.scale[0])  # a VP grid is taken in VE coordinates
    np.testing.assert_allclose(z, cm.denoise(law, vp.to_ve(), y), rtol=1e-13)


@pytest.mark.parametrize("method", cm.METHODS)
def test_states_of_a_chain_are_copies(method):
    """A callback that clips a yielded state changes neither the states to come nor the observations."""
    law, grid = plane(), cm.refined_grid(6, 0.8)
    y = observations(law, 0.8)

    def run(edit):
        found = []
        for z in cm.chain(law, grid, y, method=method, noise=Noise(0)):
            found.append(z.copy())
            z *= edit
        return np.array(found)

    kept = y.copy()
    assert np.array_equal(run(0.0), run(1.0))
    assert np.array_equal(y, kept)


def test_naive_chain(accuracy):
    """Plain loop over the reduction with an oracle from matrices: a second program."""
    law, sigma, grid = plane(), 0.8, cm.refined_grid(12, 0.8)
    y = z = observations(law, sigma)
    v = grid.sigma**2
    for s, r in itertools.pairwise(v):
        z = r / s * z + (1 - r / s) * cm.reverse_kernel(law, z, s, 0.0).mean
    accuracy(
        "papers.conditional_mean.denoise", np.abs(cm.denoise(law, grid, y, sigma) - z), 1e-12, "plain loop, other oracle"
    )
    *_, last = cm.chain(law, grid, y, sigma)
    accuracy("papers.conditional_mean.chain", np.abs(last - z), 1e-12, "plain loop, other oracle")


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_limit(sigma, accuracy):
    """The solver against the chain on fine grids, extrapolated, and against the conditional mean of a Gaussian."""
    law = cm.normalised(GaussianMixture([0.6, 0.4], np.array([[-1.0, 0.5], [2.0, -1.0]]), np.array([0.3, 0.2])))
    y = observations(law, sigma, 5, 3)
    coarse, fine, finest = (cm.denoise(law, cm.refined_grid(n, sigma), y, sigma) for n in (200, 400, 800))
    change = np.abs((2 * finest - fine) - (2 * fine - coarse)).max()
    error = np.abs(cm.limit(law, y, sigma, rtol=1e-10) - (2 * finest - fine))
    accuracy("papers.conditional_mean.limit", error, change + 1e-9, "solver, chain on fine grids, extrapolated")

    gauss = GaussianMixture([1.0], np.zeros((1, 2)), np.array([0.7]))
    assert np.abs(cm.limit(gauss, y, sigma) - cm.cme(gauss, y, sigma)).max() <= 1e-7
    assert cm.limit(law, np.empty((0, 2)), sigma).shape == (0, 2)


def test_one_oracle_call_a_step():
    law = Counted(plane())
    grid = cm.released_grid(50)
    y = observations(plane(), 1.0)
    for method in ("mean", "ddim", "resample"):
        law.reset()
        cm.denoise(law, grid, y, 1.0, method=method, noise=Noise(0))
        assert law.calls["denoise"] == cm.match(grid, 1.0).steps


def test_batches_and_runs():
    """Rows do not depend on the batch; row i of an average is the mean of runs i M .. i M + M - 1 of the noise."""
    law, grid = plane(), cm.refined_grid(6, 1.0)
    y = observations(law, 1.0, 9)
    for method in ("resample", "resample_large", "resample_exact"):
        whole = cm.denoise(law, grid, y, 1.0, method=method, noise=Noise(3), runs=5)
        part = cm.denoise(law, grid, y[4:], 1.0, method=method, noise=Noise(3).rows(20), runs=5)
        np.testing.assert_allclose(part, whole[4:], rtol=1e-12)
        singles = cm.denoise(law, grid, np.repeat(y, 5, axis=0), 1.0, method=method, noise=Noise(3))
        np.testing.assert_allclose(whole, singles.reshape(9, 5, 2).mean(axis=1), rtol=1e-12)


def test_blocks_of_runs(monkeypatch):
    law, grid = plane(), cm.refined_grid(4, 1.0)
    y = observations(law, 1.0, 7)
    whole = cm.denoise(law, grid, y, 1.0, method="resample", noise=Noise(3), runs=3)
    variance = cm.posterior_variance(law, y, 1.0)
    monkeypatch.setattr(denoiser, "_BLOCK_DOUBLES", 12)
    np.testing.assert_allclose(cm.denoise(law, grid, y, 1.0, method="resample", noise=Noise(3), runs=3), whole, rtol=1e-12)
    np.testing.assert_allclose(cm.posterior_variance(law, y, 1.0), variance, rtol=1e-12)


def test_other_arrays():
    law, grid = plane(), cm.refined_grid(5, 1.0)
    y = observations(law, 1.0, 6)
    strict = array_api_strict.asarray(y)
    for options in ({}, {"method": "ddim"}, {"method": "resample", "noise": Noise(1), "runs": 3}):
        out = cm.denoise(law, grid, strict, 1.0, **options)
        assert type(out) is type(strict)
        np.testing.assert_allclose(np.asarray(out), cm.denoise(law, grid, y, 1.0, **options), rtol=1e-11)
    np.testing.assert_allclose(np.asarray(cm.lmmse(law, strict, 1.0)), cm.lmmse(law, y, 1.0), rtol=1e-12)
    np.testing.assert_allclose(
        np.asarray(cm.posterior_variance(law, strict, 1.0)), cm.posterior_variance(law, y, 1.0), rtol=1e-11
    )


def test_assumed_noise_is_a_run_at_that_noise():
    law, grid = plane(), cm.released_grid(50)
    y = observations(law, 1.0)
    np.testing.assert_array_equal(cm.denoise(law, grid, y, 1.0, assumed=0.5), cm.denoise(law, grid, y, 0.5))


def test_per_row_grids():
    pair = PointCloud(np.array([[-1.0], [1.0]]))
    grids = [cm.refined_grid(4, s) for s in (0.5, 1.0, 2.0)]
    levels = np.stack([g.sigma for g in grids], axis=1)
    y = np.array([[0.2], [-0.4], [1.5]])
    together = cm.denoise(pair, Grid(np.ones_like(levels), levels), y)
    each = np.concatenate([cm.denoise(pair, g, y[[i]]) for i, g in enumerate(grids)])
    np.testing.assert_allclose(together, each, rtol=1e-13)


# ------------------------------------------------------------------------------------------------------ baselines


def test_cme_and_lmmse():
    gaussian = GaussianMixture([1.0], np.array([[1.0, -2.0]]), np.array([[[2.0, 0.5], [0.5, 1.0]]]))
    y = observations(gaussian, 0.6)
    np.testing.assert_allclose(cm.lmmse(gaussian, y, 0.6), cm.cme(gaussian, y, 0.6), atol=1e-13)
    np.testing.assert_array_equal(cm.ls(y), y)
    law = plane()
    trace = np.trace(law.noised(1.0, 0.6).posterior_covariance(y), axis1=1, axis2=2)
    np.testing.assert_allclose(cm.posterior_variance(law, y, 0.6), trace, rtol=1e-13)


def test_lmmse_is_the_best_linear_estimate():
    """Orthogonality of its error to y, in the population: E (x - f)(y - m)^T = 0."""
    law, sigma = plane(), 0.7
    C, m = law.covariance, law.mean
    gain = (cm.lmmse(law, m + np.eye(2), sigma) - m).T
    np.testing.assert_allclose(C - gain @ (C + sigma**2 * np.eye(2)), 0, atol=1e-14)


def test_order_of_estimators(chance):
    """CME < LMMSE < LS by the same draws; the chain's error exceeds that of the CME by the excess measured without x."""
    draw = chance(comparisons=3)
    law = cm.normalised(plane())
    x = law.sample(20000, draw.rng(5))
    y = x + draw.rng(6).standard_normal(x.shape)
    chain = cm.denoise(law, cm.refined_grid(20, 1.0), y, 1.0)
    errors = [np.sum((f - x) ** 2, axis=1) for f in (cm.cme(law, y, 1.0), cm.lmmse(law, y, 1.0), y)]
    for (better, worse), name in zip(itertools.pairwise(errors), ("LMMSE over CME", "LS over LMMSE")):
        draw.mean_exceeds(worse - better, 0.0, on=name)
    difference = np.sum((chain - x) ** 2, axis=1) - errors[0]
    mmse = np.mean(cm.posterior_variance(law, y, 1.0))
    rows, excess = np.sum((chain - cm.cme(law, y, 1.0)) ** 2, axis=1), cm.excess(law, chain, y, 1.0)
    assert float(excess) == pytest.approx(np.mean(rows) / mmse, rel=1e-12)  # rounding of two sums of 20,000
    draw.mean(difference - rows, 0.0, on="orthogonality: excess with and without x")
    # the spread of x itself is missing: a factor 10 here, which no draw of 20,000 rows turns round
    assert excess.standard_error < np.std(difference) / np.sqrt(len(x)) / mmse


# ---------------------------------------------------------------------------------------------- reverse kernels


@pytest.mark.parametrize("covariances", [0.0, np.array([0.1, 0.4]), np.array([[0.1, 0.2], [0.3, 0.0]]), "full"])
def test_reverse_kernel_of_every_kind(covariances, accuracy):
    means = np.array([[-1.0, 0.3], [1.0, 0.5]])
    full = np.stack([np.array([[0.3, 0.1], [0.1, 0.2]]), np.diag([0.5, 0.0])])
    form = "diag" if np.ndim(covariances) == 2 else None
    law = GaussianMixture([0.3, 0.7], means, full if isinstance(covariances, str) else covariances, covariance_type=form)
    z = observations(law, 1.0, 20)
    level = law.noised(1.0, 1.0)
    kernel = cm.reverse_kernel(law, z, 1.0, 0.3)
    error = np.abs(kernel.mean - (0.3 * z + 0.7 * level.denoise(z)))
    accuracy("papers.conditional_mean.ReverseKernel.mean", error, 1e-13, "denoiser from eigenbases")
    expected = 0.3 * 0.7 * np.eye(2) + 0.49 * level.posterior_covariance(z)
    error = np.abs(kernel.covariance - expected)
    accuracy("papers.conditional_mean.ReverseKernel.covariance", error, 1e-13, "posterior covariance from eigenbases")
    np.testing.assert_allclose(kernel.weights.sum(axis=1), 1, atol=4 * EPS)


def test_a_narrow_kernel_beside_a_wide_one_is_no_atom():
    """Variances within rounding of 0 are those beside the largest of their own component."""
    A = np.array([[1.0, 0.3], [0.3, 0.5]])
    root = np.linalg.cholesky(A)
    kernel = cm.ReverseKernel(np.array([[0.0, 1.0]]), np.zeros((1, 2, 2)), np.stack([A, 1e-24 * A]))
    z = np.random.default_rng(0).standard_normal((4, 3))
    x = np.concatenate([kernel.sample(row[np.newaxis]) for row in z])
    # the symmetric root and Cholesky's differ by a rotation
    size = np.linalg.norm(np.linalg.solve(root, x.T), axis=0)
    np.testing.assert_allclose(size, 1e-12 * np.linalg.norm(z[:, 1:], axis=1), rtol=1e-12)


def test_reverse_kernel_sampling(chance):
    """Mean and covariance of the draws, centred at the exact mean; the kernel is a Gaussian mixture."""
    law, draw = plane(), chance(comparisons=5)
    z = np.repeat(observations(law, 1.0, 1), 40_000, axis=0)
    kernel = cm.reverse_kernel(law, z[:1], 1.0, 0.2)
    draws = cm.reverse_kernel(law, z, 1.0, 0.2).sample(draw.noise(9).normal(0, len(z), 3))
    spread = draws - kernel.mean[0]
    draw.mean(spread, 0.0, on="mean of 40,000 draws")
    i, j = np.triu_indices(2)
    draw.mean(spread[:, i] * spread[:, j], kernel.covariance[0][i, j], on="covariance of 40,000 draws")


def test_zero_weights_are_ignored():
    a = GaussianMixture([0.4, 0.6], np.array([[-1.0], [1.0]]), 0.1)
    b = GaussianMixture([0.4, 0.0, 0.6], np.array([[-1.0], [50.0], [1.0]]), 0.1)
    z = np.array([[0.3], [-2.0]])
    np.testing.assert_allclose(cm.denoiser_laplacian(b, z, 0.5), cm.denoiser_laplacian(a, z, 0.5), rtol=1e-13)


def test_laplacian_of_two_points():
    """D = tanh(z/v): D'' = -2 tanh (1 - tanh^2) / v^2."""
    law = GaussianMixture(None, np.array([[-1.0], [1.0]]), 0.0)
    z = np.linspace(-2, 2, 9)[:, None]
    t = np.tanh(z / 0.7)
    np.testing.assert_allclose(cm.denoiser_laplacian(law, z, 0.7), -2 * t * (1 - t**2) / 0.49, atol=1e-14)


# ------------------------------------------------------------------------------------------------------ test beds


def test_random_mixture_is_that_of_the_released_code():
    """Against a literal transcription of the construction, then the exact normalisation."""
    from sklearn.datasets import make_spd_matrix

    K, d, seed = 6, 5, 453451
    rng = np.random.default_rng(seed)
    weights = rng.uniform(size=K)
    weights = weights / np.sum(weights)
    means = rng.standard_normal((K, d)) / np.sqrt(d)
    covariances = np.array([make_spd_matrix(d, random_state=seed + k) for k in range(K)])
    law = datasets.random_mixture(K, d, seed)
    mean = weights @ means
    power = sum(w * (np.trace(C) + np.sum((m - mean) ** 2)) for w, m, C in zip(weights, means, covariances, strict=True))
    np.testing.assert_allclose(law.weights, weights, rtol=1e-14)
    np.testing.assert_allclose(law.means, (means - mean) * np.sqrt(d / power), atol=1e-13)
    np.testing.assert_allclose(law.covariances, covariances * d / power, atol=1e-12)
    assert abs(np.trace(law.covariance) - d) < 1e-12


def test_random_mixture_recorded_numbers():
    """K = 128, N = 64: top eigenvalue 42.5, next at most .66, smallest 5e-4, |mu| about .81, global spectrum .37 .. 2.52."""
    law = datasets.random_mixture()
    lam = np.linalg.eigvalsh(law.covariances)
    assert np.all(np.abs(lam[:, -1] - 42.5) < 0.2)
    assert abs(lam[:, -2].max() - 0.66) < 0.005
    assert abs(lam.min() - 5e-4) < 1e-4
    assert abs(np.linalg.norm(law.means, axis=1).mean() - 0.81) < 0.01
    spectrum = np.linalg.eigvalsh(law.covariance)
    assert abs(spectrum[0] - 0.37) < 0.005
    assert abs(spectrum[-1] - 2.52) < 0.005


def test_normalised():
    law = cm.normalised(plane(), power=7.0)
    assert np.max(np.abs(law.mean)) < 1e-14
    assert abs(np.trace(law.covariance) - 7) < 1e-12
    before = plane()
    ratio = law.covariances / before.covariances
    np.testing.assert_allclose(ratio, ratio.ravel()[0], rtol=1e-13)


def test_fitted_mixture_on_digits():
    """Few components for speed: zero mean, unit power, and more likely data than by the Gaussian of its moments."""
    data = datasets.digits()[:600]
    law = cm.fitted_mixture(data, 4, seed=1)
    assert law.dim == 64
    assert law.n_components == 4
    assert np.max(np.abs(law.mean)) < 1e-12
    assert abs(np.trace(law.covariance) - 64) < 1e-9
    again = cm.fitted_mixture(data * 3 + 1, 4, seed=1)
    np.testing.assert_allclose(np.sort(again.weights), np.sort(law.weights), atol=1e-8)
    centred = data - data.mean(axis=0)
    centred /= np.sqrt(np.mean(centred**2))
    single = GaussianMixture([1.0], law.mean[None], law.covariance[None])
    assert np.mean(law.noised(1, 0.1).log_density(centred)) > np.mean(single.noised(1, 0.1).log_density(centred))


# ------------------------------------------------------------------------------------------------------ bad input

LAW = plane()
GRID = cm.released_grid(5)
Y = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("T", lambda: cm.released_grid(0)),
        ("beta_T", lambda: cm.released_grid(7)),
        ("beta_T", lambda: cm.released_grid(7, beta_T=1.0)),
        ("beta_1", lambda: cm.released_grid(5, beta_1=0.0)),
        ("n", lambda: cm.refined_grid(0, 1.0)),
        ("sigma", lambda: cm.refined_grid(3, 0.0)),
        ("spacing", lambda: cm.refined_grid(3, 1.0, "cosine")),
        ("gamma", lambda: cm.power_grid(1000, 1.5, 1.0)),
        ("gamma", lambda: cm.power_grid(1000, -1.0, 1.0)),
        ("c", lambda: cm.power_grid(1000, 1.0, 1.0, 0.0)),
        ("sigma", lambda: cm.match(GRID, -1.0)),
        ("unit", lambda: cm.match(GRID, 1.0, unit="bel")),
        ("convention", lambda: cm.match(GRID, 1.0, convention="paper")),
        ("grid", lambda: cm.match(GRID[:-1], 1.0)),
        ("grid", lambda: cm.chain(LAW, GRID[:-1], Y, 1.0)),
        ("grid", lambda: cm.chain(LAW, [1.0, 0.0], Y, 1.0)),
        ("y", lambda: cm.chain(LAW, GRID, np.zeros((2, 3)), 1.0)),
        ("sigma", lambda: cm.chain(LAW, GRID, Y, 0.0)),
        ("sigma", lambda: cm.chain(LAW, GRID, Y, assumed=1.0)),
        ("sigma", lambda: cm.chain(LAW, GRID, Y, convention="code")),
        ("assumed", lambda: cm.chain(LAW, GRID, Y, 1.0, assumed=-1.0)),
        ("method", lambda: cm.chain(LAW, GRID, Y, 1.0, method="sde")),
        ("noise", lambda: cm.chain(LAW, GRID, Y, 1.0, method="resample")),
        ("noise", lambda: cm.denoise(LAW, GRID, Y, 1.0, method="resample", runs=3)),
        ("law", lambda: cm.chain(PointCloud(Y[:1]), GRID, Y, 1.0, method="resample_exact", noise=Noise(0))),
        ("runs", lambda: cm.denoise(LAW, GRID, Y, 1.0, runs=0)),
        ("runs", lambda: cm.denoise(LAW, GRID, Y, 1.0, runs=2)),
        ("sigma", lambda: cm.lmmse(LAW, Y, 0.0)),
        ("law", lambda: cm.reverse_kernel(PointCloud(Y[:1]), Y, 1.0, 0.5)),
        ("v", lambda: cm.reverse_kernel(LAW, Y, 0.0, 0.0)),
        ("v_next", lambda: cm.reverse_kernel(LAW, Y, 1.0, 1.0)),
        ("z", lambda: cm.reverse_kernel(LAW, np.zeros(2), 1.0, 0.5)),
        ("law", lambda: cm.normalised(3)),
        ("law", lambda: cm.normalised(GaussianMixture([1.0], np.ones((1, 2)), 0.0))),
        ("power", lambda: cm.normalised(LAW, 0.0)),
        ("n_components", lambda: cm.fitted_mixture(Y, 5)),
        ("data", lambda: cm.fitted_mixture(Y, 1)),
        ("v", lambda: bound.resampling_variance([1.0, 0.5], 1.0)),
        ("kernel", lambda: bound.resampling_variance([1.0, 0.0], 1.0, "none")),
        ("slopes", lambda: bound.stepwise_error(1.0, [-1.0])),
        ("delta", lambda: bound.stepwise_error(-1.0, [1.0])),
        ("snr", lambda: bound.two_point_plateau(0.0)),
        ("runs", lambda: bound.exact_resampling(1.0, 0)),
        ("gamma", lambda: bound.schedules_share_the_limit(10, -0.5)),
        ("v_end", lambda: cm.limit(LAW, Y, 1.0, v_end=1.0)),
        ("rtol", lambda: cm.limit(LAW, Y, 1.0, rtol=0.0)),
        ("v", lambda: bound.gap_formula(np.array([0.0]), np.zeros((1, 1, 1)), np.array([1.0]))),
    ],
)
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


def test_errors_come_at_the_call():
    """Not at the first state of the generator."""
    with pytest.raises(ValueError, match="noise"):
        cm.chain(LAW, GRID, Y, 1.0, method="resample_exact", noise=3)


def test_draws_of_a_study_are_others_at_another_snr():
    """Of least squares the error over sigma^2 is the mean square of the noise itself."""
    law = cm.normalised(datasets.random_mixture(3, 4))
    shares = [cm.study(law, snr, [5], 50, 0)[1]["nmse"] * 10 ** (snr / 10) for snr in (0.0, 10.0, 10.0)]
    assert shares[1] == shares[2]
    assert abs(shares[0] / shares[1] - 1) > 1e-6
