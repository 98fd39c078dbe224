r"""Correct samplers in their plainest form, and known slips of each: what a sampler's coefficients are compared with.

Every entry is a function ``f(denoise, r, x, noise, slip)`` on noise ratios ``r`` in variance-exploding coordinates, written
from the formulas of the publications; no sampler of the package is imported. ``denoise(x, r)`` is the exact denoiser,
``noise.unit()`` a standard normal noise, ``noise.interval(a, b)`` the normalised increment of a Brownian motion between two
levels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from ..output_laws.coefficients import Coefficients, coefficients
from .world import Target, World

__all__ = ["SLIPS", "Entry", "Match", "entries", "nearest", "propagate"]


@dataclass(frozen=True)
class Entry:
    """One sampler of the catalogue: a method, and the slip in it, "" for none; ``family`` of the slip as in verdicts.

    Examples
    --------
    >>> Entry("Heun", "the second slope alone", "drift", _heun).name
    'Heun with the second slope alone'
    """

    method: str
    slip: str
    family: str
    run: Callable

    @property
    def name(self) -> str:
        return self.method if not self.slip else f"{self.method} with {self.slip}"


@dataclass(frozen=True)
class Match:
    """An entry and its distance: the largest relative W2-like distance of coefficients over the directions.

    Examples
    --------
    >>> Match(next(entries()), 0.5).distance
    0.5
    """

    entry: Entry
    distance: float


class _Noise:
    """The noises of an entry's run."""

    def __init__(self, world, like):
        self.world, self.like = world, like

    def unit(self):
        return self.world.normal(self.like)

    def interval(self, a, b):
        """Increment between two levels, divided by its standard deviation."""
        return self.world.interval(a, b, self.like) / np.sqrt(abs(b - a))


# ------------------------------------------------------------------------------------------ deterministic, one step


def _euler(D, r, x, noise, slip):
    for a, b in pairwise(r):
        slope = x - D(x, a**2 if slip == "sigma^2 for sigma in the model" else a)
        divisor = b if slip == "the next level in the slope" and b > 0 else a
        weight = {"half the drift": 0.5, "twice the drift": 2.0}.get(slip, 1.0)
        x = x + weight * (b - a) * slope / divisor
    return x


def _heun(D, r, x, noise, slip):
    for a, b in pairwise(r):
        d = (x - D(x, a)) / a
        y = x + (b - a) * d
        if b == 0:
            x = y
            continue
        if slip == "the current level in the second slope":
            second = (y - D(y, b)) / a
        elif slip == "the current level in the second call":
            second = (y - D(y, a)) / b
        elif slip == "the current level in second call and slope":
            second = (y - D(y, a)) / a
        else:
            second = (y - D(y, b)) / b
        if slip == "the weight 1/2 at the second slope only":
            x = x + (b - a) * (d + 0.5 * second)
        elif slip == "the second slope alone":
            x = x + (b - a) * second
        else:
            x = x + (b - a) * 0.5 * (d + second)
    return x


def _midpoint(D, r, x, noise, slip, ancestral=False):
    for a, b in pairwise(r):
        up = np.sqrt(max(b**2 * (a**2 - b**2), 0.0)) / a if ancestral else 0.0
        down = np.sqrt(b**2 - up**2) if ancestral else b
        d = (x - D(x, a)) / a
        if down == 0:
            x = x + (down - a) * d
            continue
        middle = 0.5 * (a + down) if slip == "the arithmetic middle" else np.sqrt(a * down)
        y = x + (middle - a) * d
        asked = down if slip == "the end of the step in the second call" else middle
        x = x + (down - a) * (y - D(y, asked)) / (middle if slip != "the current level in the second slope" else a)
        if ancestral:
            x = x + up * noise.unit()
    return x


def _single_step_pp(D, r, x, noise, slip, ancestral=False):
    for a, b in pairwise(r):
        up = np.sqrt(max(b**2 * (a**2 - b**2), 0.0)) / a if ancestral else 0.0
        down = np.sqrt(b**2 - up**2) if ancestral else b
        first = D(x, a)
        if down == 0:
            x = first
            continue
        middle = np.sqrt(a * down)
        y = middle / a * x + (1 - middle / a) * first
        x = down / a * x + (1 - down / a) * D(y, middle)
        if ancestral:
            x = x + up * noise.unit()
    return x


# ------------------------------------------------------------------------------------------------------- ancestral


