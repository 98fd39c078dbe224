r"""Fang, Diaz, Buchanan & Sulam, "Beyond Scores: Proximal Diffusion Models" (NeurIPS 2025, 2507.08956).

Notation: ``dX = -X/2 dt + dW`` with time ``t = int beta`` (every sampler with steps ``g_k = int beta`` depends on t only),
p_t the law of ``e^(-t/2) X_0 + sqrt(1 - e^-t) Z``, l_t its log density, T the horizon; s in [0, g] is the time since the
start of a step from t_k down to t_{k-1} = t_k - g. ``M2 >= E|X_0|^2``, ``|hess l_t| <= L``, ``|D^3 l_t| <= H`` (operator
norms) on [0, T].

The paper's own constants and step-size condition could not be confirmed. What is stated here are bounds of the announced
form with constants of our own, each proved in its docstring; the announced rates are consequences. Of Corollary 1,
Proposition 1 and Lemma 3 only the names are known to us, and nothing here claims to check them.
"""

import math

import numpy as np

from .._core.arrays import to_numpy
from .._core.typing import Array, Numbers
from .._core.validation import choice, fail
from ._statement import guarded, statement

__all__ = [
    "OPTIONS",
    "SCHEMES",
    "TRAJECTORY_SHIFT",
    "backward_error_field",
    "backward_kl",
    "backward_steps",
    "budget_inequality",
    "euler_maruyama_trajectory_kl",
    "forward_convergence",
    "gaussian_errors",
    "gaussian_leading_kl",
    "hybrid_error_field",
    "hybrid_trajectory_kl",
    "interpolating_process",
    "kl_derivative",
    "kl_order",
    "local_weak_error",
    "matching_bias",
    "mixture_constants",
    "mixture_lipschitz",
    "prox_update",
    "score_second_moment",
    "standard_normal_variance",
    "step_threshold",
    "trajectory_leading",
    "two_mode_curvature",
]

#: schemes whose leading constants are known
SCHEMES = ("euler_maruyama", "proximal_backward", "proximal_hybrid", "exponential_integrator", "ddpm", "probability_flow")
#: parameters of the samplers that the statements are about, where they are not the defaults
OPTIONS = {"ddpm": {"variance": "large", "last_noise": True}}

#: domain of the closed bounds: positive steps that satisfy the step condition, and constants
_CONSTANTS = (
    "L number >= 0, g > 0, g <= 0.5 / (L + 0.5), d integer >= 1, second_moment number >= 0, H number >= 0, "
    "initial number >= 0"
)

# ------------------------------------------------------------------------------------------------------- updates


@statement(
    paper="proximal",
    ref="updates",
    title="The two proximal updates as implicit Euler steps",
    kind="equality",
    text="source",
    domain="g number > 0",
)
def prox_update(x: Array, z: Array, g: float, scheme: str) -> tuple[Array, float]:
    r"""Argument and parameter of the proximal map of one step.

    **Hypotheses.** g > 0; g < 2 for the backward scheme.

    **Conclusion (equality).** With :math:`\mathrm{prox}_{-\lambda l}(y) = \arg\min_u \tfrac12|u-y|^2 - \lambda l(u)`, a
    point is stationary for

    .. math:: y = \tfrac{2}{2-g}(x + \sqrt g\, z),\quad \lambda = \tfrac{2g}{2-g} \qquad\text{(backward)}

    if and only if it solves :math:`X = x + g[X/2 + \nabla l_{k-1}(X)] + \sqrt g z`, and for

    .. math:: y = (1 + \tfrac g2)x + \sqrt g\, z,\quad \lambda = g \qquad\text{(hybrid)}

    if and only if it solves :math:`X = x + g[x/2 + \nabla l_{k-1}(X)] + \sqrt g z`. Both use the law at the *end* of the
    step and put the noise inside the proximal map. Stationary points are minimisers, hence unique, when
    :math:`\lambda\,\lambda_{\max}(\nabla^2 l_{k-1}) < 1` everywhere; otherwise the global proximal map, a local solver
    started at y and the implicit equation are three different things.

    **Source.** The released code and slides; algebra here.

    Parameters
    ----------
    x, z : arrays of one shape
    g : number
    scheme : {"proximal_backward", "proximal_hybrid"}

    Returns
    -------
    (y, lam)

    Raises
    ------
    ValueError
        naming g: not positive, or >= 2 for the backward scheme (lam would be negative or infinite).

    Examples
    --------
    >>> y, lam = prox_update(np.array([1.0]), np.array([0.0]), g=0.5, scheme="proximal_hybrid")
    >>> y, lam
    (array([1.25]), 0.5)
    """
    choice("scheme", scheme, ("proximal_backward", "proximal_hybrid"))
    if scheme == "proximal_backward":
        if g >= 2:
            fail("g", g, "a step in (0, 2) for the backward scheme")
        return 2 / (2 - g) * (x + math.sqrt(g) * z), 2 * g / (2 - g)
    return (1 + g / 2) * x + math.sqrt(g) * z, g


# ------------------------------------------------------------------------------- interpolating processes and budgets


