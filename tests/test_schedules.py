"""Grid, constructors and conversions: published values, 40-digit references, refusals."""

import itertools
import math

import mpmath
import numpy as np
import pytest

from exactdiffusion import schedules
from exactdiffusion.schedules import Grid
from exactdiffusion.statements import projection
from exactdiffusion.statements.projection import beta_star

EPS = np.finfo(np.float64).eps

# arXiv 2306.04848, Fig. 5 (N = 10): training times and log sigma, the latter printed to three decimals.
FIGURE_5 = {
    "ddim": (
        [999, 899, 799, 699, 599, 499, 399, 299, 199, 99, 0],
        [5.059, 4.099, 3.240, 2.480, 1.814, 1.231, 0.708, 0.210, -0.330, -1.082, -4.605],
    ),
    "ddim_offset": (
        [853, 767, 682, 597, 511, 426, 341, 255, 170, 85, 0],
        [3.691, 2.986, 2.360, 1.802, 1.297, 0.845, 0.420, -0.016, -0.512, -1.233, -4.605],
    ),
    "edm": (
        [930, 868, 794, 705, 591, 441, 252, 93, 22, 2, 0],
        [4.386, 3.822, 3.199, 2.523, 1.765, 0.922, -0.032, -1.145, -2.455, -3.965, -4.605],
    ),
    "linear": (
        [853, 765, 665, 549, 415, 271, 149, 73, 33, 14, 0],
        [3.691, 2.970, 2.243, 1.513, 0.789, 0.067, -0.657, -1.381, -2.110, -2.814, -4.605],
    ),
}


@pytest.mark.parametrize("style", schedules.QUANTISED)
def test_figure_5_of_the_projection_paper(style, accuracy):
    times, log_sigma = FIGURE_5[style]
    by = "Figure 5 of arXiv 2306.04848"
    accuracy("schedules.quantised_times", np.abs(schedules.quantised_times(10, style) - times), 0.0, by)
    grid = schedules.REGISTRY[f"quantised_{style}"](10)
    assert grid.N == 10
    assert grid.is_ve
    # the figure is printed to 1e-3
    accuracy("schedules.quantised", np.abs(np.log(grid.sigma) - log_sigma), 1e-3, by)


def test_ddpm_trailing_values_of_the_ideal_denoiser_experiment():
    grid = schedules.ddpm(50)
    assert len(grid) == 51
    assert f"{grid.sigma[0]:.3f}" == "157.407"
    assert f"{grid.sigma[-1]:.7f}" == "0.0100005"
    table = schedules.ddpm_sigmas()
    assert np.array_equal(grid.sigma, table[list(range(999, 0, -20)) + [0]])


def test_ddpm_table_against_products_in_40_digits():
    with mpmath.workdps(40):
        product, worst = mpmath.mpf(1), 0
        table = schedules.ddpm_sigmas(1000)
        for t, beta in enumerate(np.linspace(1e-4, 0.02, 1000)):
            product *= 1 - mpmath.mpf(float(beta))
            worst = max(worst, abs(mpmath.mpf(float(table[t])) / mpmath.sqrt(1 / product - 1) - 1))
    assert worst <= 64 * EPS  # 1000 additions, pairwise-free cumulative sum; measured 9 eps


def test_full_ancestral_chain():
    grid = schedules.ddpm(1000, final_zero=True)
    assert grid.N == 1000
    assert grid.sigma[-1] == 0
    assert np.max(np.abs(grid.ddpm_beta[::-1] / np.linspace(1e-4, 0.02, 1000) - 1)) <= 1e4 * EPS  # eps / beta_1
    assert schedules.ddpm(1000).beta[-1] == 0  # without the final 0 the chain ends with a step of length zero


@pytest.mark.parametrize("eps", [0.0, 1e-5, 1e-3])
def test_vp_linear_against_40_digits(eps):
    grid = schedules.vp_linear(7, eps=eps)
    worst = 0
    with mpmath.workdps(40):
        for t, scale, sigma, g in itertools.zip_longest(grid.time, grid.scale, grid.sigma, grid.g):
            b = mpmath.mpf(float(t)) * (mpmath.mpf("0.1") + mpmath.mpf("19.9") / 2 * mpmath.mpf(float(t)))
            exact = mpmath.sqrt(-mpmath.expm1(-b))
            worst = max(worst, abs(scale / mpmath.exp(-b / 2) - 1), abs(sigma / exact - 1) if exact else abs(sigma))
            if g is None:
                break
        b = [mpmath.mpf(float(t)) * (mpmath.mpf("0.1") + mpmath.mpf("19.9") / 2 * mpmath.mpf(float(t))) for t in grid.time]
        worst_g = max(abs(float(g) / (u - v) - 1) for g, u, v in zip(grid.g, b[:-1], b[1:]))
    assert worst <= 16 * EPS  # condition of exp(-B / 2) is B / 2 = 5
    assert worst_g <= 64 * EPS  # g at level 0 amplifies the rounding of sigma / scale by (1 + r^2) dr / r <= B
    assert grid.is_vp


def test_vp_linear_denoise_at_eps_knots():
    grid = schedules.vp_linear(5, eps=1e-3, final_zero=True)
    assert np.allclose(grid.time, [1, 0.75025, 0.5005, 0.25075, 1e-3, 0], rtol=4 * EPS, atol=0)
    assert grid.sigma[-1] == 0
    assert grid.scale[-1] == 1
    # last-step factor beta(eps) eps / (1 - alpha_bar): 1.09 at eps = 1e-3, 1.001 at 1e-5 (arXiv 2507.08956's settings)
    factor = grid.rate[-2] * 1e-3 / (1 - grid.alpha_bar[-2])
    assert f"{factor:.2f}" == "1.09"
    fine = schedules.vp_linear(5, eps=1e-5, final_zero=True)
    assert f"{fine.rate[-2] * 1e-5 / fine.sigma[-2] ** 2:.3f}" == "1.001"
    assert f"{-math.expm1(-fine.integral[-2]):.5e}" == "1.00099e-06"


