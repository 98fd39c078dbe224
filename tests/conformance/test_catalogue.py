"""The plain samplers of the catalogue have the order of their method; every slip is told from every correct method."""

import numpy as np
import pytest

from exactdiffusion.conformance import catalogue, functions, judge
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.catalogue import SLIPS, entries, nearest, propagate
from exactdiffusion.conformance.world import Target

#: order of the law; stochastic two- and three-step methods have order 2 in the law of a Gaussian
ORDERS = {
    "Euler (DDIM)": 1,
    "Heun": 2,
    "DPM-Solver-2": 2,
    "DPM-Solver-2, arithmetic middle": 2,
    "DPM-Solver++(2S)": 2,
    "DPM-Solver-2 ancestral": 1,
    "DPM-Solver++(2S) ancestral": 1,
    "ancestral (DDPM)": 1,
    "Euler-Maruyama": 1,
    "DPM-Solver++(2M)": 2,
    "DPM-Solver++(2M) SDE": 2,
    "DPM-Solver++(2M) SDE, heun": 2,
    "DPM-Solver++(3M)": 3,
    "DPM-Solver++(3M), midpoint start": 3,
    "DPM-Solver++(3M) SDE": 2,
    "DPM-Solver++(3M) SDE, midpoint start": 2,
    "DPM-Solver++ SDE": 2,
    "Adams-Bashforth 2": 2,
    "Adams-Bashforth 3": 3,
    "Adams-Bashforth 4": 4,
}


class _Noise:
    def __init__(self, noise, x):
        self.noise, self.x = noise, x

    def unit(self):
        return self.noise(self.x)

    def interval(self, a, b):
        return self.noise(a, b)


@pytest.mark.parametrize("method", SLIPS)
def test_order_of_a_correct_method(method):
    run = SLIPS[method][0]

    def sampler(denoiser, sigmas, x, noise):
        return run(denoiser, sigmas, x, _Noise(noise, x), "")

    report = judge(plain.subject(sampler, order=ORDERS[method]), precisions=["float64"])
    assert report.code == 0, report.table()
    assert report.resembles == method


def test_every_slip_has_coefficients_of_its_own(monkeypatch):
    """Distance of each slip to all correct methods, but where leaving the memory out gives another correct method."""
    ratios, aim = functions.alternating(20), Target(np.array([0.1, 0.3]), np.array([0.2, 1.0]))
    # each correct method is propagated once, and the slips are not compared with one another
    correct = [entry for entry in entries() if not entry.slip]
    known = {entry.name: propagate(entry, ratios, aim) for entry in correct}
    monkeypatch.setattr(catalogue, "entries", lambda: iter(correct))
    monkeypatch.setattr(catalogue, "propagate", lambda entry, ratios, target: known[entry.name])
    alike = []
    for entry in entries():
        if entry.slip:
            found = propagate(entry, ratios, aim)
            best = nearest(found.gain[-1], found.constant[-1], found.noise[-1], ratios, aim)[0]
            if best.distance < 1e-8:
                alike.append(entry.name)
    assert alike == ["DPM-Solver++(2M) with no memory"]
