"""Mean shift with Anderson acceleration: the ascent where covariances are too large for Newton's method.

On the 1,797 digits in 64 dimensions it takes half the time of Newton's method with conjugate gradients.
"""

import numpy as np

from .climb import EPS, count
from .modes import Modes

_MEMORY = 5  # earlier steps from which the next one is extrapolated


def mean_shift(
    modes: Modes, z: np.ndarray, row: np.ndarray, calls: dict[str, int], iterations: int = 120, drop: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Climb from the starts z (P, r) of queries ``row`` (P,) by z <- m(z), accelerated: (z, G, |m - z|) as in `climb`.

    The step m(z) - z never lowers G. The extrapolation of D. G. Anderson (1965) over the last five steps is taken where it
    does not lower G either. With ``drop``, a start ends when it has come close to the best start of its query, or when the
    gain to expect leaves it below: twenty times |m - z|^2 / (2 kappa), the gain of a plain step, for slow contraction.
    """
    p, r = z.shape
    z = z.copy()
    value, norm = np.full(p, -np.inf), np.full(p, np.inf)
    best = np.full(modes.rows, -np.inf)
    live = np.arange(p)
    earlier, shifts = np.zeros((_MEMORY, p, r)), np.zeros((_MEMORY, p, r))
    have = np.zeros(p, int)
    g, f, _, _ = modes.evaluate(z, row, second=False)
    count(calls, density=p, score=p)
    for it in range(iterations):
        value[live], norm[live] = g, np.sqrt((f * f).sum(1))
        np.maximum.at(best, row[live], g)

        # which starts go on: not at rounding level; able to reach the best one; not close to it (0.3 kernel widths early)
        keep = norm[live] > 2 * EPS * modes.scale[row[live]]
        missing = best[row[live]] - 1e-6 - g
        if it >= 1 and drop:
            left = 20 * modes.ik[row[live]] * norm[live] ** 2
            keep &= ~(left < (missing if it >= 4 else 0.05 * missing))
        if it >= 3 and drop:
            lead = np.zeros(modes.rows, int)
            order = np.argsort(value, kind="stable")
            lead[row[order]] = order
            near = np.square(z[live] - z[lead[row[live]]]).sum(1) * modes.ik[row[live]]
            follows = (near < (0.1 if it in (3, 6, 9) else 1e-3)) & (live != lead[row[live]])
            value[live[follows]] = -np.inf
            keep &= ~follows
        live, g, f = live[keep], g[keep], f[keep]
        if not len(live):
            break

        # the plain step, extrapolated by least squares over the differences of the last ones
        slot = have[live] % _MEMORY
        earlier[slot, live], shifts[slot, live] = z[live], f
        have[live] += 1
        trial = z[live] + f
        if it >= 1:
            used = (np.arange(_MEMORY)[:, None] < np.minimum(have[live], _MEMORY))[:, :, None]
            df = np.where(used, f - shifts[:, live], 0.0)
            dz = np.where(used, z[live] - earlier[:, live], 0.0)
            a = np.einsum("mpr,npr->pmn", df, df)
            b = np.einsum("mpr,pr->pm", df, f)
            ridge = 1e-13 * np.trace(a, axis1=1, axis2=2) + 1e-300
            w = np.linalg.solve(a + ridge[:, None, None] * np.eye(_MEMORY), b[:, :, None])[:, :, 0]
            trial = trial - np.einsum("pm,mpr->pr", w, df + dz)

        # where that lowers G, or at rounding level doubles the residual, the plain step
        k = row[live]
        new_g, new_f, _, _ = modes.evaluate(trial, k, second=False)
        count(calls, density=len(k), score=len(k))
        old, new_norm = norm[live], np.sqrt((new_f * new_f).sum(1))
        noise = 8 * EPS * (1 + np.abs(g))
        bad = np.nonzero((new_g < g - noise) | ~np.isfinite(new_g) | ((new_norm > 2 * old) & (new_g < g + noise)))[0]
        if len(bad):
            trial[bad] = z[live[bad]] + f[bad]
            new_g[bad], new_f[bad], _, _ = modes.evaluate(trial[bad], k[bad], second=False)
            count(calls, density=len(bad), score=len(bad))
            have[live[bad]] = 0
            new_norm[bad] = np.sqrt((new_f[bad] ** 2).sum(1))

        # a start that has reached rounding level ends, at the point with the smaller residual
        stop = (new_norm <= 1e-13 * modes.scale[k]) & (new_norm > 0.5 * old) & (it > 2)
        move = ~(stop & (new_norm > old))
        z[live[move]] = trial[move]
        value[live[move]], norm[live[move]] = new_g[move], new_norm[move]
        live, g, f = live[~stop], new_g[~stop], new_f[~stop]
        if not len(live):
            break
    lost = value < best[row] - 1e-6
    return z, np.where(lost & (norm > 1e-9 * modes.scale[row]), -np.inf, value), norm
