"""ULA under a log-Sobolev inequality (Vempala & Wibisono 2019, in the form of Chewi, Log-Concave Sampling, Theorem 4.2.7).

Suppose that

    (H1)  p has a log-Sobolev inequality with constant a > 0,
    (H2)  |Hess log p| <= L,
    (H3)  0 < h <= 1 / (4 L).

Then

    KL(nu_k | p)  <=  exp(-a h k) KL(nu_0 | p) + 6 h d L^2 / a.

Both terms are loose: the diffusion decays like exp(-2 a t), and the true bias is O(h^2).

Measured by the exact law of the chain on a line, and by its recursion on a Gaussian in R^3.
"""

import mpmath
import numpy as np

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.output_laws import langevin, line
from exactdiffusion.statements import log_concavity as bound

STATEMENT = bound.ula_log_sobolev.statement
#: two points at +-1 noised with sigma^2 = 2: -Hess log p in [1/4, 1/2], so log-Sobolev with a = 1/4 (Bakry-Emery)
LAW, A, L = GaussianMixture(None, np.array([[-1.0], [1.0]]), 2.0), 0.25, 0.5
START = GaussianMixture(None, np.array([[5.0]]), 0.5)


def divergences(law, start, h, steps):
    """KL of the chain to the law after each of the numbers of steps, (len(steps),), by exact densities."""
    x = langevin.line_nodes(law, start, step=min(0.1, np.sqrt(2 * h) / 4), pad=1.0)
    target = line.discretise(law, x)
    return np.array([line.divergences(target, q).reverse_kl for q in langevin.ula(law, start, h, steps, x)])


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypotheses(check):
    H = -LAW.hessian(np.linspace(-12, 12, 2401)[:, None])[:, 0, 0]
    check.hypothesis("1/4 <= -Hess log p <= 1/2", (H >= 0.25 - 1e-15) & (H <= 0.5 + 1e-15), on="two points, sigma^2 = 2")


def test_holds(check):
    start = divergences(LAW, START, 0.25, (0,))[0]
    for h, steps in ((0.5, (1, 4, 16, 60)), (0.05, (5, 40, 150))):
        measured = divergences(LAW, START, h, steps)
        larger = bound.ula_log_sobolev(np.array(steps), h, A, L, 1, start)
        detail = f"ratios {np.array2string(measured / larger, precision=3)}"
        cause = "remainder: quadrature"
        check.holds(measured, larger, tol=1e-10, cause=cause, on=f"KL from N(5, 1/2), h = {h:g}", detail=detail)


def test_gaussians(check):
    """Any dimension, exact recursion: a = 1/lam_max, L = 1/lam_min."""
    lam = np.array([0.5, 1.0, 1.5])
    a, smooth = 1 / lam.max(), 1 / lam.min()
    h, zero = 1 / (4 * smooth), np.zeros(3)
    mean, v = np.array([2.0, -1.0, 3.0]), np.array([0.1, 4.0, 1.0])
    kl = [distances.gaussian_kl(mean, v, zero, lam)]
    for _ in range(200):
        mean, v = (1 - h / lam) * mean, (1 - h / lam) ** 2 * v + 2 * h
        kl.append(distances.gaussian_kl(mean, v, zero, lam))
    larger = bound.ula_log_sobolev(np.arange(1, 201), h, a, smooth, 3, kl[0])
    check.holds(kl[1:], larger, tol=1e-12, cause="rounding", on="N(0, diag(.5, 1, 1.5)), k = 1 .. 200")


def test_formula_in_30_digits(check):
    """Both terms of the printed bound, with mpmath."""
    cases = ((0, 0.01, 1.0, 2.0, 3, 0.25), (40, 0.002, 0.5, 5.0, 10, 7.0), (300, 0.02, 3.0, 4.0, 1, 90.0))
    for k, h, a, smooth, d, start in cases:
        with mpmath.workdps(30):
            exact_h, exact_a, exact_smooth = map(mpmath.mpf, (h, a, smooth))
            decay = mpmath.exp(-exact_a * exact_h * k) * mpmath.mpf(start)
            exact = float(decay + 6 * exact_h * d * exact_smooth**2 / exact_a)
        tol, cause = 2.0**-52 * (16 + 4 * a * h * k) * exact, "rounding: (16 + 4 a h k) eps: rounding of the exponent"
        check.equal(bound.ula_log_sobolev(k, h, a, smooth, d, start), exact, tol=tol, cause=cause, on=f"mpmath, k = {k}")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained_by_small_steps_from_far(check):
    """One step of 1e-7 from N(1e4, 1) to N(0, 1): decay and bias are both below 1e-6 of the bound, which is then reached."""
    h, far = 1e-7, 1e4
    start = distances.gaussian_kl([far], [1.0], [0.0], [1.0])
    after = distances.gaussian_kl([(1 - h) * far], [(1 - h) ** 2 + 2 * h], [0.0], [1.0])
    larger = bound.ula_log_sobolev(1, h, 1.0, 1.0, 1, start)
    check.holds(after, larger, tol=0, cause="exact: the decay 2 a h is twice that of the bound", on="N(1e4, 1) to N(0, 1)")
    cause = "remainder: a h and 12 h / 1e8"
    check.tight(after / larger, 1.0, tol=2 * h, cause=cause, on="one step of 1e-7, N(1e4, 1) to N(0, 1)")


def test_rate(check):
    """Looseness on record: the true bias is O(h^2), the bound's O(h)."""
    h = np.array([0.25, 0.125, 0.0625])
    bias = [divergences(LAW, LAW, v, (int(30 / v),))[0] for v in h]
    check.rate(distances.fit_slope(h, bias), 2.0, within=0.15, on="bias after time 30 against h")
    limit = [bound.ula_log_sobolev(10**9, v, A, L, 1, 1.0) for v in h]
    check.rate(distances.fit_slope(h, limit), 1.0, within=1e-9, on="the bound's bias against h")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each hypothesis dropped, and the bias term."""
    # (H1) two far modes: their log-Sobolev constant is far below the 1/2 of each component
    far, begin = GaussianMixture(None, np.array([[-4.0], [4.0]]), 1.0), GaussianMixture(None, np.array([[4.0]]), 1.0)
    stuck = divergences(far, begin, 0.02, (0, 300))
    larger = bound.ula_log_sobolev(300, 0.02, 0.5, 1.0, 1, stuck[0]) - 6 * 0.02 / 0.5
    check.control("log-Sobolev (a = 1/2 pretended), first term", stuck[1], larger, on="two modes at +-4, h = .02, k = 300")

    # (H3) N(0, .4) has a = L = 2.5: h = .9 > 2 lam is unstable, the right side stays at 6 h L^2/a = 13.5
    v = 0.4 * (1 - 0.9 / 0.4) ** 50 + 1.8 * np.sum((1 - 0.9 / 0.4) ** (2 * np.arange(25)))
    wild = distances.gaussian_kl([0.0], [v], [0.0], [0.4])
    check.control("h <= 1/(4 L) (h = .9)", wild, 6 * 0.9 * 2.5, on="N(0, .4), k = 25")

    start, late = divergences(LAW, START, 0.25, (0, 400))
    check.control("the bias term", late, np.exp(-A * 0.25 * 400) * start, tol=1e-8, on="h = .25, k = 400")
