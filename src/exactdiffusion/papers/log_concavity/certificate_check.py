r"""Does a certificate of log-concavity prove its claim? A program of its own: it shares no code with the one that made it.

The claim is ``lammax Cov(Z | Z + sqrt(v) N = y) <= bound`` for every y in R^r, r = 1 or 2, for the atoms and weights as
stored. What is examined, in integers and in ball arithmetic (python-flint):

*Numbers.* Each stored number is read once, as a number of float64 in its range: all are finite; weights, v, the claim, radii
and half widths are positive; a sector has ``|alpha| <= 7`` and ``0 <= half < 1``, so that rounding its ends loses less than
1e-14; indices of atoms are different integers below K. A record with another number, or with atoms of another dimension, is
refuted before any arithmetic.

*Cover.* A leaf names a cell of the dyadic tree of ``[-R, R]^r``: level k with half width ``R / 2^k`` exactly, and integer
indices. The tree is walked from its root: each cell is a leaf, or is split, or lies outside the open ball of radius R, or in
the plane no nearer to the origin than the radius of any sector whose directions it meets; each leaf is met exactly once.

*Leaf.* Let c be its centre, ``m = E[Z | c]`` and ``p_i`` the weights at c. A point y of the leaf is a mean of the corners
``c + s_k``, with weights a_k >= 0 of sum 1. At y atom i weighs ``p_i e_i / E[e | c]``, ``e_i = exp((z_i - m)(y - c) / v)``,
and ``E[e | c] >= 1`` by Jensen's inequality. The exponential function is convex, so that
``e_i <= sum_k a_k exp((z_i - m) s_k / v)``. A variance is at most the second moment about m: for a unit vector u,
``u Cov(y) u <= sum_i p_i e_i (u (z_i - m))^2 <= sum_k a_k u S_k u``, where
``S_k = sum_i p_i exp((z_i - m) s_k / v) (z_i - m)(z_i - m)^T``. Hence ``lammax Cov(y)`` is at most the largest
``lammax S_k`` of the 2^r corners.

*Beyond R.* In the plane R is a radius of the sector itself. For ``y = t u``, ``t >= R``, u a direction of a sector, and any
atom b, an atom i has at most the weight
``q_i = w_i / w_b exp((|z_b|^2 - |z_i|^2) / (2 v) + R g_i / v)`` where ``u (z_i - z_b) <= g_i < 0`` over the sector. For a
set C of atoms and a unit vector x, the variance of ``x Z`` is at most its second moment about the middle of its values on C:
``lammax Cov <= diam(C)^2 / 4 + sum_{i not in C} q_i max_{j in C} |z_i - z_j|^2``. The sectors cover the circle; on a line
there are two directions, and C is the last atom.

*Space* (:func:`space_refutation`). Cells are boxes of a cube of half side h, and frusta ``y = t u``, ``h <= t <= R``, over
rectangles of the six faces of the unit cube. Both are convex polytopes with eight corners, and the argument of a leaf holds
with their corners for ``c + s_k``. In their parameters they are cells of binary trees, one for the cube and one for each
face: a tree is walked by halving along any axis that cuts no leaf. Beyond, ``|y|_inf >= R``, the sectors are squares of the
faces, over which ``u (z_i - z_b)`` is largest at a corner, so that no angle is needed. In place of ``diam(C)^2 / 4`` a
sector may name a proof for the law conditioned on C: then the variance of that law serves, and the second moment is taken
about its mean, a point of the hull of C. Such atoms must lie in a plane or line exactly (rational arithmetic): with
differences a_j that span it, y enters their odds through its projection ``sum_j theta_j a_j`` alone. The proof is examined
in the coordinates theta by the same program.
"""

import sys
from fractions import Fraction
from functools import partial
from itertools import product
from math import atan2, nextafter, pi
from types import SimpleNamespace
from typing import Any

__all__ = ["refutation", "space_refutation"]

