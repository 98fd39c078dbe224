"""NMSE versus SNR on the random mixture of the conditional-mean paper (its Fig. 2, top), with the exact denoiser.

K = 128 components in 64 dimensions, drawn as in the released code and normalised from its exact moments; schedules and SNR
grid of the released code; the level match is in decibels, without that code's off-by-one. Exact stepwise means replace the
network, so what is left of the error is the estimator's own.

The right panel is the excess E|f - CME|^2 over the MMSE on the same observations: it does not tend to 0 as T grows at
fixed SNR (exact stepwise means, fixed SNR, refined schedule: the limit differs from the CME; derived, statements limit_ode
and gap_formula), and it is too small to be seen on the left. What does fall with T is the mismatch between the SNR and the
nearest level (T = 5, 10 above 10 dB).
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "conditional-mean paper, Fig. 2 top: NMSE and excess over the MMSE versus SNR, random mixture N = 64, K = 128"
PAPER = ("2403.02957", "2", "present")
PARAMETERS = {
    "components": 128,
    "dim": 64,
    "law_seed": 453451,
    "snr_db": [-20, -15, -10, -5, 0, 5, 10, 15, 20, 25, 30],
    "steps": [5, 10, 50, 100, 300, 1000],
    "samples": 2000,
    "seed": 0,
}
QUICK = {"steps": [5, 50, 300], "samples": 100, "snr_db": [-20, -10, 0, 10, 20, 30]}
SPOT = Spot(
    {"snr_db": [20], "steps": [5]},
    keys=("estimator", "snr_db"),
    rtol={c: 1e-8 for c in ("nmse", "nmse_error", "excess", "excess_error", "mismatch_db")},
    cause="last bits of BLAS and exp along a chain",
    atol=1e-12,
)


def compute(parameters, progress):
    """One row per estimator and SNR; SNRs in parallel processes, draws depend on the SNR and the seed alone."""
    from joblib import Parallel, delayed

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    law = datasets.random_mixture(parameters["components"], parameters["dim"], parameters["law_seed"])
    # the longest chains are those at low SNR: they come first in the list, so that processes end together
    run = Parallel(n_jobs=-1, return_as="generator")(
        delayed(conditional_mean.study)(law, snr, parameters["steps"], parameters["samples"], parameters["seed"])
        for snr in sorted(parameters["snr_db"])
    )
    return [row for rows in progress(run, "SNR", total=len(parameters["snr_db"])) for row in rows]


def draw(table, parameters):
    """Left: NMSE; right: excess over the MMSE, with two standard errors."""
    figure, (left, right) = new_figure(7.2, 3.6, columns=2)
    for index, name in enumerate(dict.fromkeys(r["estimator"] for r in table)):
        rows = sorted((r for r in table if r["estimator"] == name), key=lambda r: r["snr_db"])
        look = {"color": "0.8", "linewidth": 6} if name == "CME" else curve_style(index - 1)  # a band: others lie on it
        x = [r["snr_db"] for r in rows]
        left.plot(x, [r["nmse"] for r in rows], label=name, **look)
        if rows[0]["steps"]:
            bars = [2 * r["excess_error"] for r in rows]
            right.errorbar(x, [r["excess"] for r in rows], yerr=bars, elinewidth=0.7, capsize=1.5, **look)
    left.set_yscale("log")
    left.set_ylim(5e-4, 3)
    left.set_ylabel("NMSE")
    left.set_title("error, all estimators")
    right.set_yscale("log")
    right.set_ylim(7e-7, 10)
    right.set_ylabel("excess over the MMSE")
    right.set_title("what the chain loses to the CME")
    for axes in (left, right):
        axes.set_xlabel("SNR of the observation (dB)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure
