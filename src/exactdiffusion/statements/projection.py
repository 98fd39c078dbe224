"""Permenter & Yuan, "Interpreting and Improving Diffusion Models from an Optimization Perspective" (ICML 2024, 2306.04848).

Notation: K closed in R^n, d(x) the distance to K, p(x) the projection, f = d^2/2. Time runs t = N, ..., 1, 0 from noisy to
clean; arrays here are ordered the same way, noisy first, so ``beta[0]`` is their beta_N and ``beta[-1]`` their beta_1;
beta_t = 1 - sigma_{t-1}/sigma_t.
"""

import math

import numpy as np

from .._core.arrays import array_namespace, to_numpy
from .._core.typing import Array, Numbers
from .._core.validation import choice, fail
from ._statement import guarded, statement

__all__ = [
    "a_posteriori_sandwich",
    "admissibility",
    "admissibility_excess",
    "admissible_by_definition",
    "admissible_limit_rates",
    "admissible_limits",
    "band_ok",
    "band_usage",
    "best_admissible_products",
    "beta_star",
    "continuity_obstruction",
    "ddim_coordinates",
    "ddim_distance_sandwich",
    "ddpm_coordinates",
    "ddpm_subspace_distance",
    "distance_gradient",
    "exact_projection_path",
    "gradient_estimation_filter",
    "gradient_estimation_gamma",
    "gradient_estimation_gaussian_error",
    "half_smoothed_distance",
    "hull_denoiser_error",
    "is_admissible",
    "largest_admissible_eta",
    "near_set_error",
    "near_set_radius",
    "near_set_radius_exact",
    "near_set_radius_half_log",
    "normal_offset",
    "one_step_distance",
    "oracle_denoising",
    "oracle_denoising_whp",
    "projection_is_unique",
    "relative_error",
    "segment_invariance",
    "smallest_admissible_nu",
    "smallest_steps",
    "smoothed_distance_gradient",
    "smoothed_distance_hessian",
    "smoothed_distance_sandwich",
    "squared_w2_to_laws_on_set",
]


def _betas(name, beta):
    beta = np.asarray(beta, dtype=np.float64)
    if beta.size == 0:
        fail(name, beta, "at least one relative step, noisy to clean")
    return beta


def _levels(sigma):
    """Noise levels, noisy to clean along the first axis; the last ones alone may be 0."""
    sigma = np.asarray(sigma, dtype=np.float64)
    if sigma.ndim == 0 or len(sigma) == 0 or np.any(np.diff(sigma, axis=0) > 0) or np.any(sigma[:-1] == 0):
        fail("sigma", sigma, "levels that do not increase (noisy to clean), of which the last one alone may be 0")
    return sigma


@statement(
    paper="projection",
    ref="Lemma 4.1",
    title="One approximate gradient step on the distance",
    kind="tight",
    text="recalled",
    domain="distance >= 0, 0 <= beta <= 1, eta >= 0",
)
def one_step_distance(distance: Numbers, beta: Array, eta: Numbers) -> tuple[Array, Array]:
    r"""Distance to K after one step with relative error eta.

    **Hypotheses.** K closed, p(x) unique, :math:`x' = x - \beta(\nabla f(x) + e)` with :math:`|e| \le \eta\, d(x)`,
    :math:`0 \le \beta \le 1`, :math:`\eta \ge 0`.

    **Conclusion (two-sided, tight).**

    .. math:: (1 - \beta(1+\eta))\, d(x) \;\le\; d(x') \;\le\; (1 + \beta(\eta - 1))\, d(x)

    Proof: the upper side is :math:`d(x') \le |x' - p|`; the lower one is that d is 1-Lipschitz. Equality above for the
    undershoot :math:`e = -\eta\nabla f` (eta <= 1), below for the overshoot :math:`e = \eta\nabla f` (beta (1 + eta) <= 1),
    on every closed K, because the projection is constant on the segment from x to p(x).

    **Source.** Lemma 4.1 (statement recalled; it is what the authors' slide 18 uses at every step).

    Returns
    -------
    (lower, upper) : arrays like ``distance``

    Examples
    --------
    >>> one_step_distance(2.0, beta=0.5, eta=0.5)
    (0.5, 1.5)
    """
    return (1 - beta * (1 + eta)) * distance, (1 + beta * (eta - 1)) * distance


@guarded(domain="0 <= beta <= 1, eta number, 0 <= eta < 1, nu number >= 1")
def is_admissible(beta: Array, eta: float, nu: float) -> bool:
    r"""Whether a schedule is (eta, nu)-admissible (Definition 4.1).

    The definition asks for every t that

    .. math:: \frac1\nu \prod_{i=t}^N (1+\beta_i(\eta-1)) \le \prod_{i=t}^N (1-\beta_i)
              \le \nu \prod_{i=t}^N (1-\beta_i(1+\eta)).

    With :math:`\rho_i = \beta_i/(1-\beta_i)` it is equivalent to the single condition: all :math:`\eta\rho_i < 1` and
    :math:`-\sum_i \log(1-\eta\rho_i) \le \log\nu` (statement :func:`admissibility`), which is what this function evaluates:
    looking at the full product alone would accept two negative factors. Schedules on the boundary, such as the constant
    step :func:`beta_star`, are accepted: the test allows for its own rounding.

    Parameters
    ----------
    beta : (N,) relative steps, noisy to clean
    eta : relative error of the denoiser, 0 <= eta < 1
    nu : width of the band, nu >= 1

    Returns
    -------
    bool

    Examples
    --------
    >>> is_admissible(np.full(10, 0.05), eta=0.1, nu=2.0), is_admissible(np.full(10, 0.5), eta=0.1, nu=2.0)
    (True, False)
    """
    excess = admissibility_excess(beta, eta, nu)
    # The boundary itself is admissible: allow 4 eps for each logarithm, and for beta a relative error of 4 eps, which
    # z = eta beta/(1 - beta) has magnified by 1/(1 - beta). That says nothing where z is 1 to a few eps: the excess itself
    # is below 1 anywhere near the boundary.
    beta = np.asarray(beta)
    z = np.asarray(eta) * beta / (1 - beta)
    rounding = 4 * np.finfo(np.float64).eps * np.sum(1 + z / (1 - z) / (1 - beta))
    return bool(excess <= 0 or excess <= min(rounding, 1.0))


@guarded(domain="0 <= beta <= 1, eta number, 0 <= eta < 1, nu number >= 1")
def admissibility_excess(beta: Array, eta: float, nu: float) -> float:
    r""":math:`-\sum_i\log(1-\eta\rho_i) - \log\nu`: nonpositive exactly for admissible schedules, ``inf`` when a factor
    is not positive (in particular for a full last step, beta = 1, when eta > 0).

    Examples
    --------
    >>> round(admissibility_excess(np.full(10, 0.05), eta=0.1, nu=2.0), 4)
    -0.6404
    >>> admissibility_excess([0.5, 1.0], eta=0.1, nu=2.0)  # a full step
    inf
    """
    beta = _betas("beta", beta)
    if eta == 0:
        return -math.log(nu)
    y = eta * beta / (1 - beta)
    if np.any(y >= 1):  # a full step among them
        return math.inf
    return float(-np.sum(np.log1p(-y)) - math.log(nu))


