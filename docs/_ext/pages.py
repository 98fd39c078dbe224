"""Writes the generated pages of the site: statements, theory files, papers, findings, gallery, API.

Everything comes from what is committed: the registry of statements, ``theory/*/expected.toml``, ``theory/findings.toml``,
the planted errors, the experiments and their records. Nothing is computed or measured here. Where the variable ``DOCS_FROM``
names a folder that ``exactdiffusion verify --records`` wrote, the pages of statements show what that run measured as well.
"""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import sys
import tomllib
from pathlib import Path

import exactdiffusion
from exactdiffusion.checks import expected
from exactdiffusion.checks.verify import evidence_lines, read_records, theory_files
from exactdiffusion.statements import KINDS, MODULES, PAPERS, TEXTS, all_statements
from exactdiffusion.studies import figures, gallery

ROOT = Path(__file__).resolve().parents[2]
#: folder with the records of a run, whose measurements the pages show beside the committed evidence; empty for none
FROM = os.environ.get("DOCS_FROM", "")
LONG = {"Thm": "Theorem", "Prop": "Proposition", "Lem": "Lemma", "Def": "Definition", "Sec": "Section", "App": "Appendix"}
#: rooms of the API reference, in the order of the floors, with the question that each answers
ROOMS = {
    "laws": "exact laws: point clouds, Gaussian mixtures, sets",
    "prox": "proximal maps of negative log densities",
    "schedules": "noise levels",
    "statements": "bounds and formulas that are no statement of their own",
    "samplers": "samplers, one file per method",
    "output_laws": "exact laws of what a sampler returns",
    "distances": "distances between laws or samples",
    "papers": "what belongs to one paper",
    "checks": "evidence, verdicts, statistics of the checks",
    "datasets": "targets by name",
    "studies": "sweeps, plots, reports, figures",
}


def esc(text):
    """Plain text in reStructuredText."""
    return re.sub(r"([\\*`|_<>])", r"\\\1", " ".join(str(text).split()))


def code(text):
    """Text as a literal; one that reStructuredText cannot hold as a literal is escaped in its place."""
    text = " ".join(str(text).split())
    return f"``{text}``" if text and "`" not in text else esc(text)


def heading(text, line="="):
    return [text, line * max(4, len(text)), ""]


