r"""Certificates of log-concavity for atoms in space: cubes inside a cube, cones of directions outside, faces by themselves.

The claim is ``lammax Cov(Z | Z + sqrt(v) N = y) <= bound`` for every y in R^3. The proof has three parts, which
:mod:`exactdiffusion.papers.log_concavity.certificate_check` derives and examines on its own.

*Inside* the cube ``|y|_inf <= R`` cells are accepted by their corners, as in the plane; the proof, in
:func:`exactdiffusion.papers.log_concavity.certificates.certify_log_concavity`, holds for every polytope. The cells are boxes
in a smaller cube and frusta ``{t u : t_0 <= t <= t_1, u in a rectangle of the unit cube's surface}`` around it: far out the
covariance changes slowly along rays, and a frustum may be long. Both are halved along one axis at a time.

*Outside*, ``y = t u`` with ``t >= R``, u on the surface of the unit cube. The surface is covered by squares. Over a square
``u (z_i - z_b)`` is largest at a corner; where this is ``g_i < 0``, atom i has at most the weight
``q_i = exp(L_i - L_b + R g_i / v)``, ``L_i = log w_i - |z_i|^2 / (2 v)``, at all these y. Let C be the other atoms. Then

.. math:: \lambda_{\max}\mathrm{Cov}(Z \mid y) \le B_C + \sum_{i \notin C} q_i \max_{j \in C} |z_i - z_j|^2 ,

where ``B_C`` bounds the covariance of the law conditioned on C: the second moment about the mean of that law.

*Faces.* ``B_C = diam(C)^2 / 4`` always serves. Where the atoms of C lie exactly in a plane or line, their weights depend
on y through its projection to that plane or line alone, and a proof of the same kind in two or one dimensions gives a
smaller ``B_C``: the square faces of a cube need it, because their diagonals are longer than the claim allows.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np

from ..._core.typing import Array

__all__ = ["Cone", "FaceProof"]

#: outward relative margin, as in `certificates`
MARGIN = 1e-9
#: a tilted weight above exp(100) rejects its cell; its cube is a float
_LARGEST_TILT = 100.0
#: smallest half side of the squares of directions
_FINEST = 2.0**-14
#: the radius is at most 2^15 times half the side of the cube in the middle
_LARGEST_RADIUS = 16
#: a face is proved for the claim less this share, which is left for the other atoms
_SHARE = 1e-4
_FINEST_CELL = 2.0**-40
_BLOCK = 1 << 17  # numbers in one array over cells, corners and atoms: 1 MiB


@dataclass(frozen=True)
class Cone:
    """Directions in a square of the surface of the unit cube, and the atoms that do not fade there.

    Attributes
    ----------
    axis : int
        The coordinate that is ``sign`` on the square.
    sign : 1.0 or -1.0
    centre : tuple of floats
        The other coordinates of the centre.
    half : float
        Half the side.
    cluster : tuple of int
        The atoms that may stay.
    face : FaceProof or None
        A bound for the law conditioned on the cluster; None means a quarter of the squared diameter.

    Examples
    --------
    The directions within 45 degrees of the first axis, in the plane of which all but two atoms fade:

    >>> from exactdiffusion.papers.log_concavity.space_certificates import Cone
    >>> Cone(axis=0, sign=1.0, centre=(0.0, 0.0), half=1.0, cluster=(2, 5)).face is None
    True
    """

    axis: int
    sign: float
    centre: tuple[float, ...]
    half: float
    cluster: tuple[int, ...]
    face: "FaceProof | None" = field(default=None, repr=False)


@dataclass(frozen=True)
class FaceProof:
    """Proof that ``lammax Cov <= bound`` for the law conditioned on some atoms, wherever it is observed.

    Attributes
    ----------
    atoms : tuple of int
        The atoms, as numbers in the whole cloud.
    span : tuple of int
        An atom and others (r of them) such that the differences span the face; empty for the whole space.
    scale : tuple of floats
        The differences are divided by these numbers: the coordinates of y along them are the cells' coordinates.
    bound : float
    inner, radius : float
        Half the sides of the cube in the middle, and of the cube beyond which the cones hold.
    leaves : arrays (centres (n, r), half widths (n, r), faces (n,))
        Face -1: a box in the middle. Face ``2 k`` or ``2 k + 1``: the points ``t u``, where the coordinate k of u is 1 or
        -1, and the cell holds the other coordinates of u and, last, t.
    cones : tuple of `Cone`
    cells : int
        Cells examined, those of the faces included.
    witness : array (r,) or None
        A point where the claim fails; then nothing is proved.
    proved : bool

    Examples
    --------
    >>> from exactdiffusion.papers.log_concavity.space_certificates import FaceProof
    >>> FaceProof((0, 1), (0, 1), (1.0,), 1.1, 2.0, 4.0, (), (), 64, None, False).proved
    False
    """

    atoms: tuple[int, ...]
    span: tuple[int, ...]
    scale: tuple[float, ...]
    bound: float
    inner: float
    radius: float
    leaves: tuple[Any, ...] = field(repr=False)
    cones: tuple[Cone, ...] = field(repr=False)
    cells: int
    witness: Array | None
    proved: bool


@dataclass
class _Cloud:
    """The atoms Z (K, 3), their L (K,), the noise v, squared distances (K, K), the budget, and the faces tried so far."""

    Z: Array
    L: Array
    v: float
    square: Array
    budget: int
    faces: dict[tuple[int, ...], FaceProof | None] = field(default_factory=dict)
    cells: int = 0

    def coordinates(self, atoms, span, scale):
        """X (k, r): the logits of these atoms are ``L + X theta`` at the point with coordinates theta."""
        if not span:
            return self.Z[list(atoms)] / self.v
        edges = (self.Z[list(span[1:])] - self.Z[span[0]]) / np.array(scale)[:, np.newaxis]
        return (self.Z[list(atoms)] - self.Z[span[0]]) @ edges.T / self.v


def prove(Z: Array, logw: Array, v: float, bound: float, max_cells: int) -> FaceProof:
    """Proof, witness or neither for atoms Z (K, 3) that span space.

    Examples
    --------
    The corners of a tetrahedron with edges of squared length 8, whose threshold is 2, one fifth above it:

    >>> import numpy as np
    >>> from exactdiffusion.papers.log_concavity.space_certificates import prove
    >>> corners = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    >>> prove(corners, np.log(np.full(4, 0.25)), 2.4, 2.4, 100_000).proved
    True
    """
    square = np.sum((Z[:, np.newaxis] - Z) ** 2, axis=2)
    cloud = _Cloud(Z, logw - 0.5 * np.sum(Z * Z, axis=1) / v, v, square, max_cells)
    return _prove(cloud, tuple(range(len(Z))), (), (), bound)


def _prove(cloud, atoms, span, scale, bound):
    """`FaceProof` for these atoms of the cloud."""
    X = cloud.coordinates(atoms, span, scale)
    index = list(atoms)

    # outside: the smallest radius at which all directions are settled
    D = math.sqrt(np.max(cloud.square[np.ix_(index, index)]))
    inner, cones, radius = 2.0 ** math.ceil(math.log2(D + math.sqrt(cloud.v)) - 1), None, 0.0
    for power in range(_LARGEST_RADIUS):
        radius = inner * (1 + 2.0**power)
        cones = _cones(cloud, index, X, bound, radius)
        if cones is not None:
            break
    found = {"atoms": atoms, "span": span, "scale": scale, "bound": bound, "inner": inner}
    if cones is None:
        found |= {"radius": math.inf, "leaves": (), "cones": ()}
        return FaceProof(cells=cloud.cells, witness=None, proved=False, **found)

    # inside: cells, split until they are accepted
    leaves, witness = _cells(cloud, index, X, bound, inner, radius)
    found |= {"radius": radius, "leaves": leaves or (), "cones": cones}
    return FaceProof(cells=cloud.cells, witness=witness, proved=leaves is not None, **found)


def _cones(cloud, index, X, bound, radius):
    """Cones that cover all directions, or None."""
    r, done = X.shape[1], []
    L, square = cloud.L[index], cloud.square[np.ix_(index, index)]
    signs = np.array(list(product((-1.0, 1.0), repeat=r - 1)))
    stack = [(axis, sign, (0.0,) * (r - 1), 1.0) for axis in range(r) for sign in (1.0, -1.0)]
    while stack:
        axis, sign, centre, half = stack.pop()

        # the corners of the square, and how fast each atom fades against the heaviest one over all of it
        corners = np.insert(np.array(centre) + half * signs, axis, sign, axis=1)
        middle = np.insert(np.array(centre), axis, sign)
        base = int(np.argmax(L + radius * X @ middle))
        g = np.max((X - X[base]) @ corners.T, axis=1)
        g[base] = 0.0
        with np.errstate(over="ignore"):
            weight = np.exp(L - L[base] + radius * np.minimum(g, 0.0))

        cone = _settled(cloud, index, bound, square, g, weight)
        if cone is not None:
            done.append(Cone(axis, sign, centre, half, *cone))
        elif half <= _FINEST or r == 1:
            return None
        else:
            stack += [(axis, sign, tuple(np.array(centre) + 0.5 * half * s), 0.5 * half) for s in signs]
    return tuple(done)


def _settled(cloud, index, bound, square, g, weight):
    """(cluster, face proof or None) whose bound is below the claim, or None."""
    claim, tried = bound * (1 - MARGIN), set()
    for share in (0.5, 0.1, 0.01, 1e-4):
        far = np.max(square) * weight
        inside = (g >= 0) | (far > share * bound / len(index))
        C = np.flatnonzero(inside)
        if tuple(C) in tried:
            continue
        tried.add(tuple(C))
        rest = float(np.sum(weight[~inside] * np.max(square[np.ix_(~inside, inside)], axis=1, initial=0.0)))
        cluster = tuple(index[k] for k in C)
        if np.max(square[np.ix_(C, C)]) / 4 + rest <= claim:
            return cluster, None
        if len(C) < len(index) and rest <= _SHARE * claim:
            face = _face(cloud, cluster, bound * (1 - _SHARE))
            if face is not None:
                return cluster, face
    return None


def _face(cloud, cluster, bound):
    """`FaceProof` of atoms that lie in a plane or on a line exactly, or None; each cluster is tried once."""
    if cluster not in cloud.faces:
        span = _span(cloud.Z, cluster)
        found = None
        if span is not None:
            edges = np.linalg.norm(cloud.Z[list(span[1:])] - cloud.Z[span[0]], axis=1)
            found = _prove(cloud, cluster, span, tuple(2.0 ** np.round(np.log2(edges))), bound)
        cloud.faces[cluster] = found if found is not None and found.proved else None
    return cloud.faces[cluster]


def _span(Z, cluster):
    """(origin, one or two others) of atoms whose differences from the origin span all others exactly, or None."""
    exact = [[Fraction(float(a)) for a in Z[k]] for k in cluster]
    away = [[a - b for a, b in zip(row, exact[0])] for row in exact]

    def cross(a, b):
        return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]

    second = next((k for k, row in enumerate(away) if any(row)), None)
    if second is None:
        return None
    normals = {k: cross(away[second], row) for k, row in enumerate(away)}
    off = {k: n for k, n in normals.items() if any(n)}
    if not off:
        return cluster[0], cluster[second]
    third = max(off, key=lambda k: sum(a * a for a in off[k]))
    flat = all(sum(a * b for a, b in zip(off[third], row)) == 0 for row in away)
    return (cluster[0], cluster[second], cluster[third]) if flat else None


def _points(face, centres, halves):
    """(centres (n, r), corners (n, 2^r, r), displacements (n, r, r) to the middles of the sides) of cells in space."""
    n, r = centres.shape
    signs = np.array(list(product((-1.0, 1.0), repeat=r)))
    corners = centres[:, np.newaxis] + halves[:, np.newaxis] * signs
    sides = centres[:, np.newaxis] + halves[:, np.newaxis] * np.eye(r)
    everything = np.concatenate([centres[:, np.newaxis], corners, sides], axis=1)

    # a cell of face 2 axis + (0 or 1) holds points t u: all but the last parameter are coordinates of u, the last one is t
    outer = np.flatnonzero(face >= 0)
    if len(outer):
        t, axis = everything[outer, :, -1:], face[outer] // 2
        y = np.empty((len(outer), everything.shape[1], r))
        for k in range(r):
            mine = axis == k
            y[mine] = np.insert(
                everything[outer[mine], :, :-1], k, (1.0 - 2.0 * (face[outer[mine]] % 2))[:, np.newaxis], axis=2
            )
        everything[outer] = t * y
    return everything[:, 0], everything[:, 1 : 1 + 2**r], everything[:, 1 + 2**r :] - everything[:, :1]


def _cells(cloud, index, X, bound, inner, radius):
    """((centres, half widths, faces), None) of cells that prove the claim inside, (None, witness) or (None, None).

    A cell that is not accepted is halved along the axis that lets the second moment grow most.
    """
    L, r = cloud.L[index], X.shape[1]
    Z = cloud.Z[index] - cloud.Z[index].mean(axis=0)
    D2 = float(np.max(cloud.square[np.ix_(index, index)]))
    # 1, z, and the entries of z z' in the order xx, yy, zz, xy, xz, yz
    features = np.c_[np.ones(len(Z)), Z, Z * Z, *(Z[:, [a]] * Z[:, [b]] for a, b in combinations(range(3), 2))]

    # the cube in the middle, and one cell for each of its faces
    faces = np.arange(-1, 2 * r)
    centres, halves = np.zeros((2 * r + 1, r)), np.ones((2 * r + 1, r))
    halves[0], centres[1:, -1], halves[1:, -1] = inner, 0.5 * (radius + inner), 0.5 * (radius - inner)
    accepted, block = [], max(1, _BLOCK // (len(Z) * 2**r))
    while len(centres):
        refine = []
        for start in range(0, len(centres), block):
            face, centre, half = (a[start : start + block] for a in (faces, centres, halves))
            c, corners, sides = _points(face, centre, half)
            logits = L + c @ X.T
            logits -= logits.max(axis=1, keepdims=True)
            logits -= np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
            p = np.exp(logits)
            away = X - (p @ X)[:, np.newaxis]
            tilt = logits[:, np.newaxis] + (corners - c[:, np.newaxis]) @ np.swapaxes(away, 1, 2)
            fine = _fits(tilt, p @ Z, features, bound, D2)
            accepted.append((centre[fine], half[fine], face[fine]))
            cloud.cells += len(c)

            # a centre above the claim is a witness
            rest = ~fine
            p, z = p[rest], Z - (p[rest] @ Z)[:, np.newaxis]
            value = np.linalg.eigvalsh(np.swapaxes(z * p[:, :, np.newaxis], 1, 2) @ z)[:, -1]
            if np.any(value > bound * (1 + MARGIN)):
                return None, c[rest][np.argmax(value)]

            # halve the others along the axis of the largest growth
            tilt = logits[rest][:, np.newaxis] + np.abs(sides[rest] @ np.swapaxes(away[rest], 1, 2))
            growth = np.sum(np.sum(z * z, axis=2)[:, np.newaxis] * np.exp(np.minimum(tilt, _LARGEST_TILT)), axis=2)
            half = half[rest] * np.where(np.arange(r) == np.argmax(growth, axis=1)[:, np.newaxis], 0.5, 1.0)
            step = np.where(half < halves[start : start + block][rest], half, 0.0)
            refine += [(centre[rest] - step, half, face[rest]), (centre[rest] + step, half, face[rest])]

        centres, halves, faces = (np.concatenate([a[i] for a in refine]) for i in range(3))
        if cloud.cells + len(centres) > cloud.budget or (len(halves) and np.min(halves) < _FINEST_CELL):
            return None, None
    return tuple(np.concatenate([a[i] for a in accepted]) for i in range(3)), None


def _fits(tilt, mean, features, bound, D2):
    """Whether the tilted second moments about the mean are below the claim at all corners, for each cell (n,).

    ``tilt`` (n, 2^r, K) are the logarithms of the tilted weights.
    """
    q = np.exp(np.minimum(tilt, _LARGEST_TILT))
    moments = (q.reshape(-1, q.shape[2]) @ features).reshape(*q.shape[:2], -1)
    mass, first, second = moments[..., 0], moments[..., 1:4], moments[..., 4:]
    m = mean[:, np.newaxis]

    # the matrix claim - S; the rounding of its entries is far below 1e-13 mass D^2
    room = bound * (1 - MARGIN) - 1e-13 * mass * D2
    a, b, c = (room - (second[..., k] - 2 * m[..., k] * first[..., k] + mass * m[..., k] ** 2) for k in range(3))
    f, e, d = (
        m[..., i] * first[..., j] + m[..., j] * first[..., i] - second[..., k] - mass * m[..., i] * m[..., j]
        for k, (i, j) in zip((3, 4, 5), ((0, 1), (0, 2), (1, 2)))
    )

    # it is positive if its leading minors are, here by more than their rounding
    low = 1e-12 * bound
    positive = (a > low) & (a * b - f * f > low * bound)
    positive &= a * (b * c - d * d) - f * (f * c - d * e) + e * (f * d - b * e) > low * bound**2
    return (np.max(tilt, axis=(1, 2)) <= _LARGEST_TILT) & np.all(positive, axis=1)
