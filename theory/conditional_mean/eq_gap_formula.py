"""CME minus limit as an integral of the Laplacian of the denoiser along the trajectory (derived).

Let Z be the trajectory dZ/dv = (Z - D_v(Z)) / v from Z_{v_hat} = y down to Z_0. Suppose that

    (H1)  the prior has a finite second moment and D_v(Z_v) - Z_v -> 0 as v -> 0,
    (H2)  the integrand is taken along Z.

Then

    E[x | y] - Z_0  =  1/2 int_0^{v_hat} (Lap D_v)(Z_v) dv  =  1/2 int_0^{v_hat} (grad tr C_v)(Z_v) / v dv.

Measured in one, two and six dimensions: the left side with an independent ODE solver, the right one with the third cumulants
of the posterior and a Gauss rule in log v.
"""

from typing import NamedTuple

import numpy as np

from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.gap_formula.statement
V_END = 1e-9


def rule(v_hat, m=160):
    """Gauss-Legendre in log v on (V_END, v_hat): nodes and weights in v, (m,)."""
    nodes, weights = np.polynomial.legendre.leggauss(m)
    half = 0.5 * np.log(v_hat / V_END)
    v = np.exp(np.log(V_END) + half * (1 + nodes))
    return v, half * weights * v


def both_sides(line, law, y, sigma):
    v, weights = rule(sigma**2)
    end, z = line.trajectory(law, y, sigma, v_end=V_END, rtol=1e-11, nodes=v)
    laplacian = np.stack([cm.denoiser_laplacian(law, state, level) for state, level in zip(z, v)])
    return Sides(cm.cme(law, y, sigma) - end, v, laplacian, weights)


class Sides(NamedTuple):
    """CME minus the solver's endpoint (n, d); nodes and weights in v (m,) and Lap D along the trajectory (m, n, d)."""

    gap: np.ndarray
    v: np.ndarray
    laplacian: np.ndarray
    weights: np.ndarray

    @property
    def formula(self):
        return bound.gap_formula(self.v, self.laplacian, self.weights)


def moved(f, z, h):
    """f at z (n, d) moved by h along every axis, the axes last."""
    return np.stack([f(z + h * axis) for axis in np.eye(z.shape[1])], axis=-1)


def trace_gradient(level, z, v, h):
    """grad tr C / v by central differences of step h."""

    def trace(x):
        return np.trace(level.posterior_covariance(x), axis1=1, axis2=2)

    return (moved(trace, z, h) - moved(trace, z, -h)) / (2 * h) / v


def denoiser_laplacian(level, z, v, h):
    """Lap D by second differences of step h."""
    second = moved(level.denoise, z, h) + moved(level.denoise, z, -h) - 2 * level.denoise(z)[..., None]
    return second.sum(axis=-1) / h**2


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_on_the_line(check, line):
    y, cause = np.array([[-1.7], [-0.35], [0.2], [0.7], [1.6]]), "remainder: solver rtol 1e-11, 160 Gauss nodes in log v"
    for name in ("gmm2", "gmm3", "scale mixture", "gauss"):
        for sigma in (1.0, 0.3):
            sides = both_sides(line, line.priors[name], y, sigma)
            check.equal(sides.gap, sides.formula, tol=1e-6, cause=cause, on=f"{name}, sigma = {sigma:g}")
    gap = both_sides(line, line.priors["gmm2"], np.array([[0.7]]), 1.0).gap
    cause = "printed digits: recorded to 8 digits, solver"
    check.equal(gap, -0.36806003, tol=2e-7, cause=cause, on="gmm2, y = .7, 0 dB")


def test_in_more_dimensions(check, line, mixtures):
    for name, law in mixtures.items():
        y = law.noised(1.0, 0.8).sample(5, np.random.default_rng(11))
        sides = both_sides(line, law, y, 0.8)
        cause = "remainder: solver rtol 1e-11, 160 Gauss nodes in log v"
        check.equal(sides.gap, sides.formula, tol=1e-6, cause=cause, on=name)


def test_two_forms_of_the_integrand(check, mixtures):
    """Third cumulants against central differences of the trace of the posterior covariance and of D itself."""
    for name, law in mixtures.items():
        z, v = law.noised(1.0, 0.8).sample(8, np.random.default_rng(12)), 0.64
        level, exact = law.noised(1.0, np.sqrt(v)), cm.denoiser_laplacian(law, z, v)
        for form, quotient in (("grad tr C / v", trace_gradient), ("Lap D", denoiser_laplacian)):
            coarse, fine = (quotient(level, z, v, h) for h in (2e-3, 1e-3))
            tol = np.max(np.abs(fine - coarse)) + 1e-8
            cause = "remainder: change of the difference quotient, 1e-3 against 2e-3"
            check.equal((4 * fine - coarse) / 3, exact, tol=tol, cause=cause, on=f"{form}, {name}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """The integrand off the trajectory, and twice the integral."""
    y, law = np.array([[0.7], [-0.35]]), line.priors["gmm2"]
    sides = both_sides(line, law, y, 1.0)

    # (H2) z = y throughout
    still = np.stack([cm.denoiser_laplacian(law, y, t) for t in sides.v])
    off = np.abs(sides.gap - bound.gap_formula(sides.v, still, sides.weights))
    check.control("the trajectory (z = y throughout)", off, 0.0, tol=1e-6, on="gmm2")

    check.control("the factor 1/2", np.abs(sides.gap - 2 * sides.formula), 0.0, tol=1e-6, on="gmm2")
