"""Gradient estimation with gamma = 2 is a method of first order, with the leading error of DDIM and the opposite sign.

Let h_t = sigma_t - sigma_{t-1} and gamma_t be the weight of gradient estimation. Suppose that

    (H1)  the noise prediction eps is smooth (a noised law), and x(sigma) is the exact flow dx / dsigma = eps(x, sigma),
    (H2)  for the second display, the target is N(0, lambda) and the N steps are log-linear.

Then the local error of a step, numerical minus exact, is

    ((gamma_t - 1) h_t h_{t+1} - h_t^2 / 2) x'' + O(h^3),

so the order is two exactly for gamma_t = 1 + h_t / (2 h_{t+1}) up to O(h). Under (H2) the
relative error of x_0 is

    (gamma - 3/2) (L / N) (lambda / 2) (1 / (lambda + sigma_0^2) - 1 / (lambda + sigma_N^2)) + O(N^-2),

L = log(sigma_N / sigma_0).

Source: derived. Permenter & Yuan (Section 5) call gamma = 2 a choice that works; it is no method of second order.
Measured on N(0, lambda) by exact propagation, and by the sampler on one point.
"""

import itertools
from functools import cache

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, distances, output_laws, samplers, schedules
from exactdiffusion.statements import projection as bound

STATEMENT = bound.gradient_estimation_gaussian_error.statement
EPS = np.finfo(np.float64).eps
HIGH, LOW = 40.0, 0.02
STEPS = 20 * 2 ** np.arange(0, 7)  # 20 .. 1280
VARIANCES = (1.0, 0.1, 4.0)


@cache
def errors(gamma, N, grid_of=lambda N: schedules.log_linear(N, sigma_max=HIGH, sigma_min=LOW)):
    """(x_0 - exact x_0) / exact x_0 of the flow x = sqrt(lambda + sigma^2), signed, for every variance lambda."""
    grid, variance = grid_of(int(N)), np.array(VARIANCES)
    start = np.sqrt(variance + grid.sigma[0] ** 2)
    # the propagated mean is the sampler's linear map applied to the start
    zero = np.zeros_like(variance)
    mean, _ = output_laws.gaussian("gradient_estimation", zero, variance, grid, start, zero, gamma=gamma)
    return mean / np.sqrt(variance + grid.sigma[-1] ** 2) - 1


def relative_error(gamma, N, variance=1.0):
    return float(errors(gamma, int(N))[VARIANCES.index(variance)])


def written_out(gamma, N):
    """The same for variance 1, from the formulas of the method: the sampler's code has no part in it."""
    r = HIGH * (LOW / HIGH) ** (np.arange(N + 1) / N)
    y = np.sqrt(1 + HIGH**2)
    previous = r[0] / (1 + r[0] ** 2) * y  # so that the first step is plain
    for i in range(N):
        eps = r[i] / (1 + r[i] ** 2) * y
        weight = gamma if gamma != "variable" else 1 + (r[i] - r[i + 1]) / (2 * (r[i - 1] - r[i]))
        y -= (r[i] - r[i + 1]) * (weight * eps + (1 - weight) * previous)
        previous = eps
    return y / np.sqrt(1 + LOW**2) - 1


