"""Power of the statistical checks: how surely each sees a named error, at the level it takes.

    python tests/quality/planted/power.py    # measure every pair with 3 seeds, rewrite power.csv (some minutes)
    python tests/quality/planted/power.py --again TEXT       # the same for the pairs whose error or check contains the text
    python tests/quality/planted/power.py 20 TEXT            # those with 20 seeds; print only

The error is planted, the check is run with other seeds (``--seed``), and the largest deviation among its comparisons is
recorded, in standard errors, with the quantile at which that comparison turns red. A deviation scatters about its mean, the
effect, by about one standard error; so the check misses the error with probability P(N(0, 1) < quantile - effect), and its
power is one less that. ``caught`` counts the seeds at which the check was red. Where the effect of 3 seeds lies within 4 of
its quantile, 20 seeds are taken.
"""

import csv
import json
import math
import os
import sys
from pathlib import Path

import plant as planted
import server

HERE = Path(__file__).parent
TABLE = HERE / "power.csv"
COLUMNS = ("check", "error", "seeds", "caught", "effect", "quantile", "power")
#: an effect less than this above its quantile is measured with so many seeds: of 3, its standard error is .58
NEAR, MORE = 4, 20
#: statistical check -> the error (of the catalogue) that it is asked to see
PAIRS = {
    "tests/core/test_random.py::test_marginal_law": "noise: deviation 1.02",
    "tests/core/test_random.py::test_independence_between_seeds_steps_rows_and_columns": "noise: seed ignored",
    "tests/core/test_random.py::test_brownian_increments_are_standard_and_independent": "noise: deviation 1.05",
    "tests/papers/conditional_mean/test_denoiser.py::test_order_of_estimators": "LMMSE: noise variance missing",
    "tests/papers/conditional_mean/test_denoiser.py::test_reverse_kernel_sampling":
        "reverse kernel: drawn with deviations 1.05 times too large",
    "tests/studies/test_figures_conditional_mean.py::test_real_form_of_a_circular_law":
        "mixture: drawn with deviations 1.1 times too large",
    "tests/laws/test_contract.py::test_density_integrates_to_one[sphere]": "sphere: density 4 per cent too small",
    "tests/laws/test_contract.py::test_samples_have_the_stated_moments[full]":
        "mixture: drawn with deviations 1.1 times too large",
    "tests/laws/test_contract.py::test_samples_have_the_stated_moments[cloud]":
        "cloud: first half of the atoms drawn twice as often",
    "tests/laws/test_contract.py::test_samples_have_the_stated_moments[sphere]": "sphere: drawn on 1.05 times the radius",
    "tests/papers/log_concavity/test_certificates.py::test_mala_keeps_its_target": "MALA: correction for the asymmetric proposal missing",  # noqa: E501
    "tests/papers/log_concavity/test_certificates.py::test_all_at_once_on_a_gaussian": "noise: deviation 1.05",
    "tests/papers/log_concavity/test_certificates.py::test_estimated_law_is_consistent_in_the_chain":
        "estimated law: score 1.1 times too large",
    "tests/papers/log_concavity/test_measurements.py::test_draws[full]": "posterior: drawn with deviations 1.1 times too large",  # noqa: E501
    "tests/studies/test_metrics.py::test_exact_draws_are_measured_as_samples_are": "exact draws of a sweep: half the draws",
    "tests/studies/test_metrics.py::test_modes_count_weights_without_bias_and_see_a_collapse": "mixture: drawn with equal weights",  # noqa: E501
    "tests/distances/test_errors_rates.py::test_intervals_cover_at_their_level[mse]":
        "standard error without the square root of n",
    "tests/distances/test_errors_rates.py::test_interval_coverage[6-0.9]": "fitted slope: interval of half the width",
    "tests/distances/test_wasserstein.py::test_exact_draws_cover_the_mean_and_are_reproducible":
        "noise floor: at most 50 of the draws",
    "tests/distances/test_wasserstein.py::test_exact_draws_take_a_law_and_weights":
        "noise floor: 1.15 times too large",
    "tests/output_laws/test_gaussian.py::test_law_of_200000_samples": "noise: deviation 1.02",
    "tests/output_laws/test_line.py::test_gap_law_against_samples_of_the_global_prox":
        "line: noise of the backward step with .8 of its variance",
    "tests/studies/test_report.py::test_median_interval_covers_with_the_probability_it_states":
        "median: interval of values that are not sorted",
    "tests/studies/test_figures_projection.py::test_geometry": "sphere: drawn on 1.05 times the radius",
    "tests/studies/test_figures_projection.py::test_predicted_noise_error_is_the_mmse": "cloud: drawn 1.05 times too large",
    "tests/studies/test_figures_projection.py::test_histogram_counts_every_trajectory": "DDIM: ratio of levels inverted",
    "tests/studies/test_sweep.py::test_values_agree_with_an_independent_prototype": "Euler-Maruyama: variance in place of deviation",  # noqa: E501
    "theory/conditional_mean/prop_exact_resampling.py::test_mean_squared_error":
        "re-sampling: only the first run is averaged",
    "theory/conditional_mean/prop_exact_resampling.py::test_spread_about_the_cme":
        "re-sampling: only the first run is averaged",
    "theory/conditional_mean/prop_resampling_variance.py::test_sampler": "noise: deviation 1.05",
    "theory/log_concavity/eq_chain_rule_of_measurements.py::test_draws": "predictive draw: noise 1.1 times too large",
    "theory/log_concavity/eq_gaussian_chain.py::test_the_sampler_has_this_law": "noise: deviation 1.05",
    "theory/log_concavity/eq_predictive_moments.py::test_draws": "predictive draw: noise 1.1 times too large",
    "theory/log_concavity/prop_score_estimator.py::test_rate": "estimated score: 1.1 times too large",
    "theory/log_concavity/thm_chain_is_exact.py::test_exact_walk": "predictive draw: noise 1.1 times too large",
    "theory/log_concavity/thm_early_stopping.py::test_circle_and_lower_side":
        "early stopping: bound of the coupling tightened by .9",
    "theory/log_concavity/thm_restricted_gaussian_oracle.py::test_oracle_is_the_posterior":
        "restricted Gaussian oracle: variance 1",
    "theory/log_concavity/thm_tunnelling.py::test_the_chain_recovers_the_weight":
        "underdamped walk: second half of the kick missing",
    "theory/projection/prop_3_1_with_high_probability.py::test_holds": "Proposition 3.1, probabilities: factor 1/2 for 2",
    "theory/projection/prop_3_1_with_high_probability.py::test_informal_rate": "torus: projected on a radius larger by 1e-5",
    "theory/projection/thm_4_2_a_posteriori.py::test_ddpm_schedule[digits]": "cloud: noised with 1.5 times the deviation",
    "theory/projection/thm_ddpm_invariant_on_subspace.py::test_samples": "DDPM: deviation 1.01",
}  # fmt: skip
#: checks whose comparisons are controls (their effect is in the evidence), draw from NumPy alone, or run with --deep only
WITHOUT = {
    "tests/checks/test_levels.py::test_an_exact_comparison_errs_as_often_as_it_says": "counts the errors of comparisons",
    "tests/checks/test_levels.py::test_no_comparison_errs_twice_as_often_as_it_says": "counts the errors of comparisons",
    "tests/checks/test_levels.py::test_shares_of_a_test_and_of_a_run_add_up": "controls",
    "tests/studies/test_printed_values.py::test_interval_of_the_excess_error_is_that_of_a_mean": "coverage of an interval",
    "tests/studies/test_printed_values.py::test_interval_of_what_exact_draws_score_covers_their_mean": "coverage of an interval",  # noqa: E501
    "tests/studies/test_printed_values.py::test_band_of_exact_draws_holds_the_share_that_its_legend_states": "coverage of a band",  # noqa: E501
    "tests/studies/test_printed_values.py::test_errors_of_a_denoiser_study_cover_what_they_estimate": "coverage of an interval",  # noqa: E501
    "theory/conditional_mean/prop_exact_resampling.py::test_controls": "controls",
    "theory/conditional_mean/thm_limit_ode.py::test_on_the_random_mixture_of_the_paper": "long variant",
    "theory/log_concavity/eq_chain_rule_of_measurements.py::test_controls": "controls",
    "theory/log_concavity/eq_splitting_exact_in_position.py::test_controls": "controls",
    "theory/log_concavity/prop_score_estimator.py::test_controls": "controls",
    "theory/log_concavity/thm_backward_euler_maruyama_gaussian.py::test_misprint_and_controls": "controls",
    "theory/log_concavity/thm_chain_is_exact.py::test_controls": "controls",
    "theory/log_concavity/thm_chain_is_exact.py::test_law_of_the_sum_of_more": "the walk of test_exact_walk, longer",
    "theory/log_concavity/thm_tunnelling.py::test_controls": "controls",
    "theory/log_concavity/thm_tunnelling.py::test_table": "long variant",
    "theory/projection/prop_3_1_with_high_probability.py::test_controls": "controls, and a lattice drawn by NumPy",
}


