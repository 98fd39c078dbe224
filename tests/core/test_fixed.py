"""Objects with derived state: no edit goes unnoticed, before and after copies and pickles."""

import copy
import io
import os
import pickle
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest

from exactdiffusion import laws, prox, schedules
from exactdiffusion._core import random
from exactdiffusion._core.fixed import Fixed
from exactdiffusion.laws import GaussianMixture, PointCloud, Sphere, Subspace, Torus
from exactdiffusion.output_laws import line
from exactdiffusion.output_laws.langevin import Diffusion

LINE = GaussianMixture(None, [[-1.0], [1.0]], 0.5)
NODES = np.linspace(-8.0, 8.0, 201)
OBJECTS = {
    **laws.REGISTRY,
    "cloud-not-copied": lambda: PointCloud(np.arange(6.0).reshape(3, 2), copy=False),
    "materialised": lambda: laws.REGISTRY["full"]().noised(0.5, 0.3).materialise(),
    "grid": lambda: schedules.edm(5),
    "grid-with-time": lambda: schedules.vp_linear(5),
    "equal-variance": lambda: prox.EqualVariance([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], [0.5, 0.5, 0.0]),
    "general": lambda: prox.GeneralMixture(None, [[0.0, 1.0], [2.0, 3.0]], [[1.0, 2.0], [2.0, 1.0]]),
    "level": lambda: line.Level(LINE, 0.5, 1.0),
    "node-law": lambda: line.discretise(LINE, NODES),
    "diffusion": lambda: Diffusion(LINE, NODES),
    "path": lambda: random.BrownianPath(3, [0.0, 1.0, 2.0]),
}


def through_joblib(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    return joblib.load(io.BytesIO(file.getvalue()))


COPIES = {
    "itself": lambda thing: thing,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "joblib": through_joblib,
}


def arrays_of(thing):
    """(name, array) of what is exposed: attributes and properties."""
    found = {name: getattr(thing, name, None) for name in dir(thing) if not name.startswith("_")}
    return [(name, value) for name, value in found.items() if isinstance(value, np.ndarray)]


def closed_over(thing, name, array):
    """Whether the array is part of the object, and not made for the one who asks."""
    return np.shares_memory(array, getattr(thing, name))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", OBJECTS)
def test_what_an_object_derives_from_cannot_be_written_to(kind, how):
    thing = COPIES[how](OBJECTS[kind]())
    arrays = [(name, array) for name, array in arrays_of(thing) if closed_over(thing, name, array)]
    assert [name for name, array in arrays if array.flags.writeable] == []
    assert arrays or kind in ("level", "path")  # which expose numbers only
    for name, array in arrays:
        if array.size:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 7.0
        with pytest.raises(AttributeError, match=name):
            setattr(thing, name, array + 1.0)
    thing.check()


@pytest.mark.parametrize(
    ("law", "name", "value"),
    [
        (Sphere(1.0, 3), "radius", 2.0),
        (Sphere(1.0, 3), "dim", 2),
        (Torus([1.0, 2.0]), "radii", [3.0, 3.0]),
        (Subspace(np.eye(3, 2), covariance=1.0), "flat", True),
        (GaussianMixture(None, [[0.0]], 1.0), "kind", "full"),
        (schedules.edm(3), "sigma", np.ones(4)),
        (random.BrownianPath(3, [0.0, 1.0]), "seed", 4),
    ],
)
def test_attributes_are_set_once(law, name, value):
    with pytest.raises(AttributeError, match=name):
        setattr(law, name, value)


def test_a_subclass_may_add_attributes():
    class Named(PointCloud):
        def __init__(self, points, name):
            super().__init__(points)
            self.name = name

    assert Named([[0.0]], "origin").name == "origin"


def torch_tensor(array):
    return pytest.importorskip("torch").tensor(array)


@pytest.mark.parametrize("convert", [np.array, torch_tensor, np.ndarray.tolist], ids=["numpy", "torch", "list"])
def test_an_edit_of_the_arguments_leaves_the_law_as_it_was(convert):
    rng = np.random.default_rng(0)
    P, w, x = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(5)), rng.normal(size=(4, 3))
    C = np.stack([np.diag([1.0, 2.0, 3.0])] * 5)
    makers = {
        "cloud": lambda: ([convert(P), convert(w)], PointCloud),
        "mixture": lambda: ([convert(w), convert(P), convert(C)], GaussianMixture),
        "diagonal": lambda: ([convert(w), convert(P), convert(np.abs(P))], GaussianMixture),
        "torus": lambda: ([convert(np.array([1.0, 2.0])), 5, convert(np.arange(5.0))], Torus),
        "subspace": lambda: ([convert(P[:3, :2]), convert(P[0]), convert(np.eye(2))], Subspace),
    }
    for kind, make in makers.items():
        arguments, law_class = make()
        law = law_class(*arguments)
        at = x if law.dim == 3 else np.pad(x, ((0, 0), (0, law.dim - 3)))
        before = law.noised(0.7, 0.4).score(at)
        for argument in arguments:
            if not isinstance(argument, int):
                argument[0] = argument[-1]
        assert np.array_equal(law.noised(0.7, 0.4).score(at), before), kind
        law.check()


