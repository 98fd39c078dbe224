"""The site: ``make docs`` writes it into docs/_build/html. It opens from disk, and asks no network."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

from exactdiffusion import __version__  # noqa: E402 - the folder above comes first

project = "exactdiffusion"
author = "the exactdiffusion developers"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "mathematics",
]
exclude_patterns = ["_build", "_ext"]
default_role = "py:obj"  # `name` in a docstring is a link where the name is known, and code elsewhere
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "exactdiffusion"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_show_copyright = False
html_search_scorer = str(HERE / "_ext" / "scorer.js")  # Sphinx asks for a path from where it is run
html_show_search_summary = False  # summaries are fetched, and a page that is opened from disk may fetch nothing
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
python_display_short_literal_types = True

#: what stays as it is when a docstring's running text is escaped: roles, literals, names
_KEPT = re.compile(r":[\w:]+:`[^`]*`|``.+?``|`[^`]+`_?", re.DOTALL)


def escaped(lines):
    """Lines of a docstring in which ``|x|`` is a norm and not a substitution: bars of running text are escaped."""
    text, out, at = "\n".join(lines), [], 0
    # displays, which are indented below their directive, and doctests stay as they are
    blocks = re.compile(
        r"^ *\.\. math::[^\n]*(?:\n(?: [^\n]*)?(?=\n|\Z))*"
        r"|^ *>>> [^\n]*(?:\n(?! *(?:\n|\Z))[^\n]*)*|" + _KEPT.pattern,
        re.MULTILINE,
    )
    for found in blocks.finditer(text):
        out += [text[at : found.start()].replace("|", r"\|"), found[0]]
        at = found.end()
    return "".join([*out, text[at:].replace("|", r"\|")]).split("\n")


def _escape(app, what, name, obj, options, lines):
    if hasattr(obj, "statement") and "Examples" in lines:  # the page of a statement shows its example as a program
        del lines[lines.index("Examples") :]
    lines[:] = escaped(lines)


def _generate(app):
    import pages

    pages.generate(HERE)


def setup(app):
    app.connect("builder-inited", _generate)
    app.connect("autodoc-process-docstring", _escape, priority=100)
