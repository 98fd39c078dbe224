"""Hostile input: every public entry point on drawn arguments gives a checked value or a ValueError that names the argument.

Each example is a string of bytes from hypothesis, decoded into one argument set of one entry point (`Draw`): ordinary values
of all shapes, dtypes and memory layouts, ties, zero weights, duplicate atoms, and numbers from subnormal to 1e300; in half
of the examples one argument is replaced by something that is no number at all. Allowed outcomes: a value that passes the
entry's check (and holds no NaN), or a ValueError whose message begins with the name of an argument: the replaced one, where
one was replaced. Anything else fails: another exception, a warning, a NaN, an answer that takes too long.

What a check looks at, and what not. Of a bound (`CLAIMS`): its shape, and relations that hold under the hypotheses: sign,
range (probabilities in [0, 1], admissible steps in [0, 1]), the order of two-sided values, monotone products and levels,
agreement with another bound. Most of them are asked of all numbers, those with cancelling or overflowing terms of numbers
0 or of size 1e-30 to 1e30 (`tame`). By the shape alone are checked the linear formulas (Tweedie, mean and coordinate steps,
drifts, error fields, rescaled scores, Hessians and covariances without a sign) and `matching_bias`, `heun_gaussian_error`,
`gap_formula`. Where a hypothesis that no declaration can say does not hold, and where an argument is an odd object that a
function may take, only the generic conditions hold: no NaN, and no infinity unless the entry says `infinite`, as every bound
does. The entries without a check (`test_unchecked_entries` lists them) have the generic conditions alone. No check here
compares a value with a reference: that is the subject of `test_references.py` and of ``theory/``.

The arguments of a statement are drawn into the domain that its decorator declares (`into_domain`). They are never odd
objects, which the public doors refuse. `test_statement_in_on_and_outside_its_domain` asks of every condition that its closed
ends are taken, and that its open ends and what lies beyond are refused by the name of the argument.

By default few examples, always the same ones; with ``--deep`` at least 5,000 per entry point from a seed that changes from
run to run and is printed (``--seed n`` repeats one). Hypothesis draws them in groups of `GROUP`; ``FUZZ_EXAMPLES=n`` sets
their number.
"""

import dataclasses
import inspect
import operator
import os
import re
import signal
import time
import types
from fractions import Fraction
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from exactdiffusion import distances, prox, samplers, schedules, statements
from exactdiffusion._core import random
from exactdiffusion.laws import Counted, Denoiser, GaussianMixture, PointCloud, Sphere, Subspace, Torus
from exactdiffusion.output_laws import gaussian
from exactdiffusion.papers import conditional_mean
from exactdiffusion.papers.log_concavity import certificates, measurements, walk_jump
from exactdiffusion.papers.projection import curved

GROUP = 20
BYTES = 40  # of one example
#: examples per entry point
QUICK, DEEP = 60, 5000
#: processor seconds that one group of examples may take (a hang, not a benchmark)
LIMIT = 20.0
EPS = float(np.finfo(float).eps)

# ------------------------------------------------------------------------------------------------------------- drawing

ODD = [
    None,
    "3",
    b"3",
    "",
    1j,
    2 + 0j,
    object(),
    {},
    {1.0},
    [],
    [[]],
    [[1.0, 2.0], [3.0]],
    ["a"],
    [None],
    [1j],
    [[1j]],
    lambda: 0,
    len,
    type,
    Ellipsis,
    NotImplemented,
    float("nan"),
    float("inf"),
    -float("inf"),
    np.float64("nan"),
    np.array("s"),
    np.array([None]),
    np.array([object()]),
    np.array([1j, 2j]),
    np.array([[1j, 2j]]),
    np.array([[np.nan, 0.0]]),
    np.array([np.inf]),
    np.array([[np.inf, 1.0], [0.0, 1.0]]),
    np.full((2, 2), np.nan),
    np.zeros((2, 2), dtype="S3"),
    np.datetime64("2020-01-01"),
    np.zeros(3, dtype="datetime64[s]"),
    np.zeros(2, dtype=[("a", float)]),
    10**400,
    -(10**400),
    range(0),
    slice(2),
    memoryview(b"abc"),
    Exception("x"),
    np.random,
    {"x": 1.0},
    (),
    np.zeros((0, 2)),
    np.zeros((2, 0)),
    np.zeros((1, 1, 1, 1)),
    float,
    np.float64,
    True,
    False,
    np.bool_(True),
    np.array([True, False]),
    np.array([[True]]),
    [True],
    Fraction(1, 3),
    "nan",
    [[float("nan")]],
    [[0.0, float("inf")]],
    np.array(["1.0"]),
    np.longdouble(2),
    np.float16(1.5),
]
#: of these a function may make sense; of all others only a ValueError that names the argument is right
PERHAPS = {
    id(v)
    for v in ODD
    if v is None
    or isinstance(
        v, (bool, np.bool_, Fraction, np.longdouble, np.float16, list, tuple, np.ndarray, range, dict, memoryview, str)
    )
}
REAL = [0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-3, 0.1, 10.0, 40.0, 157.4, 1e-8, 3.141592653589793, -0.0, 7, 3, 1e6, -1e6,
        1e-12, 0.999]  # fmt: skip
WILD = [1e300, -1e300, 5e-324, -5e-324, 1e-310, 1e-200, 1e200, 1e154, 1e-154, 1.7976931348623157e308,
        2.2250738585072014e-308, 1e100, 1e150, 1e16, 2**53 + 1, 10**18, 1e-17, 1e-150, -1e155, 1e50]  # fmt: skip
POSITIVE = [1.0, 0.5, 2.0, 0.1, 1e-3, 10.0, 40.0, 0.25, 1e-6, 3, 1, 1e3]
COUNT = [2, 1, 3, 5, 4, 7, 10, 0, -1, 2.0, 2.5, 100, 1000, np.int64(3), np.uint8(2), np.float64(4)]


