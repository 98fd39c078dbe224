"""The public reports, each made again as a change of a correct sampler; no code of the reports."""

from itertools import pairwise

import numpy as np

from exactdiffusion.conformance import functions
from exactdiffusion.conformance.adapters import plain
from exactdiffusion.conformance.subject import Subject


def _vp(sigmas):
    """(scale, sigma) in variance-preserving coordinates of noise ratios."""
    scale = 1 / np.sqrt(1 + sigmas**2)
    return scale, sigmas * scale


def probability_flow(slip):
    """deepinv 1343: the drift of the probability flow without its factor 2 (the score counts half)."""

    def make(world):
        def drive(world, steps):
            ratio = functions.karras(steps)
            scale, sigma = _vp(ratio)
            x = world.start(scale[0], sigma[0])
            for i in range(steps):
                # dx = -(beta/2) (x + score) dt backwards, with the integral of beta over the step
                beta = np.log1p(ratio[i] ** 2) - np.log1p(ratio[i + 1] ** 2)
                score = world.predict("score", x, sigma[i], scale[i])
                x = x + beta / 2 * (x + (0.5 if slip else 1.0) * score)
                world.state(x, scale[i + 1], sigma[i + 1])

        return drive

    return Subject("probability flow", make, order=1, library="numpy")


def two_step(slip, grid="karras"):
    """k-diffusion 56: the proposed change of the second-order multistep step puts h_last in the place of h."""

    def sampler(denoiser, sigmas, x):
        old = time_old = None
        for now, then in pairwise(sigmas):
            clean, time, time_then = denoiser(x, now), -np.log(now), -np.log(then)
            h = time_then - time
            if old is None:
                x = then / now * x - np.expm1(-h) * clean
            else:
                h_last = time - time_old
                r = h_last / h
                mixed = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * old
                x = then / now * x - np.expm1(-(h_last if slip else h)) * mixed
            old, time_old = clean, time
        return x

    return plain.subject(sampler, order=2, grid=grid)


def sde_share(slip):
    """k-diffusion 59, diffusers 1889: the SDE variant of a second-order solver with the wrong share of noise."""

    def sampler(denoiser, sigmas, x, noise):
        old = h_last = None
        for now, then in pairwise(sigmas):
            clean, h = denoiser(x, now), np.log(now) - np.log(then)
            x = then / now * np.exp(-h) * x - np.expm1(-2 * h) * clean
            if old is not None:
                x = x - 0.5 * np.expm1(-2 * h) * h / h_last * (clean - old)
            share = -np.expm1(-h) if slip else -np.expm1(-2 * h)
            x = x + then * np.sqrt(share) * noise(now, then)
            old, h_last = clean, h
        return x

    return plain.subject(sampler, order=1)


def heun_levels(slip):
    """diffusers 1512: sigma_hat where sigma_next belongs, in the second slope of Heun's method."""

    def sampler(denoiser, sigmas, x):
        for hat, then in pairwise(sigmas):
            first = (x - denoiser(x, hat)) / hat
            guess = x + (then - hat) * first
            second = (guess - denoiser(guess, then)) / (hat if slip else then)
            x = x + (then - hat) * (first + second) / 2
        return x

    return plain.subject(sampler, order=2)


def noise_power(slip):
    """diffusers 590: the variance is used where its root belongs, in the added noise."""

    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            variance = then**2 * (1 - then**2 / now**2)
            down = np.sqrt(then**2 - variance)
            x = denoiser(x, now) + down / now * (x - denoiser(x, now))
            x = x + (variance if slip else np.sqrt(variance)) * noise(x)
        return x

    return plain.subject(sampler, order=1)


def order_list(slip):
    """diffusers 6953: the list of orders of a multistep solver is shifted by one: the first order is used once more."""

    def sampler(denoiser, sigmas, x):
        slopes: list = []
        for i, (now, then) in enumerate(pairwise(sigmas)):
            slopes = [(x - denoiser(x, now)) / now, *slopes][:3]
            order = [1, 1, 2, 3][min(i, 3)] if slip else [1, 2, 3][min(i, 2)]
            nodes = (sigmas[i::-1][:order] - now) / (then - now)
            weights = np.linalg.solve(np.vander(nodes, order, increasing=True).T, 1 / np.arange(1, order + 1))
            x = x + (then - now) * sum(w * d for w, d in zip(weights, slopes))
        return x

    return plain.subject(sampler, order=3)


def last_level_twice(slip):
    """diffusers 6477: the last level stands twice in the grid, and the last step has length zero."""

    def make(world):
        def drive(world, steps):
            sigmas = functions.karras(steps)
            if slip:
                sigmas = np.append(functions.karras(steps - 1), functions.karras(steps - 1)[-1])
            x = world.start(1.0, sigmas[0])
            for now, then in pairwise(sigmas):
                x = x + (then - now) * (x - world.denoise(x, now)) / now
                world.state(x, 1.0, then)

        return drive

    def grid(steps, unit):
        sigmas = functions.karras(steps)
        return np.stack([np.ones_like(sigmas), sigmas], axis=1)

    return Subject("euler", make, order=1, library="numpy", grid=grid)


