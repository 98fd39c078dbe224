"""Proximal against score samplers on the dino: the setting of Fang, Diaz, Buchanan, Sulam (arXiv 2507.08956), Fig. 1.

Target: the 142 points of the dino, equal weights. VP schedule, beta from 0.1 to 20 on [0, 1], uniform times, start N(0, I),
the same start and the same noise for every method. W2 is exact between the samples and the weighted points. Score samplers
step by ``beta(t_k) (t_k - t_{k-1})`` as the released code does, proximal ones by the integral of beta. "Denoise at eps" are
N - 1 steps from 1 to eps and one Euler step without noise from eps to 0. The backward scheme needs every integral below 2:
with this schedule N >= 10. The proximal maps are global minimisers; ``local`` climbs from the query alone.

Three things the published figure does not show: W2 of as many exact draws of the target (mean and central 90 %), which all
curves reach at n = 1,000 (hence the panel with n = 20,000); the probability-flow ODE with equally many evaluations of the
score; canonical Euler-Maruyama followed by the nearest point of the target, which measures how much of its error is the
noise of the last step. One NFE of a proximal sampler is one proximal map; the column ``evaluations`` has the density, score
and Hessian evaluations per sample of a whole run.

Rows ``published`` are read off the pixels of the published figure to about 2 %.
"""

from exactdiffusion.studies.figures import Spot, curve_style, exact_draws_band, new_figure, plain_ticks

SUMMARY = "dino: samples after 5 steps and W2 versus number of evaluations, score against proximal samplers (Fig. 1)"
PAPER = ("2507.08956", "1", "present")
PARAMETERS = {
    "methods": [
        "em",
        "em_projected",
        "em_1e-3",
        "em_1e-5",
        "em_quiet",
        "ode",
        "ddpm",
        "ddim",
        "hybrid",
        "hybrid_local",
        "backward",
    ],
    "large_methods": ["em", "em_projected", "em_1e-3", "ode", "hybrid", "backward"],
    "steps": [5, 7, 10, 20, 30, 40],
    "large_steps": [5, 7, 10, 20, 40],
    "samples": 1000,
    "large_samples": 20000,
    "repeats": 8,
    "large_repeats": 2,
    "floor_repeats": 40,
    "shown_steps": 5,
    "backward_steps": 10,
    "shown": 500,
    "beta": [0.1, 20.0],
}
QUICK = {"steps": [5, 10, 20], "large_steps": [5], "repeats": 2, "floor_repeats": 5}
SPOT = Spot(
    {
        "methods": ["em", "em_1e-3", "ode", "hybrid"],
        "steps": [5],
        "large_steps": [],
        "repeats": 1,
        "floor_repeats": 0,
        "shown": 0,
    },
    keys=("kind", "method", "n", "steps", "k"),
    rtol={"value": 1e-6, "x": 1e-6, "y": 1e-6, "evaluations": 0.05},
    cause="last bits of BLAS and exp differ between processors and grow along a trajectory; a solver may then take "
    "one iteration more",
)

# read off the published figure, to about 2 %
PUBLISHED = {
    "em": {5: 1.036, 7: 0.498, 10: 0.245, 20: 0.152, 30: 0.106, 40: 0.092},
    "em_1e-3": {5: 0.240, 7: 0.225, 10: 0.139, 20: 0.116, 30: 0.084, 40: 0.081},
    "em_1e-5": {5: 0.334, 7: 0.240, 10: 0.154, 20: 0.120, 30: 0.085, 40: 0.081},
    "hybrid": {5: 0.207, 7: 0.136, 10: 0.099, 20: 0.082, 30: 0.066, 40: 0.061},
    "backward": {10: 0.114, 20: 0.076, 30: 0.065, 40: 0.064},
}
LABELS = {
    "em": "EM, canonical",
    "em_1e-3": "EM, denoise at ε = 10⁻³",
    "em_1e-5": "EM, denoise at ε = 10⁻⁵",
    "em_projected": "EM + nearest point",
    "ode": "PF-ODE, Euler, ε = 10⁻³",
    "hybrid": "prox, hybrid",
    "backward": "prox, backward",
}
_LOOKS = {"em": 7, "em_1e-3": 0, "em_1e-5": 5, "em_projected": 3, "ode": 4, "hybrid": 1, "backward": 2}
_ROW = {
    "kind": "",
    "method": "",
    "n": 0,
    "steps": 0,
    "k": 0,
    "value": None,
    "evaluations": None,
    "x": None,
    "y": None,
    "count": None,
}


