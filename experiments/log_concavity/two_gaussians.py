"""Two Gaussians at distance 6 sqrt(d): W2 of the walk-jump samplers against measurements, noise level and inner steps.

Target: weights .2 and .8, means -+3 (1, ..., 1), unit covariance, d = 1, 2, 8, 32 (arXiv 2305.19473, Section 5.2). Noise is
given in units of the exact log-concavity threshold sigma*^2 = 9 d - 1. Inner walks: the underdamped splitting, step .5,
friction .5. In R^d these samplers decouple exactly into one chain along the difference of the means, where 5000 chains are
run, and d - 1 linear Gaussian ones, whose law is exact; all at once (AAO) is, along an axis, the walk on the law of sqrt(m)
times the mean of the measurements, m times as many inner steps as one at a time (OAT): equal gradient calls.

W2 is computed between the chains and the law itself, by its quantile function. Exact draws, as many, have a W2 as well (bars
beside the panels): their fraction in the minor mode is off by 1/sqrt(n), and that mass must be carried over 6 sqrt(d). The
column ``within`` takes this part off: chains are weighted so that each side of the middle holds its exact mass. A sampler
that has the weights wrong is then wrong in ``w2`` only, and what exact draws score falls tenfold. Dashed: exact inner draws
(what is left is the jump), by quadrature; Proposition 2, W2 <= sigma sqrt(d/m), holds for these. Drawn are d = 2 and 32.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "two Gaussians, d = 1 to 32: W2 of one-at-a-time and all-at-once sampling versus m, sigma and inner steps"
CAPTION = (
    "Sampled one at a time the output nears the law as m grows, at equal gradient calls sampling all at once does "
    "not, since it keeps wrong weights of the modes. The law is two Gaussians at distance 6√d, weights .2 and .8 "
    "(arXiv 2305.19473, Section 5.2), 5000 chains. Dashed are exact inner draws, for which the bound σ√(d/m) holds; "
    "walks with finitely many steps may exceed it. The bars at the right are what 5000 exact draws score, the range "
    "of 10 runs. On the right, below the log-concavity threshold σ*² the walks do not mix. The table also has d = 1 "
    "and 8, the inner steps, and W2 with the weights put right."
)
PAPER = ("2305.19473", "4", "stand-in")
PARAMETERS = {
    "dims": [1, 2, 8, 32],
    "n": 5000,
    "step": 0.5,
    "friction": 0.5,
    "floor_repeats": 10,
    "seed": 60,
    "panels": {
        "m": [1, 2, 5, 10, 20, 50, 100, 200, 400],
        "sigma": [0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16],
        "steps": [1, 2, 4, 8, 16, 32, 64],
    },
    "measurements": 100,
    "inner": 10,
    "aao_to": 200,
}
QUICK = {
    "n": 2000,
    "dims": [1, 8],
    "floor_repeats": 3,
    "panels": {"m": [1, 5, 20, 100], "sigma": [0.25, 1, 4], "steps": [1, 4, 16]},
}
SPOT = Spot(
    {"dims": [2], "panels": {"m": [1, 5, 20], "sigma": [], "steps": [1]}},
    keys=("panel", "series", "d", "x"),
    rtol={c: 1e-6 for c in ("w2", "within", "weight")},
    atol=1e-9,
    cause="rounding of exp along contracting chains, and its effect on which chains lie left of the middle",
)

W = 0.2


def compute(parameters, progress):
    """Rows (panel, series, d, x, w2, within, weight); series oat, aao, exact, bound, floor; x is m, sigma^2/sigma*^2, steps.

    ``within`` is W2 after the two sides are given their exact masses, ``weight`` the fraction on the minor side.
    """
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, Noise
    from exactdiffusion.papers.log_concavity.measurements import line_jump_w2
    from exactdiffusion.papers.log_concavity.walk_jump import Underdamped, gaussian_one_at_a_time, langevin, one_at_a_time
    from exactdiffusion.statements import log_concavity_thresholds as bound
    from exactdiffusion.statements.log_concavity import posterior_mean_w2

    n, seed, M, rows = parameters["n"], parameters["seed"], parameters["measurements"], []
    walk = lambda steps: Underdamped(steps, parameters["step"], parameters["friction"])  # noqa: E731
    values, cells = parameters["panels"], []
    for d in parameters["dims"]:
        cells += [("floor", d, None)]
        cells += [("m", d, None)] + [("aao", d, m) for m in values["m"] if m <= parameters["aao_to"]]
        cells += [("sigma", d, x) for x in values["sigma"]] + [("steps", d, x) for x in values["steps"]]
    for panel, d, x in progress(cells, "two Gaussians"):
        R = float(bound.decoupled_radius(d))
        law, threshold = GaussianMixture([W, 1 - W], np.array([[-R], [R]]), 1.0), bound.radius_threshold(R, 1.0)

        def put(panel, series, x, samples, out, law=law, d=d):
            """Distance along the axis from the chains, on the other axes from their exact variance ``out``."""
            rest = (d - 1) * (1 - math.sqrt(out)) ** 2
            y = np.sort(samples[:, 0])
            minor = y < 0
            mass = float(np.sum(minor)) / len(y)
            w2 = math.sqrt(quantile_w2(law, y, np.full(len(y), 1 / len(y))) + rest)
            side, within = law_mass(law, 0.0), None
            if 0 < mass < 1:
                factor = np.where(minor, side / mass, (1 - side) / (1 - mass))
                within = math.sqrt(quantile_w2(law, y, factor / len(y)) + rest)
            rows.append({"panel": panel, "series": series, "d": d, "x": x, "w2": w2, "within": within, "weight": mass})

        def jump(panel, x, m, sigma2, d=d, law=law):
            """Exact inner draws, and the bound."""
            out = 1 / (1 + sigma2 / m)
            w2 = math.sqrt(line_jump_w2(law, m, math.sqrt(sigma2)) + (d - 1) * (1 - math.sqrt(out)) ** 2)
            limit = math.sqrt(posterior_mean_w2(m, math.sqrt(sigma2), d))
            for series, value in (("exact", w2), ("bound", limit)):
                rows.append({"panel": panel, "series": series, "d": d, "x": x, "w2": value, "within": value, "weight": None})

        def oat(m, steps, sigma2, wanted=None, law=law):
            """(m, chains, variance on another axis) after each of the wanted numbers of measurements."""
            for state in one_at_a_time(law, m, math.sqrt(sigma2), n, noise=Noise(seed), walk=walk(steps)):
                if state.t in (wanted or [m]):
                    other = gaussian_one_at_a_time([1.0], state.t, math.sqrt(sigma2), walk(steps))
                    yield state.t, state.xhat, float(other.output[0])

        if panel == "floor":
            for k in range(parameters["floor_repeats"]):
                put("floor", "floor", k, law.sample(n, seed + 1 + k), 1.0)
        elif panel == "m":
            wanted = values["m"]
            for m in wanted:
                jump("m", m, m, threshold)
            for t, xhat, out in oat(max(wanted), parameters["inner"], threshold, wanted):
                put("m", "oat", t, xhat, out)
        elif panel == "aao":
            sigma, steps = math.sqrt(threshold), x * parameters["inner"]
            # sqrt(m) (X + sqrt(s) N), its walk with unit sigma^2; the differences of the measurements do not matter
            y = langevin(
                law.noised(math.sqrt(x), sigma),
                sigma * Noise(seed + 2).normal(0, n, 1),
                noise=Noise(seed + 3),
                walk=walk(steps),
                unit=threshold,
            )
            A, Q = walk(steps).linear(1 / (threshold + x), threshold)
            C = np.eye(2) * threshold
            for _ in range(steps):
                C = A @ C @ A.T + Q
            put(
                "m",
                "aao",
                x,
                law.noised(1.0, sigma / math.sqrt(x)).denoise(y / math.sqrt(x)),
                C[0, 0] / x / (1 + threshold / x) ** 2,
            )
        else:
            sigma2, steps = (x * threshold, parameters["inner"]) if panel == "sigma" else (threshold, x)
            jump(panel, x, M, sigma2)
            for _, xhat, out in oat(M, steps, sigma2):
                put(panel, "oat", x, xhat, out)
    return rows


def law_mass(law, x):
    """Distribution function of a mixture on a line."""
    import numpy as np
    from scipy.special import ndtr

    return float(law.weights @ ndtr((x - law.means[:, 0]) / np.sqrt(np.ravel(law.covariances))))


def quantile_w2(law, y, weights):
    """Squared W2 between sorted points y with weights and a mixture on a line: its quantile cells, in closed form."""
    import numpy as np
    from scipy.special import ndtr

    centres = law.means[:, 0]
    deviations = np.sqrt(np.broadcast_to(np.ravel(law.covariances), centres.shape))
    upper = np.cumsum(weights[::-1])[::-1][1:]  # mass to the right of each cut
    lower = np.cumsum(weights)[:-1]
    a = np.full(len(y) - 1, centres.min() - 40 * deviations.max())
    b = np.full(len(y) - 1, centres.max() + 40 * deviations.max())
    for _ in range(60):
        c = 0.5 * (a + b)
        z = (c[:, np.newaxis] - centres) / deviations
        below = np.where(lower < 0.5, ndtr(z) @ law.weights < lower, ndtr(-z) @ law.weights > upper)
        a, b = np.where(below, c, a), np.where(below, b, c)
    cuts = np.concatenate([[-np.inf], 0.5 * (a + b), [np.inf]])[:, np.newaxis]
    total = 0.0
    for w, centre, s in zip(law.weights, centres, deviations, strict=True):
        z = ((cuts - centre) / s)[:, 0]
        density = np.exp(-0.5 * np.where(np.isfinite(z), z, 0.0) ** 2) / np.sqrt(2 * np.pi) * np.isfinite(z)
        first = np.where(np.isfinite(z), z, 0.0) * density
        # masses of the cells from the nearer tail
        mass = np.where(z[:-1] > 0, ndtr(-z[:-1]) - ndtr(-z[1:]), ndtr(z[1:]) - ndtr(z[:-1]))
        one, two = -np.diff(density), mass - np.diff(first)
        shift = centre - y
        total += w * np.sum(shift**2 * mass + 2 * shift * s * one + s * s * two)
    return max(float(total), 0.0)


LABELS = {"m": "measurements m", "sigma": "σ² / σ*²", "steps": "inner steps per measurement"}


def draw(table, parameters):
    """W2 per sqrt(d), against m and against the noise level, for the second and the largest dimension."""
    import math

    figure, both = panels(2, 3.0, sharey=True)
    dims = parameters["dims"][1::2]
    for axes, panel in zip(both, ("m", "sigma")):
        for index, d in enumerate(dims):
            look = curve_style(index)

            def curve(series, d=d, panel=panel):
                found = [r for r in table if r["panel"] == panel and r["series"] == series and r["d"] == d]
                return [r["x"] for r in found], [math.nan if r["w2"] is None else r["w2"] / math.sqrt(d) for r in found]

            # chains, exact inner draws, and what exact draws of the law score
            axes.plot(*curve("oat"), **{**look, "linestyle": "-"}, label=f"one at a time, d = {d}")
            if panel == "m":
                hollow = {**curve_style(index + 2), "linestyle": (0, (1, 1)), "color": look["color"]}
                axes.plot(*curve("aao"), **hollow, label=f"all at once, d = {d}")
            dashed = {"color": look["color"], "linestyle": (0, (5, 2)), "linewidth": 0.9}
            axes.plot(*curve("exact"), **dashed, label=f"exact inner draws, d = {d}")
            floor = [r["w2"] / math.sqrt(d) for r in table if r["panel"] == "floor" and r["d"] == d]
            place = {"transform": axes.get_yaxis_transform(), "color": look["color"], "alpha": 0.6}
            axes.plot([0.93 + 0.04 * index] * 2, [min(floor), max(floor)], linewidth=2.5, solid_capstyle="butt", **place)
        axes.annotate("exact draws", (0.99, 0.29), xycoords="axes fraction", ha="right", fontsize=7)
        axes.set_xscale("log", base=10 if panel == "m" else 2)
        axes.set_xlim(right=axes.get_xlim()[1] * (3 if panel == "m" else 2.2))  # room for the bars
        axes.set_yscale("log")
        axes.set_ylim(5e-3, 5)
        axes.set_ylabel("W₂ / √d")
        axes.yaxis.set_tick_params(labelleft=True)
    both[0].set_xlabel("number of measurements m")
    plain_ticks(both[0].xaxis, 1, 400, (1,))
    both[1].set_xlabel("noise level σ² / threshold σ*²")
    title(both[0], "σ² = σ*²: one at a time nears the law, all at once does not")
    title(both[1], f"m = {parameters['measurements']}: below the threshold the walks do not mix")
    legend_below(figure, 3)
    return figure
