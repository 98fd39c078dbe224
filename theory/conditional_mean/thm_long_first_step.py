r"""A long first step: the chain converges to the conditional mean at a fixed SNR, for every smoothed prior (derived).

Let v_hat = v_T > u = v_{T-1} > ... > v_0 = 0 be the levels of the chain, q_v the density of x + sqrt(v) n, xhat = E[x | y]
and z_1 = xhat + (u / v_hat) (y - xhat) the state after the first step. Suppose that

    (H1)  the steps are exact means from z = y at v_hat, and u is the level after the first step,
    (H2)  |grad log q_v(z)| <= h(z) / (lambda + v) for v <= u, where lambda > 0 and h is 1-Lipschitz: a Gaussian mixture
          with covariances >= lambda, and h(z) = max_k |z - m_k|.

Then, whatever the levels below u and whatever their number,

    |f(y) - E[x | y]|  <=  (u / v_hat) |y - xhat|  +  (u / lambda) h(z_1).

So a sequence of grids with u -> 0 converges to the CME at every y, at rate u (the mean squared excess at rate u^2); to first
order in u the error is u (grad log p_0(xhat) - grad log q_v_hat(y)). Two refinements fail: (i) with atoms, which have no
lambda > 0, the chain goes to the nearest atom; (ii) where all steps shrink, u -> v_hat, the limit is the endpoint of the ODE
of `thm_limit_ode`.

Source: derived; the proof is in the docstring of the statement. The paper announces convergence to the CME; its exact
hypotheses were not at hand, so nothing here is its verdict.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, Grid, PointCloud, datasets, distances
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.long_first_step.statement
EPS = np.finfo(np.float64).eps
NAMES = ("gmm2", "gmm3", "scale mixture")
#: second levels of the rates at 0 dB; the smallest lambda of the three priors is .05
SECOND = 2.0 ** -np.arange(9, 13)
PAIR = PointCloud(np.array([[-1.0], [1.0]]))


@functools.cache
def smoothing(law):
    """lambda of (H2): the least eigenvalue of all covariances."""
    C = np.asarray(law.covariances)
    return float(np.min(np.linalg.eigvalsh(C)) if C.ndim == 3 else np.min(C))


def growth(law, z):
    """h of (H2), the distance to the farthest mean, (n,)."""
    return np.max(np.linalg.norm(z[:, None] - law.means, axis=2), axis=1)


def long_step_grid(u, v_hat=1.0, steps=8):
    """Levels v_hat, then u and ``steps - 2`` more in geometric progression, ratio 1/4, then 0."""
    return ending_at_zero(np.append(v_hat, u * 0.25 ** np.arange(steps - 1)))


def ending_at_zero(v):
    return Grid(np.ones(len(v) + 1), np.sqrt(np.append(v, 0.0)))


@dataclass(frozen=True)
class Instance:
    """A prior, levels v_hat and u per row, (n, 1), observations y, (n, d), and a grid with a column per row."""

    law: GaussianMixture
    grid: Grid
    y: np.ndarray

    @property
    def v_hat(self):
        return self.grid.noise_ratio[0][:, None] ** 2

    @property
    def u(self):
        return self.grid.noise_ratio[1][:, None] ** 2

    @property
    def cme(self):
        return self.law.noised(1.0, self.grid.sigma[0]).denoise(self.y)

    def error(self, method="mean"):
        """|f(y) - E[x|y]|, (n,)."""
        return np.linalg.norm(cm.denoise(self.law, self.grid, self.y, method=method) - self.cme, axis=1)

    def bound(self, share=None, second=None):
        """The right-hand side, (n,), with another share left by the first step (DDIM) or another level for u."""
        u = self.u if second is None else second
        share = u / self.v_hat if share is None else share
        residual = np.linalg.norm(self.y - self.cme, axis=1)
        farthest = growth(self.law, self.cme + share * (self.y - self.cme))
        u, share = u[:, 0], share[:, 0]
        # only the share differs between the two chains: v_hat = u / share gives it
        return bound.long_first_step.formula(u / share, u, residual, farthest, smoothing(self.law))


def instances(law, rng, rows, steps):
    """v_hat in .1 .. 10, u / v_hat in 1e-4 .. .9, random levels below."""
    v_hat = 10 ** rng.uniform(-1, 1, rows)
    u = v_hat * 10 ** rng.uniform(-4, -0.05, rows)
    below = u * np.sort(rng.uniform(1e-3, 1, (steps - 2, rows)) ** rng.uniform(0.5, 4, rows), axis=0)[::-1]
    v = np.vstack([v_hat, u, below, np.zeros(rows)])
    y = law.sample(rows, rng) + np.sqrt(v_hat)[:, None] * rng.standard_normal((rows, law.dim))
    return Instance(law, Grid(np.ones_like(v), np.sqrt(v)), y)


def random_mixtures(rng, count):
    """Two to four components in R^3 with full covariances, normalised."""
    for _ in range(count):
        K = int(rng.integers(2, 5))
        A = rng.standard_normal((K, 3, 3)) * rng.uniform(0.2, 1, (K, 1, 1))
        C = A @ np.swapaxes(A, 1, 2) / 3 + 0.02 * np.eye(3)
        yield cm.normalised(GaussianMixture(rng.dirichlet(np.full(K, 2.0)), rng.standard_normal((K, 3)), C))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypotheses(check, line):
    """(H2) at random points and levels, as a ratio to the largest score that it allows."""
    rng = np.random.default_rng(51)
    for name, law in {**{n: line.priors[n] for n in NAMES}, "mixture in R^3": next(random_mixtures(rng, 1))}.items():
        z = 4 * rng.standard_normal((400, law.dim))
        v = 10 ** rng.uniform(-6, 1, 400)
        score = np.linalg.norm(law.noised(1.0, np.sqrt(v)).score(z), axis=1)
        allowed = growth(law, z) / (smoothing(law) + v)
        check.hypothesis(
            "|grad log q_v| <= h / (lambda + v)", score <= allowed * (1 + 1e-12), on=f"400 points and levels, {name}"
        )


def test_holds(check, line, deep):
    """Random grids of 2 to 40 steps, one for every observation; the same grids for DDIM."""
    rng = np.random.default_rng(52)
    laws = {**{n: line.priors[n] for n in NAMES}, **{f"R^3, {i}": m for i, m in enumerate(random_mixtures(rng, 4))}}
    of = "the same for DDIM, whose first step leaves sqrt(u / v_hat)"
    for steps in (2, 3, 10, 40):
        tol, cause, on = (
            64 * EPS * steps * 20,
            "rounding: 64 eps |y| per step, |y| <= 20",
            f"{len(laws)} priors, {steps} steps",
        )
        each = [instances(law, rng, 1000 if deep else 100, steps) for law in laws.values()]
        errors, larger = (np.concatenate([side(i) for i in each]) for side in (Instance.error, Instance.bound))
        check.holds(errors, larger, tol=tol, cause=cause, on=on)

        ddim = np.concatenate([i.error("ddim") for i in each])
        larger = np.concatenate([i.bound(share=np.sqrt(i.u / i.v_hat)) for i in each])
        check.holds(ddim, larger, tol=tol, cause=cause, on=f"DDIM, {on}", of=of)


def test_first_step_alone(check):
    """The first term is the whole distance of z_1 from the CME: the value at h = 0."""
    rng = np.random.default_rng(53)
    for law in random_mixtures(rng, 3):
        i = instances(law, rng, 50, 3)
        z_1 = next(s for k, s in enumerate(cm.chain(law, i.grid, i.y)) if k == 1)
        residual = np.linalg.norm(i.y - i.cme, axis=1)
        value = bound.long_first_step(i.v_hat[:, 0], i.u[:, 0], residual, 0.0, smoothing(law))
        cause, on = "rounding: 64 eps |y|, |y| <= 20", "|z_1 - E[x|y]|, mixture in R^3"
        check.equal(np.linalg.norm(z_1 - i.cme, axis=1), value, tol=64 * EPS * 20, cause=cause, on=on)


def test_mean_squared_excess(check, line):
    """At 0 dB over all observations: below the bound of the second moment, and falling like u^2."""
    for name in NAMES:
        law, lam = line.priors[name], smoothing(line.priors[name])
        mmse = line.truth(name, 1.0).mmse
        found = np.array([line.chain_excess(name, 1.0, long_step_grid(u)) for u in SECOND])

        # E h(x)^2 by quadrature over the prior: 60 Gauss-Hermite nodes for every component
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        variances = np.broadcast_to(law.covariances, law.weights.shape)
        x = law.means + np.sqrt(variances)[:, None] * nodes
        h = growth(law, x.reshape(-1, 1)).reshape(x.shape)
        farthest = float(law.weights @ (h**2 @ weights)) / weights.sum()
        larger = 2 * SECOND**2 * ((1 + SECOND / lam) ** 2 + farthest / lam**2) / mmse
        of = "the mean squared form of the bound"
        check.holds(found, larger, tol=0, cause="exact: strict", on=f"excess over MMSE, {name}, 0 dB", of=of)
        slope = distances.fit_slope(SECOND, found)
        check.rate(slope, 2.0, within=0.1, on=f"excess over MMSE against u, {name}, 0 dB")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """w N(0, 1) + (1 - w) N(0, L), w = L^(-1/4): the broad component makes the CME, the narrow one pulls it to 0."""
    for L in (1e8, 1e12, 1e16):
        law = GaussianMixture([L**-0.25, 1 - L**-0.25], np.zeros((2, 1)), np.array([1.0, L]))
        y, u = np.array([[1.0]]), 1e-5
        i = Instance(law, Grid(np.ones((3, 1)), np.sqrt([[L], [u], [0.0]])), y)
        tol, cause = 3 * L**-0.25 + 2 * u, "remainder: weight L^(-1/4) of the other component, and u / lambda"
        check.tight(i.error() / i.bound(), 1.0, tol=tol, cause=cause, on=f"two variances, 1 and {L:.0e}")


def test_leading_term(check, line):
    """The error over u, extrapolated to u = 0, is the difference of two scores: the rate is u and no better."""
    y = np.array([[-1.7], [-0.6], [0.35], [0.9], [1.6]])
    for name in NAMES:
        law = line.priors[name]
        mean = cm.cme(law, y, 1.0)
        a, b, c = ((cm.denoise(law, long_step_grid(u), y) - mean) / u for u in 2.0 ** -np.array([12, 13, 14]))
        leading = law.score(mean) - law.noised(1.0, 1.0).score(y)
        tol = np.abs((2 * c - b) - (2 * b - a))
        cause = "remainder: last change of the extrapolation"
        check.equal(2 * c - b, leading, tol=tol, cause=cause, on=f"(f - CME) / u at u = 0, {name}, five y")


@pytest.mark.deep
def test_on_the_random_mixture_of_the_paper(check):
    """K = 128, N = 64, at -10 dB, where refined grids keep 6 % of the MMSE: the long first step loses it like u^2."""
    law, sigma = datasets.random_mixture(), 10**0.5
    y = law.noised(1.0, sigma).sample(40, np.random.default_rng(54))
    mean, mmse = cm.cme(law, y, sigma), float(np.mean(cm.posterior_variance(law, y, sigma)))

    def lost(grid):
        return distances.excess_error(cm.denoise(law, grid, y, sigma=None), mean, mmse).value

    refined = lost(cm.refined_grid(20, sigma))
    second = smoothing(law) * 2.0 ** -np.arange(4, 8)
    found = [lost(long_step_grid(u, sigma**2, 5)) for u in second]
    of = "a size: refined grids lose a hundred times as much"
    check.holds(100 * found[-1], refined, tol=0, cause="exact: strict", on="random mixture, -10 dB", of=of)
    check.rate(distances.fit_slope(second, found), 2.0, within=0.1, on="excess against u, random mixture, -10 dB")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Refinements of another kind, and a prior with atoms."""
    law, y, lam = line.priors["gmm2"], np.array([[0.3], [0.7]]), smoothing(line.priors["gmm2"])

    # (H1) all steps shrink: u -> v_hat, and a small last level does not help
    grid = cm.refined_grid(256, 1.0)
    column = Grid(np.ones((257, 2)), np.repeat(grid.sigma[:, None], 2, axis=1))
    refined = Instance(law, column, y)
    last = np.full((2, 1), grid.sigma[-2] ** 2)
    dropped = "u the second level (the last positive one of a refined grid)"
    check.control(dropped, refined.error(), refined.bound(second=last), on="gmm2, n = 256, two y")
    errors = [np.abs(cm.denoise(law, cm.refined_grid(n, 1.0), y, 1.0) - cm.cme(law, y, 1.0)) for n in (32, 256)]
    check.control("a long first step (all steps shrink): rate 1/n", errors[1], errors[0] / 8, on="gmm2, 32 and 256 steps")

    # (H2) two atoms: the limit is the sign, at the distance 1 - tanh(y / v_hat) from the CME
    ends = [cm.denoise(PAIR, long_step_grid(u), y, 1.0) for u in (2.0**-4, 2.0**-10)]
    check.equal(ends[1], np.sign(y), tol=EPS, cause="rounding: eps: tanh(2^10 tanh y)", on="two points: the nearest atom")
    far = np.abs(ends[1] - np.tanh(y))[:, 0]
    residual, farthest = np.abs(y - np.tanh(y))[:, 0], 1 + np.abs(y)[:, 0]
    claim = bound.long_first_step(1.0, 2.0**-10, residual, farthest, lam)
    check.control("lambda > 0 (two atoms, lambda of gmm2 claimed)", far, claim, on="two points, u = 2^-10, two y")

    # half of the moves below u
    i = Instance(law=GaussianMixture([0.01, 0.99], np.zeros((2, 1)), np.array([1.0, 1e8])),
                 grid=Grid(np.ones((3, 1)), np.sqrt([[1e8], [1e-5], [0.0]])), y=np.array([[1.0]]))  # fmt: skip
    check.control("u / lambda (half of it)", i.error(), 0.5 * i.bound(), on="two variances, 1 and 1e8")
