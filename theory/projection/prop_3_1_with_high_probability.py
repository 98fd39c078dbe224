"""Proposition 3.1 with its probabilities: the projection denoises a noisy point of a manifold.

Suppose that

    (H1)  K is a closed manifold of dimension d in R^n, and x0 is in K,
    (H2)  e ~ N(0, I_n),
    (H3)  reach(K) >= 2 sigma (sqrt n + t), with a number t > 0.

Then with probability at least 1 - 2 exp(-t^2 / 2)

    |p(x0 + sigma e) - x0|  <=  2 sigma (sqrt d + t),

and with probability at least 1 - 3 exp(-t^2 / 2) also

    sigma (sqrt(n - d - 1) - sqrt d - 2 t)  <=  d(x0 + sigma e)  <=  sigma (sqrt n + t).

So for n >> d the error is of the order sqrt(d / n) times the distance; that rate is sharp with constant about 1.

Source: Proposition 3.1 of Permenter & Yuan, informal on slide 11; constants and probabilities are derived here. The
projection is measured by sampling with one-sided Clopper-Pearson limits, the Gaussian norms behind the probabilities
exactly, by chi distributions.
"""

import itertools
import math

import numpy as np
from scipy import stats

from exactdiffusion import distances
from exactdiffusion.statements import projection as bound

NORM = "the norm of a Gaussian, a lemma"
STATEMENT = bound.oracle_denoising_whp.statement
INSTANCES = (("sphere", 4, 64), ("torus", 8, 1024), ("torus", 2, 256))


def draws(m, sigma, n, rng, rows=500):
    """Errors and distances of n noisy points, made in blocks."""
    error, distance = np.empty((2, n))
    for i in range(0, n, rows):
        part = slice(i, min(i + rows, n))
        x0 = m.law.sample(part.stop - i, rng)
        x = x0 + sigma * rng.standard_normal(x0.shape)
        error[part] = np.linalg.norm(m.law.project(x) - x0, axis=1)
        distance[part] = m.law.distance(x)
    return error, distance


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, manifold, deep):
    """The stated probability is demonstrated: the lower limit of the measured one lies above it."""
    draw = check.chance(comparisons=18)
    rng = draw.rng(315)
    for kind, size, n in INSTANCES:
        for t in (1.0, 2.0, 3.0):
            # at t = 3 all draws succeed: that many show a probability above .978 by twice the quantile
            count = 20_000 if deep else 4_000 if t == 3 else 2_000
            claim = bound.oracle_denoising_whp(1.0, size if kind == "torus" else size - 1, n, t)
            m = manifold(kind, size, n, reach=claim["reach"])
            assert claim["reach"] <= m.reach * (1 + 1e-12)
            assert m.dimension == (size if kind == "torus" else size - 1)
            error, d = draws(m, 1.0, count, rng)
            close = error <= claim["error"]
            both = close & (d >= claim["low"]) & (d <= claim["high"])
            on = f"{kind} of dimension {m.dimension} in R^{n}, t = {t:g}, {count} draws"
            draw.frequency_at_least(close.sum(), count, claim["error_probability"], on=on)
            draw.frequency_at_least(both.sum(), count, claim["all_probability"], on="with distance, " + on)


def test_gaussian_norms_exactly(check):
    """P(|g_m| > sqrt m + t) and P(|g_m| < sqrt(m-1) - t) against e^(-t^2/2): chi distributions, no sampling."""
    m = np.unique(np.round(10 ** np.linspace(0, 4, 60)))[:, None]
    t = np.linspace(0.05, 5, 60)
    largest = np.exp(-(t**2) / 2) * np.ones_like(m)
    above = stats.chi2.sf((np.sqrt(m) + t) ** 2, m)
    below = np.where(np.sqrt(m - 1) > t, stats.chi2.cdf(np.maximum(np.sqrt(m - 1) - t, 0) ** 2, m), 0.0)
    cause = "remainder: chi2 of SciPy: relative error below 1e-10"
    check.holds(above, largest, tol=1e-10 * largest, cause=cause, on="from above, m = 1 .. 10^4, t = .05 .. 5", of=NORM)
    check.holds(below, largest, tol=1e-10 * largest, cause=cause, on="from below, m = 1 .. 10^4, t = .05 .. 5", of=NORM)
    check.control(
        "the exponent t^2/2 (t^2 instead)", above, np.exp(-(t**2)) * np.ones_like(m), tol=1e-10, on="norm from above"
    )


