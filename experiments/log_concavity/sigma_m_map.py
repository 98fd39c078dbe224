"""The two hyperparameters, sigma and m, at a fixed budget of gradient calls: W2 of the one-at-a-time chain over both.

1024 gradient calls, n_t = 1024/m inner steps for each of m measurements, the splitting integrator with one step and friction
for the whole map. Exact inner laws would make the output depend on s = sigma^2/m alone (dashed: levels of the jump's own
error); the walks add what they have not forgotten, towards many measurements of few steps, and for small sigma.

Left: N(0, diag(.01, 1, 1, 1)): the exact law of the algorithm, no sampling. Right: two Gaussians in R^8, weights .2 and .8,
means -+3 (1, ..., 1): 2000 chains along the axis, and the exact law of the 7 linear ones; noise in units of the threshold
R^2 - tau^2 = 71 of log-concavity (line). Colour: W2 with the chains weighted so that each side of the middle holds its exact
mass (exact draws score .057). Crosses: the fraction of the minor mode is off by more than 3 standard errors: far below the
threshold, where the first walks do not mix; for few measurements of much noise, where the jump itself merges the modes; and
where a measurement has one step only.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "W2 over (sigma, m) at a fixed budget of gradient calls: elliptical Gaussian (exact) and two Gaussians in R^8"
CAPTION = (
    "At a fixed budget of 1024 gradient calls the best noise and number of measurements lie in a valley of small W2: "
    "more measurements lower the jump's error (lines: exact inner walks, which depend on σ²/m alone) until the walks, "
    "1024/m steps each, no longer forget their start. Left: N(0, diag(.01, 1, 1, 1)), exact law of the algorithm; "
    "star: smallest W2. Right: two Gaussians in R^8, 2000 chains weighted to the exact mass of each side, where exact "
    "draws score .057; crosses: the weight of the minor mode is off by more than 3 standard errors; above the black "
    "line the law is log-concave."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "budget": 1024,
    "step": 1.0,
    "friction": 1.0,
    "kappa": 100.0,
    "d": 8,
    "n": 2000,
    "seed": 77,
    "floor_repeats": 20,
    "gaussian_m": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    "gaussian_log2_sigma2": [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6],
    "mixture_m": [1, 4, 16, 64, 256, 1024],
    "mixture_log2_sigma2": [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4],
}
QUICK = {
    "budget": 256,
    "gaussian_m": [1, 4, 16, 64, 256],
    "mixture_m": [1, 4, 16, 64, 256],
    "n": 500,
    "gaussian_log2_sigma2": [-6, -3, 0, 3],
    "mixture_log2_sigma2": [-4, -2, 0, 2],
}
SPOT = Spot(
    {"gaussian_m": [16, 128], "gaussian_log2_sigma2": [-3, 0], "mixture_m": [64], "mixture_log2_sigma2": [1]},
    keys=("panel", "log2_sigma2", "m"),
    rtol={"w2": 2e-3, "weight": 3e-3, "jump": 1e-7},
    atol=1e-9,
    cause="rounding of exp along 1024 steps: a chain within it of the middle may end on the other side, 1 of 2000",
)


def compute(parameters, progress):
    """Rows (panel, log2_sigma2, m, w2, jump, weight): sigma^2 in units of 1 or of the threshold.

    ``jump`` is W2 for exact walks, ``weight`` the fraction of chains in the minor mode; ``floor`` rows are exact draws.
    """
    import math

    import numpy as np
    from scipy.special import ndtr

    from exactdiffusion import GaussianMixture, Noise
    from exactdiffusion.papers.log_concavity.measurements import line_jump_w2
    from exactdiffusion.papers.log_concavity.walk_jump import Underdamped, gaussian_one_at_a_time, one_at_a_time
    from exactdiffusion.statements import log_concavity_thresholds as bounds

    q, rows = parameters, []

    def put(panel, level, m, w2, jump, weight=None):
        rows.append({"panel": panel, "log2_sigma2": level, "m": m, "w2": float(w2), "jump": float(jump), "weight": weight})

    def walk(m):
        return Underdamped(q["budget"] // m, q["step"], q["friction"])

    variances = np.array([1 / q["kappa"], 1.0])
    for level in progress(q["gaussian_log2_sigma2"], "elliptical Gaussian"):
        for m in q["gaussian_m"]:
            output = gaussian_one_at_a_time(variances, m, math.sqrt(2.0**level), walk(m)).output
            square = np.array([1, 3]) @ (np.sqrt(variances) - np.sqrt(output)) ** 2
            put("gaussian", level, m, math.sqrt(square), bounds.gaussian_jump_w2(m, 2.0**level, [variances[0], 1, 1, 1]))
    R = float(bounds.decoupled_radius(q["d"]))
    axis, rest, threshold = GaussianMixture([0.2, 0.8], [[-R], [R]], 1.0), q["d"] - 1, R * R - 1
    left = float(np.array([0.2, 0.8]) @ ndtr(np.array([R, -R])))

    def within(x):
        """Squared W2 between the law and the sample, each side of 0 reweighted to its exact mass, and the left fraction."""
        x, below = np.sort(x), int(np.sum(x < 0))
        square = 0.0
        for part, start, mass in ((x[:below], 0.0, left), (x[below:], left, 1 - left)):
            if len(part):  # midpoints of equal masses: the integral to O(1/n)
                levels = start + mass * (np.arange(len(part)) + 0.5) / len(part)
                square += mass * np.mean((part - _quantiles(axis, levels)) ** 2)
        return square, below / len(x)

    for level in progress(q["mixture_log2_sigma2"], "two Gaussians"):
        for m in q["mixture_m"]:
            sigma2 = threshold * 2.0**level
            noise = Noise(q["seed"] + 10_000 * (level + 100) + m)  # another for every cell
            for state in one_at_a_time(axis, m, math.sqrt(sigma2), q["n"], noise=noise, walk=walk(m)):
                x = state.xhat[:, 0]
            linear = gaussian_one_at_a_time([1.0], m, math.sqrt(sigma2), walk(m)).w2
            s = sigma2 / m
            square, weight = within(x)
            square += rest * linear**2
            jump = line_jump_w2(axis, m, math.sqrt(sigma2)) + rest * bounds.gaussian_jump_w2(1, s, [1.0]) ** 2
            put("mixture", level, m, math.sqrt(square), math.sqrt(jump), weight)
    for k in range(q["floor_repeats"]):
        x = axis.sample(q["n"], np.random.default_rng([q["seed"], k]))[:, 0]
        square, weight = within(x)
        put("floor", k, 0, math.sqrt(square), 0.0, weight)
    return rows


def _quantiles(law, u):
    """Quantiles of a mixture of two unit Gaussians, by bisection."""
    import numpy as np
    from scipy.special import ndtr

    centres = law.means[:, 0]
    low, high = np.full(len(u), centres.min() - 10), np.full(len(u), centres.max() + 10)
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = ndtr(middle[:, np.newaxis] - centres) @ law.weights < u
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def draw(table, parameters):
    """Two maps."""
    import numpy as np
    from matplotlib.colors import LogNorm
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    figure, both = panels(2, 3.3)
    error = np.sqrt(0.2 * 0.8 / parameters["n"])
    orange = curve_style(1)["color"]
    texts = (
        "N(0, diag(.01, 1, 1, 1)): a valley of small W₂ along σ²/m",
        "two Gaussians: the weights are right in the middle only",
    )
    for axes, panel, text in zip(both, ("gaussian", "mixture"), texts):
        m, levels = parameters[f"{panel}_m"], parameters[f"{panel}_log2_sigma2"]
        cells = {(r["log2_sigma2"], r["m"]): r for r in table if r["panel"] == panel}
        w2, jump = (np.array([[cells[level, k][c] for k in m] for level in levels]) for c in ("w2", "jump"))
        x = np.log2(m)
        image = axes.pcolormesh(x, levels, w2, norm=LogNorm(0.9 * w2.min(), w2.max()), cmap="Blues_r", shading="nearest")

        # levels of the jump's own error, labelled in a colour that is not in the map
        lines = axes.contour(
            x, levels, np.log10(jump), levels=np.arange(-3, 2, 0.5), colors=orange, linewidths=0.9, linestyles="dashed"
        )
        for label in axes.clabel(lines, levels=lines.levels[1::2], fmt=lambda v: f"{10**v:.2g}", fontsize=7):
            label.set_path_effects([withStroke(linewidth=1.5, foreground="white")])

        # what is wrong with the weights, and the smallest W2
        if panel == "mixture":
            axes.axhline(-0.5, color=INK, linewidth=1.3)
            off = [(np.log2(k), level) for (level, k), r in cells.items() if abs(r["weight"] - 0.2) > 3 * error]
            white = [withStroke(linewidth=2.2, foreground="white")]
            axes.plot(*zip(*off), "x", color=INK, markersize=4, markeredgewidth=0.9, path_effects=white)
        else:
            best = np.unravel_index(np.argmin(w2), w2.shape)
            axes.plot(x[best[1]], levels[best[0]], "*", color=orange, markersize=9, markeredgecolor="white")

        # the axes
        bar = figure.colorbar(image, ax=axes)
        bar.set_label("W₂(output, law of X)")
        plain_ticks(bar.ax.yaxis, *bar.ax.get_ylim())
        step = 2 if len(m) > 8 else 1
        axes.set_xticks(x[::step], [str(k) for k in m[::step]])
        axes.set_yticks(levels[::2], [f"$2^{{{k}}}$" for k in levels[::2]])
        axes.grid(False)
        axes.set_xlabel(f"number of measurements m ({parameters['budget']}/m steps each)")
        axes.set_ylabel("noise σ²" if panel == "gaussian" else "noise σ² / threshold")
        title(axes, text)
    handles = {
        "W₂ of the jump, exact walks": Line2D([], [], color=orange, linewidth=0.9, linestyle="dashed"),
        "smallest W₂": Line2D([], [], marker="*", color=orange, markersize=9, linestyle="none"),
        "log-concave above": Line2D([], [], color=INK, linewidth=1.3),
        "weight of the minor mode is wrong": Line2D([], [], marker="x", color=INK, markersize=4, linestyle="none"),
    }
    legend_below(figure, 4, handles=handles)
    return figure
