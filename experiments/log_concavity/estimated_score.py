"""Analytic score against the score estimated from density values: it works in two dimensions and fails in eight.

Target: weights .2 and .8, means -+3 (1, ..., 1), unit covariance; sigma^2 = 9 d - 1 (arXiv 2305.19473, Eq. (4.8) and
Appendix H). The estimate averages Gaussian draws about y weighted by the unnormalised density there. Left: its relative
error, root mean square over y from q_{sigma^2}, against the number of draws; lines of slope -1/2 through the last points of
d = 1 and 2. The table has how many draws carry the weight (median of 1 / sum w^2). Right: the one-at-a-time chain at d = 8
(at d = 2 in the table) with either score, underdamped walks, the same random numbers: outputs along the difference of the
means, per sqrt(d), and the law. Where a single draw carries the weight the jump lands on that draw, wherever it fell.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "analytic versus estimated score: error, effective draws, and the one-at-a-time chain at d = 2 and 8"
CAPTION = (
    "A score estimated from density values by averaging Gaussian draws works in two dimensions and fails in eight: "
    "there a single draw carries all the weight, and the output has .45 of its mass in the mode of weight .2. The law "
    "is two Gaussians, σ² = 9 d − 1 (arXiv 2305.19473, Eq. (4.8) and Appendix H). The left panel shows the relative "
    "error with two standard errors and, dotted, the slope −1/2, the right one the output of the one-at-a-time chain "
    "at d = 8 along the difference of the means, 600 chains, the same random numbers; at d = 2 both scores give .20 "
    "to .21."
)
PAPER = ("2305.19473", "Appendix H", "stand-in")
PARAMETERS = {
    "dims": [1, 2, 4, 8],
    "draws": [30, 100, 300, 1000, 3000],
    "points": 300,
    "chain_dims": [2, 8],
    "chains": 600,
    "chain_draws": 300,
    "measurements": 40,
    "inner": 8,
    "step": 0.5,
    "friction": 0.5,
    "seed": 64,
    "bins": 44,
    "range": 9.0,
    "parts": ["error", "chain"],
}
QUICK = {"draws": [30, 300], "points": 100, "chains": 200, "chain_draws": 100, "measurements": 5}
SPOT = Spot(
    {"parts": ["error"], "dims": [2, 8], "draws": [30, 100]},
    keys=("part", "score", "d", "x"),
    rtol={"value": 1e-9, "error": 1e-9, "size": 1e-9},
    cause="rounding of exp in sums of positive weights, log densities of the order of 1000",
)

W = 0.2


def compute(parameters, progress):
    """Rows (part, score, d, x, value, error, size).

    ``error``: x draws, value the relative error, error its standard error (by halves of the points), size the median
    effective draws. ``chain``: x bin centre per sqrt(d), value the density of outputs; ``summary``: x 0 the weight of the
    minor mode and its standard error, x 1 the distance between the sorted outputs along the axis and the exact quantiles.
    """
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, Noise
    from exactdiffusion.papers.log_concavity.walk_jump import EstimatedLaw, Underdamped, one_at_a_time
    from exactdiffusion.statements import log_concavity_thresholds as bound

    rows, seed = [], parameters["seed"]

    def setting(d):
        law = GaussianMixture([W, 1 - W], np.stack([np.full(d, -3.0), np.full(d, 3.0)]), 1.0)
        return law, math.sqrt(bound.radius_threshold(float(bound.decoupled_radius(d)), 1.0))

    def put(part, score, d, x, value, error=None, size=None):
        rows.append({"part": part, "score": score, "d": d, "x": x, "value": float(value), "error": error, "size": size})

    cells = []
    if "error" in parameters["parts"]:
        cells += [("error", "estimated", d, draws) for d in parameters["dims"] for draws in parameters["draws"]]
    if "chain" in parameters["parts"]:
        cells += [("chain", score, d, None) for d in parameters["chain_dims"] for score in ("analytic", "estimated")]
    for part, score, d, draws in progress(cells, "estimated scores"):
        law, sigma = setting(d)
        if part == "error":
            n = parameters["points"]
            y = law.sample(n, seed) + sigma * Noise(seed + 1).normal(0, n, d)
            true = law.noised(1.0, sigma).score(y)
            error, size = np.empty(n), np.empty(n)
            for k in range(0, n, 50):  # bounded memory; every block with its own draws
                level = EstimatedLaw(law.log_density, d, draws, Noise(seed + 2 + k)).noised(1.0, sigma)
                error[k : k + 50] = np.sum((level.score(y[k : k + 50]) - true[k : k + 50]) ** 2, axis=1)
                size[k : k + 50] = level.effective_sample_size(y[k : k + 50])
            scale = np.mean(np.sum(true**2, axis=1))
            value = math.sqrt(np.mean(error) / scale)
            spread = float(np.std(error, ddof=1) / math.sqrt(n) / (2 * value * scale))
            put(part, score, d, draws, value, spread, float(np.median(size)))
            continue
        n, noise = parameters["chains"], Noise(seed + 500)
        estimate = EstimatedLaw(law.log_density, d, parameters["chain_draws"], Noise(seed + 501))
        oracle = law if score == "analytic" else estimate
        walk = Underdamped(parameters["inner"], parameters["step"], parameters["friction"])
        *_, state = one_at_a_time(oracle, parameters["measurements"], sigma, n, noise=noise, walk=walk)
        # along the axis, where the target is the mixture of N(-+3 sqrt(d), 1)
        along = np.sort(np.sum(state.xhat, axis=1) / math.sqrt(d))
        weight = float(np.mean(along < 0))
        put("summary", score, d, 0, weight, math.sqrt(max(weight * (1 - weight), 1 / n) / n))
        R = 3 * math.sqrt(d)
        axis = GaussianMixture([W, 1 - W], np.array([[-R], [R]]), 1.0)
        exact = np.sort(axis.sample(200 * n, seed + 502)[:, 0])[100::200]
        put("summary", score, d, 1, math.sqrt(np.mean((along - exact) ** 2)))
        edges = np.linspace(-parameters["range"], parameters["range"], parameters["bins"] + 1)
        counts = np.histogram(along / math.sqrt(d), edges)[0] / n / np.diff(edges)
        for x, value in zip(0.5 * (edges[1:] + edges[:-1]), counts):
            put("chain", score, d, round(float(x), 6), value)
    return rows


def draw(table, parameters):
    """Left: relative errors. Right: outputs in the largest dimension of the chains."""
    import math

    import numpy as np

    figure, (errors, output) = panels(2, 2.8)
    for index, d in enumerate(parameters["dims"]):
        rows = [r for r in table if r["part"] == "error" and r["d"] == d]
        x, y = np.array([r["x"] for r in rows]), np.array([r["value"] for r in rows])
        look = curve_style(index)
        errors.errorbar(x, y, yerr=[2 * r["error"] for r in rows], elinewidth=0.8, capsize=1.5, **look)
        errors.annotate(
            f"d = {d}", (x[-1], y[-1]), textcoords="offset points", xytext=(5, -2), fontsize=7, color=look["color"]
        )
        if d <= 2:
            errors.plot(x, y[-1] * np.sqrt(x[-1] / x), color="0.4", linewidth=0.8, linestyle=(0, (1, 1)))
    errors.set_xscale("log")
    errors.set_yscale("log")
    errors.set_xlim(24, 7000)
    errors.set_xlabel("draws per evaluation of the score")
    errors.set_ylabel("relative error of the estimated score")
    plain_ticks(errors.xaxis, x[0], x[-1], bases=(1, 3))
    title(errors, "more draws help at d = 1 and 2, hardly at d = 8")

    # the outputs, and the law along the axis
    d = parameters["chain_dims"][-1]
    for index, score in enumerate(("analytic", "estimated")):
        rows = [r for r in table if r["part"] == "chain" and r["d"] == d and r["score"] == score]
        summary = next(r for r in table if (r["part"], r["d"], r["score"], r["x"]) == ("summary", d, score, 0))
        look = curve_style(index)
        output.step(
            [r["x"] for r in rows],
            [r["value"] for r in rows],
            where="mid",
            color=look["color"],
            linestyle=look["linestyle"],
            label=f"{score} score: weight {summary['value']:.3f} ± {summary['error']:.3f} left of 0",
        )
    x = np.linspace(-parameters["range"], parameters["range"], 721)
    density = sum(w * np.exp(-0.5 * d * (x - m) ** 2) for w, m in ((W, -3), (1 - W, 3))) * math.sqrt(d / (2 * math.pi))
    output.plot(x, density, color=INK, linewidth=0.8, label=f"the law: weight {W:g}")
    output.set_xlim(-7.3, 7.3)
    output.set_xlabel("position along the difference of the means / √d")
    output.set_ylabel("density")
    title(output, f"d = {d}: the estimated score fills the minor mode")
    legend_below(figure, 3)
    return figure