@statement(
    paper="proximal",
    ref="Lemma 1/2",
    title="Interpolating processes of the proximal schemes",
    kind="equality",
    text="recalled",
    domain="s >= 0",
)
def interpolating_process(
    s: Numbers, x: Array, score: Array, curvature: Array, third: Array, scheme: str, y: Array | None = None
) -> tuple[Array, Array]:
    r"""Drift and inverse diffusion of the process that joins two states of a proximal sampler, in one dimension.

    **Hypotheses.** l three times differentiable; :math:`J > 0` on [0, g].

    **Conclusion (equality).** The backward process, :math:`(1-\tfrac s2)X_s - s\,l'(X_s) = X_k + W_s`, solves
    :math:`dX = b\,ds + J^{-1}dW` with

    .. math:: J = 1 - \tfrac s2 - s\,l'',\qquad b = J^{-1}\Bigl(\tfrac x2 + l' + \tfrac s2\, l''' J^{-2}\Bigr):

    a Markov diffusion in its own state, with state-dependent noise. The hybrid process,
    :math:`X_s - s\,l'(X_s) = (1+\tfrac s2)X_k + W_s`, has

    .. math:: J = 1 - s\,l'',\qquad b = J^{-1}\Bigl(\tfrac{y}2 + l' + \tfrac s2\, l''' J^{-2}\Bigr),\quad y = X_k,

    so it is Markov only conditionally on X_k; the density of X_s alone obeys the Fokker-Planck equation with y replaced by
    :math:`E[X_k|X_s=x]`. In d dimensions :math:`l'''J^{-2}` becomes
    :math:`T[J^{-2}]_i = \sum_{jk}\partial_{ijk}l\,(J^{-2})_{jk}`. Proof: Ito's formula for :math:`F_s(X_s)`.

    **Source.** Lemmas 1 and 2 (names seen, wording not); form derived here.

    Parameters
    ----------
    s : number
    x, score, curvature, third : (n,) arrays
        Points and the first three derivatives of l = l_{k-1} there.
    scheme : {"proximal_backward", "proximal_hybrid"}
    y : (n,) array
        Hybrid: X_k, or its conditional mean given X_s = x.

    Returns
    -------
    (drift, J) : (n,) arrays

    Examples
    --------
    >>> x = np.array([1.0])  # l = -x^2/2: score -x, curvature -1
    >>> interpolating_process(0.5, x, -x, np.array([-1.0]), np.zeros(1), "proximal_backward")
    (array([-0.4]), array([1.25]))
    """
    choice("scheme", scheme, ("proximal_backward", "proximal_hybrid"))
    if scheme == "proximal_backward":
        J, linear = 1 - s / 2 - s * curvature, x / 2
    else:
        if y is None:
            fail("y", y, "the state at the start of the step, or its conditional mean")
        J, linear = 1 - s * curvature, y / 2
    return (linear + score + s / 2 * third / J**2) / J, J


@statement(
    paper="proximal",
    ref="Lemma 5",
    title="Time derivative of KL between two diffusions",
    kind="equality",
    text="recalled",
    domain="weights >= 0, diffusion_q > 0",
)
def kl_derivative(weights: Array, r: Array, e: Array, diffusion_q: Numbers) -> tuple[Numbers, Numbers]:
    r"""Rate of change of KL(p | q) along two diffusions.

    **Hypotheses.** p, q smooth positive densities of :math:`dX = b_p ds + A_p^{1/2}dW` and :math:`b_q, A_q`; boundary terms
    vanish; :math:`r = \nabla\ln(p/q)`,
    :math:`e = (b_p-b_q) - \tfrac12\mathrm{div}(A_p-A_q) - \tfrac12(A_p-A_q)\nabla\ln p`.

    **Conclusion (equality, and the bound that follows).**

    .. math:: \frac{d}{ds}\mathrm{KL}(p|q) = -\tfrac12E_p\,r^{T}A_qr + E_p\,r^{T}e \;\le\; \tfrac12E_p\,e^{T}A_q^{-1}e .

    **Source.** Lemma 5 (name seen); proof: continuity equations with velocities
    :math:`b - \tfrac12\mathrm{div}A - \tfrac12A\nabla\ln`.

    Parameters
    ----------
    weights : (n,) quadrature weights times p
    r, e : (n,) arrays
    diffusion_q : (n,) array or number
        A_q at the nodes (one dimension).

    Returns
    -------
    (derivative, bound)

    Examples
    --------
    >>> kl_derivative(np.array([0.5, 0.5]), r=np.array([1.0, -1.0]), e=np.array([1.0, 0.0]), diffusion_q=1.0)
    (0.0, 0.25)
    """
    derivative = float(np.sum(weights * (r * e - 0.5 * diffusion_q * r * r)))
    return derivative, float(np.sum(weights * 0.5 * e * e / diffusion_q))


@statement(
    paper="proximal",
    ref="error field",
    title="Exact error field of the backward scheme",
    kind="equality",
    text="derived",
    domain="s >= 0",
)
def backward_error_field(
    s: Numbers, x: Array, score_t: Array, score: Array, curvature: Array, third: Array
) -> tuple[Array, Array, Array, Array]:
    r"""J e for the backward interpolation against the true reverse process, in one dimension, term by term.

    **Hypotheses.** As for :func:`interpolating_process`; p is the reverse process (drift :math:`x/2 + l_t'`, unit noise).

    **Conclusion (equality).** With e of :func:`kl_derivative`,

    .. math:: Je = \tfrac12(J-1)x \;+\; \tfrac12(J-1)^2J^{-1}l_t' \;+\; (l_t'-l_{k-1}') \;+\; \tfrac s2J^{-2}l_{k-1}''' ,

    in d dimensions with :math:`J^{-1}T[J^{-1}]` for :math:`J^{-2}l'''`. The terms :math:`T[J^{-2}]` of the drift and of
    :math:`\mathrm{div}\,J^{-2}` cancel.

    Proof: insert the drift of :func:`interpolating_process`, :math:`A_q = J^{-2}` and
    :math:`\tfrac12(J^{-2})' = s\,l'''J^{-3}` into e; the factor of l_t' is
    :math:`\tfrac12(J+J^{-1}) = 1 + \tfrac12(J-1)^2J^{-1}`.

    **Source.** Derived here; not a numbered statement of the paper.

    Parameters
    ----------
    s : number
    x, score_t, score, curvature, third : (n,) arrays
        Points, l_t' at t = t_k - s, and the three derivatives of l_{k-1}.

    Returns
    -------
    (drift, square, time, third) : four (n,) arrays whose sum is J e

    Examples
    --------
    >>> x = np.array([1.0])  # N(0, 1) at every time
    >>> [float(term[0]) for term in backward_error_field(0.5, x, -x, -x, np.array([-1.0]), np.zeros(1))]
    [0.125, -0.025, 0.0, 0.0]
    """
    J = 1 - s / 2 - s * curvature
    return 0.5 * (J - 1) * x, 0.5 * (J - 1) ** 2 / J * score_t, score_t - score, s / 2 * third / J**2