def test_other_arguments_are_not_shared_either():
    """The closed limit of a prox reads the centres as given, its other levels what was derived from them."""
    centres, weights, clock = np.array([[0.0], [4.0]]), np.array([0.5, 0.5]), np.array([0.0, 1.0, 2.0])
    solver, path = prox.EqualVariance(centres, weights), random.BrownianPath(3, clock)
    want = path.increments([0.0, 1.0, 2.0]).normal(0, 2, 1)
    centres += 10.0
    clock += 5.0
    assert solver([[0.5]], 0.1, 0.0)[0, 0] == 0.0
    assert np.array_equal(path.increments([0.0, 1.0, 2.0]).normal(0, 2, 1), want)


def test_points_changed_in_place_between_two_calls_are_new_points():
    at, x = line.Level(LINE, 1.0, 0.5), np.linspace(-1.0, 1.0, 5)
    first = at.log_density(x)
    x += 3.0
    assert np.array_equal(at.log_density(x), line.Level(LINE, 1.0, 0.5).log_density(x.copy()))
    with pytest.raises(ValueError, match="read-only"):
        first += 1.0


def test_copy_false_shares_memory_and_check_finds_an_edit():
    P = np.random.default_rng(0).normal(size=(20, 5))
    assert not np.shares_memory(PointCloud(P).points, P)
    law = PointCloud(P, copy=False)
    assert np.shares_memory(law.points, P)
    assert P.flags.writeable  # the caller's own array is left as it was
    assert not law.points.flags.writeable
    law.check()
    P[3, 2] = np.nextafter(P[3, 2], 9.0)
    for twin in (law, *(make(law) for make in COPIES.values())):
        with pytest.raises(ValueError, match=r"(?s)^points \(edited in place\): got .*; expected a new PointCloud"):
            twin.check()


def test_copy_false_shares_the_memory_of_a_torch_tensor():
    torch = pytest.importorskip("torch")
    points = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    law, own = PointCloud(points, copy=False), PointCloud(points)
    points += 1
    own.check()
    with pytest.raises(ValueError, match="points"):
        law.check()


@pytest.mark.parametrize("kind", OBJECTS)
def test_check_names_the_array_whose_flag_was_lifted(kind):
    thing = OBJECTS[kind]()
    for name in [k for k, v in vars(thing).items() if isinstance(v, np.ndarray) and v.size and v.dtype == np.float64]:
        array = vars(thing)[name]
        if not array.flags.owndata:
            continue  # a view of memory that is not its own keeps the flag
        array.setflags(write=True)
        before, array.flat[-1] = array.flat[-1], 1.5 + array.flat[-1]
        with pytest.raises(ValueError, match=rf"^{name.lstrip('_')}\b"):
            thing.check()
        array.flat[-1] = before
        thing.check()


@pytest.mark.parametrize("row", [0, 1, 5_000, 99_998, 99_999])
def test_check_sees_all_of_a_large_array(row):
    points = np.random.default_rng(0).standard_normal((100_000, 2))
    law = PointCloud(points, copy=False)
    law.check()
    points[row, 1] += 1e-9
    with pytest.raises(ValueError, match=r"^points\b"):
        law.check()


def test_every_class_of_this_kind_is_tried():
    kinds = {type(make()) for make in OBJECTS.values()}

    def below(c):
        return {c, *(d for sub in c.__subclasses__() for d in below(sub))}

    own = {c for c in below(Fixed) - {Fixed} if c.__module__.startswith("exactdiffusion")}
    assert {c for c in own if not c.__name__.startswith("_")} <= kinds


PEAK = """
import tracemalloc
import numpy as np
from exactdiffusion import PointCloud
points = np.empty(({rows}, 3072), dtype={dtype!r})
rng = np.random.default_rng(0)
for a in range(0, len(points), 500):
    points[a : a + 500] = rng.standard_normal(points[a : a + 500].shape, dtype=np.float32)
tracemalloc.start()
law = PointCloud(points)
print(tracemalloc.get_traced_memory()[1] / (8 * points.size))
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", [pytest.param(50_000, marks=pytest.mark.deep), 20_000])
def test_a_cloud_is_made_within_a_tenth_of_its_own_size(rows, dtype):
    """Beyond the argument: the one copy, and what does not grow with the number of coordinates."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK).format(rows=rows, dtype=dtype)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert 1.0 <= float(run.stdout) <= 1.1
