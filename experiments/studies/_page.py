"""Writes ``README.md`` beside the studies from their TOML files and tables, and refuses findings that the tables deny."""

import json
import sys
from pathlib import Path

from exactdiffusion._core import files
from exactdiffusion.studies import sweepfile

HERE = Path(__file__).resolve().parent
HEAD = """# Studies

Each study is one sweep: `NAME.toml` says what is run, `NAME/results.csv` is the table (one row per cell and metric, read by
pandas and polars as it is), `NAME/provenance.json` says with which code, versions and parameters it was made, and
`NAME/timings.csv` how long each cell took. Every number of a finding is the mean, over seeds, of rows of the table; the file
names the rows (`[[check]]`), and a test recomputes the number. Beside a sampler stands what as
many exact draws of the target score, mean and central 90 % of 200 runs (fewer where they are dear): no floor, since half of
all perfect runs score less than their median.

    make studies                                       # all of them, and this page
    exactdiffusion sweep experiments/studies/gamma.toml --out results/gamma --jobs 2
    exactdiffusion plot results/gamma                  # and: exactdiffusion report results/gamma
"""


def studies():
    """(name, SweepFile, rows) of every study."""
    for path in sorted(HERE.glob("*.toml")):
        yield path.stem, sweepfile.read(path), files.read_table(HERE / path.stem / "results.csv")


def page():
    """Text of the page."""
    parts = [HEAD]
    for name, described, rows in studies():
        provenance = json.loads((HERE / name / "provenance.json").read_text(encoding="utf-8"))
        parts += [f"## {described.notes['title']}\n", described.notes["summary"] + "\n"]
        parts += [f"- {sentence}" for sentence in described.notes["finding"]]
        rungs = ", ".join(sorted({row["rung"] for row in rows}))
        targets = ", ".join(dict.fromkeys(f"`{row['target']}`" for row in rows))
        parts.append(
            f"\n[`{name}.toml`]({name}.toml), [table]({name}/results.csv), [provenance]({name}/provenance.json): "
            f"{len(rows)} rows; {targets}; W2 and other metrics on the rungs {rungs}; "
            f"{provenance['seconds_of_work']:.0f} s summed over the cells.\n"
        )
    return "\n".join(parts)


def main():
    wrong = [f"{name}: {text}" for name, described, rows in studies() for text in sweepfile.problems(described, rows)]
    for text in wrong:
        print(text, file=sys.stderr)
    if not wrong:
        files.write_whole(HERE / "README.md", page())
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