def _ancestral(D, r, x, noise, slip, eta=1.0):
    for a, b in pairwise(r):
        up = eta * np.sqrt(max(b**2 * (a**2 - b**2), 0.0)) / a
        down = np.sqrt(max(b**2 - up**2, 0.0))
        if slip == "no smaller step for the noise":
            down = b
        clean = D(x, a)
        x = clean + down / a * (x - clean)
        size = {
            "sigma_down for sigma_up": down,
            "the variance for the deviation of the noise": up**2,
            "the square root of the deviation of the noise": np.sqrt(up),
            "the next level for sigma_up": b,
            "no noise": 0.0,
        }.get(slip, up)
        if b > 0:
            x = x + size * noise.unit()
    return x


def _euler_maruyama_ve(D, r, x, noise, slip):
    for a, b in pairwise(r):
        gap = a**2 - b**2
        x = x - gap * (x - D(x, a)) / a**2
        if b > 0:
            x = x + (gap if slip == "the variance for the deviation of the noise" else np.sqrt(gap)) * noise.unit()
    return x


# ------------------------------------------------------------------------------------------------------ multistep


def _two_step(D, r, x, noise, slip):
    old = last = None
    for _i, (a, b) in enumerate(pairwise(r)):
        clean = D(x, a)
        h = np.log(a / b) if b > 0 else np.inf
        mixed = clean
        if old is not None and b > 0 and slip != "no memory":
            weight = {
                "h and h_last exchanged": last / (2 * h),
                "the last step length for the current one": 0.5,
                "twice the extrapolation": h / last,
                "the wrong sign of the extrapolation": -h / (2 * last),
            }.get(slip, h / (2 * last))
            mixed = clean + weight * (clean - old)
        length = last if slip == "h_last in the exponential" and last is not None and b > 0 else h
        q = np.exp(-length)
        x = (b / a) * x + (1 - q) * mixed
        if not (slip == "a stale memory" and old is not None):
            old = clean
        last = h
    return x


def _two_step_sde(D, r, x, noise, slip, kind="midpoint"):
    old = last = None
    for a, b in pairwise(r):
        # the exponential step with the last denoised value
        clean = D(x, a)
        if b == 0:
            return clean
        h = np.log(a / b)
        shrink = -np.expm1(-2 * h)
        x = (b / a) * np.exp(-h) * x + shrink * clean

        # the extrapolation
        if old is not None:
            weight = 0.5 * shrink if kind == "midpoint" else 1 - shrink / (2 * h)
            if slip == "h and h_last exchanged":
                weight *= (last / h) ** 2
            if slip != "no memory":
                x = x + weight * h / last * (clean - old)

        # the noise
        size = {
            "the share of noise of half the step": np.sqrt(-np.expm1(-h)),
            "the share of noise of a step without its factor 2": np.sqrt(1 - np.exp(-h)),
            "the current level at the noise": np.sqrt(shrink) * a / b,
            "the variance for the deviation of the noise": shrink,
            "the deterministic noise share": np.sqrt(np.expm1(2 * h)),
            "no noise": 0.0,
        }.get(slip, np.sqrt(shrink))
        x = x + b * size * noise.interval(a, b)
        old, last = clean, h
    return x


def _three_step(D, r, x, noise, slip, eta=0.0, start="exponential"):
    history, lengths = [], []
    for _i, (a, b) in enumerate(pairwise(r)):
        # the exponential step with the last denoised value
        clean = D(x, a)
        if b == 0:
            return clean
        h = np.log(a / b)
        g = h * (1 + eta)
        x = np.exp(-g) * x - np.expm1(-g) * clean

        # differences of two and three values
        phi2 = np.expm1(-g) / g + 1
        if len(history) >= 2:
            r0, r1 = lengths[-1] / h, lengths[-2] / h
            one, two = (clean - history[-1]) / r0, (history[-1] - history[-2]) / r1
            slope, bend = one + (one - two) * r0 / (r0 + r1), (one - two) / (r0 + r1)
            # D(tau) = D_0 + (tau/h) slope + (tau/h)^2 bend, and the integral of exp(tau - g) (tau/h)^2 is -2 phi3
            phi3 = phi2 / g - 0.5
            weight = {
                "the wrong sign of the second difference": 2.0,
                "half the second difference": -1.0,
                "minus half the second difference": 1.0,
                "no second difference": 0.0,
            }.get(slip, -2.0)
            lasting = slip == "a second difference that does not fall with the step"
            x = x + phi2 * slope + (-phi3 - 1.0 if lasting else weight * phi3) * bend
        elif history:
            weight = phi2 if start == "exponential" else -0.5 * np.expm1(-g)
            x = x + weight * (clean - history[-1]) * h / lengths[-1]

        # the noise
        if eta:
            size = 1 - np.exp(-h) if slip == "the share of noise of half the step" else -np.expm1(-2 * h * eta)
            x = x + b * np.sqrt(size) * noise.interval(a, b)
        history, lengths = [*history[-1:], clean], [*lengths[-1:], h]
    return x


