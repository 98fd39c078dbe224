"""``exactdiffusion report DIR``: a sweep, the verdicts and the figures as one HTML file that opens offline.

The page is built from ``_report/``: a template, a style sheet and a script. Numbers and plotly.js go in as compressed
text, so nothing in a name can end a script element; a content security policy in the page forbids every connection.
"""

import base64
import gzip
import io
import json
import os
import string
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from html import escape
from pathlib import Path

from .._core import files
from .._core.paths import project_root
from .._core.typing import StrPath
from .._core.validation import fail
from .._version import __version__
from ..checks import expected
from ..checks.ledger import VERDICTS, plain
from ._markup import html as markup
from .results import ABOVE_EXACT, AXES, LABELS, _drawn_text, curves, load, select

__all__ = ["report"]

#: Largest size of the page in bytes: it is sent by mail and opened on phones.
MOST_BYTES = 8_000_000
_ASSETS = Path(__file__).resolve().parent / "_report"
_IMAGE_WIDTHS = (1000, 800, 600, 400)
_IMAGE_BYTES = 2_400_000
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
_ORDER = ("FAILED", "incomplete", *sorted(VERDICTS, key=lambda v: not v.startswith("refuted")))
_NOT_RUN = "not run"
_EPS = sys.float_info.epsilon


def report(
    folder: StrPath,
    out: StrPath | None = None,
    *,
    target: str | Sequence[str] | None = None,
    metric: str | Sequence[str] | None = None,
    checks: StrPath | None = None,
    figures: StrPath | None = None,
) -> Path:
    """Write the report of a sweep.

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
    figures : path, optional
        Folder of drawings ``NAME.png`` with ``data/NAME.json``. Default: ``figures`` of the checkout or current folder.

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
    home = project_root() or Path.cwd()
    found_figures = _given("figures", figures, home / "figures", Path.is_dir)

    # fill the page, a single file that needs no network
    plotly, plotly_version = _plotly()
    title = results.provenance.get("title") or f"Sweep {Path(folder).resolve().name}"
    page = (
        string.Template((_ASSETS / "page.html").read_text(encoding="utf-8"))
        .substitute(
            title=escape(title),
            intro=_intro(results),
            style=(_ASSETS / "report.css").read_text(encoding="utf-8"),
            script=(_ASSETS / "report.js").read_text(encoding="utf-8"),
            above_exact=f"{ABOVE_EXACT:g}",
            version=__version__,
            verdicts=_verdicts(checks, _root_from(out)),
            figures=_gallery(found_figures),
            provenance=_provenance(results),
            plotly=_packed(plotly),
            plotly_version=plotly_version,
            data=_packed(json.dumps(_data(results.rows), allow_nan=False)),
        )
        .encode()
    )

    if len(page) > MOST_BYTES:
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


def _given(name, path, default, exists):
    if path is None:
        return default if exists(default) else None
    if not exists(Path(path)):
        fail(name, str(path), "something that is there")
    return Path(path)


def _plotly():
    try:
        from plotly.offline import get_plotlyjs, get_plotlyjs_version
    except ModuleNotFoundError:
        raise ModuleNotFoundError("the report needs plotly: pip install 'exactdiffusion[explore]'") from None
    return get_plotlyjs(), get_plotlyjs_version()


def _packed(text):
    """Compressed text; no time stamp, so equal input gives equal bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


# -- the results ---------------------------------------------------------------------------------------------------------


def _data(rows):
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

    # the curves, and the largest value beside which each is measured
    found, largest = curves(rows), {}
    for row in rows:
        key = row["target"], row["metric"]
        largest[key] = max(largest.get(key, 0.0), row["value"])

    # the abscissae that all points have
    axes = {
        name: label
        for name, (label, field) in AXES.items()
        if all(getattr(p, field) for curve in found for p in curve.points)
    }

    # one entry for each curve, with its slopes
    listed = []
    for curve in found:
        # a value below eps times the largest is rounding: it makes no slope and no axis
        slopes, rounding = {}, _EPS * largest[curve.target, curve.metric]
        measured = replace(curve, points=tuple(p for p in curve.points if p.median > rounding))
        for axis in axes:
            slope = measured.slope(axis)
            if slope is not None:
                slopes[axis] = {"slope": slope.slope, "low": slope.low, "high": slope.high, "n": slope.n}
        listed.append({**asdict(curve), "slopes": slopes, "rounding": rounding, "drawn": _drawn_text(curve.points)})
    return {"cells": cells, "curves": listed, "axes": axes, "labels": LABELS}


def _intro(results):
    record = results.provenance
    out = []
    if record.get("summary"):
        out.append(f"<p>{escape(str(record['summary']))}</p>")
    finding = record.get("finding") or []
    if finding:
        out.append("<ul>" + "".join(f"<li>{escape(str(sentence))}</li>" for sentence in finding) + "</ul>")
    count = {name: len({row[name] for row in results.rows}) for name in ("target", "sampler", "schedule", "seed", "metric")}
    words = ", ".join(f"{n} {name}{'s' if n != 1 else ''}" for name, n in count.items())
    out.append(f'<p class="note">{len(results.rows)} values: {words}.</p>')
    return "\n".join(out)


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


# -- the verdicts --------------------------------------------------------------------------------------------------------

_HEAD = (
    ("statement", ""),
    ("paper", "minor"),
    ("number", "minor"),
    ("evaluated", "minor number"),
    ("worst ratio", "minor number"),
    ("controls", "minor"),
    ("verdict", ""),
)


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


