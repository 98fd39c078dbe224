"""The audit finds what was put in: errors of known size, broken denoisers, failed hypotheses, one at a time."""

import itertools
import json
import math
import re

import numpy as np
import pytest

from exactdiffusion import PointCloud, cli, datasets, schedules
from exactdiffusion.papers.projection.adversaries import ApproximateProjection
from exactdiffusion.papers.projection.audit import audit, load_cloud, load_function
from exactdiffusion.papers.projection.predictions import Convention, likely_prediction
from exactdiffusion.statements import projection as bound
from exactdiffusion.studies import figures

EPS = np.finfo(np.float64).eps


@pytest.fixture(scope="module")
def digits():
    return PointCloud(datasets.digits())


@pytest.fixture(scope="module")
def small():
    return PointCloud(np.random.default_rng(5).standard_normal((30, 6)))


def perturbed(law, eta, strategy):
    oracle = ApproximateProjection(law, eta, strategy=strategy, garbage=False)
    return lambda x, sigma: oracle.noised(1.0, sigma).denoise(x)


def test_adversaries_push_where_they_say():
    """One atom in R^4 at distances on both sides of sqrt(n) sigma: |x| = r sqrt(n) sigma with r from .5 to 2."""
    law, sigma, r = PointCloud(np.zeros((1, 4))), 0.7, np.array([0.5, 0.9, 1.1, 2.0])
    unit = np.random.default_rng(0).standard_normal((4, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    x = unit * (r * 2 * sigma)[:, np.newaxis]
    far = np.array([-1.0, -1.0, 1.0, 1.0])  # too near for the noise level: nearer still, and the other way round
    for strategy, outwards in (("under", 1.0), ("over", -1.0), ("adaptive", far)):
        oracle = ApproximateProjection(law, 0.3, strategy=strategy, garbage=False)
        expected = 0.3 * x * np.reshape(outwards, (-1, 1))
        np.testing.assert_allclose(oracle.noised(1.0, sigma).denoise(x), expected, rtol=0, atol=1e-14)
    oracle = ApproximateProjection(law, 0.3, strategy="alternating", garbage=False)
    first, second = (oracle.noised(1.0, sigma).denoise(x) for _ in range(2))
    np.testing.assert_allclose([first, second], [0.3 * x, -0.3 * x], rtol=0, atol=1e-14)


@pytest.mark.parametrize("strategy", ["tangential", "under", "over", "alternating", "drift"])
@pytest.mark.parametrize("eta", [0.03, 0.4])
def test_injected_eta_is_reported(digits, strategy, eta):
    report = audit(perturbed(digits, eta, strategy), digits, N=25, trajectories=20)
    # asked for within 1 %; what is left is rounding, eps |x| / d with |x| up to 10 and d down to .01
    tol = 1e4 * EPS / eta
    assert report.eta_max == pytest.approx(eta, rel=tol)
    assert report.eta_median == pytest.approx(eta, rel=tol)
    assert all(row["max"] == pytest.approx(eta, rel=tol) for row in report.per_step())
    assert all(value == pytest.approx(eta, rel=tol) for value in report.quantiles().values())
    assert np.all(report.inside)
    assert report.applicable, [h for h in report.hypotheses if not h.holds]


def test_extremes_attain_both_guarantees(digits):
    for strategy, side in (("under", 1), ("over", 0)):
        report = audit(perturbed(digits, 0.2, strategy), digits, N=20, trajectories=8, sigma_ratio=1e-2)
        for products in (report.a_posteriori, report.a_priori):
            np.testing.assert_allclose(report.measured, products[side], rtol=1e6 * EPS)
    # the overshoot's band usage is the smallest admissible nu (Theorem 4.2, attained)
    assert np.max(report.usage) == pytest.approx(report.nu, rel=1e6 * EPS)
    # control: half the error assumed, the guarantee is broken
    report = audit(perturbed(digits, 0.2, "under"), digits, N=20, trajectories=8, sigma_ratio=1e-2)
    beta = np.broadcast_to(report.beta, (20, 8))
    assert np.all(report.measured > 1.05 * bound.ddim_distance_sandwich(1.0, beta, 0.1)[1][-1])


def test_smallest_nu_is_the_threshold(digits):
    report = audit(perturbed(digits, 0.15, "tangential"), digits, N=30, trajectories=5)
    beta = report.beta[:, 0]
    assert bound.is_admissible(beta, report.eta_max, report.nu * (1 + 1e-9))
    assert not bound.is_admissible(beta, report.eta_max, report.nu * (1 - 1e-9))
    # beta_* itself is admissible, a larger constant step is not
    grid = report.schedule()
    assert grid.N == 30
    assert bound.is_admissible(grid.beta * (1 - 1e-12), report.eta_max, 2.0)
    assert not bound.is_admissible(grid.beta * (1 + 1e-9), report.eta_max, 2.0)
    assert grid.beta[0] == pytest.approx(report.beta_star)


def test_ideal_denoiser_of_the_digits(digits):
    """DDPM-50: the largest eta of 2,000 trajectories is about .66 (.58 to .68 by seed); here state by state."""
    report = audit("ideal", digits, schedule="ddpm", trajectories=200)
    assert 0.45 < report.eta_max < 0.7
    assert np.max(np.mean(report.eta, axis=1)) == pytest.approx(0.212, abs=4 * 0.065 / math.sqrt(200))
    assert np.all(report.inside)
    from exactdiffusion import Noise, samplers

    grid = schedules.ddpm(50)
    states = list(samplers.ddim(digits, grid, grid.sigma[0] * Noise(0).initial(200, 64)))
    for i in (0, 20, 35, 45):
        x, p = states[i], digits.project(states[i])
        direct = np.linalg.norm(digits.noised(1.0, grid.sigma[i]).denoise(x) - p, axis=1) / np.linalg.norm(x - p, axis=1)
        np.testing.assert_allclose(report.eta[i], direct, rtol=1e-9, atol=1e-12)
    status = {h.name: h.holds for h in report.hypotheses}
    assert status == {"H1": True, "H2": False, "H3": True, "H4": False}
    assert report.nu == math.inf, "the last relative step is .87"


def test_hypotheses_fail_one_at_a_time(small):
    def status(report):
        return "".join(h.name for h in report.hypotheses if not h.holds)

    steady = perturbed(small, 0.2, "tangential")
    assert status(audit(steady, small, N=20, trajectories=10)) == ""
    assert status(audit(steady, small, N=20, trajectories=10, nu=1.5)) == "H2"
    # an estimate twice as far beyond the projection: eta = 1.5, nothing is admissible either
    report = audit(lambda x, s: x - 2.5 * (x - small.project(x)), small, N=20, trajectories=10, sigma_ratio=0.5)
    assert status(report) == "H1H2"
    assert report.beta_star is None
    assert report.eta_max == pytest.approx(1.5, rel=1e-9)
    assert np.all(np.isnan(report.a_priori[1]))
    with pytest.raises(ValueError, match="eta_max"):
        report.schedule()
    # a full last step onto the bisector of two points: no unique projection there
    pair = np.array([[-1.0, 0.0], [1.0, 0.0]])
    report = audit(lambda x, s: np.stack([0 * x[:, 0], x[:, 1]], axis=1), pair, schedule="edm", N=8, trajectories=10)
    assert "H3" in status(report)
    assert "H4" in status(audit(steady, small, schedule="log_linear", N=20, trajectories=10))


def test_exact_projection_and_full_last_step(small):
    report = audit(lambda x, s: small.project(x), small, schedule="edm", N=6, trajectories=10)
    assert report.eta_max == 0
    assert np.all(report.measured == 0)
    assert np.all(report.inside)
    assert np.max(report.usage[-1]) == 1.0
    assert report.beta_star == 1.0
    json.dumps(report.to_dict(), allow_nan=False)
    assert "largest 0" in report.text()


def test_states_on_the_cloud_are_counted(small):
    """One step of the exact size lands on a point up to rounding: from there on no relative error can be measured."""
    beta, calls = 1 - 1e-1 ** (1 / 4), iter(range(100))

    def jump(x, sigma):
        p = small.project(x)
        return p if next(calls) else x + (p - x) / beta

    report = audit(jump, small, N=4, sigma_ratio=1e-1, trajectories=4)
    assert np.all(report.distance[1] < 1e-12)
    assert report.on_cloud == 12
    assert not np.any(report.defined)
    assert report.eta_max == pytest.approx(1 / beta - 1, rel=1e-9)
    assert "12 states on the cloud" in report.text()
    json.dumps(report.to_dict(), allow_nan=False)


def test_nearest_neighbours_are_judged(digits):
    """The worked example: k = 5 ends at a mean of five digits, eta 1, and no schedule is admissible."""
    example = figures.select(["audit_examples"])[0]
    report = audit(example.knn, digits, N=25, trajectories=20)
    assert report.eta_max > 1
    assert report.beta_star is None
    assert not report.hypotheses[0].holds
    assert np.all(report.inside)
    assert np.median(report.eta[-1]) == pytest.approx(1.0, abs=0.05)
    report = audit(example.perturbed, digits, N=25, trajectories=20)
    assert report.eta_max == pytest.approx(example.ETA, rel=1e-2)


def test_equal_seeds_equal_reports(small):
    a, b, c = (audit("ideal", small, N=10, trajectories=7, seed=s) for s in (3, 3, 4))
    assert a.text() == b.text() != c.text()
    assert np.array_equal(a.eta, b.eta)


def test_scalar_sigma(small):
    def one(x, sigma):
        if isinstance(sigma, np.ndarray):
            raise TypeError("one level only")
        return small.noised(1.0, sigma).denoise(x)

    with pytest.raises(ValueError, match=r"fn: one raised TypeError .*one level only.*scalar_sigma"):
        audit(one, small, N=5, trajectories=3)
    by_row = audit(one, small, N=5, trajectories=3, scalar_sigma=True)
    np.testing.assert_allclose(by_row.eta, audit("ideal", small, N=5, trajectories=3).eta, atol=1e-12)
    audit(one, small, N=5, trajectories=3, schedule="log_linear")


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x, s: x[:, :2], r"returned shape \(4, 2\); expected \(4, 6\)"),
        (lambda x, s: np.where(s[:, None] < 1, np.nan, 0 * x), r"at sigma = .* not finite in \d of 4 rows \(first: row"),
        (lambda x, s: "no", "returned str"),
        (lambda x, s: 1 / 0, "raised ZeroDivisionError at sigma"),
        (lambda x: x, "raised TypeError at sigma .*fn is called with x .* and sigma$"),
        (lambda x, s: np.full_like(x, np.inf), "not finite in 4 of 4"),
        ("perfect", "fn: got 'perfect'"),
    ],
)
def test_bad_denoisers(small, fn, message):
    with pytest.raises(ValueError, match=message):
        audit(fn, small, N=10, trajectories=4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("N", 0),
        ("N", 2.5),
        ("trajectories", 0),
        ("sigma_ratio", 1.0),
        ("sigma_ratio", 0),
        ("sigma_max", -1.0),
        ("nu", 1.0),
        ("schedule", "none"),
        ("seed", -1),
    ],
)
def test_bad_arguments(small, name, value):
    with pytest.raises(ValueError, match=name):
        audit("ideal", small, **{name: value})


