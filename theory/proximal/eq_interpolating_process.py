"""Lemmas 1 and 2: the process that joins two states of a proximal sampler, on a line.

Let W be a Brownian motion and s run over a step of length g. Suppose that

    (H1)  l, the log density at the end of the step, is three times differentiable,
    (H2)  J > 0 on [0, g], with J = 1 - s/2 - s l'' for the backward and J = 1 - s l'' for the hybrid scheme.

Then dX = b ds + J^-1 dW for the process defined by (1 - s/2) X - s l'(X) = X_k + W_s (backward), or by
X - s l'(X) = (1 + s/2) X_k + W_s (hybrid), with

    b  =  J^-1 ( y/2 + l' + (s/2) l''' J^-2 ),        y = X_s (backward),  y = X_k (hybrid).

So the hybrid process is Markov only given X_k; the density of X_s alone obeys the Fokker-Planck equation with E[X_k |
X_s] for y.

Source: Lemmas 1 and 2 of Fang, Diaz, Buchanan & Sulam (names seen, wording not); the form is derived here.

Measured by Ito's formula in SymPy, and by the Fokker-Planck equation of the exact densities in 40 digits: with X_k a
Gaussian mixture the density of X_s is J(x) M_s(F_s(x)) with M_s again a mixture, so both sides are closed forms: no grid,
no finite difference. A step of the library on nodes is then compared with the same density at s = g.
"""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from exactdiffusion import GaussianMixture, Grid
from exactdiffusion.output_laws import line
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.interpolating_process.statement
EPS = np.finfo(np.float64).eps
SCHEMES = ("proximal_backward", "proximal_hybrid")
#: law of the step's proximal map (weights, centres, one variance) and the unrelated law of X_k: exact decimals
FINAL = (("0.4", "0.6"), ("-0.7", "0.5"), "0.4")
START = (("0.25", "0.75"), ("-0.5", "0.9"), "0.6")
GAUSSIAN = (("1",), ("0.5",), "0.25")
POINTS = [(x, s) for x in ("-1.3", "-0.2", "0.45", "1.7") for s in ("0.02", "0.1", "0.2")]
DIGITS = 40
STATE = "0.35"
x, s, y = sp.symbols("x s y", real=True)


def read(law):
    w, c, v = law
    return [mp.mpf(a) for a in w], [mp.mpf(a) for a in c], mp.mpf(v)


def derivatives(law, at):
    """Three derivatives of the log density, as posterior cumulants of the centre: mean, variance, third cumulant."""
    w, c, v = read(law)
    terms = [a * mp.exp(-((at - b) ** 2) / (2 * v)) for a, b in zip(w, c)]
    mean = mp.fsum(t * b for t, b in zip(terms, c)) / mp.fsum(terms)
    second, third = (mp.fsum(t * (b - mean) ** k for t, b in zip(terms, c)) / mp.fsum(terms) for k in (2, 3))
    return (mean - at) / v, (second / v - 1) / v, third / v**3


def pushed(grow, spread, at):
    """Density at ``at`` of grow X + N(0, spread), X ~ START, and E[X | at]."""
    w, c, v = read(START)
    variance = grow**2 * v + spread
    terms = [a * mp.npdf(at, grow * b, mp.sqrt(variance)) for a, b in zip(w, c)]
    density = mp.fsum(terms)
    means = [b + grow * v * (at - grow * b) / variance for b in c]
    return density, mp.fsum(t * m for t, m in zip(terms, means)) / density


def sides(scheme, final, on=POINTS, drop=None, conditional=False):
    """Residuals d_s q + (b q)' - (J^-2 q)''/2 and sizes |d_s q|: derivatives by mpmath, full precision."""
    backward = scheme == "proximal_backward"

    def parts(at, time):
        """(q, b, J) at a point; ``drop`` leaves the third derivative or E[X_k | X_s] out."""
        d1, d2, d3 = derivatives(final, at)
        force = (1 - time / 2 if backward else 1) * at - time * d1
        grow = mp.mpf(1) if backward else 1 + time / 2
        if conditional:
            state = mp.mpf(STATE)
            density = mp.npdf(force, grow * state, mp.sqrt(time))
        else:
            density, state = pushed(grow, time, force)
        state = at if drop == "y" else state
        b, J = bound.interpolating_process(time, at, d1, d2, 0 if drop == "third" else d3, scheme, state)
        return density * J, b, J

    # the three terms of the Fokker-Planck equation
    residuals, sizes = [], []
    with mp.workdps(DIGITS):
        for at, time in on:
            at, time = mp.mpf(at), mp.mpf(time)
            left = mp.diff(lambda t, at=at: parts(at, t)[0], time)
            flux = mp.diff(lambda u, t=time: parts(u, t)[0] * parts(u, t)[1], at)
            spread = mp.diff(lambda u, t=time: parts(u, t)[0] / parts(u, t)[2] ** 2, at, 2)
            residuals.append(float(left + flux - spread / 2))
            sizes.append(float(abs(left)))
    return np.array(residuals), np.array(sizes)


