r"""DDIM runs on which Theorem 4.2 of the projection paper and its a-posteriori form are measured.

:func:`run_trial` runs DDIM against an adversary with errors of a prescribed size; :func:`measure_run` runs it with any
denoiser and measures the errors on the way. Each returns an object with what was measured, what the theorem says of it,
and the rounding that a comparison of the two has to allow.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ... import samplers
from ..._core.typing import ArrayLike
from ...laws import Denoiser
from ...schedules import Grid
from ...statements import projection as bound
from .adversaries import ApproximateProjection

__all__ = [
    "ErrorsInTurn",
    "Run",
    "Trial",
    "expanded_denoiser",
    "measure_run",
    "points_near",
    "rounding",
    "run_trial",
]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Trial:
    r"""DDIM trajectories against an adversary: rows are levels, from noisy to clean, and columns are trajectories.

    Attributes
    ----------
    dim : int
        Dimension n of the space.
    eta, nu : array, shape (n_trajectories,)
        Relative error and width of the band that the theorem is told.
    beta : array, shape (N, n_trajectories)
        Relative steps.
    distance, sigma : array, shape (N + 1, n_trajectories)
        Distance of every state to the set, and its noise level.
    worst_error : float
        Largest error of the denoiser inside the band, in units of ``eta * distance``: hypothesis (H1) says at most 1.
    tolerance : array, shape (N + 1, n_trajectories)
        Relative rounding of ``distance`` (:func:`rounding`).

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> trial = run_trial(PointCloud([[0.0], [1.0]]), np.array([[3.0]]), 0.1, 1.5, np.full((4, 1), 0.3), "over")
    >>> trial.distance.shape, trial.exits
    ((5, 1), 0)
    """

    dim: int
    eta: np.ndarray
    nu: np.ndarray
    beta: np.ndarray
    distance: np.ndarray
    sigma: np.ndarray
    worst_error: float
    tolerance: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        r""":math:`d(x_t) / (\sqrt n\,\sigma_t)`, shape (N + 1, n_trajectories): the band is ``1 / nu <= ratio <= nu``."""
        return self.distance / (math.sqrt(self.dim) * self.sigma)

    @property
    def band(self) -> np.ndarray:
        """``max(ratio, 1 / ratio)``, shape (N + 1, n_trajectories): in the band it is at most ``nu``."""
        return np.asarray(bound.band_usage(self.distance, self.sigma, self.dim))

    @property
    def products(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper product of the theorem for d(x_{N-1}), ..., d(x_0), each of shape (N, n_trajectories)."""
        return bound.ddim_distance_sandwich(self.distance[0], np.minimum(self.beta, 1.0), self.eta)

    @property
    def exits(self) -> int:
        """Number of trajectories that leave the band at some step, beyond rounding."""
        return int(np.sum(np.any(self.band / self.nu > 1 + self.tolerance, axis=0)))