class _Comparisons:
    """Pytest plugin: all comparisons of the run, also after one that fails."""

    def pytest_sessionstart(self, session):
        from exactdiffusion.checks.pytest_plugin import FAMILY

        session.config.stash[FAMILY].strict = False

    def pytest_sessionfinish(self, session):
        from exactdiffusion.checks.pytest_plugin import FAMILY

        self.found = session.config.stash[FAMILY].comparisons


def run(spec):
    """One check with one error at several seeds, in this process: prints what became of each and of its worst comparison."""
    import pytest

    job, found = json.loads(spec), []
    planted.plant(planted.from_spec(job["fault"]))
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 (for the rest of a process made for this run)
    for seed in job["seeds"]:
        comparisons, failures = _Comparisons(), planted._Failures()
        pytest.main(
            [*planted.options(False), f"--seed={seed}", str(planted.ROOT / job["check"])], plugins=[comparisons, failures]
        )

        # how far beyond its quantile; a demonstration is red below it
        beyond = [(c.deviation - c.quantile) * (-1 if c.kind == "demonstrated" else 1) for c in comparisons.found]
        worst = comparisons.found[max(range(len(beyond)), key=beyond.__getitem__)] if beyond else None
        red = any(not c.passed for c in comparisons.found)
        found.append({
            "caught": red or bool(failures.failed), "by_chance": red,
            "broken": sorted(set(failures.failed.values()) & set(planted.BROKEN)),
            "deviation": worst and worst.deviation, "quantile": worst and worst.quantile,
            "sign": -1 if worst and worst.kind == "demonstrated" else 1,
        })  # fmt: skip
    print(json.dumps(found), file=stdout)


