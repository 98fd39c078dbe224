"""Error after each step of the chain on a mixture fitted to digits: the right panel of the conditional-mean paper's Fig. 3.

The paper fits 128 components to MNIST; here scikit-learn's mixture with 32 full covariances is fitted to its bundled 8 x 8
digits, and data are drawn from the fit. Quantities as in ``error_after_each_step``: NMSE of the state x_t over the NMSE of
the CME, and the excess of the conditional mean given the state, with two standard errors.
"""

from exactdiffusion.studies.figures import Spot, helper

SUMMARY = "stand-in for the conditional-mean paper's Fig. 3 right: error after each step, mixture fitted to 8 x 8 digits"
CAPTION = (
    "On a mixture fitted to images, too, the conditional mean leaves the least error step by step, most at low SNR: "
    "at −10 dB it ends 20 per cent above it, and the state, after coming within 10 per cent, follows it back up. The "
    "figure stands in for Fig. 3 (right) of arXiv 2403.02957 (MNIST, 128 components): 8 x 8 digits, 32 components, T "
    "= 300, 4000 observations. Left: normalised mean squared error (NMSE) of the state, divided by the NMSE of the "
    "conditional mean given the observation (CME). Right: excess of the conditional mean given the state over the "
    "least mean squared error, with two standard errors; at the start only the miss of the level is left of it; at 20 "
    "dB the chain starts 0.2 dB off its level, which sets its excess."
)
PAPER = ("2403.02957", "3 right", "stand-in")
PARAMETERS = {
    "components": 32,
    "reg_covar": 1e-3,
    "snr_db": [-10, 0, 10, 20],
    "steps": 300,
    "samples": 4000,
    "points": 17,
    "seed": 0,
}
QUICK = {"samples": 100, "points": 9}
SPOT = Spot(
    {"snr_db": [20]},
    keys=("snr_db", "level"),
    rtol={c: 1e-6 for c in ("nmse_state", "excess", "excess_error", "nmse_cme")},
    cause="last bits of BLAS in the fit and along a chain",
    atol=1e-12,
)


def compute(parameters, progress):
    """One row per SNR and recorded level: t, NMSE of x_t, excess of D_t(z_t), NMSE of the CME."""
    from exactdiffusion import datasets
    from exactdiffusion.papers import conditional_mean

    law = conditional_mean.fitted_mixture(datasets.digits(), parameters["components"], reg_covar=parameters["reg_covar"])
    return helper("conditional_mean", "_steps").errors_after_steps(law, parameters, progress)


def draw(table, parameters):
    """Left: NMSE of the states over that of the CME. Right: excess of their conditional means."""
    titles = (
        "digits: the state nears the least error, and leaves it again at low SNR",
        "its conditional mean leaves it step by step",
    )
    return helper("conditional_mean", "_steps").draw_steps(table, parameters["snr_db"], titles)
