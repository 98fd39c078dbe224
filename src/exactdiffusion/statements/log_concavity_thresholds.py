r"""Saremi, Park & Bach, "Chain of Log-Concave Markov Chains" (ICLR 2024, 2305.19473): log-concavity, Gaussians, Algorithm 1.

Notation: X = Z + tau N with Z discrete or compactly supported, Y_t = X + sigma N_t, ``s = sigma^2 / m``, ``q_v`` the
density of X + sqrt(v) N (indexed by the variance), ``C_m`` = Cov(X | Y_1, ..., Y_m). R is the radius of a ball that
contains the support of Z, D its diameter. All noise levels here are variances: ``sigma2``, ``tau2``.
"""

import math
from collections.abc import Callable

import numpy as np

from .._core.typing import Array, Numbers
from ._statement import guarded, statement

__all__ = [
    "GAUSSIAN_JUMP_CONSTANT",
    "PAPER",
    "all_at_once_condition",
    "all_at_once_curvature",
    "atoms_threshold",
    "blurring_threshold",
    "chain_total_variance",
    "condition_number",
    "curvature_bounds",
    "curvature_lower_bound",
    "decoupled_radius",
    "end_to_end",
    "gaussian_jump_w2",
    "half_diameter_threshold",
    "jung_radius",
    "largest_curvature",
    "mode_weight_floor",
    "once_log_concave",
    "one_at_a_time_condition",
    "radius_threshold",
    "score_estimator",
    "smoothed_threshold",
    "spectral_gap_lower_bound",
    "sphere_threshold",
    "splitting_map",
    "splitting_stationary_covariance",
    "tunnelling_leak",
    "two_gaussians_curvature",
    "ula_chain_variance",
    "unimodality_margin",
]

PAPER = "log_concavity"


# ------------------------------------------------------------------------------------------------------- D: log-concavity


@statement(
    paper=PAPER,
    ref="",
    title="Log-concavity is a bound on the posterior variance",
    kind="definition",
    text="derived",
    domain="posterior_variance >= 0, v > 0",
)
def largest_curvature(posterior_variance: Numbers, v: Numbers) -> Numbers:
    r"""Largest eigenvalue of the Hessian of a noised log density.

    **Hypotheses.** Y = Z + sqrt(v) N, any law of Z, ``posterior_variance`` = lammax Cov(Z | Y = y).

    **Conclusion (equivalence).**

    .. math:: \lambda_{\max}\nabla^2\log q_v(y) = \frac1v\Big(\frac{\lambda_{\max}\mathrm{Cov}(Z\mid y)}{v} - 1\Big),
              \qquad q_v \text{ log-concave} \iff \sup_y \lambda_{\max}\mathrm{Cov}(Z\mid y) \le v .

    Proof: Tweedie's formula, differentiated: :math:`\nabla^2\log q_v = (\mathrm{Cov}(Z|y)/v - I)/v`.

    **Source.** Differentiate Tweedie's formula; the slides give the Hessian.

    Examples
    --------
    Two atoms at +-1 seen from the middle have the variance 1: log-concave from v = 1 on.

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [float(bound.largest_curvature(1.0, v)) for v in (0.5, 1.0, 2.0)]
    [2.0, 0.0, -0.25]
    """
    return (np.asarray(posterior_variance) / v - 1) / v


@statement(
    paper=PAPER,
    ref="",
    title="One threshold in the noise, shifted by smoothing",
    kind="equality",
    text="derived",
    domain="threshold >= 0, tau2 >= 0",
)
def smoothed_threshold(threshold: Numbers, tau2: Numbers) -> Numbers:
    r"""Threshold of a smoothed law.

    **Hypotheses.** ``threshold`` = sigma*^2(Z), the least variance from which on Z + sigma N is log-concave; X = Z + tau N.

    **Conclusion.** If ``q_v`` is log-concave then so is ``q_{v'}`` for every v' > v, so that there is a threshold, and

    .. math:: \sigma_*^2(X) = \max(0,\; \sigma_*^2(Z) - \tau^2) .

    The set of good variances is a half line: bisection in sigma is legitimate. It is not legitimate in the number of
    measurements (:func:`once_log_concave`).

    Proof: more noise is a convolution with a Gaussian, which keeps log-concavity (Prekopa); and X noised by sigma is Z
    noised by :math:`\sqrt{\sigma^2+\tau^2}`.

    **Source.** Prekopa: the convolution of two log-concave densities is log-concave.

    Examples
    --------
    Smoothing by tau^2 = 0.3 takes 0.3 off the threshold, which is never negative:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.smoothed_threshold(1.0, 0.25)), float(bound.smoothed_threshold(1.0, 2.0))
    (0.75, 0.0)
    """
    return np.maximum(0.0, np.asarray(threshold) - tau2)


@statement(
    paper=PAPER,
    ref="(4.3)",
    title="Log-concave from R^2 - tau^2 on",
    kind="tight",
    text="recalled",
    domain="R >= 0, tau2 >= 0",
)
def radius_threshold(R: Numbers, tau2: Numbers = 0.0) -> Numbers:
    r"""Noise variance that suffices for compact support plus Gaussian.

    **Hypotheses.** X = Z + tau N, the support of Z in a ball of radius R (about any centre).

    **Conclusion (tight).** The law of Y_1, and every conditional law of Y_m given Y_1, ..., Y_{m-1}, is log-concave for

    .. math:: \sigma^2 \ge R^2 - \tau^2 .

    Proof: ``C_m = c I + b^2 Cov(Z|y)`` with ``b = sigma^2/(sigma^2 + m tau^2)``, ``c = b tau^2``, and Cov(Z|y) <= R^2;
    what is left is ``(sigma^2 + m tau^2)(sigma^2 + (m-1) tau^2) >= sigma^2 R^2``, which grows with m. Exact for two
    symmetric points. R is the radius: not the diameter, not the distance of one mean from the origin.

    **Source.** Eq. (4.3), recalled; proved here.

    Examples
    --------
    A support of radius 2, smoothed by tau^2 = 1:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.radius_threshold(2.0, tau2=1.0))
    3.0
    """
    return np.maximum(0.0, np.asarray(R, dtype=np.float64) ** 2 - tau2)


