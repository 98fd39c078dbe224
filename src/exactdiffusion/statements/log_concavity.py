r"""Saremi, Park & Bach, "Chain of Log-Concave Markov Chains" (ICLR 2024, arXiv 2305.19473): Langevin and Ornstein-Uhlenbeck
dynamics, empirical Bayes and score matching, many measurements of one X; and the statements of its neighbours.

Source of the wording: the slides of F. Bach (October 2023) on this paper, read in a machine transcription, whose slips (the
slides' or the transcription's) are corrected here and kept as counterexamples; the full text of the paper was not at hand.

Notation: ``Y_t = X + sigma N_t``, ``s = sigma^2/m``, ``q_v`` the density of ``X + sqrt(v) N`` (index: the VARIANCE v; the
slides index by the standard deviation), ``Xhat_m = E[X | Y_1..Y_m]``, ``C_m`` the posterior covariance, gamma the standard
Gaussian, ``I(p) = E |grad log p(X)|^2``. Tweedie's formula and its second-order form, on which everything below rests, are
:func:`.foundations.tweedie_denoiser` and :func:`.foundations.tweedie_covariance`.
"""

import math

import numpy as np

from .._core.arrays import array_namespace
from .._core.typing import Array, Numbers
from .._core.validation import fail
from ._statement import statement

__all__ = [
    "PAPER",
    "backward_drift",
    "backward_euler_maruyama_gaussian",
    "backward_noise_levels",
    "chain_rule_of_measurements",
    "conforti_kl",
    "curvature_covariance_bounds",
    "denoiser_lipschitz",
    "denoising_score_matching",
    "discrete_prior_mmse",
    "early_stopping_w2",
    "equivalent_sigma",
    "expected_conditional_curvature",
    "expected_next_covariance",
    "fisher_information_w2",
    "forward_mixing",
    "heun_gaussian_error",
    "joint_log_density",
    "langevin_contraction",
    "linear_estimator_mmse",
    "log_concavity_window",
    "mean_covariance_derivative",
    "multi_measurement_mean",
    "next_measurement_hessian",
    "next_measurement_score",
    "ornstein_uhlenbeck_level",
    "posterior_covariance_derivative",
    "posterior_mean_w2",
    "posterior_mean_w2_sandwich",
    "predictive_moments",
    "rescaled_score",
    "restricted_gaussian_oracle_contraction",
    "score_error_kl",
    "score_matching_objective",
    "strongly_log_concave_w2",
    "ula_gaussian_variance",
    "ula_log_sobolev",
    "ula_strongly_log_concave",
]

PAPER = "log_concavity"

# ------------------------------------------------------------- A. Langevin, Ornstein-Uhlenbeck, the backward equation


@statement(
    paper=PAPER,
    ref="slides, Langevin step",
    title="Stationary law of ULA on a Gaussian",
    kind="refuted",
    text="transcribed",
    domain="lam > 0, 0 < gamma < 2 * lam",
)
def ula_gaussian_variance(lam: Numbers, gamma: Numbers) -> Numbers:
    r"""Variance that the unadjusted Langevin algorithm keeps on a Gaussian.

    **Hypotheses.** Target N(0, lam), :math:`0 < \gamma < 2\lambda`,
    :math:`x_{k+1} = x_k - \gamma f'(x_k) + \sqrt{2\gamma}\,\xi_k`, :math:`f(x) = x^2/(2\lambda)`.

    **Conclusion (equality; the recursion as transcribed is refuted).** The stationary law is Gaussian with variance

    .. math:: v_\gamma = \frac{\lambda}{1 - \gamma/(2\lambda)}, \qquad
              W_2 = \sqrt{v_\gamma} - \sqrt\lambda = \frac{\gamma}{4\sqrt\lambda} + O(\gamma^2).

    Proof: :math:`v = (1-\gamma/\lambda)^2 v + 2\gamma`. In d dimensions it holds along every eigenvector.

    **As transcribed** the step is :math:`x_{k+1} = -\gamma f'(x_k) + \sqrt{2\gamma}\,\xi_k`, without :math:`x_k`: its
    stationary variance :math:`2\gamma/(1-(\gamma/\lambda)^2)` tends to 0 with gamma. (At gamma = lam/2 both agree: a trap.)

    **Source.** Slides, in a machine transcription (corrected); the formula is derived.

    Parameters
    ----------
    lam, gamma : numbers or arrays
        variance of the target and step.

    Returns
    -------
    like lam
        stationary variance of the corrected recursion.

    Examples
    --------
    >>> round(float(ula_gaussian_variance(1.0, 0.5)), 4)
    1.3333
    """
    lam, gamma = np.asarray(lam, dtype=np.float64), np.asarray(gamma, dtype=np.float64)
    return lam / (1 - gamma / (2 * lam))


@statement(
    paper=PAPER,
    ref="slides, Langevin",
    title="ULA on a strongly log-concave law",
    kind="upper",
    text="recalled",
    domain="k whole >= 0, a > 0, L >= a, 0 < h <= 2 / (a + L), dim whole >= 1, w2_start >= 0",
)
def ula_strongly_log_concave(k: Numbers, h: Numbers, a: Numbers, L: Numbers, dim: Numbers, w2_start: Numbers) -> Numbers:
    r"""W2 distance of the unadjusted Langevin algorithm to a strongly log-concave target.

    **Hypotheses.** :math:`a I \le -\nabla^2\log p \le L I`, a > 0, :math:`0 < h \le 2/(a+L)`.

    **Conclusion (upper).**

    .. math:: W_2(\nu_k, p) \le (1-ah)^k\, W_2(\nu_0, p) + 1.65\,\frac La\,\sqrt{h d}

    The first term is sharp; the second is loose: the true bias is O(h), see :func:`ula_gaussian_variance`.

    Proof: couple with the stationary diffusion Y by the same noise. A gradient step contracts by 1 - ah, and within a step
    the drift of Y changes by at most :math:`L\int_0^h (s\sqrt{Ld} + \sqrt{2sd})\,ds \le \tfrac{7\sqrt2}6 L h^{3/2}\sqrt d`
    in L2, since :math:`E|\nabla\log p(Y)|^2 \le Ld` and :math:`hL \le 2`. Sum the geometric series;
    :math:`7\sqrt2/6 < 1.65`.

    **Source.** Dalalyan & Karagulyan 2019, Theorem 1 (recalled), the modern form of the results the slides quote. The orders
    :math:`(L/a)\sqrt{hd}` and :math:`e^{-ahk}` are those of Chewi, *Log-Concave Sampling*, Theorem 4.1.2.

    Examples
    --------
    >>> round(float(ula_strongly_log_concave(100, h=0.01, a=1.0, L=1.0, dim=1, w2_start=1.0)), 4)
    0.531
    """
    return (1 - a * h) ** np.asarray(k) * w2_start + 1.65 * (L / a) * math.sqrt(h * dim)


@statement(
    paper=PAPER,
    ref="slides, Langevin diffusion",
    title="Langevin diffusion contracts",
    kind="tight",
    text="source",
    domain="t >= 0, a > 0, w2_start >= 0, kl_start >= 0",
)
def langevin_contraction(t: Numbers, a: Numbers, w2_start: Numbers, kl_start: Numbers) -> tuple[Numbers, Numbers]:
    r"""Exponential convergence of the Langevin diffusion.

    **Hypotheses.** :math:`-\nabla^2\log p \ge a I`, a > 0; :math:`dX = \nabla\log p(X)\,dt + \sqrt2\,dB`.

    **Conclusion (tight).**

    .. math:: W_2(X_t, p) \le e^{-at}\, W_2(X_0, p), \qquad \mathrm{KL}(X_t \,\|\, p) \le e^{-2at}\,\mathrm{KL}(X_0\,\|\,p)

    Equality for a Gaussian p and a shift of its mean along the widest axis. Proof: synchronous coupling; log-Sobolev with
    constant a (Bakry-Emery).

    **Source.** Slides ("fast for strongly log-concave, slow otherwise"), without constants; textbook.

    Returns
    -------
    (w2, kl)

    Examples
    --------
    >>> w2, kl = langevin_contraction(np.log(2.0), a=1.0, w2_start=4.0, kl_start=4.0)
    >>> round(float(w2), 4), round(float(kl), 4)
    (2.0, 1.0)
    """
    t = np.asarray(t, dtype=np.float64)
    return np.exp(-a * t) * w2_start, np.exp(-2 * a * t) * kl_start


