"""A wrong assumed SNR: excess over the MMSE of the chain (T = 300) and of one step at the same wrong level.

The match and the scaling of the start use the assumed SNR; the observation has the true one. The one-step estimate D at the
wrong level has no chain in it: what the two share is the mismatch, what separates them is the plateau of the chain.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "conditional-mean paper: excess over the MMSE versus error of the assumed SNR, chain of T = 300 and one step"
CAPTION = (
    "At 10 dB a wrong assumed SNR costs the chain and a single step about the same, since the mismatch sets the "
    "error; at 0 dB the chain pays 1.3 to 2.1 times the excess of one step where the assumed SNR is up to 6 dB too "
    "low. Drawn is the excess over the least mean squared error (MMSE), which the conditional mean (CME) has, with "
    "two standard errors: T = 300 steps, random mixture. The start is matched and scaled by the assumed SNR, the "
    "observation has the true one. At the true SNR one step is the CME, with excess 0 (arrow)."
)
PAPER = ("2403.02957", "", "own")
PARAMETERS = {
    "components": 128,
    "dim": 64,
    "law_seed": 453451,
    "snr_db": [0, 10],
    "shift_db": [-6, -4.5, -3, -1.5, 0, 1.5, 3, 4.5, 6],
    "steps": 300,
    "samples": 2000,
    "seed": 0,
}
QUICK = {"samples": 60, "shift_db": [-6, -3, 0, 3, 6]}
SPOT = Spot(
    {"snr_db": [10], "shift_db": [6]},
    keys=("snr_db", "shift_db", "estimator"),
    rtol={"excess": 1e-8, "excess_error": 1e-8},
    cause="last bits of BLAS and exp along a chain",
    atol=1e-20,
)


def compute(parameters, progress):
    """One row per true SNR, shift (assumed minus true, dB) and estimator."""
    import numpy as np

    from exactdiffusion import datasets, distances
    from exactdiffusion.papers import conditional_mean

    law = datasets.random_mixture(parameters["components"], parameters["dim"], parameters["law_seed"])
    grid, rows = conditional_mean.released_grid(parameters["steps"]), []
    for snr_db in parameters["snr_db"]:
        sigma = 10 ** (-snr_db / 20)
        rng = np.random.default_rng([parameters["seed"], 1000 + snr_db])
        y = law.noised(1.0, sigma).sample(parameters["samples"], rng)
        best = conditional_mean.cme(law, y, sigma)
        mmse = float(np.mean(conditional_mean.posterior_variance(law, y, sigma)))
        for shift in progress(parameters["shift_db"], f"{snr_db} dB"):
            assumed = 10 ** (-(snr_db + shift) / 20)
            chain = conditional_mean.denoise(law, grid, y, sigma, assumed=assumed)
            for name, f in (("chain", chain), ("one step", conditional_mean.cme(law, y, assumed))):
                found = distances.excess_error(f, best, mmse)
                row = {"snr_db": snr_db, "shift_db": shift, "estimator": name}
                rows.append(row | {"excess": found.value, "excess_error": found.standard_error})
    return rows


def draw(table, parameters):
    """One panel per true SNR."""
    figure, both = panels(2, 2.6, sharey=True)
    for axes, snr_db in zip(both, parameters["snr_db"]):
        # the chain, and one step
        for index, name in enumerate(("chain", "one step")):
            mine = [r for r in table if r["snr_db"] == snr_db and r["estimator"] == name]
            rows = sorted(mine, key=lambda r: r["shift_db"])
            look = curve_style(index)
            axes.errorbar(
                [r["shift_db"] for r in rows],
                # one step at the true SNR is the CME: its 0 is not on this axis, the curve is broken there
                [r["excess"] if r["excess"] > 1e-12 else float("nan") for r in rows],
                yerr=[2 * r["excess_error"] for r in rows],
                elinewidth=0.7,
                capsize=1.5,
                label=f"chain, T = {parameters['steps']}" if name == "chain" else "one step at the assumed level",
                **look,
            )
            if name == "one step":
                axes.annotate(
                    "one step: 0",
                    (0, 0.01),
                    xycoords=("data", "axes fraction"),
                    xytext=(0.62, 0.1),
                    textcoords="axes fraction",
                    color=look["color"],
                    fontsize=7,
                    arrowprops={"arrowstyle": "->", "color": look["color"], "linewidth": 0.8},
                )

        # the axes
        axes.set_yscale("log")
        axes.set_ylim(1e-3, 1)
        axes.set_xlabel("assumed minus true SNR (dB)")
        title(
            axes,
            f"true SNR {snr_db} dB: "
            + ("the chain adds to the error of one step" if snr_db == 0 else "the mismatch sets the error of both"),
        )
        axes.set_ylabel("excess over the least error")
        axes.yaxis.set_tick_params(labelleft=True)
    legend_below(figure, 2)
    return figure