def test_largest_backward_steps_of_the_proximal_paper():
    assert [f"{schedules.vp_linear(N).g[0]:.2f}" for N in (5, 7, 10)] == ["3.60", "2.65", "1.90"]


@pytest.mark.parametrize("N", [1, 2, 7, 40])
@pytest.mark.parametrize(("eta", "nu"), [(0.02, 1.05), (0.1, 2.0), (0.5, 50.0), (0.99, 3.0)])
def test_admissible_uses_the_whole_budget(N, eta, nu):
    grid = schedules.admissible(N, eta, nu, sigma_max=7.0)
    beta = beta_star(eta, nu, N)
    assert np.max(np.abs(grid.beta / beta - 1)) <= 16 * EPS * (N + 1) / beta
    with mpmath.workdps(50):
        b = 1 - mpmath.mpf(1) / (1 + (1 - mpmath.power(nu, mpmath.mpf(-1) / N)) / mpmath.mpf(eta))
        assert abs(b / beta - 1) <= 8 * EPS
        rho = b / (1 - b)
        assert abs((1 - mpmath.mpf(eta) * rho) ** N * mpmath.mpf(nu) - 1) <= mpmath.mpf(10) ** -40


@pytest.mark.parametrize("rho", [0.6, 0.83, 1.2, 1.9])
def test_admissible_from_another_start_ratio_binds_on_one_side(rho):
    """d_0 = rho sigma_0; over- and undershoot move the ratio d/sigma to exactly 1/nu or nu on the binding side."""
    eta, nu, N = 0.2, 2.0, 10
    b = beta_star(eta, nu, N, rho)
    step = b / (1 - b)
    low, high = rho * (1 - eta * step) ** N, rho * (1 + eta * step) ** N
    assert low >= (1 - 1e-13) / nu
    assert high <= nu * (1 + 1e-13)
    assert min(abs(low * nu - 1), abs(high / nu - 1)) <= 64 * N * EPS


def test_admissible_special_cases():
    assert beta_star(0.0, 2.0, 5) == 1.0
    assert beta_star(0.0, 1.0, 5) == 1.0
    assert beta_star(0.1, 1.0, 5) == 0.0
    assert schedules.admissible(1, 0.0, 2.0, 3.0).sigma.tolist() == [3.0, 0.0]


