"""Denoising as projection: the pictures of Permenter & Yuan, Fig. 1, and a measurement of what they rest on.

(a) Little noise: x = x_0 + sigma e projects near x_0, and the nearest point of a smooth curve lies along its normal. (b)
Much noise: seen from x the whole data set lies in one direction, so any estimate in its hull is a good relative estimate of
the projection (Proposition 3.2). (c) A DDIM path with the exact ideal denoiser of points on the curve: its estimates (open
squares) start near the mean of the data and end at a projection. The curve is a polygon of ``vertices`` sides; its
projection is exact.

Right: why noise looks normal to the data: the angle between e ~ N(0, I_n) and the normal space of a d-dimensional manifold.
Marks: measured on products of d circles (median, 5 and 95 % of ``draws``). Lines: the exact median, sin^2 ~ Beta(d/2,
(n-d)/2). Dashed: sqrt(d/n), the root mean square of the sine, the law of the oracle denoising bound (Proposition 3.1).
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, title

SUMMARY = "denoising as projection: low noise, high noise, a DDIM path; angle of the noise to the normal space (Fig. 1)"
CAPTION = (
    "Denoising is approximate projection: (a) little noise lies nearly along the normal of the data set K, so the "
    "point it came from is nearly the projection; (b) from far away K lies in one direction, so any estimate in its "
    "hull will do; and (c) a DDIM path with the exact denoiser of points on a curve starts towards their mean and "
    "ends at a projection. The pictures are those of Fig. 1 of arXiv 2306.04848, computed. On the right is the angle "
    "between Gaussian noise in R^n and the normal space of a d-dimensional set (median, 5 and 95 % of the draws): "
    "lines are the exact median, dashed lines the angle whose sine is √(d/n) (Proposition 3.1)."
)
PAPER = ("2306.04848", "1", "present")
PARAMETERS = {
    "vertices": 360,
    "seed": 0,
    "ddim_steps": 12,
    "ddim_start": [2.08, 1.2],
    "dimensions": [1, 4, 16],
    "draws": 1000,
    "ambient": [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
}
QUICK = {"draws": 200, "ambient": [2, 8, 32, 128, 512]}
SPOT = Spot(
    {"ambient": [2, 4, 8]},
    keys=("panel", "series", "k"),
    rtol={"x": 1e-9, "y": 1e-9},
    cause="last bits of cos, sin, exp and of the inverse beta distribution differ between libraries; coordinates "
    "that are 0 are rounding",
    atol=1e-14,
)


def compute(parameters, progress):
    """Points of every drawn object: (panel, series, index, x, y). In panel d: (n, angle in degrees)."""
    import math

    import numpy as np
    from scipy import stats

    from exactdiffusion import PointCloud, Torus, samplers, schedules

    rows = []

    def put(panel, series, points):
        rows.extend(
            {"panel": panel, "series": series, "k": k, "x": float(x), "y": float(y)} for k, (x, y) in enumerate(points)
        )

    angle = 2 * np.pi * np.arange(parameters["vertices"]) / parameters["vertices"]
    radius = 1 + 0.22 * np.cos(3 * angle + 0.6)
    curve = radius[:, None] * np.stack([1.25 * np.cos(angle), np.sin(angle)], axis=1)
    closed = np.concatenate([curve, curve[:1]])

    # (a) noise of length sigma |e| at 25 degrees from the normal at a vertex
    k = int(0.97 * len(curve))
    tangent = _unit(closed[k + 1] - closed[k - 1])
    normal = np.array([tangent[1], -tangent[0]])
    x0, tilt = curve[k], math.radians(25)
    x = x0 + 0.9 * (math.cos(tilt) * normal + math.sin(tilt) * tangent)
    p, side = _project_polygon(x, closed)
    put("a", "curve", closed)
    put("a", "tangent", [x0 - 0.75 * tangent, x0 + 1.05 * tangent])
    put("a", "normal", [x0 - 0.4 * normal, x0 + 1.15 * normal])
    put("a", "x0", [x0])
    put("a", "x", [x])
    put("a", "projection", [p])

    # (b) the same set seen from far away
    small = 0.16 * closed
    far = np.array([1.9, 1.15])
    p, _ = _project_polygon(far, small)
    direction = np.arctan2(*(small - far).T[::-1])
    edges = [small[np.argmin(direction % (2 * np.pi))], small[np.argmax(direction % (2 * np.pi))]]
    put("b", "curve", small)
    put("b", "x", [far])
    put("b", "projection", [p])
    put("b", "mean", [0.16 * curve.mean(axis=0)])
    put("b", "cone", [edges[0], far, edges[1]])

    # (c) DDIM with the exact denoiser of the vertices
    law = PointCloud(curve)
    start = np.array([parameters["ddim_start"]])
    grid = schedules.log_linear(parameters["ddim_steps"], law.distance(start)[0] / math.sqrt(2), 0.01)
    states = np.concatenate(list(samplers.ddim(law, grid, start)))
    estimates = np.concatenate([law.noised(1.0, s).denoise(y[None]) for s, y in zip(grid.sigma[:-1], states)])
    put("c", "curve", closed)
    put("c", "path", states)
    put("c", "estimates", estimates)

    # (d) products of d unit circles in R^n: the tangent at a point of circle j is its point turned by 90 degrees
    for d in progress(parameters["dimensions"], "angles"):
        ambient = [n for n in parameters["ambient"] if n >= 2 * d]
        measured, exact = [], []
        for n in ambient:
            rng = np.random.default_rng([parameters["seed"], d, n])
            points = Torus(np.ones(d), dim=n).sample(parameters["draws"], rng)[:, : 2 * d].reshape(-1, d, 2)
            e = rng.standard_normal((parameters["draws"], n))
            blocks = e[:, : 2 * d].reshape(-1, d, 2)
            along = blocks[:, :, 1] * points[:, :, 0] - blocks[:, :, 0] * points[:, :, 1]
            sine = np.sqrt(np.sum(along**2, axis=1) / np.sum(e**2, axis=1))
            measured.append(np.percentile(np.degrees(np.arcsin(sine)), [5, 50, 95]))
            exact.append(np.degrees(np.arcsin(np.sqrt(stats.beta.ppf([0.05, 0.5, 0.95], d / 2, (n - d) / 2)))))
        for j, name in enumerate(("q05", "q50", "q95")):
            put("d", f"measured d={d} {name}", [(n, q[j]) for n, q in zip(ambient, measured)])
            put("d", f"exact d={d} {name}", [(n, q[j]) for n, q in zip(ambient, exact)])
        put("d", f"law d={d}", [(n, math.degrees(math.sqrt(d / n))) for n in ambient])
    return rows


def _unit(v):
    return v / (v @ v) ** 0.5


def _project_polygon(x, closed):
    """Nearest point of a closed polygon (vertices, first repeated) and the number of its side."""
    import numpy as np

    a, side = closed[:-1], np.diff(closed, axis=0)
    t = np.clip(np.sum((x - a) * side, axis=1) / np.sum(side * side, axis=1), 0, 1)
    nearest = a + t[:, None] * side
    k = int(np.argmin(np.sum((nearest - x) ** 2, axis=1)))
    return nearest[k], k


def draw(table, parameters):
    """Left: the three pictures. Right: the angle of the noise to the normal space."""
    import numpy as np
    from matplotlib.lines import Line2D

    figure, (pictures, law) = panels(2, 3.5)

    # three pictures in one panel, each moved and scaled into its place
    place = {"a": ((0.0, 1.75), 0.46), "b": ((2.0, 1.85), 0.58), "c": ((0.75, 0.0), 0.47)}
    corner = {"a": (-0.75, -1.35), "b": (-0.8, -0.75), "c": (-1.5, -1.6)}

    def get(panel, series):
        points = np.array([(r["x"], r["y"]) for r in table if r["panel"] == panel and r["series"] == series])
        if panel in place:
            at, scale = place[panel]
            points = np.array(at) + scale * (points - np.array(corner[panel]))
        return points.T

    blue, orange, green, pink = (curve_style(index)["color"] for index in range(4))
    for panel in "abc":
        pictures.fill(*get(panel, "curve"), facecolor="none", edgecolor=blue, linewidth=1.3)
    for at, text in (((0.0, 3.1), "(a) little noise"), ((2.0, 3.1), "(b) much noise"), ((0.0, 1.5), "(c) DDIM path")):
        pictures.annotate(text, at, fontsize=8)

    # (a) the noise, its projection, tangent and normal
    pictures.plot(*get("a", "tangent"), color="0.5", linewidth=0.8, linestyle="--")
    pictures.plot(*get("a", "normal"), color="0.5", linewidth=0.8, linestyle=(0, (1, 1.5)))
    x0, x, p = (get("a", s)[:, 0] for s in ("x0", "x", "projection"))
    _arrow(pictures, x0, x, pink)
    _arrow(pictures, x, p, INK, dashes=True)
    for point, text, shift in ((x0, "$x_0$", (-11, -9)), (x, "$x_\\sigma$", (4, 1)), (p, "$p(x_\\sigma)$", (-26, 3))):
        _dot(pictures, point, text, shift)

    # (b) the whole set in one direction
    pictures.fill(*get("b", "curve"), facecolor="#cfe3f1", edgecolor="none", zorder=0)
    pictures.plot(*get("b", "cone"), color="0.6", linewidth=0.7, linestyle=(0, (1, 1.5)))
    x, p, mean = (get("b", s)[:, 0] for s in ("x", "projection", "mean"))
    _arrow(pictures, x, mean, green)
    _arrow(pictures, x, p, INK, dashes=True)
    _dot(pictures, x, "$x_\\sigma$", (-14, 2))
    _dot(pictures, p, "$p(x_\\sigma)$", (5, -6))
    _dot(pictures, mean, "mean of K", (-16, -17), filled=False)

    # (c) a path of the sampler
    states, estimates = get("c", "path"), get("c", "estimates")
    pictures.plot(*states, marker="o", color=orange, markersize=3, label="DDIM states $x_t$")
    hollow = {"color": INK, "markerfacecolor": "white", "markersize": 3}
    pictures.plot(*estimates, "s", **hollow, label="estimates $\\hat{x}(x_t,\\sigma_t)$")
    _note(pictures, states[:, 0], "$x_N$", (4, 0))
    _note(pictures, states[:, -1], "$x_0$", (2, -10))
    pictures.set_aspect("equal")
    pictures.grid(visible=False)
    pictures.set_xticks([])
    pictures.set_yticks([])
    pictures.set_xlim(-0.1, 4.0)
    pictures.set_ylim(-0.1, 3.35)
    title(pictures, "the denoiser moves towards the projection on K")

    # the law of the angle
    for index, d in enumerate(parameters["dimensions"]):
        look = curve_style(index + 4)
        n, middle = get("d", f"measured d={d} q50")
        q05, q95 = (get("d", f"measured d={d} q{q}")[1] for q in ("05", "95"))
        law.errorbar(
            n * 1.06 ** (index - 1),
            middle,
            yerr=[middle - q05, q95 - middle],
            linestyle="none",
            capsize=1.5,
            elinewidth=0.7,
            marker=look["marker"],
            color=look["color"],
            markerfacecolor=look["markerfacecolor"],
            label=f"d = {d}",
        )
        law.plot(*get("d", f"exact d={d} q50"), color=look["color"], linewidth=0.9)
        dashed = {"color": "0.3", "linewidth": 0.9, "linestyle": "--"}
        law.plot(*get("d", f"law d={d}"), **dashed, label="sine √(d/n)" if index == 0 else None)
    law.set_xscale("log", base=2)
    law.set_yscale("log")
    law.set_xticks(ticks := [4, 16, 64, 256, 1024, 4096], [str(t) for t in ticks])
    law.set_yticks(ticks := [0.1, 0.3, 1, 3, 10, 30, 90], [f"{t:g}" for t in ticks])
    law.set_yticks([], minor=True)
    law.set_ylim(0.05, 110)
    law.set_xlabel("ambient dimension n")
    law.set_ylabel("angle to the normal space (degrees)")
    title(law, "in high dimension noise is nearly normal to K")
    handles = {
        "noise (a)": Line2D([], [], color=pink),
        "denoiser (b)": Line2D([], [], color=green),
        "projection p": Line2D([], [], color=INK, linestyle=(0, (3, 2))),
    }
    legend_below(figure, 5, order=tuple(handles), handles=handles)
    return figure


def _arrow(axes, start, end, color, dashes=False):
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": color,
            "linewidth": 1.1,
            "shrinkA": 0,
            "shrinkB": 2,
            "mutation_scale": 8,
            "linestyle": (0, (3, 2)) if dashes else "-",
        },
    )


def _dot(axes, point, text, shift, filled=True):
    axes.plot(*point, "o", color=INK, markersize=3.2, markerfacecolor=INK if filled else "white", zorder=4)
    _note(axes, point, text, shift)


def _note(axes, point, text, shift):
    axes.annotate(text, point, textcoords="offset points", xytext=shift, fontsize=7)
