"""Duality of log-concavity: noised law and posterior (derived; the window of SLIPS, Grenioux et al. 2024, recalled).

Suppose that

    (H1)  X = Z + tau N with Z in a ball of radius R and tau > 0,
    (H2)  Y = X + sqrt(v) N, with v >= v_low for the noised law, v <= v_high for the posteriors.

Then, with

    v_low  =  max(0, R^2 - tau^2),        v_high  =  tau^4 / (R^2 - tau^2)    (infinite for R <= tau),

q_v is log-concave for v >= v_low, and p(x | y) is log-concave for every y for v <= v_high. By these bounds both hold at once
for some v if and only if R^2 <= 2 tau^2. Both ends are exact for two Gaussians at +-R.

Measured on five random mixtures, the posteriors at thousands of points, and by SymPy.
"""

import math
from typing import NamedTuple

import numpy as np
import sympy

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.certificates import enclosing_ball, log_concavity_threshold
from exactdiffusion.papers.log_concavity.measurements import posterior_mixture
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.log_concavity_window.statement
EPS = np.finfo(float).eps


def mixtures():
    rng = np.random.default_rng(98)
    for d, K in ((1, 2), (1, 5), (2, 3), (2, 7), (5, 4)):
        means = rng.standard_normal((K, d))
        tau2 = enclosing_ball(means)[1] ** 2 * rng.uniform(0.2, 0.9)
        yield Case(f"{K} Gaussians in R^{d}", GaussianMixture(rng.dirichlet(np.ones(K)), means, tau2), means, tau2)


def points_between(means, rng, count=4000):
    """Where posteriors of Z are undecided: between and about the means."""
    i, j = rng.integers(len(means), size=(2, count))
    t = rng.random((count, 1))
    return t * means[i] + (1 - t) * means[j] + 0.3 * rng.standard_normal((count, means.shape[1])) * rng.random((count, 1))


class Case(NamedTuple):
    """A mixture of common variance tau2, and its means, the atoms of Z."""

    name: str
    law: GaussianMixture
    means: np.ndarray
    tau2: float


def top_curvature(law, x):
    """Largest eigenvalue of the Hessian of the log density at each x (n, d): (n,)."""
    return np.linalg.eigvalsh(law.hessian(x))[:, -1]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_posteriors(check):
    """Every posterior at v_high: the largest eigenvalue of its Hessian is at most 0, at thousands of points."""
    rng = np.random.default_rng(99)
    for name, law, means, tau2 in mixtures():
        low, high = bound.log_concavity_window(enclosing_ball(means)[1], tau2)
        x = points_between(means, rng)
        cause, on = "rounding: 256 eps / tau^2", f"Hess log p <= 1/v_high, {name}"
        check.holds(top_curvature(law, x), 1 / high, tol=256 * EPS / tau2, cause=cause, on=on)

        # the posterior itself, as a mixture; and the threshold of the noised law
        posterior = posterior_mixture(law, means.mean(axis=0), 1, math.sqrt(high))
        tol, on = 256 * EPS * (1 / high + 1 / tau2), f"p(x|y) at v_high, {name}"
        check.holds(top_curvature(posterior, x), 0.0, tol=tol, cause="rounding: 256 eps / v", on=on)
        found = log_concavity_threshold(law, certify=False).lower
        cause, on = "remainder: rounding of the ascent", f"sigma*^2 <= v_low, {name}"
        check.holds(found, low, tol=1e-9 * (low + tau2), cause=cause, on=on)


def test_window_by_algebra(check):
    """SymPy: v_low v_high = tau^4; the ends meet at R^2 = 2 tau^2; curvature of two Gaussians where their odds are equal."""
    R, tau, x = sympy.symbols("R tau x", positive=True)
    low, high = R**2 - tau**2, tau**4 / (R**2 - tau**2)
    log_p = sympy.log(sympy.exp(-((x - R) ** 2) / (2 * tau**2)) + sympy.exp(-((x + R) ** 2) / (2 * tau**2)))
    curvature = sympy.simplify(sympy.diff(log_p, x, 2).subs(x, 0))
    meeting = sympy.simplify((low - high).subs(R, sympy.sqrt(2) * tau))
    results = [sympy.simplify(low * high - tau**4), meeting, sympy.simplify(curvature - 1 / high)]
    check.equal([float(r) for r in results], 0.0, tol=0, cause="exact: SymPy", on="product, meeting point, curvature at 0")


