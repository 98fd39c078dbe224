"""Denoisers that were learned, along their own DDIM trajectories: the appendix plots of Permenter & Yuan and the verdicts.

Four denoisers of the digits (n = 64). ``ideal``: the conditional mean. ``knn``: 5 nearest neighbours, as in audit_examples.
``ridge``: kernel ridge regression. ``mlp``: a perceptron with two hidden layers. The last two learn the residual F of xhat =
m + c_skip (x - m) + c_out F(c_in (x - m), log sigma), where the three factors are those of the best linear denoiser, from
noised digits at log-uniform levels. Left: error of the predicted noise against the true noise at x_0 + sigma eps, where the
prediction 0 has the error 1. Below sigma = 0.1 the three learned ones remove no noise, and eta, in the table, tends to 1.
The table also has the size of the predicted noise and the cosine of the predictions of two successive steps, 1 where the
projection is exact. Right: d(x_0) / d(x_N) per trajectory (median and range) and what its own errors guarantee a posteriori,
which needs no hypothesis; below, on how many trajectories (H1) eta < 1 and (H2) hold: a schedule admissible for the largest
eta. (H3) and (H4) always do.

The perceptron's rows are a measurement: its training follows the last bits of BLAS. The others are recomputed by the check.
"""

from functools import lru_cache

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, select, title

SUMMARY = "learned denoisers of the digits (kernel ridge, neighbours, perceptron): predicted noise, eta, guarantees"
CAPTION = (
    "Learned denoisers of the digits learn no small noise: below σ = .09 they remove less than a tenth of it or add "
    "to it, their relative error η tends to 1, and the distance to the data stalls about a hundred times above the "
    "distance that the ideal denoiser leaves (for the neighbours 35 times); the bound from the measured errors says "
    "so. The left panel shows the error of the predicted noise at x_0 + σ ε, 1 for the prediction 0; the curve of the "
    "neighbours leaves the frame and ends at 35. The right panel shows d(x_0)/d(x_N), with d the distance to the "
    "digits, as median and range of the trajectories, measured (filled) and guaranteed a posteriori (open); below it "
    "stands the share of trajectories on which (H1) η < 1 of arXiv 2306.04848 and (H2) an admissible schedule hold. "
    "Size and cosine of the predictions, the other plots of the appendix of arXiv 2306.04848, are in the table."
)
PAPER = ("2306.04848", "appendix", "stand-in")
PARAMETERS = {
    "denoisers": ["ideal", "knn", "ridge", "mlp"],
    "N": 50,
    "trajectories": 100,
    "pairs": 300,
    "ridge_pairs": 3000,
    "mlp_pairs": 15000,
    "seed": 0,
}
QUICK = {"trajectories": 30, "ridge_pairs": 1000, "mlp_pairs": 4000}
_NUMBERS = (
    "sigma",
    "norm",
    "norm_low",
    "norm_high",
    "error",
    "cosine",
    "eta",
    "eta_max",
    "share",
    "nu",
    "measured",
    "upper",
)
SPOT = Spot(
    {"denoisers": ["ridge"]},
    keys=("denoiser", "kind", "k"),
    rtol=dict.fromkeys(_NUMBERS, 1e-5),
    cause="last bits of BLAS in the solve of the ridge, which grow along a trajectory",
    atol=1e-9,
)
_LABELS = {"ideal": "ideal", "knn": "neighbours", "ridge": "kernel ridge", "mlp": "perceptron"}


@lru_cache
def _cloud():
    from exactdiffusion import PointCloud, datasets

    return PointCloud(datasets.digits())


def _factors(sigma):
    """c_skip, c_out, c_in, (n, 1) each, for data of the digits' root mean square deviation."""
    import numpy as np

    points = _cloud().points
    spread = np.sqrt(np.mean((points - points.mean(axis=0)) ** 2))
    sigma = np.asarray(sigma, dtype=float)[:, None]
    total = np.sqrt(spread**2 + sigma**2)
    return spread**2 / total**2, spread * sigma / total, 1 / total


def _inputs(x, sigma):
    import numpy as np

    centred = (x - _cloud().points.mean(axis=0)) * _factors(sigma)[2]
    return np.column_stack([centred, np.log(sigma)])


def _learned(model, pairs, seed):
    """The model fitted to residuals of noised digits, as a function (x, sigma) -> estimate."""
    import numpy as np

    rng, clean = np.random.default_rng([seed, 2]), _cloud().points
    mean = clean.mean(axis=0)
    clean = clean[rng.integers(0, len(clean), pairs)]
    sigma = np.exp(rng.uniform(np.log(2e-3), np.log(100.0), pairs))
    noised = clean + sigma[:, None] * rng.standard_normal(clean.shape)
    skip, out, _ = _factors(sigma)
    model.fit(_inputs(noised, sigma), (clean - mean - skip * (noised - mean)) / out)

    def denoise(x, sigma):
        sigma = np.broadcast_to(np.asarray(sigma, dtype=float), len(x))
        skip, out, _ = _factors(sigma)
        return mean + skip * (x - mean) + out * model.predict(_inputs(x, sigma))

    return denoise