def _adams(D, r, x, noise, slip, order=2):
    slopes = []
    for i, (a, b) in enumerate(pairwise(r)):
        slopes = [*slopes[-(order - 1) :], (x - D(x, a)) / a] if order > 1 else [(x - D(x, a)) / a]
        now = min(len(slopes), max(1, i) if slip == "the list of orders shifted by one" else order)
        nodes = r[i + 1 - now : i + 1][::-1]
        if slip == "the weights of a uniform grid":
            weights = {1: [1], 2: [3 / 2, -1 / 2], 3: [23 / 12, -16 / 12, 5 / 12], 4: [55 / 24, -59 / 24, 37 / 24, -9 / 24]}
            weights = (b - a) * np.array(weights[now])
        else:
            # integrals of the Lagrange polynomials: exact on all powers below the order
            powers = np.arange(now)
            shifted = (nodes - a) / (b - a)
            weights = (b - a) * np.linalg.solve(np.vander(shifted, now, increasing=True).T, 1.0 / (powers + 1))
        x = x + sum(w * d for w, d in zip(weights, slopes[::-1]))
    return x


def _two_stage_sde(D, r, x, noise, slip):
    """DPM-Solver++ (stochastic), both stages driven by one Brownian motion."""

    def towards(end, clean):
        up = np.sqrt(max(end**2 * (a**2 - end**2), 0.0)) / a
        down = np.sqrt(end**2 - up**2)
        drawn = noise.unit() if slip == "independent noises of overlapping intervals" else noise.interval(a, end)
        return down / a * x + (1 - down / a) * clean + up * drawn

    for a, b in pairwise(r):
        clean = D(x, a)
        if b == 0:
            return clean
        middle = np.sqrt(a * b)
        x = towards(b, D(towards(middle, clean), middle))
    return x


def _shortened(run, drop):
    """A method that forgets its first or last step."""
    return lambda D, r, x, noise, slip: run(D, r[:-1] if drop == "last" else r[1:], x, noise, "")


_SECOND_DIFFERENCE = dict.fromkeys(
    [
        "the wrong sign of the second difference",
        "half the second difference",
        "minus half the second difference",
        "no second difference",
        "a second difference that does not fall with the step",
    ],
    "multistep",
)

#: method -> (function, {slip: family})
SLIPS: dict[str, tuple[Callable, dict[str, str]]] = {
    "Euler (DDIM)": (
        _euler,
        {
            "the next level in the slope": "drift",
            "half the drift": "drift",
            "twice the drift": "drift",
            "sigma^2 for sigma in the model": "level",
        },
    ),
    "Heun": (
        _heun,
        {
            "the current level in the second slope": "drift",
            "the current level in the second call": "level",
            "the current level in second call and slope": "level",
            "the weight 1/2 at the second slope only": "drift",
            "the second slope alone": "drift",
        },
    ),
    "DPM-Solver-2": (
        _midpoint,
        {
            "the end of the step in the second call": "level",
            "the current level in the second slope": "drift",
        },
    ),
    "DPM-Solver-2, arithmetic middle": (lambda D, r, x, noise, slip: _midpoint(D, r, x, noise, "the arithmetic middle"), {}),
    "DPM-Solver++(2S)": (_single_step_pp, {}),
    "DPM-Solver-2 ancestral": (partial(_midpoint, ancestral=True), {}),
    "DPM-Solver++(2S) ancestral": (partial(_single_step_pp, ancestral=True), {}),
    "ancestral (DDPM)": (
        _ancestral,
        {
            "sigma_down for sigma_up": "noise",
            "the variance for the deviation of the noise": "noise",
            "the square root of the deviation of the noise": "noise",
            "the next level for sigma_up": "noise",
            "no smaller step for the noise": "noise",
            "no noise": "noise",
        },
    ),
    "Euler-Maruyama": (_euler_maruyama_ve, {"the variance for the deviation of the noise": "noise"}),
    "DPM-Solver++(2M)": (
        _two_step,
        {
            "h and h_last exchanged": "multistep",
            "the last step length for the current one": "multistep",
            "twice the extrapolation": "multistep",
            "the wrong sign of the extrapolation": "multistep",
            "h_last in the exponential": "multistep",
            "a stale memory": "multistep",
            "no memory": "multistep",
        },
    ),
    "DPM-Solver++(2M) SDE": (
        _two_step_sde,
        {
            "h and h_last exchanged": "multistep",
            "no memory": "multistep",
            "the share of noise of half the step": "noise",
            "the current level at the noise": "noise",
            "the variance for the deviation of the noise": "noise",
            "the deterministic noise share": "noise",
            "no noise": "noise",
        },
    ),
    "DPM-Solver++(2M) SDE, heun": (partial(_two_step_sde, kind="heun"), {"no memory": "multistep"}),
    "DPM-Solver++(3M)": (_three_step, _SECOND_DIFFERENCE),
    "DPM-Solver++(3M), midpoint start": (partial(_three_step, start="midpoint"), _SECOND_DIFFERENCE),
    "DPM-Solver++(3M) SDE": (
        partial(_three_step, eta=1.0),
        {**_SECOND_DIFFERENCE, "the share of noise of half the step": "noise"},
    ),
    "DPM-Solver++(3M) SDE, midpoint start": (partial(_three_step, eta=1.0, start="midpoint"), _SECOND_DIFFERENCE),
    "DPM-Solver++ SDE": (_two_stage_sde, {"independent noises of overlapping intervals": "noise"}),
    **{
        f"Adams-Bashforth {k}": (
            partial(_adams, order=k),
            {"the weights of a uniform grid": "multistep", "the list of orders shifted by one": "multistep"},
        )
        for k in (2, 3, 4)
    },
}