def write(path, lines):
    """Write a page where it differs, so that a second build reads only what changed."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def long_ref(ref):
    """The number of a statement with its word written out, as a reader searches for it: Thm 4.2 is Theorem 4.2."""
    return re.sub(r"\b(Thm|Prop|Lem|Def|Sec|App)\.?(?= )", lambda found: LONG[found[1]], ref)


def statement_link(statement):
    return f":doc:`{esc(statement.title)} </generated/statements/{statement.key}>`"


def checked_by(statements):
    """Key of a statement -> the theory files that name it as ``STATEMENT``, sym_ files last; read without importing them."""
    keys, found = {(s.module.rpartition(".")[2], s.name): s.key for s in statements}, {}
    for path in theory_files(ROOT / "theory"):
        text = path.read_text(encoding="utf-8")
        named = re.search(r"^STATEMENT = (\w+)\.(\w+)\.statement$", text, re.MULTILINE)
        if named:
            module = re.search(
                rf"^from exactdiffusion\.statements import (?:\w+, )*(\w+) as {named[1]}\b", text, re.MULTILINE
            )
            found.setdefault(keys[module[1] if module else named[1], named[2]], []).append(path)
    return {key: sorted(paths, key=lambda path: path.name.startswith("sym_")) for key, paths in found.items()}


def of_theory(path):
    """Name of a theory file below theory/, without its ending: the name of its page."""
    return path.relative_to(ROOT / "theory").with_suffix("").as_posix()


def drawn_by(statements):
    """Key of a statement -> figures that show it: the experiment uses its function, or its docstring its name or number."""
    found = {}
    for module in figures.experiments().values():
        # names that the source takes from the modules of statements
        source = inspect.getsource(module)
        tree = ast.parse(source)
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exactdiffusion.statements"):
                used |= {alias.name for alias in node.names}
        imported = source.replace("statements import ", "statements.")

        for s in statements:
            uses = s.name in used and f"statements.{s.module.rpartition('.')[2]}" in imported
            number = long_ref(s.ref) if s.paper == module.GROUP and re.fullmatch(r"\w+ [\d.]+", s.ref) else s.name
            if uses or re.search(rf"\b({s.name}|{re.escape(number)}(?!\.?\d))\b", module.__doc__):
                found.setdefault(s.key, []).append(module)
    return found


def faults():
    """Name of a planted error -> its record in the catalogue."""
    sys.path.insert(0, str(ROOT / "tests" / "quality" / "planted"))
    try:
        plant = importlib.import_module("plant")
    finally:
        sys.path.pop(0)
    return {fault.name: fault for fault in plant.catalogue()}


# ------------------------------------------------------------------------------------------------------------ statements


#: where the proof of a statement stands, by how far its wording is confirmed
PROOFS = {
    "source": "in the paper",
    "transcribed": "of the corrected form: below",
    "recalled": "of the form given here: below",
    "derived": "below",
    "classical": "in textbooks",
}
#: BibTeX entries of the papers
PAPER_ENTRIES = {
    "projection": (
        "inproceedings",
        "permenter2024interpreting",
        "Permenter, Frank and Yuan, Chenyang",
        "International Conference on Machine Learning",
        "2024",
        "2306.04848",
    ),
    "proximal": (
        "inproceedings",
        "fang2025beyond",
        "Fang, Zhenghan and Diaz, Mateo and Buchanan, Sam and Sulam, Jeremias",
        "Advances in Neural Information Processing Systems",
        "2025",
        "2507.08956",
    ),
    "conditional_mean": (
        "inproceedings",
        "fesl2025asymptotic",
        "Fesl, Benedikt and Böck, Benedikt and Strasser, Florian and Baur, Michael and Joham, Michael and "
        "Utschick, Wolfgang",
        "International Conference on Artificial Intelligence and Statistics",
        "2025",
        "2403.02957",
    ),
    "log_concavity": (
        "inproceedings",
        "saremi2024chain",
        "Saremi, Saeed and Park, Ji Won and Bach, Francis",
        "International Conference on Learning Representations",
        "2024",
        "2305.19473",
    ),
}


def citation_key(s):
    """Key of the BibTeX entry of a statement."""
    return f"exactdiffusion:{s.key.replace('/', ':')}"


def citation(s):
    """BibTeX entries of the check of a statement, and of the paper that it belongs to."""
    name = f"{long_ref(s.ref)}: {s.title}" if s.ref else s.title
    name = re.sub(r"([&%#_])", r"\\\1", name)
    lines = [
        f"@software{{{citation_key(s)},",
        "  author = {{the exactdiffusion developers}},",
        f"  title = {{exactdiffusion: check of {name}}},",
        f"  version = {{{exactdiffusion.__version__}}},",
        f"  note = {{statement {s.key}}},",
        "}",
    ]
    if s.paper in PAPER_ENTRIES:
        kind, key, authors, where, year, number = PAPER_ENTRIES[s.paper]
        lines += [
            "",
            f"@{kind}{{{key},",
            f"  author = {{{authors}}},",
            f"  title = {{{PAPERS[s.paper][1]}}},",
            f"  booktitle = {{{where}}},",
            f"  year = {{{year}}},",
            f"  note = {{arXiv:{number}}},",
            "}",
        ]
    return lines


def snippet(s):
    """Lines for Python's prompt: the example of a statement after the imports that it needs, answers as comments."""
    examples = doctest.DocTestParser().get_examples(s.doc)
    source = "".join(example.source for example in examples)
    module = importlib.import_module(s.module)
    names = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    own = sorted(names & {*module.__all__})
    lines = [f"import {name} as {short}" for name, short in (("numpy", "np"), ("exactdiffusion", "ed")) if short in names]
    lines += [f"from {s.module} import {', '.join(own)}"] if own else []
    lines = [*lines, ""] if lines else []
    for example in examples:
        lines += [*example.source.rstrip().splitlines(), *(f"# {row}" for row in example.want.splitlines())]
    return lines


