"""Sweeps over steps and samplers, their metrics, results, plots, reports and figures."""
