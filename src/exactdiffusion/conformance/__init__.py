"""Judging samplers of other libraries exactly: coefficient propagation on Gaussian targets, and verdicts."""
