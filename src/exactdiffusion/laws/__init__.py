"""Laws: what is sampled, closed under noising.

``law.noised(scale, sigma)`` is the law of ``scale * X + sigma * N(0, I)``. ``REGISTRY`` holds examples of every law, for
tests: see :mod:`.registry`. A new law is one file of this folder: its ``__all__`` is exported here, and the examples that it
marks with ``@registry.example(name)`` are tested.
"""

import importlib
import pkgutil

from .base import Counted, Denoiser
from .gaussian_mixture import GaussianMixture
from .point_cloud import PointCloud
from .registry import REGISTRY as REGISTRY
from .sets import Sphere, Subspace, Torus

__all__ = ["Counted", "Denoiser", "GaussianMixture", "PointCloud", "Sphere", "Subspace", "Torus"]

for _found in pkgutil.iter_modules(__path__):
    if not _found.name.startswith("_"):
        _module = importlib.import_module(f"{__name__}.{_found.name}")
        for _public in getattr(_module, "__all__", ()):
            # what `noised` returns (NoisedPoints, ...), helpers and REGISTRY stay in their modules
            if hasattr(getattr(_module, _public), "sample") and not _public.startswith("Noised") and _public not in __all__:
                globals()[_public] = getattr(_module, _public)
                __all__ += [_public]
