"""Elliptical Gaussians, exact laws of every algorithm: W2 against the number of measurements and against gradient calls.

X ~ N(0, diag(1/kappa, 1, 1, 1)), Y_t = X + sigma N_t. All walks here but MALA map Gaussians to Gaussians, so the law of the
output is a product of small matrices: no sampling.

Left: kappa = 100, sigma = 1. Exact inner laws leave the jump's error: on Gaussians it is the Bures distance between cov X
and cov X - E C_m, the lower end of the sandwich; the upper one is sqrt(E tr C_m) <= sigma sqrt(d/m). Its decay is 1/m, not
m^(-1/2). A biased inner walk (ULA) sets a floor that more measurements do not lower; the splitting integrator has none.
Right: W2 against gradient calls, kappa = 10^6, sigma = 1 (the table also has kappa = 100). Every underdamped walk has the
step and friction of the smallest spectral radius on its own target, of equal radii (within 1e-9) the largest step; nothing
is tuned to the budget. One at a time: 4 inner steps per measurement, calls/4 measurements. All at once with m measurements:
along their mean the walk is that with a single measurement of variance sigma^2/m; it needs of the order of sqrt(m) calls and
stops at the jump's error for m. Langevin runs on the density of X itself, from its centre: sqrt(kappa) calls underdamped,
kappa for ULA. So on Gaussians one at a time has the advantage over Langevin at large kappa only, and none in calls over all
at once; what it gains is that log-concavity is asked for at the level sigma^2 in place of sigma^2/m (the figure of kappa_m),
which no Gaussian lacks. MALA, in the table alone: 2000 chains, Gelbrich's lower bound of W2 from their variances, which
independent exact draws bring down to .027.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "elliptical Gaussians: exact W2 of the chain against m, and against gradient calls beside Langevin"
CAPTION = (
    "One at a time, W2 falls like 1/m with exact inner laws, faster than the bound σ√(d/m), and at κ = 10⁶ sampling "
    "with 4 inner steps is ahead of Langevin up to 3000 gradient calls; sampling all at once is right sooner still, "
    "up to the error of its jump. X ~ N(0, diag(1/κ, 1, 1, 1)), σ = 1; every law is exact, nothing is sampled. The "
    "left panel has κ = 100; splitting is an integrator of underdamped Langevin, and a single step of it per "
    "measurement, like a biased inner walk (ULA), leaves an error above the bound that more measurements do not "
    "lower. The right one has κ = 10⁶; at κ = 100 (in the table) underdamped Langevin is the quickest of all."
)
PAPER = ("2305.19473", "", "stand-in")
PARAMETERS = {
    "dim": 4,
    "kappa": 100.0,
    "m": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    "walks": [
        ["splitting, 10 steps", 10, 1.35, 5.0],
        ["splitting, 4 steps", 4, 1.35, 5.0],
        ["splitting, 1 step", 1, 1.35, 5.0],
        ["ULA, 20 steps", 20, 0.5, None],
    ],
    "kappas": [100.0, 1e6],
    "budgets": [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192],
    "inner": 4,
    "joint": [16, 256, 4096],
    "steps": [0.8, 1.0, 1.35, 1.62, 1.83, 1.92],
    "frictions": [0.001, 0.002, 0.004, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.64, 0.89, 1.9, 3.4, 5.0],
    "ula": 0.5,
    "mala": 0.5,
    "mala_to": 2048,
    "n": 2000,
    "seed": 31,
}
QUICK = {"n": 1000, "m": [1, 8, 64], "budgets": [16, 128, 512]}
SPOT = Spot(
    {"m": [1, 16, 128], "budgets": [8, 64]},
    keys=("panel", "kappa", "method", "x"),
    rtol=dict.fromkeys(("w2", "lower", "upper", "bound", "limit"), 1e-7),
    atol=1e-12,
    cause="W2 is a difference of deviations down to 1e-5 of them, each with 10,000 roundings",
)


def compute(parameters, progress):
    """Rows (panel, kappa, method, x, w2, lower, upper, bound, limit, setting): x is m or the budget of gradient calls.

    ``limit`` is the jump's own error, which an exact walk leaves; for MALA the root mean square for exact draws.
    """
    import math

    import numpy as np

    from exactdiffusion import GaussianMixture, Noise
    from exactdiffusion.papers.log_concavity.walk_jump import (
        MALA,
        ULA,
        ExactWalk,
        Target,
        Underdamped,
        gaussian_one_at_a_time,
    )
    from exactdiffusion.statements import log_concavity as bounds
    from exactdiffusion.statements import log_concavity_thresholds as jump

    q, rows = parameters, []

    def put(panel, kappa, method, x, w2, lower=None, upper=None, bound=None, limit=None, setting=""):
        rows.append(
            {
                "panel": panel,
                "kappa": kappa,
                "method": method,
                "x": x,
                "w2": float(w2),
                "lower": lower,
                "upper": upper,
                "bound": bound,
                "limit": limit,
                "setting": setting,
            }
        )

    def distance(variances, output):
        """W2 of the narrow axis and of dim - 1 equal wide ones."""
        return math.sqrt(np.sum([1, q["dim"] - 1] * (np.sqrt(variances) - np.sqrt(output)) ** 2))

    def whole_of(variances):
        return np.r_[variances[0], np.full(q["dim"] - 1, variances[1])]

    variances = np.array([1 / q["kappa"], 1.0])
    whole = whole_of(variances)
    for m in progress(q["m"], "measurements"):
        covariance = np.diag(whole / (1 + m * whole))
        lower, upper = bounds.posterior_mean_w2_sandwich(np.diag(whole), covariance)
        exact = gaussian_one_at_a_time(variances, m, 1.0, ExactWalk()).output
        put(
            "m",
            q["kappa"],
            "exact",
            m,
            distance(variances, exact),
            math.sqrt(lower),
            math.sqrt(upper),
            math.sqrt(bounds.posterior_mean_w2(m, 1.0, q["dim"])),
        )
        for method, steps, step, friction in q["walks"]:
            walk = ULA(steps, step) if friction is None else Underdamped(steps, step, friction)
            put("m", q["kappa"], method, m, distance(variances, gaussian_one_at_a_time(variances, m, 1.0, walk).output))
        information = math.sqrt(np.sum(1 / whole))
        put("m", q["kappa"], "small-noise limit", m, 0.5 * information / m)

    def tuned(precisions, unit):
        """(step, friction) whose slowest axis is fastest; of those that tie, the largest step.

        Where the slowest axis oscillates the radius is exp(-friction / 2) for every step; other pairs lie at least 1e-4
        above it, so that 1e-9 tells ties from rounding.
        """
        pairs = [(d, g) for d in q["steps"] for g in q["frictions"]]
        radius = [
            max(np.max(np.abs(np.linalg.eigvals(Underdamped(1, d, g).linear(k, unit)[0]))) for k in precisions)
            for d, g in pairs
        ]
        return max(pair for pair, value in zip(pairs, radius) if value <= min(radius) * (1 + 1e-9))

    def langevin(walk, variances, unit, calls, start):
        """Variances of y after ``calls`` steps on N(0, variances), from N(0, start)."""
        out = []
        for l in variances:
            # n steps at once: A^n and the noise that n steps add, by repeated doubling
            (power, noise), n, C = walk.linear(1 / l, unit), calls, np.diag([start, unit])
            while n:
                if n % 2:
                    C = power @ C @ power.T + noise
                noise, power, n = power @ noise @ power.T + noise, power @ power, n // 2
            out.append(C[0, 0])
        return np.array(out)

    def sampled(kappa, variances):
        """W2 from below, by the sample variances of MALA on the law itself after every budget, from its centre."""
        law = GaussianMixture(None, np.zeros((1, q["dim"])), whole_of(variances)[np.newaxis])
        target, noise, used = Target(law.score, variances[0], law.log_density), Noise(q["seed"]), 0

        def draws(n, d):
            nonlocal used
            used += 1
            return noise.normal(used - 1, n, d)

        y, done = np.zeros((q["n"], q["dim"])), 0
        for calls in progress([b for b in q["budgets"] if b <= q["mala_to"]], f"MALA, kappa = {kappa:g}"):
            y, done = MALA(calls - done, q["mala"]).run(target, y, draws), calls
            w2 = math.sqrt(np.sum((np.sqrt(np.mean(y * y, axis=0)) - np.sqrt(whole_of(variances))) ** 2))
            put(
                "budget",
                kappa,
                "MALA",
                calls,
                w2,
                limit=math.sqrt(np.sum(whole_of(variances)) / (2 * q["n"])),
                setting=f"step {q['mala']:g}",
            )

    for kappa in q["kappas"]:
        variances = np.array([1 / kappa, 1.0])
        sampled(kappa, variances)
        chain = tuned(1 / (variances + 1), 1.0)
        direct = tuned(1 / variances, variances[0])
        joint = {m: tuned(1 / (variances + 1 / m), 1 / m) for m in q["joint"]}
        named = lambda pair: f"step {pair[0]:g}, friction {pair[1]:g}"  # noqa: E731
        for calls in progress(q["budgets"], f"budgets, kappa = {kappa:g}"):
            walk = Underdamped(q["inner"], *chain)
            value = distance(variances, gaussian_one_at_a_time(variances, calls // q["inner"], 1.0, walk).output)
            put("budget", kappa, "one at a time", calls, value, setting=named(chain))
            for m, pair in joint.items():
                y = langevin(Underdamped(1, *pair), variances + 1 / m, 1 / m, calls, 1 / m)
                value = distance(variances, (variances / (variances + 1 / m)) ** 2 * y)
                put(
                    "budget",
                    kappa,
                    f"all at once, m = {m}",
                    calls,
                    value,
                    limit=jump.gaussian_jump_w2(m, 1.0, whole_of(variances)),
                    setting=named(pair),
                )
            y = langevin(Underdamped(1, *direct), variances, variances[0], calls, 0.0)
            put("budget", kappa, "underdamped Langevin", calls, distance(variances, y), setting=named(direct))
            y = langevin(ULA(1, q["ula"]), variances, variances[0], calls, 0.0)
            put("budget", kappa, "ULA", calls, distance(variances, y), setting=f"step {q['ula']:g}")
    return rows


def draw(table, parameters):
    """Left: W2 against m. Right: W2 against gradient calls at the largest condition number."""
    figure, (chain, budget) = panels(2, 3.0, sharey=True)

    # against the number of measurements
    rows = [r for r in table if r["panel"] == "m" and r["method"] == "exact"]
    m = [r["x"] for r in rows]
    chain.plot(m, [r["bound"] for r in rows], color=INK, linewidth=1.3)
    chain.annotate("bound σ√(d/m)", (m[4], rows[4]["bound"]), textcoords="offset points", xytext=(2, 4), fontsize=7)
    shown = [("exact", "exact inner laws"), *((w[0], f"inner walk: {w[0]}") for w in parameters["walks"] if w[1] != 10)]
    for index, (method, text) in enumerate(shown):
        rows = [r for r in table if r["panel"] == "m" and r["method"] == method]
        chain.plot([r["x"] for r in rows], [r["w2"] for r in rows], label=text, **curve_style(index))

    # against gradient calls
    kappa = max(parameters["kappas"])
    methods = [
        ("one at a time", "one at a time, 4 steps each"),
        (f"all at once, m = {parameters['joint'][1]}", f"all at once, m = {parameters['joint'][1]}"),
        ("underdamped Langevin", "underdamped Langevin on X"),
        ("ULA", "ULA on X"),
    ]
    for index, (method, text) in enumerate(methods):
        rows = [r for r in table if r["panel"] == "budget" and r["kappa"] == kappa and r["method"] == method]
        budget.plot([r["x"] for r in rows], [r["w2"] for r in rows], label=text, **curve_style(index + 4))
        if "all at once" in method:
            at = rows[2]["x"], rows[-1]["w2"]
            budget.annotate("error of its jump", at, textcoords="offset points", xytext=(0, -11), fontsize=7)

    # the axes
    for axes, ticks in ((chain, [1, 8, 64, 512]), (budget, [8, 64, 512, 4096])):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_yscale("log")
        axes.set_ylim(1e-3, 3)
        plain_ticks(axes.yaxis, 1e-3, 3, (1,))
        axes.set_ylabel("W₂(output, law of X)")
        axes.yaxis.set_tick_params(labelleft=True)
    chain.set_xlabel("number of measurements m")
    budget.set_xlabel("gradient calls")
    title(chain, f"κ = {parameters['kappa']:g}: exact inner laws give 1/m, below the bound")
    title(budget, "κ = 10⁶: one at a time is ahead of Langevin up to 3000 calls")
    legend_below(figure, 3)
    return figure
