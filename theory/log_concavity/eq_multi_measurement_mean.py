"""Posterior mean given m measurements, on 200 random mixtures: one denoising of the mean against sequential assimilation."""

import numpy as np

from exactdiffusion import PointCloud, Sphere, measurements
from exactdiffusion.bounds import log_concavity as bound

STATEMENT = bound.multi_measurement_mean.statement
TOL, CAUSE = 1e-13, "450 eps of the size of measurements and components"


def test_200_random_mixtures(check, measured):
    formula, library, reference = [], [], []
    for i in measured:
        mean = i.total / i.m
        score = i.law.noised(1.0, i.sigma / np.sqrt(i.m)).score(mean)
        formula.append(np.pad(bound.multi_measurement_mean(mean, score, i.m, i.sigma)[0] / i.size, (0, 6 - i.d)))
        library.append(np.pad(measurements.posterior_mean(i.law, i.total, i.m, i.sigma)[0] / i.size, (0, 6 - i.d)))
        reference.append(np.pad(i.mean / i.size, (0, 6 - i.d)))
    check.equal(formula, reference, tol=TOL, cause=CAUSE, on="score formula against assimilation, 200 mixtures, m <= 49")
    check.equal(library, reference, tol=TOL, cause=CAUSE, on="library against assimilation, 200 mixtures, m <= 49")


def test_other_laws(check):
    """Clouds against Bayes' rule on the atoms with all measurements; a sphere against the formula."""
    rng = np.random.default_rng(41)
    cloud = PointCloud(rng.standard_normal((30, 4)), rng.dirichlet(np.ones(30)))
    for m, sigma in ((1, 0.7), (6, 2.0), (40, 0.5)):
        x = cloud.points[rng.integers(30, size=20)]
        y = x[:, None] + sigma * rng.standard_normal((20, m, 4))
        logits = np.log(cloud.weights) - np.sum((y[:, :, None] - cloud.points) ** 2, axis=(1, 3)) / (2 * sigma**2)
        w = np.exp(logits - logits.max(axis=1, keepdims=True))
        reference = (w / w.sum(axis=1, keepdims=True)) @ cloud.points
        library = measurements.posterior_mean(cloud, y.sum(axis=1), m, sigma)
        tol = 64 * np.finfo(float).eps * (4 + np.abs(logits).max())
        check.equal(library, reference, tol=tol, cause="64 eps of the logits", on=f"cloud in R^4, m = {m}, sigma {sigma:g}")
        ball = Sphere(radius=1.3, dim=4)
        mean = ball.sample(20, rng) + sigma / np.sqrt(m) * rng.standard_normal((20, 4))
        score = ball.noised(1.0, sigma / np.sqrt(m)).score(mean)
        check.equal(
            bound.multi_measurement_mean(mean, score, m, sigma),
            measurements.posterior_mean(ball, m * mean, m, sigma),
            tol=TOL * 10,
            cause="450 eps of |y| <= 10",
            on=f"sphere in R^4, m = {m}, sigma {sigma:g}",
        )


def test_controls(check, measured):
    wrong, last, total = [], [], []
    for i in measured:
        if i.m < 3:
            continue
        mean, s = i.total / i.m, i.sigma / np.sqrt(i.m)
        score = i.law.noised(1.0, s).score(mean)
        wrong.append(np.max(np.abs((mean + i.sigma**2 * score)[0] - i.mean)) / i.size)
        last.append(np.max(np.abs(measurements.posterior_mean(i.law, i.y[-1:], 1, i.sigma)[0] - i.mean)) / i.size)
        total.append(np.max(np.abs(measurements.posterior_mean(i.law, mean, i.m, i.sigma)[0] - i.mean)) / i.size)
    on = "random mixtures with m >= 3"
    check.control("s = sigma^2/m (sigma^2 instead)", wrong, TOL, on=on)
    check.control("all measurements (the last one alone)", last, TOL, on=on)
    check.control("the sum (the mean handed over as the sum)", total, TOL, on=on)
