"""Exact output laws of samplers: :mod:`.gaussian` (any dimension, every registered sampler)."""

from .gaussian import gaussian

__all__ = ["gaussian"]
