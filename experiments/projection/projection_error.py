"""Relative projection error of the ideal denoiser along DDIM trajectories (Permenter & Yuan, Fig. 2).

eta_t = |E[X | x_t] - proj(x_t)| / dist(x_t): what the theory assumes bounded (Definition 3.1), measured where the proof uses
it, at the visited (x_t, sigma_t). Data are handwritten digits (dimension 64) and colour patches of photographs, which have
the dimension 3072 of the paper's CIFAR-10; the cloud is the data set itself, so projection is nearest neighbour.

``paired``: "same" takes denoiser, projection and distance at one state. "paper-code" is the pairing of the released script,
the denoiser at x_t with projection and distance at x_{t-1}; it is kept for comparison with the published figure. The table
has both and the right panel compares them. ``nu`` is the band needed: sqrt(n) sigma / dist or its inverse, the larger. The
wrong pairing changes eta little, and nu much: it sets dist at x_0 against sigma_1, 7.6 times sigma_0.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "relative projection error of the ideal denoiser along DDIM on digits and photo patches (P. & Y., Fig. 2)"
CAPTION = (
    "The ideal denoiser's relative projection error η stays below 1 along every DDIM trajectory, at most .61 on "
    "digits and .11 in 3072 dimensions, and the states need a band of width ν = 1.5 and 1.06: the hypotheses of the "
    "theory hold where the proof uses them. The figure stands in for Fig. 2 of arXiv 2306.04848 (CIFAR-10) with 8 x 8 "
    "digits and colour patches of photographs of its dimension. Left: mean, 5 to 95 % and maximum over the "
    "trajectories. Right: ν of denoiser, projection and distance at one state, and of the released script's pairing "
    "(denoiser at x_t, distance at x_{t−1}), which changes η little and ν much."
)
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
    """Left: eta of both data sets. Right: the band that the states need, for both pairings."""
    figure, (errors, band) = panels(2, 3.0)
    short = {"digits": "digits, n = 64", "photo_patches": "photo patches, n = 3072"}

    # both data sets in both panels
    for index, (data, count) in enumerate(parameters["trajectories"].items()):
        look = {**curve_style(2 * index), "marker": None}
        for pairing in ("same", "paper-code"):
            rows = [r for r in table if r["data"] == data and r["paired"] == pairing and r["trajectories"] == count]
            sigma = [r["sigma"] for r in rows]
            if pairing == parameters["paired"]:
                low, high = ([max(r[q], 1e-4) for r in rows] for q in ("q05", "q95"))
                errors.fill_between(sigma, low, high, color=look["color"], alpha=0.2, linewidth=0)
                name = short.get(data, data)
                errors.plot(sigma, [r["mean"] for r in rows], **{**look, "linestyle": "-"}, label=f"{name}: mean")
                top = {**look, "linestyle": (0, (5, 2)), "linewidth": 0.9}
                errors.plot(sigma, [r["max"] or float("nan") for r in rows], **top, label=f"maximum of {count}")
            style = {"linestyle": "-" if pairing == "same" else (0, (1, 1))}
            band.plot(sigma, [r["nu"] for r in rows], **{**look, **style})
            worst = max(rows, key=lambda r: r["nu"])
            shift = (-6, -2) if pairing != "same" else (2, 6) if index == 0 else (2, -9)
            band.annotate(
                f"{worst['nu']:.3g}",
                (worst["sigma"], worst["nu"]),
                textcoords="offset points",
                xytext=shift,
                ha="right",
                fontsize=7,
                color=look["color"],
            )

    # the axes
    errors.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (1, 2)))
    errors.annotate(
        "above 1 hypothesis (H1) fails", (0.98, 1.15), xycoords=errors.get_yaxis_transform(), fontsize=7, ha="right"
    )
    errors.set_yscale("log")
    errors.set_ylim(1e-3, 2)
    errors.set_ylabel("relative projection error η")
    title(errors, "the error stays below 1 on every trajectory")
    band.plot([], [], color="0.3", linestyle=(0, (1, 1)), label="pairing of the released script")
    band.set_yscale("log")
    band.set_yticks(ticks := [1, 1.5, 2, 3, 5, 10], [f"{t:g}" for t in ticks])
    band.set_yticks([], minor=True)
    band.set_ylim(0.85, 13)
    band.set_ylabel("width ν of the band that is needed")
    title(band, "a narrow band holds the states; the script's pairing needs a wide one")
    for axes in (errors, band):
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.set_xlabel("noise level σ (data units), as time runs")
    legend_below(figure, 3)
    return figure