@guarded(domain="0 <= beta <= 1, 0 <= eta < 1, nu >= 1")
def admissible_by_definition(beta: Array, eta: float, nu: float) -> bool:
    """Definition 4.1 taken literally, for every t, in whatever number type ``beta``, ``eta``, ``nu`` have.

    Slow and transparent: the reference for :func:`is_admissible`, also with mpmath numbers.

    Examples
    --------
    >>> admissible_by_definition(np.full(10, 0.05), 0.1, 2.0), admissible_by_definition(np.full(10, 0.5), 0.1, 2.0)
    (True, False)
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
    domain="0 <= beta <= 1, eta number, 0 <= eta < 1, nu number >= 1",
)
def admissibility(beta: Array, eta: float, nu: float) -> float:
    r"""Definition 4.1 is one scalar inequality.

    **Hypotheses.** :math:`\beta_i \in [0, 1)`, :math:`0 \le \eta < 1 \le \nu`, :math:`\rho_i = \beta_i/(1-\beta_i)
    = \sigma_i/\sigma_{i-1} - 1`.

    **Conclusion (equivalence).** The schedule is :math:`(\eta,\nu)`-admissible (both inequalities of Definition 4.1 for
    every t) if and only if

    .. math:: \eta\rho_i < 1 \ \text{for all } i \quad\text{and}\quad -\sum_{i=1}^N \log(1-\eta\rho_i) \le \log\nu .

    Proof: dividing by :math:`\prod(1-\beta_i)` the two sides read :math:`\prod(1+\eta\rho_i) \le \nu` and
    :math:`\prod(1-\eta\rho_i) \ge 1/\nu`; the second implies the first since :math:`1+y \le 1/(1-y)`, and its partial
    products are monotone. For eta > 0 a full last step (sigma_0 = 0) is never admissible.

    **Source.** Definition 4.1 (recalled; the authors' blog calls a schedule admissible when the band holds along the
    trajectory, the slides when it decreases slowly enough for that); the equivalence is derived here.

    Returns
    -------
    float
        :math:`\log\nu + \sum_i\log(1-\eta\rho_i)`: nonnegative exactly for admissible schedules.

    Examples
    --------
    >>> round(admissibility(np.full(10, 0.05), eta=0.1, nu=2.0), 4)  # not negative: admissible
    0.6404
    """
    return -admissibility_excess(beta, eta, nu)


@statement(
    paper="projection",
    ref="Thm 4.2",
    title="DDIM distance sandwich and band",
    kind="tight",
    text="source",
    domain="distance >= 0, 0 <= beta <= 1, eta >= 0",
)
def ddim_distance_sandwich(distance: Numbers, beta: Array, eta: Numbers) -> tuple[Array, Array]:
    r"""DDIM with an approximate projection: the distance to K at every step.

    **Hypotheses.** (H1) the denoiser is an :math:`(\eta,\nu)`-approximate projection at the visited points: whenever
    :math:`d(x_t)/\nu \le \sqrt n\,\sigma_t \le \nu\, d(x_t)` then :math:`|\hat x(x_t,\sigma_t) - p(x_t)| \le \eta\, d(x_t)`;
    (H2) the schedule is :math:`(\eta,\nu)`-admissible; (H3) p(x_t) is unique for all t; (H4)
    :math:`d(x_N) = \sqrt n\,\sigma_N`. n is the ambient dimension.

    **Conclusion (tight).** For all t, :math:`d(x_t)/\nu \le \sqrt n\,\sigma_t \le \nu\, d(x_t)` (the band), and

    .. math:: d(x_N)\prod_{i=t}^N (1-\beta_i(1+\eta)) \;\le\; d(x_{t-1}) \;\le\; d(x_N)\prod_{i=t}^N (1+\beta_i(\eta-1)).

    The product from i = t bounds x_{t-1}. Both products are attained (over- and undershoot), and so is the band's edge
    :math:`\sqrt n\,\sigma_0 = \nu\, d(x_0)`. At the other edge, for a finite N,
    :math:`d(x_0)/(\sqrt n\,\sigma_0) \le \prod(1+\eta\rho_i) < \nu` (nu > 1): it is the supremum over N,
    :math:`(2-\nu^{-1/N})^N \to \nu` for the constant step; with the start ratio of :func:`beta_star` it is attained.

    **Source.** Theorem 4.2 (slide 18 and poster); the hypothesis is stated at the visited points, which is all the proof
    uses: on a finite K no continuous denoiser satisfies it everywhere with eta < 1. (H3) is the blog's:
    the proof needs only that (H1) holds for some nearest point p(x_t), since both sides of :func:`one_step_distance` do.

    Parameters
    ----------
    distance : number or (n,) array
        d(x_N).
    beta : (N,) or (N, n) array
        relative steps, noisy to clean.
    eta : number or (n,) array
        one value for all steps; measured values per step belong to :func:`a_posteriori_sandwich`.

    Returns
    -------
    (lower, upper) : arrays of shape (N,) or (N, n)
        bounds on d(x_{N-1}), ..., d(x_0), noisy to clean. Factors of the lower product that an inadmissible schedule makes
        negative count as 0, so that two of them do not multiply to a false bound.

    Raises
    ------
    ValueError
        naming eta or distance when they are not a number or one value per trajectory.

    Examples
    --------
    >>> low, high = ddim_distance_sandwich(1.0, np.array([0.5, 0.5]), 0.1)
    >>> low.round(4), high.round(4)
    (array([0.45  , 0.2025]), array([0.55  , 0.3025]))
    """
    beta, eta, distance = (np.asarray(v, dtype=np.float64) for v in (beta, eta, distance))
    for name, value in (("eta", eta), ("distance", distance)):
        if value.ndim > 1 or (value.ndim == 1 and beta.ndim == 2 and len(value) not in (1, beta.shape[1])):
            fail(f"{name} (shape {value.shape})", value, "a number, or one value per trajectory")
    if beta.ndim == 1 and (eta.ndim or distance.ndim):
        beta = beta[:, None]
    lower = np.cumprod(np.maximum(1 - beta * (1 + eta), 0.0), axis=0)
    upper = np.cumprod(1 + beta * (eta - 1), axis=0)
    return distance * lower, distance * upper


@statement(
    paper="projection",
    ref="Thm 4.3",
    title="Largest admissible constant step",
    kind="tight",
    text="recalled",
    domain="0 <= eta < 1, 1 <= nu < inf, N integer >= 1, start_ratio > 0",
)
def beta_star(eta: Numbers, nu: Numbers, N: int, start_ratio: Numbers = 1.0) -> Numbers:
    r"""Largest constant relative step that is admissible: the log-linear schedule of N steps.

    **Hypotheses.** :math:`\beta_t = \beta` constant in (0, 1), :math:`0 \le \eta < 1 \le \nu`.

    **Conclusion (if and only if).** The schedule is :math:`(\eta,\nu)`-admissible exactly when

    .. math:: \beta \le \beta_* := \frac{c}{\eta + c}, \qquad c := 1 - \nu^{-1/N}.

    With a start :math:`d(x_N) = r\sqrt n\,\sigma_N`, :math:`r \in (1/\nu, \nu)` (derived), the band is kept for
    :math:`c := \min(1-(\nu r)^{-1/N}, (\nu/r)^{1/N}-1)`, and the binding edge is attained.

    Proof: for a constant step the bands read :math:`(1+\eta\rho)^N \le \nu/r` and :math:`(1-\eta\rho)^N \ge 1/(\nu r)`
    with :math:`\rho = \beta/(1-\beta)`; at r = 1 the second implies the first. Solve :math:`\eta\rho \le c` for beta.

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

    Examples
    --------
    >>> round(beta_star(0.1, 2.0, 10), 4)
    0.4011
    """
    eta_, nu_, r = np.broadcast_arrays(np.asarray(eta, float), np.asarray(nu, float), np.asarray(start_ratio, float))
    if not np.all((r == 1) | ((r > 1 / nu_) & (r < nu_))):
        fail("start_ratio", start_ratio, "a number in (1/nu, nu)")
    # rho = 1: the first term is the smaller one, since 1 - e^-a <= e^a - 1
    c = np.minimum(-np.expm1(-np.log(nu_ * r) / N), np.expm1(np.log(nu_ / r) / N))
    with np.errstate(invalid="ignore"):
        value = np.where(eta_ == 0, 1.0, c / (eta_ + c))
    return float(value) if value.ndim == 0 else value


@guarded(domain="0 <= beta <= 1, eta number, 0 <= eta < 1")
def smallest_admissible_nu(beta: Array, eta: float) -> float:
    r"""Smallest nu for which the schedule is admissible: :math:`\prod_i (1-\eta\rho_i)^{-1}` (``inf`` when none is).

    Examples
    --------
    >>> round(smallest_admissible_nu(np.full(10, 0.05), eta=0.1), 4)
    1.0542
    """
    return float(np.exp(admissibility_excess(beta, eta, 1.0)))


@guarded(domain="0 <= beta <= 1, nu number >= 1")
def largest_admissible_eta(beta: Array, nu: float) -> float:
    """Largest eta for which the schedule is (eta, nu)-admissible (0 for a schedule with a full step); bisection to 1 ulp.

    Examples
    --------
    >>> round(largest_admissible_eta(np.full(10, 0.3), nu=2.0), 4)
    0.1563
    """
    beta = _betas("beta", beta)
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


@guarded(domain="distance >= 0, sigma >= 0, dimension whole >= 1")
def band_usage(distance: Numbers, sigma: Numbers, dimension: Numbers) -> Numbers:
    r"""How far a point is from the centre of the band: :math:`\max(r, 1/r)` with :math:`r = \sqrt n\,\sigma/d(x)`; the band
    condition of an (eta, nu)-approximate projection is usage <= nu.

    Examples
    --------
    >>> float(band_usage(1.0, 0.25, 4))
    2.0
    """
    xp = array_namespace(distance)
    distance = distance + 0.0  # -0.0 becomes 0.0: it is divided by
    level = math.sqrt(dimension) * sigma + 0 * distance
    both = (level == 0) & (distance == 0)  # on K at sigma = 0 the condition 0 <= 0 <= 0 holds for every nu
    level, distance = xp.where(both, 1.0, level), xp.where(both, 1.0, distance)
    with np.errstate(divide="ignore"):
        return xp.maximum(level / distance, distance / level)


# ------------------------------------------------------------------------- Sections 4 and 5, Appendix A: DDIM and its kin


@statement(
    paper="projection",
    ref="Thm 4.1",
    title="DDIM with the exact projection",
    kind="equality",
    text="recalled",
    domain="sigma >= 0",
)
def exact_projection_path(start: Array, projection: Array, sigma: Array) -> Array:
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

    Examples
    --------
    >>> exact_projection_path(np.array([[4.0, 1.0]]), np.array([[0.0, 1.0]]), sigma=np.array([2.0, 1.0, 0.0]))[:, 0]
    array([[4., 1.],
           [2., 1.],
           [0., 1.]])
    >>> law, grid = ed.PointCloud([[0.0, 1.0]]), ed.Grid(np.ones(3), [2.0, 1.0, 0.0])  # a single point
    >>> np.stack([x[0] for x in ed.samplers.ddim(law, grid, np.array([[4.0, 1.0]]))])
    array([[4., 1.],
           [2., 1.],
           [0., 1.]])
    """
    sigma = _levels(sigma)
    ratio = (sigma / sigma[0]).reshape(len(sigma), -1, 1)
    return projection + ratio * (start - projection)