def test_bad_clouds():
    for cloud in (np.zeros(3), np.array([[np.nan, 1.0]]), "digits", np.zeros((0, 2))):
        with pytest.raises(ValueError, match=r"cloud|points"):
            audit("ideal", cloud)


def test_denoiser_may_overwrite_its_argument(small):
    def rude(x, sigma):
        out = small.noised(1.0, sigma).denoise(x)
        x[:] = 7.0
        return out

    assert np.array_equal(audit(rude, small, N=5, trajectories=3).eta, audit("ideal", small, N=5, trajectories=3).eta)


# -- beside the ideal denoiser, and the conventions of others --------------------------------------------------------------


@pytest.mark.parametrize("index", ["sigma", "alpha_bar", "t"])
@pytest.mark.parametrize("predicts", ["x0", "noise", "v", "score"])
def test_conventions_give_the_ideal_denoiser_back(small, predicts, index):
    """The ideal denoiser in each convention, by formulas in variance-preserving coordinates, is the best possible."""
    alphas = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))

    def fn(x, level):
        level = np.reshape(level, (-1, 1)) if np.ndim(level) else level
        a = alphas[np.asarray(level)] if index == "t" else level if index == "alpha_bar" else 1 / (1 + level**2)
        vp = np.sqrt(a) * x if index == "sigma" else x
        clean = small.noised(1.0, np.ravel(np.sqrt(1 / a - 1)) if np.ndim(a) else np.sqrt(1 / a - 1)).denoise(
            vp / np.sqrt(a)
        )
        noise = (vp - np.sqrt(a) * clean) / np.sqrt(1 - a)
        score = -noise / np.sqrt(1 - a) * (np.sqrt(a) if index == "sigma" else 1.0)
        return {"x0": clean, "noise": noise, "v": np.sqrt(a) * noise - np.sqrt(1 - a) * clean, "score": score}[predicts]

    right = audit(fn, small, N=12, trajectories=5, convention=Convention(predicts, index))
    # what rounding leaves of an estimate that is a difference of numbers of size sigma, relative to the noise
    assert np.max(right.excess) < 1e-20
    assert right.times_worse == pytest.approx(1, abs=1e-12)
    assert right.looks_like is None
    # read in any other way the kind is recognised, and named in the next action
    for wrong in {"x0", "noise", "v", "score"} - {predicts}:
        convention = Convention(wrong, index)
        looks = likely_prediction(convention.denoiser(fn), convention, small)
        assert looks == predicts, (predicts, wrong, looks)


