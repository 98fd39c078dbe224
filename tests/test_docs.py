"""The generated pages of the site: every statement has one, and links between registry, pages and theory files exist."""

import importlib
import re
import runpy
import sys

import pytest

from exactdiffusion._core.paths import project_root
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
        found += [line for line in block.splitlines() if line and not line.startswith(":")]
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
