"""One answer on every kind of array: NumPy, torch on the CPU and array-api-strict agree to 1e-12.

Driven by what is registered: every target and law with every method of a query x, every sampler, every public function of
`distances`, `prox` and the papers' rooms that takes an array. A new one is covered by being
there; one whose arguments are not in `POOLS` fails a test that says so. The strict arrays live on that namespace's second
device, which refuses to be mixed with the first or to be read by NumPy: it stands in for the memory of a GPU. (On the first
device the modules' own tests use them.)
"""

import dataclasses
import importlib
import inspect
import re
import types
from functools import cache, partial

import array_api_compat
import array_api_strict
import numpy as np
import pytest

from exactdiffusion import (
    Counted,
    Denoiser,
    GaussianMixture,
    Noise,
    PointCloud,
    datasets,
    distances,
    laws,
    prox,
    samplers,
    schedules,
)
from exactdiffusion.papers import conditional_mean
from exactdiffusion.papers.log_concavity import measurements, walk_jump
from exactdiffusion.schedules import Grid

# Rounding of sums in another order, amplified by what 1e-5 of noise divides by: of the largest entry of a result, or of 1.
TOLERANCE = 1e-12


class Backend:
    """How arrays get there and back, and what a result must be."""

    def __init__(self, name):
        self.name = name
        if name == "torch":
            self.xp = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0 (CPU build)")
            self.device = self.xp.device("cpu")
            self.xp.set_num_threads(1)
        else:
            self.xp = array_api_strict
            self.device = array_api_strict.Device("device1")

    def array(self, a):
        # A copy: torch would share the memory of a NumPy array, and warn where that is read-only.
        return self.xp.asarray(np.array(a), device=self.device)

    def owns(self, value):
        if not array_api_compat.is_array_api_obj(value) or isinstance(value, (np.ndarray, np.generic)):
            return False
        assert array_api_compat.device(value) == self.device
        return array_api_compat.is_torch_array(value) if self.name == "torch" else hasattr(value, "__array_namespace__")

    def host(self, value):
        if self.name == "torch":
            assert not value.requires_grad
            return value.numpy()
        return np.asarray(value.to_device(array_api_strict.Device("CPU_DEVICE")))

    def moved(self, value):
        """The arrays within an argument, moved; everything else is as it was."""
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, tuple):
            return tuple(self.moved(v) for v in value)
        return value


@pytest.fixture(params=["torch", "strict"], scope="module")
def backend(request):
    return Backend(request.param)


def outcome(function, *args, **kwargs):
    """The result, generators as lists, or the error."""
    try:
        result = function(*args, **kwargs)
        return list(result) if isinstance(result, types.GeneratorType) else result
    except (ValueError, AttributeError) as error:  # AttributeError: an operation that the law does not have
        return error


def compare(other, reference, backend, where, host=False, tolerance=TOLERANCE):
    """``other`` is ``reference`` in the backend's arrays; with ``host`` NumPy arrays are right too."""
    if isinstance(reference, (ValueError, AttributeError)):
        assert type(other) is type(reference), f"{where}: NumPy raised {reference!r}, others {other!r}"
        assert str(other).split(":")[0].split(" (")[0] == str(reference).split(":")[0].split(" (")[0], where
        return
    assert not isinstance(other, (ValueError, AttributeError)), f"{where}: {other!r}"
    if isinstance(reference, (np.ndarray, np.generic)):
        if backend.owns(other):
            kind = str(other.dtype).rpartition(".")[2]
            other = backend.host(other)
            assert kind == str(reference.dtype), f"{where}: {kind}"
        else:
            assert host, f"{where}: {type(other)}"
            assert isinstance(other, (np.ndarray, np.generic)), f"{where}: {type(other)}"
        assert other.shape == reference.shape, where
        if reference.dtype.kind != "f":
            assert np.array_equal(other, reference), where
        elif reference.size:
            finite = np.isfinite(reference)
            assert np.array_equal(other[~finite], reference[~finite], equal_nan=True), where
            size = np.max(np.abs(reference), where=finite, initial=1.0)
            error = np.max(np.abs(other - reference, where=finite, out=np.zeros_like(reference)))
            assert error <= tolerance * size, f"{where}: {error / size:.2e}"
    elif isinstance(reference, float):
        assert isinstance(other, float), f"{where}: {type(other)}"
        assert other == reference or abs(other - reference) <= tolerance * max(abs(reference), 1.0), where
    elif dataclasses.is_dataclass(reference):
        assert type(other) is type(reference), where
        for field in dataclasses.fields(reference):
            a, b = getattr(other, field.name), getattr(reference, field.name)
            compare(a, b, backend, f"{where}.{field.name}", host, tolerance)
    elif isinstance(reference, (tuple, list)):
        assert len(other) == len(reference), where
        for i, (a, b) in enumerate(zip(other, reference)):
            compare(a, b, backend, f"{where}[{i}]", host, tolerance)
    elif isinstance(reference, dict):
        assert other.keys() == reference.keys(), where
        for key in reference:
            compare(other[key], reference[key], backend, f"{where}[{key!r}]", host, tolerance)
    elif isinstance(reference, (GaussianMixture, PointCloud)):  # laws keep their parameters in NumPy
        for name in ("weights", "means", "covariances", "points"):
            if hasattr(reference, name):
                compare(getattr(other, name), getattr(reference, name), backend, f"{where}.{name}", True, tolerance)
    else:
        assert reference is None or isinstance(reference, (str, int)), f"{where}: no comparison for {type(reference)}"
        assert other == reference, where


