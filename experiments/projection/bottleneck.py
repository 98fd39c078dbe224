"""The ideal denoisers of continuous laws on curved sets with a bottleneck: Definition 3.1 on the band and on the way.

K is a torus of revolution in R^3 (R = 1, r = 0.6), a product of four, the orthogonal group O(2), the rotations of R^3 as
pairs of orthonormal vectors, or a Swiss roll (two turns at distance 2, width 3), in R^n. The reach of all of them is
attained at a bottleneck: the centre of the hole, half-way between a matrix and its reflection, between two turns. The
denoisers of the uniform laws are exact (quadratures). Left: the largest error eta over the whole band of Definition 3.1
(nu = 1.2), by gradient ascent, against sqrt(n) sigma / reach, which is about the distance from K, for n = 64; the table has
n = 8 to 1024. Where the band holds the bottleneck (from 1 / nu on) no continuous denoiser has eta < 1, and the ascent finds
1 or more; below that level (H1) does hold. On the closed sets eta falls like sigma there; at an edge of the roll the
denoiser is off by sigma sqrt(2 / pi) however small sigma is, so that eta tends to 2 nu / sqrt(pi n) at the corners. (On a
finite set (H1) holds below half the least distance of two points.) Thin: the largest eta at the states that DDIM visits,
which pass the bottleneck's level beside it (with n = 8 some leave the band). Right: d(x_0) / d(x_N) of the worst trajectory,
what Theorem 4.2 guarantees with the largest visited eta, and what the measured errors guarantee a posteriori; the table has
the smallest nu for which the schedule is admissible.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = (
    "eta of the ideal denoisers of tori, O(2), rotations, a Swiss roll: worst over the band, visited, and the guarantees"
)
CAPTION = (
    "On a curved set with a bottleneck the ideal denoiser violates hypothesis (H1) of arXiv 2306.04848, a relative "
    "error η < 1, while the band of its Definition 3.1 holds the bottleneck, yet DDIM passes beside it and is "
    "guaranteed all the same. The sets K in R^n are a torus of revolution, the orthogonal group O(2), a Swiss roll, "
    "with the exact denoiser of the uniform law. Left (n = 64): largest η over the band (marks; found by gradient "
    "ascent) and at the visited states (thin). Right: d(x_0)/d(x_N) of the worst of 100 trajectories, what its "
    "Theorem 4.2 guarantees with the largest visited η, which jumps with the worst trajectory, and what the measured "
    "errors guarantee alone."
)
PAPER = ("2306.04848", "", "own")
PARAMETERS = {
    "sets": ["torus", "four tori", "O(2)", "rotations", "roll"],
    "dims": [8, 16, 32, 64, 128, 256, 512, 1024],
    "search": {
        "sets": ["torus", "O(2)", "roll"],
        "dims": [8, 16, 32, 64, 128, 256, 512, 1024],
        "nu": 1.2,
        "levels": [0.05, 0.1, 0.2, 0.4, 0.6, 0.75, 0.85, 1, 1.5, 2.5, 5, 10, 25],
    },
    "steps": 50,
    "start": 10.0,
    "end": 0.02,
    "trajectories": 100,
    "seed": 0,
}
QUICK = {
    "dims": [8, 64, 1024],
    "search": {"sets": ["torus", "O(2)", "roll"], "dims": [64], "nu": 1.2, "levels": [0.1, 0.4, 0.85, 2.5, 10]},
    "trajectories": 40,
}
SPOT = Spot(
    {"dims": [64], "sets": ["torus", "O(2)"], "search": {"sets": [], "dims": [], "nu": 1.2, "levels": []}},
    keys=("kind", "set", "n", "k"),
    rtol=dict.fromkeys(("eta", "median", "nu", "measured", "theorem", "posteriori"), 1e-6) | {"level": 1e-9},
    cause="last bits of Bessel functions and exp grow along a trajectory",
    atol=1e-12,
)


#: drawn, each in one colour; the table has the others, too
_DRAWN = {"torus": "torus", "O(2)": "O(2)", "roll": "Swiss roll"}
_SEARCHED = 64


def _law(name, n):
    from exactdiffusion.papers.projection.curved import RevolutionTori, Stiefel, SwissRoll

    if name == "roll":
        return SwissRoll(2.0, 2, 3.0, n)
    if name in ("O(2)", "rotations"):
        return Stiefel(2 if name == "O(2)" else 3, n)
    return RevolutionTori(1.0, 0.6, n, 4 if name == "four tori" else 1)


#: n has to be above these
_USED = {"torus": 3, "four tori": 12, "O(2)": 4, "rotations": 6, "roll": 3}


def compute(parameters, progress):
    """Rows of kind "search" and "visited" (level: sqrt(n) sigma / reach, the median of a step) and "guarantee" (level 0)."""
    import numpy as np

    from exactdiffusion import Denoiser, Grid, Noise, samplers
    from exactdiffusion.papers.projection.curved import worst_error
    from exactdiffusion.statements import projection as bound

    rows, N = [], parameters["steps"]

    def put(kind, name, n, k, level, **values):
        empty = dict.fromkeys(("eta", "median", "nu", "measured", "theorem", "posteriori"))
        numbers = {k: float(v) if np.isfinite(v) else None for k, v in values.items()}
        rows.append({"kind": kind, "set": name, "n": n, "k": k, "level": float(level), **empty, **numbers})

    # (H1) over the whole band
    search = parameters["search"]
    for name, n in progress([(name, n) for name in search["sets"] for n in search["dims"]], "search"):
        law = _law(name, n)
        for k, level in enumerate(search["levels"]):
            found = worst_error(law, level * law.reach / np.sqrt(n), search["nu"], seed=parameters["seed"])
            put("search", name, n, k, level, eta=found.eta, nu=search["nu"])

    cells = [(name, n) for name in parameters["sets"] for n in parameters["dims"] if n > _USED[name]]
    for name, n in progress(cells, "trajectories"):
        # a log-linear schedule for every row, from sigma_N = d(x_N) / sqrt(n) down to d(x_0) of about ``end`` reaches
        law = _law(name, n)
        x = parameters["start"] * law.reach / np.sqrt(n) * Noise(parameters["seed"]).initial(parameters["trajectories"], n)
        first = law.distance(x)
        shrink = (parameters["end"] * law.reach / first) ** (np.arange(N + 1)[:, None] / N)
        sigma = first / np.sqrt(n) * shrink
        states = list(samplers.ddim(Denoiser(law.denoise, n), Grid(np.ones_like(sigma), sigma), x))

        # the errors at the visited states, and what follows from them
        distance = np.stack([law.distance(s) for s in states])
        eta = np.stack(
            [
                bound.relative_error(law.denoise(s, level), law.project(s), d)
                for s, level, d in zip(states[:-1], sigma, distance)
            ]
        )
        beta = 1 - sigma[1:] / sigma[:-1]
        for i in range(N):
            level = np.median(sigma[i]) * np.sqrt(n) / law.reach
            put("visited", name, n, i, level, eta=eta[i].max(), median=np.median(eta[i]))
        worst, ratio = eta.max(axis=0), distance[-1] / distance[0]
        nu = [bound.smallest_admissible_nu(b, e) if e < 1 else np.inf for b, e in zip(beta.T, worst)]
        usage = bound.band_usage(distance, sigma, n).max(axis=0)
        if not np.all(usage <= np.array(nu) * (1 + 1e-9)):
            raise AssertionError(
                f"{name}, n = {n}: a state outside the band that eta and the schedule allow: Theorem 4.2 would be false"
            )
        _, upper = bound.ddim_distance_sandwich(first, beta, np.minimum(worst, 1.0))
        _, posteriori = bound.a_posteriori_sandwich(first, beta, eta)
        put(
            "guarantee",
            name,
            n,
            0,
            0,
            eta=worst.max(),
            median=np.median(worst),
            nu=max(nu),
            measured=ratio.max(),
            theorem=(upper[-1] / first).max(),
            posteriori=(posteriori[-1] / first).max(),
        )
    return rows


def draw(table, parameters):
    """Left: the worst and the visited eta. Right: the guarantees against the measured distance."""
    figure, (errors, ratios) = panels(2, 3.0)

    # the largest error of the band and of the visited states
    shown = min(parameters["search"]["dims"], key=lambda n: abs(n - _SEARCHED))
    for index, (name, label) in enumerate(_DRAWN.items()):
        look = {**curve_style(index), "linestyle": "-"}
        mine = [r for r in table if r["set"] == name and r["n"] == shown]
        rows = [r for r in mine if r["kind"] == "search"]
        errors.plot([r["level"] for r in rows], [r["eta"] for r in rows], **look, label=label)
        rows = [r for r in mine if r["kind"] == "visited"]
        errors.plot([r["level"] for r in rows], [r["eta"] for r in rows], **{**look, "marker": None, "linewidth": 0.7})
    edge = 1 / parameters["search"]["nu"]
    errors.axvline(edge, color="0.4", linewidth=0.8)
    errors.annotate("band leaves the bottleneck", (0.9 * edge, 1.6), fontsize=7)
    errors.annotate("thin: visited", (9, 5e-3), fontsize=7, ha="left")
    errors.set_xscale("log")
    errors.set_yscale("log")
    errors.set_ylim(5e-5, 5)
    errors.invert_xaxis()
    errors.set_xlabel("$\\sqrt{n}\\,\\sigma$ / reach, as time runs")
    errors.set_ylabel("relative projection error η")
    title(errors, "(H1) fails while the band holds the bottleneck")

    # the guarantees, in the colours of the sets
    kinds = (
        ((0, (1, 1.5)), "theorem", "Theorem 4.2"),
        ((0, (4, 2)), "posteriori", "from measured errors"),
        ("-", "measured", "measured"),
    )
    for dashes, key, what in kinds:
        for index, name in enumerate(_DRAWN):
            rows = [r for r in table if r["kind"] == "guarantee" and r["set"] == name]
            look = {**curve_style(index), "linestyle": dashes}
            ratios.plot([r["n"] for r in rows], [r[key] for r in rows], **look)
        ratios.plot([], [], color="0.4", linestyle=dashes, label=what)

    # the axes of the right panel
    ratios.set_xscale("log")
    ratios.set_yscale("log")
    plain_ticks(ratios.xaxis, min(parameters["dims"]), max(parameters["dims"]), bases=(1, 3))
    values = [r[key] for r in table if r["kind"] == "guarantee" and r["set"] in _DRAWN for _, key, _ in kinds]
    plain_ticks(ratios.yaxis, min(values), max(values))
    ratios.set_xlabel("ambient dimension n")
    ratios.set_ylabel("d($x_0$) / d($x_N$), worst trajectory")
    title(ratios, "the measured errors guarantee nearly what is reached")
    legend_below(figure, 3)
    return figure
