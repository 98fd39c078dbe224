"""Printed formulas of the bounds, evaluated a second time in 40 digits, and the ends of the ranges of their arguments.

Whether a formula is *true* is the business of theory/; here its program is compared with its text, at arguments of which no
two are equal and none is 0, 1 or 2 (so that a factor, a power or a sign in the wrong place cannot hide), and every range of
an argument is entered at its closed ends and refused at its open ones. What ``references/generate_forms.py`` evaluates is
not repeated here.

Limits: ``ROUNDINGS * eps * |value|``: the arguments are of order one and nothing cancels there, so that each of the few
dozens of operations of a formula adds a rounding of the size of its value.
"""

import importlib
import itertools
import math
import re
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from exactdiffusion import statements
from exactdiffusion.checks import expected as expected_file
from exactdiffusion.statements import (
    conditional_mean,
    foundations,
    log_concavity,
    log_concavity_thresholds,
    projection,
    proximal,
)
from exactdiffusion.statements._statement import guarded

EPS = float(np.finfo(float).eps)
ROUNDINGS = 64
UP, DOWN, TINY = math.nextafter(1, 2), math.nextafter(1, 0), 5e-324
#: beyond a computed limit by more than its rounding, for which a domain allows
BEYOND = 1 + 64 * EPS
FORMULAS = []
#: `module.function` of formulas that a test below evaluates a second time without `printed`
SECOND = set()


def printed(name, *cases):
    """Register the reference of ``module.function`` at these keyword arguments."""

    def add(reference):
        FORMULAS.extend(pytest.param(name, reference, case, id=f"{name}-{i}") for i, case in enumerate(cases))
        return reference

    return add


def evaluated(name):
    """Mark a test that evaluates ``module.function`` a second time in a form of its own."""

    def add(test):
        SECOND.add(name)
        return test

    return add


def resolve(name):
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(f"exactdiffusion.statements.{module}"), function)


def exact(value):
    """Floats as 40-digit numbers, lists too; integers and words as they are."""
    if isinstance(value, list):
        return [exact(v) for v in value]
    return mp.mpf(value) if isinstance(value, float) else value


