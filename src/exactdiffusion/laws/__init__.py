"""Laws: what is sampled, closed under noising. ``law.noised(scale, sigma)`` is the law of ``scale * X + sigma * N(0, I)``."""

from .base import Counted, Denoiser
from .mixture import GaussianMixture
from .points import PointCloud

__all__ = ["Counted", "Denoiser", "GaussianMixture", "PointCloud"]