@statement(
    paper=PAPER,
    ref="",
    title="Half the diameter in place of the radius",
    kind="tight",
    text="derived",
    domain="D >= 0, tau2 >= 0",
)
def half_diameter_threshold(D: Numbers, tau2: Numbers = 0.0) -> Numbers:
    r"""The sharper sufficient variance.

    **Hypotheses.** As for :func:`radius_threshold`; D the diameter of the support of Z.

    **Conclusion (tight).** Log-concave for

    .. math:: \sigma^2 \ge D^2/4 - \tau^2, \qquad \frac D2 \le R \le D\sqrt{\frac{d}{2(d+1)}}\ \text{(Jung)},

    by Popoviciu's inequality in every direction. It gains up to the factor 2d/(d+1) over R^2 (regular simplices).

    Proof: by Popoviciu every posterior variance is at most :math:`D^2/4`; :func:`largest_curvature` at
    :math:`v = \sigma^2+\tau^2`.

    **Source.** Derived here.

    Examples
    --------
    A regular triangle with sides of length 1 has R^2 = 1/3, but D^2/4 is smaller:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.half_diameter_threshold(1.0))
    0.25
    """
    return np.maximum(0.0, np.asarray(D, dtype=np.float64) ** 2 / 4 - tau2)


@guarded(domain="D >= 0, d whole >= 1")
def jung_radius(D: Numbers, d: Numbers) -> Numbers:
    """Largest radius of the smallest ball around a set of diameter D in R^d: ``D sqrt(d / (2 (d + 1)))``.

    Examples
    --------
    The regular triangle with sides of length 1 attains the bound of the plane, 1 / sqrt(3):

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> round(float(bound.jung_radius(1.0, 2)), 4)
    0.5774
    """
    return np.asarray(D) * np.sqrt(d / (2 * (d + 1)))


@statement(
    paper=PAPER,
    ref="",
    title="Exact threshold of affinely independent atoms",
    kind="tight",
    text="derived",
    domain="D >= 0, 0 <= edge <= D",
)
def atoms_threshold(edge: Numbers, D: Numbers) -> tuple[Numbers, Numbers]:
    r"""Two-sided bound on the threshold of a point cloud.

    **Hypotheses.** Z has finitely many atoms with positive weights; ``edge`` the length of the longest exposed edge of the
    convex hull that carries no third atom; D the diameter.

    **Conclusion (tight).**

    .. math:: \mathrm{edge}^2/4 \;\le\; \sigma_*^2 \;\le\; D^2/4 ,

    so sigma* = D/2 exactly when the longest pair is an exposed edge: for affinely independent atoms always, whatever the
    weights. Lower side: far out along the edge's normal the posterior sees two atoms, with equal odds on one line.

    Proof: above, :func:`half_diameter_threshold`; below, :func:`largest_curvature` on that line, where the posterior
    variance along the edge tends to :math:`\mathrm{edge}^2/4`.

    **Source.** Derived here.

    Returns
    -------
    (lower, upper) variances

    Examples
    --------
    The longest pair is an exposed edge: both sides agree.

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [float(v) for v in bound.atoms_threshold(2.0, 2.0)]
    [1.0, 1.0]
    """
    return np.asarray(edge, dtype=np.float64) ** 2 / 4, np.asarray(D, dtype=np.float64) ** 2 / 4


@statement(
    paper=PAPER,
    ref="Section 4.1",
    title="Two Gaussians: the curvature",
    kind="equality",
    text="recalled",
    domain="mu_norm >= 0, v > 0, 0 < w < 1",
)
def two_gaussians_curvature(mu_norm: Numbers, v: Numbers, projection: Numbers, w: Numbers) -> Numbers:
    r"""Hessian of the log density of ``w N(mu, v I) + (1 - w) N(-mu, v I)`` along mu.

    **Hypotheses.** v = sigma^2 + tau^2, ``projection`` = mu.y, 0 < w < 1, c = log(w/(1-w))/2.

    **Conclusion.**

    .. math:: \nabla^2\log q = -\frac1v\Big[I - \frac{\mu\mu^\top}{v}\big(1-\tanh^2(\mu\cdot y/v + c)\big)\Big],

    hence log-concave if and only if v >= |mu|^2, for every weight; the worst points form the hyperplane of equal
    responsibilities mu.y = -c v (through the midpoint only for w = 1/2).

    Proof: given y the sign has the mean :math:`\tanh(\mu\cdot y/v + c)`, so
    :math:`\mathrm{Cov}(\pm\mu|y) = \mu\mu^\top(1-\tanh^2)`; :func:`largest_curvature`.

    **Source.** The example of section 4.1 (recalled), with weights.

    Returns
    -------
    float or array
        The eigenvalue of the Hessian along mu; the others are -1/v.

    Examples
    --------
    Means at +-1: at the midpoint the curvature changes its sign at v = 1.

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [float(bound.two_gaussians_curvature(1.0, v, 0.0, 0.5)) + 0.0 for v in (0.5, 1.0, 2.0)]
    [2.0, 0.0, -0.25]
    """
    c = 0.5 * np.log(np.asarray(w) / (1 - np.asarray(w)))
    return -(1 - mu_norm**2 / v / np.cosh(np.asarray(projection) / v + c) ** 2) / v


@statement(
    paper=PAPER,
    ref="",
    title="Two Gaussians: unimodal before log-concave",
    kind="definition",
    text="derived",
    domain="ratio >= 0, 0 < w < 1",
)
def unimodality_margin(ratio: Numbers, w: Numbers) -> float:
    r"""Whether ``w N(mu, v) + (1 - w) N(-mu, v)`` has one mode.

    **Hypotheses.** ``ratio`` = |mu|/sqrt(v) = Dm, 0 < w < 1, c = log(w/(1-w))/2.

    **Conclusion (equivalence).** One mode if and only if Dm <= 1 or

    .. math:: |c| \ge D_m\sqrt{D_m^2-1} - \operatorname{arccosh} D_m .

    At w = 1/2 this is log-concavity; for uneven weights the noise that removes the minor mode is smaller.

    Proof: critical points solve :math:`u - D_m^2\tanh u = c`. The slope of the left side vanishes where
    :math:`\cosh u = D_m`, at values :math:`\pm(D_m\sqrt{D_m^2-1} - \operatorname{arccosh} D_m)`; beyond both it takes
    each value once.

    **Source.** The slides quote Loog et al. for compact support; this explicit form is derived here.

    Returns
    -------
    float
        Nonnegative exactly for one mode: |c| minus the right side (|c| itself for Dm <= 1).

    Examples
    --------
    At |mu| = 1.5 sqrt(v), equal weights give two modes and weights .05, .95 give one:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(bound.unimodality_margin(1.5, w)), 3) for w in (0.5, 0.05)]
    [-0.715, 0.758]
    """
    ratio = np.asarray(ratio, dtype=np.float64)
    c = np.abs(0.5 * np.log(np.asarray(w) / (1 - np.asarray(w))))
    big = np.maximum(ratio, 1.0)
    return c - (big * np.sqrt(big**2 - 1) - np.arccosh(big))  # 0 at 1


