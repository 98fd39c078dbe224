r"""Proposition 3.3: the ideal denoiser is the gradient of a smoothed squared distance, which the printed pair misses by 2.

Suppose that

    (H1)  K is finite with uniform weights,
    (H2)  E[x0 | x] is its ideal denoiser, the conditional mean under x = x0 + s z with z ~ N(0, I), at the same s > 0 as in

              F_s(x) = -s^2 log sum_{x0 in K} exp(-|x - x0|^2 / 2 s^2),     which approximates d(x)^2 / 2.

Then

    grad F_s(x) = x - E[x0 | x],        Hess F_s(x) = I - Cov[x0 | x] / s^2  <=  I,

so that a DDIM step with the ideal denoiser is the gradient step x_{t-1} = x_t - beta_t grad F_{sigma_t}(x_t).

Refuted as printed on the authors' blog, slides 7 to 9 and poster: dist^2 := F_s together with (1/2) grad dist^2 = x -
E[x0 | x]. The two do not fit; either the prefactor is -2 s^2, or the factor 1/2 has to go.

Source: blog, slides and poster of Proposition 3.3 (Permenter & Yuan); the sentence in the paper itself was not at hand.
The corrected form is derived here.
"""

import mpmath
import numpy as np
import sympy as sp

from exactdiffusion import Grid, PointCloud, datasets, samplers
from exactdiffusion.statements import projection as bound

STATEMENT = bound.smoothed_distance_gradient.statement
EPS = np.finfo(np.float64).eps
SIGMAS = (0.05, 0.3, 1.0, 5.0, 100.0)


def instances(rng, count):
    """Small clouds, each with a query at a distance of the order of the cloud."""
    for _ in range(count):
        m, n = int(rng.integers(2, 8)), int(rng.integers(1, 4))
        points = rng.standard_normal((m, n))
        yield PointCloud(points), 1.5 * rng.standard_normal(n)


def half_squares(law, x):
    """|x - x0|^2 / 2, one row per query and one column per atom."""
    return 0.5 * np.sum((x[:, None] - law.points[None]) ** 2, axis=2)


def ideal_gradient(law, x, s):
    """x - E[x0 | x] at one query."""
    return bound.smoothed_distance_gradient(x[None], law.noised(1.0, s).denoise(x[None]))[0]


def exact_derivatives(points, x, s):
    """Gradient and Hessian of F by central differences in 60 digits, step 1e-18: errors of 1e-36 and 1e-24."""
    digits = np.vectorize(lambda v: mpmath.mpf(float(v)), otypes=[object])
    with mpmath.workdps(60):
        points, x, s2, h = digits(points), digits(x), mpmath.mpf(s) ** 2, mpmath.mpf(10) ** -18

        def F(y):
            return -s2 * mpmath.log(mpmath.fsum(mpmath.exp(-q / (2 * s2)) for q in np.sum((y - points) ** 2, axis=1)))

        steps = h * np.eye(len(x), dtype=int).astype(object)
        gradient = [(F(x + u) - F(x - u)) / (2 * h) for u in steps]
        hessian = [[(F(x + u + v) - F(x + u - v) - F(x - u + v) + F(x - u - v)) / (4 * h**2) for v in steps] for u in steps]
    return np.array(gradient, dtype=float), np.array(hessian, dtype=float)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_gradient_and_hessian(check, deep):
    """Both formulas against differences of F itself."""
    on, cause = "60-digit differences", "rounding: 16 eps |x| (1 + |x| diam / s^2): rounding of the posterior weights"
    with (
        check.gather(on=on, cause=cause, kind="equal") as gradients,
        check.gather(on=on, cause=cause + ", times (diam/s)^2", kind="equal") as hessians,
    ):
        for law, x in instances(np.random.default_rng(331), 60 if deep else 12):
            for s in SIGMAS:
                gradient, hessian = exact_derivatives(law.points, x, s)
                ours = bound.smoothed_distance_hessian(law.noised(1.0, s).posterior_covariance(x[None]), s)[0]

                # the weights carry eps |x| |p_i - p_j| / s^2, and move the mean by the diameter
                size = np.linalg.norm(x) + law.diameter
                weights = 16 * EPS * (1 + size * law.diameter / s**2)
                gradients("grad F = x - E[x0|x]", ideal_gradient(law, x, s), gradient, tol=weights * size)
                hessians("Hess F = I - Cov/s^2", ours, hessian, tol=weights * (1 + (law.diameter / s) ** 2))


