"""Exact output laws of samplers: :mod:`.gaussian` (any dimension, every registered sampler), :mod:`.grid` (mixtures on a
line), :mod:`.tensor` (in the plane), :mod:`.radial` (scale mixtures, any dimension), :mod:`.subspace` (centres that span at
most two dimensions), and :mod:`.budgets` (certified right-hand sides by quadrature)."""

from . import budgets, grid, radial, subspace, tensor
from .gaussian import gaussian

__all__ = ["budgets", "gaussian", "grid", "radial", "subspace", "tensor"]
