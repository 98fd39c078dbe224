"""From which noise on is a noised point cloud log-concave? Brackets of sigma*^2 against R^2, D^2/4, Jung and hull edges.

Everything in units of R^2, the squared radius of the smallest enclosing ball: (4.3) of arXiv 2305.19473 is 1. Lower ends are
witnesses, points (or hull edges, at infinity) where the Hessian of log q is not negative; upper ends are certificates in one
and two dimensions (.5 % above), else half the diameter. Where both agree to rounding the mark is filled: always so for
affinely independent atoms, sigma* = D/2 whatever the weights.

Left: named clouds, equal weights unless given. The 21 points' certificate is out of reach of float64; 40 digits give .01732.
Right: random normal clouds of K atoms against the dimension, bars up to the upper end; dashed: the sphere and the corners of
the cube, 1/d. The law of the cube is a product, so its threshold is R^2/d, but its longest pair is no edge and from d = 3 on
the bracket (in the table) stays open. The table also has Jung's bound.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "log-concavity thresholds of point clouds with brackets, against R^2, D^2/4, Jung's bound and the longest edge"
CAPTION = (
    "Most clouds become log-concave with less noise than the bound R² of (4.3) in arXiv 2305.19473 asks for; affinely "
    "independent atoms need exactly D²/4, whatever their weights. Drawn are thresholds σ*² in units of R², the "
    "squared radius of the smallest enclosing ball; D is the diameter. Filled marks are known to rounding, open ones "
    "are a bracket between a witness and a certificate, or D²/4 where no certificate is at hand (21 points: 40 digits "
    "give .0173). A cross is a quarter of the squared length of the longest edge of the convex hull; three or more "
    "points on a line have no such edge. The right panel has random normal clouds of K atoms, three of each, moved "
    "sideways, and in grey the uniform sphere and corners of the cube, both 1/d."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "named": [
        "2 points, w = .01",
        "5 random in R⁶",
        "triangle, w = .7, .2, .1",
        "simplex of 5",
        "square, w = .45, .05",
        "four atoms",
        "square",
        "8-gon",
        "−1, 0, 1",
        "−1, 0, 1, w = .05, .9",
        "5 equispaced",
        "21 equispaced",
    ],
    "rtol": 5e-3,
    "max_cells": 3000000,
    # dimension, atoms, number of clouds
    "random": [
        [1, 2, 2],
        [1, 8, 3],
        [2, 3, 3],
        [2, 8, 3],
        [3, 4, 3],
        [3, 8, 3],
        [3, 32, 3],
        [4, 5, 3],
        [4, 8, 3],
        [4, 32, 3],
        [6, 7, 3],
        [6, 8, 3],
        [6, 32, 3],
        [8, 9, 3],
        [8, 32, 3],
        [12, 13, 3],
        [12, 32, 3],
    ],
    "cubes": [2, 3, 4, 6],
    "spheres": [2, 3, 4, 6, 8, 12],
}
QUICK = {
    "named": ["2 points, w = .01", "simplex of 5", "square", "8-gon", "−1, 0, 1"],
    "random": [[2, 3, 2], [2, 8, 1], [4, 5, 2], [4, 8, 2]],
    "cubes": [2, 3],
}
SPOT = Spot(
    {
        "named": ["2 points, w = .01", "simplex of 5", "8-gon", "−1, 0, 1", "5 random in R⁶"],
        "random": [[2, 3, 3], [4, 5, 3], [4, 8, 3], [12, 13, 3]],
        "cubes": [3],
    },
    keys=("group", "name", "d", "atoms", "seed"),
    rtol=dict.fromkeys(("lower", "upper", "edge", "half_diameter", "radius", "jung", "known"), 1e-7),
    cause="the flat top of a maximum found by local ascent, and a bisection to 1e-13",
)


def compute(parameters, progress):
    """Rows (group, name, d, atoms, seed, lower, upper, edge, half_diameter, radius, jung, known, by, exact, independent).

    Variances of the noise; ``by`` says where the upper end comes from; ``known`` is the threshold where theory gives it.
    """
    import numpy as np

    from exactdiffusion import PointCloud
    from exactdiffusion.laws import Sphere
    from exactdiffusion.papers.log_concavity.certificates import log_concavity_threshold

    rows = []

    def put(group, name, P, weights=None, seed=0, known=None):
        law = PointCloud(P, None if weights is None else np.array(weights))
        found = log_concavity_threshold(law, rtol=parameters["rtol"], max_cells=parameters["max_cells"])
        atoms, d = P.shape
        rows.append(
            {
                "group": group,
                "name": name,
                "d": d,
                "atoms": atoms,
                "seed": seed,
                "lower": float(found.lower),
                "upper": float(found.upper),
                "edge": float(found.edge_squared),
                "half_diameter": float(found.half_diameter_squared),
                "radius": float(found.radius_squared),
                "jung": float(found.jung_squared),
                "known": known,
                "by": found.upper_by,
                "exact": bool(found.exact),
                "independent": bool(np.linalg.matrix_rank(P[1:] - P[0]) == atoms - 1),
            }
        )

    named = _named()
    for name in progress(parameters["named"], "named clouds"):
        put("named", name, *named[name])
    for d, atoms, count in progress(parameters["random"], "random clouds"):
        for seed in range(count):
            put("random", "normal", np.random.default_rng([d, atoms, seed]).standard_normal((atoms, d)), seed=seed)
    for d in parameters["cubes"]:
        corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * d, indexing="ij"), axis=-1).reshape(-1, d)
        put("cube", "cube", corners, known=1.0)
    for d in parameters["spheres"]:
        found = log_concavity_threshold(Sphere(1.0, d))
        rows.append(
            {
                **dict.fromkeys(rows[0]),
                "group": "sphere",
                "name": "sphere",
                "d": d,
                "atoms": 0,
                "seed": 0,
                "lower": float(found.lower),
                "upper": float(found.upper),
                "radius": float(found.radius_squared),
                "half_diameter": float(found.half_diameter_squared),
                "jung": float(found.jung_squared),
                "edge": 0.0,
                "by": found.upper_by,
                "exact": True,
                "independent": False,
            }
        )
    return rows


def _named():
    """Name -> (atoms, weights or None)."""
    import numpy as np

    def ring(n):
        return np.stack([np.cos(2 * np.pi * np.arange(n) / n), np.sin(2 * np.pi * np.arange(n) / n)], axis=1)

    square, three = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), np.array([[-1.0], [0], [1]])
    return {
        "2 points, w = .01": (np.array([[-1.0], [1]]), [0.01, 0.99]),
        "simplex of 5": (np.eye(5), None),
        "triangle, w = .7, .2, .1": (ring(3), [0.7, 0.2, 0.1]),
        "square": (square, None),
        "8-gon": (ring(8), None),
        "square, w = .45, .05": (square, [0.45, 0.05, 0.05, 0.45]),
        "−1, 0, 1": (three, None),
        "−1, 0, 1, w = .05, .9": (three, [0.05, 0.9, 0.05]),
        "5 equispaced": (np.linspace(-1, 1, 5)[:, np.newaxis], None),
        "21 equispaced": (np.linspace(-1, 1, 21)[:, np.newaxis], None),
        "5 random in R⁶": (np.random.default_rng(5).standard_normal((5, 6)), None),
        "four atoms": (np.array([[1.0, 0], [-1, 0], [0, 1.2], [0, -1.2]]), [0.3158102, 0.3158102, 0.1841898, 0.1841898]),
    }


def draw(table, parameters):
    """Left: brackets of named clouds. Right: random clouds against the dimension."""
    figure, (names, dims) = panels(2, 3.2)
    ink, bound, red = (curve_style(i)["color"] for i in (0, 2, 1))

    # named clouds
    rows = [r for r in table if r["group"] == "named"]
    for y, r in enumerate(reversed(rows)):
        scale = r["radius"]
        names.plot([r["lower"] / scale, r["upper"] / scale], [y, y], color=ink, linewidth=1.8, solid_capstyle="butt")
        fill = ink if r["exact"] else "white"
        names.plot(r["lower"] / scale, y, "o", color=ink, markerfacecolor=fill, markersize=4.2, zorder=4)
        names.plot(r["half_diameter"] / scale, y, "|", color=bound, markersize=8, markeredgewidth=1.6)
        if r["edge"]:
            names.plot(r["edge"] / scale, y, "x", color=red, markersize=4, markeredgewidth=1.0, zorder=5)
    names.axvline(1.0, color=INK, linewidth=1.1, zorder=1)
    names.annotate("R²", (1, len(rows) - 0.4), textcoords="offset points", xytext=(3, 0), fontsize=7)
    names.annotate("40 digits: .0173", (0.14, 0), textcoords="offset points", xytext=(0, 4), fontsize=7)
    names.set_yticks(range(len(rows)), [r["name"] for r in reversed(rows)])
    names.set_xscale("log")
    names.set_xlim(0.013, 1.6)
    plain_ticks(names.xaxis, 0.013, 1.6, (1, 2, 5))
    names.set_xlabel("variance of the noise / R²")
    title(names, "named clouds: almost 9 times less noise than R², with proof", inset=1.1)

    # random clouds: the lower ends, with a bar up to the upper ends
    texts = ("K = d + 1 atoms (independent)", "K = 8 atoms", "K = 32 atoms")
    for family in range(3):
        look = curve_style(family)
        for r in (r for r in table if r["group"] == "random"):
            if (0 if r["independent"] else 1 if r["atoms"] == 8 else 2) != family:
                continue
            x = r["d"] * (1 + 0.07 * (family - 1) + 0.018 * (r["seed"] - 1))
            dims.plot([x, x], [r["lower"] / r["radius"], r["upper"] / r["radius"]], color=look["color"], linewidth=1.0)
            fill = look["color"] if r["exact"] else "white"
            dims.plot(x, r["lower"] / r["radius"], look["marker"], color=look["color"], markersize=3.2, markerfacecolor=fill)
        dims.plot([], [], look["marker"], color=look["color"], label=texts[family], markersize=3.2)
    rows = [r for r in table if r["group"] == "sphere"]
    dims.plot([r["d"] for r in rows], [r["lower"] for r in rows], color="0.4", linewidth=1.0, linestyle=(0, (5, 1.5)))
    dims.annotate("sphere, cube: 1/d", (3.0, 0.2), fontsize=7, color="0.3", ha="right")
    dims.axhline(1.0, color=INK, linewidth=1.1, zorder=1)
    dims.set_xscale("log")
    dims.set_yscale("log")
    dims.set_ylim(0.075, 1.15)
    plain_ticks(dims.yaxis, 0.08, 1.1, (1, 2, 3, 5))
    ticks = sorted({r["d"] for r in table if r["group"] == "random"})
    dims.set_xticks(ticks, [str(d) for d in ticks])
    dims.set_xticks([], minor=True)
    dims.set_xlabel("dimension d")
    dims.set_ylabel("threshold σ*² / R²")
    title(dims, "random clouds: above .6 R² from d = 3 on", inset=1.15)

    # one legend
    for label, style in (
        ("σ*², known", {"marker": "o", "color": ink, "linestyle": "none"}),
        ("bracket of σ*²", {"marker": "o", "color": ink, "markerfacecolor": "white", "linewidth": 1.8}),
        ("D²/4", {"marker": "|", "color": bound, "markersize": 8, "markeredgewidth": 1.6, "linestyle": "none"}),
        ("longest edge of the hull, squared, / 4", {"marker": "x", "color": red, "linestyle": "none"}),
    ):
        names.plot([], [], label=label, **style)
    legend_below(figure, 4)
    return figure
