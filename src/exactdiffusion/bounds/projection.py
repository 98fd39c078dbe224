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


# ------------------------------------------------------------------------- Sections 4 and 5, Appendix A: DDIM and its kin


@statement(paper="projection", ref="Thm 4.1", title="DDIM with the exact projection", kind="equality", text="recalled")
def exact_projection_path(start, projection, sigma):
    r"""DDIM with the exact projection is gradient descent on :math:`f = d^2/2` and runs down a straight segment.

    **Hypotheses.** K closed in R^n; :math:`\sigma\epsilon(x,\sigma) = \nabla f(x)`, i.e. :math:`\hat x = p(x)`, wherever
    :math:`\sqrt n\,\sigma = d(x)` and p(x) is unique; :math:`0 \le \sigma_{t-1} \le \sigma_t` (only sigma_0 may be 0);
    p(x_N) unique; :math:`d(x_N) = \sqrt n\,\sigma_N`. n is the ambient dimension.

    **Conclusion (equality).** For all t

    .. math:: x_{t-1} = x_t - \beta_t \nabla f(x_t), \qquad d(x_t) = \sqrt n\,\sigma_t, \qquad
              x_t = p(x_N) + \frac{\sigma_t}{\sigma_N}\,(x_N - p(x_N)),

    in particular :math:`x_0 = p(x_N)` when :math:`\sigma_0 = 0`. Proof: :math:`(\sigma_{t-1}-\sigma_t)\epsilon =
    -\beta_t\sigma_t\epsilon`; the projection is constant on the segment from x to p(x) (triangle inequality), so
    :math:`d(x_{t-1}) = (1-\beta_t)\,d(x_t)`, and the hypothesis on the denoiser holds at x_{t-1} again.

    **Source.** Theorem 4.1 (recalled, consistent with slide 16), proved here; the closed form of x_t is derived. Not to be
    confused with Theorem 4.2, where the projection has a relative error and the equality becomes a band.

    Parameters
    ----------
    start, projection : (n_rows, n) arrays
        x_N and p(x_N).
    sigma : (N + 1,) or (N + 1, n_rows) array
        noisy to clean.

    Returns
    -------
    (N + 1, n_rows, n) array
        x_N, ..., x_0.
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    ratio = (sigma / sigma[0]).reshape(len(sigma), -1, 1)
    return projection + ratio * (start - projection)


@statement(
    paper="projection",
    ref="Thm 4.2, a posteriori",
    title="Distance sandwich from measured errors",
    kind="tight",
    text="derived",
)
def a_posteriori_sandwich(distance, beta, eta):
    r"""DDIM with any denoiser: the distance to K from the relative errors measured on the trajectory itself.

    **Hypotheses.** K closed, :math:`0 \le \beta_t \le 1`, :math:`p_t` any nearest point of x_t, and
    :math:`\eta_t = |\hat x_t - p_t| / d(x_t)` as measured at the visited points; eta_t may exceed 1. No band, no
    admissibility, no uniqueness of the projection, no condition on d(x_N).

    **Conclusion (two-sided, tight).** For all t

    .. math:: d(x_N)\prod_{i=t}^N \bigl(1-\beta_i(1+\eta_i)\bigr)_+ \;\le\; d(x_{t-1}) \;\le\;
              d(x_N)\prod_{i=t}^N (1+\beta_i(\eta_i-1)).

    Proof: :func:`one_step_distance` at every step, with :math:`d \ge 0` for the positive part. Without the positive part two
    negative factors multiply to a false lower bound. Both products are attained: by under- and overshoots of any sizes
    (:math:`\eta_t \le 1` above, :math:`\beta_t(1+\eta_t) \le 1` below).

    **Source.** derived (the induction step of Theorem 4.2). Not to be confused with :func:`ddim_distance_sandwich`, which
    is a guarantee before the run: one eta for all steps, given the band and an admissible schedule.

    Parameters
    ----------
    distance : number or (n,) array
        d(x_N).
    beta : (N,) or (N, n) array
        relative steps, noisy to clean.
    eta : (N,) or (N, n) array
        measured errors, noisy to clean.

    Returns
    -------
    (lower, upper) : arrays of shape (N, ...)
        bounds on d(x_{N-1}), ..., d(x_0).

    Raises
    ------
    ValueError
        naming beta (outside [0, 1]) or eta (negative or NaN).
    """
    beta, eta = _betas("beta", beta), np.asarray(eta, dtype=np.float64)
    if not np.all(eta >= 0):
        fail("eta", eta, "measured relative errors >= 0")
    if beta.ndim < eta.ndim:
        beta = beta[:, np.newaxis]
    elif eta.ndim < beta.ndim:
        eta = eta[:, np.newaxis]
    lower = np.cumprod(np.maximum(1 - beta * (1 + eta), 0), axis=0)
    upper = np.cumprod(1 + beta * (eta - 1), axis=0)
    return distance * lower, distance * upper


@statement(
    paper="projection", ref="Thm 4.3, optimality", title="The log-linear schedule is optimal", kind="tight", text="derived"
)
def best_admissible_products(eta, nu, N):
    r"""No admissible schedule of N steps goes further, or guarantees more, than the constant step :math:`\beta_*`.

    **Hypotheses.** :math:`0 < \eta < 1 < \nu`; any :math:`(\eta,\nu)`-admissible schedule of N steps, :math:`c` and
    :math:`\beta_*` as in :func:`beta_star`.

    **Conclusion (two lower bounds, attained).**

    .. math:: \frac{\sigma_0}{\sigma_N} = \prod_{i=1}^N (1-\beta_i) \;\ge\; (1-\beta_*)^N, \qquad
              \prod_{i=1}^N (1+\beta_i(\eta-1)) \;\ge\; (1+\beta_*(\eta-1))^N,

    with equality exactly for the constant step. Proof: put :math:`y_i = -\log(1-\eta\rho_i)`; admissible means
    :math:`\sum y_i \le \log\nu`. The two logarithms are :math:`-\sum g(y_i)` and :math:`-\sum h(y_i)` with

    .. math:: g(y) &= \log\Bigl(1+\frac{1-e^{-y}}{\eta}\Bigr), & g'' &= \frac{-(1+\eta)e^y}{((1+\eta)e^y-1)^2}, \\
              h(y) &= g(y) - \log(2-e^{-y}), &
              h'' &= \frac{-(1-\eta)\,e^y\,(2(1+\eta)e^{2y}-1)}{(2e^y-1)^2((1+\eta)e^y-1)^2},

    both increasing and strictly concave; Jensen.

    **Source.** derived: the paper recommends log-linear schedules, this is why. It is a statement about the guarantee, not
    about the error of a particular denoiser.

    Returns
    -------
    (ratio, guarantee) : floats
        :math:`(1-\beta_*)^N` and :math:`(1+\beta_*(\eta-1))^N`.

    Raises
    ------
    ValueError
        as :func:`beta_star`.
    """
    beta = beta_star(eta, nu, N)
    return (1 - beta) ** N, (1 + beta * (eta - 1)) ** N


@statement(
    paper="projection",
    ref="Thm 4.4",
    title="Limits of the admissible log-linear schedule",
    kind="asymptotic",
    text="recalled",
)
def admissible_limits(eta, nu):
    r"""What an admissible schedule can reach with any number of steps.

    **Hypotheses.** :math:`0 \le \eta < 1 \le \nu`, not :math:`(\eta, \nu) = (0, 1)`; the constant step
    :math:`\beta_*(N)` of :func:`beta_star`; :math:`L = \log\nu`.

    **Conclusion (limits, and their rate).** As N grows, :math:`\sigma_0/\sigma_N`, the lower and the upper product of
    Theorem 4.2 *decrease* to

    .. math:: (1-\beta_*)^N \to \nu^{-1/\eta}, \qquad (1-\beta_*(1+\eta))^N \to \nu^{-(1+\eta)/\eta}, \qquad
              (1+\beta_*(\eta-1))^N \to \nu^{-(1-\eta)/\eta},

    and their logarithms exceed the limits by :math:`k/N + O(N^{-2})` with

    .. math:: k = \frac{L^2(1+\eta)}{2\eta^2}, \qquad \frac{L^2(1+\eta)}{2\eta^2}, \qquad
              \frac{L^2(1-\eta)(1+2\eta)}{2\eta^2}

    (:func:`admissible_limit_rates`). For eta = 0 one full step is admissible: all limits are 0. For nu = 1 and eta > 0 no
    step is: all are 1. Monotone: the logarithms are :math:`-L\,g(u)/u` with :math:`u = L/N` and g concave, g(0) = 0, as in
    :func:`best_admissible_products`. The guarantee of Theorem 4.2 thus never falls below :math:`\nu^{-(1-\eta)/\eta}`.

    **Source.** Theorem 4.4 (recalled: the first and third limit), proved here; the lower product, the rates and the
    monotonicity are derived.

    Returns
    -------
    (ratio, lower, upper) : floats

    Raises
    ------
    ValueError
        naming eta (outside [0, 1)), nu (< 1), or both where they are 0 and 1: then every schedule is admissible and
        there is no limit.
    """
    eta, nu = scalar("eta", eta, low=0, high=1, high_open=True), scalar("nu", nu, low=1)
    if eta == 0:
        if nu == 1:
            fail("eta, nu", (eta, nu), "not both 0 and 1: every schedule is admissible")
        return 0.0, 0.0, 0.0
    log = math.log(nu)
    return math.exp(-log / eta), math.exp(-log * (1 + eta) / eta), math.exp(-log * (1 - eta) / eta)


def admissible_limit_rates(eta, nu):
    r"""Coefficients k of :math:`k/N` in the logarithms of (ratio, lower, upper) of :func:`admissible_limits`, eta > 0."""
    eta, nu = scalar("eta", eta, low=0, high=1, low_open=True, high_open=True), scalar("nu", nu, low=1)
    half = (math.log(nu) / eta) ** 2 / 2
    return half * (1 + eta), half * (1 + eta), half * (1 - eta) * (1 + 2 * eta)


@statement(
    paper="projection",
    ref="Sec 5 (weights)",
    title="Gradient estimation minimises a weighted norm",
    kind="equality",
    text="recalled",
)
def gradient_estimation_gamma(a, b, c):
    r"""The extrapolation weight gamma from the weights of the two errors.

    **Hypotheses.** :math:`W = \begin{pmatrix} a & b \\ b & c \end{pmatrix}` positive definite: :math:`a > 0`,
    :math:`ac > b^2`.

    **Conclusion (equality).** The minimiser over e of

    .. math:: a\,|e-\epsilon_t|^2 + 2b\,\langle e-\epsilon_t,\, e-\epsilon_{t+1}\rangle + c\,|e-\epsilon_{t+1}|^2

    is :math:`\bar\epsilon_t = \gamma\,\epsilon_t + (1-\gamma)\,\epsilon_{t+1}` with

    .. math:: \gamma = \frac{a+b}{a+2b+c} .

    :math:`\gamma = 2` exactly when :math:`b = -(a+2c)/3`, and then W is definite exactly when :math:`c < a < 4c`, since
    :math:`ac-b^2 = -(a-c)(a-4c)/9`. Every real gamma occurs; :math:`\gamma > 1` needs :math:`b < -c`, errors that are
    weighted as anticorrelated.

    **Source.** Section 5 and Algorithm 2 (slides 19-20); the weighted norm is recalled, proved here.

    Returns
    -------
    number or array
    """
    return (a + b) / (a + 2 * b + c)


@statement(
    paper="projection",
    ref="Sec 5 (errors)",
    title="Gradient estimation filters a geometric error",
    kind="equality",
    text="derived",
)
def gradient_estimation_filter(beta, q, gamma=2.0):
    r"""What gradient estimation does to an error of the noise prediction that grows or decays geometrically.

    **Hypotheses.** The exact :math:`\epsilon_t = e` is constant along the trajectory (exact projection on a segment,
    Theorem 4.1); the prediction is :math:`\epsilon_t = e + q^{N-t} v` with any vector v and :math:`q \ne 0`, whatever the
    state; first step plain.

    **Conclusion (equality).** The error of the prediction used is :math:`(\gamma + (1-\gamma)/q)\,q^{N-t} v` for t < N, and

    .. math:: x_0 = x_0^{exact} - \sigma_N F v, \qquad
              F = \beta_N + \Bigl(\gamma + \frac{1-\gamma}{q}\Bigr)
              \sum_{t=1}^{N-1} \frac{\sigma_t}{\sigma_N}\beta_t\, q^{N-t} .

    Consequences: with v = 0 gradient estimation *is* DDIM, for every gamma; a constant bias (q = 1) passes unchanged, no
    gamma helps; an alternating one (q = -1) is multiplied by :math:`2\gamma-1`, 3 times *worse* than DDIM at gamma = 2; one
    with q = .8 by .75; :math:`\gamma = 1/(1-q)` removes it from every step but the first.

    **Source.** derived. The paper argues for gamma = 2 from experiments; this says for which errors it can help.

    Parameters
    ----------
    beta : (N,) relative steps, noisy to clean
    q, gamma : numbers

    Returns
    -------
    float
        F; at gamma = 1 that of DDIM.
    """
    beta = _betas("beta", beta)
    sigma = np.concatenate([[1.0], np.cumprod(1 - beta)[:-1]])
    gain = np.full(len(beta), gamma + (1 - gamma) / q)
    gain[0] = 1.0
    return float(np.sum(sigma * beta * gain * float(q) ** np.arange(len(beta))))


@statement(
    paper="projection",
    ref="Sec 5 (order)",
    title="Order of gradient estimation",
    kind="asymptotic",
    text="derived",
)
def gradient_estimation_gaussian_error(gamma, N, sigma_max, sigma_min, variance=1.0):
    r"""Leading error of gradient estimation as a scheme for the flow :math:`dx/d\sigma = \epsilon(x, \sigma)`.

    **Hypotheses.** A smooth epsilon (noised law); steps :math:`h_t = \sigma_t - \sigma_{t-1}`; the exact flow x(sigma).

    **Conclusion (asymptotic).** The local error of a step (numerical minus exact) is

    .. math:: \Bigl((\gamma_t-1)\,h_t h_{t+1} - \tfrac12 h_t^2\Bigr)\,\frac{d^2x}{d\sigma^2} + O(h^3),

    so the scheme is of second order exactly when :math:`\gamma_t = 1 + h_t/(2h_{t+1})` up to O(h) (variable-step
    Adams-Bashforth 2). A constant gamma is of first order unless it is 3/2 on grids with :math:`h_t/h_{t+1} \to 1`; on them
    gamma = 2 has the leading error of DDIM *with the opposite sign*. On :math:`N(0, \lambda)` with N log-linear steps the
    relative error of x_0 is

    .. math:: \Bigl(\gamma - \tfrac32\Bigr)\,\frac{L}{N}\cdot\frac\lambda2\Bigl(\frac{1}{\lambda+\sigma_0^2} -
              \frac{1}{\lambda+\sigma_N^2}\Bigr) + O(N^{-2}), \qquad L = \log\frac{\sigma_N}{\sigma_0} .

    Proof: :math:`x = \sqrt{\lambda+\sigma^2}`, :math:`x''/x = \lambda/(\lambda+\sigma^2)^2`, :math:`h = \sigma L/N`; the
    relative local errors of a linear flow add up to an integral.

    **Source.** derived. The paper calls gamma = 2 a choice that works; it is not a second-order method.

    Returns
    -------
    float
        the leading term.
    """
    spread = variance / (variance + sigma_min**2) - variance / (variance + sigma_max**2)
    return (gamma - 1.5) * math.log(sigma_max / sigma_min) / N * spread / 2


@statement(paper="projection", ref="App A (DDIM)", title="DDIM in (x, sigma) coordinates", kind="equality", text="source")
def ddim_coordinates(x, eps, sigma, sigma_next):
    r"""DDIM is an Euler step in sigma.

    **Hypotheses.** :math:`z = \sqrt{\bar\alpha}\,x`, :math:`\bar\alpha = 1/(1+\sigma^2)`, i.e.
    :math:`\sigma = \sqrt{1/\bar\alpha - 1}`.

    **Conclusion (equality).** The published step

    .. math:: z' = \sqrt{\bar\alpha'}\,\frac{z - \sqrt{1-\bar\alpha}\,\epsilon}{\sqrt{\bar\alpha}} +
              \sqrt{1-\bar\alpha'}\,\epsilon

    reads :math:`x' = x + (\sigma' - \sigma)\,\epsilon`, that is :math:`x' = x - \beta\,(x - \hat x)` with
    :math:`\beta = 1 - \sigma'/\sigma`, :math:`\hat x = x - \sigma\epsilon`.
    On :math:`N(0, \lambda)` the step multiplies x by :math:`1 - \beta\sigma^2/(\lambda+\sigma^2)`.

    **Source.** Appendix A (authors' blog), proved here.

    Returns
    -------
    array like ``x``
    """
    return x + (sigma_next - sigma) * eps


@statement(paper="projection", ref="App A (DDPM)", title="DDPM in (x, sigma) coordinates", kind="equality", text="source")
def ddpm_coordinates(sigma, sigma_next, mu=0.5):
    r"""DDPM goes down to a lower level than it must and adds the missing noise.

    **Hypotheses.** Coordinates as in :func:`ddim_coordinates`; :math:`\mu \in [0, 1)`, :math:`w \sim N(0, I)`; sigma_{t'}
    defined by :math:`\sigma_{t-1} = \sigma_t^{\mu}\,\sigma_{t'}^{1-\mu}`.

    **Conclusion (equality).**

    .. math:: x_{t-1} = x_t + (\sigma_{t'} - \sigma_t)\,\epsilon + \sqrt{\sigma_{t-1}^2 - \sigma_{t'}^2}\; w

    is DDIM at mu = 0; at mu = 1/2, :math:`\sigma_{t'} = \sigma_{t-1}^2/\sigma_t`, it is DDPM with the posterior mean and the
    posterior variance :math:`\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\bigl(1 -
    \frac{\bar\alpha_t}{\bar\alpha_{t-1}}\bigr)`; for every mu it is the step of Song et al. (2021) with
    variance :math:`s^2 = \bar\alpha_{t-1}(\sigma_{t-1}^2 - \sigma_{t'}^2)`.

    **Source.** Appendix A (authors' blog), proved here. Not the "large" variance of Ho et al. (2020), beta instead of
    beta-tilde.

    Returns
    -------
    (target, variance) : numbers
        :math:`\sigma_{t'}` and :math:`\sigma_{t-1}^2 - \sigma_{t'}^2`.
    """
    target = (sigma_next / sigma**mu) ** (1 / (1 - mu))
    return target, sigma_next**2 - target**2


@statement(
    paper="projection", ref="App A (invariant)", title="DDPM on a subspace: the distance", kind="equality", text="derived"
)
def ddpm_subspace_distance(sigma, codimension, start=None, mu=0.5):
    r"""Mean squared distance of DDPM's states to a subspace.

    **Hypotheses.** K an affine subspace of dimension m in R^n, exact projection (the flat measure's denoiser), any member
    of the mu family, :math:`E\,d(x_N)^2` given.

    **Conclusion (equality).** :math:`E\,d(x_t)^2 = (n-m)\,\sigma_t^2` is invariant, and from any start

    .. math:: E\,d(x_t)^2 = (n-m)\,\sigma_t^2 + \Bigl(\frac{\sigma_t}{\sigma_N}\Bigr)^{2/(1-\mu)}
              \bigl(E\,d(x_N)^2 - (n-m)\,\sigma_N^2\bigr).

    Proof: :math:`E\,d(x_{t-1})^2 = (\sigma_{t'}/\sigma_t)^2 E\,d(x_t)^2 + (n-m)(\sigma_{t-1}^2-\sigma_{t'}^2)` and
    :math:`\sigma_{t'}/\sigma_t = (\sigma_{t-1}/\sigma_t)^{1/(1-\mu)}`. So :math:`d/(\sqrt n\,\sigma)` tends to
    :math:`\sqrt{(n-m)/n}`, not to 1: the band of Theorem 4.2, written with the ambient dimension, is centred at 1 only for
    :math:`m \ll n`. DDIM (mu = 0) keeps :math:`d(x_t)/\sigma_t` itself, whatever it was.

    **Source.** derived; the paper calls DDPM a noisy projection.

    Parameters
    ----------
    sigma : (N + 1,) array, noisy to clean
    codimension : n - m
    start : number, optional
        :math:`E\,d(x_N)^2`; the invariant one by default.
    mu : number in [0, 1)

    Returns
    -------
    (N + 1,) array
        :math:`E\,d(x_N)^2, \dots, E\,d(x_0)^2`.
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    invariant = codimension * sigma**2
    start = invariant[0] if start is None else start
    return invariant + (sigma / sigma[0]) ** (2 / (1 - mu)) * (start - invariant[0])
