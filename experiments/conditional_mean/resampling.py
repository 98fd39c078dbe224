"""Re-sampling off, on (one run), and averaged: excess over the MMSE against the number of steps.

Off: the deterministic chain of exact stepwise means; its excess tends to a plateau (derived). On: posterior noise in every
step but the last; one run tends to a posterior sample, excess 1 (MSE twice the MMSE). Averaged over M runs: excess 1/M plus
a squared bias of order T^-2, so the average converges to the CME. The bias itself is measured without sampling in the
theorem check averaged_resampling.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "conditional-mean paper: re-sampling off, on, averaged over M runs; excess over the MMSE versus steps"
CAPTION = (
    "One run with re-sampling ends as a posterior sample, with twice the least error (excess 1); the mean of M runs "
    "has excess 1/M and so converges to the conditional mean (CME), which the deterministic chain (off) does not. "
    "Drawn is the excess over the least mean squared error (MMSE) with two standard errors against the number of "
    "steps; the lines at the right edge are the levels 1/M. The priors are a random mixture in 16 dimensions at −10 "
    "dB and two modes on a line at 0 dB."
)
PAPER = ("2403.02957", "", "own")
PARAMETERS = {
    "laws": ["random mixture", "two modes"],
    "snr_db": {"random mixture": -10, "two modes": 0},
    "steps": [1, 2, 3, 5, 10, 20, 50, 100],
    "runs": [1, 4, 16, 64],
    "samples": {"random mixture": 150, "two modes": 400},
    "components": 16,
    "dim": 16,
    "law_seed": 453451,
    "seed": 0,
}
QUICK = {"steps": [1, 3, 10, 30], "runs": [1, 4, 16], "samples": {"random mixture": 60, "two modes": 100}}
SPOT = Spot(
    {"steps": [1, 10], "runs": [1, 4]},
    keys=("law", "method", "runs", "steps"),
    rtol={"excess": 1e-8, "excess_error": 1e-8},
    cause="last bits of BLAS and exp along a chain",
    atol=1e-25,
)


def compute(parameters, progress):
    """One row per law, method, M and number of steps."""
    import numpy as np

    from exactdiffusion import GaussianMixture, Noise, datasets, distances
    from exactdiffusion.papers import conditional_mean

    rows = []
    for name in parameters["laws"]:
        if name == "two modes":
            law = conditional_mean.normalised(GaussianMixture(None, np.array([[-1.0], [1.0]]), 0.09))
        else:
            law = datasets.random_mixture(parameters["components"], parameters["dim"], parameters["law_seed"])

        # observations, their conditional means and the MMSE
        sigma = 10 ** (-parameters["snr_db"][name] / 20)
        y = law.noised(1.0, sigma).sample(parameters["samples"][name], np.random.default_rng(parameters["seed"]))
        best = conditional_mean.cme(law, y, sigma)
        mmse = float(np.mean(conditional_mean.posterior_variance(law, y, sigma)))

        # the chain without noise, and means of chains with it
        cells = [("off", 0, n) for n in parameters["steps"]]
        cells += [("on", M, n) for M in parameters["runs"] for n in parameters["steps"]]
        for method, runs, n in progress(cells, name):
            grid, options = conditional_mean.refined_grid(n, sigma), {}
            if method == "on":
                options = {"method": "resample", "noise": Noise(parameters["seed"]), "runs": runs}
            found = distances.excess_error(conditional_mean.denoise(law, grid, y, sigma, **options), best, mmse)
            row = {"law": name, "method": method, "runs": runs, "steps": n}
            rows.append(row | {"excess": found.value, "excess_error": found.standard_error})
    return rows


def draw(table, parameters):
    """One panel per law."""
    figure, both = panels(2, 2.8, sharey=True)
    for axes, name in zip(both, parameters["laws"]):
        # one curve per number of runs, with its limit 1/M at the right edge
        for index, (method, runs) in enumerate([("off", 0)] + [("on", M) for M in parameters["runs"]]):
            mine = [r for r in table if r["law"] == name and r["method"] == method and r["runs"] == runs]
            rows = [r for r in mine if r["steps"] > 1]  # one step without noise is the CME itself: 0 is not on this axis
            look = curve_style(index)
            axes.errorbar(
                [r["steps"] for r in rows],
                [r["excess"] for r in rows],
                yerr=[2 * r["excess_error"] for r in rows],
                elinewidth=0.7,
                capsize=1.5,
                label="off" if method == "off" else "on, one run" if runs == 1 else f"on, mean of {runs} runs",
                **look,
            )
            if method == "on":
                end = parameters["steps"][-1]
                axes.plot([1.15 * end, 1.5 * end], [1 / runs] * 2, color=look["color"], linewidth=1.6)
                axes.annotate(
                    "1" if runs == 1 else f"1/{runs}", (1.55 * end, 1 / runs), fontsize=7, va="center", color=look["color"]
                )

        # the axes
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_ticks(axes.xaxis, 2, max(parameters["steps"]))
        axes.set_xlim(1.8, 2.7 * max(parameters["steps"]))
        axes.set_xlabel("steps of the chain")
        dim = f"{parameters['dim']} dimensions" if name == "random mixture" else "on a line"
        text = f"{name}, {dim}, {parameters['snr_db'][name]} dB: the mean of M runs has excess 1/M"
        title(axes, text.replace(" -", " \N{MINUS SIGN}"))
        axes.set_ylabel("excess over the least error")
        axes.yaxis.set_tick_params(labelleft=True)
    legend_below(figure, 5)
    return figure
