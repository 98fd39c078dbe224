"""Textbook identities that every oracle of this package must satisfy."""

import numpy as np

from .._core.arrays import array_namespace
from .._core.typing import Array, Numbers
from .._core.validation import fail
from ._statement import statement

__all__ = ["ddim_gaussian_deviation", "tweedie_covariance", "tweedie_denoiser"]


@statement(
    paper="foundations",
    ref="Tweedie",
    title="Tweedie's formula",
    kind="equality",
    text="classical",
    domain="scale > 0, sigma > 0",
)
def tweedie_denoiser(x: Array, score: Array, scale: Numbers, sigma: Numbers) -> Array:
    r"""Posterior mean from the score of the noised law.

    **Hypotheses.** :math:`y = sX + \sigma Z` with :math:`Z \sim N(0, I)` independent of X, :math:`s > 0`,
    :math:`\sigma > 0`; q is the density of y.

    **Conclusion (equality).**

    .. math:: E[X \mid y] = \frac{y + \sigma^2 \nabla \log q(y)}{s}

    **Source.** Robbins (1956), Miyasawa (1961); Efron (2011). With s = 1 it is the variance-exploding form, with
    :math:`s = \sqrt{\bar\alpha}`, :math:`\sigma^2 = 1 - \bar\alpha` the variance-preserving one.

    Parameters
    ----------
    x, score : (n, d) arrays
    scale, sigma : numbers, or one per row

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> tweedie_denoiser(np.array([[2.0]]), score=np.array([[-1.0]]), scale=1.0, sigma=1.0)
    array([[1.]])
    """
    xp = array_namespace(x)
    scale, sigma = (xp.reshape(xp.asarray(v, dtype=x.dtype), (-1, 1)) for v in (scale, sigma))
    return (x + sigma**2 * score) / scale


@statement(
    paper="foundations",
    ref="Tweedie, second order",
    title="Second-order Tweedie formula",
    kind="equality",
    text="classical",
    domain="scale > 0, sigma > 0",
)
def tweedie_covariance(hessian: Array, scale: Numbers, sigma: Numbers) -> Array:
    r"""Posterior covariance from the Hessian of the log-density of the noised law.

    **Hypotheses.** As for :func:`tweedie_denoiser`.

    **Conclusion (equality).**

    .. math:: \mathrm{Cov}[X \mid y] = \frac{\sigma^2}{s^2}\bigl(I + \sigma^2 \nabla^2 \log q(y)\bigr)

    and therefore :math:`\nabla_y E[X \mid y] = (s/\sigma^2)\,\mathrm{Cov}[X \mid y]`.

    **Source.** classical (differentiate Tweedie's formula once more).

    Parameters
    ----------
    hessian : (n, d, d) array
    scale, sigma : numbers, or one per row

    Returns
    -------
    (n, d, d) array

    Examples
    --------
    >>> law, y = ed.GaussianMixture(None, [[0.0]], 3.0).noised(1.0, 1.0), np.array([[0.5]])
    >>> tweedie_covariance(law.hessian(y), scale=1.0, sigma=1.0).round(4), law.posterior_covariance(y).round(4)
    (array([[[0.75]]]), array([[[0.75]]]))
    """
    xp = array_namespace(hessian)
    scale, sigma = (xp.reshape(xp.asarray(v, dtype=hessian.dtype), (-1, 1, 1)) for v in (scale, sigma))
    identity = xp.eye(hessian.shape[-1], dtype=hessian.dtype)
    return (sigma / scale) ** 2 * (identity + sigma**2 * hessian)


@statement(
    paper="foundations",
    ref="worked example",
    title="DDIM under-disperses on a Gaussian",
    kind="upper",
    text="derived",
    domain="sigma >= 0, s > 0",
)
def ddim_gaussian_deviation(sigma: Array, s: Numbers) -> float:
    r"""Deviation of DDIM's output on a Gaussian target, as a sum over its steps.

    **Hypotheses.** Target :math:`N(0, s^2 I_d)`, exact denoiser, :math:`g(\sigma) = \sqrt{s^2 + \sigma^2}`; DDIM on
    :math:`\sigma_N > \dots > \sigma_0 = 0` started from :math:`N(0, g(\sigma_N)^2 I)`.

    **Conclusion (upper; rate 1/N when the steps shrink like 1/N).** The output is :math:`N(0, y_0^2 I)` with

    .. math:: 0 \le s - y_0 \le \sum_{k=1}^N \frac{(\sigma_k - \sigma_{k-1})^2\, s^2}{2\, g(\sigma_{k-1})^3},
              \qquad W_2 = \sqrt d\,(s - y_0).

    Proof: a step multiplies the deviation by :math:`a_k \in (0, 1]`; :math:`a_k g(\sigma_k)` is the tangent of the convex
    g at :math:`\sigma_k`, evaluated at :math:`\sigma_{k-1}`; the gap is :math:`\tfrac12(\sigma_k-\sigma_{k-1})^2 g''(\xi)`
    with :math:`g'' = s^2/g^3` decreasing. Sum.

    **Source.** derived; the worked example of ``theory/_template.py``.

    Parameters
    ----------
    sigma : (N + 1,) array, noisy to clean, last entry 0
    s : number > 0

    Returns
    -------
    float
        upper bound of s - y_0.

    Raises
    ------
    ValueError
        naming sigma when it does not decrease to 0.

    Examples
    --------
    >>> law, grid = ed.GaussianMixture(None, [[0.0]], 1.0), ed.Grid(np.ones(21), np.linspace(4.0, 0.0, 21))
    >>> factor = float(ed.samplers.final(ed.samplers.ddim(law, grid, np.ones((1, 1))))[0, 0])  # DDIM is linear here
    >>> round(1 - factor * 17**0.5, 4), round(ddim_gaussian_deviation(grid.sigma, s=1.0), 4)  # measured, bound
    (0.0753, 0.1069)
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    if sigma.ndim != 1 or len(sigma) < 2 or sigma[-1] != 0 or not np.all(np.diff(sigma) < 0):
        fail("sigma", sigma, "noise levels that decrease to 0, shape (N + 1,)")
    g = np.sqrt(s**2 + sigma**2)
    return float(np.sum(np.diff(sigma) ** 2 * s**2 / (2 * g[1:] ** 3)))