#: how far a stored centre may be from that of the cell which it names, in half widths: rounding at the finest level is 1e-6
_ROUNDED = Fraction(1, 10**4)
#: each sector is examined wider by this angle on both sides, more than the rounding of its ends
_ANGLE = 1e-12
#: and the directions of a cell by this one
_WIDER = 1e-9
#: a rational number above 2 pi: the float64 number lies 2.5e-16 below it
_TURN = Fraction(2 * pi) + Fraction(1, 10**15)
#: the leaves of the plane and line have at most this level, so that products of two indices are numbers of float64
_FINEST_LEVEL = 500
_LARGEST, _SMALLEST = sys.float_info.max, nextafter(0.0, 1.0)
#: what reading a record raises where it does not hold the numbers that belong there
_UNREADABLE = (AttributeError, TypeError, ValueError, OverflowError)


def _float(a, low=-_LARGEST, high=_LARGEST):
    """``a`` as a float in [low, high]; a ValueError for every other number, NaN and those that float64 rounds among them."""
    value = float(a)
    if not (value == a and low <= value <= high):
        raise ValueError(f"{a} is no number of float64 in [{low:g}, {high:g}]")
    return value


def _indices(values, K):
    """The values as different integers in [0, K), one of them at least; a ValueError for all others."""
    found = tuple(int(k) for k in values)
    if not found or found != tuple(values) or len(set(found)) < len(found) or not all(0 <= k < K for k in found):
        raise ValueError(f"{values} are no different indices of {K} atoms")
    return found


def _law(certificate, dimensions):
    """(points, weights, v) of a certificate about atoms of one of these dimensions, as floats."""
    points = [[_float(a) for a in row] for row in certificate.points]
    r = len(points[0]) if points else 0
    if r not in dimensions or any(len(row) != r for row in points):
        raise ValueError(
            f"atoms with {r} coordinates, where this checker is for atoms with {' or '.join(map(str, dimensions))}"
        )
    weights = [_float(a, _SMALLEST) for a in certificate.weights]
    if len(weights) != len(points):
        raise ValueError(f"{len(weights)} weights of {len(points)} atoms")
    return points, weights, _float(certificate.variance, _SMALLEST)


def _flat_record(certificate):
    """The numbers of a certificate on a line or in the plane, each in its range."""
    points, weights, v = _law(certificate, (1, 2))
    r, R = len(points[0]), _float(certificate.radius, _SMALLEST)
    centres, halves = ([a.tolist() for a in certificate.leaves] + [[]])[:2]
    leaves = [([_float(a) for a in c], _float(h, _SMALLEST)) for c, h in zip(centres, halves, strict=True)]
    if any(len(c) != r for c, _ in leaves):
        raise ValueError(f"the centre of a leaf has not {r} coordinates")
    tails = []
    for alpha, wide, C, radius in certificate.tails if r == 2 else ():
        sector = _float(alpha, -7.0, 7.0), _float(wide, 0.0, nextafter(1.0, 0.0)), _indices(C, len(points))
        try:
            tails.append((*sector, _float(radius, _SMALLEST, R)))
        except ValueError:
            raise ValueError(f"the radius of a sector, {radius}, is not positive, or above that of the disc") from None
    bound = _float(certificate.bound, _SMALLEST)
    return SimpleNamespace(points=points, weights=weights, v=v, bound=bound, R=R, leaves=leaves, tails=tails)


def _cell(centre, half, R):
    """(level, indices) of the dyadic cell that a leaf names, or None."""
    if not all(abs(a) <= R for a in centre):
        return None
    ratio = Fraction(R) / Fraction(half)
    if ratio.denominator != 1 or ratio.numerator & (ratio.numerator - 1):
        return None
    level, index = ratio.numerator.bit_length() - 1, []
    if level > _FINEST_LEVEL:
        return None
    for a in centre:
        exact = (Fraction(a) / Fraction(half) + ratio - 1) / 2
        index.append(round(exact))
        if abs(exact - index[-1]) * 2 > _ROUNDED:
            return None
    return level, tuple(index)