@statement(
    paper="proximal",
    ref="error field",
    title="Error field of the hybrid scheme given the start of the step",
    kind="equality",
    text="derived",
    domain="s number > 0",
)
def hybrid_error_field(
    s: float, x: Array, score_t: Array, score: Array, curvature: Array, third: Array
) -> tuple[Array, Array]:
    r"""J e of the hybrid interpolation conditional on X_k = y, as ``constant + factor * Z``, in one dimension.

    **Hypotheses.** As for :func:`interpolating_process`; under the true law :math:`y = e^{-s/2}x + \sqrt{1-e^{-s}}\,Z`.

    **Conclusion (equality).** With :math:`J = 1 - s\,l''`, :math:`a_s = e^{-s/2}/\sqrt{1-e^{-s}}`,

    .. math:: Je = \tfrac12(x-y) + \tfrac12(J-1)x + \tfrac12(J-1)^2J^{-1}l_t' + (l_t'-l') - \tfrac12(J-J^{-1})a_sZ
              + \tfrac s2J^{-2}l''' .

    Proof: as for :func:`backward_error_field`, with y/2 in the drift and the score :math:`l_t' + a_sZ` of x given y.

    **Source.** Derived here (apply :func:`kl_derivative` conditionally on y).

    Returns
    -------
    (constant, factor) : (n,) arrays

    Examples
    --------
    >>> x = np.array([1.0])  # N(0, 1) at every time
    >>> [term.round(4) for term in hybrid_error_field(0.1, x, -x, -x, np.array([-1.0]), np.zeros(1))]
    [array([0.0698]), array([-0.4486])]
    """
    J = 1 - s * curvature
    spread = math.sqrt(-math.expm1(-s))
    constant = (
        -0.5 * math.expm1(-s / 2) * x
        + 0.5 * (J - 1) * x
        + 0.5 * (J - 1) ** 2 / J * score_t
        + (score_t - score)
        + s / 2 * third / J**2
    )
    return constant, -0.5 * spread - 0.5 * (J - 1 / J) * math.exp(-s / 2) / spread


@statement(
    paper="proximal",
    ref="budget",
    title="Budget inequality of the backward scheme",
    kind="upper",
    text="derived",
    domain="initial number >= 0, steps >= 0",
)
def budget_inequality(initial: float, steps: Array) -> float:
    r"""KL of the output from the integrated error field; no Lipschitz constant.

    **Hypotheses.** :math:`J > 0` for all s in :math:`[0, g_k]`, every k (a pointwise condition on
    :math:`\nabla^2l_{k-1}`); exact proximal map.

    **Conclusion (upper).**

    .. math:: \mathrm{KL}(p_0|q_0) \le \mathrm{KL}(p_T|q_T) + \sum_k\int_0^{g_k}\tfrac12E_{p_t}|Je|^2\,ds .

    Proof: integrate the bound of :func:`kl_derivative` with :math:`A_q = J^{-2}` over each step, at whose end the
    interpolation is the proximal map, since J > 0; sum.

    **Source.** Follows from :func:`kl_derivative` and :func:`backward_error_field`.

    Parameters
    ----------
    initial : number
        KL(p_T | q_T).
    steps : (N,) array
        The integrals.

    Returns
    -------
    float

    Examples
    --------
    >>> budget_inequality(0.25, [0.5, 0.125])
    0.875
    """
    return float(initial) + math.fsum(np.asarray(steps, dtype=np.float64))


# ---------------------------------------------------------------------------------------------------- closed bounds


@statement(
    paper="proximal",
    ref="Lemma 4",
    title="Convergence of the forward process",
    kind="tight",
    text="recalled",
    domain="T number > 0, second_moment number >= 0, d integer >= 1",
)
def forward_convergence(T: float, second_moment: float, d: int) -> float:
    r"""KL of the law at time T from N(0, I).

    **Hypotheses.** :math:`E|X_0|^2 \le M_2`, T > 0.

    **Conclusion (tight).**

    .. math:: \mathrm{KL}(p_T|N(0,I)) \le \tfrac12e^{-T}M_2 + \tfrac d2\bigl(-e^{-T}-\ln(1-e^{-T})\bigr),

    with equality for a Dirac mass. Proof: KL is convex in p_0 and the right side is the value for a Dirac mass at a point of
    squared norm M_2.

    **Source.** Lemma 4 ("Lemma 9 of Chen et al. 2022", recalled as :math:`\lesssim (d+M_2)e^{-T}`, as a later paper quotes
    Chen et al. too); this form derived here.

    Examples
    --------
    >>> round(forward_convergence(3.0, second_moment=2.0, d=2), 4)
    0.0511
    """
    return 0.5 * math.exp(-T) * second_moment + 0.5 * d * _dirac_divergence(T)


def _dirac_divergence(T):
    """``-a - ln(1 - a)`` at a = e^-T, without cancellation for large and for small T."""
    a = math.exp(-T)
    # above 1/2 the difference is 0.28 of its larger term or more
    if a > 0.5:
        return -a - math.log(-math.expm1(-T))
    return math.fsum(a**k / k for k in range(2, 60))


@statement(
    paper="proximal",
    ref="Thm 1, hypotheses",
    title="The third hypothesis of the informal theorem follows from the second",
    kind="tight",
    text="source",
    domain="d integer >= 1, L number >= 0",
)
def score_second_moment(d: int, L: Numbers) -> Numbers:
    r"""Bound of :math:`E|\nabla l_t|^2`, which the informal Theorem 1 assumes beside M_2, L and H.

    **Hypotheses.** l is twice differentiable, :math:`|\nabla^2l|\le L`, boundary terms vanish.

    **Conclusion (tight).**

    .. math:: E_p|\nabla l|^2=-E_p\Delta l\le dL ,

    with equality for N(0, I/L). So Theorem 1, which announces :math:`\tilde O(d/\sqrt\varepsilon)` steps for the backward
    and :math:`\tilde O(d/\varepsilon)` for the hybrid scheme, has three hypotheses that count: the second moment, L and
    H, for all t. Its bounds are :func:`backward_kl` and :func:`hybrid_trajectory_kl` here, with constants of our own.

    **Source.** The hypotheses and rates were seen; the text at hand ends within the third hypothesis. Proof: by parts.

    Parameters
    ----------
    d : int
    L : number

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import proximal
    >>> proximal.score_second_moment(3, 2.0)
    6.0
    """
    return d * L


def _steps(g):
    g = np.atleast_1d(to_numpy(g))
    if g.ndim != 1:
        fail(f"g (shape {g.shape})", g, "one step, or steps of shape (N,)")
    return g


def _step_coefficient(d, second_moment, L, H):
    """C of `backward_kl`: the squared L2 norm of the error field over a step g is at most ``2 C g^3``."""
    B, D = L + 0.5, max(float(d), second_moment)
    start = B / 2 * (math.sqrt(D) + math.sqrt(d * L)) + 2 * d * H
    end = B * math.sqrt(3 * d * L + D / 8) + L / 2 * math.sqrt(D) + d * H / 2
    return (start**2 + start * end + end**2) / 6


