"""Four slips that no convergence rate shows, planted one by one; each must make a named detector go red.

| slip | rate | exact Gaussian law | coin |
|---|---|---|---|
| prox at p_{t_k} instead of p_{t_{k-1}} | -2 | red | red |
| lam = g in the backward step | -2 | red | red |
| noise added after the prox | -2 | red | red |
| explicit score at t_{k-1} | -2 | red | red |

The detectors are functions that pass on the schemes as they are, and are called on the slips here. The first works on
samplers (rows through the library's prox and denoiser), the second on densities.
"""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import sampler_forms

from exactdiffusion import GaussianMixture, samplers, schedules
from exactdiffusion.output_laws import line
from exactdiffusion.output_laws.line import Explicit

EPS = float(np.finfo(float).eps)
WIDE = GaussianMixture([0.5, 0.5], [[-0.6], [0.6]], 0.4)
NODES = np.linspace(-7.0, 7.0, 901)


def uniform(N, T=1.0):
    return schedules.vp_linear(N, beta_min=T, beta_max=T)


# ------------------------------------------------------------------------------------------------ schemes with a slip


def wrong_level(start, end, g):
    return line.SCHEMES["proximal_backward"](end, start, g)


def wrong_lambda(start, end, g):
    """lam = g; the argument 2/(2 - g) (x + sqrt(g) z) as it should be."""
    c, right = (2 - g) / 2, line.SCHEMES["proximal_backward"](start, end, g)
    return replace(
        right,
        forward=lambda x: (c * (x - g * end.score(x)), c * (1 - g * end.curvature(x))),
        potential=lambda x: c * (x * x / 2 - g * end.log_density(x)),
    )


def noise_after(start, end, g):
    """An explicit step whose mean is the noiseless prox."""
    right = line.SCHEMES["proximal_backward"](start, end, g)

    def mean(y):
        x = np.array(y)
        for _ in range(60):
            force, slope = right.forward(x)
            move = (force - y) / slope
            x = x - move
            if np.max(np.abs(move)) < 64 * EPS * np.max(np.abs(x)):
                break
        return x, 1 / right.forward(x)[1]

    return Explicit(mean, g)


def wrong_score(start, end, g):
    return line.SCHEMES["euler_maruyama"](end, start, g)


SLIPS = {
    "wrong time index": (wrong_level, "proximal_backward"),
    "lam = g in the backward step": (wrong_lambda, "proximal_backward"),
    "noise after the prox": (noise_after, "proximal_backward"),
    "score at t_{k-1}": (wrong_score, "euler_maruyama"),
}


def sampler_with(slip):
    """The same slips in the text of the samplers' update; None: no slip."""

    def steps(law, grid, x, *, noise):
        yield x
        for i in range(grid.N):
            g, z = grid.g[i], math.sqrt(grid.g[i]) * noise.normal(i, *x.shape)
            level = law.noised(float(grid.scale[i + 1]), float(grid.sigma[i + 1]))
            if slip in ("score at t_{k-1}", "none (Euler-Maruyama)"):
                here = level if slip == "score at t_{k-1}" else law.noised(float(grid.scale[i]), float(grid.sigma[i]))
                x = x + g * (x / 2 + here.score(x)) + z
            else:
                if slip == "wrong time index":
                    level = law.noised(float(grid.scale[i]), float(grid.sigma[i]))
                late = slip == "noise after the prox"
                lam = g if slip == "lam = g in the backward step" else 2 * g / (2 - g)
                x = level.prox(2 / (2 - g) * (x + (0 if late else z)), lam) + (z if late else 0)
            yield x

    return steps


# ----------------------------------------------------------------------------------------------------------- detectors


class UnitNoise:
    """Row 1 + d + k d + j receives e_j at step k and nothing else: reads off an affine map."""

    def normal(self, step, n, d, **ignored):
        z = np.zeros((n, d))
        z[1 + d + step * d : 1 + 2 * d + step * d] = np.eye(d)
        return z


