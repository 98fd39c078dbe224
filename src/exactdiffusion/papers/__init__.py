"""What belongs to one paper only: one package per paper."""

__all__ = ["conditional_mean", "log_concavity", "projection", "proximal"]
