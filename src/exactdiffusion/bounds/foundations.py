"""Textbook identities that every oracle of this package must satisfy."""

from ..arrays import array_namespace
from ._statement import statement


@statement(paper="foundations", ref="Tweedie", title="Tweedie's formula", kind="equality", text="classical")
def tweedie_denoiser(x, score, scale, sigma):
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
    scale, sigma : numbers

    Returns
    -------
    (n, d) array
    """
    return (x + sigma**2 * score) / scale


@statement(paper="foundations", ref="Tweedie, second order", title="Second-order Tweedie formula", kind="equality",
           text="classical")
def tweedie_covariance(hessian, scale, sigma):
    r"""Posterior covariance from the Hessian of the log-density of the noised law.

    **Hypotheses.** As for :func:`tweedie_denoiser`.

    **Conclusion (equality).**

    .. math:: \mathrm{Cov}[X \mid y] = \frac{\sigma^2}{s^2}\bigl(I + \sigma^2 \nabla^2 \log q(y)\bigr)

    and therefore :math:`\nabla_y E[X \mid y] = (s/\sigma^2)\,\mathrm{Cov}[X \mid y]`.

    **Source.** classical (differentiate Tweedie's formula once more).

    Parameters
    ----------
    hessian : (n, d, d) array
    scale, sigma : numbers

    Returns
    -------
    (n, d, d) array
    """
    xp = array_namespace(hessian)
    identity = xp.eye(hessian.shape[-1], dtype=hessian.dtype)
    return (sigma / scale) ** 2 * (identity + sigma**2 * hessian)
