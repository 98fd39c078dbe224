"""What is registered is tested: a law and a sampler that are wrong fail the contract suites by being in the registries."""

import importlib.util
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from exactdiffusion import datasets, samplers, schedules
from exactdiffusion.output_laws import gaussian
from exactdiffusion.studies import metrics, sweep

TESTS = Path(__file__).resolve().parents[1]

PLUGIN = """
from exactdiffusion import laws, samplers
from exactdiffusion.laws import GaussianMixture, registry


class WrongLevel:
    '''A level of a mixture; wrong where the name says.'''

    def __init__(self, level, fault):
        self._level, self._fault = level, fault

    def __getattr__(self, name):
        if name in ("noised", "materialise"):
            raise AttributeError(name)
        value = getattr(self._level, name)
        return (lambda x: 1.001 * value(x)) if name == self._fault else value


class Wrong:
    '''A mixture whose levels are wrong in one method; not exported, so it stands in for a law of a user.'''

    def __init__(self, fault):
        self._law, self._fault = registry.REGISTRY["full"](), fault
        self.dim, self.mean, self.covariance = self._law.dim, self._law.mean, self._law.covariance

    def noised(self, scale=1.0, sigma=0.0):
        return WrongLevel(self._law.noised(scale, sigma), self._fault)

    def sample(self, n, rng):
        return self._law.sample(n, rng)


def one_short(law, grid, x):
    '''DDIM without its last step.'''
    states = list(samplers.ddim(law, grid, x))
    yield from states[:-1]


def plain(law, grid, x):
    yield from samplers.ddim(law, grid, x)


laws.REGISTRY["fake_score"] = lambda: Wrong("score")
laws.REGISTRY["fake_denoise"] = lambda: Wrong("denoise")
laws.REGISTRY["fake_right"] = lambda: Wrong("")
for name, function in {"fake_short": one_short, "fake_right": plain}.items():
    samplers.REGISTRY[name] = samplers.SamplerInfo(name, function, False, 1, "any", "a copy of ddim")

import fake_files  # samplers that register themselves
"""

FILES = """
import numpy as np

from exactdiffusion.samplers import sampler
from exactdiffusion.samplers._base import add_noise, checked_noise, column


def update(x, i, grid, oracle, noise, memory, *, weight):
    '''A random two-step method: DDIM with a little noise, and an extrapolated denoiser.'''
    clean = oracle.denoise(i, x)
    shrink = column(grid.noise_ratio[i + 1] / grid.noise_ratio[i], x)
    y = clean
    if memory:
        y = clean + column(weight * (grid.noise_ratio[i + 1] > 0), x) * (clean - memory[0])
    y = y + shrink * (x / column(grid.scale[i], x) - y)
    r, s = grid.noise_ratio[i], grid.noise_ratio[i + 1]  # a step of length zero has no noise
    return column(grid.scale[i + 1], x) * add_noise(y, i, noise, 0.3 * s * (1 - (s / r) ** 2) ** 0.5), (clean,)


@sampler(update, order=1, summary="a sampler in one file")
def fake_right_file(law, grid, x, *, noise=None, weight=0.2):
    checked_noise(noise)
    return {"weight": weight}


def midpoint(x, i, grid, oracle, noise, memory):
    '''The explicit midpoint rule in the noise ratio: it asks the denoiser between two levels.'''
    r = grid.noise_ratio
    middle = 0.5 * (r[i] + r[i + 1])
    y = x / column(grid.scale[i], x)
    half = y + column(middle - r[i], x) * (y - oracle.denoise(i, x)) / column(r[i], x)
    slope = (half - oracle.denoise_at(1.0, middle, half)) / column(middle, x)
    return column(grid.scale[i + 1], x) * (y + column(r[i + 1] - r[i], x) * slope), memory


@sampler(midpoint, order=2, per_step=2, summary="explicit midpoint in the noise ratio")
def fake_right_midpoint(law, grid, x):
    pass


def with_memory(x, i, grid, oracle, noise, memory):
    '''The noise prediction, linear in the square root of the ratio through the last two levels, is integrated over the step.

    With a, b the roots at both ends, the integral of sqrt(r) - a over the step is (b - a)^2 (a + 2 b) / 3.
    '''
    r = grid.noise_ratio
    y = x / column(grid.scale[i], x)
    eps = (y - oracle.denoise(i, x)) / column(r[i], x)
    y = y + column(r[i + 1] - r[i], x) * eps
    if memory:
        a, b, before = r[i] ** 0.5, r[i + 1] ** 0.5, r[i - 1] ** 0.5
        still = before == a  # after a step of length zero both predictions are equal
        weight = (b - a) ** 2 * (a + 2 * b) / (3 * np.where(still, 1.0, a - before))
        y = y + column(weight, x) * (eps - memory[0])
    return column(grid.scale[i + 1], x) * y, (eps,)


@sampler(with_memory, order=2, summary="two-step method, linear in the root of the noise ratio")
def fake_right_memory(law, grid, x):
    pass


kept = []


def hidden(x, i, grid, oracle, noise, memory):
    '''The memory does not go through the arguments, so the run is not what its update says.'''
    clean = oracle.denoise(i, x)
    if i == 0:
        kept.clear()
    y = clean + (0.2 * (clean - kept[-1]) if kept and kept[-1].shape == clean.shape else 0.0)
    kept.append(clean)
    shrink = column(grid.noise_ratio[i + 1] / grid.noise_ratio[i], x)
    return column(grid.scale[i + 1], x) * (y + shrink * (x / column(grid.scale[i], x) - y)), ()


@sampler(hidden, order=2, summary="a sampler that keeps something to itself")
def fake_hidden(law, grid, x):
    pass
"""