class Draw:
    """Choices read from bytes; past the end all are 0, the plainest."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        value = self.data[self.at] if self.at < len(self.data) else 0
        self.at += 1
        return value

    def index(self, n):
        return (self.byte() if n <= 64 else self.byte() * 256 + self.byte()) % n

    def pick(self, options):
        return options[self.index(len(options))]

    def chance(self, share):
        """True for that share of bytes, and not for 0."""
        return self.byte() >= 256 * (1 - share)

    def rng(self):
        return np.random.default_rng(self.byte() * 65536 + self.byte() * 256 + self.byte())


def real(d):
    """A number: mostly ordinary, at times at the end of the range, of a few types."""
    if d.chance(0.15):
        return d.pick(WILD)
    value = d.pick(REAL)
    return d.pick([float, float, float, np.float64, np.float32, np.array, int])(value)


def positive(d):
    return d.pick([*WILD, *REAL]) if d.chance(0.2) else d.pick(POSITIVE)


def unit(d):
    """Mostly in [0, 1]."""
    return real(d) if d.chance(0.2) else d.pick([0.5, 0.1, 0.9, 0.25, 0.0, 1.0, 1e-6, 0.3, 0.999])


def count(d):
    return d.pick(COUNT)


def small(d):
    return d.pick([2, 1, 3, 4, 0, -1, 2.0, np.int64(2), 5])


def flag(d):
    return d.pick([False, True])


def layout(d, a):
    """The same numbers with other strides, other dtypes, read-only, or as a list."""
    kind = d.index(16)
    if kind == 1:
        a = np.asfortranarray(a)
    elif kind == 2:
        a = np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a
    elif kind == 3:
        a = a[::-1].copy()[::-1] if a.ndim else a
    elif kind == 4:
        a = a.copy()
        a.setflags(write=False)
    elif kind == 5:
        a = a.tolist()
    elif kind == 6 and np.abs(a).max(initial=0.0) < 1e30:
        a = a.astype(np.float32)
    elif kind == 7 and np.abs(a).max(initial=0.0) < 1e9:
        a = np.round(a).astype(np.int64)
    elif kind == 8 and np.abs(a).max(initial=0.0) < 1e9:
        a = np.round(a).astype(np.int8) if np.abs(a).max(initial=0.0) < 100 else a
    elif kind == 9:
        a = a.astype(">f8")
    elif kind == 10:
        a = np.broadcast_to(a[:1], a.shape) if a.ndim and a.shape[0] else a
    return a


def array(*shape, low=None):
    """Strategy of arrays: each size an int, or a list to choose from; ``low`` 0 for nonnegative numbers."""

    def draw(d):
        size = tuple(d.pick(s) if isinstance(s, list) else s for s in shape)
        kind, rng = d.index(8), d.rng()
        with np.errstate(all="ignore"):
            return layout(d, np.abs(filled(d, kind, rng, size)) if low == 0 else filled(d, kind, rng, size))

    def filled(d, kind, rng, size):
        if kind <= 2:
            a = rng.standard_normal(size)
        elif kind == 3:
            a = rng.integers(-2, 3, size).astype(float)  # ties and duplicates
        elif kind == 4:
            a = np.zeros(size)
        elif kind == 5:
            a = rng.standard_normal(size) * 10.0 ** rng.integers(-8, 9)
        elif kind == 6:
            a = (
                rng.standard_normal(size) * d.pick(WILD)
                if d.chance(0.5)
                else np.where(rng.random(size) < 0.5, d.pick(WILD), rng.standard_normal(size))
            )
        else:
            a = rng.random(size)
        return np.nan_to_num(np.asarray(a), posinf=1e300, neginf=-1e300)

    return draw


def weights(n):
    """Weights of n atoms: None, uniform, with zeros, tiny, and wrong ones."""

    def draw(d):
        kind, rng = d.index(9), d.rng()
        if kind <= 1 or n == 0:
            return None
        w = rng.random(n)
        if kind == 2:
            w = np.ones(n)
        elif kind == 3:
            w = np.where(rng.random(n) < 0.5, 0.0, w)
            w[0] = 1.0
        elif kind == 4:
            w = w * 10.0 ** rng.integers(-320, 0, n)
            w[-1] = 1.0
        elif kind == 5:
            return layout(d, w)
        elif kind == 6:
            return w - 0.5
        elif kind == 7:
            return layout(d, np.ones(n + 1) / (n + 1))
        return layout(d, w / w.sum())

    return draw


def one_of(*strategies):
    return lambda d: d.pick(strategies)(d)


def just(*values):
    return lambda d: d.pick(values)


def mostly(value, strategy, share=0.3):
    """``value`` where not drawn: for the many options of one call."""
    return lambda d: strategy(d) if d.chance(share) else value


# -------------------------------------------------------------------------------------------------------------- entries

ENTRIES = {}


@dataclasses.dataclass
class Entry:
    """One public entry point: how its arguments are drawn, how it is called, what its value must satisfy.

    ``names`` are names an error may begin with besides the arguments'; ``loose`` are arguments in whose place odd values
    may be accepted; ``fixed`` are never replaced by one: what a method belongs to, or a statement's arguments; ``infinite``
    says that an infinity is among its values; ``domain`` is the declared domain of a statement.
    """

    name: str
    call: object
    arguments: dict
    check: object = None
    names: tuple = ()
    loose: tuple = ()
    fixed: tuple = ()
    infinite: bool = False
    nan: bool = False
    domain: object = None

    def draw(self, of):
        """Arguments, each from the `Draw` that ``of`` gives for its name; those of a statement within its domain."""
        given = {name: strategy(of(name)) for name, strategy in self.arguments.items()}
        return given if self.domain is None else into_domain(self.domain, given)


def check_hull(out, law, x, sigma):
    """A denoiser is a mean of points of the set: no farther out than the farthest of them."""
    outer = law.project(5.0 * np.random.default_rng(0).standard_normal((2000, 4)))
    assert np.all(np.linalg.norm(out, axis=-1) <= 1.01 * np.max(np.linalg.norm(outer, axis=1)))


def entry(name, call, check=None, *, names=(), loose=(), fixed=(), infinite=False, nan=False, domain=None, **arguments):
    assert name not in ENTRIES, name
    ENTRIES[name] = Entry(name, call, arguments, check, tuple(names), tuple(loose), tuple(fixed), infinite, nan, domain)


def named(name, check=None, **more):
    """The entry of a public function: its name without the package says what is called."""
    module, _, attribute = name.rpartition(".")
    entry(name, getattr(import_module(f"exactdiffusion.{module}"), attribute), check, **more)


def values_of(result, depth=0):
    """Every array and number inside a result."""
    if isinstance(result, (float, int, np.number, np.ndarray)) or result is None or isinstance(result, (str, bool)):
        yield result
    elif isinstance(result, dict):
        for v in result.values():
            yield from values_of(v, depth + 1)
    elif isinstance(result, (list, tuple)):
        for v in result:
            yield from values_of(v, depth + 1)
    elif dataclasses.is_dataclass(result) and depth < 5:
        for f in dataclasses.fields(result):
            yield from values_of(getattr(result, f.name), depth + 1)


class Hang(BaseException):
    """A call that takes too long."""


def sound(entry, result):
    for v in values_of(result):
        if isinstance(v, np.ndarray) and v.dtype.kind == "f":
            assert entry.nan or not np.isnan(v).any(), "NaN in the value"
            assert entry.infinite or entry.nan or not np.isinf(v).any(), "infinity in the value"
        elif isinstance(v, (float, np.floating)):
            assert entry.nan or v == v, "NaN for a value"
            assert entry.infinite or abs(v) != float("inf"), "infinity for a value"
        elif isinstance(v, np.ndarray):
            assert v.dtype.kind in "biuU" or all(isinstance(f, (Fraction, float)) for f in v.flat), f"dtype {v.dtype}"


def example(entry, data):
    """Run one example: "value" or "refused"; raises on a violation."""
    d = Draw(data)
    odd = None
    open_to = [name for name in entry.arguments if name not in entry.fixed]
    if d.byte() >= 144 and open_to:
        # all others as plain as they come, so that the message can only name the odd one
        odd, value, plain = d.pick(open_to), d.pick(ODD), Draw(b"")
        given = entry.draw(lambda name: plain) | {odd: value}
    else:
        given = entry.draw(lambda name: d)
    try:
        return _outcome(entry, given, odd)
    except Exception as error:
        text = ", ".join(f"{k}={v!r}" for k, v in given.items())
        raise AssertionError(f"{entry.name}({text}): {type(error).__name__}: {str(error)[:300]}") from error


def _outcome(entry, given, odd):
    before = {k: v.copy() for k, v in given.items() if isinstance(v, np.ndarray)}
    try:
        result = entry.call(**given)
    except ValueError as error:
        names = "|".join(re.escape(n) for n in (*entry.arguments, *entry.names))
        message = str(error)
        assert re.match(rf"(?:{names})\b", message), f"the message names no argument: {message!r}"
        if odd is not None and id(given[odd]) not in PERHAPS and odd not in entry.loose:
            assert re.match(rf"(?:\w+, )*{re.escape(odd)}\b", message), (
                f"the message names another argument than {odd}: {message!r}"
            )
        return "refused"
    if odd is not None and id(given[odd]) not in PERHAPS and odd not in entry.loose:
        raise AssertionError(f"{odd}={given[odd]!r} was taken: {result!r}")
    sound(entry, result)
    if entry.check is not None and odd is None:
        with np.errstate(all="ignore"):
            entry.check(result, **given)
    for k, v in before.items():
        assert np.array_equal(v, given[k], equal_nan=v.dtype.kind == "f"), f"{k} was written to"
    return "value"


# ------------------------------------------------------------------------------------------------------------------ laws

_rng = np.random.default_rng(7)
DIM = 3
BASE = {
    "GaussianMixture": [
        GaussianMixture(None, _rng.normal(size=(4, DIM)), [0.3, 0.0, 1.0, 2.0]),
        GaussianMixture([0.2, 0.8, 0.0], _rng.normal(size=(3, DIM)), 0.5),
        GaussianMixture(None, np.zeros((2, DIM)), np.ones((2, DIM)) * [[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]]),
        GaussianMixture([1.0], np.ones((1, DIM)), np.diag([1.0, 0.5, 0.0])[None]),
    ],
    "PointCloud": [
        PointCloud(_rng.normal(size=(6, DIM))),
        PointCloud([[0.0, 1.0, 2.0]]),
        PointCloud(np.vstack([np.eye(DIM), np.eye(DIM)]), [0.0, 0.5, 0.1, 0.2, 0.2, 0.0]),
        PointCloud(1e6 + _rng.normal(size=(5, DIM))),
    ],
    "Sphere": [Sphere(1.5, DIM), Sphere(1.0, DIM, 2, center=[1.0, 0.0, 2.0]), Sphere(2.0, DIM, 1)],
    "Torus": [Torus([1.0], DIM), Torus([2.0], DIM, center=[0.0, 1.0, 0.0])],
    "Subspace": [
        Subspace(_rng.normal(size=(DIM, 2)), covariance=1.0),
        Subspace(np.eye(DIM, 1), offset=[0.0, 1.0, 2.0], covariance=0.5),
        Subspace(np.eye(DIM, 2), covariance=[[1.0, 0.5], [0.5, 1.0]]),
    ],
}
BIG = PointCloud(_rng.integers(0, 300, size=(100_000, 2)).astype(float))
#: atoms, or extreme points, of the laws with a bounded hull; None where it is unbounded
x_of_law = array([2, 1, 5, 0], [DIM, DIM, DIM, DIM, DIM, DIM, DIM, 2, 1])
scale_of_level = one_of(just(1.0, 1.0, 0.5, 0.0, 2), positive, lambda d: d.rng().random(d.pick([2, 1, 5])))
sigma_of_level = one_of(
    just(1.0, 0.1, 0.0, 1e-8, 30.0, 1e-310, 5e-324, 1e-3), positive, lambda d: d.rng().random(d.pick([2, 1, 5]))
)


def asarray(x):
    return np.asarray(x, dtype=np.float64)


def in_hull(law, out):
    """A necessary condition of lying in the convex hull of the support: in its box, to rounding."""
    if isinstance(law, PointCloud):
        low, high = law.points.min(axis=0), law.points.max(axis=0)
    elif isinstance(law, GaussianMixture) and not np.any(np.asarray(law.covariances)):
        low, high = law.means.min(axis=0), law.means.max(axis=0)
    elif isinstance(law, (Sphere, Torus)):
        reach = float(np.sqrt(np.trace(law.covariance)))
        low, high = law.mean - reach, law.mean + reach
    else:
        return
    slack = 64 * EPS * np.maximum(np.abs(low), np.abs(high)).max()
    assert (out >= low - slack).all(), "below the support"
    assert (out <= high + slack).all(), "above the support"


def check_denoise(out, law, x, scale, sigma):
    assert out.shape == asarray(x).shape
    in_hull(law, out)


def check_psd(out, law, x, scale, sigma):
    n, d = asarray(x).shape
    assert out.shape == (n, d, d)
    assert (
        np.array_equal(out, np.swapaxes(out, 1, 2))
        or np.abs(out - np.swapaxes(out, 1, 2)).max() <= 64 * EPS * np.abs(out).max()
    )
    low = np.linalg.eigvalsh(out).min(initial=0.0)
    assert low >= -256 * d * max(EPS * np.abs(out).max(initial=0.0), 5e-324) - 1e-9 * isinstance(law, (Sphere, Torus)), (
        "not positive semidefinite"
    )


def shape_of(kind):
    def check(out, x, **_):
        n, d = asarray(x).shape
        assert out.shape == {"n": (n,), "nd": (n, d), "ndd": (n, d, d)}[kind]

    return check


LEVEL = {
    "log_density": shape_of("n"),
    "score": shape_of("nd"),
    "hessian": shape_of("ndd"),
    "denoise": check_denoise,
    "posterior_covariance": check_psd,
}
LAW = {"log_density": shape_of("n"), "score": shape_of("nd"), "hessian": shape_of("ndd")}


def check_project(out, law, x):
    x = asarray(x)
    assert out.shape == x.shape
    size = 1 + np.abs(x).max(initial=0.0)
    extent = 1 + np.abs(out).max(initial=0.0)
    if extent < 1e150:  # a projection may have a coordinate beyond the range of arguments where no coordinate of x has
        assert np.abs(law.project(out) - out).max(initial=0.0) <= 64 * EPS * extent, "projecting twice moves the point"
    if size < 1e100:
        own = np.linalg.norm(x - out, axis=1)
        other = law.sample(8, 0) if not isinstance(law, PointCloud) else law.points
        if not isinstance(law, Subspace) and len(x):
            rival = np.linalg.norm(x[:, None] - other[None], axis=2).min(axis=1)
            assert (own <= rival + 64 * EPS * (size + extent)).all(), "not the nearest point"


def check_distance(out, law, x):
    x = asarray(x)
    assert out.shape == x.shape[:1]
    assert (out >= 0).all()
    if np.abs(x).max(initial=0.0) < 1e100 and len(x):
        # |x - p| where x is far from p in size is rounded like x; a subspace measures the part across only
        expected = np.linalg.norm(x - law.project(x), axis=1)
        assert (np.abs(out - expected) <= 1e-12 * (1 + np.abs(x).max() + np.abs(law.project(x)).max())).all()


def check_nearest(out, law, x):
    index, distance = out
    assert index.shape == distance.shape == asarray(x).shape[:1]
    assert np.array_equal(law.points[index], law.project(x)) or len(x) == 0


def check_sample(out, n, law, **_):
    assert out.shape == (n, law.dim)


def check_nothing(out, **_):
    assert out is None


def check_prox(out, x, **_):
    assert out.shape == asarray(x).shape


def as_argument(name, *more):
    """Of the shape of an argument, with ``more`` axes."""

    def check(out, **given):
        assert np.shape(out) == (*np.shape(given[name]), *more), "shape"

    return check


def in_range(low, high):
    def check(out, **_):
        for v in values_of(out):
            assert np.all((np.asarray(v) >= low) & (np.asarray(v) <= high)), "outside its range"

    return check


CLASSES = {c.__name__: c for c in (GaussianMixture, PointCloud, Sphere, Torus, Subspace)}


def _law_entries():
    lam = one_of(just(0.5, 0.1, 2.0, 10.0), positive, array([2, 1, 5], low=0))
    seeds = one_of(just(0, 5, np.int64(3)), lambda d: d.rng(), just(-1, 2.5, "seed"))
    for name in CLASSES:
        for method, check in LEVEL.items():
            entry(
                f"laws.{name}.noised.{method}",
                lambda law, x, scale, sigma, method=method: getattr(law.noised(scale, sigma), method)(x),
                check,
                law=just(*BASE[name]),
                x=x_of_law,
                scale=scale_of_level,
                sigma=sigma_of_level,
                fixed=("law",),
            )
        entry(
            f"laws.{name}.noised.sample",
            lambda law, scale, sigma, n, rng: law.noised(scale, sigma).sample(n, rng),
            check_sample,
            law=just(*BASE[name]),
            scale=scale_of_level,
            sigma=sigma_of_level,
            n=count,
            rng=seeds,
            loose=("rng",),
            fixed=("law",),
        )
        entry(
            f"laws.{name}.sample",
            lambda law, n, rng: law.sample(n, rng),
            check_sample,
            law=just(*BASE[name]),
            n=count,
            rng=seeds,
            loose=("rng",),
            fixed=("law",),
            names=("covariance",),
        )
    for method, check in LAW.items():
        entry(
            f"laws.GaussianMixture.{method}",
            lambda law, x, method=method: getattr(law, method)(x),
            check,
            law=just(*BASE["GaussianMixture"]),
            x=x_of_law,
            names=("sigma",),
            fixed=("law",),
        )
    for name in ("PointCloud", "Sphere", "Torus", "Subspace"):
        for method, check in (("project", check_project), ("distance", check_distance)):
            entry(
                f"laws.{name}.{method}",
                lambda law, x, method=method: getattr(law, method)(x),
                check,
                law=just(*BASE[name]),
                x=x_of_law,
                fixed=("law",),
            )
    for method, check in (("nearest", check_nearest), ("gap", lambda out, law, x: None)):
        entry(
            f"laws.PointCloud.{method}",
            lambda law, x, method=method: getattr(law, method)(x),
            check,
            law=just(*BASE["PointCloud"]),
            x=x_of_law,
            fixed=("law",),
            infinite=method == "gap",
        )
    entry(
        "laws.PointCloud (100,000 atoms)",
        lambda x, scale, sigma: BIG.noised(scale, sigma).denoise(x),
        lambda out, **_: in_hull(BIG, out),
        x=array([1, 2], [2]),
        scale=just(1.0, 0.5),
        sigma=just(1.0, 0.1, 0.0, 50.0, 1e-310),
    )
    for name, method in (
        ("GaussianMixture", "prox"),
        ("GaussianMixture", "prox_local"),
        ("PointCloud", "prox"),
        ("PointCloud", "prox_local"),
    ):
        entry(
            f"laws.{name}.noised.{method}",
            lambda law, x, lam, scale, sigma, method=method: getattr(law.noised(scale, sigma), method)(x, lam),
            check_prox,
            law=just(*BASE[name]),
            x=x_of_law,
            lam=lam,
            scale=scale_of_level,
            sigma=sigma_of_level,
            fixed=("law",),
        )
    entry(
        "laws.GaussianMixture.prox",
        lambda law, x, lam: law.prox(x, lam),
        check_prox,
        law=just(*BASE["GaussianMixture"]),
        x=x_of_law,
        lam=lam,
        names=("sigma",),
        fixed=("law",),
    )
    entry(
        "laws.Counted",
        lambda law, x, scale, sigma: Counted(law).noised(scale, sigma).denoise(x),
        check_denoise,
        law=just(*BASE["Sphere"]),
        x=x_of_law,
        scale=scale_of_level,
        sigma=sigma_of_level,
    )
    entry(
        "laws.Denoiser",
        lambda fn, dim, x, scale, sigma: Denoiser(fn, dim).noised(scale, sigma).denoise(x),
        as_argument("x"),
        fn=just(lambda x, s: 0.5 * x, lambda x, s: x[:, :1], lambda x, s: x * np.nan, lambda x, s: "no", lambda x, s: None),
        dim=just(DIM, DIM, 2),
        x=x_of_law,
        scale=scale_of_level,
        sigma=sigma_of_level,
        fixed=("fn",),
    )

    def law_of(made):
        """A new law must answer: its mean, a draw, and where its level is plain the denoiser in its hull."""
        x = (
            made.sample(3, 0)
            if not (isinstance(made, Subspace) and made.noised(1.0, 1.0).__class__.__name__ == "_NoisedFlat")
            else None
        )
        x = np.zeros((2, made.dim)) if x is None else x
        assert np.isfinite(x).all()
        out = made.noised(1.0, 1.0).denoise(x)
        assert np.isfinite(out).all()
        in_hull(made, out)
        return None

    K, d = [2, 1, 3, 6, 0], [2, 1, 3, 0]
    entry(
        "laws.PointCloud",
        lambda points, weights, copy: law_of(PointCloud(points, weights, copy=copy)),
        points=array(K, d),
        weights=lambda q: weights(q.pick(K))(q),
        copy=just(True, False),
        names=("x", "sigma", "scale"),
    )
    covariances = one_of(
        just(1.0, 0.0, 0.5, 2),
        positive,
        array(K, low=0),
        array(K, d, low=0),
        lambda q: (lambda a: a @ np.swapaxes(a, -1, -2))(q.rng().normal(size=(q.pick(K), q.pick(d), 2))),
        array(K, d, d),
        lambda q: (lambda a: a @ a.T)(q.rng().normal(size=(q.pick(d), 3))),
    )
    entry(
        "laws.GaussianMixture",
        lambda weights, means, covariances, covariance_type: law_of(
            GaussianMixture(weights, means, covariances, covariance_type=covariance_type)
        ),
        weights=lambda q: weights(q.pick(K))(q),
        means=array(K, d),
        covariances=covariances,
        covariance_type=mostly(None, just("diag", "full", "spherical", "tied", "isotropic")),
        names=("x", "sigma", "scale"),
    )
    entry(
        "laws.Sphere",
        lambda radius, dim, sphere_dim, block, center: law_of(Sphere(radius, dim, sphere_dim, block, center)),
        radius=positive,
        dim=just(3, 2, 1, 4, 0, 2.0, 10),
        sphere_dim=just(None, 2, 1, 3, 5),
        block=just(None, None, [0, 1], [0], [1, 0], [0, 0]),
        center=mostly(None, array([3, 2, 1, 4])),
        names=("x", "sigma", "scale"),
    )
    entry(
        "laws.Torus",
        lambda radii, dim, center: law_of(Torus(radii, dim, center)),
        radii=array([1, 2, 3, 0], low=0),
        dim=just(None, 4, 6, 3, 2),
        center=mostly(None, array([2, 4, 6])),
        names=("x", "sigma", "scale"),
    )
    entry(
        "laws.Subspace",
        lambda basis, offset, covariance: law_of(Subspace(basis, offset, covariance)),
        basis=array([3, 2, 1], [1, 2, 0]),
        offset=mostly(None, array([3, 2, 1])),
        covariance=mostly(None, one_of(positive, array([1, 2], [1, 2]))),
        names=("x", "sigma", "scale"),
    )
    entry(
        "laws.GaussianMixture.from_sklearn",
        lambda fitted: law_of(GaussianMixture.from_sklearn(fitted)),
        fitted=just(
            types.SimpleNamespace(
                weights_=np.ones(1), means_=np.zeros((1, 2)), covariances_=np.ones(1), covariance_type="spherical"
            ),
            types.SimpleNamespace(
                weights_=np.ones(1), means_=np.zeros((1, 2)), covariances_=np.eye(2), covariance_type="odd"
            ),
            types.SimpleNamespace(
                weights_=np.ones(1), means_=np.zeros((1, 2)), covariances_=np.eye(2), covariance_type="tied"
            ),
            object(),
        ),
        names=("weights", "means", "covariances", "covariance_type"),
    )
    for name in CLASSES:
        entry(f"laws.{name}.check", lambda law: law.check(), check_nothing, law=just(*BASE[name]), fixed=("law",))


_law_entries()

# ------------------------------------------------------------------------------------------- schedules, noise and samplers


def check_grid(made, **_):
    grid = made
    assert (np.diff(grid.noise_ratio, axis=0) <= 0).all()
    assert (grid.sigma[:-1] > 0).all()
    for name in ("alpha_bar", "integral", "beta", "g", "ddpm_beta"):
        value = getattr(grid, name)
        # pure noise, scale 0, is infinitely far from the next level
        endless = name in ("integral", "g") and np.any(np.asarray(grid.scale)[0] == 0)
        assert np.isfinite(value[1:] if endless else value).all(), name
        assert (value >= 0).all(), name


def levels(d):
    """Noise levels, mostly decreasing."""
    n = d.pick([3, 2, 5, 1])
    if d.chance(0.3):
        return array(n)(d)
    a = np.sort(d.rng().random(n) * d.pick([1.0, 10.0, 100.0]))[::-1].copy()
    if d.chance(0.3):
        a[-1] = 0.0
    return layout(d, a)


def check_time(t, sigma, table):
    as_argument("sigma")(t, sigma=sigma)
    in_range(0, 1000 if table is None else len(table))(t)


def by_default(value):
    """A strategy for an option of which only the default is known."""
    if isinstance(value, bool):
        return flag
    return mostly(value, positive) if value is None or isinstance(value, (int, float)) else just(value)


def _schedule_entries():
    more = {
        "log_linear": dict(sigma_max=one_of(just(40.0), positive), sigma_min=positive, final_zero=flag),
        "ddpm": dict(
            T=mostly(1000, count), beta_start=unit, beta_end=unit, spacing=just("trailing", "linspace"), final_zero=flag
        ),
        "edm": dict(sigma_max=one_of(just(80.0), positive), sigma_min=positive, rho=positive, final_zero=flag),
        "cosine": dict(
            T=mostly(1000, count), offset=positive, max_beta=unit, spacing=just("trailing", "linspace"), final_zero=flag
        ),
        "sigmoid": dict(
            T=mostly(1000, count),
            start=mostly(-3.0, real),
            end=mostly(3.0, real),
            tau=mostly(1.0, positive),
            max_beta=unit,
            spacing=just("trailing", "linspace"),
            final_zero=flag,
        ),
        "vp_linear": dict(beta_min=positive, beta_max=positive, eps=mostly(0.0, unit), vp=flag, final_zero=flag),
        "admissible": dict(eta=unit, nu=positive, sigma_max=positive, start_ratio=mostly(1.0, positive)),
        "quantised": dict(style=just(*schedules.QUANTISED), start=mostly(None, positive)),
    }
    for name, function in {**schedules.REGISTRY, "quantised": schedules.quantised}.items():
        parameters = inspect.signature(function).parameters
        known = {"start": mostly(None, positive), **more.get(name, {})}
        options = {p: known.get(p) or by_default(v.default) for p, v in parameters.items() if p != "N"}
        entry(f"schedules.{name}", function, check_grid, N=count, **options, names=("sigma", "scale"))
    entry(
        "schedules.Grid",
        lambda scale, sigma, time, rate, strict: schedules.Grid(scale, sigma, time, rate, strict=strict),
        check_grid,
        scale=one_of(just(1.0, 0.5), array([3, 2, 5], low=0)),
        sigma=levels,
        time=mostly(None, levels),
        rate=mostly(None, levels),
        strict=flag,
    )
    grids = just(schedules.log_linear(5), schedules.edm(4), schedules.vp_linear(3))
    entry(
        "schedules.Grid.__getitem__",
        lambda grid, index: grid[index],
        check_grid,
        grid=grids,
        index=just(slice(0, 3), slice(None, None, 2), slice(None, None, -1), slice(1, 2), 3),
        names=("sigma", "scale"),
        loose=("index",),
        fixed=("grid",),
    )
    entry(
        "schedules.Grid.to_vp",
        lambda scale, sigma: schedules.Grid(scale, sigma).to_vp(),
        lambda g, **_: check_grid(g) or g.is_vp or pytest.fail("not VP"),
        scale=one_of(just(1.0, 0.5), positive),
        sigma=levels,
    )
    named(
        "schedules.nearest_index",
        lambda i, grid, **_: pytest.fail("outside") if not 0 <= i <= grid.N else None,
        grid=grids,
        sigma=positive,
        unit=just("db", "linear"),
    )
    named(
        "schedules.quantised_times",
        lambda t, **_: pytest.fail("increasing") if (np.diff(t) > 0).any() else None,
        N=count,
        style=just(*schedules.QUANTISED),
        start=mostly(None, positive),
    )
    named(
        "schedules.ddpm_sigmas",
        lambda s, **_: pytest.fail("not increasing") if (np.diff(s) < 0).any() else None,
        T=count,
        beta_start=unit,
        beta_end=unit,
    )
    named(
        "schedules.ddpm_time",
        check_time,
        sigma=one_of(positive, array([2, 3], low=0)),
        table=mostly(None, array([3, 5], low=0)),
    )
    some = one_of(positive, array([3, 1, 0], low=0), lambda d: np.sort(d.rng().random(4)))
    one, half_line, line = in_range(0, 1), in_range(0, np.inf), None
    for name, check in {
        "alpha_bar_from_beta": one,
        "alpha_bar_from_integral": one,
        "alpha_bar_from_sigma": one,
        "beta_from_alpha_bar": one,
        "integral_from_sigma": half_line,
        "sigma_from_alpha_bar": half_line,
        "sigma_from_integral": half_line,
        "sigma_from_snr": half_line,
        "sigma_from_snr_db": half_line,
        "snr_db_from_sigma": line,
        "snr_db_from_snr": line,
        "snr_from_sigma": half_line,
        "snr_from_snr_db": half_line,
    }.items():
        (argument,) = inspect.signature(getattr(schedules, name)).parameters

        def converted(out, argument=argument, check=check, **given):
            as_argument(argument)(out, **given)
            if check:
                check(out)

        strategy = one_of(some, lambda d: d.rng().random(3))
        named(f"schedules.{name}", converted, **{argument: strategy})
    for name in ("vp_linear_integral", "vp_linear_rate", "vp_linear_time"):
        argument = next(iter(inspect.signature(getattr(schedules, name)).parameters))
        named(
            f"schedules.{name}",
            lambda v, **_: pytest.fail("negative") if np.any(np.asarray(v) < 0) else None,
            **{argument: unit},
            beta_min=positive,
            beta_max=positive,
        )
    words = just(np.arange(4, dtype=np.uint64), np.array([0, 2**64 - 1], dtype=np.uint64), np.zeros((0,), dtype=np.uint64))
    named("_core.random.standard_normal_of_words", as_argument("words"), words=words)
    seeds = just(0, 1, 2**64 - 1, 2**64, -1, 1.0, np.int64(3), 10**30)
    large = just(0, 1, 5, 2**40, 2**63, 2**64 - 1, 2**64, -1, np.int32(2))
    entry(
        "_core.random.Noise",
        lambda seed, step, n, d, start: random.Noise(seed).normal(step, n, d, start),
        lambda out, n, d, **_: pytest.fail("shape") if out.shape != (n, d) else None,
        seed=seeds,
        step=large,
        n=just(2, 0, 3, -1, 2.0),
        d=just(2, 1, 3, 0),
        start=large,
    )
    fine = schedules.vp_linear(8)
    entry(
        "_core.random.BrownianPath",
        lambda seed, fine, grid, step: random.BrownianPath(seed, fine).increments(grid).normal(step, 2, 2),
        lambda out, **_: pytest.fail("shape") if out.shape != (2, 2) else None,
        seed=seeds,
        fine=one_of(just(fine), levels),
        grid=one_of(just(fine[::2], fine, fine[::4]), levels),
        step=just(0, 1, 3, 9),
    )


_schedule_entries()


def check_states(result, x, grid, **_):
    assert len(result) == grid.N + 1
    assert all(s.shape == asarray(x).shape for s in result)
    assert np.array_equal(result[0], asarray(x))


def _sampler_entries():
    oracle = just(*(law for name in ("PointCloud", "GaussianMixture", "Sphere") for law in BASE[name]))
    vp_grid = just(
        schedules.vp_linear(3, beta_max=2.0),
        schedules.vp_linear(3, eps=0.01),
        schedules.vp_linear(2),
        schedules.vp_linear(3, eps=0.01).to_vp(),
        schedules.log_linear(3),
    )
    any_grid = just(
        schedules.log_linear(3),
        schedules.edm(2),
        schedules.vp_linear(3, eps=0.01),
        schedules.vp_linear(2),
        schedules.log_linear(1, 1e3, 1e-8),
        schedules.ddpm(4, final_zero=True),
        schedules.Grid(np.ones(3), [1e100, 1.0, 1e-100]),
        schedules.Grid(np.ones(2), [1.0, 1e-130]),
    )
    source = just(random.Noise(0), random.Noise(1), None, 3)
    options = {
        "noise": source,
        "mu": mostly(0.5, unit),
        "variance": just("small", "large", "zero", "none"),
        "last_noise": just(False, True, None),
        "gamma": just(2.0, 1.0, "variable", 1e300, 0.0),
        "step": just("integral", "right", "left"),
        "final": just("step", "denoise", "zero"),
        "lower_order_final": just(None, True, False),
        "prox": just("global", "local"),
        "calls": just(None),
    }
    for name, info in samplers.REGISTRY.items():
        parameters = list(inspect.signature(info.function).parameters)[3:]
        assert set(parameters) <= set(options), f"{name}: parameters without a strategy: {set(parameters) - set(options)}"
        law = just(*BASE["GaussianMixture"][:2], *BASE["PointCloud"][:2]) if info.oracle == "prox" else oracle
        entry(
            f"samplers.{name}",
            lambda function=info.function, **given: list(function(**given)),
            check_states,
            law=law,
            grid=vp_grid if info.coordinates == "vp" else any_grid,
            x=x_of_law,
            **{p: options[p] for p in parameters},
            names=("sigma", "scale", "lam", "g"),
        )
        ENTRIES[f"samplers.{name}"].loose = ("calls",)
    named("samplers.final", states=lambda d: iter([np.zeros((1, 1))] * d.pick([1, 2, 0])), nan=True, fixed=("states",))


_sampler_entries()

# --------------------------------------------------------------------------------------------------------------- measure


def check_w2(result, x, y, **_):
    assert result.value >= 0
    assert result.lower <= result.value * (1 + 1e-9) + 1e-300
    back = distances.w2(y, x, _.get("weights_y"), _.get("weights_x"))
    scale = max(np.abs(asarray(x)).max(), np.abs(asarray(y)).max(), 1e-300)
    assert abs(back.value - result.value) <= 1e-6 * scale, "not symmetric"
    assert distances.w2(x, x, _.get("weights_x"), _.get("weights_x")).value <= 1e-6 * scale, "w2(x, x) > 0"


def nonnegative(result, **_):
    for v in values_of(result):
        if not isinstance(v, str) and v is not None:
            assert np.all(np.asarray(v) >= 0), "negative"


def check_exact_draws(drawn, repeats, **_):
    assert len(drawn.values) == repeats
    assert min(drawn.values) >= 0
    assert drawn.low <= drawn.mean <= drawn.high
    assert drawn.std >= 0


def check_slope(found, **_):
    assert found.low <= found.slope <= found.high


def covariance_strategy(d):
    kind, rng, n = d.index(6), d.rng(), d.pick([2, 2, 2, 1, 3])
    a = rng.standard_normal((n, n)) * d.pick([1.0, 1.0, 1e-8, 1e5, 1e80, 0.0])
    if kind <= 1:
        return a @ a.T
    if kind == 2:
        return d.pick([1.0, 0.0, 2.5, 1e300, 5e-324, -1.0])
    if kind == 3:
        return layout(d, np.abs(a[0]))
    if kind == 4:
        return np.outer(a[0], a[0])
    return layout(d, a)


def _measure_entries():
    clouds, _n = array([3, 3, 3, 1, 5, 0], [2, 2, 2, 1]), [3, 1, 5]
    w = lambda d: weights(d.pick([3, 3, 3, 1, 5]))(d)  # noqa: E731
    named(
        "distances.w2",
        check_w2,
        x=clouds,
        y=clouds,
        weights_x=mostly(None, w),
        weights_y=mostly(None, w),
        method=mostly("auto", just("assignment", "sorted", "network", "no")),
        max_bytes=mostly(2**31, just(10, 2**20, 0, 1.5)),
    )
    named(
        "distances.wasserstein_1d",
        nonnegative,
        x=array([3, 1, 5, 0]),
        y=array([3, 1, 5]),
        p=just(2, 1, 3, 1.5),
        weights_x=mostly(None, w),
        weights_y=mostly(None, w),
    )
    named(
        "distances.w2_to_set",
        nonnegative,
        x=x_of_law,
        law=just(*BASE["PointCloud"], *BASE["Sphere"], *BASE["Subspace"]),
        weights=mostly(None, lambda d: weights(d.pick([2, 1, 5]))(d)),
    )
    means = array([2, 2, 2, 1, 3])
    for name in ("bures_w2", "gaussian_kl"):
        named(
            f"distances.{name}",
            nonnegative,
            mean1=means,
            cov1=covariance_strategy,
            mean2=means,
            cov2=covariance_strategy,
            infinite=name == "gaussian_kl",
        )
    named(
        "distances.gelbrich",
        nonnegative,
        x=clouds,
        y=one_of(clouds, lambda d: (means(d), covariance_strategy(d))),
        weights_x=mostly(None, w),
        weights_y=mostly(None, w),
    )
    named("distances.coupling_bound", nonnegative, x=clouds, y=clouds, weights=mostly(None, w))
    named(
        "distances.exact_draws",
        check_exact_draws,
        target=just(
            PointCloud([[0.0, 1.0], [1.0, 0.0]]), lambda n, rng: rng.normal(size=(n, 2)), lambda n, rng: np.zeros((n + 1, 2))
        ),
        n=mostly(3, just(1, 0, 2.0)),
        reference=array([3, 3, 3, 1, 5], [2, 2, 2, 2, 1]),
        repeats=mostly(2, just(3, 1)),
        rng=just(0, None, 5),
        weights=mostly(None, w),
        level=mostly(0.95, just(0.5, 1.0, 0.0)),
        max_bytes=mostly(2**31, just(10)),
        names=("x, y", "y", "weights_y"),
        loose=("rng",),
        fixed=("target",),
    )
    densities = array([3, 3, 3, 1, 5, 0], low=0)

    def of_mass_one(function):
        """Densities divided by their masses, where they have any: others are refused."""

        def call(p, q, weights, log):
            given = []
            for density in (p, q):
                if all(isinstance(k, np.ndarray) and k.dtype.kind in "fi" for k in (density, weights)):
                    with np.errstate(all="ignore"):
                        values = np.exp(density) if log is True else density
                        mass = np.sum(weights * values) if density.shape == weights.shape else 0
                        if 0 < mass < np.inf:
                            density = density - np.log(mass) if log is True else density / mass
                given.append(density)
            return function(*given, weights, log=log)

        return call

    for name in ("kl_quadrature", "tv_quadrature"):
        entry(
            f"distances.{name}",
            of_mass_one(getattr(distances, name)),
            nonnegative if name == "tv_quadrature" else None,
            p=densities,
            q=densities,
            weights=densities,
            log=flag,
            infinite=name == "kl_quadrature",
        )
    estimates = array([3, 3, 3, 1, 0], [2, 2, 2, 1])
    named("distances.mse", nonnegative, estimate=estimates, truth=estimates, infinite=True)
    named("distances.nmse", nonnegative, estimate=estimates, truth=estimates, power=mostly(None, positive), infinite=True)
    named(
        "distances.excess_error",
        nonnegative,
        estimate=estimates,
        conditional_mean=estimates,
        mmse=mostly(None, positive),
        infinite=True,
    )
    entry(
        "distances.Estimate.interval",
        lambda x, level: distances.mse(x, 0.0 * asarray(x)).interval(level),
        lambda ends, **_: pytest.fail("ends in the wrong order") if not ends[0] <= ends[1] else None,
        x=array([3, 1, 2], [2]),
        level=unit,
        names=("estimate", "truth"),
        fixed=("x",),
        infinite=True,
    )
    positive_array = one_of(lambda d: np.cumsum(0.1 + d.rng().random(d.pick([4, 3, 5]))), array([4, 3, 2], low=0))
    named(
        "distances.fit_slope",
        check_slope,
        x=positive_array,
        y=positive_array,
        log=just(True, False, None),
        level=just(0.95, 0.5, 1.0),
        last=just(None, 3, 2, 0),
        infinite=True,
    )
    named(
        "distances.local_slopes",
        lambda out, x, **_: pytest.fail("shape") if out.shape != (len(x) - 1,) else None,
        x=positive_array,
        y=positive_array,
    )


_measure_entries()

# ------------------------------------------------------------------- proximal, conditional mean, measurements, chains, ...


def check_proxes(result, x, **_):
    if isinstance(result, np.ndarray):
        assert result.shape == asarray(x).shape
        return
    assert result.point.shape == asarray(x).shape
    assert (result.lower <= result.objective + 1e-9 * (1 + np.abs(result.objective))).all() or np.isneginf(
        result.lower
    ).any()


def check_nearest_centre(result, x, centres, **_):
    index, value = result
    assert index.shape == value.shape == asarray(x).shape[:1]
    assert np.all((index >= 0) & (index < len(centres)))


def check_match(found, grid, **_):
    assert 0 <= found.index <= grid.N
    assert 0 <= found.steps <= grid.N
    assert found.sigma >= 0


def check_cme(out, law, y, **_):
    assert out.shape == asarray(y).shape
    in_hull(law, out)


def check_kernel(kernel, z, **_):
    assert kernel.means.shape[::2] == asarray(z).shape
    assert np.all(kernel.weights >= 0)
    assert np.all(np.abs(kernel.weights.sum(axis=1) - 1) <= 64 * EPS * kernel.weights.shape[1])


def check_run(states, n, law, **_):
    for state in states:
        assert all(v.shape == (n, law.dim) for v in values_of(state) if isinstance(v, np.ndarray) and v.ndim == 2)


def check_axes(found, variances, m, **_):
    assert found.output.shape == np.shape(variances)
    assert found.inner.shape == (m,)
    nonnegative(found)


def check_ball(ball, cloud):
    """(centre, radius): every point is inside; the algorithm's own allowance is 1e-12 of the squares."""
    cloud = asarray(cloud)
    distance, size = np.linalg.norm(cloud - ball[0], axis=1), np.abs(cloud).max()
    assert np.all(distance <= (1 + 1e-11) * ball[1] + 1e-6 * np.abs(cloud - cloud.mean(axis=0)).max() + 64 * EPS * size)


