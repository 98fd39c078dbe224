"""One chain of noisy measurements: y_t, running mean, and the jump to E[X | y_1, ..., y_m], on two Gaussians in the plane.

Law: .2 N(-mu, I) + .8 N(mu, I), mu = (3, 3). Noise: sigma^2 = |mu|^2 - 1 = 17, the least for which every conditional law is
log-concave. One run of Algorithm 1 (arXiv 2305.19473) with underdamped inner walks.

(a) to (d): given m measurements, the law of X (filled) sharpens from the prior to one narrow bump, while the law of the next
measurement (contours) stays log-concave: its covariance is sigma^2 I plus that of X. The arrow jumps from the mean of the
measurements to the posterior mean. (e) the same run along (1, 1)/sqrt(2): the mean with sigma/sqrt(m), the jump with the
posterior's deviation. (f) density along the same line of the jump for m = 1, 4, 16, 64 (exact inner laws) and of X: the
output is not the noised law, its distance to the law of X is at most sigma sqrt(d/m).
"""

from exactdiffusion.studies.figures import Spot, curve_style

SUMMARY = "schematic of the chain: measurements, running mean, jump; laws of X and of the next measurement given the past"
PAPER = ("2305.19473", "", "stand-in")
PARAMETERS = {
    "weights": [0.2, 0.8],
    "half_gap": 3.0,
    "m": 256,
    "panels": [0, 1, 8, 64],
    "laws": [1, 4, 16, 64],
    "steps": 40,
    "step": 0.5,
    "friction": 0.5,
    "seed": 6,
    "count": 241,
}
QUICK = {"m": 64, "count": 81}
SPOT = Spot(
    {"m": 64},
    keys=("kind", "m", "k"),
    rtol=dict.fromkeys(("x", "y", "mean_x", "mean_y", "xhat_x", "xhat_y", "weight", "spread", "density"), 1e-8),
    atol=1e-12,
    cause="the last bits of exp along 2,560 contracting inner steps",
)


def compute(parameters, progress):
    """Rows of three kinds; coordinates (x, y) in the plane.

    ``chain``: measurement m at (x, y), the mean so far, the jump, the posterior weight of the minor mode, and the deviation
    of the posterior along the axis through the modes. ``posterior``: component k of the law of X given m measurements: mean
    (x, y), weight, deviation. ``law``: density along that axis, at x, of the jump after m exact measurements; m = 0 is X.
    """
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, Noise
    from exactdiffusion.papers.log_concavity.measurements import posterior_mixture
    from exactdiffusion.papers.log_concavity.walk_jump import Underdamped, one_at_a_time

    q = parameters
    mu = q["half_gap"] * np.ones(2)
    law, axis = GaussianMixture(q["weights"], [-mu, mu], 1.0), np.ones(2) / math.sqrt(2)
    sigma = math.sqrt(mu @ mu - 1)
    columns = ("x", "y", "mean_x", "mean_y", "xhat_x", "xhat_y", "weight", "spread", "density")
    rows = []

    def put(kind, m, k, **values):
        cells = {c: None if values.get(c) is None else float(values[c]) for c in columns}
        rows.append({"kind": kind, "m": m, "k": k, **cells})

    total = np.zeros((1, 2))
    walk = Underdamped(q["steps"], q["step"], q["friction"])
    for state in progress(one_at_a_time(law, q["m"], sigma, 1, noise=Noise(q["seed"]), walk=walk), "chain", q["m"]):
        past, total, m = total, state.total, state.t
        posterior = posterior_mixture(law, total, m, sigma)
        (x, y), (a, b), (c, d) = state.y[0], total[0] / m, state.xhat[0]
        put(
            "chain",
            m,
            0,
            x=x,
            y=y,
            mean_x=a,
            mean_y=b,
            xhat_x=c,
            xhat_y=d,
            weight=posterior.weights[0],
            spread=math.sqrt(axis @ posterior.covariance @ axis),
        )
        for at, given in ((m - 1, past), (m, total)) if m == 1 else ((m, total),):
            if at in q["panels"]:
                mixture = posterior_mixture(law, given, at, sigma)
                for k in range(2):
                    put(
                        "posterior",
                        at,
                        k,
                        x=mixture.means[k, 0],
                        y=mixture.means[k, 1],
                        weight=mixture.weights[k],
                        spread=math.sqrt(np.ravel(mixture.covariances)[0]),
                    )
    R = math.sqrt(mu @ mu)
    line = GaussianMixture(q["weights"], [[-R], [R]], 1.0)
    for m in q["laws"]:
        s = sigma**2 / m
        # the jump increases with the mean of the measurements: its density is that of the mean over the slope
        y = np.linspace(-R - 4 * math.sqrt(1 + s), R + 4 * math.sqrt(1 + s), q["count"])[:, np.newaxis]
        level = line.noised(1.0, math.sqrt(s))
        density = np.exp(level.log_density(y)) * s / level.posterior_covariance(y)[:, 0, 0]
        for k, (x, value) in enumerate(zip(level.denoise(y)[:, 0], density)):
            put("law", m, k, x=x, density=value)
    x = np.linspace(-R - 4, R + 4, q["count"])
    for k, value in enumerate(np.exp(line.log_density(x[:, np.newaxis]))):
        put("law", 0, k, x=x[k], density=value)
    return rows


