"""The tour behind ``make demo``: the first three figures from real input, then the theorem checks."""

import time
from pathlib import Path

from . import figures

FIGURES = ("noise_schedules", "projection_error", "steps_versus_w2")
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


def run(out="demo"):
    """Draw the figures into ``out``, run every theory check; the exit code of the checks."""
    from .ledger import verify

    out, drawn = Path(out), []
    known = figures.experiments()
    for number, name in enumerate(FIGURES, start=1):
        print(f"[{number}/{len(FIGURES) + 1}] figure {name}: {known[name].SUMMARY}", flush=True)
        started = time.perf_counter()
        drawn.append(figures.make(known[name], out, quick=True, parameters=_changes(name))["png"])
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    print(f"[{len(FIGURES) + 1}/{len(FIGURES) + 1}] theorem checks", flush=True)
    code = verify([])
    print("\nfigures:")
    for path in drawn:
        print(f"  {path.resolve()}")
    return code
