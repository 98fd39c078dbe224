"""The log-concavity paper: measurements, walk-jump chains and certificates."""
