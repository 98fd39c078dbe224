r"""Search for the worst Gaussian of a KL bound: the divergence over its bound, maximised over a stated box.

On a Gaussian every scheme is a linear recursion of mean and variance, so that 10^5 targets with N steps cost N operations
on arrays. The box: variance S, mean mu, horizon T, number of steps N and the ratio of the last to the first step (the steps
form a geometric sequence). The search is deterministic: a scrambled Sobol sequence, then refinement of the best points.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import qmc

from ..._core.typing import Array
from ..._core.validation import choice, fail

__all__ = ["BOX", "Gaussians", "maximise", "worst"]

#: parameter -> (low, high), all searched in logarithms: variance, mean, horizon, ratio of the last to the first step
BOX = {"S": (0.05, 20.0), "mu": (1e-3, 10.0), "T": (0.02, 12.0), "ratio": (0.1, 10.0)}


@dataclass(frozen=True)
class Gaussians:
    """Targets N(S, mu) on a line with N steps from T to 0, all arrays of shape (n,).

    Examples
    --------
    >>> case = Gaussians(*(np.array([v]) for v in (1.0, 0.0, 2.0, 1.0)), N=4)
    >>> case.label(), case.g[:, 0]
    ('N(0, 1), 4 steps over T = 2, last over first 1', array([0.5, 0.5, 0.5, 0.5]))
    >>> round(float(case.marginal_kl("euler_maruyama")[0]), 4)
    0.0035
    """

    S: Array
    mu: Array
    T: Array
    ratio: Array
    N: int

    @property
    def g(self) -> Array:
        """Steps, (N, n), noisy to clean."""
        powers = self.ratio ** (np.arange(self.N)[:, np.newaxis] / max(self.N - 1, 1))
        return self.T * powers / powers.sum(axis=0)

    def label(self) -> str:
        """The first target and its steps in words."""
        S, mu, T, ratio = (float(a[0]) for a in (self.S, self.mu, self.T, self.ratio))
        return f"N({mu:.3g}, {S:.3g}), {self.N} steps over T = {T:.3g}, last over first {ratio:.3g}"

    def moments(self) -> tuple[Array, Array]:
        """Means and variances of the true law at the N + 1 levels, (N + 1, n)."""
        left = np.concatenate([np.cumsum(self.g[::-1], axis=0)[::-1], np.zeros((1, len(self.S)))])
        return np.exp(-left / 2) * self.mu, 1 + np.exp(-left) * (self.S - 1)

    @property
    def second_moment(self) -> Array:
        """E|X_0|^2."""
        return self.S + self.mu**2

    @property
    def L(self) -> Array:
        """Largest curvature on [0, T]: the variance is monotone in t."""
        variances = self.moments()[1]
        return 1 / np.minimum(variances[0], variances[-1])

    def steps(self, scheme: str) -> tuple[Array, Array, Array]:
        """Slope, shift and variance of the N affine steps ``X' = a X + b + sqrt(c) z`` of a scheme, each (N, n)."""
        choice("scheme", scheme, ("euler_maruyama", "proximal_backward", "proximal_hybrid"))
        g, (m, v) = self.g, self.moments()
        if scheme == "euler_maruyama":
            return 1 + g / 2 - g / v[:-1], g * m[:-1] / v[:-1], g
        growth, own = (1.0, 1 - g / 2) if scheme == "proximal_backward" else (1 + g / 2, 1.0)
        D = own + g / v[1:]
        return growth / D, g * m[1:] / v[1:] / D, g / D**2

    def marginal_kl(self, scheme: str) -> Array:
        """KL(p_0 | q_0) from the exact start."""
        m, v = self.moments()
        mean, variance = m[0], v[0]
        for a, b, c in zip(*self.steps(scheme)):
            mean, variance = a * mean + b, a * a * variance + c
        return gaussian_kl(m[-1], v[-1], mean, variance)

    def trajectory_kl(self, scheme: str) -> Array:
        """KL of the whole trajectory from the exact start: the conditional divergences of the steps, in the mean."""
        g, (m, v) = self.g, self.moments()
        shrink, noise = np.exp(-g / 2), -np.expm1(-g)
        true_variance = noise * v[1:] / v[:-1]
        true_slope = shrink * v[1:] / v[:-1]
        true_shift = m[1:] - true_slope * m[:-1]
        a, b, c = self.steps(scheme)
        gap = (true_slope - a) * m[:-1] + true_shift - b
        u = c / true_variance - 1
        each = 0.5 * (np.log1p(u) - u / (1 + u) + (gap**2 + (true_slope - a) ** 2 * v[:-1]) / c)
        return each.sum(axis=0)

    def budget(self, nodes: int = 24) -> Array:
        """Budget of the backward scheme from the exact start, NaN where its Jacobian is not positive on a whole step."""
        g, (m, v) = self.g, self.moments()
        left = np.concatenate([np.cumsum(g[::-1], axis=0)[::-1], np.zeros((1, len(self.S)))])[:-1]
        u, weights = np.polynomial.legendre.leggauss(nodes)
        total = np.zeros(len(self.S))
        for share, weight in zip((u + 1) / 2, weights / 2):
            # the error field is affine in x, and x is Gaussian
            s = share * g
            now_m, now_v = np.exp(-(left - s) / 2) * self.mu, 1 + np.exp(-(left - s)) * (self.S - 1)
            J = 1 - s / 2 + s / v[1:]
            with np.errstate(divide="ignore", invalid="ignore"):
                square = 0.5 * (J - 1) ** 2 / J
                slope = 0.5 * (J - 1) - (square + 1) / now_v + 1 / v[1:]
                shift = (square + 1) * now_m / now_v - m[1:] / v[1:]
                total += np.sum(weight * g * 0.5 * (slope**2 * now_v + (slope * now_m + shift) ** 2), axis=0)
        return np.where(np.all(1 - g / 2 + g / v[1:] > 0, axis=0), total, np.nan)


