r"""Does a certificate of log-concavity prove its claim? A program of its own: it shares no code with the one that made it.

The claim is ``lammax Cov(Z | Z + sqrt(v) N = y) <= bound`` for every y in R^r, r = 1 or 2, for the atoms and weights as
stored. What is examined, in integers and in ball arithmetic (python-flint):

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

from fractions import Fraction
from functools import partial
from itertools import product
from math import atan2, pi
from typing import Any

__all__ = ["refutation", "space_refutation"]

#: how far a stored centre may be from that of the cell which it names, in half widths: rounding at the finest level is 1e-6
_ROUNDED = Fraction(1, 10**4)
#: each sector is examined wider by this angle on both sides, more than the rounding of its ends
_ANGLE = 1e-12
#: and the directions of a cell by this one
_WIDER = 1e-9


def _cell(centre, half, R):
    """(level, indices) of the dyadic cell that a leaf names, or None."""
    if not all(abs(a) <= R for a in centre):
        return None
    ratio = Fraction(R) / Fraction(half)
    if ratio.denominator != 1 or ratio.numerator & (ratio.numerator - 1):
        return None
    level, index = ratio.numerator.bit_length() - 1, []
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


def refutation(certificate: Any, prec: int = 96, every: int = 1) -> str | None:
    """The first reason why the stored leaves and sectors do not prove the claim, as a text; None where they prove it.

    ``every`` = k bounds each k-th leaf only, while the cover is always examined: None is then no proof.

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
    R, floats = float(certificate.radius), [[float(a) for a in row] for row in certificate.points]
    r, K = len(floats[0]), len(floats)
    centres, halves = ([a.tolist() for a in certificate.leaves] + [[]])[:2]
    if len(centres) != len(halves) or not all(h > 0 for h in halves) or not 0 < R < float("inf"):
        return "leaves and radius are not those of a cover"
    cells = [_cell(c, h, R) for c, h in zip(centres, halves)]
    if None in cells:
        return f"leaf {cells.index(None)} is no cell of the dyadic tree"
    last = [floats.index(max(floats)), floats.index(min(floats))]
    tails = certificate.tails if r == 2 else [(0.0, 0.0, last[:1], R), (pi, 0.0, last[1:], R)]
    if not all(0 < float(radius) <= R for *_, radius in tails):
        return "the radius of a sector is not positive, or above that of the disc"
    reason = _cover(cells, r, partial(_beyond, R=R, sectors=tails) if r == 2 and tails else None)
    if reason:
        return reason
    with flint.ctx.workprec(prec):
        P, w = [[arb(a) for a in row] for row in floats], [arb(float(a)) for a in certificate.weights]
        v, bound = arb(float(certificate.variance)), arb(float(certificate.bound))
        if len(w) != K or not all(a > 0 for a in w) or not v > 0 or not bound > 0:
            return "weights, variance and bound are not positive"

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
            angle, wide = arb(alpha), arb(wide + _ANGLE)
            u, n = [angle.cos(), angle.sin()][:r], [-angle.sin() * (r - 1), angle.cos()][:r]
            base = max(C, key=lambda k: float((L[k] + radius * dot(u, P[k]) / v).mid()))
            found = largest(square(P[i], P[j]) for i in C for j in C) / 4
            for k in set(range(K)) - {int(k) for k in C}:
                a = minus(P[k], P[base])
                # largest at an end of the sector, for an atom that looks away from u and a sector narrower than pi
                g = dot(a, u) * wide.cos() + abs(dot(a, n)) * wide.sin()
                if not (dot(a, u) < 0 and g < 0 and wide < 1):
                    return f"the sector at {alpha} leaves out the atom {k}, which does not fade there"
                found += (L[k] - L[base] + radius * g / v).exp() * largest(square(P[k], P[j]) for j in C)
            if not found <= bound:
                return f"the bound of the sector at {alpha} is above the claim"
    if r == 2:
        ends = sorted((alpha - wide, alpha + wide) for alpha, wide, *_ in certificate.tails)
        reach = ends[0][0] if ends else 0.0
        for low, high in ends:
            if low > reach + _ANGLE:
                return f"no sector covers the directions from {reach} to {low}"
            reach = max(reach, high)
        if not ends or reach < ends[0][0] + 2 * pi - _ANGLE:
            return f"no sector covers the directions beyond {reach}"
    return None


