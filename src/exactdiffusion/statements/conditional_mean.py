r"""Fesl, Boeck, Strasser, Baur, Joham & Utschick, "On the Asymptotic Mean Square Error Optimality of Diffusion Models"
(AISTATS 2025, arXiv 2403.02957).

Notation: y = x + n with noise variance v_hat per coordinate; v_t = (1 - abar_t)/abar_t = 1/SNR_t, v_0 = 0, v_1 < v_2 < ...;
z_t = x_t/sqrt(abar_t); q_v the density of x + sqrt(v) eps; D_v(z) = E[x | z_v = z] and C_v(z) = Cov[x | z_v = z] exact. The
mean chain runs E[x_{t-1} | x_t] without noise from z = y at v_hat; its output is f(y), the conditional mean estimator (CME)
is D_{v_hat}(y). "Excess" is E|f - CME|^2.

What was at hand: the abstract, the announced statement and the authors' released code. The exact hypotheses of
Lemma 4.1, Theorems 4.2 and 4.4 and Corollary 4.6 were not, so nothing here quotes them or says that they hold or fail. What
is stated is what exact stepwise means do, with proofs: *exact stepwise means, fixed SNR, refined schedule: the limit
differs from the CME (derived)*. The chain does converge to the CME for a Gaussian prior (every schedule), for one step, for
averaged re-sampling, for every smoothed prior on grids whose second level tends to 0 (`long_first_step`), and it is
numerically close wherever one component dominates the posterior.
"""

import math

import numpy as np

from .._core.arrays import to_numpy
from .._core.typing import Array, Numbers
from .._core.validation import choice, fail
from ._statement import statement

__all__ = [
    "averaged_resampling",
    "ddim_as_denoiser",
    "exact_resampling",
    "gap_formula",
    "gaussian_chain",
    "generation_collapse",
    "jensen_identity",
    "limit_is_cme_iff_gaussian",
    "limit_ode",
    "long_first_step",
    "mean_step",
    "one_step_exact",
    "orthogonality",
    "resampling_variance",
    "schedules_share_the_limit",
    "small_noise_gap",
    "snr_mismatch",
    "step_slope_bounded_support",
    "step_slope_log_concave",
    "step_slope_lower",
    "stepwise_error",
    "two_point_every_grid",
    "two_point_plateau",
]

_PAPER = "conditional_mean"


def _levels(v):
    """Levels v, noisy to clean, ending at 0."""
    v = np.atleast_1d(to_numpy(v))
    if v.ndim != 1 or v.shape[0] < 2 or np.any(np.diff(v) >= 0) or v[-1] != 0:
        fail("v", v, "strictly decreasing levels, the last one 0")
    return v


# ------------------------------------------------------------------------------------------------------- one step


@statement(
    paper=_PAPER,
    ref="reverse step",
    title="The step only sees the grid of 1/SNR; link to stochastic localization",
    kind="equality",
    text="derived",
    domain="0 < alpha_bar_next <= 1, 0 < alpha_bar <= alpha_bar_next",
)
def mean_step(x: Array, denoised: Array, alpha_bar: Numbers, alpha_bar_next: Numbers) -> Array:
    r"""Conditional mean of the next state, in the form of the released code.

    **Hypotheses.** VP chain :math:`x_t = \sqrt{\bar\alpha_t}x_0 + \sqrt{1-\bar\alpha_t}\varepsilon`,
    :math:`\alpha = \bar\alpha_t/\bar\alpha_{t-1}`, :math:`\beta = 1-\alpha`, ``denoised`` :math:`= E[x_0 \mid x_t]`.

    **Conclusion (equality).**

    .. math:: E[x_{t-1}\mid x_t]
              = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta\, E[x_0|x_t] + \sqrt{\alpha}(1-\bar\alpha_{t-1})\, x_t}{1-\bar\alpha_t}
              = \frac{x_t}{\sqrt\alpha} - \frac{\beta}{\sqrt\alpha\sqrt{1-\bar\alpha_t}}\hat\varepsilon,

    which with :math:`z = x/\sqrt{\bar\alpha}`, :math:`\rho = v_{t-1}/v_t` reads
    :math:`z_{t-1} = \rho z_t + (1-\rho) D_{v_t}(z_t) = z_t + (v_t - v_{t-1})\nabla\log q_{v_t}(z_t)`, and with
    :math:`w = z/v`, :math:`\eta = 1/v` reads

    .. math:: w_{t-1} = w_t + (\eta_{t-1} - \eta_t)\, E[x \mid w_t, \eta_t]:

    the Euler step of stochastic localization, :math:`dw = E[x|w,\eta]d\eta + dB`, with its noise switched off.

    Proof: given :math:`x_0` and :math:`x_t`, the state :math:`x_{t-1}` is Gaussian with a mean that is linear in both;
    take the mean given :math:`x_t`.

    **Source.** The step: the released code; the reduction is derived (divide by :math:`\sqrt{\bar\alpha_{t-1}}`;
    :math:`\alpha(1-\bar\alpha_{t-1})/(1-\bar\alpha_t) = \rho`, :math:`\beta/(1-\bar\alpha_t) = 1-\rho`).

    Parameters
    ----------
    x, denoised : (n, d) arrays
    alpha_bar, alpha_bar_next : numbers, alpha_bar <= alpha_bar_next <= 1, not both 1

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> mean_step(np.array([[1.0]]), np.array([[0.5]]), alpha_bar=0.5, alpha_bar_next=0.8).round(4)
    array([[0.6516]])
    """
    alpha = alpha_bar / alpha_bar_next
    mean = math.sqrt(alpha_bar_next) * (1 - alpha) * denoised + math.sqrt(alpha) * (1 - alpha_bar_next) * x
    return mean / (1 - alpha_bar)


