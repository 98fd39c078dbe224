"""Laws: what is sampled, closed under noising.

``law.noised(scale, sigma)`` is the law of ``scale * X + sigma * N(0, I)``. ``REGISTRY`` holds examples of every law, for
tests: see :mod:`.registry`.
"""

from .base import Counted, Denoiser
from .gaussian_mixture import GaussianMixture
from .point_cloud import PointCloud
from .registry import REGISTRY as REGISTRY
from .sets import Sphere, Subspace, Torus

__all__ = ["Counted", "Denoiser", "GaussianMixture", "PointCloud", "Sphere", "Subspace", "Torus"]
