"""The proximal paper: error budgets by quadrature, scale mixtures along the forward process, worst Gaussians."""

__all__ = ["budgets", "radial", "search"]
