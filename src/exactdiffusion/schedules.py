r"""Noise schedules and the only place where notation is translated.

A schedule is a :class:`Grid` of ``N + 1`` noise levels, noisy to clean: state ``i`` is ``scale[i] * X + sigma[i] * Z``.
All other notations derive from the noise ratio ``r = sigma / scale``::

    alpha_bar = 1 / (1 + r^2)     SNR = 1 / r^2     B = -log alpha_bar = log(1 + r^2) = int_0^t beta(s) ds

VE coordinates have ``scale = 1``, VP coordinates ``scale = sqrt(alpha_bar)``, ``sigma = sqrt(1 - alpha_bar)``. Constructors
return the coordinates in which their schedule is published (VE, except :func:`vp_linear`); :meth:`Grid.to_vp` and
:meth:`Grid.to_ve` convert a grid, and ``x * new.scale[0] / old.scale[0]`` converts a batch.

Two things are called beta: :attr:`Grid.beta` is the *relative step* ``1 - r[i+1] / r[i]`` of the projection paper
(arXiv 2306.04848); the DDPM betas ``1 - alpha_bar[i] / alpha_bar[i+1]`` are :attr:`Grid.ddpm_beta`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from ._core.arrays import to_numpy
from ._core.external import free_name
from ._core.fixed import Fixed
from ._core.typing import ArrayLike
from ._core.validation import choice, fail, integer, real_array, scalar
from .statements.projection import beta_star

__all__ = [
    "QUANTISED",
    "REGISTRY",
    "Grid",
    "admissible",
    "alpha_bar_from_beta",
    "alpha_bar_from_integral",
    "alpha_bar_from_sigma",
    "beta_from_alpha_bar",
    "cosine",
    "ddpm",
    "ddpm_sigmas",
    "ddpm_time",
    "edm",
    "integral_from_sigma",
    "log_linear",
    "nearest_index",
    "quantised",
    "quantised_times",
    "schedule",
    "sigma_from_alpha_bar",
    "sigma_from_integral",
    "sigma_from_snr",
    "sigma_from_snr_db",
    "sigmoid",
    "snr_db_from_sigma",
    "snr_db_from_snr",
    "snr_from_sigma",
    "snr_from_snr_db",
    "vp_linear",
    "vp_linear_integral",
    "vp_linear_rate",
    "vp_linear_time",
]

EPS = np.finfo(np.float64).eps

#: name -> constructor whose first argument is N
REGISTRY: dict[str, Callable] = {}


def schedule(constructor: Callable) -> Callable:
    """Decorate a constructor of a `Grid` whose first argument is N: sweeps and the command line know it by its name.

    Raises
    ------
    ValueError
        for the name of a schedule of the package. A later schedule of a user replaces an earlier one of this name.

    Examples
    --------
    >>> @schedule
    ... def halving(N, sigma_max=40.0):
    ...     "N levels, each half of the one before."
    ...     return Grid(np.ones(N + 1), sigma_max * 0.5 ** np.arange(N + 1))
    >>> REGISTRY["halving"](2).sigma
    array([40., 20., 10.])
    """
    name = constructor.__name__
    free_name("schedule", name, REGISTRY.get(name), constructor)
    REGISTRY[name] = constructor
    return constructor


# ------------------------------------------------------------------------------------------------ conversions


#: the largest noise level (a noise ratio): its square, and that of a sum of two, is a float
LARGEST = 1e153


def _nonnegative(name, value, *, positive=False, high=np.inf):
    word = "positive" if positive else "nonnegative"
    limit = "" if high == np.inf else f" and at most {high:g}"
    array = to_numpy(real_array(name, value, f"{word}, finite numbers{limit}"))
    if (array <= 0 if positive else array < 0).any() or (array > high).any():
        fail(name, value, f"{word}, finite numbers{limit}")
    return array


def alpha_bar_from_sigma(sigma: ArrayLike) -> np.ndarray:
    """``1 / (1 + sigma^2)`` for a VE noise level (a noise ratio) ``sigma >= 0``.

    Examples
    --------
    >>> float(alpha_bar_from_sigma(1.0))
    0.5
    """
    return 1.0 / (1.0 + _nonnegative("sigma", sigma, high=LARGEST) ** 2)


def sigma_from_alpha_bar(alpha_bar: ArrayLike) -> np.ndarray:
    """VE noise level ``sqrt((1 - alpha_bar) / alpha_bar)`` for ``0 < alpha_bar <= 1``; at 0 there is none.

    Near ``alpha_bar = 1`` the information is already lost in ``alpha_bar`` itself: start from the integral
    (:func:`sigma_from_integral`) where it is known.

    Examples
    --------
    >>> float(sigma_from_alpha_bar(0.5))
    1.0
    """
    given, alpha_bar = alpha_bar, _nonnegative("alpha_bar", alpha_bar, high=1.0)
    if (alpha_bar < LARGEST**-2).any():
        fail("alpha_bar", given, f"numbers of at least {LARGEST**-2:g}: sigma^2 leaves the range of floats below (at 0 only "
             "VP coordinates exist: Grid(sqrt(alpha_bar), sqrt(1 - alpha_bar)))")  # fmt: skip
    return np.sqrt((1.0 - alpha_bar) / alpha_bar)


def integral_from_sigma(sigma: ArrayLike) -> np.ndarray:
    """``B = -log alpha_bar = log1p(sigma^2)``.

    Examples
    --------
    >>> round(float(integral_from_sigma(1.0)), 12) == round(float(np.log(2)), 12)
    True
    """
    return np.log1p(_nonnegative("sigma", sigma, high=LARGEST) ** 2)


def sigma_from_integral(integral: ArrayLike) -> np.ndarray:
    """VE noise level ``sqrt(expm1(B))`` with ``B = -log alpha_bar >= 0``.

    Examples
    --------
    >>> round(float(sigma_from_integral(np.log(2))), 12)
    1.0
    """
    return np.sqrt(np.expm1(_nonnegative("integral", integral, high=2 * np.log(LARGEST))))


def alpha_bar_from_integral(integral: ArrayLike) -> np.ndarray:
    """``exp(-B)``.

    Examples
    --------
    >>> round(float(alpha_bar_from_integral(np.log(2))), 12)
    0.5
    """
    return np.exp(-_nonnegative("integral", integral))


def alpha_bar_from_beta(beta: ArrayLike) -> np.ndarray:
    """Cumulative products ``prod_{s <= t} (1 - beta_s)`` of DDPM betas in ``[0, 1]``, shape (T,); 0 from a beta of 1 on.

    Examples
    --------
    >>> alpha_bar_from_beta([0.5, 1.0])
    array([0.5, 0. ])
    """
    beta = _nonnegative("beta", beta)
    if beta.ndim != 1:
        fail(f"beta (shape {beta.shape})", beta, "shape (T,)")
    if (beta > 1).any():
        fail("beta", beta, "DDPM betas in [0, 1]")
    with np.errstate(divide="ignore"):
        return np.exp(np.cumsum(np.log1p(-beta)))


def beta_from_alpha_bar(alpha_bar: ArrayLike) -> np.ndarray:
    """DDPM betas ``1 - alpha_bar_t / alpha_bar_{t-1}`` (``alpha_bar_0 = 1``) of decreasing products; the last may be 0.

    Examples
    --------
    >>> beta_from_alpha_bar([0.5, 0.25])
    array([0.5, 0.5])
    """
    alpha_bar = _nonnegative("alpha_bar", alpha_bar, high=1.0)
    if alpha_bar.ndim != 1:
        fail(f"alpha_bar (shape {alpha_bar.shape})", alpha_bar, "shape (T,)")
    previous = np.concatenate([[1.0], alpha_bar[:-1]])
    if (alpha_bar > previous).any() or (previous == 0).any():
        fail("alpha_bar", alpha_bar, "nonincreasing values in (0, 1], of which only the last may be 0")
    return (previous - alpha_bar) / previous


def snr_from_sigma(sigma: ArrayLike) -> np.ndarray:
    """Linear SNR ``1 / sigma^2`` of a VE noise level ``sigma > 0`` (unit signal power).

    Examples
    --------
    >>> float(snr_from_sigma(0.5))
    4.0
    """
    given, sigma = sigma, _nonnegative("sigma", sigma, positive=True, high=LARGEST)
    if (sigma < 1 / LARGEST).any():
        fail("sigma", given, f"noise levels of at least {1 / LARGEST:g}: the SNR leaves the range of floats below")
    return sigma**-2.0


def sigma_from_snr(snr: ArrayLike) -> np.ndarray:
    """VE noise level ``snr^(-1/2)``.

    Examples
    --------
    >>> float(sigma_from_snr(4.0))
    0.5
    """
    return _nonnegative("snr", snr, positive=True) ** -0.5


def snr_db_from_snr(snr: ArrayLike) -> np.ndarray:
    """``10 log10(snr)``.

    Examples
    --------
    >>> float(snr_db_from_snr(100.0))
    20.0
    """
    return 10.0 * np.log10(_nonnegative("snr", snr, positive=True))


def _decibels(snr_db):
    array = to_numpy(real_array("snr_db", snr_db, "finite numbers"))
    if (np.abs(array) > 3060.0).any():
        fail("snr_db", snr_db, "decibels of at most 3060 in absolute value: the SNR leaves the range of floats beyond")
    return array


def snr_from_snr_db(snr_db: ArrayLike) -> np.ndarray:
    """``10^(snr_db / 10)``.

    Examples
    --------
    >>> float(snr_from_snr_db(20.0))
    100.0
    """
    return 10.0 ** (_decibels(snr_db) / 10.0)


def snr_db_from_sigma(sigma: ArrayLike) -> np.ndarray:
    """``-20 log10(sigma)``.

    Examples
    --------
    >>> round(float(snr_db_from_sigma(0.1)), 12)
    20.0
    """
    return -20.0 * np.log10(_nonnegative("sigma", sigma, positive=True))


def sigma_from_snr_db(snr_db: ArrayLike) -> np.ndarray:
    """``10^(-snr_db / 20)``.

    Examples
    --------
    >>> round(float(sigma_from_snr_db(20.0)), 12)
    0.1
    """
    return 10.0 ** (-_decibels(snr_db) / 20.0)


def _vp_rates(beta_min, beta_max):
    beta_min = scalar("beta_min", beta_min, low=0.0, high=1e150)
    beta_max = scalar("beta_max", beta_max, low=0.0, high=1e150, low_open=True)
    if beta_max < beta_min:
        fail("beta_max", beta_max, f"at least beta_min = {beta_min:g}")
    return beta_min, beta_max


def vp_linear_rate(t: ArrayLike, beta_min: float = 0.1, beta_max: float = 20.0) -> np.ndarray:
    """``beta(t) = beta_min + (beta_max - beta_min) t``, ``t`` in [0, 1].

    Examples
    --------
    >>> vp_linear_rate([0.0, 1.0])
    array([ 0.1, 20. ])
    """
    beta_min, beta_max = _vp_rates(beta_min, beta_max)
    return beta_min + (beta_max - beta_min) * _nonnegative("t", t, high=1.0)


def vp_linear_integral(t: ArrayLike, beta_min: float = 0.1, beta_max: float = 20.0) -> np.ndarray:
    """``B(t) = beta_min t + (beta_max - beta_min) t^2 / 2``, ``t`` in [0, 1].

    Examples
    --------
    >>> float(vp_linear_integral(1.0, 2.0, 4.0))
    3.0
    """
    beta_min, beta_max = _vp_rates(beta_min, beta_max)
    t = _nonnegative("t", t, high=1.0)
    return t * (beta_min + 0.5 * (beta_max - beta_min) * t)


def vp_linear_time(integral: ArrayLike, beta_min: float = 0.1, beta_max: float = 20.0) -> np.ndarray:
    """Time ``t`` with ``B(t) = integral``, by the form of the quadratic formula that does not cancel.

    Examples
    --------
    >>> float(vp_linear_time(3.0, 2.0, 4.0))
    1.0
    """
    beta_min, beta_max = _vp_rates(beta_min, beta_max)
    integral = _nonnegative("integral", integral, high=1e150)
    root = beta_min + np.sqrt(beta_min**2 + 2.0 * (beta_max - beta_min) * integral)
    with np.errstate(over="ignore"):
        time = 2.0 * integral / np.where(root > 0, root, 1.0)
    if not np.isfinite(time).all():
        fail("integral", integral, f"B(t) at times within the range of floats, for rates of {beta_min:g} to {beta_max:g}")
    return time


# ------------------------------------------------------------------------------------------------------- grid


@dataclass(frozen=True, eq=False)
class Grid(Fixed):
    """``N + 1`` noise levels, noisy -> clean; immutable, its arrays read-only, copies and pickles too.

    Parameters
    ----------
    scale, sigma : array_like, shape (N + 1,) or (N + 1, n)
        Level ``i`` is the law of ``scale[i] * X + sigma[i] * N(0, I)``. ``scale > 0`` except that the first may be 0 (pure
        noise, "zero terminal SNR"); ``sigma > 0`` except that the last may be 0. A second axis gives every row of a batch
        its own levels. A scalar or (N + 1,) ``scale`` is broadcast.
    time, rate : array_like, shape (N + 1,), optional
        Continuous time and the rate ``beta(t)`` there, for schedules defined by a VP-SDE (:func:`vp_linear`); only
        ``step="right"`` of the SDE and ODE samplers needs them.
    strict : bool
        ``sigma / scale`` must decrease strictly; False allows equal consecutive values (zero-length steps).

    Raises
    ------
    ValueError
        Naming the argument, for wrong shapes, non-finite values, ``scale < 0``, a ``scale = 0`` after the first,
        ``sigma < 0``, an inner ``sigma = 0`` or a noise ratio that increases.

    Notes
    -----
    At a first scale of 0 the noise ratio and ``integral`` are infinite, ``alpha_bar`` and ``snr`` 0, ``beta`` and
    ``ddpm_beta`` of the first step 1. Laws and :func:`exactdiffusion.samplers.ddim` take such a level; what divides by the
    scale refuses it, and has no VE coordinates to turn to.

    Examples
    --------
    >>> grid = Grid([1.0, 1.0, 1.0], [4.0, 2.0, 0.0])
    >>> grid.N, grid.beta, grid.to_vp().is_vp
    (2, array([0.5, 1. ]), True)
    """

    scale: np.ndarray
    sigma: np.ndarray
    time: np.ndarray | None = None
    rate: np.ndarray | None = None
    strict: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        sigma = np.array(real_array("sigma", self.sigma, "finite noise levels of shape (N + 1,) or (N + 1, n)"))
        scale = np.array(real_array("scale", self.scale, "finite scales of shape (N + 1,) or (N + 1, n)"))
        if sigma.ndim not in (1, 2) or sigma.shape[0] < 2 or 0 in sigma.shape:
            fail(f"sigma (shape {sigma.shape})", self.sigma, "shape (N + 1,) or (N + 1, n) with N >= 1, n >= 1")
        if scale.ndim == 1 and sigma.ndim == 2:  # one per level; one per row would be read otherwise where N + 1 = n
            scale = scale[:, np.newaxis]
        try:
            scale = np.array(np.broadcast_to(scale, sigma.shape))
        except ValueError:
            fail(f"scale (shape {scale.shape})", self.scale, f"the shape {sigma.shape} of sigma")

        # signs
        if (scale[0] < 0).any() or (scale[1:] <= 0).any():
            fail("scale", self.scale, "positive scales (only the first may be 0)")
        if (sigma < 0).any():
            fail("sigma", self.sigma, "nonnegative noise levels")
        if (sigma[:-1] == 0).any():
            fail("sigma", self.sigma, "positive noise levels (only the last may be 0)")

        # the noise ratio falls
        with np.errstate(over="ignore", divide="ignore"):
            ratio = sigma / scale
        if not isinstance(self.strict, bool):
            fail("strict", self.strict, "True or False")
        rise = ratio[1:] >= ratio[:-1] if self.strict else ratio[1:] > ratio[:-1]
        if rise.any() or not np.isfinite(ratio[scale > 0]).all():
            word = "strictly decreasing" if self.strict else "nonincreasing"
            fail("sigma", self.sigma, f"finite and {word} sigma / scale (index 0 is the noisiest level)")
        if (ratio[:-1] == 0).any():
            fail("sigma", self.sigma, "sigma / scale within the range of floats (only the last may be 0)")

        # what is kept
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "sigma", sigma)
        for name in ("time", "rate"):
            value = getattr(self, name)
            if value is not None:
                value = np.array(real_array(name, value))
                if value.shape != sigma.shape[:1]:
                    fail(f"{name} (shape {value.shape})", value, f"shape ({sigma.shape[0]},)")
                object.__setattr__(self, name, value)
        self._fix()

    def __len__(self):
        return self.sigma.shape[0]

    def __repr__(self):
        rows = "" if self.sigma.ndim == 1 else f", {self.sigma.shape[1]} rows"
        kind = "VE" if self.is_ve else "VP" if self.is_vp else "general"
        first, last = np.max(self.noise_ratio[0]), np.min(self.noise_ratio[-1])
        return f"Grid(N={self.N}, {kind}, sigma/scale {first:.6g} -> {last:.6g}{rows})"

    def __getitem__(self, index):
        """Consecutive or thinned levels, ``grid[a:b:c]``: a Grid again (at least two levels must remain)."""
        if not isinstance(index, slice) or (index.step is not None and index.step <= 0):
            fail("index", index, "a slice with a positive step")
        return Grid(
            self.scale[index],
            self.sigma[index],
            None if self.time is None else self.time[index],
            None if self.rate is None else self.rate[index],
            strict=self.strict,
        )

    @property
    def N(self) -> int:
        """Number of steps (levels minus one)."""
        return self.sigma.shape[0] - 1

    @cached_property
    def noise_ratio(self) -> np.ndarray:
        """``sigma / scale``: the VE noise level, infinite at a first scale of 0."""
        with np.errstate(divide="ignore"):
            return _frozen(self.sigma / self.scale)

    @cached_property
    def alpha_bar(self) -> np.ndarray:
        """``1 / (1 + noise_ratio^2)``."""
        with np.errstate(over="ignore"):  # beyond 1e154: 0, to rounding
            return _frozen(1.0 / (1.0 + self.noise_ratio**2))

    @cached_property
    def integral(self) -> np.ndarray:
        """``B = -log alpha_bar = log1p(noise_ratio^2)``: the natural clock of the VP-SDE."""
        r = self.noise_ratio
        with np.errstate(over="ignore"):
            small = np.log1p(r**2)
        return _frozen(np.where(r < LARGEST, small, 2.0 * np.log(np.maximum(r, 1.0))))

    @cached_property
    def snr(self) -> np.ndarray:
        """``noise_ratio^(-2)``, infinite at a final 0."""
        with np.errstate(divide="ignore", over="ignore"):
            return _frozen(np.divide(1.0, self.noise_ratio) ** 2)

    @cached_property
    def snr_db(self) -> np.ndarray:
        """``10 log10(snr)``, infinite at a final 0."""
        with np.errstate(divide="ignore"):
            return _frozen(-20.0 * np.log10(self.noise_ratio))

    @cached_property
    def beta(self) -> np.ndarray:
        """Relative steps ``1 - r[i+1] / r[i]``, shape (N,) or (N, n). Not the DDPM betas."""
        r = self.noise_ratio
        with np.errstate(invalid="ignore"):
            return _frozen(np.where(np.isinf(r[:-1]), 1.0, (r[:-1] - r[1:]) / r[:-1]))

    @cached_property
    def g(self) -> np.ndarray:
        """VP step sizes ``log(alpha_bar[i+1] / alpha_bar[i]) = int beta dt``, shape (N,) or (N, n), without cancellation."""
        r = self.noise_ratio
        with np.errstate(over="ignore", invalid="ignore"):
            plain = np.log1p((r[:-1] - r[1:]) * (r[:-1] + r[1:]) / (1.0 + r[1:] ** 2))
        return _frozen(np.where(r[:-1] < LARGEST, plain, self.integral[:-1] - self.integral[1:]))

    @cached_property
    def ddpm_beta(self) -> np.ndarray:
        """DDPM betas ``1 - alpha_bar[i] / alpha_bar[i+1] = -expm1(-g)``, shape (N,) or (N, n)."""
        return _frozen(-np.expm1(-self.g))

    @property
    def is_ve(self) -> bool:
        """Every scale is exactly 1."""
        return bool((self.scale == 1.0).all())

    @property
    def is_vp(self) -> bool:
        """``scale^2 + sigma^2 = 1`` to rounding (8 units in the last place)."""
        with np.errstate(over="ignore"):
            return bool((np.abs(self.scale**2 + self.sigma**2 - 1.0) <= 8 * EPS).all())

    def to_ve(self) -> "Grid":
        """Same noise ratios with ``scale = 1``; ValueError naming scale where the first is 0."""
        positive_scales("scale", self)
        r = self.noise_ratio
        return Grid(np.ones_like(r), r, self.time, self.rate, strict=self.strict)

    def to_vp(self) -> "Grid":
        """Same noise ratios with ``scale^2 + sigma^2 = 1``."""
        if self.is_vp:
            return self
        r = self.noise_ratio
        root = np.hypot(1.0, r)
        with np.errstate(invalid="ignore"):
            sigma = np.where(np.isinf(r), 1.0, r / root)
        return Grid(1.0 / root, sigma, self.time, self.rate, strict=self.strict)


def positive_scales(name: str, grid: Grid) -> Grid:
    """Refuse a grid that begins with pure noise, where its noise ratio is infinite; for those that divide by the scale."""
    if (grid.scale[0] == 0).any():
        fail(f"{name} (its first scale is 0)", grid, "positive scales: here states are divided by them (samplers.ddim takes "
             "this grid; elsewhere a first scale of 1e-8, say)")  # fmt: skip
    return grid


def _frozen(array):
    array.setflags(write=False)
    return array


def _ve(sigma, *, strict=True):
    return Grid(np.ones_like(sigma), sigma, strict=strict)


def nearest_index(grid: Grid, sigma: float, *, unit: Literal["db", "linear"] = "db") -> int:
    """Level of ``grid`` whose SNR is nearest to that of VE noise ``sigma`` (scalar): Eq. (12) of arXiv 2403.02957.

    ``unit="db"`` compares in decibels (default; symmetric in the ratio), ``"linear"`` compares SNRs themselves, as the
    paper prints it. Ties, to rounding, go to the noisier level. A final 0 level is never chosen.

    Examples
    --------
    >>> nearest_index(Grid([1.0, 1.0, 1.0], [4.0, 2.0, 1.0]), 2.1)
    1
    """
    sigma = scalar("sigma", sigma, low=0.0, low_open=True)
    choice("unit", unit, ("db", "linear"))
    ratio = _one_schedule("grid", grid).noise_ratio
    ratio = ratio[ratio > 0]
    clean = int(np.searchsorted(-ratio, -sigma))  # the first level at or below sigma; its neighbour is above
    if clean == 0:
        return 0
    high = ratio[clean - 1]
    if clean < len(ratio):
        low = ratio[clean]
        with np.errstate(over="ignore", under="ignore"):
            if unit == "db":
                nearer = sigma / low < high / sigma
            else:  # in units of the larger SNR, so that no power overflows
                nearer = 1.0 - (low / sigma) ** 2 < (low / sigma) ** 2 - (low / high) ** 2
        if nearer:
            return clean
    return int(np.argmax(ratio == high))  # the first of equal levels


def _one_schedule(name, grid):
    if not isinstance(grid, Grid) or grid.sigma.ndim != 1:
        fail(name, grid, "a Grid with one schedule for all rows")
    return grid


# ------------------------------------------------------------------------------------------- continuous levels


def _steps(N, final_zero):
    N = integer("N", N, low=1)
    if not isinstance(final_zero, bool):
        fail("final_zero", final_zero, "True or False")
    return N, (N - 1 if final_zero else N)


def _sigma_range(sigma_max, sigma_min):
    sigma_max = scalar("sigma_max", sigma_max, low=0.0, high=LARGEST, low_open=True)
    sigma_min = scalar("sigma_min", sigma_min, low=0.0, low_open=True)
    if sigma_min >= sigma_max:
        fail("sigma_min", sigma_min, f"less than sigma_max = {sigma_max:g}")
    return sigma_max, sigma_min


@schedule
def log_linear(N: int, sigma_max: float = 40.0, sigma_min: float = 0.01, final_zero: bool = False) -> Grid:
    """Constant relative step: ``sigma_i = sigma_max (sigma_min / sigma_max)^(i / N)``; VE.

    ``final_zero=True`` reaches ``sigma_min`` one step earlier and ends with 0 (with N = 1: ``[sigma_max, 0]``).

    Examples
    --------
    >>> log_linear(2, 4.0, 1.0).sigma
    array([4., 2., 1.])
    """
    N, last = _steps(N, final_zero)
    sigma_max, sigma_min = _sigma_range(sigma_max, sigma_min)
    sigma = np.exp(np.linspace(np.log(sigma_max), np.log(sigma_min), last + 1)) if last else np.empty(1)
    sigma[0] = sigma_max
    if last:
        sigma[last] = sigma_min
    if not (np.diff(sigma) < 0).all():
        fail("sigma_min", sigma_min, f"so far below sigma_max = {sigma_max:g} that the levels are distinct floats")
    return _ve(np.append(sigma, 0.0) if final_zero else sigma)


@schedule
def edm(N: int, sigma_max: float = 80.0, sigma_min: float = 0.002, rho: float = 7.0, final_zero: bool = True) -> Grid:
    """Karras et al. 2022 (EDM), Eq. (5); VE.

    ``sigma_i = (sigma_max^(1/rho) + i/M (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho`` with ``M = N - 1`` and a final 0 as
    published; ``final_zero=False`` stops at ``sigma_min`` with ``M = N``.

    Examples
    --------
    >>> edm(3, 80.0, 0.002).sigma.round(3)
    array([8.000e+01, 2.515e+00, 2.000e-03, 0.000e+00])
    """
    N, last = _steps(N, final_zero)
    sigma_max, sigma_min = _sigma_range(sigma_max, sigma_min)
    rho = scalar("rho", rho, low=0.0, low_open=True)
    try:
        first, final = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    except (OverflowError, ZeroDivisionError):
        first, final = np.inf, 0.0
    if not 0.0 < final < first < np.inf:
        fail("rho", rho, "a rho for which sigma_max^(1/rho) and sigma_min^(1/rho) are distinct positive floats")
    sigma = np.linspace(first, final, last + 1) ** rho if last else np.empty(1)
    sigma[0] = sigma_max
    if last:
        sigma[last] = sigma_min
    if not (np.diff(sigma) < 0).all():
        fail("rho", rho, "a rho for which the levels are distinct floats")
    return _ve(np.append(sigma, 0.0) if final_zero else sigma)


@schedule
def vp_linear(
    N: int, beta_min: float = 0.1, beta_max: float = 20.0, eps: float = 0.0, vp: bool = True, final_zero: bool = False
) -> Grid:
    """VP-SDE with linear ``beta(t)``, uniform in time from t = 1 to ``eps`` (Song et al. 2021).

    ``alpha_bar = exp(-B(t))``, ``B(t) = beta_min t + (beta_max - beta_min) t^2 / 2``; ``1 - alpha_bar`` is formed as
    ``-expm1(-B)`` (float32 or ``1 - exp`` spoils the last step at eps = 1e-5 by 5 %). Equal rates
    ``beta_min = beta_max = T`` give the Ornstein-Uhlenbeck process of unit rate on [0, T] with constant steps.

    Parameters
    ----------
    eps : float in [0, 1)
        Last time.
    vp : bool
        VP coordinates (default) or VE.
    final_zero : bool
        With ``eps > 0``: N - 1 uniform steps from 1 to ``eps``, then one step from ``eps`` to 0, as the
        "denoise at eps" variants of score_sde_pytorch and of arXiv 2507.08956 do.

    Examples
    --------
    >>> vp_linear(4, 1.0, 1.0).g
    array([0.25, 0.25, 0.25, 0.25])
    """
    N, last = _steps(N, final_zero)
    beta_min, beta_max = _vp_rates(beta_min, beta_max)
    eps = scalar("eps", eps, low=0.0, high=1.0, high_open=True)
    if not isinstance(vp, bool):
        fail("vp", vp, "True or False")
    if final_zero and eps == 0:
        fail("eps", eps, "eps > 0 when final_zero=True")
    if 0.5 * (beta_min + beta_max) > 700.0:
        fail("beta_max", beta_max, "(beta_min + beta_max) / 2 at most 700, where 1 / alpha_bar = exp(B(1)) is still a float")
    time = np.linspace(1.0, eps, last + 1) if last else np.ones(1)
    if final_zero:
        time = np.append(time, 0.0)
    integral = vp_linear_integral(time, beta_min, beta_max)
    grid = Grid(np.exp(-0.5 * integral), np.sqrt(-np.expm1(-integral)), time, vp_linear_rate(time, beta_min, beta_max))
    return grid if vp else grid.to_ve()


@schedule
def admissible(N: int, eta: float = 0.1, nu: float = 2.0, sigma_max: float = 40.0, start_ratio: float = 1.0) -> Grid:
    """Log-linear schedule with the largest admissible step; VE (arXiv 2306.04848, Thm 4.3).

    The step is :func:`exactdiffusion.statements.projection.beta_star`. The product guarantee of Thm 4.2 never falls below
    ``nu^{-(1 - eta) / eta}`` whatever N: the final sigma is ``sigma_max (1 - beta)^N``, never 0. For ``eta = 0`` one full
    step is exact, so only N = 1 is accepted.

    Examples
    --------
    >>> grid = admissible(10, eta=0.1, nu=2.0)
    >>> grid.N, bool(np.ptp(grid.beta) < 1e-12)
    (10, True)
    """
    N = integer("N", N, low=1)
    eta, nu, start_ratio = (scalar(*a) for a in (("eta", eta), ("nu", nu), ("start_ratio", start_ratio)))
    sigma_max = scalar("sigma_max", sigma_max, low=0.0, low_open=True)
    beta = beta_star(eta, nu, N, start_ratio)
    if beta == 0.0:
        fail("nu", nu, "nu > 1 when eta > 0 (nu = 1 admits no step at all)")
    if beta == 1.0:
        if N > 1 and eta > 0:
            fail("eta", eta, "eta = 0 with N = 1, or an eta above the rounding of the admissible step: it rounds to 1 here")
        if N > 1:
            fail("eta", eta, "eta > 0 when N > 1 (an exact projection needs one full step: N = 1)")
        return _ve(np.array([sigma_max, 0.0]))
    return _ve(sigma_max * np.exp(np.arange(N + 1) * np.log1p(-beta)))


# --------------------------------------------------------------------------------------- discrete-time families


def _table(betas, name, value):
    """VE noise levels of the T training times (index t = 0..T-1) of DDPM betas; ``name`` is the argument they come from."""
    integral = np.cumsum(-np.log1p(-betas))
    if integral[-1] > 2 * np.log(LARGEST):
        fail(name, value, f"betas whose last noise level is at most {LARGEST:g}: alpha_bar leaves the floats beyond")
    return np.sqrt(np.expm1(integral))


def ddpm_sigmas(T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> np.ndarray:
    """VE noise levels ``sqrt(1 / alpha_bar_t - 1)``, t = 0..T-1, of the linear DDPM betas (Ho et al. 2020); increasing.

    Examples
    --------
    >>> ddpm_sigmas()[[0, -1]].round(4)
    array([1.000000e-02, 1.574073e+02])
    """
    T = integer("T", T, low=1)
    beta_start = scalar("beta_start", beta_start, low=0.0, high=1.0, low_open=True, high_open=True)
    beta_end = scalar("beta_end", beta_end, low=0.0, high=1.0, low_open=True, high_open=True)
    return _table(np.linspace(beta_start, beta_end, T), "beta_end", beta_end)


def ddpm_time(sigma: ArrayLike, table: ArrayLike | None = None) -> np.ndarray:
    """Smallest index t with ``sigma <= table[t]`` (ceil search; T where ``sigma`` exceeds the table).

    Examples
    --------
    >>> int(ddpm_time(40.0))
    853
    """
    table = ddpm_sigmas() if table is None else _nonnegative("table", table)
    if table.ndim != 1 or (np.diff(table) < 0).any():
        fail(f"table (shape {table.shape})", table, "increasing noise levels, shape (T,)")
    return np.searchsorted(table, _nonnegative("sigma", sigma), side="left")


def _subsample(N, table, spacing, final_zero):
    N, T = integer("N", N, low=1), table.shape[0]
    choice("spacing", spacing, ("trailing", "linspace"))
    if not isinstance(final_zero, bool):
        fail("final_zero", final_zero, "True or False")
    if N > T:
        fail("N", N, f"at most T = {T} steps")
    if spacing == "trailing":
        index = np.round(T * (1.0 - np.arange(N) / N)).astype(int) - 1
        index = np.append(index, 0)
    else:
        index = np.linspace(T - 1, 0, N + 1).astype(int)
    sigma = table[index]
    if final_zero:
        sigma[-1] = 0.0
    return _ve(sigma, strict=final_zero and spacing == "trailing")


@schedule
def ddpm(
    N: int,
    T: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    spacing: Literal["trailing", "linspace"] = "trailing",
    final_zero: bool = False,
) -> Grid:
    """Linear DDPM betas (Ho et al. 2020), sub-sampled to N steps; VE.

    Parameters
    ----------
    spacing : {"trailing", "linspace"}
        "trailing": times ``round(T (1 - i/N)) - 1`` for i < N, then time 0 (Lin et al. 2023, Table 2; the ideal-denoiser
        experiment of arXiv 2306.04848: N = 50 runs from 157.407 to 0.0100005). "linspace": N + 1 equispaced times
        T-1..0 truncated to integers.
    final_zero : bool
        Replace the last level (time 0, sigma = 0.01) by 0. With ``N = T`` and "trailing" this is the full ancestral
        chain of T steps; without it that chain ends with a step of length zero.

    Examples
    --------
    >>> ddpm(50)
    Grid(N=50, VE, sigma/scale 157.407 -> 0.0100005)
    """
    return _subsample(N, ddpm_sigmas(T, beta_start, beta_end), spacing, final_zero)


def _from_alpha_bar(function, T, max_beta):
    """DDPM betas ``min(1 - abar(t+1)/abar(t), max_beta)`` of a continuous cumulative product, then its levels."""
    T = integer("T", T, low=1)
    if isinstance(max_beta, (int, float)) and max_beta == 1:
        fail("max_beta", max_beta, "a number in (0, 1): at 1 the noisiest level has no VE coordinates (a Grid in VP ones "
             "may begin with a scale of 0)")  # fmt: skip
    max_beta = scalar("max_beta", max_beta, low=0.0, high=1.0, low_open=True, high_open=True)
    alpha_bar = function(np.arange(T + 1) / T)
    return _table(np.minimum(1.0 - alpha_bar[1:] / alpha_bar[:-1], max_beta), "max_beta", max_beta)


@schedule
def cosine(
    N: int,
    T: int = 1000,
    offset: float = 0.008,
    max_beta: float = 0.999,
    spacing: Literal["trailing", "linspace"] = "trailing",
    final_zero: bool = False,
) -> Grid:
    """Cosine schedule (Nichol & Dhariwal 2021, Eq. 17); VE.

    ``alpha_bar`` is proportional to ``cos^2((t/T + offset) / (1 + offset) pi / 2)``; betas are capped at ``max_beta``.
    ``spacing`` and ``final_zero`` as in :func:`ddpm`.

    Examples
    --------
    >>> cosine(10).N
    10
    """
    offset = scalar("offset", offset, low=0.0)
    table = _from_alpha_bar(lambda t: np.cos((t + offset) / (1 + offset) * (np.pi / 2)) ** 2, T, max_beta)
    return _subsample(N, table, spacing, final_zero)


@schedule
def sigmoid(
    N: int,
    T: int = 1000,
    start: float = -3.0,
    end: float = 3.0,
    tau: float = 1.0,
    max_beta: float = 0.999,
    spacing: Literal["trailing", "linspace"] = "trailing",
    final_zero: bool = False,
) -> Grid:
    """Sigmoid schedule (Jabri et al. 2022, arXiv 2212.11972); VE.

    ``alpha_bar`` is proportional to ``sig(end / tau) - sig((start + t/T (end - start)) / tau)``.
    ``spacing`` and ``final_zero`` as in :func:`ddpm`; the betas are capped as in the cosine schedule.

    Examples
    --------
    >>> sigmoid(10).N
    10
    """
    start, end = scalar("start", start), scalar("end", end)
    tau = scalar("tau", tau, low=0.0, low_open=True)
    if end <= start:
        fail("end", end, f"more than start = {start:g}")

    def alpha_bar(t):
        with np.errstate(over="ignore"):  # beyond the floats a sigmoid is 0 or 1 all the same
            z = (start + t * (end - start)) / tau
        # exp(700) is a float, and beyond it a sigmoid is 0 to rounding
        levels = 1.0 / (1.0 + np.exp(min(-end / tau, 700.0))) - 1.0 / (1.0 + np.exp(np.minimum(-z, 700.0)))
        if not (np.diff(levels) < 0).all():
            fail(
                "tau",
                tau,
                f"a tau for which the sigmoid takes {T + 1} distinct values from start / tau to end / tau "
                "(both within about 30 of 0)",
            )
        return levels

    return _subsample(N, _from_alpha_bar(alpha_bar, T, max_beta), spacing, final_zero)


QUANTISED = ("ddim", "ddim_offset", "edm", "linear")


def quantised_times(
    N: int, style: Literal["ddim", "ddim_offset", "edm", "linear"], start: float | None = None
) -> np.ndarray:
    """Integer DDPM times (N + 1 values, decreasing) of the four schedules of arXiv 2306.04848, Fig. 5.

    "ddim" (start sigma 157) and "ddim_offset" (start 40): N + 1 equispaced times from that of the start to 0, truncated
    to integers. "edm" (start 80): the N + 1 rho = 7 knots from ``start`` to 0.002, each rounded up to a training time.
    "linear" (start 40; "Ours" in the figure): N log-spaced levels from ``start`` down to
    ``sqrt(sigma(T // N) sigma(0))``, rounded up, then time 0. The lowest level everywhere is sigma(0) = 0.01.

    Examples
    --------
    >>> quantised_times(4, "ddim")
    array([999, 749, 499, 249,   0])
    """
    N = integer("N", N, low=2)
    choice("style", style, QUANTISED)
    default = {"ddim": 157.0, "ddim_offset": 40.0, "edm": 80.0, "linear": 40.0}[style]
    table = ddpm_sigmas()
    start = scalar("start", default if start is None else start, low=table[0], high=table[-1], low_open=True)
    if style in ("ddim", "ddim_offset"):
        return np.linspace(ddpm_time(start, table), 0, N + 1).astype(int)
    if style == "edm":
        return ddpm_time(edm(N, start, 0.002, final_zero=False).sigma, table)
    if table.shape[0] < N:
        fail("N", N, f"at most {table.shape[0]} steps")
    end = np.sqrt(table[table.shape[0] // N] * table[0])
    if start <= end * (1 + 1e-9):  # so that the levels are distinct floats
        fail("start", start, f"more than {end:.6g}, where the N = {N} levels end")
    return np.append(ddpm_time(log_linear(N - 1, start, end).sigma, table), 0)


def quantised(N: int, style: Literal["ddim", "ddim_offset", "edm", "linear"] = "linear", start: float | None = None) -> Grid:
    """The schedules of arXiv 2306.04848, Fig. 5 (see :func:`quantised_times`); VE, zero-length steps possible at large N.

    Examples
    --------
    >>> quantised(4, "ddim").N
    4
    """
    return _ve(ddpm_sigmas()[quantised_times(N, style, start)], strict=False)


def _style(style):
    def constructor(N, start=None):
        return quantised(N, style, start)

    constructor.__name__ = constructor.__qualname__ = f"quantised_{style}"
    constructor.__doc__ = f"``quantised(N, {style!r}, start)``."
    return constructor


for _name in QUANTISED:
    schedule(_style(_name))
