"""Laws, arrays, functions and grids of the user's own in a sweep: a label that says what they are, and a digest.

A sweep keeps its records by the text of a cell and by everything a number depends on. An object enters a sweep under the
label ``NAME@DIGEST``. The digest is taken from the bytes of arrays, from plain numbers and texts, and from the source and
the bytecode of functions with their defaults, closures and the globals that they read; never from a pickle, which differs
from one process to the next. The source may be in a file or in a cell of a notebook. Estimators of scikit-learn and modules
of torch count by their class, parameters and fitted arrays, less the generator of their fit. An object for which this is
impossible is refused. Worker processes receive the objects
themselves, by joblib; nothing is unpickled from a folder.
"""

import dataclasses
import dis
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .._core.validation import fail

__all__ = ["OBJECTS", "WithData", "data_digest", "digest", "labels", "law_from"]

#: (kind, label) -> (object, digest) of this process
OBJECTS: dict[tuple[str, str], tuple[Any, str]] = {}

_INSTALLED = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("purelib", "platlib")})
_DATA_CLASSES = ("PointCloud", "GaussianMixture", "Sphere", "Torus", "Subspace")  # whose numbers `data_digest` knows


class _Unknown(Exception):
    """What has no digest, and why."""


def digest(value: Any) -> str:
    """SHA-256 of an object: equal objects in any process have equal digests; a ValueError names what has none.

    Examples
    --------
    >>> digest(np.zeros(2)) == digest(np.zeros(2)), digest(np.zeros(2)) == digest(np.zeros(3))
    (True, False)
    """
    walk = _Walk()
    walk.add(value)
    return walk.hash.hexdigest()


