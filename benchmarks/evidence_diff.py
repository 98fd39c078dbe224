"""Compare the evidence of the present tree with that of a tag: the judge of a restructuring.

    python benchmarks/evidence_diff.py --store TAG    # once: make the evidence of TAG, write benchmarks/evidence/TAG.json.gz
    python benchmarks/evidence_diff.py TAG            # make the same of the present tree and list the differences

The evidence has five parts, of which ``--parts`` takes some:

- ``records``: what the theory checks record, the verdicts, and the statistical comparisons with their levels;
- ``accuracies``: the table that ``pytest tests --accuracies`` prints, of which ``--table`` shows every row of both trees;
- ``planted``: the catalogue of planted errors, and whether each of them, and each bound that is 5 % off, is caught;
- ``mutants``: changes made by machine (a draw by ``--count`` and ``--seed``), and whether the tests kill each of them;
- ``inputs``: the tests, and the seeds and tolerances written in them, read from the sources.

``benchmarks/evidence/names.toml`` has the names that moved: prefixes of modules and quantities, paths of tests, and words
that checks use for their families. A change of name alone is no difference. Each line begins with its kind: *lost* (TAG
has it, this tree does not), *worse* (no longer caught, a looser tolerance, an error more than twice as large), *changed*
(another control, family, seed, class of cause, planted text, or a ratio that moved), *better* or *new*.
``benchmarks/evidence/causes.toml`` has the intended differences: a pattern of lines, how many lines it may explain, and
why they differ. They are printed below their cause. The exit status is 1 if anything else is lost, worse or changed.

``--deep`` is the default; ``--default`` and ``--quick`` store and compare shallower runs in files of their own.
``--only TEXT`` (files, errors and functions whose name contains the text) and a smaller ``--count`` make a part of what was
stored, and the comparison then does not ask for the rest. ``--new FILE`` keeps the new evidence: a part is written when
it is made, and one that FILE has of the same sources is not made again. An interrupted ``--store`` goes on in the same way.
TAG is checked out into a temporary worktree, which is removed in any case. Both sides should be made on one machine.
"""

import argparse
import contextlib
import gzip
import hashlib
import json
import math
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from _evidence import PARTS, Names, make, plain, python

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "evidence"
KINDS = ("lost", "worse", "changed", "better", "new")
BAD = KINDS[:3]
#: relative distance within which two correct machines agree on what is no rounding (`TOLERANCES` of the ledger)
SAME = 1e-6
#: the same of a tolerance, which may contain an estimate of an error: such an estimate has a few digits alone
SAME_TOLERANCE = 0.01
#: fields by which records are told apart, beside statement and part, and what a change of one is called
FIELDS = {"test": "test", "on": "family", "cause": "cause", "tolerance_class": "class of cause", "of": "inequality"}


def compare(old, new, names, partial=False):
    """Pairs (kind, text) of all differences between two evidences, in the parts that both have."""
    parts = {"records": _records, "accuracies": _accuracies, "planted": _planted, "mutants": _mutants, "inputs": _inputs}
    for part, differences in parts.items():
        if part in old and part in new:
            for kind, text in differences(old[part], new[part], names, partial):
                yield kind, f"{part}: {text}"


# -- records ---------------------------------------------------------------------------------------------------------------


def _records(old, new, names, partial):
    for key, verdict in old["verdicts"].items():
        found = new["verdicts"].get(key)
        if found != verdict and not partial:
            yield ("lost" if found is None else "changed"), f"{key}: verdict {verdict!r}, now {found!r}"
    ran = {(r["statement"], r["test"]) for r in new["records"]}
    before = [r for r in old["records"] if not partial or (r["statement"], r["test"]) in ran]
    before = [{**r, **{field: names.text(r[field]) for field in ("on", "cause", "of")}} for r in before]
    pairs, gone, more = paired(before, new["records"])
    for a, b, field in pairs:
        yield from _record(a, b, field)
    yield from (("lost", f"{_label(r)}: no such record") for r in gone)
    yield from (("new", f"{_label(r)}") for r in more)
    tests = {row[0] for row in [*new["comparisons"], *new["shares"]]}
    for what in ("comparisons", "shares"):
        a, b = (Counter(json.dumps(row) for row in rows[what] if not partial or row[0] in tests) for rows in (old, new))
        yield from (("changed", f"{what}: {row} is not there any more") for row in sorted((a - b).elements()))
        yield from (("new", f"{what}: {row}") for row in sorted((b - a).elements()))