TOL, CAUSE = 1e-30, "remainder: 40 digits, 10 of them for the numerical derivatives (taken in higher precision)"


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_ito(check):
    """SymPy, generic l: d F_s(X_s) = dW with the drift and diffusion of the statement."""
    log = sp.Function("l")(x)
    d1, d2, d3 = (sp.diff(log, x, k) for k in (1, 2, 3))
    for scheme in SCHEMES:
        F = (1 - s / 2 if scheme == "proximal_backward" else 1) * x - s * d1
        b, J = bound.interpolating_process(s, x, d1, d2, d3, scheme, y)
        moved = 0 if scheme == "proximal_backward" else y / 2  # d/ds of the right side (1 + s/2) y
        residuals = [
            sp.simplify(J - sp.diff(F, x)),
            sp.simplify(J * b + sp.diff(F, s) + sp.diff(F, x, 2) / (2 * J**2) - moved),
        ]
        check.equal([float(r != 0) for r in residuals], 0.0, tol=0, cause="exact: SymPy", on=f"{scheme}, generic l")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fokker_planck(check, scheme):
    cases = [("mixture", FINAL, False), ("Gaussian", GAUSSIAN, False)]
    if scheme == "proximal_hybrid":
        cases.append(("mixture, given X_k", FINAL, True))
    for name, final, conditional in cases:
        residual, size = sides(scheme, final, conditional=conditional)
        check.equal(residual, 0.0, tol=TOL * (1 + size), cause=CAUSE, on=f"{scheme}, {name}")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_grid_step_has_this_density(check, scheme):
    """The library's step of length g on the mixture: its density is J M(F), relative accuracy."""
    g = 0.2

    def law(spec):
        w, c, v = spec
        return GaussianMixture([float(a) for a in w], [[float(a)] for a in c], float(v))

    final, start = law(FINAL), law(START)
    grid = Grid(np.exp([-g / 2, 0.0]), np.sqrt(-np.expm1([-g, 0.0])))
    run = line.propagate(final, grid, scheme, line.discretise(start, np.linspace(-9, 9, 1441)))
    at = run.law.x
    here = line.Level(final)
    backward = scheme == "proximal_backward"
    force = (1 - g / 2 if backward else 1) * at - g * here.score(at)
    J = bound.interpolating_process(g, at, here.score(at), here.curvature(at), here.third(at), scheme, at)[1]
    check.hypothesis("J > 0 at s = g, hence on [0, g]: J is affine in s", J > 0, on=f"{scheme}, g = {g}")
    exact = J * np.exp(start.noised(1 if backward else 1 + g / 2, np.sqrt(g)).log_density(force[:, None]))
    cause = "rounding: 64 eps (1 + F^2) q: rounding of the exponents; 1e-16: the box of the start, 9 standard deviations"
    check.equal(
        run.law.density, exact, tol=64 * EPS * (1 + force**2) * exact + 1e-16, cause=cause, on=f"grid step, {scheme}"
    )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) the third derivative, and what the hybrid drift keeps."""
    # (H1) the term with the third derivative; its residual is of order s: a check at one small s with a bare tolerance would
    # not see it
    for scheme in SCHEMES:
        residual, size = sides(scheme, FINAL, drop="third")
        check.control("the term T[J^-2] of the drift", np.abs(residual), TOL * (1 + size), on=scheme)
    sizes = [abs(sides("proximal_backward", FINAL, [("0.45", h)], drop="third")[0][0]) for h in ("2e-3", "1e-3")]
    check.rate(np.log2(sizes[0] / sizes[1]), 1.0, within=0.02, on="residual without T[J^-2] against s, at x = .45")

    # the drift of the hybrid process has X_k, not X_s
    residual, size = sides("proximal_hybrid", FINAL, drop="y")
    on = "proximal_hybrid, X_s in place of E[X_k | X_s]"
    check.control("drift keeps the start of the step", np.abs(residual), TOL * (1 + size), on=on)
