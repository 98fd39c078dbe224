"""Permenter & Yuan, "Interpreting and Improving Diffusion Models from an Optimization Perspective" (ICML 2024, 2306.04848).

Notation: K closed in R^n, d(x) the distance to K, p(x) the projection, f = d^2/2. Time runs t = N, ..., 1, 0 from noisy to
clean; arrays here are ordered the same way, noisy first, so ``beta[0]`` is the paper's beta_N and ``beta[-1]`` its beta_1;
beta_t = 1 - sigma_{t-1}/sigma_t.
"""

import math

import numpy as np

from .._validation import fail, integer, scalar
from ..arrays import array_namespace
from ._statement import statement


def _betas(name, beta):
    beta = np.asarray(beta, dtype=np.float64)
    if beta.size == 0 or not np.all((beta >= 0) & (beta <= 1)):
        fail(name, beta, "relative steps in [0, 1], noisy to clean")
    return beta


@statement(
    paper="projection", ref="Lemma 4.1", title="One approximate gradient step on the distance", kind="tight", text="recalled"
)
def one_step_distance(distance, beta, eta):
    r"""Distance to K after one step with relative error eta.

    **Hypotheses.** K closed, p(x) unique, :math:`x' = x - \beta(\nabla f(x) + e)` with :math:`|e| \le \eta\, d(x)`,
    :math:`0 \le \beta \le 1`, :math:`\eta \ge 0`.

    **Conclusion (two-sided, tight).**

    .. math:: (1 - \beta(1+\eta))\, d(x) \;\le\; d(x') \;\le\; (1 + \beta(\eta - 1))\, d(x)

    The upper side is :math:`d(x') \le |x' - p|`; the lower one is that d is 1-Lipschitz. Equality above for the undershoot
    :math:`e = -\eta\nabla f` (eta <= 1), below for the overshoot :math:`e = \eta\nabla f` (beta (1 + eta) <= 1), on every
    closed K, because the projection is constant on the segment from x to p(x).

    **Source.** Lemma 4.1 (statement recalled; it is what the authors' slide 18 uses at every step).

    Returns
    -------
    (lower, upper) : arrays like ``distance``
    """
    return (1 - beta * (1 + eta)) * distance, (1 + beta * (eta - 1)) * distance


def is_admissible(beta, eta, nu):
    r"""Whether a schedule is (eta, nu)-admissible (Definition 4.1).

    The definition asks for every t that

    .. math:: \frac1\nu \prod_{i=t}^N (1+\beta_i(\eta-1)) \le \prod_{i=t}^N (1-\beta_i)
              \le \nu \prod_{i=t}^N (1-\beta_i(1+\eta)).

    With :math:`\rho_i = \beta_i/(1-\beta_i)` it is equivalent to the single condition: all :math:`\eta\rho_i < 1` and
    :math:`-\sum_i \log(1-\eta\rho_i) \le \log\nu` (statement :func:`admissibility`), which is what this function evaluates:
    looking at the full product alone would accept two negative factors.

    Parameters
    ----------
    beta : (N,) relative steps, noisy to clean
    eta : relative error of the denoiser, 0 <= eta < 1
    nu : width of the band, nu >= 1

    Returns
    -------
    bool
    """
    return bool(admissibility_excess(beta, eta, nu) <= 0)


def admissibility_excess(beta, eta, nu):
    r""":math:`-\sum_i\log(1-\eta\rho_i) - \log\nu`: nonpositive exactly for admissible schedules, ``inf`` when a factor
    is not positive (in particular for a full last step, beta = 1, when eta > 0)."""
    beta = _betas("beta", beta)
    eta, nu = scalar("eta", eta, low=0, high=1, high_open=True), scalar("nu", nu, low=1)
    if eta == 0:
        return -math.log(nu)
    if np.any(beta >= 1):
        return math.inf
    y = eta * beta / (1 - beta)
    if np.any(y >= 1):
        return math.inf
    return float(-np.sum(np.log1p(-y)) - math.log(nu))


