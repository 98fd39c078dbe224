"""The paper on the conditional mean estimator: its grids and its denoiser."""

from . import denoiser
from .denoiser import *  # noqa: F403 - the names of its __all__, which are listed there alone

__all__ = list(denoiser.__all__)