def _denoiser(name, parameters):
    if name == "ideal":
        return lambda x, sigma: _cloud().noised(1.0, sigma).denoise(x)
    if name == "knn":
        return select(["audit_examples"])[0].knn
    if name == "ridge":
        from sklearn.kernel_ridge import KernelRidge

        model = KernelRidge(kernel="rbf", gamma=1 / 128, alpha=0.1)
        return _learned(model, parameters["ridge_pairs"], parameters["seed"])
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=(256, 256), max_iter=40, random_state=parameters["seed"], n_iter_no_change=40)
    return _learned(model, parameters["mlp_pairs"], parameters["seed"])


def compute(parameters, progress):
    """Rows of kind "step", "hypothesis" (k = 1 .. 4) and "trajectory" (k = row)."""
    import warnings

    import numpy as np

    from exactdiffusion.papers.projection.audit import audit

    rows, n = [], _cloud().dim

    def put(name, kind, k, **values):
        found = {key: None if v is None or not np.isfinite(v) else float(v) for key, v in values.items()}
        rows.append({"denoiser": name, "kind": kind, "k": k, **dict.fromkeys(_NUMBERS), **found})

    rng = np.random.default_rng([parameters["seed"], 3])
    clean = _cloud().points[rng.integers(0, len(_cloud().points), parameters["pairs"])]
    noise = rng.standard_normal(clean.shape)
    for name in progress(parameters["denoisers"], "denoisers"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the perceptron stops after a fixed number of passes
            fn = _denoiser(name, parameters)

        # the predicted noise of every step, kept while the audit runs; its other questions have other numbers of rows
        predicted = []

        def asked(x, sigma, fn=fn, predicted=predicted):
            answer = fn(x, sigma)
            if len(x) == parameters["trajectories"]:
                predicted.append((x - answer) / np.reshape(sigma, (-1, 1)))
            return answer

        report = audit(asked, _cloud(), N=parameters["N"], trajectories=parameters["trajectories"], seed=parameters["seed"])
        for i, row in enumerate(report.per_step()):
            size = np.linalg.norm(predicted[i], axis=1)
            low, high = np.percentile(size, (5, 95)) / np.sqrt(n)
            level = np.full(len(clean), row["sigma"])
            x = clean + row["sigma"] * noise
            miss = (x - fn(x, level)) / row["sigma"] - noise
            cosine = None
            if i + 1 < len(predicted):
                product = np.sum(predicted[i] * predicted[i + 1], axis=1)
                cosine = np.median(product / (size * np.linalg.norm(predicted[i + 1], axis=1)))
            put(
                name,
                "step",
                i,
                sigma=row["sigma"],
                norm=np.mean(size) / np.sqrt(n),
                norm_low=low,
                norm_high=high,
                error=np.sqrt(np.mean(miss**2)),
                cosine=cosine,
                eta=row["q50"],
                eta_max=row["max"],
            )
        for k, hypothesis in enumerate(report.hypotheses, start=1):
            put(name, "hypothesis", k, share=hypothesis.share)
        for k, values in enumerate(
            zip(report.measured, report.a_posteriori[1], report.eta_per_trajectory, report.nu_per_trajectory)
        ):
            put(name, "trajectory", k, **dict(zip(("measured", "upper", "eta_max", "nu"), values)))
    return rows


def draw(table, parameters):
    """Left: error of the predicted noise. Right: reductions of the distance and their guarantees."""
    import numpy as np

    figure, (error, ratio) = panels(2, 3.0)
    ticks = []
    for index, name in enumerate(parameters["denoisers"]):
        look = curve_style(index)
        rows = [r for r in table if r["denoiser"] == name and r["kind"] == "step"]
        error.plot([r["sigma"] for r in rows], [r["error"] for r in rows], **look, markevery=4, label=_LABELS[name])

        # measured reductions, and those that the errors of the same trajectory guarantee
        runs = [r for r in table if r["denoiser"] == name and r["kind"] == "trajectory" and r["upper"] is not None]
        for shift, key, marker, face in ((-0.15, "measured", "o", look["color"]), (0.15, "upper", "v", "white")):
            values = np.array([r[key] for r in runs])
            ratio.plot([index + shift] * 2, [values.min(), values.max()], color=look["color"], linewidth=1)
            mark = {"marker": marker, "color": look["color"], "markerfacecolor": face, "markersize": 4.5}
            ratio.plot(index + shift, np.median(values), **mark)
        share = {r["k"]: r["share"] for r in table if r["denoiser"] == name and r["kind"] == "hypothesis"}
        ticks.append(f"{_LABELS[name]}\nH1: {100 * share[1]:.0f} %\nH2: {100 * share[2]:.0f} %")
    error.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (1, 2)))
    error.annotate("no noise removed", (0.02, 1.02), xycoords=error.get_yaxis_transform(), fontsize=7)
    error.set_xscale("log")
    error.invert_xaxis()
    error.set_ylim(0, 1.3)
    error.set_xlabel("noise level σ (data units), as time runs")
    error.set_ylabel("error of the predicted noise / √n")
    title(error, "below σ = .09 learned denoisers keep the noise or add to it")
    ratio.set_yscale("log")
    ratio.set_xlim(-0.5, len(ticks) - 0.5)
    ratio.set_xticks(range(len(ticks)), ticks)
    ratio.set_ylabel("d($x_0$) / d($x_N$)")
    title(ratio, "so their distance stalls: measured (●), guaranteed (▽)")
    legend_below(figure, 4)
    return figure