@statement(
    paper="projection",
    ref="Thm 4.2, a posteriori",
    title="Distance sandwich from measured errors",
    kind="tight",
    text="derived",
    domain="distance >= 0, 0 <= beta <= 1, eta >= 0",
)
def a_posteriori_sandwich(distance: Numbers, beta: Array, eta: Array) -> tuple[Array, Array]:
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

    Examples
    --------
    >>> low, high = a_posteriori_sandwich(1.0, np.array([0.5, 0.5]), np.array([0.0, 0.2]))
    >>> low.round(4), high.round(4)
    (array([0.5, 0.2]), array([0.5, 0.3]))
    """
    beta, eta = _betas("beta", beta), np.asarray(eta, dtype=np.float64)
    if beta.ndim < eta.ndim:
        beta = beta[:, np.newaxis]
    elif eta.ndim < beta.ndim:
        eta = eta[:, np.newaxis]
    lower = np.cumprod(np.maximum(1 - beta * (1 + eta), 0), axis=0)
    upper = np.cumprod(1 + beta * (eta - 1), axis=0)
    return distance * lower, distance * upper


@statement(
    paper="projection",
    ref="Thm 4.3, optimality",
    title="The log-linear schedule is optimal",
    kind="tight",
    text="derived",
    domain="0 < eta < 1, 1 < nu < inf, N integer >= 1",
)
def best_admissible_products(eta: Numbers, nu: Numbers, N: int) -> tuple[Numbers, Numbers]:
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

    Examples
    --------
    >>> ratio, guarantee = best_admissible_products(0.1, 2.0, N=10)
    >>> round(ratio, 4), round(guarantee, 4)
    (0.0059, 0.0114)
    """
    beta = beta_star(eta, nu, N)
    return (1 - beta) ** N, (1 + beta * (eta - 1)) ** N