def _run(method, law, N, noise, n, beta):
    """(samples, evaluations per sample)."""
    from exactdiffusion import samplers, schedules

    x = noise.initial(n, law.dim)
    low, high = beta
    plain = schedules.vp_linear(N, low, high)
    if method.startswith(("hybrid", "backward")):
        calls = {}
        function = samplers.proximal_hybrid if method.startswith("hybrid") else samplers.proximal_backward
        kind = "local" if method.endswith("local") else "global"
        y = samplers.final(function(law, plain, x, noise=noise, prox=kind, calls=calls))
        return y, sum(calls.get(k, 0) for k in ("density", "score", "hessian")) / n
    if method in ("ddim", "ddpm"):
        options = {"noise": noise} if method == "ddpm" else {}
        return samplers.final(getattr(samplers, method)(law, plain, x, **options)), N
    if method == "ode":
        grid = schedules.vp_linear(N, low, high, eps=1e-3, final_zero=True)
        return samplers.final(samplers.probability_flow(law, grid, x, step="right")), N
    if method.startswith("em_1e"):
        grid = schedules.vp_linear(N, low, high, eps=float(method[3:]), final_zero=True)
        return samplers.final(samplers.euler_maruyama(law, grid, x, noise=noise, step="right", last_noise=False)), N
    y = samplers.final(samplers.euler_maruyama(law, plain, x, noise=noise, step="right", last_noise=method != "em_quiet"))
    return (law.project(y) if method == "em_projected" else y), N


def _merged(y):
    """Different rows and how often each occurs: outputs at time 0 of proximal samplers are points of the target."""
    import numpy as np

    return np.unique(y, axis=0, return_counts=True)


def _w2(y, law):
    from exactdiffusion import distances

    points, counts = _merged(y)
    return distances.w2(points, law.points, weights_x=counts / len(y), weights_y=law.weights).value


def compute(parameters, progress):
    """Rows ``w2`` (one per method, n, N, repeat), ``floor`` (exact draws), ``published``, and the pictures (``sample``)."""
    import numpy as np

    from exactdiffusion import Noise
    from exactdiffusion.studies import sweep

    law, beta = sweep.law_of("dino"), parameters["beta"]
    rows = []
    sizes = [
        (parameters["samples"], parameters["methods"], parameters["steps"], parameters["repeats"]),
        (parameters["large_samples"], parameters["large_methods"], parameters["large_steps"], parameters["large_repeats"]),
    ]
    cells = [
        (n, method, N, k)
        for n, methods, steps, repeats in sizes
        for method in methods
        for N in steps
        for k in range(repeats)
        if not (method == "backward" and parameters["backward_steps"] > N)
    ]
    for n, method, N, k in progress(cells, "W2"):
        y, evaluations = _run(method, law, N, Noise(k), n, beta)
        rows.append(
            {
                **_ROW,
                "kind": "w2",
                "method": method,
                "n": n,
                "steps": N,
                "k": k,
                "value": _w2(y, law),
                "evaluations": evaluations,
            }
        )
    for n in (parameters["samples"], parameters["large_samples"]):
        for k in range(parameters["floor_repeats"]):
            y = law.sample(n, np.random.default_rng([k, n]))
            rows.append({**_ROW, "kind": "floor", "method": "target", "n": n, "k": k, "value": _w2(y, law)})
    rows += [
        {**_ROW, "kind": "published", "method": m, "n": 1000, "steps": N, "value": value}
        for m, curve in PUBLISHED.items()
        if m in parameters["methods"]
        for N, value in curve.items()
        if N in parameters["steps"]
    ]
    if parameters["shown"]:
        pictures = [("target", 0, law.points)]
        for method in LABELS:
            N = parameters["backward_steps"] if method == "backward" else parameters["shown_steps"]
            pictures.append((method, N, _run(method, law, N, Noise(0), parameters["shown"], beta)[0]))
        for method, N, y in pictures:
            points, counts = _merged(y)
            rows += [
                {
                    **_ROW,
                    "kind": "sample",
                    "method": method,
                    "n": len(y),
                    "steps": N,
                    "k": k,
                    "x": float(a),
                    "y": float(b),
                    "count": int(c),
                }
                for k, ((a, b), c) in enumerate(zip(points, counts))
            ]
    return rows


