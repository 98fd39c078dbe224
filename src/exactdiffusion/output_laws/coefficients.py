r"""Exact law of the output of any affine sampler, from one run of a probing batch.

With a Gaussian target the denoiser is affine, so a linear sampler (one-step, multistep, predictor-corrector, stochastic)
maps its start ``x_0`` and its noises ``z_1 .. z_K`` to

.. math:: x_N = b + A\, x_0 + \sum_k C_k\, z_k,

direction by direction. The sampler runs untouched on a batch whose rows are known numbers: the rows' differences are the
coefficients, in the precision in which the sampler computes, and mean and variance follow without sampling error.

==============  ==========================================================
row             content
==============  ==========================================================
0               zero start, no noise: ``b``
1               start 1 (times its standard deviation), no noise: ``A``
2 .. K + 1      zero start, noise k is 1: ``C_k``
last two        a typical random run, and one with a start at 4 standard deviations: the test of superposition
==============  ==========================================================
"""

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .._core.arrays import array_namespace, from_numpy, to_numpy
from .._core.typing import Array
from .._core.validation import fail

__all__ = ["Coefficients", "NotRepeatable", "Probe", "caller_array", "coefficients"]

#: rows at the end of the batch that test superposition
TESTS = 2


class NotRepeatable(ValueError):
    """Two runs of one batch differ; ``cause`` is "noise" (a source that was not answered) or "state" (kept between runs).

    Examples
    --------
    >>> NotRepeatable("noise", "the sampler draws noise of its own").cause
    'noise'
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def caller_array(a: np.ndarray, like: Array) -> Array:
    """``a`` in the library, device and precision of ``like``.

    Examples
    --------
    >>> caller_array(np.ones(2), np.zeros(1, dtype=np.float32)).dtype
    dtype('float32')
    """
    if isinstance(like, np.ndarray):
        return a.astype(like.dtype)
    return array_namespace(like).astype(from_numpy(a, like), like.dtype)


class Probe:
    """Start and noise of a probing run: what the run asks for, and what each row is given.

    Parameters
    ----------
    requests : list
        The requests for noise of an earlier run, in order: ``None`` for a unit noise, ``(t0, t1)`` for the increment of a
        Brownian motion. Without it the probe answers 0 and only records, and the batch has the rows 0, 1 and the tests.
    rows : array_like of int, optional
        Rows of the batch that take part, in this order; default: all.

    Attributes
    ----------
    asked : list
        The requests of this run.
    size : int
        Number of rows of this run.

    Examples
    --------
    A request for a unit noise, and one for a Brownian increment: rows 2 and 3 hold one of them each, 4 and 5 are random.

    >>> probe = Probe([None, (0.0, 4.0)])
    >>> x = probe.start(np.zeros(1), np.ones(1))
    >>> print(probe.normal(x)[:4, 0], probe.interval(0.0, 4.0, x)[:4, 0])
    [0. 0. 1. 0.] [0. 0. 0. 2.]
    """

    def __init__(self, requests: list | None = None, rows: Sequence[int] | None = None) -> None:
        self.requests = requests
        self.asked: list = []
        known = requests or []
        # unit noises first, then the elementary increments between the sorted times of all interval requests
        self._unit = {k: j for j, k in enumerate(k for k, request in enumerate(known) if request is None)}
        self.times = np.unique([t for request in known if request is not None for t in request])
        self.K = len(self._unit) + max(len(self.times) - 1, 0)
        self.rows = np.arange(2 + self.K + TESTS) if rows is None else np.asarray(rows)
        self.size = len(self.rows)
        self._values: np.ndarray | None = None
        self.begin: tuple[np.ndarray, np.ndarray] | None = None

    def start(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """The starts, shape (rows, d), for a start law with this mean and standard deviation per direction."""
        mean, deviation = np.broadcast_arrays(np.asarray(mean, dtype=np.float64), np.asarray(deviation, dtype=np.float64))
        draws, d = np.random.default_rng(0), mean.shape[0]
        batch = np.zeros((2 + self.K + TESTS, d))
        batch[1] = self.amplitude(deviation)
        batch[-2] = mean + deviation * draws.standard_normal(d)
        batch[-1] = mean + 4.0 * deviation * np.sign(draws.standard_normal(d))
        self.begin = batch[-TESTS:], self.amplitude(deviation)
        return batch[self.rows]

    @staticmethod
    def amplitude(deviation: np.ndarray) -> np.ndarray:
        """Size of the unit start: the standard deviation, or 1 where it is 0."""
        return np.where(deviation > 0, deviation, 1.0)

    def values(self, d: int) -> np.ndarray:
        """The K independent noises of the rows of superposition, shape (2, K, d)."""
        if self._values is None:
            self._values = np.random.default_rng(1).standard_normal((TESTS, self.K, d))
        return self._values

    def normal(self, like: Array) -> Array:
        """A standard normal noise of the shape of ``like``, whose first axis is the batch."""
        return self._answer(None, like)

    def interval(self, start: float, end: float, like: Array) -> Array:
        """The increment ``W(end) - W(start)`` of one Brownian motion: increments of overlapping intervals are correlated."""
        return self._answer((float(start), float(end)), like)

    def _answer(self, request, like):
        number = len(self.asked)
        self.asked.append(request)
        shape = tuple(like.shape)
        if shape[:1] != (self.size,):
            fail("sampler", f"a noise of shape {shape}", f"noises with one row per row of the batch ({self.size})")
        if self.requests is None:
            return caller_array(np.zeros(shape), like)
        if number >= len(self.requests) or self.requests[number] != request:
            fail("sampler", f"request {number} for noise, {request}", "the same requests in every run (fixed steps)")

        # weights of the independent noises in this request
        weights = np.zeros(self.K)
        if request is None:
            weights[self._unit[number]] = 1.0
        else:
            low, high = np.searchsorted(self.times, sorted(request))
            increments = np.sqrt(np.diff(self.times[low : high + 1]))
            weights[len(self._unit) + np.arange(low, high)] = increments * (1.0 if request[0] <= request[1] else -1.0)

        d = int(np.prod(shape[1:]))
        batch = np.zeros((2 + self.K + TESTS, d))
        batch[2:-TESTS] = weights[:, np.newaxis]
        batch[-TESTS:] = np.tensordot(weights, self.values(d), axes=(0, 1))
        return caller_array(batch[self.rows].reshape(shape), like)


@dataclass(frozen=True)
class Coefficients:
    """The affine maps from start and noise to the states of a run, per direction.

    Attributes
    ----------
    gain : ndarray, shape (states, d)
        Multiplier of the start.
    constant : ndarray, shape (states, d)
    noise : ndarray, shape (states, K, d)
        Multipliers of the independent standard normal noises.
    residual : ndarray, shape (states, d)
        Failure of superposition relative to the numbers in it; ``inf`` where a state is not finite.
    requests : tuple
        The requests for noise, in order.
    eps : float
        Rounding unit of the precision in which the sampler computed.

    Examples
    --------
    >>> found = coefficients(lambda probe: [0.5 * probe.start(np.zeros(2), np.ones(2)) + 1.0])
    >>> found.gain, found.constant, found.affine
    (array([[0.5, 0.5]]), array([[1., 1.]]), array([ True,  True]))
    """

    gain: np.ndarray
    constant: np.ndarray
    noise: np.ndarray
    residual: np.ndarray
    requests: tuple
    eps: float

    @property
    def affine(self) -> np.ndarray:
        """Directions, shape (d,), in which all states are affine: superposition to the square root of the rounding unit."""
        return np.all(self.residual <= np.sqrt(self.eps), axis=0)

    @property
    def finite(self) -> np.ndarray:
        """Directions, shape (d,), in which all states are finite numbers."""
        return np.all(np.isfinite(self.residual), axis=0)

    def law(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of every state, shapes (states, d), for a start with this mean and variance per direction."""
        spread = np.sum(self.noise**2, axis=1)
        return self.constant + self.gain * mean, self.gain**2 * variance + spread


