"""What ``exactdiffusion plot`` makes of a small sweep: four samplers on the dino, two metrics.

Left: W2 to the 142 atoms with what as many exact draws score (mean and central 90 %), and for each curve the lower bound
that the distance to the support gives. Right: that distance. The band around a curve bounds the median over the seeds.
"""

from exactdiffusion.studies.figures import Spot

SUMMARY = "a sweep as `exactdiffusion plot` draws it: W2 and distance to the support on the dino, four samplers"
CAPTION = (
    "What exactdiffusion plot makes of a small sweep: four samplers on the dino, W2 and distance to the support "
    "against the number of steps, with bands over the seeds, the score of exact draws, and the bounds of theorems "
    "that hold there. Gradient estimation leads at few steps; on the distance all but Euler-Maruyama agree."
)
PAPER = ("", "", "own")
PARAMETERS = {
    "target": "dino",
    "sampler": ["ddim", "heun", "gradient_estimation", "euler_maruyama"],
    "schedule": "vp_linear",
    "steps": [5, 10, 20, 40, 80],
    "seeds": [0, 1, 2, 3, 4, 5],
    "samples": 1000,
    "metric": ["w2", "distance"],
}
QUICK = {"steps": [5, 10, 20], "seeds": [0, 1], "samples": 200}
SPOT = Spot(
    {"steps": [5, 10], "seeds": [0]},
    keys=("sampler", "steps", "seed", "metric"),
    rtol={
        "value": 1e-8,
        "lower": 1e-8,
        "upper": 1e-8,
        "bound": 1e-6,
        "exact_draws": 1e-8,
        "exact_draws_low": 1e-8,
        "exact_draws_high": 1e-8,
    },
    cause="last bits of BLAS and exp differ between processors and grow along a trajectory; the bound of DDIM "
    "multiplies the errors measured in each step",
)

COLUMNS = (
    "target",
    "sampler",
    "schedule",
    "steps",
    "seed",
    "samples",
    "start",
    "metric",
    "value",
    "lower",
    "upper",
    "oracle_calls",
    "exact_draws",
    "exact_draws_low",
    "exact_draws_high",
    "exact_draws_runs",
    "bound",
    "statement",
    "bound_kind",
    "vacuous",
)


def compute(parameters, progress):
    """The table of the sweep, without the columns that the drawing does not read."""
    import os

    from exactdiffusion.studies import sweep

    rows = sweep.sweep(**parameters, jobs=min(4, os.cpu_count() or 1)).rows
    return [{name: row[name] for name in COLUMNS} for row in rows]


def draw(table, parameters):
    """The figure of ``exactdiffusion plot``."""
    from exactdiffusion.studies import plot, results

    return plot.draw(results.curves([{**dict.fromkeys(results.COLUMNS), **row} for row in table]))
