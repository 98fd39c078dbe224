"""The projection paper: adversarial denoisers and the audit of a denoiser."""

__all__ = ["adversaries", "audit"]
