"""Newton's method with a monotone safe step from many starts at once: the ascent shared by both kinds of mixtures."""

import contextlib
from collections.abc import Callable

import numpy as np

EPS = np.finfo(np.float64).eps

#: what an evaluation returns: value (P,), safe step (P, r), Newton step (P, r), right-hand side (P, r), unit (P,)
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def count(calls: dict[str, int], **counts: int) -> None:
    """Add ``counts`` to the numbers of ``calls``, in place."""
    for kind, number in counts.items():
        calls[kind] = calls.get(kind, 0) + int(number)


def solve(h: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve h s = b for each row, h (P, r, r) and b (P, r); a row whose h is singular comes out non-finite."""
    r = b.shape[1]
    with np.errstate(all="ignore"):
        if r == 1:
            return b / h[:, 0]
        if r == 2:
            det = h[:, 0, 0] * h[:, 1, 1] - h[:, 0, 1] * h[:, 1, 0]
            s = np.empty_like(b)
            s[:, 0] = (h[:, 1, 1] * b[:, 0] - h[:, 0, 1] * b[:, 1]) / det
            s[:, 1] = (h[:, 0, 0] * b[:, 1] - h[:, 1, 0] * b[:, 0]) / det
            return s
        try:
            return np.linalg.solve(h, b[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            out = np.full_like(b, np.nan)
            for i in range(len(b)):
                with contextlib.suppress(np.linalg.LinAlgError):
                    out[i] = np.linalg.solve(h[i], b[i])
            return out


def climb(
    evaluate: Callable[[np.ndarray, np.ndarray], Parts],
    z: np.ndarray,
    row: np.ndarray,
    scale: np.ndarray,
    closeness: np.ndarray,
    drop: bool = True,
    max_iterations: int = 300,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximise a value from every start in ``z`` (P, r) by Newton steps, with a safe step where one fails.

    ``evaluate(z, index)`` gives the `Parts` at z for the starts ``index``. The right-hand side is the gradient up to the
    unit, and the gain predicted for a Newton step is unit/2 step.rhs. A Newton step is taken where it points uphill and is
    no longer than four times the scale; where the value falls in spite of it, the safe step is taken instead, which never
    lowers the value.

    A start ends when its right-hand side is at the level of rounding, or when neither it nor the value improves any more.
    With ``drop``, a start also ends when it cannot reach the best start of its query or has come into its basin. It cannot
    reach it when four times the gain predicted next leaves it below, after a Newton step whose gain was as predicted
    (from the third step on: after any, with a margin of 0.1).

    Parameters
    ----------
    evaluate : callable
    z : (P, r) array
    row : (P,) array of int
        The query to which a start belongs.
    scale : (rows,) array
        Size of the coordinates of a query: rounding errors of z are eps times this.
    closeness : (rows,) array
        Inverse square width of a basin.
    drop : bool
    max_iterations : int

    Returns
    -------
    z : (P, r) array, where each start ended
    value : (P,) array, -inf for starts that were given up
    norm : (P,) array, norm of the right-hand side there
    """
    z = z.copy()
    live = np.arange(len(z))
    value, safe, step, rhs, unit = evaluate(z, live)
    norm = np.linalg.norm(rhs, axis=1)
    final_value, final_norm = value.copy(), norm.copy()
    best = np.full(len(scale), -np.inf)
    np.maximum.at(best, row, value)
    predicted, idle = np.zeros(len(z), bool), np.zeros(len(z), int)
    tight, leader = 2 * EPS * scale, np.zeros(len(scale), int)

    for it in range(max_iterations):
        # which starts can take the Newton step
        slope = (step * rhs).sum(1)
        with np.errstate(invalid="ignore"):
            newton = np.isfinite(slope) & (slope > 0) & ((step * step).sum(1) <= 16 * scale[row[live]] ** 2)
        gain = 0.5 * unit * np.where(newton, slope, 0.0)
        step = np.where(newton[:, None], step, safe)

        # which starts go on
        keep = norm > tight[row[live]]
        if drop:
            missing = best[row[live]] - 1e-6 - value
            lost = newton & ((predicted & (4 * gain < missing)) | ((it >= 2) & (4 * gain + 0.1 < missing)))
            if 2 <= it <= 8:  # within 0.03 widths of the query's best start, when that is ahead
                order = live[np.argsort(value, kind="stable")]
                leader[row[order]] = order
                first = leader[row[live]]
                near = np.square(z[live] - z[first]).sum(1) * closeness[row[live]]
                lost |= (near < 1e-3) & (live != first)
            final_value[live[lost]] = -np.inf
            keep &= ~lost
        if not keep.all():
            live, step, value, safe, gain, newton = (a[keep] for a in (live, step, value, safe, gain, newton))
            norm, idle = norm[keep], idle[keep]
        if not len(live):
            break

        # the step, and the safe one where the value fell
        trial = z[live] + step
        new_value, new_safe, new_step, rhs, unit = evaluate(trial, live)
        noise = 8 * EPS * (np.abs(value) + 1)
        new_norm = np.linalg.norm(rhs, axis=1)
        bad = newton & ((new_value < value - noise) | ((new_value < value + noise) & (new_norm > 2 * norm)))
        if bad.any():
            b = np.nonzero(bad)[0]
            trial[b] = z[live[b]] + safe[b]
            for whole, part in zip((new_value, new_safe, new_step, rhs, unit), evaluate(trial[b], live[b])):
                whole[b] = part
            new_norm[b] = np.linalg.norm(rhs[b], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (new_value - value) / gain
        predicted = newton & ~bad & (ratio > 0.5) & (ratio < 2)

        # a start whose norm is small and does not fall any more has reached the level of rounding
        stuck = new_norm > 0.5 * norm
        idle = np.where(stuck & (new_value <= value + noise), idle + 1, 0)
        stalled = stuck & ((new_norm <= 1e-13 * scale[row[live]]) | (idle >= 4))
        better = ~(stalled & (new_norm > norm))
        z[live[better]] = trial[better]
        final_value[live[better]], final_norm[live[better]] = new_value[better], new_norm[better]
        np.maximum.at(best, row[live], new_value)

        go = ~stalled
        live, idle, predicted = live[go], idle[go], predicted[go]
        value, safe, norm, step, rhs, unit = (a[go] for a in (new_value, new_safe, new_norm, new_step, rhs, unit))
        if not len(live):
            break
    return z, final_value, final_norm


def first_best(value: np.ndarray, row: np.ndarray, rows: int) -> np.ndarray:
    """Index of the best start of each query; values within rounding of the best tie, and the first of them is taken."""
    top = np.full(rows, -np.inf)
    np.maximum.at(top, row, value)
    ok = np.nonzero(value >= (top - 8 * EPS * (1 + np.abs(top)))[row])[0]
    out = np.full(rows, -1)
    out[row[ok[::-1]]] = ok[::-1]
    return out