@statement(
    paper="proximal",
    ref="Thm 2",
    title="Marginal KL of the backward scheme, explicit constants",
    kind="upper",
    text="recalled",
    domain=_CONSTANTS,
)
def backward_kl(g: Numbers, d: int, second_moment: Numbers, L: Numbers, H: Numbers, initial: Numbers = 0.0) -> float:
    r"""Closed bound of the budget of the backward scheme (Theorem A of our derivation).

    **Hypotheses.** :math:`E|X_0|^2\le M_2`, :math:`D=\max(d,M_2)`; :math:`|\nabla^2l_t|\le L`, :math:`|D^3l_t|\le H` for all
    t in [0, T]; :math:`g_k(L+\tfrac12)\le\tfrac12`; exact proximal map.

    **Conclusion (upper).** With :math:`B=L+\tfrac12`,

    .. math:: \mathrm{KL}(p_0|q_0) \le \mathrm{KL}(p_T|q_T) + C\sum_kg_k^3,\qquad
              C=\tfrac16(\alpha^2+\alpha\beta+\beta^2),

    .. math:: \alpha=\tfrac B2(\sqrt D+\sqrt{dL})+2dH,\qquad
              \beta=B\sqrt{3dL+\tfrac18D}+\tfrac12L\sqrt D+\tfrac12dH .

    Uniform steps: :math:`\sum g^3=T^3/N^2`, so :math:`N = O(T^{3/2}(\sqrt DL+\sqrt dL^{3/2}+dH)/\sqrt\varepsilon)`: the
    announced :math:`d/\sqrt\varepsilon`. The linear d comes from dH alone;
    :func:`~exactdiffusion.statements.proximal_dimension.backward_kl_dimension` says what can stand in its place. For
    N(0, I/L), T = c/L and H = 0 the exponents of d, L and N are attained.

    Proof: the mean squares of the four terms of :func:`backward_error_field` at time s of a step are at most the squares of
    :math:`\tfrac s2B\sqrt D`, :math:`\tfrac s2B\sqrt{dL}`, :math:`(g-s)\beta` and :math:`2sdH`:
    :math:`|J-I|\le sB`, :math:`|J^{-1}|\le2`; :math:`E|\nabla l|^2\le dL`;
    :math:`\partial_u\nabla l_u=(\tfrac12+\nabla^2l)\nabla l+\tfrac12\nabla^2l\,x+\tfrac12\nabla\Delta l` with
    :math:`E_{p_t}|\nabla l_u|^2\le3dL+\tfrac18D`. By Minkowski's inequality the integral is at most
    :math:`\tfrac12\int_0^g(s\alpha+(g-s)\beta)^2ds=Cg^3`.

    A bound on :math:`E|\nabla l_t|^2`, a hypothesis of the announced Theorem 1 beside M_2 and L, is implied by L.

    **Source.** Theorem 2 (recalled; its rate is seen in the abstract); constants and step condition are ours. The
    worst Gaussian of a stated box has 0.050 of the bound (``theory/proximal/thm_backward_kl.py``).

    Parameters
    ----------
    g : number or (N,) array
        Steps.
    d : int
    second_moment, L, H : numbers
    initial : number
        KL(p_T | q_T), 0 for an exact start.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        naming g, where the step condition fails.

    Examples
    --------
    >>> round(float(backward_kl(np.full(10, 0.1), d=2, second_moment=2.0, L=1.0, H=0.0)), 4)
    0.0564
    """
    return initial + math.fsum(_steps(g) ** 3) * _step_coefficient(d, second_moment, L, H)


@statement(
    paper="proximal",
    ref="abstract, rates",
    title="Steps of the backward scheme for a given accuracy",
    kind="upper",
    text="source",
    domain="eps number > 0, T number >= 0, d integer >= 1, second_moment number >= 0, L number >= 0, H number >= 0",
)
def backward_steps(eps: float, T: float, d: int, second_moment: float, L: float, H: float) -> int:
    r"""Number of uniform steps after which :func:`backward_kl` is at most eps (exact start).

    **Hypotheses.** As for :func:`backward_kl`.

    **Conclusion (upper).** These many steps suffice, C the constant of :func:`backward_kl`:

    .. math:: N = \bigl\lceil\max(T^{3/2}\sqrt{C/\varepsilon},\ 2T(L+\tfrac12))\bigr\rceil ,

    :math:`O(d/\sqrt\varepsilon)` for fixed L, H.

    **Source.** Rate :math:`\tilde O(d/\sqrt\varepsilon)`: abstract. An upper bound; the power :math:`\varepsilon^{-1/2}` is
    attained on Gaussians, the power of d on no instance that we tried.

    Examples
    --------
    >>> backward_steps(0.1, T=3.0, d=2, second_moment=2.0, L=1.0, H=0.0)
    40
    """
    C = _step_coefficient(d, second_moment, L, H)
    return math.ceil(max(T**1.5 * math.sqrt(C / eps), 2 * T * (L + 0.5)) * (1 - 1e-15))