def gaussian_recursion(function, reference, N=16):
    """Red unless output mean and covariance on a Gaussian target are those of the exact recursion, to 1e-12."""
    d, grid = 2, uniform(N, 2.0)
    mean, cov = np.array([0.7, -0.4]), np.array([[0.5, 0.2], [0.2, 0.9]])
    law, start = GaussianMixture([1.0], mean[None], cov[None]), np.diag([1.3, 0.6])
    x = np.zeros((1 + d + N * d, d))
    x[1 : 1 + d] = np.eye(d)
    out = samplers.final(function(law, grid, x, noise=UnitNoise()))
    linear, noise = (out[1 : 1 + d] - out[0]).T, (out[1 + d :] - out[0]).T
    exact_mean, exact_cov = sampler_forms.law(reference, mean, cov, grid, np.zeros(d), start)
    off = np.abs(out[0] - exact_mean).max(), np.abs(linear @ start @ linear.T + noise @ noise.T - exact_cov).max()
    assert max(off) <= 1e-12, f"exact Gaussian recursion of {reference}: off by {max(off):.3g}"


@functools.cache
def output(scheme, N):
    return line.propagate(WIDE, uniform(N), scheme, nodes=NODES).law


def coin(first, second):
    """Red unless the equal mixture of the two output laws has KL of order at least 3.8."""
    p = line.discretise(WIDE, NODES)
    kls = [line.divergences(p, line.mixture([output(first, N), output(second, N)], [0.5, 0.5])).kl for N in (64, 128)]
    order = math.log2(kls[0] / kls[1])
    assert order >= 3.8, f"coin test: order {order:.2f}"


def rate(scheme):
    """Red unless KL has order 2 within .25: the detector that sees none of the four."""
    p = line.discretise(WIDE, NODES)
    kls = [line.divergences(p, output(scheme, N)).kl for N in (64, 128)]
    order = math.log2(kls[0] / kls[1])
    assert abs(order - 2) <= 0.25, f"rate: order {order:.2f}"


# ---------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (samplers.REGISTRY["proximal_backward"].function, "proximal_backward"),
        (samplers.REGISTRY["proximal_hybrid"].function, "proximal_hybrid"),
        (samplers.REGISTRY["euler_maruyama"].function, "euler_maruyama"),
        (sampler_with(None), "proximal_backward"),
        (sampler_with("none (Euler-Maruyama)"), "euler_maruyama"),
    ],
    ids=["backward", "hybrid", "euler_maruyama", "backward, this file", "euler_maruyama, this file"],
)
def test_gaussian_recursion_passes_without_a_slip(function, reference):
    gaussian_recursion(function, reference)


def test_coin_passes_without_a_slip():
    coin("euler_maruyama", "proximal_backward")


@pytest.mark.parametrize("slip", list(SLIPS))
def test_gaussian_recursion_goes_red(slip):
    reference = "euler_maruyama" if SLIPS[slip][1] == "euler_maruyama" else "proximal_backward"
    with pytest.raises(AssertionError, match="exact Gaussian recursion"):
        gaussian_recursion(sampler_with(slip), reference)


@pytest.mark.parametrize("slip", list(SLIPS))
def test_coin_goes_red(slip):
    wrong, right = SLIPS[slip]
    pair = (wrong, "proximal_backward") if right == "euler_maruyama" else ("euler_maruyama", wrong)
    with pytest.raises(AssertionError, match="coin test"):
        coin(*pair)


@pytest.mark.parametrize("slip", list(SLIPS))
def test_rate_stays_green(slip):
    """Why the two detectors above are needed."""
    rate(SLIPS[slip][0])


def test_half_a_step_is_the_slip_a_rate_does_see():
    def half(start, end, g):
        right = line.SCHEMES["proximal_backward"](start, end, g)
        return replace(
            right,
            forward=lambda x: (x - g / 2 * (x / 2 + end.score(x)), 1 - g / 2 * (0.5 + end.curvature(x))),
            potential=lambda x: x * x / 2 - g / 2 * (x * x / 4 + end.log_density(x)),
        )

    with pytest.raises(AssertionError, match="rate"):
        rate(half)
