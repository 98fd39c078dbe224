r"""Does a certificate of log-concavity prove its claim? A program of its own: it shares no code with the one that made it.

The claim is ``lammax Cov(Z | Z + sqrt(v) N = y) <= bound`` for every y in R^r, r = 1 or 2, for the atoms and weights as
stored. What is examined, in integers and in ball arithmetic (python-flint):

*Cover.* A leaf names a cell of the dyadic tree of ``[-R, R]^r``: level k with half width ``R / 2^k`` exactly, and integer
indices. The tree is walked from its root: each cell is a leaf, or is split, or lies outside the open ball of radius R; each
leaf is met exactly once.

*Leaf.* Let c be its centre, ``m = E[Z | c]`` and ``p_i`` the weights at c. A point y of the leaf is a mean of the corners
``c + s_k``, with weights a_k >= 0 of sum 1. At y atom i weighs ``p_i e_i / E[e | c]``, ``e_i = exp((z_i - m)(y - c) / v)``,
and ``E[e | c] >= 1`` by Jensen's inequality. The exponential function is convex, so that
``e_i <= sum_k a_k exp((z_i - m) s_k / v)``. A variance is at most the second moment about m: for a unit vector u,
``u Cov(y) u <= sum_i p_i e_i (u (z_i - m))^2 <= sum_k a_k u S_k u``, where
``S_k = sum_i p_i exp((z_i - m) s_k / v) (z_i - m)(z_i - m)^T``. Hence ``lammax Cov(y)`` is at most the largest
``lammax S_k`` of the 2^r corners.

*Beyond R.* For ``y = t u``, ``t >= R``, u a direction of a sector, and any atom b, an atom i has at most the weight
``q_i = w_i / w_b exp((|z_b|^2 - |z_i|^2) / (2 v) + R g_i / v)`` where ``u (z_i - z_b) <= g_i < 0`` over the sector. For a
set C of atoms and a unit vector x, the variance of ``x Z`` is at most its second moment about the middle of its values on C:
``lammax Cov <= diam(C)^2 / 4 + sum_{i not in C} q_i max_{j in C} |z_i - z_j|^2``. The sectors cover the circle; on a line
there are two directions, and C is the last atom.
"""

from fractions import Fraction
from itertools import product
from math import pi
from typing import Any

__all__ = ["refutation"]

#: how far a stored centre may be from that of the cell which it names, in half widths: rounding at the finest level is 1e-6
_ROUNDED = Fraction(1, 10**4)
#: each sector is examined wider by this angle on both sides, more than the rounding of its ends
_ANGLE = 1e-12


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


def _cover(cells, r):
    """Why the cells do not cover the ball, or None: a walk of the tree in integers."""
    leaves, split, met, stack = set(cells), set(), 0, [(0, (0,) * r)]
    for level, index in leaves:
        for up in range(1, level + 1):
            split.add((level - up, tuple(i >> up for i in index)))
    for level, index in stack:  # which grows
        if (level, index) in leaves:
            met += 1
        elif (level, index) in split:
            children = [()]
            for i in index:
                children = [(*c, j) for c in children for j in (2 * i, 2 * i + 1)]
            stack += [(level + 1, c) for c in children]
        else:
            # its nearest point to the origin, in half widths: it may be missing outside the open ball only
            low = [2 * i - (1 << level) for i in index]
            if sum(max(a, -a - 2, 0) ** 2 for a in low) < 1 << 2 * level:
                return f"no leaf covers the cell {index} of level {level}"
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
    reason = _cover(cells, r)
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
        last = [floats.index(max(floats)), floats.index(min(floats))]
        for alpha, wide, C in certificate.tails if r == 2 else [(0.0, 0.0, last[:1]), (pi, 0.0, last[1:])]:
            angle, wide = arb(alpha), arb(wide + _ANGLE)
            u, n = [angle.cos(), angle.sin()][:r], [-angle.sin() * (r - 1), angle.cos()][:r]
            base = max(C, key=lambda k: float((L[k] + R * dot(u, P[k]) / v).mid()))
            found = largest(square(P[i], P[j]) for i in C for j in C) / 4
            for k in set(range(K)) - {int(k) for k in C}:
                a = minus(P[k], P[base])
                # largest at an end of the sector, for an atom that looks away from u and a sector narrower than pi
                g = dot(a, u) * wide.cos() + abs(dot(a, n)) * wide.sin()
                if not (dot(a, u) < 0 and g < 0 and wide < 1):
                    return f"the sector at {alpha} leaves out the atom {k}, which does not fade there"
                found += (L[k] - L[base] + R * g / v).exp() * largest(square(P[k], P[j]) for j in C)
            if not found <= bound:
                return f"the bound of the sector at {alpha} is above the claim"
    if r == 2:
        ends = sorted((alpha - wide, alpha + wide) for alpha, wide, _ in certificate.tails)
        reach = ends[0][0] if ends else 0.0
        for low, high in ends:
            if low > reach + _ANGLE:
                return f"no sector covers the directions from {reach} to {low}"
            reach = max(reach, high)
        if not ends or reach < ends[0][0] + 2 * pi - _ANGLE:
            return f"no sector covers the directions beyond {reach}"
    return None
