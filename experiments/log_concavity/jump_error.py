"""What the jump leaves, exact inner draws: W2 between the law of X and that of Xhat_m = E[X | Y_1, ..., Y_m], s = sigma^2/m.

All by quadrature on a line (the posterior mean increases with the mean of the measurements, so the coupling is explicit).

Left: W2^2/s in one dimension: the bound of Proposition 2 (arXiv 2305.19473) is 1, and so is that of E C_m (in the table),
which wide laws approach. W2^2 itself stays far below: Gaussians reach (5 sqrt 5 - 11)/2 = .0902, two atoms .186, three atoms
of weights .3, .4, .3 about .25, the lattice .3468 (largest found; no proof that nothing is larger). Right: .2 N(-mu, I) + .8
N(mu, I), mu = 3 (1, ..., 1), with sigma^2 = |mu|^2 - 1: W2 in units of its small-noise form (s/2) sqrt(I(p)). Two bounds:
(3/2) s sqrt(I), and sqrt(s d), which is one line in s I/d. So W2 decays like 1/m only once s I/d << 1. In the table, atoms:
E C_m decays exponentially in m, below the bound by Gaussian tails between pairs and below sigma^2/m (sigma = 1).
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "error of the jump: W2^2 m/sigma^2 by families, two Gaussians against both bounds, exponential decay for atoms"
CAPTION = (
    "The jump leaves far less than its bound: on a line W2² is at most .35 of s = σ²/m in every family tried, where "
    "Proposition 2 of arXiv 2305.19473 gives s. The largest values on the left are lattice .347, three atoms .25, two "
    "atoms .186, Gaussians .0902 = (5√5 − 11)/2; there is no proof that nothing is larger. The right panel has two "
    "Gaussians in R^d: W2 falls like 1/m, as half of s√I(p), only once s I/d ≪ 1; both bounds are drawn. Inner draws "
    "are exact, by quadrature. For atoms the error decays exponentially (table)."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "levels": [
        0.01,
        0.02,
        0.04,
        0.06,
        0.08,
        0.1,
        0.13,
        0.1613,
        0.2,
        0.25,
        0.35,
        0.5,
        0.618,
        0.75,
        0.9,
        1.2,
        1.618,
        2.5,
        4.0,
        7.0,
        12.0,
        25.0,
        60.0,
    ],
    "families": ["Gaussian", "two atoms", "three atoms", "lattice", "two Gaussians"],
    "dims": [1, 2, 8, 32],
    "m": [1, 3, 10, 30, 100, 300, 1000, 3000],
    "atoms": ["two atoms", "three atoms"],
    "atoms_m": [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64],
}
QUICK = {"levels": [0.02, 0.1, 0.25, 0.618, 1.618, 7.0], "m": [1, 10, 100], "atoms_m": [1, 4, 16, 32]}
SPOT = Spot(
    {"levels": [0.1613, 0.618], "dims": [8], "m": [1, 30], "atoms_m": [4, 16]},
    keys=("panel", "law", "d", "x"),
    rtol=dict.fromkeys(("s", "w2_squared", "mmse", "proposition", "fisher", "unit", "pairs"), 1e-9),
    atol=1e-11,
    cause="quadrature to 1e-13 of the squared scale, which is at most 125, and bisection for quantiles",
)


def compute(parameters, progress):
    """Rows (panel, law, d, x, s, w2_squared, mmse, proposition, fisher, unit, pairs).

    x is s (panel "families") or m; ``proposition`` = s d and ``fisher`` = (9/4) s^2 I bound w2_squared, ``unit`` = (s^2/4) I
    is its small-noise form; ``pairs`` is the bound of E C_m for atoms. The lattice has spacing 1 and is counted per cell.
    """
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, PointCloud
    from exactdiffusion.papers.log_concavity.measurements import fisher_information, line_jump_w2, line_mmse
    from exactdiffusion.statements import log_concavity as bounds

    q, rows = parameters, []

    def put(panel, law, d, x, s, **values):
        columns = ("w2_squared", "mmse", "proposition", "fisher", "unit", "pairs")
        rows.append(
            {
                "panel": panel,
                "law": law,
                "d": d,
                "x": x,
                "s": s,
                **{c: float(values[c]) if c in values else None for c in columns},
            }
        )

    laws = {
        "Gaussian": GaussianMixture(None, np.zeros((1, 1)), 1.0),
        "two atoms": PointCloud([[-1.0], [1.0]]),
        "three atoms": PointCloud([[-1.0], [0.0], [1.0]], [0.3, 0.4, 0.3]),
        "two Gaussians": GaussianMixture([0.2, 0.8], [[-3.0], [3.0]], 1.0),
    }
    for name in q["families"]:
        for s in progress(q["levels"], name):
            if name == "lattice":  # the middle cells: 41 atoms less 21, whose ends are the same
                both = [PointCloud(np.arange(-k, k + 1.0)[:, np.newaxis]) for k in (10, 20)]
                few, many = ([f(c, 1, math.sqrt(s)) for f in (line_jump_w2, line_mmse)] for c in both)
                # beyond s = 2.5 the ends reach the middle
                if s > 2.5:
                    continue
                w2, mmse = ((41 * b - 21 * a) / 20 for a, b in zip(few, many))
            else:
                w2, mmse = (f(laws[name], 1, math.sqrt(s)) for f in (line_jump_w2, line_mmse))
            put("families", name, 1, s, s, w2_squared=w2, mmse=mmse, proposition=s)
    for d in q["dims"]:
        # one coordinate along the axis, d - 1 standard normal ones
        R = 3 * math.sqrt(d)
        axis, sigma2 = GaussianMixture([0.2, 0.8], [[-R], [R]], 1.0), R * R - 1
        information = fisher_information(axis) + d - 1
        for m in progress(q["m"], f"d = {d}"):
            s = sigma2 / m
            rest = (d - 1) * (s / (math.sqrt(1 + s) * (1 + math.sqrt(1 + s)))) ** 2
            put(
                "dimension",
                "two Gaussians",
                d,
                m,
                s,
                w2_squared=line_jump_w2(axis, m, math.sqrt(sigma2)) + rest,
                mmse=line_mmse(axis, m, math.sqrt(sigma2)) + (d - 1) * s / (1 + s),
                proposition=bounds.posterior_mean_w2(m, math.sqrt(sigma2), d),
                fisher=bounds.fisher_information_w2(information, m, math.sqrt(sigma2)) ** 2,
                unit=s * s * information / 4,
            )
    for name in q["atoms"]:
        cloud = laws[name]
        for m in progress(q["atoms_m"], name):
            put(
                "atoms",
                name,
                1,
                m,
                1 / m,
                w2_squared=line_jump_w2(cloud, m, 1.0),
                mmse=line_mmse(cloud, m, 1.0),
                proposition=1 / m,
                pairs=bounds.discrete_prior_mmse(cloud.points, cloud.weights, m, 1.0),
            )
    return rows


def draw(table, parameters):
    """Left: W2^2 / s of families on a line. Right: two Gaussians, in units of the small-noise form."""
    import numpy as np

    figure, (families, units) = panels(2, 2.9)

    # families on a line, each labelled at its maximum
    for index, name in enumerate(parameters["families"]):
        rows = [r for r in table if r["panel"] == "families" and r["law"] == name]
        look = curve_style(index)
        families.plot(
            [r["s"] for r in rows], [r["w2_squared"] / r["s"] for r in rows], markersize=2.5, label=f"left: {name}", **look
        )
    families.axhline(1, color=INK, linewidth=1.3)
    families.annotate("bound of Proposition 2", (0.01, 1), textcoords="offset points", xytext=(0, -9), fontsize=7)
    families.set_xscale("log")
    families.set_ylim(0, 1.06)
    plain_ticks(families.xaxis, 0.008, 70, (1,))
    families.set_xlabel("s = σ²/m")
    families.set_ylabel("W₂² / s")
    title(families, "on a line: at most .35 of the bound")

    # two Gaussians and both bounds
    span = np.geomspace(1e-3, 600.0, 50)
    units.plot(span, 2 / np.sqrt(span), color=INK, linewidth=1.3, zorder=1)
    units.axhline(3, color=INK, linewidth=1.3, linestyle=(0, (5, 1.5)), zorder=1)
    for index, d in enumerate(parameters["dims"]):
        rows = [r for r in table if r["panel"] == "dimension" and r["d"] == d]
        x = [4 * r["unit"] / (r["s"] * d) for r in rows]
        look = curve_style(index + 5)
        units.plot(x, [(r["w2_squared"] / r["unit"]) ** 0.5 for r in rows], label=f"right: two Gaussians, d = {d}", **look)
    units.annotate("bound √(s d)", (3.0, 1.5), fontsize=7)
    units.annotate("bound (3/2) s √I", (0.0012, 3.25), fontsize=7)
    units.set_xscale("log")
    units.set_yscale("log")
    units.set_ylim(0.009, 6)
    units.set_xlim(7e-4, 600)
    units.set_xticks([1e-3, 0.1, 10], ["0.001", "0.1", "10"])
    units.set_xticks([], minor=True)
    plain_ticks(units.yaxis, 0.006, 6, (1,))
    units.set_xlabel("noise s I(p) / d (I: Fisher information)")
    units.set_ylabel("W₂ / small-noise form (s/2) √I")
    title(units, "every d on one curve; 1/m on the plateau only")
    legend_below(figure, 3)
    return figure
