"""Worked examples of ``exactdiffusion audit``: three denoisers of the digits and what the theory says of each.

``perturbed``: the projection plus an error of relative size exactly 0.1, tangential to the distance. The audit reports 0.1.
``knn``: scikit-learn's k-nearest-neighbour regressor, k = 5, as a denoiser. Training pairs are the digits noised at 40
levels, one noise draw each (input noisy, target clean); asked at sigma it uses the regressor of the nearest level. ``knn1``
the same with k = 1. And the ideal denoiser (conditional mean). Each is a plain function (x, sigma) -> estimate, so that

    exactdiffusion audit experiments/projection/audit_examples.py:knn --target digits

prints the full report. Left: eta at the visited states. k = 5 ends at eta = 1: DDIM converges to the mean of five digits,
which is not a digit, so the distance stalls and the error is the whole of it; hypothesis H1 fails and no schedule is
admissible. k = 1 answers with another digit than the nearest at medium noise (eta > 1) and is exact below. Right:
d(x_0)/d(x_N) per trajectory within its a-posteriori bounds, which need no hypothesis.
"""

from functools import lru_cache

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, title

SUMMARY = "audits of four denoisers of the digits: ideal, perturbed projection, k nearest neighbours with k = 5 and 1"
CAPTION = (
    "The audit tells a good denoiser from a bad one by its relative projection error η: five neighbours end at η = 1, "
    "so no schedule is admissible and the distance stalls, while one neighbour and the ideal denoiser become exact. "
    "The theory, its hypothesis (H1) η < 1 and the error η are from arXiv 2306.04848. The data are digits, the runs "
    "200 trajectories of 50 DDIM steps. Left: median η of a step; the curves of one neighbour and of the ideal "
    "denoiser fall to 0 where most states are answered by their nearest digit; the largest η of both kinds of "
    "neighbours exceeds 1 (table). Right: d is the distance to the digits; d(x_0)/d(x_N), median (filled) and range, "
    "between the a-posteriori bounds (open), which need no hypothesis."
)
PAPER = ("2306.04848", "", "own")
PARAMETERS = {"denoisers": ["ideal", "perturbed", "knn", "knn1"], "N": 50, "trajectories": 200, "seed": 0}
QUICK = {"trajectories": 50}
SPOT = Spot(
    {"denoisers": ["perturbed"]},
    keys=("denoiser", "kind", "k"),
    rtol=dict.fromkeys(("sigma", "median", "q05", "q95", "max", "measured", "lower", "upper"), 1e-6),
    cause="last bits of BLAS differ between processors and grow along a trajectory; an error below 1e-12 is "
    "rounding of the atoms",
    atol=1e-12,
)

ETA = 0.1
_LABELS = {"ideal": "ideal", "perturbed": "perturbed, η = 0.1", "knn": "kNN, k = 5", "knn1": "kNN, k = 1"}


@lru_cache
def _cloud():
    from exactdiffusion import PointCloud, datasets

    return PointCloud(datasets.digits())


@lru_cache
def _perturbation():
    from exactdiffusion.papers.projection.adversaries import ApproximateProjection

    return ApproximateProjection(_cloud(), ETA, strategy="tangential", garbage=False)


def perturbed(x, sigma):
    """p(x) + eta d(x) u with a random unit vector u orthogonal to x - p(x)."""
    return _perturbation().noised(1.0, sigma).denoise(x)


@lru_cache
def _regressors(k):
    """Noise levels and one fitted regressor for each."""
    import numpy as np
    from sklearn.neighbors import KNeighborsRegressor

    clean, rng = _cloud().points, np.random.default_rng(0)
    levels = np.geomspace(1e-3, 200.0, 40)
    return levels, [KNeighborsRegressor(k).fit(clean + s * rng.standard_normal(clean.shape), clean) for s in levels]


def _neighbours(x, sigma, k):
    import numpy as np

    levels, models = _regressors(k)
    sigma = np.broadcast_to(np.asarray(sigma, dtype=float), len(x))
    nearest = np.argmin(np.abs(np.log(sigma)[:, None] - np.log(levels)), axis=1)
    out = np.empty_like(x)
    for j in np.unique(nearest):
        out[nearest == j] = models[j].predict(x[nearest == j])
    return out


