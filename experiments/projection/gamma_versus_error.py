"""Gradient estimation: extrapolation weight gamma and number of steps against the error, with exact denoisers.

Stands in for the FID tables of Permenter & Yuan (Sec. 6, and FID against gamma in the appendix), which need trained
networks: here the denoiser is exact, and what is left is the error of the sampler. Same schedule ("Linear": log-linear from
sigma = 40, quantised to training times, last step to time 0), same N, same range of gamma. A ring marks the settings of the
released code for CelebA, (N, gamma, start) = (5, 2, 40), (10, 2, 80), (20, 2.4, 100), (50, 2.8, 120).

The table has four targets; drawn are W2 on the dino (left) and the distance on the ring mixture (right). W2 to the target,
exact against the weighted atoms; against as many target draws for the ring mixture. The band is what independent draws of
the target score: below it nothing is told apart (blurred samples can score lower than draws in dimension 64 or 3072, since
they spare the cost of mismatched atoms). Distance: root mean squared distance to the support, against the value sqrt(n)
sigma_0 that exact projections leave (Theorem 4.1); it is blind to which atom is reached. The ring mixture fills the plane,
so there it is the rms difference to the exact flow from the same start (Heun, ``reference_steps``).
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "gradient estimation: gamma and steps versus W2 and distance to support, exact-oracle stand-in for the FID tables"
CAPTION = (
    "Gradient estimation pays at few steps: with γ near 1.75 five steps reach the score of exact draws on the dino, "
    "where DDIM (γ = 1) has 2.6 times that error, and the best γ depends on the law. Exact denoisers stand in for the "
    "FID tables and FID against γ of arXiv 2306.04848. Every mark is one run (one seed), so that only the range of "
    "the exact draws (grey) tells how far chance goes. Left: W2, all runs from σ = 40. Right: rms difference to the "
    "exact flow on a ring of Gaussians, least at γ = 1.5. Rings are settings of the released code for CelebA; their "
    "runs start at σ = 40, 80, 100 and 120 for N = 5, 10, 20 and 50, so that they lie off the curves. On the digits "
    "and patches (table) W2 is that of exact draws for γ up to 2 and rises beyond."
)
PAPER = ("2306.04848", "appendix", "stand-in")
PARAMETERS = {
    "targets": ["digits", "photo_patches", "rings", "dino"],
    "samples": {"digits": 400, "photo_patches": 64, "rings": 1000, "dino": 1000},
    "gammas": {
        "digits": [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3],
        "photo_patches": [1, 1.5, 2, 2.5, 3],
        "rings": [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3],
        "dino": [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3],
    },
    "steps": [5, 10, 20, 50],
    "start": 40,
    "celeba": {"5": [2, 40], "10": [2, 80], "20": [2.4, 100], "50": [2.8, 120]},
    "seed": 0,
    "floor_repeats": 10,
    "reference_steps": 400,
}
QUICK = {"targets": ["digits", "rings"], "samples": {"digits": 100, "rings": 300}, "floor_repeats": 4}
SPOT = Spot(
    {"targets": ["rings"], "steps": [5], "floor_repeats": 2},
    keys=("target", "setting", "steps", "gamma", "repeat"),
    rtol={"w2": 1e-6, "distance": 1e-6, "start": 1e-12},
    cause="last bits of BLAS and exp differ between processors and grow along a trajectory",
)

_TITLES = {
    "digits": "digits\nn = 64",
    "photo_patches": "photo patches\nn = 3072",
    "rings": "ring mixture\nn = 2",
    "dino": "dino\nn = 2",
}
_EXACT = "exact draws"


def compute(parameters, progress):
    """One row per target, setting (cifar: one start; celeba: their own start), N and gamma; then exact draws."""
    import numpy as np

    from exactdiffusion import Noise, distances, samplers, schedules
    from exactdiffusion.studies import sweep

    rows, seed = [], parameters["seed"]
    for target in parameters["targets"]:
        law, count = sweep.law_of(target), parameters["samples"][target]
        unit = Noise(seed).initial(count, law.dim)
        atoms = getattr(law, "points", None)
        # the reference draws must not be the sampler's noise
        reference = law.sample(count, np.random.default_rng([seed, 1])) if atoms is None else atoms
        weights = None if atoms is None else law.weights
        cells = [("cifar", n, g, parameters["start"]) for n in parameters["steps"] for g in parameters["gammas"][target]]
        cells += [("celeba", n, *parameters["celeba"][str(n)]) for n in parameters["steps"]]
        exact = {}
        for setting, steps, gamma, start in progress(cells, target):
            grid = schedules.quantised(steps, "linear", start=float(start))
            x = grid.sigma[0] * unit
            y = samplers.final(samplers.gradient_estimation(law, grid, x, gamma=float(gamma)))
            if atoms is None:
                if start not in exact:
                    fine = schedules.log_linear(parameters["reference_steps"], grid.sigma[0], grid.sigma[-1])
                    exact[start] = samplers.final(samplers.heun(law, fine, x))
                distance = np.sqrt(np.mean(np.sum((y - exact[start]) ** 2, axis=1)))
            else:
                distance = distances.w2_to_set(y, law)
            w2 = distances.w2(y, reference, weights_y=weights).value
            rows.append(
                {
                    "target": target,
                    "setting": setting,
                    "steps": steps,
                    "gamma": float(gamma),
                    "repeat": 0,
                    "start": float(grid.sigma[0]),
                    "samples": count,
                    "w2": w2,
                    "distance": float(distance),
                }
            )
        drawn = distances.exact_draws(
            law, count, reference, parameters["floor_repeats"], np.random.default_rng([seed, 2]), weights=weights
        )
        left = None if atoms is None else float(np.sqrt(law.dim) * schedules.ddpm_sigmas()[0])
        rows += [
            {
                "target": target,
                "setting": _EXACT,
                "steps": 0,
                "gamma": 0.0,
                "repeat": k,
                "start": 0.0,
                "samples": count,
                "w2": value,
                "distance": left,
            }
            for k, value in enumerate(drawn.values)
        ]
    return rows


def draw(table, parameters):
    """Left: W2 on the dino. Right: difference to the exact flow on the ring mixture."""
    import numpy as np

    figure, both = panels(2, 2.9)
    texts = {
        "dino": "dino: at N = 5 γ = 1.75 has less than half the error of DDIM",
        "rings": "ring of Gaussians: γ = 1.5 is best at every N",
    }
    for axes, target, value in zip(both, ("dino", "rings"), ("w2", "distance")):
        rows = [r for r in table if r["target"] == target]

        # a curve per number of steps, and the settings of the released code
        for index, steps in enumerate(parameters["steps"]):
            look = curve_style(index)
            curve = [r for r in rows if r["setting"] == "cifar" and r["steps"] == steps]
            axes.plot([r["gamma"] for r in curve], [r[value] for r in curve], label=f"N = {steps}", **look)
            own = next(r for r in rows if r["setting"] == "celeba" and r["steps"] == steps)
            ring = {"color": look["color"], "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.1}
            axes.plot(own["gamma"], own[value], "o", **ring)
        if value == "w2":
            drawn = np.array([r["w2"] for r in rows if r["setting"] == _EXACT])
            axes.axhspan(drawn.min(), drawn.max(), color="0.85", zorder=0, label=f"exact draws, range of {len(drawn)} runs")

        # the axes
        axes.set_yscale("log")
        axes.set_ylim(*({"w2": (0.04, 0.3)}.get(value) or axes.get_ylim()))
        plain_ticks(axes.yaxis, *axes.get_ylim())
        axes.set_xlabel("extrapolation γ (1: DDIM)")
        axes.set_xticks([1, 1.5, 2, 2.5, 3])
        title(axes, texts[target])
    both[0].set_ylabel("W₂ to the data (data units)")
    both[1].set_ylabel("rms difference to the exact flow")
    both[1].plot([], [], "o", color="0.3", markersize=9, markerfacecolor="none", label="settings for CelebA")
    legend_below(figure, 6)
    return figure