def _beyond(level, index, R, sectors):
    """Whether a cell of the plane lies no nearer than the radius of any sector whose directions it meets.

    The directions of a square that leaves out the origin are those between its corners, seen from its centre within a right
    angle; they are rounded, and widened by `_WIDER`.
    """
    unit = Fraction(R) / 2**level
    low = [2 * i - (1 << level) for i in index]
    near = unit * unit * sum(max(a, -a - 2, 0) ** 2 for a in low)
    if near == 0:
        return False
    x, y = (a + 1 for a in low)
    corners = [(x + i, y + j) for i in (-1, 1) for j in (-1, 1)]
    angle, wide = atan2(y, x), max(abs(atan2(x * b - y * a, x * a + y * b)) for a, b in corners) + _WIDER
    met = [radius for alpha, half, _, radius in sectors if abs((alpha - angle + pi) % (2 * pi) - pi) <= half + wide]
    return all(near >= Fraction(radius) ** 2 for radius in met)


def _cover(cells, r, outside=None):
    """Why the cells do not cover the ball, or None: a walk of the tree in integers.

    A cell ``outside`` needs no cover; one without leaves is halved down to the finest leaves, so that its parts may be.
    """
    leaves, split, met, stack = set(cells), set(), 0, [(0, (0,) * r)]
    for level, index in leaves:
        for up in range(1, level + 1):
            split.add((level - up, tuple(i >> up for i in index)))
    finest = max((level for level, _ in leaves), default=0)
    while stack:
        level, index = stack.pop()
        if (level, index) in leaves:
            met += 1
            continue
        if (level, index) not in split:
            # its nearest point to the origin, in half widths: it may be missing outside the open ball only
            low = [2 * i - (1 << level) for i in index]
            if sum(max(a, -a - 2, 0) ** 2 for a in low) >= 1 << 2 * level or (outside and outside(level, index)):
                continue
            if not outside or level >= finest:
                return f"no leaf covers the cell {index} of level {level}"
        children = [()]
        for i in index:
            children = [(*c, j) for c in children for j in (2 * i, 2 * i + 1)]
        stack += [(level + 1, c) for c in children]
    return None if met == len(cells) else f"{len(cells) - met} of {len(cells)} leaves lie in others or outside the square"


def _circle(sectors):
    """Why the sectors, each wider by `_ANGLE`, do not cover the circle, or None: their ends are rational numbers."""
    ends = sorted((Fraction(alpha) - Fraction(wide), Fraction(alpha) + Fraction(wide)) for alpha, wide, *_ in sectors)
    reach = ends[0][0] if ends else Fraction(0)
    for low, high in ends:
        if low > reach + Fraction(_ANGLE):
            return f"no sector covers the directions from {float(reach)} to {float(low)}"
        reach = max(reach, high)
    if not ends or reach + Fraction(_ANGLE) < ends[0][0] + _TURN:
        return f"no sector covers the directions beyond {float(reach)}"
    return None