def check_bracket(found, **_):
    assert 0 <= found.lower <= found.upper


def check_gaussian(result, mean, all_steps, **_):
    m, c = result
    d = len(mean)
    assert m.shape[-1:] == (d,)
    assert c.shape in (m.shape, (*m.shape, d))
    low = c.min() if c.shape == m.shape else np.linalg.eigvalsh((c + np.swapaxes(c, -1, -2)) / 2).min(initial=0.0)
    assert low >= -256 * d * max(EPS * np.abs(c).max(initial=0.0), 5e-324), "not positive semidefinite"


CHAINS = {name: getattr(walk_jump, name) for name in ("one_at_a_time", "all_at_once")}
MIXTURES = {name: getattr(measurements, name) for name in ("posterior_mixture", "predictive_mixture")}


def _other_entries():
    d2, n2 = [2, 2, 2, 2, 1], [3, 1, 2, 0]
    x2, centres = array(n2, d2), array([4, 1, 2, 0], d2)
    w4 = mostly(None, lambda d: weights(d.pick([4, 4, 1, 2]))(d))
    lam = one_of(just(0.5, 0.1, 2.0), positive, array([3, 1, 2], low=0))
    named("prox.laguerre", check_nearest_centre, x=x2, lam=lam, centres=centres, weights=w4, infinite=True)
    named(
        "prox.prox_isotropic",
        check_proxes,
        x=x2,
        lam=lam,
        centres=centres,
        weights=w4,
        variance=lam,
        starts=mostly(12, count),
        certificate=flag,
        infinite=True,
    )
    entry(
        "prox.EqualVariance",
        lambda centres, weights, x, lam, variance, local: prox.EqualVariance(centres, weights)(
            x, lam, variance, local=local
        ),
        check_proxes,
        centres=centres,
        weights=w4,
        x=x2,
        lam=lam,
        variance=lam,
        local=flag,
        infinite=True,
    )
    entry(
        "prox.GeneralMixture",
        lambda weights, means, eigenvalues, vectors, x, lam, scale, sigma: prox.GeneralMixture(
            weights, means, eigenvalues, vectors
        )(x, lam, scale, sigma),
        check_proxes,
        weights=just([0.5, 0.5], np.array([0.2, 0.8]), [1.0, 0.0], [0.7, 0.7], [1.0]),
        means=array([2, 2, 2, 1], d2),
        eigenvalues=array([2, 2, 2, 1], d2, low=0),
        vectors=mostly(None, just(np.stack([np.eye(2)] * 2), np.ones((2, 2, 2)))),
        x=x2,
        lam=lam,
        scale=just(1.0, 0.5, 0.0),
        sigma=positive,
        infinite=True,
    )
    entry(
        "papers.projection.curved.denoise",
        lambda law, x, sigma: law.denoise(x, sigma),
        check_hull,
        law=just(curved.RevolutionTori(1.0, 0.6, 4), curved.Stiefel(2, 4), curved.SwissRoll(2.0, 1, 1.0, 4)),
        x=array([2, 1, 5, 0], [4, 4, 4, 2]),
        sigma=positive,
        fixed=("law",),
    )
    cm = conditional_mean
    law = just(*BASE["GaussianMixture"], *BASE["PointCloud"])
    mixture = just(*BASE["GaussianMixture"])
    grids = just(
        schedules.edm(3), cm.released_grid(5), cm.refined_grid(3, 1.0), schedules.vp_linear(3), schedules.log_linear(3)
    )
    sigma, total, m = positive, array([2, 2, 2, 2, 2, 1, 0], [DIM] * 8 + [2]), just(1, 2, 0, 5, -1, 1.0, 1000)
    named(
        "papers.conditional_mean.released_grid",
        check_grid,
        T=just(5, 10, 50, 3, 0),
        beta_T=mostly(None, unit),
        beta_1=mostly(cm.BETA_1, unit),
        names=("sigma",),
    )
    named(
        "papers.conditional_mean.refined_grid",
        check_grid,
        n=count,
        sigma=sigma,
        spacing=just("vp_linear", "linear", "geometric", "x"),
    )
    named(
        "papers.conditional_mean.power_grid",
        check_grid,
        T=count,
        gamma=one_of(unit, positive),
        sigma=sigma,
        c=mostly(1.0, positive),
    )
    named(
        "papers.conditional_mean.match",
        check_match,
        grid=grids,
        sigma=sigma,
        unit=just("db", "linear"),
        convention=just("matched", "code"),
        infinite=True,
    )
    options = dict(
        method=just(*cm.METHODS),
        noise=just(random.Noise(0), random.Noise(1), None),
        assumed=mostly(None, positive),
        unit=just("db", "linear"),
        convention=just("matched", "code"),
    )
    entry(
        "papers.conditional_mean.chain",
        lambda **given: list(cm.chain(**given)),
        lambda states, y, **_: [as_argument("y")(state, y=y) for state in states],
        law=mixture,
        grid=grids,
        y=x_of_law,
        sigma=mostly(None, sigma, 0.7),
        **options,
        names=("scale", "x"),
    )
    named(
        "papers.conditional_mean.denoise",
        as_argument("y"),
        law=mixture,
        grid=grids,
        y=x_of_law,
        sigma=mostly(None, sigma, 0.7),
        runs=just(1, 2, 0),
        **options,
        names=("scale", "x"),
    )
    named("papers.conditional_mean.cme", check_cme, law=law, y=x_of_law, sigma=sigma, names=("x",))
    named(
        "papers.conditional_mean.limit",
        as_argument("y"),
        law=mixture,
        y=x_of_law,
        sigma=mostly(0.7, sigma),
        v_end=mostly(1e-8, positive),
        rtol=just(1e-8, 1e-4, 0.0, 2.0),
        names=("x",),
    )
    named("papers.conditional_mean.lmmse", as_argument("y"), law=law, y=x_of_law, sigma=sigma, names=("x",))
    named(
        "papers.conditional_mean.ls",
        lambda out, y: pytest.fail("not y") if not np.array_equal(out, asarray(y)) else None,
        y=x_of_law,
    )
    named("papers.conditional_mean.posterior_variance", nonnegative, law=law, y=x_of_law, sigma=sigma, names=("x",))
    named(
        "papers.conditional_mean.excess",
        nonnegative,
        law=law,
        estimate=total,
        y=total,
        sigma=sigma,
        names=("x", "conditional_mean", "mmse"),
        infinite=True,
    )
    named(
        "papers.conditional_mean.denoiser_laplacian",
        as_argument("z"),
        law=mixture,
        z=x_of_law,
        v=positive,
        names=("x", "sigma"),
    )
    named(
        "papers.conditional_mean.reverse_kernel",
        check_kernel,
        law=mixture,
        z=x_of_law,
        v=positive,
        v_next=positive,
        names=("x", "sigma"),
    )
    entry(
        "papers.conditional_mean.normalised",
        lambda law, power: cm.normalised(law, power).mean,
        lambda out, law, **_: pytest.fail("shape") if out.shape != (law.dim,) else None,
        law=law,
        power=mostly(None, positive),
    )
    entry(
        "papers.conditional_mean.study",
        lambda **given: cm.study(**given),
        law=just(BASE["GaussianMixture"][0]),
        snr_db=just(0.0, 10, -20.0, [0.0], 1e6),
        steps=just([5], [5, 10], 3, [2], 0, []),
        samples=just(4, 2, 0),
        seed=just(0, 1, -1),
        method=just("mean", "ddim", "resample"),
        infinite=True,
    )
    entry(
        "papers.conditional_mean.fitted_mixture",
        lambda data, n_components, reg_covar, seed: (
            cm.fitted_mixture(data, n_components, reg_covar=reg_covar, seed=seed).mean
        ),
        data=array([6, 3, 1], d2),
        n_components=just(1, 1, 2, 0),
        reg_covar=just(1e-3, 0.1, -1.0),
        seed=just(0, 1, -1),
    )
    ENTRIES["papers.conditional_mean.fitted_mixture"].loose = ("data",)
    noises = just(random.Noise(0), random.Noise(5), None, 3)
    steps = just(0, 1, 2**64 - 1, -1)
    for name, axes in (("posterior_mean", ()), ("posterior_covariance", (DIM,)), ("predictive_covariance", (DIM,))):
        check = as_argument("total", *axes)
        named(f"papers.log_concavity.measurements.{name}", check, law=law, total=total, m=m, sigma=sigma, names=("x",))
    for name in ("posterior_mixture", "predictive_mixture"):
        entry(
            f"papers.log_concavity.measurements.{name}",
            lambda function=MIXTURES[name], **given: function(**given).mean,
            lambda out, law, **_: pytest.fail("shape") if out.shape != (law.dim,) else None,
            law=law,
            total=array([1, 1, 2], [DIM, DIM, 2]),
            m=m,
            sigma=sigma,
            names=("x", "means", "covariances", "points", "weights"),
        )
    for name in ("posterior_sample", "predictive_sample"):
        named(
            f"papers.log_concavity.measurements.{name}",
            as_argument("total"),
            law=law,
            total=total,
            m=m,
            sigma=sigma,
            noise=noises,
            step=steps,
            names=("x",),
        )
    rows_of = lambda out, y, **_: pytest.fail("rows") if len(out) != len(y) else None  # noqa: E731
    for name, check in (
        ("conditional_score", as_argument("y")),
        ("conditional_hessian", as_argument("y", DIM)),
        ("conditional_log_density", rows_of),
    ):
        options = dict(law=law, y=total, total=total, m=m, sigma=sigma, names=("x",))
        named(f"papers.log_concavity.measurements.{name}", check, **options)
    for name, check in (("joint_log_density", rows_of), ("joint_score", as_argument("y")), ("joint_hessian", rows_of)):
        named(
            f"papers.log_concavity.measurements.{name}",
            check,
            law=law,
            y=array([2, 1, 0], [2, 1, 0], [DIM, DIM, DIM, 2]),
            sigma=sigma,
            names=("x",),
        )
    named(
        "papers.log_concavity.measurements.restricted_gaussian_oracle",
        as_argument("y"),
        law=law,
        y=x_of_law,
        h=positive,
        noise=noises,
        step=steps,
        names=("x", "sigma", "total"),
    )
    line = just(
        GaussianMixture(None, [[0.0], [2.0]], 0.5),
        GaussianMixture([0.3, 0.7], [[0.0], [1.0]], [1.0, 0.1]),
        PointCloud([[0.0], [1.0]]),
        GaussianMixture(None, [[0.0, 1.0]], 1.0),
    )
    plain = just(1.0, 0.5, 2.0, 0.0, -1.0, 0.2)
    named("papers.log_concavity.measurements.fisher_information", nonnegative, law=line, names=("sigma",))
    named(
        "papers.log_concavity.measurements.line_quadrature",
        lambda out, **_: pytest.fail("shapes") if out[0].shape != out[1].shape else nonnegative(out[1]),
        law=line,
        sigma=plain,
    )
    named("papers.log_concavity.measurements.line_mmse", nonnegative, law=line, m=just(1, 2, 0, 3.0), sigma=plain)
    named("papers.log_concavity.measurements.line_jump_w2", nonnegative, law=line, m=just(1, 2, 0), sigma=plain)

    walk = just(
        walk_jump.ULA(1, 0.1),
        walk_jump.MALA(2, 0.5),
        walk_jump.Underdamped(1),
        walk_jump.ExactWalk(),
        walk_jump.ULA(0, 1.0),
        None,
        3,
    )
    for name in ("one_at_a_time", "all_at_once"):
        extra = {"start": just("jump", "previous", "x")} if name == "one_at_a_time" else {}
        entry(
            f"papers.log_concavity.walk_jump.{name}",
            lambda function=CHAINS[name], **given: [s] if dataclasses.is_dataclass(s := function(**given)) else list(s),
            check_run,
            law=law,
            m=just(1, 2, 0),
            sigma=sigma,
            n=just(2, 1, 0, -1),
            noise=noises,
            walk=walk,
            **extra,
            centre=mostly(None, array([DIM, DIM, 2])),
            names=("x", "step", "scale"),
        )
    named(
        "papers.log_concavity.walk_jump.langevin",
        lambda out, **given: as_argument("x")(getattr(out, "y", out), **given),
        law=just(BASE["GaussianMixture"][1], *BASE["GaussianMixture"]),
        x=x_of_law,
        noise=noises,
        walk=walk,
        unit=positive,
        report=mostly(False, just(True, 3)),
        names=("sigma",),
    )
    named(
        "papers.log_concavity.walk_jump.gaussian_one_at_a_time",
        check_axes,
        variances=array([2, 1, 3, 0], low=0),
        m=just(1, 2, 5, 0),
        sigma=sigma,
        walk=walk,
        start=just("jump", "previous"),
    )
    for name in ("ULA", "MALA"):
        named(f"papers.log_concavity.walk_jump.{name}", steps=count, step=positive)
    named("papers.log_concavity.walk_jump.Underdamped", steps=count, step=positive, friction=positive)
    entry(
        "papers.log_concavity.walk_jump.EstimatedLaw",
        lambda log_density, dim, draws, noise, sigma, y: (
            walk_jump.EstimatedLaw(log_density, dim, draws, noise).noised(1.0, sigma).denoise(y)
        ),
        as_argument("y"),
        log_density=just(
            lambda x: -np.sum(np.abs(x), axis=1),
            lambda x: np.zeros(len(x)),
            lambda x: np.where(x[:, 0] > 0, 0.0, -np.inf),
            lambda x: x,
            lambda x: np.full(len(x), np.nan),
            lambda x: np.full(len(x), -np.inf),
        ),
        dim=just(2, 1, 0),
        draws=just(4, 1, 0),
        noise=noises,
        sigma=sigma,
        y=array([2, 1, 0], [2, 2, 1]),
        names=("step",),
        fixed=("log_density",),
    )

    lc = certificates
    atoms = just(
        PointCloud([[0.0], [1.0]]),
        PointCloud([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]),
        PointCloud([[1.0, 2.0]]),
        GaussianMixture(None, [[0.0], [1.0]], 0.2),
        GaussianMixture(None, [[0.0], [1.0]], [0.2, 0.1]),
        Sphere(1.0, 2),
        PointCloud([[0.0], [0.0], [1.0]]),
    )
    cloud = array([3, 1, 4, 2, 0], d2)
    named(
        "papers.log_concavity.certificates.largest_posterior_variance",
        nonnegative,
        law=atoms,
        y=array([2, 1, 0], [1, 2]),
        sigma2=positive,
    )
    named("papers.log_concavity.certificates.enclosing_ball", check_ball, cloud=cloud)
    entry(
        "papers.log_concavity.certificates.exposed_pairs",
        lambda cloud, longest_only: list(lc.exposed_pairs(cloud, longest_only)),
        lambda pairs, cloud, **_: in_range(0, len(cloud) - 1)([list(pair[:2]) for pair in pairs]),
        cloud=cloud,
        longest_only=flag,
    )
    named(
        "papers.log_concavity.certificates.certify_log_concavity",
        lambda found, **_: pytest.fail("witness") if (found.witness is not None) != (found.status is False) else None,
        law=atoms,
        sigma2=positive,
        bound=mostly(None, positive),
        max_cells=just(50, 200, 0, 2.5),
        keep_leaves=flag,
        infinite=True,
    )
    named(
        "papers.log_concavity.certificates.log_concavity_threshold",
        check_bracket,
        law=atoms,
        rtol=just(0.1, 0.5, 1e-2, 0.0, -1.0),
        certify=just(False),
        max_cells=just(50, 0),
        infinite=True,
    )
    named(
        "papers.log_concavity.certificates.covariance_supremum",
        lambda out, **_: nonnegative(out[0]),
        cloud=cloud,
        weights=lambda d: np.ones(3) if d.byte() < 100 else weights(d.pick([3, 3, 1, 2]))(d),
        variance=positive,
        starts=just(None),
        rng=just(0, 3),
        loose=("rng",),
    )
    entry(
        "papers.log_concavity.certificates.rigorous_covariance",
        lambda cloud, weights, variance, y, prec: float(
            str(lc.rigorous_covariance(cloud, weights, variance, y, prec) is None) == "x"
        ),
        cloud=just([[0.0], [1.0]], [[0.0, 1.0], [1.0, 0.0]]),
        weights=just([0.5, 0.5], [1.0]),
        variance=positive,
        y=just([0.0], [0.5, 0.5]),
        prec=just(64, 128, 0),
    )
    grid = one_of(lambda d: np.linspace(-3.0, 3.0, d.pick([30, 9, 3, 2])), array([5, 3]))
    named("papers.log_concavity.certificates.spectral_gap", nonnegative, log_density=array([30, 9, 5]), grid=grid)

    covs = covariance_strategy
    grid = just(schedules.vp_linear(3), schedules.log_linear(3), schedules.edm(2), schedules.vp_linear(2, eps=0.01))
    entry(
        "output_laws.gaussian",
        lambda **given: gaussian(**given),
        check_gaussian,
        sampler=just(*samplers.REGISTRY, "no"),
        mean=array([2, 2, 2, 1]),
        cov=covs,
        grid=grid,
        start_mean=mostly(None, array([2, 1])),
        start_cov=mostly(None, covs),
        all_steps=flag,
        names=("step", "g"),
    )


