"""The chain of conditional means from a noisy observation on, with real iterates: the conditional-mean paper's Fig. 1.

The paper sketches the Markov chain: the observation enters at the level whose SNR is its own, the noisier levels are
omitted, and every step is a conditional mean. Here the observations are digits of 8 x 8 pixels at 0 dB, the prior is a
mixture of 32 Gaussians fitted to all digits, and the steps are exact. Right: the SNRs of all T = 300 levels of the
released schedule, and which of them the chain passes.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, helper, legend_below, panels, title

SUMMARY = (
    "the chain of conditional means on digits: observation, iterates, result beside the CME, and the levels that it omits"
)
CAPTION = (
    "The chain starts at the level whose SNR is that of the observation, omits the noisier ones, and ends near the "
    "least-error estimate (CME): this is the sketch of Fig. 1 of arXiv 2403.02957 with real iterates. The left panel "
    "shows digits of 8 x 8 pixels observed at 0 dB, with a mixture of 32 Gaussians fitted to all of them as prior: "
    "the states after a quarter, a half and all of the 108 steps, exact conditional means; the CME, which is one "
    "step; the truth. The right one shows the SNR of each of the T = 300 levels of the released schedule, of which "
    "the chain passes the solid part."
)
PAPER = ("2403.02957", "1", "present")
PARAMETERS = {
    "components": 32,
    "reg_covar": 1e-3,
    "snr_db": 0,
    "steps": 300,
    "shown": 5,
    "shares": [0.25, 0.5, 1.0],
    "seed": 0,
}
QUICK = {"shown": 2}
SPOT = Spot(
    {"shown": 0},
    keys=("kind", "k", "place"),
    rtol={"snr": 1e-9},
    cause="cumulative products of the schedule",
)


def compute(parameters, progress):
    """Rows ``level`` (k = t: its SNR, whether it is passed) and ``image`` (k = digit, place = what it is)."""
    import numpy as np

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    sigma = 10 ** (-parameters["snr_db"] / 20)
    grid = conditional_mean.released_grid(parameters["steps"])
    start = conditional_mean.match(grid, sigma)
    rows = [
        {
            "kind": "level",
            "k": grid.N - i,
            "place": "",
            "snr": float(-20 * np.log10(grid.noise_ratio[i])),
            "passed": i >= start.index,
            "image": "",
        }
        for i in range(grid.N)
    ]

    # the iterates of a few observations
    if parameters["shown"]:
        data, options = datasets.digits(), {"reg_covar": parameters["reg_covar"]}
        law = conditional_mean.fitted_mixture(data, parameters["components"], **options)
        rng = np.random.default_rng(parameters["seed"])
        mean, scale_of_data = data.mean(axis=0), np.sqrt(np.mean((data - data.mean(axis=0)) ** 2))  # the units of the fit
        x = (data[: parameters["shown"]] - mean) / scale_of_data
        y = x + sigma * rng.standard_normal(x.shape)
        states = list(progress(conditional_mean.chain(law, grid, y, sigma), "steps", start.steps + 1))
        scale = np.sqrt(grid[start.index :].alpha_bar)
        chosen = {"y": y}
        for share in parameters["shares"]:
            i = round(share * start.steps)
            chosen[f"{share:.0%}"] = states[i] * scale[i]
        chosen |= {"CME": conditional_mean.cme(law, y, sigma), "x": x}
        coded = helper("shared", "_pictures").coded
        for place, values in chosen.items():
            for k, image in enumerate(values):
                text = coded(mean + scale_of_data * image, 1.0, -1.0)  # dark ink on light paper
                rows.append({"kind": "image", "k": k, "place": place, "snr": None, "passed": True, "image": text})
    return rows


def draw(table, parameters):
    """Left: iterates. Right: the levels."""
    figure, (pictures, levels) = panels(2, 2.9)

    # the pictures
    names = {
        "y": "observation",
        **{f"{s:.0%}": f"{s:.0%} of the steps" for s in parameters["shares"]},
        "CME": "CME",
        "x": "truth",
    }
    images = {
        text: [r["image"] for r in table if r["kind"] == "image" and r["place"] == place] for place, text in names.items()
    }
    helper("shared", "_pictures").sheet(pictures, images, (8, 8))
    title(pictures, "from the observation to the CME", inset=1.0)

    # the levels that are passed, and the omitted ones
    for passed, look, text in (
        (False, {"color": "0.7", "linestyle": (0, (1, 1))}, "omitted levels"),
        (True, {**curve_style(0), "marker": None, "linewidth": 2.2}, "levels of the chain"),
    ):
        rows = [r for r in table if r["kind"] == "level" and r["passed"] is passed]
        levels.plot([r["k"] for r in rows], [r["snr"] for r in rows], **look, label=text)

    # the SNR of the observation, and the axes
    levels.axhline(parameters["snr_db"], color=INK, linewidth=0.8)
    levels.annotate(
        f"SNR of the observation: {parameters['snr_db']} dB",
        (parameters["steps"], parameters["snr_db"]),
        textcoords="offset points",
        xytext=(0, 3),
        fontsize=7,
    )
    levels.invert_xaxis()
    levels.set_xlabel("level t, as the chain runs")
    levels.set_ylabel("SNR of the level (dB)")
    passed = sum(r["kind"] == "level" and r["passed"] for r in table)
    title(levels, f"the chain passes {passed} of {parameters['steps']} levels")
    legend_below(figure, 2)
    return figure
