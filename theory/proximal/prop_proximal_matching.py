"""Proximal matching: the minimiser of the loss is a mode of the smoothed posterior and tends to the prox.

Let y = x + sqrt(lam) eps with x ~ p, pi_y the posterior density of x, and f_zeta(y) the minimiser over f of
E[1 - exp(-|x - f|^2 / (d zeta^2)) | y]. Suppose that

    (H1)  pi_y is smooth with a unique nondegenerate mode,
    (H2)  zeta tends to 0.

Then f_zeta(y) is the mode of pi_y * N(0, (d zeta^2 / 2) I); the mode of pi_y is prox_{-lam ln p}(y); and at that mode

    f_zeta - prox  =  -(d zeta^2 / 4) (hess ln pi_y)^-1 grad lap ln pi_y + O(zeta^4).

As zeta tends to infinity instead, f_zeta tends to the posterior mean with an error of order zeta^-2.

Source: the loss was seen in the released code of Fang, Diaz, Buchanan & Sulam; limit and bias are derived here. No
network is needed: for a mixture the posterior of x given y is an explicit mixture, so the minimiser of the population
loss is found to rounding.
"""

import itertools
import math

import numpy as np
import pytest

from exactdiffusion import GaussianMixture
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.matching_bias.statement
EPS = np.finfo(np.float64).eps
WEIGHTS, CENTRES, V, LAM = np.array([0.3, 0.45, 0.25]), np.array([-1.2, 0.1, 1.0]), 0.3, 0.25
LAW = GaussianMixture(WEIGHTS, CENTRES[:, None], V)
QUERIES = (-1.6, -0.3, 0.4, 1.5)


def posterior(law, y, lam=LAM):
    """Law of x given y = x + sqrt(lam) eps, for an isotropic mixture of equal variances."""
    v = float(np.ravel(law.covariances)[0])
    y = np.atleast_1d(y)
    logits = np.log(law.weights) - 0.5 * np.sum((y - law.means) ** 2, axis=1) / (v + lam)
    w = np.exp(logits - logits.max())
    return GaussianMixture(w / w.sum(), (lam * law.means + v * y) / (v + lam), v * lam / (v + lam))


def mode(law, start):
    """Newton from ``start`` (d,), to rounding."""
    x = np.atleast_1d(np.asarray(start, dtype=np.float64)).copy()
    for _ in range(60):
        move = np.linalg.solve(law.hessian(x[None])[0], law.score(x[None])[0])
        x -= move
        if np.max(np.abs(move)) < 4 * EPS * (1 + np.max(np.abs(x))):
            break
    return x


def minimiser(law, y, zeta, lam=LAM, start=None):
    """f_zeta(y): mode of the posterior convolved with N(0, d zeta^2/2)."""
    smooth = posterior(law, y, lam)
    smooth = GaussianMixture(smooth.weights, smooth.means, float(np.ravel(smooth.covariances)[0]) + law.dim * zeta**2 / 2)
    return mode(smooth, law.prox(np.atleast_2d(y), lam)[0] if start is None else start)


def derivatives(law, x, h=2e-3):
    """Hessian, and gradient of the Laplacian of the log density by central differences of order 4 of the exact Hessian."""
    d = law.dim
    gradient = np.zeros(d)
    for j, e in enumerate(np.eye(d)):
        trace = [np.trace(law.hessian((x + k * h * e)[None])[0]) for k in (-2, -1, 1, 2)]
        gradient[j] = (trace[0] - 8 * trace[1] + 8 * trace[2] - trace[3]) / (12 * h)
    return law.hessian(x[None])[0], gradient


def loss(law, f, zeta, n=6001):
    """E[1 - exp(-|x - f|^2/zeta^2)] on a line by the trapezoidal rule."""
    x = np.linspace(-8, 8, n)
    return math.fsum(np.exp(law.log_density(x[:, None])) * -np.expm1(-((x - f) ** 2) / zeta**2)) * (x[1] - x[0])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_loss_is_a_convolution(check):
    """E loss = 1 - (pi zeta^2)^(1/2) (pi_y * N(0, zeta^2/2))(f): by quadrature, and f_zeta minimises it."""
    f = np.array([-0.7, 0.2, 1.1])
    for y, zeta in itertools.product(QUERIES, (0.1, 0.5, 2.0)):
        law, on = posterior(LAW, y), f"y = {y}, zeta = {zeta}"
        smooth = law.noised(1.0, zeta / math.sqrt(2))
        exact = 1 - math.sqrt(math.pi) * zeta * np.exp(smooth.log_density(f[:, None]))
        cause = "remainder: 1e3 eps: exponents to 100 in the density, trapezoidal rule to rounding"
        check.equal([loss(law, a, zeta) for a in f], exact, tol=1e3 * EPS, cause=cause, on=on)

        # no other value has a smaller loss
        best = minimiser(LAW, y, zeta)[0]
        others = [loss(law, best + delta, zeta) for delta in (-0.3, -0.02, 0.02, 0.3)]
        cause = "rounding: 1e3 eps"
        check.holds(loss(law, best, zeta), others, tol=1e3 * EPS, cause=cause, on=f"f_zeta minimises, {on}")


