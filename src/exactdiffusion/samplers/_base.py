"""What every sampler shares: the registry, checks at the call, the run of an update, coefficients that are one for all rows
or one per row."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, ParamSpec, cast

import numpy as np

from .._core.arrays import array_namespace, from_numpy, to_numpy
from .._core.external import free_name
from .._core.random import Noise
from .._core.typing import Array, ArrayLike, Calls, Law, Memory, NoiseSource, Numbers, Options, Oracle
from .._core.validation import choice, fail, points, real_array
from ..schedules import Grid, positive_scales

__all__ = [
    "BLOWN_UP",
    "REGISTRY",
    "Run",
    "SamplerInfo",
    "add_noise",
    "checked_noise",
    "column",
    "denoised",
    "denoises",
    "final_rule",
    "flag",
    "prox_options",
    "reverse_sde",
    "sampler",
    "step_sizes",
]


@dataclass(frozen=True)
class SamplerInfo:
    """One registered sampler.

    Attributes
    ----------
    name : str
    function : callable
        ``function(law, grid, x, **params)``, a generator of N + 1 states; random ones take ``noise=``.
    stochastic : bool
    order : int
        Global order in the largest step for a smooth law and sigma bounded below: strong for deterministic samplers, weak
        (error of the law) for random ones; at the default parameters.
    coordinates : {"any", "vp"}
        "vp": the grid must satisfy ``scale^2 + sigma^2 = 1``.
    summary : str
    per_step : int
        Oracle calls per step.
    last_step : int or None
        Oracle calls of a step that ends at sigma = 0; None: ``per_step``.
    oracle : {"denoise", "prox"}
        What is asked of the law at a level.
    update : callable or None
        ``update(state, i, grid, oracle, noise, memory, **options) -> (state, memory)``: see :func:`sampler`.
    line : callable or None
        ``line(start, end, g, **params)``: the step on a line, :class:`~exactdiffusion.samplers._line.Explicit` or
        :class:`~exactdiffusion.samplers._line.Implicit`, in VP coordinates; ``start`` and ``end`` are the laws before and
        after the step. Its keywords are the sampler's parameters that it knows.
    pure_noise : bool
        The first scale of the grid may be 0.
    checks : callable or None
        The function as it was written: it checks the parameters and returns the options of ``update``.

    Examples
    --------
    >>> ed.samplers.heun.info.order, ed.samplers.heun.info.per_step, ed.samplers.heun.info.last_step
    (2, 2, 1)
    """

    name: str
    function: Callable
    stochastic: bool
    order: int
    coordinates: str
    summary: str
    per_step: int = 1
    oracle: str = "denoise"
    update: Callable | None = None
    line: Callable | None = None
    pure_noise: bool = False
    checks: Callable | None = None
    last_step: int | None = None

    def __reduce__(self) -> tuple[Callable, tuple]:
        """Pickled as the place of its function, where the decorator left it: the bare functions have the same name."""
        module, name = (getattr(self.function, key, "") for key in ("__module__", "__qualname__"))
        if self.checks is not None and getattr(sys.modules.get(module), name, None) is self.function:
            return _info_at, (module, name)
        return SamplerInfo, tuple(getattr(self, field.name) for field in fields(self))

    def calls(self, N: int | Grid, final_zero: bool = False) -> int:
        """Oracle (denoiser) calls of a run of N steps; ``N`` may be a Grid, which then says whether it ends at 0."""
        if isinstance(N, Grid):
            final_zero, N = bool((N.sigma[-1] == 0).all()), N.N
        last = self.per_step if self.last_step is None or not final_zero else self.last_step
        return self.per_step * (N - 1) + last

    def options(self, grid: Grid, **params: Any) -> Options:
        """Options of ``update`` for a run with these parameters, which are checked; no law and no start are needed."""
        self.check_grid(grid)
        return _options(self.checks, None, grid, None, **params, **({"noise": Noise(0)} if self.stochastic else {}))

    def check_grid(self, grid: Grid) -> None:
        """ValueError where the sampler cannot run on this grid."""
        if not isinstance(grid, Grid):
            fail("grid", grid, "a schedules.Grid")
        if self.coordinates == "vp" and not grid.is_vp:
            fail("grid", grid, "VP coordinates, scale^2 + sigma^2 = 1 (use grid.to_vp() and rescale x)")
        if not self.pure_noise:
            positive_scales("grid", grid)


def _info_at(module, name):
    """The `SamplerInfo` of a decorated function of a module."""
    return getattr(importlib.import_module(module), name).info


REGISTRY: dict[str, SamplerInfo] = {}

P = ParamSpec("P")


def sampler(
    update: Callable[..., tuple[Array, Memory]],
    *,
    order: int,
    summary: str,
    coordinates: str = "any",
    per_step: int = 1,
    last_step: int | None = None,
    oracle: str = "denoise",
    pure_noise: bool = False,
    line: Callable | None = None,
) -> Callable[[Callable[P, Options | None]], Callable[P, Iterator[Array]]]:
    """Decorator that makes a sampler of its update and registers it under the name of the function.

    The decorated function has the signature ``name(law, grid, x, **params)`` and the docstring of the sampler; a random one
    takes ``noise`` as a keyword. Its body checks the parameters (law, grid and x are checked before) and returns the options
    of ``update``, a dict, or None for no options: it must not look at law and x.

    Parameters
    ----------
    update : callable
        ``update(state, i, grid, oracle, noise, memory, **options) -> (state, memory)``, the step from level i to i + 1.
        ``state`` has shape (n, d), and the update returns a new array. ``oracle`` answers ``denoise(j, x)``, ``score(j, x)``
        and ``prox(j, y, lam, kind="global", calls=None)`` at level j; ``denoise_at(scale, sigma, x)`` and
        ``score_at(scale, sigma, x)`` ask between the levels (floats or one value per row). A random step draws
        ``noise.normal(i, n, d, like=state)`` and nothing else from the noise. ``memory`` is a tuple of
        arrays of the shape of the state, empty before the first step. Coefficients go through :func:`column`, so that grids
        with a schedule per row work.
    order, summary, coordinates, per_step, last_step, oracle, pure_noise, line
        As in :class:`SamplerInfo`, which the decorated function has as its attribute ``info``.

    Raises
    ------
    ValueError
        for the name of a sampler of the package, and for other ``coordinates`` or ``oracle`` than those of `SamplerInfo`. A
        later sampler of a user replaces an earlier one of this name.

    Examples
    --------
    >>> def towards(x, i, grid, oracle, noise, memory):  # a step that denoises half way
    ...     return (x + oracle.denoise(i, x)) / 2, memory
    >>> @sampler(towards, order=1, summary="half way to the denoiser's answer")
    ... def half_way(law, grid, x):
    ...     "Half way to the denoiser's answer."
    >>> law, grid = ed.PointCloud([[1.0]]), ed.Grid([1.0, 1.0, 1.0], [4.0, 2.0, 0.0])
    >>> [float(x[0, 0]) for x in half_way(law, grid, [[5.0]])]
    [5.0, 3.0, 2.0]
    """

    def register(checks: Callable[P, Options | None]) -> Callable[P, Iterator[Array]]:
        @functools.wraps(checks)
        def function(law, grid, x, *args, **params):
            run = Run(law, grid, x, info)
            options = _options(checks, law, grid, x, *args, **params)
            if oracle == "prox":
                run.with_prox(options.get("prox", "global"))
            return run.states(update, params.get("noise"), **options)

        name, parameters = checks.__name__, inspect.signature(checks).parameters
        info = SamplerInfo(
            name=name,
            function=function,
            stochastic="noise" in parameters,
            order=order,
            coordinates=choice("coordinates", coordinates, ("any", "vp")),
            summary=summary,
            per_step=per_step,
            last_step=last_step,
            oracle=choice("oracle", oracle, ("denoise", "prox")),
            update=update,
            line=line,
            pure_noise=pure_noise,
            checks=checks,
        )
        free_name("sampler", name, REGISTRY[name].function if name in REGISTRY else None, checks)
        vars(function)["info"] = REGISTRY[name] = info
        return cast(Callable[P, Iterator[Array]], function)

    return register


def _options(checks, *args, **params):
    """What ``update`` takes besides its six arguments."""
    return dict(checks(*args, **params) or {})


#: A run has blown up when it has grown by this factor where neither the denoiser's answers nor the noise are as large.
BLOWN_UP = 1e6


_PROX = {"global": "prox", "local": "prox_local"}


class Run:
    """The checked arguments of one run: ``law``, ``grid``, ``x`` (a float64 copy), its namespace ``xp`` and ``N``.

    It is the ``oracle`` of an update: :meth:`denoise`, :meth:`score` and :meth:`prox` at a level of the grid,
    :meth:`denoise_at` and :meth:`score_at` between the levels.

    Examples
    --------
    >>> law, grid = ed.GaussianMixture(None, [[0.0]], 1.0), ed.Grid([1.0, 1.0], [1.0, 0.0])
    >>> run = Run(law, grid, [[4.0]], ed.samplers.ddim.info)
    >>> run.denoise(0, run.x), run.score(0, run.x)
    (array([[2.]]), array([[-2.]]))
    """

    def __init__(self, law: Law, grid: Grid, x: ArrayLike, info: SamplerInfo) -> None:
        if not callable(getattr(law, "noised", None)):
            fail("law", law, "an object with noised(scale, sigma).denoise(x)")
        info.check_grid(grid)
        dim = getattr(law, "dim", None)
        self.x = points("x", x, dim if isinstance(dim, int) else None)
        self.xp = array_namespace(self.x)
        if grid.sigma.ndim == 2 and grid.sigma.shape[1] != self.x.shape[0]:
            fail("grid", grid, f"one schedule, or one per row of x ({self.x.shape[0]} rows)")
        least = min(float(np.min(a, where=a > 0, initial=1.0)) for a in (grid.scale, grid.sigma))
        if self.x.shape[0] and not float(self.xp.max(self.xp.abs(self.x))) <= 1e150 * least:
            fail("x", x, f"coordinates of at most {1e150 * least:g} in absolute value (1e150 scale and sigma of the grid)")
        self.x = self.xp.asarray(self.x, copy=True)  # the caller may edit the start before the first state is asked for
        self.law, self.grid, self.N = law, grid, grid.N
        self._answer = None  # largest coordinate of the denoiser's answers since the last state

    def states(self, update: Callable, noise: NoiseSource | None = None, **options: Any) -> Iterator[Array]:
        """The start and the N states that ``update`` gives, as copies: an edit of one changes neither the run nor the start.

        A run that blows up ends in a ValueError. Where the denoiser answers, a state counts as grown as far as it exceeds
        all that a stable step mixes: the state before, the answers (times the scale) and the noise.
        """
        x, memory = self.x, ()
        grown, before = 1.0, 0.0
        for i in range(self.N + 1):
            if i > 0:
                x, memory = update(x, i - 1, self.grid, self, noise, memory, **options)
            size, scale, sigma = self._size(x), float(np.max(self.grid.scale[i])), float(np.max(self.grid.sigma[i]))
            if self._answer is not None:
                grown = max(1.0, grown * size / max(before, scale * self._answer, 1e-300))
            if not (size < np.inf and grown <= BLOWN_UP):
                expected = "a stable run (more steps in the grid, a smaller step or gamma, or a denoiser that stays bounded)"
                fail(f"grid (the run blew up: coordinates of {size:.3g} in state {i} of {self.N})", self.grid, expected)
            before, self._answer = max(size, sigma), None
            yield self.xp.asarray(x, copy=True)

    def _size(self, x):
        """Largest coordinate in absolute value; 0 for no rows."""
        return max(float(self.xp.max(x)), -float(self.xp.min(x))) if x.shape[0] else 0.0  # without a temporary array

    def denoise(self, i: int, x: Array) -> Array:
        """``E[X | scale_i X + sigma_i Z = x]``, one oracle call."""
        return self.denoise_at(self.grid.scale[i], self.grid.sigma[i], x)

    def denoise_at(self, scale: Numbers, sigma: Numbers, x: Array) -> Array:
        """``E[X | scale X + sigma Z = x]`` at any level: floats or one value per row, one oracle call."""
        if np.ndim(scale) == np.ndim(sigma) == 0:
            scale, sigma = float(scale), float(sigma)
        else:
            scale, sigma = (from_numpy(np.array(a), self.x) for a in np.broadcast_arrays(scale, sigma))
        clean = self.law.noised(scale, sigma).denoise(x)
        self._answer = max(self._answer or 0.0, self._size(clean))
        return clean

    def with_prox(self, kind: str) -> "Run":
        """This run, where the levels of the law have proximal maps of this kind; a ValueError names the law otherwise."""
        scale, sigma = self._level(1)
        if not callable(getattr(self.law.noised(scale, sigma), _PROX[kind], None)):
            law = getattr(self.law, "law", self.law)  # of a Counted, which is no law of the caller's
            fail("law", law, "a law with proximal maps, noised(scale, sigma).prox(y, lam): a point cloud or a mixture")
        return self

    def prox(self, i: int, y: Array, lam: Numbers, kind: str = "global", calls: Calls | None = None) -> Array:
        """Prox of -lam log p_i at y, one oracle call; ``kind="local"`` is the stationary point reached from y.

        A step of length zero has lam = 0, and its map is the identity; the law is asked about the other rows.
        """
        still = np.asarray(lam) == 0
        if np.all(still):
            return y
        scale, sigma = self._level(i)
        lam = float(lam) if np.ndim(lam) == 0 else np.where(still, 1.0, lam)
        method = getattr(self.law.noised(scale, sigma), _PROX[kind])
        found = method(y, lam) if calls is None else method(y, lam, calls=calls)
        return self.xp.where(from_numpy(still[:, np.newaxis], y), y, found) if np.any(still) else found

    def _level(self, i):
        """Scale and sigma of level i: floats, or arrays with one value per row."""
        scale, sigma = self.grid.scale[i], self.grid.sigma[i]
        return (float(scale), float(sigma)) if np.ndim(scale) == 0 else (scale, sigma)

    def score(self, i: int, x: Array) -> Array:
        """``grad log p(x) = (scale_i E[X | x] - x) / sigma_i^2`` at level i (Tweedie), one oracle call."""
        return self.score_at(self.grid.scale[i], self.grid.sigma[i], x)

    def score_at(self, scale: Numbers, sigma: Numbers, x: Array) -> Array:
        """The score at any level with sigma > 0, as in :meth:`denoise_at`, one oracle call."""
        return (column(scale, x) * self.denoise_at(scale, sigma, x) - x) / column(sigma**2, x)


def column(value: Numbers, x: Array) -> Array:
    """A coefficient: a float for all rows, or shape (n, 1) in the namespace of x.

    Examples
    --------
    >>> column(np.array([1.0, 2.0]), np.zeros((2, 3)))
    array([[1.],
           [2.]])
    """
    return float(value) if np.ndim(value) == 0 else from_numpy(np.asarray(value)[:, np.newaxis], x)


def add_noise(x: Array, i: int, noise: NoiseSource, deviation: Numbers) -> Array:
    """``x + deviation z_i``, where step i draws ``z_i = noise.normal(i, n, d)``.

    Examples
    --------
    >>> add_noise(np.zeros((2, 1)), 0, Noise(0), 1.0).shape
    (2, 1)
    """
    return x + column(deviation, x) * noise.normal(i, x.shape[0], x.shape[1], like=x)


def checked_noise(noise: NoiseSource | None) -> NoiseSource:
    """A noise source: anything with ``normal(step, n, d, like=...)``.

    Examples
    --------
    >>> checked_noise(Noise(0)).normal(0, 2, 3).shape
    (2, 3)
    """
    other = isinstance(noise, (ModuleType, np.random.Generator, np.random.RandomState))  # their normal is another function
    if noise is None or other or not callable(getattr(noise, "normal", None)):
        fail("noise", noise, "a noise source such as Noise(seed)")
    return noise


def flag(name: str, value: bool) -> bool:
    """The value, which must be True or False.

    Examples
    --------
    >>> flag("last_noise", True)
    True
    """
    if not isinstance(value, bool):
        fail(name, value, "True or False")
    return value


def step_sizes(grid: Grid, step: str | ArrayLike) -> np.ndarray:
    """Steps ``g`` of the SDE and ODE samplers, shape (N,) or (N, n): see :func:`euler_maruyama`.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> step_sizes(schedules.vp_linear(4, 1.0, 1.0), "right")
    array([0.25, 0.25, 0.25, 0.25])
    """
    if isinstance(step, str):
        choice("step", step, ("integral", "right"))
        if step == "integral":
            return grid.g
        if grid.time is None or grid.rate is None:
            fail("step", step, "'integral' for a grid without time and rate (schedules.vp_linear has them)")
        g = grid.rate[:-1] * (grid.time[:-1] - grid.time[1:])
        return g if grid.sigma.ndim == 1 else np.broadcast_to(g[:, np.newaxis], grid.g.shape)
    g = to_numpy(real_array("step", step, "'integral', 'right' or N positive steps"))
    if g.shape != grid.g.shape or (g <= 0).any():
        fail("step", step, f"'integral', 'right' or positive steps of shape {grid.g.shape}")
    return g


def final_rule(grid: Grid, final: str) -> str:
    """``final="denoise"`` needs a grid that ends at sigma = 0.

    Examples
    --------
    >>> final_rule(ed.schedules.log_linear(4, final_zero=True), "denoise")
    'denoise'
    """
    if choice("final", final, ("step", "denoise")) == "denoise" and (grid.sigma[-1] != 0).any():
        fail("final", final, "'step' unless the grid ends at sigma = 0")
    return final


def reverse_sde(grid: Grid, noise: NoiseSource | None, step: str | ArrayLike, last_noise: bool, final: str) -> Options:
    """Checked options of a one-step scheme for the reverse VP-SDE: its steps ``g``, whether a step is ``noisy``, and whether
    the last one denoises (``final``).

    Examples
    --------
    >>> grid = ed.Grid([0.6, 0.8], [0.8, 0.6])
    >>> options = reverse_sde(grid, ed.Noise(0), "integral", last_noise=True, final="step")
    >>> options["g"].round(4), options["noisy"]
    (array([0.5754]), array([ True]))
    """
    g = step_sizes(grid, step)
    noisy = np.ones(grid.N, dtype=bool)
    flag("last_noise", last_noise), final_rule(grid, final)
    noisy[-1] = last_noise and final == "step"
    if noisy.any():
        checked_noise(noise)
    return {"g": g, "noisy": noisy, "final": final}


def denoises(i: int, grid: Grid, final: str) -> bool:
    """Whether step i is the last one of a run with ``final="denoise"``.

    Examples
    --------
    >>> from exactdiffusion import schedules
    >>> denoises(3, schedules.log_linear(4), "denoise")
    True
    """
    return final == "denoise" and i == grid.N - 1


def denoised(x: Array, i: int, grid: Grid, oracle: Oracle) -> Array:
    """``scale_{i+1} E[X | x]``, the state after a last step that denoises.

    Examples
    --------
    >>> law, grid, x = ed.GaussianMixture(None, [[0.0]], 1.0), ed.Grid([1.0, 0.5], [1.0, 0.0]), np.array([[4.0]])
    >>> denoised(x, 0, grid, Run(law, grid, x, ed.samplers.ddim.info))
    array([[1.]])
    """
    return column(grid.scale[i + 1], x) * oracle.denoise(i, x)


def prox_options(grid: Grid, noise: NoiseSource | None, prox: str, calls: Calls | None) -> Options:
    """Checked options of a proximal step: ``g``, the kind of ``prox`` and the dict of ``calls``.

    Examples
    --------
    >>> options = prox_options(ed.Grid([0.6, 0.8], [0.8, 0.6]), ed.Noise(0), "global", None)
    >>> options["g"].round(4), options["prox"]
    (array([0.5754]), 'global')
    """
    checked_noise(noise)
    choice("prox", prox, ("global", "local"))
    if calls is not None and not isinstance(calls, dict):
        fail("calls", calls, "None or a dict that counts are added to")
    return {"g": grid.g, "prox": prox, "calls": calls}
