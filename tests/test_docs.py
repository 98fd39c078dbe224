"""The generated pages of the site: every statement has one, and links between registry, pages and theory files exist."""

import ast
import importlib
import re
import runpy
import sys

import pytest

from exactdiffusion._core.paths import project_root
from exactdiffusion.checks import ledger, verify
from exactdiffusion.checks.statistics import Family
from exactdiffusion.statements import PAPERS, all_statements
from exactdiffusion.studies import figures

ROOT = project_root()
if ROOT is None or not (ROOT / "docs").is_dir():
    pytest.skip("the site is in a checkout", allow_module_level=True)


@pytest.fixture(scope="module")
def pages():
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    try:
        return importlib.import_module("pages")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def site(pages, tmp_path_factory):
    """The folder docs/ as a build sees it: what is written by hand, and what is generated."""
    docs = tmp_path_factory.mktemp("site") / "docs"
    docs.mkdir()
    for page in (ROOT / "docs").glob("*.md"):
        (docs / page.name).write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    pages.generate(docs)
    return docs


def _links(page):
    """Targets of ``:doc:`` and ``{doc}``, and the entries of toctrees in Markdown."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"(?::doc:|\{doc\})`(?:[^`<]*<)?([^`>]+)>?`", text)
    for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
        lines = [line for line in block.splitlines() if line and not line.startswith(":")]
        found += [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
    for block in re.findall(r"^\.\. toctree::\n(?:   :.*\n)*\n((?:   .*\n)+)", text, re.MULTILINE):
        found += [re.sub(r".*<(.*)>", r"\1", line.strip()) for line in block.splitlines()]
    return found


def _exists(site, page, link):
    base = site / link.lstrip("/") if link.startswith("/") else page.parent / link
    return any(base.with_name(base.name + ending).is_file() for ending in (".rst", ".md"))


def test_registry_to_page_to_theory_file_and_back(site):
    for s in all_statements():
        page = site / "generated" / "statements" / f"{s.key}.rst"
        text = page.read_text(encoding="utf-8")
        assert f".. autofunction:: {s.module}.{s.name}" in text
        checks = re.findall(r"</generated/theory/([\w/]+)>", text)
        assert checks, f"{s.key}: no theory file"
        for check in checks:
            source = ROOT / "theory" / f"{check}.py"
            assert re.search(rf"^STATEMENT = \w+\.{s.name}\.statement$", source.read_text(encoding="utf-8"), re.MULTILINE)
            back = (site / "generated" / "theory" / f"{check}.rst").read_text(encoding="utf-8")
            assert f"</generated/statements/{s.key}>" in back
            assert f"literalinclude:: /../theory/{check}.py" in back


def _sections(text):
    """Headings of the second level of a page."""
    return re.findall(r"^(\w[^\n]*)\n-{4,}$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def written(site):
    """Key of a statement -> the text of its page."""
    return {s.key: (site / "generated/statements" / f"{s.key}.rst").read_text(encoding="utf-8") for s in all_statements()}


def test_every_statement_page_is_complete(written, pages):
    """The parts of a page; hypotheses, conclusion, source and proof stand in the docstring that it shows."""
    for s in all_statements():
        text = written[s.key]
        assert {"Statement", "Compute it", "Evidence", "Controls", "Files", "Cite it"} <= set(_sections(text)), s.key
        for fact in ("Kind", "Wording", "Proof", "Domain", "Key", "Verdict"):
            assert re.search(rf"^:{fact}: \S", text, re.MULTILINE), (s.key, fact)
        assert f"{{{pages.citation_key(s)}," in text
        for word in ("**Hypotheses", "onclusion", "**Source.**", ".. math::"):
            assert word in s.doc, (s.key, word)
        if pages.PROOFS[s.text].endswith("below"):
            assert re.search(r"\bProof\b|\bproof\b", s.doc), f"{s.key}: {s.text}, and its docstring has no proof"


def test_a_page_names_the_worst_law_where_its_check_does(written):
    """`Check.worst` states the ratio of a worst law found by search; the page of every such statement shows it."""
    for s in all_statements():
        (first, *_) = re.findall(r"</generated/theory/([\w/]+)>", written[s.key])
        searched = "check.worst(" in (ROOT / "theory" / f"{first}.py").read_text(encoding="utf-8")
        assert ("- Worst law that a search found: measured over bound is 0." in written[s.key]) == searched, s.key


def test_what_a_page_computes_is_what_it_prints(pages, monkeypatch):
    """The lines of a page stand alone: they import what they use, and each answer is the comment below it."""
    shown = []
    monkeypatch.setattr(sys, "displayhook", lambda value: value is None or shown.extend(repr(value).splitlines()))
    for s in all_statements():
        shown.clear()
        lines, names = pages.snippet(s), {}
        for node in ast.parse("\n".join(lines)).body:
            exec(compile(ast.Interactive([node]), s.key, "single"), names)
        answers = [line[2:] for line in lines if line.startswith("# ")]
        assert shown == answers, s.key
        assert len(lines) - len(answers) <= 10, f"{s.key}: more than ten lines"


def test_citation_keys_are_unique_and_braces_close(pages):
    keys = [pages.citation_key(s) for s in all_statements()]
    assert len(set(keys)) == len(keys)
    for s in all_statements():
        text = "\n".join(pages.citation(s))
        assert text.count("{") == text.count("}")
        assert s.paper == "foundations" or PAPERS[s.paper][1] in text


def test_a_run_is_shown_beside_the_committed_evidence(pages, monkeypatch, tmp_path):
    """``DOCS_FROM``: the page of a statement names the run and what it measured."""
    s = all_statements()[0]
    collected = ledger.Collected(statements={s.key: "theory/foundations/eq_tweedie.py"})
    ledger.Check(s, collected).equal([1.0], [1.0 + 4e-16], tol=1e-15, cause="rounding: 2 eps", on="one number")
    how = {"deep": False, "quick": False, "selected": True, "seed": 0, "complete": False, "passed": True}
    verify.write_records(tmp_path / "records", collected, ledger.pack(collected, Family()), how)
    monkeypatch.setattr(pages, "FROM", str(tmp_path / "records"))
    pages.generate(tmp_path / "docs")
    text = (tmp_path / "docs/generated/statements" / f"{s.key}.rst").read_text(encoding="utf-8")
    assert "What the run in ``records`` measured" in text
    assert "one number" in text
    assert "No run was made" not in text


def test_every_worked_example_is_on_the_page_of_examples(site):
    text = (site / "generated/howtos.rst").read_text(encoding="utf-8")
    scripts = {path.name for path in (ROOT / "experiments" / "howto").glob("[!_]*.py")}
    assert scripts
    assert set(re.findall(r"literalinclude:: /../experiments/howto/(\S+)", text)) == scripts


def test_every_page_written_by_hand_is_in_the_navigation(site):
    listed = {link.lstrip("/") for link in _links(site / "index.md")}
    assert {page.stem for page in site.glob("*.md")} - {"index"} <= listed


def test_every_link_between_pages_exists(site):
    broken = [
        f"{page.relative_to(site)}: {link}"
        for page in [*site.rglob("*.md"), *site.rglob("*.rst")]
        for link in _links(page)
        if not _exists(site, page, link)
    ]
    assert broken == []


def test_a_broken_link_is_seen(site):
    page = site / "broken.md"
    page.write_text("{doc}`words </generated/statements/projection/none>`\n```{toctree}\nnone\n```\n", encoding="utf-8")
    assert [_exists(site, page, link) for link in _links(page)] == [False, False]
    page.unlink()


def test_evidence_and_planted_errors_are_those_of_the_committed_files(site, pages):
    entries = pages.expected.read(ROOT / "theory")
    for s in all_statements():
        text = (site / "generated" / "statements" / f"{s.key}.rst").read_text(encoding="utf-8")
        entry = entries.get(s.key)
        assert ("No record is committed yet" in text) == (entry is None)
        if entry:
            assert f"theory/{s.paper}/expected.toml" in text
            assert f"- {entry.get('values', 0)} values were compared." in text
            for control in entry.get("controls", []) + entry.get("planted", []):
                assert f"- {pages.esc(control)}" in text, (s.key, control)


def test_papers_and_gallery_are_complete(site):
    gallery = (site / "generated" / "gallery.rst").read_text(encoding="utf-8")
    assert all(f".. _figure-{name}:" in gallery for name in figures.experiments())
    for paper in PAPERS:
        text = (site / "generated" / "papers" / f"{paper}.rst").read_text(encoding="utf-8")
        assert all(f"</generated/statements/{s.key}>" in text for s in all_statements() if s.paper == paper)


def test_pages_of_statements_that_are_gone_are_removed(site, pages):
    stale = site / "generated" / "statements" / "projection" / "gone.rst"
    stale.write_text("Gone\n====\n", encoding="utf-8")
    pages.generate(site)
    assert not stale.exists()


def test_bars_of_running_text_are_escaped_and_formulas_stay(monkeypatch):
    """In reStructuredText ``|x|`` asks for a substitution; in docstrings it is a norm."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    escaped = runpy.run_path(str(ROOT / "docs" / "conf.py"))["escaped"]
    text = [
        "|x| <= 1 where :math:`|y|` and ``|z|``.",
        "",
        ".. math:: |a|",
        "          + |b|",
        "",
        "Then |c|.",
        "",
        ">>> 1 | 2",
        "3",
    ]
    assert escaped(text) == [r"\|x\| <= 1 where :math:`|y|` and ``|z|``.", *text[1:5], r"Then \|c\|.", *text[6:]]
