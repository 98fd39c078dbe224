"""What a sampler meets while it is judged: the exact model of a Gaussian target, the start, the noises, and a log."""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

from .._core.arrays import to_numpy
from .._core.typing import Array
from .._core.validation import choice, fail
from ..output_laws.coefficients import Probe, caller_array

__all__ = ["PREDICTIONS", "Target", "World"]

#: what a model may be trained to predict, for ``x = scale X + sigma Z``
PREDICTIONS = ("sample", "epsilon", "v_prediction", "flow_prediction", "score")


def copied(x: Array) -> Array:
    """A copy of a state: a sampler that changes x in place hands over one array again and again.

    Examples
    --------
    >>> x = np.zeros(1)
    >>> copied(x) is x
    False
    """
    return x.clone() if hasattr(x, "clone") else x.copy() if hasattr(x, "copy") else x


@dataclass(frozen=True)
class Target:
    """N(mean, diag(deviation^2)), one direction per scale that is judged; both of shape (d,).

    Examples
    --------
    >>> mean, deviation = Target(np.array([1.0]), np.array([3.0])).moments(scale=0.5, sigma=2.0)
    >>> print(mean.item(), deviation.item())
    0.5 2.5
    """

    mean: np.ndarray
    deviation: np.ndarray

    def moments(self, scale: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of ``scale X + sigma Z``, shapes (d,)."""
        return scale * self.mean, np.hypot(scale * self.deviation, sigma)


@dataclass
class World:
    """The side of a run that is not the sampler: an adapter takes everything from here.

    An adapter is a function ``drive(world, steps)``. It takes the start from :meth:`start`, asks the exact model by
    :meth:`denoise` or :meth:`predict`, and hands over the states at known levels by :meth:`state`, the last one at least. A
    level is a pair (scale, sigma) with the law ``scale X + sigma Z``; ``scale = 1`` in variance-exploding coordinates.

    Attributes
    ----------
    target : Target
    library : {"numpy", "torch"}
        Kind of the arrays that the sampler gets.
    precision : {"float32", "float64"}
        Precision of these arrays.
    unit : float
        Unit of length: a sampler whose grid is given from outside multiplies its levels by it.
    widen : bool
        The adapter converts tables that the library keeps in float32 to float64 (:meth:`widened`).
    oracle : {"step", "timestep"}
        Level at which an adapter with a table of timesteps asks the model: the level of the step, or of the timestep.
    stretch : float
        A grid that comes from outside is stretched by this share in log sigma (:meth:`outside`).
    exact : int
        So many states after the start are replaced by the exact flow's: a multistep method then has an exact history.
    alike : bool
        The replacing states are row 0's in every row: all rows then end alike if nothing else of the start is remembered.

    Examples
    --------
    >>> world = World(Target(np.array([1.0]), np.array([3.0])))
    >>> print(world.denoise(np.array([[5.0]]), sigma=4.0).item())  # 1 + 9 / 25 (5 - 1)
    2.44
    """

    target: Target
    library: str = "numpy"
    precision: str = "float64"
    unit: float = 1.0
    widen: bool = False
    oracle: str = "step"
    stretch: float = 0.0
    exact: int = 0
    alike: bool = False
    probe: Probe = field(default_factory=Probe)
    calls: list = field(default_factory=list)
    states: list = field(default_factory=list)
    levels: list = field(default_factory=list)
    mismatch: list = field(default_factory=list)
    start_deviation: float | None = None
    begin: np.ndarray | None = None
    answers: dict = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------- the sampler's side

    def start(self, scale: float, sigma: float, deviation: float | None = None) -> Array:
        """The start at the first level; ``deviation`` is the standard deviation with which the library itself would start.

        The rows are in the precision and library of this world. The start's law is the exact one of the level; the start
        that the library prescribes is compared with it.
        """
        scale, sigma = float(scale), float(sigma)
        self.start_deviation = None if deviation is None else float(deviation)
        self.begin = self.probe.start(*self.target.moments(scale, sigma))
        return self.state(self.array(self.begin), scale, sigma)

    def outside(self, sigmas: np.ndarray) -> np.ndarray:
        """The levels with which a sampler is called whose grid comes from outside: in this unit, and stretched."""
        return self.unit * sigmas * (sigmas / sigmas[0]) ** self.stretch if self.stretch else self.unit * sigmas

    def state(self, x: Array, scale: float, sigma: float) -> Array:
        """Record that the sampler holds ``x`` at this level; returns x.

        Raises
        ------
        ValueError
            where x is no array of floats with a row for each row of the start.
        """
        given, rows = getattr(x, "shape", ()), len(self.begin if self.begin is not None else x)
        if tuple(given[:1]) != (rows,) or (self.begin is not None and math.prod(given) != self.begin.size):
            what = f"{type(x).__name__} of shape {tuple(given)}" if given else type(x).__name__
            fail("state", what, f"an array with {rows} rows, of as many numbers as the start")
        if "float" not in str(x.dtype) or "bfloat16" in str(x.dtype):
            fail("state", f"an array of {x.dtype}", "float64, float32 or float16")
        self.levels.append((float(scale), float(sigma)))
        self.states.append(copied(x))
        return x

    def between(self, x: Array, scale: float, sigma: float) -> Array:
        """As :meth:`state`, for an adapter that owns the loop and goes on with the answer: ``x = world.between(x, ...)``.

        The answer is x, but in a run with exact first states (``exact``), whose first ones are replaced.
        """
        if len(self.levels) <= self.exact:
            x = caller_array(self._flow(float(scale), float(sigma)).reshape(tuple(x.shape)), x)
        return self.state(x, scale, sigma)

    def _flow(self, scale, sigma):
        """Where the exact probability flow takes the start at this level."""
        mean, deviation = self.target.moments(*self.levels[0])
        then, spread = self.target.moments(scale, sigma)
        start = np.broadcast_to(self.begin[:1], self.begin.shape) if self.alike else self.begin
        return then + spread / deviation * (start - mean)

    def array(self, values: np.ndarray) -> Array:
        """Numbers as the sampler gets them."""
        if self.library == "torch":
            torch = importlib.import_module("torch")
            return torch.tensor(np.asarray(values, dtype=np.float64), dtype=getattr(torch, self.precision))
        return np.array(values, dtype=self.precision)  # a copy: a sampler may write into its arguments

    def denoise(self, x: Array, sigma: Any, scale: Any = 1.0) -> Array:
        """``E[X | scale X + sigma Z = x]``."""
        return self.predict("sample", x, sigma, scale)

    def model(self, x: Array, sigma: Any, scale: Any = 1.0) -> Array:
        """As :meth:`denoise`, for a function that owns its loop and calls the model with its state.

        In a run with exact first states these are written into x, which is the sampler's own array.
        """
        if 0 < len(self.calls) <= self.exact:
            exact = self._flow(self._scalar("scale", scale), self._scalar("sigma", sigma))
            x[...] = caller_array(exact.reshape(tuple(x.shape)), x)
        return self.denoise(x, sigma, scale)

    def predict(self, kind: str, x: Array, sigma: Any, scale: Any = 1.0) -> Array:
        """Exact answer of a model of this kind of prediction at one level for all rows, in the precision of x."""
        choice("kind", kind, PREDICTIONS)
        scale, sigma = self._scalar("scale", scale), self._scalar("sigma", sigma)
        self.calls.append((scale, sigma))
        key = kind, scale, sigma, x.dtype
        if key not in self.answers:
            self.answers[key] = tuple(caller_array(part, x) for part in self._affine(kind, scale, sigma))
        slope, offset = self.answers[key]
        return x * slope + offset

    def _affine(self, kind, scale, sigma):
        """Slope and offset of the model's answer, which is affine in x."""
        m, variance = self.target.mean, self.target.deviation**2
        v = scale * scale * variance + sigma * sigma
        safe = np.where(v > 0, v, 1.0)
        # (slope, offset) of the clean image and of the noise, which are affine in x: no difference of nearly equal numbers
        clean = (
            np.where(v > 0, scale * variance / safe, 1.0 / scale if scale else 0.0),
            np.where(v > 0, sigma * sigma / safe, 0.0) * m,
        )
        noise = sigma / safe, -sigma * scale / safe * m
        return {
            "sample": lambda: clean,
            "epsilon": lambda: noise,
            "v_prediction": lambda: (scale * noise[0] - sigma * clean[0], scale * noise[1] - sigma * clean[1]),
            "flow_prediction": lambda: (noise[0] - clean[0], noise[1] - clean[1]),
            "score": lambda: (-1.0 / safe, scale / safe * m),
        }[kind]()

    def normal(self, like: Array) -> Array:
        """A standard normal noise of the shape of ``like``."""
        return self.probe.normal(like)

    def interval(self, start: Any, end: Any, like: Array) -> Array:
        """The Brownian increment ``W(end) - W(start)``."""
        return self.probe.interval(float(start), float(end), like)

    def noise(self, like: Array) -> Callable:
        """What a function with a parameter ``noise`` draws from: ``noise(x)``, or ``noise(a, b)`` between two levels.

        ``noise(a, b)`` is the increment of a Brownian motion between the levels a and b, divided by its deviation.
        """

        def draw(*where):
            if len(where) == 1:
                return self.normal(where[0])
            a, b = (float(level) for level in where)
            return self.interval(a, b, like) / abs(b - a) ** 0.5

        return draw

    @contextmanager
    def answered(self) -> Iterator[None]:
        """For a torch sampler, :meth:`wide` and :meth:`torch_noise` in the block; nothing for NumPy."""
        with ExitStack() as stack:
            if self.library == "torch":
                stack.enter_context(self.wide())
                stack.enter_context(self.torch_noise())
            yield

    @contextmanager
    def wide(self) -> Iterator[None]:
        """If this world widens tables: ``torch.float32`` means float64, and torch's default is float64, in the block."""
        if not self.widen:
            yield
            return
        torch = importlib.import_module("torch")
        default = torch.get_default_dtype()
        with mock.patch.object(torch, "float32", torch.float64):
            torch.set_default_dtype(torch.float64)
            try:
                yield
            finally:
                torch.set_default_dtype(default)

    def widened(self, owner: Any) -> None:
        """Convert the float32 torch tables among the attributes of an object to float64, if this world widens tables."""
        if not self.widen:
            return
        torch = importlib.import_module("torch")
        for name, value in list(vars(owner).items()):
            if isinstance(value, torch.Tensor) and str(value.dtype) == "torch.float32":
                setattr(owner, name, value.double())

    @contextmanager
    def torch_noise(self) -> Iterator[None]:
        """Answer ``torch.randn``, ``randn_like`` and torchsde's Brownian motions from this world while the block runs.

        Other sources (``torch.normal``, ``Tensor.normal_``, NumPy's generators) are not answered: two runs then differ, and
        the sampler is not judged.
        """
        torch = importlib.import_module("torch")
        blank = self.array(np.zeros(0))

        def randn(*size, dtype=None, **_):
            shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
            return self.probe.normal(torch.empty(shape, dtype=dtype or blank.dtype))

        def randn_like(x, dtype=None, **_):
            return self.probe.normal(x if dtype is None else x.to(dtype))

        world = self

        class Tree:
            """A Brownian motion of the shape of ``w0``, or of this size: a call answers its increment."""

            def __init__(self, t0=None, w0=None, t1=None, size=None, dtype=None, **_):
                self.w0 = torch.empty(size, dtype=dtype) if w0 is None else w0

            def __call__(self, ta, tb):
                return world.interval(ta, tb, self.w0)

        with ExitStack() as stack:
            stack.enter_context(mock.patch.multiple(torch, randn=randn, randn_like=randn_like))
            if "torchsde" in sys.modules:
                stack.enter_context(mock.patch.multiple("torchsde", BrownianTree=Tree, BrownianInterval=Tree))
            yield

    # ------------------------------------------------------------------------------------------------ the judge's side

    def _scalar(self, name, value):
        """One finite number for all rows."""
        values = np.asarray(to_numpy(value), dtype=np.float64).reshape(-1)
        if len(values) == 0 or not np.isfinite(values[0]) or not np.all(values == values[0]):
            fail(name, value, "one finite level for all rows of the batch")
        return float(values[0])

    def runner(self, drive: Callable, steps: int, name: str = "sampler") -> Callable[[Probe], list]:
        """A function of a probe that makes one run and returns its states; levels and calls of the last run stay here."""

        def run(probe):
            self.probe, self.calls, self.states, self.levels, self.mismatch = probe, [], [], [], []
            try:
                drive(self, steps)
            except SystemExit as error:
                raise RuntimeError(f"{name} ends the program with code {error.code}") from error
            if len(self.states) < 2:
                wanted = (
                    "at least 2: drive(world, steps) begins with x = world.start(scale, sigma) and calls "
                    "x = world.between(x, scale, sigma) after each step, or world.state(x, scale, sigma) at the end"
                )
                fail(f"states that the adapter of {name} hands over", len(self.states), wanted)
            return self.states

        return run
