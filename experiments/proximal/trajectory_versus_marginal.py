"""Trajectory KL against marginal KL: the rate that a proof sees and the rate of the output.

Target: equal mixture of N(-0.6, 0.4) and N(0.6, 0.4), Ornstein-Uhlenbeck time, T = 6, uniform steps, exact start.
Left: KL of whole trajectories, true reverse chain against sampler, falls like 1/N for every stochastic scheme, KL of the
outputs like 1/N^2. Path arguments (Girsanov, data processing) bound the first. Right: the trajectory KL over its leading
term ``(g/4) int E (c + l'')^2 dt`` with c = 1/2 (Euler-Maruyama and backward), -1/2 (hybrid), 1 (ancestral DDPM).

"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "trajectory KL (1/N) against marginal KL (1/N^2), and the leading constant of the former"
CAPTION = (
    "KL of whole trajectories falls like 1/N, KL of the outputs like 1/N²: arguments on path space (Girsanov, data "
    "processing) see the first. The target is the equal mixture of N(−.6, .4) and N(.6, .4), Ornstein-Uhlenbeck time, "
    "T = 6, uniform steps, exact start, exact laws. Right: the trajectory KL over its leading term (g/4) ∫ E(c + "
    "l'')² dt, where g = T/N is the step, l the log-density of the noised law and c = 1/2 for Euler-Maruyama and "
    "backward, −1/2 for hybrid, 1 for the ancestral sampler (DDPM): the constant is right."
)
PAPER = ("2507.08956", "", "own")
PARAMETERS = {
    "weights": [0.5, 0.5],
    "means": [-0.6, 0.6],
    "variance": 0.4,
    "T": 6.0,
    "steps": [16, 32, 64, 128, 256, 512],
    "schemes": ["euler_maruyama", "proximal_hybrid", "proximal_backward", "ddpm"],
}
QUICK = {"steps": [16, 32, 64]}
SPOT = Spot(
    {"steps": [16, 32]},
    keys=("scheme", "N"),
    rtol={k: 1e-9 for k in ("marginal", "trajectory", "leading")},
    cause="rounding of exp and of sums of N steps",
)

LABELS = {
    "euler_maruyama": "Euler-Maruyama",
    "proximal_hybrid": "prox, hybrid",
    "proximal_backward": "prox, backward",
    "ddpm": "DDPM, variance 1 − exp(−g)",
}


def compute(parameters, progress):
    """Rows (scheme, N, marginal, trajectory, leading)."""
    import numpy as np

    from exactdiffusion import GaussianMixture, schedules
    from exactdiffusion.output_laws import line
    from exactdiffusion.papers.proximal import budgets
    from exactdiffusion.statements import proximal as bound

    law = GaussianMixture(parameters["weights"], np.array(parameters["means"])[:, np.newaxis], parameters["variance"])
    T, rows = parameters["T"], []
    for scheme in parameters["schemes"]:
        options = bound.OPTIONS.get(scheme, {})  # the ancestral sampler with the large variance
        integral = budgets.curvature_integral(law, T, bound.TRAJECTORY_SHIFT[scheme])

        # the law of the output and the budget of the trajectory, step count by step count
        for N in progress(parameters["steps"], scheme):
            steps = schedules.vp_linear(N, beta_min=T, beta_max=T)
            run = line.propagate(law, steps, scheme, **options)
            rows.append(
                {
                    "scheme": scheme,
                    "N": N,
                    "marginal": line.divergences(run.target, run.law).kl,
                    "trajectory": budgets.trajectory_kl(law, steps, scheme, **options).total,
                    "leading": bound.trajectory_leading(T / N, integral),
                }
            )
    return rows


def draw(table, parameters):
    """Left: both divergences. Right: trajectory KL over its leading term."""
    import numpy as np

    figure, (both, ratio) = panels(2, 2.9)

    # both divergences, and the ratio of one of them to its leading term
    for index, scheme in enumerate(parameters["schemes"]):
        rows = [r for r in table if r["scheme"] == scheme]
        N = [r["N"] for r in rows]
        look = curve_style(index)
        both.plot(N, [r["trajectory"] for r in rows], **{**look, "linestyle": (0, (5, 2))})
        both.plot(N, [r["marginal"] for r in rows], label=LABELS[scheme], **{**look, "linestyle": "-"})
        ratio.plot(N, [r["trajectory"] / r["leading"] for r in rows], **look)
    both.plot([], [], color="0.3", linestyle=(0, (5, 2)), label="of the whole trajectory")
    both.plot([], [], color="0.3", linestyle="-", label="of the output")

    # lines of slope -1 and -2
    ends = np.array([parameters["steps"][-3], parameters["steps"][-1]], dtype=float)
    for value, slope, text in (("trajectory", -1, "slope −1"), ("marginal", -2, "slope −2")):
        pick = max if value == "trajectory" else min
        base = pick(r[value] for r in table if r["N"] == ends[0]) * (1.7 if value == "trajectory" else 0.5)
        both.plot(ends, base * (ends / ends[0]) ** slope, color="0.35", linewidth=0.9)
        middle = np.sqrt(ends[0] * ends[1])
        at, shift = (middle, base * (middle / ends[0]) ** slope), (2, 4) if value == "trajectory" else (-38, -8)
        both.annotate(text, at, textcoords="offset points", xytext=shift, fontsize=7)

    # the axes
    both.set_yscale("log")
    both.set_ylabel("KL (nats)")
    title(both, "trajectories: 1/N; outputs: 1/N²")
    ratio.axhline(1, color="0.35", linewidth=0.9)
    ratio.set_ylabel("trajectory KL / leading term")
    title(ratio, "the leading term is right for every scheme")
    for axes in (both, ratio):
        axes.set_xscale("log", base=2)
        axes.set_xticks(parameters["steps"], [str(n) for n in parameters["steps"]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("number of steps N")
    legend_below(figure, 3)
    return figure