def test_the_report_says_which_times_were_asked(small):
    def fn(x, t):
        return np.zeros_like(x)

    assert "11 of its 1000 times of linear DDPM" in audit(fn, small, N=10, convention=Convention("noise", "t")).text()
    few = Convention("noise", "t", [0.9, 0.5, 0.1])
    assert "3 of its 3 times, seed" in audit(fn, small, N=2, convention=few).text()
    # the levels of another schedule are asked at the nearest time: sigma = 1 / 3, 1 or 3
    with pytest.raises(ValueError, match="N: got 3; expected at most 2"):
        audit(fn, small, N=3, convention=few)
    assert (
        "each level asked at the nearest time, off by up to" in audit(fn, small, N=5, schedule="ddpm", convention=few).text()
    )


def test_noise_taken_for_the_clean_point_is_named(small):
    def noise(x, sigma):
        return (x - small.noised(1.0, sigma).denoise(x)) / np.reshape(sigma, (-1, 1))

    report = audit(noise, small, N=10, trajectories=5)
    assert report.looks_like == "noise"
    assert "The answers look like the unit noise z, not like the clean point x0" in report.next_action
    assert "--predicts noise" in report.text()
    for fair in (perturbed(small, 0.2, "tangential"), lambda x, s: np.zeros_like(x), lambda x, s: x):
        assert audit(fair, small, N=10, trajectories=5).looks_like is None