def paired(old, new):
    """Records that belong together, as (old, new, the field that differs); then those of ``old`` and of ``new`` alone.

    Records that agree in everything are paired first, then those that differ in one of `FIELDS`.
    """
    pairs = []
    for free in ("", *FIELDS):
        groups = defaultdict(lambda: ([], []))
        for side, records in enumerate((old, new)):
            for r in sorted(records, key=lambda r: (r["count"], float(r["tolerance"]), float(r["ratio"]))):
                groups[r["statement"], r["part"], *(r[f] for f in FIELDS if f != free)][side].append(r)
        pairs += [(a, b, free) for ours, theirs in groups.values() for a, b in zip(ours, theirs)]
        old = [r for ours, theirs in groups.values() for r in ours[len(theirs) :]]
        new = [r for ours, theirs in groups.values() for r in theirs[len(ours) :]]
    return pairs, old, new


def _label(record):
    about = f" ({record['cause']})" if record["cause"] else ""
    return f"{record['statement']}: {record['part']}, {record['on']}{about}"


def _record(a, b, field):
    name = _label(a)
    if field not in ("", "test"):  # the name of a test is a name
        named = field == "cause" and a["part"] in ("control", "refuted", "hypothesis")
        yield "changed", f"{name}: {a['part'] if named else FIELDS[field]} {a[field]!r}, now {b[field]!r}"
    if a["passed"] != b["passed"]:
        yield ("worse" if a["passed"] else "better"), f"{name}: {'no longer' if a['passed'] else 'now'} passes"
    yield from _tolerance(name, "tolerance", float(a["tolerance"]), float(b["tolerance"]))
    if a["count"] != b["count"]:
        yield ("lost" if b["count"] < a["count"] else "new"), f"{name}: {a['count']} values, now {b['count']}"
    if not _near(float(a["stated"]), float(b["stated"]), 0.0):
        yield "changed", f"{name}: stated value {a['stated']}, now {b['stated']}"
    if not _near(float(a["ratio"]), float(b["ratio"]), allowed(a)):
        yield "changed", f"{name}: ratio {a['ratio']}, now {b['ratio']} (class {a['tolerance_class']})"


def allowed(record):
    """How far the ratio of a record may move beyond `SAME`, by what its class of tolerances says of two machines."""
    kind, part = record["tolerance_class"], record["part"]
    if kind in ("exact", "seeded"):
        return 0.0
    if part == "equal":  # in units of the tolerance: both stay within it
        return 1.0
    if part == "tight":
        return float(record["tolerance"])
    # an inequality: its smaller side may move by the tolerance
    found = re.match(r"worst: \S+ <= (\S+)$", record["detail"]) if part == "holds" else None
    larger = abs(float(found.group(1))) if found else 0.0
    return float(record["tolerance"]) / larger if larger > 0 else 0.0


def _near(a, b, tol):
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tol + SAME * max(abs(a), abs(b)) < math.inf


def _tolerance(name, what, a, b):
    if abs(a - b) > SAME_TOLERANCE * max(a, b):
        yield ("worse" if b > a else "better"), f"{name}: {what} {a:.3g}, now {b:.3g}"


# -- the other parts -------------------------------------------------------------------------------------------------------


def _renamed(old, new, name):
    """The entries of ``old`` under new names; one whose old name ``new`` still has keeps it."""
    return {k if k in new and name(k) not in new else name(k): value for k, value in old.items()}


def _accuracies(old, new, names, partial):
    if old["green"] and not new["green"]:
        yield "worse", "the tests are red, and were green"
    before = _renamed(old["table"], new["table"], names.name)
    yield from (("new", name) for name in sorted({*new["table"]} - {*before}))
    for name, a in sorted(before.items()):
        b = new["table"].get(name)
        if b is None:
            yield from [("lost", f"{name}: no such quantity")] * (not partial)
            continue
        if _larger_error(a, b):
            yield "worse", f"{name}: error {a['error']:.3g}, now {b['error']:.3g} ({b['by']})"
        if not partial:  # the worst case, of which the table has the limit, may be another one in a part
            yield from _tolerance(name, "limit", a["limit"], b["limit"])
            if a["count"] > b["count"]:
                yield "lost", f"{name}: {a['count']} comparisons, now {b['count']}"
            if a["by"] != b["by"]:
                yield "changed", f"{name}: reference {a['by']!r}, now {b['by']!r}"


def _larger_error(a, b):
    """The error is more than twice as large, and a larger share of its limit: else another case has become the worst."""
    return b["error"] > 2 * a["error"] and b["error"] * a["limit"] > a["error"] * b["limit"]