@statement(
    paper=PAPER,
    ref="slides, OU process",
    title="Marginals of the Ornstein-Uhlenbeck process",
    kind="equality",
    domain="t >= 0",
)
def ornstein_uhlenbeck_level(t: Numbers) -> tuple[Numbers, Numbers]:
    r"""Scale and noise level of the forward process.

    **Hypotheses.** :math:`dX = -X\,dt + \sqrt2\,dB`, X_0 ~ p.

    **Conclusion (equality).** :math:`X_t` has the law of :math:`e^{-t}X_0 + \sqrt{1-e^{-2t}}\,N`, and its density r_t solves

    .. math:: \partial_t r = \nabla\cdot(x\,r) + \Delta r, \qquad
              \partial_t \log r = d + x\cdot\nabla\log r + \Delta\log r + |\nabla\log r|^2 .

    **Source.** Slides.

    Returns
    -------
    (scale, sigma) : arguments of ``law.noised``

    Examples
    --------
    >>> [round(float(v), 4) for v in ornstein_uhlenbeck_level(1.0)]
    [0.3679, 0.9299]
    """
    t = np.asarray(t, dtype=np.float64)
    return np.exp(-t), np.sqrt(-np.expm1(-2 * t))


@statement(
    paper=PAPER,
    ref="slides, OU process",
    title="The forward process mixes at rate 1",
    kind="tight",
    text="derived",
    domain="T >= 0, w2_start >= 0, kl_start >= 0",
)
def forward_mixing(T: Numbers, w2_start: Numbers, kl_start: Numbers) -> tuple[Numbers, Numbers]:
    r"""Distance of the forward process to the Gaussian it is replaced by.

    **Hypotheses.** X_t the Ornstein-Uhlenbeck process of :func:`ornstein_uhlenbeck_level`, gamma = N(0, I).

    **Conclusion (tight).**

    .. math:: W_2(X_T,\gamma) \le e^{-T}\, W_2(p,\gamma), \qquad
              \mathrm{KL}(X_T\,\|\,\gamma) \le e^{-2T}\,\mathrm{KL}(p\,\|\,\gamma)

    Equality in both for :math:`p = N(a, I)`. It is :func:`langevin_contraction` with a = 1.

    Proof: the forward process is the Langevin diffusion of gamma; :func:`langevin_contraction` with a = 1.

    **Source.** Slides ("converges quickly"); constants derived (synchronous coupling, log-Sobolev).

    Returns
    -------
    (w2, kl)

    Examples
    --------
    >>> w2, kl = forward_mixing(np.log(2.0), w2_start=4.0, kl_start=8.0)
    >>> round(float(w2), 4), round(float(kl), 4)  # N(4, 1) is at distance 4 e^-T: attained
    (2.0, 2.0)
    """
    T = np.asarray(T, dtype=np.float64)
    return np.exp(-T) * w2_start, np.exp(-2 * T) * kl_start


@statement(paper=PAPER, ref="slides, backward SDE", title="Drift of the backward equation", kind="equality")
def backward_drift(y: Array, score: Array) -> Array:
    r"""Drift of the time-reversed Ornstein-Uhlenbeck process.

    **Hypotheses.** r_t the marginals of :func:`ornstein_uhlenbeck_level`.

    **Conclusion (equality).** With

    .. math:: dY = \big[\,Y + 2\nabla\log r_{T-t}(Y)\,\big]\,dt + \sqrt2\,dB, \qquad Y_0 \sim r_T,

    :math:`Y_t \sim r_{T-t}`: the density solves
    :math:`-\partial_s r_s = -\nabla\cdot\big((y + 2\nabla\log r_s)\,r_s\big) + \Delta r_s`.

    **Source.** Slides (Haussmann & Pardoux 1986). Factor 1 in place of 2 belongs to the noise-free (probability-flow) form.

    Parameters
    ----------
    y, score : (n, d) arrays
        score of r_{T-t} at y: of the noised law, not its density.

    Examples
    --------
    >>> backward_drift(np.array([[1.0]]), score=np.array([[-1.0]]))
    array([[-1.]])
    """
    return y + 2 * score


@statement(
    paper=PAPER,
    ref="slides, discretised backward SDE",
    title="Euler-Maruyama of the backward equation",
    kind="refuted",
    text="transcribed",
    domain="variance >= 0, T number > 0, N integer >= 1, N <= 10000000",
)
def backward_euler_maruyama_gaussian(mean: Numbers, variance: Numbers, T: float, N: int) -> tuple[Numbers, Numbers]:
    r"""Exact output law of the discretised backward equation on Gaussian data.

    **Hypotheses.** Data N(mean, variance); :math:`\gamma = T/N`, :math:`t_k = T - \gamma k`, Y_0 ~ N(0, 1),

    .. math:: y_{k+1} = y_k + \gamma\,\big[y_k + 2\nabla\log r_{t_k}(y_k)\big] + \sqrt{2\gamma}\,\xi_k .

    **Conclusion (weak order 1; the first form as transcribed is refuted).** The output is Gaussian; with
    :math:`\rho = \mathrm{Var}\,X_t`

    .. math:: m' = \Big(1+\gamma-\frac{2\gamma}\rho\Big)m + \frac{2\gamma e^{-t}\mu}\rho, \qquad
              v' = \Big(1+\gamma-\frac{2\gamma}\rho\Big)^2 v + 2\gamma ,

    and its W2 distance to the data is O(gamma) + O(e^{-T}).

    **As transcribed** the first form of the step has :math:`2\gamma\nabla r` without the logarithm: refuted. The equation on
    the same slide and the slides' final recursion have the logarithm.

    Proof of the recursion: the score is :math:`-(y - e^{-t}\mu)/\rho`, so a step is affine in y plus noise. It is Euler's
    method for the differential equations of mean and variance up to :math:`O(\gamma^2)` a step, and N(0, 1) differs from
    r_T by :math:`O(e^{-T})`.

    **Source.** Slides, in a machine transcription; the recursion is derived.

    Returns
    -------
    (mean, variance) of the output

    Examples
    --------
    >>> mean, variance = backward_euler_maruyama_gaussian(1.0, 0.25, T=5.0, N=1000)
    >>> round(float(mean), 4), round(float(variance), 4)
    (0.9994, 0.2548)
    """
    gamma, m, v = T / N, 0.0 * np.asarray(mean, dtype=np.float64), 1.0 + 0.0 * np.asarray(variance, dtype=np.float64)
    for k in range(N):
        t = T - gamma * k
        rho = math.exp(-2 * t) * variance - math.expm1(-2 * t)
        factor = 1 + gamma - 2 * gamma / rho
        m = factor * m + 2 * gamma * math.exp(-t) * mean / rho
        v = factor**2 * v + 2 * gamma
    return m, v


@statement(
    paper=PAPER,
    ref="slides, scaling",
    title="Score of the scaled law from the score of the noised one",
    kind="refuted",
    text="transcribed",
    domain="t >= 0",
)
def rescaled_score(score_of_noised: Array, t: Numbers) -> Array:
    r"""Both conventions of the noised density, and the factor between their scores.

    **Hypotheses.** r_t the density of :math:`X_t = e^{-t}X_0 + \sqrt{1-e^{-2t}}\,N`; q_v that of :math:`X_0 + \sqrt v\,N`.

    **Conclusion (equality; the identification as transcribed is refuted).**

    .. math:: \nabla\log r_t(x) = e^t\,\nabla\log q_{v}(e^t x), \qquad v = e^{2t}(1-e^{-2t}) = e^{2t}-1 .

    **As transcribed** q_t is at once "the density of X_t" and that of :math:`X_0 + e^t\sqrt{1-e^{-2t}}N`: true only after
    the change of scale; without it the scores differ.

    Proof: :math:`e^t X_t = X_0 + \sqrt{e^{2t}-1}\,N`, so :math:`r_t(x) = e^{td}\, q_v(e^t x)`; differentiate the
    logarithm.

    **Source.** Slides, in a machine transcription (corrected; their final recursion, with :math:`e^{t_k}`, is right).

    Parameters
    ----------
    score_of_noised : (n, d) array
        :math:`\nabla\log q_v(e^t x)`.
    t : number

    Returns
    -------
    (n, d) array
        :math:`\nabla\log r_t(x)`.

    Examples
    --------
    >>> t, x, data = 0.5, np.array([[0.3]]), ed.GaussianMixture(None, [[1.0]], 0.25)
    >>> rescaled_score(data.noised(1.0, np.expm1(2 * t) ** 0.5).score(np.exp(t) * x), t).round(4)
    array([[0.4233]])
    >>> data.noised(np.exp(-t), (-np.expm1(-2 * t)) ** 0.5).score(x).round(4)  # the score of X_t itself
    array([[0.4233]])
    """
    return math.exp(t) * score_of_noised


