"""Evidence, verdicts and the statistics behind them."""

__all__ = ["expected", "ledger", "pytest_plugin", "statistics", "verify"]