def points_near(law: Any, rng: np.random.Generator, n: int) -> np.ndarray:
    """Points at distances 0.3 to 300 from points of a closed set, in random directions, hence away from ties; (n, law.dim).

    Examples
    --------
    >>> from exactdiffusion import Sphere
    >>> points_near(Sphere(radius=1.0, dim=5, sphere_dim=2), np.random.default_rng(0), 7).shape
    (7, 5)
    """
    on_set = law.project(rng.standard_normal((n, law.dim)))
    direction = rng.standard_normal((n, law.dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return on_set + 10 ** rng.uniform(-0.5, 2.5, (n, 1)) * direction


def rounding(law: Any, x: np.ndarray, beta: np.ndarray, eta: float | np.ndarray) -> np.ndarray:
    """Relative rounding of the distance after t steps from x, shape (N + 1, n): 64 eps (t + 1) |x| / smallest distance.

    A rounding of x_t has the size eps (|x_t| + |points of the set|), and |x_t| <= |x_N| up to the extent of the set. The
    smallest distance is the lower product of Theorem 4.2, hence the argument ``eta``.

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> rounding(PointCloud([[0.0]]), np.array([[1.0]]), np.full((2, 1), 0.5), 0.0).shape
    (3, 1)
    """
    start = law.distance(x)
    lower, _ = bound.ddim_distance_sandwich(start, beta, eta)
    smallest = np.maximum(np.concatenate([start[None], lower]), 1e-300)
    steps = np.arange(1, len(beta) + 2)[:, None]
    return 64 * EPS * steps * (np.linalg.norm(x, axis=1) + start) / smallest


def run_trial(
    law: Any,
    x: np.ndarray,
    eta: ArrayLike,
    nu: ArrayLike,
    beta: np.ndarray,
    strategy: str,
    *,
    true_eta: ArrayLike | None = None,
    start_ratio: float = 1.0,
    garbage: bool = True,
    seed: int = 0,
) -> Trial:
    r"""Run DDIM from x with relative steps ``beta`` against an adversary.

    Parameters
    ----------
    law : closed set with ``project`` and ``distance``
    x : array, shape (n, d)
        Starting points x_N.
    eta, nu : number or array, shape (n,)
        Relative error and width of the band that the theorem is told.
    beta : array, shape (N, n) or (N, 1)
        Relative steps, noisy to clean.
    strategy : str
        One of :data:`exactdiffusion.papers.projection.adversaries.STRATEGIES`.
    true_eta : number or array, optional
        Error that the denoiser really makes, for a control; ``eta`` by default.
    start_ratio : float
        :math:`d(x_N) / (\sqrt n\,\sigma_N)`; 1 is hypothesis (H4) of Theorem 4.2.
    garbage : bool
        Whether the denoiser misbehaves outside the band.
    seed : int
        Seed of the adversary's directions.

    Returns
    -------
    Trial

    Raises
    ------
    ValueError
        An argument that :class:`~exactdiffusion.papers.projection.adversaries.ApproximateProjection` refuses.

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> trial = run_trial(PointCloud([[0.0], [1.0]]), np.array([[3.0]]), 0.1, 1.5, np.full((4, 1), 0.3), "under")
    >>> bool(np.allclose(trial.distance[1:], trial.products[1]))  # an undershoot attains the upper product
    True
    """
    eta, nu = (np.broadcast_to(np.asarray(v, dtype=np.float64), len(x)) for v in (eta, nu))
    beta = np.broadcast_to(beta, (len(beta), len(x)))

    # each trajectory has its own noise levels: sigma_N from its start, then sigma_{t-1} = (1 - beta_t) sigma_t
    sigma = np.empty((len(beta) + 1, len(x)))
    sigma[0] = law.distance(x) / (math.sqrt(law.dim) * start_ratio)
    sigma[1:] = sigma[0] * np.cumprod(1 - beta, axis=0)

    # the adversary forgives the rounding of a state on the edge of the band
    tolerance = rounding(law, x, beta, eta)
    told = eta if true_eta is None else true_eta
    denoiser = ApproximateProjection(law, told, nu, strategy, seed=seed, garbage=garbage, band_rtol=tolerance[-1])

    states = samplers.ddim(denoiser, Grid(np.ones_like(sigma), sigma), x)
    distance = np.stack([law.distance(state) for state in states])
    return Trial(law.dim, eta, nu, beta, distance, sigma, denoiser.largest_error, tolerance)


@dataclass(frozen=True)
class Run:
    r"""DDIM trajectories with any denoiser, and the errors that it made on them; columns are trajectories.

    Attributes
    ----------
    dim : int
        Dimension n of the space.
    beta : array, shape (N,) or (N, n_trajectories)
        Relative steps.
    distance, sigma : array, shape (N + 1, n_trajectories)
        Distance of every state to the set, and its noise level.
    eta : array, shape (N, n_trajectories)
        Measured relative errors :math:`|\hat x_t - p_t| / d(x_t)` at x_N, ..., x_1.
    gap : array, shape (N + 1, n_trajectories)
        Distance of the second nearest minus that of the nearest point, relative to the latter: positive where p is unique.
    tolerance : array, shape (N + 1, n_trajectories)
        16 eps sqrt(n) sum |x_t| / d(x_t): rounding of every state so far, relative to its distance.
    states : array, shape (N + 1, n_trajectories, n)
        x_N, ..., x_0.

    Examples
    --------
    >>> from exactdiffusion import Grid, PointCloud
    >>> pair = PointCloud([[0.0], [1.0]])
    >>> run = measure_run(pair, Grid([1.0, 1.0, 1.0], [2.0, 1.0, 0.5]), np.array([[3.0]]))
    >>> run.eta.shape, run.distance.shape
    ((2, 1), (3, 1))
    """

    dim: int
    beta: np.ndarray
    distance: np.ndarray
    sigma: np.ndarray
    eta: np.ndarray
    gap: np.ndarray
    tolerance: np.ndarray
    states: np.ndarray

    @property
    def products(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper product of the measured errors for d(x_{N-1}), ..., d(x_0), each of shape (N, n_trajectories)."""
        return self.products_of(self.eta)

    def products_of(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same with other errors in the place of the measured ones."""
        return bound.a_posteriori_sandwich(self.distance[0], self.beta, eta)

    @property
    def usage(self) -> np.ndarray:
        r"""Largest ``max(r, 1 / r)`` of a trajectory, :math:`r = d(x_t) / (\sqrt n\,\sigma_t)`; shape (n_trajectories,)."""
        return np.max(bound.band_usage(self.distance, self.sigma, self.dim), axis=0)


class _Recorder:
    """A denoiser that keeps its answers: an error reconstructed from the next state would fit any sequence of points."""

    def __init__(self, oracle):
        self.oracle, self.dim, self.answers = oracle, oracle.dim, []

    def noised(self, scale=1.0, sigma=0.0):
        def denoise(x):
            self.answers.append((sigma, self.oracle.noised(scale, sigma).denoise(x)))
            return self.answers[-1][1]

        return SimpleNamespace(denoise=denoise)


def measure_run(law: Any, grid: Grid, x: np.ndarray, oracle: Any = None) -> Run:
    """Run DDIM from x and measure distances, errors of the denoiser and gaps of uniqueness at every state.

    Parameters
    ----------
    law : PointCloud
        The closed set.
    grid : Grid
    x : array, shape (n, d)
        Starting points x_N.
    oracle : denoiser, optional
        The ideal denoiser of ``law`` by default.

    Returns
    -------
    Run

    Raises
    ------
    AssertionError
        The sampler asked for another level than that of the grid.

    Examples
    --------
    >>> from exactdiffusion import Grid, PointCloud
    >>> run = measure_run(PointCloud([[0.0], [1.0]]), Grid([1.0, 1.0], [0.1, 0.05]), np.array([[1.2]]))
    >>> bool(run.eta[0, 0] < 1e-10)  # low noise: the ideal denoiser is the projection
    True
    """
    recorder = _Recorder(law if oracle is None else oracle)
    states = np.stack(list(samplers.ddim(recorder, grid, x)))
    sigma = np.broadcast_to(grid.sigma.reshape(grid.N + 1, -1), (grid.N + 1, len(x)))

    # one pass over the atoms for all states
    every = states.reshape(-1, law.dim)
    index, distance = (a.reshape(sigma.shape) for a in law.nearest(every))
    gap = law.gap(every).reshape(sigma.shape) / distance

    # the errors of the answers themselves, relative to the distance of the state that was asked about
    assert len(recorder.answers) == grid.N
    eta = np.empty((grid.N, len(x)))
    for t, (level, clean) in enumerate(recorder.answers):
        assert np.all(level == grid.sigma[t]), "the oracle was asked at another level than the sampler's"
        eta[t] = np.linalg.norm(clean - law.points[index[t]], axis=1) / distance[t]

    size = np.linalg.norm(every, axis=1).reshape(sigma.shape) / distance
    tolerance = 16 * EPS * math.sqrt(law.dim) * np.cumsum(size, axis=0)
    return Run(law.dim, grid.beta, distance, sigma, eta, gap, tolerance, states)


def expanded_denoiser(law: Any) -> Denoiser:
    """Ideal denoiser of a uniform cloud by the expanded square: two matrix products, far cheaper in high dimension.

    It equals the exact oracle up to the rounding of its logits, 4 eps sqrt(n) |x|^2 / sigma^2.

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> pair = PointCloud([[0.0, 1.0], [1.0, 0.0]])
    >>> expanded_denoiser(pair).noised(1.0, 2.0).denoise(np.array([[0.5, 0.5]]))
    array([[0.5, 0.5]])
    """
    centre = law.points.mean(axis=0)
    atoms = law.points - centre
    half = 0.5 * np.sum(atoms**2, axis=1)

    def denoise(x, sigma):
        logits = ((x - centre) @ atoms.T - half) / np.reshape(sigma, (-1, 1)) ** 2
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights @ law.points / weights.sum(axis=1, keepdims=True)

    return Denoiser(denoise, law.dim)


class ErrorsInTurn:
    """Approximate projection with another relative error at every call: ``sizes[0]``, then ``sizes[1]``, and so on.

    Parameters
    ----------
    law : closed set with ``project`` and ``distance``
    sizes : iterable of numbers or arrays, shape (n,)
        Relative errors of the calls.
    strategy : str
        One of :data:`exactdiffusion.papers.projection.adversaries.STRATEGIES`.

    Examples
    --------
    >>> from exactdiffusion import PointCloud
    >>> oracle = ErrorsInTurn(PointCloud([[0.0]]), (0.5, 0.1), "under")
    >>> [float(oracle.noised(1.0, 1.0).denoise(np.array([[1.0]]))[0, 0]) for _ in range(2)]
    [0.5, 0.1]
    """

    def __init__(self, law: Any, sizes: Iterable[ArrayLike], strategy: str) -> None:
        self.law, self.dim, self.sizes, self.strategy = law, law.dim, iter(sizes), strategy

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> Any:
        """The oracle at a noise level, with the next error of the list."""
        return ApproximateProjection(self.law, next(self.sizes), strategy=self.strategy, garbage=False).noised(scale, sigma)
