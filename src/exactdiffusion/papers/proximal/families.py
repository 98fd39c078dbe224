r"""Families of laws in which large ratios of a KL bound are searched beside the Gaussians of ``search``.

Two and three modes on a line, by the exact propagation of densities and by quadrature, and scale mixtures in d dimensions.
On a scale mixture the score, the Jacobian of a step and the error fields are radial, so that a budget is one integral over
the radius in any dimension:

* backward, :func:`~exactdiffusion.statements.proximal.backward_error_field` with
  :math:`T[J^{-1}]=x\,[4\psi''(\mathrm{tr}J^{-1}+2j_r^{-1})+8\psi'''q\,j_r^{-1}]`, j_r the eigenvalue of J along x;
* hybrid, the sum of the mean squares of the two parts of
  :func:`~exactdiffusion.statements.proximal.hybrid_error_field`, which have no cross term;
* Euler-Maruyama, where :math:`E[\nabla l_t(x)|y]=e^{-s/2}\nabla l_{t_k}(y)` and Tweedie's formula leave
  second moments and Fisher informations alone.

Each law is a point of a box in logarithms (:data:`MODES`, :data:`SCALES`), as :func:`~.search.maximise` wants it. A ratio
that a theorem check states is the largest found in the box. Most are at an end of the box, often the one that is nearest to
the Gaussians, and so say nothing about laws outside of it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..._core.typing import Array
from ..._core.validation import choice
from ...laws import GaussianMixture
from ...output_laws import line, radial
from ...schedules import Grid
from ...statements import proximal as bound
from . import budgets
from .radial import RadialMixture

__all__ = ["MODES", "SCALES", "Modes", "Scales", "over"]

#: variance of a mode, half of the distance of the outer modes in deviations, weights of the last and of the middle mode over
#: the first, place of the middle mode (0 at the first and 1 at the last), horizon, last over first step. The modes are at
#: least one deviation apart: nearer ones are Gaussians in the limit, which `search.BOX` covers.
MODES = {
    "v": (0.05, 5.0),
    "apart": (0.5, 3.0),
    "last": (0.1, 1.0),
    "middle": (0.1, 3.0),
    "place": (0.1, 1.0),
    "T": (0.02, 12.0),
    "ratio": (0.1, 10.0),
}
#: dimension, smaller variance, the larger over it, the weight of the larger over the other, horizon, last over first step
SCALES = {
    "d": (2.0, 64.0),
    "v": (0.05, 5.0),
    "spread": (1.5, 10.0),
    "last": (0.1, 10.0),
    "T": (0.02, 12.0),
    "ratio": (0.1, 10.0),
}
#: times at which the largest derivatives of the log density are taken
TIMES = 5


def over(family: type, ratio: Callable, N: int) -> Callable[[Array], Array]:
    """A ratio of laws as a function of (n, k) parameters, as ``search.maximise`` wants it.

    Examples
    --------
    >>> import numpy as np
    >>> from exactdiffusion.papers.proximal import families
    >>> values = families.over(families.Scales, lambda x: x.second_moment / x.dim, N=1)
    >>> values(np.array([[8.0, 1.0, 3.0, 1.0, 0.1, 1.0]]))
    array([2.])
    """
    return lambda parameters: np.array([ratio(family(*row, N)) for row in parameters])


def _kl(run):
    """KL, NaN where the law of the output underflows at nodes where the target does not."""
    kl = line.divergences(run.target, run.law).kl
    return kl if math.isfinite(kl) else math.nan


def _or_nan(compute):
    """A value, NaN where the proximal map is not single valued or the law is too narrow for its width."""
    try:
        return compute()
    except (line.AssumptionViolated, line.QuadratureError):
        return math.nan


class _Instance(ABC):
    """What the two families share: steps, and the closed bounds with the constants of the instance."""

    T: float
    ratio: float
    N: int

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension."""

    @property
    @abstractmethod
    def second_moment(self) -> float:
        """E|X_0|^2."""

    @abstractmethod
    def constants(self, t: float) -> tuple[float, float]:
        """Largest operator norms of the second and third derivative of l_t, found on nodes."""

    @cached_property
    def times(self) -> Array:
        """Times T = t_0 > ... > t_N = 0, (N + 1,)."""
        powers = self.ratio ** (np.arange(self.N) / max(self.N - 1, 1))
        return np.append(self.T * np.cumsum((powers / powers.sum())[::-1])[::-1], 0.0)

    @property
    def g(self) -> Array:
        """Steps, (N,), noisy to clean."""
        return -np.diff(self.times)

    @cached_property
    def grid(self) -> Grid:
        return Grid(np.exp(-self.times / 2), np.sqrt(-np.expm1(-self.times)))

    @cached_property
    def largest(self) -> tuple[float, float]:
        """L and H over [0, T], the largest over nodes in space and :data:`TIMES` times."""
        found = np.array([self.constants(t) for t in self.T * np.linspace(0, 1, TIMES) ** 2])
        return float(found[:, 0].max()), float(found[:, 1].max())

    def closed(self, scheme: str) -> float:
        """The closed bound of a scheme from an exact start, NaN where its step condition fails."""
        # the step condition at t = 0 is quick to refuse
        if scheme != "euler_maruyama" and self.g.max() * (self.constants(0.0)[0] + 0.5) > 0.5:
            return math.nan
        L, H = self.largest
        if scheme == "euler_maruyama":
            return bound.euler_maruyama_trajectory_kl(self.g, self.dim, self.second_moment, L)
        if self.g.max() * (L + 0.5) > 0.5:
            return math.nan
        closed = bound.backward_kl if scheme == "proximal_backward" else bound.hybrid_trajectory_kl
        return closed(self.g, self.dim, self.second_moment, L, H)