@statement(
    paper=PAPER,
    ref="slides, final recursion",
    title="Noise levels of the backward recursion",
    kind="equality",
    domain="T number > 0, N integer >= 1",
)
def backward_noise_levels(T: float, N: int) -> Array:
    r"""Standard deviations at which the backward recursion asks for the score.

    **Hypotheses.** :math:`t_k = T - \gamma k`, gamma = T/N, k = 0, ..., N.

    **Conclusion (equality).**

    .. math:: \sigma_k = e^{t_k}\sqrt{1-e^{-2t_k}} = \sqrt{e^{2t_k}-1}

    decreasing to :math:`\sigma_N = 0`; small levels have :math:`\sigma_k \approx \sqrt{2t_k}`, large ones are geometric.

    **Source.** Slides.

    Returns
    -------
    (N + 1,) array, noisy to clean

    Examples
    --------
    >>> backward_noise_levels(1.0, 4).round(4)
    array([2.5277, 1.8659, 1.3108, 0.8054, 0.    ])
    """
    return np.sqrt(np.expm1(2 * T * (N - np.arange(N + 1)) / N))


# --------------------------------------------------------------------------- B. Empirical Bayes and score matching


@statement(
    paper=PAPER,
    ref="second-order Tweedie",
    title="Log-concave iff the denoiser is 1-Lipschitz",
    kind="definition",
    text="derived",
    domain="v > 0",
)
def denoiser_lipschitz(covariance: Array, v: Numbers) -> Array:
    r"""Lipschitz constant of the denoiser, and log-concavity of the noised density.

    **Hypotheses.** :math:`Y = X + \sqrt v\,N`, v > 0.

    **Conclusion (equivalence).** The Jacobian of :math:`y \mapsto E[X|Y=y]` is the symmetric positive semidefinite matrix
    :math:`\mathrm{Cov}[X|y]/v`, and

    .. math:: -\nabla^2\log q_v(y) = \tfrac1v\big(I - \mathrm{Cov}[X|y]/v\big),

    so q_v is log-concave if and only if :math:`\lambda_{\max}\mathrm{Cov}[X|y] \le v` for all y, if and only if the denoiser
    is 1-Lipschitz.

    Proof: differentiate :math:`E[X|y] = y + v\nabla\log q_v(y)`. A differentiable map is 1-Lipschitz exactly where the
    norm of its Jacobian is at most 1, here the largest eigenvalue of :math:`\mathrm{Cov}[X|y]/v`.

    **Source.** derived from the second-order Tweedie formula of the slides.

    Parameters
    ----------
    covariance : (n, d, d) array
        posterior covariances.
    v : number > 0

    Returns
    -------
    (n,) array
        largest eigenvalue of the Jacobian: the local Lipschitz constant.

    Examples
    --------
    >>> [float(denoiser_lipschitz(np.array([[[0.5]]]), v)[0]) for v in (1.0, 0.25)]  # log-concave where it is at most 1
    [0.5, 2.0]
    """
    return np.linalg.eigvalsh(np.asarray(covariance))[..., -1] / v


@statement(
    paper=PAPER,
    ref="third-order Tweedie",
    title="Derivative of the posterior covariance",
    kind="equality",
    text="derived",
    domain="weights weights, v > 0",
)
def posterior_covariance_derivative(weights: Array, deviations: Array, u: Array, w: Array, v: Numbers) -> Array:
    r"""Directional derivative of a posterior variance, as a third moment.

    **Hypotheses.** :math:`Y = X + \sqrt v\,N`; given y, X is on atoms with posterior weights and deviations
    :math:`z = X - E[X|y]` (any law, by integration).

    **Conclusion (equality).**

    .. math:: \partial_w\,(u^T C(y)\,u) = \frac1v\, E\big[(w\cdot z)(u\cdot z)^2 \,\big|\, y\big]

    With D the diameter of the support, :math:`|\partial_w (u^TCu)| \le (D/v)|w|\,u^TCu`: the log-Lipschitz constant that
    makes grid certificates possible.

    Proof: the derivative of :math:`E[f|y]` along w is :math:`\mathrm{Cov}(f, w\cdot X\,|\,y)/v`; apply it to
    :math:`(u\cdot X)^2` and :math:`u\cdot X`. And :math:`|w\cdot z| \le D|w|`.

    **Source.** derived (differentiate Tweedie twice; the third cumulant).

    Parameters
    ----------
    weights : (n, M) posterior weights
    deviations : (n, M, d)
    u, w : (d,)
    v : number > 0

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> weights, deviations = np.array([[0.75, 0.25]]), np.array([[[-0.5], [1.5]]])
    >>> posterior_covariance_derivative(weights, deviations, u=[1.0], w=[1.0], v=0.5)
    array([1.5])
    """
    along = deviations @ np.asarray(u, dtype=np.float64)
    return np.sum(weights * (deviations @ np.asarray(w, dtype=np.float64)) * along**2, axis=-1) / v


@statement(paper=PAPER, ref="slides, score matching", title="Score matching without the true score", kind="equality")
def score_matching_objective(score: Array, laplacian: Array) -> Array:
    r"""Integrand of the score-matching objective.

    **Hypotheses.** p, q smooth densities, :math:`p\,\nabla\log q` vanishes at infinity.

    **Conclusion (equality).**

    .. math:: \int p\,|\nabla\log p - \nabla\log q|^2 = \int p\,\big(|\nabla\log q|^2 + 2\,\Delta\log q\big) + I(p)

    Proof: integrate the cross term by parts.

    **Source.** Slides; Hyvarinen 2005.

    Parameters
    ----------
    score : (n, d) array, :math:`\nabla\log q`
    laplacian : (n,) array, :math:`\Delta\log q`

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> score_matching_objective(np.array([[2.0, 0.0]]), laplacian=np.array([-2.0]))
    array([0.])
    """
    xp = array_namespace(score)
    return xp.sum(score * score, axis=-1) + 2 * laplacian


@statement(
    paper=PAPER,
    ref="slides, denoising score matching",
    title="Denoising score matching",
    kind="equality",
    domain="mmse >= 0, v > 0, score_error >= 0",
)
def denoising_score_matching(mmse: Numbers, v: Numbers, score_error: Numbers) -> Numbers:
    r"""Denoising loss of any score estimate.

    **Hypotheses.** :math:`Y = X + \sqrt v\,N`, h any square-integrable field.

    **Conclusion (equality).**

    .. math:: E\,|X - Y - v\,h(Y)|^2 = E\,\mathrm{tr}\,\mathrm{Cov}[X|Y] + v^2\,E\,|h(Y) - \nabla\log q_v(Y)|^2

    so the minimiser is the true score and the minimum is the MMSE, not 0. Proof: :math:`X - E[X|Y]` is orthogonal to
    functions of Y.

    **Source.** Slides; Vincent 2011.

    Parameters
    ----------
    mmse : number, :math:`E\,\mathrm{tr}\,\mathrm{Cov}[X|Y]`
    v : number
    score_error : number, :math:`E|h-\nabla\log q_v|^2`

    Examples
    --------
    >>> denoising_score_matching(mmse=0.5, v=0.5, score_error=2.0)
    1.0
    """
    return mmse + v**2 * score_error


@statement(
    paper=PAPER,
    ref="neighbours: Benton et al. 2024; Montanari 2023",
    title="Derivative of the mean posterior covariance",
    kind="equality",
    text="derived",
    domain="v > 0",
)
def mean_covariance_derivative(mean_squared_covariance: Array, v: Numbers) -> Array:
    r"""How fast the mean posterior covariance grows with the noise.

    **Hypotheses.** :math:`Y = X + \sqrt v\,N`, E|X|^2 finite, :math:`C = \mathrm{Cov}[X|Y]`.

    **Conclusion (equality).**

    .. math:: \frac{d}{dv}\,E\,C = \frac{E\,[C^2]}{v^2}

    Proof: with t = 1/v, :math:`tX + B_t` is Brownian motion with drift, :math:`E[X|Y]` a martingale with quadratic variation
    :math:`\int C^2 dt`, so :math:`\frac{d}{dt}E\,C = -E\,C^2`.

    **Source.** The key lemma of Benton, De Bortoli, Doucet & Deligiannidis (2024) and of Montanari (2023, stochastic
    localisation); also the derivative of the I-MMSE relation. Derived here.

    Parameters
    ----------
    mean_squared_covariance : (d, d) array, :math:`E[C^2]`
    v : number > 0

    Examples
    --------
    >>> v = 1.0  # X ~ N(0, 1): C = v/(1 + v), whose derivative is 1/(1 + v)^2
    >>> mean_covariance_derivative(np.array([[(v / (1 + v)) ** 2]]), v), 1 / (1 + v) ** 2
    (array([[0.25]]), 0.25)
    """
    return mean_squared_covariance / v**2


