"""NMSE versus SNR on a mixture fitted to handwritten digits, a stand-in for the conditional-mean paper's Fig. 2, bottom.

The paper fits K = 128 components to MNIST (784 dimensions). Here scikit-learn's mixture with K = 32 full covariances is
fitted to its bundled 8 x 8 digits (1797 x 64); the fit is the prior, as in the paper, and data are drawn from it. No claim
about MNIST follows. ``conditional_mean.fitted_mixture(datasets.mnist(folder), 128)`` gives the paper's set-up where MNIST is
at hand. Below -10 dB the chain's NMSE grows with T and exceeds 1, the error of estimating zero.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "stand-in for the conditional-mean paper's Fig. 2 bottom: NMSE and excess, mixture fitted to 8 x 8 digits"
PAPER = ("2403.02957", "2", "stand-in")
PARAMETERS = {
    "components": 32,
    "reg_covar": 1e-3,
    "snr_db": [-20, -15, -10, -5, 0, 5, 10, 15, 20, 25, 30],
    "steps": [5, 10, 50, 100, 300],
    "samples": 2000,
    "seed": 0,
}
QUICK = {"steps": [5, 50], "samples": 100, "snr_db": [-20, -10, 0, 10, 20, 30]}
SPOT = Spot(
    {"snr_db": [20], "steps": [5]},
    keys=("estimator", "snr_db"),
    rtol={c: 1e-6 for c in ("nmse", "nmse_error", "excess", "excess_error", "mismatch_db")},
    cause="last bits of BLAS in the fit and along a chain (made with one thread, as make figures does)",
    atol=1e-12,
)


def compute(parameters, progress):
    """One row per estimator and SNR; SNRs in parallel processes."""
    from joblib import Parallel, delayed

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    law = conditional_mean.fitted_mixture(datasets.digits(), parameters["components"], reg_covar=parameters["reg_covar"])
    run = Parallel(n_jobs=-1, return_as="generator")(
        delayed(conditional_mean.study)(law, snr, parameters["steps"], parameters["samples"], parameters["seed"])
        for snr in sorted(parameters["snr_db"])
    )
    return [row for rows in progress(run, "SNR", total=len(parameters["snr_db"])) for row in rows]


def draw(table, parameters):
    """Left: NMSE; right: excess over the MMSE, with two standard errors."""
    figure, (left, right) = new_figure(7.2, 3.7, columns=2)
    for index, name in enumerate(dict.fromkeys(r["estimator"] for r in table)):
        rows = sorted((r for r in table if r["estimator"] == name), key=lambda r: r["snr_db"])
        look = {"color": "0.8", "linewidth": 6} if name == "CME" else curve_style(index - 1)  # a band: others lie on it
        x = [r["snr_db"] for r in rows]
        left.plot(x, [r["nmse"] for r in rows], label=name, **look)
        if rows[0]["steps"]:
            bars = [2 * r["excess_error"] for r in rows]
            right.errorbar(x, [r["excess"] for r in rows], yerr=bars, elinewidth=0.7, capsize=1.5, **look)
    for axes in (left, right):
        axes.set_yscale("log")
        axes.set_xlabel("SNR of the observation (dB)")
    left.axhline(1, color="0.4", linewidth=0.7, linestyle=(0, (1, 2)))
    left.set_ylim(5e-4, 3)
    left.set_ylabel("NMSE (dotted: estimating 0)")
    right.set_ylim(1e-7, 10)
    right.set_ylabel("excess over the MMSE")
    figure.suptitle("stand-in: mixture fitted to 8 x 8 digits (not MNIST)", fontsize=9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
