"""Proposition 3.2: at high noise a denoiser into the convex hull is close to the projection, relative to the distance.

Suppose that

    (H1)  K is bounded,
    (H2)  xhat(x, sigma) lies in the convex hull of K,
    (H3)  d(x) > 0.

Then

    |xhat - p(x)| / d(x)  <=  diam(K) / d(x),

and if also (H4) sqrt(n) sigma <= nu d(x), this is at most nu diam(K) / (sqrt(n) sigma). Attained by K = {0, 1}, x = 5 and
the estimate 0, and in the limit by an ideal denoiser with unequal weights; the rate 1 / sigma is the true one of the
ideal denoiser.

Source: Proposition 3.2 of Permenter & Yuan (form recalled), proved in the docstring of `hull_denoiser_error`. Measured
with random, adversarial and ideal denoisers on random clouds.
"""

import math

import numpy as np

from exactdiffusion import PointCloud, distances
from exactdiffusion.statements import projection as bound

STATEMENT = bound.hull_denoiser_error.statement
EPS = np.finfo(np.float64).eps
CAUSE = "rounding: 64 eps (|x| + |p|) / d: rounding of the projection and of hull points"


def clouds(rng, count):
    for _ in range(count):
        m, n = int(rng.integers(2, 30)), int(rng.integers(1, 12))
        yield PointCloud(rng.standard_normal((m, n)) * 10 ** rng.uniform(-2, 2))


def queries(law, rng, n=50):
    x = law.diameter * rng.standard_normal((n, law.dim)) * 10 ** rng.uniform(-1, 2, (n, 1))
    return x[law.distance(x) > 1e-3 * law.diameter]


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, deep):
    """Random, adversarial and ideal denoisers, at noise levels anywhere in the band (H4)."""
    rng = np.random.default_rng(321)
    band = []
    with check.gather(cause=CAUSE) as sides:
        for law in clouds(rng, 1500 if deep else 300):
            x = queries(law, rng)
            p, d = law.project(x), law.distance(x)
            nu = 10 ** rng.uniform(0, 1, len(x))
            sigma = d / math.sqrt(law.dim) * nu ** rng.uniform(-1, 1, len(x))
            band.extend(bound.band_ok(d, sigma, law.dim, nu, rtol=8 * EPS))

            # three denoisers with values in the convex hull
            weights = rng.dirichlet(np.full(len(law.points), 0.1), len(x))
            far = np.argmax(np.linalg.norm(p[:, None] - law.points[None], axis=2), axis=1)
            estimates = {
                "random hull denoiser": weights @ law.points,
                "farthest vertex": law.points[far],
                "ideal denoiser": law.noised(1.0, sigma).denoise(x),
            }

            # the two forms of the conclusion
            first = bound.hull_denoiser_error(law.diameter, d)
            second = bound.hull_denoiser_error(law.diameter, math.sqrt(law.dim) * sigma / nu)
            tol = 64 * EPS * (np.linalg.norm(x, axis=1) + np.linalg.norm(p, axis=1)) / d
            for name, estimate in estimates.items():
                error = bound.relative_error(estimate, p, d)
                sides(f"diam/d, {name}", error, first, tol=tol)
                sides(f"nu diam/(sqrt(n) sigma), {name}", error, second, tol=tol)
    check.hypothesis("d/nu <= sqrt(n) sigma <= nu d", band, on="second form")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained(check):
    """K = {0, 1}, x = 5: by the estimate 0, and by an ideal denoiser in the limit of weights."""
    pair, x = PointCloud(np.array([[0.0], [1.0]])), np.array([[5.0]])
    p, d = pair.project(x), pair.distance(x)
    largest = bound.hull_denoiser_error(pair.diameter, d)
    error = bound.relative_error(np.array([[0.0]]), p, d)
    check.tight(error / largest, 1.0, tol=0, cause="exact", on="K = {0, 1}, x = 5, xhat = 0")

    # nearly all mass on the far atom: the ratio is 1 minus the posterior weight of the near one
    skew = PointCloud(pair.points, weights=[1 - 1e-6, 1e-6])
    ratio = []
    for sigma in (10.0, 1e3):
        estimate = skew.noised(1.0, sigma).denoise(x)
        weight = 1e-6 / (1e-6 + (1 - 1e-6) * math.exp(-(25 - 16) / (2 * sigma**2)))  # of the near atom
        ratio.append(bound.relative_error(estimate, p, d)[0] / largest[0] / (1 - weight))
    on = "weights (1 - 1e-6, 1e-6): 1 - posterior weight of the near atom"
    check.equal(ratio, 1.0, tol=8 * EPS, cause="rounding: 8 eps", on=on)

    error = bound.relative_error(skew.noised(1.0, 1e3).denoise(x), p, d)
    cause, on = "remainder: the weight 1e-6 of the near atom", "ideal denoiser, weights (1 - 1e-6, 1e-6), x = 5, sigma = 1e3"
    check.tight(error / largest, 1.0, tol=1.1e-6, cause=cause, on=on)


def test_rate(check):
    """At sigma = d/sqrt(n) the relative error of the ideal denoiser falls like 1/sigma, as the bound says."""
    rng = np.random.default_rng(322)
    law = PointCloud(rng.standard_normal((40, 6)))
    u = rng.standard_normal(6)
    u /= np.linalg.norm(u)
    radii = law.diameter * 2.0 ** np.arange(6, 16)
    errors, levels = [], []
    for r in radii:
        x = r * u[None]
        d = law.distance(x)
        sigma = d / math.sqrt(6)
        levels.append(sigma[0])
        errors.append(bound.relative_error(law.noised(1.0, sigma).denoise(x), law.project(x), d)[0])
    check.rate(distances.fit_slope(levels, errors), -1.0, within=0.01, on="ideal denoiser, sigma = d/sqrt(n), x to infinity")
    check.rate(
        distances.fit_slope(levels, bound.hull_denoiser_error(law.diameter, math.sqrt(6) * np.array(levels))),
        -1.0,
        within=1e-9,
        on="the bound",
    )


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H2) and (H4), and half the diameter."""
    pair, x, sigma = PointCloud(np.array([[0.0], [1.0]])), np.array([[5.0]]), 0.05

    def error(estimate, x=x):
        return bound.relative_error(estimate, pair.project(x), pair.distance(x))

    # (H2) a linear denoiser leaves the hull
    wiener = 0.5 + 0.25 / (0.25 + sigma**2) * (x - 0.5)
    largest = bound.hull_denoiser_error(pair.diameter, pair.distance(x))
    dropped = "values in the convex hull (linear denoiser)"
    check.control(dropped, error(wiener), largest, on="atoms {0, 1}, x = 5, sigma = .05")

    # (H4) second form outside the band: sigma large at a point close to K
    near = np.array([[1.1]])
    largest = bound.hull_denoiser_error(pair.diameter, 10.0 / 1.0)
    dropped, on = "sqrt(n) sigma <= nu d (100 times as much)", "K = {0, 1}, x = 1.1, sigma = 10, nu = 1"
    check.control(dropped, error(pair.noised(1.0, 10.0).denoise(near), near), largest, on=on)

    # the constant
    half = bound.hull_denoiser_error(pair.diameter / 2, pair.distance(x))
    check.control("the diameter (half of it)", error(np.array([[0.0]])), half, on="K = {0, 1}, x = 5, xhat = 0")