@guarded(domain="m whole >= 1, sigma2 > 0, tau2 >= 0, R >= 0")
def curvature_bounds(m: Numbers, sigma2: Numbers, tau2: Numbers, R: Numbers) -> tuple[Numbers, Numbers]:
    r"""Bounds (zeta_m, L_m) on the eigenvalues of ``-Hess log p(y_m | y_1, ..., y_{m-1})`` for |Z| <= R.

    ``L_m = (sigma^2 + (m-1) tau^2) / (sigma^2 (sigma^2 + m tau^2))``, ``zeta_m = L_m - R^2 / (sigma^2 + m tau^2)^2``.

    Examples
    --------
    The first measurement at the threshold sigma^2 = R^2 - tau^2 has the lower bound 0:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(b), 4) for b in bound.curvature_bounds(1, 3.0, 1.0, 2.0)]
    [0.0, 0.25]
    """
    m = np.asarray(m, dtype=np.float64)
    big = sigma2 + m * tau2
    upper = (sigma2 + (m - 1) * tau2) / (sigma2 * big)
    return upper - R**2 / big**2, upper


@statement(
    paper=PAPER,
    ref="Thm 1",
    title="Condition number of the m-th conditional",
    kind="tight",
    text="recalled",
    domain="m whole >= 1, tau2 >= 0, R >= 0, sigma2 > 0, sigma2 >= R**2 - tau2",
)
def condition_number(m: Numbers, sigma2: Numbers, tau2: Numbers, R: Numbers) -> Numbers:
    r"""Condition number of the m-th step of the one-at-a-time chain.

    **Hypotheses.** X = Z + tau N, |Z| <= R, sigma^2 >= R^2 - tau^2 (at the threshold zeta_1 = 0 and kappa_1 is infinite).

    **Conclusion (tight).** The eigenvalues of ``-Hess_{y_m} log p(y_m|y_{1:m-1})`` lie in ``[zeta_m, L_m]``
    (:func:`curvature_bounds`) at every point, so

    .. math:: \kappa_m \le \Big[1 - \frac{R^2\sigma^2}{(\sigma^2+m\tau^2)(\sigma^2+(m-1)\tau^2)}\Big]^{-1}
              = 1 + \frac{R^2\sigma^2}{\tau^4 m^2}(1 + o(1)) .

    Attained for every m by two symmetric points. The rate is 1/m^2, which sharpens the rate 1/m that a review of the
    paper quotes from Remark 2. It needs tau > 0: for atoms the worst curvature does not improve with m.

    Proof: :math:`\kappa_m \le L_m/\zeta_m`, with the bounds of :func:`curvature_bounds`.

    **Source.** Theorem 1 and Remark 2, recalled (a public review quotes the hypotheses and the rate 1/m); proved here.

    Examples
    --------
    The condition number falls with the number of measurements:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(bound.condition_number(m, 3.0, 1.0, 2.0)), 3) for m in (1, 2, 10)]
    [inf, 2.5, 1.083]
    """
    lower, upper = curvature_bounds(m, sigma2, tau2, R)
    return np.where(lower > 0, upper / lower, np.inf)


@statement(
    paper=PAPER,
    ref="Thm 1",
    title="The curvature bound increases with m",
    kind="tight",
    text="recalled",
    domain="m whole >= 1, tau2 >= 0, R >= 0, sigma2 > 0, sigma2 >= R**2 - tau2",
)
def curvature_lower_bound(m: Numbers, sigma2: Numbers, tau2: Numbers, R: Numbers) -> Numbers:
    r"""Strong log-concavity of the m-th conditional.

    **Hypotheses.** As in :func:`condition_number`; sigma^2 >= R^2 - tau^2.

    **Conclusion (tight).** ``-Hess_{y_m} log p(y_m|y_{1:m-1}) >= zeta_m I`` everywhere, and zeta_m is nondecreasing in m
    (strictly for tau > 0): under this hypothesis "once log-concave, always log-concave" holds. Attained by two points.

    .. math:: \zeta_{m+1}-\zeta_m = \frac{\tau^4}{\sigma^2 A B}+ R^2\,\frac{B^2-A^2}{A^2B^2} \ge 0,
              \qquad A=\sigma^2+m\tau^2,\; B=A+\tau^2 .

    Proof: the bound is that of :func:`curvature_bounds`; both summands of the difference are nonnegative, since B >= A.

    **Source.** Theorem 1 (recalled); the difference is derived here.

    Examples
    --------
    It increases with m, from 0 at the threshold:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(bound.curvature_lower_bound(m, 3.0, 1.0, 2.0)), 4) for m in (1, 2, 10)]
    [0.0, 0.1067, 0.284]
    """
    return curvature_bounds(m, sigma2, tau2, R)[0]


