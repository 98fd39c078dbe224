"""Hostile input: every public entry point on drawn arguments gives a checked value or a ValueError that names the argument.

Each example is a string of bytes from hypothesis, decoded into one argument set of one entry point (`Draw`): ordinary values
of all shapes, dtypes and memory layouts, ties, zero weights, duplicate atoms, and numbers from subnormal to 1e300; in half
of the examples one argument is replaced by something that is no number at all. Allowed outcomes: a value that passes the
entry's check (and holds no NaN), or a ValueError whose message begins with the name of an argument: the replaced one, where
one was replaced. Anything else fails: another exception, a warning, a NaN, an answer that takes too long.

By default few examples, always the same ones; with ``--deep`` at least 5,000 per entry point from a seed that changes from
run to run and is printed (``--seed n`` repeats one). Hypothesis draws them in groups of `GROUP`; ``FUZZ_EXAMPLES=n`` sets
their number.
"""

import dataclasses
import inspect
import os
import re
import signal
import time
import types
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from exactdiffusion import (
    bounds,
    chains,
    conditional_mean,
    laws,
    log_concavity,
    measure,
    measurements,
    noise,
    proximal,
    samplers,
    schedules,
)
from exactdiffusion.laws import Counted, Denoiser, GaussianMixture, PointCloud, Sphere, Subspace, Torus
from exactdiffusion.propagation import gaussian

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
REAL = [
    0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -3.0,
    1e-3,
    0.1,
    10.0,
    40.0,
    157.4,
    1e-8,
    3.141592653589793,
    -0.0,
    7,
    3,
    1e6,
    -1e6,
    1e-12,
    0.999,
]
WILD = [
    1e300,
    -1e300,
    5e-324,
    -5e-324,
    1e-310,
    1e-200,
    1e200,
    1e154,
    1e-154,
    1.7976931348623157e308,
    2.2250738585072014e-308,
    1e100,
    1e150,
    1e16,
    2**53 + 1,
    10**18,
    1e-17,
    1e-150,
    -1e155,
    1e50,
]
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
    may be accepted; ``fixed`` are what a method belongs to, never replaced; ``infinite`` says that an infinity is among
    its values.
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


def entry(name, call, check=None, *, names=(), loose=(), fixed=(), infinite=False, nan=False, **arguments):
    assert name not in ENTRIES, name
    ENTRIES[name] = Entry(name, call, arguments, check, tuple(names), tuple(loose), tuple(fixed), infinite, nan)


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
        given = {name: strategy(plain) for name, strategy in entry.arguments.items()} | {odd: value}
    else:
        given = {name: strategy(d) for name, strategy in entry.arguments.items()}
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
    assert low >= -256 * d * EPS * np.abs(out).max(initial=0.0) - 1e-9 * isinstance(law, (Sphere, Torus)), (
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


def check_prox(out, x, **_):
    assert out.shape == asarray(x).shape


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
        law=just(*BASE["Sphere"]),
        x=x_of_law,
        scale=scale_of_level,
        sigma=sigma_of_level,
    )
    entry(
        "laws.Denoiser",
        lambda fn, dim, x, scale, sigma: Denoiser(fn, dim).noised(scale, sigma).denoise(x),
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
        lambda points, weights: law_of(PointCloud(points, weights)),
        points=array(K, d),
        weights=lambda q: weights(q.pick(K))(q),
        names=("x", "sigma", "scale"),
    )
    covariances = one_of(
        just(1.0, 0.0, 0.5, 2),
        positive,
        array(K, low=0),
        array(K, d, low=0),
        lambda q: (lambda a: a @ np.swapaxes(a, -1, -2))(q.rng().normal(size=(q.pick(K), q.pick(d), 2))),
        array(K, d, d),
    )
    entry(
        "laws.GaussianMixture",
        lambda weights, means, covariances: law_of(GaussianMixture(weights, means, covariances)),
        weights=lambda q: weights(q.pick(K))(q),
        means=array(K, d),
        covariances=covariances,
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
            object(),
        ),
        names=("weights", "means", "covariances"),
    )


_law_entries()

# ------------------------------------------------------------------------------------------- schedules, noise and samplers