def statement_page(s, entry, paths, planted, pictures, run):
    """Lines of the page of one statement. ``run`` are the lines that a run measured, or None."""
    authors, title, where = PAPERS[s.paper]
    name = long_ref(s.ref)
    lines = [
        f".. _statement-{s.key.replace('/', '-').replace('_', '-')}:",
        "",
        *heading(esc(f"{name}: {s.title}" if name else s.title)),
    ]
    lines += [
        f"**{esc(name) or 'Without a number'}** of {esc(authors)}, *{esc(title)}* ({esc(where)}).",
        "",
        f":Kind: {esc(s.kind)}: {esc(KINDS[s.kind])}",
        f":Wording: {esc(s.text)}: {esc(TEXTS[s.text])}",
        f":Proof: {'below' if s.text == 'source' and 'Proof' in s.doc else PROOFS[s.text]}",
        f":Domain: {code(s.domain) if s.domain else 'every number'}",
        f":Key: {code(s.key)}",
        f":Verdict: {esc(entry['verdict']) if entry else 'not in the committed records yet'}",
        "",
        *heading("Statement", "-"),
        f".. autofunction:: {s.module}.{s.name}",
        "",
        *heading("Compute it", "-"),
        "At Python's prompt or in a notebook; what is printed stands behind ``#``.",
        "",
        ".. code-block:: python",
        "",
        *(f"   {line}".rstrip() for line in snippet(s)),
        "",
    ]
    if pictures:
        lines += [*heading("Figures that show it", "-")]
        for module in pictures:
            lines += [f".. figure:: ../../../../figures/{module.NAME}.png", f"   :alt: {module.NAME}", "   :width: 100%", ""]
            lines += [f"   {esc(gallery.caption(module))} (``exactdiffusion figures {module.NAME}``)", ""]
    lines += [*heading("Evidence", "-"), *evidence(s, entry, paths)]
    if run is not None:
        lines += [
            f"What the run in ``{Path(FROM).name}`` measured, on one machine:",
            "",
            *(f"- {esc(line)}" for line in run),
            "",
        ]
    lines += planted_errors(entry, planted)
    lines += [*heading("Files", "-")]
    for path in paths:
        lines.append(f"- the check: :doc:`theory/{of_theory(path)}.py </generated/theory/{of_theory(path)}>`")
    lines += [f"- the paper: :doc:`/generated/papers/{s.paper}`"]
    lines += [f"- run it: ``exactdiffusion verify {paths[0].stem}``", ""] if paths else [""]
    lines += [*heading("Cite it", "-"), ".. code-block:: bibtex", "", *(f"   {line}".rstrip() for line in citation(s)), ""]
    return lines


def evidence(s, entry, paths):
    """What the committed file records of one statement, in words, and the worst law that its check states."""
    if not entry:
        return ["No record is committed yet; ``exactdiffusion verify --update`` writes it.", ""]
    lines = [
        f"What every correct machine reproduces, from ``theory/{s.paper}/expected.toml``"
        + ("." if FROM else ". No run was made for this page."),
        "",
        f"- {entry.get('values', 0)} values were compared.",
    ]
    if "worst_ratio" in entry:
        lines.append(f"- Worst instance of the family: smaller side over larger side is {entry['worst_ratio']:g}.")
    lines += worst_law(paths)
    if "attained" in entry:
        lines.append(f"- Attained (a ratio of 1 within 1e-3) on {entry['attained']} instances.")
    for word, key in (("Hypotheses that were checked on the instances", "hypotheses"), ("Forms that fail", "refuted")):
        if entry.get(key):
            lines += [f"- {word}:", "", *(f"  - {esc(text)}" for text in entry[key]), ""]
    for word, key in (("Constants", "constants"), ("Exponents", "exponents")):
        if entry.get(key):
            lines += [f"- {word}:", ""]
            lines += [f"  - {row['value']:g}{within(row)} on {esc(row['on']) or 'every instance'}" for row in entry[key]]
            lines.append("")
    if entry.get("controls"):
        lines += [*["", *heading("Controls", "-")], "Each was dropped or changed, and the same assertion fails.", ""]
        lines += [f"- {esc(text)}" for text in entry["controls"]]
    return [*lines, ""]


