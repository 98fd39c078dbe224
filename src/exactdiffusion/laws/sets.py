"""Closed sets with exact projections and exact denoisers: sphere, torus (product of circles), affine
subspace.

Uniform measure on the sphere of radius R in R^k, seen through ``x = s X + sigma Z``: with r = |x|, kappa = s
R r / sigma^2, v = k/2 and the Bessel ratio ``A_v(kappa) = I_v(kappa) / I_{v-1}(kappa)``,

    E[X | x]   = R A_v(kappa) x / r
    Cov[X | x] = R^2 [ A_v'(kappa) u u^T + (A_v(kappa) / kappa) (I - u u^T) ],   u = x / r.

The ratio is the continued fraction ``A_v = 1 / (2v/kappa + 1 / (2(v+1)/kappa + ...))``. Cut anywhere it
needs about kappa terms; here its tail is the uniform (Debye) expansion at an order v with kappa^2 + v^2 >=
32^2, so that at most 33 terms serve every kappa.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import numpy as np

from .._core.arrays import array_namespace, from_numpy, to_numpy
from .._core.fixed import Fixed
from .._core.typing import Array, ArrayLike, Rng
from .._core.validation import fail, integer, real_array, scalar
from .base import EPS, LARGE, LOG_2PI, NoisedLaw, Parameters, bounded, column, generator, norm_rows, queries, spread

__all__ = ["Sphere", "Subspace", "Torus"]

# Debye's expansion with 18 terms is exact to rounding where kappa^2 + order^2 >= 32^2 (tested against 50
# digits).
_ORDER, _TERMS = 32, 18


@cache
def _debye():
    """Coefficients of u_k and v_k (DLMF 10.41.9-11) divided by t^k, as polynomials in t^2: lists of lists of
    floats."""

    def derivative(p):
        return [i * c for i, c in enumerate(p)][1:]

    def times(p, q):
        out = [Fraction(0)] * (len(p) + len(q) - 1)
        for i, a in enumerate(p):
            for j, b in enumerate(q):
                out[i + j] += a * b
        return out

    def add(*terms):
        out = [Fraction(0)] * max(map(len, terms))
        for p in terms:
            for i, c in enumerate(p):
                out[i] += c
        return out

    F = Fraction
    u, v = [[F(1)]], [[F(1)]]
    for _ in range(_TERMS):
        last = u[-1]
        integrand = times([F(1), F(0), F(-5)], last)
        integral = [F(0)] + [c / (8 * (i + 1)) for i, c in enumerate(integrand)]
        slope = derivative(last) or [F(0)]
        new = add(times([F(0), F(0), F(1, 2), F(0), F(-1, 2)], slope), integral)
        u.append(new)
        v.append(
            add(
                new,
                times([F(0), F(-1, 2), F(0), F(1, 2)], last),
                times([F(0), F(0), F(-1), F(0), F(1)], slope),
            )
        )
    return tuple([[float(c) for c in p[k::2]] for k, p in enumerate(family)] for family in (u, v))


def _series(y, p, coefficients):
    """(sum_k p^k P_k(y), sum_k p^(k-1) (k P_k(y) + 2 y P_k'(y))).

    With y = t^2 and p = t / mu these are sum_k c_k(t) / mu^k and mu times its derivative in t.
    """
    value, slope, power = 0.0 * y + 1.0, 0.0 * y, 0.0 * y + 1.0
    for k, c in enumerate(coefficients):
        if k == 0:
            continue
        P, dP = 0.0 * y, 0.0 * y  # by Horner, with the derivative in y
        for a in reversed(c):
            dP = dP * y + P
            P = P * y + a
        slope = slope + power * (k * P + 2 * y * dP)
        power = power * p
        value = value + power * P
    return value, slope


def _hypotenuse(xp, kappa, mu):
    """sqrt(kappa^2 + mu^2) without overflow."""
    big = kappa > 1e9 * max(mu, 1.0)
    safe = xp.where(big, xp.ones_like(kappa), kappa)
    return xp.where(big, kappa, xp.sqrt(safe * safe + mu * mu))


def _uniform_ratio(xp, kappa, nu):
    """(B, A', kappa^2 A') of order nu by Debye's expansion in 1 / sqrt(kappa^2 + nu^2); nu > 0.

    I_nu' / I_nu = rho V / (kappa U) (DLMF 10.41.3-5), A_nu = 1 / (I_nu' / I_nu + nu / kappa), rho^2 =
    kappa^2 + nu^2, t = nu / rho.
    """
    rho = _hypotenuse(xp, kappa, nu)
    t = nu / rho
    u, v = _debye()
    U, dU = _series(t * t, 1 / rho, u)
    V, dV = _series(t * t, 1 / rho, v)
    Q, dQ = V / U, (dV * U - V * dU) / (U * U)  # dQ is nu times the derivative of Q in t
    B = 1 / (rho * Q + nu)
    factor = nu * (1 + t * Q) + (kappa / rho) ** 2 * dQ
    A = kappa * B
    return B, factor * B * B, factor * A * A


def _uniform_log(xp, kappa, mu):
    """log[Gamma(mu + 1) (2 / kappa)^mu I_mu(kappa)] - kappa by Debye's expansion."""
    rho = _hypotenuse(xp, kappa, mu)
    t = mu / rho
    U, _ = _series(t * t, 1 / rho, _debye()[0])
    if mu < _ORDER:  # kappa is large here, so nothing cancels
        rest = mu * (mu / (rho + kappa)) - mu * xp.asinh(mu / kappa) - mu * xp.log(0.5 * kappa)
        return math.lgamma(mu + 1) + rest - 0.5 * (LOG_2PI + xp.log(rho)) + xp.log(U)
    # Gamma by Stirling, so that what cancels as kappa -> 0 is cancelled on paper.
    stirling = sum(c / mu**j for c, j in ((1 / 12, 1), (-1 / 360, 3), (1 / 1260, 5), (-1 / 1680, 7), (1 / 1188, 9)))
    q = kappa * (kappa / (rho + mu))  # rho - mu
    shifted = xp.where(kappa < mu, q - kappa, mu * (mu / (rho + kappa)) - mu)
    return stirling + shifted - mu * xp.log1p(q / (2 * mu)) + 0.5 * xp.log(t) + xp.log(U)


def bessel_ratio(kappa: Array, k: int) -> tuple[Array, Array, Array]:
    """Bessel ratio of the sphere in R^k and what goes with it.

    Parameters
    ----------
    kappa : array
        Concentrations >= 0, any shape, any namespace.
    k : int
        Dimension of the space that the sphere lives in; v = k / 2.

    Returns
    -------
    B : array
        ``A_v(kappa) / kappa`` (1 / k at kappa = 0), where ``A_v = I_v / I_{v-1}``.
    slope : array
        ``A_v'(kappa)``, without the cancellation of ``1 - A^2 - (k - 1) A / kappa``.
    log_mean : array
        ``log E[exp(kappa u_1)] - kappa`` for u uniform on the sphere, that is
        ``log[Gamma(v) (2 / kappa)^(v-1) I_{v-1}(kappa)] - kappa``.
    """
    xp = array_namespace(kappa)

    # Two points: hyperbolic functions.
    if k == 1:
        e = xp.exp(-2 * kappa)
        small = kappa < 1e-8
        safe = xp.where(small, xp.ones_like(kappa), kappa)
        B = xp.where(small, xp.ones_like(kappa), xp.tanh(safe) / safe)
        return B, 4 * e / (1 + e) ** 2, xp.log1p(e) - math.log(2.0)

    # The expansion at the order itself, where it is exact for all.
    low = 0.5 * k - 1
    capped = xp.where(kappa > _ORDER, xp.full_like(kappa, float(_ORDER)), kappa)
    far = capped * capped + low * low >= _ORDER**2
    if bool(xp.all(far)):
        return (*_uniform_ratio(xp, kappa, low + 1)[:2], _uniform_log(xp, kappa, low))

    # Elsewhere at a higher order, and the recurrence down from it.
    near = xp.where(far, xp.ones_like(kappa), kappa)
    steps = math.ceil(_ORDER - low)
    mu = low + steps
    log_mean = _uniform_log(xp, near, mu)
    B, slope, D = _uniform_ratio(xp, near, mu + 1)
    for j in range(steps):
        nu = mu - j
        A = near * B
        B = 1 / (2 * nu + near * A)
        A = near * B
        slope = B * B * (2 * nu - D)
        D = A * A * (2 * nu - D)  # kappa^2 A'
        log_mean = log_mean - xp.log(2 * nu * B)
    if not bool(xp.any(far)):
        return B, slope, log_mean
    large = xp.where(far, kappa, xp.full_like(kappa, 2.0 * _ORDER))
    B2, slope2, _ = _uniform_ratio(xp, large, low + 1)
    log2 = _uniform_log(xp, large, low)
    return xp.where(far, B2, B), xp.where(far, slope2, slope), xp.where(far, log2, log_mean)


class _SphereProduct(Fixed):
    """Product of m spheres of R^k of radii (m,), on m k of the n coordinates; uniform measure."""

    def _set(self, radii, k, dim, block, center):
        self.dim, self._k = dim, k
        m = len(radii)
        self._m = m
        if center is None:
            center = np.zeros(dim)
        else:
            center = to_numpy(real_array("center", center))
            if center.shape != (dim,):
                fail(f"center (shape {center.shape})", center, f"shape ({dim},)")
        self.center = np.array(center)
        name = "radius" if m == 1 and hasattr(self, "radius") else "radii"
        top = bounded(name, radii, radii)
        self._size, self._thin = max(top, bounded("center", center, center)), float(np.min(radii))
        spread(name, radii, self._size, self._thin)
        self._order = np.concatenate([block, np.setdiff1d(np.arange(dim), block)]).astype(np.int64)
        self._natural = bool(np.all(self._order == np.arange(dim)))
        self._inverse = np.argsort(self._order)
        self._p = Parameters(radii=radii, center=self.center, same=np.kron(np.eye(m), np.ones((k, k))))
        self._fix()

    def _split(self, x, s=None):
        """Centred x as blocks (b, m, k) and the remaining coordinates (b, n - m k)."""
        xp = array_namespace(x)
        center = xp.expand_dims(self._p("center", x), axis=0)
        y = x - (center if s is None else column(xp, s) * center)
        if not self._natural:
            y = xp.take(y, from_numpy(self._order, x), axis=1)
        used = self._m * self._k
        return xp.reshape(y[:, :used], (x.shape[0], self._m, self._k)), y[:, used:]

    def _join(self, blocks, rest=None):
        """Inverse of `_split`, still centred."""
        xp = array_namespace(blocks)
        b, used = blocks.shape[0], self._m * self._k
        out = xp.reshape(blocks, (b, used))
        if used < self.dim:
            if rest is None:
                rest = xp.zeros((b, self.dim - used), dtype=xp.float64, device=out.device)
            out = xp.concat([out, rest], axis=1)
        return out if self._natural else xp.take(out, from_numpy(self._inverse, out), axis=1)

    def _direction(self, blocks):
        """(unit vectors (b, m, k), norms (b, m)); the first coordinate vector where the norm is 0."""
        xp = array_namespace(blocks)
        big = xp.max(xp.abs(blocks), axis=-1, keepdims=True)
        scaled = blocks / xp.where(big > 0, big, xp.ones_like(big))
        first = xp.asarray(np.eye(1, self._k), device=blocks.device)
        scaled = xp.where(big > 0, scaled, xp.expand_dims(first, axis=0) + 0.0 * scaled)
        norm = xp.sqrt(xp.sum(scaled * scaled, axis=-1, keepdims=True))
        return scaled / norm, xp.squeeze(norm * big, axis=-1)

    @property
    def reach(self) -> float:
        """Reach: the smallest radius (inf would be a convex set)."""
        return float(np.min(self._p("radii", np.empty(0))))

    @property
    def mean(self) -> np.ndarray:
        """Mean of the uniform measure: the centre, (d,)."""
        return self.center.copy()

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the uniform measure, (d, d): ``R^2 / k`` on every coordinate of a block of radius
        R."""
        diagonal = np.zeros(self.dim)
        diagonal[self._order[: self._m * self._k]] = np.repeat(self._p("radii", diagonal) ** 2 / self._k, self._k)
        return np.diag(diagonal)

    def project(self, x: ArrayLike) -> Array:
        """Nearest point of the set, (n, d); where it is not unique (a block at its centre), the first
        coordinate direction."""
        x = queries("x", x, self.dim)
        xp = array_namespace(x)
        unit, _ = self._direction(self._split(x)[0])
        return self._join(unit * xp.reshape(self._p("radii", x), (1, -1, 1))) + self._p("center", x)

    def distance(self, x: ArrayLike) -> Array:
        """Euclidean distance to the set, (n,)."""
        x = queries("x", x, self.dim)
        xp = array_namespace(x)
        blocks, rest = self._split(x)
        gap = self._direction(blocks)[1] - self._p("radii", x)
        return xp.sqrt(xp.sum(gap * gap, axis=-1) + xp.sum(rest * rest, axis=-1))

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "_NoisedSpheres":
        """Law of ``scale * X + sigma * N(0, I)``, X uniform; scalars, or one value per row of x, shape
        (n,)."""
        return _NoisedSpheres(self, scale, sigma)

    def sample(self, n: int, rng: Rng) -> np.ndarray:
        """``n`` uniform draws, NumPy (n, d); ``rng`` a numpy Generator or a seed."""
        n, rng = integer("n", n, low=0), generator(rng)
        unit, _ = self._direction(rng.standard_normal((n, self._m, self._k)))
        return self._join(unit * self._p("radii", unit)[None, :, None]) + self.center


class Sphere(_SphereProduct):
    """Uniform measure on a sphere of R^k (dimension k - 1) inside R^n.

    Parameters
    ----------
    radius : float > 0
    dim : int
        Ambient dimension n.
    sphere_dim : int, optional
        k, the number of coordinates the sphere lives in (not k - 1); n by default.
    block : sequence of k distinct ints, optional
        Those coordinates; the first k by default.
    center : array (n,), optional
        0 by default.

    Attributes
    ----------
    radius, dim, sphere_dim, block, center, reach (= radius), mean, covariance

    Raises
    ------
    ValueError
        Naming the argument.

    Examples
    --------
    >>> Sphere(2.0, 2).project([[3.0, 4.0]])
    array([[1.2, 1.6]])
    """

    def __init__(
        self,
        radius: float,
        dim: int,
        sphere_dim: int | None = None,
        block: Sequence[int] | None = None,
        center: ArrayLike | None = None,
    ) -> None:
        self.radius = scalar("radius", radius, low=0, low_open=True)
        dim = integer("dim", dim, low=1)
        if block is not None:
            try:
                given, block = block, np.atleast_1d(np.asarray(block))
            except ValueError:
                fail("block", block, "coordinates of the sphere, integers")
            if block.ndim != 1 or block.dtype.kind not in "iu" or not block.size:
                fail("block", given, "coordinates of the sphere, integers")
        if sphere_dim is None:
            sphere_dim = dim if block is None else len(block)
        self.sphere_dim = integer("sphere_dim", sphere_dim, low=1, high=dim)
        if block is None:
            block = np.arange(self.sphere_dim)
        else:
            block = np.asarray(block)
            bad = block.shape != (self.sphere_dim,) or block.dtype.kind not in "iu"
            if bad or len(set(block.tolist())) != len(block) or block.min() < 0 or block.max() >= dim:
                fail("block", block, f"{self.sphere_dim} distinct coordinates in 0 ... {dim - 1}")
        self.block = tuple(int(i) for i in block)
        self._set(np.array([self.radius]), self.sphere_dim, dim, block, center)

    def __repr__(self):
        return f"Sphere(radius={self.radius}, dim={self.dim}, sphere_dim={self.sphere_dim})"


class Torus(_SphereProduct):
    """Uniform measure on a product of m circles in R^n: circle i in the coordinates (2i, 2i + 1).

    Parameters
    ----------
    radii : array (m,), positive
    dim : int, optional
        Ambient dimension n >= 2 m; 2 m by default.
    center : array (n,), optional

    Attributes
    ----------
    radii, dim, center, reach (= min radii), mean, covariance

    Notes
    -----
    A manifold of dimension m and reach min(radii); not the torus of revolution in R^3. Its denoiser is
    exact: the posterior is a product over the circles, each with the Bessel ratio I_1 / I_0.

    Examples
    --------
    >>> Torus([1.0, 2.0], 4).project([[3.0, 0.0, 0.0, 5.0]])
    array([[1., 0., 0., 2.]])
    """

    def __init__(self, radii: ArrayLike, dim: int | None = None, center: ArrayLike | None = None) -> None:
        radii = to_numpy(real_array("radii", radii))
        if radii.ndim != 1 or len(radii) == 0 or np.any(radii <= 0):
            fail("radii", radii, "m >= 1 positive radii, shape (m,)")
        self.radii = np.array(radii)
        dim = integer("dim", 2 * len(radii) if dim is None else dim, low=2 * len(radii))
        self._set(self.radii, 2, dim, np.arange(2 * len(radii)), center)

    def __repr__(self):
        return f"Torus(radii={self.radii.tolist()}, dim={self.dim})"


class _NoisedSpheres(NoisedLaw):
    def _rows(self, matrix=False):
        return max(1, (1 << 19) // (self.dim**2 if matrix else self.dim))

    def _parts(self, x, s, t):
        """(unit (b, m, k), norms (b, m), rest, B, slope, log_mean), the last three at kappa (b, m)."""
        xp = array_namespace(x)
        blocks, rest = self.law._split(x, s)
        unit, r = self.law._direction(blocks)
        ratio, t2 = r / column(xp, t), column(xp, t)
        # Where r / sigma^2 overflows, kappa is beyond 1e150 all the same: the ratio of Bessel functions is 1.
        most = 1e300 * xp.where(t2 < 1, t2, xp.ones_like(t2))
        ratio = xp.where(ratio > most, most, ratio)
        kappa = column(xp, s) * self.law._p("radii", x) * (ratio / t2)
        return unit, r, rest, kappa, *bessel_ratio(kappa, self.law._k)

    def _safe(self, t):
        xp = array_namespace(t)
        return xp.where(t == 0, xp.ones_like(t), t), t == 0

    def _mean_blocks(self, x, s, t):
        xp = array_namespace(x)
        safe, zero = self._safe(t)
        unit, r, rest, kappa, B, *_ = self._parts(x, s, safe)
        length = xp.where(column(xp, zero), xp.ones_like(B), kappa * B) * self.law._p("radii", x)
        return unit * xp.expand_dims(length, axis=-1), unit, r, rest, length

    def denoise(self, x: ArrayLike) -> Array:
        """Conditional mean E[X | x], (n, d); at sigma = 0 the projection of x / scale."""
        x = self._check(x)

        def kernel(x, s, t):
            return self.law._join(self._mean_blocks(x, s, t)[0]) + self.law._p("center", x)

        return self._run(kernel, x, (self.dim,), self._rows(), posterior=True)

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d); ValueError naming sigma at sigma = 0."""
        x = self._check(x)
        self._need_noise("score", x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            _, unit, r, rest, length = self._mean_blocks(x, s, t)
            radial = column(xp, s) * length - r
            return self.law._join(unit * xp.expand_dims(radial, axis=-1), -rest) / column(xp, t) / column(xp, t)

        return self._run(kernel, x, (self.dim,), self._rows())

    def log_density(self, x: ArrayLike) -> Array:
        """Log density, (n,); ValueError naming sigma at sigma = 0."""
        x = self._check(x)
        self._need_noise("log_density", x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            _, r, rest, _, _, _, log_mean = self._parts(x, s, t)
            off = (r - column(xp, s) * self.law._p("radii", x)) / column(xp, t)
            rest = rest / column(xp, t)
            inside = xp.sum(log_mean - 0.5 * off * off, axis=-1) - 0.5 * xp.sum(rest * rest, axis=-1)
            return inside - self.dim * (0.5 * LOG_2PI + xp.log(t))

        return self._run(kernel, x, (), self._rows())

    def _covariance(self, x, s, t):
        xp = array_namespace(x)
        safe, zero = self._safe(t)
        unit, _, _, _, B, slope, _ = self._parts(x, s, safe)
        law = self.law
        b, m, k = unit.shape
        R2 = law._p("radii", x) ** 2
        gone = column(xp, zero)
        B, slope = (xp.where(gone, xp.zeros_like(a), a) * R2 for a in (B, slope))
        used = m * k
        flat = xp.reshape(unit, (b, used))
        wide = (xp.broadcast_to(xp.expand_dims(a, axis=-1), (b, m, k)) for a in (B, slope))
        B, slope = (xp.reshape(a, (b, used)) for a in wide)
        outer = xp.expand_dims(flat, axis=-1) * xp.expand_dims(flat, axis=1) * law._p("same", x)
        eye = xp.eye(used, dtype=xp.float64, device=x.device)
        out = xp.expand_dims(slope, axis=-1) * outer + xp.expand_dims(B, axis=-1) * (eye - outer)
        if used < self.dim:
            pad = self.dim - used
            out = xp.concat([out, xp.zeros((b, used, pad), dtype=xp.float64, device=x.device)], axis=2)
            out = xp.concat([out, xp.zeros((b, pad, self.dim), dtype=xp.float64, device=x.device)], axis=1)
        if not law._natural:
            inverse = from_numpy(law._inverse, x)
            out = xp.take(xp.take(out, inverse, axis=1), inverse, axis=2)
        return out

    def posterior_covariance(self, x: ArrayLike) -> Array:
        """Conditional covariance Cov[X | x], (n, d, d); 0 at sigma = 0."""
        x = self._check(x)
        return self._run(self._covariance, x, (self.dim, self.dim), self._rows(matrix=True), posterior=True)

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d); ValueError naming sigma at sigma = 0."""
        x = self._check(x)
        self._need_noise("hessian", x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            s3, t3 = (xp.reshape(a, (-1, 1, 1)) for a in (s, t))
            eye = xp.eye(self.dim, dtype=xp.float64, device=x.device)
            return ((s3 / t3) ** 2 * self._covariance(x, s, t) - eye) / t3 / t3

        return self._run(kernel, x, (self.dim, self.dim), self._rows(matrix=True))


class Subspace(Fixed):
    """Gaussian or flat (Lebesgue) measure on an affine subspace of R^d.

    Parameters
    ----------
    basis : array (d, m)
        Linearly independent columns; not necessarily orthonormal.
    offset : array (d,), optional
        A point of the subspace and mean of the Gaussian; 0 by default.
    covariance : float, array (m, m) or None
        Covariance of the coefficients: ``X = offset + basis @ g`` with ``g ~ N(0, covariance)``; a number c
        means c times the identity. None is the flat measure, which is no probability: it has denoise (the
        projection), score, hessian and posterior_covariance, but no sample, mean or log_density.

    Attributes
    ----------
    basis : as given;  frame : (d, m) orthonormal;  offset;  dim = d;  subspace_dim = m;  reach = inf

    Raises
    ------
    ValueError
        Naming the argument: columns that are dependent to rounding, a covariance that is not symmetric
        positive semidefinite.

    Examples
    --------
    >>> Subspace([[1.0], [0.0]]).project([[3.0, 4.0]])
    array([[3., 0.]])
    """

    reach = math.inf

    def __init__(self, basis: ArrayLike, offset: ArrayLike | None = None, covariance: ArrayLike | None = None) -> None:
        given = basis
        basis = to_numpy(real_array("basis", basis))
        if basis.ndim != 2 or basis.shape[1] > basis.shape[0] or basis.shape[1] == 0:
            fail(
                f"basis (shape {basis.shape})",
                given,
                "shape (d, m) with 1 <= m <= d: basis vectors are columns",
            )
        d, m = basis.shape
        bounded("basis", given, basis)

        # An orthonormal frame of independent columns.
        singular = np.linalg.svd(basis, compute_uv=False)
        if singular[-1] <= 8 * d * EPS * singular[0]:
            fail("basis", given, "linearly independent columns")
        Q, T = np.linalg.qr(basis)
        # with a positive diagonal of T the factors are unique
        signs = np.where(np.diag(T) < 0, -1.0, 1.0)
        Q, T = Q * signs, signs[:, np.newaxis] * T
        self.basis, self.dim, self.subspace_dim = np.array(basis), d, m

        # A point of the subspace.
        if offset is None:
            offset = np.zeros(d)
        offset = to_numpy(real_array("offset", offset))
        if offset.shape != (d,):
            fail(f"offset (shape {offset.shape})", offset, f"shape ({d},)")
        bounded("offset", offset, offset)
        self.offset = np.array(offset)

        # The law of the coefficients: eigenvalues and axes of the covariance within the frame.
        self.flat = covariance is None
        lam = np.zeros(m)
        if not self.flat:
            C = to_numpy(real_array("covariance", covariance))
            if C.ndim == 0:
                if C < 0:
                    fail("covariance", covariance, "a variance >= 0")
                C = C * np.eye(m)
            if C.shape != (m, m):
                fail(f"covariance (shape {C.shape})", covariance, f"a number or shape ({m}, {m})")
            size = np.max(np.abs(C))
            if np.any(np.abs(C - C.T) > 1e-10 * size):
                fail("covariance", covariance, "a symmetric matrix")
            own = np.linalg.eigvalsh(C / 2 + C.T / 2)
            if own[0] < -10 * m * EPS * np.max(np.abs(own)):
                fail(f"covariance (eigenvalue {own[0]:.3g})", covariance, "a positive semidefinite matrix")
            with np.errstate(over="ignore", invalid="ignore"):
                S = T @ (C / 2 + C.T / 2) @ T.T
            if not np.all(np.abs(S) <= LARGE**2):
                fail("covariance", covariance, f"variances of basis @ g of at most {LARGE**2:g}")
            lam, V = np.linalg.eigh(S / 2 + S.T / 2)
            lam = np.where(lam <= m * EPS * max(lam[-1], 0.0), 0.0, lam)
            # draws: Q S^(1/2) z, which is unique where S has repeated eigenvalues and V is not
            self._root = Q @ (V * np.sqrt(lam)) @ V.T
            Q = Q @ V

        # Sizes, as in all laws: the largest coordinate or deviation and the smallest deviation.
        self.frame = Q
        self._lam = lam
        positive = np.sqrt(lam[lam > 0])
        top = max(float(np.max(np.abs(self.offset))), float(np.max(positive, initial=0.0)))
        self._size = top if top > 0 else 1.0
        self._thin = float(np.min(positive)) if positive.size else self._size
        if positive.size:
            spread("covariance", covariance, self._size, self._thin)
        self._p = Parameters(Q=Q, Qt=Q.T, offset=self.offset, lam=lam)
        self._fix()

    def __repr__(self):
        kind = "flat" if self.flat else "Gaussian"
        return f"Subspace(dim={self.dim}, subspace_dim={self.subspace_dim}, {kind})"

    def _split(self, x, s=None):
        """Coordinates in the frame (b, m) and the normal part (b, d) of x - s offset."""
        xp = array_namespace(x)
        offset = xp.expand_dims(self._p("offset", x), axis=0)
        y = x - (offset if s is None else column(xp, s) * offset)
        Q, Qt = self._p("Q", x), self._p("Qt", x)
        a = xp.matmul(y, Q)
        normal = y - xp.matmul(a, Qt)
        # Once more: the first pass leaves eps |y| in the frame, which would not be small against a small
        # normal part.
        return a, normal - xp.matmul(xp.matmul(normal, Q), Qt)

    def project(self, x: ArrayLike) -> Array:
        """Orthogonal projection, (n, d)."""
        x = queries("x", x, self.dim)
        xp = array_namespace(x)
        return xp.matmul(self._split(x)[0], self._p("Qt", x)) + self._p("offset", x)

    def distance(self, x: ArrayLike) -> Array:
        """Euclidean distance to the subspace, (n,)."""
        x = queries("x", x, self.dim)
        return norm_rows(array_namespace(x), self._split(x)[1])

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "_NoisedFlat":
        """Law of ``scale * X + sigma * N(0, I)``; scalars, or one value per row of x, shape (n,)."""
        return (_NoisedFlat if self.flat else _NoisedSubspace)(self, scale, sigma)

    def __getattr__(self, name):
        # Only a Gaussian has these; a flat measure does not.
        if name in ("mean", "covariance", "sample") and not self.__dict__.get("flat", True):
            return getattr(self, "_" + name)() if name != "sample" else self._sample
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _mean(self):
        return self.offset.copy()

    def _covariance(self):
        return (self.frame * self._lam) @ self.frame.T

    def _sample(self, n, rng):
        """``n`` draws, NumPy (n, d)."""
        n, rng = integer("n", n, low=0), generator(rng)
        return self.offset + rng.standard_normal((n, self.subspace_dim)) @ self._root.T


class _NoisedFlat(NoisedLaw):
    """Flat measure on a subspace, scaled and noised."""

    sample = property(doc="A flat measure has no samples.")
    mean = property(doc="A flat measure has no mean.")
    covariance = property(doc="A flat measure has no covariance.")

    def __init__(self, law, scale, sigma):
        super().__init__(law, scale, sigma)
        if law.flat and np.any(np.asarray(self.scale) == 0):
            fail("scale", scale, "scale > 0: a flat measure has no prior mean")
        if law.flat and np.any(np.asarray(self.sigma) > np.asarray(self.scale) * LARGE):
            fail("sigma", sigma, f"at most {LARGE:g} scale for a flat measure: its posterior variance is (sigma / scale)^2")

    def _rows(self, matrix=False):
        return max(1, (1 << 19) // (self.dim**2 if matrix else self.dim))

    def _gains(self, s, t, x):
        """(s lam / v, sigma^2 lam / v, 1 / v) with v = s^2 lam + sigma^2, each (b or 1, m); lam = inf for
        the flat measure."""
        xp = array_namespace(x)
        s, t = column(xp, s), column(xp, t)
        one = xp.ones((1, self.law.subspace_dim), dtype=xp.float64, device=x.device)
        return one / s, (t / s) ** 2 * one, 0.0 * one

    def denoise(self, x: ArrayLike) -> Array:
        """Conditional mean E[X | x], (n, d); for the flat measure the projection of x / scale at every
        sigma."""
        x = self._check(x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            gain = self._gains(s, t, x)[0]
            return xp.matmul(gain * self.law._split(x, s)[0], self.law._p("Qt", x)) + self.law._p("offset", x)

        return self._run(kernel, x, (self.dim,), self._rows(), posterior=True)

    def score(self, x: ArrayLike) -> Array:
        """Gradient of the log density, (n, d); ValueError naming sigma at sigma = 0."""
        x = self._check(x)
        self._need_noise("score", x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            precision = self._gains(s, t, x)[2]
            a, normal = self.law._split(x, s)
            return -xp.matmul(precision * a, self.law._p("Qt", x)) - normal / column(xp, t) / column(xp, t)

        return self._run(kernel, x, (self.dim,), self._rows())

    def _frame_matrix(self, diagonal, x):
        """Q diag(diagonal (b, m)) Q^T, (b, d, d)."""
        xp = array_namespace(x)
        Q = xp.expand_dims(self.law._p("Q", x), axis=0)
        out = xp.matmul(Q * xp.expand_dims(diagonal, axis=1), self.law._p("Qt", x))
        return xp.broadcast_to(out, (x.shape[0], self.dim, self.dim)) + 0.0

    def posterior_covariance(self, x: ArrayLike) -> Array:
        """Conditional covariance Cov[X | x], (n, d, d)."""
        x = self._check(x)
        return self._run(
            lambda x, s, t: self._frame_matrix(self._gains(s, t, x)[1], x),
            x,
            (self.dim, self.dim),
            self._rows(True),
            posterior=True,
        )

    def hessian(self, x: ArrayLike) -> Array:
        """Hessian of the log density, (n, d, d); ValueError naming sigma at sigma = 0."""
        x = self._check(x)
        self._need_noise("hessian", x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            eye = xp.eye(self.dim, dtype=xp.float64, device=x.device)
            Q, Qt = self.law._p("Q", x), self.law._p("Qt", x)
            normal = (eye - xp.matmul(Q, Qt)) / xp.reshape(t, (-1, 1, 1)) ** 2
            return -normal - self._frame_matrix(self._gains(s, t, x)[2], x)

        return self._run(kernel, x, (self.dim, self.dim), self._rows(True))


class _NoisedSubspace(_NoisedFlat):
    """Gaussian on a subspace, scaled and noised."""

    sample = NoisedLaw.sample
    mean = NoisedLaw.mean
    covariance = NoisedLaw.covariance

    def _gains(self, s, t, x):
        xp = array_namespace(x)
        s, t = column(xp, s), column(xp, t)
        lam = xp.expand_dims(self.law._p("lam", x), axis=0)
        v = s * s * lam + t * t
        gone = v == 0
        inverse = 1 / xp.where(gone, xp.ones_like(v), v)
        return s * lam * inverse, lam * (t * t * inverse), inverse

    def log_density(self, x: ArrayLike) -> Array:
        """Log density, (n,); ValueError naming sigma at sigma = 0."""
        x = self._check(x)
        self._need_noise("log_density", x)

        def kernel(x, s, t):
            xp = array_namespace(x)
            precision = self._gains(s, t, x)[2]
            a, normal = self.law._split(x, s)
            normal = normal / column(xp, t)
            inside = xp.sum(precision * a * a - xp.log(precision), axis=-1) + xp.sum(normal * normal, axis=-1)
            return -0.5 * inside - (self.dim - self.law.subspace_dim) * xp.log(t) - 0.5 * self.dim * LOG_2PI

        return self._run(kernel, x, (), self._rows())

    def materialise(self) -> "Subspace":
        """This law as a `GaussianMixture` of one component (scalar levels)."""
        from .gaussian_mixture import GaussianMixture

        if self._per_row:
            fail("sigma", self.sigma, "scalar levels: one law per row is not one mixture")
        law = self.law
        U, _ = np.linalg.qr(law.frame, mode="complete")
        U[:, : law.subspace_dim] = law.frame
        lam = np.concatenate([law._lam, np.zeros(law.dim - law.subspace_dim)])
        lam = self.scale**2 * lam + self.sigma**2
        return GaussianMixture._from_eigen(np.ones(1), self.scale * law.offset[None], "full", lam[None], U[None])

    def noised(self, scale: ArrayLike = 1.0, sigma: ArrayLike = 0.0) -> "_NoisedFlat":
        """Law of ``scale * Y + sigma * N(0, I)`` where Y is this noised variable (scalar levels)."""
        return self.materialise().noised(scale, sigma)