# --------------------------------------------------------------------------------------------- C. Many measurements


@statement(
    paper=PAPER,
    ref="App. A.1",
    title="The mean of the measurements is sufficient",
    kind="equality",
    text="recalled",
    domain="sigma > 0",
)
def joint_log_density(log_q_of_mean: Array, y: Array, sigma: Numbers) -> Array:
    r"""Log density of all measurements, from the noised law at their mean.

    **Hypotheses.** :math:`Y_t = X + \sigma N_t`, t = 1..m, s = sigma^2/m.

    **Conclusion (equality).**

    .. math:: \log p(y_{1:m}) = \log q_s(\bar y)
              + \frac m{2\sigma^2}\Big(|\bar y|^2 - \frac1m\sum_t|y_t|^2\Big) + c,
              \qquad c = -\tfrac{(m-1)d}2\log(2\pi\sigma^2) - \tfrac d2\log m

    Proof: complete the square in x.

    **Source.** Appendix A.1 (form recalled; a review quotes :math:`-2\sigma^2\log p(y_{1:m}|x) = \sum|y_t-x|^2` + const from
    there); the constant derived.

    Parameters
    ----------
    log_q_of_mean : (n,) array, :math:`\log q_s(\bar y)`
    y : (n, m, d) array
    sigma : number > 0

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> y, law = np.array([[[0.5], [-0.5]]]), ed.GaussianMixture(None, [[0.0]], 1.0)
    >>> joint_log_density(law.noised(1.0, 0.5**0.5).log_density(y.mean(axis=1)), y, sigma=1.0).round(4)
    array([-2.6372])
    >>> pair = ed.GaussianMixture(None, [[0.0, 0.0]], np.eye(2)[None] + 1.0)  # the law of both measurements
    >>> pair.log_density(y[:, :, 0]).round(4)
    array([-2.6372])
    """
    m, d = y.shape[1:]
    spread = np.sum((y - np.mean(y, axis=1, keepdims=True)) ** 2, axis=(1, 2))
    constant = 0.5 * (m - 1) * d * math.log(2 * math.pi * sigma**2) + 0.5 * d * math.log(m)
    return log_q_of_mean - spread / (2 * sigma**2) - constant


@statement(
    paper=PAPER,
    ref="Eq. (2.3)",
    title="Posterior mean given m measurements",
    kind="equality",
    domain="m whole >= 1, sigma >= 0",
)
def multi_measurement_mean(mean: Array, score_of_mean: Array, m: Numbers, sigma: Numbers) -> Array:
    r"""Jump of the walk-jump sampler: the posterior mean given all measurements.

    **Hypotheses.** :math:`Y_t = X + \sigma N_t`, t = 1..m, s = sigma^2/m.

    **Conclusion (equality).**

    .. math:: E[X \mid Y_1,\dots,Y_m] = \bar Y + s\,\nabla\log q_s(\bar Y), \qquad s = \sigma^2/m

    **Source.** Slides; Eq. (2.3). Not sigma^2 in place of s, and not the last measurement in place of the mean.

    Parameters
    ----------
    mean : (n, d) array, the mean of the m measurements
    score_of_mean : (n, d) array, :math:`\nabla\log q_s` there
    m, sigma : numbers

    Examples
    --------
    >>> law, mean = ed.GaussianMixture(None, [[0.0]], 1.0), np.array([[0.75]])
    >>> multi_measurement_mean(mean, law.noised(1.0, 0.5).score(mean), m=4, sigma=1.0).round(4)
    array([[0.6]])
    """
    return mean + sigma**2 / m * score_of_mean


@statement(
    paper=PAPER,
    ref="slides; Eq. (4.9)",
    title="Score of the next measurement given the others",
    kind="equality",
    domain="sigma > 0",
)
def next_measurement_score(posterior_mean: Array, y: Array, sigma: Numbers) -> Array:
    r"""What one step of the chain of log-concave chains needs: the conditional score.

    **Hypotheses.** As for :func:`multi_measurement_mean`; Xhat_m is the posterior mean with y_m included.

    **Conclusion (equality).**

    .. math:: \nabla_{y_m}\log p(y_m \mid y_{1:m-1}) = \sigma^{-2}\big[\bar y - y_m + s\,\nabla\log q_s(\bar y)\big]
              = \sigma^{-2}(\hat X_m - y_m),

    and likewise :math:`\nabla_{y_t}\log p(y_{1:m}) = \sigma^{-2}(\hat X_m - y_t)` for every t.

    **Source.** Slides; a later paper cites it as Eq. (4.9).

    Examples
    --------
    >>> next_measurement_score(np.array([[0.5]]), y=np.array([[1.0]]), sigma=0.5)
    array([[-2.]])
    """
    return (posterior_mean - y) / sigma**2


@statement(
    paper=PAPER,
    ref="slides; Eq. (D.2)",
    title="Hessians of the single, conditional and joint densities",
    kind="equality",
    domain="sigma > 0",
)
def next_measurement_hessian(posterior_covariance: Array, sigma: Numbers) -> Array:
    r"""Curvature of the conditional density of the next measurement; of the first one with m = 1.

    **Hypotheses.** As for :func:`multi_measurement_mean`; C_m the posterior covariance with y_m included.

    **Conclusion (equality).**

    .. math:: \nabla^2_{y_m}\log p(y_m|y_{1:m-1}) = -\sigma^{-2}\big[I - C_m/\sigma^2\big]
              = -\sigma^{-2}\big(1-\tfrac1m\big)I + m^{-2}\,\nabla^2\log q_s(\bar y),

    and the joint log density has the blocks :math:`-\delta_{tt'}\sigma^{-2}I + \sigma^{-4}C_m`.

    **Source.** Slides; Eq. (D.2) for the joint form (recalled).

    Parameters
    ----------
    posterior_covariance : (n, d, d) array
    sigma : number > 0

    Examples
    --------
    >>> next_measurement_hessian(np.array([[[0.5]]]), sigma=1.0)
    array([[[-0.5]]])
    """
    xp = array_namespace(posterior_covariance)
    identity = xp.eye(posterior_covariance.shape[-1], dtype=posterior_covariance.dtype)
    return (posterior_covariance / sigma**2 - identity) / sigma**2


@statement(
    paper=PAPER,
    ref="Prop. 2",
    title="W2 distance of the law of the posterior mean",
    kind="upper",
    text="source",
    domain="m whole >= 1, sigma >= 0, dim whole >= 1",
)
def posterior_mean_w2(m: Numbers, sigma: Numbers, dim: Numbers) -> Numbers:
    r"""How far the output of an exact walk-jump sampler is from the data: the squared distance, without assumption.

    **Hypotheses.** None: any X with a finite second moment; :math:`\hat X_m = E[X|Y_{1:m}]`.

    **Conclusion (upper).**

    .. math:: W_2^2\big(\mathrm{law}\,X,\ \mathrm{law}\,\hat X_m\big) \le E\,\mathrm{tr}\,C_m \le \frac{\sigma^2 d}m

    Proof: couple (X, Xhat_m); the posterior mean beats the mean of the measurements. The second inequality is attained in
    the limit of a wide law; the first is loose: among Gaussians :math:`W_2^2/(sd)` is at most
    :math:`(5\sqrt5-11)/2 = 0.0902` (at :math:`\lambda/s` = the golden ratio minus 1), 0.1865 for two points, 0.3468 the
    largest value known (a lattice).

    **Source.** Slides; Proposition 2 (number recalled).

    Returns
    -------
    float or array
        :math:`\sigma^2 d/m`, the bound on the SQUARED distance.

    Examples
    --------
    >>> float(posterior_mean_w2(4, 0.5, 2))
    0.125
    """
    return np.asarray(sigma, dtype=np.float64) ** 2 * dim / np.asarray(m)


