"""The coin test: toss a coin between Euler-Maruyama and the backward proximal sampler, and two orders are gained.

Euler-Maruyama with the score at t_k and the backward scheme with the prox at t_{k-1}, both with g = int beta, have opposite
density errors at first order (derived by a weak expansion and measured; not in arXiv 2507.08956). The equal mixture of
their output laws then has KL ~ N^-4 where each has N^-2. Setting as in ``kl_versus_steps``: T = 6, exact start, laws on a
quadrature grid; two modes at +-m with variance v (for the narrow one the
proximal map is not single valued at few steps: J <= 0, no curve there).

Right: what the test is for. A wrong index (prox at t_k instead of t_{k-1}) or a wrong lam (g instead of 2g / (2 - g)) leaves
the rate N^-2 of the scheme alone as it is, and is seen by the coin. Below about 1e-16 the curve is rounding.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "coin test: equal mixture of Euler-Maruyama and backward laws has KL ~ N^-4; planted errors break it"
CAPTION = (
    "A coin tossed between Euler-Maruyama and the backward proximal sampler gains two orders: the equal mixture of "
    "their output laws has KL ~ N⁻⁴ where each has N⁻². Their first-order errors of the density are opposite (derived "
    "by a weak expansion and measured; not in arXiv 2507.08956), so a wrong index (prox at the time t_k before the "
    "step instead of t_{k−1} after it) or a wrong λ (the length g = ∫β of the step instead of 2g/(2 − g)), which "
    "leave each rate alone, are seen by the coin. The laws of the output are exact, T = 6; dashed is a second target, "
    "whose proximal map is not single valued below N = 128."
)
PAPER = ("2507.08956", "", "own")
PARAMETERS = {
    "targets": {"m = 0.6, v = 0.4": [0.6, 0.4], "m = 1, v = 0.25": [1.0, 0.25]},
    "T": 6.0,
    "steps": [32, 64, 128, 256, 512],
    "planted": ["wrong index", "lam = g"],
    "planted_steps": [32, 64, 128, 256, 512],
}
QUICK = {"steps": [32, 64, 128], "planted_steps": [32, 64, 128]}
SPOT = Spot(
    {"steps": [32, 64], "planted_steps": [32]},
    keys=("target", "law", "N"),
    rtol={"kl": 1e-6, "jacobian": 1e-9},
    atol=1e-16,
    cause="KL of the coin is the square of a difference known to 8 eps sqrt(N); the Jacobian is 1 less a few terms",
)


def _planted(name):
    from exactdiffusion.output_laws import line as grid

    if name == "wrong index":
        return lambda start, end, g: grid.SCHEMES["proximal_backward"](start, start, g)

    def same_lambda(start, end, g):
        # prox of -g log p at 2 (Y + sqrt(g) z) / (2 - g): X - g l'(X) = 2 (Y + sqrt(g) z) / (2 - g)
        a = 2 / (2 - g)
        return grid.Implicit(
            lambda x: (x - g * end.score(x), 1 - g * end.curvature(x)),
            lambda x: x * x / 2 - g * end.log_density(x),
            a - 1,
            a * a * g,
        )

    return same_lambda


def compute(parameters, progress):
    """Rows (target, law, N, kl, jacobian); law: the two schemes, coin, planted errors alone and in the coin.

    Where the proximal map is not single valued, kl is empty and ``jacobian`` has the smallest value of J.
    """
    from exactdiffusion import GaussianMixture, schedules
    from exactdiffusion.output_laws import line as grid

    rows, T = [], parameters["T"]
    for number, (target, (m, v)) in enumerate(parameters["targets"].items()):
        law = GaussianMixture([0.5, 0.5], [[-m], [m]], v)
        for N in progress(parameters["steps"], target):
            steps = schedules.vp_linear(N, beta_min=T, beta_max=T)
            try:
                wide = grid.propagate(law, steps, "proximal_backward").law.x
            except grid.AssumptionViolated as problem:
                rows += [
                    {"target": target, "law": name, "N": N, "kl": None, "jacobian": problem.jacobian}
                    for name in ("proximal_backward", "coin")
                ]
                continue
            wide_em = grid.propagate(law, steps, "euler_maruyama").law.x
            low, high = min(wide[0], wide_em[0]), max(wide[-1], wide_em[-1])
            h = min(wide[1] - wide[0], wide_em[1] - wide_em[0])
            nodes = _nodes(low, high, h)

            first, second = (grid.propagate(law, steps, s, nodes=nodes) for s in ("euler_maruyama", "proximal_backward"))
            laws = {
                "euler_maruyama": first.law,
                "proximal_backward": second.law,
                "coin": grid.mixture([first.law, second.law], [0.5, 0.5]),
            }
            if number == 0 and N in parameters["planted_steps"]:
                for name in parameters["planted"]:
                    wrong = grid.propagate(law, steps, _planted(name), nodes=nodes).law
                    laws |= {name: wrong, f"coin, {name}": grid.mixture([first.law, wrong], [0.5, 0.5])}
            rows += [
                {"target": target, "law": name, "N": N, "kl": grid.divergences(first.target, q).kl, "jacobian": None}
                for name, q in laws.items()
            ]
    return rows


def _nodes(low, high, h):
    import math

    import numpy as np

    return np.linspace(low, high, math.ceil((high - low) / h) + 1)


def draw(table, parameters):
    """Left: both targets. Right: the planted errors on the first."""
    import numpy as np

    figure, (left, right) = panels(2, 3.0, sharey=True)
    targets = list(parameters["targets"])

    def curve(axes, target, law, label, style):
        rows = [r for r in table if r["target"] == target and r["law"] == law and r["kl"] is not None]
        axes.plot([r["N"] for r in rows], [r["kl"] for r in rows], label=label, **style)

    # both targets
    laws = (("euler_maruyama", "Euler-Maruyama"), ("proximal_backward", "prox, backward"), ("coin", "coin between the two"))
    for target, line in zip(targets, ("-", (0, (5, 2)))):
        for index, (law, label) in enumerate(laws):
            curve(left, target, law, label if line == "-" else None, {**curve_style(index), "linestyle": line})

    left.plot([], [], color="0.4", linestyle=(0, (5, 2)), label="the second target")

    # the planted errors
    curve(right, targets[0], "coin", None, {**curve_style(2), "linestyle": "-"})
    labels = {"wrong index": "prox at $t_k$", "lam = g": "λ = g"}
    for index, name in ((4, "wrong index"), (6, "lam = g")):
        dotted = {**curve_style(index), "linestyle": (0, (1, 1.5))}
        curve(right, targets[0], name, f"backward with {labels[name]}", dotted)
        curve(right, targets[0], f"coin, {name}", f"coin, {labels[name]}", {**curve_style(index), "linestyle": "-"})

    # lines of slope -2 and -4
    ends = np.array([parameters["steps"][-3], parameters["steps"][-1]], dtype=float)
    for axes in (left, right):
        for slope, shift, factor in ((-2, (2, 4), 12.0 if axes is right else 60.0), (-4, (-24, -16), 0.2)):
            law = "euler_maruyama" if slope == -2 else "coin"
            base = factor * next(r["kl"] for r in table if (r["target"], r["law"], r["N"]) == (targets[0], law, ends[0]))
            axes.plot(ends, base * (ends / ends[0]) ** slope, color="0.35", linewidth=0.9)
            middle = np.sqrt(ends[0] * ends[1])
            at = middle, base * (middle / ends[0]) ** slope
            text = f"slope {slope}".replace("-", "−")
            axes.annotate(text, at, textcoords="offset points", xytext=shift, fontsize=7)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(parameters["steps"], [str(n) for n in parameters["steps"]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("number of steps N")
        axes.set_ylabel("KL of the output (nats)")
        axes.yaxis.set_tick_params(labelleft=True)
    title(left, "each scheme has N⁻², the coin N⁻⁴, on two targets")
    title(right, "a planted error spoils the coin, not the scheme's rate")
    legend_below(figure, 4)
    return figure