# ------------------------------------------------------------------------------------------------------------- laws


def _mixture(d):
    rng = np.random.default_rng(5)
    w, mu = rng.dirichlet(np.ones(4)), rng.normal(size=(4, d))
    A = rng.normal(size=(4, d, d))
    return GaussianMixture(w, mu, A @ np.swapaxes(A, 1, 2) / d)


def _wrapped():
    law = _mixture(4)
    return Denoiser(lambda x, sigma: law.noised(1.0, sigma).denoise(x), 4)


def _smaller(build):
    """A target, with few components where it takes their number: 128 decompositions are not what is tested."""
    return build(n_components=8) if "n_components" in inspect.signature(build).parameters else build()


LAWS = {
    **laws.REGISTRY,
    "cloud on a line": lambda: PointCloud(np.linspace(-1, 1, 7)[:, None]),
    "denoiser": _wrapped,
    "counted": lambda: Counted(_mixture(4)),
    **{f"target {name}": partial(_smaller, target.law) for name, target in datasets.TARGETS.items() if target.dim <= 64},
}
# One schedule; one level per row; the edges: next to the data, on it, on it in some rows, without it.
LEVELS = {
    "one": (0.8, 0.5),
    "per row": (np.linspace(0.5, 1.0, 5), np.linspace(0.2, 1.5, 5)),
    "near": (1.0, 1e-5),
    "zero": (1.0, 0.0),
    "some zero": (1.0, np.array([0.3, 0.0, 0.4, 0.0, 2.0])),
    "no scale": (0.0, 0.7),
}


def _methods():
    """Names of the public methods of a query x of the package's laws, noised or not."""
    found = set()
    for module in ("base", "gaussian_mixture", "point_cloud", "sets"):
        for cls in vars(importlib.import_module(f"exactdiffusion.laws.{module}")).values():
            if inspect.isclass(cls) and cls.__module__.startswith("exactdiffusion.laws"):
                found |= {
                    name
                    for name, value in vars(cls).items()
                    if not name.startswith("_")
                    and inspect.isfunction(value)
                    and list(inspect.signature(value).parameters)[1:2] == ["x"]
                }
    return sorted(found)


METHODS = _methods()
# In 64 dimensions and more two rows and two levels are enough: matrices and proximal maps take seconds there.
LARGE = 64


@cache
def _built(name):
    return LAWS[name]()


def built(name):
    try:
        return _built(name)
    except datasets.DatasetUnavailable as error:
        pytest.skip(f"no data for {name}: {error}")


def test_every_law_and_method_is_found():
    assert {type(LAWS[name]()).__name__ for name in LAWS if not name.startswith("target ")} == set(laws.__all__)
    assert set(METHODS) >= {
        "denoise",
        "score",
        "log_density",
        "hessian",
        "posterior_covariance",
        "prox",
        "prox_local",
        "project",
        "distance",
        "nearest",
        "gap",
    }


@pytest.mark.parametrize("name", LAWS)
def test_laws(name, backend):
    law = built(name)
    x = np.random.default_rng(3).normal(size=(5, law.dim))
    seen = set()
    for method in METHODS:
        prox = method.startswith("prox")
        few = law.dim >= LARGE and (prox or method in ("hessian", "posterior_covariance"))
        arguments = (x[:2] if few else x, *((0.3,) if prox else ()))
        for at, level in {"law": None, **LEVELS}.items():
            if few and at not in ("one", "near"):
                continue
            expected = outcome(_ask, law, level, method, *arguments)
            if expected is NotImplemented:
                continue
            got = outcome(_ask, law, backend.moved(level), method, *backend.moved(arguments))
            compare(got, expected, backend, f"{name}, {method}, {at}")
            if not isinstance(expected, (ValueError, AttributeError)):
                seen.add(at)
        if prox and not few and hasattr(law.noised(0.8, 0.5), method):
            options = {"certificate": True} if method == "prox" else {}
            arguments = x, np.linspace(0.1, 1.0, 5)
            expected = outcome(getattr(law.noised(0.8, 0.5), method), *arguments, **options)
            got = outcome(getattr(law.noised(0.8, 0.5), method), *backend.moved(arguments), **options)
            compare(got, expected, backend, f"{name}, {method} with its certificate", host=True)
    assert seen >= {"one", "per row", "near", "zero", "some zero"}


