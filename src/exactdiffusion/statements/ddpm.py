r"""Ancestral sampling of any law with a second moment, in KL: no density, no Lipschitz constant.

Heat flow in the variance t: :math:`\pi_t` is the law of :math:`X+\sqrt t\,Z`, :math:`\Sigma_t` the covariance of X given
:math:`X+\sqrt tZ`, :math:`M(t)=E\operatorname{tr}\Sigma_t` the error of the posterior mean, which increases with t. The
sampler goes down the levels :math:`T=t_0>\dots>t_N=\delta` from N(0, T I) by

.. math:: Y_{n+1}=\tfrac{t_{n+1}}{t_n}Y_n+\bigl(1-\tfrac{t_{n+1}}{t_n}\bigr)E[X|Y_n]
          +\sqrt{t_{n+1}(t_n-t_{n+1})/t_n}\,Z_n ,

which is ``samplers.ddpm``, and :math:`t_n-t_{n+1}\le h\,t_n` for all n. The *denoising information* is

.. math:: D=\frac{M(T)}T+\int_\delta^T\frac{M(t)}{t^2}\,dt .

The theorem is in S. Chewi, *Log-Concave Sampling* (version of 2 August 2026, Theorem 12.3.2 and what follows it), of which
the statements were read; proofs and the sharper constants are ours.
"""

import math

import numpy as np

from .._core.typing import Array, Numbers
from .._core.validation import fail
from ._statement import statement

__all__ = [
    "ddpm_budget",
    "ddpm_kl",
    "ddpm_kl_sharp",
    "information_of_covering",
    "information_of_dimension",
    "information_of_entropy",
    "smoothing_kl",
]


@statement(
    paper="foundations",
    ref="Chewi, proof of Thm 12.3.2",
    title="Budget of ancestral sampling",
    kind="upper",
    text="derived",
    domain="initial number >= 0, errors >= 0, t > 0, integrals >= 0",
)
def ddpm_budget(initial: float, errors: Array, t: Array, integrals: Array) -> float:
    r"""KL of the output of ancestral sampling from the error of the posterior mean along the levels.

    **Hypotheses.** :math:`E|X|^2<\infty`, exact posterior mean.

    **Conclusion (upper).**

    .. math:: \mathrm{KL}(\pi_\delta|\mathrm{out})\le\mathrm{KL}(\pi_T|N(0,TI))
              +\tfrac12\sum_n\int_{t_{n+1}}^{t_n}\frac{M(t_n)-M(t)}{t^2}\,dt .

    Proof: on a step the sampler is the diffusion whose drift holds the posterior mean of the start of the step. By
    Girsanov's theorem the divergence of the paths is half the integral of :math:`E|m_t-m_{t_n}|^2/t^2`, m the posterior
    mean, which is a martingale in reverse time: :math:`E|m_t-m_{t_n}|^2=M(t_n)-M(t)`.

    **Source.** The step is in the proof of the cited theorem; derived here.

    Parameters
    ----------
    initial : number
        KL(pi_T | N(0, T I)), or 0 for an exact start.
    errors : (N,) array
        M at the start of each step.
    t : (N + 1,) array
        Decreasing levels, from T to delta.
    integrals : (N,) array
        The integral of M(t)/t^2 over each step.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        naming t, where its shape does not fit or it does not decrease.

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> ddpm.ddpm_budget(0.0, [0.5], [1.0, 0.5], [0.25])  # (0.5 (2 - 1) - 0.25) / 2
    0.125
    """
    errors, t, integrals = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (errors, t, integrals))
    if t.shape != (len(errors) + 1,) or integrals.shape != errors.shape or np.any(np.diff(t) >= 0):
        fail("t", t, f"decreasing levels of shape ({len(errors) + 1},) for errors of shape {errors.shape}")
    return float(initial + 0.5 * math.fsum(errors * (1 / t[1:] - 1 / t[:-1]) - integrals))


