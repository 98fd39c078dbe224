"""Tables of ``benchmarks/README.md`` from the records in ``benchmarks/results``.

    python benchmarks/_page.py [--check]

Everything between the two marks of the page is generated. A record is a JSON object with a list of ``cases``; ``columns``
names those that the page shows (keys of nested objects with a dot), all simple ones where it is absent. Other lists of
objects become tables of their own; objects of numbers (``growth``) a line.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: begin (python benchmarks/_page.py) -->", "<!-- tables: end -->"
#: Columns of records that do not name their own.
COLUMNS = {
    "prox": [
        "case",
        "N",
        "k",
        "sigma",
        "theta",
        "seconds",
        "gradient.seconds",
        "gradient.ratio",
        "differences.seconds",
        "differences.ratio",
        "loop.ratio",
        "gradient.missed",
        "gradient.queries",
        "residual",
        "gradient.distance",
    ],
    "mixture": [
        "case",
        "form",
        "ours_us",
        "limit_us",
        "ratio",
        "goal",
        "rate",
        "naive_us_over_ours",
        "scikit_us_over_ours",
        "autograd_us_over_ours",
        "error",
        "peak_bytes",
    ],
}
#: What a machine is described by, wherever a record has it.
MACHINE = ("device", "processor", "machine", "cores", "threads", "load", "system", "python", "numpy", "scipy", "blas")


def lookup(row, column):
    """Entry of a row, with dots for nested objects."""
    for key in column.split("."):
        row = row.get(key) if isinstance(row, dict) else None
    return row


def simple(value):
    return value is None or isinstance(value, (bool, int, float, str))


def text(value):
    """A value as the page shows it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(text(v) for v in value)
    return str(value).replace("|", "\\|")


def table(rows, columns):
    """Markdown table."""
    lines = [columns, ["---"] * len(columns), *([text(lookup(row, c)) for c in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def describe(record):
    """The machine and the versions: from the record, its ``machine`` entry, or that of its first part that has one."""
    parts = [part for part in record.values() if isinstance(part, dict) and isinstance(part.get("machine"), dict)]
    if parts and "machine" not in record:
        return describe(parts[0])
    found = record["machine"] if isinstance(record.get("machine"), dict) else record
    rest = [key for key, value in sorted(found.items()) if found is not record and key not in MACHINE and simple(value)]
    known = [f"{key} {text(found[key])}" for key in [*MACHINE, *rest] if found.get(key) not in (None, "unknown")]
    return "Machine: " + (", ".join(known) or "not recorded") + "."


def section(name, record):
    """Everything that the page shows of one record."""
    parts = [f"### {name}", describe(record)]
    for key, value in sorted(record.items(), key=lambda item: (item[0] != "cases", item[0])):
        if key in ("machine", "columns"):
            continue
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = record.get("columns", COLUMNS.get(name)) if key == "cases" else None
            if columns is None:
                columns = list(dict.fromkeys(c for row in value for c, v in row.items() if simple(v)))
            columns = [c for c in columns if any(lookup(row, c) is not None for row in value)]
            parts += ([] if key == "cases" else [f"{key}:"]) + [table(value, columns)]
        elif isinstance(value, dict) and value:
            flat = {f"{k} {j}": w for k, v in value.items() for j, w in (v.items() if isinstance(v, dict) else [("", v)])}
            if all(simple(v) for v in flat.values()):
                parts.append(f"{key}: " + "; ".join(f"{k.strip()} {text(v)}" for k, v in sorted(flat.items())) + ".")
    return "\n\n".join(parts)


def tables(results=HERE / "results"):
    """The generated part of the page."""
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}
    return "\n\n".join(section(name, record) for name, record in records.items())


def page(old, results=HERE / "results"):
    """The page with its tables made anew."""
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ValueError(f"the page needs {BEGIN!r} once, and {END!r} once after it")
    head, tail = old[: old.index(BEGIN)], old[old.index(END) :]
    return f"{head}{BEGIN}\n\n{tables(results)}\n\n{tail}"


def main(argv=None):
    """Rewrite the page, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 where the page is not that of the records")
    path = HERE / "README.md"
    old = path.read_text(encoding="utf-8")
    new = page(old)
    if parser.parse_args(argv).check:
        sys.exit(0 if new == old else "benchmarks/README.md is not current: run python benchmarks/_page.py")
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