def test_excess_is_the_error_that_was_put_in(small):
    """A shift by c sigma from the ideal denoiser has an excess of c^2 at every state, and the least error is exact."""

    def shifted(x, sigma):
        return small.noised(1.0, sigma).denoise(x) + 0.3 * np.reshape(sigma, (-1, 1))

    report = audit(shifted, small, N=10, trajectories=6)
    np.testing.assert_allclose(report.excess, 0.09, rtol=1e-6)
    assert report.times_worse == pytest.approx(math.sqrt(1 + 0.09 / np.mean(report.least)), rel=1e-6)
    low, high, share = report.worst_sigma
    assert share == pytest.approx(2 / 10)
    # the least error at the first state, by the trace of the exact posterior covariance
    from exactdiffusion import Noise

    x = 40.0 * Noise(0).initial(6, 6)
    covariance = small.noised(1.0, report.sigma[0]).posterior_covariance(x)
    np.testing.assert_allclose(
        report.least[0], np.trace(covariance, axis1=1, axis2=2) / (6 * report.sigma[0] ** 2), rtol=1e-9
    )


def test_only_a_noise_level_is_bad_and_it_is_found(small):
    def bad(x, sigma):
        s = np.reshape(sigma, (-1, 1))
        return small.noised(1.0, sigma).denoise(x) + np.where((s > 0.5) & (s < 2), 0.5, 0.0)

    report = audit(bad, small, N=40, trajectories=20)
    low, high, share = report.worst_sigma
    assert low < 0.6 < 1.9 < high
    assert share > 0.95
    assert "Improve the denoiser at sigma = " in report.next_action or "improve it at sigma = " in report.next_action