@statement(
    paper="foundations",
    ref="Chewi, Thm 12.3.2",
    title="Ancestral sampling in KL for any law with a second moment",
    kind="upper",
    text="source",
    domain="second_moment >= 0, T > 0, h >= 0, h <= 0.5, information >= 0",
)
def ddpm_kl(second_moment: Numbers, T: Numbers, h: Numbers, information: Numbers) -> Numbers:
    r"""Bound of the divergence of the output, with the constant of the book.

    **Hypotheses.** :math:`E|X|^2\le M_2`, steps :math:`t_n-t_{n+1}\le h\,t_n` with :math:`h\le\tfrac12`, start N(0, T I),
    exact posterior mean.

    **Conclusion (upper).**

    .. math:: \mathrm{KL}(\pi_\delta|\mathrm{out})\le\frac{M_2}{2T}+2hD .

    **Source.** The cited theorem, with score error 0. :func:`ddpm_kl_sharp` has a smaller constant and a proof.

    Parameters
    ----------
    second_moment : number
    T : number
        Variance of the start.
    h : number
        Largest relative step.
    information : number
        The denoising information D.

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> ddpm.ddpm_kl(1.0, 50.0, 0.25, 2.0)
    1.01
    """
    return second_moment / (2 * T) + 2 * h * information


@statement(
    paper="foundations",
    ref="Chewi, Thm 12.3.2, constant",
    title="Ancestral sampling in KL, smaller constant",
    kind="upper",
    text="derived",
    domain="second_moment >= 0, T > 0, h >= 0, h < 1, information >= 0",
)
def ddpm_kl_sharp(second_moment: Numbers, T: Numbers, h: Numbers, information: Numbers) -> Numbers:
    r"""Bound of the divergence of the output, a quarter of the book's for small steps.

    **Hypotheses.** As for :func:`ddpm_kl`, for any h < 1.

    **Conclusion (upper).**

    .. math:: \mathrm{KL}(\pi_\delta|\mathrm{out})\le\frac{M_2}{2T}+\frac{h}{2(1-h)}D .

    Proof: :math:`\mathrm{KL}(\pi_T|N(0,TI))\le M_2/(2T)` by convexity. In :func:`ddpm_budget` the integral of
    :math:`M(t_n)-M(t)` over a step is at most :math:`(M(t_n)-M(t_{n+1}))(1/t_{n+1}-1/t_n)
    \le h\,(M(t_n)-M(t_{n+1}))/t_{n+1}`, because M increases. With :math:`1/t_{n+1}\le1/((1-h)t_n)` the sum is at most
    :math:`\tfrac h{1-h}\int_\delta^T\tfrac{dM}t=\tfrac h{1-h}\bigl[\tfrac{M(T)}T-\tfrac{M(\delta)}\delta
    +\int\tfrac M{t^2}dt\bigr]\le\tfrac h{1-h}D`.

    **Source.** Derived here. The divergence itself is of the order :math:`h^2` on what is tried.

    Parameters
    ----------
    second_moment, T, h, information : numbers
        As for :func:`ddpm_kl`.

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> ddpm.ddpm_kl_sharp(0.0, 100.0, 0.5, 2.0)
    1.0
    """
    return second_moment / (2 * T) + h / (2 * (1 - h)) * information


@statement(
    paper="foundations",
    ref="Chewi, Eq. (12.3.3)",
    title="Denoising information from the dimension",
    kind="tight",
    text="source",
    domain="d integer >= 1, T number > 0, delta number > 0, delta <= T",
)
def information_of_dimension(d: int, T: float, delta: float) -> float:
    r"""Bound of the denoising information by the dimension and the range of the levels.

    **Hypotheses.** :math:`E|X|^2<\infty`, :math:`0<\delta\le T`.

    **Conclusion (tight).**

    .. math:: D\le d\,\bigl(1+\ln\tfrac T\delta\bigr),

    attained in the limit of a Gaussian of infinite variance. Proof: X + sqrt(t) Z is an estimate of X, so
    :math:`M(t)\le dt`.

    **Source.** The cited book; proof here.

    Parameters
    ----------
    d : int
    T, delta : numbers
        First and last variance.

    Returns
    -------
    float

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> ddpm.information_of_dimension(3, 2.0, 2.0)
    3.0
    """
    return d * (1 + math.log(T / delta))


