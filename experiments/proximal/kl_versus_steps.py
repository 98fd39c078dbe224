"""KL of the output against the number of steps, without Monte-Carlo: schemes, certified budgets, closed bounds.

Setting: Ornstein-Uhlenbeck time, unit rate, T = 6, uniform steps, exact start p_T (so only discretisation is left), targets
N(1, 1/4) and the equal mixture of N(-0.6, 0.4) and N(0.6, 0.4). The laws of the outputs are densities on a quadrature grid.
Three kinds of curve for each scheme of arXiv 2507.08956:

- KL(p_0 | q_0) of the output (marks; ``error`` is the quadrature's estimate);
- budget (dashed): a right-hand side of the KL-derivative inequality with exact integrals and no Lipschitz constant; for the
  backward scheme that of the paper's own argument, for the other two the a-posteriori form given the state, which bounds the
  same marginal KL;
- closed bound (dotted): our explicit constants for the announced rates (d / sqrt(eps) backward, d / eps hybrid), with
  certified L and H, where the step condition g (L + 1/2) <= 1/2 holds. They are our constants, not the paper's, and lie
  orders of magnitude above the truth; those of Euler-Maruyama and the hybrid scheme bound the trajectory KL as well.

The marginal KL falls like N^-2 for all three schemes: the different announced rates are a difference between proofs.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "KL versus N on a line: Euler-Maruyama, hybrid, backward, with budgets and closed bounds"
PAPER = ("2507.08956", "", "own")
PARAMETERS = {
    "targets": {"normal": [[1.0], [1.0], 0.25], "two modes": [[0.5, 0.5], [-0.6, 0.6], 0.4]},
    "T": 6.0,
    "steps": [16, 32, 64, 128, 256, 512, 1024],
    "study_to": 256,
    "posterior_to": 128,
    "schemes": ["euler_maruyama", "proximal_hybrid", "proximal_backward"],
}
QUICK = {"steps": [16, 32, 64, 128]}
SPOT = Spot(
    {"steps": [16]},
    keys=("target", "scheme", "what", "N"),
    rtol={"value": 1e-10, "error": 1.0},
    atol=1e-12,
    cause="rounding of exp and of sums of N steps, 8 eps sqrt(2 N KL), below 1e-13; the error is an estimate of it",
)

LABELS = {"euler_maruyama": "Euler-Maruyama", "proximal_hybrid": "prox, hybrid", "proximal_backward": "prox, backward"}


def compute(parameters, progress):
    """Rows (target, scheme, what, N, value, error): what is kl, budget or closed."""
    import numpy as np

    from exactdiffusion import GaussianMixture, schedules
    from exactdiffusion.output_laws import line as grid
    from exactdiffusion.papers.proximal import budgets
    from exactdiffusion.statements import proximal as bound

    rows, T = [], parameters["T"]
    cells = [(t, s, N) for t in parameters["targets"] for s in parameters["schemes"] for N in parameters["steps"]]
    for target, scheme, N in progress(cells, "KL"):
        weights, means, variance = parameters["targets"][target]
        law = GaussianMixture(weights, np.array(means)[:, np.newaxis], variance)
        diameter = max(means) - min(means)
        L, H = bound.mixture_constants(variance, diameter, T)
        second = float(np.dot(weights, np.square(means))) + variance
        steps = schedules.vp_linear(N, beta_min=T, beta_max=T)

        # the divergence of the output, with an error estimate where a second mesh is affordable
        error, values = None, {}
        if parameters["study_to"] >= N:
            kl = grid.study(law, steps, scheme).divergences.kl
            values["kl"], error = kl.value, kl.error
        else:
            run = grid.propagate(law, steps, scheme)
            values["kl"] = grid.divergences(run.target, run.law).kl

        # its bounds: the budget with exact integrals and the closed one
        if scheme == "proximal_backward":
            values["budget"] = budgets.budget(law, steps).total
        elif parameters["posterior_to"] >= N:
            values["budget"] = budgets.posterior_budget(law, steps, scheme).total
        if scheme == "euler_maruyama":
            values["closed"] = bound.euler_maruyama_trajectory_kl(steps.g, 1, second, L)
        elif steps.g.max() * (L + 0.5) <= 0.5:
            closed = bound.backward_kl if scheme == "proximal_backward" else bound.hybrid_trajectory_kl
            values["closed"] = closed(steps.g, 1, second, L, H)

        # one row per quantity
        rows += [
            {
                "target": target,
                "scheme": scheme,
                "what": what,
                "N": N,
                "value": value,
                "error": error if what == "kl" else None,
            }
            for what, value in values.items()
        ]
    return rows


def draw(table, parameters):
    """One panel per target."""
    import numpy as np

    titles = {"normal": "N(1, 1/4)", "two modes": "½ N(−0.6, 0.4) + ½ N(0.6, 0.4)"}
    figure, panels = new_figure(7.2, 4.2, columns=len(parameters["targets"]), sharey=True, squeeze=False)
    for axes, target in zip(panels[0], parameters["targets"]):
        # the divergence and its two bounds
        for index, scheme in enumerate(parameters["schemes"]):
            look = curve_style(index)
            for what, line in (("kl", "-"), ("budget", (0, (5, 2))), ("closed", (0, (1, 1.5)))):
                curve = [r for r in table if r["target"] == target and r["scheme"] == scheme and r["what"] == what]
                style = {**look, "linestyle": line}
                if what != "kl":
                    style |= {"markersize": 2.5, "linewidth": 1.0}
                axes.plot(
                    [r["N"] for r in curve],
                    [r["value"] for r in curve],
                    label=LABELS[scheme] if what == "kl" else None,
                    **style,
                )

        # a line of slope -2 below the curves
        N = np.array([256, 1024.0])
        base = (
            min(r["value"] for r in table if r["target"] == target and r["what"] == "kl" and r["N"] == N[0])
            if any(r["N"] == 256 for r in table)
            else None
        )
        if base:
            axes.plot(N, 0.4 * base * (N / N[0]) ** -2, color="0.35", linewidth=0.9)
            axes.annotate(
                "slope −2",
                (360, 0.4 * base * (360 / N[0]) ** -2),
                textcoords="offset points",
                xytext=(-40, -9),
                fontsize=7.5,
            )

        # the axes
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(parameters["steps"], [str(n) for n in parameters["steps"]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("N, steps")
        axes.set_title(titles[target])

    # labels and the legend of line styles
    panels[0][0].set_ylabel("KL(p₀ | q₀) and its bounds (nats)")
    left = panels[0][0]
    for line, label in (
        ("-", "KL of the output"),
        ((0, (5, 2)), "budget (exact integrals)"),
        ((0, (1, 1.5)), "closed bound, our constants"),
    ):
        left.plot([], [], color="black", linestyle=line, label=label)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
