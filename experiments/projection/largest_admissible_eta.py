"""Largest relative error eta for which each noise schedule of Permenter & Yuan is (eta, nu)-admissible.

Definition 4.1 turned round: given the schedule and the width nu of the band, how good must a denoiser be for Theorem 4.2 to
apply? Exact (bisection on the one-line form of the definition). Drawn are the four schedules of Fig. 5 against nu (N = 10)
and against N (nu = 2; the table also has nu = 10), next to the log-linear schedule from 40 to 0.01, the best of all
schedules with those ends (Theorem 4.3, optimality). The table also has N = 10 without the last step, which for all but EDM
is by far the longest.

A certificate, not an explanation of sample quality: EDM ranks second although its FID on CIFAR-10 is the worst of the four,
and at N = 20, nu = 10 it passes the paper's own schedule.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "largest eta for which each noise schedule is (eta, nu)-admissible: a certificate, not an explanation of FID"
CAPTION = (
    "Theorem 4.2 of arXiv 2306.04848 applies to good denoisers only: at N = 10 the log-linear schedule, the best of "
    "all with its ends (Theorem 4.3), allows a relative error η of .05 at ν = 2, the DDIM schedule of released code "
    "only .013. This is its Definition 4.1 turned round, exact by bisection, for the four schedules of its Fig. 5 and "
    "the log-linear one from 40 to .01. Most of the loss is the last step, by far the longest for all but EDM: "
    "without it DDIM allows .07. The number is a certificate of the schedule, not an explanation of sample quality."
)
PAPER = ("2306.04848", "", "own")
PARAMETERS = {
    "schedules": ["ddim", "ddim_offset", "edm", "linear", "log_linear"],
    "N": 10,
    "nu": [2.0, 4.0],
    "nu_range": [1.05, 100.0, 33],
    "N_range": [3, 4, 5, 7, 10, 14, 20, 28, 40, 50],
    "N_nu": [2.0, 10.0],
}
QUICK = {}
SPOT = Spot(
    {},
    keys=("panel", "schedule", "last_step", "N", "nu"),
    rtol={"eta": 1e-9},
    cause="noise levels from cumulative sums, exp and log round differently between math libraries",
)

_LABELS = {
    "ddim": "DDIM",
    "ddim_offset": "DDIM offset",
    "edm": "EDM",
    "linear": "Linear\n(paper's)",
    "log_linear": "log-linear 40 to 0.01",
}


def compute(parameters, progress):
    """One row per panel, schedule, N, nu, with and without the last step."""
    import numpy as np

    from exactdiffusion import schedules
    from exactdiffusion.statements import projection as bound

    low, high, count = parameters["nu_range"]
    cells = [("bars", parameters["N"], nu, last) for nu in parameters["nu"] for last in (True, False)]
    cells += [("nu", parameters["N"], float(nu), True) for nu in np.round(np.geomspace(low, high, count), 4)]
    cells += [("N", n, nu, True) for nu in parameters["N_nu"] for n in parameters["N_range"]]
    rows = []
    for name in progress(parameters["schedules"], "schedules"):
        for panel, n, nu, last in cells:
            if name == "log_linear":
                if panel == "bars":
                    continue
                grid = schedules.log_linear(n)
            else:
                grid = schedules.quantised(n, name)
            beta = grid.beta if last else grid.beta[:-1]
            rows.append(
                {
                    "panel": panel,
                    "schedule": name,
                    "last_step": last,
                    "N": n,
                    "nu": nu,
                    "eta": bound.largest_admissible_eta(beta, nu),
                }
            )
    return rows


def draw(table, parameters):
    """Left: against the width of the band. Right: against the number of steps."""
    figure, (against_nu, against_n) = panels(2, 2.8)
    least = min(parameters["N_nu"])
    for index, name in enumerate(parameters["schedules"]):
        look = curve_style(index)
        rows = [r for r in table if r["panel"] == "nu" and r["schedule"] == name]
        label = _LABELS[name].replace("\n", " ")
        against_nu.plot([r["nu"] for r in rows], [r["eta"] for r in rows], label=label, **look, markevery=8)
        rows = [r for r in table if r["panel"] == "N" and r["schedule"] == name and r["nu"] == least]
        against_n.plot([r["N"] for r in rows], [r["eta"] for r in rows], **look)
    against_nu.set_xticks([])
    for axes, ticks in ((against_nu, [1, 2, 5, 10, 20, 50, 100]), (against_n, [3, 5, 10, 20, 50])):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_ylabel("largest admissible η")
    plain_ticks(against_nu.yaxis, 1e-3, 0.3, (1, 3))
    plain_ticks(against_n.yaxis, 3e-3, 0.1, (1, 3))
    against_nu.set_xlabel("width of the band ν")
    title(against_nu, f"N = {parameters['N']}: the log-linear schedule allows most")
    against_n.set_xlabel("number of steps N")
    title(against_n, f"ν = {least:g}: more steps allow more, most for DDIM")
    legend_below(figure, 5)
    return figure
