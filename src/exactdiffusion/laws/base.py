"""What all laws share: noise levels, blocked evaluation, parameters on the device of the argument, wrappers.

Contract. ``law.noised(scale, sigma)`` is the law of ``scale * X + sigma * N(0, I)``. ``scale`` and ``sigma``
are scalars or arrays of shape (n,), one value per row of the argument. A law that cannot do an operation
exactly does not have the method.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from .._core.arrays import array_namespace, device, from_numpy, is_numpy, to_numpy
from .._core.typing import Array, ArrayLike, Law, Namespace, Rng
from .._core.validation import fail, integer, points, real_array

__all__ = ["Counted", "Denoiser", "NoisedLaw", "Parameters"]

EPS = float(np.finfo(np.float64).eps)
# Coordinates, levels and the points of a law are at most this: their squares, summed over coordinates, do not overflow.
LARGE = 1e150
# A sigma below this share of scale times the size of the law is treated as its limit 0; never so at scale 0.
TINY = 1 / LARGE
# Densities, which have sigma^2 in the denominator, are refused below this absolute level.
TINY_SIGMA = 1e-140
# The largest quotient of the size of a law and its smallest positive standard deviation or radius.
SPREAD = 1e100
# Doubles in one temporary of a blocked kernel; a kernel holds at most about six of them at once (48 MB).
BLOCK_DOUBLES = 1 << 20


def level(name: str, value: ArrayLike) -> float | np.ndarray:
    """A noise level: a Python float, or a NumPy array (n,) of one value per row; finite and >= 0."""
    if isinstance(value, float) and 0 <= value < math.inf:
        return float(value)
    array = to_numpy(real_array(name, value, "a finite number >= 0, or one per row, shape (n,)"))
    if array.ndim > 1:
        fail(f"{name} (shape {array.shape})", value, "a scalar or shape (n,)")
    if np.any(array < 0):
        fail(name, value, "finite numbers >= 0")
    return float(array) if array.ndim == 0 else np.array(array, dtype=np.float64)


def levels(scale: ArrayLike, sigma: ArrayLike) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Validated pair (scale, sigma): not both 0, equal lengths where both are per row."""
    scale, sigma = level("scale", scale), level("sigma", sigma)
    if isinstance(scale, float) and isinstance(sigma, float):
        nothing = scale == sigma == 0
    else:
        if isinstance(scale, np.ndarray) and isinstance(sigma, np.ndarray) and len(scale) != len(sigma):
            fail(f"sigma (length {len(sigma)})", sigma, f"the length {len(scale)} of scale")
        nothing = np.any((np.asarray(scale) == 0) & (np.asarray(sigma) == 0))
    if nothing:
        fail("sigma", sigma, "scale and sigma not both 0")
    return scale, sigma


def bounded(name: str, value: Any, array: float | np.ndarray, high: float = LARGE, low: float = 0.0) -> float:
    """Raise where an entry is above ``high``, or the largest one below ``low`` and not 0: squares leave the range there."""
    top = abs(array) if isinstance(array, float) else float(np.max(np.abs(array), initial=0.0))
    if top > high or 0 < top < low:
        least = f", the largest of them 0 or at least {low:g}" if low else ""
        fail(name, value, f"numbers of at most {high:g} in absolute value{least}: their squares leave the range of floats")
    return top


def largest(xp: Namespace, x: Array) -> float:
    """Largest absolute value of a non-empty array, without a temporary in NumPy."""
    return max(float(x.max()), -float(x.min())) if is_numpy(xp) else float(xp.max(xp.abs(x)))


def queries(name: str, value: ArrayLike, dim: int, size: bool = False) -> Any:
    """A batch of points (n, dim) of at most `LARGE` in every coordinate; with ``size`` also a bound of those: the largest,
    of arrays other than NumPy's the largest norm of a row."""
    xp = array_namespace(value)
    x = points(name, value, dim, finite=False)
    # One number says that all coordinates are finite and small; of a device no more than that is asked.
    if not x.shape[0]:
        top = 0.0
    elif is_numpy(xp):
        top = largest(xp, x)
    else:
        top = math.sqrt(float(xp.max(xp.sum(x * x, axis=-1))))
    if not top <= LARGE:
        points(name, value, dim)
        top = largest(xp, x)
    if top > LARGE:
        fail(name, value, f"coordinates of at most {LARGE:g} in absolute value: their squares leave the range of floats")
    return (x, top) if size else x


