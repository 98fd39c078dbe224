"""Condition number kappa_m of p(y_m | y_1, ..., y_{m-1}): its bound, the two points that attain it, and its rate 1/m^2.

X = Z + tau N, Z in a ball of radius R = 1, tau^2 = .1 and sigma^2 = R^2 - tau^2 = .9, the least noise of (4.3) in arXiv
2305.19473. kappa_m is the ratio of the extreme eigenvalues of -Hess over all y_m and all pasts: the smallest where local
ascent finds the largest posterior covariance, or far out along the normal of the longest edge; the largest far out.

(a) kappa_m against the bound of Theorem 1; two points, of any weights, lie on it. (b) kappa_m - 1: the rate is 1/m^2, with
the constant R^2 sigma^2/tau^4; the cruder bound with L = 1/sigma^2 decays like 1/m. (c) Least curvature, in units of
1/sigma^2. One at a time it increases with m (two points, tau^2 = .1: on the bound zeta_m; two atoms, tau = 0: nothing is
gained by more measurements). All at once it falls below 0 as soon as sigma^2/m < R^2 - tau^2: with sigma^2 = 5, at m = 6.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure, plain_ticks

SUMMARY = "condition number kappa_m of the m-th conditional law: bound, tight instance, rate; least curvature against m"
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
    """kappa_m, kappa_m - 1, least curvatures."""
    import numpy as np

    figure, (kappa, excess, curvature) = new_figure(7.2, 3.6, columns=3)
    tau2, sigma2 = parameters["tau2"], parameters["sigma2"]
    rows = [r for r in table if r["panel"] == "kappa" and r["law"] == "two points"]
    m = np.array([r["m"] for r in rows], dtype=float)
    bound = np.array([r["bound"] for r in rows])
    kappa.plot(m, bound, color="black", linewidth=1.4, label="bound of Thm 1", zorder=1)
    excess.plot(m, bound - 1, color="black", linewidth=1.4, zorder=1)
    excess.plot(m, [r["crude"] - 1 for r in rows], color="0.5", linewidth=1.0, linestyle=(0, (5, 1.5)))
    far = m[m >= 5]
    excess.plot(far, sigma2 / tau2**2 / far**2, color="0.5", linewidth=1.0, linestyle=(0, (1, 2)))
    kappa.plot([], [], color="0.5", linewidth=1.0, linestyle=(0, (5, 1.5)), label="with L = 1/σ²: rate 1/m")
    kappa.plot([], [], color="0.5", linewidth=1.0, linestyle=(0, (1, 2)), label="R²σ²/(τ⁴m²)")
    for index, name in enumerate(parameters["clouds"]):
        rows = [r for r in table if r["panel"] == "kappa" and r["law"] == name]
        look = {**curve_style(index), "linestyle": "none"}
        kappa.plot([r["m"] for r in rows], [r["kappa"] for r in rows], label=name, **look)
        excess.plot([r["m"] for r in rows], [r["excess"] for r in rows], **look)
    for axes in (kappa, excess):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("m, measurements")
        plain_ticks(axes.xaxis, 1.8, 2200, (1,))
    kappa.set_xlim(1.7, 130)
    plain_ticks(kappa.xaxis, 1.7, 130, (1, 2, 5))
    plain_ticks(kappa.yaxis, 1, 6)
    kappa.set_ylabel("condition number κ")
    kappa.set_title("(a) κ of the m-th law")
    excess.set_yticks([1e-4, 1e-2, 1], ["$10^{-4}$", "$10^{-2}$", "1"])
    excess.set_yticks([], minor=True)
    excess.set_ylabel("κ − 1")
    excess.set_title("(b) rate 1/m²")
    for index, name in enumerate(("one at a time", "one at a time, atoms", "all at once")):
        rows = [r for r in table if r["panel"] == "curvature" and r["law"] == name]
        look = curve_style(index + 4)
        curvature.plot([r["m"] for r in rows], [r["curvature"] for r in rows], label=f"(c) {name}", **look)
    curvature.axhline(0, color="black", linewidth=0.9)
    curvature.set_xscale("log", base=2)
    curvature.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    curvature.set_xlabel("m, measurements")
    curvature.set_ylabel("σ² × least eigenvalue of −Hess log p")
    curvature.set_title(f"(c) σ² = {parameters['joint_sigma2']:g}: log-concave?")
    (left, names), (right, others) = (axes.get_legend_handles_labels() for axes in (kappa, curvature))
    figure.legend([*left, *right], [*names, *others], loc="outside lower center", ncols=4)
    return figure