def refutation(certificate: Any, prec: int = 96, every: int = 1) -> str | None:
    """The first reason why the stored leaves and sectors do not prove the claim, as a text; None where they prove it.

    ``every`` = k bounds each k-th leaf only, while the cover is always examined: None is then no proof. This function is for
    atoms with one or two coordinates, `space_refutation` for those with three; every other certificate is refuted.

    Examples
    --------
    A certificate that was made is not refuted; the same cells do not prove a smaller bound.

    >>> import dataclasses
    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity
    >>> from exactdiffusion.papers.log_concavity.certificate_check import refutation
    >>> proof = certify_log_concavity(PointCloud([[-1.0], [1.0]]), 1.1, keep_leaves=True)
    >>> print(refutation(proof))
    None
    >>> refutation(dataclasses.replace(proof, bound=0.9))[:21]
    'the bound of the leaf'
    """
    import flint

    arb, zero = flint.arb, flint.arb(0)
    try:
        record = _flat_record(certificate)
    except _UNREADABLE as error:
        return f"what is stored is no certificate on a line or in the plane: {error}"
    R, floats, centres = record.R, record.points, [c for c, _ in record.leaves]
    r, K = len(floats[0]), len(floats)
    cells = [_cell(c, h, R) for c, h in record.leaves]
    if None in cells:
        return f"leaf {cells.index(None)} is no cell of the dyadic tree"
    last = [floats.index(max(floats)), floats.index(min(floats))]
    tails = record.tails if r == 2 else [(0.0, 0.0, last[:1], R), (pi, 0.0, last[1:], R)]
    reason = _circle(tails) if r == 2 else None
    if reason:
        return reason
    reason = _cover(cells, r, partial(_beyond, R=R, sectors=tails) if r == 2 and tails else None)
    if reason:
        return reason
    with flint.ctx.workprec(prec):
        P, w = [[arb(a) for a in row] for row in floats], [arb(a) for a in record.weights]
        v, bound = arb(record.v), arb(record.bound)

        def dot(a, b):
            return sum((x * y for x, y in zip(a, b)), zero)

        def minus(a, b):
            return [x - y for x, y in zip(a, b)]

        def square(a, b):
            return dot(minus(a, b), minus(a, b))

        def largest(values):
            found = zero
            for a in values:
                found = found.max(a)
            return found

        L = [a.log() - dot(z, z) / (2 * v) for a, z in zip(w, P)]
        for (level, index), centre in list(zip(cells, centres))[::every]:
            half = arb(R) / 2**level
            c = [(2 * i + 1 - 2**level) * half for i in index]
            logits = [a + dot(c, z) / v for a, z in zip(L, P)]
            top = max(float(a.mid()) for a in logits)
            p = [(a - arb(top)).exp() for a in logits]
            total = sum(p, zero)
            m = [dot(p, column) / total for column in zip(*P)]
            Z = [minus(z, m) for z in P]
            # the second moment about m, tilted towards each corner
            for signs in product((-1, 1), repeat=r):
                corner = [s * half for s in signs]
                tilted = [q * (dot(z, corner) / v).exp() / total for q, z in zip(p, Z)]
                S = [[sum((q * z[a] * z[b] for q, z in zip(tilted, Z)), zero) for b in range(r)] for a in range(r)]
                # lammax S <= bound: the diagonal and the determinant of bound I - S are not negative
                room = [bound - S[a][a] for a in range(r)]
                if not all(a >= 0 for a in room) or (r == 2 and not room[0] * room[1] >= S[0][1] ** 2):
                    return f"the bound of the leaf at {centre} is above the claim"
        for alpha, wide, C, radius in tails:
            angle, wide = arb(alpha), arb(wide) + arb(_ANGLE)
            u, n = [angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]
            if r == 1:  # pi is rounded, the two directions of a line are not
                u, n = [arb(1 if alpha == 0 else -1)], [zero]
            base = max(C, key=lambda k: float((L[k] + radius * dot(u, P[k]) / v).mid()))
            found = largest(square(P[i], P[j]) for i in C for j in C) / 4
            for k in set(range(K)) - set(C):
                a = minus(P[k], P[base])
                # largest at an end of the sector, for an atom that looks away from u and a sector narrower than pi
                g = dot(a, u) * wide.cos() + abs(dot(a, n)) * wide.sin()
                if not (dot(a, u) < 0 and g < 0 and wide < 1):
                    return f"the sector at {alpha} leaves out the atom {k}, which does not fade there"
                found += (L[k] - L[base] + radius * g / v).exp() * largest(square(P[k], P[j]) for j in C)
            if not found <= bound:
                return f"the bound of the sector at {alpha} is above the claim"
    return None


# -------------------------------------------------------------------------------------------------------------- in space


def _tree_cell(box, low, half):
    """Levels and indices of a cell, (centre, half) for each axis, in its binary tree, or None where it is no cell of it."""
    found = []
    for (centre, own), root_low, root_half in zip(box, low, half):
        if own <= 0:
            return None
        ratio = root_half / own
        if ratio.denominator != 1 or ratio.numerator & (ratio.numerator - 1):
            return None
        exact = (centre - own - root_low) / (2 * own)
        if exact.denominator != 1 or not 0 <= exact < ratio.numerator:
            return None
        found.append((ratio.numerator.bit_length() - 1, int(exact)))
    return tuple(found)


