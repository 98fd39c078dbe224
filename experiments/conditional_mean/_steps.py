"""The drawing that the figures of the error after each step share."""

from exactdiffusion.studies.figures import curve_style, legend_below, panels, title


def draw_steps(table, snr_db, titles):
    """Left: NMSE of the states over that of the CME. Right: excess of their conditional means; one curve per SNR."""
    figure, (left, right) = panels(2, 2.7)
    for index, level in enumerate(snr_db):
        rows = [r for r in table if r["snr_db"] == level]
        share = [1 - r["level"] / rows[0]["level"] for r in rows]
        text = f"{level} dB: {rows[0]['level']} steps".replace("-", "\N{MINUS SIGN}")
        left.plot(share, [r["nmse_state"] / r["nmse_cme"] for r in rows], **curve_style(index), label=text)
        right.errorbar(
            share,
            [r["excess"] if r["excess"] > 3e-5 else float("nan") for r in rows],  # the start is the CME itself
            yerr=[2 * r["excess_error"] for r in rows],
            elinewidth=0.7,
            capsize=1.5,
            **curve_style(index),
        )
    left.axhline(1, color="0.35", linewidth=0.9)
    left.annotate("CME: the least error", (1, 1), textcoords="offset points", xytext=(0, -9), ha="right", fontsize=7)
    left.set_ylim(0.88, None)
    left.set_ylabel("NMSE of the state / NMSE of the CME")
    right.set_yscale("log")
    right.set_ylabel("excess over the least error")
    for axes, text in zip((left, right), titles):
        axes.set_xlabel("share of the steps done")
        title(axes, text)
    legend_below(figure, 4)
    return figure
