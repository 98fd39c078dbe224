"""What Theorem 4.2 guarantees with N steps, its limits (Theorem 4.4), and the denoisers that attain it.

The schedule is log-linear with the largest admissible step beta_*(N) (Theorem 4.3). Lines: the upper and lower product,
bounds of d(x_0) / d(x_N). Dashed: their limits nu^(-(1 - eta) / eta) and nu^(-(1 + eta) / eta); more steps cannot guarantee
less. Marks: measured on digits (geometric mean of the extremes of all trajectories), DDIM with denoisers whose every error
has relative size eta: always short of the projection (they attain the upper bound), always beyond it (the lower bound); and
random directions of random relative size below eta.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, title

SUMMARY = "guarantee of Theorem 4.2 versus N with its limits (Theorem 4.4) and the worst denoisers, measured on digits"
CAPTION = (
    "Theorem 4.2 of arXiv 2306.04848 bounds the distance that N DDIM steps leave, and both bounds are attained: by "
    "denoisers that always stop short of the projection, and by ones that always pass it. The schedule is log-linear "
    "with the largest admissible step β*(N) (Theorem 4.3). Lines are bounds of d(x_0)/d(x_N); dashed are their limits "
    "(Theorem 4.4): no number of steps guarantees less. Marks are digits, the geometric mean of the extremes of all "
    "trajectories, every error of relative size η (at most η for random errors). η = .3, ν = 4 is in the table."
)
PAPER = ("2306.04848", "", "own")
PARAMETERS = {
    "eta_nu": [[0.1, 2.0], [0.3, 4.0], [0.5, 10.0]],
    "N": [1, 2, 3, 5, 8, 13, 20, 32, 50, 80, 130, 200, 320, 500, 1000],
    "measured_N": [1, 2, 5, 13, 32, 80, 200],
    "trajectories": 8,
    "seed": 0,
    "sigma_max": 40.0,
    "target": "digits",
}
QUICK = {"measured_N": [1, 2, 5, 13]}
SPOT = Spot(
    {"N": [1, 2, 3, 5], "measured_N": [1, 2, 5]},
    keys=("eta", "nu", "N", "what"),
    rtol={"beta": 1e-12, "low": 1e-9, "high": 1e-9},
    cause="rounding of a power, and of the states relative to their distance, a few eps |x| / d per step",
)

_STRATEGIES = ("under", "over", "random")


def compute(parameters, progress):
    """Rows: the products (what = bound) and the measured range over trajectories of d(x_0)/d(x_N) per adversary."""
    import numpy as np

    from exactdiffusion import Grid, Noise, samplers
    from exactdiffusion.papers.projection.adversaries import ApproximateProjection
    from exactdiffusion.statements import projection as bound
    from exactdiffusion.studies import sweep

    law, rows = sweep.law_of(parameters["target"]), []
    x = parameters["sigma_max"] * Noise(parameters["seed"]).initial(parameters["trajectories"], law.dim)
    first = law.distance(x)
    for eta, nu in parameters["eta_nu"]:
        for n in parameters["N"]:
            beta = bound.beta_star(eta, nu, n)
            rows.append(
                {
                    "eta": eta,
                    "nu": nu,
                    "N": n,
                    "what": "bound",
                    "beta": beta,
                    "low": (1 - beta * (1 + eta)) ** n,
                    "high": (1 + beta * (eta - 1)) ** n,
                }
            )
        for n in progress(parameters["measured_N"], f"eta {eta:g}, nu {nu:g}"):
            beta = bound.beta_star(eta, nu, n)
            sigma = first / np.sqrt(law.dim) * ((1 - beta) ** np.arange(n + 1))[:, None]
            grid = Grid(np.ones_like(sigma), sigma)
            for strategy in _STRATEGIES:
                # rounding may put an overshoot a few ulps outside the band at its edge
                oracle = ApproximateProjection(law, eta, nu, strategy, parameters["seed"], band_rtol=1e-9)
                ratio = law.distance(samplers.final(samplers.ddim(oracle, grid, x))) / first
                if oracle.exits:
                    raise AssertionError(f"{oracle.exits} states outside the band: Theorem 4.2 would be false")
                rows.append(
                    {
                        "eta": eta,
                        "nu": nu,
                        "N": n,
                        "what": strategy,
                        "beta": beta,
                        "low": float(ratio.min()),
                        "high": float(ratio.max()),
                    }
                )
    return rows


def draw(table, parameters):
    """One panel for the smallest and one for the largest (eta, nu)."""
    figure, both = panels(2, 2.9)
    looks = {
        "under": ("measured: short of the projection", 1),
        "over": ("measured: beyond the projection", 2),
        "random": ("measured: random errors", 3),
    }
    ends = [parameters["eta_nu"][0], parameters["eta_nu"][-1]]
    for axes, (eta, nu) in zip(both, ends):
        rows = [r for r in table if r["eta"] == eta and r["nu"] == nu]
        curve = [r for r in rows if r["what"] == "bound"]
        steps = [r["N"] for r in curve]

        # the bounds and their limits
        axes.fill_between(steps, [r["low"] for r in curve], [r["high"] for r in curve], color="0.92", zorder=0, linewidth=0)
        axes.plot(steps, [r["high"] for r in curve], color=INK, label="bounds of Theorem 4.2")
        axes.plot(steps, [r["low"] for r in curve], color=INK)
        for power, label in (((1 - eta) / eta, "limits (Theorem 4.4)"), ((1 + eta) / eta, None)):
            axes.axhline(nu**-power, color="0.35", linewidth=0.9, linestyle=(0, (4, 3)), label=label)

        # the denoisers that attain them
        for what, (label, index) in looks.items():
            marks = [r for r in rows if r["what"] == what]
            look = {**curve_style(index), "linestyle": "none"}
            axes.plot([r["N"] for r in marks], [(r["low"] * r["high"]) ** 0.5 for r in marks], **look, label=label)

        # the axes
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(ticks := [1, 10, 100, 1000], [str(t) for t in ticks])
        axes.set_xlabel("number of steps N")
        axes.set_ylabel("distance left, d($x_0$) / d($x_N$)")
        ending = "100 steps leave at most about 1/400" if eta == ends[0][0] else "no number of steps guarantees 1/10"
        title(axes, f"η = {eta:g}, ν = {nu:g}: {ending}")
    legend_below(figure, 3)
    return figure
