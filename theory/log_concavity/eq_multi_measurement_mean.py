"""Posterior mean given m measurements (slides; Eq. (2.3)).

Let Y_t = X + sigma N_t for t = 1, ..., m, and Ybar their mean. Then for every law of X

    E[X | Y_1, ..., Y_m]  =  Ybar + s grad log q_s(Ybar),        s = sigma^2 / m.

Measured on 200 random mixtures against sequential assimilation, on a point cloud and a sphere, and for a uniform and a
Laplace prior against Bayes' rule in 50 digits.
"""

import mpmath
import numpy as np
import pytest

from exactdiffusion import PointCloud, Sphere
from exactdiffusion.papers.log_concavity import measurements
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.multi_measurement_mean.statement
TOL, CAUSE = 1e-13, "rounding: 450 eps of the size of measurements and components"


def uniform(x):
    """Density on [-1, 1]."""
    return mpmath.mpf(1) / 2 if abs(x) <= 1 else mpmath.mpf(0)


def uniform_score(y, s):
    """Score of uniform + N(0, s)."""
    r = mpmath.sqrt(s)
    up, down = (y + 1) / r, (y - 1) / r
    mass = (mpmath.erfc(down / mpmath.sqrt(2)) - mpmath.erfc(up / mpmath.sqrt(2))) / 2
    return (mpmath.npdf(up) - mpmath.npdf(down)) / (r * mass)


def laplace(x):
    return mpmath.exp(-abs(x)) / 2


def laplace_score(y, s):
    """Score of Laplace + N(0, s): the two exponential branches, each tilted; their boundary terms cancel."""
    r = mpmath.sqrt(2 * s)
    right = mpmath.exp(-y) * mpmath.erfc((s - y) / r)
    left = mpmath.exp(y) * mpmath.erfc((s + y) / r)
    return (left - right) / (left + right)


def by_bayes(density, ys, sigma):
    """E[X | y_1 .. y_m] by quadrature of prior times all m likelihoods; no mean of the measurements, no noised density."""

    def weight(x):
        return density(x) * mpmath.exp(-sum((y - x) ** 2 for y in ys) / (2 * sigma**2))

    end = mpmath.mpf(1) if density is uniform else 14 * sigma / mpmath.sqrt(len(ys)) + max(abs(y) for y in ys)
    panels = int(end * mpmath.sqrt(len(ys)) / sigma) + 1  # a deviation each, an edge at the kink
    nodes = [end * k / panels for k in range(-panels, panels + 1)]
    mass = mpmath.quad(weight, nodes, method="gauss-legendre")
    return mpmath.quad(lambda x: x * weight(x), nodes, method="gauss-legendre") / mass


PRIORS = {"uniform": (uniform, uniform_score), "Laplace": (laplace, laplace_score)}
# measurements and sigma, as decimals
MEASURED = ((("0.3",), "0.5"), (("-1.7",), "1.2"), (("0.9", "-0.4", "1.6"), "0.8"), (("2.5", "1.1", "0.2", "3"), "1.5"))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_200_random_mixtures(check, measured):
    """Formula and library against assimilation."""
    means, scores = [i.total / i.m for i in measured], [i.noised.score(i.total / i.m) for i in measured]
    formula = [
        i.six(bound.multi_measurement_mean(mean, score, i.m, i.sigma)[0] / i.size)
        for i, mean, score in zip(measured, means, scores)
    ]
    library = [i.six(measurements.posterior_mean(i.law, i.total, i.m, i.sigma)[0] / i.size) for i in measured]
    reference = [i.six(i.mean / i.size) for i in measured]
    check.equal(formula, reference, tol=TOL, cause=CAUSE, on="score formula against assimilation, 200 mixtures, m <= 49")
    check.equal(library, reference, tol=TOL, cause=CAUSE, on="library against assimilation, 200 mixtures, m <= 49")