def outcomes(tmp_path, files):
    """Test -> passed or failed, of all tests with "fake" in their name, in a process where the fakes are registered."""
    (tmp_path / "fakes.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "fake_files.py").write_text(FILES, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    options = ["-p", "fakes", "-k", "fake", "-q", "-rA", "--tb=no"]
    command = [sys.executable, "-m", "pytest", *(str(TESTS / f) for f in files), *options]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, cwd=TESTS.parent, capture_output=True, text=True, timeout=300
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))]
    found = {line[1].rpartition("/")[2]: line[0] for line in lines}
    assert found, done.stdout + done.stderr
    return found


def test_a_registered_law_or_sampler_is_tested_without_a_line(tmp_path):
    found = outcomes(tmp_path, ["laws/test_contract.py", "samplers/test_samplers.py"])
    failed = {name for name, outcome in found.items() if outcome != "PASSED"}
    assert not [name for name in failed if "fake_right" in name], failed
    contract = "test_contract.py::test_"
    assert f"{contract}score_is_gradient_and_hessian_is_its_derivative[fake_score-1.0-0.4]" in failed
    assert f"{contract}tweedie_first_and_second_order[fake_score-1.0-0.4]" in failed
    assert f"{contract}tweedie_first_and_second_order[fake_denoise-0.7-1.3]" in failed
    assert "test_samplers.py::test_yields_the_start_and_one_state_per_step[fake_short]" in failed
    assert "test_samplers.py::test_final_sigma_zero_gives_a_clean_sample[fake_short]" in failed
    law = "test_samplers.py::test_exact_gaussian_law_is_that_of_the_run"
    for right in ("file", "midpoint", "memory"):
        assert found[f"{law}[fake_right_{right}]"] == "PASSED"
    for right in ("midpoint", "memory"):
        assert found[f"test_samplers.py::test_deterministic_order_is_as_registered[fake_right_{right}]"] == "PASSED"
    assert "test_samplers.py::test_deterministic_order_is_as_registered[fake_hidden]" in failed
    assert found[f"{law}[fake_hidden]"] == "FAILED"
    assert len([name for name in found if "fake_right_file" in name]) >= 15
    right = [name for name in found if "fake_right" in name]
    assert len([name for name in right if name.startswith(contract)]) >= 10
    assert len([name for name in right if name.startswith("test_samplers.py")]) >= 10


@pytest.mark.deep
def test_other_array_namespaces_too(tmp_path):
    """20 s, most of it to import torch and to make the data sets."""
    found = outcomes(tmp_path, ["core/test_array_backends.py"])
    for namespace in ("torch", "strict") if importlib.util.find_spec("torch") else ("strict",):
        assert found[f"test_array_backends.py::test_laws[{namespace}-fake_right]"] == "PASSED"
        assert found[f"test_array_backends.py::test_samplers[{namespace}-fake_right-cloud]"] == "PASSED"
        assert found[f"test_array_backends.py::test_samplers[{namespace}-fake_short-cloud]"] == "FAILED"