@statement(
    paper="proximal",
    ref="hybrid rate",
    title="Trajectory KL of the hybrid scheme, explicit constants",
    kind="tight",
    text="recalled",
    domain=_CONSTANTS,
)
def hybrid_trajectory_kl(
    g: Numbers, d: int, second_moment: Numbers, L: Numbers, H: Numbers, initial: Numbers = 0.0
) -> float:
    r"""Closed bound of the conditional budget of the hybrid scheme (Theorem B of our derivation).

    **Hypotheses.** As for :func:`backward_kl`.

    **Conclusion (tight).** With :math:`\kappa_k=(1-\tfrac12g_kL)/(1-g_kL)` and C of :func:`backward_kl`,

    .. math:: \mathrm{KL}(p_0|q_0)\le\mathrm{KL}_{traj}\le\mathrm{KL}(p_T|q_T)
              +\tfrac d4\sum_kg_k^2(\tfrac12+\kappa_kL)^2+C\sum_kg_k^3 .

    Uniform steps: :math:`N=O(T^2d(1+L^2)/\varepsilon)`, the announced :math:`d/\varepsilon`. The leading constant
    :math:`\tfrac d4(\tfrac12+L)^2` is attained by N(0, I) as the steps tend to 0 (:func:`trajectory_leading`).

    Proof: in d dimensions :func:`hybrid_error_field` reads :math:`Je=c(x)+F(x)Z`, because :math:`x-y` is
    :math:`(1-e^{-s/2})x-\sqrt{1-e^{-s}}Z` and every other term is a function of x, or a matrix that depends on x times Z.
    Under the true law Z is the noise of the forward process, which is independent of x, with mean 0 and covariance I.
    Hence :math:`E[c\cdot FZ]=E[c\cdot F\,E[Z|x]]=0`, and

    .. math:: E|Je|^2=E|c(x)|^2+E\|F(x)\|_F^2 :

    the two parts add up without a cross term. (Given y they are correlated. The budget takes the mean over y as well.)
    The operator norm of F is at most
    :math:`\tfrac12\sqrt s+\tfrac12|J-J^{-1}|/\sqrt s\le\sqrt s(\tfrac12+\kappa L)`, since
    :math:`e^{-s/2}/\sqrt{1-e^{-s}}\le1/\sqrt s` and :math:`|J-J^{-1}|\le u+\tfrac u{1-u}` for u = sL; half the
    integral of its square times d is the first sum. In c the part :math:`\tfrac12(1-e^{-s/2})x` joins
    :math:`\tfrac12(J-I)x`, of norm :math:`\tfrac s2B|x|` at most in all, so that c is bounded as the backward field is.

    **Source.** Form of the hybrid rate (abstract); which numbered item states it is not known to us. Constants ours.

    Examples
    --------
    >>> [round(hybrid_trajectory_kl(np.full(N, 1 / N), d=1, second_moment=1.0, L=1.0, H=0.0), 4) for N in (10, 20)]
    [0.0887, 0.0362]
    """
    g = _steps(g)
    factor = 0.5 + (1 - g * L / 2) / (1 - g * L) * L
    noise = d / 4 * math.fsum((g * factor) ** 2)
    rest = _step_coefficient(d, second_moment, L, H) * math.fsum(g**3)
    return float(initial + noise + rest)


@statement(
    paper="proximal",
    ref="comparison",
    title="Trajectory KL of Euler-Maruyama, explicit constants",
    kind="tight",
    text="derived",
    domain="g > 0, d integer >= 1, second_moment number >= 0, L number >= 0, initial number >= 0",
)
def euler_maruyama_trajectory_kl(g: Numbers, d: int, second_moment: float, L: float, initial: float = 0.0) -> float:
    r"""Closed bound of the Girsanov budget of the score sampler; no third derivative, no step condition.

    **Hypotheses.** :math:`E|X_0|^2\le M_2`, :math:`D=\max(d,M_2)`, :math:`|\nabla^2l_t|\le L` on [0, T].

    **Conclusion (tight).**

    .. math:: \mathrm{KL}(p_0|q_0)\le\mathrm{KL}_{traj}\le\mathrm{KL}(p_T|q_T)
              +\Bigl(\sqrt{\tfrac d4(\tfrac12+L)^2\sum_kg_k^2}+\sqrt{\tfrac D{96}\sum_kg_k^3}\Bigr)^2 ,

    attained in the limit of a narrow Gaussian, L to infinity, over a short horizon. Proof:
    :math:`e=\tfrac12(x-y)+\nabla l_t(x)-\nabla l_{t_k}(y)`; in reverse time :math:`dx=(\tfrac x2+\nabla l)ds+dW` and
    :math:`d\nabla l=-\tfrac12\nabla l\,ds+\nabla^2l\,dW`, so that the score cancels:
    :math:`e=\int\tfrac x4ds+\int(\tfrac12I+\nabla^2l)dW`, of L2 norm at most :math:`\tfrac s4\sqrt D+\sqrt{sd}(\tfrac12+L)`.
    Half the integral of its square, by Minkowski's inequality.

    **Source.** Derived here; for comparison with :func:`hybrid_trajectory_kl`.

    Examples
    --------
    >>> [round(euler_maruyama_trajectory_kl(np.full(N, 1 / N), d=1, second_moment=1.0, L=1.0), 4) for N in (10, 20)]
    [0.0612, 0.0299]
    """
    g, D = _steps(g), max(float(d), second_moment)
    noise, drift = d / 4 * (0.5 + L) ** 2 * math.fsum(g**2), D / 96 * math.fsum(g**3)
    return initial + (math.sqrt(noise) + math.sqrt(drift)) ** 2


#: c in the leading constant of the trajectory KL
TRAJECTORY_SHIFT = {
    "euler_maruyama": 0.5,
    "proximal_backward": 0.5,
    "proximal_hybrid": -0.5,
    "exponential_integrator": 0.0,
    "ddpm": 1.0,
}


@statement(
    paper="proximal",
    ref="comparison",
    title="Leading constant of the trajectory KL",
    kind="asymptotic",
    text="derived",
    domain="g >= 0, curvature_integral >= 0",
)
def trajectory_leading(g: Numbers, curvature_integral: Numbers) -> Numbers:
    r"""Leading term of the trajectory KL of the stochastic schemes.

    **Hypotheses.** Smooth l_t on [0, T], uniform steps g, exact start.

    **Conclusion (asymptotic).**

    .. math:: \mathrm{KL}_{traj} = \frac g4\int_0^TE_{p_t}\|cI+\nabla^2l_t\|_F^2\,dt+o(g)

    with c = 1/2 for Euler-Maruyama *and* the backward scheme, -1/2 for the hybrid, 0 for the exponential integrator, 1 for
    ancestral DDPM with variance :math:`1-e^{-g}` (:data:`TRAJECTORY_SHIFT`): slope -1 in N for every stochastic sampler.

    Proof: given its start a true step has the covariance :math:`gI + g^2(\tfrac12I+\nabla^2l) + O(g^3)`, a step of these
    schemes :math:`gI + g^2A + O(g^3)` with :math:`A = 0,\ I+2\nabla^2l,\ 2\nabla^2l,\ \tfrac12I,\ -\tfrac12I`, in this
    order. Means differ by O(g^2), which costs O(g^3); the covariances cost
    :math:`\tfrac14\|g(\tfrac12I+\nabla^2l-A)\|_F^2`. Sum T/g steps.

    **Source.** Derived here.

    Parameters
    ----------
    g : number
    curvature_integral : number
        The integral.

    Returns
    -------
    float

    Examples
    --------
    >>> trajectory_leading(0.5, curvature_integral=2.0)
    0.25
    """
    return g / 4 * curvature_integral