@statement(paper=_PAPER, ref="one step", title="One step is the CME", kind="equality", text="derived")
def one_step_exact(denoised: Array) -> Array:
    r"""A chain of one step returns the conditional mean, for every prior.

    **Hypotheses.** :math:`\hat t = 1`, :math:`v_1 = \hat v`; any prior with finite mean.

    **Conclusion (equality).**

    .. math:: f(y) = D_{\hat v}(y) = E[x\mid y],

    because the last step has :math:`\rho = v_0/v_1 = 0`. With exact stepwise means more steps can therefore only move away
    from the CME.

    Proof: :func:`mean_step` with rho = 0.

    **Source.** derived.

    Parameters
    ----------
    denoised : (n, d) array, D at the level of the observation

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> one_step_exact(np.array([[0.5]]))
    array([[0.5]])
    """
    return denoised


@statement(
    paper=_PAPER,
    ref="Gaussian prior",
    title="Gaussian prior: exact for every T and every grid",
    kind="equality",
    text="derived",
    domain="eigenvalues >= 0, v_hat >= 0",
)
def gaussian_chain(y: Array, mean: Array, eigenvalues: Array, eigenvectors: Array, v_hat: Numbers) -> Array:
    r"""The mean chain on a Gaussian prior does not depend on the grid.

    **Hypotheses.** x ~ N(m, S) (singular allowed), exact stepwise means, start :math:`z = y` at :math:`\hat v`.

    **Conclusion (equality).** Per eigenvalue lam of S a step multiplies the deviation from m by
    :math:`(\lambda+v_{t-1})/(\lambda+v_t)`; the product telescopes, so for every grid

    .. math:: f(y) = m + U\,\mathrm{diag}\Bigl(\frac{\lambda}{\lambda+\hat v}\Bigr) U^T (y-m) = E[x\mid y].

    Proof: :math:`D_v` multiplies the deviation by :math:`\lambda/(\lambda+v)`, and
    :math:`\rho + (1-\rho)\lambda/(\lambda+v_t) = (\lambda+v_{t-1})/(\lambda+v_t)` for :math:`\rho = v_{t-1}/v_t`.

    **Source.** derived.

    Parameters
    ----------
    y : (n, d) array
    mean : (d,) array
    eigenvalues, eigenvectors : (d,), (d, d)
    v_hat : number >= 0; > 0 where an eigenvalue is 0

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> gaussian_chain(np.array([[2.0, 2.0]]), np.zeros(2), np.array([1.0, 3.0]), np.eye(2), v_hat=1.0)
    array([[1. , 1.5]])
    >>> ed.GaussianMixture(None, [[0.0, 0.0]], [[1.0, 3.0]]).noised(1.0, 1.0).denoise([[2.0, 2.0]]).round(4)
    array([[1. , 1.5]])
    """
    return mean + ((y - mean) @ eigenvectors * (eigenvalues / (eigenvalues + v_hat))) @ eigenvectors.T


# ---------------------------------------------------------------------------------------------- the gap to the CME


@statement(
    paper=_PAPER, ref="Jensen identity", title="CME minus chain is a sum of Jensen gaps", kind="equality", text="derived"
)
def jensen_identity(expected: Array, at_mean: Array) -> Array:
    r"""Exact gap between the CME and the output of the mean chain: every prior, every grid.

    **Hypotheses.** Exact stepwise means from :math:`z_{\hat t} = y`; states :math:`\hat z_t`; finite mean.

    **Conclusion (equality).**

    .. math:: E[x\mid y] - f(y) = \sum_{t=2}^{\hat t}\Bigl(E[D_{v_{t-1}}(z_{t-1})\mid z_t=\hat z_t]
              - D_{v_{t-1}}\bigl(E[z_{t-1}\mid z_t = \hat z_t]\bigr)\Bigr).

    Proof: tower property :math:`D_{v_t}(z) = E[D_{v_{t-1}}(z_{t-1})\mid z_t=z]`; add and subtract along the chain. The term
    t = 1 is 0 because :math:`D_0` is the identity.

    **Source.** derived.

    Parameters
    ----------
    expected, at_mean : (steps - 1, n, d) arrays
        The two terms of the sum at t = t_hat, ..., 2.

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> jensen_identity(np.array([[[0.5]], [[0.25]]]), np.array([[[0.75]], [[0.25]]]))
    array([[-0.25]])
    """
    return np.sum(np.asarray(expected) - np.asarray(at_mean), axis=0)


@statement(
    paper=_PAPER,
    ref="limit",
    title="Limit of the mean chain: an ODE, reached at rate 1/T",
    kind="asymptotic",
    text="derived",
    domain="v > 0",
)
def limit_ode(v: Numbers, z: Array, denoised: Array) -> Array:
    r"""Refined schedules: the chain converges to an ODE endpoint that is not the CME in general.

    **Hypotheses.** Exact stepwise means, fixed :math:`\hat v`, :math:`\max_t(v_t - v_{t-1}) \to 0`; the score Lipschitz
    along the trajectory (not at the decision boundary of atoms).

    **Conclusion (asymptotic, rate 1/T on quasi-uniform grids).** :math:`f(y) \to Z_0` with

    .. math:: \frac{dZ}{dv} = -\nabla\log q_v(Z) = \frac{Z - D_v(Z)}{v},\qquad Z_{\hat v} = y .

    The chain is explicit Euler in v. Not the probability-flow ODE, which has half this score. Exact stepwise means, fixed
    SNR, refined schedule: the limit differs from the CME (derived; see :func:`gap_formula`).

    Proof: :func:`mean_step` in z is a step of Euler's method for this equation, which is of first order where the score is
    Lipschitz.

    **Source.** derived. The paper announces convergence to the CME; its exact hypotheses were not at hand.

    Parameters
    ----------
    v : number > 0
    z, denoised : arrays of one shape

    Returns
    -------
    array
        dZ/dv.

    Examples
    --------
    >>> limit_ode(0.5, z=np.array([[1.0]]), denoised=np.array([[0.75]]))
    array([[0.5]])
    """
    return (z - denoised) / v