def _fills(cells, r):
    """Whether the cells, (level, index) for each axis, fill the root once: halved along any axis that cuts none of them."""
    stack = [((((0, 0),) * r), list(cells))]
    while stack:
        box, inside = stack.pop()
        if len(inside) == 1 and tuple(inside[0]) == box:
            continue
        for axis in range(r):
            level, index = box[axis]
            if inside and all(cell[axis][0] > level for cell in inside):
                halves = [(*box[:axis], (level + 1, 2 * index + k), *box[axis + 1 :]) for k in (0, 1)]
                parts = [[c for c in inside if c[axis][1] >> (c[axis][0] - level - 1) == 2 * index + k] for k in (0, 1)]
                stack += zip(halves, parts)
                break
        else:
            return False
    return True


def _at(face, parameters):
    """The point of space with these exact parameters: face -1 is the cube itself, 2 k and 2 k + 1 are the sides +-e_k."""
    if face < 0:
        return list(parameters)
    *u, t = parameters
    u.insert(face // 2, Fraction(1 - 2 * (face % 2)))
    return [t * a for a in u]


def _spanned(P, atoms, span):
    """Whether the differences of ``span`` are independent and span those of ``atoms``, in rational numbers."""
    away = {k: [a - b for a, b in zip(P[k], P[span[0]])] for k in {*atoms, *span}}

    def cross(a, b):
        return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]

    edges = [away[k] for k in span[1:]]
    if len(edges) == 1:
        return any(edges[0]) and not any(any(cross(edges[0], row)) for row in away.values())
    normal = cross(*edges)
    return any(normal) and all(sum(a * b for a, b in zip(normal, row)) == 0 for row in away.values())


def space_refutation(certificate: Any, prec: int = 96, every: int = 1) -> str | None:
    """As `refutation`, for a certificate about atoms with three coordinates.

    Examples
    --------
    A tetrahedron: its certificate is not refuted, and the same cells do not prove a smaller bound.

    >>> import dataclasses
    >>> from exactdiffusion import PointCloud
    >>> from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity
    >>> from exactdiffusion.papers.log_concavity.certificate_check import space_refutation
    >>> corners = PointCloud([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    >>> proof = certify_log_concavity(corners, 2.4, keep_leaves=True)
    >>> print(space_refutation(proof))
    None
    >>> space_refutation(dataclasses.replace(proof, bound=1.9))[:21]
    'the bound of the leaf'
    """
    import flint

    try:
        points, weights, variance = _law(certificate, (3,))
    except _UNREADABLE as error:
        return f"what is stored is no certificate in space: {error}"
    P, w, v = [[Fraction(a) for a in row] for row in points], [Fraction(a) for a in weights], Fraction(variance)
    everything = tuple(range(len(P)))
    with flint.ctx.workprec(prec):
        return _space_node(P, w, v, certificate, everything, (), (), every)


def _ball(a):
    import flint

    return flint.arb(a.numerator) / flint.arb(a.denominator)


def _space_record(proof, r, K):
    """The numbers of a proof in r coordinates theta about some of K atoms, each in its range."""
    # exactly three arrays, of one length
    leaves = [
        ([_float(a) for a in centre], [_float(a, _SMALLEST) for a in half], _indices([face + 1], 2 * r + 1)[0] - 1)
        for centre, half, face in zip(*(a.tolist() for a in proof.leaves), strict=True)
    ]
    if len(proof.leaves) != 3 or any(not len(centre) == len(half) == r for centre, half, _ in leaves):
        raise ValueError(f"the leaves are not three arrays about {r} coordinates")

    # the cones: squares of the sides of the unit cube
    cones = []
    for cone in proof.cones:
        (axis,), sign = _indices([cone.axis], r), _float(cone.sign, -1.0, 1.0)
        centre, half = [_float(a, -1.0, 1.0) for a in cone.centre], _float(cone.half, _SMALLEST, 1.0)
        if cone.face is not None and not all(
            isinstance(a, tuple) for a in (cone.face.atoms, cone.face.span, cone.face.scale)
        ):
            raise TypeError(f"the face of the cone at {centre} is not given by tuples")
        if abs(sign) != 1 or len(centre) != r - 1:
            raise ValueError(f"the cone at {centre} is no square of a side of the cube")
        numbers = {"axis": axis, "sign": sign, "centre": centre, "half": half}
        cones.append(SimpleNamespace(**numbers, cluster=_indices(cone.cluster, K), face=cone.face))

    bound, inner = _float(proof.bound, _SMALLEST), _float(proof.inner, _SMALLEST)
    radius = _float(proof.radius, nextafter(inner, float("inf")))
    return SimpleNamespace(bound=bound, inner=inner, radius=radius, leaves=leaves, cones=cones)


