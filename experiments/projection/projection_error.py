"""Relative projection error of the ideal denoiser along DDIM trajectories (Permenter & Yuan, Fig. 2).

eta_t = |E[X | x_t] - proj(x_t)| / dist(x_t): what the theory assumes bounded (Definition 3.1), measured where the
proof uses it, at the visited (x_t, sigma_t). Data are handwritten digits (dimension 64) and colour patches of photographs,
which have the dimension 3072 of the paper's CIFAR-10; the cloud is the data set itself, so projection is nearest neighbour.

``paired``: "same" takes denoiser, projection and distance at one state. "paper-code" is the pairing of the released script,
the denoiser at x_t with projection and distance at x_{t-1}; it is kept for comparison with the published figure. The
table has both and the lower panels compare them. ``nu`` is the band needed: sqrt(n) sigma / dist or its inverse, the larger.
The wrong pairing changes eta little, and nu much: it sets dist at x_0 against sigma_1, 7.6 times sigma_0.
"""

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "relative projection error of the ideal denoiser along DDIM on digits and photo patches (P. & Y., Fig. 2)"
PAPER = ("2306.04848", "2", "stand-in")
PARAMETERS = {
    "trajectories": {"digits": 2000, "photo_patches": 300},
    "spot_trajectories": {"digits": 50, "photo_patches": 4},
    "steps": 50,
    "seed": 0,
    "paired": "same",
}
QUICK = {"trajectories": {"digits": 500, "photo_patches": 60}}
SPOT = Spot(
    {"trajectories": {"digits": 50, "photo_patches": 4}},
    keys=("data", "paired", "trajectories", "i"),
    rtol=dict.fromkeys(("mean", "q05", "q50", "q95", "max", "nu"), 1e-6) | {"sigma": 1e-12},
    cause="last bits of BLAS differ between processors and batch sizes and grow along a trajectory; an error below "
    "1e-12 is rounding of the atoms",
    atol=1e-12,
)

_LABELS = {"digits": "digits, n = 64, 1797 atoms", "photo_patches": "photo patches, n = 3072, 1950 atoms"}


def compute(parameters, progress):
    """Quantiles over trajectories per data set, pairing and step; also for the first few trajectories alone."""
    import numpy as np

    from exactdiffusion import Noise, samplers, schedules
    from exactdiffusion.studies import sweep

    grid, rows = schedules.ddpm(parameters["steps"]), []
    for data, count in parameters["trajectories"].items():
        law = sweep.law_of(data)
        asked = _Remembering(law)
        x = grid.sigma[0] * Noise(parameters["seed"]).initial(count, law.dim)
        states = samplers.ddim(asked, grid, x)
        state, projection = next(states), law.project(x)
        for i in progress(range(grid.N), data, grid.N):
            here = state, projection
            state = next(states)
            projection = law.project(state)
            for paired, (at, nearest) in (("same", here), ("paper-code", (state, projection))):
                distance = _norms(at - nearest)
                # A state on an atom has distance 0 and no relative error; it would be counted, not hidden.
                defined = distance > 0
                with np.errstate(divide="ignore", invalid="ignore"):
                    eta = np.where(defined, _norms(asked.answer - nearest) / distance, np.nan)
                    ratio = distance / (np.sqrt(law.dim) * grid.sigma[i])
                    band = np.maximum(ratio, 1 / ratio)
                for first in sorted({count, min(count, parameters["spot_trajectories"][data])}):
                    values = eta[:first][defined[:first]]
                    rows.append(
                        {
                            "data": data,
                            "paired": paired,
                            "trajectories": first,
                            "i": i,
                            "sigma": float(grid.sigma[i]),
                            "defined": int(values.size),
                            "mean": float(np.mean(values)),
                            **{f"q{q:02d}": float(np.percentile(values, q)) for q in (5, 50, 95)},
                            "max": float(np.max(values)),
                            "nu": float(np.max(band[:first])),
                        }
                    )
    return rows


class _Remembering:
    """Oracle that keeps the last answer, so that each denoiser value is computed once."""

    def __init__(self, law):
        self.law, self.dim, self.answer = law, law.dim, None

    def noised(self, scale, sigma):
        self.level = self.law.noised(scale, sigma)
        return self

    def denoise(self, x):
        self.answer = self.level.denoise(x)
        return self.answer


def _norms(rows):
    import numpy as np

    return np.sqrt(np.sum(rows * rows, axis=1))


_SHORT = {"same": "same state", "paper-code": "released code's pairing"}
_PAIRINGS = {"same": "same state", "paper-code": "released code: $\\hat{x}$ at $x_t$, projection at $x_{t-1}$"}


def draw(table, parameters):
    """Top: mean, 5 to 95 % and maximum of eta for the pairing asked for, mean and maximum of the other. Bottom: nu per step.

    Noisy on the left, as time runs; one column per data set.
    """
    paired = parameters["paired"]
    figure, panels = new_figure(6.8, 4.9, rows=2, columns=len(parameters["trajectories"]), squeeze=False, sharex="col")
    for (top, bottom), (data, count) in zip(panels.T, parameters["trajectories"].items()):
        for index, (pairing, label) in enumerate(sorted(_PAIRINGS.items(), key=lambda item: item[0] != paired)):
            rows = [r for r in table if r["data"] == data and r["paired"] == pairing and r["trajectories"] == count]
            sigma = [r["sigma"] for r in rows]
            if pairing == paired:
                top.fill_between(
                    sigma,
                    [r["q05"] for r in rows],
                    [r["q95"] for r in rows],
                    color="#0072B2",
                    alpha=0.2,
                    linewidth=0,
                    label="5 to 95 %",
                )
            thin = {"marker": None, "linewidth": 1.3 if pairing == paired else 0.9}
            end = "" if pairing == paired else f", {_SHORT[pairing]}"
            top.plot(sigma, [r["mean"] for r in rows], **curve_style(2 * index) | thin, label="mean" + end)
            top.plot(sigma, [r["max"] for r in rows], **curve_style(2 * index + 1) | thin, label="maximum" + end)
            nu = [r["nu"] for r in rows]
            worst = max(range(len(nu)), key=nu.__getitem__)
            bottom.plot(sigma, nu, **curve_style(2 * index) | {"marker": None}, label=label)
            # the released code's worst is at the last step, at the right edge
            bottom.plot(sigma[worst], nu[worst], "o", color=curve_style(2 * index)["color"], clip_on=False)
            shift = (-7, 2) if nu[worst] > 2 else (-2, -11)
            bottom.annotate(
                f"{nu[worst]:.3f}" if nu[worst] < 2 else f"{nu[worst]:.3g}",
                (sigma[worst], nu[worst]),
                textcoords="offset points",
                xytext=shift,
                ha="right",
                fontsize=7.5,
            )
        top.set_ylim(bottom=0)
        top.set_title(f"{_LABELS.get(data, data)}\n{count} trajectories")
        bottom.set_xscale("log")
        bottom.set_xlim(max(sigma) * 1.1, min(sigma) / 1.1)
        bottom.set_yscale("log")
        bottom.set_yticks(ticks := [1, 1.5, 2, 3, 5, 10], [f"{t:g}" for t in ticks])
        bottom.set_yticks([], minor=True)
        bottom.set_ylim(0.75, 13)
        bottom.set_xlabel("noise level σ (data units), as time runs")
    panels[0][0].set_ylabel("relative projection error η")
    panels[1][0].set_ylabel("width of band needed ν")
    panels[1][0].legend(loc="upper left")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    if paired != "same":
        figure.suptitle("pairing of the released code: denoiser at $x_t$, projection at $x_{t-1}$")
    return figure
