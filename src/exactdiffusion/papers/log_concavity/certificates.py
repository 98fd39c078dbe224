r"""From which noise on is a noised law log-concave? Thresholds with witnesses, and certificates in up to three dimensions.

For atoms ``z_i`` with weights ``w_i`` and noise of variance v, ``q_v`` is log-concave if and only if
``sup_y lammax Cov(Z | Z + sqrt(v) N = y) <= v``. Once true it stays true as v grows (Prekopa), so there is one threshold
``v*``. A mixture with the common covariance ``tau^2 I`` has ``sigma*^2 = max(0, v* - tau^2)``.

Three kinds of answers, never mixed:

* a *witness*, a point y with ``lammax Cov > v`` (or a hull edge, its limit at infinity), shows that q_v is not log-concave;
* a *certificate* shows that it is: cells cover the line, plane or space, and on each of them a bound from its corners stays
  below v; beyond a radius a closed bound takes over;
* the *closed bounds* (half diameter, radius, Jung) hold in any dimension.

Everything is indexed by variances. Float certificates are proofs up to rounding, which an outward margin of 1e-9 covers;
:func:`rigorous_covariance` repeats a covariance, and :meth:`Certificate.recheck` proves a certificate anew by bounds of its
own, in ball arithmetic (extra ``rigorous``).
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._core.arrays import to_numpy
from ..._core.typing import ArrayLike, Rng
from ..._core.validation import boolean, fail, in_range, integer, points, real_array, scalar

if TYPE_CHECKING:
    from ...laws import GaussianMixture, PointCloud, Sphere

__all__ = [
    "Certificate", "LogConcavityThreshold", "certify_log_concavity", "covariance_supremum", "enclosing_ball",
    "exposed_pairs", "largest_posterior_variance", "log_concavity_threshold", "rigorous_covariance", "spectral_gap",
]  # fmt: skip

#: outward relative margin of float certificates: far above the rounding of a covariance of a few hundred atoms
MARGIN = 1e-9
# a witness exceeds v by more than the rounding of a covariance: on lattices Var = v to all digits over wide ranges
_CLEAR = 1e-13
# a weight below exp(-708) loses digits or vanishes in float64; enlarged by exp(300) it is still below 1e-177
_LARGEST_TILT = 300.0
_BLOCK = 1 << 17  # numbers in one array over cells and atoms: 1 MiB


# ------------------------------------------------------------------------------------------------- the law as a cloud


def _cloud(law, sphere=""):
    """(points, weights, tau^2) of X = Z + tau N with Z discrete; ``sphere`` ends the message where spheres are taken too."""
    from ...laws import GaussianMixture, PointCloud

    if isinstance(law, PointCloud):
        P, w, tau2 = law.points, law.weights, 0.0
    elif isinstance(law, GaussianMixture):
        lam = law._lam
        if np.ptp(lam) > 0:
            fail("law", law, "one common isotropic covariance tau^2 I: otherwise X is not Z + tau N with Z discrete")
        P, w, tau2 = law.means, law.weights, float(lam.flat[0])
    else:
        fail(
            "law",
            law,
            "a PointCloud (PointCloud(points) of an array), a GaussianMixture with one isotropic covariance" + sphere,
        )
    keep = w > 0
    P, index = np.unique(P[keep] + 0.0, axis=0, return_inverse=True)
    return P, np.bincount(index.ravel(), weights=w[keep]), tau2


def _flatten(P):
    """The cloud in coordinates of its affine hull, centred: (n, rank)."""
    Q = P - P.mean(axis=0)
    if len(P) == 1:
        return Q[:, :0]
    U, s, _ = np.linalg.svd(Q, full_matrices=False)
    rank = int(np.sum(s > 1e-12 * s[0])) if s[0] > 0 else 0
    return U[:, :rank] * s[:rank]


def _posterior(P, logw, v, y):
    """(weights (n, K), mean (n, r)) of the atoms given Z + sqrt(v) N = y."""
    logits = logw - 0.5 * np.sum(P * P, axis=1) / v + (y @ P.T) / v
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return p, p @ P


def _lammax(P, p, mean):
    """Largest eigenvalue (n,) of the covariances, from centred atoms."""
    r = P.shape[1]
    if r == 1:
        return np.sum(p * (P[:, 0] - mean) ** 2, axis=1)
    if r == 2:
        a, b = P[:, 0] - mean[:, :1], P[:, 1] - mean[:, 1:]
        return _symmetric_top(np.sum(p * a * a, 1), np.sum(p * b * b, 1), np.sum(p * a * b, 1))
    z = P - mean[:, np.newaxis, :]
    return np.linalg.eigvalsh(np.swapaxes(z * p[:, :, np.newaxis], 1, 2) @ z)[:, -1]


@in_range
def largest_posterior_variance(law: "PointCloud | GaussianMixture", y: ArrayLike, sigma2: float) -> np.ndarray:
    r"""Largest eigenvalue of ``Cov(Z | y)`` where ``y = X + sigma N``, ``X = Z + tau N`` and Z the atoms (or means).

    ``q_{sigma^2}`` is log-concave at y exactly where this is at most ``sigma^2 + tau^2``: the Hessian of its log density has
    the largest eigenvalue ``(lammax / v - 1) / v``, ``v = sigma^2 + tau^2``. Not the covariance of X given y, which is
    ``(sigma^2 tau^2 / v) I + (sigma^2 / v)^2 Cov(Z | y)``.

    Parameters
    ----------
    law : PointCloud, or GaussianMixture with one isotropic covariance tau^2 I
    y : array, shape (n, d)
    sigma2 : float >= 0
        Variance of the added noise; ``sigma2 + tau^2 > 0``.

    Returns
    -------
    array, shape (n,)

    Examples
    --------
    Two atoms at +-1, seen from the middle and from one side:

    >>> import numpy as np
    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import largest_posterior_variance
    >>> np.round(largest_posterior_variance(PointCloud([[-1.0], [1.0]]), [[0.0], [2.0]], sigma2=1.0), 4)
    array([1.    , 0.0707])
    """
    P, w, tau2 = _cloud(law)
    v = scalar("sigma2", sigma2, low=0) + tau2
    if v <= 0:
        fail("sigma2", sigma2, "positive noise: a cloud itself has no density")
    y = points("y", y, P.shape[1])
    shift = P.mean(axis=0)
    P = P - shift
    return _lammax(P, *_posterior(P, np.log(w), v, np.asarray(y) - shift))


# ---------------------------------------------------------------------------------------------------- closed bounds


def _circumball(P, tolerance):
    """Centre in the affine hull of P and squared radius of the sphere through its points."""
    if len(P) == 0:
        return None
    A = P[1:] - P[0]
    if len(A) == 0:
        return P[0], 0.0
    x = np.linalg.lstsq(2 * A @ A.T, np.sum(A * A, axis=1), rcond=1e-14)[0] @ A
    return P[0] + x, float(x @ x)


@in_range
def enclosing_ball(cloud: ArrayLike) -> tuple[np.ndarray, float]:
    """Smallest ball that contains the points: (centre (d,), radius).

    Welzl's algorithm with move to front; the points that define the ball lie on it to rounding.

    Parameters
    ----------
    cloud : array, shape (K, d)

    Examples
    --------
    The corners of a square and its centre:

    >>> from exactdiffusion.papers.log_concavity.certificates import enclosing_ball
    >>> centre, radius = enclosing_ball([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [1.0, 1.0]])
    >>> centre, round(radius, 6)
    (array([1., 1.]), 1.414214)
    """
    P = to_numpy(points("cloud", cloud, allow_empty=False))
    shift, tol = P.mean(axis=0), 1e-12 * (np.max(np.abs(P - P.mean(axis=0))) ** 2 + np.finfo(float).tiny)
    P = P - shift
    order = list(np.random.default_rng(0).permutation(len(P)))

    def outside(ball, q):
        return ball is None or np.sum((q - ball[0]) ** 2) > ball[1] + tol

    def smallest(count, on):
        ball = _circumball(P[on], tol)
        if len(on) == P.shape[1] + 1:
            return ball
        for i in range(count):
            k = order[i]
            if outside(ball, P[k]):
                ball = smallest(i, [*on, k])
                order.insert(0, order.pop(i))
        return ball

    centre, square = smallest(len(P), [])
    return centre + shift, math.sqrt(square)


@in_range
def exposed_pairs(cloud: ArrayLike, longest_only: bool = True) -> list[tuple[int, int, float]]:
    """Pairs of points that are exactly the points on some supporting hyperplane: the edges of the hull, free of others.

    Along the normal of that hyperplane, far away, the posterior sees these two atoms only, and a shift parallel to the edge
    makes their odds equal: the posterior variance tends to a quarter of their squared distance.

    Parameters
    ----------
    cloud : array, shape (K, d)
    longest_only : bool
        Stop at the longest one.

    Returns
    -------
    list of (i, j, squared length), longest first

    Examples
    --------
    The sides of a rectangle are exposed, its diagonals are not; the longest side decides:

    >>> from exactdiffusion.papers.log_concavity.certificates import exposed_pairs
    >>> rectangle = [[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]]
    >>> exposed_pairs(rectangle)
    [(0, 2, 4.0)]
    >>> len(exposed_pairs(rectangle, longest_only=False))
    4
    """
    P, longest_only = to_numpy(points("cloud", cloud, allow_empty=False)), boolean("longest_only", longest_only)

    # in the plane an edge joins neighbours on the hull; elsewhere every pair is a candidate
    if P.shape[1] == 2:
        hull = _hull(P)
        i, j = (
            np.array(sorted({(min(e), max(e)) for e in zip(hull, hull[1:] + hull[:1]) if e[0] != e[1]}), int)
            .reshape(-1, 2)
            .T
        )
    else:
        i, j = np.triu_indices(len(P), 1)

    # the longest first; a pair is exposed where a hyperplane through it leaves all other points on one side
    square = np.sum((P[i] - P[j]) ** 2, axis=1)
    size = _diameter(P)
    found = []
    for k in np.argsort(-square, kind="stable"):
        if square[k] > 0 and _exposure(P / size, i[k], j[k]) > 1e-9:
            found.append((int(i[k]), int(j[k]), float(square[k])))
            if longest_only:
                break
    return found


def _exposure(P, i, j):
    """Largest t such that u (z_i - z_l) >= t for all l but i and j, u (z_i - z_j) = 0 and |u| <= 1 per coordinate."""
    rest = np.delete(np.arange(len(P)), [i, j])
    if not len(rest):
        return 1.0
    a, d = P[j] - P[i], P.shape[1]

    # in the plane u is one of the two normals of the pair
    if d == 2:
        side = (a[0] * (P[rest, 1] - P[i, 1]) - a[1] * (P[rest, 0] - P[i, 0])) / np.max(np.abs(a))
        return max(np.min(side), np.min(-side))

    from scipy.optimize import linprog

    result = linprog(
        np.r_[np.zeros(d), -1.0],
        A_ub=np.c_[P[rest] - P[i], np.ones(len(rest))],
        b_ub=np.zeros(len(rest)),
        A_eq=np.r_[-a, 0.0][np.newaxis],
        b_eq=[0.0],
        bounds=[(-1, 1)] * d + [(None, 1)],
        method="highs",
    )
    if result.status != 0:
        raise RuntimeError(f"linear program of pair {(int(i), int(j))}: {result.message}")
    return -result.fun


def _hull(P):
    """Vertices of the convex hull of plane points, counterclockwise, by the monotone chain of Andrew (1979)."""
    order = np.lexsort((P[:, 1], P[:, 0])).tolist()
    xy = P.tolist()

    def chain(indices):
        kept: list[int] = []
        for k in indices:
            while len(kept) > 1:
                (ax, ay), (bx, by), (cx, cy) = xy[kept[-2]], xy[kept[-1]], xy[k]
                if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0:
                    break
                kept.pop()
            kept.append(k)
        return kept[:-1]

    return chain(order) + chain(order[::-1])


# ------------------------------------------------------------------------------------------------------ certificates


@dataclass(frozen=True)
class Certificate:
    """Outcome of :func:`certify_log_concavity`.

    Attributes
    ----------
    status : True (proved up to rounding), False (witness found) or None (cell budget spent: undecided)
    bound : float
        The claim: ``lammax Cov(Z | y) <= bound`` for every y.
    variance : float
        v, the variance of the noise seen by the atoms (sigma^2 + tau^2).
    cells : int
        Cells examined.
    witness : array or None
        A point y where the claim fails (in coordinates of the law).
    radius : float
        Beyond this distance from the centroid the closed tail bound holds; in the plane the largest one of its sectors.
    leaves : arrays (centres, half widths) of the accepted cells, in coordinates of the affine hull
        In space (centres, half widths, faces), as in :class:`.space_certificates.FaceProof`.
    inner : float
        In space, half the side of the cube of boxes in the middle.

    Examples
    --------
    A proof for two atoms just above their threshold 1, and a witness below it:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity
    >>> law = PointCloud([[-1.0], [1.0]])
    >>> certify_log_concavity(law, 1.01).status
    True
    >>> below = certify_log_concavity(law, 0.9)
    >>> below.status, bool(abs(below.witness[0]) < 0.5)
    (False, True)
    """

    status: bool | None
    bound: float
    variance: float
    cells: int
    witness: np.ndarray | None
    radius: float
    leaves: tuple = field(repr=False, default=())
    points: np.ndarray | None = field(repr=False, default=None)
    weights: np.ndarray | None = field(repr=False, default=None)
    tails: tuple = field(repr=False, default=())
    inner: float = field(repr=False, default=0.0)

    @property
    def cones(self) -> tuple:
        """The cones of directions of a certificate in space, another name of ``tails``."""
        return self.tails

    def recheck(self, prec: int = 96, every: int = 1) -> bool:
        """Whether the accepted cells cover the line, plane or space and prove the claim: exact integers, ball arithmetic.

        An independent program, which derives its own bounds; python-flint is in the extra ``rigorous``. The statement proved
        is about the atoms as stored: the float64 coordinates in the affine hull and weights. ``every`` = k bounds each k-th
        cell only, whereas the cover is always examined (then it is a sample and no proof).

        Raises
        ------
        ModuleNotFoundError
            Without python-flint, saying which extra to install.
        ValueError
            Where nothing is claimed, the cells were not kept, or the atoms have not one, two or three coordinates.
        """
        from .certificate_check import refutation, space_refutation

        _flint()
        if self.status is not True or not len(self.leaves):
            fail("certificate", self, "a proved certificate made with keep_leaves=True")
        shape = () if self.points is None else np.shape(self.points)
        if len(shape) != 2 or shape[1] not in (1, 2, 3):
            fail(
                "points",
                shape,
                "of shape (K, 1), (K, 2) or (K, 3): only proofs on a line, in a plane or in space are checked",
            )
        examine = space_refutation if shape[1] == 3 else refutation
        return examine(self, integer("prec", prec, low=53), integer("every", every, low=1)) is None


def _symmetric_top(xx, yy, xy):
    """Largest eigenvalue of the matrices [[xx, xy], [xy, yy]]."""
    return 0.5 * (xx + yy) + np.hypot(0.5 * (xx - yy), xy)


def _cell_bound(P, p, mean, half, v):
    """Upper bounds (n,) of lammax Cov over cells; the proof stands in `certify_log_concavity`.

    p (n, K) and mean (n, r) are the posterior at the centres, ``half`` is half the side of the cells. A cell whose tilts
    leave the range in which no weight that underflowed can count has the bound inf.
    """
    # the exponentials of the tilts by h / v along each axis
    axes = [P[:, i] - mean[:, i, np.newaxis] for i in range(P.shape[1])]
    reach = sum(np.max(np.abs(a), axis=1) for a in axes) * half / v
    tilts = [np.exp(np.clip(half / v * a, -_LARGEST_TILT, _LARGEST_TILT)) for a in axes]

    # the largest eigenvalue of the tilted second moment at each corner
    if P.shape[1] == 1:
        square = p * axes[0] ** 2
        bound = np.maximum(np.sum(square * tilts[0], axis=1), np.sum(square / tilts[0], axis=1))
    else:
        x, y = axes
        bound = np.zeros(len(p))
        for side in (p * tilts[0], p / tilts[0]):
            for corner in (side * tilts[1], side / tilts[1]):
                cx, cy = corner * x, corner * y
                top = _symmetric_top(np.sum(cx * x, axis=1), np.sum(cy * y, axis=1), np.sum(cx * y, axis=1))
                bound = np.maximum(bound, top)
    return np.where(reach <= _LARGEST_TILT, bound, np.inf)


def _tail_1d(P, logw, v, bound):
    """Radius beyond which Var <= sum_i (z_i - z_top)^2 p_i / p_top <= bound, a decreasing function of |y|."""
    x = P[:, 0]
    L = logw - x * x / (2 * v)
    radius = 0.0
    for sign in (1.0, -1.0):
        top = np.argmax(sign * x)
        others = np.delete(np.arange(len(x)), top)

        def value(y, top=top, others=others, sign=sign):
            with np.errstate(over="ignore"):
                ratio = np.exp(L[others] - L[top] + sign * y * (x[others] - x[top]) / v)
            return np.sum((x[others] - x[top]) ** 2 * ratio)

        low, high = 0.0, max(np.ptp(x), math.sqrt(v))
        while value(high) > bound * (1 - MARGIN):
            low, high = high, 2 * high
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if value(middle) > bound * (1 - MARGIN) else (low, middle)
        radius = max(radius, high)
    return radius


def _sector(P, logw, v, alpha, half, radius, slack):
    """(base atom, cluster, q): in directions alpha +- half, at distances >= radius, atoms outside the cluster weigh <= q."""
    u = np.array([math.cos(alpha), math.sin(alpha)])
    L = logw - 0.5 * np.sum(P * P, axis=1) / v
    base = int(np.argmax(L + radius * (P @ u) / v))
    a = P - P[base]
    angle = np.abs((np.arctan2(a[:, 1], a[:, 0]) - alpha + math.pi) % (2 * math.pi) - math.pi)
    g = np.hypot(a[:, 0], a[:, 1]) * np.cos(np.clip(angle - half - 1e-12, 0.0, None))
    g[base] = 0.0
    with np.errstate(over="ignore"):
        ratio = np.exp(L - L[base] + radius * np.minimum(g, 0.0) / v)
    inside = (g >= 0) | (ratio > slack)
    return base, np.flatnonzero(inside), float(np.sum(ratio[~inside]))


def _diameter(P):
    return math.sqrt(np.max(np.sum((P[:, np.newaxis] - P[np.newaxis]) ** 2, axis=2)))


def _tail_2d(P, logw, v, bound, D, radius):
    """Sectors (alpha, half, cluster, r) that cover all directions, each at the distances >= its own r, or None.

    A sector that is refused is halved, and where it is narrower than the hyperplane between two atoms is thick, as seen from
    there, taken farther out: next to the normal of an edge that an atom almost lies on, that atom fades slowly.
    """
    stack = [(math.pi * (k + 0.5) / 8, math.pi / 16, radius) for k in range(16)]
    done, most = [], 1e5 * (D + math.sqrt(v))
    while stack:
        alpha, half, radius = stack.pop()
        # u' Cov u <= E (u Z - c)^2 with c the midrange over the cluster: D_C^2 / 4 inside, D^2 q for the rest
        for share in (0.5, 0.1, 0.01, 1e-4):
            _, cluster, q = _sector(P, logw, v, alpha, half, radius, share * bound / (D * D * len(P)))
            if _diameter(P[cluster]) ** 2 / 4 + D * D * q <= bound * (1 - MARGIN):
                done.append((alpha, half, tuple(cluster), radius))
                break
        else:
            if half * radius > 4 * v / D:
                stack += [(alpha - half / 2, half / 2, radius), (alpha + half / 2, half / 2, radius)]
            elif radius < most:
                stack.append((alpha, half, 2 * radius))
            else:
                return None
    return tuple(done)


def _beyond(centres, half, tails):
    """Which squares (n,) lie where the sectors hold: no nearer than the radius of any sector whose directions they meet."""
    low, radii = (np.array(a) for a in zip(*sorted((alpha - wide, r) for alpha, wide, _, r in tails)))
    low = np.concatenate([low - 2 * math.pi, low, low + 2 * math.pi])
    far, reach = np.hypot(centres[:, 0], centres[:, 1]), half * math.sqrt(2)
    angle = np.arctan2(centres[:, 1], centres[:, 0]) % (2 * math.pi)
    wide = np.arcsin(np.minimum(1.0, reach / np.maximum(far, reach))) + 1e-9
    first = np.searchsorted(low, angle - wide, side="right") - 1
    last = np.maximum(np.searchsorted(low, angle + wide, side="left"), first + 1)
    ends = np.stack([first, last], axis=1).ravel()
    needed = np.maximum.reduceat(np.append(np.tile(radii, 3), 0.0), ends)[::2]
    return far - reach >= needed


@in_range
def certify_log_concavity(
    law: "PointCloud | GaussianMixture",
    sigma2: float,
    *,
    bound: float | None = None,
    max_cells: int = 4_000_000,
    keep_leaves: bool = False,
) -> Certificate:
    r"""Prove, or refute by a witness, that ``lammax Cov(Z | y) <= bound`` for every y, in 1, 2 or 3 dimensions.

    With ``bound = v`` (the default, ``v = sigma^2 + tau^2``) the claim is that ``q_{sigma^2}`` is log-concave; a bound below
    v proves that it is strongly log-concave with constant ``(1 - bound / v) / v``.

    A cell has the centre c and the half side h. Write ``m = E[Z | c]``, ``z = Z - m``, and let E be the expectation under
    the posterior at c. At ``y = c + v theta`` atom i has the weight :math:`p_i(c) e^{\theta z_i} / E e^{\theta z}`, and a
    variance is at most a second moment about any point, here about m:

    .. math:: \lambda_{\max}\mathrm{Cov}(Z \mid y) \le \frac{G(\theta)}{E e^{\theta z}} \le G(\theta), \qquad
              G(\theta) = \lambda_{\max} E\big[e^{\theta z} z z^\top\big],

    because :math:`E e^{\theta z} \ge e^{\theta E z} = 1` by Jensen's inequality. G is convex: for each unit vector u the
    form :math:`E[e^{\theta z} (u z)^2]` is a positive sum of exponentials of linear functions, and the largest eigenvalue
    is the supremum over u. On the cell, G is therefore at most its largest value at the 2^r corners
    :math:`\theta_k = s_k / v`, :math:`s_k \in \{-h, h\}^r`, and the cell is accepted when this is below the bound.

    This test is of second order: at c, G has the value and the slope of lammax Cov, and on the cell it exceeds lammax Cov by
    :math:`O(h^2)`. Near a maximum that lies below the bound by a fraction s of it, cells of sides of order sqrt(s) are
    accepted. The growth rate of the covariance alone, a test of first order, asks for sides of order s.

    In two dimensions the cells are squares of a quad-tree. Beyond a radius of its own each narrow sector of directions
    has a dominating cluster C of atoms, which contributes at most ``D_C^2 / 4``, and the others are exponentially small.
    In three dimensions the cells are boxes and, farther out, frusta; :mod:`.space_certificates` describes them and the
    proof beyond. Every comparison is made against the bound less the relative `MARGIN`, 1e-9, which exceeds the rounding
    of a second moment of a few hundred atoms (their exponents are at most 300 in absolute value) by several orders of
    magnitude.

    Parameters
    ----------
    law : PointCloud, or GaussianMixture with one isotropic covariance
        Its atoms or means span an affine space of dimension 1, 2 or 3.
    sigma2 : float >= 0
    bound : float, optional
    max_cells : int
    keep_leaves : bool
        Keep the accepted cells, for drawing and for :meth:`Certificate.recheck`.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        For other laws, or an affine hull of dimension above 3.

    Examples
    --------
    The corners of a square with sides of length 2 are log-concave from sigma^2 = 1 on:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity
    >>> square = PointCloud([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> found = certify_log_concavity(square, 1.01)
    >>> found.status, found.cells < 10_000
    (True, True)
    """
    P0, w, tau2 = _cloud(law)
    v = scalar("sigma2", sigma2, low=0) + tau2
    if v <= 0:
        fail("sigma2", sigma2, "positive noise: a cloud itself has no density")
    bound = v if bound is None else scalar("bound", bound, low=0, low_open=True)
    max_cells, keep_leaves = integer("max_cells", max_cells, low=1), boolean("keep_leaves", keep_leaves)
    P = _flatten(P0)
    r = P.shape[1]
    if r > 3:
        expected = "atoms on a line, in a plane or in space; log_concavity_threshold has closed bounds elsewhere"
        fail(f"law (affine dimension {r})", law, expected)
    logw = np.log(w)
    common = {"bound": bound, "variance": v, "points": P, "weights": w}
    if r == 0:
        return Certificate(True, cells=0, witness=None, radius=0.0, **common)
    if r == 3:
        return _certify_in_space(P0, P, common, max_cells, keep_leaves)

    # far out: a radius beyond which the closed bound holds
    D, tails = _diameter(P), ()
    if r == 1:
        radius = _tail_1d(P, logw, v, bound)
    else:
        tails = _tail_2d(P, logw, v, bound, D, 2 * D + math.sqrt(v))
        if tails is None:  # an edge whose limit at infinity is not below the bound: no cell will show it
            return Certificate(None, cells=0, witness=None, radius=math.inf, **common)
        radius = max(sector[3] for sector in tails)
    common |= {"radius": radius, "tails": tails}

    # the cells of the coarsest level, as centres and half the side
    count = 64 if r == 1 else 16
    line = radius * (2 * (np.arange(count) + 0.5) / count - 1)
    centres = line[:, np.newaxis] if r == 1 else np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    width, cells, accepted = radius / count, 0, []
    block = max(1, _BLOCK // len(P))

    while len(centres):
        # accept the cells of this level whose bound is below the claim
        refine = []
        for start in range(0, len(centres), block):
            c = centres[start : start + block]
            if r == 2:  # the disc is enough, and in it what lies nearer than the sectors
                c = c[np.hypot(c[:, 0], c[:, 1]) - width * math.sqrt(2) <= radius]
                c = c[~_beyond(c, width, tails)]
            cells += len(c)
            p, mean = _posterior(P, logw, v, c)
            top = _lammax(P, p, mean)
            if np.any(top > bound * (1 + MARGIN)):
                witness = _unflatten(P0, P, c[np.argmax(top)])
                return Certificate(False, cells=cells, witness=witness, **common)
            fine = _cell_bound(P, p, mean, width, v) <= bound * (1 - MARGIN)
            if keep_leaves:
                accepted.append((c[fine], np.full(int(fine.sum()), width)))
            refine.append(c[~fine])

        # split the others, unless the budget is spent
        rest = np.concatenate(refine)
        if len(rest) and (cells + len(rest) * 2**r > max_cells or width < 1e-9 * radius):
            return Certificate(None, cells=cells, witness=None, **common)
        width /= 2
        shifts = np.array([[-width], [width]]) if r == 1 else width * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1.0]])
        centres = (rest[:, np.newaxis] + shifts).reshape(-1, r)

    leaves = tuple(np.concatenate([a[i] for a in accepted]) for i in range(2)) if keep_leaves else ()
    return Certificate(True, cells=cells, witness=None, leaves=leaves, **common)


def _certify_in_space(P0, P, common, max_cells, keep_leaves):
    """`certify_log_concavity` for an affine hull of dimension 3."""
    from .space_certificates import prove

    # In R^3 the atoms are moved by few binary digits and not rotated: faces with four atoms or more then stay flat.
    shift = np.zeros(3)
    if P0.shape[1] == 3:
        unit = 2.0 ** math.floor(math.log2(_diameter(P0)) - 4)
        shift = unit * np.round(P0.mean(axis=0) / unit)
    Z = P0 - shift if P0.shape[1] == 3 else P
    found = prove(Z, np.log(common["weights"]), common["variance"], common["bound"], max_cells)

    witness, common = (
        found.witness,
        common | {"points": Z, "radius": found.radius, "inner": found.inner, "tails": found.cones},
    )
    if witness is not None:
        witness = witness + shift if P0.shape[1] == 3 else _unflatten(P0, P, witness)
    status = True if found.proved else False if witness is not None else None
    leaves = found.leaves if keep_leaves and found.proved else ()
    return Certificate(status, cells=found.cells, witness=witness, leaves=leaves, **common)


def _unflatten(P0, P, y):
    """Ambient coordinates of the point with coordinates y in the affine hull: P0 = mean + P B with B orthonormal rows."""
    B = np.linalg.lstsq(P, P0 - P0.mean(axis=0), rcond=None)[0]
    return P0.mean(axis=0) + y @ B


# --------------------------------------------------------------------------------------------------- ball arithmetic


def _flint():
    try:
        import flint
    except ModuleNotFoundError:
        raise ModuleNotFoundError("ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'") from None
    return flint


def rigorous_covariance(cloud: Any, weights: Any, variance: Any, y: Any, prec: int = 256) -> list[list[Any]]:
    """Posterior covariance of the atoms given Z + sqrt(v) N = y as rigorous balls (python-flint; extra ``rigorous``).

    Parameters
    ----------
    cloud : (K, d) nested sequence; weights : (K,); variance : number; y : (d,)
        Strings such as ``"0.3158102"`` are read as decimals, integers, floats and ``flint.arb`` as they are: the ball then
        encloses the value for the decimal numbers and not for their float64 roundings.
    prec : int
        Bits.

    Returns
    -------
    list of d lists of d ``flint.arb``

    Raises
    ------
    ModuleNotFoundError
        Without python-flint.

    Examples
    --------
    Two atoms at +-1, seen from the middle: the variance is 1 exactly.

    >>> from exactdiffusion.papers.log_concavity.certificates import rigorous_covariance
    >>> ((variance,),) = rigorous_covariance([[-1.0], [1.0]], [1, 1], "0.7", [0])
    >>> variance.contains(1)
    True
    """
    flint = _flint()
    arb = flint.arb
    with flint.ctx.workprec(integer("prec", prec, low=53)):

        def number(a):
            if isinstance(a, (str, arb)):  # an arb keeps its radius: through float it would lose its digits unnoticed
                return arb(a)
            return arb(int(a)) if float(a).is_integer() else arb(float(a))

        def numbers(name, value, depth):
            try:
                if isinstance(value, (bytes, dict, set, complex, np.complexfloating)) or (depth and isinstance(value, str)):
                    raise TypeError
                if depth == 0 and not number(value).is_finite():
                    raise TypeError
                return number(value) if depth == 0 else [numbers(name, a, depth - 1) for a in value]
            except (TypeError, ValueError, OverflowError):
                fail(name, value, "finite numbers, or strings that hold decimals, in the shape of the docstring")

        P, w = numbers("cloud", cloud, 2), numbers("weights", weights, 1)
        v, y = numbers("variance", variance, 0), numbers("y", y, 1)
        if not P or not P[0] or any(len(row) != len(P[0]) for row in P):
            fail("cloud", cloud, "K >= 1 rows of the same length d >= 1")
        if len(w) != len(P) or not all(a >= 0 for a in w) or not any(a > 0 for a in w):
            fail("weights", weights, f"{len(P)} nonnegative weights, not all 0")
        if not v > 0:
            fail("variance", variance, "a number > 0")
        if len(y) != len(P[0]):
            fail("y", y, f"{len(P[0])} coordinates")
        # relative to the nearest atom, so that no exponential underflows to a wide ball
        half = [sum(((a - b) ** 2 for a, b in zip(row, y)), arb(0)) / 2 for row in P]
        reference = half[min(range(len(P)), key=lambda k: float(half[k].mid()))]
        e = [wi * ((reference - h) / v).exp() for wi, h in zip(w, half)]
        total = sum(e, arb(0))
        p = [a / total for a in e]
        d = len(y)
        mean = [sum((p[k] * P[k][a] for k in range(len(P))), arb(0)) for a in range(d)]
        return [
            [sum((p[k] * (P[k][a] - mean[a]) * (P[k][b] - mean[b]) for k in range(len(P))), arb(0)) for b in range(d)]
            for a in range(d)
        ]


# -------------------------------------------------------------------------------------------------------- thresholds


def _value_and_gradient(P, logw, v, y):
    """log lammax (n,) at the rows of y and its gradient: d_w u'Cu = E[(w z)(u z)^2] / v at the top eigenvector u."""
    p, mean = _posterior(P, logw, v, y)
    z = P - mean[:, np.newaxis, :]
    if P.shape[1] == 1:
        uz = z[:, :, 0]
        top = np.sum(p * uz * uz, axis=1)
    else:
        lam, U = np.linalg.eigh(np.swapaxes(z * p[:, :, np.newaxis], 1, 2) @ z)
        top, uz = lam[:, -1], (z @ U[:, :, -1:])[:, :, 0]
    top = np.maximum(top, np.finfo(float).tiny)
    return np.log(top), ((p * uz * uz)[:, np.newaxis, :] @ z)[:, 0] / (v * top)[:, np.newaxis]


@in_range
def covariance_supremum(
    cloud: ArrayLike, weights: ArrayLike, variance: float, starts: ArrayLike | None = None, rng: Rng = 0
) -> tuple[float, np.ndarray]:
    """Largest ``lammax Cov(Z | y)`` found by local ascent: (value, y). A lower bound of the supremum, with its witness.

    Parameters
    ----------
    cloud : array, shape (K, d); weights : (K,), positive; variance : float > 0
    starts : array, shape (n, d), optional
        Starting points; by default the best of 4000 random ones, bisectors of random pairs among them.

    Returns
    -------
    (float, array (d,))

    Examples
    --------
    The largest variance of two atoms at +-1 is seen from the middle:

    >>> import numpy as np
    >>> from exactdiffusion.papers.log_concavity.certificates import covariance_supremum
    >>> value, y = covariance_supremum([[-1.0], [1.0]], [0.5, 0.5], variance=0.5)
    >>> round(value, 9), bool(abs(y[0]) < 1e-6)
    (1.0, True)
    """
    P = to_numpy(points("cloud", cloud, allow_empty=False))
    w = to_numpy(real_array("weights", weights))
    if w.shape != P.shape[:1] or np.any(w <= 0):
        fail(f"weights (shape {w.shape})", weights, f"{P.shape[0]} positive weights")
    v = scalar("variance", variance, low=0, low_open=True)
    shift = P.mean(axis=0)
    if starts is not None:
        starts = to_numpy(points("starts", starts, P.shape[1], allow_empty=False)) - shift
    value, y = _supremum(P - shift, np.log(w), v, starts, rng)
    return value, y + shift


def _supremum(P, logw, v, starts=None, rng=0):
    """`covariance_supremum` of a centred cloud."""
    y, value = _ascent(P, logw, v, _random_starts(P, logw, v, rng) if starts is None else starts)
    k = int(np.argmax(value))
    y, value = _ascent(P, logw, v, y[k : k + 1])
    return float(value[0]), y[0]


def _best(y, value, v):
    """Rows whose value is within 1e-4 of the largest, one of those that lie within a tenth of sqrt(v), best first."""
    kept: list[int] = []
    for k in np.argsort(-value, kind="stable"):
        if value[k] >= (1 - 1e-4) * np.max(value) and np.all(np.sum((y[kept] - y[k]) ** 2, axis=1) > 0.01 * v):
            kept.append(int(k))
    return y[kept]


def _random_starts(P, logw, v, rng):
    """Eight of the best 400 of 4000 random points on hyperplanes where two random atoms have equal odds."""
    from ...laws.base import generator

    rng = generator(rng)
    n, (K, d) = 4000, P.shape
    i, j = rng.integers(K, size=(2, n))
    y = 0.5 * (P[i] + P[j]) + 0.7 * _diameter(P) * rng.standard_normal((n, d)) * rng.random((n, 1))

    # onto the hyperplane where i and j have equal odds
    a = P[i] - P[j]
    square = np.sum(a * a, axis=1)
    odds = logw[i] - logw[j] - 0.5 * (np.sum(P[i] ** 2, 1) - np.sum(P[j] ** 2, 1)) / v + np.sum(a * y, 1) / v
    y = np.where(square[:, np.newaxis] > 0, y - a * (v * odds / np.where(square > 0, square, 1))[:, np.newaxis], y)

    value = _lammax(P, *_posterior(P, logw, v, y))
    return y[np.argsort(-value)[:400:50]]


def _ascent(P, logw, v, y, rough=False):
    """(rows, values) after an ascent from the rows of y of the sum of log lammax: one batch for a step of all rows."""
    from scipy.optimize import minimize

    def falling(flat):
        value, gradient = _value_and_gradient(P, logw, v, np.reshape(flat, y.shape))
        return -float(value.sum()), -gradient.ravel()

    stop = {"ftol": 1e-9, "gtol": 1e-6} if rough else {"ftol": 1e-15, "gtol": 1e-11}
    result = minimize(falling, y.ravel(), jac=True, method="L-BFGS-B", options={**stop, "maxiter": 300})
    y = np.reshape(result.x, y.shape)
    return y, _lammax(P, *_posterior(P, logw, v, y))


@dataclass(frozen=True)
class LogConcavityThreshold:
    """Bracket of ``sigma*^2``, the least noise variance from which on the noised law is log-concave.

    Attributes
    ----------
    lower, upper : float
        ``lower <= sigma*^2 <= upper``; the lower side has a witness, the upper one a certificate or a closed bound.
    witness : array (d,) or None
        A point where the Hessian of ``log q`` at ``lower`` has an eigenvalue >= 0 (to rounding).
    witness_at_infinity : tuple of atom indices or None
        The hull edge (into the distinct atoms, sorted) whose limit at infinity gives ``lower``; then ``witness`` is None.
    upper_by : "half diameter", "certificate", "closed form"
    radius_squared, half_diameter_squared, jung_squared, edge_squared : float
        Variances of the closed bounds, tau^2 already taken off (at least 0): R^2, D^2/4, D^2 d/(2(d+1)), the longest edge
        squared over 4.
    tau_squared : float
    certificate : Certificate or None
    certified : bool
        Whether the upper side is proved to be as near to the lower one as was asked: in closed form, by closed bounds that
        agree, or by a certificate. False: ``upper`` is half the diameter, which is true but may be far above sigma*^2,
        since no certificate was reached within the budget of cells, none was asked for, or the affine dimension is above 3.

    Examples
    --------
    A threshold that is known exactly:

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
    >>> found = log_concavity_threshold(PointCloud([[-1.0], [1.0]], [0.1, 0.9]))
    >>> round(found.lower, 9), round(found.upper, 9), found.exact, found.upper_by
    (1.0, 1.0, True, 'half diameter')

    Where the budget of cells is spent, the object says that its bracket is the closed one:

    >>> found = log_concavity_threshold(PointCloud([[-1.0], [0.0], [1.0]]), rtol=1e-5, max_cells=100)
    >>> round(found.lower, 4), round(found.upper, 4), found.certified, "certified=False" in repr(found)
    (0.2831, 1.0, False, True)
    """

    lower: float
    upper: float
    witness: np.ndarray | None
    witness_at_infinity: tuple | None
    upper_by: str
    radius_squared: float
    half_diameter_squared: float
    jung_squared: float
    edge_squared: float
    tau_squared: float
    certificate: Certificate | None = field(repr=False, default=None)
    certified: bool = False

    @property
    def exact(self) -> bool:
        """Whether both sides agree to rounding."""
        return bool(self.upper - self.lower <= 64 * np.finfo(float).eps * (self.upper + self.tau_squared))


def _line_faces(P):
    """Index sets (>= 3 atoms) of hull edges of a plane cloud that carry further atoms."""
    tol, hull = 1e-12 * _diameter(P) ** 2, _hull(P)
    faces = set()
    for i, j in zip(hull, hull[1:] + hull[:1]):
        a = P[j] - P[i]
        on = np.flatnonzero(np.abs(a[0] * (P[:, 1] - P[i, 1]) - a[1] * (P[:, 0] - P[i, 0])) <= tol)
        if len(on) > 2:
            faces.add(tuple(on))
    return faces


@in_range
def log_concavity_threshold(
    law: "PointCloud | GaussianMixture | Sphere",
    *,
    rtol: float = 2e-3,
    certify: bool = True,
    max_cells: int = 4_000_000,
) -> LogConcavityThreshold:
    r"""Bracket the noise variance from which on a noised law is log-concave.

    Lower side: local ascent of ``lammax Cov(Z|y) - v`` over y, and hull edges (witnesses at infinity). Upper side: half the
    diameter in general, equal to the lower side when the longest pair is an exposed edge (always for affinely independent
    atoms, whatever the weights); in affine dimensions 1 to 3 a certificate at ``lower (1 + rtol)``. In space a witness that
    the attempt at a certificate meets raises the lower side, and the attempt is repeated.

    Parameters
    ----------
    law : PointCloud, GaussianMixture with one isotropic covariance, or Sphere
    rtol : float
        Relative width asked of the certified bracket.
    certify : bool
        False keeps the closed upper bound.
    max_cells : int
        Budget of the certificate; where it is spent the closed bound stays, and the result says ``certified=False``.

    Returns
    -------
    LogConcavityThreshold

    Raises
    ------
    ValueError
        For a law that is not of these kinds.

    Notes
    -----
    Bisection is legitimate in the noise variance only: the number of measurements is no substitute, log-concavity can be
    lost when one is added (see the four-atom counterexample of the log-concavity paper's checks).

    Examples
    --------
    Three atoms -1, 0, 1: less noise than for the two ends alone.

    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold
    >>> found = log_concavity_threshold(PointCloud([[-1.0], [0.0], [1.0]]), rtol=1e-3)
    >>> round(found.lower, 4), round(found.upper, 4), found.upper_by
    (0.2831, 0.2834, 'certificate')
    """
    from ...laws import Sphere

    rtol, certify = scalar("rtol", rtol, low=0, low_open=True, high=1), boolean("certify", certify)
    max_cells = integer("max_cells", max_cells, low=1)
    if isinstance(law, Sphere):
        R2, k = law.radius**2, law.sphere_dim
        D2 = 4 * R2
        return LogConcavityThreshold(
            R2 / k,
            R2 / k,
            np.array(law.mean),
            None,
            "closed form",
            R2,
            D2 / 4,
            max(R2, D2 * k / (2 * (k + 1))),
            0.0,
            0.0,
            certified=True,
        )

    # the closed bounds
    P0, w, tau2 = _cloud(law, ", or a Sphere")
    P = _flatten(P0)
    K, r = P.shape
    if r == 0:
        return LogConcavityThreshold(0.0, 0.0, None, None, "closed form", 0.0, 0.0, 0.0, 0.0, tau2, certified=True)
    D2 = _diameter(P) ** 2
    closed = [enclosing_ball(P)[1] ** 2, D2 / 4, D2 * r / (2 * (r + 1))]

    # witnesses at infinity: hull edges, and in the plane hull edges with further atoms
    edge = exposed_pairs(P) if r > 1 or K == 2 else []
    lower, pair = (edge[0][2] / 4, edge[0][:2]) if edge else (0.0, None)
    edge_squared, witness, upper, by, certificate = lower, None, D2 / 4, "half diameter", None
    if r == 2:
        for face in _line_faces(P):
            line = _line_root(P[list(face)], w[list(face)])
            if line > lower:
                lower, pair = line, face

    # where these leave a gap: a witness in space from below, a certificate from above
    if lower < upper * (1 - 1e-14):
        found, y = _root(P, w, max(lower, 1e-3 * upper), upper)
        if found > lower:
            lower, witness, pair = found, _unflatten(P0, P, y - P.mean(axis=0)), None
        if certify and r <= 3:
            from ...laws import PointCloud

            law = PointCloud(P0, w / w.sum())
            while (trial := lower * (1 + rtol)) < upper:
                certificate = certify_log_concavity(law, trial, max_cells=max_cells)
                if certificate.status:
                    upper, by = trial, "certificate"
                if certificate.status is not False or r < 3:
                    break
                # a witness that no ascent had found: the lower side is at least the trial
                centre = P0.mean(axis=0)
                lower, y = _root_from(P0 - centre, np.log(w), trial, certificate.witness - centre, upper)
                witness, pair = y + centre, None
    lower = min(lower, upper)  # an edge is measured twice, and the two may differ by rounding
    off = lambda value: max(0.0, value - tau2)  # noqa: E731
    ball, half, jung = (off(c) for c in closed)
    certified = by == "certificate" or upper - lower <= rtol * lower
    return LogConcavityThreshold(
        off(lower), off(upper), witness, pair, by, ball, half, jung, off(edge_squared), tau2, certificate, certified
    )


def _line_root(P, w):
    """Lower side of the threshold of collinear atoms."""
    P = _flatten(P)
    D2 = _diameter(P) ** 2
    return _root(P, w / w.sum(), 1e-3 * D2, D2 / 4)[0]


def _rebalanced(P, logw, y, old, new):
    """y moved so that the two heaviest atoms given y at noise ``old`` keep their odds at noise ``new``.

    With uneven weights the hyperplane of equal odds travels with the noise; an ascent from the old point may lose it.
    """
    p, _ = _posterior(P, logw, old, y[np.newaxis])
    i, j = np.argsort(p[0])[-2:]
    a = P[i] - P[j]
    tilt = lambda v: logw[i] - logw[j] - 0.5 * (P[i] @ P[i] - P[j] @ P[j]) / v + a @ y / v  # noqa: E731
    return y - a * (new * (tilt(new) - tilt(old)) / (a @ a))


def _root(P, w, low, high):
    """(v, y): the largest v found in [low, high] with lammax Cov_v(y) > v, to 1e-13 of v; (0, None) where none is found.

    The result is kept for the last clouds: a cloud and its smoothings share one threshold.
    """
    v, y = _kept_root(P.tobytes(), P.shape, w.tobytes(), low, high)
    return v, None if y is None else y.copy()


@lru_cache(maxsize=64)
def _kept_root(P, shape, w, low, high):
    P, logw = np.frombuffer(P).reshape(shape), np.log(np.frombuffer(w))
    shift = P.mean(axis=0)
    P = P - shift

    # a ladder from above: the highest rung with a witness; a rough ascent that ends one per cent below a rung rules it out
    ladder = np.geomspace(low, high, 12)
    b, over = float(ladder[-1]), 0.0
    for rung in map(float, ladder[::-1]):
        y, value = _ascent(P, logw, rung, _random_starts(P, logw, rung, 0), rough=True)
        a, under = rung, _excess(np.max(value), rung)
        if under > -0.01:
            value, y = _supremum(P, logw, rung, _best(y, value, rung))
            under = _excess(value, rung)
        if under > 0:
            break
        b, over = rung, under
    else:
        return 0.0, None

    v, y = _secant(P, logw, a, under, y, b, over)
    return v, y + shift


def _excess(value, v):
    return math.log(value / v) - _CLEAR


def _root_from(P, logw, low, y, high):
    """`_root` of a centred cloud between ``low``, at which y is a witness, and ``high``, at which there is none."""
    value, y = _supremum(P, logw, low, y[np.newaxis])
    above, _ = _supremum(P, logw, high, _rebalanced(P, logw, y, low, high)[np.newaxis])
    return _secant(P, logw, low, _excess(value, low), y, high, _excess(above, high))


def _secant(P, logw, a, under, y, b, over):
    """(v, y) at the root of the excess of a centred cloud: ``under`` > 0 at a with its witness y, ``over`` <= 0 at b."""
    # The root of the excess lies between a, which has a witness, and b, which has none. The next point is that of the
    # secant, moved inside by the tolerance; where two in a row do not halve the bracket, as on lattices, it is the middle.
    slow = 0
    while b - a > 1e-13 * b:
        v = a + (b - a) * under / (under - over) if slow < 2 else 0.5 * (a + b)
        margin = min(0.4e-13 * b, 0.5 * (b - a))
        v = min(max(v, a + margin), b - margin)
        value, trial = _supremum(P, logw, v, np.stack([y, _rebalanced(P, logw, y, a, v)]))
        width = b - a
        if _excess(value, v) > 0:
            a, under, y = v, _excess(value, v), trial
        else:
            b, over = v, _excess(value, v)
        slow = slow + 1 if b - a > 0.5 * width else 0
    return a, y


# ------------------------------------------------------------------------------------------------------ spectral gaps


@in_range
def spectral_gap(log_density: ArrayLike, grid: ArrayLike) -> float:
    r"""Spectral gap of the Langevin diffusion ``dx = grad log p dt + sqrt(2) dB`` on a line, reflected at both ends.

    Reversible birth-death chain on the grid with rates ``sqrt(p_{i+1} / p_i) / h^2`` and back: second order in h. The gap of
    -L with invariant density p, as in ``Var_p(P_t f) <= exp(-2 gap t) Var_p(f)``.

    Parameters
    ----------
    log_density : array, shape (n,)
        Unnormalised log p at the grid points.
    grid : array, shape (n,)
        Uniform, increasing.

    Returns
    -------
    float
        Nonnegative, to an absolute error of about eps times the largest rate: a smaller gap comes out as rounding, or 0.

    Examples
    --------
    The standard normal law has the gap 1:

    >>> import numpy as np
    >>> from exactdiffusion.papers.log_concavity.certificates import spectral_gap
    >>> x = np.linspace(-8.0, 8.0, 801)
    >>> round(spectral_gap(-x * x / 2, x), 3)
    1.0
    """
    from scipy.linalg import eigvalsh_tridiagonal

    log_density, grid = (to_numpy(real_array(n, a)) for n, a in (("log_density", log_density), ("grid", grid)))
    if grid.ndim != 1 or grid.shape[0] < 3 or log_density.shape != grid.shape:
        fail(f"grid (shape {grid.shape})", grid, "a line of at least 3 points, one log density each")
    h = np.diff(grid)
    if not (h > 0).all() or np.ptp(h) > 1e-8 * h.mean():
        fail("grid", grid, "uniform, increasing points")
    step = float(h.mean())
    slope = 0.5 * np.diff(log_density)
    if np.max(np.abs(slope)) > 50:
        fail("grid", grid, "points so close that log p changes by less than 100 from one to the next")
    up, down = np.exp(slope) / step**2, np.exp(-slope) / step**2
    diagonal = np.r_[up, 0.0] + np.r_[0.0, down]
    off = -np.sqrt(up * down)
    return max(0.0, float(eigvalsh_tridiagonal(diagonal, off, select="i", select_range=(1, 1))[0]))