@statement(
    paper="proximal",
    ref="rates",
    title="Which order is visible where: marginal and trajectory KL",
    kind="asymptotic",
    text="derived",
)
def kl_order(scheme: str, which: str) -> int:
    r"""Order in N of a KL divergence of the output, uniform steps.

    **Hypotheses.** Smooth l_t on [0, T], :math:`J>0`, exact start, a first-order error that does not vanish.

    **Conclusion (asymptotic).** With N steps of equal length,

    .. math:: \mathrm{KL}(p_0|q_0)=\Theta(N^{-2})\ \text{for every scheme},\qquad
              \mathrm{KL}_{traj}=\Theta(N^{-1})\ \text{for every stochastic scheme}

    (infinite for a deterministic one). So the gap between the announced :math:`d/\sqrt\varepsilon` (backward) and
    :math:`d/\varepsilon` (hybrid) is one between a marginal and a conditional argument, not between the orders of the
    samplers: both announced rates are upper bounds, and the second is not attained by the marginal KL on any instance
    that we tried. No ordering of the samplers follows. Proof: first-order density errors (:func:`local_weak_error`) enter
    KL squared; :func:`trajectory_leading`. The first half assumes a Talay-Tubaro expansion: derived and measured.

    **Source.** Derived here, with constants; the announced rates are in the abstract. That the KL of DDPM falls with the
    square of the step is shown in arXiv 2510.27562, with a matching lower bound, and in 2508.16306.

    Parameters
    ----------
    scheme : one of :data:`SCHEMES`
    which : {"marginal", "trajectory"}

    Returns
    -------
    int

    Raises
    ------
    ValueError
        naming scheme, for the trajectory KL of a deterministic one.

    Examples
    --------
    >>> kl_order("proximal_backward", "marginal")
    -2
    """
    choice("scheme", scheme, SCHEMES)
    if choice("which", which, ("marginal", "trajectory")) == "marginal":
        return -2
    if scheme not in TRAJECTORY_SHIFT:
        fail("scheme", scheme, "a stochastic scheme (the trajectory KL of a deterministic one is infinite)")
    return -1


# ----------------------------------------------------------------------------------------------- Gaussian constants


def _log_ratio(S):
    """``ln S / (S - 1)``, 1 at S = 1."""
    u = S - 1
    return 1 - u / 2 + u * u / 3 if abs(u) < 1e-5 else math.log(S) / u


@statement(
    paper="proximal",
    ref="Gaussian targets",
    title="First-order errors of all schemes on a Gaussian",
    kind="asymptotic",
    text="derived",
    domain="S number > 0, mu number",
)
def gaussian_errors(scheme: str, S: float, mu: float = 0.0) -> tuple[float, float]:
    r"""Coefficients of g in the output variance and mean for the target N(mu, S), one coordinate.

    **Hypotheses.** Exact start p_T, T large (terms of order :math:`e^{-T}` dropped, :math:`e^{-T/2}` in the mean of the
    probability flow), uniform steps g to 0, S > 0.

    **Conclusion (asymptotic).**

    .. math:: \mathrm{Var}-S=g\,v_1+O(g^2),\qquad \mathrm{mean}-\mu=g\,m_1+O(g^2)

    with

    ======================  ==============================================  ==========================================
    scheme                  :math:`v_1`                                     :math:`m_1`
    ======================  ==============================================  ==========================================
    Euler-Maruyama          :math:`1/2-S^2\ln S/(4(S-1))`                   :math:`-\mu S\ln S/(8(S-1))`
    backward                minus that of Euler-Maruyama                    minus that of Euler-Maruyama
    hybrid                  :math:`-1/2-S^2\ln S/(4(S-1))`                  that of Euler-Maruyama
    exponential integrator  1/2                                             0
    DDPM, variance 1-e^-g   :math:`(1-S)/2`                                 0
    PF-ODE Euler            :math:`(1-S-S\ln S)/4`                          :math:`-\tfrac\mu4\sqrt S\,A(S)`
    ======================  ==============================================  ==========================================

    where :math:`A(S)=\operatorname{arsinh}(\sqrt{S-1})/\sqrt{S-1}` (arcsin for S < 1). Proof: local errors, propagated by
    the linear recursion, summed as an integral over t.

    **Source.** Derived here. Euler-Maruyama and the backward scheme have opposite errors (:func:`local_weak_error`).

    Returns
    -------
    (variance, mean) : floats

    Examples
    --------
    >>> gaussian_errors("euler_maruyama", S=1.0), gaussian_errors("proximal_backward", S=1.0)
    ((0.25, -0.0), (-0.25, 0.0))
    >>> round((standard_normal_variance("euler_maruyama", 1e-4, 200_000) - 1) / 1e-4, 4)  # 200,000 steps of 1e-4
    0.25
    """
    choice("scheme", scheme, SCHEMES)
    ratio = _log_ratio(S)
    euler = 0.5 - S * S * ratio / 4, -mu * S * ratio / 8
    if scheme == "euler_maruyama":
        return euler
    if scheme == "proximal_backward":
        return -euler[0], -euler[1]
    if scheme == "proximal_hybrid":
        return euler[0] - 1.0, euler[1]
    if scheme == "exponential_integrator":
        return 0.5, 0.0
    if scheme == "ddpm":
        return (1 - S) / 2, 0.0
    root = math.sqrt(abs(S - 1))
    A = 1.0 if root == 0 else math.asinh(root) / root if S > 1 else math.asin(root) / root
    return (1 - S - S * math.log(S)) / 4, -mu / 4 * math.sqrt(S) * A


@statement(
    paper="proximal",
    ref="Gaussian targets",
    title="Leading KL constant on a Gaussian",
    kind="asymptotic",
    text="derived",
    domain="g >= 0, S > 0",
)
def gaussian_leading_kl(scheme: str, g: Numbers, S: Numbers, mu: Numbers = 0.0) -> Numbers:
    r"""Leading term of KL(p_0 | q_0) for a Gaussian target with variances S and mean mu.

    **Hypotheses.** As for :func:`gaussian_errors`.

    **Conclusion (asymptotic).**

    .. math:: \mathrm{KL}=g^2\sum_i\Bigl[\tfrac14(v_1/S_i)^2+\tfrac1{2S_i}m_1^2\Bigr]+O(g^3):

    slope -2 in N for *every* scheme. On N(0, I): :math:`dg^2/64` (Euler-Maruyama, backward), :math:`9dg^2/64` (hybrid).

    Proof: near equal laws :math:`\mathrm{KL} = \tfrac14(\delta V/V)^2 + (\delta m)^2/2V` to second order; insert
    :func:`gaussian_errors`.

    **Source.** Derived here.

    Parameters
    ----------
    scheme : one of :data:`SCHEMES`
    g : number
    S, mu : number or (d,)

    Returns
    -------
    float

    Examples
    --------
    >>> float(gaussian_leading_kl("euler_maruyama", 0.5, S=1.0)), 0.5**2 / 64
    (0.00390625, 0.00390625)
    """
    S, mu = np.broadcast_arrays(np.atleast_1d(np.asarray(S, dtype=np.float64)), np.asarray(mu, dtype=np.float64))
    total = 0.0
    for s, m in zip(S.ravel(), mu.ravel()):
        variance, mean = gaussian_errors(scheme, float(s), float(m))
        total += 0.25 * (variance / s) ** 2 + 0.5 * mean**2 / s
    return g**2 * total