@statement(
    paper=_PAPER,
    ref="gap formula",
    title="The limit's gap to the CME as an integral",
    kind="equality",
    text="derived",
    domain="v > 0",
)
def gap_formula(v: Array, laplacian: Array, weights: Array) -> Array:
    r"""CME minus limit, as an integral of the Laplacian of the denoiser along the trajectory.

    **Hypotheses.** Finite second moment; Z the trajectory of :func:`limit_ode`; :math:`D_v(Z_v) - Z_v \to 0` as v -> 0
    (fails only on decision boundaries of atomic priors).

    **Conclusion (equality).**

    .. math:: E[x\mid y] - Z_0 = \frac12\int_0^{\hat v} (\Delta D_v)(Z_v)\,dv
              = \frac12\int_0^{\hat v} v^{-1}(\nabla\,\mathrm{tr}\,C_v)(Z_v)\,dv .

    Proof: q and D q solve :math:`u_v = \Delta u/2`, so :math:`\partial_v D = \Delta D/2 + (\nabla D)\nabla\log q`; along
    the trajectory the transport term cancels. :math:`\nabla D = C/v`. The gap is driven by how the posterior variance
    varies with the observation: where one component dominates, D is nearly affine and the gap is tiny.

    **Source.** derived.

    Parameters
    ----------
    v, weights : (m,) arrays
        Nodes and weights of a quadrature rule in v on (0, v_hat).
    laplacian : (m, n, d) array
        Lap D along the trajectory at the nodes.

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> gap_formula(np.array([0.25, 0.75]), np.array([[[1.0]], [[3.0]]]), np.array([0.5, 0.5]))
    array([[1.]])
    """
    v, weights = np.asarray(v), np.asarray(weights)
    if v.shape != weights.shape:
        fail(f"v (shape {v.shape})", v, "nodes, one per weight")
    return 0.5 * np.tensordot(weights, laplacian, axes=1)


@statement(
    paper=_PAPER,
    ref="iff",
    title="The limit is the CME for all y and all SNRs iff the prior is Gaussian (only if: by proof)",
    kind="definition",
    text="derived",
)
def limit_is_cme_iff_gaussian(laplacian: Array) -> float:
    r"""Where the refined chain is right: Gaussian priors and no others.

    **Hypotheses.** Finite second moment; limit as in :func:`limit_ode`.

    **Conclusion (equivalence).**

    .. math:: Z_0(y,\hat v) = E[x\mid y] \ \text{for all } y \text{ and all } \hat v \text{ in an interval}
              \iff \Delta D_v \equiv 0 \iff \text{the prior is Gaussian (possibly degenerate)}.

    Proof: the endpoint map F solves :math:`\partial_v F = (\nabla F)\nabla\log q`, D the same plus :math:`\Delta D/2`; if
    they agree, :math:`\nabla\Delta\log q_v = 0`, so :math:`\Delta\log q_v = c(v)`. :math:`vI + v^2\nabla^2\log q_v \ge 0`
    with constant trace bounds the Hessian; its entries are bounded harmonic functions, hence constant (Liouville); log q is
    quadratic. The converse is :func:`gaussian_chain`. For one y or one SNR the two may agree by accident (symmetry: y = 0).
    "Only if" speaks of all priors and rests on this proof; measurements can only show non-Gaussian priors with a gap. The
    chain can reach the CME of other priors where the schedule is not refined: :func:`long_first_step`.

    **Source.** derived.

    Parameters
    ----------
    laplacian : array
        Lap D at any set of points and levels.

    Returns
    -------
    float
        The largest |Lap D|: 0 for Gaussians only.

    Examples
    --------
    >>> limit_is_cme_iff_gaussian(np.zeros((3, 1))), limit_is_cme_iff_gaussian(np.array([[0.5], [-2.0]]))
    (0.0, 2.0)
    """
    return float(np.max(np.abs(laplacian)))


@statement(
    paper=_PAPER,
    ref="long first step",
    title="A long first step: the chain tends to the CME for every smoothed prior",
    kind="tight",
    text="derived",
    domain="v_hat > 0, 0 <= v_second <= v_hat, residual >= 0, growth >= 0, lam > 0",
)
def long_first_step(v_hat: Numbers, v_second: Numbers, residual: Numbers, growth: Numbers, lam: Numbers) -> Numbers:
    r"""Where the chain does converge to the CME at a fixed SNR: if its second level tends to 0.

    **Hypotheses.** (H1) Exact stepwise means from :math:`z_{\hat t} = y` on any grid
    :math:`\hat v = v_{\hat t} > u = v_{\hat t-1} > \dots > v_0 = 0`. (H2) There are :math:`\lambda > 0` and a function h,
    :math:`|h(z) - h(z')| \le |z - z'|`, such that :math:`|\nabla\log q_v(z)| \le h(z)/(\lambda + v)` for all z and
    :math:`0 < v \le u`. So it is for a Gaussian mixture with covariances :math:`C_k \succeq \lambda I`, where
    :math:`h(z) = \max_k|z - m_k|`, and for :math:`x = s + \sqrt\lambda\,g` with s in a bounded set and g standard normal,
    where h is the distance to the farthest point of the set.

    **Conclusion (upper, tight).** With :math:`\hat x = E[x\mid y]` and the state after the first step,
    :math:`z_1 = \hat x + (u/\hat v)(y-\hat x)`,

    .. math:: |f(y) - E[x\mid y]| \le \frac{u}{\hat v}|y-\hat x| + \frac u\lambda\, h(z_1),

    whatever the levels below u, and whatever their number. Hence a sequence of grids with :math:`u \to 0` converges to the
    CME at every y, and if h is convex, :math:`E|f - \mathrm{CME}|^2 \le 2u^2\bigl((1+u/\lambda)^2 d/\hat v +
    E\,h(x)^2/\lambda^2\bigr)`. Where :math:`\log p_0` is smooth, the rate is exactly u:

    .. math:: f(y) - E[x\mid y] = u\,\bigl(\nabla\log p_0(\hat x) - \nabla\log q_{\hat v}(y)\bigr) + O(u^2).

    The same grids serve DDIM, whose first step leaves the share :math:`\sqrt{u/\hat v}` in place of :math:`u/\hat v`.

    **Proof.** The first step is :math:`z_1 = (u/\hat v)y + (1-u/\hat v)\hat x`. A later step from v to v' moves z by
    :math:`(v-v')|\nabla\log q_v(z)| \le (v-v')h(z)/(\lambda+v)`. The moves and h grow together: h after the step is at most
    h before it times :math:`1 + (v-v')/(\lambda+v) \le (\lambda+v)/(\lambda+v')`, and the product of the latter telescopes
    to :math:`(\lambda+u)/\lambda`. So the moves sum to at most :math:`h(z_1)\,u/\lambda`. DDIM moves z by
    :math:`\sigma(\sigma-\sigma')|\nabla\log q|`, which is less. For a mixture the score is the mean of
    :math:`-(C_k+v)^{-1}(z-m_k)` under the posterior weights. For the second moment:
    :math:`|y-\hat x|^2 \le \hat v\,E[|n|^2\mid y]` and :math:`h(\hat x) \le E[h(x)\mid y]` by Jensen's inequality.
    Equality is approached by :math:`w\,N(0,\lambda) + (1-w)\,N(0,L)` with :math:`w = (\lambda/L)^{1/4}`, as
    :math:`L/\lambda \to \infty` and :math:`u \to 0`.

    **Where it fails.** (i) Atoms, where no :math:`\lambda > 0` exists: on two points the chain tends to sign(y) as
    :math:`u \to 0` (:func:`two_point_every_grid`). (ii) Refinements in which all steps shrink, so that
    :math:`u \to \hat v`: the limit of :func:`limit_ode`, which is the CME for Gaussian priors only.

    **Source.** derived.

    Parameters
    ----------
    v_hat, v_second : numbers or arrays
        The levels of the first step, v_hat and u <= v_hat.
    residual : number or array >= 0
        |y - E[x|y]|.
    growth : number or array >= 0
        h after the first step.
    lam : number > 0

    Returns
    -------
    float or array

    Examples
    --------
    >>> round(long_first_step(1.0, 0.01, 0.5, 2.0, 0.25), 6)
    0.085
    """
    return v_second / v_hat * residual + v_second / lam * growth


