"""The limit of the mean chain is the CME for all y and all SNRs if and only if the prior is Gaussian (derived).

Let Z_0(y, v_hat) be the endpoint of the limit ODE. Suppose that

    (H1)  the prior has a finite second moment,
    (H2)  the equality is asked for all y, and for all v_hat in an interval,
    (H3)  the schedule is refined (the chain is replaced by its limit).

Then

    Z_0(y, v_hat) = E[x | y]    <=>    Lap D_v = 0 everywhere    <=>    the prior is Gaussian, possibly degenerate.

The proof rests on the transport equation dD/dv = Lap D / 2 + (grad D) grad log q, which is checked apart.

Measured on singular Gaussians, on 36 random mixtures, and by the size of the gap next to a Gaussian.
"""

import numpy as np
import sympy

from exactdiffusion import GaussianMixture, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.limit_is_cme_iff_gaussian.statement
EPS = np.finfo(np.float64).eps


def random_mixture(rng, d):
    """Two to four components in R^d, normalised."""
    K = int(rng.integers(2, 5))
    A = rng.standard_normal((K, d, d)) * rng.uniform(0.2, 1, (K, 1, 1))
    C = A @ np.swapaxes(A, 1, 2) / d + 0.01 * np.eye(d)
    return cm.normalised(GaussianMixture(rng.dirichlet(np.full(K, 2.0)), rng.standard_normal((K, d)), C))


def largest_laplacian(law, z, *levels):
    """The largest |Lap D| over the points and the levels."""
    return max(bound.limit_is_cme_iff_gaussian(cm.denoiser_laplacian(law, z, v)) for v in levels)


def chain_gap(law, n, y, sigma=1.0):
    """|f - CME| of the mean chain of n refined steps, (n, d)."""
    return np.abs(cm.denoise(law, cm.refined_grid(n, sigma), y, sigma) - cm.cme(law, y, sigma))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_if(check, line):
    """Gaussian priors, singular ones included: Lap D = 0, and the solver's endpoint is the CME."""
    rng = np.random.default_rng(31)
    for rank in (3, 1):
        A = rng.standard_normal((3, rank))
        law = GaussianMixture([1.0], rng.standard_normal((1, 3)), (A @ A.T)[None])
        y = law.noised(1.0, 1.0).sample(6, rng)
        cause, on = "rounding: eps: a posterior minus its mean", f"Lap D, Gaussian in R^3 of rank {rank}"
        check.equal(largest_laplacian(law, y, 1.0, 0.1, 0.01), 0.0, tol=EPS, cause=cause, on=on)
        end, cause = line.trajectory(law, y, 1.0, v_end=1e-9, rtol=1e-11), "remainder: solver rtol 1e-11 and v_end"
        check.equal(end, cm.cme(law, y, 1.0), tol=1e-8, cause=cause, on=f"endpoint, rank {rank}")


def test_only_if(check, line):
    """36 random mixtures: Lap D is far from 0 and so is the gap, at some y for every one."""
    rng = np.random.default_rng(32)
    laplacians, gaps = np.empty((2, 36))
    for trial in range(36):
        law = random_mixture(rng, 1 + trial % 3)
        y = law.noised(1.0, 0.7).sample(40, rng)
        laplacians[trial] = largest_laplacian(law, y, 0.49)
        gaps[trial] = np.max(chain_gap(law, 40, y, 0.7))

    cause, of = "exact: strict: rounding is 1e-14", "a threshold above rounding, no ratio"
    check.holds(1e-9, laplacians, tol=0, cause=cause, on="largest |Lap D|, 36 random mixtures", of=of)
    check.holds(1e-9, gaps, tol=0, cause=cause, on="largest |f - CME|, the same mixtures, n = 40", of=of)
    both = ((laplacians > 1e-9) == (gaps > 1e-9)).astype(float)
    check.equal(both, 1.0, tol=0, cause="exact: yes/no", on="both or neither, 36 random mixtures")