@statement(
    paper=PAPER,
    ref="cf. Remark 3",
    title="Without sigma^2 >= R^2 - tau^2 log-concavity can be lost; not on average, not on a line",
    kind="tight",
    text="derived",
    domain="m whole >= 1, sigma2 > 0",
)
def once_log_concave(m: Numbers, sigma2: Numbers) -> Numbers:
    r"""What more measurements do to log-concavity when sigma^2 is below R^2 - tau^2.

    **Hypotheses.** :math:`Y_t = X + \sigma N_t`, C_m the posterior covariance given m measurements; E|X|^2 finite for (i),
    bounded support for (ii).

    **Conclusion (tight in (i)).** (i) In expectation, with no further hypothesis on X: ``E C_{m+1} <= E C_m``, and

    .. math:: \sigma^{-2}(1-1/m)\,I \;\le\; -E\,\nabla^2_{y_m}\log p(y_m\mid y_{1:m-1}) \;\le\; \sigma^{-2} I .

    (ii) Almost surely for d = 1 and bounded support: the supremum over y of Var(X | y_1, ..., y_m) does not increase with m,
    because at its maximiser the third central moment vanishes and ``F' = -(mu_4 - Var^2)/(2 sigma^2) <= 0``.
    (iii) Almost surely for d >= 2 log-concavity can be lost: atoms (+-1, 0) of weight .3158102 and (0, +-1.2) of weight
    .1841898 at sigma^2 = .714 have ``lammax C_1 <= .985 sigma^2`` for every y_1 (certified), but ``lammax C_2 = 1.0651
    sigma^2`` at y_1 = y_2 = 0. Under sigma^2 >= R^2 - tau^2 it is kept (:func:`curvature_lower_bound`); here R^2 = 1.44: the
    hypothesis is needed.

    Proof of (i): :func:`expected_next_covariance`; the curvature is :math:`\sigma^{-2}(I - C_m/\sigma^2)`, and
    :math:`0 \le E\,C_m \le (\sigma^2/m)\,I`, the error of the mean of the measurements.

    **Source.** Derived here. The authors' slides say "Conditioning reduces uncertainty (on average)", which is (i), and
    refer to the paper for precise statements; a public review quotes Remark 3 as conditional. Nothing of theirs fails here.

    Returns
    -------
    float
        ``sigma^2 / m``: the bound on E C_m; the expected curvature is at least ``(1 - 1/m) / sigma^2``.

    Examples
    --------
    Four measurements at sigma^2 = 2:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.once_log_concave(4, 2.0))
    0.5
    """
    return sigma2 / np.asarray(m, dtype=np.float64)


@statement(
    paper=PAPER,
    ref="",
    title="All at once gains no log-concavity",
    kind="equality",
    text="derived",
    domain="m whole >= 1, sigma2 > 0, posterior_variance >= 0",
)
def all_at_once_curvature(m: Numbers, sigma2: Numbers, posterior_variance: Numbers) -> Numbers:
    r"""Eigenvalues of the Hessian of the joint log density of m measurements.

    **Hypotheses.** ``posterior_variance`` = an eigenvalue c of C_m at ybar.

    **Conclusion.** The Hessian of log p(y_1, ..., y_m) has the eigenvalue -1/sigma^2 on the contrasts (d (m-1) of them) and

    .. math:: -\frac1{\sigma^2}\Big(1 - \frac{m\,c}{\sigma^2}\Big)

    on the mean directions. So the joint law is log-concave if and only if ``q_{sigma^2/m}`` is: for |Z| <= R two points need
    sigma^2/m >= R^2 - tau^2, while one at a time sigma^2 >= R^2 - tau^2 is enough.

    Proof: the blocks of the Hessian are :math:`-\delta_{tt'}\sigma^{-2}I + \sigma^{-4}C_m`
    (:func:`~exactdiffusion.statements.log_concavity.next_measurement_hessian`); the second part is 0 on contrasts and m
    times C_m on equal blocks.

    **Source.** Hessian of Eq. (D.2); the consequence is derived here.

    Examples
    --------
    At sigma^2 / m = 1/2 and a posterior variance of 1 the joint law is not log-concave:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.all_at_once_curvature(4, 2.0, 1.0))
    0.5
    """
    return -(1 - m * np.asarray(posterior_variance, dtype=np.float64) / sigma2) / sigma2


@statement(
    paper=PAPER,
    ref="slides",
    title="Enough Gaussian blurring leads to log-concavity: D^2/4 for compact support, not for every law",
    kind="tight",
    text="derived",
    domain="D >= 0",
)
def blurring_threshold(D: Numbers) -> Numbers:
    r"""Enough noise for log-concavity exists for bounded support, and not in general.

    **Hypotheses.** Support of diameter D.

    **Conclusion (tight).** The law noised by sigma is log-concave for

    .. math:: \sigma^2 \ge D^2/4 .

    Attained by two atoms of equal weight. Without bounded support no noise may suffice: for Student's t with 3
    degrees of freedom ``max_y Var(X|y)/sigma^2 > 1`` for every sigma, growing with sigma; even for a sub-Gaussian law: atoms
    2^k, k = 0, 1, 2, ..., of weights proportional to exp(-4^k / 8), whose truncations at K have thresholds of at least
    4^(K-1)/4: a pair of neighbours far out is seen alone, with equal odds, at some y.

    Proof: :func:`half_diameter_threshold` with tau = 0.

    **Source.** Derived here. The slides' line "Enough Gaussian blurring leads to log-concavity" has no hypothesis, and the
    next one says "see paper for quantitative statements": a heading, not a theorem that fails.

    Examples
    --------
    A support of diameter 2:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.blurring_threshold(2.0))
    1.0
    """
    return np.asarray(D, dtype=np.float64) ** 2 / 4


@statement(
    paper=PAPER,
    ref="",
    title="Sphere: the radius is loose by exactly d",
    kind="equality",
    text="derived",
    domain="R >= 0, d whole >= 1",
)
def sphere_threshold(R: Numbers, d: Numbers) -> Numbers:
    r"""Threshold of the uniform law on the sphere of radius R in R^d.

    **Hypotheses.** Z uniform on {\|z\| = R} in R^d.

    **Conclusion.** Cov(Z|y) has the eigenvalues ``R^2 A(k)/k`` across and ``R^2 A'(k)`` along y, with
    ``A = I_{d/2}/I_{d/2-1}``, ``k = R |y| / v``; both are at most R^2/d, attained at y = 0. Hence

    .. math:: \sigma_*^2 = R^2/d .

    (4.3) asks for R^2, looser by exactly d. The uniform law on the ball is log-concave without any noise: there the radius
    says nothing at all.

    Proof: given y, Z has the von Mises-Fisher law along y with concentration k and mean R A(k); A is concave with A(0) = 0
    and A'(0) = 1/d, so A(k)/k and A'(k) are at most 1/d.

    **Source.** Derived here.

    Examples
    --------
    The sphere of radius 2 in five dimensions needs a fifth of R^2:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.sphere_threshold(2.0, 5))
    0.8
    """
    return np.asarray(R, dtype=np.float64) ** 2 / d