def _verdicts(folder, root=None):
    from ..statements import all_statements

    checks, where = _checks(folder)
    statements = all_statements()
    bodies = [_statement(number, s, checks.get(s.key), root) for number, s in enumerate(statements)]
    papers = list(dict.fromkeys(s.paper for s in statements))
    seen = {checks.get(s.key, {}).get("verdict", _NOT_RUN) for s in statements}
    verdicts = sorted(seen, key=lambda v: (_rank(v), v))
    head = "".join(
        f'<th scope="col" class="{kind}" aria-sort="{"ascending" if i == 0 else "none"}">'
        f'<button type="button">{label}</button></th>'
        for i, (label, kind) in enumerate(_HEAD)
    )
    return (
        f'<p class="note">From {escape(where)}. Worst ratio: smaller over larger side of the inequality, 1 where it is '
        f"attained. Open a statement to read its hypotheses, conclusion and source, and the evidence.</p>"
        f'<div class="filters">{_filter("paper", "Paper", papers)} {_filter("verdict", "Verdict", verdicts)}</div>'
        f'<p id="verdict-count" class="note" aria-live="polite"></p>'
        f'<div class="scroll"><table id="verdict-table"><thead><tr>{head}</tr></thead>{"".join(bodies)}</table></div>'
    )


def _filter(name, label, values):
    options = "".join(f'<option value="{escape(v)}">{escape(v)}</option>' for v in values)
    options = '<option value="">all</option>' + options
    return f'<label>{label} <select id="of-{name}" autocomplete="off">{options}</select></label>'


def _rank(verdict):
    word = plain(verdict)
    return _ORDER.index(word) if word in _ORDER else len(_ORDER)


def _statement(number, statement, check, root=None):
    from ..statements import PAPERS, TEXTS

    check = {"verdict": _NOT_RUN, "evidence": [], "file": "", **(check or {})}
    try:
        doc = markup(statement.doc)
    except ValueError as error:
        raise ValueError(f"statement {statement.key}: {error}") from None

    # the cells of the row
    verdict, key = escape(check["verdict"]), escape(statement.key)
    authors, title, where = PAPERS[statement.paper]
    evidence = "".join(f"<li>{escape(line)}</li>" for line in check["evidence"])
    evidence = f'<details><summary>Evidence</summary><ul class="evidence">{evidence}</ul></details>' if evidence else ""
    measured = f"<code>{escape(check['file'])}</code>" if check["file"] else ""
    if measured and root is not None:
        measured = f'<a href="{escape(root)}/{escape(check["file"])}">{measured}</a>'
    measured = f" Measured in {measured}." if measured else ""
    numbers = [f"{check[name]:g}" if name in check else "" for name in ("values", "worst_ratio")]
    controls = f"{len(check['controls'])} fail" if "controls" in check else ""

    # the row, and below it the docstring, hidden until it is asked for
    return (
        f'<tbody id="statement-{key.replace("/", "-")}" data-paper="{escape(statement.paper)}" data-verdict="{verdict}"><tr>'
        f'<td data-sort="{number}"><button type="button" class="statement-button" aria-expanded="false" '
        f'aria-controls="doc-{number}">{escape(statement.title)}</button></td>'
        f'<td class="minor" data-sort="{escape(statement.paper)}">{escape(statement.paper)}</td>'
        f'<td class="minor" data-sort="{escape(statement.ref)}">{escape(statement.ref)}</td>'
        f'<td class="minor number" data-sort="{escape(numbers[0])}">{escape(numbers[0]) or "–"}</td>'
        f'<td class="minor number" data-sort="{escape(numbers[1])}">{escape(numbers[1]) or "–"}</td>'
        f'<td class="minor" data-sort="{escape(controls)}">{escape(controls)}</td>'
        f'<td class="verdict" data-verdict="{verdict}" data-sort="{_rank(check["verdict"])}">{verdict}</td></tr>'
        f'<tr id="doc-{number}" hidden><td colspan="{len(_HEAD)}"><div class="doc">{doc}'
        f'<p class="note">{escape(authors)}: <em>{escape(title)}</em> ({escape(where)}), {escape(statement.ref)}; '
        f"{escape(statement.kind)}; {escape(TEXTS[statement.text])}. Filed as <code>{key}</code>.{measured}</p>{evidence}"
        f"</div></td></tr></tbody>"
    )


# -- the figures ---------------------------------------------------------------------------------------------------------


def _gallery(folder):
    names = sorted(path.stem for path in folder.glob("*.png")) if folder is not None else []
    if not names:
        return "<p>No drawings were found; <code>exactdiffusion figures --all</code> makes them.</p>"

    # the largest width at which all drawings fit into the page
    for width in _IMAGE_WIDTHS:
        images = [_image(folder / f"{name}.png", width) for name in names]
        if sum(len(data) for data, _ in images) <= _IMAGE_BYTES:
            break

    # one figure per drawing, with the summary of its record
    entries = []
    for name, (data, (width, height)) in zip(names, images):
        record = folder / "data" / f"{name}.json"
        record = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        summary = str(record.get("summary") or name.replace("_", " "))
        entries.append(
            (
                str(record.get("group") or ""),
                (
                    f'<figure><img alt="{escape(summary)}" width="{width}" height="{height}" loading="lazy" '
                    f'src="data:image/png;base64,{base64.b64encode(data).decode()}">'
                    f"<figcaption>{escape(summary[:1].upper() + summary[1:])}. "
                    f"<code>exactdiffusion figures {escape(name)}</code>"
                    f"</figcaption></figure>"
                ),
            )
        )

    groups = {}
    for group, entry in entries:
        groups.setdefault(group, []).append(entry)
    return "".join(
        f'<h3>{escape(group.replace("_", " ")) or "others"}</h3><div class="gallery">{"".join(members)}</div>'
        for group, members in sorted(groups.items())
    )


def _image(path, width):
    """PNG bytes of a drawing at most ``width`` pixels wide in 64 colours, and its size."""
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue(), image.size
