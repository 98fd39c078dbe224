r"""Walk-jump sampling with several measurements: one at a time (OAT), all at once (AAO), and Langevin on the law itself.

The one-at-a-time chain draws ``y_t`` from ``p(y_t | y_1, ..., y_{t-1})`` by an inner walk, keeps the sum S of the
measurements, and jumps at the end: ``Xhat_m = E[X | S_m]``. Its inner walks only ask the oracle to denoise:

.. math:: \nabla_{y_t} \log p(y_t \mid y_{1:t-1}) = \sigma^{-2}\big(E[X \mid y_1, \dots, y_t] - y_t\big).

Walks are small objects (:class:`ULA`, :class:`MALA`, :class:`Underdamped`, :class:`ExactWalk`); their step is dimensionless,
in units of ``unit`` = sigma^2 for measurements. A walk that blows up or never moves is a ValueError that names the walk and
a step that would do; where only some chains never move, :class:`StuckWalk` is warned. On a Gaussian the whole algorithm is a
linear recursion, whose law :func:`gaussian_one_at_a_time` gives without sampling. Source: arXiv 2305.19473, Algorithm 1; the
authors' walk-jump code.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from ..._core.arrays import array_namespace, from_numpy, to_numpy
from ..._core.typing import Array, ArrayLike, Density, Law, NoiseSource
from ..._core.validation import boolean, choice, fail, in_range, integer, points, real_array, scalar
from ...samplers._base import checked_noise
from .measurements import joint_log_density, joint_score, predictive_sample

__all__ = [
    "MALA",
    "ULA",
    "EstimatedLaw",
    "ExactWalk",
    "GaussianChain",
    "State",
    "StuckWalk",
    "Target",
    "Underdamped",
    "Walked",
    "all_at_once",
    "gaussian_one_at_a_time",
    "langevin",
    "one_at_a_time",
]


@dataclass(frozen=True)
class Target:
    """What an inner walk samples: ``score(y)`` (n, d), ``unit`` (its length scale squared), ``log_density(y)`` (n,).

    Examples
    --------
    A standard normal law:

    >>> import numpy as np
    >>> from exactdiffusion.papers.log_concavity.walk_jump import Target
    >>> target = Target(score=lambda y: -y, unit=1.0)
    >>> target.score(np.array([[2.0]]))
    array([[-2.]])
    """

    score: Callable[[Array], Array]
    unit: float = 1.0
    log_density: Callable[[Array], Array] | None = None


#: An unadjusted walk has blown up when a drift exceeds both the first one and the noise by this factor; at a stable step the
#: drifts of a chain that has arrived are below the noise.
BLOWN_UP = 100.0
#: A chain of a Metropolis walk is stuck when it never moved and its proposals had less than this probability on average.
STUCK = 1e-4


class StuckWalk(RuntimeWarning):
    """Some chains of a Metropolis walk never moved: what they return is their start, and no sample.

    Examples
    --------
    It can be turned into an error:

    >>> import warnings
    >>> from exactdiffusion.papers.log_concavity.walk_jump import StuckWalk
    >>> warnings.filterwarnings("error", category=StuckWalk)
    >>> warnings.resetwarnings()
    """


@dataclass(frozen=True)
class Walked:
    """End of a walk: the states ``y`` (n, d), and ``acceptance`` (n,), the share of the proposals that each chain accepted
    (None for walks without proposals).

    Examples
    --------
    Five steps on a standard normal law; MALA reports the share it accepted:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import MALA, langevin
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> end = langevin(law, np.zeros((4, 1)), noise=Noise(0), walk=MALA(5, 0.1), report=True)
    >>> end.y.shape, end.acceptance.shape
    ((4, 1), (4,))
    """

    y: Array
    acceptance: Array | None = None


class _Watch:
    """Refuses the drift of an unadjusted walk that grows without bound.

    ``factor`` times the score is the drift and ``noise`` the size of the random part; ``stable(L)`` is the limit of the step
    on a score with Lipschitz constant L.
    """

    def __init__(self, walk, factor, noise, stable):
        self.walk, self.factor, self.noise, self.stable, self.limit, self.last = walk, factor, noise, stable, None, None

    def __call__(self, y, drift):
        xp = array_namespace(y)

        def size(x):
            return float(xp.max(xp.abs(x))) if x.shape[0] else 0.0

        if self.limit is None:
            self.limit = min(BLOWN_UP * max(size(drift), self.noise), 1e300)
        if not size(drift) <= self.limit:
            way = size(y - self.last[0]) if self.last else 0.0
            L = size(drift - self.last[1]) / self.factor / way if way else math.nan
            step = f"a step below {self.stable(L):.3g} (the score has L = {L:.3g})" if L > 0 else "a smaller step"
            fail("walk", self.walk, f"a walk that stays bounded, but it drifts by {size(drift):.3g} at once; try {step}")
        self.last = y, drift


def _walk(walk, target, y, draws):
    """:class:`Walked`, whether or not the walk reports an acceptance."""
    return walk.run(target, y, draws, report=True) if isinstance(walk, MALA) else Walked(walk.run(target, y, draws))


class _Draws:
    """Consecutive steps of a counter-based noise source."""

    def __init__(self, noise, step=0):
        self.noise, self.step = noise, step

    def __call__(self, n, d, like=None):
        z = self.noise.normal(self.step, n, d, like=like)
        self.step += 1
        return z


def _checked(walk, low=0):
    object.__setattr__(walk, "steps", integer("steps", walk.steps, low=low))
    object.__setattr__(walk, "step", scalar("step", walk.step, low=0, low_open=True))


@dataclass(frozen=True)
class ULA:
    r"""Unadjusted Langevin: ``y <- y + h u score(y) + sqrt(2 h u) xi``, with u the target's unit.

    On a Gaussian of precision k its variance is ``1 / (k (1 - h u k / 2))``: biased, and more measurements do not help.

    Parameters
    ----------
    steps : int >= 0
        Gradient calls. 0 leaves the start: with the start "jump" this is the Euler scheme of stochastic localisation and no
        longer the algorithm.
    step : float
        h.

    Examples
    --------
    The stationary variance of a standard normal law is too large by 1 / (1 - h/2):

    >>> import numpy as np
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ULA
    >>> A, Q = ULA(steps=1, step=0.5).linear(k=1.0, unit=1.0)
    >>> round(float(Q[0, 0] / (1 - A[0, 0] ** 2)), 4)
    1.3333
    """

    steps: int
    step: float

    def __post_init__(self):
        _checked(self)

    def run(self, target: Target, y: Array, draws: Callable[..., Array]) -> Array:
        h = self.step * target.unit
        spread = math.sqrt(2 * h)
        watch = _Watch(self, h, spread, lambda L: 2 / (target.unit * L))
        for _ in range(self.steps):
            drift = h * target.score(y)
            watch(y, drift)
            y = y + drift + spread * draws(*y.shape, like=y)
        return y

    def linear(self, k: float, unit: float) -> tuple[np.ndarray, np.ndarray]:
        """(A, Q) of one step on (y, v) for the score -k y: y, v -> A (y, v) + N(0, Q); v is idle."""
        h = self.step * unit
        return np.array([[1 - h * k, 0.0], [0.0, 0.0]]), np.array([[2 * h, 0.0], [0.0, 0.0]])


@dataclass(frozen=True)
class MALA:
    """Metropolis-adjusted Langevin: the proposal of :class:`ULA`, accepted so that the target is invariant.

    Needs ``log_density``; one gradient and one density per step. Parameters as for :class:`ULA`. A step that is too large
    is never accepted and returns the start: about 57 % should be accepted, for which ``h u L d^(1/3)`` is about 1 on a score
    with Lipschitz constant L (Roberts and Rosenthal 1998).

    Examples
    --------
    At a small step nearly all proposals are accepted:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import MALA, langevin
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> end = langevin(law, np.zeros((100, 1)), noise=Noise(0), walk=MALA(20, 0.01), report=True)
    >>> bool(end.acceptance.mean() > 0.95)
    True
    """

    steps: int
    step: float

    def __post_init__(self):
        _checked(self)

    def run(self, target: Target, y: Array, draws: Callable[..., Array], report: bool = False) -> Any:
        """The last states, or with ``report`` a :class:`Walked`."""
        if target.log_density is None:
            fail("walk", self, "a walk without accept-reject where the target has no log density")
        xp = array_namespace(y)
        from scipy.special import ndtr

        h, (n, d) = self.step * target.unit, y.shape
        score, value = target.score(y), target.log_density(y)
        moves = chance = none = xp.zeros_like(value)
        for _ in range(self.steps):
            # the proposal
            z = draws(n, d + 1)  # the last column decides
            noise, threshold = from_numpy(z[:, :d], y), from_numpy(np.log(ndtr(z[:, d])), y)
            new = y + h * score + math.sqrt(2 * h) * noise
            new_score, new_value = target.score(new), target.log_density(new)

            # accepted with the ratio of densities and proposals
            back = y - new - h * new_score
            log_ratio = new_value - value - xp.sum(back * back, axis=-1) / (4 * h) + 0.5 * xp.sum(noise * noise, axis=-1)
            accept = log_ratio > threshold
            rows = xp.expand_dims(accept, axis=-1)
            y, score = xp.where(rows, new, y), xp.where(rows, new_score, score)
            value = xp.where(accept, new_value, value)

            # how often the chain moved, and the chance that it had
            moves = moves + xp.where(accept, none + 1, none)
            chance = chance + xp.where(xp.isnan(log_ratio), none, xp.exp(xp.where(log_ratio < 0, log_ratio, none)))

        if self.steps and n:
            stuck = (moves == 0) & (chance < STUCK * self.steps)
            self._judge(target, int(xp.sum(xp.astype(stuck, xp.int64))), float(xp.sum(chance)) / (n * self.steps), y, new)
        return Walked(y, moves / max(self.steps, 1)) if report else y

    def _judge(self, target, stuck, chance, y, new):
        """Say that ``stuck`` of the chains never moved, where that is no matter of chance."""
        (n, d), xp = y.shape, array_namespace(y)
        if not stuck or (self.steps < 10 if stuck < n else n * self.steps == 1):
            return
        said = f"{stuck} of {n} chains never moved (the average proposal is accepted with probability {chance:.1g})"
        with np.errstate(all="ignore"):
            far = float(xp.max(xp.abs(new - y)))
            L = float(xp.max(xp.abs(target.score(new) - target.score(y)))) / far if 0 < far < math.inf else math.nan
        step = f"a step of {1 / (target.unit * L * d ** (1 / 3)):.2g}" if 0 < L < math.inf else "a smaller step"
        if stuck == n:
            fail("walk", self, f"a walk that moves: {said}; try {step}, from a start where the density is positive")
        warnings.warn(f"walk: {self}: {said}; try {step}, or a start nearer to the mass of the law", StuckWalk, stacklevel=6)


@dataclass(frozen=True)
class Underdamped:
    r"""Underdamped Langevin by the splitting drift, kick, Ornstein-Uhlenbeck, kick, drift (Sachs et al. 2017; ABOBA).

    .. math:: y &\leftarrow y + \tfrac\delta2 v, \quad g = \mathrm{score}(y), \quad v \leftarrow v + \tfrac{u\delta}2 g, \\
              v &\leftarrow \zeta v + \sqrt{u(1-\zeta^2)}\,\xi, \quad v \leftarrow v + \tfrac{u\delta}2 g, \quad
              y \leftarrow y + \tfrac\delta2 v, \qquad \zeta = e^{-\gamma}.

    u is the target's unit (inverse mass, a variance): with ``u = sigma^2`` delta and gamma are dimensionless. Velocities
    start as fresh draws of N(0, u I) in every run. On a quadratic of precision k positions have exactly the variance 1/k
    for every ``delta^2 u k < 4``; the velocities do not. Not BAOAB (kick first), not a scheme with a friction per unit of
    time: gamma is the friction of a whole step.

    Parameters
    ----------
    steps : int >= 0
        Gradient calls.
    step : float
        delta.
    friction : float >= 0
        gamma.

    Examples
    --------
    The stationary variance of the positions of a standard normal law is 1:

    >>> import numpy as np
    >>> from scipy.linalg import solve_discrete_lyapunov
    >>> from exactdiffusion.papers.log_concavity.walk_jump import Underdamped
    >>> A, Q = Underdamped(steps=1).linear(k=1.0, unit=1.0)
    >>> round(float(solve_discrete_lyapunov(A, Q)[0, 0]), 9)
    1.0
    """

    steps: int
    step: float = 0.5
    friction: float = 1.0

    def __post_init__(self):
        _checked(self)
        object.__setattr__(self, "friction", scalar("friction", self.friction, low=0))

    def run(self, target: Target, y: Array, draws: Callable[..., Array]) -> Array:
        u, step, zeta = target.unit, self.step, math.exp(-self.friction)
        kick, spread = 0.5 * u * step, math.sqrt(u * -math.expm1(-2 * self.friction))
        v = math.sqrt(u) * draws(*y.shape, like=y)
        watch = _Watch(self, kick, math.sqrt(u), lambda L: 2 / math.sqrt(u * L))
        for _ in range(self.steps):
            y = y + 0.5 * step * v
            g = kick * target.score(y)
            watch(y, g)
            v = zeta * (v + g) + g + spread * draws(*y.shape, like=y)
            y = y + 0.5 * step * v
        return y

    def linear(self, k: float, unit: float) -> tuple[np.ndarray, np.ndarray]:
        """(A, Q) of one step on (y, v) for the score -k y."""
        drift = np.array([[1.0, 0.5 * self.step], [0.0, 1.0]])
        kick = np.array([[1.0, 0.0], [-0.5 * unit * self.step * k, 1.0]])
        damp = np.diag([1.0, math.exp(-self.friction)])
        after = drift @ kick
        noise = after @ np.array([0.0, math.sqrt(unit * -math.expm1(-2 * self.friction))])
        return after @ damp @ kick @ drift, np.outer(noise, noise)


@dataclass(frozen=True)
class ExactWalk:
    """The inner law itself, for laws whose posteriors are known (mixtures, clouds): what is left is the jump.

    Examples
    --------
    Measurements of two atoms without an error of the walk:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ExactWalk, one_at_a_time
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> *_, last = one_at_a_time(law, 50, 1.0, 4, noise=Noise(0), walk=ExactWalk())
    >>> sorted({abs(round(float(x), 2)) for x in last.xhat[:, 0]})
    [1.0]
    """


@dataclass(frozen=True)
class State:
    """After ``t`` measurements: the last one ``y`` (n, d), their ``total`` (n, d) and the jump ``xhat`` (n, d).

    ``acceptance`` (n,) is the share of accepted proposals of the walk that drew ``y``; None for walks without proposals.

    Examples
    --------
    The states of three measurements:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ULA, one_at_a_time
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> states = list(one_at_a_time(law, 3, 1.0, 5, noise=Noise(0), walk=ULA(4, 0.2)))
    >>> [s.t for s in states], states[-1].xhat.shape
    ([1, 2, 3], (5, 1))
    """

    t: int
    y: Array
    total: Array
    xhat: Array
    acceptance: Array | None = None


def _common(law, m, sigma, n, noise, like):
    if not callable(getattr(law, "noised", None)):
        fail("law", law, "an object with noised(scale, sigma).denoise(x)")
    dim = integer("law.dim", getattr(law, "dim", None), low=1)
    m, n = integer("m", m, low=1), integer("n", n, low=0)
    return dim, m, scalar("sigma", sigma, low=1e-140, high=1e150), n, _Draws(checked_noise(noise))


def _centre(centre, dim):
    if centre is None:
        return np.zeros(dim)
    centre = to_numpy(real_array("centre", centre))
    if centre.shape != (dim,):
        fail(f"centre (shape {centre.shape})", centre, f"shape ({dim},)")
    return centre


def one_at_a_time(
    law: Law,
    m: int,
    sigma: float,
    n: int,
    *,
    noise: NoiseSource,
    walk: "ULA | MALA | Underdamped | ExactWalk",
    start: Literal["jump", "previous"] = "jump",
    centre: ArrayLike | None = None,
    like: Array | None = None,
) -> Iterator["State"]:
    r"""The one-at-a-time walk-jump sampler (Algorithm 1): n chains of m measurements.

    Parameters
    ----------
    law : object with ``noised(1, s).denoise(y)`` and ``dim``
        Exact, or an :class:`EstimatedLaw`. MALA also needs ``log_density``, ExactWalk a mixture or a cloud.
    m : int >= 1
    sigma : float > 0
        Standard deviation of a measurement.
    n : int
        Independent chains.
    noise : Noise
        Consecutive steps are used, a fixed number per inner step.
    walk : ULA, MALA, Underdamped or ExactWalk
    start : {"jump", "previous"}
        Where the walk for y_t begins: ``Xhat_{t-1} + sigma xi`` or ``y_{t-1}``. The first begins at ``centre + sigma xi``.
    centre : array, shape (d,), optional
        Zero by default: no moment of the law is used.
    like : array, optional
        Chains live in its namespace and on its device.

    Yields
    ------
    State
        for t = 1, ..., m; ``xhat`` of the last is the output. Its arrays are the caller's own copies: editing them changes
        nothing of the chains, and costs the memory of three arrays (n, d).

    Raises
    ------
    ValueError
        At the call, naming the argument; later, naming ``walk``, where it blows up or never moves.

    Notes
    -----
    ``m * walk.steps`` gradient calls and one call per jump. Where sigma^2 is at or above the log-concavity threshold every
    inner law is log-concave, for supports in a ball of radius R when ``sigma^2 >= R^2 - tau^2``; between ``sigma*^2`` and
    that only the first one need be.

    Examples
    --------
    Four chains of 50 measurements of two atoms at +-1 end at the atoms:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ULA, one_at_a_time
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> *_, last = one_at_a_time(law, 50, 1.0, 4, noise=Noise(0), walk=ULA(10, 0.3))
    >>> sorted({abs(round(float(x), 1)) for x in last.xhat[:, 0]})
    [1.0]
    """
    dim, m, sigma, n, draws = _common(law, m, sigma, n, noise, like)
    choice("start", start, ("jump", "previous"))
    if not (isinstance(walk, ExactWalk) or callable(getattr(walk, "run", None))):
        fail("walk", walk, "ULA, MALA, Underdamped or ExactWalk")
    return _one_at_a_time(law, m, sigma, n, draws, walk, start, _centre(centre, dim), like)


def _one_at_a_time(law, m, sigma, n, draws, walk, start, centre, like):
    y0 = np.broadcast_to(centre, (n, centre.shape[0])).copy()
    xhat = y0 if like is None else from_numpy(y0, like)
    total = 0.0 * xhat
    y = acceptance = None
    copy = partial(array_namespace(xhat).asarray, copy=True)
    for t in range(1, m + 1):
        if isinstance(walk, ExactWalk):
            y = predictive_sample(law, total, t - 1, sigma, draws.noise, draws.step)
            draws.step += 1
        else:
            if t == 1 or start == "jump":
                y = xhat + sigma * draws(*xhat.shape, like=xhat)
            walked = _walk(walk, conditional_target(law, total, t - 1, sigma), y, draws)
            y, acceptance = walked.y, walked.acceptance
        total = total + y
        xhat = law.noised(1.0, sigma / math.sqrt(t)).denoise(total / t)
        yield State(t, copy(y), copy(total), copy(xhat), acceptance)


def conditional_target(law: Law, total: Array, m: int, sigma: float) -> Target:
    """:class:`Target` of ``p(y_{m+1} | y_1 + ... + y_m = total)``: the level is made once for all inner steps."""
    t = m + 1
    q = law.noised(1.0, sigma / math.sqrt(t))

    def log_density(y):
        xp = array_namespace(y)
        mean = (total + y) / t
        square = t * xp.sum(mean * mean, axis=-1) - xp.sum(y * y, axis=-1)
        return q.log_density(mean) + 0.5 * square / sigma**2

    return Target(
        lambda y: (q.denoise((total + y) / t) - y) / sigma**2, sigma**2, log_density if hasattr(q, "log_density") else None
    )


@in_range
def all_at_once(
    law: Law,
    m: int,
    sigma: float,
    n: int,
    *,
    noise: NoiseSource,
    walk: "ULA | MALA | Underdamped",
    centre: ArrayLike | None = None,
    like: Array | None = None,
) -> "State":
    """All m measurements in one walk on R^(m d), then the jump: :class:`State` with ``y`` of shape (n, m, d).

    Arguments as in :func:`one_at_a_time`. Log-concave only where ``q_{sigma^2/m}`` is: accumulating at once buys no
    smoothness, and on Gaussians the condition number grows like m.

    Examples
    --------
    Three chains that walk on four measurements together:

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ULA, all_at_once
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> end = all_at_once(law, 4, 1.0, 3, noise=Noise(0), walk=ULA(10, 0.1))
    >>> end.y.shape, end.xhat.shape
    ((3, 4, 1), (3, 1))
    """
    dim, m, sigma, n, draws = _common(law, m, sigma, n, noise, like)
    if not callable(getattr(walk, "run", None)):
        fail("walk", walk, "ULA, MALA or Underdamped")
    start = np.broadcast_to(_centre(centre, dim), (n, m, dim)).reshape(n, m * dim).copy()
    y = start if like is None else from_numpy(start, like)
    y = y + sigma * draws(n, m * dim, like=y)
    xp = array_namespace(y)
    target = Target(
        lambda y: xp.reshape(joint_score(law, xp.reshape(y, (n, m, dim)), sigma), (n, m * dim)),
        sigma**2,
        lambda y: joint_log_density(law, xp.reshape(y, (n, m, dim)), sigma),
    )
    walked = _walk(walk, target, y, draws)
    y = xp.reshape(walked.y, (n, m, dim))
    total = xp.sum(y, axis=1)
    return State(m, y, total, law.noised(1.0, sigma / math.sqrt(m)).denoise(total / m), walked.acceptance)


@in_range
def langevin(
    law: Density,
    x: ArrayLike,
    *,
    noise: NoiseSource,
    walk: "ULA | MALA | Underdamped",
    unit: float = 1.0,
    report: bool = False,
) -> Any:
    """The walk on the density of ``law`` itself, from x (n, d): the baseline without measurements.

    ``unit`` is the length scale squared that steps refer to (the smallest variance of the law, say). Returns the last states
    (n, d), or with ``report`` a :class:`Walked`, which has the acceptance too. A ValueError names ``walk`` where it blows up
    or never moves.

    Examples
    --------
    Five chains of ten steps:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ULA, langevin
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> langevin(law, np.zeros((5, 1)), noise=Noise(0), walk=ULA(10, 0.1)).shape
    (5, 1)
    """
    x = points("x", x, getattr(law, "dim", None))
    unit = scalar("unit", unit, low=0, low_open=True)
    if not callable(getattr(law, "score", None)):
        fail("law", law, "a law with a score")
    if not callable(getattr(walk, "run", None)):
        fail("walk", walk, "ULA, MALA or Underdamped")
    report, target = boolean("report", report), Target(law.score, unit, getattr(law, "log_density", None))
    x = array_namespace(x).asarray(x, copy=True)  # a walk without steps must not return the caller's array
    walked = _walk(walk, target, x, _Draws(checked_noise(noise)))
    return walked if report else walked.y


# --------------------------------------------------------------------------------------------------- estimated scores


# Of a larger number the rounding is more than 1 %, and so is that of the weights.
_LARGEST_LOGIT = 0.01 / np.finfo(np.float64).eps


class EstimatedLaw:
    r"""Scores of a noised law from its unnormalised density alone, by self-normalised importance sampling.

    .. math:: \nabla\log q_s(y) \approx s^{-1/2}\,
              \frac{\sum_i \varepsilon_i\, e^{-f(y + \sqrt s\,\varepsilon_i)}}{\sum_i e^{-f(y + \sqrt s\,\varepsilon_i)}},
              \qquad p \propto e^{-f}

    Consistent (error n^{-1/2}, bias 1/n) and usable in low dimension only: far from the mass of p a single draw carries the
    sum. Drops into :func:`one_at_a_time` as a law. Source: arXiv 2305.19473, Eq. (4.8).

    Parameters
    ----------
    log_density : callable
        ``-f``: (n, d) -> (n,), real numbers, or -inf where p is 0 (a truncated law): such draws have weight 0. Not a large
        number instead.
    dim, draws : int
    noise : Noise
        Every evaluation uses the next step: estimates at successive inner steps are independent.

    Raises
    ------
    ValueError
        When evaluated, naming y where none of its draws has a positive density; naming log_density for NaN or +inf, or where
        all values are so large that rounding hides how they differ.

    Examples
    --------
    A standard normal law from 4,000 draws: the denoiser at 1 and sigma = 1 is near 1/2.

    >>> import numpy as np
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.walk_jump import EstimatedLaw
    >>> law = EstimatedLaw(lambda x: -0.5 * (x**2).sum(axis=1), dim=1, draws=4000, noise=Noise(0))
    >>> bool(abs(law.noised(1.0, 1.0).denoise(np.array([[1.0]]))[0, 0] - 0.5) < 0.05)
    True
    """

    def __init__(self, log_density: Callable[[Array], Array], dim: int, draws: int, noise: NoiseSource) -> None:
        if not callable(log_density):
            fail("log_density", log_density, "a callable (n, d) -> (n,)")
        self._log_density = log_density
        self.dim, self.draws = integer("dim", dim, low=1), integer("draws", draws, low=1)
        self._draws = _Draws(checked_noise(noise))

    def noised(self, scale: float = 1.0, sigma: float = 0.0) -> "_EstimatedLevel":
        if float(scale) != 1.0:
            fail("scale", scale, "1: measurements are X + noise")
        return _EstimatedLevel(self, scalar("sigma", sigma, low=1e-150, high=1e150))


class _EstimatedLevel:
    def __init__(self, law, sigma):
        self.law, self.sigma, self.dim = law, sigma, law.dim

    def _weighted(self, y):
        """(weights (n, N), eps (n, N, d))."""
        y = points("y", y, self.dim)
        xp = array_namespace(y)
        if y.shape[0] and not float(xp.max(xp.abs(y))) <= 1e150:
            fail("y", y, "coordinates of at most 1e150 in absolute value")
        n, N, d = y.shape[0], self.law.draws, self.dim
        eps = xp.reshape(self.law._draws(n, N * d, like=y), (n, N, d))
        x = xp.reshape(xp.expand_dims(y, axis=1) + self.sigma * eps, (n * N, d))
        logits = real_array("log_density (its result)", self.law._log_density(x), "real numbers or -inf", finite=False)
        if tuple(logits.shape) != (n * N,):
            fail(f"log_density (its result, shape {tuple(logits.shape)})", logits, f"shape ({n * N},)")
        if bool(xp.any(xp.isnan(logits) | (logits == math.inf))):
            fail("log_density (its result)", logits, "real numbers, or -inf where the density is 0")
        logits = xp.reshape(logits, (n, N))
        top = xp.max(logits, axis=1, keepdims=True)
        outside = to_numpy(top)[:, 0] == -math.inf
        if outside.any():
            row = int(np.argmax(outside))
            fail(f"y (row {row})", to_numpy(y)[row], f"points y with a positive density at one of {N} draws of y + "
                 f"{self.sigma:g} N(0, I) (more draws, a larger sigma, or a y closer to the support)")  # fmt: skip
        if n and float(xp.max(xp.abs(top))) > _LARGEST_LOGIT:
            fail("log_density (its result)", logits, f"numbers of at most {_LARGEST_LOGIT:g}, the largest of each row: "
                 "rounding hides how larger ones differ (-inf where the density is 0)")  # fmt: skip
        w = xp.exp(logits - top)
        return w / xp.sum(w, axis=1, keepdims=True), eps

    def score(self, y):
        """Estimate of grad log q_s(y), (n, d)."""
        w, eps = self._weighted(y)
        xp = array_namespace(w)
        return xp.sum(xp.expand_dims(w, axis=-1) * eps, axis=1) / self.sigma

    def denoise(self, y):
        """Estimate of E[X | y], (n, d): a convex combination of points where the density was evaluated."""
        return y + self.sigma**2 * self.score(y)

    def effective_sample_size(self, y):
        """``1 / sum w^2`` of the normalised weights, (n,): near 1 the estimate is one draw."""
        w, _ = self._weighted(y)
        return 1 / array_namespace(w).sum(w * w, axis=1)


# --------------------------------------------------------------------------------- the whole algorithm on a Gaussian


@dataclass(frozen=True)
class GaussianChain:
    """Exact law of the one-at-a-time algorithm on N(0, diag(variances)): output and inner errors.

    Attributes
    ----------
    output : (d,) ndarray, variances of ``Xhat_m`` along the axes
    w2 : W2 distance of the output to the law
    inner : (m,) ndarray, W2 distance of the walk's law from ``p(y_t | y_{<t})``, given the past, for walks that start at
        the jump

    Examples
    --------
    Exact draws of the measurements leave the error of the jump alone:

    >>> import numpy as np
    >>> from exactdiffusion.papers.log_concavity.walk_jump import ExactWalk, gaussian_one_at_a_time
    >>> chain = gaussian_one_at_a_time([1.0], 3, 1.0, ExactWalk())
    >>> np.round(chain.output, 6), round(chain.w2, 6), np.round(chain.inner, 12) + 0.0
    (array([0.75]), 0.133975, array([0., 0., 0.]))
    """

    output: np.ndarray
    w2: float
    inner: np.ndarray


@in_range
def gaussian_one_at_a_time(
    variances: ArrayLike,
    m: int,
    sigma: float,
    walk: ULA | Underdamped | ExactWalk,
    start: Literal["jump", "previous"] = "jump",
) -> GaussianChain:
    r"""Law of the output of :func:`one_at_a_time` on a centred Gaussian, without sampling.

    Along an axis of variance l, ``p(y_t | S) = N(a S, 1/k)``, ``a = l / (sigma^2 + (t-1) l)``,
    ``k = (sigma^2 + (t-1) l) / (sigma^2 (sigma^2 + t l))``; a walk is linear in (S, y, v), so a 3 x 3 covariance per axis is
    carried through every inner step, start and velocity refreshment.

    Parameters
    ----------
    variances : array, shape (d,), nonnegative
    m, sigma, start
        As in :func:`one_at_a_time` (``centre`` 0).
    walk : ULA, Underdamped or ExactWalk
        With the default velocity refreshment.

    Returns
    -------
    GaussianChain

    Raises
    ------
    ValueError
        For MALA, whose law is not Gaussian.

    Examples
    --------
    More inner steps bring the output of N(0, 1) nearer to the jump without an error of the walk:

    >>> from exactdiffusion.papers.log_concavity.walk_jump import ULA, gaussian_one_at_a_time
    >>> [round(gaussian_one_at_a_time([1.0], 10, 1.0, ULA(steps, 0.1)).w2, 4) for steps in (1, 4, 16)]
    [0.2253, 0.1636, 0.0639]
    """
    l = to_numpy(real_array("variances", variances))
    if l.ndim != 1 or np.any(l < 0):
        fail("variances", variances, "shape (d,), nonnegative")
    m, sigma = integer("m", m, low=1), scalar("sigma", sigma, low=0, low_open=True)
    choice("start", start, ("jump", "previous"))
    exact = isinstance(walk, ExactWalk)
    if not exact and not callable(getattr(walk, "linear", None)):
        fail("walk", walk, "ULA, Underdamped or ExactWalk: other walks do not map Gaussians to Gaussians")

    # along each axis, the covariance of sum, measurement and velocity
    unit, output, inner = sigma**2, np.zeros(l.size), np.zeros((m, l.size))
    for axis, value in enumerate(l):
        C = np.zeros((3, 3))  # covariance of (S, y, v)
        for t in range(1, m + 1):
            a = value / (unit + (t - 1) * value)
            k = (unit + (t - 1) * value) / (unit * (unit + t * value))

            # the start of the walk
            if t == 1 or start == "jump" or exact:
                M = np.array([[1.0, 0, 0], [a, 0, 0], [0, 0, 0]])
            else:
                M = np.diag([1.0, 1.0, 0.0])
            C = M @ C @ M.T

            # the walk, whose inner steps are linear
            if isinstance(walk, ExactWalk):
                C[1, 1] += 1 / k
            else:
                C += np.diag([0.0, unit if t == 1 or start == "jump" else 0.0, unit])
                A, Q = walk.linear(k, unit)
                growth = float(np.max(np.abs(np.linalg.eigvals(A))))
                if growth > 1 and walk.steps * math.log(growth) > math.log(BLOWN_UP):
                    fail("walk", walk, f"a walk that stays bounded: each of its steps multiplies deviations by {growth:.3g};"
                         " try a step below 2")  # fmt: skip
                step = np.eye(3)
                step[1:, 1:] = A
                step[1:, 0] = (np.eye(2) - A) @ np.array([a, 0.0])
                noise = np.zeros((3, 3))
                noise[1:, 1:] = Q
                for _ in range(walk.steps):
                    C = step @ C @ step.T + noise

            # its error given the past, and the sum with the measurement
            given = C[1, 1] - 2 * a * C[0, 1] + a * a * C[0, 0]
            inner[t - 1, axis] = math.sqrt(max(given, 0.0)) - math.sqrt(1 / k)
            add = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])
            C = add @ C @ add.T
        output[axis] = (value / (unit + m * value)) ** 2 * C[0, 0]

    w2 = math.sqrt(np.sum((np.sqrt(l) - np.sqrt(output)) ** 2))
    return GaussianChain(output, w2, np.sqrt(np.sum(inner**2, axis=1)))
