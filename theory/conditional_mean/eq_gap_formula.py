"""CME minus limit as an integral of the Laplacian of the denoiser along the trajectory (derived).

Let Z be the trajectory dZ/dv = (Z - D_v(Z)) / v from Z_{v_hat} = y down to Z_0. Suppose that

    (H1)  the prior has a finite second moment and D_v(Z_v) - Z_v -> 0 as v -> 0,
    (H2)  the integrand is taken along Z.

Then

    E[x | y] - Z_0  =  1/2 int_0^{v_hat} (Lap D_v)(Z_v) dv  =  1/2 int_0^{v_hat} (grad tr C_v)(Z_v) / v dv.

Measured in one, two and six dimensions: the left side with an independent ODE solver, the right one with the third cumulants
of the posterior and a Gauss rule in log v.
"""

import numpy as np

from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.gap_formula.statement
V_END = 1e-9


def rule(v_hat, m=160):
    """Gauss-Legendre in log v on (V_END, v_hat): nodes and weights in v."""
    u, w = np.polynomial.legendre.leggauss(m)
    half = 0.5 * np.log(v_hat / V_END)
    v = np.exp(np.log(V_END) + half * (1 + u))
    return v, half * w * v


def both_sides(line, law, y, sigma, m=160):
    v, w = rule(sigma**2, m)
    end, z = line.trajectory(law, y, sigma, v_end=V_END, rtol=1e-11, nodes=v)
    laplacian = np.stack([cm.denoiser_laplacian(law, z[i], v[i]) for i in range(m)])
    return cm.cme(law, y, sigma) - end, v, laplacian, w


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_on_the_line(check, line):
    y = np.array([[-1.7], [-0.35], [0.2], [0.7], [1.6]])
    for name in ("gmm2", "gmm3", "scale mixture", "gauss"):
        for sigma in (1.0, 0.3):
            left, v, laplacian, w = both_sides(line, line.priors[name], y, sigma)
            cause = "remainder: solver rtol 1e-11, 160 Gauss nodes in log v"
            check.equal(left, bound.gap_formula(v, laplacian, w), tol=1e-6, cause=cause, on=f"{name}, sigma = {sigma:g}")
    left, *_ = both_sides(line, line.priors["gmm2"], np.array([[0.7]]), 1.0)
    check.equal(left, -0.36806003, tol=2e-7, cause="printed digits: recorded to 8 digits, solver", on="gmm2, y = .7, 0 dB")


def test_in_more_dimensions(check, line, mixtures):
    for name, law in mixtures.items():
        y = law.noised(1.0, 0.8).sample(5, np.random.default_rng(11))
        left, v, laplacian, w = both_sides(line, law, y, 0.8)
        cause = "remainder: solver rtol 1e-11, 160 Gauss nodes in log v"
        check.equal(left, bound.gap_formula(v, laplacian, w), tol=1e-6, cause=cause, on=name)


def test_two_forms_of_the_integrand(check, mixtures):
    """Third cumulants against central differences of the trace of the posterior covariance and of D itself."""
    for name, law in mixtures.items():
        z = law.noised(1.0, 0.8).sample(8, np.random.default_rng(12))
        d, v = law.dim, 0.64
        exact = cm.denoiser_laplacian(law, z, v)
        moved = lambda f, h, z=z, d=d: np.stack([f(z + h * e) for e in np.eye(d)], axis=-1)  # noqa: E731
        level = law.noised(1.0, np.sqrt(v))
        trace = lambda x, level=level: np.trace(level.posterior_covariance(x), axis1=1, axis2=2)  # noqa: E731
        diffs = []
        for h in (2e-3, 1e-3):
            gradient = (moved(trace, h) - moved(trace, -h)) / (2 * h) / v
            laplacian = (moved(level.denoise, h) + moved(level.denoise, -h) - 2 * level.denoise(z)[..., None]).sum(
                axis=-1
            ) / h**2
            diffs.append((gradient, laplacian))
        for k, form in enumerate(("grad tr C / v", "Lap D")):
            extrapolated = (4 * diffs[1][k] - diffs[0][k]) / 3
            tol = np.max(np.abs(diffs[1][k] - diffs[0][k])) + 1e-8
            cause = "remainder: change of the difference quotient, 1e-3 against 2e-3"
            check.equal(extrapolated, exact, tol=tol, cause=cause, on=f"{form}, {name}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    y = np.array([[0.7], [-0.35]])
    law = line.priors["gmm2"]
    left, v, laplacian, w = both_sides(line, law, y, 1.0)
    check.control("the factor 1/2", np.abs(left - 2 * bound.gap_formula(v, laplacian, w)), 0.0, tol=1e-6, on="gmm2")
    still = np.stack([cm.denoiser_laplacian(law, y, t) for t in v])
    check.control(
        "the trajectory (z = y throughout)", np.abs(left - bound.gap_formula(v, still, w)), 0.0, tol=1e-6, on="gmm2"
    )
