"""Error after each step of the chain, T = 300 (the conditional-mean paper's Fig. 3), and what explains it.

Left: NMSE of the state x_t itself over the NMSE of the CME, which the released code plots; at low SNR it dips below its own
end value. Right: the conditional mean given the state, D_t(z_t). It *starts* at the CME (up to the mismatch of the level)
and drifts away (exact stepwise means; derived, statement jensen_identity: every step adds one Jensen gap). Drawn is its
excess E|D_t(z_t) - CME|^2 / MMSE, with two standard errors: by orthogonality its NMSE is that of the CME times one plus
this.
"""

from exactdiffusion.studies.figures import Spot, helper

SUMMARY = "conditional-mean paper, Fig. 3: error after each step, T = 300, random mixture; drift of D_t(z_t) from the CME"
CAPTION = (
    "The state of the chain approaches the least error while its conditional mean leaves it: the chain starts at the "
    "CME and every step adds to the excess. Left, as Fig. 3 (left) of arXiv 2403.02957: normalised mean squared error "
    "(NMSE) of the state, divided by the NMSE of the conditional mean given the observation (CME), T = 300 steps, "
    "random mixture. Right: excess of the conditional mean given the state over the least mean squared error, with "
    "two standard errors; at 20 dB the chain starts 0.2 dB off its level."
)
PAPER = ("2403.02957", "3", "present")
PARAMETERS = {
    "components": 128,
    "dim": 64,
    "law_seed": 453451,
    "snr_db": [-10, 0, 10, 20],
    "steps": 300,
    "samples": 2000,
    "points": 17,
    "seed": 0,
}
QUICK = {"samples": 100, "points": 9}
SPOT = Spot(
    {"snr_db": [20]},
    keys=("snr_db", "level"),
    rtol={c: 1e-8 for c in ("nmse_state", "excess", "excess_error", "nmse_cme")},
    cause="last bits of BLAS and exp along a chain",
    atol=1e-20,
)


def compute(parameters, progress):
    """One row per SNR and recorded level: t, NMSE of x_t, excess of D_t(z_t), NMSE of the CME."""
    from exactdiffusion import datasets

    law = datasets.random_mixture(parameters["components"], parameters["dim"], parameters["law_seed"])
    return helper("conditional_mean", "_steps").errors_after_steps(law, parameters, progress)


def draw(table, parameters):
    """Left: NMSE of the states over that of the CME. Right: excess of their conditional means."""
    return helper("conditional_mean", "_steps").draw_steps(
        table,
        parameters["snr_db"],
        ("the state nears the least error", "its conditional mean leaves it step by step"),
    )