@dataclass(frozen=True)
class Modes(_Instance):
    """Three modes of one variance on a line, or two for ``middle`` = 0, and N steps."""

    v: float
    apart: float
    last: float
    middle: float
    place: float
    T: float
    ratio: float
    N: int

    @property
    def dim(self) -> int:
        return 1

    @cached_property
    def law(self) -> GaussianMixture:
        a = self.apart * math.sqrt(self.v)
        weights, means = [1.0, self.last], [-a, a]
        if self.middle > 0:
            weights, means = weights + [self.middle], means + [self.place * 2 * a - a]
        weights = np.array(weights) / sum(weights)
        return GaussianMixture(weights, np.array(means)[:, np.newaxis], self.v)

    @property
    def second_moment(self) -> float:
        return float(self.law.weights @ self.law.means[:, 0] ** 2 + self.v)

    def label(self) -> str:
        modes = ", ".join(f"{w:.3g} at {m:.3g}" for w, m in zip(self.law.weights, self.law.means[:, 0]))
        return f"modes {modes} of variance {self.v:.3g}, {self.N} steps over T = {self.T:.3g}"

    def constants(self, t: float) -> tuple[float, float]:
        level = line.Level(self.law, math.exp(-t / 2), math.sqrt(-math.expm1(-t)))
        deviation = math.sqrt(math.exp(-t) * self.v - math.expm1(-t))
        edge = self.apart * math.sqrt(self.v) + 12 * deviation
        x = np.linspace(-edge, edge, 801)
        return float(np.abs(level.curvature(x)).max()), float(np.abs(level.third(x)).max())

    def marginal_kl(self, scheme: str) -> float:
        """KL(p_0 | q_0) from the exact start, NaN where the Jacobian of a step is not positive."""
        if scheme == "proximal_backward" and self.g.max() >= 2:
            return math.nan
        return _or_nan(lambda: _kl(line.propagate(self.law, self.grid, scheme)))

    def trajectory_kl(self, scheme: str) -> float:
        """KL of the whole trajectory from the exact start, NaN as above."""
        return _or_nan(lambda: budgets.trajectory_kl(self.law, self.grid, scheme).total)

    def budget(self) -> float:
        """Budget of the backward scheme, NaN as above."""
        if self.g.max() >= 2:
            return math.nan
        return _or_nan(lambda: budgets.budget(self.law, self.grid).total)