def print_accuracies(old, new, names):
    """Every quantity: its worst error, that error over its limit, and the number of comparisons, before and after.

    The worst case is that of the largest share of its limit. *Worse* is said where the error is more than twice as large and
    a larger share of the limit; where the share is no larger, another case has become the worst.
    """
    before = _renamed(old["table"], new["table"], names.name)
    print(f"{'quantity':88}{'error':>10}{'now':>10}{'of limit':>10}{'now':>8}{'compared':>10}{'now':>7}")
    for name in sorted({*before, *new["table"]}):
        rows = before.get(name), new["table"].get(name)
        errors = [row["error"] if row else math.nan for row in rows]
        shares = [row["error"] / row["limit"] if row and row["limit"] > 0 else 0.0 if row else math.nan for row in rows]
        counts = [row["count"] if row else "-" for row in rows]
        text = f"{name:88}{errors[0]:10.2e}{errors[1]:10.2e}{shares[0]:10.3f}{shares[1]:8.3f}{counts[0]:>10}{counts[1]:>7}"
        worse = "worse" if all(rows) and _larger_error(*rows) else ""
        print(f"{text}  {worse}".rstrip())


def _planted(old, new, names, partial):
    yield from (("new", f"{name!r}") for name in new["faults"] if name not in old["faults"])
    for name, a in old["faults"].items():
        b = new["faults"].get(name)
        if b is None:
            yield "lost", f"{name!r}: no such planted error"
            continue
        if b["target"] not in (a["target"], names.name(a["target"])):
            yield "changed", f"{name!r}: planted in {a['target']}, now in {b['target']}"
        for field in ("old", "new"):
            if plain(a[field]) != plain(b[field]):
                yield "changed", f"{name!r}: {field} {a[field]!r}, now {b[field]!r}"
        missing = [check for check in a["caught_by"] if not {check, names.path(check)} & set(b["caught_by"])]
        yield from (("lost", f"{name!r}: {check} is no longer asked to see it") for check in missing)
    for name, caught in old["caught"].items():
        found = new["caught"].get(name)
        if found is None:
            yield from [("lost", f"{name}: was not run")] * (not partial)
        elif found != caught:
            yield ("worse" if caught else "better"), f"{name}: {'no longer' if caught else 'now'} passes"


def _mutants(old, new, names, partial):
    found, rank = {row["id"]: row for row in new}, {"killed": 2, "reviewed": 1, "missing": -1}
    for a in old:
        b = found.get(a["id"])
        if b is None:
            yield from [("lost", f"{a['id']}: was not made")] * (not partial)
            continue
        before, now = (rank.get(row["fate"].partition(" ")[0], 0) for row in (a, b))
        if now != before:
            kind = "lost" if now < 0 else "worse" if now < before else "better"
            yield kind, f"{a['target']}: {a['operator']}: {a['change']}: {a['fate']}, now {b['fate']}"


def _inputs(old, new, names, partial):
    before = {key: [names.text(text) for text in texts] for key, texts in _renamed(old, new, names.path).items()}
    for key in sorted({*before, *new}):
        a, b = before.get(key), new.get(key, [])
        if key not in new and "::test_" in key:
            yield "lost", f"{key}: no such test"
        elif a is None:
            yield "new", key
        else:
            less, more = (sorted((Counter(x) - Counter(y)).elements()) for x, y in ((a, b), (b, a)))
            if less or more:
                yield ("changed" if less else "new"), f"{key}: {'; '.join(less) or '-'}, now {'; '.join(more) or '-'}"


# -- files and commands ----------------------------------------------------------------------------------------------------