def test_transport_equation(check):
    """d D/dv = Lap D / 2 + D' score, the heart of the proof: SymPy for two points, whose score is (tanh(z/v) - z)/v."""
    z, v = sympy.symbols("z v", positive=True)
    D = sympy.tanh(z / v)
    residual = sympy.diff(D, v) - sympy.diff(D, z, 2) / 2 - sympy.diff(D, z) * (D - z) / v
    check.equal(float(sympy.simplify(residual.rewrite(sympy.exp))), 0.0, tol=0, cause="exact: SymPy", on="two points")


def test_transport_equation_of_mixtures(check, mixtures):
    """The same by differences in v, with the posterior covariance for the derivative of D."""
    for name, law in mixtures.items():
        z, v, h = law.noised(1.0, 0.8).sample(8, np.random.default_rng(33)), 0.64, 1e-3

        def denoised(u, law=law, z=z):
            return law.noised(1.0, np.sqrt(u)).denoise(z)

        fine, coarse = ((denoised(v + k) - denoised(v - k)) / (2 * k) for k in (h, 2 * h))
        level = law.noised(1.0, np.sqrt(v))
        transport = np.einsum("nij,nj->ni", level.posterior_covariance(z) / v, level.score(z))
        right, tol = 0.5 * cm.denoiser_laplacian(law, z, v) + transport, np.max(np.abs(fine - coarse))
        cause, on = "remainder: change of the difference quotient in v", f"transport equation, {name}"
        check.equal((4 * fine - coarse) / 3, right, tol=tol, cause=cause, on=on)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_value_on_two_points(check):
    """Two points: D = tanh(z/v), whose second derivative is largest where tanh = 1/sqrt 3, and 4/(3 sqrt 3 v^2) there."""
    law = GaussianMixture(None, np.array([[-1.0], [1.0]]), 0.0)
    for v in (0.05, 0.5, 4.0):
        z = v * np.arctanh(1 / np.sqrt(3)) * np.linspace(-2, 2, 41)[:, None]  # the two maxima are among them
        value = bound.limit_is_cme_iff_gaussian(cm.denoiser_laplacian(law, z, v))
        exact = 4 / (3 * np.sqrt(3) * v**2)
        cause = "rounding: 64 eps (1 + 1/v): rounding of the exponents z/v, on third moments"
        check.equal(value / exact, 1.0, tol=64 * EPS * (1 + 1 / v), cause=cause, on=f"largest |Lap D|, two points, v = {v}")


def test_rate_next_to_a_gaussian(check, line):
    """Mixture .5/.5 of N(+-a, 1 - a^2): the fourth cumulant is -2 a^4, and the gap is of that order, never 0."""
    a = np.array([0.05, 0.1, 0.2])
    y, gaps = np.array([[0.8]]), []
    for value in a:
        law = GaussianMixture(None, np.array([[-value], [value]]), 1 - value**2)
        f = line.trajectory(law, y, 1.0, v_end=1e-10, rtol=1e-13)
        gaps.append(float(np.abs(f - cm.cme(law, y, 1.0))[0, 0]))
    check.rate(distances.fit_slope(a, gaps), 4.0, within=0.1, on="gap against a, y = .8, 0 dB")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Where the equality holds by accident, or the criterion is asked of another prior."""
    law, y = line.priors["gmm2"], np.array([[0.7]])

    # (H2) one observation: the centre of a symmetric prior
    gap = chain_gap(law, 40, np.zeros((1, 1)))
    check.control("all y (only y = 0 of a symmetric prior)", 1e-4, gap, on="gmm2, n = 40")

    # (H3) one step is exact for every prior
    check.control("a refined schedule (one step)", 1e-4, chain_gap(law, 1, y), on="gmm2, y = .7")

    check.control("a Gaussian prior", largest_laplacian(law, y, 1.0), 0.0, tol=1e-9, on="Lap D of gmm2")