def third_order_end(slip):
    """diffusers 9007: order 3 in the last step of a grid that ends at 0, where the step is infinite in log sigma."""

    def sampler(denoiser, sigmas, x):
        clean: list = []
        time: list = []
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for i, (now, then) in enumerate(pairwise(sigmas)):
                clean, time = [*clean[-2:], denoiser(x, now)], [*time[-2:], -np.log(now)]
                h = -np.log(then) - time[-1]
                if i == len(sigmas) - 2 and then == 0 and not slip:
                    return clean[-1]
                w0 = -np.expm1(-h)
                w1 = h - w0
                w2 = h**2 - 2 * w1
                x = then / now * x + w0 * clean[-1]
                if len(clean) > 1:
                    first = (clean[-1] - clean[-2]) / (time[-1] - time[-2])
                    x = x + w1 * first
                if len(clean) > 2:
                    before = (clean[-2] - clean[-3]) / (time[-2] - time[-3])
                    x = x + (w2 + (time[-1] - time[-2]) * w1) * (first - before) / (time[-1] - time[-3])
        return x

    return plain.subject(sampler, order=3, grid="karras_zero")


def _shifted(sigma, shift):
    return shift * sigma / (1 + (shift - 1) * sigma)


def flow_shift(slip):
    """diffusers 13243: the shift of a flow-matching grid is applied a second time."""

    def levels(steps, times=1):
        sigma = np.linspace(1.0, 0.02, steps + 1)
        for _ in range(times):
            sigma = _shifted(sigma, 3.0)
        return sigma

    def make(world):
        def drive(world, steps):
            sigma = levels(steps, 2 if slip else 1)
            x = world.start(1 - sigma[0], sigma[0])
            for now, then in pairwise(sigma):
                x = x + (then - now) * world.predict("flow_prediction", x, now, 1 - now)
                world.state(x, 1 - then, then)

        return drive

    def grid(steps, unit):
        sigma = levels(steps)
        return np.stack([1 - sigma, sigma], axis=1)

    return Subject("flow", make, order=1, library="numpy", grid=grid)


def timesteps(slip):
    """diffusers 12771: timesteps are truncated where they should be rounded: the last one of the table is missed."""
    betas = np.linspace(1e-4, 0.02, 1000)
    alpha = np.cumprod(1 - betas)

    def indices(steps, truncated):
        # 999 - 1e-9: the arithmetic of the grid leaves the last timestep a little below an integer
        exact = np.linspace(999 - 1e-9, 0, steps + 1)
        return (np.floor(exact) if truncated else np.round(exact)).astype(int)

    def grid(steps, unit, truncated=False):
        at = alpha[indices(steps, truncated)]
        return np.stack([np.sqrt(at), np.sqrt(1 - at)], axis=1)

    def make(world):
        def drive(world, steps):
            used = grid(steps, 1.0, slip)
            x = world.start(*used[0], deviation=float(np.hypot(*used[0])))
            for (scale, sigma), (scale_then, sigma_then) in pairwise(used):
                eps = world.predict("epsilon", x, sigma, scale)
                x = scale_then * (x - sigma * eps) / scale + sigma_then * eps
                world.state(x, scale_then, sigma_then)

        return drive

    return Subject("ddim", make, order=1, library="numpy", grid=grid, max_steps=400)


def one_step(slip):
    """dpm-solver 44: one step is made where ``steps`` were meant."""

    def sampler(denoiser, sigmas, x):
        levels = sigmas[[0, -1]] if slip else sigmas
        for now, then in pairwise(levels):
            clean = denoiser(x, now)
            x = clean + then / now * (x - clean)
        return x

    return plain.subject(sampler, order=1, calls=lambda steps: steps)


#: number -> (report, sampler, families in which the verdict counts as named, kinds of which one must differ)
REPLAYS = {
    1: ("deepinv 1343", probability_flow, {"drift"}, {"limit"}),
    2: ("k-diffusion 56", two_step, {"multistep"}, {"order"}),
    3: ("k-diffusion 59, diffusers 1889", sde_share, {"noise"}, {"noise"}),
    4: ("diffusers 1512", heun_levels, {"drift"}, {"order"}),
    5: ("diffusers 590", noise_power, {"noise"}, {"noise"}),
    6: ("diffusers 6953", order_list, {"multistep"}, {"resembles"}),
    7: ("diffusers 6477", last_level_twice, {"grid"}, {"grid"}),
    8: ("diffusers 9007", third_order_end, {"precision"}, {"precision"}),
    9: ("diffusers 13243", flow_shift, {"grid"}, {"grid"}),
    10: ("diffusers 12771", timesteps, {"grid", "start"}, {"grid", "start"}),
    11: ("dpm-solver 44", one_step, {"calls"}, {"calls"}),
}