def worst_law(paths):
    """The ratio of the worst law that a search found, as the check of a statement asserts it; else no lines."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        stated = re.search(r"^WORST = ([\d.]+)$", text, re.MULTILINE)
        if stated and "check.worst(" in text:
            run = f"``exactdiffusion verify {path.stem}`` prints the law"
            return [f"- Worst law that a search found: measured over bound is {stated[1]}, asserted to 1 %; {run}."]
    return []


def within(row):
    return f", within {row['within']:g}" if "within" in row else ""


def planted_errors(entry, planted):
    """The errors planted in the library that the check of a statement is known to catch."""
    names = (entry or {}).get("planted", [])
    if not names:
        return []
    lines = [*heading("Planted errors", "-"), "Errors that were written into the library, each caught by this check.", ""]
    for name in names:
        fault = planted.get(name)
        text = f" ({esc(fault.kind)}) in {code(fault.target)}: {code(fault.old)} became {code(fault.new)}" if fault else ""
        lines.append(f"- {esc(name)}{text}")
    return [*lines, ""]


def theory_page(path, statements):
    """Lines of the page of one theory file: the statements that it checks, and its text."""
    name = f"theory/{of_theory(path)}.py"
    lines = [":orphan:", "", *heading(esc(name)), "Checks:", ""]
    lines += [f"- {statement_link(s)}" for s in statements]
    lines += ["", f"Run it: ``exactdiffusion verify {path.stem}``.", ""]
    return [*lines, f".. literalinclude:: /../{name}", "   :language: python", ""]


# ---------------------------------------------------------------------------------------------------- papers and findings


def findings_of(found, paper=None):
    """The findings, all or those of one paper, as paragraphs with links to the statements."""
    titles = {s.key: s for s in all_statements()}
    lines = []
    for kind, name in expected.FINDING_KINDS.items():
        chosen = [f for f in found if f["kind"] == kind and paper in (None, *(k.partition("/")[0] for k in f["statements"]))]
        if chosen:
            lines += [*heading(name, "-")]
        for finding in chosen:
            links = ", ".join(statement_link(titles[key]) for key in finding["statements"] if key in titles)
            lines += [f"**{esc(finding['title'])}.** {esc(finding['text'])}", "", f"Statements: {links}.", ""]
    return lines


def paper_title(paper):
    """The short name of a paper and its authors, for the navigation."""
    names = re.split(r",| & |;", PAPERS[paper][0])
    lead = "Tweedie's formula" if paper == "foundations" else PAPERS[paper][0] if len(names) < 3 else names[0] + " et al."
    return f"{paper.replace('_', ' ')}: {lead}"


def paper_page(paper, statements, entries, found):
    authors, title, where = PAPERS[paper]
    lines = [
        *heading(esc(paper_title(paper))),
        f"{esc(authors)}: *{esc(title)}* ({esc(where)}).",
        "",
        *heading("What was checked", "-"),
    ]
    lines += [".. list-table::", "   :header-rows: 1", "   :widths: 45 20 15 20", ""]
    lines += ["   * - statement", "     - number", "     - kind", "     - verdict"]
    for s in statements:
        verdict = entries[s.key]["verdict"] if s.key in entries else "no record yet"
        lines += [
            f"   * - {statement_link(s)}",
            f"     - {esc(long_ref(s.ref))}",
            f"     - {s.kind}",
            f"     - {esc(verdict)}",
        ]
    lines += ["", *heading("What was found", "-")]
    lines += [line.replace("-" * 4, "~" * 4) if set(line) == {"-"} else line for line in findings_of(found, paper)] or [
        "Nothing yet."
    ]
    unsure = [s for s in statements if s.text in ("recalled", "transcribed")]
    lines += ["", *heading("What is not confirmed", "-")]
    lines += (
        ["The wording of these statements was not seen in the paper itself; the form given here is proved here.", ""]
        if unsure
        else []
    )
    lines += [f"- {statement_link(s)}: {esc(s.text)}, {esc(TEXTS[s.text])}" for s in unsure] or ["Nothing."]
    for known in gallery.papers():
        if known.group == paper:
            lines += ["", *heading("Figures and tables of the paper", "-"), f"Known: {esc(known.known)}.", ""]
            lines += [".. list-table::", "   :header-rows: 1", "   :widths: 12 13 45 30", ""]
            lines += ["   * - number", "     - status", "     - what it shows", "     - drawn by, or why not"]
            for item in gallery.coverage(known):
                drawn = ", ".join(f":ref:`{name} <figure-{name}>`" for name in item.experiments) or esc(item.why)
                lines += [
                    f"   * - {esc(item.number)}",
                    f"     - {esc(item.status)}",
                    f"     - {esc(item.shows)}",
                    f"     - {drawn}",
                ]
    # the navigation beside a statement shows the statements of its own paper alone
    lines += ["", ".. toctree::", "   :hidden:", ""]
    lines += [f"   {long_ref(s.ref)}{': ' if s.ref else ''}{s.title} </generated/statements/{s.key}>" for s in statements]
    return [*lines, ""]


def gallery_page(drawn):
    """All figures with caption, place in a paper, command, cost and the statements that they use."""
    lines = [
        *heading("Gallery"),
        "The pictures are committed; a build of the site draws none. The cost is the time that the table took.",
    ]
    used = {}
    for s in all_statements():
        for module in drawn.get(s.key, ()):
            used.setdefault(module.NAME, []).append(s)
    group = None
    for module in figures.experiments().values():
        if group != module.GROUP:
            group = module.GROUP
            lines += ["", *heading(group.replace("_", " "), "-")]
        lines += [f".. _figure-{module.NAME}:", "", *heading(module.NAME, "~")]
        lines += [f".. image:: ../../figures/{module.NAME}.png", f"   :alt: {module.NAME}", "   :width: 100%", ""]
        lines += [*picture_caption(module), ""]
        lines += [f":Place: {esc(gallery.source(module))}", f":Make it: ``exactdiffusion figures {module.NAME}``"]
        lines += [f":Cost: {esc(gallery.cost(gallery.seconds(module)))}"]
        if module.NAME in used:
            lines += [f":Statements: {', '.join(map(statement_link, used[module.NAME]))}"]
        lines.append("")
    return lines


def picture_caption(module):
    """The caption, then the whole docstring of an experiment as paragraphs of plain text, with its emphasis."""
    paragraphs = [gallery.caption(module), *inspect.cleandoc(module.__doc__).split("\n\n")]
    plain = [esc(paragraph.replace("``", "")) for paragraph in paragraphs]
    return [line for text in plain for line in (re.sub(r"(?<!\w)\\\*(\w[\w ]*)\\\*(?!\w)", r"*\1*", text), "")]


def howto_page():
    """The worked examples of ``experiments/howto``: each script whole, under the first sentence of its docstring."""
    lines = [
        *heading("Worked examples"),
        "Each is a script of the repository that runs as it stands.",
        "",
    ]
    for path in sorted((ROOT / "experiments" / "howto").glob("[!_]*.py")):
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n\n")[0]
        title, _, rest = " ".join(first.split()).partition("? ")
        lines += [*heading(esc(title + "?" if rest else title.rstrip(".")), "-"), *([esc(rest), ""] if rest else [])]
        lines += [f".. literalinclude:: /../experiments/howto/{path.name}", "   :language: python", ""]
        lines += [f"Run it: ``python experiments/howto/{path.name}``.", ""]
    return lines


# ------------------------------------------------------------------------------------------------------------------- API


def modules_of(room):
    """Names of the public modules of a room."""
    name = f"exactdiffusion.{room}"
    module = importlib.import_module(name)
    if not hasattr(module, "__path__"):
        return [name]
    found = pkgutil.walk_packages(module.__path__, name + ".")
    return [info.name for info in found if not any(part.startswith("_") for part in info.name.split("."))]


def api_pages(folder, filed):
    """One page per room: its modules, each with what it makes public. A statement is on its own page."""
    rooms = [*heading("API reference"), "One page per room; what a statement says is on the page of the statement.", ""]
    rooms += [f"- :doc:`{room}`: {what}" for room, what in ROOMS.items()]
    rooms += ["", *heading("Everyday names", "-")]
    for name in exactdiffusion.__all__:
        thing = getattr(exactdiffusion, name)
        if inspect.ismodule(thing):
            continue
        if callable(thing):
            rooms.append(f"- :py:obj:`exactdiffusion.{name} <{thing.__module__}.{thing.__qualname__}>`")
    rooms += ["", ".. toctree::", "   :hidden:", "", *(f"   {room} <{room}>" for room in ROOMS), ""]
    write(folder / "index.rst", rooms)
    for room, what in ROOMS.items():
        lines = [*heading(f"exactdiffusion.{room}"), f"{what[0].upper()}{what[1:]}.", ""]
        for name in modules_of(room):
            module = importlib.import_module(name)
            public = [n for n in getattr(module, "__all__", ()) if (name, n) not in filed]
            things = {n: getattr(module, n, None) for n in public}
            own = [n for n, thing in things.items() if inspect.isroutine(thing) or inspect.isclass(thing)]
            own = [n for n in own if things[n].__module__ == name]
            if not own:
                continue
            lines += [*heading(name.removeprefix("exactdiffusion."), "-"), f".. automodule:: {name}", ""]
            for n in own:
                kind = "autoclass" if inspect.isclass(things[n]) else "autofunction"
                lines += [f".. {kind}:: {name}.{n}", *(["   :members:"] if kind == "autoclass" else []), ""]
        write(folder / f"{room}.rst", lines)


# ------------------------------------------------------------------------------------------------------------------- all


def generate(docs):
    """Write every generated page below ``docs/generated``; pages of statements that are gone are removed."""
    out = docs / "generated"
    statements, entries, planted = all_statements(), expected.read(ROOT / "theory"), faults()
    collected = read_records(FROM, "DOCS_FROM")[1] if FROM else None
    files, drawn = checked_by(statements), drawn_by(statements)
    found = tomllib.loads((ROOT / "theory/findings.toml").read_text(encoding="utf-8"))["finding"]
    index = [*heading("Statements"), "One page per statement, by paper.", ""]
    for paper in PAPERS:
        mine = [s for s in statements if s.paper == paper]
        write(out / "papers" / f"{paper}.rst", paper_page(paper, mine, entries, found))
        index += [*heading(paper, "-")]
        index += [f"- {esc(long_ref(s.ref))}{': ' if s.ref else ''}{statement_link(s)}" for s in mine] + [""]
        for s in mine:
            run = None if collected is None else evidence_lines(collected.of(s.key))
            page = statement_page(s, entries.get(s.key), files.get(s.key, []), planted, drawn.get(s.key, []), run)
            write(out / "statements" / f"{s.key}.rst", page)
    write(out / "statements" / "index.rst", index)
    keys = {s.key: s for s in statements}
    of_file = {}
    for key, paths in files.items():
        for path in paths:
            of_file.setdefault(path, []).append(keys[key])
    for path, checked in of_file.items():
        write(out / "theory" / f"{of_theory(path)}.rst", theory_page(path, checked))
    for folder, known in (
        ("statements", {f"{k}.rst" for k in keys} | {"index.rst"}),
        ("theory", {f"{of_theory(p)}.rst" for p in of_file}),
    ):
        for page in (out / folder).rglob("*.rst"):
            if page.relative_to(out / folder).as_posix() not in known:
                page.unlink()
    write(
        out / "findings.rst",
        [*heading("Findings"), "Every number follows from its sentence alone.", "", *findings_of(found)],
    )
    write(out / "gallery.rst", gallery_page(drawn))
    write(out / "howtos.rst", howto_page())
    api_pages(out / "api", {(s.module, s.name) for s in statements})
    assert set(MODULES) >= {s.module.rpartition(".")[2] for s in statements}
