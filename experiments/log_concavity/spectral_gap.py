"""Spectral gaps without sampling: Langevin on two Gaussians against the conditionals of the one-at-a-time chain.

Left: the gap of the Langevin diffusion on .2 N(-R, 1) + .8 N(R, 1), by the eigenvalues of a reversible birth-death chain,
against R. In R^d with means -+3 (1, ..., 1) the slow direction is the axis, with R = 3 sqrt(d) (marks: d = 1 to 4; all other
directions have gap 1). Dashed: Eyring and Kramers, R large. The conditionals p(y_t | y_1, ..., y_{t-1}) at
sigma^2 = R^2 - tau^2 and twice that have gaps of order 1/sigma^2: in units of it the worst past is drawn, found on a grid of
sums.

Right: the worst past against t, for d = 1 to 3, and the lower bound zeta_t sigma^2 of Theorem 1 (Bakry-Emery); zeta_1 = 0
at the threshold. The other directions of R^d, Gaussian conditionals, are faster: (sigma^2 + t - 1)/(sigma^2 + t).
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "spectral gap versus separation and d: exponential for Langevin on the law, of order one for OAT's conditionals"
CAPTION = (
    "The spectral gap of Langevin on two Gaussians falls exponentially with their distance, while the gaps of the "
    "one-at-a-time conditionals stay of order 1/σ². The law on the left is .2 N(−R, 1) + .8 N(R, 1); in R^d with "
    "means ∓3 (1, …, 1) the slow direction has R = 3√d (marks). Dashed is the formula of Eyring and Kramers. The "
    "right panel shows the worst past at σ² = σ*², the log-concavity threshold, and the lower bound ζ_t σ² of Theorem "
    "1 (arXiv 2305.19473) in the same colour, which is 0 at t = 1. The gaps are eigenvalues of birth-death chains, "
    "and nothing is sampled; the table also has σ² = 2 σ*²."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "weight": 0.2,
    "radii": [1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0],
    "dims": [1, 2, 3, 4],
    "factors": [1.0, 2.0],
    "worst_t": [1, 2, 10],
    "t": [1, 2, 3, 5, 10, 20, 50, 100],
    "t_dims": [1, 2, 3],
    "nodes": 2001,
    "pasts": 25,
    "parts": ["radius", "dimension", "t"],
}
QUICK = {"radii": [1.5, 3.0, 4.5, 6.0], "t": [1, 2, 10, 100], "nodes": 801}
SPOT = Spot(
    {"radii": [1.5, 3.0], "dims": [1, 2], "t": [1, 10], "t_dims": [1]},
    keys=("part", "series", "R", "factor", "t"),
    rtol={"gap": 1e-4, "bound": 1e-12, "past": 1e-12},
    atol=1e-10,
    cause="eigenvalues to eps times the largest one, 2e-11, which the smallest gaps feel",
)


def compute(parameters, progress):
    """Rows (part, series, d, R, factor, t, gap, bound, past): series law or conditional; gap in units of 1/sigma^2 there.

    For the law, ``bound`` is the Eyring-Kramers value; ``past`` is the mean of the past measurements that is worst.
    """
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture
    from exactdiffusion.papers.log_concavity.certificates import spectral_gap
    from exactdiffusion.papers.log_concavity.walk_jump import conditional_target
    from exactdiffusion.statements import log_concavity_thresholds as bound

    w, n, rows = parameters["weight"], parameters["nodes"], []

    def mixture(R):
        return GaussianMixture([w, 1 - w], np.array([[-R], [R]]), 1.0)

    def law_row(part, d, R):
        law = mixture(R)
        x = np.linspace(-R - 7, R + 7, n)
        rows.append(
            {
                "part": part,
                "series": "law",
                "d": d,
                "R": round(R, 6),
                "factor": None,
                "t": None,
                "gap": spectral_gap(law.log_density(x[:, np.newaxis]), x),
                "bound": eyring_kramers(law),
                "past": None,
            }
        )

    def conditional_row(part, d, R, factor, t):
        law, sigma2 = mixture(R), factor * bound.radius_threshold(R, 1.0)
        width, worst = R + 9 * math.sqrt(sigma2 + 1), (math.inf, 0.0)
        for past in [0.0] if t == 1 else np.linspace(-1.2 * R, 1.2 * R, parameters["pasts"]):
            y = np.linspace(-width, width, n) + (past if t > 1 else 0.0)
            target = conditional_target(law, np.full((n, 1), (t - 1) * past), t - 1, math.sqrt(sigma2))
            worst = min(worst, (spectral_gap(target.log_density(y[:, np.newaxis]), y) * sigma2, float(past)))
        rows.append(
            {
                "part": part,
                "series": "conditional",
                "d": d,
                "R": round(R, 6),
                "factor": factor,
                "t": t,
                "gap": worst[0],
                "bound": bound.spectral_gap_lower_bound(t, sigma2, 1.0, R) * sigma2,
                "past": worst[1],
            }
        )

    cells = []
    if "radius" in parameters["parts"]:
        cells += [
            ("radius", None, R, f, t)
            for R in parameters["radii"]
            for f in [None, *parameters["factors"]]
            for t in ([None] if f is None else parameters["worst_t"])
        ]
    if "dimension" in parameters["parts"]:
        cells += [("dimension", d, float(bound.decoupled_radius(d)), None, None) for d in parameters["dims"]]
    if "t" in parameters["parts"]:
        cells += [
            ("t", d, float(bound.decoupled_radius(d)), f, t)
            for d in parameters["t_dims"]
            for f in parameters["factors"]
            for t in parameters["t"]
        ]
    for part, d, R, factor, t in progress(cells, "spectral gaps"):
        if factor is None:
            law_row(part, d, R)
        else:
            conditional_row(part, d, R, factor, t)
    return rows


def eyring_kramers(law):
    """Gap of two wells by Laplace's method: barrier curvature, depth and curvature of both wells of -log p."""
    import math

    import numpy as np
    from scipy.optimize import brentq

    score = lambda x: float(law.score(np.array([[x]]))[0, 0])  # noqa: E731
    R = float(law.means[1, 0])
    try:
        top = brentq(score, -R + 0.5 / R, R - 0.5 / R)
    except ValueError:
        return None
    bottoms = [brentq(score, -R - 1, top - 1e-3), brentq(score, top + 1e-3, R + 1)]
    curvature = lambda x: float(law.hessian(np.array([[x]]))[0, 0, 0])  # noqa: E731
    value = lambda x: float(law.log_density(np.array([[x]]))[0])  # noqa: E731
    rates = [math.sqrt(-curvature(b) * curvature(top)) / (2 * math.pi) * math.exp(value(top) - value(b)) for b in bottoms]
    return sum(rates) if curvature(top) > 0 else None


