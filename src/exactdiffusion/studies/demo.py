"""The tour behind ``make demo``: three figures from real input, then the headline theorems; within a minute."""

import os
import time
from pathlib import Path

from .._core.typing import StrPath
from . import figures

__all__ = ["FIGURES", "HEADLINES", "run"]

FIGURES = ("noise_schedules", "projection_error", "steps_versus_w2")
#: theory files of the headline theorems: the only list of them
HEADLINES = (
    "eq_tweedie",
    "thm_4_1_exact_projection",
    "thm_4_2_ddim_distance_sandwich",
    "thm_4_3_largest_constant_step",
    "thm_backward_kl",
    "thm_hybrid_trajectory_kl",
    "thm_budget",
    "thm_limit_ode",
    "thm_limit_is_cme_iff_gaussian",
    "thm_condition_number",
    "thm_atoms_threshold",
    "thm_once_log_concave",
    "thm_chain_is_exact",
)
# 1797 atoms in place of 142: fewer samples and seeds keep the tour short.
_STAND_IN = {"target": "digits", "samples": 300, "seeds": [0, 1]}


def _changes(name):
    """Parameters to change where the dino is neither in a local folder nor downloadable."""
    if name != "steps_versus_w2":
        return {}
    from .sweep import law_of

    try:
        law_of("dino")
    except Exception as error:  # whatever the download or the file raises: the tour goes on with bundled data
        print(f"  the dino could not be had ({(str(error) or type(error).__name__).split(' (')[0]});")
        print("  this figure is drawn for the digits instead, which scikit-learn bundles. To have the dino, set")
        print("  EXACTDIFFUSION_DATA to a folder with DatasaurusDozen.tsv or dino.csv, or run with a network.")
        return _STAND_IN
    return {}


def _clocks():
    return time.perf_counter(), sum(os.times()[:4])


def _took(wall, processor):
    now = _clocks()
    return f"{now[0] - wall:.0f} s ({now[1] - processor:.0f} s of processor time)"


def run(out: StrPath = "demo") -> int:
    """Draw the figures into ``out`` and check the headline theorems; the exit code of the checks."""
    from ..checks.verify import verify

    out, drawn, started = Path(out), [], _clocks()
    known, steps = figures.experiments(), len(FIGURES) + 1
    print("The tour: three figures and the headline theorems of four papers, about a minute of processor time in all.")

    # the figures
    for number, name in enumerate(FIGURES, start=1):
        print(f"[{number}/{steps}] figure {name}: {known[name].SUMMARY} (some seconds)", flush=True)
        began = _clocks()
        drawn.append(figures.make(known[name], out, quick=True, parameters=_changes(name))["png"])
        print(f"  {_took(*began)}", flush=True)

    # the theorems
    print(
        f"[{steps}/{steps}] {len(HEADLINES)} headline theorems: a dot for each test, s for one of --deep (under a minute)",
        flush=True,
    )
    began = _clocks()
    code = verify(HEADLINES, records=out)
    print(f"  {_took(*began)}")

    # say where everything is, and how to go on
    print("\nfigures and evidence:")
    for path in (*drawn, out / "measured.md"):
        print(f"  {path.resolve()}")
    print(f"\n{_took(*started)} in all. There is more; after `. .venv/bin/activate`:")
    print("  exactdiffusion verify         every statement (2 minutes of processor time)")
    count = len(figures.experiments())
    print(f"  exactdiffusion figures NAME   one of {count} figures (seconds to half an hour; all of them 100 minutes)")
    print("  exactdiffusion list           what there is")
    return code
