"""Tunnelling: does the minor mode of two Gaussians get its weight, .2? One-at-a-time chains against Langevin walks.

Target: weights .2 and .8, means -+3 (1, ..., 1), unit covariance (arXiv 2305.19473, Section 5.2). Every chain begins at the
same points, N(0, sigma^2 I) with sigma^2 = 9 d - 1, the exact log-concavity threshold: half of them on either side. The
baselines walk on the law itself, steps in units of its variance within a mode; the one-at-a-time chain (OAT) walks on
p(y_t | y_1, ..., y_{t-1}), steps in units of sigma^2, and jumps; its weight after every measurement is drawn. Unadjusted
and underdamped walks decouple exactly into a chain along the axis, which is run, and d - 1 others that do not matter here;
Metropolis-adjusted ones do not and are run in R^d.

Bars: one standard error of the fraction of n chains; the random numbers are the same at every d, so points move together.
The Langevin walks keep the half and half of their start at any budget that can be run (escape times exp(9 d / 2)); OAT
forgets it with its first walk. Step biases: ULA's does not vanish with m.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "tunnelling: weight of the minor mode versus gradient calls and versus d, one-at-a-time chains and Langevin walks"
CAPTION = (
    "One-at-a-time chains give the minor mode its weight .2; from d = 2 on Langevin walks on the law itself stay near "
    "the half and half of their start, at d = 32 at every budget up to 1600 calls. The law is two Gaussians with "
    "weights .2 and .8 at distance 6√d (arXiv 2305.19473, Section 5.2); every chain starts from N(0, σ*² I). Bars are "
    "one standard error. Inner walks are MALA, ULA (whose bias .01 does not vanish) and underdamped Langevin; the "
    "random numbers are the same at every d."
)
PAPER = ("2305.19473", "4", "stand-in")
PARAMETERS = {
    "dims": [1, 2, 4, 8, 32],
    "budget_d": 32,
    "n": 8000,
    "n_mala": 1500,
    "seed": 62,
    "measurements": 20,
    "walks": {
        "ULA": {"inner": 80, "inner_step": 0.1, "step": 0.1},
        "MALA": {"inner": 80, "inner_step": 0.3, "step": 0.1},
        "underdamped": {"inner": 40, "inner_step": 0.5, "friction": 0.5, "step": 0.5},
    },
    "samplers": ["OAT", "Langevin"],
    "parts": ["budget", "dimension"],
    "kept": [1, 2, 3, 4, 6, 9, 13, 20],
    "budgets": [10, 20, 40, 80, 160, 320, 640, 1600],
    "baseline_budget": 1600,
}
QUICK = {"dims": [1, 8, 32], "n": 1500, "n_mala": 300, "budgets": [20, 80, 320], "baseline_budget": 320, "measurements": 10}
SPOT = Spot(
    {
        "parts": ["dimension"],
        "dims": [8],
        "walks": {"underdamped": {"inner": 40, "inner_step": 0.5, "friction": 0.5, "step": 0.5}},
    },
    keys=("part", "sampler", "walk", "d", "calls"),
    rtol={"weight": 2e-4, "error": 1e-3},
    cause="one chain in 8000 whose output lies within rounding of the middle",
)

W = 0.2


def compute(parameters, progress):
    """Rows (part, sampler, walk, d, calls, weight, error): calls are gradient calls per chain, error the standard error."""
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, Noise
    from exactdiffusion.papers.log_concavity.walk_jump import MALA, ULA, Underdamped, langevin, one_at_a_time
    from exactdiffusion.statements import log_concavity_thresholds as bound

    rows, seed = [], parameters["seed"]

    def walk_of(name, steps, step):
        if name == "underdamped":
            return Underdamped(steps, step, parameters["walks"][name]["friction"])
        return {"ULA": ULA, "MALA": MALA}[name](steps, step)

    def put(part, sampler, name, d, calls, samples):
        weight = float(np.mean(np.sum(samples, axis=1) < 0))
        rows.append(
            {
                "part": part,
                "sampler": sampler,
                "walk": name,
                "d": d,
                "calls": calls,
                "weight": weight,
                "error": math.sqrt(max(weight * (1 - weight), 1 / len(samples)) / len(samples)),
            }
        )

    cells = []
    for part in parameters["parts"]:
        for d in [parameters["budget_d"]] if part == "budget" else parameters["dims"]:
            for sampler in parameters["samplers"]:
                for name in parameters["walks"]:
                    if sampler == "OAT":
                        cells.append((part, sampler, name, d, None))
                    else:
                        cells += [
                            (part, sampler, name, d, calls)
                            for calls in (parameters["budgets"] if part == "budget" else [parameters["baseline_budget"]])
                        ]
    for part, sampler, name, d, calls in progress(cells, "tunnelling"):
        R, q = float(bound.decoupled_radius(d)), parameters["walks"][name]
        sigma = math.sqrt(bound.radius_threshold(R, 1.0))
        full = name == "MALA"
        mean = np.full(d, 3.0) if full else np.array([R])
        law, n = GaussianMixture([W, 1 - W], np.stack([-mean, mean]), 1.0), parameters["n_mala" if full else "n"]
        if sampler == "OAT":
            walk = walk_of(name, q["inner"], q["inner_step"])
            for state in one_at_a_time(law, parameters["measurements"], sigma, n, noise=Noise(seed), walk=walk):
                if state.t == parameters["measurements"] or (part == "budget" and state.t in parameters["kept"]):
                    put(part, sampler, name, d, state.t * q["inner"], state.xhat)
        else:
            start = sigma * Noise(seed).normal(0, n, law.dim)  # the very start of the chain's first walk
            put(
                part,
                sampler,
                name,
                d,
                calls,
                langevin(law, start, noise=Noise(seed + 1), walk=walk_of(name, calls, q["step"])),
            )
    return rows


def draw(table, parameters):
    """Left: against the budget at the largest d. Right: against d at the full budget."""
    figure, (left, right) = panels(2, 2.8, sharey=True)
    names = {"OAT": "one at a time", "Langevin": "Langevin on the law"}
    for axes, part, x in ((left, "budget", "calls"), (right, "dimension", "d")):
        # every sampler with every inner walk
        for s, sampler in enumerate(parameters["samplers"]):
            for k, name in enumerate(parameters["walks"]):
                rows = [r for r in table if r["part"] == part and r["sampler"] == sampler and r["walk"] == name]
                shift = 1.0 if part == "budget" else 1 + 0.05 * (k - 1)
                axes.errorbar(
                    [r[x] * shift for r in rows],
                    [r["weight"] for r in rows],
                    yerr=[r["error"] for r in rows],
                    elinewidth=0.8,
                    capsize=1.5,
                    label=f"{names[sampler]}, {name}",
                    **curve_style(3 * s + k),
                )
        axes.axhline(W, color="0.35", linewidth=0.9)
        axes.annotate(
            "truth: .2",
            (0.99, W),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, -9),
            textcoords="offset points",
            ha="right",
            fontsize=7,
        )
        axes.set_xscale("log")
        axes.set_ylabel("weight of the minor mode")
        axes.yaxis.set_tick_params(labelleft=True)

    # the axes
    left.set_ylim(0, 0.6)
    left.set_xlabel("gradient calls per chain")
    title(left, f"d = {parameters['budget_d']}: more calls do not help Langevin")
    right.set_xlabel("dimension d")
    inner = {q["inner"] * parameters["measurements"] for q in parameters["walks"].values()}
    calls = f"{min(inner)} to {max(inner)} calls"
    title(
        right,
        f"Langevin ({parameters['baseline_budget']} calls) comes near at d = 1 alone; one at a time ({calls}) at every d",
    )
    plain_ticks(right.xaxis, min(parameters["dims"]), max(parameters["dims"]), bases=(1, 2, 4, 8))
    right.set_xticks(parameters["dims"], [str(d) for d in parameters["dims"]])
    plain_ticks(left.xaxis, min(parameters["budgets"]), parameters["baseline_budget"])
    legend_below(figure, 3)
    return figure