def _space_node(P, w, v, proof, atoms, span, scale, every):
    """Why the cells and cones of a proof about some atoms do not prove its bound, or None."""
    import flint

    # the number of coordinates theta, the atoms, and those that span their plane or line
    r = len(span) - 1 if span else 3
    try:
        atoms, span = _indices(atoms, len(P)), _indices(span, len(P)) if span else ()
        scale = [_float(s, _SMALLEST) for s in scale]
    except _UNREADABLE as error:
        return f"what is stored is no proof in {r} coordinates: {error}"

    if span and not (len(scale) == r and _spanned(P, atoms, span)):
        return f"the atoms {atoms} do not lie in the span of {span}"
    try:
        proof = _space_record(proof, r, len(P))
    except _UNREADABLE as error:
        return f"what is stored is no proof in {r} coordinates: {error}"

    # X with logits L + X theta, exactly
    axes = [[int(i == j) * Fraction(1) for i in range(3)] for j in range(3)]
    if span:
        axes = [[(a - b) / Fraction(s) for a, b in zip(P[k], P[span[0]])] for k, s in zip(span[1:], scale)]
    origin = P[span[0]] if span else [Fraction(0)] * 3
    exact = [[sum((a - o) * e for a, o, e in zip(P[k], origin, axis)) / v for axis in axes] for k in atoms]
    L = [_ball(w[k]).log() - _ball(sum(a * a for a in P[k]) / (2 * v)) for k in atoms]
    reason = _space_cover(proof, r, Fraction(proof.inner), Fraction(proof.radius))
    if reason:
        return reason

    # the leaves: p and the tilted moments about m, as products of matrices of balls
    bound, X = flint.arb(proof.bound), flint.arb_mat([[_ball(a) for a in row] for row in exact])
    Z = [[_ball(a) for a in P[k]] for k in atoms]
    one = flint.arb(1)
    features = flint.arb_mat([[one, *z, *(z[a] * z[b] for a in range(3) for b in range(a, 3))] for z in Z])
    for centre, half, face in proof.leaves[::every]:
        box = [(Fraction(a), Fraction(h)) for a, h in zip(centre, half)]
        points = [_at(face, [a for a, _ in box])]
        points += [_at(face, [a + s * h for (a, h), s in zip(box, signs)]) for signs in product((-1, 1), repeat=r)]
        logits = X * flint.arb_mat([[_ball(p[j]) for p in points] for j in range(r)])
        if not _leaf(logits, L, Z, features, bound, len(points)):
            return f"the bound of the leaf at {centre} of face {face} is above the claim"
    return _space_cones(P, w, v, proof, atoms, exact, L, bound, every)


def _leaf(logits, L, Z, features, bound, n):
    """Whether the second moment about the mean at the first point, tilted towards the others, is below the claim."""
    import flint

    K = len(L)
    first = [L[i] + logits[i, 0] for i in range(K)]
    top = flint.arb(max(float(a.mid()) for a in first))
    p = [(a - top).exp() for a in first]
    total = sum(p, flint.arb(0))
    m = [sum((q * z[a] for q, z in zip(p, Z)), flint.arb(0)) / total for a in range(3)]
    # E exp(tilt) <= 1 only about the mean: the tilt of each atom less its mean
    middle = [sum((p[i] * (logits[i, k] - logits[i, 0]) for i in range(K)), flint.arb(0)) / total for k in range(1, n)]
    rows = [[p[i] / total * (logits[i, k] - logits[i, 0] - middle[k - 1]).exp() for i in range(K)] for k in range(1, n)]
    moments = flint.arb_mat(rows) * features
    for k in range(n - 1):
        mass, *rest = (moments[k, j] for j in range(10))
        xx, xy, xz, yy, yz, zz = rest[3:]
        second = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
        a, b, c, d, e, f = (
            bound * int(i == j) - (second[i][j] - m[i] * rest[j] - m[j] * rest[i] + mass * m[i] * m[j])
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        )
        # all leading minors of bound I - S are positive
        if not (a > 0 and a * d - b * b > 0 and a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d) > 0):
            return False
    return True