@statement(paper=_PAPER, ref="high SNR", title="The gap at high SNR", kind="asymptotic", text="derived", domain="v_hat >= 0")
def small_noise_gap(v_hat: Numbers, third: Array) -> Array:
    r"""Leading term of the gap for a smooth prior, as the observation noise vanishes.

    **Hypotheses.** :math:`\log p_0` three times differentiable near y, :math:`\hat v \to 0`; limit as in :func:`limit_ode`.

    **Conclusion (asymptotic).**

    .. math:: E[x\mid y] - Z_0 = \tfrac14 \hat v^2\, \nabla\Delta\log p_0(y) + O(\hat v^3).

    From :func:`gap_formula` with :math:`\Delta D_v = v\,\nabla\Delta\log q_v`.

    Proof: :func:`gap_formula`, in which :math:`\tfrac12\int_0^{\hat v} v\,dv = \tfrac14\hat v^2`.

    **Source.** derived.

    Parameters
    ----------
    v_hat : number or (n, 1) array
    third : (n, d) array, grad Lap log p_0 at y

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> small_noise_gap(0.5, third=np.array([[4.0]]))
    array([[0.25]])
    """
    return 0.25 * v_hat**2 * third


# --------------------------------------------------------------------------------------------- two points, plateau


@statement(
    paper=_PAPER,
    ref="two points",
    title="Two points: the chain tends to the sign, MSE 4 Q(sqrt SNR)",
    kind="asymptotic",
    text="derived",
    domain="snr number, 0 < snr <= 1400, nodes integer >= 101",
)
def two_point_plateau(snr: float, nodes: int = 20001) -> tuple[float, float]:
    r"""Closed form of the plateau for the prior :math:`\tfrac12(\delta_{-1}+\delta_1)`.

    **Hypotheses.** Exact stepwise means, :math:`\hat v = 1/\mathrm{SNR}` fixed, refined schedule.

    **Conclusion (asymptotic).** :math:`D_v(z) = \tanh(z/v)`, :math:`f(y) \to \mathrm{sign}(y)`, and

    .. math:: \mathrm{MSE} \to 4Q(\sqrt{\mathrm{SNR}}),\qquad
              \mathrm{MMSE} = 1 - E\tanh(\mathrm{SNR} + \sqrt{\mathrm{SNR}}\,g),\quad g\sim N(0,1).

    Their difference is the excess that no number of steps removes: exact stepwise means, fixed SNR, refined schedule: the
    limit differs from the CME (derived). The same per coordinate for :math:`\{\pm1\}^N`.

    **Evaluation.** With s = SNR and :math:`w = s + \sqrt s\,g \sim N(s, s)`, whose density is
    :math:`e^{-s/2}\, e^{w}\, e^{-w^2/2s}/\sqrt{2\pi s}`, and :math:`1 - \tanh w = e^{-w}/\cosh w`,

    .. math:: \mathrm{MMSE} = e^{-s/2}\, E\,\mathrm{sech}(\sqrt s\, g).

    The integrand is positive and largest at 0 for every s; that of the definition has its mass at
    :math:`g \approx -\sqrt s`. For large s, with the moments :math:`\pi,\ \pi^3/4,\ 5\pi^5/16` of sech of order 0, 2
    and 4, and Mills' ratio,

    .. math:: \mathrm{MMSE} = e^{-s/2}\sqrt{\frac{\pi}{2s}}\Bigl(1 - \frac{\pi^2}{8s} + \frac{5\pi^4}{128s^2} - \dots\Bigr),
              \qquad 4Q(\sqrt s) = \frac{4e^{-s/2}}{\sqrt{2\pi s}}\Bigl(1 - \frac1s + \frac3{s^2} - \dots\Bigr),

    where each partial sum is too large and too small in turn; their ratio is
    :math:`\frac4\pi\bigl(1 + \frac{\pi^2/8 - 1}{s} + O(s^{-2})\bigr)`.

    Proof: in w = z/v the trajectory of :func:`limit_ode` keeps its sign and grows without bound, so that f(y) is the sign
    of y; a wrong sign costs 4 and has the probability :math:`Q(\sqrt{\mathrm{SNR}})`.

    **Source.** derived.

    Parameters
    ----------
    snr : number in (0, 1400]
        At 1,410 the values fall below 2.2e-308 and lose digits, at 1,484 they would be 0: a larger number is refused.
    nodes : int
        Trapezoidal nodes, over 12 standard deviations or 40 e-foldings of sech each way, whichever is less: relative error
        5 exp(-pi^2 (nodes - 1) / 80) at most, beside rounding (401: 2e-21).

    Returns
    -------
    (limit, mmse) : floats

    Examples
    --------
    >>> limit, mmse = two_point_plateau(1.0)  # 0 dB
    >>> round(limit, 4), round(mmse, 4), f"{limit / mmse - 1:.2%}"
    (0.6346, 0.4496, '41.15%')
    """
    root = math.sqrt(snr)
    reach = min(12, 40 / root)
    g, step = np.linspace(-reach, reach, nodes, retstep=True)
    mean = float(step * np.sum(np.exp(-0.5 * g**2) / np.cosh(root * g))) / math.sqrt(2 * math.pi)
    return 2 * math.erfc(math.sqrt(snr / 2)), math.exp(-snr / 2) * mean


