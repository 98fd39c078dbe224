"""The two proximal updates: which argument and which parameter the proximal map of a step takes.

Write l for the log density at the end of the step, prox(y) = argmin_u |u - y|^2 / 2 - lam l(u), and z for the noise.
Suppose that

    (H1)  g > 0, and g < 2 for the backward scheme,
    (H2)  for uniqueness, lam lambda_max(hess l) < 1 everywhere.

Under (H1) a point is stationary for the prox with the parameters on the left if and only if it solves the equation on the
right:

    backward    y = 2/(2 - g) (x + sqrt(g) z),  lam = 2g/(2 - g)        X = x + g [X/2 + grad l(X)] + sqrt(g) z
    hybrid      y = (1 + g/2) x + sqrt(g) z,    lam = g                 X = x + g [x/2 + grad l(X)] + sqrt(g) z

Under (H2) stationary points are minimisers, hence unique; without it the global prox, a local solver started at y and the
implicit equation are three different things.

Source: the released code and the slides of Fang, Diaz, Buchanan & Sulam; the algebra is derived here.
"""

import numpy as np
import sympy as sp

from exactdiffusion import GaussianMixture
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.prox_update.statement
EPS = np.finfo(np.float64).eps
SCHEMES = ("proximal_backward", "proximal_hybrid")
LAW = GaussianMixture([0.2, 0.5, 0.3], [[-0.9, 0.3], [0.4, -0.6], [0.8, 0.7]], 0.3)
CAUSE = "remainder: 1e-12 of the terms of the equation: the stationarity residual of the oracle"


def implicit_residual(scheme, law, x, z, g, u):
    """``u - x - g [(u or x)/2 + score(u)] - sqrt(g) z``, and the size of its terms."""
    pull = law.score(u)
    linear = u if scheme == "proximal_backward" else x
    terms = (u, x, g * linear / 2, g * pull, np.sqrt(g) * z)
    residual = u - x - g * (linear / 2 + pull) - np.sqrt(g) * z
    return np.linalg.norm(residual, axis=1), sum(np.linalg.norm(t, axis=1) for t in terms)


def problems(seed, n=200, d=2):
    rng = np.random.default_rng(seed)
    return 1.5 * rng.standard_normal((n, d)), rng.standard_normal((n, d))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_algebra(check):
    """SymPy: (u - y - lam score) times (2 - g)/2, or 1, is the implicit equation."""
    u, x, z, g, score = sp.symbols("u x z g score", positive=True)
    root = sp.sqrt(g) * z
    backward = (2 - g) / 2 * (u - 2 / (2 - g) * (x + root) - 2 * g / (2 - g) * score) - (u - x - g * (u / 2 + score) - root)
    hybrid = (u - (1 + g / 2) * x - root - g * score) - (u - x - g * (x / 2 + score) - root)
    residuals = [float(sp.simplify(r)) for r in (backward, hybrid)]
    check.equal(residuals, 0.0, tol=0, cause="exact: SymPy", on="stationarity is the implicit equation, backward and hybrid")
    exact = {
        "proximal_backward": (2 / (2 - g) * (x + root), 2 * g / (2 - g)),
        "proximal_hybrid": ((1 + g / 2) * x + root, g),
    }
    for scheme, pair in exact.items():
        found = bound.prox_update(0.7, -0.4, 0.3, scheme)
        expected = [float(sp.sympify(e).subs({x: 0.7, z: -0.4, g: 0.3})) for e in pair]
        check.equal(found, expected, tol=4 * EPS, cause="rounding: 4 eps", on=f"registered function, {scheme}")


def test_prox_solves_the_implicit_equation(check):
    x, z = problems(20)
    top = float(np.max(np.linalg.eigvalsh(LAW.hessian(x))))
    for scheme in SCHEMES:
        for g in (0.01, 0.1, 0.5):
            y, lam = bound.prox_update(x, z, g, scheme)
            check.hypothesis("g > 0, and g < 2 for the backward scheme", 0 < g < 2, on=f"{scheme}, g = {g}")
            u = LAW.noised().prox(y, lam)
            residual, size = implicit_residual(scheme, LAW, x, z, g, u)
            check.equal(residual, 0.0, tol=1e-12 * size, cause=CAUSE, on=f"global prox, {scheme}, g = {g}")
    assert top > -1 / 0.3  # not a Gaussian: the Hessian varies


