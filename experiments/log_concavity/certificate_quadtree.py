"""The quad-tree of a log-concavity certificate in the plane: every cell with its proved bound.

On a cell with the centre c, lammax Cov(Z | y) is at most the largest eigenvalue of E[exp(z s / v) z z^T] over its four
corners c + s, z = Z - E[Z | c], the expectation under the posterior at c: a cell is accepted when this stays below the
claim, and split in four when it does not. A closed bound holds in sectors of directions beyond radii of their own: where the
picture (the middle of the ball of all cells) is white. Colour: the bound over v, at most the claim. Cells grow small where
the truth comes near the claim: between the atoms, and along the rays on which two atoms have equal odds, out to where the
sectors take over.

Left: the four atoms of the counterexample, sigma^2 = .714, claim .99 sigma^2 (strictly log-concave). Right: a rectangle with
uneven weights .45, .05, .05, .45, v one per cent above the exact threshold, claim v; the cross is the witness, the point at
which log-concavity fails first when v decreases.
"""

from exactdiffusion.studies.figures import INK, Spot, curve_style, panels, title

SUMMARY = "the quad-tree of two certificates of log-concavity in the plane, cells coloured by their proved bound"
CAPTION = (
    "A few hundred cells prove log-concavity: on each the largest eigenvalue of the posterior covariance is bounded "
    "from its four corners, and a cell is split until the bound meets the claim. The colour is the proved bound over "
    "the variance v; white marks are atoms. On the left are the four atoms of the counterexample at σ² = .714, claim "
    ".99 v. On the right is a rectangle of uneven weights, v one per cent above the exact threshold; the cross is the "
    "point where log-concavity fails first when v decreases. Shown is the middle of the ball of all cells; where none "
    "is drawn, and beyond the ball, a closed bound holds."
)
PAPER = ("2305.19473", "", "own")
PARAMETERS = {
    "clouds": {
        "four atoms": {
            "atoms": [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.2], [0.0, -1.2]],
            "weights": [0.3158102, 0.3158102, 0.1841898, 0.1841898],
            "variance": 0.714,
            "claim": 0.99,
        },
        "rectangle": {
            "atoms": [[-1.2, -1.0], [-1.2, 1.0], [1.2, -1.0], [1.2, 1.0]],
            "weights": [0.45, 0.05, 0.05, 0.45],
            "above": 0.01,
            "claim": 1.0,
        },
    },
    "shown": ["four atoms", "rectangle"],
}
QUICK = {"shown": ["rectangle"]}
SPOT = Spot(
    {"shown": ["rectangle"]},
    keys=("cloud", "what", "level", "i", "j"),
    rtol={"bound": 1e-5, "x": 1e-6, "y": 1e-6},
    atol=1e-7,
    cause="six digits are kept; the threshold comes from an ascent that stops at 1e-13 of it",
)


