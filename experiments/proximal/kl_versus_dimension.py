"""KL of the output per dimension on targets that are not products: isotropic scale mixtures, exact laws of the radius.

Target: equal mixture of N(0, v_1 I_d) and N(0, v_2 I_d); Ornstein-Uhlenbeck time, T = 4, N = 64 uniform steps, exact start.
Left: v = 0.8 (1 -+ 0.9 / sqrt(d)), whose curvature stays bounded as d grows: KL/d becomes constant, so KL is linear in d and
the steps for a given KL grow like sqrt(d), for all three schemes. The announced d / sqrt(eps) and d / eps of arXiv
2507.08956 are upper bounds in d; their power of d is not attained here. Dotted: N(0, 0.8 I_d), a product. Right: v = 0.5,
1.5 for all d. The curvature grows with d and KL/d rises at first; then the proximal map of a step is no longer single valued
(J <= 0): the grey band. Nothing is claimed there.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "KL per dimension against the dimension on radial targets, and where the proximal map stops being single valued"
CAPTION = (
    "Where the curvature of the target stays bounded, KL of the output is linear in the dimension for all three "
    "schemes: the powers of d in the announced rates of arXiv 2507.08956 are not attained here. The targets are "
    "isotropic scale mixtures ½ N(0, v₁ I) + ½ N(0, v₂ I), with the exact law of the radius, T = 4, N = 64, exact "
    "start. Left: v = .8 (1 ∓ .9/√d); dotted: the product N(0, .8 I), where Euler-Maruyama and backward agree. Right: "
    "v = .5 and 1.5; the curvature grows with d, and at d = 64 the proximal map of a step has several values: no law "
    "of the proximal outputs is claimed there, while the law of Euler-Maruyama has a smaller KL/d."
)
PAPER = ("2507.08956", "", "own")
PARAMETERS = {
    "T": 4.0,
    "N": 64,
    "schemes": ["euler_maruyama", "proximal_hybrid", "proximal_backward"],
    "bounded": [2, 4, 8, 16, 32, 64, 128],
    "fixed": [2, 4, 8, 16, 32, 64],
    "spread": 0.9,
    "centre": 0.8,
    "variances": [0.5, 1.5],
}
QUICK = {"bounded": [2, 8, 32], "fixed": [2, 8, 32]}
SPOT = Spot(
    {"bounded": [8], "fixed": []},
    keys=("target", "scheme", "d"),
    rtol={"kl_per_d": 1e-7, "jacobian": 1e-7},
    cause="Bessel functions of other SciPy builds; KL near 1e-3 from laws known to 1e-11",
)

LABELS = {"euler_maruyama": "Euler-Maruyama", "proximal_hybrid": "prox, hybrid", "proximal_backward": "prox, backward"}


def compute(parameters, progress):
    """Rows (target, scheme, d, kl_per_d, jacobian): kl_per_d is empty and jacobian <= 0 where the assumption fails."""
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, distances, output_laws, schedules
    from exactdiffusion.output_laws import line, radial

    T, N, rows = parameters["T"], parameters["N"], []
    steps = schedules.vp_linear(N, beta_min=T, beta_max=T)
    for target in ("bounded", "fixed"):
        for d in progress(parameters[target], target):
            spread = parameters["spread"] / math.sqrt(d)
            v = parameters["centre"] * np.array([1 - spread, 1 + spread]) if target == "bounded" else parameters["variances"]
            law = GaussianMixture([0.5, 0.5], np.zeros((2, d)), v)
            for scheme in parameters["schemes"]:
                row = {"target": target, "scheme": scheme, "d": d, "kl_per_d": None, "jacobian": None}
                try:
                    run = radial.propagate(law, steps, scheme)
                    row["kl_per_d"] = line.divergences(run.target, run.law).kl / d
                except line.AssumptionViolated as problem:
                    row["jacobian"] = problem.jacobian
                rows.append(row)
    for scheme in parameters["schemes"]:
        v, a = parameters["centre"], steps.scale[0] ** 2
        start = a * v + 1 - a
        name = scheme.replace("prox_", "proximal_")
        out = output_laws.gaussian(name, np.zeros(1), v, steps, np.zeros(1), start)
        kl = float(distances.gaussian_kl(np.zeros(1), np.array([[v]]), out.mean, out.cov))
        rows.append({"target": "product", "scheme": scheme, "d": 1, "kl_per_d": kl, "jacobian": None})
    return rows


def draw(table, parameters):
    """KL/d against d, for both kinds of target."""
    figure, both = panels(2, 2.9)
    for axes, target in zip(both, ("bounded", "fixed")):
        rows = [r for r in table if r["target"] == target]
        for index, scheme in enumerate(parameters["schemes"]):
            look = curve_style(index)
            curve = [r for r in rows if r["scheme"] == scheme and r["kl_per_d"] is not None]
            axes.plot([r["d"] for r in curve], [r["kl_per_d"] for r in curve], label=LABELS[scheme], **look)
            if target == "bounded":
                product = next(r["kl_per_d"] for r in table if r["target"] == "product" and r["scheme"] == scheme)
                axes.axhline(product, color="0.3", linewidth=0.9, linestyle=(0, (1, 2)))

        # where a proximal map has several values
        failed = sorted({r["d"] for r in rows if r["kl_per_d"] is None})
        if failed:
            axes.axvspan(failed[0] / 1.3, failed[-1] * 1.3, color="0.92", zorder=0)
            text = "grey: the prox has\nseveral values"
            axes.annotate(
                text, (failed[0] / 1.4, 0.97), xycoords=axes.get_xaxis_transform(), va="top", ha="right", fontsize=7
            )

        # the axes
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylim(1e-4, 2.5e-3)
        axes.set_xticks(parameters[target], [str(d) for d in parameters[target]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("dimension d")
        axes.set_ylabel("KL of the output / d (nats)")
        plain_ticks(axes.yaxis, 1e-4, 2.5e-3)
    both[0].plot([], [], color="0.3", linewidth=0.9, linestyle=(0, (1, 2)), label="a product, N(0, 0.8 I)")
    title(both[0], "bounded curvature: KL/d becomes constant")
    title(both[1], "growing curvature: KL/d grows up to d = 32")
    legend_below(figure, 4)
    return figure
