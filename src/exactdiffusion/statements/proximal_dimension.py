r"""How the number of proximal steps depends on the dimension: what the third derivative of the log density costs.

The announced rate :math:`d/\sqrt\varepsilon` of the backward scheme comes from one term, the squared gradient of the
Laplacian of :math:`l_t=\ln p_t`, which the operator norm H of :math:`D^3l_t` bounds by :math:`d^2H^2` at a point. The
statements of this module bound its mean instead. Notation as in :mod:`exactdiffusion.statements.proximal`; in addition

.. math:: A_t=\nabla^2l_t,\qquad V_t=\frac{\Delta p_t}{p_t}=\Delta l_t+|\nabla l_t|^2,\qquad
          \Phi_t=E_{p_t}V_t^2,\qquad \Gamma_t=E_{p_t}|\nabla\Delta l_t|^2 .

Along the heat flow :math:`\partial_\tau q=\tfrac12\Delta q` the score changes with velocity :math:`\tfrac12\nabla V`. All
statements are derived here; none is the paper's.
"""

import math

from .._core.typing import Numbers
from ._statement import statement

__all__ = [
    "backward_kl_dimension",
    "grad_laplacian_integral",
    "mean_grad_laplacian",
    "score_energy",
    "score_speed",
]


@statement(
    paper="proximal",
    ref="dimension",
    title="Mean of the gradient of the Laplacian",
    kind="upper",
    text="derived",
    domain="d integer >= 1, L number >= 0",
)
def mean_grad_laplacian(d: int, L: Numbers) -> Numbers:
    r"""Bound of the length of the mean of :math:`\nabla\Delta l`.

    **Hypotheses.** p = e^l has three continuous derivatives, :math:`|\nabla^2l|\le L`, and boundary terms vanish.

    **Conclusion (upper).**

    .. math:: |E_p\nabla\Delta l|\le\sqrt d\,L^{3/2} .

    Proof: for a unit vector u, :math:`u\cdot\nabla\Delta l=\mathrm{div}(Au)`, and by parts
    :math:`E\,\mathrm{div}(Au)=-E[Au\cdot\nabla l]`. With :math:`|Au|\le L` and
    :math:`E|\nabla l|^2=-E\Delta l\le dL` the Cauchy-Schwarz inequality gives :math:`L\sqrt{dL}`.

    **Source.** Derived here.

    Parameters
    ----------
    d : int
        Dimension.
    L : number
        Bound of the operator norm of the second derivative.

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import proximal_dimension
    >>> proximal_dimension.mean_grad_laplacian(4, 1.0)
    2.0
    """
    return math.sqrt(d) * L**1.5


@statement(
    paper="proximal",
    ref="dimension",
    title="Energy of the relative Laplacian of a density",
    kind="tight",
    text="derived",
    domain="d integer >= 1, L number >= 0",
)
def score_energy(d: int, L: Numbers) -> Numbers:
    r"""Bound of :math:`\Phi=E_p(\Delta l+|\nabla l|^2)^2`.

    **Hypotheses.** p = e^l has three continuous derivatives, :math:`|\nabla^2l|\le L`, and boundary terms vanish.

    **Conclusion (tight).**

    .. math:: \Phi=E|A|_F^2-E[\nabla l\cdot A\nabla l]\le2dL^2 ,

    with equality for :math:`N(0,I/L)`. Proof: :math:`E[fV]=\int f\Delta p=-E[\nabla f\cdot\nabla l]` with f = V gives
    :math:`\Phi=-E[\nabla\Delta l\cdot\nabla l]-2E[\nabla l\cdot A\nabla l]`, and by parts
    :math:`-E[\nabla\Delta l\cdot\nabla l]=E|A|_F^2+E[\nabla l\cdot A\nabla l]`. Then :math:`|A|_F^2\le dL^2` and
    :math:`-E[\nabla l\cdot A\nabla l]\le LE|\nabla l|^2=-LE\Delta l\le dL^2`.

    **Source.** Derived here.

    Parameters
    ----------
    d : int
        Dimension.
    L : number
        Bound of the operator norm of the second derivative.

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import proximal_dimension
    >>> proximal_dimension.score_energy(3, 2.0)
    24.0
    """
    return 2 * d * L**2


