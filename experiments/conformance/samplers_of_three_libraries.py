"""Samplers of diffusers, k-diffusion and smalldiffusion, judged by the exact law of their output on Gaussian targets.

One row per setting: every scheduler class of diffusers and every ``sample_*`` function of k-diffusion, at its defaults, with
Karras, exponential, beta and flow grids, both final levels, every prediction type, orders and variants that its constructor
offers; ``samples`` of smalldiffusion for several ``gam`` and ``mu``. ``code`` is 0 (what was judged agrees), 1 (something
differs from what the sampler declares) or 2 (it cannot be judged; ``reason`` says why). ``differs`` lists the kinds of
verdicts, ``cause`` says what a finding was traced to: a cause counts where a change restores order, limit or grid, and
``untriaged`` stands where no cause was proven. ``order`` is measured at up to 160 steps, 320 where it is not read there;
``nearest`` is the plain sampler, or known slip, with the nearest coefficients at 20 steps. A verdict speaks of its settings,
steps and targets only.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, title

SUMMARY = "exact verdicts on the samplers of diffusers, k-diffusion and smalldiffusion, several hundred settings"
CAPTION = (
    "Of 572 settings of the samplers of three libraries 402 do what they declare (for 55 of them the order could not "
    "be read), 96 differ, most often because the last level of their grid stands twice, and 74 cannot be judged. "
    "Verdicts come from the exact law of the output on Gaussian targets: every scheduler of diffusers, every sampler "
    "of k-diffusion, and smalldiffusion, over grids, final levels, predictions, orders and variants. Left: the order "
    "at which the law nears its limit, to a quarter, for the settings where both orders are known; the area is the "
    "number of settings, and libraries are moved sideways. The table names settings, verdicts and causes; a verdict "
    "speaks of its settings, steps and targets only."
)
PAPER = ("", "", "own")
PARAMETERS = {
    "libraries": ["diffusers", "k_diffusion", "smalldiffusion"],
    "steps": [5, 10, 20, 40, 80, 160],
    "more_steps": [320],
}
QUICK = {"libraries": ["smalldiffusion"]}
SPOT = Spot(
    {"libraries": ["smalldiffusion"]},
    keys=("target", "settings"),
    rtol=dict.fromkeys(("order", "limit", "end", "float32", "mismatch"), 0.05) | {"distance": 1.0},
    cause="float32 rounds differently between processors, and distances of equal coefficients are rounding",
    atol=1e-4,
)

GRIDS = {
    "use_karras_sigmas": {"use_karras_sigmas": True},
    "use_exponential_sigmas": {"use_exponential_sigmas": True},
    "use_beta_sigmas": {"use_beta_sigmas": True},
    "use_flow_sigmas": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
}
PREDICTIONS = ("sample", "v_prediction")
VARIANTS = (
    ("timestep_spacing", ("leading", "trailing", "linspace")),
    ("final_sigmas_type", ("sigma_min", "zero")),
    ("solver_order", (1, 2, 3)),
    ("algorithm_type", ("dpmsolver", "sde-dpmsolver", "sde-dpmsolver++", "noise_prediction")),
    ("solver_type", ("heun", "bh1", "logrho")),
    ("rescale_betas_zero_snr", (True,)),
    ("beta_schedule", ("scaled_linear", "squaredcos_cap_v2")),
    ("lower_order_final", (False,)),
    ("euler_at_final", (True,)),
    ("sigma_schedule", ("exponential", "karras")),
    ("shift", (3.0,)),
    ("clip_sample", (False,)),
    ("set_alpha_to_one", (False, True)),
    ("steps_offset", (1,)),
    ("skip_prk_steps", (True,)),
    ("interpolation_type", ("log_linear",)),
    ("predictor_order", (1, 3)),
    ("corrector_order", (0, 1, 3)),
    ("eta", (0.0,)),
)


def settings_of_diffusers():
    """(class, settings) of every scheduler that has an adapter, and the refused ones at their defaults."""
    import inspect

    import diffusers

    from exactdiffusion.conformance.adapters.diffusers import FAMILIES, REFUSED

    for name in FAMILIES:
        known = inspect.signature(getattr(diffusers, name).__init__).parameters
        base = {"clip_sample": False} if "clip_sample" in known else {}
        grids = [{}, *(grid for key, grid in GRIDS.items() if key in known)]
        for grid in grids:
            yield name, {**base, **grid}
            if grid and "final_sigmas_type" in known:
                yield name, {**base, **grid, "final_sigmas_type": "sigma_min"}
            if grid and "final_sigmas_type" in known and "solver_order" in known and "flow" not in str(grid):
                yield name, {**base, **grid, "final_sigmas_type": "sigma_min", "solver_order": 3}
            if grid and "solver_order" in known and "flow" not in str(grid):
                yield name, {**base, **grid, "solver_order": 3}
                yield name, {**base, **grid, "solver_order": 1}
            if "prediction_type" in known and "flow" not in str(grid):
                yield from ((name, {**base, **grid, "prediction_type": kind}) for kind in PREDICTIONS)
        if "set_alpha_to_one" in known:
            yield name, {**base, "set_alpha_to_one": False, "steps_offset": 1}
        for key, values in VARIANTS:
            if key in known:
                yield from (
                    (name, {**base, key: value}) for value in values if known[key].default != value or key == "clip_sample"
                )
                if "use_karras_sigmas" in known and key in (
                    "algorithm_type",
                    "solver_type",
                    "beta_schedule",
                    "corrector_order",
                ):
                    yield from ((name, {**base, "use_karras_sigmas": True, key: value}) for value in values)
    yield from ((name, {}) for name in REFUSED)


def settings_of_k_diffusion():
    from exactdiffusion.conformance.adapters.k_diffusion import ORDERS

    for name in ORDERS:
        for grid in ("karras", "exponential", "quadratic", "karras_zero"):
            if name == "sample_dpm_fast" and grid != "karras":
                continue
            yield name, {"grid": grid}
            if any(word in name for word in ("ancestral", "sde")):
                yield name, {"grid": grid, "eta": 0.0}
        if name in ("sample_euler", "sample_heun", "sample_dpm_2"):
            yield name, {"s_churn": 10.0}
    for order in (1, 2, 3):
        yield "sample_lms", {"order": order}
    yield "sample_dpmpp_2m_sde", {"solver_type": "heun"}
    yield "sample_dpmpp_2m_sde", {"solver_type": "heun", "eta": 0.0}
    yield "sample_dpm_adaptive", {}


def settings_of_smalldiffusion():
    for grid in ("karras", "exponential", "quadratic", "karras_zero"):
        for gam, mu in ((1.0, 0.0), (2.0, 0.0), (1.0, 0.5)):
            yield "samples", {"grid": grid, "gam": gam, "mu": mu}


SETTINGS = {
    "diffusers": settings_of_diffusers,
    "k_diffusion": settings_of_k_diffusion,
    "smalldiffusion": settings_of_smalldiffusion,
}


def cause_of(row):
    """What a finding was traced to, "untriaged" otherwise.

    Each cause is proven on a representative setting by a change that restores what is right: tests/conformance/reproductions
    does it without our code. The other rows of its pattern are attributed to it.
    """
    target, settings, differs = row["target"], row["settings"], row["differs"]
    exact = row["distance"] < 1e-6
    if exact and row["nearest"].endswith("half the second difference"):
        return "the second difference has half its weight; doubling it restores order 3"
    if exact and row["nearest"].endswith("a second difference that does not fall with the step"):
        return "a term 1/2 of the second difference has the wrong sign; the other sign restores order 2"
    if differs == "limit" and "timestep_spacing" in settings and any(name in target for name in ("DDIM", "PNDM")):
        return "a step goes to t - 1000 // N, the next timestep only if N divides 1000; going to the next restores the law"
    if "squaredcos" in settings and "use_karras_sigmas" in settings and "precision" in differs:
        return "the first timesteps round to one number, and the run starts at the second; set_begin_index(0) restores it"
    if "UniPC" in target and differs == "precision":
        return "0 times inf in the step to level 0, which is infinite in log sigma; the final level sigma_min removes it"
    if "squaredcos" in settings and differs == "precision" and "KDPM2Ancestral" in target:
        return "sigma_down is a float32 difference that cancels at sigma = 20291; sigma_next^2 / sigma restores it"
    if "squaredcos" in settings and differs == "precision" and ("Heun" in target or "KDPM2" in target):
        return "float32 rounding at sigma = 20291, enlarged by the second stage; leaving out the first level removes it"
    if "DDIM" in target and differs == "grid" and "set_alpha_to_one=False" in settings and "steps_offset" not in settings:
        return "timestep 0 and the end have one level, and the last step has length zero; steps_offset=1 removes it"
    ends_twice = "final_sigmas_type=sigma_min" in settings or "DEIS" in target or "SASolver" in target
    if "grid" in differs and ends_twice:
        return "the last level stands twice: the grid ends at sigma_min, and sigma_min is appended; final level 0 removes it"
    return "untriaged"


def row_of(target, settings, report):
    """One row of the table."""
    plain = "float32 moves the output"  # of the verdicts on precision, the one that has a number
    number = {kind: report.of(kind)[0].number if report.of(kind) else float("nan") for kind in ("order", "limit", "end")}
    row = {
        "target": target,
        "settings": " ".join(f"{key}={value}" for key, value in settings.items()) or "defaults",
        "code": report.code,
        "family": report.family,
        "differs": " ".join(dict.fromkeys(report.differs)),
        "order": round(number["order"], 3),
        "declared": "" if report.declared is None else report.declared,
        "limit": float(f"{number['limit']:.3g}"),
        "end": float(f"{number['end']:.3g}"),
        "float32": float(f"{next((v.number for v in report.of('precision') if plain in v.text), float('nan')):.2g}"),
        "mismatch": float(f"{next((v.number for v in report.of('level') if v.status == 'note'), 0.0):.3g}"),
        "nearest": report.resembles,
        "distance": float(f"{report.matches[0].distance:.1e}") if report.matches else float("nan"),
        "reason": next((v.text for v in report.verdicts if v.status == "cannot"), "")[:160],
    }
    row["cause"] = "" if row["code"] != 1 else cause_of(row)
    return row


def compute(parameters, progress):
    """A row per setting."""
    import importlib.util

    from joblib import Parallel, delayed

    from exactdiffusion.conformance import conform
    from exactdiffusion.datasets import DatasetUnavailable

    absent = [name for name in parameters["libraries"] if importlib.util.find_spec(name) is None]
    if absent:
        raise DatasetUnavailable(f"{', '.join(absent)} cannot be imported (docs/conformance.md says how to install them)")
    chosen = []
    for library in parameters["libraries"]:
        for name, settings in SETTINGS[library]():
            if (f"{library}:{name}", settings) not in chosen:
                chosen.append((f"{library}:{name}", settings))

    def judged(target, settings):
        report = conform(target, steps=parameters["steps"], **settings)
        if report.code == 0 and all(v.number != v.number for v in report.of("order")):  # not read: more steps are needed
            report = conform(target, steps=[*parameters["steps"], *parameters["more_steps"]], **settings)
        return report

    # two processes; the order of the rows is that of the settings
    tasks = (delayed(judged)(target, settings) for target, settings in chosen)
    reports = Parallel(n_jobs=2, return_as="generator")(tasks)
    pairs = zip(chosen, progress(reports, "settings", len(chosen)))
    return [row_of(target, settings, report) for (target, settings), report in pairs]


def draw(table, parameters):
    """Measured against declared order, and how many settings of each library have which verdict."""
    from collections import Counter

    figure, (left, right) = panels(2, 2.9)

    # how far the measured order is from the declared one
    libraries = list(dict.fromkeys(row["target"].split(":")[0] for row in table))
    left.axhline(0, color=INK, linewidth=0.8)
    read = [r for r in table if r["code"] == 0 and r["order"] is not None and r["order"] == r["order"]]
    for k, library in enumerate(libraries):
        rows = [r for r in table if r["target"].startswith(library + ":") and r["declared"] and r["order"] is not None]
        found = Counter((float(r["declared"]), round(4 * r["order"]) / 4) for r in rows if r["order"] == r["order"])
        places = [(x + 0.2 * (k - 1), y - x, count) for (x, y), count in found.items() if abs(y) < 9]
        if places:
            x, y, count = zip(*places)
            colour = curve_style(k + 3)["color"]
            left.scatter(x, y, s=[4 * c for c in count], color=colour, alpha=0.75, linewidths=0)
            left.plot([], [], "o", color=colour, label=library)
    left.scatter([1.5], [-0.95], s=[400], color="0.75", linewidths=0)
    left.annotate("100 settings", (1.5, -0.95), (1.5, -1.28), fontsize=7, ha="center", va="top")
    left.set(
        xlabel="declared order", ylabel="measured - declared order", xticks=[1, 2, 3, 4], xlim=(0.5, 4.5), ylim=(-1.7, 1.95)
    )
    title(left, "most reach the order that they declare, few fall short")

    # verdicts by library
    groups = {
        "agrees with what it declares": (curve_style(2)["color"], lambda row: row["code"] == 0 and row in read),
        "agrees, order not read": ("#8CCBB8", lambda row: row["code"] == 0 and row not in read),
        "differs": (curve_style(1)["color"], lambda row: row["code"] == 1),
        "cannot be judged": ("0.75", lambda row: row["code"] == 2),
    }
    base = [0] * len(libraries)
    for word, (colour, belongs) in groups.items():
        counts = [sum(belongs(row) and row["target"].startswith(name + ":") for row in table) for name in libraries]
        right.barh(libraries, counts, left=base, color=colour, label=word)
        base = [a + b for a, b in zip(base, counts)]
    right.set(xlabel="settings")
    right.grid(axis="y", visible=False)
    differ = sum(row["code"] == 1 for row in table)
    title(right, f"{differ} of {len(table)} settings differ from what they declare", inset=0.9)
    legend_below(figure, 3)
    return figure
