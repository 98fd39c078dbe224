"""Oracle denoising, deterministic: the error of the exact projection as a denoiser of x0 + sigma e.

Split e = e_T + e_N into its tangential and its normal part at x0. Suppose that

    (H1)  K is a closed manifold of reach tau, and x0 is in K,
    (H2)  q = sigma |e| < tau.

Then

    |p(x0 + sigma e) - x0|  <=  tau / (tau - q) sigma |e_T|,    sigma (|e_N| - |e_T|)  <=  d(x0 + sigma e)  <=  sigma |e|.

All are attained: the first in the limit, by the inward normal of a sphere with a small tangential part; the others by
normal noise.

Source: a formal version of Proposition 3.1 of Permenter & Yuan, which their slide 11 states informally; derived here from
Federer 4.8(8) and 4.8(12). Measured on five manifolds for q / tau up to .99, with extreme directions.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from exactdiffusion.statements import projection as bound

STATEMENT = bound.oracle_denoising.statement
EPS = np.finfo(np.float64).eps
SHARES = (0.1, 0.3, 0.5, 0.9, 0.99)
CAUSE = "rounding: 32 eps |x0| tau/(tau - q): rounding times the Lipschitz constant of p"


@dataclass(frozen=True)
class Denoised:
    """The projection of x0 + e, per row: its error, the distance of x0 + e, and the sizes of the two parts of e."""

    error: np.ndarray
    distance: np.ndarray
    tangent: np.ndarray
    normal: np.ndarray


def measure(m, x0, e):
    tangent, normal = m.split(x0, e)
    x = x0 + e
    error = np.linalg.norm(m.law.project(x) - x0, axis=1)
    return Denoised(error, m.law.distance(x), np.linalg.norm(tangent, axis=1), np.linalg.norm(normal, axis=1))


def directions(m, x0, rng):
    """Unit noise: Gaussian directions, and inward normals of every block with a tangential part of any size."""
    e = rng.standard_normal(x0.shape)
    half = len(x0) // 2
    tangent = m.split(x0, e)[0]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    inward = np.stack([m.inward(x0, i) for i in range(m.m)])[rng.integers(0, m.m, len(x0)), np.arange(len(x0))]
    e[:half] = (inward + 10 ** rng.uniform(-4, 1, (len(x0), 1)) * tangent)[:half]
    return e / np.linalg.norm(e, axis=1, keepdims=True)


def tangent_in_the_first_block(m, x0, rng):
    """Unit tangent vectors at x0 that move the first sphere of the product only."""
    tangent = np.zeros_like(x0)
    u = m.blocks(x0)[:, 0] / m.law.project(x0)[0, : m.k].dot(x0[0, : m.k]) ** 0.5
    w = rng.standard_normal(u.shape)
    w -= np.sum(w * u, axis=1, keepdims=True) * u
    tangent[:, : m.k] = w / np.linalg.norm(w, axis=1, keepdims=True)
    return tangent


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, manifolds, deep):
    rng = np.random.default_rng(311)
    for name, m in manifolds.items():
        said = []
        with check.gather(on=f"{name}, q/tau .1 .. .99", cause=CAUSE) as sides:
            for share in SHARES:
                x0 = m.law.sample(20_000 if deep else 2_000, rng)
                sigma = share * m.reach
                found = measure(m, x0, sigma * directions(m, x0, rng))
                largest, low, high = bound.oracle_denoising(sigma, found.tangent / sigma, found.normal / sigma, m.reach)

                tol = 32 * EPS * np.linalg.norm(x0, axis=1) / (1 - share)
                sides("error", found.error, largest, tol=tol)
                sides("distance from above", found.distance, high, tol=tol)
                sides("distance from below", low, found.distance, tol=tol)
                said.append(np.isfinite(largest))
        check.hypothesis("sigma |e| < reach", np.ravel(said), on=f"{name}, q/tau .1 .. .99")


def test_lipschitz_constant_of_a_circle_sympy(check):
    """Two points at radius r = tau - q of a circle: the chords of their projections are tau/(tau - q) times as long."""
    tau, q, a, b = sp.symbols("tau q a b", positive=True)
    point = lambda r, angle: sp.Matrix([r * sp.cos(angle), r * sp.sin(angle)])  # noqa: E731
    square = lambda v: sp.simplify(v.dot(v))  # noqa: E731
    before, after = square(point(tau - q, a) - point(tau - q, b)), square(point(tau, a) - point(tau, b))
    proof = sp.simplify(after * (tau - q) ** 2 - before * tau**2) == 0
    check.equal(float(proof), 1.0, tol=0, cause="exact: SymPy", on="Lipschitz constant tau/(tau - q) on a circle")


def test_nothing_is_said_beyond_the_reach(check):
    """sigma |e| >= reach: no bound on the error (infinity), distances between 0 and infinity."""
    q = np.array([0.5, 0.99, 1.0, 1.5, 40.0])
    error, low, high = bound.oracle_denoising(q, 0.6, 0.8, 1.0 + 4 * EPS)
    said = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    for name, value in (("error", np.isfinite(error)), ("from below", low > 0), ("from above", np.isfinite(high))):
        check.equal(value.astype(float), said, tol=0, cause="exact: a yes or no", on=f"{name}: said or not")
    near = bound.oracle_denoising(1.0, 0.0, 1.0, 1.0)
    check.equal(float(np.isinf(near[0])), 1.0, tol=0, cause="exact", on="at the reach itself")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained(check, manifolds):
    """Inward normal and a tangential part of 1e-4: the factor tau/(tau - q) is reached to 1e-8, both distance bounds too."""
    rng = np.random.default_rng(312)
    for name, m in manifolds.items():
        x0 = m.law.sample(20, rng)
        inward, tangent = m.inward(x0), tangent_in_the_first_block(m, x0, rng)
        ratios, outer = [], []
        for share in (0.3, 0.5, 0.9):
            near = measure(m, x0, share * m.reach * (inward + 1e-4 * (1 - share) * tangent))
            ratios.append(near.error / bound.oracle_denoising(1.0, near.tangent, near.normal, m.reach)[0])
            pure = measure(m, x0, share * m.reach * inward)
            _, low, high = bound.oracle_denoising(1.0, 0.0, pure.normal, m.reach)
            outer.append([pure.distance / high, low / pure.distance])

        cause = "remainder: second order of the tangential part, (1e-4)^2, and rounding eps/1e-5"
        check.tight(ratios, 1.0, tol=2e-8, cause=cause, on=f"error, inward normal, {name}")
        on = f"both distance bounds, normal noise, {name}"
        check.tight(outer, 1.0, tol=64 * EPS, cause="rounding: 64 eps", on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, manifolds):
    """(H2), and three parts of the conclusion."""
    rng = np.random.default_rng(313)
    m = manifolds["S^1 in R^5"]
    x0 = m.law.sample(500, rng)
    inward = m.inward(x0)
    tangent = m.split(x0, rng.standard_normal(x0.shape))[0]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)

    # (H2) the noise is 1.5 times the reach: tau/|tau - q| read there would promise .2
    far = measure(m, x0, 1.5 * inward + 0.1 * tangent)
    promised = m.reach / np.abs(m.reach - np.hypot(far.tangent, far.normal)) * far.tangent
    check.control("sigma |e| < reach (1.5 of it)", far.error, promised, on="S^1 in R^5")

    # the factor of the error: 1, or the one of outward noise
    near = measure(m, x0, 0.5 * inward + 0.1 * tangent)
    check.control("the factor tau/(tau - q) (1 instead)", near.error, near.tangent, tol=1e-12, on="S^1 in R^5, q = .5 tau")
    out = measure(m, x0, -0.5 * inward + 0.1 * tangent)
    promised = m.reach / (m.reach + np.hypot(out.tangent, out.normal)) * out.tangent
    check.control("inward noise too (tau/(tau + q))", near.error, promised, on="S^1 in R^5")

    # the distance is not sigma |e_N|: the tangential part lifts the point off a curved set
    side = measure(m, x0, 0.9 * tangent)
    dropped = "|e_T| in the upper bound of the distance"
    check.control(dropped, side.distance, side.normal, tol=1e-12, on="S^1 in R^5, tangential noise")
