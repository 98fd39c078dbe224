"""The proximal paper: error budgets by quadrature."""

__all__ = ["budgets"]
