"""Condition number kappa_m of p(y_m | y_1, ..., y_{m-1}): its bound, the two points that attain it, and its rate 1/m^2.

X = Z + tau N, Z in a ball of radius R = 1, tau^2 = .1 and sigma^2 = R^2 - tau^2 = .9, the least noise of (4.3) in arXiv
2305.19473. kappa_m is the ratio of the extreme eigenvalues of -Hess over all y_m and all pasts: the smallest where local
ascent finds the largest posterior covariance, or far out along the normal of the longest edge; the largest far out.

Left: kappa_m - 1 against the bound of Theorem 1; two points, of any weights, lie on it. The rate is 1/m^2, with the constant
R^2 sigma^2/tau^4; the cruder bound with L = 1/sigma^2 decays like 1/m. Right: least curvature, in units of 1/sigma^2. One at
a time it increases with m (two points, tau^2 = .1: on the bound zeta_m; two atoms, tau = 0: nothing is gained by more
measurements). All at once it falls below 0 as soon as sigma^2/m < R^2 - tau^2: with sigma^2 = 5, at m = 6.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "condition number kappa_m of the m-th conditional law: bound, tight instance, rate; least curvature against m"
CAPTION = (
    "The bound of Theorem 1 (arXiv 2305.19473) on the condition number of the m-th conditional law is attained by two "
    "points (one pair of weights is drawn), and falls like 1/m². On the left X = Z + τ N with Z in the unit ball, τ² "
    "= .1, σ² = .9, the least noise of (4.3). The right panel shows the least curvature, in units of 1/σ² with σ² = "
    "5: one at a time it never falls, all at once it is negative from m = 6 on, so the joint law is no longer "
    "log-concave."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "tau2": 0.1,
    "sigma2": 0.9,
    "clouds": ["two points", "triangle", "8-gon", "32 random in R³"],
    "m": [2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000],
    "joint_sigma2": 5.0,
    "joint_m": [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32],
    "seed": 68,
}
QUICK = {"m": [2, 5, 20, 100], "joint_m": [1, 2, 5, 8, 16]}
SPOT = Spot(
    {"m": [2, 20, 200], "joint_m": [1, 5, 16]},
    keys=("panel", "law", "sigma2", "m"),
    rtol={"kappa": 1e-8, "excess": 1e-7, "curvature": 1e-8, "bound": 1e-12, "crude": 1e-12},
    atol=1e-9,
    cause="the flat top of a maximum found by local ascent; kappa - 1 loses the leading digits of kappa",
)


def compute(parameters, progress):
    """Rows (panel, law, sigma2, m, kappa, excess, curvature, bound, crude); excess = kappa - 1, curvatures times sigma^2."""
    import math

    import numpy as np
    from scipy.optimize import linprog

    from exactdiffusion import GaussianMixture
    from exactdiffusion.papers.log_concavity.certificates import covariance_supremum, enclosing_ball, exposed_pairs
    from exactdiffusion.papers.log_concavity.measurements import conditional_hessian, joint_hessian
    from exactdiffusion.statements import log_concavity_thresholds as bounds

    q, rows, tau2 = parameters, [], parameters["tau2"]
    columns = ("kappa", "excess", "curvature", "bound", "crude")

    def put(panel, law, sigma2, m, **values):
        rows.append({"panel": panel, "law": law, "sigma2": sigma2, "m": m, **{c: values.get(c) for c in columns}})

    def ring(n):
        return np.stack([np.cos(2 * np.pi * np.arange(n) / n), np.sin(2 * np.pi * np.arange(n) / n)], axis=1)

    random = np.random.default_rng(q["seed"]).standard_normal((32, 3))
    centre, radius = enclosing_ball(random)
    clouds = {
        "two points": np.array([[-1.0], [1.0]]),
        "triangle": ring(3),
        "8-gon": ring(8),
        "32 random in R³": (random - centre) / radius,
    }
    weights = {"two points": [0.3, 0.7]}

    def beyond_edge(P, w, v):
        """A point that sees the ends of the longest exposed edge only, at equal odds: others are 40 v below."""
        i, j, square = exposed_pairs(P)[0]
        rest, a, u = np.delete(np.arange(len(P)), [i, j]), P[i] - P[j], np.zeros(P.shape[1])
        if len(rest):
            # the normal u with the widest gap: maximise t, u (z_i - z_j) = 0, u (z_i - z_l) >= t, |u| <= 1 per coordinate
            gap = linprog(
                np.r_[0 * u, -1.0],
                A_ub=np.c_[P[rest] - P[i], np.ones(len(rest))],
                b_ub=np.zeros(len(rest)),
                A_eq=np.r_[a, 0.0][np.newaxis],
                b_eq=[0.0],
                bounds=[(-1, 1)] * len(u) + [(None, 1)],
            ).x
            u = 40 * v / gap[-1] * gap[:-1]
        odds = np.log(w[i] / w[j]) - (P[i] @ P[i] - P[j] @ P[j]) / (2 * v)
        return u - v * odds / square * a

    def extremes(P, w, m, sigma2, tau2):
        """Smallest and largest eigenvalue of -Hess, at the worst y and far out; the past is 0, so that y_m = m ybar."""
        _, worst = covariance_supremum(P, w, sigma2 / m + tau2)
        y = m * np.stack([worst, beyond_edge(P, w, sigma2 / m + tau2), 40 * P[0]])
        eig = np.linalg.eigvalsh(-conditional_hessian(GaussianMixture(w, P, tau2), y, 0 * y, m - 1, math.sqrt(sigma2)))
        return float(eig.min()), float(eig.max())

    for name in q["clouds"]:
        P = clouds[name]
        w = np.array(weights.get(name, np.full(len(P), 1 / len(P))))
        for m in progress(q["m"], name):
            low, high = extremes(P, w, m, q["sigma2"], tau2)
            bound = float(bounds.condition_number(m, q["sigma2"], tau2, 1.0))
            crude = float(1 / (q["sigma2"] * bounds.curvature_lower_bound(m, q["sigma2"], tau2, 1.0)))
            put(
                "kappa",
                name,
                q["sigma2"],
                m,
                kappa=high / low,
                excess=(high - low) / low,
                curvature=q["sigma2"] * low,
                bound=bound,
                crude=crude,
            )
    sigma2, P, w = q["joint_sigma2"], clouds["two points"], np.array(weights["two points"])
    for m in progress(q["joint_m"], "all at once"):
        for name, t in (("one at a time", tau2), ("one at a time, atoms", 0.0)):
            low, _ = extremes(P, w, m, sigma2, t)
            put(
                "curvature",
                name,
                sigma2,
                m,
                curvature=sigma2 * low,
                bound=float(sigma2 * bounds.curvature_lower_bound(m, sigma2, t, 1.0)),
            )
        _, worst = covariance_supremum(P, w, sigma2 / m + tau2)
        hessian = joint_hessian(GaussianMixture(w, P, tau2), np.broadcast_to(worst, (1, m, 1)), math.sqrt(sigma2))[0]
        # the posterior variance of X where Z's is R^2
        share = (sigma2 / m) / (sigma2 / m + tau2)
        expected = bounds.all_at_once_curvature(m, sigma2, share * tau2 + share**2)
        put(
            "curvature",
            "all at once",
            sigma2,
            m,
            curvature=float(sigma2 * np.linalg.eigvalsh(-hessian).min()),
            bound=float(-sigma2 * expected),
        )
    return rows


def draw(table, parameters):
    """Left: kappa_m - 1 and its bounds. Right: least curvatures."""
    import numpy as np

    figure, (excess, curvature) = panels(2, 2.9)

    # the bound, the cruder one, and the laws
    rows = [r for r in table if r["panel"] == "kappa" and r["law"] == "two points"]
    m = np.array([r["m"] for r in rows], dtype=float)
    excess.plot(m, [r["bound"] - 1 for r in rows], color=INK, linewidth=1.3, zorder=1, label="bound of Theorem 1")
    crude = {"color": "0.5", "linewidth": 1.0, "linestyle": (0, (5, 1.5))}
    excess.plot(m, [r["crude"] - 1 for r in rows], **crude, label="bound by L = 1/σ²: 1/m")
    for index, name in enumerate(parameters["clouds"]):
        rows = [r for r in table if r["panel"] == "kappa" and r["law"] == name]
        look = {**curve_style(index), "linestyle": "none"}
        excess.plot([r["m"] for r in rows], [r["excess"] for r in rows], **look, label=name)
    excess.set_xscale("log")
    excess.set_yscale("log")
    excess.set_xlabel("number of measurements m")
    plain_ticks(excess.xaxis, 1.8, 2200, (1,))
    excess.set_yticks([1e-4, 1e-2, 1], ["$10^{-4}$", "$10^{-2}$", "1"])
    excess.set_yticks([], minor=True)
    excess.set_ylabel("condition number κ − 1")
    title(excess, "two points attain the bound; it falls like 1/m²")

    # the least curvature
    names = ("one at a time", "one at a time, atoms", "all at once")
    texts = ("one at a time", "one at a time, atoms (τ = 0)", "all at once")
    for index, (name, text) in enumerate(zip(names, texts)):
        rows = [r for r in table if r["panel"] == "curvature" and r["law"] == name]
        curvature.plot([r["m"] for r in rows], [r["curvature"] for r in rows], **curve_style(index + 4))
        at = rows[-1]["m"], rows[-1]["curvature"]
        shift = ((0, 5), (0, -11), (-12, 2))[index]
        colour = curve_style(index + 4)["color"]
        curvature.annotate(text, at, textcoords="offset points", xytext=shift, ha="right", fontsize=7, color=colour)
    curvature.axhline(0, color=INK, linewidth=0.9)
    curvature.annotate("log-concave above 0", (1, 0), textcoords="offset points", xytext=(0, -9), fontsize=7)
    curvature.set_xscale("log", base=2)
    curvature.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    curvature.set_ylim(-2, 1.35)
    curvature.set_xlabel("number of measurements m")
    curvature.set_ylabel("least curvature × σ²")
    title(curvature, f"σ² = {parameters['joint_sigma2']:g}: all at once loses log-concavity at m = 6")
    legend_below(figure, 3)
    return figure
