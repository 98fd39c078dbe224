"""The exact law by coefficients against two million direct runs of the same code.

Six statistics (mean and variance of three samplers) are each within 4.5 standard errors: a correct law fails with
probability 4e-5 in all. The seed is fixed, so the test has one outcome for one version of the generator.

``python tests/conformance/test_monte_carlo.py`` prints the two laws of each sampler side by side.
"""

import importlib.util

import numpy as np
import pytest

from exactdiffusion.conformance import Target, World, measure, subject_of
from exactdiffusion.output_laws.coefficients import caller_array

RUNS, BLOCK, LEVEL = 2_000_000, 250_000, 4.5

CASES = {
    "multistep": ("diffusers:DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "stochastic": ("diffusers:EulerAncestralDiscreteScheduler", {}),
    "predictor-corrector": ("diffusers:UniPCMultistepScheduler", {"use_karras_sigmas": True}),
}


class Direct:
    """Starts and noises drawn at random: what a probe answers in a direct run."""

    def __init__(self, seed, rows):
        self.rng, self.rows = np.random.default_rng(seed), rows

    def start(self, mean, deviation):
        return mean + deviation * self.rng.standard_normal((self.rows, len(mean)))

    def normal(self, like):
        return caller_array(self.rng.standard_normal(tuple(like.shape)), like)


def z_scores(subject, exact, aim, steps, runs):
    """(mean, variance) of direct runs against the exact law, in standard errors, and the two moments themselves."""
    total = square = 0.0
    for block in range(runs // BLOCK):
        world = World(aim, subject.library, widen=True)
        x = np.asarray(world.runner(subject.make(world), steps)(Direct(block, BLOCK))[-1])[:, 0] - exact.mean[-1, 0]
        total, square = total + x.sum(), square + (x**2).sum()
    variance = exact.deviation[-1, 0] ** 2
    z = np.array([total / np.sqrt(variance * runs), (square / runs - variance) / (variance * np.sqrt(2 / runs))])
    return z, (exact.mean[-1, 0] + total / runs, np.sqrt(square / runs - (total / runs) ** 2))


def both_laws(kind):
    """Exact and direct (mean, standard deviation) of the output on N(0.3, 0.5^2) after 10 steps, and the z-scores."""
    target, settings = CASES[kind]
    subject, aim = subject_of(target, **settings), Target(np.array([0.3]), np.array([0.5]))
    exact = measure(subject, 10, aim=aim)
    z, direct = z_scores(subject, exact, aim, 10, RUNS)
    return (exact.mean[-1, 0], exact.deviation[-1, 0]), direct, z


@pytest.mark.parametrize("kind", CASES)
def test_two_million_runs(kind):
    if importlib.util.find_spec("diffusers") is None:
        pytest.skip("diffusers is not installed")
    _, _, z = both_laws(kind)
    assert np.all(np.abs(z) < LEVEL), z


def test_a_wrong_share_of_noise_is_seen():
    """Control: the law of the correct sampler against direct runs of the sampler with half the share of noise."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent))
    from replays import REPLAYS

    aim, sampler = Target(np.array([0.3]), np.array([0.5])), REPLAYS[3][1]
    exact = measure(sampler(False), 10, aim=aim)

    class Interval(Direct):
        def interval(self, start, end, like):
            return np.sqrt(abs(end - start)) * self.normal(like)

    subject, runs = sampler(True), 2 * BLOCK
    world = World(aim, subject.library)
    x = np.asarray(world.runner(subject.make(world), 10)(Interval(0, runs))[-1])[:, 0]
    variance = exact.deviation[-1, 0] ** 2
    assert abs(x.var() - variance) / (variance * np.sqrt(2 / runs)) > 10 * LEVEL


if __name__ == "__main__":
    print(f"N(0.3, 0.5^2), 10 steps, {RUNS:,} direct runs; level: |z| below {LEVEL}")
    for name, (where, _) in CASES.items():
        (mean, deviation), (direct_mean, direct_deviation), scores = both_laws(name)
        print(
            f"{name} ({where}): mean {mean:.6f} exact, {direct_mean:.6f} direct (z = {scores[0]:+.2f}); "
            f"deviation {deviation:.6f} exact, {direct_deviation:.6f} direct (z = {scores[1]:+.2f})"
        )
