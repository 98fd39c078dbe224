"""Global proximal maps of Gaussian mixtures; nothing here knows a law."""

from . import solver
from ._general import GeneralMixture
from ._result import ProxResult
from .solver import *  # noqa: F403 - the names of its __all__, which are listed there alone

__all__ = [*solver.__all__, "GeneralMixture", "ProxResult"]
