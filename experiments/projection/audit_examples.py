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

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "audits of four denoisers of the digits: ideal, perturbed projection, k nearest neighbours with k = 5 and 1"
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
    """Left: largest and median eta per step. Right: measured distance ratios with their bounds, sorted."""
    import numpy as np

    figure, (errors, ratios) = new_figure(7.0, 3.4, columns=2)
    for index, name in enumerate(parameters["denoisers"]):
        look = curve_style(index)
        rows = [r for r in table if r["denoiser"] == name and r["kind"] == "step" and r["max"] is not None]
        sigma = [r["sigma"] for r in rows]
        errors.plot(sigma, [_shown(r["max"]) for r in rows], **{**look, "marker": None}, label=_LABELS[name])
        errors.plot(sigma, [_shown(r["median"]) for r in rows], **{**look, "marker": None, "linewidth": 0.7, "alpha": 0.8})
        rows = [r for r in table if r["denoiser"] == name and r["kind"] == "trajectory" and r["upper"] is not None]
        if not rows:
            continue
        measured, lower, upper = (np.array([r[c] for r in rows], dtype=float) for c in ("measured", "lower", "upper"))
        order = np.argsort(measured)[:: max(1, len(measured) // 25)]
        at = index * 30 + np.arange(len(order))
        # a lower bound of 0 has no place on a logarithmic axis
        ratios.vlines(at, np.maximum(lower[order], 1e-7), upper[order], color=look["color"], linewidth=0.9)
        ratios.plot(
            at,
            measured[order],
            linestyle="none",
            marker=look["marker"],
            color=look["color"],
            markerfacecolor=look["markerfacecolor"],
            markersize=3,
        )
    errors.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (1, 2)))
    errors.text(4e-3, 2.0, "above η = 1: hypothesis H1 fails", fontsize=7, ha="right")
    errors.set_xscale("log")
    errors.set_yscale("log")
    errors.set_xlim(55, 3e-3)
    errors.set_ylim(3e-3, 4)
    errors.set_xlabel("noise level σ (median, data units), as time runs")
    errors.set_ylabel("relative projection error η")
    errors.set_title("largest (thick) and median (thin) per step")
    ratios.set_yscale("log")
    ratios.set_xticks(
        [30 * k + 12 for k in range(len(parameters["denoisers"]))],
        [_LABELS[n].replace(", ", "\n") for n in parameters["denoisers"]],
    )
    ratios.set_ylabel("d($x_0$) / d($x_N$)")
    ratios.set_title("measured (marks) and a-posteriori bounds")
    figure.legend(*errors.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _shown(value):
    """Errors of exactly 0 fall off a logarithmic axis; nan leaves a gap there."""
    return value if value else float("nan")