def _git(root, *arguments):
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def checkout(tag):
    """A temporary worktree of the tag."""
    with tempfile.TemporaryDirectory(prefix="evidence-") as folder:
        tree = Path(folder).resolve() / "tree"
        try:
            _git(ROOT, "worktree", "add", "--quiet", "--detach", str(tree), tag)
            yield tree
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], capture_output=True)


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def write(path, data):
    """Write a file; the same data give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(data, sort_keys=True).encode(), mtime=0))


def collect(root, parts, how, names, path=None, places=None):
    """The evidence of a tree. With a ``path``, a part that is there is read, and one that is made is written there."""
    changes = _git(root, "diff", "HEAD", "--", "src", "tests", "theory", "pyproject.toml")
    sources = _git(root, "rev-parse", "HEAD") + ("+" + hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else "")
    data = read(path) if path and path.exists() else {"how": how, "sources": sources}
    if (data["how"], data["sources"]) != (how, sources):
        raise SystemExit(f"{path}: holds {data['sources']}, {data['how']}; expected {sources}, {how}: remove it")
    where = python(root, ["-c", "import exactdiffusion; print(exactdiffusion.__file__)"])[0].strip()
    if not Path(where).resolve().is_relative_to(root):
        raise SystemExit(f"exactdiffusion: got {where}; expected a module in {root}")
    for part in parts:
        if part not in data:
            print(f"making {part} of {sources[:12]}", file=sys.stderr, flush=True)
            data[part] = make(part, root, {**how, "places": places}, names)
            if path:
                write(path, data)
    return data


def report(differences, title, causes=()):
    """Print the differences, the bad ones first, then those that ``causes`` explain. Returns the exit status.

    Each cause has a ``pattern`` that a line has to match from its first character, the number ``at_most`` of lines that it
    explains, and the reason, ``why``. Lines beyond that number count as if there were no cause.
    """
    left, explained = [], [[] for _ in causes]
    for kind, text in sorted(differences, key=lambda pair: KINDS.index(pair[0])):
        line = f"{kind:8} {text}"
        fits = [
            lines
            for cause, lines in zip(causes, explained)
            if len(lines) < cause["at_most"] and re.match(cause["pattern"], f"{kind} {text}")
        ]
        if kind in BAD and fits:
            fits[0].append(line)
        else:
            left.append(kind)
            print(line)
    for cause, lines in zip(causes, explained):
        if lines:
            print(f"\n{len(lines)} explained: {cause['why']}", *lines, sep="\n    ")
    counts = Counter(left)
    tail = f"; {sum(map(len, explained))} explained" if any(explained) else ""
    print(f"{title}: " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS) + tail)
    return int(any(counts[kind] for kind in BAD))


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tag", metavar="TAG")
    parser.add_argument("--store", action="store_true", help="make the evidence of TAG and write it to benchmarks/evidence")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ",".join(PARTS))
    for depth in ("deep", "default", "quick"):
        parser.add_argument(f"--{depth}", dest="depth", action="store_const", const=depth, default="deep")
    parser.add_argument("--only", metavar="TEXT", help="files, errors and functions whose name contains this text")
    parser.add_argument("--count", type=int, help="number of mutants (60 where a draw is stored)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw that is stored")
    parser.add_argument("--table", action="store_true", help="print all rows of the accuracies, before and after")
    parser.add_argument("--new", type=Path, metavar="FILE", help="file that keeps the new evidence (.json.gz)")
    options = parser.parse_args(argv)
    options.parts = options.parts.split(",")
    if not set(options.parts) <= set(PARTS):
        parser.error(f"--parts: got {','.join(options.parts)}; expected some of {','.join(PARTS)}")
    return options


def main(argv):
    """Store or compare. Returns the exit status."""
    options, names = _options(argv), Names.read(FOLDER / "names.toml")
    depth = "" if options.depth == "deep" else f"-{options.depth}"
    path = FOLDER / f"{options.tag.replace('/', '-')}{depth}.json.gz"
    given = {key: getattr(options, key) for key in ("only", "count") if getattr(options, key) is not None}
    if options.store:
        how = {"depth": options.depth, "only": "", "count": 60, "seed": options.seed, **given}
        with checkout(options.tag) as tree:
            collect(tree, options.parts, how, Names(), path)
        print(f"wrote {path.relative_to(ROOT)} ({path.stat().st_size / 1e3:.0f} kB)")
        return 0
    if not path.exists():
        raise SystemExit(f"TAG: got {options.tag!r}; expected a tag with {path.relative_to(ROOT)}, which --store TAG makes")
    old = read(path)
    how = {**old["how"], **given}
    places = [{**p, "targets": [names.name(p["target"]), p["target"]]} for p in old.get("mutants", [])]
    places = [place for place in places if how["only"] in place["target"]]
    new = collect(ROOT, [part for part in options.parts if part in old], how, names, options.new, places)
    new = {part: new[part] for part in options.parts if part in new}
    partial = how != old["how"]
    if options.table and "accuracies" in new:
        print_accuracies(old["accuracies"], new["accuracies"], names)
    title = f"against {options.tag}" + (" (a part; the rest was not asked for)" if partial else "")
    causes = tomllib.loads((FOLDER / "causes.toml").read_text(encoding="utf-8")).get(options.tag, [])
    return report(compare(old, new, names, partial), title, causes)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an interruption: every `finally` runs
    sys.exit(main(sys.argv[1:]))
