"""Evidence, verdicts and the statistics behind them."""
