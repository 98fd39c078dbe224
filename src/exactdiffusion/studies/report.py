"""``exactdiffusion report DIR``: a sweep and the statements of its bounds as one HTML file that opens offline.

The page is built from ``_report/``: a template, a style sheet and a script, which draws the curves as SVG. Only what belongs
to the sweep is in it. Numbers go in as compressed text, so nothing in a name can end a script element; a content security
policy in the page forbids every connection.
"""

import base64
import gzip
import importlib
import inspect
import json
import os
import re
import string
from collections.abc import Sequence
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import numpy as np

from .._core import files
from .._core.log import log
from .._core.paths import project_root, theory_dir
from .._core.progress import progress
from .._core.typing import StrPath
from .._core.validation import fail
from .._version import __version__
from ..checks import expected
from .results import ABOVE_EXACT, AXES, LABELS, ROUNDING, _drawn_text, curves, load, rounding_of, select

__all__ = ["mathml", "report"]

#: Largest size of the page in bytes: it is sent by mail and opened on phones.
MOST_BYTES = 1_500_000
#: Samples beside a curve: points, or images; all of them together; and the longest time to run the samplers, in seconds.
POINTS, IMAGES, SAMPLE_BYTES, SAMPLE_SECONDS = 500, 16, 400_000, 30.0
_ASSETS = Path(__file__).resolve().parent / "_report"
_COLUMNS = (
    "target",
    "sampler",
    "schedule",
    "steps",
    "seed",
    "samples",
    "start",
    "metric",
    "value",
    "lower",
    "upper",
    "exact_draws",
    "exact_draws_low",
    "exact_draws_high",
    "bound",
    "vacuous",
    "rung",
    "method",
    "oracle_calls",
    "inner_evaluations",
    "seconds",
)
_TEXTS = ("target", "sampler", "schedule", "start", "metric", "rung", "method", "vacuous")
#: name of a target -> height and width of its images
_SHAPES = {"digits": (8, 8), "mnist": (28, 28), "fashion_mnist": (28, 28)}


def report(
    folder: StrPath,
    out: StrPath | None = None,
    *,
    target: str | Sequence[str] | None = None,
    metric: str | Sequence[str] | None = None,
    checks: StrPath | None = None,
    own_code: bool = False,
) -> Path:
    """Write the report of a sweep.

    Beside the curves it shows samples of the lowest seed: the runs are made again, for at most `SAMPLE_SECONDS`. The values
    of single seeds are in it as well, unless the page would exceed `MOST_BYTES`.

    Parameters
    ----------
    folder : path
        Written by `exactdiffusion.sweep` or ``exactdiffusion sweep``.
    out : path, optional
        The HTML file. Default: ``report.html`` in the folder.
    target, metric : str or list of str, optional
        Put these only into the page.
    checks : path, optional
        Folder that ``verify --records`` wrote: its verdicts and evidence are shown. Default: the committed verdicts.
    own_code : bool
        Run the functions ``FILE.py:NAME`` that the folder names, to draw their samples. Say so for folders of your own only:
        otherwise no code is run that a folder names.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        Names the folder that holds no sweep, a target, a metric or a file that is not there, or a page beyond `MOST_BYTES`.
    ModuleNotFoundError
        When the extra ``explore`` is not installed.

    Examples
    --------
    >>> _ = ed.sweep(target="gaussian", sampler="ddim", steps=[5, 10], seeds=1, samples=10, out="results")
    >>> report("results").name
    'report.html'
    """
    results = load(folder)
    results.rows[:] = select(results.rows, target=target, metric=metric)
    out = Path(out) if out is not None else Path(folder) / "report.html"

    # the words of the page
    title = results.provenance.get("title") or f"Sweep {Path(folder).resolve().name}"
    found = curves(results.rows)
    data: dict[str, Any] = _data(results.rows, found)
    data["samples"] = _samples(results.rows, data["curves"], own_code)
    template = string.Template((_ASSETS / "page.html").read_text(encoding="utf-8"))
    words = {
        "title": escape(title),
        "intro": _intro(results),
        "findings": _findings(results),
        "style": (_ASSETS / "report.css").read_text(encoding="utf-8"),
        "script": (_ASSETS / "report.js").read_text(encoding="utf-8"),
        "above_exact": f"{ABOVE_EXACT:g}",
        "version": __version__,
        "statements": _statements(found, checks, _root_from(out)),
        "provenance": _provenance(results),
    }
    if unrun := data["samples"]["own_code"]:
        log.info("samples of %d cells are left out: own code makes them, and report --own-code runs it", unrun)

    # with the single cells, or without them where the page would be too large
    whole: tuple[dict[str, Any], ...] = (data["cells"], {})
    for cells in whole:
        page = template.substitute(words, data=_packed(json.dumps({**data, "cells": cells}, allow_nan=False))).encode()
        if len(page) <= MOST_BYTES:
            break
    else:
        fail(
            "dir",
            str(folder),
            f"a sweep whose page stays below {MOST_BYTES:,} bytes, this one has {len(page):,}; choose targets or metrics",
        )
    files.write_whole(out, page)
    return out


