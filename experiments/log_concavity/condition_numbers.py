"""Condition numbers of the laws that an inner walk meets, Gaussian X: all measurements at once, or one at a time.

X ~ N(0, diag(.01, 1)), Y_t = X + sigma N_t. Marks: extreme eigenvalues of the library's Hessians, of log p(y_1, ..., y_m) on
R^(2m) and of log p(y_m | y_1, ..., y_{m-1}). Lines: the closed forms (Props. 3 and 4 of arXiv 2305.19473).

Left: all at once the condition number grows like m, one at a time it tends to 1. Right: one at a time, distance to 1: below
1/(m - 1 + sigma^2/tau_max^2), attained for tau_min = 0; once m passes sigma^2/tau_min^2 the decay is 1/m^2, with the
constant sigma^2 (1/tau_min^2 - 1/tau_max^2). The table also has a sweep over sigma: with more noise both tend to 1, all at
once from m tau_max^2/sigma^2. One at a time, m >= 2, the condition number tends to 1 at both ends and is largest in between.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "condition numbers of Gaussian measurements, all at once against one at a time, versus m and sigma"
CAPTION = (
    "Sampling all measurements at once meets a condition number that grows like m, sampling them one at a time one "
    "that falls to 1. The law is X ~ N(0, diag(.01, 1)) with Y_t = X + σ N_t (Props. 3 and 4 of arXiv 2305.19473). "
    "Marks are eigenvalues of the Hessians, lines are closed forms. Right: the distance to 1 stays below 1/(m − 1 + "
    "σ²), which a flat law attains (crosses), and decays like 1/m² once m passes 100 σ². The table also has the sweep "
    "over σ."
)
PAPER = ("2305.19473", "", "stand-in")
PARAMETERS = {
    "tau2": [0.01, 1.0],
    "flat": [0.0, 1.0],
    "sigmas": [0.5, 1.0, 4.0],
    "joint": [1, 2, 4, 8, 16, 32, 64, 128],
    "m": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
    "sweep_m": [1, 2, 8],
    "sweep_sigmas": [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0],
}
QUICK = {"joint": [1, 2, 4, 8], "m": [1, 2, 8, 32, 128]}
SPOT = Spot(
    {"joint": [1, 2, 8, 32]},
    keys=("panel", "method", "sigma", "m"),
    rtol={"kappa": 1e-10, "excess": 1e-9, "formula": 1e-13, "bound": 1e-13},
    cause="eigenvalues of other LAPACK builds: 64 eps kappa, and one power of kappa less for kappa - 1",
)


def compute(parameters, progress):
    """Rows (panel, method, sigma, m, kappa, excess, formula, bound): kappa from Hessians, excess = kappa - 1.

    The excess is (largest - smallest)/smallest eigenvalue, which does not cancel for one measurement at a time.
    """
    import numpy as np

    from exactdiffusion import GaussianMixture
    from exactdiffusion.papers.log_concavity.measurements import conditional_hessian, joint_hessian
    from exactdiffusion.statements import log_concavity_thresholds as bounds

    q, rows = parameters, []

    def put(panel, law, tau2, method, sigma, m):
        if method == "all at once":
            hessian = joint_hessian(law, np.zeros((1, m, 2)), sigma)
            formula, bound = bounds.all_at_once_condition(m, sigma**2, tau2), None
        else:
            hessian = conditional_hessian(law, np.zeros((1, 2)), np.zeros((1, 2)), m - 1, sigma)
            formula = float(bounds.one_at_a_time_condition(m, sigma**2, tau2))
            bound = 1 + 1 / (m - 1 + sigma**2 / max(tau2))
        eig = np.linalg.eigvalsh(-hessian[0])
        rows.append(
            {
                "panel": panel,
                "method": method,
                "sigma": sigma,
                "m": m,
                "kappa": float(eig[-1] / eig[0]),
                "excess": float((eig[-1] - eig[0]) / eig[0]),
                "formula": float(formula),
                "bound": bound,
            }
        )

    for panel, tau2 in (("ellipse", q["tau2"]), ("flat", q["flat"])):
        law = GaussianMixture(None, np.zeros((1, 2)), np.array([tau2]))
        for sigma in progress(q["sigmas"], panel):
            for m in q["m"]:
                put(panel, law, tau2, "one at a time", sigma, m)
            if panel == "ellipse":
                for m in q["joint"]:
                    put(panel, law, tau2, "all at once", sigma, m)
    law = GaussianMixture(None, np.zeros((1, 2)), np.array([q["tau2"]]))
    for sigma in q["sweep_sigmas"]:
        for m in q["sweep_m"]:
            for method in ("all at once", "one at a time"):
                put("sweep", law, q["tau2"], method, sigma, m)
    return rows


def draw(table, parameters):
    """Left: kappa against m, both ways. Right: kappa - 1, one at a time."""
    import numpy as np

    from exactdiffusion.statements import log_concavity_thresholds as bounds

    figure, (both, decay) = panels(2, 2.9)
    tau2 = parameters["tau2"]

    def get(**values):
        return [r for r in table if all(r[k] == v for k, v in values.items())]

    # marks: eigenvalues; lines: closed forms
    t = np.unique(np.geomspace(1, parameters["m"][-1], 200).round())
    for index, sigma in enumerate(parameters["sigmas"]):
        look = curve_style(index)
        marks = {k: look[k] for k in ("color", "marker", "markerfacecolor")} | {"linestyle": "none"}
        line = {k: look[k] for k in ("color", "linestyle")}
        for method in ("all at once", "one at a time"):
            rows = get(panel="ellipse", method=method, sigma=sigma)
            both.plot([r["m"] for r in rows], [r["kappa"] for r in rows], **marks)
            both.plot([r["m"] for r in rows], [r["formula"] for r in rows], **line)
        rows = get(panel="ellipse", method="one at a time", sigma=sigma)
        decay.plot([r["m"] for r in rows], [r["excess"] for r in rows], **marks)
        decay.plot(t, bounds.one_at_a_time_condition(t, sigma**2, tau2) - 1, **line)
        decay.plot(t, 1 / (t - 1 + sigma**2 / max(tau2)), color=look["color"], linewidth=0.8, linestyle=(0, (1, 2)))
        both.plot([], [], label=f"σ = {sigma:g}", **look)
        rows = get(panel="flat", method="one at a time", sigma=sigma)
        decay.plot([r["m"] for r in rows], [r["excess"] for r in rows], "x", color=look["color"], markersize=3.5)
    both.plot([], [], color="0.3", linewidth=0.8, linestyle=(0, (1, 2)), label="bound")
    both.plot([], [], "x", color="0.3", markersize=3.5, label="flat law: attains it")
    both.annotate("all at once", (30, 500), fontsize=7, ha="right")
    both.annotate("one at a time", (400, 1.3), fontsize=7, ha="center")

    # the axes
    for axes in (both, decay):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks([1, 8, 64, 512, 4096], ["1", "8", "64", "512", "4096"])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("number of measurements m")
    plain_ticks(both.yaxis, 1, 1000, (1,))
    both.set_ylabel("condition number κ")
    title(both, "all at once: like m; one at a time: to 1")
    decay.set_yticks([1e-6, 1e-4, 1e-2, 1], ["$10^{-6}$", "$10^{-4}$", "$10^{-2}$", "1"])
    decay.set_yticks([], minor=True)
    decay.set_ylabel("κ − 1, one at a time")
    title(decay, "below the bound 1/m, in the end like 1/m²")
    legend_below(figure, 5)
    return figure
