"""How the relative projection error is spread over DDIM trajectories, with one trajectory in pictures (P. & Y., Fig. 2).

The published figure shows the density of eta over trajectories, a single one as a dashed line and its images. Here the same
for 8 x 8 digits with the exact denoiser: the released script's schedule of 50 steps, denoiser, projection and distance
at one state. With CIFAR-10 at hand (`datasets.cifar10`) the figure is the paper's:
``exactdiffusion figures projection_error_density --set data='"cifar10"' --set trajectories=100 --out DIR``.

Histogram: each column is one noise level, with the shares of the bins of log10 eta. What is below the lowest bin is left out
of the picture: there the denoiser's answer is the nearest atom to four digits.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, helper, legend_below, panels, title

SUMMARY = "stand-in for Fig. 2 of Permenter & Yuan: density of eta over DDIM trajectories, one of them in pictures, digits"
CAPTION = (
    "The relative projection error of the ideal denoiser is small while the noise is large, since all digits lie in "
    "one direction, largest near σ = 1, where they begin to differ, and 0 to four digits once one of them is the "
    "answer. The figure stands in for Fig. 2 of arXiv 2306.04848 (CIFAR-10; exact where its files are at hand): 8 x 8 "
    "digits, 50 DDIM steps. Left: share of the 2000 trajectories in each cell (the darker, the larger), their mean, "
    "and a single one. Right: that trajectory; the state x_t is drawn at its own scale, the denoiser's answer and the "
    "projection, the nearest digit, at the scale of the digits."
)
PAPER = ("2306.04848", "2", "stand-in")
PARAMETERS = {
    "data": "digits",
    "trajectories": 2000,
    "spot_trajectories": 50,
    "steps": 50,
    "seed": 0,
    "bins": [-4.0, 0.0, 32],
    "shown": [0, 20, 30, 35, 40, 48],
}
QUICK = {"trajectories": 300}
SPOT = Spot(
    {"trajectories": 50, "shown": []},
    keys=("kind", "trajectories", "i", "bin"),
    rtol={"sigma": 1e-12, "eta": 1e-6, "share": 1e-6},
    cause="last bits of BLAS differ between processors and batch sizes and grow along a trajectory",
    atol=1e-9,
)


def compute(parameters, progress):
    """Rows ``mean`` and ``share`` (per step, and bin) for the first and all trajectories; ``path`` and ``image`` of one."""
    import numpy as np

    from exactdiffusion import Noise, samplers, schedules
    from exactdiffusion.studies import sweep

    grid, law, rows = schedules.ddpm(parameters["steps"]), sweep.law_of(parameters["data"]), []
    low, high, count = parameters["bins"]
    edges, coded = np.linspace(low, high, count + 1), helper("shared", "_pictures").coded
    blank = {"eta": None, "share": None, "state": "", "answer": "", "nearest": ""}
    sizes = sorted({min(parameters["spot_trajectories"], parameters["trajectories"]), parameters["trajectories"]})

    x = grid.sigma[0] * Noise(parameters["seed"]).initial(parameters["trajectories"], law.dim)
    states = samplers.ddim(law, grid, x)
    for i in progress(range(grid.N), "steps", grid.N):
        state, sigma = next(states), float(grid.sigma[i])
        answer, nearest = law.noised(1.0, sigma).denoise(state), law.project(state)
        eta = np.linalg.norm(answer - nearest, axis=1) / np.linalg.norm(state - nearest, axis=1)
        with np.errstate(divide="ignore"):
            logs = np.log10(eta)

        # the spread over the trajectories
        for first in sizes:
            row = {"trajectories": first, "i": i, "sigma": sigma, **blank}
            rows.append({"kind": "mean", **row, "bin": -1, "eta": float(np.mean(eta[:first]))})
            shares = np.histogram(logs[:first], edges)[0] / first
            rows += [{"kind": "share", **row, "bin": b, "share": float(s)} for b, s in enumerate(shares) if s]

        # one trajectory, some of its states as pictures
        row = {"trajectories": 1, "i": i, "sigma": sigma, **blank, "bin": -1, "eta": float(eta[0])}
        rows.append({"kind": "path", **row})
        if i in parameters["shown"]:
            scale = float(np.abs(state[0]).max())
            pictures = {"state": (state[0], scale), "answer": (answer[0], 1.0), "nearest": (nearest[0], 1.0)}
            rows.append(
                {"kind": "image", **row} | {name: coded(image, end, -end) for name, (image, end) in pictures.items()}
            )
    return rows


def draw(table, parameters):
    """Left: density, mean and one trajectory. Right: that trajectory in pictures."""
    import numpy as np

    figure, (density, pictures) = panels(2, 3.0)
    count, orange = parameters["trajectories"], curve_style(1)["color"]
    low, high, bins = parameters["bins"]
    means = [r for r in table if r["kind"] == "mean" and r["trajectories"] == count]
    sigma = np.array([r["sigma"] for r in means])

    # the histogram, a column per noise level
    image = np.zeros((bins, len(sigma)))
    for r in table:
        if r["kind"] == "share" and r["trajectories"] == count:
            image[r["bin"], r["i"]] = r["share"]
    middle = np.sqrt(sigma[1:] * sigma[:-1])
    borders = np.concatenate([[sigma[0] ** 2 / middle[0]], middle, [sigma[-1] ** 2 / middle[-1]]])
    shown = np.ma.masked_equal(image, 0)
    density.pcolormesh(borders, 10 ** np.linspace(low, high, bins + 1), shown, cmap="Blues", vmin=-0.05, rasterized=True)
    density.plot(sigma, [r["eta"] for r in means], color=INK, linewidth=1.3, label="mean")
    path = [r for r in table if r["kind"] == "path"]
    values = [max(r["eta"], 1e-30) for r in path]  # an error of 0 is far below the axis
    density.plot(sigma, values, color=orange, linestyle=(0, (4, 2)), label="one trajectory")
    marked = [r for r in table if r["kind"] == "image"]
    density.plot(
        [r["sigma"] for r in marked], [max(r["eta"], 1.2 * 10**low) for r in marked], "o", color=orange, markersize=3
    )
    density.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (1, 2)))
    text, at = "above 1 hypothesis (H1) fails", (0.98, 1.15)
    density.annotate(text, at, xycoords=density.get_yaxis_transform(), fontsize=7, ha="right")
    if marked[-1]["eta"] < 10**low:
        at = (marked[-1]["sigma"], 1.2 * 10**low)
        density.annotate("η = 0", at, textcoords="offset points", xytext=(4, -1), fontsize=7)
    density.set_xscale("log")
    density.set_yscale("log")
    density.set_xlim(1.2 * sigma[0], sigma[-1] / 1.2)
    density.set_ylim(10**low, 2)
    density.set_xlabel("noise level σ (data units), as time runs")
    density.set_ylabel("relative projection error η")
    title(density, "η peaks near σ = 1 and then vanishes")

    # the pictures, a column per state
    shape = (8, 8) if parameters["data"] == "digits" else (32, 32, 3)
    names = {"state": "state $x_t$", "answer": "denoiser", "nearest": "projection"}
    rows = {text: [r[name] for r in marked] for name, text in names.items()}
    helper("shared", "_pictures").sheet(pictures, rows, shape)
    side = shape[0] + round(0.15 * shape[0])
    labels = [f"σ = {r['sigma']:.3g}" if k == 0 else f"{r['sigma']:.2g}" for k, r in enumerate(marked)]
    pictures.set_xticks([(k + 0.43) * side - 0.5 for k in range(len(marked))], labels)
    title(pictures, "the trajectory at the marks: answer and nearest digit become one", inset=0.7)
    legend_below(figure, 2)
    return figure