def compute(parameters, progress):
    """Rows (cloud, what, level, i, j, x, y, bound).

    ``cell``: square i, j of the 16 2^level per side of [-radius, radius]^2 about the centroid, bound over v to six digits.
    ``setting``: x the radius, y the variance v, bound the claim over v, i the cells examined. ``witness``: x, y.
    """
    import numpy as np
    from scipy.special import softmax

    from exactdiffusion import PointCloud
    from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity, log_concavity_threshold

    rows = []
    for name in progress(parameters["shown"], "certificates"):
        q = parameters["clouds"][name]
        atoms, v, witness = np.array(q["atoms"]), q.get("variance"), None
        cloud = PointCloud(atoms, q["weights"])
        if v is None:
            found = log_concavity_threshold(cloud)
            v, witness = found.lower * (1 + q["above"]), found.witness
            if witness is None:
                raise RuntimeError(f"{name}: the witness lies at infinity; expected one in the plane")
        proof = certify_log_concavity(cloud, v, bound=q["claim"] * v, keep_leaves=True)
        if proof.status is not True:
            raise RuntimeError(f"{name}: no certificate: {proof}")
        # the axes of the affine hull are the coordinate axes up to order and sign
        B = np.linalg.lstsq(proof.points, np.unique(atoms, axis=0) - atoms.mean(axis=0), rcond=None)[0]
        B = np.where(np.abs(B) > 1e-9, B, 0.0)
        if not np.allclose(np.sort(np.abs(B), axis=None), [0, 0, 1, 1], rtol=0, atol=1e-12):
            raise RuntimeError(f"{name}: expected coordinate axes, got {B}")
        centres, width = proof.leaves[0] @ B, proof.leaves[1]
        level = np.round(np.log2(proof.radius / 16 / width)).astype(int)
        index = np.round((centres + proof.radius) / (2 * width[:, np.newaxis]) - 0.5).astype(int)
        # the bound once more: the second moment about the mean, tilted towards each corner
        y = centres + atoms.mean(axis=0)
        logits = np.log(cloud.weights) - np.sum((y[:, np.newaxis] - atoms) ** 2, axis=2) / (2 * v)
        p = softmax(logits, axis=1)
        z = atoms - (p @ atoms)[:, np.newaxis]
        bound = np.zeros(len(y))
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            tilted = p * np.exp(width[:, np.newaxis] * (z @ np.array(signs)) / v)
            moment = np.swapaxes(z * tilted[:, :, np.newaxis], 1, 2) @ z
            bound = np.maximum(bound, np.linalg.eigvalsh(moment)[:, -1] / v)
        rows.append(
            {
                "cloud": name,
                "what": "setting",
                "level": 0,
                "i": proof.cells,
                "j": 0,
                "x": proof.radius,
                "y": v,
                "bound": q["claim"],
            }
        )
        if witness is not None:
            rows.append(
                {
                    "cloud": name,
                    "what": "witness",
                    "level": 0,
                    "i": 0,
                    "j": 0,
                    "x": float(witness[0]),
                    "y": float(witness[1]),
                    "bound": None,
                }
            )
        for k in np.lexsort((index[:, 1], index[:, 0], level)):
            rows.append(
                {
                    "cloud": name,
                    "what": "cell",
                    "level": int(level[k]),
                    "i": int(index[k, 0]),
                    "j": int(index[k, 1]),
                    "x": None,
                    "y": None,
                    "bound": float(f"{bound[k]:.6g}"),
                }
            )
    return rows


def draw(table, parameters):
    """One panel per cloud: the middle of its ball."""
    import numpy as np
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    shown = parameters["shown"]
    figure, axes = panels(len(shown), 3.4)
    for axis, name in zip(np.atleast_1d(axes), shown):
        rows = [r for r in table if r["cloud"] == name]
        setting = next(r for r in rows if r["what"] == "setting")
        radius, cells = setting["x"], [r for r in rows if r["what"] == "cell"]

        # the cells, coloured by their bound
        patches = []
        for r in cells:
            side = radius / 8 / 2 ** r["level"]
            patches.append(Rectangle((r["i"] * side - radius, r["j"] * side - radius), side, side))
        collection = PatchCollection(patches, cmap="viridis", edgecolor="white", linewidth=0.25)
        collection.set_array(np.array([r["bound"] for r in cells]))
        collection.set_clim(0, 1)
        axis.add_collection(collection)

        # the atoms, and witnesses where the claim is false
        atoms = np.array(parameters["clouds"][name]["atoms"])
        axis.plot(*atoms.T, "o", color="white", markeredgecolor=INK, markersize=4.5, zorder=5)
        for r in rows:
            if r["what"] == "witness":
                look = {"color": curve_style(1)["color"], "markeredgecolor": "white", "markersize": 7, "zorder": 6}
                axis.plot(r["x"], r["y"], "X", **look)

        # the axes
        limit = 0.4 * radius
        axis.set_xlim(-limit, limit)
        axis.set_ylim(-limit, limit)
        axis.set_aspect("equal")
        axis.grid(False)
        axis.set_xlabel("y, coordinate 1")
        axis.set_ylabel("y, coordinate 2")
        title(axis, f"{name}: proved with {len(cells)} cells, the smallest ones at the centre", inset=0.9)
    bar = figure.colorbar(collection, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label("proved bound of λmax Cov(Z | y), over v")
    return figure
