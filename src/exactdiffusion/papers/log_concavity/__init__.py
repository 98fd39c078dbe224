"""The log-concavity paper: measurements, walk-jump chains and certificates."""

__all__ = ["certificate_check", "certificates", "measurements", "walk_jump"]
