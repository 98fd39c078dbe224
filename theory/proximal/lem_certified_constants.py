"""Certified constants: bounds of the second and third derivative of l_t for a mixture of equal variances.

Put R_t = e^{-t/2} R and v_t = e^{-t} v + 1 - e^{-t}. Suppose that

    (H1)  p_0 is a mixture of N(c_i, v I) with one variance v >= 0, and v_t > 0,
    (H2)  the centres have the diameter R.

Then for l_t = ln p_t for the law p_t of e^{-t/2} X_0 + sqrt(1 - e^{-t}) Z

    |hess l_t|  <=  L_t = max(1 / v_t, R_t^2 / (4 v_t^2) - 1 / v_t),        |D^3 l_t|  <=  H_t = R_t^3 / (6 sqrt(3) v_t^3),

with equality for two equal weights: H always, L when it exceeds 1 / v_t, and otherwise in the limit of one component far
out. The suprema over t in [0, T] have closed forms, which are attained.

Source: derived here; such constants are hypotheses of Theorem 1 of Fang, Diaz, Buchanan & Sulam. Measured by Hessians and
by posterior third cumulants in any dimension.
"""

import numpy as np
import sympy as sp

from exactdiffusion import GaussianMixture
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.mixture_lipschitz.statement
EPS = np.finfo(np.float64).eps
CAUSE = "rounding: 64 eps: posterior moments of bounded centres"


def diameter(centres):
    return float(np.max(np.linalg.norm(centres[:, None] - centres, axis=2)))


def cumulants(law, t, x, u):
    """Second and third directional derivatives of log p_t at x along unit u, by posterior cumulants of u . c."""
    a, v = np.exp(-t / 2), np.exp(-t) * float(np.ravel(law.covariances)[0]) - np.expm1(-t)
    c = a * law.means
    logits = np.log(law.weights) - 0.5 * np.sum((x[:, None] - c) ** 2, axis=2) / v
    r = np.exp(logits - logits.max(axis=1, keepdims=True))
    r /= r.sum(axis=1, keepdims=True)
    s = u @ c.T
    mean = np.sum(r * s, axis=1, keepdims=True)
    second, third = (np.sum(r * (s - mean) ** k, axis=1) for k in (2, 3))
    return second / v**2 - 1 / v, third / v**3


def instances(rng, count):
    """Mixtures with points and directions where derivatives are large: between two centres, along their difference."""
    for _ in range(count):
        d, K = int(rng.choice([1, 2, 3, 8])), int(rng.integers(2, 6))
        v = float(10 ** rng.uniform(-1.5, 0.5))
        centres = rng.uniform(-1, 1, (K, d))
        law = GaussianMixture(rng.dirichlet(np.ones(K)), centres, v)
        t = float(rng.choice([0.0, 0.2, 1.5]))
        i, j = rng.integers(0, K, (2, 400))
        j = np.where(i == j, (i + 1) % K, j)
        a = np.exp(-t / 2)
        x = a * (centres[i] + rng.uniform(-0.2, 1.2, (400, 1)) * (centres[j] - centres[i]))
        x = x + 0.1 * np.sqrt(v) * rng.standard_normal(x.shape)
        u = centres[j] - centres[i]
        yield law, v, t, x, u / np.linalg.norm(u, axis=1, keepdims=True), f"d = {d}, K = {K}, v = {v:.3g}, t = {t}"


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, deep):
    rng = np.random.default_rng(12)
    for law, v, t, x, u, on in instances(rng, 60 if deep else 15):
        L, H = bound.mixture_lipschitz(v, diameter(law.means), t)
        second, third = cumulants(law, t, x, u)
        check.holds(np.abs(second), L, tol=64 * EPS * L, cause=CAUSE, on=f"|u'hess u| <= L_t, {on}")
        check.holds(np.abs(third), H, tol=64 * EPS * (H + L / np.sqrt(v)), cause=CAUSE, on=f"|D^3 l [u,u,u]| <= H_t, {on}")
        # the same through the library: operator norm, and the Hessian's Lipschitz quotient between two points
        here = law.noised(np.exp(-t / 2), np.sqrt(-np.expm1(-t)))
        hessian = here.hessian(x)
        norm = np.max(np.abs(np.linalg.eigvalsh(hessian)), axis=1)
        check.holds(norm, L, tol=1e-12 * L, cause="rounding: 1e-12 relative: eigenvalues", on=f"|hess l| <= L_t, {on}")
        y = x + 0.05 * np.sqrt(v) * u
        change = np.max(np.abs(np.linalg.eigvalsh(here.hessian(y) - hessian)), axis=1)
        larger = H * np.linalg.norm(y - x, axis=1)
        check.holds(
            change, larger, tol=1e-12 * L, cause="remainder: 1e-12 L: difference of Hessians", on=f"Lipschitz Hessian, {on}"
        )