def test_hessian_below_identity(check):
    largest = []
    for law, x in instances(np.random.default_rng(333), 200):
        for s in SIGMAS:
            hessian = bound.smoothed_distance_hessian(law.noised(1.0, s).posterior_covariance(x[None]), s)[0]
            largest.append(np.linalg.eigvalsh(hessian)[-1])
    on = "largest eigenvalue of Hess F, 1,000 instances"
    check.holds(largest, 1.0, tol=64 * EPS, cause="rounding: 64 eps: eigenvalues near 1", on=on)


def test_ddim_step_is_a_gradient_step(check):
    """x_{t-1} = x_t - beta_t grad F(x_t), with the gradient by differences of F itself, on digits."""
    law = PointCloud(datasets.digits()[:400])
    x = np.random.default_rng(334).standard_normal((6, 64)) * 2
    h = 1e-4
    steps = np.concatenate([h * np.eye(64), -h * np.eye(64), 2 * h * np.eye(64), -2 * h * np.eye(64)])

    cause = "remainder: Richardson: difference of two steps, plus 64 eps |F| / h"
    with check.gather(on="digits", cause=cause, kind="equal") as sides:
        for s, next_s in ((3.0, 2.0), (1.0, 0.9), (0.8, 0.1)):
            # gradient of F at every x: Richardson of the steps h and 2h
            F = np.stack([bound.half_smoothed_distance(half_squares(law, y + steps), s).reshape(4, 64) for y in x])
            fine, coarse = (F[:, 0] - F[:, 1]) / (2 * h), (F[:, 2] - F[:, 3]) / (4 * h)

            out = samplers.final(samplers.ddim(law, Grid([1.0, 1.0], [s, next_s]), x))
            beta = 1 - next_s / s
            off = out - (x - beta * (fine + (fine - coarse) / 3))
            tol = beta * (np.abs(fine - coarse) / 3 + 64 * EPS * np.max(np.abs(F)) / h)
            assert np.max(tol) < 1e-6
            sides("DDIM step with the ideal denoiser", off, 0.0, tol=tol)


def test_function_value(check):
    """F against the log-density of the noised cloud, and against 60 digits where a naive sum of exponentials is 0."""
    rng = np.random.default_rng(332)
    law = PointCloud(datasets.digits()[:300])
    x = law.points[:40] + rng.standard_normal((40, 64)) * 10 ** rng.uniform(-2, 1, (40, 1))
    off = []
    for s in (0.02, 0.3, 1.0, 40.0):
        F = bound.half_smoothed_distance(half_squares(law, x), s)
        log_density = law.noised(1.0, s).log_density(x)
        other = -(s**2) * (log_density + np.log(300) + 32 * np.log(2 * np.pi * s**2))
        scale = np.abs(F) + s**2 * (np.abs(log_density) + 64 * abs(np.log(s)) + 70)
        off.append((F - other) / scale)
    check.equal(off, 0.0, tol=16 * EPS, cause="rounding: 16 eps of the terms", on="F against log density, 300 digits")

    # beyond the range of exp
    h, s = half_squares(law, x)[:1] + 50, 0.02
    assert np.sum(np.exp(-h / s**2)) == 0.0
    with mpmath.workdps(60):
        total = mpmath.fsum(mpmath.exp(-mpmath.mpf(float(v)) * 2500) for v in h[0])
        exact = float(-(mpmath.mpf("0.02") ** 2) * mpmath.log(total))
    value, tol = bound.half_smoothed_distance(h, s), 8 * EPS * exact
    check.equal(value, exact, tol=tol, cause="rounding: 8 eps", on="s = .02, where exp underflows")


