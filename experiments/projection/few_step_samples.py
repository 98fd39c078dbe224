"""Samples at few denoiser calls: gradient estimation beside DDIM, DPM-Solver++ and Heun, exact denoiser of the digits.

Stands in for Fig. 4 of arXiv 2306.04848 (Stable Diffusion) and its tables of FID: the same samplers at few calls, 8 x 8
digits with the exact denoiser, the paper's schedule "Linear". W2 to all digits, 200 samples a run; ``far`` is the root mean
squared distance to the nearest digit.
"""

from exactdiffusion.studies.figures import Spot, curve_style, helper, legend_below, panels, plain_ticks, title

SUMMARY = "digits at five calls: samples of DDIM, gradient estimation, DPM-Solver++ and Heun, and distance against the calls"
CAPTION = (
    "From ten calls on DDIM, gradient estimation, DPM-Solver++ and Heun end at an rms distance of at most .11 from "
    "the digits, near the distance √n σ₀ = .08 that an exact projection leaves; at five calls gradient estimation (γ "
    "= 2) and Heun stop at ten times that distance or more, as their grey images show. The figure stands in for Fig. "
    "4 of arXiv 2306.04848 (Stable Diffusion) and its tables of FID: 8 x 8 digits, exact denoiser, log-linear "
    "schedule from 40 to .01, 200 samples. The left panel shows samples at five calls from the same starts, the right "
    "one the rms distance to the nearest digit, mean and range of 6 seeds. From ten calls on W2 to all digits (table) "
    "is what exact draws score."
)
PAPER = ("2306.04848", "4", "stand-in")
PARAMETERS = {
    "samplers": ["ddim", "gradient_estimation", "dpm_solver_pp", "heun"],
    "calls": [5, 10, 20, 40],
    "samples": 200,
    "repeats": 6,
    "floor_repeats": 40,
    "shown": 7,
    "shown_calls": 5,
}
QUICK = {"calls": [5, 10], "repeats": 2, "floor_repeats": 10}
SPOT = Spot(
    {"calls": [5], "repeats": 2, "floor_repeats": 2, "shown": 0},
    keys=("kind", "sampler", "calls", "k"),
    rtol={"w2": 1e-6, "far": 1e-6},
    cause="last bits of BLAS and exp grow along a trajectory",
    atol=1e-9,
)

LABELS = {"ddim": "DDIM", "gradient_estimation": "gradient\nestimation", "dpm_solver_pp": "DPM-\nSolver++", "heun": "Heun"}


def compute(parameters, progress):
    """Rows ``run`` (one per sampler, calls, repeat), ``exact`` (draws of the target) and ``sample`` (images)."""
    import numpy as np

    from exactdiffusion import Noise, distances, samplers, schedules
    from exactdiffusion.studies import sweep

    law, rows, n = sweep.law_of("digits"), [], parameters["samples"]
    coded = helper("shared", "_pictures").coded

    def put(kind, sampler, calls, k, w2=None, far=None, image=""):
        rows.append({"kind": kind, "sampler": sampler, "calls": calls, "k": k, "w2": w2, "far": far, "image": image})

    def w2(y):
        points, counts = np.unique(y, axis=0, return_counts=True)
        return float(distances.w2(points, law.points, weights_x=counts / len(y), weights_y=law.weights).value)

    cells = [(s, c, k) for s in parameters["samplers"] for c in parameters["calls"] for k in range(parameters["repeats"])]
    for name, calls, k in progress(cells, "W2"):
        # Heun asks twice in each step but the last
        grid = schedules.log_linear((calls + 1) // 2 if name == "heun" else calls, 40.0, 0.01)
        y = samplers.final(getattr(samplers, name)(law, grid, grid.sigma[0] * Noise(k).initial(n, law.dim)))
        put("run", name, calls, k, w2=w2(y), far=float(np.sqrt(np.mean(law.distance(y) ** 2))))
        if k == 0 and calls == parameters["shown_calls"]:
            for i in range(parameters["shown"]):
                put("sample", name, calls, i, image=coded(y[i], 1.0, -1.0))
    for k in range(parameters["floor_repeats"]):
        put("exact", "target", 0, k, w2=w2(law.sample(n, np.random.default_rng([k, n]))))
    return rows


def draw(table, parameters):
    """Left: samples. Right: distance to the digits against the calls."""
    import numpy as np

    figure, (samples, errors) = panels(2, 2.8)
    images = {
        text: [r["image"] for r in table if r["kind"] == "sample" and r["sampler"] == name] for name, text in LABELS.items()
    }
    helper("shared", "_pictures").sheet(samples, images, (8, 8))
    title(samples, f"{parameters['shown_calls']} calls: gradient estimation and Heun stop early", inset=0.7)

    # distances, and the one that an exact projection leaves
    for index, (name, text) in enumerate(LABELS.items()):
        found = [
            [r["far"] for r in table if r["kind"] == "run" and r["sampler"] == name and r["calls"] == calls]
            for calls in parameters["calls"]
        ]
        mean, low, high = (np.array([f(runs) for runs in found]) for f in (np.mean, min, max))
        bars = {"yerr": [mean - low, high - mean], "capsize": 1.5, "elinewidth": 0.7}
        label = text.replace("-\n", "-").replace("\n", " ")
        # a step of Heun asks twice but for the last one, so that it makes an odd number of calls
        made = [c if name != "heun" else 2 * ((c + 1) // 2) - 1 for c in parameters["calls"]]
        errors.errorbar(made, mean, **bars, label=label, **curve_style(index))
    left = 8 * 0.01
    errors.axhline(left, color="0.35", linewidth=0.9, linestyle=(0, (1, 2)))
    errors.annotate("√n σ₀", (40, left), textcoords="offset points", xytext=(0, -9), ha="right", fontsize=7)
    errors.set_xscale("log")
    errors.set_yscale("log")
    errors.set_xticks(parameters["calls"], [str(c) for c in parameters["calls"]])
    errors.set_xticks([], minor=True)
    errors.set_ylim(0.06, 1.5)
    plain_ticks(errors.yaxis, 0.06, 1.5)
    errors.set_xlabel("denoiser calls (Heun: one less if even)")
    errors.set_ylabel("rms distance to the nearest digit")
    title(errors, "from ten calls on all end near digits")
    legend_below(figure, 4)
    return figure