@statement(
    paper="proximal",
    ref="Gaussian targets",
    title="Exact output variance on N(0, I)",
    kind="equality",
    text="derived",
    domain="g number > 0, N integer >= 0, start >= 0",
)
def standard_normal_variance(scheme: str, g: float, N: int, start: Numbers = 1.0) -> Numbers:
    r"""Variance after N equal steps on the target N(0, 1), exact for every N.

    **Hypotheses.** Start N(0, start); g < 2 for the backward scheme, g < 4 for Euler-Maruyama.

    **Conclusion (equality).** :math:`V_N=V_*+(V_0-V_*)\rho^N` with

    .. math:: V_*=\frac1{1-g/4},\ \frac1{1+g/4},\ \frac1{1+3g/4},\qquad
              \rho=(1-\tfrac g2)^2,\ (1+\tfrac g2)^{-2},\ \Bigl(\frac{1+g/2}{1+g}\Bigr)^2

    for Euler-Maruyama, backward, hybrid.

    Proof: the score is -x, so a step is :math:`X' = aX + \sqrt c\,z` with
    :math:`a = 1-\tfrac g2,\ (1+\tfrac g2)^{-1},\ (1+\tfrac g2)/(1+g)` and :math:`c = g,\ g/(1+\tfrac g2)^2,\ g/(1+g)^2`;
    then :math:`\rho = a^2` and :math:`V_* = c/(1-a^2)`.

    **Source.** Derived here.

    Examples
    --------
    >>> schemes = "euler_maruyama", "proximal_backward", "proximal_hybrid"
    >>> [round(standard_normal_variance(scheme, 0.1, N=1000), 4) for scheme in schemes]
    [1.0256, 0.9756, 0.9302]
    """
    choice("scheme", scheme, ("euler_maruyama", "proximal_backward", "proximal_hybrid"))
    limit = 4.0 if scheme == "euler_maruyama" else 2.0 if scheme == "proximal_backward" else math.inf
    if g >= limit:
        fail("g", g, f"a step in (0, {limit:g}) for {scheme}")
    fixed, rho = {
        "euler_maruyama": (1 / (1 - g / 4), (1 - g / 2) ** 2),
        "proximal_backward": (1 / (1 + g / 4), (1 + g / 2) ** -2),
        "proximal_hybrid": (1 / (1 + 3 * g / 4), ((1 + g / 2) / (1 + g)) ** 2),
    }[scheme]
    return fixed + (start - fixed) * rho**N


@statement(
    paper="proximal",
    ref="mirror effect",
    title="Opposite local weak errors of Euler-Maruyama and backward steps",
    kind="asymptotic",
    text="derived",
    domain="g >= 0",
)
def local_weak_error(
    scheme: str, g: Numbers, b: Numbers, b_x: Numbers, b_xx: Numbers, b_s: Numbers, f_x: Numbers, f_xx: Numbers
) -> Numbers:
    r"""Leading local weak error :math:`E f(X_{step})-E f(X_{true})` of one step, in one dimension.

    **Hypotheses.** Smooth drift :math:`b=x/2+l'` with time derivative b_s along the reverse time; f smooth.

    **Conclusion (asymptotic).** With :math:`Ef=(bb'+\tfrac12b''+b_s)f'+b'f''`,

    .. math:: -\tfrac{g^2}2Ef\ (\text{Euler-Maruyama}),\qquad+\tfrac{g^2}2Ef\ (\text{backward}),\qquad
              +\tfrac{g^2}2\bigl[Ef-bf'-f''\bigr]\ (\text{hybrid}).

    Hence Euler-Maruyama and the backward scheme have opposite first-order density errors and the same leading KL constant on
    every smooth target, and the equal mixture of their output laws (toss a coin per sample) has KL of order :math:`N^{-4}`.
    The step from local weak errors to densities assumes a Talay-Tubaro expansion: derived and measured, not a theorem with
    all hypotheses.

    Proof of the local errors: expand E f after a true step and after a step of the scheme to order g^2.

    **Source.** Derived here; not in the paper.

    Returns
    -------
    array

    Examples
    --------
    >>> drift = {"b": -0.5, "b_x": -0.5, "b_xx": 0.0, "b_s": 0.0}  # N(0, 1) at x = 1, f = x^2
    >>> [local_weak_error(s, 0.5, **drift, f_x=2.0, f_xx=2.0) for s in ("euler_maruyama", "proximal_backward")]
    [0.0625, -0.0625]
    """
    choice("scheme", scheme, ("euler_maruyama", "proximal_backward", "proximal_hybrid"))
    E = (b * b_x + b_xx / 2 + b_s) * f_x + b_x * f_xx
    if scheme == "euler_maruyama":
        return -(g**2) / 2 * E
    return g**2 / 2 * (E if scheme == "proximal_backward" else E - b * f_x - f_xx)


# ---------------------------------------------------------------------------------------- step sizes and constants


@statement(
    paper="proximal",
    ref="step size",
    title="Step-size condition is necessary: KL is infinite beyond it",
    kind="tight",
    text="derived",
    domain="sup_curvature number",
)
def step_threshold(scheme: str, sup_curvature: float) -> float:
    r"""Largest last step for which the output of a proximal scheme has a positive density.

    **Hypotheses.** Global proximal map at the last step; :math:`\kappa=\sup_u\lambda_{\max}(\nabla^2\ln p_0(u))`, attained.

    **Conclusion (tight).** With

    .. math:: g_*=1/\kappa\ (\text{hybrid}),\qquad g_*=1/(\tfrac12+\kappa)\ (\text{backward})

    (infinite where the denominator is not positive), :math:`g>g_*` implies that a neighbourhood of the maximiser is outside
    the range of the proximal map, :math:`q_0=0` there and :math:`\mathrm{KL}(p_0|q_0)=+\infty`; for :math:`g<g_*` the map is
    single valued and KL is finite. Proof: the second-order condition :math:`\lambda\kappa\le1` of a minimiser.

    **Source.** Derived here. Consequence: KL cannot compare few-step proximal samplers on multimodal targets.

    Returns
    -------
    float

    Examples
    --------
    >>> round(step_threshold("proximal_backward", 4.0), 4)
    0.2222
    """
    choice("scheme", scheme, ("proximal_backward", "proximal_hybrid"))
    total = sup_curvature + (0.5 if scheme == "proximal_backward" else 0.0)
    return 1 / total if total > 0 else math.inf


