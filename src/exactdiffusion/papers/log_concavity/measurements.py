r"""Several noisy measurements of one X: ``Y_t = X + sigma N_t``, t = 1, 2, ..., the N_t independent standard normals.

The mean ``ybar`` of m measurements is sufficient, and it is X with noise of variance ``s = sigma^2 / m``. Everything about
X given ``Y_1, ..., Y_m`` is therefore the law noised once more, ``law.noised(1, sigma / sqrt(m))``, and every function here
goes through it. A run only has to keep ``total``, the sum of its measurements so far.

With ``q_s`` the density of ``X + sqrt(s) N``, ``Xhat_m = E[X | Y_1..Y_m]`` and ``C_m`` the posterior covariance:

.. math::
    \hat X_m &= \bar y + s\,\nabla\log q_s(\bar y), \\
    \nabla_{y_{m+1}} \log p(y_{m+1} \mid y_{1:m}) &= \sigma^{-2}(\hat X_{m+1} - y_{m+1}), \\
    \nabla^2_{y_{m+1}} \log p(y_{m+1} \mid y_{1:m}) &= -\sigma^{-2}\,(I - C_{m+1}/\sigma^2).

``total`` always holds m measurements; m = 0 is allowed (the prior) and its ``total`` is not used. Functions of a further
measurement y do not count it in m. Source: arXiv 2305.19473.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from ..._core.arrays import array_namespace, device, from_numpy, to_numpy
from ..._core.typing import Array, ArrayLike, Law, NoiseSource
from ..._core.validation import fail, in_range, integer, points, real_array, scalar
from ...distances.divergence import MASS
from ...samplers._base import checked_noise

if TYPE_CHECKING:
    from ...laws import GaussianMixture, PointCloud

__all__ = [
    "conditional_hessian",
    "conditional_log_density",
    "conditional_score",
    "fisher_information",
    "joint_hessian",
    "joint_log_density",
    "joint_score",
    "line_jump_w2",
    "line_mmse",
    "line_quadrature",
    "posterior_covariance",
    "posterior_mean",
    "posterior_mixture",
    "posterior_sample",
    "predictive_covariance",
    "predictive_mixture",
    "predictive_sample",
    "restricted_gaussian_oracle",
]


def _level(law, total, m, sigma):
    """(noised law, its argument) that carry all that ``total``, the sum of m measurements, says about X."""
    if not callable(getattr(law, "noised", None)):
        fail("law", law, "an object with a method noised(scale, sigma)")
    m, sigma = integer("m", m, low=0), scalar("sigma", sigma, low=0, low_open=True)
    total = points("total", total, getattr(law, "dim", None))
    if m == 0:  # scale 0: an observation without X, whose posterior is the prior; at 0, where no rounding tells it otherwise
        return law.noised(0.0, sigma), 0.0 * total
    return law.noised(1.0, sigma / math.sqrt(m)), total / m


def _next(law, y, total, m, sigma):
    """Checked (y, total, m, sigma) of functions of a further measurement y."""
    y = points("y", y, getattr(law, "dim", None))
    total = points("total", total, getattr(law, "dim", None))
    if tuple(total.shape) != tuple(y.shape):
        fail(f"total (shape {tuple(total.shape)})", total, f"the shape of y, {tuple(y.shape)}")
    m = integer("m", m, low=0)
    return y, (total if m else 0.0 * y), m, scalar("sigma", sigma, low=0, low_open=True)


@in_range
def posterior_mean(law: Law, total: ArrayLike, m: int, sigma: float) -> Array:
    r"""``E[X | Y_1 + ... + Y_m = total]``: the jump of the walk-jump sampler.

    Parameters
    ----------
    law : law or oracle
        With ``noised(scale, sigma).denoise(x)``.
    total : array, shape (n, d)
        Sum (not mean) of the measurements so far, one run per row.
    m : int >= 0
        How many measurements ``total`` holds; 0 gives the prior mean.
    sigma : float > 0
        Standard deviation of one measurement's noise.

    Returns
    -------
    array, shape (n, d)

    Raises
    ------
    ValueError
        Naming the argument.

    Notes
    -----
    Source: arXiv 2305.19473, Eq. (2.3). The level is sigma^2 / m: not sigma^2, and not that of the last measurement alone.

    Examples
    --------
    Two measurements of N(0, 1) with the sum 3 and sigma = 1:

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import posterior_mean
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> posterior_mean(law, [[3.0]], m=2, sigma=1.0)
    array([[1.]])
    """
    q, x = _level(law, total, m, sigma)
    return q.denoise(x)


@in_range
def posterior_covariance(law: Law, total: ArrayLike, m: int, sigma: float) -> Array:
    """``C_m = Cov[X | Y_1 + ... + Y_m = total]``, (n, d, d); arguments as in `posterior_mean`.

    Examples
    --------
    It shrinks with the number of measurements:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import posterior_covariance
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> [float(np.round(posterior_covariance(law, [[0.0]], m, 1.0)[0, 0, 0], 4)) for m in (0, 1, 9)]
    [1.0, 0.5, 0.1]
    """
    q, x = _level(law, total, m, sigma)
    return q.posterior_covariance(x)


@in_range
def conditional_score(law: Law, y: ArrayLike, total: ArrayLike, m: int, sigma: float) -> Array:
    r"""Gradient in y of ``log p(Y_{m+1} = y | Y_1 + ... + Y_m = total)``, shape (n, d).

    Parameters
    ----------
    law : law or oracle
    y : array, shape (n, d)
        The next measurement, not contained in ``total``.
    total : array, shape (n, d)
        Sum of the m measurements before it.
    m : int >= 0
        m = 0 gives the score of ``q_{sigma^2}`` itself.
    sigma : float > 0

    Raises
    ------
    ValueError
        Naming the argument.

    Notes
    -----
    Evaluated as ``[(total - m y)/sigma^2 + score of q_s at ybar] / (m + 1)``, s = sigma^2/(m + 1) and ybar the mean with y;
    equal to ``(Xhat_{m+1} - y)/sigma^2``, which is used for oracles that only denoise. Source: arXiv 2305.19473.

    Examples
    --------
    The next measurement of N(0, 1) after one at 2 has the law N(1, 1.5):

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import conditional_score
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> conditional_score(law, [[1.0], [2.5]], [[2.0], [2.0]], m=1, sigma=1.0) + 0.0
    array([[ 0.],
           [-1.]])
    """
    y, total, m, sigma = _next(law, y, total, m, sigma)
    q, x = _level(law, total + y, m + 1, sigma)
    if not hasattr(q, "score"):
        return (q.denoise(x) - y) / sigma**2
    return ((total - m * y) / sigma**2 + q.score(x)) / (m + 1)


@in_range
def conditional_hessian(law: Law, y: ArrayLike, total: ArrayLike, m: int, sigma: float) -> Array:
    r"""Hessian in y of ``log p(Y_{m+1} = y | Y_1 + ... + Y_m = total)``, shape (n, d, d).

    ``-(m/(m+1)) I / sigma^2 + (Hessian of log q_s at ybar) / (m+1)^2``, s = sigma^2/(m+1); equal to
    ``-(I - C_{m+1}/sigma^2)/sigma^2``. Arguments as in `conditional_score`.

    Examples
    --------
    Its precision is 1 / 1.5 there:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import conditional_hessian
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> np.round(conditional_hessian(law, [[1.0]], [[2.0]], m=1, sigma=1.0), 4)
    array([[[-0.6667]]])
    """
    y, total, m, sigma = _next(law, y, total, m, sigma)
    q, x = _level(law, total + y, m + 1, sigma)
    xp = array_namespace(y)
    eye = xp.eye(y.shape[1], dtype=xp.float64, device=device(y))
    return q.hessian(x) / (m + 1) ** 2 - (m / ((m + 1) * sigma**2)) * xp.expand_dims(eye, axis=0)


@in_range
def conditional_log_density(law: Law, y: ArrayLike, total: ArrayLike, m: int, sigma: float) -> Array:
    r"""``log p(Y_{m+1} = y | Y_1 + ... + Y_m = total)``, shape (n,), normalised.

    With s_m = sigma^2/m it is ``log N(y; ybar_m, sigma^2 (m+1)/m) + log q_{s_{m+1}}(ybar_{m+1}) - log q_{s_m}(ybar_m)``.
    Arguments as in `conditional_score`.

    Examples
    --------
    The density of N(1, 1.5) at its mean:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import conditional_log_density
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> np.round(np.exp(conditional_log_density(law, [[1.0]], [[2.0]], m=1, sigma=1.0)), 4)
    array([0.3257])
    """
    y, total, m, sigma = _next(law, y, total, m, sigma)
    q, x = _level(law, total + y, m + 1, sigma)
    value = q.log_density(x)
    if m == 0:
        return value
    xp = array_namespace(y)
    q, x = _level(law, total, m, sigma)
    variance = sigma**2 * (m + 1) / m
    gap = xp.sum((y - x) ** 2, axis=-1) / variance
    # NumPy's logarithm: of a variance that underflowed, Python's would raise an error that names no argument
    return value - q.log_density(x) - 0.5 * (gap + y.shape[1] * float(np.log(2 * np.pi * variance)))


def _joint(law, y, sigma):
    """Checked y (n, m, d), sigma, the total (n, d), m and the noised law at its mean."""
    y = real_array("y", y, "a finite real array of shape (n, m, d)")
    dim = getattr(law, "dim", None)
    if y.ndim != 3 or y.shape[1] == 0 or y.shape[2] == 0 or (dim is not None and y.shape[2] != dim):
        fail(f"y (shape {tuple(y.shape)})", y, f"shape (n, m, {dim if dim is not None else 'd'}) with m >= 1")
    sigma = scalar("sigma", sigma, low=1e-150, high=1e150)
    m = y.shape[1]
    return y, sigma, m, *_level(law, array_namespace(y).sum(y, axis=1), m, sigma)


@in_range
def joint_log_density(law: Law, y: ArrayLike, sigma: float) -> Array:
    r"""Log density of all measurements together, ``log p(y_1, ..., y_m)``, shape (n,), normalised.

    .. math:: \log q_s(\bar y) - \frac{\sum_t |y_t - \bar y|^2}{2\sigma^2} - \frac{(m-1)d}{2}\log(2\pi\sigma^2)
              - \frac d2 \log m

    Parameters
    ----------
    law : law
    y : array, shape (n, m, d)
    sigma : float > 0

    Notes
    -----
    Source: arXiv 2305.19473, Eq. (A.1), there up to the constant.

    Examples
    --------
    Two measurements of N(0, 1): a normal law with the covariance [[2, 1], [1, 2]].

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import joint_log_density
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> np.round(np.exp(joint_log_density(law, [[[0.0], [0.0]]], sigma=1.0)) * 2 * np.pi * np.sqrt(3), 6)
    array([1.])
    """
    y, sigma, m, q, mean = _joint(law, y, sigma)
    xp = array_namespace(y)
    spread = xp.sum(xp.sum((y - xp.expand_dims(mean, axis=1)) ** 2, axis=-1), axis=-1)
    d = y.shape[2]
    constant = (m - 1) * d * math.log(2 * math.pi * sigma**2) + d * math.log(m)
    return q.log_density(mean) - 0.5 * (spread / sigma**2 + constant)


@in_range
def joint_score(law: Law, y: ArrayLike, sigma: float) -> Array:
    """Gradient of `joint_log_density` in every measurement, (n, m, d): ``(Xhat_m - y_t) / sigma^2``.

    Examples
    --------
    The same law: minus the inverse covariance times (3, 0).

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import joint_score
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> np.round(joint_score(law, [[[3.0], [0.0]]], sigma=1.0), 6)
    array([[[-2.],
            [ 1.]]])
    """
    y, sigma, m, q, mean = _joint(law, y, sigma)
    xp = array_namespace(y)
    return (xp.expand_dims(mean, axis=1) - y) / sigma**2 + xp.expand_dims(q.score(mean), axis=1) / m


@in_range
def joint_hessian(law: Law, y: ArrayLike, sigma: float) -> Array:
    r"""Hessian of `joint_log_density`, (n, m d, m d), measurement by measurement.

    Block (t, t'): ``-delta I / sigma^2 + C_m / sigma^4``. Source: arXiv 2305.19473, Eq. (D.2).

    Examples
    --------
    Minus the inverse of [[2, 1], [1, 2]]:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import joint_hessian
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> np.round(joint_hessian(law, [[[0.0], [0.0]]], sigma=1.0), 4)
    array([[[-0.6667,  0.3333],
            [ 0.3333, -0.6667]]])
    """
    y, sigma, m, q, mean = _joint(law, y, sigma)
    xp = array_namespace(y)
    n, d = y.shape[0], y.shape[2]
    eye = xp.eye(m * d, dtype=xp.float64, device=device(y)) / sigma**2
    blocks = q.posterior_covariance(mean) / sigma**4
    full = xp.broadcast_to(xp.reshape(blocks, (n, 1, d, 1, d)), (n, m, d, m, d))
    return xp.reshape(full, (n, m * d, m * d)) - xp.expand_dims(eye, axis=0)


# ------------------------------------------------------------------------------------------------ exact posterior laws


def _components(law, total, m, sigma):
    """Posterior mixtures of all rows: weights (n, K), means (n, K, d) or (K, d) shared, variances (K, d), axes (K, d, d).

    Variances in the axes U_k (None: the coordinate axes); atoms have none (None).
    """
    from ...laws._kernels.mixture import Differences
    from ...laws.gaussian_mixture import GaussianMixture, NoisedMixture
    from ...laws.point_cloud import NoisedPoints, PointCloud

    if not isinstance(law, (GaussianMixture, PointCloud)):
        target = law
        if not hasattr(target, "materialise") and callable(getattr(law, "noised", None)):
            target = law.noised(1.0, 0.0)  # a Gaussian on a subspace is a mixture of one component
        if not hasattr(target, "materialise"):
            fail("law", law, "a law whose posteriors are mixtures: GaussianMixture, PointCloud or one of them noised")
        law = target.materialise()
    q, x = _level(law, to_numpy(total), m, sigma)
    if isinstance(q, NoisedPoints):
        return q._posterior_weights(x), q.law._p("P", x), None, None
    assert isinstance(q, NoisedMixture)
    block = Differences(law, x, np.atleast_1d(q.scale), np.atleast_1d(q.sigma))
    r, means, inner = block.posterior(centred=False)
    U, variances = block.p.get("U"), np.broadcast_to(inner[:, :, 0], (r.shape[0], law.dim))
    kind = "isotropic" if U is None and law.kind == "full" else law.kind
    return r.T, np.transpose(means, (2, 0, 1)), variances, (kind, U)


@in_range
def posterior_mixture(law: Law, total: ArrayLike, m: int, sigma: float) -> "GaussianMixture | PointCloud":
    r"""The law of X given ``Y_1 + ... + Y_m = total``, exactly: again a mixture, or again a point cloud.

    Component k has weight ``r_k(ybar)``, its responsibility at noise s = sigma^2/m, and the law of X given ybar within
    component k, ``N(m_k, (C_k^{-1} + I/s)^{-1})``.

    Parameters
    ----------
    law : GaussianMixture, PointCloud, one of them noised, or a Gaussian on a Subspace
    total : array, shape (d,) or (1, d)
        Sum of the measurements; one posterior per call (`posterior_sample` draws from one posterior per row).
    m : int >= 0
    sigma : float > 0

    Returns
    -------
    GaussianMixture or PointCloud
        ``.noised(1, sigma)`` of it is the law of the next measurement.

    Raises
    ------
    ValueError
        Naming the argument; a law whose posteriors are not of this kind (a sphere, a flat measure, a user's denoiser).

    Examples
    --------
    Two measurements of N(0, 1) with the sum 3:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import posterior_mixture
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> posterior = posterior_mixture(law, [[3.0]], m=2, sigma=1.0)
    >>> np.round(posterior.mean, 6), np.round(posterior.covariance, 4)
    (array([1.]), array([[0.3333]]))
    """
    from ...laws.gaussian_mixture import GaussianMixture
    from ...laws.point_cloud import PointCloud

    total = np.asarray(to_numpy(real_array("total", total)))
    total = total[np.newaxis] if total.ndim == 1 else total
    if total.ndim == 2 and total.shape[0] != 1:
        fail(f"total (shape {total.shape})", total, "shape (d,) or (1, d): one law per row is not one mixture")
    weights, means, variances, form = _components(law, total, m, sigma)
    if variances is None:
        return PointCloud(means, weights[0] / weights[0].sum(), copy=False)
    return GaussianMixture._from_eigen(weights[0] / weights[0].sum(), means[0], form[0], variances, form[1])


@in_range
def predictive_mixture(law: Law, total: ArrayLike, m: int, sigma: float) -> "GaussianMixture":
    """The law of ``Y_{m+1}`` given ``Y_1 + ... + Y_m = total``, a GaussianMixture; arguments as in `posterior_mixture`.

    Examples
    --------
    The next measurement after one at 2 has the law N(1, 1.5):

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import predictive_mixture
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> next_one = predictive_mixture(law, [[2.0]], m=1, sigma=1.0)
    >>> np.round(next_one.mean, 6), np.round(next_one.covariance, 4)
    (array([1.]), array([[1.5]]))
    """
    sigma = scalar("sigma", sigma, low=0, low_open=True)
    posterior = posterior_mixture(law, total, m, sigma)
    try:
        return posterior.noised(1.0, sigma).materialise()
    except ValueError:  # it would name an argument that the caller did not give
        fail("total", total, "measurements whose posterior means have squares within the range of floats")


@in_range
def predictive_covariance(law: Law, total: ArrayLike, m: int, sigma: float) -> Array:
    """``Cov[Y_{m+1} | Y_1 + ... + Y_m = total] = sigma^2 I + C_m``, (n, d, d).

    Examples
    --------
    The posterior covariance plus sigma^2:

    >>> import numpy as np
    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import predictive_covariance
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> np.round(predictive_covariance(law, [[2.0]], m=1, sigma=1.0), 4)
    array([[[1.5]]])
    """
    covariance = posterior_covariance(law, total, m, sigma)
    xp = array_namespace(covariance)
    eye = xp.eye(covariance.shape[-1], dtype=xp.float64, device=device(covariance))
    return covariance + float(sigma) ** 2 * xp.expand_dims(eye, axis=0)


@in_range
def posterior_sample(law: Law, total: ArrayLike, m: int, sigma: float, noise: NoiseSource, step: int = 0) -> Array:
    """One exact draw of X given ``Y_1 + ... + Y_m = total``, for every row.

    Parameters
    ----------
    law, m, sigma
        As in `posterior_mixture`.
    total : array, shape (n, d)
    noise : Noise
        Row i uses row i of ``noise.normal(step, n, d + 1)``: rows do not depend on the batch.
    step : int

    Returns
    -------
    array, shape (n, d), of the kind of ``total``

    Examples
    --------
    Two atoms of which the measurements single out one:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.measurements import posterior_sample
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> posterior_sample(law, [[30.0], [-30.0]], m=10, sigma=1.0, noise=Noise(0))
    array([[ 1.],
           [-1.]])
    """
    total = points("total", total, getattr(law, "dim", None))
    n, d = total.shape
    z = checked_noise(noise).normal(step, n, d + 1)
    return from_numpy(_draw(law, to_numpy(total), m, sigma, z), total)


@in_range
def predictive_sample(law: Law, total: ArrayLike, m: int, sigma: float, noise: NoiseSource, step: int = 0) -> Array:
    """One exact draw of ``Y_{m+1}`` given ``Y_1 + ... + Y_m = total``, for every row: an inner walk without error.

    Arguments as in `posterior_sample`; uses ``noise.normal(step, n, 2 d + 1)``. Returns (n, d).

    Examples
    --------
    A next measurement for each of three runs:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.measurements import predictive_sample
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> predictive_sample(law, [[3.0], [0.0], [-3.0]], m=3, sigma=1.0, noise=Noise(0)).shape
    (3, 1)
    """
    total = points("total", total, getattr(law, "dim", None))
    n, d = total.shape
    z = checked_noise(noise).normal(step, n, 2 * d + 1)
    x = _draw(law, to_numpy(total), m, sigma, z[:, : d + 1])
    return from_numpy(x + float(sigma) * z[:, d + 1 :], total)


@in_range
def restricted_gaussian_oracle(law: Law, y: ArrayLike, h: float, noise: NoiseSource, step: int = 0) -> Array:
    """One exact draw from the density proportional to ``p(x) exp(-|x - y|^2 / (2 h))``, for every row of y (n, d).

    It is the posterior of X given one measurement y of variance h > 0: the backward half of the proximal sampler (Lee, Shen
    & Tian 2021; Chen, Chewi, Salim & Wibisono 2022), whose forward half is ``y = x + sqrt(h) z``.

    Examples
    --------
    Far to the right the oracle of two atoms gives the right one:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion import Noise
    >>> from exactdiffusion.papers.log_concavity.measurements import restricted_gaussian_oracle
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> restricted_gaussian_oracle(law, [[20.0]], h=1.0, noise=Noise(0))
    array([[1.]])
    """
    y = points("y", y, getattr(law, "dim", None))
    return posterior_sample(law, y, 1, math.sqrt(scalar("h", h, low=0, low_open=True)), noise, step)


def _draw(law, total, m, sigma, z):
    """Draws (n, d) from one uniform (through the normal z[:, 0]) and d normals per row."""
    from scipy.special import ndtr

    n, d = total.shape
    weights, means, variances, form = _components(law, total if n else np.zeros((1, d)), m, sigma)
    if n == 0:  # what is given is checked all the same
        return np.zeros((0, d))
    cumulative = np.cumsum(weights, axis=1)
    u = ndtr(z[:, :1]) * cumulative[:, -1:]
    k = np.minimum(np.sum(u >= cumulative, axis=1), weights.shape[1] - 1)
    if variances is None:
        return means[k]
    deviation, z = np.sqrt(variances)[k], z[:, 1:]
    if form[1] is None:
        return means[np.arange(n), k] + deviation * z
    # by the symmetric root U deviation U^T: U alone is arbitrary where eigenvalues repeat
    U = form[1][k]
    spread = np.matmul(U, (deviation * np.matmul(z[:, np.newaxis], U)[:, 0])[:, :, np.newaxis])[:, :, 0]
    return means[np.arange(n), k] + spread


# --------------------------------------------------------------------------------- integrals on a line, no Monte Carlo

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(16)


def _line(law, sigma):
    """Active components (weights, centres, deviations) of ``X + sigma N`` for a law on a line."""
    if getattr(law, "dim", None) != 1:
        fail("law", law, "a law of dimension 1")
    if hasattr(law, "points"):
        centres, variances = law.points[:, 0], 0.0
    elif hasattr(law, "means"):
        centres, variances = law.means[:, 0], np.ravel(law.covariances)
    else:
        fail("law", law, "a GaussianMixture or a PointCloud")
    alive = law.weights > 0
    deviations = np.sqrt(np.broadcast_to(variances, centres.shape) + float(sigma) ** 2)
    return law.weights[alive], centres[alive], deviations[alive]


def _panels(centres, deviations, cuts=(), width=0.25, reach=10.0):
    """Nodes and weights on panels no wider than ``width`` deviations of any component within ``reach`` of its own."""
    low, high = centres - reach * deviations, centres + reach * deviations
    # nodes are rounded as their places are: this much of a deviation, which is an error of the density, and a step that
    # moves no node would not end
    lost = np.spacing(np.maximum(np.abs(low), np.abs(high))) / deviations
    k = int(np.argmax(lost))
    if not lost[k] <= MASS:
        fail(
            "law, sigma",
            f"deviation {deviations[k]:.3g} at {centres[k]:.6g}",
            f"components wider than the spacing of floats at their place by {1 / MASS:g} times; the law moved towards 0, "
            "more noise or wider components would do",
        )

    # edges of the panels: a share of the narrowest component there, and every cut
    cuts = np.sort(np.asarray(cuts, dtype=np.float64))
    edges, y, end = [], float(low.min()), float(high.max())
    while y < end:
        edges.append(y)
        active = (low <= y) & (y < high)
        ahead = low[low > y]
        further = float(ahead.min()) if ahead.size else end
        step = y + width * float(deviations[active].min()) if active.any() else further
        cut = cuts[cuts > y]
        y = min(step, further, float(cut[0]) if cut.size else end, end)
    edges = np.array([*edges, end])

    # the nodes of each panel
    half = 0.5 * np.diff(edges)[:, np.newaxis]
    y = edges[:-1, np.newaxis] + half * (1 + _NODES)
    return y.ravel(), (half * _NODE_WEIGHTS).ravel()


@in_range
def line_quadrature(law: "GaussianMixture | PointCloud", sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes y (n,) and weights (n,) with ``sum weights f(y) = E f(X + sigma N)`` for a law on a line.

    Gauss-Legendre panels of a quarter of the narrowest component's deviation, out to 10 deviations, so that posterior means,
    whose complex poles stand at ``pi sigma^2 / |x_i - x_j|``, are resolved wherever they carry mass. Relative error about
    1e-14 for smooth f of moderate growth, plus the spacing of floats at a component over its deviation (below 1e-6).

    Raises
    ------
    ValueError
        For other laws than one-dimensional mixtures and clouds; sigma = 0 where a component has no density; components
        whose deviation is less than 10^6 spacings of floats at their place.

    Examples
    --------
    Mass and second moment of two atoms at +-1 with noise of variance 1/4:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.measurements import line_quadrature
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> y, weights = line_quadrature(law, 0.5)
    >>> round(float(weights.sum()), 9), round(float(weights @ y**2), 9)
    (1.0, 1.25)
    """
    return _expectation(law, sigma, 10.0)


def _expectation(law, sigma, reach):
    """`line_quadrature` out to ``reach`` deviations."""
    _, centres, deviations = _line(law, scalar("sigma", sigma, low=0))
    if not np.all(deviations > 0):
        fail("sigma", sigma, "sigma > 0 for a law without density")
    y, weights = _panels(centres, deviations, reach=reach)
    return y, weights * np.exp(law.noised(1.0, sigma).log_density(y[:, np.newaxis]))


@in_range
def fisher_information(law: "GaussianMixture") -> float:
    """``E |grad log p(X)|^2`` of a one-dimensional mixture with positive variances, by quadrature.

    Examples
    --------
    A normal law of variance 4 has the information 1/4:

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import fisher_information
    >>> round(fisher_information(GaussianMixture([1.0], [[0.0]], 4.0)), 9)
    0.25
    """
    y, weights = line_quadrature(law, 0.0)
    return float(weights @ law.score(y[:, np.newaxis])[:, 0] ** 2)


@in_range
def line_mmse(law: "GaussianMixture | PointCloud", m: int, sigma: float) -> float:
    """``E C_m``, the mean squared error of the posterior mean, for a law on a line, by quadrature.

    Relative error about 1e-14 where separate atoms are at most 20
    deviations of the mean measurement apart, 1e-7 at 40 and 1e-4 beyond, down to errors of 1e-300.

    Examples
    --------
    N(0, 1) after three measurements at sigma = 1: 1/4.

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import line_mmse
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> round(line_mmse(law, 3, 1.0), 9)
    0.25
    """
    sigma = scalar("sigma", sigma, low=0, low_open=True) / math.sqrt(integer("m", m, low=1))
    # between separate atoms the error comes from half way, where the density may be anything that floats hold
    y, weights = _expectation(law, sigma, 38.6)
    if hasattr(law, "points"):  # as a mixture of variance 0: many rows, few atoms
        from ...laws.gaussian_mixture import GaussianMixture

        law = GaussianMixture(law.weights, law.points, 0.0)
    return float(weights @ law.noised(1.0, sigma).posterior_covariance(y[:, np.newaxis])[:, 0, 0])


@in_range
def line_jump_w2(law: "GaussianMixture | PointCloud", m: int, sigma: float) -> float:
    r"""Squared W2 distance between a law on a line and the law of ``Xhat_m``, by quadrature.

    The posterior mean increases with ybar, so the monotone coupling is explicit:
    ``W2^2 = E (Q_X(F(ybar)) - Xhat(ybar))^2`` with F the distribution function of ybar. Clouds are integrated over ybar, on
    panels split where the quantile function jumps; laws with a density over x, ``ybar = F^{-1}(F_X(x))``, which is smooth.

    Parameters
    ----------
    law : PointCloud, or GaussianMixture with positive variances, dim 1
    m : int >= 1
    sigma : float > 0

    Returns
    -------
    float
        The distribution function is known to eps: so is the value, times the square of the law's range.

    Examples
    --------
    The jump of N(0, 1) after three measurements has the deviation sqrt(3)/2:

    >>> from exactdiffusion import GaussianMixture
    >>> from exactdiffusion.papers.log_concavity.measurements import line_jump_w2
    >>> law = GaussianMixture([1.0], [[0.0]], 1.0)
    >>> round(line_jump_w2(law, 3, 1.0), 6), round((1 - 3**0.5 / 2) ** 2, 6)
    (0.017949, 0.017949)
    """
    from scipy.special import ndtr

    sigma = scalar("sigma", sigma, low=0, low_open=True) / math.sqrt(integer("m", m, low=1))
    weights, centres, prior = _line(law, 0.0)
    noisy = np.sqrt(prior**2 + sigma**2)

    def tails(y, deviations):
        """Distribution function at y (n,) and its complement."""
        z = (y[:, np.newaxis] - centres) / deviations
        return ndtr(z) @ weights, ndtr(-z) @ weights

    def solve(left, right, deviations):
        """Points where the distribution function takes the values ``left`` (complement ``right``): bisection."""
        low = np.full(left.shape, float(np.min(centres - 40 * deviations)))
        high = np.full(left.shape, float(np.max(centres + 40 * deviations)))
        lower = left <= 0.5
        for _ in range(64):
            middle = 0.5 * (low + high)
            a, b = tails(middle, deviations)
            below = np.where(lower, a < left, b > right)
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    q = law.noised(1.0, sigma)
    if np.all(prior == 0):
        order = np.argsort(centres)
        mass = np.cumsum(weights[order])[:-1]
        cuts = solve(mass, np.cumsum(weights[order][::-1])[::-1][1:], noisy)
        y, w = _panels(centres, noisy, cuts)
        quantile = centres[order][np.searchsorted(cuts, y)]
        density = np.exp(q.log_density(y[:, np.newaxis]))
    elif np.all(prior > 0) and hasattr(law, "log_density"):
        # over x: between separate components the quantile function, as a function of y, is all but a jump
        quantile, w = _panels(centres, prior)
        left, right = tails(quantile, prior)
        y = solve(left, right, noisy)
        density = np.exp(law.log_density(quantile[:, np.newaxis]))
    else:
        fail("law", law, "variances that are all 0 or all positive")
    return float((w * density) @ (quantile - q.denoise(y[:, np.newaxis])[:, 0]) ** 2)
