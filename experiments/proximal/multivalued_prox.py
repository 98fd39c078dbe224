"""Where the proximal map of -lam log p has two values, and the points that it never returns.

A global proximal map jumps where two minimisers tie. At a jump the whole segment between the two is out of reach: the
potential u^2/2 - lam log p(u) lies above its convex hull there. The output law of a proximal sampler then has gaps; in the
last step to a smooth law the KL divergence KL(p_0 | q_0) is infinite (the step-size condition is necessary).

Left: on a line: 0.2 N(-1, 0.1) + 0.8 N(1, 0.1), lam = 0.2, the last step of the hybrid scheme at T = 5, N = 25. Thin: all
stationary points. Dashed: where a local solver started at the query ends. Right: in the plane, the last proximal map before
time 0 of the hybrid scheme on the VP schedule: queries with two values, found by bisection on the edges of a grid, and the
points u that no query reaches: those that are not the prox of the only query for which they are stationary, y = u - lam grad
log p(u). The table also has three atoms. The dino is that of the paper's Fig. 1 (arXiv 2507.08956), N = 20.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, title

SUMMARY = "the set where the proximal map is multivalued, and the gaps of its range: on a line, three atoms, dino"
CAPTION = (
    "Where −λ log p has two minimisers the proximal map jumps, and a whole region is never returned by it: the output"
    " of a proximal sampler has gaps, and in the last step to a smooth law its KL is infinite. Left: .2 N(−1, .1) + "
    ".8 N(1, .1), λ = .2; a local solver started at the query stays on a branch of stationary points. Right: the dino"
    " of Fig. 1 of arXiv 2507.08956, last proximal map of the hybrid scheme at N = 20: queries with two values "
    "(lines) and the points that no query reaches (grey). The table also has three atoms."
)
PAPER = ("2507.08956", "", "own")
PARAMETERS = {
    "line": {
        "weights": [0.2, 0.8],
        "means": [-1.0, 1.0],
        "variance": 0.1,
        "lam": 0.2,
        "low": -1.4,
        "high": 1.4,
        "count": 281,
    },
    "atoms": [[-0.75, -0.45], [0.75, -0.55], [0.1, 0.75]],
    "atom_weights": [0.3, 0.3, 0.4],
    "atoms_steps": 10,
    "dino_steps": 20,
    "box": 1.3,
    "cells": 120,
    "range_cells": 200,
    "bisections": 40,
    "panels": ["line", "three atoms", "dino"],
}
QUICK = {"cells": 60, "range_cells": 80}
SPOT = Spot(
    {"panels": ["line"]},
    keys=("panel", "series", "k"),
    rtol={c: 1e-7 for c in ("x", "y", "ux", "uy", "vx", "vy")},
    atol=1e-9,
    cause="the last bits of exp, magnified by the inverse of a Jacobian down to 1e-2",
)


def compute(parameters, progress):
    """Rows (panel, series, k, x, y, ux, uy, vx, vy): jumps have the query (x, y) and its two minimisers u and v.

    ``out`` rows are runs of grid points outside the range, from (x, y) to (ux, uy).
    """
    import numpy as np

    from exactdiffusion import GaussianMixture, PointCloud, schedules
    from exactdiffusion.studies import sweep

    rows = []

    def put(panel, series, points, pairs=None):
        for k, p in enumerate(points):
            u = [None] * 4 if pairs is None else [None if c != c else float(c) for c in pairs[k]]
            rows.append(
                {
                    "panel": panel,
                    "series": series,
                    "k": k,
                    "x": float(p[0]),
                    "y": float(p[1]),
                    "ux": u[0],
                    "uy": u[1],
                    "vx": u[2],
                    "vy": u[3],
                }
            )

    for panel in progress(parameters["panels"], "panels"):
        if panel == "line":
            q = parameters["line"]
            law = GaussianMixture(q["weights"], np.array(q["means"])[:, np.newaxis], q["variance"]).noised()
            y = np.linspace(q["low"], q["high"], q["count"])[:, np.newaxis]
            put(panel, "stationary", np.hstack([y - q["lam"] * law.score(y), y]))
            put(panel, "global", np.hstack([y, law.prox(y, q["lam"])]))
            put(panel, "local", np.hstack([y, law.prox_local(y, q["lam"])]))
            at, u, v = _jumps(law, q["lam"], y[:-1], y[1:], parameters["bisections"])
            zero = np.zeros((len(at), 1))
            put(panel, "jump", np.hstack([at, zero]), np.hstack([u, zero, v, zero]))
            continue
        cloud = sweep.law_of("dino") if panel == "dino" else PointCloud(parameters["atoms"], parameters["atom_weights"])
        N = parameters["dino_steps" if panel == "dino" else "atoms_steps"]
        grid = schedules.vp_linear(N)
        level, lam = cloud.noised(float(grid.scale[-2]), float(grid.sigma[-2])), float(grid.g[-2])
        put(panel, "atoms", grid.scale[-2] * cloud.points)
        put(panel, "level", [[lam, float(grid.sigma[-2]) ** 2]])
        side = np.linspace(-parameters["box"], parameters["box"], parameters["cells"] + 1)
        plane = np.stack(np.meshgrid(side, side, indexing="ij"), axis=2)
        edges = [(plane[:-1], plane[1:]), (plane[:, :-1], plane[:, 1:])]
        a, b = (np.concatenate([e[i].reshape(-1, 2) for e in edges]) for i in (0, 1))
        at, u, v = _jumps(level, lam, a, b, parameters["bisections"])
        put(panel, "jump", at, np.hstack([u, v]))
        side = np.linspace(-parameters["box"], parameters["box"], parameters["range_cells"] + 1)
        u = np.stack(np.meshgrid(side, side, indexing="ij"), axis=2).reshape(-1, 2)
        back = level.prox(u - lam * level.score(u), lam)
        # stationary points are reproduced to rounding; another minimiser is at a distance of the order of the gap
        out = (np.linalg.norm(back - u, axis=1) > 1e-6).reshape(len(side), len(side))
        low, high = [], []
        for i, row in enumerate(out):
            ends = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
            low += [(side[i], side[k]) for k in ends[::2]]
            high += [(side[i], side[k - 1], np.nan, np.nan) for k in ends[1::2]]
        put(panel, "out", low, high)
    return rows


def _jumps(law, lam, a, b, bisections):
    """Queries between a and b (rows) at which the proximal map jumps, and its values on both sides.

    Halving keeps the side across which the map moves more; after 40 halvings the map still moves by more than 1e-4 only
    across a jump (a continuous map would need a slope of 1e6).
    """
    import numpy as np

    u, v = law.prox(a, lam), law.prox(b, lam)
    keep = np.linalg.norm(u - v, axis=1) > 0.3 * np.linalg.norm(a - b, axis=1)
    a, b, u, v = a[keep], b[keep], u[keep], v[keep]
    for _ in range(bisections):
        if not len(a):
            break
        c = (a + b) / 2
        w = law.prox(c, lam)
        left = (np.linalg.norm(w - u, axis=1) > np.linalg.norm(v - w, axis=1))[:, np.newaxis]
        a, u, b, v = np.where(left, a, c), np.where(left, u, w), np.where(left, c, b), np.where(left, w, v)
        keep = np.linalg.norm(u - v, axis=1) > 1e-4
        a, b, u, v = a[keep], b[keep], u[keep], v[keep]
    return (a + b) / 2, u, v


def draw(table, parameters):
    """Left: the map on a line. Right: the dino."""
    import numpy as np
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    def get(panel, series, columns=("x", "y")):
        rows = [[r[c] for c in columns] for r in table if r["panel"] == panel and r["series"] == series]
        return np.array(rows, dtype=float).reshape(-1, len(columns))

    figure, (line, dino) = panels(2, 3.0)

    # on a line: the global map jumps over the grey band
    ((x, _, u, _, v, _),) = get("line", "jump", ("x", "y", "ux", "uy", "vx", "vy"))
    line.axhspan(u, v, color="0.85", zorder=0, label="points that are never returned")
    line.plot(*get("line", "stationary").T, color="0.4", linewidth=0.8, label="stationary points")
    found = get("line", "global")
    for part, label in ((found[found[:, 0] < x], "proximal map"), (found[found[:, 0] > x], None)):
        line.plot(*part.T, label=label, **{**curve_style(0), "marker": None, "linewidth": 2.0})
    line.plot([x, x], [u, v], "o", color=curve_style(0)["color"], markersize=4)
    local = get("line", "local")
    cut = np.flatnonzero(np.diff(local[:, 1]) > 0.15)
    for k, part in enumerate(np.split(local, cut + 1)):
        line.plot(*part.T, label="local solver" if k == 0 else None, **{**curve_style(1), "marker": None})
    line.set_xlim(-1.0, 1.0)
    line.set_ylim(-1.15, 1.15)
    line.set_xlabel("query y")
    line.set_ylabel("prox of the query")
    title(line, "the proximal map jumps over a gap")

    # in the plane: points that are never returned, and queries with two values
    h = 2 * parameters["box"] / parameters["range_cells"]
    cells = [Rectangle((x - h / 2, y0 - h / 2), h, y1 - y0 + h) for x, y0, y1 in get("dino", "out", ("x", "y", "uy"))]
    gaps = PatchCollection(cells, facecolor="0.85", edgecolor="0.85", linewidth=0.2, zorder=1, rasterized=True)
    dino.add_collection(gaps)
    jumps = get("dino", "jump", ("x", "y"))
    orange = curve_style(1)["color"]
    dino.plot(*jumps.T, ".", color=orange, markersize=2.0, zorder=3, rasterized=True)
    dino.plot(*get("dino", "atoms").T, "o", color=INK, markersize=1.4, zorder=4)
    dino.plot([], [], ".", color=orange, markersize=5, label="queries with two values")
    dino.plot([], [], "o", color=INK, markersize=2, label="atoms of the dino")
    dino.set_xlim(-parameters["box"], parameters["box"])
    dino.set_ylim(-parameters["box"], parameters["box"])
    dino.set_aspect("equal")
    dino.set_xticks([-1, 0, 1])
    dino.set_yticks([-1, 0, 1])
    dino.set_xlabel("coordinate 1")
    dino.set_ylabel("coordinate 2")
    title(dino, "on the dino the gaps are wide regions", inset=0.75)
    legend_below(figure, 3)
    return figure