def test_other_laws(check):
    """Clouds against Bayes' rule on the atoms with all measurements; a sphere against the formula."""
    rng = np.random.default_rng(41)
    cloud, ball = PointCloud(rng.standard_normal((30, 4)), rng.dirichlet(np.ones(30))), Sphere(radius=1.3, dim=4)
    for m, sigma in ((1, 0.7), (6, 2.0), (40, 0.5)):
        # 20 atoms, m measurements each, and the posterior weights of all atoms
        x = cloud.points[rng.integers(30, size=20)]
        y = x[:, None] + sigma * rng.standard_normal((20, m, 4))
        logits = np.log(cloud.weights) - np.sum((y[:, :, None] - cloud.points) ** 2, axis=(1, 3)) / (2 * sigma**2)
        w = np.exp(logits - logits.max(axis=1, keepdims=True))
        reference = (w / w.sum(axis=1, keepdims=True)) @ cloud.points
        library = measurements.posterior_mean(cloud, y.sum(axis=1), m, sigma)
        tol, cause = 64 * np.finfo(float).eps * (4 + np.abs(logits).max()), "rounding: 64 eps of the logits"
        check.equal(library, reference, tol=tol, cause=cause, on=f"cloud in R^4, m = {m}, sigma {sigma:g}")

        mean = ball.sample(20, rng) + sigma / np.sqrt(m) * rng.standard_normal((20, 4))
        score = ball.noised(1.0, sigma / np.sqrt(m)).score(mean)
        formula = bound.multi_measurement_mean(mean, score, m, sigma)
        library, cause = measurements.posterior_mean(ball, m * mean, m, sigma), "rounding: 450 eps of |y| <= 10"
        check.equal(formula, library, tol=TOL * 10, cause=cause, on=f"sphere in R^4, m = {m}, sigma {sigma:g}")


@pytest.mark.parametrize("prior", PRIORS)
def test_densities_with_kinks_in_many_digits(check, prior):
    """Priors that are no mixtures and not smooth: the formula against Bayes' rule with every measurement, to 40 digits."""
    density, score = PRIORS[prior]
    gap = []
    with mpmath.workdps(50):
        for texts, text in MEASURED:
            ys, sigma = [mpmath.mpf(t) for t in texts], mpmath.mpf(text)
            m = len(ys)
            mean = sum(ys) / m
            formula = bound.multi_measurement_mean(mean, score(mean, sigma**2 / m), m, sigma)
            exact = by_bayes(density, ys, sigma)
            gap.append(float(abs(formula - exact)))
    cause = "remainder: 50 digits, Gauss-Legendre panels of one deviation"
    check.equal(gap, 0.0, tol=1e-40, cause=cause, on=f"{prior} prior, m = 1, 1, 3, 4: score formula against Bayes")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls_on_kinks(check):
    """What goes wrong in the formula at m = 1 shows at once: the sizes of the classical slips."""
    with mpmath.workdps(30):
        for prior, (density, score) in PRIORS.items():
            y, sigma = mpmath.mpf("1.4"), mpmath.mpf("0.6")
            exact, slope = by_bayes(density, [y], sigma), score(y, sigma**2)
            slips = {
                "sigma^2 (sigma)": y + sigma * slope,
                "the sign": y - sigma**2 * slope,
                "the whole step (half)": y + sigma**2 * slope / 2,
                "the noised density's score (that of p)": y - sigma**2 * (prior == "Laplace"),
            }
            for name, value in slips.items():
                check.control(name, float(abs(value - exact)), 0.0, tol=1e-3, on=f"{prior} prior, y = 1.4, sigma = .6")


def test_controls(check, measured):
    """Another noise, the last measurement in place of all, and the mean in place of the sum."""
    several, on = [i for i in measured if i.m >= 3], "random mixtures with m >= 3"

    def off(mean):
        return [np.max(np.abs(mean(i)[0] - i.mean)) / i.size for i in several]

    wrong = off(lambda i: i.total / i.m + i.sigma**2 * i.noised.score(i.total / i.m))
    check.control("s = sigma^2/m (sigma^2 instead)", wrong, TOL, on=on)
    wrong = off(lambda i: measurements.posterior_mean(i.law, i.last, 1, i.sigma))
    check.control("all measurements (the last one alone)", wrong, TOL, on=on)
    wrong = off(lambda i: measurements.posterior_mean(i.law, i.total / i.m, i.m, i.sigma))
    check.control("the sum (the mean handed over as the sum)", wrong, TOL, on=on)
