"""Deterministic samplers on two modes: orders of plain methods, a clip that is seen, and random samplers refused."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from exactdiffusion.conformance import Target, judge, subject_of
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.subject import Unjudgeable
from exactdiffusion.conformance.two_modes import NODES, TwoModesWorld, two_mode_error

WORLD = TwoModesWorld(Target(np.zeros(1), np.ones(1)))


def _density(y, scale, sigma):
    deviation = np.hypot(0.2 * scale, sigma)
    return sum(np.exp(-0.5 * ((y - c * scale) / deviation) ** 2) for c in (-1, 1)) / (2 * deviation * np.sqrt(2 * np.pi))


@pytest.mark.parametrize(("scale", "sigma"), [(1.0, 0.02), (1.0, 80.0), (0.6, 0.8)])
def test_quantiles_by_integration(scale, sigma):
    found = WORLD.quantiles(scale, sigma)
    for j in (3, 150, 399):
        share = 0.5 + quad(_density, 0.0, found[j, 0], (scale, sigma), limit=200)[0]
        assert share == pytest.approx((j + 0.5) / NODES, abs=1e-9)


def test_denoiser_by_integration():
    scale, sigma, y = 0.8, 0.5, 0.3

    def posterior(x, power):
        return x**power * _density(x, 1.0, 0.0) * np.exp(-0.5 * ((y - scale * x) / sigma) ** 2)

    by_hand = quad(posterior, -4, 4, (1,), limit=200)[0] / quad(posterior, -4, 4, (0,), limit=200)[0]
    assert WORLD.predict("sample", np.array([[y]]), sigma, scale).item() == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2), ("dpm_solver_pp", 2)])
def test_orders_on_two_modes(name, order):
    errors = [two_mode_error(subject_of(name), n) for n in (160, 320)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_random_samplers_are_refused():
    with pytest.raises(Unjudgeable, match="deterministic"):
        two_mode_error(subject_of("ddpm"), 10)


def test_a_sampler_that_clips_has_an_error_here_though_no_exact_law():
    def clipped(denoiser, sigmas, x):
        for a, b in pairwise(sigmas):
            clean = denoiser(x, a).clip(-1.0, 1.0)
            x = clean + (x - clean) * (b / a)
        return x

    report = judge(plain.subject(clipped, order=1), steps=(20, 40, 80, 160), precisions=["float64"])
    (verdict,) = report.of("modes")
    assert verdict.status == "note"
    assert two_mode_error(plain.subject(clipped), 160) > 0.05