def test_log_linear_and_edm_values():
    grid = schedules.log_linear(4, 16.0, 1.0)
    assert np.allclose(grid.sigma, [16, 8, 4, 2, 1], rtol=8 * EPS, atol=0)
    assert np.max(np.abs(grid.beta - 0.5)) <= 8 * EPS
    assert schedules.log_linear(1, 5.0, 1.0, final_zero=True).sigma.tolist() == [5.0, 0.0]
    assert schedules.edm(1, 5.0, 1.0, final_zero=True).sigma.tolist() == [5.0, 0.0]
    edm = schedules.edm(18)
    assert (edm.N, edm.sigma[0], edm.sigma[-2], edm.sigma[-1]) == (18, 80.0, 0.002, 0.0)
    assert math.isclose(edm.sigma[1], (80 ** (1 / 7) + (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 17) ** 7, rel_tol=64 * EPS)


def test_cosine_and_sigmoid_against_their_closed_cumulative_products():
    T = 1000
    t = np.arange(1, T) / T  # the last beta is capped
    cosine = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    grid = schedules.cosine(T, final_zero=True)
    assert np.max(np.abs(grid.alpha_bar[1:-1][::-1] / cosine - 1)) <= 1e-11  # cancellation eps / beta in T products
    assert math.isclose(grid.ddpm_beta[0], 0.999, rel_tol=1e-12)

    def logistic(z):
        return 1 / (1 + np.exp(-z))

    sigmoid = (logistic(3) - logistic(-3 + 6 * t)) / (logistic(3) - logistic(-3))
    grid = schedules.sigmoid(T, final_zero=True)
    assert np.max(np.abs(grid.alpha_bar[1:-1][::-1] / sigmoid - 1)) <= 1e-10


@pytest.mark.parametrize("name", sorted(schedules.REGISTRY))
@pytest.mark.parametrize("N", [2, 3, 10, 25])
def test_every_constructor_gives_a_valid_grid(name, N, accuracy):
    grid = schedules.REGISTRY[name](N)
    assert isinstance(grid, Grid)
    assert grid.N == N
    assert len(grid) == N + 1
    assert (np.diff(grid.noise_ratio) <= 0).all()
    assert grid.beta.shape == grid.g.shape == (N,)
    for other in (grid.to_vp(), grid.to_ve()):
        assert np.max(np.abs(other.noise_ratio - grid.noise_ratio) / grid.noise_ratio[0]) <= 8 * EPS
    vp = np.max(np.abs(grid.to_vp().scale ** 2 + grid.to_vp().sigma ** 2 - 1)) <= 8 * EPS
    assert grid.to_vp().is_vp == vp
    assert grid.to_ve().is_ve


def test_properties_agree_with_each_other():
    grid = Grid([0.5, 0.8, 1.0], [2.0, 0.3, 0.0])
    assert np.allclose(grid.noise_ratio, [4.0, 0.375, 0.0])
    assert np.allclose(grid.alpha_bar, [1 / 17, 1 / 1.140625, 1.0])
    assert np.allclose(grid.g, np.log(grid.alpha_bar[1:] / grid.alpha_bar[:-1]))
    assert np.allclose(grid.ddpm_beta, 1 - grid.alpha_bar[:-1] / grid.alpha_bar[1:])
    assert np.allclose(grid.beta, [1 - 0.375 / 4, 1.0])
    assert grid.snr[-1] == np.inf
    assert grid.snr_db[-1] == np.inf
    assert np.allclose(grid.snr_db[:-1], 10 * np.log10(grid.snr[:-1]))
    assert np.allclose(grid.integral, -np.log(grid.alpha_bar))


def test_step_sizes_do_not_cancel():
    """Relative error of g and beta for nearly equal levels, against 50 digits."""
    r = np.array([1e-3, 1e-3 * (1 - 1e-9), 1e-9])
    grid = schedules.Grid(np.ones(3), r)
    with mpmath.workdps(50):
        m = [mpmath.mpf(float(v)) for v in r]
        for i in range(2):
            g = mpmath.log1p(m[i] ** 2) - mpmath.log1p(m[i + 1] ** 2)
            assert abs(float(grid.g[i]) / g - 1) <= 8 * EPS
            assert abs(float(grid.beta[i]) / (1 - m[i + 1] / m[i]) - 1) <= 8 * EPS


def test_conversions_round_trip():
    sigma = np.geomspace(1e-6, 1e3, 50)
    tight = {"rtol": 16 * EPS, "atol": 0}
    assert np.allclose(schedules.sigma_from_integral(schedules.integral_from_sigma(sigma)), sigma, rtol=64 * EPS, atol=0)
    assert np.allclose(schedules.sigma_from_snr(schedules.snr_from_sigma(sigma)), sigma, **tight)
    assert np.allclose(schedules.sigma_from_snr_db(schedules.snr_db_from_sigma(sigma)), sigma, rtol=64 * EPS, atol=0)
    assert np.allclose(schedules.snr_from_snr_db(schedules.snr_db_from_snr(sigma)), sigma, rtol=64 * EPS, atol=0)
    rough = sigma[sigma > 0.1]  # through alpha_bar information is lost below
    assert np.allclose(schedules.sigma_from_alpha_bar(schedules.alpha_bar_from_sigma(rough)), rough, rtol=1e-10, atol=0)
    betas = np.linspace(1e-4, 0.02, 50)
    assert np.allclose(schedules.beta_from_alpha_bar(schedules.alpha_bar_from_beta(betas)), betas, rtol=1e-11, atol=0)
    t = np.linspace(0, 1, 33)
    assert np.allclose(schedules.vp_linear_time(schedules.vp_linear_integral(t)), t, **tight)
    assert np.allclose(schedules.vp_linear_time(schedules.vp_linear_integral(t, 2.0, 2.0), 2.0, 2.0), t, **tight)
    assert np.allclose(schedules.vp_linear_time(schedules.vp_linear_integral(t, 0.0, 2.0), 0.0, 2.0), t, **tight)
    assert schedules.snr_db_from_sigma(0.1) == pytest.approx(20.0, rel=4 * EPS)
    assert schedules.alpha_bar_from_integral(0.0) == 1.0


def test_nearest_index():
    grid = schedules.log_linear(4, 16.0, 1.0, final_zero=False)
    assert schedules.nearest_index(grid, 3.9) == 2
    assert schedules.nearest_index(grid, 2.9) == 2  # 2.83 is the midpoint in dB
    assert schedules.nearest_index(grid, 2.9, unit="linear") == 2
    assert schedules.nearest_index(grid, 2.6, unit="linear") == 2  # midpoint of 1/16 and 1/4 is at sigma = 2.53
    assert schedules.nearest_index(grid, 2.6) == 3
    assert schedules.nearest_index(schedules.log_linear(4, final_zero=True), 1e-9) == 3  # never the final 0


def test_ddpm_time_is_a_ceil_search(accuracy):
    table = schedules.ddpm_sigmas()
    assert schedules.ddpm_time(table[17]) == 17
    assert schedules.ddpm_time(np.nextafter(table[17], np.inf)) == 18
    assert schedules.ddpm_time(1e9) == 1000
    sigma = np.geomspace(1e-3, 1e3, 301)
    count = [sum(v < s for v in table) for s in sigma]
    accuracy("schedules.ddpm_time", np.abs(schedules.ddpm_time(sigma) - count), 0.0, "number of levels below")


def test_grid_is_immutable_and_copies_its_input():
    sigma = np.array([2.0, 1.0])
    grid = Grid(np.ones(2), sigma)
    sigma[0] = 5.0
    assert grid.sigma[0] == 2.0
    with pytest.raises(ValueError, match="read-only"):
        grid.sigma[0] = 3.0
    with pytest.raises(AttributeError):
        grid.sigma = sigma
    with pytest.raises(ValueError, match="read-only"):
        grid.noise_ratio[0] = 3.0


def test_per_row_grid_and_slices():
    rows = Grid(1.0 * np.ones(3), np.array([[4.0, 2.0], [2.0, 1.0], [1.0, 0.0]]))
    assert rows.scale.shape == (3, 2)
    assert rows.beta.shape == (2, 2)
    tail = schedules.vp_linear(6)[2:]
    assert tail.N == 4
    assert tail.time[0] == pytest.approx(4 / 6)
    assert repr(tail).startswith("Grid(N=4, VP")
    assert "2 rows" in repr(rows)


def test_nearest_index_far_outside_and_at_the_end_of_the_range(accuracy):
    grid = schedules.log_linear(10, 40.0, 0.01)
    for unit, expected in (("db", [0, 1, 2]), ("linear", [0, 0, 1])):
        assert schedules.nearest_index(grid, 1e-300, unit=unit) == 10
        assert schedules.nearest_index(grid, 5e-324, unit=unit) == 10
        assert schedules.nearest_index(grid, 1e300, unit=unit) == 0
        wide = Grid([1.0] * 3, [1e200, 1.0, 1e-200])
        assert [schedules.nearest_index(wide, s, unit=unit) for s in (1e199, 2.0, 1e-199)] == expected
    # Against the definition in 50 digits, on levels between the grid's own.
    with mpmath.workdps(50):
        for sigma in np.geomspace(0.011, 39.0, 57):
            snr = [mpmath.mpf(float(r)) ** -2 for r in grid.noise_ratio]
            apart = [abs(s - mpmath.mpf(float(sigma)) ** -2) for s in snr]
            found = schedules.nearest_index(grid, float(sigma), unit="linear")
            accuracy("schedules.nearest_index", abs(found - apart.index(min(apart))), 0.0)
            apart = [abs(mpmath.log(s) + 2 * mpmath.log(float(sigma))) for s in snr]
            found = schedules.nearest_index(grid, float(sigma))
            accuracy("schedules.nearest_index", abs(found - apart.index(min(apart))), 0.0)


def test_nearest_level_of_an_exact_tie_is_the_noisier_one():
    """SNR 1/7^2 is half way between 1/35^2 and 1/5^2, and the two sides of the comparison round alike."""
    assert schedules.nearest_index(Grid([1.0, 1.0, 1.0], [35.0, 5.0, 0.0]), 7.0, unit="linear") == 0


def test_length_of_one_schedule_per_row():
    assert len(Grid(1.0, np.geomspace(5.0, 1.0, 4)[:, np.newaxis] * [1.0, 2.0, 3.0])) == 4


def test_admissible_says_when_the_step_rounds_to_one():
    with pytest.raises(ValueError, match=r"^eta: got 1e-20; .*rounds to 1"):
        schedules.admissible(10, 1e-20, 2)
    assert schedules.admissible(1, 1e-20, 2, 3.0).sigma.tolist() == [3.0, 0.0]  # one full step is what it rounds to


BAD_GRIDS = {
    "rho small": ("rho", lambda: schedules.edm(5, rho=1e-3)),
    "rho small, levels below 1": ("rho", lambda: schedules.edm(5, sigma_max=0.5, rho=1e-3)),
    "rho smallest": ("rho", lambda: schedules.edm(5, rho=5e-324)),
    "rho large": ("rho", lambda: schedules.edm(5, rho=1e18)),
    "tau small": ("tau", lambda: schedules.sigmoid(5, tau=1e-3)),
    "tau smallest": ("tau", lambda: schedules.sigmoid(5, tau=1e-300)),
    "beta large": ("beta_max", lambda: schedules.vp_linear(3, 2000, 2000)),
    "beta large, VE": ("beta_max", lambda: schedules.vp_linear(3, 0, 2000, vp=False)),
    "distance zero": ("distance", lambda: projection.hull_denoiser_error(1, 0)),
    "distances with a zero": ("distance", lambda: projection.hull_denoiser_error(1, np.array([1.0, 0.0]))),
    "diameter negative": ("diameter", lambda: projection.hull_denoiser_error(-1, 1)),
    "mu one": ("mu", lambda: projection.ddpm_coordinates(2.0, 1.0, mu=1)),
    "mu negative": ("mu", lambda: projection.ddpm_coordinates(2.0, 1.0, mu=-0.1)),
    "sigma increases": ("sigma", lambda: Grid([1, 1, 1], [1.0, 2.0, 0.0])),
    "sigma repeats": ("sigma", lambda: Grid([1, 1, 1], [1.0, 1.0, 0.0])),
    "sigma increases, not strict": ("sigma", lambda: Grid([1, 1, 1], [1.0, 2.0, 0.0], strict=False)),
    "sigma negative": ("sigma", lambda: Grid([1, 1], [1.0, -0.5])),
    "sigma inner zero": ("sigma", lambda: Grid([1, 1, 1], [1.0, 0.0, 0.0], strict=False)),
    "sigma / scale inner zero": ("sigma", lambda: Grid([0.1, 1e300, 1e300], [0.1, 5e-324, 5e-324], strict=False)),
    "time beyond floats": ("integral", lambda: schedules.vp_linear_time([0.0, 0.5], 5e-324, 5e-324)),
    "sigma NaN": ("sigma", lambda: Grid([1, 1], [1.0, np.nan])),
    "sigma infinite": ("sigma", lambda: Grid([1, 1], [np.inf, 1.0])),
    "sigma text": ("sigma", lambda: Grid([1, 1], ["a", "b"])),
    "sigma complex": ("sigma", lambda: Grid([1, 1], [1j, 0.5])),
    "sigma one level": ("sigma", lambda: Grid([1], [1.0])),
    "sigma three axes": ("sigma", lambda: Grid(1.0, np.ones((2, 2, 2)))),
    "scale zero": ("scale", lambda: Grid([1.0, 0.0], [1.0, 0.5])),
    "scale shape": ("scale", lambda: Grid([1.0, 1.0, 1.0], [1.0, 0.5])),
    "scale per row": ("scale", lambda: Grid([1.0, 1.0, 1.0], np.ones((2, 3)) * [[1.0], [0.5]])),
    "time shape": ("time", lambda: Grid([1, 1], [1.0, 0.5], time=[1.0])),
    "rate NaN": ("rate", lambda: Grid([1, 1], [1.0, 0.5], rate=[1.0, np.nan])),
    "strict": ("strict", lambda: Grid([1, 1], [1.0, 0.5], strict=1)),
    "index": ("index", lambda: schedules.log_linear(3)[1]),
    "slice of one level": ("sigma", lambda: schedules.log_linear(3)[3:]),
    "N zero": ("N", lambda: schedules.log_linear(0)),
    "N float": ("N", lambda: schedules.ddpm(10.0)),
    "N bool": ("N", lambda: schedules.edm(True)),
    "N above T": ("N", lambda: schedules.cosine(1001)),
    "sigma_min": ("sigma_min", lambda: schedules.log_linear(3, 1.0, 2.0)),
    "sigma_max": ("sigma_max", lambda: schedules.edm(3, -1.0)),
    "rho": ("rho", lambda: schedules.edm(3, rho=0.0)),
    "final_zero": ("final_zero", lambda: schedules.log_linear(3, final_zero="yes")),
    "eps": ("eps", lambda: schedules.vp_linear(3, eps=1.0)),
    "eps with final zero": ("eps", lambda: schedules.vp_linear(3, final_zero=True)),
    "beta_max": ("beta_max", lambda: schedules.vp_linear(3, 2.0, 1.0)),
    "beta_min": ("beta_min", lambda: schedules.vp_linear(3, -1.0, 1.0)),
    "spacing": ("spacing", lambda: schedules.ddpm(3, spacing="leading")),
    "beta_end": ("beta_end", lambda: schedules.ddpm(3, beta_end=1.0)),
    "max_beta": ("max_beta", lambda: schedules.cosine(3, max_beta=1.0)),
    "tau": ("tau", lambda: schedules.sigmoid(3, tau=0.0)),
    "end": ("end", lambda: schedules.sigmoid(3, start=1.0, end=0.0)),
    "eta": ("eta", lambda: schedules.admissible(3, 1.0)),
    "eta zero, N > 1": ("eta", lambda: schedules.admissible(3, 0.0)),
    "nu below 1": ("nu", lambda: schedules.admissible(3, 0.1, 0.9)),
    "nu one": ("nu", lambda: schedules.admissible(3, 0.1, 1.0)),
    "start ratio": ("start_ratio", lambda: schedules.admissible(3, 0.1, 2.0, 40.0, 2.0)),
    "style": ("style", lambda: schedules.quantised(10, "DDIM")),
    "start": ("start", lambda: schedules.quantised(10, "edm", 1e4)),
    "beta above one": ("beta", lambda: schedules.alpha_bar_from_beta([0.5, 1.1])),
    "alpha_bar increases": ("alpha_bar", lambda: schedules.beta_from_alpha_bar([0.5, 0.9])),
    "alpha_bar above 1": ("alpha_bar", lambda: schedules.sigma_from_alpha_bar(1.5)),
    "snr zero": ("snr", lambda: schedules.sigma_from_snr(0.0)),
    "t outside": ("t", lambda: schedules.vp_linear_rate(1.5)),
    "grid per row": ("grid", lambda: schedules.nearest_index(Grid(1.0, [[2.0], [1.0]]), 1.0)),
    "unit": ("unit", lambda: schedules.nearest_index(schedules.ddpm(5), 1.0, unit="dB")),
}


@pytest.mark.parametrize("case", sorted(BAD_GRIDS))
def test_bad_input_names_the_argument(case):
    name, call = BAD_GRIDS[case]
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


# ------------------------------------------------------------------------------------ defaults and ends of the ranges

DEFAULTS = {
    "log_linear": ((40.0, 0.01, False), 5),
    "edm": ((80.0, 0.002, 7.0, True), 5),
    "vp_linear": ((0.1, 20.0, 0.0, True, False), 5),
    "admissible": ((0.1, 2.0, 40.0, 1.0), 5),
    "ddpm": ((1000, 1e-4, 0.02, "trailing", False), 50),
    "cosine": ((1000, 0.008, 0.999, "trailing", False), 1000),
    "sigmoid": ((1000, -3.0, 3.0, 1.0, 0.999, "trailing", False), 1000),
}


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_defaults_are_the_documented_ones(name):
    arguments, N = DEFAULTS[name]
    found, expected = schedules.REGISTRY[name](N), schedules.REGISTRY[name](N, *arguments)
    assert np.array_equal(found.sigma, expected.sigma)
    assert np.array_equal(found.scale, expected.scale)
    assert found.strict == expected.strict
    assert schedules.REGISTRY["quantised_edm"].__name__ == "quantised_edm"


def test_defaults_of_the_conversions():
    t = np.linspace(0, 1, 5)
    assert np.array_equal(schedules.vp_linear_rate(t), schedules.vp_linear_rate(t, 0.1, 20.0))
    assert np.allclose(schedules.vp_linear_rate(t, 0.5, 2.5), [0.5, 1, 1.5, 2, 2.5], rtol=4 * EPS, atol=0)
    assert np.array_equal(schedules.vp_linear_integral(t), schedules.vp_linear_integral(t, 0.1, 20.0))
    assert np.array_equal(schedules.vp_linear_time(t), schedules.vp_linear_time(t, 0.1, 20.0))
    assert np.array_equal(schedules.ddpm_sigmas(), schedules.ddpm_sigmas(1000, 1e-4, 0.02))
    assert schedules.vp_linear_time(0.0, 0.0, 2.0) == 0.0
    assert schedules.alpha_bar_from_integral(math.log(4.0)) == pytest.approx(0.25, rel=4 * EPS)


def quantised_start(style):
    return lambda v: schedules.quantised_times(10, style, v)


LARGE, TABLE = 1e153, schedules.ddpm_sigmas()
UP, DOWN = (lambda v: float(np.nextafter(v, np.inf))), (lambda v: float(np.nextafter(v, 0.0)))
END = math.sqrt(TABLE[100] * TABLE[0])  # where the levels of "linear" end, N = 10
#: argument named, call, accepted values up to the ends of the range, refused ones
RANGES = [
    ("sigma_max", lambda v: schedules.log_linear(3, v, 1e-3), (0.5, LARGE), (0.0, -0.5, UP(LARGE))),
    ("sigma_min", lambda v: schedules.log_linear(3, 40.0, v), (0.5, 39.0), (0.0, -0.5, 40.0)),
    ("sigma_min", lambda v: schedules.edm(3, 40.0, v), (0.5, 39.0), (0.0, -0.5, 40.0)),
    ("rho", lambda v: schedules.edm(3, rho=v), (0.5, 7.0), (0.0, -0.5)),
    ("beta_min", lambda v: schedules.vp_linear_rate(0.5, v, 1e150), (0.0, 0.5, 1e150), (-0.5, UP(1e150))),
    ("beta_max", lambda v: schedules.vp_linear_rate(0.5, 0.0, v), (0.5, 1e150), (0.0, -0.5, UP(1e150))),
    ("beta_max", lambda v: schedules.vp_linear(3, v, v), (0.5, 700.0), (UP(700.0),)),
    ("beta_max", lambda v: schedules.vp_linear(3, 0.5, v), (0.5,), (DOWN(0.5),)),
    ("t", schedules.vp_linear_rate, (0.0, 0.5, 1.0), (-0.5, UP(1.0))),
    ("t", schedules.vp_linear_integral, (0.0, 0.5, 1.0), (-0.5, UP(1.0))),
    ("integral", schedules.vp_linear_time, (0.0, 0.5, 1e150), (-0.5, UP(1e150))),
    ("eps", lambda v: schedules.vp_linear(3, eps=v), (0.0, 0.5), (-0.5, 1.0, 1.5)),
    ("eps", lambda v: schedules.vp_linear(3, eps=v, final_zero=True), (1e-9, 0.5), (0.0,)),
    ("vp", lambda v: schedules.vp_linear(3, vp=v), (True, False), (1, 0)),
    ("eta", lambda v: schedules.admissible(1, v), (0.0, 0.5), (-0.5, 1.0, 1.5, "a")),
    ("nu", lambda v: schedules.admissible(1, 0.0, v), (1.0, 1.5), (0.5, "a")),
    ("nu", lambda v: schedules.admissible(1, 0.1, v), (1.5,), (1.0, 0.5)),
    ("start_ratio", lambda v: schedules.admissible(2, start_ratio=v), (0.6, 1.9), (0.5, 2.0, -0.5, "a")),
    ("sigma_max", lambda v: schedules.admissible(3, sigma_max=v), (0.5, 2.0), (0.0, -0.5)),
    ("T", schedules.ddpm_sigmas, (1, 2), (0, -1)),
    ("T", lambda v: schedules.cosine(1, v), (1, 2), (0, -1)),
    ("beta_start", lambda v: schedules.ddpm_sigmas(5, v, 0.5), (1e-9, 0.5, 0.9), (0.0, -0.5, 1.0, 1.5)),
    ("beta_end", lambda v: schedules.ddpm_sigmas(5, 0.5, v), (1e-9, 0.5, 0.9), (0.0, -0.5, 1.0, 1.5)),
    ("beta_end", lambda v: schedules.ddpm_sigmas(v, 0.5, 0.5), (1016,), (1017,)),  # 2 log 1e153 = 1016.5 log 2
    ("max_beta", lambda v: schedules.cosine(3, max_beta=v), (1e-9, 0.5), (0.0, -0.5, 1.0, 1.5)),
    ("max_beta", lambda v: schedules.sigmoid(3, 7, end=1.0, max_beta=v), (1e-9, 0.5), (0.0, -0.5, 1.0, 1.5)),
    ("offset", lambda v: schedules.cosine(3, offset=v), (0.0, 0.5), (-0.5,)),
    ("tau", lambda v: schedules.sigmoid(3, tau=v), (0.5, 2.0), (0.0, -0.5)),
    ("end", lambda v: schedules.sigmoid(3, start=-0.5, end=v), (0.0, 0.5), (-0.5, -0.6)),
    ("N", lambda v: schedules.ddpm(v, T=5), (1, 5), (0, 6)),
    ("N", lambda v: schedules.ddpm(v, T=5, spacing="linspace"), (1, 5), (0, 6)),
    ("N", lambda v: schedules.quantised_times(v, "linear"), (2, 1000), (1, 1001)),
    ("N", schedules.admissible, (1, 2), (0, -1)),
    ("N", schedules.log_linear, (1, 2), (0, -1)),
    ("start", quantised_start("ddim"), (UP(TABLE[0]), TABLE[-1]), (TABLE[0], UP(TABLE[-1]))),
    ("start", quantised_start("linear"), (1.001 * END,), (END, UP(END))),
    ("sigma_min", lambda v: schedules.log_linear(3, 1.0, v), (1 - 1e-9,), (DOWN(1.0),)),
    ("sigma", lambda v: schedules.nearest_index(schedules.ddpm(5), v), (0.5, 5e-324), (0.0, -0.5)),
    ("sigma", schedules.alpha_bar_from_sigma, (0.0, 0.5, LARGE), (-0.5, UP(LARGE))),
    ("sigma", schedules.integral_from_sigma, (0.0, 0.5, LARGE), (-0.5, UP(LARGE))),
    ("alpha_bar", schedules.sigma_from_alpha_bar, (LARGE**-2, 0.5, 1.0), (0.0, -0.5, DOWN(LARGE**-2), UP(1.0))),
    ("integral", schedules.sigma_from_integral, (0.0, 0.5, 2 * math.log(LARGE)), (-0.5, UP(2 * math.log(LARGE)))),
    ("integral", schedules.alpha_bar_from_integral, (0.0, 0.5), (-0.5,)),
    ("beta", schedules.alpha_bar_from_beta, ([0.0], [0.5], [1.0]), ([-0.5], [UP(1.0)], 0.5, [[0.5]])),
    ("alpha_bar", schedules.beta_from_alpha_bar, ([0.5, 0.5], [0.5, 0.0]), ([0.0, 0.0], [UP(1.0)], [0.5, UP(0.5)], 0.5)),
    ("sigma", schedules.snr_from_sigma, (1 / LARGE, 0.5, LARGE), (0.0, -0.5, DOWN(1 / LARGE), UP(LARGE))),
    ("snr", schedules.sigma_from_snr, (0.5, 1e300), (0.0, -0.5)),
    ("snr", schedules.snr_db_from_snr, (0.5, 1e300), (0.0, -0.5)),
    ("snr_db", schedules.snr_from_snr_db, (-3060.0, 3060.0), (UP(3060.0), -UP(3060.0))),
    ("sigma", schedules.snr_db_from_sigma, (0.5, 1e300), (0.0, -0.5)),
    ("table", lambda v: schedules.ddpm_time(1.5, v), ([1.0, 1.0, 2.0], [3.0]), ([1.0, 0.5], 2.0, [[1.0]])),
    ("final_zero", lambda v: schedules.ddpm(3, final_zero=v), (True, False), (1, "yes")),
    ("index", lambda v: schedules.log_linear(4)[::v], (1, 2, 4, None), (-1, 0)),
]


@pytest.mark.parametrize("case", range(len(RANGES)))
def test_ranges_end_where_they_say(case):
    name, call, inside, outside = RANGES[case]
    for value in inside:
        call(value)
    for value in outside:
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            call(value)


def test_grid_at_the_end_of_the_range():
    """Noise ratios whose square is no float: the derived notations by their limits, to rounding."""
    r = np.array([1e200, 1e160, 2e153, 1e153, 5e152, 1e-160, 0.0])
    grid = Grid(np.ones(7), r)
    with mpmath.workdps(700):
        exact = [mpmath.log1p(mpmath.mpf(float(v)) ** 2) for v in r]
        integral, g = np.array(exact, float), np.array([a - b for a, b in itertools.pairwise(exact)], float)
    assert np.max(np.abs(grid.integral - integral)) <= 8 * EPS * integral[0]
    assert np.max(np.abs(grid.g - g)) <= 8 * EPS * integral[0]
    assert grid.alpha_bar[0] == 0
    assert grid.alpha_bar[-1] == 1
    assert np.array_equal(np.isinf(grid.snr), [False] * 5 + [True] * 2)
    assert grid.snr_db[-1] == np.inf
    assert np.allclose(grid.snr_db[:-1], -20 * np.log10(r[:-1]), rtol=4 * EPS, atol=0)
    assert not grid.is_vp


def test_is_vp_means_eight_units_in_the_last_place(accuracy):
    for units, expected in ((8, True), (9, False)):  # scale^2 + sigma^2 = 1 + units eps exactly
        sigma = math.sqrt(units * EPS)
        assert 1.0 + sigma**2 - 1.0 == units * EPS
        error = float(Grid([1.0, 1.0], [sigma, 0.0]).is_vp is not expected)
        accuracy("schedules.Grid.is_vp", error, 0.0, "squares 8 and 9 units above 1")
    assert not Grid([1.0, 1.0], [1.0, 0.0]).is_vp
    assert not Grid([0.5, 1.0], [0.5, 0.0]).is_vp
    for first, last, expected in ((1.0, 1.0, True), (0.5, 1.0, False), (1.0, 1.0 - EPS / 2, False), (1.0 + EPS, 1.0, False)):
        error = float(Grid([first, last], [0.5, 0.0]).is_ve is not expected)
        accuracy("schedules.Grid.is_ve", error, 0.0, "scales of 1, and one that is not")


def test_grid_text_and_views():
    assert repr(Grid([1, 1], [2.0, 0.5])) == "Grid(N=1, VE, sigma/scale 2 -> 0.5)"
    assert repr(Grid([2, 1], [2.0, 0.5])) == "Grid(N=1, general, sigma/scale 1 -> 0.5)"
    rows = Grid(1.0, [[3.0, 4.0, 2.0], [1.0, 0.75, 2.0]], strict=False)
    assert repr(rows) == "Grid(N=1, VE, sigma/scale 4 -> 0.75, 3 rows)"
    assert np.array_equal(Grid([2.0, 1.0], [[3.0, 4.0], [1.0, 0.5]]).scale, [[2, 2], [1, 1]])  # one scale per level
    assert np.array_equal(Grid([[2.0, 1.0]], [[3.0, 4.0], [1.0, 0.5]]).scale, [[2, 1], [2, 1]])
    grid = schedules.vp_linear(4)
    for view in (grid[1:4:2], grid.to_ve()[1:4:2], grid.to_ve().to_vp()[1:4:2]):
        assert np.array_equal(view.time, grid.time[1:4:2])
        assert np.array_equal(view.rate, grid.rate[1:4:2])
        assert np.allclose(view.noise_ratio, grid.noise_ratio[1:4:2], rtol=4 * EPS, atol=0)
    equal = Grid([0.5] * 3, [1.0, 1.0, 0.5], strict=False)
    for view in (equal[:], equal.to_ve(), equal.to_vp()):
        assert view.strict is False
        assert view.g[0] == 0
    assert grid.to_vp() is grid
    assert Grid([1, 1], [2.0, 1.0], time=[1.0, 0.0]).rate is None
    with pytest.raises(ValueError, match="read-only"):
        grid.time[0] = 2.0


def test_sub_sampled_grids_are_strict_where_they_can_be():
    for spacing, final_zero, strict in (("trailing", True, True), ("trailing", False, False), ("linspace", True, False)):
        assert schedules.ddpm(7, spacing=spacing, final_zero=final_zero).strict is strict
    table = schedules.ddpm_sigmas(11)
    assert np.array_equal(schedules.ddpm(4, 11, spacing="linspace").sigma, table[[10, 7, 5, 2, 0]])
    assert np.array_equal(schedules.ddpm(4, 11, spacing="linspace", final_zero=True).sigma, [*table[[10, 7, 5, 2]], 0.0])
    assert np.array_equal(schedules.ddpm(3, 11).sigma, table[[10, 6, 3, 0]])  # round(11), round(7.33), round(3.67)


def test_other_parameters_against_the_closed_cumulative_products():
    T, t = 40, np.arange(41) / 40
    cosine = np.cos((t + 0.05) / 1.05 * np.pi / 2) ** 2
    sigmoid = 1 / (1 + np.exp(-4 / 0.7)) - 1 / (1 + np.exp(-(-2 + 6 * t) / 0.7))
    for name, levels, params in (
        ("cosine", cosine, {"offset": 0.05}),
        ("sigmoid", sigmoid, {"start": -2.0, "end": 4.0, "tau": 0.7}),
    ):
        betas = np.minimum(1 - levels[1:] / levels[:-1], 0.3)
        assert 0 < np.sum(betas == 0.3) < T
        alpha_bar = np.cumprod(1 - betas)
        grid = schedules.REGISTRY[name](T, T, max_beta=0.3, final_zero=True, **params)
        assert np.allclose(grid.alpha_bar[:-1][::-1], alpha_bar, rtol=64 * T * EPS, atol=0)
        short = schedules.REGISTRY[name](5, T, max_beta=0.3, spacing="linspace", **params)
        assert np.allclose(short.alpha_bar, alpha_bar[[39, 31, 23, 15, 7, 0]], rtol=64 * T * EPS, atol=0)


def test_admissible_levels_and_start_ratio():
    eta, nu, N, rho = 0.2, 3.0, 4, 1.4
    grid = schedules.admissible(N, eta, nu, 5.0, rho)
    assert np.allclose(grid.sigma, 5.0 * (1 - beta_star(eta, nu, N, rho)) ** np.arange(N + 1), rtol=16 * EPS, atol=0)
    assert beta_star(eta, nu, N, rho) < 0.99 * beta_star(eta, nu, N)
    with pytest.raises(ValueError, match="exact projection"):
        schedules.admissible(3, 0.0)


def test_nearest_index_ties_and_equal_levels():
    grid = Grid([1.0] * 5, [4.0, 4.0, 1.0, 1.0, 0.0], strict=False)
    for unit in ("db", "linear"):
        assert [schedules.nearest_index(grid, s, unit=unit) for s in (9.0, 4.0, 3.9, 1.1, 1.0, 0.1)] == [0, 0, 0, 2, 2, 2]
    assert schedules.nearest_index(Grid([1.0] * 3, [8.0, 4.0, 1.0]), 2.0) == 1  # a tie in decibels: the noisier one
    assert schedules.nearest_index(Grid([1.0] * 3, [8.0, 4.0, 1.0]), UP(2.0)) == 1
    assert schedules.nearest_index(Grid([1.0] * 3, [8.0, 4.0, 1.0]), DOWN(2.0)) == 2


# ------------------------------------------------------------------------------------------- pure noise at the start


def pure_noise(N=4):
    """The linear DDPM betas moved so that the noisiest level is exactly pure noise (arXiv 2305.08891, Algorithm 1)."""
    root = np.sqrt(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    root = root[np.linspace(999, 0, N + 1).astype(int)]
    return schedules.Grid(root, np.sqrt(1 - root**2))


def test_a_grid_may_begin_with_pure_noise():
    grid = pure_noise()
    near = schedules.Grid(np.where(grid.scale > 0, grid.scale, 1e-100), grid.sigma)
    assert grid.is_vp
    assert grid.to_vp() is grid
    assert grid.noise_ratio[0] == grid.integral[0] == grid.g[0] == np.inf
    assert grid.alpha_bar[0] == grid.snr[0] == 0
    assert grid.snr_db[0] == -np.inf
    assert grid.beta[0] == grid.ddpm_beta[0] == 1
    for name in ("noise_ratio", "alpha_bar", "integral", "snr", "beta", "ddpm_beta"):  # the limit, and the other levels
        assert np.array_equal(getattr(grid, name)[1:], getattr(near, name)[1:]), name
        assert not np.isnan(getattr(grid, name)).any()
    assert np.array_equal(grid[1:].sigma, near[1:].sigma)
    assert schedules.nearest_index(grid, 1e6) == 1
    general = schedules.Grid(2 * grid.scale, 2 * grid.sigma)
    assert np.abs(general.to_vp().sigma - grid.sigma).max() <= 4e-16
    assert general.to_vp().scale[0] == 0
    rows = schedules.Grid(np.array([[0.0, 0.5], [1.0, 1.0]]), np.array([[1.0, 1.0], [0.1, 0.1]]))
    assert np.array_equal(rows.beta[0], [1.0, 0.95])


@pytest.mark.parametrize("scale", [[0.0, 0.0, 1.0], [0.5, 0.0, 1.0], [1.0, 1.0, 0.0], [-0.0001, 0.5, 1.0]])
def test_only_the_first_scale_may_be_0(scale):
    with pytest.raises(ValueError, match=r"^scale: .*only the first may be 0"):
        schedules.Grid(scale, [3.0, 2.0, 1.0])


def test_what_divides_by_the_scale_refuses_pure_noise_and_says_why():
    grid = pure_noise()
    with pytest.raises(ValueError, match=r"^scale \(its first scale is 0\): .*positive scales"):
        grid.to_ve()
    with pytest.raises(ValueError, match=r"^alpha_bar: .*Grid\(sqrt"):
        schedules.sigma_from_alpha_bar(grid.alpha_bar)
    with pytest.raises(ValueError, match=r"^max_beta: .*no VE coordinates"):
        schedules.cosine(10, max_beta=1.0)


def test_betas_of_pure_noise():
    alpha_bar = np.array([0.9, 0.5, 0.0])
    assert np.array_equal(schedules.beta_from_alpha_bar(alpha_bar)[-1:], [1.0])
    assert np.abs(schedules.alpha_bar_from_beta(schedules.beta_from_alpha_bar(alpha_bar)) - alpha_bar).max() <= 1e-15
    assert schedules.alpha_bar_from_beta([0.1, 1.0, 0.5])[1:].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"^alpha_bar: .*only the last may be 0"):
        schedules.beta_from_alpha_bar([0.5, 0.0, 0.0])
