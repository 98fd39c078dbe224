"""Excess of the mean chain against the number of steps, 1-D priors: it rises to a plateau, except for the Gaussian.

Exact stepwise means, SNR on the grid, a fixed continuous schedule refined: the limit differs from the CME (derived). The
dashed lines are the limit from an independent ODE solver; for two points the closed form 4 Q(sqrt SNR) - MMSE. One step is
exact for every prior, and a Gaussian prior is exact for every number of steps (its values, near 1e-31, are rounding).
Quadrature over the observation: no sampling.
"""

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "conditional-mean paper: excess of the chain of exact stepwise means versus steps, 1-D priors (derived)"
CAPTION = (
    "The chain of exact conditional means does not converge to the conditional mean of the clean signal (CME) as its "
    "number of steps grows: the excess rises to a plateau, for every prior drawn but the Gaussian. The priors are "
    "one-dimensional, the SNR is a level of the schedule, and all is quadrature without sampling. Dashed is the limit "
    "from an independent solver of its equation; for two points it is the closed form 4 Q(√SNR) − MMSE, with Q the "
    "upper tail of N(0, 1) and MMSE the least mean squared error. One step is exact, and so is the Gaussian at every "
    "number of steps (excess 0 to rounding, not on this axis)."
)
PAPER = ("2403.02957", "", "own")
PARAMETERS = {
    "priors": {
        "Gaussian": [[1], [0], [1]],
        "two points": [[0.5, 0.5], [-1, 1], [0, 0]],
        "two modes": [[0.5, 0.5], [-1, 1], [0.09, 0.09]],
        "three modes": [[0.5, 0.3, 0.2], [-2, 0.5, 3], [0.2, 0.1, 0.5]],
        "two scales": [[0.7, 0.3], [0, 0], [0.05, 1]],
    },
    "snr_db": [0, 10],
    "steps": [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000],
    "nodes": 2000,
}
QUICK = {"steps": [1, 2, 3, 5, 10, 30, 100], "nodes": 1000}
SPOT = Spot(
    {"steps": [1, 2, 3, 10], "snr_db": [10]},
    keys=("prior", "snr_db", "steps"),
    rtol={"excess": 1e-7},
    atol=1e-18,
    cause="last bits of exp grow along a chain; the Gaussian's values are rounding, its limit (steps 0) the square of the "
    "solver's tolerance",
)


def compute(parameters, progress):
    """One row per prior, SNR and number of steps; steps 0 is the limit."""
    import math

    import numpy as np
    from scipy.integrate import solve_ivp

    from exactdiffusion import GaussianMixture
    from exactdiffusion.papers import conditional_mean
    from exactdiffusion.statements.conditional_mean import limit_ode, two_point_plateau

    rows, cells = [], [(p, snr) for p in parameters["priors"] for snr in parameters["snr_db"]]
    for prior, snr_db in progress(cells, "prior"):
        w, m, var = (np.array(a, dtype=float) for a in parameters["priors"][prior])
        law = conditional_mean.normalised(GaussianMixture(w, m[:, None], var))
        sigma = 10 ** (-snr_db / 20)
        total = np.broadcast_to(law.covariances, law.weights.shape) + sigma**2
        reach = 9 * np.sqrt(total)
        # midpoints of equal cells: exponentially accurate where f is smooth, and no node on the jump of two points at 0
        low, high = np.min(law.means[:, 0] - reach), np.max(law.means[:, 0] + reach)
        cell = (high - low) / parameters["nodes"]
        y = (low + cell * (np.arange(parameters["nodes"]) + 0.5))[:, None]
        density = law.weights * np.exp(-0.5 * (y - law.means[:, 0]) ** 2 / total) / np.sqrt(2 * np.pi * total)
        weight = cell * density.sum(axis=1)
        best = conditional_mean.cme(law, y, sigma)
        mmse = float(weight @ conditional_mean.posterior_variance(law, y, sigma))

        def row(steps, value, prior=prior, snr_db=snr_db):
            return {"prior": prior, "snr_db": snr_db, "steps": steps, "excess": float(value)}

        for n in parameters["steps"]:
            f = conditional_mean.denoise(law, conditional_mean.refined_grid(n, sigma), y, sigma)
            rows.append(row(n, weight @ (f - best)[:, 0] ** 2 / mmse))
        if prior == "two points":
            limit, least = two_point_plateau(10 ** (snr_db / 10))
            rows.append(row(0, limit / least - 1))
            continue

        def slope(s, z, law=law):
            v, z = math.exp(s), z[:, None]
            return (v * limit_ode(v, z, law.noised(1.0, math.sqrt(v)).denoise(z)))[:, 0]

        span = (2 * math.log(sigma), math.log(1e-8))
        end = solve_ivp(slope, span, y[:, 0], "DOP853", rtol=1e-8, atol=1e-10).y[:, -1]
        f = law.noised(1.0, 1e-4).denoise(end[:, None])
        rows.append(row(0, weight @ (f - best)[:, 0] ** 2 / mmse))
    return rows


def draw(table, parameters):
    """One panel per SNR."""
    figure, both = panels(2, 2.7, sharey=True)
    for axes, snr_db in zip(both, parameters["snr_db"]):
        priors = [name for name in parameters["priors"] if name != "Gaussian"]  # its excess is 0 to rounding
        for index, prior in enumerate(priors):
            look = curve_style(index)
            rows = [r for r in table if r["prior"] == prior and r["snr_db"] == snr_db]
            axes.plot(*zip(*((r["steps"], r["excess"]) for r in rows if r["steps"] > 1)), label=prior, **look)
            limit = next(r["excess"] for r in rows if r["steps"] == 0)
            axes.axhline(limit, color=look["color"], linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot([], [], color="0.4", linewidth=0.8, linestyle=(0, (4, 3)), label="limit, another solver")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(2e-4, 1)
        plain_ticks(axes.xaxis, 2, max(parameters["steps"]), bases=(1, 2))
        axes.set_xlabel("steps of the chain (one step is exact)")
        title(
            axes,
            f"SNR {snr_db} dB: "
            + ("more steps, more excess, up to a plateau" if snr_db == 0 else "the same, at lower levels"),
        )
        axes.set_ylabel("excess over the least error")
        axes.yaxis.set_tick_params(labelleft=True)
    legend_below(figure, 5)
    return figure
