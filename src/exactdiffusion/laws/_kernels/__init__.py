"""Numerical kernels of point clouds and mixtures."""
