"""The predicted noise of the ideal denoiser: its size along DDIM, and its error against the true noise.

The two plots of Permenter & Yuan's appendix that need no network. Left: |eps_hat| / sqrt(n) along 100 DDIM steps, mean and 5
to 95 % of the trajectories (the table has histograms); the theory wants it near 1, since sigma eps_hat is to be the gradient
of half the squared distance, of length d = sqrt(n) sigma. Right: |eps_hat - eps| / sqrt(n) at x_0 + sigma eps, over training
times; its root mean square is sqrt(MMSE / (n sigma^2)), the error of the conditional mean. Bound: the error of the best
linear denoiser, exact from the covariance of the data; the MMSE is below it.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "size of the predicted noise along DDIM-100 and its error versus time, ideal denoiser (P. & Y., appendix)"
CAPTION = (
    "The noise that the ideal denoiser predicts has the size √n that the theory wants, on nine trajectories in ten "
    "within 2.3 per cent in 3072 dimensions and within 20 in 64, and its error is far below that of the best linear "
    "denoiser once the noise is small. These are the plots of the appendix of arXiv 2306.04848 that need no network, "
    "on digits (n = 64) and colour patches of photographs (n = 3072). Left: along 100 DDIM steps, mean and 5 to 95 % "
    "of the trajectories. Right: at x_0 + σ ε, root mean square = √(MMSE/(nσ²)) with the least mean squared error "
    "MMSE; dashed: best linear denoiser, exact from the covariance. The curves leave the axis where the error falls "
    "below 10⁻³."
)
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
    """Left: size of the predicted noise. Right: its error, and that of the best linear denoiser."""
    figure, (size, error) = panels(2, 2.9)
    names = {"digits": "digits, n = 64", "photo_patches": "photo patches, n = 3072"}
    for index, data in enumerate(parameters["data"]):
        look = {**curve_style(2 * index), "linestyle": "-"}

        # the size along the trajectories
        lines = [r for r in table if r["data"] == data and r["part"] == "size" and r["bin"] < 0]
        sigma = [r["sigma"] for r in lines]
        ends = [r["q05"] for r in lines], [r["q95"] for r in lines]
        size.fill_between(sigma, *ends, color=look["color"], alpha=0.15 + 0.2 * index, linewidth=0)
        size.plot(sigma, [r["mean"] for r in lines], **look, markevery=9, label=names.get(data, data))

        # the error against the training time
        rows = [r for r in table if r["data"] == data and r["part"] == "error"]
        t = [r["i"] for r in rows]
        error.plot(t, [max(r["rms"], 1e-30) for r in rows], **look, markevery=6)
        dashed = {"color": look["color"], "linewidth": 1.0, "linestyle": (0, (5, 2))}
        error.plot(t, [r["linear"] for r in rows], **dashed, label=f"best linear denoiser, {names.get(data, data)}")
    size.set_xscale("log")
    size.invert_xaxis()
    size.set_ylim(0.7, 1.3)
    size.set_xlabel("noise level σ (data units), as time runs")
    size.set_ylabel("size of the noise, $|\\hat\\epsilon|\\,/\\sqrt{n}$")
    title(size, "the predicted noise has the size √n")
    error.set_yscale("log")
    error.set_ylim(1e-3, 1.5)
    error.set_xlim(1000, 0)
    error.set_xlabel("training time t, as time runs")
    error.set_ylabel("its error, $|\\hat\\epsilon-\\epsilon|\\,/\\sqrt{n}$")
    title(error, "its error falls with the noise, a linear one's does not")
    legend_below(figure, 2)
    return figure
