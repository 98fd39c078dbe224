"""The proximal paper: error budgets by quadrature."""