def test_identities_sympy(check):
    """Three symbolic atoms in the plane: gradient, Hessian, and the ratio 1/2 of the printed pair."""
    x = sp.Matrix(sp.symbols("x1 x2", real=True))
    s = sp.symbols("s", positive=True)
    atoms = [sp.Matrix(sp.symbols(f"a{i} b{i}", real=True)) for i in range(3)]

    # conditional mean and second moment
    weights = [sp.exp(-(x - a).dot(x - a) / (2 * s**2)) for a in atoms]
    total = sum(weights)
    mean = sum((w * a for w, a in zip(weights, atoms)), sp.zeros(2, 1)) / total
    second = sum((w * a * a.T for w, a in zip(weights, atoms)), sp.zeros(2, 2)) / total

    # derivatives of F; after them the exponentials are just names
    F = -(s**2) * sp.log(total)
    gradient = sp.Matrix([sp.diff(F, v) for v in x])
    hessian = sp.Matrix(2, 2, lambda i, j: sp.diff(gradient[i], x[j]))
    names = dict(zip(weights, sp.symbols("w0 w1 w2", positive=True)))

    def vanishes(e):
        return sp.expand(sp.numer(sp.together(e.subs(names)))) == 0

    proofs = [vanishes(e) for e in gradient - (x - mean)]
    proofs += [vanishes(e) for e in hessian - (sp.eye(2) - (second - mean * mean.T) / s**2)]
    on = "gradient and Hessian of F, 3 atoms in the plane"
    check.equal(np.array(proofs, float), 1.0, tol=0, cause="exact: SymPy", on=on)
    printed = [float(sp.cancel(sp.together((gradient[i] / 2 / (x[i] - mean[i])).subs(names)))) for i in range(2)]
    check.equal(printed, 0.5, tol=0, cause="exact: SymPy", on="(1/2) grad F over s eps*: the ratio is 1/2")


# -- the printed pair is refuted -------------------------------------------------------------------------------------------


def test_refuted_as_printed(check):
    """(1/2) grad dist^2 = s eps* with dist^2 = -s^2 log sum exp: half of the true value on every instance."""
    errors = []
    for law, x in instances(np.random.default_rng(335), 8):
        for s in SIGMAS:
            gradient, _ = exact_derivatives(law.points, x, s)
            ideal = ideal_gradient(law, x, s)
            errors.append(np.linalg.norm(gradient / 2 - ideal) / np.linalg.norm(ideal))
    printed = "dist^2 = -s^2 log sum exp(-|x - x0|^2/2s^2) with (1/2) grad dist^2 = s eps* (blog, slides, poster)"
    detail = f"relative error {min(errors):.12f} .. {max(errors):.12f}: the factor 2"
    check.refuted(printed, errors, 0.0, tol=1e-9, on="relative error of the printed pair", detail=detail)


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) other weights, (H2) another noise level, and the other prefactor."""
    weighted, other_sigma, wrong_scale = [], [], []
    for law, x in instances(np.random.default_rng(336), 8):
        gradient, _ = exact_derivatives(law.points, x, 1.0)
        w = np.arange(1.0, len(law.points) + 1)
        uneven = PointCloud(law.points, w / w.sum())
        weighted.append(np.linalg.norm(gradient - (x - uneven.noised(1.0, 1.0).denoise(x[None])[0])))
        other_sigma.append(np.linalg.norm(gradient - ideal_gradient(law, x, np.sqrt(2.0))))
        wrong_scale.append(np.linalg.norm(2 * gradient - ideal_gradient(law, x, 1.0)))

    on = "8 clouds, s = 1"
    check.control("uniform weights", weighted, 0.0, tol=1e-9, on=on)
    check.control("2 s^2 in the exponent (4 s^2 in the denoiser)", other_sigma, 0.0, tol=1e-9, on=on)
    check.control("prefactor -s^2 (-2 s^2, gradient not halved)", wrong_scale, 0.0, tol=1e-9, on=on)