@statement(
    paper=PAPER,
    ref="Prop. 2, sharpened",
    title="Two-sided bounds on the W2 distance of the jump",
    kind="tight",
    text="derived",
)
def posterior_mean_w2_sandwich(covariance: Array, mean_posterior_covariance: Array) -> tuple[Numbers, Numbers]:
    r"""Lower and upper bound on the squared W2 distance between X and its posterior mean.

    **Hypotheses.** X with covariance :math:`\Lambda`; :math:`E\,C_m` the mean posterior covariance.

    **Conclusion (two-sided; the left side is attained by Gaussians).**

    .. math:: \mathrm{tr}\,\big(\Lambda + \hat\Lambda - 2(\Lambda^{1/2}\hat\Lambda\Lambda^{1/2})^{1/2}\big)
              \le W_2^2(X, \hat X_m) \le \mathrm{tr}\,E\,C_m, \qquad \hat\Lambda = \Lambda - E\,C_m

    Proof: total covariance gives cov Xhat; Gelbrich's bound on the left, the coupling (X, Xhat_m) on the right.

    **Source.** derived.

    Parameters
    ----------
    covariance, mean_posterior_covariance : (d, d) arrays

    Returns
    -------
    (lower, upper)

    Examples
    --------
    >>> low, high = posterior_mean_w2_sandwich([[1.0]], [[0.75]])  # X ~ N(0, 1): the mean is N(0, 1/4)
    >>> low, high
    (0.25, 0.75)
    """
    L, C = np.atleast_2d(covariance), np.atleast_2d(mean_posterior_covariance)
    values, vectors = np.linalg.eigh(L)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ (L - C) @ root)
    lower = 2 * np.trace(L) - np.trace(C) - 2 * np.sum(np.sqrt(np.maximum(cross, 0)))
    return float(lower), float(np.trace(C))


@statement(
    paper=PAPER,
    ref="slides, strong priors (a)",
    title="Posterior covariance under curvature bounds",
    kind="tight",
    text="derived",
    domain="m whole >= 0, sigma > 0, a > -m / sigma**2, b >= a",
)
def curvature_covariance_bounds(a: Numbers, b: Numbers, m: Numbers, sigma: Numbers) -> tuple[Numbers, Numbers]:
    r"""Posterior covariance of a law whose potential has curvature between a and b.

    **Hypotheses.** :math:`a I \le -\nabla^2\log p \le b I` with :math:`a + m/\sigma^2 > 0` (a < 0 and b = inf are allowed).

    **Conclusion (two-sided, almost surely, tight).**

    .. math:: \frac{1}{b + m/\sigma^2}\,I \;\le\; C_m \;\le\; \frac{1}{a + m/\sigma^2}\,I

    so :math:`W_2^2 \le d\,\sigma^2/(m + a\sigma^2)` improves :func:`posterior_mean_w2` when a > 0. Both sides are attained
    by Gaussians. Proof: given the measurements X has a potential of curvature between a + m/sigma^2 and b + m/sigma^2;
    Brascamp-Lieb above, Cramer-Rao below.

    **Source.** The slides announce better bounds for strong priors; this form is derived.

    Returns
    -------
    (lower, upper) : bounds on the eigenvalues of C_m

    Examples
    --------
    >>> curvature_covariance_bounds(1.0, 4.0, 1, 1.0)
    (0.2, 0.5)
    """
    precision = m / sigma**2
    return 1 / (b + precision), 1 / (a + precision)


@statement(
    paper=PAPER,
    ref="slides, strong priors (b)",
    title="W2 of the jump under finite Fisher information",
    kind="upper",
    text="derived",
    domain="information >= 0, m whole >= 1, sigma >= 0",
)
def fisher_information_w2(information: Numbers, m: Numbers, sigma: Numbers) -> Numbers:
    r"""W2 distance (not squared) of the law of the posterior mean, for laws of finite Fisher information.

    **Hypotheses.** :math:`I(p) = E|\nabla\log p(X)|^2 < \infty`; s = sigma^2/m.

    **Conclusion (upper; rate 1/m, so 1/m^2 for the square).**

    .. math:: W_2(\mathrm{law}\,X, \mathrm{law}\,\hat X_m) \le \tfrac32\,\frac{\sigma^2}m\,\sqrt{I(p)}

    Proof: the probability flow :math:`x_v' = -\tfrac12\nabla\log q_v(x_v)` carries p to q_s, and
    :math:`x_0 = x_s + \tfrac12\int_0^s\nabla\log q_v(x_v)dv`, :math:`\hat X = x_s + s\,\nabla\log q_s(x_s)`; Minkowski and
    :math:`I(q_v) \le I(p)`. In the limit of small noise the ratio to the bound tends to 1/3.

    **Source.** The slides announce better bounds for strong priors; this form is derived.

    Examples
    --------
    >>> float(fisher_information_w2(information=4.0, m=3, sigma=1.0))
    1.0
    """
    return 1.5 * sigma**2 / np.asarray(m) * np.sqrt(information)


@statement(
    paper=PAPER,
    ref="slides, strong priors (c)",
    title="Mean squared error for a discrete prior",
    kind="upper",
    text="derived",
    domain="weights weights, m whole >= 1, sigma > 0",
)
def discrete_prior_mmse(points: Array, weights: Array, m: Numbers, sigma: Numbers) -> float:
    r"""Mean squared error of the posterior mean when X lives on atoms: exponentially small in m.

    **Hypotheses.** X on atoms x_i with weights w_i, whose sum is 1; Phi the normal distribution function.

    **Conclusion (upper).**

    .. math:: W_2^2(X, \hat X_m) \le E\,\mathrm{tr}\,C_m
              \le \sum_{i\ne j} w_i\,|x_i-x_j|^2\;\Phi\Big(-\frac{\sqrt m\,|x_i-x_j|}{2\sigma}\Big)

    Proof: the nearest atom to the mean of the measurements is an estimator; union bound.

    **Source.** The slides announce better bounds for strong priors; this form is derived.

    Parameters
    ----------
    points : (M, d)
    weights : (M,)
    m, sigma : numbers

    Examples
    --------
    >>> [float(f"{discrete_prior_mmse([[-1.0], [1.0]], [0.5, 0.5], m, sigma=1.0):.3g}") for m in (1, 10, 20)]
    [0.635, 0.00313, 1.55e-05]
    """
    from scipy.special import ndtr

    points = np.asarray(points, dtype=np.float64)
    square = np.sum((points[:, np.newaxis] - points[np.newaxis]) ** 2, axis=-1)
    return float(np.sum(np.asarray(weights)[:, np.newaxis] * square * ndtr(-0.5 * np.sqrt(m * square) / sigma)))


@statement(
    paper=PAPER,
    ref="slides, strong priors (d)",
    title="Mean squared error against the best linear estimator",
    kind="tight",
    text="derived",
    domain="m whole >= 1, sigma >= 0",
)
def linear_estimator_mmse(covariance: Array, m: Numbers, sigma: Numbers) -> float:
    r"""Mean squared error of the posterior mean, bounded by that of the best linear estimator.

    **Hypotheses.** X with covariance :math:`\Lambda`, s = sigma^2/m.

    **Conclusion (upper, tight).**

    .. math:: E\,\mathrm{tr}\,C_m \le \mathrm{tr}\,\big[s\Lambda(\Lambda + sI)^{-1}\big] \le \min(s\,d, \mathrm{tr}\,\Lambda)

    with equality exactly for Gaussians.

    Proof: the posterior mean has the least mean squared error, and the trace is the error of the best linear estimator;
    :math:`s\lambda/(\lambda+s) \le \min(s, \lambda)`. Equality means that the posterior mean is linear, hence the score of
    q_s, hence X is Gaussian.

    **Source.** derived (textbook).

    Examples
    --------
    >>> linear_estimator_mmse(np.diag([1.0, 3.0]), m=1, sigma=1.0)
    1.25
    """
    lam = np.linalg.eigvalsh(np.atleast_2d(covariance))
    s = sigma**2 / m
    return float(np.sum(s * lam / (lam + s)))


@statement(
    paper=PAPER, ref="slides, accumulation", title="The posterior mean is a martingale", kind="equality", text="derived"
)
def expected_next_covariance(posterior_covariance: Array, covariance_of_next_mean: Array) -> Array:
    r"""What one more measurement does to the posterior mean and covariance, on average.

    **Hypotheses.** Measurements as in :func:`multi_measurement_mean`.

    **Conclusion (equality).**

    .. math:: E[\hat X_{m+1} \mid y_{1:m}] = \hat X_m, \qquad
              E[C_{m+1} \mid y_{1:m}] = C_m - \mathrm{Cov}(\hat X_{m+1} \mid y_{1:m}) \le C_m

    so accumulation reduces uncertainty on average (not surely: C_{m+1} may exceed C_m). The sum of the measurements is
    stochastic localisation observed at the times m/sigma^2.

    Proof: the tower property for the mean, and the law of total covariance given :math:`y_{1:m}`.

    **Source.** Slides ("accumulate measurements"); the precise form is derived.

    Returns
    -------
    like posterior_covariance
        :math:`E[C_{m+1}|y_{1:m}]`.

    Examples
    --------
    >>> expected_next_covariance(np.array([[0.5]]), covariance_of_next_mean=np.array([[0.125]]))
    array([[0.375]])
    """
    return posterior_covariance - covariance_of_next_mean