def draw(table, parameters):
    """Upper rows: samples (the area of a mark is their number there). Lower row: W2 against N, one panel per sample size."""
    import numpy as np

    from exactdiffusion.distances import rates

    names = ["target", *LABELS]
    figure, unused = new_figure(7.2, 6.4)
    unused.remove()
    upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.3])
    small = upper.subplots(2, 4)
    for axes, method in zip(small.ravel(), names):
        rows = [r for r in table if r["kind"] == "sample" and r["method"] == method]
        count = np.array([r["count"] for r in rows])
        axes.scatter(
            [r["x"] for r in rows],
            [r["y"] for r in rows],
            s=2.2 * count * 500 / max(count.sum(), 500),
            color="#0072B2" if method != "target" else "black",
            alpha=0.75,
            linewidths=0,
        )
        axes.set_xlim(-1.25, 1.25)
        axes.set_ylim(-1.25, 1.25)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
        outside = sum(r["count"] for r in rows if max(abs(r["x"]), abs(r["y"])) > 1.25) / count.sum()
        title = "target, 142 points" if method == "target" else f"{LABELS[method]}\nN = {rows[0]['steps']}"
        axes.set_title(title + (f" ({100 * outside:.0f} % outside)" if outside > 0.01 else ""), fontsize=7.5)
    panels = lower.subplots(1, 2, sharex=True, sharey=True)
    for axes, n in zip(panels, (parameters["samples"], parameters["large_samples"])):
        drawn = [r["value"] for r in table if r["kind"] == "floor" and r["n"] == n]
        if drawn:
            exact_draws_band(axes, drawn)
        for method, label in LABELS.items():
            cells = {}
            for r in table:
                if r["kind"] == "w2" and r["method"] == method and r["n"] == n:
                    cells.setdefault(r["steps"], []).append(r["value"])
            if not cells:
                continue
            steps, middle, low, high = sorted(cells), [], [], []
            for N in steps:
                values = cells[N]
                interval = (
                    rates.t_interval(values, 0.95)[:3]
                    if len(values) > 3
                    else (float(np.mean(values)), min(values), max(values))
                )
                for sink, value in zip((middle, low, high), interval):
                    sink.append(value)
            spread = [np.subtract(middle, low), np.subtract(high, middle)]
            axes.errorbar(steps, middle, yerr=spread, capsize=2, elinewidth=0.8, label=label, **curve_style(_LOOKS[method]))
        marks = [r for r in table if r["kind"] == "published" and r["n"] == n]
        for r in marks:
            axes.plot(
                r["steps"],
                r["value"],
                "_",
                color=curve_style(_LOOKS[r["method"]])["color"],
                markersize=11,
                markeredgewidth=1.5,
                zorder=5,
            )
        axes.plot([], [], "_", color="black", markersize=11, markeredgewidth=1.5, label="read off the published figure")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("N, evaluations of score or prox")
        axes.set_xticks(parameters["steps"], [str(N) for N in parameters["steps"]])
        axes.set_xticks([], minor=True)
    panels[0].set_title(f"n = {parameters['samples']:,}, mean of {parameters['repeats']} seeds, 95 % interval", fontsize=8)
    panels[1].set_title(
        f"n = {parameters['large_samples']:,}, mean and range of {parameters['large_repeats']} seeds", fontsize=8
    )
    panels[0].set_ylabel("W₂ to the target (data units)")
    plain_ticks(panels[0].yaxis, 0.03, 1.2)
    lower.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7)
    return figure