def test_a_cloud_on_which_the_ideal_denoiser_fails_says_so():
    cloud = np.random.default_rng(1).standard_normal((60, 5)) * 2
    report = audit("ideal", cloud)
    assert not report.hypotheses[0].holds
    assert report.ideal_fails == pytest.approx(1 - report.hypotheses[0].share)
    assert report.next_action.startswith("Do not train further: the ideal denoiser fails H1 too")


def test_guarantees_for_a_share_of_the_trajectories(digits):
    report = audit("ideal", digits, N=25, trajectories=50)
    for share in (0.5, 0.9, 1.0):
        found = report.guarantee(share)
        kept = report.eta_per_trajectory <= found["eta"]
        assert np.mean(kept) >= share
        assert np.all(report.measured[kept] <= found["a_priori"])
        assert np.sum(report.measured <= found["a_posteriori"]) >= share * 50
        # the binomial bound: with a smaller share of all starts, so many of 50 below it have a probability of 5 %
        from scipy.stats import binom

        assert binom.sf(round(found["share"] * 50) - 1, 50, found["of_all_starts"]) == pytest.approx(0.05, rel=1e-6)
    assert report.guarantee(1.0)["eta"] == report.eta_max


def test_torch_modules_get_tensors_of_their_own(small):
    torch = pytest.importorskip("torch")
    asked = []

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, x, t):
            asked.append((x.dtype, x.requires_grad, t.dtype, tuple(t.shape)))
            return self.gain * x

    net = Net()
    report = audit(net, small, N=5, trajectories=3, convention=Convention("noise", "t"))
    assert report.name == "Net"
    assert asked[0] == (torch.float32, False, torch.int64, (3,))
    audit(net, small, N=5, trajectories=3)
    assert asked[-1][2] == torch.float32
    # a plain function may return a tensor that requires a gradient
    audit(lambda x, s: net.gain * torch.as_tensor(x), small, N=5, trajectories=3)
    with pytest.raises(ValueError, match=r"raised TypeError .* pass the module"):
        audit(lambda x, s: torch.nn.functional.silu(x), small, N=5, trajectories=3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"predicts": "eps"}, "predicts: got 'eps'"),
        ({"index": "time"}, "index: got 'time'"),
        ({"index": "t", "alphas": [0.1, 0.9]}, "alphas: got"),
        ({"alphas": [0.9, 0.1]}, "alphas: got .* index='t'"),
    ],
)
def test_bad_conventions(words, message):
    with pytest.raises(ValueError, match=message):
        Convention(**words)


def test_smallest_steps_is_the_smallest(accuracy):
    by_search = []
    for eta in (0.0, 0.05, 0.2, 0.6):
        for nu in (1.3, 2.0, 10.0):
            for of in ("distance", "sigma"):
                limit = bound.admissible_limits(eta, nu)[2 if of == "distance" else 0]
                for ratio in (limit + 0.9 * (1 - limit), limit + 0.1 * (1 - limit)):
                    N = bound.smallest_steps(eta, nu, ratio, of)
                    slope = 1 - eta if of == "distance" else 1
                    assert (1 - slope * bound.beta_star(eta, nu, N)) ** N <= ratio
                    assert N == 1 or (1 - slope * bound.beta_star(eta, nu, N - 1)) ** (N - 1) > ratio
                    reach = (n for n in itertools.count(1) if (1 - slope * bound.beta_star(eta, nu, n)) ** n <= ratio)
                    by_search.append(N - next(reach))
                if eta:
                    with pytest.raises(ValueError, match=r"ratio: got .* no number of steps"):
                        bound.smallest_steps(eta, nu, limit, of)
    with pytest.raises(ValueError, match=r"nu: got 1\.0; expected a number above 1: at eta = 0\.1"):
        bound.smallest_steps(0.1, 1.0, 0.01)
    with pytest.raises(ValueError, match=r"ratio: got 0\.1; expected .* limit 0\.1, such as 0\.1001: "):
        bound.smallest_steps(0.5, 10.0, 0.1)  # the limit is one rounding below
    assert bound.smallest_steps(0.5, 10.0, 0.1001) < 20_000
    accuracy("statements.projection.smallest_steps", np.abs(by_search), 0.0, "one step count after the other")


