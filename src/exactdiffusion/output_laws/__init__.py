"""Exact output laws of samplers: :mod:`.gaussian` (any dimension, every registered sampler), :mod:`.line` (mixtures on a
line), :mod:`.plane` (in the plane), :mod:`.radial` (scale mixtures, any dimension) and :mod:`.subspace` (centres that span
at most two dimensions)."""

from . import line, plane, radial, subspace
from .gaussian import gaussian

__all__ = ["gaussian", "line", "plane", "radial", "subspace"]