_other_entries()

# ---------------------------------------------------------------------------------------------------------------- bounds

#: strategies by the name of the argument; (function, argument) first
n, dd = 3, 2
rows, vector, scalar_like = array([n], [dd]), array([n]), one_of(positive, real)


def steps_(d):
    """Relative steps, mostly in [0, 1)."""
    return array(4)(d) if d.chance(0.2) else layout(d, d.rng().random(4) * 0.9)


def matrices(d):
    a = d.rng().normal(size=(n, dd, dd))
    return array(n, dd, dd)(d) if d.chance(0.3) else a @ np.swapaxes(a, 1, 2)


def matrix(d):
    a = d.rng().normal(size=(dd, dd))
    return array(dd, dd)(d) if d.chance(0.3) else a @ a.T


def to_zero(d):
    """Levels that end at 0, mostly."""
    return levels(d) if d.chance(0.2) else np.append(np.cumsum(0.1 + d.rng().random(d.pick([3, 1, 5])))[::-1], 0.0)


number_or_rows = one_of(positive, positive, vector)
whole = just(2, 1, 3, 5, 10, 0, -1, 2.5, 100)
SCHEMES = just(
    "euler_maruyama", "proximal_backward", "proximal_hybrid", "exponential_integrator", "ddpm", "probability_flow", "no"
)
BY_NAME = {
    **dict.fromkeys(
        (
            "x",
            "y",
            "z",
            "projection",
            "estimate",
            "denoised",
            "at_mean",
            "expected",
            "base",
            "normal",
            "posterior_mean",
            "score_of_mean",
            "score_of_noised",
            "start",
        ),
        rows,
    ),
    **dict.fromkeys(("beta", "slopes", "delta", "errors", "steps", "g"), steps_),
    **dict.fromkeys(("curvature", "third", "score_t", "laplacian", "half_squares_", "weights", "r", "e", "slope"), vector),
    **dict.fromkeys(("covariance_of_next_mean", "posterior_covariance"), matrices),
    **dict.fromkeys(("mean_squared_covariance", "mean_posterior_covariance"), matrix),
    **dict.fromkeys(("N", "count", "dim", "dimension", "codimension", "ambient", "runs", "k", "m_new"), whole),
    **dict.fromkeys(("eta", "mu", "theta", "w", "alpha_bar", "alpha_bar_next", "mass"), unit),
    "scheme": SCHEMES,
    "kernel": just("small", "large", "no"),
    "which": just("kl", "reverse", "strong", "no", "trajectory"),
    "d": whole,
    "eps": number_or_rows,
    "distance": number_or_rows,
    "diffusion_q": number_or_rows,
    "log_q_of_mean": vector,
    "covariance": matrices,
    "hessian": matrices,
    "score": rows,
}
SPECIAL = {
    **{("tweedie_covariance", a): s for a, s in (("scale", positive), ("sigma", positive))},
    ("ddpm_budget", "t"): lambda d: layout(d, np.sort(0.1 + d.rng().random(3))[::-1].copy()),
    **{("ddpm_budget", a): lambda d: layout(d, d.rng().random(2)) for a in ("errors", "integrals")},
    ("smallest_steps", "of"): just("distance", "sigma", "no"),
    ("smallest_steps", "ratio"): unit,
    ("exact_projection_path", "sigma"): levels,
    ("ddpm_subspace_distance", "sigma"): levels,
    ("ddpm_subspace_distance", "start"): mostly(None, positive),
    ("half_smoothed_distance", "half_squares"): rows,
    ("near_set_error", "distances"): rows,
    ("near_set_error", "to_projection"): rows,
    ("splitting_map", "score"): just(lambda y: -y, lambda y: 0 * y),
    ("splitting_map", "v"): rows,
    ("splitting_map", "xi"): rows,
    ("ddim_coordinates", "eps"): rows,
    ("joint_log_density", "y"): array([n], [2, 1], [dd]),
    ("score_estimator", "log_values"): array([n], [4]),
    ("score_estimator", "eps"): array([n], [4], [dd]),
    ("posterior_covariance_derivative", "weights"): array([n], [4], low=0),
    ("posterior_covariance_derivative", "deviations"): array([n], [4], [dd]),
    ("posterior_covariance_derivative", "u"): array(dd),
    ("posterior_covariance_derivative", "w"): array(dd),
    ("gaussian_chain", "mean"): array(dd),
    ("gaussian_chain", "eigenvalues"): array(dd, low=0),
    ("gaussian_chain", "eigenvectors"): matrix,
    ("multi_measurement_mean", "mean"): rows,
    ("discrete_prior_mmse", "points"): array([4], [dd]),
    ("discrete_prior_mmse", "weights"): array([4], low=0),
    ("heun_gaussian_error", "sigma"): vector,
    ("chain_rule_of_measurements", "conditional_log_densities"): array([4], [n]),
    ("end_to_end", "eta"): steps_,
    ("linear_estimator_mmse", "covariance"): matrix,
    ("posterior_mean_w2_sandwich", "covariance"): matrix,
    ("interpolating_process", "x"): vector,
    ("interpolating_process", "y"): vector,
    ("interpolating_process", "score"): vector,
    ("backward_error_field", "x"): vector,
    ("backward_error_field", "score"): vector,
    ("hybrid_error_field", "x"): vector,
    ("hybrid_error_field", "score"): vector,
    ("prox_update", "g"): positive,
    ("matching_bias", "hessian"): matrix,
    ("matching_bias", "grad_laplacian"): array(dd),
    ("matching_bias", "d"): just(2, 2, 1, 3),
    ("limit_ode", "v"): positive,
    ("standard_normal_variance", "start"): positive,
    ("standard_normal_variance", "g"): positive,
    ("local_weak_error", "g"): positive,
    ("gaussian_leading_kl", "g"): positive,
    ("ula_chain_variance", "steps"): whole,
    ("mean_step", "alpha_bar"): unit,
    ("ula_chain_variance", "m"): whole,
    ("snr_mismatch", "mean"): positive,
    ("decoupled_radius", "delta"): positive,
    ("two_point_every_grid", "y"): vector,
    ("two_point_plateau", "nodes"): just(101, 51, 3, 0),
    ("mode_weight_floor", "n"): positive,
    ("gap_formula", "v"): array(n, low=0),
    ("stepwise_error", "slopes"): array(4, low=0),
    ("stepwise_error", "delta"): positive,
    ("a_posteriori_sandwich", "eta"): steps_,
    ("resampling_variance", "v"): to_zero,
    ("ddim_gaussian_deviation", "sigma"): to_zero,
    ("gap_formula", "laplacian"): array(n, [2, 1], dd),
    ("gap_formula", "weights"): vector,
    ("budget_inequality", "steps"): steps_,
    ("squared_w2_to_laws_on_set", "weights"): mostly(None, vector),
    ("backward_euler_maruyama_gaussian", "N"): just(1, 2, 5, 0),
    ("small_noise_gap", "third"): one_of(positive, vector),
    ("band_usage", "distance"): one_of(vector, just(np.float64(1.0), np.array(2.0))),
    ("band_ok", "distance"): one_of(vector, just(np.float64(1.0))),
}


