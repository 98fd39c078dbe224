"""NMSE versus SNR on a mixture fitted to handwritten digits, a stand-in for the conditional-mean paper's Fig. 2, bottom.

The paper fits K = 128 components to MNIST (784 dimensions). Here scikit-learn's mixture with K = 32 full covariances is
fitted to its bundled 8 x 8 digits (1797 x 64); the fit is the prior, as in the paper, and data are drawn from it. No claim
about MNIST follows. ``conditional_mean.fitted_mixture(datasets.mnist(folder), 128)`` gives the paper's set-up where MNIST is
at hand. Below -10 dB the chain's NMSE grows with T and exceeds 1, the error of estimating zero.
"""

from exactdiffusion.studies.figures import Spot, helper

SUMMARY = "stand-in for the conditional-mean paper's Fig. 2 bottom: NMSE and excess, mixture fitted to 8 x 8 digits"
CAPTION = (
    "On a mixture fitted to images the chain of 300 steps is within about 0.1 per cent of the least error from 5 dB "
    "on; below −10 dB its excess reaches 30 per cent, more than estimating zero would cost. The figure stands in for "
    "Fig. 2 (bottom) of arXiv 2403.02957, which fits 128 components to MNIST: here 32 full covariances are fitted to "
    "the 8 x 8 digits of scikit-learn. CME is the conditional mean; the normalised error is the mean squared error "
    "over the power of the data. Right: the excess E|f − CME|² over the mean squared error of the CME, with 95 % "
    "intervals, cut at a tenth of the value below. Crosses are SNRs that no level of the schedule meets within 0.1 "
    "dB; a line is broken there, since the mismatch sets the error."
)
PAPER = ("2403.02957", "2", "stand-in")
PARAMETERS = {
    "components": 32,
    "reg_covar": 1e-3,
    "snr_db": [-20, -15, -10, -5, 0, 5, 10, 15, 20, 25, 30],
    "steps": [5, 10, 50, 100, 300],
    "samples": 2000,
    "seed": 0,
}
QUICK = {"steps": [5, 50], "samples": 100, "snr_db": [-20, -10, 0, 10, 20, 30]}
SPOT = Spot(
    {"snr_db": [20], "steps": [5]},
    keys=("estimator", "snr_db"),
    rtol={c: 1e-6 for c in ("nmse", "nmse_error", "excess", "excess_error", "mismatch_db")},
    cause="last bits of BLAS in the fit and along a chain (made with one thread, as make figures does)",
    atol=1e-12,
)


def compute(parameters, progress):
    """One row per estimator and SNR; SNRs in parallel processes."""
    from joblib import Parallel, delayed

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    law = conditional_mean.fitted_mixture(datasets.digits(), parameters["components"], reg_covar=parameters["reg_covar"])
    run = Parallel(n_jobs=-1, return_as="generator")(
        delayed(conditional_mean.study)(law, snr, parameters["steps"], parameters["samples"], parameters["seed"])
        for snr in sorted(parameters["snr_db"])
    )
    return [row for rows in progress(run, "SNR", total=len(parameters["snr_db"])) for row in rows]


def draw(table, parameters):
    """Left: NMSE; right: excess over the MMSE."""
    chains = [T for T in (5, 50, 100, 300) if T in parameters["steps"]]
    titles = (
        "8 x 8 digits: from 0 dB on the chain of 300 steps is on the least error",
        "300 steps: 30 % above the least error at low SNR, 0.1 % at 5 dB, less above",
    )
    return helper("conditional_mean", "_nmse").draw_nmse(table, chains, chains[-1], titles)