def test_sup_over_time(check):
    """Closed-form suprema over [0, T] against a fine grid of times."""
    rng = np.random.default_rng(13)
    for _ in range(12):
        v, R, T = float(10 ** rng.uniform(-2, 1)), float(10 ** rng.uniform(-1, 1)), float(rng.choice([0.5, 3.0, 30.0]))
        L, H = bound.mixture_constants(v, R, T)
        curve = np.array([bound.mixture_lipschitz(v, R, t) for t in np.linspace(0, T, 2001)]).max(axis=0)
        on = f"sup over [0, {T:g}], v = {v:.3g}, R = {R:.3g}"
        check.holds(curve, [L, H], tol=16 * EPS * np.array([L, H]), cause="rounding: 16 eps", on=on)
        check.equal(curve, [L, H], tol=0.01 * np.array([L, H]), cause="remainder: 1 %: 2001 times", on=f"attained, {on}")


def test_algebra(check):
    p = sp.symbols("p")
    cubic = p * (1 - p) * (1 - 2 * p)
    top = max(sp.simplify(cubic.subs(p, r)) for r in sp.solve(sp.diff(cubic, p), p))
    residual = sp.simplify(top - 1 / (6 * sp.sqrt(3)))
    check.equal(float(residual), 0.0, tol=0, cause="exact: SymPy", on="max p(1-p)(1-2p) = 1/(6 sqrt 3)")
    m, v = 0.7, 0.2
    H = bound.mixture_lipschitz(v, 2 * m)[1]
    check.equal(
        H, 4 * m**3 / (3 * np.sqrt(3) * v**3), tol=16 * EPS * H, cause="rounding: 16 eps", on="H = 4 m^3/(3 sqrt 3 v^3)"
    )


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Two equal weights: H at posterior probability (1 + 1/sqrt 3)/2, L at the midpoint; 1/v far out."""
    odds = np.log((1 + 1 / np.sqrt(3)) / (1 - 1 / np.sqrt(3)))
    for m, v, t in ((1.0, 0.25, 0.0), (1.0, 0.1, 0.0), (2.0, 0.25, 0.4)):
        law = GaussianMixture([0.5, 0.5], [[-m], [m]], v)
        L, H = bound.mixture_lipschitz(v, 2 * m, t)
        a, w = np.exp(-t / 2), np.exp(-t) * v - np.expm1(-t)
        x = np.array([[0.0], [odds * w / (2 * a * m)]])
        second, third = cumulants(law, t, x, np.ones((2, 1)))
        on = f"+-{m:g}, v = {v:g}, t = {t:g}"
        tol = 64 * EPS
        check.hypothesis("R_t^2/(4 v_t^2) - 1/v_t >= 1/v_t", (a * m / w) ** 2 - 1 / w >= 1 / w, on=on)
        check.tight([second[0] / L, abs(third[1]) / H], 1.0, tol=tol, cause=CAUSE, on=f"L at 0, H at its maximiser, {on}")
    law = GaussianMixture([0.5, 0.5], [[-0.3], [0.3]], 1.0)
    L, _ = bound.mixture_lipschitz(1.0, 0.6)
    ratio = abs(cumulants(law, 0.0, np.array([[70.0]]), np.ones((1, 1)))[0][0]) / L
    check.tight(ratio, 1.0, tol=64 * EPS, cause=CAUSE, on="L = 1/v, far out")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1), (H2), and the supremum over time."""
    # (H1) two variances: .05 and .45, of mean .25
    uneven = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], np.array([0.05, 0.45]))
    top = float(np.max(np.abs(uneven.hessian(np.linspace(-2, 2, 4001)[:, None]))))
    check.control("equal variances (.05 and .45, mean .25)", top, bound.mixture_lipschitz(0.25, 2.0)[0], on="+-1")

    # the largest derivatives of two modes: at the middle, and where the third cumulant is largest at t = .4 and at t = 0
    m, v, t = 1.0, 0.25, 0.4
    odds = np.log((1 + 1 / np.sqrt(3)) / (1 - 1 / np.sqrt(3)))
    a, w = np.exp(-t / 2), np.exp(-t) * v - np.expm1(-t)
    x = np.array([[0.0], [odds * w / (2 * a * m)], [odds * v / (2 * m)]])
    law = GaussianMixture([0.5, 0.5], [[-m], [m]], v)
    largest = np.abs(np.stack(cumulants(law, 0.0, x, np.ones((3, 1))))).max(axis=1)

    # (H2) half of the diameter
    check.control("diameter R (half of it)", largest, bound.mixture_lipschitz(v, m), tol=1e-12, on="+-1, v .25, t = 0")

    # the constants of another time
    later, dropped = bound.mixture_lipschitz(v, 2 * m, t), "the supremum over time (L, H at t = .4 for t = 0)"
    check.control(dropped, largest, later, tol=1e-12, on="+-1, v .25")