def test_posterior_mode_is_the_prox(check):
    rng = np.random.default_rng(17)
    plane = GaussianMixture([0.3, 0.3, 0.4], rng.uniform(-1, 1, (3, 2)), 0.4)
    cause = "remainder: 1e-13: two Newton solvers"
    for name, law, queries in (("line", LAW, np.array(QUERIES)[:, None]), ("plane", plane, rng.standard_normal((4, 2)))):
        for y in queries:
            prox = law.prox(y[None], LAM)[0]
            gap, tol = np.abs(mode(posterior(law, y), prox) - prox), 1e-13 * (1 + np.abs(y).max())
            check.equal(gap, 0.0, tol=tol, cause=cause, on=f"{name}, y = {y}")


def test_large_zeta_is_the_posterior_mean(check):
    """Tweedie at the other end, error of order zeta^-2."""
    for y in QUERIES:
        mean = float(posterior(LAW, y).mean[0])
        tweedie = float(LAW.noised(1.0, math.sqrt(LAM)).denoise(np.array([[y]]))[0, 0])
        tol, cause = 1e-14 * (1 + abs(y)), "rounding: 1e-14: two formulas"
        check.equal(mean, tweedie, tol=tol, cause=cause, on=f"posterior mean = denoiser, y = {y}")
        gaps = [abs(float(minimiser(LAW, y, z, start=[mean])[0]) - mean) for z in (20.0, 40.0)]
        check.rate(np.log2(gaps[1] / gaps[0]), -2.0, within=0.02, on=f"|f_zeta - E[x|y]| against zeta, y = {y}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_order_two(check):
    """f_zeta - prox against the predicted bias; the remainder has order 4."""
    rng = np.random.default_rng(18)
    plane = GaussianMixture([0.3, 0.3, 0.4], rng.uniform(-1, 1, (3, 2)), 0.4)
    cases = [("line", LAW, np.array([y])) for y in QUERIES] + [("plane", plane, y) for y in rng.standard_normal((3, 2))]
    zetas = np.array([0.08, 0.04, 0.02])
    for name, law, y in cases:
        prox = law.prox(y[None], LAM)[0]
        hessian, slope = derivatives(posterior(law, y), prox)
        check.hypothesis("nondegenerate mode", np.linalg.eigvalsh(hessian) < 0, on=f"{name}, y = {np.round(y, 3)}")
        shift = np.stack([minimiser(law, y, z) - prox for z in zetas])
        predicted = np.stack([bound.matching_bias(z, law.dim, hessian, slope) for z in zetas])
        on = f"{name}, y = {np.round(y, 3)}"
        size = np.linalg.norm(shift, axis=1)
        check.rate(np.log2(size[1] / size[2]), 2.0, within=0.02, on=f"|f_zeta - prox| against zeta, {on}")
        ratios = np.sum(shift * predicted, axis=1) / np.sum(predicted**2, axis=1)
        found = (4 * ratios[2] - ratios[1]) / 3  # the remainder is of order zeta^2 relative
        tol = (ratios[2] - ratios[1]) ** 2 + 1e-6
        cause = "remainder: square of the relative error; 1e-6: differences for the third derivative, Newton over zeta^2"
        check.tight(found, 1.0, tol=tol, cause=cause, on=f"bias / predicted, extrapolated, {on}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) at a tie, (H2) at zeta = 1, the loss, and the constant of the bias."""
    y, zeta = np.array([0.4]), 0.02
    prox = LAW.prox(y[None], LAM)[0]
    hessian, slope = derivatives(posterior(LAW, y), prox)
    bias = float(bound.matching_bias(zeta, 1, hessian, slope)[0])

    # (H1) at a tie of two modes the limit jumps: no unique mode, and f_zeta stays at the middle
    tie = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.1)
    law = posterior(tie, np.zeros(1), 1.0)
    middle, outer = law.hessian(np.zeros((1, 1)))[0, 0], abs(tie.prox(np.zeros((1, 1)), 1.0)[0, 0])
    check.control("unique mode: l'' < 0 at the stationary point", middle, 0.0, on=f"tie y = 0, modes at +-{outer:.3f}")
    with pytest.raises(ValueError, match=r"hessian.*Singular matrix"):
        bound.matching_bias(zeta, 1, 0.0, 1.0)

    # (H2) zeta does not tend to 0: a value used in training
    far = abs(minimiser(LAW, y, 1.0)[0] - prox[0])
    check.control("zeta to 0 (zeta = 1, a training value)", far, 2 * abs(bias), on="distance to the prox")

    # the loss: a squared error has the posterior mean as its minimiser
    off = abs(float(posterior(LAW, y).mean[0]) - prox[0])
    check.control("the matching loss (squared error)", off, 2 * abs(bias), on=f"distance to the prox, zeta = {zeta}")

    # the constant of the bias
    shift = float(minimiser(LAW, y, zeta)[0] - prox[0])
    check.control("the factor 1/4 (1/2)", abs(shift / (2 * bias) - 1), 0.01, on=f"bias / predicted, zeta = {zeta}")