@statement(
    paper=_PAPER,
    ref="two points, finite T",
    title="Two points: every grid over-sharpens, non-asymptotic",
    kind="lower",
    text="derived",
    domain="y > 0, v_hat > 0, 0 < v_1 < v_hat",
)
def two_point_every_grid(y: Array, v_hat: Numbers, v_1: Numbers) -> Array:
    r"""Lower bound of the output on every grid, without any limit.

    **Hypotheses.** Prior :math:`\tfrac12(\delta_{-1}+\delta_1)`, exact stepwise means, any grid with :math:`\hat t \ge 2`
    from :math:`\hat v` down to :math:`v_1 < \hat v` (then 0), y > 0.

    **Conclusion (lower).**

    .. math:: f(y) \ge \tanh\Bigl(\frac{y}{\hat v}
              + \tanh\Bigl(\frac{y}{\hat v}\Bigr)\Bigl(\frac1{v_1}-\frac1{\hat v}\Bigr)\Bigr) > \tanh(y/\hat v) = E[x\mid y].

    Equality for :math:`\hat t = 2`. Proof: in :math:`w = z/v`, :math:`w_{t-1} = w_t + (\eta_{t-1}-\eta_t)\tanh w_t`; w
    increases, so every tanh is at least the first; :math:`f = \tanh w_1`. For y < 0 by symmetry.

    **Source.** derived.

    Parameters
    ----------
    y : array, y > 0
    v_hat, v_1 : numbers, v_1 < v_hat

    Returns
    -------
    array

    Examples
    --------
    >>> two_point_every_grid(np.array([0.5]), v_hat=1.0, v_1=0.5).round(4), np.tanh([0.5]).round(4)  # output, optimum
    (array([0.7452]), array([0.4621]))
    """
    w = np.asarray(y) / v_hat
    return np.tanh(w + np.tanh(w) * (1 / v_1 - 1 / v_hat))


@statement(
    paper=_PAPER,
    ref="schedules",
    title="No schedule beta_t ~ T^-gamma removes the plateau",
    kind="asymptotic",
    text="derived",
    domain="T integer >= 1, gamma number >= 0, c number > 0",
)
def schedules_share_the_limit(T: int, gamma: float, c: float = 1.0) -> float:
    r"""Schedules :math:`\beta_t = cT^{-\gamma}t/T`: one limit for gamma <= 1, no SNR match for gamma > 1.

    **Hypotheses.** Exact stepwise means, fixed SNR, the start exactly on the grid, c > 0.

    **Conclusion (asymptotic).** For :math:`0 \le \gamma \le 1` the mesh at the matched level is
    :math:`O(T^{-(1+\gamma)/2})` and the chain converges at that rate to the limit of :func:`limit_ode`, the same for all
    gamma: exact stepwise means, fixed SNR, refined schedule: the limit differs from the CME (derived). For :math:`\gamma >
    1` the schedule never gets noisy:

    .. math:: v_T \le \exp\Bigl(\frac{c\,T^{-\gamma}(T+1)/2}{1-cT^{-\gamma}}\Bigr) - 1 \to 0,

    so a fixed SNR cannot be matched. The gap vanishes at fixed SNR only if :math:`v_{\hat t-1}/\hat v \to 0`: one large
    jump, the opposite of fine steps.

    Proof: :math:`v_T = e^{-\sum\log(1-\beta_t)} - 1`, :math:`-\log(1-\beta_t) \le \beta_t/(1-cT^{-\gamma})` and
    :math:`\sum\beta_t = cT^{-\gamma}(T+1)/2`. The matched level is reached at t of order :math:`T^{(1+\gamma)/2}`, where
    :math:`\beta_t` is of order :math:`T^{-(1+\gamma)/2}`; :func:`limit_ode`.

    **Source.** derived. The exact hypotheses of the announced theorem (a condition on the schedule?) were not at hand.

    Parameters
    ----------
    T : int
    gamma : number >= 0
    c : number > 0

    Returns
    -------
    float
        Upper bound of v_T (``inf`` when c T^-gamma >= 1).

    Examples
    --------
    >>> round(schedules_share_the_limit(1000, gamma=2.0), 6), round(schedules_share_the_limit(1000, gamma=1.0), 4)
    (0.000501, 0.6504)
    """
    top = c * float(T) ** -gamma
    exponent = 0.5 * top * (T + 1) / (1 - top) if top < 1 else math.inf
    return float(np.expm1(exponent))


# ------------------------------------------------------------------------------------------- slopes of the exact step