# ------------------------------------------------------------------------------------------------ E: anisotropic Gaussians


@statement(paper=PAPER, ref="Prop 3", title="Gaussians all at once: the condition number grows", kind="equality",
           text="recalled", domain="m whole >= 1, sigma2 > 0, tau2 >= 0")  # fmt: skip
def all_at_once_condition(m: Numbers, sigma2: Numbers, tau2: Numbers) -> Numbers:
    r"""Condition number of the joint law of m measurements of a Gaussian.

    **Hypotheses.** X ~ N(0, C), ``tau2`` the eigenvalues of C (nonnegative).

    **Conclusion.** For m >= 2 in any dimension

    .. math:: \kappa = 1 + m\,\tau_{\max}^2/\sigma^2, \qquad
              \kappa = (\sigma^2+\tau_{\max}^2)/(\sigma^2+\tau_{\min}^2) \text{ for } m = 1 .

    Proof: along an eigenvector of C the measurements have the covariance :math:`\sigma^2I + \tau_i^2\,11^\top`, with the
    eigenvalues :math:`\sigma^2` (m - 1 times) and :math:`\sigma^2 + m\tau_i^2`.

    **Source.** Proposition 3 (number inferred, wording recalled); proved here.

    Examples
    --------
    It grows with m:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> import numpy as np
    >>> [float(np.max(bound.all_at_once_condition(m, 1.0, np.array([0.25, 1.0])))) for m in (1, 4, 9)]
    [1.6, 5.0, 10.0]
    """
    tau2 = np.asarray(tau2, dtype=np.float64)
    if m == 1:
        return (sigma2 + tau2.max()) / (sigma2 + tau2.min())
    return 1 + m * tau2.max() / sigma2


@statement(paper=PAPER, ref="Prop 4", title="Gaussians one at a time: the condition number tends to 1", kind="equality",
           text="recalled", domain="t whole >= 1, sigma2 > 0, tau2 >= 0")  # fmt: skip
def one_at_a_time_condition(t: Numbers, sigma2: Numbers, tau2: Numbers) -> Numbers:
    r"""Condition number of the t-th conditional law of a Gaussian.

    **Hypotheses.** X ~ N(0, C), ``tau2`` the eigenvalues of C.

    **Conclusion.** Along an eigenvector the variance is ``sigma^2 (sigma^2 + t tau_i^2)/(sigma^2 + (t-1) tau_i^2)``, so

    .. math:: \kappa_t = \frac{\sigma^2+t\tau_{\max}^2}{\sigma^2+(t-1)\tau_{\max}^2}\,
              \frac{\sigma^2+(t-1)\tau_{\min}^2}{\sigma^2+t\tau_{\min}^2}
              \le 1 + \frac1{t-1+\sigma^2/\tau_{\max}^2},

    decreasing in t. Rate 1/t^2, ``(kappa_t - 1) t^2 -> sigma^2 (1/tau_min^2 - 1/tau_max^2)``, and 1/t (with equality in the
    bound) where tau_min = 0.

    Proof: the conditional variance is the determinant of the covariance of t measurements,
    :math:`\sigma^{2(t-1)}(\sigma^2+t\tau_i^2)`, over that of t - 1; it increases in tau_i. For the bound drop the second
    factor.

    **Source.** Proposition 4 (wording recalled); proved here.

    Examples
    --------
    Variances 1/4 and 1 at sigma^2 = 1, the measurements t = 1, 4, 9:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> import numpy as np
    >>> [round(float(bound.one_at_a_time_condition(t, 1.0, np.array([0.25, 1.0]))), 3) for t in (1, 4, 9)]
    [1.6, 1.094, 1.026]
    """
    tau2, t = np.asarray(tau2, dtype=np.float64), np.asarray(t, dtype=np.float64)
    a, b = tau2.max(), tau2.min()
    return (sigma2 + t * a) / (sigma2 + (t - 1) * a) * (sigma2 + (t - 1) * b) / (sigma2 + t * b)


@statement(
    paper=PAPER,
    ref="",
    title="Gaussians: exact distance of the jump",
    kind="equality",
    text="derived",
    domain="m whole >= 1, sigma2 >= 0, tau2 >= 0",
)
def gaussian_jump_w2(m: Numbers, sigma2: Numbers, tau2: Numbers) -> float:
    r"""W2 distance of the law of ``Xhat_m`` from a Gaussian.

    **Hypotheses.** X ~ N(0, C), ``tau2`` the eigenvalues l of C, s = sigma^2/m.

    **Conclusion.**

    .. math:: W_2^2 = \sum_l\Big(\sqrt l - \frac{l}{\sqrt{l+s}}\Big)^2 \le \frac{5\sqrt5-11}{2}\, s\,d ,

    with equality for ``l/s = (sqrt 5 - 1)/2``; as s -> 0 it is ``(s^2/4) tr C^{-1}``: rate 1/m in W2.

    Proof: both laws are Gaussian with the same axes and the variances l and :math:`l^2/(l+s)`; with r = l/s the term is
    :math:`s\,r(1-\sqrt{r/(1+r)})^2`, whose maximum over r is stated.

    **Source.** Derived here; the general bound is s d.

    Examples
    --------
    The distance of the jump from the law falls like 1/m:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(bound.gaussian_jump_w2(m, 1.0, 1.0)), 4) for m in (1, 10, 100)]
    [0.2929, 0.0465, 0.005]
    """
    l, s = np.asarray(tau2, dtype=np.float64), sigma2 / m
    return math.sqrt(np.sum((l * s / (np.sqrt(l + s) * (np.sqrt(l + s) + np.sqrt(l)))) ** 2 / np.where(l > 0, l, 1.0)))


#: largest W2^2 / (s d) over Gaussians, (5 sqrt 5 - 11)/2
GAUSSIAN_JUMP_CONSTANT = (5 * math.sqrt(5) - 11) / 2


