"""Distances between laws and errors of estimators, each with its certificate, standard error or interval."""

from .divergence import kl_quadrature, tv_quadrature
from .estimation import Estimate, excess_error, mse, nmse
from .gaussian import bures_w2, gaussian_kl, gelbrich
from .rates import Slope, fit_slope, local_slopes
from .wasserstein import ExactDraws, W2Result, coupling_bound, exact_draws, w2, w2_to_set, wasserstein_1d

__all__ = [
    "Estimate",
    "ExactDraws",
    "Slope",
    "W2Result",
    "bures_w2",
    "coupling_bound",
    "exact_draws",
    "excess_error",
    "fit_slope",
    "gaussian_kl",
    "gelbrich",
    "kl_quadrature",
    "local_slopes",
    "mse",
    "nmse",
    "tv_quadrature",
    "w2",
    "w2_to_set",
    "wasserstein_1d",
]