@statement(
    paper=PAPER,
    ref="slides, OAT",
    title="Predictive law of the next measurement",
    kind="equality",
    text="derived",
    domain="sigma >= 0",
)
def predictive_moments(posterior_mean: Array, posterior_covariance: Array, sigma: Numbers) -> tuple[Array, Array]:
    r"""Mean and covariance of the next measurement given the others.

    **Hypotheses.** Measurements as in :func:`multi_measurement_mean`.

    **Conclusion (equality).**

    .. math:: E[Y_{m+1}|y_{1:m}] = \hat X_m, \qquad \mathrm{Cov}[Y_{m+1}|y_{1:m}] = \sigma^2 I + C_m

    Hence the best start of the next inner walk is Xhat_m plus noise of variance sigma^2 (which lacks C_m: it is not yet a
    draw from the conditional).

    Proof: :math:`Y_{m+1} = X + \sigma N_{m+1}` with noise that is independent of X and of the other measurements.

    **Source.** derived.

    Returns
    -------
    (mean, covariance)

    Examples
    --------
    >>> predictive_moments(np.array([[0.5]]), np.array([[[0.25]]]), sigma=1.0)
    (array([[0.5]]), array([[[1.25]]]))
    """
    identity = np.eye(posterior_covariance.shape[-1])
    return posterior_mean, posterior_covariance + sigma**2 * identity


@statement(
    paper=PAPER, ref="slides, OAT", title="Exact inner draws give exact measurements", kind="equality", text="derived"
)
def chain_rule_of_measurements(conditional_log_densities: Array) -> Array:
    r"""One measurement after another, each drawn from its exact conditional law, has the joint law of all.

    **Hypotheses.** y_t drawn from :math:`p(y_t|y_{1:t-1})`, t = 1..m: the law of X given the others, plus noise of variance
    sigma^2; for a mixture X given the others is again a mixture.

    **Conclusion (equality).**

    .. math:: \log p(y_{1:m}) = \sum_{t=1}^m \log p(y_t \mid y_{1:t-1}), \qquad
              \sum_t Y_t \sim mX + \sqrt m\,\sigma N

    so a walk-jump sampler with exact inner draws has the jump's error alone (:func:`posterior_mean_w2`).

    Proof: the chain rule of densities; under the joint law :math:`Y_t = X + \sigma N_t` with independent noises, whose sum
    is :math:`\sqrt m\,\sigma N`.

    **Source.** derived; the oracle against which inner walks are measured.

    Parameters
    ----------
    conditional_log_densities : (m, n) array

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> chain_rule_of_measurements([[-1.0, -2.0], [-0.5, -0.25]])
    array([-1.5 , -2.25])
    """
    return np.sum(np.asarray(conditional_log_densities), axis=0)


@statement(
    paper=PAPER,
    ref="Remark 2, without its assumption",
    title="Curvature of the conditionals on average",
    kind="tight",
    text="derived",
    domain="m whole >= 1, sigma > 0",
)
def expected_conditional_curvature(m: Numbers, sigma: Numbers) -> tuple[Numbers, Numbers]:
    r"""Mean curvature of the conditional of the m-th measurement, without any assumption on X.

    **Hypotheses.** E|X|^2 finite; y_{1:m} drawn from the measurements' law.

    **Conclusion (two-sided, tight).**

    .. math:: \sigma^{-2}\Big(1-\frac1m\Big) I \;\le\; -E\,\nabla^2_{y_m}\log p(y_m|y_{1:m-1}) \;\le\; \sigma^{-2} I

    so the condition number of the mean curvature is at most m/(m-1), and the conditional fails to be log-concave at the
    visited point with probability at most d/m. Both ends attained by a Gaussian with variances (l, 0), l to infinity. Proof:
    :math:`0 \le E\,C_m \le (\sigma^2/m) I` in the Loewner order; Markov for tr C_m.

    **Source.** derived; extends the rate 1/m of Remark 2 (recalled), which assumes X = Z + N_0.

    Returns
    -------
    (lower, upper) : eigenvalue bounds

    Examples
    --------
    >>> [float(value) for value in expected_conditional_curvature(4, 0.5)]
    [3.0, 4.0]
    """
    return (1 - 1 / np.asarray(m)) / sigma**2, 1 / sigma**2


# ---------------------------------------------------------------------------------------- G. Claims of the discussion


@statement(
    paper=PAPER,
    ref="slides, discussion",
    title="The exact output depends on sigma^2/m alone",
    kind="equality",
    text="derived",
    domain="sigma >= 0, m whole >= 1, m_new whole >= 1",
)
def equivalent_sigma(sigma: Numbers, m: Numbers, m_new: Numbers) -> Numbers:
    r"""The two hyperparameters sigma and m act on the exact output through one number.

    **Hypotheses.** Exact inner draws (:func:`chain_rule_of_measurements`).

    **Conclusion (equality).** The law of :math:`\hat X_m` depends on (sigma, m) only through :math:`s = \sigma^2/m`:

    .. math:: \mathrm{law}(\hat X_m; \sigma, m) = \mathrm{law}(\hat X_{m'}; \sigma\sqrt{m'/m}, m') .

    At fixed s, sigma only changes the difficulty of the conditionals: larger sigma, more log-concave steps.

    Proof: the measurements enter through their mean :math:`\bar Y = X + \sqrt s\,N` alone (:func:`joint_log_density`), so
    :math:`\hat X_m = E[X|\bar Y]`.

    **Source.** derived; makes the slides' "only two hyperparameters" precise.

    Returns
    -------
    float
        the sigma that with ``m_new`` measurements gives the same output law.

    Examples
    --------
    >>> equivalent_sigma(0.5, 4, 1)
    0.25
    """
    return sigma * math.sqrt(m_new / m)


# ------------------------------------------------------------------------------------------------- The neighbours


@statement(
    paper=PAPER,
    ref="neighbours: Conforti, Durmus & Gentiloni Silveri 2023",
    title="KL of the exponential integrator under finite Fisher information",
    kind="upper",
    text="derived",
    domain="T >= 0, h >= 0, kl_start >= 0, information_start >= 0",
)
def conforti_kl(T: Numbers, h: Numbers, kl_start: Numbers, information_start: Numbers) -> Numbers:
    r"""KL error of the discretised backward equation, without Lipschitz scores and without early stopping.

    **Hypotheses.** Exact scores; :math:`\mathrm{KL}(p\|\gamma)` and the relative Fisher information
    :math:`I(p|\gamma) = E_p|\nabla\log(p/\gamma)|^2` finite; the backward equation written as
    :math:`dY = (-Y + 2u)\,dt + \sqrt2\,dB`, :math:`u = \nabla\log(r_{T-t}/\gamma)`, with u frozen over steps of length h and
    the linear part solved exactly, started from gamma.

    **Conclusion (upper, constant 1).**

    .. math:: \mathrm{KL}(p\,\|\,\mathrm{out}) \le e^{-2T}\,\mathrm{KL}(p\|\gamma) + h\,I(p|\gamma)

    and, sharper :math:`\le \mathrm{KL}(r_T\|\gamma) + \sum_k\int_{t_k}^{t_{k+1}}[I_t - (2e^{t-t_k}-1)I_{t_k}]\,dt`, with I_t
    the information of :math:`r_{T-t}`. Proof: :math:`e^{-t}u_t` is a martingale along the exact backward process, so
    :math:`E|u_t-u_{t_k}|^2 = I_t - (2e^{t-t_k}-1)I_{t_k} \le I_{t_{k+1}} - I_{t_k}`; Girsanov; the sum telescopes. Not the
    exponential integrator that freezes :math:`\nabla\log r`, whose linear part grows.

    **Source.** Conforti, Durmus & Gentiloni Silveri 2023 (cited on the slides; their constants recalled only in shape); this
    version with constant 1 is derived.

    Returns
    -------
    float or array

    Examples
    --------
    >>> round(float(conforti_kl(np.log(2.0), h=0.25, kl_start=1.0, information_start=2.0)), 4)
    0.75
    """
    return np.exp(-2 * np.asarray(T)) * kl_start + np.asarray(h, dtype=np.float64) * information_start