MINE = """
from exactdiffusion import samplers, schedules


def update(x, i, grid, oracle, noise, memory):
    clean, r = oracle.denoise(i, x), grid.sigma
    return clean + r[i + 1] / r[i] * (x - clean), memory


@samplers.sampler(update, order=1, summary="DDIM on a VE grid")
def my_ddim_for_a_test(law, grid, x):
    pass
"""

RUN = """

@schedules.schedule
def halving_for_a_test(N):
    return schedules.log_linear(N, 4.0, 0.1)


if __name__ == "__main__":
    import exactdiffusion as ed

    names = dict(sampler="script.py:my_ddim_for_a_test", schedule="script.py:halving_for_a_test")
    for own in (names, {**names, "sampler": "again.py:my_ddim_for_a_test"}):
        print(ed.sweep(target="rings", steps=4, seeds=1, samples=20, **own).rows[0]["value"])
"""


@pytest.fixture
def registries():
    kept = [(r, dict(r)) for r in (samplers.REGISTRY, schedules.REGISTRY, datasets.TARGETS, metrics.METRICS)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def law_in_a_worker(info):
    return gaussian(info, [0.2], [2.0], schedules.log_linear(5)).cov


@pytest.mark.parametrize("name", sorted(samplers.REGISTRY))
def test_a_registered_sampler_is_pickled_as_its_place(name):
    assert pickle.loads(pickle.dumps(samplers.REGISTRY[name])) is samplers.REGISTRY[name]


def test_samplers_go_to_other_processes(tmp_path, monkeypatch, registries):
    (tmp_path / "mine_for_a_test.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("mine_for_a_test")
    infos = [samplers.REGISTRY["heun"], samplers.REGISTRY["my_ddim_for_a_test"]]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(law_in_a_worker, infos))
    assert [np.array_equal(a, law_in_a_worker(info)) for a, info in zip(found, infos)] == [True, True]
    assert np.array_equal(found[1], law_in_a_worker(mine.my_ddim_for_a_test))
    by_hand = samplers.SamplerInfo("by_hand", law_in_a_worker, False, 1, "any", "", update=mine.update)
    assert pickle.loads(pickle.dumps(by_hand)) == by_hand


def test_a_script_may_name_itself_in_a_sweep(tmp_path):
    """It is imported a second time, under another name; so is a copy of it in another file."""
    for name in ("script.py", "again.py"):
        (tmp_path / name).write_text(MINE + RUN, encoding="utf-8")
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=path, capture_output=True, text=True, timeout=100)
    values = done.stdout.split()
    assert len(values) == 2, done.stderr
    assert values[0] == values[1]


def test_a_later_registration_of_a_user_replaces_an_earlier_one(tmp_path, registries):
    files = [tmp_path / folder / file for folder, file in (("a", "mine.py"), ("a", "other.py"), ("b", "mine.py"))]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_text(MINE, encoding="utf-8")
    functions = [sweep.load_function("sampler", f"{path}:my_ddim_for_a_test")[0] for path in files]
    assert len({id(function) for function in functions}) == 3
    assert samplers.REGISTRY["my_ddim_for_a_test"].function is functions[-1]
    laws = [law_in_a_worker(function) for function in functions]
    assert np.array_equal(laws[0], laws[1])
    assert np.array_equal(laws[0], laws[2])


def test_the_names_of_the_package_are_refused(registries):
    def heun(law, grid, x):
        pass

    def edm(N):
        pass

    before = dict(samplers.REGISTRY)
    for kind, register in {
        "sampler": lambda: samplers.sampler(samplers.REGISTRY["ddim"].update, order=1, summary="")(heun),
        "schedule": lambda: schedules.schedule(edm),
        "target": lambda: datasets.target("rings", 2, "")(edm),
        "metric": lambda: metrics.metric("w2", "", refusal=edm)(edm),
    }.items():
        with pytest.raises(
            ValueError, match=rf"^{kind}: got '\w+'; expected a name that no {kind} of the package has, .* my_"
        ):
            register()
    assert dict(samplers.REGISTRY) == before