def test_measurements(check):
    """sigma^2 at v_low: the posterior is log-concave for every past from m = sigma^2 / v_high on, and not before."""
    R, tau2 = 3.0, 1.0
    law = GaussianMixture([0.2, 0.8], np.array([[-R], [R]]), tau2)
    sigma2, high = bound.log_concavity_window(R, tau2)
    enough = math.ceil(sigma2 / high)
    x = np.linspace(-3, 3, 2401)[:, None]
    middle = 0.5 * tau2 * math.log(0.2 / 0.8) / R
    past = [posterior_mixture(law, np.array([m * middle]), m, math.sqrt(sigma2)) for m in (enough, enough - 1)]
    tops = [np.max(q.hessian(x)) for q in past]
    check.holds(tops[0], 0.0, tol=1e-12, cause="rounding: exactly 0 at equality", on="m = 64, R = 3, tau = 1")
    check.control("m >= sigma^2 / v_high (one measurement less)", tops[1], 0.0, tol=1e-6, on="m = 63, R = 3, tau = 1")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """Two Gaussians, any weights: both ends exact."""
    for w in (0.5, 0.1):
        for R, tau2 in ((1.0, 0.3), (1.0, 0.5), (2.0, 3.0)):
            law = GaussianMixture([w, 1 - w], np.array([[-R], [R]]), tau2)
            low, high = bound.log_concavity_window(R, tau2)
            family = f"w = {w:g}, R = {R:g}, tau^2 = {tau2:g}"

            middle = np.array([[0.5 * tau2 * math.log(w / (1 - w)) / R]])  # equal odds
            top = law.hessian(middle)[0, 0, 0]
            tol, cause = 64 * EPS / (tau2 * max(top, 1e-3)), "rounding: 64 eps / (tau^2 top)"
            check.tight(top * high, 1.0, tol=tol, cause=cause, on=f"sup Hess log p = 1/v_high, {family}")
            ratio = log_concavity_threshold(law).lower / low
            check.tight(ratio, 1.0, tol=1e-12, cause="rounding", on=f"sigma*^2 = v_low, {family}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each hypothesis dropped in turn, on two Gaussians whose curvature is largest at 0."""
    R, tau2 = 1.0, 0.3
    law = GaussianMixture(None, np.array([[-R], [R]]), tau2)
    low, high = bound.log_concavity_window(R, tau2)

    def curvature(law):
        return law.hessian(np.zeros((1, 1)))[0, 0, 0]

    def noised(v):
        return curvature(law.noised(1.0, math.sqrt(v)))

    def posterior(v):
        return curvature(posterior_mixture(law, np.zeros(1), 1, math.sqrt(v)))

    # (H1) the components are narrower than assumed
    narrow = curvature(GaussianMixture(None, np.array([[-R], [R]]), tau2 / 4))
    check.control("tau^2 of the components (4 times too large)", narrow, 1 / high, on="two Gaussians")

    # (H2) noise outside the window, or between its ends where R^2 > 2 tau^2
    check.control("v >= v_low (5 % below)", noised(0.95 * low), 0.0, on="two Gaussians, q_v at 0")
    check.control("v <= v_high (5 % above)", posterior(1.05 * high), 0.0, on="two Gaussians, p(x|0)")
    v = math.sqrt(low * high)
    on = "R = 1, tau^2 = .3: neither q_v nor p(x|0) at v = tau^2"
    check.control("R^2 <= 2 tau^2", min(noised(v), posterior(v)), 0.0, on=on)
