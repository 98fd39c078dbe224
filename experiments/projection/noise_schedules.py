"""The four noise schedules of Permenter & Yuan, Fig. 5, for N = 10 steps.

All four take their levels from the 1000 training times of the linear DDPM betas; they differ in where they start and how
they space the steps. "Linear" is the paper's own: constant relative steps, the case of Theorem 4.3, with the last step to
training time 0 appended. The right panel shows the relative steps 1 - sigma_{i+1} / sigma_i that the theory speaks of:
constant for "Linear" up to the rounding to training times, except for that appended step.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "noise schedules DDIM, DDIM offset, EDM, Linear for N = 10 (Permenter & Yuan, Fig. 5)"
CAPTION = (
    "Four schedules of ten steps are drawn, of which only Linear, the paper's own, has constant relative steps, the "
    "case of Theorem 4.3, up to the step to training time 0 that is appended to all but EDM and is by far the "
    "longest. The figure is Fig. 5 of arXiv 2306.04848 with its exact knots; all levels are taken from the 1000 "
    "training times of the linear DDPM betas. Right: the relative steps that the theory speaks of."
)
PAPER = ("2306.04848", "5", "present")
PARAMETERS = {"steps": 10, "schedules": ["ddim", "ddim_offset", "edm", "linear"]}
QUICK = {}
SPOT = Spot(
    {},
    keys=("schedule", "i"),
    rtol={"sigma": 1e-12, "log_sigma": 1e-12, "relative_step": 1e-11},
    cause="cumulative sums, exp and log of 1000 terms round differently between math libraries",
)

_LABELS = {"ddim": "DDIM", "ddim_offset": "DDIM offset", "edm": "EDM", "linear": "Linear (in log σ)"}


def compute(parameters, progress):
    """One row per schedule and level: training time t, sigma and the relative step that leaves the level."""
    import numpy as np

    from exactdiffusion import schedules

    steps, rows = parameters["steps"], []
    for name in progress(parameters["schedules"], "schedules"):
        grid, times = schedules.quantised(steps, name), schedules.quantised_times(steps, name)
        for i in range(steps + 1):
            sigma = float(grid.sigma[i])
            rows.append(
                {
                    "schedule": name,
                    "i": i,
                    "t": int(times[i]),
                    "sigma": sigma,
                    "log_sigma": float(np.log(sigma)),
                    "relative_step": float(grid.beta[i]) if i < steps else None,
                }
            )
    return rows


def draw(table, parameters):
    """Left: levels against the step. Right: relative steps."""
    steps = parameters["steps"]
    figure, (levels, relative) = panels(2, 2.7)
    for index, name in enumerate(parameters["schedules"]):
        rows = [row for row in table if row["schedule"] == name]
        look = curve_style(index)
        levels.plot([r["i"] for r in rows], [r["sigma"] for r in rows], label=_LABELS[name], **look)
        relative.plot([r["i"] for r in rows[:-1]], [r["relative_step"] for r in rows[:-1]], **look)
    levels.set_yscale("log")
    levels.set_ylabel("noise level σ$_i$ (data units)")
    title(levels, "the levels: same end, different starts")
    relative.set_ylabel("relative step 1 − σ$_{i+1}$/σ$_i$")
    relative.set_ylim(0, 1.02)
    title(relative, "only Linear takes equal steps, up to the last")
    for axes in (levels, relative):
        axes.set_xlabel(f"step i (N = {steps})")
        axes.set_xticks(range(0, steps + 1, max(1, steps // 5)))
    legend_below(figure, 4)
    return figure
