"""Log-concavity lost: four atoms in the plane, certified log-concave at one measurement, not so at two.

Atoms (+-1, 0) and (0, +-1.2) with weights .3158102 and .1841898 each, sigma^2 = .714. Drawn is sigma^2 times the largest
eigenvalue of the Hessian of log p(y_2 | y_1) (left), which depends on the mean of the measurements alone: negative means
strictly concave there. It is positive near 0, where a rigorous ball (for the decimal numbers above) encloses the value. That
of log p(y_1), in the table, is below -.015 everywhere, by a quad-tree certificate. Right: the largest value over all pasts
against m, and the value at 0, together with the law of averages that does hold: E C_m decreases with m, so the mean of the
Hessian stays below -(1 - 1/m)/sigma^2.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "the four-atom counterexample: largest eigenvalue of the conditional's Hessian at one and at two measurements"
CAPTION = (
    "More measurements can lose log-concavity: the first measurement of four atoms has a log-concave law (σ² times "
    "the largest eigenvalue of the Hessian is at most −.015 everywhere, by a certificate of 584 cells), the second "
    "one given the first has not, since the same quantity is .0651 at 0, enclosed by a rigorous ball. The weights are "
    ".3158102 and .1841898, σ² = .714. The left panel shows levels of σ² λmax of the Hessian of log p(y_2 | y_1), "
    "which depends on the mean of the measurements alone. Right: the worst past is the one with mean 0; the mean over "
    "the pasts stays below its bound 1/m − 1."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "atoms": [["1", "0"], ["-1", "0"], ["0", "1.2"], ["0", "-1.2"]],
    "weights": ["0.3158102", "0.3158102", "0.1841898", "0.1841898"],
    "sigma2": "0.714",
    "claim": 0.985,
    "half_width": 2.4,
    "cells": 48,
    "stride": 1,
    "measurements": [1, 2, 3, 4, 6, 8, 12, 16, 24, 32],
    "ball_bits": 160,
    "parts": ["map", "certificate", "curve", "ball"],
}
QUICK = {"stride": 2, "measurements": [1, 2, 4, 8]}
SPOT = Spot(
    {"stride": 8, "parts": ["map", "certificate", "curve"], "measurements": [1, 2, 8]},
    keys=("part", "m", "i", "j"),
    rtol={"value": 1e-11, "x": 1e-15, "y": 1e-15},
    atol=1e-11,
    cause="rounding of a covariance of order 1 over sigma^2; maxima are stationary",
)


def compute(parameters, progress):
    """Rows (part, m, i, j, x, y, value, text): value is sigma^2 lammax of the Hessian at mean (x, y), one quadrant.

    ``curve``: i = 0 largest value over the plane and where, 1 value at 0, 2 sigma^2 lammax of the mean Hessian.
    ``certificate``: value is the certified bound, i the cells. ``ball``: text is the rigorous ball of the value at 0.
    """
    import math

    import numpy as np

    from exactdiffusion import PointCloud
    from exactdiffusion.papers.log_concavity import certificates as certified

    atoms, weights = np.array(parameters["atoms"], dtype=float), np.array(parameters["weights"], dtype=float)
    sigma2, cloud, rows = float(parameters["sigma2"]), PointCloud(atoms, weights), []

    def put(part, m, i, j, x, y, value, text=""):
        rows.append(
            {"part": part, "m": m, "i": i, "j": j, "x": float(x), "y": float(y), "value": float(value), "text": text}
        )

    for part in progress(parameters["parts"], "counterexample"):
        if part == "map":
            k = np.arange(0, parameters["cells"] + 1, parameters["stride"])
            side = parameters["half_width"] * k / parameters["cells"]
            plane = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
            for m in (1, 2):
                value = certified.largest_posterior_variance(cloud, plane, sigma2 / m) / sigma2 - 1
                for (i, j), y, v in zip(np.ndindex(len(k), len(k)), plane, value):
                    put(part, m, int(k[i]), int(k[j]), *y, v)
        elif part == "certificate":
            found = certified.certify_log_concavity(cloud, sigma2, bound=parameters["claim"] * sigma2)
            if found.status is not True:
                raise RuntimeError(f"the certificate failed: {found}")
            put(part, 1, found.cells, 0, 0, 0, parameters["claim"] - 1)
        elif part == "curve":
            x, w = np.polynomial.hermite_e.hermegauss(44)
            nodes, mass = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2), np.outer(w, w).ravel() / np.sum(w) ** 2
            for m in parameters["measurements"]:
                s = sigma2 / m
                # from the axes too, where equal atoms balance
                starts = np.array([[0.0, 0], [0.4, 0.3], [0.0, 0.6], [0.8, 0.0], [0.5, 0.6], [0.0, 1.2], [1.5, 1.2]])
                top, y = certified.covariance_supremum(atoms, weights, s, starts=starts)
                # the place of a flat maximum is known to 1e-8, the root of the rounding of its value
                put(part, m, 0, 0, *np.round(np.abs(y), 6), top / sigma2 - 1)
                at_zero = certified.largest_posterior_variance(cloud, np.zeros((1, 2)), s)[0]
                put(part, m, 1, 0, 0, 0, at_zero / sigma2 - 1)
                q = cloud.noised(1.0, math.sqrt(s))
                mean = sum(
                    p * np.tensordot(mass, q.posterior_covariance(a + math.sqrt(s) * nodes), axes=1)
                    for p, a in zip(weights, atoms)
                )
                put(part, m, 2, 0, 0, 0, np.linalg.eigvalsh(mean)[-1] / sigma2 - 1)
        else:
            from decimal import Decimal

            import flint

            half = str(Decimal(parameters["sigma2"]) / 2)  # the noise of the mean of two, as a decimal
            with flint.ctx.workprec(parameters["ball_bits"]):
                sigma2_ball = flint.arb(parameters["sigma2"])
                C = certified.rigorous_covariance(
                    parameters["atoms"], parameters["weights"], half, ["0", "0"], prec=parameters["ball_bits"]
                )
                # at 0 the covariance is diagonal by symmetry: the ball of C_12 contains 0
                if not (C[0][1].contains(0) and C[0][0] > C[1][1]):
                    raise RuntimeError("the covariance at 0 is not the diagonal one expected")
                ball = C[0][0] / sigma2_ball - 1
                put(part, 2, 0, 0, 0, 0, float(ball.mid()), ball.str(25))
    return rows


def draw(table, parameters):
    """Left: the map at two measurements. Right: the curve over m."""
    import numpy as np

    figure, (plane, curve) = panels(2, 3.0)
    atoms = np.array(parameters["atoms"], dtype=float)
    orange = curve_style(1)["color"]

    # the map: one quadrant is tabulated, the others follow by symmetry
    rows = [r for r in table if r["part"] == "map" and r["m"] == 2]
    side = np.array(sorted({r["x"] for r in rows}))
    quadrant = np.array([r["value"] for r in rows]).reshape(len(side), len(side))
    half = np.concatenate([quadrant[:0:-1], quadrant])
    full = np.concatenate([half[:, :0:-1], half], axis=1)
    line = np.concatenate([-side[:0:-1], side])
    plane.contourf(
        line,
        line,
        full.T,
        levels=[-1.01, -0.75, -0.5, -0.25, 0, 1],
        colors=["#9ecae1", "#c6dbef", "#deebf7", "#f4f9fd", orange],
    )
    levels = plane.contour(line, line, full.T, levels=[-0.75, -0.5, -0.25], colors="0.45", linewidths=0.5, linestyles="-")
    plane.clabel(levels, fmt=lambda v: f"{v:g}".replace("-", "−"), fontsize=7)
    plane.contour(line, line, full.T, levels=[0.0], colors=INK, linewidths=1.0)
    plane.plot(*atoms.T, "o", color="white", markeredgecolor=INK, markersize=4.5)
    plane.annotate(
        "not log-\nconcave",
        (0.12, 0.05),
        xytext=(1.3, 0.3),
        fontsize=7,
        color=INK,
        zorder=5,
        arrowprops={"arrowstyle": "->", "linewidth": 0.8},
    )
    plane.set_aspect("equal")
    plane.grid(False)
    plane.set_xticks([-2, 0, 2])
    plane.set_yticks([-2, 0, 2])
    plane.set_xlabel("mean of two measurements, coordinate 1")
    plane.set_ylabel("coordinate 2")
    title(plane, "m = 2: not log-concave near 0", inset=0.75)

    # the largest curvature against the number of measurements
    for index, (i, label) in enumerate(((0, "worst past"), (1, "past with mean 0"), (2, "mean over the pasts"))):
        rows = [r for r in table if r["part"] == "curve" and r["i"] == i]
        look = curve_style(index) | ({"markersize": 6} if i == 0 else {})  # the first lies under the second
        curve.plot([r["m"] for r in rows], [r["value"] for r in rows], **look, label=label)
    m = np.array(parameters["measurements"])
    curve.plot(m, 1 / m - 1, color="0.4", linewidth=0.9, linestyle=(0, (1, 1)), label="1/m − 1: bound of the mean")
    curve.axhline(0.0, color=INK, linewidth=0.9)
    curve.annotate("log-concave below 0", (m[-1], 0), textcoords="offset points", xytext=(0, -9), ha="right", fontsize=7)
    curve.set_xscale("log")
    plain_ticks(curve.xaxis, m[0], m[-1])
    curve.set_xlabel("number of measurements m")
    curve.set_ylabel("σ² × largest eigenvalue of the Hessian")
    title(curve, "lost from m = 2 on, although it holds on average")
    legend_below(figure, 4)
    return figure