@statement(
    paper="projection",
    ref="Thm 4.4",
    title="Limits of the admissible log-linear schedule",
    kind="asymptotic",
    text="recalled",
    domain="eta number, 0 <= eta < 1, nu number >= 1",
)
def admissible_limits(eta: float, nu: float) -> tuple[float, float, float]:
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

    Proof: :math:`\log(1-\beta_*) = -\log(1 + c/\eta)`, and the two other factors likewise; expand in
    :math:`c = u - u^2/2 + O(u^3)`, :math:`u = L/N`, and multiply by :math:`N = L/u`.

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

    Examples
    --------
    >>> [round(value, 4) for value in admissible_limits(0.1, 2.0)]
    [0.001, 0.0005, 0.002]
    """
    if eta == 0:
        if nu == 1:
            fail("eta, nu", (eta, nu), "not both 0 and 1: every schedule is admissible")
        return 0.0, 0.0, 0.0
    log = math.log(nu)
    return math.exp(-log / eta), math.exp(-log * (1 + eta) / eta), math.exp(-log * (1 - eta) / eta)


@guarded(domain="eta number, 0 <= eta < 1, nu number >= 1, ratio number, 0 < ratio < 1", texts=("of",))
def smallest_steps(eta: float, nu: float, ratio: float, of: str = "distance") -> int:
    r"""Smallest number of steps N with which the admissible log-linear schedule is guaranteed to reach a ratio.

    The guarantee :math:`(1+\beta_*(N)(\eta-1))^N` of :func:`best_admissible_products`, or the ratio of noise levels
    :math:`(1-\beta_*(N))^N`, decreases with N to the limit of :func:`admissible_limits`; N is found by bisection.

    Parameters
    ----------
    eta, nu : numbers
        Relative projection error, width of the band.
    ratio : number in (0, 1)
        d(x_0)/d(x_N) to be guaranteed, or sigma_0/sigma_N to be reached.
    of : {"distance", "sigma"}

    Returns
    -------
    int

    Raises
    ------
    ValueError
        naming ratio where it is not above the limit, or nu = 1 with eta > 0: then no number of steps helps.

    Examples
    --------
    >>> smallest_steps(0.2, 2.0, 10 / 40, of="sigma"), smallest_steps(0.2, 2.0, 2.5 / 40, of="sigma")
    (2, 8)
    >>> smallest_steps(0.2, 2.0, 1 / 40, of="sigma")
    Traceback (most recent call last):
    ValueError: ratio: got 0.025; expected a number above 0.03125: no number of steps reaches less (eta 0.2, nu 2)
    """
    choice("of", of, ("distance", "sigma"))
    # no number of steps helps at nu = 1, or below the limit
    if eta > 0 and nu == 1:
        fail(
            "nu", nu, f"a number above 1: at eta = {eta:g} a band of width 1 admits no step, and no ratio below 1 is reached"
        )
    limit = 1.0 if nu == 1 else admissible_limits(eta, nu)[2 if of == "distance" else 0]
    if eta > 0 and ratio <= limit:
        fail("ratio", ratio, f"a number above {limit:.4g}: no number of steps reaches less (eta {eta:g}, nu {nu:g})")

    def reached(N: int) -> bool:
        step = float(beta_star(eta, nu, N))
        slope = 1.0 - eta if of == "distance" else 1.0
        return step * slope >= 1 or N * math.log1p(-step * slope) <= math.log(ratio)

    # double until the ratio is reached, then halve the interval
    high = 1
    while not reached(high):
        high *= 2
        if high > 2**40:
            fail(
                "ratio",
                ratio,
                f"a number farther above the limit {limit:.6g}, such as {1.001 * limit:.4g}: it takes more than 1e12 steps",
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


@guarded(domain="eta number, 0 < eta < 1, nu number >= 1")
def admissible_limit_rates(eta: float, nu: float) -> tuple[float, float, float]:
    r"""Coefficients k of :math:`k/N` in the logarithms of (ratio, lower, upper) of :func:`admissible_limits`, eta > 0.

    Examples
    --------
    >>> [round(k, 4) for k in admissible_limit_rates(0.5, 2.0)]
    [1.4414, 1.4414, 0.9609]
    """
    half = (math.log(nu) / eta) ** 2 / 2
    return half * (1 + eta), half * (1 + eta), half * (1 - eta) * (1 + 2 * eta)


@statement(
    paper="projection",
    ref="Sec 5 (weights)",
    title="Gradient estimation minimises a weighted norm",
    kind="equality",
    text="recalled",
    domain="a > 0, c > b**2 / a",
)
def gradient_estimation_gamma(a: Numbers, b: Numbers, c: Numbers) -> Numbers:
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

    Proof: half the gradient is :math:`(a+b)(e-\epsilon_t) + (b+c)(e-\epsilon_{t+1})`, and the form is convex, since
    :math:`a+2b+c > 0`.

    **Source.** Section 5 and Algorithm 2 (slides 19-20); the weighted norm is recalled, proved here.

    Returns
    -------
    number or array

    Examples
    --------
    >>> gradient_estimation_gamma(1.0, 0.5, 0.5)
    0.6
    """
    return (a + b) / (a + 2 * b + c)


@statement(
    paper="projection",
    ref="Sec 5 (errors)",
    title="Gradient estimation filters a geometric error",
    kind="equality",
    text="derived",
    domain="0 <= beta <= 1, q number != 0, gamma number",
)
def gradient_estimation_filter(beta: Array, q: float, gamma: float = 2.0) -> float:
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

    Proof: a step moves x by :math:`-\sigma_t\beta_t` times the prediction used, which is
    :math:`\gamma\epsilon_t + (1-\gamma)\epsilon_{t+1}` for t < N and :math:`\epsilon_N` for t = N; sum.

    **Source.** derived. The paper argues for gamma = 2 from experiments; this says for which errors it can help.

    Parameters
    ----------
    beta : (N,) relative steps, noisy to clean
    q, gamma : numbers

    Returns
    -------
    float
        F; at gamma = 1 that of DDIM.

    Examples
    --------
    >>> [gradient_estimation_filter([0.5, 0.5], q=-1.0, gamma=gamma) for gamma in (1.0, 2.0)]
    [0.25, -0.25]
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
    domain="gamma number, N integer >= 1, sigma_min number > 0, sigma_max number >= sigma_min, variance > 0",
)
def gradient_estimation_gaussian_error(
    gamma: float, N: int, sigma_max: float, sigma_min: float, variance: float = 1.0
) -> float:
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

    Examples
    --------
    >>> plain, best, paper = (gradient_estimation_gaussian_error(gamma, 20, 10.0, 0.1) for gamma in (1.0, 1.5, 2.0))
    >>> round(plain, 4), best, round(paper, 4)
    (-0.0564, 0.0, 0.0564)
    """
    spread = variance / (variance + sigma_min**2) - variance / (variance + sigma_max**2)
    return (gamma - 1.5) * math.log(sigma_max / sigma_min) / N * spread / 2


@statement(
    paper="projection",
    ref="App A (DDIM)",
    title="DDIM in (x, sigma) coordinates",
    kind="equality",
    text="source",
    domain="sigma > 0, 0 <= sigma_next <= sigma",
)
def ddim_coordinates(x: Array, eps: Array, sigma: Numbers, sigma_next: Numbers) -> Array:
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

    Examples
    --------
    >>> ddim_coordinates(np.array([3.0]), np.array([1.0]), sigma=2.0, sigma_next=1.0)
    array([2.])
    """
    return x + (sigma_next - sigma) * eps


@statement(
    paper="projection",
    ref="App A (DDPM)",
    title="DDPM in (x, sigma) coordinates",
    kind="equality",
    text="source",
    domain="sigma > 0, 0 <= sigma_next <= sigma, 0 <= mu < 1",
)
def ddpm_coordinates(sigma: Numbers, sigma_next: Numbers, mu: Numbers = 0.5) -> tuple[Numbers, Numbers]:
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

    Raises
    ------
    ValueError
        naming mu (outside [0, 1)).

    Examples
    --------
    >>> target, variance = ddpm_coordinates(2.0, 1.0)
    >>> round(target, 12), round(variance, 12), ddpm_coordinates(2.0, 1.0, mu=0.0)
    (0.5, 0.75, (1.0, 0.0))
    """
    target = (sigma_next / sigma**mu) ** (1 / (1 - mu))
    return target, sigma_next**2 - target**2


@statement(
    paper="projection",
    ref="App A (invariant)",
    title="DDPM on a subspace: the distance",
    kind="equality",
    text="derived",
    domain="sigma >= 0, codimension whole >= 0, start >= 0, 0 <= mu < 1",
)
def ddpm_subspace_distance(sigma: Array, codimension: Numbers, start: Numbers | None = None, mu: Numbers = 0.5) -> Array:
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

    **Source.** derived.

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

    Examples
    --------
    >>> ddpm_subspace_distance(np.array([2.0, 1.0, 0.0]), codimension=3)
    array([12.,  3.,  0.])
    >>> ddpm_subspace_distance(np.array([2.0, 1.0, 0.0]), codimension=3, start=28.0)
    array([28.,  4.,  0.])
    """
    sigma = _levels(sigma)
    invariant = codimension * sigma**2
    start = invariant[0] if start is None else start
    return invariant + (sigma / sigma[0]) ** (2 / (1 - mu)) * (start - invariant[0])


# ------------------------------------------------- geometry of the distance, oracle and ideal denoisers (Sections 2 and 3)


