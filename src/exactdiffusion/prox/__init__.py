"""Global proximal maps of Gaussian mixtures; nothing here knows a law."""

from . import solver
from .solver import *  # noqa: F403 - the names of its __all__, which are listed there alone

__all__ = list(solver.__all__)