def entries() -> Iterator[Entry]:
    """The correct methods first, then every slip, then each method without its first or last step.

    Examples
    --------
    >>> next(entries()).name
    'Euler (DDIM)'
    """
    for method, (run, _) in SLIPS.items():
        yield Entry(method, "", "", run)
    for method, (run, slips) in SLIPS.items():
        for slip, family in slips.items():
            yield Entry(method, slip, family, run)
    for method, (run, _) in SLIPS.items():
        for drop in ("last", "first"):
            yield Entry(method, f"its {drop} step missing", "end", _shortened(run, drop))


def propagate(entry: Entry, ratios: np.ndarray, target: Target) -> Coefficients:
    """Coefficients of an entry on these noise ratios (finite, the last may be 0), in float64.

    Examples
    --------
    Euler from level 2 to level 1 on N(0, 1): the multiplier is 1 - (2 - 1) 2 / (1 + 4) = 3 / 5.

    >>> found = propagate(next(entries()), np.array([2.0, 1.0]), Target(np.zeros(1), np.ones(1)))
    >>> print(found.gain[-1].round(15))
    [0.6]
    """
    world = World(target)

    def drive(world, steps):
        x = world.start(1.0, ratios[0])
        with np.errstate(all="ignore"):
            end = entry.run(lambda y, r: world.denoise(y, r), ratios, x, _Noise(world, x), entry.slip)
        world.state(end, 1.0, ratios[-1])

    return coefficients(world.runner(drive, len(ratios) - 1), repeat=False)


def nearest(gain: np.ndarray, constant: np.ndarray, noise: np.ndarray, ratios: np.ndarray, target: Target) -> list[Match]:
    """All entries, nearest first, by the distance of final coefficients in variance-exploding coordinates.

    Parameters
    ----------
    gain, constant : ndarray, shape (d,)
        Final coefficients of the judged sampler, divided by its last scale (the gain times its first scale).
    noise : ndarray, shape (K, d)
        The same for its noises.
    ratios : ndarray, shape (N + 1,)
        Noise ratios of its levels.
    target : Target

    Notes
    -----
    The distance of a direction is the norm of three differences (gain times start deviation, constant, noises), in units of
    the deviation at the last positive level. Where the numbers of noises differ, the total deviations of the noises are
    compared.

    Examples
    --------
    Two Euler steps from level 4 over 2 to 1 on N(0, 1) are found again:

    >>> aim, ratios = Target(np.zeros(1), np.ones(1)), np.array([4.0, 2.0, 1.0])
    >>> euler = propagate(next(entries()), ratios, aim)
    >>> best = nearest(euler.gain[-1], euler.constant[-1], euler.noise[-1], ratios, aim)[0]
    >>> best.entry.name, best.distance
    ('Euler (DDIM)', 0.0)
    """
    start = np.hypot(target.deviation, ratios[0])
    size = np.hypot(target.deviation, ratios[ratios > 0][-1])
    matches = []
    for entry in entries():
        try:
            found = propagate(entry, ratios, target)
        except (ValueError, np.linalg.LinAlgError, IndexError):
            continue
        other = found.noise[-1]
        if other.shape == noise.shape:
            spread = np.sum((other - noise) ** 2, axis=0)
        else:
            spread = (np.sqrt(np.sum(other**2, axis=0)) - np.sqrt(np.sum(noise**2, axis=0))) ** 2
        moved = ((found.gain[-1] - gain) * start) ** 2 + (found.constant[-1] - constant) ** 2 + spread
        distance = float(np.max(np.sqrt(moved) / size))
        if np.isfinite(distance):
            matches.append(Match(entry, distance))
    return sorted(matches, key=lambda match: (match.distance, match.entry.slip != ""))