def draw(table, parameters):
    """Left: against R. Right: against t, with the bound of Theorem 1."""
    import numpy as np

    figure, (left, right) = panels(2, 3.0)
    get = lambda **want: [r for r in table if all(r[k] == v for k, v in want.items())]  # noqa: E731

    # against the distance of the means: the law itself, and its conditionals
    law = get(part="radius", series="law")
    left.plot([r["R"] for r in law], [r["gap"] for r in law], color=INK, linewidth=1.5)
    left.annotate("Langevin on the law", (1.35, 1e-5), fontsize=7)
    deep = [r for r in law if r["bound"] and r["R"] >= 2]  # two clear wells
    left.plot([r["R"] for r in deep], [r["bound"] for r in deep], color="0.4", linestyle=(0, (4, 2)), linewidth=0.9)
    left.annotate("Eyring–Kramers", (4.6, 3e-4), fontsize=7, color="0.3")
    marks = get(part="dimension")
    left.plot([r["R"] for r in marks], [r["gap"] for r in marks], "o", color=INK, markersize=4)
    for r in marks:
        at = r["R"], r["gap"]
        left.annotate(f"d = {r['d']}", at, textcoords="offset points", xytext=(-5, -9), ha="right", fontsize=7)
    for index, t in enumerate(parameters["worst_t"]):
        rows = get(part="radius", series="conditional", factor=1.0, t=t)
        left.plot(
            [r["R"] for r in rows], [r["gap"] for r in rows], **curve_style(index + 3), label=f"conditional law at t = {t}"
        )
    left.set_yscale("log")
    left.set_ylim(1e-8, 3)
    left.set_xlabel("half the distance R of the means")
    left.set_ylabel("spectral gap (conditionals: × σ²)")
    title(left, "Langevin stalls, the conditionals do not")

    # against the measurement
    for index, d in enumerate(parameters["t_dims"]):
        rows = get(part="t", d=d, factor=1.0)
        look = curve_style(index)
        t, low = np.array([r["t"] for r in rows]), np.array([r["bound"] for r in rows])
        right.plot(t, [r["gap"] for r in rows], **{**look, "linestyle": "-"}, label=f"worst conditional, d = {d}")
        right.plot(t[low > 0], low[low > 0], color=look["color"], linewidth=0.9, linestyle=(0, (5, 2)))
    right.annotate("dashed: bounds of Theorem 1", (110, 0.3), ha="right", fontsize=7)
    right.set_xscale("log")
    right.set_ylim(0, 1.05)
    right.set_xlabel("measurement t")
    right.set_ylabel("gap of the worst conditional × σ²")
    plain_ticks(right.xaxis, 1, 100)
    title(right, "the gap stays above .48, and above its bound")
    legend_below(figure, 3)
    return figure
