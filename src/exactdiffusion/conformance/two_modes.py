r"""Deterministic samplers on a law with two modes, by runs that share their start with the exact flow.

On a line the exact flow between two levels is monotone, so it takes each quantile of the start to the same quantile of the
end. A sampler runs from quantiles of the exact start law; the root mean square of its distance to the exact quantiles is an
upper bound of W2 between output and exact law, and equal to it where the sampler's map is monotone. No affinity is needed.
"""

from typing import Any

import numpy as np
from scipy.special import ndtr

from .._core.arrays import to_numpy
from .._core.typing import Array
from .._core.validation import choice
from ..output_laws.coefficients import Probe, caller_array
from .subject import Subject, Unjudgeable
from .world import PREDICTIONS, Target, World

__all__ = ["TwoModesWorld", "two_mode_error"]

#: quantiles of the start: midpoints of equal shares
NODES = 400


class _Quantiles(Probe):
    """The probe of these runs: the world gives the start, and there is no noise."""

    def normal(self, like):
        raise Unjudgeable("two modes are judged for deterministic samplers only")

    def interval(self, start, end, like):
        return self.normal(like)


class TwoModesWorld(World):
    """The exact model of an equal mixture of N(-1, 0.2^2) and N(1, 0.2^2), in units of ``unit``.

    Examples
    --------
    >>> world = TwoModesWorld(Target(np.zeros(1), np.ones(1)))
    >>> print(world.predict("sample", np.array([[0.0], [30.0]]), sigma=0.1).round(6).ravel())
    [ 0.  24.2]
    """

    #: mean of the right mode, and standard deviation of both
    MODE, SPREAD = 1.0, 0.2

    def quantiles(self, scale: float, sigma: float) -> np.ndarray:
        """Quantiles of ``scale X + sigma Z`` at the midpoints of equal shares, shape (NODES, 1), by bisection."""
        shares = (np.arange(NODES) + 0.5) / NODES
        centre, deviation = scale * self.unit * self.MODE, np.hypot(scale * self.unit * self.SPREAD, sigma)
        low, high = -(centre + 9 * deviation) * np.ones(NODES), (centre + 9 * deviation) * np.ones(NODES)
        for _ in range(100):
            middle = 0.5 * (low + high)
            below = 0.5 * (ndtr((middle - centre) / deviation) + ndtr((middle + centre) / deviation)) < shares
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (0.5 * (low + high))[:, np.newaxis]

    def start(self, scale: float, sigma: float, deviation: float | None = None) -> Array:
        self.begin = self.quantiles(float(scale), float(sigma))
        return self.state(self.array(self.begin), scale, sigma)

    def predict(self, kind: str, x: Array, sigma: Any, scale: Any = 1.0) -> Array:
        choice("kind", kind, PREDICTIONS)
        scale, sigma = self._scalar("scale", scale), self._scalar("sigma", sigma)
        self.calls.append((scale, sigma))
        y, m, s2 = np.asarray(to_numpy(x), dtype=np.float64), self.unit * self.MODE, (self.unit * self.SPREAD) ** 2
        v = scale * scale * s2 + sigma * sigma

        # mean of the mode that x belongs to, then the noise without a difference of nearly equal numbers
        centre = m * np.tanh(scale * m * y / v)
        clean = (scale * s2 * y + sigma * sigma * centre) / v
        noise = sigma * (y - scale * centre) / v
        answer = {
            "sample": clean,
            "epsilon": noise,
            "v_prediction": scale * noise - sigma * clean,
            "flow_prediction": noise - clean,
            "score": (scale * centre - y) / v,
        }[kind]
        return caller_array(answer, x)


def two_mode_error(subject: Subject, steps: int) -> float:
    """Root mean square distance to the exact flow at the last level above 0, in units of the exact standard deviation.

    Raises
    ------
    Unjudgeable
        for a sampler that draws noise.

    Examples
    --------
    >>> from exactdiffusion.conformance import subject_of
    >>> errors = [two_mode_error(subject_of("heun"), n) for n in (40, 80)]
    >>> print(round(float(np.log2(errors[0] / errors[1])), 1))
    1.9
    """
    world = TwoModesWorld(Target(np.zeros(1), np.ones(1)), subject.library, widen=True)
    states = world.runner(subject.make(world), steps)(_Quantiles())
    at = -1 if world.levels[-1][1] > 0 or len(states) == 2 else -2
    exact = world.quantiles(*world.levels[at])
    found = np.asarray(to_numpy(states[at]), dtype=np.float64).reshape(exact.shape)
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))
