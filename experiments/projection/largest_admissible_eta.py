"""Largest relative error eta for which each noise schedule of Permenter & Yuan is (eta, nu)-admissible.

Definition 4.1 turned round: given the schedule and the width nu of the band, how good must a denoiser be for Theorem 4.2 to
apply? Exact (bisection on the one-line form of the definition). Left: the four schedules of Fig. 5, N = 10; hatched
bars without the last step, which for all but EDM is by far the longest. Middle and right: against nu and N, next to the
log-linear schedule from 40 to 0.01, the best of all schedules with those ends (Theorem 4.3, optimality).

A certificate, not an explanation of sample quality: EDM ranks second although its FID on CIFAR-10 is the worst of the
four, and at N = 20, nu = 10 it passes the paper's own schedule.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "largest eta for which each noise schedule is (eta, nu)-admissible: a certificate, not an explanation of FID"
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
    """Bars for N = 10; curves against nu; curves against N."""
    figure, (bars, against_nu, against_n) = new_figure(7.2, 3.1, columns=3)
    named = [n for n in parameters["schedules"] if n != "log_linear"]
    width = 0.2
    greys = {
        (2.0, True): ("#0072B2", ""),
        (4.0, True): ("#8fbfdf", ""),
        (2.0, False): ("white", "////"),
        (4.0, False): ("white", "...."),
    }
    for k, ((nu, last), (face, hatch)) in enumerate(greys.items()):
        values = [
            next(
                r["eta"]
                for r in table
                if r["panel"] == "bars" and r["schedule"] == n and r["nu"] == nu and r["last_step"] == last
            )
            for n in named
        ]
        bars.bar(
            [i + (k - 1.5) * width for i in range(len(named))],
            values,
            width,
            facecolor=face,
            edgecolor="#222222",
            linewidth=0.6,
            hatch=hatch,
            label=f"ν = {nu:g}" + ("" if last else ", no last step"),
        )
    bars.set_xticks(range(len(named)), [_LABELS[n].replace(" ", "\n").replace("(paper's)", "") for n in named], fontsize=7)
    bars.set_ylabel("largest admissible η")
    bars.set_title(f"N = {parameters['N']}")
    bars.set_ylim(0, 0.285)
    bars.legend(ncols=1, loc="upper right", fontsize=6.5)
    for index, name in enumerate(parameters["schedules"]):
        look = curve_style(index)
        rows = [r for r in table if r["panel"] == "nu" and r["schedule"] == name]
        against_nu.plot(
            [r["nu"] for r in rows],
            [r["eta"] for r in rows],
            label=_LABELS[name].replace("\n", " "),
            **{**look, "marker": None},
        )
        for nu in parameters["N_nu"]:
            rows = [r for r in table if r["panel"] == "N" and r["schedule"] == name and r["nu"] == nu]
            against_n.plot([r["N"] for r in rows], [r["eta"] for r in rows], **look, alpha=1.0 if nu == 2 else 0.55)
    against_nu.set_xscale("log")
    against_nu.set_xticks(ticks := [1, 2, 5, 10, 20, 50, 100], [str(t) for t in ticks])
    against_nu.set_xticks([], minor=True)
    against_nu.set_yscale("log")
    against_nu.set_xlabel("width of the band ν")
    against_nu.set_title(f"N = {parameters['N']}, all steps")
    against_n.set_xscale("log")
    against_n.set_xticks(ticks := [3, 5, 10, 20, 50], [str(t) for t in ticks])
    against_n.set_xticks([], minor=True)
    against_n.set_yscale("log")
    against_n.set_xlabel("number of steps N")
    against_n.set_title("ν = 2 (strong), ν = 10 (pale)")
    figure.legend(*against_nu.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.suptitle("a certificate of the schedule, not an explanation of FID", fontsize=8)
    return figure