@statement(
    paper=_PAPER,
    ref="cf. Lemma 4.1",
    title="Slope of the exact step: lower bound from hyperparameters alone",
    kind="tight",
    text="derived",
    domain="0 < alpha_bar_next <= 1, 0 < alpha_bar <= alpha_bar_next",
)
def step_slope_lower(alpha_bar: Numbers, alpha_bar_next: Numbers) -> Numbers:
    r"""The constant that depends on the schedule only bounds the slope from below.

    **Hypotheses.** Any prior with finite second moment; step from :math:`s = v_t` to :math:`r = v_{t-1}` in VP coordinates.

    **Conclusion (lower, tight).** The Jacobian of the exact map is symmetric positive semidefinite and

    .. math:: \nabla_x E[x_{t-1}\mid x_t] = \alpha^{-1/2}\Bigl(\tfrac rs I + \bigl(1-\tfrac rs\bigr)\tfrac{C_s}{s}\Bigr)
              \succeq \frac{\sqrt{\alpha}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\, I .

    Attained where the observation determines x (C = 0: atoms, far from their boundaries). As an *upper* bound it is false
    already for the unit Gaussian prior, whose slope is :math:`\sqrt\alpha`; and no upper bound can depend on the schedule
    alone: two atoms at distance 2a have :math:`C = a^2` at the midpoint.

    Proof: differentiate :func:`mean_step`; the Jacobian of :math:`D_s` is :math:`C_s/s`, positive semidefinite.

    **Source.** derived. The abstract announces a Lipschitz constant from the hyperparameters; the lemma's exact wording
    was not at hand, so this is not its verdict.

    Parameters
    ----------
    alpha_bar, alpha_bar_next : numbers or arrays, alpha_bar <= alpha_bar_next <= 1, not both 1

    Returns
    -------
    float or array, in x (VP) coordinates; times sqrt(alpha) it is r/s, the bound in z.

    Examples
    --------
    >>> round(float(step_slope_lower(0.5, 0.8)), 4)
    0.3162
    """
    return np.sqrt(alpha_bar / alpha_bar_next) * (1 - alpha_bar_next) / (1 - alpha_bar)


@statement(
    paper=_PAPER,
    ref="cf. Lemma 4.1",
    title="Slope of the exact step: (strongly) log-concave priors",
    kind="tight",
    text="derived",
    domain="v > 0, 0 <= v_next <= v, m >= 0",
)
def step_slope_log_concave(v: Numbers, v_next: Numbers, m: Numbers = 0.0) -> Numbers:
    r"""Upper bound of the slope where the prior is log-concave.

    **Hypotheses.** :math:`-\nabla^2\log p_0 \succeq mI`, m >= 0 (m = 0: log-concave); step from :math:`s = v_t` to
    :math:`r = v_{t-1}` in z.

    **Conclusion (upper, tight).**

    .. math:: \Bigl\|\tfrac rs I + \bigl(1-\tfrac rs\bigr)\tfrac{C_s}{s}\Bigr\| \le \frac{1+mr}{1+ms} \le 1,

    with equality for :math:`N(0, I/m)`; the product over a chain telescopes to :math:`1/(1+m\hat v)`. In x divide by
    :math:`\sqrt\alpha`. Proof: the posterior has Hessian of -log at least :math:`m + 1/s`, so
    :math:`C_s \preceq s/(1+ms)` (Brascamp-Lieb).

    **Source.** derived.

    Parameters
    ----------
    v, v_next : numbers or arrays, v_next <= v
    m : number >= 0

    Returns
    -------
    float or array

    Examples
    --------
    >>> step_slope_log_concave(3.0, 1.0, m=1.0)
    0.5
    """
    return (1 + m * v_next) / (1 + m * v)


@statement(
    paper=_PAPER,
    ref="cf. Lemma 4.1",
    title="Slope of the exact step: bounded support",
    kind="tight",
    text="derived",
    domain="v > 0, 0 <= v_next <= v, radius >= 0",
)
def step_slope_bounded_support(v: Numbers, v_next: Numbers, radius: Numbers) -> Numbers:
    r"""Upper bound of the slope where the prior lives in a ball.

    **Hypotheses.** Support in a ball of the given radius R; step from :math:`s = v_t` to :math:`r = v_{t-1}` in z.

    **Conclusion (upper, tight).**

    .. math:: \Bigl\|\tfrac rs I + \bigl(1-\tfrac rs\bigr)\tfrac{C_s}{s}\Bigr\|
              \le \frac rs + \Bigl(1-\frac rs\Bigr)\frac{R^2}{s},

    with equality for two antipodal atoms at their midpoint. It exceeds 1 for small s and its product over a chain diverges
    as the chain is refined: the limit of two points is the discontinuous sign, so no T-uniform Lipschitz constant exists.

    Proof: a law in a ball of radius R has a variance of at most R^2 in every direction.

    **Source.** derived.

    Parameters
    ----------
    v, v_next : numbers or arrays
    radius : number > 0

    Returns
    -------
    float or array

    Examples
    --------
    >>> step_slope_bounded_support(0.5, 0.25, radius=1.0)
    1.5
    """
    return v_next / v + (1 - v_next / v) * radius**2 / v


@statement(
    paper=_PAPER,
    ref="cf. Thm 4.4",
    title="Accumulation of a stepwise error",
    kind="tight",
    text="derived",
    domain="delta number >= 0, slopes >= 0",
)
def stepwise_error(delta: float, slopes: Array) -> float:
    r"""How an error of at most Delta in every step adds up.

    **Hypotheses.** Every step is wrong by at most Delta in norm, in x (VP) coordinates; ``slopes`` are Lipschitz constants
    of the exact steps there (for an m-strongly log-concave prior
    :math:`\alpha_t^{-1/2}(1+mv_{t-1})/(1+mv_t)`, :func:`step_slope_log_concave`).

    **Conclusion (upper, tight).**

    .. math:: |f_\Delta(y) - f(y)| \le \Delta\sum_{t=1}^{\hat t}\prod_{i=1}^{t-1}\mathrm{Lip}_i .

    Equality for the unit Gaussian prior and an error of constant direction, where it is
    :math:`\Delta\sum_{t=0}^{\hat t-1}\sqrt{\bar\alpha_t}`. That grows like :math:`\hat t \sim T`: to vanish, Delta must be
    o(1/T). With the hyperparameter-only slopes of :func:`step_slope_lower` the sum would be too small.

    Proof: an error made in one step is multiplied by the slopes of the steps after it; triangle inequality.

    **Source.** derived. The paper's own bound with a stepwise error was not at hand.

    Parameters
    ----------
    delta : number >= 0
    slopes : (t_hat,) array
        Lip of the steps t = t_hat, ..., 1 (noisy to clean).

    Returns
    -------
    float

    Examples
    --------
    >>> stepwise_error(0.1, np.array([0.5, 1.0]))
    0.2
    """
    slopes = np.asarray(to_numpy(slopes))
    if slopes.ndim != 1:
        fail(f"slopes (shape {slopes.shape})", slopes, "slopes of shape (t_hat,)")
    after = np.cumprod(slopes[::-1])[:-1]  # of every step but the last, the product of the steps that follow
    return delta * (1.0 + float(np.sum(after)))