def gaussian_kl(m: Array, v: Array, mean: Array, variance: Array) -> Array:
    """KL(N(m, v) | N(mean, variance)), without cancellation where the two are near."""
    u = variance / v - 1
    return 0.5 * (np.log1p(u) - u / (1 + u) + (m - mean) ** 2 / variance)


def _gaussians(N, parameters):
    S, mu, T, ratio = parameters.T
    return Gaussians(S, mu, T, ratio, N)


def worst(
    ratio: Callable[[Gaussians], Array], counts: tuple[int, ...] = (1, 2, 4, 16, 64), points: int = 2**14, rounds: int = 30
) -> tuple[float, Gaussians]:
    """Largest value of ``ratio`` over :data:`BOX` and the given numbers of steps, and the target that has it.

    Parameters
    ----------
    ratio : callable
        From :class:`Gaussians` to an (n,) array; NaN where a hypothesis fails.
    counts : tuple of int
        Numbers of steps to try.
    points : int
        Points of the Sobol sequence for each of them, a power of 2.
    rounds : int
        Rounds of refinement.

    Returns
    -------
    (value, target)
        The target has arrays of shape (1,).

    Examples
    --------
    The largest divergence of one Euler-Maruyama step over the box is at the smallest variance and the longest step:

    >>> from exactdiffusion.papers.proximal import search
    >>> value, target = search.worst(lambda x: -x.S - x.mu, counts=(1,), points=2**8)
    >>> round(value, 6), round(float(target.S[0]), 6)
    (-0.051, 0.05)
    """
    best: tuple[float, Gaussians] | None = None

    def value(N, parameters):
        return ratio(_gaussians(N, parameters))

    for N in counts:
        found, point = maximise(partial(value, N), BOX, points=points, rounds=rounds)
        if best is None or found > best[0]:
            best = found, _gaussians(N, point[np.newaxis])
    if best is None:
        fail("counts", counts, "at least one number of steps")
    return best


def maximise(
    value: Callable[[Array], Array],
    box: dict[str, tuple[float, float]],
    *,
    points: int = 2**14,
    rounds: int = 30,
    starts: int = 32,
    draws: int = 64,
) -> tuple[float, Array]:
    """Largest value over a box, searched in logarithms, and the point that has it.

    Parameters
    ----------
    value : callable
        From (n, k) parameters to an (n,) array; NaN where a hypothesis fails.
    box : dict
        Name of a parameter -> (low, high), both positive.
    points : int
        Points of the Sobol sequence, a power of 2.
    rounds, starts, draws : int
        Rounds of refinement, how many of the best points are refined, and draws around each of them in a round, a power
        of 2.

    Returns
    -------
    (value, point)
        A number, -inf where the value is NaN everywhere, and a (k,) array.

    Examples
    --------
    >>> from exactdiffusion.papers.proximal import search
    >>> value, point = search.maximise(lambda p: -np.log(p[:, 0]) ** 2, {"a": (0.1, 100.0)}, points=2**6)
    >>> round(value, 6) + 0.0, round(float(point[0]), 3)
    (0.0, 1.0)
    """
    low, high = np.log(np.array(list(box.values()))).T

    def at(unit):
        return np.nan_to_num(value(np.exp(low + (high - low) * unit)), nan=-np.inf)

    # the best points of a Sobol sequence
    unit = qmc.Sobol(len(box), seed=20, scramble=True).random(points)
    values = at(unit)
    order = np.argsort(values)[-starts:]
    centres, found, width = unit[order], values[order], 0.1

    # shrinking boxes around them, with the same draws in every round
    offsets = qmc.Sobol(len(box), seed=21, scramble=True).random(draws) * 2 - 1
    for _ in range(rounds):
        trial = np.clip(centres[:, np.newaxis] + width * offsets, 0, 1).reshape(-1, len(box))
        each = at(trial).reshape(len(centres), -1)
        best = np.argmax(each, axis=1)
        better = each[np.arange(len(centres)), best] > found
        centres[better] = trial.reshape(len(centres), -1, len(box))[better, best[better]]
        found = np.maximum(found, each[np.arange(len(centres)), best])
        width *= 0.8
    k = int(np.argmax(found))
    return float(found[k]), np.exp(low + (high - low) * centres[k])