def flat(value):
    if isinstance(value, dict):
        return flat(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [u for v in value for u in flat(v)]
    if isinstance(value, np.ndarray):
        return [float(v) for v in value.ravel()]
    return [float(value)]


@pytest.mark.parametrize(("name", "reference", "case"), FORMULAS)
def test_program_is_the_text(name, reference, case):
    found = np.array(flat(resolve(name)(**case)))
    with mp.workdps(40):
        expected = np.array(flat(reference(**exact(case))))
    assert found.shape == expected.shape
    same = found == expected  # infinities
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= ROUNDINGS * EPS * np.abs(expected)
        assert np.all(same | np.isfinite(expected) & near), (found, expected)


def test_verdicts_know_which_formulas_are_evaluated_a_second_time():
    """Here or among the 50-digit references; the verdict of any other statement says that it was evaluated once."""
    known = expected_file.second_evaluations()
    here = {p.values[0] for p in FORMULAS} | SECOND
    assert here <= known, sorted(here - known)
    functions = {
        f"{module}.{name}"
        for module in statements.MODULES
        for name in vars(importlib.import_module(f"exactdiffusion.statements.{module}"))
    }
    assert known <= functions, sorted(known - functions)
    assert len(known) >= 135, "second evaluations were lost"


# ----------------------------------------------------------------------------------------------------- foundations

X, S2 = [[0.3, -1.7]], [[0.9, 0.4]]
MATRIX = [[[0.45, 0.15], [0.15, 0.7]]]


@printed("foundations.tweedie_denoiser", {"x": X, "score": S2, "scale": 1.7, "sigma": 0.6})
def _(x, score, scale, sigma):
    return [(a + sigma * sigma * b) / scale for a, b in zip(x[0], score[0])]


@printed("foundations.tweedie_covariance", {"hessian": MATRIX, "scale": 1.7, "sigma": 0.6})
def _(hessian, scale, sigma):
    v = sigma * sigma
    return [v * ((i == j) + v * hessian[0][i][j]) / scale**2 for i in range(2) for j in range(2)]


# ------------------------------------------------------------------------------------------------------ projection

STEPS = [0.2, 0.45, 0.15]


def products(beta, eta, distance):
    """Running products of the two factors of a step, the lower one clipped at 0."""
    low, high, lows, highs = mp.mpf(1), mp.mpf(1), [], []
    for b, e in zip(beta, eta):
        low, high = low * max(1 - b - b * e, 0), high * (1 - b + b * e)
        lows, highs = [*lows, distance * low], [*highs, distance * high]
    return lows, highs


@printed("projection.one_step_distance", {"distance": 1.7, "beta": 0.3, "eta": 0.45})
def _(distance, beta, eta):
    return distance - beta * distance - beta * eta * distance, distance - beta * distance + beta * eta * distance


@printed("projection.admissibility", {"beta": STEPS, "eta": 0.3, "nu": 1.7}, {"beta": STEPS, "eta": 0.0, "nu": 1.7})
def _(beta, eta, nu):
    value = nu
    for b in beta:
        value *= (1 - b - eta * b) / (1 - b)
    return mp.log(value)


@printed(
    "projection.ddim_distance_sandwich",
    {"distance": 1.7, "beta": STEPS, "eta": 0.35},
    {"distance": 1.7, "beta": [0.2, 0.8, 0.9], "eta": 0.35},
)
def _(distance, beta, eta):
    return products(beta, itertools.repeat(eta), distance)


@printed(
    "projection.a_posteriori_sandwich",
    {"distance": 1.7, "beta": STEPS, "eta": [0.35, 1.4, 0.6]},
    {"distance": 1.7, "beta": [0.2, 0.8, 0.9], "eta": [0.35, 0.6, 0.25]},
)
def _(distance, beta, eta):
    return products(beta, eta, distance)


@printed(
    "projection.beta_star",
    {"eta": 0.3, "nu": 1.7, "N": 7},
    {"eta": 0.3, "nu": 1.7, "N": 7, "start_ratio": 1.25},
    {"eta": 0.3, "nu": 1.7, "N": 7, "start_ratio": 0.7},
    {"eta": 0.0, "nu": 1.7, "N": 3},
    {"eta": 0.3, "nu": 1.0, "N": 3},
)
def _(eta, nu, N, start_ratio=1):
    c = min(1 - (nu * start_ratio) ** (-mp.mpf(1) / N), (nu / start_ratio) ** (mp.mpf(1) / N) - 1)
    return c / (eta + c)


@printed(
    "projection.exact_projection_path",
    {"start": [[1.3, -0.7], [0.4, 2.2]], "projection": [[0.2, 0.6], [-0.3, 1.1]], "sigma": [3.0, 0.7, 0.0]},
)
def _(start, projection, sigma):
    return [[[p + s * (a - p) / sigma[0] for a, p in zip(u, v)] for u, v in zip(start, projection)] for s in sigma]


@printed("projection.best_admissible_products", {"eta": 0.3, "nu": 1.7, "N": 7})
def _(eta, nu, N):
    c = 1 - nu ** (-mp.mpf(1) / N)
    return (eta / (eta + c)) ** N, (eta * (1 + c) / (eta + c)) ** N


@printed("projection.admissible_limits", {"eta": 0.3, "nu": 1.7}, {"eta": 0.0, "nu": 1.7}, {"eta": 0.3, "nu": 1.0})
def _(eta, nu):
    return (nu ** (-1 / eta), nu ** (-1 / eta - 1), nu ** (1 - 1 / eta)) if eta else (0, 0, 0)


@printed("projection.gradient_estimation_gamma", {"a": 1.7, "b": -0.4, "c": 0.3})
def _(a, b, c):
    return (a + b) / (a + b + b + c)


@printed("projection.gradient_estimation_filter", {"beta": STEPS, "q": -0.7, "gamma": 1.6}, {"beta": STEPS, "q": 1.3})
def _(beta, q, gamma=2):
    """The recursion of the state itself: unit sigma_N, exact prediction 0, error q^k."""
    x, sigma, previous = mp.mpf(0), mp.mpf(1), None
    for k, b in enumerate(beta):
        eps = q**k
        used = eps if previous is None else gamma * eps + (1 - gamma) * previous
        x, sigma, previous = x - sigma * b * used, sigma * (1 - b), eps
    return -x


@printed(
    "projection.gradient_estimation_gaussian_error",
    {"gamma": 1.9, "N": 7, "sigma_max": 5.0, "sigma_min": 0.3, "variance": 1.7},
    {"gamma": 1.2, "N": 7, "sigma_max": 5.0, "sigma_min": 0.3},
)
def _(gamma, N, sigma_max, sigma_min, variance=1):
    """The integral of lam/(lam + sigma^2)^2 sigma of which the printed difference is the value."""
    area = mp.quad(lambda s: variance / (variance + s * s) ** 2 * s, mp.linspace(sigma_min, sigma_max, 9))
    return (gamma - 1.5) * mp.log(sigma_max / sigma_min) / N * area


@printed("projection.ddim_coordinates", {"x": X, "eps": S2, "sigma": 1.7, "sigma_next": 0.6})
def _(x, eps, sigma, sigma_next):
    a, b = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    z = [mp.sqrt(a) * v for v in x[0]]
    step = [mp.sqrt(b) * (u - mp.sqrt(1 - a) * e) / mp.sqrt(a) + mp.sqrt(1 - b) * e for u, e in zip(z, eps[0])]
    return [v / mp.sqrt(b) for v in step]


@printed(
    "projection.ddpm_coordinates",
    {"sigma": 1.7, "sigma_next": 0.6},
    {"sigma": 1.7, "sigma_next": 0.6, "mu": 0.3},
    {"sigma": 1.7, "sigma_next": 0.6, "mu": 0.05},
)
def _(sigma, sigma_next, mu=0.5):
    target = mp.exp((mp.log(sigma_next) - mu * mp.log(sigma)) / (1 - mu))
    return target, sigma_next**2 - target**2


@printed(
    "projection.ddpm_subspace_distance",
    {"sigma": [3.0, 0.7, 0.2], "codimension": 3, "start": 5.5, "mu": 0.3},
    {"sigma": [3.0, 0.7, 0.2], "codimension": 3, "start": 5.5},
    {"sigma": [3.0, 0.7, 0.2], "codimension": 3},
)
def _(sigma, codimension, start=None, mu=0.5):
    values = [codimension * sigma[0] ** 2 if start is None else start]
    for a, b in itertools.pairwise(sigma):
        ratio = (b / a) ** (1 / (1 - mu))
        values.append(ratio**2 * values[-1] + codimension * (b**2 - (ratio * a) ** 2))
    return values


@printed("projection.distance_gradient", {"x": [[1.3, -0.7, 2.1]], "projection": [[0.2, 0.6, 0.4]]})
def _(x, projection):
    offset = [a - b for a, b in zip(x[0], projection[0])]
    return offset, [v / mp.sqrt(mp.fsum(u * u for u in offset)) for v in offset]


@printed("projection.segment_invariance", {"x": [[1.3, -0.7, 2.1]], "projection": [[0.2, 0.6, 0.4]], "theta": 0.3})
def _(x, projection, theta):
    size = mp.sqrt(mp.fsum((a - b) ** 2 for a, b in zip(x[0], projection[0])))
    return [(1 - theta) * b + theta * a for a, b in zip(x[0], projection[0])], theta * size


@printed("projection.continuity_obstruction", {"separation": 1.3, "distance": 0.7})
def _(separation, distance):
    return separation / distance / 2


@printed("projection.normal_offset", {"base": [[1.3, -0.7]], "normal": [[0.2, 0.6]], "reach": 0.9})
def _(base, normal, reach):
    return base[0], mp.hypot(*normal[0])


@printed(
    "projection.oracle_denoising",
    {"sigma": 0.7, "tangent": 0.45, "normal": 0.8, "reach": 1.3},
    {"sigma": 0.7, "tangent": 1.45, "normal": 1.8, "reach": 1.3},
    {"sigma": 1.0, "tangent": 0.0, "normal": 1.3, "reach": 1.3},
)
def _(sigma, tangent, normal, reach):
    q = sigma * mp.hypot(tangent, normal)
    return (reach / (reach - q) * sigma * tangent, sigma * (normal - tangent), q) if q < reach else (mp.inf, 0, mp.inf)


@printed(
    "projection.oracle_denoising_whp",
    {"sigma": 0.7, "dimension": 3, "ambient": 11, "t": 1.7},
    {"sigma": 0.7, "dimension": 0, "ambient": 5, "t": 1.3},
    {"sigma": 0.7, "dimension": 3, "ambient": 4, "t": 0.6},
)
def _(sigma, dimension, ambient, t):
    tail = mp.exp(-t * t / 2)
    root = mp.sqrt(ambient) + t
    below = mp.sqrt(ambient - dimension - 1) - t - (mp.sqrt(dimension) + t)
    return (
        2 * sigma * root,
        2 * sigma * (mp.sqrt(dimension) + t),
        max(1 - 2 * tail, 0),
        sigma * below,
        sigma * root,
        max(1 - 3 * tail, 0),
    )


@printed("projection.hull_denoiser_error", {"diameter": 1.3, "distance": 0.7})
def _(diameter, distance):
    return diameter / distance


@printed("projection.smoothed_distance_gradient", {"x": X, "denoised": S2})
def _(x, denoised):
    return [a - b for a, b in zip(x[0], denoised[0])]


@printed("projection.smoothed_distance_sandwich", {"distance": 1.3, "sigma": 0.7, "count": 5})
def _(distance, sigma, count):
    return distance * distance / 2 - sigma * sigma * mp.log(count), distance * distance / 2


NEAR = {"distance": 1.3, "sigma": 0.7, "count": 5, "eta": 0.3}


@printed("projection.near_set_radius", NEAR)
def _(distance, sigma, count, eta):
    return 1 + 2 * sigma**2 / distance**2 * (mp.exp(-1) + mp.log(count / eta))


@printed("projection.near_set_radius_half_log", NEAR)
def _(distance, sigma, count, eta):
    return 1 + 2 * sigma**2 / distance**2 * (mp.exp(-1) + mp.log(count / eta) / 2)


@printed(
    "projection.near_set_radius_exact",
    NEAR,
    {"distance": 1.0, "sigma": 1.2, "count": 1, "eta": 1.0},
    {"distance": 0.3, "sigma": 2.7, "count": 1, "eta": 1.0},
    {"distance": 0.3, "sigma": 2.7, "count": 5, "eta": 0.3},
)
def _(distance, sigma, count, eta):
    def excess(a):
        return (a * a - 1) * distance**2 / (2 * sigma**2) - mp.log(a + 1) - mp.log(count / eta)

    return mp.findroot(excess, (mp.mpf(1), mp.mpf(60)), solver="anderson", tol=mp.mpf(10) ** -60)


@printed(
    "projection.squared_w2_to_laws_on_set",
    {"distance": [0.3, 1.7, 0.6]},
    {"distance": [0.3, 1.7, 0.6], "weights": [0.2, 0.7, 0.1]},
)
def _(distance, weights=None):
    return mp.fsum(w * v * v for w, v in zip(weights or [mp.mpf(1) / len(distance)] * len(distance), distance))


# -------------------------------------------------------------------------------------------------------- proximal

FIELD = {"s": 0.3, "x": 1.7, "score_t": -0.25, "score": 0.4, "curvature": -0.65, "third": 0.7}
CONSTANTS = {"g": [0.07, 0.03, 0.11], "d": 3, "second_moment": 4.3, "L": 1.7, "H": 0.6}
SMOOTH = {"g": 0.3, "b": 0.7, "b_x": -0.4, "b_xx": 1.3, "b_s": 0.45, "f_x": 1.7, "f_xx": -0.6}


@printed(
    "proximal.prox_update", *({"x": 1.7, "z": -0.4, "g": 0.3, "scheme": s} for s in ("proximal_backward", "proximal_hybrid"))
)
def _(x, z, g, scheme):
    y = x + mp.sqrt(g) * z
    return (y / (1 - g / 2), g / (1 - g / 2)) if scheme == "proximal_backward" else (y + g * x / 2, g)


@printed(
    "proximal.interpolating_process",
    *(
        {"s": 0.3, "x": 1.7, "score": 0.4, "curvature": -0.65, "third": 0.7, "scheme": s, "y": 0.9}
        for s in ("proximal_backward", "proximal_hybrid")
    ),
)
def _(s, x, score, curvature, third, scheme, y):
    """Ito's formula: F' b + dF/ds + F''/(2 F'^2) is the drift of what F is equal to, here 0 or x_k/2."""
    backward = scheme == "proximal_backward"
    first = 1 - s * curvature - (s / 2 if backward else 0)
    change = -score - (x / 2 if backward else 0)
    return ((0 if backward else y / 2) - change + s * third / (2 * first**2)) / first, first


@printed("proximal.kl_derivative", {"weights": [0.3, 0.6], "r": [0.7, -1.3], "e": [0.45, 0.25], "diffusion_q": [1.7, 0.8]})
def _(weights, r, e, diffusion_q):
    terms = list(zip(weights, r, e, diffusion_q))
    return mp.fsum(w * (u * v - a * u * u / 2) for w, u, v, a in terms), mp.fsum(w * v * v / a / 2 for w, _, v, a in terms)


@printed("proximal.backward_error_field", FIELD)
def _(s, x, score_t, score, curvature, third):
    less = -s / 2 - s * curvature
    return less * x / 2, less**2 / (1 + less) * score_t / 2, score_t - score, s * third / (1 + less) ** 2 / 2


@printed("proximal.hybrid_error_field", FIELD)
def _(s, x, score_t, score, curvature, third):
    less = -s * curvature
    J = 1 + less
    a = mp.exp(-s / 2) / mp.sqrt(1 - mp.exp(-s))

    def field(Z):
        y = mp.exp(-s / 2) * x + mp.sqrt(1 - mp.exp(-s)) * Z
        first = (x - y) / 2 + less * x / 2 + less**2 / J * score_t / 2
        return first + (score_t - score) - (J - 1 / J) * a * Z / 2 + s / 2 * third / J**2

    return field(0), field(1) - field(0)


@printed("proximal.budget_inequality", {"initial": 0.7, "steps": [0.3, 1.6, 0.45]})
def _(initial, steps):
    return initial + mp.fsum(steps)


@printed(
    "proximal.forward_convergence",
    *({"T": T, "second_moment": 1.7, "d": 3} for T in (1e-12, 1e-9, 0.4, 2.2, 2.4, 7.0)),
    *({"T": T, "second_moment": 0.0, "d": 3} for T in (2.31, 9.0, 30.0)),
)
def _(T, second_moment, d):
    a = mp.exp(-T)
    return (a * second_moment + d * (-a - mp.log(1 - a))) / 2


def coefficient(d, second_moment, L, H):
    """Half the integral of (s alpha + (1 - s) beta)^2 over [0, 1], from the four terms of the proof."""
    B, D = L + mp.mpf(1) / 2, mp.mpf(max(d, second_moment))
    start = mp.fsum([B * mp.sqrt(D) / 2, B * mp.sqrt(d * L) / 2, 2 * d * H])
    end = mp.fsum([B * mp.sqrt(3 * d * L + D / 8), L * mp.sqrt(D) / 2, d * H / mp.mpf(2)])
    return mp.quad(lambda s: (s * start + (1 - s) * end) ** 2, [0, 1]) / 2


@printed("proximal.backward_kl", CONSTANTS, {**CONSTANTS, "second_moment": 1.3, "initial": 0.45})
def _(g, d, second_moment, L, H, initial=0):
    return initial + mp.fsum(v**3 for v in g) * coefficient(d, second_moment, L, H)


@printed("ddpm.ddpm_budget", {"initial": 0.3, "errors": [0.5, 0.4], "t": [2.0, 1.0, 0.25], "integrals": [0.2, 0.9]})
def _(initial, errors, t, integrals):
    frozen = [m * mp.quad(lambda u: u**-2, [low, high]) for m, high, low in zip(errors, t, t[1:])]
    return initial + (mp.fsum(frozen) - mp.fsum(integrals)) / 2


@printed("ddpm.ddpm_kl", {"second_moment": 1.7, "T": 30.0, "h": 0.2, "information": 2.5})
def _(second_moment, T, h, information):
    return (second_moment + 4 * T * h * information) / (2 * T)


@printed("ddpm.ddpm_kl_sharp", {"second_moment": 1.7, "T": 30.0, "h": 0.7, "information": 2.5})
def _(second_moment, T, h, information):
    # h / (1 - h) as a geometric series
    return second_moment / (2 * T) + mp.nsum(lambda k: h**k, [1, mp.inf]) * information / 2


@printed("ddpm.information_of_dimension", {"d": 3, "T": 30.0, "delta": 0.01})
def _(d, T, delta):
    return d + mp.quad(lambda t: d / t, [delta, 1, T])


@printed("ddpm.information_of_entropy", {"mutual_information": 1.3})
def _(mutual_information):
    return mutual_information / mp.mpf("0.5")


@printed("ddpm.information_of_covering", {"count": 12})
def _(count):
    return mp.quad(lambda u: 1 / u, [1, count]) + mp.mpf(1) / 2


@printed("ddpm.smoothing_kl", {"beta": 1.3, "delta": 0.2, "d": 4})
def _(beta, delta, d):
    # the mean of beta |u|^2 / 2 under N(0, delta I)
    return mp.fsum(beta * delta / 2 for _ in range(d))


@printed("proximal.score_second_moment", {"d": 7, "L": 1.7})
def _(d, L):
    # the mean of |x|^2 L^2 under N(0, I / L)
    return mp.fsum(L**2 / L for _ in range(d))


@printed("proximal_dimension.mean_grad_laplacian", {"d": 7, "L": 1.7})
def _(d, L):
    return mp.sqrt(d * L) * L


@printed("proximal_dimension.score_energy", {"d": 7, "L": 1.7})
def _(d, L):
    # the second moment of (|x|^2 - d / L) L^2 under N(0, I / L)
    return L**4 * (d * (d + 2) / L**2 - 2 * d**2 / L**2 + d**2 / L**2)


@printed("proximal_dimension.score_speed", {"start": 2.5, "end": 0.75})
def _(start, end):
    return mp.quad(lambda u: 1, [end, start]) / 4


@printed("proximal_dimension.grad_laplacian_integral", {"d": 5, "L": 1.3, "T": 2.1})
def _(d, L, T):
    energy = 2 * d * L**2
    speed = energy + mp.quad(lambda t: 2 * energy, [0, T])
    return 2 * speed + mp.quad(lambda t: 8 * (L * mp.sqrt(d * L)) ** 2, [0, T])


@printed(
    "proximal_dimension.backward_kl_dimension",
    {"N": 50, "T": 1.5, "d": 3, "second_moment": 4.3, "L": 1.7, "H": 0.6, "spread": 1.2},
    {"N": 50, "T": 1.5, "d": 3, "second_moment": 1.3, "L": 1.7, "H": 0.6, "spread": 1.0, "initial": 0.45},
)
def _(N, T, d, second_moment, L, H, spread, initial=0):
    g, q, D = T / N, (L + mp.mpf(1) / 2) ** 2, max(d, second_moment)
    speed = 2 * d * L**2 * (1 + 2 * T)
    # twice the integrals over one step of the terms (i) to (iv), then the sum over the steps
    plain = 2 * N * (g**3 / 3 * (q * D / 4 + q * d * L / 4) + g**3 * (q * (3 * d * L + D / 8) + q * D / 4))
    time = 2 * spread * mp.mpf(3) / 4 * g**2 / 2 * (2 * speed + 8 * d * L**3 * T)
    third = 2 * 2 * spread * g**2 / 3 * (2 * mp.exp((3 + 2 * L) * g) * speed + 8 * d * L**3 * T)
    ends = 2 * 2 * spread * g**3 / 3 * (d * H) ** 2 + 2 * N * 8 * g**5 / 5 * q * (d * H) ** 2
    return initial + plain + time + third + ends


@printed(
    "proximal.backward_steps",
    {"eps": 0.003, "T": 4.7, "d": 3, "second_moment": 4.3, "L": 1.7, "H": 0.6},
    {"eps": 1e-9, "T": 4.7, "d": 3, "second_moment": 4.3, "L": 1.7, "H": 0.6},
    {"eps": 1e4, "T": 4.7, "d": 3, "second_moment": 4.3, "L": 1.7, "H": 0.6},
    {"eps": 1e4, "T": 3.0, "d": 3, "second_moment": 4.3, "L": 0.5, "H": 0.6},  # 6 exactly
)
def _(eps, T, d, second_moment, L, H):
    return mp.ceil(max(T**1.5 * mp.sqrt(coefficient(d, second_moment, L, H) / eps), 2 * T * (L + 0.5)))


@printed("proximal.hybrid_trajectory_kl", CONSTANTS, {**CONSTANTS, "second_moment": 1.3, "initial": 0.45})
def _(g, d, second_moment, L, H, initial=0):
    noise = d * mp.fsum(v**2 * (mp.mpf(1) / 2 + L + L * v * L / (2 * (1 - v * L))) ** 2 for v in g) / 4
    return initial + noise + coefficient(d, second_moment, L, H) * mp.fsum(v**3 for v in g)


@printed(
    "proximal.euler_maruyama_trajectory_kl",
    *(
        {k: v for k, v in {**CONSTANTS, **more}.items() if k != "H"}
        for more in ({}, {"second_moment": 1.3, "initial": 0.45})
    ),
)
def _(g, d, second_moment, L, initial=0):
    """Minkowski over the steps: the L2 norms of the two parts of e, each by an integral over every step."""
    D = max(d, second_moment)
    noise = mp.fsum(mp.quad(lambda s: s * d * (mp.mpf(1) / 2 + L) ** 2 / 2, [0, v]) for v in g)
    drift = mp.fsum(mp.quad(lambda s: s * s * D / 32, [0, v]) for v in g)
    return initial + noise + drift + 2 * mp.sqrt(noise * drift)


@printed("proximal.trajectory_leading", {"g": 0.3, "curvature_integral": 1.7})
def _(g, curvature_integral):
    return g * curvature_integral / 4


@printed(
    "proximal.kl_order",
    *(
        {"scheme": s, "which": w}
        for s in proximal.SCHEMES
        for w in ("marginal", "trajectory")
        if (s, w) != ("probability_flow", "trajectory")
    ),
)
def _(scheme, which):
    return -2 if which == "marginal" else -1


def gaussian_errors(scheme, S, mu=0):
    ratio = mp.log(S) / (S - 1) if S != 1 else mp.mpf(1)
    euler = mp.mpf(1) / 2 - S * S * ratio / 4, -mu * S * ratio / 8
    root = mp.sqrt(mp.mpc(S - 1))
    A = mp.re(mp.asinh(root) / root) if S != 1 else 1  # arsinh of an imaginary number is an arcsin
    return {
        "euler_maruyama": euler,
        "proximal_backward": (-euler[0], -euler[1]),
        "proximal_hybrid": (euler[0] - 1, euler[1]),
        "exponential_integrator": (mp.mpf(1) / 2, 0),
        "ddpm": ((1 - S) / 2, 0),
        "probability_flow": ((1 - S - S * mp.log(S)) / 4, -mu / 4 * mp.sqrt(S) * A),
    }[scheme]


printed(
    "proximal.gaussian_errors",
    *({"scheme": s, "S": S, "mu": 0.7} for s in proximal.SCHEMES for S in (0.3, 1.0, 1.4, 2.6)),
    *({"scheme": "euler_maruyama", "S": 1 + u, "mu": 0.7} for u in (9e-6, -9e-6, 1.1e-5)),
    *({"scheme": s, "S": 2.6} for s in proximal.SCHEMES),
)(gaussian_errors)


@printed(
    "proximal.gaussian_leading_kl",
    *({"scheme": s, "g": 0.3, "S": [0.3, 2.6], "mu": [0.7, -1.3]} for s in proximal.SCHEMES),
    {"scheme": "proximal_hybrid", "g": 0.3, "S": [0.3, 2.6]},
)
def _(scheme, g, S, mu=(0, 0)):
    terms = [(s, *gaussian_errors(scheme, s, m)) for s, m in zip(S, mu)]
    return g * g * mp.fsum((v / s) ** 2 / 4 + m * m / s / 2 for s, v, m in terms)


@printed(
    "proximal.standard_normal_variance",
    *(
        {"scheme": s, "g": g, "N": 3, **more}
        for s, g in (("euler_maruyama", 0.3), ("euler_maruyama", 3.1), ("proximal_backward", 0.7), ("proximal_hybrid", 2.7))
        for more in ({}, {"start": 1.6})
    ),
    {"scheme": "proximal_hybrid", "g": 2.7, "N": 0, "start": 1.6},
)
def _(scheme, g, N, start=1):
    factor, noise = {
        "euler_maruyama": (1 - g / 2, g),
        "proximal_backward": (1 / (1 + g / 2), g / (1 + g / 2) ** 2),
        "proximal_hybrid": ((1 + g / 2) / (1 + g), g / (1 + g) ** 2),
    }[scheme]
    value = mp.mpf(start)
    for _ in range(N):
        value = factor**2 * value + noise
    return value


@printed(
    "proximal.local_weak_error",
    *({"scheme": s, **SMOOTH} for s in ("euler_maruyama", "proximal_backward", "proximal_hybrid")),
)
def _(scheme, g, b, b_x, b_xx, b_s, f_x, f_xx):
    E = b * b_x * f_x + b_xx * f_x / 2 + b_s * f_x + b_x * f_xx
    return g * g / 2 * {"euler_maruyama": -E, "proximal_backward": E, "proximal_hybrid": E - b * f_x - f_xx}[scheme]


@printed(
    "proximal.step_threshold",
    *(
        {"scheme": s, "sup_curvature": k}
        for s in ("proximal_backward", "proximal_hybrid")
        for k in (1.7, -0.3, 0.0, -0.5, -1.6)
    ),
)
def _(scheme, sup_curvature):
    total = sup_curvature + (0.5 if scheme == "proximal_backward" else 0)
    return 1 / total if total > 0 else mp.inf


def lipschitz(variance, diameter, a):
    v, R = a * variance + 1 - a, mp.sqrt(a) * diameter
    return max(1 / v, R**2 / (4 * v * v) - 1 / v), R**3 / (6 * mp.sqrt(3) * v**3)


@printed(
    "proximal.mixture_lipschitz",
    {"variance": 0.3, "diameter": 1.7, "t": 0.6},
    {"variance": 1.3, "diameter": 0.6, "t": 0.6},
    {"variance": 0.3, "diameter": 1.7},
    {"variance": 1.3, "diameter": 0.6},
    {"variance": 0.0, "diameter": 1.7, "t": 0.6},
)
def _(variance, diameter, t=0):
    return lipschitz(variance, diameter, mp.exp(-t))


@printed(
    "proximal.matching_bias", {"zeta": 0.3, "d": 3, "hessian": [[-1.7, 0.4], [0.4, -0.6]], "grad_laplacian": [0.7, -1.3]}
)
def _(zeta, d, hessian, grad_laplacian):
    solved = mp.lu_solve(mp.matrix(hessian), mp.matrix(grad_laplacian))
    return [-d * zeta**2 / 4 * v for v in solved]


@pytest.mark.parametrize(
    ("v", "R", "horizon"),
    [
        (0.3, 1.7, 0.9),
        (0.3, 1.7, math.inf),
        (2.3, 1.4, math.inf),
        (6.0, 1.4, 1.3),
        (6.0, 9.0, math.inf),
        (6.0, 9.0, 1.5),
        (2.0, 2.0, 3.0),
        (1.6, 5.0, 0.4),
        (1.0, 1.7, math.inf),
        (1.5, math.sqrt(2), 3.0),
        (2.6, 0.0, math.inf),
        (0.4, 1.2, 0.0),
    ],
)
def test_suprema_over_time(v, R, horizon):
    """Against the largest of 20,001 values between the ends, which is at most 1e-6 below (squares of the spacing)."""
    L, H = proximal.mixture_constants(v, R) if horizon == math.inf else proximal.mixture_constants(v, R, horizon)
    values = [proximal._lipschitz(v, R, a) for a in np.linspace(math.exp(-horizon), 1.0, 20001)]
    top = [max(x) for x in zip(*values)]
    for found, least in zip((L, H), top):
        assert least * (1 - ROUNDINGS * EPS) <= found <= least * (1 + 1e-6)


# ------------------------------------------------------------------------------------------------ conditional mean

LEVELS = [1.7, 0.6, 0.25, 0.0]
FROM_TO = {"v": 1.7, "v_next": 0.6}


@printed("conditional_mean.mean_step", {"x": X, "denoised": S2, "alpha_bar": 0.3, "alpha_bar_next": 0.7})
def _(x, denoised, alpha_bar, alpha_bar_next):
    """In z = x / sqrt(abar) the step is rho z + (1 - rho) D, rho the ratio of the levels (1 - abar) / abar."""
    rho = (1 / alpha_bar_next - 1) / (1 / alpha_bar - 1)
    z = [v / mp.sqrt(alpha_bar) for v in x[0]]
    return [mp.sqrt(alpha_bar_next) * (rho * a + (1 - rho) * b) for a, b in zip(z, denoised[0])]


@printed("conditional_mean.one_step_exact", {"denoised": S2})
def _(denoised):
    return denoised


@printed(
    "conditional_mean.gaussian_chain",
    {"y": X, "mean": [0.6, -0.4], "eigenvalues": [1.3, 0.45], "eigenvectors": [[0.6, -0.8], [0.8, 0.6]], "v_hat": 0.7},
)
def _(y, mean, eigenvalues, eigenvectors, v_hat):
    U = mp.matrix(eigenvectors)
    D = mp.diag([v / (v + v_hat) for v in eigenvalues])
    return list(mp.matrix(mean) + U * D * U.T * (mp.matrix(y[0]) - mp.matrix(mean)))


@printed(
    "conditional_mean.jensen_identity", {"expected": [[[0.3, 1.6]], [[-0.7, 0.4]]], "at_mean": [[[0.9, 0.2]], [[1.1, -0.6]]]}
)
def _(expected, at_mean):
    return [mp.fsum(e[0][j] - a[0][j] for e, a in zip(expected, at_mean)) for j in range(2)]


@printed("conditional_mean.limit_ode", {"v": 0.7, "z": X, "denoised": S2})
def _(v, z, denoised):
    return [(a - b) / v for a, b in zip(z[0], denoised[0])]


@printed(
    "conditional_mean.gap_formula", {"v": [0.3, 1.6], "laplacian": [[[0.7, -0.4]], [[1.3, 0.45]]], "weights": [0.6, 1.1]}
)
def _(v, laplacian, weights):
    return [mp.fsum(w * row[0][j] for w, row in zip(weights, laplacian)) / 2 for j in range(2)]


@printed("conditional_mean.limit_is_cme_iff_gaussian", {"laplacian": [[0.3, -1.6], [0.7, 0.45]]})
def _(laplacian):
    return 1.6


@printed(
    "conditional_mean.long_first_step",
    {"v_hat": 1.7, "v_second": 0.6, "residual": 0.45, "growth": 1.3, "lam": 0.25},
    {"v_hat": 0.7, "v_second": 0.003, "residual": 1.6, "growth": 0.9, "lam": 2.1},
)
def _(v_hat, v_second, residual, growth, lam):
    """Moves in continuous time: h grows like exp of the integral of 1/(lam + v), and the moves are h/(lam + v) dv."""

    def speed(v):
        return growth * mp.exp(mp.quad(lambda w: 1 / (lam + w), [v, v_second])) / (lam + v)

    return (1 - (v_hat - v_second) / v_hat) * residual + mp.quad(speed, [0, v_second])


@printed("conditional_mean.small_noise_gap", {"v_hat": 0.7, "third": X})
def _(v_hat, third):
    return [v_hat * v_hat * t / 4 for t in third[0]]


@printed("conditional_mean.two_point_plateau", {"snr": 0.7}, {"snr": 6.3}, {"snr": 0.7, "nodes": 401})
def _(snr, nodes=None):
    def lost(g):
        return (1 - mp.tanh(snr + mp.sqrt(snr) * g)) * mp.npdf(g)

    return 4 * mp.ncdf(-mp.sqrt(snr)), mp.quad(lost, mp.linspace(-14, 14, 15))


@printed("conditional_mean.two_point_every_grid", {"y": 0.45, "v_hat": 1.7, "v_1": 0.6})
def _(y, v_hat, v_1):
    """The chain v_hat, v_1, 0 step by step."""
    z = v_1 / v_hat * y + (1 - v_1 / v_hat) * mp.tanh(y / v_hat)
    return mp.tanh(z / v_1)


@printed(
    "conditional_mean.schedules_share_the_limit",
    {"T": 7, "gamma": 0.6},
    {"T": 7, "gamma": 1.3, "c": 0.45},
    {"T": 4, "gamma": 0.0, "c": 1.6},
    {"T": 4, "gamma": 0.5, "c": 2.0},
    {"T": 300, "gamma": 0.0, "c": 0.9},
)
def _(T, gamma, c=1):
    top = c * mp.mpf(T) ** -gamma
    value = mp.expm1(top * (T + 1) / 2 / (1 - top)) if top < 1 else mp.inf
    return value if value < mp.mpf(10) ** 304 else mp.inf


@printed("conditional_mean.step_slope_lower", {"alpha_bar": 0.3, "alpha_bar_next": 0.7})
def _(alpha_bar, alpha_bar_next):
    return mp.sqrt(alpha_bar / alpha_bar_next) * (1 - alpha_bar_next) / (1 - alpha_bar)


@printed("conditional_mean.step_slope_log_concave", {**FROM_TO, "m": 0.45}, FROM_TO)
def _(v, v_next, m=0):
    """rho + (1 - rho) C / v at the largest C, v / (1 + m v)."""
    return v_next / v + (1 - v_next / v) / (1 + m * v)


@printed("conditional_mean.step_slope_bounded_support", {**FROM_TO, "radius": 1.3})
def _(v, v_next, radius):
    return (v_next + (v - v_next) * radius * radius / v) / v


@printed("conditional_mean.stepwise_error", {"delta": 0.3, "slopes": [1.6, 0.7, 0.45, 1.3]})
def _(delta, slopes):
    error = mp.mpf(0)
    for s in slopes:
        error = s * error + delta
    return error


@printed(
    "conditional_mean.resampling_variance",
    *({"v": LEVELS, "lam": 0.7, "kernel": k} for k in ("small", "large", "exact")),
    {"v": LEVELS, "lam": 0.7},
)
def _(v, lam, kernel="small"):
    """The recursion of the variance of the state: a step multiplies it by the squared slope and adds its noise."""
    value = mp.mpf(0)
    for s, r in itertools.pairwise(v):
        noise = {"small": r / s, "large": (1 + r) / (1 + s) if r else 0, "exact": (lam + r) / (lam + s)}[kernel] * (s - r)
        value = ((lam + r) / (lam + s)) ** 2 * value + noise
    return value


@printed("conditional_mean.exact_resampling", {"mmse": 0.7, "runs": 3}, {"mmse": 0.7})
def _(mmse, runs=1):
    return mmse + mmse / runs


@printed("conditional_mean.averaged_resampling", {"mmse": 0.7, "runs": 3}, {"mmse": 0.7})
def _(mmse, runs=1):
    return mmse + mmse / runs


@printed("conditional_mean.generation_collapse", {"v_T": 1.7, "lam": 0.6}, {"v_T": 1.7})
def _(v_T, lam=1):
    return mp.sqrt(1 + v_T) / (1 + v_T / lam)


@printed("conditional_mean.snr_mismatch", {"y": 0.45, "mean": 0.3, "lam": 0.6, "level": 1.7, "v_hat": 1.3})
def _(y, mean, lam, level, v_hat):
    """The conditional mean at level v' of what the chain takes for its observation there."""
    z = mp.sqrt(1 + level) * y / mp.sqrt(1 + v_hat)
    return (lam * z + level * mean) / (lam + level)


@printed("conditional_mean.ddim_as_denoiser", {"lam": 0.6, "v_hat": 1.3})
def _(lam, v_hat):
    return (mp.sqrt(lam) - lam / mp.sqrt(lam + v_hat)) ** 2


@printed("conditional_mean.orthogonality", {"mmse": 0.7, "excess": 0.45})
def _(mmse, excess):
    return mmse + excess


# --------------------------------------------------------------------------------------------------- log-concavity

KL = {"kl_start": 1.3, "information_start": 0.6}


@printed("log_concavity.ula_gaussian_variance", {"lam": 0.7, "gamma": 0.3})
def _(lam, gamma):
    return 2 * gamma / (1 - (1 - gamma / lam) ** 2)


@printed("log_concavity.ula_strongly_log_concave", {"k": 5, "h": 0.3, "a": 0.45, "L": 1.7, "dim": 3, "w2_start": 1.3})
def _(k, h, a, L, dim, w2_start):
    return (1 - a * h) ** k * w2_start + mp.mpf("1.65") * L / a * mp.sqrt(h * dim)


@printed("log_concavity.ula_log_sobolev", {"k": 5, "h": 0.04, "a": 0.7, "L": 1.3, "dim": 3, "kl_start": 1.7})
def _(k, h, a, L, dim, kl_start):
    return kl_start / mp.exp(a * h) ** k + 6 * dim * h * L * L / a


@printed("log_concavity.langevin_contraction", {"t": 0.3, "a": 0.45, "w2_start": 1.3, "kl_start": 1.7})
def _(t, a, w2_start, kl_start):
    return w2_start / mp.exp(a * t), kl_start / mp.exp(a * t) ** 2


@printed("log_concavity.ornstein_uhlenbeck_level", {"t": 0.3}, {"t": 0.0})
def _(t):
    return mp.exp(-t), mp.sqrt(1 - mp.exp(-t) ** 2)


@printed("log_concavity.forward_mixing", {"T": 0.3, "w2_start": 1.3, "kl_start": 1.7})
def _(T, w2_start, kl_start):
    return w2_start / mp.exp(T), kl_start / mp.exp(T) ** 2


@printed("log_concavity.backward_drift", {"y": X, "score": S2})
def _(y, score):
    return [a + b + b for a, b in zip(y[0], score[0])]


@printed(
    "log_concavity.backward_euler_maruyama_gaussian",
    {"mean": 0.7, "variance": 0.45, "T": 1.3, "N": 3},
    {"mean": 0.7, "variance": 0.45, "T": 1.3, "N": 1},
)
def _(mean, variance, T, N):
    h, m, v = T / N, mp.mpf(0), mp.mpf(1)
    for k in range(N):
        a = mp.exp(-(T - h * k))
        rho = a * a * variance + 1 - a * a
        m, v = m + h * m - 2 * h * (m - a * mean) / rho, (1 + h - 2 * h / rho) ** 2 * v + 2 * h
    return m, v


@printed("log_concavity.rescaled_score", {"score_of_noised": X, "t": 0.3})
def _(score_of_noised, t):
    return [mp.exp(t) * v for v in score_of_noised[0]]


@printed("log_concavity.backward_noise_levels", {"T": 1.3, "N": 3})
def _(T, N):
    return [mp.sqrt(mp.exp(2 * (T - T * k / N)) - 1) for k in range(N + 1)]


@printed(
    "log_concavity.denoiser_lipschitz",
    {"covariance": MATRIX, "v": 0.3},
    {"covariance": [[[0.9, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.3, 0.7]]], "v": 0.3},
)
def _(covariance, v):
    return max(mp.eigsy(mp.matrix(covariance[0]))[0]) / v


@printed(
    "log_concavity.posterior_covariance_derivative",
    {
        "weights": [[0.2, 0.5, 0.3]],
        "deviations": [[[0.3, 1.6], [-0.7, 0.4], [0.9, -0.2]]],
        "u": [0.6, -1.3],
        "w": [0.45, 1.1],
        "v": 0.7,
    },
)
def _(weights, deviations, u, w, v):
    def dot(a, b):
        return a[0] * b[0] + a[1] * b[1]

    return mp.fsum(p * dot(w, z) * dot(u, z) ** 2 for p, z in zip(weights[0], deviations[0])) / v


@printed("log_concavity.score_matching_objective", {"score": X, "laplacian": [0.7]})
def _(score, laplacian):
    return mp.fsum(v * v for v in score[0]) + laplacian[0] + laplacian[0]


@printed("log_concavity.denoising_score_matching", {"mmse": 1.3, "v": 0.7, "score_error": 0.45})
def _(mmse, v, score_error):
    return mmse + v * v * score_error


@printed("log_concavity.mean_covariance_derivative", {"mean_squared_covariance": MATRIX[0], "v": 0.7})
def _(mean_squared_covariance, v):
    return [u / v / v for row in mean_squared_covariance for u in row]


@printed(
    "log_concavity.joint_log_density",
    {
        "log_q_of_mean": [0.6, 1.7],
        "y": [[[0.3, 1.6], [-0.7, 0.4], [0.9, -0.2]], [[0.2, 0.6], [-1.7, 1.4], [0.7, -0.8]]],
        "sigma": 0.7,
    },
)
def _(log_q_of_mean, y, sigma):
    m, d = len(y[0]), 2
    c = -(m - 1) * d * mp.log(2 * mp.pi * sigma**2) / 2 - d * mp.log(m) / 2
    values = []
    for q, rows in zip(log_q_of_mean, y):
        mean = [mp.fsum(row[j] for row in rows) / m for j in range(d)]
        squares = mp.fsum(v * v for row in rows for v in row) / m
        values.append(q + m / (2 * sigma**2) * (mp.fsum(v * v for v in mean) - squares) + c)
    return values


@printed("log_concavity.multi_measurement_mean", {"mean": X, "score_of_mean": S2, "m": 3, "sigma": 0.7})
def _(mean, score_of_mean, m, sigma):
    return [a + sigma * sigma * b / m for a, b in zip(mean[0], score_of_mean[0])]


@printed("log_concavity.next_measurement_score", {"posterior_mean": X, "y": S2, "sigma": 0.7})
def _(posterior_mean, y, sigma):
    return [(a - b) / sigma / sigma for a, b in zip(posterior_mean[0], y[0])]


@printed("log_concavity.next_measurement_hessian", {"posterior_covariance": MATRIX, "sigma": 0.7})
def _(posterior_covariance, sigma):
    return [v / sigma**4 - (i == j) / sigma**2 for i, row in enumerate(posterior_covariance[0]) for j, v in enumerate(row)]


@printed("log_concavity.posterior_mean_w2", {"m": 5, "sigma": 0.7, "dim": 3})
def _(m, sigma, dim):
    return sigma * sigma * dim / m


@printed(
    "log_concavity.posterior_mean_w2_sandwich",
    {"covariance": [[1.3, 0.4], [0.4, 0.6]], "mean_posterior_covariance": [[0.3, 0.1], [0.1, 0.25]]},
)
def _(covariance, mean_posterior_covariance):
    """The eigenvalues of Lambda hat-Lambda are those of its symmetrised form."""
    L, C = mp.matrix(covariance), mp.matrix(mean_posterior_covariance)
    H = L - C
    values = mp.eig(L * H, left=False, right=False)
    trace = lambda M: M[0, 0] + M[1, 1]  # noqa: E731
    return trace(L) + trace(H) - 2 * mp.fsum(mp.sqrt(mp.re(v)) for v in values), trace(C)


@printed(
    "log_concavity.curvature_covariance_bounds",
    {"a": 0.45, "b": 1.7, "m": 3, "sigma": 0.7},
    {"a": -0.45, "b": math.inf, "m": 3, "sigma": 0.7},
)
def _(a, b, m, sigma):
    return sigma**2 / (b * sigma**2 + m), sigma**2 / (a * sigma**2 + m)


@printed("log_concavity.fisher_information_w2", {"information": 1.3, "m": 5, "sigma": 0.7})
def _(information, m, sigma):
    return mp.mpf(3) / 2 * sigma * sigma / m * mp.sqrt(information)


@printed("log_concavity.linear_estimator_mmse", {"covariance": MATRIX[0], "m": 3, "sigma": 0.7})
def _(covariance, m, sigma):
    s, L = sigma**2 / m, mp.matrix(covariance)
    product = s * L * mp.inverse(L + s * mp.eye(2))
    return product[0, 0] + product[1, 1]


@printed(
    "log_concavity.expected_next_covariance",
    {"posterior_covariance": MATRIX[0], "covariance_of_next_mean": [[0.1, 0.05], [0.05, 0.2]]},
)
def _(posterior_covariance, covariance_of_next_mean):
    return [a - b for p, q in zip(posterior_covariance, covariance_of_next_mean) for a, b in zip(p, q)]


@printed(
    "log_concavity.predictive_moments", {"posterior_mean": [0.3, -1.7], "posterior_covariance": MATRIX[0], "sigma": 0.7}
)
def _(posterior_mean, posterior_covariance, sigma):
    return posterior_mean, [v + (i == j) * sigma**2 for i, row in enumerate(posterior_covariance) for j, v in enumerate(row)]


@printed("log_concavity.chain_rule_of_measurements", {"conditional_log_densities": [[0.3, 1.6], [-0.7, 0.4], [0.9, -0.2]]})
def _(conditional_log_densities):
    return [mp.fsum(c) for c in zip(*conditional_log_densities)]


@printed("log_concavity.expected_conditional_curvature", {"m": 3, "sigma": 0.7})
def _(m, sigma):
    return (m - 1) / (m * sigma**2), 1 / sigma**2


@printed("log_concavity.equivalent_sigma", {"sigma": 0.7, "m": 3, "m_new": 5})
def _(sigma, m, m_new):
    return mp.sqrt(sigma**2 / m * m_new)


@printed("log_concavity.conforti_kl", {"T": 0.3, "h": 0.45, **KL})
def _(T, h, kl_start, information_start):
    return kl_start / mp.exp(T) ** 2 + h * information_start


@printed("log_concavity.restricted_gaussian_oracle_contraction", {"a": 0.45, "h": 0.3})
def _(a, h):
    return 1 / (1 + a * h), 1 / (1 + 2 * a * h + (a * h) ** 2)


@printed("log_concavity.heun_gaussian_error", {"sigma": [0.6, 1.7], "slope": [0.45, -1.3], "weights": [0.3, 0.7], "s": 0.8})
def _(sigma, slope, weights, s):
    def a(u):
        return u / (s * s + u * u)

    return mp.fsum(w * p**3 * (mp.diff(a, u, 2) / 12 - a(u) ** 3 / 6) for u, p, w in zip(sigma, slope, weights))


@printed("log_concavity.score_error_kl", {"T": 1.3, "errors": [0.7, 0.3, 0.45], **KL})
def _(T, errors, kl_start, information_start):
    h = T / len(errors)
    total = kl_start * mp.exp(-2 * T) + h * information_start
    for k, e in enumerate(errors):
        total += h * e * e + 2 * (mp.exp(h) - 1 - h) * mp.exp(-(T - k * h)) * mp.sqrt(information_start) * e
    return total


@printed(
    "log_concavity.early_stopping_w2",
    {"eps": 0.3, "dim": 3, "second_moment": 1.7},
    {"eps": 0.3, "dim": 3, "second_moment": 1.7, "information": 0.6},
    {"eps": 0.3, "dim": 3, "second_moment": 1.7, "information": 99.0},
    {"eps": 0.0, "dim": 3, "second_moment": 1.7},
)
def _(eps, dim, second_moment, information=mp.inf):
    lost = 1 - mp.exp(-eps)
    return min(
        mp.sqrt(lost**2 * second_moment + (1 - mp.exp(-2 * eps)) * dim), lost * mp.sqrt(information) if eps else mp.inf
    )


@printed(
    "log_concavity.log_concavity_window",
    {"R": 1.7, "tau2": 0.6},
    {"R": 1.1, "tau2": 0.6},
    {"R": 0.7, "tau2": 0.6},
    {"R": 0.5, "tau2": 0.25},
)
def _(R, tau2):
    gap = R * R - tau2
    return max(gap, 0), tau2 * tau2 / gap if gap > 0 else mp.inf


@printed(
    "log_concavity.strongly_log_concave_w2",
    *({"T": T, "alpha": a, "w2_start": 1.3, "score_error": 0.45} for T in (0.3, 2.6) for a in (0.35, 1.0, 1.7, 40.0)),
    {"T": 0.3, "alpha": 0.35, "w2_start": 1.3},
    {"T": 1e-6, "alpha": 1.7, "w2_start": 0.0, "score_error": 0.45},
    {"T": 9.0, "alpha": 1e8, "w2_start": 0.0, "score_error": 0.45},
    {"T": 0.0, "alpha": 0.35, "w2_start": 1.3, "score_error": 0.45},
)
def _(T, alpha, w2_start, score_error=0):
    def D(t):
        return 1 + alpha * (mp.exp(2 * t) - 1)

    where = mp.linspace(0, T, 9) if T else [0, 0]
    stochastic, flow = (mp.quad(lambda t, p=p: mp.exp(t) / D(t) ** p, where) for p in (1, mp.mpf(1) / 2))
    return w2_start / D(T) + 2 * score_error * stochastic, w2_start / mp.sqrt(D(T)) + score_error * flow


# ---------------------------------------------------------------------------------------- log-concavity, thresholds

BALL = {"sigma2": 0.7, "tau2": 0.45, "R": 0.8}


@printed("log_concavity_thresholds.largest_curvature", {"posterior_variance": 1.3, "v": 0.7})
def _(posterior_variance, v):
    return posterior_variance / v / v - 1 / v


@printed("log_concavity_thresholds.smoothed_threshold", {"threshold": 1.3, "tau2": 0.45}, {"threshold": 0.3, "tau2": 0.45})
def _(threshold, tau2):
    return max(0, threshold - tau2)


@printed("log_concavity_thresholds.radius_threshold", {"R": 1.3, "tau2": 0.45}, {"R": 0.6, "tau2": 0.45}, {"R": 1.3})
def _(R, tau2=0):
    return max(0, R * R - tau2)


@printed("log_concavity_thresholds.half_diameter_threshold", {"D": 1.7, "tau2": 0.45}, {"D": 0.6, "tau2": 0.45}, {"D": 1.7})
def _(D, tau2=0):
    return max(0, (D / 2) ** 2 - tau2)


@printed("log_concavity_thresholds.atoms_threshold", {"edge": 1.3, "D": 1.7})
def _(edge, D):
    return (edge / 2) ** 2, (D / 2) ** 2


@printed("log_concavity_thresholds.two_gaussians_curvature", {"mu_norm": 1.3, "v": 0.7, "projection": 0.45, "w": 0.3})
def _(mu_norm, v, projection, w):
    """Second derivative along mu of the logarithm of the mixture."""

    def log(u):
        return mp.log(w * mp.exp(-((u - mu_norm) ** 2) / (2 * v)) + (1 - w) * mp.exp(-((u + mu_norm) ** 2) / (2 * v)))

    return mp.diff(log, projection / mu_norm, 2)


@printed(
    "log_concavity_thresholds.unimodality_margin",
    {"ratio": 1.7, "w": 0.3},
    {"ratio": 0.7, "w": 0.3},
    {"ratio": 1.0, "w": 0.8},
)
def _(ratio, w):
    c = abs(mp.log(w / (1 - w)) / 2)
    return c - (ratio * mp.sqrt(ratio**2 - 1) - mp.acosh(ratio) if ratio > 1 else 0)


@printed(
    "log_concavity_thresholds.condition_number",
    {"m": 1, **BALL},
    {"m": 3, **BALL},
    {"m": 1, "sigma2": 0.75, "tau2": 0.25, "R": 1.0},
)
def _(m, sigma2, tau2, R):
    lost = R**2 * sigma2 / ((sigma2 + m * tau2) * (sigma2 + (m - 1) * tau2))
    return 1 / (1 - lost) if lost < 1 else mp.inf


@printed("log_concavity_thresholds.curvature_lower_bound", {"m": 1, **BALL}, {"m": 3, **BALL})
def zeta(m, sigma2, tau2, R):
    A = sigma2 + m * tau2
    return (A - tau2) / (sigma2 * A) - (R / A) ** 2


printed("log_concavity_thresholds.spectral_gap_lower_bound", {"m": 1, **BALL}, {"m": 3, **BALL})(zeta)


@printed("log_concavity_thresholds.once_log_concave", {"m": 3, "sigma2": 0.7})
def _(m, sigma2):
    return sigma2 / m


@printed("log_concavity_thresholds.all_at_once_curvature", {"m": 3, "sigma2": 0.7, "posterior_variance": 0.45})
def _(m, sigma2, posterior_variance):
    return m * posterior_variance / sigma2**2 - 1 / sigma2


@printed("log_concavity_thresholds.blurring_threshold", {"D": 1.7})
def _(D):
    return (D / 2) ** 2


@printed("log_concavity_thresholds.sphere_threshold", {"R": 1.3, "d": 3})
def _(R, d):
    return R * R / d


@printed(
    "log_concavity_thresholds.all_at_once_condition", *({"m": m, "sigma2": 0.7, "tau2": [0.45, 1.3, 0.2]} for m in (1, 2, 5))
)
def _(m, sigma2, tau2):
    """Eigenvalues of the covariance: sigma^2 on the contrasts (none for m = 1), sigma^2 + m tau^2 on the means."""
    values = [sigma2 + m * v for v in tau2] + [sigma2] * (m > 1)
    return max(values) / min(values)


@printed(
    "log_concavity_thresholds.one_at_a_time_condition", *({"t": t, "sigma2": 0.7, "tau2": [0.45, 1.3, 0.2]} for t in (1, 3))
)
def _(t, sigma2, tau2):
    values = [sigma2 * (sigma2 + t * v) / (sigma2 + (t - 1) * v) for v in tau2]
    return max(values) / min(values)


@printed("log_concavity_thresholds.gaussian_jump_w2", {"m": 3, "sigma2": 0.7, "tau2": [0.45, 1.3, 0.0]})
def _(m, sigma2, tau2):
    s = sigma2 / m
    return mp.sqrt(mp.fsum((mp.sqrt(v) - v / mp.sqrt(v + s)) ** 2 for v in tau2))


@printed(
    "log_concavity_thresholds.ula_chain_variance",
    *({"tau2": 1.3, "m": m, "sigma2": 0.7, "steps": n, "step": 0.3} for m, n in ((1, 1), (3, 1), (3, 4))),
)
def _(tau2, m, sigma2, steps, step):
    """Coefficients of S_m on every draw: each inner step is y <- y + h sigma^2 score(y) + sqrt(2 h sigma^2) xi."""
    variance = mp.mpf(0)  # of S
    for t in range(1, m + 1):
        posterior = 1 / (1 / tau2 + t / sigma2)
        gain = posterior / sigma2  # E[X | S] = gain S, with t measurements
        before = 1 / (1 / tau2 + (t - 1) / sigma2) / sigma2 if t > 1 else 0
        y_on_s, noise = before, sigma2  # y = before S + noise
        for _ in range(steps):
            r = 1 + step * (gain - 1)
            y_on_s, noise = r * y_on_s + step * gain, r * r * noise + 2 * step * sigma2
        variance = (1 + y_on_s) ** 2 * variance + noise
    return (1 / (1 / tau2 + m / sigma2) / sigma2) ** 2 * variance


@printed("log_concavity_thresholds.chain_total_variance", {"variance": 1.3, "m": 3, "sigma2": 0.7})
def _(variance, m, sigma2):
    return m * (m * variance + sigma2)


@evaluated("log_concavity_thresholds.splitting_map")
def test_splitting_map():
    """The four assignments of the docstring one after another, with a score that is not linear."""
    y, v, unit, step, friction, xi = 0.45, 1.3, 0.7, 0.3, 0.6, -1.6
    found = log_concavity_thresholds.splitting_map(y, v, lambda u: np.sin(u) - 2 * u, unit, step, friction, xi)
    with mp.workdps(40):
        y, v, unit, step, friction, xi = (mp.mpf(u) for u in (y, v, unit, step, friction, xi))
        zeta = mp.exp(-friction)
        y += step / 2 * v
        g = mp.sin(y) - 2 * y
        v += unit * step / 2 * g
        v = zeta * v + unit * step / 2 * g + mp.sqrt(unit * (1 - zeta**2)) * xi
        expected = float(y + step / 2 * v), float(v)
    np.testing.assert_allclose(found, expected, rtol=ROUNDINGS * EPS)


@printed("log_concavity_thresholds.splitting_stationary_covariance", {"k": 1.3, "unit": 0.7, "step": 0.6})
def _(k, unit, step):
    return 1 / k, 0, 1 / (1 / unit - step**2 * k / 4)


@printed(
    "log_concavity_thresholds.score_estimator",
    {"log_values": [0.3, -0.7, 1.6], "eps": [[0.45, 1.3], [-0.6, 0.2], [0.9, -1.1]], "s": 0.7},
    {
        "log_values": [[800.3, 799.0, 801.6], [-900.0, -899.5, -1e4]],
        "eps": [[[0.45, 1.3], [-0.6, 0.2], [0.9, -1.1]]] * 2,
        "s": 0.7,
    },
)
def estimate(log_values, eps, s):
    if isinstance(log_values[0], list):  # a batch
        return [estimate(v, e, s) for v, e in zip(log_values, eps)]
    p = [mp.exp(v) for v in log_values]
    return [mp.fsum(w * e[j] for w, e in zip(p, eps)) / mp.fsum(p) / mp.sqrt(s) for j in range(2)]


@printed(
    "log_concavity_thresholds.end_to_end",
    {"jump_w2": 0.3, "eta": [0.6, 0.2, 0.45], **BALL},
    {"jump_w2": 0.3, "eta": [0.6, 0.2], "sigma2": 0.7, "tau2": 0.45, "R": 1.7},
    {"jump_w2": 0.3, "eta": [0.6], "sigma2": 1.0, "tau2": 0.0, "R": 1.0},
)
def _(jump_w2, eta, sigma2, tau2, R):
    m = len(eta)
    c = [tau2 * sigma2 / (sigma2 + t * tau2) + (sigma2 * R / (sigma2 + t * tau2)) ** 2 for t in range(1, m + 1)]
    if max(c) >= sigma2:
        return mp.inf
    terms = [e * mp.fprod(1 / (1 - c[r] / sigma2) for r in range(t + 1, m)) for t, e in enumerate(eta)]
    return jump_w2 + c[-1] / sigma2 * mp.fsum(terms)


@printed("log_concavity_thresholds.tunnelling_leak", {"T": 1.3, "mass": 0.45, "slack": 0.07, "resistance": 6.0})
def _(T, mass, slack, resistance):
    return slack / mass + T / (resistance * mass)


@printed("log_concavity_thresholds.mode_weight_floor", {"R": 1.3, "w": 0.3, "n": 7})
def _(R, w, n):
    return 2 * R * mp.sqrt(mp.sqrt(w * (1 - w) / n))


@printed("log_concavity_thresholds.decoupled_radius", {"d": 3, "delta": 1.7}, {"d": 5})
def _(d, delta=6):
    return delta / 2 * mp.sqrt(d)


# ------------------------------------------------------------------------------------------- conditions, on their edge


def test_definition_and_one_line_test_of_admissibility_on_the_edge():
    """In fractions: nu exactly the smallest one, a little less, and the case where both inequalities are equalities."""
    beta, eta = [Fraction(1, 5), Fraction(2, 5), Fraction(1, 7)], Fraction(1, 3)
    smallest = 1 / math.prod(1 - eta * b / (1 - b) for b in beta)
    assert projection.admissible_by_definition(beta, eta, smallest)
    assert not projection.admissible_by_definition(beta, eta, smallest * (1 - Fraction(1, 10**15)))
    assert projection.admissible_by_definition(beta, Fraction(0), Fraction(1))
    assert not projection.admissible_by_definition([Fraction(1)], eta, Fraction(5)), "a full step"
    beta9 = [Fraction(9, 10)] * 2  # long steps, a small eta
    assert projection.admissible_by_definition(beta9, Fraction(1, 100), 1 / (1 - Fraction(9, 100)) ** 2)
    # two negative factors: the full products satisfy both inequalities, the first partial one does not
    assert not projection.admissible_by_definition([Fraction(9, 10)] * 2, Fraction(1, 2), Fraction(1000))
    numbers = [float(b) for b in beta]
    assert projection.is_admissible(numbers, 1 / 3, float(smallest))
    assert not projection.is_admissible(numbers, 1 / 3, float(smallest) * (1 - 1e-13))
    assert projection.is_admissible(numbers, 0.0, 1.0)
    assert projection.is_admissible([1.0], 0.0, 1.0)
    assert projection.admissibility([0.3, 1.0], 0.0, 1.7) == math.log(1.7)
    assert projection.admissibility([0.6], 0.9, 5.0) == -math.inf
    assert not projection.is_admissible([1.0], 0.3, 5.0)
    assert not projection.is_admissible([0.9, 0.9], 0.5, 1000.0)
    assert not projection.is_admissible([0.75], 1 / 3, 1000.0), "eta rho = 1: a factor is 0"
    # eta rho is 1 to an ulp or some: the allowance for the logarithm is 8 and 1.3 there
    for last, nu in ((2 / 3, 1e13), (math.nextafter(2 / 3, 0), 4.5e14)):
        assert not projection.is_admissible([last], 0.5, nu)
        assert not projection.admissible_by_definition([Fraction(last)], Fraction(1, 2), Fraction(nu))


def test_largest_admissible_eta_is_the_last_number():
    eta = projection.largest_admissible_eta(STEPS, 1.7)
    assert (
        projection.admissibility_excess(STEPS, eta, 1.7)
        <= 0
        < projection.admissibility_excess(STEPS, math.nextafter(eta, 1), 1.7)
    )
    assert projection.largest_admissible_eta([0.3, 1.0], 1.7) == 0.0
    assert projection.largest_admissible_eta([0.0], 1.7) == DOWN


def test_edge_of_the_band_and_of_uniqueness():
    """d = 4, sqrt(n) sigma = 2 and the reverse: the usage is 2 exactly."""
    for distance, sigma in ((4.0, 1.0), (1.0, 1.0)):
        assert projection.band_usage(np.array([distance]), sigma, 4).item() == 2.0
        assert projection.band_ok(np.array([distance]), sigma, 4, 2.0).item()
        assert not projection.band_ok(np.array([distance]), sigma, 4, 2.0 * DOWN).item()
        assert projection.band_ok(np.array([distance]), sigma, 4, 2.0 * DOWN, EPS).item()
        assert not projection.band_ok(np.array([distance]), sigma, 4, 1.5, 0.3).item()
    assert projection.projection_is_unique(np.array([0.0, TINY, 0.5]), 2.0).tolist() == [False, True, True]
    assert projection.projection_is_unique(np.array([0.5, 0.5 * UP]), 2.0, 0.25).tolist() == [False, True]


def test_columns_are_trajectories():
    beta, eta, distance = np.array([[0.2, 0.45], [0.15, 0.3], [0.35, 0.9]]), np.array([0.35, 0.6]), np.array([1.7, 0.4])
    pairs = (
        (projection.ddim_distance_sandwich(distance, beta, eta), np.broadcast_to(eta, beta.shape)),
        (projection.a_posteriori_sandwich(distance, beta, beta[:, ::-1] + 0.7), beta[:, ::-1] + 0.7),
        (projection.a_posteriori_sandwich(distance, beta, beta[:, 0] + 0.7), np.broadcast_to(beta[:, :1] + 0.7, beta.shape)),
        (projection.ddim_distance_sandwich(distance, beta, 0.35), np.full(beta.shape, 0.35)),
    )
    for found, etas in pairs:
        for j in range(2):
            expected = products(beta[:, j], etas[:, j], distance[j])
            for part in range(2):
                np.testing.assert_allclose(found[part][:, j], [float(v) for v in expected[part]], rtol=ROUNDINGS * EPS)
    found = projection.a_posteriori_sandwich(distance, beta[:, 0], eta + np.zeros((3, 1)))
    for j in range(2):
        for part, expected in enumerate(products(beta[:, 0], [eta[j]] * 3, distance[j])):
            np.testing.assert_allclose(found[part][:, j], [float(v) for v in expected], rtol=ROUNDINGS * EPS)


def test_kinds_of_values():
    """Numbers in, a number out; an array for arrays, the limits of the formula in it."""
    assert type(projection.beta_star(0.3, 1.7, 7)) is float
    found = projection.beta_star(np.array([0.3, 0.0, 0.3, 0.0]), np.array([1.7, 1.7, 1.0, 1.0]), 7)
    assert np.array_equal(found, [projection.beta_star(0.3, 1.7, 7), 1.0, 0.0, 1.0])
    usage = projection.band_usage(np.array([0.0, 0.0, 2.0, 1.0, 1.0]), np.array([0.0, 0.5, 0.0, 0.0, 0.5]), 4)
    assert usage.tolist() == [1.0, math.inf, math.inf, math.inf, 1.0]
    path = projection.exact_projection_path(np.full((2, 1), 1.7), np.zeros((2, 1)), np.array([[4.0, 1.0], [3.0, 0.25]]))
    np.testing.assert_allclose(path[1, :, 0], [1.7 * 0.75, 1.7 * 0.25], rtol=4 * EPS)
    mean, covariance = log_concavity.predictive_moments(np.array(X), np.array(MATRIX), 0.7)
    assert np.array_equal(covariance[0], log_concavity.predictive_moments(np.array(X[0]), np.array(MATRIX[0]), 0.7)[1])
    near = projection.near_set_error(
        np.array([[2.0, 3.0, 7.0], [0.5, 0.6, 0.9]]), np.array([[0.0, 0.4, 6.0], [0.1, 0.3, 0.5]]), 1.5, 0.3
    )
    np.testing.assert_allclose(near, [0.3 * 2 + 0.4, 0.3 * 0.5 + 0.3], rtol=4 * EPS)
    radius = projection.near_set_radius_exact(np.array([1.0, 1.3, 1e-40]), np.array([0.0, 0.7, 1.0]), 5, 0.3)
    assert radius[0] == 1.0
    assert (radius[2] ** 2 - 1) * 1e-80 / 2 == pytest.approx(math.log1p(radius[2]) + math.log(5 / 0.3), rel=ROUNDINGS * EPS)


def test_arrays_with_zeros_in_them():
    """A data law with mean 0 or variance 0 in one entry; a singular covariance, an eigenvalue of which rounds below 0."""
    found = log_concavity.backward_euler_maruyama_gaussian(np.array([0.0, 0.7]), np.array([0.45, 0.0]), 1.3, 3)
    for i, (mean, variance) in enumerate(((0.0, 0.45), (0.7, 0.0))):
        alone = log_concavity.backward_euler_maruyama_gaussian(mean, variance, 1.3, 3)
        np.testing.assert_allclose([v[i] for v in found], alone, rtol=ROUNDINGS * EPS)
    both = conditional_mean.resampling_variance(LEVELS, [0.7, 1.3])
    np.testing.assert_allclose(
        both, [conditional_mean.resampling_variance(LEVELS, v) for v in (0.7, 1.3)], rtol=ROUNDINGS * EPS
    )
    below = 0
    for row in np.random.default_rng(0).standard_normal((20, 3)):
        covariance = np.outer(row, row)
        below += np.linalg.eigvalsh(covariance)[0] < 0
        low, high = log_concavity.posterior_mean_w2_sandwich(covariance, np.zeros((3, 3)))
        # square roots of eigenvalues that are rounding
        assert abs(low) <= 3 * math.sqrt(ROUNDINGS * EPS) * np.trace(covariance)
        assert high == 0
    assert below


def test_rows_about_which_nothing_is_said():
    grad_f, grad_d = projection.distance_gradient(np.array([[0.3, 0.7], [0.3, 0.7]]), np.array([[0.3, 0.7], [0.1, 0.7]]))
    assert np.array_equal(grad_f[0], [0, 0])
    assert np.isnan(grad_d[0]).all()
    assert np.array_equal(grad_d[1], [1, 0])
    assert np.isnan(projection.distance_gradient(np.array([[1e-200, 0.0]]), np.zeros((1, 2)))[1]).all(), "d^2 underflows"
    point, size = projection.normal_offset(
        np.array([[0.3, 0.7]] * 2), np.array([[0.6, 0.8 * UP], [0.6, 0.0]]), np.array([1.0, 0.6])
    )
    assert np.isnan(point).all(), "an offset of the size of the reach, or longer"
    assert np.isnan(size).all()


def test_limits_in_messages():
    """A refusal says where the limit is."""
    for name, arguments, text in (
        (
            "log_concavity.ula_strongly_log_concave",
            {"k": 5, "h": 9.0, "a": 0.3, "L": 1.7, "dim": 3, "w2_start": 1.3},
            "0 < h <= 2 / (a + L), where 2 / (a + L) = 1",
        ),
        (
            "log_concavity.ula_log_sobolev",
            {"k": 5, "h": 9.0, "a": 0.7, "L": 1.25, "dim": 3, "kl_start": 1.3},
            "0 < h <= 1 / (4 * L), where 1 / (4 * L) = 0.2",
        ),
        ("log_concavity.curvature_covariance_bounds", {"a": -9.0, "b": 1.7, "m": 3, "sigma": 0.8}, "-4.6875"),
        (
            "proximal.backward_kl",
            {"g": 9.0, "d": 3, "second_moment": 1.0, "L": 0.75, "H": 0.0},
            "g <= 0.5 / (L + 0.5), where 0.5 / (L + 0.5) = 0.4",
        ),
        ("projection.admissible_limits", {"eta": 0.0, "nu": 1.0}, "eta, nu: got (0.0, 1.0); expected not both 0 and 1"),
        (
            "projection.oracle_denoising_whp",
            {"sigma": 1.0, "dimension": 4, "ambient": 4, "t": 1.0},
            "dimension < ambient, where ambient = 4",
        ),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            resolve(name)(**arguments)


# ------------------------------------------------------------------------------ what every formula takes and gives


def echo(a, b=None, how="sum"):
    return a


def given(value, function=echo, **options):
    return guarded(function, **options)(value)


def test_what_a_formula_is_given():
    assert given(3) == 3
    assert type(given(np.float32(0.5))) is type(given(np.float16(0.5))) is float  # or the whole formula had 24 or 11 bits
    for value in (
        [1, 2],
        (1, 2),
        np.array([1, 2], np.int8),
        np.array([1, 2], np.uint8),
        np.array([1, 2], np.float32),
        [True, True],
    ):
        found = given(value)
        assert found.dtype == np.float64
        assert np.array_equal(found, np.asarray(value))
    kept = np.array([0.5, math.inf])
    assert given(kept) is kept
    fractions = np.array([Fraction(1, 3), mp.mpf(2)], dtype=object)
    assert given(fractions) is fractions
    assert guarded(echo)(1.0, None, "product") == 1.0, "defaults, and words where the default is one"
    assert given("word", texts=("a",)) == "word"
    assert given(len, anything=("a",)) is len
    assert guarded(nan=True)(echo)(1.0) == 1.0


@pytest.mark.parametrize(
    "value",
    ["1", b"1", bytearray(b"1"), None, 1j, np.complex64(1), {}, {1}, frozenset(), np.datetime64("2020"), np.timedelta64(1),
     math.nan, np.float32(math.nan), [1.0, math.nan], [[1.0], [1.0, 2.0]], [1j], ["1"], np.array([1.0, None], dtype=object)],
    ids=repr,
)  # fmt: skip
def test_what_no_formula_is_given(value):
    with pytest.raises(ValueError, match=r"^a: got .*(NaN|a real number)"):
        given(value)
    with pytest.raises(ValueError, match=r"^b: got"):
        guarded(echo)(1.0, b=value) if value is not None else guarded(echo)(1.0, b="1")


NAN, COMPLEX = np.array([0.5, math.nan]), np.array([0.5, 1j])


@pytest.mark.parametrize("value", [math.nan, np.float64(math.nan), NAN, (1.0, NAN), {"x": 1.0, "y": (0.5, NAN)}], ids=repr)
def test_a_value_that_is_none(value):
    with pytest.raises(ValueError, match=r"^a: got 1.0; expected .* <lambda> has a value$"):
        given(1.0, lambda a: value)
    assert given(1.0, lambda a: value, nan=True) is value


@pytest.mark.parametrize("value", [1j, np.complex128(1j), COMPLEX, (1.0, 1j), {"x": COMPLEX}], ids=repr)
def test_a_complex_value(value):
    with pytest.raises(ValueError, match=r"^a: got 1.0"):
        given(1.0, lambda a: value)


@pytest.mark.parametrize(
    "value", [1, 0.5, math.inf, "word", None, True, np.array([1, 2]), (1, 0.5), {"x": Fraction(1, 3)}], ids=repr
)
def test_values_that_pass(value):
    assert given(1.0, lambda a: value) is value


@pytest.mark.parametrize("error", [ZeroDivisionError, OverflowError, TypeError, IndexError, KeyError, AttributeError,
                                   ValueError, np.linalg.LinAlgError])  # fmt: skip
def test_errors_inside_a_formula(error):
    def fails(a, b):
        raise error("inside")

    with pytest.raises(ValueError, match=rf"^a, b: got \(1.0, 2.0\); .* fails has a value \({error.__name__}: ") as caught:
        guarded(fails)(1.0, 2.0)
    assert isinstance(caught.value.__cause__, error)


def test_an_error_that_names_an_argument_stays():
    def refuses(a, ab):
        raise ValueError(ab)

    for text in ("a: too large", "ab (shape): too large"):
        with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
            guarded(refuses, texts=("ab",))(1.0, text)
    with pytest.raises(ValueError, match=r"^a, ab: got"):
        guarded(refuses, texts=("ab",))(1.0, "abc: too large")


def test_filing_a_statement():
    words = {"paper": "projection", "ref": "Thm 0", "title": "an example", "kind": "upper"}
    for name in ("paper", "kind", "text"):
        with pytest.raises(ValueError, match=f"^{name}: got 'Other one'; expected one of "):
            statements.statement(**{**words, name: "Other one"})
    with pytest.raises(ValueError, match="needs a docstring"):
        statements.statement(**words)(lambda a: a)

    def beta_star(a):
        """Another text."""
        return math.nan

    with pytest.raises(ValueError, match="this key is taken"):
        statements.statement(**words)(beta_star)
    beta_star.__doc__ = projection.beta_star.statement.doc
    before = statements.REGISTRY["projection/beta_star"]
    try:
        filed = statements.statement(**words)(beta_star)
        assert filed.statement.title == "an example", "the same text again: a module read twice"
        with pytest.raises(ValueError, match=r"^a: got 1.0"):
            filed(1.0)  # NaN is no value, unless it is said to be one
        assert math.isnan(statements.statement(**words, nan=True)(beta_star)(1.0))
    finally:
        statements.REGISTRY["projection/beta_star"] = before
    assert before.name == "beta_star"


# ------------------------------------------------------------------------------------------------ ends of the ranges

WIDE = np.full((3, 2), 0.1)  # relative steps of three steps, two trajectories
SIGMAS = {"sigma": [3.0, 0.7, 0.0], "s": 0.7}
SCHEMES = ("euler_maruyama", "proximal_backward", "proximal_hybrid")
HYBRID = {k: v for k, v in FIELD.items() if k != "score_t"} | {"scheme": "proximal_hybrid", "y": 0.9}
WHP = {"sigma": 0.7, "dimension": 3, "ambient": 11, "t": 1.7}
NUMBERS = {"d": ([1], [0]), "second_moment": ([0.0], [-TINY]), "L": ([0.0], [-TINY]), "initial": ([0.0], [-TINY])}
PLATEAU = {"T": 7, "gamma": 0.6, "c": 0.45}

#: name, arguments, and for some of them (values that are taken, values that are refused)
RANGES = [
    (
        "log_concavity_thresholds.condition_number",
        {"m": 1, "sigma2": 0.9, "tau2": 0.25, "R": 1.0},
        {"sigma2": ([0.75, math.nextafter(0.75, 0)], [0.75 / BEYOND, 0.7])},
    ),
    (
        "foundations.ddim_gaussian_deviation",
        SIGMAS,
        {"sigma": ([[1.0, 0.0]], [[0.0], [1.0, 1.0, 0.0], [1.0, TINY], [[1.0, 0.0]]])},
    ),
    (
        "projection.admissibility",
        {"beta": STEPS, "eta": 0.3, "nu": 1.7},
        {"beta": ([[0.0, 1.0]], [[], [-TINY], [UP]]), "eta": ([0.0], [1.0, -TINY]), "nu": ([1.0], [DOWN, math.inf])},
    ),
    (
        "projection.is_admissible",
        {"beta": STEPS, "eta": 0.3, "nu": 1.7},
        {"eta": ([0.0], [1.0, -TINY]), "nu": ([1.0], [DOWN])},
    ),
    (
        "projection.largest_admissible_eta",
        {"beta": STEPS, "nu": 1.7},
        {"beta": ([[0.0, 1.0]], [[UP]]), "nu": ([1.0], [DOWN])},
    ),
    (
        "projection.ddim_distance_sandwich",
        {"distance": 1.7, "beta": WIDE, "eta": 0.3},
        {k: ([0.4, [0.4], [0.4, 0.3]], [[0.4, 0.3, 0.2], [[0.4, 0.3]]]) for k in ("distance", "eta")},
    ),
    (
        "projection.ddim_distance_sandwich",
        {"distance": 1.7, "beta": STEPS, "eta": 0.3},
        {k: ([[0.4], [0.4, 0.3, 0.2, 0.1]], [WIDE]) for k in ("distance", "eta")},
    ),
    (
        "projection.beta_star",
        {"eta": 0.3, "nu": 2.0, "N": 3},
        {"eta": ([0.0], [1.0, -TINY]), "nu": ([1.0], [DOWN, math.inf]), "N": ([1], [0]), "start_ratio": ([1.0], [0.5, 2.0])},
    ),
    (
        "projection.a_posteriori_sandwich",
        {"distance": 1.7, "beta": STEPS, "eta": [0.35, 1.4, 0.6]},
        {"beta": ([[0.0, 1.0, 0.5]], [[0.0, UP, 0.5]]), "eta": ([[0.0, 0.0, 3.0], WIDE], [[0.1, -TINY, 0.1]])},
    ),
    ("projection.admissible_limits", {"eta": 0.3, "nu": 1.7}, {"eta": ([0.0, TINY], [1.0, -TINY]), "nu": ([1.0], [DOWN])}),
    ("projection.admissible_limits", {"eta": 0.0, "nu": 1.7}, {"nu": ([UP], [DOWN])}),
    ("projection.admissible_limits", {"eta": 0.3, "nu": 1.0}, {"eta": ([1e-300], [])}),
    ("projection.admissible_limit_rates", {"eta": 0.3, "nu": 1.7}, {"eta": ([DOWN], [0.0, 1.0]), "nu": ([1.0], [DOWN])}),
    ("projection.ddpm_coordinates", {"sigma": 1.7, "sigma_next": 0.6}, {"mu": ([0.0], [1.0, -TINY])}),
    (
        "projection.oracle_denoising_whp",
        WHP,
        {"sigma": ([1e-300], [0.0]), "t": ([1e-300], [0.0]), "dimension": ([0, 10], [11, -1])},
    ),
    ("projection.oracle_denoising_whp", {**WHP, "dimension": 0}, {"ambient": ([1], [0])}),
    (
        "projection.hull_denoiser_error",
        {"diameter": 1.3, "distance": 0.7},
        {"diameter": ([0.0], [-TINY]), "distance": ([1e-300], [0.0])},
    ),
    *(
        (f"projection.near_set_radius{how}", NEAR, {"eta": ([5.0, 1e-300], [0.0, 5 * UP])})
        for how in ("", "_half_log", "_exact")
    ),
    ("projection.squared_w2_to_laws_on_set", {"distance": [0.3]}, {"distance": ([[0.0]], [[]])}),
    (
        "proximal.prox_update",
        {"x": 1.7, "z": -0.4, "g": 0.3, "scheme": "proximal_backward"},
        {"g": ([2 * DOWN, TINY], [0.0, 2.0]), "scheme": ([], ["ddpm", "euler_maruyama"])},
    ),
    ("proximal.prox_update", {"x": 1.7, "z": -0.4, "g": 0.3, "scheme": "proximal_hybrid"}, {"g": ([2.0, 5.0], [0.0])}),
    ("proximal.interpolating_process", HYBRID, {"y": ([0.0], [None])}),
    (
        "proximal.forward_convergence",
        {"T": 0.4, "second_moment": 1.7, "d": 3},
        {"T": ([1e-300], [0.0]), "second_moment": ([0.0], [-TINY]), "d": ([1], [0])},
    ),
    *(
        (
            f"proximal.{name}",
            {**CONSTANTS, "L": 0.5, "g": 0.3},
            {
                **NUMBERS,
                "H": ([0.0], [-TINY]),
                "L": ([0.0], [-TINY]),
                "g": ([0.5, 0.5 * UP, [0.5, 0.1]], [0.5 * BEYOND, 0.0, [0.1, 0.0], [[0.1, 0.2]]]),
            },
        )
        for name in ("backward_kl", "hybrid_trajectory_kl")
    ),
    (
        "proximal.euler_maruyama_trajectory_kl",
        {"g": 0.3, "d": 3, "second_moment": 4.3, "L": 1.7},
        {**NUMBERS, "g": ([9.0, [1e-100]], [0.0, [0.1, 0.0]])},
    ),
    (
        "proximal.backward_steps",
        {"eps": 0.003, "T": 4.7, "d": 3, "second_moment": 4.3, "L": 1.7, "H": 0.6},
        {"eps": ([1e-9], [0.0]), "T": ([0.0], [-TINY]), "L": ([0.0], [-TINY]), "H": ([0.0], [-TINY]), "d": ([1], [0])},
    ),
    (
        "proximal.kl_order",
        {"scheme": "probability_flow", "which": "marginal"},
        {"which": ([], ["both"]), "scheme": ([], ["heun"])},
    ),
    ("proximal.kl_order", {"scheme": "ddpm", "which": "trajectory"}, {"scheme": ([], ["probability_flow"])}),
    ("proximal.gaussian_errors", {"scheme": "ddpm", "S": 0.3}, {"S": ([1e-300], [0.0]), "scheme": ([], ["heun"])}),
    (
        "proximal.standard_normal_variance",
        {"scheme": "euler_maruyama", "g": 0.3, "N": 3},
        {"g": ([4 * DOWN, TINY], [0.0, 4.0]), "N": ([0], [-1]), "scheme": ([], ["ddpm"])},
    ),
    ("proximal.standard_normal_variance", {"scheme": "proximal_backward", "g": 0.3, "N": 3}, {"g": ([2 * DOWN], [2.0])}),
    ("proximal.standard_normal_variance", {"scheme": "proximal_hybrid", "g": 0.3, "N": 3}, {"g": ([9.0], [0.0])}),
    ("proximal.local_weak_error", {**SMOOTH, "scheme": "proximal_hybrid"}, {"scheme": ([], ["ddpm"])}),
    ("proximal.step_threshold", {"scheme": "proximal_hybrid", "sup_curvature": 1.7}, {"scheme": ([], ["euler_maruyama"])}),
    (
        "proximal.mixture_lipschitz",
        {"variance": 0.3, "diameter": 1.7, "t": 0.6},
        {k: ([0.0], [-TINY]) for k in ("variance", "diameter", "t")},
    ),
    (
        "proximal.mixture_constants",
        {"variance": 0.3, "diameter": 1.7},
        {k: ([0.0], [-TINY]) for k in ("variance", "diameter", "horizon")},
    ),
    (
        "conditional_mean.resampling_variance",
        {"v": LEVELS, "lam": 0.7},
        {"v": ([[0.3, 0.0]], [[0.0], [0.7, 0.7, 0.0], [0.7, TINY], [[0.7, 0.0]]]), "kernel": ([], ["huge"])},
    ),
    (
        "conditional_mean.gap_formula",
        {"v": [0.3, 1.6], "laplacian": [[[0.7]], [[1.3]]], "weights": [0.6, 1.1]},
        {"v": ([[TINY, 1.0]], [[0.0, 1.0], [1.0]])},
    ),
    (
        "conditional_mean.two_point_plateau",
        {"snr": 0.7},
        {"snr": ([1e-300, 1400.0], [0.0, math.nextafter(1400, 1401), 2000.0]), "nodes": ([101], [100])},
    ),
    (
        "conditional_mean.schedules_share_the_limit",
        PLATEAU,
        {"T": ([1], [0]), "gamma": ([0.0], [-TINY]), "c": ([TINY], [0.0])},
    ),
    (
        "conditional_mean.stepwise_error",
        {"delta": 0.3, "slopes": [1.6, 0.7]},
        {"delta": ([0.0], [-TINY]), "slopes": ([[0.0, 1.0]], [[1.0, -TINY], [[1.0, 0.5]]])},
    ),
    *((f"conditional_mean.{how}_resampling", {"mmse": 0.7}, {"runs": ([1], [0])}) for how in ("exact", "averaged")),
    (
        "log_concavity.ula_gaussian_variance",
        {"lam": 0.75, "gamma": 0.3},
        {"gamma": ([1.5 * DOWN, TINY, [0.1, 1.4]], [0.0, 1.5, [0.1, 1.5]])},
    ),
    (
        "log_concavity.ula_strongly_log_concave",
        {"k": 5, "h": 0.3, "a": 0.5, "L": 1.5, "dim": 3, "w2_start": 1.3},
        {"h": ([1.0, UP, TINY], [BEYOND, 0.0])},
    ),
    (
        "log_concavity.ula_log_sobolev",
        {"k": 5, "h": 0.3, "a": 0.25, "L": 0.25, "dim": 3, "kl_start": 1.3},
        {
            "h": ([1.0, UP, TINY], [BEYOND, 0.0]),
            "L": ([0.25], [0.25 - EPS / 8]),
            "k": ([0, 7.0], [2.5]),
            "dim": ([1], [1.5]),
        },
    ),
    ("log_concavity.ornstein_uhlenbeck_level", {"t": 0.3}, {"t": ([0.0, [0.0, 1.0]], [-TINY, [1.0, -TINY]])}),
    (
        "log_concavity.backward_euler_maruyama_gaussian",
        {"mean": 0.7, "variance": 0.45, "T": 1.3, "N": 3},
        {"T": ([1e-300], [0.0]), "N": ([1, 100], [0, 10**7 + 1])},
    ),
    ("log_concavity.backward_noise_levels", {"T": 1.3, "N": 3}, {"T": ([1e-300], [0.0]), "N": ([1], [0])}),
    ("log_concavity.curvature_covariance_bounds", {"a": 0.45, "b": 1.7, "m": 4, "sigma": 2.0}, {"a": ([-DOWN], [-1.0])}),
    (
        "log_concavity.score_error_kl",
        {"T": 1.3, "errors": [0.7, 0.3], **KL},
        {"T": ([1e-300], [0.0]), "errors": ([[0.0]], [[], [0.1, -TINY], [[0.1, 0.2]]])},
    ),
    (
        "log_concavity.early_stopping_w2",
        {"eps": 0.3, "dim": 3, "second_moment": 1.7},
        {"eps": ([0.0, [0.0, 1.0]], [-TINY, [1.0, -TINY]])},
    ),
    ("log_concavity.log_concavity_window", {"R": 1.7, "tau2": 0.6}, {"R": ([0.0], [-TINY]), "tau2": ([1e-300], [0.0])}),
    (
        "log_concavity.strongly_log_concave_w2",
        {"T": 0.3, "alpha": 0.35, "w2_start": 1.3},
        {"T": ([0.0], [-TINY]), "alpha": ([TINY], [0.0])},
    ),
    (
        "log_concavity_thresholds.ula_chain_variance",
        {"tau2": 1.3, "m": 3, "sigma2": 0.7, "steps": 2, "step": 0.3},
        {"m": ([1, 100], [0, 10**7 + 1])},
    ),
    (
        "log_concavity_thresholds.splitting_stationary_covariance",
        {"k": 0.5, "unit": 8.0, "step": 0.3},
        {"step": ([DOWN], [1.0])},
    ),
]


@pytest.mark.parametrize(
    ("name", "arguments", "ranges"), RANGES, ids=[f"{r[0]}-{'-'.join(r[2])}-{i}" for i, r in enumerate(RANGES)]
)
def test_ranges_of_arguments(name, arguments, ranges):
    function = resolve(name)
    function(**arguments)
    for argument, (taken, refused) in ranges.items():
        for value in taken:
            function(**{**arguments, argument: value})
        for value in refused:
            with pytest.raises(ValueError, match=rf"^{argument}( \(|:)"):
                function(**{**arguments, argument: value})


def test_formulas_of_arrays_on_torch():
    """Lengths that NumPy alone would guess (any negative one in a reshape) are right in other libraries, too."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, score, hessian = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 3))
    scale, sigma = rng.uniform(0.5, 1.0, 4), rng.uniform(0.5, 1.0, 4)
    for function, *arguments in (
        (foundations.tweedie_denoiser, x, score, scale, sigma),
        (foundations.tweedie_covariance, hessian, scale, sigma),
        (projection.smoothed_distance_hessian, hessian, sigma),
    ):
        here = function(*arguments)
        there = function(*(torch.asarray(a) for a in arguments))
        assert isinstance(there, torch.Tensor)
        assert np.max(np.abs(there.numpy() - here)) <= 16 * EPS * np.max(np.abs(here))


class Column:
    """A column of a data frame, as NumPy sees it."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def to_numpy(self):
        return np.array(self.values)


def test_a_column_of_a_data_frame_is_checked_like_an_array():
    """A NaN in it, a missing value, went through formulas and into their results."""
    distance = [1.0, 2.0]
    got = projection.one_step_distance(Column(distance), 0.5, 0.1)
    assert all(np.array_equal(a, b) for a, b in zip(got, projection.one_step_distance(np.array(distance), 0.5, 0.1)))
    for values in ([1.0, math.nan], [1.0, None]):
        with pytest.raises(ValueError, match=r"^distance: got "):
            projection.one_step_distance(Column(values), 0.5, 0.1)
