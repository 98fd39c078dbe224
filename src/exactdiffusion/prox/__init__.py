"""Global proximal maps of Gaussian mixtures; nothing here knows a law."""

from .solver import (
    EqualVariance,
    GeneralMixture,
    ProxResult,
    laguerre,
    prox_isotropic,
)

__all__ = [
    "EqualVariance",
    "GeneralMixture",
    "ProxResult",
    "laguerre",
    "prox_isotropic",
]
