"""Counter-based Gaussian noise: row ``i`` of step ``k`` is the same whatever the batch, the chunk, the process, the device.

Philox 4x64-10 (Salmon et al. 2011) is keyed by ``(seed, step)``; entry ``(row, column)`` of the infinite matrix of that step
uses the 64-bit word number ``row * d + column``, and one word gives one normal through the inverse distribution
function. Consumption is fixed, so any block can be produced alone. Bits are equal for one build of SciPy; another build
may move the last bit of the inverse distribution function.
"""

from collections.abc import Callable
from typing import Self

import numpy as np

from .arrays import from_numpy, to_numpy
from .fixed import Fixed
from .typing import Array, ArrayLike, Schedule
from .validation import fail, integer, no_mask, real_array

__all__ = ["BrownianPath", "Noise", "standard_normal_of_words"]

_WORD = 2**64 - 1


def standard_normal_of_words(words: np.ndarray) -> np.ndarray:
    """One standard normal per 64-bit word, by the inverse distribution function at ``(top 52 bits + 1/2) 2^-52``.

    Half-integers of 52 bits are exact in float64, symmetric about 1/2 and never 0 or 1; with 53 bits the largest would
    round to 1 and give an infinity.

    Examples
    --------
    >>> z = standard_normal_of_words(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64))
    >>> bool(z[0] < -8), bool(abs(z[1]) < 1e-9), bool(z[2] > 8)
    (True, True, True)
    """
    from scipy.special import ndtri  # lazy: importing the package stays cheap

    no_mask("words", words)
    if not isinstance(words, np.ndarray) or words.dtype != np.uint64:
        fail("words", words, "an array of unsigned 64-bit integers")

    return ndtri(((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def _normals(key, start, count):
    """``count`` standard normals, words ``start, start + 1, ...`` of the Philox stream ``key``."""
    block, offset = divmod(start, 4)  # one counter value gives four words
    words = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=block).random_raw(offset + count)
    return standard_normal_of_words(words[offset:])


class _Rows:
    """Shared interface of noise sources: ``normal`` and views that start at another row."""

    _first = 0
    #: (step, start, n, d) -> rows start .. start + n - 1 of the matrix of that step
    _block: Callable[[int, int, int, int], np.ndarray]

    def normal(self, step: int, n: int, d: int, start: int = 0, like: Array | None = None) -> Array:
        """Rows ``start .. start + n - 1`` of step ``step``'s infinite standard normal matrix with ``d`` columns.

        Parameters
        ----------
        step : int in [0, 2^64)
        n, d : int
            Rows and columns. The matrix depends on ``d`` (not only on the column).
        start : int
            First row (relative to the first row of this view, see :meth:`rows`).
        like : array, optional
            The result is transferred to the namespace and device of this array (NumPy by default).

        Returns
        -------
        array, shape (n, d), float64
        """
        step = integer("step", step, low=0, high=_WORD)
        n, d = integer("n", n, low=0), integer("d", d, low=1)
        start = integer("start", start, low=0) + self._first
        z = self._block(step, start, n, d)
        return z if like is None else from_numpy(z, like)

    def rows(self, start: int) -> Self:
        """View whose row 0 is row ``start`` of this source: hand it to a sampler that runs a chunk beginning there."""
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._first = self._first + integer("start", start, low=0)
        return view


class Noise(_Rows):
    """Standard normal noise keyed by (seed, step, row, column).

    Parameters
    ----------
    seed : int in [0, 2^64)

    Notes
    -----
    Samplers draw ``normal(i, n, d)`` for the step from level ``i`` to level ``i + 1``. :meth:`initial` is a step that no
    sampler uses, for the start.

    Examples
    --------
    >>> noise = Noise(0)
    >>> start = noise.initial(4, 2)
    >>> bool(np.array_equal(noise.initial(2, 2, start=2), start[2:]))
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = integer("seed", seed, low=0, high=_WORD)

    def __repr__(self):
        return f"Noise({self.seed}{f', first row {self._first}' if self._first else ''})"

    def _block(self, step, start, n, d):
        return _normals((self.seed, step), start * d, n * d).reshape(n, d)

    def initial(self, n: int, d: int, start: int = 0, like: Array | None = None) -> Array:
        """Rows of the matrix of step 2^64 - 1, reserved for initial states; arguments as in :meth:`normal`."""
        return self.normal(_WORD, n, d, start, like)


class BrownianPath(Fixed):
    r"""One Brownian path shared by runs with different numbers of steps.

    Parameters
    ----------
    seed : int in [0, 2^64)
    fine : Grid or array_like, shape (M + 1,)
        The finest grid (its clock is ``B = -log alpha_bar``, the time of the VP-SDE), or monotone clock values.

    Notes
    -----
    Cell ``j`` of the fine clock has the increment ``sqrt(dB_j) z_j``, with ``z_j`` step ``j`` of ``Noise(seed)``.
    :meth:`increments` returns a noise source for any grid made of knots of the fine one: its step ``k`` is

    .. math:: \Big(\sum_{j \in k} \sqrt{\Delta B_j}\, z_j\Big) \Big/ \sqrt{\textstyle\sum_{j \in k} \Delta B_j},

    exactly standard normal and independent between steps for every grid, while the runs share one path. A sampler takes
    it as ``noise=``. Example: ``path = BrownianPath(7, schedules.vp_linear(160))``, then
    ``euler_maruyama(law, grid, x, noise=path.increments(grid))`` for ``vp_linear(N)``, N = 10, 20, 40, 80, 160.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> fine = schedules.vp_linear(8)
    >>> path = BrownianPath(7, fine)
    >>> path.increments(fine[::2]).normal(0, 3, 2).shape
    (3, 2)
    """

    def __init__(self, seed: int, fine: Schedule | ArrayLike) -> None:
        self._noise = Noise(seed)
        self.seed = self._noise.seed
        self._clock = _clock("fine", fine)
        self._fix()

    def __repr__(self):
        return f"BrownianPath({self.seed}, {self._clock.shape[0] - 1} cells)"

    def increments(self, grid: Schedule | ArrayLike) -> "_Increments":
        """Noise source (``normal``, ``rows``): step ``k`` is the normalised increment of the path over that step.

        Raises
        ------
        ValueError
            If a knot of ``grid`` is not a knot of the fine clock (to 64 units in the last place of the clock's range).
        """
        clock = _clock("grid", grid)
        index = np.searchsorted(self._clock, clock)
        index = np.clip(index, 0, self._clock.shape[0] - 1)
        lower = np.clip(index - 1, 0, None)
        index = np.where(np.abs(self._clock[lower] - clock) < np.abs(self._clock[index] - clock), lower, index)
        tolerance = 64 * np.finfo(np.float64).eps * np.max(np.abs(self._clock))
        distance = np.abs(self._clock[index] - clock)
        if (distance > tolerance).any() or (np.diff(index) <= 0).any():
            worst = clock[np.argmax(distance)]
            fail("grid", grid, f"knots taken from the fine clock ({float(worst)!r} is not one of them)")
        return _Increments(self._noise, self._clock, index)


def _clock(name, grid):
    """Increasing clock values of a Grid or of an array."""
    values = grid.integral if hasattr(grid, "integral") else grid
    values = to_numpy(real_array(name, values, "a Grid or monotone clock values"))
    if values.ndim != 1 or values.shape[0] < 2:
        fail(f"{name} (shape {values.shape})", grid, "one schedule for all rows, with at least one step")
    with np.errstate(over="ignore"):
        reach = np.max(values) - np.min(values)
    if reach == np.inf:
        fail(name, grid, "clock values whose differences stay in the range of floats")
    steps = np.diff(values)
    if (steps < 0).all():
        values = values[::-1]
    elif not (steps > 0).all():
        fail(name, grid, "strictly monotone clock values")
    return np.array(values)


class _Increments(_Rows):
    """Normalised increments over the cells ``index[m] .. index[m + 1]`` of an increasing fine clock, last cell first."""

    def __init__(self, noise, clock, index):
        self._noise, self._width, self._index = noise, np.diff(clock), index

    def _block(self, step, start, n, d):
        cells = self._index.shape[0] - 1
        if step >= cells:
            fail("step", step, f"a step of the grid, below {cells}")
        # Reverse time: step 0 leaves the noisiest level, where the clock is largest.
        low, high = self._index[cells - 1 - step], self._index[cells - step]
        total = np.zeros((n, d))
        for j in range(low, high):
            total += np.sqrt(self._width[j]) * self._noise.normal(j, n, d, start)
        return total / np.sqrt(np.sum(self._width[low:high]))