@statement(
    paper="foundations",
    ref="Chewi, Eq. (12.3.5), constant",
    title="Denoising information from the mutual information",
    kind="tight",
    text="derived",
    domain="mutual_information >= 0",
)
def information_of_entropy(mutual_information: Numbers) -> Numbers:
    r"""Bound of the denoising information by the information between the law and its last level.

    **Hypotheses.** :math:`E|X|^2<\infty`.

    **Conclusion (tight).** With :math:`I_\delta=I(X;X+\sqrt\delta Z)`, which is the entropy of :math:`\pi_\delta` less the
    entropy of :math:`N(0,\delta I)`,

    .. math:: D\le2I_\delta ,

    with equality in the limit T to infinity. Proof: :math:`\tfrac{d}{dt}I_t=-M(t)/(2t^2)`, hence
    :math:`\int_\delta^TM/t^2=2(I_\delta-I_T)`, and :math:`2I_T=\int_T^\infty M/t^2\ge M(T)/T` because M increases.

    **Source.** The book has :math:`4I_\delta`; derived here.

    Parameters
    ----------
    mutual_information : number
        In nats.

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> ddpm.information_of_entropy(0.5)
    1.0
    """
    return 2 * mutual_information


@statement(
    paper="foundations",
    ref="Chewi, Eq. (12.3.6)",
    title="Mutual information from a covering number",
    kind="upper",
    text="source",
    domain="count number >= 1",
)
def information_of_covering(count: Numbers) -> Numbers:
    r"""Bound of the mutual information at level delta by the size of a covering.

    **Hypotheses.** The support of X is covered by ``count`` balls of radius :math:`\sqrt\delta`.

    **Conclusion (upper).**

    .. math:: I(X;X+\sqrt\delta Z)\le\ln(\mathrm{count})+\tfrac12 .

    Proof: let c(X) be a centre within :math:`\sqrt\delta` of X. Then
    :math:`I(X;X_\delta)\le I(c(X);X_\delta)+I(X;X_\delta|c(X))`. The first term is at most the entropy of c(X); the second
    at most :math:`E|X-c(X)|^2/(2\delta)\le\tfrac12`, the divergence of N(x, delta I) from N(c(x), delta I) in the mean.

    **Source.** The cited book; proof here.

    Parameters
    ----------
    count : number

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> float(ddpm.information_of_covering(1))
    0.5
    """
    return np.log(count) + 0.5


@statement(
    paper="foundations",
    ref="Chewi, Eq. (12.3.7), constant",
    title="Divergence of a smoothed law from a log-smooth one",
    kind="tight",
    text="derived",
    domain="beta >= 0, delta >= 0, d integer >= 1",
)
def smoothing_kl(beta: Numbers, delta: Numbers, d: int) -> Numbers:
    r"""Price of stopping early at the level delta, for a law with a smooth log density.

    **Hypotheses.** :math:`\nabla^2\ln\pi\ge-\beta I`, finite entropy.

    **Conclusion (tight).**

    .. math:: \mathrm{KL}(\pi_\delta|\pi)\le\tfrac12\beta\delta d ,

    attained by :math:`N(0,I/\beta)` in the limit of a large delta.

    Proof: noise raises the entropy, so
    :math:`\mathrm{KL}\le E\ln\pi(X)-E\ln\pi(X+\sqrt\delta Z)`; and
    :math:`\ln\pi(x+u)\ge\ln\pi(x)+\nabla\ln\pi(x)\cdot u-\tfrac\beta2|u|^2`, where the linear term has mean 0.

    **Source.** The book has :math:`(3\beta\delta d+\beta^2\delta^2d)/4`; derived here.

    Parameters
    ----------
    beta : number
        Bound of the negative curvature of the log density.
    delta : number
        Variance of the noise.
    d : int

    Returns
    -------
    number

    Examples
    --------
    >>> from exactdiffusion.statements import ddpm
    >>> ddpm.smoothing_kl(2.0, 0.1, 5)
    0.5
    """
    return 0.5 * beta * delta * d