# ------------------------------------------------------------------------------------------------------ re-sampling


@statement(
    paper=_PAPER,
    ref="re-sampling, Gaussian",
    title="Re-sampling on a Gaussian prior: variance of the output",
    kind="equality",
    text="derived",
    domain="v >= 0, lam > 0",
)
def resampling_variance(v: Array, lam: Numbers, kernel: str = "small") -> Numbers:
    r"""Variance of a re-sampled run given y; it telescopes to the MMSE with exact kernels.

    **Hypotheses.** Prior N(m, lam), one coordinate; mean chain plus noise in every step but the last.

    **Conclusion (equality).** The mean of the output is the CME for every grid, and with
    :math:`\rho_t = v_{t-1}/v_t`, the steps :math:`t \ge 2` contribute

    .. math:: \mathrm{Var} = \sum_{t\ge2} \rho_t(v_t-v_{t-1})\Bigl(\frac{\lambda}{\lambda+v_{t-1}}\Bigr)^2
              \quad(\tilde\beta),\qquad
              \sum_{t\ge1}\frac{(v_t-v_{t-1})(\lambda+v_{t-1})}{\lambda+v_t}\Bigl(\frac{\lambda}{\lambda+v_{t-1}}\Bigr)^2
              = \frac{\lambda\hat v}{\lambda+\hat v} \quad(\text{exact kernels}),

    the right-hand side of the second being the MMSE. With the DDPM betas the factor :math:`\rho_t` is replaced by
    :math:`(1+v_{t-1})/(1+v_t)`.

    Proof: noise added at the level :math:`v_{t-1}` reaches the output with the factor :math:`\lambda/(\lambda+v_{t-1})`
    (:func:`gaussian_chain`), and the noises are independent. The second sum telescopes: its terms are
    :math:`\lambda^2\bigl(\tfrac1{\lambda+v_{t-1}} - \tfrac1{\lambda+v_t}\bigr)`.

    **Source.** derived; the re-sampled step is in the released code.

    Parameters
    ----------
    v : (t_hat + 1,) levels, noisy to clean, last 0
    lam : number or array > 0
    kernel : {"small", "large", "exact"}

    Returns
    -------
    float or array

    Examples
    --------
    >>> v = np.array([1.0, 0.5, 0.0])
    >>> [round(float(resampling_variance(v, 1.0, kernel)), 4) for kernel in ("small", "exact")]  # "exact": the MMSE
    [0.1111, 0.5]
    """
    v = _levels(v)
    choice("kernel", kernel, ("small", "large", "exact"))
    lam = np.asarray(to_numpy(lam))
    s, r = (a.reshape(-1, *[1] * lam.ndim) for a in (v[:-1], v[1:]))
    if kernel == "small":
        factor = r / s
    elif kernel == "large":
        factor = np.where(r > 0, (1 + r) / (1 + s), 0.0)
    else:
        factor = (lam + r) / (lam + s)
    return np.sum(factor * (s - r) * (lam / (lam + r)) ** 2, axis=0)


@statement(
    paper=_PAPER,
    ref="re-sampling, exact kernels",
    title="Exact re-sampling is a posterior sample",
    kind="equality",
    text="derived",
    domain="mmse >= 0, runs integer >= 1",
)
def exact_resampling(mmse: Numbers, runs: int = 1) -> Numbers:
    r"""Mean squared error of the average of independent runs with exact reverse kernels.

    **Hypotheses.** Every step draws from the exact law of :math:`z_{t-1}` given :math:`z_t`; start at y; M independent runs.

    **Conclusion (equality).** A run is a sample of the posterior of x given y, on every grid, hence

    .. math:: E[\hat x\mid y] = E[x\mid y],\qquad E|\hat x_M - x|^2 = \Bigl(1+\frac1M\Bigr)\mathrm{MMSE}.

    A single run has twice the MMSE; the average converges to the CME.

    Proof: given y, the truth and the M runs are independent draws of one law, whose variance is the MMSE in the mean over
    y.

    **Source.** derived.

    Parameters
    ----------
    mmse : number >= 0
    runs : int

    Returns
    -------
    float

    Examples
    --------
    >>> exact_resampling(0.2, runs=4)
    0.25
    """
    return (1 + 1 / runs) * mmse


@statement(
    paper=_PAPER,
    ref="re-sampling, averaged",
    title="Averaged re-sampling converges to the CME, bias 1/T",
    kind="asymptotic",
    text="derived",
    domain="mmse >= 0, runs integer >= 1",
)
def averaged_resampling(mmse: Numbers, runs: int = 1) -> Numbers:
    r"""Where convergence to the CME does hold for every prior: re-sampling on, and averaged.

    **Hypotheses.** Exact stepwise means plus Gaussian noise of variance beta-tilde (or beta) in every step but the last;
    smooth prior; fixed SNR; quasi-uniform refinement; M independent runs.

    **Conclusion (asymptotic).** The bias :math:`E[\hat x\mid y] - E[x\mid y]` is O(1/T) (weak order 1 of an Euler scheme
    for the exact reverse diffusion), and

    .. math:: E|\hat x_M - x|^2 \to \Bigl(1+\frac1M\Bigr)\mathrm{MMSE}:

    a single run tends to twice the MMSE, the average to the CME. Without noise the gap stays (:func:`gap_formula`).

    Proof: the step is that of Euler and Maruyama for the exact reverse diffusion up to terms of higher order; then
    :func:`exact_resampling`.

    **Source.** derived.

    Parameters
    ----------
    mmse : number >= 0
    runs : int

    Returns
    -------
    float
        The limit of the mean squared error.

    Examples
    --------
    >>> averaged_resampling(0.2, runs=4)
    0.25
    """
    return (1 + 1 / runs) * mmse


