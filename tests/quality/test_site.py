"""The built site as a reader meets it, in a real browser, opened from disk: wide, on a phone, in the dark.

``make docs`` builds it. The tests run where it is built (docs/_build/html, or the folder that the variable SITE names) and a
browser is installed; `.ci/long` builds it first and names it, and then a missing page is an error.
"""

import os
import re
from pathlib import Path

import pytest
from browser import Browser, needs_browser

from exactdiffusion._core.paths import project_root
from exactdiffusion.statements import all_statements

ROOT = project_root()
SITE = Path(os.environ.get("SITE") or (ROOT / "docs/_build/html" if ROOT else "docs/_build/html")).resolve()
if "SITE" not in os.environ and not (SITE / "index.html").is_file():
    pytest.skip("the site is not built (make docs)", allow_module_level=True)
pytestmark = [pytest.mark.deep, needs_browser]

#: pages of every kind, the widest of their kind among them
PAGES = {
    "start": "index.html",
    "guide": "guide.html",
    "checked": "checked.html",
    "glossary": "glossary.html",
    "conformance": "conformance.html",
    "statement": "generated/statements/projection/ddim_distance_sandwich.html",
    "table": "generated/statements/proximal/gaussian_errors.html",
    "wide formulas": "generated/statements/conditional_mean/two_point_plateau.html",
    "paper": "generated/papers/projection.html",
    "theory file": "generated/theory/projection/thm_4_2_ddim_distance_sandwich.html",
    "findings": "generated/findings.html",
    "gallery": "generated/gallery.html",
    "examples": "generated/howtos.html",
    "API": "generated/api/samplers.html",
}
COMPLETE = "document.readyState === 'complete'"
#: elements that stick out of the page to the right, unless a box around them scrolls or hides what is outside
OUTSIDE = """(() => {
    const wide = document.documentElement.clientWidth + 1, found = [];
    for (const e of document.querySelectorAll('main *, .content *, article *')) {
        const box = e.getBoundingClientRect();
        if (box.width === 0 || box.right <= wide) continue;
        let inside = false;
        for (let up = e; up && up !== document.body; up = up.parentElement)
            if (up !== e && getComputedStyle(up).overflowX !== 'visible') { inside = true; break; }
        if (!inside) found.push(e.tagName + '.' + e.className + ': ' + (e.textContent || '').trim().slice(0, 60));
    }
    return found.slice(0, 5);
})()"""
#: contrast of running text against what is behind it (WCAG 2), the least over the paragraphs, code and links of a page
CONTRAST = """(() => {
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const ground = (e) => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
    let least = [99, ''];
    for (const e of document.querySelector('article').querySelectorAll('p, li, code, td, math, pre span')) {
        if (!e.textContent.trim() || !e.getClientRects().length) continue;
        const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < least[0]) least = [ratio, e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 60)];
    }
    return least;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


def _heard(browser):
    """Complaints of the page, and requests of a network: scripts, styles and pictures come from the folder."""
    outside = [address for address in browser.requests() if not address.startswith(("file:", "data:", "blob:"))]
    return outside + [complaint for complaint in browser.complaints() if complaint[0] != "request"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_asks_no_network(browser, name):
    for width, dark in ((1280, False), (390, False), (390, True)):
        browser.open(SITE / PAGES[name], width=width, height=844, mobile=width < 900, dark=dark, ready=COMPLETE)
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
        assert browser.evaluate(OUTSIDE) == [], (name, width)
        assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)"), (name, width)
        assert _heard(browser) == [], (name, width)


@pytest.mark.parametrize("name", ["start", "statement", "table", "findings", "API"])
def test_text_can_be_read_in_the_light_and_in_the_dark(browser, name):
    """4.5 to 1 is what WCAG asks of running text (level AA)."""
    for dark in (False, True):
        browser.open(SITE / PAGES[name], dark=dark, ready=COMPLETE)
        ratio, where = browser.evaluate(CONTRAST)
        assert ratio >= 4.5, (name, dark, ratio, where)
        ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 384) == dark


def test_a_wide_box_faint_words_and_a_request_would_be_seen(browser):
    browser.open(SITE / PAGES["start"], ready=COMPLETE)
    assert browser.evaluate(OUTSIDE) == []
    wide, faint = "<div style='width: 3000px'>wide</div>", "<p style='color: #ccc; background: #fff'>faint</p>"
    browser.evaluate(f"void document.querySelector('article').insertAdjacentHTML('beforeend', {(wide + faint)!r})")
    assert "DIV.: wide" in browser.evaluate(OUTSIDE)
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio < 4.5
    assert where == "P.: faint"
    browser.evaluate("fetch('http://127.0.0.1:9/x').catch(() => 0)")
    assert "http://127.0.0.1:9/x" in _heard(browser)


@pytest.mark.parametrize("name", ["statement", "wide formulas", "paper"])
def test_mathematics_is_rendered(browser, name):
    """Formulas are MathML that has a size; no TeX is left in the text, and no formula asks for a font of a network."""
    browser.open(SITE / PAGES[name], ready=COMPLETE)
    sizes = browser.evaluate(
        "[...document.querySelectorAll('article math')].map(m => m.getBoundingClientRect()).map(b => [b.width, b.height])"
    )
    assert name == "paper" or len(sizes) >= 10
    assert all(width > 2 and height > 5 for width, height in sizes)
    text = browser.evaluate(
        "(() => { const a = document.querySelector('article').cloneNode(true);"
        "a.querySelectorAll('pre, code, math').forEach(e => e.remove()); return a.innerText; })()"
    )
    assert not re.search(r"\\[a-zA-Z]+|\$|:math:|:func:", text), re.findall(
        r".{20}(?:\\[a-zA-Z]+|\$|:math:|:func:).{20}", text
    )
    assert _heard(browser) == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("Theorem 4.2", "generated/statements/projection/ddim_distance_sandwich"),
        ("hybrid rate", "generated/statements/proximal/hybrid_trajectory_kl"),
        ("PointCloud", "generated/api/laws"),
    ],
)
def test_search_finds(browser, words, page):
    """Among the first five; from disk, without a server: the index is a script of the site."""
    done = "document.querySelector('#search-results h2')?.innerText === 'Search Results'"
    browser.open(SITE / "search.html", fragment="?q=" + words.replace(" ", "+"), ready=f"{COMPLETE} && {done}")
    links = "[...document.querySelectorAll('#search-results li a')].slice(0, 5).map(a => a.getAttribute('href'))"
    found = browser.evaluate(links)
    assert any(link.startswith(page) for link in found), found
    assert _heard(browser) == []


def test_every_statement_has_a_page_that_leads_to_its_check(browser):
    """The built files, without the browser: none is missing, and each names its check, which leads back."""
    for s in all_statements():
        text = (SITE / "generated/statements" / f"{s.key}.html").read_text(encoding="utf-8")
        checks = re.findall(r'href="((?:\.\./)+theory/[\w/]+\.html)"', text)
        assert checks, s.key
        check = (SITE / "generated/statements" / s.key).parent / checks[0]
        assert f"statements/{s.key}.html" in check.resolve().read_text(encoding="utf-8"), s.key
        assert "<math" in text
        assert "problematic" not in text, f"{s.key}: a reference that Sphinx could not resolve"