def uneven(N):
    """Steps alternating 3 : 1 in log sigma."""
    share = np.tile([0.75, 0.25], N // 2) * 2 / N
    return schedules.Grid(np.ones(N + 1), HIGH * (LOW / HIGH) ** np.concatenate([[0.0], np.cumsum(share)]))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_recorded_values(check):
    """N = 1280, N(0, 1), sigma 40 -> .02."""
    for gamma, value, digit in (
        (1.0, -1.482e-3, 5e-7),
        (2.0, 1.475e-3, 5e-7),
        (1.5, -2.2e-6, 5e-8),
        ("variable", -1.1e-5, 5e-7),
    ):
        check.equal(
            relative_error(gamma, 1280),
            value,
            tol=digit,
            cause="printed digits: recorded to this digit",
            on=f"gamma {gamma}, N = 1280",
        )


def test_sampler_is_the_recursion(check):
    """The sampler itself on one point against the recursion written out: nothing here depends on either alone."""
    law = GaussianMixture(None, np.zeros((1, 1)), 1.0)
    for gamma in (1.0, 1.5, 2.0, 2.8, "variable"):
        for N in (5, 40, 160):
            grid = schedules.log_linear(N, sigma_max=HIGH, sigma_min=LOW)
            x = np.array([[np.sqrt(1 + HIGH**2)]])
            out = samplers.final(samplers.gradient_estimation(law, grid, x, gamma=gamma))[0, 0]
            error = out / np.sqrt(1 + LOW**2) - 1
            # eps = (x - D)/sigma: a rounding eps |x|, times h/sigma < 1 and |gamma| + |1 - gamma| < 5, summed over N
            tol = 16 * EPS * N * HIGH
            check.equal(
                error, written_out(gamma, N), tol=tol, cause="rounding: 16 eps N sigma_N", on=f"gamma {gamma}, N = {N}"
            )


def test_local_error(check):
    """SymPy: Taylor's expansion of one step, and the flow of N(0, lambda)."""
    h, h1, gamma, s, lam = sympy.symbols("h h1 gamma s lambda", positive=True)
    x = sympy.sqrt(lam + s**2)
    slope = sympy.diff(x, s)
    eps = x * s / (lam + s**2)
    t = sympy.symbols("t", positive=True)  # both steps scale with t
    numeric = x - t * h * (gamma * slope + (1 - gamma) * slope.subs(s, s + t * h1))
    local = numeric - x.subs(s, s - t * h)
    second = sympy.diff(x, s, 2)
    coefficient = sympy.diff(local, t, 2).subs(t, 0) / 2
    claimed = ((gamma - 1) * h * h1 - h**2 / 2) * second
    residuals = [
        sympy.simplify(slope - eps),
        sympy.simplify(local.subs(t, 0)),
        sympy.simplify(sympy.diff(local, t).subs(t, 0)),
        sympy.simplify(coefficient - claimed),
        sympy.simplify(claimed.subs(gamma, 1 + h / (2 * h1))),
        sympy.simplify(second / x - lam / (lam + s**2) ** 2),
        sympy.simplify(sympy.diff(-lam / (2 * (lam + s**2)), s) - s * second / x),
    ]
    check.equal([float(r) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on="local error, AB2 gamma, flow, integral")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_leading_term(check):
    """Measured over stated leading error -> 1, with a remainder O(1/N); both signs, three variances."""
    for variance in VARIANCES:
        for gamma in (1.0, 2.0, 2.4, 0.5):
            ratio = [
                relative_error(gamma, N, variance) / bound.gradient_estimation_gaussian_error(gamma, N, HIGH, LOW, variance)
                for N in STEPS[-3:]
            ]
            limit = 2 * ratio[2] - ratio[1]  # Richardson in 1/N
            earlier = 2 * ratio[1] - ratio[0]
            tol = 2 * abs(limit - earlier) + 1e-9
            check.tight(
                limit,
                1.0,
                tol=tol,
                cause="remainder: twice the last Richardson correction",
                on=f"gamma {gamma}, variance {variance}",
            )
            assert tol < 2e-3, "the extrapolation has not settled"


def test_equal_and_opposite(check):
    """The errors of gamma = 1 and gamma = 2 cancel to second order: their sum has slope -2."""
    both = [relative_error(1.0, N) + relative_error(2.0, N) for N in STEPS]
    check.rate(distances.fit_slope(STEPS[-4:], np.abs(both[-4:])), -2.0, within=0.05, on="|error(gamma 1) + error(gamma 2)|")
    ratio = [-relative_error(2.0, N) / relative_error(1.0, N) for N in STEPS[-2:]]
    check.tight(
        2 * ratio[1] - ratio[0],
        1.0,
        tol=1e-4,
        cause="remainder: O(N^-2) after Richardson",
        on="-error(gamma 2) / error(gamma 1)",
    )


def test_rate(check):
    last = STEPS[-4:]
    for gamma, order in ((1.0, -1.0), (2.0, -1.0), (2.8, -1.0), (1.5, -2.0), ("variable", -2.0)):
        error = np.abs([relative_error(gamma, N) for N in last])
        check.rate(distances.fit_slope(last, error), order, within=0.05, on=f"gamma {gamma}, N = {last[0]} .. {last[-1]}")


def test_variable_steps(check):
    """On a grid whose steps alternate (ratio 3), 3/2 is of first order and the variable gamma of second."""
    last = STEPS[-4:]
    for gamma, order in ((1.5, -1.0), ("variable", -2.0)):
        error = np.abs([errors(gamma, int(N), uneven)[0] for N in last])
        check.rate(
            distances.fit_slope(last, error), order, within=0.05, on=f"gamma {gamma}, steps alternating 3 : 1 in log sigma"
        )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """What is said of the method beyond the theorem, the sign of the leading term, and the index of the memory."""
    N = 1280
    second = 10 * abs(relative_error("variable", N))

    # "gamma = 2 is second order": its error would be at most, say, 10 times that of the variable gamma
    check.control("order (gamma = 2 taken for second order)", relative_error(2.0, N), second, on=f"N = {N}")

    # "gradient estimation beats DDIM": true for few steps, false in the limit
    plain, estimated = abs(relative_error(1.0, N)), abs(relative_error(2.8, N))
    check.control("'beats DDIM' (gamma 2.8)", estimated, plain, on=f"N = {N}")

    # the sign of the leading term
    stated = bound.gradient_estimation_gaussian_error(1.0, N, HIGH, LOW)
    check.control("the sign (gamma 2 given that of DDIM)", relative_error(2.0, N), 0.9 * stated, on=f"N = {N}")

    # the memory of a step too old: eps_{t+2} in place of eps_{t+1} at gamma = 3/2
    y, kept = np.sqrt(1 + HIGH**2), []
    for s, s1 in itertools.pairwise(schedules.log_linear(N, sigma_max=HIGH, sigma_min=LOW).sigma):
        kept.append(y * s / (1 + s * s))
        y += (s1 - s) * (1.5 * kept[-1] - 0.5 * kept[max(len(kept) - 3, 0)])
    check.control("the index (eps two steps back)", abs(y / np.sqrt(1 + LOW**2) - 1), second, on=f"gamma 3/2, N = {N}")