@statement(paper="projection", ref="Prop 2.1", title="Gradient of the distance to a closed set", kind="equality", nan=True)
def distance_gradient(x: Array, projection: Array) -> tuple[Array, Array]:
    r"""Gradients of f = d^2/2 and of d.

    **Hypotheses.** K closed, p(x) the only nearest point of x; for the gradient of d also x not in K.

    **Conclusion (equality).** p(x) is unique for almost every x, and where it is

    .. math:: \nabla f(x) = d(x)\,\nabla d(x) = x - p(x), \qquad |\nabla d(x)| = 1 .

    Proof: :math:`g(x) = |x|^2/2 - f(x) = \sup_{y\in K}(\langle x,y\rangle - |y|^2/2)` is convex and finite; by Danskin its
    subdifferential at x is the convex hull of the nearest points; a convex function is differentiable almost everywhere, and
    exactly where its subdifferential is one point, here p(x). Off K, :math:`d = \sqrt{2f}`. On K, grad f = 0, and grad d
    need not exist (it does, and is 0, in the interior of K).

    **Source.** Proposition 2.1. "Almost every" is meant in Lebesgue measure: on a half-integer grid over an integer lattice
    most points are ties.

    Parameters
    ----------
    x, projection : (n, d) arrays

    Returns
    -------
    (grad_f, grad_d) : two (n, d) arrays
        rows of grad_d are NaN where x = p(x).

    Examples
    --------
    >>> grad_f, grad_d = distance_gradient(np.array([[3.0, 4.0]]), np.zeros((1, 2)))
    >>> grad_f, grad_d
    (array([[3., 4.]]), array([[0.6, 0.8]]))
    """
    xp = array_namespace(x, projection)
    offset = x - projection
    distance = xp.sqrt(xp.sum(offset * offset, axis=1, keepdims=True))
    return offset, xp.where(distance > 0, offset / distance, math.nan)


@statement(
    paper="projection",
    ref="Sec. 5",
    title="The projection is constant on the segment to it",
    kind="equality",
    domain="0 < theta <= 1",
)
def segment_invariance(x: Array, projection: Array, theta: Numbers) -> tuple[Array, Array]:
    r"""Distance, point and gradient on the segment from x to its projection.

    **Hypotheses.** K closed, p(x) a nearest point of x, :math:`y = p(x) + \theta\,(x - p(x))` with
    :math:`0 < \theta < 1`, or :math:`\theta = 1` and p(x) unique.

    **Conclusion (equality).**

    .. math:: p(y) = p(x) \text{ (unique)}, \qquad d(y) = \theta\, d(x), \qquad
              \nabla d(y) = \frac{x - p(x)}{d(x)} \quad (x \notin K),

    which is :math:`\nabla d(x)` where p(x) is the only nearest point of x.

    Proof: for q in K other than p, :math:`|y-q| \ge |x-q| - |x-y| \ge \theta\, d(x) = |y-p|`; equality in the triangle
    inequality puts q on the line through x and y at distance d(x) from x on the side of y, and that point is p.
    Neither :math:`\theta > 1` (another point may be nearer) nor :math:`\theta < 0` (past p) is covered.

    **Source.** slide 19 and Section 5, where it justifies gradient estimation; proved here.

    Returns
    -------
    (y, distance) : (n, d) and (n,) arrays
        the point at ``theta`` and its distance to K.

    Examples
    --------
    >>> y, distance = segment_invariance(np.array([[3.0, 4.0]]), np.zeros((1, 2)), theta=0.5)
    >>> y, distance
    (array([[1.5, 2. ]]), array([2.5]))
    """
    xp = array_namespace(x, projection)
    offset = x - projection
    return projection + theta * offset, theta * xp.sqrt(xp.sum(offset * offset, axis=1))


@guarded(domain="distance >= 0")
def relative_error(estimate: Array, projection: Array, distance: Numbers) -> Array:
    r""":math:`\eta(x,\sigma) = |\hat x - p(x)| / d(x)`, the left side of Definition 3.1 in units of d; (n,) array.

    Examples
    --------
    >>> relative_error(np.array([[3.0, 1.0]]), np.array([[3.0, 0.0]]), distance=np.array([4.0]))
    array([0.25])
    """
    xp = array_namespace(estimate, projection, distance)
    offset = estimate - projection
    return xp.sqrt(xp.sum(offset * offset, axis=1)) / distance


@guarded(domain="distance >= 0, sigma >= 0, dimension whole >= 1, nu >= 1, rtol >= 0")
def band_ok(distance: Numbers, sigma: Numbers, dimension: Numbers, nu: Numbers, rtol: Numbers = 0.0) -> bool | np.ndarray:
    r"""Whether :math:`d/\nu \le \sqrt n\,\sigma \le \nu\,d`: only there does Definition 3.1 ask for anything; (n,) booleans.

    ``dimension`` is the ambient n; ``rtol`` an allowance for rounding.

    Examples
    --------
    >>> band_ok(np.array([1.0, 3.0]), sigma=0.5, dimension=4, nu=2.0)
    array([ True, False])
    """
    return band_usage(distance, sigma, dimension) <= nu * (1 + rtol)


@guarded(domain="distance >= 0, rtol >= 0")
def projection_is_unique(gap: Numbers, distance: Numbers, rtol: Numbers = 0.0) -> bool | np.ndarray:
    """Whether the second nearest point is farther than the nearest by more than ``rtol * distance``; (n,) booleans.

    ``gap`` is the difference of the two distances (``PointCloud.gap``). Definition 3.1 excludes the points where it is 0.

    Examples
    --------
    >>> projection_is_unique(np.array([0.0, 0.1]), distance=np.array([1.0, 1.0]))
    array([False,  True])
    """
    return gap > rtol * distance


@statement(
    paper="projection",
    ref="Def 3.1",
    title="No continuous denoiser is an approximate projection of a finite set",
    kind="tight",
    text="derived",
    domain="separation >= 0, distance > 0",
)
def continuity_obstruction(separation: Numbers, distance: Numbers) -> Numbers:
    r"""Smallest eta of Definition 3.1 that a continuous denoiser can have, from one tie.

    **Hypotheses.** :math:`\hat x(x,\sigma)` continuous in x and an :math:`(\eta,\nu)`-approximate projection in the sense of
    Definition 3.1: :math:`|\hat x(x,\sigma) - p(x)| \le \eta\, d(x)` for **all** x with a unique projection and all sigma
    with :math:`d(x)/\nu \le \sqrt n\,\sigma \le \nu\, d(x)` (for nu = 1 continuous in (x, sigma)). x* has two nearest points
    p1 and p2, at distance D, so that :math:`|p_1 - p_2| \le 2D`.

    **Conclusion (lower bound on eta, attained as a limit).**

    .. math:: \eta \;\ge\; \frac{|p_1 - p_2|}{2D}

    and for every finite K with at least two points :math:`\eta \ge 1`: take for x* the middle of a closest pair.

    Proof: p_i is the only projection of the points of the open segment from x* to p_i, so continuity gives
    :math:`|\hat x(x^*) - p_i| \le \eta D` for i = 1, 2; add the two. For the middle of a closest pair, a third point q in
    the closed ball with diameter p1 p2 has :math:`|q-p_1|^2 + |q-p_2|^2 \le |p_1-p_2|^2`, so it would be closer to one of
    them; hence p1 and p2 are the nearest points and :math:`D = |p_1-p_2|/2`. The same holds at the centre of a sphere.

    **Consequence.** The ideal denoiser of a finite data set is never an :math:`(\eta,\nu)`-approximate projection with
    eta < 1. Theorem 4.2 needs the inequality at the visited points only; there it is checked. Denoisers that do satisfy
    Definition 3.1: discontinuous ones on any K, and the projection itself on convex K.

    **Source.** Definition 3.1 is the authors' (blog, slides); the obstruction is derived here.

    Returns
    -------
    number or array
        lower bound of eta.

    Examples
    --------
    >>> continuity_obstruction(2.0, 1.0)
    1.0
    """
    # rounding: at the middle of p1 and p2 both sides are equal, and distances far from the origin have lost digits
    if np.any(to_numpy(separation > (2 + 1e-6) * distance)):
        fail("separation", separation, f"at most twice the distance, by the triangle inequality; distance is {distance!r}")
    return separation / (2 * distance)


