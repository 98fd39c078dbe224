"""What ``exactdiffusion plot`` makes of a small sweep: four samplers on the dino, two metrics.

Left: W2 to the 142 atoms with what as many exact draws score (mean and central 90 %), and for each curve the lower bound
that the distance to the support gives. Right: that distance. The band around a curve bounds the median over the seeds.
"""

from exactdiffusion.studies.figures import Spot

SUMMARY = "a sweep as `exactdiffusion plot` draws it: W2 and distance to the support on the dino, four samplers"
CAPTION = (
    "Up to ten steps gradient estimation is nearest to the dino in W2, and at 80 steps none of the four samplers can "
    "be told from exact draws; Euler-Maruyama stays furthest from the support. The picture is what exactdiffusion "
    "plot makes of a small sweep, with the findings as titles: medians of 6 seeds with bands that bound them, and the "
    "score of exact draws. Left, dotted: the distance to the support, a lower bound on W2 to every law on it. Right: "
    "DDIM's a-posteriori upper bound on this distance is above the diameter of the data at every number of steps and "
    "is not drawn."
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

    # a vacuous bound says nothing: the caption names it, the panel leaves it out
    unbounded = {"bound": None, "statement": None, "bound_kind": None, "vacuous": None}
    rows = [{**dict.fromkeys(results.COLUMNS), **row, **(unbounded if row["vacuous"] else {})} for row in table]
    figure = plot.draw(results.curves(rows))

    # the findings as titles, and the theorem in words
    findings = (
        "gradient estimation leads up to N = 10; at N = 80 all are in the band",
        "Euler-Maruyama stays furthest away",
    )
    for axes, finding in zip(figure.axes, findings):
        axes.set_title(finding, loc="left")
        for text in axes.get_legend().get_texts():
            text.set_text(
                text.get_text().replace(
                    "bound of projection/squared_w2_to_laws_on_set", "bound: the distance to the support"
                )
            )
    return figure