def _root_from(out):
    """How a page that lies in the checkout reaches its root; None elsewhere, where its files are not at hand."""
    root, folder = project_root(), out.resolve().parent
    return None if root is None or not folder.is_relative_to(root) else os.path.relpath(root, folder).replace(os.sep, "/")


def _packed(text):
    """Compressed text; no time stamp, so equal input gives equal bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


# -- the results ---------------------------------------------------------------------------------------------------------


def _data(rows, found=None):
    """Data that the script draws: the cells by column (texts as levels and codes), the curves, the labels."""
    cells = {}
    for name in _COLUMNS:
        values = [row[name] for row in rows]
        if name in _TEXTS:
            levels = list(dict.fromkeys(values))
            codes = {level: code for code, level in enumerate(levels)}
            cells[name] = {"levels": levels, "codes": [codes[value] for value in values]}
        else:
            cells[name] = values

    # the abscissae that all points have
    found = curves(rows) if found is None else found
    axes = {
        name: label
        for name, (label, field) in AXES.items()
        if all(getattr(p, field) for curve in found for p in curve.points)
    }

    # one entry for each curve, with its orders; a value that is rounding makes no slope
    listed, rounding = [], rounding_of(found)
    for curve in found:
        least, orders = rounding[curve.target, curve.metric], {}
        measured = replace(curve, points=tuple(p for p in curve.points if p.median > least))
        for axis in axes:
            order = measured.order(axis)
            if order.slope is not None:
                orders[axis] = {**asdict(order.slope), "first": order.first, "last": order.last}
            else:
                orders[axis] = {"why": order.why if len(measured.points) == len(curve.points) else curve.order(axis).why}
                if orders[axis]["why"] is None:
                    left = len(curve.points) - len(measured.points)
                    orders[axis]["why"] = f"{left} of {len(curve.points)} points are zero but for rounding"
        listed.append({**asdict(curve), "orders": orders, "rounding": least, "drawn": _drawn_text(curve.points)})
    return {"cells": cells, "curves": listed, "axes": axes, "labels": LABELS, "share": ROUNDING}


def _intro(results):
    record = results.provenance
    out = []
    if record.get("summary"):
        out.append(f"<p>{escape(str(record['summary']))}</p>")
    count = {name: len({row[name] for row in results.rows}) for name in ("target", "sampler", "schedule", "seed", "metric")}
    words = ", ".join(f"{n} {name}{'s' if n != 1 else ''}" for name, n in count.items())
    out.append(f'<p class="note">{len(results.rows)} values: {words}.</p>')
    return "\n".join(out)


def _findings(results):
    sentences = results.provenance.get("finding") or []
    listed = "".join(f"<li>{escape(str(sentence))}</li>" for sentence in sentences)
    return f'<section id="findings"><h2>Findings</h2><ul>{listed}</ul></section>' if sentences else ""


def _provenance(results):
    record = results.provenance
    if not record:
        return "<p>The folder has no provenance.json.</p>"
    facts = [("commit", record.get("commit")), ("source digest", record.get("source_sha256"))]
    facts += [(name, version) for name, version in (record.get("versions") or {}).items()]
    facts = "".join(f"<dt>{escape(str(n))}</dt><dd><code>{escape(str(v))}</code></dd>" for n, v in facts if v is not None)
    arguments = escape(json.dumps(record.get("arguments", {}), indent=1))
    return (
        f'<dl class="doc">{facts}</dl><details><summary>Arguments of the sweep</summary>'
        f'<pre tabindex="0">{arguments}</pre></details>'
    )


# -- samples beside the curves -------------------------------------------------------------------------------------------


def _samples(rows, listed, own_code):
    """Samples of the lowest seed, put into the points of the curves; per target the draws of the law itself.

    Samples are kept as bytes: positions in the box of the exact draws (a point outside lies on its edge), or grey values.
    """
    from .sweep import grid_of, law_of, states

    cost = _cell_seconds(rows)
    budget = SAMPLE_BYTES // (2 * max(1, len(cost)))
    many = max(50, min(POINTS, budget))
    targets, made, left_out, not_run, spent = {}, {}, 0, 0, 0.0

    # the cheapest first, until the time is over
    for cell in progress(sorted(cost, key=lambda cell: (cost[cell][0], cell)), "samples", len(cost)):
        name, sampler, schedule, steps, samples, start = cell
        seconds, seed = cost[cell]
        known = all(_may_run(kind, text, own_code) for kind, text in zip(("target", "sampler", "schedule"), cell))
        if not known and not own_code:
            not_run += 1
            continue
        if not known or spent + seconds > SAMPLE_SECONDS:
            left_out += 1
            continue
        try:
            law = law_of(name)
            if name not in targets:
                targets[name] = _frame(name, law, many)
            frame = targets[name]
            count = min(samples, IMAGES if frame["shape"] else many)
            run = samples if start == "exact" else count  # the exact start of fewer samples would be another one
            *_, last = states(law, sampler, grid_of(schedule, steps), seed, run, start)
        except (ValueError, RuntimeError, OSError, ArithmeticError):  # a file that is gone, a run that blows up
            left_out += 1
            continue
        spent += seconds
        made[cell] = _bytes(np.asarray(last[:count], dtype=np.float64), frame)

    for curve in listed:
        for point in curve["points"]:
            names = (
                *(curve[k] for k in ("target", "sampler", "schedule")),
                point["steps"],
                curve["samples"],
                curve["start"],
            )
            point["sample"] = made.get(names)
    seeds = sorted({cost[cell][1] for cell in made})
    return {"targets": targets, "left_out": left_out, "own_code": not_run, "seed": seeds[0] if seeds else None}


def _cell_seconds(rows):
    """(target, sampler, schedule, steps, samples, start) -> seconds of a run (1 where unknown) and its lowest seed."""
    found: dict[tuple, tuple[float, int]] = {}
    for row in rows:
        cell = tuple(row[k] for k in ("target", "sampler", "schedule", "steps", "samples", "start"))
        if cell not in found or row["seed"] < found[cell][1]:
            found[cell] = (1.0 if row["seconds"] is None else row["seconds"], row["seed"])
    return found


def _may_run(kind, text, own_code):
    """Whether a specification names code of this package, or of this process: no other code is run unasked."""
    from .sweep import OBJECTS, _registry, parse

    try:
        name, parameters = parse(kind, text)
    except ValueError:  # a name that no sweep of this version writes
        return False
    return own_code or (kind, name) in OBJECTS or (name in _registry(kind) and "denoiser" not in parameters)


def _frame(name, law, many):
    """How samples of a target are shown: the shape of an image or None, the box or the range, exact draws, a title."""
    from .sweep import parse

    data = getattr(law, "data", law)
    if not hasattr(data, "sample"):
        raise ValueError(f"target: got {name!r}; expected one that can be sampled")
    shape = _SHAPES.get(parse("target", name)[0])
    shape = shape if shape is not None and data.dim == shape[0] * shape[1] else None
    draws = np.asarray(data.sample(IMAGES if shape else many, np.random.default_rng(0)), dtype=np.float64)
    shown = draws if shape else draws[:, :2]
    low, high = shown.min(axis=0), shown.max(axis=0)
    if shape:
        low, high, what = low.min(), high.max(), f"images of {shape[0]} x {shape[1]} pixels"
    else:
        # a square box, so that shapes are not distorted, with a tenth of the range around the draws
        middle, half = (low + high) / 2, 0.6 * max(float((high - low).max()), 1e-12)
        low, high = middle - half, middle + half
        what = {1: "positions on the line", 2: "points of the plane"}.get(data.dim, f"first two of {data.dim} coordinates")
    frame = {"shape": shape, "low": np.asarray(low).tolist(), "high": np.asarray(high).tolist(), "what": what}
    return {**frame, "draws": _bytes(draws, frame)}


def _bytes(samples, frame):
    """Samples as base64 of one byte a number, within the box of a frame."""
    shown = samples if frame["shape"] else samples[:, :2]
    low, high = np.asarray(frame["low"]), np.asarray(frame["high"])
    scaled = np.clip((shown - low) / np.where(high > low, high - low, 1.0), 0, 1)
    return base64.b64encode(np.rint(255 * scaled).astype(np.uint8).tobytes()).decode()


# -- the statements ------------------------------------------------------------------------------------------------------


def _checks(folder):
    """Entries of all statements with their lines of evidence, and where they come from."""
    if folder is None:
        entries, where = expected.read(), "the committed verdicts"
        evidence = {key: expected.lines(entry) for key, entry in entries.items()}
    else:
        from ..checks.verify import evidence_lines, read_records

        _, collected = read_records(folder, "checks")
        entries, where = expected.summarise(collected), f"the run in {folder}"
        evidence = {key: evidence_lines(collected.of(key)) for key in entries}
    return {key: {**entry, "evidence": evidence[key]} for key, entry in entries.items()}, where


def _statements(found, folder, root=None):
    """The statements whose bounds the curves have, in the order of the registry."""
    from ..statements import all_statements

    checks, where = _checks(folder)
    uses: dict[str, dict[tuple, None]] = {}
    for curve in found:
        for key in {p.statement for p in curve.points if p.statement}:
            uses.setdefault(key, {})[curve.target, curve.metric, curve.sampler] = None
    shown = [_statement(s, checks.get(s.key), uses[s.key], root) for s in all_statements() if s.key in uses]
    known = {s.key for s in all_statements()}
    strangers = "".join(f"<li><code>{escape(key)}</code></li>" for key in uses if key not in known)
    if strangers:
        shown.append(f"<p>Bounds of statements that this installation does not have:</p><ul>{strangers}</ul>")
    if not shown:
        return "<p>No theorem's hypotheses hold for these curves in a form that a sweep can draw as a bound.</p>"
    return f'<p class="note">Verdicts from {escape(where)}.</p>' + "".join(shown)


def _statement(statement, check, uses, root=None):
    """One statement: what it says, its verdict, the curves beside which its bound is drawn, its check and its code."""
    from ..statements import PAPERS, TEXTS

    check = {"verdict": "not run", "evidence": [], "file": "", **(check or {})}
    key, verdict = escape(statement.key), escape(check["verdict"])
    try:
        doc = _prose(statement.doc)
    except ValueError as error:
        raise ValueError(f"statement {statement.key}: {error}") from None

    # the curves, as links to their selection
    links = ", ".join(
        f'<a href="#{escape(urlencode({"target": target, "metric": metric}))}">'
        f"{escape(f'{sampler} on {target}, {metric}')}</a>"
        for target, metric, sampler in uses
    )

    # the theory file and the source of the formula, in the page itself; beside the checkout a link to the file as well
    parts, ways = [], []
    if check["file"]:
        source = theory_dir() / Path(check["file"]).relative_to("theory")
        text = source.read_text(encoding="utf-8") if source.is_file() else "This installation does not have the file."
        parts.append((check["file"], f"The check: {check['file']}", text))
        ways.append(f'checked by <a href="#{escape(check["file"])}"><code>{escape(check["file"])}</code></a>')
    module = importlib.import_module(statement.module)
    name = f"{statement.module}.{statement.name}"
    parts.append((f"code/{statement.key}", f"The code: {name}", inspect.getsource(getattr(module, statement.name))))
    ways.append(f'computed by <a href="#code/{key}"><code>{escape(name)}</code></a>')
    if check["file"] and root is not None:
        ways.append(f'the check is <a href="{escape(root)}/{escape(check["file"])}">a file beside this page</a>')
    if check["evidence"]:
        parts.append((f"evidence/{statement.key}", "Evidence", "\n".join(check["evidence"])))
    folded = "".join(
        f'<details id="{escape(anchor)}"><summary>{escape(head)}</summary><pre tabindex="0">{escape(text)}</pre></details>'
        for anchor, head, text in parts
    )

    authors, title, where = PAPERS[statement.paper]
    return (
        f'<article id="{key}"><h3>{escape(statement.title)} '
        f'<span class="verdict" data-verdict="{verdict}">{verdict}</span></h3>'
        f'<p class="note"><code>{key}</code>. {escape(authors)}: <em>{escape(title)}</em> ({escape(where)}), '
        f"{escape(statement.ref)}; {escape(statement.kind)}; {escape(TEXTS[statement.text])}.</p>"
        f'<div class="doc">{doc}</div>'
        f"<p>It is {'; '.join(ways)}.</p><p>Its bound is drawn beside {links}.</p>{folded}</article>"
    )


# -- words and formulas --------------------------------------------------------------------------------------------------

# Under the bar of a root: in a font without mathematics the bar touches a low letter, and sqrt n reads as sqrt pi.
_STRUT = '<mspace width="0" height="0.72em" />'
# Commands that latex2mathml passes through as text, alone or behind \bigl.
_KNOWN = {r"\arg": r"\operatorname{arg}", r"\lceil": "⌈", r"\rceil": "⌉", r"\lfloor": "⌊", r"\rfloor": "⌋", r"\|": "‖"}
#: roles of the docstrings, which a page shows as code
_ROLES = ("func", "class", "meth", "mod", "attr", "data", "py:obj")


def _prose(doc):
    """HTML of the part of a docstring that states the theorem: what stands before its first section of the API."""
    try:
        from docutils import nodes
        from docutils.core import publish_parts
        from docutils.parsers.rst import Parser, roles, states
        from docutils.writers import html5_polyglot
    except ModuleNotFoundError:
        raise ModuleNotFoundError("statements need docutils: pip install 'exactdiffusion[explore]'") from None

    class Translator(html5_polyglot.HTMLTranslator):
        def visit_math(self, node):
            self.body.append(mathml(node.astext()))
            raise nodes.SkipNode

        def visit_math_block(self, node):
            self.body.append(f'<div class="formula">{mathml(node.astext(), display=True)}</div>')
            raise nodes.SkipNode

    def bar(inliner, match, lineno):  # |x| is a norm here, not a substitution
        end = match.end("start")
        return match.string[:end], [], match.string[end:], []

    def code(name, rawtext, text, lineno, inliner, options=None, content=None):
        return [nodes.literal(rawtext, text.lstrip("~"))], []

    for role in _ROLES:
        roles.register_local_role(role, code)
    inliner = states.Inliner()
    inliner.dispatch = {**inliner.dispatch, "|": bar}
    writer = html5_polyglot.Writer()
    writer.translator_class = Translator
    stated = re.split(r"\n\w+\n-{3,}\n", doc)[0]
    settings = {"report_level": 2, "halt_level": 2, "file_insertion_enabled": False, "raw_enabled": False}
    try:
        return publish_parts(
            f".. default-role:: func\n\n{stated}",
            parser=Parser(inliner=inliner),
            writer=writer,
            settings_overrides={**settings, "doctitle_xform": False, "warning_stream": False, "_disable_config": True},
        )["body"]
    except Exception as error:  # SystemMessage: the text is no reStructuredText
        raise ValueError(str(error)) from None


def mathml(formula: str, display: bool = False) -> str:
    """MathML of one TeX formula, written when a page is built: a browser needs neither a script nor a network for it.

    Raises
    ------
    ValueError
        Names the formula when a part of it is not understood; nothing is passed on unconverted.

    Examples
    --------
    >>> "<msqrt>" in mathml(r"\\sqrt n")
    True
    """
    try:
        from latex2mathml.converter import convert
    except ModuleNotFoundError:
        raise ModuleNotFoundError("formulas need latex2mathml: pip install 'exactdiffusion[explore]'") from None
    source = re.sub(r"\s+", " ", formula).strip()
    groups = re.findall(r"(?<!\\)[{}]", source)
    if groups.count("{") != groups.count("}"):
        raise ValueError(f"formula: got {formula!r}; expected as many closing as opening braces")
    if display and re.search(r"\\\\|(?<!\\)&", source) and r"\begin" not in source:
        source = rf"\begin{{align*}}{source}\end{{align*}}"  # as Sphinx reads several lines
    for command, replacement in _KNOWN.items():
        source = re.sub(r"(?<!\\)" + re.escape(command) + r"(?![a-zA-Z])", replacement.replace("\\", r"\\"), source)
    try:
        result = convert(source, display="block" if display else "inline")
    except Exception as error:  # the library has a dozen exceptions of its own; each means the same to a reader
        raise ValueError(f"formula: got {formula!r}; expected TeX that converts ({type(error).__name__})") from None
    try:
        left = re.search(r"\\\w*", "".join(ElementTree.fromstring(result).itertext()))
    except ElementTree.ParseError as error:
        raise ValueError(f"formula: got {formula!r}; expected TeX that converts to well-formed MathML ({error})") from None
    if left:
        raise ValueError(f"formula: got {formula!r}; expected TeX that converts ({left[0]} is unknown)")
    return result.replace("<msqrt>", "<msqrt>" + _STRUT)