def admissible_by_definition(beta, eta, nu):
    """Definition 4.1 taken literally, for every t, in whatever number type ``beta``, ``eta``, ``nu`` have.

    Slow and transparent: the reference for :func:`is_admissible`, also with mpmath numbers.
    """
    under = exact = over = beta[0] * 0 + 1
    for b in beta:
        under, exact, over = under * (1 + b * (eta - 1)), exact * (1 - b), over * (1 - b * (1 + eta))
        if not (under <= nu * exact and exact <= nu * over):
            return False
    return True


@statement(
    paper="projection",
    ref="Def 4.1",
    title="Admissible schedules and their one-line test",
    kind="definition",
    text="recalled",
)
def admissibility(beta, eta, nu):
    r"""Definition 4.1 is one scalar inequality.

    **Hypotheses.** :math:`\beta_i \in [0, 1)`, :math:`0 \le \eta < 1 \le \nu`, :math:`\rho_i = \beta_i/(1-\beta_i)
    = \sigma_i/\sigma_{i-1} - 1`.

    **Conclusion (equivalence).** The schedule is :math:`(\eta,\nu)`-admissible (both inequalities of Definition 4.1 for
    every t) if and only if

    .. math:: \eta\rho_i < 1 \ \text{for all } i \quad\text{and}\quad -\sum_{i=1}^N \log(1-\eta\rho_i) \le \log\nu .

    Proof: dividing by :math:`\prod(1-\beta_i)` the two sides read :math:`\prod(1+\eta\rho_i) \le \nu` and
    :math:`\prod(1-\eta\rho_i) \ge 1/\nu`; the second implies the first since :math:`1+y \le 1/(1-y)`, and its partial
    products are monotone. For eta > 0 a full last step (sigma_0 = 0) is never admissible.

    **Source.** Definition 4.1 (recalled); the equivalence is derived here.

    Returns
    -------
    float
        :math:`\log\nu + \sum_i\log(1-\eta\rho_i)`: nonnegative exactly for admissible schedules.
    """
    return -admissibility_excess(beta, eta, nu)


@statement(paper="projection", ref="Thm 4.2", title="DDIM distance sandwich and band", kind="tight", text="source")
def ddim_distance_sandwich(distance, beta, eta):
    r"""DDIM with an approximate projection: the distance to K at every step.

    **Hypotheses.** (H1) the denoiser is an :math:`(\eta,\nu)`-approximate projection at the visited points: whenever
    :math:`d(x_t)/\nu \le \sqrt n\,\sigma_t \le \nu\, d(x_t)` then :math:`|\hat x(x_t,\sigma_t) - p(x_t)| \le \eta\, d(x_t)`;
    (H2) the schedule is :math:`(\eta,\nu)`-admissible; (H3) p(x_t) is unique for all t; (H4)
    :math:`d(x_N) = \sqrt n\,\sigma_N`. n is the ambient dimension.

    **Conclusion (tight).** For all t, :math:`d(x_t)/\nu \le \sqrt n\,\sigma_t \le \nu\, d(x_t)` (the band), and

    .. math:: d(x_N)\prod_{i=t}^N (1-\beta_i(1+\eta)) \;\le\; d(x_{t-1}) \;\le\; d(x_N)\prod_{i=t}^N (1+\beta_i(\eta-1)).

    The product from i = t bounds x_{t-1}. Both products are attained (over- and undershoot), and so is the band's edge
    :math:`\sqrt n\,\sigma_0 = \nu\, d(x_0)`. At the other edge, for a finite N,
    :math:`d(x_0)/(\sqrt n\,\sigma_0) \le \prod(1+\eta\rho_i) < \nu`: it is the supremum over N,
    :math:`(2-\nu^{-1/N})^N \to \nu` for the constant step; with the start ratio of :func:`beta_star` it is attained.

    **Source.** Theorem 4.2 (slide 18 and poster); the hypothesis is stated at the visited points, which is all the proof
    uses: on a finite K no continuous denoiser satisfies it everywhere with eta < 1.

    Parameters
    ----------
    distance : number or (n,) array
        d(x_N).
    beta : (N,) or (N, n) array
        relative steps, noisy to clean.
    eta : number or (n,) array (or (N, n): one measured value per step, the a-posteriori form)

    Returns
    -------
    (lower, upper) : arrays of shape (N, ...)
        bounds on d(x_{N-1}), ..., d(x_0), noisy to clean.
    """
    beta = np.asarray(beta, dtype=np.float64)
    lower = np.cumprod(1 - beta * (1 + np.asarray(eta)), axis=0)
    upper = np.cumprod(1 + beta * (np.asarray(eta) - 1), axis=0)
    return distance * lower, distance * upper