def knn(x, sigma):
    """Mean of the clean digits of the 5 nearest noised ones."""
    return _neighbours(x, sigma, 5)


def knn1(x, sigma):
    """The clean digit of the nearest noised one."""
    return _neighbours(x, sigma, 1)


def compute(parameters, progress):
    """Rows of kind "step" (k = step: sigma and eta) and "trajectory" (k = row: distance ratio and its bounds)."""
    from exactdiffusion.papers.projection.audit import audit

    functions, rows = {"ideal": "ideal", "perturbed": perturbed, "knn": knn, "knn1": knn1}, []
    empty = dict.fromkeys(("sigma", "median", "q05", "q95", "max", "measured", "lower", "upper"))
    for name in progress(parameters["denoisers"], "audits"):
        report = audit(
            functions[name], _cloud(), N=parameters["N"], trajectories=parameters["trajectories"], seed=parameters["seed"]
        )
        for row in report.per_step():
            rows.append(
                {
                    "denoiser": name,
                    "kind": "step",
                    "k": row["step"],
                    **empty,
                    "sigma": row["sigma"],
                    "median": row["q50"],
                    "q05": row["q05"],
                    "q95": row["q95"],
                    "max": row["max"],
                }
            )
        lower, upper = report.a_posteriori
        for k, values in enumerate(zip(report.measured, lower, upper)):
            rows.append(
                {
                    "denoiser": name,
                    "kind": "trajectory",
                    "k": k,
                    **empty,
                    **dict(zip(("measured", "lower", "upper"), map(float, values))),
                }
            )
    return rows


def draw(table, parameters):
    """Left: median eta per step. Right: measured distance ratios and their bounds, median and range."""
    import numpy as np

    figure, (errors, ratios) = panels(2, 2.9)
    for index, name in enumerate(parameters["denoisers"]):
        look = curve_style(index)
        rows = [r for r in table if r["denoiser"] == name and r["kind"] == "step" and r["median"] is not None]
        # an error of exactly 0 is far below the axis: the curve leaves it there
        values = [max(r["median"], 1e-12) for r in rows]
        errors.plot([r["sigma"] for r in rows], values, **look, markevery=4, label=_LABELS[name])

        # measured between its bounds
        rows = [r for r in table if r["denoiser"] == name and r["kind"] == "trajectory" and r["upper"] is not None]
        for shift, key, marker, face in (
            (-0.2, "lower", "^", "white"),
            (0, "measured", "o", None),
            (0.2, "upper", "v", "white"),
        ):
            # a lower bound of 0 has no place on a logarithmic axis
            found = np.maximum([r[key] for r in rows], 1e-7)
            ratios.plot([index + shift] * 2, [found.min(), found.max()], color=look["color"], linewidth=1.2)
            at = {"marker": marker, "color": look["color"], "markerfacecolor": face or look["color"], "markersize": 4}
            ratios.plot(index + shift, np.median(found), **at)
    errors.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (1, 2)))
    errors.annotate(
        "from 1 on hypothesis (H1) fails", (0.98, 1.9), xycoords=errors.get_yaxis_transform(), fontsize=7, ha="right"
    )
    errors.set_xscale("log")
    errors.set_yscale("log")
    errors.set_xlim(55, 3e-3)
    errors.set_ylim(3e-3, 4)
    errors.set_xlabel("noise level σ (data units), as time runs")
    errors.set_ylabel("median projection error η of a step")
    title(errors, "five neighbours end at η = 1, the others do not")
    ratios.set_yscale("log")
    ratios.set_xlim(-0.5, len(parameters["denoisers"]) - 0.5)
    names = [_LABELS[n].replace(", ", "\n") for n in parameters["denoisers"]]
    ratios.set_xticks(range(len(names)), names)
    ratios.set_ylabel("d($x_0$) / d($x_N$)")
    title(ratios, "each measured reduction (●) lies between its bounds (△, ▽)")
    legend_below(figure, 4)
    return figure
