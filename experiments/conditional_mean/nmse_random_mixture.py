"""NMSE versus SNR on the random mixture of the conditional-mean paper (its Fig. 2, top), with the exact denoiser.

K = 128 components in 64 dimensions, drawn as in the released code and normalised from its exact moments; schedules and SNR
grid of the released code; the level match is in decibels, without that code's off-by-one. Exact stepwise means replace the
network, so what is left of the error is the estimator's own.

The right panel is MSE / MMSE - 1, the excess E|f - CME|^2 over the MMSE on the same observations, with 95 % intervals. It
does not tend to 0 as T grows at fixed SNR (exact stepwise means, fixed SNR, refined schedule: the limit differs from the
CME; derived, statements limit_ode and gap_formula), and it is too small to be seen on the left. T goes to 10,000 at three
SNRs, and to infinity at all of them by the limit ODE, followed by another solver on the same observations. What does fall
with T is the mismatch between the SNR and the nearest level (T = 5, 10 above 10 dB). The authors average over 10,000 test
samples; here there are 2,000, and 400 where T = 10,000: the error of an excess is far below that of an NMSE.
"""

from exactdiffusion.studies.figures import Spot, helper

SUMMARY = "conditional-mean paper, Fig. 2 top: NMSE and excess over the MMSE versus SNR, random mixture N = 64, K = 128"
CAPTION = (
    "With 300 steps the chain of exact conditional means lies on the least error (CME) to within 7 per cent at every "
    "SNR, and more steps do not close the gap: it is the limit's. The prior is a random mixture of 128 Gaussians in "
    "64 dimensions, as in Fig. 2 (top) of arXiv 2403.02957, 2000 observations. Right: the excess E|f − CME|² / MMSE "
    "with 95 % intervals, cut at a tenth of the value below; MMSE is the mean squared error of the CME. The lines are "
    "broken at the crosses, which are SNRs that no level of the schedule meets within 0.1 dB, where the mismatch "
    "alone sets the error."
)
PAPER = ("2403.02957", "2", "present")
PARAMETERS = {
    "components": 128,
    "dim": 64,
    "law_seed": 453451,
    "snr_db": [-20, -15, -10, -5, 0, 5, 10, 15, 20, 25, 30],
    "steps": [5, 10, 50, 100, 300, 1000],
    "many_steps": {"steps": [10000], "snr_db": [-10, 0, 10], "samples": 400},
    "refined": True,
    "samples": 2000,
    "seed": 0,
}
QUICK = {
    "steps": [5, 50, 300],
    "many_steps": {"steps": [], "snr_db": [], "samples": 0},
    "samples": 100,
    "snr_db": [-20, -10, 0, 10, 20, 30],
}
SPOT = Spot(
    {"snr_db": [20], "steps": [5], "many_steps": {"steps": [], "snr_db": [], "samples": 0}, "refined": False},
    keys=("estimator", "snr_db"),
    rtol={c: 1e-8 for c in ("nmse", "nmse_error", "excess", "excess_error", "mismatch_db")},
    cause="last bits of BLAS and exp along a chain",
    atol=1e-12,
)


def compute(parameters, progress):
    """One row per estimator and SNR; SNRs in parallel processes, draws depend on the SNR and the seed alone."""
    from joblib import Parallel, delayed

    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    law = datasets.random_mixture(parameters["components"], parameters["dim"], parameters["law_seed"])
    many, seed = parameters["many_steps"], parameters["seed"]

    def few_steps(snr):
        return conditional_mean.study(
            law, snr, parameters["steps"], parameters["samples"], seed, refined=parameters["refined"]
        )

    def many_steps(snr):
        rows = conditional_mean.study(law, snr, many["steps"], many["samples"], seed)
        return [row for row in rows if row["steps"]]  # the baselines are those of the larger sample

    # the longest chains are those of most steps at low SNR: they come first, so that processes end together
    cells = [(many_steps, snr) for snr in sorted(many["snr_db"])] + [
        (few_steps, snr) for snr in sorted(parameters["snr_db"])
    ]
    run = Parallel(n_jobs=-1, return_as="generator")(delayed(part)(snr) for part, snr in cells)
    return [row for rows in progress(run, "SNR", total=len(cells)) for row in rows]


def draw(table, parameters):
    """Left: NMSE; right: excess over the MMSE, of chains and of the limit."""
    chains = [T for T in (5, 50, 300, 1000) if T in parameters["steps"]]
    titles = (
        "with 300 steps the chain is on the least error",
        "where a level meets the SNR, the excess is the limit's: more steps do not reduce it",
    )
    return helper("conditional_mean", "_nmse").draw_nmse(table, chains, min(300, chains[-1]), titles)
