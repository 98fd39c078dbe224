"""Sweeps over steps and samplers, their metrics, results, plots, reports and figures."""

__all__ = ["comparison", "demo", "figures", "metrics", "objects", "plot", "report", "results", "sweep", "sweepfile"]