@dataclass(frozen=True)
class Scales(_Instance):
    """Two centred isotropic Gaussians in d dimensions, and N steps."""

    d: float
    v: float
    spread: float
    last: float
    T: float
    ratio: float
    N: int

    @property
    def dim(self) -> int:
        return round(self.d)

    @cached_property
    def law(self) -> RadialMixture:
        weights = np.array([1.0, self.last]) / (1 + self.last)
        return RadialMixture(weights, np.array([self.v, self.v * self.spread]), self.dim)

    @property
    def second_moment(self) -> float:
        return self.law.second_moment

    def label(self) -> str:
        (w, _), (a, b) = self.law.weights, self.law.variances
        law = f"{w:.3g} N(0, {a:.3g} I) + {1 - w:.3g} N(0, {b:.3g} I), d = {self.dim}"
        return f"{law}, {self.N} steps over T = {self.T:.3g}"

    def constants(self, t: float) -> tuple[float, float]:
        # over the radii that carry mass, and from the origin to them
        now = self.law.noised(t)
        low, high = now.radii()[[0, -1]]
        fields = now.fields(np.concatenate([np.linspace(0, low, 100), np.linspace(low, 1.5 * high, 500)]))
        second = np.maximum(np.abs(fields.tangential), np.abs(fields.radial))
        return float(second.max()), float(fields.third_norm.max())

    def marginal_kl(self, scheme: str) -> float:
        """KL(p_0 | q_0) from the exact start, NaN where the Jacobian of a step is not positive."""
        if scheme == "proximal_backward" and self.g.max() >= 2:
            return math.nan
        law = GaussianMixture(self.law.weights, np.zeros((2, self.dim)), self.law.variances)
        return _or_nan(lambda: _kl(radial.propagate(law, self.grid, scheme)))

    def budget(self, scheme: str, order: int = 6) -> float:
        """Budget of the backward scheme, or of the trajectory of the two others, which is at least their trajectory KL."""
        choice("scheme", scheme, ("proximal_backward", "proximal_hybrid", "euler_maruyama"))
        nodes, weights = np.polynomial.legendre.leggauss(order)
        field = self._path_square if scheme == "euler_maruyama" else self._field_square
        total = 0.0
        for start, g in zip(self.times, self.g):
            squares = [field(scheme, start, g, s) for s in g * (1 + nodes) / 2]
            total += g / 4 * float(weights @ squares)
        return total

    def _field_square(self, scheme, start, g, s):
        """Mean square of J e at time s of the step of length g from ``start``, NaN where J is not positive."""
        now, end = self.law.noised(start - s), self.law.noised(start - g)
        r = now.radii()
        then, fixed = now.fields(r), end.fields(r)

        # eigenvalues of J along x and across, the coefficients of x in the scores and in T[J^-1]
        linear = 1 - s / 2 if scheme == "proximal_backward" else 1.0
        along, across = linear - s * fixed.radial, linear - s * fixed.tangential
        if min(along.min(), across.min()) <= 0:
            return math.nan
        trace = 1 / along + (self.dim - 1) / across
        third = 4 * fixed.second * (trace + 2 / along) + 8 * fixed.third * fixed.q / along

        # the field along x
        field = 0.5 * (along - 1) + (along - 1) ** 2 / along * then.first + 2 * (then.first - fixed.first)
        field += s / 2 * third / along
        if scheme == "proximal_backward":
            return now.mean(field**2 * fixed.q)
        field -= 0.5 * math.expm1(-s / 2)
        spread = math.sqrt(-math.expm1(-s))
        noise = [0.5 * spread + 0.5 * (J - 1 / J) * math.exp(-s / 2) / spread for J in (along, across)]
        return now.mean(field**2 * fixed.q + noise[0] ** 2 + (self.dim - 1) * noise[1] ** 2)

    def _path_square(self, scheme, start, g, s):
        """Mean square of ``(x - y)/2 + grad l_t(x) - grad l_{t_k}(y)`` from second moments and informations."""
        law, now, d = self.law.noised(start), self.law.noised(start - s), self.dim
        before, after = law.mean(law.fields(law.radii()).squared_score), now.mean(now.fields(now.radii()).squared_score)
        r = math.exp(-s / 2)
        states = law.second_moment + now.second_moment - 2 * r * now.second_moment
        scores = before + after - 2 * r * before
        mixed = d * (r + 1 / r - 2) + math.expm1(-s) / r * before
        return states / 4 + scores + mixed