class _Walk:
    """One pass over an object and all that it refers to; an object met again counts as the number of its first visit."""

    def __init__(self):
        self.hash, self.seen = hashlib.sha256(), {}

    def text(self, *parts):
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self.hash.update(f"{len(data)}:".encode() + data)

    def add(self, value):
        # plain values, and arrays by their bytes
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)) or value is Ellipsis:
            return self.text(type(value).__name__, repr(value))
        if isinstance(value, np.generic):
            return self.add(np.asarray(value))
        if hasattr(value, "detach") and hasattr(value, "cpu"):  # a tensor, whatever its device
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject and value.dtype.names is None:
                self.text("array of objects", value.shape)
                return self.add(value.ravel().tolist())
            if value.dtype.names is not None:  # by field: the bytes between fields are not set
                self.text("array of records", value.shape)
                return [self.named(name, value[name]) for name in value.dtype.names] and None
            return self.text("array", value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())

        # what was met before: functions that call themselves, shared parts
        if id(value) in self.seen:
            return self.text("again", self.seen[id(value)][0])
        self.seen[id(value)] = (len(self.seen), value)

        # containers, modules, classes, functions, and objects by their attributes
        if isinstance(value, (list, tuple)):
            self.text(type(value).__name__, len(value))
            return [self.add(item) for item in value] and None
        if isinstance(value, (set, frozenset)):
            return self.text("set", sorted(map(repr, value)))
        if isinstance(value, Mapping):
            self.text("mapping", len(value))
            for key in sorted(value, key=repr):
                self.add(key)
                self.add(value[key])
            return None
        if isinstance(value, types.ModuleType):
            return self.module(value)
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, functools.partial):
            self.text("partial")
            return [self.add(part) for part in (value.func, value.args, value.keywords)] and None
        if isinstance(value, types.MethodType):
            return self.method(value)
        if isinstance(value, type):
            return self.kind(value)
        if isinstance(value, (types.BuiltinFunctionType, np.ufunc)):
            module = getattr(value, "__module__", None) or "numpy"
            if not _installed(module):
                raise _Unknown(f"{value.__name__}, compiled code without source")
            return self.text("compiled", module, value.__name__, _version(module))
        return self.instance(value)

    def module(self, module):
        if _installed(module.__name__):
            return self.text("module", module.__name__, _version(module.__name__))
        if getattr(module, "__file__", None) is None:
            raise _Unknown(f"the module {module.__name__}, which has no file")
        return self.text("module", Path(module.__file__).read_bytes())

    def function(self, function, generated=False):
        module, name = str(function.__module__), function.__qualname__
        if _installed(module):
            self.text("installed", module, name, _version(module))
            if "<" not in name:
                return

        # the source as it was written, and the bytecode: one line may hold two functions
        code = function.__code__
        try:
            if not generated:
                self.text("source", inspect.getsource(code))
        except (OSError, TypeError):
            raise _Unknown(f"the function {name}, whose source is in no file") from None
        read = self.code(code)

        # what it reads besides its arguments
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for variable, cell in zip(code.co_freevars, function.__closure__ or ()):
            self.named(variable, cell.cell_contents)
        for variable in sorted(read):
            if variable in function.__globals__:
                self.named(variable, function.__globals__[variable])

    def named(self, variable, value):
        self.text("variable", variable)
        try:
            self.add(value)
        except _Unknown as error:
            raise _Unknown(f"{variable}: {error}" if ": " not in str(error) else str(error)) from None

    def code(self, code):
        """Add a code object; the names of the globals that it reads."""
        self.text("code", code.co_code, code.co_names, code.co_varnames)
        read = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                read |= self.code(constant)
            else:
                self.text("constant", sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant))
        return read

    def method(self, method):
        if not isinstance(method.__self__, (type, types.ModuleType)) and vars(method.__self__):
            raise _Unknown(f"the bound method {method.__qualname__}, whose object has a state that may change")
        self.add(method.__func__)
        self.add(method.__self__)

    def kind(self, kind):
        self.text("class", kind.__module__, kind.__qualname__)
        if _installed(kind.__module__):
            return self.text(_version(kind.__module__))
        for base in kind.__bases__:
            self.add(base)
        for name in sorted(set(vars(kind)) - {"_abc_impl"}):
            member = vars(kind)[name]
            if name.startswith("__") and not isinstance(member, (types.FunctionType, staticmethod, classmethod)):
                continue  # what Python keeps there (pickling a class adds __slotnames__)
            self.text("member", name)
            if isinstance(member, property):
                member = (member.fget, member.fset, member.fdel)
            elif isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            elif isinstance(member, functools.cached_property):
                member = member.func
            if isinstance(member, types.FunctionType) and member.__code__.co_filename == "<string>":
                self.function(member, generated=True)  # a method that dataclass wrote
            elif not isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                self.add(member)

    def instance(self, value):
        if isinstance(value, (np.random.Generator, np.random.RandomState)):
            raise _Unknown("a random generator, whose state changes with every draw (samplers take noise=)")
        self.add(type(value))
        if type(value).__name__ in _DATA_CLASSES and _ours(type(value).__module__):
            return self.text(data_digest.__wrapped__(value))
        if dataclasses.is_dataclass(value):
            return self.add({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        of_sklearn = type(value).__module__.partition(".")[0] == "sklearn"
        if of_sklearn and not hasattr(value, "__dict__"):
            return self.compiled(value)
        if not hasattr(value, "__dict__") or not (vars(value) or type(value).__flags__ & (1 << 9)):
            raise _Unknown(f"an object of type {type(value).__name__}, whose numbers cannot be read")
        for name in sorted(vars(value)):
            # an estimator of scikit-learn keeps the generator of its fit; no prediction draws from it
            if not (of_sklearn and isinstance(vars(value)[name], (np.random.Generator, np.random.RandomState))):
                self.named(name, vars(value)[name])
        return None

    def compiled(self, value):
        """An object of compiled code of scikit-learn, such as a tree, by the arguments and the state that it states."""
        try:
            _, arguments, *state = value.__reduce__()
        except TypeError as error:
            raise _Unknown(f"an object of type {type(value).__name__} ({error})") from None
        self.add([part for part in arguments if not isinstance(part, type)])
        self.add(state)


def _ours(module):
    return str(module).partition(".")[0] == __name__.partition(".")[0]


def _installed(module):
    """Whether the code of a module is this package's, Python's or an installed one's, which its version names."""
    top = str(module).partition(".")[0]
    if top == "__main__":  # a notebook, whatever started it: `python -m` leaves the file of an installed module there
        return False
    if _ours(top) or top in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and str(Path(file).resolve()).startswith(_INSTALLED)


def _version(module):
    """Version of an installed module, or the digest of its file; empty for Python and this package, which are in the key."""
    top = sys.modules.get(str(module).partition(".")[0])
    if top is None or _ours(top.__name__) or top.__name__ in sys.stdlib_module_names:
        return ""
    return str(getattr(top, "__version__", None) or hashlib.sha256(Path(str(top.__file__)).read_bytes()).hexdigest())


# Of clouds, mixtures, spheres and tori, subspaces.
_DATA = (
    "points",
    "weights",
    "means",
    "covariances",
    "dim",
    "radius",
    "radii",
    "sphere_dim",
    "block",
    "center",
    "offset",
    "basis",
    "flat",
    "_lam",
)


@lru_cache(maxsize=32)
def data_digest(law: Any) -> str:
    """SHA-256 of the numbers that make a law of the package.

    Examples
    --------
    >>> data_digest(ed.Sphere(1.0, 2)) == data_digest(ed.Sphere(1.0, 3))
    False
    """
    digest = hashlib.sha256()
    for name in _DATA:
        value = getattr(law, name, None)
        if all(isinstance(a, (float, int)) for a in (value if isinstance(value, tuple) else (value,))):
            value = np.asarray(value)
        if isinstance(value, np.ndarray):
            digest.update(name.encode() + str(value.shape).encode() + np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


# -- objects as arguments of a sweep ----------------------------------------------------------------------------------------


class WithData:
    """A denoiser of the user's own on the law of its data: samplers ask the denoiser, metrics ask the data.

    Parameters
    ----------
    denoiser : Denoiser
    data : law
        Of the same dimension.

    Examples
    --------
    >>> from exactdiffusion.studies.objects import WithData
    >>> shrink = ed.Denoiser(lambda x, sigma: x / (1 + sigma**2), 1)
    >>> WithData(shrink, ed.PointCloud([[-1.0], [1.0]])).dim
    1
    """

    def __init__(self, denoiser: Any, data: Any) -> None:
        if denoiser.dim != data.dim:
            fail("target", denoiser, f"a denoiser of the dimension of its data, {data.dim}")
        self.denoiser, self.data, self.dim = denoiser, data, data.dim

    def noised(self, scale: Any = 1.0, sigma: Any = 0.0) -> Any:
        """The denoiser at a level."""
        return self.denoiser.noised(scale, sigma)

    def __getattr__(self, name):
        if name in ("denoiser", "data", "dim") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.data, name)

    def __repr__(self):
        return f"WithData({self.denoiser!r}, {self.data!r})"


def law_from(value: Any) -> Any:
    """The law that an object stands for: a law, an (M, d) array of points, a pair (denoiser, data), a function of these.

    Examples
    --------
    >>> law_from([[0.0, 1.0], [2.0, 3.0]])
    PointCloud(M=2, dim=2)
    """
    from ..laws import Denoiser, PointCloud

    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Denoiser):
        return WithData(value[0], law_from(value[1]))
    if isinstance(value, Denoiser):
        fail("target", value, "(denoiser, data), a pair: metrics need the points or the law that it was trained on")
    if callable(getattr(value, "noised", None)):
        return value
    if callable(value):
        return law_from(value())
    try:
        return PointCloud(value)
    except ValueError as error:
        raise ValueError(f"target: {error}; a law, or a function that returns one, is a target too") from None


def _fixed_grid(grid, N):
    if N != grid.N:
        fail("steps", N, f"{grid.N}, the number of steps of the Grid that was given; a function of N gives others")
    return grid


def labels(kind: str, value: Any) -> list[str]:
    """The names of one argument of a sweep: text stays; every object is filed in `OBJECTS` under its label.

    ``value`` is one item, a list or tuple of items, or a dict from names of the user's own to items.

    Raises
    ------
    ValueError
        Naming the argument: an object without a digest, a name that is none, nothing at all, one thing twice.

    Examples
    --------
    >>> labels("sampler", [ed.samplers.heun, "ddim"])
    ['heun', 'ddim']
    >>> labels("target", {"corners": [[0.0, 0.0], [1.0, 1.0]]})[0].split("@")[0]
    'corners'
    """
    from ..laws import Denoiser

    # the items, each with the name that the user gave it
    pair = isinstance(value, tuple) and bool(value) and isinstance(value[0], Denoiser)
    points = kind == "target" and isinstance(value, list) and bool(value) and np.ndim(value[0]) == 1
    if isinstance(value, Mapping):
        items = list(value.items())
        for name, _ in items:
            if not isinstance(name, str) or not name.isidentifier():
                fail(kind, name, "names of letters, digits and underscores as keys")
    elif isinstance(value, (list, tuple)) and not pair and not points:
        items = [(None, item) for item in value]
    else:
        items = [(None, value)]
    if not items:
        fail(kind, value, "at least one")

    found = [_label(kind, name, item) for name, item in items]
    if len(set(found)) != len(found):
        fail(kind, found, "each one once")
    return found


def _label(kind, name, item):
    if isinstance(item, str):
        return item
    if name is None:
        registered = _registered(kind, item)
        if registered is not None:
            return registered

    # the digest of what a number can depend on
    _fits(kind, item)
    if kind == "target" and isinstance(item, list):
        item = np.asarray(item, dtype=np.float64)
    try:
        if isinstance(item, (types.BuiltinFunctionType, np.ufunc)):
            raise _Unknown("compiled code, which has no source")
        whole = digest(item)
    except _Unknown as error:
        short = repr(item) if len(repr(item)) < 80 else type(item).__name__
        raise ValueError(
            f"{kind}: got {short}; expected something that records can be kept under, but it depends on {error}; "
            "a function of a notebook's cell or of a file, given as itself or as 'FILE.py:NAME', would do"
        ) from None

    # filed under a label, once
    label = f"{name or _name(kind, item)}@{whole[:12]}"
    if (kind, label) not in OBJECTS:
        kept = law_from(item) if kind == "target" else item
        if kind == "schedule" and not callable(item):
            kept = functools.partial(_fixed_grid, item)
        OBJECTS[kind, label] = kept, whole
    return label


def _fits(kind, item):
    from ..schedules import Grid

    wanted = {
        "target": "a name, a law, an (M, d) array of points, a pair (Denoiser, data) or a function that returns these",
        "sampler": "a name or a function sampler(law, grid, x)",
        "schedule": "a name, a Grid or a function of N that returns one",
        "metric": "a name, a Metric or a function of the Run",
    }[kind]
    from .metrics import Metric

    numeric = isinstance(item, (np.ndarray, list)) or hasattr(item, "noised") or isinstance(item, tuple)
    allowed = (
        callable(item)
        or {
            "target": numeric,
            "sampler": False,
            "schedule": isinstance(item, Grid),
            "metric": isinstance(item, Metric),
        }[kind]
    )
    if not allowed or isinstance(item, type):
        fail(kind, item, wanted)


def _registered(kind, item):
    """The name of a sampler or schedule of the package, with the parameters of a partial that are JSON; else None."""
    from .. import samplers, schedules

    parameters: dict[str, Any] = {}
    if isinstance(item, functools.partial) and not item.args:
        item, parameters = item.func, item.keywords
    known: dict[str, Callable] = {}
    if kind == "sampler":
        known = {name: info.function for name, info in samplers.REGISTRY.items()}
    elif kind == "schedule":
        known = schedules.REGISTRY
    plain = all(v is None or isinstance(v, (bool, int, float, str)) for v in parameters.values())
    for name, function in known.items():
        if function is item and plain and _ours(function.__module__):
            return ":".join([name, *(f"{k}={json.dumps(v)}" for k, v in sorted(parameters.items()))])
    return None


def _name(kind, item):
    if isinstance(item, functools.partial):
        item = item.func
    if isinstance(item, (np.ndarray, list)):
        return "points"
    if isinstance(item, tuple):
        return f"{_name(kind, item[0].fn)}_denoiser"
    text = getattr(item, "__name__", type(item).__name__)
    return "".join(c for c in text if c.isalnum() or c == "_") or kind