@statement(
    paper=_PAPER,
    ref="generation",
    title="Without re-sampling the generator collapses",
    kind="equality",
    text="derived",
    domain="v_T >= 0, lam >= 0",
)
def generation_collapse(v_T: Numbers, lam: Numbers = 1.0) -> Numbers:
    r"""The full mean chain from pure noise: the output is the mean plus almost nothing.

    **Hypotheses.** Prior N(0, lam), start :math:`x_T \sim N(0, 1)` in VP coordinates, exact stepwise means, no noise.

    **Conclusion (equality).** The output is Gaussian with standard deviation

    .. math:: \frac{\lambda\sqrt{1+v_T}}{\lambda+v_T} \qquad\bigl(= (1+v_T)^{-1/2} \text{ for } \lambda = 1\bigr),

    not :math:`\sqrt\lambda`: the chain estimates, it does not generate. DDIM on the same grid tends to
    :math:`\sqrt\lambda`.

    Proof: :func:`gaussian_chain` from :math:`z_T = \sqrt{1+v_T}\,x_T`.

    **Source.** derived.

    Parameters
    ----------
    v_T, lam : numbers >= 0, not both 0

    Returns
    -------
    float

    Examples
    --------
    >>> float(generation_collapse(v_T=99.0))
    0.1
    """
    return lam * np.sqrt(1 + v_T) / (lam + v_T)


@statement(
    paper=_PAPER,
    ref="Eq. (12)",
    title="SNR mismatch on a Gaussian prior",
    kind="equality",
    text="derived",
    domain="lam >= 0, level >= 0, v_hat >= 0",
)
def snr_mismatch(y: Array, mean: Numbers, lam: Numbers, level: Numbers, v_hat: Numbers) -> Array:
    r"""Effect of starting at a level that does not match the observation.

    **Hypotheses.** Prior N(0, lam), one coordinate; start at level v' with :math:`x = y/\sqrt{1+\hat v}` (the true SNR
    scales), exact stepwise means.

    **Conclusion (equality).** For every grid

    .. math:: f(y) = \frac{\lambda}{\lambda+v'}\sqrt{\frac{1+v'}{1+\hat v}}\;y ,
              \qquad \frac{f}{\mathrm{CME}} = \sqrt{\frac{1+\hat v}{1+v'}} \ \text{ for } \lambda = 1.

    This is the only part of the error that vanishes with T on a Gaussian prior. The first released code starts one level too
    clean (``convention="code"``), i.e. at the next level v'.

    Proof: :func:`gaussian_chain` from :math:`z = \sqrt{1+v'}\,x`.

    **Source.** Eq. (12) defines the match (a third-party implementation cites it so); the closed form is derived.

    Parameters
    ----------
    y : array
    mean : number
        Mean of the prior (0 for a normalised prior).
    lam : number >= 0; > 0 where the level is 0
    level, v_hat : numbers
        v' of the level where the chain starts, and the noise variance of y.

    Returns
    -------
    array

    Examples
    --------
    >>> float(snr_mismatch(1.0, 0.0, lam=1.0, level=1.0, v_hat=1.0))  # matched: the conditional mean
    0.5
    >>> round(float(snr_mismatch(1.0, 0.0, lam=1.0, level=0.5, v_hat=1.0)), 4)
    0.5774
    """
    return mean + lam / (lam + level) * (np.sqrt((1 + level) / (1 + v_hat)) * np.asarray(y) - mean)


@statement(
    paper=_PAPER,
    ref="DDIM control",
    title="DDIM as a denoiser: wrong even for a Gaussian",
    kind="asymptotic",
    text="derived",
    domain="lam >= 0, v_hat >= 0",
)
def ddim_as_denoiser(lam: Numbers, v_hat: Numbers) -> Numbers:
    r"""Excess of the probability-flow denoiser on a Gaussian prior.

    **Hypotheses.** Prior N(0, lam), one coordinate, exact denoiser, :math:`g = \lambda/(\lambda+\hat v)`, refined schedule.

    **Conclusion (asymptotic).** DDIM tends to :math:`\sqrt g\,y`, the mean chain is :math:`g\,y` exactly, and

    .. math:: E|f_{\mathrm{DDIM}} - \mathrm{CME}|^2 \to (\sqrt g - g)^2(\lambda+\hat v).

    At 0 dB and lam = 1 that is 17 % of the MMSE. On other priors neither of the two dominates.

    Proof: the probability flow :math:`dz/dv = z/2(\lambda+v)` ends at :math:`\sqrt{\lambda/(\lambda+\hat v)}\,y`, and
    :math:`E y^2 = \lambda+\hat v`.

    **Source.** derived; DDIM is the "ground truth" option of the released code.

    Parameters
    ----------
    lam, v_hat : numbers >= 0, not both 0

    Returns
    -------
    float
        The limit of the excess, not divided by the MMSE :math:`\lambda\hat v/(\lambda+\hat v)`.

    Examples
    --------
    >>> round(float(ddim_as_denoiser(1.0, 1.0) / 0.5), 4)  # as a share of the MMSE at 0 dB
    0.1716
    """
    g = lam / (lam + v_hat)
    return (np.sqrt(g) - g) ** 2 * (lam + v_hat)


@statement(
    paper=_PAPER,
    ref="orthogonality",
    title="MSE = MMSE + excess",
    kind="equality",
    text="classical",
    domain="mmse >= 0, excess >= 0",
)
def orthogonality(mmse: Numbers, excess: Numbers) -> Numbers:
    r"""Why the excess error is the metric.

    **Hypotheses.** Finite second moments; f any function of y.

    **Conclusion (equality).**

    .. math:: E|f(y)-x|^2 = E|x - E[x|y]|^2 + E|f(y)-E[x|y]|^2 .

    The left-hand side needs draws of x, the excess does not: its Monte-Carlo error is far smaller.

    **Source.** classical.

    Parameters
    ----------
    mmse, excess : numbers

    Returns
    -------
    float

    Examples
    --------
    >>> orthogonality(0.2, 0.05)
    0.25
    """
    return mmse + excess