def test_constants_come_from_the_deterministic_bound(check):
    """At the edge of the event, |e| = sqrt n + t and |e_T| = sqrt d + t, with the least reach: a looser constant shows."""
    left, right = [], []
    for sigma, (d, n), t in itertools.product((0.01, 1.0, 3.0), ((1, 4), (3, 64), (8, 1024), (0, 10)), (0.5, 2.0)):
        claim = bound.oracle_denoising_whp(sigma, d, n, t)
        tangent, whole = math.sqrt(d) + t, math.sqrt(n) + t
        normal = math.sqrt(whole**2 - tangent**2)
        error, _, high = bound.oracle_denoising(sigma, tangent, normal, claim["reach"])
        # the lower side is linear in |e_N|, also where sqrt(n - d - 1) - t is negative and it says nothing
        _, low, _ = bound.oracle_denoising.formula(sigma, tangent, math.sqrt(n - d - 1) - t, claim["reach"])
        left.append([claim["error"] / sigma, claim["high"] / sigma, claim["low"] / sigma])
        right.append([error / sigma, high / sigma, low / sigma])
    cause = "rounding: at the scale sqrt n + t <= 34"
    check.equal(left, right, tol=1e-13 * 40, cause=cause, on="edge of the event, 24 cases")

    # one tail per norm: |e| and |e_T| from above for the error, |e_N| from below as well for the distance
    for t in (1.5, 3.0):
        claim, tail = bound.oracle_denoising_whp(1.0, 3, 64, t), math.exp(-(t**2) / 2)
        lost = [(1 - claim["error_probability"]) / tail, (1 - claim["all_probability"]) / tail]
        check.equal(lost, [2.0, 3.0], tol=1e-12, cause="remainder: rounding over the tail", on=f"number of tails, t = {t:g}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def flat_mean(d, n):
    """E[|g_d| / |g_(n-d)|], the mean of error/distance where K is flat: a ratio of independent chi variables."""
    lg = math.lgamma
    return math.exp(lg((d + 1) / 2) - lg(d / 2) + lg((n - d - 1) / 2) - lg((n - d) / 2))


def test_informal_rate(check, manifold, deep):
    """error/distance is sqrt(d/n) with constant 1: in n, in d, and its mean against the exact value for flat K."""
    draw = check.chance(comparisons=12)
    rng = draw.rng(316)
    count = 4_000 if deep else 800
    curves = {
        "n": [(8, n) for n in (64, 128, 256, 512, 1024)],
        "d": [(d, 1024) for d in (4, 8, 16, 32, 64)],
    }
    for axis, cases in curves.items():
        # the mean of each case; reach 1e4 sqrt(n): curvature changes error and distance by a relative q/tau = 1e-4 at most
        means, errors = [], []
        for d, n in cases:
            error, distance = draws(manifold("torus", d, n, reach=1e4 * math.sqrt(n)), 1.0, count, rng)
            value = error / distance
            means.append(value.mean())
            errors.append(value.std() / math.sqrt(count) / value.mean())
            limit = flat_mean(d, n)
            on = f"mean error/distance against the chi ratio, curvature 4 q/tau = 4e-4, d = {d}, n = {n}"
            draw.mean(value, limit, tol=4e-4 * limit, on=on)

        # the exponent, exactly for flat K
        x = [c[axis == "n"] for c in cases]
        exact = distances.fit_slope(x, [flat_mean(*c) for c in cases])
        check.rate(exact, -0.5 if axis == "n" else 0.5, within=0.04, on=f"mean error/distance against {axis}, flat K, exact")

        # ... and sampled; least squares: the slope is a sum of log means with weights u / |u|^2
        u = np.log(x) - np.mean(np.log(x))
        sd, on = np.linalg.norm(u * errors) / np.sum(u**2), f"slope of mean error/distance against {axis}, sampled on tori"
        draw.normal(distances.fit_slope(x, means).slope, exact.slope, sd, tol=1e-3, degrees=math.inf, on=on)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, manifold):
    """(H3), n >> d for the informal rate, and the constants of the bound."""
    draw = check.chance(comparisons=6)
    rng = draw.rng(317)
    count, t = 4_000, 3.0

    # (H3) the reach is too small: the lattice 2 tau Z^64 has d = 0, so the claim is exact recovery. It fails at tau ~ sigma,
    # and holds long before tau = 2 sigma (sqrt n + t) = 22 sigma: the hypothesis is sufficient, far from necessary
    for ratio, expected in ((1.0, 0.0), (2.0, 0.0508), (3.0, 0.8411), (4.0, 0.9960)):
        e = rng.standard_normal((count, 64))
        correct = int(np.sum(np.all(np.abs(e) < ratio, axis=1)))  # nearest lattice point is x0: |sigma e_i| < tau
        p = (1 - 2 * stats.norm.sf(ratio)) ** 64
        check.equal(p, expected, tol=5e-5, cause="printed digits: recorded digits", on=f"lattice, tau/sigma = {ratio:g}")
        draw.frequency(correct, count, p, on=f"sampled lattice, tau/sigma = {ratio:g}")
    claim = bound.oracle_denoising_whp(1.0, 0, 64, t)
    correct = int(np.sum(np.all(np.abs(rng.standard_normal((count, 64))) < 2, axis=1)))
    dropped = "reach >= 2 sigma (sqrt n + t) (2 sigma)"
    draw.frequency_below(correct, count, claim["error_probability"], dropped=dropped, on="lattice of Z^64")

    # n >> d: on S^(n-1) in R^n the error is far above sqrt(d/n) times the distance
    for n in (16, 256):
        m = manifold("sphere", n, n, reach=2 * (math.sqrt(n) + t))
        error, distance = draws(m, 1.0, 2_000, rng)
        middle = np.median(error / distance)
        check.control("n >> d (d = n - 1)", middle, math.sqrt((n - 1) / n), on=f"median error/distance, S^{n - 1} in R^{n}")

    # the probability is needed: without the factor 2 and t the error exceeds sigma sqrt(d) half the time
    m = manifold("torus", 8, 1024, reach=2 * (32 + t))
    error, _ = draws(m, 1.0, 2_000, rng)
    dropped, claimed = "2 (sqrt d + t) (sqrt d instead)", 1 - 2 * math.exp(-(t**2) / 2)
    draw.frequency_below(np.sum(error <= math.sqrt(8)), 2_000, claimed, dropped=dropped, on="T^8 in R^1024, t = 3")