@statement(
    paper="projection",
    ref="Lemma 3.1",
    title="A normal offset shorter than the reach projects back",
    kind="tight",
    text="source",
    nan=True,
    domain="reach > 0",
)
def normal_offset(base: Array, normal: Array, reach: Numbers) -> tuple[Array, Array]:
    r"""Projection of x0 + v for a normal vector v.

    **Hypotheses.** K closed with :math:`\tau = \mathrm{reach}(K) > 0`, :math:`x_0 \in K`, v in the normal cone of K at x0
    (for a manifold: orthogonal to the tangent space), :math:`|v| < \tau`.

    **Conclusion (equality; the reach is the largest such constant).**

    .. math:: p(x_0 + v) = x_0 \ \text{(unique)}, \qquad d(x_0 + v) = |v| .

    **Source.** Lemma 3.1, which the paper takes from Federer, *Curvature measures* (1959), Theorem 4.8(12). Reach of a
    sphere: its radius; of a product of circles: the smallest radius; of a finite set: half the smallest distance between two
    points; of a convex set: infinity.

    Returns
    -------
    (projection, distance) : (n, d) and (n,) arrays
        NaN in the rows with :math:`|v| \ge \tau`, about which the lemma says nothing.

    Examples
    --------
    >>> normal_offset(np.array([[1.0, 0.0]]), np.array([[0.5, 0.0]]), reach=1.0)
    (array([[1., 0.]]), array([0.5]))
    >>> ed.Sphere(1.0, 2).project([[1.5, 0.0]])
    array([[1., 0.]])
    """
    base, normal = np.asarray(base, dtype=np.float64), np.asarray(normal, dtype=np.float64)
    size = np.linalg.norm(normal, axis=1)
    covered = size < reach
    return np.where(covered[:, None], base, math.nan), np.where(covered, size, math.nan)