def measure(check, error, seeds):
    """A row of the table."""
    fault = {f.name: f for f in planted.catalogue()}[error]
    job = json.dumps({"fault": planted.fields(fault), "check": check, "seeds": list(seeds)})
    return summary(check, error, json.loads(server.python([__file__, "--run", job]).splitlines()[-1]))


def summary(check, error, found):
    """Mean effect and power from the runs; a check whose plain assertions are red before any comparison has neither."""
    broken = {name for f in found for name in f["broken"]}
    if broken:
        raise ValueError(f"{error} breaks {check}: {sorted(broken)}")
    row = {"check": check, "error": error, "seeds": len(found), "caught": sum(f["caught"] for f in found)}
    if not any(f["by_chance"] for f in found):
        return {**row, "effect": "", "quantile": "", "power": ""}
    # a demonstration is red below its quantile: the error takes the effect away
    effect = sum(f["sign"] * f["deviation"] for f in found) / len(found)
    quantile = sum(f["sign"] * f["quantile"] for f in found) / len(found)
    if effect == math.inf:
        return {**row, "effect": effect, "quantile": quantile, "power": 1.0}
    miss = 0.5 * math.erfc((effect - quantile) / math.sqrt(2))
    return {**row, "effect": effect, "quantile": quantile, "power": 1 - miss}


def text(value):
    if isinstance(value, float):
        return "inf" if math.isinf(value) else f"{value:.4g}" if abs(value) != 1 else "1"
    return str(value)


def main(argv):
    """Command line; see the head of the file."""
    if argv[:1] == ["--run"]:
        return run(argv[1])
    again = argv[:1] == ["--again"]
    seeds, part = (int(argv[0]) if argv and not again else 3), (argv[1] if len(argv) > 1 else "")
    rows, old = [], {}
    if again:
        with TABLE.open(encoding="utf-8", newline="") as stream:
            old = {(r["check"], r["error"]): [r[c] for c in COLUMNS] for r in csv.DictReader(stream)}
    for check, error in PAIRS.items():
        if part in check or part in error:
            rows.append(measure(check, error, range(1, seeds + 1)))
            margin = rows[-1]["effect"] and rows[-1]["effect"] - rows[-1]["quantile"]
            if margin != "" and margin < NEAR and seeds < MORE:
                rows[-1] = measure(check, error, range(1, MORE + 1))
            print(", ".join(text(rows[-1][c]) for c in COLUMNS), flush=True)
    if again or not argv:
        new = {(row["check"], row["error"]): [text(row[c]) for c in COLUMNS] for row in rows}
        lines = [new.get(pair) or old[pair] for pair in PAIRS.items() if pair in new or pair in old]
        with TABLE.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *lines])
    return 0 if all(row["caught"] == row["seeds"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