def check_grid(made, **_):
    grid = made
    assert (np.diff(grid.noise_ratio, axis=0) <= 0).all()
    assert (grid.sigma[:-1] > 0).all()
    for name in ("alpha_bar", "integral", "beta", "g", "ddpm_beta"):
        value = getattr(grid, name)
        assert np.isfinite(value).all(), name
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
        options = more.get(name, dict(start=mostly(None, positive)))
        assert set(options) | {"N"} == set(inspect.signature(function).parameters), f"{name}: parameters without a strategy"
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
    entry(
        "schedules.nearest_index",
        schedules.nearest_index,
        lambda i, grid, **_: pytest.fail("outside") if not 0 <= i <= grid.N else None,
        grid=grids,
        sigma=positive,
        unit=just("db", "linear"),
    )
    entry(
        "schedules.quantised_times",
        schedules.quantised_times,
        lambda t, **_: pytest.fail("increasing") if (np.diff(t) > 0).any() else None,
        N=count,
        style=just(*schedules.QUANTISED),
        start=mostly(None, positive),
    )
    entry(
        "schedules.ddpm_sigmas",
        schedules.ddpm_sigmas,
        lambda s, **_: pytest.fail("not increasing") if (np.diff(s) < 0).any() else None,
        T=count,
        beta_start=unit,
        beta_end=unit,
    )
    entry(
        "schedules.ddpm_time",
        schedules.ddpm_time,
        sigma=one_of(positive, array([2, 3], low=0)),
        table=mostly(None, array([3, 5], low=0)),
    )
    some = one_of(positive, array([3, 1, 0], low=0), lambda d: np.sort(d.rng().random(4)))
    for name in (
        "alpha_bar_from_beta",
        "alpha_bar_from_integral",
        "alpha_bar_from_sigma",
        "beta_from_alpha_bar",
        "integral_from_sigma",
        "sigma_from_alpha_bar",
        "sigma_from_integral",
        "sigma_from_snr",
        "sigma_from_snr_db",
        "snr_db_from_sigma",
        "snr_db_from_snr",
        "snr_from_sigma",
        "snr_from_snr_db",
    ):
        (argument,) = inspect.signature(getattr(schedules, name)).parameters
        entry(f"schedules.{name}", getattr(schedules, name), **{argument: one_of(some, lambda d: d.rng().random(3))})
    for name in ("vp_linear_integral", "vp_linear_rate", "vp_linear_time"):
        argument = next(iter(inspect.signature(getattr(schedules, name)).parameters))
        entry(
            f"schedules.{name}",
            getattr(schedules, name),
            lambda v, **_: pytest.fail("negative") if np.any(np.asarray(v) < 0) else None,
            **{argument: unit},
            beta_min=positive,
            beta_max=positive,
        )
    words = just(np.arange(4, dtype=np.uint64), np.array([0, 2**64 - 1], dtype=np.uint64), np.zeros((0,), dtype=np.uint64))
    entry("noise.standard_normal_of_words", noise.standard_normal_of_words, words=words)
    seeds = just(0, 1, 2**64 - 1, 2**64, -1, 1.0, np.int64(3), 10**30)
    large = just(0, 1, 5, 2**40, 2**63, 2**64 - 1, 2**64, -1, np.int32(2))
    entry(
        "noise.Noise",
        lambda seed, step, n, d, start: noise.Noise(seed).normal(step, n, d, start),
        seed=seeds,
        step=large,
        n=just(2, 0, 3, -1, 2.0),
        d=just(2, 1, 3, 0),
        start=large,
    )
    fine = schedules.vp_linear(8)
    entry(
        "noise.BrownianPath",
        lambda seed, fine, grid, step: noise.BrownianPath(seed, fine).increments(grid).normal(step, 2, 2),
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
    source = just(noise.Noise(0), noise.Noise(1), None, 3)
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
    entry(
        "samplers.final",
        samplers.final,
        states=lambda d: iter([np.zeros((1, 1))] * d.pick([1, 2, 0])),
        nan=True,
        fixed=("states",),
    )


_sampler_entries()

# --------------------------------------------------------------------------------------------------------------- measure


def check_w2(result, x, y, **_):
    assert result.value >= 0
    assert result.lower <= result.value * (1 + 1e-9) + 1e-300
    back = measure.w2(y, x, _.get("weights_y"), _.get("weights_x"))
    scale = max(np.abs(asarray(x)).max(), np.abs(asarray(y)).max(), 1e-300)
    assert abs(back.value - result.value) <= 1e-6 * scale, "not symmetric"
    assert measure.w2(x, x, _.get("weights_x"), _.get("weights_x")).value <= 1e-6 * scale, "w2(x, x) > 0"


def nonnegative(result, **_):
    for v in values_of(result):
        if not isinstance(v, str) and v is not None:
            assert np.all(np.asarray(v) >= 0), "negative"


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
    entry(
        "measure.w2",
        measure.w2,
        check_w2,
        x=clouds,
        y=clouds,
        weights_x=mostly(None, w),
        weights_y=mostly(None, w),
        method=mostly("auto", just("assignment", "sorted", "network", "no")),
        max_bytes=mostly(2**31, just(10, 2**20, 0, 1.5)),
    )
    entry(
        "measure.wasserstein_1d",
        measure.wasserstein_1d,
        nonnegative,
        x=array([3, 1, 5, 0]),
        y=array([3, 1, 5]),
        p=just(2, 1, 3, 1.5),
        weights_x=mostly(None, w),
        weights_y=mostly(None, w),
    )
    entry(
        "measure.w2_to_set",
        measure.w2_to_set,
        nonnegative,
        x=x_of_law,
        law=just(*BASE["PointCloud"], *BASE["Sphere"], *BASE["Subspace"]),
        weights=mostly(None, lambda d: weights(d.pick([2, 1, 5]))(d)),
    )
    means = array([2, 2, 2, 1, 3])
    for name in ("bures_w2", "gaussian_kl"):
        entry(
            f"measure.{name}",
            getattr(measure, name),
            nonnegative,
            mean1=means,
            cov1=covariance_strategy,
            mean2=means,
            cov2=covariance_strategy,
            infinite=name == "gaussian_kl",
        )
    entry(
        "measure.gelbrich",
        measure.gelbrich,
        nonnegative,
        x=clouds,
        y=one_of(clouds, lambda d: (means(d), covariance_strategy(d))),
        weights_x=mostly(None, w),
        weights_y=mostly(None, w),
    )
    entry("measure.coupling_bound", measure.coupling_bound, nonnegative, x=clouds, y=clouds, weights=mostly(None, w))
    entry(
        "measure.noise_floor",
        measure.noise_floor,
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
    for name in ("kl_quadrature", "tv_quadrature"):
        entry(
            f"measure.{name}",
            getattr(measure, name),
            p=densities,
            q=densities,
            weights=densities,
            log=flag,
            infinite=name == "kl_quadrature",
        )
    estimates = array([3, 3, 3, 1, 0], [2, 2, 2, 1])
    entry("measure.mse", measure.mse, nonnegative, estimate=estimates, truth=estimates, infinite=True)
    entry(
        "measure.nmse",
        measure.nmse,
        nonnegative,
        estimate=estimates,
        truth=estimates,
        power=mostly(None, positive),
        infinite=True,
    )
    entry(
        "measure.excess_error",
        measure.excess_error,
        estimate=estimates,
        conditional_mean=estimates,
        mmse=mostly(None, positive),
        infinite=True,
    )
    entry(
        "measure.Estimate.interval",
        lambda x, level: measure.mse(x, 0.0 * asarray(x)).interval(level),
        x=array([3, 1, 2], [2]),
        level=unit,
        names=("estimate", "truth"),
        fixed=("x",),
        infinite=True,
    )
    positive_array = one_of(lambda d: np.cumsum(0.1 + d.rng().random(d.pick([4, 3, 5]))), array([4, 3, 2], low=0))
    entry(
        "measure.fit_slope",
        measure.fit_slope,
        x=positive_array,
        y=positive_array,
        log=just(True, False, None),
        level=just(0.95, 0.5, 1.0),
        last=just(None, 3, 2, 0),
        infinite=True,
    )
    entry("measure.local_slopes", measure.local_slopes, x=positive_array, y=positive_array)


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


CHAINS = {name: getattr(chains, name) for name in ("one_at_a_time", "all_at_once")}
MIXTURES = {name: getattr(measurements, name) for name in ("posterior_mixture", "predictive_mixture")}


def _other_entries():
    d2, n2 = [2, 2, 2, 2, 1], [3, 1, 2, 0]
    x2, centres = array(n2, d2), array([4, 1, 2, 0], d2)
    w4 = mostly(None, lambda d: weights(d.pick([4, 4, 1, 2]))(d))
    lam = one_of(just(0.5, 0.1, 2.0), positive, array([3, 1, 2], low=0))
    entry("proximal.laguerre", proximal.laguerre, x=x2, lam=lam, centres=centres, weights=w4, infinite=True)
    entry(
        "proximal.prox_isotropic",
        proximal.prox_isotropic,
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
        "proximal.EqualVariance",
        lambda centres, weights, x, lam, variance, local: proximal.EqualVariance(centres, weights)(
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
        "proximal.GeneralMixture",
        lambda weights, means, eigenvalues, vectors, x, lam, scale, sigma: proximal.GeneralMixture(
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
    spd = one_of(
        just(1.0, 0.5, 0.0),
        positive,
        array([4, 1, 2], low=0),
        array([4, 1, 2], d2, low=0),
        lambda d: np.stack([np.eye(2)] * 4) * d.pick([1.0, 0.0, 1e300]),
    )
    entry(
        "proximal.prox_gaussian",
        proximal.prox_gaussian,
        check_proxes,
        x=x2,
        lam=lam,
        weights=w4,
        means=centres,
        covariances=spd,
        infinite=True,
    )

    cm = conditional_mean
    law = just(*BASE["GaussianMixture"], *BASE["PointCloud"])
    mixture = just(*BASE["GaussianMixture"])
    grids = just(
        schedules.edm(3), cm.released_grid(5), cm.refined_grid(3, 1.0), schedules.vp_linear(3), schedules.log_linear(3)
    )
    sigma, total, m = positive, array([2, 2, 2, 2, 2, 1, 0], [DIM] * 8 + [2]), just(1, 2, 0, 5, -1, 1.0, 1000)
    entry(
        "conditional_mean.released_grid",
        cm.released_grid,
        check_grid,
        T=just(5, 10, 50, 3, 0),
        beta_T=mostly(None, unit),
        beta_1=mostly(cm.BETA_1, unit),
        names=("sigma",),
    )
    entry(
        "conditional_mean.refined_grid",
        cm.refined_grid,
        check_grid,
        n=count,
        sigma=sigma,
        spacing=just("vp_linear", "linear", "geometric", "x"),
    )
    entry(
        "conditional_mean.power_grid",
        cm.power_grid,
        check_grid,
        T=count,
        gamma=one_of(unit, positive),
        sigma=sigma,
        c=mostly(1.0, positive),
    )
    entry(
        "conditional_mean.match",
        cm.match,
        grid=grids,
        sigma=sigma,
        unit=just("db", "linear"),
        convention=just("matched", "code"),
        infinite=True,
    )
    options = dict(
        method=just(*cm.METHODS),
        noise=just(noise.Noise(0), noise.Noise(1), None),
        assumed=mostly(None, positive),
        unit=just("db", "linear"),
        convention=just("matched", "code"),
    )
    entry(
        "conditional_mean.chain",
        lambda **given: list(cm.chain(**given)),
        law=mixture,
        grid=grids,
        y=x_of_law,
        sigma=mostly(None, sigma, 0.7),
        **options,
        names=("scale", "x"),
    )
    entry(
        "conditional_mean.denoise",
        cm.denoise,
        law=mixture,
        grid=grids,
        y=x_of_law,
        sigma=mostly(None, sigma, 0.7),
        runs=just(1, 2, 0),
        **options,
        names=("scale", "x"),
    )
    entry("conditional_mean.cme", cm.cme, law=law, y=x_of_law, sigma=sigma, names=("x",))
    entry("conditional_mean.lmmse", cm.lmmse, law=law, y=x_of_law, sigma=sigma, names=("x",))
    entry("conditional_mean.ls", cm.ls, lambda out, y: None, y=x_of_law)
    entry(
        "conditional_mean.posterior_variance",
        cm.posterior_variance,
        nonnegative,
        law=law,
        y=x_of_law,
        sigma=sigma,
        names=("x",),
    )
    entry(
        "conditional_mean.excess",
        cm.excess,
        law=law,
        estimate=total,
        y=total,
        sigma=sigma,
        names=("x", "conditional_mean", "mmse"),
        infinite=True,
    )
    entry(
        "conditional_mean.denoiser_laplacian",
        cm.denoiser_laplacian,
        law=mixture,
        z=x_of_law,
        v=positive,
        names=("x", "sigma"),
    )
    entry(
        "conditional_mean.reverse_kernel",
        cm.reverse_kernel,
        law=mixture,
        z=x_of_law,
        v=positive,
        v_next=positive,
        names=("x", "sigma"),
    )
    entry(
        "conditional_mean.normalised",
        lambda law, power: cm.normalised(law, power).mean,
        law=law,
        power=mostly(None, positive),
    )
    entry(
        "conditional_mean.study",
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
        "conditional_mean.fitted_mixture",
        lambda data, n_components, reg_covar, seed: (
            cm.fitted_mixture(data, n_components, reg_covar=reg_covar, seed=seed).mean
        ),
        data=array([6, 3, 1], d2),
        n_components=just(1, 1, 2, 0),
        reg_covar=just(1e-3, 0.1, -1.0),
        seed=just(0, 1, -1),
    )
    ENTRIES["conditional_mean.fitted_mixture"].loose = ("data",)
    entry(
        "conditional_mean.synthetic_complex_mixture",
        lambda n_components, dim, seed: cm.synthetic_complex_mixture(n_components, dim, seed).mean,
        n_components=just(1, 2, 0),
        dim=just(2, 1, 0),
        seed=just(0, 5, -1),
    )
    one_of(
        array(n2, d2), lambda d: array(n2, d2)(d) + 1j * d.rng().normal() if d.chance(0.5) else np.ones((2, 2)) * (1 + 1j)
    )
    entry(
        "conditional_mean.complex_to_real",
        cm.complex_to_real,
        x=one_of(lambda d: d.rng().normal(size=(2, 3)) + 1j, array(n2, d2)),
        loose=("x",),
    )
    def parts(x):
        found = cm.real_to_complex(x)
        return found.real, found.imag

    entry("conditional_mean.real_to_complex", parts, x=array(n2, [2, 4, 1, 3]))
    entry(
        "conditional_mean.complex_mixture",
        lambda weights, means, covariances: cm.complex_mixture(weights, means, covariances).mean,
        weights=just(None, [0.5, 0.5], None, [1.0]),
        means=just(np.zeros((2, 2)) + 1j, np.ones((2, 2)), np.zeros((1, 2)), np.full((2, 2), 1e200 + 0j)),
        covariances=just(np.stack([np.eye(2) + 0j] * 2), np.ones((2, 2, 2)), 1.0, -np.ones((2, 2, 2))),
        loose=("means", "covariances"),
    )

    noises = just(noise.Noise(0), noise.Noise(5), None, 3)
    steps = just(0, 1, 2**64 - 1, -1)
    ms = measurements
    for name in ("posterior_mean", "posterior_covariance", "predictive_covariance"):
        entry(f"measurements.{name}", getattr(ms, name), law=law, total=total, m=m, sigma=sigma, names=("x",))
    for name in ("posterior_mixture", "predictive_mixture"):
        entry(
            f"measurements.{name}",
            lambda function=MIXTURES[name], **given: function(**given).mean,
            law=law,
            total=array([1, 1, 2], [DIM, DIM, 2]),
            m=m,
            sigma=sigma,
            names=("x", "means", "covariances", "points", "weights"),
        )
    for name in ("posterior_sample", "predictive_sample"):
        entry(
            f"measurements.{name}",
            getattr(ms, name),
            law=law,
            total=total,
            m=m,
            sigma=sigma,
            noise=noises,
            step=steps,
            names=("x",),
        )
    for name in ("conditional_score", "conditional_hessian", "conditional_log_density"):
        entry(f"measurements.{name}", getattr(ms, name), law=law, y=total, total=total, m=m, sigma=sigma, names=("x",))
    for name in ("joint_log_density", "joint_score", "joint_hessian"):
        entry(
            f"measurements.{name}",
            getattr(ms, name),
            law=law,
            y=array([2, 1, 0], [2, 1, 0], [DIM, DIM, DIM, 2]),
            sigma=sigma,
            names=("x",),
        )
    entry(
        "measurements.restricted_gaussian_oracle",
        ms.restricted_gaussian_oracle,
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
    entry("measurements.fisher_information", ms.fisher_information, law=line, names=("sigma",))
    entry("measurements.line_quadrature", ms.line_quadrature, law=line, sigma=plain)
    entry("measurements.line_mmse", ms.line_mmse, nonnegative, law=line, m=just(1, 2, 0, 3.0), sigma=plain)
    entry("measurements.line_jump_w2", ms.line_jump_w2, nonnegative, law=line, m=just(1, 2, 0), sigma=plain)

    walk = just(
        chains.ULA(1, 0.1), chains.MALA(2, 0.5), chains.Underdamped(1), chains.ExactWalk(), chains.ULA(0, 1.0), None, 3
    )
    for name in ("one_at_a_time", "all_at_once"):
        extra = {"start": just("jump", "previous", "x")} if name == "one_at_a_time" else {}
        entry(
            f"chains.{name}",
            lambda function=CHAINS[name], **given: [s] if dataclasses.is_dataclass(s := function(**given)) else list(s),
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
    entry(
        "chains.langevin",
        chains.langevin,
        law=just(BASE["GaussianMixture"][1], *BASE["GaussianMixture"]),
        x=x_of_law,
        noise=noises,
        walk=walk,
        unit=positive,
        names=("sigma",),
    )
    entry(
        "chains.gaussian_one_at_a_time",
        chains.gaussian_one_at_a_time,
        variances=array([2, 1, 3, 0], low=0),
        m=just(1, 2, 5, 0),
        sigma=sigma,
        walk=walk,
        start=just("jump", "previous"),
    )
    for name in ("ULA", "MALA"):
        entry(f"chains.{name}", getattr(chains, name), steps=count, step=positive)
    entry("chains.Underdamped", chains.Underdamped, steps=count, step=positive, friction=positive)
    entry(
        "chains.EstimatedLaw",
        lambda log_density, dim, draws, noise, sigma, y: (
            chains.EstimatedLaw(log_density, dim, draws, noise).noised(1.0, sigma).denoise(y)
        ),
        log_density=just(
            lambda x: -np.sum(np.abs(x), axis=1), lambda x: np.zeros(len(x)), lambda x: x, lambda x: np.full(len(x), np.nan)
        ),
        dim=just(2, 1, 0),
        draws=just(4, 1, 0),
        noise=noises,
        sigma=sigma,
        y=array([2, 1, 0], [2, 2, 1]),
        names=("step",),
        fixed=("log_density",),
    )

    lc = log_concavity
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
    entry(
        "log_concavity.largest_posterior_variance",
        lc.largest_posterior_variance,
        nonnegative,
        law=atoms,
        y=array([2, 1, 0], [1, 2]),
        sigma2=positive,
    )
    entry("log_concavity.enclosing_ball", lc.enclosing_ball, cloud=cloud)
    entry(
        "log_concavity.exposed_pairs",
        lambda cloud, longest_only: list(lc.exposed_pairs(cloud, longest_only)),
        cloud=cloud,
        longest_only=flag,
    )
    entry(
        "log_concavity.certify_log_concavity",
        lc.certify_log_concavity,
        law=atoms,
        sigma2=positive,
        bound=mostly(None, positive),
        max_cells=just(50, 200, 0, 2.5),
        keep_leaves=flag,
        infinite=True,
    )
    entry(
        "log_concavity.log_concavity_threshold",
        lc.log_concavity_threshold,
        law=atoms,
        rtol=just(0.1, 0.5, 1e-2, 0.0, -1.0),
        certify=just(False),
        max_cells=just(50, 0),
        infinite=True,
    )
    entry(
        "log_concavity.covariance_supremum",
        lc.covariance_supremum,
        cloud=cloud,
        weights=lambda d: np.ones(3) if d.byte() < 100 else weights(d.pick([3, 3, 1, 2]))(d),
        variance=positive,
        starts=just(None),
        rng=just(0, 3),
        loose=("rng",),
    )
    entry(
        "log_concavity.rigorous_covariance",
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
    entry("log_concavity.spectral_gap", lc.spectral_gap, log_density=array([30, 9, 5]), grid=grid)

    covs = covariance_strategy
    grid = just(schedules.vp_linear(3), schedules.log_linear(3), schedules.edm(2), schedules.vp_linear(2, eps=0.01))
    entry(
        "propagation.gaussian",
        lambda **given: gaussian(**given),
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
SCHEMES = just("euler_maruyama", "prox_backward", "prox_hybrid", "exponential_integrator", "ddpm", "probability_flow", "no")
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


def check_bound(out, **_):
    """Numbers are numbers: the generic conditions of `sound`; inequalities are the subject of theory/."""


def _bound_entries():
    for module in bounds.MODULES:
        mod = import_module(f"exactdiffusion.bounds.{module}")
        for name, function in vars(mod).items():
            if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != mod.__name__:
                continue
            parameters = inspect.signature(function).parameters
            arguments = {p: SPECIAL.get((name, p)) or BY_NAME.get(p) or scalar_like for p in parameters}
            entry(
                f"bounds.{module}.{name}",
                function,
                check_bound,
                **arguments,
                infinite=True,
                nan=name in ("distance_gradient", "normal_offset"),
            )
            # of numbers a formula takes what it takes: infinities where they make sense
            ENTRIES[f"bounds.{module}.{name}"].loose = tuple(parameters)


_bound_entries()

# ------------------------------------------------------------------------------------------------------------------- tests

#: public names that take no arguments to fuzz, and why
EXCUSED = {
    "laws": (),
    "schedules": ("QUANTISED", "REGISTRY"),
    "samplers": ("REGISTRY", "SamplerInfo"),
    "measure": ("Estimate", "NoiseFloor", "Slope", "W2Result"),  # results, made by the functions
    "proximal": ("ProxResult",),
    "conditional_mean": ("BETA_1", "BETA_T", "METHODS", "Match", "ReverseKernel", "load_complex"),  # files: test_fuzz_files
    "measurements": (),
    "chains": ("ExactWalk", "GaussianChain", "State", "Target"),
    "log_concavity": ("Certificate", "LogConcavityThreshold"),
    "noise": (),
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


def test_every_public_name_has_an_entry():
    missing = []
    for module, excused in EXCUSED.items():
        public = set(import_module(f"exactdiffusion.{module}").__all__) - set(excused)
        missing += sorted(
            f"{module}.{n}"
            for n in public
            if not any(e == f"{module}.{n}" or e.startswith((f"{module}.{n}.", f"{module}.{n} ")) for e in ENTRIES)
        )
    assert missing == []
    assert {f"laws.{n}" for n in laws.__all__} <= set(ENTRIES)
    assert {f"samplers.{n}" for n in samplers.REGISTRY} | {f"schedules.{n}" for n in schedules.REGISTRY} <= set(ENTRIES)
    assert {f"bounds.{s.module.rpartition('.')[2]}.{s.name}" for s in bounds.all_statements()} <= set(ENTRIES)


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
    cm, lc, ms, sch = conditional_mean, log_concavity, measurements, schedules
    law, x, grid = BASE["GaussianMixture"][1], np.zeros((1, DIM)), sch.log_linear(3)
    projection = import_module("exactdiffusion.bounds.projection")
    thresholds = import_module("exactdiffusion.bounds.log_concavity_thresholds")
    pcm = import_module("exactdiffusion.bounds.log_concavity")
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
        ("words", lambda: noise.standard_normal_of_words("12")),  # a TypeError
        ("noise", lambda: list(samplers.ddpm(law, grid, x, noise=np.random.default_rng(0)))),  # another normal()
        (
            "final",
            lambda: samplers.euler_maruyama(law, sch.vp_linear(3), x, noise=noise.Noise(0), last_noise=False, final=3),
        ),
        ("states", lambda: samplers.final("abc")),  # gave "c"
        ("x", lambda: list(samplers.heun(law, grid, [[1e300, 0.0, 0.0]]))),  # a warning
        ("weights", lambda: proximal.GeneralMixture([0.5], [[0.0], [1.0]], [[1.0], [1.0]])),  # an IndexError
        ("covariances", lambda: proximal.prox_gaussian([[0.0, 0.0]], 1.0, None, [[0.0, 0.0]], [[0.0, 2.0]])),  # named sigma
        ("local", lambda: proximal.EqualVariance([[0.0]])([[0.0]], 1.0, 1.0, local="no")),  # taken for True
        ("c", lambda: cm.power_grid(1, 0.0, 0.5, 2.0)),  # an IndexError
        ("law", lambda: cm.cme(3, x, 1.0)),  # an AttributeError
        ("steps", lambda: cm.study(law, 0.0, 5, 4, 0)),  # a TypeError
        ("y", lambda: cm.excess(law, np.zeros((0, DIM)), np.zeros((0, DIM)), 1.0)),  # a warning and a NaN
        ("noise", lambda: ms.posterior_sample(law, x, 1, 1.0, None)),  # an AttributeError
        ("walk", lambda: chains.langevin(law, x, noise=noise.Noise(0), walk=None)),  # an AttributeError
        ("sigma", lambda: next(chains.one_at_a_time(law, 1, 1e-310, 1, noise=noise.Noise(0), walk=chains.ULA(1, 0.1)))),
        ("weights", lambda: lc.covariance_supremum([[0.0], [1.0]], [1.0], 1.0)),  # an IndexError
        ("cloud", lambda: lc.rigorous_covariance([[]], [1.0], 1.0, [0.0])),  # an IndexError
        (
            "keep_leaves",
            lambda: lc.certify_log_concavity(PointCloud([[0.0], [1.0]]), 1.0, keep_leaves=len),
        ),  # taken for True
        ("x", lambda: measure.coupling_bound([[1e200]], [[0.0]])),  # a warning and an infinity
        ("rng", lambda: measure.noise_floor(PointCloud([[0.0]]), 3, [[0.0]], rng="seed")),  # a TypeError
        ("distance", lambda: projection.one_step_distance("far", 0.5, 0.1)),  # a TypeError
        ("eta", lambda: projection.one_step_distance(1.0, 0.5, float("nan"))),  # a NaN
        ("distance", lambda: projection.squared_w2_to_laws_on_set([])),  # a NaN
        ("m", lambda: thresholds.ula_chain_variance(1.0, 10**400, 1.0, 3, 0.1)),  # a loop without end
        ("sampler, mean, cov", lambda: gaussian("ddim", [0.0], 1e300, sch.vp_linear(3), [1e308])),  # a warning
        ("k, h, a, L", lambda: pcm.ula_strongly_log_concave(1, 0.1, 0.0, 0.0, 1, 1.0)),  # a ZeroDivisionError
    ]


@pytest.mark.parametrize("number", range(len(_found())))
def test_found_by_fuzzing(number):
    name, call = _found()[number]
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}\b.*: got "):
        call()


def test_lists_are_vectors_to_a_bound_and_not_python_lists():
    """``y + 2 * score`` of two lists was a list of twice as many entries."""
    drift = import_module("exactdiffusion.bounds.log_concavity").backward_drift
    assert np.array_equal(drift([1.0, 2.0], [3.0, 4.0]), [7.0, 10.0])


def test_grids_with_levels_beyond_the_square_root_of_the_floats():
    """Their clock and steps were infinite; B = 2 log r there."""
    grid = schedules.Grid(np.ones(3), [1e200, 1e190, 1.0])
    assert grid.integral == pytest.approx([400 * np.log(10), 380 * np.log(10), np.log(2)], rel=8 * EPS)
    assert grid.g == pytest.approx(-np.diff(grid.integral), rel=8 * EPS)
    assert np.isfinite(grid.ddpm_beta).all()
