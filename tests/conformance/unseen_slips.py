"""The fifteen slips of unseen_slips.toml, each made in a correct sampler (``slip=False``)."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from exactdiffusion.conformance import functions
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.subject import Subject


def euler_next_level(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            slope = (x - denoiser(x, now)) / (then if slip else now)
            x = x + slope * (then - now)
        return x

    return plain.subject(sampler, order=1)


def heun_half_slope(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            one = (x - denoiser(x, now)) / now
            guess = x + one * (then - now)
            two = (guess - denoiser(guess, then)) / then
            x = x + (then - now) * (one + two / 2 if slip else (one + two) / 2)
        return x

    return plain.subject(sampler, order=2)


def midpoint_level(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            middle = np.exp((np.log(now) + np.log(then)) / 2)
            half = x + (middle - now) * (x - denoiser(x, now)) / now
            x = x + (then - now) * (half - denoiser(half, then if slip else middle)) / middle
        return x

    return plain.subject(sampler, order=2)


def _sizes(now, then):
    up = then * np.sqrt(1 - (then / now) ** 2)
    return np.sqrt(then**2 - up**2), up


def ancestral_down_for_up(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            down, up = _sizes(now, then)
            x = x + (down - now) * (x - denoiser(x, now)) / now + (down if slip else up) * noise(x)
        return x

    return plain.subject(sampler, order=1)


def ancestral_one_noise(slip):
    def sampler(denoiser, sigmas, x, noise):
        z = noise(x)
        for now, then in pairwise(sigmas):
            down, up = _sizes(now, then)
            x = x + (down - now) * (x - denoiser(x, now)) / now + up * z
            z = z if slip else noise(x)
        return x

    return plain.subject(sampler, order=1)


def two_step_stale_memory(slip):
    def sampler(denoiser, sigmas, x):
        old = h_old = None
        for now, then in pairwise(sigmas):
            clean, h = denoiser(x, now), np.log(now / then)
            used = clean if old is None else clean + (clean - old) * h / (2 * h_old)
            x = used + (x - used) * then / now
            if old is None or not slip:
                old = clean
            h_old = h
        return x

    return plain.subject(sampler, order=2)


def adams_uniform_weights(slip):
    def sampler(denoiser, sigmas, x):
        old = h_old = None
        for now, then in pairwise(sigmas):
            slope, h = (x - denoiser(x, now)) / now, then - now
            weight = 0.5 if slip else (h / (2 * h_old) if old is not None else 0.0)
            x = x + h * (slope if old is None else (1 + weight) * slope - weight * old)
            old, h_old = slope, h
        return x

    return plain.subject(sampler, order=2)


def ddim_current_level(slip):
    def make(world):
        def drive(world, steps):
            sigmas = functions.karras(steps)
            scale, sigma = 1 / np.sqrt(1 + sigmas**2), sigmas / np.sqrt(1 + sigmas**2)
            x = world.start(scale[0], sigma[0])
            for i in range(steps):
                eps = world.predict("epsilon", x, sigma[i], scale[i])
                clean = (x - sigma[i] * eps) / scale[i]
                x = scale[i + 1] * clean + (sigma[i] if slip else sigma[i + 1]) * eps
                world.state(x, scale[i + 1], sigma[i + 1])

        return drive

    return Subject("ddim", make, order=1, library="numpy")


def sde_noise_level(slip):
    def sampler(denoiser, sigmas, x, noise):
        old = h_old = None
        for now, then in pairwise(sigmas):
            clean, h = denoiser(x, now), np.log(now / then)
            used = clean if old is None else clean + (clean - old) * h / (2 * h_old)
            shrink = np.exp(-2 * h)
            x = shrink * x + (1 - shrink) * used + (now if slip else then) * np.sqrt(1 - shrink) * noise(now, then)
            old, h_old = clean, h
        return x

    return plain.subject(sampler, order=1)


def last_step_missing(slip):
    def sampler(denoiser, sigmas, x):
        for i in range(len(sigmas) - (2 if slip else 1)):
            x = x + (sigmas[i + 1] - sigmas[i]) * (x - denoiser(x, sigmas[i])) / sigmas[i]
        return x

    return plain.subject(sampler, order=1)


def denoiser_gets_variance(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            one = (x - denoiser(x, now**2 if slip else now)) / now
            guess = x + one * (then - now)
            two = (guess - denoiser(guess, then**2 if slip else then)) / then
            x = x + (then - now) * (one + two) / 2
        return x

    return plain.subject(sampler, order=2)


def memory_of_last_run(slip):
    kept = {}

    def sampler(denoiser, sigmas, x):
        old, h_old = kept.get("last", (None, None)) if slip else (None, None)
        if old is not None and old.shape != x.shape:
            old = None
        for now, then in pairwise(sigmas):
            clean, h = denoiser(x, now), np.log(now / then)
            used = clean if old is None else clean + (clean - old) * h / (2 * h_old)
            x = used + (x - used) * then / now
            old, h_old = clean, h
        kept["last"] = old, h_old
        return x

    return plain.subject(sampler, order=2)


def batch_normalised_noise(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            down, up = _sizes(now, then)
            z = noise(x)
            if slip:
                z = z / (np.std(z, axis=0) + 1e-12)
            x = x + (down - now) * (x - denoiser(x, now)) / now + up * z
        return x

    return plain.subject(sampler, order=1)


def half_precision_weights(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            h = np.log(now / then)
            fall = np.exp(-h.astype(np.float16)) - np.float16(1) if slip else np.expm1(-h)
            x = then / now * x - np.asarray(fall, dtype=x.dtype) * denoiser(x, now)
        return x

    return plain.subject(sampler, order=1)


def third_order_sign(slip):
    def sampler(denoiser, sigmas, x):
        clean: list = []
        time: list = []
        for now, then in pairwise(sigmas):
            clean, time = [*clean[-2:], denoiser(x, now)], [*time[-2:], -np.log(now)]
            h = np.log(now / then)
            # Newton's interpolation in time, and the integrals of exp(t - h), t exp(t - h), t (t + h_1) exp(t - h)
            w0 = -np.expm1(-h)
            w1 = h - w0
            w2 = h**2 - 2 * w1
            x = then / now * x + w0 * clean[-1]
            if len(clean) > 1:
                first = (clean[-1] - clean[-2]) / (time[-1] - time[-2])
                x = x + w1 * first
            if len(clean) > 2:
                before = (clean[-2] - clean[-3]) / (time[-2] - time[-3])
                second = (first - before) / (time[-1] - time[-3])
                x = x + (-1 if slip else 1) * (w2 + (time[-1] - time[-2]) * w1) * second
        return x

    return plain.subject(sampler, order=3)


def all_slips() -> Iterator[tuple[str, object]]:
    """(name, function of ``slip``) of all fifteen."""
    for name, value in list(globals().items()):
        if (
            callable(value)
            and getattr(value, "__module__", None) == __name__
            and value.__code__.co_varnames[:1] == ("slip",)
        ):
            yield name, value
