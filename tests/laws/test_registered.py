"""What is registered is tested: a law and a sampler that are wrong fail the contract suites by being in the registries."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
"""


def outcomes(tmp_path, files):
    """Test -> passed or failed, of all tests with "fake" in their name, in a process where the fakes are registered."""
    (tmp_path / "fakes.py").write_text(PLUGIN, encoding="utf-8")
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