def test_unique_where_convex(check):
    """lam lambda_max < 1: the global prox and a local solver started at y are one map."""
    L, _ = bound.mixture_lipschitz(0.3, float(np.sqrt(1.7**2 + 0.4**2)))
    x, z = problems(21)
    for scheme in SCHEMES:
        y, lam = bound.prox_update(x, z, 0.5 / L, scheme)
        check.hypothesis("lam lambda_max(hess l) < 1", lam * L < 1, on=f"{scheme}, certified L = {L:.3g}")
        level = LAW.noised()
        apart = np.linalg.norm(level.prox(y, lam) - level.prox_local(y, lam), axis=1)
        tol = 1e-12 * (1 + np.linalg.norm(y, axis=1)) / (1 - lam * L)
        cause = "rounding: 1e-12 (1 + |y|) / (1 - lam L): residual over the modulus of strong convexity"
        check.equal(apart, 0.0, tol=tol, cause=cause, on=f"global = local, {scheme}, g = 1/(2 L)")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_prox_is_not_stationarity(check):
    """(H2) without it one query has three stationary points; the local solver and the global prox differ."""
    law, g = GaussianMixture([0.1, 0.9], [[-1.0], [1.0]], 0.05), 0.2
    level, nodes = law.noised(), np.linspace(-3, 3, 60001)
    x = np.linspace(-0.5, 0.5, 41)[:, None]
    for scheme in SCHEMES:
        on = f"two narrow modes, {scheme}"
        y, lam = bound.prox_update(x, np.zeros_like(x), g, scheme)
        both = {"global": level.prox(y, lam), "local": level.prox_local(y, lam)}

        # both solve the implicit equation, and they are not the same
        for name, u in both.items():
            residual, size = implicit_residual(scheme, law, x, np.zeros_like(x), g, u)
            cause = "remainder: 10 x " + CAUSE
            check.equal(residual, 0.0, tol=1e-11 * size, cause=cause, on=f"the {name} prox solves it, {scheme}")
        apart = np.abs(both["global"] - both["local"])[:, 0]
        check.control("lam lambda_max(hess l) < 1 (uniqueness)", apart, 1e-6, on=on)

        # where they differ, the local one is no minimiser
        best, other = (0.5 * (u - y)[:, 0] ** 2 - lam * level.log_density(u) for u in both.values())
        worse, cause = (other - best)[apart > 1e-6], "exact: the local solution is worse by more than rounding"
        check.holds(1e-6, worse, tol=0, cause=cause, on=on)

        # the stationary points of the query with the largest difference
        query = y[int(np.argmax(apart)), 0]
        force = nodes - lam * level.score(nodes[:, None])[:, 0] - query
        roots = np.count_nonzero(np.diff(np.sign(force)))
        check.equal(roots, 3, tol=0, cause="exact: a count of sign changes", on=f"stationary points of one query, {scheme}")


def test_controls(check):
    """Three slips in the update: the parameter, the law, and the place of the noise."""
    x, z = problems(22)
    g = 0.3
    y, lam = bound.prox_update(x, z, g, "proximal_backward")
    level, noisier = LAW.noised(), LAW.noised(np.exp(-g / 2), np.sqrt(-np.expm1(-g)))
    drawn = {
        "lam = 2g/(2-g) (lam = g)": level.prox(y, g),
        "law at the end of the step (at its start)": noisier.prox(y, lam),
        "noise inside the prox (after it)": level.prox(2 / (2 - g) * x, lam) + np.sqrt(g) * z,
    }
    for dropped, u in drawn.items():
        residual, size = implicit_residual("proximal_backward", LAW, x, z, g, u)
        check.control(dropped, residual, 0.0, tol=1e-12 * size, on="backward, g = .3")