@statement(
    paper=PAPER,
    ref="Algorithm 1",
    title="The whole algorithm on a Gaussian is a linear recursion",
    kind="equality",
    text="derived",
    domain="tau2 >= 0, m integer >= 1, m <= 10000000, sigma2 > 0, steps whole >= 0, step > 0",
)
def ula_chain_variance(tau2: Numbers, m: int, sigma2: Numbers, steps: Numbers, step: Numbers) -> Numbers:
    r"""Output variance of the one-at-a-time chain with ULA inner walks that start at the jump, along one axis.

    **Hypotheses.** X ~ N(0, l), n_t = ``steps`` ULA steps of size h = ``step`` (in units of sigma^2) from
    ``Xhat_{t-1} + sigma xi``.

    **Conclusion.** With ``k_t = (sigma^2 + (t-1) l)/(sigma^2 (sigma^2 + t l))``, ``a_t = l/(sigma^2 + (t-1) l)``,
    ``r_t = 1 - h sigma^2 k_t``, the sum S has

    .. math:: \mathrm{Var}\,S_t = (1+a_t)^2\,\mathrm{Var}\,S_{t-1} + \delta_t, \qquad
              \delta_t = r_t^{2n}\sigma^2 + 2h\sigma^2\,\frac{1-r_t^{2n}}{1-r_t^2},

    and the output variance is ``(l/(sigma^2 + m l))^2 Var S_m``. Every walk that is linear in (S, y, v) has such a
    recursion, with 3 x 3 covariances: W2 of the implemented algorithm without sampling.

    Proof: given S the conditional mean is :math:`a_tS`, the fixed point of the walk's mean; the start adds variance
    :math:`\sigma^2`, each step multiplies it by :math:`r_t^2` and adds :math:`2h\sigma^2`; and
    :math:`S_t = S_{t-1} + y_t`.

    **Source.** Derived here.

    Examples
    --------
    Four measurements of N(0, 1) at sigma^2 = 1, five steps of 0.1 each:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> round(float(bound.ula_chain_variance(1.0, 4, 1.0, 5, 0.1)), 4)
    0.6195
    """
    total = 0.0
    for t in range(1, m + 1):
        k = (sigma2 + (t - 1) * tau2) / (sigma2 * (sigma2 + t * tau2))
        r2 = (1 - step * sigma2 * k) ** 2
        delta = r2**steps * sigma2 + 2 * step * sigma2 * (1 - r2**steps) / (1 - r2)
        total = (1 + tau2 / (sigma2 + (t - 1) * tau2)) ** 2 * total + delta
    return (tau2 / (sigma2 + m * tau2)) ** 2 * total


# ------------------------------------------------------------------------------------------------------ F: Algorithm 1


@statement(paper=PAPER, ref="Algorithm 1", title="With exact inner laws the chain is exact", kind="equality",
           text="recalled", domain="variance >= 0, m whole >= 0, sigma2 >= 0")  # fmt: skip
def chain_total_variance(variance: Numbers, m: Numbers, sigma2: Numbers) -> Numbers:
    r"""The sum kept by the one-at-a-time chain.

    **Hypotheses.** ``y_t`` is drawn from ``p(y_t | y_1, ..., y_{t-1})``; that law depends on the past through the sum
    ``S_{t-1}`` alone and has the score ``sigma^{-2}(E[X | S_{t-1} + y_t] - y_t)``.

    **Conclusion.** S_m has the law of ``m X + sigma sqrt(m) N``, so the output ``E[X | S_m]`` has exactly the law of Xhat_m:

    .. math:: \mathrm{Cov}\,S_m = m^2\,\mathrm{Cov}\,X + m\sigma^2 I .

    With no inner step at all (``y_t = Xhat_{t-1} + sigma xi``, Euler for stochastic localisation) the law is another one.

    Proof: by the chain rule the y_t have the joint law of :math:`X + \sigma N_t`; add them.

    **Source.** Algorithm 1 (recalled); the chain rule.

    Examples
    --------
    Three measurements at sigma^2 = 0.5 of a law of variance 2:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.chain_total_variance(2.0, 3, 0.5))
    19.5
    """
    return m**2 * np.asarray(variance, dtype=np.float64) + m * sigma2


@statement(paper=PAPER, ref="walk-jump code", title="The splitting integrator has a dimensionless step when u = sigma^2",
           kind="equality", text="source", anything=("score",), domain="unit > 0, friction >= 0")  # fmt: skip
def splitting_map(
    y: Numbers, v: Numbers, score: Callable[[Array], Array], unit: float, step: Numbers, friction: float, xi: Numbers
) -> tuple[Numbers, Numbers]:
    r"""One step of the integrator of Sachs et al. (2017) as the authors' code has it.

    .. math:: y &\mathrel{+}= \tfrac\delta2 v,\quad g=\mathrm{score}(y),\quad v \mathrel{+}= \tfrac{u\delta}2 g,\quad
              v \leftarrow \zeta v + \tfrac{u\delta}2 g + \sqrt{u(1-\zeta^2)}\,\xi,\quad y \mathrel{+}= \tfrac\delta2 v

    **Hypotheses.** zeta = exp(-friction), u = ``unit`` > 0. Algorithms in print write exp(-gamma delta) with a friction
    gamma per unit of time: the same map with friction = gamma delta.

    **Conclusion.** With u proportional to the square of the target's length scale the map commutes with a change of units:
    ``y -> c y`` and ``v -> c v`` when the target is stretched by c and u by c^2. With u = sigma (as a third-party
    implementation has it) it does not.

    **Source.** The authors' walk-jump sampling code; the equivariance is derived here.

    Returns
    -------
    (y, v)

    Examples
    --------
    One step from rest on a standard normal law, without noise:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(a), 4) for a in bound.splitting_map(1.0, 0.0, lambda y: -y, 1.0, 0.5, 1.0, 0.0)]
    [0.9145, -0.342]
    """
    zeta = math.exp(-friction)
    y = y + 0.5 * step * v
    g = 0.5 * unit * step * score(y)
    v = v + g
    v = zeta * v + g + math.sqrt(unit * -math.expm1(-2 * friction)) * xi
    return y + 0.5 * step * v, v


@statement(paper=PAPER, ref="", title="The splitting integrator is exact in position on Gaussians", kind="equality",
           text="derived", domain="k > 0, unit > 0, 0 <= step < 2 / (unit * k)**0.5")  # fmt: skip