def spread(name: str, value: Any, size: float, thin: float) -> None:
    """Raise where the smallest positive length of a law is out of proportion to its size; 0 is what to say then."""
    if thin < max(size / SPREAD, 1 / LARGE):
        fail(
            name,
            value,
            f"lengths (radii, standard deviations) of at least {1 / LARGE:g} and {1 / SPREAD:g} of the "
            "largest coordinate (or variances of exactly 0): below, squares leave the range of floats",
        )


def generator(rng: Rng) -> np.random.Generator:
    """A NumPy generator from a generator or an integer seed; there is no global random state."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (bool, np.bool_)) or not isinstance(rng, (int, np.integer)) or rng < 0:
        fail("rng", rng, "a numpy.random.Generator or an integer seed >= 0")
    return np.random.default_rng(int(rng))


class Parameters:
    """NumPy parameters of a law, transferred once to each namespace and device they are asked for.

    Examples
    --------
    >>> import numpy as np
    >>> Parameters(mean=[1.0, 2.0])("mean", np.empty(0))
    array([1., 2.])
    """

    def __init__(self, **arrays: ArrayLike) -> None:
        self._host = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in arrays.items()}
        self._copies: dict[tuple[str, str, str], Any] = {}

    def add(self, **arrays: ArrayLike) -> None:
        """More parameters of the same law."""
        self._host.update((k, np.ascontiguousarray(v, dtype=np.float64)) for k, v in arrays.items())

    def on(self, like: Array) -> dict[str, Array]:
        """All parameters by name, in the namespace and on the device of ``like``."""
        return self._host if type(like) is np.ndarray else {name: self(name, like) for name in self._host}

    def __call__(self, name: str, like: Array) -> Array:
        xp = array_namespace(like)
        if is_numpy(xp):
            return self._host[name]
        key = (name, xp.__name__, str(device(like)))
        if key not in self._copies:
            self._copies[key] = from_numpy(self._host[name], like)
        return self._copies[key]

    def cached(
        self, name: str, like: Array, make: Callable[[], Any], lock: contextlib.AbstractContextManager | None = None
    ) -> Any:
        """Whatever ``make()`` derives from the parameters, once per namespace and device.

        Without ``lock`` threads that ask at the same time may each make their own; one of them stays.
        """
        xp = array_namespace(like)
        key = (name, xp.__name__, str(device(like)))
        if key not in self._copies:
            with lock or contextlib.nullcontext():
                if key not in self._copies:
                    self._copies[key] = make()
        return self._copies[key]

    def __getstate__(self):
        return {"_host": self._host, "_copies": {}}


class NoisedLaw:
    """Law of ``scale * X + sigma * N(0, I)`` for a base law of X: argument checks, blocks and sampling.

    Every coordinate, ``sigma``, ``scale`` and ``scale`` times the size of the law are at most 1e150, and x is at most
    1e150 times what spreads the law (``sigma``; for a posterior also ``scale`` times its smallest length): larger
    arguments are a ValueError. Whether sigma counts as 0 is decided by sigma / (scale * size of the law), never at scale 0.

    Subclasses give `_run` a kernel ``(x, s, t)`` on one block of rows, where ``s`` and ``t`` are arrays of
    shape (b,) or (1,) in the namespace of x.

    Examples
    --------
    >>> from exactdiffusion import Sphere
    >>> Sphere(1.0, 2).noised(1.0, 0.5).covariance
    array([[0.75, 0.  ],
           [0.  , 0.75]])
    """

    # What becomes of rows beyond LARGE * sigma in a posterior: "limit" (an atom has all the weight), "refuse" or None.
    _far: str | None = None

    def __init__(self, law: Any, scale: ArrayLike, sigma: ArrayLike) -> None:
        self.law = law
        self.dim = law.dim
        self.scale, self.sigma = levels(scale, sigma)
        # The largest coordinate of the law (1 for a point at 0), and its smallest positive length.
        self._size, self._thin = getattr(law, "_size", 1.0), getattr(law, "_thin", 1.0)
        bounded("sigma", self.sigma, self.sigma)
        bounded("scale", self.scale, self.scale, LARGE / max(self._size, 1.0))

    def __repr__(self):
        return f"{self.law!r}.noised(scale={self.scale!r}, sigma={self.sigma!r})"

    @property
    def _per_row(self):
        return not (isinstance(self.scale, float) and isinstance(self.sigma, float))

    @property
    def mean(self) -> np.ndarray:
        """Mean (d,), where it is known and the level is a scalar."""
        if self._per_row:
            raise AttributeError("mean: one law per row has no single mean")
        return self.scale * self.law.mean

    @property
    def covariance(self) -> np.ndarray:
        """Covariance (d, d), where it is known and the level is a scalar."""
        if self._per_row:
            raise AttributeError("covariance: one law per row has no single covariance")
        return self.scale**2 * self.law.covariance + self.sigma**2 * np.eye(self.dim)

    def _check(self, x, size=False):
        x, top = queries("x", x, self.dim, size=True)
        for name in ("scale", "sigma"):
            value = getattr(self, name)
            if not isinstance(value, float) and len(value) != x.shape[0]:
                fail(f"{name} (length {len(value)})", value, f"one value per row of x, {x.shape[0]} rows")
        return (x, top) if size else x

    def _levels(self):
        return tuple(np.array([v]) if isinstance(v, float) else v for v in (self.scale, self.sigma))

    def _in_range(self, x, top_x=None):
        """(x, scale, sigma) with the same conditional law of X, of which no square over- or underflows; ``top_x`` is a
        bound of the coordinates of x where one is known.

        Unchanged, bit for bit, at all but extreme levels. Otherwise rows are multiplied by powers of 2, x is 0 at scale
        0, where it says nothing, and sigma is 0 where nothing tells it from 0.
        """
        if top_x is not None and not self._per_row:  # the conditions below, for the usual case, in numbers
            s, t = self.scale, self.sigma
            reach, least = s * self._size, t if t > 0 and self._far is not None else max(s * self._thin, t)
            plain = s > 0 and max(reach, t) >= 1e-100 and (t == 0 or t >= max(TINY_SIGMA, TINY * reach))
            if plain and top_x <= LARGE * min(least, 1.0):
                return x, *self._levels()

        # The same conditions with levels per row, or with the largest coordinate of x still to be found.
        xp = array_namespace(x)
        s, t = self._levels()
        with np.errstate(under="ignore"):
            reach, thin = s * self._size, s * self._thin
            top = np.maximum(thin, t)
            plain = (s > 0) & (np.maximum(reach, t) >= 1e-100) & ((t == 0) | (t >= np.maximum(TINY_SIGMA, TINY * reach)))
            top_x = largest(xp, x) if top_x is None else top_x
            least = np.where((t > 0) & (self._far is not None), np.minimum(t, top), top)
            if plain.all() and top_x <= LARGE * min(float(np.min(least)), 1.0):
                return x, s, t

            # Rows at the limits: scale 0, sigma that counts as 0, and x beyond what the law allows.
            far = to_numpy(xp.max(xp.abs(x), axis=-1))
            s, t, reach, top = (np.array(np.broadcast_to(v, far.shape)) for v in (s, t, reach, top))
            gone = s == 0
            far = np.where(gone, 0.0, far)
            t = np.where(gone, 1.0, np.where(t < TINY * reach, 0.0, t))
            beyond = far > LARGE * np.minimum(top, 1.0)
            if self._far is not None:
                outside = (t > 0) & (far > LARGE * np.minimum(t, 1.0))
                if self._far == "limit":
                    t = np.where(outside & ~beyond, 0.0, t)
                else:
                    beyond = beyond | outside
            if np.any(beyond & ~gone):
                fail("x", x, f"coordinates of at most {LARGE:g} times sigma and scale * size of the law")

            # Units in which no square over- or underflows.
            unit = np.maximum(reach, t)
            unit = np.where((unit < 1e-100) | ((t > 0) & (t < TINY_SIGMA)), 2.0 ** np.floor(np.log2(unit)), 1.0)
            x = xp.where(column(xp, from_numpy(gone, x)), xp.zeros_like(x), x) / column(xp, from_numpy(unit, x))
            s, t = s / unit, t / unit
            # Rows that share their level are summed as such, in these units as in others.
            return (x, s[:1], t[:1]) if len(s) and np.all(s == s[0]) and np.all(t == t[0]) else (x, s, t)

    def _run(self, kernel, x, shape, block, posterior=False):
        """Apply ``kernel(x, s, t)`` to blocks of rows of a checked x; ``shape`` is the shape of one row of
        output, ``posterior`` says that it is a quantity of the law of X given x."""
        xp = array_namespace(x)
        n = x.shape[0]
        if n == 0:
            return xp.zeros((0, *shape), dtype=xp.float64, device=device(x))
        if posterior:
            x, scale, sigma = self._in_range(x)
        else:
            scale, sigma = self._levels()
        block = max(1, int(block))
        out = []
        for i in range(0, n, block):
            s, t = (from_numpy(v if v.shape[0] == 1 else v[i : min(i + block, n)], x) for v in (scale, sigma))
            out.append(kernel(x[i : min(i + block, n), :], s, t))
        return out[0] if len(out) == 1 else xp.concat(out, axis=0)

    def _need_noise(self, what, x, regular=False, top_x=math.inf):
        """Raise where ``what`` needs a density and there is none in float64: sigma too small, or x too far.

        ``regular`` says that the law has a density at sigma = 0; ``top_x`` is a bound of the coordinates of x, if known.
        """
        if not self._per_row:  # the conditions below, for the usual case, in numbers
            floor = max(self.sigma, self.scale * self._thin) if regular else self.sigma
            if floor >= max(TINY_SIGMA, TINY * self.scale * self._size) and top_x <= LARGE * min(floor, 1.0):
                return
        s, t = self._levels()
        with np.errstate(under="ignore"):
            reach, floor = s * self._size, np.maximum(t, s * self._thin) if regular else t
        if np.any(floor < np.maximum(TINY_SIGMA, TINY * reach)):
            fail(
                "sigma",
                self.sigma,
                f"sigma >= {TINY_SIGMA:g} and >= {TINY:g} scale * size of the law: "
                f"{what} of a law without density is not defined at 0",
            )
        xp = array_namespace(x)
        if x.shape[0] and float(np.min(floor)) < 1.0:
            far = to_numpy(xp.max(xp.abs(x), axis=-1))
            if np.any(far > LARGE * np.minimum(floor, 1.0)):
                fail("x", x, f"coordinates of at most {LARGE:g} times sigma and the deviations of the law")

    def sample(self, n: int, rng: Rng) -> np.ndarray:
        """``n`` independent draws, NumPy (n, d); one row per level where levels are per row.

        Parameters
        ----------
        n : int
            Number of rows.
        rng : numpy.random.Generator or int
            Source of randomness or its seed.
        """
        n, rng = integer("n", n, low=0), generator(rng)
        for name in ("scale", "sigma"):
            value = getattr(self, name)
            if np.ndim(value) and len(value) != n:
                fail("n", n, f"{len(value)}, one row per value of {name}")
        base = self.law.sample(n, rng)
        scale, sigma = (np.reshape(np.asarray(v, dtype=np.float64), (-1, 1)) for v in (self.scale, self.sigma))
        return scale * base + sigma * rng.standard_normal((n, self.dim))


def column(xp: Namespace, a: Array) -> Array:
    """Shape (b,) or (1,) to (b, 1) or (1, 1)."""
    return xp.reshape(a, (-1, 1))


def norm_rows(xp: Namespace, a: Array) -> Array:
    """Euclidean norms of rows, (n, d) -> (n,)."""
    return xp.sqrt(xp.sum(a * a, axis=-1))


class Denoiser:
    """A user's denoiser as an oracle.

    Parameters
    ----------
    fn : callable
        ``fn(x, sigma)`` with x (n, d) in variance-exploding coordinates (``x = X + sigma Z``) and sigma a
        float or an array (n,);
        returns the estimate of X, shape (n, d).
    dim : int
        Dimension d.

    Notes
    -----
    ``Denoiser(fn, d).noised(scale, sigma).denoise(x) = fn(x / scale, sigma / scale)``. It is an oracle and
    not a law: nothing says that fn is a posterior mean of anything, so there is no score, density or sample.

    Examples
    --------
    >>> Denoiser(lambda x, sigma: x / (1 + sigma**2), 1).noised(1.0, 1.0).denoise([[2.0]])
    array([[1.]])
    """

    def __init__(self, fn: Callable[[Array, Any], Array], dim: int) -> None:
        if not callable(fn):
            fail("fn", fn, "a callable fn(x, sigma)")
        self.fn = fn
        self.dim = integer("dim", dim, low=1)

    def __repr__(self):
        return f"Denoiser({getattr(self.fn, '__name__', self.fn)!r}, dim={self.dim})"

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "_NoisedDenoiser":
        """Oracle for ``scale * X + sigma * Z``; ``scale`` must be positive.

        Raises
        ------
        ValueError
            ``scale`` is 0: fn knows nothing of the prior mean.
        """
        return _NoisedDenoiser(self, scale, sigma)


class _NoisedDenoiser(NoisedLaw):
    def __init__(self, law, scale, sigma):
        super().__init__(law, scale, sigma)
        if np.any(np.asarray(self.scale) == 0):
            fail("scale", scale, "scale > 0 for a user's denoiser")

    sample = property(doc="A denoiser has no samples.")
    mean = property(doc="A denoiser has no mean.")
    covariance = property(doc="A denoiser has no covariance.")

    def denoise(self, x: ArrayLike) -> Array:
        """``fn(x / scale, sigma / scale)``, shape (n, d)."""
        x = self._check(x)
        xp = array_namespace(x)
        with np.errstate(over="ignore"):
            ratio = np.asarray(self.sigma) / np.asarray(self.scale)
            reach = LARGE / np.asarray(self.scale)
        if not np.all(np.isfinite(ratio)) or not np.all(np.isfinite(reach)):
            fail("scale", self.scale, f"a scale of which sigma and {LARGE:g} are finite multiples")
        ratio = float(ratio) if ratio.ndim == 0 else from_numpy(ratio, x)
        scale = self.scale if not np.ndim(self.scale) else column(xp, from_numpy(self.scale, x))
        out = real_array("fn (its result)", self.law.fn(x / scale, ratio))
        if tuple(out.shape) != tuple(x.shape):
            fail(f"fn (its result, shape {tuple(out.shape)})", out, f"shape {tuple(x.shape)}")
        return out


_KINDS = frozenset(
    (
        *("log_density", "score", "hessian", "denoise", "posterior_covariance", "prox", "prox_local"),
        *("project", "distance", "nearest", "gap"),
    )
)


class Counted:
    """Wrap a law or oracle and count what is asked of it.

    Attributes
    ----------
    calls, rows : collections.Counter
        Number of calls and number of rows of x, by kind (``"denoise"``, ``"score"``, ...); a kind never
        asked for counts 0.

    Notes
    -----
    Everything else is that of the wrapped law; noised laws made from it (and from those) count into the same
    two counters.

    Examples
    --------
    >>> from exactdiffusion import Sphere
    >>> law = Counted(Sphere(1.0, 2))
    >>> _ = law.noised(1.0, 0.5).denoise([[1.0, 0.0], [0.0, 1.0]])
    >>> law.calls["denoise"], law.rows["denoise"]
    (1, 2)
    """

    def __init__(self, law: Law) -> None:
        if not callable(getattr(law, "noised", None)):
            fail("law", law, "an object with a method noised(scale, sigma)")
        self.law = law
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def __repr__(self):
        return f"Counted({self.law!r})"

    def reset(self) -> None:
        """Set all counts to 0."""
        self.calls.clear()
        self.rows.clear()

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "_CountedView":
        """The noised law, counting into this object."""
        return _CountedView(self.law.noised(scale, sigma), self.calls, self.rows)

    def __getattr__(self, name):
        if name in ("law", "calls", "rows") or name.startswith("__"):
            raise AttributeError(name)
        return _counting(self.law, name, self.calls, self.rows)


class _CountedView:
    def __init__(self, law, calls, rows):
        self._law, self._calls, self._rows = law, calls, rows

    def __repr__(self):
        return f"Counted({self._law!r})"

    def __getattr__(self, name):
        if name in ("_law", "_calls", "_rows") or name.startswith("__"):
            raise AttributeError(name)
        value = _counting(self._law, name, self._calls, self._rows)
        if name == "noised":
            return lambda *a, **k: _CountedView(value(*a, **k), self._calls, self._rows)
        return value


def _counting(law, name, calls, rows):
    value = getattr(law, name)
    if name not in _KINDS:
        return value

    def method(x, *args, **kwargs):
        result = value(x, *args, **kwargs)  # first: what is refused was no call
        calls[name] += 1
        shape = getattr(x, "shape", None)
        rows[name] += int(shape[0]) if shape else len(x)
        return result

    return method


LOG_2PI = math.log(2 * math.pi)
