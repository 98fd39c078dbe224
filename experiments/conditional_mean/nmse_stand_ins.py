"""Stand-ins for the conditional-mean paper's Figs. 4 and 5: patches of photographs, and a synthetic complex mixture.

Fig. 4 of the paper uses a mixture fitted to Fashion-MNIST, Fig. 5 a complex-valued one fitted to speech (N = 256);
neither data set is bundled. Left: grey 8 x 8 patches of scikit-learn's two photographs, K = 16. Right: circular complex
components with banded spectra and random loudness, N = 16 complex entries in real form, normalised to unit power per real
entry, so that the SNR per real entry is that per complex entry. They show what the estimators do on such laws, not what
they do on the paper's data.
"""

import numpy as np

from exactdiffusion.studies.figures import Spot, curve_style, legend_below, panels, plain_ticks, title

SUMMARY = "stand-ins for the conditional-mean paper's Figs. 4 and 5: patches of photographs, synthetic complex mixture"
CAPTION = (
    "On two further laws the chain of 50 or 300 steps comes within a third of the least error at every SNR and within "
    "2 per cent from 15 dB on; the best linear estimate has up to 2.1 times the least error, yet it is better than "
    "the chain up to −15 dB on the patches and up to −10 dB on the synthetic law. Left and right stand in for Figs. 4 "
    "and 5 of arXiv 2403.02957, whose data (Fashion-MNIST, speech) are not bundled: grey 8 x 8 patches of two "
    "photographs, K = 16 components fitted, and a synthetic circular complex mixture, 16 complex entries in real "
    "form. Drawn is the normalised mean squared error (NMSE), divided by the NMSE of the conditional mean (CME); T = "
    "5 rises where no level meets the SNR."
)
PAPER = ("2403.02957", "4, 5", "stand-in")
PATCHES = "patches, K = 16"
PARAMETERS = {
    "laws": [PATCHES, "synthetic complex"],
    "snr_db": [-20, -15, -10, -5, 0, 5, 10, 15, 20],
    "steps": [5, 50, 300],
    "samples": 2000,
    "seed": 0,
}
QUICK = {"samples": 100, "steps": [5, 50]}
SPOT = Spot(
    {"laws": ["synthetic complex"], "snr_db": [20], "steps": [5]},
    keys=("law", "estimator", "snr_db"),
    rtol={c: 1e-6 for c in ("nmse", "nmse_error", "excess", "excess_error", "mismatch_db")},
    cause="last bits of BLAS along a chain",
    atol=1e-12,
)


def circular(weights, means, covariances):
    """Mixture of circular complex Gaussians CN(mu, C), of shapes (K, N) and (K, N, N), as a real mixture in dimension 2N.

    The real form of a component is N([Re mu, Im mu], 1/2 [[Re C, -Im C], [Im C, Re C]]).
    """
    from exactdiffusion import GaussianMixture

    upper = np.concatenate([covariances.real, -covariances.imag], axis=2)
    lower = np.concatenate([covariances.imag, covariances.real], axis=2)
    real = np.concatenate([upper, lower], axis=1)
    return GaussianMixture(weights, np.concatenate([means.real, means.imag], axis=1), real / 2)


def synthetic_complex(n_components, dim, seed=0):
    """Stand-in for short-time spectra of speech: zero mean, banded spectra, random loudness; E|x|^2 = dim.

    Component k is circular with covariance F diag(p_k) F^H + 1e-3 I: F is the unitary DFT, p_k a resonance of random centre,
    width and loudness (log-normal).
    """
    from exactdiffusion.papers.conditional_mean import normalised

    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.5, n_components)
    weights /= weights.sum()

    # the resonances, on a circle of frequencies
    centre, width = rng.uniform(0, dim, n_components), rng.uniform(0.5, dim / 4, n_components)
    loudness = np.exp(1.5 * rng.standard_normal(n_components))
    distance = np.abs(np.arange(dim) - centre[:, None])
    distance = np.minimum(distance, dim - distance)
    p = loudness[:, None] * np.exp(-0.5 * (distance / width[:, None]) ** 2)

    # their covariances, Hermitian up to rounding and then exactly
    F = np.fft.fft(np.eye(dim), norm="ortho")
    C = (F[None] * p[:, None, :]) @ np.conj(F).T + 1e-3 * np.eye(dim)
    C = (C + np.conj(np.swapaxes(C, 1, 2))) / 2
    return normalised(circular(weights, np.zeros((n_components, dim)), C), power=float(dim))


def compute(parameters, progress):
    """One row per law, estimator and SNR."""
    from joblib import Parallel, delayed

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    laws = {}
    if PATCHES in parameters["laws"]:
        grey = datasets.photo_patches(size=8, stride=8).reshape(-1, 64, 3).mean(axis=2)
        laws[PATCHES] = conditional_mean.fitted_mixture(grey, 16)
    if "synthetic complex" in parameters["laws"]:
        laws["synthetic complex"] = conditional_mean.normalised(synthetic_complex(16, 16))
    cells = [(name, snr) for name in laws for snr in sorted(parameters["snr_db"])]
    run = Parallel(n_jobs=-1, return_as="generator")(
        delayed(conditional_mean.study)(laws[name], snr, parameters["steps"], parameters["samples"], parameters["seed"])
        for name, snr in cells
    )
    return [{"law": name} | row for (name, _), rows in zip(cells, progress(run, "SNR", total=len(cells))) for row in rows]


def draw(table, parameters):
    """One panel per law: NMSE over the least one."""
    titles = {
        PATCHES: "patches of photographs: 50 steps come within a third of the least error",
        "synthetic complex": "synthetic complex mixture: 50 steps come within a sixth of it",
    }
    figure, both = panels(2, 2.8, sharey=True)
    for axes, law in zip(both, parameters["laws"]):
        # every estimator over the least error
        mine = [r for r in table if r["law"] == law]
        least = {r["snr_db"]: r["nmse"] for r in mine if r["estimator"] == "CME"}
        names = {"LS": "y itself (LS)", "LMMSE": "best linear (LMMSE)"}
        for index, name in enumerate(dict.fromkeys(r["estimator"] for r in mine if r["estimator"] != "CME")):
            rows = sorted((r for r in mine if r["estimator"] == name), key=lambda r: r["snr_db"])
            axes.plot(
                [r["snr_db"] for r in rows],
                [r["nmse"] / least[r["snr_db"]] for r in rows],
                label=names.get(name, f"chain, {name}"),
                **curve_style((5, 6, 0, 1, 2)[index]),
            )
        axes.axhline(1, color="0.35", linewidth=0.9)
        axes.annotate("CME: the least error", (-20, 1), textcoords="offset points", xytext=(0, -9), fontsize=7)

        # the axes
        axes.set_yscale("log")
        axes.set_ylim(0.7, 15)
        plain_ticks(axes.yaxis, 1, 10)
        axes.set_xlabel("SNR of the observation (dB)")
        axes.set_ylabel("NMSE / NMSE of the CME")
        axes.yaxis.set_tick_params(labelleft=True)
        title(axes, titles[law])
    legend_below(figure, 5)
    return figure
