"""Gradient estimation in one picture (Permenter & Yuan, Fig. 3), computed rather than sketched.

Data: an arc of points with the exact ideal denoiser. The direction sqrt(n) grad d from x_t is constant on the segment to its
projection. The predicted noise at the earlier, noisier point, eps_{t+1}, leans towards the mean of the data; eps_t is
better; the line through the two carries on past eps_t towards the true direction, so eps_bar = gamma eps_t + (1 - gamma)
eps_{t+1} with gamma > 1 extrapolates. Right: its error against gamma. The best gamma depends on the instance; 2 is the
paper's choice. Where the error alternates in sign instead, gamma = 2 is three times worse than DDIM.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, new_figure

SUMMARY = "gradient estimation: extrapolating two noise predictions towards the true direction (Permenter & Yuan, Fig. 3)"
PAPER = ("2306.04848", "3", "present")
PARAMETERS = {"atoms": 61, "arc": [-2.4, 0.3], "start": [0.6, 1.0], "shrink": 0.5, "gamma": 2.0, "gammas": [0.0, 4.0, 41]}
QUICK = {}
SPOT = Spot(
    {}, keys=("series", "k"), rtol={"x": 1e-9, "y": 1e-9}, cause="last bits of cos, sin and exp differ between libraries"
)


def compute(parameters, progress):
    """Points (series, index, x, y): atoms, the two states, projection, vectors, and (gamma, error)."""
    import numpy as np

    from exactdiffusion import Grid, PointCloud, samplers

    angle = np.linspace(*parameters["arc"], parameters["atoms"])
    atoms = np.stack([np.sin(angle), np.cos(angle) - 1.0], axis=1)
    atoms[:, 0] *= 1.6
    law, x = PointCloud(atoms), np.array([parameters["start"]])
    first = law.distance(x)[0] / np.sqrt(law.dim)  # d(x) = sqrt(n) sigma
    grid = Grid(np.ones(2), first * np.array([1.0, parameters["shrink"]]))
    before, now = samplers.ddim(law, grid, x)
    eps = [(y - law.noised(1.0, s).denoise(y)) / s for s, y in zip(grid.sigma, (before, now))]
    p = law.project(now)
    true = np.sqrt(law.dim) * (now - p) / law.distance(now)[:, None]
    gamma = parameters["gamma"]
    extrapolated = gamma * eps[1] + (1 - gamma) * eps[0]
    low, high, count = parameters["gammas"]
    gammas = np.linspace(low, high, count)
    errors = [float(np.linalg.norm(g * eps[1] + (1 - g) * eps[0] - true) / np.linalg.norm(true)) for g in gammas]
    series = {
        "atoms": atoms,
        "x_{t+1}": before,
        "x_t": now,
        "projection": p,
        "true": true,
        "eps_{t+1}": eps[0],
        "eps_t": eps[1],
        "eps_bar": extrapolated,
        "error": np.stack([gammas, errors], axis=1),
    }
    return [
        {"series": name, "k": k, "x": float(a), "y": float(b)}
        for name, points in series.items()
        for k, (a, b) in enumerate(points)
    ]


def arrow(color, dashes):
    return {"arrowstyle": "-|>", "color": color, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0, "linestyle": dashes}


def draw(table, parameters):
    """Left: the two points and the descent directions. Middle: the predictions as vectors. Right: error against gamma."""
    import numpy as np

    def get(series):
        return np.array([(r["x"], r["y"]) for r in table if r["series"] == series])

    figure, (plane, vectors, error) = new_figure(7.2, 3.2, columns=3, width_ratios=[1.15, 1, 1])
    labels = {
        "true": "$\\sqrt{n}\\,\\nabla d(x_t)$",
        "eps_{t+1}": "$\\epsilon_{t+1}$",
        "eps_t": "$\\epsilon_t$",
        "eps_bar": "$\\bar\\epsilon_t$, γ = 2",
    }
    looks = {
        "true": ("black", "-"),
        "eps_{t+1}": ("#D55E00", (0, (1.2, 1.2))),
        "eps_t": ("#0072B2", (0, (5, 1.5))),
        "eps_bar": ("#009E73", (0, (6, 1.5, 1.2, 1.5))),
    }

    # left: the two points, their projection and the directions
    before, now, p = (get(s)[0] for s in ("x_{t+1}", "x_t", "projection"))
    plane.plot(*get("atoms").T, color="#0072B2", linewidth=2)
    plane.plot(*np.stack([before, now]).T, color="0.55", linewidth=1.0)
    plane.plot(*np.stack([now, p]).T, color="0.55", linewidth=0.8, linestyle=(0, (1, 1.5)))
    for name in ("true", "eps_{t+1}", "eps_t", "eps_bar"):
        color, dashes = looks[name]
        plane.annotate("", now - 0.4 * get(name)[0], now, arrowprops=arrow(color, dashes))
    for point, text, shift in ((before, "$x_{t+1}$", (-27, 2)), (now, "$x_t$", (7, -1)), (p, "$p(x_t)$", (3, -13))):
        plane.plot(*point, "o", color=INK, markersize=4, zorder=4)
        plane.annotate(text, point, textcoords="offset points", xytext=shift)
    plane.annotate("K", get("atoms")[20], textcoords="offset points", xytext=(-14, 4), fontsize=11)
    plane.set_aspect("equal")
    plane.set_title("descent directions")
    plane.set_xticks([])
    plane.set_yticks([])
    plane.grid(visible=False)
    plane.margins(x=0.24, y=0.14)

    # middle: the predictions as vectors
    for name, (color, dashes) in looks.items():
        tip = get(name)[0]
        vectors.annotate("", tip, (0, 0), arrowprops=arrow(color, dashes))
        vectors.plot([], [], color=color, linestyle=dashes, linewidth=1.5, label=labels[name])
    line = np.stack([get("eps_{t+1}")[0], get("eps_bar")[0]])
    vectors.plot(*line.T, color="0.6", linewidth=0.8)
    tips = np.stack([get(n)[0] for n in looks])
    vectors.set_xlim(min(-0.1, tips[:, 0].min() - 0.1), tips[:, 0].max() + 0.2)
    vectors.set_ylim(-0.1, tips[:, 1].max() + 0.25)
    vectors.set_aspect("equal")
    vectors.set_xlabel("noise prediction, component 1")
    vectors.set_ylabel("component 2")
    vectors.set_title("predictions as vectors")
    figure.legend(*vectors.get_legend_handles_labels(), loc="outside lower center", ncols=4)

    error.plot(*get("error").T, **{**curve_style(4), "marker": None})
    values = get("error")
    for gamma, name, text, shift in (
        (0.0, "eps_{t+1}", "$\\epsilon_{t+1}$", (6, 4)),
        (1.0, "eps_t", "$\\epsilon_t$ (DDIM)", (6, 4)),
        (2.0, "eps_bar", "$\\bar\\epsilon_t$", (-3, -13)),
    ):
        k = int(np.argmin(abs(values[:, 0] - gamma)))
        error.plot(*values[k], "o", color=looks[name][0], zorder=4)
        error.annotate(text, values[k], textcoords="offset points", xytext=shift)
    error.set_ylim(0, 1.12 * values[0, 1])
    error.set_xlabel("γ")
    error.set_ylabel("error relative to $\\sqrt{n}\\,|\\nabla d|$")
    error.set_title("error against γ")
    return figure
