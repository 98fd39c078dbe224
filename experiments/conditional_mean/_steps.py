"""What the figures of the error after each step share."""

from exactdiffusion.studies.figures import curve_style, legend_below, panels, title


def errors_after_steps(law, parameters, progress):
    """One row per SNR and recorded level: t, NMSE of x_t, excess of D_t(z_t), NMSE of the CME."""
    import numpy as np

    from exactdiffusion import distances
    from exactdiffusion.papers import conditional_mean

    power, rows = float(np.trace(law.covariance)), []
    for snr_db in parameters["snr_db"]:
        sigma = 10 ** (-snr_db / 20)
        rng = np.random.default_rng([parameters["seed"], 1000 + snr_db])
        x = law.sample(parameters["samples"], rng)
        y = x + sigma * rng.standard_normal(x.shape)

        # the level whose SNR matches, and the states that are tabulated
        grid = conditional_mean.released_grid(parameters["steps"])
        start = conditional_mean.match(grid, sigma)
        levels = grid[start.index :]
        keep = set(np.unique(np.round(np.linspace(0, start.steps, parameters["points"])).astype(int)).tolist())

        # the error of every state, and of its conditional mean against the one of y
        best = conditional_mean.cme(law, y, sigma)
        mmse = float(np.mean(conditional_mean.posterior_variance(law, y, sigma)))
        states = conditional_mean.chain(law, grid, y, sigma)
        for i, z in enumerate(progress(states, f"{snr_db} dB", total=start.steps + 1)):
            if i in keep:
                mean = z if i == start.steps else law.noised(1.0, float(levels.sigma[i])).denoise(z)
                state = z * np.sqrt(levels.alpha_bar[i])
                row = {"snr_db": snr_db, "level": start.steps - i, "nmse_state": distances.nmse(state, x, power).value}
                found = distances.excess_error(mean, best, mmse)
                row |= {"excess": found.value, "excess_error": found.standard_error}
                rows.append(row | {"nmse_cme": distances.nmse(best, x, power).value})

    return rows


def draw_steps(table, snr_db, titles):
    """Left: NMSE of the states over that of the CME. Right: excess of their conditional means; one curve per SNR."""
    figure, (left, right) = panels(2, 2.7)

    # a curve per SNR in both panels
    for index, level in enumerate(snr_db):
        rows = [r for r in table if r["snr_db"] == level]
        share = [1 - r["level"] / rows[0]["level"] for r in rows]
        text = f"{level} dB: {rows[0]['level']} steps".replace("-", "\N{MINUS SIGN}")
        left.plot(share, [r["nmse_state"] / r["nmse_cme"] for r in rows], **curve_style(index), label=text)
        right.errorbar(
            share,
            [r["excess"] for r in rows],
            yerr=[2 * r["excess_error"] for r in rows],
            elinewidth=0.7,
            capsize=1.5,
            **curve_style(index),
        )

    # the axes
    left.axhline(1, color="0.35", linewidth=0.9)
    left.annotate("CME: the least error", (1, 1), textcoords="offset points", xytext=(0, -9), ha="right", fontsize=7)
    top = left.get_ylim()[1]
    left.set_ylim(1 - 0.12 * (top - 1), top)  # room for the label below the line
    left.set_ylabel("NMSE of the state / the least")
    right.set_yscale("log")
    right.set_ylim(bottom=1e-7)
    right.set_ylabel("excess over the least error")
    for axes, text in zip((left, right), titles):
        axes.set_xlabel("share of the steps done")
        title(axes, text)
    legend_below(figure, 4)
    return figure