def test_plot(small, tmp_path):
    audit("ideal", small, N=10, trajectories=5).plot(tmp_path / "audit.svg")
    assert "<svg" in (tmp_path / "audit.svg").read_text(encoding="utf-8")


# -- the command line ----------------------------------------------------------------------------------------------------


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A folder with a user's module and clouds."""
    (tmp_path / "mine_for_audit.py").write_text(
        "import numpy as np\n"
        "def mean(x, sigma):\n    return np.zeros_like(x)\n"
        "def broken(x, sigma):\n    return np.full_like(x, np.nan)\n"
        "def three(a, b, c):\n    return a\n"
        "number = 3\n",
        encoding="utf-8",
    )
    points = np.random.default_rng(0).standard_normal((12, 3))
    np.save(tmp_path / "points.npy", points)
    np.savetxt(tmp_path / "points.csv", points, delimiter=",")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command(user, capsys):
    common = ["--N", "10", "--trajectories", "6", "--json", "report.json"]
    assert cli.main(["audit", "mine_for_audit:mean", "--target", "points.npy", *common]) == 0
    first = capsys.readouterr().out
    assert "audit of mine_for_audit:mean" in first
    assert all(f"\n  {h} " in first for h in ("H1", "H2", "H3", "H4"))
    written = json.loads((user / "report.json").read_text())
    assert written["denoiser"] == "mine_for_audit:mean"
    assert written["eta"]["max"] >= written["eta"]["median"] > 0
    assert len(written["eta"]["per_step"]) == 10
    # the mean of the cloud is no projection: it stalls at its distance to the cloud
    assert not written["applicable"]
    assert cli.main(["audit", "mine_for_audit.py:mean", "--target", "points.csv", *common]) == 0
    second = capsys.readouterr().out
    assert second.split("\n", 1)[1] == first.split("\n", 1)[1]
    assert max(map(len, first.splitlines())) <= 125


@pytest.mark.parametrize(
    ("fn", "target", "message"),
    [
        ("mine_for_audit", "points.npy", "fn: got 'mine_for_audit'; expected MODULE:FUNCTION"),
        ("no_such_module:f", "points.npy", "ModuleNotFoundError"),
        ("mine_for_audit:absent", "points.npy", "AttributeError"),
        ("mine_for_audit:number", "points.npy", "expected a function"),
        ("mine_for_audit:three", "points.npy", r"expected a function of \(x, sigma\)"),
        ("absent.py:f", "points.npy", "there is no absent.py"),
        ("mine_for_audit:broken", "points.npy", "fn: mine_for_audit:broken at sigma = .* not finite"),
        ("ideal", "points.txt", "target: got 'points.txt'"),
        ("ideal", "absent.npy", "target: got 'absent.npy'; expected an existing file"),
        ("ideal", "gaussian", "target: got 'gaussian'"),
        ("ideal", "mine_for_audit.csv", "target: got"),
    ],
)
def test_command_refuses(user, capsys, fn, target, message):
    (user / "mine_for_audit.csv").write_text("a,b\n1,two\n", encoding="utf-8")
    assert cli.main(["audit", fn, "--target", target, "--N", "4", "--trajectories", "3"]) == 2
    text = capsys.readouterr().err
    assert re.search(message, text), text
    assert text.count("\n") == 1, "one line"


def test_loaders(user):
    assert load_function("mine_for_audit:mean")(np.ones((2, 3)), 1.0).shape == (2, 3)
    assert load_cloud("points.csv").points.shape == (12, 3)
    assert load_cloud("digits").points.shape == (1797, 64)