def splitting_stationary_covariance(k: Numbers, unit: Numbers, step: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    r"""Stationary covariance of drift-kick-OU-kick-drift on a quadratic.

    **Hypotheses.** Score -k y, u = ``unit``, step delta with ``delta^2 u k < 4`` (exactly the condition of stability), any
    friction > 0.

    **Conclusion.**

    .. math:: E y^2 = 1/k, \qquad E yv = 0, \qquad E v^2 = \frac{4u}{4-\delta^2 u k} .

    Positions have no step-size bias on Gaussian targets, for any step; velocities do. On other targets positions do too, so
    that a Gaussian cannot test a walk's step.

    Proof: a step is a linear map plus noise; this covariance is its fixed point (insert it), and the only one where the
    map contracts, which is the condition on delta.

    **Source.** Derived here (known for BAOAB, Leimkuhler & Matthews); SymPy.

    Returns
    -------
    (E y^2, E y v, E v^2)

    Examples
    --------
    Positions have the variance 1/k exactly, velocities do not:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [float(a) for a in bound.splitting_stationary_covariance(2.0, 1.0, 0.5)]
    [0.5, 0.0, 1.1428571428571428]
    """
    return 1 / k, 0.0, 4 * unit / (4 - step**2 * unit * k)


@statement(
    paper=PAPER,
    ref="(4.8)",
    title="Score from density values: error n^(-1/2)",
    kind="asymptotic",
    text="recalled",
    domain="s > 0",
)
def score_estimator(log_values: Array, eps: Array, s: Numbers) -> Array:
    r"""Self-normalised estimate of the score of ``q_s`` from values of log p.

    **Hypotheses.** eps_i iid N(0, I), ``log_values[i] = log p(y + sqrt(s) eps_i)`` up to a constant.

    **Conclusion.**

    .. math:: s^{-1/2}\,\frac{\sum_i \varepsilon_i\,p(y+\sqrt s\,\varepsilon_i)}{\sum_i p(y+\sqrt s\,\varepsilon_i)}
              \;\to\; \nabla\log q_s(y),

    with root mean square error of order n^{-1/2} and bias of order 1/n. The number of draws needed grows exponentially with
    the dimension: for two well separated Gaussians in R^8 the weights degenerate to one draw.

    Proof: by parts :math:`E[\varepsilon\,p(y+\sqrt s\,\varepsilon)] = \sqrt s\,\nabla q_s(y)`, and
    :math:`E\,p(y+\sqrt s\,\varepsilon) = q_s(y)`; a ratio of means of independent draws.

    **Source.** Eq. (4.8) (recalled; a public review describes the estimator, and that Appendix H finds it good at d = 2 and
    worse at d = 8).

    Parameters
    ----------
    log_values : (..., N); eps : (..., N, d)

    Examples
    --------
    Two draws +-1, of which the density prefers the first:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> import numpy as np
    >>> [round(float(a), 4) for a in bound.score_estimator(np.log([0.9, 0.1]), np.array([[1.0], [-1.0]]), 1.0)]
    [0.8]
    """
    w = np.exp(log_values - np.max(log_values, axis=-1, keepdims=True))
    w /= np.sum(w, axis=-1, keepdims=True)
    return np.sum(w[..., np.newaxis] * eps, axis=-2) / math.sqrt(s)


@statement(
    paper=PAPER,
    ref="",
    title="End to end: inner errors accumulate slowly",
    kind="tight",
    text="derived",
    domain="jump_w2 >= 0, eta >= 0, sigma2 > 0, tau2 >= 0, R >= 0",
)
def end_to_end(jump_w2: Numbers, eta: Array, sigma2: Numbers, tau2: Numbers, R: Numbers) -> float:
    r"""W2 error of the one-at-a-time chain with imperfect inner walks.

    **Hypotheses.** X = Z + tau N, |Z| <= R; ``W2(Khat_t(.|S), K_t(.|S)) <= eta_t`` for every S; and with
    ``c_t = tau^2 sigma^2/(sigma^2 + t tau^2) + (sigma^2/(sigma^2 + t tau^2))^2 R^2`` all ``c_t < sigma^2``.

    **Conclusion.**

    .. math:: W_2(\text{output}, p) \le W_2(\mathrm{law}\,\hat X_m, p) + \frac{c_m}{\sigma^2}\sum_{t=1}^m \eta_t
              \prod_{r=t+1}^m \big(1-c_r/\sigma^2\big)^{-1} .

    Proof: ``K_t`` is ``(c_t/sigma^2)/(1 - c_t/sigma^2)``-Lipschitz in S for W2 (score perturbation over strong
    log-concavity), S grows by y, and the jump is ``c_m/sigma^2``-Lipschitz in S. Attained for m = 1 by Gaussians and a walk
    that is too narrow. For R = 0 and equal eta the sum is of order
    ``eta log(1 + m tau^2/sigma^2)``.

    **Source.** Derived here.

    Parameters
    ----------
    jump_w2 : float
        W2 of the exact chain.
    eta : (m,) array

    Examples
    --------
    A jump within 0.1 and three inner errors of 0.01:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> import numpy as np
    >>> round(float(bound.end_to_end(0.1, np.full(3, 0.01), 4.0, 1.0, 2.0)), 4)
    0.1363
    """
    eta = np.asarray(eta, dtype=np.float64)
    t = np.arange(1, len(eta) + 1)
    c = tau2 * sigma2 / (sigma2 + t * tau2) + (sigma2 / (sigma2 + t * tau2)) ** 2 * R**2
    if np.any(c >= sigma2):
        return math.inf
    total = 0.0
    for e, ratio in zip(eta, c / sigma2):
        total = total / (1 - ratio) + e
    return jump_w2 + c[-1] / sigma2 * total


@statement(paper=PAPER, ref="", title="Spectral gaps: exponential for the law, order one for the chain", kind="tight",
           text="derived", domain="m whole >= 1, tau2 >= 0, R >= 0, sigma2 > 0, sigma2 >= R**2 - tau2")  # fmt: skip
def spectral_gap_lower_bound(m: Numbers, sigma2: Numbers, tau2: Numbers, R: Numbers) -> Numbers:
    r"""Bakry-Emery lower bound on the gap of Langevin's diffusion on the m-th conditional.

    **Hypotheses.** As in :func:`condition_number`.

    **Conclusion (tight).** The spectral gap of ``dy = grad log p(y|y_{1:m-1}) dt + sqrt 2 dB`` is, whatever the past,

    .. math:: \mathrm{gap} \ge \zeta_m ,

    equality for Gaussians (R = 0). The gap of the diffusion on p itself, two Gaussians at distance 2R, decays like
    ``exp(-R^2 / (2 tau^2))`` (Eyring-Kramers): exponential against order one.

    Proof: Bakry & Emery: where minus the Hessian of the log density is at least zeta I, the gap is at least zeta;
    :func:`curvature_lower_bound`.

    **Source.** Bakry & Emery; applied here.

    Examples
    --------
    The gap of the m-th inner law, 0 at the threshold:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(bound.spectral_gap_lower_bound(m, 3.0, 1.0, 2.0)), 4) for m in (1, 2, 10)]
    [0.0, 0.1067, 0.284]
    """
    return curvature_bounds(m, sigma2, tau2, R)[0]


@statement(
    paper=PAPER,
    ref="Section 5.2",
    title="Langevin does not tunnel, the chain does",
    kind="tight",
    text="derived",
    domain="T >= 0, 0 < mass <= 1, 0 <= slack <= mass, resistance > 0",
)
def tunnelling_leak(T: Numbers, mass: Numbers, slack: Numbers, resistance: Numbers) -> Numbers:
    r"""Mass that Langevin's diffusion can carry out of one half line in time T.

    **Hypotheses.** ``dx = grad log p dt + sqrt 2 dB`` on the line, started from p conditioned on A = {x < b}; ``mass`` =
    p(A); a cut-off f that is 1 below a, 0 above b and harmonic in between: ``resistance`` = int_a^b dx/p(x) and
    ``slack`` = p(A) - int f^2 p.

    **Conclusion.**

    .. math:: P(X_T \notin A) \le \frac{\mathrm{slack} + T/\mathrm{resistance}}{p(A)} .

    Proof: ``<1_A, P_T 1_A> >= <f, P_T f> >= |f|^2 - T E(f, f)`` by the spectral theorem and ``e^{-x} >= 1 - x``, and the
    Dirichlet form of f is 1/resistance. The same holds for reversible chains on a grid, with resistances 1/(p rate) of the
    edges, and is attained there as T -> 0 by f = 1_A. For two Gaussians at +-R, deviation 1, the right side is about
    ``T R exp(-R^2/2)``: with R = 3 sqrt(d) the initial split between the modes is kept for any affordable time from d = 2
    on, while the one-at-a-time chain, whose inner laws are all log-concave, recovers the weights.

    **Source.** Derived here; the phenomenon is that of section 5.2.

    Examples
    --------
    A resistance of 1e6 between two halves lets next to nothing through in T = 100:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> float(bound.tunnelling_leak(100.0, 0.5, 0.0, 1e6))
    0.0002
    """
    return (np.asarray(slack) + np.asarray(T) / np.asarray(resistance)) / np.asarray(mass)


@statement(
    paper=PAPER,
    ref="",
    title="W2 between modes that exact draws already have",
    kind="asymptotic",
    text="derived",
    domain="R >= 0, 0 <= w <= 1, n whole >= 1",
)
def mode_weight_floor(R: Numbers, w: Numbers, n: Numbers) -> Numbers:
    r"""W2 error that n independent exact samples already have, from the mode weight alone.

    **Hypotheses.** Two atoms at distance 2R with weights w, 1 - w; n independent draws.

    **Conclusion.** With What the empirical weight,

    .. math:: E\,W_2 \le 2R\,\Big(\frac{w(1-w)}n\Big)^{1/4}, \qquad
              E\,W_2^2 = 4R^2\,E|\hat W - w| \sim 4R^2\sqrt{\frac{2\,w(1-w)}{\pi n}} .

    So empirical W2 decays like n^{-1/4} only: report the weight's z-score and mode-conditional distances instead.

    Proof: two laws on the same two atoms have :math:`W_2^2 = 4R^2|\hat W - w|`; :math:`E|\hat W-w| \le \sqrt{w(1-w)/n}`
    and Jensen; the central limit theorem.

    **Source.** Derived here.

    Returns
    -------
    float
        The bound on E W2.

    Examples
    --------
    Modes at +-2 of weights .3 and .7, and 100 draws:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> round(float(bound.mode_weight_floor(2.0, 0.3, 100)), 4)
    0.8563
    """
    return 2 * R * (w * (1 - w) / np.asarray(n, dtype=np.float64)) ** 0.25


@statement(
    paper=PAPER,
    ref="",
    title="Two Gaussians in R^d decouple into one axis",
    kind="equality",
    text="derived",
    domain="d whole >= 1, delta >= 0",
)
def decoupled_radius(d: Numbers, delta: Numbers = 6.0) -> Numbers:
    r"""The one-dimensional problem behind the d-dimensional mixture of two Gaussians.

    **Hypotheses.** Means -+(delta/2)(1, ..., 1) in R^d, common covariance tau^2 I; ULA, underdamped or one-at-a-time chains
    (not MALA, whose acceptance couples the coordinates).

    **Conclusion.** In a rotated frame the run is exactly a one-dimensional run with means -+R,

    .. math:: R = \tfrac{\mathrm{delta}}2\,\sqrt d ,

    driven by the projected noise, and d - 1 independent linear chains on N(0, tau^2): d = 10^6 costs a run on a line.

    Proof: rotate :math:`(1,\dots,1)/\sqrt d` to the first axis: the noise keeps its law, and the score becomes that of the
    mixture on this axis and that of N(0, tau^2) on every other one.

    **Source.** Derived here; delta = 6 is our reading of the example of section 5 (recalled).

    Examples
    --------
    In 10 and in 1,000 dimensions:

    >>> from exactdiffusion.statements import log_concavity_thresholds as bound
    >>> [round(float(bound.decoupled_radius(d)), 3) for d in (10, 1000)]
    [9.487, 94.868]
    """
    return 0.5 * delta * np.sqrt(np.asarray(d, dtype=np.float64))
