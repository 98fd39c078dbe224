"""Proximal matching: what the loss of arXiv 2507.08956 learns, from the posterior mean (large zeta) to the prox (zeta to 0).

For y = x + sqrt(lam) eps and the loss 1 - exp(-|x - f|^2 / (d zeta^2)) the best f_zeta(y) is the mode of the posterior of x
convolved with N(0, d zeta^2 / 2). For a Gaussian mixture the posterior is a mixture: no network is needed.

Left: f_zeta against y on a line: zeta = 1 and 0.5, where the released training ends (in units of the noise, sqrt(lam)), are
not the proximal map. Right: the distance to the prox falls like zeta^2, with the predicted coefficient (grey), over a
shorter range where the prox is steep (squares). The distance to the posterior mean falls like zeta^-2.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, title

SUMMARY = "proximal matching: minimiser of the loss between posterior mean and prox, orders zeta^2 and zeta^-2"
CAPTION = (
    "Where the released training of arXiv 2507.08956 ends (ζ = 1 and .5 in units of the noise √λ), proximal matching "
    "has not learnt the proximal map: its distance to the prox falls only like ζ², with the coefficient predicted "
    "here, and its distance to the posterior mean (right: dashed, open marks) like ζ⁻². Best f_ζ for the loss 1 − "
    "exp(−|x − f|²/(dζ²)), exact for a Gaussian mixture on a line: no network is trained. At y = .5 the prox is steep "
    "and the quadratic range is shorter."
)
PAPER = ("2507.08956", "", "own")
PARAMETERS = {
    "weights": [0.45, 0.2, 0.35],
    "means": [-1.2, 0.2, 1.3],
    "variance": 0.2,
    "lam": 0.4,
    "queries": [-2.2, 2.2, 177],
    "curves": [2.0, 1.0, 0.5, 0.25],
    "orders_at": [-1.0, 0.5, 1.6],
    "zetas": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100],
}
QUICK = {"queries": [-2.2, 2.2, 61]}
SPOT = Spot(
    {"queries": [-2.2, 2.2, 3], "curves": [1.0]},
    keys=("part", "zeta", "y"),
    rtol={c: 1e-8 for c in ("f", "prox", "mean", "prox_gap", "mean_gap", "predicted")},
    atol=1e-13,
    cause="modes are polished to rounding; their differences to the limits cancel",
)


def compute(parameters, progress):
    """Rows (part, zeta, y, f, prox, mean, prox_gap, mean_gap, predicted); zeta in units of the noise sqrt(lam)."""
    import numpy as np

    from exactdiffusion.statements import proximal as bound

    weights, means = np.array(parameters["weights"]), np.array(parameters["means"])
    v, lam, rows = parameters["variance"], parameters["lam"], []
    narrow = v * lam / (v + lam)
    low, high, count = parameters["queries"]

    def posterior(y):
        logs = np.log(weights) - 0.5 * (y - means) ** 2 / (v + lam)
        w = np.exp(logs - logs.max())
        return w / w.sum(), (lam * means + v * y) / (v + lam)

    def mode(w, centres, s):
        """Global mode of sum w_i N(centres_i, s): between the outer centres; the best of a grid, then Newton."""
        u = np.linspace(centres.min(), centres.max(), 2001)
        value = np.exp(-0.5 * (u[:, np.newaxis] - centres) ** 2 / s) @ w
        u = u[np.argmax(value)]
        for _ in range(50):
            z = (centres - u) / s
            r = w * np.exp(-0.5 * s * z * z)
            r /= r.sum()
            first, second = r @ z, r @ (z - r @ z) ** 2 - 1 / s
            move = -first / second if second < 0 else s * first
            u = u + move
            if abs(move) <= 1e-16:
                break
        return u

    def put(part, zeta, y):
        w, centres = posterior(y)
        mean, prox, f = float(w @ centres), mode(w, centres, narrow), mode(w, centres, narrow + lam * zeta**2 / 2)
        # second and third derivative of the log posterior at its mode: cumulants of the centres seen from there
        r = w * np.exp(-0.5 * (centres - prox) ** 2 / narrow)
        r /= r.sum()
        offset = centres - r @ centres
        second, third = r @ offset**2 / narrow**2 - 1 / narrow, r @ offset**3 / narrow**3
        predicted = bound.matching_bias(zeta * lam**0.5, 1, second, third)[0]
        rows.append(
            {
                "part": part,
                "zeta": zeta,
                "y": float(y),
                "f": float(f),
                "prox": float(prox),
                "mean": mean,
                "prox_gap": abs(f - prox),
                "mean_gap": abs(f - mean),
                "predicted": abs(float(predicted)),
            }
        )

    for zeta in progress(parameters["curves"], "curves"):
        for y in np.round(np.linspace(low, high, count), 9):
            put("curve", float(zeta), y)
    for y in parameters["orders_at"]:
        for zeta in parameters["zetas"]:
            put("order", float(zeta), y)
    return rows


def draw(table, parameters):
    """Left: f_zeta against y. Right: distances to both limits."""
    import numpy as np

    figure, (curves, orders) = panels(2, 3.1)

    def jumps(x, y):
        """Breaks the line where it jumps."""
        x, y = np.array(x), np.array(y)
        cut = np.flatnonzero(np.abs(np.diff(y)) > 0.35) + 1
        return np.insert(x, cut, np.nan), np.insert(y, cut, np.nan)

    # the minimiser between its two limits
    first = [r for r in table if r["part"] == "curve" and r["zeta"] == parameters["curves"][0]]
    curves.plot(*jumps([r["y"] for r in first], [r["prox"] for r in first]), color="0.7", linewidth=3.5, label="prox")
    curves.plot([r["y"] for r in first], [r["mean"] for r in first], color=INK, linewidth=1.6, label="posterior mean")
    for index, zeta in enumerate(parameters["curves"]):
        rows = [r for r in table if r["part"] == "curve" and r["zeta"] == zeta]
        look = {**curve_style(index + 3), "marker": None}
        curves.plot(*jumps([r["y"] for r in rows], [r["f"] for r in rows]), label=f"ζ = {zeta:g} √λ", **look)
    curves.set_xlabel("noisy value y")
    curves.set_ylabel("minimiser of the loss $f_ζ(y)$")
    title(curves, "the minimiser goes from the mean to the prox")

    # the orders, over the predicted lines
    for index, y in enumerate(parameters["orders_at"]):
        rows = [r for r in table if r["part"] == "order" and r["y"] == y]
        look = curve_style(index)
        zeta = np.array([r["zeta"] for r in rows])
        gap, mean_gap, predicted = (np.array([r[c] for r in rows]) for c in ("prox_gap", "mean_gap", "predicted"))
        orders.plot(zeta[zeta <= 0.5], predicted[zeta <= 0.5], color="0.8", linewidth=3.5, zorder=1)
        orders.plot(
            zeta[zeta <= 1],
            gap[zeta <= 1],
            label=f"y = {y:g}".replace("-", "−"),
            **{**look, "linestyle": "-", "markerfacecolor": look["color"]},
        )
        orders.plot(
            zeta[zeta >= 0.5], mean_gap[zeta >= 0.5], **{**look, "linestyle": (0, (5, 2)), "markerfacecolor": "white"}
        )
    orders.plot([], [], color="0.8", linewidth=3.5, label="predicted, order ζ²")
    orders.annotate("to the prox", (0.03, 5e-6), fontsize=7)
    orders.annotate("to the posterior mean", (0.9, 5e-6), fontsize=7)
    orders.set_xscale("log")
    orders.set_yscale("log")
    orders.set_xlabel("ζ / √λ")
    orders.set_ylabel("distance of $f_ζ$ to its limits")
    title(orders, "like ζ² to the prox, like ζ⁻² to the mean")
    legend_below(figure, 5)
    return figure
