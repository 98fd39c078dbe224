"""One chain of noisy measurements: y_t, running mean, and the jump to E[X | y_1, ..., y_m], on two Gaussians in the plane.

Law: .2 N(-mu, I) + .8 N(mu, I), mu = (3, 3). Noise: sigma^2 = |mu|^2 - 1 = 17, the least for which every conditional law is
log-concave. One run of Algorithm 1 (arXiv 2305.19473) with underdamped inner walks.

Left: given one measurement, the law of X (filled) and that of the next measurement (contours), which stays log-concave: its
covariance is sigma^2 I plus that of X. The arrow jumps from the measurement to the posterior mean. The table has the whole
run, and the posterior after 8 and 64 measurements. Right: density along (1, 1)/sqrt(2) of the jump for m = 1, 4, 16, 64
(exact inner laws) and of X: the output is not the noised law, its distance to the law of X is at most sigma sqrt(d/m).
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, title

SUMMARY = "schematic of the chain: measurements, running mean, jump; laws of X and of the next measurement given the past"
CAPTION = (
    "After noise, average and jump the posterior mean of X given m noisy measurements is drawn from a law that nears "
    "that of X as m grows, while every law on the way is log-concave. The law of X is .2 N(−μ, I) + .8 N(μ, I), μ = "
    "(3, 3); σ² = |μ|² − 1 = 17, the least noise for which all conditionals are log-concave (arXiv 2305.19473). The "
    "left panel shows one measurement, the law of the next one (contours), the posterior of X (blue) and the jump, "
    "the right one the density of the jump along (1, 1)/√2, with exact inner laws; its distance to the law of X is at "
    "most σ√(d/m)."
)
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
    """Left: the plane after one measurement. Right: the law of the jump."""
    import math

    import numpy as np

    figure, (plane, laws) = panels(2, 3.2)
    half = parameters["half_gap"]
    R = half * math.sqrt(2)
    blue, orange, green = (curve_style(i)["color"] for i in range(3))

    def density(rows, x, y, extra):
        value = 0.0
        for r in rows:
            v = r["spread"] ** 2 + extra
            value = value + r["weight"] / v * np.exp(-((x - r["x"]) ** 2 + (y - r["y"]) ** 2) / (2 * v))
        return value

    # posterior of X and law of the next measurement, given the first
    rows = [r for r in table if r["kind"] == "posterior" and r["m"] == 1]
    side = np.linspace(-11, 11, 221)
    X, Y = np.meshgrid(side, side)
    inner, outer = density(rows, X, Y, 0.0), density(rows, X, Y, R**2 - 1)
    shades = ("#e4effa", "#b8d4ee", "#7fb0de", "#3f86c4")
    plane.contourf(X, Y, inner / inner.max(), levels=(0.02, 0.15, 0.4, 0.7, 1.001), colors=shades)
    plane.contour(X, Y, outer / outer.max(), levels=(0.05, 0.3, 0.7), colors=[green], linewidths=0.8)
    first = next(r for r in table if r["kind"] == "chain" and r["m"] == 1)
    start, end = (first["mean_x"], first["mean_y"]), (first["xhat_x"], first["xhat_y"])
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "shrinkA": 3, "shrinkB": 3}
    plane.annotate("", end, start, arrowprops=arrow, zorder=5)
    plane.plot(*start, "s", color=orange, markersize=4.5, zorder=6)
    plane.plot(*end, "*", color=INK, markersize=7, zorder=6)
    for text, place, colour in (
        ("measurement $y_1$", (1.2, -6.2), orange),
        ("jump E[X | $y_1$]", (1.4, -1.0), INK),
        ("posterior of X", (-2.5, 6.6), blue),
        ("law of $y_2$ given $y_1$", (-8, -10), green),
    ):
        white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
        plane.annotate(text, place, fontsize=7, color=colour, bbox=white, zorder=4)
    plane.set_xlim(-11, 11)
    plane.set_ylim(-11, 11)
    plane.set_aspect("equal")
    plane.set_xticks([-10, 0, 10])
    plane.set_yticks([-10, 0, 10])
    plane.grid(False)
    plane.set_xlabel("coordinate 1")
    plane.set_ylabel("coordinate 2")
    title(plane, "one measurement: the jump lands between the modes", inset=0.75)

    # the law of the jump
    for index, m in enumerate([*parameters["laws"], 0]):
        rows = [r for r in table if r["kind"] == "law" and r["m"] == m]
        look = {**curve_style(index), "marker": None}
        if m == 0:
            look = {"color": INK, "linewidth": 2.2, "alpha": 0.35, "zorder": 1}
        laws.plot([r["x"] for r in rows], [r["density"] for r in rows], label=f"jump, m = {m}" if m else "X", **look)
    laws.set_xlim(-R - 3.5, R + 3.5)
    laws.set_xlabel("coordinate along (1, 1)/√2")
    laws.set_ylabel("density")
    title(laws, "its law nears the law of X as m grows")
    legend_below(figure, 5)
    return figure
