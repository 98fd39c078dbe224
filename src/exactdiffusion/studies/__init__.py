"""Sweeps over steps and samplers, their metrics, results, plots, reports and figures."""

__all__ = ["demo", "figures", "metrics", "plot", "report", "results", "sweep", "sweepfile"]
