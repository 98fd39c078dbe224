"""Steps versus Wasserstein distance on the dino, for every sampler that asks for denoisers, at its default parameters.

Target: 142 equally weighted atoms in the plane, so the W2 of the 1000 samples is exact (each value has a dual certificate).
All samplers run on the VP-linear schedule, uniform in time from 1 to 0, from the same Gaussian start. The horizontal axis
counts denoiser calls, which for Heun is 2 N - 1. The grey band is what 1000 independent draws of the target itself
score, mean and central 90 % of 200 runs: half of all perfect runs lie below its middle, and inside it this measurement tells
no sampler from a perfect one.

Neighbour in the literature: Fig. 1 of Fang et al. (arXiv 2507.08956), whose Euler-Maruyama takes steps beta(t) dt instead of
the integral of beta and whose probability flow stops at t = 0.001; ``exactdiffusion sweep --sampler
euler_maruyama:step=right`` gives that curve.
"""

from pathlib import Path

from exactdiffusion.studies import sweepfile
from exactdiffusion.studies.figures import Spot, curve_style, exact_draws_band, legend_below, panels, plain_ticks, title

SUMMARY = "number of steps versus W2 on the dino for eight samplers, with what exact draws score and intervals"
CAPTION = (
    "At five denoiser calls gradient estimation has little more than half the error of the next best sampler; at N = "
    "80 all eight score what exact draws do, so that W2 of samples cannot show what more steps gain. Drawn is every "
    "sampler that asks for denoisers alone, at its default parameters, on the dino with exact denoisers: VP linear "
    "schedule, 1000 samples, mean of 8 seeds with 95 % intervals. Grey is the score of exact draws of the target, "
    "mean and central 90 %. Heun takes 2N − 1 calls. The share of exact draws within the grey band is known to within "
    "2 per cent."
)
PAPER = ("", "", "own")
# The sweep is the file beside this one: ``exactdiffusion sweep experiments/explore/steps_versus_w2.toml`` runs it alone.
_GRID = sweepfile.read(Path(__file__).with_suffix(".toml")).grids[0]
PARAMETERS = {
    "samplers": _GRID["sampler"],
    "target": _GRID["target"],
    "schedule": _GRID["schedule"],
    "steps": _GRID["steps"],
    "seeds": _GRID["seeds"],
    "samples": _GRID["samples"],
    "exact_draws": 200,
    "level": 0.95,
}
QUICK = {"steps": [5, 10, 20, 40], "seeds": [0, 1, 2], "exact_draws": 20}
SPOT = Spot(
    {"steps": [5, 10], "seeds": [0], "exact_draws": 2},
    keys=("sampler", "steps", "seed"),
    rtol={"w2": 1e-8, "lower": 1e-8},
    cause="last bits of BLAS and exp differ between processors and grow along a trajectory",
)

EXACT = "exact draws"


def compute(parameters, progress):
    """One row per sampler, number of steps and seed; then one per run of exact draws."""
    import os

    import numpy as np

    from exactdiffusion import distances
    from exactdiffusion.studies import sweep

    result = sweep.sweep(
        target=parameters["target"],
        sampler=parameters["samplers"],
        schedule=parameters["schedule"],
        steps=parameters["steps"],
        seeds=parameters["seeds"],
        samples=parameters["samples"],
        jobs=min(4, os.cpu_count() or 1),
        exact_draws=0,
    )
    rows = [
        {
            "sampler": r["sampler"],
            "steps": r["steps"],
            "seed": r["seed"],
            "oracle_calls": r["oracle_calls"],
            "w2": r["value"],
            "lower": r["lower"],
        }
        for r in result.rows
    ]
    law = sweep.law_of(parameters["target"])
    drawn = distances.exact_draws(
        law,
        parameters["samples"],
        law.points,
        weights=law.weights,
        repeats=parameters["exact_draws"],
        rng=np.random.default_rng(0),
    )
    rows += [
        {"sampler": EXACT, "steps": 0, "seed": k, "oracle_calls": 0, "w2": value, "lower": None}
        for k, value in enumerate(drawn.values)
    ]
    return rows


def draw(table, parameters):
    """Mean over seeds with the t interval of the mean; exact draws as mean and central 90 %."""
    import numpy as np

    from exactdiffusion.distances.rates import t_interval

    figure, axes = panels(1, 3.5)
    names = list(dict.fromkeys(row["sampler"] for row in table if row["sampler"] != EXACT))
    for index, name in enumerate(names):
        points = []
        for steps in parameters["steps"]:
            cells = [row for row in table if row["sampler"] == name and row["steps"] == steps]
            mean, low, high, _ = t_interval([cell["w2"] for cell in cells], parameters["level"])
            points.append((cells[0]["oracle_calls"], mean, mean - low, high - mean))
        calls, mean, below, above = np.array(points).T
        # An interval that reaches 0 has no lower end on a logarithmic axis: it is cut at 1 % of the mean.
        bars = {"yerr": [np.minimum(below, 0.99 * mean), above], "capsize": 1.5, "elinewidth": 0.7}
        axes.errorbar(calls, mean, **bars, label=name.replace("_", " "), **curve_style(index))
    drawn = [row["w2"] for row in table if row["sampler"] == EXACT]
    exact_draws_band(axes, drawn)

    # the axes
    axes.set_xscale("log")
    axes.set_yscale("log")
    most = max(row["oracle_calls"] for row in table)
    axes.set_xticks(ticks := [n for n in (5, 10, 20, 40, 80, 160) if n <= 1.05 * most], [str(n) for n in ticks])
    axes.set_xticks([], minor=True)
    plain_ticks(axes.yaxis, *axes.get_ylim())
    axes.set_xlabel("denoiser calls (N; Heun 2N − 1)")
    axes.set_ylabel(f"W₂ to the {parameters['target']} (data units)")
    title(axes, "gradient estimation is best at few calls; at N = 80 all score what exact draws do")
    legend_below(figure, 4)
    return figure