@statement(
    paper="proximal",
    ref="dimension",
    title="Squared speed of the score along the heat flow",
    kind="equality",
    text="derived",
    domain="start >= 0, end >= 0",
)
def score_speed(start: Numbers, end: Numbers) -> Numbers:
    r"""Integrated mean square of the velocity of the score, from the energies at both ends.

    **Hypotheses.** :math:`q_\tau` solves :math:`\partial_\tau q=\tfrac12\Delta q` on [a, b], with a positive smooth density
    at a whose second derivative of the logarithm is bounded.

    **Conclusion (equality).**

    .. math:: \frac{d}{d\tau}\Phi_\tau=-E_{q_\tau}|\nabla V_\tau|^2,\qquad\text{hence}\qquad
              \int_a^bE_{q_\tau}|\partial_\tau\nabla\ln q_\tau|^2\,d\tau=\tfrac14(\Phi_a-\Phi_b).

    With :func:`score_energy` the integral is at most :math:`\tfrac12dL^2`, however long the interval and whatever the third
    derivative is.

    Proof: :math:`w=\Delta q` solves the heat equation too, and :math:`\Phi=\int w^2/q`. For h = w/q = V and two solutions
    w, q of the heat equation, :math:`\partial_\tau h=\tfrac12\Delta h+\nabla\ln q\cdot\nabla h`, so that

    .. math:: \frac{d}{d\tau}\int qh^2=\int\tfrac12\Delta q\,h^2+E[h\Delta h+2h\,\nabla\ln q\cdot\nabla h]
              =E[|\nabla h|^2+h\Delta h]+E[h\Delta h+2h\,\nabla\ln q\cdot\nabla h]

    and by parts :math:`E[h\Delta h]=-E|\nabla h|^2-E[h\,\nabla\ln q\cdot\nabla h]`. The sum is :math:`-E|\nabla h|^2`.
    Finally :math:`\partial_\tau\ln q=\tfrac12V`.

    **Source.** Derived here. The dissipation of :math:`\int w^2/q` along the heat flow is classical.

    Parameters
    ----------
    start, end : numbers
        :math:`\Phi_a` and :math:`\Phi_b`.

    Returns
    -------
    number

    Examples
    --------
    The energy of N(0, S) is 2/S^2, and the velocity of its score is x/S^2:

    >>> from exactdiffusion.statements import proximal_dimension
    >>> proximal_dimension.score_speed(2.0, 0.5)  # from S = 1 to S = 2: the integral of 1/S^3
    0.375
    """
    return (start - end) / 4


@statement(
    paper="proximal",
    ref="dimension",
    title="Gradient of the Laplacian, integrated over the forward process",
    kind="upper",
    text="derived",
    domain="d integer >= 1, L number >= 0, T number >= 0",
)
def grad_laplacian_integral(d: int, L: Numbers, T: Numbers) -> Numbers:
    r"""Bound of :math:`\int_0^T\Gamma_t\,dt` along the forward process.

    **Hypotheses.** :math:`|\nabla^2l_t|\le L` for t in [0, T].

    **Conclusion (upper).**

    .. math:: \int_0^TE_{p_t}|\nabla\Delta l_t|^2\,dt\;\le\;4dL^2(1+2T)+8dL^3T .

    It is linear in d and knows no bound of :math:`D^3l_t`. At a *fixed* time no bound :math:`C(dL^3+dH^2)` holds: for plane
    waves of wave number k on a Gaussian (``theory/proximal/thm_grad_laplacian.py``) :math:`\Gamma` is of the order
    :math:`d^2H^2`, up to the logarithm of d, while L stays bounded. The forward process smooths such waves within a time
    :math:`1/k^2`.

    Proof: :math:`\nabla\Delta l=\nabla V-2A\nabla l`, so :math:`\Gamma\le2W+8E|A\nabla l|^2\le2W+8dL^3` with
    :math:`W_t=E|\nabla V_t|^2`. In the variables :math:`y=e^{t/2}x`, :math:`\tau=e^t-1` the law follows the heat flow;
    there :math:`\Phi_t=e^{2t}\Phi^q_\tau` and :math:`W_t=e^{3t}E|\nabla V^q_\tau|^2`, so that :func:`score_speed` reads
    :math:`W_t=2\Phi_t-\tfrac d{dt}\Phi_t`, and :math:`\int_0^TW_t\,dt=\Phi_0-\Phi_T+2\int_0^T\Phi_t\,dt\le2dL^2(1+2T)` by
    :func:`score_energy`.

    **Source.** Derived here.

    Parameters
    ----------
    d : int
        Dimension.
    L : number
        Bound of the operator norm of the second derivative on [0, T].
    T : number
        Horizon, in the clock of the module.

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import proximal_dimension
    >>> proximal_dimension.grad_laplacian_integral(10, 1.0, 2.0)
    360.0
    """
    return 4 * d * L**2 * (1 + 2 * T) + 8 * d * L**3 * T


