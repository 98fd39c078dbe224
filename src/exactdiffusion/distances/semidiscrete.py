r"""Exact transport of many rows to few atoms: most rows are settled by the potentials of a coarser problem.

The dual problem has one unknown per atom: a row goes where its cost less the potential v of the atom is least. Near the
optimal v most rows are far from a tie of two atoms, and their place needs no linear program:

1. The rows are gathered into cells, each with its mean and the sum of its masses. The exact potentials of this smaller
   problem (`transport.solve`) are near those of the whole one.
2. Rows whose two least reduced costs differ clearly go to the best atom. The other rows share what is left of the masses of
   the atoms: a transport problem as before, with far fewer rows.
3. Its potentials are priced on all pairs. Rows that they send elsewhere join the small problem, until there are none.

The certificate needs none of this to be right. The plan has the exact masses, and as for all methods the dual value of
feasible potentials is held against the cost of the plan. Where the two do not meet, `transport.solve` takes all rows.
"""

import math
from typing import Any

import numpy as np

from . import transport

__all__ = ["applies", "solve"]

#: Part of the rows, those with the least lead of the best atom over the next, that is not settled at first.
_OPEN = 0.15
#: Rounds in which rows join the small problem: 1 to 4 were seen.
_ROUNDS = 12


def applies(n: int, m: int) -> bool:
    """Whether n rows to m atoms, or m rows to n atoms, are a case for this module (measured).

    Examples
    --------
    >>> applies(50_000, 142), applies(142, 50_000), applies(2_000, 2_000)
    (True, True, False)
    """
    n, m = max(n, m), min(n, m)
    return m > 1 and n >= 5000 and n >= 50 * m


def solve(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, total: int, work: float = math.inf
) -> dict[str, Any] | None:
    """Optimal plan and feasible potentials of many rows and few atoms, on either side.

    Parameters
    ----------
    x, y, a, b, total, work
        As in `transport.solve`.

    Returns
    -------
    dict or None
        As `transport.solve`; None where the gap was not closed.

    Examples
    --------
    >>> x, y = np.linspace(0, 1, 40)[:, np.newaxis], np.array([[0.25], [0.75]])
    >>> found = solve(x, y, np.ones(40), np.full(2, 20.0), 40)
    >>> found["solved"], np.bincount(found["columns"])
    (True, array([20, 20]))
    """
    if len(x) < len(y):
        found = solve(y, x, b, a, total, work)
        if found is not None:
            for one, other in (("rows", "columns"), ("u", "v"), ("tails", "heads")):
                found[one], found[other] = found[other], found[one]
        return found
    pairs = transport.Pairs(x, y)
    v = _coarse_potentials(pairs, a, b, total, work)
    if v is None:
        return None

    # the best atom of every row, and its lead over the next
    columns = transport.near(pairs.x, pairs.y, v, 2)
    reduced = np.stack([pairs.cost(np.arange(pairs.n), column) - v[column] for column in columns.T], axis=1)
    best = np.where(reduced[:, 0] <= reduced[:, 1], columns[:, 0], columns[:, 1])
    lead = np.abs(reduced[:, 0] - reduced[:, 1])
    margin = np.full(pairs.m, np.quantile(lead, _OPEN))
    open_ = lead <= margin[best]

    for round_ in range(_ROUNDS):
        rest = _rest(b, a, best, lead, margin, open_)
        if 2 * np.count_nonzero(open_) > pairs.n:
            return None
        rows, atoms = np.flatnonzero(open_), np.flatnonzero(rest)
        mass = sum(a[rows].tolist())
        part = transport.solve(x[rows], y[atoms], a[rows], rest[atoms], mass, work, split=False, guess=v[atoms])
        if part is None or part["v"] is None:
            return None

        # atoms without a part in the small problem keep their place among the others
        v = v + np.median(part["v"] - v[atoms])
        v[atoms] = part["v"]

        # the certificate: all pairs
        i = np.concatenate([np.flatnonzero(~open_), rows[part["rows"]]])
        j = np.concatenate([best[~open_], atoms[part["columns"]]])
        flow = np.concatenate([a[~open_], part["flow"]])
        cost, share = pairs.cost(i, j), transport.shares(flow, total)
        least = pairs.price(np.full(pairs.n, -np.inf), v, 0.0)[0]
        excess = cost - least[i] - v[j]
        loss, primal = float(share @ excess), math.fsum(share * cost)
        if loss <= 0.01 * transport.ACCURACY * primal:
            found = {"rows": i, "columns": j, "flow": flow, "cost": cost, "u": least, "v": v, "tails": i, "heads": j}
            return found | {"solved": True, "loss": loss, "rounds": round_ + 1, "arcs": part.get("arcs", len(part["rows"]))}

        # settled rows that would rather be elsewhere join
        wrong = i[: np.count_nonzero(~open_)][excess[: np.count_nonzero(~open_)] > 1e-3 * loss]
        if len(wrong) == 0:
            return None
        open_[wrong] = True
    return None


def _coarse_potentials(pairs, a, b, total, work):
    """Optimal potentials of the atoms for the cells of the rows: means and sums of the masses; None where that fails."""
    size = min(8000 if pairs.d <= 8 else 2000, pairs.n // 4)
    seeds = np.sort(np.random.default_rng(0).choice(pairs.n, size, replace=False))
    cell = transport.nearest(pairs.x, pairs.x[seeds], 1)[:, 0]

    # masses in integers, means in floats
    mass = np.zeros(size, dtype=a.dtype)
    np.add.at(mass, cell, a)
    share = transport.shares(a, total)
    sums = np.stack([np.bincount(cell, share * column, size) for column in pairs.x.T], axis=1)
    full = np.flatnonzero(mass)
    means = sums[full] / np.bincount(cell, share, size)[full, np.newaxis]

    found = transport.solve(means, pairs.y, mass[full], b, total, work)
    return None if found is None else found["v"]


def _rest(b, a, best, lead, margin, open_):
    """What the settled rows leave of the masses of the atoms.

    None of it may be negative: an atom that would receive too much gives up the rows with the least lead. ``margin`` (m,)
    and ``open_`` (n,) are changed.
    """
    while True:
        rest = b.copy()
        np.subtract.at(rest, best[~open_], a[~open_])
        over = rest < 0
        if not np.any(over):
            return rest
        margin[over] = np.maximum(2 * margin[over], np.finfo(np.float64).tiny)
        open_ |= lead <= margin[best]