def _space_cover(proof, r, inner, radius):
    """Why the leaves do not cover the cube of half side ``radius``, or the cones the directions; None where they do."""
    trees: dict[int, list] = {face: [] for face in range(-1, 2 * r)}

    # each leaf is a cell of the tree of its face, in exact numbers
    for centre, half, face in proof.leaves:
        low, size = [-inner] * r, [inner] * r
        if face >= 0:
            low, size = [Fraction(-1)] * (r - 1) + [inner], [Fraction(1)] * (r - 1) + [(radius - inner) / 2]
        cell = _tree_cell([(Fraction(a), Fraction(h)) for a, h in zip(centre, half)], low, size)
        if cell is None:
            return f"the leaf at {centre} of face {face} is no cell of a tree"
        trees[face].append(cell)

    # the leaves fill each tree, and the cones each side of the cube
    for face, cells in trees.items():
        if not _fills(cells, r):
            return f"the leaves of face {face} do not fill it once"
    for axis in range(r):
        for sign in (1.0, -1.0):
            mine = [cone for cone in proof.cones if (cone.axis, cone.sign) == (axis, sign)]
            cells = [
                _tree_cell([(Fraction(a), Fraction(c.half)) for a in c.centre], [-1] * (r - 1), [Fraction(1)] * (r - 1))
                for c in mine
            ]
            if None in cells or not (len(cells) == 1 if r == 1 else _fills(cells, r - 1)):
                return f"no cone covers some directions of the side {sign:g} of axis {axis}"
    return None


def _space_cones(P, w, v, proof, atoms, exact, L, bound, every):
    """Why the cones do not prove the bound beyond the radius, or None."""
    import flint

    radius, r = Fraction(proof.radius), len(exact[0])
    place, proved = {k: i for i, k in enumerate(atoms)}, set()

    def square(i, j):
        return sum((a - b) ** 2 for a, b in zip(P[i], P[j]))

    for cone in proof.cones:
        if not set(cone.cluster) <= set(atoms):
            return f"the cone at {cone.centre} names atoms that are none"
        corners = []
        for signs in product((-1, 1), repeat=r - 1):
            u = [Fraction(a) + s * Fraction(cone.half) for a, s in zip(cone.centre, signs)]
            u.insert(cone.axis, Fraction(cone.sign))
            corners.append(u)

        # the cluster: a quarter of its squared diameter, or a proof of its own
        if cone.face is None:
            found = _ball(max(square(i, j) for i in cone.cluster for j in cone.cluster) / 4)
        else:
            if tuple(cone.face.atoms) != tuple(cone.cluster) or not 2 <= len(cone.face.span) <= r:
                return f"the face of the cone at {cone.centre} is about other atoms"
            if id(cone.face) not in proved:
                reason = _space_node(P, w, v, cone.face, cone.face.atoms, cone.face.span, cone.face.scale, every)
                if reason:
                    return f"face {cone.face.atoms}: {reason}"
                proved.add(id(cone.face))
            found = flint.arb(float(cone.face.bound))

        # the others, against the atom of the cluster that is heaviest in the middle
        middle = [sum(c[j] for c in corners) / len(corners) for j in range(r)]
        base = max(
            (place[k] for k in cone.cluster),
            key=lambda i: float((L[i] + _ball(radius * sum(a * b for a, b in zip(exact[i], middle)))).mid()),
        )
        for k in set(atoms) - set(cone.cluster):
            away = [a - b for a, b in zip(exact[place[k]], exact[base])]
            g = max(sum(a * b for a, b in zip(away, u)) for u in corners)
            if not g < 0:
                return f"the cone at {cone.centre} leaves out the atom {k}, which does not fade there"
            weight = (L[place[k]] - L[base] + _ball(radius * g)).exp()
            found += weight * _ball(max(square(k, j) for j in cone.cluster))
        if not found <= bound:
            return f"the bound of the cone at {cone.centre} is above the claim"
    return None