def _ask(law, level, method, *arguments):
    at = law if level is None else law.noised(*level)
    return getattr(at, method)(*arguments) if hasattr(at, method) else NotImplemented


# --------------------------------------------------------------------------------------------------------- samplers


def _grids(info):
    """Both ends, per row, and without noise at the end, in the coordinates that the sampler takes."""
    make = schedules.vp_linear if info.coordinates == "vp" else partial(schedules.log_linear, sigma_max=8.0, sigma_min=0.05)
    grid = make(12)  # the proximal maps of VP schedules want short steps
    yield grid
    yield make(12, eps=0.0) if info.coordinates == "vp" else make(12, final_zero=True)
    yield Grid(np.stack([grid.scale] * 5, 1), np.stack([grid.sigma] * 5, 1))


# Parameters of samplers besides noise, by name: what is tried instead of the default. Values that a grid forbids are refused
# in every kind of array alike.
CHOICES = {
    "gamma": (1.5, "variable"), "mu": (0.0, 0.25), "variance": ("large", "zero"), "last_noise": (True, False),
    "lower_order_final": (True, False), "step": ("right",), "final": ("denoise",), "prox": ("local",), "calls": (),
}  # fmt: skip


@pytest.mark.parametrize("target", ["cloud", "full", "denoiser"])
@pytest.mark.parametrize("name", samplers.REGISTRY)
def test_samplers(name, target, backend):
    info, law = samplers.REGISTRY[name], built(target)
    able = info.oracle != "prox" or hasattr(law.noised(0.8, 0.5), "prox")
    parameters = [p for p in inspect.signature(info.function).parameters if p not in ("law", "grid", "x", "noise")]
    assert set(parameters) <= set(CHOICES), "add the sampler's new parameter to CHOICES"
    options = [{}, *({p: value} for p in parameters for value in CHOICES[p])]
    noise = {"noise": Noise(4)} if "noise" in inspect.signature(info.function).parameters else {}
    for end, grid in enumerate(_grids(info)):
        x = np.max(grid.sigma) * Noise(2).initial(5, law.dim)
        for option in options if target == "cloud" and end < 2 else options[:1]:
            expected = outcome(lambda: list(info.function(law, grid, x, **noise, **option)))  # noqa: B023
            got = outcome(lambda: list(info.function(law, grid, backend.array(x), **noise, **option)))  # noqa: B023
            compare(got, expected, backend, f"{name} on {target}, {grid.N} steps, {option}")
            if not able:
                assert isinstance(expected, ValueError)
                assert str(expected).startswith("law: ")
            elif not option:
                assert len(expected) == grid.N + 1


# ------------------------------------------------------------------------- metrics and the other functions of arrays


