"""Names of the types that annotations of several rooms share.

They stand on the ground floor, so that a module can name its arguments without importing the room that makes them.
"""

import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
else:  # help() prints the union that NumPy means in full, 300 characters for each argument
    ArrayLike = type("ArrayLike", (), {"__module__": "numpy.typing"})

__all__ = [
    "Array",
    "ArrayLike",
    "Calls",
    "ClosedSet",
    "Density",
    "Law",
    "LineLaw",
    "Memory",
    "Moments",
    "Namespace",
    "NoiseSource",
    "Numbers",
    "Options",
    "Oracle",
    "Rng",
    "Row",
    "Schedule",
    "StrPath",
]

#: An array of any namespace (NumPy, CuPy, torch). An argument that a function converts itself is an `ArrayLike`.
Array: TypeAlias = Any
#: The functions of an array library, as `array_namespace` gives them.
Namespace: TypeAlias = Any
#: A number, or a NumPy array of numbers.
Numbers: TypeAlias = float | np.ndarray
#: The memory of a sampler's update, of the steps before: arrays of the shape of the state.
Memory: TypeAlias = tuple[Array, ...]
#: The keywords of an update.
Options: TypeAlias = dict[str, Any]
#: Evaluations inside a proximal map, counted by name.
Calls: TypeAlias = dict[str, Any]
#: A NumPy generator, or the seed of one.
Rng: TypeAlias = np.random.Generator | int
#: One row of a table: the name of a column and its value.
Row: TypeAlias = dict[str, Any]
#: A path as text or as an object.
StrPath: TypeAlias = str | os.PathLike[str]


class Law(Protocol):
    """A law or an oracle on R^dim; ``noised`` gives the law of ``scale * X + sigma N(0, I)``, with at least ``denoise``.

    Examples
    --------
    >>> class Constant:  # anything with these two is a law for the deterministic samplers
    ...     dim = 1
    ...     def noised(self, scale=1.0, sigma=0.0):
    ...         return self
    ...     def denoise(self, x):
    ...         return 0 * x + 1.0
    >>> ed.samplers.final(ed.samplers.ddim(Constant(), ed.schedules.log_linear(5, final_zero=True), [[9.0]]))
    array([[1.]])
    """

    dim: int

    def noised(self, scale: Any = 1.0, sigma: Any = 0.0) -> Any:
        """The law at a noise level: scalars, or one value per row, shape (n,)."""


class Moments(Law, Protocol):
    """A law whose mean and covariance are known.

    Examples
    --------
    >>> law: Moments = ed.GaussianMixture(None, [[-1.0], [1.0]], 0.25)
    >>> law.mean, law.covariance
    (array([0.]), array([[1.25]]))
    """

    @property
    def mean(self) -> Any:
        """Mean, (d,)."""

    @property
    def covariance(self) -> Any:
        """Covariance, (d, d)."""


class Density(Protocol):
    """A law that has a density.

    Examples
    --------
    >>> law: Density = ed.GaussianMixture(None, [[0.0]], 4.0)
    >>> law.score([[2.0]])
    array([[-0.5]])
    """

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d)."""


class NoiseSource(Protocol):
    """Standard normal rows that depend on their number and not on the batch: `Noise`, and the increments of a path.

    Examples
    --------
    >>> noise: NoiseSource = ed.Noise(0)
    >>> bool(np.all(noise.normal(3, 5, 2)[:2] == noise.normal(3, 2, 2)))  # rows do not depend on the number of rows
    True
    """

    def normal(self, step: int, n: int, d: int, start: int = 0, like: Array | None = None) -> Array:
        """Rows ``start .. start + n - 1`` of the matrix of a step, shape (n, d)."""

    def rows(self, start: int) -> "NoiseSource":
        """View whose row 0 is row ``start``."""


class ClosedSet(Protocol):
    """A closed set of points: a cloud, a sphere, a subspace.

    Examples
    --------
    >>> circle: ClosedSet = ed.Sphere(1.0, 2)
    >>> circle.distance([[3.0, 4.0]])
    array([4.])
    """

    def distance(self, x: ArrayLike) -> Array:
        """Euclidean distance of every row of x, shape (n,)."""


class Schedule(Protocol):
    """An object with a clock: a `Grid`.

    Examples
    --------
    >>> grid: Schedule = ed.Grid([1.0, 1.0], [1.0, 0.0])
    >>> grid.integral.round(4)
    array([0.6931, 0.    ])
    """

    @property
    def integral(self) -> Array:
        """``-log alpha_bar`` at every level, decreasing."""


class Oracle(Protocol):
    """The questions that a sampler's update may ask about the law at level i of the grid."""

    def denoise(self, i: int, x: Array) -> Array:
        """``E[X | x]``, (n, d)."""

    def score(self, i: int, x: Array) -> Array:
        """Gradient of the log density, (n, d)."""

    def denoise_at(self, scale: Numbers, sigma: Numbers, x: Array) -> Array:
        """``E[X | scale X + sigma Z = x]`` at a level that need not be of the grid, (n, d)."""

    def score_at(self, scale: Numbers, sigma: Numbers, x: Array) -> Array:
        """Gradient of the log density at such a level, (n, d)."""

    def prox(self, i: int, y: Array, lam: Numbers, kind: str = "global", calls: Calls | None = None) -> Array:
        """Proximal map of minus lam times the log density, (n, d)."""


class LineLaw(Protocol):
    """The questions that a sampler's step on a line may ask of the law at one noise level, on arrays (n,).

    Examples
    --------
    >>> law: LineLaw = ed.output_laws.line.Level(ed.GaussianMixture(None, [[0.0]], 1.0), scale=0.6, sigma=0.8)
    >>> law.sigma, law.curvature(np.array([0.5]))
    (0.8, array([-1.]))
    """

    @property
    def sigma(self) -> float:
        """The noise."""

    def log_density(self, x: Array) -> Array:
        """Log density, (n,)."""

    def score(self, x: Array) -> Array:
        """First derivative of the log density, (n,)."""

    def curvature(self, x: Array) -> Array:
        """Second derivative of the log density, (n,)."""
