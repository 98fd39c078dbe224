"""Closed forms against 50 digits (references/generate_forms.py), each with its own conditioning.

The limit of a value is ``ROUNDINGS * eps * (|value| + sensitivity)``: the operations that matter each add one rounding
of its result or of its inputs.
"""

import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, PointCloud, conditional_mean, measure, schedules
from exactdiffusion.chains import ULA
from exactdiffusion.proximal import prox_gaussian

EPS = float(np.finfo(float).eps)
FOLDER = Path(__file__).with_name("references")
ENTRIES = json.loads((FOLDER / "forms.json").read_text(encoding="utf-8"))
NAMES = list(dict.fromkeys(entry["name"] for entry in ENTRIES))
ROUNDINGS = 4


def resolve(name):
    """The object of a dotted public name without the package."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(["exactdiffusion", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            value = getattr(value, part)
        return value
    raise AssertionError(f"exactdiffusion.{name} is not there")


def rows(value):
    return np.array([value])


def mixture(a):
    return GaussianMixture(a.pop("weights"), a.pop("means"), a.pop("covariances"))


def levels(grid):
    return [grid.scale, grid.sigma]


def of_grid(name):
    def call(scale, sigma):
        value = getattr(schedules.Grid(scale, sigma), name.rpartition(".")[2])
        return levels(value()) if callable(value) else value

    return call


def of_law(function):
    """A mixture, then arguments of which vectors are single rows (joint measurements: one row of several)."""

    def call(**a):
        law = mixture(a)
        return function(law, **{k: rows(v) if isinstance(v, list) else v for k, v in a.items()})

    return call


def parts(law):
    return [law.weights, law.means, law.covariances]


def kernel(**a):
    found = of_law(conditional_mean.reverse_kernel)(**a)
    return [found.weights[0], found.means[0], found.covariances]


def normalised(power, **a):
    return parts(conditional_mean.normalised(mixture(a), power))[1:]


def as_estimate(function):
    def call(estimate, truth):
        found = function(estimate, truth)
        return [found.value, found.standard_error]

    return call


def walk(k, unit, step):
    A, Q = ULA(1, step).linear(k, unit)
    return [A[0, 0], Q[0, 0]]


CALLS = {
    "laws.GaussianMixture.mean": lambda **a: mixture(a).mean,
    "laws.GaussianMixture.covariance": lambda **a: mixture(a).covariance,
    "laws.PointCloud.mean": lambda **a: PointCloud(**a).mean,
    "laws.PointCloud.covariance": lambda **a: PointCloud(**a).covariance,
    "log_concavity.largest_posterior_variance": lambda points, weights, y, sigma2: resolve(
        "log_concavity.largest_posterior_variance"
    )(PointCloud(points, weights), rows(y), sigma2),
    "conditional_mean.reverse_kernel": kernel,
    "conditional_mean.normalised": normalised,
    "measurements.posterior_mixture": lambda **a: parts(of_law(resolve("measurements.posterior_mixture"))(**a)),
    "measurements.predictive_mixture": lambda **a: parts(of_law(resolve("measurements.predictive_mixture"))(**a)),
    "proximal.prox_gaussian": lambda x, lam, **a: prox_gaussian(rows(x), lam, **a),
    "measure.mse": as_estimate(measure.mse),
    "chains.ULA.linear": walk,
}


def call(name, arguments):
    """What the library gives for a case, flattened."""
    function = CALLS.get(name)
    arguments = dict(arguments)
    if function is None:
        if name.startswith("schedules.Grid."):
            function = of_grid(name)
        elif "covariances" in arguments:
            function = of_law(resolve(name))
        else:
            function = resolve(name)
            arguments = {k: np.array(v) if isinstance(v, list) else v for k, v in arguments.items()}
    value = function(**arguments)
    if isinstance(value, schedules.Grid):
        value = levels(value)
    value = value if isinstance(value, (list, tuple)) else [value]
    return np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in value])


@pytest.mark.parametrize("name", NAMES)
def test_forms_against_50_digits(name, accuracy):
    for entry in ENTRIES:
        if entry["name"] == name:
            value = np.array(entry["value"])
            got = call(name, entry["arguments"])
            assert got.shape == value.shape
            limit = ROUNDINGS * EPS * (np.abs(value) + np.array(entry["sensitivity"]))
            accuracy(name, np.abs(got - value), limit)


@pytest.mark.deep
def test_forms_recomputed():
    """The committed file follows from its generator: every case, digit by digit (20 s)."""
    spec = importlib.util.spec_from_file_location("generate_forms", FOLDER / "generate_forms.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert [(e["name"], e["arguments"]) for e in ENTRIES] == generator.CASES
    with generator.mp.workdps(generator.DIGITS):
        for entry in ENTRIES:
            again = generator.evaluate(entry["name"], entry["arguments"])
            assert again["value"] == entry["value"], entry["name"]
            assert again["sensitivity"] == entry["sensitivity"], entry["name"]