@statement(
    paper="proximal",
    ref="dimension",
    title="Marginal KL of the backward scheme with the square root of the dimension",
    kind="upper",
    text="derived",
    domain=(
        "N integer >= 1, L number >= 0, T number > 0, T <= 0.5 * N / (L + 0.5), d integer >= 1, second_moment number >= 0, "
        "H number >= 0, spread number >= 1, initial number >= 0"
    ),
)
def backward_kl_dimension(
    N: int, T: float, d: int, second_moment: Numbers, L: Numbers, H: Numbers, spread: Numbers, initial: Numbers = 0.0
) -> Numbers:
    r"""Bound of the budget of the backward scheme whose leading term is linear in the dimension.

    **Hypotheses.** Those of :func:`~exactdiffusion.statements.proximal.backward_kl` (H1 second moment :math:`M_2`, H2
    :math:`|\nabla^2l_t|\le L`, H3 :math:`|D^3l_t|\le H`, H4 :math:`g(L+\tfrac12)\le\tfrac12` and an exact proximal map), N
    equal steps g = T/N, and (H5) for :math:`t_{k-1}\le u\le t\le t_k`

    .. math:: E_{p_t}|\nabla\Delta l_u|^2\le R\,E_{p_u}|\nabla\Delta l_u|^2 :

    within one step, moving the law but not the function changes the mean by a factor R at most.

    **Conclusion (upper).** With :math:`B=L+\tfrac12`, :math:`D=\max(d,M_2)`,

    .. math:: \mathrm{KL}(p_0|q_0)\le\mathrm{KL}(p_T|q_T)
              +g^2\Bigl[\tfrac23TB^2\bigl(\tfrac{11}8D+\tfrac{37}4dL\bigr)+R\,d\bigl((3+\tfrac{16}3e^{(3+2L)g})L^2(1+2T)
              +\tfrac{50}3L^3T\bigr)\Bigr]+\tfrac43R\,g^3d^2H^2+\tfrac{16}5Tg^4B^2d^2H^2 .

    The leading term is linear in d and free of H, so that for fixed L, T and R

    .. math:: N=O\bigl(\sqrt{d/\varepsilon}+(dH)^{2/3}\varepsilon^{-1/3}+(dH)^{1/2}\varepsilon^{-1/4}\bigr),

    which is :math:`\sqrt d/\sqrt\varepsilon` for :math:`\varepsilon\le1/d` up to H: under (H5) the announced
    :math:`d/\sqrt\varepsilon` is not needed. Gaussians attain the power 1/2 of d. The step that fails without (H5) is
    the change from :math:`p_t` to :math:`p_u`: the density ratio of the two laws is bounded only for
    :math:`g=O(1/(dL))`.

    Proof: in the proof of :func:`~exactdiffusion.statements.proximal.backward_kl`, term (iii) holds
    :math:`\tfrac34R(g-s)\int\Gamma_u\,du` in place of its part with :math:`d^2H^2`, and in term (iv)
    :math:`T[J^{-1}]=\nabla\Delta l+T[J^{-1}-I]` with :math:`|J^{-1}-I|\le2sB`, so that it is at most
    :math:`2s^2R\,\Gamma_{k-1}+8s^4B^2d^2H^2`. Integration over the step gives :math:`\tfrac34Rg^2\int\Gamma
    +\tfrac43Rg^3\Gamma_{k-1}+\tfrac{16}5g^5B^2d^2H^2`. The integrals add up to :func:`grad_laplacian_integral`. For
    :math:`k\ge2`, :math:`\Gamma_{k-1}\le2W_{k-1}+8dL^3`, and W grows by a factor :math:`e^{(3+2L)g}` at most within a
    step (:math:`\tfrac d{d\tau}E|\nabla h|^2=-E|\nabla^2h|_F^2+2E[\nabla h\cdot A\nabla h]`, with h = V), hence
    :math:`gW_{k-1}\le e^{(3+2L)g}\int W` over the step below; for k = 1, :math:`\Gamma_0\le d^2H^2`.

    **Source.** Derived here.

    Parameters
    ----------
    N : int
        Number of equal steps.
    T : number
        Horizon.
    d : int
        Dimension.
    second_moment, L, H : numbers
        As in ``backward_kl``.
    spread : number
        The factor R of (H5).
    initial : number
        KL(p_T | q_T), 0 for an exact start.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        naming T, where the step condition fails.

    Examples
    --------
    Ten times as many dimensions cost ten times the divergence, not a hundred times:

    >>> from exactdiffusion.statements import proximal_dimension
    >>> small, large = (proximal_dimension.backward_kl_dimension(4000, 1.0, d, d, 1.0, 0.0, 1.0) for d in (10, 100))
    >>> round(large / small, 6)
    10.0
    """
    g, B, D = T / N, L + 0.5, max(float(d), second_moment)
    gradient = (3 + 16 / 3 * math.exp((3 + 2 * L) * g)) * L**2 * (1 + 2 * T) + 50 / 3 * L**3 * T
    leading = 2 / 3 * T * B**2 * (11 / 8 * D + 37 / 4 * d * L) + spread * d * gradient
    return initial + g**2 * leading + 4 / 3 * spread * g**3 * (d * H) ** 2 + 16 / 5 * T * g**4 * (B * d * H) ** 2
