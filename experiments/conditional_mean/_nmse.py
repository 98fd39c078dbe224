"""The drawing that the figures of NMSE against SNR share."""

from exactdiffusion.studies.figures import curve_style, legend_below, panels, title

#: A nearest level that misses the SNR by more than this many decibels is marked: the miss, not the chain, makes its excess.
MATCHED_DB = 0.1
#: Lower edge of the axis of the excess.
LEAST = 1e-7


def draw_nmse(table, chains, shown, titles):
    """Left: NMSE of the baselines and of one chain. Right: excess over the MMSE, chain by chain.

    Parameters
    ----------
    table : list of dict
        Rows of `conditional_mean.study`; the estimator "limit" is drawn as a line.
    chains : list of int
        Numbers of steps T to draw on the right.
    shown : int
        The one of them that is drawn on the left.
    titles : tuple of two str
    """
    figure, (left, right) = panels(2, 2.9)

    def curve(name):
        rows = sorted((r for r in table if r["estimator"] == name), key=lambda r: r["snr_db"])
        return rows, [r["snr_db"] for r in rows]

    # the baselines and one chain: more of them would lie on each other
    rows, x = curve("CME")
    left.plot(x, [r["nmse"] for r in rows], color="0.8", linewidth=6, label="CME: the least error")
    for index, name, text in ((5, "LS", "y itself (LS)"), (6, "LMMSE", "best linear (LMMSE)")):
        rows, x = curve(name)
        left.plot(x, [r["nmse"] for r in rows], **curve_style(index), label=text)

    # the excess, as a line through the SNRs that a level matches; elsewhere as crosses
    for index, T in enumerate(chains):
        look = curve_style(index)
        rows, x = curve(f"T = {T}")
        if shown == T:
            left.plot(x, [r["nmse"] for r in rows], **look)
        met = [r for r in rows if abs(r["mismatch_db"]) <= MATCHED_DB]
        missed = [r for r in rows if abs(r["mismatch_db"]) > MATCHED_DB]
        right.errorbar(
            x,
            # the line is broken where no level meets the SNR
            [r["excess"] if r in met else float("nan") for r in rows],
            # on a logarithmic axis an interval that reaches 0 is cut at a tenth of its value
            yerr=[
                [min(1.96 * r["excess_error"], 0.9 * r["excess"]) for r in rows],
                [1.96 * r["excess_error"] for r in rows],
            ],
            elinewidth=0.7,
            capsize=1.5,
            **look,
            label=f"chain, T = {T}",
        )
        right.plot(
            [r["snr_db"] for r in missed], [r["excess"] for r in missed], "x", color=look["color"], markersize=3, alpha=0.6
        )
        for r in met:
            if r["start"] <= 2:
                at = (r["snr_db"], r["excess"])
                place = {"textcoords": "offset points", "xytext": (-4, -3), "ha": "right"}
                right.annotate(f"T = {T}: two steps", at, **place, fontsize=7)
    right.plot([], [], "x", color="0.3", markersize=3, label=f"level off by more than {MATCHED_DB:g} dB")
    rows, x = curve("limit")
    if rows:
        right.plot(x, [r["excess"] for r in rows], color="0.35", linewidth=0.9, label="T → ∞ (limit equation)")

    # the axes
    for axes, text in zip((left, right), titles):
        axes.set_yscale("log")
        axes.set_xlabel("SNR of the observation (dB)")
        title(axes, text)
    left.set_ylim(5e-4, 3)
    left.set_ylabel("normalised mean squared error")
    right.set_ylim(LEAST, 10)
    right.set_ylabel("excess over the least error")
    legend_below(figure, 4)
    return figure
