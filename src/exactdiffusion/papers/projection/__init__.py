"""The projection paper: adversarial denoisers, DDIM runs against them, and the audit of a denoiser."""

__all__ = ["adversaries", "audit", "trials"]
