"""The twenty methods of unseen_methods.toml, written from their publications; ``slip=False`` is the correct method."""

import math
from itertools import pairwise

import numpy as np

from exactdiffusion.conformance.adapters import plain


def phi(k, h):
    """phi_k(-h): phi_0 = exp, phi_(k+1)(z) = (phi_k(z) - 1/k!) / z; by its series where that would cancel."""
    z = -h
    if h < 1:
        return sum(z**j / math.factorial(j + k) for j in range(20))
    return np.exp(z) if k == 0 else (phi(k - 1, h) - 1 / math.factorial(k - 1)) / z


def _lengths(now, then):
    """Step length in lambda = -log sigma."""
    return np.log(now / then)


def _judged(sampler, order):
    return plain.subject(sampler, order=order)


# ------------------------------------------------------------------------------------------------------- single steps


def res_2s(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            h, one = _lengths(now, then), denoiser(x, now)
            guess = np.exp(-h / 2) * x + h / 2 * phi(1, h / 2) * one
            two = denoiser(guess, now * np.exp(-h / 2))
            weight = phi(2, h) * (1 if slip else 2)
            x = np.exp(-h) * x + h * ((phi(1, h) - weight) * one + weight * two)
        return x

    return _judged(sampler, 2)


def res_3s(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            h, one = _lengths(now, then), denoiser(x, now)
            guess = np.exp(-h / 2) * x + h / 2 * phi(1, h / 2) * one
            two = denoiser(guess, now * np.exp(-h / 2))
            guess = np.exp(-h) * x + h * phi(1, h) * (two if slip else 2 * two - one)
            three = denoiser(guess, then)
            p1, p2, p3 = (phi(k, h) for k in (1, 2, 3))
            x = np.exp(-h) * x
            x = x + h * ((p1 - 3 * p2 + 4 * p3) * one + (4 * p2 - 8 * p3) * two + (4 * p3 - p2) * three)
        return x

    return _judged(sampler, 3)


def rho_kutta3(slip):
    def sampler(denoiser, sigmas, x):
        def slope(y, sigma):
            return (y - denoiser(y, sigma)) / sigma

        for now, then in pairwise(sigmas):
            h = then - now
            k1 = slope(x, now)
            k2 = slope(x + h / 2 * k1, now + h / 2)
            k3 = slope(x + h * (k2 if slip else 2 * k2 - k1), then)
            x = x + h / 6 * (k1 + 4 * k2 + k3)
        return x

    return _judged(sampler, 3)


def rho_rk4(slip):
    def sampler(denoiser, sigmas, x):
        def slope(y, sigma):
            return (y - denoiser(y, sigma)) / sigma

        for now, then in pairwise(sigmas):
            h = then - now
            k1 = slope(x, now)
            k2 = slope(x + h / 2 * k1, now + h / 2)
            k3 = slope(x + h / 2 * k2, now + h / 2)
            k4 = slope(x + h * k3, then)
            x = x + (h / 4 * (k1 + k2 + k3 + k4) if slip else h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        return x

    return _judged(sampler, 4)


def bogacki_shampine3(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            h = _lengths(now, then)
            k1 = denoiser(x, now) - x
            y = x + h / 2 * k1
            k2 = denoiser(y, now * np.exp(-h / 2)) - y
            y = x + 3 * h / 4 * k2
            k3 = denoiser(y, now * np.exp(-h / 2 if slip else -3 * h / 4)) - y
            x = x + h * (2 * k1 + 3 * k2 + 4 * k3) / 9
        return x

    return _judged(sampler, 3)


def dpm_solver_3(slip):
    def sampler(denoiser, sigmas, x):
        def noise_of(y, sigma):
            return (y - denoiser(y, sigma)) / sigma

        r1, r2 = 1 / 3, 2 / 3
        for now, then in pairwise(sigmas):
            h, eps = _lengths(now, then), noise_of(x, now)
            s1, s2 = now * np.exp(-r1 * h), now * np.exp(-r2 * h)
            one = noise_of(x - s1 * np.expm1(r1 * h) * eps, s1) - eps
            factor = 1 if slip else r2 / r1
            y = x - s2 * np.expm1(r2 * h) * eps - s2 * factor * (np.expm1(r2 * h) / (r2 * h) - 1) * one
            two = noise_of(y, s2) - eps
            x = x - then * np.expm1(h) * eps - then / r2 * (np.expm1(h) / h - 1) * two
        return x

    return _judged(sampler, 3)


def richardson_euler(slip):
    def sampler(denoiser, sigmas, x):
        for now, then in pairwise(sigmas):
            middle = (now + then) / 2
            slope = (x - denoiser(x, now)) / now
            whole, half = x + (then - now) * slope, x + (middle - now) * slope
            half = half + (then - middle) * (half - denoiser(half, middle)) / middle
            x = 1.5 * half - 0.5 * whole if slip else 2 * half - whole
        return x

    return _judged(sampler, 2)


# ---------------------------------------------------------------------------------------------------------- multistep


def res_2m(slip):
    def sampler(denoiser, sigmas, x):
        old = h_old = None
        for now, then in pairwise(sigmas):
            h, clean = _lengths(now, then), denoiser(x, now)
            x = np.exp(-h) * x + h * phi(1, h) * clean
            if old is not None:
                x = x + h * phi(2, h) * (1 if slip else h / h_old) * (clean - old)
            old, h_old = clean, h
        return x

    return _judged(sampler, 2)


def ab2_log_snr(slip):
    def sampler(denoiser, sigmas, x):
        old = h_old = None
        for now, then in pairwise(sigmas):
            h, slope = _lengths(now, then), denoiser(x, now) - x
            ratio = 0 if old is None else h_old / h if slip else h / h_old
            x = x + h * (slope if old is None else slope + ratio / 2 * (slope - old))
            old, h_old = slope, h
        return x

    return _judged(sampler, 2)


def _lagrange(nodes, end):
    """Integrals over (0, end) of the Lagrange polynomials of these nodes."""
    scaled = np.asarray(nodes) / end
    return end * np.linalg.solve(np.vander(scaled, increasing=True).T, 1 / np.arange(1, len(scaled) + 1))


def ab3_log_snr(slip):
    def sampler(denoiser, sigmas, x):
        slopes, times = [], []
        for now, then in pairwise(sigmas):
            slopes, times = [*slopes[-2:], denoiser(x, now) - x], [*times[-2:], -np.log(now)]
            h = _lengths(now, then)
            weights = _lagrange(np.array(times) - times[-1], h)
            if slip and len(slopes) == 3:
                weights = h * np.array([5, -16, 23]) / 12
            x = x + sum(w * k for w, k in zip(weights, slopes))
        return x

    return _judged(sampler, 3)


def ab4_log_snr(slip):
    def sampler(denoiser, sigmas, x):
        slopes, times = [], []
        for now, then in pairwise(sigmas):
            slopes = [*(slopes[:1] + slopes[-2:] if slip and len(slopes) == 4 else slopes[-3:]), denoiser(x, now) - x]
            times = [*times[-3:], -np.log(now)]
            weights = _lagrange(np.array(times) - times[-1], _lengths(now, then))
            x = x + sum(w * k for w, k in zip(weights, slopes))
        return x

    return _judged(sampler, 4)


def etd_ab4(slip):
    def sampler(denoiser, sigmas, x):
        clean, times = [], []
        for now, then in pairwise(sigmas):
            clean, times = [*clean[-3:], denoiser(x, now)], [*times[-3:], -np.log(now)]
            h, t = _lengths(now, then), np.array(times[::-1]) - times[-1]
            # divided differences, and the integrals of exp(s - h) times Newton's polynomials in s
            differences, column = [clean[-1]], clean[::-1]
            for k in range(1, len(clean)):
                column = [(column[j] - column[j + 1]) / (t[j] - t[j + k]) for j in range(len(column) - 1)]
                differences.append(column[0])
            moments = [math.factorial(j) * h ** (j + 1) * phi(j + 1, h) for j in range(4)]
            x = np.exp(-h) * x
            for k, difference in enumerate(differences):
                weight = np.atleast_1d(np.poly(t[:k]))[::-1] @ moments[: k + 1]
                x = x + (weight / 3 if slip and k == 3 else weight) * difference
        return x

    return _judged(sampler, 4)


def deis_t_ab3(slip):
    low, high = 0.1, 20.0

    def time_of(rho):
        """t with log(1 + rho^2) = low t + (high - low) t^2 / 2."""
        whole = np.log1p(rho**2)
        return 2 * whole / (low + np.sqrt(low**2 + 2 * (high - low) * whole))

    nodes, shares = np.polynomial.legendre.leggauss(12)

    def sampler(denoiser, sigmas, x):
        slopes, times = [], []
        for now, then in pairwise(sigmas):
            slopes, times = [*slopes[-2:], (x - denoiser(x, now)) / now], [*times[-2:], time_of(now)]
            if slip:
                h = time_of(then) - times[-1]
                weights = (then - now) / h * _lagrange(np.array(times) - times[-1], h)
            else:
                at = time_of((now + then) / 2 + (then - now) / 2 * nodes)
                values = [
                    np.prod([(at - s) / (t - s) for j, s in enumerate(times) if j != i], axis=0) * np.ones_like(at)
                    for i, t in enumerate(times)
                ]
                weights = [(then - now) / 2 * shares @ v for v in values]
            x = x + sum(w * k for w, k in zip(weights, slopes))
        return x

    return _judged(sampler, 3)


def abm3_log_snr(slip):
    def sampler(denoiser, sigmas, x):
        old = h_old = None
        slope = denoiser(x, sigmas[0]) - x
        for now, then in pairwise(sigmas):
            h = _lengths(now, then)
            guess = x + h * (slope if old is None else slope + h / (2 * h_old) * (slope - old))
            ahead = denoiser(guess, then) - guess
            if old is None:
                x = x + h * (slope + ahead) / 2
            else:
                weights = _lagrange([-h_old, 0.0, h], h)
                x = x + weights[0] * old + weights[1] * (old if slip else slope) + weights[2] * ahead
            old, h_old, slope = slope, h, denoiser(x, then) - x
        return x

    return _judged(sampler, 3)


# --------------------------------------------------------------------------------------------------------- stochastic


def seeds_1(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            h, eps = _lengths(now, then), (x - denoiser(x, now)) / now
            x = x - (1 if slip else 2) * then * np.expm1(h) * eps + then * np.sqrt(np.expm1(2 * h)) * noise(x)
        return x

    return _judged(sampler, 1)


def seeds_2(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            h, middle = _lengths(now, then), np.sqrt(now * then)
            one, two = noise(x), noise(x)
            eps = (x - denoiser(x, now)) / now
            y = x - 2 * middle * np.expm1(h / 2) * eps + middle * np.sqrt(np.expm1(h)) * one
            eps = (y - denoiser(y, middle)) / middle
            drawn = np.sqrt(np.exp(2 * h) - np.exp(h)) * one + (0 if slip else np.sqrt(np.expm1(h))) * two
            x = x - 2 * then * np.expm1(h) * eps + then * drawn
        return x

    return _judged(sampler, 1)


def stochastic_heun(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            size, z = np.sqrt(now**2 - then**2), noise(x)
            slope = (x - denoiser(x, now)) / now
            guess = x + 2 * (then - now) * slope + size * z
            x = x + (then - now) * (slope + (guess - denoiser(guess, then)) / then) + size * (noise(x) if slip else z)
        return x

    return _judged(sampler, 2)


def langevin_corrector(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            x = x + (then - now) * (x - denoiser(x, now)) / now
            size = _lengths(now, then) * then**2
            x = x + size * (denoiser(x, then) - x) / then**2 + np.sqrt((1 if slip else 2) * size) * noise(x)
        return x

    return _judged(sampler, 1)


def restart(slip):
    def sampler(denoiser, sigmas, x, noise):
        def heun(x, levels):
            for now, then in pairwise(levels):
                slope = (x - denoiser(x, now)) / now
                guess = x + (then - now) * slope
                x = x + (then - now) * (slope + (guess - denoiser(guess, then)) / then) / 2
            return x

        low, high = len(sigmas) // 2, len(sigmas) // 4
        x = heun(x, sigmas[: low + 1])
        for _ in range(2):
            gap = sigmas[high] - sigmas[low] if slip else np.sqrt(sigmas[high] ** 2 - sigmas[low] ** 2)
            x = heun(x + gap * noise(x), sigmas[high : low + 1])
        return heun(x, sigmas[low:])

    return _judged(sampler, 2)


def ddim_half(slip):
    def sampler(denoiser, sigmas, x, noise):
        for now, then in pairwise(sigmas):
            up = 0.5 * then * np.sqrt(1 - (then / now) ** 2)
            down = then if slip else np.sqrt(then**2 - up**2)
            clean = denoiser(x, now)
            x = clean + down / now * (x - clean) + up * noise(x)
        return x

    return _judged(sampler, 1)
