r"""What can be proved of a point that a search returned as the global mode of a sum of equal Gaussians.

Used by ``certificate=True`` of the proximal maps. Three proofs, from the strongest statement to the weakest:

- `convex_gap`: all points as good as the one found lie in a convex set on which G is strongly concave;
- `branch_and_bound`: no box of the hull holds a value above the one found plus a gap (hulls of at most 3 dimensions);
- `soft_min_gap`: the largest value is at most a sum of exponentials.

All bounds are proofs up to rounding, which they include outwards.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .climb import EPS, first_best
from .modes import LOW, Modes, half_square_distances


@dataclass
class Found:
    """The points that a search found, one per query.

    Attributes
    ----------
    z : (n, r) array
    value : (n,) array, G at z
    norm : (n,) array, |m(z) - z|
    """

    z: np.ndarray
    value: np.ndarray
    norm: np.ndarray

    def put(self, rows: np.ndarray, z: np.ndarray, value: np.ndarray, norm: np.ndarray) -> None:
        """Replace the points of ``rows``."""
        self.z[rows], self.value[rows], self.norm[rows] = z, value, norm


class Proof(NamedTuple):
    """What `certify` proved.

    Attributes
    ----------
    gap : (n,) array
        Bound of max G - G(z).
    status : (n,) array of str
        As in `ProxResult`.
    """

    gap: np.ndarray
    status: np.ndarray


def certify(modes: Modes, found: Found, gap: np.ndarray, calls: dict[str, int]) -> Proof:
    """Prove what can be proved of ``found``, in place: where branch and bound meets a better vertex, it climbs from there.

    Parameters
    ----------
    modes : Modes
    found : Found
    gap : (n,) array
        Gap in units of G at which branch and bound stops.
    calls : dict
        Evaluation counts are added to it.

    Returns
    -------
    Proof
    """
    soft, convex = soft_min_gap(modes, found.value), convex_gap(modes, found)
    proved, status = soft.copy(), np.where(soft <= 1e-3, "soft-min", "searched").astype(object)

    # in low dimension, boxes decide where concavity does not
    open_rows = np.nonzero(~np.isfinite(convex))[0] if modes.r <= LOW else np.zeros(0, int)
    for _ in range(4):
        if not len(open_rows):
            break
        bound, top, where = branch_and_bound(modes, open_rows, found.value, gap[open_rows])
        worse = top > found.value[open_rows] + 1e-13 * (1 + np.abs(found.value[open_rows]))
        done = np.isfinite(bound) & ~worse
        proved[open_rows[done]], status[open_rows[done]] = bound[done], "branch and bound"

        # a vertex that beats the search shows that the search failed: climb from there and certify again
        start, rows = where[worse], open_rows[worse]
        open_rows = rows[:0]
        if len(rows):
            at, value, norm = modes.newton(start, rows, calls, direct=True)
            up = value > found.value[rows]
            open_rows = rows[up]
            found.put(open_rows, at[up], value[up], norm[up])

    finite = np.isfinite(convex)
    proved[finite], status[finite] = convex[finite], "convex"
    return Proof(proved, status)


def convex_gap(modes: Modes, found: Found) -> np.ndarray:
    """Bound (n,) of max G - G(z) where all points as good as z lie in a convex set with G strongly concave, else inf.

    Cov_r is at most the square radius R^2 of a ball around the centres, and G is strongly concave everywhere if R^2 < kappa.
    The other case is a component 1 that dominates. With W_j = exp(L_j) and T their sum, every point with
    exp(G) >= exp(G(z)) satisfies W_1 exp(-|. - c_1|^2 / 2 kappa) >= b = exp(G(z)) - (T - W_1): it lies in a ball about c_1,
    of radius rho. There exp(G) >= b, so that r_j <= W_j exp(-(|c_j - c_1| - rho)_+^2 / 2 kappa) / b and
    Cov_r <= sum_j r_j |c_j - c_1|^2.
    """
    n, ik = modes.rows, modes.ik
    w = np.exp(np.maximum(modes.log_w, -600))
    bound = modes.square_radius() * ik
    first = modes.log_w.argmax(1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # distances of the centres to the heaviest one; the rounding of the expanded form goes outwards
        if modes.shared:
            slack = 8 * EPS * (4 + math.sqrt(modes.r)) * modes.half.max()
            d2 = 2 * half_square_distances(modes.c[first], modes.c)
            near, d2 = np.sqrt(np.maximum(0, d2 - slack)), d2 + slack
        else:
            d2 = np.square(modes.c - modes.c[np.arange(n), first][:, None, :]).sum(-1)
            near = np.sqrt(d2)

        # the covariance in the ball about it
        others = w.copy()
        others[np.arange(n), first] = 0
        b = np.exp(found.value) - others.sum(1)
        rho = np.sqrt(np.maximum(0, -2 * np.log(b)) / ik)
        reach = np.maximum(0, near - rho[:, None])
        local = ((others * np.exp(-0.5 * ik[:, None] * reach**2)) * d2).sum(1) / b * ik
    local = np.where((b > 1e-12) & np.isfinite(local), local, np.inf)
    bound = np.minimum(bound, local)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = ik * found.norm**2 / (2 * (1 - bound))
    return np.where(bound < 1 - 1e-9, gap, np.inf)


def soft_min_gap(modes: Modes, value: np.ndarray) -> np.ndarray:
    """Bound (n,) of max G - ``value`` from a sum of exponentials.

    exp(G) <= max_i (W_i + sum_{j != i} W_j exp(-|c_i-c_j|^2 / 8 kappa)) <= sum_j W_j. Every exponential is at most 1, which
    gives the sum (the smoothed density). With c_i the centre nearest to z, the others are at least |c_i-c_j|/2 away: the
    better bound where the centres are far apart.
    """
    w = np.exp(np.maximum(modes.log_w, -600))
    bound = w.sum(1)
    same = modes.shared and np.all(modes.ik == modes.ik[0]) and modes.size <= 2048
    if same or modes.size <= 64:
        diagonal = np.arange(modes.size)
        step = modes.rows if same else max(1, (1 << 20) // (modes.size * max(modes.size, modes.r)))
        for a in range(0, modes.rows, step):
            # the table of exp(-|c_i-c_j|^2 / 8 kappa); the rounding of the expanded form goes outwards
            s = slice(a, a + step)
            c, half = (modes.c, modes.half) if modes.shared else (modes.c[s], modes.half[s])
            ik = modes.ik[0] if same else modes.ik[s][:, None, None]
            slack = 8 * EPS * (4 + math.sqrt(modes.r)) * half.max()
            d = half[..., :, None] + half[..., None, :] - c @ c.swapaxes(-1, -2) - slack
            with np.errstate(over="ignore"):
                table = np.exp(np.maximum(-0.25 * ik * np.maximum(d, 0), -700))
            table[..., diagonal, diagonal] = 1

            sums = w[s] @ table if same else (table @ w[s][:, :, None])[:, :, 0]
            bound[s] = np.minimum(bound[s], sums.max(1))
    return np.maximum(0, np.log(bound) - value)


def branch_and_bound(
    modes: Modes, rows: np.ndarray, value: np.ndarray, gap: np.ndarray, limit: int = 20_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Certify max G <= G + gap by dyadic boxes of the hull's bounding box, for ``rows`` (r <= 3).

    -G(z) = |z|^2/(2 kappa) - (a convex function). On a box with centre b and sides h_i, |z|^2 = |z-b|^2 + affine, so
    -G = |z-b|^2/(2 kappa) + (a concave function); the first term is at least 0, the second is smallest at a vertex,
    where the first is sum h_i^2/(8 kappa). Hence min over the box >= min over its vertices - sum h_i^2/(8 kappa),
    whatever the weights and the number of centres. Rounding of G is added to the bound.

    Parameters
    ----------
    modes : Modes
    rows : (n,) array of int, the queries to certify
    value : (modes.rows,) array, G at the points found
    gap : (n,) array
    limit : int
        Boxes alive at which a query is given up.

    Returns
    -------
    proved : (n,) array, the gap proved, inf for a query that was given up
    top : (n,) array, the best value at a vertex
    where : (n, r) array, that vertex
    """
    n, r = len(rows), modes.r
    ik, value = modes.ik[rows], value[rows]
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * r, indexing="ij")).reshape(r, -1).T
    low, high = (np.broadcast_to(a, (modes.rows, r))[rows] for a in (modes.c.min(-2), modes.c.max(-2)))
    width = high - low
    proved, top = np.zeros(n), np.full(n, -np.inf)
    where = low.copy()

    # the first boxes: half the kernel width per side, at most 16 per axis
    start = np.clip(np.ceil(width.max(1) * np.sqrt(ik)), 1, 16).astype(int)
    owners, lowest = [], []
    for q in np.unique(start):
        ids = np.nonzero(start == q)[0]
        grid = np.array(np.meshgrid(*[np.arange(q)] * r, indexing="ij")).reshape(r, -1).T
        owners.append(np.repeat(ids, len(grid)))
        lowest.append((low[ids][:, None, :] + grid[None] * (width[ids] / q)[:, None, :]).reshape(-1, r))
    owner, corner = np.concatenate(owners), np.concatenate(lowest)
    h = width / start[:, None]

    # a vertex is rounded by eps R, which changes G by eps R / sqrt(kappa) where a component within sqrt(kappa) counts
    noise = 16 * EPS * (2 + np.abs(value) + np.sqrt(np.square(width).sum(1) * ik))
    gap = np.maximum(gap, 4 * noise)
    failed = noise > 1e-3  # G itself is not known that well
    for _ in range(64):
        if not len(owner):
            break

        # values at the vertices, and the best vertex of each query
        vertices = (corner[:, None, :] + corners[None] * h[owner][:, None, :]).reshape(-1, r)
        own = np.repeat(owner, len(corners))
        at = modes.evaluate(vertices, rows[own], direct=True, second=False)[0]
        best = first_best(at, own, n)
        up = best[best >= 0]
        up = up[at[up] > top[own[up]]]
        top[own[up]], where[own[up]] = at[up], vertices[up]

        # boxes whose bound is within the gap are done
        upper = at.reshape(len(owner), -1).max(1)
        upper += np.square(h[owner]).sum(1) * ik[owner] / 8 + noise[owner] + 16 * EPS * np.abs(upper)
        excess = upper - value[owner]
        dead = excess <= gap[owner]
        np.maximum.at(proved, owner[dead], excess[dead])
        owner, corner = owner[~dead], corner[~dead]
        over = np.bincount(owner, minlength=n) > limit
        if over.any():
            failed |= over
            owner, corner = owner[~over[owner]], corner[~over[owner]]

        # the others are split; only the long sides are halved, because a flat hull would breed thin boxes without end
        split = 2 * h > h.max(1)[:, None]
        h = np.where(split, h / 2, h)
        children = (split[owner][:, None, :] | (corners == 0)).all(2)
        corner = (corner[:, None, :] + corners * h[owner][:, None, :])[children]
        owner = np.repeat(owner, children.sum(1))
    failed[owner] = True
    return np.where(failed, np.inf, np.maximum(proved, 0)), top, where