def _pools():
    """Values by the name of a parameter; a function is called with every pool that has all it needs."""
    rng = np.random.default_rng(8)
    weights = rng.dirichlet(np.ones(12))
    law, cloud = _mixture(3), PointCloud(rng.normal(size=(9, 3)))
    covariance = np.cov(rng.normal(size=(3, 30)))
    line = np.linspace(0.5, 4.0, 12)
    density, other = (values / (0.3 * values.sum()) for values in (np.exp(-(line**2)), np.exp(-(line**2)) + 0.1))
    grid = conditional_mean.refined_grid(5, 0.7)
    common = {
        "law": law, "target": law, "grid": grid, "m": 3, "sigma": 0.7, "noise": Noise(9), "lam": 0.3, "h": 0.5,
        "walk": walk_jump.ULA(3, 0.2), "reference": cloud.points, "rng": 5, "repeats": 2, "v": 0.5, "v_next": 0.2, "n": 12,
        "power": 2.0, "mmse": 1.5, "level": 0.9, "gamma": 0.5, "T": 10,
    }  # fmt: skip
    plane = {
        "x": rng.normal(size=(12, 3)), "y": rng.normal(size=(12, 3)),
        "weights_x": weights, "weights_y": weights[::-1].copy(),
        "total": rng.normal(size=(12, 3)), "estimate": rng.normal(size=(12, 3)), "truth": rng.normal(size=(12, 3)),
        "conditional_mean": rng.normal(size=(12, 3)), "weights": weights, "z": rng.normal(size=(12, 3)),
        "centres": rng.normal(size=(12, 3)), "variance": 0.4,
        "like": np.zeros(1),
    }  # fmt: skip
    gaussians = {
        "mean1": rng.normal(size=3), "mean2": rng.normal(size=3), "cov1": covariance, "cov2": covariance + np.eye(3),
        "x": (rng.normal(size=3), covariance), "y": (rng.normal(size=3), np.eye(3)),
    }  # fmt: skip
    mixture = {
        "x": rng.normal(size=(12, 4)), "weights": rng.dirichlet(np.ones(4)), "means": rng.normal(size=(4, 4)),
        "covariances": np.stack([np.eye(4) * c for c in (0.1, 0.2, 0.3, 0.4)]),
    }  # fmt: skip
    methods = {"law": law, "grid": grid, "sigma": 0.6, "noise": Noise(3), "y": rng.normal(size=(12, 3))}
    return {
        **{f"method {name}": {**methods, "method": name} for name in conditional_mean.METHODS},
        "samples": {**common, **plane},
        "a cloud": {
            **common,
            **plane,
            "law": cloud,
            "target": cloud,
            "weights": np.full(9, 1 / 9),
            "walk": walk_jump.ExactWalk(),
            "y": rng.normal(size=(9, 3)),
        },
        "MALA": {**common, **plane, "walk": walk_jump.MALA(3, 0.2)},
        "underdamped": {**common, **plane, "walk": walk_jump.Underdamped(3, 0.2)},
        "Gaussians": gaussians,
        "diagonal Gaussians": {**gaussians, "cov1": np.ones(3), "cov2": np.array([0.5, 1.0, 2.0])},
        "a line": {**common, "x": line, "y": line**-1.5, "weights_x": weights, "weights_y": weights, "last": 2},
        "densities": {"p": density, "q": other, "weights": np.full(12, 0.3)},
        "log densities": {"p": np.log(density), "q": np.log(other), "weights": np.full(12, 0.3), "log": True},
        "joint": {**common, "y": rng.normal(size=(2, 4, 3))},
        "one row": {**common, **plane, "total": rng.normal(size=(1, 3))},
        "a mixture": {**common, **mixture},
        "variances": {**common, "variances": np.array([0.5, 2.0])},
        "data": {"data": rng.normal(size=(60, 3)), "n_components": 2, "seed": 0},
        "even": {"x": rng.normal(size=(12, 4)), "kappa": line, "k": 3, "y": rng.normal(size=(12, 4))},
    }


POOLS = _pools()
# It takes no array.
WITHOUT = {"study"}


def _functions():
    modules = (distances, measurements, walk_jump, conditional_mean, prox)
    for module in modules:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) and name not in WITHOUT:
                yield pytest.param(value, id=f"{module.__name__.rpartition('.')[2]}.{name}")


@pytest.mark.parametrize("function", list(_functions()))
def test_functions(function, backend):
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    known = {name for pool in POOLS.values() for name in pool}
    required = {p.name for p in named if p.default is p.empty}
    assert required <= known, f"add {sorted(required - known)} to POOLS"
    answers, with_arrays = 0, 0
    for label, pool in POOLS.items():
        if not required <= set(pool):
            continue
        optional = {p.name for p in named if p.name in pool and p.name != "like"}
        always = required | (optional & {"rng"})  # without a seed it is random
        for chosen in (always, optional | always):
            arguments = {k: pool[k] for k in chosen}
            moved = {k: backend.moved(v) for k, v in arguments.items()}
            if "like" in {p.name for p in named}:
                moved["like"] = backend.array(np.zeros(1))
            elif all(moved[k] is arguments[k] for k in arguments):
                continue
            with_arrays += 1
            reference, got = outcome(function, **arguments), outcome(function, **moved)
            # NumPy arrays are right where the function or its result is documented to hold them, whatever it takes.
            text = f"{function.__doc__} {type(reference).__doc__ if dataclasses.is_dataclass(reference) else ''}"
            host = re.search(r"\bNumPy\b|\bndarray\b", text) is not None
            compare(got, reference, backend, f"{function.__name__}, {label}, {sorted(chosen)}", host)
            answers += not isinstance(reference, (ValueError, AttributeError))
    assert answers or not with_arrays, "no pool that the function accepts: add one to POOLS"