# -------------------------------------------------------------------------------------------------------------- in space


def _tree_cell(box, low, half):
    """Levels and indices of a cell, (centre, half) for each axis, in its binary tree, or None where it is no cell of it."""
    found = []
    for (centre, own), root_low, root_half in zip(box, low, half):
        ratio = root_half / own
        if own <= 0 or ratio.denominator != 1 or ratio.numerator & (ratio.numerator - 1):
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
    """As `refutation`, for a certificate in space.

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

    P = [[Fraction(float(a)) for a in row] for row in certificate.points]
    w, v = [Fraction(float(a)) for a in certificate.weights], Fraction(float(certificate.variance))
    if len(w) != len(P) or not all(a > 0 for a in w) or not v > 0:
        return "weights and variance are not positive"
    everything = tuple(range(len(P)))
    with flint.ctx.workprec(prec):
        return _space_node(P, w, v, certificate, everything, (), (), every)


def _ball(a):
    import flint

    return flint.arb(a.numerator) / flint.arb(a.denominator)


def _space_node(P, w, v, proof, atoms, span, scale, every):
    """Why the cells and cones of a proof about some atoms do not prove its bound, or None."""
    import flint

    # the number of coordinates theta, and X with logits L + X theta, exactly
    r = len(span) - 1 if span else 3
    if span and not (_spanned(P, atoms, span) and all(s > 0 for s in scale) and len(scale) == r):
        return f"the atoms {atoms} do not lie in the span of {span}"
    axes = [[int(i == j) * Fraction(1) for i in range(3)] for j in range(3)]
    if span:
        axes = [[(a - b) / Fraction(s) for a, b in zip(P[k], P[span[0]])] for k, s in zip(span[1:], scale)]
    origin = P[span[0]] if span else [Fraction(0)] * 3
    exact = [[sum((a - o) * e for a, o, e in zip(P[k], origin, axis)) / v for axis in axes] for k in atoms]
    L = [_ball(w[k]).log() - _ball(sum(a * a for a in P[k]) / (2 * v)) for k in atoms]
    bound, inner, radius = float(proof.bound), float(proof.inner), float(proof.radius)
    if not (0 < bound < float("inf") and 0 < inner < radius < float("inf")):
        return "bound and radii are not those of a proof"
    reason = _space_cover(proof, r, Fraction(inner), Fraction(radius))
    if reason:
        return reason

    # the leaves: p and the tilted moments about m, as products of matrices of balls
    bound, X = flint.arb(bound), flint.arb_mat([[_ball(a) for a in row] for row in exact])
    Z = [[_ball(a) for a in P[k]] for k in atoms]
    one = flint.arb(1)
    features = flint.arb_mat([[one, *z, *(z[a] * z[b] for a in range(3) for b in range(a, 3))] for z in Z])
    for centre, half, face in list(zip(*(a.tolist() for a in proof.leaves)))[::every]:
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
    centres, halves, faces = ([a.tolist() for a in proof.leaves] + [[]] * 3)[:3]
    trees: dict[int, list] = {face: [] for face in range(-1, 2 * r)}
    if not len(centres) == len(halves) == len(faces):
        return "leaves are not those of a cover"

    # each leaf is a cell of the tree of its face, in exact numbers
    for centre, half, face in zip(centres, halves, faces):
        low, size = [-inner] * r, [inner] * r
        if face >= 0:
            low, size = [Fraction(-1)] * (r - 1) + [inner], [Fraction(1)] * (r - 1) + [(radius - inner) / 2]
        finite = all(abs(a) < float("inf") for a in [*centre, *half])
        cell = (
            _tree_cell([(Fraction(a), Fraction(h)) for a, h in zip(centre, half)], low, size)
            if finite and face in trees
            else None
        )
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

    radius, r = Fraction(float(proof.radius)), len(exact[0])
    place, proved = {k: i for i, k in enumerate(atoms)}, set()

    def square(i, j):
        return sum((a - b) ** 2 for a, b in zip(P[i], P[j]))

    for cone in proof.cones:
        if not cone.cluster or not set(cone.cluster) <= set(atoms):
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
            if tuple(cone.face.atoms) != tuple(cone.cluster) or len(cone.face.span) > r:
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