@statement(
    paper="projection",
    ref="Prop 3.1, formal",
    title="Oracle denoising, deterministic: noise of known tangent and normal parts",
    kind="tight",
    text="derived",
    domain="sigma >= 0, tangent >= 0, normal >= 0, reach > 0",
)
def oracle_denoising(sigma: Numbers, tangent: Numbers, normal: Numbers, reach: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    r"""Error of the exact projection as a denoiser of x0 + sigma e.

    **Hypotheses.** K a closed manifold with reach tau, :math:`x_0 \in K`, :math:`e = e_T + e_N` split into its tangential
    and normal parts at x0, :math:`q := \sigma|e| < \tau`.

    **Conclusion (upper, and a two-sided bound of the distance; all attained).**

    .. math:: |p(x_0+\sigma e) - x_0| \le \frac{\tau}{\tau - q}\,\sigma|e_T|, \qquad
              \sigma(|e_N| - |e_T|) \le d(x_0+\sigma e) \le \sigma|e| .

    Proof: :math:`y = x_0+\sigma e_N` has :math:`p(y) = x_0`, :math:`d(y) = \sigma|e_N| \le q` (:func:`normal_offset`) and
    :math:`d(x_0+\sigma e) \le q`; by Federer 4.8(8) p is :math:`\tau/(\tau-q)`-Lipschitz on :math:`\{d \le q\}`. The
    distances: d is 1-Lipschitz and :math:`d(x) \le |x - x_0|`. Attained in the limit by the inward normal of a sphere with a
    small tangential part, and by purely normal noise.

    **Source.** formal version of Proposition 3.1 (slide 11 states it informally); proved here.

    Parameters
    ----------
    sigma, reach : numbers or (n,) arrays
    tangent, normal : numbers or (n,) arrays
        :math:`|e_T|` and :math:`|e_N|`.

    Returns
    -------
    (error, low, high) : numbers or arrays
        bound of the error (inf where q >= tau), lower and upper bound of the distance (0 and inf there).

    Examples
    --------
    >>> [round(float(v), 4) for v in oracle_denoising(sigma=0.5, tangent=0.3, normal=0.4, reach=1.0)]
    [0.2, 0.05, 0.25]
    """
    sigma, tangent, normal, reach = np.broadcast_arrays(*(np.asarray(v, float) for v in (sigma, tangent, normal, reach)))
    q = sigma * np.hypot(tangent, normal)
    error = np.where(q < reach, reach / (reach - q) * sigma * tangent, math.inf)
    low = np.where(q < reach, sigma * (normal - tangent), 0.0)
    return error[()], low[()], np.where(q < reach, q, math.inf)[()]


@statement(
    paper="projection",
    ref="Prop 3.1",
    title="Oracle denoising with high probability",
    kind="upper",
    text="derived",
    domain="sigma number > 0, ambient integer >= 1, dimension integer >= 0, dimension < ambient, t number > 0",
)
def oracle_denoising_whp(sigma: float, dimension: int, ambient: int, t: float) -> dict[str, Numbers]:
    r"""Error and distance of the exact projection under Gaussian noise, with their probabilities.

    **Hypotheses.** K a closed manifold of dimension d in R^n, :math:`x_0\in K`, :math:`e\sim N(0,I_n)`, t > 0 and
    :math:`\mathrm{reach}(K) \ge 2\sigma(\sqrt n + t)`.

    **Conclusion (upper, with probability).** With probability at least :math:`1-2e^{-t^2/2}`

    .. math:: |p(x_0+\sigma e) - x_0| \le 2\sigma(\sqrt d + t),

    and with probability at least :math:`1-3e^{-t^2/2}` also

    .. math:: \sigma(\sqrt{n-d-1} - \sqrt d - 2t) \;\le\; d(x_0+\sigma e) \;\le\; \sigma(\sqrt n + t).

    Proof: :func:`oracle_denoising` with :math:`q \le \tau/2` on :math:`\{|e| \le \sqrt n + t\}`, and the Gaussian norm
    :math:`P(|g_m| > \sqrt m + t) \le e^{-t^2/2}`, :math:`P(|g_m| < \sqrt{m-1} - t) \le e^{-t^2/2}` (concentration around the
    mean, :math:`m/\sqrt{m+1} \le E|g_m| \le \sqrt m`).

    The informal form, error :math:`\lesssim \sigma\sqrt d` and error/distance :math:`\lesssim \sqrt{d/n}` for n >> d, has
    the right rate with constant about 1.

    **Source.** Proposition 3.1, informal on slide 11; constants and probabilities derived here.

    Parameters
    ----------
    sigma, t : numbers > 0
    dimension, ambient : int, d < n

    Returns
    -------
    dict with ``reach`` (required), ``error``, ``error_probability``, ``low``, ``high``, ``all_probability``
        (probabilities clipped at 0)

    Examples
    --------
    >>> bound = oracle_denoising_whp(0.01, dimension=4, ambient=1000, t=4.0)
    >>> {name: round(value, 3) for name, value in bound.items()}
    {'reach': 0.712, 'error': 0.12, 'error_probability': 0.999, 'low': 0.215, 'high': 0.356, 'all_probability': 0.999}
    """
    d, n = dimension, ambient
    tail = math.exp(-0.5 * t * t)
    return {
        "reach": 2 * sigma * (math.sqrt(n) + t),
        "error": 2 * sigma * (math.sqrt(d) + t),
        "error_probability": max(0.0, 1 - 2 * tail),
        "low": sigma * (math.sqrt(n - d - 1) - math.sqrt(d) - 2 * t),
        "high": sigma * (math.sqrt(n) + t),
        "all_probability": max(0.0, 1 - 3 * tail),
    }


@statement(
    paper="projection",
    ref="Prop 3.2",
    title="High noise: any denoiser into the convex hull",
    kind="tight",
    text="recalled",
    domain="diameter >= 0, distance > 0",
)
def hull_denoiser_error(diameter: Numbers, distance: Numbers) -> Numbers:
    r"""Relative error of a denoiser whose values lie in the convex hull of K.

    **Hypotheses.** K bounded, :math:`\hat x(x,\sigma) \in \mathrm{conv}(K)`, d(x) > 0.

    **Conclusion (upper, tight).**

    .. math:: \frac{|\hat x - p(x)|}{d(x)} \le \frac{\mathrm{diam}(K)}{d(x)}
        \qquad\Bigl(\le \frac{\nu\,\mathrm{diam}(K)}{\sqrt n\,\sigma} \text{ if also } \sqrt n\,\sigma \le \nu\, d(x)\Bigr).

    Proof: the hull has the diameter of K, and both points lie in it. Attained by K = {0, 1}, x = 5, estimate 0. The ideal
    denoiser of any law on K is such a denoiser; a linear (Wiener) denoiser is not.

    **Source.** Proposition 3.2 (form recalled; proved here).

    Returns
    -------
    number or array
        bound of the relative error. With ``distance`` replaced by :math:`\sqrt n\,\sigma/\nu` it is the second form.

    Raises
    ------
    ValueError
        naming diameter (negative) or distance (not positive).

    Examples
    --------
    >>> hull_denoiser_error(2.0, 4.0)
    0.5
    """
    return diameter / distance


@guarded(domain="half_squares >= 0, sigma >= 0")
def half_smoothed_distance(half_squares: Array, sigma: Numbers) -> Array:
    r""":math:`F_\sigma(x) = -\sigma^2\log\sum_j e^{-|x-x_j|^2/2\sigma^2}` from half squared distances (n, m); (n,) array.

    F approximates **half** the squared distance, :math:`d^2/2`, and is it at sigma = 0. Shifted by the minimum, so that it
    never underflows.

    Examples
    --------
    >>> [half_smoothed_distance(np.array([[2.0, 2.0]]), sigma).round(4) for sigma in (1.0, 0.0)]
    [array([1.3069]), array([2.])]
    """
    h = np.asarray(half_squares, dtype=np.float64)
    low = np.min(h, axis=1, keepdims=True)
    sigma2 = np.asarray(sigma, dtype=np.float64) ** 2
    scale = np.where(sigma2 > 0, sigma2, 1.0)
    scale = scale[:, None] if sigma2.ndim else scale
    return low[:, 0] - sigma2 * np.log(np.sum(np.exp(-(h - low) / scale), axis=1))


@statement(paper="projection", ref="Prop 3.3", title="Ideal denoiser = gradient of a smoothed distance", kind="refuted")
def smoothed_distance_gradient(x: Array, denoised: Array) -> Array:
    r"""Gradient of the half smoothed distance F.

    **Hypotheses.** K finite with uniform weights, s > 0, E[x0 | x] the ideal denoiser (conditional mean under x = x0 + s z),
    :math:`\varepsilon^*(x,s) = (x - E[x_0\mid x])/s`, and

    .. math:: F_s(x) := -s^2 \log\sum_{x_0\in K} e^{-|x-x_0|^2/2s^2} \qquad\text{(approximates } d(x)^2/2).

    **Conclusion (equality, corrected form).**

    .. math:: \nabla F_s(x) = x - E[x_0 \mid x] = s\,\varepsilon^*(x,s), \qquad
              \nabla^2 F_s(x) = I - \mathrm{Cov}[x_0\mid x]/s^2 \preceq I ,

    so a DDIM step with the ideal denoiser is :math:`x_{t-1} = x_t - \beta_t\nabla F_{\sigma_t}(x_t)`.

    **Refuted as printed in the authors' blog, slides (7 to 9) and poster:** :math:`\mathrm{dist}^2_K(x,s) := F_s(x)`
    together with :math:`\tfrac12\nabla_x\mathrm{dist}^2_K(x,s) = s\,\varepsilon^*(x,s)`. The two differ by a factor 2:
    either the prefactor is :math:`-2s^2`, or the factor 1/2 has to go. (Proposition 3.3 itself was not at hand.)

    **Source.** blog, slides and poster of Proposition 3.3; correction proved here; F is :func:`half_smoothed_distance`.

    Parameters
    ----------
    x, denoised : (n, d) arrays

    Returns
    -------
    (n, d) array
        gradient of F.

    Examples
    --------
    >>> law, x, h = ed.PointCloud([[-1.0], [1.0]]), np.array([[0.5]]), 1e-5
    >>> smoothed_distance_gradient(x, law.noised(1.0, 1.0).denoise(x)).round(4)
    array([[0.0379]])
    >>> F = half_smoothed_distance((np.array([[0.5 - h], [0.5 + h]]) - law.points.T) ** 2 / 2, sigma=1.0)
    >>> round(float((F[1] - F[0]) / (2 * h)), 4)  # the same, by differences
    0.0379
    """
    return x - denoised


@guarded(domain="sigma > 0")
def smoothed_distance_hessian(covariance: Array, sigma: Numbers) -> Array:
    r"""Hessian of F, :math:`I - \mathrm{Cov}[x_0\mid x]/\sigma^2`, from the (n, d, d) posterior covariances; sigma a number
    or one per row.

    Examples
    --------
    >>> smoothed_distance_hessian(np.array([[[0.5]]]), sigma=1.0)
    array([[[0.5]]])
    """
    xp = array_namespace(covariance)
    sigma = xp.reshape(xp.asarray(sigma, dtype=covariance.dtype), (-1, 1, 1))
    return xp.eye(covariance.shape[-1], dtype=covariance.dtype) - covariance / sigma**2


@statement(
    paper="projection",
    ref="Prop 3.3, sandwich",
    title="Smoothed distance between two copies of the distance",
    kind="tight",
    text="derived",
    domain="distance >= 0, sigma >= 0, count whole >= 1",
)
def smoothed_distance_sandwich(distance: Numbers, sigma: Numbers, count: Numbers) -> tuple[Array, Array]:
    r"""The half smoothed distance F against half the squared distance.

    **Hypotheses.** K finite with ``count`` points, F as in :func:`smoothed_distance_gradient`.

    **Conclusion (two-sided, tight).**

    .. math:: \tfrac12 d(x)^2 - s^2\log|K| \;\le\; F_s(x) \;\le\; \tfrac12 d(x)^2 .

    Proof: the largest of the |K| terms of the sum is :math:`e^{-d^2/2s^2}`. Equality on the left for equidistant atoms at
    every s, and as s grows; on the right as s goes to 0 (and for one point).

    **Source.** derived; the standard bounds of log-sum-exp.

    Returns
    -------
    (lower, upper) : arrays like ``distance``

    Examples
    --------
    >>> low, high = smoothed_distance_sandwich(2.0, sigma=1.0, count=2)
    >>> round(low, 4), high
    (1.3069, 2.0)
    """
    half = 0.5 * distance**2
    return half - sigma**2 * math.log(count), half


@guarded(domain="distances >= 0, to_projection >= 0, alpha >= 1, eta >= 0")
def near_set_error(distances: Array, to_projection: Array, alpha: Numbers, eta: Numbers) -> Array:
    r"""Right-hand side of Proposition 3.4: :math:`\eta\, d + C_{x,\alpha}`, C the largest :math:`|x_0 - p|` over atoms with
    :math:`|x - x_0| \le \alpha d`.

    Parameters
    ----------
    distances, to_projection : (n, m) arrays
        from x and from p(x) to every atom.
    alpha, eta : numbers or (n,) arrays

    Examples
    --------
    >>> near_set_error(np.array([[1.0, 1.5, 3.0]]), np.array([[0.0, 0.4, 2.0]]), alpha=2.0, eta=0.1)
    array([0.5])
    """
    d = np.min(distances, axis=1)
    near = distances <= (np.asarray(alpha) * d)[:, None]
    return eta * d + np.max(np.where(near, to_projection, 0.0), axis=1)


def _near_set_terms(distance, sigma, count, eta):
    distance, sigma, count, eta = (np.asarray(v, dtype=np.float64) for v in (distance, sigma, count, eta))
    return 2 * (sigma / distance) ** 2, np.log(count) - np.log(eta)  # the quotient may overflow


@statement(
    paper="projection",
    ref="Prop 3.4",
    title="Ideal denoiser against the projection",
    kind="upper",
    text="recalled",
    domain="distance > 0, sigma >= 0, count whole >= 1, 0 < eta <= count",
)
def near_set_radius(distance: Numbers, sigma: Numbers, count: Numbers, eta: Numbers) -> Numbers:
    r"""Relative radius alpha of the near set.

    **Hypotheses.** K finite with ``count`` = |K| points and uniform weights, p(x) unique, :math:`d = d(x) > 0`,
    :math:`0 < \eta \le |K|`; :math:`N_\alpha = \{x_0\in K : |x-x_0|\le\alpha d\}`,
    :math:`C_{x,\alpha} = \max_{x_0\in N_\alpha}|x_0 - p(x)|`.

    **Conclusion (upper).**

    .. math:: \alpha \ge 1 + \frac{2\sigma^2}{d^2}\Bigl(\frac1e + \log\frac{|K|}{\eta}\Bigr) \quad\Longrightarrow\quad
              |\hat x^*(x,\sigma) - p(x)| \le \eta\, d + C_{x,\alpha} .

    Proof: an atom at distance r has weight at most :math:`e^{-(r^2-d^2)/2\sigma^2}` and :math:`|x_0-p| \le r + d`. With
    :math:`u = (r+d)/d \ge 2` and :math:`L = \log(|K|/\eta) \ge 0` the product is at most :math:`\eta d/|K|` as soon as
    :math:`\log u + L \le (r-d)\,u\,d/2\sigma^2`; use :math:`\log u \le u/e` and :math:`L \le uL`. Sum over the far atoms;
    the near ones contribute at most C.

    Not to be read as "error <= eta d": with two nearly tied atoms C is their distance.

    **Source.** Proposition 3.4 (recalled; proved here). See :func:`near_set_radius_half_log` for a smaller radius.

    Returns
    -------
    number or array
        the smallest alpha of the statement.

    Examples
    --------
    >>> round(float(near_set_radius(1.0, 0.1, 10, 0.2)), 4)
    1.0856
    """
    scale, L = _near_set_terms(distance, sigma, count, eta)
    return 1 + scale * (1 / math.e + L)


@statement(
    paper="projection",
    ref="Prop 3.4, half log",
    title="Ideal denoiser against the projection, half the logarithm",
    kind="upper",
    text="derived",
    domain="distance > 0, sigma >= 0, count whole >= 1, 0 < eta <= count",
)
def near_set_radius_half_log(distance: Numbers, sigma: Numbers, count: Numbers, eta: Numbers) -> Numbers:
    r"""Proposition 3.4 with half the logarithm.

    **Hypotheses and conclusion.** Those of :func:`near_set_radius`, with

    .. math:: \alpha \ge 1 + \frac{2\sigma^2}{d^2}\Bigl(\frac1e + \frac12\log\frac{|K|}{\eta}\Bigr).

    Proof: in the proof there, :math:`u \ge 2` gives :math:`L \le uL/2`.

    How far from the truth: as sigma/d goes to 0, with |K| large and eta small, m - 1 atoms just outside the radius opposite
    to p reach :math:`2e^{-2/e} = 0.958` of the bound (:math:`\log u \le u/e` is used at u = 2), against
    :math:`2e^{-2/e}\,\eta/|K|` for the radius of :func:`near_set_radius`.

    **Source.** derived.

    Returns
    -------
    number or array
        the smallest alpha of the statement.

    Examples
    --------
    >>> round(float(near_set_radius_half_log(1.0, sigma=0.1, count=100, eta=0.1)), 4)
    1.0764
    """
    scale, L = _near_set_terms(distance, sigma, count, eta)
    return 1 + scale * (1 / math.e + L / 2)


@statement(
    paper="projection",
    ref="Prop 3.4, exact root",
    title="Ideal denoiser against the projection, radius as a root",
    kind="tight",
    text="derived",
    domain="distance > 0, sigma >= 0, count whole >= 1, 0 < eta <= count",
)
def near_set_radius_exact(distance: Numbers, sigma: Numbers, count: Numbers, eta: Numbers) -> Numbers:
    r"""The smallest radius that the term-by-term proof of Proposition 3.4 allows.

    **Hypotheses and conclusion.** Those of :func:`near_set_radius`, with alpha at least the root in :math:`[1, \infty)` of

    .. math:: (\alpha^2 - 1)\,\frac{d^2}{2\sigma^2} = \log(\alpha+1) + \log\frac{|K|}{\eta} .

    The left side is convex and 0 at 1, the right side concave and positive there: one root, and the inequality holds beyond
    it. Attained in the limit |K| large, eta small by atoms just outside the radius opposite to p.

    **Source.** derived.

    Returns
    -------
    number or array
        the root, by Newton's method, which goes down to it (after the first step), since the difference of the sides is
        convex, and grows at the start.

    Examples
    --------
    >>> round(float(near_set_radius_exact(1.0, sigma=0.1, count=100, eta=0.1)), 4)
    1.0737
    """
    scale, L = _near_set_terms(distance, sigma, count, eta)
    alpha = np.sqrt(1 + scale * (1 + L))
    scale = np.where(scale > 0, scale, np.finfo(np.float64).tiny)  # sigma = 0: the root is 1
    for _ in range(10):  # 9 are enough for every scale and L up to 700
        alpha = alpha - ((alpha**2 - 1) / scale - np.log1p(alpha) - L) / (2 * alpha / scale - 1 / (1 + alpha))
    return alpha


@statement(
    paper="projection",
    ref="Thm 4.2, W2 form",
    title="W2 distance to the laws on a closed set",
    kind="equality",
    text="derived",
    domain="distance >= 0, weights weights",
)
def squared_w2_to_laws_on_set(distance: Array, weights: Array | None = None) -> float:
    r"""Smallest W2 distance between the law of x and a law on K.

    **Hypotheses.** K closed, E|x|^2 finite.

    **Conclusion (equality).**

    .. math:: \min_{\mu(K) = 1} W_2^2(\mathrm{law}(x), \mu) = E\, d(x)^2 ,

    attained by the law of p(x). Proof: every coupling with a law on K costs at least E d(x)^2, and (x, p(x)) costs that.
    So Theorem 4.2 reads :math:`W_2(\mathrm{law}(x_0), \mathcal P(K)) \le \prod_i (1+\beta_i(\eta-1))\sqrt{E\, d(x_N)^2}`.

    It bounds the distance to the **support**, not to the data law: a sampler that collapses onto one atom has distance 0.

    **Source.** derived; the only W2 claim that Theorem 4.2 supports.

    Parameters
    ----------
    distance : (n,) array
        d at the atoms of the law of x.
    weights : (n,) array, optional
        their probabilities, equal when absent.

    Returns
    -------
    float
        E d^2.

    Examples
    --------
    >>> squared_w2_to_laws_on_set([1.0, 3.0]), squared_w2_to_laws_on_set([1.0, 3.0], weights=[0.75, 0.25])
    (5.0, 3.0)
    """
    square = np.asarray(distance, dtype=np.float64) ** 2
    if square.size == 0:
        fail("distance", distance, "at least one distance")
    return float(np.mean(square) if weights is None else np.sum(np.asarray(weights) * square))
