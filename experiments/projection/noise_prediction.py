"""The predicted noise of the ideal denoiser: its size along DDIM, and its error against the true noise.

The two plots of Permenter & Yuan's appendix that need no network. Left: |eps_hat| / sqrt(n) along 100 DDIM steps, as a
two-dimensional histogram (each column is one noise level, normalised to its largest count); the theory wants it near 1,
since sigma eps_hat is to be the gradient of half the squared distance, of length d = sqrt(n) sigma. Right: |eps_hat - eps| /
sqrt(n) at x_0 + sigma eps, over training times; its root mean square is sqrt(MMSE / (n sigma^2)), the error of the
conditional mean. Bound: the error of the best linear denoiser, exact from the covariance of the data; the MMSE is below it.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "size of the predicted noise along DDIM-100 and its error versus time, ideal denoiser (P. & Y., appendix)"
PAPER = ("2306.04848", "appendix", "stand-in")
PARAMETERS = {
    "data": ["digits", "photo_patches"],
    "trajectories": {"digits": 500, "photo_patches": 48},
    "pairs": {"digits": 400, "photo_patches": 48},
    "steps": 100,
    "seed": 0,
    "bins": {"digits": [0.7, 1.3, 30], "photo_patches": [0.95, 1.07, 30]},
    "time_stride": {"digits": 10, "photo_patches": 20},
    "parts": ["size", "error"],
}
QUICK = {"data": ["digits"], "trajectories": {"digits": 100}, "pairs": {"digits": 100}}
SPOT = Spot(
    {"data": ["digits"], "parts": ["error"], "time_stride": {"digits": 90}},
    keys=("data", "part", "i", "bin"),
    rtol=dict.fromkeys(("mean", "q05", "q95", "rms", "linear"), 1e-6) | {"sigma": 1e-12},
    cause="last bits of BLAS, exp and of an eigenvalue decomposition differ between processors; an error below "
    "1e-12 is rounding of the atoms",
    atol=1e-12,
)


def compute(parameters, progress):
    """Rows of counts (part = size: level i, bin) and of quantiles (part = size, bin -1; part = error: training time i)."""
    import numpy as np

    from exactdiffusion import Noise, samplers, schedules
    from exactdiffusion.studies import sweep

    rows = []

    def put(data, part, i, number, sigma, values, counted=None, linear=None):
        few = counted is not None
        rows.append(
            {
                "data": data,
                "part": part,
                "i": i,
                "bin": number,
                "sigma": float(sigma),
                "count": counted,
                "mean": None if few else float(np.mean(values)),
                "q05": None if few else float(np.percentile(values, 5)),
                "q95": None if few else float(np.percentile(values, 95)),
                "rms": None if few else float(np.sqrt(np.mean(values**2))),
                "linear": linear,
            }
        )

    for data in parameters["data"]:
        law = sweep.law_of(data)
        low, high, count = parameters["bins"][data]
        edges = np.linspace(low, high, count + 1)
        if "size" in parameters["parts"]:
            grid = schedules.ddpm(parameters["steps"])
            x = grid.sigma[0] * Noise(parameters["seed"]).initial(parameters["trajectories"][data], law.dim)
            states = samplers.ddim(law, grid, x)
            before = next(states)
            for i in progress(range(grid.N), f"{data}, trajectories", grid.N):
                after = next(states)
                # (x' - x) / (sigma' - sigma) is the noise prediction of this step
                eps = (after - before) / (grid.sigma[i + 1] - grid.sigma[i])
                values = np.linalg.norm(eps, axis=1) / np.sqrt(law.dim)
                put(data, "size", i, -1, grid.sigma[i], values)
                inside = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, count - 1)
                for number, counted in zip(*np.unique(inside, return_counts=True)):
                    put(data, "size", i, int(number), grid.sigma[i], values, int(counted))
                before = after
        if "error" in parameters["parts"]:
            sigmas, number = schedules.ddpm_sigmas(), parameters["pairs"][data]
            rng = np.random.default_rng([parameters["seed"], 1])
            clean, eps = law.sample(number, rng), rng.standard_normal((number, law.dim))
            spectrum = _spectrum(law.points)
            for t in progress(range(0, len(sigmas), parameters["time_stride"][data]), f"{data}, times"):
                estimate = law.noised(1.0, sigmas[t]).denoise(clean + sigmas[t] * eps)
                values = np.linalg.norm(clean - estimate, axis=1) / (sigmas[t] * np.sqrt(law.dim))
                linear = np.sqrt(np.sum(spectrum / (spectrum + sigmas[t] ** 2)) / law.dim)
                put(data, "error", t, -1, sigmas[t], values, linear=float(linear))
    return rows


def _spectrum(points):
    """Nonzero eigenvalues of the covariance of equally weighted points, from the smaller Gram matrix."""
    import numpy as np

    centred = points - points.mean(axis=0)
    gram = (centred.T @ centred if centred.shape[0] > centred.shape[1] else centred @ centred.T) / len(points)
    return np.maximum(np.linalg.eigvalsh(gram), 0.0)


def draw(table, parameters):
    """One row per data set: histogram of sizes, error against training time."""
    import numpy as np

    count_data = len(parameters["data"])
    figure, panels = new_figure(6.8, 2.5 * count_data + 0.3, rows=count_data, columns=2, squeeze=False)
    for (size, error), data in zip(panels, parameters["data"]):
        low, high, count = parameters["bins"][data]
        edges = np.linspace(low, high, count + 1)
        rows = [r for r in table if r["data"] == data and r["part"] == "size"]
        lines = [r for r in rows if r["bin"] < 0]
        image = np.zeros((count, len(lines)))
        for r in rows:
            if r["bin"] >= 0:
                image[r["bin"], r["i"]] = r["count"]
        image /= image.max(axis=0)
        sigma = np.array([r["sigma"] for r in lines])
        middle = np.sqrt(sigma[1:] * sigma[:-1])
        borders = np.concatenate([[sigma[0] ** 2 / middle[0]], middle, [sigma[-1] ** 2 / middle[-1]]])
        shown = np.ma.masked_equal(image, 0)
        mesh = size.pcolormesh(borders, edges, shown, cmap="Blues", vmin=0, vmax=1, linewidth=0, rasterized=True)
        size.plot(sigma, [r["mean"] for r in lines], color="black", linewidth=1.2, label="mean")
        size.plot(sigma, [r["q05"] for r in lines], color="#D55E00", linewidth=0.9, linestyle="--", label="5 and 95 %")
        size.plot(sigma, [r["q95"] for r in lines], color="#D55E00", linewidth=0.9, linestyle="--")
        size.set_xscale("log")
        size.set_xlim(sigma.max() * 1.1, sigma.min() / 1.1)
        size.set_ylim(low, high)
        size.set_ylabel("$|\\hat\\epsilon|\\,/\\sqrt{n}$")
        size.set_xlabel("noise level σ (data units), as time runs")
        name = {"digits": "digits, n = 64", "photo_patches": "photo patches, n = 3072"}.get(data, data)
        size.set_title(f"{name}, {parameters['trajectories'][data]} trajectories")
        size.legend(loc="upper right")
        figure.colorbar(mesh, ax=size, label="share of the largest bin", pad=0.02)

        rows = [r for r in table if r["data"] == data and r["part"] == "error"]
        t = [r["i"] for r in rows]
        error.fill_between(
            t, [r["q05"] for r in rows], [r["q95"] for r in rows], color="#0072B2", alpha=0.2, linewidth=0, label="5 to 95 %"
        )
        error.plot(
            t,
            [r["rms"] for r in rows],
            **{**curve_style(0), "marker": None},
            label="root mean square = $\\sqrt{MMSE/(n\\sigma^2)}$",
        )
        error.plot(t, [r["linear"] for r in rows], **{**curve_style(1), "marker": None}, label="best linear denoiser")
        error.set_ylim(0, 1.02)
        error.set_xlim(1000, 0)
        error.set_xlabel("training time t, as time runs")
        error.set_ylabel("$|\\hat\\epsilon-\\epsilon|\\,/\\sqrt{n}$")
        error.set_title(f"{name}, {parameters['pairs'][data]} pairs")
        error.legend(loc="upper left")
    return figure
