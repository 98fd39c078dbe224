"""Stand-ins for the conditional-mean paper's Figs. 4 and 5: another mixture size on digits, and a synthetic complex mixture.

Fig. 4 of the paper uses a mixture fitted to Fashion-MNIST, Fig. 5 a complex-valued one fitted to speech (N = 256); neither
data set is bundled. Left: digits with K = 16 instead of 32. Right: circular complex components with banded spectra and
random loudness, N = 16 complex entries in real form, normalised to unit power per real entry, so that the SNR per real entry
is that per complex entry. They show what the estimators do on such laws, not what they do on the paper's data.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "stand-ins for the conditional-mean paper's Figs. 4 and 5: digits with K = 16, synthetic complex mixture"
PARAMETERS = {
    "laws": ["digits, K = 16", "synthetic complex"],
    "snr_db": [-20, -15, -10, -5, 0, 5, 10, 15, 20],
    "steps": [5, 50, 300],
    "samples": 2000,
    "seed": 0,
}
QUICK = {"samples": 100, "steps": [5, 50]}
SPOT = Spot(
    {"laws": ["synthetic complex"], "snr_db": [20], "steps": [5]},
    keys=("law", "estimator", "snr_db"),
    rtol={c: 1e-6 for c in ("nmse", "nmse_error", "excess", "excess_error", "mismatch_db")},
    cause="last bits of BLAS along a chain",
    atol=1e-12,
)


def compute(parameters, progress):
    """One row per law, estimator and SNR."""
    from joblib import Parallel, delayed

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    laws = {}
    if "digits, K = 16" in parameters["laws"]:
        laws["digits, K = 16"] = conditional_mean.fitted_mixture(datasets.digits(), 16)
    if "synthetic complex" in parameters["laws"]:
        laws["synthetic complex"] = conditional_mean.normalised(conditional_mean.synthetic_complex_mixture(16, 16))
    cells = [(name, snr) for name in laws for snr in sorted(parameters["snr_db"])]
    run = Parallel(n_jobs=-1, return_as="generator")(
        delayed(conditional_mean.study)(laws[name], snr, parameters["steps"], parameters["samples"], parameters["seed"])
        for name, snr in cells
    )
    return [{"law": name} | row for (name, _), rows in zip(cells, progress(run, "SNR", total=len(cells))) for row in rows]


def draw(table, parameters):
    """One column per law: NMSE above, excess below."""
    titles = {
        "digits, K = 16": "stand-in for Fig. 4:\ndigits, K = 16",
        "synthetic complex": "stand-in for Fig. 5:\nsynthetic complex",
    }
    figure, panels = new_figure(6.8, 4.8, rows=2, columns=len(parameters["laws"]), sharex=True, sharey="row", squeeze=False)
    for column, law in enumerate(parameters["laws"]):
        top, bottom = panels[:, column]
        mine = [r for r in table if r["law"] == law]
        for index, name in enumerate(dict.fromkeys(r["estimator"] for r in mine)):
            rows = sorted((r for r in mine if r["estimator"] == name), key=lambda r: r["snr_db"])
            look = {"color": "0.8", "linewidth": 6} if name == "CME" else curve_style(index - 1)  # a band: others lie on it
            x = [r["snr_db"] for r in rows]
            top.plot(x, [r["nmse"] for r in rows], label=name, **look)
            if rows[0]["steps"]:
                bars = [2 * r["excess_error"] for r in rows]
                bottom.errorbar(x, [r["excess"] for r in rows], yerr=bars, elinewidth=0.7, capsize=1.5, **look)
        top.set_yscale("log")
        bottom.set_yscale("log")
        top.set_ylim(3e-3, 3)
        bottom.set_ylim(1e-5, 10)
        top.set_title(titles[law])
        bottom.set_xlabel("SNR of the observation (dB)")
    panels[0][0].set_ylabel("NMSE")
    panels[1][0].set_ylabel("excess over the MMSE")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure
