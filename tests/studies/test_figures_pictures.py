"""Figures of samples and of iterates: their pictures are what they say, and their numbers agree with other tables."""

import numpy as np
import pytest
from figure_tables import committed, fresh, parameters

from exactdiffusion import Noise, datasets
from exactdiffusion.studies import figures, sweep

PICTURES = figures.helper("shared", "_pictures")


def test_images_of_a_table_are_read_back_to_half_a_level():
    image = np.random.default_rng(0).uniform(-1.2, 1.2, (8, 8))
    back = PICTURES.decoded(PICTURES.coded(image, -1.0, 1.0), (8, 8))
    assert np.max(np.abs(back - (np.clip(image, -1, 1) + 1) / 2)) <= 0.5 / (PICTURES.LEVELS - 1) + 1e-12
    # dark and light exchanged
    assert np.allclose(PICTURES.decoded(PICTURES.coded(image, 1.0, -1.0), (8, 8)), 1 - back)


def test_a_sheet_shows_every_image_once_and_names_the_rows():
    light, dark = "p" + "f" * 4, "p" + "0" * 4
    figure, axes = figures.panels(1)
    PICTURES.sheet(axes, {"first": [light, dark], "second": [dark, dark]}, (2, 2), gap=0.5)
    (picture,) = axes.get_images()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["first", "second"]
    canvas = np.asarray(picture.get_array())[..., 0]
    assert canvas.shape == (5, 5)
    assert np.sum(canvas == 0) == 12  # three dark images of four pixels


def test_the_exact_prox_returns_digits_and_the_other_samplers_do_not():
    known = {PICTURES.coded(image, 1.0, -1.0) for image in datasets.digits()}
    table = committed("digits_w2")
    for method in ("target", *parameters("digits_w2")["methods"]):
        images = [r["image"] for r in table if r["kind"] == "sample" and r["method"] == method]
        assert len(images) == parameters("digits_w2")["shown"]
        assert all(image in known for image in images) == (method in ("target", "hybrid")), method


def test_digits_say_what_the_caption_says():
    table = committed("digits_w2")
    mean = lambda method, N: np.mean([r["w2"] for r in table if (r["kind"], r["method"], r["steps"]) == ("w2", method, N)])  # noqa: E731
    exact = [r["w2"] for r in table if r["kind"] == "exact"]
    assert min(exact) < mean("hybrid", 5) < max(exact)
    assert f"{mean('hybrid', 5):.1f} {mean('em', 5):.1f} {mean('em_released', 5):.1f}" == "3.3 5.8 11.7"
    for method in ("em_denoised", "ode"):
        assert 1.0 < mean(method, 5) / np.mean(exact) < 1.04, method
    assert mean("em", 5) / mean("hybrid", 5) > 1.75


def test_euler_maruyama_on_digits_by_hand():
    """Five steps written out, with the noise of the sampler; the last one with and without its noise."""
    law, n = sweep.law_of("digits"), 20
    run = figures.experiments()["digits_w2"].run
    noise, beta = Noise(3), lambda t: 0.1 * t + 9.95 * t * t
    x = noise.initial(n, 64)
    for i in range(5):
        t, s = 1 - i / 5, 1 - (i + 1) / 5
        g, a = beta(t) - beta(s), np.exp(-0.5 * beta(t))
        sigma = np.sqrt(1 - a * a)
        score = (a * law.noised(1.0, sigma / a).denoise(x / a) - x) / sigma**2
        x = x + g * (x / 2 + score) + np.sqrt(g) * noise.normal(i, n, 64)
    # rounding of five steps with weights that depend on squared distances of up to 1e3
    assert np.max(np.abs(run("em", law, 5, Noise(3), n) - x)) <= 1e-9


def test_few_step_samples_end_at_digits_from_ten_calls_on():
    table, q = committed("few_step_samples"), parameters("few_step_samples")

    def far(name, calls):
        return np.mean([r["far"] for r in table if (r["kind"], r["sampler"], r["calls"]) == ("run", name, calls)])

    for name in q["samplers"]:
        assert all(far(name, calls) <= 1.5 * 0.08 for calls in q["calls"] if calls >= 10), name
    assert min(far("gradient_estimation", 5), far("heun", 5)) > 10 * 0.08
    assert max(far("ddim", 5), far("dpm_solver_pp", 5)) < 2.1 * 0.08


def test_patches_say_what_the_caption_says():
    table = committed("patches_samples")
    assert all(r["far"] == 0 for r in table if r["method"] == "hybrid")
    assert min(r["far"] for r in table if r["method"] == "em" and r["steps"] == 10) > 0.3
    assert max(r["far"] for r in table if r["method"] == "ode" and r["steps"] == 10) < 0.04


def test_the_density_has_the_mean_of_the_other_figure_of_the_same_trajectories():
    """projection_error computes eta with its own bookkeeping; 2000 trajectories of the same seed."""
    density, other = committed("projection_error_density"), committed("projection_error")
    mean = {r["i"]: r["eta"] for r in density if r["kind"] == "mean" and r["trajectories"] == 2000}
    rows = [r for r in other if (r["data"], r["paired"], r["trajectories"]) == ("digits", "same", 2000)]
    assert len(rows) == len(mean) == parameters("projection_error_density")["steps"]
    # last bits of BLAS grow along a trajectory; an error below 1e-12 is rounding of the atoms
    assert all(mean[r["i"]] == pytest.approx(r["mean"], rel=1e-6, abs=1e-12) for r in rows)
    shares = [
        sum(r["share"] for r in density if r["kind"] == "share" and r["trajectories"] == 2000 and r["i"] == i) for i in mean
    ]
    assert max(shares) <= 1 + 1e-12
    assert shares[0] == pytest.approx(1)  # every error of the first step is within the bins


def test_the_chain_passes_the_levels_below_the_noise_of_the_observation():
    rows = [r for r in committed("chain_iterates") if r["kind"] == "level"]
    snr_db = parameters("chain_iterates")["snr_db"]
    passed = [r for r in rows if r["passed"]]
    assert len(passed) == 108
    nearest = min(rows, key=lambda r: abs(r["snr"] - snr_db))
    assert nearest is passed[0]
    assert all(r["snr"] < snr_db for r in rows if not r["passed"])


def test_the_chain_on_digits_starts_at_the_least_error_and_leaves_it():
    rows = fresh("error_after_each_step_digits", snr_db=[-10], samples=60, points=5, steps=50)
    assert rows[0]["excess"] < 0.05 < rows[-1]["excess"]
    assert rows[0]["nmse_state"] > 1.5 * rows[-1]["nmse_state"]