@statement(paper="projection", ref="Thm 4.3", title="Largest admissible constant step", kind="tight", text="recalled")
def beta_star(eta, nu, N, start_ratio=1.0):
    r"""Largest constant relative step that is admissible: the log-linear schedule of N steps.

    **Hypotheses.** :math:`\beta_t = \beta` constant in (0, 1), :math:`0 \le \eta < 1 \le \nu`.

    **Conclusion (if and only if).** The schedule is :math:`(\eta,\nu)`-admissible exactly when

    .. math:: \beta \le \beta_* := \frac{c}{\eta + c}, \qquad c := 1 - \nu^{-1/N}.

    With a start :math:`d(x_N) = r\sqrt n\,\sigma_N`, :math:`r \in (1/\nu, \nu)` (derived), the band is kept for
    :math:`c := \min(1-(\nu r)^{-1/N}, (\nu/r)^{1/N}-1)`, and the binding edge is attained.

    **Source.** Theorem 4.3 (recalled; slide 18 has "beta < C(eta, nu)"), proved here from :func:`admissibility`.

    Parameters
    ----------
    eta, nu, start_ratio : numbers, or arrays that broadcast
    N : int
        number of steps.

    Returns
    -------
    float or array
        :math:`\beta_*`; 1 when eta = 0.

    Raises
    ------
    ValueError
        naming eta (outside [0, 1)), nu (< 1), N (< 1) or start_ratio (outside (1/nu, nu); 1 is always allowed).
    """
    N = integer("N", N, low=1)
    eta_, nu_, r = np.broadcast_arrays(np.asarray(eta, float), np.asarray(nu, float), np.asarray(start_ratio, float))
    if not np.all((eta_ >= 0) & (eta_ < 1)):
        fail("eta", eta, "a number in [0, 1)")
    if not np.all((nu_ >= 1) & np.isfinite(nu_)):
        fail("nu", nu, "a finite number >= 1")
    if not np.all((r == 1) | ((r > 1 / nu_) & (r < nu_))):
        fail("start_ratio", start_ratio, "a number in (1/nu, nu)")
    # rho = 1: the first term is the smaller one, since 1 - e^-a <= e^a - 1
    c = np.minimum(-np.expm1(-np.log(nu_ * r) / N), np.expm1(np.log(nu_ / r) / N))
    with np.errstate(invalid="ignore"):
        value = np.where(eta_ == 0, 1.0, c / (eta_ + c))
    return float(value) if value.ndim == 0 else value


def smallest_admissible_nu(beta, eta):
    r"""Smallest nu for which the schedule is admissible: :math:`\prod_i (1-\eta\rho_i)^{-1}` (``inf`` when none is)."""
    excess = admissibility_excess(beta, eta, 1.0)
    return math.exp(excess) if excess < 700 else math.inf


def largest_admissible_eta(beta, nu):
    """Largest eta for which the schedule is (eta, nu)-admissible (0 for a schedule with a full step); bisection to 1 ulp."""
    beta, nu = _betas("beta", beta), scalar("nu", nu, low=1)
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if admissibility_excess(beta, middle, nu) <= 0:
            low = middle
        else:
            high = middle
    return low


def band_usage(distance, sigma, dimension):
    r"""How far a point is from the centre of the band: :math:`\max(r, 1/r)` with :math:`r = \sqrt n\,\sigma/d(x)`; the band
    condition of an (eta, nu)-approximate projection is usage <= nu."""
    xp = array_namespace(distance)
    ratio = math.sqrt(dimension) * sigma / distance
    return xp.maximum(ratio, 1 / ratio)