def _reseed():
    """Global random generators at a fixed seed, so that only a kept state can make two runs differ."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _states(run, probe):
    """The states of a run as one array, shape (states, rows, d), and the rounding unit of the last one."""
    states = list(run(probe))
    if not states:
        fail("run", states, "a run that returns at least one state")
    arrays = [np.asarray(to_numpy(state)) for state in states]
    eps = max(np.finfo(a.dtype).eps if a.dtype.kind == "f" else np.finfo(np.float64).eps for a in arrays)
    return np.stack([a.astype(np.float64).reshape(len(a), -1) for a in arrays]), float(eps)


def coefficients(run: Callable[[Probe], Sequence[Array]], *, repeat: bool = True) -> Coefficients:
    """Coefficients of the states of a sampler in its start and its noises.

    Parameters
    ----------
    run : callable
        ``run(probe)`` makes one complete run and returns its states, at least the last one, each with the batch as first
        axis, in NumPy or torch. It takes its start from ``probe.start(mean, deviation)`` and every noise from
        ``probe.normal(like)`` or ``probe.interval(t0, t1, like)``.
    repeat : bool
        Run the batch twice and compare bit for bit.

    Returns
    -------
    Coefficients

    Raises
    ------
    NotRepeatable
        if two runs differ. Its cause is found by a pair of runs with equal seeds of Python's, NumPy's and torch's global
        generators: "noise" if these agree, "state" if they do not.
    ValueError
        if the requests for noise change with the numbers in the batch (adaptive steps).

    Examples
    --------
    One Ornstein-Uhlenbeck step: mean 1 / 2 and variance 1 / 4 + 3 = 13 / 4 for a start N(1, 1).

    >>> import numpy as np
    >>> def run(probe):
    ...     x = probe.start(np.ones(1), np.ones(1))
    ...     return [0.5 * x + np.sqrt(3.0) * probe.normal(x)]
    >>> mean, variance = coefficients(run).law(np.ones(1), np.ones(1))
    >>> print(mean.item(), round(variance.item(), 14))
    0.5 3.25
    """
    # a first run that only records which noises are asked for
    probe = Probe()
    states, eps = _states(run, probe)
    requests = probe.asked

    # the probing run, which is the first one where no noise was asked for, and the same run again
    if requests:
        probe = Probe(requests)
        states, eps = _states(run, probe)
    if repeat:
        again = Probe(requests)
        _same(run, requests, states, _states(run, again)[0])
    if probe.begin is None:
        fail("run", run, "a run that takes its start from probe.start(mean, deviation)")

    # coefficients are differences from row 0
    starts, amplitude = probe.begin
    with np.errstate(invalid="ignore", over="ignore"):
        base = states[:, :1]
        gain = (states[:, 1] - base[:, 0]) / amplitude
        noise = states[:, 2:-TESTS] - base
        residual = _superposition(states, gain, noise, starts, probe.values(states.shape[2]))
    return Coefficients(gain, base[:, 0], noise, residual, tuple(requests), eps)


def _same(run, requests, states, again):
    """NotRepeatable, with its cause, where two runs of one batch differ in a bit."""
    if states.shape == again.shape and np.array_equal(states, again, equal_nan=True):
        return
    pair = []
    for _ in range(2):
        _reseed()
        pair.append(_states(run, Probe(requests))[0])
    equal = pair[0].shape == pair[1].shape and np.array_equal(*pair, equal_nan=True)
    size = float(np.nanmax(np.abs(states - again))) if states.shape == again.shape else np.inf
    if equal:
        raise NotRepeatable("noise", f"two runs of one batch differ by up to {size:.3g}: a noise source was not answered")
    raise NotRepeatable(
        "state",
        f"two runs of one batch with equal seeds differ (by up to {size:.3g}): a state is kept, such as a generator's",
    )


def _superposition(states, gain, noise, starts, values):
    """Largest difference of the test rows from the affine prediction, relative to the sizes of its terms."""
    residual = np.zeros(gain.shape)
    for j in range(TESTS):
        moved = gain * starts[j]
        drawn = np.einsum("skd,kd->sd", noise, values[j])
        size = np.abs(states[:, 0]) + np.abs(moved) + np.sqrt(np.sum((noise * values[j]) ** 2, axis=1))
        error = np.abs(states[:, -TESTS + j] - (states[:, 0] + moved + drawn))
        residual = np.maximum(residual, np.where(error == 0, 0.0, error / np.where(size > 0, size, 1.0)))
    return np.where(np.isfinite(residual), residual, np.inf)
