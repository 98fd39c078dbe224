"""The two forms of a step on a line: what a sampler gives as ``line=`` and `output_laws.line` pushes densities through."""

from collections.abc import Callable
from dataclasses import dataclass

from .._core.typing import Array, LineLaw

__all__ = ["Explicit", "Implicit", "affine_in_score"]


@dataclass(frozen=True)
class Explicit:
    """``X = m(Y) + sqrt(variance) z``; ``mean(y)`` returns ``(m, m')``; variance 0 is a deterministic step.

    Examples
    --------
    >>> step = Explicit(lambda y: (0.5 * y, np.full_like(y, 0.5)), variance=0.75)  # an autoregression
    >>> step.mean(np.array([2.0]))
    (array([1.]), array([0.5]))
    """

    mean: Callable[[Array], tuple[Array, Array]]
    variance: float


@dataclass(frozen=True)
class Implicit:
    """``F(X) = (1 + growth) Y + sqrt(variance) z``, F the derivative of ``potential``; ``forward(x)`` returns ``(F, F')``.

    X is the global minimiser of ``potential(u) - u ((1 + growth) Y + sqrt(variance) z)``.

    Examples
    --------
    >>> step = Implicit(lambda x: (2 * x, np.full_like(x, 2.0)), lambda x: x**2, growth=0.0, variance=1.0)  # Y/2 + z/2
    >>> step.forward(np.array([3.0])), step.slope
    ((array([6.]), array([2.])), 1.0)
    """

    forward: Callable[[Array], tuple[Array, Array]]
    potential: Callable[[Array], Array]
    growth: float
    variance: float

    @property
    def slope(self) -> float:
        return 1 + self.growth


def affine_in_score(start: LineLaw, growth: float, pull: float, variance: float) -> Explicit:
    """``X = (1 + growth) Y + pull l'(Y) + sqrt(variance) z``, l the log density of ``start``.

    Examples
    --------
    >>> from exactdiffusion.output_laws.line import Level
    >>> start = Level(ed.GaussianMixture(None, [[0.0]], 1.0), scale=0.6, sigma=0.8)
    >>> affine_in_score(start, growth=0.25, pull=0.5, variance=0.5).mean(np.array([1.0]))
    (array([0.75]), array([0.75]))
    """
    # y + (growth y + ...): (1 + growth) rounded once would err the same way at every node and every step, N eps / g in all
    return Explicit(lambda y: (y + (growth * y + pull * start.score(y)), 1 + (growth + pull * start.curvature(y))), variance)
