"""The proximal paper: error budgets by quadrature, and scale mixtures along the forward process."""

__all__ = ["budgets", "radial"]