@statement(
    paper=PAPER,
    ref="neighbours: Chen, Chewi, Salim & Wibisono 2022",
    title="The restricted Gaussian oracle contracts",
    kind="tight",
    text="source",
    domain="a > 0, h >= 0",
)
def restricted_gaussian_oracle_contraction(a: Numbers, h: Numbers) -> tuple[Numbers, Numbers]:
    r"""Contraction of one round of the proximal sampler.

    **Hypotheses.** :math:`-\nabla^2\log p \ge a I`, a > 0 (W2), or a log-Sobolev inequality with constant a (KL), or a
    Poincare inequality with constant a (chi-squared); one round is :math:`y = x + \sqrt h\,z`, then x from the density
    proportional to :math:`p(x)\,e^{-|x-y|^2/(2h)}`.

    **Conclusion (tight).**

    .. math:: W_2' \le \frac{W_2}{1+ah}, \qquad \mathrm{KL}' \le \frac{\mathrm{KL}}{(1+ah)^2}, \qquad
              \chi^{2\,\prime} \le \frac{\chi^2}{(1+ah)^2}

    Equality of the first two for a Gaussian and a shift of its mean. For a mixture the oracle is its posterior mixture.

    **Source.** Chen, Chewi, Salim & Wibisono 2022, as in Chewi, *Log-Concave Sampling* (version of August 2026), Theorems
    8.2.1 (W2), 8.5.1 (chi-squared) and 8.5.2 (KL); W2 for a Gaussian by the recursion of means.

    Returns
    -------
    (w2 factor, kl and chi-squared factor)

    Examples
    --------
    >>> [round(value, 4) for value in restricted_gaussian_oracle_contraction(1.0, 0.5)]
    [0.6667, 0.4444]
    """
    return 1 / (1 + a * h), 1 / (1 + a * h) ** 2


@statement(
    paper=PAPER,
    ref="neighbours: Karras et al. 2022",
    title="Heun's method is of order 2",
    kind="asymptotic",
    text="derived",
    domain="sigma > 0, s > 0",
)
def heun_gaussian_error(sigma: Array, slope: Array, weights: Array, s: Numbers) -> float:
    r"""Leading relative error of Heun's method in sigma on a Gaussian target.

    **Hypotheses.** Target N(0, s^2 I); :math:`dx/d\sigma = (x - D(x,\sigma))/\sigma = a(\sigma)\,x`,
    :math:`a = \sigma/(s^2+\sigma^2)`; levels :math:`\sigma_k = \varphi(k/N)` with a smooth phi that stays positive.

    **Conclusion (order 2, with its constant).** Heun's output divided by the exact solution is :math:`1+c/N^2+O(N^{-3})`,

    .. math:: c = \int_0^1 \varphi'(u)^3\,\Big(\frac{a''}{12} - \frac{a^3}6\Big)(\varphi(u))\,du .

    Proof: one step from sigma to sigma + delta multiplies x by
    :math:`1 + \tfrac\delta2(a_0 + a_1(1+\delta a_0))`, the flow by :math:`\exp\int a`; the difference is
    :math:`\delta^3(a''/12 - a^3/6)`. Euler's step (DDIM) has order 1.

    **Source.** Karras et al. 2022 (the method and its order); the constant is derived.

    Parameters
    ----------
    sigma, slope, weights : (n,) arrays
        phi and phi' at quadrature nodes in [0, 1], and the quadrature weights.
    s : number > 0

    Returns
    -------
    float
        c.

    Examples
    --------
    >>> u, weights = np.polynomial.legendre.leggauss(40)  # sigma falls from 4 to 1 in equal steps
    >>> c = heun_gaussian_error(2.5 - 1.5 * u, slope=np.full(40, -3.0), weights=weights / 2, s=1.0)
    >>> law, grid = ed.GaussianMixture(None, [[0.0]], 1.0), ed.Grid(np.ones(201), np.linspace(4.0, 1.0, 201))
    >>> ratio = float(ed.samplers.final(ed.samplers.heun(law, grid, np.ones((1, 1))))[0, 0]) / (2 / 17) ** 0.5
    >>> round(c, 4), round((ratio - 1) * 200**2, 4)  # predicted, and measured with 200 steps
    (0.2774, 0.278)
    """
    g = s**2 + sigma**2
    a, second = sigma / g, 2 * sigma * (sigma**2 - 3 * s**2) / g**3
    return float(np.sum(weights * slope**3 * (second / 12 - a**3 / 6)))


@statement(
    paper=PAPER,
    ref="neighbours: Vempala & Wibisono 2019",
    title="ULA under a log-Sobolev inequality",
    kind="upper",
    text="source",
    domain="k whole >= 0, a > 0, L >= a, 0 < h <= 1 / (4 * L), dim whole >= 1, kl_start >= 0",
)
def ula_log_sobolev(k: Numbers, h: Numbers, a: Numbers, L: Numbers, dim: Numbers, kl_start: Numbers) -> Numbers:
    r"""KL of the unadjusted Langevin algorithm under a log-Sobolev inequality.

    **Hypotheses.** p has a log-Sobolev inequality with constant a (true with a the strong log-concavity) and
    :math:`|\nabla^2\log p| \le L`, so that :math:`a \le L`; :math:`0 < h \le 1/(4L)`.

    **Conclusion (upper).**

    .. math:: \mathrm{KL}(\nu_k\,\|\,p) \le e^{-ahk}\,\mathrm{KL}(\nu_0\,\|\,p) + \frac{6\,h\,d\,L^2}a

    Proof: along the interpolation :math:`\tfrac d{dt}\mathrm{KL} \le -\tfrac34 I + L^2E|X_t-X_{kh}|^2` with I the Fisher
    information relative to p. With :math:`\tau = t - kh \le 1/(4L)` and :math:`E|\nabla\log p(X_t)|^2 \le I + 2Ld` the last
    term is at most :math:`\tfrac17I + \tfrac{24}7L^2d\,\tau`, and :math:`I \ge 2a\,\mathrm{KL}`: one step adds at most
    :math:`\tfrac{12}7L^2dh^2`, and their sum is below :math:`2hdL^2/a`: 2 in place of 6 would do.

    Loose in both terms: the diffusion decays as :math:`e^{-2at}` and the true bias is O(h^2).

    **Source.** Vempala & Wibisono 2019, in the form of Chewi, *Log-Concave Sampling* (version of August 2026),
    Theorem 4.2.7.

    Examples
    --------
    >>> round(float(ula_log_sobolev(100, h=0.01, a=1.0, L=1.0, dim=1, kl_start=1.0)), 4)
    0.4279
    """
    return np.exp(-a * h * np.asarray(k)) * kl_start + 6 * h * dim * L**2 / a


@statement(
    paper=PAPER,
    ref="neighbours: Chen, Chewi, Li, Li, Salim & Zhang 2023",
    title="Score errors add to the KL of the exponential integrator",
    kind="tight",
    text="derived",
    domain="T number > 0, errors >= 0, kl_start number >= 0, information_start number >= 0",
)
def score_error_kl(T: float, errors: Array, kl_start: float, information_start: float) -> float:
    r"""KL error of the discretised backward equation with an estimated score; the total variation follows by Pinsker.

    **Hypotheses.** The scheme of :func:`conforti_kl` with N steps of length h = T/N, and in step k the field
    :math:`\hat u_k = u_{t_k} + e_k` in place of :math:`u_{t_k}`, with the error measured under the exact law:
    :math:`E_{r_{T-t_k}}|e_k|^2 \le \varepsilon_k^2`. No Lipschitz constant.

    **Conclusion (tight).**

    .. math:: \mathrm{KL}(p\,\|\,\mathrm{out}) \le e^{-2T}\,\mathrm{KL}(p\|\gamma) + h\,I(p|\gamma)
              + \sum_{k<N}\Big[h\,\varepsilon_k^2 + 2(e^h-1-h)\,e^{-(T-t_k)}\sqrt{I(p|\gamma)}\;\varepsilon_k\Big],
              \qquad \mathrm{TV} \le \sqrt{\mathrm{KL}/2} .

    Proof: :math:`e^{-t}u_t` is a martingale, so :math:`u_t - e^{t-t_k}u_{t_k}` is orthogonal to what is known at t_k: with
    :math:`a = t - t_k`, :math:`E|u_t-\hat u_k|^2 = I_t - e^{2a}I_{t_k} + E|(e^a-1)u_{t_k} - e_k|^2`, which is the integrand
    of :func:`conforti_kl` plus :math:`\varepsilon_k^2` plus at most :math:`2(e^a-1)\sqrt{I_{t_k}}\,\varepsilon_k`; Girsanov,
    and :math:`I_{t_k} \le e^{-2(T-t_k)}I(p|\gamma)`. The cross term is O(h^2) per step: without discretisation the errors
    cost exactly :math:`\int\varepsilon^2`. **Tight**: p = gamma, T large, h small, shifts
    :math:`e_k \propto e^{-(T-t_k)}`.

    **Source.** Chen, Chewi, Li, Li, Salim & Zhang 2023 (recalled in shape, hidden constants, Lipschitz scores); this
    explicit form is derived.

    Parameters
    ----------
    T : number > 0
    errors : (N,) array
        epsilon_k, noisy to clean.
    kl_start, information_start : numbers

    Returns
    -------
    float
        The bound on KL.

    Examples
    --------
    >>> [round(score_error_kl(5.0, np.full(N, 0.1), kl_start=1.0, information_start=1.0), 4) for N in (10, 100, 1000)]
    [0.5956, 0.105, 0.0555]
    """
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 1 or not errors.size:
        fail(f"errors (shape {errors.shape})", errors, "shape (N,), N >= 1")
    h = T / errors.size
    left = T - h * np.arange(errors.size)
    cross = 2 * (math.expm1(h) - h) * math.sqrt(information_start) * float(np.exp(-left) @ errors)
    return float(conforti_kl(T, h, kl_start, information_start)) + h * float(errors @ errors) + cross


