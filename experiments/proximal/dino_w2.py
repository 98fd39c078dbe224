"""Proximal against score samplers on the dino: the setting of Fang, Diaz, Buchanan, Sulam (arXiv 2507.08956), Fig. 1.

Target: the 142 points of the dino, equal weights. VP schedule, beta from 0.1 to 20 on [0, 1], uniform times, start N(0, I),
the same start and the same noise for every method. W2 is exact between the samples and the weighted points. Score samplers
step by ``beta(t_k) (t_k - t_{k-1})`` as the released code does, proximal ones by the integral of beta. "Denoise at eps" are
N - 1 steps from 1 to eps and one Euler step without noise from eps to 0. The backward scheme needs every integral below 2:
with this schedule N >= 10. The proximal maps are global minimisers; ``local`` climbs from the query alone.

Three things the published figure does not show: W2 of as many exact draws of the target (mean and central 90 %), which all
curves reach at n = 1,000 (the table also has n = 20,000); the probability-flow ODE with equally many evaluations of the
score; canonical Euler-Maruyama followed by the nearest point of the target, which measures how much of its error is the
noise of the last step. One NFE of a proximal sampler is one proximal map; the column ``evaluations`` has the density, score
and Hessian evaluations per sample of a whole run.

Rows ``published`` are read off the pixels of the published figure to about 2 %.
"""

from exactdiffusion.studies.figures import Spot, curve_style, exact_draws_band, legend_below, panels, plain_ticks, title

SUMMARY = "dino: samples after 5 steps and W2 versus number of evaluations, score against proximal samplers (Fig. 1)"
CAPTION = (
    "With five evaluations the proximal hybrid sampler beats every Euler-Maruyama variant, as published, and is "
    "itself beaten by the probability-flow ODE, which the published figure leaves out; both reach the score of exact "
    "draws at N = 20. Right: dino, 1000 samples, mean of 8 seeds with 95 % interval; the short bars are read off Fig. "
    "1 of arXiv 2507.08956 to about 2 %; the backward scheme needs N ≥ 10. Left: the target and 500 samples at N = 5, "
    "where the area of a mark is the number of samples there; of canonical EM 48 % lie outside the frame. EM + "
    "nearest point moves every output of canonical Euler-Maruyama (EM) to the nearest point of the target. An exact "
    "prox of a cloud returns its points. The table also has 20,000 samples and more methods. The share of exact draws "
    "within the grey band is known to within 5 per cent."
)
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
    """Left: samples (the area of a mark is their number there). Right: W2 against N."""
    import numpy as np

    from exactdiffusion.distances import rates

    figure, (clouds, errors) = panels(2, 3.3)

    # the clouds side by side in one panel
    shown = {
        "target": "target",
        "em": "EM, canonical",
        "em_1e-3": "EM, denoised",
        "ode": "PF-ODE",
        "hybrid": "prox, hybrid",
        "em_projected": "EM + nearest",
    }
    for k, (method, text) in enumerate(shown.items()):
        rows = [r for r in table if r["kind"] == "sample" and r["method"] == method]
        x, y, count = (np.array([r[c] for r in rows]) for c in ("x", "y", "count"))
        inside = np.maximum(abs(x), abs(y)) < 1.2
        right, down = 2.7 * (k % 3), -3.0 * (k // 3)
        area = 0.9 * count * 500 / max(count.sum(), 500)
        look = curve_style(_LOOKS.get(method, 4))["color"]
        clouds.scatter(x[inside] + right, y[inside] + down, s=area[inside], color=look, linewidths=0, rasterized=True)
        clouds.annotate(text, (right, down + 1.3), ha="center", fontsize=7)
    clouds.set_aspect("equal")
    clouds.set_xlim(-1.4, 6.8)
    clouds.set_ylim(-4.5, 1.8)
    clouds.grid(visible=False)
    clouds.set_xticks([])
    clouds.set_yticks([])
    title(clouds, "N = 5: the prox returns points of the target")

    # the distances
    n = parameters["samples"]
    exact_draws_band(errors, [r["value"] for r in table if r["kind"] == "floor" and r["n"] == n])
    for method in ("em", "em_projected", "em_1e-3", "ode", "hybrid", "backward"):
        cells = {}
        for r in table:
            if r["kind"] == "w2" and r["method"] == method and r["n"] == n:
                cells.setdefault(r["steps"], []).append(r["value"])
        ends = [rates.t_interval(cells[N], 0.95)[:3] for N in sorted(cells)]
        mean, low, high = map(np.array, zip(*ends))
        look = curve_style(_LOOKS[method])
        bars = {"yerr": [mean - low, high - mean], "capsize": 1.5, "elinewidth": 0.7}
        errors.errorbar(sorted(cells), mean, **bars, label=LABELS[method], **look)
        for r in table:
            if r["kind"] == "published" and r["n"] == n and r["method"] == method:
                errors.plot(r["steps"], r["value"], "_", color=look["color"], markersize=9, markeredgewidth=1.3, zorder=5)
    errors.plot([], [], "_", color="0.3", markersize=9, markeredgewidth=1.3, label="published (in the method's colour)")
    errors.set_xscale("log")
    errors.set_yscale("log")
    errors.set_xticks(parameters["steps"], [str(N) for N in parameters["steps"]])
    errors.set_xticks([], minor=True)
    plain_ticks(errors.yaxis, 0.03, 1.2)
    errors.set_xlabel("evaluations of score or prox N")
    errors.set_ylabel("W₂ to the target (data units)")
    title(errors, "PF-ODE, not published, is best at N = 5")
    legend_below(figure, 3)
    return figure