# What a value must satisfy besides being a number: relations that hold for every argument, or under the hypotheses that
# `where` writes down. In a claim, ``v`` is the value and ``a`` the arguments, numbers as float64 arrays.


def below(low, high, scale=0.0):
    """``low <= high`` to rounding."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    slack = 64 * EPS * (np.abs(low) + np.abs(high) + scale)
    return (low <= high) | (low - high <= np.where(np.isfinite(slack), slack, 0.0))


def same(one, other, scale=0.0):
    return below(one, other, scale) & below(other, one, scale)


def numbers(value):
    """float64 array of a number or of numbers; words, functions and None as they are."""
    plain = value is None or isinstance(value, str) or callable(value)
    return value if plain else np.asarray(value, dtype=np.float64)


def parts(value):
    return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else [value]


def tame(a):
    """Every number is 0 or of ordinary size: no square, product or quotient of a few leaves the range of floats."""
    sizes = [np.abs(v) for v in vars(a).values() if isinstance(v, np.ndarray)]
    return all(np.all((s == 0) | ((s > 1e-30) & (s < 1e30))) for s in sizes)


def psd(a):
    return np.array_equal(a, np.swapaxes(a, -1, -2)) and np.all(np.linalg.eigvalsh(a) >= 0)


def claims(holds=None, where=None, shape=None, ordinary=False):
    """A check: each part has ``shape(a)``; where ``where(a)``, and `tame(a)` if ``ordinary``, ``holds(v, a)`` is true."""

    def check(value, /, **given):
        a = types.SimpleNamespace(**{k: numbers(v) for k, v in given.items()})
        if shape is not None:
            found, expected = [np.shape(part) for part in parts(value)], tuple(shape(a))
            assert all(f == expected for f in found), f"shapes {found}, documented {expected}"
            check.met += holds is None
        if holds is not None and (not ordinary or tame(a)) and (where is None or np.all(where(a))):
            check.met += 1
            assert np.all(holds(value, a)), "the value breaks what its docstring says of it"

    check.met = 0  # how often the claim was put to the test
    check.holds = holds
    return check


def shaped(*names, holds=None, **more):
    """The shape to which these arguments broadcast."""
    return claims(holds, shape=lambda a: np.broadcast_shapes(*(getattr(a, n).shape for n in names)), **more)


def at_least_0(value, _):
    return all(np.all(np.asarray(part) >= 0) for part in parts(value))


def between(low, high):
    return lambda value, _: all(np.all((np.asarray(p) >= low) & (np.asarray(p) <= high)) for p in parts(value))


def ordered(value, _):
    """Parts in rising order."""
    return all(np.all(below(low, high)) for low, high in pairwise(parts(value)))


def signs(*names):
    """These arguments are nonnegative."""
    return lambda a: all(np.all(getattr(a, n) >= 0) for n in names)


def _constants_at_0(variance, diameter):
    """`mixture_lipschitz` at t = 0; infinities where the variance is 0, which that function refuses."""
    return of_bound("proximal.mixture_lipschitz")(variance, diameter) if variance > 0 else (np.inf, np.inf)


def of_bound(name):
    """The function itself, to compare its values at other arguments."""
    module, _, function = name.partition(".")
    return getattr(import_module(f"exactdiffusion.statements.{module}"), function)


def products(v, a):
    """Two-sided products: 0 <= lower <= upper, the lower one decreasing along the steps."""
    return np.all(v[0] >= 0) and ordered(v, a) and np.all(below(v[0][1:], v[0][:-1]))


def relative_steps(a):
    return np.all((a.beta >= 0) & (a.beta <= 1)) and np.all(a.eta >= 0) and np.all(a.distance >= 0)


def admissible_monotone(v, a):
    return not v or (v == of_bound("projection.is_admissible")(a.beta, a.eta / 2, 2 * a.nu))


def definition_agrees(v, a):
    """Away from the boundary, where rounding decides, the literal definition and its one-line test agree."""
    excess = of_bound("projection.admissibility_excess")(a.beta, a.eta, a.nu)
    return abs(excess) < 1e-6 or v == (excess < 0)


def band_by_definition(v, a):
    """Away from the edges by a factor 2, where rounding does not decide."""
    radius, width = np.sqrt(a.dimension) * a.sigma, a.nu * (1 + a.rtol)
    outside = (a.distance > 2 * width * radius) | (radius > 2 * width * a.distance)
    inside = (2 * a.distance <= width * radius) & (2 * radius <= width * a.distance) & (radius > 0)
    return np.asarray(v).dtype == bool and not np.any(v & outside) and bool(np.all(v | ~np.asarray(inside)))


def projection_path(v, a):
    size = np.abs(a.start).max() + np.abs(a.projection).max()
    end = np.abs(v[-1] - a.projection).max() if a.sigma[-1] == 0 else 0.0
    return np.abs(v[0] - a.start).max() <= 8 * EPS * size and end <= 8 * EPS * size


def unit_rows(v, a):
    size = np.abs(v[0]).max(axis=1)
    rows = (size > 1e-100) & (size < 1e100)
    return np.abs(np.linalg.norm(v[1][rows], axis=1) - 1) <= 8 * EPS


def kl_square(v, a):
    terms = np.abs(a.weights) * (np.abs(a.r * a.e) + a.diffusion_q * a.r**2 + a.e**2 / a.diffusion_q)
    return v[0] <= v[1] + 64 * EPS * np.sum(terms)


def in_hull_of_eps(v, a):
    low, high = a.eps.min(axis=-2) / np.sqrt(a.s), a.eps.max(axis=-2) / np.sqrt(a.s)
    slack = 64 * EPS * np.maximum(np.abs(low), np.abs(high))
    return (v >= low - slack) & (v <= high + slack)


def sandwich_of_w2(v, a):
    """Only where 0 <= E C <= Lambda; eigenvalues near 0 lose half their digits in the square root."""
    return v[0] <= v[1] + 4 * np.sqrt(EPS) * np.trace(np.atleast_2d(a.covariance))


def steps_reach(v, a):
    return v == int(v) and v >= 0 and (v == 0 or a.T / v * (a.L + 0.5) <= 0.5 * (1 + 1e-14))


def opposite(v, a):
    mirror = {"euler_maruyama": "proximal_backward", "proximal_backward": "euler_maruyama"}.get(a.scheme)
    rest = {k: w for k, w in vars(a).items() if k != "scheme"}
    return mirror is None or np.all(same(v, -of_bound("proximal.local_weak_error")(mirror, **rest)))


def radii(v, a):
    """1 <= root <= half of the logarithm <= whole."""
    names = ("near_set_radius_exact", "near_set_radius_half_log", "near_set_radius")
    exact, half, whole = (of_bound(f"projection.{n}")(a.distance, a.sigma, a.count, a.eta) for n in names)
    return np.all(below(1.0, v)) and np.all(below(exact, half)) and np.all(below(half, whole))


ROWS = lambda a: a.x.shape  # noqa: E731
OF_BETA = lambda a: np.broadcast_shapes(a.beta.shape, a.eta.shape, a.distance.shape)  # noqa: E731
CHAIN = lambda a: (np.all(a.m >= 1)) & np.all(a.sigma2 > 0) & np.all(a.tau2 >= 0)  # noqa: E731
STEPS = lambda a: np.all(a.steps >= 0)  # noqa: E731

#: "module.function" -> check
CLAIMS = {
    "foundations.tweedie_denoiser": claims(shape=ROWS),
    "foundations.tweedie_covariance": claims(shape=lambda a: a.hessian.shape),
    "foundations.ddim_gaussian_deviation": claims(at_least_0),
    "projection.one_step_distance": claims(lambda v, a: ordered(v, a) and np.all(v[1] >= 0), relative_steps, OF_BETA),
    "projection.is_admissible": claims(admissible_monotone, ordinary=True),
    "projection.admissibility_excess": claims(lambda v, a: below(-np.log(a.nu), v)),
    "projection.admissible_by_definition": claims(
        definition_agrees, lambda a: np.all((a.beta >= 0) & (a.beta < 1)) and 0 <= a.eta < 1 <= a.nu, ordinary=True
    ),
    "projection.admissibility": claims(lambda v, a: below(v, np.log(a.nu))),
    "projection.ddim_distance_sandwich": claims(products, relative_steps),
    "projection.beta_star": shaped("eta", "nu", "start_ratio", holds=between(0, 1)),
    "projection.smallest_admissible_nu": claims(lambda v, a: v >= 1),
    "projection.largest_admissible_eta": claims(
        lambda v, a: 0 <= v < 1 and (v == 0 or of_bound("projection.admissibility_excess")(a.beta, v, a.nu) <= 0)
    ),
    "projection.band_usage": shaped(
        "distance", "sigma", "dimension", holds=lambda v, a: np.asarray(v) >= 1, where=signs("distance", "sigma")
    ),
    "projection.exact_projection_path": claims(
        projection_path, shape=lambda a: (len(a.sigma), *a.start.shape), ordinary=True
    ),
    "projection.a_posteriori_sandwich": claims(products, relative_steps),
    "projection.best_admissible_products": claims(lambda v, a: ordered(v, a) and between(0, 1)(v, a)),
    "projection.admissible_limits": claims(lambda v, a: between(0, 1)(v, a) and below(v[1], v[0]) and below(v[0], v[2])),
    "projection.admissible_limit_rates": claims(at_least_0),
    "projection.gradient_estimation_gamma": shaped(
        "a",
        "b",
        "c",
        where=lambda a: (a.a > 0) & (a.a * a.c > a.b**2),
        ordinary=True,
        holds=lambda v, a: same(
            v + of_bound("projection.gradient_estimation_gamma")(a.c, a.b, a.a),
            1.0,
            (a.a + 2 * np.abs(a.b) + a.c) / (a.a + 2 * a.b + a.c),
        ),
    ),
    "projection.gradient_estimation_filter": claims(
        lambda v, a: same(v, 1 - np.prod(1 - a.beta), 1 + np.abs(a.gamma)), lambda a: a.q == 1, ordinary=True
    ),
    "projection.gradient_estimation_gaussian_error": claims(
        lambda v, a: v * (a.gamma - 1.5) >= 0,
        lambda a: (a.sigma_max > a.sigma_min) & (a.sigma_min > 0) & (a.variance > 0) & (a.N > 0),
    ),
    "projection.ddim_coordinates": shaped("x", "eps", holds=lambda v, a: np.array_equal(v, a.x) or a.sigma != a.sigma_next),
    "projection.ddpm_coordinates": claims(
        lambda v, a: v[0] <= a.sigma_next * (1 + 64 * EPS * (1 + np.abs(np.log(a.sigma))) / (1 - a.mu)),
        lambda a: (a.sigma_next > 0) & (a.sigma_next <= a.sigma),
        ordinary=True,
    ),
    "projection.ddpm_subspace_distance": claims(
        lambda v, a: v >= -64 * EPS * a.codimension * a.sigma**2,
        lambda a: (
            np.all(np.diff(a.sigma) <= 0)
            and np.all(a.sigma >= 0)
            and 0 <= a.mu < 1
            and a.codimension >= 0
            and (a.start is None or a.start >= 0)
        ),
        shape=lambda a: a.sigma.shape,
        ordinary=True,
    ),
    "projection.distance_gradient": claims(unit_rows, shape=ROWS),
    "projection.segment_invariance": claims(
        lambda v, a: v[0].shape == a.x.shape and v[1].shape == a.x.shape[:1] and np.all(v[1] >= 0), lambda a: a.theta >= 0
    ),
    "projection.relative_error": claims(lambda v, a: v >= 0, lambda a: a.distance > 0, lambda a: a.estimate.shape[:1]),
    "projection.band_ok": claims(band_by_definition, ordinary=True),
    "projection.projection_is_unique": shaped(
        "gap",
        "distance",
        where=lambda a: np.all(a.gap <= 0) & np.all(a.distance >= 0) & np.all(a.rtol >= 0),
        holds=lambda v, a: not np.any(v),
    ),
    "projection.continuity_obstruction": shaped(
        "separation", "distance", holds=at_least_0, where=lambda a: (a.separation >= 0) & (a.distance > 0)
    ),
    "projection.normal_offset": claims(
        lambda v, a: (
            v[0].shape == a.base.shape
            and v[1].shape == a.base.shape[:1]
            and np.all(np.isnan(v[1]) | ((v[1] >= 0) & (v[1] < a.reach)))
            and np.array_equal(v[0][~np.isnan(v[1])], np.broadcast_to(a.base, v[0].shape)[~np.isnan(v[1])])
        )
    ),
    "projection.oracle_denoising": shaped(
        "sigma",
        "tangent",
        "normal",
        "reach",
        where=signs("sigma", "tangent", "normal", "reach"),
        holds=lambda v, a: at_least_0((v[0], v[2]), a) and ordered(v[1:], a),
    ),
    "projection.oracle_denoising_whp": claims(
        lambda v, a: (
            0 <= v["error"] <= v["reach"]
            and v["low"] <= v["high"]
            and 0 <= v["all_probability"] <= v["error_probability"] <= 1
        )
    ),
    "projection.hull_denoiser_error": shaped("diameter", "distance", holds=at_least_0),
    "projection.half_smoothed_distance": claims(
        lambda v, a: (
            below(v, np.min(a.half_squares, axis=1), a.sigma**2)
            & below(np.min(a.half_squares, axis=1) - a.sigma**2 * np.log(a.half_squares.shape[1]), v, a.sigma**2)
        ),
        shape=lambda a: a.half_squares.shape[:1],
        ordinary=True,
    ),
    "projection.smoothed_distance_gradient": claims(shape=ROWS),
    "projection.smoothed_distance_hessian": claims(
        lambda v, a: np.diagonal(v, axis1=1, axis2=2) <= 1,
        lambda a: np.all(np.diagonal(a.covariance, axis1=1, axis2=2) >= 0),
        lambda a: a.covariance.shape,
    ),
    "projection.smoothed_distance_sandwich": shaped(
        "distance", "sigma", holds=lambda v, a: ordered(v, a) and np.all(v[1] >= 0)
    ),
    "projection.near_set_error": claims(
        lambda v, a: below(a.eta * np.min(a.distances, axis=1), v),
        signs("distances", "to_projection", "eta"),
        lambda a: a.distances.shape[:1],
    ),
    **dict.fromkeys(
        ("projection.near_set_radius", "projection.near_set_radius_half_log", "projection.near_set_radius_exact"),
        shaped("distance", "sigma", "count", "eta", where=lambda a: a.distance > 0, holds=radii, ordinary=True),
    ),
    "projection.squared_w2_to_laws_on_set": claims(at_least_0, lambda a: a.weights is None or np.all(a.weights >= 0)),
    "proximal.prox_update": claims(lambda v, a: np.shape(v[0]) == a.x.shape and v[1] >= a.g),
    "proximal.interpolating_process": claims(shape=ROWS),
    "proximal.kl_derivative": claims(kl_square, lambda a: np.all(a.weights >= 0) & np.all(a.diffusion_q > 0), ordinary=True),
    "proximal.backward_error_field": claims(shape=ROWS),
    "proximal.hybrid_error_field": claims(shape=ROWS),
    "proximal.budget_inequality": claims(lambda v, a: v >= a.initial, STEPS),
    "proximal.forward_convergence": claims(
        lambda v, a: v >= 0 and below(of_bound("proximal.forward_convergence")(2 * a.T, a.second_moment, int(a.d)), v),
        ordinary=True,
    ),
    **dict.fromkeys(
        ("proximal.backward_kl", "proximal.hybrid_trajectory_kl", "proximal.euler_maruyama_trajectory_kl"),
        claims(lambda v, a: v >= a.initial),
    ),
    "proximal.backward_steps": claims(steps_reach),
    "proximal.trajectory_leading": shaped(
        "g", "curvature_integral", holds=at_least_0, where=signs("g", "curvature_integral")
    ),
    "proximal.kl_order": claims(lambda v, a: v == (-2 if a.which == "marginal" else -1)),
    "proximal.gaussian_errors": claims(lambda v, a: v[1] * a.mu * (-1 if a.scheme == "proximal_backward" else 1) <= 0),
    "proximal.gaussian_leading_kl": claims(at_least_0),
    "proximal.standard_normal_variance": claims(at_least_0, signs("start")),
    "proximal.local_weak_error": claims(opposite),
    "proximal.step_threshold": claims(lambda v, a: v > 0),
    "proximal.two_mode_curvature": shaped("m", "v", holds=lambda v, a: v >= -1 / a.v, where=lambda a: a.v > 0),
    "proximal.mixture_lipschitz": claims(at_least_0),
    "proximal.mixture_constants": claims(lambda v, a: all(map(below, _constants_at_0(a.variance, a.diameter), v))),
    "proximal.score_second_moment": shaped("L", holds=at_least_0),
    "ddpm.ddpm_budget": claims(
        lambda v, a: of_bound("ddpm.ddpm_budget")(2 * a.initial, 2 * a.errors, a.t, 2 * a.integrals) == 2 * v, ordinary=True
    ),
    "ddpm.ddpm_kl": shaped(
        "second_moment", "T", "h", "information", holds=lambda v, a: below(a.second_moment / a.T / 2, v), ordinary=True
    ),
    "ddpm.ddpm_kl_sharp": shaped(
        "second_moment",
        "T",
        "h",
        "information",
        where=lambda a: a.h <= 0.5,
        ordinary=True,
        holds=lambda v, a: below(v, of_bound("ddpm.ddpm_kl")(a.second_moment, a.T, a.h, a.information)),
    ),
    "ddpm.information_of_dimension": claims(lambda v, a: v >= a.d),
    "ddpm.information_of_entropy": shaped("mutual_information", holds=at_least_0),
    "ddpm.information_of_covering": shaped("count", holds=lambda v, a: v >= 0.5),
    "ddpm.smoothing_kl": shaped("beta", "delta", holds=at_least_0),
    "proximal_dimension.mean_grad_laplacian": shaped(
        "L",
        holds=lambda v, a: same(v**2, a.L**2 * of_bound("proximal.score_second_moment")(int(a.d), a.L), v**2),
        ordinary=True,
    ),
    "proximal_dimension.score_energy": shaped(
        "L", holds=lambda v, a: same(v, 2 * a.L * of_bound("proximal.score_second_moment")(int(a.d), a.L), v), ordinary=True
    ),
    "proximal_dimension.score_speed": shaped(
        "start",
        "end",
        holds=lambda v, a: np.all(of_bound("proximal_dimension.score_speed")(a.end, a.start) == -v),
        ordinary=True,
    ),
    "proximal_dimension.grad_laplacian_integral": shaped(
        "L",
        "T",
        holds=lambda v, a: below(2 * of_bound("proximal_dimension.score_energy")(int(a.d), a.L), v),
        ordinary=True,
    ),
    "proximal_dimension.backward_kl_dimension": claims(lambda v, a: np.all(v >= a.initial)),
    "proximal.matching_bias": claims(shape=lambda a: a.grad_laplacian.shape),
    "conditional_mean.mean_step": claims(shape=ROWS),
    "conditional_mean.one_step_exact": claims(lambda v, a: np.array_equal(v, a.denoised)),
    "conditional_mean.gaussian_chain": claims(shape=lambda a: a.y.shape),
    "conditional_mean.jensen_identity": claims(shape=lambda a: a.expected.shape[1:]),
    "conditional_mean.limit_ode": shaped("v", "z", "denoised"),
    "conditional_mean.gap_formula": claims(shape=lambda a: a.laplacian.shape[1:]),
    "conditional_mean.limit_is_cme_iff_gaussian": claims(lambda v, a: v >= 0 and (v == 0) == (not np.any(a.laplacian))),
    "conditional_mean.small_noise_gap": shaped("v_hat", "third"),
    "conditional_mean.two_point_plateau": claims(
        lambda v, a: 0 <= v[1] <= v[0] * (1 + 64 * EPS) and v[0] <= 2 and v[1] <= 1 + 64 * EPS
    ),
    "conditional_mean.two_point_every_grid": shaped(
        "y",
        "v_hat",
        "v_1",
        where=lambda a: np.all(a.y > 0) and 0 < a.v_1 < a.v_hat,
        holds=lambda v, a: below(np.tanh(a.y / a.v_hat), v) & (v <= 1),
    ),
    "conditional_mean.schedules_share_the_limit": claims(at_least_0),
    "conditional_mean.long_first_step": claims(
        lambda v, a: below(a.v_second / a.v_hat * a.residual, v) & (v >= 0), ordinary=True
    ),
    "conditional_mean.step_slope_lower": shaped(
        "alpha_bar",
        "alpha_bar_next",
        holds=lambda v, a: (v >= 0) & below(v, 1.0),
        where=lambda a: (a.alpha_bar > 0) & (a.alpha_bar < a.alpha_bar_next) & (a.alpha_bar_next <= 1),
    ),
    "conditional_mean.step_slope_log_concave": shaped(
        "v",
        "v_next",
        "m",
        holds=lambda v, a: (v >= 0) & (v <= 1),
        where=lambda a: (a.m >= 0) & (a.v_next >= 0) & (a.v_next <= a.v),
    ),
    "conditional_mean.step_slope_bounded_support": shaped(
        "v", "v_next", "radius", holds=at_least_0, where=lambda a: (a.v_next >= 0) & (a.v_next <= a.v)
    ),
    "conditional_mean.stepwise_error": claims(lambda v, a: v >= a.delta),
    "conditional_mean.resampling_variance": claims(
        lambda v, a: (v >= 0) & ((a.kernel == "large") | below(v, a.lam * a.v[0] / (a.lam + a.v[0]))),
        lambda a: a.lam > 0,
        shape=lambda a: a.lam.shape,
        ordinary=True,
    ),
    **dict.fromkeys(
        ("conditional_mean.exact_resampling", "conditional_mean.averaged_resampling"),
        claims(lambda v, a: (a.mmse <= v) & (v <= 2 * a.mmse), signs("mmse")),
    ),
    "conditional_mean.generation_collapse": shaped(
        "v_T", "lam", holds=at_least_0, where=lambda a: (a.v_T >= 0) & (a.lam > 0)
    ),
    "conditional_mean.snr_mismatch": shaped("y", "mean", "lam", "level", "v_hat"),
    "conditional_mean.ddim_as_denoiser": shaped(
        "lam",
        "v_hat",
        holds=lambda v, a: (v >= 0) & below(v, a.lam),
        where=lambda a: (a.lam > 0) & (a.v_hat >= 0),
        ordinary=True,
    ),
    "conditional_mean.orthogonality": shaped(
        "mmse", "excess", holds=lambda v, a: v >= np.maximum(a.mmse, a.excess), where=signs("mmse", "excess")
    ),
    "log_concavity.ula_gaussian_variance": shaped("lam", "gamma", holds=lambda v, a: v >= a.lam),
    "log_concavity.ula_strongly_log_concave": claims(
        at_least_0, lambda a: 0 < a.a <= a.L and signs("k", "w2_start", "dim")(a)
    ),
    "log_concavity.langevin_contraction": claims(
        lambda v, a: (v[0] >= 0) & (v[0] <= a.w2_start) & (v[1] >= 0) & (v[1] <= a.kl_start),
        signs("t", "a", "w2_start", "kl_start"),
    ),
    "log_concavity.ornstein_uhlenbeck_level": shaped(
        "t", holds=lambda v, a: between(0, 1)(v, a) and np.all(np.abs(v[0] ** 2 + v[1] ** 2 - 1) <= 8 * EPS)
    ),
    "log_concavity.forward_mixing": claims(
        lambda v, a: (v[0] >= 0) & (v[0] <= a.w2_start) & (v[1] >= 0) & (v[1] <= a.kl_start),
        signs("T", "w2_start", "kl_start"),
    ),
    "log_concavity.backward_drift": shaped("y", "score"),
    "log_concavity.backward_euler_maruyama_gaussian": claims(lambda v, a: v[1] > 0, signs("variance")),
    "log_concavity.rescaled_score": claims(shape=lambda a: a.score_of_noised.shape),
    "log_concavity.backward_noise_levels": claims(
        lambda v, a: np.all(v[1:] <= v[:-1]) and v[-1] == 0, shape=lambda a: (int(a.N) + 1,)
    ),
    "log_concavity.denoiser_lipschitz": claims(
        lambda v, a: (
            below(v * a.v, np.trace(a.covariance, axis1=1, axis2=2))
            & below(np.trace(a.covariance, axis1=1, axis2=2) / dd, v * a.v)
        ),
        lambda a: a.v > 0 and psd(a.covariance),
        lambda a: a.covariance.shape[:1],
        ordinary=True,
    ),
    "log_concavity.posterior_covariance_derivative": claims(
        lambda v, a: below(
            np.abs(v),
            np.max(np.abs(a.deviations @ a.w), axis=-1) * np.sum(a.weights * (a.deviations @ a.u) ** 2, axis=-1) / a.v,
        ),
        lambda a: np.all(a.weights >= 0) and a.v > 0,
        lambda a: a.weights.shape[:1],
        ordinary=True,
    ),
    "log_concavity.score_matching_objective": claims(lambda v, a: v >= 2 * a.laplacian, shape=lambda a: a.score.shape[:1]),
    "log_concavity.denoising_score_matching": shaped(
        "mmse", "v", "score_error", holds=lambda v, a: v >= a.mmse, where=signs("score_error")
    ),
    "log_concavity.mean_covariance_derivative": claims(shape=lambda a: a.mean_squared_covariance.shape),
    "log_concavity.joint_log_density": claims(
        lambda v, a: np.all(below(v, a.log_q_of_mean)) or a.y.shape[1] > 1, shape=lambda a: a.log_q_of_mean.shape
    ),
    "log_concavity.multi_measurement_mean": shaped("mean", "score_of_mean"),
    "log_concavity.next_measurement_score": shaped("posterior_mean", "y"),
    "log_concavity.next_measurement_hessian": claims(
        lambda v, a: below(-1 / a.sigma**2, np.diagonal(v, axis1=1, axis2=2)),
        lambda a: np.all(np.diagonal(a.posterior_covariance, axis1=1, axis2=2) >= 0),
        lambda a: a.posterior_covariance.shape,
        ordinary=True,
    ),
    "log_concavity.posterior_mean_w2": shaped(
        "m", "sigma", "dim", holds=at_least_0, where=lambda a: (a.m > 0) & (a.dim >= 0)
    ),
    "log_concavity.posterior_mean_w2_sandwich": claims(
        sandwich_of_w2,
        lambda a: psd(a.mean_posterior_covariance) and psd(a.covariance - a.mean_posterior_covariance),
        ordinary=True,
    ),
    "log_concavity.curvature_covariance_bounds": claims(
        lambda v, a: at_least_0(v, a) and ordered(v, a), lambda a: a.a <= a.b
    ),
    "log_concavity.fisher_information_w2": claims(at_least_0, lambda a: a.m > 0),
    "log_concavity.discrete_prior_mmse": claims(at_least_0, signs("weights")),
    "log_concavity.linear_estimator_mmse": claims(
        lambda v, a: (
            v >= 0
            and below(v, np.trace(np.atleast_2d(a.covariance)))
            and below(v, len(np.atleast_2d(a.covariance)) * a.sigma**2 / a.m)
        ),
        lambda a: a.m > 0 and a.sigma > 0 and psd(np.atleast_2d(a.covariance)),
        ordinary=True,
    ),
    "log_concavity.expected_next_covariance": shaped("posterior_covariance", "covariance_of_next_mean"),
    "log_concavity.predictive_moments": claims(
        lambda v, a: (
            np.array_equal(v[0], a.posterior_mean)
            and np.all(np.diagonal(v[1] - a.posterior_covariance, axis1=1, axis2=2) >= 0)
        )
    ),
    "log_concavity.chain_rule_of_measurements": claims(shape=lambda a: a.conditional_log_densities.shape[1:]),
    "log_concavity.expected_conditional_curvature": claims(
        lambda v, a: at_least_0(v, a) and ordered(v, a), lambda a: a.m >= 1
    ),
    "log_concavity.equivalent_sigma": claims(
        lambda v, a: v >= 0 and same(v**2 / a.m_new, a.sigma**2 / a.m),
        lambda a: a.sigma >= 0 and a.m > 0 and a.m_new > 0,
        ordinary=True,
    ),
    "log_concavity.conforti_kl": shaped(
        "T",
        "h",
        "kl_start",
        "information_start",
        where=signs("T", "h", "kl_start", "information_start"),
        holds=lambda v, a: v >= a.h * a.information_start,
    ),
    "log_concavity.restricted_gaussian_oracle_contraction": claims(
        lambda v, a: (v[1] >= 0) & (v[1] <= v[0]) & (v[0] <= 1), signs("a", "h")
    ),
    "log_concavity.heun_gaussian_error": claims(shape=lambda a: ()),
    "log_concavity.ula_log_sobolev": claims(
        lambda v, a: v >= 6 * a.h * a.dim * a.L**2 / a.a * (1 - 8 * EPS), lambda a: a.a > 0 and signs("kl_start", "dim")(a)
    ),
    "log_concavity.score_error_kl": claims(at_least_0, signs("kl_start", "information_start")),
    "log_concavity.early_stopping_w2": claims(at_least_0),
    "log_concavity.log_concavity_window": claims(lambda v, a: v[0] >= 0 and v[1] > 0, ordinary=True),
    "log_concavity.strongly_log_concave_w2": claims(at_least_0, signs("w2_start", "score_error")),
    "log_concavity_thresholds.largest_curvature": shaped(
        "posterior_variance", "v", holds=lambda v, a: v >= -1 / a.v, where=lambda a: (a.posterior_variance >= 0) & (a.v > 0)
    ),
    "log_concavity_thresholds.smoothed_threshold": shaped(
        "threshold", "tau2", holds=lambda v, a: (v >= 0) & ((v <= np.maximum(a.threshold, 0)) | (a.tau2 < 0))
    ),
    "log_concavity_thresholds.radius_threshold": shaped(
        "R", "tau2", holds=lambda v, a: (v >= 0) & ((v <= a.R**2) | (a.tau2 < 0))
    ),
    "log_concavity_thresholds.half_diameter_threshold": shaped(
        "D", "tau2", holds=lambda v, a: (v >= 0) & ((v <= a.D**2 / 4) | (a.tau2 < 0))
    ),
    "log_concavity_thresholds.jung_radius": shaped(
        "D",
        "d",
        holds=lambda v, a: below(a.D / 2, v) & below(v, a.D / np.sqrt(2)),
        where=lambda a: (a.D >= 0) & (a.d >= 1),
        ordinary=True,
    ),
    "log_concavity_thresholds.atoms_threshold": claims(
        lambda v, a: at_least_0(v, a) and ordered(v, a), lambda a: (a.edge >= 0) & (a.edge <= a.D)
    ),
    "log_concavity_thresholds.two_gaussians_curvature": shaped(
        "mu_norm",
        "v",
        "projection",
        "w",
        where=lambda a: a.v > 0,
        ordinary=True,
        holds=lambda v, a: below(-1 / a.v, v) & below(v, (a.mu_norm**2 / a.v - 1) / a.v, 1 / a.v),
    ),
    "log_concavity_thresholds.unimodality_margin": shaped(
        "ratio", "w", holds=lambda v, a: ((v >= 0) | (a.ratio > 1)) & (v <= np.abs(np.log(a.w / (1 - a.w))) / 2 * (1 + EPS))
    ),
    "log_concavity_thresholds.curvature_bounds": claims(ordered),
    "log_concavity_thresholds.condition_number": claims(lambda v, a: v >= 1, CHAIN),
    **dict.fromkeys(
        ("log_concavity_thresholds.curvature_lower_bound", "log_concavity_thresholds.spectral_gap_lower_bound"),
        claims(
            lambda v, a: (
                below(v, 1 / a.sigma2)
                & (
                    below(
                        v,
                        of_bound("log_concavity_thresholds.curvature_lower_bound")(a.m + 1, a.sigma2, a.tau2, a.R),
                        1 / a.sigma2,
                    )
                    | (a.sigma2 < a.R**2 - a.tau2)
                )
            ),
            CHAIN,
            ordinary=True,
        ),
    ),
    "log_concavity_thresholds.once_log_concave": claims(
        lambda v, a: (v >= 0) & (v <= a.sigma2), lambda a: (a.m >= 1) & (a.sigma2 >= 0)
    ),
    "log_concavity_thresholds.all_at_once_curvature": claims(
        lambda v, a: v >= -1 / a.sigma2, lambda a: (a.m >= 0) & (a.sigma2 > 0) & (a.posterior_variance >= 0)
    ),
    "log_concavity_thresholds.blurring_threshold": shaped("D", holds=at_least_0),
    "log_concavity_thresholds.sphere_threshold": shaped(
        "R", "d", holds=lambda v, a: (v >= 0) & (v <= a.R**2), where=lambda a: a.d >= 1
    ),
    "log_concavity_thresholds.all_at_once_condition": claims(lambda v, a: v >= 1, CHAIN),
    "log_concavity_thresholds.one_at_a_time_condition": claims(
        lambda v, a: below(1.0, v) & below(v, 1 + 1 / (a.t - 1 + a.sigma2 / np.max(a.tau2))),
        lambda a: np.all(a.t >= 1) & np.all(a.sigma2 > 0) & np.all(a.tau2 > 0),
        ordinary=True,
    ),
    "log_concavity_thresholds.gaussian_jump_w2": claims(
        lambda v, a: v >= 0 and below(v**2, (5 * np.sqrt(5) - 11) / 2 * a.sigma2 / a.m * a.tau2.size),
        lambda a: a.m > 0 and a.sigma2 > 0 and np.all(a.tau2 >= 0),
        ordinary=True,
    ),
    "log_concavity_thresholds.ula_chain_variance": claims(
        at_least_0, lambda a: signs("tau2", "steps")(a) and np.all(a.sigma2 > 0) and np.all(a.step > 0)
    ),
    "log_concavity_thresholds.chain_total_variance": shaped(
        "variance", "m", "sigma2", holds=at_least_0, where=signs("variance", "m", "sigma2")
    ),
    "log_concavity_thresholds.splitting_map": claims(shape=lambda a: a.y.shape),
    "log_concavity_thresholds.splitting_stationary_covariance": claims(
        lambda v, a: v[0] >= 0 and v[1] == 0 and v[2] >= a.unit, lambda a: a.k > 0 and a.unit > 0
    ),
    "log_concavity_thresholds.score_estimator": claims(
        in_hull_of_eps, lambda a: a.s > 0, lambda a: (a.eps.shape[0], a.eps.shape[-1]), ordinary=True
    ),
    "log_concavity_thresholds.end_to_end": claims(
        lambda v, a: v >= a.jump_w2, lambda a: signs("eta", "tau2")(a) and a.sigma2 > 0
    ),
    "log_concavity_thresholds.tunnelling_leak": claims(
        at_least_0, lambda a: signs("slack", "T")(a) and np.all(a.resistance > 0) and np.all(a.mass > 0)
    ),
    "log_concavity_thresholds.mode_weight_floor": claims(
        lambda v, a: (v >= 0) & ((v <= 2 * a.R) | (a.n < 1)), lambda a: (a.R >= 0) & (a.w >= 0) & (a.w <= 1)
    ),
    "log_concavity_thresholds.decoupled_radius": shaped(
        "d", "delta", holds=lambda v, a: (v >= 0) & ((v >= a.delta / 2) | (a.d < 1)), where=signs("delta")
    ),
}


OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "!=": operator.ne}

# How the arguments of a statement are put into the domain that it declares, on its edges and outside.


def interval(domain, name, given):
    """(low, high, inside) of an argument at the other arguments: the ends, and whether a value satisfies every condition."""
    low, high, conditions = -np.inf, np.inf, []
    with np.errstate(all="ignore"):
        for limit in domain.limits:
            try:
                bound = limit.at({k: numbers(v) for k, v in given.items()}) if limit.subject == name else None
            except ArithmeticError:  # beyond the floats: the statement says so
                bound = None
            if bound is None:
                continue
            conditions.append((OPERATORS[limit.comparison], bound))
            if limit.comparison in (">", ">="):
                low = np.maximum(low, bound)
            elif limit.comparison in ("<", "<="):
                high = np.minimum(high, bound)
    return low, high, lambda value: np.logical_and.reduce([np.isfinite(value), *(op(value, end) for op, end in conditions)])


def subjects(domain):
    """The arguments with a condition, in the order of the declaration."""
    return list(dict.fromkeys([limit.subject for limit in domain.limits] + list(domain.kinds)))


def into_domain(domain, given, tame=False):
    """``given`` with every number outside its conditions replaced by one inside; with ``tame`` also those below 1e-3 or
    beyond 1e3 in size, where the conditions admit others."""
    given = dict(given)
    for name in set(given) - set(subjects(domain)) if tame else ():
        if isinstance(given[name], (int, float, np.number, np.ndarray, list)):
            given[name] = np.clip(numbers(given[name]), -1e3, 1e3)
    for name in subjects(domain):
        if given[name] is None:
            continue
        value, kind = np.asarray(numbers(given[name])), domain.kinds.get(name)
        if kind == "weights":  # the sizes of the numbers drawn, divided by their sums
            size = np.abs(np.where(np.isfinite(value), value, 1.0)) if value.ndim else np.ones(1)
            size = size / np.max(size, axis=-1, keepdims=True, initial=1e-300) + np.finfo(float).tiny
            given[name] = size / np.sum(size, axis=-1, keepdims=True)
            continue
        if kind in ("integer", "number") and value.ndim:
            value = value.flat[0] if value.size else np.asarray(1.0)
        low, high, allowed = interval(domain, name, given)
        try:
            inside = np.broadcast_to(allowed(value), np.shape(value))
            low, high = (np.broadcast_to(end, np.shape(value)) for end in (low, high))
        except ValueError:  # shapes that do not fit: the statement broadcasts the argument itself, or refuses it
            low, high = np.max(low), np.min(high)
            inside = (value > low) & (value < high)
        with np.errstate(all="ignore"):
            share = 0.1 + 0.8 * np.abs(np.sin(value * 7 + np.arange(np.size(value)).reshape(np.shape(value))))
            share = np.where(np.isfinite(share), share, 0.5)
            one = np.where(np.isfinite(low), low + 2 * share, np.where(np.isfinite(high), high - 2 * share, share))
            inner = np.where(np.isfinite(low) & np.isfinite(high), low + share * (high - low), one)
        if tame:
            inside = inside & ((value == 0) | ((np.abs(value) > 1e-3) & (np.abs(value) < 1e3)))
        if kind == "integer":
            first = int(np.ceil(low)) if np.isfinite(low) else 1
            whole = [k for k in range(first, first + 5) if allowed(np.asarray(k))]
            given[name] = int(value) if inside and value == int(value) and value < 100 else whole[int(len(whole) * share)]
        elif kind == "whole":
            lowest = np.where(np.isfinite(low), np.ceil(low), 1.0)
            found = np.where(inside & (value == np.floor(value)), value, lowest + np.floor(5 * share))
            given[name] = found if found.ndim else float(found)
        elif not np.all(inside):
            found = np.where(inside, value, inner)
            given[name] = found if found.ndim else float(found)
        elif kind is not None:
            given[name] = float(value)
    return given


def _bound_entries():
    for module in statements.MODULES:
        mod = import_module(f"exactdiffusion.statements.{module}")
        for name, function in vars(mod).items():
            if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != mod.__name__:
                continue
            parameters = inspect.signature(function).parameters
            arguments = {p: SPECIAL.get((name, p)) or BY_NAME.get(p) or scalar_like for p in parameters}
            entry(
                f"statements.{module}.{name}",
                function,
                CLAIMS.get(f"{module}.{name}"),
                **arguments,
                infinite=True,
                nan=name in ("distance_gradient", "normal_offset"),
                fixed=tuple(parameters),  # what is no number at all is the business of the public doors
                domain=function.domain,
            )


_bound_entries()

# ------------------------------------------------------------------------------------------------------------------- tests

#: public names that take no arguments to fuzz, and why
EXCUSED = {
    "laws": (),
    "schedules": ("QUANTISED", "REGISTRY", "schedule"),
    "samplers": ("REGISTRY", "SamplerInfo", "sampler"),
    "distances": ("Estimate", "ExactDraws", "Slope", "W2Result"),  # results, made by the functions
    "prox": ("ProxResult",),
    "papers.conditional_mean": ("BETA_1", "BETA_T", "METHODS", "Match", "ReverseKernel"),
    "papers.log_concavity.measurements": (),
    "papers.log_concavity.walk_jump": ("ExactWalk", "GaussianChain", "State", "StuckWalk", "Target", "Walked"),
    "papers.log_concavity.certificates": ("Certificate", "LogConcavityThreshold"),
    "_core.random": (),
}
COUNTS = {}


class _Summary:
    """Prints at the end of the run its seed, whatever came out, and how many examples were run."""

    def __init__(self, started):
        self.started = started

    def pytest_terminal_summary(self, terminalreporter):
        total, refused = sum(a + b for a, b in COUNTS.values()), sum(b for _, b in COUNTS.values())
        text = "no entry point passed"
        if COUNTS:
            least = min(COUNTS, key=lambda k: sum(COUNTS[k]))
            text = (
                f"{len(COUNTS)} entry points, {total} examples ({refused} of them refused with a named ValueError), "
                f"at least {sum(COUNTS[least])} per entry point"
            )
        terminalreporter.write_line(f"fuzz: {text}; seed {self.started}")
        for name in without_an_entry() if self.started != "fixed" else ():
            line = f'entry("{name}", {name}, x=x_of_law),  # a strategy for each argument'
            terminalreporter.write_line(f"to add to tests/quality/test_fuzz.py, when you have time: {line}")


@pytest.fixture(scope="module")
def plan(request, deep):
    """(examples per entry point, seed or None)."""
    number = int(os.environ.get("FUZZ_EXAMPLES", DEEP if deep else QUICK))
    start = request.config.getoption("--seed") or (time.time_ns() % 2**32 if deep else None)
    request.config.pluginmanager.register(_Summary("fixed" if start is None else start))
    return number, start


def _too_long(*_):
    raise Hang(f"a group of {GROUP} examples took more than {LIMIT:g} processor seconds")


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_point(name, plan):
    number, start = plan
    entry, done = ENTRIES[name], {"value": 0, "refused": 0}

    def group(data):
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        try:
            for i in range(GROUP):
                done[example(entry, data[i * BYTES : (i + 1) * BYTES])] += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    run = given(st.binary(min_size=GROUP * BYTES, max_size=GROUP * BYTES))(group)
    run = settings(
        max_examples=-(-number // GROUP) + 1,
        deadline=None,
        database=None,
        derandomize=start is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        report_multiple_bugs=False,
    )(run)
    if start is not None:
        run = seed(start)(run)
    before = signal.signal(signal.SIGPROF, _too_long)
    try:
        run()
    finally:
        signal.signal(signal.SIGPROF, before)
    COUNTS[name] = (done["value"], done["refused"])
    assert sum(COUNTS[name]) >= number
    assert done["value"] >= number // 50, (
        f"only {done['value']} of {sum(COUNTS[name])} examples reached a value: the strategies are wrong"
    )


def _with(given, name, bad):
    """``given`` with ``bad`` in the place of an argument, or of the last number of an array."""
    value = np.array(numbers(given[name]), dtype=float)
    if not value.ndim:
        return given | {name: bad}
    value.flat[value.size - 1] = bad
    return given | {name: value}


def _beyond(end, up, rounding):
    """Numbers beyond an end of an interval, the next one first, or the next one beyond the rounding of the end."""
    end, sign = float(np.ravel(end)[-1]), 1 if up else -1
    return [float(np.nextafter(end + sign * 4 * rounding, sign * np.inf)), end + sign * (0.5 + abs(end) + 4 * rounding)]


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.domain is not None])
def test_statement_in_on_and_outside_its_domain(name, deep):
    """Inside there is a value, closed ends are inside, open ends and numbers beyond an end are refused by name."""
    entry, rng = ENTRIES[name], np.random.default_rng(0)
    domain, values, refused = entry.domain, 0, 0
    for _ in range(1000 if deep else 40):
        d = Draw(rng.bytes(4 * BYTES))
        given = into_domain(domain, entry.draw(lambda name, d=d: d), tame=True)
        try:
            sound(entry, entry.call(**given))
            values += 1
        except ValueError as error:  # a shape or an order that a declaration does not speak of
            message = str(error)
            assert re.match("|".join(map(re.escape, entry.arguments)), message), message
            assert not any(f"expected {limit.text}" in message for limit in domain.limits), (message, given)
            refused += 1
            continue
        for limit in domain.limits:
            subject = limit.subject
            if given[subject] is None or np.size(given[subject]) == 0 or domain.kinds.get(subject) == "integer":
                continue
            end = limit.at({k: numbers(v) for k, v in given.items()})
            if end is None or not np.all(np.isfinite(end)):
                continue
            if np.ndim(numbers(given[subject])) == 0:  # one number below, or above, every entry of another argument
                end = float(np.min(end) if limit.comparison in ("<", "<=") else np.max(end))
            closed = limit.comparison in ("<=", ">=")
            rounding = float(np.max(limit.rounding({k: numbers(v) for k, v in given.items()})))
            beyond = [] if limit.comparison == "!=" else _beyond(end, limit.comparison in ("<", "<="), rounding)
            if closed:
                _not_refused(entry, _with(given, subject, float(np.ravel(end)[-1])), limit)
            for bad in beyond if closed else [float(np.ravel(end)[-1]), *beyond]:
                with pytest.raises(ValueError, match=rf"^{re.escape(subject)}( \(|:)"):
                    entry.call(**_with(given, subject, bad))
        for subject, kind in domain.kinds.items():
            low, high, _ = interval(domain, subject, given)
            below = [int(low) - 1] if kind == "integer" and np.isfinite(low) else []  # the limits of others are tried above
            bad = {
                "number": [np.inf, [1.0, 2.0]],
                "integer": [2.5, *below],
                "whole": [2.5, np.inf, [1.0, 1.5]],
                "weights": [1.0, [1.0, 1.0], [1.5, -0.5]],
            }[kind]
            for value in [*bad, *([int(high) + 1] if kind == "integer" and np.isfinite(high) else [])]:
                with pytest.raises(ValueError, match=rf"^{re.escape(subject)}( \(|:)"):
                    entry.call(**given | {subject: value})
    assert values >= refused / 20, f"only {values} of {values + refused} arguments in the domain gave a value"


def _not_refused(entry, given, limit):
    """The call may fail for another reason (two arguments at their ends at once), not for this condition."""
    message = ""
    try:
        entry.call(**given)
    except ValueError as error:
        message = str(error)
    assert f"expected {limit.text}" not in message, (message, given)


def without_an_entry():
    """Public names, registered samplers and schedules, and statements that nothing above draws arguments for."""
    missing = []
    for module, excused in EXCUSED.items():
        public = set(import_module(f"exactdiffusion.{module}").__all__) - set(excused)
        missing += sorted(
            f"{module}.{n}"
            for n in public
            if not any(e == f"{module}.{n}" or e.startswith((f"{module}.{n}.", f"{module}.{n} ")) for e in ENTRIES)
        )
    wanted = {f"samplers.{n}" for n in samplers.REGISTRY} | {f"schedules.{n}" for n in schedules.REGISTRY}
    wanted |= {f"statements.{s.module.rpartition('.')[2]}.{s.name}" for s in statements.all_statements()}
    return sorted({*missing, *(wanted - set(ENTRIES))})


def test_entries_of_statements_and_registries_follow_the_code():
    """What is registered is drawn without a line here; a public name without an entry is named by the long run."""
    own = ("statements.", "schedules.")
    assert [name for name in without_an_entry() if name.startswith(own)] == []
    assert len(ENTRIES) >= 339, "entries were lost"


def _masked(entry, argument):
    """Plain arguments of an entry with a masked array in the place of ``argument``; None where no array is drawn there."""
    for data in (b"", *(np.random.default_rng(k).bytes(BYTES) for k in range(30))):
        given = entry.draw(lambda name, data=data: Draw(data if name == argument else b""))
        value = given[argument]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or not value.size or not value.ndim:
            continue
        try:
            entry.call(**given)
        except ValueError:
            continue
        mask = np.zeros(value.shape, dtype=bool)
        mask[-1] = True
        return given | {argument: np.ma.array(value, mask=mask)}
    return None


def test_masked_arrays_are_refused_by_every_entry():
    """What lies under a mask is no data: converted, it gave a W2 distance of 199.6 for 0.65."""
    taken, tried = [], 0
    for entry in ENTRIES.values():
        for argument in set(entry.arguments) - set(entry.fixed if entry.domain is None else ()):
            given = _masked(entry, argument)
            if given is None:
                continue
            tried += 1
            try:
                entry.call(**given)
                message = "taken"
            except ValueError as error:
                message = str(error)
            if not re.match(rf"(?:\w+, )*{re.escape(argument)} \(\d+ masked entries", message):
                taken.append(f"{entry.name}({argument}): {message}")
    assert taken == []
    assert tried > 350, "the strategies draw no arrays"


def corrupted(value):
    """The value with an error: too small, too large, the parts in the wrong order; another shape where it is an array."""

    def change(f):
        if isinstance(value, dict):
            return {k: f(v) for k, v in value.items()}
        return tuple(map(f, value)) if isinstance(value, tuple) else f(value)

    if np.asarray(parts(value)[0]).dtype == bool:
        return [change(np.logical_not)], []
    wrong = [change(lambda v: -1 - 2 * np.abs(v)), change(lambda v: v + 1 + np.abs(v))]
    if isinstance(value, tuple):
        wrong.append(value[::-1])
    return wrong, [change(lambda v: np.asarray(v)[np.newaxis])]


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_can_fail(name):
    """Every claim on a bound is put to the test and sees a corrupted value; one on a shape alone sees another shape."""
    entry, rng = ENTRIES[f"statements.{name}"], np.random.default_rng(0)
    seen = False
    for _ in range(2000):
        d = Draw(rng.bytes(4 * BYTES))
        given = entry.draw(lambda name, d=d: d)
        try:
            value = entry.call(**given)
        except ValueError:
            continue
        with np.errstate(all="ignore"):
            values, shapes = corrupted(value)
            for wrong in values if entry.check.holds else shapes:
                try:
                    entry.check(wrong, **given)
                except AssertionError:
                    seen = True
        if seen:
            break
    assert seen, "no corrupted value breaks the claim"


def test_unchecked_entries():
    """The entries of which only the generic conditions are asked, and why; statements are listed by the long run."""
    unchecked = [name for name, e in ENTRIES.items() if e.check is None and not name.startswith("statements.")]
    assert unchecked == [
        # the call itself looks at the value (`law_of`)
        *(f"laws.{name}" for name in ("PointCloud", "GaussianMixture", "Sphere", "Torus", "Subspace")),
        "laws.GaussianMixture.from_sklearn",
        "samplers.final",  # the last of whatever it is given
        "distances.kl_quadrature",  # of densities of mass 1 within 1e-6: a little below 0 where they nearly agree
        "papers.conditional_mean.study",  # a table; its numbers are those of entries above
        "papers.conditional_mean.fitted_mixture",
        *(f"papers.log_concavity.walk_jump.{name}" for name in ("ULA", "MALA", "Underdamped")),  # records of their arguments
        "papers.log_concavity.certificates.rigorous_covariance",  # its interval is reduced to a flag
    ]


def test_every_method_of_every_law_has_an_entry():
    missing = []
    for name, cls in CLASSES.items():
        for prefix, holder in ((f"laws.{name}", cls), (f"laws.{name}.noised", type(BASE[name][0].noised(1.0, 1.0)))):
            for method, _ in inspect.getmembers(holder, callable):
                if (
                    not method.startswith("_")
                    and method not in ("noised", "materialise")
                    and f"{prefix}.{method}" not in ENTRIES
                ):
                    missing.append(f"{prefix}.{method}")
    assert missing == []


def _found():
    """What the fuzzing found, smallest form: (argument that the message must begin with, call)."""
    cm, lc, ms, sch = conditional_mean, certificates, measurements, schedules
    law, x, grid = BASE["GaussianMixture"][1], np.zeros((1, DIM)), sch.log_linear(3)
    projection = import_module("exactdiffusion.statements.projection")
    thresholds = import_module("exactdiffusion.statements.log_concavity_thresholds")
    pcm = import_module("exactdiffusion.statements.log_concavity")
    return [
        ("x", lambda: law.noised(1.0, 1.0).denoise(np.float64)),  # the class: a TypeError
        ("n", lambda: PointCloud([[0.0]]).sample(10**400, 0)),  # an OverflowError
        ("x", lambda: Counted(law).noised(1.0, 1.0).denoise(float("nan"))),  # a TypeError of len()
        ("block", lambda: Sphere(1.0, 3, block=3.0)),  # a TypeError of len()
        ("scale", lambda: Denoiser(lambda x, s: x, 1).noised(5e-324, 1.0).denoise([[1.0]])),  # a warning
        ("integral", lambda: sch.sigma_from_integral(1000.0)),  # a warning and an infinity
        ("alpha_bar", lambda: sch.beta_from_alpha_bar(0.5)),  # an IndexError
        ("start", lambda: sch.quantised(2, "linear", 0.1)),  # named sigma_min, no argument of it
        ("vp", lambda: sch.vp_linear(3, vp="no")),  # taken for True
        ("table", lambda: sch.ddpm_time(1.0, 2.0)),  # a message without a name
        ("beta_end", lambda: sch.ddpm(3, beta_start=0.9, beta_end=0.9)),  # infinite levels
        ("words", lambda: random.standard_normal_of_words("12")),  # a TypeError
        ("noise", lambda: list(samplers.ddpm(law, grid, x, noise=np.random.default_rng(0)))),  # another normal()
        (
            "final",
            lambda: samplers.euler_maruyama(law, sch.vp_linear(3), x, noise=random.Noise(0), last_noise=False, final=3),
        ),
        ("states", lambda: samplers.final("abc")),  # gave "c"
        ("x", lambda: list(samplers.heun(law, grid, [[1e300, 0.0, 0.0]]))),  # a warning
        ("weights", lambda: prox.GeneralMixture([0.5], [[0.0], [1.0]], [[1.0], [1.0]])),  # an IndexError
        ("local", lambda: prox.EqualVariance([[0.0]])([[0.0]], 1.0, 1.0, local="no")),  # taken for True
        ("c", lambda: cm.power_grid(1, 0.0, 0.5, 2.0)),  # an IndexError
        ("law", lambda: cm.cme(3, x, 1.0)),  # an AttributeError
        ("steps", lambda: cm.study(law, 0.0, 5, 4, 0)),  # a TypeError
        ("y", lambda: cm.excess(law, np.zeros((0, DIM)), np.zeros((0, DIM)), 1.0)),  # a warning and a NaN
        ("noise", lambda: ms.posterior_sample(law, x, 1, 1.0, None)),  # an AttributeError
        ("walk", lambda: walk_jump.langevin(law, x, noise=random.Noise(0), walk=None)),  # an AttributeError
        (
            "sigma",
            lambda: next(walk_jump.one_at_a_time(law, 1, 1e-310, 1, noise=random.Noise(0), walk=walk_jump.ULA(1, 0.1))),
        ),
        ("weights", lambda: lc.covariance_supremum([[0.0], [1.0]], [1.0], 1.0)),  # an IndexError
        ("cloud", lambda: lc.rigorous_covariance([[]], [1.0], 1.0, [0.0])),  # an IndexError
        (
            "keep_leaves",
            lambda: lc.certify_log_concavity(PointCloud([[0.0], [1.0]]), 1.0, keep_leaves=len),
        ),  # taken for True
        ("x", lambda: distances.coupling_bound([[1e200]], [[0.0]])),  # a warning and an infinity
        ("rng", lambda: distances.exact_draws(PointCloud([[0.0]]), 3, [[0.0]], rng="seed")),  # a TypeError
        ("distance", lambda: projection.one_step_distance("far", 0.5, 0.1)),  # a TypeError
        ("eta", lambda: projection.one_step_distance(1.0, 0.5, float("nan"))),  # a NaN
        ("distance", lambda: projection.squared_w2_to_laws_on_set([])),  # a NaN
        ("m", lambda: thresholds.ula_chain_variance(1.0, 10**400, 1.0, 3, 0.1)),  # a loop without end
        ("sampler, mean, cov", lambda: gaussian("ddim", [0.0], 1e300, sch.vp_linear(3), [1e308])),  # a warning
        ("a", lambda: pcm.ula_strongly_log_concave(1, 0.1, 0.0, 0.0, 1, 1.0)),  # a ZeroDivisionError
    ]


@pytest.mark.parametrize("number", range(len(_found())))
def test_found_by_fuzzing(number):
    name, call = _found()[number]
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}\b.*: got "):
        call()


def test_lists_are_vectors_to_a_bound_and_not_python_lists():
    """``y + 2 * score`` of two lists was a list of twice as many entries."""
    drift = import_module("exactdiffusion.statements.log_concavity").backward_drift
    assert np.array_equal(drift([1.0, 2.0], [3.0, 4.0]), [7.0, 10.0])


def test_numbers_of_few_bits_are_taken_at_full_precision():
    """A float32 number made the value a float32, an integer number wrapped around."""
    sums, two = import_module("exactdiffusion.statements.conditional_mean").orthogonality, np.uint8(200)
    assert sums(np.float32(0.0), 10**18) == 10**18
    assert sums(np.float16(0.5), 1e300) == 1e300
    assert sums(two, two) == 400
    thresholds = import_module("exactdiffusion.statements.log_concavity_thresholds")
    assert thresholds.atoms_threshold(1, 10**18) == (0.25, 2.5e35)
    assert thresholds.chain_total_variance(10**18, 100, 1.0) == thresholds.all_at_once_curvature(100, 1.0, 10**20) == 1e22
    assert import_module("exactdiffusion.statements.log_concavity").conforti_kl(1.0, 10**12, 0.0, 10**12) == 1e24
    assert thresholds.radius_threshold(4 * 10**9) == thresholds.half_diameter_threshold(8 * 10**9) == 1.6e19


def test_a_distance_of_minus_zero_is_zero():
    """The usage of the band was 0, below every width."""
    projection = import_module("exactdiffusion.statements.projection")
    assert np.array_equal(projection.band_usage(np.array([-0.0, 0.0]), 1.0, 2), [np.inf, np.inf])
    assert not projection.band_ok(np.array([-0.0]), 1.0, 2, 1e300)


def test_grids_with_levels_beyond_the_square_root_of_the_floats():
    """Their clock and steps were infinite; B = 2 log r there."""
    grid = schedules.Grid(np.ones(3), [1e200, 1e190, 1.0])
    assert grid.integral == pytest.approx([400 * np.log(10), 380 * np.log(10), np.log(2)], rel=8 * EPS)
    assert grid.g == pytest.approx(-np.diff(grid.integral), rel=8 * EPS)
    assert np.isfinite(grid.ddpm_beta).all()