@guarded(domain="v > 0")
def two_mode_curvature(m: Numbers, v: Numbers) -> Numbers:
    r""":math:`\sup l''=m^2/v^2-1/v` of the equal mixture of N(-m, v) and N(m, v) (attained at 0 when positive).

    Examples
    --------
    >>> two_mode_curvature(1.0, 0.5)
    2.0
    """
    return m**2 / v**2 - 1 / v


@statement(
    paper="proximal",
    ref="assumptions",
    title="Certified L and H of an isotropic mixture at one time",
    kind="tight",
    text="derived",
    domain="variance number >= 0, diameter number >= 0, t number >= 0",
)
def mixture_lipschitz(variance: float, diameter: float, t: float = 0.0) -> tuple[float, float]:
    r"""Bounds of the second and third derivative of l_t for a mixture of :math:`N(c_i,vI)` with centres of diameter R.

    **Hypotheses.** Equal isotropic variances v >= 0; :math:`R_t=e^{-t/2}R`, :math:`v_t=e^{-t}v+1-e^{-t}>0`.

    **Conclusion (tight).**

    .. math:: |\nabla^2l_t|\le\max\Bigl(\frac1{v_t},\frac{R_t^2}{4v_t^2}-\frac1{v_t}\Bigr),\qquad
              |D^3l_t|\le\frac{R_t^3}{6\sqrt3\,v_t^3},

    with equality for two equal weights (H always; L when it exceeds 1/v_t, and otherwise in the limit of one component far
    out). Proof: :math:`\nabla^2l=-1/v+\mathrm{Cov}(c|x)/v^2`, third derivative = third posterior cumulant over v^3;
    Popoviciu, and :math:`\max p(1-p)(1-2p)=1/(6\sqrt3)`.

    **Source.** Derived here.

    Returns
    -------
    (L_t, H_t)

    Examples
    --------
    >>> [round(value, 4) for value in mixture_lipschitz(0.5, 2.0)]
    [2.0, 6.1584]
    """
    if variance == 0 and t == 0:
        fail("t", t, "a time t > 0 where the variance is 0: the law at t = 0 has no density")
    return _lipschitz(variance, diameter, math.exp(-t))


def _lipschitz(v, R, a):
    """At ``a = e^-t``."""
    w = a * v + (1 - a)
    if not w > 0:
        return math.inf, math.inf
    return max(1 / w, a * R * R / (4 * w * w) - 1 / w), R**3 * a**1.5 / (6 * math.sqrt(3) * w**3)


@guarded(domain="variance number >= 0, diameter number >= 0, horizon >= 0")
def mixture_constants(variance: float, diameter: float, horizon: float = math.inf) -> tuple[float, float]:
    r"""Suprema over t in [0, horizon] of :func:`mixture_lipschitz`, in closed form.

    With :math:`a=e^{-t}`, :math:`w=1+(v-1)a`: 1/w is monotone; the derivative of :math:`aR^2/(4w^2)-1/w` has a numerator
    linear in a; that of :math:`a^{3/2}/w^3` vanishes at :math:`a=1/(v-1)`. So ends and at most one inner point each.

    Returns
    -------
    (L, H)

    Examples
    --------
    >>> L, H = mixture_constants(variance=0.25, diameter=2.0)
    >>> round(L, 4), round(H, 4)
    (12.0, 49.2672)
    """
    v, R, low = variance, diameter, math.exp(-horizon)
    u, q = v - 1, R * R / 4
    candidates = [low, 1.0]
    if u != 0:
        candidates.append(1 / u)
        if u != q:
            candidates.append((q + u) / (u * (q - u)))
    values = [_lipschitz(v, R, a) for a in candidates if low <= a <= 1]
    return max(x for x, _ in values), max(x for _, x in values)


# ------------------------------------------------------------------------------------------------ proximal matching


@statement(
    paper="proximal",
    ref="proximal matching",
    title="The matching loss has the posterior mode as its limit",
    kind="asymptotic",
    text="source",
    domain="zeta >= 0, d integer >= 1",
)
def matching_bias(zeta: Numbers, d: int, hessian: Numbers, grad_laplacian: Numbers) -> Array:
    r"""Leading distance of the minimiser of the proximal matching loss from the proximal map.

    **Hypotheses.** :math:`y=x+\sqrt\lambda\epsilon`, x ~ p, posterior density :math:`\pi_y` smooth with a unique
    nondegenerate mode; :math:`f_\zeta(y)=\arg\min_fE[1-e^{-|x-f|^2/(d\zeta^2)}\,|\,y]`.

    **Conclusion (asymptotic).** :math:`f_\zeta(y)` is the mode of :math:`\pi_y*N(0,\tfrac{d\zeta^2}2I)`; as zeta to 0 it
    tends to the mode of :math:`\pi_y`, which is :math:`\mathrm{prox}_{-\lambda\ln p}(y)`, with

    .. math:: f_\zeta-\mathrm{prox}=-\tfrac{d\zeta^2}4(\nabla^2\ln\pi_y)^{-1}\nabla\Delta\ln\pi_y+O(\zeta^4)

    at the mode; as zeta to infinity it tends to the posterior mean.

    **Source.** Loss: the released code; limit and bias derived here.

    Parameters
    ----------
    zeta : number
    d : int
    hessian : (d, d) or number
        Second derivative of the log posterior at its mode.
    grad_laplacian : (d,) or number
        Gradient of its Laplacian there.

    Returns
    -------
    (d,) array

    Examples
    --------
    >>> matching_bias(0.5, d=1, hessian=-2.0, grad_laplacian=4.0)
    array([0.125])
    """
    hessian = np.atleast_2d(np.asarray(hessian, dtype=np.float64))
    return -d * zeta**2 / 4 * np.linalg.solve(hessian, np.atleast_1d(np.asarray(grad_laplacian, dtype=np.float64)))