@statement(
    paper=PAPER,
    ref="neighbours: De Bortoli 2022",
    title="Early stopping costs sqrt(eps) on sets, eps on smooth laws",
    kind="tight",
    text="derived",
    domain="eps >= 0, dim whole >= 0, second_moment >= 0, information >= 0",
)
def early_stopping_w2(eps: Numbers, dim: Numbers, second_moment: Numbers, information: Numbers = math.inf) -> Numbers:
    r"""W2 distance between the data and the law at which a backward process is stopped early.

    **Hypotheses.** :math:`r_\varepsilon` the Ornstein-Uhlenbeck marginal at time eps of p on R^d with
    :math:`E|X|^2 < \infty`; for the second form :math:`I(p|\gamma) < \infty`.

    **Conclusion (tight).**

    .. math:: W_2^2(p, r_\varepsilon) \le (1-e^{-\varepsilon})^2\,E|X|^2 + (1-e^{-2\varepsilon})\,d, \qquad
              W_2(p, r_\varepsilon) \le (1-e^{-\varepsilon})\sqrt{I(p|\gamma)}

    and, for p on a closed set K, :math:`W_2^2 \ge E\,\mathrm{dist}(X_\varepsilon, K)^2`, so that W2 is of the order of
    :math:`\sqrt\varepsilon` wherever K has codimension. Equality in the first for a point, in the second for
    N(a, I). Proof: the coupling :math:`(X, e^{-\varepsilon}X + \sqrt{1-e^{-2\varepsilon}}\,Z)`; the probability flow
    :math:`\dot x = -\nabla\log(r_t/\gamma)(x)`, whose speed has the second moment :math:`I_t \le e^{-2t}I(p|\gamma)`.

    **Source.** De Bortoli 2022 (manifold hypothesis; recalled: a sum with this term and others whose constant
    :math:`e^{k/\varepsilon}` is vacuous and not checked); both forms are derived.

    Returns
    -------
    float or array
        The smaller of the two bounds on W2.

    Examples
    --------
    >>> round(float(early_stopping_w2(0.01, dim=2, second_moment=1.0)), 4)
    0.1993
    >>> round(float(early_stopping_w2(0.01, dim=2, second_moment=1.0, information=4.0)), 4)
    0.0199
    """
    eps = np.asarray(eps, dtype=np.float64)
    coupling = np.sqrt(np.expm1(-eps) ** 2 * second_moment - np.expm1(-2 * eps) * dim)
    return coupling if information == math.inf else np.minimum(coupling, -np.expm1(-eps) * math.sqrt(information))


@statement(
    paper=PAPER,
    ref="neighbours: Grenioux, Noble, Gabrie & Durmus 2024",
    title="Duality of log-concavity: noised law and posterior",
    kind="tight",
    text="derived",
    domain="R number >= 0, tau2 number > 0",
)
def log_concavity_window(R: float, tau2: float) -> tuple[float, float]:
    r"""Noise variances at which the noised law, and at which every posterior, is log-concave.

    **Hypotheses.** :math:`X = Z + \tau N` with Z in a ball of radius R, tau > 0; Y = X + sqrt(v) N.

    **Conclusion (tight).** With

    .. math:: v_{\rm low} = \max(0, R^2-\tau^2), \qquad
              v_{\rm high} = \frac{\tau^4}{R^2-\tau^2}\ (\infty\text{ if } R \le \tau),

    :math:`q_v` is log-concave for :math:`v \ge v_{\rm low}`, and :math:`p(x\,|\,y)` is log-concave for every y for
    :math:`v \le v_{\rm high}`. Both at once for some v if and only if (by these bounds) :math:`R^2 \le 2\tau^2`; the two
    bounds multiply to :math:`\tau^4`. Both are exact for two Gaussians at +-R. Proof of the second:
    :math:`\nabla^2\log p(x|y) = -\tau^{-2} I + \tau^{-4}\,\mathrm{Cov}(Z|X=x) - v^{-1}I`, at most
    :math:`(R^2/\tau^4 - 1/\tau^2 - 1/v)\,I`.
    For m measurements v = sigma^2/m: the posterior becomes log-concave from some m on, whatever sigma.

    **Source.** The window of stochastic localisation samplers (SLIPS, Grenioux et al. 2024; recalled); derived.

    Returns
    -------
    (v_low, v_high)

    Examples
    --------
    >>> [round(value, 4) for value in log_concavity_window(1.0, 0.25)]
    [0.75, 0.0833]
    """
    excess = R**2 - tau2
    return max(0.0, excess), (tau2**2 / excess if excess > 0 else math.inf)


@statement(
    paper=PAPER,
    ref="neighbours: Gao, Nguyen & Zhu 2023; Bruno et al. 2023",
    title="Backward equations on strongly log-concave data",
    kind="tight",
    text="derived",
    domain="T number >= 0, alpha number > 0, w2_start >= 0, score_error >= 0",
)
def strongly_log_concave_w2(
    T: float, alpha: float, w2_start: Numbers, score_error: Numbers = 0.0
) -> tuple[Numbers, Numbers]:
    r"""W2 error of the backward equation and of the probability flow, in continuous time, started from the Gaussian.

    **Hypotheses.** :math:`-\nabla^2\log p \ge \alpha I`, alpha > 0; Y_0 ~ gamma in place of r_T; a score with an error of
    second moment at most :math:`\varepsilon^2` at every time, under the law of the sampler.

    **Conclusion (tight).** With :math:`D_t = 1 + \alpha(e^{2t}-1)`, for the equation and for the flow

    .. math:: W_2 \le \frac{W_2(p,\gamma)}{D_T} + 2\varepsilon\int_0^T\frac{e^t}{D_t}\,dt, \qquad
              W_2 \le \frac{W_2(p,\gamma)}{\sqrt{D_T}} + \varepsilon\int_0^T\frac{e^t}{\sqrt{D_t}}\,dt .

    Equality in both for N(a, I), also with a constant shift of its score along a. Proof: r_t is alpha_t-strongly
    log-concave, :math:`1/\alpha_t = e^{-2t}/\alpha + 1 - e^{-2t}` (convolution), so synchronously coupled solutions approach
    at the rate :math:`2\alpha_t-1` (flow: alpha_t - 1), :math:`\int_0^t\alpha_s ds = \tfrac12\log D_t`, and
    :math:`W_2(r_T,\gamma) \le e^{-T}W_2(p,\gamma)`. The equation forgets the start like :math:`e^{-2T}/\alpha`, the flow
    like :math:`e^{-T}/\sqrt\alpha`; for exact discretisation errors on Gaussians see
    :func:`backward_euler_maruyama_gaussian`.

    **Source.** Gao, Nguyen & Zhu 2023 and Bruno et al. 2023 (recalled in shape, with step-size terms); derived.

    Returns
    -------
    (equation, flow)

    Examples
    --------
    >>> [round(float(w2), 4) for w2 in strongly_log_concave_w2(3.0, alpha=2.0, w2_start=1.0)]
    [0.0012, 0.0352]
    """
    rise = math.expm1(T)
    gain = alpha * math.expm1(2 * T)
    D = 1 + gain
    # int_1^x du / (1 - alpha + alpha u^2) by the addition theorems of arctan and artanh: no difference near alpha = 1
    q = math.sqrt(alpha * abs(alpha - 1))
    z = q * rise / (1 + alpha * rise)
    if alpha < 1:
        angle = math.atan(z)
    else:
        angle = math.atanh(z) if z < 0.5 else math.log((1 + z) * (1 + alpha * rise) / math.sqrt(D))
    stochastic = angle / q if q else rise / (1 + rise)
    root = math.sqrt(alpha)
    flow = math.log1p((root * rise + gain / (math.sqrt(D) + 1)) / (root + 1)) / root
    return w2_start / D + 2 * score_error * stochastic, w2_start / math.sqrt(D) + score_error * flow
