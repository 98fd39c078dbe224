"""Stand-ins for the conditional-mean paper's Figs. 4 and 5: another mixture size on digits, and a synthetic complex mixture.

Fig. 4 of the paper uses a mixture fitted to Fashion-MNIST, Fig. 5 a complex-valued one fitted to speech (N = 256); neither
data set is bundled. Left: digits with K = 16 instead of 32. Right: circular complex components with banded spectra and
random loudness, N = 16 complex entries in real form, normalised to unit power per real entry, so that the SNR per real entry
is that per complex entry. They show what the estimators do on such laws, not what they do on the paper's data.
"""

import numpy as np

from exactdiffusion.studies.figures import Spot, curve_style, new_figure

SUMMARY = "stand-ins for the conditional-mean paper's Figs. 4 and 5: digits with K = 16, synthetic complex mixture"
PAPER = ("2403.02957", "4, 5", "stand-in")
PARAMETERS = {
    "laws": ["digits, K = 16", "synthetic complex"],
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
    if "digits, K = 16" in parameters["laws"]:
        laws["digits, K = 16"] = conditional_mean.fitted_mixture(datasets.digits(), 16)
    if "synthetic complex" in parameters["laws"]:
        laws["synthetic complex"] = conditional_mean.normalised(synthetic_complex(16, 16))
    cells = [(name, snr) for name in laws for snr in sorted(parameters["snr_db"])]
    run = Parallel(n_jobs=-1, return_as="generator")(
        delayed(conditional_mean.study)(laws[name], snr, parameters["steps"], parameters["samples"], parameters["seed"])
        for name, snr in cells
    )
    return [{"law": name} | row for (name, _), rows in zip(cells, progress(run, "SNR", total=len(cells))) for row in rows]


def draw(table, parameters):
    """One column per law: NMSE above, excess below."""
    titles = {
        "digits, K = 16": "stand-in for Fig. 4:\ndigits, K = 16",
        "synthetic complex": "stand-in for Fig. 5:\nsynthetic complex",
    }
    figure, panels = new_figure(6.8, 4.8, rows=2, columns=len(parameters["laws"]), sharex=True, sharey="row", squeeze=False)

    # one column per law, one curve per estimator
    for column, law in enumerate(parameters["laws"]):
        top, bottom = panels[:, column]
        mine = [r for r in table if r["law"] == law]
        for index, name in enumerate(dict.fromkeys(r["estimator"] for r in mine)):
            rows = sorted((r for r in mine if r["estimator"] == name), key=lambda r: r["snr_db"])
            look = {"color": "0.8", "linewidth": 6} if name == "CME" else curve_style(index - 1)  # a band: others lie on it
            x = [r["snr_db"] for r in rows]
            top.plot(x, [r["nmse"] for r in rows], label=name, **look)
            if rows[0]["steps"]:
                bars = [2 * r["excess_error"] for r in rows]
                bottom.errorbar(x, [r["excess"] for r in rows], yerr=bars, elinewidth=0.7, capsize=1.5, **look)

        # the axes
        top.set_yscale("log")
        bottom.set_yscale("log")
        top.set_ylim(3e-3, 3)
        bottom.set_ylim(1e-5, 10)
        top.set_title(titles[law])
        bottom.set_xlabel("SNR of the observation (dB)")

    # labels of the whole figure
    panels[0][0].set_ylabel("NMSE")
    panels[1][0].set_ylabel("excess over the MMSE")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure
