"""Kullback-Leibler divergence and total variation of densities on quadrature nodes of a line."""

import math

import numpy as np

from .._core.arrays import array_namespace, from_numpy, to_numpy
from .._core.typing import Array, ArrayLike, Namespace
from .._core.validation import fail, in_range, no_mask, real_array

__all__ = ["kl_quadrature", "tv_quadrature"]


def _u_minus_log1p(xp, u):
    r"""u - log(1 + u) for u > -1 with relative accuracy eps, also at u ~ 1e-10 where the plain form has no digit left.

    With r = u / (2 + u): log(1+u) = 2 artanh r and u - 2 r = u r, so the value is
    u r - 2 r^3 (1/3 + r^2/5 + r^4/7 + ...). Used for |u| <= 1/2, where r^2 <= 1/9: 18 terms reach 1e-17.
    """
    small = xp.abs(u) <= 0.5
    s = xp.where(small, u, xp.zeros_like(u))
    r = s / (2 + s)
    square = r * r
    tail = xp.zeros_like(r)
    for k in range(18, 0, -1):
        tail = tail * square + 1.0 / (2 * k + 1)
    series = s * r - 2 * r * square * tail
    large = xp.where(small, xp.ones_like(u), u)
    return xp.where(small, series, large - xp.log1p(large))


def _grid(p, q, weights, log):
    if not isinstance(log, (bool, np.bool_)):
        fail("log", log, "True or False")
    arrays = []
    kinds = array_namespace(p, q, weights)
    for name, value in (("p", p), ("q", q), ("weights", weights)):
        no_mask(name, value)
        if log and name != "weights":
            xp = array_namespace(value)
            try:
                array = xp.asarray(value, dtype=xp.float64)
            except (TypeError, ValueError):
                fail(name, value, "log-densities: real numbers or -inf")
            if bool(xp.any(xp.isnan(array))) or bool(xp.any(array == math.inf)):
                fail(name, value, "log-densities: real numbers or -inf")
        else:
            array = real_array(name, value)
        if array.ndim != 1 or array.shape[0] == 0:
            fail(f"{name} (shape {tuple(array.shape)})", value, "shape (n,), one value per quadrature node")
        if not (log and name != "weights") and bool(array_namespace(array).any(array < 0)):
            fail(name, value, "nonnegative numbers")
        arrays.append(array)
    for name, array in zip(("q", "weights"), arrays[1:], strict=True):
        if tuple(array.shape) != tuple(arrays[0].shape):
            fail(f"{name} (shape {tuple(array.shape)})", array, f"the shape of p, {tuple(arrays[0].shape)}")
    like = next((a for a in arrays if array_namespace(a) is kinds), arrays[0])
    arrays = [a if array_namespace(a) is kinds else from_numpy(to_numpy(a), like) for a in arrays]
    for name, array in zip(("p", "q"), arrays):
        check_mass(name, float(kinds.sum(arrays[2] * (kinds.exp(array) if log else array))))
    return kinds, arrays


#: How far the sum of weights times density may be from 1.
MASS = 1e-6


def check_mass(name: str, mass: float) -> None:
    """Refuse a density whose nodes miss a part or count it twice: every divergence would be wrong by as much."""
    if not abs(mass - 1) <= MASS:
        raise ValueError(
            f"{name}: its mass on the nodes, the sum of weights times density, is {mass:.9g}, expected 1 within {MASS:g}; "
            "nodes that reach all of its mass, several to each of its narrowest peaks, would do"
        )


@in_range
def kl_quadrature(p: ArrayLike, q: ArrayLike, weights: ArrayLike, *, log: bool = False) -> float:
    r"""KL(p || q) of two densities on a line, on quadrature nodes.

    .. math:: \sum_i w_i\, p_i\, (u_i - \log(1 + u_i)), \qquad u = (q - p)/p,

    i.e. the integral of p log(p/q) - p + q: the same number when both have mass 1, with a nonnegative integrand that
    keeps relative accuracy where p and q nearly agree. The expectation is under the *first* density.

    Parameters
    ----------
    p, q : array, shape (n,)
        Densities at the nodes, or log-densities when ``log`` (``-inf`` allowed), of mass 1 within 1e-6 on the nodes.
    weights : array, shape (n,)
        Quadrature weights, e.g. the step of a trapezoidal rule.
    log : bool
        p and q are log-densities.

    Returns
    -------
    float
        ``inf`` when q vanishes at a node where p and its weight do not. Quadrature error is the caller's to estimate
        (halve the step).

    Raises
    ------
    ValueError
        Bad input, or a mass that is not 1: nodes that step over a peak of p or q give any number.

    Examples
    --------
    >>> x = np.linspace(-12, 12, 2001)
    >>> p, q = (np.exp(-0.5 * (x - m) ** 2) / np.sqrt(2 * np.pi) for m in (0, 1))
    >>> round(kl_quadrature(p, q, np.full(2001, 0.012)), 12)
    0.5
    """
    xp, (p, q, weights) = _grid(p, q, weights, log)
    return kl_sum(xp, p, q, weights, log)


def kl_sum(xp: Namespace, p: Array, q: Array, weights: Array, log: bool = False) -> float:
    """The sum of `kl_quadrature` over some nodes of laws whose masses were checked."""
    zero, one = xp.zeros_like(weights), xp.ones_like(weights)
    if log:
        dead_p, dead_q = p == -math.inf, q == -math.inf
        density = xp.exp(p)
        other = xp.exp(q)
        both = ~(dead_p | dead_q)
        delta = xp.where(both, q, zero) - xp.where(both, p, zero)
    else:
        dead_p, dead_q = p == 0, q == 0
        density, other = p, q
        both = ~(dead_p | dead_q)
        safe_p, safe_q = xp.where(both, p, one), xp.where(both, q, one)
        delta = xp.log(safe_q) - xp.log(safe_p)
    if bool(xp.any(dead_q & ~dead_p & (weights > 0))):
        return math.inf
    near = both & (xp.abs(delta) <= 0.4)
    if log:
        u = xp.expm1(xp.where(near, delta, zero))
    else:
        u = xp.where(near, (safe_q - safe_p) / xp.where(near, safe_p, one), zero)
    close = density * _u_minus_log1p(xp, u)
    far = other - density - density * delta
    terms = xp.where(near, close, xp.where(both, far, xp.where(dead_p, other, zero)))
    return float(xp.sum(weights * terms))


@in_range
def tv_quadrature(p: ArrayLike, q: ArrayLike, weights: ArrayLike, *, log: bool = False) -> float:
    r"""Total variation :math:`\tfrac12 \int |p - q|` of two densities on quadrature nodes.

    Parameters and errors as in `kl_quadrature`. The value lies in [0, 1]; it is half the L1 distance.

    Returns
    -------
    float

    Examples
    --------
    >>> x = np.linspace(0.0005, 0.9995, 1000)
    >>> round(tv_quadrature(np.ones(1000), 2 * x, np.full(1000, 1e-3)), 12)
    0.25
    """
    xp, (p, q, weights) = _grid(p, q, weights, log)
    if log:
        p, q = xp.exp(p), xp.exp(q)
    return 0.5 * float(xp.sum(weights * xp.abs(p - q)))