def draw(table, parameters):
    """Four panels of the plane, the run along the axis, the law of the jump."""
    import math

    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.0, 1.25))
    planes = top.subplots(1, len(parameters["panels"]), sharey=True)
    run, laws = bottom.subplots(1, 2, width_ratios=(1.35, 1))
    chain = [r for r in table if r["kind"] == "chain"]
    half, R = parameters["half_gap"], parameters["half_gap"] * math.sqrt(2)
    sigma2 = R**2 - 1
    blue, orange, green = (curve_style(i)["color"] for i in range(3))

    def density(rows, x, y, extra):
        value = 0.0
        for r in rows:
            v = r["spread"] ** 2 + extra
            value = value + r["weight"] / v * np.exp(-((x - r["x"]) ** 2 + (y - r["y"]) ** 2) / (2 * v))
        return value

    side = np.linspace(-13, 13, 261)
    X, Y = np.meshgrid(side, side)
    for index, (axes, m) in enumerate(zip(planes, parameters["panels"])):
        rows = [r for r in table if r["kind"] == "posterior" and r["m"] == m]
        inner, outer = density(rows, X, Y, 0.0), density(rows, X, Y, sigma2)
        axes.contourf(
            X,
            Y,
            inner / inner.max(),
            levels=(0.02, 0.15, 0.4, 0.7, 1.001),
            colors=("#e4effa", "#b8d4ee", "#7fb0de", "#3f86c4"),
        )
        axes.contour(X, Y, outer / outer.max(), levels=(0.05, 0.3, 0.7), colors=[green], linewidths=0.8)
        before = chain[:m]
        axes.plot(
            [r["x"] for r in before],
            [r["y"] for r in before],
            "o",
            color="0.35",
            markersize=1.8,
            markeredgewidth=0,
            zorder=3,
        )
        if m:
            axes.plot(
                [r["mean_x"] for r in before], [r["mean_y"] for r in before], "-", color=orange, linewidth=0.9, zorder=4
            )
            r = before[-1]
            axes.annotate(
                "",
                (r["xhat_x"], r["xhat_y"]),
                (r["mean_x"], r["mean_y"]),
                zorder=5,
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": "black",
                    "linewidth": 1.0,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 7,
                },
            )
            axes.plot(r["mean_x"], r["mean_y"], "s", color=orange, markersize=3.5, zorder=5)
            axes.plot(r["xhat_x"], r["xhat_y"], "*", color="black", markersize=5.5, zorder=6)
        axes.plot([-half, half], [-half, half], "+", color="0.1", markersize=5, markeredgewidth=0.7, zorder=2)
        axes.set_xlim(-13, 13)
        axes.set_ylim(-13, 13)
        axes.set_aspect("equal")
        axes.set_xticks([-10, 0, 10])
        axes.set_yticks([-10, 0, 10])
        axes.grid(False)
        axes.set_title(f"({'abcd'[index]}) m = {m}" + (": the prior" if m == 0 else ""))
    planes[0].plot([], [], color=green, linewidth=0.8, label="law of the next measurement")
    planes[0].plot([], [], "s", color="#7fb0de", markersize=6, label="law of X")
    planes[0].plot([], [], "o", color="0.35", markersize=2.5, label="measurements")
    planes[0].plot([], [], "s-", color=orange, linewidth=0.9, markersize=3.5, label="their mean")
    planes[0].plot([], [], "*", color="black", markersize=5.5, label="jump")
    top.legend(*planes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, handlelength=1.8)

    m = np.array([r["m"] for r in chain])
    along = lambda a, b: np.array([(r[a] + r[b]) / math.sqrt(2) for r in chain])  # noqa: E731
    mean, jump, spread = along("mean_x", "mean_y"), along("xhat_x", "xhat_y"), np.array([r["spread"] for r in chain])
    for mode in (-R, R):
        run.axhline(mode, color="0.1", linewidth=0.7, linestyle=(0, (1, 2)))
    run.plot(m, along("x", "y"), "o", color="0.45", markersize=1.8, markeredgewidth=0, label=r"$y_t$")
    band = np.sqrt(sigma2 / m)
    run.fill_between(m, mean - band, mean + band, color=orange, alpha=0.18, linewidth=0)
    run.plot(m, mean, **{**curve_style(1), "marker": None}, label=r"mean $\pm\,\sigma/\sqrt{m}$")
    run.fill_between(m, jump - spread, jump + spread, color=blue, alpha=0.22, linewidth=0)
    run.plot(m, jump, **{**curve_style(0), "marker": None}, label=r"jump $\pm$ posterior deviation")
    run.set_xscale("log", base=2)
    ticks = [4**k for k in range(int(math.log(m[-1], 4)) + 1)]
    run.set_xticks(ticks, [str(t) for t in ticks])
    run.set_xlabel("m, measurements")
    run.set_ylabel("coordinate along (1, 1)/√2")
    run.set_title("(e) the run; dotted: the two modes")
    run.legend(loc="best")
    for index, m in enumerate([*parameters["laws"], 0]):
        rows = [r for r in table if r["kind"] == "law" and r["m"] == m]
        look = {**curve_style(index), "marker": None}
        if m == 0:
            look = {"color": "black", "linewidth": 2.2, "alpha": 0.35, "zorder": 1}
        laws.plot([r["x"] for r in rows], [r["density"] for r in rows], label=f"jump, m = {m}" if m else "X", **look)
    laws.set_xlim(-R - 3.5, R + 3.5)
    laws.set_xlabel("coordinate along (1, 1)/√2")
    laws.set_ylabel("density")
    laws.set_title("(f) law of the jump")
    laws.legend(loc="upper left")
    return figure
